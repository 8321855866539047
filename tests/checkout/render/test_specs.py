"""Descriptions of recordings: what is wrong with one is said in one line, and test looks stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from checkout.errors import InputError
from checkout.render.frames import _height
from checkout.render.products import (
    PACKAGES,
    TEST_BRANDS,
    TEST_DESIGNS,
    TEST_FLAVOURS,
    TRAINING_BRANDS,
    TRAINING_DESIGNS,
    TRAINING_FLAVOURS,
    draw_products,
)
from checkout.render.recordings import mounted_views, render_set
from checkout.render.script import BEHAVIOURS
from checkout.render.specs import (
    SETS,
    TEST_CAMERA_HEIGHTS_M,
    TRAINING_CAMERA_HEIGHTS_M,
    CameraSpec,
    RecordingSpec,
    load_specs,
)

GOOD: dict[str, Any] = {"id": "aisle-3", "seed": 5, "people": ["s1", "s2+trolley"], "duration_s": 20}


def written(tmp_path: Path, *rows: Any, **document: Any) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"schema": 1, "recordings": list(rows)} | document))
    return file


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_specs(file)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ")


def camera(*at: float, **changed: Any) -> dict[str, Any]:
    return {"cameras": [{"position_m": list(at)} | changed]}


FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown field": ({"durations": 9}, ("recordings[1].durations", "unknown field", "did you mean 'duration_s'")),
    "unknown field of a camera": (
        camera(0.0, -0.6, 2.6, fovy=40),
        ("recordings[1].cameras.0.fovy", "unknown field", "did you mean 'fovy_deg'"),
    ),
    "unknown field of the plates": (
        {"plates": {"droping": 0.1}},
        ("recordings[1].plates.droping", "unknown field", "did you mean 'dropping'"),
    ),
    "unknown package": (
        {"packages": ["soda", "serial"]},
        ("recordings[1].packages", "'serial' is not a package", "did you mean 'cereal'"),
    ),
    "unknown behaviour": (
        {"mix": {"hand_over": 2}},
        ("recordings[1].mix", "'hand_over' is not a behaviour", "did you mean 'hand_over_within'"),
    ),
    "behaviour like no other": ({"mix": {"zzz": 2}}, ("recordings[1].mix", "'zzz'", *BEHAVIOURS)),
    "camera under the floor": (
        camera(0.0, -1.0, -0.4),
        ("recordings[1].cameras.0", "-0.4 m above the floor", "expected more than 0.1"),
    ),
    "camera in the gondola": (
        camera(0.2, 0.2, 1.0),
        ("recordings[1].cameras.0", "inside the gondola", "expected y below 0"),
    ),
    "camera behind the wall": (camera(0.0, 1.5, 2.5), ("recordings[1].cameras.0", "behind the wall", "y is 1.5")),
    "camera that looks away": (
        camera(0.0, -1.0, 2.5, look_at_m=[0.0, -3.0, 1.0]),
        ("recordings[1].cameras.0", "does not see the gondola's front", "look_at_m"),
    ),
    "camera that looks at itself": (
        camera(0.0, -1.0, 2.5, look_at_m=[0.0, -1.0, 2.5]),
        ("recordings[1].cameras.0", "its own place"),
    ),
    "camera nowhere": (camera(0.0, float("nan"), 2.5), ("recordings[1].cameras.0.position_m.1", "finite")),
    "child alone": ({"people": ["s1+child", "s2"]}, ("recordings[1]", "'s1+child'", "add 's1' to people")),
    "only staff": ({"people": ["staff", "staff"]}, ("recordings[1]", "people holds only staff")),
    "nobody": ({"people": []}, ("recordings[1].people", "at least 1")),
    "a stranger": ({"people": ["bob"]}, ("recordings[1].people.0", "'bob'")),
    "a crowd": ({"people": ["s1"] * 9}, ("recordings[1].people", "at most 8")),
    "a name that leaves the folder": ({"id": "../x"}, ("recordings[1].id", "'../x'")),
    "twin ids": ({"id": "aisle-3"}, ("recordings[1].id", "'aisle-3' is given twice")),
    "too short": ({"duration_s": 1}, ("recordings[1].duration_s", "1", "greater than or equal to 6")),
    "a share over one": ({"plates": {"stuck": 1.5}}, ("recordings[1].plates.stuck", "1.5", "less than or equal to 1")),
    "a negative seed": ({"seed": -1}, ("recordings[1].seed", "-1")),
    "an odd picture": (camera(0, -0.6, 2.6, width=333), ("recordings[1].cameras.0.width", "333", "multiple of 2")),
    "six shelves": ({"shelves": 6}, ("recordings[1].shelves", "6", "3, 4 or 5")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_in_one_line_with_file_field_and_value(tmp_path: Path, fault: str) -> None:
    changed, parts = FAULTS[fault]
    line = refusal(written(tmp_path, GOOD, GOOD | {"id": "other"} | changed))
    assert line.startswith(parts[0])
    for part in parts[1:]:
        assert part in line


def test_a_missing_seed_is_named(tmp_path: Path) -> None:
    line = refusal(written(tmp_path, {"id": "aisle-3"}))
    assert line.startswith("recordings[0].seed: ")
    assert "required" in line


@pytest.mark.parametrize("rows", [[], None, "clean", {"id": "a"}])
def test_a_file_without_a_list_of_recordings_is_refused(tmp_path: Path, rows: Any) -> None:
    assert refusal(written(tmp_path, recordings=rows)).startswith("recordings: is missing or empty")


def test_rows_that_are_no_mapping_and_unknown_parts_of_the_file_are_refused(tmp_path: Path) -> None:
    assert "expected a mapping with id and seed" in refusal(written(tmp_path, GOOD, "clean-01"))
    line = refusal(written(tmp_path, GOOD, recording=[]))
    assert line == "recording: unknown field; did you mean 'recordings'?"


specs = st.builds(
    RecordingSpec,
    id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
    seed=st.integers(0, 2**32 - 1),
    people=st.sampled_from([("s1",), ("s1", "s1+child"), ("s2+trolley", "staff"), ("s1", "s1", "s3")]),
    duration_s=st.floats(6, 600),
    fps=st.integers(1, 30),
    confusing=st.floats(0, 0.9),
    mix=st.dictionaries(st.sampled_from(BEHAVIOURS), st.floats(0, 100)),
    packages=st.lists(st.sampled_from([p.name for p in PACKAGES]), max_size=4).map(tuple),
    cameras=st.sampled_from([(), (CameraSpec(position_m=(0.1, -0.6, 2.6), k1=-0.1),)]),
    light=st.floats(0.2, 2.0),
    looks=st.sampled_from(["training", "test"]),
)


@given(st.lists(specs, min_size=1, max_size=3, unique_by=lambda s: s.id))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, mine: list[RecordingSpec]
) -> None:
    folder = tmp_path_factory.mktemp("specs")
    assert load_specs(written(folder, *(s.model_dump(mode="json") for s in mine))) == mine


def test_a_spec_that_breaks_a_rule_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="no grown-up"):
        RecordingSpec(id="x", seed=1, people=("s2", "s1+child"))


def test_a_child_may_come_with_somebody_who_pushes_a_trolley() -> None:
    spec = RecordingSpec(id="x", seed=1, people=("s1+child", "s1+trolley"))
    assert spec.people == ("s1+child", "s1+trolley")


def test_no_seed_and_no_name_is_used_twice_in_all_sets() -> None:
    everything = [spec for group in SETS.values() for spec in group]
    assert len({s.id for s in everything}) == len({s.seed for s in everything}) == len(everything)
    assert [len(SETS[name]) for name in ("test-clean", "test-hard")] == [12, 12]


def test_only_test_sets_show_test_looks() -> None:
    for name, group in SETS.items():
        assert {s.looks for s in group} == {"test" if name.startswith("test") else "training"}


def test_hard_sets_are_confusing_and_clean_ones_are_not() -> None:
    assert all(s.confusing == 0 and not s.mix for s in SETS["test-clean"])
    assert all(s.confusing > 0.3 for s in SETS["test-hard"])


def test_brands_designs_and_flavours_of_test_and_training_are_apart() -> None:
    assert not set(TEST_BRANDS) & set(TRAINING_BRANDS)
    assert not set(TEST_DESIGNS) & set(TRAINING_DESIGNS)
    assert not set(TEST_FLAVOURS) & set(TRAINING_FLAVOURS)
    emblems = [*TEST_FLAVOURS.values(), *TRAINING_FLAVOURS.values()]
    assert len(set(emblems)) == len(emblems)
    drawn = {}
    for test in (False, True):
        rngs = [np.random.default_rng([seed, 9]) for seed in range(4)]
        products = [p for rng in rngs for p in draw_products(rng, 30, test=test)]
        assert {p.group.split("-")[0].upper() for p in products} <= set(
            TEST_BRANDS if test else TRAINING_BRANDS
        )
        drawn[test] = (
            {p.product.product.split("-")[0] for p in products},
            {p.product.product.rsplit("-", 1)[1] for p in products},
        )
    assert not drawn[True][0] & drawn[False][0]
    assert not drawn[True][1] & drawn[False][1]


def test_no_test_camera_is_mounted_at_a_height_of_training() -> None:
    for kind, (low, high) in TEST_CAMERA_HEIGHTS_M.items():
        for a, b in TRAINING_CAMERA_HEIGHTS_M[kind]:
            assert b < low or a > high
    for kind, number in (("overhead", 0), ("oblique", 1)):
        low, high = TEST_CAMERA_HEIGHTS_M[kind]
        for seed in range(40):
            rng = np.random.default_rng(seed)
            assert low <= mounted_views(rng, True)[number].position_m[2] <= high
            assert not low <= mounted_views(rng, False)[number].position_m[2] <= high


def test_mounted_cameras_of_training_frames_keep_off_the_heights_of_test_sets() -> None:
    rng = np.random.default_rng(3)
    for kind, (low, high) in TEST_CAMERA_HEIGHTS_M.items():
        heights = np.array([_height(rng, kind) for _ in range(200)])
        assert not ((heights >= low) & (heights <= high)).any()
        assert (heights < low).any()
        assert (heights > high).any()


@pytest.mark.parametrize(
    ("wrong", "right"), [("test-claen", "test-clean"), ("trian", "train"), ("test_hard", "test-hard")]
)
def test_an_unknown_set_suggests_the_nearest(tmp_path: Path, wrong: str, right: str) -> None:
    with pytest.raises(InputError, match=f"{wrong!r} is not one of .* did you mean {right!r}"):
        render_set(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recording_that_is_not_in_the_set_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'clean-1' is not in test-clean.* did you mean 'clean-1"):
        render_set("test-clean", tmp_path / "out", only=["clean-1"])
    assert not (tmp_path / "out").exists()
