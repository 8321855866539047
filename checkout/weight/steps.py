"""Finds weight steps: lasting changes of load on a shelf, with their size, error, place and time.

Method. For every plate and time, the mean of a short window after is compared with that of one
before, with a gap between for the ramp. Where a plate's change stands out of its own noise and is
greatest in its neighbourhood of time, it is a peak. Peaks of adjacent plates, of one sign and one
time, are one step. Changes that undo each other within a second are a touch or a lean, not two
events. The step's size is then measured again on longer windows that avoid its neighbours.

The detector works online: it holds a few seconds of samples, and decides about blocks of one
second once it has seen enough of what follows, so the result does not depend on how the stream
was cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from checkout.events import WeightStep
from checkout.weight.plates import shelf_stretches


@dataclass(frozen=True)
class StepSettings:
    """Times in seconds, loads in grams; all assumed, chosen on rendered plates and on the real noise.

    Attributes:
        window_s, half_gap_s: length of the two windows that are compared, and half the gap between them.
        plate_g, plate_sd: least change of a plate, in grams and in standard errors.
        step_g, step_sd: least change of a step.
        peak_s: a peak is the greatest change within this time.
        together_s: peaks of adjacent plates this close in time are one step.
        undone_s: opposite changes of one place this close in time are no events.
        measure_s: length of the windows on which the size is measured.
    """

    window_s: float = 0.3
    half_gap_s: float = 0.2
    plate_g: float = 4.0
    plate_sd: float = 6.0
    step_g: float = 15.0
    step_sd: float = 6.0
    peak_s: float = 0.3
    together_s: float = 0.25
    undone_s: float = 1.0
    undone_share: float = 0.35
    measure_s: float = 0.6
    look_s: float = 2.5
    block_s: float = 1.0


@dataclass(frozen=True)
class StepResult:
    """The steps in time order, and what was doubtful about the plates."""

    steps: tuple[WeightStep, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Peak:
    """The change of one group of adjacent plates."""

    at: float
    plates: tuple[int, ...]
    grams: float


class ShelfStepDetector:
    """Online step detector of one shelf; holds at most about six seconds of samples.

    Args:
        plates: plate ids in order of place.
    """

    def __init__(
        self, shelf: str, plates: Sequence[str], rate_hz: float, settings: StepSettings | None = None
    ) -> None:
        self._shelf, self._plates, self._rate = shelf, tuple(plates), rate_hz
        self._s = settings or StepSettings()
        self._t = np.zeros(0)
        self._x = np.zeros((0, len(self._plates)))
        self._first = 0  # sample number of the buffer's first row
        self._next = 0  # sample number at which the next block begins
        self._block, self._look = self._samples(self._s.block_s), self._samples(self._s.look_s)

    def update(self, t_s: np.ndarray, grams: np.ndarray) -> list[WeightStep]:
        """Take in samples `t_s` [n] and `grams` [n, plates]; returns the steps that are now decided."""
        self._t = np.concatenate([self._t, t_s])
        self._x = np.vstack([self._x, grams])
        found: list[WeightStep] = []
        while self._first + len(self._t) >= self._next + self._block + self._look:
            found += self._decide()
        return found

    def flush(self) -> list[WeightStep]:
        """The steps still undecided at the end of the stream."""
        found: list[WeightStep] = []
        while self._next < self._first + len(self._t):
            found += self._decide()
        return found

    def _samples(self, seconds: float) -> int:
        return max(1, round(seconds * self._rate))

    def _decide(self) -> list[WeightStep]:
        """Decide about one block, then forget what no later block needs."""
        begin, end = self._next, self._next + self._block
        low = max(self._first, begin - self._look)
        high = min(self._first + len(self._t), end + self._look)
        rows = slice(low - self._first, high - self._first)
        t, x = self._t[rows], self._x[rows]
        found = [
            self._measured(peak, others, t, x)
            for peak, others in self._peaks(x)
            if begin <= low + round(peak.at) < end
        ]
        self._next = end
        keep = max(0, end - self._look - self._first)
        self._t, self._x, self._first = self._t[keep:], self._x[keep:], self._first + keep
        s = self._s
        return sorted(
            (f for f in found if abs(f.grams) >= max(s.step_g, s.step_sd * f.grams_sd)),
            key=lambda f: f.t_start_s,
        )

    def _noise(self, x: np.ndarray) -> np.ndarray:
        """Standard deviation of each plate within a window, by the median window; grams [plates]."""
        window = self._samples(self._s.window_s)
        blocks = x[: len(x) // window * window].reshape(-1, window, x.shape[1])
        return np.asarray(np.median(blocks.std(axis=1), axis=0)) if len(blocks) else np.zeros(x.shape[1])

    def _peaks(self, x: np.ndarray) -> list[tuple[_Peak, list[_Peak]]]:
        """Each lasting change of a group of plates, with the other changes that share its plates."""
        s, window, gap = self._s, self._samples(self._s.window_s), self._samples(self._s.half_gap_s)
        n = len(x)
        if n < 2 * (window + gap) + 1:
            return []
        total = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x - x[0], axis=0)])
        centre = np.arange(window + gap, n - window - gap)
        after = total[centre + gap + window] - total[centre + gap]
        before = total[centre - gap] - total[centre - gap - window]
        change = (after - before) / window
        least = np.maximum(s.plate_g, s.plate_sd * self._noise(x) * np.sqrt(2 / (0.5 * window)))
        around = self._samples(s.peak_s)
        peaks = []
        for plate in range(x.shape[1]):
            size = np.abs(change[:, plate])
            loud = np.flatnonzero(size > least[plate])
            if not len(loud):
                continue
            for at in loud:
                near = size[max(0, at - around) : at + around + 1]
                if size[at] == near.max() and not (near[: min(at, around)] == size[at]).any():
                    peaks.append((plate, int(centre[at]), float(change[at, plate])))
        groups = [g for g in self._grouped(peaks) if abs(g.grams) >= 0.5 * s.step_g]
        lasting = self._lasting(groups)
        return [
            (g, [o for o in groups if o is not g and set(o.plates) & self._wide(g, x.shape[1])])
            for g in lasting
        ]

    def _grouped(self, peaks: list[tuple[int, int, float]]) -> list[_Peak]:
        """Join peaks of adjacent plates, one sign and one time."""
        together = self._samples(self._s.together_s)
        groups: list[list[tuple[int, int, float]]] = []
        for peak in sorted(peaks, key=lambda p: p[0]):
            home = None
            for group in groups:
                if any(
                    peak[0] - other[0] == 1 and abs(peak[1] - other[1]) <= together and peak[2] * other[2] > 0
                    for other in group
                ):
                    home = group
            if home is None:
                groups.append([peak])
            else:
                home.append(peak)
        joined = []
        for group in groups:
            weight = np.array([abs(g) for _, _, g in group])
            at = float(np.average([n for _, n, _ in group], weights=weight))
            joined.append(
                _Peak(at, tuple(sorted(p for p, _, _ in group)), float(sum(g for _, _, g in group)))
            )
        return sorted(joined, key=lambda g: g.at)

    def _lasting(self, groups: list[_Peak]) -> list[_Peak]:
        """Leave out changes of a place that are undone within a moment."""
        undone, gone = self._samples(self._s.undone_s), set()
        for i, first in enumerate(groups):
            for j in range(i + 1, len(groups)):
                second = groups[j]
                if second.at - first.at > undone or i in gone or j in gone:
                    continue
                cancels = abs(first.grams + second.grams) < self._s.undone_share * abs(first.grams)
                if cancels and set(first.plates) & set(second.plates):
                    gone |= {i, j}
        return [g for i, g in enumerate(groups) if i not in gone]

    def _wide(self, group: _Peak, count: int) -> set[int]:
        """A group's plates and their neighbours."""
        return {p for q in group.plates for p in (q - 1, q, q + 1) if 0 <= p < count}

    def _measured(self, peak: _Peak, others: list[_Peak], t: np.ndarray, x: np.ndarray) -> WeightStep:
        """The step's size, error, place and time, from windows that no other change disturbs."""
        s, rate = self._s, self._rate
        at = round(peak.at)
        away = self._samples(s.half_gap_s + 0.1)
        # Closer changes of the same plates belong to this one (its ringing), not to a neighbour.
        earlier = [round(o.at) + away for o in others if o.at < peak.at - 1.5 * away]
        later = [round(o.at) - away for o in others if o.at > peak.at + 1.5 * away]
        least = self._samples(0.1)
        low = min(max([0, at - away - self._samples(s.measure_s), *earlier]), at - away - least)
        high = max(min([len(t), at + away + self._samples(s.measure_s), *later]), at + away + least)
        before, after = x[max(low, 0) : max(at - away, 1)], x[min(at + away, len(x) - 1) : high]
        change = after.mean(axis=0) - before.mean(axis=0)
        # Half of the samples count, because the noise of neighbouring samples is not independent.
        error = self._noise(x) * np.sqrt(2 / max(1, len(before)) + 2 / max(1, len(after)))
        claimed = {p for o in others if abs(o.at - peak.at) <= 2 * away for p in o.plates} - set(peak.plates)
        used = [
            p
            for p in sorted(self._wide(peak, x.shape[1]) - claimed)
            if p in peak.plates or abs(change[p]) > 2 * error[p]
        ]
        grams = float(change[used].sum())
        start, end = _ramp(
            t, x[:, list(peak.plates)].sum(axis=1), at, self._samples(0.45), before, after, peak
        )
        return WeightStep(
            start if np.isfinite(start) else float(t[at]) - 0.5 / rate,
            end if np.isfinite(end) else float(t[at]) + 0.5 / rate,
            self._shelf,
            grams,
            float(np.sqrt((error[used] ** 2).sum()) + 0.3),
            {self._plates[p]: float(change[p]) for p in used},
        )


