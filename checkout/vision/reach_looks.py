"""Whose hand is it, and which facing does it reach into? Two small networks look at reaches.

A cut-out of the picture around the place where a hand is, two arm's lengths wide, is shown to the first network, which
says where in the picture the body is that the arm belongs to; whoever stands there is whose hand it is. A closer one is
shown to the second network once for each facing that the hand may be at, with the facing's outline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import LEAST_DEPTH_M, Camera, box_corners
from checkout.vision.picture_memory import PictureMemory, Remembered, smaller

if TYPE_CHECKING:
    import torch

    from checkout.vision.second_look import SecondLook

BODY_SIDE, PLACE_SIDE = 96, 80
"""Side of a cut-out as each network sees it, pixels."""
BODY_ROOM_M, PLACE_ROOM_M = 1.92, 0.9
"""Assumed: a cut-out shows so much of the room, metres, at the hand's distance."""
CHEST_M = 1.25
"""Assumed: this high above where somebody stands is the point of their body that is looked for."""
FARTHEST = 2.5
"""Assumed: a body farther than so many sides of the cut-out from its middle is no farther."""
LEAST_SPREAD = 0.1
"""Assumed: where the network sees a body is at least so uncertain, in sides, beside what the network says itself: the
place where somebody stands is, too."""
NEAREST_M = 0.3
"""Assumed: a hand nearer to a camera than this fills its picture."""
CHANNELS = 6
"""Blue, green, red; and the outlines of a facing's space, of its front, and of the other facings' fronts."""
SHRUNK = 2
"""Facings are looked at in pictures this many times smaller than those remembered."""
WRONG_SHARE = 0.1
"""Assumed: what a camera says of a reach has nothing to do with it so often."""
MOST_PEOPLE = 6
"""Assumed: of more people than this, only the nearest to a hand are asked for."""
MOST_FACINGS = 8
"""Assumed: of more facings than this, only the likeliest that a hand is at are asked for."""
LOOKS_EACH = 3
"""Assumed: so many pictures of a reach are looked at in each camera."""
Standing = tuple[float, Mapping[str, tuple[float, float]]]
"""A time, seconds, and where each person stood then: floor (x, y), metres."""


class Window(NamedTuple):
    """A square of a picture: its middle and its side, pixels."""

    x: float
    y: float
    side: float


def window_at(camera: Camera, at_m: np.ndarray, room_m: float) -> Window | None:
    """What to cut out around a place [3] to show so much of the room, metres; None where it is not in the picture."""
    assert camera.matrix is not None
    pixels, depth = camera.project(np.asarray(at_m, float)[None])
    (x, y), far = pixels[0], float(depth[0])
    if far < NEAREST_M or not (0 <= x < camera.width and 0 <= y < camera.height):
        return None
    return Window(float(x), float(y), room_m * float(camera.matrix[0, 0]) / far)


def chest_in(window: Window, camera: Camera, at_m: Sequence[float] | np.ndarray) -> np.ndarray:
    """Where the chest of somebody who stands at a floor position (x, y), metres, appears in a window of the picture.

    Returns:
        offset from the window's middle, in sides, [2], at most `FARTHEST`; NaN where it is not before the camera.
    """
    assert camera.matrix is not None
    # The lens model folds back far outside the picture, where a body may be; the ideal pinhole does not.
    seen = camera.rotation @ np.array([*np.asarray(at_m, float)[:2], CHEST_M]) + camera.translation_m
    if seen[2] < LEAST_DEPTH_M:
        return np.full(2, np.nan)
    pixel = camera.matrix[:2, :2] @ seen[:2] / seen[2] + camera.matrix[:2, 2]
    return np.clip((pixel - window[:2]) / window.side, -FARTHEST, FARTHEST)


class Space(NamedTuple):
    """A facing as a camera sees it: outlines of its whole space, its front and its base, convex, pixels [n, 2]."""

    whole: np.ndarray
    front: np.ndarray
    base: np.ndarray


