"""The shoppers of one day, drawn once and served by every flow alike (common random numbers).

A day is a few arrays: a row a visit, a row a line (a product that is touched), a row a shelf event. What a flow
adds, such as scanning, only moves the times; what a shown bill changes, a shopper puts back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from sim.journey import journey, size_shares
from sim.layout import PLANOGRAM_SEED, Layout, load_layout
from sim.scenario import BINOMIAL_MOST, WEEKDAYS, Items, Scenario, Shoppers

DAY_S = 86_400.0
HOUR_S = 3600.0
Bill = Literal["guessed", "shown"]
"""How a shopper knows the total while shopping: guessed, or shown as it grows."""


@dataclass(frozen=True)
class Plans:
    """Everybody who comes on one day, in order of arrival, as arrays.

    Of visits [n]:
        arrives_s: seconds since this day's midnight. people: who pay together. leave_s: time from the last shelf to
        the exit. budget_usd: infinite without one. guess: guessed total over the true one. conceals: whether the visit
        conceals something. patience_s: longest wait in a queue.
    Of lines [l], in the order in which they are touched:
        line_visit, shelf, product, units (planned, 0 where only browsed), price_usd, look_alike, weighed, walk_s (time
        between the shelf before and this one; 0 where the shopper already stands there), look_s, beside (companions
        who stand there too), concealed, handed (whether it is handed over when somebody of another group is near).
    Of shelf events [m], in the order in which they happen:
        line, back (put-back), quantity, at_line (the line at whose shelf it happens), if_dropped: only when the
        line is put back for the budget.
    """

    day: int
    arrives_s: np.ndarray
    people: np.ndarray
    leave_s: np.ndarray
    budget_usd: np.ndarray
    guess: np.ndarray
    patience_s: np.ndarray
    line_visit: np.ndarray
    shelf: np.ndarray
    product: np.ndarray
    units: np.ndarray
    price_usd: np.ndarray
    look_alike: np.ndarray
    weighed: np.ndarray
    walk_s: np.ndarray
    look_s: np.ndarray
    beside: np.ndarray
    concealed: np.ndarray
    handed: np.ndarray
    line: np.ndarray
    back: np.ndarray
    quantity: np.ndarray
    at_line: np.ndarray
    if_dropped: np.ndarray

    def __len__(self) -> int:
        return len(self.arrives_s)

    def kept(self, bill: Bill) -> np.ndarray:
        """Units of each line that are carried to the exit, int [l]."""
        factor = self.guess if bill == "guessed" else np.ones(len(self))
        return self.within_budget(self.units, factor)

    def within_budget(self, units: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Units of each line after what would pass the budget is put back, line by line, int [l].

        Args:
            factor: what the shopper believes a sum to be, over what it is; float [n].
        """
        value = units * self.price_usd
        total = np.bincount(self.line_visit, value, len(self)) * factor
        over = np.flatnonzero(total > self.budget_usd)
        if not len(over):
            return units
        left = units.copy()
        first = np.searchsorted(self.line_visit, over)
        last = np.searchsorted(self.line_visit, over, side="right")
        for visit, start, end in zip(over.tolist(), first.tolist(), last.tolist(), strict=True):
            room = float(self.budget_usd[visit] / factor[visit])
            for line, usd in enumerate(value[start:end].tolist(), start):
                if usd <= room:
                    room -= usd
                else:
                    left[line] = 0
        return left

    def sum_by_visit(self, per_line: np.ndarray) -> np.ndarray:
        """Sum over each visit's lines, float [n]."""
        return np.bincount(self.line_visit, per_line, len(self))


@dataclass(frozen=True)
class Itinerary:
    """When a visit does what, in seconds after it has entered, in a flow.

    Attributes:
        kept: units of each line carried to the exit, int [l].
        events: numbers of the shelf events of `Plans` that happen, int [m'].
        event_at_s: when each happens; event_visit: whose it is.
        stands_from_s, stands_until_s: how long a visit stands at each line's shelf, float [l].
        shops_s: time from entering to the exit zone, float [n].
    """

    kept: np.ndarray
    events: np.ndarray
    event_visit: np.ndarray
    event_at_s: np.ndarray
    stands_from_s: np.ndarray
    stands_until_s: np.ndarray
    shops_s: np.ndarray


