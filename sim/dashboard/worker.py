"""One process in the background that simulates, so that the page answers while it does."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

LOOK_EVERY_S = 0.1
_told: Any = None


def _starts(told: Any) -> None:
    global _told
    _told = told
    # An interrupt of the terminal ends the page, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_page, daemon=True).start()


def _end_with_the_page() -> None:
    """Wait until the process that serves the page has ended, however it did, and end too."""
    page = multiprocessing.parent_process()
    if page is not None:
        page.join()
        os._exit(0)


def tell(what: str, share: float) -> None:
    """Say from within a job how far it is, 0-1."""
    if _told is not None:
        _told.put((what, share))


class Worker:
    """Runs one job after the other in a process of its own, and keeps what came out."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue = context.SimpleQueue()
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_starts, initargs=(self._queue,))
        self._kept: dict[Any, Any] = {}
        self._turn = asyncio.Lock()

    async def run(
        self,
        key: Any,
        job: Callable[..., Any],
        *arguments: Any,
        progress: Callable[[float], object] | None = None,
    ) -> Any:
        """What `job(*arguments)` returns, from memory where the key was asked for before.

        Args:
            job: a function of a module; it may call `tell`.
        """
        async with self._turn:
            if key not in self._kept:
                future = asyncio.wrap_future(self._pool.submit(job, *arguments))
                while not future.done():
                    self._drain(progress)
                    await asyncio.wait([future], timeout=LOOK_EVERY_S)
                self._drain(None)
                self._kept[key] = future.result()
            return self._kept[key]

    def _drain(self, progress: Callable[[float], object] | None) -> None:
        while not self._queue.empty():
            _, share = self._queue.get()
            if progress:
                progress(share)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
