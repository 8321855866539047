"""The command that was given, for pages that say how they were made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_words: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


@contextmanager
def given(words: Sequence[str]) -> Iterator[None]:
    """While it is open, `command_line` answers with these words."""
    token = _words.set(tuple(words))
    try:
        yield
    finally:
        _words.reset(token)


def command_line() -> str:
    """The command that was given, as a shell reads it."""
    return shlex.join(["checkout", *_words.get()])
