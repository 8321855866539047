"""Plain videos drawn by hand, with exact truth: things on a textured ground, and an arm that comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from checkout.events import ShelfMoment
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.plain_video import PlainVideo, StandingItems, picks
from checkout.vision.shelf_moments import Region
from checkout.vision.tracks import HandSighting

WIDTH, HEIGHT, FPS = 320, 180, 10
SKIN = (120, 150, 205)
THING = (40, 90)
"""Width and height of a thing, pixels; it stands on y = 160."""
WAY_S = 0.6
"""How long the arm comes, and how long it goes."""
Picture = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Act:
    """An arm from above that reaches x at t_s, and leaves `stay_s` later, with or without the thing there."""

    t_s: float
    kind: str
    x: int
    stay_s: float = 0.3


def ground(seed: int = 0) -> np.ndarray:
    import cv2

    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 12, (12, 20, 3)).astype(np.float32)
    return np.clip(150 + cv2.resize(coarse, (WIDTH, HEIGHT)), 0, 255)


def thing(x: int) -> np.ndarray:
    """A thing's look [height, width, 3]: its own two colours and a label."""
    rng = np.random.default_rng(x)
    look = np.empty((THING[1], THING[0], 3))
    look[:] = rng.integers(20, 110, 3)
    look[30:60] = rng.integers(150, 250, 3)
    look[38:52, 8:20] = 30
    return look


def draw(picture: np.ndarray, x: float, lifted: float, look: np.ndarray) -> None:
    left, bottom = round(x - THING[0] / 2), round(160 - lifted)
    top = bottom - THING[1]
    if bottom > 0:
        picture[max(0, top) : bottom, left : left + THING[0]] = look[max(0, -top) :]


def play(
    standing: Sequence[int],
    acts: Sequence[Act],
    length_s: float,
    *,
    change: Picture | None = None,
    hands: bool = True,
) -> tuple[list[ShelfMoment], dict[str, Region]]:
    """Draw the video and find what happens in it; a detector says where hands are in two of three frames, no items."""
    plain = PlainVideo("cam0", WIDTH, HEIGHT)
    there = dict.fromkeys(standing, 0.0)
    rng = np.random.default_rng(1)
    for frame in range(int(length_s * FPS)):
        t_s = frame / FPS
        picture = ground()
        boxes = []
        for act in acts:
            if act.kind == "pick" and t_s > act.t_s + act.stay_s:
                there.pop(act.x, None)
            if act.kind == "put_back" and t_s >= act.t_s:
                there.setdefault(act.x, 0.0)
            if act.kind == "push" and t_s >= act.t_s + act.stay_s / 2:
                there[act.x] = 4.0
        for x, aside in there.items():
            draw(picture, x + aside, 0, thing(x))
        for act in acts:
            away = max(act.t_s - t_s, t_s - act.t_s - act.stay_s, 0.0)
            if away >= WAY_S:
                continue
            lifted = 160.0 * away / WAY_S
            carried = (act.kind == "pick" and t_s > act.t_s + act.stay_s) or (
                act.kind == "put_back" and t_s < act.t_s
            )
            if carried:
                draw(picture, act.x, lifted, thing(act.x))
            tip = round(160 - THING[1] + 15 - lifted)
            if tip > 0:
                picture[:tip, act.x - 12 : act.x + 12] = SKIN
                if hands and frame % 3:
                    boxes.append((act.x - 14.0, max(0.0, tip - 40.0), act.x + 14.0, float(tip)))
        if change is not None:
            picture = change(picture, t_s)
        picture = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        found = Detections(xyxy, np.full(len(xyxy), 0.6, np.float32), np.zeros(len(xyxy), int))
        sightings = [HandSighting("cam0", t_s, i, b, 0.6, 0.0) for i, b in enumerate(boxes)]
        plain.update(t_s, picture, found, sightings)
    return plain.finish()


def events(moments: Sequence[ShelfMoment]) -> list[tuple[float, str, str]]:
    """Time, action and place of what is no touch."""
    rows = []
    for moment in moments:
        action = max(moment.action, key=moment.action.__getitem__)
        if action != "touch":
            rows.append((moment.t_s, action, next(iter(moment.facing))))
    return rows


def test_a_pick_and_a_put_back_of_a_thing_that_no_detector_knows() -> None:
    moments, places = play([80, 240], [Act(2.0, "pick", 80), Act(5.0, "put_back", 80)], 8.0)
    (first_s, first, where), (second_s, second, again) = events(moments)
    assert (first, second) == ("pick", "put_back")
    assert first_s == pytest.approx(2.3, abs=0.2)
    assert second_s == pytest.approx(5.0, abs=0.2)
    assert where == again == "place-1"
    x1, y1, x2, y2 = places[where]
    assert (x1, y1, x2, y2) == pytest.approx((60, 70, 100, 160), abs=8)


def test_played_backwards_a_pick_is_a_put_back() -> None:
    (forward,) = events(play([80], [Act(3.0, "pick", 80)], 6.0)[0])
    (backward,) = events(play([], [Act(3.0, "put_back", 80)], 6.0)[0])
    assert forward[1] == "pick"
    assert backward[1] == "put_back"


