"""False steps in idle noise, small steps found, speed, and memory on an endless stream.

python -m benchmarks.weight_idle [--source ../shared/data/aifi-nanostore] [--hours 4] [--day]

Noise is drawn from what was fitted to the real store's plates (`weight/noise.py`), quiet and disturbed, and, with
`--source`, taken from the real recording's other gondolas as it is. Speed is on the processor's clock.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from checkout.formats.aifi import import_aifi
from checkout.weight.injection import inject_step
from checkout.weight.noise import DISTURBED, QUIET, PlateNoise, convert, draw_plate_noise
from checkout.weight.steps import ShelfStepDetector, detect_steps

RATE_HZ = 60.0
PLATES = tuple(f"g1.s1.p{i + 1}" for i in range(12))
PIECE_S = 300.0


def idle(seconds: float, noise: PlateNoise, rng: np.random.Generator) -> pd.DataFrame:
    """One shelf of twelve plates on which nothing happens."""
    count = round(seconds * RATE_HZ)
    grams = convert(1000.0 + draw_plate_noise(count, len(PLATES), rng, noise=noise), rng, noise)
    return pd.DataFrame(grams, index=pd.Index(np.arange(count) / RATE_HZ, name="t_s"), columns=list(PLATES))


def false_steps(hours: float, noise: PlateNoise, rng: np.random.Generator) -> tuple[int, float]:
    """Steps found in idle noise of one shelf, and times real time, on the processor's clock."""
    found, seconds = 0, 0.0
    pieces = max(1, round(hours * 3600 / PIECE_S))
    for _ in range(pieces):
        signal = idle(PIECE_S, noise, rng)
        started = time.process_time()
        found += len(detect_steps(signal).steps)
        seconds += time.process_time() - started
    return found, pieces * PIECE_S / seconds


def small_steps(grams: float, sd_g: float, trials: int, rng: np.random.Generator) -> int:
    """How many steps of so many grams are found in noise of this standard deviation a plate."""
    noise = QUIET._replace(sd_median_g=sd_g, sd_spread=0.0)
    found = 0
    for _ in range(trials):
        share = float(rng.uniform(0.3, 0.7))
        signal = inject_step(
            idle(12.0, noise, rng), {PLATES[4]: share, PLATES[5]: 1 - share}, grams * rng.choice([-1, 1]), 6.0
        )
        found += any(abs(s.t_s - 6.0) < 0.3 for s in detect_steps(signal).steps)
    return found


def real_idle(source: Path) -> tuple[int, float]:
    """Steps found on the real gondolas where nobody took anything, and shelf-hours of it."""
    with tempfile.TemporaryDirectory() as folder:
        plates = import_aifi(source, Path(folder) / "rec").plates
    other = plates[[p for p in plates if not str(p).startswith("g1.")]]
    shelves = len({str(p).rsplit(".", 1)[0] for p in other})
    return len(detect_steps(other).steps), shelves * float(plates.index[-1]) / 3600


def day(rng: np.random.Generator) -> tuple[float, float, int]:
    """A day of one shelf, a pick or put-back a minute: memory after an hour and after the day, MB; steps found."""
    detector = ShelfStepDetector("g1.s1", PLATES, RATE_HZ)
    minute = round(60 * RATE_HZ)
    noise = [idle(60.0, QUIET, rng).to_numpy() for _ in range(8)]
    load, found, first = np.zeros(len(PLATES)), 0, 0.0
    for number in range(24 * 60):
        grams = noise[number % 8] + load
        if number % 60:
            change = 350.0 * (1 if number % 2 else -1)
            grams[minute // 2 :, 5] += change
            load[5] += change
        found += len(detector.update(number * 60.0 + np.arange(minute) / RATE_HZ, grams))
        if number == 59:
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="folder with plate_data.json")
    parser.add_argument("--hours", type=float, default=4.0, help="shelf-hours of idle noise of each kind")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--day", action="store_true", help="a day of one shelf as a stream")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    for name, noise in (("quiet", QUIET), ("disturbed", DISTURBED)):
        found, speed = false_steps(args.hours, noise, rng)
        gondola = speed / 5
        print(f"idle, {name}: {found} steps in {args.hours:g} shelf-hours; {speed:.0f} times real time a shelf,"
              f" {gondola:.0f} a gondola of five")  # fmt: skip
    right = small_steps(30.0, 0.9, args.trials, rng)
    print(f"steps of 30 g in noise of 0.9 g: {right} of {args.trials} found")
    if args.source:
        found, hours = real_idle(args.source)
        print(f"idle, real: {found} steps in {hours:.2f} shelf-hours")
    if args.day:
        before, after, found = day(rng)
        print(f"a day of one shelf: {before:.0f} MB after an hour, {after:.0f} MB at the end; {found} steps")


if __name__ == "__main__":
    main()
