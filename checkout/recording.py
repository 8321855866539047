"""Opens and checks one recording folder, and reads its sensors in time order.

A recording may lack cameras, plates, positions or truth; `require` says by name what is missing.
All times are seconds from the start of the recording, on one clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from checkout.catalog import Catalog, Planogram, check_schema, read_yaml, write_yaml
from checkout.errors import InputError, gathered, nearest, raise_found
from checkout.events import Receipt, ReceiptLine, ShelfEvent

RECORDING_SCHEMA = 1
TRUTH_SCHEMA = 1
Role = Literal["shopper", "staff"]
ActKind = Literal["touch", "hand_over", "hide", "leave_on_floor"]
_FIELDS = ("schema", "id", "cameras", "plates", "entries", "source", "licence", "seed")
_CAMERA_FIELDS = (
    "camera",
    "file",
    "fps",
    "width",
    "height",
    "matrix",
    "distortion",
    "rotation",
    "translation_m",
)


LEAST_DEPTH_M = 0.1
"""Assumed: what is nearer to a camera than this, or behind it, is not in its picture."""


def box_corners(low_m: Sequence[float] | np.ndarray, high_m: Sequence[float] | np.ndarray) -> np.ndarray:
    """The corners [8, 3] of a box given by its least and its largest one, [3] each."""
    return np.array(list(product(*zip(low_m, high_m, strict=True))), float)


@dataclass(frozen=True)
class Camera:
    """A camera's file and, when calibrated, the pinhole model with OpenCV's conventions.

    Attributes:
        file: video file, relative to the recording folder.
        matrix: intrinsics, float64 [3, 3], pixels; None when not calibrated.
        distortion: k1, k2, p1, p2, k3.
        rotation: world to camera, float64 [3, 3]; camera axes x right, y down, z forward.
        translation_m: world to camera, float64 [3], metres.
    """

    camera: str
    file: str
    fps: float
    width: int
    height: int
    matrix: np.ndarray | None = None
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation_m: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @property
    def calibrated(self) -> bool:
        return self.matrix is not None

    @property
    def position_m(self) -> np.ndarray:
        """Optical centre in the world, float64 [3], metres."""
        return np.asarray(-self.rotation.T @ self.translation_m)

    def project(self, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [n, 3], metres -> pixels [n, 2] and depth along the optical axis [n], metres.

        Points behind the camera have a depth of zero or less and meaningless pixels.
        Source of the formula: OpenCV's pinhole camera model with radial and tangential distortion.
        """
        assert self.matrix is not None
        cam = np.atleast_2d(points_m) @ self.rotation.T + self.translation_m
        z = np.where(np.abs(cam[:, 2]) < 1e-9, 1e-9, cam[:, 2])
        x, y = cam[:, 0] / z, cam[:, 1] / z
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        pixels = np.column_stack([xd, yd]) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return pixels, cam[:, 2]

    def box_seen(
        self, low_m: Sequence[float] | np.ndarray, high_m: Sequence[float] | np.ndarray
    ) -> np.ndarray | None:
        """Where a box of the world, given by its least and largest corner [3], metres, appears: x1, y1, x2, y2, pixels.

        What lies beyond the picture is cut off, so that nothing may be left. None where a corner is not before the
        camera.
        """
        pixels, depth = self.project(box_corners(low_m, high_m))
        if (depth <= LEAST_DEPTH_M).any():
            return None
        size = (self.width, self.height)
        return np.concatenate([np.clip(pixels.min(axis=0), 0, size), np.clip(pixels.max(axis=0), 0, size)])

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [n, 2] -> unit directions in the world [n, 3], from `position_m`."""
        assert self.matrix is not None
        distorted = (np.atleast_2d(pixels) - self.matrix[:2, 2]) @ np.linalg.inv(self.matrix[:2, :2]).T
        k1, k2, p1, p2, k3 = self.distortion
        xy = distorted.copy()
        for _ in range(10):  # fixed-point inversion of the distortion
            x, y = xy[:, 0], xy[:, 1]
            r2 = x * x + y * y
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
            shift = np.column_stack(
                [2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y]
            )
            xy = (distorted - shift) / radial[:, None]
        rays = np.column_stack([xy, np.ones(len(xy))]) @ self.rotation
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "camera": self.camera,
            "file": self.file,
            "fps": self.fps,
            "width": self.width,
            "height": self.height,
        }
        if self.matrix is not None:
            row |= {
                "matrix": np.round(self.matrix, 6).tolist(),
                "distortion": np.round(self.distortion, 8).tolist(),
                "rotation": np.round(self.rotation, 9).tolist(),
                "translation_m": np.round(self.translation_m, 6).tolist(),
            }
        return row


@dataclass(frozen=True)
class Entry:
    """One person who came in: on whose account, when, and where (floor x, y in world metres).

    Attributes:
        shopper: the account that pays; the persons of a group share one.
        person: the person's own name; the shopper's where nobody shares the account.
        role: staff have no receipt.
        picture: file of what a camera at the entry saw of the person, cut to the body; may be missing.
    """

    shopper: str
    t_s: float
    at_m: tuple[float, float]
    person: str = ""
    role: Role = "shopper"
    picture: str = ""

    def __post_init__(self) -> None:
        if not self.person:
            object.__setattr__(self, "person", self.shopper)


@dataclass(frozen=True)
class Act:
    """Something a person did that is no shelf event, but that perception may trip over.

    Attributes:
        kind: a touch takes nothing; the others happen to units that were picked before.
        to: the person who got the units of a hand-over.
    """

    kind: ActKind
    t_start_s: float
    t_end_s: float
    person: str
    product: str
    quantity: int = 1
    facing: str = ""
    to: str = ""


@dataclass(frozen=True)
class Truth:
    """What really happened: the shelf events with their conditions, the final receipts, and what else was done."""

    shoppers: tuple[str, ...]
    events: tuple[ShelfEvent, ...]
    receipts: tuple[Receipt, ...]
    acts: tuple[Act, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read `truth.json`; raises `InputError` for a fault."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(path, "", f"is not JSON ({error})") from None
        check_schema(path, document, TRUTH_SCHEMA)
        try:
            events = tuple(
                ShelfEvent(
                    t_s=0.5 * (row["t_start_s"] + row["t_end_s"]),
                    action=row["action"],
                    product=row["product"],
                    quantity=int(row["quantity"]),
                    shopper=row["shopper"],
                    facing=row["facing"],
                    t_start_s=row["t_start_s"],
                    t_end_s=row["t_end_s"],
                    conditions=row.get("conditions", {}),
                )
                for row in document["events"]
            )
            receipts = tuple(
                Receipt(
                    r["shopper"],
                    tuple(ReceiptLine(x["product"], int(x["quantity"]), 1.0) for x in r["lines"]),
                )
                for r in document["receipts"]
            )
            acts = tuple(Act(**row) for row in document.get("acts", []))
            return cls(tuple(document["shoppers"]), events, receipts, acts)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(path, "", f"a field is missing or malformed ({error!r})") from None

    def save(self, path: Path) -> None:
        document: dict[str, Any] = {
            "schema": TRUTH_SCHEMA,
            "shoppers": list(self.shoppers),
            "events": [
                {
                    "t_start_s": round(e.t_start_s, 4),
                    "t_end_s": round(e.t_end_s, 4),
                    "shopper": e.shopper,
                    "action": e.action,
                    "product": e.product,
                    "quantity": e.quantity,
                    "facing": e.facing,
                    "conditions": dict(e.conditions),
                }
                for e in self.events
            ],
            "receipts": [
                {
                    "shopper": r.shopper,
                    "lines": [{"product": x.product, "quantity": x.quantity} for x in r.lines],
                }
                for r in self.receipts
            ],
        }
        if self.acts:
            document["acts"] = [
                {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(a).items() if v != ""}
                for a in self.acts
            ]
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Recording:
    """One recording folder; files are read when asked for."""

    path: Path
    id: str
    cameras: tuple[Camera, ...]
    plates_rate_hz: float | None
    entries: tuple[Entry, ...]
    source: str
    licence: str
    seed: int | None

    @classmethod
    def open(cls, path: str | Path, faults: list[InputError] | None = None) -> Recording:
        """Check the folder's `recording.yaml` and that the files it names exist; raises `InputError`.

        With a list of `faults`, those of single fields go there, and what is faulty is left out.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(path, "", "is not a recording folder", "give a folder that holds recording.yaml")
        file = path / "recording.yaml"
        document = read_yaml(file)
        with gathered(faults):
            check_schema(file, document, RECORDING_SCHEMA)
        for key in document:
            if key not in _FIELDS:
                with gathered(faults):
                    raise InputError(file, str(key), "unknown field", nearest(str(key), _FIELDS))
        cameras: list[Camera] = []
        for i, row in enumerate(_rows(file, "cameras", document, faults)):
            with gathered(faults):
                cameras.append(_camera(file, path, i, row))
        rate = None
        with gathered(faults):
            rate = _plates_rate_hz(file, document.get("plates"))
        entries: list[Entry] = []
        for i, row in enumerate(_rows(file, "entries", document, faults)):
            with gathered(faults):
                entries.append(_entry(file, f"entries[{i}]", row))
        return cls(
            path,
            str(document.get("id") or path.name),
            tuple(cameras),
            rate,
            tuple(entries),
            str(document.get("source", "")),
            str(document.get("licence", "")),
            document.get("seed"),
        )

    def save_header(self) -> None:
        """Write `recording.yaml` into the folder."""
        document: dict[str, Any] = {"schema": RECORDING_SCHEMA, "id": self.id}
        if self.cameras:
            document["cameras"] = [c.to_dict() for c in self.cameras]
        if self.plates_rate_hz is not None:
            document["plates"] = {"file": "plates.parquet", "rate_hz": self.plates_rate_hz}
        if self.entries:
            document["entries"] = [
                {"shopper": e.shopper, "t_s": round(e.t_s, 4), "at_m": [round(v, 4) for v in e.at_m]}
                | ({"person": e.person} if e.person != e.shopper else {})
                | ({"role": e.role} if e.role != "shopper" else {})
                | ({"picture": e.picture} if e.picture else {})
                for e in self.entries
            ]
        document |= {"source": self.source, "licence": self.licence}
        if self.seed is not None:
            document["seed"] = self.seed
        write_yaml(self.path / "recording.yaml", document)

    @property
    def has_plates(self) -> bool:
        return self.plates_rate_hz is not None

    @property
    def has_positions(self) -> bool:
        return (self.path / "positions.parquet").is_file()

    @property
    def has_truth(self) -> bool:
        return (self.path / "truth.json").is_file()

    def require(self, *parts: str) -> None:
        """Raise `InputError` unless the recording has each of "cameras", "plates", "positions", "truth"."""
        have = {
            "cameras": bool(self.cameras),
            "plates": self.has_plates,
            "positions": self.has_positions,
            "truth": self.has_truth,
        }
        for part in parts:
            if not have[part]:
                raise InputError(self.path, part, "this recording has none, and the command needs them")

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.load(self.path / "catalog.csv")

    @cached_property
    def planogram(self) -> Planogram:
        return Planogram.load(self.path / "planogram.yaml", self.catalog)

    @cached_property
    def truth(self) -> Truth:
        self.require("truth")
        return Truth.load(self.path / "truth.json")

    @cached_property
    def plates(self) -> pd.DataFrame:
        """The load cells as they came: index `t_s` (float64, strictly rising), one column a plate, grams.

        A plate with no sample at a time is NaN there. Raises `InputError` when time goes back.
        """
        self.require("plates")
        file = self.path / "plates.parquet"
        try:
            table = pd.read_parquet(file)
        except Exception as error:
            raise InputError(file, "", f"is not a Parquet table ({error})") from None
        for column in ("t_s", "plate", "grams"):
            if column not in table:
                raise InputError(file, column, "column is missing, expected t_s, plate, grams")
        if table.empty:
            raise InputError(file, "", "holds no samples")
        if not np.isfinite(table["t_s"]).all():
            raise InputError(file, "t_s", "holds a time that is not a finite number")
        steps = table.groupby("plate", sort=False)["t_s"].diff()
        if (steps < 0).any():
            row = int(np.flatnonzero((steps < 0).to_numpy())[0])
            bad = table.iloc[row]
            raise InputError(
                file,
                "t_s",
                f"time goes back to {bad['t_s']:.3f} s at row {row} (plate {bad['plate']}), expected rising times",
            )
        if (steps == 0).any():
            row = int(np.flatnonzero((steps == 0).to_numpy())[0])
            bad = table.iloc[row]
            raise InputError(
                file, "t_s", f"plate {bad['plate']} has two samples at {bad['t_s']:.3f} s (row {row})"
            )
        wide = table.pivot(index="t_s", columns="plate", values="grams")
        return wide.sort_index()

    @cached_property
    def positions(self) -> pd.DataFrame:
        """Tracked shoppers as another system gave them: `t_s, shopper, part, x_m, y_m, z_m`.

        `part` is "head", "left_hand" or "right_hand".
        """
        self.require("positions")
        return pd.read_parquet(self.path / "positions.parquet").sort_values("t_s", ignore_index=True)

    @cached_property
    def boxes(self) -> pd.DataFrame:
        """True boxes: `camera, frame, label, id, x1, y1, x2, y2` (pixels), `visible` (fraction)."""
        file = self.path / "boxes.parquet"
        if not file.is_file():
            raise InputError(file, "", "does not exist; detection scores need true boxes")
        return pd.read_parquet(file)

    def entry_pictures(self) -> dict[str, np.ndarray]:
        """What the entry saw of each person, where it took a picture: uint8 [height, width, 3], BGR."""
        import cv2

        found = {}
        for i, entry in enumerate(self.entries):
            if entry.picture:
                picture = cv2.imread(str(self.path / entry.picture), cv2.IMREAD_COLOR)
                if picture is None:
                    raise InputError(
                        self.path / "recording.yaml",
                        f"entries[{i}].picture",
                        f"{entry.picture!r} is not a picture",
                    )
                found[entry.person] = np.asarray(picture)
        return found

    def frames(self, camera: str) -> Iterator[tuple[float, np.ndarray]]:
        """Each frame of a camera: its time, seconds, and its picture, uint8 [height, width, 3], BGR."""
        from checkout.vision.video import read_frames

        found = next((c for c in self.cameras if c.camera == camera), None)
        if found is None:
            names = [c.camera for c in self.cameras]
            raise InputError(self.path, "camera", f"{camera!r} is not one of {names}", nearest(camera, names))
        return read_frames(self.path / found.file)

    def sha256(self) -> str:
        """Hash over every file of the recording, in name order."""
        digest = hashlib.sha256()
        for file in sorted(p for p in self.path.iterdir() if p.is_file()):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()


