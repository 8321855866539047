"""Validation: whole recordings pass, every fault is named, and one fault does not hide another."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.events import Receipt, ReceiptLine, ShelfEvent
from checkout.recording import Act, Camera, Entry, Recording, Truth, write_plates
from checkout.validation import validate
from checkout.vision.video import VideoWriter

FPS, FRAMES = 10, 60
Change = Callable[[Path], None]


def film(path: Path, frames: int = FRAMES, size: tuple[int, int] = (96, 64), fps: float = FPS) -> None:
    rng = np.random.default_rng(0)
    with VideoWriter(path, *size, fps, crf=10) as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds with everything a recording may have: a couple on one account, a loner, and staff."""
    folder = tmp_path_factory.mktemp("whole") / "rec"
    folder.mkdir()
    for name in ("cam0.mp4", "cam1.mp4"):
        film(folder / name)
    catalog = Catalog([Product("can", 350, 2, 1), Product("bag", 90, 2, 2)])
    catalog.save(folder / "catalog.csv")
    Planogram(
        [
            Facing("g1.s1.f1", "can", ("g1.s1.p1", "g1.s1.p2"), (0, 0, 1), (0.2, 0.3, 1.2)),
            Facing("g1.s1.f2", "bag", ("g1.s1.p3",), (0.2, 0, 1), (0.4, 0.3, 1.2)),
        ]
    ).save(folder / "planogram.yaml")
    times = np.arange(360) / 60
    load = np.where(times < 2, 1000.0, 650.0)
    write_plates(folder / "plates.parquet", times, {f"g1.s1.p{i}": load + i for i in (1, 2, 3)})
    entries = (
        Entry("ann", 0.0, (0, -1)),
        Entry("ann", 0.1, (1, -1), "bob"),
        Entry("cid", 0.2, (2, -1)),
        Entry("dora", 0.3, (3, -1), role="staff"),
    )
    events = (
        event(1, "pick", "can", 3, "ann"),
        event(2, "put_back", "can", 1, "ann"),
        event(3, "pick", "bag", 2, "cid", "g1.s1.f2"),
        event(4, "put_back", "bag", 4, "dora", "g1.s1.f2"),
    )
    acts = (
        Act("hand_over", 3.2, 3.4, "cid", "bag", 1, to="bob"),
        Act("leave_on_floor", 4.0, 4.5, "bob", "can", 1),
        Act("hide", 4.0, 4.5, "cid", "bag", 1),
        Act("touch", 5.0, 5.2, "cid", "can", facing="g1.s1.f1"),
    )
    receipts = (
        Receipt("ann", (ReceiptLine("can", 1, 1), ReceiptLine("bag", 1, 1))),
        Receipt("cid", (ReceiptLine("bag", 1, 1),)),
    )
    Truth(("ann", "cid"), events, receipts, acts).save(folder / "truth.json")
    rows = [
        (c, f, "hand", f"{w}-hand", 10.0, 10.0, 30.0, 30.0, 0.9)
        for c in ("cam0", "cam1")
        for f in range(0, FRAMES, 4)
        for w in "ab"
    ]
    columns = ["camera", "frame", "label", "id", "x1", "y1", "x2", "y2", "visible"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "boxes.parquet")
    pd.DataFrame(
        [(0.1 * i, "ann", "head", 0.0, -1.0, 1.7) for i in range(50)],
        columns=["t_s", "shopper", "part", "x_m", "y_m", "z_m"],
    ).to_parquet(folder / "positions.parquet")
    cameras = tuple(Camera(c, f"{c}.mp4", FPS, 96, 64) for c in ("cam0", "cam1"))
    Recording(folder, "rec", cameras, 60.0, entries, "made", "CC0-1.0", None).save_header()
    return folder


def event(
    at_s: float, action: Any, product: str, quantity: int, who: str, facing: str = "g1.s1.f1"
) -> ShelfEvent:
    return ShelfEvent(at_s, action, product, quantity, who, facing, at_s - 0.2, at_s + 0.2)


def header(change: Callable[[dict[str, Any]], Any]) -> Change:
    return edit_yaml("recording.yaml", change)


