"""The fusion's laws, on shelves small enough to reason about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.events import ShelfEvent, ShelfMoment, WeightStep
from checkout.fusion import Fusion, FusionSettings

WEIGHTS = {"cola": 350.0, "lemonade": 352.0, "water": 520.0, "crisps": 165.0}


def catalog() -> Catalog:
    return Catalog(Product(name, weight, 2.0, 1.0) for name, weight in WEIGHTS.items())


def planogram() -> Planogram:
    facings = []
    for index, name in enumerate(WEIGHTS):
        plates = (f"g1.s1.p{2 * index + 1}", f"g1.s1.p{2 * index + 2}")
        x = 0.2 * index
        facings.append(Facing(f"g1.s1.f{index + 1}", name, plates, (x, 0.0, 1.0), (x + 0.2, 0.4, 1.3)))
    return Planogram(facings)


class HandsAt:
    """Nearness that says the same at all times."""

    def __init__(self, **closeness: float) -> None:
        self._closeness = closeness

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        return self._closeness


def step(grams: float, facing: int, t_s: float = 5.0, sd: float = 1.0) -> WeightStep:
    half = grams / 2
    plates = {f"g1.s1.p{2 * facing - 1}": half, f"g1.s1.p{2 * facing}": half}
    return WeightStep(t_s - 0.2, t_s + 0.2, "g1.s1", grams, sd, plates)


def fusion(*shoppers: str, **closeness: float) -> Fusion:
    return Fusion(catalog(), planogram(), shoppers or ("anna",), HandsAt(**(closeness or {"anna": 1.0})))


def only(events: tuple[ShelfEvent, ...]) -> ShelfEvent:
    assert len(events) == 1
    return events[0]


@pytest.mark.parametrize(("index", "name"), list(enumerate(WEIGHTS, start=1)))
def test_a_fall_of_one_unit_is_a_pick_of_what_stands_there(index: int, name: str) -> None:
    event = only(fusion().explain_step(step(-WEIGHTS[name], index), []).events)
    assert (event.action, event.product, event.quantity, event.shopper) == ("pick", name, 1, "anna")
    assert min(event.item_confidence, event.action_confidence, event.shopper_confidence) > 0.9


@pytest.mark.parametrize("quantity", [2, 3])
def test_several_units_in_one_grab_are_counted(quantity: int) -> None:
    event = only(fusion().explain_step(step(-quantity * WEIGHTS["water"], 3), []).events)
    assert (event.product, event.quantity) == ("water", quantity)


def test_a_lean_on_a_plate_is_no_event() -> None:
    assert fusion().explain_step(step(-9.0, 2), []).events == ()


def test_put_back_on_wrong_shelf_credits_the_shopper() -> None:
    mind = fusion()
    mind.explain_step(step(-WEIGHTS["water"], 3, t_s=2.0), [])
    back = only(mind.explain_step(step(WEIGHTS["water"], 4, t_s=9.0), []).events)
    assert (back.action, back.product, back.facing, back.shopper) == ("put_back", "water", "g1.s1.f4", "anna")


def test_a_misplaced_item_that_is_picked_later_is_charged_as_what_it_is() -> None:
    mind = fusion()
    mind.explain_step(step(-WEIGHTS["water"], 3, t_s=2.0), [])
    mind.explain_step(step(WEIGHTS["water"], 4, t_s=9.0), [])
    later = only(mind.explain_step(step(-WEIGHTS["water"], 4, t_s=20.0), []).events)
    assert (later.action, later.product) == ("pick", "water")
    assert later.item_confidence > 0.9


def test_a_put_back_that_may_have_been_a_look_alike_leaves_the_next_pick_in_doubt() -> None:
    """Cola and lemonade weigh nearly the same; whoever holds both may have put either back at the cola."""
    mind = fusion()
    mind.explain_step(step(-WEIGHTS["cola"], 1, t_s=1.0), [])
    mind.explain_step(step(-WEIGHTS["lemonade"], 2, t_s=3.0), [])
    back = only(mind.explain_step(step(351.0, 1, t_s=6.0), []).events)
    taken = only(mind.explain_step(step(-351.0, 1, t_s=9.0), []).events)
    assert back.product == taken.product == "cola"
    assert back.item_confidence < 0.98
    assert taken.item_confidence < 0.98


def test_a_put_back_comes_from_the_cart_that_holds_the_product() -> None:
    mind = fusion("anna", "ben", anna=1.0, ben=0.0)
    mind.explain_step(step(-WEIGHTS["water"], 3, t_s=2.0), [])
    mind._nearness = HandsAt(anna=0.5, ben=0.6)
    back = only(mind.explain_step(step(WEIGHTS["water"], 3, t_s=9.0), []).events)
    assert back.shopper == "anna"


def test_two_hands_at_one_place_leave_the_shopper_in_doubt() -> None:
    event = only(fusion("anna", "ben", anna=0.9, ben=0.8).explain_step(step(-350.0, 1), []).events)
    assert 0.4 < event.shopper_confidence < 0.7
    assert event.action_confidence > 0.9


def test_without_any_sight_every_shopper_is_equally_likely() -> None:
    mind = Fusion(catalog(), planogram(), ("anna", "ben", "cleo"), None)
    event = only(mind.explain_step(step(-350.0, 1), []).events)
    assert event.shopper_confidence == pytest.approx(1 / 3)


def test_two_products_in_one_step_become_two_events() -> None:
    plates = {"g1.s1.p5": -260.0, "g1.s1.p6": -260.0, "g1.s1.p7": -82.0, "g1.s1.p8": -83.0}
    events = fusion().explain_step(WeightStep(4.8, 5.2, "g1.s1", -685.0, 1.5, plates), []).events
    assert {(e.product, e.quantity) for e in events} == {("water", 1), ("crisps", 1)}


def test_the_place_tells_same_weight_neighbours_apart() -> None:
    for index, name in ((1, "cola"), (2, "lemonade")):
        event = only(fusion().explain_step(step(-351.0, index), []).events)
        assert event.product == name


def test_a_noisier_step_is_never_surer_of_its_item() -> None:
    """Between one heavy product and two light ones, more noise cannot make the item clearer."""
    confidences = [
        only(fusion().explain_step(step(-340.0, 4, sd=sd), []).events).item_confidence
        for sd in (1.0, 10.0, 60.0)
    ]
    assert confidences == sorted(confidences, reverse=True)


@given(
    grams=st.floats(-1500, 1500).filter(lambda g: abs(g) > 1), facing=st.integers(1, 4), sd=st.floats(0.3, 30)
)
@settings(max_examples=60, deadline=None)
def test_probabilities_of_all_explanations_sum_to_at_most_one(grams: float, facing: int, sd: float) -> None:
    explanation = fusion().explain_step(step(grams, facing, sd=sd), [])
    assert 0 < sum(h.probability for h in explanation.hypotheses) <= 1 + 1e-9
    for event in explanation.events:
        assert sum(event.candidates.values()) == pytest.approx(1.0)
        assert 0 <= event.lowest_confidence <= 1


def test_settings_are_probabilities_that_sum_to_one() -> None:
    assert sum(FusionSettings().quantity) == pytest.approx(1.0)


def moment(facing: dict[str, float], action: dict[str, float], camera: str = "cam0") -> ShelfMoment:
    return ShelfMoment(4.7, 5.3, camera, facing, action, {"anna": 0.9, "ben": 0.1})


def test_a_camera_settles_which_of_two_same_weight_products_it_was() -> None:
    """The item stood across both facings, so the plates alone cannot say."""
    plates = {"g1.s1.p2": -176.0, "g1.s1.p3": -175.0}
    undecided = WeightStep(4.8, 5.2, "g1.s1", -351.0, 1.0, plates)
    pick = {"pick": 0.9, "put_back": 0.05, "touch": 0.05}
    for facing, name in (("g1.s1.f1", "cola"), ("g1.s1.f2", "lemonade")):
        blind = fusion("anna", "ben", anna=1.0).explain_step(undecided, [])
        seen = fusion("anna", "ben", anna=1.0).explain_step(undecided, [moment({facing: 0.98}, pick)])
        assert only(seen.events).product == name
        assert only(seen.events).item_confidence > only(blind.events).item_confidence


def test_vision_alone_turns_a_moment_into_an_event() -> None:
    mind = fusion("anna", "ben")
    sure = {"pick": 0.8, "put_back": 0.1, "touch": 0.1}
    event = only(mind.explain_moments([moment({"g1.s1.f3": 0.7, "g1.s1.f4": 0.3}, sure)]).events)
    assert (event.action, event.product, event.shopper) == ("pick", "water", "anna")
    assert event.item_confidence == pytest.approx(0.7)


def test_vision_alone_leaves_a_touch_alone() -> None:
    touch = {"pick": 0.2, "put_back": 0.1, "touch": 0.7}
    assert fusion().explain_moments([moment({"g1.s1.f1": 1.0}, touch)]).events == ()


def test_nobody_is_charged_with_confidence_when_nobody_is_known() -> None:
    mind = Fusion(catalog(), planogram(), [], None)
    event = only(mind.explain_step(step(-350.0, 1), []).events)
    assert (event.shopper, event.shopper_confidence) == ("unknown", 0.0)


def test_staff_put_back_what_no_cart_holds() -> None:
    restocking = step(WEIGHTS["cola"], 1)
    mind = Fusion(catalog(), planogram(), ["anna", "crew"], HandsAt(anna=0.5, crew=0.5), staff=["crew"])
    assert only(mind.explain_step(restocking, []).events).candidates["crew"] > 0.9
    mind = Fusion(catalog(), planogram(), ["anna", "ben"], HandsAt(anna=0.5, ben=0.5))
    assert only(mind.explain_step(restocking, []).events).candidates["ben"] == pytest.approx(0.5)


def test_an_event_lasts_while_the_hand_that_a_camera_saw_is_there() -> None:
    pick = {"pick": 0.9, "put_back": 0.05, "touch": 0.05}
    there = ShelfMoment(4.3, 5.4, "cam0", {"g1.s1.f3": 0.9, "g1.s1.f2": 0.1}, pick, {"anna": 1.0})
    later = ShelfMoment(5.6, 6.4, "cam0", {"g1.s1.f3": 0.9, "g1.s1.f2": 0.1}, pick, {"anna": 1.0})
    beside = ShelfMoment(4.9, 5.1, "cam0", {"g1.s1.f2": 0.9, "g1.s1.f3": 0.1}, pick, {"anna": 1.0})
    event = only(fusion().explain_step(step(-520.0, 3), [there, later, beside]).events)
    assert (event.t_s, event.t_start_s, event.t_end_s) == (5.0, 4.3, 5.4)


def test_an_event_that_no_camera_saw_lasts_a_usual_reach() -> None:
    event = only(fusion().explain_step(step(-520.0, 3), []).events)
    assert (event.t_start_s, event.t_end_s) == pytest.approx((4.3, 5.7))