def space_of(camera: Camera, box_m: np.ndarray, outward: np.ndarray) -> Space:
    """A facing's outlines; all empty where a corner of it is behind the camera.

    Args:
        box_m: least and largest x, y and z, [2, 3], metres.
        outward: the way out of the shelf, floor [2].
    """
    import cv2

    corners = box_corners(*box_m)
    pixels, depth = camera.project(corners)
    if (depth <= LEAST_DEPTH_M).any():
        return Space(*np.zeros((3, 0, 2)))
    ahead, height = corners[:, :2] @ outward, corners[:, 2]
    front, base = ahead > 0.5 * (ahead.min() + ahead.max()), height < 0.5 * (height.min() + height.max())
    hulls = (cv2.convexHull(part.astype(np.float32)) for part in (pixels, pixels[front], pixels[base]))
    return Space(*(np.asarray(hull).reshape(-1, 2) for hull in hulls))


class Body(NamedTuple):
    """Where a network sees the chest of whose hand is in a window's middle: offset [2] and spread, in sides."""

    offset: np.ndarray
    spread: float

    def likelihood(self, chests: np.ndarray) -> np.ndarray:
        """Log probability that each of some chests, see `chest_in`, [n, 2], is it."""
        apart = np.nan_to_num(np.linalg.norm(chests - self.offset, axis=1), nan=2 * FARTHEST)
        word = -apart / (self.spread + LEAST_SPREAD)
        return np.asarray(word - np.logaddexp.reduce(word))


def place_input(cut: np.ndarray, window: Window, spaces: Sequence[Space]) -> np.ndarray:
    """What the network sees for each facing: float32 [facings, CHANNELS, side, side].

    Args:
        cut: the window of the picture, scaled, uint8 [side, side, 3], BGR.
    """
    whole = drawn([space.whole for space in spaces], window, len(cut))
    front = drawn([space.front for space in spaces], window, len(cut))
    seen = np.empty((len(spaces), CHANNELS, *cut.shape[:2]), np.float32)
    seen[:, :3] = cut.transpose(2, 0, 1) / 255 - 0.5
    for facing in range(len(spaces)):
        seen[facing, 3:5] = whole[facing], front[facing]
        seen[facing, 5] = np.delete(front, facing, axis=0).max(axis=0, initial=0.0)
    return seen


def drawn(polygons: Sequence[np.ndarray], window: Window, side: int) -> np.ndarray:
    """Convex polygons, pixels, filled with ones in a window that is scaled to a side; [polygons, side, side]."""
    import cv2

    drawn = np.zeros((len(polygons), side, side), np.float32)
    corner = (window.x - 0.5 * window.side, window.y - 0.5 * window.side)
    for picture, polygon in zip(drawn, polygons, strict=True):
        if len(polygon):
            points = np.round((polygon - corner) * side / window.side).astype(np.int32)
            cv2.fillConvexPoly(picture, points, 1.0)
    return drawn


