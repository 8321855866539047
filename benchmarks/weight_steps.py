"""How well weight steps match what truly happened on the shelves, from the plates alone.

python -m benchmarks.weight_steps RECORDING [RECORDING ...]

A true shelf event and a step match when they are on one shelf, share a plate, have one sign and the
step lies within the time of the hand in the facing, give or take half a second. The expected grams
are those of the catalogue, so the products' own spread between units is part of the error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from checkout.events import ShelfEvent, WeightStep
from checkout.recording import Recording
from checkout.weight.steps import StepResult, detect_steps

REACH_S = 0.5
NOISE_G = (1.5, 5.0)
"""Bounds between quiet, shaking and loud: noise of a facing's plates together, standard deviation in grams."""


def study(
    recording: Recording, detect: Callable[[pd.DataFrame], StepResult] = detect_steps
) -> tuple[pd.DataFrame, list[WeightStep], float]:
    """Every true event with its step, the steps that match none, and the seconds that it took.

    The table has a row for each event: recording, t_s, behaviour, noise, expected_g, spread_g, near,
    and found, error_g, error_sd (in standard errors of step and product), late_s.
    """
    plates = recording.plates
    started = time.perf_counter()
    steps = list(detect(plates).steps)
    seconds = time.perf_counter() - started
    events = sorted(recording.truth.events, key=lambda e: e.t_s)
    cost = np.full((len(events), len(steps)), 1e6)
    for i, event in enumerate(events):
        for j, step in enumerate(steps):
            if _agree(recording, event, step):
                cost[i, j] = abs(step.t_s - event.t_s) + _miss(recording, event, step) / 50
    pairs = {i: j for i, j in zip(*linear_sum_assignment(cost), strict=True) if cost[i, j] < 1e6}
    rows = []
    for i, event in enumerate(events):
        product = recording.catalog[event.product]
        row = {
            "recording": recording.id,
            "t_s": event.t_s,
            "facing": event.facing,
            "behaviour": str(event.conditions["behaviour"]),
            "noise": _noise(recording, event),
            "expected_g": (-1 if event.action == "pick" else 1) * event.quantity * product.weight_g,
            "found": i in pairs,
            "error_g": np.nan,
            "error_sd": np.nan,
            "late_s": np.nan,
        }
        if i in pairs:
            step = steps[pairs[i]]
            row["error_g"] = step.grams - row["expected_g"]
            sd = np.sqrt(
                step.grams_sd**2 + event.quantity * product.weight_sd_g**2 + (0.002 * step.grams) ** 2
            )
            row["error_sd"] = row["error_g"] / sd
            row["late_s"] = step.t_s - event.t_s
        rows.append(row)
    return pd.DataFrame(rows), [s for j, s in enumerate(steps) if j not in pairs.values()], seconds


def _agree(recording: Recording, event: ShelfEvent, step: WeightStep) -> bool:
    facing = recording.planogram[event.facing]
    return (
        step.shelf == facing.shelf
        and bool(set(facing.plates) & set(step.plate_grams))
        and (step.grams < 0) == (event.action == "pick")
        and event.t_start_s - REACH_S <= step.t_s <= event.t_end_s + REACH_S
    )


def _miss(recording: Recording, event: ShelfEvent, step: WeightStep) -> float:
    return abs(abs(step.grams) - event.quantity * recording.catalog[event.product].weight_g)


def _noise(recording: Recording, event: ShelfEvent) -> str:
    if event.conditions.get("plate_fault"):
        return "fault"
    plates = recording.plates[list(recording.planogram[event.facing].plates)]
    near = plates[(plates.index > event.t_s - 2) & (plates.index < event.t_s + 2)].sum(axis=1)
    sd = float(np.nanmedian(np.abs(np.diff(near))) / (0.6745 * np.sqrt(2)))
    return "quiet" if sd < NOISE_G[0] else "shaking" if sd < NOISE_G[1] else "loud"


def report(tables: Sequence[pd.DataFrame], extra: int, speed: float) -> str:
    """The figures, in all, by behaviour and by noise."""
    table = pd.concat(tables, ignore_index=True)
    found = int(table["found"].sum())
    lines = [
        f"events {len(table)}, recall {found / len(table):.3f}, "
        f"precision {found / max(1, found + extra):.3f} ({extra} extra steps)",
        f"speed  {speed:.0f} times real time",
        f"error in standard errors: median {table['error_sd'].abs().median():.2f} (0.67 is honest), "
        f"beyond 3: {(table['error_sd'].abs() > 3).sum() / max(1, found):.3f}",
        f"{'':18}{'events':>7}{'recall':>8}{'g p50':>8}{'g p95':>8}{'% p50':>8}{'% p95':>8}{'s p50':>8}{'s p95':>8}",
    ]
    lines.append(_line("all", table))
    for column in ("behaviour", "noise"):
        lines += [_line(f"{name}", rows) for name, rows in table.groupby(column)]
    return "\n".join(lines)


def _line(name: str, rows: pd.DataFrame) -> str:
    found = rows[rows["found"]]
    text = f"{name:18}{len(rows):7d}{rows['found'].mean():8.3f}"
    if not len(found):
        return text
    grams, late = found["error_g"].abs(), found["late_s"].abs()
    share = 100 * grams / found["expected_g"].abs()
    for values, digits in ((grams, 1), (share, 2), (late, 2)):
        text += "".join(f"{values.quantile(q):8.{digits}f}" for q in (0.5, 0.95))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--faults", action="store_true", help="name every event missed and every extra step")
    args = parser.parse_args()
    print(run([Recording.open(path) for path in args.recordings], faults=args.faults))


def run(
    recordings: Sequence[Recording],
    detect: Callable[[pd.DataFrame], StepResult] = detect_steps,
    *,
    faults: bool = False,
) -> str:
    """Study recordings and say the figures."""
    tables, extra, recorded_s, seconds, lines = [], 0, 0.0, 0.0, []
    for recording in recordings:
        table, unmatched, took_s = study(recording, detect)
        tables.append(table)
        extra += len(unmatched)
        seconds += took_s
        recorded_s += float(recording.plates.index[-1])
        if faults:
            bad = table[~table["found"] | (table["error_g"].abs() > 10)]
            lines += [
                f"{r.recording} {r.t_s:6.2f} {r.facing:9} {r.behaviour:14} {r.noise:8} {r.expected_g:8.1f} "
                f"{r.error_g:8.1f} {r.error_sd:6.1f}"
                for r in bad.itertuples()
            ]
            lines += [
                f"{recording.id} extra {s.t_s:6.2f} {s.shelf} {s.grams:8.1f} +- {s.grams_sd:.1f} "
                f"{ {p.rsplit('.', 1)[1]: round(g) for p, g in s.plate_grams.items()} }"
                for s in unmatched
            ]
    return "\n".join([*lines, report(tables, extra, recorded_s / seconds)])


if __name__ == "__main__":
    main()
