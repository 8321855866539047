"""How likely one piece of evidence is under each explanation of it, before it is known what carts hold."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np

from checkout.catalog import Catalog, Planogram, shelf_of
from checkout.events import Action, ShelfMoment, WeightStep
from checkout.fusion.settings import FusionSettings

NEGLIGIBLE = 12.0
"""Explanations this much worse than the best, in log likelihood, are not looked at."""
FACINGS_AT_MOST = 4
"""Assumed: a step is explained at the facings that changed most, at most so many."""


class Nearness(Protocol):
    """Who was near a place: tracked positions, or the hands that cameras saw."""

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> Mapping[str, float]:
        """How well each shopper's hand was at a facing between two times: a likelihood, 0 to 1."""


class Part(NamedTuple):
    """One pick or put-back within an explanation."""

    action: Action
    product: str
    quantity: int
    facing: str


class Candidate(NamedTuple):
    """An explanation and its log weight; for one that takes or returns units that are not followed."""

    parts: tuple[Part, ...]
    log_weight: float


@dataclass(frozen=True)
class Change:
    """What happened at one time on one shelf: a weight step, several that are one, or a moment before a camera.

    Attributes:
        steps: the weight steps, in time order; none for a moment without plates.
        moments: what cameras saw just then.
        grams: change of each facing's plates.
        place, action: log likelihood of each facing and of "pick" and "put_back".
        variance: of the sum of grams, without the products' own spread.
        known: explanations by units that nobody followed, and by nothing.
    """

    steps: tuple[WeightStep, ...]
    moments: tuple[ShelfMoment, ...]
    grams: Mapping[str, float]
    total_g: float
    variance: float
    place: Mapping[str, float]
    action: Mapping[Action, float]
    known: tuple[Candidate, ...]

    @property
    def t_s(self) -> float:
        """When it happened: at the largest step, else in the middle of the hand's stay."""
        if self.steps:
            return max(self.steps, key=lambda s: abs(s.grams)).t_s
        return 0.5 * (min(m.t_start_s for m in self.moments) + max(m.t_end_s for m in self.moments))