def write_plates(path: Path, t_s: np.ndarray, grams: Mapping[str, np.ndarray]) -> None:
    """Write `plates.parquet` from sample times [n] and one signal [n] a plate; NaN samples are left out."""
    tables = []
    for plate, signal in grams.items():
        keep = np.isfinite(signal)
        tables.append(
            pd.DataFrame({"t_s": t_s[keep], "plate": plate, "grams": signal[keep].astype(np.float32)})
        )
    table = pd.concat(tables, ignore_index=True)
    table["plate"] = table["plate"].astype("category")
    table.to_parquet(path, compression="zstd", index=False)


def _rows(file: Path, field: str, document: Mapping[str, Any], faults: list[InputError] | None) -> list[Any]:
    rows = document.get(field) or []
    with gathered(faults):
        if not isinstance(rows, list):
            raise InputError(file, field, f"{rows!r} is not a list")
    return rows if isinstance(rows, list) else []


def _plates_rate_hz(file: Path, plates: object) -> float | None:
    if plates is None:
        return None
    rate = plates.get("rate_hz") if isinstance(plates, dict) else None
    if not isinstance(rate, int | float) or not rate > 0:
        raise InputError(file, "plates.rate_hz", f"{plates!r}, expected a rate in Hz")
    if not (file.parent / "plates.parquet").is_file():
        raise InputError(file, "plates", "plates.parquet does not exist in this folder")
    return float(rate)


