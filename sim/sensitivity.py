"""Which assumption moves the answer most: Morris' elementary effects over the parameters that nobody published.

Every run serves the same shoppers with the same draws, so an effect is that of the parameter. Morris (1991), Factorial
Sampling Plans; mu* is the mean absolute effect of moving a parameter across its range (Campolongo et al. 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import FlowResult, simulate
from sim.scenario import Scenario

Progress = Callable[[str, float], None]

LEVELS = 4
ANSWERS = ("reviews_per_1000_sales", "cost_per_sale_usd")


@dataclass(frozen=True)
class Parameter:
    """One uncertain number.

    Attributes:
        name: what it is. fields: dotted scenario fields that it sets, or `error_odds` of the profile.
        low, high: its range; `tag` says where the range comes from.
        whole: only whole numbers make sense.
    """

    name: str
    fields: tuple[str, ...]
    low: float
    high: float
    tag: str
    whole: bool = False


REVIEW = "just_walk_out.review"
PARAMETERS = (
    Parameter("error odds", ("error_odds",), 0.5, 2.0, "assumed: half to twice as many errors"),
    Parameter("items per basket", ("shoppers.items.mean",), 8.0, 13.0, "assumed about the published 10.7"),
    Parameter("visits per day", ("shoppers.visits_per_day",), 900.0, 2700.0, "assumed about the published 1,814"),
    Parameter("shelf events per unit", ("shoppers.shelf_events_per_unit",), 1.0, 1.9, "published: AutoCheckout"),
    Parameter("seconds at a shelf", ("shoppers.at_shelf_s",), 4.0, 16.0, "assumed"),
    Parameter("companions at the same shelf", ("shoppers.together_share",), 0.0, 1.0, "assumed: all there is"),
    Parameter("misplaced put-backs", ("shoppers.misplaced_share",), 0.0, 0.2, "assumed"),
    Parameter("hand-overs", ("shoppers.hand_over_share",), 0.0, 0.01, "assumed"),
    Parameter("concealing visits", ("shoppers.concealing_share",), 0.0, 0.03, "assumed"),
    Parameter("look-alikes", ("shelves.look_alike_share",), 0.53, 0.72, "published: AutoCheckout, 5 to 20 g"),
    Parameter("minutes of an exchange", ("just_walk_out.exchange_minutes",), 0.2, 5.0, "assumed"),
    Parameter("review threshold", tuple(f"{REVIEW}.thresholds.{name}" for name in ("item", "action", "shopper")),
              0.8, 0.95, "assumed"),
    Parameter("reviewers", (f"{REVIEW}.reviewers",), 4.0, 16.0, "assumed", whole=True),
    Parameter("reviewer's wage, $ an hour", (f"{REVIEW}.wage_usd_per_hour",), 2.0, 16.0, "assumed"),
    Parameter("hardware, $", ("just_walk_out.hardware_usd",), 3e6, 2e7, "assumed: 3 to 20 times the published Go"),
    Parameter("years of the hardware", ("just_walk_out.hardware_years",), 3.0, 8.0, "assumed"),
    Parameter("cloud, $ a sale", ("just_walk_out.cloud_usd_per_sale",), 0.01, 0.25, "assumed"),
    Parameter("overcharges disputed", ("just_walk_out.dispute_share",), 0.1, 0.9, "assumed"),
)  # fmt: skip


@dataclass(frozen=True)
class Sensitivity:
    """The effect of each parameter on each answer.

    Attributes:
        effects: columns answer, parameter, low, high, tag, mu_star (mean absolute change of the answer when the
            parameter moves across its range), mu_star_conf95 (half width, bootstrap over trajectories), mu (with
            sign), sigma (how much the effect depends on the other parameters); the largest mu_star first.
        runs, trajectories, replications, seed: how it was made.
    """

    scenario: str
    effects: pd.DataFrame
    runs: int
    trajectories: int
    replications: int
    seed: int

    def most(self, answer: str) -> pd.Series:
        """The parameter that moves an answer most."""
        return self.effects[self.effects["answer"] == answer].iloc[0]

    def to_pandas(self) -> pd.DataFrame:
        return self.effects

    def to_dict(self) -> dict[str, Any]:
        """The shape that `sensitivity --json` prints."""
        return {
            "scenario": self.scenario, "method": "Morris, mu* with a 95 % bootstrap over trajectories (SALib)",
            "runs": self.runs, "trajectories": self.trajectories, "replications": self.replications,
            "seed": self.seed, "effects": self.effects.to_dict(orient="records"),
        }  # fmt: skip


def sensitivity(
    scenario: Scenario,
    profile: PerceptionProfile,
    parameters: Sequence[Parameter] = PARAMETERS,
    *,
    trajectories: int = 8,
    replications: int = 2,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Sensitivity:
    """Elementary effects on reviews and cost of Just Walk Out; each run is a Monday, each replication another.

    Raises:
        InputError: there are fewer than two parameters or trajectories, or a range is empty.
    """
    from SALib.analyze import morris as analysis
    from SALib.sample import morris as sampling

    if len(parameters) < 2 or trajectories < 2:
        raise InputError("--trajectories", "", f"{trajectories}, expected at least 2 (and 2 parameters)")
    for parameter in parameters:
        if not parameter.low < parameter.high:
            raise InputError(parameter.name, "", f"range {parameter.low:g}-{parameter.high:g} is empty")
    day = scenario.with_values(
        {"calendar.days": 1, "calendar.warm_up_days": 0, "calendar.first_weekday": "monday"}
    )
    problem = {
        "num_vars": len(parameters),
        "names": [p.name for p in parameters],
        "bounds": [[p.low, p.high] for p in parameters],
    }
    points = sampling.sample(problem, trajectories, num_levels=LEVELS, seed=seed)
    answers = np.empty((len(points), len(ANSWERS)))
    for index, point in enumerate(points):
        result = _run(day, profile, parameters, point, replications, seed, workers)
        answers[index] = [_mean(result, name) for name in ANSWERS]
        if progress:
            progress("sensitivity", (index + 1) / len(points))
    tables = []
    for column, answer in enumerate(ANSWERS):
        found = analysis.analyze(problem, points, answers[:, column], num_levels=LEVELS, seed=seed)
        tables.append(_effects(answer, parameters, found))
    return Sensitivity(
        scenario.name, pd.concat(tables, ignore_index=True), len(points), trajectories, replications, seed
    )


def _run(
    day: Scenario, profile: PerceptionProfile, parameters: Sequence[Parameter], point: np.ndarray, replications: int,
    seed: int, workers: int,
) -> FlowResult:  # fmt: skip
    changes: dict[str, Any] = {}
    odds = profile.error_odds
    for parameter, value in zip(parameters, point.tolist(), strict=True):
        for field in parameter.fields:
            if field == "error_odds":
                odds *= value
            else:
                changes[field] = round(value) if parameter.whole else value
    try:
        store = day.with_values(changes)
    except InputError as error:
        raise InputError(
            day.name, error.field, error.problem, "the ranges are those of a supermarket: choose one"
        ) from None
    return simulate(
        store, "just-walk-out", replace(profile, error_odds=odds), replications=replications,
        seed=seed, workers=workers,
    )  # fmt: skip


def _mean(result: FlowResult, metric: str) -> float:
    estimate = result.estimate(metric)
    if estimate is None:
        raise InputError(result.scenario, metric, "a day has no sale")
    return estimate.mean


def _effects(answer: str, parameters: Sequence[Parameter], found: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "answer": answer,
            "parameter": [p.name for p in parameters],
            "low": [p.low for p in parameters],
            "high": [p.high for p in parameters],
            "tag": [p.tag for p in parameters],
            "mu_star": np.asarray(found["mu_star"], float),
            "mu_star_conf95": np.asarray(found["mu_star_conf"], float),
            "mu": np.asarray(found["mu"], float),
            "sigma": np.asarray(found["sigma"], float),
        }
    )
    return table.sort_values("mu_star", ascending=False, kind="stable")
