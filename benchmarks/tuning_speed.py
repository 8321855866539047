"""How long thresholds take: frontiers over a million sales, and what a slider waits.

Processor time of one process, the median of the rounds; made-up sales with as many distinct scores.

    OMP_NUM_THREADS=1 python -m benchmarks.tuning_speed [--sales 1000000] [--groups 50] [--wrong 0.02]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from sim.tuning import (
    SalesToTune,
    Slider,
    group_frontier,
    pareto_frontier,
    three_threshold_frontier,
    threshold_curve,
)
from sim.tuning.sales import ASPECTS

ROUNDS = 5


def made_up(n: int, groups: int, wrong_share: float, seed: int = 1) -> SalesToTune:
    """Sales with continuous confidences, a little lower where the bill is wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < wrong_share
    sure = np.where(wrong[:, None], rng.beta(4, 2, (n, 3)), rng.beta(20, 1, (n, 3)))
    return SalesToTune(
        "made up", sure, ASPECTS, wrong, np.where(wrong, rng.gamma(2, 3, n), 0.0),
        rng.integers(0, groups, n), tuple(f"g{i}" for i in range(groups)), "group",
    )  # fmt: skip


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor time."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sales", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--wrong", type=float, default=0.02)
    options = parser.parse_args()
    sales = made_up(options.sales, options.groups, options.wrong)
    print(f"{len(sales):,} sales, {int(sales.wrong.sum()):,} wrong, {options.groups} groups")
    print(f"{'what':60s}{'seconds':>10s}{'points':>10s}")
    for name, work, rounds in (
        ("three thresholds moved together, efficient points", lambda: pareto_frontier(sales), ROUNDS),
        ("the same, every distinct threshold", lambda: threshold_curve(sales), ROUNDS),
        ("a threshold a group, escapes", lambda: group_frontier(sales), ROUNDS),
        ("a threshold a group, money", lambda: group_frontier(sales, against="money"), ROUNDS),
        ("three thresholds apart", lambda: three_threshold_frontier(sales), 1),
    ):
        found = work()
        print(f"{name:60s}{seconds(work, rounds):10.3f}{len(found):10,d}  {found.method}")
    slider = Slider(sales)
    moves = np.random.default_rng(2).uniform(0.3, 1.0, (50, 3)).tolist()
    for name, few in (("slider, one threshold", 1), ("slider, three thresholds", 3)):
        each = seconds(lambda few=few: [slider.at(*move[:few]) for move in moves], ROUNDS) / len(moves)  # type: ignore[misc]
        print(f"{name:60s}{each:10.5f}")


if __name__ == "__main__":
    main()