class Sensed:
    """Reads evidence against the catalogue and the planogram."""

    def __init__(self, catalog: Catalog, planogram: Planogram, settings: FusionSettings) -> None:
        self.catalog, self.planogram, self.settings = catalog, planogram, settings
        self.products = tuple(catalog)
        self.weight_g = np.array([catalog[p].weight_g for p in self.products])
        self.spread_g = np.array([catalog[p].weight_sd_g for p in self.products])
        self._index = {p: i for i, p in enumerate(self.products)}
        self._on_shelf: dict[str, tuple[str, ...]] = {}

    def step(
        self,
        steps: Sequence[WeightStep],
        moments: Sequence[ShelfMoment],
        shift_g: float = 0.0,
        extra: float = 0.0,
    ) -> Change:
        """One weight step, or several that are one.

        Args:
            shift_g, extra: what the step before says of this one's error, and how surely (a variance).
        """
        s = self.settings
        near = self._moments_near(steps, moments)
        grams = self._facing_grams(steps)
        total = sum(step.grams for step in steps) + shift_g
        variance = (
            sum(step.grams_sd**2 for step in steps) + s.step_floor_g**2 + (s.gain_error * total) ** 2 + extra
        )
        place = self._place(total, grams)
        facings, action = self._sight(near, steps[0].shelf)
        place = {f: value + math.log(facings.get(f, 1.0)) for f, value in place.items()}
        did: Action = "pick" if total < 0 else "put_back"
        log_action = {did: math.log(action[did])}
        known = [*self._singles(total, variance, place, did), *self._pairs(total, variance, grams)]
        known = [Candidate(c.parts, c.log_weight + log_action[did]) for c in known]
        known.append(Candidate((), self._nothing(total, grams, near)))
        top = max(c.log_weight for c in known)
        known = sorted((c for c in known if c.log_weight > top - NEGLIGIBLE), key=lambda c: -c.log_weight)
        return Change(
            tuple(steps), tuple(near), grams, total, variance, place, log_action, tuple(known[: s.candidates])
        )

    def moment(self, moment: ShelfMoment) -> Change:
        """A hand at a shelf where no plate says what it did."""
        place = {f: math.log(max(p, 1e-6)) for f, p in moment.facing.items() if p > 1e-3}
        share = self.settings.put_back_share
        # A unit from a cart goes to one of few places, a hand that takes to any: this is per facing.
        odds = len(self.planogram) * share / (1 - share)
        action: dict[Action, float] = {
            "pick": math.log(max(moment.action.get("pick", 0.0), 1e-6)),
            "put_back": math.log(max(moment.action.get("put_back", 0.0), 1e-6) * odds),
        }
        known = [Candidate((), math.log(max(moment.action.get("touch", 0.0), 1e-6)))]
        for facing, log_place in place.items():
            for product, look in self._looks(moment, facing).items():
                for did, log_did in action.items():
                    prior = 1.0 if did == "pick" else self._from_nowhere(facing, product)
                    known.append(
                        Candidate(
                            (Part(did, product, moment.quantity, facing),),
                            log_place + log_did + math.log(prior) + look,
                        )
                    )
        known.sort(key=lambda c: -c.log_weight)
        return Change(
            (), (moment,), {}, 0.0, math.inf, place, action, tuple(known[: 2 * self.settings.candidates])
        )

    def unit_log_weight(
        self, change: Change, facing: str, action: Action, mean_g: float, variance: float
    ) -> float:
        """Log likelihood that the change is one unit, whose weight is believed to be this, at a facing."""
        if not change.steps:
            return change.place[facing] + change.action[action]
        residual = abs(change.total_g) - mean_g
        fit = float(self.fit(np.array(residual), np.array(change.variance + variance), change.total_g))
        return fit + change.place[facing] + change.action[action] + math.log(self.settings.quantity[0])

    def weigh_unit(self, change: Change, product: str, quantity: int) -> tuple[float, float]:
        """Mean and variance of the weight of each of the units that were taken in a change."""
        index = self._index[product]
        mean, spread = float(self.weight_g[index]), float(self.spread_g[index]) ** 2
        if not change.steps:
            return mean, spread
        gain = spread / (quantity * spread + change.variance)
        return mean + gain * (abs(change.total_g) - quantity * mean), spread * (1 - gain)

    def fit(self, residual: np.ndarray, variance: np.ndarray, total_g: float) -> np.ndarray:
        """Log likelihood of residual grams: Gaussian, and now and then a plate whose gain is off."""
        s = self.settings
        loose = variance + (s.gain_fault_share * total_g) ** 2
        return np.logaddexp(
            math.log(1 - s.gain_fault) + _log_normal(residual, variance),
            math.log(s.gain_fault) + _log_normal(residual, loose),
        )

    def twins(self, facing: str, product: str) -> bool:
        """Whether what stands at a facing weighs the same as a product, and is another."""
        own = self.planogram[facing].product
        apart = abs(self.catalog[own].weight_g - self.catalog[product].weight_g)
        return own != product and apart <= self.settings.same_weight_g

    def _from_nowhere(self, facing: str, product: str) -> float:
        """Weight of a put-back of something that nobody was seen to take."""
        s = self.settings
        own = self.planogram[facing].product == product
        return s.not_in_cart * ((1 - s.put_back_elsewhere) * own + s.put_back_elsewhere / len(self.products))

    def _looks(self, moment: ShelfMoment, facing: str) -> dict[str, float]:
        """Products that a moment at a facing may be about, with the log likelihood of how they looked."""
        own = self.planogram[facing].product
        if not moment.product:
            return {own: 0.0}
        stray = self.settings.misplaced
        names = {own, *(p for p, share in moment.product.items() if share > 0.01)}
        return {
            name: math.log(max(moment.product.get(name, 0.0), 1e-3) * (1.0 if name == own else stray))
            for name in names
        }

    def _moments_near(self, steps: Sequence[WeightStep], moments: Sequence[ShelfMoment]) -> list[ShelfMoment]:
        reach, shelf = self.settings.moment_reach_s, steps[0].shelf
        return [
            m
            for m in moments
            if any(m.t_start_s - reach <= step.t_s <= m.t_end_s + reach for step in steps)
            and sum(p for f, p in m.facing.items() if shelf_of(f) == shelf) > 0.1
        ]

    def _sight(self, moments: Sequence[ShelfMoment], shelf: str) -> tuple[dict[str, float], dict[str, float]]:
        """Likelihood of the cameras' moments for each facing and each action, one being neutral."""
        if not moments:
            return {}, {"pick": 1.0, "put_back": 1.0}
        if shelf not in self._on_shelf:
            self._on_shelf[shelf] = tuple(f.facing for f in self.planogram.on_shelf(shelf))
        facings, trust = self._on_shelf[shelf], self.settings.sight_trust
        place = dict.fromkeys(facings, 1.0)
        action = {"pick": 1.0, "put_back": 1.0}
        for moment in moments:
            on_shelf = sum(moment.facing.get(f, 0.0) for f in facings)
            for f in facings:
                share = moment.facing.get(f, 0.0) / on_shelf * len(facings)
                place[f] *= (1 - trust + trust * share) ** (1 / len(moments))
            for did in action:
                share = 3 * moment.action.get(did, 1 / 3)
                action[did] *= (1 - trust + trust * share) ** (1 / len(moments))
        return place, action

    def _facing_grams(self, steps: Sequence[WeightStep]) -> dict[str, float]:
        """Grams that changed on each facing's plates; a plate under several facings is shared equally."""
        grams: dict[str, float] = defaultdict(float)
        for step in steps:
            for plate, change in step.plate_grams.items():
                facings = self.planogram.on_plate(plate)
                for facing in facings:
                    grams[facing.facing] += change / len(facings)
        if len(grams) > FACINGS_AT_MOST:
            kept = sorted(grams, key=lambda f: -abs(grams[f]))[:FACINGS_AT_MOST]
            return {f: grams[f] for f in grams if f in kept}
        return dict(grams)

    def _leak(self, total_g: float) -> float:
        return self.settings.leak_share * abs(total_g) + self.settings.leak_floor_g

    def _place(self, total_g: float, grams: Mapping[str, float]) -> dict[str, float]:
        """Log likelihood that the change was made at each facing: the others' plates stay as they were."""
        leak, across = self._leak(total_g), self.settings.across_facings
        reach = abs(total_g) + leak
        still = {
            f: math.log((1 - across) * math.exp(_log_normal_1(g, leak)) + across / (2 * reach))
            for f, g in grams.items()
        }
        everywhere = sum(still.values())
        return {f: everywhere - still[f] - math.log(len(grams)) for f in grams}

    def _singles(
        self, total_g: float, variance: float, place: Mapping[str, float], action: Action
    ) -> list[Candidate]:
        """One product in some quantity, at each facing whose plates changed, from stock or from nowhere."""
        s, n = self.settings, len(self.products)
        quantities = np.arange(1, len(s.quantity) + 1)
        fit = np.stack(
            [
                self.fit(abs(total_g) - q * self.weight_g, variance + q * self.spread_g**2, total_g)
                + math.log(s.quantity[q - 1])
                for q in quantities
            ]
        )
        found = []
        for facing, log_place in place.items():
            own = np.array([p == self.planogram[facing].product for p in self.products], float)
            if action == "pick":
                prior = (1 - s.misplaced) * own + s.misplaced / n
            else:
                prior = s.not_in_cart * ((1 - s.put_back_elsewhere) * own + s.put_back_elsewhere / n)
            log_w = fit + np.log(prior) + log_place
            for row, column in np.argwhere(log_w > log_w.max() - NEGLIGIBLE).tolist():
                part = Part(action, self.products[column], row + 1, facing)
                found.append(Candidate((part,), float(log_w[row, column])))
        return found

    def _pairs(self, total_g: float, variance: float, grams: Mapping[str, float]) -> list[Candidate]:
        """One unit or two from each of two neighbouring facings within one step."""
        s, leak = self.settings, self._leak(total_g)
        action: Action = "pick" if total_g < 0 else "put_back"
        nowhere = 0.0 if action == "pick" else 2 * math.log(s.not_in_cart)
        found = []
        for first, second in combinations(grams, 2):
            names = [self.planogram[f].product for f in (first, second)]
            if names[0] == names[1]:
                continue
            others = sum(_log_normal_1(g, leak) for f, g in grams.items() if f not in (first, second))
            a, b = (self.catalog[name] for name in names)
            for q1 in (1, 2):
                for q2 in (1, 2):
                    spread = q1 * a.weight_sd_g**2 + q2 * b.weight_sd_g**2
                    sd = math.sqrt(variance + spread)
                    log_w = _log_normal_1(abs(total_g) - q1 * a.weight_g - q2 * b.weight_g, sd)
                    log_w += _log_normal_1(abs(grams[first]) - q1 * a.weight_g, leak) + others + nowhere
                    log_w += math.log(s.two_products * s.quantity[q1 - 1] * s.quantity[q2 - 1] / len(grams))
                    parts = (Part(action, names[0], q1, first), Part(action, names[1], q2, second))
                    found.append(Candidate(parts, log_w))
        return found

    def _nothing(self, total_g: float, grams: Mapping[str, float], moments: Sequence[ShelfMoment]) -> float:
        """A lean, a knock, a drift that lasted."""
        s = self.settings
        log_w = math.log(s.nothing / (2 * s.nothing_scale_g)) - abs(total_g) / s.nothing_scale_g
        log_w += sum(math.log(max(m.action.get("touch", 1 / 3), 0.05)) for m in moments)
        return log_w + sum(_log_normal_1(0.0, self._leak(total_g)) for _ in range(max(0, len(grams) - 1)))


