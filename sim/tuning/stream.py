"""Sales for a monitor, line by line from a CSV or a stream."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from checkout.errors import InputError, nearest
from sim.tuning.drift import Baseline, Monitor, Outlook, missing_audit
from sim.tuning.sales import CONFIDENCE_COLUMNS
from sim.tuning.tables import NO, YES


@dataclass(frozen=True)
class StreamColumns:
    """Names of the columns that a monitor needs."""

    reviewed: str = "reviewed"
    audited: str = "audited"
    wrong: str = "wrong"


def watch(
    lines: Iterable[str],
    source: str,
    monitor: Monitor,
    columns: StreamColumns,
    baseline: Baseline | None,
    told: Callable[[Outlook, bool], None],
    *,
    every: int = 0,
    stop: bool = False,
    skip_bad: bool = False,
) -> int:
    """Let the monitor see every sale; returns how many bad lines were left out.

    Args:
        told: called with the outlook at the alarm, and after every so many sales.

    Raises:
        InputError: a column is missing, a line is bad, nothing was audited, or the audits were not drawn with
            the stated probability.
    """
    reader = csv.reader(lines)
    try:
        header = [name.strip() for name in next(reader, [])]
    except UnicodeDecodeError as error:
        raise InputError(source, "", f"is not UTF-8 text ({error.reason})") from None
    if not header:
        raise InputError(source, "", "is empty", "the first line must name the columns")
    _check_columns(source, header, columns)
    confidences = _confidence_places(header, baseline)
    group = header.index(baseline.group_column) if baseline and baseline.group_column in header else None
    place = {name: header.index(name) for name in (columns.reviewed, columns.audited, columns.wrong)}
    bad = 0
    for row in reader:
        if not row:
            continue
        try:
            seen = _sale(source, reader.line_num, row, header, place, columns)
            sure = {
                name: _confidence(source, reader.line_num, header[at], row[at])
                for name, at in confidences.items()
            }
        except InputError:
            if not skip_bad:
                raise
            bad += 1
            continue
        alarm = monitor.see(
            reviewed=seen[0], audited=seen[1], wrong=seen[2], group=None if group is None else row[group],
            confidences=sure or None,
        )  # fmt: skip
        if alarm or (every and monitor.sales % every == 0):
            told(monitor.outlook(), alarm)
        if alarm and stop:
            return bad
    if not monitor.sales:
        raise InputError(source, "", "holds no sale")
    if not monitor.audited:
        raise InputError(
            source, columns.audited, f"none of the {monitor.sales:,} sales was audited, so nothing can be said",
            "audit sales that were not reviewed, drawn at random",
        )  # fmt: skip
    doubts = monitor.audit_doubts()
    if doubts:
        raise InputError(
            source, columns.audited, doubts,
            "give the share with which the audits were drawn, and keep a line for every sale, audited or not",
        )  # fmt: skip
    return bad


def _check_columns(source: str, header: list[str], columns: StreamColumns) -> None:
    if columns.audited not in header:
        raise InputError(source, columns.audited, missing_audit(header), nearest(columns.audited, header))
    for name in (columns.reviewed, columns.wrong):
        if name not in header:
            raise InputError(
                source, name, f"is not a column, it has {', '.join(header[:12])}", nearest(name, header)
            )


def _confidence_places(header: list[str], baseline: Baseline | None) -> dict[str, int]:
    """Where each aspect of the baseline stands in a line; an aspect without a column is not watched."""
    places: dict[str, int] = {}
    for aspect in baseline.thresholds if baseline else ():
        names = [aspect, *(name for known in CONFIDENCE_COLUMNS for name in known if aspect in name)]
        found = next((header.index(name) for name in names if name in header), None)
        if found is not None:
            places[aspect] = found
    return places


def _sale(
    source: str,
    line: int,
    row: list[str],
    header: list[str],
    place: Mapping[str, int],
    columns: StreamColumns,
) -> tuple[bool, bool, bool]:
    """Reviewed, audited, wrong; `wrong` may be empty where nobody looked."""
    if len(row) != len(header):
        raise InputError(
            source, f"line {line}", f"has {len(row)} fields, expected {len(header)}",
            "mend it, or pass --skip-bad to leave bad lines out and count them",
        )  # fmt: skip
    reviewed = _flag(source, line, columns.reviewed, row[place[columns.reviewed]])
    audited = _flag(source, line, columns.audited, row[place[columns.audited]])
    text = row[place[columns.wrong]]
    wrong = False if not text.strip() and not audited else _flag(source, line, columns.wrong, text)
    return reviewed, audited, wrong


def _flag(source: str, line: int, name: str, text: str) -> bool:
    word = text.strip().lower()
    if word in YES:
        return True
    if word in NO:
        return False
    raise InputError(
        source, f"line {line}: {name}", f"{text!r}, expected 0 or 1",
        "mend it, or pass --skip-bad to leave bad lines out and count them",
    )  # fmt: skip


def _confidence(source: str, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if 0.0 <= value <= 1.0:
        return value
    raise InputError(
        source, f"line {line}: {name}", f"{text!r}, expected a number from 0 to 1",
        "mend it, or pass --skip-bad to leave bad lines out and count them",
    )  # fmt: skip
