"""The wager of Just Walk Out: reviews yield labels, labels mend perception, and better perception needs fewer reviews.

Month by month: the stores sell, doubtful sales are reviewed, part of the reviewed events become labelled pictures, and
the detector is trained again. Its error follows the measured learning curve, error = a x pictures^-b; the odds of that
error, against where they started, multiply `PerceptionProfile.error_odds`, and the reviews at those odds are read off
a simulated `ReviewCurve`. New products and changed planograms make old pictures worthless, so the effective number of
pictures falls when nobody labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError
from checkout.vision.learning_curve import LearningCurve, PowerLaw
from sim.calibration import ReviewCurve

DAYS_PER_MONTH = 365 / 12
FURTHEST = 10.0
"""Assumed: beyond so many times the largest measured training set, the law is a guess."""
MOST_ERROR = 0.999


@dataclass(frozen=True)
class Programme:
    """How a chain learns from its reviews.

    Attributes:
        stores: published: 47, The Batch. months: simulated.
        pictures_per_review: assumed: labelled pictures that a review yields; 0 labels nothing.
        usd_per_picture: assumed: what a label costs beside the review.
        most_pictures_per_month: assumed: how many are labelled at most; None for no bound.
        new_products_share: assumed: products that are new each month, whose old pictures show nothing of them.
        planogram_every_months: assumed: when much of the store is rearranged; 0 for never.
        planogram_share: assumed: pictures that show nothing of the store afterwards.
        work_s, wage_usd_per_hour: of a review, as in the scenario.
        sales_per_day: of one store.
    """

    stores: int = 47
    months: int = 36
    pictures_per_review: float = 1.0
    usd_per_picture: float = 0.1
    most_pictures_per_month: float | None = None
    new_products_share: float = 0.02
    planogram_every_months: int = 6
    planogram_share: float = 0.1
    work_s: float = 240.0
    wage_usd_per_hour: float = 8.0
    sales_per_day: float = 1745.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 <= value < np.inf:
                raise InputError("learning", name, f"{value!r}, expected a number from 0")
        for name in ("new_products_share", "planogram_share"):
            if getattr(self, name) > 1:
                raise InputError("learning", name, f"{getattr(self, name)!r}, expected at most 1")
        if self.months < 1 or self.stores < 1:
            raise InputError("learning", "months", "expected at least one month and one store")

    def kept(self, month: int) -> float:
        """Share of the pictures that still show what is sold after this month, counted from 1."""
        every = self.planogram_every_months
        rearranged = every > 0 and month % every == 0
        return (1 - self.new_products_share) * (1 - self.planogram_share if rearranged else 1.0)


@dataclass(frozen=True)
class Reached:
    """When a number of reviews is first reached.

    Attributes:
        month: of the law as fitted; None: never in the months simulated. months95: middle 95 % of the draws (None:
            later). share: of the draws that reach it. usd: what it has cost by then, reviews and labels, as fitted.
    """

    reviews_per_1000_sales: float
    month: int | None
    months95: tuple[int | None, int | None]
    share: float
    usd: float | None


@dataclass(frozen=True)
class Learning:
    """Months of learning.

    Attributes:
        months: columns month (0: before any), pictures, error, error_odds, reviews_per_1000_sales with _low and _high,
            labels_usd, reviews_usd (of that month), spent_usd with _low and _high (all until then).
        reached: for each number of reviews asked for.
        notes: what a reader must know.
    """

    programme: Programme
    months: pd.DataFrame
    reached: tuple[Reached, ...]
    notes: tuple[str, ...]

    def to_pandas(self) -> pd.DataFrame:
        return self.months

    def to_dict(self) -> dict[str, Any]:
        """The shape that `learn --json` prints."""
        return {
            "programme": asdict(self.programme),
            "interval": "middle 95 % of draws of the law (its covariance) and of the profile's versions (bootstrap)",
            "months": self.months.to_dict(orient="records"),
            "reached": [asdict(r) for r in self.reached],
            "notes": list(self.notes),
        }


def law_of(curve: LearningCurve, error: str = "low_confidence", sensors: str = "plates+vision") -> PowerLaw:
    """The law of one error; raises `InputError` when there is none or it is not known."""
    curve.predict(1.0, error, sensors)
    law = curve.laws[sensors][error]
    assert law is not None, "predict has refused it"
    return law


def learn(
    reviews: ReviewCurve,
    law: PowerLaw,
    programme: Programme,
    *,
    start_odds: float = 1.0,
    targets: Sequence[float] = (50.0, 20.0),
    draws: int = 500,
    seed: int = 1,
) -> Learning:
    """Simulate months of reviewing, labelling and training.

    Args:
        reviews: reviews per 1,000 sales against error odds.
        law: how the error falls with pictures; it starts at the largest training set that was measured.
        start_odds: error odds before the first month.
        draws: versions of the law and of the profile, for the bands.

    Raises:
        InputError: the start lies where no reviews were simulated.
    """
    if not reviews.error_odds[0] <= start_odds <= reviews.error_odds[-1]:
        raise InputError("learning", "start_odds", f"{start_odds:g} lies beyond the simulated error odds")
    rng = np.random.default_rng([seed, 13])
    fitted = _months(reviews, law.a, law.b, law.most_pictures, programme, start_odds, None)
    drawn = []
    picks = reviews.drawn(draws, rng)
    for drawn_law, versions in zip(_laws(law, draws, rng), picks, strict=True):
        a, b = float(np.exp(drawn_law[0])), float(drawn_law[1])
        drawn.append(_months(reviews, a, b, law.most_pictures, programme, start_odds, versions))
    table = fitted.copy()
    for name in ("reviews_per_1000_sales", "spent_usd"):
        values = np.array([d[name].to_numpy() for d in drawn])
        table[f"{name}_low"], table[f"{name}_high"] = np.quantile(values, [0.025, 0.975], axis=0)
    reached = tuple(_reached(target, fitted, drawn) for target in targets)
    return Learning(programme, table, reached, tuple(_notes(law, reviews, table)))


def _laws(law: PowerLaw, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Versions of (log a, b), float [draws, 2]: normal with the fitted covariance, or all alike without one."""
    centre = np.array([np.log(law.a), law.b])
    if law.covariance is None:
        return np.tile(centre, (draws, 1))
    return rng.multivariate_normal(
        centre, np.array(law.covariance), size=draws, check_valid="raise", method="eigh"
    )