def itinerary(
    plans: Plans, kept: np.ndarray, at_shelf_s: float, handling_s: np.ndarray | None = None
) -> Itinerary:
    """The times of all visits.

    Args:
        kept: units of each line carried to the exit, such as `Plans.kept`, int [l].
        at_shelf_s: time that each shelf event takes.
        handling_s: more time after each shelf event of `Plans`, such as scanning, float [m].
    """
    dropped = plans.units > kept
    happens = ~plans.if_dropped | dropped[plans.line]
    events = np.flatnonzero(happens)
    each_s = np.full(len(events), at_shelf_s) if handling_s is None else at_shelf_s + handling_s[events]
    at_line = plans.at_line[events]
    stay_s = plans.look_s + np.bincount(at_line, each_s, len(plans.units))
    lines = len(plans.units)
    until = np.cumsum(plans.walk_s + stay_s)
    before = np.concatenate([[0.0], until])[np.searchsorted(plans.line_visit, np.arange(len(plans)))]
    stands_until_s = until - before[plans.line_visit] if lines else until
    stands_from_s = stands_until_s - stay_s
    done = np.cumsum(each_s)
    first = np.searchsorted(at_line, np.arange(lines))
    done_before = np.concatenate([[0.0], done])[first]
    event_at_s = stands_from_s[at_line] + plans.look_s[at_line] + done - each_s - done_before[at_line]
    shops_s = np.bincount(plans.line_visit, plans.walk_s + stay_s, len(plans)) + plans.leave_s
    return Itinerary(
        kept, events, plans.line_visit[plans.line[events]], event_at_s, stands_from_s, stands_until_s, shops_s
    )


class Take(NamedTuple):
    """One product taken by hand-written shoppers (`plans_of`)."""

    shelf: int
    units: int = 1
    price_usd: float = 1.0
    walk_s: float = 0.0
    put_back: bool = False
    look_alike: bool = False
    weighed: bool = False
    concealed: bool = False
    handed: bool = False


class Shopper(NamedTuple):
    """A visit written by hand."""

    arrives_s: float
    takes: tuple[Take, ...] = ()
    leave_s: float = 0.0
    budget_usd: float = float("inf")
    guess: float = 1.0
    people: int = 1
    patience_s: float = float("inf")


def plans_of(shoppers: Sequence[Shopper], day: int = 0) -> Plans:
    """Plans of visits written out one by one, in order of arrival; a `put_back` take is put back at once."""
    takes = [(number, take) for number, shopper in enumerate(shoppers) for take in shopper.takes]
    rows = [take for _, take in takes]
    events = []
    for number, (_, take) in enumerate(takes):
        events.append((number, False, take.units, False))
        events.append((number, True, take.units, not take.put_back))

    def of_lines(values: list[object], kind: type) -> np.ndarray:
        return np.array(values, dtype=kind)

    table = np.array(events, dtype=int).reshape(-1, 4)
    line, back, quantity, if_dropped = table[:, 0], table[:, 1] > 0, table[:, 2], table[:, 3] > 0
    count = len(rows)
    return Plans(
        day,
        np.array([s.arrives_s for s in shoppers], float),
        np.array([s.people for s in shoppers], int),
        np.array([s.leave_s for s in shoppers], float),
        np.array([s.budget_usd for s in shoppers], float),
        np.array([s.guess for s in shoppers], float),
        np.array([s.patience_s for s in shoppers], float),
        np.array([number for number, _ in takes], int),
        of_lines([t.shelf for t in rows], int),
        np.zeros(count, int),
        of_lines([0 if t.put_back else t.units for t in rows], int),
        of_lines([t.price_usd for t in rows], float),
        of_lines([t.look_alike for t in rows], bool),
        of_lines([t.weighed for t in rows], bool),
        of_lines([t.walk_s for t in rows], float),
        np.zeros(count),
        np.zeros(count, int),
        of_lines([t.concealed for t in rows], bool),
        of_lines([t.handed for t in rows], bool),
        line,
        back,
        quantity,
        line,
        if_dropped,
    )


