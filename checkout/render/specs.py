"""What recordings are made from: one validated description each, and the named sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from checkout.catalog import check_schema, read_yaml
from checkout.errors import InputError, nearest
from checkout.render.plate_signal import Faults
from checkout.render.products import PACKAGES
from checkout.render.scene import DEPTH_M, View
from checkout.render.script import BEHAVIOURS

T = TypeVar("T")
SPEC_SCHEMA = 1
PEOPLE = r"^(s[1-9]\d*(\+trolley|\+child)?|staff)$"
MOST_PEOPLE = 8
TEST_CAMERA_HEIGHTS_M = {"overhead": (2.62, 2.78), "oblique": (2.30, 2.46)}
TRAINING_CAMERA_HEIGHTS_M = {"overhead": ((2.25, 2.56), (2.84, 3.0)), "oblique": ((1.75, 2.22), (2.54, 2.70))}
"""Assumed; apart, so that no camera of a test set stands where one of training stood."""
Metres = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Metres, Metres, Metres]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSpec(_Part):
    """Where a camera is mounted and what it looks at, metres; lens and picture size."""

    position_m: Point
    look_at_m: Point = (0.0, 0.0, 1.0)
    fovy_deg: float = Field(46.0, ge=5, le=120)
    k1: float = Field(0.0, ge=-0.3, le=0.3)
    k2: float = Field(0.0, ge=-0.1, le=0.1)
    width: int = Field(640, ge=64, le=1920, multiple_of=2)
    height: int = Field(360, ge=64, le=1080, multiple_of=2)

    @model_validator(mode="after")
    def _stands_in_the_aisle(self) -> Self:
        x, y, z = self.position_m
        if z <= 0.1:
            raise ValueError(f"the camera is {z:g} m above the floor, expected more than 0.1")
        if 0.0 <= y <= DEPTH_M + 0.5 and abs(x) < 0.7 and z < 2.0:
            raise ValueError("the camera stands inside the gondola, expected y below 0 (the aisle)")
        if y > 0.85:
            raise ValueError(f"the camera stands behind the wall at y = 0.88 m: y is {y:g}")
        if np.linalg.norm(np.subtract(self.look_at_m, self.position_m)) < 0.2:
            raise ValueError("the camera looks at its own place")
        if self.view().folds:
            raise ValueError(
                f"k1 {self.k1:g} and k2 {self.k2:g} fold the picture's corners at a field of view of"
                f" {self.fovy_deg:g} degrees; expected a lens that bends less"
            )
        camera = self.view().calibration("", "", 1.0)
        pixels, depth = camera.project(np.array([[0.0, 0.0, z] for z in (0.6, 0.9, 1.2, 1.5)]))
        seen = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < [self.width, self.height]).all(axis=1)
        if not seen.any():
            raise ValueError("the camera does not see the gondola's front; aim it with look_at_m")
        return self

    def view(self) -> View:
        return View(self.position_m, self.look_at_m, self.fovy_deg, self.k1, self.k2, self.width, self.height)


class PlateFaults(_Part):
    """Shares of load cells that drop samples for a while, get stuck, or stand near their 20 kg."""

    dropping: float = Field(0.0, ge=0, le=1)
    stuck: float = Field(0.0, ge=0, le=1)
    overloaded: float = Field(0.0, ge=0, le=1)

    def faults(self) -> Faults:
        return Faults(self.dropping, self.stuck, self.overloaded)


class RecordingSpec(_Part):
    """What a recording is made from; everything else is drawn from the seed.

    Attributes:
        people: who comes: "s1" pays on account s1 and carries a basket; "s1+trolley" pushes a trolley; "s1+child" is
            a child with s1; "staff" restocks. Two people of one account are a group.
        confusing: wanted share of confusing actions.
        mix: relative weights of confusing behaviours; 1 for those not named.
        packages: kinds of packages that are sold; all without it.
        cameras: mounts; one overhead and one oblique camera are drawn without it.
        light: strength of the light over an ordinary shop's.
        looks: brands, label designs, flavours and camera heights of training or of test sets.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(ge=0, le=2**32 - 1)
    people: tuple[Annotated[str, Field(pattern=PEOPLE)], ...] = Field(
        ("s1",), min_length=1, max_length=MOST_PEOPLE
    )
    duration_s: float = Field(40.0, ge=6, le=600)
    fps: int = Field(10, ge=1, le=30)
    confusing: float = Field(0.0, ge=0, le=0.9)
    mix: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default_factory=dict)
    shelves: Literal[3, 4, 5] | None = None
    products: int = Field(36, ge=4, le=60)
    packages: tuple[str, ...] = ()
    cameras: tuple[CameraSpec, ...] = ()
    light: float = Field(1.0, ge=0.2, le=2.0)
    plates: PlateFaults = PlateFaults()
    looks: Literal["training", "test"] = "training"

    @field_validator("mix")
    @classmethod
    def _behaviours_exist(cls, mix: dict[str, float]) -> dict[str, float]:
        for name in mix:
            if name not in BEHAVIOURS:
                raise ValueError(
                    f"{name!r} is not a behaviour; {nearest(name, BEHAVIOURS) or ', '.join(BEHAVIOURS)}"
                )
        return mix

    @field_validator("packages")
    @classmethod
    def _packages_exist(cls, packages: tuple[str, ...]) -> tuple[str, ...]:
        known = [p.name for p in PACKAGES]
        for name in packages:
            if name not in known:
                raise ValueError(f"{name!r} is not a package; {nearest(name, known) or ', '.join(known)}")
        return packages

    @model_validator(mode="after")
    def _children_have_parents(self) -> Self:
        for name in self.people:
            account = name.removesuffix("+child")
            if (
                name.endswith("+child")
                and account not in self.people
                and f"{account}+trolley" not in self.people
            ):
                raise ValueError(f"{name!r} has no grown-up: add {account!r} to people")
        if all(name == "staff" for name in self.people):
            raise ValueError("people holds only staff, expected at least one shopper")
        return self

    @property
    def test(self) -> bool:
        return self.looks == "test"


