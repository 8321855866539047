"""Annotated footage: frame times, and options that name classes and shoppers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from checkout.cli import app
from checkout.errors import InputError
from checkout.footage import Footage, parse_classes, parse_shoppers
from checkout.recording import Entry
from checkout.vision.video import VideoWriter, decoded_times_s, indexed_times_s


def uneven_film(path: Path, ticks: list[int]) -> Path:
    """A video whose frames come when they come, as a telephone makes it; ticks of 1/1000 s."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 5 * number % 255, np.uint8), format="bgr24"
            )
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_the_index_has_the_times_that_decoding_finds(tmp_path: Path) -> None:
    ticks = np.cumsum([0, 33, 33, 40, 90, 33, 33, 50, 33, 33, 120, 33]).tolist()
    video = uneven_film(tmp_path / "phone.mp4", ticks)
    assert indexed_times_s(video) == pytest.approx(np.array(ticks) / 1000, abs=2e-3)
    assert indexed_times_s(video) == pytest.approx(decoded_times_s(video), abs=1e-6)
    assert Footage.open("cam0", video).frames == len(ticks)


def test_classes_are_named_once() -> None:
    assert parse_classes(" 1=person ,cup=item,, 8= ") == {"1": "person", "cup": "item", "8": ""}
    assert parse_classes(None) == {}
    for text, message in (
        ("1", "expected each class once"),
        ("a=item,a=hand", "once"),
        ("a=itme", "did you mean"),
    ):
        with pytest.raises(InputError, match=message):
            parse_classes(text)


def test_shoppers_come_with_their_entry_scans_or_without() -> None:
    assert parse_shoppers(["ann", "bob"]) == (("ann", "bob"), ())
    assert parse_shoppers(["ann@1.5,-1,2"]) == (("ann",), (Entry("ann", 1.5, (-1, 2)),))
    for texts, message in (
        (["ann", "ann"], "each shopper's name once"),
        (["ann@1,2"], "ann: '1,2', expected seconds, x and y"),
        (["ann@1,2,x"], "ann: 'x' is not a number"),
        (["ann@1,2,3", "bob"], "bob: has no entry scan"),
    ):
        with pytest.raises(InputError, match=message):
            parse_shoppers(texts)


def test_the_commands_lead_from_one_format_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "v.mp4", 64, 48, 10) as writer:
        for _ in range(12):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "gt.txt").write_text("1,1,1,1,20,20,1,1,1\n5,1,1,1,20,20,1,1,1\n9,1,1,1,20,20,1,1,0.2\n")
    for words, printed in (
        ("import mot gt.txt --video v.mp4 --out one", "one: 3 boxes of 1 tracks"),
        ("export yolo one --out yolo --every 2", "yolo/data.yaml: 2 pictures"),
        ("export coco one --out coco --min-visible 0.5", "coco/annotations.json: 3 pictures"),
        ("import yolo yolo --video v.mp4 --out two", "two: 2 boxes on 2 frames"),
        ("export mot two --out mot", "mot: 1 sequence(s)"),
        ("validate one two", "one: ok: 1 camera(s) of 1.2 s, 3 boxes"),
    ):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == 0, done.output
        assert done.output.startswith(printed)
