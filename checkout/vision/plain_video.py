"""Shelf moments of a plain video: places, picks and put-backs found from what changes in the still scene.

No calibration, no planogram and no trust in the item detector are needed: whatever kind of thing it
is, it was taken or put where the still scene (`still_scene.StillScene`) is not as it was after a
hand had been there. Which of the two it was is told by

- *edge*: a thing has an outline, bare ground goes on: the outline's contrast before against after;
- *carried*: the thing is seen to move: its look before is found on its way after a pick, its look
  after on its way before a put-back;
- *items*: the detector's item boxes at the place before against after;
- *holding*: item boxes at the hand that did not stand there, after against before.

Its time is when the place last looked as before (pick) or first looked as after (put-back).
Events at one place are judged together: what goes back to an earlier look is the opposite act.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.events import ShelfMoment
from checkout.vision.detector import Detections
from checkout.vision.still_scene import HISTORY_S, LARGE_SHARE, Change, Glimpse, StillScene
from checkout.vision.tracks import HandSighting

Region = tuple[float, float, float, float]

ACTION_WEIGHTS = {"edge": 1.5, "carried": 4.0, "items": 2.0, "holding": 1.0}
"""Assumed: log odds of a pick against a put-back for each unit of a sign."""
EVENT_WEIGHTS = {
    "bias": -4.0, "hand": 3.0, "mover": 3.0, "clear": 3.0, "shifted": -4.0, "solid": 1.0, "at_edge": -1.0,
    "large": -1.5, "share": -3.0, "person": -6.0,
}  # fmt: skip
"""Assumed: log odds of an event for each unit of a sign; something must have come and an outline must be clear."""
LIKE = 0.7
"""Correlation up to which two different looks of a place may be alike; assumed, and raised from a lower value when the
results on `bottle-detection.mp4` were known."""
LARGEST_LOG = 2.0
"""Assumed: log of how many times a hand's area a thing in a hand seldom exceeds: 7, a cereal box."""
GAP_S, GAP_SHARE = 1.5, 0.25
"""Between the two looks an act is taken to be this share of the time from the one that tells (before a pick, after a
put-back: a thing is straightened after it was put); where that time is longer than 1.5 s, when the hand was. Assumed;
the share was set when the results on `bottle-detection.mp4` were known."""
LEAST_HALF_S = 0.1
"""A moment is no shorter than the steps in which it is looked for."""
SAME_PLACE_SHARE = 0.3
"""Assumed: two regions of which one covers this share of the other are one place."""
ITEM_SCORE = 0.25
"""Assumed: an item or person box counts from this score on."""
SAME_PERSON_IOU = 0.4
"""Assumed: a person box that overlaps a change so much is what changed."""
STANDING_S, SAME_STANDING_IOU, FORGET_S = 1.0, 0.6, 5.0
"""Assumed: a thing stands where boxes that agree this much were for a second; boxes unseen for 5 s are forgotten."""
RETURN_LINK = 0.95
"""Assumed: probability that what brings back the look before the last act is the opposite act."""
LOOK_MARGIN = 0.2
"""Assumed: share of a place's points by which one look must outnumber the other."""
RING, MOST_SHADE = (7, 15), 0.5
"""Assumed: the light of a place is that of the points 4 to 7 of the 160-pixel picture around it; a hand shades it to
no less than 60 %."""
APPROACH_S, CARRY_S, MOVER_S = 1.0, 0.8, 0.7
"""Assumed: how long before and after a hand, a thing on its way, and whatever moves are looked for."""
LEAST_TEXTURE = 0.03
"""Assumed: log ratio of spread under which a cut has no texture to be found again by: the noise of a dark picture."""
SLIP_PX = 1.5
"""Assumed: blur of the 160-pixel pictures, so that a thing put down and pushed by a hundredth still looks as after."""
HAND_GROWN = 0.3
"""Assumed: a hand box reaches its own size times this farther: boxes of hands are badly bounded."""


