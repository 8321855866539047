"""The store's plan: zones, the ways between them, and which product stands on which shelf.

A layout is a small YAML file (`sim/layouts/`): zones at x, y in metres, of which some have shelves, and
paths that can be walked. `Layout` answers how far it is between zones and in which order a shopper walks
through the zones of a list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import networkx as nx
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from checkout.catalog import check_schema, read_yaml
from checkout.errors import InputError, nearest
from sim.journey import journey

LAYOUT_SCHEMA = 1
SHELF_M = 1.2
"""Length of one stretch of shelf, metres."""
PLANOGRAM_SEED = 20


_Metres = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]


class _Zone(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    at: tuple[_Metres, _Metres]
    shelves: Annotated[int, Field(ge=0, le=100_000)] = 0
    sections: tuple[str, ...] = ()


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(alias="schema")
    name: str = Field(min_length=1)
    entrance: str
    exit: str
    zones: dict[str, _Zone] = Field(min_length=1)
    paths: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """A store's plan, ready for routes.

    Attributes:
        zones: names; their numbers are their places here.
        distance_m: shortest walk between zones, float [zones, zones].
        tour_rank: place of each zone on a short walk from the entrance through all zones to the exit.
        shelf_zone: zone of each shelf, int [shelves]; a zone's shelves are numbered one after the other.
        product_shelf: shelf of each product of Complete Journey, int [products].
        shelf_first: first product of each shelf in `products_by_shelf`, int [shelves + 1].
    """

    name: str
    zones: tuple[str, ...]
    entrance: int
    exit: int
    distance_m: np.ndarray
    tour_rank: np.ndarray
    shelf_zone: np.ndarray
    product_shelf: np.ndarray
    shelf_first: np.ndarray
    products_by_shelf: np.ndarray = field(repr=False)

    @property
    def shelves(self) -> int:
        return len(self.shelf_zone)

    def zone(self, name: str | None) -> int:
        """Number of a zone; of the exit without a name."""
        return self.exit if name is None else self.zones.index(name)

    @property
    def shelf_rank(self) -> np.ndarray:
        """Place of each shelf on the walk through the whole store, int [shelves]."""
        order = np.lexsort((np.arange(self.shelves), self.tour_rank[self.shelf_zone]))
        rank = np.empty(self.shelves, np.int64)
        rank[order] = np.arange(self.shelves)
        return rank

    def beside(self, shelf: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A product that stands on each of the shelves, drawn by numbers from 0 to 1; int, shape of `shelf`."""
        first, count = self.shelf_first[shelf], self.shelf_first[shelf + 1] - self.shelf_first[shelf]
        at = np.minimum(first + (uniform * count).astype(np.int64), len(self.products_by_shelf) - 1)
        return np.asarray(self.products_by_shelf[at])


def shipped_layouts() -> list[str]:
    """Names of the layouts that come with the package."""
    folder = resources.files("sim") / "layouts"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


@lru_cache(maxsize=16)
def load_layout(name: str) -> Layout:
    """A shipped layout by name, or one from a YAML file; raises `InputError` for any fault."""
    path = Path(name)
    if not path.suffix:
        if name not in shipped_layouts():
            known = shipped_layouts()
            hint = nearest(name, known) or f"shipped ones are {', '.join(known)}"
            raise InputError(
                "shelves.layout", "", f"{name!r} is neither a shipped layout nor a .yaml file", hint
            )
        path = Path(str(resources.files("sim") / "layouts" / f"{name}.yaml"))
    document = read_yaml(path)
    check_schema(path, document, LAYOUT_SCHEMA)
    try:
        plan = _Plan.model_validate(document)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(key) for key in fault["loc"])
        raise InputError(
            path, where, f"{fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
        ) from None
    return _layout(path, plan)


def _layout(path: Path, plan: _Plan) -> Layout:
    graph = _graph(path, plan)
    names = tuple(plan.zones)
    lengths = dict(nx.all_pairs_dijkstra_path_length(graph, weight="m"))
    distance_m = np.array([[lengths[a].get(b, np.inf) for b in names] for a in names])
    entrance, leaving = names.index(plan.entrance), names.index(plan.exit)
    for number, name in enumerate(names):
        if np.isinf(distance_m[entrance, number]):
            kind = f"its {plan.zones[name].shelves} shelves" if plan.zones[name].shelves else "it"
            raise InputError(
                path,
                f"zones.{name}",
                f"{kind} cannot be reached from the entrance {plan.entrance!r}",
                "add a path",
            )
    shelf_zone = np.repeat(np.arange(len(names)), [zone.shelves for zone in plan.zones.values()])
    product_shelf = _planogram(path, plan, shelf_zone)
    by_shelf = np.argsort(product_shelf, kind="stable")
    counts = np.bincount(product_shelf, minlength=len(shelf_zone))
    return Layout(
        plan.name, names, entrance, leaving, distance_m, _tour_rank(distance_m, entrance, leaving), shelf_zone,
        product_shelf, np.concatenate([[0], np.cumsum(counts)]), by_shelf,
    )  # fmt: skip


