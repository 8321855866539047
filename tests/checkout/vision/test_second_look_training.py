"""Training of the second look on a handful of pictures: that it runs, what it is given, and how that is varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.vision.second_look import CHANGES, SIDE, SecondLook, as_input
from checkout.vision.second_look_training import WIDE_SIDE, Pairs, _auc, _varied, train_second_look


def test_a_small_training_writes_weights_that_can_be_used(tmp_path: Path) -> None:
    out = tmp_path / "mine.pt"
    scores = train_second_look(out, frames=24, plans=2, epochs=1, workers=2)
    assert scores["facings_changed"] > 10
    assert 0 <= scores["change_right"] <= 1
    assert SecondLook(out).facings(*np.zeros((2, 3, SIDE, SIDE, 3), np.uint8)).shape == (3, 3)

    folder = tmp_path / "mine.work" / "glimpses-1" / "0000"
    pairs = Pairs(*(np.load(folder / f"{name}.npy") for name in Pairs._fields))
    counts = np.bincount(pairs.change, minlength=len(CHANGES))
    assert counts[CHANGES.index("pick")] > 3
    assert counts[CHANGES.index("put_back")] > 0
    assert counts[CHANGES.index("none")] > counts[1:].sum()
    # What changed differs more, in the middle of its cut-out, than what nobody touched.
    middle = slice(WIDE_SIDE // 4, -WIDE_SIDE // 4)
    apart = np.abs(pairs.before.astype(float) - pairs.after)[:, middle, middle].mean(axis=(1, 2, 3))
    assert np.median(apart[pairs.change > 0]) > 1.5 * np.median(apart[pairs.change == 0])

    with pytest.raises(InputError, match="exists already"):
        train_second_look(out, frames=24, plans=2, epochs=1)


def test_what_is_varied_moves_as_it_says() -> None:
    """A bright spot in a wide cut-out is found again where shift, scale and mirroring put it."""
    import torch

    torch.manual_seed(0)
    cuts = np.zeros((40, WIDE_SIDE, WIDE_SIDE, 3), np.uint8)
    x, y = 44, 38
    cuts[:, y - 2 : y + 2, x - 2 : x + 2] = 255
    varied, (shift, scale, flip) = _varied(as_input(cuts))
    offset = torch.tensor([(x - WIDE_SIDE / 2) / SIDE, (y - WIDE_SIDE / 2) / SIDE])
    told = (offset - shift) / scale[:, None]
    told[:, 0] *= flip
    flat = varied.mean(dim=1).flatten(1).argmax(dim=1)
    seen = torch.stack([flat % SIDE, flat // SIDE], dim=1) / SIDE - 0.5
    assert (seen - told).abs().max() < 3 / SIDE


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert _auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.75)
    assert np.isnan(_auc(np.array([0.1, 0.2]), np.array([1.0, 1.0])))
