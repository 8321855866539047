"""What perception got right, by what made it easy or hard: crowding, occlusion, look-alikes, quantity, light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from checkout.recording import Recording

RESAMPLES = 1000
DIM_BELOW, BRIGHT_FROM = 85.0, 140.0
"""Assumed: median grey levels, of 255, under and from which a recording counts as dim and bright; chosen so that
the test set whose lamps were turned down to 0.6 is dim (57-82) and each group has several of the shipped recordings."""
LOOKED_AT_EVERY_S = 2.0
"""Assumed: light changes slowly, so that frames this far apart tell it."""
_GROUPS: tuple[tuple[str, str, Callable[[pd.DataFrame], pd.Series]], ...] = (
    ("people near", "0-1", lambda t: t["people_near"] <= 1),
    ("people near", "2", lambda t: t["people_near"] == 2),
    ("people near", "3 and more", lambda t: t["people_near"] >= 3),
    ("occlusion", "under 0.25", lambda t: t["occlusion"] < 0.25),
    ("occlusion", "0.25-0.5", lambda t: (t["occlusion"] >= 0.25) & (t["occlusion"] < 0.5)),
    ("occlusion", "0.5 and more", lambda t: t["occlusion"] >= 0.5),
    ("look-alikes on the shelf", "none", lambda t: t["look_alikes"] == 0),
    ("look-alikes on the shelf", "some", lambda t: t["look_alikes"] > 0),
    ("same weight on the shelf", "none", lambda t: t["same_weight"] == 0),
    ("same weight on the shelf", "some", lambda t: t["same_weight"] > 0),
    ("quantity", "1", lambda t: t["quantity"] == 1),
    ("quantity", "2 and more", lambda t: t["quantity"] > 1),
    ("light", "dim", lambda t: t["grey_level"] < DIM_BELOW),
    ("light", "ordinary", lambda t: (t["grey_level"] >= DIM_BELOW) & (t["grey_level"] < BRIGHT_FROM)),
    ("light", "bright", lambda t: t["grey_level"] >= BRIGHT_FROM),
    ("action", "pick", lambda t: t["action"] == "pick"),
    ("action", "put_back", lambda t: t["action"] == "put_back"),
)


@dataclass(frozen=True)
class ConditionScore:
    """True events of one group.

    Attributes:
        recall: share that was perceived at all, with the right action.
        right: share with product, quantity and shopper right; and its 95 % bootstrap over recordings.
        product, quantity, shopper: share right of those perceived; None when none was.
    """

    condition: str
    group: str
    events: int
    recall: float
    right: float
    right_ci95: tuple[float, float] | None
    product: float | None
    quantity: float | None
    shopper: float | None


def grey_level(recording: Recording) -> float:
    """How bright a recording's pictures are: the median grey level, 0-255, of its frames; mean over its cameras.

    Without cameras it is NaN.
    """
    import cv2

    levels = []
    for camera in recording.cameras:
        medians, next_s = [], 0.0
        for t_s, image in recording.frames(camera.camera):
            if t_s >= next_s:
                medians.append(float(np.median(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))))
                next_s = t_s + LOOKED_AT_EVERY_S
        levels.append(float(np.median(medians)))
    return float(np.mean(levels)) if levels else float("nan")


def by_condition(judged: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 1) -> list[ConditionScore]:
    """Scores of all true events and of each group that occurs among them.

    Args:
        judged: `events.judged_table` of all recordings.
    """
    true = judged[judged["outcome"] != "phantom"]
    if not len(true):
        return []
    scores = [_score("all", "", true, resamples, seed)]
    for condition, group, holds in _GROUPS:
        rows = true[holds(true)]
        if len(rows):
            scores.append(_score(condition, group, rows, resamples, seed))
    return scores


def _score(condition: str, group: str, rows: pd.DataFrame, resamples: int, seed: int) -> ConditionScore:
    seen = rows[rows["outcome"] != "missed"]

    def share(name: str) -> float | None:
        return float(seen[name].mean()) if len(seen) else None

    return ConditionScore(
        condition,
        group,
        len(rows),
        len(seen) / len(rows),
        float((rows["outcome"] == "right").mean()),
        _bootstrap(rows, resamples, seed),
        share("product_right"),
        share("quantity_right"),
        share("shopper_right"),
    )


def _bootstrap(rows: pd.DataFrame, resamples: int, seed: int) -> tuple[float, float] | None:
    """Percentile bootstrap over recordings of the share fully right; None from a single recording."""
    counts = rows.assign(right=rows["outcome"] == "right").groupby("recording")["right"].agg(["sum", "count"])
    if len(counts) < 2:
        return None
    draws = np.random.default_rng(seed).integers(len(counts), size=(resamples, len(counts)))
    sums = counts.to_numpy(float)[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)