class Signs(NamedTuple):
    """What tells an event at a change, and which.

    Attributes:
        hand: highest score, 0-1, of a hand box at the place meanwhile, less what is said there at rest.
        mover: 0-1, whether something that moves was at the place and reached beyond it.
        size: log of the change's area over that of a hand, beyond what a hand carries; NaN without a hand.
        share: log of the change's share of the picture over `LARGE_SHARE`.
        person: highest mean score of a person box that is the change itself, before or after.
        at_edge: the change reaches the picture's edge.
        solid: share of its convex hull that it fills.
        shifted: the thing before is found beside its place after (0-1).
        edge, carried, items, holding: see the module; positive for a pick.
    """

    hand: float
    mover: float
    size: float
    share: float
    person: float
    at_edge: bool
    solid: float
    shifted: float
    edge: float
    carried: float
    items: float
    holding: float


@dataclass(frozen=True)
class _Boxes:
    """What the detector said in one frame: hands [n, 5] (x1, y1, x2, y2, score), items, people; holding [n]."""

    t_s: float
    hands: np.ndarray
    items: np.ndarray
    people: np.ndarray
    holding: np.ndarray


@dataclass(frozen=True)
class Happening:
    """A change of the still scene, judged by itself.

    Attributes:
        region: x1, y1, x2, y2, pixels.
        left_s, came_s: when the place last looked as before, and then first as after.
        hand_s: the middle of the time that a hand was there meanwhile.
    """

    region: Region
    signs: Signs
    left_s: float
    came_s: float
    hand_s: float

    @property
    def event_logit(self) -> float:
        """Log odds that a thing was taken or put here, against a touch, a light or anything else."""
        s = self.signs
        parts = {
            "bias": 1.0,
            "hand": s.hand,
            "mover": s.mover,
            "clear": min(abs(s.edge), 1.0),
            "shifted": max(0.0, s.shifted - LIKE) / (1 - LIKE),
            "solid": s.solid,
            "at_edge": float(s.at_edge),
            "large": max(0.0, s.size - LARGEST_LOG) if np.isfinite(s.size) else 0.0,
            "share": max(0.0, s.share),
            "person": s.person,
        }
        return float(sum(EVENT_WEIGHTS[name] * value for name, value in parts.items()))

    @property
    def action_logit(self) -> float:
        """Log odds of a pick against a put-back."""
        s = self.signs
        return float(sum(weight * getattr(s, name) for name, weight in ACTION_WEIGHTS.items()))

    def moment(self, camera: str, place: str, pick: float) -> ShelfMoment:
        """The moment at a place, given the probability that it is a pick if it is an event."""
        event = 1.0 / (1.0 + np.exp(-self.event_logit))
        gap_s = self.came_s - self.left_s
        if gap_s > GAP_S:
            at_s = self.hand_s
        else:
            at_s = self.left_s + GAP_SHARE * gap_s if pick >= 0.5 else self.came_s - GAP_SHARE * gap_s
        half_s = min(max(0.5 * gap_s, LEAST_HALF_S), at_s)
        action = {"pick": event * pick, "put_back": event * (1 - pick), "touch": 1 - event}
        return ShelfMoment(at_s - half_s, at_s + half_s, camera, {place: 1.0}, action)


@dataclass
class _Place:
    """Where things are taken and put: what happened there, and whether each act brought back the look before the last.

    Only the last change is kept with its pictures.
    """

    region: Region
    happened: list[Happening] = field(default_factory=list)
    undone: list[bool] = field(default_factory=list)
    last: Change | None = None

    def add(self, happening: Happening, change: Change) -> None:
        self.happened.append(happening)
        self.undone.append(self.last is not None and _undoes(self.last, change))
        self.last = change
        if _area(happening.region) > _area(self.region):
            self.region = happening.region


