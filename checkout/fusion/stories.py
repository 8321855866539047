"""Joint explanations of all evidence so far: what happened at every change, and where each unit is now.

A *story* is one explanation of everything: for each change, which units were taken from or put where.
Stories are followed side by side (multiple hypothesis tracking; Reid 1979, doi:10.1109/TAC.1979.1102177):
every change splits each story by its explanations, the likeliest `FusionSettings.stories` stay. So late
evidence revises what came before, and the work for each change is bounded.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.events import ShelfMoment, WeightStep
from checkout.fusion.evidence import Change, Part, Sensed
from checkout.fusion.settings import FusionSettings

MERGED_AT_MOST = 3
LONGEST_STEP_S = 4.0
"""Assumed: a step that is later than another by more than this does not belong to it, however long either took."""
FRAGMENT_SCALE_G = 50.0
"""Assumed: a part of a step may be of any size up to this, or up to its own where that is more."""

EventId = tuple[int, int]
"""Number of the evidence and of the part of its explanation."""
Hands = Callable[[str, Change], np.ndarray]
"""Probability of each shopper [n] of having had a hand at a facing at a change."""


class Unit(NamedTuple):
    """One unit that was taken: what it is, what it weighs, who may hold it or where it was left.

    Attributes:
        facing: where it stands now; empty in a cart.
        taken_at, taken_s: from which facing it was taken last, and when.
        who: probability of each shopper of holding it, or of having put it there.
        event: the last event that it took part in.
    """

    product: str
    mean_g: float
    variance: float
    facing: str
    taken_at: str
    taken_s: float
    who: np.ndarray
    event: EventId


class Choice(NamedTuple):
    """What one change was in one story.

    Attributes:
        number: of the evidence; `merged` are those that this change is made of.
        came_from: for each part, the event in which the unit was taken, where the story knows it.
    """

    number: int
    merged: tuple[int, ...]
    change: Change
    parts: tuple[Part, ...]
    came_from: tuple[EventId | None, ...]
    before: Choice | None


@dataclass(frozen=True)
class Story:
    """One joint explanation.

    Attributes:
        units: those in carts or at wrong facings.
        waiting: for evidence to come, what was left to be explained with it.
        error: for evidence to come, mean and variance of its error that the step before tells.
    """

    log_weight: float = 0.0
    units: tuple[Unit, ...] = ()
    last: Choice | None = None
    waiting: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    error: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    def choices(self) -> Iterator[Choice]:
        """From the last to the first."""
        choice = self.last
        while choice is not None:
            yield choice
            choice = choice.before


class _Option(NamedTuple):
    """One way for a story to go on."""

    parts: tuple[Part, ...]
    log_weight: float
    taken: tuple[Unit, ...] = ()


class _Branch(NamedTuple):
    """One way on from a story; without an option the change waits for the following one."""

    log_weight: float
    story: Story
    merged: tuple[int, ...]
    change: Change
    option: _Option | None
    following: int | None
    loose: float


class StorySearch:
    """Follows the likeliest stories through evidence in time order.

    Args:
        hands: who may have done something at a facing.
        staff: of each shopper, whether they restock, bool [n].
    """

    def __init__(self, sensed: Sensed, hands: Hands, staff: np.ndarray, settings: FusionSettings) -> None:
        self._sensed, self._hands, self._staff, self._settings = sensed, hands, staff, settings
        self._facings = max(1, len(sensed.planogram))
        homes: dict[str, int] = defaultdict(int)
        for facing in sensed.planogram.values():
            homes[facing.product] += 1
        self._homes = homes
        self._twins: dict[str, int] = {}

    def run(
        self, evidence: Sequence[WeightStep | ShelfMoment], moments: Sequence[ShelfMoment]
    ) -> list[Story]:
        """The likeliest stories, best first; their weights are normalised, as logarithms."""
        following = self._following(evidence)
        stories = [Story()]
        for number in range(len(evidence)):
            changes: dict[tuple[tuple[int, ...], float, float], Change] = {}
            branches = [
                branch
                for story in stories
                for branch in self._branches(story, number, evidence, moments, following.get(number), changes)
            ]
            stories = [self._grown(branch, number) for branch in self._likeliest(branches)]
        return stories

    def _following(self, evidence: Sequence[WeightStep | ShelfMoment]) -> dict[int, int]:
        """For each step the next one that may belong to it: adjacent plates, soon after."""
        if not self._settings.joint:
            return {}
        found = {}
        for i, first in enumerate(evidence):
            for j in range(i + 1, len(evidence)):
                second = evidence[j]
                if second.t_s - first.t_s > LONGEST_STEP_S:
                    break
                if (
                    isinstance(first, WeightStep)
                    and isinstance(second, WeightStep)
                    and _adjacent(first, second)
                    and _between_s(first, second) < self._settings.overlap_s
                ):
                    found[i] = j
                    break
        return found

    def _branches(
        self,
        story: Story,
        number: int,
        evidence: Sequence[WeightStep | ShelfMoment],
        moments: Sequence[ShelfMoment],
        following: int | None,
        changes: dict[tuple[tuple[int, ...], float, float], Change],
    ) -> Iterator[_Branch]:
        """Every way in which a story goes on with one more piece of evidence."""
        merged = (*story.waiting.get(number, ()), number)
        shift, variance = story.error.get(number, (0.0, 0.0))
        loose = 0.0
        if following is not None:
            loose = self._loose(evidence[number], evidence[following]) ** 2  # type: ignore[arg-type]
        key = (merged, round(shift, 1), round(variance + loose, 1))
        if key not in changes:
            piece = evidence[number]
            changes[key] = (
                self._sensed.moment(piece)
                if isinstance(piece, ShelfMoment)
                else self._sensed.step([evidence[i] for i in merged], moments, key[1], key[2])  # type: ignore[misc]
            )
        change = changes[key]
        for option in self._options(story, change):
            yield _Branch(
                story.log_weight + option.log_weight, story, merged, change, option, following, loose
            )
        if following is not None and len(merged) < MERGED_AT_MOST:
            step = evidence[number]
            assert isinstance(step, WeightStep)
            size = 2 * max(abs(step.grams), FRAGMENT_SCALE_G)
            log_w = math.log(self._settings.fragment) - max(1, len(change.grams)) * math.log(size)
            yield _Branch(story.log_weight + log_w, story, merged, change, None, following, loose)

    def _grown(self, branch: _Branch, number: int) -> Story:
        """The story that a branch makes."""
        story, option, following = branch.story, branch.option, branch.following
        waiting = {k: v for k, v in story.waiting.items() if k != number}
        error = {k: v for k, v in story.error.items() if k != number}
        if option is None:
            assert following is not None
            return Story(
                branch.log_weight, story.units, story.last, {**waiting, following: branch.merged}, error
            )
        if following is not None and option.parts and branch.loose:
            change = branch.change
            residual = change.total_g - sum(self._signed_g(part) for part in option.parts)
            share = branch.loose / change.variance
            error[following] = (share * residual, branch.loose * (1 - share))
        units, came_from = self._moved(story.units, option, branch.change, number)
        choice = Choice(number, branch.merged, branch.change, option.parts, came_from, story.last)
        return Story(branch.log_weight, units, choice, waiting, error)

    def _loose(self, first: WeightStep, second: WeightStep) -> float:
        """Error, grams, of the level between two steps; it lasts the less, the worse it can be read."""
        s = self._settings
        if not set(first.plate_grams) & set(second.plate_grams):
            return 0.0
        nearness = max(0.0, 1 - _between_s(first, second) / s.overlap_s)
        return s.overlap_share * 2 * nearness * min(abs(first.grams), abs(second.grams))

    def _options(self, story: Story, change: Change) -> list[_Option]:
        s = self._settings
        follow = s.follow_units
        strays: dict[str, list[Unit]] = defaultdict(list)
        held = []
        for unit in story.units:
            if not unit.facing:
                held.append(unit)
            elif follow:
                strays[unit.facing].append(unit)
        found = []
        for candidate in change.known:
            log_w = candidate.log_weight
            for part in candidate.parts:
                if part.action == "pick" and strays.get(part.facing):
                    log_w += math.log(1 - s.stray_front)
                elif part.action == "put_back" and self._staff.any():
                    staff = float(self._hands(part.facing, change)[self._staff].sum())
                    log_w += math.log(1 + staff * (1 / s.not_in_cart - 1))
            if candidate.parts and candidate.parts[0].action == "put_back":
                log_w -= math.log(self._facings)
            found.append(_Option(candidate.parts, log_w))
        if "pick" in change.action:
            for facing in change.place:
                for unit in strays.get(facing, ()):
                    log_w = self._sensed.unit_log_weight(change, facing, "pick", unit.mean_g, unit.variance)
                    log_w += math.log(s.stray_front / len(strays[facing]))
                    found.append(_Option((Part("pick", unit.product, 1, facing),), log_w, (unit,)))
        if "put_back" in change.action and held:
            found += self._put_backs(held, change)
        top = max(option.log_weight for option in found)
        return [option for option in found if option.log_weight > top + math.log(s.lowest)]

    def _put_backs(self, held: Sequence[Unit], change: Change) -> Iterator[_Option]:
        """Units from carts, one, or two and more of one product."""
        s = self._settings
        who = np.stack([unit.who for unit in held])
        load = np.maximum(1.0, who.sum(axis=0))
        for facing in change.place:
            hands = self._hands(facing, change)
            source = who @ (hands / load)
            swapping = self._swapping(held, facing, change) * hands
            for unit, share in zip(held, source.tolist(), strict=True):
                log_w = self._sensed.unit_log_weight(change, facing, "put_back", unit.mean_g, unit.variance)
                left = share * self._left_at(unit.product, facing)
                if self._sensed.twins(facing, unit.product):
                    left += s.swap * float(unit.who @ swapping)
                log_w += math.log(max(left, 1e-12))
                yield _Option((Part("put_back", unit.product, 1, facing),), log_w, (unit,))
            if not change.steps:
                continue
            for product in {unit.product for unit in held}:
                rows = sorted(
                    (i for i, unit in enumerate(held) if unit.product == product), key=lambda i: -source[i]
                )
                for quantity in range(2, min(len(rows), len(s.quantity)) + 1):
                    units = [held[i] for i in rows[:quantity]]
                    residual = abs(change.total_g) - sum(unit.mean_g for unit in units)
                    variance = change.variance + sum(unit.variance for unit in units)
                    log_w = float(self._sensed.fit(np.array(residual), np.array(variance), change.total_g))
                    log_w += (
                        change.place[facing] + change.action["put_back"] + math.log(s.quantity[quantity - 1])
                    )
                    log_w += math.log(max(source[rows[quantity - 1]], 1e-12) * self._left_at(product, facing))
                    yield _Option((Part("put_back", product, quantity, facing),), log_w, tuple(units))

    def _swapping(self, held: Sequence[Unit], facing: str, change: Change) -> np.ndarray:
        """How surely each shopper [n] has just taken what stands at a facing."""
        s, own = self._settings, self._sensed.planogram[facing].product
        just = [
            unit.who
            for unit in held
            if unit.taken_at == facing and unit.product == own and change.t_s - unit.taken_s < s.swap_s
        ]
        return np.maximum.reduce(just) if just else np.zeros(len(self._staff))

    def _left_at(self, product: str, facing: str) -> float:
        """Probability that who returns a product puts it down at this facing."""
        s = self._settings
        if self._sensed.planogram[facing].product == product:
            return (1 - s.put_back_elsewhere) / self._homes[product]
        if self._sensed.twins(facing, product):
            if product not in self._twins:
                self._twins[product] = sum(self._sensed.twins(f, product) for f in self._sensed.planogram)
            return s.put_back_elsewhere * s.twin_elsewhere / self._twins[product]
        return s.put_back_elsewhere * (1 - s.twin_elsewhere) / self._facings

    def _signed_g(self, part: Part) -> float:
        grams = part.quantity * self._sensed.catalog[part.product].weight_g
        return -grams if part.action == "pick" else grams

    def _moved(
        self, units: tuple[Unit, ...], option: _Option, change: Change, number: int
    ) -> tuple[tuple[Unit, ...], tuple[EventId | None, ...]]:
        """Where all units are after an option, and which event each part's units came from."""
        left = [unit for unit in units if not any(unit is taken for taken in option.taken)]
        came_from: list[EventId | None] = []
        for index, part in enumerate(option.parts):
            event = (number, index)
            source = option.taken[0] if option.taken else None
            came_from.append(source.event if source is not None and part.action == "put_back" else None)
            hands = self._hands(part.facing, change)
            if part.action == "pick":
                if source is None:
                    mean, variance = self._sensed.weigh_unit(change, part.product, part.quantity)
                    if len(option.parts) > 1 or not self._settings.follow_units:
                        product = self._sensed.catalog[part.product]
                        mean, variance = product.weight_g, product.weight_sd_g**2
                else:
                    mean, variance = _reweighed(source, change)
                taken = Unit(part.product, mean, variance, "", part.facing, change.t_s, hands, event)
                left += [taken] * part.quantity
            elif self._sensed.planogram[part.facing].product != part.product:
                if source is not None:
                    mean, variance = _reweighed(source, change)
                else:
                    mean, variance = self._sensed.weigh_unit(change, part.product, part.quantity)
                stray = Unit(part.product, mean, variance, part.facing, "", 0.0, hands, event)
                left += [stray] * part.quantity
        return tuple(left), tuple(came_from)

    def _likeliest(self, branches: list[_Branch]) -> list[_Branch]:
        """The branches that are followed, with normalised weights."""
        s = self._settings
        branches.sort(key=lambda branch: -branch.log_weight)
        top = branches[0].log_weight
        kept = branches[: s.stories if s.joint else 1]
        kept = [branch for branch in kept if branch.log_weight > top + math.log(s.lowest)]
        total = top + math.log(sum(math.exp(branch.log_weight - top) for branch in kept))
        return [branch._replace(log_weight=branch.log_weight - total) for branch in kept]


def _reweighed(unit: Unit, change: Change) -> tuple[float, float]:
    """What a unit is believed to weigh after it was on the scales once more."""
    if not change.steps:
        return unit.mean_g, unit.variance
    gain = unit.variance / (unit.variance + change.variance)
    return unit.mean_g + gain * (abs(change.total_g) - unit.mean_g), unit.variance * (1 - gain)


def _between_s(first: WeightStep, second: WeightStep) -> float:
    """For how long the load was held between two steps, seconds: the time in which it can be read."""
    return max(0.0, second.t_start_s - first.t_end_s)


def _adjacent(first: WeightStep, second: WeightStep) -> bool:
    """Whether two steps touch the same or neighbouring plates."""
    if first.shelf != second.shelf:
        return False
    a, b = ([int(plate.rsplit(".p", 1)[1]) for plate in step.plate_grams] for step in (first, second))
    return any(abs(i - j) <= 1 for i in a for j in b)
