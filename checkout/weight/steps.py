"""Finds weight steps: lasting changes of load on a shelf, with their size, error, place and time.

Method. Every plate is averaged over blocks of a little more than a tenth of a second, one period of the
gondola's own shaking. The blocks are cut into the pieces of constant load that explain them best
(optimal partitioning, least squares with a penalty per piece). Pieces that last are *holds*; what
lies between two holds is a disturbance, and its size is the difference of the holds' levels, read next to
it. Holds that are only a hand's weight are taken out, so that what is left before and after is the
level of the undisturbed plate:

* a load that comes and goes within a moment, alone (a lean, a touch) or before a pick (a press) or
  after a put-back (its landing): the load that a hand adds always goes again;
* a load that goes and comes back to the same level (an item lifted and let go).

Disturbances of adjacent plates at one time are one step; those of other plates are another step, and so
are those of the same plates when a level is held in between.

The detector works online: it holds some seconds of samples and decides about stretches of some
seconds once it has seen enough of what follows, so the result does not depend on how the stream
was cut into chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from checkout.events import WeightStep
from checkout.weight.plates import CLIP_G, Unread, shelf_stretches, unread

WALK_G = 0.12
"""Measured: random walk of a plate, grams per square root of a second (checkout/weight/noise.py)."""
COLOUR = 1.2
"""Measured: levels of a quiet plate scatter this much more than independent blocks would (slow noise)."""
CROSSTALK = 0.02
"""Measured: the real pick of 623 g moved two plates beside it, under another product, by 1 and 1.5 % for good."""


@dataclass(frozen=True)
class StepSettings:
    """Times in seconds, loads in grams; Assumed: chosen on rendered training recordings and the real noise.

    Attributes:
        block_s: plates are averaged over blocks of this length: one period of the gondola's shaking.
        penalty: what one more piece costs in the partition, in variances of a block.
        hold_blocks: a level is held when it lasts this many blocks.
        level_s: a level is read from at most this much of a hold.
        plate_g, plate_sd: least change of a plate, in grams and in standard errors.
        step_g, step_sd: least change of a step.
        together_s: disturbances of adjacent plates this close in time are one step; or three times that
            if they are slow, opposite, very unequal or stand little out of the noise.
        faint_sd: a change of fewer standard deviations of a block stands little out of the noise.
        ends_s, ends_ratio: disturbances with one plate between them are the ends of one item when they are
            this close in time and the lesser is at least this part of the greater.
        bump_s, lean_s: an added load that goes again within this time was a hand's; within the longer one if it
            came and went slowly.
        press_s, press_share, hand_g: so was one that lasts longer and is this small a part of what goes with it, or
            not more than this.
        undone_share: a load that goes and comes back within `tail_s` is no event when this share of it or
            less is left.
        least_s: a level between a pick and a put-back is held for longer than this.
        apart_s: two picks, or two put-backs, take longer than this from the first's beginning to the second's end.
        tail_s, sharp_share: two changes of one sign with less than `tail_s` between them are one, during which
            a lean ended, unless this share of each happens within two blocks.
        slow_share: no step is so slow that less than this share of it happens within two blocks.
        slide_s, slope_share: a hold shorter than this within a fall is a level only if it falls by less than
            this share of the steps beside it.
        opposite_g: adjacent plates that change by this much in opposite directions are two steps.
        stride_s, look_s: the detector decides about stretches of this length, with this much around them.
    """

    block_s: float = 0.117
    penalty: float = 25.0
    hold_blocks: int = 2
    level_s: float = 1.05
    plate_g: float = 3.0
    plate_sd: float = 4.5
    step_g: float = 15.0
    step_sd: float = 5.0
    together_s: float = 0.1
    faint_sd: float = 10.0
    ends_s: float = 0.12
    ends_ratio: float = 0.5
    bump_s: float = 0.5
    lean_s: float = 1.5
    tail_s: float = 0.9
    press_s: float = 3.2
    press_share: float = 0.2
    hand_g: float = 22.0
    undone_share: float = 0.35
    least_s: float = 0.3
    apart_s: float = 0.5
    sharp_share: float = 0.65
    slow_share: float = 0.15
    slide_s: float = 2.0
    slope_share: float = 0.25
    opposite_g: float = 40.0
    stride_s: float = 4.0
    look_s: float = 5.0


@dataclass(frozen=True)
class StepResult:
    """The steps in time order, what was doubtful about the plates, and when which of them could not be read."""

    steps: tuple[WeightStep, ...]
    warnings: tuple[str, ...]
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True)
class _Level:
    """A load that was held: the numbers of its undisturbed blocks, in order."""

    blocks: np.ndarray


@dataclass(frozen=True)
class _Edge:
    """A lasting change of one plate between two levels, from sample `begin` to `end`, above all at `at`.

    `blurred` when `at` is uncertain, because the change is slow or stands little out of the noise.
    """

    plate: int
    before: _Level
    after: _Level
    at: int
    grams: float
    blurred: bool
    begin: int
    end: int


@dataclass(frozen=True)
class _Change:
    """A lasting change of adjacent plates."""

    edges: tuple[_Edge, ...]

    @property
    def grams(self) -> float:
        return sum(e.grams for e in self.edges)

    @property
    def at(self) -> float:
        return float(np.average([e.at for e in self.edges], weights=[abs(e.grams) for e in self.edges]))

    @property
    def plates(self) -> set[int]:
        return {e.plate for e in self.edges}


@dataclass
class _Blocks:
    """A window of samples as block means.

    Attributes:
        x: samples [n, plates], NaN where there is none.
        size: samples per block.
        mean, sd: of each block [blocks, plates]; `sd` is the standard deviation of the block's mean.
        valid: whether a block has samples enough.
        levels: for each plate the levels that it held.
    """

    x: np.ndarray
    size: int
    mean: np.ndarray
    sd: np.ndarray
    valid: np.ndarray
    levels: list[list[_Level]] = field(default_factory=list)

    def level(self, plate: int, blocks: np.ndarray) -> tuple[float, float]:
        """Mean of a plate over some blocks without its outliers, and its standard error."""
        values, sd = self.mean[blocks, plate], self.sd[blocks, plate]
        middle = len(values) // 2
        off = np.abs(values - np.sort(values)[middle])
        kept = off <= np.maximum(3.0 * sd, np.sort(off)[middle])
        number = int(kept.sum())
        return float(values[kept].sum() / number), float(COLOUR * sd[kept].sum() / number**1.5)


class ShelfStepDetector:
    """Online step detector of one shelf; holds at most about 18 seconds of samples.

    Args:
        plates: plate ids in order of place.
    """

    def __init__(
        self, shelf: str, plates: Sequence[str], rate_hz: float, settings: StepSettings | None = None
    ) -> None:
        self._shelf, self._plates, self._rate = shelf, tuple(plates), rate_hz
        self._s = s = settings or StepSettings()
        self._size = max(1, round(s.block_s * rate_hz))
        self._stride = max(1, round(s.stride_s * rate_hz / self._size)) * self._size
        self._look = max(1, round(s.look_s * rate_hz / self._size)) * self._size
        self._read = max(2, round(s.level_s * rate_hz / self._size))
        self._t = np.zeros(0)
        self._x = np.zeros((0, len(self._plates)))
        self._first = 0  # sample number of the buffer's first row
        self._next = 0  # sample number at which the next stretch begins
        self._found: list[tuple[int, set[int], bool]] = []

    def update(self, t_s: np.ndarray, grams: np.ndarray) -> list[WeightStep]:
        """Take in samples; returns the steps that are now decided.

        Args:
            t_s: sample times [n], seconds, evenly spaced.
            grams: loads [n, plates], NaN where a sample is missing.
        """
        found: list[WeightStep] = []
        for low in range(0, len(t_s), self._stride):
            self._t = np.concatenate([self._t, t_s[low : low + self._stride]])
            self._x = np.vstack([self._x, grams[low : low + self._stride]])
            while self._first + len(self._t) >= self._next + self._stride + self._look:
                found += self._decide(last=False)
        return found

    def flush(self) -> list[WeightStep]:
        """The steps still undecided at the end of the stream."""
        found: list[WeightStep] = []
        while self._next < self._first + len(self._t):
            found += self._decide(last=True)
        return found

    def _decide(self, *, last: bool) -> list[WeightStep]:
        """Decide about one stretch, then forget what no later one needs."""
        begin, end = self._next, self._next + self._stride
        low, high = self._first, min(self._first + len(self._t), end + self._look)
        blocks = self._blocks(self._x[: high - low])
        found: list[tuple[int, WeightStep]] = []
        for change in self._changes(blocks) if blocks is not None else []:
            assert blocks is not None
            at = low + round(change.at)
            # A step at the border may fall on either side of it as the window moves.
            if not begin - 0.5 * self._rate <= at < end or self._known(change, at):
                continue
            if (step := self._measured(blocks, change)) is not None:
                found.append((at, step))
                self._found.append((at, change.plates, step.grams > 0))
        self._next = end
        keep = max(0, end - self._look - self._first) // self._size * self._size
        self._t, self._x, self._first = self._t[keep:], self._x[keep:], self._first + keep
        self._found = [f for f in self._found if f[0] > end - self._look]
        return [step for _, step in sorted(found, key=lambda f: f[0])]

    def _known(self, change: _Change, at: int) -> bool:
        near = 0.4 * self._rate
        return any(
            abs(a - at) < near and plates & change.plates and up == (change.grams > 0)
            for a, plates, up in self._found
            if a < self._next
        )

    def _blocks(self, x: np.ndarray) -> _Blocks | None:
        """Block means and their noise; None when there are too few or nothing moves."""
        size, count = self._size, len(x) // self._size
        if count < 2 * self._s.hold_blocks + 1:
            return None
        cut = x[: count * size].reshape(count, size, x.shape[1])
        seen = np.isfinite(cut) & (cut < CLIP_G)
        number = seen.sum(axis=1)
        valid = number > size // 2
        safe = np.where(seen, cut, 0.0)
        mean = safe.sum(axis=1) / np.maximum(number, 1)
        within = np.sqrt(
            (np.where(seen, cut - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(number - 1, 1)
        )
        within[~valid] = np.nan
        mean = pd.DataFrame(np.where(valid, mean, np.nan)).ffill().bfill().fillna(0.0).to_numpy()
        jumps = np.where(valid[1:] & valid[:-1], np.abs(np.diff(mean, axis=0)), np.nan)
        return _Blocks(x, size, mean, _block_noise(within, jumps), valid)

    def _changes(self, blocks: _Blocks) -> list[_Change]:
        """All lasting changes in a window, in time order."""
        s = self._s
        count, plates = blocks.mean.shape
        width = min(6, count - 1)
        total = np.cumsum(blocks.mean - blocks.mean[0], axis=0)
        spread = np.ptp(total[width:] - total[:-width], axis=0) / width
        active = np.flatnonzero(spread > np.maximum(s.plate_g, 3.2 * np.median(blocks.sd, axis=0)))
        blocks.levels = [[_Level(np.flatnonzero(blocks.valid[:, p]))] for p in range(plates)]
        if not len(active):
            return []
        edges: list[_Edge] = []
        starts = _partition(blocks.mean[:, active], blocks.sd[:, active], blocks.valid[:, active], s.penalty)
        for plate, begins in zip(active, starts, strict=True):
            pieces = np.split(np.arange(count), begins[1:])
            held = [p[blocks.valid[p, plate]] for p in pieces]
            levels = [_Level(h) for h in held if len(h) >= s.hold_blocks]
            if levels:
                blocks.levels[plate] = levels = self._undisturbed(blocks, int(plate), levels)
                edges += self._edges(blocks, int(plate), levels)
        return self._joined(blocks, self._grouped(edges))

    def _difference(self, blocks: _Blocks, plate: int, before: _Level, after: _Level) -> tuple[float, float]:
        """Change of a plate from one level to another, read next to each other, and its standard error."""
        low, low_sd = blocks.level(plate, before.blocks[-self._read :])
        high, high_sd = blocks.level(plate, after.blocks[: self._read])
        gap_s = (after.blocks[0] - before.blocks[-1]) * blocks.size / self._rate
        return high - low, float(np.sqrt(low_sd**2 + high_sd**2 + WALK_G**2 * (gap_s + 0.5)))

    def _undisturbed(self, blocks: _Blocks, plate: int, levels: list[_Level]) -> list[_Level]:
        """Levels without those that were only a hand's weight, equal neighbours made one."""
        s, levels = self._s, list(levels)
        while len(levels) > 1:
            pairs = [self._difference(blocks, plate, a, b) for a, b in itertools.pairwise(levels)]
            weak = [abs(c) / max(s.plate_g, s.plate_sd * sd) for c, sd in pairs]
            i = int(np.argmin(weak))
            if weak[i] < 1.0:
                both = np.concatenate([levels[i].blocks, levels[i + 1].blocks])
                levels[i : i + 2] = [_Level(both)]
                continue
            change = [c for c, _ in pairs]
            passing = [
                (self._held_s(blocks, levels[k]), k)
                for k in range(1, len(levels) - 1)
                if self._passes(
                    change[k - 1],
                    change[k],
                    self._held_s(blocks, levels[k]),
                    sharp=any(self._sharp_ends(blocks, plate, levels[k - 1 : k + 2])),
                )
                or self._slides(blocks, plate, levels[k - 1 : k + 2], change[k - 1], change[k])
            ]
            if not passing:
                break
            del levels[min(passing)[1]]
        return levels

    def _held_s(self, blocks: _Blocks, level: _Level) -> float:
        return float(level.blocks[-1] + 1 - level.blocks[0]) * blocks.size / self._rate

    def _sharp_ends(self, blocks: _Blocks, plate: int, levels: Sequence[_Level]) -> list[bool]:
        """For both changes between three levels, whether it is surely as sudden as when an item leaves or lands."""
        s, found = self._s, []
        for before, after in itertools.pairwise(levels):
            grams, _ = self._difference(blocks, plate, before, after)
            faint = abs(grams) < s.faint_sd * float(blocks.sd[before.blocks[-1], plate])
            found.append(not faint and self._sharp(blocks, plate, before, after) >= s.sharp_share)
        return found

    def _passes(self, first: float, second: float, held_s: float, *, sharp: bool) -> bool:
        """Whether a load between two changes was only a hand's."""
        s = self._s
        small, large = sorted((abs(first), abs(second)))
        if first * second < 0 and held_s < s.least_s:
            return True
        if first > 0 > second:
            brief = held_s < (s.bump_s if sharp else s.lean_s)
            slight = small < s.press_share * large or large < s.hand_g
            return brief or (held_s < s.press_s and slight)
        if first < 0 < second:
            return held_s < s.tail_s and large - small < s.undone_share * large
        return False

    def _slides(
        self, blocks: _Blocks, plate: int, levels: Sequence[_Level], first: float, second: float
    ) -> bool:
        """Whether the middle one of three levels, between changes of one sign, only slows one change down."""
        s, (before, level, after) = self._s, levels
        held_s = self._held_s(blocks, level)
        if first * second < 0 or held_s > s.slide_s:
            return False
        if (after.blocks[0] - before.blocks[-1] - 1) * blocks.size / self._rate < s.apart_s:
            return True
        small, large = sorted((abs(first), abs(second)))
        tail = small < s.press_share * large or not all(self._sharp_ends(blocks, plate, levels))
        if held_s < s.tail_s and tail:
            return True
        rows = slice(level.blocks[0] * blocks.size, (level.blocks[-1] + 1) * blocks.size)
        y = blocks.x[rows, plate]
        y = y[np.isfinite(y)]
        half = len(y) // 2
        slide = 2 * abs(y[half:].mean() - y[:half].mean())
        noise = 4.0 * float(blocks.sd[level.blocks, plate].mean()) / np.sqrt(len(level.blocks) / 2)
        return bool(slide > s.slope_share * small + noise)

    def _sharp(self, blocks: _Blocks, plate: int, before: _Level, after: _Level) -> float:
        """Greatest part of the change between two levels that surely happened from one block to the next but one."""
        y = blocks.mean[before.blocks[-1] : after.blocks[0] + 1, plate]
        whole = abs(y[-1] - y[0])
        if len(y) < 3 or whole == 0:
            return 1.0
        return float((np.abs(y[2:] - y[:-2]).max() - 1.5 * blocks.sd[before.blocks[-1], plate]) / whole)

    def _edges(self, blocks: _Blocks, plate: int, levels: list[_Level]) -> list[_Edge]:
        s, found = self._s, []
        for before, after in itertools.pairwise(levels):
            grams, _ = self._difference(blocks, plate, before, after)
            low, high = before.blocks[-1] * blocks.size, (after.blocks[0] + 1) * blocks.size
            at = low + _steepest(blocks.x[low:high, plate], np.sign(grams), blocks.size)
            faint = abs(grams) < s.faint_sd * float(blocks.sd[before.blocks[-1], plate])
            seen = blocks.valid[before.blocks[-1] : after.blocks[0] + 1, plate].all()
            blurred = faint or not seen or self._sharp(blocks, plate, before, after) < s.sharp_share
            found.append(_Edge(plate, before, after, at, grams, blurred, low, high))
        return found

    def _together(self, left: _Edge, right: _Edge) -> bool:
        """Whether one thing changed two plates: they are adjacent and changed at one time."""
        s = self._s
        apart_s = abs(right.at - left.at) / self._rate
        if right.plate - left.plate == 1:
            against = left.grams * right.grams < 0
            reach = 3 * s.together_s * self._rate
            for slow, other in ((left, right), (right, left)):
                if slow.blurred and slow.begin - reach <= other.at <= slow.end:
                    return True
            small, large = sorted((abs(left.grams), abs(right.grams)))
            loose = against or left.blurred or right.blurred or small < s.press_share * large
            return apart_s <= s.together_s * (3 if loose else 1)
        return False

    def _ends(self, left: Sequence[_Edge], right: Sequence[_Edge]) -> bool:
        """Whether one item stood with its two ends on two plates that have one between them."""
        s = self._s
        if len(left) > 1 or len(right) > 1 or right[0].plate - left[0].plate != 2:
            return False
        ratio = left[0].grams / right[0].grams
        apart_s = abs(right[0].at - left[0].at) / self._rate
        return apart_s <= s.ends_s and s.ends_ratio < ratio < 1 / s.ends_ratio

    def _grouped(self, edges: list[_Edge]) -> list[_Change]:
        """Join the changes of adjacent plates at one time."""
        groups: list[list[_Edge]] = []
        for edge in sorted(edges, key=lambda e: (e.plate, e.at)):
            home = [
                g
                for g in groups
                if any(self._together(e, edge) for e in g) and all(e.plate != edge.plate for e in g)
            ]
            if home:
                best = min(home, key=lambda g: min(abs(edge.at - e.at) for e in g))
                best.append(edge)
            else:
                groups.append([edge])
        for left in list(groups):
            for right in groups:
                if self._ends(left, right):
                    left += right
                    groups.remove(right)
                    break
        changes = []
        for group in groups:
            up, down = [e for e in group if e.grams > 0], [e for e in group if e.grams < 0]
            more, less = sum(e.grams for e in up), -sum(e.grams for e in down)
            apart = abs(more - less) > 0.3 * max(more, less) or min(len(up), len(down)) > 1
            if min(more, less) > self._s.opposite_g and apart:
                changes += [_Change(tuple(up)), _Change(tuple(down))]
            else:
                changes.append(_Change(tuple(group)))
        return sorted(changes, key=lambda c: c.at)

    def _joined(self, blocks: _Blocks, changes: list[_Change]) -> list[_Change]:
        """Join changes of the same plates of which the first is only a hand's weight, as on one plate."""
        s, changes = self._s, list(changes)
        i = 0
        while i < len(changes):
            for j in range(i + 1, len(changes)):
                first, second = changes[i], changes[j]
                if not first.plates & second.plates:
                    continue
                held_s = (second.at - first.at) / self._rate - 2 * s.block_s
                small, large = sorted((abs(first.grams), abs(second.grams)))
                tail = held_s < s.tail_s and small < s.press_share * large
                if tail or self._passes(first.grams, second.grams, held_s, sharp=True):
                    changes[i] = self._sum(blocks, first, second)
                    del changes[j]
                    i -= 1
                break
            i += 1
        return [c for c in changes if abs(c.grams) >= 0.5 * s.step_g and self._sudden(blocks, c)]

    def _sudden(self, blocks: _Blocks, change: _Change) -> bool:
        """Whether a change is not only a slow slide or drift."""
        main = max(change.edges, key=lambda e: abs(e.grams))
        seen = blocks.valid[main.before.blocks[-1] : main.after.blocks[0] + 1, main.plate].all()
        return not seen or self._sharp(blocks, main.plate, main.before, main.after) > self._s.slow_share

    def _sum(self, blocks: _Blocks, first: _Change, second: _Change) -> _Change:
        """Two changes as one, from before the first to after the second, at the time of the greater."""
        edges = {e.plate: e for e in first.edges}
        for edge in second.edges:
            if edge.plate in edges:
                before = edges[edge.plate].before
                grams, _ = self._difference(blocks, edge.plate, before, edge.after)
                main = max(edge, edges[edge.plate], key=lambda e: abs(e.grams))
                edge = replace(main, before=before, after=edge.after, grams=grams)
            edges[edge.plate] = edge
        return _Change(tuple(edges.values()))

    def _measured(self, blocks: _Blocks, change: _Change) -> WeightStep | None:
        """The step's size, error, place and time; None when it is too small."""
        plates = {e.plate: self._difference(blocks, e.plate, e.before, e.after) for e in change.edges}
        at = round(change.at)
        first = min(e.before.blocks[-1] for e in change.edges)
        last = max(e.after.blocks[0] for e in change.edges)
        blind = False
        for beside in {p + d for p in change.plates for d in (-1, 1)} - change.plates:
            if not 0 <= beside < len(self._plates):
                continue
            home = [lv for lv in blocks.levels[beside] if len(lv.blocks) and lv.blocks[0] <= first]
            held = home[-1].blocks if home else np.zeros(0, int)
            before, after = held[held <= first], held[held >= last]
            if not len(before) or not len(after):
                blind |= not blocks.valid[first : last + 1, beside].any()
                continue
            grams, sd = self._difference(blocks, beside, _Level(before), _Level(after))
            if abs(grams) > 2.5 * sd:
                plates[beside] = grams, sd
        least = CROSSTALK * max(abs(g) for g, _ in plates.values())
        plates = {p: (g, sd) for p, (g, sd) in plates.items() if abs(g) > least}
        grams = float(sum(g for g, _ in plates.values()))
        variance = sum(sd**2 for _, sd in plates.values()) + 0.2**2
        if abs(grams) < max(self._s.step_g, self._s.step_sd * np.sqrt(variance)):
            return None
        if blind:
            # A plate beside it that cannot be read may have carried as much again.
            variance += (0.5 * grams) ** 2
        start, end = self._ramp(blocks, change, at)
        main = max(change.edges, key=lambda e: abs(e.grams))
        return WeightStep(
            start,
            end,
            self._shelf,
            grams,
            float(np.sqrt(variance)),
            {self._plates[p]: plates[p][0] for p in sorted(plates)},
            float(np.clip(self._t[min(main.at, len(self._t) - 1)], start, end)),
        )

    def _ramp(self, blocks: _Blocks, change: _Change, at: int) -> tuple[float, float]:
        """Times at which a tenth and nine tenths of the change had happened, nearest to its middle."""
        edges = [e for e in change.edges if e.grams * change.grams > 0]
        low = max(0, min(e.before.blocks[-1] for e in edges) * blocks.size)
        high = min(len(self._t), (max(e.after.blocks[0] for e in edges) + 1) * blocks.size)
        done = np.zeros(high - low)
        for edge in edges:
            level, _ = blocks.level(edge.plate, edge.before.blocks[-self._read :])
            done += np.nan_to_num(blocks.x[low:high, edge.plate] - level)
        done /= sum(e.grams for e in edges)
        middle = min(max(at - low, 0), len(done) - 1)
        early, late = np.flatnonzero(done[: middle + 1] < 0.1), np.flatnonzero(done[middle:] > 0.9)
        start = low + (int(early[-1]) if len(early) else 0)
        end = low + middle + (int(late[0]) if len(late) else len(done) - 1 - middle)
        return float(self._t[start]), float(self._t[max(end, start + 1) if start + 1 < len(self._t) else end])


