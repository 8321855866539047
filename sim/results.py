"""The rows of each day, the sums that are kept of them, and what is read off these sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sim.shoppers import Plans

DAY_S = 86_400.0
HOUR_S = 3600.0

COST_PARTS = (
    "hardware", "remodelling", "cloud", "carts", "staff", "shrink", "disputes", "lost_sales",
)  # fmt: skip
"""Parts of what a way of selling costs; the price of the goods themselves is not among them."""

METRICS = (
    "reviews_per_1000_sales",
    "held_per_1000_sales",
    "interventions_per_1000_sales",
    "audits_per_1000_sales",
    "escapes_per_1000_sales",
    "overcharges_per_1000_sales",
    "undercharges_per_1000_sales",
    "wrong_after_review_per_1000_sales",
    "escaped_usd_per_1000_sales",
    "disputes_per_1000_sales",
    "refunded_usd_per_1000_sales",
    "time_to_receipt_mean_s",
    "time_to_receipt_p50_s",
    "time_to_receipt_p95_s",
    "time_to_receipt_p99_s",
    "visit_mean_s",
    "visit_p95_s",
    "wait_mean_s",
    "wait_p95_s",
    "entry_wait_mean_s",
    "entry_wait_p95_s",
    "lane_wait_mean_s",
    "lane_wait_p95_s",
    "total_known_per_1000_sales",
    "belief_error_share",
    "over_budget_per_1000_sales",
    "lost_visits_per_1000_visits",
    "lost_usd_per_1000_visits",
    "shrink_share_of_value",
    "stolen_usd_per_1000_sales",
    "reviewer_utilisation",
    "reviews_waiting_at_midnight",
    "attendant_utilisation",
    "labour_hours_per_1000_sales",
    "people_inside_mean",
    "items_per_sale",
    "shelf_events_per_sale",
    "sales_per_day",
    "sold_usd_per_sale",
    "empty_visits_per_1000_visits",
    "cost_per_sale_usd",
    "cost_per_year_usd",
    *(f"cost_{part}_per_sale_usd" for part in COST_PARTS),
)
"""Every metric that a flow reports; one that a flow does not have is None, never 0."""

ONCE_A_SALE = (
    *(f"{name}_per_1000_sales" for name in (
        "reviews", "held", "audits", "escapes", "overcharges", "undercharges", "wrong_after_review", "disputes",
        "total_known", "over_budget",
    )),
    "lost_visits_per_1000_visits", "empty_visits_per_1000_visits",
)  # fmt: skip
"""Metrics that count sales or visits, each at most once."""

COLUMNS: dict[str, type] = {
    "shopper": np.int32, "day": np.int32, "served_by": np.int8, "arrives_s": float, "leaves_s": float,
    "entry_wait_s": float, "lane_wait_s": float, "help_wait_s": float, "wait_s": float, "sale": bool, "lost": bool,
    "units": np.int32, "shelf_events": np.int32, "true_usd": float, "charged_usd": float, "wrong": bool,
    "reviewed": bool, "held": bool, "interventions": np.int32, "audited": bool, "time_to_receipt_s": float,
    "confidence": float, "settled_confidence": float, "believed_usd": float, "total_known": bool,
    "over_budget": bool, "disputed": bool, "refunded_usd": float, "stolen_usd": float, "lost_usd": float,
}  # fmt: skip
"""Columns of the sales table, one row a visit.

    served_by: place in `sim.flows.FLOWS`. arrives_s, leaves_s: since the first midnight. entry_wait_s: at the gate or
    the cart dock; lane_wait_s: at the tills or the exit lane; help_wait_s: for an attendant; wait_s: their sum.
    sale: the true receipt, or the charged one before any review, is not empty. lost: came to buy and left without.
    wrong: the final bill differs from what was carried out. reviewed: a human looked at this sale. held: the bill
    waited for the review of somebody who stood near. time_to_receipt_s: from the exit to the final bill.
    confidence: lowest on this bill; settled_confidence: the highest threshold at which nobody makes this bill right;
    both NaN where nothing is perceived. believed_usd: what the shopper believes to owe when leaving the shelves.
    total_known: the exact total was shown before paying. over_budget: it was more than the shopper wanted to spend.
    refunded_usd: paid back after a dispute. stolen_usd: concealed and on no bill. lost_usd: wanted and not bought.
