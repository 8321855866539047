"""Which frames are worth the network: motion at a shelf, elsewhere, none; noise, light, and weight steps."""

from __future__ import annotations

import numpy as np
import pytest

from checkout.catalog import Facing, Planogram
from checkout.render.scene import View
from checkout.vision.attention import (
    ELSEWHERE_EVERY,
    LINGER_S,
    LOOKS_HZ,
    Attention,
    Motion,
    MotionGate,
    shelf_cells,
)

FPS = 10.0
SHELF = np.zeros((45, 80), bool)
SHELF[:, 40:] = True
"""The right half of the picture is the shelf."""


def picture(
    at: tuple[int, int] | None = None, *, noise: float = 0.0, light: float = 0.0, seed: int = 0
) -> np.ndarray:
    """A grey picture with a bright square of 24 pixels at a place, and noise of a standard deviation."""
    image = np.full((360, 640, 3), 100.0)
    if at is not None:
        image[at[1] : at[1] + 24, at[0] : at[0] + 24] = 160
    image += light + np.random.default_rng(seed).normal(0, noise, image.shape) if noise else light
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def looked_at(attention: Attention, images: list[np.ndarray], *, hands: bool = False) -> list[bool]:
    return [attention.judge(index / FPS, image, hands=hands)[0] for index, image in enumerate(images)]


def test_motion_is_told_by_where_it_is() -> None:
    gate = MotionGate(SHELF)
    assert gate.motion(picture()) is Motion.SHELF
    gate.looked()
    assert gate.motion(picture()) is Motion.NOTHING
    assert gate.motion(picture((100, 100))) is Motion.ELSEWHERE
    assert gate.motion(picture((400, 100))) is Motion.SHELF
    gate.looked()
    assert gate.motion(picture((400, 100))) is Motion.NOTHING
    assert gate.motion(picture((440, 100))) is Motion.SHELF


@pytest.mark.parametrize("noise", [0.0, 4.0, 12.0])
def test_noise_and_a_change_of_the_light_are_no_motion(noise: float) -> None:
    gate = MotionGate(SHELF)
    gate.motion(picture(noise=noise, seed=1))
    gate.looked()
    seen = [gate.motion(picture(noise=noise, light=0.5 * i, seed=i)) for i in range(2, 40)]
    assert set(seen) == {Motion.NOTHING}
    assert gate.motion(picture((400, 100), noise=noise, seed=99)) is Motion.SHELF


def test_somebody_who_fills_the_picture_moves() -> None:
    gate = MotionGate(None)
    rng = np.random.default_rng(3)
    for _ in range(5):
        image = np.kron(rng.integers(60, 200, (9, 16, 3)), np.ones((40, 40, 1))).astype(np.uint8)
        assert gate.motion(image) is Motion.SHELF
        gate.looked()


def test_a_slow_hand_is_seen_in_the_end() -> None:
    looked = looked_at(Attention(SHELF), [picture((400 + index, 100)) for index in range(60)])
    assert sum(looked[1:]) > 5


def test_still_frames_need_no_network_and_moving_ones_at_a_shelf_all_do() -> None:
    assert looked_at(Attention(SHELF), [picture()] * 50) == [True] + [False] * 49
    moving = [picture((400 + 12 * (index % 5), 100)) for index in range(20)]
    assert all(looked_at(Attention(SHELF), moving))


def test_who_walks_away_from_the_shelf_is_looked_at_now_and_then() -> None:
    walking = [picture((12 * index, 100)) for index in range(24)]
    looked = looked_at(Attention(SHELF), walking)
    assert sum(looked) == pytest.approx(24 / ELSEWHERE_EVERY, abs=1)
    assert all(looked_at(Attention(SHELF), walking, hands=True))
    assert all(looked_at(Attention(SHELF, every_frame=True), walking))


def test_a_frame_in_which_somebody_walks_counts_even_if_it_is_not_looked_at() -> None:
    attention = Attention(SHELF)
    judged = [attention.judge(index / FPS, picture((12 * index, 100)), hands=False) for index in range(24)]
    assert all(counts for _, counts in judged)
    assert not all(looks for looks, _ in judged)


def test_every_frame_around_a_step_is_looked_at() -> None:
    looked = looked_at(Attention(SHELF, [(2.0, 3.0), (4.0, 4.5)]), [picture()] * 60)
    assert [index / FPS for index, look in enumerate(looked) if look] == [
        0.0, *np.arange(20, 31) / FPS, *np.arange(40, 46) / FPS,
    ]  # fmt: skip


def test_still_frames_count_for_a_while_after_motion() -> None:
    attention = Attention(SHELF)
    counted = [attention.judge(index / FPS, picture(), hands=False)[1] for index in range(60)]
    assert next(index / FPS for index, counts in enumerate(counted) if not counts) == pytest.approx(
        LINGER_S + 0.1
    )
    assert not any(counted[30:])


@pytest.mark.parametrize("fps", [4, 10, 12, 15, 25, 29.97, 60])
def test_a_fast_camera_is_looked_at_as_often_as_a_slow_one(fps: float) -> None:
    attention = Attention(SHELF, most_hz=LOOKS_HZ)
    times = [index / fps for index in range(round(20 * fps))]
    judged = [
        attention.judge(t_s, picture((400 + 12 * (index % 7), 100)), hands=True)
        for index, t_s in enumerate(times)
    ]
    looked = [t_s for t_s, (looks, _) in zip(times, judged, strict=True) if looks]
    assert len(looked) == pytest.approx(20 * min(fps, LOOKS_HZ), abs=1)
    assert max(np.diff(looked)) < 1 / min(fps, LOOKS_HZ) + 1.01 / fps
    assert all(looks is counts for looks, counts in judged)


def test_no_frame_of_an_unsteady_camera_is_left_out_at_its_own_rate_or_after_a_gap() -> None:
    rng = np.random.default_rng(4)
    steady = np.arange(100) / LOOKS_HZ
    times = steady + rng.uniform(-0.012, 0.012, 100) + np.where(steady > 5, 3.3, 0.0)
    attention = Attention(SHELF, most_hz=LOOKS_HZ)
    images = [picture((400 + 12 * (index % 7), 100)) for index in range(7)]
    assert all(attention.judge(t_s, images[i % 7], hands=True)[0] for i, t_s in enumerate(times))


def test_every_frame_is_every_frame_of_a_fast_camera_too() -> None:
    attention = Attention(SHELF, every_frame=True, most_hz=LOOKS_HZ)
    assert all(attention.judge(index / 60, picture(), hands=False)[0] for index in range(60))


def test_the_shelf_is_where_its_facings_are_seen_and_before_them() -> None:
    camera = View((0.0, -2.0, 1.3), (0.0, 0.0, 1.3), 50.0).calibration("cam0", "cam0.mp4", 10)
    facing = Facing("g1.s1.f1", "cola", ("g1.s1.p1",), (-0.4, 0.0, 1.2), (-0.2, 0.4, 1.5))
    cells = shelf_cells(Planogram([facing]), camera)
    assert cells is not None

    def cell(x: float, y: float, z: float) -> bool:
        (u, v), _ = camera.project(np.array([[x, y, z]]))[0][0], None
        return bool(cells[int(v * 45 / camera.height), int(u * 80 / camera.width)])

    assert cell(-0.3, 0.0, 1.35)
    assert cell(-0.3, -0.3, 1.35)
    assert not cell(0.4, 0.0, 1.35)
    assert not cell(-0.3, 0.0, 0.6)
    assert shelf_cells(Planogram([]), camera) is None