def draw_shoppers(scenario: Scenario, rng: np.random.Generator, day: int = 0) -> Plans:
    """Everybody who comes on one day of the calendar.

    Arrivals, baskets, browsing, walking, prices and temper each have a stream of their own, so a change of
    one leaves the draws of the others as they are, as far as the sizes of the baskets allow.
    """
    s = scenario.shoppers
    layout = load_layout(scenario.shelves.layout)
    arriving, filling, browsing, walking, tempering = rng.spawn(5)
    arrives_s = _arrivals_s(scenario, day, arriving)
    visits = len(arrives_s)
    units = draw_items(s.items, visits, filling)
    units[filling.uniform(size=visits) < s.empty_share] = 0
    sizes, shares = (
        np.array(sorted(s.group_sizes)),
        np.array([s.group_sizes[k] for k in sorted(s.group_sizes)]),
    )
    people = sizes[np.searchsorted(np.cumsum(shares)[:-1], arriving.uniform(size=visits), side="right")]

    visit, product, quantity, price_usd = _baskets(units, filling)
    price_usd = price_usd * price_level(scenario)
    rank, shelf = layout.shelf_rank, layout.product_shelf[product]
    order = np.argsort(visit * layout.shelves + rank[shelf], kind="stable")
    visit, product, quantity, price_usd = visit[order], product[order], quantity[order], price_usd[order]
    walk_s, leave_s = _walks_s(scenario, layout, visit, layout.product_shelf[product], visits, walking)
    conceals = tempering.uniform(size=visits) < s.concealing_share
    budget = s.budget
    has_budget = tempering.uniform(size=visits) < budget.share
    planned_usd = np.bincount(visit, quantity * price_usd, visits)
    most_usd = planned_usd * budget.over_plan * np.exp(budget.spread * tempering.standard_normal(visits))
    guess = budget.guess_bias * np.exp(budget.guess_spread * tempering.standard_normal(visits))
    patience_s = s.queue_patience_s * tempering.gamma(4.0, 0.25, visits)

    # Browsed products stand beside the one that is kept, and are picked and put back before it.
    browsed = browsing.geometric(1 / (1 + _browsed_per_line(s)), len(visit)) - 1
    copies = browsed + 1
    last = np.cumsum(copies) - 1
    source = np.repeat(np.arange(len(visit)), copies)
    is_kept = np.zeros(len(source), bool)
    is_kept[last] = True
    line_visit, line_shelf = visit[source], layout.product_shelf[product][source]
    line_product = np.where(
        is_kept, product[source], layout.beside(line_shelf, browsing.uniform(size=len(source)))
    )
    first = np.concatenate([[True], source[1:] != source[:-1]]) if len(source) else np.zeros(0, bool)
    shop = journey()
    line_units = np.where(is_kept, quantity[source], 0)
    beside = browsing.binomial(people[line_visit] - 1, s.together_share)
    events = _events(line_units, line_visit, s, browsing)
    return Plans(
        day,
        arrives_s,
        people,
        leave_s,
        np.where(has_budget, most_usd, np.inf),
        guess,
        patience_s,
        line_visit,
        line_shelf,
        line_product,
        line_units,
        np.where(is_kept, price_usd[source], shop.product_usd[line_product] * price_level(scenario)),
        _look_alikes(scenario.shelves.look_alike_share)[line_product],
        shop.product_weighed[line_product] & is_kept,
        np.where(first, walk_s[source], 0.0),
        np.where(first, s.lingers_s * walking.gamma(2.0, 0.5, len(source)), 0.0),
        beside,
        is_kept & conceals[line_visit] & (tempering.uniform(size=len(source)) < s.concealed_share),
        is_kept & (tempering.uniform(size=len(source)) < s.hand_over_share),
        *events,
    )


def weekday_hour_rates(scenario: Scenario) -> np.ndarray:
    """Visits of each hour of a mean week, float [7 from Monday, 24]; they sum to seven times `visits_per_day`."""
    s = scenario.shoppers
    shares = journey().weekday_hour_shares.copy()
    if s.hour_shares is None:
        hours = np.arange(24)
        shares[:, (hours < s.opens_hour) | (hours >= s.closes_hour)] = 0.0
    else:
        by_hour = np.array([s.hour_shares.get(hour, 0.0) for hour in range(24)])
        shares = shares.sum(axis=1, keepdims=True) * by_hour
    if s.weekday_shares is not None:
        by_day = np.array([s.weekday_shares.get(day, 0.0) for day in WEEKDAYS])
        shares = shares / shares.sum(axis=1, keepdims=True) * by_day[:, None]
    return np.asarray(7 * s.visits_per_day * shares / shares.sum())


def opening_hours(scenario: Scenario) -> tuple[int, int]:
    """First hour with shoppers, and the end of the last."""
    hours = np.flatnonzero(weekday_hour_rates(scenario).sum(axis=0))
    return int(hours[0]), int(hours[-1]) + 1


