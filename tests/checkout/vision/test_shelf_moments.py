"""Shelf moments on pictures drawn by hand: a dark item on a bright shelf, and a hand that comes and goes."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.events import ShelfMoment
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.shelf_moments import HoldingJudge, Looks, MomentFinder, discover_places, holding_score
from checkout.vision.tracks import HandSighting

LEFT, RIGHT = (100.0, 100.0, 160.0, 200.0), (300.0, 100.0, 360.0, 200.0)
Box = tuple[float, float, float, float]


def detections(**found: list[Box]) -> Detections:
    rows = [(box, CLASSES.index(label)) for label, boxes in found.items() for box in boxes]
    xyxy = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(rows), 0.9, np.float32), np.array([label for _, label in rows], int))


def play(
    before: list[Box], after: list[Box], hand_at: Box, held: tuple[float, float] = (0.0, 0.0)
) -> list[ShelfMoment]:
    """Two seconds of shelf, one of a hand, two of shelf, at 10 frames a second."""
    finder = MomentFinder("cam0", {"left": LEFT, "right": RIGHT})
    moments = []
    for frame in range(50):
        t_s, there = frame / 10, 20 <= frame < 30
        items = before if frame < 25 else after
        image = np.full((360, 640, 3), 230, np.uint8)
        for x1, y1, x2, y2 in items:
            image[int(y1) : int(y2), int(x1) : int(x2)] = 60
        hands = []
        if there:
            score = held[0] if frame < 25 else held[1]
            hands = [HandSighting("cam0", t_s, 1, hand_at, 0.9, {"anna": 0.8, "ben": 0.2}, score)]
        found = detections(item=items, hand=[hand_at] if there else [])
        moments += finder.update(t_s, image, found, hands)
    return moments + finder.flush()


def only(moments: list[ShelfMoment]) -> ShelfMoment:
    assert len(moments) == 1
    return moments[0]


@pytest.mark.parametrize(("place", "box"), [("left", LEFT), ("right", RIGHT)])
def test_an_item_that_is_gone_afterwards_was_picked(place: str, box: Box) -> None:
    rest = [b for b in (LEFT, RIGHT) if b != box]
    moment = only(play([LEFT, RIGHT], rest, box))
    assert max(moment.facing, key=moment.facing.__getitem__) == place
    assert moment.action["pick"] > 0.8
    assert 2.0 <= moment.t_s <= 3.0
    assert moment.shopper["anna"] == pytest.approx(0.8)


def test_an_item_that_is_there_afterwards_was_put_back() -> None:
    moment = only(play([RIGHT], [LEFT, RIGHT], LEFT))
    assert moment.action["put_back"] > 0.8


def test_a_hand_that_changes_nothing_touched() -> None:
    moment = only(play([LEFT, RIGHT], [LEFT, RIGHT], LEFT))
    assert moment.action["touch"] > 0.6


def test_every_probability_sums_to_one() -> None:
    moment = only(play([LEFT, RIGHT], [RIGHT], LEFT))
    for view in (moment.facing, moment.action, moment.shopper):
        assert sum(view.values()) == pytest.approx(1.0)


def test_no_hand_no_moment() -> None:
    assert play([LEFT], [LEFT], (500.0, 10.0, 520.0, 30.0)) == []


def test_a_moving_item_at_the_hand_is_held_and_a_standing_one_is_not() -> None:
    judge = HoldingJudge()
    hand = np.array([200.0, 200.0, 230.0, 230.0])
    for frame in range(30):
        x = 10.0 * frame
        items = detections(item=[(205.0, 215.0, 235.0, 245.0), (x, 10.0, x + 30, 40.0)])
        moving = judge.update(frame / 10, items)
    assert moving.tolist() == [False, True]
    assert holding_score(hand, items, moving) == 0.0
    assert holding_score(np.array([x, 5.0, x + 30, 35.0]), items, moving) == pytest.approx(0.9)


def test_places_are_where_items_stand_still() -> None:
    frames = [detections(item=[LEFT, RIGHT, (5.0 * i, 300.0, 5.0 * i + 30, 330.0)]) for i in range(40)]
    places = discover_places(frames, [i / 10 for i in range(40)])
    assert list(places) == ["place-1", "place-2"]
    assert places["place-1"] == pytest.approx(LEFT)


def test_a_hand_that_takes_a_tall_thing_by_its_top_is_at_its_place() -> None:
    above = (100.0, 20.0, 160.0, 80.0)
    moment = only(play([LEFT, RIGHT], [RIGHT], above))
    assert max(moment.facing, key=moment.facing.__getitem__) == "left"
    assert moment.action["pick"] > 0.8


def test_a_hand_far_from_every_place_is_at_none() -> None:
    assert play([LEFT, RIGHT], [LEFT, RIGHT], (500.0, 10.0, 540.0, 50.0)) == []


def test_looks_tell_what_went_away_and_forget() -> None:
    looks = Looks({"left": LEFT})
    bright, dark = np.full((360, 640, 3), 230, np.uint8), np.full((360, 640, 3), 230, np.uint8)
    dark[100:200, 100:160] = 60
    for frame in range(40):
        there = frame < 20
        looks.update(frame / 10, dark if there else bright, detections(item=[LEFT] if there else []))
    sign = looks.sign("left", 1.8, 2.2)
    assert sign is not None
    assert sign.items_gone == 1
    assert sign.front_back > 0.5
    assert looks.sign("left", 3.0, 9.0) is None
    assert looks.sign("right", 1.8, 2.2) is None
    for frame in range(40, 160):
        looks.update(frame / 10, bright, detections())
    assert looks.sign("left", 1.8, 2.2) is None


def test_a_place_behind_a_hand_is_not_looked_at() -> None:
    looks = Looks({"left": LEFT})
    image = np.full((360, 640, 3), 230, np.uint8)
    for frame in range(40):
        looks.update(frame / 10, image, detections(hand=[LEFT]))
    assert looks.sign("left", 1.8, 2.2) is None
