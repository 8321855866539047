"""How far in a hand is that one camera sees: what the network is shown, and what the shipped one says."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from checkout.catalog import Facing, Planogram
from checkout.recording import Camera
from checkout.render.glimpses import hands_of_plan
from checkout.render.scene import View
from checkout.vision.hand_depth import (
    DEPTH_ROOM_M,
    DEPTH_SIDE,
    FARTHEST_M,
    HIGHEST_M,
    MAP_SHRUNK,
    ShelfFaces,
    cut_face,
    depth_input,
)
from checkout.vision.hands import HandTracker, Seen
from checkout.vision.second_look import SecondLook

AHEAD = View((0.0, -2.0, 1.2), (0.0, 0.0, 0.9), 45.0).calibration("cam0", "cam0.mp4", 10)
PLANOGRAM = Planogram(
    [
        Facing("g1.s1.f1", "low", ("p1",), (-0.4, 0.0, 0.2), (0.0, 0.4, 0.5)),
        Facing("g1.s2.f1", "high", ("p2",), (0.0, 0.01, 0.7), (0.4, 0.41, 1.0)),
        Facing("g2.s1.f1", "other side", ("p3",), (-0.4, 0.6, 0.2), (0.4, 1.0, 0.5), (0.0, 1.0)),
    ]
)
NOWHERE = np.array([0.1, 0.1])


def pixel_of(camera: Camera, at: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(camera.project(np.array([at]))[0][0])


def test_a_face_is_drawn_where_it_is() -> None:
    faces = ShelfFaces(AHEAD, PLANOGRAM)

    def drawn(at: tuple[float, float, float]) -> np.ndarray:
        x, y = (pixel_of(AHEAD, at) / MAP_SHRUNK).astype(int)
        return faces.picture[y, x].astype(float)

    low, between, beside = (drawn(at) for at in ((-0.2, 0, 0.35), (-0.2, 0, 0.6), (0.95, 0, 0.35)))
    away = np.linalg.norm(np.array([-0.2, 0, 0.35]) - np.asarray(AHEAD.position_m))
    assert low == pytest.approx([255 * 0.35 / HIGHEST_M, 255, 255 * away / FARTHEST_M], abs=1.5)
    assert between[0] == pytest.approx(255 * 0.6 / HIGHEST_M, abs=1.5)
    assert between[1] == 0
    assert (beside == 0).all()


def test_a_hand_is_as_deep_as_it_is_behind_the_face_that_is_seen_behind_it() -> None:
    faces = ShelfFaces(AHEAD, PLANOGRAM)
    inside, before, at_face = np.array([[-0.2, 0.07, 0.35], [-0.2, -0.3, 0.5], [0.0, 0.0, 0.9]])
    points = np.array([inside, before, at_face])
    pixels = np.array([pixel_of(AHEAD, tuple(at)) for at in points])
    found = faces.behind(np.vstack([pixels, NOWHERE]))
    assert found[3] is None
    for at, pixel, face in zip(points, pixels, found[:3], strict=True):
        assert face is not None
        assert face.window[:2] == pytest.approx(pixel)
        assert face.inward(at) == pytest.approx(at[1])
    assert found[2] is not None
    far = np.linalg.norm(at_face - np.asarray(AHEAD.position_m))
    assert found[2].window.side == pytest.approx(DEPTH_ROOM_M * AHEAD.matrix[0, 0] / far)  # type: ignore[index]


def test_what_the_network_sees_is_told_from_the_middle() -> None:
    faces = ShelfFaces(AHEAD, PLANOGRAM)
    (face,) = faces.behind(pixel_of(AHEAD, (-0.2, 0.0, 0.35))[None])
    assert face is not None
    cut = cut_face(faces.picture, face.window, DEPTH_SIDE)
    (seen,) = depth_input(np.zeros((1, DEPTH_SIDE, DEPTH_SIDE, 3), np.uint8), cut[None])
    assert seen.shape == (6, DEPTH_SIDE, DEPTH_SIDE)
    assert seen.dtype == np.float32
    middle = DEPTH_SIDE // 2
    assert seen[5, middle, middle] == 0
    assert np.abs(seen).max() <= 1
    # Pixels farther down meet the face lower.
    assert seen[3, middle + 10, middle] < seen[3, middle - 10, middle]


def test_a_hand_that_one_camera_sees_is_where_its_depth_says() -> None:
    """Without a word on the depth it is taken to be before the shelf, at arm's length of who stands there."""
    faces, at = ShelfFaces(AHEAD, PLANOGRAM), np.array([-0.2, 0.1, 0.35])
    pixel = pixel_of(AHEAD, tuple(at))
    (face,) = faces.behind(pixel[None])
    assert face is not None
    hand = Seen((pixel[0] - 8, pixel[1] - 8, pixel[0] + 8, pixel[1] + 8), 0.9, 0.0)
    off = {}
    for told in (False, True):
        tracker = HandTracker([AHEAD])
        depths = (lambda asked: [face.depth(0.1, 0.03) for _ in asked]) if told else None
        for frame in range(6):
            tracker.update("cam0", frame / 10, [hand], {"anna": np.array([-0.2, -0.5])}, depths)
        off[told] = float(np.linalg.norm(tracker.tracks[0].states[-1].mean[:3] - at))
    assert off[True] < 0.05
    assert off[False] > 0.2


def test_the_shipped_network_sees_how_deep_hands_are() -> None:
    """On a plan that it was not trained on: much better than saying always the same."""
    second, said, true, wide = SecondLook(), [], [], []
    for seen in islice(hands_of_plan(77, 0), 36):
        faces = ShelfFaces(seen.camera, seen.planogram)
        pixels = 0.5 * (seen.hands_xyxy[:, :2] + seen.hands_xyxy[:, 2:])
        for depth, face, palm in zip(
            second.depths(seen.image, faces, pixels), faces.behind(pixels), seen.palms_m, strict=True
        ):
            assert (depth is None) == (face is None)
            if depth is not None and face is not None:
                said.append(depth.inward_m)
                wide.append(depth.sd_m)
                true.append(face.inward(palm))
    assert len(true) > 20
    off = np.abs(np.array(said) - true)
    assert np.median(off) < 0.5 * np.median(np.abs(true - np.median(true)))
    # How sure it is says something of how right it is.
    order = np.argsort(wide)
    assert off[order[: len(order) // 2]].mean() < off[order[len(order) // 2 :]].mean()
    assert np.mean(off < 3 * np.array(wide)) > 0.9
