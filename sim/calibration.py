"""What perception must be like for a store to need a given number of reviews, and what follows elsewhere.

One number is fitted: `PerceptionProfile.error_odds`, by which the odds of an error or a doubt are multiplied. Every
value of it is tried on the same days with the same draws (common random numbers), so reviews change with it alone. A
replication is one day with its own shoppers and its own version of the profile; the same version serves every store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import FlowResult, simulate
from sim.replications import profile_version
from sim.scenario import Scenario

Progress = Callable[[str, float], None]

ERROR_ODDS = tuple(2.0**power for power in (-11, -9, -7, -5, -4, -3, -2, -1, 0, 1, 2, 3))
"""Where the curve is computed before the root is refined."""
CLOSE_ENOUGH = 1.0
"""Reviews per 1,000 sales: the root is refined until it is so close to the target."""
REFINEMENTS = 4
RESAMPLES = 1000
HISTORIC_REVIEWS = 700.0
"""Published: The Batch (2024), after The Information: Just Walk Out in mid-2022."""
TARGET_REVIEWS = (50.0, 20.0)
"""Published: the ends of the target, same source."""
HISTORIC_STAFF = 1000
"""Published: more than so many remote staff, who also labelled pictures; same source."""
HISTORIC_STORE, HISTORIC_ELSEWHERE = "fresh-supermarket-2022", "go-convenience"
"""The scenarios that the published figures speak of."""
NOT_PUBLIC = "not public"
HISTORIC_STORES = (47, 27)
"""Published: stores with Just Walk Out, The Batch, and Vixio for the US in April 2024."""
WORK_HOURS_PER_WEEK = 32.0
"""Assumed: hours of reviewing in a week of one member of staff: 40 paid, four fifths at the desk and busy."""
LONGEST_WORK_S = 342.0
"""Published bound (derived): 5.7 minutes a review, if 1,000 staff of 47 stores had only reviewed."""
REVIEWS = "reviews_per_1000_sales"
HOUR_S, WEEK_DAYS = 3600.0, 7


@dataclass(frozen=True)
class Fitted:
    """Error odds that give a number of reviews.

    Attributes:
        ci95: 95 % interval of the value that makes the mean hit the target: bootstrap over versions of the profile.
        versions95: the middle 95 % of the values that make each single version of the profile hit it.
        A bound is None where it lies beyond the odds that were tried.
    """

    target: float
    error_odds: float
    ci95: tuple[float | None, float | None]
    versions95: tuple[float | None, float | None]


@dataclass(frozen=True)
class ReviewCurve:
    """Reviews per 1,000 sales of one store against error odds.

    Attributes:
        error_odds: ascending, float [k].
        reviews_per_1000_sales: of each replication, the same days at all odds, float [k, replications].
        versions: the version of the profile in each replication, int [replications].
    """

    scenario: str
    error_odds: np.ndarray
    reviews_per_1000_sales: np.ndarray
    versions: np.ndarray

    @property
    def by_version(self) -> list[list[int]]:
        """The replications of each version of the profile."""
        return [np.flatnonzero(self.versions == version).tolist() for version in np.unique(self.versions)]

    def drawn(self, draws: int, rng: np.random.Generator) -> list[list[int]]:
        """Replications of a bootstrap: versions are drawn, because those of one version are alike."""
        groups = self.by_version
        picks = rng.integers(len(groups), size=(draws, len(groups))).tolist()
        return [[i for pick in picked for i in groups[pick]] for picked in picks]

    @property
    def mean(self) -> np.ndarray:
        """Mean over replications, float [k]."""
        return np.asarray(self.reviews_per_1000_sales.mean(axis=1))

    def reviews(
        self, error_odds: np.ndarray | float, replications: Sequence[int] | None = None
    ) -> np.ndarray:
        """Mean reviews at odds in between: linear in the logarithm of the odds, level beyond the ends."""
        rows = (
            self.reviews_per_1000_sales
            if replications is None
            else self.reviews_per_1000_sales[:, replications]
        )
        return np.asarray(np.interp(np.log(error_odds), np.log(self.error_odds), rows.mean(axis=1)))

    def root(self, target: float, replications: Sequence[int] | None = None) -> float | None:
        """Error odds at which the mean is the target; None where it is not reached at any odds of the curve."""
        rows = (
            self.reviews_per_1000_sales
            if replications is None
            else self.reviews_per_1000_sales[:, replications]
        )
        # The mean rises with the odds but for the last bit of chance.
        rising = np.maximum.accumulate(rows.mean(axis=1))
        if not rising[0] <= target <= rising[-1]:
            return None
        return float(np.exp(np.interp(target, rising, np.log(self.error_odds))))

    def with_point(self, error_odds: float, reviews: Sequence[float]) -> ReviewCurve:
        """The curve with one more point."""
        at = int(np.searchsorted(self.error_odds, error_odds))
        return ReviewCurve(
            self.scenario,
            np.insert(self.error_odds, at, error_odds),
            np.insert(self.reviews_per_1000_sales, at, reviews, axis=0),
            self.versions,
        )

    def fitted(self, target: float, seed: int = 1) -> Fitted:
        """The odds for a target with their intervals; raises `InputError` where no odds of the curve give it."""
        root = self.root(target)
        if root is None:
            raise InputError(
                self.scenario, "", f"{target:g} reviews per 1,000 sales, expected {self.mean[0]:.0f}-"
                f"{self.mean[-1]:.0f}: what error odds of {self.error_odds[0]:.3g}-{self.error_odds[-1]:.3g} give",
                "change the target or the review thresholds",
            )  # fmt: skip
        drawn = self.drawn(RESAMPLES, np.random.default_rng([seed, 11]))
        means = [self._bound(target, replications) for replications in drawn]
        versions = [self._bound(target, replications) for replications in self.by_version]
        return Fitted(target, root, _middle(means), _middle(versions))

    def _bound(self, target: float, replications: list[int]) -> float:
        found = self.root(target, replications)
        if found is not None:
            return found
        rows = self.reviews_per_1000_sales[:, replications].mean(axis=1)
        return 0.0 if target < rows[0] else np.inf


def _middle(values: Sequence[float]) -> tuple[float | None, float | None]:
    # The nearest value, because one beyond the curve cannot be averaged with its neighbour.
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")
    return (float(low) if low > 0 else None, float(high) if np.isfinite(high) else None)


def review_curve(
    scenario: Scenario,
    profile: PerceptionProfile,
    error_odds: Sequence[float] = ERROR_ODDS,
    *,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> ReviewCurve:
    """Reviews per 1,000 sales of Just Walk Out against error odds; a replication is one Monday.

    Whether a sale is reviewed does not depend on the desk or on other days, so one day is enough; a Monday is as
    busy as a mean day.

    Raises:
        InputError: the profile is unfit, or the odds are not positive.
    """
    if not error_odds or min(error_odds) <= 0:
        raise InputError("error_odds", "", f"{list(error_odds)}, expected positive numbers")
    if replications < 2:
        raise InputError("--replications", "", f"{replications}, expected at least 2 for an interval")
    day = scenario.with_values(
        {"calendar.days": 1, "calendar.warm_up_days": 0, "calendar.first_weekday": "monday"}
    )
    odds = np.sort(np.array(error_odds, float))
    rows = []
    for index, value in enumerate(odds.tolist()):

        def tell(what: str, share: float, index: int = index) -> None:
            if progress:
                progress(f"{scenario.name}: error odds", (index + share) / len(odds))

        rows.append(_reviews(day, profile, value, replications, seed, workers, tell))
    versions = np.array([profile_version(i) for i in range(replications)])
    return ReviewCurve(scenario.name, odds, np.array(rows), versions)


def _reviews(
    scenario: Scenario, profile: PerceptionProfile, error_odds: float, replications: int, seed: int, workers: int,
    progress: Progress | None,
) -> list[float]:  # fmt: skip
    """Reviews per 1,000 sales of each replication; raises `InputError` when a day has no sale."""
    result = simulate(
        scenario, "just-walk-out", replace(profile, error_odds=profile.error_odds * error_odds),
        replications=replications, seed=seed, workers=workers, progress=progress,
    )  # fmt: skip
    values = result.values[REVIEWS]
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        raise InputError(scenario.name, "shoppers.visits_per_day", "a day has no sale to review", "raise it")
    return found


@dataclass(frozen=True)
class Anchor:
    """One published figure beside what the calibrated perception predicts.

    Attributes:
        ci95: 95 % interval, the profile's own error included; None of a figure that follows from others.
        published: the figure; `agrees`: whether the prediction lies in it, None where it is too vague to say.
    """

    quantity: str
    predicted: float
    ci95: tuple[float, float] | None
    unit: str
    published: str
    agrees: bool | None


@dataclass(frozen=True)
class Calibration:
    """What was fitted and what follows from it.

    Attributes:
        curves: of the calibrated store, and of the one elsewhere.
        fitted: the odds for the target. required: those for 50 and 20 reviews, or whatever was asked.
        weeks: whole weeks at the fitted odds, by name.
        elsewhere95: reviews in the other store, middle 95 % over versions of the profile that were each made to give
            the target in the calibrated one.
    """

    profile: PerceptionProfile
    seed: int
    curves: tuple[ReviewCurve, ReviewCurve]
    fitted: Fitted
    required: tuple[Fitted, ...]
    weeks: Mapping[str, FlowResult]
    elsewhere95: tuple[float, float]
    anchors: tuple[Anchor, ...]

    @property
    def calibrated_profile(self) -> PerceptionProfile:
        """The profile with the fitted odds."""
        return replace(self.profile, error_odds=self.profile.error_odds * self.fitted.error_odds)

    def faulty_share(self, error_odds: float) -> float:
        """Share of shelf events that are wrong, missed or doubtful at these odds, under the judged conditions."""
        return replace(self.profile, error_odds=self.profile.error_odds * error_odds).faulty_share

    def curves_table(self) -> pd.DataFrame:
        """Columns scenario, error_odds, reviews_per_1000_sales."""
        return pd.concat(
            [
                pd.DataFrame(
                    {"scenario": curve.scenario, "error_odds": curve.error_odds, REVIEWS: curve.mean}
                )
                for curve in self.curves
            ],
            ignore_index=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """The shape that `calibrate --json` prints."""

        def fitted(f: Fitted) -> dict[str, Any]:
            return {
                "target_reviews_per_1000_sales": f.target,
                "error_odds": f.error_odds,
                "error_odds_ci95": list(f.ci95),
                "error_odds_versions95": list(f.versions95),
                "faulty_event_share": self.faulty_share(f.error_odds),
            }

        return {
            "seed": self.seed,
            "detector": self.profile.detector,
            "replications": self.curves[0].reviews_per_1000_sales.shape[1],
            "interval": "bootstrap over versions of the profile (error odds); random-effects interval (predictions)",
            "measured_faulty_event_share": self.profile.faulty_share,
            "fitted": fitted(self.fitted),
            "required": [fitted(f) for f in self.required],
            "predictions": [
                {
                    "quantity": a.quantity, "predicted": a.predicted, "ci95": list(a.ci95) if a.ci95 else None,
                    "unit": a.unit, "published": a.published, "agrees": a.agrees,
                }
                for a in self.anchors
            ],
            "elsewhere_reviews_versions95": list(self.elsewhere95),
            "curves": self.curves_table().to_dict(orient="records"),
        }  # fmt: skip


def calibrate(
    scenario: Scenario,
    profile: PerceptionProfile,
    elsewhere: Scenario,
    *,
    target: float = HISTORIC_REVIEWS,
    required: Sequence[float] = TARGET_REVIEWS,
    error_odds: Sequence[float] = ERROR_ODDS,
    replications: int = 20,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the error odds to a store's reviews, then predict the rest with perception unchanged.

    Args:
        elsewhere: another store, whose reviews are predicted.
        required: further numbers of reviews whose error odds are wanted.
        error_odds: where the curves are computed before the roots are refined.

    Raises:
        InputError: a target lies beyond what the odds that are tried can give.
    """

    def tell(start: float, end: float) -> Progress:
        def told(what: str, share: float) -> None:
            if progress:
                progress(what, start + (end - start) * share)

        return told

    run: dict[str, Any] = {"replications": replications, "seed": seed, "workers": workers}
    curve = review_curve(scenario, profile, error_odds, **run, progress=tell(0.0, 0.5))
    for wanted in (target, *required):
        curve = _refined(curve, scenario, profile, wanted, run, tell(0.5, 0.6))
    fitted = curve.fitted(target, seed)
    other = review_curve(elsewhere, profile, error_odds, **run, progress=tell(0.6, 0.7))
    calibrated = replace(profile, error_odds=profile.error_odds * fitted.error_odds)
    slow = scenario.with_values(
        {"just_walk_out.review.work_s": LONGEST_WORK_S, "just_walk_out.review.work_s_per_doubt": 0.0}
    )
    stores = {"store": scenario, "store_slow_reviews": slow, "elsewhere": elsewhere}
    weeks = {
        name: simulate(store, "just-walk-out", calibrated, **run,
                       progress=tell(0.7 + 0.1 * index, 0.8 + 0.1 * index))
        for index, (name, store) in enumerate(stores.items())
    }  # fmt: skip
    return Calibration(
        profile, seed, (curve, other), fitted, tuple(curve.fitted(wanted, seed) for wanted in required), weeks,
        _elsewhere(curve, other, target), tuple(_anchors(stores, weeks, target)),
    )  # fmt: skip