class PlainVideo:
    """Finds places and shelf moments of one fixed camera, frame by frame.

    What is kept is the last `HISTORY_S` seconds, the last change of each place and a few numbers of each event.

    Args:
        width, height: size of the video's pictures, pixels.
    """

    def __init__(self, camera: str, width: int, height: int) -> None:
        self._camera = camera
        self._scene = StillScene(width, height)
        self._boxes: deque[_Boxes] = deque()
        self._standing = StandingItems()
        self._places: list[_Place] = []

    def update(self, t_s: float, image: np.ndarray, found: Detections, hands: Sequence[HandSighting]) -> None:
        """Take in one frame: its picture, what the network says of it, and its hands as they are followed."""
        items = found.of("item", at_least=ITEM_SCORE)
        people = found.of("person", at_least=ITEM_SCORE)
        hand_rows = np.array([[*h.box_xyxy, h.confidence] for h in hands], float).reshape(-1, 5)
        item_rows, people_rows = (
            np.column_stack([f.boxes_xyxy, f.confidence]).astype(float).reshape(-1, 5)
            for f in (items, people)
        )
        holding = np.array([h.holding for h in hands])
        self._boxes.append(_Boxes(t_s, hand_rows, item_rows, people_rows, holding))
        while self._boxes[0].t_s < t_s - HISTORY_S:
            self._boxes.popleft()
        self._standing.update(t_s, items.boxes_xyxy)
        movers = [tuple(map(float, b)) for b in (*hand_rows[:, :4], *people.boxes_xyxy)]
        for change in self._scene.update(t_s, image, movers):  # type: ignore[arg-type]
            happening = judge(change, list(self._scene.history), list(self._boxes), self._scene.scale)
            if happening.event_logit > 0:
                self._place_at(happening.region).add(happening, change)

    @property
    def warnings(self) -> list[str]:
        """What spoils the result, one line each."""
        cuts, last_s = self._scene.cuts, self._scene.last_cut_s
        if not cuts:
            return []
        times = "once" if cuts == 1 else f"{cuts} times"
        return [
            f"the picture became another one {times}, last at {last_s:.1f} s: the camera must stand still"
        ]

    def _place_at(self, region: Region) -> _Place:
        """The place that a region overlaps most, a new one where it overlaps none."""
        shares = [max(_share(region, p.region), _share(p.region, region)) for p in self._places]
        if shares and max(shares) > SAME_PLACE_SHARE:
            return self._places[int(np.argmax(shares))]
        self._places.append(_Place(region))
        return self._places[-1]

    def finish(self) -> tuple[list[ShelfMoment], dict[str, Region]]:
        """All moments in time order, and the places, named from left to right."""
        places = list(self._places)
        for region in self._standing.places():
            if all(
                max(_share(region, p.region), _share(p.region, region)) < SAME_PLACE_SHARE for p in places
            ):
                places.append(_Place(region))
        places.sort(key=lambda p: p.region[0])
        moments = [
            happening.moment(self._camera, f"place-{number}", pick)
            for number, place in enumerate(places, start=1)
            for happening, pick in zip(
                place.happened, picks([h.action_logit for h in place.happened], place.undone), strict=True
            )
        ]
        moments.sort(key=lambda m: m.t_s)
        return moments, {f"place-{number}": place.region for number, place in enumerate(places, start=1)}


def picks(action_logits: Sequence[float], undone: Sequence[bool]) -> list[float]:
    """Probability that each act at one place is a pick, all judged together (forward and backward, exactly).

    Args:
        action_logits: log odds of a pick against a put-back of each act by itself.
        undone: whether an act brought back the look before the last one; it is then the opposite act, with
            `RETURN_LINK`.
    """
    if not action_logits:
        return []
    own = np.array([[1.0, np.exp(-np.clip(logit, -30, 30))] for logit in action_logits])
    opposite = np.array([[1 - RETURN_LINK, RETURN_LINK], [RETURN_LINK, 1 - RETURN_LINK]])
    steps = [opposite if back else np.full((2, 2), 0.5) for back in undone[1:]]
    forward, backward = [own[0] / own[0].sum()], [np.ones(2)]
    for step, word in zip(steps, own[1:], strict=True):
        state = (forward[-1] @ step) * word
        forward.append(state / state.sum())
    for step, word in zip(reversed(steps), own[:0:-1], strict=True):
        state = step @ (word * backward[-1])
        backward.append(state / state.sum())
    both = np.array(forward) * np.array(backward[::-1])
    return [float(v) for v in both[:, 0] / both.sum(axis=1)]


def _undoes(last: Change, now: Change) -> bool:
    """Whether a place looks after one change as it did before the last."""
    both = last.mask & now.mask
    if both.sum() < 0.3 * min(last.mask.sum(), now.mask.sum()):
        return False
    changed = np.abs(now.after - now.before)[both].mean()
    apart = np.abs(now.after - last.before)[both].mean()
    return bool(apart < 0.5 * changed)


