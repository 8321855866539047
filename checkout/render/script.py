"""What happens in a recording: people walk, reach, take, put back, pass on and hide, on one timeline.

The plan is made behaviour by behaviour in time order, so that nobody stands in anybody else, and
everything derives from it; pictures, plates and truth are three views of the same plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import ActKind, Role
from checkout.render.people import Build, Pose, held_position, out_of_reach_m
from checkout.render.products import DrawnProduct
from checkout.render.scene import (
    DEPTH_M,
    FIRST_GAP_M,
    GAP_M,
    WIDTH_M,
    Unit,
    carrier_position,
    pitch_m,
    slot_position,
    slots_of,
)

Kind = Literal["pick", "put_back", "touch"]
T = TypeVar("T")
PLAIN = ("plain", "several", "put_back")
CONFUSING = (
    "misplace", "pick_misplaced", "swap", "same_facing", "neighbours", "hand_over_within", "hand_over_between",
    "slow", "quick", "touch", "hide", "leave_on_floor", "restock",
)  # fmt: skip
RARITY = {"pick_misplaced": 6.0, "swap": 4.0, "misplace": 2.0, "leave_on_floor": 3.0, "hand_over_within": 2.0,
          "hand_over_between": 2.0, "quick": 0.5}  # fmt: skip
"""Behaviours that are seldom possible are tried more often."""
BEHAVIOURS = (*PLAIN, *CONFUSING)
"""The protocol; the confusing ones are those that the AutoCheckout competition's cases and Grab's trial name."""

STAND_Y_M = -0.52
LANES_M = (-1.0, -1.36, -1.72)
OUTSIDE_M = 2.0
APART_M = 0.44
"""Assumed: people's middles are at least this far apart."""
TROLLEY_APART_M = 0.62
WALK_M_PER_S = 0.85
PUT_BACKS = 0.236
"""Published: share of put-backs in the competition's truth (facts: section 2)."""
SAME_WEIGHT_G = 10.0
HEAVIEST_G = 1300.0
"""Assumed: nobody passes on, hides or drops a unit heavier than this."""
REACHABLE_M = 0.015
LONGEST_REACH_S = 4.6
"""No reach begins later than this before the recording ends."""
FINGERS_M = 0.09
"""Assumed: fingertips are this far before the middle of the palm."""
CLEAR_Y_M = -0.19
"""A held unit is out of the shelf when the palm is here."""
LIFT_M = 0.03
"""Assumed: an item is raised this far before it is pulled out."""
PRESS_M = 0.0003
"""Assumed: how far a hand presses down, at most, as it takes hold; the real pick pressed with 50 g before it lifted."""


@dataclass(frozen=True)
class Person:
    """Somebody in the recording: the account they pay with, what they are, and how they look."""

    account: str
    build: Build
    role: Role = "shopper"
    child: bool = False


@dataclass(frozen=True)
class Deed:
    """One reach to a facing.

    Attributes:
        units: the units that move, the front one first; the touched one for a touch.
        slots: where each unit stands before a pick or after a put-back.
        base_m: middle of the front unit's base in its slot.
        marks: times, seconds: reach begins, hand at the item (or over the slot), unit leaves (or is set down),
            hand is out of the shelf, hand at rest.
    """

    kind: Kind
    behaviour: str
    person: int
    facing: str
    units: tuple[int, ...]
    slots: tuple[int, ...]
    base_m: tuple[float, float, float]
    marks: tuple[float, float, float, float, float]

    @property
    def moved_s(self) -> float:
        """When the load on the shelf changes."""
        return self.marks[2]


class Happening(NamedTuple):
    """An act that is no shelf event, as the truth will name it."""

    kind: ActKind
    start_s: float
    end_s: float
    person: int
    units: tuple[int, ...]
    facing: str = ""
    to: int = -1


class Hold(NamedTuple):
    """From a time on, a unit is in a slot of a facing, in a hand, in a carrier, on the floor, or gone."""

    t_s: float
    where: Literal["slot", "hand", "carrier", "floor", "gone"]
    person: int = -1
    facing: str = ""
    at_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    order: int = 0


class Key(NamedTuple):
    """The right palm is at a place at a time: fixed in the world, or at rest, over or in the carrier, at the pocket."""

    t_s: float
    anchor: Literal["world", "rest", "over", "into", "pocket", "chest"]
    at_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grip: float = 0.0


@dataclass
class Script:
    """A planned recording: who walks where when, every palm's path, every unit's whereabouts, and what it all was."""

    duration_s: float
    people: tuple[Person, ...]
    walks: list[list[tuple[float, float, float]]]
    keys: list[list[Key]]
    holds: dict[int, list[Hold]]
    deeds: list[Deed] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)

    def inside(self, person: int, t_s: float) -> bool:
        path = self.walks[person]
        return path[0][0] <= t_s <= path[-1][0]

    def holding(self, t_s: float) -> dict[int, int]:
        """The unit in each person's right hand, of those who hold one."""
        found = {}
        for unit, holds in self.holds.items():
            last = next((hold for hold in reversed(holds) if hold.t_s <= t_s), None)
            if last is not None and last.where == "hand":
                found[last.person] = unit
        return found

    @property
    def actions(self) -> int:
        return len([d for d in self.deeds if d.kind != "touch"]) + len(self.happenings)


