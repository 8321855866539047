"""COCO: the export as a COCO reader sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.formats.coco import export_coco
from checkout.recording import Recording


def test_a_coco_reader_finds_every_box(boxed: Recording, tmp_path: Path) -> None:
    from faster_coco_eval import COCO

    coco = COCO(str(export_coco(boxed, tmp_path / "coco") / "annotations.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["hand", "item", "person"]
    images = coco.loadImgs(coco.getImgIds())
    assert len(images) == 16
    found = []
    for image in images:
        assert (tmp_path / "coco" / image["file_name"]).is_file()
        assert (image["width"], image["height"]) == (96, 64)
        for a in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            x, y, width, height = a["bbox"]
            assert a["area"] == pytest.approx(width * height)
            label = coco.cats[a["category_id"]]["name"]
            found.append(
                (image["camera"], image["frame"], label, x, y, x + width, y + height, a["visibility"])
            )
    table = pd.DataFrame(found, columns=[c for c in boxed.boxes.columns if c != "id"])
    pd.testing.assert_frame_equal(table, boxed.boxes.drop(columns="id"))


def test_an_object_keeps_its_track_however_the_frames_are_thinned(boxed: Recording, tmp_path: Path) -> None:
    document = json.loads(
        (export_coco(boxed, tmp_path / "c", every=3, min_visible=0.5) / "annotations.json").read_text()
    )
    tracks = {(a["category_id"], a["track_id"]) for a in document["annotations"]}
    assert tracks == {(2, 1), (3, 2)}
    assert [i["frame"] for i in document["images"]] == [0, 12, 24] * 2
    assert [a["id"] for a in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))


FAULTS = {
    "a frame beyond the video": (
        lambda b: b.assign(frame=b["frame"].replace(28, 90)),
        r"boxes\.parquet: frame: 90 of camera 'cam0' is beyond the end",
    ),
    "an unknown camera": (lambda b: b.assign(camera="cam7"), r"camera: 'cam7' is not one of"),
    "an unknown label": (lambda b: b.assign(label="hnad"), r"label: 'hnad'.*did you mean 'hand'"),
    "no boxes": (lambda b: b.iloc[:0], "holds no boxes"),
    "a column too few": (lambda b: b.drop(columns="visible"), "visible: column is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_recording_leaves_nothing_behind(boxed: Recording, tmp_path: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    folder = tmp_path / "rec"
    shutil.copytree(boxed.path, folder)
    change(boxed.boxes).to_parquet(folder / "boxes.parquet")
    with pytest.raises(InputError, match=message):
        export_coco(Recording.open(folder), tmp_path / "coco")
    assert [p.name for p in tmp_path.iterdir()] == ["rec"]


def test_numbers_are_plain_json(boxed: Recording, tmp_path: Path) -> None:
    document = json.loads((export_coco(boxed, tmp_path / "c") / "annotations.json").read_text())
    assert np.isfinite([v for a in document["annotations"] for v in a["bbox"]]).all()
