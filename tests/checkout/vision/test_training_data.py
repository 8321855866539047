"""The training set: windows and pasted things keep true boxes, and real folders are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.vision.training_data import (
    ARM_PART,
    HAND,
    HAND_PART,
    ITEM,
    ITEM_PART,
    LEAST_REPEATS,
    PERSON,
    UNBOXED,
    WINDOWS_PER_FRAME,
    ZOOM,
    Boxed,
    Cutout,
    RealData,
    build,
    hand_cutouts,
    load_real,
    paste_some,
    read_yolo,
    unboxed_rows,
    voc_pictures,
    window,
    yolo_rows,
)


def bright(box: tuple[int, int, int, int], size: tuple[int, int] = (360, 640)) -> Boxed:
    """A dark picture with one bright thing, boxed as a hand."""
    image = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return Boxed(image, np.array([HAND]), np.array([box], float))


def bright_box(image: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(image[..., 0] > 128)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


def test_a_window_moves_its_boxes_with_the_picture() -> None:
    rng = np.random.default_rng(3)
    picture = bright((300, 100, 340, 130))
    kept = 0
    for _ in range(50):
        cut = window(picture, 256, rng)
        side = cut.image.shape[0]
        assert cut.image.shape == (side, side, 3)
        assert 256 / ZOOM[1] <= side <= 256 / ZOOM[0]
        for box in cut.boxes:
            assert box.astype(int).tolist() == bright_box(cut.image)
            kept += 1
    assert kept > 20


def test_what_a_window_cuts_away_has_no_box() -> None:
    rng = np.random.default_rng(3)
    picture = Boxed(np.zeros((300, 2000, 3), np.uint8), np.array([ITEM]), np.array([[0, 0, 30, 30]], float))
    lost = [len(window(picture, 300, rng).boxes) for _ in range(40)]
    assert 0 in lost


def test_pasted_things_are_boxed_where_they_are_seen() -> None:
    disc = np.hypot(*np.mgrid[-40:40, -40:40]) < 38
    item = Cutout(np.full((80, 80, 3), 255, np.uint8), np.where(disc, ITEM_PART, 0).astype(np.uint8))
    data = RealData([], [], [], [item], [])
    empty = Boxed(np.zeros((300, 300, 3), np.uint8), np.zeros(0, int), np.zeros((0, 4)))
    for seed in range(20):
        made = paste_some(empty, data, np.random.default_rng(seed), most=1)
        for label, box in zip(made.labels, made.boxes, strict=True):
            assert label == ITEM
            seen = np.argwhere(made.image.max(axis=2) > 40)[:, ::-1]
            assert (seen >= box[:2] - 2).all()
            assert (seen <= box[2:] + 2).all()
    assert not empty.image.any()


def test_a_covered_thing_loses_its_box_and_an_arm_has_none() -> None:
    parts = np.full((60, 60), ARM_PART, np.uint8)
    parts[:, :20] = HAND_PART
    hand = Cutout(np.full((60, 60, 3), 200, np.uint8), parts)
    data = RealData([], [], [], [], [hand])
    made = [
        paste_some(bright((0, 0, 12, 12), (120, 120)), data, np.random.default_rng(s), most=3)
        for s in range(60)
    ]
    assert {int(label) for m in made for label in m.labels} == {HAND}
    covered = [m for m in made if not any((box == [0, 0, 12, 12]).all() for box in m.boxes)]
    assert 0 < len(covered) < 60


def test_rows_and_reading_are_each_others_inverse(tmp_path: Path) -> None:
    import cv2

    picture = bright((300, 100, 340, 130))
    cv2.imwrite(str(tmp_path / "a.png"), picture.image)
    (tmp_path / "a.txt").write_text(yolo_rows(picture))
    again = read_yolo(tmp_path / "a.png", tmp_path / "a.txt")
    assert again.labels.tolist() == [HAND]
    assert again.boxes == pytest.approx(picture.boxes, abs=0.01)


def test_classes_that_a_folder_never_boxes_are_unboxed(tmp_path: Path) -> None:
    import cv2

    for name, labels in (("a", ("person", "cola")), ("b", ())):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((40, 60, 3), np.uint8))
        corners = "<xmin>5</xmin><ymin>6</ymin><xmax>30</xmax><ymax>36</ymax>"
        things = "".join(
            f"<object><name>{label}</name><bndbox>{corners}</bndbox></object>" for label in labels
        )
        size = "<size><width>60</width><height>40</height></size>"
        (tmp_path / f"{name}.xml").write_text(f"<annotation>{size}{things}</annotation>")
    pictures = voc_pictures(tmp_path)
    assert [picture.labels.tolist() for picture in pictures] == [[PERSON, ITEM], []]
    assert [picture.unboxed for picture in pictures] == [(HAND,), (HAND,)]
    assert unboxed_rows(pictures[1]) == f"{UNBOXED + HAND} 0.5 0.5 1 1\n"
    cut = window(pictures[0], 24, np.random.default_rng(1))
    assert paste_some(cut, RealData([], [], [], [], []), np.random.default_rng(1)).unboxed == (HAND,)


def test_where_skin_shows_beside_the_outlines_hands_and_people_are_unboxed(tmp_path: Path) -> None:
    import cv2

    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    skin = np.full((100, 100, 3), (110, 140, 200), np.uint8)
    plain = np.full((100, 100, 3), 90, np.uint8)
    for number, image in enumerate((plain, skin, plain)):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        (tmp_path / "labels" / f"{number}.txt").write_text("3 0.1 0.1 0.3 0.1 0.3 0.3\n")
    data = load_real([tmp_path])
    assert len(data.held_out) == 1
    assert [picture.unboxed for picture in data.outlined] == [(HAND, PERSON), ()]
    assert not unboxed_rows(data.outlined[1])


def test_a_folder_of_nothing_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no Pascal VOC \.xml, no images/"):
        load_real([tmp_path])
    with pytest.raises(InputError, match="is not a folder"):
        load_real([tmp_path / "none"])


@pytest.mark.realdata
def test_real_folders_become_a_training_set(real_data: Path, tmp_path: Path) -> None:
    import cv2

    rendered = tmp_path / "rendered"
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (rendered / kind / split).mkdir(parents=True)
        picture = bright((300, 100, 340, 130))
        cv2.imwrite(str(rendered / "images" / split / "0.jpg"), picture.image)
        (rendered / "labels" / split / "0.txt").write_text(yolo_rows(picture))
    data = build(tmp_path / "data", rendered, [real_data / "mini-amazon-go" / "v1"], imgsz=320, seed=1).parent
    assert len(list((data / "images" / "train").iterdir())) == WINDOWS_PER_FRAME + LEAST_REPEATS * 44
    assert len(list((data / "labels" / "train").iterdir())) == WINDOWS_PER_FRAME + LEAST_REPEATS * 44
    labels = {int(label) for p in voc_pictures(real_data / "mini-amazon-go" / "v1") for label in p.labels}
    assert labels == {HAND, ITEM}


@pytest.mark.realdata
def test_hands_are_cut_from_a_plain_ground(real_data: Path) -> None:
    found = hand_cutouts(real_data / "hands" / "cup.mp4")
    assert len(found) > 20
    for cutout in found:
        share = (cutout.parts == HAND_PART).sum() / (cutout.parts > 0).sum()
        assert 0.15 < share < 0.85
