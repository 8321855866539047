"""What is left on the floor: something that appears before the shelves and stays when nobody stands there any more.

Each camera remembers how the floor looked where nobody was. A place that later looks different, for longer than
anybody stands still in front of it, and that is as large as a product on the floor, is a spot. The spots of all
cameras together, and who stood beside them when they appeared, say what was left, when, and by whom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.events import LeftOnFloor
from checkout.recording import Camera
from checkout.vision.detector import Detections
from checkout.vision.picture_memory import smaller
from checkout.vision.reach_looks import Standing

SHRUNK = 2
"""The floor is watched in pictures this many times smaller than the camera's."""
EVERY_S = 0.35
"""Assumed: it is looked at this far apart, at least."""
STABLE_LOOKS = 4
"""Assumed: a pixel that looked alike so often in a row shows the floor, or what lies on it."""
ALIKE_GREY_LEVELS, CHANGED_GREY_LEVELS = 14, 24
"""Assumed: a pixel that differs by less than the first looks alike, by more than the second it shows something else."""
SHADE_SPREAD, DARKEST_SHADE = 0.12, 0.25
"""Assumed: a shadow takes the same share of each colour, to within the first, and leaves more than the second."""
RING_PX, RING_SHARE = 3, 0.7
"""Assumed: around a spot, so wide, at least this share of the floor is seen as it was, or in shadow."""
NEAREST_M, AISLE_M, ASIDE_M = 0.2, 2.0, 0.5
"""Assumed: the floor is watched from this near before the shelves, where nothing in them covers it, so far before them,
and so far to their sides."""
ITEM_HEIGHT_M = 0.05
"""Assumed: the middle of what lies on the floor is this high."""
LEAST_SIDE_M, MOST_SIDE_M = 0.05, 0.45
"""Assumed: what lies on the floor measures at least and at most so much."""
LEAST_PIXELS = 12
"""Assumed: smaller spots, in the pictures that are looked at, are noise."""
BODY_MARGIN = 0.06
"""Assumed: a person's box and so much of its size around it hides the floor."""
BODY_SCORE = 0.15
"""Assumed: a box is somebody's from this score on, when the floor is to be seen."""
SAME_SPOT_M = 0.25
"""Assumed: spots that two cameras see this near to each other are one."""
ARM_M, ARM_SD_M = 0.35, 0.25
"""Assumed: somebody puts something on the floor so far from where they stand."""
LEAVING_LOOKS = 5
"""Assumed: and stands there for so many looks."""
SOMEBODY = 0.02
"""Assumed: share of those who were never seen near a spot, beside the one who was at its best place."""
LEFT_IF_BOTH, LEFT_IF_ONE = 0.97, 0.9
"""Assumed: how surely a spot is something left there, by whether more than one camera saw it."""
KEPT_S = 180.0
"""Assumed: how the floor looked and where everybody stood is remembered for so long, to tell when and by whom
something was left there that was seen only later."""
QUALITY = 90
"""Assumed: JPEG quality that the floor is remembered in."""
SHOWN_SHARE = 0.6
"""Assumed: a spot is seen bare, or as it is in the end, from this share of its pixels on."""


class Spot(NamedTuple):
    """Something new on the floor, as one camera sees it.

    Attributes:
        at_m: floor position (x, y), metres.
        gone_s: when the bare floor was seen there last.
        come_s: when it was seen there first.
    """

    camera: str
    at_m: np.ndarray
    gone_s: float
    come_s: float