def load_specs(path: str | Path) -> list[RecordingSpec]:
    """Recordings described in a YAML file (`schema: 1`, `recordings: [...]`); raises `InputError` for any fault."""
    path = Path(path)
    document = read_yaml(path)
    check_schema(path, document, SPEC_SCHEMA)
    rows = document.get("recordings")
    if not isinstance(rows, list) or not rows:
        raise InputError(path, "recordings", "is missing or empty, expected a list of recordings to render")
    for key in document:
        if key not in ("schema", "recordings"):
            raise InputError(path, str(key), "unknown field", nearest(str(key), ("recordings",)))
    specs = [_checked(path, f"recordings[{i}]", row) for i, row in enumerate(rows)]
    seen: set[str] = set()
    for i, spec in enumerate(specs):
        if spec.id in seen:
            raise InputError(path, f"recordings[{i}].id", f"{spec.id!r} is given twice")
        seen.add(spec.id)
    return specs


def _checked(path: Path, where: str, row: Any) -> RecordingSpec:
    if not isinstance(row, Mapping):
        raise InputError(path, where, f"{row!r}, expected a mapping with id and seed")
    try:
        return RecordingSpec.model_validate(row)
    except ValidationError as error:
        fault = error.errors()[0]
        keys = [str(key) for key in fault["loc"]]
        name = ".".join([where, *keys])
        if fault["type"] == "extra_forbidden":
            parts: dict[str, type[_Part]] = {"cameras": CameraSpec, "plates": PlateFaults}
            part = parts.get(keys[0], RecordingSpec)
            raise InputError(path, name, "unknown field", nearest(keys[-1], part.model_fields)) from None
        value = fault["input"]
        shown = (
            f"{value!r}: " if isinstance(value, int | float | str) and fault["type"] != "value_error" else ""
        )
        problem = fault["msg"].removeprefix("Value error, ")
        raise InputError(path, name, f"{shown}{problem[0].lower()}{problem[1:]}") from None


_CLEAN_PEOPLE = ("s1", "s1", "s1 s2", "s1 s2", "s1 s2", "s1 s1", "s1 s2+trolley", "s1 s2 s3", "s1 s1 s2", "s1 s2 s3",
                 "s1 s2 s3", "s1 s2 s2")  # fmt: skip
