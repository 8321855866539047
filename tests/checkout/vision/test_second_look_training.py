"""Training of the second look on a handful of pictures: that it runs, what it is given, and how that is varied."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from checkout.errors import InputError
from checkout.recording import Camera
from checkout.vision.reach_looks import PLACE_ROOM_M, PLACE_SIDE, space_of, window_at
from checkout.vision.second_look import CHANGES, FACING_SIDE, SIDE, SecondLook, as_input, cut_square
from checkout.vision.second_look_training import (
    WIDE_DEPTH_SIDE,
    WIDE_REACH_SIDE,
    WIDE_SIDE,
    Depths,
    Pairs,
    Reaches,
    _auc,
    _by_reach,
    _camera_row,
    _chests,
    _moved,
    _place_shown,
    _relit,
    train_second_look,
)


def test_a_small_training_writes_weights_that_can_be_used(tmp_path: Path) -> None:
    out = tmp_path / "mine.pt"
    scores = train_second_look(out, frames=24, plans=2, grasps=2, ways=2, epochs=1, workers=2)
    assert scores["facings_changed"] > 10
    assert 0 <= scores["change_right"] <= 1
    cuts = np.zeros((3, 3, FACING_SIDE, FACING_SIDE, 3), np.uint8)
    assert SecondLook(out).facings(*cuts).shape == (3, 3)

    folder = tmp_path / "mine.work" / "glimpses-1" / "0000"
    pairs = Pairs(*(np.load(folder / f"{name}.npy") for name in Pairs._fields))
    counts = np.bincount(pairs.change, minlength=len(CHANGES))
    assert counts[CHANGES.index("pick")] > 3
    assert counts[CHANGES.index("put_back")] > 0
    assert counts[CHANGES.index("none")] > counts[1:].sum()
    # What changed differs more at its front than what did not, though that is partly beside what changed.
    over = pairs.shape[..., 1:2] / 255.0
    apart = (np.abs(pairs.before.astype(float) - pairs.after) * over).sum(axis=(1, 2, 3)) / over.sum(
        axis=(1, 2, 3)
    )
    assert np.median(apart[pairs.change > 0]) > 1.5 * np.median(apart[pairs.change == 0])

    folder = tmp_path / "mine.work" / "grasps-1" / "0000"
    reaches = Reaches(*(np.load(folder / f"{name}.npy") for name in Reaches._fields))
    assert_reaches_are_what_they_say(reaches)

    folder = tmp_path / "mine.work" / "hands-1" / "0000"
    depths = Depths(*(np.load(folder / f"{name}.npy") for name in Depths._fields))
    assert scores["depths"] + len(depths.inward) > 50
    # Hands hang before the shelf, and are in it; behind the middle of every cut-out is a face.
    assert depths.inward.min() < -0.1
    assert 0.02 < depths.inward.max() < 0.45
    assert (depths.faces[:, WIDE_DEPTH_SIDE // 2, WIDE_DEPTH_SIDE // 2, 2] > 0).all()

    with pytest.raises(InputError, match="exists already"):
        train_second_look(out, frames=24, plans=2, grasps=2, ways=2, epochs=1)


def assert_reaches_are_what_they_say(reaches: Reaches) -> None:
    """The hand is in the middle of its facing's space, and mostly within an arm of whose it is."""
    inside, stood = [], []
    for row in range(len(reaches.cameras)):
        people = reaches.people[row]
        assert (~np.isnan(people[:, 0])).sum() >= 2
        places = _place_shown(reaches, row, None)
        assert places.shape[1:] == (6, PLACE_SIDE, PLACE_SIDE)
        # The hand is at the item, so the cut-out's middle is at its facing, a little before or above it.
        middle = slice(PLACE_SIDE // 2 - 9, PLACE_SIDE // 2 + 9)
        inside.append(places[:, 3, middle, middle].max(axis=(1, 2)))
        front = reaches.facings[row, 0]
        at = 0.5 * (front[:2] + front[3:5])
        stood.append(np.linalg.norm(people - at, axis=1))
    assert np.mean([seen[0] for seen in inside]) > 0.9
    assert np.mean([apart[0] < 1.1 for apart in stood]) > 0.9
    assert np.mean([apart[0] for apart in stood]) < np.nanmean([apart[1] for apart in stood])
    still = _place_shown(reaches, 0, None)
    varied = [_place_shown(reaches, 0, np.random.default_rng(i)) for i in range(8)]
    assert all(seen.dtype == np.float32 for seen in varied)
    assert all(2 <= len(seen) <= len(still) for seen in varied)
    assert not np.allclose(varied[0][:1], varied[1][:1])
    # Bodies are mostly in or just beside their cut-outs, and not all in one place.
    chests = _chests(reaches)[:, 0]
    known = chests[np.isfinite(chests[:, 0])]
    assert len(known) > 0.9 * len(chests)
    assert np.median(np.abs(known)) < 0.5
    assert known.std(axis=0).min() > 0.05


def test_a_varied_reach_is_drawn_where_its_picture_went() -> None:
    """A white facing on a black picture stays under its outline however the cut-out is shifted, scaled or mirrored."""
    matrix = np.array([[500.0, 0, 320], [0, 500, 180], [0, 0, 1]])
    camera = Camera("", "", 1.0, 640, 360, matrix, np.zeros(5), np.diag([1.0, -1, -1]), np.array([0, 0, 3.0]))
    facing = np.array([0.05, 0.1, 1.0, 0.25, 0.4, 1.3, 0.0, -1.0])
    at = np.array([0.1, 0.15, 1.2])
    picture = np.zeros((360, 640, 3), np.uint8)
    whole = space_of(camera, facing[:6].reshape(2, 3), facing[6:]).whole
    cv2.fillConvexPoly(picture, np.round(whole).astype(np.int32), (255, 255, 255))
    window = window_at(camera, at, PLACE_ROOM_M)
    assert window is not None
    wide = window._replace(side=window.side * WIDE_REACH_SIDE / PLACE_SIDE)
    other = facing + np.array([0.3, 0, 0, 0.3, 0, 0, 0, 0])
    nothing = np.zeros((1, 1))
    reaches = Reaches(
        nothing,
        nothing,
        cut_square(picture, wide, WIDE_REACH_SIDE)[None],
        np.array(window)[None],
        _camera_row(camera)[None],
        nothing,
        np.stack([facing, other])[None],
    )
    rng = np.random.default_rng(0)
    for number in range(20):
        seen = _place_shown(reaches, 0, None if number == 0 else rng)
        grey = seen[0, :3].mean(axis=0)
        bright = grey > grey.max() - 0.3
        drawn = seen[0, 3] > 0
        assert (bright & drawn).sum() / (bright | drawn).sum() > 0.8


def test_candidates_are_weighed_within_their_reach() -> None:
    import torch

    weights = _by_reach(torch.arange(5.0), [2, 3])
    assert weights[:, :2].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert weights[0, 2] < -1000
    assert weights[1, 2] == 4.0


def test_what_is_moved_goes_where_it_says() -> None:
    """A bright spot in a wide cut-out is found again where it was moved to, in every picture of it."""
    cuts = np.zeros((40, WIDE_SIDE, WIDE_SIDE, 6), np.uint8)
    x, y = 44, 38
    cuts[:, y - 2 : y + 2, x - 2 : x + 2] = 255
    moved = _moved(cuts, SIDE, np.random.default_rng(0))
    assert set(moved.flip) == {-1.0, 1.0}
    assert (moved.cuts[..., :3] == moved.cuts[..., 3:]).all()
    offset = np.array([(x - WIDE_SIDE / 2) / SIDE, (y - WIDE_SIDE / 2) / SIDE])
    told = (offset - moved.shift) / moved.scale[:, None]
    told[:, 0] *= moved.flip
    flat = moved.cuts.mean(axis=3).reshape(40, -1).argmax(axis=1)
    seen = np.column_stack([flat % SIDE, flat // SIDE]) / SIDE - 0.5
    assert np.abs(seen - told).max() < 3 / SIDE


def test_light_changes_pictures_and_not_what_is_drawn_over_them() -> None:
    seen = as_input(np.full((3, 8, 8, 9), 100, np.uint8))
    relit = _relit(seen.clone(), 0.06)
    assert (relit[:, 6:] == seen[:, 6:]).all()
    means = relit[:, :6].mean(dim=(2, 3))
    assert means.std(dim=0).min() > 0.01
    assert means.std(dim=1).max() < 0.05


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert _auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.75)
    assert np.isnan(_auc(np.array([0.1, 0.2]), np.array([1.0, 1.0])))