class _Floor:
    """The floor before the shelves in one calibrated camera's pictures."""

    def __init__(self, camera: Camera, planogram: Planogram) -> None:
        self._camera = camera
        height, width = camera.height // SHRUNK, camera.width // SHRUNK
        down, across = np.mgrid[0:height, 0:width]
        pixels = (np.column_stack([across.ravel(), down.ravel()]) + 0.5) * SHRUNK
        origin, rays = np.asarray(camera.position_m, float), camera.rays(pixels)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (ITEM_HEIGHT_M - origin[2]) / rays[:, 2]
            at = origin + far[:, None] * rays
        floor = (far > 0) & np.isfinite(far) & _before_shelves(at[:, :2], planogram)
        rows, columns = np.nonzero(floor.reshape(height, width))
        self._part = (
            (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
            if len(rows)
            else (slice(0, 0), slice(0, 0))
        )
        self._floor = floor.reshape(height, width)[self._part]
        self._at = at[:, :2].reshape(height, width, 2)[self._part]
        shape = self._floor.shape
        self._lately = np.zeros((*shape, 3), np.uint8)
        self._looks = np.zeros(shape, np.int32)
        self._bare, self._known = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool)
        self._changed = np.zeros(shape, bool)
        self._seen: deque[tuple[float, np.ndarray]] = deque()

    def update(self, t_s: float, image: np.ndarray, found: Detections) -> None:
        """Take in a picture, uint8 [height, width, 3], BGR, and who was found in it, where one is due."""
        import cv2

        if not self._floor.size or (self._seen and t_s - self._seen[-1][0] < EVERY_S):
            return
        whole = smaller(image, SHRUNK)
        seen = cv2.blur(whole[self._part], (3, 3))
        self._seen.append((t_s, cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]))
        while self._seen[0][0] < t_s - KEPT_S:
            self._seen.popleft()
        shown = self._floor & ~self._hidden(found)
        alike = shown & (self._looks > 0) & (_apart(seen, self._lately) < ALIKE_GREY_LEVELS)
        other = shown & ~alike
        self._looks += alike
        np.putmask(self._looks, other, 1)
        cv2.copyTo(seen, shown.view(np.uint8), self._lately)
        stable = shown & (self._looks >= STABLE_LOOKS)
        new = stable & ~self._known
        cv2.copyTo(seen, new.view(np.uint8), self._bare)
        self._known |= new
        apart = _apart(seen, self._bare)
        # The light changes slowly; nobody puts anything down so slowly.
        follows = stable & (apart < ALIKE_GREY_LEVELS)
        cv2.copyTo(seen, follows.view(np.uint8), self._bare)
        asked = shown & self._known
        as_it_was = _as_it_was(seen, self._bare, asked)
        self._changed &= ~(asked & as_it_was)
        self._changed |= stable & self._known & ~as_it_was

    def spots(self) -> list[Spot]:
        """What is new on the floor and still there."""
        import cv2

        if not self._floor.size:
            return []
        as_it_was = _as_it_was(self._lately, self._bare, self._known)
        around = np.ones((2 * RING_PX + 1, 2 * RING_PX + 1), np.uint8)
        count, of_pixel, stats, _ = cv2.connectedComponentsWithStats(self._changed.astype(np.uint8))
        found = []
        for number in range(1, count):
            if stats[number, cv2.CC_STAT_AREA] < LEAST_PIXELS:
                continue
            inside = of_pixel == number
            ring = (cv2.dilate(inside.astype(np.uint8), around) > 0) & ~inside & self._floor
            if not ring.any() or as_it_was[ring].mean() < RING_SHARE:
                continue
            # What was there at first may have been what is gone now: then the place now looks like what is around it.
            if _contrast(self._lately, inside, ring) < _contrast(self._bare, inside, ring):
                continue
            at = self._at[inside]
            side = float(np.ptp(at, axis=0).max())
            if LEAST_SIDE_M <= side <= MOST_SIDE_M:
                found.append(Spot(self._camera.camera, at.mean(axis=0), *self._between(inside)))
        return found

    def _between(self, inside: np.ndarray) -> tuple[float, float]:
        """When a spot was seen bare last, and when it was seen first as it is now, seconds; whoever else is there.

        Args:
            inside: its pixels, bool [rows, columns].
        """
        import cv2

        bare, now = self._bare[inside][None], self._lately[inside][None]
        gone, come, later = self._seen[0][0], self._seen[-1][0], False
        for t_s, jpeg in reversed(self._seen):
            seen = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))[inside][None]
            if (_apart(seen, bare) < ALIKE_GREY_LEVELS).mean() > SHOWN_SHARE:
                return t_s, come
            shows = bool((_apart(seen, now) < ALIKE_GREY_LEVELS).mean() > SHOWN_SHARE)
            # Somebody's shoe may look like it for a moment.
            come, later = (t_s if shows and later else come), shows
        return gone, come

    def _hidden(self, found: Detections) -> np.ndarray:
        """Where somebody is before the floor, bool [rows, columns]."""
        hidden = np.zeros(self._floor.shape, bool)
        rows, columns = self._part
        boxes = np.concatenate(
            [found.of(kind, at_least=BODY_SCORE).boxes_xyxy for kind in ("person", "hand")]
        )
        for x1, y1, x2, y2 in (boxes / SHRUNK).tolist():
            margin = BODY_MARGIN * max(x2 - x1, y2 - y1) + 1
            low_x, low_y = x1 - margin - columns.start, y1 - margin - rows.start
            high_x, high_y = x2 + margin - columns.start, y2 + margin - rows.start
            hidden[
                max(0, int(low_y)) : max(0, int(high_y) + 1), max(0, int(low_x)) : max(0, int(high_x) + 1)
            ] = True
        return hidden