def edit_yaml(name: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        document = yaml.safe_load((folder / name).read_text())
        change(document)
        (folder / name).write_text(yaml.safe_dump(document))

    return apply


def truth(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        document = json.loads((folder / "truth.json").read_text())
        change(document)
        (folder / "truth.json").write_text(json.dumps(document))

    return apply


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    def apply(folder: Path) -> None:
        change(pd.read_parquet(folder / name)).to_parquet(folder / name)

    return apply


def cell(name: str, row: int, column: str, value: object) -> Change:
    def change(t: pd.DataFrame) -> pd.DataFrame:
        values = t[column].astype(object if isinstance(value, str) else float).tolist()
        values[row] = value
        return t.assign(**{column: values})

    return table(name, change)


def truncate(folder: Path) -> None:
    data = (folder / "cam1.mp4").read_bytes()
    (folder / "cam1.mp4").write_bytes(data[: int(0.7 * len(data))])


def line(name: str, old: str, new: str) -> Change:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


PLATES = "plates.parquet"
BOXES = "boxes.parquet"
FAULTS: dict[str, tuple[Change, str]] = {
    "unknown field": (
        header(lambda d: d.update(entrys=[])),
        "recording.yaml: entrys: unknown field; did you",
    ),
    "another schema": (header(lambda d: d.update(schema=7)), "recording.yaml: schema: 7 is not the version"),
    "cameras are no list": (header(lambda d: d.update(cameras="cam0")), "cameras: 'cam0' is not a list"),
    "negative width": (
        header(lambda d: d["cameras"][0].update(width=-1)),
        "cameras[0].width: -1, expected a positive number",
    ),
    "matrix of the wrong shape": (
        header(lambda d: d["cameras"][1].update(matrix=[1, 2])),
        "cameras[1].matrix: has shape (2,), expected (3, 3)",
    ),
    "a camera twice": (
        header(lambda d: d["cameras"][1].update(camera="cam0")),
        "recording.yaml: cameras[1].camera: 'cam0' is listed twice",
    ),
    "another frame rate": (
        header(lambda d: d["cameras"][0].update(fps=25)),
        "recording.yaml: camera cam0: fps: 25, but cam0.mp4 has 10.000",
    ),
    "another picture size": (
        header(lambda d: d["cameras"][0].update(width=128)),
        "recording.yaml: camera cam0: width, height: 128x64, but cam0.mp4 is 96x64",
    ),
    "an entry without a place": (
        header(lambda d: d["entries"][0].pop("at_m")),
        "recording.yaml: entries[0]: {'shopper': 'ann', 't_s': 0.0}, expected shopper, t_s and at_m",
    ),
    "an entry too late": (
        header(lambda d: d["entries"][2].update(t_s=99)),
        "recording.yaml: entries[2].t_s: 99 s is outside the recording",
    ),
    "a person who enters twice": (
        header(lambda d: d["entries"][1].pop("person")),
        "recording.yaml: entries[1].person: 'ann' enters twice",
    ),
    "a video that is none": (
        lambda f: (f / "cam0.mp4").write_text("no") and None,
        "cam0.mp4: is not a readable",
    ),
    "a truncated video": (truncate, "cam1.mp4: "),
    "cameras of different length": (
        lambda f: film(f / "cam1.mp4", FRAMES - 8),
        "recording.yaml: cameras: cam1 lasts 5.20 s and cam0 6.00 s, expected the same within 0.5 s",
    ),
    "a catalogue weight": (
        line("catalog.csv", "can,,,350,2,1", "can,,,-1,2,1"),
        "catalog.csv: line 2: weight_g of 'can': -1 is not a weight",
    ),
    "an unknown product": (
        edit_yaml("planogram.yaml", lambda d: d["facings"][0].update(product="cna")),
        "planogram.yaml: facings[0].product: 'cna' is not in the catalogue; did you mean 'can'?",
    ),
    "no catalogue": (
        lambda f: (f / "catalog.csv").unlink(),
        "catalog.csv: does not exist, and planogram.yaml",
    ),
    "time goes back": (
        cell(PLATES, 5, "t_s", 0.01),
        "plates.parquet: t_s of plate g1.s1.p1: goes back once, first from 0.067 s to 0.010 s",
    ),
    "a sample twice": (cell(PLATES, 5, "t_s", 4 / 60), "t_s of plate g1.s1.p1: stands still once"),
    "a time that is none": (
        cell(PLATES, 5, "t_s", np.nan),
        "plates.parquet: t_s: 1 row(s), the first is row 5: nan, expected a finite time",
    ),
    "a weight that is none": (cell(PLATES, 7, "grams", np.nan), "grams: 1 row(s), the first is row 7: nan"),
    "a gap": (
        table(PLATES, lambda t: t[~t["t_s"].between(1.01, 2.01)]),
        "t_s of plate g1.s1.p2: has 1 gap(s), first from 1.000 s to 2.017 s",
    ),
    "an unknown plate": (
        table(PLATES, lambda t: t.assign(plate=t["plate"].astype(str).replace("g1.s1.p3", "g1.s1.p7"))),
        "plates.parquet: plate g1.s1.p7: is not in planogram.yaml, and its load changes by 350 g",
    ),
    "a plate that was not sampled": (
        table(PLATES, lambda t: t[t["plate"] != "g1.s1.p3"]),
        "planogram.yaml: g1.s1.f2: plates: 'g1.s1.p3' is not in plates.parquet",
    ),
    "another sample rate": (
        header(lambda d: d["plates"].update(rate_hz=50)),
        "recording.yaml: plates.rate_hz: 50, but plates.parquet has 60.000 samples a second",
    ),
    "plates that end too early": (
        table(PLATES, lambda t: t[t["t_s"] < 5]),
        "plates.parquet: t_s: ends at 5.00 s, the videos at 6.00 s, expected the same within 0.5 s",
    ),
    "plates that the header does not know": (
        header(lambda d: d.pop("plates")),
        "recording.yaml: plates: is missing, but plates.parquet is in the folder",
    ),
    "plates that are no table": (lambda f: (f / PLATES).write_text("no") and None, "is not a Parquet table"),
    "a column too few": (table(PLATES, lambda t: t.drop(columns="grams")), "grams: column is missing"),
    "texts for numbers": (
        table(PLATES, lambda t: t.assign(grams=t["grams"].astype(str))),
        "expected numbers",
    ),
    "truth that is no JSON": (line("truth.json", "{", ""), "truth.json: is not JSON"),
    "an unknown shopper": (
        truth(lambda d: d["events"][0].update(shopper="anna")),
        "truth.json: events[0].shopper: 'anna' is not one of the shoppers ann, bob, cid, dora; did you mean 'ann'?",
    ),
    "a shopper without an entry": (
        truth(lambda d: d["shoppers"].append("eve")),
        "truth.json: shoppers[2]: 'eve' has no entry in recording.yaml",
    ),
    "an unknown product in the truth": (
        truth(lambda d: d["events"][0].update(product="cna")),
        "truth.json: events[0].product: 'cna' is not in catalog.csv; did you mean 'can'?",
    ),
    "an unknown facing": (
        truth(lambda d: d["events"][0].update(facing="g9.s1.f1")),
        "truth.json: events[0].facing: 'g9.s1.f1' is not in planogram.yaml",
    ),
    "an unknown action": (
        truth(lambda d: d["events"][0].update(action="steal")),
        "truth.json: events[0].action: 'steal', expected one of pick, put_back",
    ),
    "no units": (
        truth(lambda d: d["events"][0].update(quantity=0)),
        "truth.json: events[0].quantity: 0, expected a whole number of at least 1",
    ),
    "an event after the end": (
        truth(lambda d: d["events"][0].update(t_end_s=99)),
        "truth.json: events[0].t_end_s: 99 s is outside the recording; it lasts from 0 to 6.00 s",
    ),
    "an event that ends before it starts": (
        truth(lambda d: d["events"][0].update(t_end_s=0.1)),
        "truth.json: events[0].t_end_s: 0.1 s is before t_start_s 0.8 s",
    ),
    "a time that is a text": (
        truth(lambda d: d["events"][0].update(t_end_s="soon")),
        "truth.json: events[0].t_end_s: 'soon', expected seconds",
    ),
    "a receipt that bills too much": (
        truth(lambda d: d["receipts"][0]["lines"][0].update(quantity=2)),
        "truth.json: receipts of ann: 2 'can', but the events and acts leave 1",
    ),
    "a hand-over that was forgotten": (
        truth(lambda d: d["acts"].pop(0)),
        "truth.json: receipts of cid: 1 'bag', but the events and acts leave 2",
    ),
    "a receipt that is missing": (
        truth(lambda d: d["receipts"].pop()),
        "truth.json: receipts: 'cid' has none; add one",
    ),
    "a receipt for staff": (
        truth(lambda d: d["receipts"].append({"shopper": "dora", "lines": []})),
        "truth.json: receipts[2].shopper: 'dora' is staff, who have no receipt",
    ),
    "two receipts": (
        truth(lambda d: d["receipts"].append(d["receipts"][1])),
        "truth.json: receipts[2].shopper: 'cid' has two receipts",
    ),
    "more put back than taken": (
        truth(lambda d: d["events"][1].update(quantity=5)),
        "truth.json: events: ann gives back 3 'can' more than were taken",
    ),
    "a hand-over to nobody": (
        truth(lambda d: d["acts"][0].pop("to")),
        "truth.json: acts[0].to: None is not one of the shoppers",
    ),
    "an unknown act": (
        truth(lambda d: d["acts"][0].update(kind="juggle")),
        "truth.json: acts[0].kind: 'juggle', expected one of touch, hand_over",
    ),
    "a box on a frame beyond the video": (
        cell(BOXES, 3, "frame", 60),
        "boxes.parquet: frame of cam0: 1 row(s), the first is row 3: 60.0, expected at most 59",
    ),
    "a box of an unknown camera": (
        cell(BOXES, 3, "camera", "cam9"),
        "boxes.parquet: camera: 1 row(s), the first is row 3: 'cam9', expected one of cam0, cam1",
    ),
    "a box of an unknown label": (
        cell(BOXES, 3, "label", "foot"),
        "boxes.parquet: label: 1 row(s), the first",
    ),
    "a box outside the picture": (
        cell(BOXES, 3, "x2", 200.0),
        "boxes.parquet: x1 to y2 of cam0: 1 row(s), the first is row 3: 10.0, 10.0, 200.0, 30.0, expected a box",
    ),
    "a box of no size": (cell(BOXES, 3, "x2", 5.0), "expected x2 beyond x1 and y2 beyond y1"),
    "a box that is not finite": (cell(BOXES, 3, "x2", np.nan), "expected finite pixels"),
    "a box twice": (
        cell(BOXES, 3, "id", "a-hand"),
        "boxes.parquet: camera, frame, id: 1 row(s), the first is row 3: 'cam0', 4, 'a-hand', expected each object",
    ),
    "a share beyond one": (
        cell(BOXES, 3, "visible", 1.5),
        "boxes.parquet: visible: 1 row(s), the first is row 3: 1.5, expected a share from 0 to 1",
    ),
    "a position of an unknown part": (
        cell("positions.parquet", 3, "part", "foot"),
        "positions.parquet: part: 1",
    ),
    "a position of an unknown person": (
        cell("positions.parquet", 3, "shopper", "eve"),
        "positions.parquet: shopper: 1 row(s), the first is row 3: 'eve', expected somebody with an entry",
    ),
    "a position that is none": (
        cell("positions.parquet", 3, "x_m", np.inf),
        "positions.parquet: x_m: 1 row(s)",
    ),
    "positions of another clock": (
        table("positions.parquet", lambda t: t.assign(t_s=t["t_s"] + 1e6)),
        "all outside the recording; bring it to the recording's clock",
    ),
}


def lines(folder: Path) -> list[str]:
    prefix = f"{folder}/"
    return [str(f).replace(prefix, "") for f in validate(folder).faults]


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "rec")
    return tmp_path / "rec"


def test_a_whole_recording_passes(whole: Path) -> None:
    validation = validate(whole)
    assert [str(f) for f in validation.faults] == []
    assert validation.summary == (
        "2 camera(s) of 6.0 s, 2 products, 2 facings, 3 plates for 6.0 s, 4 true shelf events, 60 boxes, 50 positions"
    )


def test_rendered_recordings_pass(weighed: Recording, shipped: Path) -> None:
    assert lines(weighed.path) == []
    assert lines(shipped / "clean-03") == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(copy: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    change(copy)
    found = lines(copy)
    assert any(message in one for one in found), found
    assert all("\n" not in one for one in found)


def test_a_truncated_video_is_found_by_reading_it(copy: Path) -> None:
    truncate(copy)
    found = [one for one in lines(copy) if one.startswith("cam1.mp4")]
    assert len(found) == 1
    assert "truncated" in found[0] or "cannot be decoded" in found[0] or "can be read" in found[0]


TOGETHER = (
    "negative width", "unknown field", "an entry too late", "a weight that is none", "a gap", "no units",
    "an unknown facing", "a hand-over to nobody", "a box twice", "a share beyond one",
    "a position of an unknown part", "matrix of the wrong shape", "another sample rate",
)  # fmt: skip


def test_all_faults_are_named_at_once(copy: Path) -> None:
    alone = {name: FAULTS[name][1] for name in TOGETHER}
    for name in TOGETHER:
        FAULTS[name][0](copy)
    found = lines(copy)
    missing = [name for name, message in alone.items() if not any(message in one for one in found)]
    assert missing == [], found


def test_a_row_with_two_faults_names_both(copy: Path) -> None:
    header(lambda d: d["cameras"][0].update(width=-1, fps="fast", color=1))(copy)
    edit_yaml("planogram.yaml", lambda d: d["facings"][0].update(product="cna", plates=["7"]))(copy)
    line("catalog.csv", "bag,,,90,2,2", "bag,,,0,-2,x")(copy)
    found = " | ".join(lines(copy))
    for message in ("[0].width", "[0].fps", "[0].color", "'cna' is not", "'7' is not a plate"):
        assert message in found
    for message in ("weight_g of 'bag'", "weight_sd_g of 'bag'", "price of 'bag'"):
        assert message in found


def test_one_fault_does_not_bring_forth_others(copy: Path) -> None:
    FAULTS["no units"][0](copy)
    assert len(lines(copy)) == 1
    FAULTS["a catalogue weight"][0](copy)
    assert len(lines(copy)) == 2


def test_an_empty_place_is_noted_and_passes(copy: Path) -> None:
    def add(plates: pd.DataFrame) -> pd.DataFrame:
        empty = plates[plates["plate"] == "g1.s1.p1"].assign(plate="g1.s1.p9", grams=3.0)
        return pd.concat([plates.astype({"plate": str}), empty.astype({"plate": str})], ignore_index=True)

    table(PLATES, add)(copy)
    validation = validate(copy)
    assert validation.ok
    assert validation.notes == ("1 plate(s) have no facing: g1.s1.p9",)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "checkout.cli", "validate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_command_says_ok_or_every_fault_with_code_2(whole: Path, copy: Path) -> None:
    good = run(whole)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith(f"{whole}: ok: 2 camera(s) of 6.0 s")
    FAULTS["no units"][0](copy)
    FAULTS["a box twice"][0](copy)
    bad = run(whole, copy, copy.parent / "nothing")
    assert bad.returncode == 2
    first, units, twice, nothing = bad.stdout.splitlines()
    assert first.startswith(f"{whole}: ok: ")
    assert units.startswith(f"{copy}/truth.json: events[0].quantity: ")
    assert twice.startswith(f"{copy}/boxes.parquet: camera, frame, id: ")
    assert nothing.startswith(f"{copy.parent}/nothing: is not a recording folder")


def test_the_command_prints_json(copy: Path) -> None:
    FAULTS["no units"][0](copy)
    done = run(copy, "--json", "-")
    assert done.returncode == 2
    (recording,) = json.loads(done.stdout)["recordings"]
    assert recording["ok"] is False
    assert recording["faults"][0]["field"] == "events[0].quantity"
