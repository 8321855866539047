"""Hands in the room: where cameras of known geometry put them, whose they are, and what they reach into."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.catalog import Facing, Planogram
from checkout.recording import Camera
from checkout.render.scene import View
from checkout.vision.hands import LOST_S, HandTrack, HandTracker, Seen, smoothed
from checkout.vision.reaches import USUAL_STAY_S, Front, Reach, ReachFinder, moments_of

ABOVE = View((0.0, -0.9, 2.7), (0.0, -0.2, 1.0), 50.0, k1=-0.06).calibration("cam0", "cam0.mp4", 10)
ASIDE = View((1.2, -1.3, 2.3), (0.0, 0.0, 1.0), 45.0).calibration("cam1", "cam1.mp4", 10)
PLANOGRAM = Planogram(
    [
        Facing(f"g1.s{s}.f{f}", f"product-{s}-{f}", (f"g1.s{s}.p{f}",), (x, 0.0, z), (x + 0.2, 0.4, z + 0.25))
        for s, z in ((1, 0.8), (2, 1.1))
        for f, x in ((1, -0.4), (2, -0.2), (3, 0.0), (4, 0.2))
    ]
)
ANNA, BEN = {"anna": np.array([-0.3, -0.45])}, {"ben": np.array([0.4, -0.45])}


def seen(camera: Camera, at: np.ndarray, holding: float = 0.0) -> Seen:
    (x, y), depth = camera.project(at[None])[0][0], camera.project(at[None])[1][0]
    half = 0.045 * float(camera.matrix[0, 0]) / float(depth)  # type: ignore[index]
    return Seen((x - half, y - half, x + half, y + half), 0.9, holding)


def reaching(t_s: float, facing: str, *, at_s: float = 2.0, aside: float = 0.0) -> np.ndarray:
    """A hand that hangs 0.4 m before the shelf and is in the facing at `at_s`."""
    front = PLANOGRAM[facing]
    assert front.box_min_m is not None
    target = np.array([front.box_min_m[0] + 0.1 + aside, 0.06, front.box_min_m[2] + 0.11])
    start = target + np.array([0.1, -0.45, 0.05])
    share = float(np.clip(1.6 - abs(t_s - at_s) / 0.5, 0, 1))
    return start + (target - start) * (3 * share**2 - 2 * share**3)


def follow(
    cameras: list[Camera], paths: list, places: dict[str, np.ndarray], holding=lambda t, i: 0.0
) -> tuple[list[HandTrack], list[Reach]]:  # type: ignore[no-untyped-def,type-arg]
    tracker, finder = HandTracker(cameras), ReachFinder(PLANOGRAM)
    tracks: dict[int, HandTrack] = {}
    reaches: list[Reach] = []
    for frame in range(45):
        for camera in cameras:
            t_s = frame / 10
            hands = [seen(camera, path(t_s), holding(t_s, i)) for i, path in enumerate(paths)]
            ended, given = tracker.update(camera.camera, t_s, hands, places)
            reaches += finder.update(t_s, given, ended)
            tracks |= {t.number: t for t in given if t is not None}
    reaches += finder.update(99.0, [], tracker.flush()) + finder.flush()
    return list(tracks.values()), reaches


def test_two_cameras_put_a_hand_where_it_is() -> None:
    tracks, _ = follow([ABOVE, ASIDE], [lambda t: reaching(t, "g1.s2.f2")], ANNA)
    assert len(tracks) == 1
    errors = [
        np.linalg.norm(s.mean[:3] - reaching(s.t_s, "g1.s2.f2"))
        for s in smoothed(list(tracks[0].states))
        if s.t_s > 0.5
    ]
    assert np.median(errors) < 0.02
    assert max(errors) < 0.07


def test_one_camera_alone_knows_that_it_does_not_know_the_distance() -> None:
    spread = {}
    for cameras in ([ASIDE], [ABOVE, ASIDE]):
        tracks, _ = follow(cameras, [lambda t: reaching(t, "g1.s2.f2")], ANNA)
        spread[len(cameras)] = float(np.trace(tracks[0].states[-1].cov[:3, :3]))
    assert spread[1] > 4 * spread[2]


def test_hands_belong_to_who_they_are_near() -> None:
    paths = [lambda t: reaching(t, "g1.s2.f1"), lambda t: reaching(t, "g1.s2.f4")]
    tracks, _ = follow([ABOVE, ASIDE], paths, ANNA | BEN)
    assert len(tracks) == 2
    for track in tracks:
        owner = "anna" if track.states[-1].mean[0] < 0 else "ben"
        assert track.owner[owner] > 0.9
        assert sum(track.owner.values()) == pytest.approx(1.0)


def test_a_lost_hand_ends() -> None:
    tracker = HandTracker([ABOVE])
    tracker.update("cam0", 0.0, [seen(ABOVE, np.array([0.0, -0.3, 1.1]))], ANNA)
    ended, _ = tracker.update("cam0", LOST_S + 0.1, [], ANNA)
    assert len(ended) == 1
    assert tracker.tracks == []


@pytest.mark.parametrize("facing", sorted(PLANOGRAM))
def test_a_reach_names_its_facing_and_time(facing: str) -> None:
    _, reaches = follow([ABOVE, ASIDE], [lambda t: reaching(t, facing)], ANNA)
    assert len(reaches) == 1
    assert max(reaches[0].facing, key=reaches[0].facing.__getitem__) == facing
    assert 0.5 * (reaches[0].t_start_s + reaches[0].t_end_s) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("seen_s", [(0.0, 1.8), (2.3, 9.0)])
def test_a_hand_that_is_lost_in_the_shelf_was_there_as_long_as_most(seen_s: tuple[float, float]) -> None:
    """Seen to come, or to go, and hidden while it is at the item: not the moment where it was last seen."""
    tracker, finder = HandTracker([ABOVE, ASIDE]), ReachFinder(PLANOGRAM)
    reaches: list[Reach] = []
    for frame in range(45):
        t_s = frame / 10
        inside = seen_s[0] <= t_s <= seen_s[1]
        for camera in (ABOVE, ASIDE):
            hands = [seen(camera, reaching(t_s, "g1.s2.f2"))] if inside else []
            ended, given = tracker.update(camera.camera, t_s, hands, ANNA)
            reaches += finder.update(t_s, given, ended)
    reaches += finder.update(99.0, [], tracker.flush()) + finder.flush()
    (one,) = reaches
    assert one.stay_s < 0.5
    assert one.t_end_s - one.t_start_s == pytest.approx(USUAL_STAY_S, abs=0.01)
    assert 0.5 * (one.t_start_s + one.t_end_s) == pytest.approx(2.0, abs=0.25)


def test_a_hand_that_stays_before_the_shelf_does_not_reach() -> None:
    _, reaches = follow([ABOVE, ASIDE], [lambda t: np.array([0.1, -0.25 + 0.05 * np.sin(3 * t), 1.1])], ANNA)
    assert reaches == []


def test_two_reaches_of_one_hand_are_two() -> None:
    def twice(t_s: float) -> np.ndarray:
        return reaching(t_s, "g1.s2.f2", at_s=1.2) if t_s < 2.1 else reaching(t_s, "g1.s2.f2", at_s=3.2)

    _, reaches = follow([ABOVE, ASIDE], [twice], ANNA)
    assert len(reaches) == 2


@pytest.mark.parametrize(
    ("before", "after", "action"), [(0, 0.9, "pick"), (0.9, 0, "put_back"), (0, 0, "touch")]
)
def test_what_the_hand_holds_tells_the_action(before: float, after: float, action: str) -> None:
    _, reaches = follow(
        [ABOVE, ASIDE], [lambda t: reaching(t, "g1.s1.f3")], ANNA, lambda t, i: before if t < 2 else after
    )
    (moment,) = moments_of(reaches, {"anna": "account-1"})
    assert max(moment.action, key=moment.action.__getitem__) == action
    assert sum(moment.action.values()) == pytest.approx(1.0)
    assert sum(moment.facing.values()) == pytest.approx(1.0, abs=0.01)
    assert moment.shopper == {"account-1": pytest.approx(1.0)}


def test_one_reach_seen_as_two_hands_is_one_moment() -> None:
    def reach(t_s: float, cameras: tuple[str, ...], person: str) -> Reach:
        return Reach(
            t_s - 0.3, t_s + 0.3, 0.6, np.zeros(3), 0.05, {"g1.s1.f1": 1.0}, 0.0, 0.9, {person: 1.0}, cameras
        )

    names = {"p1": "s1", "p2": "s2"}
    found = moments_of([reach(2.0, ("cam0",), "p1"), reach(2.1, ("cam0", "cam1"), "p1")], names)
    assert [m.camera for m in found] == ["cam0+cam1"]
    assert len(moments_of([reach(2.0, ("cam0",), "p1"), reach(2.1, ("cam0",), "p2")], names)) == 2
    assert len(moments_of([reach(2.0, ("cam0",), "p1"), reach(2.8, ("cam0",), "p1")], names)) == 2


def test_a_front_that_faces_another_way_measures_depth_the_same_way() -> None:
    turned = Planogram(
        [Facing("g2.s1.f1", "cola", ("g2.s1.p1",), (1.0, -0.1, 1.0), (1.4, 0.1, 1.3), (-1.0, 0.0))]
    )
    front = Front.of(turned)
    inward, aside, _ = front.at(np.array([1.1, 0.04, 1.1]))
    assert inward[0] == pytest.approx(0.1)
    assert abs(aside[0]) == pytest.approx(0.04)
    assert front.half_width[0] == pytest.approx(0.1)