def test_two_hands_take_two_things_at_once() -> None:
    moments, _ = play([80, 240], [Act(2.0, "pick", 80), Act(2.2, "pick", 240)], 5.0)
    found = events(moments)
    assert [(action, place) for _, action, place in found] == [("pick", "place-1"), ("pick", "place-2")]
    assert [t for t, _, _ in found] == pytest.approx([2.3, 2.5], abs=0.2)


def test_a_thing_put_back_elsewhere_is_an_event_at_a_new_place() -> None:
    moments, places = play([80], [Act(2.0, "pick", 80), Act(5.0, "put_back", 200)], 8.0)
    assert [row[1:] for row in events(moments)] == [("pick", "place-1"), ("put_back", "place-2")]
    assert len(places) == 2


def test_a_touch_that_changes_nothing_is_no_event() -> None:
    assert events(play([80, 240], [Act(2.0, "touch", 80, stay_s=0.8)], 5.0)[0]) == []


def test_a_thing_pushed_a_little_aside_is_no_event() -> None:
    assert events(play([80, 240], [Act(2.0, "push", 80)], 5.0)[0]) == []


def test_light_that_changes_is_no_event() -> None:
    def dimmed(picture: np.ndarray, t_s: float) -> np.ndarray:
        return picture * (0.7 if t_s > 2.5 else 1.0)

    def shaded(picture: np.ndarray, t_s: float) -> np.ndarray:
        ramp = np.linspace(0.7, 1.0, WIDTH)[None, :, None]
        return picture * (ramp if t_s > 2.5 else 1.0)

    assert events(play([80, 240], [], 7.0, change=dimmed)[0]) == []
    assert events(play([80, 240], [], 7.0, change=shaded)[0]) == []


def test_a_dim_noisy_camera_that_trembles_sees_the_same() -> None:
    rng = np.random.default_rng(3)

    def poor(picture: np.ndarray, t_s: float) -> np.ndarray:
        moved = np.roll(picture, tuple(rng.integers(-1, 2, 2)), (0, 1))
        return moved * 0.45 + rng.normal(0, 3, picture.shape)

    found = events(play([80, 240], [Act(2.5, "pick", 240)], 6.0, change=poor)[0])
    assert [action for _, action, _ in found] == ["pick"]
    assert found[0][0] == pytest.approx(2.8, abs=0.25)


def test_who_stands_before_the_things_and_leaves_is_no_event() -> None:
    def passer(picture: np.ndarray, t_s: float) -> np.ndarray:
        x = round(np.interp(t_s, [2, 3, 5.5, 6.5], [-60, 140, 140, 400])) + round(2 * np.sin(9 * t_s))
        picture[20:, max(0, x - 30) : max(0, x + 30)] = (60, 40, 50)
        return picture

    assert events(play([80, 240], [], 9.0, change=passer, hands=False)[0]) == []


def test_a_cut_to_another_scene_is_no_event_and_is_said() -> None:
    plain = PlainVideo("cam0", WIDTH, HEIGHT)
    for frame in range(60):
        picture = ground(0) if frame < 30 else 255 - 1.5 * ground(5)
        draw(picture, 80 if frame < 30 else 200, 0, thing(80))
        plain.update(frame / FPS, np.clip(picture, 0, 255).astype(np.uint8), Detections.empty(), [])
    assert plain.finish() == ([], {})
    assert len(plain.warnings) == 1
    assert "the camera must stand still" in plain.warnings[0]


def test_memory_holds_the_last_seconds_only() -> None:
    plain = PlainVideo("cam0", WIDTH, HEIGHT)
    picture = ground().astype(np.uint8)
    for frame in range(140):
        plain.update(frame / 3, picture, Detections.empty(), [])
    assert len(plain._boxes) <= 30 * 3 + 1
    assert len(plain._scene.history) <= 30 * 3 + 1


def test_an_act_that_brings_back_the_look_before_the_last_is_the_opposite_one() -> None:
    # By hand: prior odds 0.05 / 0.95 from a sure pick; a word of 1 to 1 leaves them.
    assert picks([30.0, 0.0], [False, True])[1] == pytest.approx(0.05, abs=1e-6)
    assert picks([30.0, 0.0], [False, False])[1] == pytest.approx(0.5)
    # What comes later speaks for what was before: both are two words of the same odds, e^1 each.
    first, second = picks([1.0, -1.0], [False, True])
    pair = 0.95 * np.e**2, 0.05 * np.e, 0.05 * np.e, 0.95
    assert first == pytest.approx((pair[0] + pair[1]) / sum(pair))
    assert second == pytest.approx(1 - first)
    assert picks([], []) == []


def test_places_are_where_item_boxes_stand_still() -> None:
    standing = StandingItems()
    left, right = (100.0, 100.0, 160.0, 200.0), (300.0, 100.0, 360.0, 200.0)
    for frame in range(40):
        moving = (5.0 * frame, 300.0, 5.0 * frame + 30, 330.0)
        standing.update(frame / 10, np.array([right, moving, left]))
    assert sorted(standing.places()) == [pytest.approx(left), pytest.approx(right)]
    assert CLASSES.index("hand") == 0
