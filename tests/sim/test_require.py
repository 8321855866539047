"""What would have to change: profiles that get better step by step, and answers that a fresh simulation confirms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.errors import InputError
from checkout.profile import CONFIDENCES, PerceptionProfile
from sim.dashboard_cli import said
from sim.require import LEVERS, LeverCosts, Requirements, improved, quality_of, repeated, require, sure
from tests.conftest import make_profile
from tests.sim.conftest import exchanging_profile, small

GOAL = 150.0


@pytest.fixture(scope="module")
def found(profile: PerceptionProfile) -> Requirements:
    return require(small(), profile, GOAL, days=3, trials=8, replications=4, seed=5)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_what_a_smaller_improvement_makes_good_a_larger_one_does_too(a: float, b: float) -> None:
    profile, scenario = make_profile(), small()
    is_sure = sure(profile, scenario)
    low, high = (improved(profile, share, is_sure) for share in sorted((a, b)))
    good_low, good_high = sure(low, scenario), sure(high, scenario)
    assert (good_low <= good_high).all()
    assert (is_sure <= good_low).all()
    assert quality_of(low, scenario).event_f1 <= quality_of(high, scenario).event_f1
    assert quality_of(low, scenario).doubtful_share >= quality_of(high, scenario).doubtful_share


def test_a_full_improvement_leaves_no_wrong_or_doubtful_event_and_keeps_what_happened() -> None:
    profile, scenario = make_profile(phantoms=5), small()
    best = improved(profile, 1.0, sure(profile, scenario))
    assert sure(best, scenario).all()
    assert len(best.phantoms) == 0
    conditions = ["recording", "action", "quantity", "people_near", "look_alikes"]
    assert best.judged[conditions].equals(profile.judged[conditions])
    assert improved(profile, 0.0, sure(profile, scenario)) is profile


def test_an_exchange_of_identities_is_made_good_as_a_whole() -> None:
    profile = exchanging_profile()
    is_sure = sure(profile, small())
    for share in (0.2, 0.5, 0.8):
        left = improved(profile, share, is_sure).exchanges.runs
        assert {tuple(run) for run in left} <= {tuple(run) for run in profile.exchanges.runs}
    assert improved(profile, 1.0, is_sure).exchanges.runs == ()


def test_a_profile_taken_several_times_says_the_same_more_surely() -> None:
    profile = exchanging_profile()
    often = repeated(profile, 4)
    assert often.outcome_shares == pytest.approx(profile.outcome_shares)
    assert len(often.exchanges.runs) == 4 * len(profile.exchanges.runs)
    assert often.expected().exchanges_per_pair_minute == pytest.approx(
        profile.expected().exchanges_per_pair_minute
    )
    assert often.effective_events > 3 * profile.effective_events


def test_answers_reach_the_goal_and_are_confirmed(found: Requirements) -> None:
    assert found.now.confirmed.mean > GOAL
    reached = [answer for answer in found.single if answer.reached]
    assert reached
    for answer in (*reached, found.combination):
        assert answer.searched <= GOAL
        assert answer.confirms(GOAL)
    perception = next(a for a in found.single if a.name == "perception")
    assert perception.reached
    assert perception.values["event_f1"] > found.now.values["event_f1"]


def test_a_lever_that_cannot_reach_the_goal_is_said_to_be_at_its_end(found: Requirements) -> None:
    short = [answer for answer in found.single if not answer.reached]
    assert "look_alikes" in {answer.name for answer in short}
    lines = said(found)
    for answer in short:
        assert answer.moved[answer.name] in (0.98, 1.0)
        assert answer.searched > GOAL
        assert any(
            line.startswith(f"{answer.name.replace('_', '-')} alone can never reach") for line in lines
        )


def test_the_combination_is_no_dearer_than_the_cheapest_single_lever(found: Requirements) -> None:
    singles = [answer.cost_usd_per_year for answer in found.single if answer.reached]
    assert found.combination.cost_usd_per_year <= min(singles)


def test_a_cheap_lever_that_does_not_reach_alone_makes_the_mix_cheaper() -> None:
    judged = make_profile(shares=(1.0, 0.0, 0.0, 0.0, 0.0), size=2000).judged
    doubt = np.random.default_rng(1).uniform(size=len(judged)) < np.where(
        judged["look_alikes"] > 0, 0.25, 0.045
    )
    for name in CONFIDENCES:
        judged[name] = np.where(doubt, 0.5, 0.99)
    profile = replace(make_profile(phantoms=0), judged=judged, shopper_minutes=1e6)
    costs = LeverCosts(per_point_usd=100.0)
    found = require(small(), profile, 150.0, costs=costs, days=3, trials=12, replications=2, seed=5)
    single = {answer.name: answer for answer in found.single}
    assert single["perception"].reached
    assert not single["look_alikes"].reached
    assert found.combination.moved["look_alikes"] > 0
    assert found.combination.moved["perception"] < single["perception"].moved["perception"]
    assert found.combination.cost_usd_per_year < single["perception"].cost_usd_per_year


def test_the_same_seed_finds_the_same_whatever_the_workers(profile: PerceptionProfile) -> None:
    once, again = (
        require(small(), profile, GOAL, days=2, trials=2, replications=2, seed=5, workers=workers)
        for workers in (1, 2)
    )
    assert json.dumps(again.to_dict()) == json.dumps(once.to_dict())


def test_a_goal_that_the_store_meets_needs_nothing(profile: PerceptionProfile) -> None:
    found = require(small(), profile, 990.0, days=2, trials=2, replications=2)
    for answer in (*found.single, found.combination):
        assert set(answer.moved.values()) == {0.0}
        assert answer.cost_usd_per_year == 0


@pytest.mark.parametrize("goal", [0.0, 1000.0, float("nan")])
def test_a_goal_that_is_no_rate_is_refused(profile: PerceptionProfile, goal: float) -> None:
    with pytest.raises(InputError, match="--reviews"):
        require(small(), profile, goal)


def test_bad_costs_and_profiles_are_refused() -> None:
    with pytest.raises(InputError, match="--per-point-usd"):
        LeverCosts(per_point_usd=float("nan"))
    with pytest.raises(InputError, match="no event that is right"):
        sure(make_profile(), small(**{"just_walk_out.review.thresholds.item": 1.0}))


def test_the_page_holds_every_answer_and_loads_nothing(found: Requirements, tmp_path: Path) -> None:
    from sim.report.requirements import write_requirements_page

    page = tmp_path / "page.html"
    write_requirements_page(page, found, command="checkout require convenience --reviews 150")
    text = page.read_text(encoding="utf-8")
    assert all(lever.replace("_", "-") in text for lever in LEVERS)
    assert "checkout require convenience --reviews 150" in text
    assert "<script src" not in text
    assert "<link" not in text
    assert np.isfinite(found.curve["reviews_per_1000_sales"]).all()
    with pytest.raises(InputError, match="exists already"):
        write_requirements_page(page, found, command="")


def test_the_page_of_flows_holds_each_with_its_costs(profile: PerceptionProfile, tmp_path: Path) -> None:
    from sim.experiment import compare
    from sim.report.flows import write_flows_page

    scenario = small()
    both = compare(scenario, ["just-walk-out", "self-checkout"], profile, replications=2)
    for flows in (both, both.flows["self-checkout"]):
        page = tmp_path / "flows.html"
        write_flows_page(page, flows, profile=profile, command="checkout compare", force=True)
        text = page.read_text(encoding="utf-8")
        assert "Where the cost of a sale comes from: self-checkout" in text
        assert ("Where the cost of a sale comes from: just-walk-out" in text) == (flows is both)
        total = flows.estimate("cost_per_sale_usd") if flows is not both else None
        assert total is None or f"${total.mean:.2f}" in text
        assert "<script src" not in text
