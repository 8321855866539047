"""YOLO: a text file of boxes for each picture, and a `data.yaml` that names the classes.

A line is class, then the box's centre and size as shares of the picture's width and height. There are no
ids, so an imported box is called after its label and its place among the frame's boxes of that label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from checkout.catalog import read_yaml, write_yaml
from checkout.errors import InputError
from checkout.footage import (
    LABELS,
    BoxCollector,
    Footage,
    annotated,
    make_recording,
    number,
    parse_classes,
    read_text,
    unknown_label,
    whole_number,
    write_pictures,
)
from checkout.output import new_folder
from checkout.recording import Recording


def import_yolo(
    source: str | Path,
    video: str | Path,
    out: str | Path,
    *,
    camera_id: str = "cam0",
    classes: str | None = None,
    first_frame: int = 0,
    force: bool = False,
) -> Recording:
    """Turn a folder of YOLO labels and their video into a recording folder.

    Args:
        source: holds data.yaml (or lies below a folder that does) and one .txt a frame, whose name ends
            in the frame's number; in a folder `labels` or anywhere below `source`.
        classes: class names in our words, as in "bottle=item,chair=".
        first_frame: the number that the labels give the video's first frame.

    Raises:
        InputError: a fault, with file and line, value, and what was expected.
    """
    source = Path(source)
    footage = Footage.open(camera_id, video)
    boxes = load_yolo(source, footage, parse_classes(classes), first_frame=first_frame)
    return make_recording(out, [footage], boxes, source=f"YOLO labels: {source.name}", force=force)


def load_yolo(
    source: Path, footage: Footage, classes: Mapping[str, str] | None = None, *, first_frame: int = 0
) -> pd.DataFrame:
    """The boxes of a folder of labels as `boxes.parquet` has them; raises `InputError` for a fault."""
    if not source.is_dir():
        raise InputError(source, "", "is not a folder, expected one with data.yaml and labels")
    names = _class_names(source, classes or {})
    labels = source / "labels"
    files = sorted(labels.rglob("*.txt")) if labels.is_dir() else sorted(source.rglob("*.txt"))
    if not files:
        raise InputError(source, "", "holds no .txt labels, expected one a frame")
    rows: list[pd.DataFrame] = []
    taken: dict[int, Path] = {}
    for file in files:
        match = re.search(r"(\d+)$", file.stem)
        if match is None:
            raise InputError(file, "", "its name does not end in a frame number, expected cam0-000012.txt")
        frame = int(match[1]) - first_frame
        if frame in taken:
            raise InputError(
                file, "", f"is frame {frame} like {taken[frame]}", "give the folder of one camera's labels"
            )
        taken[frame] = file
        rows.append(_read_labels(file, frame, footage, names))
    return pd.concat(rows, ignore_index=True).sort_values("frame", kind="stable", ignore_index=True)


def export_yolo(
    recording: Recording, out: str | Path, *, every: int = 1, min_visible: float = 0.0, force: bool = False
) -> Path:
    """Write the annotated frames and their boxes as a data set that Ultralytics trains on.

    Files are images/CAMERA/NUMBER.jpg and labels/CAMERA/NUMBER.txt, where the number counts frames from 0.

    Raises:
        InputError: there are no boxes, a video breaks off too early, or `out` exists.
    """
    out = Path(out)
    frames, boxes = annotated(recording, every=every, min_visible=min_visible)
    sizes = {c.camera: (c.width, c.height) for c in recording.cameras}
    with new_folder(out, force=force) as draft:
        write_pictures(recording, frames, lambda camera, n: draft / "images" / camera / f"{n:06d}.jpg")
        lines: dict[tuple[str, int], list[str]] = {(c, n): [] for c, some in frames.items() for n in some}
        for r in boxes:
            width, height = sizes[r.camera]
            lines[r.camera, r.frame].append(
                f"{LABELS.index(r.label)} {(r.x1 + r.x2) / 2 / width:.6f} {(r.y1 + r.y2) / 2 / height:.6f}"
                f" {(r.x2 - r.x1) / width:.6f} {(r.y2 - r.y1) / height:.6f}\n"
            )
        for (camera, frame), text in lines.items():
            file = draft / "labels" / camera / f"{frame:06d}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(text), encoding="utf-8")
        # Without "path", Ultralytics looks beside this file.
        write_yaml(
            draft / "data.yaml", {"train": "images", "val": "images", "names": dict(enumerate(LABELS))}
        )
    return out


def _class_names(source: Path, classes: Mapping[str, str]) -> dict[int, str]:
    """Our label for each class number; empty when the class is to be left out."""
    file = next((f for d in (source, *source.parents[:2]) if (f := d / "data.yaml").is_file()), None)
    if file is None:
        raise InputError(source / "data.yaml", "", "does not exist, expected the names of the classes")
    names = read_yaml(file).get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise InputError(file, "names", f"{names!r}, expected a name for each class")
    found: dict[int, str] = {}
    for key, name in names.items():
        code = whole_number(file, "names", str(key))
        label = classes.get(str(name), classes.get(str(code), str(name)))
        if label and label not in LABELS:
            raise unknown_label(file, f"names[{code}]", str(name))
        found[code] = label
    return found


def _read_labels(file: Path, frame: int, footage: Footage, names: Mapping[int, str]) -> pd.DataFrame:
    boxes = BoxCollector(file, footage)
    count: dict[str, int] = {}
    for index, line in enumerate(read_text(file).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        where = f"line {index}"
        if len(fields) != 5:
            raise InputError(
                file, where, f"has {len(fields)} fields, expected class, centre x, centre y, width, height"
            )
        code = whole_number(file, f"{where}: class", fields[0])
        if code not in names:
            raise InputError(file, f"{where}: class", f"{code} has no name in data.yaml", "name it there")
        x, y, width, height = (
            number(file, f"{where}: {key}", text)
            for key, text in zip(("centre x", "centre y", "width", "height"), fields[1:], strict=True)
        )
        if width <= 0 or height <= 0:
            raise InputError(file, where, f"width {width:g} and height {height:g}, expected more than 0")
        if max(abs(x), abs(y), width, height) > 2:
            raise InputError(
                file, where, f"{' '.join(fields[1:])} are pixels, expected shares of the picture from 0 to 1"
            )
        label = names[code]
        if not label:
            continue
        count[label] = count.get(label, 0) + 1
        x1, y1 = (x - width / 2) * footage.width, (y - height / 2) * footage.height
        box = (x1, y1, x1 + width * footage.width, y1 + height * footage.height)
        boxes.add(where, frame, label, f"{label}-{count[label]}", box)
    return boxes.table()


__all__ = ["export_yolo", "import_yolo", "load_yolo"]
