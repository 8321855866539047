"""The second look: geometry of its cut-outs, what the shipped networks say, and files that are no weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from checkout.errors import InputError
from checkout.recording import Recording
from checkout.vision.detector import CLASSES, Detections, overlaps
from checkout.vision.second_look import (
    BOX_SHARE,
    CHANGES,
    FACING_SIDE,
    HandLooks,
    SecondLook,
    boxes_in,
    cut_facing,
    cut_square,
    facing_views,
    hand_network,
    hand_windows,
    packed,
    placed_in,
    refined,
    unpacked,
)
from checkout.vision.video import read_frames

ROOT = Path(__file__).resolve().parents[3]


def test_boxes_come_back_from_where_they_were_placed() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 300, (20, 2))
    boxes = np.hstack([low, low + rng.uniform(10, 60, (20, 2))])
    windows = hand_windows(boxes + rng.normal(0, 4, boxes.shape))
    assert np.allclose(boxes_in(windows, placed_in(windows, boxes)), boxes, atol=1e-3)


def test_a_cut_out_shows_its_window_and_grey_beyond_the_picture() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 40:60] = 255
    cut = cut_square(image, (50.0, 50.0, 40.0), side=40)
    assert cut[20, 20].tolist() == [255, 255, 255]
    assert cut[3, 3].tolist() == [0, 0, 0]
    assert (cut == 255).all(axis=2).sum() == pytest.approx(400, abs=80)
    assert cut_square(image, (0.0, 0.0, 40.0), side=40)[2, 2].tolist() == [114, 114, 114]


def test_scores_and_borders_are_of_both_looks_together() -> None:
    boxes = np.array([[10, 10, 30, 30], [50, 50, 90, 90], [10, 60, 30, 80]], np.float32)
    label = np.array([CLASSES.index(name) for name in ("hand", "item", "hand")])
    found = Detections(boxes, np.array([0.3, 0.6, 0.3], np.float32), label)
    moved = boxes[[0, 2]] + 5
    better = refined(found, HandLooks(np.array([0.95, 0.05]), np.array([0.5, 0.5]), moved))
    assert better.confidence[0] > better.confidence[2]
    assert better.confidence[1] == found.confidence[1]
    assert np.allclose(better.boxes_xyxy[0], boxes[0] + 5 * BOX_SHARE)
    assert (better.boxes_xyxy[1] == boxes[1]).all()
    assert (better.label == found.label).all()


def test_shipped_networks_see_what_a_test_recording_shows() -> None:
    """Loose limits for a recording that no network was trained on: hands are found, and a pick shows at its facing."""
    recording = Recording.open(ROOT / "videos" / "clean-01")
    camera, second = recording.cameras[0], SecondLook()
    frames = [image for _, image in read_frames(recording.path / camera.file)]
    true = recording.boxes[(recording.boxes.camera == camera.camera) & (recording.boxes.label == "hand")]
    sizes, overlap = [], []
    rng = np.random.default_rng(1)
    hand, other = [], []
    for frame, rows in list(true.groupby("frame"))[::8]:
        boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy(float)
        rough = boxes + rng.normal(0, 0.12, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        looks = second.hands(frames[int(frame)], rough)
        assert ((looks.hand >= 0) & (looks.hand <= 1)).all()
        overlap += np.diag(overlaps(looks.boxes_xyxy, boxes)).tolist()
        sizes += np.diag(overlaps(rough, boxes)).tolist()
        hand += looks.hand.tolist()
        at = rng.uniform(0, 300, (3, 2))
        other += second.hands(frames[int(frame)], np.hstack([at, at + 30])).hand.tolist()
    assert np.mean(overlap) > np.mean(sizes) - 0.05
    assert np.mean(hand) > np.mean(other) + 0.3

    views = facing_views(recording.planogram, camera)
    picks = [e for e in recording.truth.events if e.action == "pick" and e.facing in views]
    said = []
    for event in picks:
        first, last = (int(t * camera.fps) for t in (event.t_start_s - 0.6, event.t_end_s + 0.8))
        view = views[event.facing]
        before, after = (cut_facing(frames[i], view)[None] for i in (max(first, 0), last))
        shape = view.shape()[None]
        there, back = (second.facings(*cuts, shape)[0] for cuts in ((before, after), (after, before)))
        assert there.sum() == pytest.approx(1)
        said.append((there[CHANGES.index("pick")], back[CHANGES.index("put_back")]))
    pick, put_back = np.mean(said, axis=0)
    assert pick > 0.4
    assert put_back > 0.4


def test_nothing_to_look_at_says_nothing() -> None:
    second = SecondLook()
    empty = second.hands(np.zeros((36, 64, 3), np.uint8), np.zeros((0, 4)))
    assert len(empty.hand) == len(empty.boxes_xyxy) == 0
    nothing = np.zeros((0, FACING_SIDE, FACING_SIDE, 3), np.uint8)
    assert second.facings(nothing, nothing, nothing).shape == (0, 3)


def test_a_facing_is_cut_out_with_its_shape_over_it() -> None:
    """A facing painted white on black is white where its shape says that it is, also in a smaller picture."""
    recording = Recording.open(ROOT / "videos" / "clean-01")
    camera = recording.cameras[0]
    views = facing_views(recording.planogram, camera)
    assert len(views) > 10
    for view in list(views.values())[::5]:
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        cv2.fillConvexPoly(image, np.round(view.space.whole).astype(np.int32), (255, 255, 255))
        half = cv2.resize(image, None, fx=0.5, fy=0.5)
        for picture, shrunk, wider in ((image, 1, 1.0), (half, 2, 1.0), (image, 1, 1.5)):
            whole, front, base = (view.shape(wider=wider)[:, :, i] > 0 for i in range(3))
            seen = cut_facing(picture, view, shrunk=shrunk, wider=wider)[:, :, 0] > 127
            inside = cut_facing(np.full_like(picture, 9), view, shrunk=shrunk, wider=wider)[:, :, 0] == 9
            assert (seen & whole & inside).sum() > 0.9 * ((seen | whole) & inside).sum()
            assert (front <= whole).all()
            assert (base <= whole).all()


def test_stored_weights_are_off_by_half_a_step_at_most() -> None:
    torch.manual_seed(1)
    state = hand_network().state_dict()
    again = unpacked(packed(state))
    assert again.keys() == state.keys()
    for name, value in state.items():
        assert again[name].shape == value.shape
        if value.ndim < 2:
            assert torch.allclose(again[name], value.float(), rtol=1e-3)
        else:
            step = value.flatten(1).abs().amax(dim=1) / 127
            assert ((again[name] - value).flatten(1).abs() <= 0.6 * step[:, None]).all()
            assert packed(state)[name].dtype == torch.int8


@pytest.mark.parametrize("content", [b"not weights", b""])
def test_what_is_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(content)
    with pytest.raises(InputError, match="is not weights of the second look"):
        SecondLook(file)
    with pytest.raises(InputError, match="does not exist"):
        SecondLook(tmp_path / "other.pt")
