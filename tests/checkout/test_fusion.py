"""The fusion's laws, on shelves small enough to reason about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.events import ShelfEvent, ShelfMoment, WeightStep
from checkout.fusion import Fusion, FusionSettings, distinct

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


class HandsByTime:
    """Nearness that says something of its own around some times, and the same at all others."""

    def __init__(self, at: dict[float, dict[str, float]], **else_: float) -> None:
        self._at, self._else = at, else_

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> dict[str, float]:
        return next((who for t_s, who in self._at.items() if t_start_s <= t_s <= t_end_s), self._else)


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


def events(mind: Fusion, *steps: WeightStep, moments: Sequence[ShelfMoment] = ()) -> list[ShelfEvent]:
    """The events of some steps, in time order."""
    found = [e for x in mind.explain(steps, moments) for e in x.events]
    return sorted(found, key=lambda e: e.t_s)


def only(found: Sequence[ShelfEvent]) -> ShelfEvent:
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("index", "name"), list(enumerate(WEIGHTS, start=1)))
def test_a_fall_of_one_unit_is_a_pick_of_what_stands_there(index: int, name: str) -> None:
    event = only(events(fusion(), step(-WEIGHTS[name], index)))
    assert (event.action, event.product, event.quantity, event.shopper) == ("pick", name, 1, "anna")
    assert min(event.item_confidence, event.action_confidence, event.shopper_confidence) > 0.9


@pytest.mark.parametrize("quantity", [2, 3])
def test_several_units_in_one_grab_are_counted(quantity: int) -> None:
    event = only(events(fusion(), step(-quantity * WEIGHTS["water"], 3)))
    assert (event.product, event.quantity) == ("water", quantity)


def test_a_lean_on_a_plate_is_no_event() -> None:
    assert events(fusion(), step(-9.0, 2)) == []


def test_put_back_on_wrong_shelf_credits_the_shopper() -> None:
    _, back = events(fusion(), step(-WEIGHTS["water"], 3, t_s=2.0), step(WEIGHTS["water"], 4, t_s=9.0))
    assert (back.action, back.product, back.facing, back.shopper) == ("put_back", "water", "g1.s1.f4", "anna")


def test_a_misplaced_item_that_is_picked_later_is_charged_as_what_it_is() -> None:
    steps = [
        step(sign * WEIGHTS["water"], f, t_s=t) for sign, f, t in ((-1, 3, 2.0), (1, 4, 9.0), (-1, 4, 20.0))
    ]
    *_, later = events(fusion(), *steps)
    assert (later.action, later.product) == ("pick", "water")
    assert later.item_confidence > 0.9


def test_a_unit_that_comes_back_is_known_by_its_own_weight() -> None:
    """Cola and lemonade weigh nearly the same, but one of the two that were taken weighs what comes back."""
    for first, second, back in ((346.0, 356.0, "cola"), (354.0, 348.0, "lemonade")):
        steps = [step(-first, 1, t_s=1.0, sd=0.3), step(-second, 2, t_s=3.0, sd=0.3)]
        *_, left = events(fusion(), *steps, step(first if back == "cola" else second, 4, t_s=20.0, sd=0.3))
        assert (left.product, left.action) == (back, "put_back")
        assert left.item_confidence > 0.9


def test_a_put_back_that_may_have_been_a_look_alike_leaves_the_next_pick_in_doubt() -> None:
    """Cola and lemonade weigh nearly the same; whoever holds both may have put either back at the cola."""
    taken = [step(-WEIGHTS["cola"], 1, t_s=1.0), step(-WEIGHTS["lemonade"], 2, t_s=3.0)]
    *_, back, again = events(fusion(), *taken, step(351.0, 1, t_s=12.0), step(-351.0, 1, t_s=19.0))
    assert back.product == again.product == "cola"
    assert back.item_confidence < 0.99
    assert again.item_confidence < 0.99


def test_a_put_back_comes_from_the_cart_that_holds_the_product() -> None:
    taken = step(-WEIGHTS["water"], 3, t_s=2.0)
    mind = Fusion(
        catalog(), planogram(), ("anna", "ben"), HandsByTime({2.0: {"anna": 1.0}}, anna=0.5, ben=0.6)
    )
    _, back = events(mind, taken, step(WEIGHTS["water"], 3, t_s=9.0))
    assert back.shopper == "anna"


def test_a_put_back_later_settles_who_had_taken_it() -> None:
    """Two hands were there when the water was taken; only ben's was when it came back."""
    unsure = {"anna": 0.6, "ben": 0.5}
    taken, back = step(-WEIGHTS["water"], 3, t_s=2.0), step(WEIGHTS["water"], 3, t_s=9.0)
    nearness = HandsByTime({2.0: unsure, 9.0: {"ben": 1.0}})
    before = only(events(Fusion(catalog(), planogram(), ("anna", "ben"), nearness), taken))
    after, _ = events(Fusion(catalog(), planogram(), ("anna", "ben"), nearness), taken, back)
    assert (before.shopper, after.shopper) == ("anna", "ben")
    assert after.shopper_confidence > 0.9


