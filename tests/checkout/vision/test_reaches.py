"""What a reach was: where the hand was, what changed there, and what it held, weighed together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.vision.reaches import ACTIONS, Reach, explanations, moments_of, person_of, share_changes
from checkout.vision.shelf_moments import Sign

STILL = Sign(np.array([0.9, 0.05, 0.05]), 0.0, 1.5, 6.0)
GONE = Sign(np.array([0.05, 0.9, 0.05]), 1.0, 1.5, 6.0)
COME = Sign(np.array([0.05, 0.05, 0.9]), -1.0, 1.5, 6.0)
unit = st.floats(0.01, 1.0)
shares = st.tuples(unit, unit, unit).map(lambda p: np.array(p) / sum(p))
signs = st.builds(Sign, shares, st.floats(-2, 2), st.just(1.5), st.just(6.0))


def reach(
    facing: dict[str, float], seen: dict[str, tuple[Sign, ...]], held: tuple[float, float] = (0.0, 0.0)
) -> Reach:
    return Reach(2.0, 2.6, 0.6, np.zeros(3), 0.1, facing, *held, {"anna": 0.9, "ben": 0.1}, ("cam0",), seen)


@given(unit, unit, st.lists(signs, max_size=2), st.lists(signs, max_size=2), unit, unit)
def test_explanations_are_a_probability(
    p: float, q: float, left: list[Sign], right: list[Sign], before: float, after: float
) -> None:
    found = explanations(reach({"l": p, "r": q}, {"l": tuple(left), "r": tuple(right)}, (before, after)))
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == {(f, a) for f in "lr" for a in ACTIONS}


def test_what_changed_outweighs_where_the_hand_seemed_to_be() -> None:
    """The hand looked nearer to the left facing, but an item went away from the right one."""
    found = explanations(reach({"l": 0.6, "r": 0.4}, {"l": (STILL,), "r": (GONE, GONE)}, (0.0, 0.9)))
    assert max(found, key=found.__getitem__) == ("r", "pick")


def test_an_item_more_and_a_hand_that_left_empty_is_a_put_back() -> None:
    found = explanations(reach({"l": 1.0}, {"l": (COME, COME)}, (0.9, 0.0)))
    assert found["l", "put_back"] > 0.8


def test_an_empty_hand_that_changed_nothing_touched() -> None:
    found = explanations(reach({"l": 1.0}, {"l": (STILL, STILL)}))
    assert max(found, key=found.__getitem__) == ("l", "touch")


@given(st.floats(0, 1), st.floats(0, 1))
def test_picks_and_put_backs_are_each_others_mirror_image(before: float, after: float) -> None:
    forth = explanations(reach({"l": 1.0}, {"l": (GONE,)}, (before, after)))
    back = explanations(reach({"l": 1.0}, {"l": (COME,)}, (after, before)))
    assert forth["l", "pick"] == pytest.approx(back["l", "put_back"])


def test_one_reach_seen_as_two_hands_is_one_moment_with_its_shopper() -> None:
    twice = [reach({"l": 0.9, "r": 0.1}, {"l": (GONE,)}), reach({"l": 0.8, "r": 0.2}, {"l": (GONE,)})]
    (moment,) = moments_of(twice, {"anna": "s1", "ben": "s2"})
    assert moment.shopper == pytest.approx({"s1": 0.9, "s2": 0.1})
    assert sum(moment.facing.values()) == pytest.approx(1.0)
    assert sum(moment.action.values()) == pytest.approx(1.0)


def test_of_one_act_seen_as_several_the_longest_seen_by_most_stands() -> None:
    brief = replace(reach({"l": 1.0}, {"l": (GONE,)}), t_start_s=2.0, stay_s=0.1)
    whole = replace(brief, t_start_s=2.2, stay_s=0.6)
    both = replace(brief, t_start_s=2.3, cameras=("cam0", "cam1"))
    shoppers = {"anna": "s1", "ben": "s2"}
    for seen, stands in (([brief, whole], whole), ([brief, whole, both], both)):
        (moment,) = moments_of(seen, shoppers)
        assert moment.t_start_s == stands.t_start_s


def test_what_changed_is_shared_by_those_who_reached_there_meanwhile() -> None:
    first = reach({"l": 0.9, "r": 0.1}, {"l": (GONE, STILL), "r": (STILL,)})
    later = replace(first, t_start_s=4.0, t_end_s=4.6, facing={"l": 0.3, "r": 0.7}, signs={})
    after = replace(later, t_start_s=7.0, t_end_s=7.6)
    again = replace(first, t_start_s=2.2)
    one = share_changes([after, first, again, later])
    assert [r.t_start_s for r in one] == [2.0, 2.2, 4.0, 7.0]
    gone, still = one[0].signs["l"]
    assert 1 - gone.change[0] == pytest.approx(0.95 * 0.9 / 1.2)
    assert gone.change[1] / gone.change[2] == pytest.approx(18)
    assert gone.change.sum() == pytest.approx(1)
    assert gone.items_gone == pytest.approx(0.9 / 1.2)
    # That nothing changed may be because one took and the other put back: it says as much less.
    odds = still.change[0] / (1 - still.change[0])
    assert np.log(odds) == pytest.approx(np.log(9) * 0.9 / 1.2)
    assert still.change[1:] == pytest.approx(np.full(2, 0.5 * (1 - still.change[0])))
    (alone,) = share_changes([first])
    assert alone.signs["l"][0].change == pytest.approx(GONE.change)
    assert alone.signs["l"][1].change == pytest.approx(STILL.change)


def test_the_body_settles_between_two_who_stand_alike() -> None:
    standing = {"anna": 0.5, "ben": 0.5}
    alike = replace(reach({"l": 1.0}, {}), owner={"anna": 0.5, "ben": 0.5}, standing=standing)
    assert person_of(alike)["anna"] == pytest.approx(0.5)
    armed = replace(alike, body={"anna": np.log(0.05), "ben": np.log(0.95)})
    assert person_of(armed)["ben"] > 0.55
    assert sum(person_of(armed).values()) == pytest.approx(1.0)
    assert person_of(replace(alike, standing={})) == alike.owner
    stands = replace(alike, standing={"anna": 0.9, "ben": 0.1})
    assert person_of(stands)["anna"] == pytest.approx(0.9, abs=0.05)
    far = replace(armed, standing={**standing, "cleo": 0.0})
    assert person_of(far)["cleo"] < 0.1


def test_where_the_hand_is_seen_settles_between_two_facings() -> None:
    blurred = reach({"l": 0.5, "r": 0.5}, {})
    seen = replace(blurred, place={"l": np.log(0.02), "r": np.log(0.98)})
    share = {f: sum(p for (name, _), p in explanations(seen).items() if name == f) for f in "lr"}
    assert share["r"] > 2 * share["l"]
    # A facing that the second look was not asked about is no likelier than the unlikeliest that it was.
    wide = replace(seen, facing={"l": 0.34, "r": 0.33, "far": 0.33})
    told = {f: sum(p for (name, _), p in explanations(wide).items() if name == f) for f in ("l", "far")}
    assert told["far"] <= told["l"]
