"""The load cells' view of a script: ramps, ringing, leaning, drift and noise, 60 times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from checkout.catalog import Planogram, shelf_of
from checkout.render.scene import PLATES_PER_SHELF, Unit
from checkout.render.script import Script
from checkout.weight.noise import MEASURED, draw_plate_noise

RATE_HZ = 60.0
RING_HZ, RING_SHARE, RING_S = 8.0, 0.06, 0.10
"""Assumed: frequency, share of the load and decay of the ringing after a change; it settles within half a second."""
LEAN_G = 13.0
"""Measured: leaning on the real shelf moved a neighbouring plate by up to 13 g (shared/data README)."""


def plate_signals(
    script: Script,
    planogram: Planogram,
    units: Sequence[Unit],
    stock: Mapping[str, Sequence[int | None]],
    rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Sample times [n] and each plate's grams [n]; `stock` is how the shelves begin."""
    t_s = np.arange(round(script.duration_s * RATE_HZ)) / RATE_HZ
    shelves = sorted({f.shelf for f in planogram.values()})
    names = [f"{shelf}.p{i + 1}" for shelf in shelves for i in range(PLATES_PER_SHELF)]
    load = {name: np.full(len(t_s), float(rng.uniform(0, 2500))) for name in names}
    left_share = rng.uniform(0.35, 0.65, len(units))

    def add(unit: int, facing: str, signal: np.ndarray) -> None:
        left, right = planogram[facing].plates
        load[left] += units[unit].weight_g * left_share[unit] * signal
        load[right] += units[unit].weight_g * (1 - left_share[unit]) * signal

    for facing, slots in stock.items():
        for unit in slots:
            if unit is not None:
                add(unit, facing, np.ones(len(t_s)))
    for deed in script.deeds:
        if deed.kind != "touch":
            change = _ramp(t_s, deed.moved_s, float(rng.uniform(0.15, 0.4)))
            for unit in deed.units:
                add(unit, deed.facing, -change if deed.kind == "pick" else change)
        plates = [p for p in names if shelf_of(p) == shelf_of(deed.facing)]
        leaned = plates[
            int(np.clip(plates.index(planogram[deed.facing].plates[0]) + rng.integers(-1, 3), 0, 11))
        ]
        force = float(np.clip(rng.normal(0, LEAN_G / 2), -LEAN_G, LEAN_G))
        load[leaned] += force * _bump(t_s, deed.marks[1] - 0.15, deed.marks[3] + 0.15)
    signals = {}
    for shelf in shelves:
        noise = draw_plate_noise(len(t_s), PLATES_PER_SHELF, rng, RATE_HZ)
        for i in range(PLATES_PER_SHELF):
            name = f"{shelf}.p{i + 1}"
            total = np.minimum(load[name] + noise[:, i], 20_000.0)
            signals[name] = np.round(total / MEASURED.step_g) * MEASURED.step_g
    return t_s, signals


def _ramp(t_s: np.ndarray, middle_s: float, length_s: float) -> np.ndarray:
    """0 before, 1 after, smooth between, then ringing that dies away."""
    u = np.clip((t_s - middle_s) / length_s + 0.5, 0, 1)
    since = t_s - middle_s - length_s / 2
    ring = (
        RING_SHARE
        * np.exp(-np.maximum(since, 0) / RING_S)
        * np.sin(2 * np.pi * RING_HZ * since)
        * (since > 0)
    )
    return np.asarray(u * u * (3 - 2 * u) + ring)


def _bump(t_s: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    u = np.clip((t_s - start_s) / (end_s - start_s), 0, 1)
    return np.asarray(np.sin(np.pi * u) ** 2)
