"""Measurement noise of load-cell plates, fitted to a real store's idle plates.

Model, one shelf at a time: every plate has its own white noise, of which a part is common to the
shelf (the board vibrates), a slow random walk, and the converter's step. The parameters were
measured with `fit_plate_noise` on the idle first 10 s of the AiFi NanoStore recording's gondolas
2-4; gondola 1, at which the shopper stood, shakes three times as much and was left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PlateNoise(NamedTuple):
    """Parameters of the noise.

    Attributes:
        sd_median_g: median over plates of the standard deviation within a second.
        sd_spread: standard deviation of its logarithm between plates.
        common: share of the variance that all plates of a shelf have in common.
        walk_g: random walk, grams per square root of a second.
        step_g: the converter's step.
    """

    sd_median_g: float
    sd_spread: float
    common: float
    walk_g: float
    step_g: float


MEASURED = PlateNoise(sd_median_g=0.76, sd_spread=0.58, common=0.33, walk_g=0.25, step_g=0.241)
"""Measured: `fit_plate_noise` on gondolas 2-4 of the real recording (tests/realdata/test_plate_noise.py)."""


def draw_plate_noise(
    n_samples: int,
    n_plates: int,
    rng: np.random.Generator,
    rate_hz: float = 60.0,
    noise: PlateNoise = MEASURED,
) -> np.ndarray:
    """Noise of one shelf's plates, grams, float64 [n_samples, n_plates]; its converter step is not applied."""
    sd = noise.sd_median_g * np.exp(noise.sd_spread * rng.standard_normal(n_plates))
    own = rng.standard_normal((n_samples, n_plates))
    shelf = rng.standard_normal((n_samples, 1))
    white = np.sqrt(1 - noise.common) * own + np.sqrt(noise.common) * shelf
    walk = np.cumsum(rng.standard_normal((n_samples, n_plates)), axis=0) * noise.walk_g / np.sqrt(rate_hz)
    return np.asarray(sd * white + walk)


def fit_plate_noise(shelves: list[np.ndarray], rate_hz: float = 60.0) -> PlateNoise:
    """Parameters from idle signals, one array [n_samples, n_plates] a shelf, grams."""
    second = round(rate_hz)
    spreads, commons, walks, steps = [], [], [], []
    for signal in shelves:
        windows = signal[: len(signal) // second * second].reshape(-1, second, signal.shape[1])
        sd = np.median(windows.std(axis=1), axis=0)
        alive = sd > 0.05
        spreads.append(sd[alive])
        if alive.sum() > 1:
            residual = (windows - windows.mean(axis=1, keepdims=True)).reshape(-1, signal.shape[1])[:, alive]
            matrix = np.corrcoef(residual.T)
            commons.append(matrix[np.triu_indices(len(matrix), 1)])
        means = windows.mean(axis=1)[:, alive]
        white = sd[alive] ** 2 / second
        walks.append(np.maximum(0.0, np.mean(np.diff(means, axis=0) ** 2, axis=0) - 2 * white))
        gaps = np.abs(np.diff(signal, axis=0))
        steps.append(gaps[gaps > 0.02].min())
    spread = np.concatenate(spreads)
    return PlateNoise(
        float(np.median(spread)),
        float(np.std(np.log(spread))),
        float(np.median(np.concatenate(commons))),
        # The difference of two neighbouring 1-s means of a random walk has 2/3 of its variance per second.
        float(np.sqrt(np.median(np.concatenate(walks)) * 1.5)),
        float(np.median(steps)),
    )