def _entry(file: Path, where: str, row: Any) -> Entry:
    try:
        at_m = (float(row["at_m"][0]), float(row["at_m"][1]))
        role = row.get("role", "shopper")
        person, picture = str(row.get("person", "")), str(row.get("picture", ""))
        entry = Entry(str(row["shopper"]), float(row["t_s"]), at_m, person, role, picture)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise InputError(file, where, f"{row!r}, expected shopper, t_s and at_m: [x, y]") from None
    if role not in get_args(Role):
        raise InputError(file, f"{where}.role", f"{role!r}, expected shopper or staff")
    if picture and not (file.parent / picture).is_file():
        raise InputError(file, f"{where}.picture", f"{picture!r} does not exist in {file.parent}")
    return entry


def _camera(file: Path, folder: Path, index: int, row: object) -> Camera:
    where = f"cameras[{index}]"
    if not isinstance(row, dict):
        raise InputError(file, where, f"{row!r} is not a mapping")
    found = [
        InputError(file, f"{where}.{key}", "unknown field", nearest(str(key), _CAMERA_FIELDS))
        for key in row
        if key not in _CAMERA_FIELDS
    ]
    for key in ("camera", "file", "fps", "width", "height"):
        if key not in row:
            found.append(InputError(file, f"{where}.{key}", "is missing"))
    for key in ("fps", "width", "height"):
        if key in row and (not isinstance(row[key], int | float) or not row[key] > 0):
            found.append(InputError(file, f"{where}.{key}", f"{row[key]!r}, expected a positive number"))
    if "file" in row and not (folder / str(row["file"])).is_file():
        found.append(InputError(file, f"{where}.file", f"{row['file']!r} does not exist in {folder}"))
    shapes = {"matrix": (3, 3), "distortion": (5,), "rotation": (3, 3), "translation_m": (3,)}
    arrays: dict[str, Any] = {}
    for key, shape in shapes.items():
        if row.get(key) is not None:
            with gathered(found):
                arrays[key] = _array(file, f"{where}.{key}", row[key], shape)
    raise_found(found)
    return Camera(
        str(row["camera"]),
        str(row["file"]),
        float(row["fps"]),
        int(row["width"]),
        int(row["height"]),
        **arrays,
    )


def _array(file: Path, where: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(file, where, "holds something that is not a number") from None
    if array.shape != shape:
        raise InputError(file, where, f"has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise InputError(file, where, "holds a number that is not finite")
    return array