def _refined(
    curve: ReviewCurve, scenario: Scenario, profile: PerceptionProfile, target: float, run: Mapping[str, Any],
    progress: Progress,
) -> ReviewCurve:  # fmt: skip
    """The curve with points added where it should cross the target, until it does."""
    for _ in range(REFINEMENTS):
        root = curve.root(target)
        if root is None or np.abs(curve.error_odds / root - 1).min() < 1e-3:
            break
        found = review_curve(scenario, profile, [root], **run, progress=progress)
        curve = curve.with_point(root, found.reviews_per_1000_sales[0].tolist())
        if abs(found.mean[0] - target) < CLOSE_ENOUGH:
            break
    return curve


def _elsewhere(curve: ReviewCurve, other: ReviewCurve, target: float) -> tuple[float, float]:
    """Reviews elsewhere under each version of the profile that gives the target here, the middle 95 %."""
    found = []
    for replications in curve.by_version:
        odds = curve.root(target, replications)
        if odds is not None:
            found.append(float(other.reviews(odds, replications)))
    if not found:
        raise InputError(
            curve.scenario, "", f"no version of the profile gives {target:g} reviews per 1,000 sales"
        )
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def work_hours_per_week(scenario: Scenario, week: FlowResult) -> float:
    """Hours of reviewing in a week of one store."""
    review = scenario.just_walk_out.review
    at_work = sum(round(review.reviewers * share) for share in review.shifts.values())
    busy = week.estimate("reviewer_utilisation")
    return 0.0 if busy is None else busy.mean * at_work * WEEK_DAYS


