"""Plates as they come, made ready for the step detector: one evenly sampled array a shelf."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from checkout.catalog import shelf_of

CLIP_G = 20_000.0
"""Published: plates are rated 20 kg (AutoCheckout competition)."""
LONGEST_HOLE_S = 3.0
"""Assumed: a longer gap in a shelf's samples starts a new stretch."""
UNREAD_S = 0.8
"""Assumed: a step may be lost in a longer hole in a plate's samples."""
STUCK_S = 3.0
"""Assumed: a plate that made noise and then repeats one value for longer is stuck; its last values are not read."""


class Unread(NamedTuple):
    """A time in which a plate said nothing that can be used, seconds."""

    plate: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ShelfStretch:
    """One shelf without a long gap: `t_s` [n] seconds, `grams` [n, plates] with NaN where there is no reading.

    Plates are in order of place; samples are evenly spaced.
    """

    shelf: str
    plates: tuple[str, ...]
    rate_hz: float
    t_s: np.ndarray
    grams: np.ndarray


def shelf_stretches(plates: pd.DataFrame) -> tuple[list[ShelfStretch], list[str]]:
    """Cut `Recording.plates` into shelves and stretches; with a warning for each plate that is doubtful.

    A plate with few samples is left without any; so are readings at the 20 kg limit and of plates that are stuck.
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
        t_s, grams = table.index.to_numpy(float), table.to_numpy(float, copy=True)
        pause = float(np.median(np.diff(t_s)))
        warnings += _without_doubtful(names, t_s, grams, round(STUCK_S / pause))
        holes = np.diff(t_s)
        cuts = np.flatnonzero(holes > LONGEST_HOLE_S) + 1
        if (number := int((holes > 0.1 + pause).sum())) > 0:
            first = t_s[np.flatnonzero(holes > 0.1 + pause)[0]]
            warnings.append(f"shelf {shelf} has {number} gaps in its samples, the first at {first:.1f} s")
        for rows in np.split(np.arange(len(t_s)), cuts):
            stretches.append(
                ShelfStretch(shelf, tuple(names), 1 / pause, *_even(t_s[rows], grams[rows], pause))
            )
    return stretches, warnings


def unread(stretches: Sequence[ShelfStretch], longest_s: float = UNREAD_S) -> list[Unread]:
    """When plates could not be read for longer than some seconds."""
    found = []
    ends: dict[str, float] = {}
    for stretch in stretches:
        begin_s = float(stretch.t_s[0])
        last_s = ends.get(stretch.shelf, begin_s)
        if begin_s - last_s > longest_s:
            found += [Unread(plate, last_s, begin_s) for plate in stretch.plates]
        ends[stretch.shelf] = float(stretch.t_s[-1])
        for column, plate in enumerate(stretch.plates):
            lost = np.isnan(stretch.grams[:, column])
            edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
            for first, last in edges.reshape(-1, 2).tolist():
                start_s, end_s = float(stretch.t_s[first]), float(stretch.t_s[last - 1])
                if end_s - start_s > longest_s:
                    found.append(Unread(plate, start_s, end_s))
    return found


def _without_doubtful(names: list[str], t_s: np.ndarray, grams: np.ndarray, stuck: int) -> list[str]:
    """Replace readings that say nothing by NaN, in place; returns a warning for each plate concerned."""
    warnings = []
    for column, name in enumerate(names):
        values = grams[:, column]
        if np.isfinite(values).mean() < 0.5:
            warnings.append(f"plate {name} is silent in more than half of its samples and was left out")
            values[:] = np.nan
            continue
        lost = np.isnan(values)
        if lost.any():
            warnings.append(
                f"plate {name} lost {int(lost.sum())} samples, the first at {t_s[lost.argmax()]:.1f} s"
            )
        clipped = values >= CLIP_G
        if clipped.any():
            warnings.append(f"plate {name} reaches its 20 kg limit: events on it may be missed")
            values[clipped] = np.nan
            continue
        changes = np.flatnonzero(np.diff(values) != 0)
        since = int(changes[-1]) + 1 if len(changes) else 0
        noisy = since >= stuck and np.mean(np.diff(values[since - stuck : since]) != 0) > 0.5
        if len(values) - since > stuck and noisy:
            warnings.append(f"plate {name} sends the same value since {t_s[since]:.1f} s: it seems stuck")
            values[since:] = np.nan
    return warnings


def _even(t_s: np.ndarray, grams: np.ndarray, pause: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples with rows of NaN where some are missing."""
    missing = np.maximum(np.round(np.diff(t_s) / pause).astype(int) - 1, 0)
    if not missing.any():
        return t_s, grams
    at = np.concatenate([[0], np.cumsum(1 + missing)])
    filled = np.full((at[-1] + 1, grams.shape[1]), np.nan)
    filled[at] = grams
    return np.interp(np.arange(len(filled)), at, t_s), filled
