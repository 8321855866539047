"""The sales that thresholds are tuned on: read from a table or from judged recordings, and checked.

A sale is reviewed when any of its confidences is under its threshold, as `checkout.review` decides it.
Its `wrong` means the bill as perception made it, before any review.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError, nearest
from sim.shoppers import DAY_S
from sim.tuning.tables import BadLines, Table, flags, numbers, open_table

ASPECTS = ("item", "action", "shopper")
CONFIDENCE_COLUMNS = (
    ASPECTS,
    tuple(f"{a}_confidence" for a in ASPECTS),
    tuple(f"lowest_{a}_confidence" for a in ASPECTS),
    tuple(f"lowest_{a}" for a in ASPECTS),
    ("confidence",),
)
"""Names under which a table may hold its confidences; the first set that is there is taken."""
CLUSTER_COLUMNS = ("profile_version", "replication", "recording", "day")
"""Columns that mark sales which share a day, a draw or a recording, and so are not independent."""
RUN_COLUMNS = ("replication", "day")
"""Columns that tell days apart; without `day`, the clock does, within a replication."""
SMALL_GROUP = 30
"""Assumed: groups of fewer sales are pooled, because their thresholds would be chance."""
MOST_VALUES = 24
"""Assumed: a numeric column of more distinct values is cut into bands of equally many sales."""
BANDS = 10
POOLED = "(few sales)"
HOUR_S = 3600.0


@dataclass(frozen=True)
class ErrorCost:
    """What a wrong bill costs that nobody reviewed, as in the scenarios: goods not charged, or disputes.

    Attributes:
        dispute_usd: handling of one disputed overcharge; assumed.
        dispute_share: overcharges that the shopper notices; assumed.
    """

    dispute_usd: float = 3.0
    dispute_share: float = 0.5

    def lost_usd(self, true_usd: np.ndarray, charged_usd: np.ndarray) -> np.ndarray:
        """Loss of each wrong bill [n], US dollars: the gap, or the expected refund and handling."""
        gap = true_usd - charged_usd
        return np.asarray(np.where(gap > 0, gap, self.dispute_share * (self.dispute_usd - gap)))


@dataclass(frozen=True)
class SalesToTune:
    """Sales with their confidences and whether the bill was wrong.

    Attributes:
        source: where they come from, for messages.
        confidences: float64 [n, k], 0-1, one column an aspect, each the lowest of the sale's events.
        aspects: names of the k columns.
        wrong: bool [n], the bill as perception made it.
        lost_usd: float [n], what is lost when the sale's wrong bill is not reviewed; None where unknown.
        group, group_names: int [n] and what the numbers stand for; None without groups.
        cluster, cluster_name: int [n], which sales belong together (a day, a recording); None where none do.
        leaves_s: float [n], seconds since midnight; None where unknown.
        day: int [n], on which day of all that were counted each sale was; None where unknown.
        settled: float [n], the lowest confidence that decides whether a wrong bill is made right, by its own review
            or by that of another's bill that holds its goods; None where only its own review counts.
        notes: what was left out or assumed while reading.
    """

    source: str
    confidences: np.ndarray
    aspects: tuple[str, ...]
    wrong: np.ndarray
    lost_usd: np.ndarray | None = None
    group: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    group_column: str = ""
    cluster: np.ndarray | None = None
    cluster_name: str = ""
    leaves_s: np.ndarray | None = None
    day: np.ndarray | None = None
    settled: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        n = len(self.wrong)
        if not n:
            raise InputError(self.source, "", "holds no sale")
        if self.confidences.shape != (n, len(self.aspects)):
            raise InputError(
                self.source,
                "confidences",
                f"has shape {self.confidences.shape}, expected {n} x {len(self.aspects)}",
            )
        if not ((self.confidences >= 0) & (self.confidences <= 1)).all():
            raise InputError(self.source, "confidences", "lie outside 0-1 or are missing")
        # One column after the other in memory: every scan is over a column.
        object.__setattr__(self, "confidences", np.asfortranarray(self.confidences))

    def __len__(self) -> int:
        return len(self.wrong)

    @property
    def lowest(self) -> np.ndarray:
        """Lowest confidence of each sale, float64 [n]: what one threshold for all aspects decides on."""
        return np.asarray(np.minimum.reduce(self.confidences.T))

    @property
    def caught_by(self) -> np.ndarray:
        """Float64 [n]: with one threshold for all, a wrong bill is no escape where this is under it."""
        return self.lowest if self.settled is None else np.minimum(self.settled, self.lowest)

    @property
    def wrong_share(self) -> float:
        return float(self.wrong.mean())

    def take(self, rows: np.ndarray) -> SalesToTune:
        """The sales of these rows (indices or a mask)."""
        picked: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("confidences", "wrong", "lost_usd", "group", "cluster", "leaves_s", "day", "settled")
        }
        return replace(self, **picked)


def read_sales(
    source: str | Path | pd.DataFrame,
    *,
    confidences: Sequence[str] | None = None,
    wrong: str | None = None,
    right: str | None = None,
    value: str | None = None,
    by: str | None = None,
    bands: int = BANDS,
    cluster: str | None = None,
    wrong_before_review: bool = False,
    skip_bad: bool = False,
    error_cost: ErrorCost | None = None,
) -> SalesToTune:
    """Sales from a CSV, a Parquet file or folder, or from judged recordings (`checkout evaluate --json`).

    Args:
        source: such a file, or a table with the same columns.
        confidences: names of the confidence columns; else the first set of `CONFIDENCE_COLUMNS` that is there.
        wrong, right: the column that says whether the bill was wrong, or right; default `wrong`.
        value: column of what an escape loses; default the gap of `true_usd` and `charged_usd`, else `value`.
        by: column to group by; `hour` is read off `leaves_s` or `arrives_s`.
        cluster: column of sales that belong together; default one of `CLUSTER_COLUMNS`, "none" for none.
        wrong_before_review: `wrong` of the reviewed sales tells the bill before the review.
        skip_bad: leave bad lines out and count them, instead of stopping at the first.

    Raises:
        InputError: a column is missing, a line is bad, or the sales cannot be tuned on.
    """
    if wrong and right:
        raise InputError("--right", "", "goes without --wrong", "name one column")
    if isinstance(source, pd.DataFrame):
        path = Path("sales table")
        table = Table(path, tuple(map(str, source.columns)), source)
    else:
        path = Path(source)
        if path.suffix == ".json":
            return _from_judged(path)
        table = open_table(path)
    names = table.names
    chosen = _confidence_names(table.path, names, confidences)
    truth = wrong or right or "wrong"
    _need(path, names, truth, "it says whether the bill was wrong; name another with --wrong or --right")
    money = _money_columns(path, names, value)
    grouping = _group_source(path, names, by) if by else None
    clustered = _cluster_column(path, names, cluster)
    clock = next((c for c in ("leaves_s", "arrives_s") if c in names), None)
    extra = [c for c in ("sale", "reviewed", "flow", "settled_confidence") if c in names]
    runs = [c for c in RUN_COLUMNS if c in names]
    wanted = dict.fromkeys(
        [*chosen, truth, *money, *extra, *runs, *(c for c in (grouping, clustered, clock) if c)]
    )
    frame = table.read(list(wanted))

    notes = [f"{table.blank:,} blank lines were passed over"] if table.blank else []
    keep = np.ones(len(frame), dtype=bool)
    bad = BadLines(table)
    if "sale" in frame:
        is_sale = flags(table, frame, "sale", bad)
        empty = ~is_sale & ~bad.rows(len(frame))
        if empty.any():
            notes.append(f"{int(empty.sum()):,} visits without a sale were left out")
        keep &= is_sale
        bad.among = ~empty
    columns = [numbers(table, frame, name, bad, low=0.0, high=1.0) for name in chosen]
    is_wrong = flags(table, frame, truth, bad)
    if right:
        is_wrong = ~is_wrong
    lost = _lost(table, frame, money, bad, error_cost or ErrorCost())
    _refuse_mixtures(path, frame[keep], wrong_before_review)
    keep &= ~bad.settle(len(frame), skip=skip_bad, notes=notes)
    if not keep.any():
        raise InputError(path, "", "holds no sale")

    seconds = None
    if clock:
        seconds = pd.to_numeric(frame[clock], errors="coerce").to_numpy(float)[keep]
        seconds = seconds if np.isfinite(seconds).all() else None
    sales = SalesToTune(
        str(path),
        np.column_stack(columns)[keep],
        tuple(_aspect(name) for name in chosen),
        is_wrong[keep],
        None if lost is None else np.where(is_wrong, lost, 0.0)[keep],
        cluster=None if clustered is None else pd.factorize(frame[clustered][keep])[0],
        cluster_name=clustered or "",
        leaves_s=seconds,
        day=None if seconds is None else _days(frame[keep], runs, seconds),
        settled=_settled(frame, keep),
        notes=tuple(notes),
    )
    checked = check_scores(sales)
    return checked if by is None else grouped(checked, _labels(frame[keep], by, str(grouping), bands), by)


def _days(frame: pd.DataFrame, runs: Sequence[str], seconds: np.ndarray) -> np.ndarray:
    """Which day each sale was on, int [n], numbered from 0."""
    marks = [frame[name].to_numpy() for name in runs]
    if "day" not in runs:
        marks.append(seconds // DAY_S)
    return np.asarray(pd.factorize(pd.MultiIndex.from_arrays(marks))[0])


def check_scores(sales: SalesToTune) -> SalesToTune:
    """The sales with a note on every confidence that tells nothing; raises where none tells anything."""
    notes = list(sales.notes)
    if len(sales) > 1:
        if np.ptp(sales.lowest) == 0:
            raise InputError(
                sales.source, ", ".join(sales.aspects), f"every sale has a lowest confidence of {sales.lowest[0]:g}",
                "no threshold can tell sales apart; give confidences that differ",
            )  # fmt: skip
        for name, column in zip(sales.aspects, sales.confidences.T, strict=True):
            if np.ptp(column) == 0:
                notes.append(
                    f"the {name} confidence is {column[0]:g} in every sale, so its threshold tells nothing"
                )
    out_of_reach = int((sales.wrong & (sales.lowest >= 1.0)).sum())
    if out_of_reach:
        notes.append(
            f"{out_of_reach:,} wrong sales have a confidence of 1 (often because what was missed has none): "
            "no threshold catches them"
        )
    return replace(sales, notes=tuple(notes))


def grouped(sales: SalesToTune, labels: Sequence[str] | pd.Series, column: str) -> SalesToTune:
    """The sales with a group each; groups under `SMALL_GROUP` sales are pooled, and counted in a note."""
    series = pd.Series(np.asarray(labels, dtype=object))
    counts = series.value_counts()
    few = counts.index[counts < SMALL_GROUP]
    notes = list(sales.notes)
    if len(few):
        series = series.where(~series.isin(few), POOLED)
        notes.append(
            f"{column}: {len(few):,} groups of fewer than {SMALL_GROUP} sales ({int(counts[few].sum()):,} sales in "
            f"all) share the threshold of {POOLED!r}"
        )
    codes, names = pd.factorize(series, sort=True)
    if len(names) < 2:
        raise InputError(
            sales.source, column, f"has a single group, {names[0]!r}", "group by a column with several values"
        )
    return replace(
        sales, group=codes, group_names=tuple(map(str, names)), group_column=column, notes=tuple(notes)
    )


def _confidence_names(path: Path, names: Sequence[str], asked: Sequence[str] | None) -> tuple[str, ...]:
    if asked is not None:
        if not 1 <= len(asked) <= 3 or len(set(asked)) < len(asked):
            raise InputError(
                "--confidences", "", f"{','.join(asked)!r}, expected one to three different columns"
            )
        for name in asked:
            _need(path, names, name, "name the confidences with --confidences")
        return tuple(asked)
    for known in CONFIDENCE_COLUMNS:
        if all(name in names for name in known):
            return known
    hint = next((h for h in (nearest(n, names) for known in CONFIDENCE_COLUMNS for n in known) if h), "")
    raise InputError(
        path, ",".join(ASPECTS), "are no columns, nor is confidence",
        "; ".join(p for p in (hint, f"it has {', '.join(names[:12])}: name them with --confidences") if p),
    )  # fmt: skip


def _need(path: Path, names: Sequence[str], name: str, remedy: str) -> None:
    if name not in names:
        raise InputError(
            path, name, "is not a column", "; ".join(p for p in (nearest(name, names), remedy) if p)
        )


def _money_columns(path: Path, names: Sequence[str], value: str | None) -> tuple[str, ...]:
    if value is not None:
        _need(path, names, value, f"it has {', '.join(names[:12])}")
        return (value,)
    if "true_usd" in names and "charged_usd" in names:
        return ("true_usd", "charged_usd")
    return ("value",) if "value" in names else ()


def _group_source(path: Path, names: Sequence[str], by: str) -> str:
    if by == "hour" and by not in names:
        clock = next((c for c in ("leaves_s", "arrives_s") if c in names), None)
        if clock:
            return clock
    _need(path, names, by, f"it has {', '.join(names[:20])}")
    return by


def _cluster_column(path: Path, names: Sequence[str], asked: str | None) -> str | None:
    if asked == "none":
        return None
    if asked is not None:
        _need(path, names, asked, "name the column of the day or recording, or --cluster none")
        return asked
    return next((name for name in CLUSTER_COLUMNS if name in names), None)


def _aspect(column: str) -> str:
    return next(
        (a for a in ASPECTS if column.removeprefix("lowest_").removesuffix("_confidence") == a), column
    )


def _lost(
    table: Table, frame: pd.DataFrame, money: tuple[str, ...], bad: BadLines, cost: ErrorCost
) -> np.ndarray | None:
    if not money:
        return None
    values = [numbers(table, frame, name, bad, low=0.0) for name in money]
    return values[0] if len(values) == 1 else cost.lost_usd(values[0], values[1])


def _settled(frame: pd.DataFrame, keep: np.ndarray) -> np.ndarray | None:
    """The simulator's column of it, where it has one; where it is empty nobody but the sale's own review counts."""
    if "settled_confidence" not in frame:
        return None
    return frame["settled_confidence"][keep].fillna(1.0).to_numpy(float)


def _refuse_mixtures(path: Path, frame: pd.DataFrame, wrong_before_review: bool) -> None:
    if "flow" in frame and frame["flow"].nunique() > 1:
        flows = ", ".join(map(str, frame["flow"].unique()))
        raise InputError(path, "flow", f"holds several ways of selling ({flows})", "give the sales of one")
    if "reviewed" not in frame or wrong_before_review:
        return
    reviewed = int(frame["reviewed"].astype(str).str.lower().isin(("1", "1.0", "true")).sum())
    if reviewed:
        raise InputError(
            path, "reviewed",
            f"{reviewed:,} of {len(frame):,} sales were reviewed, and a review corrects the bill, so their `wrong` no "
            "longer tells what perception made of them",
            "simulate with all review thresholds at 0; or, where `wrong` tells the bill before the review, pass "
            "--wrong-before-review",
        )  # fmt: skip


def _labels(frame: pd.DataFrame, by: str, source: str, bands: int) -> pd.Series:
    column = frame[source].reset_index(drop=True)
    if by == "hour" and source != "hour":
        return (pd.to_numeric(column) // HOUR_S % 24).map(lambda h: f"{int(h):02d} h")
    numeric = pd.to_numeric(column, errors="coerce")
    if numeric.notna().all() and numeric.nunique() > MOST_VALUES:
        cut = pd.qcut(numeric, bands, duplicates="drop")
        return cut.map(lambda i: f"{i.left:g} to {i.right:g}").astype(object)
    return column.astype(object).where(column.notna(), "(missing)").map(str)


def _from_judged(path: Path) -> SalesToTune:
    """One sale a shopper and recording, its bill rebuilt from the judged events."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "", "does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, "", f"is not JSON ({error})") from None
    rows = document.get("judged") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(
            path, "judged", "holds no judged events", "make it with: checkout evaluate ... --json FILE"
        )
    named = ("recording", "outcome", "shopper", "perceived_shopper", *(f"{a}_confidence" for a in ASPECTS))
    missing = [name for name in named if name not in rows[0]]
    if missing:
        raise InputError(
            path, f"judged.{missing[0]}", "is missing: these events do not say whose they are, so they make no sales",
            "give the file of checkout evaluate ... --json FILE; or simulate sales with this profile: "
            "checkout tune supermarket --profile FILE",
        )  # fmt: skip
    whole = all(
        name in rows[0] for name in ("action", "product", "quantity", "perceived", "perceived_quantity")
    )
    if whole:
        return check_scores(rebuilt_sales(str(path), rows))
    return check_scores(sales_of_events(str(path), rows, len(document.get("phantoms") or ())))


