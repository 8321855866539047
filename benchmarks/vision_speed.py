"""How fast and how lean the vision pipeline is: python -m benchmarks.vision_speed [--recording DIR] [--minutes M]

(a) Bare `YOLO.predict` against the whole pipeline (decode, detect, track, moments) on every frame of a recording.
(b) Every frame against only those where something happens: speed, and F1 of the shelf events; on the recording as it
is, and with three times its length of an empty shelf before it, as a camera sees it: noise anew in every picture.
(c) Four cameras of 15 frames a second at once (the recording's, twice, played faster): frames a second that are watched
of each; with as many looks a second as usual, and with half.
(d) Resident memory while minutes of video are watched: the same mostly idle recording over and over.
Speeds are of one run each, in wall-clock time; where the machine does other work too, the processor's time is the
fairer one, and ratios are given of both.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from checkout.evaluation.events import EventMetric
from checkout.pipeline import Perceived, perceive
from checkout.recording import Recording
from checkout.vision.attention import LOOKS_HZ
from checkout.vision.detector import LOWEST_CONFIDENCE, Detector, network_size
from checkout.vision.video import VideoWriter, frames_in_time_order, join_videos, probe, read_frames
from checkout.vision.watch import watch_recording

SHIPPED = Path(__file__).resolve().parents[1] / "videos"
IDLE_TIMES = 3
"""Lengths of an empty shelf before the recording: three quarters of the time nothing happens."""
NOISE_SD = 2.0
"""Assumed noise of an empty picture, grey levels; what the encoder leaves of it reaches the gate."""
CRF = 16
"""Assumed: quality at which the recording is encoded anew, so high that little changes."""
WANTED_FPS, CAMERAS = 15.0, 4
RATIO_AIM, GATE_AIM, F1_AIM, MEMORY_AIM_MB = 0.8, 3.0, 0.01, 200.0
"""Aims of the project."""


@dataclass
class Watched:
    """Progress that notes when the first and the last frame were done, wall clock and processor, seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __call__(self, what: str, share: float) -> None:
        if what.startswith("watching"):
            self.wall.append(time.perf_counter())
            self.cpu.append(time.process_time())

    @property
    def per_frame_s(self) -> tuple[float, float]:
        """Seconds a frame, wall clock and processor."""
        frames = len(self.wall) - 1
        return (self.wall[-1] - self.wall[0]) / frames, (self.cpu[-1] - self.cpu[0]) / frames


def bare(recording: Recording, detector: Detector) -> tuple[float, float]:
    """Seconds a frame of `YOLO.predict` alone, wall clock and processor, on pictures that are decoded already."""
    wall = cpu = 0.0
    count = 0
    for *_, image in frames_in_time_order([(c.camera, recording.path / c.file) for c in recording.cameras]):
        begun = time.perf_counter(), time.process_time()
        detector.model.predict(image, imgsz=network_size(image), conf=LOWEST_CONFIDENCE, verbose=False)
        wall, cpu = wall + time.perf_counter() - begun[0], cpu + time.process_time() - begun[1]
        count += 1
    return wall / count, cpu / count


def compare_with_bare(recording: Recording, detector: Detector) -> None:
    """Part (a); what is imported once is imported before."""
    importlib.import_module("scipy.signal")
    alone = bare(recording, detector)
    whole = Watched()
    watch_recording(recording, detector, whole, every_frame=True)
    wall, cpu = (b / w for b, w in zip(alone, whole.per_frame_s, strict=True))
    print(
        f"(a) {recording.id}: YOLO.predict {1 / alone[0]:.1f} frames a second, the whole pipeline"
        f" {1 / whole.per_frame_s[0]:.1f}: {wall:.2f} times (aim {RATIO_AIM:g}); processor's time {cpu:.2f}",
        flush=True,
    )


def f1(recording: Recording, seen: Perceived) -> str:
    """F1 of action and product within 0.5 s, and of the shopper as well."""
    metric = EventMetric()
    metric.update(recording.truth.events, seen.events)
    half = {s.kind: s.f1 for s in metric.compute() if s.tolerance_s == 0.5}
    return f"{half['event']:.3f} ({half['event and shopper']:.3f} with the shopper)"


