"""Boxes for the people in a video, by YOLOX-nano: python -m benchmarks.box_people VIDEO DATA OUT

Writes every frame of a video into the new folder OUT with the boxes that YOLOX-nano (DATA/peer-detectors) gives people
there, as Pascal VOC, for `checkout train --real OUT`. A teacher's boxes are not true ones, so they are for training
only, and --draw shows them.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from benchmarks.real_frames import YoloxNano
from checkout.output import new_folder
from checkout.vision.video import read_frames

LEAST = 0.3
"""Assumed: weaker boxes are mostly none."""
DRAWN = 6


def voc(boxes: np.ndarray, width: int, height: int) -> ElementTree.Element:
    """Boxes of people, [n, 4], pixels, as Pascal VOC has them."""
    root = ElementTree.Element("annotation")
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", width), ("height", height)):
        ElementTree.SubElement(size, name).text = str(value)
    for box in boxes:
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = "person"
        corners = ElementTree.SubElement(thing, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            ElementTree.SubElement(corners, name).text = f"{value:.1f}"
    return root


def main() -> None:
    import cv2

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("out", type=Path)
    parser.add_argument("--draw", type=Path, metavar="PNG", help="draw the boxes of six frames")
    options = parser.parse_args()
    teacher = YoloxNano(options.data / "peer-detectors" / "yolox_nano.onnx", "person")
    drawn, people, number = [], 0, 0
    with new_folder(options.out) as folder:
        for number, (_, image) in enumerate(read_frames(options.video), start=1):
            boxes = teacher.look(image, LEAST).boxes_xyxy
            people += len(boxes)
            cv2.imwrite(str(folder / f"{number:05d}.png"), image)
            height, width = image.shape[:2]
            ElementTree.ElementTree(voc(boxes, width, height)).write(folder / f"{number:05d}.xml")
            if options.draw:
                image = image.copy()
                for x1, y1, x2, y2 in boxes.astype(int).tolist():
                    cv2.rectangle(image, (x1, y1), (x2, y2), (0, 0, 255), 2)
                drawn.append(image)
    if drawn:
        chosen = np.linspace(0, len(drawn) - 1, DRAWN).astype(int)
        rows = [np.hstack([drawn[i] for i in chosen[k : k + DRAWN // 2]]) for k in (0, DRAWN // 2)]
        cv2.imwrite(str(options.draw), np.vstack(rows))
    print(f"{people} boxes of people in {number} frames: {options.out}")


if __name__ == "__main__":
    main()