class FloorWatch:
    """Watches the floor before the shelves in the pictures of all calibrated cameras."""

    def __init__(self, cameras: Sequence[Camera], planogram: Planogram) -> None:
        self._floors = {camera.camera: _Floor(camera, planogram) for camera in cameras}
        self._stood: deque[Standing] = deque()

    def update(
        self,
        camera: str,
        t_s: float,
        image: np.ndarray,
        found: Detections,
        where: Mapping[str, tuple[float, float]],
    ) -> None:
        """Take in a camera's picture, who was found in it, and where everybody stands: floor (x, y), metres."""
        self._floors[camera].update(t_s, image, found)
        if not self._stood or t_s - self._stood[-1][0] >= EVERY_S:
            self._stood.append((t_s, where))
            while self._stood[0][0] < t_s - KEPT_S:
                self._stood.popleft()

    def left(self, account: Callable[[str, float], str]) -> list[LeftOnFloor]:
        """What lies there now that did not at first: when it was left, and by whom.

        Args:
            account: whose account a person's is who went by a name at a time.
        """
        groups: list[list[Spot]] = []
        for spot in (spot for floor in self._floors.values() for spot in floor.spots()):
            near = [g for g in groups if np.linalg.norm(g[0].at_m - spot.at_m) < SAME_SPOT_M]
            if near:
                near[0].append(spot)
            else:
                groups.append([spot])
        return sorted((self._left(group, account) for group in groups), key=lambda row: row.t_end_s)

    def _left(self, group: Sequence[Spot], account: Callable[[str, float], str]) -> LeftOnFloor:
        at = np.mean([spot.at_m for spot in group], axis=0)
        come = min(spot.come_s for spot in group)
        gone = min(come, max(spot.gone_s for spot in group))
        near: dict[str, deque[float]] = {}
        best: dict[str, float] = {}
        for t_s, where in self._stood:
            if not gone - EVERY_S <= t_s <= come:
                continue
            for person, place in where.items():
                apart = float(np.hypot(*np.subtract(place, at)))
                lately = near.setdefault(person, deque(maxlen=LEAVING_LOOKS))
                lately.append(float(np.exp(-0.5 * ((apart - ARM_M) / ARM_SD_M) ** 2)))
                who = account(person, t_s)
                best[who] = max(best.get(who, 0.0), sum(lately) / LEAVING_LOOKS)
        total = sum(word + SOMEBODY for word in best.values())
        several = len({spot.camera for spot in group}) > 1
        return LeftOnFloor(
            gone,
            come,
            (float(at[0]), float(at[1])),
            {who: (word + SOMEBODY) / total for who, word in best.items()},
            LEFT_IF_BOTH if several else LEFT_IF_ONE,
        )


def _before_shelves(at_m: np.ndarray, planogram: Planogram) -> np.ndarray:
    """Whether floor points [n, 2] lie before a facing, bool [n]."""
    before = np.zeros(len(at_m), bool)
    for facing in planogram.values():
        if facing.box_min_m is None or facing.box_max_m is None:
            continue
        low, high = np.array(facing.box_min_m)[:2], np.array(facing.box_max_m)[:2]
        outward = np.array(facing.front, float)
        corners = np.array([low, high])
        aside = np.array([-outward[1], outward[0]])
        ahead, along = at_m @ outward - (corners @ outward).max(), at_m @ aside
        ends = corners @ aside
        with np.errstate(invalid="ignore"):
            before |= (
                (ahead > NEAREST_M)
                & (ahead < AISLE_M)
                & (along > ends.min() - ASIDE_M)
                & (along < ends.max() + ASIDE_M)
            )
    return before


def _contrast(seen: np.ndarray, inside: np.ndarray, ring: np.ndarray) -> float:
    """How much the colours of some pixels differ from those of others, grey levels."""
    apart = np.median(seen[inside], axis=0) - np.median(seen[ring], axis=0)
    return float(np.abs(apart).max())


def _as_it_was(seen: np.ndarray, bare: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Which of the pixels asked for show the bare floor, maybe in shadow, bool [height, width]."""
    alike = asked & (_apart(seen, bare) < CHANGED_GREY_LEVELS)
    other = asked & ~alike
    left = (seen[other].astype(np.float32) + 1) / (bare[other].astype(np.float32) + 1)
    most, least = left.max(axis=1), left.min(axis=1)
    alike[other] = (most < 1) & (least > DARKEST_SHADE) & (most - least < SHADE_SPREAD)
    return alike


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How much each pixel of two pictures differs, in the channel that differs most, uint8 [height, width]."""
    import cv2

    blue, green, red = cv2.split(cv2.absdiff(a, b))
    return np.asarray(cv2.max(cv2.max(blue, green), red))
