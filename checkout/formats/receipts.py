"""Receipts as others read them: a CSV table, and the AutoCheckout competition's answer file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from checkout.catalog import Catalog
from checkout.errors import InputError
from checkout.events import Receipt
from checkout.output import new_file

CSV_COLUMNS = (
    "shopper",
    "product",
    "barcode",
    "name",
    "quantity",
    "unit_price",
    "confidence",
    "decision",
    "reasons",
)


def write_receipts_csv(
    path: Path, receipts: Sequence[Receipt], catalog: Catalog, *, force: bool = False
) -> None:
    """One row a receipt line; a shopper who took nothing has one row without a product."""
    with new_file(path, force=force) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(CSV_COLUMNS)
        for receipt in receipts:
            more = f" (and {len(receipt.reasons) - 1} more)" if len(receipt.reasons) > 1 else ""
            end = (receipt.decision, receipt.reasons[0] + more if receipt.reasons else "")
            for line in receipt.lines:
                p, sure = catalog[line.product], round(line.confidence, 4)
                row = (receipt.shopper, p.product, p.barcode, p.name, line.quantity, p.price, sure)
                table.writerow((*row, *end))
            if not receipt.lines:
                table.writerow((receipt.shopper, "", "", "", 0, "", round(receipt.confidence, 4), *end))


def write_competition_receipts(
    path: Path, receipts: Sequence[Receipt], catalog: Catalog, *, force: bool = False
) -> None:
    """The competition's answer: for each shopper (`target_id`) the barcodes and quantities.

    Raises:
        InputError: a product on a receipt has no barcode.
    """
    rows = []
    for receipt in receipts:
        products = []
        for line in receipt.lines:
            barcode = catalog[line.product].barcode
            if not barcode:
                raise InputError(
                    "catalog.csv", "barcode", f"{line.product!r} has none, and the competition's format names products"
                    " by it", "add it",
                )  # fmt: skip
            products.append({"barcode": barcode, "quantity": line.quantity})
        rows.append({"target_id": receipt.shopper, "products": products})
    with new_file(path, force=force) as draft:
        draft.write_text(json.dumps({"receipts": rows}, indent=1) + "\n", encoding="utf-8")
