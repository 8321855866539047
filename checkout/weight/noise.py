"""Measurement noise of load-cell plates, fitted to a real store's plates.

Model, one shelf at a time: every plate has its own noise of a measured spectrum, of which a part is
common to the shelf (the board vibrates), a slow random walk, samples that the converter repeats, and
the converter's step. `QUIET` was measured with `fit_plate_noise` on the idle first 10 s of the AiFi
NanoStore recording's gondolas 2-4; `DISTURBED` on gondola 1, before which the shopper stands: it
shakes three times as much, most of all at 8-9 Hz.
"""

from __future__ import annotations

import itertools
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
        held: share of samples that only repeat the one before.
        spectrum: relative power in the bands of `BAND_EDGES_HZ`, per hertz; its mean over frequency is one.
    """

    sd_median_g: float
    sd_spread: float
    common: float
    walk_g: float
    step_g: float
    held: float
    spectrum: tuple[float, ...]


BAND_EDGES_HZ = (
    1.0,
    3.0,
    5.0,
    7.0,
    8.0,
    9.0,
    10.0,
    12.0,
    14.0,
    16.0,
    18.0,
    20.0,
    22.0,
    23.0,
    24.0,
    25.0,
    27.0,
    30.0,
)
QUIET = PlateNoise(
    0.75, 0.62, 0.31, 0.12, 0.241, 0.06,
    (2.65, 0.72, 0.58, 0.72, 0.63, 0.45, 0.45, 0.56, 0.59, 1.30, 1.06, 1.22, 0.74, 1.04, 3.05, 1.00, 0.71),
)  # fmt: skip
DISTURBED = PlateNoise(
    2.14, 0.85, 0.19, 0.12, 0.241, 0.07,
    (0.78, 0.45, 1.47, 3.77, 2.20, 2.21, 1.14, 0.90, 1.25, 1.07, 0.79, 0.70, 0.49, 0.48, 1.03, 0.32, 0.36),
)  # fmt: skip
"""Measured: tests/realdata/test_aifi_recording.py fits both anew."""
BAND_SPREAD = 0.5
"""Assumed: standard deviation of the logarithm of a band's power between plates."""


def draw_plate_noise(
    n_samples: int,
    n_plates: int,
    rng: np.random.Generator,
    rate_hz: float = 60.0,
    noise: PlateNoise = QUIET,
) -> np.ndarray:
    """Noise of one shelf's plates, grams, float64 [n_samples, n_plates]; without the converter's step and repeats."""
    sd = noise.sd_median_g * np.exp(noise.sd_spread * rng.standard_normal(n_plates))
    own = _coloured(n_samples, n_plates, noise, rng, rate_hz)
    shelf = _coloured(n_samples, 1, noise, rng, rate_hz)
    shaking = np.sqrt(1 - noise.common) * own + np.sqrt(noise.common) * shelf
    walk = np.cumsum(rng.standard_normal((n_samples, n_plates)), axis=0) * noise.walk_g / np.sqrt(rate_hz)
    return np.asarray(sd * shaking + walk)


def convert(grams: np.ndarray, rng: np.random.Generator, noise: PlateNoise = QUIET) -> np.ndarray:
    """What the converter makes of loads [n_samples, n_plates]: steps, and samples that repeat the one before."""
    stepped = np.round(grams / noise.step_g) * noise.step_g
    fresh = rng.uniform(size=grams.shape) >= noise.held
    fresh[0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(len(grams))[:, None], 0), axis=0)
    return np.asarray(np.take_along_axis(stepped, last, axis=0))


def band_powers(signal: np.ndarray, rate_hz: float = 60.0) -> np.ndarray:
    """Power per hertz in the bands of `BAND_EDGES_HZ`, [bands, plates], of signals [n_samples, n_plates]."""
    from scipy.signal import welch

    frequency, power = welch(
        signal, rate_hz, nperseg=min(len(signal), 4 * round(rate_hz)), axis=0, detrend="linear"
    )
    edges = np.array(BAND_EDGES_HZ)
    return np.stack(
        [power[(frequency >= a) & (frequency < b)].mean(axis=0) for a, b in itertools.pairwise(edges)]
    )


def fit_plate_noise(shelves: list[np.ndarray], rate_hz: float = 60.0) -> PlateNoise:
    """Parameters from idle signals, one array [n_samples, n_plates] a shelf, grams."""
    second = round(rate_hz)
    spreads, commons, walks, steps, held, spectra = [], [], [], [], [], []
    widths = np.diff(BAND_EDGES_HZ)
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
        gaps = np.abs(np.diff(signal[:, alive], axis=0))
        steps.append(gaps[gaps > 0.02].min())
        power = band_powers(signal[:, alive], rate_hz)
        spectra.append((power / (widths @ power) * widths.sum()).T)
        held.append((gaps == 0).mean(axis=0))
    sd = np.concatenate(spreads)
    step = float(np.median(steps))
    chance = np.mean(step / (2 * np.sqrt(np.pi) * np.maximum(sd, 0.3)))
    shape = np.exp(np.log(np.vstack(spectra)).mean(axis=0))
    shape = shape / (widths @ shape) * widths.sum()
    return PlateNoise(
        float(np.median(sd)),
        float(np.log(sd).std()),
        float(np.median(np.concatenate(commons))) if commons else 0.0,
        # The difference of two neighbouring 1-s means of a random walk has 2/3 of its variance per second.
        float(np.sqrt(np.median(np.concatenate(walks)) * 1.5)),
        step,
        float(np.clip(np.mean(np.concatenate(held)) - chance, 0.0, 0.9)),
        tuple(round(float(v), 3) for v in shape),
    )


def _coloured(
    n_samples: int, n_plates: int, noise: PlateNoise, rng: np.random.Generator, rate_hz: float
) -> np.ndarray:
    """Unit noise of the measured spectrum; each plate's bands differ a little."""
    length = int(2 ** np.ceil(np.log2(max(n_samples, 256))))
    frequency = np.fft.rfftfreq(length, 1 / rate_hz)
    band = np.clip(np.searchsorted(BAND_EDGES_HZ, frequency, side="right") - 1, 0, len(noise.spectrum) - 1)
    power = np.array(noise.spectrum)[:, None] * np.exp(
        BAND_SPREAD * rng.standard_normal((len(noise.spectrum), n_plates))
    )
    shape = np.sqrt(power)[band] * (frequency >= BAND_EDGES_HZ[0])[:, None]
    white = np.fft.rfft(rng.standard_normal((length, n_plates)), axis=0)
    signal = np.fft.irfft(white * shape, length, axis=0)
    return np.asarray((signal / signal.std(axis=0))[:n_samples])
