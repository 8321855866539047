"""Annotated camera footage: what every foreign annotation format brings, and the recording folder made of it.

The formats in `checkout.formats` read and write their own files; frames, labels and boxes are checked here.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from checkout.catalog import Catalog, Planogram
from checkout.errors import InputError, nearest
from checkout.output import new_folder
from checkout.recording import Camera, Entry, Recording, Truth
from checkout.vision.video import indexed_times_s, probe

LABELS = ("hand", "item", "person")
"""What a box may show, in the order in which the shipped detector numbers its classes."""
BOX_COLUMNS = ("camera", "frame", "label", "id", "x1", "y1", "x2", "y2", "visible")
LEAST_INSIDE = 0.25
"""Assumed: a box of which less than this share lies in the picture belongs to another picture."""
JPEG_QUALITY = 95


class TrueBox(NamedTuple):
    """A row of `boxes.parquet`; `track` numbers the objects of a camera from 1."""

    camera: str
    frame: int
    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    visible: float
    track: int


@dataclass(frozen=True)
class Footage:
    """One camera's video file.

    Attributes:
        times_s: when each frame is shown, float64 [n], seconds from the first.
    """

    camera: str
    file: Path
    width: int
    height: int
    fps: float
    times_s: np.ndarray

    @classmethod
    def open(cls, camera: str, file: str | Path) -> Footage:
        """Probe a video; raises `InputError` when it is none or has no frames."""
        file = Path(file)
        if not re.fullmatch(r"[\w-][\w.-]*", camera):
            raise InputError("--camera-id", "", f"{camera!r}, expected letters, digits, '-', '_' and '.'")
        info, times = probe(file), indexed_times_s(file)
        fps = info.fps or (len(times) - 1) / max(float(times[-1]), 1e-9)
        if fps <= 0:
            raise InputError(file, "", "does not say how many frames a second it has", "convert it to mp4")
        return cls(camera, file, info.width, info.height, round(fps, 4), times)

    @property
    def frames(self) -> int:
        return len(self.times_s)

    def check_size(self, file: Path, field: str, width: int, height: int) -> None:
        """Raise `InputError` unless the annotations were made on pictures of this size."""
        if (width, height) != (self.width, self.height):
            raise InputError(
                file,
                field,
                f"{width}x{height}, but {self.file} is {self.width}x{self.height}",
                "give the video that was annotated, in its full size",
            )

    def check_frames(self, file: Path, field: str, frames: int) -> None:
        """Raise `InputError` unless the annotations were made on this number of frames."""
        if frames != self.frames:
            raise InputError(
                file,
                field,
                f"{frames} frames, but {self.file} has {self.frames}",
                "give the video that was annotated, uncut",
            )


class BoxCollector:
    """Takes in the boxes of one camera, each with the place in the file that it came from.

    Args:
        least_inside: share of a box that must lie in the picture; what lies outside is cut off.
    """

    def __init__(self, file: Path, footage: Footage, *, least_inside: float = LEAST_INSIDE) -> None:
        self._file, self._footage, self._least_inside = file, footage, least_inside
        self._rows: list[tuple[str, int, str, str, float, float, float, float, float]] = []
        self._seen: dict[tuple[int, str], str] = {}

    def add(
        self, where: str, frame: int, label: str, name: str, box: Sequence[float], visible: float = 1.0
    ) -> None:
        """Add the box (x1, y1, x2, y2, pixels) of object `name`; raises `InputError` for a fault."""
        if label not in LABELS:
            raise unknown_label(self._file, where, label)
        check_frame(self._file, where, frame, self._footage)
        corners = self._inside(where, box)
        if not 0 <= visible <= 1:
            raise InputError(self._file, where, f"visibility {visible:g}, expected 0 to 1")
        if (frame, name) in self._seen:
            raise InputError(
                self._file,
                where,
                f"{name!r} has a second box on frame {frame}, the first is at {self._seen[frame, name]}",
                "give each object an id of its own",
            )
        self._seen[frame, name] = where
        self._rows.append((self._footage.camera, frame, label, name, *corners, visible))

    def table(self) -> pd.DataFrame:
        """The boxes as `boxes.parquet` has them, in frame order."""
        return pd.DataFrame(self._rows, columns=list(BOX_COLUMNS)).sort_values(
            "frame", kind="stable", ignore_index=True
        )

    def _inside(self, where: str, box: Sequence[float]) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (float(v) for v in box)
        text = f"box ({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
        if not all(math.isfinite(v) for v in (x1, y1, x2, y2)):
            raise InputError(self._file, where, f"{text} is not finite, expected pixels")
        if x2 <= x1 or y2 <= y1:
            raise InputError(
                self._file, where, f"{text} has no positive width and height", "draw it again or delete it"
            )
        width, height = self._footage.width, self._footage.height
        cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        share = max(0.0, cut[2] - cut[0]) * max(0.0, cut[3] - cut[1]) / ((x2 - x1) * (y2 - y1))
        if share <= 0 or share < self._least_inside:
            raise InputError(
                self._file,
                where,
                f"{text} lies outside the picture of {width}x{height} ({share:.0%} of it is inside)",
                f"check that {self._footage.file} is the video that was annotated",
            )
        return cut


def check_frame(file: Path, where: str, frame: int, footage: Footage) -> None:
    """Raise `InputError` unless the video has this frame, counted from 0."""
    if not 0 <= frame < footage.frames:
        raise InputError(
            file,
            where,
            f"frame {frame} is not in {footage.file}, which has frames 0 to {footage.frames - 1}",
            "give the video that was annotated, uncut",
        )


def unknown_label(file: Path, where: str, label: str, known: Sequence[str] = LABELS) -> InputError:
    """What to say of a label that names nothing we know."""
    hint = nearest(label, known) or f'map it with --classes "{label}=item", or leave it out with "{label}="'
    return InputError(file, where, f"label {label!r}, expected one of {', '.join(known)}", hint)


def number(file: Path, where: str, text: str | None) -> float:
    """A finite number; raises `InputError` for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(file, where, f"{text!r} is not a number")
    return value


