"""How fast recordings and training frames are rendered: python -m benchmarks.render_speed

Recordings: `workers` recordings at once, everything included (plan, physics, pictures, masks, encoding).
Training frames: a data set of `--frames` frames with boxes, and what 2,000 would take at that rate.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from checkout.render.frames import render_training_frames
from checkout.render.recordings import render_all
from checkout.render.specs import RecordingSpec

TARGET_FPS, TARGET_FRAMES, TARGET_S = 8.0, 2000, 600.0
"""Aims of the project on two cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each recording")
    parser.add_argument("--frames", type=int, default=120)
    args = parser.parse_args()
    specs = [
        RecordingSpec(id=f"speed-{i}", seed=700_000 + i, people=("s1", "s2", "s3"), duration_s=args.seconds)
        for i in range(args.workers)
    ]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        render_all(specs, Path(folder) / "recordings", workers=args.workers)
        seconds = time.perf_counter() - begun
        pictures = sum(2 * round(s.duration_s * s.fps) for s in specs)
        print(
            f"recordings: {pictures} pictures of 640x360 in {seconds:.0f} s with {args.workers} workers:"
            f" {pictures / seconds:.1f} a second (aim {TARGET_FPS:g})"
        )
        begun = time.perf_counter()
        render_training_frames(Path(folder) / "frames", count=args.frames, seed=1, workers=args.workers)
        seconds = time.perf_counter() - begun
        print(
            f"training frames: {args.frames} in {seconds:.0f} s; {TARGET_FRAMES} would take"
            f" {TARGET_FRAMES * seconds / args.frames / 60:.1f} min (aim {TARGET_S / 60:g})"
        )


if __name__ == "__main__":
    main()
