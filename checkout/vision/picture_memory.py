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
QUALITY = 95
"""Assumed: JPEG quality that they are remembered in, a fifteenth of the memory; the networks were trained on worse."""
UNPACKED = 8
"""Assumed: so many pictures that were asked for last stay unpacked: the same are asked for again."""
KEPT_WIDTH = 640
"""Pictures much wider than this many pixels are remembered smaller, so that a sharper camera takes no more memory."""


class Remembered(NamedTuple):
    """A picture and what was found in it.

    Attributes:
        jpeg: the picture, smaller than the camera's by the memory's `shrunk`, uint8 [bytes].
        hands_xyxy: boxes of hands, pixels of the camera's picture, [n, 4].
        items_xy: middles of items that stand or are held, pixels of the camera's picture, [n, 2].
    """

    t_s: float
    jpeg: np.ndarray
    hands_xyxy: np.ndarray
    items_xy: np.ndarray


class PictureMemory:
    """Remembers one camera's pictures for `KEPT_S` seconds, packed.

    Attributes:
        shrunk: how many times smaller than the camera's the remembered pictures are.
    """

    def __init__(self, camera: Camera) -> None:
        self.shrunk = max(1, round(camera.width / KEPT_WIDTH))
        self._pictures: deque[Remembered] = deque()
        self._unpacked: dict[float, np.ndarray] = {}

    def due(self, t_s: float) -> bool:
        """Whether a picture of this time would be remembered."""
        return not self._pictures or t_s - self._pictures[-1].t_s >= EVERY_S

    def add(self, t_s: float, image: np.ndarray, hands_xyxy: np.ndarray, items_xy: np.ndarray) -> None:
        """Remember a picture of the camera, later than all before, and what was found in it."""
        import cv2

        packed = cv2.imencode(".jpg", smaller(image, self.shrunk), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        self._pictures.append(Remembered(t_s, packed, hands_xyxy, items_xy))
        while self._pictures[0].t_s < t_s - KEPT_S:
            self._pictures.popleft()

    def image(self, picture: Remembered) -> np.ndarray:
        """A remembered picture, uint8 [height, width, 3], BGR, not to be written to."""
        import cv2

        image = self._unpacked.pop(picture.t_s, None)
        if image is None:
            image = np.asarray(cv2.imdecode(picture.jpeg, cv2.IMREAD_COLOR))
        self._unpacked[picture.t_s] = image
        if len(self._unpacked) > UNPACKED:
            del self._unpacked[next(iter(self._unpacked))]
        return image

    def between(self, t_start_s: float, t_end_s: float) -> list[Remembered]:
        """What is remembered of a time, in time order."""
        return [p for p in self._pictures if t_start_s <= p.t_s <= t_end_s]


def smaller(image: np.ndarray, times: int) -> np.ndarray:
    """A picture so many times smaller; the picture itself for 1."""
    import cv2

    if times == 1:
        return image
    size = (image.shape[1] // times, image.shape[0] // times)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
