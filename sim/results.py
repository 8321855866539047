"""The sales table of a replication, and what is read off it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

METRICS = (
    "reviews_per_1000_sales",
    "interventions_per_1000_sales",
    "audits_per_1000_sales",
    "escapes_per_1000_sales",
    "overcharges_per_1000_sales",
    "undercharges_per_1000_sales",
    "wrong_after_review_per_1000_sales",
    "escaped_usd_per_1000_sales",
    "time_to_receipt_mean_s",
    "time_to_receipt_p50_s",
    "time_to_receipt_p95_s",
    "visit_mean_s",
    "wait_mean_s",
    "wait_p95_s",
    "reviewer_utilisation",
    "people_inside_mean",
    "items_per_sale",
    "shelf_events_per_sale",
    "empty_visits_per_1000_visits",
    "cost_per_sale_usd",
    "cost_hardware_per_sale_usd",
    "cost_staff_per_sale_usd",
    "cost_cloud_per_sale_usd",
    "cost_errors_per_sale_usd",
)
"""Every metric that a flow reports; one that a flow does not have is None, never 0."""

COLUMNS: dict[str, type] = {
    "shopper": int, "arrives_s": float, "leaves_s": float, "wait_s": float, "sale": bool, "units": int,
    "shelf_events": int, "true_usd": float, "charged_usd": float, "wrong": bool, "reviewed": bool,
    "interventions": int, "audited": bool, "time_to_receipt_s": float, "confidence": float,
}  # fmt: skip
"""Columns of the sales table, one row a visit."""


@dataclass(slots=True)
class Visit:
    """One row of the sales table.

    Attributes:
        wait_s: time spent in queues (gate, cart dock, attendant, exit lane).
        sale: whether the true receipt, or the charged one before any review, is not empty.
        wrong: whether the final bill differs from what was carried out.
        confidence: lowest confidence that decided about a review; NaN where nothing is perceived.
    """

    shopper: int
    arrives_s: float
    leaves_s: float = math.nan
    wait_s: float = 0.0
    sale: bool = False
    units: int = 0
    shelf_events: int = 0
    true_usd: float = 0.0
    charged_usd: float = 0.0
    wrong: bool = False
    reviewed: bool = False
    interventions: int = 0
    audited: bool = False
    time_to_receipt_s: float = math.nan
    confidence: float = math.nan


@dataclass
class Replication:
    """What one replication of one flow yields.

    Attributes:
        table: the sales table, one array a column of `COLUMNS`.
        costs_usd: money spent in the replication, by part ("hardware", "staff", "cloud", "errors").
        reviews: whether the flow has a review desk; likewise for the others.
    """

    visits: list[Visit]
    person_seconds: float
    costs_usd: dict[str, float]
    has_reviews: bool
    reviewer_utilisation: float | None = None
    table: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.table = {
            name: np.array([getattr(v, name) for v in self.visits], dtype=kind)
            for name, kind in COLUMNS.items()
        }

    @property
    def is_sale(self) -> np.ndarray:
        """Visits with a non-empty true or charged receipt, bool [n]; one that a review emptied stays a sale."""
        return np.asarray(self.table["sale"], dtype=bool)

    def metrics(self) -> dict[str, float | None]:
        """All `METRICS` of this replication."""
        t, sale = self.table, self.is_sale
        sales = int(sale.sum())
        if not sales:
            return dict.fromkeys(METRICS)
        escape = sale & t["wrong"] & ~t["reviewed"]
        over = escape & (t["charged_usd"] >= t["true_usd"])
        receipt_s = t["time_to_receipt_s"][sale]
        span_s = float(t["leaves_s"].max() - t["arrives_s"].min())
        per_1000 = 1000.0 / sales
        values: dict[str, float | None] = {
            "reviews_per_1000_sales": float((sale & t["reviewed"]).sum()) * per_1000
            if self.has_reviews
            else None,
            "wrong_after_review_per_1000_sales": (
                float((sale & t["reviewed"] & t["wrong"]).sum()) * per_1000 if self.has_reviews else None
            ),
            "interventions_per_1000_sales": (
                None if self.has_reviews else float(t["interventions"][sale].sum()) * per_1000
            ),
            "audits_per_1000_sales": None if self.has_reviews else float(t["audited"][sale].sum()) * per_1000,
            "escapes_per_1000_sales": float(escape.sum()) * per_1000,
            "overcharges_per_1000_sales": float(over.sum()) * per_1000,
            "undercharges_per_1000_sales": float((escape & ~over).sum()) * per_1000,
            "escaped_usd_per_1000_sales": float(np.abs(t["charged_usd"] - t["true_usd"])[escape].sum())
            * per_1000,
            "time_to_receipt_mean_s": float(receipt_s.mean()),
            "time_to_receipt_p50_s": float(np.quantile(receipt_s, 0.5)),
            "time_to_receipt_p95_s": float(np.quantile(receipt_s, 0.95)),
            "visit_mean_s": float((t["leaves_s"] - t["arrives_s"]).mean()),
            "wait_mean_s": float(t["wait_s"].mean()),
            "wait_p95_s": float(np.quantile(t["wait_s"], 0.95)),
            "reviewer_utilisation": self.reviewer_utilisation,
            "people_inside_mean": self.person_seconds / span_s if span_s > 0 else None,
            "items_per_sale": float(t["units"][sale].mean()),
            "shelf_events_per_sale": float(t["shelf_events"][sale].mean()),
            "empty_visits_per_1000_visits": 1000.0 * (1 - sales / len(sale)),
            "cost_per_sale_usd": sum(self.costs_usd.values()) / sales,
        }
        for part, usd in self.costs_usd.items():
            values[f"cost_{part}_per_sale_usd"] = usd / sales
        return {name: values.get(name) for name in METRICS}


def tally(values: list[Any]) -> list[float]:
    """The numbers among values that may be None."""
    return [float(v) for v in values if v is not None]
