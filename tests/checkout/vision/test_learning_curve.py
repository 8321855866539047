"""The learning curve: nested shares, counts, the law that is fitted, and the file that holds it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.pipeline import Perceived
from checkout.recording import Recording
from checkout.vision.learning_curve import (
    ERRORS,
    SENSOR_SETS,
    CurvePoint,
    LearningCurve,
    Plan,
    counted,
    fit_power_law,
    measure,
    nested_subsets,
    open_work,
)
from checkout.vision.video import VideoWriter, read_frames


def training_set(folder: Path, **kinds: int) -> Path:
    """A training set's folder with so many empty pictures of each kind, two windows a rendered frame."""
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    for kind, count in kinds.items():
        for number in range(count):
            (folder / "images" / "train" / f"{kind}-{number:05d}.jpg").touch()
            (folder / "labels" / "train" / f"{kind}-{number:05d}.txt").touch()
    facts = {"frames": kinds.get("rendered", 0) // 2, "imgsz": 64, "seed": 1, "real": []}
    (folder / "facts.json").write_text(json.dumps(facts))
    return folder


def test_a_small_share_lies_within_every_larger_one_and_is_the_same_again(tmp_path: Path) -> None:
    data = training_set(tmp_path / "data", rendered=200, real=60, ground=20)
    shares = (0.05, 0.2, 0.5, 1.0)
    found = nested_subsets(data, shares, seed=3)
    assert [len(found[s]) for s in shares] == [10 + 3 + 1, 40 + 12 + 4, 100 + 30 + 10, 280]
    for small, large in ((0.05, 0.2), (0.2, 0.5), (0.5, 1.0)):
        assert set(found[small]) < set(found[large])
    assert nested_subsets(data, (0.2,), seed=3)[0.2] == found[0.2]
    assert nested_subsets(data, (0.2,), seed=4)[0.2] != found[0.2]


def test_windows_of_one_frame_stay_together(tmp_path: Path) -> None:
    data = training_set(tmp_path / "data", rendered=40)
    numbers = [int(name.split("-")[1]) for name in nested_subsets(data, (0.3,), seed=1)[0.3]]
    assert len(numbers) == 12
    assert all(n ^ 1 in numbers for n in numbers)


def test_a_folder_that_is_no_training_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"facts\.json"):
        nested_subsets(tmp_path, (0.5, 1.0), 1)
    data = training_set(tmp_path / "data", rendered=4)
    (data / "facts.json").write_text('{"frames": 2}')
    with pytest.raises(InputError, match="expected frames, imgsz"):
        nested_subsets(data, (0.5, 1.0), 1)


def test_known_laws_are_recovered() -> None:
    n = np.array([100, 400, 1000, 2000])
    for a, b in ((2.0, 0.3), (5.0, 0.5), (0.4, 0.05)):
        of = np.full(4, 1000.0)
        log_a, found = fit_power_law(n, list(zip(a * n**-b * of, of, strict=True)))
        assert (np.exp(log_a), found) == pytest.approx((a, b), rel=1e-3)


def test_a_point_without_errors_counts_as_much_as_it_saw() -> None:
    n, rows = [100, 1000], [(50.0, 100.0), (0.0, 100.0)]
    _, steep = fit_power_law(n, rows)
    _, flat = fit_power_law([*n, 1000], [*rows, (500.0, 1000.0)])
    assert steep > 1.0
    assert flat < 0.1


def test_what_was_never_wrong_or_seen_at_one_size_has_no_law() -> None:
    with pytest.raises(ValueError, match="two training sizes"):
        fit_power_law([100, 1000], [(0, 50), (0, 50)])
    with pytest.raises(ValueError, match="two training sizes"):
        fit_power_law([100, 1000], [(0, 0), (5, 50)])


