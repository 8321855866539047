"""Follows hands through space, from all calibrated cameras at once.

Each hand is a constant-velocity Kalman filter whose measurements are the pixels where a camera sees
it (an extended filter: the camera's projection is linearised; Bar-Shalom, Li and Kirubarajan 2001,
ch. 10). One camera leaves the distance uncertain, and the filter knows how uncertain; a second one
settles it. A hand belongs to the person whose shoulder it stays within an arm's reach of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.recording import Camera
from checkout.vision.hand_depth import Depth

SHOULDER_HEIGHT_M = 1.35
"""Assumed: height of the shoulder that an arm hangs from."""
ARM_M = 0.6
"""Assumed: a hand is rarely farther than this from where the shoulders' middle is taken to be."""
ARM_SD_M = 0.16
"""Assumed: how much farther it may seem, as a standard deviation."""
OWNER_GAIN = 0.25
"""Assumed: share of each sighting's word on the owner that is new, since one frame is much like the one before."""
ACCELERATION_SD = 6.0
"""Chosen among 4.5, 6 and 8 on 48 validation recordings: acceleration of a hand that the filter is ready for, m/s2."""
SETTLE_S = 0.5
"""Assumed: time constant in which a hand that nobody pushes comes to rest."""
BODY_SD_M = 1.8
"""Chosen among 0.9, 1.8 and 3 on 24 validation recordings: how far a hand is from its owner's shoulder, as a standard
deviation. It counts with every frame, so that a hand that one camera sees, and of whose depth nothing is said, does not
drift away."""
PIXEL_SD = 2.5
BOX_SD = 0.2
"""Assumed: how far a hand's middle is from its box's, as a share of the box's size, beside `PIXEL_SD` pixels."""
GATE = 9.2
"""Squared Mahalanobis distance, 2 degrees of freedom, that 99 % of true matches stay under; chosen among those of 97,
99 and 99.9 % on the same."""
BORN_CONFIDENCE = 0.2
"""Chosen among 0.1, 0.12, 0.2 and 0.3 on the same: a hand is followed from this score on."""
LOST_S = 1.2
"""Assumed: a hand that no camera saw for this long is another one when it comes again."""
ONE_HAND_M = 0.09
"""Assumed: two tracks this close whose cameras differ are one hand."""
LOWEST_M, HIGHEST_M, FARTHEST_M = 0.05, 2.3, 1.1
"""Assumed: no hand is lower or higher above the floor, or farther beside the person whose it is."""
TOGETHER_S = 0.35
"""Assumed: cameras that saw a hand this short a time apart settle where it is."""
MEMORY_S = 12.0
ALIKE = 2.0
"""Chosen among 1, 2, 4 and 10 on the same: so many looks in a row at how far in a hand is err alike."""
Depths = Callable[[Sequence[int]], Sequence[Depth | None]]
"""How far in some hands of a frame are, by number."""


class Seen(NamedTuple):
    """A hand in one frame: box, pixels; score; and how sure it is that it holds something, 0-1."""

    box_xyxy: tuple[float, float, float, float]
    confidence: float
    holding: float

    @property
    def centre_px(self) -> np.ndarray:
        x1, y1, x2, y2 = self.box_xyxy
        return np.array([0.5 * (x1 + x2), 0.5 * (y1 + y2)])


class Held(NamedTuple):
    """How sure one sighting is that the hand holds an item, score 0-1, and where the hand was, [3] metres."""

    t_s: float
    score: float
    camera: str
    at_m: np.ndarray


@dataclass
class State:
    """The filter's estimate at one time: mean [6] (position, velocity; metres, seconds) and covariance [6, 6]."""

    t_s: float
    mean: np.ndarray
    cov: np.ndarray


class _View(NamedTuple):
    """How a camera sees a point: pixel [2], its derivative by the point [2, 3], and the depth, metres."""

    pixel: np.ndarray
    jacobian: np.ndarray
    depth: float


@dataclass
class HandTrack:
    """One hand in space.

    Attributes:
        states: the filter's estimates in time order, of the last `MEMORY_S` seconds.
        holding: what each sighting said about it.
        owner_log: log weight of each person.
        cameras: when each camera saw it last, seconds.
    """

    number: int
    states: deque[State]
    holding: deque[Held] = field(default_factory=deque)
    owner_log: dict[str, float] = field(default_factory=dict)
    cameras: dict[str, float] = field(default_factory=dict)
    sightings: int = 0

    @property
    def seen_s(self) -> float:
        return max(self.cameras.values())

    @property
    def owner(self) -> dict[str, float]:
        """Probability of each person; empty when nobody is known."""
        if not self.owner_log:
            return {}
        top = max(self.owner_log.values())
        weight = {who: float(np.exp(v - top)) + 1e-4 for who, v in self.owner_log.items()}
        total = sum(weight.values())
        return {who: w / total for who, w in weight.items()}


