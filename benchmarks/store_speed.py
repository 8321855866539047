"""Visits a second and core of all flows, beside the bare SimPy floor with baskets of the same mean.

The floor walks, holds once an item and pays at a till: nothing is perceived, reviewed or recorded,
and its shoppers cost four random numbers. The flows draw their shoppers, sell, keep a row of every
visit, and read all metrics; they are timed without their warm-up day, which would only be counted out.
Processor time, one process, all interleaved.

    python -m benchmarks.store_speed [--profile FILE] [--floor ../shared/bench/supermarket_floor.py] [--chain 47]

`--floor` takes the function `run_simpy` from that file instead of the same one below. `--chain N` also
runs a week of N supermarkets with one and with two workers, by the clock, and says how much memory a
worker held at most and how it grows with the days.
"""

from __future__ import annotations

import argparse
import ast
import random
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import simpy

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.experiment import replicate, simulate
from sim.flows import FLOWS
from sim.scenario import Scenario, load_scenario
from sim.store import Story

OPEN_S = 16 * 3600.0
TILLS = 4
ROUNDS = 5
VISITS_A_ROUND = 2000


def bare(seed: int, visits_per_s: float, mean_units: float) -> int:
    """The floor's `simpy per-item`: returns the customers served."""
    env, rng = simpy.Environment(), random.Random(seed)
    till = simpy.Resource(env, TILLS)
    done = []

    def customer() -> Story:
        units = units_of(rng, mean_units)
        each_s = rng.lognormvariate(7.0, 0.5) / units
        for _ in range(units):
            yield env.timeout(each_s)
        with till.request() as turn:
            yield turn
            yield env.timeout(30 + 3 * units)
        done.append(env.now)

    def doors() -> Story:
        while env.now < OPEN_S:
            yield env.timeout(rng.expovariate(visits_per_s))
            env.process(customer())

    env.process(doors())
    env.run()
    return len(done)


def units_of(rng: random.Random, mean: float) -> int:
    """The floor's basket, a Gamma of shape 2 cut to whole units; cutting takes about half a unit."""
    return max(1, int(rng.gammavariate(2, (mean + 0.5) / 2)))


def floor_from(file: Path, scenario: Scenario) -> Callable[[int], int]:
    """`run_simpy` of the floor's file with this scenario's arrivals and mean basket.

    Only the imports, constants and functions of the file are executed, not its own measurement.
    """
    if not file.is_file():
        raise InputError(file, "", "does not exist")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kept: list[ast.stmt] = [
        n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.Assign | ast.FunctionDef)
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), str(file), "exec"), names)
    if "run_simpy" not in names:
        raise InputError(file, "run_simpy", "is missing", "give the floor's file")
    floor = SimpleNamespace(**names)
    names["LAM"] = scenario.shoppers.visits_per_day / OPEN_S
    names["items"] = lambda rng: units_of(rng, scenario.shoppers.items.mean)
    return lambda seed: int(floor.run_simpy(seed))


def per_second(work: Callable[[int], int], seed: int) -> float:
    """Visits a second of processor time, over at least `VISITS_A_ROUND` visits."""
    visits, started = 0, time.process_time()
    while visits < VISITS_A_ROUND:
        visits += work(seed * 1000 + visits)
    return visits / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", type=Path, default=None, help="else the one of the shipped recordings")
    parser.add_argument("--floor", type=Path, default=None)
    parser.add_argument("--chain", type=int, default=0, help="also time a week of so many supermarkets")
    options = parser.parse_args()
    if options.profile is None:
        from sim.demo import SHIPPED_PROFILE

        options.profile = SHIPPED_PROFILE
    profile = PerceptionProfile.load(options.profile)
    print(f"{'store':14s}{'model':18s}{'visits/s':>10s}{'of floor':>10s}")
    for name in ("supermarket", "convenience"):
        for model, rate, share in measure(load_scenario(name), profile, options.floor):
            print(f"{name:14s}{model:18s}{rate:10.0f}{share:10.2f}")
    if options.chain:
        chain(options.chain, profile)


def chain(stores: int, profile: PerceptionProfile) -> None:
    """A week of so many supermarkets, each a replication, and a store's memory over ten times the days."""
    week = load_scenario("supermarket").with_values({"calendar.warm_up_days": 0})
    taken_s = {}
    for workers in (1, 2):
        simulate(
            week, "just-walk-out", profile, replications=workers, workers=workers
        )  # the workers' imports
        started = time.perf_counter()
        result = simulate(week, "just-walk-out", profile, replications=stores, workers=workers)
        taken_s[workers] = time.perf_counter() - started
        print(
            f"{stores} supermarkets, a week, {workers} workers: {result.sales} sales in {taken_s[workers]:.1f} s"
        )
    print(f"two workers over one: {taken_s[1] / taken_s[2]:.2f}")
    for days in (7, 70):
        long = week.with_values({"calendar.days": days})
        started = time.process_time()
        done = replicate(long, "just-walk-out", profile, 1, 0)
        taken = time.process_time() - started
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{days:3d} days: {done.sales} sales in {taken:.1f} s of processor time, peak {peak_mib:.0f} MiB"
        )


def measure(
    scenario: Scenario, profile: PerceptionProfile, floor: Path | None
) -> list[tuple[str, float, float]]:
    """Model, median visits a second, and the share of the floor's rate."""
    shoppers = scenario.shoppers
    day = scenario.with_values({"calendar.days": 1, "calendar.warm_up_days": 0})
    models: dict[str, Callable[[int], int]] = {
        "floor": floor_from(floor, scenario)
        if floor
        else lambda seed: bare(seed, shoppers.visits_per_day / OPEN_S, shoppers.items.mean)
    }
    for flow in FLOWS:
        models[flow] = lambda seed, flow=flow: (  # type: ignore[misc]
            replicate(day, flow, profile, seed, 0, keep_sales=True).visits
        )
    for model in models.values():
        model(0)  # imports and caches
    rates: dict[str, list[float]] = {name: [] for name in models}
    for index in range(ROUNDS):
        for name, work in models.items():
            rates[name].append(per_second(work, index))
    base = statistics.median(rates["floor"])
    return [(name, statistics.median(r), statistics.median(r) / base) for name, r in rates.items()]


if __name__ == "__main__":
    main()
