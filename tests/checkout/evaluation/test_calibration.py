"""Calibration: an honest score has no error, and the fitted map makes a boastful one honest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from checkout.evaluation.calibration import (
    _bins,
    calibration_by_crowd,
    calibration_of,
    expected_calibration_error,
    fit_confidence,
)
from checkout.events import ShelfEvent


def table(
    stated: np.ndarray, right: np.ndarray, *, shoppers: int | np.ndarray = 2, near: int | np.ndarray = 1
) -> pd.DataFrame:
    return pd.DataFrame(
        {"outcome": "right", "recording": "one", "shoppers": shoppers, "people_near": near}
        | {f"{a}_confidence": stated for a in ("item", "action", "shopper")}
        | {f"{a}_right": right for a in ("item", "action", "shopper")},
        index=range(len(stated)),
    )


def test_the_error_by_hand() -> None:
    p, y = np.array([0.2, 0.4, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    assert expected_calibration_error(p, y, bins=2) == pytest.approx(
        0.5 * abs(0.3 - 0.5) + 0.5 * abs(0.8 - 1.0)
    )


def test_equal_confidences_share_a_bin_in_any_order() -> None:
    p = np.concatenate([np.full(8, 0.75), [0.1, 0.2]])
    y = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 1], float)
    by_hand = 0.1 * 0.1 + 0.1 * 0.8 + 0.8 * 0.0
    rng = np.random.default_rng(4)
    for order in [np.arange(10), *(rng.permutation(10) for _ in range(5))]:
        assert expected_calibration_error(p[order], y[order]) == pytest.approx(by_hand)


def test_distinct_confidences_fill_bins_of_equal_mass() -> None:
    p = np.random.default_rng(5).permutation(np.linspace(0.1, 0.9, 60))
    assert np.bincount(_bins(p, 10)).tolist() == [6] * 10
    assert (_bins(np.sort(p), 7) == pd.qcut(np.sort(p), 7, labels=False)).mean() > 0.9


def test_honest_confidences_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=5000)
    found = calibration_of(table(p, rng.uniform(size=5000) < p), resamples=50)
    assert all(c.ece < 0.03 for c in found)


def test_what_honest_confidences_would_show_by_chance() -> None:
    rng = np.random.default_rng(2)
    few, many = (0.5 + np.linspace(-1e-6, 1e-6, n) for n in (20, 2000))
    honest = {
        len(p): calibration_of(table(p, rng.uniform(size=len(p)) < p))[0].ece_by_chance for p in (few, many)
    }
    # Bins of two fair coins each: right in none, one or both of them, so 0.25 on the average.
    assert honest[20][0] == pytest.approx(0.25, abs=0.01)
    # Of 200: half-normal, with the mean 0.5 x sqrt(2 / (200 pi)).
    assert honest[2000][0] == pytest.approx(0.0282, abs=0.002)
    assert honest[20][1] > honest[20][0]
    boasting = calibration_of(table(rng.uniform(0.88, 0.92, 2000), rng.uniform(size=2000) < 0.8))[0]
    assert boasting.ece > 3 * boasting.ece_by_chance[1]


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


def test_crowding_that_the_model_does_not_know_lowers_the_shoppers_confidence() -> None:
    rng = np.random.default_rng(2)
    stated, crowd = np.full(3000, 0.9), rng.integers(2, 7, 3000)
    right = rng.uniform(size=3000) < 1.1 - 0.1 * crowd
    confidence = fit_confidence(table(stated, right, shoppers=crowd))

    def sure(shoppers: int) -> float:
        candidates = {"a": 0.9} | {f"b{i}": 0.1 / (shoppers - 1) for i in range(shoppers - 1)}
        event = ShelfEvent(0.0, "pick", "x", 1, "a", shopper_confidence=0.9, candidates=candidates)
        mapped = confidence.apply(event)
        assert sum(mapped.candidates.values()) == pytest.approx(1.0)
        return mapped.shopper_confidence

    assert sure(2) > sure(4) > sure(6)
    assert sure(6) == pytest.approx(0.5, abs=0.12)


def test_crowds_are_judged_apart() -> None:
    near = np.repeat([1, 3], 200)
    right = np.concatenate([np.ones(200), np.repeat([0.0, 1.0], 100)])
    found = {
        c.condition: c
        for c in calibration_by_crowd(table(np.full(400, 0.95), right, near=near))
        if c.aspect == "item"
    }
    assert found["0-1 people near"].ece == pytest.approx(0.05)
    assert found["3 or more people near"].ece > 0.4
    assert found["3 or more people near"].confidence > found["3 or more people near"].right + 0.4


def test_the_interval_draws_recordings_because_their_errors_come_together() -> None:
    rng = np.random.default_rng(3)
    rows = table(np.full(400, 0.75), np.repeat(rng.permutation([1.0] * 6 + [0.0] * 2), 50))
    apart = rows.assign(recording=np.repeat([str(i) for i in range(8)], 50))
    alone, together = (calibration_of(t, resamples=200)[0].ece_ci95 for t in (rows, apart))
    assert together[1] - together[0] > alone[1] - alone[0]
