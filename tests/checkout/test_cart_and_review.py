"""Carts add up, and the policy sends exactly the doubtful sales to a human."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.cart import Carts, receipts
from checkout.errors import InputError
from checkout.evaluation.receipts import ReceiptMetric
from checkout.events import Action, LeftOnFloor, Receipt, ReceiptLine, ShelfEvent
from checkout.review import Reviewer, ReviewPolicy, Thresholds

POLICY = ReviewPolicy(item=0.9, action=0.8, shopper=0.7)


def event(
    action: Action = "pick", quantity: int = 1, shopper: str = "anna", t_s: float = 1.0, **sure: float
) -> ShelfEvent:
    return ShelfEvent(t_s, action, "cola", quantity, shopper, **sure)


def test_a_receipt_is_picks_less_put_backs() -> None:
    events = [event(quantity=3), event("put_back", t_s=2.0), event(shopper="ben", t_s=3.0)]
    by_shopper = {r.shopper: r.quantities for r in receipts(["anna", "ben", "cleo"], events, POLICY)}
    assert by_shopper == {"anna": {"cola": 2}, "ben": {"cola": 1}, "cleo": {}}


def test_staff_get_no_receipt() -> None:
    events = [event(), event("put_back", shopper="crew")]
    assert [r.shopper for r in receipts(["anna", "crew"], events, POLICY, staff=["crew"])] == ["anna"]


@given(st.lists(st.tuples(st.sampled_from(["pick", "put_back"]), st.integers(1, 4)), max_size=20))
def test_a_cart_never_holds_less_than_nothing(moves: list[tuple[Action, int]]) -> None:
    carts = Carts()
    for action, quantity in moves:
        before = carts.units("anna", "cola")
        carts.add(event(action, quantity))
        after = carts.units("anna", "cola")
        assert after == (before + quantity if action == "pick" else max(0, before - quantity))


def test_a_sure_sale_is_charged() -> None:
    assert POLICY.decide("anna", [event()]) == ("charge", ())


@pytest.mark.parametrize(
    "sure", [{"item_confidence": 0.89}, {"action_confidence": 0.79}, {"shopper_confidence": 0.69}]
)
def test_any_confidence_under_its_threshold_sends_the_sale_to_review(sure: dict[str, float]) -> None:
    decision, reasons = POLICY.decide("anna", [event(), event(t_s=2.0, **sure)])
    assert decision == "review"
    assert len(reasons) == 1
    assert next(iter(sure)).split("_")[0] in reasons[0]


def test_the_candidate_of_an_unsettled_event_is_held_too() -> None:
    unsettled = ShelfEvent(
        1.0,
        "pick",
        "cola",
        1,
        "anna",
        shopper_confidence=0.6,
        candidates={"anna": 0.6, "ben": 0.38, "cleo": 0.02},
    )
    assert POLICY.decide("ben", [unsettled])[0] == "review"
    assert POLICY.decide("cleo", [unsettled])[0] == "charge"


def test_the_candidate_of_a_settled_event_is_not_held() -> None:
    settled = ShelfEvent(
        1.0, "pick", "cola", 1, "anna", shopper_confidence=0.9, candidates={"anna": 0.9, "ben": 0.1}
    )
    assert POLICY.decide("ben", [settled])[0] == "charge"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_policy_never_reviews_less(sures: list[float], a: float, b: float) -> None:
    events = [event(t_s=float(i), item_confidence=p) for i, p in enumerate(sures)]
    lax, strict = sorted((a, b))
    if ReviewPolicy(item=lax).decide("anna", events)[0] == "review":
        assert ReviewPolicy(item=strict).decide("anna", events)[0] == "review"


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(InputError, match="item threshold"):
        ReviewPolicy(item=1.2)


@given(
    st.lists(
        st.tuples(st.sampled_from(["pick", "put_back"]), st.integers(1, 3), st.floats(0, 1), st.floats(0, 1)),
        max_size=12,
    )
)
def test_a_carts_posterior_sums_to_one(moves: list[tuple[Action, int, float, float]]) -> None:
    carts = Carts()
    for action, quantity, sure, anna in moves:
        carts.add(
            ShelfEvent(
                0.0,
                action,
                "cola",
                quantity,
                "anna",
                item_confidence=sure,
                candidates={"anna": anna, "ben": 1 - anna},
            )
        )
    for who in ("anna", "ben"):
        belief = carts.posterior(who, "cola")
        assert belief.sum() == pytest.approx(1.0)
        assert (belief >= 0).all()


def test_a_line_is_as_sure_as_its_only_event() -> None:
    sure = event(item_confidence=0.9, action_confidence=0.8, shopper_confidence=0.7)
    (receipt,) = receipts(["anna"], [sure], POLICY)
    assert receipt.lines[0].confidence == pytest.approx(0.9 * 0.8 * 0.7)
    assert receipt.confidence == pytest.approx(receipt.lines[0].confidence)


def test_a_put_back_says_that_somebody_held_what_came_back() -> None:
    """Whether anna took the cola was unsure; that she put it back leaves little doubt that her cart is empty."""
    taken, back = event(shopper_confidence=0.6), event("put_back", t_s=2.0)
    (receipt,) = receipts(["anna"], [taken, back], POLICY)
    assert receipt.lines == ()
    assert receipt.confidence == pytest.approx(1.0)


def test_a_missing_unit_lowers_the_receipts_confidence_of_whoever_may_have_it() -> None:
    taken = ShelfEvent(
        1.0, "pick", "cola", 1, "anna", shopper_confidence=0.6, candidates={"anna": 0.6, "ben": 0.4}
    )
    by_shopper = {r.shopper: r for r in receipts(["anna", "ben", "cleo"], [taken], POLICY)}
    assert by_shopper["ben"].confidence == pytest.approx(0.6)
    assert by_shopper["cleo"].confidence == 1.0


def test_thresholds_differ_by_product_and_by_price() -> None:
    strict, lax = Thresholds(0.99, 0.99, 0.99), Thresholds(0.1, 0.1, 0.1)
    policy = ReviewPolicy(
        by_product={"cola": lax},
        from_price=((20.0, strict),),
        prices={"cola": 500.0, "wine": 12.0, "gum": 1.0},
    )

    def decided(product: str, quantity: int, sure: float) -> str:
        one = ShelfEvent(1.0, "pick", product, quantity, "anna", item_confidence=sure)
        return policy.decide("anna", [one])[0]

    assert decided("cola", 1, 0.5) == "charge"
    assert decided("wine", 1, 0.95) == "charge"
    assert decided("wine", 2, 0.95) == "review"
    assert decided("gum", 2, 0.95) == "charge"
    with pytest.raises(InputError, match="item threshold of 'cola'"):
        ReviewPolicy(by_product={"cola": Thresholds(2.0, 0.5, 0.5)})


def test_a_reviewer_costs_time_and_is_not_always_right() -> None:
    true = [Receipt("anna", (ReceiptLine("cola", 1, 1.0),))]
    wrong = Receipt("anna", (ReceiptLine("cola", 2, 0.4),), "review", ("a", "b"))
    metric = ReceiptMetric(Reviewer(accuracy=0.9, seconds=20.0))
    metric.update(true, [wrong])
    assert (metric.compute().wrong_after_review, metric.compute().review_s) == (pytest.approx(0.1), 40.0)
    metric.update(true, [Receipt("anna", wrong.lines)])
    assert (metric.compute().wrong_after_review, metric.compute().review_s) == (pytest.approx(0.55), 20.0)
    with pytest.raises(InputError, match="accuracy"):
        Reviewer(accuracy=1.5)


def left(by: dict[str, float], probability: float = 1.0, t_end_s: float = 5.0) -> LeftOnFloor:
    return LeftOnFloor(t_end_s - 2, t_end_s, (0.0, -0.4), by, probability)


def test_what_was_left_on_the_floor_is_charged_to_nobody() -> None:
    events = [event(quantity=2), event(shopper="ben"), event(t_s=6.0)]
    on_floor = [left({"anna": 1.0})]
    by_shopper = {r.shopper: r for r in receipts(["anna", "ben"], events, POLICY, left=on_floor)}
    assert by_shopper["anna"].quantities == {"cola": 2}
    assert by_shopper["ben"].quantities == {"cola": 1}
    assert by_shopper["anna"].decision == by_shopper["ben"].decision == "charge"
    assert by_shopper["anna"].confidence == pytest.approx(1.0)


def test_only_who_holds_something_left_something() -> None:
    """Whoever it was, ben had nothing in his hands."""
    carts = Carts()
    carts.add(event())
    said = carts.leave(left({"anna": 0.2, "ben": 0.8}))
    assert carts.units("anna", "cola") == 0
    assert said.right == {"anna": pytest.approx(1.0)}
    assert carts.leave(left({"anna": 1.0})).right == {}
    assert carts.units("anna", "cola") == 0


def test_which_of_two_products_was_left_is_for_a_human_to_say() -> None:
    events = [event(), ShelfEvent(2.0, "pick", "tea", 1, "anna")]
    (receipt,) = receipts(["anna"], events, POLICY, left=[left({"anna": 1.0})])
    assert receipt.quantities == {"cola": 1, "tea": 1}
    assert receipt.confidence == pytest.approx(0.25)  # either line is right with a half
    assert receipt.decision == "review"
    assert receipt.reasons == ("item 0.00 < 0.90: something was left on the floor by 5.0 s",)


def test_everybody_who_may_have_left_it_is_reviewed_and_nobody_else() -> None:
    events = [event(), event(shopper="ben"), event(shopper="cleo")]
    on_floor = [left({"anna": 0.66, "ben": 0.33, "cleo": 0.01}, 0.9)]
    by_shopper = {r.shopper: r for r in receipts(["anna", "ben", "cleo"], events, POLICY, left=on_floor)}
    assert {who: r.decision for who, r in by_shopper.items()} == {
        "anna": "review",
        "ben": "review",
        "cleo": "charge",
    }
    assert by_shopper["anna"].quantities == {}
    assert by_shopper["ben"].confidence == pytest.approx(1 - 0.9 * 0.33)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["cola", "tea"]), st.floats(0.1, 1)), max_size=8
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_cart_loses_as_many_units_as_are_believed_to_lie_on_the_floor(
    picks: list[tuple[str, str, float]], share: float, probability: float
) -> None:
    carts = Carts()
    for who, product, sure in picks:
        carts.add(ShelfEvent(1.0, "pick", product, 1, who, candidates={who: sure}))

    def units() -> float:
        beliefs = [carts.posterior(who, product) for who in "ab" for product in ("cola", "tea")]
        assert all(b.sum() == pytest.approx(1) and (b >= -1e-12).all() for b in beliefs)
        return float(sum(np.arange(len(b)) @ b for b in beliefs))

    before = units()
    said = carts.leave(left({"a": share, "b": 1 - share}, probability))
    assert before - probability - 1e-9 <= units() <= before + 1e-9
    assert all(-1e-9 <= right <= 1 + 1e-9 for right in said.right.values())
