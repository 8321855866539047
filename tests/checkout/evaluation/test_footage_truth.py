"""Plain videos judged by events in JSON, CVAT's XML and MOTChallenge's text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from checkout.cli import app
from checkout.errors import InputError
from checkout.evaluation import footage
from checkout.evaluation.footage import evaluate_video, read_truth, score_events
from checkout.events import ShelfEvent
from checkout.pipeline import FoundPlace, Perceived
from checkout.vision.video import VideoWriter

DOCUMENT: dict[str, Any] = {
    "positions": {"1": {"x_px": 20, "cap_y_px": 10}, "2": {"x_px": 60}},
    "events": [
        {"t_s": 1.0, "action": "pick", "position": 1},
        {"t_s": 2.0, "action": "put_back", "position": "1"},
        {"t_s": 2.0, "action": "pick", "position": "2"},
    ],
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "shelf.mp4"
    with VideoWriter(path, 96, 64, 10.0) as writer:
        for _ in range(40):
            writer.write(np.full((64, 96, 3), 90, np.uint8))
    return path


def written(folder: Path, change: Any = None) -> Path:
    document = json.loads(json.dumps(DOCUMENT))
    if change is not None:
        change(document)
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return path


def event(t_s: float, action: str, facing: str) -> ShelfEvent:
    return ShelfEvent(t_s=t_s, action=action, product="", quantity=1, shopper="", facing=facing)  # type: ignore[arg-type]


def test_positions_and_events_are_read(tmp_path: Path, video: Path) -> None:
    truth = read_truth(written(tmp_path), video)
    assert [(e.t_s, e.action, e.facing) for e in truth.events] == [
        (1.0, "pick", "1"),
        (2.0, "put_back", "1"),
        (2.0, "pick", "2"),
    ]
    assert truth.positions["1"].y_px == 10
    assert truth.positions["2"].y_px is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["events"][0].update(t_s=4.3), "events[0].t_s: 4.3 s is after the video's end at 4.00 s"),
        (lambda d: d["events"][0].update(position="3"), "events[0].position: '3' is not one of 1, 2"),
        (lambda d: d["events"][1].update(t_s=1.02, action="pick"), "events[1]: is the same pick as events[0]"),
        (lambda d: d["events"][0].update(action="take"), "events[0].action: 'take': input should be 'pick'"),
        (lambda d: d["events"][0].update(t_start_s=1.5), "events[0]: t_s does not lie between"),
        (lambda d: d["events"][0].update(positon="1"), "events[0].positon: unknown field; did you mean 'position'?"),
        (lambda d: d["positions"]["1"].update(x_px=200), "positions.1: lies outside the picture of 96 x 64"),
        (lambda d: d.pop("events"), "events: field required"),
    ],
)  # fmt: skip
def test_a_faulty_truth_is_refused_in_one_line(tmp_path: Path, video: Path, change: Any, said: str) -> None:
    path = written(tmp_path, change)
    with pytest.raises(InputError, match=re.escape(f"{path}: {said}")):
        read_truth(path, video)


def test_what_is_no_truth_is_refused(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text("{]")
    with pytest.raises(InputError, match="is not JSON"):
        read_truth(path, video)
    with pytest.raises(InputError, match="is no truth that can be read"):
        read_truth(video, video)


def test_scores_of_a_hand_computed_case() -> None:
    true = [event(1.0, "pick", "1"), event(2.0, "put_back", "1"), event(2.0, "pick", "2")]
    perceived = [event(1.2, "pick", "1"), event(2.4, "put_back", "2"), event(3.5, "pick", "2")]
    scores = {(s.kind, s.tolerance_s): s for s in score_events(true, perceived, positions=True)}
    assert [scores["action", t].right for t in (0.25, 0.5, 1.0)] == [1, 2, 2]
    assert [scores["action and position", t].right for t in (0.25, 0.5, 1.0)] == [1, 1, 1]
    half = scores["action", 0.5]
    assert (half.precision, half.recall, half.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_found_places_take_the_name_of_the_position_they_stand_at(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Perceived(
        "shelf.mp4",
        (event(1.1, "pick", "place-1"), event(2.1, "pick", "place-2"), event(2.1, "put_back", "place-3")),
        (),
        regions=(
            FoundPlace("place-1", (12.0, 5.0, 26.0, 30.0)),
            FoundPlace("place-2", (50.0, 5.0, 68.0, 30.0)),
            FoundPlace("place-3", (80.0, 5.0, 84.0, 30.0)),
        ),
    )
    monkeypatch.setattr(footage, "perceive_video", lambda *_, **__: found)
    report = evaluate_video(video, read_truth(written(tmp_path), video))
    assert [e.facing for e in report.perceived] == ["1", "2", "place-3"]
    right = {(s.kind, s.tolerance_s): s.right for s in report.events}
    assert right["action and position", 0.5] == 2
    assert right["action", 0.5] == 3


def test_boxes_of_a_mot_truth_are_scored(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    (tmp_path / "gt.txt").write_text("".join(f"{f},1,11,11,20,20,1,1,1\n" for f in range(1, 41)))
    rows = [("cam0", f, f / 10, "person", 0.9, 10.0, 10.0, 30.0, 30.0) for f in range(40)]
    columns = ["camera", "frame", "t_s", "label", "confidence", "x1", "y1", "x2", "y2"]
    found = Perceived("shelf.mp4", (), (), detections=pd.DataFrame(rows, columns=columns))
    monkeypatch.setattr(footage, "perceive_video", lambda *_, **__: found)
    report = evaluate_video(video, read_truth(tmp_path / "gt.txt", video))
    assert [(d.label, d.map50) for d in report.detections] == [("person", pytest.approx(1.0))]
    assert report.events == []


def test_the_command_asks_for_the_truth_of_a_plain_video(video: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(video)])
    assert isinstance(result.exception, InputError)
    assert "say with --truth FILE what happens in it" in str(result.exception)
    result = CliRunner().invoke(
        app, ["evaluate", str(video), "--truth", str(written(tmp_path)), "--profile", "p"]
    )
    assert isinstance(result.exception, InputError)
    assert "--profile: needs recordings" in str(result.exception)
