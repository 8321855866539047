"""Where replications run: in this process, in processes of this machine, or on a Dask cluster.

The engine never changes a number: every replication has its own random streams and comes back
with its own name, whoever ran it and in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from checkout.errors import InputError

CONNECT_S = 10.0
"""How long a Dask scheduler, and then its first worker, may take to answer."""


class WorkersLost(Exception):
    """Whoever ran the replications has gone: killed, out of memory, or out of reach."""


@dataclass(frozen=True)
class Engine:
    """Who runs the replications.

    Attributes:
        workers: processes of this machine (joblib with loky); 1 runs them in this process.
        scheduler: address of a Dask scheduler, whose workers run them instead.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError("--workers", "", f"{self.workers}, expected at least 1")

    def run(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Results of `function(*job)` in the order in which they are done.

        Raises:
            InputError: the Dask scheduler does not answer, or has no workers, or they lack this package.
            WorkersLost: a worker of this machine was killed, or Dask gave a replication up.
        """
        return self._on_dask(function, jobs) if self.scheduler else self._here(function, jobs)

    def _here(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        parallel = Parallel(n_jobs=self.workers, return_as="generator_unordered")
        try:
            yield from _until_closed(parallel(delayed(function)(*job) for job in jobs))
        except TerminatedWorkerError:
            raise WorkersLost(
                "a worker process was killed (by a signal, or because memory ran out)"
            ) from None

    def _on_dask(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        from concurrent.futures import CancelledError

        from distributed.exceptions import WorkerStartTimeoutError
        from distributed.scheduler import KilledWorker
        from joblib import Parallel, delayed, parallel_config

        assert self.scheduler is not None
        with _client(self.scheduler) as client:
            try:
                client.wait_for_workers(1, timeout=CONNECT_S)
            except (TimeoutError, WorkerStartTimeoutError):
                raise InputError(
                    "--scheduler",
                    "",
                    f"{self.scheduler} has no workers",
                    f"start some: dask worker {self.scheduler}",
                ) from None
            with parallel_config(_reporting_backend()(client=client), n_jobs=-1):
                # Twice joblib's default, for workers that come later.
                parallel = Parallel(return_as="generator_unordered", pre_dispatch="4 * n_jobs")
                results = parallel(delayed(function)(*job) for job in jobs)
            try:
                yield from _until_closed(results)
            except ModuleNotFoundError as error:
                raise InputError(
                    "--scheduler",
                    "",
                    f"a Dask worker does not have the package {error.name!r}",
                    "install checkout-simulator where the workers run",
                ) from None
            except KilledWorker:
                raise WorkersLost(
                    "Dask gave a replication up after several of its workers died on it"
                ) from None
            except (CancelledError, OSError, TypeError) as error:
                if client.status == "running" and not isinstance(error, CancelledError):
                    raise
                raise WorkersLost(f"the Dask scheduler {self.scheduler} is gone") from None


def _until_closed(results: Iterator[Any]) -> Iterator[Any]:
    """The results; joblib does not warn of what is left undone when whoever reads them stops."""
    import warnings

    try:
        for result in results:  # noqa: UP028  (delegating would close them outside the filter below)
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*still being processed by the workers", category=UserWarning
            )
            results.close()  # type: ignore[attr-defined]


def _reporting_backend() -> type:
    """joblib's Dask backend, with two differences.

    It also tells joblib of a task that Dask itself has given up: joblib counts on its callback in case
    of failure too and would wait for ever without it. And it counts at least two cores, because joblib
    would run everything in this process for a cluster of one.
    """
    from joblib._dask import DaskDistributedBackend

    class ReportingBackend(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
            future = super().submit(func, callback)

            def report(done: Future[Any]) -> None:
                error = done.exception()
                if error is not None and callback is not None:
                    callback(error)

            future.add_done_callback(report)
            return future

    return ReportingBackend


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    import logging

    from distributed import Client

    # What Dask logs of lost workers and schedulers comes as tracebacks; `run` says it in one line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            "--scheduler",
            "",
            f"no Dask scheduler answers at {scheduler} ({type(error).__name__})",
            "start one: dask scheduler",
        ) from None
    try:
        yield client
    finally:
        client.close()
