"""The AutoCheckout competition's format (CPS-IoT Week 2020, AiFi NanoStore): load cells, planogram, tracked people.

Four files, each with one JSON document a line (a MongoDB export):
`plate_data.json`, `planogram.json`, `products.json`, `full_targets.json`. An index that is absent
means 0, and index 0 of shelves and plates is not used. The planogram is in metres, people in
inches, both in one frame of reference; both streams carry Unix seconds of one clock.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.catalog import Catalog, Facing, Planogram, Product
from checkout.errors import InputError
from checkout.output import new_folder
from checkout.recording import Entry, Recording, write_plates

INCH_M = 0.0254
WEIGHT_SPREAD = 0.005
"""Assumed: spread of a unit's weight as a share of it (the files give none); at least 1.5 g."""
_PARTS = {"head": "head", "left_hand": "l_wrist", "right_hand": "r_wrist"}


def import_aifi(source: str | Path, out: str | Path, *, force: bool = False) -> Recording:
    """Turn a competition case into a recording folder; time 0 is the first plate sample.

    Raises:
        InputError: a file is missing or malformed (file and line are named), or `out` exists.
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        raise InputError(source, "", "is not a folder, expected one that holds plate_data.json")
    catalog, left_out = _catalog(source / "products.json")
    planogram = _planogram(source / "planogram.json", catalog)
    rate, start, times, signals = _plates(source / "plate_data.json")
    positions = _positions(source / "full_targets.json", start)
    with new_folder(out, force=force) as draft:
        tables = [(times[g], {p: s for p, s in signals.items() if p.startswith(f"{g}.")}) for g in times]
        _write_gondolas(draft / "plates.parquet", tables)
        catalog.save(draft / "catalog.csv")
        planogram.save(draft / "planogram.yaml")
        positions.to_parquet(draft / "positions.parquet", index=False)
        note = f"; {left_out} products without a weight left out" if left_out else ""
        entries = tuple(
            Entry(str(who), float(first["t_s"]), (float(first["x_m"]), float(first["y_m"])))
            for who, rows in positions.groupby("shopper", sort=False)
            for first in [rows.iloc[0]]
        )
        Recording(
            draft,
            source.name,
            (),
            rate,
            entries,
            f"AutoCheckout competition format{note}",
            "as the source",
            None,
        ).save_header()
        Recording.open(draft).planogram  # noqa: B018 - reads back what was written
    return Recording.open(out)


def _documents(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise InputError(path, "", "does not exist")
    count = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(path, f"line {number}", f"is not JSON ({error})") from None
            if not isinstance(document, dict):
                raise InputError(path, f"line {number}", "is not a JSON document")
            count += 1
            yield number, document
    if not count:
        raise InputError(path, "", "holds no documents")


def _field(path: Path, number: int, document: Any, *keys: str) -> Any:
    for depth, key in enumerate(keys):
        if not isinstance(document, dict) or key not in document:
            raise InputError(path, f"line {number}: {'.'.join(keys[: depth + 1])}", "is missing")
        document = document[key]
    return document


def _catalog(path: Path) -> tuple[Catalog, int]:
    """Products by their code; the export repeats some, and some have no weight (counted)."""
    products: dict[str, Product] = {}
    unweighed: set[str] = set()
    for number, document in _documents(path):
        code = str(_field(path, number, document, "product_id", "id"))
        metadata = _field(path, number, document, "metadata")
        weight = metadata.get("weight") or 0.0
        if not isinstance(weight, int | float) or weight <= 0:
            unweighed.add(code)
            continue
        spread = max(1.5, WEIGHT_SPREAD * weight)
        name = " ".join(str(metadata.get("name", "")).split())
        products[code] = Product(code, float(weight), spread, float(metadata.get("price", 0.0)), code, name)
    return Catalog(products.values()), len(unweighed - set(products))


def _planogram(path: Path, catalog: Catalog) -> Planogram:
    rows: dict[str, list[tuple[int, str, tuple[str, ...], Any]]] = {}
    for number, document in _documents(path):
        code = document.get("planogram_product_id", {}).get("id")
        if code is None:
            continue  # a facing that holds nothing
        if code not in catalog:
            raise InputError(
                path,
                f"line {number}: planogram_product_id",
                f"{code!r} is not in products.json with a weight",
            )
        plates = []
        for plate in _field(path, number, document, "plate_ids"):
            gondola, shelf = _shelf(plate.get("shelf_id", {}))
            plates.append((gondola, shelf, int(plate.get("plate_index", 0))))
        if not plates:
            raise InputError(path, f"line {number}: plate_ids", "is empty")
        shelf_id = f"g{plates[0][0]}.s{plates[0][1]}"
        names = tuple(f"g{g}.s{s}.p{p}" for g, s, p in sorted(plates))
        box = _box(_field(path, number, document, "global_coordinates"))
        rows.setdefault(shelf_id, []).append((min(p for _, _, p in plates), code, names, box))
    facings = []
    for shelf_id, found in rows.items():
        for place, (_, code, names, (low, high, front)) in enumerate(
            sorted(found, key=lambda r: r[0]), start=1
        ):
            facings.append(Facing(f"{shelf_id}.f{place}", code, names, low, high, front))
    return Planogram(facings)


def _shelf(shelf: dict[str, Any]) -> tuple[int, int]:
    return int(shelf.get("gondola_id", {}).get("id", 0)), int(shelf.get("shelf_index", 0))


def _box(
    coordinates: dict[str, Any],
) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float]]:
    """A facing's space in the world: from its origin along its own x (the face), y (inwards) and z."""
    transform = coordinates.get("transform", {})
    origin = np.array([transform.get("translation", {}).get(k, 0.0) for k in "xyz"], float)
    size = np.array([coordinates.get(k, 0.0) for k in ("dim_x", "dim_y", "dim_z")], float)
    turn = float(transform.get("rotation", {}).get("z", 0.0))
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    ends = np.stack([origin, origin + rotation @ size])
    low, high = ends.min(axis=0), ends.max(axis=0)
    front = rotation @ np.array([0.0, -1.0, 0.0])
    return tuple(low.tolist()), tuple(high.tolist()), (float(front[0]), float(front[1]))  # type: ignore[return-value]


