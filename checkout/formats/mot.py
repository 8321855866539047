"""MOTChallenge: `gt/gt.txt` with one box a line, and `seqinfo.ini` about its sequence.

A line is frame, id, left, top, width, height, considered (0 or 1), class, visibility; frames, ids and
pixels count from 1. Classes are numbers; `gt/labels.txt` (as CVAT writes it) names them in order.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from checkout.errors import InputError
from checkout.footage import (
    BoxCollector,
    Footage,
    annotated,
    make_recording,
    number,
    parse_classes,
    read_text,
    whole_number,
)
from checkout.output import new_folder
from checkout.recording import Recording

CLASSES = ("person", "hand", "item")
"""In the order of their numbers, from 1, which is MOTChallenge's pedestrian."""
DEFAULT_CLASS = "person"
NO_CLASS = "-1"
LEAST_INSIDE = 0.01
"""MOTChallenge draws people whole, also where they leave the picture."""


def import_mot(
    source: str | Path,
    video: str | Path,
    out: str | Path,
    *,
    camera_id: str = "cam0",
    classes: str | None = None,
    force: bool = False,
) -> Recording:
    """Turn a MOTChallenge ground truth and its video into a recording folder.

    Args:
        source: gt.txt, or the folder of a sequence.
        classes: names for class numbers, as in "1=person,3="; else gt/labels.txt, else 1 is a person.

    Raises:
        InputError: a fault, with file and line, value, and what was expected.
    """
    source = Path(source)
    file = source / "gt" / "gt.txt" if source.is_dir() else source
    footage = Footage.open(camera_id, video)
    folder = file.parent.parent if file.parent.name == "gt" else file.parent
    if (folder / "seqinfo.ini").is_file():
        _check_sequence(folder / "seqinfo.ini", footage)
    names = parse_classes(classes) or _class_names(file.parent / "labels.txt")
    return make_recording(
        out, [footage], load_mot(file, footage, names), source=f"MOTChallenge: {source.name}", force=force
    )


def load_mot(file: Path, footage: Footage, classes: Mapping[str, str]) -> pd.DataFrame:
    """The boxes of a gt.txt as `boxes.parquet` has them; those not to be considered are left out."""
    boxes = BoxCollector(file, footage, least_inside=LEAST_INSIDE)
    for index, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {index}"
        fields = [f.strip() for f in line.split(",")]
        if not 6 <= len(fields) <= 10:
            raise InputError(
                file,
                where,
                f"has {len(fields)} fields, expected frame, id, left, top, width, height, considered, class, "
                "visibility",
            )
        frame = whole_number(file, f"{where}: frame", fields[0])
        name = whole_number(file, f"{where}: id", fields[1])
        left, top, width, height = (
            number(file, f"{where}: {key}", text)
            for key, text in zip(("left", "top", "width", "height"), fields[2:6], strict=True)
        )
        if width <= 0 or height <= 0:
            raise InputError(file, where, f"width {width:g} and height {height:g}, expected more than 0")
        if len(fields) > 6 and number(file, f"{where}: considered", fields[6]) == 0:
            continue
        label = _label(file, where, fields[7] if len(fields) > 7 else NO_CLASS, classes)
        if not label:
            continue
        visible = number(file, f"{where}: visibility", fields[8]) if len(fields) == 9 else 1.0
        if frame < 1:
            raise InputError(file, f"{where}: frame", f"{frame}, expected 1 or more", "frames count from 1")
        left, top = left - 1, top - 1
        boxes.add(where, frame - 1, label, str(name), (left, top, left + width, top + height), visible)
    return boxes.table()


def export_mot(
    recording: Recording, out: str | Path, *, every: int = 1, min_visible: float = 0.0, force: bool = False
) -> Path:
    """Write the boxes of each camera as a MOTChallenge sequence of its own; frames keep their numbers.

    Raises:
        InputError: there are no boxes, or `out` exists.
    """
    out = Path(out)
    frames, boxes = annotated(recording, every=every, min_visible=min_visible)
    with new_folder(out, force=force) as draft:
        for camera in recording.cameras:
            if camera.camera not in frames:
                continue
            footage = Footage.open(camera.camera, recording.path / camera.file)
            folder = draft / camera.camera
            (folder / "gt").mkdir(parents=True)
            lines = [
                f"{r.frame + 1},{r.track},{r.x1 + 1:.3f},{r.y1 + 1:.3f},{r.x2 - r.x1:.3f},"
                f"{r.y2 - r.y1:.3f},1,{CLASSES.index(r.label) + 1},{r.visible:.4f}\n"
                for r in boxes
                if r.camera == camera.camera
            ]
            (folder / "gt" / "gt.txt").write_text("".join(lines), encoding="utf-8")
            (folder / "gt" / "labels.txt").write_text("".join(f"{x}\n" for x in CLASSES), encoding="utf-8")
            (folder / "seqinfo.ini").write_text(
                f"[Sequence]\nname={recording.id}-{camera.camera}\nimDir=img1\nframeRate={footage.fps:g}\n"
                f"seqLength={footage.frames}\nimWidth={footage.width}\nimHeight={footage.height}\nimExt=.jpg\n",
                encoding="utf-8",
            )
    return out


def _check_sequence(file: Path, footage: Footage) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(file))
    except configparser.Error as error:
        raise InputError(file, "", f"is not an INI file ({' '.join(str(error).split())})") from None
    if not parser.has_section("Sequence"):
        raise InputError(file, "[Sequence]", "section is missing")
    section = parser["Sequence"]
    if "imWidth" in section or "imHeight" in section:
        width, height = (whole_number(file, key, section.get(key)) for key in ("imWidth", "imHeight"))
        footage.check_size(file, "imWidth, imHeight", width, height)
    if "seqLength" in section:
        footage.check_frames(file, "seqLength", whole_number(file, "seqLength", section["seqLength"]))


def _class_names(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {"1": DEFAULT_CLASS}
    names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    return {str(number): name for number, name in enumerate(names, start=1)}


def _label(file: Path, where: str, text: str, classes: Mapping[str, str]) -> str:
    """The label of a class number; empty when the class is to be left out."""
    code = str(whole_number(file, f"{where}: class", text))
    if code == NO_CLASS:
        return DEFAULT_CLASS
    if code not in classes:
        raise InputError(
            file,
            f"{where}: class",
            f"{code} has no name, known are {', '.join(f'{k}={v}' for k, v in classes.items())}",
            f'name it with --classes "{code}=item", or leave it out with "{code}="',
        )
    return classes[code]


__all__ = ["export_mot", "import_mot", "load_mot"]
