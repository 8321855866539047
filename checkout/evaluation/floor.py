"""What was left on the floor against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checkout.events import LeftOnFloor
from checkout.recording import Act

WITHIN_S = 1.0
"""Assumed: an item was left between the times that were said, give or take this."""


@dataclass(frozen=True)
class LeftScore:
    """How much of what was left on the floor was found.

    Attributes:
        true: items left, by the truth.
        found: of those, found in time.
        shopper_right: of those, with the right shopper as the likeliest.
        false: said to be left, and matching nothing.
    """

    true: int = 0
    found: int = 0
    shopper_right: int = 0
    false: int = 0

    def measures(self) -> tuple[tuple[str, int], ...]:
        """In words, for a table."""
        return (
            ("left on the floor, in truth", self.true),
            ("of these found in time", self.found),
            ("and given to the right shopper", self.shopper_right),
            ("found where nothing was left", self.false),
        )


class LeftMetric:
    """Collects recordings, then scores all of them."""

    def __init__(self) -> None:
        self._score = LeftScore()

    def update(self, acts: Sequence[Act], left: Sequence[LeftOnFloor], accounts: Mapping[str, str]) -> None:
        """Add one recording; each item and each finding counts once, the narrowest times first.

        Args:
            accounts: the account of each person.
        """
        waiting = [act for act in acts if act.kind == "leave_on_floor"]
        true, found, right, false = len(waiting), 0, 0, 0
        for row in sorted(left, key=lambda r: r.t_end_s - r.t_start_s):
            fits = [a for a in waiting if row.t_start_s - WITHIN_S <= a.t_end_s <= row.t_end_s + WITHIN_S]
            if not fits:
                false += 1
                continue
            likeliest = max(row.shopper, key=row.shopper.__getitem__, default="")
            act = next((a for a in fits if accounts.get(a.person) == likeliest), fits[0])
            found += 1
            right += accounts.get(act.person) == likeliest
            waiting.remove(act)
        so_far = self._score
        self._score = LeftScore(
            so_far.true + true,
            so_far.found + found,
            so_far.shopper_right + right,
            so_far.false + false,
        )

    def compute(self) -> LeftScore:
        return self._score
