"""Explains sensor evidence as shelf events: which product, how many, pick or put-back, which shopper.

The model. A weight step is one observation: the change of load on each facing's plates. Every
hypothesis says what would have caused it,

    (action, product, quantity, facing, shopper)   a pick or put-back of one product
    (two such picks or put-backs)                  two neighbouring facings in one step
    (nothing)                                      a lean, a knock, a drift that lasted

and its posterior is prior x likelihood, normalised over all of them:

* Load. The shelf's total changes by quantity x weight, Gaussian with the step's own standard
  error, the product's spread between units, and the plates' gain error. The other facings'
  plates change by nothing, Gaussian with a leak that grows with the step, because items lean on
  their neighbours; a small broad part covers items that stand across two facings.
* Place. A pick takes what the planogram says stands there, or what was misplaced there earlier,
  or, rarely, anything. A put-back returns something from a cart, mostly to its own facing.
* Shopper. Whoever had a hand near the facing at that time; for a put-back also whoever holds
  that product.
* Sight. A shelf moment that a camera saw at that time weighs the facing and the action.

Assumptions, all to be tested on recordings: steps are independent given the carts; a unit's
weight is Gaussian; the cameras' moments are tempered because two cameras see the same hand.
Without plates the moments alone become events. Without any sight of a shopper the posterior is
flat over everybody inside, and so the confidence is low.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, Protocol

import numpy as np

from checkout.catalog import Catalog, Planogram, shelf_of
from checkout.events import Action, ShelfEvent, ShelfMoment, WeightStep

UNKNOWN_SHOPPER = "unknown"


class Nearness(Protocol):
    """Who was near a place: tracked positions, or the hands that cameras saw."""

    def closeness(self, facing: str, t_start_s: float, t_end_s: float) -> Mapping[str, float]:
        """How well each shopper's hand was at a facing between two times: a likelihood, 0 to 1."""


@dataclass(frozen=True)
class FusionSettings:
    """Numbers of the model; all assumed unless they say otherwise.

    Attributes:
        gain_error: plates' gain error, share of the load.
        step_floor_g: error of a step beyond its own standard error.
        leak_share, leak_floor_g: standard deviation of what neighbours' plates take over.
        across_facings: probability that an item does not stand on its facing's plates alone.
        quantity: probability of 1, 2, 3 ... units in one grab.
        misplaced: probability that a pick takes something that the planogram does not put there.
        put_back_elsewhere: probability that a put-back goes to a wrong facing.
        two_products: probability that one step holds two products.
        nothing: probability that a step is no shelf event.
        nothing_scale_g: scale of such a step (Laplace).
        elsewhere: floor of the shopper likelihood: the hand was not seen, or somebody else's was.
        not_in_cart: relative weight of a put-back from a cart that is believed not to hold it.
        sight_trust: probability that a camera's moment belongs to the step that it coincides with.
        moment_reach_s: a moment and a step belong together when they are at most this far apart.
        hand_around_s: how long a hand that no camera saw is at the facing before and after its step (measured on the
            validation recordings: 0.51 and 0.49 s in the middle of 76 events).
    """

    gain_error: float = 0.004
    step_floor_g: float = 1.0
    leak_share: float = 0.05
    leak_floor_g: float = 5.0
    across_facings: float = 0.05
    quantity: tuple[float, ...] = (0.85, 0.11, 0.03, 0.01)
    misplaced: float = 0.01
    put_back_elsewhere: float = 0.1
    two_products: float = 0.02
    nothing: float = 0.05
    nothing_scale_g: float = 12.0
    elsewhere: float = 0.01
    not_in_cart: float = 0.02
    sight_trust: float = 0.8
    moment_reach_s: float = 0.8
    hand_around_s: float = 0.5


class Part(NamedTuple):
    """One pick or put-back within a hypothesis."""

    action: Action
    product: str
    quantity: int
    facing: str


class Hypothesis(NamedTuple):
    """One explanation of a weight step; no parts means that nothing was taken or returned."""

    parts: tuple[Part, ...]
    log_weight: float
    probability: float = 0.0


