"""The trainer's loss: where things may be without a box, that none is there is not taught, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss

from checkout.vision.detector import CLASSES
from checkout.vision.trainer import TaughtModel, UnboxedLoss
from checkout.vision.training_data import HAND, ITEM, PERSON, UNBOXED

SIDE = 64
ANCHORS = (SIDE // 8) ** 2 + (SIDE // 16) ** 2 + (SIDE // 32) ** 2


@pytest.fixture(scope="module")
def model() -> DetectionModel:
    torch.manual_seed(1)
    model = DetectionModel("yolo26n.yaml", nc=len(CLASSES), verbose=False)
    model.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5, epochs=2)
    return model


def batch(*rows: tuple[int, int, float, float, float, float]) -> dict[str, torch.Tensor]:
    """Boxes as picture, class, middle and size, shares of the picture."""
    all_rows = torch.tensor(rows, dtype=torch.float).reshape(-1, 6)
    return {"batch_idx": all_rows[:, 0], "cls": all_rows[:, 1:2], "bboxes": all_rows[:, 2:]}


def score_gradients(
    loss_of: Callable[[dict[str, torch.Tensor]], torch.Tensor], pictures: int = 2
) -> tuple[torch.Tensor, float]:
    """What the loss asks of each score, [pictures, classes, anchors], and the loss, for scores that are not sure."""
    torch.manual_seed(2)
    scores = torch.randn(pictures, len(CLASSES), ANCHORS, requires_grad=True)
    found = {
        "boxes": torch.rand(pictures, 4, ANCHORS),
        "scores": scores,
        "feats": [torch.zeros(pictures, 1, SIDE // s, SIDE // s) for s in (8, 16, 32)],
    }
    loss = loss_of(found)
    loss.sum().backward()
    assert scores.grad is not None
    return scores.grad, float(loss.detach().sum())


THING = (0, ITEM, 0.25, 0.25, 0.3, 0.3)
HAND_THERE = (1, HAND, 0.75, 0.5, 0.4, 0.4)


def test_without_unboxed_classes_the_loss_is_ultralytics_own(model: DetectionModel) -> None:
    boxes = batch(THING, HAND_THERE)
    own = score_gradients(lambda found: UnboxedLoss(model).loss(found, boxes)[0])
    theirs = score_gradients(lambda found: v8DetectionLoss(model).loss(found, boxes)[0])
    assert torch.equal(own[0], theirs[0])
    assert own[1] == theirs[1]


def test_only_a_missing_box_is_not_taught(model: DetectionModel) -> None:
    right_half = (1, UNBOXED + HAND, 0.75, 0.5, 0.5, 1.0)
    whole_person = (0, UNBOXED + PERSON, 0.5, 0.5, 1.0, 1.0)
    plain, _ = score_gradients(lambda found: UnboxedLoss(model).loss(found, batch(THING, HAND_THERE))[0])
    boxes = batch(THING, right_half, HAND_THERE, whole_person)
    taught, _ = score_gradients(lambda found: UnboxedLoss(model).loss(found, boxes)[0])
    assert (plain != 0).all()
    silent = taught == 0
    assert silent[0, PERSON].all()
    assert not silent[0, [HAND, ITEM]].any()
    assert not silent[1, [ITEM, PERSON]].any()
    finest = silent[1, HAND, : (SIDE // 8) ** 2].reshape(SIDE // 8, SIDE // 8)
    assert not finest[:, :4].any()
    assert finest[:, 4:].any()
    assert not finest[:, 4:].all(), "a hand that has its box is taught within the region as well"
    assert torch.equal(taught[~silent], plain[~silent])


def test_a_model_is_taught_by_it_in_both_heads(model: DetectionModel) -> None:
    model.__class__ = TaughtModel
    criterion = model.init_criterion()
    assert isinstance(criterion.one2many, UnboxedLoss)
    assert isinstance(criterion.one2one, UnboxedLoss)
