"""Whose arm and which facing: what is cut out of pictures, how it is drawn, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkout.recording import Camera, Recording
from checkout.vision.detector import Detections
from checkout.vision.picture_memory import PictureMemory
from checkout.vision.reach_looks import (
    BODY_ROOM_M,
    CHEST_M,
    FARTHEST,
    MOST_PEOPLE,
    PLACE_SIDE,
    WRONG_SHARE,
    Body,
    ReachLooks,
    Window,
    chest_in,
    place_input,
    space_of,
    together,
    window_at,
)
from checkout.vision.second_look import SecondLook
from checkout.vision.shelf_moments import remember
from checkout.vision.tracks import facing_points
from checkout.vision.video import frames_in_time_order

ROOT = Path(__file__).resolve().parents[3]
MATRIX = np.array([[500.0, 0, 320], [0, 500, 180], [0, 0, 1]])
DOWN = Camera(
    "top", "", 15.0, 640, 360, MATRIX, np.zeros(5), np.diag([1.0, -1.0, -1.0]), np.array([0, 0, 3.0])
)
"""Looks straight down from a height of 3 m over the origin; x is to the right, y is up."""


def test_a_window_shows_as_much_of_the_room_wherever_the_hand_is() -> None:
    near, far = (window_at(DOWN, np.array([0.2, 0.0, z]), BODY_ROOM_M) for z in (2.0, 0.5))
    assert near is not None
    assert far is not None
    assert near.side == pytest.approx(BODY_ROOM_M * 500 / 1.0)
    assert far.side == pytest.approx(BODY_ROOM_M * 500 / 2.5)
    assert near.x == pytest.approx(320 + 100)
    assert window_at(DOWN, np.array([5.0, 0.0, 1.0]), BODY_ROOM_M) is None
    assert window_at(DOWN, np.array([0.0, 0.0, 3.5]), BODY_ROOM_M) is None


def test_a_chest_is_where_somebody_stands_and_nowhere_behind_the_camera() -> None:
    window = Window(320.0, 180.0, 200.0)
    assert chest_in(window, DOWN, (0.0, 0.0)) == pytest.approx([0, 0])
    aside = chest_in(window, DOWN, (0.35, -0.07))
    assert aside == pytest.approx(np.array([0.35, 0.07]) * 500 / (3.0 - CHEST_M) / 200)
    assert np.abs(chest_in(window, DOWN, (90.0, 0.0))).max() == FARTHEST
    ahead = replace(DOWN, rotation=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), translation_m=np.zeros(3))
    assert np.isnan(chest_in(window, ahead, (0.0, -3.0))).all()
    assert not np.isnan(chest_in(window, ahead, (0.0, 3.0))).any()


def test_who_stands_where_the_body_is_seen_is_likelier_the_surer_that_is() -> None:
    chests = np.array([[0.1, 0.5], [0.6, 0.5], [np.nan, np.nan]])
    sure, unsure = (Body(np.array([0.1, 0.5]), spread).likelihood(chests) for spread in (0.02, 0.5))
    for word in (sure, unsure):
        assert np.exp(word).sum() == pytest.approx(1)
        assert word[0] > word[1] > word[2]
    assert sure[0] > unsure[0]


def test_a_facing_is_shown_with_its_space_and_its_front() -> None:
    box = np.array([[0.0, 0.2, 0.5], [0.2, 0.6, 0.8]])
    space = space_of(DOWN, box, np.array([0.0, -1.0]))
    assert space.front[:, 1].min() > space.whole[:, 1].min()
    seen = place_input(
        np.zeros((PLACE_SIDE, PLACE_SIDE, 3), np.uint8), Window(340.0, 110.0, 200.0), [space, space]
    )
    assert seen[0, 3].sum() > seen[0, 4].sum() > 0
    assert (seen[0, 5] == seen[1, 4]).all()
    behind = space_of(DOWN, box + np.array([0, 0, 3.0]), np.array([0.0, -1.0]))
    assert len(behind.whole) == len(behind.front) == len(behind.base) == 0


def test_what_cameras_say_is_summed_and_one_that_saw_nothing_is_left_out() -> None:
    sure, unsure = {"a": np.log(0.9), "b": np.log(0.1)}, {"a": np.log(0.5), "b": np.log(0.5)}
    one = together([sure])
    assert sum(np.exp(list(one.values()))) == pytest.approx(1.0)
    assert 0.8 < np.exp(one["a"]) < 0.9
    both = together([sure, {}, unsure])
    assert both["a"] - both["b"] == pytest.approx(one["a"] - one["b"])
    assert together([{}, {}]) == {}
    assert set(together([sure, {"a": 0.0}])) == {"a"}
    never = together([{"a": 0.0, "b": -50.0}])
    assert never["b"] == pytest.approx(np.log(WRONG_SHARE / 2))


def test_the_shipped_networks_tell_whose_hand_is_at_which_facing() -> None:
    """Loose limits for a recording that no network was trained on, from the true facings' places."""
    recording = Recording.open(ROOT / "videos" / "hard-02")
    second = SecondLook()
    memories = {c.camera: PictureMemory(c) for c in recording.cameras}
    looks = [ReachLooks(c, recording.planogram, second, memories[c.camera]) for c in recording.cameras]
    coming = sorted(recording.truth.events, key=lambda e: e.t_s)
    right = []
    videos = [(c.camera, recording.path / c.file) for c in recording.cameras]
    for t_s, _, camera, image in frames_in_time_order(videos):
        remember(memories[camera], t_s, image, Detections.empty())
        while coming and t_s > coming[0].t_s + 0.5:
            event = coming.pop(0)
            at = facing_points(recording.planogram[event.facing])[1]
            near = sorted(
                recording.planogram,
                key=lambda n: float(np.linalg.norm(facing_points(recording.planogram[n])[1] - at)),
            )[:5]
            said = together(look.where(at, event.t_s - 0.3, event.t_s + 0.3, near) for look in looks)
            assert set(said) == set(near)
            right.append(max(said, key=said.__getitem__) == event.facing)
    assert len(right) > 10
    assert np.mean(right) > 0.6
    assert looks[0].whose(np.array([0.0, 0.0, 1.0]), 38.0, 39.0, []) == {}
    crowd = [(38.0, {f"p{i}": (0.1 * i, -0.5) for i in range(9)})]
    said = looks[0].whose(np.array([0.0, -0.05, 1.0]), 37.0, 39.0, crowd)
    assert len(said) == MOST_PEOPLE
    assert np.exp(list(said.values())).sum() <= 1 + 1e-6


def test_pictures_are_forgotten() -> None:
    recording = Recording.open(ROOT / "videos" / "clean-02")
    memory = PictureMemory(recording.cameras[0])
    look = ReachLooks(recording.cameras[0], recording.planogram, SecondLook(), memory)
    image = np.zeros((360, 640, 3), np.uint8)
    for step in range(900):
        remember(memory, step / 15, image, Detections.empty())
    assert look.where(np.array([0.0, 0.0, 1.0]), 5.0, 6.0, list(recording.planogram)[:2]) == {}
    assert len(look.where(np.array([0.0, 0.0, 1.0]), 58.0, 59.0, list(recording.planogram)[:2])) == 2
