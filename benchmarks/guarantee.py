"""Whether promises are kept, and what they cost in reviews: ours, MAPIE's controller, and picking on the same sales.

Every resampling draws new sales from a known world, chooses a threshold, and asks the world how many
escapes that threshold truly has. The oracle knows the world. MAPIE's controller tests the same limit with a
hundred thresholds from 0 to 0.99, its own p-values (Hoeffding-Bentkus) and its default correction
(Bonferroni-Holm), and with a fixed sequence; its grid is thresholds, not scores.

    python -m benchmarks.guarantee [--resamplings 1000] [--no-mapie]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, binomtest

from sim.tuning import SalesToTune, pareto_frontier, promise
from sim.tuning.sales import ASPECTS

WRONG, SALES, LIMIT, CONFIDENCE = 0.03, 5000, 0.01, 0.9
RIGHT_SCORE, WRONG_SCORE = beta(8, 1), beta(4, 2)
WORLD = 200_000


@dataclass
class Tally:
    """What one way of choosing came to over the resamplings."""

    runs: int = 0
    found: int = 0
    broken: int = 0
    reviews: float = 0.0

    def add(self, escapes: float | None, reviews: float, limit: float) -> None:
        """One resampling: true escapes and reviews a sale of the choice, or None where there is none."""
        self.runs += 1
        if escapes is not None:
            self.found += 1
            self.broken += escapes > limit
            self.reviews += reviews

    def line(self, name: str) -> str:
        kept = 1 - self.broken / self.runs
        low, high = binomtest(self.runs - self.broken, self.runs).proportion_ci(method="exact")
        reviews = 1000 * self.reviews / self.found if self.found else float("nan")
        return f"{name:52s}{self.found:7d}{kept:8.3f} ({low:.3f}-{high:.3f}){reviews:10.1f}"


def draw(rng: np.random.Generator, n: int = SALES) -> SalesToTune:
    """Sales of one confidence."""
    wrong = rng.random(n) < WRONG
    score = np.where(wrong, WRONG_SCORE.rvs(n, random_state=rng), RIGHT_SCORE.rvs(n, random_state=rng))
    return SalesToTune("made up", score[:, None], ("confidence",), wrong)


def truth(threshold: float) -> tuple[float, float]:
    """True escapes and reviews a sale of a threshold, in the world of `draw`."""
    reviews = WRONG * WRONG_SCORE.cdf(threshold) + (1 - WRONG) * RIGHT_SCORE.cdf(threshold)
    return float(WRONG * WRONG_SCORE.sf(threshold)), float(reviews)


def ours(sales: SalesToTune) -> float | None:
    made = promise(sales, 1000 * LIMIT, confidence=CONFIDENCE)
    return None if made.chosen is None else float(made.sequence.thresholds[made.chosen, 0])


def picked(sales: SalesToTune) -> float | None:
    """The laxest threshold whose escapes on these very sales are within the limit."""
    frontier = pareto_frontier(sales)
    index = frontier.at_escapes(int(LIMIT * len(sales)))
    return None if index is None else float(frontier.thresholds[index, 0])


def mapies(fwer_method: str) -> Callable[[SalesToTune], float | None]:
    """MAPIE's controller: the threshold of fewest reviews among those that it finds valid."""
    from mapie.risk_control import BinaryClassificationController, BinaryRisk

    # A prediction of 1 is a charge without review: the score reaches the threshold.
    escape = BinaryRisk(
        risk_occurrence=lambda y, charged: (y == 1) & (charged == 1),
        risk_condition=lambda y, charged: np.ones(len(y), dtype=bool),
        higher_is_better=False,
    )
    review = BinaryRisk(
        risk_occurrence=lambda y, charged: charged == 0,
        risk_condition=lambda y, charged: np.ones(len(y), dtype=bool),
        higher_is_better=False,
    )
    # A fixed sequence begins where the test is most likely to pass: at the strictest threshold.
    grid = np.linspace(0.0, 0.99, 100)[:: -1 if fwer_method == "fixed_sequence" else 1]

    def choose(sales: SalesToTune) -> float | None:
        controller = BinaryClassificationController(
            lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
            risk=escape,
            target_level=LIMIT,
            confidence_level=CONFIDENCE,
            best_predict_param_choice=review,
            list_predict_params=grid,
            fwer_method=fwer_method,  # type: ignore[arg-type]
        )
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for every resampling without a valid threshold
            controller.calibrate(sales.confidences, sales.wrong.astype(int))
        best: Any = controller.best_predict_param
        return None if best is None else float(best)

    return choose


