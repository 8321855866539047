"""From the simulated loads to what the load cells send: noise, drift, offsets, clipping, faults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from checkout.catalog import shelf_of
from checkout.render.script import Script, Stage
from checkout.render.shelf_physics import ShelfMotion
from checkout.weight.noise import DISTURBED, QUIET, convert, draw_plate_noise

FULL_SCALE_G = 20_000.0
"""Published: plates are rated 20 kg (shared/data README)."""
GAIN_ERROR = 0.002
DRIFT_G_PER_S = 0.12
NEAR_Y_M = -0.85
"""Assumed: who stands nearer than this makes the gondola shake as the real shopper did."""


@dataclass(frozen=True)
class Faults:
    """How much is wrong with the load cells: shares of plates that drop samples, stick, or stand near full scale."""

    dropping: float = 0.0
    stuck: float = 0.0
    overloaded: float = 0.0


@dataclass
class PlateSignals:
    """`t_s` [n] and each plate's grams [n], NaN where a sample is lost; `faulty` are spans of seconds by plate."""

    t_s: np.ndarray
    grams: dict[str, np.ndarray]
    faulty: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def plate_signals(
    motion: ShelfMotion, script: Script, stage: Stage, rng: np.random.Generator, faults: Faults | None = None
) -> PlateSignals:
    """What the plates send of a motion."""
    faults = faults or Faults()
    t_s = motion.t_s
    signals = PlateSignals(t_s, {})
    shaking = _shaking(script, stage, t_s)
    for shelf in sorted({shelf_of(p) for p in motion.grams}):
        plates = [p for p in motion.grams if shelf_of(p) == shelf]
        n = len(plates)
        quiet = draw_plate_noise(len(t_s), n, rng, noise=QUIET)
        disturbed = draw_plate_noise(len(t_s), n, rng, noise=DISTURBED)
        still = np.sqrt(np.maximum(0.0, 1.0 - shaking**2))[:, None]
        offset = rng.uniform(0, 2500, n) + np.where(
            rng.uniform(size=n) < faults.overloaded, FULL_SCALE_G - 3500, 0.0
        )
        drift = np.outer(t_s, rng.normal(0, DRIFT_G_PER_S, n))
        load = np.column_stack([motion.grams[p] for p in plates]) * rng.normal(1.0, GAIN_ERROR, n)
        grams = load + offset + drift + still * quiet + shaking[:, None] * disturbed
        for i, plate in enumerate(plates):
            if grams[:, i].max() > FULL_SCALE_G:
                over = t_s[grams[:, i] > FULL_SCALE_G]
                signals.faulty.setdefault(plate, []).append((float(over[0]), float(over[-1])))
        sent = convert(np.minimum(grams, FULL_SCALE_G), rng, QUIET)
        for i, plate in enumerate(plates):
            signals.grams[plate] = sent[:, i]
            _break(signals, plate, faults, rng)
    return signals


def _shaking(script: Script, stage: Stage, t_s: np.ndarray) -> np.ndarray:
    """How much of the noise is that of a gondola with people at it, [n]: 0.8 for one person, more for more."""
    near = np.zeros(len(t_s))
    for person in range(len(script.people)):
        at = np.array([stage.at(person, float(t)) for t in t_s[::6]])
        inside = np.array([script.inside(person, float(t)) for t in t_s[::6]])
        near += np.repeat((at[:, 1] > NEAR_Y_M) & inside, 6)[: len(t_s)]
    smooth = np.convolve(np.pad(near, 15, mode="edge"), np.ones(31) / 31, mode="valid")
    return np.minimum(1.3, 0.8 * np.sqrt(smooth))


def _break(signals: PlateSignals, plate: str, faults: Faults, rng: np.random.Generator) -> None:
    """Lose samples of a plate, or let it send the same value for ever, as often as `faults` says."""
    drops, sticks = rng.uniform(size=2)
    start, length = rng.uniform(0.1, 0.9) * signals.t_s[-1], rng.uniform(0.3, 2.0)
    if sticks < faults.stuck:
        stuck = signals.t_s >= start
        signals.grams[plate][stuck] = signals.grams[plate][stuck][0]
        signals.faulty.setdefault(plate, []).append((float(start), float(signals.t_s[-1])))
    elif drops < faults.dropping:
        signals.grams[plate][(signals.t_s >= start) & (signals.t_s < start + length)] = np.nan
        signals.faulty.setdefault(plate, []).append((float(start), float(start + length)))
