"""Sales a second and core of both flows, beside a bare SimPy supermarket of the same baskets in the same run.

python -m benchmarks.store_speed
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import simpy

from checkout.profile import PerceptionProfile
from sim.demo import SHIPPED_PROFILE
from sim.experiment import replicate
from sim.scenario import load_scenario
from sim.shoppers import Shopper, draw_shoppers
from sim.store import Story


def bare(shoppers: list[Shopper]) -> int:
    """Walk, one timeout an item, pay at one of four tills: nothing is perceived, reviewed or recorded."""
    env = simpy.Environment()
    till = simpy.Resource(env, 4)
    done = 0

    def visit(shopper: Shopper) -> Story:
        nonlocal done
        for reach in shopper.reaches:
            yield env.timeout(reach.walk_s + 8.0)
        with till.request() as turn:
            yield turn
            yield env.timeout(30 + 3 * len(shopper.reaches))
        done += 1

    def doors() -> Story:
        for shopper in shoppers:
            yield env.timeout(max(0.0, shopper.arrives_s - env.now))
            env.process(visit(shopper))

    env.process(doors())
    env.run()
    return done


def rate(work: Callable[[int], int], times: int = 5) -> float:
    """Median visits a second."""
    found = []
    for i in range(times):
        started = time.perf_counter()
        visits = work(i)
        found.append(visits / (time.perf_counter() - started))
    return statistics.median(found)


def main() -> None:
    profile = PerceptionProfile.load(SHIPPED_PROFILE)
    print(f"{'store':14s}{'model':24s}{'visits/s':>10s}{'of bare':>9s}")
    for name in ("supermarket", "convenience"):
        scenario = load_scenario(name)

        def floor(i: int) -> int:
            return bare(draw_shoppers(scenario, np.random.default_rng(i)))  # noqa: B023

        def flow(kind: str) -> Callable[[int], int]:
            return lambda i: len(replicate(scenario, kind, profile, 1, i).visits)  # noqa: B023

        base = rate(floor)
        print(f"{name:14s}{'bare SimPy':24s}{base:10.0f}{1.0:9.2f}")
        for kind in ("just-walk-out", "dash-cart"):
            speed = rate(flow(kind))
            print(f"{name:14s}{kind:24s}{speed:10.0f}{speed / base:9.2f}")


if __name__ == "__main__":
    main()