class StandingItems:
    """Where item boxes stand still; boxes that come and go are forgotten."""

    def __init__(self) -> None:
        self._seen: list[tuple[np.ndarray, float, float]] = []
        self._t_s = float("nan")

    def update(self, t_s: float, boxes_xyxy: np.ndarray) -> None:
        """Take in one frame's item boxes [n, 4], pixels."""
        step_s = min(t_s - self._t_s, 1.0) if np.isfinite(self._t_s) else 0.0
        self._t_s = t_s
        seen = [s for s in self._seen if s[1] >= STANDING_S or t_s - s[2] < FORGET_S]
        for box in boxes_xyxy:
            for index, (mean, stood_s, _) in enumerate(seen):
                if _iou(box, mean) > SAME_STANDING_IOU:
                    seen[index] = (mean + 0.1 * (box - mean), stood_s + step_s, t_s)
                    break
            else:
                seen.append((np.asarray(box, float), 0.0, t_s))
        self._seen = seen

    def places(self) -> list[Region]:
        """Where something stood for `STANDING_S`, the larger where two overlap."""
        boxes = [mean for mean, stood_s, _ in self._seen if stood_s >= STANDING_S]
        boxes.sort(key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]))
        kept: list[Region] = []
        for box in boxes:
            region = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
            if all(_share(region, o) < 0.3 and _share(o, region) < 0.3 for o in kept):
                kept.append(region)
        return kept


def judge(change: Change, history: Sequence[Glimpse], boxes: Sequence[_Boxes], scale: float) -> Happening:
    """The signs of a change and when it happened."""
    left_s, came_s = when(change, history)
    near = [b for b in boxes if left_s - APPROACH_S <= b.t_s <= came_s + APPROACH_S]
    rest = [b for b in boxes if b.t_s < change.t_start_s - 0.1 or b.t_s > change.t_end_s - 0.3]
    scored = [(b.t_s, *_hand_at(change.region, b)) for b in near]
    at_rest = float(np.median([_hand_at(change.region, b)[0] for b in rest])) if rest else 0.0
    hand = max((s for _, s, _ in scored), default=0.0) - at_rest
    hand_areas = [a for _, s, a in scored if s > 0]
    area = float(change.mask.sum()) * scale**2
    signs = Signs(
        hand=hand,
        mover=_mover(change.mask, history, left_s, came_s),
        size=float(np.log(area / np.median(hand_areas))) if hand_areas else float("nan"),
        share=float(np.log(change.mask.mean() / LARGE_SHARE)),
        person=_person(change, boxes),
        at_edge=change.at_edge,
        solid=_solidity(change.mask),
        shifted=_shifted(change),
        edge=_edge(change.mask, change.before, change.after),
        carried=_carried(change, history, left_s, came_s),
        items=_items(change, boxes, left_s, came_s),
        holding=_holding(change.region, boxes, left_s, came_s),
    )
    between = [t for t, s, _ in scored if s > 0 and left_s <= t <= came_s]
    hand_s = float(np.median(between)) if between else 0.5 * (left_s + came_s)
    return Happening(change.region, signs, left_s, came_s, hand_s)


