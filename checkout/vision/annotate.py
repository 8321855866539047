"""Draws what was perceived into the video: boxes, labels, and each shelf event as it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.events import ShelfEvent
from checkout.vision.detector import CLASSES, LOWEST_CONFIDENCE
from checkout.vision.video import VideoWriter, frames_in_time_order, probe

BANNER_S = 2.0
SAID_COLOUR, TRUE_COLOUR = (30, 30, 30), (40, 100, 20)
"""Of the banners; blue, green, red."""
COLOURS = {"hand": (66, 133, 244), "item": (52, 168, 83), "person": (251, 140, 0)}


def write_annotated(
    out: Path,
    videos: Sequence[tuple[str, Path]],
    detections: pd.DataFrame,
    events: Sequence[ShelfEvent],
    *,
    true: Sequence[ShelfEvent] = (),
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Write one video with all cameras side by side, at the first camera's frame rate.

    Args:
        videos: camera id and file of each.
        detections: columns camera, frame, label, confidence, x1, y1, x2, y2; drawn from `LOWEST_CONFIDENCE` on, because
            of weaker ones, which are kept to be scored, nothing is made.
        true: what truly happened, drawn below what was perceived, in another colour.
    """
    infos = [probe(file) for _, file in videos]
    height = min(i.height for i in infos)
    widths = [round(i.width * height / i.height) for i in infos]
    shown = detections[detections["confidence"] >= LOWEST_CONFIDENCE]
    by_frame = dict(iter(shown.groupby(["camera", "frame"], sort=False)))
    latest: dict[str, np.ndarray] = {}
    total = infos[0].frames or 1
    written = 0
    with VideoWriter(out, sum(widths), height, infos[0].fps or 25.0) as writer:
        for t_s, index, camera, image in frames_in_time_order(videos):
            position = [name for name, _ in videos].index(camera)
            drawn = _draw_boxes(image, by_frame.get((camera, index)))
            latest[camera] = _resized(drawn, widths[position], height)
            if position == len(videos) - 1 and len(latest) == len(videos):
                sheet = np.hstack([latest[name] for name, _ in videos])
                writer.write(_draw_events(sheet, t_s, events, true))
                written += 1
                if progress:
                    progress("annotating", min(1.0, written / total))


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    import cv2

    return image if image.shape[:2] == (height, width) else np.asarray(cv2.resize(image, (width, height)))


def _draw_boxes(image: np.ndarray, rows: pd.DataFrame | None) -> np.ndarray:
    import supervision as sv

    image = image.copy()
    if rows is None or rows.empty:
        return image
    palette = sv.ColorPalette([sv.Color(*COLOURS[name]) for name in CLASSES])
    found = _for_supervision(rows)
    image = sv.BoxAnnotator(color=palette, thickness=1).annotate(image, found)
    shown = rows[rows["label"] != "item"]
    text = [f"{label} {p:.2f}" for label, p in zip(shown["label"], shown["confidence"], strict=True)]
    painter = sv.LabelAnnotator(color=palette, text_scale=0.35, text_padding=2)
    return np.asarray(painter.annotate(image, _for_supervision(shown), labels=text))


def _for_supervision(rows: pd.DataFrame) -> Any:
    import supervision as sv

    return sv.Detections(
        xyxy=rows[["x1", "y1", "x2", "y2"]].to_numpy(float).reshape(-1, 4),
        confidence=rows["confidence"].to_numpy(float),
        class_id=np.array([CLASSES.index(label) for label in rows["label"]], int),
    )


def _draw_events(
    image: np.ndarray, t_s: float, events: Sequence[ShelfEvent], true: Sequence[ShelfEvent]
) -> np.ndarray:
    import cv2

    image = np.ascontiguousarray(image)
    said = [(_line(e) + _surely(e), SAID_COLOUR) for e in events if 0 <= t_s - e.t_s < BANNER_S]
    known = [(f"truth: {_line(e)}", TRUE_COLOUR) for e in true if 0 <= t_s - e.t_s < BANNER_S]
    for number, (text, colour) in enumerate(said + known):
        y = 18 + 20 * number
        cv2.rectangle(image, (0, y - 15), (image.shape[1], y + 5), colour, -1)
        cv2.putText(image, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def _line(event: ShelfEvent) -> str:
    return f"{event.t_s:.1f} s  {event.shopper}  {event.action}  {event.quantity} x {event.product}"


def _surely(event: ShelfEvent) -> str:
    item, action, shopper = event.item_confidence, event.action_confidence, event.shopper_confidence
    return f"  (item {item:.2f}, action {action:.2f}, shopper {shopper:.2f})"