"""
_NAN = ("time_to_receipt_s", "confidence", "settled_confidence")


class DayTable:
    """The rows of one day, one array a column of `COLUMNS`, filled in by the flows.

    Attributes:
        open_bills: bills that still wait for a human; a day is counted when there are none.
        work_s: time that staff worked, by role. paid_s: time that they are paid for.
        costs_usd: money spent on this day, by part.
        waiting: reviews that were open at midnight.
        has: what the flow has of "reviews", "interventions", "audits", "entry" (a gate or a dock) and "lane".
    """

    def __init__(self, plans: Plans) -> None:
        size = len(plans)
        self.day, self._plans = plans.day, plans
        self.columns = {
            name: np.full(size, np.nan) if name in _NAN else np.zeros(size, kind)
            for name, kind in COLUMNS.items()
        }
        self.columns["shopper"][:] = np.arange(size)
        self.columns["day"][:] = plans.day
        self.columns["arrives_s"][:] = plans.day * DAY_S + plans.arrives_s
        self.enters_s = np.full(size, np.nan)
        self.open_bills = 0
        self.costs_usd = dict.fromkeys(COST_PARTS, 0.0)
        self.work_s: dict[str, float] = {}
        self.paid_s: dict[str, float] = {}
        self.waiting = 0
        self.open_hours_s = 0.0
        self.has: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def times(self, enters_s: np.ndarray, leaves_s: np.ndarray) -> None:
        """When each visit came in and left, seconds since this day's midnight."""
        self.enters_s = enters_s
        self.columns["leaves_s"][:] = self.day * DAY_S + leaves_s

    def employs(self, role: str, paid_s: float, work_s: float, usd_per_hour: float) -> None:
        """Count staff: paid time, worked time, and wages."""
        self.paid_s[role] = self.paid_s.get(role, 0.0) + paid_s
        self.work_s[role] = self.work_s.get(role, 0.0) + work_s
        self.costs_usd["staff"] += paid_s / HOUR_S * usd_per_hour

    @property
    def person_seconds(self) -> float:
        """Time that persons spent inside."""
        inside_s = self.columns["leaves_s"] - self.day * DAY_S - self.enters_s
        return float(np.nansum(inside_s * self._plans.people))


class Histogram:
    """Counts of durations in bins that widen by 0.2 %, so that a quantile is right within 0.1 % at any length."""

    LEAST_S = 0.01
    RATIO = 1.002

    def __init__(self) -> None:
        self._counts = np.zeros(1, np.int64)

    def update(self, values_s: np.ndarray) -> None:
        """Add durations; those under a hundredth of a second count as none."""
        logarithm = np.log(np.maximum(values_s, self.LEAST_S) / self.LEAST_S) / math.log(self.RATIO)
        counts = np.bincount(np.where(values_s < self.LEAST_S, 0, 1 + logarithm.astype(np.int64)))
        longer, shorter = (
            (counts, self._counts) if len(counts) > len(self._counts) else (self._counts, counts)
        )
        self._counts = longer.copy()
        self._counts[: len(shorter)] += shorter

    def quantile(self, share: float) -> float | None:
        """The duration that this share of all does not pass; None of nothing."""
        total = int(self._counts.sum())
        if not total:
            return None
        number = int(np.searchsorted(np.cumsum(self._counts), share * total - 1e-9))
        return 0.0 if number == 0 else self.LEAST_S * self.RATIO ** (number - 0.5)