def test_two_hands_at_one_place_leave_the_shopper_in_doubt() -> None:
    event = only(events(fusion("anna", "ben", anna=0.9, ben=0.8), step(-350.0, 1)))
    assert 0.4 < event.shopper_confidence < 0.7
    assert event.action_confidence > 0.9


def test_one_pair_of_hands_does_not_take_two_things_at_one_time() -> None:
    """Either of two people may have done either; that both were the likelier one's is ruled out."""
    together = (step(-350.0, 1, t_s=5.0), step(-165.0, 4, t_s=5.2))
    first, _ = events(fusion("anna", "ben", anna=0.6, ben=0.4), *together)
    assert first.candidates["anna"] == pytest.approx(0.5, abs=0.1)
    apart = (step(-350.0, 1, t_s=5.0), step(-165.0, 4, t_s=9.0))
    for event in events(fusion("anna", "ben", anna=0.6, ben=0.4), *apart):
        assert event.candidates["anna"] == pytest.approx(0.6, abs=0.02)
    two = Fusion(
        catalog(), planogram(), ["anna", "ben"], HandsAt(anna=0.6, ben=0.4), people={"anna": 2, "ben": 1}
    )
    assert events(two, *together)[0].candidates["anna"] > first.candidates["anna"]


def test_without_any_sight_every_shopper_is_equally_likely() -> None:
    mind = Fusion(catalog(), planogram(), ("anna", "ben", "cleo"), None)
    event = only(events(mind, step(-350.0, 1)))
    assert event.shopper_confidence == pytest.approx(1 / 3)


def test_two_products_in_one_step_become_two_events() -> None:
    plates = {"g1.s1.p5": -260.0, "g1.s1.p6": -260.0, "g1.s1.p7": -82.0, "g1.s1.p8": -83.0}
    found = events(fusion(), WeightStep(4.8, 5.2, "g1.s1", -685.0, 1.5, plates))
    assert {(e.product, e.quantity) for e in found} == {("water", 1), ("crisps", 1)}


def test_a_unit_that_lands_in_two_steps_is_one_event() -> None:
    taken = step(-WEIGHTS["water"], 3, t_s=1.0)
    landing = [
        WeightStep(4.9, 5.0, "g1.s1", 90.0, 1.0, {"g1.s1.p5": 90.0}),
        WeightStep(5.3, 5.4, "g1.s1", 430.0, 1.0, {"g1.s1.p5": 180.0, "g1.s1.p6": 250.0}),
    ]
    _, back = events(fusion(), taken, *landing)
    assert (back.action, back.product, back.quantity) == ("put_back", "water", 1)


def test_two_overlapping_grabs_are_explained_by_their_sum() -> None:
    """The level between two quick picks at one facing is read wrong; their sum is not."""
    first, second = step(-480.0, 3, t_s=5.0), step(-560.0, 3, t_s=5.6)
    found = events(fusion("anna", "ben", anna=0.5, ben=0.5), first, second)
    assert [(e.product, e.quantity) for e in found] == [("water", 1), ("water", 1)]
    assert [e.t_s for e in found] == pytest.approx([5.0, 5.6])


def test_steps_overlap_by_how_long_the_load_was_held_between_them() -> None:
    """A lean soon after a put-back leaves a moment to read the level in, however late the item is lifted."""

    def pick(lean_s: float) -> ShelfEvent:
        lifted = WeightStep(lean_s, 7.0, "g1.s1", -560.0, 1.0, {"g1.s1.p5": -280.0, "g1.s1.p6": -280.0}, 6.95)
        *_, last = events(fusion(), step(-520.0, 3, 1.0), step(480.0, 3, 5.0), lifted)
        assert (last.action, last.product, last.t_s) == ("pick", "water", 6.95)
        return last

    moment, longer, whole = (pick(lean_s) for lean_s in (5.3, 6.6, 6.9))
    assert 0.9 < moment.action_confidence < longer.action_confidence
    assert longer.action_confidence == pytest.approx(whole.action_confidence)


def test_the_place_tells_same_weight_neighbours_apart() -> None:
    for index, name in ((1, "cola"), (2, "lemonade")):
        event = only(events(fusion(), step(-351.0, index)))
        assert event.product == name