def _block_noise(within: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """Standard deviation of block means [blocks, plates].

    People at the shelf make more noise, so it follows the noise within blocks, which steps and presses
    hardly change; how much of that is left in the means is taken from the whole window.
    """
    table = pd.DataFrame(within)
    local = table.rolling(13, center=True, min_periods=1).median().ffill().bfill().fillna(0.0).to_numpy()
    with np.errstate(all="ignore"):
        usual = np.nan_to_num(_median(within))
        between = np.nan_to_num(_median(jumps)) / (0.6745 * np.sqrt(2.0))
    share = np.clip(between / np.maximum(usual, 0.05), 0.25, 1.2)
    return np.maximum(local * share, 0.12)


def _median(values: np.ndarray) -> np.ndarray:
    return pd.DataFrame(values).median(axis=0).to_numpy(float)


def _partition(mean: np.ndarray, sd: np.ndarray, valid: np.ndarray, penalty: float) -> list[list[int]]:
    """Where the pieces of constant load begin, for each plate.

    Optimal partitioning (Jackson et al. 2005, doi:10.1109/LSP.2001.838216): least sum of squared
    deviations from the pieces' means, in variances, plus `penalty` for every piece. Blocks that are
    not valid weigh next to nothing.
    """
    count, plates = mean.shape
    weight = np.where(valid, 1.0 / sd**2, 1e-9)
    centred = mean - np.median(mean, axis=0)
    zero = np.zeros((1, plates))
    total = np.vstack([zero, np.cumsum(weight, axis=0)])
    first = np.vstack([zero, np.cumsum(weight * centred, axis=0)])
    second = np.vstack([zero, np.cumsum(weight * centred**2, axis=0)])
    best = np.vstack([zero - penalty, np.zeros((count, plates))])
    came = np.zeros((count + 1, plates), int)
    base = best[:1] - second[:1]
    columns = np.arange(plates)
    for end in range(1, count + 1):
        cost = base + (second[end] - (first[end] - first[:end]) ** 2 / (total[end] - total[:end]))
        came[end] = cost.argmin(axis=0)
        best[end] = cost[came[end], columns] + penalty
        base = np.vstack([base, best[end : end + 1] - second[end : end + 1]])
    starts = []
    for plate in range(plates):
        found, end = [], count
        while end > 0:
            end = int(came[end, plate])
            found.append(end)
        starts.append(found[::-1])
    return starts


def _steepest(signal: np.ndarray, sign: float, width: int) -> int:
    """Sample at which a signal rises (or falls, by `sign`) most from one window to the next."""
    known = np.flatnonzero(np.isfinite(signal))
    y = np.interp(np.arange(len(signal)), known, signal[known])
    total = np.concatenate([[0.0], np.cumsum(np.pad(y, width, mode="edge"))])
    sums = total[width:] - total[:-width]
    return int(np.argmax(sign * (sums[width:] - sums[:-width])))


def detect_steps(plates: pd.DataFrame, settings: StepSettings | None = None) -> StepResult:
    """All weight steps of a recording's plates (`Recording.plates`), in time order."""
    stretches, warnings = shelf_stretches(plates)
    steps: list[WeightStep] = []
    for stretch in stretches:
        detector = ShelfStepDetector(stretch.shelf, stretch.plates, stretch.rate_hz, settings)
        steps += detector.update(stretch.t_s, stretch.grams)
        steps += detector.flush()
    lost = tuple(unread(stretches))
    return StepResult(tuple(sorted(steps, key=lambda s: s.t_s)), tuple(warnings), lost)