class Tally:
    """Sums over the counted days of a replication; its size does not grow with their number."""

    def __init__(self, *, keep_rows: bool = True) -> None:
        self.days = 0
        self.sums: dict[str, float] = {}
        self.times = {
            name: Histogram() for name in ("time_to_receipt", "visit", "wait", "entry_wait", "lane_wait")
        }
        self.rows: list[dict[str, np.ndarray]] | None = [] if keep_rows else None
        self.costs_usd = dict.fromkeys(COST_PARTS, 0.0)
        self.has: set[str] = set()

    def update(self, table: DayTable) -> None:
        """Count one day."""
        t = table.columns
        sale = t["sale"]
        escape = sale & t["wrong"] & ~t["reviewed"]
        over = escape & (t["charged_usd"] >= t["true_usd"])
        gap_usd = t["charged_usd"] - t["true_usd"]
        visit_s = t["leaves_s"] - t["arrives_s"]
        paid = sale & (t["charged_usd"] > 0)
        off = np.abs(t["believed_usd"][paid] - t["charged_usd"][paid]) / t["charged_usd"][paid]
        self._add(
            visits=len(sale),
            sales=sale.sum(),
            reviews=(sale & t["reviewed"]).sum(),
            held=(sale & t["held"]).sum(),
            interventions=t["interventions"].sum(),
            audits=(sale & t["audited"]).sum(),
            escapes=escape.sum(),
            overcharges=over.sum(),
            undercharges=(escape & ~over).sum(),
            wrong_after_review=(sale & t["reviewed"] & t["wrong"]).sum(),
            escaped_usd=np.abs(gap_usd[escape]).sum(),
            disputes=(sale & t["disputed"]).sum(),
            refunded_usd=t["refunded_usd"].sum(),
            time_to_receipt_s=t["time_to_receipt_s"][sale].sum(),
            visit_s=visit_s.sum(),
            wait_s=t["wait_s"].sum(),
            entry_wait_s=t["entry_wait_s"].sum(),
            lane_wait_s=t["lane_wait_s"].sum(),
            total_known=(sale & t["total_known"]).sum(),
            belief_error=off.sum(),
            paid=paid.sum(),
            over_budget=(sale & t["over_budget"]).sum(),
            lost=t["lost"].sum(),
            lost_usd=t["lost_usd"].sum(),
            empty=(~sale & ~t["lost"]).sum(),
            true_usd=t["true_usd"][sale].sum(),
            sold_usd=t["charged_usd"][sale].sum(),
            unpaid_usd=np.maximum(0.0, -gap_usd).sum() + t["refunded_usd"].sum() - _refunds_due(t),
            stolen_usd=t["stolen_usd"].sum(),
            units=t["units"][sale].sum(),
            shelf_events=t["shelf_events"][sale].sum(),
            person_s=table.person_seconds,
            open_s=table.open_hours_s,
            waiting=table.waiting,
            **{f"work_s_{role}": value for role, value in table.work_s.items()},
            **{f"paid_s_{role}": value for role, value in table.paid_s.items()},
        )
        self.times["time_to_receipt"].update(t["time_to_receipt_s"][sale])
        self.times["visit"].update(visit_s)
        for name in ("wait", "entry_wait", "lane_wait"):
            self.times[name].update(t[f"{name}_s"])
        for part, usd in table.costs_usd.items():
            self.costs_usd[part] += usd
        self.days += 1
        self.has |= table.has
        if self.rows is not None:
            self.rows.append(t)

    def _add(self, **values: Any) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)


def _refunds_due(t: Mapping[str, np.ndarray]) -> float:
    """Refunds of what was charged too much; the others are given for goods that were taken."""
    due = np.maximum(0.0, t["charged_usd"] - t["true_usd"])
    return float(np.minimum(due, t["refunded_usd"]).sum())


