"""What sensors that fail do to receipts: reviews may rise, wrong receipts that nobody sees must not.

python -m benchmarks.faults RECORDING [RECORDING ...] [--keep FOLDER]

Every recording is watched once, by weights that are named, so that its detections are the boxes that hands are followed
by. Plates are then broken and clocks shifted in the evidence; for cameras that are lost, or that drop frames, the
detections of that one watching are given again to a tracker that gets fewer pictures. With `--keep`, what was watched
stays in a folder.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.fusion_ablation import recordings_parser
from checkout.evaluation.receipts import ReceiptMetric
from checkout.pipeline import Watched, fuse, watch, weigh
from checkout.recording import Recording
from checkout.vision import watch as watching
from checkout.vision.detector import CLASSES, Detections, shipped_weights

Plates = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def dead(plates: pd.DataFrame, rng: np.random.Generator, share: float = 0.05) -> pd.DataFrame:
    """Some plates send nothing from somewhere on."""
    broken = plates.copy()
    for plate in rng.choice(plates.columns, max(1, round(share * plates.shape[1])), replace=False):
        broken.loc[broken.index > rng.uniform(0.0, 0.7) * plates.index[-1], plate] = np.nan
    return broken


def biased(plates: pd.DataFrame, rng: np.random.Generator, share: float = 0.1) -> pd.DataFrame:
    """Some plates weigh 4 % too much or too little, and drift."""
    broken = plates.copy()
    for plate in rng.choice(plates.columns, max(1, round(share * plates.shape[1])), replace=False):
        gain, drift = rng.choice([0.96, 1.04]), rng.uniform(-0.5, 0.5)
        start = broken[plate].iloc[0]
        broken[plate] = start + gain * (broken[plate] - start) + drift * broken.index.to_numpy()
    return broken


def late(seconds: float) -> Plates:
    """The plates' clock is ahead of or behind the cameras'."""

    def shifted(plates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        moved = plates.copy()
        moved.index = pd.Index(plates.index.to_numpy() + seconds, name=plates.index.name)
        return moved

    return shifted


def untouched(plates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return plates


PLATE_FAULTS: Mapping[str, Plates] = {
    "none": untouched,
    "dead plates (5 %)": dead,
    "biased plates (10 %, 4 %)": biased,
    "plates 0.3 s late": late(0.3),
    "plates 0.3 s early": late(-0.3),
    "plates 0.15 s late": late(0.15),
}
CAMERA_FAULTS = ("a camera lost", "a camera lost half-way", "half of the frames dropped")


@dataclass
class Faulty:
    """Receipts of all recordings under one fault."""

    receipts: ReceiptMetric = field(default_factory=ReceiptMetric)
    warnings: int = 0

    def row(self) -> dict[str, float]:
        scores = self.receipts.compute()
        return {
            "receipts": scores.receipts,
            "right": scores.fully_right,
            "review rate": scores.review_rate,
            "escapes per 1,000": 1000 * scores.escape_rate,
            "escapes per 1,000 at 5 % reviewed": 1000 * scores.escape_rate_at_5_percent,
            "recordings warned of": self.warnings,
        }


class Replay:
    """Stands in for the detector: gives the boxes that it gave before, of the frames that still come."""

    sees, shipped = CLASSES, False

    def __init__(self, name: str, detections: pd.DataFrame) -> None:
        self.name = name
        columns = ["x1", "y1", "x2", "y2"]
        self._found = {
            (str(camera), int(str(frame))): Detections(
                rows[columns].to_numpy(np.float32),
                rows["confidence"].to_numpy(np.float32),
                np.array([CLASSES.index(label) for label in rows["label"]], int),
            )
            for (camera, frame), rows in detections.groupby(["camera", "frame"], observed=True)
        }
        self.frame: tuple[str, int] = ("", 0)

    def detect(self, images: Sequence[np.ndarray], *, at_least: float = 0.0) -> list[Detections]:
        return [self._found.get(self.frame, Detections.empty()) for _ in images]


def rewatched(recording: Recording, seen: Watched, fault: str) -> Watched:
    """What the cameras show under a fault, with the detections of the watching without it."""
    assert seen.sight.detections is not None
    replay = Replay(seen.detector, seen.sight.detections)
    first = recording.cameras[0].camera
    end_s = float(seen.sight.detections["t_s"].max())
    notice, frames = watching.CameraWatch.notice, watching.frames_in_time_order

    def noticed(
        self: watching.CameraWatch, index: int, t_s: float, image: np.ndarray
    ) -> tuple[Detections, bool]:
        replay.frame = (self.camera.camera, index)
        return notice(self, index, t_s, image)

    def fewer(videos: Sequence[tuple[str, Path]]) -> object:
        for t_s, index, name, image in frames(videos):
            gone = fault == "a camera lost half-way" and name == first and t_s > 0.5 * end_s
            if not gone and not (fault == "half of the frames dropped" and index % 2):
                yield t_s, index, name, image

    if fault == "a camera lost":
        recording = replace(recording, cameras=recording.cameras[1:])
    watching.CameraWatch.notice = noticed  # type: ignore[method-assign]
    watching.frames_in_time_order = fewer  # type: ignore[assignment]
    try:
        sight = watching.watch_recording(recording, replay)  # type: ignore[arg-type]
    finally:
        watching.CameraWatch.notice = notice  # type: ignore[method-assign]
        watching.frames_in_time_order = frames
    return Watched(sight, seen.detector, sight.warnings)


def kept(keep: Path | None, name: str, make: Callable[[], Watched]) -> Watched:
    """What was watched, from the folder where it was kept, else made now."""
    file = keep / f"{name}.pickle" if keep else None
    if file is not None and file.is_file():
        found: Watched = pickle.loads(file.read_bytes())
        return found
    found = make()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(found))
    return found


def study(
    recordings: Sequence[Recording], keep: Path | None = None, *, cameras: bool = True, seed: int = 1
) -> dict[str, Faulty]:
    """Receipts under each fault."""
    names = [*PLATE_FAULTS, *(CAMERA_FAULTS if cameras else ())]
    found = {name: Faulty() for name in names}
    for number, recording in enumerate(recordings):
        seen = kept(keep, f"{recording.id}-whole", partial(watch, recording, detector=shipped_weights()))
        for name in names:
            if name in PLATE_FAULTS:
                plates = PLATE_FAULTS[name](recording.plates, np.random.default_rng([seed, number]))
                broken, sight = _with_plates(recording, plates), seen
            else:
                broken = recording
                file = f"{recording.id}-{name.replace(' ', '-')}"
                sight = kept(keep, file, partial(rewatched, recording, seen, name))
            perceived = fuse(broken, sight, weigh(broken))
            found[name].receipts.update(recording.truth.receipts, perceived.receipts)
            found[name].warnings += bool(perceived.warnings)
    return found


def _with_plates(recording: Recording, plates: pd.DataFrame) -> Recording:
    broken = replace(recording)
    broken.__dict__["plates"] = plates
    return broken


def main() -> None:
    parser = recordings_parser(__doc__)
    parser.add_argument(
        "--plates-only", action="store_true", help="leave out the faults of cameras, which take minutes"
    )
    args = parser.parse_args()
    found = study([Recording.open(p) for p in args.recordings], args.keep, cameras=not args.plates_only)
    print(pd.DataFrame({name: faulty.row() for name, faulty in found.items()}).T.round(3).to_string())


if __name__ == "__main__":
    main()
