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

from checkout.errors import InputError, gathered, nearest, raise_found

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
    def load(cls, path: str | Path, faults: list[InputError] | None = None) -> Catalog:
        """Read `catalog.csv`; raises `InputError` on a missing column, a missing or absurd weight, a twin.

        With a list of `faults`, those of single lines go there, and the lines are left out.
        """
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
            with gathered(faults):
                product = _product(path, f"line {number}", row)
                if product.product in seen:
                    raise InputError(path, f"line {number}: product", f"{product.product!r} is listed twice")
                seen.add(product.product)
                products.append(product)
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
    def load(cls, path: str | Path, catalog: Catalog, faults: list[InputError] | None = None) -> Planogram:
        """Read `planogram.yaml`; raises `InputError` for a fault or a product the catalogue does not know.

        With a list of `faults`, those of single facings go there, and the facings are left out.
        """
        path = Path(path)
        document = read_yaml(path)
        check_schema(path, document, PLANOGRAM_SCHEMA)
        rows = document.get("facings")
        if not isinstance(rows, list) or not rows:
            raise InputError(path, "facings", "is empty or not a list, expected at least one facing")
        facings: dict[str, Facing] = {}
        for index, row in enumerate(rows):
            with gathered(faults):
                facing = _facing(path, f"facings[{index}]", row, catalog)
                if facing.facing in facings:
                    raise InputError(path, f"facings[{index}].facing", f"{facing.facing!r} is listed twice")
                facings[facing.facing] = facing
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


def _product(path: Path, where: str, row: Mapping[Any, Any]) -> Product:
    product = row["product"]
    if not isinstance(product, str) or not product:
        raise InputError(path, f"{where}: product", "is empty")
    found: list[InputError] = []
    weight = spread = price = math.nan
    with gathered(found):
        field = f"{where}: weight_g of {product!r}"
        weight = _number(path, field, row["weight_g"])
        if not 0 < weight <= 30_000:
            raise InputError(path, field, f"{weight:g} is not a weight in grams (0-30000)")
    with gathered(found):
        given = row.get("weight_sd_g")
        spread = max(1.0, 0.01 * weight)
        if given is not None and not pd.isna(given):
            field = f"{where}: weight_sd_g of {product!r}"
            spread = _number(path, field, given)
            if spread < 0:
                raise InputError(path, field, f"{spread:g} is negative")
    with gathered(found):
        field = f"{where}: price of {product!r}"
        price = _number(path, field, row["price"])
        if price < 0:
            raise InputError(path, field, f"{price:g} is negative")
    raise_found(found)
    return Product(product, weight, spread, price, _text(row.get("barcode")), _text(row.get("name")))


def _facing(path: Path, where: str, row: object, catalog: Catalog) -> Facing:
    if not isinstance(row, dict):
        raise InputError(path, where, f"{row!r} is not a mapping")
    found: list[InputError] = []
    for key in row:
        if key not in ("facing", "product", "plates", "box_min_m", "box_max_m", "front"):
            hint = nearest(str(key), Facing.__dataclass_fields__)
            found.append(InputError(path, f"{where}.{key}", "unknown field", hint))
    for key in ("facing", "product"):
        if not isinstance(row.get(key), str):
            found.append(InputError(path, f"{where}.{key}", f"{row.get(key)!r} is not a text"))
    product = row.get("product")
    if isinstance(product, str) and product not in catalog:
        hint = nearest(product, catalog) or "add it there"
        found.append(InputError(path, f"{where}.product", f"{product!r} is not in the catalogue", hint))
    plates = row.get("plates") or []
    if not isinstance(plates, list):
        found.append(InputError(path, f"{where}.plates", f"{plates!r} is not a list of plate ids"))
    for plate in plates if isinstance(plates, list) else ():
        if not isinstance(plate, str) or not _PLATE.match(plate):
            problem = f"{plate!r} is not a plate id such as 'g1.s5.p11'"
            found.append(InputError(path, f"{where}.plates", problem))
    low = high = None
    with gathered(found):
        low = _triple(path, f"{where}.box_min_m", row.get("box_min_m"))
    with gathered(found):
        high = _triple(path, f"{where}.box_max_m", row.get("box_max_m"))
    x = y = 0.0
    with gathered(found):
        front = row.get("front", (0.0, -1.0))
        if not isinstance(front, list | tuple) or len(front) != 2:
            raise InputError(path, f"{where}.front", f"{front!r} is not two numbers [x, y]")
        x, y = (_number(path, f"{where}.front", v) for v in front)
    raise_found(found)
    return Facing(row["facing"], row["product"], tuple(plates), low, high, (x, y))


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
