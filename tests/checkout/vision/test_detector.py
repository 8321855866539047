"""One box for each thing, and weights that cannot be used."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.vision.detector import (
    BACKENDS,
    CLASSES,
    EXPORT_SIZE,
    LIBRARIES,
    LOWEST_CONFIDENCE,
    SHIPPED,
    SHIPPED_NAME,
    Detections,
    Detector,
    export_weights,
    merged,
    overlaps,
    shipped_weights,
)
from checkout.vision.video import read_frames


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


def test_asking_for_weak_boxes_moves_none_of_the_others() -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 60, (200, 2))
    every = Detections(
        np.hstack([low, low + rng.uniform(10, 40, (200, 2))]).astype(np.float32),
        rng.uniform(0.001, 0.4, 200).astype(np.float32),
        rng.integers(0, 3, 200),
    )
    both, strong = merged(every), merged(every.where(every.confidence >= LOWEST_CONFIDENCE))
    of_both = both.where(both.confidence >= LOWEST_CONFIDENCE)
    assert 0 < len(strong) < len(both)
    assert np.array_equal(of_both.boxes_xyxy, strong.boxes_xyxy)
    assert np.array_equal(of_both.confidence, strong.confidence)


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


def frame_with_a_shopper(shipped: Path) -> np.ndarray:
    """The middle picture of a shipped video, uint8 [360, 640, 3]."""
    return next(
        image
        for index, (_, image) in enumerate(read_frames(shipped / "clean-01" / "cam0.mp4"))
        if index == 120
    )


def matched(a: Detections, b: Detections) -> np.ndarray:
    """Of each detection over 0.3 of either, whether the other has its like: the class, IoU 0.9, score within 0.05."""
    found = []
    for some, others in ((a, b), (b, a)):
        near = overlaps(some.boxes_xyxy, others.boxes_xyxy) >= 0.9
        like = np.abs(some.confidence[:, None] - others.confidence[None]) <= 0.05
        its_like = (near & like & (some.label[:, None] == others.label[None])).any(axis=1)
        found.append(its_like[some.confidence > 0.3])
    return np.concatenate(found)


@pytest.mark.parametrize(("form", "name"), [("onnx", "again.onnx"), ("openvino", "again_openvino_model")])
def test_every_backend_sees_the_same(shipped: Path, tmp_path: Path, form: str, name: str) -> None:
    for library in LIBRARIES[form]:
        pytest.importorskip(library, reason=f"{library} is not installed: {form} is not compared")
    weights, there = SHIPPED / f"{SHIPPED_NAME}.pt", sorted(SHIPPED.iterdir())
    image = frame_with_a_shopper(shipped)
    by_torch = Detector(weights, imgsz=EXPORT_SIZE).detect([image])[0]
    made = export_weights(weights, tmp_path / name, form)
    exported = Detector(made, imgsz=EXPORT_SIZE).detect([image])[0]
    assert (by_torch.confidence > 0.3).sum() > 10
    assert matched(by_torch, exported).all()
    moved = Detections(exported.boxes_xyxy + 20, exported.confidence, exported.label)
    assert not matched(by_torch, moved).all()
    assert sorted(SHIPPED.iterdir()) == there

    # At the size at which pictures are read, half precision moves a small box by a pixel now and then.
    pictures = [image for _, image in read_frames(shipped / "clean-01" / "cam0.mp4")][::40]
    pairs = zip(Detector(weights).detect(pictures), Detector(made).detect(pictures), strict=True)
    alike = np.concatenate([matched(a, b) for a, b in pairs])
    assert len(alike) > 200
    assert alike.mean() > 0.97


def test_the_fastest_form_whose_library_is_here_is_taken(tmp_path: Path) -> None:
    weights = tmp_path / f"{SHIPPED_NAME}.pt"
    weights.touch()
    assert shipped_weights(tmp_path) == weights
    (tmp_path / f"{SHIPPED_NAME}_openvino_model").mkdir()
    assert shipped_weights(tmp_path).name == f"{SHIPPED_NAME}_openvino_model"
    assert list(BACKENDS) == ["openvino", "onnxruntime", "torch"]


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "a.onnx"
    weights.touch()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "onnxruntime" else find(name, *a)
    )
    with pytest.raises(InputError, match=r"a\.onnx: needs onnxruntime, which is not installed"):
        Detector(weights)


def test_an_export_is_refused_before_any_work(tmp_path: Path) -> None:
    weights = SHIPPED / f"{SHIPPED_NAME}.pt"
    for source, out, form, why in (
        (weights, tmp_path / "a.onnx", "tensorrt", "is not one of onnx, openvino"),
        (weights, tmp_path / "a.bin", "onnx", "does not end in .onnx"),
        (tmp_path / "a.onnx", tmp_path / "b.onnx", "onnx", "cannot be exported"),
        (weights, weights, "onnx", "does not end in .onnx"),
    ):
        with pytest.raises(InputError, match=why):
            export_weights(source, out, form)


class Trap:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    import torch

    weights, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
    torch.save({"model": Trap(sprung)}, weights)
    with pytest.raises(InputError, match="holds more than a YOLO model") as caught:
        Detector(weights)
    assert not sprung.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".pt", ".onnx", "_openvino_model"])
def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, ending: str) -> None:
    damaged = tmp_path / f"damaged{ending}"
    if ending == "_openvino_model":
        damaged.mkdir()
        for part in (SHIPPED / f"{SHIPPED_NAME}{ending}").iterdir():
            content = part.read_bytes()
            (damaged / part.name).write_bytes(content[:2000] if part.suffix == ".xml" else content)
    else:
        damaged.write_bytes((SHIPPED / f"{SHIPPED_NAME}.pt").read_bytes()[:100_000])
        if ending == ".onnx":
            pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="not a YOLO detection model") as caught:
        Detector(damaged)
    assert "\n" not in str(caught.value)


def test_a_class_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="'bottle' is not a class of this model: hand, item, person"):
        Detector(class_map={"bottle": "item"})
    with pytest.raises(InputError, match="none of hand, item, person is a hand, an item or a person"):
        Detector(class_map={"hand": "", "item": "", "person": ""})
