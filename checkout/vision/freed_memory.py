"""Gives memory that was freed back to the operating system."""

from __future__ import annotations

import ctypes
import sys


def give_back_freed_memory() -> bool:
    """Give back what the C library holds of freed memory, where it can be asked to (glibc); whether it was.

    Pictures that one thread makes and another lets go, among small things that stay, leave holes in the heap. glibc
    keeps them, and makes new ones rather than fill them.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # another C library, such as musl
        return False
    trim(0)
    return True
