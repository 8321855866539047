"""Freed memory goes back to the system."""

from __future__ import annotations

import json
import subprocess
import sys

HOLES = """
import json
from pathlib import Path
import numpy as np
from checkout.vision.freed_memory import EVERY_S, FreedMemory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1_000_000

stays, goes = [], []
for _ in range(2000):  # 160 MB, in pieces too small to be taken from the system one by one
    goes.append(np.ones(80_000, np.uint8))
    stays.append(np.ones(2000, np.uint8))
goes.clear()
sizes = [resident_mb()]
freed = FreedMemory()
for t_s in (0.9 * EVERY_S, EVERY_S):
    freed.update(t_s)
    sizes.append(resident_mb())
print(json.dumps({"sizes": sizes, "whole": all(bool(piece.all()) for piece in stays)}))
"""
"""In a process of its own: among the holes of other tests' heap, what stays does not lie between what goes."""


def test_holes_between_things_that_stay_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    before, too_early, after = seen["sizes"]
    assert too_early > before - 10
    assert after < before - 100
    assert seen["whole"]
