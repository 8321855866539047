"""Replications: their streams, what makes two runs the same, and when there are enough of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import compare, simulate
from sim.replications import PROFILE_FREE, Precision, profile_version, replicate, runs_of
from sim.scenario import Scenario
from tests.conftest import make_profile
from tests.sim.conftest import small

POOR = (0.7, 0.1, 0.1, 0.05, 0.05)
"""Shares of outcomes of a poor perception."""


def quick(**changes: object) -> Scenario:
    return small(**{"shoppers.visits_per_day": 60} | changes)


def test_every_version_of_the_profile_serves_two_replications() -> None:
    assert [profile_version(i) for i in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert set(Counter(profile_version(i) for i in range(400)).values()) == {2}


def test_perception_cannot_change_what_is_called_free_of_it() -> None:
    """However bad or doubtful perception is, to the last bit; else the interval would lack its error."""
    right, wrong = (
        replicate(quick(), "just-walk-out", make_profile(shares), 1, 0).metrics()
        for shares in ((1.0, 0.0, 0.0, 0.0, 0.0), (0.1, 0.2, 0.3, 0.1, 0.3))
    )
    assert {name: right[name] for name in PROFILE_FREE} == {name: wrong[name] for name in PROFILE_FREE}
    assert right["escapes_per_1000_sales"] != wrong["escapes_per_1000_sales"]


def test_replications_of_one_version_share_what_perception_is_like() -> None:
    """With twenty judged events the version decides nearly all of a result, and the day hardly anything."""
    busy, profile = quick(**{"shoppers.visits_per_day": 300}), make_profile(POOR, size=20)
    reviews = simulate(busy, "just-walk-out", profile, replications=12).metric("reviews_per_1000_sales")
    version = np.array([profile_version(i) for i in range(12)])
    means = np.bincount(version, reviews) / 2
    assert np.var(reviews - means[version]) < 0.3 * np.var(reviews)


def test_few_judged_events_widen_the_interval_however_many_replications() -> None:
    """The profile's own error is in `ci95`, and only there; metrics that it cannot change have none of it."""
    result = simulate(quick(), "just-walk-out", make_profile(POOR, size=20), replications=24)
    reviews, visits = result.estimate("reviews_per_1000_sales"), result.estimate("visit_mean_s")
    assert reviews is not None
    assert visits is not None
    assert reviews.half_width > 2.5 * reviews.simulation_half_width
    assert reviews.method == "random-effects interval"
    assert (visits.half_width, visits.method) == (visits.simulation_half_width, "t-interval")


def test_every_interval_names_its_method(profile: PerceptionProfile) -> None:
    document = compare(quick(), ("just-walk-out", "dash-cart"), profile, replications=3).to_dict()
    estimates = [e for flow in document["flows"].values() for e in flow["metrics"].values() if e]
    for found in estimates + document["differences"]:
        assert found["ci95"] is not None
        assert found["method"] in ("t-interval", "random-effects interval")
    assert document["flows"]["dash-cart"]["stopping"]["rule"] == "fixed number of replications"


def test_replications_go_on_until_the_interval_is_narrow_enough() -> None:
    found = {
        share: simulate(
            quick(), "dash-cart", replications=Precision(share, "visit_mean_s", least=4, most=400)
        )
        for share in (0.05, 0.01)
    }
    for share, result in found.items():
        estimate = result.estimate("visit_mean_s")
        assert estimate is not None
        assert result.stopping["reached"]
        assert estimate.simulation_half_width <= share / (1 + share) * estimate.mean
        assert result.stopping["half_width_share"]["dash-cart"] == pytest.approx(
            estimate.simulation_half_width / estimate.mean
        )
    assert 4 <= found[0.05].replications < found[0.01].replications < 400
    # A sequential run is the beginning of any longer one.
    fixed = simulate(quick(), "dash-cart", replications=found[0.01].replications)
    assert fixed.values == found[0.01].values


def test_a_comparison_is_precise_in_every_flow_that_has_the_metric() -> None:
    rule = Precision(0.25, "interventions_per_1000_sales", least=4, most=24)
    found = compare(quick(), ("dash-cart",), replications=rule)
    assert found.flows["dash-cart"].replications == 24
    assert found.flows["dash-cart"].stopping["reached"] is False


def test_a_precision_in_a_metric_that_no_flow_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"dash-cart has no reviews_per_1000_sales; choose one of interv"):
        simulate(quick(), "dash-cart", replications=Precision(0.1, least=4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relative": 0.0}, "--precision: 0, expected a share between"),
        ({"relative": 5}, "--precision: 5, expected a share between"),
        ({"relative": 0.1, "metric": "reviews_per_1000_sale"}, "did you mean 'reviews_per_1000_sales'"),
        ({"relative": 0.1, "least": 20, "most": 10}, "--least: 20, expected at least 4 and at most --most"),
    ],
)
def test_a_precision_that_cannot_be_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Precision(**settings)  # type: ignore[arg-type]


def test_a_run_is_named_by_all_that_shapes_it() -> None:
    profile, other = make_profile(), make_profile(seed=1)

    def key(scenario: Scenario, flow: str, seed: int, profile: PerceptionProfile) -> str:
        return runs_of([scenario], [flow], profile, seed)[0][0].key

    keys = [
        key(quick(), "just-walk-out", 1, profile),
        key(quick(), "just-walk-out", 2, profile),
        key(quick(), "just-walk-out", 1, other),
        key(quick(), "just-walk-out", 1, replace(profile, error_odds=0.5)),
        key(quick(**{"shoppers.items.mean": 2.5}), "just-walk-out", 1, profile),
        key(quick(), "dash-cart", 1, profile),
    ]
    assert len(set(keys)) == len(keys)
    assert key(quick(), "just-walk-out", 1, make_profile()) == keys[0]
    assert key(quick(), "dash-cart", 1, other) == keys[-1]  # a cart perceives nothing
