"""Names every fault of a recording folder at once, by reading all of it.

Where `Recording.open` and its properties stop at the first fault, `validate` gathers them and goes on. What
follows from an earlier fault alone is not reported again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from checkout.catalog import Catalog, Planogram, Product, check_schema, read_yaml, shelf_of
from checkout.errors import InputError, gathered, nearest
from checkout.events import Action
from checkout.footage import BOX_COLUMNS, LABELS
from checkout.recording import TRUTH_SCHEMA, ActKind, Camera, Recording
from checkout.vision.video import decoded_times_s, probe

SAME_LENGTH_S = 0.5
"""Assumed: cameras and plates of one recording end within this time of each other."""
SAME_RATE = 0.02
"""Assumed: a declared frame or sample rate may be off by this share."""
GAP_S = 0.25
"""Assumed: a pause between two samples of a plate, beyond four usual steps, that loses an event's edge."""
EMPTY_PLATE_G = 30.0
"""Assumed: a plate whose load stays within this range holds nothing that is sold."""
BOX_SLACK_PIXELS = 1.0
TIME_SLACK_S = 0.1
POSITION_PARTS = ("head", "left_hand", "right_hand")
POSITION_COLUMNS = ("t_s", "shopper", "part", "x_m", "y_m", "z_m")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Validation:
    """What was found in one recording folder.

    Attributes:
        summary: in one line, what it holds.
        notes: what is odd and yet allowed.
    """

    path: Path
    faults: tuple[InputError, ...]
    summary: str
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """As `validate --json` prints it."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "summary": self.summary,
            "notes": list(self.notes),
            "faults": [
                {"file": f.file, "field": f.field, "problem": f.problem, "remedy": f.remedy}
                for f in self.faults
            ],
        }


@dataclass
class _Findings:
    """What is known of the recording so far, for the checks that compare files."""

    path: Path
    recording: Recording
    faults: list[InputError] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)
    length_s: dict[str, float] = field(default_factory=dict)
    catalog: Catalog | None = None
    planogram: Planogram | None = None
    products: set[str] | None = None
    facings: set[str] | None = None
    summary: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, file: str, where: str, problem: str, remedy: str = "") -> None:
        self.faults.append(InputError(self.path / file, where, problem, remedy))

    @property
    def end_s(self) -> float:
        """When the last sensor ends, seconds; infinite when no sensor says."""
        return max(self.length_s.values(), default=np.inf)


def validate(path: str | Path, progress: Progress | None = None) -> Validation:
    """Every fault of a recording folder; decodes every frame of its videos."""
    path = Path(path)
    tell = progress or (lambda what, share: None)
    header: list[InputError] = []
    recording = Recording(path, path.name, (), None, (), "", "", None)
    with gathered(header):
        recording = Recording.open(path, header)
    found = _Findings(path, recording, header)
    if path.is_dir():
        checks = (_videos, _shelves, _plates, _entries, _truth, _boxes, _positions)
        for index, check in enumerate(checks):
            tell(f"{path.name}: {check.__name__.strip('_')}", index / len(checks))
            check(found)
    return Validation(
        path, tuple(found.faults), ", ".join(found.summary) or "holds nothing", tuple(found.notes)
    )


def _videos(found: _Findings) -> None:
    seen: set[str] = set()
    for index, camera in enumerate(found.recording.cameras):
        where = f"camera {camera.camera}"
        if camera.camera in seen:
            found.add("recording.yaml", f"cameras[{index}].camera", f"{camera.camera!r} is listed twice")
        seen.add(camera.camera)
        with gathered(found.faults):
            _one_video(found, camera, where)
    lengths = {
        c.camera: found.length_s[c.camera] for c in found.recording.cameras if c.camera in found.length_s
    }
    if lengths:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        if lengths[longest] - lengths[shortest] > SAME_LENGTH_S:
            found.add(
                "recording.yaml",
                "cameras",
                f"{shortest} lasts {lengths[shortest]:.2f} s and {longest} {lengths[longest]:.2f} s, expected"
                f" the same within {SAME_LENGTH_S:g} s",
                "cut the videos to the same start and end",
            )
        found.summary.append(f"{len(lengths)} camera(s) of {lengths[longest]:.1f} s")


def _one_video(found: _Findings, camera: Camera, where: str) -> None:
    info = probe(found.path / camera.file)
    if (info.width, info.height) != (camera.width, camera.height):
        found.add(
            "recording.yaml",
            f"{where}: width, height",
            f"{camera.width}x{camera.height}, but {camera.file} is {info.width}x{info.height}",
        )
    times = decoded_times_s(found.path / camera.file)
    if info.frames and len(times) != info.frames:
        found.add(
            camera.file,
            "frames",
            f"{len(times)} can be read of {info.frames} declared",
            "copy the file again, or write it anew",
        )
    fps = (len(times) - 1) / float(times[-1]) if len(times) > 1 and times[-1] > 0 else camera.fps
    if abs(fps / camera.fps - 1) > SAME_RATE:
        found.add("recording.yaml", f"{where}: fps", f"{camera.fps:g}, but {camera.file} has {fps:.3f}")
    found.frames[camera.camera] = len(times)
    found.length_s[camera.camera] = float(times[-1]) + 1 / fps


def _shelves(found: _Findings) -> None:
    """Catalogue and planogram; names on faulty lines stay known, so that they are not called unknown too."""
    file = found.path / "catalog.csv"
    if file.is_file():
        with gathered(found.faults):
            catalog = Catalog.load(file, found.faults)
            named = pd.read_csv(file, dtype=str)["product"].dropna()
            found.products = set(named)
            found.catalog = Catalog([catalog.get(p, Product(p, 1.0, 1.0, 0.0)) for p in named])
            found.summary.append(f"{len(found.catalog)} products")
    file = found.path / "planogram.yaml"
    if not file.is_file():
        return
    if not (found.path / "catalog.csv").is_file():
        found.add(
            "catalog.csv", "", "does not exist, and planogram.yaml names its products", "add catalog.csv"
        )
    if found.catalog is None:
        return
    faults: list[InputError] = []
    with gathered(faults):
        planogram = Planogram.load(file, found.catalog, faults)
        found.facings = {str(r.get("facing")) for r in read_yaml(file)["facings"] if isinstance(r, dict)}
        found.planogram = None if faults else planogram
        found.summary.append(f"{len(planogram)} facings")
    found.faults += faults


def _plates(found: _Findings) -> None:
    file = found.path / "plates.parquet"
    if not file.is_file():
        return
    if not found.recording.has_plates and not any(f.field.startswith("plates") for f in found.faults):
        found.add("recording.yaml", "plates", "is missing, but plates.parquet is in the folder", "name it")
    table = _table(found, "plates.parquet", ("t_s", "plate", "grams"), numbers=("t_s", "grams"))
    if table is None:
        return
    _rows(found, "plates.parquet", "t_s", table, ~_finite(table, ["t_s"]), "t_s", "a finite time")
    _rows(found, "plates.parquet", "grams", table, ~_finite(table, ["grams"]), "grams", "a finite weight")
    table = table[_finite(table, ["t_s"])]
    by_plate = table.groupby("plate", sort=True, observed=True)
    steps = by_plate["t_s"].diff()
    usual = float(steps[steps > 0].median())
    for plate, times in by_plate["t_s"]:
        _plate_times(found, str(plate), times.to_numpy(float), usual)
    if table.empty:
        return
    rate = found.recording.plates_rate_hz
    if rate and np.isfinite(usual) and abs(1 / usual / rate - 1) > SAME_RATE:
        found.add(
            "recording.yaml",
            "plates.rate_hz",
            f"{rate:g}, but plates.parquet has {1 / usual:.3f} samples a second",
        )
    names = [str(p) for p in by_plate.groups]
    if found.planogram is not None:
        _compare_plates(found, found.planogram, {str(p): g.to_numpy(float) for p, g in by_plate["grams"]})
    end = float(table["t_s"].max()) + (usual if np.isfinite(usual) else 0.0)
    videos = max(found.length_s.values(), default=None)
    if videos is not None and abs(end - videos) > SAME_LENGTH_S:
        found.add(
            "plates.parquet",
            "t_s",
            f"ends at {end:.2f} s, the videos at {videos:.2f} s, expected the same within {SAME_LENGTH_S:g} s",
            "bring both to one clock that starts with the first frame",
        )
    found.length_s["plates"] = end
    found.summary.append(f"{len(names)} plates for {end:.1f} s")


def _compare_plates(found: _Findings, planogram: Planogram, grams: Mapping[str, np.ndarray]) -> None:
    """Plates and facings must name each other; a place that holds nothing, or is not weighed, is only noted."""
    shelves, weighed = {shelf_of(p) for p in planogram.plates}, {shelf_of(p) for p in grams}
    empty, unweighed = [], []
    for plate, signal in grams.items():
        if plate in planogram.plates:
            continue
        swing = float(np.nanmax(signal) - np.nanmin(signal)) if np.isfinite(signal).any() else 0.0
        if shelf_of(plate) in shelves and swing <= EMPTY_PLATE_G:
            empty.append(plate)
            continue
        remedy = nearest(plate, set(planogram.plates) - set(grams)) or "give it to a facing"
        problem = f"is not in planogram.yaml, and its load changes by {swing:.0f} g"
        found.add("plates.parquet", f"plate {plate}", problem, remedy)
    for facing in planogram.values():
        missing = [p for p in facing.plates if p not in grams]
        unweighed += [p for p in missing if shelf_of(p) not in weighed]
        for plate in (p for p in missing if shelf_of(p) in weighed):
            remedy = nearest(plate, set(grams) - set(planogram.plates))
            found.add(
                "planogram.yaml", f"{facing.facing}: plates", f"{plate!r} is not in plates.parquet", remedy
            )
    for plates, what in ((empty, "no facing"), (unweighed, "no samples, nor has their shelf")):
        if plates:
            some = ", ".join(sorted(plates)[:3]) + (" ..." if len(plates) > 3 else "")
            found.notes.append(f"{len(plates)} plate(s) have {what}: {some}")


def _plate_times(found: _Findings, plate: str, times: np.ndarray, usual_s: float) -> None:
    steps = np.diff(times)
    for wrong, what in ((steps < 0, "goes back"), (steps == 0, "stands still")):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            found.add(
                "plates.parquet",
                f"t_s of plate {plate}",
                f"{what} {_times(wrong)}, first from {times[at]:.3f} s to {times[at + 1]:.3f} s",
                "sort the samples and drop doubles",
            )
    gaps = steps > max(GAP_S, 4 * usual_s if np.isfinite(usual_s) else 0.0)
    if gaps.any():
        at = int(np.flatnonzero(gaps)[0])
        found.add(
            "plates.parquet",
            f"t_s of plate {plate}",
            f"has {int(gaps.sum())} gap(s), first from {times[at]:.3f} s to {times[at + 1]:.3f} s",
        )


def _times(mask: np.ndarray) -> str:
    return "once" if mask.sum() == 1 else f"{int(mask.sum())} times"


def _entries(found: _Findings) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(found.recording.entries):
        where = f"entries[{index}]"
        if entry.person in seen:
            found.add("recording.yaml", f"{where}.person", f"{entry.person!r} enters twice")
        seen.add(entry.person)
        if not entry.t_s <= found.end_s + TIME_SLACK_S:  # some came in before the recording began
            found.add(
                "recording.yaml", f"{where}.t_s", f"{entry.t_s:g} s is outside the recording", _span(found)
            )
        if not np.isfinite(entry.at_m).all():
            found.add("recording.yaml", f"{where}.at_m", f"{list(entry.at_m)}, expected two finite metres")
    with gathered(found.faults):
        found.recording.entry_pictures()


def _span(found: _Findings) -> str:
    return f"it lasts from 0 to {found.end_s:.2f} s"


class _TruthCheck:
    """Checks `truth.json` row by row and keeps the account of what was taken."""

    def __init__(self, found: _Findings, document: Mapping[str, Any]) -> None:
        self._found, self._document = found, document
        entries = found.recording.entries
        self._account = {e.person: e.shopper for e in entries}
        self._staff = {e.shopper for e in entries if e.role == "staff"}
        self._known = list(dict.fromkeys([*self._account, *(e.shopper for e in entries)]))
        self._balance: dict[str, dict[str, int]] = {}
        self._countable = True

    def run(self) -> None:
        shoppers = self._shoppers()
        events = self._list("events")
        for index, row in enumerate(events):
            self._event(f"events[{index}]", row)
        for index, row in enumerate(self._list("acts", needed=False)):
            self._act(f"acts[{index}]", row)
        self._receipts(shoppers)
        self._found.summary.append(f"{len(events)} true shelf events")

    def _fault(self, where: str, problem: str, remedy: str = "") -> None:
        self._found.add("truth.json", where, problem, remedy)

    def _list(self, key: str, *, needed: bool = True) -> list[Any]:
        rows = self._document.get(key, None if needed else [])
        if isinstance(rows, list):
            return rows
        self._fault(key, "is missing" if rows is None else f"{rows!r} is not a list")
        self._countable = False
        return []

    def _shoppers(self) -> list[str]:
        names: list[str] = []
        for index, name in enumerate(self._list("shoppers")):
            where = f"shoppers[{index}]"
            if not isinstance(name, str) or not name:
                self._fault(where, f"{name!r} is not a name")
            elif name in names:
                self._fault(where, f"{name!r} is listed twice")
            else:
                names.append(name)
                if self._known and name not in self._known:
                    hint = nearest(name, self._known)
                    self._fault(where, f"{name!r} has no entry in recording.yaml", hint or "add the entry")
        self._known = list(dict.fromkeys([*self._known, *names]))
        return names

    def _event(self, where: str, row: object) -> None:
        if not isinstance(row, dict):
            self._fault(where, f"{row!r} is not a mapping")
            self._countable = False
            return
        self._when(where, row)
        action = self._choice(where, row, "action", get_args(Action))
        shopper = self._person(where, row, "shopper")
        product, quantity = self._product(where, row), self._quantity(where, row)
        self._facing(where, row)
        if not isinstance(row.get("conditions", {}), dict):
            self._fault(f"{where}.conditions", f"{row['conditions']!r} is not a mapping")
        if action and shopper and product and quantity:
            self._move(shopper, product, quantity if action == "pick" else -quantity)
        else:
            self._countable = False

    def _act(self, where: str, row: object) -> None:
        if not isinstance(row, dict):
            self._fault(where, f"{row!r} is not a mapping")
            self._countable = False
            return
        self._when(where, row)
        kind = self._choice(where, row, "kind", get_args(ActKind))
        person, product = self._person(where, row, "person"), self._product(where, row)
        quantity = self._quantity(where, {"quantity": 1} | row)
        self._facing(where, {"facing": ""} | row)
        to = self._person(where, row, "to") if kind == "hand_over" else ""
        if not (kind and person and product and quantity) or (kind == "hand_over" and not to):
            self._countable = False
        elif kind in ("hand_over", "leave_on_floor"):
            self._move(person, product, -quantity)
            if to:
                self._move(to, product, quantity)

    def _move(self, person: str, product: str, units: int) -> None:
        account = self._balance.setdefault(self._account.get(person, person), {})
        account[product] = account.get(product, 0) + units

    def _when(self, where: str, row: Mapping[str, Any]) -> None:
        times: list[float] = []
        for key in ("t_start_s", "t_end_s"):
            value = row.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                self._fault(f"{where}.{key}", f"{value!r}, expected seconds")
                continue
            times.append(float(value))
            if not -TIME_SLACK_S <= value <= self._found.end_s + TIME_SLACK_S:
                self._fault(f"{where}.{key}", f"{value:g} s is outside the recording", _span(self._found))
        if len(times) == 2 and times[1] < times[0]:
            self._fault(f"{where}.t_end_s", f"{times[1]:g} s is before t_start_s {times[0]:g} s")

    def _choice(self, where: str, row: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
        value = row.get(key)
        if value in known:
            return str(value)
        self._fault(
            f"{where}.{key}", f"{value!r}, expected one of {', '.join(known)}", nearest(str(value), known)
        )
        return ""

    def _person(self, where: str, row: Mapping[str, Any], key: str) -> str:
        value = row.get(key)
        if isinstance(value, str) and value in self._known:
            return value
        hint = nearest(str(value), self._known)
        self._fault(f"{where}.{key}", f"{value!r} is not one of the shoppers {', '.join(self._known)}", hint)
        return ""

    def _product(self, where: str, row: Mapping[str, Any]) -> str:
        value, products = row.get("product"), self._found.products
        if not isinstance(value, str) or not value:
            self._fault(f"{where}.product", f"{value!r} is not a product id")
            return ""
        if products is not None and value not in products:
            self._fault(f"{where}.product", f"{value!r} is not in catalog.csv", nearest(value, products))
        return value

    def _quantity(self, where: str, row: Mapping[str, Any]) -> int:
        value = row.get("quantity")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self._fault(f"{where}.quantity", f"{value!r}, expected a whole number of at least 1")
            return 0
        return value

    def _facing(self, where: str, row: Mapping[str, Any]) -> None:
        value, facings = row.get("facing"), self._found.facings
        if not isinstance(value, str):
            self._fault(f"{where}.facing", f"{value!r} is not a text")
        elif value and facings is not None and value not in facings:
            self._fault(f"{where}.facing", f"{value!r} is not in planogram.yaml", nearest(value, facings))

    def _receipts(self, shoppers: Sequence[str]) -> None:
        given: dict[str, dict[str, int]] = {}
        whole = isinstance(self._document.get("receipts"), list)
        for index, row in enumerate(self._list("receipts")):
            where = f"receipts[{index}]"
            if not isinstance(row, dict) or not isinstance(row.get("lines"), list):
                self._fault(where, f"{row!r}, expected shopper and lines")
                whole = False
                continue
            shopper = self._person(where, row, "shopper")
            if shopper in given:
                self._fault(f"{where}.shopper", f"{shopper!r} has two receipts")
            if shopper and self._account.get(shopper, shopper) in self._staff:
                self._fault(f"{where}.shopper", f"{shopper!r} is staff, who have no receipt", "delete it")
            lines: dict[str, int] = {}
            for number, line in enumerate(row["lines"]):
                place = f"{where}.lines[{number}]"
                if not isinstance(line, dict):
                    self._fault(place, f"{line!r}, expected product and quantity")
                    whole = False
                    continue
                product, quantity = self._product(place, line), self._quantity(place, line)
                whole = whole and bool(product and quantity)
                if product in lines:
                    self._fault(f"{place}.product", f"{product!r} has two lines")
                lines[product] = lines.get(product, 0) + quantity
            if not shopper:
                whole = False
            given[shopper] = lines
        if whole and self._countable:
            self._compare(shoppers, given)

    def _compare(self, shoppers: Sequence[str], given: Mapping[str, Mapping[str, int]]) -> None:
        """Receipts must be picks less put-backs, with what was handed over or left behind."""
        billed: dict[str, Mapping[str, int]] = {self._account.get(s, s): lines for s, lines in given.items()}
        accounts = dict.fromkeys([*(self._account.get(s, s) for s in shoppers), *self._balance, *billed])
        for account in accounts:
            if account in self._staff:
                continue
            taken = self._balance.get(account, {})
            for product, units in taken.items():
                if units < 0:
                    self._fault("events", f"{account} gives back {-units} {product!r} more than were taken")
            if account not in billed:
                self._fault(
                    "receipts", f"{account!r} has none", "add one, with no lines when nothing was bought"
                )
                continue
            for product in dict.fromkeys([*taken, *billed[account]]):
                due, charged = max(0, taken.get(product, 0)), billed[account].get(product, 0)
                if due != charged:
                    self._fault(
                        f"receipts of {account}",
                        f"{charged} {product!r}, but the events and acts leave {due}",
                        "a receipt is picks less put-backs, hand-overs and what was left on the floor",
                    )


def _truth(found: _Findings) -> None:
    file = found.path / "truth.json"
    if not file.is_file():
        return
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        found.add("truth.json", "", f"is not JSON ({error})")
        return
    if not isinstance(document, dict):
        found.add("truth.json", "", f"holds {type(document).__name__}, expected a mapping of fields")
        return
    with gathered(found.faults):
        check_schema(file, document, TRUTH_SCHEMA)
    known = ("schema", "shoppers", "events", "receipts", "acts")
    for key in document:
        if key not in known:
            found.add("truth.json", str(key), "unknown field", nearest(str(key), known))
    _TruthCheck(found, document).run()


def _boxes(found: _Findings) -> None:
    name = "boxes.parquet"
    if not (found.path / name).is_file():
        return
    corners = ("x1", "y1", "x2", "y2")
    table = _table(found, name, BOX_COLUMNS, numbers=("frame", *corners, "visible"))
    if table is None:
        return
    cameras = {c.camera: c for c in found.recording.cameras}
    unknown = ~table["camera"].isin(cameras)
    _rows(found, name, "camera", table, unknown, "camera", f"one of {', '.join(cameras) or 'no cameras'}")
    _rows(found, name, "label", table, ~table["label"].isin(LABELS), "label", f"one of {', '.join(LABELS)}")
    _rows(found, name, "id", table, table["id"].isna() | (table["id"].astype(str) == ""), "id", "a name")
    whole = _finite(table, ["frame"]) & (table["frame"] % 1 == 0) & (table["frame"] >= 0)
    _rows(found, name, "frame", table, ~whole, "frame", "a whole number from 0")
    finite = _finite(table, list(corners))
    _rows(found, name, "x1 to y2", table, ~finite, list(corners), "finite pixels")
    flat = finite & ((table["x2"] <= table["x1"]) | (table["y2"] <= table["y1"]))
    _rows(found, name, "x1 to y2", table, flat, list(corners), "x2 beyond x1 and y2 beyond y1")
    for camera, frames in found.frames.items():
        beyond = whole & (table["camera"] == camera) & (table["frame"] >= frames)
        _rows(
            found,
            name,
            f"frame of {camera}",
            table,
            beyond,
            "frame",
            f"at most {frames - 1}, the video's last",
        )
    for camera, model in cameras.items():
        outside = finite & (table["camera"] == camera) & (
            (table[["x1", "y1"]] < -BOX_SLACK_PIXELS).any(axis=1)
            | (table["x2"] > model.width + BOX_SLACK_PIXELS)
            | (table["y2"] > model.height + BOX_SLACK_PIXELS)
        )  # fmt: skip
        size = f"a box in the picture of {model.width}x{model.height}"
        _rows(found, name, f"x1 to y2 of {camera}", table, outside, list(corners), size)
    twice = table.duplicated(["camera", "frame", "id"])
    _rows(
        found, name, "camera, frame, id", table, twice, ["camera", "frame", "id"], "each object once a frame"
    )
    unseen = ~table["visible"].between(0, 1)
    _rows(found, name, "visible", table, unseen, "visible", "a share from 0 to 1")
    found.summary.append(f"{len(table)} boxes")


def _positions(found: _Findings) -> None:
    name = "positions.parquet"
    if not (found.path / name).is_file():
        return
    numbers = ("t_s", "x_m", "y_m", "z_m")
    table = _table(found, name, POSITION_COLUMNS, numbers=numbers)
    if table is None:
        return
    for column in numbers:
        _rows(found, name, column, table, ~_finite(table, [column]), column, "a finite number")
    strange = ~table["part"].isin(POSITION_PARTS)
    _rows(found, name, "part", table, strange, "part", f"one of {', '.join(POSITION_PARTS)}")
    people = {name for e in found.recording.entries for name in (e.person, e.shopper)}
    if people:
        unknown = ~table["shopper"].astype(str).isin(people)
        _rows(found, name, "shopper", table, unknown, "shopper", "somebody with an entry in recording.yaml")
    if table["t_s"].min() > found.end_s or table["t_s"].max() < 0:
        found.add(
            name, "t_s", f"{table['t_s'].min():.2f} to {table['t_s'].max():.2f} s, all outside the recording",
            "bring it to the recording's clock",
        )  # fmt: skip
    found.summary.append(f"{len(table)} positions")


def _table(
    found: _Findings, name: str, columns: Sequence[str], numbers: Sequence[str]
) -> pd.DataFrame | None:
    """A Parquet table with these columns; None after a fault was noted."""
    try:
        table = pd.read_parquet(found.path / name)
    except Exception as error:  # pyarrow raises many kinds for a broken file
        found.add(name, "", f"is not a Parquet table ({error})")
        return None
    missing = [column for column in columns if column not in table]
    for column in missing:
        found.add(name, column, f"column is missing, expected {', '.join(columns)}")
    if missing:
        return None
    if table.empty:
        found.add(name, "", "holds no rows", "delete the file or fill it")
        return None
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(table[column]):
            found.add(name, column, f"holds {table[column].dtype}, expected numbers")
            missing.append(column)
    return None if missing else table.reset_index(drop=True)


def _finite(table: pd.DataFrame, columns: list[str]) -> pd.Series[bool]:
    return pd.Series(
        np.isfinite(table[columns].to_numpy(float, na_value=np.nan)).all(axis=1), index=table.index
    )


def _rows(
    found: _Findings,
    name: str,
    where: str,
    table: pd.DataFrame,
    wrong: pd.Series[bool],
    shown: str | list[str],
    expected: str,
) -> None:
    """Note the rows that are wrong as one fault: how many, the first, its value, and what was expected."""
    count = int(wrong.sum())
    if not count:
        return
    at = int(np.flatnonzero(wrong.to_numpy())[0])
    text = ", ".join(repr(table[c].tolist()[at]) for c in ([shown] if isinstance(shown, str) else shown))
    found.add(name, where, f"{count} row(s), the first is row {at}: {text}, expected {expected}")


__all__ = ["Validation", "validate"]