def _ramp(
    t: np.ndarray, signal: np.ndarray, at: int, reach: int, before: np.ndarray, after: np.ndarray, peak: _Peak
) -> tuple[float, float]:
    """Times at which a tenth and nine tenths of the change had happened, nearest to its middle."""
    plates = list(peak.plates)
    low, high = before[:, plates].sum(axis=1).mean(), after[:, plates].sum(axis=1).mean()
    rows = slice(max(0, at - reach), min(len(t), at + reach + 1))
    done = (signal[rows] - low) / (high - low if high != low else 1.0)
    times = t[rows]
    early = times[(done < 0.1) & (times <= t[at])]
    late = times[(done > 0.9) & (times >= t[at])]
    return (float(early[-1]) if len(early) else np.nan), (float(late[0]) if len(late) else np.nan)


def detect_steps(plates: pd.DataFrame, settings: StepSettings | None = None) -> StepResult:
    """All weight steps of a recording's plates (`Recording.plates`), in time order."""
    stretches, warnings = shelf_stretches(plates)
    steps: list[WeightStep] = []
    for stretch in stretches:
        detector = ShelfStepDetector(stretch.shelf, stretch.plates, stretch.rate_hz, settings)
        chunk = round(60 * stretch.rate_hz)
        for first in range(0, len(stretch.t_s), chunk):
            steps += detector.update(stretch.t_s[first : first + chunk], stretch.grams[first : first + chunk])
        steps += detector.flush()
    return StepResult(tuple(sorted(steps, key=lambda s: s.t_s)), tuple(warnings))
