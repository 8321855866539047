"""Plates as they come, made ready for the step detector: one evenly sampled array a shelf."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from checkout.catalog import shelf_of

CLIP_G = 20_000.0
"""Published: plates are rated 20 kg (AutoCheckout competition)."""
LONGEST_HOLE_S = 0.1
"""Assumed: a longer gap in a shelf's samples starts a new stretch."""


@dataclass(frozen=True)
class ShelfStretch:
    """One shelf without a gap: `t_s` [n] seconds, `grams` [n, plates], plates in order of place."""

    shelf: str
    plates: tuple[str, ...]
    rate_hz: float
    t_s: np.ndarray
    grams: np.ndarray


def shelf_stretches(plates: pd.DataFrame) -> tuple[list[ShelfStretch], list[str]]:
    """Cut `Recording.plates` into shelves and gapless stretches; with a warning for each plate that is doubtful.

    A plate without samples is left out; single missing samples are filled from their neighbours.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for plate in plates.columns:
        groups[shelf_of(str(plate))].append(str(plate))
    stretches, warnings = [], []
    for shelf, names in sorted(groups.items()):
        names.sort(key=lambda p: int(p.rsplit(".p", 1)[1]))
        table = plates[names].dropna(how="all")
        if len(table) < 2:
            warnings.append(f"shelf {shelf} has fewer than two samples and was left out")
            continue
        for name in [n for n in names if table[n].notna().mean() < 0.5]:
            warnings.append(f"plate {name} is silent in more than half of its samples and was left out")
            names.remove(name)
        clipped = [n for n in names if float(table[n].max()) >= CLIP_G]
        warnings += [f"plate {n} reaches its 20 kg limit: events on it may be missed" for n in clipped]
        t_s = table.index.to_numpy(float)
        grams = table[names].interpolate(limit_direction="both").to_numpy(float)
        pause = np.median(np.diff(t_s))
        cuts = np.flatnonzero(np.diff(t_s) > LONGEST_HOLE_S + pause) + 1
        if len(cuts):
            warnings.append(
                f"shelf {shelf} has {len(cuts)} gaps in its samples, the first at {t_s[cuts[0] - 1]:.1f} s"
            )
        for rows in np.split(np.arange(len(t_s)), cuts):
            stretches.append(ShelfStretch(shelf, tuple(names), float(1 / pause), t_s[rows], grams[rows]))
    return stretches, warnings
