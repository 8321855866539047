"""Other products' steps added to the real store's noise: how many come out right, from the plates alone.

python -m benchmarks.injected_steps ../shared/data/aifi-nanostore
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checkout.catalog import Facing
from checkout.formats.aifi import import_aifi
from checkout.fusion import Fusion
from checkout.recording import Recording
from checkout.weight.injection import inject_step
from checkout.weight.steps import detect_steps


@dataclass(frozen=True)
class Study:
    """Injected shelf events, how many were perceived right in product, quantity, action and time, and extra ones."""

    injected: int
    found: int
    right: int
    extra: int
    gram_errors: tuple[float, ...]


def study(recording: Recording, *, variants: int = 100, seed: int = 1) -> Study:
    """Add one or two picks or put-backs a variant, of products at their own facings, away from the real pick.

    A put-back follows a pick of the same unit, because it must come from a cart.
    """
    rng = np.random.default_rng(seed)
    plates = recording.plates
    usable = [f for f in recording.planogram.values() if f.plates and all(p in plates for p in f.plates)]
    usable = [
        f for f in usable if recording.catalog[f.product].weight_g >= 20 and not f.facing.startswith("g1.s5")
    ]
    injected = found = right = extra = 0
    errors: list[float] = []
    for _ in range(variants):
        signal = plates
        truth: list[tuple[float, str, Facing, float]] = []
        for facing in rng.choice(np.array(usable, dtype=object), int(rng.integers(1, 3)), replace=False):
            product = recording.catalog[facing.product]
            weight = float(rng.normal(product.weight_g, product.weight_sd_g))
            chosen = int(rng.integers(len(facing.plates)))
            span = facing.plates[chosen : chosen + 2]
            share = float(rng.uniform(0.2, 0.8)) if len(span) == 2 else 1.0
            shares = dict(zip(span, (share, 1 - share), strict=False))
            times = [float(rng.uniform(2.0, 6.0))]
            if rng.uniform() < 0.4:
                times.append(times[0] + float(rng.uniform(1.5, 4.0)))
            for index, t_s in enumerate(times):
                action = "pick" if index == 0 else "put_back"
                signal = inject_step(signal, shares, -weight if index == 0 else weight, t_s)
                truth.append((t_s, action, facing, weight))
        steps = detect_steps(signal).steps
        fusion = Fusion(recording.catalog, recording.planogram, ["somebody"])
        events = [e for x in fusion.explain(steps, []) for e in x.events]
        events = [e for e in events if not (e.facing.startswith("g1.s5") and 12 < e.t_s < 13)]
        injected += len(truth)
        for t_s, action, facing, weight in truth:
            near = [s for s in steps if abs(s.t_s - t_s) < 0.3 and s.shelf == facing.shelf]
            found += bool(near)
            errors += [abs(abs(min(near, key=lambda s: abs(s.t_s - t_s)).grams) - weight)] if near else []
            match = [
                e
                for e in events
                if (e.action, e.product, e.quantity) == (action, facing.product, 1) and abs(e.t_s - t_s) < 0.3
            ]
            right += bool(match)
        extra += max(0, len(events) - len(truth))
    return Study(injected, found, right, extra, tuple(errors))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder with plate_data.json")
    parser.add_argument("--variants", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = import_aifi(args.source, Path(folder) / "rec")
        result = study(recording, variants=args.variants)
        plates = recording.plates
        started = time.perf_counter()
        for _ in range(5):
            detect_steps(plates)
        seconds = (time.perf_counter() - started) / 5
    print(f"variants {args.variants}, injected events {result.injected}")
    print(f"step found        {result.found / result.injected:.3f}")
    print(
        f"event fully right {result.right / result.injected:.3f}   (product, quantity, action, time within 0.3 s)"
    )
    print(f"extra events      {result.extra}")
    middle, worst = np.quantile(result.gram_errors, [0.5, 0.95])
    print(f"error of a step   median {middle:.1f} g, p95 {worst:.1f} g")
    print(
        f"speed             {plates.index[-1] / seconds:.0f} times real time for all {plates.shape[1]} plates together"
    )


if __name__ == "__main__":
    main()
