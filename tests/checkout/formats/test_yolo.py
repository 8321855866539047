"""YOLO: what is written is what is read and what Ultralytics takes, and every fault has a line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from checkout.errors import InputError
from checkout.footage import LABELS
from checkout.formats.yolo import export_yolo, import_yolo
from checkout.recording import Recording

CORNERS = ["x1", "y1", "x2", "y2"]


def data_set(folder: Path, labels: dict[str, str], names: object = ("hand", "item", "person")) -> Path:
    (folder / "labels").mkdir(parents=True)
    names = list(names) if isinstance(names, tuple) else names
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": names}))
    for name, text in labels.items():
        (folder / "labels" / name).write_text(text)
    return folder


def test_classes_are_numbered_as_the_shipped_detector_numbers_them() -> None:
    from checkout.render import scene

    assert LABELS == scene.LABELS


def test_boxes_survive_export_and_import(boxed: Recording, film: Path, tmp_path: Path) -> None:
    export_yolo(boxed, tmp_path / "yolo")
    again = import_yolo(tmp_path / "yolo" / "labels" / "cam1", film, tmp_path / "rec", camera_id="cam1").boxes
    before = boxed.boxes[boxed.boxes["camera"] == "cam1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        again[["camera", "frame", "label", *CORNERS]],
        before[["camera", "frame", "label", *CORNERS]],
        atol=1e-3,
        rtol=0,
    )
    assert set(again["id"]) == {"item-1", "person-1"}


def test_pictures_are_the_annotated_frames(boxed: Recording, tmp_path: Path) -> None:
    export_yolo(boxed, tmp_path / "yolo", every=3, min_visible=0.5)
    pictures = sorted(p.relative_to(tmp_path / "yolo").as_posix() for p in tmp_path.rglob("*.jpg"))
    assert pictures == [f"images/{c}/{n:06d}.jpg" for c in ("cam0", "cam1") for n in (0, 12, 24)]
    image = cv2.imread(str(tmp_path / "yolo" / "images" / "cam0" / "000012.jpg"))
    assert image is not None
    assert image.shape == (64, 96, 3)
    bright = np.flatnonzero(image[30, :, 0] > 130)
    assert (bright.min(), bright.max()) == pytest.approx((24, 43), abs=1)
    assert (tmp_path / "yolo" / "labels" / "cam0" / "000024.txt").read_text().startswith("2 ")
    assert len((tmp_path / "yolo" / "labels" / "cam0" / "000024.txt").read_text().splitlines()) == 1


def test_ultralytics_takes_the_export(
    boxed: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    export_yolo(boxed, tmp_path / "yolo")
    monkeypatch.chdir(tmp_path)
    data = check_det_dataset(str(tmp_path / "yolo" / "data.yaml"), autodownload=False)
    assert data["names"] == {0: "hand", 1: "item", 2: "person"}
    loaded = YOLODataset(img_path=data["train"], data=data, task="detect", imgsz=96, augment=False)
    assert len(loaded.labels) == 16
    assert {tuple(x["cls"].ravel()) for x in loaded.labels} == {(1.0, 2.0)}


def test_names_are_mapped_or_left_out(film: Path, tmp_path: Path) -> None:
    source = data_set(
        tmp_path / "d", {"f_01.txt": "0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n"}, {0: "bottle", 1: "chair"}
    )
    with pytest.raises(InputError, match=r"data\.yaml: names\[0\]: label 'bottle', expected one of hand"):
        import_yolo(source, film, tmp_path / "rec")
    boxes = import_yolo(source, film, tmp_path / "rec", classes="bottle=item,chair=", first_frame=1).boxes
    assert boxes[["frame", "label", "id"]].to_numpy().tolist() == [[0, "item", "item-1"]]


FAULTS = {
    "a field that is no number": ({"a1.txt": "0 x .5 .1 .1"}, r"a1\.txt: line 1: centre x: 'x' is not a num"),
    "a polygon": (
        {"a1.txt": "0 .1 .1 .2 .2 .3 .3"},
        r"a1\.txt: line 1: has 7 fields, expected class, centre",
    ),
    "a class without a name": ({"a1.txt": "\n7 .5 .5 .1 .1"}, r"line 2: class: 7 has no name in data\.yaml"),
    "a size below zero": (
        {"a1.txt": "0 .5 .5 -.1 .1"},
        r"line 1: width -0\.1 and height 0\.1, expected more",
    ),
    "pixels": ({"a1.txt": "0 48 32 10 10"}, r"line 1: 48 32 10 10 are pixels, expected shares"),
    "a box in another picture": ({"a1.txt": "0 1.9 .5 .1 .1"}, "lies outside the picture of 96x64"),
    "a frame beyond the video": ({"a30.txt": "0 .5 .5 .1 .1"}, r"frame 30 is not in .*aisle\.mp4"),
    "a file without a number": ({"labels.txt": "0 .5 .5 .1 .1"}, "its name does not end in a frame number"),
    "a frame twice": ({"a1.txt": "", "b1.txt": ""}, r"b1\.txt: is frame 1 like .*a1\.txt"),
    "no labels": ({}, r"holds no \.txt labels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_line(film: Path, tmp_path: Path, fault: str) -> None:
    labels, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        import_yolo(data_set(tmp_path / "d", labels), film, tmp_path / "rec")
    assert not (tmp_path / "rec").exists()


def test_a_data_set_without_names_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"names: None, expected a name for each class"):
        import_yolo(data_set(tmp_path / "d", {}, None), film, tmp_path / "rec")
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    with pytest.raises(InputError, match=r"data\.yaml: does not exist"):
        import_yolo(tmp_path / "a" / "b" / "c", film, tmp_path / "rec")
    with pytest.raises(InputError, match="is not a folder"):
        import_yolo(film, film, tmp_path / "rec")
