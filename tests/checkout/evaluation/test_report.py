"""Evaluating many recordings: the same side by side, and faults stay with the recording that has them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.evaluation.report import evaluate_each
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


def test_where_no_recording_can_be_used_the_fault_is_said(recordings: list[Path]) -> None:
    for workers in (1, 2):
        with pytest.raises(InputError, match=r"plates\.parquet"):
            evaluate_each(recordings[1:3], [["plates"]], workers=workers)
