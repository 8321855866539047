"""The perception profile: what perception does, when, and how sure it is.

A profile is a table of judged shelf events (conditions -> outcome and confidences) with the
phantom events beside it. It is the only thing that crosses from perceiving to simulating, and
it is one JSON file, so anyone can bring a profile of their own detector.

Sampling from it has two steps. `PerceptionProfile.resample` draws one plausible version of the
profile for a replication, so that the profile's own sampling error goes into every interval;
`ResampledProfile.draw` then draws what perception makes of shelf events under the conditions
of their moments.

Two shoppers who are taken for each other stay so for a while: the events of such a run have one cause.
Where the judged events say whose they were taken for, runs are found, kept apart from the errors of single
events, and have a rate and a length of their own (`Exchanges`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
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

NAMED_COLUMNS = ("t_s", "shopper", "perceived_shopper")
"""When an event happened, whose it was, and whose it was taken for; a profile may lack them."""
RUN_EVENTS = 3
"""Assumed: so many events of a shopper in a row, all taken for others', are an exchange of identities."""
FEWEST_EVENTS = 10
"""Assumed: a profile of fewer perceived events is refused by the simulator."""
FEW_EVENTS = 200
"""Assumed: below so many independent events a warning is given."""
BACKOFF_EVENTS = 0.5
"""Assumed: weight, in events, of what happened under coarser conditions, at each step of the back-off."""
PRIOR_EVENTS = 0.5
"""Assumed: weight, in events, of the pooled outcome shares in every cell (a weak prior)."""
SURE = 0.9
"""Assumed: an event with a confidence under this is doubtful, for `PerceptionProfile.error_odds`."""


class Judgements(NamedTuple):
    """What perception made of shelf events; a missed event has no confidences (NaN).

    Attributes:
        outcome: place in `OUTCOMES`, int8 [n].
        confidence: of item, action and shopper, float [n, 3].
    """

    outcome: np.ndarray
    confidence: np.ndarray


