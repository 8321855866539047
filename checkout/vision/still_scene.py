"""The still scene of a fixed camera, and what changes in it for good, whatever kind of thing it is.

The scene is the look that each point of the picture had when last nothing moved there. Whatever
differs from it is *in front*: a hand, a person, or a thing that was put down or taken away. A part
in front, taken whole, becomes a change once all of it has come to rest: a hand that puts
something down is one part with it as long as it touches it, and takes its own share away when it leaves.
Pictures are compared as logarithms, so that a light that dims or brightens is one number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LONG_SIDE = 320
"""Assumed: pixels of the picture's longer side at which the scene is kept; a thing of a tenth of it is 32 wide."""
SAMPLE_S = 0.06
"""Assumed: frames nearer to the last one than this are passed over: a hand takes 0.3 s for any act at a shelf."""
MOTION_S = 0.1
"""Assumed: motion is what differs from the picture so long ago."""
DARK = 10.0
"""Assumed: grey levels added before the logarithm, about the noise and rounding of a dark picture."""
LEAST_CONTRAST = 0.10
CLEAR_CONTRAST = 0.20
"""Assumed: a point differs from this log ratio on (10 %), and a part in front must hold points of twice that."""
LEAST_LEVELS = 4.0
"""Assumed: and by so many grey levels of 255: coding and rounding move a dark point by 2 or 3."""
JITTER = 1
"""Assumed: points of the 320-pixel picture by which a camera on a shelf trembles or is pushed."""
SOFT_PX = 5
"""Assumed: an outline is drawn within so many points of the 320-pixel picture; a shadow that is softer is light."""
NEAR_ARM = 0.25
"""Assumed: an arm holds still over, or shades, what is within this share of the picture's longer side."""
NOISE_SDS = 5.0
"""A point must differ by this many standard deviations of its own flicker; at 5 one of a million does by chance."""
LEAST_POINTS = 24
"""Assumed: clear points of a part in front, of the 320-pixel picture: 5 by 5, a sixty-fourth of its side."""
JOIN_SHARE = 0.015
"""Assumed: parts nearer than twice this share of the longer side are one: a see-through thing shows in bits."""
REST_S = 0.5
"""Assumed: a part that did not move for so long is at rest."""
LONG_REST_S = 3.0
"""Assumed: so long where a hand or person is said to be, where a part reaches the picture's edge as arms do, or where
it is larger than `LARGE_SHARE`: nobody holds that still for 3 s."""
CUT_SHARE = 0.5
"""Assumed: when more of the picture than this is in front, it is another picture: the camera moved, or film was cut."""
FLICKER_SHARE = 0.03
"""Assumed: so many points of a part, `LEAST_POINTS` at most, may flicker while it is at rest."""
LARGE_SHARE = 0.12
"""Assumed: share of the picture that one thing in a hand seldom fills."""
LOCAL_LIGHT = 0.15
"""Assumed: a soft shadow changes a place by at most so much beside the whole picture's light, log ratio."""
EDGE_WIDTHS = 0.15
"""Assumed: a part meets the edge along this share of the root of its area; an arm does along more."""
CALM_TAU_S, DRIFT_TAU_S, NOISE_TAU_S = 0.25, 4.0, 4.0
"""Assumed: time constants of the look at rest, of the scene's slow drift, and of the flicker's estimate."""
HISTORY_S, HISTORY_STEP_S, HISTORY_SIDE = 30.0, 0.09, 160
"""Assumed: small pictures kept to find when a change happened; 333 of 160 x 90 are 14 MB."""
_LOG = np.log((np.arange(256) + DARK) / (255 + DARK)).astype(np.float32)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Glimpse:
    """One small picture of the last seconds.

    Attributes:
        small: uint8 [h, w, 3], `HISTORY_SIDE` pixels on its longer side.
        light: log ratio of its light to the scene's, [3].
        busy: where something moved or was in front of the scene, uint8 0 or 1 [h, w].
    """

    t_s: float
    small: np.ndarray
    light: np.ndarray
    busy: np.ndarray

    def look(self) -> np.ndarray:
        """Logarithm of the picture in the scene's light, float32 [h, w, 3]."""
        return np.asarray(_LOG[self.small] - self.light)