def _months(
    reviews: ReviewCurve, a: float, b: float, pictures: float, programme: Programme, start_odds: float,
    versions: list[int] | None,
) -> pd.DataFrame:  # fmt: skip
    """One course of events, a row a month; row 0 is the state before."""

    def error_odds(count: float) -> float:
        error = min(MOST_ERROR, a * count**-b)
        return error / (1 - error)

    at_start, count, spent_usd = error_odds(pictures), float(pictures), 0.0
    sales = programme.stores * programme.sales_per_day * DAYS_PER_MONTH
    rows: list[tuple[float, ...]] = []
    for month in range(programme.months + 1):
        odds = start_odds * error_odds(count) / at_start
        rate = float(reviews.reviews(odds, versions))
        looked_at = sales * rate / 1000 if month else 0.0
        labelled = looked_at * programme.pictures_per_review
        if programme.most_pictures_per_month is not None:
            labelled = min(labelled, programme.most_pictures_per_month)
        reviews_usd = looked_at * programme.work_s / 3600 * programme.wage_usd_per_hour
        labels_usd = labelled * programme.usd_per_picture
        spent_usd += reviews_usd + labels_usd
        error = min(MOST_ERROR, a * count**-b)
        rows.append((month, count, error, odds, rate, reviews_usd, labels_usd, spent_usd))
        if month:
            # What is trained is what was known, less what is no longer sold or stands elsewhere, and the new labels.
            count = max(1.0, count * programme.kept(month) + labelled)
    columns = ["month", "pictures", "error", "error_odds", "reviews_per_1000_sales", "reviews_usd", "labels_usd",
               "spent_usd"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _first(table: pd.DataFrame, target: float) -> float:
    under = np.flatnonzero(table["reviews_per_1000_sales"].to_numpy() <= target)
    return float(table["month"].iloc[under[0]]) if len(under) else np.inf


def _reached(target: float, fitted: pd.DataFrame, drawn: Sequence[pd.DataFrame]) -> Reached:
    month = _first(fitted, target)
    firsts = np.array([_first(table, target) for table in drawn])
    low, high = np.quantile(firsts, [0.025, 0.975], method="nearest")
    known = np.isfinite(month)
    return Reached(
        target,
        int(month) if known else None,
        (int(low) if np.isfinite(low) else None, int(high) if np.isfinite(high) else None),
        float(np.isfinite(firsts).mean()),
        float(fitted["spent_usd"].iloc[int(month)]) if known else None,
    )


def _notes(law: PowerLaw, reviews: ReviewCurve, table: pd.DataFrame) -> list[str]:
    found = []
    most = float(table["pictures"].max())
    if most > FURTHEST * law.most_pictures:
        found.append(
            f"{most:,.0f} pictures are {most / law.most_pictures:,.0f} times the largest measured training set "
            f"({law.most_pictures:,}): far out the law is too hopeful"
        )
    if law.covariance is None:
        found.append("the law has no covariance: the band is that of the profile alone")
    if float(table["error_odds"].min()) < reviews.error_odds[0]:
        found.append(
            f"reviews are level below error odds of {reviews.error_odds[0]:.3g}, the lowest that were simulated"
        )
    return found
