"""Carts add up, and the policy sends exactly the doubtful sales to a human."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.cart import Carts, receipts
from checkout.errors import InputError
from checkout.events import Action, ShelfEvent
from checkout.review import ReviewPolicy

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