def plan(
    planogram: Planogram,
    products: Sequence[DrawnProduct],
    units: Sequence[Unit],
    stock: Mapping[str, Sequence[int | None]],
    people: Sequence[Person],
    duration_s: float,
    rng: np.random.Generator,
    *,
    confusing: float = 0.0,
    mix: Mapping[str, float] | None = None,
    supplies: Mapping[int, Sequence[int]] | None = None,
) -> Script:
    """Plan a recording.

    Args:
        stock: the unit in each slot of each facing, front first, as the recording begins.
        confusing: wanted share of confusing actions.
        mix: relative weight of behaviours; 1 for those not named.
        supplies: units that each person carries from the beginning (staff's, to restock).
    """
    planner = _Planner(planogram, products, units, stock, people, duration_s, rng, confusing, dict(mix or {}))
    for person, carried in (supplies or {}).items():
        planner.supply(person, carried)
    return planner.run()


class _Planner:
    def __init__(
        self,
        planogram: Planogram,
        products: Sequence[DrawnProduct],
        units: Sequence[Unit],
        stock: Mapping[str, Sequence[int | None]],
        people: Sequence[Person],
        duration_s: float,
        rng: np.random.Generator,
        confusing: float,
        mix: dict[str, float],
    ) -> None:
        self.planogram, self.products, self.units, self.people, self.rng = (
            planogram,
            products,
            units,
            people,
            rng,
        )
        self.duration_s, self.share, self.mix = duration_s, confusing, mix
        self.by_name = {p.product.product: p for p in products}
        self.stock = {name: list(slots) for name, slots in stock.items()}
        self.carried: list[list[int]] = [[] for _ in people]
        self.counts = dict.fromkeys(BEHAVIOURS, 0)
        self.put_backs = self.events = 0
        self.side = [-1.0 if i % 2 == 0 else 1.0 for i in range(len(people))]
        self.free: list[float] = []
        self.taken_s: dict[str, float] = {}
        self.arrays: dict[int, tuple[tuple[int, tuple[float, float, float]], np.ndarray]] = {}
        walks, keys = [], []
        for i, person in enumerate(people):
            start = 0.1 + 0.9 * i + float(rng.uniform(0, 0.4))
            if person.child:
                parent = next(k for k, p in enumerate(people) if p.account == person.account and not p.child)
                self.side[i], start = self.side[parent], self.free[parent] + 0.9
            walks.append([(start, self.side[i] * OUTSIDE_M, LANES_M[i % 3])])
            keys.append([Key(0.0, "rest")])
            self.free.append(start)
        holds: dict[int, list[Hold]] = {}
        for name, slots in self.stock.items():
            for slot, unit in enumerate(slots):
                if unit is not None:
                    at = tuple(
                        slot_position(planogram[name], slot, self.product(unit), standing_offset_m(unit))
                    )
                    holds[unit] = [Hold(0.0, "slot", facing=name, at_m=at)]
        self.script = Script(duration_s, tuple(people), walks, keys, holds)

    def supply(self, person: int, carried: Sequence[int]) -> None:
        for order, unit in enumerate(carried):
            self.carried[person].append(unit)
            self.script.holds[unit] = [Hold(0.0, "carrier", person, order=order)]

    def run(self) -> Script:
        active = set(range(len(self.people)))
        while active:
            who = min(active, key=lambda i: (self.free[i], i))
            if self.free[who] > self.duration_s - LONGEST_REACH_S - 0.9:
                if self.leave(who) or self.free[who] > self.duration_s:
                    active.discard(who)
                else:
                    self.wait(who, 0.5)
                continue
            if not self.next(who, active):
                self.wait(who, float(self.rng.uniform(0.4, 0.9)))
        self.script.deeds.sort(key=lambda d: d.marks[0])
        self.script.happenings.sort(key=lambda h: h.start_s)
        return self.script

    def next(self, who: int, active: set[int]) -> bool:
        """Let a person do something; False when nothing is possible just now."""
        person = self.people[who]
        if person.child:
            return self.follow(who)
        if person.role == "staff":
            return self.restock(who) or self.stroll(who)
        total = sum(self.counts.values())
        confused = sum(self.counts[b] for b in CONFUSING)
        names: list[str] = []
        if (self.rng.uniform() < self.share and confused < (self.share + 0.08) * (total + 1)) or (
            confused < (self.share - 0.08) * (total + 1)
        ):
            weights = np.array(
                [self.mix.get(b, 1.0) * RARITY.get(b, 1.0) / (1.0 + 2.0 * self.counts[b]) for b in CONFUSING]
            )
            if weights.sum() > 0:
                drawn = self.rng.choice(len(CONFUSING), size=np.count_nonzero(weights), replace=False,
                                        p=weights / weights.sum())  # fmt: skip
                names += [CONFUSING[i] for i in drawn]
        back = self.put_backs < PUT_BACKS * (self.events + 1) and self.rng.uniform() < 0.8
        names += (
            ["put_back", "plain"]
            if back
            else ["several" if self.rng.uniform() < 0.2 else "plain", "put_back"]
        )
        for name in names:
            act: Callable[[int, set[int]], bool] = getattr(self, f"do_{name}")
            if act(who, active):
                return True
        return False

    # ---- single behaviours -------------------------------------------------------------------

    def do_plain(self, who: int, active: set[int]) -> bool:
        return self.pick(who, "plain", 1)

    def do_several(self, who: int, active: set[int]) -> bool:
        return self.pick(who, "several", int(self.rng.choice([2, 2, 3])))

    def do_slow(self, who: int, active: set[int]) -> bool:
        if self.free[who] > self.duration_s - 2 * LONGEST_REACH_S:
            return False
        return self.pick(
            who, "slow", 1, dwell_s=float(self.rng.uniform(1.2, 2.6)), hold_s=float(self.rng.uniform(1, 2.5))
        )

    def do_hide(self, who: int, active: set[int]) -> bool:
        return self.pick(who, "hide", 1, stow="pocket", widest_m=0.05)

    def do_quick(self, who: int, active: set[int]) -> bool:
        if not self.pick(who, "quick", 1, pace=0.62):
            return False
        for _ in range(int(self.rng.integers(1, 3))):
            if self.free[who] < self.duration_s - 6.0:
                self.pick(who, "quick", 1, pace=0.62, near=True)
        return True

    def do_pick_misplaced(self, who: int, active: set[int]) -> bool:
        strays = [
            name
            for name in self.stock
            if (slot := self.front(name)) is not None
            and (unit := self.stock[name][slot]) is not None
            and self.name(unit) != self.planogram[name].product
        ]
        return bool(strays) and self.pick(who, "pick_misplaced", 1, among=strays)

    def do_put_back(self, who: int, active: set[int]) -> bool:
        return self.put_back(who, "put_back", home=True)

    def do_misplace(self, who: int, active: set[int]) -> bool:
        return self.put_back(who, "misplace", home=False)

    def do_swap(self, who: int, active: set[int]) -> bool:
        """Take a unit, and leave one of the same weight in its place."""
        for unit in self.shuffled(self.carried[who]):
            weight = self.by_name[self.name(unit)].product.weight_g
            twins = [
                name
                for name, slots in self.stock.items()
                if (p := self.planogram[name].product) != self.name(unit)
                and abs(self.by_name[p].product.weight_g - weight) <= SAME_WEIGHT_G
                and self.fits(unit, name)
                and (slot := self.front(name)) is not None
                and (front := slots[slot]) is not None
                and self.name(front) == p
            ]
            for name in self.shuffled(twins):
                if self.pick(who, "swap", 1, among=[name]):
                    self.put_back(who, "swap", home=False, unit=unit, among=[name])
                    return True
        return False

    def do_touch(self, who: int, active: set[int]) -> bool:
        options = self.full_facings(who)
        for name in self.shuffled(options)[:6]:
            slot = self.front(name)
            assert slot is not None
            unit = self.stock[name][slot]
            assert unit is not None
            base = self.script.holds[unit][-1].at_m
            arrive = self.go(who, name, base, unit)
            if arrive is not None:
                self.reach_touch(who, name, unit, slot, base, arrive)
                return True
        return False

    def do_leave_on_floor(self, who: int, active: set[int]) -> bool:
        light = [u for u in self.carried[who] if self.units[u].weight_g < HEAVIEST_G]
        if not light:
            return False
        unit = int(self.rng.choice(light))
        t, x, y = self.place(who)
        product, build = self.product(unit), self.people[who].build
        base = np.array([x + 0.30, y + 0.12, 0.0])
        palm = base - held_position(build, np.zeros(3), 0.0, "right", product.half_m[0])
        palm[2] = grasp_height_m(product)
        if self.short(who, (x, y), palm) > REACHABLE_M or y < -0.8:
            return False
        times = t + 0.2 + np.cumsum([0.0, 0.5, 0.25, 1.0, 0.25, 0.8])
        self.out_of_carrier(who, unit, times[0], times[1], times[2])
        keys = self.script.keys[who]
        keys += [
            Key(times[3], "world", tuple(palm), 1.0),
            Key(times[4], "world", tuple(palm), 0.2),
            Key(times[5], "rest"),
        ]
        self.script.holds[unit] += [
            Hold(float(times[4]), "floor", at_m=(float(base[0]), float(base[1]), 0.0))
        ]
        self.carried[who].remove(unit)
        self.script.happenings.append(
            Happening("leave_on_floor", float(times[2]), float(times[4]), who, (unit,))
        )
        self.counts["leave_on_floor"] += 1
        self.stay(who, float(times[5]))
        return True

    # ---- behaviours of two -------------------------------------------------------------------

    def do_same_facing(self, who: int, active: set[int]) -> bool:
        return self.side_by_side(who, active, "same_facing")

    def do_neighbours(self, who: int, active: set[int]) -> bool:
        return self.side_by_side(who, active, "neighbours")

    def side_by_side(self, who: int, active: set[int], behaviour: str) -> bool:
        """Two people reach to one facing, or to two adjacent ones, at once."""
        for other in self.partners(who, active):
            left, right = sorted((who, other), key=lambda i: self.place(i)[1])
            for first, second in self.shuffled(self.adjacent(behaviour)):
                slots = self.front(first), self.front(second)
                if behaviour == "same_facing" and slots[0] is not None:
                    slots = (slots[0], slots[0] + 1)
                found = []
                for name, slot in zip((first, second), slots, strict=True):
                    if (
                        slot is not None
                        and slot < len(self.stock[name])
                        and self.stock[name][slot] is not None
                    ):
                        found.append((name, slot, self.stock[name][slot]))
                if len(found) < 2 or any(
                    self.units[u].weight_g > HEAVIEST_G for _, _, u in found if u is not None
                ):
                    continue
                middle = 0.5 * (self.centre_x(first) + self.centre_x(second)) - 0.06
                begin = max(self.free[left], self.free[right])
                if begin > self.duration_s - 9.0:
                    return False
                spots = {left: middle - 0.27, right: middle + 0.27}
                marks = self.meet(spots, begin)
                if marks is None:
                    continue
                at = max(*marks, *(self.taken_s.get(n, 0.0) - 0.6 for n in (first, second)))
                for person, (name, slot, unit), late in zip((left, right), found, (0.0, 0.65), strict=True):
                    assert unit is not None
                    offset = late if behaviour == "same_facing" else float(self.rng.uniform(0.0, 0.3))
                    self.reach_pick(person, behaviour, name, (unit,), (slot,), at + offset, 1.0)
                return True
        return False

    def do_hand_over_within(self, who: int, active: set[int]) -> bool:
        return self.hand_over(who, active, "hand_over_within", same_account=True)

    def do_hand_over_between(self, who: int, active: set[int]) -> bool:
        return self.hand_over(who, active, "hand_over_between", same_account=False)

    def hand_over(self, who: int, active: set[int], behaviour: str, *, same_account: bool) -> bool:
        light = [u for u in self.carried[who] if self.units[u].weight_g < HEAVIEST_G]
        others = [
            o
            for o in self.partners(who, active)
            if (self.people[o].account == self.people[who].account) == same_account
        ]
        if not light or not others:
            return False
        unit = int(self.rng.choice(light))
        product = self.product(unit)
        for other in others:
            begin = max(self.free[who], self.free[other])
            if begin > self.duration_s - 8.0:
                continue
            x = self.place(other)[1]
            for side in self.shuffled([-1.0, 1.0]):
                if not -1.5 < x + side * 0.66 < 1.5:
                    continue
                marks = self.meet({other: x, who: x + side * 0.66}, begin)
                if marks is None:
                    continue
                at = max(marks) + 0.1
                middle = np.array([x + side * 0.33, STAND_Y_M + 0.26, float(self.rng.uniform(1.0, 1.2))])
                give = middle + np.array([0.045 + product.half_m[0], -0.06, 0.0])
                take = middle + np.array([0.045 + product.half_m[0], -0.03, -0.05])
                times = at + np.cumsum([0.0, 0.5, 0.25, 0.75, 0.35, 0.5, 0.5, 0.4])
                self.out_of_carrier(who, unit, times[0], times[1], times[2])
                self.script.keys[who] += [
                    Key(times[3], "world", tuple(give), 1.0),
                    Key(times[4], "world", tuple(give), 1.0),
                    Key(times[5], "rest"),
                ]
                order = len(self.carried[other])
                self.script.keys[other] += [
                    Key(times[1], "rest"),
                    Key(times[3], "world", tuple(take), 0.2),
                    Key(times[4], "world", tuple(take), 1.0),
                    Key(times[5], "over", grip=1.0),
                    Key(times[6], "into", grip=1.0),
                    Key(times[7], "rest"),
                ]
                self.script.holds[unit] += [
                    Hold(float(times[4]), "hand", other),
                    Hold(float(times[6]), "carrier", other, order=order),
                ]
                self.carried[who].remove(unit)
                self.carried[other].append(unit)
                self.script.happenings.append(
                    Happening("hand_over", float(times[2]), float(times[6]), who, (unit,), to=other)
                )
                self.counts[behaviour] += 1
                self.stay(who, float(times[5]))
                self.stay(other, float(times[7]))
                return True
        return False

    # ---- staff and children ------------------------------------------------------------------

    def do_restock(self, who: int, active: set[int]) -> bool:
        return False  # staff restock; shoppers never do

    def restock(self, who: int) -> bool:
        for unit in self.shuffled(self.carried[who]):
            homes = [n for n in self.stock if self.planogram[n].product == self.name(unit)]
            if self.put_back(who, "restock", home=True, unit=unit, among=homes):
                return True
        return False

    def follow(self, who: int) -> bool:
        """A child goes to its parent, or touches something low."""
        parent = next(
            k for k, p in enumerate(self.people) if p.account == self.people[who].account and not p.child
        )
        x = self.place(parent)[1]
        if abs(self.place(who)[1] - x) < 0.6 and self.rng.uniform() < 0.3 and self.do_touch(who, set()):
            return True
        for side in self.shuffled([-1.0, 1.0]):
            if self.walk(who, float(np.clip(x + side * 0.5, -1.3, 1.3)), STAND_Y_M + 0.02):
                self.wait(who, float(self.rng.uniform(0.8, 2.5)))
                return True
        return False

    def stroll(self, who: int) -> bool:
        return self.walk(who, float(self.rng.uniform(-0.9, 0.9)), LANES_M[1]) is not None

    # ---- reaching ----------------------------------------------------------------------------

    def pick(
        self,
        who: int,
        behaviour: str,
        quantity: int,
        *,
        among: Sequence[str] | None = None,
        near: bool = False,
        pace: float | None = None,
        dwell_s: float = 0.0,
        hold_s: float = 0.0,
        stow: str = "carrier",
        widest_m: float = 1.0,
    ) -> bool:
        options = self.full_facings(who) if among is None else list(among)
        if near:
            x = self.place(who)[1]
            options = [n for n in options if abs(self.centre_x(n) - 0.06 - x) < 0.3]
        for name in self.shuffled(options)[:8]:
            slot = self.front(name)
            if slot is None:
                continue
            column = self.stock[name][slot : slot + quantity]
            if len(column) < quantity or None in column:
                continue
            units = tuple(u for u in column if u is not None)
            weight = sum(self.units[u].weight_g for u in units)
            same = len({self.name(u) for u in units}) == 1
            if not same or weight > 2.2 * HEAVIEST_G or self.product(units[0]).half_m[0] > widest_m:
                continue
            if quantity > 1 and self.product(units[0]).half_m[1] > 0.045:
                continue
            arrive = self.go(who, name, self.script.holds[units[0]][-1].at_m, units[0], near=near)
            if arrive is None:
                continue
            drawn = pace or float(self.rng.uniform(0.85, 1.2))
            if pick_marks(arrive, drawn, dwell_s, hold_s)[-1] > self.duration_s:
                continue
            slots = tuple(range(slot, slot + quantity))
            self.reach_pick(who, behaviour, name, units, slots, arrive, drawn, dwell_s, hold_s, stow)
            return True
        return False

    def reach_pick(
        self,
        who: int,
        behaviour: str,
        name: str,
        units: tuple[int, ...],
        slots: tuple[int, ...],
        arrive: float,
        pace: float,
        dwell_s: float = 0.0,
        hold_s: float = 0.0,
        stow: str = "carrier",
    ) -> None:
        base = self.script.holds[units[0]][-1].at_m
        palm = self.grasp(who, units[0], base)
        begin, at, lift, high, clear, over, into, rest = pick_marks(arrive, pace, dwell_s, hold_s)
        keys = self.script.keys[who]
        keys += [
            Key(begin, "rest"),
            *self.into_shelf(begin, at, palm, 0.15),
            Key(lift, "world", tuple(palm), 1.0),
        ]
        keys += self.out_of_shelf(lift, high, clear, palm, 1.0)
        if hold_s:
            keys += [Key(clear + 0.45, "chest", grip=1.0), Key(clear + 0.45 + hold_s, "chest", grip=1.0)]
        if stow == "pocket":
            keys += [Key(into, "pocket", grip=1.0), Key(rest, "rest")]
        else:
            keys += [Key(over, "over", grip=1.0), Key(into, "into", grip=1.0), Key(rest, "rest")]
        for order, unit in enumerate(units):
            self.script.holds[unit].append(Hold(float(lift), "hand", who, order=order))
            after = Hold(float(into), "gone", who) if stow == "pocket" else (
                Hold(float(into), "carrier", who, order=len(self.carried[who]))
            )  # fmt: skip
            self.script.holds[unit].append(after)
            if stow != "pocket":
                self.carried[who].append(unit)
        for slot in slots:
            self.stock[name][slot] = None
        self.taken_s[name] = max(self.taken_s.get(name, 0.0), float(clear))
        marks = (float(begin), float(at), float(lift), float(clear), float(rest))
        self.script.deeds.append(Deed("pick", behaviour, who, name, units, slots, base, marks))
        if stow == "pocket":
            self.script.happenings.append(Happening("hide", float(clear), float(into), who, units, name))
        self.counts[behaviour] += 1
        self.events += 1
        self.stay(who, float(rest))

    def put_back(
        self,
        who: int,
        behaviour: str,
        *,
        home: bool,
        unit: int | None = None,
        among: Sequence[str] | None = None,
    ) -> bool:
        for moved in [unit] if unit is not None else self.shuffled(self.carried[who])[:3]:
            names = among or [
                n for n in self.stock if (self.planogram[n].product == self.name(moved)) == home
            ]
            for name in self.shuffled(names)[:8]:
                place = self.free_place(moved, name)
                if place is None or not self.fits(moved, name):
                    continue
                slot, base = place
                arrive = self.go(who, name, base, moved)
                if arrive is None:
                    continue
                self.reach_put_back(who, behaviour, name, moved, slot, base, arrive)
                return True
        return False

    def reach_put_back(
        self,
        who: int,
        behaviour: str,
        name: str,
        unit: int,
        slot: int,
        base: tuple[float, float, float],
        arrive: float,
    ) -> None:
        pace = float(self.rng.uniform(0.85, 1.2))
        palm = self.grasp(who, unit, base)
        spans = np.array([0.5, 0.2, 0.6, 0.5, 0.3, 0.25, 0.4, 0.4]) * pace
        begin, into, over, clear, above, down, opened, out, rest = arrive + 0.1 + np.cumsum([0.0, *spans])
        keys = self.script.keys[who]
        self.out_of_carrier(who, unit, begin, into, over)
        high = palm + np.array([0.0, 0.0, LIFT_M])
        keys += [
            Key(clear, "world", (high[0], CLEAR_Y_M, high[2]), 1.0),
            Key(above, "world", tuple(high), 1.0),
            Key(down, "world", tuple(palm - [0, 0, PRESS_M]), 1.0),
            Key(opened, "world", tuple(palm), 0.35),
            Key(out, "world", (palm[0] + 0.03, CLEAR_Y_M, palm[2] + 0.01), 0.2),
            Key(rest, "rest"),
        ]
        self.script.holds[unit].append(Hold(float(down), "slot", facing=name, at_m=base))
        self.stock[name][slot] = unit
        self.carried[who].remove(unit)
        self.taken_s[name] = float(out)
        marks = (float(begin), float(above), float(down), float(out), float(rest))
        self.script.deeds.append(Deed("put_back", behaviour, who, name, (unit,), (slot,), base, marks))
        self.counts[behaviour] += 1
        self.events += 1
        self.put_backs += behaviour != "restock"
        self.stay(who, float(rest))

    def reach_touch(
        self, who: int, name: str, unit: int, slot: int, base: tuple[float, float, float], arrive: float
    ) -> None:
        palm = self.grasp(who, unit, base)
        spans = np.array([0.8, float(self.rng.uniform(0.4, 1.2)), 0.5, 0.4]) * float(
            self.rng.uniform(0.85, 1.2)
        )
        begin, at, leave, out, rest = arrive + 0.1 + np.cumsum([0.0, *spans])
        keys = self.script.keys[who]
        keys += [
            Key(begin, "rest"), *self.into_shelf(begin, at, palm, 0.15),
            Key(0.5 * (at + leave), "world", tuple(palm), 0.7),
            Key(leave, "world", tuple(palm), 0.15), Key(out, "world", (palm[0] + 0.03, CLEAR_Y_M, palm[2] + 0.02), 0.2),
            Key(rest, "rest"),
        ]  # fmt: skip
        self.taken_s[name] = float(out)
        marks = (float(begin), float(at), float(0.5 * (at + leave)), float(out), float(rest))
        self.script.deeds.append(Deed("touch", "touch", who, name, (unit,), (slot,), base, marks))
        self.script.happenings.append(Happening("touch", float(at), float(leave), who, (unit,), name))
        self.counts["touch"] += 1
        self.stay(who, float(rest))

    def into_shelf(self, begin: float, at: float, palm: np.ndarray, grip: float) -> list[Key]:
        """Reach in from the front, not through the shelf above or below."""
        before = (palm[0] + 0.02, CLEAR_Y_M, palm[2] + 0.02)
        return [
            Key(begin + 0.62 * (at - begin), "world", before, grip),
            Key(at, "world", tuple(palm), grip),
            Key(at + 0.12, "world", tuple(palm - [0, 0, PRESS_M * float(self.rng.uniform())]), 1.0),
        ]

    def out_of_shelf(
        self, lift: float, high: float, clear: float, palm: np.ndarray, grip: float
    ) -> list[Key]:
        up = palm + np.array([0.0, 0.0, LIFT_M])
        return [
            Key(high, "world", tuple(up), grip),
            Key(clear, "world", (up[0], CLEAR_Y_M, up[2] + 0.01), grip),
        ]

    def out_of_carrier(self, who: int, unit: int, begin: float, into: float, over: float) -> None:
        self.script.keys[who] += [
            Key(begin, "rest"),
            Key(into, "into", grip=0.2),
            Key(over, "over", grip=1.0),
        ]
        self.script.holds[unit].append(Hold(float(into) + 0.08, "hand", who))

    # ---- walking -----------------------------------------------------------------------------

    def go(
        self, who: int, name: str, base: tuple[float, float, float], unit: int, *, near: bool = False
    ) -> float | None:
        """Walk to where a unit's place is within reach; None when somebody is in the way or it is too far."""
        palm = self.grasp(who, unit, base)
        child = self.people[who].child
        y = STAND_Y_M + (0.06 if child else 0.0)
        if near:
            x = self.place(who)[1]
            return self.queue(who, name) if self.short(who, (x, y), palm) < REACHABLE_M else None
        for shift in (float(self.rng.normal(0, 0.04)), -0.2, 0.2, 0.34, -0.34):
            x = float(np.clip(palm[0] - 0.2 + shift, -WIDTH_M / 2 - 0.25, WIDTH_M / 2 + 0.25))
            if self.short(who, (x, y), palm) < REACHABLE_M and self.walk(who, x, y) is not None:
                return self.queue(who, name)
        return None

    def queue(self, who: int, name: str) -> float | None:
        """Wait until nobody else's hand is in a facing, or soon will be; when to reach, None when it gets too late."""
        self.stay(who, self.taken_s.get(name, 0.0) - 0.6)
        return self.free[who] if self.free[who] < self.duration_s - LONGEST_REACH_S else None

    def walk(self, who: int, x: float, y: float) -> float | None:
        """Plan a way to (x, y) on which nobody is met, waiting a little where need be."""
        t0, x0, y0 = self.place(who)
        speed = WALK_M_PER_S * float(self.rng.uniform(0.85, 1.15)) * (0.8 if self.people[who].child else 1.0)
        if abs(x - x0) < 0.03 and abs(y - y0) < 0.03:
            return t0
        for delay in (0.0, 0.5, 1.0, 1.6, 2.4):
            start = t0 + delay
            if abs(x - x0) < 0.35 and abs(y - y0) < 0.1:
                ways = [[(x, y)]]
            else:
                lanes = self.shuffled(list(LANES_M))
                ways = [
                    [(x0 + 0.12 * np.sign(x - x0), lane), (x - 0.12 * np.sign(x - x0), lane), (x, y)]
                    for lane in lanes
                ]
            for way in ways:
                path, t, at = [], start, (x0, y0)
                for point in way:
                    t += max(0.15, float(np.hypot(point[0] - at[0], point[1] - at[1])) / speed)
                    path.append((t, float(point[0]), float(point[1])))
                    at = point
                if self.open(who, [(start, x0, y0), *path]):
                    self.stay(who, start)
                    self.script.walks[who] += path
                    self.free[who] = t
                    return t
        return None

    def open(self, who: int, path: Sequence[tuple[float, float, float]], *, skip: Sequence[int] = ()) -> bool:
        """Whether nobody is met on a path, as far as the others' plans are known; they stay where those end."""
        steps = np.array(path)
        last = max([steps[-1, 0] + 1.0, *(walk[-1][0] for walk in self.script.walks)])
        times = np.arange(steps[0, 0], last + 0.2, 0.2)
        mine = np.column_stack([np.interp(times, steps[:, 0], steps[:, i]) for i in (1, 2)])
        for other in range(len(self.people)):
            if other == who or other in skip or self.family(who, other):
                continue
            walk = self.walked(other)
            theirs = np.column_stack([np.interp(times, walk[:, 0], walk[:, i]) for i in (1, 2)])
            gone = times < walk[0, 0] - 0.3
            wide = any(self.people[i].build.carries == "trolley" for i in (who, other))
            gap = np.linalg.norm(mine - theirs, axis=1) + np.where(gone, 9.0, 0.0)
            if gap.min() < (TROLLEY_APART_M if wide else APART_M):
                return False
        return True

    def walked(self, who: int) -> np.ndarray:
        """A person's way so far, [n, 3]."""
        walk = self.script.walks[who]
        known = self.arrays.get(who)
        if known is None or known[0] != (len(walk), walk[-1]):
            known = (len(walk), walk[-1]), np.array(walk)
            self.arrays[who] = known
        return known[1]

    def meet(self, spots: Mapping[int, float], begin: float) -> tuple[float, ...] | None:
        """Bring two people to places at the shelf from a common time on; both or neither."""
        kept = {i: (list(self.script.walks[i]), self.free[i]) for i in spots}
        arrivals = []
        for person, x in spots.items():
            self.stay(person, begin)
            arrive = self.walk(person, float(np.clip(x, -1.1, 1.1)), STAND_Y_M)
            if arrive is None:
                break
            arrivals.append(arrive)
        last = max(arrivals, default=begin)
        if len(arrivals) < len(spots) or last > self.duration_s - 5.0:
            for person, (walk, free) in kept.items():
                self.script.walks[person], self.free[person] = walk, free
            return None
        for person in spots:
            self.stay(person, last)
        return tuple(arrivals)

    def leave(self, who: int) -> bool:
        """Walk out where nobody is in the way; False when everywhere somebody is."""
        side = self.side[who] * OUTSIDE_M
        return any(self.walk(who, side, lane) is not None for lane in (LANES_M[who % 3], *LANES_M))

    def wait(self, who: int, span_s: float) -> None:
        self.stay(who, self.free[who] + span_s)

    def stay(self, who: int, until_s: float) -> None:
        """Stand still until a time; then think for a moment."""
        t, x, y = self.place(who)
        if until_s > t:
            self.script.walks[who].append((until_s, x, y))
            self.free[who] = until_s

    # ---- questions ---------------------------------------------------------------------------

    def place(self, who: int) -> tuple[float, float, float]:
        return self.script.walks[who][-1]

    def family(self, a: int, b: int) -> bool:
        return self.people[a].account == self.people[b].account and (
            self.people[a].child or self.people[b].child
        )

    def partners(self, who: int, active: set[int]) -> list[int]:
        """Others who are at the shelf and soon free, the soonest first."""
        found = [
            i
            for i in active
            if i != who
            and not self.people[i].child
            and self.people[i].role == "shopper"
            and self.free[i] - self.free[who] < 4.0
            and len(self.script.walks[i]) > 1
        ]
        return sorted(found, key=lambda i: self.free[i])

    def adjacent(self, behaviour: str) -> list[tuple[str, str]]:
        names = list(self.stock)
        if behaviour == "same_facing":
            return [(n, n) for n in names]
        return [
            (a, b) for a, b in itertools.pairwise(names) if self.planogram[a].shelf == self.planogram[b].shelf
        ]

    def name(self, unit: int) -> str:
        return self.product(unit).product.product

    def product(self, unit: int) -> DrawnProduct:
        return self.products[self.units[unit].product]

    def front(self, name: str) -> int | None:
        return next((slot for slot, unit in enumerate(self.stock[name]) if unit is not None), None)

    def full_facings(self, who: int) -> list[str]:
        """Facings whose front unit is of their own product."""
        found = []
        for name, slots in self.stock.items():
            slot = self.front(name)
            unit = None if slot is None else slots[slot]
            if unit is not None and self.name(unit) == self.planogram[name].product:
                found.append(name)
        return found

    def fits(self, unit: int, name: str) -> bool:
        """Whether a unit goes where a facing's own product stands."""
        product, facing = self.product(unit), self.planogram[name]
        assert facing.box_min_m is not None
        assert facing.box_max_m is not None
        width = facing.box_max_m[0] - facing.box_min_m[0]
        height = facing.box_max_m[2] - facing.box_min_m[2]
        return 2 * product.half_m[0] + 0.02 < width and 2 * product.half_m[2] + 0.03 < height

    def free_place(self, unit: int, name: str) -> tuple[int, tuple[float, float, float]] | None:
        """Slot and base of a unit set down before whatever stands on a facing; None when there is no room."""
        own = self.by_name[self.planogram[name].product]
        slot = self.front(name)
        free = (slot if slot is not None else slots_of(own)) - 1
        if free < 0:
            return None
        half = self.product(unit).half_m[1]
        back = DEPTH_M
        if slot is not None:
            there = self.stock[name][slot]
            assert there is not None
            back = self.script.holds[there][-1].at_m[1] - self.product(there).half_m[1]
        y = min(FIRST_GAP_M + free * pitch_m(own) + half, back - half - GAP_M)
        if y - half < 0.004:
            return None
        base = slot_position(self.planogram[name], 0, own, standing_offset_m(unit))
        return free, (float(base[0]), float(y), float(base[2]))

    def centre_x(self, name: str) -> float:
        centre = self.planogram[name].centre_m
        assert centre is not None
        return centre[0]

    def grasp(self, who: int, unit: int, base: tuple[float, float, float]) -> np.ndarray:
        return grasp_palm(self.people[who].build, self.product(unit), np.array(base))

    def short(self, who: int, at: tuple[float, float], palm: np.ndarray) -> float:
        pose = Pose(at)
        pose.palm_m["right"] = palm
        return out_of_reach_m(self.people[who].build, pose)

    def shuffled(self, things: Sequence[T]) -> list[T]:
        return [things[i] for i in self.rng.permutation(len(things))]