class HandTracker:
    """All hands in space; give it each camera's frame in time order."""

    def __init__(self, cameras: Sequence[Camera]) -> None:
        self._cameras = {c.camera: c for c in cameras}
        self._next = 1
        self.tracks: list[HandTrack] = []

    def update(
        self,
        camera: str,
        t_s: float,
        hands: Sequence[Seen],
        places: Mapping[str, np.ndarray],
        depths: Depths | None = None,
    ) -> tuple[list[HandTrack], list[HandTrack | None]]:
        """Take in one frame.

        Args:
            places: floor position (x, y) of each person, metres.
            depths: asked for the hands that no other camera sees.

        Returns:
            tracks that ended since the last frame, and the track of each hand (None: too unsure to follow).
        """
        ended = [t for t in self.tracks if t_s - t.seen_s > LOST_S]
        self.tracks = [t for t in self.tracks if t_s - t.seen_s <= LOST_S]
        eye = self._cameras[camera]
        shoulders = {who: np.array([*at, SHOULDER_HEIGHT_M]) for who, at in places.items()}
        predicted = [_ahead(t.states[-1], t_s) for t in self.tracks]
        views = _projected(eye, predicted)
        found: dict[int, tuple[HandTrack, State]] = {}
        alone: list[int] = []
        for row, column in self._match(eye, hands, predicted, views, shoulders):
            track, state = self.tracks[row], _corrected(predicted[row], views[row], hands[column])
            if all(t_s - seen > TOGETHER_S for other, seen in track.cameras.items() if other != camera):
                state = _kept_near(state, track.owner, shoulders)
                alone.append(column)
            found[column] = track, state
        for column, hand in enumerate(hands):
            if column not in found and hand.confidence >= BORN_CONFIDENCE:
                track = HandTrack(self._next, deque())
                self._next += 1
                self.tracks.append(track)
                found[column] = track, _born(eye, hand, t_s, shoulders)
                alone.append(column)
        if depths is not None and alone:
            for column, depth in zip(alone, depths(alone), strict=True):
                if depth is not None:
                    track, state = found[column]
                    found[column] = track, _at_depth(state, depth)
        for column, (track, state) in found.items():
            self._note(track, state, camera, hands[column], shoulders)
        given = [found[column][0] if column in found else None for column in range(len(hands))]
        self._merge(t_s, given)
        return ended, given

    def flush(self) -> list[HandTrack]:
        """The tracks still there when the video ends."""
        ended, self.tracks = self.tracks, []
        return ended

    def _match(
        self,
        eye: Camera,
        hands: Sequence[Seen],
        predicted: Sequence[State],
        views: Sequence[_View],
        shoulders: Mapping[str, np.ndarray],
    ) -> list[tuple[int, int]]:
        from scipy.optimize import linear_sum_assignment

        if not hands or not predicted:
            return []
        pixel, jacobian, depth = (np.array(part) for part in zip(*views, strict=True))
        across = np.array([state.cov[:3, :3] for state in predicted]) @ jacobian.transpose(0, 2, 1)
        noise = np.array([_pixel_sd(hand) ** 2 for hand in hands])
        total = (jacobian @ across)[:, None] + noise[:, None, None] * np.eye(2)
        apart = np.array([hand.centre_px for hand in hands]) - pixel[:, None]
        pull = np.linalg.solve(total, apart[..., None])
        distance = (apart * pull[..., 0]).sum(axis=2)
        at = np.array([state.mean[:3] for state in predicted])[:, None] + (across[:, None] @ pull)[..., 0]
        possible = (depth > 0.1)[:, None] & (distance < GATE) & _plausible(at, shoulders)
        cost = distance + np.log(np.linalg.det(total))
        near = _near_shoulders(eye, hands, shoulders)
        for row, owner in enumerate(track.owner for track in self.tracks):
            if owner:
                agree = np.array([owner.get(who, 0.0) for who in shoulders]) @ near.T
                cost[row] -= 2 * np.log(agree + 0.02)
        cost[~possible] = 1e6
        rows, columns = linear_sum_assignment(cost)
        return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < 1e5]

    def _note(
        self,
        track: HandTrack,
        state: State,
        camera: str,
        hand: Seen,
        shoulders: Mapping[str, np.ndarray],
    ) -> None:
        track.states.append(state)
        track.holding.append(Held(state.t_s, hand.holding, camera, state.mean[:3]))
        track.cameras[camera] = state.t_s
        track.sightings += 1
        while track.states[0].t_s < state.t_s - MEMORY_S:
            track.states.popleft()
        while track.holding[0].t_s < state.t_s - MEMORY_S:
            track.holding.popleft()
        spread = float(np.trace(state.cov[:3, :3]) / 3)
        for who, at in shoulders.items():
            over = max(0.0, float(np.linalg.norm(state.mean[:3] - at)) - ARM_M)
            word = -0.5 * over**2 / (ARM_SD_M**2 + spread)
            word -= 0.5 * float(np.linalg.norm(state.mean[:2] - at[:2])) ** 2 / 0.45**2
            track.owner_log[who] = 0.97 * track.owner_log.get(who, 0.0) + OWNER_GAIN * word

    def _merge(self, t_s: float, given: list[HandTrack | None]) -> None:
        """Make one of tracks that started apart because two cameras saw one hand."""
        lately = {
            t.number: {c for c, seen in t.cameras.items() if t_s - seen < TOGETHER_S} for t in self.tracks
        }
        for young in list(self.tracks):
            for old in self.tracks:
                if old.number >= young.number or not _disjoint(lately[old.number], lately[young.number]):
                    continue
                a, b = _ahead(old.states[-1], t_s), _ahead(young.states[-1], t_s)
                apart = a.mean[:3] - b.mean[:3]
                spread = a.cov[:3, :3] + b.cov[:3, :3]
                mahalanobis = float(apart @ np.linalg.solve(spread, apart))
                if mahalanobis < 9 and float(np.linalg.norm(apart)) < ONE_HAND_M + 2 * float(
                    np.sqrt(np.trace(spread) / 3)
                ):
                    old.states.append(_fused(a, b))
                    old.holding.extend(young.holding)
                    for camera, seen in young.cameras.items():
                        old.cameras[camera] = max(seen, old.cameras.get(camera, -np.inf))
                    lately[old.number] |= lately[young.number]
                    old.sightings += young.sightings
                    self.tracks.remove(young)
                    given[:] = [old if g is young else g for g in given]
                    break


