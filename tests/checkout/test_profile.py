"""The profile's laws: probabilities, sampling, its own uncertainty, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.profile import OUTCOMES, Cell, PerceptionProfile
from tests.conftest import make_profile

CELLS = [Cell.of(a, q, n, k) for a in ("pick", "put_back") for q in (1, 3) for n in (0, 1, 5) for k in (0, 2)]


def test_outcome_probabilities_sum_to_one(profile: PerceptionProfile) -> None:
    drawn = profile.resample(np.random.default_rng(0))
    for cell in CELLS:
        assert sum(drawn.outcome_probabilities(cell).values()) == pytest.approx(1.0)


def test_draws_follow_the_probabilities(profile: PerceptionProfile) -> None:
    rng = np.random.default_rng(1)
    drawn = profile.expected()
    cell = Cell.of("pick", 1, 1, 0)
    counts = pd.Series([drawn.draw(cell, rng).outcome for _ in range(20_000)]).value_counts(normalize=True)
    for outcome, p in drawn.outcome_probabilities(cell).items():
        assert counts.get(outcome, 0.0) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000) + 1e-4)


def test_only_a_missed_event_has_no_confidences(profile: PerceptionProfile) -> None:
    rng = np.random.default_rng(2)
    drawn = profile.expected()
    for _ in range(3000):
        seen = drawn.draw(CELLS[0], rng)
        assert np.isnan(seen.item_confidence) == (seen.outcome == "missed")


def test_conditions_of_the_moment_matter() -> None:
    base = make_profile(size=400)
    table = base.judged.assign(
        people_near=[0] * 200 + [2] * 200, outcome=["right"] * 200 + ["wrong_shopper"] * 200
    )
    table[["item_confidence", "action_confidence", "shopper_confidence"]] = 0.9
    crowded = PerceptionProfile("x", (), table, base.phantoms, 10.0).expected()
    alone = crowded.outcome_probabilities(Cell.of("pick", 1, 0, 1))["wrong_shopper"]
    among = crowded.outcome_probabilities(Cell.of("pick", 1, 2, 1))["wrong_shopper"]
    assert alone < 0.35
    assert among > 0.65


def test_fewer_judged_events_mean_more_uncertainty() -> None:
    spreads = []
    for size in (30, 300, 3000):
        p = make_profile(size=size)
        rng = np.random.default_rng(3)
        rates = [p.resample(rng).outcome_probabilities(CELLS[0])["right"] for _ in range(200)]
        spreads.append(np.std(rates))
    assert spreads[0] > 1.5 * spreads[1] > 2.25 * spreads[2]


def test_an_error_that_was_never_seen_is_still_possible() -> None:
    flawless = make_profile((1.0, 0.0, 0.0, 0.0, 0.0), size=50)
    assert 0 < flawless.expected().outcome_probabilities(CELLS[0])["missed"] < 0.05


def test_a_file_gives_back_the_same_profile(profile: PerceptionProfile, tmp_path: Path) -> None:
    profile.save(tmp_path / "p.json")
    again = PerceptionProfile.load(tmp_path / "p.json")
    pd.testing.assert_frame_equal(again.judged, profile.judged, atol=1e-6, check_dtype=False)
    pd.testing.assert_frame_equal(again.phantoms, profile.phantoms, check_dtype=False)
    assert (again.detector, again.recordings, again.shopper_minutes) == (
        profile.detector,
        profile.recordings,
        profile.shopper_minutes,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "schema: 9 is not the version"),
        ({"shopper_minutes": 0}, "shopper_minutes"),
        ({"judged": []}, "holds no perceived event"),
        ({"judged": [{"outcome": "great", "item_confidence": 0.5}]}, "judged.outcome: 'great'"),
    ],
)
def test_a_faulty_file_is_named(
    profile: PerceptionProfile, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    profile.save(tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text()) | change
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        PerceptionProfile.load(tmp_path / "p.json")


def test_outcomes_are_the_ones_of_the_design() -> None:
    assert set(OUTCOMES) == {"right", "missed", "wrong_product", "wrong_quantity", "wrong_shopper"}
