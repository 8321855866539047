"""The inverse question: what would have to change so that a store needs only so many reviews.

Four levers, each from 0 (as it is) to 1 (as far as it goes). One at a time by bisection on common random
numbers; the cheapest combination by Optuna's tree-structured Parzen estimator with a constraint (Bergstra et
al. 2011). The search sees a mean weekday; every answer is then simulated again with the scenario's own calendar
and other random numbers. How good perception must be is asked of its long-run rates: the profile is taken `COPIES`
times, of which some events are made good, so the confirming interval is that of a profile of so many events.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import CONFIDENCES, PerceptionProfile
from sim.experiment import Estimate, FlowResult, Progress, simulate
from sim.scenario import WEEKDAYS, Scenario

FLOW = "just-walk-out"
LEVERS = ("perception", "look_alikes", "crowding", "basket")
WHAT = {
    "perception": "wrong or doubtful events made right and sure",
    "look_alikes": "products with a look-alike on their shelf, set apart",
    "crowding": "visits spread over more hours or turned away",
    "basket": "items of a mean basket left out",
}
LEAST_ITEMS = 1.2
MOST = {"perception": 1.0, "look_alikes": 1.0, "crowding": 0.98, "basket": 1.0}
STEPS = 7
"""Halvings of a lever's range, so that it is found within 1 % of it."""
MOST_HALVINGS = 12.0
"""Of what perception leaves wrong or doubtful; further than one in 4,096 nobody can tell."""
CONFIRMING_SEED = 1_000_003
PICKING_SEED = 7
COPIES = 10
"""The profile is taken so many times: errors go in small steps, and its sampling error does not hide the answer."""


@dataclass(frozen=True)
class LeverCosts:
    """What moving a lever costs, US dollars a year; the other two cost the margin of what is not sold.

    Attributes:
        per_halving_usd: of halving the wrong or doubtful events once; assumed, no source known.
        per_point_usd: of setting one percent of the products apart from their look-alikes; assumed.
    """

    per_halving_usd: float = 500_000.0
    per_point_usd: float = 2_000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"--{name.replace('_', '-')}", "", f"{value!r}, expected a number from 0")


@dataclass(frozen=True)
class Quality:
    """What a profile says of perception.

    Attributes:
        event_f1: of events with action, product, quantity and shopper right; doubtful_share: of the perceived
        events, those under a threshold.
    """

    event_f1: float
    doubtful_share: float