def place_network() -> torch.nn.Module:
    """[n, CHANNELS, PLACE_SIDE, PLACE_SIDE] -> [n, 1]: log weight that the hand is at this facing."""
    from torch import nn

    return nn.Sequential(
        *layer(CHANNELS, 20, 2), *layer(20, 32, 2), *layer(32, 32, 1), *layer(32, 48, 2), *layer(48, 48, 1),
        *layer(48, 64, 2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * (PLACE_SIDE // 16) ** 2, 32), nn.SiLU(),
        nn.Linear(32, 1),
    )  # fmt: skip


def body_network() -> torch.nn.Module:
    """[n, 3, BODY_SIDE, BODY_SIDE] -> [n, 3]: offset of the body, and the logarithm of its spread, see `Body`."""
    from torch import nn

    return nn.Sequential(
        *layer(3, 20, 2), *layer(20, 32, 2), *layer(32, 32, 1), *layer(32, 64, 2), *layer(64, 64, 1),
        *layer(64, 80, 2), *layer(80, 80, 1), *layer(80, 64, 2), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(64 * (BODY_SIDE // 32) ** 2, 64), nn.SiLU(), nn.Linear(64, 3),
    )  # fmt: skip


def layer(before: int, after: int, stride: int) -> list[torch.nn.Module]:
    """A convolution of 3 x 3, normalised, with its activation."""
    from torch import nn

    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.SiLU()]


class ReachLooks:
    """What one camera's remembered pictures show of reaches."""

    def __init__(
        self, camera: Camera, planogram: Planogram, second: SecondLook, memory: PictureMemory
    ) -> None:
        self._camera, self._second, self._memory = camera, second, memory
        self._spaces = {
            f.facing: space_of(camera, np.array([f.box_min_m, f.box_max_m]), np.array(f.front))
            for f in planogram.values()
            if f.box_min_m is not None and f.box_max_m is not None
        }

    def whose(
        self, at_m: np.ndarray, t_start_s: float, t_end_s: float, history: Sequence[Standing]
    ) -> dict[str, float]:
        """Log probability of each person that a hand is theirs; empty where nothing of it was seen.

        Args:
            at_m: where the hand was, [3], metres.
            t_start_s, t_end_s: while it was there.
            history: where everybody stood, in time order.
        """
        window = window_at(self._camera, at_m, BODY_ROOM_M)
        if window is None or not history:
            return {}
        times = np.array([t_s for t_s, _ in history])
        words: dict[str, list[float]] = {}
        for picture in self._between(t_start_s, t_end_s):
            where = _nearest(history[int(np.abs(times - picture.t_s).argmin())][1], at_m)
            if not where:
                continue
            body = self._second.body(
                self._memory.image(picture), Window(*(v / self._memory.shrunk for v in window))
            )
            chests = np.array([chest_in(window, self._camera, at) for at in where.values()])
            for who, word in zip(where, body.likelihood(chests).tolist(), strict=True):
                words.setdefault(who, []).append(word)
        return {who: float(np.mean(said)) for who, said in words.items()}

    def where(
        self, at_m: np.ndarray, t_start_s: float, t_end_s: float, facings: Collection[str]
    ) -> dict[str, float]:
        """Log probability of each of some facings that a hand is at it; empty where nothing of it was seen."""
        window, pictures = window_at(self._camera, at_m, PLACE_ROOM_M), self._between(t_start_s, t_end_s)
        if window is None or not pictures:
            return {}
        scale = SHRUNK * self._memory.shrunk
        small = Window(*(v / scale for v in window))
        spaces = [Space(*(part / scale for part in self._spaces[name])) for name in facings]
        said = np.mean(
            [self._second.places(smaller(self._memory.image(p), SHRUNK), small, spaces) for p in pictures],
            axis=0,
        )
        return dict(zip(facings, said.tolist(), strict=True))

    def _between(self, t_start_s: float, t_end_s: float) -> list[Remembered]:
        """At most `LOOKS_EACH` pictures of a time."""
        pictures = self._memory.between(t_start_s, t_end_s)
        picked = np.unique(np.linspace(0, len(pictures) - 1, LOOKS_EACH).round().astype(int))
        return [pictures[i] for i in picked] if pictures else []


def together(words: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of what several cameras say, as log probabilities; a camera that says nothing is left out.

    Each camera is wrong altogether with `WRONG_SHARE`, so none can rule anything out.
    """
    said = [_doubted(word) for word in words if word]
    return {
        who: sum(w[who] for w in said) for who in (said[0] if said else {}) if all(who in w for w in said)
    }


def _doubted(word: Mapping[str, float]) -> dict[str, float]:
    at_random = np.log(WRONG_SHARE / len(word))
    return {who: float(np.logaddexp(np.log1p(-WRONG_SHARE) + p, at_random)) for who, p in word.items()}


def _nearest(where: Mapping[str, tuple[float, float]], at_m: np.ndarray) -> dict[str, tuple[float, float]]:
    """The `MOST_PEOPLE` nearest to a place."""
    nearest = sorted(where.items(), key=lambda row: (row[1][0] - at_m[0]) ** 2 + (row[1][1] - at_m[1]) ** 2)
    return dict(nearest[:MOST_PEOPLE])
