"""The worked example of docs/own-footage.md, typed as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checkout.recording import Recording
from checkout.vision.video import VideoWriter

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "own-footage.md").read_text(encoding="utf-8")
FILES = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
CONSOLES = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the page with what it is said to print."""
    found = []
    for text in CONSOLES:
        for part in text.split("$ ")[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    assert program == "checkout"
    return subprocess.run(
        [sys.executable, "-m", "checkout.cli", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example before its first command."""
    folder = tmp_path_factory.mktemp("shop")
    with VideoWriter(folder / "aisle.mp4", 320, 240, 10) as writer:
        for frame in range(80):
            image = np.full((240, 320, 3), 90, np.uint8)
            image[80:160, 60:140] = 200
            image[180 - 2 * frame % 100 : 220 - 2 * frame % 100, 90:130] = (140, 170, 220)
            writer.write(image)
    for name, text in FILES:
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def typed(shop: Path) -> list[tuple[str, str, subprocess.CompletedProcess[str]]]:
    return [(command, printed, run(command, shop)) for command, printed in commands()]


def test_the_page_has_its_files_and_commands() -> None:
    assert [name for name, _ in FILES] == ["catalog.csv", "planogram.yaml", "annotations.xml"]
    assert [command.split()[1] for command, _ in commands()] == [
        "import",
        "import",
        "validate",
        "export",
        "import",
    ]


def test_every_command_prints_what_the_page_says(
    typed: list[tuple[str, str, subprocess.CompletedProcess[str]]],
) -> None:
    for command, printed, done in typed:
        assert done.stdout + done.stderr == printed, command
        assert done.returncode == (2 if printed.startswith("error: ") else 0), command


def test_the_receipt_follows_from_the_events(
    shop: Path, typed: list[tuple[str, str, subprocess.CompletedProcess[str]]]
) -> None:
    truth = Recording.open(shop / "my-shop").truth
    assert [(e.action, e.quantity, round(e.t_start_s, 2), round(e.t_end_s, 2)) for e in truth.events] == [
        ("pick", 2, 2.0, 2.7),
        ("put_back", 1, 5.0, 5.5),
    ]
    assert [(r.shopper, r.quantities) for r in truth.receipts] == [("ann", {"cola-can": 1})]
    assert not (shop / "other").exists()


@pytest.mark.slow
def test_the_recording_can_be_evaluated(
    shop: Path, typed: list[tuple[str, str, subprocess.CompletedProcess[str]]]
) -> None:
    command = next(c for c in re.findall(r"`(checkout evaluate [^`]+)`", PAGE))
    done = run(command, shop)
    assert done.returncode == 0, done.stderr
    assert "1 recordings, " in done.stdout
    assert "2 missed" in done.stdout
