"""COCO: a folder of pictures and one `annotations.json`, with `track_id` and `visibility` for each box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from checkout.footage import LABELS, annotated, write_pictures
from checkout.output import new_folder
from checkout.recording import Recording


def export_coco(
    recording: Recording, out: str | Path, *, every: int = 1, min_visible: float = 0.0, force: bool = False
) -> Path:
    """Write the annotated frames and their boxes in COCO's format.

    Each image also says its `camera` and `frame` (counted from 0). A `track_id` is one object in one camera.

    Raises:
        InputError: there are no boxes, a video breaks off too early, or `out` exists.
    """
    out = Path(out)
    frames, boxes = annotated(recording, every=every, min_visible=min_visible)
    sizes = {c.camera: (c.width, c.height) for c in recording.cameras}
    names = {(camera, n): f"images/{camera}/{n:06d}.jpg" for camera, some in frames.items() for n in some}
    number = {key: index for index, key in enumerate(names, start=1)}
    images = [
        {
            "id": number[camera, frame],
            "file_name": name,
            "width": sizes[camera][0],
            "height": sizes[camera][1],
            "camera": camera,
            "frame": frame,
        }
        for (camera, frame), name in names.items()
    ]
    annotations: list[dict[str, Any]] = []
    for r in boxes:
        width, height = r.x2 - r.x1, r.y2 - r.y1
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": number[r.camera, r.frame],
                "category_id": LABELS.index(r.label) + 1,
                "bbox": [round(v, 3) for v in (r.x1, r.y1, width, height)],
                "area": round(width * height, 3),
                "iscrowd": 0,
                "track_id": r.track,
                "visibility": round(r.visible, 4),
            }
        )
    document = {
        "info": {"description": f"{recording.id}: {recording.source}", "version": "1.0"},
        "licenses": [{"id": 1, "name": recording.licence, "url": ""}],
        "categories": [
            {"id": i, "name": name, "supercategory": ""} for i, name in enumerate(LABELS, start=1)
        ],
        "images": images,
        "annotations": annotations,
    }
    with new_folder(out, force=force) as draft:
        write_pictures(recording, frames, lambda camera, n: draft / names[camera, n])
        (draft / "annotations.json").write_text(
            json.dumps(document, allow_nan=False) + "\n", encoding="utf-8"
        )
    return out


__all__ = ["export_coco"]