class Cell(NamedTuple):
    """The conditions that sampling distinguishes, each coarse enough to be measured."""

    put_back: bool
    several_units: bool
    people_near: int
    look_alikes: bool

    @classmethod
    def of(cls, action: str, quantity: int, people_near: int, look_alikes: int) -> Cell:
        return cls(action == "put_back", quantity > 1, min(int(people_near), 2), look_alikes > 0)

    @property
    def code(self) -> int:
        """The cell as one number below `CELLS`."""
        return int(cell_codes(*(np.array(value) for value in self)))

    @classmethod
    def of_code(cls, code: int) -> Cell:
        return cls(code >= 12, bool(code // 6 % 2), code // 2 % 3, bool(code % 2))


CELLS = 24


def cell_codes(
    put_back: np.ndarray, several_units: np.ndarray, people_near: np.ndarray, look_alikes: np.ndarray
) -> np.ndarray:
    """`Cell.code` of many events, int [n]."""
    near = np.minimum(people_near, 2)
    return np.asarray(
        12 * put_back.astype(int) + 6 * several_units.astype(int) + 2 * near + look_alikes.astype(int)
    )


@dataclass(frozen=True)
class Exchanges:
    """How often and how long two shoppers are taken for each other.

    Attributes:
        runs: of each run its judged events, as numbers of rows of `judged`.
        pair_minutes: time that shoppers spent near others, summed over both, minutes.
        run_minutes: time spent in runs; `ended`: how many ended before the recording did.
    """

    runs: tuple[np.ndarray, ...]
    pair_minutes: float
    run_minutes: float
    ended: int


@dataclass(frozen=True)
class PerceptionProfile:
    """A detector's judged events.

    Attributes:
        detector: what perceived (weights file and fusion version).
        recordings: id and sha256 of each recording that was judged.
        judged: one row a true shelf event, `JUDGED_COLUMNS` and perhaps `NAMED_COLUMNS`; confidences are NaN where
            missed.
        phantoms: one row an event that never happened: `recording` and the three confidences.
        shopper_minutes: how long shoppers were watched in all, minutes.
        error_odds: 1 is perception as it was judged. Another number is a better or worse one that errs in the same
            ways: it multiplies the odds that an event is wrong, missed or doubtful (under `SURE`), and the rates of
            phantoms and exchanges. What is sampled stays a judged event, so its outcome and its confidences fit.
    """

    detector: str
    recordings: tuple[Mapping[str, str], ...]
    judged: pd.DataFrame
    phantoms: pd.DataFrame
    shopper_minutes: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    error_odds: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.error_odds < np.inf:
            raise InputError("profile", "error_odds", f"{self.error_odds!r}, expected a positive number")
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

    @property
    def faulty(self) -> np.ndarray:
        """Whether each judged event is wrong, missed or doubtful, bool [n]."""
        lowest = self.judged[list(CONFIDENCES)].min(axis=1, skipna=False).to_numpy(float)
        return np.asarray((self.judged["outcome"] != "right").to_numpy() | ~(lowest >= SURE))

    @property
    def faulty_share(self) -> float:
        """Share of shelf events that are wrong, missed or doubtful, under the judged conditions and `error_odds`."""
        share = float(self.faulty.mean())
        return self.error_odds * share / (1 - share + self.error_odds * share)

    @property
    def has_names(self) -> bool:
        """Whether it says for whom each event was taken."""
        return all(name in self.judged for name in NAMED_COLUMNS)

    @cached_property
    def exchanges(self) -> Exchanges:
        """The runs in which a shopper was taken for others; none where the profile does not say for whom."""
        pair_minutes = self.shopper_minutes * float(self.judged["people_near"].mean())
        runs: list[np.ndarray] = []
        run_s, ended = 0.0, 0
        if self.has_names:
            rows = self.judged.assign(row=np.arange(len(self.judged)))
            rows = rows[rows["outcome"] != "missed"].sort_values("t_s", kind="stable")
            for _, own in rows.groupby(["recording", "shopper"], sort=True):
                taken = (own["perceived_shopper"] != own["shopper"]).to_numpy()
                edges = np.flatnonzero(np.diff(np.concatenate([[0], taken.astype(int), [0]])))
                for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                    if end - first < RUN_EVENTS:
                        continue
                    runs.append(own["row"].to_numpy()[first:end])
                    over = end < len(own)
                    ended += over
                    times_s = own["t_s"].to_numpy(float)
                    run_s += times_s[end if over else end - 1] - times_s[first]
        return Exchanges(tuple(runs), pair_minutes, run_s / 60.0, ended)

    @property
    def effective_events(self) -> float:
        """Independent events that say as much: events of one recording are alike (Kish 1965, design effect)."""
        right = (self.judged["outcome"] == "right").to_numpy(float)
        _, group = np.unique(self.judged["recording"].to_numpy(), return_inverse=True)
        sizes = np.bincount(group)
        events, groups = len(right), len(sizes)
        if groups < 2 or events == groups or right.std() == 0:
            return float(events)
        means = np.bincount(group, right) / sizes
        between = float((sizes * (means - right.mean()) ** 2).sum() / (groups - 1))
        within = float(((right - means[group]) ** 2).sum() / (events - groups))
        size = (events - float((sizes**2).sum()) / events) / (groups - 1)
        alike = max(0.0, (between - within) / (between + (size - 1) * within))
        return events / (1 + alike * (float((sizes**2).sum()) / events - 1))

    def warnings(self) -> list[str]:
        """What a reader of a simulation with this profile must know, a line each."""
        found = []
        if self.error_odds != 1:
            found.append(
                f"the profile is not as it was judged: the odds of errors and doubts are multiplied by "
                f"{self.error_odds:.3g}"
            )
        if self.effective_events < FEW_EVENTS:
            found.append(
                f"the profile has {len(self.judged)} judged events, worth {self.effective_events:.0f} independent "
                "ones: intervals are wide"
            )
        if not self.has_names:
            found.append(
                "the profile does not say for whom each event was taken (t_s, shopper, perceived_shopper): wrong "
                "shoppers are drawn event by event"
            )
        return found

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
                _judged_table(document["judged"]),
                pd.DataFrame(document["phantoms"], columns=["recording", *CONFIDENCES]),
                float(document["shopper_minutes"]),
                document.get("notes", {}),
                float(document.get("error_odds", 1.0)),
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
            **({} if self.error_odds == 1 else {"error_odds": self.error_odds}),
            "judged": rows(self.judged[[*JUDGED_COLUMNS, *(NAMED_COLUMNS if self.has_names else ())]]),
            "phantoms": rows(self.phantoms[["recording", *CONFIDENCES]]),
        }
        with new_file(path, force=force) as draft:
            draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def resample(self, rng: np.random.Generator) -> ResampledProfile:
        """One plausible version of the profile: a Bayesian bootstrap over the recordings.

        Each recording and each run gets an exponential weight (Rubin 1981, The Bayesian Bootstrap), because
        events of one recording are alike; the events of a profile with one recording get their own. The rates
        of phantoms and exchanges are drawn from their Gamma posteriors with Jeffreys' prior.
        """
        names, recording = np.unique(self.judged["recording"].to_numpy(), return_inverse=True)
        if len(names) > 1:
            weights = rng.exponential(size=len(names))[recording]
        else:
            weights = rng.exponential(size=len(self.judged))
        prior = rng.gamma(PRIOR_EVENTS * self._pooled_shares())
        rate = rng.gamma(len(self.phantoms) + 0.5) / self.shopper_minutes
        found = self.exchanges
        starts, ends = rng.gamma(len(found.runs) + 0.5), rng.gamma(found.ended + 0.5)
        return self._version(
            weights, prior, rate, _rate(starts, found.pair_minutes) if self.has_names else 0.0,
            _rate(ends, found.run_minutes), rng.exponential(size=len(found.runs)),
        )  # fmt: skip

    def expected(self) -> ResampledProfile:
        """The profile with every event at weight one: no sampling error, for look-ups and laws."""
        found = self.exchanges
        return self._version(
            np.ones(len(self.judged)),
            PRIOR_EVENTS * self._pooled_shares(),
            len(self.phantoms) / self.shopper_minutes,
            _rate(len(found.runs), found.pair_minutes),
            _rate(found.ended, found.run_minutes),
            np.ones(len(found.runs)),
        )

    def _version(
        self, weights: np.ndarray, prior: np.ndarray, phantoms: float, starts: float, ends: float,
        run_weights: np.ndarray,
    ) -> ResampledProfile:  # fmt: skip
        odds = self.error_odds
        prior = prior * np.where(np.array(OUTCOMES) == "right", 1.0, odds)
        return ResampledProfile(
            self,
            weights * np.where(self.faulty, odds, 1.0),
            prior,
            odds * phantoms,
            odds * starts,
            ends,
            run_weights,
        )

    def _pooled_shares(self) -> np.ndarray:
        counts = np.array([(self.judged["outcome"] == o).sum() for o in OUTCOMES], dtype=float) + 0.5
        return np.asarray(counts / counts.sum())


def _judged_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    named = bool(rows) and all(name in rows[0] for name in NAMED_COLUMNS)
    table = pd.DataFrame(rows, columns=[*JUDGED_COLUMNS, *(NAMED_COLUMNS if named else ())])
    return table.astype(dict.fromkeys(CONFIDENCES, float))


def _rate(count: float, minutes: float) -> float:
    return float(count / minutes) if minutes > 0 else 0.0


class ResampledProfile:
    """One drawn version of a profile, ready to be sampled.

    Attributes:
        exchanges_per_pair_minute: how often two shoppers who stand together are taken for each other from then on.
        exchange_ends_per_minute: how often such an exchange ends.
    """

    def __init__(
        self,
        profile: PerceptionProfile,
        weights: np.ndarray,
        prior: np.ndarray,
        phantoms_per_shopper_minute: float,
        exchanges_per_pair_minute: float,
        exchange_ends_per_minute: float,
        run_weights: np.ndarray,
    ) -> None:
        self.phantoms_per_shopper_minute = phantoms_per_shopper_minute
        self.exchanges_per_pair_minute = exchanges_per_pair_minute
        self.exchange_ends_per_minute = exchange_ends_per_minute
        judged = profile.judged
        self._prior = prior
        self._outcome = np.array([OUTCOMES.index(o) for o in judged["outcome"]], np.int8)
        self._confidence = judged[list(CONFIDENCES)].to_numpy(float)
        self._cells = np.column_stack(
            [
                (judged["action"] == "put_back").to_numpy(int),
                (judged["quantity"] > 1).to_numpy(int),
                np.minimum(judged["people_near"].to_numpy(int), 2),
                (judged["look_alikes"] > 0).to_numpy(int),
            ]
        )
        lowest = np.where(np.isnan(self._confidence).any(axis=1), 1.0, self._confidence.min(axis=1))
        self._doubt = 1.0 - lowest
        self._phantom_confidence = profile.phantoms[list(CONFIDENCES)].to_numpy(float)
        runs = profile.exchanges.runs
        # An exchange tells nothing about single events but that they were seen.
        self._weights = weights.copy()
        for run in runs:
            self._weights[run] = 0.0
        if not self._weights.any():
            self._weights = weights.copy()
        self._run_share = np.cumsum(run_weights) / run_weights.sum() if len(runs) else np.ones(1)
        self._run_first = np.concatenate([[0], np.cumsum([len(run) for run in runs])]).astype(int)
        self._run_rows = np.concatenate(runs) if runs else np.zeros(0, int)
        self._atoms: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def outcome_probabilities(self, cell: Cell) -> dict[str, float]:
        """Probability of each outcome for a shelf event under these conditions."""
        return dict(zip(OUTCOMES, self._outcome_shares(cell, self._kernel(cell)).tolist(), strict=True))

    def draw(self, codes: np.ndarray, rng: np.random.Generator) -> Judgements:
        """What perception makes of shelf events under the conditions `cell_codes`, int [n]."""
        uniform = rng.uniform(size=len(codes))
        outcome, row = np.empty(len(codes), np.int8), np.empty(len(codes), np.int64)
        for code in np.flatnonzero(np.bincount(codes, minlength=CELLS)).tolist():
            here = np.flatnonzero(codes == code)
            cumulative, outcomes, rows = self._atoms_of(code)
            at = np.searchsorted(cumulative, uniform[here], side="right")
            outcome[here], row[here] = outcomes[at], rows[at]
        return Judgements(outcome, np.where((row < 0)[:, None], np.nan, self._confidence[row]))

    def draw_phantoms(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """The confidences of events that never happened, float [size, 3]."""
        if len(self._phantom_confidence):
            return self._phantom_confidence[rng.integers(len(self._phantom_confidence), size=size)]
        weights = self._unseen_error(self._weights)
        return self._confidence[rng.choice(len(weights), size=size, p=weights / weights.sum())]

    def draw_runs(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """A measured run for each of `size` exchanges, int [size]."""
        return np.searchsorted(self._run_share[:-1], rng.uniform(size=size), side="right")

    def draw_in_runs(self, runs: np.ndarray, rng: np.random.Generator) -> Judgements:
        """What perception makes of shelf events in exchanges, int [n]: events of the measured run."""
        if not len(self._run_rows):
            weights = self._unseen_error(self._weights)
            rows = rng.choice(len(weights), size=len(runs), p=weights / weights.sum())
            return Judgements(
                np.full(len(runs), OUTCOMES.index("wrong_shopper"), np.int8), self._confidence[rows]
            )
        first, events = self._run_first[runs], self._run_first[runs + 1] - self._run_first[runs]
        rows = self._run_rows[first + (rng.uniform(size=len(runs)) * events).astype(np.int64)]
        return Judgements(self._outcome[rows], self._confidence[rows])

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

    def _outcome_shares(self, cell: Cell, kernel: np.ndarray) -> np.ndarray:
        mass = self._prior + np.bincount(self._outcome, weights=kernel, minlength=len(OUTCOMES))
        if cell.people_near == 0:
            # Who is alone is taken for nobody else.
            mass[OUTCOMES.index("wrong_shopper")] = 0.0
        return np.asarray(mass / mass.sum())

    def _atoms_of(self, code: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cumulative probability, outcome and row (-1: missed) of everything that can come out in a cell."""
        if code not in self._atoms:
            cell = Cell.of_code(code)
            kernel = self._kernel(cell)
            shares = self._outcome_shares(cell, kernel)
            parts = []
            for index, name in enumerate(OUTCOMES):
                if name == "missed":
                    rows, weights = np.array([-1]), np.ones(1)
                else:
                    weights = np.where(self._outcome == index, kernel, 0.0)
                    if not weights.any():
                        weights = self._unseen_error(kernel)
                    rows = np.flatnonzero(weights)
                    weights = weights[rows]
                parts.append(
                    (shares[index] * weights / weights.sum(), np.full(len(rows), index, np.int8), rows)
                )
            chance, outcomes, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
            # Without the last edge, a number just under one always finds an atom.
            self._atoms[code] = np.cumsum(chance)[:-1], outcomes, rows
        return self._atoms[code]

    def _unseen_error(self, kernel: np.ndarray) -> np.ndarray:
        """Weights for the confidences of an error never seen: a calibrated score c is wrong 1 - c of the time."""
        perceived = self._outcome != OUTCOMES.index("missed")
        weights = np.where(perceived, kernel * self._doubt, 0.0)
        return weights if weights.any() else np.where(perceived, kernel, 0.0)


class Rates(NamedTuple):
    """Of some sales: the share that goes to review, and the share that is wrong and does not."""

    review: float
    escape: float


def rates_of(sale: np.ndarray, judged: Judgements, thresholds: tuple[float, float, float]) -> Rates:
    """Rates of sales whose events were judged.

    Being a candidate in another's event is not counted: the profile judges each event by itself.

    Args:
        sale: number of the sale that each event belongs to, int [n].
        thresholds: for item, action and shopper.
    """
    doubted = np.zeros(int(sale.max(initial=-1)) + 1, bool)
    wrong = doubted.copy()
    doubted[sale[(judged.confidence < np.array(thresholds)).any(axis=1)]] = True
    wrong[sale[judged.outcome != OUTCOMES.index("right")]] = True
    return Rates(float(doubted.mean()), float((wrong & ~doubted).mean()))


def predicted_rates(
    profile: PerceptionProfile,
    sale: np.ndarray,
    codes: np.ndarray,
    thresholds: tuple[float, float, float],
    rng: np.random.Generator,
    draws: int = 200,
) -> np.ndarray:
    """Review and escape rate that the profile expects of sales with events under these conditions, [draws, 2].

    Each draw takes another plausible version of the profile and judges every sale anew, so the spread holds both the
    profile's own error and that of as few sales as these. Errors in a run count as those of single events.
    """
    unnamed = profile.judged.drop(columns=list(NAMED_COLUMNS), errors="ignore")
    single = replace(profile, judged=unnamed)
    return np.array([rates_of(sale, single.resample(rng).draw(codes, rng), thresholds) for _ in range(draws)])


def pooled(profiles: Sequence[PerceptionProfile]) -> PerceptionProfile:
    """Profiles of one detector on several recordings as one."""
    first = profiles[0]
    if any(p.error_odds != first.error_odds for p in profiles):
        raise InputError("profile", "error_odds", "differs between the profiles", "pool profiles as judged")
    return PerceptionProfile(
        first.detector,
        tuple(r for p in profiles for r in p.recordings),
        pd.concat([p.judged for p in profiles], ignore_index=True),
        pd.concat([p.phantoms for p in profiles], ignore_index=True),
        sum(p.shopper_minutes for p in profiles),
        first.notes,
        first.error_odds,
    )
