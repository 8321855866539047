"""The page of `monitor --report`: whether the promise stands, and what has changed."""

from __future__ import annotations

from html import escape
from pathlib import Path

from sim.report.flows import how_obtained, versions, write_page
from sim.report.page import _section, table
from sim.tuning.drift import Outlook


def write_monitor_page(
    path: Path,
    outlook: Outlook,
    *,
    source: str,
    limit_per_1000_sales: float,
    false_alarm: float,
    audit_share: float,
    bad_lines: int,
    command: str,
    force: bool = False,
) -> None:
    """Write the page; it loads nothing from anywhere.

    Raises:
        InputError: the file exists and `force` is not set.
    """
    from sim.tune_cli import outlook_rows, outlook_verdict

    changed = [
        (h.what, f"{h.now:.4g}", f"{h.baseline:.4g}", f"{h.evidence:.3g}", h.advice) for h in outlook.hints
    ]
    sections = [
        "<h1>Does the promise still stand?</h1>",
        f"<p><b>{escape(outlook_verdict(outlook, limit_per_1000_sales))}</b></p>",
        table(("", "value"), outlook_rows(outlook, limit_per_1000_sales, false_alarm)),
        _section(
            "What has changed",
            "Against what was counted when the promise was made (--promise)." if changed else "Nothing that is known.",
            table(("what", "now", "then", "evidence", "what to do"), changed) if changed else "",
        ),
        how_obtained(
            [
                ("command", f"<code>{escape(command)}</code>"),
                ("sales", f"{escape(source)}: {outlook.sales:,}; {bad_lines:,} bad lines were left out"),
                ("audits", f"{100 * audit_share:g} % of the sales that were not reviewed, drawn at random"),
                ("test", "betting against the promise (Waudby-Smith and Ramdas 2024); the alarm is ever raised with "
                         f"probability at most {false_alarm:g} while the promise stands (Ville 1939)"),
                ("versions", versions()),
            ],
            None,
        ),
    ]  # fmt: skip
    write_page(path, "Does the promise still stand?", sections, force=force)
