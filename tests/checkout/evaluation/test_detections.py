"""Detection scores on boxes placed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from checkout.evaluation.detections import FRAMES_APART, DetectionMetric, looked_at

COLUMNS = ["camera", "frame", "label", "x1", "y1", "x2", "y2"]
TRUE = pd.DataFrame(
    [("cam0", 0, "hand", 10.0, 10.0, 50.0, 50.0), ("cam0", 4, "hand", 60.0, 10.0, 90.0, 40.0)],
    columns=COLUMNS,
).assign(visible=1.0)


def score(found: pd.DataFrame, true: pd.DataFrame = TRUE) -> float:
    metric = DetectionMetric()
    metric.update("rec", true, found)
    return metric.compute()[0].map50


def test_the_true_boxes_themselves_score_one() -> None:
    assert score(TRUE.assign(confidence=0.9)) == pytest.approx(1.0)


def test_half_of_the_boxes_found_score_about_a_half() -> None:
    assert score(TRUE.iloc[:1].assign(confidence=0.9)) == pytest.approx(0.5, abs=0.01)


def test_nothing_found_scores_nothing() -> None:
    assert score(TRUE.iloc[:0].assign(confidence=0.9)) == 0.0


def test_a_hidden_box_is_neither_asked_for_nor_held_against_the_detector() -> None:
    hidden = TRUE.assign(visible=[1.0, 0.1])
    assert score(TRUE.iloc[:1].assign(confidence=0.9), hidden) == pytest.approx(1.0)
    assert score(TRUE.assign(confidence=0.9), hidden) == pytest.approx(1.0)


def test_frames_without_truth_do_not_count() -> None:
    elsewhere = TRUE.assign(frame=[1, 2], confidence=0.99)
    assert score(pd.concat([TRUE.assign(confidence=0.5), elsewhere])) == pytest.approx(1.0)


def test_only_frames_that_the_network_saw_are_asked_for() -> None:
    both = pd.concat([TRUE, TRUE.assign(camera="cam1")], ignore_index=True)
    seen = looked_at(both, {"cam0": np.array([4]), "cam1": np.array([0, 2])})
    assert list(zip(seen["camera"], seen["frame"], strict=True)) == [("cam0", 4), ("cam1", 0)]
    assert looked_at(both, {}).empty
    stale = pd.concat([TRUE.iloc[:1], TRUE.iloc[:1].assign(frame=4)]).assign(confidence=0.9)
    metric = DetectionMetric()
    metric.update("rec", TRUE, stale, {"cam0": np.array([0, 3, 6])})
    assert metric.compute()[0].map50 == pytest.approx(1.0)
    assert score(stale) < 0.6


def test_frames_that_show_much_the_same_are_scored_once_in_each_camera() -> None:
    boxes = [
        (camera, f, "hand", 10.0, 10.0, 50.0, 50.0) for camera in ("cam0", "cam1") for f in range(0, 12, 2)
    ]
    true = pd.DataFrame(boxes, columns=COLUMNS).assign(visible=1.0)
    late = true.assign(frame=true["frame"] + (true["camera"] == "cam1"))
    metric = DetectionMetric()
    metric.update("rec", late, late.assign(confidence=0.5))
    assert metric.compute()[0].boxes == 2 * len(range(0, 12, FRAMES_APART))
