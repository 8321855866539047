"""The perception profile: what perception does, when, and how sure it is.

A profile is a table of judged shelf events (conditions -> outcome and confidences) with the
phantom events beside it. It is the only thing that crosses from perceiving to simulating, and
it is one JSON file, so anyone can bring a profile of their own detector.

Sampling from it has two steps. `PerceptionProfile.resample` draws one plausible version of the
profile for a replication, so that the profile's own sampling error goes into every interval;
`ResampledProfile.draw` then draws what perception makes of one shelf event under the conditions
of that moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from checkout.catalog import check_schema
from checkout.errors import InputError
from checkout.output import new_file

PROFILE_SCHEMA = 1
OUTCOMES = ("right", "missed", "wrong_product", "wrong_quantity", "wrong_shopper")
CONFIDENCES = ("item_confidence", "action_confidence", "shopper_confidence")
JUDGED_COLUMNS = (
    "recording", "action", "quantity", "people_near", "look_alikes", "same_weight", "occlusion", "outcome",
    *CONFIDENCES,
)  # fmt: skip

BACKOFF_EVENTS = 0.5
"""Assumed: weight, in events, of what happened under coarser conditions, at each step of the back-off."""
PRIOR_EVENTS = 0.5
"""Assumed: weight, in events, of the pooled outcome shares in every cell (a weak prior)."""
_BLOCK = 2048


class Judgement(NamedTuple):
    """What perception made of one shelf event; a missed event has no confidences (NaN)."""

    outcome: str
    item_confidence: float
    action_confidence: float
    shopper_confidence: float


class Cell(NamedTuple):
    """The conditions that sampling distinguishes, each coarse enough to be measured."""

    put_back: bool
    several_units: bool
    people_near: int
    look_alikes: bool

    @classmethod
    def of(cls, action: str, quantity: int, people_near: int, look_alikes: int) -> Cell:
        return cls(action == "put_back", quantity > 1, min(int(people_near), 2), look_alikes > 0)


@dataclass(frozen=True)
class PerceptionProfile:
    """A detector's judged events.

    Attributes:
        detector: what perceived (weights file and fusion version).
        recordings: id and sha256 of each recording that was judged.
        judged: one row a true shelf event, `JUDGED_COLUMNS`; confidences are NaN where missed.
        phantoms: one row an event that never happened: `recording` and the three confidences.
        shopper_minutes: how long shoppers were watched in all, minutes.
    """

    detector: str
    recordings: tuple[Mapping[str, str], ...]
    judged: pd.DataFrame
    phantoms: pd.DataFrame
    shopper_minutes: float
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [c for c in JUDGED_COLUMNS if c not in self.judged]
        if missing:
            raise InputError("profile", f"judged.{missing[0]}", "column is missing")
        unknown = set(self.judged["outcome"]) - set(OUTCOMES)
        if unknown:
            raise InputError(
                "profile", "judged.outcome", f"{unknown.pop()!r} is not one of {', '.join(OUTCOMES)}"
            )
        seen = self.judged[self.judged["outcome"] != "missed"]
        for name in CONFIDENCES:
            if ((self.judged[name] < 0) | (self.judged[name] > 1)).any():
                raise InputError("profile", f"judged.{name}", "lies outside 0-1")
            if seen[name].isna().any():
                raise InputError("profile", f"judged.{name}", "is missing for an event that was perceived")
        if seen.empty:
            raise InputError(
                "profile",
                "judged",
                "holds no perceived event, expected at least one",
                "judge more recordings",
            )
        if not self.shopper_minutes > 0:
            raise InputError(
                "profile", "shopper_minutes", f"{self.shopper_minutes!r}, expected a positive number"
            )

    @property
    def outcome_shares(self) -> dict[str, float]:
        """Share of each outcome among the judged events."""
        counts = self.judged["outcome"].value_counts(normalize=True)
        return {name: float(counts.get(name, 0.0)) for name in OUTCOMES}

    @classmethod
    def load(cls, path: str | Path) -> PerceptionProfile:
        """Read a profile; raises `InputError` when it is not one or has another schema."""
        path = Path(path)
        if not path.is_file():
            raise InputError(
                path, "", "does not exist", "make one with: checkout evaluate videos/* --profile FILE"
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(path, "", f"is not JSON ({error})") from None
        if not isinstance(document, dict):
            raise InputError(path, "", "is not a perception profile")
        check_schema(path, document, PROFILE_SCHEMA)
        try:
            return cls(
                document["detector"],
                tuple(document["recordings"]),
                pd.DataFrame(document["judged"], columns=list(JUDGED_COLUMNS)).astype(
                    dict.fromkeys(CONFIDENCES, float)
                ),
                pd.DataFrame(document["phantoms"], columns=["recording", *CONFIDENCES]),
                float(document["shopper_minutes"]),
                document.get("notes", {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(path, "", f"a field is missing or malformed ({error!r})") from None
        except InputError as error:
            raise InputError(path, error.field, error.problem, error.remedy) from None

    def save(self, path: str | Path, *, force: bool = False) -> None:
        def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
            return json.loads(table.to_json(orient="records", double_precision=6))  # type: ignore[no-any-return]

        document = {
            "schema": PROFILE_SCHEMA,
            "detector": self.detector,
            "recordings": [dict(r) for r in self.recordings],
            "shopper_minutes": round(self.shopper_minutes, 4),
            "notes": dict(self.notes),
            "judged": rows(self.judged[list(JUDGED_COLUMNS)]),
            "phantoms": rows(self.phantoms[["recording", *CONFIDENCES]]),
        }
        with new_file(path, force=force) as draft:
            draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def resample(self, rng: np.random.Generator) -> ResampledProfile:
        """One plausible version of the profile: a Bayesian bootstrap over the judged events.

        Each event gets an exponential weight (Rubin 1981, The Bayesian Bootstrap); the phantom
        rate is drawn from its Gamma posterior with Jeffreys' prior.
        """
        weights = rng.exponential(size=len(self.judged))
        prior = rng.gamma(PRIOR_EVENTS * self._pooled_shares())
        rate = rng.gamma(len(self.phantoms) + 0.5) / self.shopper_minutes
        return ResampledProfile(self, weights, prior, rate)

    def expected(self) -> ResampledProfile:
        """The profile with every event at weight one: no sampling error, for look-ups and laws."""
        return ResampledProfile(
            self,
            np.ones(len(self.judged)),
            PRIOR_EVENTS * self._pooled_shares(),
            len(self.phantoms) / self.shopper_minutes,
        )

    def _pooled_shares(self) -> np.ndarray:
        counts = np.array([(self.judged["outcome"] == o).sum() for o in OUTCOMES], dtype=float) + 0.5
        return np.asarray(counts / counts.sum())


class ResampledProfile:
    """One drawn version of a profile, ready to be sampled event by event."""

    def __init__(
        self,
        profile: PerceptionProfile,
        weights: np.ndarray,
        prior: np.ndarray,
        phantoms_per_shopper_minute: float,
    ) -> None:
        self.phantoms_per_shopper_minute = phantoms_per_shopper_minute
        judged = profile.judged
        self._weights, self._prior = weights, prior
        self._outcome = np.array([OUTCOMES.index(o) for o in judged["outcome"]])
        self._confidence = judged[list(CONFIDENCES)].to_numpy(float)
        self._cells = np.array(
            [
                Cell.of(*row)
                for row in judged[["action", "quantity", "people_near", "look_alikes"]].itertuples(
                    index=False, name=None
                )
            ],
            dtype=int,
        )
        lowest = np.where(np.isnan(self._confidence).any(axis=1), 1.0, self._confidence.min(axis=1))
        self._doubt = 1.0 - lowest
        self._phantom_confidence = profile.phantoms[list(CONFIDENCES)].to_numpy(float)
        self._pools: dict[Cell | None, Iterator[Judgement]] = {}

    def outcome_probabilities(self, cell: Cell) -> dict[str, float]:
        """Probability of each outcome for a shelf event under these conditions."""
        return dict(zip(OUTCOMES, self._outcome_shares(self._kernel(cell)).tolist(), strict=True))

    def draw(self, cell: Cell, rng: np.random.Generator) -> Judgement:
        """What perception makes of one shelf event under these conditions."""
        return self._next(cell, rng)

    def draw_phantom(self, rng: np.random.Generator) -> Judgement:
        """The confidences of one event that never happened (its outcome reads "wrong_product")."""
        return self._next(None, rng)

    def _next(self, cell: Cell | None, rng: np.random.Generator) -> Judgement:
        try:
            return next(self._pools[cell])
        except (KeyError, StopIteration):
            pool = self._pools[cell] = self._fill(cell, rng)
            return next(pool)

    def _kernel(self, cell: Cell) -> np.ndarray:
        """Weight of each judged event for a moment: its own cell first, then ever coarser conditions.

        A chain of back-offs, as in a hierarchical Dirichlet model: all events, those with as many
        people near, and of these the same action, quantity and look-alikes; each step gives the
        coarser one `BACKOFF_EVENTS`. Who is near goes last, because it decides whose hand it was.
        """
        same = self._cells == np.array(cell, dtype=int)
        put_back, several, near, alike = same.T
        weight = self._weights / self._weights.sum()
        for match in (near, near & put_back, near & put_back & several, near & put_back & several & alike):
            own = np.where(match, self._weights, 0.0)
            weight = (own + BACKOFF_EVENTS * weight) / (own.sum() + BACKOFF_EVENTS)
        return np.asarray(weight * (self._weights[near].sum() + BACKOFF_EVENTS))

    def _outcome_shares(self, kernel: np.ndarray) -> np.ndarray:
        mass = self._prior + np.bincount(self._outcome, weights=kernel, minlength=len(OUTCOMES))
        return np.asarray(mass / mass.sum())

    def _fill(self, cell: Cell | None, rng: np.random.Generator) -> Iterator[Judgement]:
        if cell is None:
            rows = self._phantom_rows(rng)
            return map(Judgement, repeat("wrong_product"), *rows.T.tolist())
        kernel = self._kernel(cell)
        outcomes = rng.choice(len(OUTCOMES), size=_BLOCK, p=self._outcome_shares(kernel))
        confidence = np.full((_BLOCK, 3), np.nan)
        for index, name in enumerate(OUTCOMES):
            drawn = np.flatnonzero(outcomes == index)
            if name != "missed" and len(drawn):
                confidence[drawn] = self._confidence[self._rows_with(index, kernel, len(drawn), rng)]
        return map(Judgement, np.array(OUTCOMES, dtype=object)[outcomes].tolist(), *confidence.T.tolist())

    def _rows_with(self, outcome: int, kernel: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        weights = np.where(self._outcome == outcome, kernel, 0.0)
        if not weights.any():
            weights = self._unseen_error(kernel)
        return np.asarray(rng.choice(len(weights), size=size, p=weights / weights.sum()))

    def _unseen_error(self, kernel: np.ndarray) -> np.ndarray:
        """Weights for the confidences of an error never seen: a calibrated score c is wrong 1 - c of the time."""
        perceived = self._outcome != OUTCOMES.index("missed")
        weights = np.where(perceived, kernel * self._doubt, 0.0)
        return weights if weights.any() else np.where(perceived, kernel, 0.0)

    def _phantom_rows(self, rng: np.random.Generator) -> np.ndarray:
        if len(self._phantom_confidence):
            return self._phantom_confidence[rng.integers(len(self._phantom_confidence), size=_BLOCK)]
        weights = self._unseen_error(self._weights)
        return self._confidence[rng.choice(len(weights), size=_BLOCK, p=weights / weights.sum())]


def pooled(profiles: Sequence[PerceptionProfile]) -> PerceptionProfile:
    """Profiles of one detector on several recordings as one."""
    first = profiles[0]
    return PerceptionProfile(
        first.detector,
        tuple(r for p in profiles for r in p.recordings),
        pd.concat([p.judged for p in profiles], ignore_index=True),
        pd.concat([p.phantoms for p in profiles], ignore_index=True),
        sum(p.shopper_minutes for p in profiles),
        first.notes,
    )