def whole_number(file: Path, where: str, text: str | None) -> int:
    """A whole number; raises `InputError` for anything else."""
    value = number(file, where, text)
    if value != int(value):
        raise InputError(file, where, f"{text!r}, expected a whole number")
    return int(value)


def read_text(file: Path) -> str:
    """The text of a file; raises `InputError` when it is missing or is not text."""
    if not file.is_file():
        raise InputError(file, "", "does not exist, or is not a file")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(file, "", f"is not text ({error.reason} at byte {error.start})") from None


def parse_classes(
    text: str | None, known: Sequence[str] = LABELS, *, option: str = "--classes"
) -> dict[str, str]:
    """What the foreign classes are called here; an empty name leaves a class out.

    >>> parse_classes("1=person, bottle=item, 8=")
    {'1': 'person', 'bottle': 'item', '8': ''}
    """
    classes: dict[str, str] = {}
    for part in (p.strip() for p in (text or "").split(",")):
        if not part:
            continue
        foreign, equals, own = (p.strip() for p in part.partition("="))
        if not equals or not foreign or foreign in classes:
            raise InputError(option, "", f"{part!r}, expected each class once, as in 1=person,bottle=item")
        if own and own not in known:
            raise InputError(
                option, foreign, f"{own!r}, expected one of {', '.join(known)}", nearest(own, known)
            )
        classes[foreign] = own
    return classes


