"""One box for each thing, and weights that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.vision.detector import CLASSES, Detections, Detector, merged


def detections(*rows: tuple[str, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        np.array([r[2] for r in rows], np.float32),
        np.array([r[1] for r in rows], np.float32),
        np.array([CLASSES.index(r[0]) for r in rows]),
    )


def test_overlapping_boxes_of_a_class_become_their_weighted_mean() -> None:
    found = merged(
        detections(
            ("hand", 0.2, (10, 0, 30, 20)), ("hand", 0.6, (6, 0, 26, 20)), ("item", 0.5, (6, 0, 26, 20)),
            ("hand", 0.4, (100, 0, 120, 20)),
        )
    )  # fmt: skip
    hands = found.of("hand")
    assert hands.confidence.tolist() == pytest.approx([0.6, 0.4])
    assert hands.boxes_xyxy[0].tolist() == pytest.approx([7, 0, 27, 20])
    assert found.of("item").boxes_xyxy.tolist() == [[6, 0, 26, 20]]


def test_things_side_by_side_stay_two() -> None:
    found = merged(detections(("item", 0.9, (0, 0, 20, 40)), ("item", 0.8, (12, 0, 32, 40))))
    assert len(found) == 2


def test_nothing_merges_to_nothing() -> None:
    assert len(merged(Detections.empty())) == 0


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no weights")
    for path, why in ((broken, "not a YOLO detection model"), (tmp_path / "none.onnx", "does not exist")):
        with pytest.raises(InputError, match=why):
            Detector(path)
    other = tmp_path / "weights.txt"
    other.write_text("")
    with pytest.raises(InputError, match="is not a model"):
        Detector(other)


def test_the_shipped_weights_see_all_three() -> None:
    detector = Detector()
    assert detector.sees == CLASSES
    assert len(detector.detect([np.full((360, 640, 3), 90, np.uint8)])) == 1