def smoothed(states: Sequence[State]) -> list[State]:
    """The same states with what came later taken in (Rauch, Tung and Striebel 1965)."""
    out = list(states)
    for i in range(len(out) - 2, -1, -1):
        step, noise = _motion(out[i + 1].t_s - states[i].t_s)
        ahead_cov = step @ states[i].cov @ step.T + noise
        gain = np.linalg.solve(ahead_cov, step @ states[i].cov).T
        mean = states[i].mean + gain @ (out[i + 1].mean - step @ states[i].mean)
        cov = states[i].cov + gain @ (out[i + 1].cov - ahead_cov) @ gain.T
        out[i] = State(states[i].t_s, mean, cov)
    return out


def _plausible(at_m: np.ndarray, shoulders: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether a hand can be at each of some points [..., 3]: above the floor and near enough to somebody."""
    possible = (at_m[..., 2] > LOWEST_M) & (at_m[..., 2] < HIGHEST_M)
    if shoulders:
        beside = np.array(list(shoulders.values()))[:, :2]
        possible &= (np.linalg.norm(at_m[..., None, :2] - beside, axis=-1) < FARTHEST_M).any(axis=-1)
    return possible


def _disjoint(a: AbstractSet[str], b: AbstractSet[str]) -> bool:
    """Whether each of two tracks was seen lately, and no camera saw both; from the cameras that saw each."""
    return bool(a and b) and not a & b


_PLACE, _CROSS, _SPEED = (
    np.kron(np.array(corner, float), np.eye(3))
    for corner in ([[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 1]])
)
_BOTH = _CROSS + _CROSS.T


def _motion(dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Transition and process noise of a hand with white acceleration over a time, [6, 6] each; speed dies away."""
    dt = max(dt_s, 0.0)
    decay, q = float(np.exp(-dt / SETTLE_S)), ACCELERATION_SD**2 * 0.1
    step = _PLACE + SETTLE_S * (1 - decay) * _CROSS + decay * _SPEED
    noise = (q * dt**3 / 3 + 1e-9) * _PLACE + q * dt**2 / 2 * _BOTH + (q * dt + 1e-9) * _SPEED
    return step, noise


def _ahead(state: State, t_s: float) -> State:
    step, noise = _motion(t_s - state.t_s)
    return State(max(t_s, state.t_s), step @ state.mean, step @ state.cov @ step.T + noise)


def _corrected(state: State, view: _View, hand: Seen) -> State:
    pixel, jacobian, _ = view
    h = np.hstack([jacobian, np.zeros((2, 3))])
    s = h @ state.cov @ h.T + _pixel_sd(hand) ** 2 * np.eye(2)
    gain = np.linalg.solve(s, h @ state.cov).T
    mean = state.mean + gain @ (hand.centre_px - pixel)
    cov = state.cov - gain @ (h @ state.cov)
    return State(state.t_s, mean, 0.5 * (cov + cov.T))


def _at_depth(state: State, depth: Depth) -> State:
    """Take in how far in a hand is said to be."""
    h = np.concatenate([-depth.outward, np.zeros(4)])
    across = state.cov @ h
    gain = across / (h @ across + ALIKE * depth.sd_m**2)
    apart = depth.inward_m - (depth.face_m + float(h @ state.mean))
    cov = state.cov - np.outer(gain, across)
    return State(state.t_s, state.mean + gain * apart, 0.5 * (cov + cov.T))


def _kept_near(state: State, owner: Mapping[str, float], shoulders: Mapping[str, np.ndarray]) -> State:
    """Take in that a hand is near its likeliest owner, where the estimate leaves it open."""
    known = {who: p for who, p in owner.items() if who in shoulders}
    if not known:
        return state
    at = shoulders[max(known, key=known.__getitem__)] - [0.0, 0.0, 0.2]
    s = state.cov[:3, :3] + BODY_SD_M**2 * np.eye(3)
    gain = np.linalg.solve(s, state.cov[:3, :]).T
    return State(state.t_s, state.mean + gain @ (at - state.mean[:3]), state.cov - gain @ state.cov[:3, :])


def _fused(a: State, b: State) -> State:
    gain = np.linalg.solve(a.cov + b.cov, a.cov).T
    return State(a.t_s, a.mean + gain @ (b.mean - a.mean), a.cov - gain @ a.cov)


def _born(eye: Camera, hand: Seen, t_s: float, shoulders: Mapping[str, np.ndarray]) -> State:
    """A new hand on the ray through its box, as far along it as the nearest shoulder."""
    origin = np.asarray(eye.position_m)
    ray = eye.rays(hand.centre_px[None])[0]
    along, sd = 0.0, 0.35
    if shoulders:
        points = np.stack(list(shoulders.values())) - [0, 0, 0.2]
        distance = (points - origin) @ ray
        beside = np.linalg.norm(points - origin - distance[:, None] * ray, axis=1)
        along = float(distance[int(np.argmin(beside))])
    elif ray[2] < -1e-3:
        along = float((1.1 - origin[2]) / ray[2])
    along = max(along, 0.3)
    depth_px = _pixel_sd(hand) * along / float(eye.matrix[0, 0])  # type: ignore[index]
    cov = np.zeros((6, 6))
    cov[:3, :3] = depth_px**2 * np.eye(3) + (sd**2 - depth_px**2) * np.outer(ray, ray)
    cov[3:, 3:] = 0.5**2 * np.eye(3)
    return State(t_s, np.concatenate([origin + along * ray, np.zeros(3)]), cov)


def _projected(eye: Camera, states: Sequence[State]) -> list[_View]:
    """Where a camera sees each state's hand."""
    if not states:
        return []
    step = 1e-4
    offsets = np.vstack([np.zeros(3), step * np.eye(3)])
    points = np.stack([state.mean[:3] for state in states])[:, None] + offsets
    pixels, depth = eye.project(points.reshape(-1, 3))
    pixels, depth = pixels.reshape(-1, 4, 2), depth.reshape(-1, 4)
    return [
        _View(pixel[0], ((pixel[1:] - pixel[0]) / step).T, float(deep[0]))
        for pixel, deep in zip(pixels, depth, strict=True)
    ]


def _near_shoulders(eye: Camera, hands: Sequence[Seen], shoulders: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of each hand, the share of each person, by how near their shoulder is to its ray, [hands, people]."""
    if not shoulders:
        return np.zeros((len(hands), 0))
    rays = eye.rays(np.array([hand.centre_px for hand in hands]))[:, None]
    offset = np.stack(list(shoulders.values())) - np.asarray(eye.position_m)
    along = np.maximum((offset * rays).sum(axis=2, keepdims=True), 0)
    distance = np.linalg.norm(offset - along * rays, axis=2)
    weight = np.exp(-0.5 * (distance / 0.35) ** 2) + 1e-4
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _pixel_sd(hand: Seen) -> float:
    x1, y1, x2, y2 = hand.box_xyxy
    return PIXEL_SD + BOX_SD * float(np.sqrt(max(1.0, (x2 - x1) * (y2 - y1))))
