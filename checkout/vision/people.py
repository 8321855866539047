"""Follows people over the floor, from all calibrated cameras at once, and keeps their names.

Everybody inside came through an entry scan, so people are followed in a closed world. Where each of
them may be is a belief over the cells of a grid on the floor (a histogram filter; Thrun, Burgard and
Fox, "Probabilistic Robotics", 2005, ch. 4). A body that stood in a cell would show in each camera as a
certain box, cut off by the picture's border: how well a person box overlaps that box is the cell's
likelihood, and a cell whose box is missing loses belief. So a person whom no camera can see is
somewhere that no camera can see. Boxes go to people all together, by place and by clothes; where the
entry took a picture of each person, their clothes are known from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from checkout.recording import Camera, Entry
from checkout.vision.clothes import look_of, palette_of, resemblance
from checkout.vision.detector import Detections

# What is "chosen" here was tried at two to four values on six crowded validation recordings, and what kept people's
# names longest was kept (`checkout evaluate` prints how many names stand for the wrong person); all else is assumed.
BODY_RADIUS_M = 0.18
BODY_HEIGHT_M = 1.72
"""An upright body is a cylinder of this size; radius chosen, height assumed."""
CELL_M = 0.07
MOST_CELLS = 20_000
"""Assumed: the grid is this fine where the floor is small enough for so many cells, else as fine as they allow."""
MARGIN_M = 0.8
"""Assumed: people walk at most this far beyond the outermost facing or entry scan."""
AISLE_M = 2.4
"""Assumed: an aisle is at most this deep before the shelves."""
WALK_M_PER_SQRT_S = 0.7
"""Chosen: how far a person may have come after a second, as a standard deviation, growing with the time's root."""
ARRIVING_M_PER_S = 0.7
ARRIVED_M = 0.7
ARRIVING_SIGHTINGS = 4
"""Assumed: who came in and was not seen yet this often walks to the shelves at this pace, up to this close."""
ENTRY_SD_M = 0.3
"""Assumed: how far from the entry scan a person stands when it is made."""
OVERLAP_WEIGHT = 9.0
"""Chosen: log likelihood of a box for each unit of its overlap (intersection over union) with the body's box. Boxes
also hold arms, so that even the true cell overlaps by 0.5-0.8."""
STRAY = -8.5
"""Chosen: log likelihood of a box that is nobody's who entered; low, for strangers are rarer than who was missed."""
ANYWHERE_PER_S = 0.05
"""Assumed: share of a belief that forgets where it was, a second, so that who was lost can be found again."""
FOUND_SHARE = 0.1
"""Chosen: how surely a body in full view is found, a frame, beyond what the frame before said."""
LEAST_SIDE_PX, LEAST_SHARE = 40.0, 0.1
"""Assumed: a body of which less can be seen than this, by its box's side or its surface, is not looked for."""
LOOK_WEIGHT = 2.0
"""Chosen: log likelihood of a wholly like look over a wholly different one."""
PALETTE_WEIGHT = 4.0
"""Chosen: log likelihood of a box for each unit of its resemblance to the entry's picture."""
BIAS_BOXES = 60.0
"""Assumed: boxes after which half of a palette's mean resemblance to all boxes is taken off."""
UNKNOWN_LIKENESS = 0.6
"""Assumed: likeness where a person's look is not known yet."""
LOOKS_LEARNT = 8
"""Assumed: sightings after which a look is known; the first ones, soon after the entry scan, are the surest."""
LOOK_GAIN = 0.02
SURE_SD_M = 0.45
"""Assumed: a look is learnt only from somebody whose place is known this well."""
EXCHANGE_MEMORY = 0.93
EXCHANGE_DOUBT = 2.2
"""Two people are exchanged when their looks' summed doubt, fading by that much a frame (assumed), exceeds this (chosen
among 1, 1.5, 2.2 and 3 on 18 crowded validation recordings)."""
ALONE_SHARE = 0.3
"""Chosen: a box shows one person's clothes when no other box covers more of it than this."""