@dataclass(frozen=True)
class Change:
    """A part of the still scene that is not as it was.

    Attributes:
        t_start_s: when something first came in front of it, seconds.
        t_end_s: when it was found to be at rest again.
        region: x1, y1, x2, y2 in pixels of the full picture.
        mask: what differs, bool [h, w], of the 320-pixel picture.
        before, after: the whole scene's look around that time, logarithms, float32 [h, w, 3].
        at_edge: whether it reaches the picture's edge.
    """

    t_start_s: float
    t_end_s: float
    region: Box
    mask: np.ndarray
    before: np.ndarray
    after: np.ndarray
    at_edge: bool


class _Part(NamedTuple):
    """A connected part in front of the scene: when the last of it moved, and how long it must rest, seconds."""

    number: int
    box: tuple[int, int, int, int]
    points: int
    at_edge: bool
    moved_s: float
    rest_s: float


class StillScene:
    """Keeps the still scene of one fixed camera, frame by frame; memory does not grow with the video.

    Args:
        width, height: size of the video's pictures, pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.scale = max(1.0, max(width, height) / LONG_SIDE)
        self._size = (max(1, round(width / self.scale)), max(1, round(height / self.scale)))
        shape = (self._size[1], self._size[0])
        small = HISTORY_SIDE / max(self._size)
        self._history_size = (max(1, round(self._size[0] * small)), max(1, round(self._size[1] * small)))
        self.history: deque[Glimpse] = deque()
        self.cuts, self.last_cut_s = 0, np.nan
        self._recent: deque[tuple[float, np.ndarray]] = deque()
        self._t_s = self._compared_s = self._stirred_s = -np.inf
        self._last_light = np.zeros(3, np.float32)
        self._scene = np.zeros((*shape, 3), np.float32)
        self._known = np.zeros(shape, bool)
        self._calm = np.zeros((*shape, 3), np.float32)
        self._noise = np.full(shape, 0.01, np.float32)
        self._moved_s = np.zeros(shape)
        self._front_s = np.full(shape, np.inf)

    def update(self, t_s: float, image: np.ndarray, movers: Sequence[Box] = ()) -> list[Change]:
        """Take in one frame; returns what has changed for good.

        Args:
            image: uint8 [height, width, 3], BGR.
            movers: boxes of hands and people in it, pixels.
        """
        if t_s - self._t_s < SAMPLE_S:
            return []
        import cv2

        self._t_s = t_s
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        look = cv2.GaussianBlur(cv2.LUT(small, _LOG), (0, 0), 0.8)
        moving = self._moving(t_s, look)
        if moving.any():
            self._stirred_s = t_s
        elif t_s - self._stirred_s > LONG_REST_S + REST_S and t_s - self._compared_s < REST_S:
            self._remember(t_s, image, self._last_light, moving)
            return []
        step_s = t_s - self._compared_s if np.isfinite(self._compared_s) else 0.0
        self._compared_s = t_s
        self._moved_s[moving] = t_s
        keep = np.float32(np.exp(-step_s / CALM_TAU_S))
        self._calm = np.where(moving[..., None], look, look + keep * (self._calm - look))
        light = self._last_light = self._light(look)
        difference = look - self._scene - light
        least = np.maximum(LEAST_CONTRAST, NOISE_SDS * self._noise)
        least = np.maximum(least, _levels(self._scene, LEAST_LEVELS))
        strength = self._outside(look - light - _local(difference, self._known))
        front = (strength > least) & (self._sharp(strength, least) | (strength > 2 * least)) & self._known
        if front.any():
            self._stirred_s = t_s
        if front.sum() > CUT_SHARE * max(self._known.sum(), 0.5 * front.size):
            self.cuts, self.last_cut_s = self.cuts + 1, t_s
            self._known[:], self._front_s[:] = False, np.inf
            return []
        self._front_s = np.where(front, np.minimum(self._front_s, t_s), self._front_s)
        self._remember(t_s, image, light, front | moving)
        rest_s = self._rest_needed(movers)
        changes = self._settled(t_s, front, strength > 2 * least, rest_s, light)
        self._learn(
            t_s, step_s, (t_s - self._moved_s >= rest_s) & ~front, _largest(np.abs(difference)) > least
        )
        return changes

    def _learn(self, t_s: float, step_s: float, rested: np.ndarray, differs: np.ndarray) -> None:
        """Take the look at rest into the scene: at once where none was known, else slowly."""
        share = np.where(self._known, 1 - np.exp(-step_s / DRIFT_TAU_S), 1.0)
        # Where only the soft light differs, it is learnt late: it may be the shadow of a hand that stays a while.
        soft = differs & self._known & (t_s - self._moved_s < LONG_REST_S)
        share = np.where(rested & ~soft, share, 0.0).astype(np.float32)
        self._scene += share[..., None] * (self._calm - self._scene)
        self._known |= rested
        self._front_s[rested & (t_s - self._moved_s > 2 * REST_S)] = np.inf

    def _moving(self, t_s: float, look: np.ndarray) -> np.ndarray:
        """Where the picture differs from the one `MOTION_S` ago, bool [h, w], single points left out."""
        import cv2

        self._recent.append((t_s, look))
        while len(self._recent) > 2 and self._recent[1][0] <= t_s - MOTION_S:
            self._recent.popleft()
        if len(self._recent) < 2:
            return np.ones(look.shape[:2], bool)
        past_s, past = self._recent[0]
        step = look - past
        step -= np.median(step[::8, ::8].reshape(-1, 3), axis=0)
        size = _largest(np.abs(step))
        least = np.maximum(LEAST_CONTRAST, _levels(look, LEAST_LEVELS))
        moving = size > np.maximum(0.6 * least, NOISE_SDS * self._noise)
        share = 1 - float(np.exp(-min(1.0, t_s - past_s) / NOISE_TAU_S))
        # The mean of an absolute normal deviate is 0.8 standard deviations.
        share_here = np.where(moving, 0.0, share).astype(np.float32)
        self._noise += share_here * (np.minimum(size, 0.1) / 0.8 - self._noise)
        return np.asarray(cv2.boxFilter(moving.astype(np.float32), -1, (3, 3), normalize=False) > 3.5)

    def _light(self, look: np.ndarray) -> np.ndarray:
        """Log ratio of the picture's light to the scene's, [3]: the median over all points that are known."""
        known = self._known[::8, ::8]
        if not known.any():
            return np.zeros(3, np.float32)
        return np.asarray(np.median((look[::8, ::8] - self._scene[::8, ::8])[known], axis=0), np.float32)

    def _outside(self, look: np.ndarray) -> np.ndarray:
        """How far a look lies outside of what the scene shows within `JITTER` points, log ratio [h, w].

        So an outline that a trembling camera moves by a point is no change (Barnich and Van Droogenbroeck 2011
        reach the same by letting neighbours share samples).
        """
        import cv2

        kernel = np.ones((2 * JITTER + 1, 2 * JITTER + 1), np.uint8)
        over = look - cv2.dilate(self._scene, kernel)
        under = cv2.erode(self._scene, kernel) - look
        return _largest(np.maximum(over, under))

    @staticmethod
    def _sharp(strength: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Where a change has an outline nearby, bool [h, w]; a soft shadow has none."""
        import cv2

        fine = np.abs(strength - cv2.GaussianBlur(strength, (0, 0), SOFT_PX)) > 0.5 * least
        return cv2.dilate(fine.astype(np.uint8), np.ones((2 * SOFT_PX + 1,) * 2, np.uint8)) > 0

    def _remember(self, t_s: float, image: np.ndarray, light: np.ndarray, busy: np.ndarray) -> None:
        import cv2

        if self.history and t_s - self.history[-1].t_s < HISTORY_STEP_S:
            return
        small = cv2.resize(image, self._history_size, interpolation=cv2.INTER_AREA)
        busy_small = cv2.resize(busy.astype(np.uint8), self._history_size, interpolation=cv2.INTER_NEAREST)
        self.history.append(Glimpse(t_s, small, light, busy_small))
        while self.history[0].t_s < t_s - HISTORY_S:
            self.history.popleft()

    def _rest_needed(self, movers: Sequence[Box]) -> np.ndarray:
        needed = np.full(self._known.shape, REST_S)
        for x1, y1, x2, y2 in movers:
            grow = 0.1 * max(x2 - x1, y2 - y1)
            left, top = (max(0, int((v - grow) / self.scale)) for v in (x1, y1))
            right, bottom = (max(0, int(np.ceil((v + grow) / self.scale))) for v in (x2, y2))
            needed[top:bottom, left:right] = LONG_REST_S
        return needed

    def _settled(
        self, t_s: float, front: np.ndarray, clear: np.ndarray, rest_s: np.ndarray, light: np.ndarray
    ) -> list[Change]:
        """The parts in front that have come to rest, taken into the scene."""
        import cv2

        join = max(1, round(JOIN_SHARE * max(self._size)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * join + 1, 2 * join + 1))
        count, label, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(front.astype(np.uint8), kernel))
        parts = [self._part(label, front, stats[number, :4], number, rest_s) for number in range(1, count)]
        arms = [
            p.box
            for p in parts
            if p.at_edge and t_s - p.moved_s < LONG_REST_S and p.points > 4 * LEAST_POINTS
        ]
        changes = []
        for part in parts:
            near_arm = any(_gap(part.box, arm) < NEAR_ARM * max(self._size) for arm in arms)
            if t_s - part.moved_s < (LONG_REST_S if near_arm else part.rest_s):
                continue
            x1, y1, x2, y2 = part.box
            around = np.zeros(front.shape, bool)
            around[y1:y2, x1:x2] = label[y1:y2, x1:x2] == part.number
            mask, after = around & front, self._calm - light
            if int((mask & clear).sum()) >= LEAST_POINTS:
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                region = tuple(float(v * self.scale) for v in corners)
                start_s = float(np.quantile(self._front_s[mask], 0.1))
                changes.append(
                    Change(start_s, t_s, region, mask, self._scene.copy(), after, part.at_edge)  # type: ignore[arg-type]
                )
            self._scene[around] = after[around]
            self._front_s[around] = np.inf
        return changes

    def _part(
        self, label: np.ndarray, front: np.ndarray, box: np.ndarray, number: int, rest_s: np.ndarray
    ) -> _Part:
        x, y, width, height = (int(v) for v in box)
        crop = np.s_[y : y + height, x : x + width]
        mine = (label[crop] == number) & front[crop]
        points = int(mine.sum())
        edge = _meets_edge(mine, x, y, self._size)
        needed = LONG_REST_S if edge or points > LARGE_SHARE * front.size else float(rest_s[crop][mine].max())
        flicker = min(int(FLICKER_SHARE * points), LEAST_POINTS)
        moved_s = float(np.partition(self._moved_s[crop][mine], points - 1 - flicker)[points - 1 - flicker])
        return _Part(number, (x, y, x + width, y + height), points, edge, moved_s, needed)


