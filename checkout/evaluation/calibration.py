"""Whether a confidence of 0.9 is right nine times in ten: ECE, Brier score, reliability; and fitting."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from checkout.output import new_file
from checkout.pipeline import ConfidenceMap

if TYPE_CHECKING:
    from checkout.evaluation.report import EvaluationReport

ASPECTS = ("item", "action", "shopper")
CROWDS = (("0-1 people near", 0, 1), ("2 people near", 2, 2), ("3 or more people near", 3, 10**6))
CROWD_BINS = 5
"""Assumed: few events need few bins."""
PRIOR = 2.0
"""Assumed: weight of leaving a confidence as it is when fitting its map (a ridge towards a = 0, b = 1)."""


@dataclass(frozen=True)
class Calibration:
    """One aspect's calibration.

    Attributes:
        ece: expected calibration error over bins of equal mass (Naeini et al. 2015; equal confidences in one), with a
            bootstrap interval: over recordings, because one exchange of identities makes many errors, or over events
            in a single recording.
        ece_by_chance: the mean and the 95 % quantile of what confidences that are exactly right would show in as many
            events, each by itself (consistency resampling, Broecker and Smith 2007): an ECE is never 0.
        confidence, right: their means; the confidence is the higher one where perception is too sure of itself.
        reliability: one row a bin: confidence, right (share), count.
    """

    aspect: str
    ece: float
    ece_ci95: tuple[float, float]
    ece_by_chance: tuple[float, float]
    brier: float
    events: int
    reliability: pd.DataFrame
    confidence: float
    right: float
    condition: str = ""


def calibration_of(
    judged: pd.DataFrame, *, bins: int = 10, resamples: int = 500, seed: int = 1
) -> list[Calibration]:
    """Calibration of the three confidences over judged events (`events.judged_table`); missed ones have none.

    Item and shopper are judged where the event happened, the action over all that was perceived.
    """
    found = []
    for aspect in ASPECTS:
        rows = perceived_rows(judged, aspect)
        if not rows.empty:
            found.append(_calibration(aspect, rows, bins, resamples, seed))
    return found


def calibration_by_crowd(judged: pd.DataFrame, *, resamples: int = 500, seed: int = 1) -> list[Calibration]:
    """Calibration of the three confidences apart for events with few and with many people near; `CROWD_BINS` bins."""
    found = []
    for name, low, high in CROWDS:
        near = judged[(judged["people_near"] >= low) & (judged["people_near"] <= high)]
        for aspect in ASPECTS:
            rows = perceived_rows(near, aspect)
            if len(rows) >= CROWD_BINS:
                one = _calibration(aspect, rows, CROWD_BINS, resamples, seed)
                found.append(replace(one, condition=name))
    return found


def _calibration(aspect: str, rows: pd.DataFrame, bins: int, resamples: int, seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    p = rows[f"{aspect}_confidence"].to_numpy(float)
    y = rows[f"{aspect}_right"].to_numpy(float)
    groups = [np.flatnonzero(rows["recording"].to_numpy() == name) for name in rows["recording"].unique()]
    spread = []
    for _ in range(resamples):
        if len(groups) > 1:
            drawn = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        else:
            drawn = rng.integers(len(p), size=len(p))
        spread.append(expected_calibration_error(p[drawn], y[drawn], bins))
    low, high = np.quantile(spread, [0.025, 0.975])
    chance = [
        expected_calibration_error(p, (rng.uniform(size=len(p)) < p).astype(float), bins)
        for _ in range(resamples)
    ]
    table = pd.DataFrame({"confidence": p, "right": y}).groupby(_bins(p, bins))
    return Calibration(
        aspect,
        expected_calibration_error(p, y, bins),
        (float(low), float(high)),
        (float(np.mean(chance)), float(np.quantile(chance, 0.95))),
        float(np.mean((p - y) ** 2)),
        len(p),
        table.mean().assign(count=table.size()).reset_index(drop=True),
        float(p.mean()),
        float(y.mean()),
    )


def perceived_rows(judged: pd.DataFrame, aspect: str) -> pd.DataFrame:
    """The judged events whose confidence in an aspect can be checked."""
    seen = judged[judged["outcome"] != "missed"]
    return seen if aspect == "action" else seen[seen["outcome"] != "phantom"]


def expected_calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Mean gap between confidence and share right, over bins of equal mass, weighted by their size.

    Equal confidences are never parted, so bins are fewer and larger where many are equal.
    """
    groups = _bins(p, bins)
    return float(
        sum(
            abs(p[groups == g].mean() - y[groups == g].mean()) * np.mean(groups == g)
            for g in np.unique(groups)
        )
    )


def _bins(p: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each confidence; equal ones share one, so that no order of the events changes the error."""
    _, which, count = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - 0.5 * (count + 1)
    return np.asarray(middle[which] * min(bins, len(p)) // len(p), int)


def fit_confidence(judged: pd.DataFrame) -> ConfidenceMap:
    """The map of each aspect that fits judged events best (Platt 1999), shrunk towards leaving them as they are.

    Events with the same right answer in one sale are not independent, so the fit is kept small: two numbers for item
    and action, three for the shopper, whose third says how much crowding lowers it beyond what the model knows.
    """
    from scipy.optimize import minimize

    maps = {}
    for aspect in ASPECTS:
        rows = perceived_rows(judged, aspect)
        if aspect == "shopper":
            # Where only one account is inside, there is nothing to be unsure of.
            rows = rows[rows["shoppers"] > 1]
        p = rows[f"{aspect}_confidence"].to_numpy(float).clip(1e-6, 1 - 1e-6)
        y = rows[f"{aspect}_right"].to_numpy(float)
        crowd = np.log(rows["shoppers"].to_numpy(float).clip(1.0))
        if not len(y):
            maps[aspect] = (0.0, 1.0, 0.0)
            continue
        # Platt's targets keep a perfect record from asking for certainty.
        target = np.where(y > 0, (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2))
        x = np.log(p / (1 - p))
        free = 3 if aspect == "shopper" else 2

        def loss(
            abc: np.ndarray, x: np.ndarray = x, target: np.ndarray = target, crowd: np.ndarray = crowd
        ) -> float:
            a, b, c = (*abc, 0.0)[:3]
            z = a + b * x + c * crowd
            likelihood = np.sum(np.logaddexp(0, z) - target * z)
            return float(likelihood + 0.5 * PRIOR * (a**2 + (b - 1) ** 2 + c**2))

        # More people never make it surer who it was, nor a higher probability a lower confidence.
        bounds = [(None, None), (0.0, None), (None, 0.0)][:free]
        found = minimize(loss, np.array([0.0, 1.0, 0.0])[:free], method="L-BFGS-B", bounds=bounds).x
        a, b, c = (*found.tolist(), 0.0)[:3]
        maps[aspect] = (a, b, c)
    return ConfidenceMap(**maps)


def save_confidence(path: Path, report: EvaluationReport) -> None:
    """Fit the confidences' map on an evaluation and keep it beside those of other sensor sets in one file."""
    document: dict[str, Any] = {"schema": 2, "maps": {}, "fitted_on": {}}
    if path.is_file():
        document = json.loads(path.read_text(encoding="utf-8"))
    sensors = "+".join(sorted(report.sensors))
    document["maps"][sensors] = {
        name: [round(v, 4) for v in values] for name, values in vars(fit_confidence(report.judged)).items()
    }
    document["fitted_on"][sensors] = {"detector": report.detector, "recordings": list(report.recordings)}
    with new_file(path, force=True) as draft:
        draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
