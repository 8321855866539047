"""Freed memory goes back to the system."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from checkout.vision.freed_memory import EVERY_S, FreedMemory

MB = 1_000_000


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MB


def test_holes_between_things_that_stay_are_given_back() -> None:
    stays, goes = [], []
    for _ in range(2000):  # 160 MB, in pieces too small to be taken from the system one by one
        goes.append(np.ones(80_000, np.uint8))
        stays.append(np.ones(2000, np.uint8))
    goes.clear()
    before = resident_mb()
    freed = FreedMemory()
    freed.update(0.9 * EVERY_S)
    assert resident_mb() > before - 10
    freed.update(EVERY_S)
    assert resident_mb() < before - 100
    assert all(piece.all() for piece in stays)