def _gap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    return float(np.hypot(max(b[0] - a[2], a[0] - b[2], 0), max(b[1] - a[3], a[1] - b[3], 0)))


def _largest(colours: np.ndarray) -> np.ndarray:
    """The largest of the three colours of each point [h, w, 3]; numpy's own maximum of so short an axis is slow."""
    return np.asarray(np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2]))


def _levels(look: np.ndarray, levels: float) -> np.ndarray:
    """So many grey levels as a log ratio, at the brightness of each point of a look [h, w, 3]; [h, w]."""
    return np.asarray(levels / ((255 + DARK) * np.exp(_largest(look))))


def _meets_edge(part: np.ndarray, x: int, y: int, size: tuple[int, int]) -> bool:
    """Whether a part, bool [h, w], at a place of a picture meets the picture's edge along some of its width."""
    sides = (
        part[: max(0, 2 - y)],
        part[part.shape[0] - max(0, y + part.shape[0] - size[1] + 2) :],
        part[:, : max(0, 2 - x)],
        part[:, part.shape[1] - max(0, x + part.shape[1] - size[0] + 2) :],
    )
    meets = max(int(side.any(axis=axis).sum()) for side, axis in zip(sides, (0, 0, 1, 1), strict=True))
    return meets > EDGE_WIDTHS * np.sqrt(part.sum())


def _local(difference: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The soft part of a difference of looks, log ratio [h, w, 3]: median of a quarter of the picture's width.

    What differs by more than twice what a soft shadow does is a thing, and says nothing of the light.
    """
    import cv2

    height, width = known.shape
    grid = (max(1, width // 16), max(1, height // 16))
    light = known & (_largest(np.abs(difference)) < 2 * LOCAL_LIGHT)
    coarse = cv2.resize(difference * light[..., None].astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    soft = np.clip(cv2.medianBlur(np.ascontiguousarray(coarse, np.float32), 5), -LOCAL_LIGHT, LOCAL_LIGHT)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))