def standing_offset_m(unit: int) -> float:
    """How far a unit stands off its facing's middle, metres; fixed for each unit."""
    return 0.016 * float(np.sin(12.9898 * (unit + 1)))


def pick_marks(arrive: float, pace: float, dwell_s: float, hold_s: float) -> np.ndarray:
    """When a pick begins, is at the item, lifts, is high, clear, over and in the carrier, and at rest; [8] seconds."""
    # Reach, hold on, lift, pull out, carry, stow, rest.
    spans = np.array([0.8, 0.3 + dwell_s, 0.3, 0.45, 0.55 + hold_s, 0.35, 0.35]) * pace
    marks = arrive + 0.1 + np.cumsum([0.0, *spans])
    if hold_s:
        marks[5:] = np.maximum(marks[5:], marks[4] + 0.9 + hold_s + np.array([0.0, 0.3, 0.6]))
    return np.asarray(marks)


def grasp_height_m(product: DrawnProduct) -> float:
    """Height over an item's base at which a hand takes it."""
    return float(min(product.half_m[2] * 1.1, 0.13))


def grasp_palm(build: Build, product: DrawnProduct, base: np.ndarray) -> np.ndarray:
    """Where the palm is when the right hand holds a unit that stands at `base`."""
    centre = base + np.array([0.0, 0.0, grasp_height_m(product)])
    radius = min(product.half_m[0], 0.07)
    return np.asarray(centre - held_position(build, np.zeros(3), 0.0, "right", radius))


