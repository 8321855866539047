"""How far in the shelf is a hand that one camera sees?

Two cameras settle where a hand is; one sees only on which line. Where that line meets the shelf's face, a small network
looks at the hand, at what is around it, and at where in the picture the face and its openings are, and says how far the
hand is in, or out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.vision.reach_looks import Window, layer

if TYPE_CHECKING:
    import torch

DEPTH_SIDE = 80
"""Side of a cut-out as the network sees it, pixels."""
DEPTH_ROOM_M = 1.0
"""Assumed: a cut-out shows so much of the shelf's face, metres."""
DEPTH_CHANNELS = 6
"""Blue, green, red; and of the face: height above the floor, openings, and how much farther it is than at the hand."""
BESIDE_M, ABOVE_M = 0.2, 0.3
"""Assumed: the face goes on so far beside its facings, and above them."""
SAME_FACE_M = 0.05
"""Assumed: fronts that lie this little apart are one face."""
HIGHEST_M, FARTHEST_M = 2.55, 10.2
"""What the largest of 8 bits stands for in a face's pictures."""
MAP_SHRUNK = 2
"""A face's pictures are this many times smaller than the camera's."""


class Depth(NamedTuple):
    """How far in a hand is.

    Attributes:
        inward_m: how far behind the face; negative before it.
        sd_m: how uncertain that is, as a standard deviation.
        outward: the way out of the shelf, floor [2], unit length.
        face_m: where the face is: `outward` times a point of it, metres.
    """

    inward_m: float
    sd_m: float
    outward: np.ndarray
    face_m: float


class Behind(NamedTuple):
    """The face behind a hand in a picture: the window to cut out around the hand; and the face, as in `Depth`."""

    window: Window
    outward: np.ndarray
    face_m: float

    def inward(self, at_m: np.ndarray) -> float:
        """How far behind the face a point [3] is, metres."""
        return self.face_m - float(at_m[:2] @ self.outward)

    def depth(self, inward_m: float, sd_m: float) -> Depth:
        return Depth(inward_m, sd_m, self.outward, self.face_m)


class _Face(NamedTuple):
    """A plane that facings' fronts lie in: the way out, floor [2]; its place along it; and how far it goes, metres."""

    outward: np.ndarray
    face_m: float
    low: float
    high: float
    top: float