def compare_with_every_frame(recording: Recording) -> None:
    """Part (b)."""
    line = f"(b) {recording.id}:"
    for sensors in (("vision", "plates"), ("vision",)):
        every, some = Watched(), Watched()
        all_seen = perceive(recording, sensors=sensors, every_frame=True, progress=every)
        seen = perceive(recording, sensors=sensors, progress=some)
        wall, cpu = (e / s for e, s in zip(every.per_frame_s, some.per_frame_s, strict=True))
        print(
            f"{line} {'+'.join(sensors)}: {wall:.2f} times the speed of every frame (aim {GATE_AIM:g} on idle footage;"
            f" processor's time {cpu:.2f}); F1 {f1(recording, seen)}, on every frame"
            f" {f1(recording, all_seen)} (aim: at most {F1_AIM:g} less)",
            flush=True,
        )


def four_cameras(recording: Recording, detector: Detector, folder: Path) -> None:
    """Part (c): all cameras of the recording, again and again until there are four, in one process.

    Their pictures are played so fast that there are `WANTED_FPS` a second.
    """
    path = folder / f"{recording.id}-{CAMERAS}-cameras"
    shutil.copytree(recording.path, path)
    for camera in recording.cameras:
        file = recording.path / camera.file
        with VideoWriter(path / camera.file, camera.width, camera.height, WANTED_FPS, crf=CRF) as writer:
            for _, image in read_frames(file):
                writer.write(image)
    facts = yaml.safe_load((path / "recording.yaml").read_text())
    cameras = [dict(facts["cameras"][i % len(facts["cameras"])]) for i in range(CAMERAS)]
    facts["cameras"] = [
        {**camera, "camera": f"cam{i}", "fps": WANTED_FPS} for i, camera in enumerate(cameras)
    ]
    (path / "recording.yaml").write_text(yaml.safe_dump(facts))
    for looks in (LOOKS_HZ, LOOKS_HZ / 2):
        watched = Watched()
        sight = watch_recording(Recording.open(path), detector, watched, looks_hz=looks, keep=False)
        fps = 1 / watched.per_frame_s[0] / CAMERAS
        print(
            f"(c) {recording.id}: {CAMERAS} cameras at {fps:.1f} frames a second each on"
            f" {len(os.sched_getaffinity(0))} cores: {fps / WANTED_FPS:.2f} of {WANTED_FPS:g}; with {looks:g} looks a"
            f" second the network saw {sight.network_frames} of {sight.frames} frames",
            flush=True,
        )


def with_idle_time(recording: Recording, folder: Path, *, repeats: int = 1, plates: bool = True) -> Recording:
    """The recording after an empty time, `repeats` times over; its truth and plates move along (for one repeat)."""
    path = folder / f"{recording.id}-idle-{repeats}{'-plates' if plates else ''}"
    path.mkdir()
    idle_s = 0.0
    for camera in recording.cameras:
        file = recording.path / camera.file
        once = folder / f"{recording.id}-once-{camera.file}"
        idle_s = _write_after_idle_time(once, file)
        join_videos([once] * repeats, path / camera.file, probe(file).fps)
        once.unlink()
    for name in ("catalog.csv", "planogram.yaml", *(e.picture for e in recording.entries if e.picture)):
        shutil.copy(recording.path / name, path / name)
    facts = yaml.safe_load((recording.path / "recording.yaml").read_text())
    facts["id"] = path.name
    if plates and recording.has_plates:
        _write_plates(path / "plates.parquet", recording, idle_s)
    else:
        facts.pop("plates", None)
    (path / "recording.yaml").write_text(yaml.safe_dump(_later(facts, idle_s)))
    truth = json.loads((recording.path / "truth.json").read_text())
    (path / "truth.json").write_text(json.dumps(_later(truth, idle_s)))
    return Recording.open(path)


