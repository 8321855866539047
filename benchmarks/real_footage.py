"""What the detector makes of real footage: python -m benchmarks.real_footage VIDEO --truth FILE [--quiet VIDEO]

The video as it is, mirrored, darker, at half its frame rate and played backwards (picks and put-backs change
places), each against its truth. In a --quiet video nothing is taken: every event there is a false one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from checkout.evaluation.footage import FootageReport, FootageTruth, Position, evaluate_video, read_truth
from checkout.events import ShelfEvent
from checkout.pipeline import perceive_video
from checkout.vision.video import VideoWriter, probe, read_frames

DARKER = 0.45
"""Grey levels of the darker variant over those of the video."""
CRF = 18
OTHER = {"pick": "put_back", "put_back": "pick"}


@dataclass(frozen=True)
class Variant:
    """A changed video: how its frames and their rate come from the original's, and how its truth does."""

    name: str
    frames: Callable[[Path], Iterator[np.ndarray]]
    truth: Callable[[FootageTruth, int, float], FootageTruth]
    rate: float = 1.0


def _pictures(video: Path) -> Iterator[np.ndarray]:
    for _, image in read_frames(video):
        yield image


def _mirrored(video: Path) -> Iterator[np.ndarray]:
    for image in _pictures(video):
        yield np.ascontiguousarray(image[:, ::-1])


def _darker(video: Path) -> Iterator[np.ndarray]:
    for image in _pictures(video):
        yield (image * DARKER).astype(np.uint8)


def _every_other(video: Path) -> Iterator[np.ndarray]:
    for index, image in enumerate(_pictures(video)):
        if index % 2 == 0:
            yield image


def _backwards(video: Path) -> Iterator[np.ndarray]:
    yield from reversed(list(_pictures(video)))


def _same(truth: FootageTruth, width: int, length_s: float) -> FootageTruth:
    return truth


def _mirrored_truth(truth: FootageTruth, width: int, length_s: float) -> FootageTruth:
    moved = {n: Position(x_px=width - p.x_px, y_px=p.y_px) for n, p in truth.positions.items()}
    return replace(truth, positions=moved)


def _backwards_truth(truth: FootageTruth, width: int, length_s: float) -> FootageTruth:
    def turned(event: ShelfEvent) -> ShelfEvent:
        return replace(event, t_s=length_s - event.t_s, action=OTHER[event.action])  # type: ignore[arg-type]

    return replace(truth, events=tuple(turned(e) for e in reversed(truth.events)))


VARIANTS = (
    Variant("mirrored", _mirrored, _mirrored_truth),
    Variant("darker", _darker, _same),
    Variant("half the rate", _every_other, _same, 0.5),
    Variant("backwards", _backwards, _backwards_truth),
)


def line(name: str, report: FootageReport) -> str:
    """One row of the table."""
    half = {s.kind: s for s in report.events if s.tolerance_s == 0.5}
    action, place = half["action"], half["action and position"]
    return f"{name:16s}{place.right:6d} of {place.true}{action.right:14d}{place.perceived - place.right:14d}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--quiet", type=Path)
    parser.add_argument("--detector", help="weights; else the shipped ones")
    options = parser.parse_args()
    truth = read_truth(options.truth, options.video)
    info = probe(options.video)
    print("within 0.5 s    right place   right action   false or wrong")
    print(line("as it is", evaluate_video(options.video, truth, detector=options.detector)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            changed = Path(folder) / f"{variant.name.replace(' ', '-')}.mp4"
            with VideoWriter(changed, info.width, info.height, info.fps * variant.rate, crf=CRF) as writer:
                for image in variant.frames(options.video):
                    writer.write(image)
            its = variant.truth(truth, info.width, info.frames / info.fps)
            print(line(variant.name, evaluate_video(changed, its, detector=options.detector)), flush=True)
    if options.quiet:
        events = perceive_video(options.quiet, detector=options.detector).events
        print(f"{options.quiet.name}: {len(events)} events where there is none")


if __name__ == "__main__":
    main()