@dataclass
class _Look:
    """Mean of the looks of one person in one camera, and of how many."""

    mean: np.ndarray
    count: int


class Exchange(NamedTuple):
    """Two people were found, at `t_end_s`, to have had each other's names since `t_start_s`."""

    t_start_s: float
    t_end_s: float
    a: str
    b: str

    def name(self, person: str, t_s: float) -> str:
        """Who somebody was who went by a name at a time."""
        if not self.t_start_s <= t_s < self.t_end_s:
            return person
        return self.b if person == self.a else self.a if person == self.b else person


class _Mistaken(NamedTuple):
    """Since when, at best, two people's looks say that they have each other's names, and how much (Page 1954)."""

    since_s: float
    word: float


class _Eye(NamedTuple):
    """What a camera would show of a body in each cell: boxes [cells, 4], pixels; their areas; whether enough of it."""

    boxes: np.ndarray
    area: np.ndarray
    shows: np.ndarray


@dataclass(frozen=True)
class Floor:
    """A grid on the floor; `centres` [rows * columns, 2], metres, row by row along y."""

    columns: int
    rows: int
    cell_m: float
    centres: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray) -> Floor:
        """The floor around places [n, 2], metres, where people enter and shop."""
        low, high = points.min(axis=0) - MARGIN_M, points.max(axis=0) + MARGIN_M
        cell = max(CELL_M, float(np.sqrt(np.prod(high - low) / MOST_CELLS)))
        columns, rows = (int(np.ceil(span / cell)) for span in high - low)
        x, y = low[0] + (np.arange(columns) + 0.5) * cell, low[1] + (np.arange(rows) + 0.5) * cell
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        return cls(columns, rows, cell, grid)