def rebuilt_sales(source: str, judged: Sequence[Mapping[str, Any]]) -> SalesToTune:
    """The sales of judged recordings: true and perceived carts of every shopper, and the lowest confidences.

    A cart adds up what `checkout.cart` would; a shopper whose carts are both empty made no sale. What was
    missed has no confidence, and who is only a candidate in another's event is not held for it.
    """
    from checkout.cart import Carts
    from checkout.events import ShelfEvent

    true, seen = Carts(), Carts()
    lowest: dict[str, list[float]] = {}
    recording_of: dict[str, str] = {}
    for row in sorted(judged, key=lambda r: (r["recording"], float(r.get("t_s") or 0.0))):
        sure = [row[f"{a}_confidence"] for a in ASPECTS]
        for credited, cart, product, quantity in (
            (row["shopper"] if row["outcome"] != "phantom" else "", true, row["product"], row["quantity"]),
            (row["perceived_shopper"] if row["outcome"] != "missed" else "", seen, row["perceived"],
             row["perceived_quantity"]),
        ):  # fmt: skip
            if not credited:
                continue
            who = f"{row['recording']}\0{credited}"
            recording_of[who] = str(row["recording"])
            held = lowest.setdefault(who, [1.0, 1.0, 1.0])
            cart.add(ShelfEvent(0.0, row["action"], str(product), int(quantity), who))
            if cart is seen:
                lowest[who] = [min(a, float(b)) for a, b in zip(held, sure, strict=True)]
    buyers = [who for who in recording_of if true.contents(who) or seen.contents(who)]
    if not buyers:
        raise InputError(source, "judged", "holds no shopper who took anything")
    return SalesToTune(
        source,
        np.array([lowest[who] for who in buyers], dtype=float),
        ASPECTS,
        np.array([dict(true.contents(who)) != dict(seen.contents(who)) for who in buyers]),
        cluster=pd.factorize(np.array([recording_of[who] for who in buyers], dtype=object))[0],
        cluster_name="recording",
        notes=("judged recordings carry no prices here, so no money is counted",),
    )


