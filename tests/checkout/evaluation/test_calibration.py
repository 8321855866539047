"""Calibration: an honest score has no error, and the fitted map makes a boastful one honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from checkout.evaluation.calibration import calibration_of, expected_calibration_error, fit_confidence
from checkout.events import ShelfEvent


def table(stated: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {"outcome": "right"}
        | {f"{a}_confidence": stated for a in ("item", "action", "shopper")}
        | {f"{a}_right": right for a in ("item", "action", "shopper")},
        index=range(len(stated)),
    )


def test_the_error_by_hand() -> None:
    p, y = np.array([0.2, 0.4, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(p, y, bins=2) == pytest.approx(
        0.5 * abs(0.3 - 0.5) + 0.5 * abs(0.8 - 1.0)
    )


def test_honest_confidences_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=5000)
    found = calibration_of(table(p, rng.uniform(size=5000) < p), resamples=50)
    assert all(c.ece < 0.03 for c in found)


def test_the_fitted_map_makes_boasting_honest() -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(0.3, 0.99, 4000)
    right = rng.uniform(size=4000) < true
    logit = np.log(true / (1 - true))
    stated = 1 / (1 + np.exp(-2.5 * logit - 0.5))
    confidence = fit_confidence(table(stated, right))
    events = [ShelfEvent(0.0, "pick", "x", 1, "a", item_confidence=float(p)) for p in stated]
    mapped = np.array([confidence.apply(e).item_confidence for e in events])
    assert expected_calibration_error(stated, right.astype(float)) > 0.08
    assert expected_calibration_error(mapped, right.astype(float)) < 0.03


def test_a_perfect_record_does_not_become_certainty() -> None:
    stated = np.full(60, 0.95)
    confidence = fit_confidence(table(stated, np.ones(60, bool)))
    mapped = confidence.apply(ShelfEvent(0.0, "pick", "x", 1, "a", item_confidence=0.95)).item_confidence
    assert 0.9 < mapped < 0.999