@dataclass
class Replication:
    """What one replication of one flow yields.

    Attributes:
        tally: the sums over its counted days.
        person_seconds: time that persons spent inside, warm-up included.
        open_days_per_year: for the costs of a year.
        table: the sales table, one array a column of `COLUMNS`; empty when rows were not kept.
    """

    tally: Tally
    person_seconds: float
    open_days_per_year: float = 365.0
    table: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        rows = self.tally.rows or []
        self.table = {
            name: np.concatenate([day[name] for day in rows]) if rows else np.zeros(0, kind)
            for name, kind in COLUMNS.items()
        }

    @property
    def visits(self) -> int:
        return int(self.tally.sums.get("visits", 0))

    @property
    def sales(self) -> int:
        return int(self.tally.sums.get("sales", 0))

    @property
    def costs_usd(self) -> dict[str, float]:
        """Money spent in the counted days, by part."""
        return self.tally.costs_usd

    @property
    def is_sale(self) -> np.ndarray:
        """Visits with a non-empty true or charged receipt, bool [n]; one that a review emptied stays a sale."""
        return np.asarray(self.table["sale"], dtype=bool)

    def metrics(self) -> dict[str, float | None]:
        """All `METRICS` of this replication."""
        if not self.sales:
            return dict.fromkeys(METRICS)
        values = self._rates() | self._times() | self._staff() | self._costs()
        return {name: values.get(name) for name in METRICS}

    def _rates(self) -> dict[str, float | None]:
        s, sales = self.tally.sums, self.sales

        def per_1000(name: str, shown: bool = True) -> float | None:
            return 1000.0 * s[name] / sales if shown else None

        reviews, has = "reviews" in self.tally.has, self.tally.has
        return {
            "reviews_per_1000_sales": per_1000("reviews", reviews),
            "held_per_1000_sales": per_1000("held", reviews),
            "wrong_after_review_per_1000_sales": per_1000("wrong_after_review", reviews),
            "disputes_per_1000_sales": per_1000("disputes", reviews),
            "refunded_usd_per_1000_sales": per_1000("refunded_usd", reviews),
            "interventions_per_1000_sales": per_1000("interventions", "interventions" in has),
            "audits_per_1000_sales": per_1000("audits", "audits" in has),
            "escapes_per_1000_sales": per_1000("escapes"),
            "overcharges_per_1000_sales": per_1000("overcharges"),
            "undercharges_per_1000_sales": per_1000("undercharges"),
            "escaped_usd_per_1000_sales": per_1000("escaped_usd"),
            "total_known_per_1000_sales": per_1000("total_known"),
            "belief_error_share": s["belief_error"] / s["paid"] if s["paid"] else None,
            "over_budget_per_1000_sales": per_1000("over_budget"),
            "stolen_usd_per_1000_sales": per_1000("stolen_usd"),
            "shrink_share_of_value": s["unpaid_usd"] / s["true_usd"] if s["true_usd"] else None,
            "lost_visits_per_1000_visits": 1000.0 * s["lost"] / s["visits"],
            "lost_usd_per_1000_visits": 1000.0 * s["lost_usd"] / s["visits"],
            "empty_visits_per_1000_visits": 1000.0 * s["empty"] / s["visits"],
            "items_per_sale": s["units"] / sales,
            "shelf_events_per_sale": s["shelf_events"] / sales,
            "sales_per_day": sales / self.tally.days,
            "sold_usd_per_sale": s["sold_usd"] / sales,
        }

    def _times(self) -> dict[str, float | None]:
        s, times = self.tally.sums, self.tally.times
        found: dict[str, float | None] = {
            "time_to_receipt_mean_s": s["time_to_receipt_s"] / self.sales,
            "people_inside_mean": s["person_s"] / s["open_s"] if s["open_s"] else None,
        }
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            found[f"time_to_receipt_{name}_s"] = times["time_to_receipt"].quantile(share)
        for name, shown in (
            ("visit", True),
            ("wait", True),
            ("entry_wait", "entry" in self.tally.has),
            ("lane_wait", "lane" in self.tally.has),
        ):
            found[f"{name}_mean_s"] = s[f"{name}_s"] / s["visits"] if shown else None
            found[f"{name}_p95_s"] = times[name].quantile(0.95) if shown else None
        return found

    def _staff(self) -> dict[str, float | None]:
        s = self.tally.sums
        paid = {
            name.removeprefix("paid_s_"): value for name, value in s.items() if name.startswith("paid_s_")
        }

        def busy(role: str) -> float | None:
            return s[f"work_s_{role}"] / paid[role] if paid.get(role) else None

        return {
            "labour_hours_per_1000_sales": 1000.0 * sum(paid.values()) / HOUR_S / self.sales,
            "reviewer_utilisation": busy("reviewers"),
            "attendant_utilisation": busy("attendants"),
            "reviews_waiting_at_midnight": s["waiting"] / self.tally.days
            if "reviews" in self.tally.has
            else None,
        }

    def _costs(self) -> dict[str, float | None]:
        total = sum(self.costs_usd.values())
        return {
            "cost_per_sale_usd": total / self.sales,
            "cost_per_year_usd": total / self.tally.days * self.open_days_per_year,
            **{f"cost_{part}_per_sale_usd": usd / self.sales for part, usd in self.costs_usd.items()},
        }


FIXED_PARTS = ("hardware", "remodelling", "carts", "staff")
"""Parts that a store pays whatever it sells; the others grow with the sales."""


def tally(values: list[Any]) -> list[float]:
    """The numbers among values that may be None."""
    return [float(v) for v in values if v is not None]
