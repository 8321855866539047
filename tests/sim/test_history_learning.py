"""Learning: laws of the months, on curves that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from checkout.errors import InputError
from checkout.vision.learning_curve import PowerLaw
from sim.calibration import ReviewCurve
from sim.history_cli import app
from sim.learning import DAYS_PER_MONTH, Learning, Programme, learn

ODDS = 2.0 ** np.arange(-12, 4)
MEAN = 1000 * (1 - (1 + ODDS / 10) ** -14.0)
REVIEWS = ReviewCurve("x", ODDS, np.column_stack([0.95 * MEAN, MEAN, 1.05 * MEAN]), np.arange(3))
LAW = PowerLaw(
    a=2.0,
    b=0.3,
    b_ci95=(0.2, 0.4),
    covariance=((0.02, 0.002), (0.002, 0.0004)),
    least_pictures=100,
    most_pictures=2000,
)
STILL = Programme(stores=1, months=12, new_products_share=0.0, planogram_share=0.0)


def course(law: PowerLaw = LAW, programme: Programme = STILL) -> Learning:
    return learn(REVIEWS, law, programme, draws=30)


@given(b=st.floats(0.01, 1.0), pictures=st.floats(0.1, 50.0))
@settings(max_examples=5, deadline=None)
def test_reviews_only_fall_while_nothing_changes(b: float, pictures: float) -> None:
    months = course(replace(LAW, b=b), replace(STILL, pictures_per_review=pictures)).months
    assert np.all(np.diff(months["reviews_per_1000_sales"]) <= 0)
    assert np.all(np.diff(months["spent_usd"]) > 0)


def test_a_law_without_a_slope_never_learns() -> None:
    flat = replace(LAW, b=0.0, a=0.2, covariance=None)
    found = course(flat, replace(STILL, months=60, stores=47))
    assert found.months["reviews_per_1000_sales"].nunique() == 1
    assert found.reached[0].month is None
    assert found.reached[0].share == 0.0


def test_without_labels_new_products_push_reviews_up() -> None:
    months = course(programme=replace(STILL, pictures_per_review=0.0, new_products_share=0.05)).months
    assert np.all(np.diff(months["reviews_per_1000_sales"])[1:] > 0)
    assert months["labels_usd"].sum() == 0


def test_a_planogram_change_pushes_reviews_up_in_the_month_after() -> None:
    programme = replace(STILL, pictures_per_review=0.01, planogram_every_months=6, planogram_share=0.5)
    reviews = course(programme=programme).months.set_index("month")["reviews_per_1000_sales"]
    assert reviews[6] < reviews[5]
    assert reviews[7] > reviews[6]


def test_the_second_month_is_trained_on_what_the_first_labelled() -> None:
    """By hand: 10 sales a day, one picture a review, a twentieth of the old pictures lost."""
    programme = replace(STILL, sales_per_day=10.0, new_products_share=0.05)
    months = course(programme=programme).months.set_index("month")
    rate = float(REVIEWS.reviews(1.0))
    looked_at = 10 * DAYS_PER_MONTH * rate / 1000
    assert months["reviews_per_1000_sales"][1] == pytest.approx(rate)
    assert months["pictures"][2] == pytest.approx(2000 * 0.95 + looked_at)
    error = 2.0 * months["pictures"][2] ** -0.3
    start = 2.0 * 2000**-0.3
    assert months["error_odds"][2] == pytest.approx(error / (1 - error) / (start / (1 - start)))
    assert months["spent_usd"][1] == pytest.approx(looked_at * (240 / 3600 * 8 + 0.1))


def test_more_stores_learn_sooner_and_the_target_is_paid_for() -> None:
    few, many = (
        course(programme=replace(STILL, stores=n, months=60, pictures_per_review=5.0)) for n in (1, 200)
    )
    assert many.reached[0].month is not None
    assert few.reached[0].month is None or few.reached[0].month > many.reached[0].month
    spent = many.months.set_index("month")["spent_usd"]
    assert many.reached[0].usd == spent[many.reached[0].month]


def test_the_band_holds_the_course_and_widens_with_the_law() -> None:
    wide = replace(LAW, covariance=((0.2, 0.02), (0.02, 0.004)))
    last = [course(law).months.iloc[-1] for law in (LAW, wide)]
    for row in last:
        assert (
            row["reviews_per_1000_sales_low"]
            < row["reviews_per_1000_sales"]
            < row["reviews_per_1000_sales_high"]
        )
    spans = [row["reviews_per_1000_sales_high"] - row["reviews_per_1000_sales_low"] for row in last]
    assert spans[1] > spans[0]


def test_a_missing_curve_is_one_line(tmp_path: object) -> None:
    result = CliRunner().invoke(app, ["learn", "--curve", f"{tmp_path}/none.json"])
    assert isinstance(result.exception, InputError)
    assert (
        "measure it with: checkout learning-curve REC... --data DIR --out FILE, or name one with --curve FILE"
        in str(result.exception)
    )


@pytest.mark.parametrize("field", ["months", "usd_per_picture", "new_products_share"])
def test_programmes_that_cannot_be_are_refused(field: str) -> None:
    with pytest.raises(InputError, match=field):
        replace(STILL, **{field: -1})
