"""CVAT: boxes and shelf events as they were drawn, and every fault with its track or frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.errors import InputError
from checkout.footage import Footage
from checkout.formats.cvat import import_cvat, load_cvat
from checkout.recording import write_plates

META = """<version>1.1</version><meta><task><size>30</size><mode>interpolation</mode>
<start_frame>0</start_frame><stop_frame>29</stop_frame><frame_filter></frame_filter>
<original_size><width>96</width><height>64</height></original_size></task></meta>"""


def box(
    frame: int, x1: float = 10, *, y1: float = 10, size: float = 20, more: str = "", inner: str = ""
) -> str:
    corners = f'xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x1 + size:.2f}" ybr="{y1 + size:.2f}"'
    return f'<box frame="{frame}" {corners} {more}>{inner}</box>'


def gone(frame: int, x1: float = 10) -> str:
    return box(frame, x1, more='outside="1"')


def track(label: str, *shapes: str, number: int = 0) -> str:
    return f'<track id="{number}" label="{label}">{"".join(shapes)}</track>'


def attributes(**values: object) -> str:
    return "".join(f'<attribute name="{k}">{v}</attribute>' for k, v in values.items())


def event(action: str, first: int, last: int, number: int = 9, **values: object) -> str:
    """A shelf event's track; CVAT repeats the attributes in every box."""
    return track(
        action, box(first, inner=attributes(**values)), box(last, inner=attributes(**values)),
        gone(last + 1), number=number,
    )  # fmt: skip


def xml(folder: Path, *elements: str, meta: str = META, name: str = "annotations.xml") -> Path:
    file = folder / name
    file.write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations>{meta}{"".join(elements)}</annotations>'
    )
    return file


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, Path]:
    """A catalogue and a planogram of two cans and a bag."""
    catalog = Catalog(
        [Product("can", 350, 2, 1.0), Product("can-light", 355, 2, 1.0), Product("bag", 90, 2, 2.0)]
    )
    facings = [Facing(f"g1.s1.f{i}", p, (f"g1.s1.p{i}",)) for i, p in enumerate(catalog, start=1)]
    catalog.save(tmp_path / "catalog.csv")
    Planogram(facings).save(tmp_path / "planogram.yaml")
    return {"catalog": tmp_path / "catalog.csv", "planogram": tmp_path / "planogram.yaml"}


@pytest.fixture(scope="session")
def footage(film: Path) -> Footage:
    return Footage.open("cam0", film)


def test_boxes_between_keyframes_move_evenly(footage: Footage, tmp_path: Path) -> None:
    file = xml(tmp_path, track("hand", box(2, 10), box(6, 30), gone(9, 60)))
    boxes, _ = load_cvat(file, footage)
    assert list(boxes["frame"]) == [2, 3, 4, 5, 6, 7, 8]
    assert list(boxes["x1"]) == pytest.approx([10, 15, 20, 25, 30, 40, 50])
    assert ((boxes["x2"] - boxes["x1"]) == 20).all()


def test_a_track_that_is_outside_for_a_while_has_no_boxes_there(footage: Footage, tmp_path: Path) -> None:
    file = xml(tmp_path, track("item", box(0), gone(3), box(10, more='outside="0"'), gone(12)))
    assert list(load_cvat(file, footage)[0]["frame"]) == [0, 1, 2, 10, 11]


def test_a_track_that_never_ends_stands_still_to_the_end(footage: Footage, tmp_path: Path) -> None:
    boxes, _ = load_cvat(xml(tmp_path, track("person", box(27, 40))), footage)
    assert list(boxes["frame"]) == [27, 28, 29]
    assert set(boxes["x1"]) == {40.0}


def test_occluded_lasts_until_the_next_keyframe(footage: Footage, tmp_path: Path) -> None:
    file = xml(tmp_path, track("hand", box(0), box(2, more='occluded="1"'), box(4), gone(5)))
    assert list(load_cvat(file, footage)[0]["visible"]) == [1, 1, 0.5, 0.5, 1]


