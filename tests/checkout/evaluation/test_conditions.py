"""Scores by condition, against a table small enough to count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.evaluation.conditions import by_condition, grey_level
from checkout.recording import Camera, Recording


def judged(*rows: tuple[str, str, int, float, bool, bool, bool]) -> pd.DataFrame:
    names = (
        "recording",
        "outcome",
        "people_near",
        "occlusion",
        "product_right",
        "quantity_right",
        "shopper_right",
    )
    table = pd.DataFrame(rows, columns=list(names))
    return table.assign(look_alikes=0, same_weight=1, quantity=1, action="pick", grey_level=np.nan)


TABLE = judged(
    ("a", "right", 1, 0.0, True, True, True),
    ("a", "wrong_shopper", 2, 0.3, True, True, False),
    ("b", "missed", 2, 0.6, False, False, False),
    ("b", "right", 2, 0.6, True, True, True),
    ("b", "phantom", 0, 0.0, False, False, False),
)


def test_groups_are_counted() -> None:
    scores = {(s.condition, s.group): s for s in by_condition(TABLE)}
    all_of_them = scores["all", ""]
    assert (all_of_them.events, all_of_them.recall, all_of_them.right) == (4, 0.75, 0.5)
    assert all_of_them.shopper == pytest.approx(2 / 3)
    two = scores["people near", "2"]
    assert (two.events, two.right) == (3, pytest.approx(1 / 3))
    assert scores["occlusion", "0.5 and more"].recall == 0.5
    assert ("people near", "3 and more") not in scores
    assert ("quantity", "2 and more") not in scores


def test_the_interval_is_over_recordings() -> None:
    scores = {(s.condition, s.group): s for s in by_condition(TABLE)}
    low, high = scores["all", ""].right_ci95 or (0, 0)
    assert (low, high) == (0.5, 0.5)
    assert scores["people near", "0-1"].right_ci95 is None


def test_nothing_perceived_has_no_share() -> None:
    (score, *_) = by_condition(TABLE[TABLE["outcome"] == "missed"])
    assert (score.recall, score.product) == (0.0, None)
    assert by_condition(TABLE[TABLE["outcome"] == "phantom"]) == []


def filmed(folder: Path, *greys: tuple[int, ...]) -> Recording:
    """A recording whose cameras each see plain pictures of these grey levels, two seconds of each."""
    from checkout.vision.video import VideoWriter

    cameras = []
    for number, levels in enumerate(greys):
        cameras.append(Camera(f"cam{number}", f"cam{number}.mp4", 5.0, 64, 48))
        with VideoWriter(folder / cameras[-1].file, 64, 48, 5.0) as writer:
            for level in np.repeat(levels, 10):
                writer.write(np.full((48, 64, 3), level, np.uint8))
    return Recording(folder, "grey", tuple(cameras), None, (), "", "", None)


def test_light_is_the_median_of_the_frames_and_the_mean_of_the_cameras(tmp_path: Path) -> None:
    recording = filmed(tmp_path, (40, 60, 200), (100,))
    assert grey_level(recording) == pytest.approx(80, abs=4)  # the codec takes about three levels


def test_light_without_cameras_is_not_known(tmp_path: Path) -> None:
    assert math.isnan(grey_level(filmed(tmp_path)))


def test_events_are_grouped_by_light() -> None:
    lit = TABLE.assign(grey_level=[60.0, 60.0, 100.0, 150.0, 60.0])
    light = {s.group: (s.events, s.right) for s in by_condition(lit) if s.condition == "light"}
    assert light == {"dim": (2, 0.5), "ordinary": (1, 0.0), "bright": (1, 1.0)}
    assert all(s.condition != "light" for s in by_condition(TABLE))
