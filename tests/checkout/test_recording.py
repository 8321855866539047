"""Recording folders: the camera model, and every fault said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from checkout.catalog import Catalog, Product
from checkout.errors import InputError
from checkout.output import new_file, new_folder
from checkout.recording import Camera, Recording

unit = st.floats(-1, 1)


@given(
    x=unit, y=unit, depth=st.floats(0.5, 6), k1=st.floats(-0.12, 0.05), p1=st.floats(-0.002, 0.002), turn=unit
)
def test_rays_undo_projection(x: float, y: float, depth: float, k1: float, p1: float, turn: float) -> None:
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    matrix = np.array([[500, 0, 320], [0, 500, 180], [0, 0, 1.0]])
    camera = Camera(
        "c", "c.mp4", 12, 640, 360, matrix, np.array([k1, 0, p1, 0, 0]), rotation, np.array([0.1, 0.2, 0.3])
    )
    in_camera = np.array([0.6 * x * depth, 0.4 * y * depth, depth])
    point = rotation.T @ (in_camera - camera.translation_m)
    pixels, z = camera.project(point[None])
    assert z[0] == pytest.approx(depth)
    toward = (point - camera.position_m) / np.linalg.norm(point - camera.position_m)
    assert camera.rays(pixels)[0] == pytest.approx(toward, abs=1e-4)


def test_a_box_is_seen_between_its_outermost_corners_and_not_behind_the_camera() -> None:
    matrix = np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1.0]])
    camera = Camera("c", "c.mp4", 12, 100, 80, matrix, np.zeros(5), np.eye(3), np.zeros(3))
    # 0.2 m to either side at 1 m are 20 pixels, and the far side, at 2 m, lies within.
    assert camera.box_seen((-0.2, -0.1, 1.0), (0.2, 0.1, 2.0)) == pytest.approx([30, 30, 70, 50])
    assert camera.box_seen((-0.2, -0.1, 1.0), (0.9, 0.1, 2.0)) == pytest.approx([30, 30, 100, 50])
    assert camera.box_seen((2.0, -0.1, 1.0), (2.5, 0.1, 1.5)) == pytest.approx([100, 30, 100, 50])
    assert camera.box_seen((-0.2, -0.1, 0.05), (0.2, 0.1, 2.0)) is None


def test_a_recording_survives_being_written_and_read(weighed: Recording) -> None:
    again = Recording.open(weighed.path)
    assert again.entries == weighed.entries
    assert again.truth == weighed.truth
    assert {len(f.plates) for f in again.planogram.values()} <= {2, 3}
    assert again.truth.events[0].conditions.keys() >= {
        "behaviour",
        "person",
        "people_near",
        "look_alikes",
        "same_weight",
        "occlusion",
    }


def edit_yaml(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def apply(folder: Path) -> None:
        document = yaml.safe_load((folder / name).read_text())
        change(document)
        (folder / name).write_text(yaml.safe_dump(document))

    return apply


def edit_plates(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pd.read_parquet(folder / "plates.parquet")).to_parquet(folder / "plates.parquet")

    return apply


def edit_catalog(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pd.read_csv(folder / "catalog.csv")).to_csv(folder / "catalog.csv", index=False)

    return apply


def backwards(plates: pd.DataFrame) -> pd.DataFrame:
    plates.loc[100, "t_s"] = plates.loc[98, "t_s"] - 0.001
    return plates


FAULTS = {
    "plates go back in time": (edit_plates(backwards), r"plates\.parquet: t_s: time goes back to 1\.63"),
    "a sample stands twice": (
        edit_plates(lambda p: p.assign(t_s=p["t_s"].mask(p.index == 100, p["t_s"].shift(1)))),
        r"has two samples at 1\.65",
    ),
    "plates hold no samples": (edit_plates(lambda p: p.iloc[:0]), "holds no samples"),
    "unknown product in the planogram": (
        edit_yaml("planogram.yaml", lambda d: d["facings"][3].update(product="nope")),
        r"planogram\.yaml: facings\[3\]\.product: 'nope' is not in the catalogue",
    ),
    "a plate id that is none": (
        edit_yaml("planogram.yaml", lambda d: d["facings"][0].update(plates=["7"])),
        r"facings\[0\]\.plates: '7' is not a plate id",
    ),
    "a product without a weight": (
        edit_catalog(lambda c: c.assign(weight_g=c["weight_g"].mask(c.index == 2))),
        r"catalog\.csv: line 4: weight_g of '.*': is missing",
    ),
    "a weight in the wrong unit": (
        edit_catalog(lambda c: c.assign(weight_g=-1.0)),
        r"weight_g of '.*': -1 is not a weight in grams",
    ),
    "an unknown field": (
        edit_yaml("recording.yaml", lambda d: d.update(entrys=[])),
        r"recording\.yaml: entrys: unknown field; did you mean 'entries'\?",
    ),
    "a camera file that is missing": (
        edit_yaml(
            "recording.yaml",
            lambda d: d.update(
                cameras=[{"camera": "cam0", "file": "cam0.mp4", "fps": 12, "width": 64, "height": 48}]
            ),
        ),
        r"cameras\[0\]\.file: 'cam0\.mp4' does not exist",
    ),
    "an entry's picture that is missing": (
        edit_yaml("recording.yaml", lambda d: d["entries"][0].update(picture="anna.jpg")),
        r"entries\[0\]\.picture: 'anna\.jpg' does not exist",
    ),
    "an entry's picture that is none": (
        edit_yaml("recording.yaml", lambda d: d["entries"][0].update(picture="catalog.csv")),
        r"entries\[0\]\.picture: 'catalog\.csv' is not a picture",
    ),
    "another schema": (
        edit_yaml("recording.yaml", lambda d: d.update(schema=99)),
        "schema: 99 is not the version",
    ),
}


def copied(recording: Recording, to: Path) -> Path:
    import shutil

    shutil.copytree(recording.path, to)
    return to


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(weighed: Recording, tmp_path: Path, fault: str) -> None:
    folder = copied(weighed, tmp_path / "rec")
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(InputError, match=message) as caught:
        recording = Recording.open(folder)
        _ = recording.planogram, recording.plates, recording.entry_pictures()
    assert "\n" not in str(caught.value)


def test_what_a_recording_lacks_is_said_by_name(weighed: Recording) -> None:
    with pytest.raises(InputError, match="cameras: this recording has none"):
        weighed.require("plates", "cameras")


def test_a_catalogue_survives_being_written_and_read(tmp_path: Path) -> None:
    catalog = Catalog([Product("a", 350.0, 2.5, 1.99, "0123", "A can"), Product("b", 10.0, 1.0, 0.5, "", "")])
    catalog.save(tmp_path / "c.csv")
    assert dict(Catalog.load(tmp_path / "c.csv")) == dict(catalog)


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as draft:
        (draft / "half").write_text("x")
        raise RuntimeError
    with pytest.raises(RuntimeError), new_file(tmp_path / "out.json") as draft:
        draft.write_text("{")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_only_replaced_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("mine")
    with pytest.raises(InputError, match="exists already"), new_file(tmp_path / "mine.json"):
        pass
    with new_file(tmp_path / "mine.json", force=True) as draft:
        draft.write_text("new")
    assert (tmp_path / "mine.json").read_text() == "new"