def _plates(path: Path) -> tuple[float, float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Sampling rate, Unix time of the first sample, sample times of each gondola, and each plate's grams."""
    batches: dict[str, list[tuple[float, np.ndarray]]] = {}
    rate = 0.0
    for number, document in _documents(path):
        data = _field(path, number, document, "document", "plate_data")
        gondola = int(_field(path, number, data, "plate_id", "shelf_id", "gondola_id").get("id", 0))
        rate = float(_field(path, number, data, "freq_samp"))
        shape = _field(path, number, data, "values", "shape")
        try:
            raw = base64.b64decode(_field(path, number, data, "values", "data"), validate=True)
            values = np.frombuffer(raw, "<f4").reshape(shape)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InputError(
                path, f"line {number}: values", f"does not hold float32 of shape {shape} ({error})"
            ) from None
        if values.ndim != 3 or rate <= 0:
            raise InputError(
                path, f"line {number}: values.shape", f"{shape} at {rate} Hz, expected [time, shelf, plate]"
            )
        origin = str(_field(path, number, document, "document", "header", "t_origin"))
        try:
            t_s = datetime.fromisoformat(origin.replace("Z", "+00:00")).timestamp()
        except ValueError:
            raise InputError(path, f"line {number}: header.t_origin", f"{origin!r} is not a time") from None
        batches.setdefault(f"g{gondola}", []).append((t_s, values))
    times: dict[str, np.ndarray] = {}
    signals: dict[str, np.ndarray] = {}
    for gondola_id, rows in batches.items():
        rows.sort(key=lambda row: row[0])
        values = np.concatenate([v for _, v in rows])
        # Batches are issued 0.1 s after their origin though they last 0.2 s, so the origin is
        # not their first sample; it is taken as their last.
        times[gondola_id] = np.concatenate([t + (np.arange(len(v)) - len(v) + 1) / rate for t, v in rows])
        if (np.diff(times[gondola_id]) <= 0).any():
            raise InputError(path, gondola_id, "two batches overlap in time")
        for shelf in range(1, values.shape[1]):
            for plate in range(1, values.shape[2]):
                signal = values[:, shelf, plate].astype(float)
                if np.isfinite(signal).any():
                    signals[f"{gondola_id}.s{shelf}.p{plate}"] = signal
    start = min(float(t[0]) for t in times.values())
    return rate, start, {g: t - start for g, t in times.items()}, signals


def _write_gondolas(path: Path, tables: list[tuple[np.ndarray, dict[str, np.ndarray]]]) -> None:
    """Gondolas sample at different instants; each keeps its own on one common time axis."""
    every = np.unique(np.concatenate([t for t, _ in tables]))
    signals: dict[str, np.ndarray] = {}
    for times, plates in tables:
        rows = np.searchsorted(every, times)
        for plate, values in plates.items():
            signals[plate] = np.full(len(every), np.nan)
            signals[plate][rows] = values
    write_plates(path, every, signals)


def _positions(path: Path, start: float) -> pd.DataFrame:
    rows = []
    for number, document in _documents(path):
        t_s = float(_field(path, number, document, "timestamp")) - start
        for target in _field(path, number, document, "document", "targets").get("targets", []):
            who = str(_field(path, number, target, "target_id", "id"))
            for part, name in _PARTS.items():
                point = target.get(name, {}).get("point")
                if point:
                    x, y, z = (float(point.get(k, 0.0)) * INCH_M for k in "xyz")
                    rows.append((t_s, who, part, x, y, z))
    if not rows:
        raise InputError(path, "targets", "holds no tracked person")
    table = pd.DataFrame(rows, columns=["t_s", "shopper", "part", "x_m", "y_m", "z_m"])
    return table.sort_values("t_s", ignore_index=True)