class ShopperTracker:
    """Where each person stands, from the person boxes of all calibrated cameras.

    Args:
        entries: who came in, when, and where.
        cameras: the calibrated cameras.
        fronts_m: floor points [n, 2], metres, of the shelves' front edges.
        outward: the way out of the shelf at each of them, [n, 2].
        pictures: what the entry saw of each person, BGR, cut to the body; may lack some or all.

    Attributes:
        shopper_of: the account each person pays with.
        exchanges: who was found to have had each other's name, and when, in the order in which it was found.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        cameras: Sequence[Camera],
        fronts_m: np.ndarray | None = None,
        outward: np.ndarray | None = None,
        pictures: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._entries = sorted(entries, key=lambda e: e.t_s)
        self.shopper_of = {e.person: e.shopper for e in entries}
        points = [np.array(e.at_m, float)[None] for e in entries] or [np.zeros((1, 2))]
        if fronts_m is not None and outward is not None and len(fronts_m):
            points += [fronts_m, fronts_m + AISLE_M * outward]
        self._floor = Floor.around(np.concatenate(points))
        self._free = self._walkable(fronts_m, outward)
        self._eyes = {c.camera: _eye(c, self._floor.centres) for c in cameras}
        self._goal = None if fronts_m is None or not len(fronts_m) else fronts_m.mean(axis=0)
        self._sightings: dict[str, int] = {}
        self._belief: dict[str, np.ndarray] = {}
        self._t_s = -np.inf
        self._looks: dict[tuple[str, str], _Look] = {}
        self._doubt: dict[tuple[str, str], float] = {}
        self._mistaken: dict[tuple[str, str], _Mistaken] = {}
        self.exchanges: list[Exchange] = []
        self._palettes = {who: palette_of(picture) for who, picture in (pictures or {}).items()}
        self._resembled: dict[str, tuple[float, int]] = {}

    def places(self, t_s: float) -> dict[str, np.ndarray]:
        """Floor position (x, y), metres, of everybody who has entered by then."""
        while self._entries and self._entries[0].t_s <= t_s + 0.05:
            entry = self._entries.pop(0)
            apart = np.linalg.norm(self._floor.centres - np.array(entry.at_m), axis=1)
            self._belief[entry.person] = _normalised(
                (np.exp(-0.5 * (apart / ENTRY_SD_M) ** 2) + 1e-12) * self._free
            )
        return {who: belief @ self._floor.centres for who, belief in self._belief.items()}

    def named(self, person: str, t_s: float) -> str:
        """Who somebody was, as is known by now, who went by a name at a time."""
        for exchange in self.exchanges:
            person = exchange.name(person, t_s)
        return person

    def spread_m(self, person: str) -> float:
        """How uncertain somebody's place is: the root of the mean squared distance from it, metres."""
        belief = self._belief[person]
        apart = self._floor.centres - belief @ self._floor.centres
        return float(np.sqrt(belief @ (apart**2).sum(axis=1)))

    def update(
        self, camera: str, t_s: float, people: Detections, image: np.ndarray | None = None
    ) -> dict[str, int]:
        """Take in the person boxes of one frame; with the picture, people are also told apart by their looks.

        Returns:
            the box that was given to each person, as an index into `people`.
        """
        self.places(t_s)
        names = list(self._belief)
        if not names:
            return {}
        self._walk(t_s)
        eye, boxes = self._eyes[camera], people.boxes_xyxy
        shared = _shared(eye.boxes, boxes)
        overlap = shared / np.maximum(eye.area[:, None] + _area(boxes) - shared, 1e-9)
        likelihood = np.exp(OVERLAP_WEIGHT * (overlap - 1)) * self._free[:, None]
        belief = np.stack([self._belief[n] for n in names])
        looks = [] if image is None else [look_of(image, box) for box in boxes]
        given = self._match(names, belief @ likelihood, camera, looks)
        covered = (shared / np.maximum(eye.area, 1.0)[:, None]).max(axis=1, initial=0.0)
        missing = 1 - FOUND_SHARE * eye.shows * (1 - covered)
        for row, name in enumerate(names):
            column = given.get(name)
            if column is not None:
                self._sightings[name] = self._sightings.get(name, 0) + 1
            word = missing if column is None else likelihood[:, column]
            self._belief[name] = _normalised((belief[row] * word + 1e-12) * self._free)
        if looks:
            alone = _alone(boxes)
            clear = {name: looks[column] for name, column in given.items() if alone[column]}
            renamed = self._exchange(camera, clear)
            self._learn(camera, clear)
            given = {renamed.get(name, name): column for name, column in given.items()}
        return given

    def _walkable(self, fronts_m: np.ndarray | None, outward: np.ndarray | None) -> np.ndarray:
        """Cells in which somebody can stand: not inside a shelf, bool [cells]."""
        free = np.ones(len(self._floor.centres), bool)
        if fronts_m is None or outward is None:
            return free
        for front, way in zip(fronts_m, outward, strict=True):
            offset = self._floor.centres - front
            ahead = offset @ way
            aside = np.abs(offset @ np.array([-way[1], way[0]]))
            free &= ~((ahead < 0.1) & (ahead > -0.6) & (aside < 0.3))
        return free

    def _walk(self, t_s: float) -> None:
        """Let beliefs spread by the time since the last frame."""
        from scipy.ndimage import gaussian_filter, shift

        passed = t_s - self._t_s
        self._t_s = max(t_s, self._t_s)
        if not 0 < passed < np.inf:
            return
        cells = WALK_M_PER_SQRT_S * np.sqrt(min(passed, 5.0)) / self._floor.cell_m
        shape = (self._floor.rows, self._floor.columns)
        for name, belief in self._belief.items():
            grid = belief.reshape(shape)
            if self._sightings.get(name, 0) < ARRIVING_SIGHTINGS:
                step = self._arriving(belief, passed) / self._floor.cell_m
                grid = shift(grid, step[::-1], order=1, mode="nearest")
            spread = gaussian_filter(grid, cells, mode="nearest", truncate=3.0).ravel()
            lost = min(1.0, ANYWHERE_PER_S * passed)
            self._belief[name] = _normalised(((1 - lost) * spread + lost / len(spread)) * self._free)

    def _arriving(self, belief: np.ndarray, passed_s: float) -> np.ndarray:
        """The way (x, y), metres, that somebody who just came in walks to the shelves in a time."""
        if self._goal is None:
            return np.zeros(2)
        way = self._goal - belief @ self._floor.centres
        far = float(np.linalg.norm(way))
        return np.asarray(way * min(ARRIVING_M_PER_S * passed_s, max(0.0, far - ARRIVED_M)) / max(far, 1e-9))

    def _match(
        self, names: Sequence[str], expected: np.ndarray, camera: str, looks: Sequence[np.ndarray]
    ) -> dict[str, int]:
        """Which box belongs to whom, all together; `expected` [people, boxes] is each box's likelihood."""
        from scipy.optimize import linear_sum_assignment

        if not expected.size:
            return {}
        score = np.log(np.maximum(expected, 1e-12)) - STRAY
        if looks:
            alike = np.array([[self._alike(n, camera, look) for look in looks] for n in names])
            score = score + LOOK_WEIGHT * (alike - UNKNOWN_LIKENESS)
            score = score + PALETTE_WEIGHT * self._resemblance(names, looks, learn=True)
        rows, columns = linear_sum_assignment(-np.maximum(score, 0.0))
        return {names[r]: int(c) for r, c in zip(rows, columns, strict=True) if score[r, c] > 0}

    def _resemblance(
        self, names: Sequence[str], looks: Sequence[np.ndarray], *, learn: bool = False
    ) -> np.ndarray:
        """How much each box resembles the entry's picture of each person, [people, boxes]; 0 without pictures.

        Some palettes fit everybody, or what is behind them: what each resembled all boxes so far is taken off.
        """
        if not self._palettes:
            return np.zeros((len(names), len(looks)))
        score = resemblance([self._palettes.get(name) for name in names], looks)
        if learn:
            for name, row in zip(names, score, strict=True):
                total, count = self._resembled.get(name, (0.0, 0))
                self._resembled[name] = total + float(row.sum()), count + len(row)
        usual = [self._resembled.get(name, (0.0, 0)) for name in names]
        return score - np.array([[total / (count + BIAS_BOXES)] for total, count in usual])

    def _alike(self, name: str, camera: str, look: np.ndarray) -> float:
        """How much a look is like that of a person in a camera, 0-1; middling when that is not known yet."""
        known = self._looks.get((name, camera))
        return UNKNOWN_LIKENESS if known is None or known.count < LOOKS_LEARNT else float(known.mean @ look)

    def _learn(self, camera: str, clear: dict[str, np.ndarray]) -> None:
        """Remember how people look; once learnt, only what is like it changes it, slowly."""
        for name, look in clear.items():
            known = self._looks.setdefault((name, camera), _Look(np.zeros_like(look), 0))
            if known.count < LOOKS_LEARNT:
                if self.spread_m(name) < SURE_SD_M:
                    known.mean = (known.mean * known.count + look) / (known.count + 1)
                    known.count += 1
            elif all(
                self._alike(name, camera, look) >= self._alike(other, camera, look) for other in self._belief
            ):
                known.mean = (1 - LOOK_GAIN) * known.mean + LOOK_GAIN * look

    def _exchange(self, camera: str, clear: dict[str, np.ndarray]) -> dict[str, str]:
        """Give two people each other's place when their looks have said so for long enough; returns the new names."""
        names, renamed = list(self._belief), {name: name for name in self._belief}
        shown = self._shown(names, camera, clear)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                word = sum(
                    shown[other][name] - shown[name][name]
                    for name, other in ((a, b), (b, a))
                    if name in clear and name in shown and other in shown
                )
                doubt = EXCHANGE_MEMORY * self._doubt.get((a, b), 0.0) + word
                self._doubt[a, b] = doubt
                so_far = self._mistaken.pop((a, b), _Mistaken(self._t_s, 0.0))
                if so_far.word + word > 0:
                    self._mistaken[a, b] = so_far._replace(word=so_far.word + word)
                if doubt > EXCHANGE_DOUBT:
                    self._belief[a], self._belief[b] = self._belief[b], self._belief[a]
                    since_s = self._mistaken.get((a, b), _Mistaken(self._t_s, 0.0)).since_s
                    self.exchanges.append(Exchange(since_s, self._t_s, a, b))
                    self._doubt, self._mistaken = {}, {}
                    swap = {a: b, b: a}
                    renamed = {old: swap.get(new, new) for old, new in renamed.items()}
        return renamed

    def _shown(
        self, names: Sequence[str], camera: str, clear: Mapping[str, np.ndarray]
    ) -> dict[str, dict[str, float]]:
        """How much each person, where known, is like each look that was given to somebody."""
        boxes = list(clear)
        if not boxes:
            return {}
        if self._palettes:
            score = self._resemblance(names, list(clear.values()))
            return {
                name: dict(zip(boxes, row.tolist(), strict=True))
                for name, row in zip(names, score, strict=True)
            }
        known = [
            name
            for name in names
            if (look := self._looks.get((name, camera))) is not None and look.count >= LOOKS_LEARNT
        ]
        return {name: {box: self._alike(name, camera, clear[box]) for box in boxes} for name in known}


