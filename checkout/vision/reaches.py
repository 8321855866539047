"""Shelf moments of calibrated cameras: a hand reaches into a facing's space in the room, and comes back.

A hand that is followed through space (`hands.HandTracker`) reaches where it goes deepest into a
shelf. Where that is says which facing; what the hand held before and after, and how the facing
looked before and after, say whether something was taken, returned, or only touched.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.signal import find_peaks

from checkout.catalog import Planogram
from checkout.events import ShelfMoment
from checkout.vision.hands import HandTrack, State, smoothed
from checkout.vision.shelf_moments import Sign
from checkout.vision.tracks import STANCE_FLOOR, with_mistakes

NEAR_M = 0.14
"""Assumed: a hand closer than this to the shelf's front is at the shelf."""
LEAVING_S = 0.35
"""Assumed: a hand away from the shelf for this long has left it."""
AFTER_S = 1.0
"""Assumed: how long a hand is watched before and after a reach for what it holds."""
DEEPER_M = 0.07
"""Assumed: two reaches of one hand are two when it comes out this far between them."""
LEAST_DEPTH_M = -0.06
"""Assumed: a hand that comes no closer than this to the front did not reach (negative: before the front)."""
AWAY_M = 0.15
"""Assumed: this far from where it reached, what is at the hand is in the hand."""
REACH_BAND_M = 0.10
"""Assumed: a reach lasts while the hand is within this of its deepest."""
ASIDE_SD_M = 0.06
HEIGHT_SD_M = 0.07
"""Assumed: how far from a facing's middle a hand takes hold, beside half of the facing's own width."""
USUAL_STAY_S, UNSEEN_S = 0.8, 0.25
"""Chosen on 24 validation recordings, where most reaches that are seen whole take 0.6 to 1.5 s (0.7 to 0.9 did alike;
0.25 did better than 0.15 and 0.4): a hand that is lost in the shelf, or first seen there, was there for the first, as
far as it was not seen elsewhere; it was lost when it was not seen for the second."""
SAME_REACH_S = 0.5
"""Assumed: reaches of one person to one facing this close in time are one, seen as two hands."""
WEIGHTS = {
    "bias": 0.21,
    "change": 0.56,
    "holds_on": 1.23,
    "two_cameras": 0.55,
    "deep": -1.32,
    "stay": 0.98,
    "holding": 0.48,
    "items": 0.35,
    "direction": 0.31,
    "place": 0.85,
    "seen_at": 0.52,
}
"""Measured (`benchmarks.fit_vision`: softmax fit to 1,166 reaches of 48 validation recordings, with the shipped
networks): log odds of a pick or put-back against a touch ("bias"; "change" of the facing; a hand that "holds_on" to an
item; that "two_cameras" saw; that seemed "deep" beyond `DEEP_M`, a metre; by the logarithm of its "stay"), of a pick
against a put-back ("holding" after against before, as log odds; "items" that a camera misses; "direction" of the
facing's change), and the powers of where the hand was ("place") and of where the second look sees it ("seen_at")."""
DEEP_M, DEEPEST_M = 0.12, 0.4
"""Assumed: a hand rarely reaches deeper than the first; what seems deeper is a hand that one camera misplaces."""
STAY_S = 0.2
"""Assumed: added to a stay before its logarithm is taken."""
LEAST_HELD = 0.02
"""Assumed: a hand is never surer to be empty, or to hold an item, than this."""
EMPTY, EMPTIEST = 0.01, 1e-4
"""Assumed: a hand that may have held an item with less than the first, before and after, the less likely did anything
the surer that is, down to the second."""
SUREST = 4.0
"""Assumed: no camera's word on how a facing changed counts for more than this, as log odds."""
STANCE_TRUST, BODY_TRUST = 0.31, 2.24
"""Measured (`benchmarks.fit_vision`: softmax fit to 878 reaches of those recordings, with `tracks.MISTAKEN`): powers of
how well everybody stood for it and of where the body of that arm is seen; where it is not, the stance counts whole."""
ACTIONS = ("pick", "put_back", "touch")
GRIP_SHARE = 0.45
"""Assumed: a hand takes hold at this share of a facing's height."""


