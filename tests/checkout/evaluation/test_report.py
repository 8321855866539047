"""Evaluating many recordings: the same side by side, and faults stay with the recording that has them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.evaluation.report import evaluate_each, own_cores
from checkout.recording import Recording


@pytest.fixture
def recordings(weighed: Recording, shipped: Path, tmp_path: Path) -> list[Path]:
    """Two that can be used; between them one whose plates cannot be read, and one that is not there."""
    spoilt = tmp_path / "spoilt"
    shutil.copytree(weighed.path, spoilt)
    (spoilt / "plates.parquet").write_bytes(b"no plates")
    return [weighed.path, spoilt, tmp_path / "nothing", shipped / "clean-01"]


def test_recordings_side_by_side_are_judged_as_one_by_one(recordings: list[Path]) -> None:
    told: list[float] = []
    alone = evaluate_each(recordings, [["plates"]], workers=1)
    together = evaluate_each(
        recordings, [["plates"]], workers=2, progress=lambda _, share: told.append(share)
    )
    for one, two in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(one.judged, two.judged)
        assert set(one.judged["recording"]) == {"two", "clean-01"}
        assert one.failed == two.failed
        assert [Path(path).name for path in one.failed] == ["spoilt", "nothing"]
        assert "plates.parquet" in one.failed[str(recordings[1])]
        assert one.receipts == two.receipts
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_fewer_looks_of_the_network_are_asked_for_and_only_those_are_scored(shipped: Path) -> None:
    seen = {
        looks: evaluate_each([shipped / "clean-01"], [["vision"]], looks_hz=looks)[0].detections
        for looks in (None, 2.5)
    }
    boxes = {looks: {d.label: d.boxes for d in scores} for looks, scores in seen.items()}
    assert 0.25 * boxes[None]["item"] < boxes[2.5]["item"] < 0.75 * boxes[None]["item"]
    found = {looks: {d.label: d.map50 for d in scores} for looks, scores in seen.items()}
    assert all(found[2.5][label] > found[None][label] - 0.03 for label in ("hand", "item", "person"))


def test_where_no_recording_can_be_used_the_fault_is_said(recordings: list[Path]) -> None:
    for workers in (1, 2):
        with pytest.raises(InputError, match=r"plates\.parquet"):
            evaluate_each(recordings[1:3], [["plates"]], workers=workers)


@pytest.mark.parametrize(("free", "workers"), [((0, 1), 2), ((0, 2, 5, 7, 8), 2), (tuple(range(16)), 5)])
@pytest.mark.parametrize("first", [1, 4])
def test_workers_share_the_free_cores_among_them(free: tuple[int, ...], workers: int, first: int) -> None:
    kept = [own_cores(free, first + i, workers) for i in range(workers)]
    assert sorted(core for own in kept for core in own) == sorted(free)
    assert max(map(len, kept)) - min(map(len, kept)) <= 1


def test_a_worker_that_would_get_no_core_may_use_all() -> None:
    assert [own_cores((3,), worker, 2) for worker in (1, 2)] == [{3}, {3}]
