"""Gives memory that was freed back to the operating system."""

from __future__ import annotations

import ctypes
import sys

EVERY_S = 20.0
"""Assumed: freed memory is given back after so much video; that takes a fraction of a second of an hour."""


class FreedMemory:
    """Gives freed memory back while a video is watched, every `EVERY_S` seconds of it."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def update(self, t_s: float) -> None:
        """A frame of this time was watched."""
        if t_s - self._last_s >= EVERY_S:
            self._last_s = t_s
            _give_back()


def _give_back() -> None:
    """Give back what the C library holds of freed memory, where it can be asked to (glibc).

    Pictures that one thread makes and another lets go, among small things that stay, leave holes in the heap. glibc
    keeps them, and makes new ones rather than fill them.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # other C libraries, such as musl, have none
            trim(0)