@dataclass(frozen=True)
class Front:
    """The planogram's facings as arrays, metres: middle of the front edge and the way out [n, 2], sizes [n]."""

    names: tuple[str, ...]
    middle: np.ndarray
    outward: np.ndarray
    half_width: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, planogram: Planogram) -> Front:
        known = [f for f in planogram.values() if f.box_min_m is not None and f.box_max_m is not None]
        low = np.array([f.box_min_m for f in known], float).reshape(-1, 3)
        high = np.array([f.box_max_m for f in known], float).reshape(-1, 3)
        outward = np.array([f.front for f in known], float).reshape(-1, 2)
        centre, half = 0.5 * (low + high)[:, :2], 0.5 * (high - low)[:, :2]
        depth = np.abs((outward * half).sum(axis=1))
        along = np.abs(outward[:, ::-1] * half).sum(axis=1)
        return cls(
            tuple(f.facing for f in known),
            centre + outward * depth[:, None],
            outward,
            along,
            low[:, 2],
            high[:, 2],
        )

    def at(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of a point [3]: how far in, aside and above the grip's height of each facing, [n] each, metres."""
        rel = point[:2] - self.middle
        inward = -(rel * self.outward).sum(axis=1)
        aside = rel[:, 0] * -self.outward[:, 1] + rel[:, 1] * self.outward[:, 0]
        grip = self.low + GRIP_SHARE * (self.high - self.low)
        return inward, aside, point[2] - grip

    def depth(self, point: np.ndarray) -> float:
        """How far a point is inside the nearest facing's front, metres; -inf away from the shelf's face."""
        inward, aside, above = self.at(point)
        off = np.maximum(np.abs(aside) - self.half_width, 0) + np.maximum(
            np.abs(above) - 0.5 * (self.high - self.low), 0
        )
        best = int(np.argmin(off))
        return float(inward[best]) if off[best] < 0.25 and inward[best] < 0.6 else -np.inf


@dataclass
class _Visit:
    """One hand at the shelf, from coming to leaving."""

    track: HandTrack
    t_start_s: float
    t_end_s: float
    states: list[State] = field(default_factory=list)


@dataclass(frozen=True)
class Reach:
    """One hand's way to its deepest point in a shelf and back.

    Attributes:
        t_start_s, t_end_s: while it was near its deepest, seconds; where it was not seen to come or to go, as long as
            most stay.
        stay_s: for how long of that it was seen there.
        at_m: where it was then, [3].
        facing: probability of each facing.
        held_before, held_after: score 0-1 that the hand held an item; NaN where it was not seen.
        owner: probability of each person by whose shoulder the hand stayed near.
        signs: what each camera says of how each facing that the hand may have reached into changed, shared with other
            reaches (see `share_changes`) once all are known.
        standing: how well each person stood for it, see `tracks.stance`.
        body: log probability of each person by where the body of that arm is seen, summed over cameras; empty where
            none was.
        place: the same of each facing that the hand may be at.
    """

    t_start_s: float
    t_end_s: float
    stay_s: float
    at_m: np.ndarray
    depth_m: float
    facing: dict[str, float]
    held_before: float
    held_after: float
    owner: dict[str, float]
    cameras: tuple[str, ...]
    signs: Mapping[str, tuple[Sign, ...]] = field(default_factory=dict)
    standing: Mapping[str, float] = field(default_factory=dict)
    body: Mapping[str, float] = field(default_factory=dict)
    place: Mapping[str, float] = field(default_factory=dict)


class ReachFinder:
    """Finds reaches from hand tracks, frame by frame."""

    def __init__(self, planogram: Planogram) -> None:
        self._front = Front.of(planogram)
        self._open: dict[int, _Visit] = {}
        self._left: list[_Visit] = []

    def update(
        self, t_s: float, tracks: Sequence[HandTrack | None], ended: Sequence[HandTrack]
    ) -> list[Reach]:
        """Take in the tracks that were just seen and those that ended; returns the reaches now settled."""
        for track in tracks:
            if track is None:
                continue
            if self._front.depth(track.states[-1].mean[:3]) > -NEAR_M:
                visit = self._open.setdefault(track.number, _Visit(track, t_s, t_s))
                visit.t_end_s = t_s
        gone = {t.number for t in ended}
        for number, visit in list(self._open.items()):
            if number in gone or t_s - visit.t_end_s > LEAVING_S:
                self._left.append(self._open.pop(number))
        found, waiting = [], []
        for visit in self._left:
            if t_s - visit.t_end_s > AFTER_S or visit.track.number in gone:
                found += self._reaches(visit)
            else:
                waiting.append(visit)
        self._left = waiting
        return found

    def flush(self) -> list[Reach]:
        visits = [*self._left, *self._open.values()]
        self._left, self._open = [], {}
        return [reach for visit in visits for reach in self._reaches(visit)]

    def _reaches(self, visit: _Visit) -> list[Reach]:
        early, late = visit.t_start_s - AFTER_S, visit.t_end_s + AFTER_S
        # Smoothing goes backwards from the last state, so those before are not needed.
        recent = [s for s in visit.track.states if s.t_s >= early]
        states = [s for s in smoothed(recent) if s.t_s <= late]
        if len(states) < 3:
            return []
        times = np.array([s.t_s for s in states])
        depth = np.array([max(self._front.depth(s.mean[:3]), -0.5) for s in states])
        padded = np.concatenate([[-0.6], depth, [-0.6]])
        peaks = find_peaks(padded, prominence=DEEPER_M, height=LEAST_DEPTH_M)[0] - 1
        spans = [_span(depth, int(p)) for p in peaks]
        found = []
        for index, (first, last) in enumerate(spans):
            before_s = times[spans[index - 1][1]] if index else -np.inf
            after_s = times[spans[index + 1][0]] if index + 1 < len(spans) else np.inf
            found.append(self._reach(visit.track, states, depth, first, last, before_s, after_s))
        return found

    def _reach(
        self,
        track: HandTrack,
        states: Sequence[State],
        depth: np.ndarray,
        first: int,
        last: int,
        before_s: float,
        after_s: float,
    ) -> Reach:
        inside = states[first : last + 1]
        top = float(depth[first : last + 1].max())
        deep = [s for s, d in zip(inside, depth[first : last + 1], strict=True) if d > top - 0.05]
        weight = np.array([1.0 / np.trace(s.cov[:3, :3]) for s in deep])
        at = np.average([s.mean[:3] for s in deep], axis=0, weights=weight)
        cov = np.average([s.cov[:3, :3] for s in deep], axis=0, weights=weight)
        start, end = inside[0].t_s, inside[-1].t_s
        before = _held(track, at, max(start - AFTER_S, before_s), start)
        after = _held(track, at, end, min(end + AFTER_S, after_s))
        came = start - states[first - 1].t_s if first else np.inf
        went = states[last + 1].t_s - end if last + 1 < len(states) else np.inf
        begin, finish = _whole(start, end, came, went)
        return Reach(
            begin,
            finish,
            end - start,
            at,
            top,
            self._facings(at, cov),
            before,
            after,
            track.owner,
            tuple(sorted({h.camera for h in track.holding if start - 0.2 <= h.t_s <= end + 0.2})),
        )

    def _facings(self, at: np.ndarray, cov: np.ndarray) -> dict[str, float]:
        _, aside, above = self._front.at(at)
        flat = float(0.5 * (cov[0, 0] + cov[1, 1]))
        score = -0.5 * aside**2 / (ASIDE_SD_M**2 + flat + (0.4 * self._front.half_width) ** 2)
        score -= 0.5 * above**2 / (HEIGHT_SD_M**2 + float(cov[2, 2]))
        weight = np.exp(score - score.max())
        weight /= weight.sum()
        return {n: float(w) for n, w in zip(self._front.names, weight, strict=True) if w > 1e-4}


def share_changes(reaches: Sequence[Reach]) -> list[Reach]:
    """Reaches in time order; what changed while others reached there too is as likely theirs as they were there.

    A facing is looked at before and after a reach when no hand is before it, so that the looks may lie seconds
    apart, and one unit that went between them is seen by every reach in that time. The same act seen twice is no other.
    """
    ordered = sorted(reaches, key=_middle_s)
    times = [_middle_s(reach) for reach in ordered]
    found = []
    for reach in ordered:
        signs = {}
        for facing, said in reach.signs.items():
            own, shared = reach.facing[facing], []
            for sign in said:
                first, last = bisect_right(times, sign.t_before_s), bisect_left(times, sign.t_after_s)
                others = [r for r in ordered[first:last] if r is not reach and not _same(reach, r)]
                shared.append(sign.shared(own / (own + sum(r.facing.get(facing, 0.0) for r in others))))
            signs[facing] = tuple(shared)
        found.append(replace(reach, signs=signs))
    return found


def _middle_s(reach: Reach) -> float:
    return 0.5 * (reach.t_start_s + reach.t_end_s)


def moments_of(reaches: Sequence[Reach], shopper_of: Mapping[str, str]) -> list[ShelfMoment]:
    """The shelf moments that reaches are, of all cameras together, in time order.

    Of one act that was seen as several reaches, the one stands that most cameras saw, and for longest.
    """
    kept: list[Reach] = []
    for reach in sorted(reaches, key=lambda r: (-len(r.cameras), -r.stay_s)):
        if not any(_same(reach, other) for other in kept):
            kept.append(reach)
    return [_moment(reach, shopper_of) for reach in sorted(kept, key=_middle_s)]


def _same(a: Reach, b: Reach) -> bool:
    apart = abs(_middle_s(a) - _middle_s(b))
    agree = sum(min(p, b.facing.get(f, 0.0)) for f, p in a.facing.items())
    one, other = person_of(a), person_of(b)
    person = sum(p * other.get(who, 0.0) for who, p in one.items()) if one else 1.0
    return apart <= SAME_REACH_S and agree > 0.3 and person > 0.5


def _moment(reach: Reach, shopper_of: Mapping[str, str]) -> ShelfMoment:
    facing: dict[str, float] = {}
    action = dict.fromkeys(ACTIONS, 0.0)
    for (name, did), probability in explanations(reach).items():
        facing[name] = facing.get(name, 0.0) + probability
        action[did] += probability
    shopper: dict[str, float] = {}
    for person, share in person_of(reach).items():
        who = shopper_of[person]
        shopper[who] = shopper.get(who, 0.0) + share
    return ShelfMoment(reach.t_start_s, reach.t_end_s, "+".join(reach.cameras), facing, action, shopper)


def person_of(reach: Reach) -> dict[str, float]:
    """Probability of each person that a reach was theirs, by the hand's track where it is not known who stood where."""
    if not reach.standing:
        return reach.owner
    trust = STANCE_TRUST if reach.body else 1.0
    unlikely = min(reach.body.values(), default=0.0)
    weight = {
        who: (standing + STANCE_FLOOR) ** trust * float(np.exp(BODY_TRUST * reach.body.get(who, unlikely)))
        for who, standing in reach.standing.items()
    }
    return with_mistakes(weight)


def explanations(reach: Reach, weights: Mapping[str, float] = WEIGHTS) -> dict[tuple[str, str], float]:
    """Probability of each facing and what was done there, from where the hand was and what changed."""
    score = {
        (name, did): value
        for name, probability in reach.facing.items()
        for did, value in _scores(reach, name, probability, weights).items()
    }
    top = max(score.values())
    weight = {key: float(np.exp(value - top)) for key, value in score.items()}
    total = sum(weight.values())
    return {key: w / total for key, w in weight.items()}


def _scores(reach: Reach, facing: str, probability: float, weights: Mapping[str, float]) -> dict[str, float]:
    held = np.clip([reach.held_before, reach.held_after], LEAST_HELD, 1 - LEAST_HELD)
    before, after = np.log(held / (1 - held))
    seen = not np.isnan(held).any()
    signs = reach.signs.get(facing, ())
    toward_pick = weights["holding"] * (after - before) if seen else 0.0
    toward_pick += weights["items"] * sum(float(np.clip(s.items_gone, -1, 1)) for s in signs)
    toward_pick += weights["direction"] * sum(_log_odds(s.change[1], s.change[2]) for s in signs)
    happened = weights["bias"]
    if seen:
        happened += weights["holds_on"] * held.min()
        full = max(reach.held_before, reach.held_after, EMPTIEST)
        happened += min(0.0, float(np.log(full / EMPTY)))
    happened += weights["change"] * sum(_log_odds(1 - s.change[0], s.change[0]) for s in signs)
    happened += weights["two_cameras"] * (len(reach.cameras) > 1)
    happened += weights["deep"] * float(np.clip(reach.depth_m - DEEP_M, 0, DEEPEST_M))
    happened += weights["stay"] * float(np.log(reach.stay_s + STAY_S))
    place = weights["place"] * float(np.log(probability))
    if reach.place:
        place += weights["seen_at"] * reach.place.get(facing, min(reach.place.values()))
    return {
        "pick": place + happened + toward_pick,
        "put_back": place + happened - toward_pick,
        "touch": place,
    }


def _log_odds(p: float, q: float) -> float:
    """How much likelier one thing is than the other, as a logarithm, at most `SUREST` either way."""
    return float(np.clip(np.log(max(p, 1e-9) / max(q, 1e-9)), -SUREST, SUREST))


def _held(track: HandTrack, at: np.ndarray, first_s: float, last_s: float) -> float:
    """Mean score that the hand held an item in a time, rather where it was away from the place it reached into."""
    seen = [h for h in track.holding if first_s <= h.t_s <= last_s]
    away = [h for h in seen if np.linalg.norm(h.at_m - at) > AWAY_M]
    scores = [h.score for h in away or seen]
    return float(np.mean(scores)) if scores else float("nan")


def _whole(start_s: float, end_s: float, before_s: float, after_s: float) -> tuple[float, float]:
    """When a reach began and ended that was seen from one time to another, and not for so long before and after."""
    missing = max(0.0, USUAL_STAY_S - (end_s - start_s))
    before, after = (gap if gap > UNSEEN_S else 0.0 for gap in (before_s, after_s))
    # Half of what is missing on either side, and what does not fit there on the other.
    return (
        start_s - min(before, max(0.5 * missing, missing - after)),
        end_s + min(after, max(0.5 * missing, missing - before)),
    )


def _span(depth: np.ndarray, peak: int) -> tuple[int, int]:
    """The samples around a peak that are within `REACH_BAND_M` of it."""
    first = last = peak
    while first > 0 and depth[first - 1] > depth[peak] - REACH_BAND_M:
        first -= 1
    while last + 1 < len(depth) and depth[last + 1] > depth[peak] - REACH_BAND_M:
        last += 1
    return first, last