_HARD: tuple[tuple[str, dict[str, float]], ...] = (
    ("s1 s2", {"swap": 6, "misplace": 3, "pick_misplaced": 5}),
    ("s1 s2", {"same_facing": 5, "neighbours": 4}),
    ("s1 s1 s2", {"hand_over_within": 5, "hand_over_between": 5}),
    ("s1 s1+child s2", {"touch": 3, "hide": 4, "leave_on_floor": 4}),
    ("s1+trolley s2 s3", {"neighbours": 4, "slow": 4}),
    ("staff s1 s2", {"quick": 4, "swap": 3}),
    ("s1 s1 s2 s2", {"hand_over_between": 4, "hand_over_within": 4, "same_facing": 3}),
    ("s1 s2 s3", {"misplace": 5, "pick_misplaced": 6, "swap": 4}),
    ("s1 s2 s3 s4", {"neighbours": 4, "same_facing": 5, "quick": 3}),
    ("s1+trolley s1+child s2 s3", {"slow": 3, "hide": 3, "leave_on_floor": 4}),
    ("staff s1 s2", {"touch": 3, "misplace": 4}),
    ("s1 s2 s2 s3 s4 s5", {}),
)


def _spread(kinds: Sequence[T], count: int, skipped: int = 0) -> list[T]:
    """The kinds of `count` recordings, spread so that a small set holds crowds too, each moved on by `skipped`."""
    return [kinds[(i * len(kinds) // count + skipped) % len(kinds)] for i in range(count)]


def _clean(
    prefix: str, first_seed: int, count: int, looks: Literal["training", "test"], skipped: int = 0
) -> Iterator[RecordingSpec]:
    for i, people in enumerate(_spread(_CLEAN_PEOPLE, count, skipped)):
        yield RecordingSpec(
            id=f"{prefix}-{i + 1:02d}", seed=first_seed + i, people=tuple(people.split()), looks=looks
        )


def _hard(
    prefix: str, first_seed: int, count: int, looks: Literal["training", "test"], skipped: int = 0
) -> Iterator[RecordingSpec]:
    """Confusing behaviours, crowds, dim light, and load cells that fail now and then."""
    for i, (people, mix) in enumerate(_spread(_HARD, count, skipped)):
        yield RecordingSpec(
            id=f"{prefix}-{i + 1:02d}",
            seed=first_seed + i,
            people=tuple(people.split()),
            confusing=0.37,
            mix=dict(mix),
            light=(1.0, 0.75, 1.15, 0.6)[i % 4],
            plates=PlateFaults(dropping=0.03, stuck=0.01 if i % 3 == 2 else 0.0, overloaded=0.03),
            looks=looks,
        )


def _mixed(
    prefix: str, first_seed: int, count: int, first_number: int = 1, skipped: int = 0
) -> tuple[RecordingSpec, ...]:
    """Half clean, half hard, one after the other."""
    half = (count + 1) // 2
    clean = _clean(prefix, first_seed, half, "training", skipped)
    hard = _hard(prefix, first_seed + half, count - half, "training", skipped)
    pairs = [spec for pair in zip(clean, hard, strict=False) for spec in pair]
    return tuple(
        spec.model_copy(update={"id": f"{prefix}-{number:02d}"})
        for number, spec in enumerate(pairs, first_number)
    )


SETS: dict[str, tuple[RecordingSpec, ...]] = {
    "train": _mixed("train", 500_000, 48),
    "val": (
        *_mixed("val", 900_000, 12),
        # The kinds that the first dozen leaves out.
        *_mixed("val", 950_000, 12, first_number=13, skipped=1),
        # One of every kind: with 24, an F1 moves by 0.02 for any change.
        *_mixed("val", 970_000, 24, first_number=25),
    ),
    "test-clean": tuple(_clean("clean", 100, 12, "test")),
    "test-hard": tuple(_hard("hard", 200, 12, "test")),
}
"""Named sets. The test sets are shipped; train and val are rendered on demand."""