def test_a_noisier_step_is_never_surer_of_its_item() -> None:
    """Between one heavy product and two light ones, more noise cannot make the item clearer."""
    confidences = [only(events(fusion(), step(-340.0, 4, sd=sd))).item_confidence for sd in (1.0, 10.0, 60.0)]
    assert confidences == sorted(confidences, reverse=True)


@given(
    changes=st.lists(
        st.tuples(
            st.floats(-1500, 1500).filter(lambda g: abs(g) > 1), st.integers(1, 4), st.floats(0.1, 3.0)
        ),
        min_size=1,
        max_size=5,
    ),
    sd=st.floats(0.3, 30),
)
@settings(max_examples=60, deadline=None)
def test_probabilities_sum_to_one(changes: list[tuple[float, int, float]], sd: float) -> None:
    t_s, steps = 1.0, []
    for grams, facing, pause in changes:
        t_s += pause
        steps.append(step(grams, facing, t_s=t_s, sd=sd))
    for explanation in fusion("anna", "ben", anna=0.7, ben=0.4).explain(steps, []):
        assert sum(h.probability for h in explanation.hypotheses) <= 1 + 1e-9
        assert sum(h.probability for h in explanation.hypotheses) > 0.9
        for event in explanation.events:
            assert sum(event.candidates.values()) == pytest.approx(1.0)
            assert 0 <= event.lowest_confidence <= 1


def test_more_evidence_never_lowers_the_truths_expected_posterior() -> None:
    """Truth drawn from the model itself, in half a grab of cola and else of lemonade, in a gap between both.

    The plates' share says little, so a camera that is right as often as it claims must help on average.
    """
    rng = np.random.default_rng(4)
    blind, seen = [], []
    pick = {"pick": 0.9, "put_back": 0.05, "touch": 0.05}
    for _ in range(300):
        facing, name, mean = (1, "cola", 350.0) if rng.uniform() < 0.5 else (2, "lemonade", 352.0)
        grams = rng.normal(mean, 2.0) + rng.normal(0.0, 1.0)
        plates = {"g1.s1.p2": -grams / 2, "g1.s1.p3": -grams / 2}
        between = WeightStep(4.8, 5.2, "g1.s1", -grams, 1.0, plates)
        says = facing if rng.uniform() < 0.8 else 3 - facing
        sight = moment({f"g1.s1.f{says}": 0.8, f"g1.s1.f{3 - says}": 0.2}, pick)
        for moments, found in (((), blind), ((sight,), seen)):
            explanation = only(fusion().explain([between], moments))  # type: ignore[type-var]
            found.append(
                sum(h.probability for h in explanation.hypotheses if h.parts and h.parts[0].product == name)
            )
    gain = np.array(seen) - np.array(blind)
    assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_units_are_conserved(visits: list[tuple[int, int]]) -> None:
    """Whatever is taken and brought back whole leaves empty carts: picks and put-backs of each product balance."""
    names = list(WEIGHTS)
    steps, t_s = [], 0.0
    for facing, quantity in visits:
        for sign in (-1, 1):
            t_s += 5.0
            steps.append(step(sign * quantity * WEIGHTS[names[facing - 1]], facing, t_s=t_s, sd=0.5))
    units: dict[str, int] = {}
    for event in events(fusion(), *steps):
        units[event.product] = units.get(event.product, 0) + event.units
    assert not any(units.values())