def _graph(path: Path, plan: _Plan) -> Any:
    for key in ("entrance", "exit"):
        if getattr(plan, key) not in plan.zones:
            name = getattr(plan, key)
            raise InputError(path, key, f"{name!r} is not a zone", nearest(name, plan.zones))
    graph = nx.Graph()
    graph.add_nodes_from(plan.zones)
    for number, stops in enumerate(plan.paths):
        for name in stops:
            if name not in plan.zones:
                raise InputError(
                    path, f"paths[{number}]", f"{name!r} is not a zone", nearest(name, plan.zones)
                )
        for a, b in pairwise(stops):
            (ax, ay), (bx, by) = plan.zones[a].at, plan.zones[b].at
            graph.add_edge(a, b, m=float(np.hypot(ax - bx, ay - by)))
    return graph


def _planogram(path: Path, plan: _Plan, shelf_zone: np.ndarray) -> np.ndarray:
    """Shelf of each product: its section's shelves one after the other, wider for what sells more.

    Space by the square root of what is sold (assumed): what sells ten times as much has three times the space.
    """
    shop = journey()
    zones = list(plan.zones.values())
    places: dict[str, list[int]] = {}
    for number, zone in enumerate(zones):
        if bool(zone.shelves) != bool(zone.sections):
            name = list(plan.zones)[number]
            raise InputError(
                path, f"zones.{name}", "has shelves without sections, or sections without shelves"
            )
        for section in zone.sections:
            if section not in shop.sections:
                name = list(plan.zones)[number]
                hint = nearest(section, shop.sections) or f"sections are {', '.join(shop.sections)}"
                raise InputError(path, f"zones.{name}.sections", f"{section!r} is not a section", hint)
            places.setdefault(section, []).append(number)
    shelf_of = np.empty(len(shop.product_section), np.int64)
    space = np.sqrt(shop.product_units.astype(float))
    shared: dict[int, list[str]] = {}
    for section in shop.sections:
        if section not in places:
            raise InputError(path, "zones", f"no zone sells {section!r}", "add it to the sections of a zone")
        for number in places[section]:
            shared.setdefault(number, []).append(section)
    for section in shop.sections:
        products = np.flatnonzero(shop.product_section == shop.sections.index(section))
        shelves = np.concatenate([_own_shelves(shared, n, section, shelf_zone) for n in places[section]])
        along = (np.cumsum(space[products]) - 0.5 * space[products]) / space[products].sum()
        shelf_of[products] = shelves[np.minimum((along * len(shelves)).astype(int), len(shelves) - 1)]
    return shelf_of


def _own_shelves(shared: dict[int, list[str]], zone: int, section: str, shelf_zone: np.ndarray) -> np.ndarray:
    """The shelves of a zone that one of its sections has: equal parts, at least one."""
    shelves, sections = np.flatnonzero(shelf_zone == zone), shared[zone]
    parts = np.array_split(shelves, len(sections))
    part = parts[sections.index(section)]
    return part if len(part) else shelves[-1:]


def _tour_rank(distance_m: np.ndarray, first: int, last: int) -> np.ndarray:
    """Place of each zone on a short walk from the first zone through all others to the last.

    Greedy, then improved by reversing and moving stretches of the walk until nothing shortens it.
    """
    left = [z for z in range(len(distance_m)) if z not in (first, last)]
    walk = [first]
    while left:
        nearest_zone = min(left, key=lambda z: (distance_m[walk[-1], z], z))
        left.remove(nearest_zone)
        walk.append(nearest_zone)
    walk += [last] if last != first else [first]
    better = True
    while better:
        better = False
        for i in range(1, len(walk) - 1):
            for j in range(i + 1, len(walk)):
                for other in (walk[:i] + walk[i:j][::-1] + walk[j:], *_moved(walk, i, j)):
                    if _length(other, distance_m) < _length(walk, distance_m) - 1e-9:
                        walk, better = other, True
    rank = np.empty(len(distance_m), np.int64)
    for place, zone in enumerate(walk[:-1] if last == first else walk):
        rank[zone] = place
    return rank


def _moved(walk: list[int], i: int, j: int) -> list[list[int]]:
    if j >= len(walk) - 1:
        return []
    rest = walk[:i] + walk[i + 1 :]
    return [[*rest[:j], walk[i], *rest[j:]]]


def _length(walk: list[int], distance_m: np.ndarray) -> float:
    return float(distance_m[walk[:-1], walk[1:]].sum())