@dataclass(frozen=True)
class Explanation:
    """All that was considered for one piece of evidence, most probable first, and the events it became."""

    step: WeightStep | None
    moments: tuple[ShelfMoment, ...]
    hypotheses: tuple[Hypothesis, ...]
    events: tuple[ShelfEvent, ...]


class Fusion:
    """Turns evidence into shelf events in time order, remembering carts and misplaced items.

    Args:
        shoppers: everybody who may have caused an event.
        nearness: who was where; None when no sensor says.
        staff: those of them who restock.
    """

    def __init__(
        self,
        catalog: Catalog,
        planogram: Planogram,
        shoppers: Iterable[str],
        nearness: Nearness | None = None,
        settings: FusionSettings | None = None,
        *,
        staff: Collection[str] = (),
    ) -> None:
        self._staff = frozenset(staff)
        self._catalog, self._planogram, self._nearness = catalog, planogram, nearness
        self._settings = settings or FusionSettings()
        self._shoppers = tuple(dict.fromkeys(shoppers)) or (UNKNOWN_SHOPPER,)
        self._products = tuple(catalog)
        self._weight = np.array([catalog[p].weight_g for p in self._products])
        self._spread = np.array([catalog[p].weight_sd_g for p in self._products])
        self._cart: dict[str, dict[str, float]] = {s: defaultdict(float) for s in self._shoppers}
        self._misplaced: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def explain_step(self, step: WeightStep, moments: Sequence[ShelfMoment]) -> Explanation:
        """The posterior over what a weight step was, and the shelf events of its best explanation."""
        near = self._moments_near(step, moments)
        sight = self._sight(near, step.shelf)
        groups = self._facing_grams(step)
        shopper = self._shopper_likelihood(groups, step)
        hypotheses = [*self._single(step, groups, shopper, sight), *self._pairs(step, groups, sight)]
        s = self._settings
        nothing = math.log(s.nothing / (2 * s.nothing_scale_g)) - abs(step.grams) / s.nothing_scale_g
        nothing += sum(math.log(max(m.action.get("touch", 1 / 3), 0.05)) for m in near)
        nothing += sum(_log_normal(0.0, self._leak(step)) for _ in range(max(0, len(groups) - 1)))
        hypotheses.append(Hypothesis((), nothing))
        ranked = _normalised(hypotheses)
        events = self._events(step, ranked, shopper, near)
        self._remember_carts(events)
        for h in ranked:
            for part in h.parts:
                self._remember_stray(part, h.probability)
        return Explanation(step, tuple(near), ranked[:8], events)

    def explain_moments(self, moments: Sequence[ShelfMoment]) -> Explanation:
        """Events from what cameras saw of one hand at a shelf, without plates."""
        facing = _product_of_experts([m.facing for m in moments])
        action = _product_of_experts([m.action for m in moments])
        shopper = _product_of_experts([m.shopper for m in moments if m.shopper]) or self._flat()
        looks = _product_of_experts([m.product for m in moments if m.product])
        product: dict[str, float] = defaultdict(float)
        for name, probability in facing.items():
            product[self._planogram[name].product] += probability
        if looks:
            product = defaultdict(
                float, {p: product.get(p, 0.01) * looks.get(p, 1e-3) for p in {*product, *looks}}
            )
            total = sum(product.values())
            product = defaultdict(float, {p: v / total for p, v in product.items()})
        best_facing, best_product = max(facing, key=facing.__getitem__), max(product, key=product.__getitem__)
        best_action = max(("pick", "put_back"), key=lambda a: action.get(a, 0.0))
        best_shopper = max(shopper, key=shopper.__getitem__)
        events: tuple[ShelfEvent, ...] = ()
        if action.get("touch", 0.0) < action[best_action]:
            start, end = min(m.t_start_s for m in moments), max(m.t_end_s for m in moments)
            events = (
                ShelfEvent(
                    t_s=0.5 * (start + end),
                    action=best_action,  # type: ignore[arg-type]
                    product=best_product,
                    quantity=max(m.quantity for m in moments),
                    shopper=best_shopper,
                    facing=best_facing,
                    t_start_s=start,
                    t_end_s=end,
                    item_confidence=product[best_product],
                    action_confidence=action[best_action],
                    shopper_confidence=_sureness(best_shopper, shopper),
                    candidates=dict(shopper),
                ),
            )
        self._remember_carts(events)
        for event in events:
            part = Part(event.action, event.product, event.quantity, event.facing)
            self._remember_stray(part, event.item_confidence)
        return Explanation(None, tuple(moments), (), events)

    def _moments_near(self, step: WeightStep, moments: Sequence[ShelfMoment]) -> list[ShelfMoment]:
        reach = self._settings.moment_reach_s
        return [
            m
            for m in moments
            if m.t_start_s - reach <= step.t_s <= m.t_end_s + reach
            and sum(p for f, p in m.facing.items() if shelf_of(f) == step.shelf) > 0.1
        ]

    def _sight(self, moments: Sequence[ShelfMoment], shelf: str) -> dict[str, dict[str, float]]:
        """Likelihood of the cameras' moments for each facing and each action, one being neutral."""
        facings = [f.facing for f in self._planogram.on_shelf(shelf)]
        trust = self._settings.sight_trust
        factor = {"facing": dict.fromkeys(facings, 1.0), "action": {"pick": 1.0, "put_back": 1.0}}
        for moment in moments:
            on_shelf = sum(moment.facing.get(f, 0.0) for f in facings)
            for f in facings:
                share = moment.facing.get(f, 0.0) / on_shelf * len(facings)
                factor["facing"][f] *= (1 - trust + trust * share) ** (1 / len(moments))
            for action in ("pick", "put_back"):
                share = 3 * moment.action.get(action, 1 / 3)
                factor["action"][action] *= (1 - trust + trust * share) ** (1 / len(moments))
        return factor

    def _facing_grams(self, step: WeightStep) -> dict[str, float]:
        """Grams that changed on each facing's plates; a plate under several facings is shared equally."""
        grams: dict[str, float] = defaultdict(float)
        for plate, change in step.plate_grams.items():
            facings = self._planogram.on_plate(plate)
            for facing in facings:
                grams[facing.facing] += change / len(facings)
        return dict(grams)

    def _leak(self, step: WeightStep) -> float:
        return self._settings.leak_share * abs(step.grams) + self._settings.leak_floor_g

    def _place(
        self, step: WeightStep, groups: Mapping[str, float], sight: Mapping[str, float]
    ) -> dict[str, float]:
        """Log likelihood that the change was made at each facing: the others' plates stay as they were."""
        leak, across = self._leak(step), self._settings.across_facings
        reach = abs(step.grams) + leak
        place = {}
        for facing in groups:
            log_p = 0.0
            for other, grams in groups.items():
                if other != facing:
                    tight = (1 - across) * math.exp(_log_normal(grams, leak))
                    log_p += math.log(tight + across / (2 * reach))
            place[facing] = log_p + math.log(sight.get(facing, 1.0))
        return place

    def _single(
        self,
        step: WeightStep,
        groups: Mapping[str, float],
        shopper: Mapping[str, float],
        sight: Mapping[str, Mapping[str, float]],
    ) -> list[Hypothesis]:
        """One product in some quantity, at each facing whose plates changed."""
        s, action = self._settings, _action_of(step)
        found = []
        for facing, log_place in self._place(step, groups, sight["facing"]).items():
            prior = self._product_prior(facing, action, shopper)
            for quantity, share in enumerate(s.quantity, start=1):
                sd = np.sqrt(self._variance(step, quantity))
                z = (abs(step.grams) - quantity * self._weight) / sd
                log_w = -0.5 * z * z - np.log(sd * math.sqrt(2 * math.pi)) + np.log(prior) + math.log(share)
                log_w += log_place + math.log(sight["action"][action] / len(groups))
                for index in np.flatnonzero(log_w > log_w.max() - 12):
                    part = Part(action, self._products[index], quantity, facing)
                    found.append(Hypothesis((part,), float(log_w[index])))
        return found

    def _pairs(
        self, step: WeightStep, groups: Mapping[str, float], sight: Mapping[str, Mapping[str, float]]
    ) -> list[Hypothesis]:
        """One unit or two from each of two neighbouring facings within one step."""
        s, action, leak = self._settings, _action_of(step), self._leak(step)
        found = []
        for first, second in combinations(groups, 2):
            parts = [(f, self._planogram[f].product, groups[f]) for f in (first, second)]
            if parts[0][1] == parts[1][1]:
                continue
            others = sum(_log_normal(g, leak) for f, g in groups.items() if f not in (first, second))
            for q1 in (1, 2):
                for q2 in (1, 2):
                    expected = [
                        q * self._catalog[p].weight_g for q, (_, p, _) in zip((q1, q2), parts, strict=True)
                    ]
                    sd = math.sqrt(
                        sum(
                            q * self._catalog[p].weight_sd_g ** 2
                            for q, (_, p, _) in zip((q1, q2), parts, strict=True)
                        )
                        + step.grams_sd**2
                        + s.step_floor_g**2
                        + (s.gain_error * step.grams) ** 2
                    )
                    log_w = _log_normal(abs(step.grams) - sum(expected), sd)
                    log_w += _log_normal(abs(parts[0][2]) - expected[0], leak) + others
                    log_w += math.log(s.two_products * s.quantity[q1 - 1] * s.quantity[q2 - 1] / len(groups))
                    log_w += math.log(sight["action"][action])
                    found.append(
                        Hypothesis(
                            (Part(action, parts[0][1], q1, first), Part(action, parts[1][1], q2, second)),
                            log_w,
                        )
                    )
        return found

    def _variance(self, step: WeightStep, quantity: int) -> np.ndarray:
        s = self._settings
        fixed = step.grams_sd**2 + s.step_floor_g**2 + (s.gain_error * step.grams) ** 2
        return np.asarray(fixed + quantity * self._spread**2)

    def _product_prior(self, facing: str, action: Action, shopper: Mapping[str, float]) -> np.ndarray:
        """Probability of each catalogue product for an event at a facing, before its weight is known."""
        s, n = self._settings, len(self._products)
        own = np.array([p == self._planogram[facing].product for p in self._products], float)
        if action == "pick":
            strays = self._misplaced[facing]
            stray = np.array([strays.get(p, 0.0) for p in self._products])
            # A stray unit stands in front, so it is as likely to be taken as the facing's own product.
            prior = (1 - s.misplaced) * own + stray + s.misplaced / n
        else:
            held = sum(
                weight * np.array([self._holds(who, p) for p in self._products])
                for who, weight in shopper.items()
            )
            held = np.asarray(held) + s.not_in_cart
            elsewhere = held / held.sum()
            prior = ((1 - s.put_back_elsewhere) * own + s.put_back_elsewhere * elsewhere) * held
        return np.asarray(prior / prior.sum())

    def _flat(self) -> dict[str, float]:
        return {s: 1 / len(self._shoppers) for s in self._shoppers}

    def _shopper_likelihood(self, groups: Mapping[str, float], step: WeightStep) -> dict[str, float]:
        """Probability of each shopper from where their hands were, before the product is known."""
        if self._nearness is None or not groups:
            return self._flat()
        s = self._settings
        facing = max(groups, key=lambda f: abs(groups[f]))
        close = self._nearness.closeness(facing, step.t_start_s - 0.3, step.t_end_s + 0.3)
        weight = {who: s.elsewhere + close.get(who, 0.0) for who in self._shoppers}
        total = sum(weight.values())
        return {who: w / total for who, w in weight.items()}

    def _events(
        self,
        step: WeightStep,
        ranked: Sequence[Hypothesis],
        shopper: Mapping[str, float],
        moments: Sequence[ShelfMoment],
    ) -> tuple[ShelfEvent, ...]:
        happened = 1.0 - sum(h.probability for h in ranked if not h.parts)
        # What happened is decided in two steps, each by the sum over everything else: whether the
        # step was an event at all, then which products in which quantities.
        by_contents: dict[tuple[tuple[str, str, int], ...], float] = defaultdict(float)
        best: dict[tuple[tuple[str, str, int], ...], Hypothesis] = {}
        for h in ranked:
            if h.parts:
                key = tuple((p.action, p.product, p.quantity) for p in h.parts)
                by_contents[key] += h.probability
                best.setdefault(key, h)
        if happened < 0.5 or not by_contents:
            return ()
        chosen = max(by_contents, key=by_contents.__getitem__)
        item = by_contents[chosen] / happened
        events = []
        for part in best[chosen].parts:
            who = self._shopper_given(part, shopper)
            named = max(who, key=who.__getitem__)
            start, end = self._span(step, part.facing, moments)
            events.append(
                ShelfEvent(
                    t_s=step.t_s,
                    action=part.action,
                    product=part.product,
                    quantity=part.quantity,
                    shopper=named,
                    facing=part.facing,
                    t_start_s=start,
                    t_end_s=end,
                    item_confidence=item,
                    action_confidence=happened,
                    shopper_confidence=_sureness(named, who),
                    candidates=who,
                )
            )
        return tuple(events)

    def _span(self, step: WeightStep, facing: str, moments: Sequence[ShelfMoment]) -> tuple[float, float]:
        """While the hand was at the facing, seconds: as a camera saw it, else some time around the step."""
        seen = [m for m in moments if m.facing.get(facing, 0.0) > 0.3 and m.action.get("touch", 0.0) < 0.5]
        if not seen:
            around = self._settings.hand_around_s
            return max(0.0, step.t_start_s - around), step.t_end_s + around
        nearest = min(seen, key=lambda m: abs(m.t_s - step.t_s))
        return min(nearest.t_start_s, step.t_start_s), max(nearest.t_end_s, step.t_end_s)

    def _shopper_given(self, part: Part, shopper: Mapping[str, float]) -> dict[str, float]:
        """Posterior of the shopper once the product is known: a put-back comes from a cart that holds it."""
        if part.action == "pick":
            return dict(shopper)
        weight = {
            who: p * (self._holds(who, part.product) + self._settings.not_in_cart)
            for who, p in shopper.items()
        }
        total = sum(weight.values())
        return {who: w / total for who, w in weight.items()}

    def _holds(self, who: str, product: str) -> float:
        """How surely somebody has a unit of the product to put down; staff bring what they restock."""
        return 1.0 if who in self._staff else min(1.0, self._cart[who].get(product, 0.0))

    def _remember_carts(self, events: Iterable[ShelfEvent]) -> None:
        for event in events:
            sign = 1.0 if event.action == "pick" else -1.0
            for who, probability in event.candidates.items():
                held = self._cart[who][event.product] + sign * event.quantity * probability
                self._cart[who][event.product] = max(0.0, held)

    def _remember_stray(self, part: Part, probability: float) -> None:
        """Units of other products that may now stand at a facing, also by explanations that were not chosen."""
        if part.facing and self._planogram[part.facing].product != part.product:
            strays = self._misplaced[part.facing]
            change = (-1.0 if part.action == "pick" else 1.0) * part.quantity * probability
            strays[part.product] = max(0.0, strays[part.product] + change)


def _sureness(named: str, who: Mapping[str, float]) -> float:
    """Confidence that the named shopper did it; none at all when nobody is known by name."""
    return 0.0 if named == UNKNOWN_SHOPPER else who[named]


def _action_of(step: WeightStep) -> Action:
    return "pick" if step.grams < 0 else "put_back"


def _log_normal(x: float, sd: float) -> float:
    return -0.5 * (x / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))


def _normalised(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    top = max(h.log_weight for h in hypotheses)
    total = sum(math.exp(h.log_weight - top) for h in hypotheses)
    scored = (h._replace(probability=math.exp(h.log_weight - top) / total) for h in hypotheses)
    return tuple(sorted(scored, key=lambda h: -h.probability))


def _product_of_experts(views: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Several views of one thing as one probability: their geometric mean, normalised."""
    if not views:
        return {}
    names = {name for view in views for name in view}
    log_p = {n: sum(math.log(max(view.get(n, 0.0), 1e-3)) for view in views) / len(views) for n in names}
    top = max(log_p.values())
    total = sum(math.exp(v - top) for v in log_p.values())
    return {n: math.exp(v - top) / total for n, v in log_p.items()}
