"""What happens in a recording: shoppers walk, reach, take, put back and touch, on one timeline.

The plan is made action by action in time order, so that two shoppers never stand in one place,
and every path derives from it; pictures, plates and truth are three views of the same plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from checkout.catalog import Facing, Planogram
from checkout.render.people import Build, Pose, held_position
from checkout.render.products import DrawnProduct
from checkout.render.scene import SLOTS, WIDTH_M, Unit, basket_position, slot_position

Kind = Literal["pick", "put_back", "touch"]

STAND_Y_M = -0.52
WALK_Y_M = -0.95
APART_M = 0.46
"""Assumed: shoppers who stand at the shelf are at least this far apart."""
WALK_M_PER_S = 0.75
PUT_BACKS, WRONG_FACING, TOUCHES, PAIRS = 0.27, 0.3, 0.07, 0.18
"""Shares: a quarter of shelf events are put-backs (published: 23.6 % in the competition's truth); others assumed."""
FINGERS_M = 0.09
"""Assumed: fingertips are this far before the middle of the palm."""


@dataclass(frozen=True)
class Deed:
    """One reach to a facing.

    Attributes:
        units: the units that move, the front one first; the touched one for a touch.
        slots: where each unit stands before a pick or after a put-back.
        stand_m: where the shopper stands (x, y).
        marks: times, seconds: reach begins, hand at the item, item moves with (or leaves) the hand,
            retreat begins, hand at the basket, item in (or out of) the basket, hand at rest.
    """

    kind: Kind
    shopper: int
    facing: str
    units: tuple[int, ...]
    slots: tuple[int, ...]
    stand_m: tuple[float, float]
    marks: tuple[float, ...]

    @property
    def moved_s(self) -> float:
        """When the load on the shelf changes."""
        return self.marks[2]


@dataclass
class Script:
    """A planned recording: who walks where when, and every deed."""

    duration_s: float
    walks: list[list[tuple[float, float, float]]]
    deeds: list[Deed] = field(default_factory=list)

    def at(self, shopper: int, t_s: float) -> tuple[np.ndarray, float]:
        """Floor position and yaw of a shopper; far away before the entry and after the exit."""
        path = np.array(self.walks[shopper])
        x, y = np.interp(t_s, path[:, 0], path[:, 1]), np.interp(t_s, path[:, 0], path[:, 2])
        speed = np.interp(t_s + 0.15, path[:, 0], path[:, 1]) - np.interp(t_s - 0.15, path[:, 0], path[:, 1])
        return np.array([x, y]), float(np.clip(-speed * 4.0, -1.1, 1.1))

    def inside(self, shopper: int, t_s: float) -> bool:
        path = self.walks[shopper]
        return path[0][0] <= t_s <= path[-1][0]

    def deed_of(self, shopper: int, t_s: float) -> Deed | None:
        for deed in self.deeds:
            if deed.shopper == shopper and deed.marks[0] <= t_s <= deed.marks[-1]:
                return deed
        return None


def plan(
    planogram: Planogram,
    products: Sequence[DrawnProduct],
    units: Sequence[Unit],
    stock: dict[str, list[int | None]],
    shoppers: int,
    duration_s: float,
    rng: np.random.Generator,
) -> Script:
    """Plan a recording; `stock` (units of each facing by slot, front first) is left as it ends up."""
    names = {p.product.product: i for i, p in enumerate(products)}
    facings = list(planogram.values())
    sides = [-1.0 if i % 2 == 0 else 1.0 for i in range(shoppers)]
    script = Script(duration_s, [])
    free: list[float] = []
    place: list[float] = []
    basket: list[list[int]] = [[] for _ in range(shoppers)]
    for i in range(shoppers):
        start = 0.4 + 1.7 * i + float(rng.uniform(0, 0.4))
        script.walks.append([(start, sides[i] * 1.75, WALK_Y_M - 0.12 * i)])
        free.append(start)
        place.append(sides[i] * 1.75)
    active = set(range(shoppers))
    while active:
        who = min(active, key=lambda i: free[i])
        now = free[who]
        taken = [place[i] for i in range(shoppers) if i != who and i in active]
        options = []
        for facing in facings:
            low = planogram[facing.facing].box_min_m
            assert low is not None
            x = float(
                np.clip(low[0] + 0.1 - 0.16 + rng.normal(0, 0.04), -WIDTH_M / 2 - 0.1, WIDTH_M / 2 + 0.1)
            )
            if all(abs(x - other) >= APART_M for other in taken):
                options.append((facing, x))
        deed = _choose(options, stock, basket[who], products, units, names, rng)
        if now > duration_s - 6.5:
            leave = script.walks[who][-1]
            out = now + abs(sides[who] * 1.8 - leave[1]) / WALK_M_PER_S + 0.8
            script.walks[who] += [
                (now + 0.4, leave[1], WALK_Y_M - 0.12 * who),
                (out, sides[who] * 1.8, WALK_Y_M),
            ]
            active.discard(who)
            continue
        if deed is None:
            script.walks[who].append((now + 0.5, *script.walks[who][-1][1:]))
            free[who] = now + 0.5
            continue
        kind, facing_name, moved, slots, x = deed
        arrive = _walk(script.walks[who], now, x, who, rng)
        done = _act(script, kind, who, facing_name, moved, slots, x, arrive, rng)
        if kind == "pick":
            for slot in slots:
                stock[facing_name][slot] = None
            basket[who] += list(moved)
        elif kind == "put_back":
            stock[facing_name][slots[0]] = moved[0]
            basket[who].remove(moved[0])
        free[who] = done + float(rng.uniform(0.1, 0.9))
        script.walks[who].append((free[who], *script.walks[who][-1][1:]))
        place[who] = x
    script.deeds.sort(key=lambda d: d.marks[0])
    return script


def _choose(
    options: list[tuple[Facing, float]],
    stock: Mapping[str, list[int | None]],
    basket: list[int],
    products: Sequence[DrawnProduct],
    units: Sequence[Unit],
    names: Mapping[str, int],
    rng: np.random.Generator,
) -> tuple[Kind, str, tuple[int, ...], tuple[int, ...], float] | None:
    """What to do next, where, with which units; None when there is nothing to do just now."""
    if not options:
        return None
    by_name = {facing.facing: (facing, x) for facing, x in options}

    def front(name: str) -> int | None:
        return next((slot for slot, unit in enumerate(stock[name]) if unit is not None), None)

    if basket and rng.uniform() < PUT_BACKS * 1.15:
        unit = int(basket[int(rng.integers(len(basket)))])
        home = [n for n, (f, _) in by_name.items() if names[f.product] == units[unit].product]
        wrong = [n for n in by_name if n not in home]
        candidates = wrong if rng.uniform() < WRONG_FACING else home
        room = [(n, slot) for n in candidates if (slot := _first_free(stock[n])) is not None]
        if room:
            name, free_slot = room[int(rng.integers(len(room)))]
            return "put_back", name, (unit,), (free_slot,), by_name[name][1]
    full = [n for n in by_name if front(n) is not None]
    if not full:
        return None
    name = full[int(rng.integers(len(full)))]
    slot = front(name)
    assert slot is not None
    unit_here = stock[name][slot]
    assert unit_here is not None
    if rng.uniform() < TOUCHES:
        return "touch", name, (unit_here,), (slot,), by_name[name][1]
    behind = stock[name][slot + 1] if slot + 1 < SLOTS else None
    if behind is not None and units[behind].product == units[unit_here].product and rng.uniform() < PAIRS:
        return "pick", name, (unit_here, behind), (slot, slot + 1), by_name[name][1]
    return "pick", name, (unit_here,), (slot,), by_name[name][1]


def _first_free(slots: list[int | None]) -> int | None:
    """The slot just before the front unit; None when the front slot is taken."""
    front = next((slot for slot, unit in enumerate(slots) if unit is not None), SLOTS)
    return front - 1 if front > 0 else None


def _walk(
    path: list[tuple[float, float, float]], now: float, x: float, who: int, rng: np.random.Generator
) -> float:
    """Walk back from the shelf, along the aisle and up to it again; returns the arrival time."""
    _, x0, y0 = path[-1]
    distance = abs(x - x0)
    if distance < 0.25:
        arrive = now + 0.25 + distance
        path.append((arrive, x, STAND_Y_M if y0 > WALK_Y_M + 0.1 else y0))
        if y0 <= WALK_Y_M + 0.1:
            arrive += 0.6
            path.append((arrive, x, STAND_Y_M))
        return arrive
    lane = WALK_Y_M - 0.12 * who if distance > 0.5 else STAND_Y_M - 0.2
    away = now + 0.35
    along = away + distance / (WALK_M_PER_S * float(rng.uniform(0.9, 1.2)))
    path += [
        (away, x0 + 0.1 * np.sign(x - x0), lane),
        (along, x - 0.1 * np.sign(x - x0), lane),
        (along + 0.45, x, STAND_Y_M),
    ]
    return along + 0.45


def _act(
    script: Script,
    kind: Kind,
    who: int,
    facing: str,
    units: tuple[int, ...],
    slots: tuple[int, ...],
    x: float,
    arrive: float,
    rng: np.random.Generator,
) -> float:
    pace = float(rng.uniform(0.85, 1.2))
    reach, dwell, retreat, stow, rest = (d * pace for d in (0.8, 0.3, 0.7, 0.5, 0.35))
    begin = arrive + 0.1
    if kind == "put_back":
        spans: tuple[float, ...] = (stow, 0.15, reach, dwell / 2, dwell / 2, retreat, rest)
        # basket reached, item out, hand at the slot, item leaves the hand, retreat begins, hand out, rest
        t = begin + np.concatenate([[0.0], np.cumsum(spans)])
        marks = (t[0], t[3], t[4], t[5], t[1], t[2], t[7])
        end = float(t[7])
    else:
        spans = (reach, dwell / 2, dwell / 2, retreat, stow if kind == "pick" else 0.05, rest)
        t = begin + np.concatenate([[0.0], np.cumsum(spans)])
        marks = (t[0], t[1], t[2], t[3], t[4], t[5], t[6])
        end = float(t[6])
    script.deeds.append(Deed(kind, who, facing, units, slots, (x, STAND_Y_M), tuple(float(m) for m in marks)))
    script.walks[who].append((end, x, STAND_Y_M))
    return end


class Stage:
    """Where everything is at a moment of a script."""

    def __init__(
        self,
        script: Script,
        planogram: Planogram,
        products: Sequence[DrawnProduct],
        units: Sequence[Unit],
        builds: Sequence[Build],
        stock: Mapping[str, Sequence[int | None]],
    ) -> None:
        self._script, self._planogram, self._products = script, planogram, products
        self._units, self._builds = units, builds
        self._home: dict[int, tuple[str, int]] = {
            unit: (name, slot)
            for name, slots in stock.items()
            for slot, unit in enumerate(slots)
            if unit is not None
        }

    def pose(self, shopper: int, t_s: float) -> Pose | None:
        """A shopper's pose; None outside."""
        if not self._script.inside(shopper, t_s):
            return None
        at, yaw = self._script.at(shopper, t_s)
        pose = Pose((float(at[0]), float(at[1])), yaw)
        pose.palm_m["left"] = basket_position(pose) + np.array([0.0, 0.02, 0.13])
        pose.grip["left"] = True
        pose.palm_m["right"] = self.palm(shopper, t_s, pose)
        deed = self._script.deed_of(shopper, t_s)
        if deed is None or deed.kind == "touch":
            pose.grip["right"] = False
        elif deed.kind == "pick":
            pose.grip["right"] = deed.marks[1] <= t_s < deed.marks[5]
        else:
            pose.grip["right"] = deed.marks[4] <= t_s < deed.marks[3]
        return pose

    def palm(self, shopper: int, t_s: float, pose: Pose) -> np.ndarray:
        """Middle of the right palm, metres: minimum-jerk movements between the deed's marks."""
        rest = _rest(pose)
        deed = self._script.deed_of(shopper, t_s)
        if deed is None:
            return rest
        item = self.grasp_palm(deed)
        clear = item.copy()
        clear[1], clear[2] = -0.17, item[2] + 0.03
        over = basket_position(pose) + np.array([0.06, 0.03, 0.22])
        into = over - np.array([0.0, 0.0, 0.1])
        m = deed.marks
        if deed.kind == "put_back":
            points = [
                (m[0], rest),
                (m[4], into),
                (m[5], over),
                (m[1], item),
                (m[3], item),
                (m[3] + 0.35, clear),
                (m[6], rest),
            ]
        else:
            points = [(m[0], rest), (m[1], item), (m[3], item), (m[3] + 0.3, clear)]
            if deed.kind == "pick":
                points += [(m[4], over), (m[5], into)]
            points.append((m[6], rest))
        points.sort(key=lambda p: p[0])
        for (t0, a), (t1, b) in itertools.pairwise(points):
            if t0 <= t_s <= t1:
                u = (t_s - t0) / max(t1 - t0, 1e-6)
                s = u**3 * (10 - 15 * u + 6 * u * u)
                # Reach in from the front, not through the shelf above or below.
                bow = np.array([0.0, -0.1, 0.0]) * np.sin(np.pi * s) if (a is item) != (b is item) else 0.0
                return np.asarray(a + (b - a) * s + bow)
        return rest

    def grasp_palm(self, deed: Deed) -> np.ndarray:
        """Where the palm is when the hand holds the front unit in its slot."""
        product = self._products[self._units[deed.units[0]].product]
        base = slot_position(self._planogram[deed.facing], deed.slots[0])
        centre = base + np.array([0.0, 0.0, min(product.half_m[2] * 1.1, 0.13)])
        return np.asarray(
            centre - held_position(self._builds[deed.shopper], np.zeros(3), 0.0, "right", product.half_m[0])
        )

    def unit_positions(self, t_s: float) -> dict[int, np.ndarray | None]:
        """Middle of every unit's base, metres; None when it has been carried out."""
        where: dict[int, np.ndarray | None] = {}
        state: dict[int, tuple[str, Deed | None]] = dict.fromkeys(self._home, ("shelf", None))
        slots = dict(self._home)
        for deed in self._script.deeds:
            if deed.kind == "touch":
                continue
            m = deed.marks
            for unit, slot in zip(deed.units, deed.slots, strict=True):
                if deed.kind == "pick":
                    if t_s >= m[5]:
                        state[unit] = ("basket", deed)
                    elif t_s >= m[2]:
                        state[unit] = ("hand", deed)
                elif t_s >= m[2]:
                    state[unit], slots[unit] = ("shelf", None), (deed.facing, slot)
                elif t_s >= m[4]:
                    state[unit] = ("hand", deed)
        carried: dict[int, int] = {}
        for unit, (what, carrier) in state.items():
            if what == "shelf":
                name, slot = slots[unit]
                where[unit] = slot_position(self._planogram[name], slot, self._offset(unit))
                continue
            assert carrier is not None
            pose = self.pose(carrier.shopper, t_s)
            if pose is None:
                where[unit] = None
            elif what == "basket":
                n = carried.get(carrier.shopper, 0)
                carried[carrier.shopper] = n + 1
                spot = np.array(
                    [0.07 * (n % 4) - 0.1, 0.09 * ((n // 4) % 2) - 0.045, -0.09 + 0.05 * (n // 8)]
                )
                where[unit] = basket_position(pose) + spot
            else:
                product = self._products[self._units[unit].product]
                palm = self.palm(carrier.shopper, t_s, pose)
                centre = held_position(self._builds[carrier.shopper], palm, 0.0, "right", product.half_m[0])
                centre[1] += 0.08 * carrier.units.index(unit)
                where[unit] = centre - np.array([0.0, 0.0, min(product.half_m[2] * 1.1, 0.13)])
        return where

    def _offset(self, unit: int) -> float:
        """How far a unit stands off its facing's middle, metres; fixed for each unit."""
        return 0.014 * float(np.sin(12.9898 * (unit + 1)))


def hand_inside(stage: Stage, deed: Deed) -> tuple[float, float]:
    """When the fingertips are behind the shelf's front edge, seconds."""
    times = np.arange(deed.marks[0], deed.marks[-1], 1 / 120)
    inside = []
    for t_s in times:
        pose = stage.pose(deed.shopper, float(t_s))
        if pose is not None and stage.palm(deed.shopper, float(t_s), pose)[1] > -FINGERS_M:
            inside.append(float(t_s))
    if not inside:
        return deed.marks[1], deed.marks[3]
    near = [t for t in inside if abs(t - deed.moved_s) < 1.5]
    return near[0], near[-1]


def _rest(pose: Pose) -> np.ndarray:
    forward = np.array([-np.sin(pose.yaw), np.cos(pose.yaw), 0.0])
    right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
    return np.array([*pose.at_m, 0.86]) + 0.27 * right + 0.14 * forward