@given(
    frames=st.lists(st.integers(0, 29), min_size=2, max_size=8, unique=True).map(sorted),
    places=st.lists(st.integers(0, 70), min_size=8, max_size=8),
)
@settings(max_examples=40, deadline=None)
def test_every_frame_listed_says_the_same_as_its_keyframes_alone(
    footage: Footage, tmp_path_factory: pytest.TempPathFactory, frames: list[int], places: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    keys = dict(zip(frames, places, strict=False))
    sparse, _ = load_cvat(xml(folder, track("hand", *(box(f, x) for f, x in keys.items()))), footage)
    listed = [box(int(r.frame), r.x1, more='keyframe="0"') for r in sparse.itertuples()]
    dense, _ = load_cvat(xml(folder, track("hand", *listed)), footage)
    pd.testing.assert_frame_equal(sparse, dense, atol=0.011, rtol=0)
    assert list(sparse["frame"]) == list(range(frames[0], 30))


def test_a_task_of_every_fifth_frame_has_boxes_on_those_alone(footage: Footage, tmp_path: Path) -> None:
    meta = META.replace("<size>30", "<size>6").replace("></frame_filter", ">step=5</frame_filter")
    meta = meta.replace("<stop_frame>29", "<stop_frame>25")
    boxes, _ = load_cvat(xml(tmp_path, track("item", box(5, 0), box(20, 30)), meta=meta), footage)
    assert list(boxes["frame"]) == [5, 10, 15, 20, 25]
    assert list(boxes["x1"]) == pytest.approx([0, 10, 20, 30, 30])


def test_tracks_of_picks_and_put_backs_become_the_truth(
    film: Path, tmp_path: Path, shelf: dict[str, Path]
) -> None:
    file = xml(
        tmp_path,
        event("pick", 3, 9, 1, shopper="s1", product="can", quantity=3, facing="g1.s1.f1"),
        event("put_back", 12, 16, 2, shopper="s1", product="can", quantity="", facing="g1.s1.f3"),
        event("pick", 20, 22, 3, shopper="s2", facing="g1.s1.f3"),
        track("item", box(0), gone(4), number=4),
    )
    recording = import_cvat([file], [film], tmp_path / "rec", shoppers=("s1", "s2", "s3"), **shelf)
    truth = recording.truth
    first, back, bag = truth.events
    assert (first.action, first.product, first.quantity, first.shopper) == ("pick", "can", 3, "s1")
    assert (first.t_start_s, first.t_end_s) == pytest.approx((0.3, 0.9), abs=1e-3)
    assert first.conditions == {"misplaced": False, "same_weight": 1}
    assert (back.action, back.quantity, back.conditions["misplaced"]) == ("put_back", 1, True)
    assert bag.product == "bag"
    assert {r.shopper: r.quantities for r in truth.receipts} == {"s1": {"can": 2}, "s2": {"bag": 1}, "s3": {}}
    assert recording.planogram["g1.s1.f2"].product == "can-light"
    assert set(recording.boxes["label"]) == {"item"}


def test_shoppers_with_entry_scans_are_bound_to_a_place(film: Path, tmp_path: Path) -> None:
    file = xml(tmp_path, event("pick", 1, 2, shopper="ann", product="can"))
    recording = import_cvat([file], [film], tmp_path / "rec", shoppers=("ann@0.5,-1,-0.9", "bob@1,0,-1"))
    assert [(e.shopper, e.t_s, e.at_m) for e in recording.entries] == [
        ("ann", 0.5, (-1.0, -0.9)),
        ("bob", 1.0, (0.0, -1.0)),
    ]
    assert recording.truth.shoppers == ("ann", "bob")


def tag(frame: int, label: str, named: bool = True, **values: object) -> str:
    name = f'name="frame_{frame:06d}"' if named else ""
    inner = f'<tag label="{label}" source="manual">{attributes(**values)}</tag>'
    return f'<image id="{frame}" {name} width="96" height="64">{inner}</image>'


@pytest.mark.parametrize("named", [True, False])
def test_consecutive_tags_with_the_same_attributes_are_one_event(
    film: Path, tmp_path: Path, named: bool
) -> None:
    can, bag = {"shopper": "s1", "product": "can"}, {"shopper": "s1", "product": "bag"}
    tags = [tag(n, "pick", named, **can) for n in (4, 5, 6, 11, 12)] + [tag(7, "pick", named, **bag)]
    truth = import_cvat([xml(tmp_path, *tags)], [film], tmp_path / "rec").truth
    spans = [(e.product, round(e.t_start_s, 3), round(e.t_end_s, 3)) for e in truth.events]
    assert spans == [("can", 0.4, 0.6), ("bag", 0.7, 0.7), ("can", 1.1, 1.2)]
    assert truth.receipts[0].quantities == {"bag": 1, "can": 2}


def test_boxes_of_single_images_get_names_of_their_own(footage: Footage, tmp_path: Path) -> None:
    shapes = "".join(
        f'<box label="{label}" occluded="{o}" xtl="1" ytl="1" xbr="9" ybr="9"/>'
        for label, o in (("hand", 0), ("hand", 1), ("item", 0))
    )
    boxes, _ = load_cvat(xml(tmp_path, f'<image id="8" name="frame_000008">{shapes}</image>'), footage)
    assert boxes[["frame", "id", "visible"]].to_numpy().tolist() == [
        [8, "hand-1", 1.0],
        [8, "hand-2", 0.5],
        [8, "item-1", 1.0],
    ]


def test_two_cameras_and_plates_make_one_recording(
    film: Path, tmp_path: Path, shelf: dict[str, Path]
) -> None:
    import numpy as np

    write_plates(tmp_path / "p.parquet", np.arange(180) / 60, {"g1.s1.p1": np.full(180, 700.0)})
    first = xml(tmp_path, track("hand", box(0), gone(3)), name="one.xml")
    second = xml(tmp_path, event("pick", 3, 5, shopper="s1", product="can"), name="two.xml")
    recording = import_cvat(
        [first, second], [film, film, film], tmp_path / "rec",
        camera_ids=("left", "right", "top"), plates=tmp_path / "p.parquet", **shelf,
    )  # fmt: skip
    assert [c.camera for c in recording.cameras] == ["left", "right", "top"]
    assert recording.plates_rate_hz == pytest.approx(60)
    assert set(recording.boxes["camera"]) == {"left"}
    assert len(recording.truth.events) == 1


def test_an_event_that_two_cameras_name_is_refused(film: Path, tmp_path: Path) -> None:
    files = [
        xml(tmp_path, event("pick", n, n + 4, shopper="s1", product="can"), name=f"{n}.xml") for n in (3, 5)
    ]
    with pytest.raises(InputError, match=r"5\.xml: track 9: is the same event as track 9 of .*3\.xml"):
        import_cvat(files, [film, film], tmp_path / "rec")


def test_foreign_labels_are_mapped_or_left_out(film: Path, tmp_path: Path) -> None:
    file = xml(tmp_path, track("bottle", box(0), gone(1)), track("car", '<polygon frame="0" points="1,1"/>'))
    with pytest.raises(
        InputError, match=r"track 0: label 'bottle', expected one of hand, item, person, pick"
    ):
        import_cvat([file], [film], tmp_path / "rec")
    boxes = import_cvat([file], [film], tmp_path / "rec", classes="bottle=item,car=").boxes
    assert list(boxes["label"]) == ["item"]


PICK = {"shopper": "s1", "product": "can", "quantity": 1, "facing": "g1.s1.f1"}
FAULTS = {
    "an unknown label": (track("hnad", box(0)), r"track 0: label 'hnad', .*did you mean 'hand'\?"),
    "a field that is no number": (
        track("hand", '<box frame="0" xtl="a" ytl="0" xbr="9" ybr="9"/>'),
        r"track 0, frame 0: xtl: 'a' is not a number",
    ),
    "a field that is missing": (
        track("hand", '<box frame="0" ytl="0" xbr="9" ybr="9"/>'),
        r"track 0, frame 0: xtl: None is not a number",
    ),
    "a flag that is none": (
        track("hand", box(0, more='outside="maybe"')),
        r"outside: 'maybe', expected 0 or",
    ),
    "a rotated box": (
        track("hand", box(4, more='rotation="30.0"')),
        r"track 0, frame 4: the box is rotated by 30\.0 degrees; draw it upright",
    ),
    "a size below zero": (
        track("hand", box(0, size=-4)),
        r"frame 0: box .* has no positive width and height",
    ),
    "a box in another picture": (track("hand", box(0, 400)), r"lies outside the picture of 96x64"),
    "a frame beyond the video": (
        track("hand", box(30)),
        r"track 0, frame 30: frame 30 is not in .*aisle\.mp4",
    ),
    "frames that fall": (track("hand", box(5), box(3)), r"frame 3: comes after frame 5, expected rising"),
    "a polygon": (track("hand", '<polygon frame="0" points="1,1"/>'), r"is a polygon, expected a box"),
    "a track without boxes": (track("hand"), r"track 0: has no boxes"),
    "an id twice": (track("hand", box(0)) * 2, r"'0' has a second box on frame 0"),
    "an unknown product": (
        event("pick", 1, 2, **PICK | {"product": "cna"}),
        r"'cna' is not in the catalogue",
    ),
    "an unknown facing": (event("pick", 1, 2, **PICK | {"facing": "f9"}), r"'f9' is not in the planogram"),
    "an unknown shopper": (
        event("pick", 1, 2, **PICK | {"shopper": "s9"}),
        r"shopper: 's9' is not one of s1",
    ),
    "no shopper": (event("pick", 1, 2, product="can"), r"track 9: shopper: is empty, expected who did it"),
    "no product": (event("pick", 1, 2, shopper="s1"), r"track 9: product: is empty, expected what was moved"),
    "half a unit": (event("pick", 1, 2, **PICK | {"quantity": 0.5}), r"quantity: '0\.5', expected a whole"),
    "no units": (event("pick", 1, 2, **PICK | {"quantity": 0}), r"quantity: 0, expected at least 1"),
    "a misspelt attribute": (
        event("pick", 1, 2, **PICK, quantitiy=2),
        r"track 9: quantitiy: unknown attribute of a shelf event; did you mean 'quantity'\?",
    ),
    "an attribute that changes": (
        track("pick", box(1, inner=attributes(**PICK)), box(4, inner=attributes(shopper="s2"))),
        r"track 0, frame 4: shopper: changes from 's1' to 's2'; draw one track for each",
    ),
    "a tag on a frame beyond the video": (tag(44, "pick", **PICK), r"image 44, frame 44: frame 44 is not in"),
    "an image of another size": (
        tag(4, "pick", **PICK).replace('"96"', '"640"'),
        r"image 4, frame 4: 640x64, but .*aisle\.mp4 is 96x64",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_place(film: Path, tmp_path: Path, shelf: dict[str, Path], fault: str) -> None:
    elements, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        import_cvat([xml(tmp_path, elements)], [film], tmp_path / "rec", shoppers=("s1",), **shelf)
    assert str(caught.value).startswith(str(tmp_path / "annotations.xml"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "rec").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<size>30", "<size>31", r"meta/task/size: 31 frames, but .*aisle\.mp4 has 30"),
        ("<width>96", "<width>960", r"meta/task/original_size: 960x64, but .*aisle\.mp4 is 96x64"),
        ("<size>30", "<size>many", r"meta/task/size: 'many' is not a number"),
        ("></frame_filter", ">odd</frame_filter", r"frame_filter: 'odd', expected step=N"),
        ("></frame_filter", ">step=2</frame_filter", r"30 frames, but start_frame 0 to stop_frame 29 by 2"),
        ("<start_frame>0", "<start_frame>40", r"start_frame: frame 40 is not in"),
        ("task>", "project>", r"meta/project: a project holds many videos, expected one task"),
    ],
)
def test_a_task_that_is_not_the_videos_is_refused(
    film: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = xml(tmp_path, track("hand", box(0)), meta=META.replace(old, new))
    with pytest.raises(InputError, match=message):
        import_cvat([file], [film], tmp_path / "rec")


def test_an_event_that_was_never_ended_is_refused(tmp_path: Path) -> None:
    from checkout.vision.video import VideoWriter

    with VideoWriter(tmp_path / "long.mp4", 96, 64, 1) as writer:
        import numpy as np

        for _ in range(40):
            writer.write(np.zeros((64, 96, 3), np.uint8))
    file = xml(tmp_path, track("pick", box(3, inner=attributes(**PICK))), meta="")
    with pytest.raises(
        InputError, match=r"pick lasts 36\.0 s \(frames 3 to 39\).*switch the track to outside"
    ):
        import_cvat([file], [tmp_path / "long.mp4"], tmp_path / "rec")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><track>", r"is not XML .*; unzip what CVAT exported"),
        ("PK\x03\x04", r"is not XML"),
        ("", r"is not XML"),
        ("<annotation/>", r"<annotation>: is not what CVAT writes, expected <annotations>"),
    ],
)
def test_what_cvat_did_not_write_is_refused(film: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InputError, match=message):
        import_cvat([tmp_path / "a.xml"], [film], tmp_path / "rec")


def test_options_that_do_not_fit_are_refused(film: Path, tmp_path: Path, shelf: dict[str, Path]) -> None:
    file, out = xml(tmp_path), tmp_path / "rec"
    for options, message in (
        ({"videos": []}, "0 videos for 1 XML files"),
        ({"camera_ids": ("a", "b")}, "expected a name of its own"),
        ({"camera_ids": ("../a",)}, "expected letters, digits"),
        ({"planogram": shelf["planogram"]}, "--planogram needs it"),
        ({"classes": "car"}, "'car', expected each class once"),
        ({"classes": "car=hnad"}, "did you mean 'hand'"),
    ):
        with pytest.raises(InputError, match=message):
            import_cvat(**{"annotations": [file], "videos": [film], "out": out} | options)  # type: ignore[arg-type]
