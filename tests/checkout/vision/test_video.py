"""Reading videos: times, and every way in which a file can be no video."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from checkout.errors import InputError
from checkout.vision.video import VideoWriter, ahead, frames_in_time_order, probe, read_frames


def write(path: Path, frames: int = 20, size: tuple[int, int] = (128, 96), fps: float = 10) -> Path:
    """A video whose pictures all differ, and do not shrink when they are encoded."""
    rng = np.random.default_rng(1)
    with VideoWriter(path, *size, fps) as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8))
    return path


def write_at(path: Path, times_s: list[float]) -> Path:
    """A video whose frames are shown at these times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, t_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = round(1000 * t_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def fault(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(read_frames(path))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


@contextmanager
def only(cores: int) -> Iterator[None]:
    """As many cores at most, which is how many threads decode."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(all_of_them)[:cores]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def test_frames_come_with_their_times(tmp_path: Path) -> None:
    frames = list(read_frames(write(tmp_path / "a.mp4")))
    assert [t_s for t_s, _ in frames] == pytest.approx(np.arange(20) / 10)
    assert frames[0][1].shape == (96, 128, 3)
    assert probe(tmp_path / "a.mp4") == (128, 96, 10.0, 20)


def test_a_variable_frame_rate_is_read_by_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.14, 0.3, 0.9, 1.0]
    assert [t_s for t_s, _ in read_frames(write_at(tmp_path / "a.mkv", times))] == pytest.approx(times)


def test_cameras_are_merged_by_time(tmp_path: Path) -> None:
    videos = [("slow", write_at(tmp_path / "a.mkv", [0, 0.5, 1.0])), ("fast", write(tmp_path / "b.mp4", 8))]
    merged = [(round(t_s, 3), camera) for t_s, _, camera, _ in frames_in_time_order(videos)]
    assert [t for t, _ in merged] == sorted(t for t, _ in merged)
    assert [camera for t, camera in merged if t in (0, 0.5)] == ["slow", "fast", "slow", "fast"]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("no video")
    assert fault(tmp_path / "none.mp4") == "does not exist, expected a video file"
    assert fault(empty).startswith("is not a readable video")
    assert fault(text).startswith("is not a readable video")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for _ in range(4):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 8000
            container.mux(stream.encode(silence))
        container.mux(stream.encode())
    assert fault(path) == "holds no video stream"


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        container.start_encoding()
    assert "holds no video frames" in fault(path) or "is not a readable video" in fault(path)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_file_that_breaks_off_is_refused_the_same_by_any_number_of_threads(
    tmp_path: Path, cores: int
) -> None:
    whole = write(tmp_path / "whole.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    middle = tmp_path / "middle.mp4"
    half = len(whole) // 2
    middle.write_bytes(whole[:half] + b"\xff" * 20_000 + whole[half + 20_000 :])
    with only(cores):
        assert "is truncated" in fault(broken)
        assert "cannot be decoded" in fault(middle)


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "both.h264"
    with raw.open("wb") as file:
        for size in ((128, 96), (160, 96)):
            part = tmp_path / "part.h264"
            with av.open(str(part), "w", format="h264") as container:
                stream = container.add_stream("libx264", rate=10)
                stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
                for _ in range(5):
                    frame = av.VideoFrame.from_ndarray(
                        np.zeros((size[1], size[0], 3), np.uint8), format="bgr24"
                    )
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())
            file.write(part.read_bytes())
    assert fault(raw) == "frame 5: is 160x96, the first was 128x96"


def test_rows_made_ahead_are_the_same_and_no_more_than_asked_wait() -> None:
    made: list[int] = []

    def rows() -> Generator[int, None, None]:
        for row in range(50):
            made.append(row)
            yield row

    found = []
    for row in ahead(rows(), 3):
        time.sleep(0.001)
        found.append(row)
        assert len(made) - len(found) <= 3 + 1
    assert found == list(range(50))


def test_what_goes_wrong_ahead_is_told_after_the_rows_before_it() -> None:
    def rows() -> Generator[int, None, None]:
        yield 1
        raise InputError("cam0.mp4", "frame 1", "cannot be decoded")

    found: list[int] = []
    with pytest.raises(InputError, match="frame 1"):
        found.extend(ahead(rows(), 3))
    assert found == [1]


def test_who_stops_reading_stops_the_thread_that_reads_ahead() -> None:
    closed = threading.Event()

    def rows() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    running = ahead(rows(), 3)
    assert next(running) == 0
    running.close()
    assert closed.is_set()