def _anchors(stores: Mapping[str, Scenario], weeks: Mapping[str, FlowResult], target: float) -> list[Anchor]:
    """Published figures beside the predictions (sources: docs/sources.md)."""
    here, there = stores["store"].name, stores["elsewhere"].name
    fresh, go = here == HISTORIC_STORE, there == HISTORIC_ELSEWHERE
    per_1000, hours = "reviews per 1,000 sales", "a few hours at a large Fresh (Bloomberg)"
    at_store, slowly, at_other = weeks["store"], weeks["store_slow_reviews"], weeks["elsewhere"]
    mean, p95 = "time_to_receipt_mean_s", "time_to_receipt_p95_s"
    return [
        _anchor(at_store, REVIEWS, f"{here}, a whole week", per_1000, f"{target:g}, fitted on Mondays",
                (0.97 * target, 1.03 * target)),
        _anchor(at_other, REVIEWS, there, per_1000, "270, if items were independent (derived)", (240, 300), known=go),
        *([_anchor(at_other, REVIEWS, there, per_1000, "a small minority (Amazon; read as under 100)", (0, 100))]
          if go else []),
        _anchor(at_other, mean, f"{there}: mean time to receipt", "minutes", "minutes at Go (The Atlantic)", (1, 60),
                60.0, known=go),
        _anchor(at_store, mean, f"{here}: mean time to receipt", "hours", hours, (1, 8), HOUR_S, known=fresh),
        _anchor(at_store, p95, f"{here}: its 95th percentile", "hours", hours, (1, 8), HOUR_S, known=fresh),
        _anchor(slowly, mean, f"{here}: mean, were a review 5.7 minutes", "hours", hours, (1, 8), HOUR_S, known=fresh),
        *(_staff(stores["store"], at_store) if fresh else []),
    ]  # fmt: skip