def sales_of_events(source: str, judged: Sequence[Mapping[str, Any]], phantoms: int) -> SalesToTune:
    """The sales of a profile, which keeps whose each event was but no products: wrong where any event is.

    Two errors that cancel out still count as wrong here, and phantoms, whose shopper is not kept, do not.
    """
    lowest: dict[tuple[str, str], list[float]] = {}
    wrong: dict[tuple[str, str], bool] = {}
    for row in judged:
        true = (str(row["recording"]), str(row["shopper"]))
        credited = None if row["outcome"] == "missed" else (true[0], str(row["perceived_shopper"]))
        for who in dict.fromkeys([true, credited or true]):
            held = lowest.setdefault(who, [1.0, 1.0, 1.0])
            wrong[who] = wrong.get(who, False) or row["outcome"] != "right"
            if who == credited:
                sure = [float(row[f"{a}_confidence"]) for a in ASPECTS]
                lowest[who] = [min(a, b) for a, b in zip(held, sure, strict=True)]
    notes = ["judged recordings carry no prices here, so no money is counted",
             "a profile keeps no products: a sale is taken as wrong where any of its events is"]  # fmt: skip
    if phantoms:
        notes.append(
            f"{phantoms:,} events that never happened are left out, because their shopper is not kept"
        )
    return SalesToTune(
        source, np.array(list(lowest.values()), dtype=float), ASPECTS, np.array(list(wrong.values())),
        cluster=pd.factorize(np.array([recording for recording, _ in lowest], dtype=object))[0],
        cluster_name="recording", notes=tuple(notes),
    )  # fmt: skip