class ShelfFaces:
    """The faces of a planogram's shelves as one calibrated camera sees them.

    Attributes:
        picture: uint8 [height, width, 3], `MAP_SHRUNK` times smaller than the camera's: the height above the floor at
            which each pixel's line meets a face, whether it does so at a facing's opening, and how far from the camera;
            0 where it meets none.
    """

    def __init__(self, camera: Camera, planogram: Planogram) -> None:
        self._camera = camera
        self._faces = _faces(planogram)
        height, width = camera.height // MAP_SHRUNK, camera.width // MAP_SHRUNK
        across, down = np.meshgrid(np.arange(width), np.arange(height))
        pixels = (np.column_stack([across.ravel(), down.ravel()]) + 0.5) * MAP_SHRUNK
        _, far, at = self._meet(pixels)
        openings = np.zeros(len(pixels), bool)
        for facing in planogram.values():
            if facing.box_min_m is None or facing.box_max_m is None:
                continue
            low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
            half = 0.5 * (high - low)
            outward = np.array([*facing.front, 0.0])
            # Across the face and upwards; through the face no farther than fronts of one face lie apart.
            room = np.where(np.abs(outward) > 0.5, half + SAME_FACE_M, half)
            openings |= (np.abs(at - 0.5 * (low + high)) <= room).all(axis=1)
        met = np.isfinite(far)
        seen = np.zeros((len(pixels), 3), np.uint8)
        seen[met, 0] = np.clip(255 * at[met, 2] / HIGHEST_M, 0, 255)
        seen[openings, 1] = 255
        seen[met, 2] = np.clip(255 * far[met] / FARTHEST_M, 0, 255)
        self.picture = seen.reshape(height, width, 3)

    def behind(self, pixels: np.ndarray) -> list[Behind | None]:
        """The face behind each of some hands [n, 2], pixels; None where none is."""
        assert self._camera.matrix is not None
        which, far, _ = self._meet(np.asarray(pixels, float))
        wide = DEPTH_ROOM_M * float(self._camera.matrix[0, 0])
        return [
            Behind(
                Window(float(x), float(y), wide / float(away)),
                self._faces[number].outward,
                self._faces[number].face_m,
            )
            if np.isfinite(away)
            else None
            for (x, y), number, away in zip(pixels, which.tolist(), far, strict=True)
        ]

    def _meet(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which face each pixel's line meets first, [n], how far away (inf: none), [n], and where, [n, 3]; metres."""
        origin, rays = np.asarray(self._camera.position_m, float), self._camera.rays(pixels)
        which, nearest = np.zeros(len(pixels), int), np.full(len(pixels), np.inf)
        for number, face in enumerate(self._faces):
            towards = rays[:, :2] @ face.outward
            with np.errstate(divide="ignore", invalid="ignore"):
                far = (face.face_m - origin[:2] @ face.outward) / towards
                at = origin + far[:, None] * rays
                along = at[:, 0] * -face.outward[1] + at[:, 1] * face.outward[0]
            inside = (towards < 0) & (far > 0) & (along >= face.low) & (along <= face.high)
            inside &= (at[:, 2] >= 0) & (at[:, 2] <= face.top) & (far < nearest)
            which[inside], nearest[inside] = number, far[inside]
        where = origin + np.where(np.isfinite(nearest), nearest, 0.0)[:, None] * rays
        return which, nearest, where


def _faces(planogram: Planogram) -> list[_Face]:
    """The planes that the facings' fronts lie in."""
    faces: list[_Face] = []
    for facing in planogram.values():
        if facing.box_min_m is None or facing.box_max_m is None:
            continue
        corners = np.array([facing.box_min_m, facing.box_max_m])[:, :2]
        outward = np.array(facing.front, float)
        place = float((corners @ outward).max())
        along = corners[:, 0] * -outward[1] + corners[:, 1] * outward[0]
        low, high = float(along.min()) - BESIDE_M, float(along.max()) + BESIDE_M
        top = float(facing.box_max_m[2]) + ABOVE_M
        for number, face in enumerate(faces):
            if np.allclose(face.outward, outward, atol=0.01) and abs(face.face_m - place) < SAME_FACE_M:
                low, high, top = min(low, face.low), max(high, face.high), max(top, face.top)
                faces[number] = face._replace(low=low, high=high, top=top)
                break
        else:
            faces.append(_Face(outward, place, low, high, top))
    return faces


def depth_input(cuts: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """What the network sees: float32 [n, DEPTH_CHANNELS, DEPTH_SIDE, DEPTH_SIDE].

    Args:
        cuts, faces: of the picture and of the face's, uint8 [n, DEPTH_SIDE, DEPTH_SIDE, 3].
    """
    seen = np.concatenate([cuts, faces], axis=3).transpose(0, 3, 1, 2).astype(np.float32) / 255
    middle = DEPTH_SIDE // 2
    farther = (seen[:, 5] - seen[:, 5, middle, middle, None, None]) * FARTHEST_M
    seen[:, 5] = np.where(seen[:, 5] > 0, np.clip(farther, -1, 1), 0.0)
    seen[:, :5] -= 0.5
    return np.ascontiguousarray(seen)


def cut_face(picture: np.ndarray, window: Sequence[float] | np.ndarray, side: int) -> np.ndarray:
    """A window, pixels of the camera's, of a face's picture, scaled to `side` pixels; 0 beyond its border."""
    import cv2

    x, y, wide = (float(v) / MAP_SHRUNK for v in window)
    scale = side / wide
    matrix = np.array([[scale, 0.0, -(x - wide / 2) * scale], [0.0, scale, -(y - wide / 2) * scale]])
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR))


def depth_network() -> torch.nn.Module:
    """[n, DEPTH_CHANNELS, DEPTH_SIDE, DEPTH_SIDE] -> [n, 2]: how far in, metres, and the logarithm of the spread."""
    from torch import nn

    return nn.Sequential(
        *layer(DEPTH_CHANNELS, 16, 2), *layer(16, 32, 2), *layer(32, 32, 1), *layer(32, 48, 2), *layer(48, 48, 1),
        *layer(48, 64, 2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * (DEPTH_SIDE // 16) ** 2, 32), nn.SiLU(),
        nn.Linear(32, 2),
    )  # fmt: skip
