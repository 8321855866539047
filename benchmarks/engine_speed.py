"""How much faster two worker processes are than one, and what keeping every sale costs.

Wall-clock time of the same replications, the ways interleaved, after each has been started once, so
that neither imports nor the starting of processes count. On a busy machine the ratio says nothing:
the load is printed with it.

    python -m benchmarks.engine_speed [--profile FILE] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from checkout.profile import PerceptionProfile
from sim.experiment import simulate
from sim.scenario import load_scenario

AIM = 1.8
REPLICATIONS = {("supermarket", "just-walk-out"): 24, ("convenience", "dash-cart"): 240}
"""Days a measurement, so that one worker takes some seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", type=Path, default=None, help="else the one of the shipped recordings")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.profile is None:
        from sim.demo import SHIPPED_PROFILE

        options.profile = SHIPPED_PROFILE
    profile = PerceptionProfile.load(options.profile)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; two workers aim at {AIM} times one")
    print(f"{'store':14s}{'flow':16s}{'one, s':>9s}{'two, s':>9s}{'times':>7s}{'two kept, s':>13s}")
    for (store, flow), replications in REPLICATIONS.items():
        one, two, kept = measure(store, flow, profile, replications, options.rounds)
        print(f"{store:14s}{flow:16s}{one:9.2f}{two:9.2f}{one / two:7.2f}{kept:13.2f}")


def measure(
    store: str, flow: str, profile: PerceptionProfile, replications: int, rounds: int
) -> tuple[float, float, float]:
    """Median seconds with one worker, with two, and with two while every sale is written."""
    scenario = load_scenario(store)

    def run(workers: int, keep: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            simulate(
                scenario, flow, profile, replications=replications, workers=workers,
                sales=Path(folder) / "sales" if keep else None,
            )  # fmt: skip

    ways: list[Callable[[], None]] = [
        lambda: run(1, False),
        lambda: run(2, False),
        lambda: run(2, True),
    ]
    for way in ways:
        way()
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for taken, way in zip(seconds, ways, strict=True):
            started = time.perf_counter()
            way()
            taken.append(time.perf_counter() - started)
    one, two, kept = (statistics.median(taken) for taken in seconds)
    return one, two, kept


if __name__ == "__main__":
    main()
