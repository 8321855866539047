"""A day in the store as an animation needs it: where everybody is at any time, and what waits.

Times come from the simulation. Between two stands a shopper is drawn walking evenly along the shortest path
of the plan; what a flow adds on the way, such as waiting for an attendant, is drawn as time at the exit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from checkout.catalog import read_yaml
from checkout.profile import PerceptionProfile
from sim.flows import FLOWS, make_flow
from sim.flows.just_walk_out import crowd_of
from sim.layout import SHELF_M, load_layout
from sim.perception import Crowd
from sim.scenario import Scenario
from sim.shoppers import Itinerary, Plans, draw_shoppers
from sim.store import Store

SHOPPERS, FLOW = 0, 1
AISLE_M = 0.9
"""Distance of a shopper from the middle of a zone, drawn on the side of the shelf; only for the picture."""
EVERY_S = 60
DECIMETRES = 10


@dataclass(frozen=True)
class ShopFloor:
    """Who was where on one day: nothing of it depends on the bills.

    Attributes:
        enters_s, leaves_s: seconds since midnight of each visit, NaN for one that never came in.
        trips: the way of each flow that served somebody, by its place in `FLOWS`.
        columns: the day's rows of the sales table.
    """

    scenario: Scenario
    flow: str
    plans: Plans
    trips: dict[int, Itinerary]
    crowd: Crowd
    enters_s: np.ndarray
    leaves_s: np.ndarray
    columns: dict[str, np.ndarray]

    @property
    def trip(self) -> Itinerary:
        return self.trips[FLOWS.index(self.flow)]


def shop_floor(
    scenario: Scenario, flow: str, profile: PerceptionProfile | None, *, seed: int, day: int = 0
) -> ShopFloor:
    """One day of a single flow, as a replication of its own without a warm-up."""
    alone = scenario.with_values({"calendar.days": 1, "calendar.warm_up_days": 0})
    store = Store(alone)
    selling: Any = make_flow(flow, store, profile, np.random.SeedSequence(seed, spawn_key=(day, FLOW)))
    stream = np.random.SeedSequence(seed, spawn_key=(day, SHOPPERS, 0))
    plans = draw_shoppers(alone, np.random.default_rng(stream), 0)
    store.run([plans], selling)
    trips = {FLOWS.index(flow): selling.trip}
    if getattr(selling, "lanes", None) is not None:
        trips[FLOWS.index("staffed-lanes")] = selling.lanes.trip
    rows = store.tally.rows
    assert rows
    columns = rows[0]
    enters_s = np.array(store.enters_s)
    return ShopFloor(
        alone, flow, plans, trips, crowd_of(store, selling.trip), enters_s,
        np.where(np.isnan(enters_s), np.nan, columns["leaves_s"]), columns,
    )  # fmt: skip


def animated(floor: ShopFloor) -> dict[str, Any]:
    """The day for the browser: plan, a way for each visit, and what waits in every minute.

    Lengths are decimetres and times seconds, as whole numbers.
    """
    plan = store_plan(floor.scenario.shelves.layout)
    layout = load_layout(floor.scenario.shelves.layout)
    starts = [floor.scenario.shelves.layout]
    opens, closes = _span(floor)
    return {
        "layout": starts[0],
        "flow": floor.flow,
        "opens_s": opens,
        "closes_s": closes,
        "plan": plan.to_dict(layout),
        "visits": _ways(floor, plan),
        "every_s": EVERY_S,
        "series": _series(floor, opens, closes),
    }


@dataclass(frozen=True)
class StorePlan:
    """Where things lie: zones, the ways between them, and each shelf.

    Attributes:
        at_m: of each zone, float [zones, 2]. upright: whether its shelves run along y.
        shelf_m: where one stands at each shelf, float [shelves, 2].
        between: zones on the shortest path from one zone to another, both included.
    """

    at_m: np.ndarray
    upright: np.ndarray
    size_m: np.ndarray
    shelf_m: np.ndarray
    paths: tuple[tuple[int, int], ...]
    between: dict[int, dict[int, list[int]]]

    def to_dict(self, layout: Any) -> dict[str, Any]:
        zones = [
            {
                "name": name,
                "at": _whole(self.at_m[number]),
                "size": _whole(self.size_m[number]),
                "shelves": int((layout.shelf_zone == number).sum()),
                "upright": bool(self.upright[number]),
            }
            for number, name in enumerate(layout.zones)
        ]
        return {"zones": zones, "paths": list(self.paths), "entrance": layout.entrance, "exit": layout.exit}


@lru_cache(maxsize=8)
def store_plan(name: str) -> StorePlan:
    """The plan of a layout that `load_layout` takes; raises `InputError` as it does."""
    layout = load_layout(name)
    path = Path(name)
    document: Any = read_yaml(
        path if path.suffix else Path(str(resources.files("sim") / "layouts" / f"{name}.yaml"))
    )
    at_m = np.array([document["zones"][zone]["at"] for zone in layout.zones], float)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(at_m)))
    for stops in document["paths"]:
        for a, b in pairwise(layout.zones.index(stop) for stop in stops):
            graph.add_edge(a, b, m=float(np.hypot(*(at_m[a] - at_m[b]))))
    shelves = np.bincount(layout.shelf_zone, minlength=len(at_m))
    upright = np.array([_runs_upright(at_m, number, list(graph[number])) for number in range(len(at_m))])
    length = SHELF_M * np.ceil(shelves / 2)
    size_m = np.where(upright[:, None], np.stack([np.full(len(at_m), 2.4), length], 1),
                      np.stack([length, np.full(len(at_m), 2.4)], 1))  # fmt: skip
    number_in_zone = np.arange(layout.shelves) - np.searchsorted(layout.shelf_zone, layout.shelf_zone)
    zone = layout.shelf_zone
    along = (number_in_zone // 2 + 0.5) * SHELF_M - 0.5 * length[zone]
    across = np.where(number_in_zone % 2, AISLE_M, -AISLE_M)
    offset = np.where(upright[zone][:, None], np.stack([across, along], 1), np.stack([along, across], 1))
    between = dict(nx.all_pairs_dijkstra_path(graph, weight="m"))
    return StorePlan(at_m, upright, size_m, at_m[zone] + offset, tuple(graph.edges), between)


def _runs_upright(at_m: np.ndarray, number: int, neighbours: list[int]) -> bool:
    """Shelves run along the way through a zone, and across the way into a dead end."""
    if len(neighbours) == 1:
        dx, dy = np.abs(at_m[neighbours[0]] - at_m[number])
        return bool(dx > dy)
    if not neighbours:
        return False
    dx, dy = np.ptp(at_m[neighbours], axis=0)
    return bool(dy > dx)


def _span(floor: ShopFloor) -> tuple[int, int]:
    """The hours from the first arrival to the last exit, seconds."""
    if not len(floor.enters_s) or np.isnan(floor.enters_s).all():
        return 0, 3600
    first, last = np.nanmin(floor.enters_s), np.nanmax(floor.leaves_s)
    return int(first // 3600) * 3600, int(-(-last // 3600)) * 3600


def _ways(floor: ShopFloor, plan: StorePlan) -> list[dict[str, Any]]:
    """Of each visit that came in: persons, whether it has a smart cart, and t, x, y of every turn."""
    layout = load_layout(floor.scenario.shelves.layout)
    plans, served = floor.plans, floor.columns["served_by"]
    first = np.searchsorted(plans.line_visit, np.arange(len(plans)))
    last = np.searchsorted(plans.line_visit, np.arange(len(plans)), side="right")
    door, leaving = plan.at_m[layout.entrance], plan.at_m[layout.exit]
    found = []
    for visit in np.flatnonzero(~np.isnan(floor.enters_s)).tolist():
        trip = floor.trips.get(int(served[visit]), floor.trip)
        enters_s, leaves_s = float(floor.enters_s[visit]), float(floor.leaves_s[visit])
        stands = _stands(plans.shelf, trip, first[visit], last[visit])
        turns: list[tuple[float, float, float]] = [(enters_s, *door)]
        zone = layout.entrance
        for shelf, from_s, until_s in stands:
            to = int(layout.shelf_zone[shelf])
            here = plan.shelf_m[shelf]
            turns += _walk(plan, turns[-1], zone, to, enters_s + from_s, here)
            turns += [(enters_s + from_s, *here), (enters_s + until_s, *here)]
            zone = to
        arrives_s = min(leaves_s, enters_s + float(trip.shops_s[visit]))
        turns += _walk(plan, turns[-1], zone, layout.exit, arrives_s, leaving)
        turns += [(arrives_s, *leaving), (leaves_s, *leaving)]
        whole = np.round(np.array(turns) * (1, DECIMETRES, DECIMETRES)).astype(int)
        found.append(
            {
                "p": int(plans.people[visit]),
                "c": int(FLOWS[served[visit]] == "dash-cart"),
                "w": whole.ravel().tolist(),
            }
        )
    return found


def _stands(shelf: np.ndarray, trip: Itinerary, first: int, last: int) -> list[tuple[int, float, float]]:
    """Shelf, from and until of each stand; lines of one shelf in a row are one stand."""
    found: list[tuple[int, float, float]] = []
    for line in range(first, last):
        row = int(shelf[line]), float(trip.stands_from_s[line]), float(trip.stands_until_s[line])
        if found and found[-1][0] == row[0]:
            row = row[0], found[-1][1], row[2]
            found.pop()
        found.append(row)
    return found


def _walk(
    plan: StorePlan,
    since: tuple[float, float, float],
    start: int,
    end: int,
    arrives_s: float,
    there: np.ndarray,
) -> list[tuple[float, float, float]]:
    """Turns on the way between two zones, at even speed; none within a zone."""
    stops = plan.between[start][end][1:-1] if start != end else []
    if not stops:
        return []
    points = np.vstack([[since[1:]], plan.at_m[stops], [there]])
    gone = np.cumsum(np.hypot(*np.diff(points, axis=0).T))
    if gone[-1] == 0:
        return []
    times_s = since[0] + (arrives_s - since[0]) * gone[:-1] / gone[-1]
    return [(float(t), float(x), float(y)) for t, (x, y) in zip(times_s, points[1:-1], strict=True)]


def _series(floor: ShopFloor, opens: int, closes: int) -> list[dict[str, Any]]:
    """What is counted in every minute: persons inside, and what waits or is in use in this flow."""
    at_s = np.arange(opens, closes + 1, EVERY_S)
    came = ~np.isnan(floor.enters_s)
    t, people = floor.columns, floor.plans.people
    found = [("persons inside", _counts(at_s, floor.enters_s[came], floor.leaves_s[came], people[came]))]
    served = t["served_by"]
    if floor.flow == "just-walk-out":
        ready_s = t["leaves_s"] + floor.scenario.just_walk_out.receipt_s
        final_s = t["leaves_s"] + np.nan_to_num(t["time_to_receipt_s"])
        waits = came & (final_s > ready_s + 1e-6)
        found.append(("bills waiting for a human", _counts(at_s, ready_s[waits], final_s[waits])))
    if floor.flow == "dash-cart":
        carted = came & (served == FLOWS.index("dash-cart"))
        back_s = floor.leaves_s + floor.scenario.dash_cart.return_s
        found.append(("carts out", _counts(at_s, floor.enters_s[carted], back_s[carted])))
    tills = came & np.isin(served, [FLOWS.index("self-checkout"), FLOWS.index("staffed-lanes")])
    if tills.any():
        shops_s = np.select(
            [served == k for k in floor.trips], [trip.shops_s for trip in floor.trips.values()]
        )
        found.append(
            ("at the tills", _counts(at_s, (floor.enters_s + shops_s)[tills], floor.leaves_s[tills]))
        )
    return [{"name": name, "values": values} for name, values in found]


def _counts(
    at_s: np.ndarray, from_s: np.ndarray, until_s: np.ndarray, weight: np.ndarray | None = None
) -> list[int]:
    """How many are between their two times at each moment."""
    each = np.ones(len(from_s), int) if weight is None else weight

    def passed(times_s: np.ndarray) -> np.ndarray:
        order = np.argsort(times_s)
        total = np.concatenate([[0], np.cumsum(each[order])])
        return np.asarray(total[np.searchsorted(times_s[order], at_s, side="right")])

    return [int(n) for n in passed(from_s) - passed(until_s)]


def _whole(metres: np.ndarray) -> list[int]:
    return [int(v) for v in np.round(metres * DECIMETRES)]