def parse_shoppers(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
    """Shoppers' names, and their entry scans where these are given.

    >>> parse_shoppers(["ann@0.5,-1.2,-0.9"])
    (('ann',), (Entry(shopper='ann', t_s=0.5, at_m=(-1.2, -0.9), person='ann', role='shopper'),))
    """
    names: list[str] = []
    entries: list[Entry] = []
    for text in texts:
        name, at, scan = (part.strip() for part in text.partition("@"))
        if not name or name in names:
            raise InputError("--shopper", "", f"{text!r}, expected each shopper's name once")
        names.append(name)
        if at:
            numbers = [number(Path("--shopper"), name, part) for part in scan.split(",")]
            if len(numbers) != 3:
                raise InputError(
                    "--shopper", name, f"{scan!r}, expected seconds, x and y metres: 0.5,-1.2,-0.9"
                )
            entries.append(Entry(name, numbers[0], (numbers[1], numbers[2])))
    if entries and len(entries) != len(names):
        missing = next(name for name in names if name not in {e.shopper for e in entries})
        raise InputError("--shopper", missing, "has no entry scan, expected one for all or for none")
    return tuple(names), tuple(entries)


def make_recording(
    out: str | Path,
    footage: Sequence[Footage],
    boxes: pd.DataFrame,
    *,
    source: str,
    truth: Truth | None = None,
    catalog: Catalog | None = None,
    planogram: Planogram | None = None,
    plates: Path | None = None,
    entries: Sequence[Entry] = (),
    force: bool = False,
) -> Recording:
    """Copy the videos into a recording folder, with their boxes and what else is known.

    Raises:
        InputError: `out` exists, or the plates are faulty.
    """
    out = Path(out)
    with new_folder(out, force=force) as draft:
        cameras = []
        for shot in footage:
            name = f"{shot.camera}{shot.file.suffix.lower()}"
            shutil.copyfile(shot.file, draft / name)
            cameras.append(Camera(shot.camera, name, shot.fps, shot.width, shot.height))
        boxes.to_parquet(draft / "boxes.parquet", index=False)
        if catalog is not None:
            catalog.save(draft / "catalog.csv")
        if planogram is not None:
            planogram.save(draft / "planogram.yaml")
        if truth is not None:
            truth.save(draft / "truth.json")
        rate = None
        if plates is not None:
            rate = plates_rate_hz(plates)
            shutil.copyfile(plates, draft / "plates.parquet")
        header = Recording(
            draft, out.name, tuple(cameras), rate, tuple(entries), source, "as the source", None
        )
        header.save_header()
        made = Recording.open(draft)
        if plates is not None:
            _ = made.plates  # reads back what was copied
    return Recording.open(out)


def plates_rate_hz(file: Path) -> float:
    """How often the plates are sampled, by the usual step between two samples of one plate."""
    try:
        table = pd.read_parquet(file, columns=["t_s", "plate"])
    except Exception as error:
        raise InputError(file, "", f"is not a Parquet table with t_s and plate ({error})") from None
    step = table.groupby("plate", sort=False, observed=True)["t_s"].diff().median()
    if not step > 0:
        raise InputError(file, "t_s", "does not rise, expected several samples a plate in time order")
    return round(1.0 / float(step), 3)


def annotated(
    recording: Recording, *, every: int = 1, min_visible: float = 0.0
) -> tuple[dict[str, list[int]], list[TrueBox]]:
    """The annotated frames of each camera and their boxes, thinned out.

    Args:
        every: keep the first and then every so many-th annotated frame of a camera.
        min_visible: leave out boxes that show less than this share; their frames stay.

    Raises:
        InputError: there are no boxes, or they name a camera or label that the recording does not know.
    """
    recording.require("cameras")
    boxes, file = recording.boxes, recording.path / "boxes.parquet"
    for column in BOX_COLUMNS:
        if column not in boxes:
            raise InputError(file, column, f"column is missing, expected {', '.join(BOX_COLUMNS)}")
    if boxes.empty:
        raise InputError(file, "", "holds no boxes, so there is nothing to export")
    names = [c.camera for c in recording.cameras]
    for camera in boxes["camera"].unique():
        if camera not in names:
            raise InputError(file, "camera", f"{camera!r} is not one of {names}", nearest(str(camera), names))
    for label in boxes["label"].unique():
        if label not in LABELS:
            hint = nearest(str(label), LABELS)
            raise InputError(file, "label", f"{label!r}, expected one of {', '.join(LABELS)}", hint)
    kept = {
        str(camera): sorted(int(f) for f in rows["frame"].unique())[::every]
        for camera, rows in boxes.groupby("camera", sort=True)
    }
    wanted = {(camera, frame) for camera, frames in kept.items() for frame in frames}
    tracks = boxes.groupby("camera", sort=False)["id"].transform(lambda ids: pd.factorize(ids)[0] + 1)
    ordered = boxes.assign(track=tracks).sort_values(["camera", "frame"], kind="stable")
    every_box = map(TrueBox._make, zip(*(ordered[name].tolist() for name in TrueBox._fields), strict=True))
    return kept, [b for b in every_box if (b.camera, b.frame) in wanted and b.visible >= min_visible]


def write_pictures(
    recording: Recording, frames: Mapping[str, Sequence[int]], place: Callable[[str, int], Path]
) -> None:
    """Write frames as JPEG to where `place(camera, frame)` says.

    Raises:
        InputError: a video breaks off before a frame that has boxes.
    """
    import cv2

    for camera, numbers in frames.items():
        missing = set(numbers)
        for index, (_, image) in enumerate(recording.frames(camera)):
            if index in missing:
                file = place(camera, index)
                file.parent.mkdir(parents=True, exist_ok=True)
                done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
                assert done
                file.write_bytes(data.tobytes())
                missing.discard(index)
        if missing:
            raise InputError(
                recording.path / "boxes.parquet",
                "frame",
                f"{min(missing)} of camera {camera!r} is beyond the end of its video",
            )
