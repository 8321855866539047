"""Where the network is worth its time: what moved in a camera's picture, and whether that was at a shelf.

A frame that shows what the last one that the network saw shows needs no network. One in which
somebody moves, but nothing moves at a shelf and no plate steps, needs it only now and then, so that
whoever walks is still followed. The others are all looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from checkout.catalog import Facing, Planogram
from checkout.recording import Camera

CELLS = (80, 45)
"""Columns and rows that a picture's motion is told by."""
STILL_GREY_LEVELS = 2.5
"""Assumed: a cell of the picture that changed by less than this, of 255, has not moved."""
NOISIEST_GREY_LEVELS = 8.0
"""Assumed: however noisy a camera is, a cell that changed by more than this has moved."""
NOISE_SDS = 6.0
"""Assumed: a cell has moved when it changed by so many standard deviations of the camera's noise: a chance of one in
a hundred thousand frames that one of `CELLS` does by itself."""
NOISE_MEMORY_FRAMES = 100
"""Assumed: the noise is the least that was seen in so many frames, since motion only adds to it."""
BEFORE_SHELF_M = 0.35
"""Assumed: a hand this near before a facing may be about to reach into it."""
ELSEWHERE_EVERY = 2
"""Every so many-th frame is looked at while things move away from the shelves only and no hand is in sight; the
others have the boxes of the one before. Measured on six crowded validation recordings, `checkout evaluate` with and
without `--every-frame`: F1 of the shelf events is 0.949 both ways, and 0.806 with the shopper."""
LINGER_S = 2.5
"""Assumed: for this long after the last motion still frames are taken into account, so that hands that rest are not
lost and the shelf is seen as it was left."""
LOOKS_HZ = 10.0
"""Measured (docs/detector.md, "When it looks"): no calibrated camera is looked at more often than this, for more often
brings nothing. All that is made of the boxes was fitted at this rate."""
EARLY = 0.25
"""Assumed: a frame that is early by this share of the time between two looks is not late for the next."""
STEP_MARGIN_S = 1.5
"""Every frame that is due this long before and after a weight step is looked at (a rule of the project)."""


class Motion(IntEnum):
    """What moved in a picture since the last one that the network saw."""

    NOTHING = 0
    ELSEWHERE = 1
    SHELF = 2


class MotionGate:
    """Compares a camera's pictures with the last one that the network saw.

    A change of the light that all of the picture shares is no motion, and neither is the camera's noise, which the
    gate learns.

    Args:
        shelf: the cells in which motion is at a shelf, bool [45, 80]; None when all of them are.

    Attributes:
        cells: the last picture's means over cells, uint8 [45, 80, 3].
    """

    def __init__(self, shelf: np.ndarray | None = None) -> None:
        self._shelf = np.ones(CELLS[::-1], bool) if shelf is None else shelf
        self._seen: np.ndarray | None = None
        self.cells = np.zeros((*CELLS[::-1], 3), np.uint8)
        self._noise: deque[float] = deque(maxlen=NOISE_MEMORY_FRAMES)

    def motion(self, image: np.ndarray) -> Motion:
        """What moved; the first picture counts as all motion."""
        import cv2

        self.cells = np.asarray(cv2.resize(image, CELLS, interpolation=cv2.INTER_AREA))
        if self._seen is None:
            return Motion.SHELF
        change = _grey(self.cells) - self._seen
        change = np.abs(change - np.median(change))
        self._noise.append(1.4826 * float(np.median(change)))
        moved = change > np.clip(NOISE_SDS * min(self._noise), STILL_GREY_LEVELS, NOISIEST_GREY_LEVELS)
        if not moved.any():
            return Motion.NOTHING
        return Motion.SHELF if (moved & self._shelf).any() else Motion.ELSEWHERE

    def looked(self) -> None:
        """The network saw the last picture that was asked about."""
        self._seen = _grey(self.cells)


def _grey(cells: np.ndarray) -> np.ndarray:
    """The mean of the three channels, float32; a third of the time of numpy's mean over so short an axis."""
    blue, green, red = cells.astype(np.float32).transpose(2, 0, 1)
    return np.asarray((blue + green + red) / np.float32(3))


class Attention:
    """Says of each frame of one camera whether it is worth the network, or to be taken into account at all.

    Args:
        shelf: as `MotionGate`.
        busy_s: times (start, end) in which every frame that is due is looked at, in order.
        every_frame: look at all of them, always.
        most_hz: take so many frames a second into account, evenly spread, as if the camera took no more.

    Attributes:
        motion: what moved in the last frame.
    """

    def __init__(
        self,
        shelf: np.ndarray | None = None,
        busy_s: Sequence[tuple[float, float]] = (),
        *,
        every_frame: bool = False,
        most_hz: float | None = None,
    ) -> None:
        self._gate, self._every = MotionGate(shelf), every_frame
        self._apart_s, self._due_s = 1 / most_hz if most_hz else 0.0, -np.inf
        self.motion = Motion.NOTHING
        self._busy = deque(sorted(busy_s))
        self._since_look, self._moved_s = 0, -np.inf

    @property
    def cells(self) -> np.ndarray:
        """The last picture's means over small cells, uint8 [45, 80, 3]."""
        return self._gate.cells

    def judge(self, t_s: float, image: np.ndarray, *, hands: bool) -> tuple[bool, bool]:
        """Whether to look at a frame with the network, and whether to take it into account.

        Args:
            hands: whether the network saw a hand when it last looked.
        """
        motion = self.motion = self._gate.motion(image)
        if self._every:
            self._gate.looked()
            return True, True
        if t_s < self._due_s - EARLY * self._apart_s:
            return False, False
        # Evenly spread however the frames fall; after a gap it begins anew.
        self._due_s = (self._due_s if self._due_s > t_s - self._apart_s else t_s) + self._apart_s
        while self._busy and self._busy[0][1] < t_s:
            self._busy.popleft()
        busy = bool(self._busy) and self._busy[0][0] <= t_s
        self._since_look += 1
        if busy or motion is not Motion.NOTHING:
            self._moved_s = t_s
        look = busy or motion is Motion.SHELF
        look |= motion is Motion.ELSEWHERE and (hands or self._since_look >= ELSEWHERE_EVERY)
        if look:
            self._gate.looked()
            self._since_look = 0
        return look, look or t_s - self._moved_s <= LINGER_S


def shelf_cells(planogram: Planogram, camera: Camera) -> np.ndarray | None:
    """The cells of a calibrated camera's picture, bool [45, 80], that show a facing's space or what is before it.

    None when the planogram places no facing that the camera can see.
    """
    columns, rows = CELLS
    cells = np.zeros((rows, columns), bool)
    for facing in planogram.values():
        region = _seen_region(facing, camera)
        if region is None:
            continue
        low = np.floor(region[:2] / (camera.width, camera.height) * CELLS).astype(int)
        high = np.ceil(region[2:] / (camera.width, camera.height) * CELLS).astype(int)
        cells[low[1] : high[1], low[0] : high[0]] = True
    return cells if cells.any() else None


def _seen_region(facing: Facing, camera: Camera) -> np.ndarray | None:
    """Where a facing and `BEFORE_SHELF_M` before it appear: x1, y1, x2, y2, pixels within the picture."""
    if facing.box_min_m is None or facing.box_max_m is None:
        return None
    low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
    ahead = BEFORE_SHELF_M * np.array([*facing.front, 0.0])
    low, high = low + np.minimum(ahead, 0), high + np.maximum(ahead, 0)
    region = camera.box_seen(low, high)
    return region if region is not None and (region[2:] > region[:2]).all() else None