def three_aspects(rng: np.random.Generator, n: int) -> SalesToTune:
    """Aspects that tell differently much, and groups that differ."""
    group = rng.integers(0, 4, n)
    wrong = rng.random(n) < np.array([0.01, 0.02, 0.04, 0.05])[group]
    sure = rng.beta(12, 2, (n, 3))
    sure[:, 2] = np.where(wrong, rng.beta(3, 3, n), rng.beta(14, 1, n))
    return SalesToTune("made up", sure, ASPECTS, wrong, None, group, ("a", "b", "c", "d"), "group")


def apart(rng: np.random.Generator, runs: int, thresholds: str) -> Tally:
    """One threshold for all, one an aspect or one a group, in the world of `three_aspects`."""
    world, tally = three_aspects(rng, WORLD), Tally()
    for _ in range(runs):
        made = promise(
            three_aspects(rng, SALES), 1000 * LIMIT, confidence=CONFIDENCE, thresholds=thresholds, rng=rng
        )
        if made.chosen is None:
            tally.add(None, 0.0, LIMIT)
            continue
        given = made.sequence.thresholds[made.chosen]
        assert world.group is not None
        reviewed = (
            world.lowest < given[world.group]
            if thresholds == "group"
            else (world.confidences < given).any(axis=1)
        )
        tally.add(float((world.wrong & ~reviewed).mean()), float(reviewed.mean()), LIMIT)
    return tally


def bad_days(rng: np.random.Generator, days: int = 25) -> SalesToTune:
    """Days whose error rates differ by a Gamma factor with a standard deviation of 0.7."""
    day = np.repeat(np.arange(days), SALES // days)
    wrong = rng.random(len(day)) < (WRONG * rng.gamma(2.0, 0.5, days))[day]
    score = np.where(
        wrong, WRONG_SCORE.rvs(len(day), random_state=rng), RIGHT_SCORE.rvs(len(day), random_state=rng)
    )
    return SalesToTune("made up", score[:, None], ("confidence",), wrong, cluster=day, cluster_name="day")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resamplings", type=int, default=1000)
    parser.add_argument("--no-mapie", action="store_true")
    options = parser.parse_args()
    runs, rng = options.resamplings, np.random.default_rng(1)
    print(f"{runs} resamplings; limit {1000 * LIMIT:g} escapes per 1,000 sales, confidence {CONFIDENCE:g}")
    print(f"{'way of choosing':52s}{'found':>7s}{'kept':>8s}{'(95 %)':>14s}{'reviews':>10s} per 1,000")

    ways: dict[str, Callable[[SalesToTune], float | None]] = {
        "exact, every score": ours,
        "picked on the same sales": picked,
    }
    if not options.no_mapie:
        ways |= {
            "MAPIE, Bonferroni-Holm (default), 100 thresholds": mapies("bonferroni_holm"),
            "MAPIE, fixed sequence, 100 thresholds": mapies("fixed_sequence"),
        }
    tallies = {name: Tally() for name in ways}
    for _ in range(runs):
        sales = draw(rng)
        for name, choose in ways.items():
            threshold = choose(sales)
            escapes, reviews = (None, 0.0) if threshold is None else truth(threshold)
            tallies[name].add(escapes, reviews, LIMIT)
    print(f"\n{SALES:,} sales, {1000 * WRONG:g} wrong per 1,000")
    for name, tally in tallies.items():
        print(tally.line(name))
    oracle = float(brentq(lambda t: truth(t)[0] - LIMIT, 0.0, 1.0))
    print(f"{'oracle':52s}{'':7s}{'':8s}{'':14s}{1000 * truth(oracle)[1]:10.1f}")

    print(f"\n{SALES:,} sales of three aspects and four groups")
    for thresholds in ("one", "three", "group"):
        print(
            apart(rng, runs, thresholds).line(
                {"one": "one threshold for all"}.get(thresholds, f"one {thresholds}")
            )
        )

    print(f"\n{SALES:,} sales in 25 days that differ")
    named, unnamed = Tally(), Tally()
    for _ in range(runs):
        sales = bad_days(rng)
        for tally, given in ((named, sales), (unnamed, replace(sales, cluster=None, cluster_name=""))):
            threshold = ours(given)
            escapes, reviews = (None, 0.0) if threshold is None else truth(threshold)
            tally.add(escapes, reviews, LIMIT)
    print(named.line("exact, days named"))
    print(unnamed.line("exact, days not named"))


if __name__ == "__main__":
    main()