def _anchor(
    week: FlowResult, metric: str, quantity: str, unit: str, published: str, agrees: tuple[float, float],
    scale: float = 1.0, *, known: bool = True,
) -> Anchor:  # fmt: skip
    """A prediction beside a published figure; a store of which none is `known` has nothing to agree with."""
    estimate = week.estimate(metric)
    if estimate is None:
        raise InputError(week.scenario, metric, "is not reported by Just Walk Out")
    mean = estimate.mean / scale
    interval = None if estimate.ci95 is None else (estimate.ci95[0] / scale, estimate.ci95[1] / scale)
    if not known:
        return Anchor(quantity, mean, interval, unit, NOT_PUBLIC, None)
    return Anchor(quantity, mean, interval, unit, published, agrees[0] <= mean <= agrees[1])


def _staff(scenario: Scenario, week: FlowResult) -> list[Anchor]:
    """Staff that the reviews of the published numbers of stores take, and the time that the published staff had."""
    hours = work_hours_per_week(scenario, week)
    found = []
    for count in HISTORIC_STORES:
        staff = count * hours / WORK_HOURS_PER_WEEK
        found.append(
            Anchor(f"staff to review the sales of {count} such stores", staff, None, "persons",
                   "more than 1,000, who also labelled", staff >= HISTORIC_STAFF)
        )  # fmt: skip
    reviews, sales = week.estimate(REVIEWS), week.estimate("sales_per_day")
    if reviews is not None and sales is not None and reviews.mean > 0:
        per_week = HISTORIC_STORES[0] * WEEK_DAYS * sales.mean * reviews.mean / 1000
        found.append(
            Anchor(f"work that 1,000 staff have for a review of {HISTORIC_STORES[0]} such stores",
                   60 * HISTORIC_STAFF * WORK_HOURS_PER_WEEK / per_week, None, "minutes", NOT_PUBLIC, None)
        )  # fmt: skip
    return found
