"""Reading and writing video with PyAV, with times in seconds and faults said in one line."""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from queue import Full, Queue
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from checkout.errors import InputError

CODEC = "libx264"
MISSING_FRAMES_ALLOWED = 0.02
"""Assumed: a container may count this share of frames more than it holds before it is called truncated."""
FRAMES_AHEAD = 4
"""Assumed: decoded pictures of a camera that wait for the network at most."""
_Row = TypeVar("_Row")


class VideoInfo(NamedTuple):
    """What the container says about a video; `frames` is 0 when it does not say."""

    width: int
    height: int
    fps: float
    frames: int


def probe(path: str | Path) -> VideoInfo:
    """Size, frame rate and frame count of a video; raises `InputError` when it is not one."""
    with _open(Path(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        return VideoInfo(stream.width, stream.height, float(rate), int(stream.frames))


def read_frames(path: str | Path) -> Generator[tuple[float, np.ndarray], None, None]:
    """Each frame's time, seconds from the first frame, and picture, uint8 [height, width, 3], BGR.

    One frame is held at a time. Raises `InputError` when the file is missing, is not a video, has
    no frames, breaks off before its declared end, or changes its picture size.
    """
    for time_s, frame in _decoded(Path(path)):
        yield time_s, frame.to_ndarray(format="bgr24")


def decoded_times_s(path: str | Path) -> np.ndarray:
    """When each frame that can really be decoded is shown, float64 [n], seconds from the first.

    Raises `InputError` as `read_frames` does.
    """
    return np.array([time_s for time_s, _ in _decoded(Path(path))])


def indexed_times_s(path: str | Path) -> np.ndarray:
    """When each frame is shown as the container has it, float64 [n], seconds from the first; decodes nothing."""
    path = Path(path)
    with _open(path) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        ticks = [packet.pts for packet in packets]
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        if not packets:
            raise InputError(path, "", "holds no video frames")
        if None in ticks:
            return np.arange(len(packets)) / rate
        times = np.sort(np.array(ticks, float)) * float(stream.time_base)
    return np.asarray(times - times[0])


def _decoded(path: Path) -> Iterator[tuple[float, Any]]:
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        declared, count, start, size = int(stream.frames), 0, 0.0, (0, 0)
        frames = _Decoding(container, stream)
        for frame in frames:
            time_s = float(frame.time) if frame.time is not None else count / float(stream.average_rate or 25)
            if count == 0:
                start, size = time_s, (frame.width, frame.height)
            elif (frame.width, frame.height) != size:
                raise InputError(
                    path,
                    f"frame {count}",
                    f"is {frame.width}x{frame.height}, the first was {size[0]}x{size[1]}",
                )
            yield time_s - start, frame
            count += 1
        cut = declared and count < declared * (1 - MISSING_FRAMES_ALLOWED)
    if frames.fault and not (cut and frames.ended):
        raise InputError(path, f"frame {count}", f"cannot be decoded ({frames.fault})", "copy the file again")
    if count == 0:
        raise InputError(path, "", "holds no video frames")
    if cut:
        raise InputError(
            path,
            "",
            f"is truncated: {count} frames can be read of {declared} declared",
            "copy the file again",
        )


class _Decoding:
    """A stream's frames up to its end, or to the first packet that cannot be decoded.

    Attributes:
        fault: why that packet cannot be decoded; None where all can.
        ended: whether no packet follows: then the file may have been cut within one, which a decoder of several
            threads passes over and one of a single thread calls a fault.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._packets = container.demux(stream)
        self.fault: str | None = None
        self.ended = True

    def __iter__(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._packets:
                yield from packet.decode()
        except av.error.FFmpegError as error:
            self.fault = error.strerror
            with contextlib.suppress(av.error.FFmpegError):
                self.ended = not any(packet.size for packet in self._packets)


def frames_in_time_order(videos: Sequence[tuple[str, Path]]) -> Iterator[tuple[float, int, str, np.ndarray]]:
    """Frames of several cameras (id, file) by time: seconds, frame number, camera id, picture.

    Each video is decoded by a thread of its own, `FRAMES_AHEAD` frames ahead.
    """

    def one(order: int, camera: str, file: Path) -> Iterator[tuple[float, int, int, str, np.ndarray]]:
        with contextlib.closing(ahead(read_frames(file), FRAMES_AHEAD)) as frames:
            for index, (t_s, image) in enumerate(frames):
                yield t_s, order, index, camera, image

    streams = [one(order, camera, file) for order, (camera, file) in enumerate(videos)]
    for t_s, _, index, camera, image in heapq.merge(*streams, key=lambda row: row[:2]):
        yield t_s, index, camera, image


def ahead(rows: Generator[_Row, None, None], most: int) -> Generator[_Row, None, None]:
    """The same rows, made by a thread up to `most` ahead; what it raises is raised here."""
    made: Queue[tuple[bool, Any]] = Queue(most)
    stopped = threading.Event()

    def hand_over(going_on: bool, row: Any) -> None:
        while not stopped.is_set():
            with contextlib.suppress(Full):
                made.put((going_on, row), timeout=0.1)
                return

    def make() -> None:
        try:
            with contextlib.closing(rows):
                for row in rows:
                    hand_over(True, row)
                    if stopped.is_set():
                        return
        except BaseException as error:
            hand_over(False, error)
        else:
            hand_over(False, None)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while True:
            going_on, row = made.get()
            if not going_on:
                if row is not None:
                    raise row
                return
            yield row
    finally:
        stopped.set()
        maker.join()


class VideoWriter:
    """Writes H.264 in an mp4 that browsers play; a context manager.

    The result depends on the frames alone (one encoder thread).
    """

    def __init__(self, path: str | Path, width: int, height: int, fps: float, *, crf: int = 26) -> None:
        import av

        self._container: Any = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        stream: Any = self._container.add_stream(CODEC, rate=Fraction(fps).limit_denominator(1001))
        self._stream = stream
        self._stream.width, self._stream.height = width - width % 2, height - height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": str(crf), "preset": "medium", "threads": "1"}

    def write(self, image: np.ndarray) -> None:
        """Append one picture, uint8 [height, width, 3], BGR."""
        import av

        image = np.ascontiguousarray(image[: self._stream.height, : self._stream.width])
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds; call once, after the last picture."""
        self._container.mux(self._stream.encode())

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        self.close()


def join_videos(parts: Sequence[Path], out: Path, fps: float) -> None:
    """Put H.264 videos of one size and rate one behind the other, without encoding them anew."""
    import av

    with av.open(str(out), "w", format="mp4", options={"movflags": "faststart"}) as container:
        target: Any = None
        start = 0
        # The container may choose another time base when it writes its header; this one stays.
        tick = Fraction(1, 1000 * round(fps))
        frame = round(1 / Fraction(fps).limit_denominator(1001) / tick)
        for part in parts:
            with _open(part) as source:
                stream = source.streams.video[0]
                if target is None:
                    target = container.add_stream_from_template(stream)
                    target.time_base = tick
                scale = stream.time_base / tick
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts = round(packet.pts * scale) + start
                    packet.dts = round(packet.dts * scale) + start
                    packet.duration = frame
                    packet.time_base = tick
                    packet.stream = target
                    container.mux(packet)
                start += frame * int(stream.frames)


def _open(path: Path) -> Any:
    import av

    if not path.is_file():
        raise InputError(path, "", "does not exist, expected a video file")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise InputError(
            path, "", f"is not a readable video ({error.strerror})", "copy the file again"
        ) from None
    if not container.streams.video:
        container.close()
        raise InputError(path, "", "holds no video stream")
    return container
