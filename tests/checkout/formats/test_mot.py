"""MOTChallenge: what is written is what is read, and every fault has a line."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.errors import InputError
from checkout.footage import Footage
from checkout.formats.mot import export_mot, import_mot, load_mot
from checkout.recording import Recording

CORNERS = ["x1", "y1", "x2", "y2"]


def gt(folder: Path, text: str) -> Path:
    file = folder / "gt.txt"
    file.write_text(text)
    return file


def test_boxes_survive_export_and_import(boxed: Recording, film: Path, tmp_path: Path) -> None:
    export_mot(boxed, tmp_path / "mot")
    again = import_mot(tmp_path / "mot" / "cam1", film, tmp_path / "rec", camera_id="cam1").boxes
    before = boxed.boxes[boxed.boxes["camera"] == "cam1"].reset_index(drop=True)
    assert list(again.columns) == list(before.columns)
    pd.testing.assert_frame_equal(again.drop(columns="id"), before.drop(columns="id"), atol=2e-3, rtol=0)
    names = pd.DataFrame({"before": before["id"], "again": again["id"]}).drop_duplicates()
    assert len(names) == before["id"].nunique() == again["id"].nunique()


def test_a_sequence_is_laid_out_as_the_challenge_lays_it_out(boxed: Recording, tmp_path: Path) -> None:
    export_mot(boxed, tmp_path / "mot", every=2)
    parser = configparser.ConfigParser()
    parser.read(tmp_path / "mot" / "cam0" / "seqinfo.ini")
    sequence = parser["Sequence"]
    assert (sequence["imwidth"], sequence["imheight"]) == ("96", "64")
    assert (sequence["framerate"], sequence["seqlength"]) == ("10", "30")
    table = np.loadtxt(tmp_path / "mot" / "cam0" / "gt" / "gt.txt", delimiter=",")
    assert table.shape == (8, 9)
    assert sorted(set(table[:, 0])) == [1, 9, 17, 25]
    assert table[0].tolist() == [1, 1, 1, 21, 20, 20, 1, 3, 0.9]


def test_boxes_that_show_too_little_are_left_out(boxed: Recording, tmp_path: Path) -> None:
    export_mot(boxed, tmp_path / "mot", min_visible=0.6)
    table = np.loadtxt(tmp_path / "mot" / "cam0" / "gt" / "gt.txt", delimiter=",")
    assert table[:, 8].min() >= 0.6
    assert (table[:, 7] == 1).sum() == 8


def test_what_is_not_to_be_considered_is_left_out(film: Path, tmp_path: Path) -> None:
    file = gt(tmp_path, "1,1,1,1,10,10,0,1,1\n1,2,1,1,10,10,1,1,0.5\n\n2,3,1,1,10,10\n")
    boxes = load_mot(file, Footage.open("cam0", film), {"1": "person"})
    assert boxes[["frame", "id", "label", "visible"]].to_numpy().tolist() == [
        [0, "2", "person", 0.5],
        [1, "3", "person", 1.0],
    ]
    assert boxes[CORNERS].iloc[0].tolist() == [0, 0, 10, 10]


def test_classes_are_named_or_left_out(film: Path, tmp_path: Path) -> None:
    file = gt(tmp_path, "1,1,1,1,10,10,1,1,1\n1,2,1,1,10,10,1,7,1\n1,3,1,1,10,10,1,8,1\n")
    with pytest.raises(InputError, match=r"gt\.txt: line 2: class: 7 has no name.*--classes"):
        import_mot(file, film, tmp_path / "rec")
    boxes = import_mot(file, film, tmp_path / "rec", classes="1=person, 7=hand, 8=").boxes
    assert list(boxes["label"]) == ["person", "hand"]


@given(
    frame=st.integers(1, 30),
    left=st.floats(-5, 60),
    top=st.floats(-5, 40),
    width=st.floats(6.5, 200),
    height=st.floats(6.5, 200),
)
@settings(max_examples=60, deadline=None)
def test_boxes_never_leave_the_picture(
    film_footage: Footage, frame: int, left: float, top: float, width: float, height: float
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = gt(Path(folder), f"{frame},4,{left},{top},{width},{height},1,1,0.25\n")
        box = load_mot(file, film_footage, {"1": "person"}).iloc[0]
    assert 0 <= box.x1 < box.x2 <= 96
    assert 0 <= box.y1 < box.y2 <= 64
    assert box.frame == frame - 1
    assert box.x1 == pytest.approx(max(0.0, left - 1))


@pytest.fixture(scope="session")
def film_footage(film: Path) -> Footage:
    return Footage.open("cam0", film)


FAULTS = {
    "a field that is no number": ("1,1,a,1,10,10,1,1,1", r"line 1: left: 'a' is not a number"),
    "an infinite field": ("1,1,1,1,inf,10,1,1,1", r"line 1: width: 'inf' is not a number"),
    "half a frame": ("1.5,1,1,1,10,10,1,1,1", r"line 1: frame: '1\.5', expected a whole number"),
    "too few fields": ("1,1,1,1", r"line 1: has 4 fields, expected frame, id"),
    "a size below zero": ("1,1,1,1,-10,10,1,1,1", r"line 1: width -10 and height 10, expected more than 0"),
    "frame zero": ("0,1,1,1,10,10,1,1,1", r"line 1: frame: 0, expected 1 or more"),
    "a frame beyond the video": (
        "31,1,1,1,10,10,1,1,1",
        r"line 1: frame 30 is not in .*aisle\.mp4, which has frames 0 to 29",
    ),
    "a box in another picture": ("1,1,500,1,10,10,1,1,1", r"lies outside the picture of 96x64 \(0% of it"),
    "a visibility beyond one": ("1,1,1,1,10,10,1,1,2", r"line 1: visibility 2, expected 0 to 1"),
    "the same object twice": (
        "1,1,1,1,10,10,1,1,1\n1,1,5,5,10,10,1,1,1",
        r"line 2: '1' has a second box on frame 0, the first is at line 1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_line(film: Path, tmp_path: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        import_mot(gt(tmp_path, text), film, tmp_path / "rec")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "rec").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Sequence]\nseqLength=31\n", r"seqinfo\.ini: seqLength: 31 frames, but .*aisle\.mp4 has 30"),
        ("[Sequence]\nimWidth=640\nimHeight=360\n", r"640x360, but .*aisle\.mp4 is 96x64"),
        ("[Sequence]\nimWidth=96\n", r"imHeight: None is not a number"),
        ("seqLength=30\n", r"is not an INI file"),
        ("[Other]\n", r"\[Sequence\]: section is missing"),
    ],
)
def test_a_sequence_that_is_not_the_videos_is_refused(
    film: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "seq" / "gt").mkdir(parents=True)
    gt(tmp_path / "seq" / "gt", "1,1,1,1,10,10,1,1,1\n")
    (tmp_path / "seq" / "seqinfo.ini").write_text(text)
    with pytest.raises(InputError, match=message):
        import_mot(tmp_path / "seq", film, tmp_path / "rec")


def test_files_that_are_no_text_are_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not text"):
        import_mot(film, film, tmp_path / "rec")
    with pytest.raises(InputError, match=r"nothing\.txt: does not exist"):
        import_mot(tmp_path / "nothing.txt", film, tmp_path / "rec")
    with pytest.raises(InputError, match="is not a readable video"):
        import_mot(gt(tmp_path, "1,1,1,1,10,10"), tmp_path / "gt.txt", tmp_path / "rec")


def test_what_exists_is_kept(boxed: Recording, tmp_path: Path) -> None:
    (tmp_path / "mot").mkdir()
    (tmp_path / "mot" / "mine").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export_mot(boxed, tmp_path / "mot")
    assert (tmp_path / "mot" / "mine").read_text() == "mine"
    export_mot(boxed, tmp_path / "mot", force=True)
    assert not (tmp_path / "mot" / "mine").exists()
