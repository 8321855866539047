"""From evidence to shelf events: the stories' contents and the shoppers' posterior, put together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from checkout.catalog import Catalog, Planogram
from checkout.events import ShelfEvent, ShelfMoment, WeightStep
from checkout.fusion.evidence import Change, Nearness, Part, Sensed
from checkout.fusion.settings import UNKNOWN_SHOPPER, FusionSettings
from checkout.fusion.shoppers import Tie, one_pair_of_hands, posterior, same_unit
from checkout.fusion.stories import Choice, EventId, Story, StorySearch

RANKED_AT_MOST = 8
SEEN_THERE = 0.3
"""Assumed: a moment is at a facing from this probability on, when asking how long the hand stayed."""
BESIDE_STEP_S = 0.3
"""Assumed: a hand that did it was there this long before and after its step."""
Contents = tuple[tuple[str, str, int], ...]


class Ranked(NamedTuple):
    """One explanation of a change and its probability; no parts means that nothing was taken or returned."""

    parts: tuple[Part, ...]
    probability: float


@dataclass(frozen=True)
class Explanation:
    """All that was considered for one change, most probable first, and the events it became.

    Attributes:
        steps: the weight steps of the change; none without plates.
        hypotheses: their probabilities sum to one, but for what is too unlikely to be listed.
    """

    steps: tuple[WeightStep, ...]
    moments: tuple[ShelfMoment, ...]
    hypotheses: tuple[Ranked, ...]
    events: tuple[ShelfEvent, ...]

    @property
    def t_s(self) -> float:
        return self.steps[0].t_s if self.steps else self.moments[0].t_s


@dataclass
class _Found:
    """What the stories say of one change: the weight of each content, and the likeliest choice with it."""

    by_contents: dict[Contents, float] = field(default_factory=lambda: defaultdict(float))
    by_parts: dict[tuple[Part, ...], float] = field(default_factory=lambda: defaultdict(float))
    best: dict[Contents, Choice] = field(default_factory=dict)
    came_from: dict[tuple[Contents, int, EventId], float] = field(default_factory=lambda: defaultdict(float))
    explained: float = 0.0


class Fusion:
    """Turns evidence into shelf events.

    Args:
        shoppers: everybody who may have caused an event.
        nearness: who was where; None when no sensor says.
        staff: those of them who restock.
        people: how many people shop on each account; one where it does not say.
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
        people: Mapping[str, int] | None = None,
    ) -> None:
        self._settings = settings or FusionSettings()
        self._shoppers = tuple(dict.fromkeys(shoppers)) or (UNKNOWN_SHOPPER,)
        self._staff = np.array([who in staff for who in self._shoppers])
        self._alone = np.array([(people or {}).get(who, 1) == 1 for who in self._shoppers])
        self._nearness = nearness
        self._planogram = planogram
        self._sensed = Sensed(catalog, planogram, self._settings)
        self._hands: dict[tuple[str, float, float], np.ndarray] = {}

    def explain(
        self, steps: Sequence[WeightStep], moments: Sequence[ShelfMoment], alone: Sequence[ShelfMoment] = ()
    ) -> tuple[Explanation, ...]:
        """The joint explanation of all evidence, change by change in time order.

        Args:
            moments: of cameras, wherever they looked.
            alone: those of them at places that no plate watched; they become events by themselves.
        """
        evidence: list[WeightStep | ShelfMoment] = sorted([*steps, *alone], key=lambda e: e.t_s)
        search = StorySearch(self._sensed, self._hands_at, self._staff, self._settings)
        stories = search.run(evidence, moments)
        found, deferred = _marginals(stories, len(evidence))
        chosen: list[tuple[int, Choice, Contents, float, float]] = []
        for number, told in found.items():
            if deferred.get(number, 0.0) > 0.5:
                continue
            if (best := self._decided(told)) is not None:
                chosen.append((number, *best))
        events = self._events(chosen, found)
        return tuple(
            self._explanation(told, events.get(number, ()))
            for number, told in sorted(found.items())
            if deferred.get(number, 0.0) <= 0.5
        )

    def _decided(self, told: _Found) -> tuple[Choice, Contents, float, float] | None:
        """The likeliest contents of a change with item and action confidence; None when nothing happened."""
        actions: dict[str, float] = defaultdict(float)
        for contents, weight in told.by_contents.items():
            if contents:
                actions[contents[0][0]] += weight
        if not actions:
            return None
        action = max(actions, key=actions.__getitem__)
        if actions[action] < self._settings.least_sure * told.explained:
            return None
        same = {c: w for c, w in told.by_contents.items() if c and c[0][0] == action}
        contents = max(same, key=same.__getitem__)
        return (
            told.best[contents],
            contents,
            same[contents] / actions[action],
            actions[action] / told.explained,
        )

    def _events(
        self, chosen: Sequence[tuple[int, Choice, Contents, float, float]], found: Mapping[int, _Found]
    ) -> dict[int, tuple[ShelfEvent, ...]]:
        """Shelf events of each change, with the shopper's posterior over all of them together."""
        rows: list[tuple[int, Part, Choice, float, float]] = []
        of_event: dict[EventId, int] = {}
        for number, choice, _, item, action in chosen:
            for index, part in enumerate(choice.parts):
                of_event[number, index] = len(rows)
                rows.append((number, part, choice, item, action))
        if not rows:
            return {}
        likelihood = np.stack([self._hands_at(part.facing, choice.change) for _, part, choice, _, _ in rows])
        ties: list[Tie] = []
        count = len(self._shoppers)
        for number, choice, contents, _, _ in chosen:
            told = found[number]
            for index, part in enumerate(choice.parts):
                if part.action == "pick":
                    continue
                row, known = of_event[number, index], 0.0
                for (other, i, source), weight in told.came_from.items():
                    if other != contents or i != index or source not in of_event:
                        continue
                    share = weight / told.by_contents[contents]
                    known += share
                    factor = same_unit(count, min(1.0, share), self._settings.hand_over)
                    ties.append(Tie(of_event[source], row, factor))
                if self._staff.any():
                    stranger = np.where(self._staff, 1.0, self._settings.not_in_cart)
                    likelihood[row] *= min(1.0, known) + max(0.0, 1 - known) * stranger
        if self._settings.joint:
            hands = one_pair_of_hands(self._alone, self._settings.one_hand)
            for i, (n, _, first, _, _) in enumerate(rows):
                for j in range(i + 1, len(rows)):
                    if rows[j][0] == n:
                        continue
                    if abs(rows[j][2].change.t_s - first.change.t_s) > self._settings.one_hand_s:
                        break
                    ties.append(Tie(i, j, hands))
        who = posterior(likelihood, ties)
        made: dict[int, list[ShelfEvent]] = defaultdict(list)
        for (number, part, choice, item, action), probability in zip(rows, who, strict=True):
            made[number] += self._event(part, choice.change, item, action, probability)
        return {number: tuple(events) for number, events in made.items()}

    def _event(
        self, part: Part, change: Change, item: float, action: float, who: np.ndarray
    ) -> list[ShelfEvent]:
        """The event of a part; one for each step where several steps took as many units."""
        named = int(who.argmax())
        candidates = dict(zip(self._shoppers, who.tolist(), strict=True))
        sure = 0.0 if self._shoppers[named] == UNKNOWN_SHOPPER else float(who[named])
        apart = part.quantity > 1 and part.quantity == len(change.steps)
        found = []
        for steps in [(step,) for step in change.steps] if apart else [change.steps]:
            at, start, end = self._span(steps, part.facing, change.moments)
            found.append(
                ShelfEvent(
                    t_s=at,
                    action=part.action,
                    product=part.product,
                    quantity=1 if apart else part.quantity,
                    shopper=self._shoppers[named],
                    facing=part.facing,
                    t_start_s=start,
                    t_end_s=end,
                    item_confidence=item,
                    action_confidence=action,
                    shopper_confidence=sure,
                    candidates=candidates,
                )
            )
        return found

    def _span(
        self, steps: Sequence[WeightStep], facing: str, moments: Sequence[ShelfMoment]
    ) -> tuple[float, float, float]:
        """When an event was, and while the hand was at the facing: as a camera saw it, else around the step.

        An event is in the middle of the hand's stay. A weight step tells that better than a camera, unless the hand
        was seen to linger.
        """
        if not steps:
            start, end = min(m.t_start_s for m in moments), max(m.t_end_s for m in moments)
            return 0.5 * (start + end), start, end
        main = max(steps, key=lambda step: abs(step.grams))
        seen = [
            m for m in moments if m.facing.get(facing, 0.0) > SEEN_THERE and m.action.get("touch", 0.0) < 0.5
        ]
        if not seen:
            around = self._settings.hand_around_s
            return main.t_s, max(0.0, main.t_start_s - around), main.t_end_s + around
        nearest = min(seen, key=lambda m: abs(m.t_s - main.t_s))
        start, end = min(nearest.t_start_s, main.t_start_s), max(nearest.t_end_s, main.t_end_s)
        lingers = nearest.t_end_s - nearest.t_start_s > self._settings.lingering_s
        return (0.5 * (start + end) if lingers else main.t_s), start, end

    def _explanation(self, told: _Found, events: tuple[ShelfEvent, ...]) -> Explanation:
        change = max(told.best.values(), key=lambda c: told.by_contents[_contents(c)]).change
        ranked = sorted(told.by_parts.items(), key=lambda row: -row[1])
        hypotheses = tuple(Ranked(parts, weight / told.explained) for parts, weight in ranked)
        return Explanation(change.steps, change.moments, hypotheses[:RANKED_AT_MOST], events)

    def _hands_at(self, facing: str, change: Change) -> np.ndarray:
        """Probability of each shopper from where their hands were, [n]."""
        if change.steps:
            key = (facing, change.steps[0].t_start_s, change.steps[-1].t_end_s)
        else:
            key = ("", change.moments[0].t_start_s, change.moments[0].t_end_s)
        if key not in self._hands:
            weight = self._hand_weights(facing, change)
            self._hands[key] = weight / weight.sum()
        return self._hands[key]

    def _hand_weights(self, facing: str, change: Change) -> np.ndarray:
        if not change.steps:
            seen = change.moments[0].shopper
            return np.array([max(seen.get(who, 0.0), 1e-3) for who in self._shoppers])
        if self._nearness is None:
            return np.ones(len(self._shoppers))
        start, end = change.steps[0].t_start_s, change.steps[-1].t_end_s
        close = self._nearness.closeness(facing, start - BESIDE_STEP_S, end + BESIDE_STEP_S)
        return np.array([self._settings.elsewhere + close.get(who, 0.0) for who in self._shoppers])


def _contents(choice: Choice) -> Contents:
    return tuple((part.action, part.product, part.quantity) for part in choice.parts)


def _marginals(stories: Sequence[Story], count: int) -> tuple[dict[int, _Found], dict[int, float]]:
    """For each piece of evidence, what all stories together say; and how likely it is only a part of a later one."""
    found: dict[int, _Found] = defaultdict(_Found)
    deferred: dict[int, float] = {}
    best: dict[tuple[int, Contents], float] = {}
    for story in stories:
        weight = math.exp(story.log_weight)
        for choice in story.choices():
            told, contents = found[choice.number], _contents(choice)
            told.explained += weight
            told.by_contents[contents] += weight
            told.by_parts[choice.parts] += weight
            if weight > best.get((choice.number, contents), 0.0):
                best[choice.number, contents] = weight
                told.best[contents] = choice
            for index, source in enumerate(choice.came_from):
                if source is not None:
                    told.came_from[contents, index, source] += weight
    for number in range(count):
        deferred[number] = 1.0 - found[number].explained if number in found else 1.0
    return {number: told for number, told in found.items() if told.explained > 0}, deferred
