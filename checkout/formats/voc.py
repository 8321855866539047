"""Pascal VOC: a folder of pictures, each with an XML file of boxes beside it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from checkout.errors import InputError


class BoxedImage(NamedTuple):
    """A picture file with its size and true boxes: `boxes_xyxy` float64 [n, 4], pixels."""

    file: Path
    width: int
    height: int
    labels: tuple[str, ...]
    boxes_xyxy: np.ndarray


def load_voc(folder: str | Path) -> Iterator[BoxedImage]:
    """Every boxed picture below a folder, in name order; raises `InputError` for a fault."""
    folder = Path(folder)
    files = sorted(folder.rglob("*.xml"))
    if not files:
        raise InputError(folder, "", "holds no Pascal VOC .xml files")
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise InputError(file, "", f"is not XML ({error})") from None
        picture = next((p for s in (".jpg", ".jpeg", ".png") if (p := file.with_suffix(s)).is_file()), None)
        if picture is None:
            raise InputError(file, "", "has no .jpg or .png of the same name beside it")
        labels, boxes = [], []
        for index, item in enumerate(root.iter("object")):
            corners = [item.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
            try:
                box = [float(c) for c in corners]  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise InputError(
                    file, f"object[{index}].bndbox", f"{corners}, expected four numbers"
                ) from None
            labels.append(item.findtext("name") or "")
            boxes.append(box)
        width, height = (int(float(root.findtext(f"size/{key}") or 0)) for key in ("width", "height"))
        if width <= 0 or height <= 0:
            raise InputError(file, "size", f"{width}x{height}, expected the picture's size in pixels")
        yield BoxedImage(picture, width, height, tuple(labels), np.array(boxes, float).reshape(-1, 4))
