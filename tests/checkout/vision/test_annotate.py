"""Annotated videos: what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from checkout.vision.annotate import write_annotated
from checkout.vision.video import VideoWriter, read_frames

SIZE = (160, 96)
STRONG = {
    "camera": "cam0",
    "frame": 0,
    "label": "hand",
    "confidence": 0.8,
    "x1": 10,
    "y1": 40,
    "x2": 40,
    "y2": 70,
}
WEAK = STRONG | {"confidence": 0.02, "x1": 90, "x2": 130}


def drawn(folder: Path, *rows: dict[str, object]) -> np.ndarray:
    """The first frame of a grey video with these boxes drawn."""
    film, out = folder / "film.mp4", folder / "out.mp4"
    with VideoWriter(film, *SIZE, 10.0, crf=10) as writer:
        for _ in range(3):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    columns = list(STRONG)
    write_annotated(out, [("cam0", film)], pd.DataFrame(rows, columns=columns), [])
    return next(image for _, image in read_frames(out))


def test_boxes_of_which_nothing_is_made_are_not_drawn(tmp_path: Path) -> None:
    nothing, strong, both = (drawn(tmp_path, *rows) for rows in ((), (STRONG,), (STRONG, WEAK)))
    assert (strong != nothing).any()
    assert np.array_equal(both, strong)