def weekday_of(scenario: Scenario, day: int) -> int:
    """Weekday of a day, counted from Monday; day 0 is the first of the warm-up."""
    calendar = scenario.calendar
    return (WEEKDAYS.index(calendar.first_weekday) + day - calendar.warm_up_days) % 7


def _arrivals_s(scenario: Scenario, day: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted seconds since midnight of a Poisson process whose rate changes by the hour."""
    rates = weekday_hour_rates(scenario)[weekday_of(scenario, day)]
    if scenario.calendar.month is not None:
        rates = rates * journey().month_factors[scenario.calendar.month - 1]
    counts = rng.poisson(rates)
    hours = np.repeat(np.arange(24), counts)
    return np.sort(hours + rng.uniform(size=len(hours))) * HOUR_S


def _baskets(units: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Visit, product, quantity and price of each line: real baskets with so many units.

    A basket with more units than the largest real one is made of several.
    """
    shop = journey()
    parts = np.maximum(1, -(-units // shop.most_units))
    visit = np.repeat(np.arange(len(units)), parts)
    within = np.arange(len(visit)) - np.repeat(np.cumsum(parts) - parts, parts)
    size = units[visit] // parts[visit] + (within < units[visit] % parts[visit])
    some = size > 0
    visit, size = visit[some], size[some]
    first, count = shop.first_basket[size], shop.first_basket[size + 1] - shop.first_basket[size]
    basket = first + (rng.uniform(size=len(size)) * count).astype(np.int64)
    lines = shop.first_line[basket + 1] - shop.first_line[basket]
    line = np.repeat(shop.first_line[basket] - (np.cumsum(lines) - lines), lines) + np.arange(lines.sum())
    return np.repeat(visit, lines), shop.line_product[line], shop.line_units[line], shop.line_usd[line]


def _walks_s(
    scenario: Scenario,
    layout: Layout,
    visit: np.ndarray,
    shelf: np.ndarray,
    visits: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Time before each line, float [lines], and time from the last to the exit, float [visits]."""
    s = scenario.shoppers
    zone = layout.shelf_zone[shelf]
    starts = np.concatenate([[True], visit[1:] != visit[:-1]]) if len(visit) else np.zeros(0, bool)
    before = np.where(starts, layout.entrance, np.concatenate([[0], zone[:-1]]) if len(zone) else zone)
    along_m = np.abs(np.diff(shelf, prepend=shelf[:1])) * SHELF_STEP_M
    metres = np.where(before == zone, np.where(starts, 0.0, along_m), layout.distance_m[before, zone])
    fixed_s = s.fixed_s * rng.gamma(4.0, 0.25, visits)
    looking_s = s.per_line_s * rng.gamma(2.0, 0.5, len(visit))
    lines = np.bincount(visit, minlength=visits)
    # Four fifths of the fixed time are spent among the shelves, the rest on the way out (assumed).
    walk_s = metres / s.walk_m_per_s + looking_s + 0.8 * (fixed_s / np.maximum(1, lines))[visit]
    ends = np.append(starts[1:], True) if len(visit) else starts
    out_m = np.full(visits, layout.distance_m[layout.entrance, layout.exit])
    out_m[visit[ends]] = layout.distance_m[zone[ends], layout.exit]
    return walk_s, out_m / s.walk_m_per_s + fixed_s * np.where(lines > 0, 0.2, 1.0)


SHELF_STEP_M = 0.6
"""Walk from a shelf to the next of its zone: shelves of 1.2 m on both sides of the aisle."""


def _events(
    units: np.ndarray, line_visit: np.ndarray, s: Shoppers, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shelf events of all lines: line, back, quantity, at_line, if_dropped.

    A line of several units takes several reaches; a browsed product (0 units) is picked and put back.
    Each pick of a kept line is followed by the put-back that happens only when it is dropped.
    """
    reaches = np.maximum(1, -(-units // s.units_per_reach))
    line = np.repeat(np.arange(len(units)), 2 * reaches)
    number = np.arange(len(line)) - np.repeat(2 * (np.cumsum(reaches) - reaches), 2 * reaches)
    back = number >= reaches[line]
    reach = np.where(back, number - reaches[line], number)
    quantity = np.minimum(s.units_per_reach, np.maximum(1, units[line]) - reach * s.units_per_reach)
    if_dropped = back & (units[line] > 0)
    at_line = line.copy()
    moved = np.flatnonzero(back & ~if_dropped)
    moved = moved[rng.uniform(size=len(moved)) < s.misplaced_share]
    if len(moved):
        # A misplaced unit is put down at a later shelf of the same visit; on the last one it goes where it was.
        end = np.searchsorted(line_visit, line_visit[line[moved]], side="right")
        later = line[moved] + 1 + (rng.uniform(size=len(moved)) * (end - line[moved] - 1)).astype(np.int64)
        at_line[moved] = np.minimum(later, end - 1)
        order = np.argsort(at_line, kind="stable")
        line, back, quantity, at_line, if_dropped = (
            column[order] for column in (line, back, quantity, at_line, if_dropped)
        )
    return line, back, quantity, at_line, if_dropped


def _browsed_per_line(s: Shoppers) -> float:
    """Browsed products before each kept line, for the wanted shelf events per kept unit."""
    lines, reaches = _lines_and_reaches_per_unit(s.items, s.units_per_reach)
    return max(0.0, 0.5 * (s.shelf_events_per_unit - reaches) / lines)


@lru_cache(maxsize=64)
def _lines_and_reaches_per_unit(items: Items, units_per_reach: int) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    _, _, quantity, _ = _baskets(draw_items(items, 20_000, rng), rng)
    return len(quantity) / quantity.sum(), float((-(-quantity // units_per_reach)).sum() / quantity.sum())


def price_level(scenario: Scenario) -> float:
    """What real prices are multiplied by, so that a unit costs `shoppers.price_usd` in the mean."""
    wanted = scenario.shoppers.price_usd
    return 1.0 if wanted is None else wanted / _unit_usd(scenario.shoppers.items)


@lru_cache(maxsize=64)
def _unit_usd(items: Items) -> float:
    rng = np.random.default_rng(0)
    _, _, quantity, price_usd = _baskets(draw_items(items, 20_000, rng), rng)
    return float((quantity * price_usd).sum() / quantity.sum())


@lru_cache(maxsize=8)
def _look_alikes(share: float) -> np.ndarray:
    """Whether each product has a look-alike on its shelf; the same products in every replication."""
    return np.random.default_rng(PLANOGRAM_SEED).uniform(size=len(journey().product_section)) < share


def draw_items(items: Items, size: int, rng: np.random.Generator) -> np.ndarray:
    """Units of each basket, int [size], at least one."""
    if items.distribution in ("supermarket", "convenience"):
        cumulative = np.cumsum(size_shares(items.distribution, items.mean))
        return np.searchsorted(cumulative[:-1], rng.uniform(size=size), side="right")
    if items.distribution == "poisson":
        # Inverse of the distribution cut off at zero: draw above the mass at zero.
        from scipy.stats import poisson

        rate = _truncated_rate(items.mean)
        return np.asarray(poisson.ppf(rng.uniform(np.exp(-rate), 1.0, size), rate), dtype=int)
    if items.distribution == "binomial":
        more = BINOMIAL_MOST - 1
        return np.asarray(1 + rng.binomial(more, (items.mean - 1) / more, size))
    assert items.median is not None
    sigma = lognormal_sigma(items.mean, items.median)
    return np.maximum(1, np.ceil(items.median * np.exp(sigma * rng.standard_normal(size)))).astype(int)


@lru_cache(maxsize=64)
def _truncated_rate(mean: float) -> float:
    """Rate of a Poisson distribution whose mean, cut off at zero, is `mean`."""
    from scipy.optimize import brentq

    return float(brentq(lambda rate: rate / -np.expm1(-rate) - mean, 1e-6, mean + 1))


@lru_cache(maxsize=64)
def lognormal_sigma(mean: float, median: float) -> float:
    """Spread for which a lognormal of this median, rounded up, has this mean.

    Raises:
        ValueError: no spread up to 3 gives it.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    logarithm = np.log(np.arange(1, 20_000) / median)

    def excess(sigma: float) -> float:
        # E[ceil X] = sum over k >= 0 of P(X > k); P(X > 0) = 1.
        return float(1 + ndtr(-logarithm / sigma).sum()) - mean

    # Rounding makes the mean fall before it rises with the spread; the widest solution is the basket's.
    spreads = np.linspace(0.05, 3.0, 60).tolist()
    too_small = [index for index, sigma in enumerate(spreads[:-1]) if excess(sigma) < 0]
    if not too_small or excess(spreads[-1]) < 0:
        raise ValueError(f"no lognormal basket in whole units has mean {mean:g} and median {median:g}")
    low = too_small[-1]
    return float(brentq(excess, spreads[low], spreads[low + 1], xtol=1e-6))