def _eye(camera: Camera, centres: np.ndarray) -> _Eye:
    """The box that a body in each cell would fill in the picture."""
    assert camera.matrix is not None
    turn = np.linspace(0, 2 * np.pi, 9)[:-1]
    ring = BODY_RADIUS_M * np.column_stack([np.cos(turn), np.sin(turn)])
    heights = np.linspace(0.0, BODY_HEIGHT_M, 14)
    flat = (centres[:, None, None, :] + ring[None, None, :, :]).repeat(len(heights), axis=1)
    high = np.broadcast_to(heights[None, :, None, None], (*flat.shape[:3], 1))
    points = np.concatenate([flat, high], axis=-1).reshape(-1, 3)
    pixels, depth = camera.project(points)
    # Far outside the picture the lens model folds back into it; there the ideal pinhole says that a point is outside.
    seen = points @ camera.rotation.T + camera.translation_m
    ideal = seen[:, :2] / np.maximum(seen[:, 2:], 0.05) @ camera.matrix[:2, :2].T + camera.matrix[:2, 2]
    size = np.array([camera.width, camera.height])
    inside = (depth > 0.05) & (np.abs(ideal / size - 0.5) < 0.75).all(axis=1)
    inside &= ((pixels >= 0) & (pixels <= size)).all(axis=1)
    inside = inside.reshape(len(centres), -1)
    pixels = pixels.reshape(len(centres), -1, 2)
    low = np.where(inside[..., None], pixels, np.inf).min(axis=1)
    top = np.where(inside[..., None], pixels, -np.inf).max(axis=1)
    boxes = np.nan_to_num(np.hstack([low, top]), posinf=0.0, neginf=0.0)
    shows = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE_PX).all(axis=1) & (inside.mean(axis=1) >= LEAST_SHARE)
    boxes[~shows] = 0.0
    pixels = boxes.astype(np.float32)
    return _Eye(pixels, _area(pixels), shows)


def _normalised(belief: np.ndarray) -> np.ndarray:
    return np.asarray(belief / belief.sum())


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area that boxes [n, 4] and [m, 4] share, [n, m]."""
    across, down = (
        np.minimum.outer(a[:, high], b[:, high]) - np.maximum.outer(a[:, low], b[:, low])
        for low, high in ((0, 2), (1, 3))
    )
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _alone(boxes: np.ndarray) -> list[bool]:
    """Whether each box [n, 4] overlaps no other by more than `ALONE_SHARE` of itself."""
    shared = _shared(boxes, boxes)
    np.fill_diagonal(shared, 0)
    return [bool(s <= ALONE_SHARE * own) for s, own in zip(shared.max(axis=1), _area(boxes), strict=True)]
