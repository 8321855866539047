"""Evaluating many recordings: the same side by side, and faults stay with the recording that has them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.evaluation.report import _keep_to_own_cores, evaluate_each
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


def _cores(workers: int) -> frozenset[int]:
    """The cores that a worker keeps to; it takes long enough for every worker to get a job."""
    _keep_to_own_cores(workers)
    time.sleep(1.0)
    return frozenset(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system keeps no process to some cores")
def test_workers_keep_to_cores_of_their_own() -> None:
    from joblib import Parallel, delayed

    free = os.sched_getaffinity(0)
    if len(free) < 2 or free != set(range(os.cpu_count() or 1)):
        pytest.skip("too few cores are free")
    kept = set(Parallel(n_jobs=2)(delayed(_cores)(2) for _ in range(2)))
    assert len(kept) == 2
    assert frozenset.union(*kept) == free
    assert not frozenset.intersection(*kept)
    assert os.sched_getaffinity(0) == free
