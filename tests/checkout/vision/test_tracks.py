"""Who was at a facing: reaches that were seen, and where everybody stood."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.catalog import Facing, Planogram
from checkout.events import ShelfMoment
from checkout.vision.tracks import UNSEEN, Place, ReachesNearness, stance

FACING = Facing("g1.s1.f1", "oat-milk", (), (0.0, -0.3, 1.0), (0.2, 0.0, 1.3), (0.0, -1.0))
RIGHT, AWAY = (-0.095, -0.575), (-0.6, -0.575)
"""Somebody who stands right for a reach into the facing, and somebody beside them."""


def nearness(*reaches: tuple[float, str], stood: bool = True) -> ReachesNearness:
    """Anna stands right and Ben beside; reaches are of a time and a shopper."""
    places = [
        Place(t / 10, who, who, *at)
        for t in range(100)
        for who, at in (("anna", RIGHT), ("ben", AWAY))
        if stood
    ]
    moments = [
        ShelfMoment(
            t_s - 0.3, t_s + 0.3, "cam0", {"g1.s1.f1": 0.9, "g1.s1.f2": 0.1}, {"pick": 1.0}, {who: 1.0}
        )
        for t_s, who in reaches
    ]
    return ReachesNearness(Planogram([FACING]), moments, places)


def test_who_stands_right_is_likelier() -> None:
    found = nearness().closeness("g1.s1.f1", 4.5, 5.5)
    assert sum(found.values()) == pytest.approx(1)
    assert found["anna"] > 0.9


def test_whose_reach_was_seen_just_then_outweighs_where_people_stand() -> None:
    found = nearness((5.0, "ben")).closeness("g1.s1.f1", 4.5, 5.5)
    assert sum(found.values()) == pytest.approx(1)
    assert found["ben"] == pytest.approx(0.9 / (0.9 + UNSEEN), abs=0.01)
    late = nearness((7.0, "ben")).closeness("g1.s1.f1", 4.5, 5.5)
    assert late["anna"] > 0.9


def test_two_who_reached_share_it() -> None:
    found = nearness((5.0, "anna"), (5.0, "ben")).closeness("g1.s1.f1", 4.5, 5.5)
    assert found["anna"] == pytest.approx(0.5, abs=0.03)


def test_a_reach_tells_where_it_is_not_known_who_stood_where() -> None:
    assert not nearness(stood=False).closeness("g1.s1.f1", 4.5, 5.5)
    found = nearness((5.0, "ben"), stood=False).closeness("g1.s1.f1", 4.5, 5.5)
    assert set(found) == {"ben"}
    assert 0 < found["ben"] < 1


def test_a_body_that_faces_the_shelf_an_arm_before_it_stands_best() -> None:
    outward = np.array([0.0, -1.0])
    best = stance(np.array([0.195, 0.275]), outward)
    assert best > stance(np.array([-0.195, 0.275]), outward) > stance(np.array([0.8, 0.275]), outward)
    assert best > stance(np.array([0.195, 0.8]), outward)
