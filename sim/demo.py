"""The whole way in one go: recordings, evaluation, profile, both stores, both flows, one report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkout.errors import InputError
from checkout.evaluation.report import EvaluationReport, evaluate
from checkout.output import new_folder
from sim.experiment import Comparison, basket_curve, compare, threshold_curve
from sim.flows import FLOWS
from sim.report.page import write_report
from sim.scenario import load_scenario

SHIPPED_RECORDINGS = Path(__file__).resolve().parents[1] / "videos"
SHIPPED_PROFILE = Path(__file__).resolve().parents[1] / "models" / "profile.json"
SHOWN = ("clean-08", "hard-05")
"""The shipped recordings that the demo judges: one of each test set, for it is to take a few minutes on any machine."""
SCENARIOS = ("supermarket", "convenience")
BASKETS = (1.5, 2.8, 5.0, 10.7, 20.0, 30.0)
THRESHOLDS = (
    0.0,
    0.3,
    0.5,
    0.6,
    0.7,
    0.8,
    0.85,
    0.9,
    0.925,
    0.95,
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.995,
    0.999,
)


@dataclass(frozen=True)
class Demo:
    """What the demo found, where its report is, and how long it took."""

    evaluation: EvaluationReport
    comparisons: dict[str, Comparison]
    report: Path
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The scores as `evaluate --json` and each comparison as `compare --json` prints them."""
        return {
            "evaluation": self.evaluation.to_dict(),
            "comparisons": {name: c.to_dict() for name, c in self.comparisons.items()},
            "report": str(self.report),
        }


def run_demo(
    out: Path,
    recordings: Path | None = None,
    *,
    replications: int = 6,
    seed: int = 1,
    workers: int = 2,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Demo:
    """Judge recordings, simulate both shipped stores with the profile, and write `report.html` into `out`.

    Args:
        recordings: a folder of recordings, all of which are judged; the shipped ones in `SHOWN` without it.

    Raises:
        InputError: no recordings are there, or `out` exists and `force` is not set.
    """
    started = time.monotonic()
    folder = recordings or SHIPPED_RECORDINGS
    paths = sorted(p.parent for p in folder.glob("*/recording.yaml"))
    if recordings is None:
        paths = [p for p in paths if p.name in SHOWN]
    if not paths:
        raise InputError(
            folder,
            "",
            "holds no recordings",
            "render some with: checkout render --set test-clean --out videos",
        )

    def stage(low: float, high: float) -> Callable[[str, float], None]:
        def tell(what: str, share: float) -> None:
            if progress:
                progress(what, low + (high - low) * share)

        return tell

    with new_folder(out, force=force) as draft:
        evaluation = evaluate(paths, workers=workers, progress=stage(0.0, 0.55))
        profile = evaluation.profile()
        profile.save(draft / "profile.json")
        scenarios = {name: load_scenario(name) for name in SCENARIOS}
        comparisons = {}
        for index, (name, scenario) in enumerate(scenarios.items()):
            comparisons[name] = compare(
                scenario, FLOWS, profile, replications=replications, seed=seed, workers=workers,
                progress=stage(0.55 + 0.12 * index, 0.67 + 0.12 * index),
            )  # fmt: skip
        baskets = basket_curve(
            scenarios["supermarket"], profile, BASKETS, visits_per_day=600, replications=4, seed=seed, workers=workers,
            progress=stage(0.79, 0.95),
        )  # fmt: skip
        thresholds = {
            name: threshold_curve(scenario, profile, THRESHOLDS, replications=5, seed=seed, workers=workers)
            for name, scenario in scenarios.items()
        }
        write_report(
            draft / "report.html",
            comparisons=comparisons,
            baskets=baskets,
            thresholds=thresholds,
            evaluation=evaluation,
            profile=profile,
            command=f"checkout demo --out {out.name} --replications {replications} --seed {seed}",
        )
    return Demo(evaluation, comparisons, out / "report.html", time.monotonic() - started)
