"""A short film, and recordings of it, for the doors to other formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.footage import BOX_COLUMNS, Footage, make_recording
from checkout.recording import Recording
from checkout.vision.video import VideoWriter

WIDTH, HEIGHT, FPS, FRAMES = 96, 64, 10, 30


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds in which a bright square moves to the right."""
    path = tmp_path_factory.mktemp("film") / "aisle.mp4"
    with VideoWriter(path, WIDTH, HEIGHT, FPS) as writer:
        for frame in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            image[20:40, 2 * frame : 2 * frame + 20] = 220
            writer.write(image)
    return path


@pytest.fixture(scope="session")
def boxed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two cameras that see the film, with boxes on every fourth frame."""
    rows = []
    for camera in ("cam0", "cam1"):
        for frame in range(0, FRAMES, 4):
            rows.append(
                (camera, frame, "item", "u7", 2.0 * frame, 20.0, 2.0 * frame + 20, 40.0, 0.9 - 0.02 * frame)
            )
            rows.append((camera, frame, "person", "s1", 1.5, 0.0, 60.25, 64.0, 1.0))
    boxes = pd.DataFrame(rows, columns=list(BOX_COLUMNS))
    footage = [Footage.open("cam0", film), Footage.open("cam1", film)]
    out = tmp_path_factory.mktemp("boxed") / "rec"
    return make_recording(out, footage, boxes, source="made for a test")
