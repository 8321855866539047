"""A recording's events as they were perceived, with the plates' trace and the pictures around each."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from checkout.errors import InputError
from checkout.events import ShelfEvent
from checkout.pipeline import Perceived, perceive
from checkout.recording import Recording

BEFORE_S, AFTER_S = 2.0, 3.0
PICTURE = 640, 480
MOVED_G = 5.0
"""Assumed: a plate whose load stays within so many grams is not drawn."""
MOMENTS = (("before", -1.0), ("during", 0.0), ("after", 1.0))


@dataclass(frozen=True)
class Trace:
    """Loads around an event, zero at its start: seconds [n], and grams [n] of each plate that moved."""

    t_s: np.ndarray
    plates: dict[str, np.ndarray]


def recordings_in(folder: Path) -> list[str]:
    """Names of the recording folders in a folder, sorted."""
    return sorted(p.parent.name for p in folder.glob("*/recording.yaml"))


@lru_cache(maxsize=4)
def opened(folder: Path) -> Recording:
    return Recording.open(folder)


def perceived(folder: Path, sensors: tuple[str, ...]) -> Perceived:
    """What these sensors make of a recording; raises `InputError` where it cannot be used."""
    from sim.dashboard.worker import tell

    return perceive(Recording.open(folder), sensors=sensors, keep_detections=False, progress=tell)


def true_event(recording: Recording, event: ShelfEvent, within_s: float = 1.5) -> ShelfEvent | None:
    """The true event nearest in time at the same shelf; None where there is none so near, or no truth."""
    if not recording.has_truth:
        return None
    near = [
        e for e in recording.truth.events
        if abs(e.t_s - event.t_s) <= within_s and e.facing.rsplit(".", 1)[0] == event.facing.rsplit(".", 1)[0]
    ]  # fmt: skip
    return min(near, key=lambda e: abs(e.t_s - event.t_s)) if near else None


def trace_of(recording: Recording, event: ShelfEvent) -> Trace | None:
    """The plates of the event's shelf around it; None where the recording has none there."""
    facing = recording.planogram.get(event.facing)
    if facing is None or not recording.has_plates:
        return None
    names = [str(p) for p in recording.plates.columns if str(p).rsplit(".", 1)[0] == facing.shelf]
    table = recording.plates[names].loc[event.t_s - BEFORE_S : event.t_s + AFTER_S]
    table = table.dropna(axis=1, how="all").interpolate(limit_direction="both")
    if len(table) < 2 or not len(table.columns):
        return None
    table = table - table.iloc[: max(1, len(table) // 20)].median()
    smooth = table.rolling(9, center=True, min_periods=1).median()
    moved = [name for name in smooth if np.ptp(smooth[name].to_numpy()) >= MOVED_G]
    kept = moved or [name for name in facing.plates if name in table] or list(table.columns[:1])
    return Trace(table.index.to_numpy(float), {str(name): smooth[name].to_numpy(float) for name in kept})


@lru_cache(maxsize=64)
def pictures(folder: Path, t_s: float) -> tuple[tuple[str, str], ...]:
    """Caption and data address of each camera's picture before, during and after a time.

    Raises:
        InputError: the pictures cannot be read here.
    """
    recording = opened(folder)
    if not recording.cameras:
        return ()
    try:
        import av  # noqa: F401
        from PIL import Image
    except ModuleNotFoundError:
        raise InputError(
            folder, "cameras", "the pictures need the extra 'vision'",
            'run: pip install "checkout-simulator[vision]"',
        ) from None  # fmt: skip
    found = []
    for camera in recording.cameras:
        for (name, _), frame in zip(MOMENTS, _frames(folder / camera.file, t_s), strict=True):
            picture = Image.fromarray(frame)
            picture.thumbnail(PICTURE)
            with io.BytesIO() as file:
                picture.save(file, "JPEG", quality=80)
                data = base64.b64encode(file.getvalue()).decode()
            found.append((f"{camera.camera}, {name}", f"data:image/jpeg;base64,{data}"))
    return tuple(found)


def _frames(path: Path, t_s: float) -> list[np.ndarray]:
    """The last RGB frame at or before each of `MOMENTS` around a time; the first frame where there is none."""
    import av

    wanted = [max(0.0, t_s + offset) for _, offset in MOMENTS]
    found: list[np.ndarray] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        container.seek(int(wanted[0] / stream.time_base), stream=stream)
        shown = None
        for frame in container.decode(stream):
            while len(found) < len(wanted) and shown is not None and frame.time > wanted[len(found)] + 1e-6:
                found.append(shown.to_ndarray(format="rgb24"))
            shown = frame
            if len(found) == len(wanted):
                break
        if shown is None:
            raise InputError(path, "", "holds no frame")
        found += [shown.to_ndarray(format="rgb24")] * (len(wanted) - len(found))
    return found
