"""The last seconds' pictures of one camera, for whoever looks again at what just happened."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from checkout.recording import Camera

KEPT_S = 8.0
"""Assumed: pictures are remembered for so long."""
EVERY_S = 0.14
"""Assumed: they are remembered this far apart."""
KEPT_WIDTH = 640
"""Pictures much wider than this many pixels are remembered smaller, so that a sharper camera takes no more memory."""


class Remembered(NamedTuple):
    """A picture and what was found in it.

    Attributes:
        image: uint8 [height, width, 3], BGR, smaller than the camera's by the memory's `shrunk`.
        hands_xyxy: boxes of hands, pixels of the camera's picture, [n, 4].
        items_xy: middles of items that stand or are held, pixels of the camera's picture, [n, 2].
    """

    t_s: float
    image: np.ndarray
    hands_xyxy: np.ndarray
    items_xy: np.ndarray


class PictureMemory:
    """Remembers one camera's pictures for `KEPT_S` seconds.

    Attributes:
        shrunk: how many times smaller than the camera's the remembered pictures are.
    """

    def __init__(self, camera: Camera) -> None:
        self.shrunk = max(1, round(camera.width / KEPT_WIDTH))
        self._pictures: deque[Remembered] = deque()
        # One block for all, written round and round: pictures kept among those let go would leave holes in the memory.
        self._slots = np.empty((0, 0, 0, 3), np.uint8)
        self._added = 0

    def due(self, t_s: float) -> bool:
        """Whether a picture of this time would be remembered."""
        return not self._pictures or t_s - self._pictures[-1].t_s >= EVERY_S

    def add(self, t_s: float, image: np.ndarray, hands_xyxy: np.ndarray, items_xy: np.ndarray) -> None:
        """Remember a picture of the camera, later than all before, and what was found in it."""
        small = smaller(image, self.shrunk)
        if not len(self._slots):
            self._slots = np.empty((int(KEPT_S / EVERY_S) + 2, *small.shape), np.uint8)
        slot = self._slots[self._added % len(self._slots)]
        slot[:] = small
        self._added += 1
        self._pictures.append(Remembered(t_s, slot, hands_xyxy, items_xy))
        while self._pictures[0].t_s < t_s - KEPT_S or len(self._pictures) > len(self._slots):
            self._pictures.popleft()

    def between(self, t_start_s: float, t_end_s: float) -> list[Remembered]:
        """What is remembered of a time, in time order; the pictures are written over `KEPT_S` seconds later."""
        return [p for p in self._pictures if t_start_s <= p.t_s <= t_end_s]


def smaller(image: np.ndarray, times: int) -> np.ndarray:
    """A picture so many times smaller; the picture itself for 1."""
    import cv2

    if times == 1:
        return image
    size = (image.shape[1] // times, image.shape[0] // times)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