def when(change: Change, history: Sequence[Glimpse]) -> tuple[float, float]:
    """When the place last looked as before and then first as after, seconds.

    A point looks as before (after) when it is nearer to that look than half of their difference, in the light that
    what lies around the place is in (a hand shades both); the place does when `LOOK_MARGIN` more of its points look
    so than the other way.
    """
    import cv2

    seen = [g for g in history if change.t_start_s - 0.5 <= g.t_s <= change.t_end_s]
    if not seen:
        return change.t_start_s, change.t_end_s
    size = seen[0].small.shape[1::-1]
    share = cv2.resize(change.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    place = share > min(0.4, 0.5 * float(share.max()))
    near, far = (cv2.dilate(place.astype(np.uint8), np.ones((n, n), np.uint8)) > 0 for n in RING)
    ring = far & ~near
    before, after = (
        _soft(cv2.resize(v, size, interpolation=cv2.INTER_AREA)) for v in (change.before, change.after)
    )
    contrast = np.linalg.norm((after - before)[place], axis=1)
    balance = []
    for glimpse in seen:
        look = _soft(glimpse.look())
        if ring.any():
            shade = np.median((look - before)[ring], axis=0)
            look = look - np.clip(shade, -MOST_SHADE, MOST_SHADE)
        as_before = np.linalg.norm((look - before)[place], axis=1) < 0.5 * contrast
        as_after = np.linalg.norm((look - after)[place], axis=1) < 0.5 * contrast
        balance.append(float(as_before.mean() - as_after.mean()))
    times = [g.t_s for g in seen]
    like_before = [t for t, b in zip(times, balance, strict=True) if b > LOOK_MARGIN]
    left_s = like_before[-1] if like_before else times[0]
    like_after = [t for t, b in zip(times, balance, strict=True) if b < -LOOK_MARGIN and t > left_s]
    return left_s, like_after[0] if like_after else change.t_end_s


def _soft(look: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(look, (0, 0), SLIP_PX))


def _hand_at(region: Region, boxes: _Boxes) -> tuple[float, float]:
    """Score and area, square pixels, of the surest hand box at a region; zeros where there is none."""
    best = (0.0, 0.0)
    for x1, y1, x2, y2, score in boxes.hands:
        grow = HAND_GROWN * max(x2 - x1, y2 - y1)
        if score > best[0] and _touch((x1 - grow, y1 - grow, x2 + grow, y2 + grow), region):
            best = (float(score), float((x2 - x1) * (y2 - y1)))
    return best


def _mover(mask: np.ndarray, history: Sequence[Glimpse], left_s: float, came_s: float) -> float:
    """Area of what moves at a place and reaches beyond it, over the place's own, at most 1."""
    import cv2

    best = 0.0
    for glimpse in history:
        if not left_s - MOVER_S <= glimpse.t_s <= came_s + MOVER_S:
            continue
        height, width = glimpse.busy.shape
        here = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.3
        _, label = cv2.connectedComponents(cv2.dilate(glimpse.busy, np.ones((3, 3), np.uint8)))
        parts = np.unique(label[here & (label > 0)])
        beyond = np.isin(label, parts) & ~cv2.dilate(here.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(
            bool
        )
        best = max(best, float((beyond & (glimpse.busy > 0)).sum()) / max(1, int(here.sum())))
    return min(best, 1.0)


def _solidity(mask: np.ndarray) -> float:
    import cv2

    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    hull = cv2.convexHull(points)
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), hull, 1)
    return float(mask.sum() / max(1, int(filled.sum())))