@dataclass(frozen=True)
class Requirement:
    """One answer.

    Attributes:
        moved: position of each lever, 0-1. values: what they stand at, by name with unit.
        reached: whether the goal was reached in the search; if not, the answer is the lever at its end.
        searched: reviews per 1,000 sales in the search; confirmed, escapes: in the confirming run.
    """

    name: str
    moved: Mapping[str, float]
    values: Mapping[str, float]
    reached: bool
    searched: float
    cost_usd_per_year: float
    confirmed: Estimate
    escapes: Estimate

    def confirms(self, goal: float) -> bool:
        """Whether the confirming run's interval holds the goal or lies under it."""
        low = self.confirmed.mean if self.confirmed.ci95 is None else self.confirmed.ci95[0]
        return self.reached and low <= goal

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {
            "moved": dict(self.moved), "values": dict(self.values), "confirmed": self.confirmed.to_dict(),
            "escapes": self.escapes.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class Requirements:
    """All answers for one store.

    Attributes:
        now: as the store is. single: each lever alone. combination: the cheapest, or all levers at their ends.
        curve: what the search saw: lever, moved, reviews_per_1000_sales.
    """

    scenario: str
    goal: float
    seed: int
    now: Requirement
    single: tuple[Requirement, ...]
    combination: Requirement
    costs: LeverCosts
    curve: pd.DataFrame
    days: int
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """The shape that `require --json` prints."""
        answers = [answer.to_dict() | {"confirms": answer.confirms(self.goal)} for answer in self.single]
        return {
            "scenario": self.scenario, "goal_reviews_per_1000_sales": self.goal, "seed": self.seed,
            "now": self.now.to_dict(), "single": answers,
            "combination": self.combination.to_dict() | {"confirms": self.combination.confirms(self.goal)},
            "costs_usd_per_year": vars(self.costs), "search_days": self.days, "trials": self.trials,
        }  # fmt: skip

    def to_pandas(self) -> pd.DataFrame:
        """One row an answer."""
        rows = []
        for answer in (self.now, *self.single, self.combination):
            low, high = answer.confirmed.ci95 or (math.nan, math.nan)
            rows.append(
                {"answer": answer.name, "reached": answer.reached, **answer.values, "low": low, "high": high,
                 "reviews_per_1000_sales": answer.confirmed.mean, "escapes_per_1000_sales": answer.escapes.mean,
                 "cost_usd_per_year": answer.cost_usd_per_year}
            )  # fmt: skip
        return pd.DataFrame(rows)


def require(
    scenario: Scenario,
    profile: PerceptionProfile,
    goal: float,
    *,
    costs: LeverCosts | None = None,
    days: int = 16,
    trials: int = 80,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Requirements:
    """What it takes to need at most `goal` reviews per 1,000 sales.

    Args:
        days: mean weekdays of each step of the search.
        trials: combinations that are tried.
        replications: of the confirming runs, by the scenario's own calendar.

    Raises:
        InputError: the goal is no rate, or nothing is reviewed at all.
    """
    if not 0 < goal < 1000:
        raise InputError(
            "--reviews", "", f"{goal:g}, expected a number of 1,000 sales above 0 and under 1,000"
        )
    search = _Search(scenario, profile, costs or LeverCosts(), days, seed, workers)
    total = 3 + len(LEVERS) * (STEPS + 2) + trials
    done = 0

    def tell(what: str, steps: int = 1) -> None:
        nonlocal done
        done += steps
        if progress:
            progress(what, min(1.0, done / total))

    singles = {}
    for lever in LEVERS:
        singles[lever] = _alone(search, lever, goal)
        tell(f"{lever} alone", STEPS + 1)
    together = _cheapest(search, singles, goal, trials, lambda: tell("combinations"))

    def confirmed(name: str, moved: Mapping[str, float]) -> Requirement:
        changed, better = search.changed(moved)
        # What is measured of perception today is unsure; what would be needed is not measured but asked for.
        better = better if moved["perception"] else profile
        run = simulate(
            changed, FLOW, better, replications=replications, seed=seed + CONFIRMING_SEED, workers=workers
        )
        tell("confirming")
        reviews, escapes = _needed(run, "reviews_per_1000_sales"), _needed(run, "escapes_per_1000_sales")
        searched = search.reviews(moved)
        return Requirement(
            name, moved, search.values(changed, better), searched <= goal, searched, search.cost(moved), reviews,
            escapes,
        )  # fmt: skip

    now = confirmed("as it is", dict.fromkeys(LEVERS, 0.0))
    answers = tuple(confirmed(lever, moved) for lever, moved in singles.items())
    return Requirements(
        scenario.name, goal, seed, now, answers, confirmed("cheapest combination", together), search.costs,
        search.curve(), days, trials,
    )  # fmt: skip


class _Search:
    """The store with its levers moved; every position is simulated once, with the same random numbers."""

    def __init__(
        self,
        scenario: Scenario,
        profile: PerceptionProfile,
        costs: LeverCosts,
        days: int,
        seed: int,
        workers: int,
    ) -> None:
        self.scenario, self.profile, self.costs = scenario, profile, costs
        self._long = repeated(profile, COPIES)
        self._days, self.seed, self._workers = days, seed, workers
        self._sure = sure(self._long, scenario)
        self._seen: dict[tuple[float, ...], FlowResult] = {}
        flat = dict.fromkeys(WEEKDAYS, 1 / 7)
        self._mean_day = {"calendar.days": 1, "calendar.warm_up_days": 0, "shoppers.weekday_shares": flat}
        base = self._run(dict.fromkeys(LEVERS, 0.0))
        year = scenario.economics.open_days_per_year
        self._margin_usd = (
            _needed(base, "sales_per_day").mean * _needed(base, "sold_usd_per_sale").mean
            * scenario.economics.margin_share * year
        )  # fmt: skip

    def changed(self, moved: Mapping[str, float]) -> tuple[Scenario, PerceptionProfile]:
        """The store and the profile with the levers there."""
        s = self.scenario
        mean = s.shoppers.items.mean
        values = {
            "shelves.look_alike_share": s.shelves.look_alike_share * (1 - moved["look_alikes"]),
            "shoppers.visits_per_day": s.shoppers.visits_per_day * (1 - moved["crowding"]),
            "shoppers.items.mean": mean - moved["basket"] * max(0.0, mean - LEAST_ITEMS),
        }
        return s.with_values(values), improved(self._long, moved["perception"], self._sure)

    def reviews(self, moved: Mapping[str, float]) -> float:
        """Reviews per 1,000 sales on mean weekdays."""
        return _needed(self._run(moved), "reviews_per_1000_sales").mean

    def cost(self, moved: Mapping[str, float]) -> float:
        """US dollars a year; infinite where no wrong or doubtful event is to be left."""
        halvings = _halvings(moved["perception"])
        points = 100 * self.scenario.shelves.look_alike_share * moved["look_alikes"]
        mean = self.scenario.shoppers.items.mean
        unsold = 1 - (1 - moved["crowding"]) * (1 - moved["basket"] * max(0.0, mean - LEAST_ITEMS) / mean)
        perception = self.costs.per_halving_usd * halvings if halvings else 0.0
        return perception + self.costs.per_point_usd * points + self._margin_usd * unsold

    def values(self, scenario: Scenario, profile: PerceptionProfile) -> dict[str, float]:
        """What the levers stand at."""
        quality = quality_of(profile, scenario)
        return {
            "event_f1": quality.event_f1,
            "doubtful_share": quality.doubtful_share,
            "look_alike_share": scenario.shelves.look_alike_share,
            "visits_per_day": scenario.shoppers.visits_per_day,
            "items_mean": scenario.shoppers.items.mean,
        }

    def curve(self) -> pd.DataFrame:
        rows = []
        for at, run in self._seen.items():
            away = [k for k, x in enumerate(at) if x > 0]
            for k in range(len(LEVERS)) if not away else away if len(away) == 1 else ():
                rows.append((LEVERS[k], at[k], _needed(run, "reviews_per_1000_sales").mean))
        table = pd.DataFrame(rows, columns=["lever", "moved", "reviews_per_1000_sales"])
        return table.sort_values(["lever", "moved"], ignore_index=True)

    def _run(self, moved: Mapping[str, float]) -> FlowResult:
        key = tuple(moved[lever] for lever in LEVERS)
        if key not in self._seen:
            scenario, profile = self.changed(moved)
            self._seen[key] = simulate(
                scenario.with_values(self._mean_day),
                FLOW,
                profile,
                replications=self._days,
                seed=self.seed,
                workers=self._workers,
            )
        return self._seen[key]


def _alone(search: _Search, lever: str, goal: float) -> dict[str, float]:
    """The least that one lever must be moved, or its end where that does not reach the goal."""

    def at(x: float) -> dict[str, float]:
        return dict.fromkeys(LEVERS, 0.0) | {lever: x}

    if search.reviews(at(0.0)) <= goal:
        return at(0.0)
    low, high = 0.0, MOST[lever]
    if search.reviews(at(high)) > goal:
        return at(high)
    for _ in range(STEPS):
        middle = _middle(lever, low, high)
        low, high = (low, middle) if search.reviews(at(middle)) <= goal else (middle, high)
    return at(high)


def _cheapest(
    search: _Search,
    singles: Mapping[str, dict[str, float]],
    goal: float,
    trials: int,
    tell: Callable[[], None],
) -> dict[str, float]:
    """The cheapest combination found; no dearer than the cheapest lever that reaches the goal alone."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A multivariate sampler is what levers that work together need, and is called experimental.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    nothing, ends = dict.fromkeys(LEVERS, 0.0), {lever: MOST[lever] for lever in LEVERS}
    if search.reviews(nothing) <= goal:
        return nothing
    if search.reviews(ends) > goal:
        return ends

    near = [moved for moved in singles.values() if search.reviews(moved) <= goal]
    best = min(near, key=search.cost) if near else ends
    most_halvings = min(MOST_HALVINGS, _halvings(singles["perception"]["perception"]))

    def objective(trial: Any) -> float:
        nonlocal best
        moved = {"perception": 1 - 2.0 ** -trial.suggest_float("halvings", 0.0, most_halvings)}
        moved |= {lever: trial.suggest_float(lever, 0.0, MOST[lever]) for lever in LEVERS[1:]}
        tell()
        cost = search.cost(moved)
        if cost >= search.cost(best):
            # Whether it would do need not be simulated.
            raise optuna.TrialPruned
        over = search.reviews(moved) - goal
        trial.set_constraint("reviews over the goal", over)
        if over <= 0:
            best = _relaxed(search, moved, goal)
        return cost

    sampler = optuna.samplers.TPESampler(seed=search.seed, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for lever in LEVERS[1:]:
        # A little less of perception, and another lever for it: where a cheaper mix begins.
        for less, share in ((0.25, 1.0), (0.5, 1.0), (0.25, 0.1)):
            start = {"halvings": max(0.0, most_halvings - less)} | dict.fromkeys(LEVERS[1:], 0.0)
            study.enqueue_trial(start | {lever: share * MOST[lever]})
    study.optimize(objective, n_trials=trials)
    return _relaxed(search, best, goal)


def _halvings(share: float) -> float:
    return -math.log2(1 - share) if share < 1 else math.inf


def _middle(lever: str, low: float, high: float) -> float:
    """Between two positions of a lever; of perception, in halvings of what is left wrong or doubtful."""
    if lever != "perception":
        return 0.5 * (low + high)
    return 1 - math.sqrt((1 - low) * max(1 - high, 2.0**-MOST_HALVINGS))


def _relaxed(search: _Search, moved: dict[str, float], goal: float) -> dict[str, float]:
    """Each lever moved back as far as the goal allows, the dearest first: the search leaves slack."""
    best = dict(moved)

    def dearness(lever: str) -> float:
        return -search.cost(dict.fromkeys(LEVERS, 0.0) | {lever: moved[lever]})

    for lever in sorted(LEVERS, key=dearness):
        if search.reviews(best | {lever: 0.0}) <= goal:
            best[lever] = 0.0
            continue
        low, high = 0.0, best[lever]
        for _ in range(STEPS - 2):
            middle = _middle(lever, low, high)
            low, high = (low, middle) if search.reviews(best | {lever: middle}) <= goal else (middle, high)
        best[lever] = high
    return best


def repeated(profile: PerceptionProfile, times: int) -> PerceptionProfile:
    """A profile of so many times the recordings, each copy under a name of its own."""

    def copies(table: pd.DataFrame) -> pd.DataFrame:
        named = [table.assign(recording=table["recording"].astype(str) + f" #{k}") for k in range(times)]
        return pd.concat(named, ignore_index=True)

    return replace(
        profile, judged=copies(profile.judged), phantoms=copies(profile.phantoms),
        shopper_minutes=times * profile.shopper_minutes,
    )  # fmt: skip


def sure(profile: PerceptionProfile, scenario: Scenario) -> np.ndarray:
    """Judged events that came out right, with no confidence under the scenario's thresholds, bool [n].

    Raises:
        InputError: there is none, so nothing says how a good event looks.
    """
    t = scenario.just_walk_out.review.thresholds
    confidence = profile.judged[list(CONFIDENCES)].to_numpy(float)
    # A missed event has no confidences, and NaN is not at or over any threshold.
    found = (profile.judged["outcome"] == "right").to_numpy() & (
        confidence >= np.array([t.item, t.action, t.shopper])
    ).all(axis=1)
    if not found.any():
        raise InputError(
            "profile", "judged", "has no event that is right and over the thresholds", "lower the thresholds"
        )
    return np.asarray(found)


def improved(profile: PerceptionProfile, share: float, is_sure: np.ndarray) -> PerceptionProfile:
    """The profile with this share of its wrong or doubtful events made like its right and sure ones.

    A larger share makes the same events good and more; events of one exchange of identities go together, and
    phantoms go in the same share.
    """
    if share <= 0:
        return profile
    rng = np.random.default_rng(PICKING_SEED)
    judged = profile.judged
    order, donors = rng.uniform(size=len(judged)), rng.choice(np.flatnonzero(is_sure), len(judged))
    for run in profile.exchanges.runs:
        order[run] = order[run[0]]
    good = ~is_sure & (order < share)
    table = judged.copy()
    for name in ("outcome", *CONFIDENCES):
        table.loc[good, name] = judged[name].to_numpy()[donors[good]]
    if profile.has_names:
        table.loc[good, "perceived_shopper"] = judged.loc[good, "shopper"]
    kept = rng.uniform(size=len(profile.phantoms)) >= share
    return replace(profile, judged=table, phantoms=profile.phantoms[kept].reset_index(drop=True))


def quality_of(profile: PerceptionProfile, scenario: Scenario) -> Quality:
    """Event F1 and share of doubtful events of a profile, over its judged events."""
    t = scenario.just_walk_out.review.thresholds
    judged = profile.judged
    perceived = (judged["outcome"] != "missed").to_numpy()
    right = int((judged["outcome"] == "right").sum())
    confidence = judged[list(CONFIDENCES)].to_numpy(float)[perceived]
    claimed = int(perceived.sum()) + len(profile.phantoms)
    under = (confidence < np.array([t.item, t.action, t.shopper])).any(axis=1)
    return Quality(2 * right / (claimed + len(judged)), float(under.mean()))


def _needed(run: FlowResult, metric: str) -> Estimate:
    found = run.estimate(metric)
    if found is None:
        raise InputError(run.scenario, metric, "no sale was made, so there is no rate", "give more visits")
    return found
