"""Cameras that stall, drop frames, freeze, or end before the others."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.vision.stalls import StallWatch

FPS = 10.0
STILL = np.zeros((45, 80, 3), np.uint8)


def cells(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, STILL.shape).astype(np.uint8)


def watch(
    cam0: list[tuple[float, np.ndarray]],
    cam1: list[tuple[float, np.ndarray]] | None = None,
    *,
    moves: bool = True,
    steps: list[tuple[float, float]] | None = None,
) -> list[str]:
    """What is said of the frames of cam0, and of cam1, before which something moves at the shelf or not."""
    frames = [(t_s, "cam0", picture, False) for t_s, picture in cam0]
    frames += [(t_s, "cam1", picture, moves) for t_s, picture in cam1 or ()]
    stalls = StallWatch(dict.fromkeys(sorted({name for _, name, _, _ in frames}), FPS), {"cam0": steps or []})
    for t_s, name, picture, moving in sorted(frames, key=lambda f: f[:2]):
        stalls.update(name, t_s, picture, moves=moving)
    return stalls.warnings()


def fresh(start: int, stop: int) -> list[tuple[float, np.ndarray]]:
    return [(index / FPS, cells(index)) for index in range(start, stop)]


def test_steady_cameras_are_not_mentioned() -> None:
    assert watch(fresh(0, 100), fresh(0, 100)) == []


def test_a_gap_between_two_frames_is_a_stall() -> None:
    said = watch(fresh(0, 24) + fresh(50, 100))
    assert said == ["camera cam0 showed no new picture from 2.3 s to 5.0 s"]


def test_one_lost_frame_is_none() -> None:
    assert watch([frame for frame in fresh(0, 100) if frame[0] not in (2.0, 5.0)]) == []


def test_many_gaps_are_counted() -> None:
    said = watch([frame for frame in fresh(0, 200) if round(frame[0] * FPS) % 10 < 5])
    assert len(said) == 4
    assert said[-1] == "camera cam0 showed no new picture 16 more times"


FROZEN = fresh(0, 31) + [(index / FPS, cells(30)) for index in range(31, 60)] + fresh(60, 100)


@pytest.mark.parametrize(
    ("other", "moves", "steps", "said"),
    [
        (fresh(0, 100), True, [], True),
        (fresh(0, 100), False, [], False),
        (None, False, [(4.0, 4.5)], True),
        (None, False, [(1.0, 1.5)], False),
        (None, False, [], False),
    ],
)
def test_a_picture_that_stays_while_something_happens_is_frozen(other, moves, steps, said) -> None:  # type: ignore[no-untyped-def]
    expected = ["camera cam0 showed no new picture from 3.0 s to 6.0 s"] if said else []
    assert watch(FROZEN, other, moves=moves, steps=steps) == expected


def test_a_picture_frozen_until_the_end_is_said() -> None:
    assert watch(FROZEN[:60], fresh(0, 60)) == ["camera cam0 showed no new picture from 3.0 s to 5.9 s"]


def test_a_short_pause_of_the_picture_is_none() -> None:
    short = fresh(0, 31) + [(index / FPS, cells(30)) for index in range(31, 50)] + fresh(50, 100)
    assert watch(short, fresh(0, 100)) == []


def test_a_camera_that_ends_early_is_named_with_the_longest() -> None:
    assert watch(fresh(0, 60), fresh(0, 101)) == ["camera cam0 ends at 5.9 s, 4.1 s before cam1"]


def test_frames_that_go_back_in_time_are_said() -> None:
    stalls = StallWatch({"cam0": FPS})
    for t_s in (0.0, 0.1, 0.2, 0.1, 0.3):
        stalls.update("cam0", t_s, cells(int(100 * t_s)), moves=False)
    assert stalls.warnings() == ["camera cam0's frames go back in time at 0.2 s"]
