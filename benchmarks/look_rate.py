"""How often a camera must be looked at: python -m benchmarks.look_rate --out DIR [--fps 15] [--looks 15 10 7.5 5]

Renders validation recordings with faster cameras than theirs into DIR, unless they lie there, and judges them with
fewer and fewer looks of the network a second: F1 of the shelf events within 0.5 s, and the processor's time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from checkout.evaluation.events import EventMetric
from checkout.pipeline import fuse, watch, weigh
from checkout.recording import Recording
from checkout.render.recordings import render_all
from checkout.render.specs import SETS

NAMES = tuple(f"val-{number}" for number in (29, 30, 32, 33, 34, 36, 37, 38))
"""Recordings of two to four people, five of them with confusing actions."""
SENSORS = {"vision": ("vision",), "both": ("vision", "plates")}


def rendered(out: Path, fps: int, names: Sequence[str], workers: int) -> list[Recording]:
    """The recordings of the validation set with cameras of so many frames a second."""
    specs = [spec.model_copy(update={"fps": fps}) for spec in SETS["val"] if spec.id in names]
    return [Recording.open(path) for path in render_all(specs, out, workers=workers)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("--fps", type=int, default=15, help="frames a second of their cameras")
    parser.add_argument("--looks", type=float, nargs="+", default=[15, 10, 7.5, 5, 3.75, 2.5])
    known = [spec.id for spec in SETS["val"]]
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(NAMES),
        choices=known,
        metavar="ID",
        help="these validation recordings",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    options = parser.parse_args(arguments)
    recordings = rendered(options.out, options.fps, options.only, options.workers)
    weighed = [weigh(recording) for recording in recordings]
    events = sum(len(recording.truth.events) for recording in recordings)
    print(f"{len(recordings)} recordings, {events} events, cameras of {options.fps} frames a second")
    for looks in options.looks:
        scores = {name: EventMetric() for name in SENSORS}
        begun, frames = time.process_time(), 0
        watched = [watch(recording, looks_hz=looks, keep_detections=False) for recording in recordings]
        spent = time.process_time() - begun
        for recording, seen, steps in zip(recordings, watched, weighed, strict=True):
            frames += seen.sight.network_frames
            for name, sensors in SENSORS.items():
                made = fuse(recording, seen, steps if "plates" in sensors else None, sensors=sensors)
                scores[name].update(recording.truth.events, made.events)
        said = [
            f"{name}: place {half['place']:.3f}, event {half['event']:.3f}, with shopper"
            f" {half['event and shopper']:.3f}"
            for name, metric in scores.items()
            for half in [{s.kind: s.f1 for s in metric.compute() if s.tolerance_s == 0.5}]
        ]
        print(f"{looks:g} looks a second: {frames} frames, {spent:.0f} s; {'; '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