def _write_after_idle_time(path: Path, file: Path) -> float:
    """A video's first picture for `IDLE_TIMES` its length, with noise, and then the video; returns the idle seconds.

    All of it is encoded anew: pictures behind those of another encoder's settings are decoded with the wrong ones.
    """
    info, rng = probe(file), np.random.default_rng(1)
    first = next(read_frames(file))[1]
    idle = IDLE_TIMES * info.frames
    with VideoWriter(path, info.width, info.height, info.fps, crf=CRF) as writer:
        for _ in range(idle):
            noisy = first + rng.normal(0, NOISE_SD, first.shape)
            writer.write(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
        for _, image in read_frames(file):
            writer.write(image)
    return idle / info.fps


def _write_plates(path: Path, recording: Recording, idle_s: float) -> None:
    """The plates' signal after a time in which they only flicker as they do in the recording's first second."""
    signal = pd.read_parquet(recording.path / "plates.parquet")
    rng = np.random.default_rng(1)
    parts = []
    for plate, rows in signal.groupby("plate", sort=False, observed=True):
        step = float(np.median(np.diff(rows["t_s"])))
        first = rows.loc[rows["t_s"] < rows["t_s"].iloc[0] + 1.0, "grams"].to_numpy()
        times = rows["t_s"].iloc[0] + step * np.arange(round(idle_s / step))
        grams = rng.choice(first, len(times)).astype(np.float32)
        parts.append(pd.DataFrame({"t_s": times, "plate": plate, "grams": grams}))
    parts.append(signal.assign(t_s=signal["t_s"] + idle_s))
    pd.concat(parts, ignore_index=True).to_parquet(path)


def _later(facts: Any, by_s: float) -> Any:
    """The same facts with every time, `t_..._s`, moved."""
    if isinstance(facts, dict):
        return {
            key: value + by_s
            if key.startswith("t_") and key.endswith("_s") and isinstance(value, int | float)
            else _later(value, by_s)
            for key, value in facts.items()
        }
    return [_later(value, by_s) for value in facts] if isinstance(facts, list) else facts


def resident_mb() -> float:
    """This process's resident memory, megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(recording: Recording, detector: Detector, minutes: float, folder: Path) -> None:
    """Part (d): from the end of the first tenth, when everything is loaded, to the end."""
    info = probe(recording.path / recording.cameras[0].file)
    length_s = (1 + IDLE_TIMES) * info.frames / info.fps
    repeats = max(1, round(60 * minutes / length_s))
    long = with_idle_time(recording, folder, repeats=repeats, plates=False)
    samples: list[tuple[float, float]] = []

    def sample(what: str, share: float) -> None:
        if what.startswith("watching") and (not samples or share - samples[-1][0] >= 0.005):
            samples.append((share, resident_mb()))

    begun = resident_mb()
    sight = watch_recording(long, detector, sample, keep=False)
    warm = next((mb for share, mb in samples if share >= 0.1), samples[-1][1])
    most = max(mb for _, mb in samples)
    watched_min = repeats * length_s / 60
    print(
        f"(d) {watched_min:.0f} minutes of {len(long.cameras)} cameras ({sight.frames} frames, {sight.network_frames}"
        f" seen by the network): resident {begun:.0f} MB at the start, {warm:.0f} after a tenth,"
        f" {samples[-1][1]:.0f} at the end, {most:.0f} at most: {most - begun:.0f} MB over its start"
        f" (aim {MEMORY_AIM_MB:g} in an hour); from a tenth on it grows at"
        f" {(samples[-1][1] - warm) / (0.9 * watched_min) * 60:.0f} MB an hour",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--recording", type=Path, default=SHIPPED / "hard-01", help="folder with truth and plates"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the video of part (d)")
    parser.add_argument("--parts", default="abcd", help="which of them")
    options = parser.parse_args(arguments)
    recording, detector = Recording.open(options.recording), Detector()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "a" in options.parts:
            compare_with_bare(recording, detector)
        if "b" in options.parts:
            compare_with_every_frame(recording)
            compare_with_every_frame(with_idle_time(recording, folder))
        if "c" in options.parts:
            four_cameras(recording, detector, folder)
        if "d" in options.parts:
            memory(recording, detector, options.minutes, folder)


if __name__ == "__main__":
    main()