def point(pictures: int, wrong: int, of: int = 100) -> CurvePoint:
    counts = {s: {e: {"r1": (wrong, of), "r2": (wrong // 2, of)} for e in ERRORS} for s in SENSOR_SETS}
    return CurvePoint(
        pictures / 1000,
        pictures,
        {"rendered": pictures},
        {"hand": 9},
        10,
        pictures,
        1.0,
        {"hand": 0.5},
        counts,
    )


@pytest.fixture(scope="module")
def curve() -> LearningCurve:
    return LearningCurve.fitted([point(1000, 20), point(50, 60), point(250, 34)], {"seed": 1})


def test_more_pictures_are_predicted_to_mend_errors(curve: LearningCurve) -> None:
    assert [p.pictures for p in curve.points] == [50, 250, 1000]
    assert curve.points[0].error("vision", "event") == pytest.approx(90 / 200)
    for pictures, error in ((50, 0.45), (1000, 0.15)):
        assert curve.predict(pictures) == pytest.approx(error, rel=0.1)
    assert curve.predict(4000) < curve.predict(2000) < 0.15
    assert curve.predict(0.001) == 1.0
    law = curve.laws["vision"]["event"]
    assert law is not None
    assert law.b_ci95 is not None
    assert law.b_ci95[0] <= law.b <= law.b_ci95[1]
    assert (law.least_pictures, law.most_pictures) == (50, 1000)


def test_a_saved_curve_predicts_alike(curve: LearningCurve, tmp_path: Path) -> None:
    curve.save(tmp_path / "curve.json")
    again = LearningCurve.load(tmp_path / "curve.json")
    assert again == curve
    assert again.predict(3000, "product", "vision") == curve.predict(3000, "product", "vision")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("schema", 2, "schema"),
        ("points", [{"share": 0.5}], "missing or malformed"),
        ("laws", {"vision": {}}, "missing or malformed"),
        ("laws", {"vision": {e: {"a": -1, "b": 1, "b_ci95": None, "covariance": None, "least_pictures": 1,
                                 "most_pictures": 2} for e in ERRORS}}, "positive a"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(
    curve: LearningCurve, tmp_path: Path, key: str, value: object, said: str
) -> None:
    curve.save(tmp_path / "curve.json")
    document = json.loads((tmp_path / "curve.json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**document, key: value}))
    with pytest.raises(InputError, match=said):
        LearningCurve.load(tmp_path / "bad.json")


def test_more_wrong_than_there_were_is_refused(curve: LearningCurve, tmp_path: Path) -> None:
    curve.save(tmp_path / "curve.json")
    document = json.loads((tmp_path / "curve.json").read_text())
    document["points"][0]["counts"]["vision"]["event"]["r1"] = [5, 4]
    (tmp_path / "curve.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="5 wrong of 4"):
        LearningCurve.load(tmp_path / "curve.json")


def test_what_is_no_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        LearningCurve.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(InputError, match="not JSON"):
        LearningCurve.load(tmp_path / "text.json")


def test_unknown_questions_are_refused(curve: LearningCurve) -> None:
    for asked in ((0.0, "event", "vision"), (10, "evnt", "vision"), (10, "event", "smell")):
        with pytest.raises(InputError):
            curve.predict(*asked)
    silent = LearningCurve.fitted([point(50, 0), point(500, 0)], {})
    with pytest.raises(InputError, match="no law"):
        silent.predict(100)


def test_errors_are_counted_by_hand(weighed: Recording) -> None:
    true = weighed.truth.events
    sure = [replace(e, item_confidence=0.95) for e in true]
    wrong = [replace(sure[0], product="something else"), *sure[1:-1]]
    doubted = [*wrong[:-1], replace(wrong[-1], shopper_confidence=0.5)]
    found = counted(weighed, Perceived("two", tuple(doubted), ()))
    n = len(true)
    assert n >= 3
    # one missed, one of another product: n - 2 hits; 2 n - 1 events in both lists
    assert found["event"] == (2 * n - 1 - 2 * (n - 2), 2 * n - 1)
    assert found["product"] == (1, n - 1)
    assert found["low_confidence"] == (1, n - 1)


def test_a_plan_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more"):
        Plan(tmp_path, (tmp_path,), shares=(1.0, 1.0))
    with pytest.raises(InputError, match="two or more"):
        Plan(tmp_path, (tmp_path,), shares=(0.5, 1.5))
    with pytest.raises(InputError, match="recordings"):
        Plan(tmp_path, ())
    plan = Plan(tmp_path, (tmp_path,), epochs=10, equal_steps=True)
    assert [plan.epochs_of(share) for share in (0.05, 0.5, 1.0)] == [200, 20, 10]


def short(recording: Path, out: Path, frames: int) -> Path:
    """A recording whose videos end after so many frames; what happens later cannot be seen."""
    shutil.copytree(recording, out)
    for camera in Recording.open(recording).cameras:
        with VideoWriter(out / camera.file, camera.width, camera.height, camera.fps) as writer:
            for _, image in islice(read_frames(recording / camera.file), frames):
                writer.write(image)
    return out


def drawn_training_set(folder: Path) -> Path:
    """Sixteen pictures of noise to train on and two to validate by, each with an item in its middle."""
    import cv2

    data = training_set(folder, rendered=16)
    rng = np.random.default_rng(1)
    for split, count in (("train", 16), ("val", 2)):
        for part in ("images", "labels"):
            (data / part / split).mkdir(exist_ok=True)
        for number in range(count):
            image = rng.integers(0, 255, (64, 64, 3), np.uint8)
            cv2.imwrite(str(data / "images" / split / f"rendered-{number:05d}.jpg"), image)
            (data / "labels" / split / f"rendered-{number:05d}.txt").write_text("1 0.5 0.5 0.4 0.4\n")
    return data


@pytest.mark.slow
def test_a_share_is_trained_and_judged_and_finished_ones_are_kept(shipped: Path, tmp_path: Path) -> None:
    os.environ["YOLO_AUTOINSTALL"] = "false"
    recording = short(shipped / "clean-01", tmp_path / "short", frames=3)
    plan = Plan(
        drawn_training_set(tmp_path / "data"), (recording,), epochs=1, shares=(0.5, 1.0), device="cpu"
    )
    out, work = tmp_path / "curve.json", tmp_path / "curve-work"
    with pytest.raises(InputError, match="nothing to resume"):
        measure(out, plan, resume=True)
    open_work(work, plan, [Recording.open(recording)], resume=False)
    (work / "share-1").mkdir()
    (work / "share-1" / "point.json").write_text(json.dumps(asdict(point(16, 20))))
    with pytest.raises(InputError, match="epochs"):
        measure(out, replace(plan, epochs=2), resume=True)
    curve = measure(out, plan, resume=True)
    assert [(p.pictures, p.steps, dict(p.boxes)) for p in curve.points[:1]] == [(8, 1, {"item": 8})]
    assert curve.points[1] == point(16, 20)
    wrong, of = curve.points[0].counts["vision"]["event"]["clean-01"]
    assert wrong == of >= len(Recording.open(recording).truth.events)
    assert (work / "share-0.5" / "shelf-yolo26n_openvino_model").is_dir()
    assert not (work / "share-1" / "work").exists()
    assert LearningCurve.load(out) == curve
