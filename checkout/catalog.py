"""What is sold, what it weighs, and where it stands."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from checkout.errors import InputError, nearest

PLANOGRAM_SCHEMA = 1
CATALOG_COLUMNS = ("product", "barcode", "name", "weight_g", "weight_sd_g", "price")
_PLATE = re.compile(r"^g\d+\.s\d+\.p\d+$")


def shelf_of(plate_or_facing: str) -> str:
    """The shelf of a plate or facing id.

    >>> shelf_of("g1.s5.p11")
    'g1.s5'
    """
    return plate_or_facing.rsplit(".", 1)[0]


@dataclass(frozen=True)
class Product:
    """One product (SKU): `weight_g` is the mean of a unit, `weight_sd_g` its spread between units."""

    product: str
    weight_g: float
    weight_sd_g: float
    price: float
    barcode: str = ""
    name: str = ""


class Catalog(Mapping[str, Product]):
    """All products by id, in the order they were given."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._products = {p.product: p for p in products}

    def __getitem__(self, product: str) -> Product:
        return self._products[product]

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Read `catalog.csv`; raises `InputError` on a missing column, a missing or absurd weight, a twin."""
        path = Path(path)
        if not path.is_file():
            raise InputError(path, "", "does not exist, expected a catalogue", "add catalog.csv")
        try:
            table = pd.read_csv(path, dtype={"product": str, "barcode": str, "name": str})
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise InputError(path, "", f"is not a CSV table ({error})") from None
        for column in ("product", "weight_g", "price"):
            if column not in table:
                raise InputError(path, column, f"column is missing, expected {', '.join(CATALOG_COLUMNS)}")
        products: list[Product] = []
        seen: set[str] = set()
        for number, row in enumerate(table.to_dict("records"), start=2):
            where = f"line {number}"
            product = row["product"]
            if not isinstance(product, str) or not product:
                raise InputError(path, f"{where}: product", "is empty")
            if product in seen:
                raise InputError(path, f"{where}: product", f"{product!r} is listed twice")
            seen.add(product)
            weight = _number(path, f"{where}: weight_g of {product!r}", row["weight_g"])
            if not 0 < weight <= 30_000:
                raise InputError(
                    path,
                    f"{where}: weight_g of {product!r}",
                    f"{weight:g} is not a weight in grams (0-30000)",
                )
            spread = row.get("weight_sd_g")
            spread = max(1.0, 0.01 * weight) if spread is None or pd.isna(spread) else float(spread)
            if spread < 0:
                raise InputError(path, f"{where}: weight_sd_g of {product!r}", f"{spread:g} is negative")
            price = _number(path, f"{where}: price of {product!r}", row["price"])
            if price < 0:
                raise InputError(path, f"{where}: price of {product!r}", f"{price:g} is negative")
            products.append(
                Product(product, weight, spread, price, _text(row.get("barcode")), _text(row.get("name")))
            )
        return cls(products)

    def save(self, path: str | Path) -> None:
        rows = [
            (p.product, p.barcode, p.name, round(p.weight_g, 3), round(p.weight_sd_g, 3), p.price)
            for p in self.values()
        ]
        pd.DataFrame(rows, columns=list(CATALOG_COLUMNS)).to_csv(path, index=False, lineterminator="\n")


@dataclass(frozen=True)
class Facing:
    """A place where one product stands.

    Attributes:
        facing: id, for example "g1.s5.f3".
        plates: ids of the plates under it, left to right.
        box_min_m, box_max_m: opposite corners of its space, world metres; None when unknown.
        front: unit vector (x, y) that points from the shelf to the aisle.
    """

    facing: str
    product: str
    plates: tuple[str, ...]
    box_min_m: tuple[float, float, float] | None = None
    box_max_m: tuple[float, float, float] | None = None
    front: tuple[float, float] = (0.0, -1.0)

    @property
    def shelf(self) -> str:
        return shelf_of(self.facing)

    @property
    def centre_m(self) -> tuple[float, float, float] | None:
        if self.box_min_m is None or self.box_max_m is None:
            return None
        x, y, z = (0.5 * (a + b) for a, b in zip(self.box_min_m, self.box_max_m, strict=True))
        return (x, y, z)


class Planogram(Mapping[str, Facing]):
    """All facings by id."""

    def __init__(self, facings: Iterable[Facing]) -> None:
        self._facings = {f.facing: f for f in facings}
        self._by_plate: dict[str, list[Facing]] = {}
        for facing in self._facings.values():
            for plate in facing.plates:
                self._by_plate.setdefault(plate, []).append(facing)

    def __getitem__(self, facing: str) -> Facing:
        return self._facings[facing]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facings)

    def __len__(self) -> int:
        return len(self._facings)

    def on_plate(self, plate: str) -> list[Facing]:
        """The facings that stand on a plate, wholly or in part."""
        return self._by_plate.get(plate, [])

    def on_shelf(self, shelf: str) -> list[Facing]:
        return [f for f in self.values() if f.shelf == shelf]

    @property
    def plates(self) -> list[str]:
        return list(self._by_plate)

    @classmethod
    def load(cls, path: str | Path, catalog: Catalog) -> Planogram:
        """Read `planogram.yaml`; raises `InputError` for a fault or a product the catalogue does not know."""
        path = Path(path)
        document = read_yaml(path)
        check_schema(path, document, PLANOGRAM_SCHEMA)
        rows = document.get("facings")
        if not isinstance(rows, list) or not rows:
            raise InputError(path, "facings", "is empty or not a list, expected at least one facing")
        facings: dict[str, Facing] = {}
        for index, row in enumerate(rows):
            where = f"facings[{index}]"
            if not isinstance(row, dict):
                raise InputError(path, where, f"{row!r} is not a mapping")
            for key in row:
                if key not in ("facing", "product", "plates", "box_min_m", "box_max_m", "front"):
                    hint = nearest(str(key), Facing.__dataclass_fields__)
                    raise InputError(path, f"{where}.{key}", "unknown field", hint)
            for key in ("facing", "product"):
                if not isinstance(row.get(key), str):
                    raise InputError(path, f"{where}.{key}", f"{row.get(key)!r} is not a text")
            if row["facing"] in facings:
                raise InputError(path, f"{where}.facing", f"{row['facing']!r} is listed twice")
            if row["product"] not in catalog:
                hint = nearest(row["product"], catalog)
                raise InputError(
                    path,
                    f"{where}.product",
                    f"{row['product']!r} is not in the catalogue",
                    hint or "add it there",
                )
            plates = row.get("plates") or []
            for plate in plates:
                if not isinstance(plate, str) or not _PLATE.match(plate):
                    raise InputError(
                        path, f"{where}.plates", f"{plate!r} is not a plate id such as 'g1.s5.p11'"
                    )
            corners = [_triple(path, f"{where}.{key}", row.get(key)) for key in ("box_min_m", "box_max_m")]
            front = row.get("front", (0.0, -1.0))
            facings[row["facing"]] = Facing(
                row["facing"],
                row["product"],
                tuple(plates),
                corners[0],
                corners[1],
                (float(front[0]), float(front[1])),
            )
        return cls(facings.values())

    def save(self, path: str | Path) -> None:
        rows: list[dict[str, Any]] = []
        for f in self.values():
            row: dict[str, Any] = {"facing": f.facing, "product": f.product, "plates": list(f.plates)}
            if f.box_min_m and f.box_max_m:
                row["box_min_m"] = [round(v, 4) for v in f.box_min_m]
                row["box_max_m"] = [round(v, 4) for v in f.box_max_m]
            row["front"] = [round(v, 4) for v in f.front]
            rows.append(row)
        write_yaml(path, {"schema": PLANOGRAM_SCHEMA, "facings": rows})


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping; raises `InputError` when it is missing or is not one."""
    if not path.is_file():
        raise InputError(path, "", "does not exist")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, "", f"is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict):
        raise InputError(path, "", f"holds {type(document).__name__}, expected a mapping of fields")
    return document


def write_yaml(path: str | Path, document: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(
        dict(document), sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )
    Path(path).write_text(text, encoding="utf-8")


def check_schema(path: Path, document: Mapping[str, Any], expected: int) -> None:
    """Raise `InputError` unless the file's `schema` is the one this version reads."""
    if document.get("schema") != expected:
        raise InputError(
            path, "schema", f"{document.get('schema')!r} is not the version read here, expected {expected}"
        )


def _number(path: Path, field: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(path, field, f"{value!r} is not a number") from None
    if math.isnan(number):
        raise InputError(path, field, "is missing, expected a number")
    return number


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _triple(path: Path, field: str, value: object) -> tuple[float, float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise InputError(path, field, f"{value!r} is not three numbers [x, y, z] in metres")
    x, y, z = (_number(path, field, v) for v in value)
    return (x, y, z)
