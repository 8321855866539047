"""Sensitivity: the effects of parameters whose effect is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkout.errors import InputError
from sim.report.history import write_sensitivity_page
from sim.scenario import load_scenario
from sim.sensitivity import PARAMETERS, Parameter, sensitivity
from tests.sim.conftest import small, two_valued_profile

PROFILE = two_valued_profile(0.05, size=1_000)
CLOUD = Parameter("cloud", ("just_walk_out.cloud_usd_per_sale",), 0.0, 1.0, "assumed")
ODDS = Parameter("error odds", ("error_odds",), 0.5, 4.0, "assumed")


def test_a_cost_a_sale_moves_the_cost_by_its_range_and_reviews_not_at_all(tmp_path: Path) -> None:
    found = sensitivity(
        small(**{"shoppers.visits_per_day": 80}), PROFILE, (CLOUD, ODDS), trajectories=2, replications=1
    )
    assert found.runs == 6
    effects = found.effects.set_index(["answer", "parameter"])
    cost, reviews = (
        effects.loc[(answer, "cloud")] for answer in ("cost_per_sale_usd", "reviews_per_1000_sales")
    )
    assert cost["mu"] == pytest.approx(1.0, rel=1e-6)
    assert cost["mu_star_conf95"] == pytest.approx(0.0, abs=1e-6)
    assert reviews["mu_star"] == 0.0
    assert found.most("reviews_per_1000_sales")["parameter"] == "error odds"
    page = tmp_path / "page.html"
    write_sensitivity_page(page, found, profile=PROFILE, command="checkout sensitivity")
    text = page.read_text(encoding="utf-8")
    assert text.count("Plotly.newPlot(") >= 2
    assert "<code>checkout sensitivity</code>" in text
    assert "6 runs of 1 days" in text


def test_every_parameter_is_tagged_and_can_be_set() -> None:
    for parameter in PARAMETERS:
        assert parameter.tag.startswith(("assumed", "published", "measured"))
        for value in (parameter.low, parameter.high):
            fields = [field for field in parameter.fields if field != "error_odds"]
            changed = load_scenario("supermarket").with_values(
                dict.fromkeys(fields, round(value) if parameter.whole else value)
            )
            assert changed.name == "supermarket"


@pytest.mark.parametrize(
    ("parameters", "trajectories", "what"),
    [((CLOUD,), 4, "at least 2"), ((CLOUD, ODDS), 1, "at least 2"),
     ((CLOUD, Parameter("x", ("error_odds",), 1.0, 1.0, "assumed")), 4, "is empty")],
)  # fmt: skip
def test_a_question_without_an_answer_is_refused(
    parameters: tuple[Parameter, ...], trajectories: int, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        sensitivity(small(), PROFILE, parameters, trajectories=trajectories)