def test_the_work_for_an_event_is_bounded() -> None:
    """A long and doubtful stream is followed in the same number of stories all along."""
    mind = fusion("anna", "ben", anna=0.5, ben=0.5)
    steps = [step((-1) ** (i // 2 + 1) * 351.0, 1 + i % 2, t_s=4.0 * i, sd=3.0) for i in range(60)]
    assert len(mind.explain(steps, [])) == 60


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
        blind = only(events(fusion("anna", "ben", anna=1.0), undecided))
        seen = only(
            events(fusion("anna", "ben", anna=1.0), undecided, moments=[moment({facing: 0.98}, pick)])
        )
        assert seen.product == name
        assert seen.item_confidence > blind.item_confidence


def alone(mind: Fusion, *moments: ShelfMoment) -> list[ShelfEvent]:
    return [e for x in mind.explain([], moments, moments) for e in x.events]


def test_vision_alone_turns_a_moment_into_an_event() -> None:
    sure = {"pick": 0.8, "put_back": 0.1, "touch": 0.1}
    event = only(alone(fusion("anna", "ben"), moment({"g1.s1.f3": 0.7, "g1.s1.f4": 0.3}, sure)))
    assert (event.action, event.product, event.shopper) == ("pick", "water", "anna")
    assert event.item_confidence == pytest.approx(0.7, abs=0.02)


def test_vision_alone_leaves_a_touch_alone() -> None:
    touch = {"pick": 0.2, "put_back": 0.1, "touch": 0.7}
    assert alone(fusion(), moment({"g1.s1.f1": 1.0}, touch)) == []


def test_vision_alone_believes_a_put_back_more_when_the_cart_holds_the_product() -> None:
    taken = ShelfMoment(
        1.0, 1.6, "cam0", {"g1.s1.f3": 1.0}, {"pick": 0.9, "put_back": 0.05, "touch": 0.05}, {"anna": 1.0}
    )
    unsure = ShelfMoment(
        5.0, 5.6, "cam0", {"g1.s1.f3": 1.0}, {"pick": 0.2, "put_back": 0.4, "touch": 0.4}, {"anna": 1.0}
    )
    _, back = alone(fusion(), taken, unsure)
    assert (back.action, back.product) == ("put_back", "water")


def test_nobody_is_charged_with_confidence_when_nobody_is_known() -> None:
    mind = Fusion(catalog(), planogram(), [], None)
    event = only(events(mind, step(-350.0, 1)))
    assert (event.shopper, event.shopper_confidence) == ("unknown", 0.0)


def test_staff_put_back_what_no_cart_holds() -> None:
    restocking = step(WEIGHTS["cola"], 1)
    mind = Fusion(catalog(), planogram(), ["anna", "crew"], HandsAt(anna=0.5, crew=0.5), staff=["crew"])
    assert only(events(mind, restocking)).candidates["crew"] > 0.9
    mind = Fusion(catalog(), planogram(), ["anna", "ben"], HandsAt(anna=0.5, ben=0.5))
    assert only(events(mind, restocking)).candidates["ben"] == pytest.approx(0.5)


def test_an_event_lasts_while_the_hand_that_a_camera_saw_is_there() -> None:
    pick = {"pick": 0.9, "put_back": 0.05, "touch": 0.05}
    there = ShelfMoment(4.3, 5.4, "cam0", {"g1.s1.f3": 0.9, "g1.s1.f2": 0.1}, pick, {"anna": 1.0})
    later = ShelfMoment(5.6, 6.4, "cam0", {"g1.s1.f3": 0.9, "g1.s1.f2": 0.1}, pick, {"anna": 1.0})
    beside = ShelfMoment(4.9, 5.1, "cam0", {"g1.s1.f2": 0.9, "g1.s1.f3": 0.1}, pick, {"anna": 1.0})
    event = only(events(fusion(), step(-520.0, 3), moments=[there, later, beside]))
    assert (event.t_s, event.t_start_s, event.t_end_s) == (5.0, 4.3, 5.4)


def test_a_hand_that_lingers_tells_when_the_event_was() -> None:
    pick = {"pick": 0.9, "put_back": 0.05, "touch": 0.05}
    lingering = ShelfMoment(2.0, 5.6, "cam0", {"g1.s1.f3": 1.0}, pick, {"anna": 1.0})
    event = only(events(fusion(), step(-520.0, 3), moments=[lingering]))
    assert event.t_s == pytest.approx(3.8)


def test_an_event_that_no_camera_saw_lasts_a_usual_reach() -> None:
    event = only(events(fusion(), step(-520.0, 3)))
    assert (event.t_start_s, event.t_end_s) == pytest.approx((4.3, 5.7))


def test_an_act_seen_twice_at_one_facing_is_one_moment() -> None:
    def moment(t_s: float, facing: str, touch: float) -> ShelfMoment:
        return ShelfMoment(
            t_s - 0.3, t_s + 0.3, "cam0", {facing: 0.8, "g1.s1.f9": 0.2}, {"pick": 1 - touch, "touch": touch}
        )

    sure, again, beside, later = (
        moment(2.0, "g1.s1.f1", 0.1),
        moment(2.9, "g1.s1.f1", 0.4),
        moment(2.4, "g1.s1.f2", 0.5),
        moment(3.3, "g1.s1.f1", 0.2),
    )
    kept = distinct([again, beside, later, sure], 1.2, 0.6)
    assert sorted(kept, key=lambda m: m.t_s) == [sure, beside, later]
    assert len(distinct([again, beside, later, sure], 0.0, 0.0)) == 4
    anna, ben = {"s1": 0.9, "s2": 0.1}, {"s1": 0.1, "s2": 0.9}
    for whose, kept_of_both in ((anna, 1), (ben, 2)):
        both = [replace(sure, shopper=anna), replace(again, shopper=whose)]
        assert len(distinct(both, 1.2, 0.6)) == kept_of_both
        assert len(distinct(both, 1.2, 1.2)) == 1
