"""A whole training, of a few small pictures: what it writes can be loaded anywhere, and knows our three classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from checkout.errors import InputError
from checkout.vision.detector import CLASSES, Detector
from checkout.vision.training import blend_weights, train
from checkout.vision.training_data import HAND, ITEM, PERSON, UNBOXED, Boxed, yolo_rows

SIDE = 64


def picture(rng: np.random.Generator) -> Boxed:
    """A thing of each class, a patch of its own grey."""
    image = rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
    boxes = []
    for label in (HAND, ITEM, PERSON):
        x, y = (int(v) for v in rng.integers(0, SIDE - 20, 2))
        image[y : y + 18, x : x + 18] = 100 + 60 * label
        boxes.append([x, y, x + 18, y + 18])
    return Boxed(image, np.array([HAND, ITEM, PERSON]), np.array(boxes, float))


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """`train`'s folder with the frames that it would render."""
    rng = np.random.default_rng(1)
    frames = tmp_path / "out" / "work" / "frames-16-1"
    for split, count in (("train", 16), ("val", 4)):
        for kind in ("images", "labels"):
            (frames / kind / split).mkdir(parents=True)
        for number in range(count):
            made = picture(rng)
            cv2.imwrite(str(frames / "images" / split / f"{number}.jpg"), made.image)
            (frames / "labels" / split / f"{number}.txt").write_text(yolo_rows(made))
    return tmp_path / "out"


@pytest.fixture
def items_only(tmp_path: Path) -> Path:
    """A folder of real pictures in which only items have boxes."""
    rng = np.random.default_rng(2)
    folder = tmp_path / "items"
    folder.mkdir()
    for number in range(4):
        made = picture(rng)
        cv2.imwrite(str(folder / f"{number}.png"), made.image)
        x1, y1, x2, y2 = made.boxes[ITEM]
        box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        (folder / f"{number}.xml").write_text(
            f"<annotation><size><width>{SIDE}</width><height>{SIDE}</height></size>"
            f"<object><name>cola</name><bndbox>{box}</bndbox></object></annotation>"
        )
    return folder


def test_a_training_writes_weights_that_load_and_a_card(rendered: Path, items_only: Path) -> None:
    weights = train(
        rendered, frames=16, epochs=1, imgsz=SIDE, seed=1, real=[items_only], workers=1, device="cpu"
    )
    real = sorted((rendered / "work" / "data" / "labels" / "train").glob("real-*.txt"))
    assert real
    for file in real:
        unboxed = {int(row.split()[0]) for row in file.read_text().splitlines()} - set(range(len(CLASSES)))
        assert unboxed == {UNBOXED + HAND, UNBOXED + PERSON}
    detector = Detector(weights)
    assert detector.sees == CLASSES
    assert detector.model.names == dict(enumerate(CLASSES))
    assert (rendered / f"{weights.stem}_openvino_model").is_dir()
    assert "1 epochs at 64 px" in weights.with_suffix(".md").read_text()
    with pytest.raises(InputError, match="exists"):
        train(rendered, frames=16, epochs=1, imgsz=SIDE, seed=1, workers=1, device="cpu")


def test_a_blend_is_the_mean_of_what_was_and_what_is(tmp_path: Path) -> None:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = DetectionModel("yolo26n.yaml", nc=len(CLASSES), verbose=False)
        torch.save({"model": model, "ema": None}, tmp_path / f"{seed}.pt")
        made.append({key: value.clone() for key, value in model.state_dict().items()})
    blend_weights(tmp_path / "2.pt", str(tmp_path / "1.pt"), 0.7)
    mean = torch.load(tmp_path / "2.pt", weights_only=False)["model"].state_dict()
    for key, value in mean.items():
        if value.is_floating_point():
            assert torch.allclose(value, 0.3 * made[0][key] + 0.7 * made[1][key], atol=1e-6)


@pytest.mark.parametrize(
    ("blend", "why"), [(0.0, "expected a share"), (0.5, "without weights to start from")]
)
def test_a_blend_of_nothing_is_refused(tmp_path: Path, blend: float, why: str) -> None:
    with pytest.raises(InputError, match=why):
        train(tmp_path, blend=blend)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("none.pt", None, "does not exist, expected YOLO weights"),
        ("mine.onnx", b"", "is not a checkpoint that can be trained, expected .pt"),
        ("mine.pt", b"no weights", "is not a YOLO detection model"),
    ],
)
def test_weights_that_cannot_be_trained_are_refused_before_anything_is_rendered(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=why):
        train(tmp_path / "out", weights=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_a_blend_with_weights_of_other_classes_is_refused_before_it_trains(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    model = DetectionModel("yolo26n.yaml", nc=5, verbose=False)
    torch.save({"model": model, "ema": None}, other)
    with pytest.raises(InputError, match="5 classes, a blend needs exactly hand, item, person"):
        train(tmp_path / "out", weights=str(other), blend=0.5)
    assert not (tmp_path / "out").exists()


def test_a_resumed_training_keeps_its_blend(rendered: Path) -> None:
    begun = train(rendered, frames=16, epochs=1, imgsz=SIDE, seed=1, workers=1, device="cpu")
    start = begun.rename(rendered / "start.pt")

    def stop(doing: str, share: float) -> None:
        if (
            doing == "training"
            and share < 1
            and (rendered / "work" / "run" / "weights" / "last.pt").is_file()
        ):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            rendered, frames=16, epochs=3, imgsz=SIDE, seed=1, workers=1, device="cpu", weights=str(start),
            blend=0.25, progress=stop, force=True,
        )  # fmt: skip
    train(rendered, resume=True, workers=1, device="cpu")
    assert "0.25 of what was trained" in begun.with_suffix(".md").read_text()