def _log_normal(x: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.asarray(-0.5 * x * x / variance - 0.5 * np.log(2 * math.pi * variance))


def _log_normal_1(x: float, sd: float) -> float:
    return -0.5 * (x / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))


def distinct(moments: Sequence[ShelfMoment], within_s: float, others_within_s: float) -> list[ShelfMoment]:
    """One moment for each act: of moments that most likely are at one facing within a time, the surest stands.

    One hand seen as two, or seen to reach twice, finds the facing changed each time; so does who reaches beside it. The
    second time is for those of different shoppers.
    """
    kept: list[ShelfMoment] = []
    for moment in sorted(moments, key=lambda m: (m.action.get("touch", 0.0), m.t_s)):
        facing = _likeliest(moment.facing)
        if not any(
            abs(moment.t_s - other.t_s) < (within_s if _one_shopper(moment, other) else others_within_s)
            for other in kept
            if _likeliest(other.facing) == facing
        ):
            kept.append(moment)
    return kept


def _one_shopper(a: ShelfMoment, b: ShelfMoment) -> bool:
    """Whether two moments more likely are of one shopper; where nobody is known, they may well be."""
    if not a.shopper or not b.shopper:
        return True
    return sum(p * b.shopper.get(who, 0.0) for who, p in a.shopper.items()) > 0.5


def _likeliest(share: Mapping[str, float]) -> str:
    return max(share, key=share.__getitem__, default="")
