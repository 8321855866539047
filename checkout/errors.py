"""What the user is told when an input cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """An input that cannot be used, said in one line; the command line exits with code 2.

    `others` are more faults of the same row, for those who gather them.

    >>> print(InputError("recording.yaml", "cameras[1].file", "'cam1.mp4' does not exist", "add the file"))
    recording.yaml: cameras[1].file: 'cam1.mp4' does not exist; add the file
    """

    def __init__(self, file: str | Path, field: str, problem: str, remedy: str = "") -> None:
        self.file, self.field, self.problem, self.remedy = str(file), field, problem, remedy
        self.others: tuple[InputError, ...] = ()
        where = ": ".join(part for part in (str(file), field) if part)
        super().__init__(f"{where}: {problem}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str]]:
        return type(self), (self.file, self.field, self.problem, self.remedy)


@contextmanager
def gathered(faults: list[InputError] | None) -> Iterator[None]:
    """Put a fault on the list and go on after the block; without a list, let it through."""
    try:
        yield
    except InputError as error:
        if faults is None:
            raise
        faults += [error, *error.others]


def raise_found(found: list[InputError]) -> None:
    """Raise the first of the faults that were gathered, if there are any; the rest are its `others`."""
    if found:
        found[0].others = tuple(found[1:])
        raise found[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known word most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {match[0]!r}?" if match else ""
