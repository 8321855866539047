"""Tables of sales from files: CSV, Parquet or a folder of Parquet; every bad line is named and counted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from checkout.errors import InputError

YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


CSV_SUFFIXES = (".csv", ".txt", ".tsv")


@dataclass
class Table:
    """A table's column names and its rows; `frame` where it is in memory.

    Attributes:
        ragged: lines of a CSV that have another number of fields than the header, with what is wrong.
        blank: empty lines, which are no rows.
    """

    path: Path
    names: tuple[str, ...]
    frame: pd.DataFrame | None = None
    ragged: list[tuple[int, str]] = field(default_factory=list)
    blank: int = 0
    _numbers: np.ndarray | None = None

    @property
    def is_csv(self) -> bool:
        return self.frame is None and self.path.suffix.lower() in CSV_SUFFIXES

    def number(self, row: int) -> int:
        """The line of a CSV (the header is line 1) that a row (from 0) stands in, else the row from 1."""
        return row + 1 if self._numbers is None else int(self._numbers[row])

    def where(self, number: int) -> str:
        """What a line or row is called in a message."""
        return f"{'line' if self.is_csv else 'row'} {number}"

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """These columns; lines with another number of fields go to `ragged`."""
        if self.frame is not None:
            return self.frame[list(columns)].reset_index(drop=True)
        if not self.is_csv:
            return pd.read_parquet(self.path, columns=list(columns))
        import pyarrow
        import pyarrow.csv

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            self.ragged.append(
                (row.number, f"has {row.actual_columns} fields, expected {row.expected_columns}")
            )
            return "skip"

        try:
            frame = pyarrow.csv.read_csv(
                self.path,
                pyarrow.csv.ReadOptions(use_threads=False),  # with threads a bad line has no number
                pyarrow.csv.ParseOptions(
                    delimiter=_delimiter(self.path), newlines_in_values=True, ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                pyarrow.csv.ConvertOptions(include_columns=list(columns)),
            ).to_pandas()  # fmt: skip
        except pyarrow.ArrowInvalid as error:
            raise InputError(self.path, "", f"cannot be read ({error})") from None
        numbers = np.arange(2, 2 + len(frame) + len(self.ragged))
        numbers = np.setdiff1d(numbers, [number for number, _ in self.ragged], assume_unique=True)
        empty = np.logical_and.reduce([(frame[c].isna() | (frame[c] == "")).to_numpy() for c in columns])
        self.blank, self._numbers = int(empty.sum()), numbers[~empty]
        return frame[~empty].reset_index(drop=True)


def open_table(path: Path) -> Table:
    """The table in a file or folder; raises `InputError` when it is none."""
    if not path.exists():
        raise InputError(path, "", "does not exist")
    if path.is_dir() or path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow
        import pyarrow.dataset

        try:
            return Table(path, tuple(pyarrow.dataset.dataset(path, partitioning="hive").schema.names))
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise InputError(path, "", f"is not a Parquet table ({error})") from None
    if path.suffix.lower() not in CSV_SUFFIXES:
        raise InputError(path, "", "is neither .csv nor .parquet, nor a folder of Parquet files")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header = next(csv.reader(lines, delimiter=_delimiter(path)), [])
    except UnicodeDecodeError as error:
        raise InputError(path, "", f"is not UTF-8 text ({error.reason} at byte {error.start})") from None
    if not header:
        raise InputError(path, "", "is empty", "the first line must name the columns")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(path, twice, "names two columns", "give each a name of its own")
    return Table(path, tuple(header))


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


@dataclass
class BadLines:
    """Collects the rows that cannot be used, and why the first of them cannot.

    `among` marks the rows that count at all.
    """

    table: Table
    among: np.ndarray | None = None
    _rows: np.ndarray | None = None
    _first: tuple[int, str, str, str] | None = field(default=None)

    def add(self, bad: np.ndarray, name: str, values: pd.Series, expected: str) -> None:
        """Note the rows where `bad` is set."""
        if self.among is not None:
            bad = bad & self.among
        self._rows = bad if self._rows is None else self._rows | bad
        if bad.any():
            row = int(np.argmax(bad))
            if self._first is None or row < self._first[0]:
                value = values.iloc[row]
                plain = value.item() if isinstance(value, np.generic) else value
                shown = "empty" if plain is None or plain != plain or plain == "" else repr(plain)
                self._first = (row, name, shown, expected)

    def rows(self, size: int) -> np.ndarray:
        """The rows that are bad so far, bool [size]."""
        return np.zeros(size, dtype=bool) if self._rows is None else self._rows

    def settle(self, size: int, *, skip: bool, notes: list[str]) -> np.ndarray:
        """The bad rows, bool [size], counted in a note when they may be skipped; else raises for the first."""
        found = [] if self._first is None else [self._said(*self._first)]
        found += [(number, f"line {number}", told) for number, told in self.table.ragged]
        rows = self.rows(size)
        if not found:
            return rows
        count = int(rows.sum()) + len(self.table.ragged)
        _, where, told = min(found)
        if not skip:
            more = f"{count:,} bad lines in all; " if count > 1 else ""
            raise InputError(
                self.table.path,
                where,
                told,
                f"{more}mend them, or pass --skip-bad to leave them out and count them",
            )
        notes.append(f"{count:,} bad lines were left out, the first: {where}: {told}")
        return rows

    def _said(self, row: int, name: str, shown: str, expected: str) -> tuple[int, str, str]:
        number = self.table.number(row)
        return number, f"{self.table.where(number)}: {name}", f"{shown}, expected {expected}"


def numbers(
    table: Table, frame: pd.DataFrame, name: str, bad: BadLines, *, low: float, high: float = np.inf
) -> np.ndarray:
    """A column as float64 [n]; rows that are no number from `low` to `high` are bad."""
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    inside = (values >= low) & (values <= high) & np.isfinite(values)
    expected = f"a number from {low:g} to {high:g}" if np.isfinite(high) else f"a number of at least {low:g}"
    if high == 1.0 and np.nanmax(np.append(values, 0.0)) > 1.0:
        expected += " (divide by 100 if these are per cent)"
    bad.add(~inside, name, column, expected)
    return values


def flags(table: Table, frame: pd.DataFrame, name: str, bad: BadLines) -> np.ndarray:
    """A column of 0/1, true/false or yes/no as bool [n]; other rows are bad."""
    column = frame[name]
    if column.dtype == bool:
        return column.to_numpy()
    values = pd.to_numeric(column, errors="coerce")
    if values.notna().all():
        given = values.to_numpy(float)
        bad.add((given != 0) & (given != 1), name, column, "0 or 1")
        return np.asarray(given == 1)
    words = column.astype(str).str.strip().str.lower()
    yes = words.isin(YES).to_numpy()
    bad.add(~yes & ~words.isin(NO).to_numpy(), name, column, "0 or 1")
    return np.asarray(yes)