def _edge(mask: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Log ratio of the contrast along the outline of a change, before over after."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    band = (cv2.dilate(closed, kernel) - cv2.erode(closed, kernel)).astype(bool)

    def contrast(look: np.ndarray) -> float:
        across = [cv2.Sobel(look, cv2.CV_32F, *d, ksize=3) / 8 for d in ((1, 0), (0, 1))]
        return float(np.sqrt((across[0] ** 2 + across[1] ** 2).sum(axis=2))[band].mean())

    return float(np.log((contrast(before) + 0.01) / (contrast(after) + 0.01)))


def _cut(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _found(look: np.ndarray, patch: np.ndarray, weight: np.ndarray, apart: np.ndarray) -> float:
    """Best correlation of a patch with a picture, where `apart` allows it; 0 for a patch without texture."""
    import cv2

    spread = patch[weight > 0].std(axis=0).max() if (weight > 0).any() else 0.0
    if spread < LEAST_TEXTURE:
        return 0.0
    w = np.repeat(weight[..., None].astype(np.float32), 3, axis=2)
    score = cv2.matchTemplate(look, patch, cv2.TM_CCOEFF_NORMED, mask=w)
    score = np.where(np.isfinite(score) & apart, score, 0)
    return float(np.clip(score, 0, 1).max())


def _carried(change: Change, history: Sequence[Glimpse], left_s: float, came_s: float) -> float:
    """How much better the look before is found on its way after a pick than the look after before a put-back."""
    import cv2

    if not history:
        return 0.0
    height, width = history[0].small.shape[:2]
    mask = cv2.resize(change.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.3
    if mask.sum() < 12:
        return 0.0
    rows, columns = cut = _cut(mask)
    before, after = (
        cv2.resize(v, (width, height), interpolation=cv2.INTER_AREA) for v in (change.before, change.after)
    )
    y, x = np.mgrid[0 : height - (rows.stop - rows.start) + 1, 0 : width - (columns.stop - columns.start) + 1]
    far = np.hypot(
        (y - rows.start) / (rows.stop - rows.start), (x - columns.start) / (columns.stop - columns.start)
    )
    apart = far > 0.25

    def moves(patch: np.ndarray, glimpses: Sequence[Glimpse]) -> float:
        still = max(_found(look, patch, mask[cut], apart) for look in (before, after))
        best = max((_found(g.look(), patch, mask[cut], apart) for g in glimpses), default=0.0)
        return max(0.0, best - still)

    leaving = [g for g in history if left_s < g.t_s <= left_s + CARRY_S]
    coming = [g for g in history if came_s - CARRY_S <= g.t_s < came_s]
    return moves(before[cut], leaving) - moves(after[cut], coming)


def _shifted(change: Change) -> float:
    """How well what was there is found a little aside afterwards, and what is there now before; correlation, 0-1.

    Both are high for a thing that was pushed, one of them low for a thing that was taken or put.
    """
    import cv2

    rows, columns = _cut(change.mask)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    points = np.argwhere(change.mask)[:, ::-1].astype(np.int32)
    hull = cv2.fillConvexPoly(np.zeros(change.mask.shape, np.uint8), cv2.convexHull(points), 1)[rows, columns]
    aside = (max(2, height // 3), max(2, width // 3))
    top, left = max(0, rows.start - aside[0]), max(0, columns.start - aside[1])
    around = np.s_[top : rows.stop + aside[0], left : columns.stop + aside[1]]

    def found(thing: np.ndarray, scene: np.ndarray) -> float:
        window = np.ascontiguousarray(scene[around])
        apart = np.ones((window.shape[0] - height + 1, window.shape[1] - width + 1), bool)
        apart[rows.start - top, columns.start - left] = False
        return _found(window, np.ascontiguousarray(thing[rows, columns]), hull, apart)

    return min(found(change.before, change.after), found(change.after, change.before))


def _person(change: Change, boxes: Sequence[_Boxes]) -> float:
    """Mean score of the surest person box that is the change itself, before or after, whichever is more."""

    def at(b: _Boxes) -> float:
        same = [float(row[4]) for row in b.people if _iou(row[:4], np.array(change.region)) > SAME_PERSON_IOU]
        return max(same, default=0.0)

    before = [at(b) for b in boxes if change.t_start_s - APPROACH_S <= b.t_s < change.t_start_s]
    after = [at(b) for b in boxes if b.t_s >= change.t_end_s - APPROACH_S]
    return max(float(np.mean(before or [0.0])), float(np.mean(after or [0.0])))


def _items(change: Change, boxes: Sequence[_Boxes], left_s: float, came_s: float) -> float:
    """Mean score of the surest item box at the place before, less after."""

    def at(b: _Boxes) -> float:
        return max((float(s) for *box, s in b.items if _agree(tuple(box), change.region)), default=0.0)

    before = [at(b) for b in boxes if left_s - 2.0 <= b.t_s <= left_s and b.t_s < change.t_start_s]
    after = [at(b) for b in boxes if change.t_end_s - 0.4 <= b.t_s <= change.t_end_s]
    return float(np.mean(before or [0.0]) - np.mean(after or [0.0])) if before and after else 0.0


def _holding(region: Region, boxes: Sequence[_Boxes], left_s: float, came_s: float) -> float:
    """Mean score that a hand near the place held an item after, less before."""

    def mean(first_s: float, last_s: float) -> float:
        scores = [float(b.holding.max()) for b in boxes if first_s <= b.t_s <= last_s and len(b.holding)]
        return float(np.mean(scores)) if scores else float("nan")

    after, before = mean(left_s, left_s + APPROACH_S), mean(came_s - APPROACH_S, came_s)
    return float(np.nan_to_num(after) - np.nan_to_num(before))


def _agree(box: Region, region: Region) -> bool:
    return _share(box, region) > 0.3 or _share(region, box) > 0.5


def _touch(a: Region, b: Region) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def _share(a: Region, b: Region) -> float:
    """Share of box b that box a covers."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    area = (b[2] - b[0]) * (b[3] - b[1])
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0


def _area(region: Region) -> float:
    return (region[2] - region[0]) * (region[3] - region[1])


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    first, second = tuple(map(float, a)), tuple(map(float, b))
    inter = _share(first, second) * (second[2] - second[0]) * (second[3] - second[1])  # type: ignore[arg-type]
    union = sum((v[2] - v[0]) * (v[3] - v[1]) for v in (first, second)) - inter
    return inter / union if union > 0 else 0.0