class Stage:
    """Where everybody's body and hands are at a moment of a script."""

    RATE_HZ = 60.0

    def __init__(self, script: Script) -> None:
        from scipy.ndimage import gaussian_filter1d

        self.script = script
        self._times = np.arange(0.0, script.duration_s + 1.0, 1 / self.RATE_HZ)
        self._paths, self._phase, self._speed = [], [], []
        for walk in script.walks:
            path = np.array(walk)
            raw = np.column_stack([np.interp(self._times, path[:, 0], path[:, i]) for i in (1, 2)])
            smooth = gaussian_filter1d(raw, 0.11 * self.RATE_HZ, axis=0, mode="nearest")
            velocity = np.gradient(smooth, 1 / self.RATE_HZ, axis=0)
            speed = np.linalg.norm(velocity, axis=1)
            self._paths.append(smooth)
            self._phase.append(np.cumsum(speed) / self.RATE_HZ * np.pi / 0.62)
            self._speed.append(gaussian_filter1d(velocity, 0.12 * self.RATE_HZ, axis=0))
        self._key_times = [np.array([k.t_s for k in keys]) for keys in script.keys]

    def at(self, person: int, t_s: float) -> np.ndarray:
        """Floor position (x, y), metres."""
        row = min(t_s * self.RATE_HZ, len(self._times) - 1.001)
        low = int(row)
        path = self._paths[person]
        return np.asarray(path[low] + (row - low) * (path[low + 1] - path[low]))

    def pose(self, person: int, t_s: float) -> Pose | None:
        """A person's pose; None outside."""
        if not self.script.inside(person, t_s):
            return None
        row = min(int(t_s * self.RATE_HZ), len(self._times) - 1)
        velocity = self._speed[person][row]
        speed = float(np.linalg.norm(velocity))
        at = self.at(person, t_s)
        yaw = float(np.clip(-velocity[0] * 1.5, -1.2, 1.2))
        build = self.script.people[person].build
        pose = Pose((float(at[0]), float(at[1])), yaw, gait=float(self._phase[person][row]))
        pose.stride_m = 0.26 * build.stature * min(1.0, speed / 0.7)
        if build.carries == "basket":
            pose.palm_m["left"] = carrier_position(build, pose) + np.array([0.0, 0.02, 0.13])
            pose.grip["left"] = 1.0
        elif build.carries == "trolley" and speed > 0.3:
            forward = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
            pose.palm_m["left"] = carrier_position(build, pose) + 0.12 * forward + np.array([0.2, 0.0, 0.22])
        pose.palm_m["right"], pose.grip["right"] = self.palm(person, t_s, pose)
        return pose

    def palm(self, person: int, t_s: float, pose: Pose) -> tuple[np.ndarray | None, float]:
        """Middle of the right palm, metres (None hangs), and how far the hand is closed."""
        keys, times = self.script.keys[person], self._key_times[person]
        index = int(np.searchsorted(times, t_s, side="right")) - 1
        before = keys[max(index, 0)]
        if index + 1 >= len(keys) or (before.anchor == "rest" and keys[index + 1].anchor == "rest"):
            return (
                (None, 0.1) if before.anchor == "rest" else (self._anchor(person, before, pose), before.grip)
            )
        after = keys[index + 1]
        u = float(np.clip((t_s - before.t_s) / max(after.t_s - before.t_s, 1e-6), 0.0, 1.0))
        s = u**3 * (10 - 15 * u + 6 * u * u)
        a, b = self._anchor(person, before, pose), self._anchor(person, after, pose)
        return a + (b - a) * s, before.grip + (after.grip - before.grip) * s

    def _anchor(self, person: int, key: Key, pose: Pose) -> np.ndarray:
        if key.anchor == "world":
            return np.array(key.at_m)
        build = self.script.people[person].build
        s = build.stature
        forward = np.array([-np.sin(pose.yaw), np.cos(pose.yaw), 0.0])
        right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
        root = np.array([*pose.at_m, 0.0])
        if key.anchor in ("over", "into") and build.carries != "nothing":
            over = carrier_position(build, pose) + np.array([0.06, 0.03, 0.22])
            return over if key.anchor == "over" else over - np.array([0.0, 0.0, 0.1])
        if key.anchor == "pocket":
            return np.asarray(root + 0.21 * s * right + 0.06 * forward + [0, 0, 0.86 * s])
        if key.anchor == "chest":
            return np.asarray(root + 0.06 * s * right + 0.34 * forward + [0, 0, 1.22 * s])
        return np.asarray(root + 0.25 * s * right + 0.12 * forward + [0, 0, 0.84 * s])

    def hand_inside(self, deed: Deed) -> tuple[float, float]:
        """When the fingertips are behind the shelf's front edge, seconds."""
        times = np.arange(deed.marks[0], deed.marks[4], 1 / 120)
        inside = []
        for t_s in times:
            pose = self.pose(deed.person, float(t_s))
            if pose is not None and pose.palm_m["right"] is not None and pose.palm_m["right"][1] > -FINGERS_M:
                inside.append(float(t_s))
        first = [t for t in inside if t <= deed.moved_s]
        last = [t for t in inside if t >= deed.moved_s]
        return (first[0] if first else deed.marks[1]), (last[-1] if last else deed.marks[3])
