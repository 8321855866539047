"""The shelf-event detector's eyes: a YOLO model that finds hands, items and people.

Finding *an* item is this module's job, naming *which* product is not, so that a product never
seen before is found too. Any Ultralytics detection weights can be used: their class names are
mapped to the three classes here, and what a model cannot see is said by name. The network runs in
torch, ONNX Runtime or OpenVINO, each by Ultralytics' own export of the same weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checkout.errors import InputError, nearest
from checkout.output import check_free, new_file, new_folder

CLASSES = ("hand", "item", "person")
SHIPPED = Path(__file__).resolve().parents[2] / "models"
SHIPPED_NAME = "shelf-yolo26n"
IMAGE_SIZE = 768
"""Longer side of the picture given to the network, pixels; a smaller picture is enlarged.

Measured (`benchmarks.picture_size`, frames 640 pixels wide): mAP50 of hands is 0.706 at 640, 0.780 at 768 and 0.820 at
896. At this size two cores just read four cameras as fast as they film, where they compute in bfloat16; without it, a
quarter as fast (`benchmarks.vision_speed`)."""
LOWEST_CONFIDENCE = 0.1
"""Assumed: detections under this score are not reported (trackers use the weak ones, rules do not)."""

EXPORT_SIZE = 640
"""Picture size, pixels, that an export is traced at; exports take any size, as the shipped OpenVINO form does."""
BACKENDS = {"openvino": "_openvino_model", "onnxruntime": ".onnx", "torch": ".pt"}
"""Library that runs a form of weights -> how the form's file or folder ends, fastest first.

Measured with the shipped weights (640x384 pixels, beside other work): 30, 92 and 98 ms of processor time a frame.
"""
LIBRARIES = {"onnx": ("onnx", "onnxslim", "onnxruntime"), "openvino": ("openvino",)}
"""What the export to each form needs."""
SAFE_LOAD = "ULTRALYTICS_SAFE_LOAD"

ONE_THING_IOU = {"hand": 0.3, "item": 0.5, "person": 0.5}
"""Measured on rendered validation frames with former weights: boxes of one class that overlap this much are one
thing's, and their mean, weighted by score, is nearer to it than the surest alone (hands: mAP50 0.47 against 0.43 by
suppression at 0.5)."""

COCO_GOODS = (
    "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "book", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush", "cell phone", "remote", "mouse",
)  # fmt: skip
"""COCO classes that a shop sells and a hand carries; they count as items."""


@dataclass(frozen=True)
class Detections:
    """What one picture holds.

    Attributes:
        boxes_xyxy: float32 [n, 4], pixels.
        confidence: float32 [n], the network's score.
        label: index into `CLASSES`, int [n].
    """

    boxes_xyxy: np.ndarray
    confidence: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def of(self, name: str, *, at_least: float = 0.0) -> Detections:
        """Only the detections of one class, with at least this score."""
        keep = (self.label == CLASSES.index(name)) & (self.confidence >= at_least)
        return self.where(keep)

    def where(self, keep: np.ndarray) -> Detections:
        """Only some of the detections, bool [n]."""
        return Detections(self.boxes_xyxy[keep], self.confidence[keep], self.label[keep])

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))


class Detector:
    """YOLO weights ready to look at pictures.

    Args:
        weights: `.pt`, `.onnx` or an OpenVINO folder; None for the shipped weights, in the fastest form of
            `BACKENDS` that is there and whose library is installed.
        class_map: the model's class (name or number) -> "hand", "item", "person", or "" to leave it out; for names
            not known here.
        imgsz: longer side of the picture given to the network, pixels.

    Attributes:
        shipped: whether no weights were named; the second look then helps to place the hands that are scored.

    Raises:
        InputError: the file is missing, is not a model, needs a library that is not installed, is a pickle of more
            than a model, or has no class that can be used; or the map names a class that it does not have.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        class_map: Mapping[str, str] | None = None,
        imgsz: int = IMAGE_SIZE,
    ) -> None:
        self._imgsz = imgsz
        self.shipped = weights is None
        self.path = shipped_weights() if weights is None else Path(weights)
        self.model = load_model(self.path)
        names: dict[int, str] = dict(self.model.names)
        given = dict(class_map or {})
        for foreign in given:
            if foreign not in names.values() and foreign not in map(str, names):
                raise InputError(
                    self.path,
                    "--class-map",
                    f"{foreign!r} is not a class of this model: {', '.join(list(names.values())[:8])}",
                    nearest(foreign, names.values()),
                )
        self._label = np.array([_class_of(given.get(str(i), names[i]), given) for i in range(len(names))])
        self.sees = tuple(c for i, c in enumerate(CLASSES) if (self._label == i).any())
        if not self.sees:
            some = ", ".join(list(names.values())[:8])
            raise InputError(
                self.path, "classes", f"none of {some} is a hand, an item or a person", "give a class map"
            )

    @property
    def name(self) -> str:
        return self.path.name

    def detect(
        self, images: Sequence[np.ndarray], *, at_least: float = LOWEST_CONFIDENCE
    ) -> list[Detections]:
        """The detections in each picture, uint8 [height, width, 3], BGR, with at least this score."""
        found = []
        for image in images:
            result = self.model.predict(
                image, imgsz=network_size(image, self._imgsz), conf=at_least, verbose=False
            )[0]
            boxes = result.boxes
            label = self._label[boxes.cls.cpu().numpy().astype(int)]
            keep = label >= 0
            found.append(
                merged(
                    Detections(
                        boxes.xyxy.cpu().numpy()[keep],
                        boxes.conf.cpu().numpy()[keep],
                        label[keep].astype(int),
                    )
                )
            )
        return found


def merged(found: Detections) -> Detections:
    """One box for each thing: overlapping boxes of a class (`ONE_THING_IOU`) become their mean, weighted by score.

    Boxes under `LOWEST_CONFIDENCE` move none of the others, so that asking for them as well changes nothing else.
    """
    order = np.lexsort((-found.confidence, found.label))
    boxes, score, label = found.boxes_xyxy[order], found.confidence[order], found.label[order]
    if not len(order):
        return Detections.empty()
    least = np.array([ONE_THING_IOU[name] for name in CLASSES])
    same = (label[:, None] == label[None]) & (overlaps(boxes, boxes) >= least[label][:, None])
    np.fill_diagonal(same, True)
    means, kept, taken = boxes.copy(), np.ones(len(order), bool), np.zeros(len(order), bool)
    for index in np.flatnonzero(same.sum(axis=1) > 1):
        if taken[index]:
            kept[index] = False
            continue
        group = same[index] & ~taken
        taken |= group
        if score[index] >= LOWEST_CONFIDENCE:
            group &= score >= LOWEST_CONFIDENCE
        if group.sum() > 1:
            means[index] = score[group] @ boxes[group] / score[group].sum()
    return Detections(means[kept].astype(np.float32), score[kept], label[kept])


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of `a` [n, 4] with each of `b` [m, 4]; [n, m]."""
    # Side by side: products over an axis of two take three times as long.
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = a.T[:, :, None], b.T[:, None]
    width = np.minimum(right_a, right_b) - np.maximum(left_a, left_b)
    height = np.minimum(bottom_a, bottom_b) - np.maximum(top_a, top_b)
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b)
    return np.asarray(inter / np.maximum(areas - inter, 1e-9))


def network_size(image: np.ndarray, longer: int = IMAGE_SIZE) -> tuple[int, int]:
    """Height and width, pixels, at which a picture is given to the network: its own shape, in whole strides."""
    height, width = image.shape[:2]
    scale = longer / max(height, width)
    return tuple(int(np.ceil(side * scale / 32) * 32) for side in (height, width))  # type: ignore[return-value]


def shipped_weights(folder: Path = SHIPPED) -> Path:
    """The fastest form of the shipped weights in a folder whose library is installed."""
    import importlib.util

    for library, ending in BACKENDS.items():
        form = folder / f"{SHIPPED_NAME}{ending}"
        if form.exists() and importlib.util.find_spec(library):
            return form
    raise InputError(
        folder / f"{SHIPPED_NAME}.pt",
        "",
        "the shipped weights are not here",
        "name weights with --detector, or run: checkout train",
    )


def export_weights(weights: Path, out: Path, form: str, *, force: bool = False) -> Path:
    """Write `.pt` weights as ONNX (full precision) or as an OpenVINO folder (half), by Ultralytics' own export.

    Raises:
        InputError: the weights are not `.pt`, cannot be loaded, the library is not installed, or `out` exists
            or is not named as the form must be.
    """
    import shutil
    import tempfile

    if form not in LIBRARIES:
        raise InputError(
            "--format", "", f"{form!r} is not one of {', '.join(LIBRARIES)}", nearest(form, LIBRARIES)
        )
    if weights.suffix != ".pt":
        raise InputError(weights, "", "cannot be exported", "expected .pt weights")
    ending = ".onnx" if form == "onnx" else "_openvino_model"
    if not out.name.endswith(ending):
        raise InputError(out, "", f"does not end in {ending}, by which {form} weights are known")
    check_free(out, force=force)
    for library in LIBRARIES[form]:
        _need(library, out)
    load_model(weights)
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / weights.name  # the export writes beside the weights
        shutil.copy(weights, copy)
        made = Path(
            YOLO(str(copy), task="detect").export(
                format=form, dynamic=True, half=form == "openvino", imgsz=EXPORT_SIZE, verbose=False
            )
        )
        if made.is_dir():
            with new_folder(out, force=force) as draft:
                shutil.copytree(made, draft, dirs_exist_ok=True)
        else:
            with new_file(out, force=force) as draft:
                shutil.copy(made, draft)
    return out


def _class_of(name: str, class_map: Mapping[str, str]) -> int:
    name = class_map.get(name, name)
    if name in CLASSES:
        return CLASSES.index(name)
    return CLASSES.index("item") if name in COCO_GOODS else -1


def load_model(path: Path) -> Any:
    """The Ultralytics model in a file or folder; a pickle is read as weights only.

    Raises:
        InputError: as `Detector`.
    """
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    known = path.suffix in (".pt", ".onnx", ".engine", ".torchscript") or path.is_dir()
    if path.exists() and not known:
        raise InputError(path, "", "is not a model", "expected .pt, .onnx or an OpenVINO folder")
    if not path.exists() and (path.parent != Path() or path.suffix != ".pt"):
        raise InputError(path, "", "does not exist, expected YOLO weights (.pt, .onnx or an OpenVINO folder)")
    if path.suffix == ".onnx":
        _need("onnxruntime", path)
    elif path.is_dir():
        _need("openvino", path)
    elif path.suffix == ".pt":
        _refuse_foreign_pickle(path)
    from ultralytics import YOLO

    try:
        model = YOLO(str(path), task="detect")
        _ = model.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False)
    except Exception as error:  # whatever a broken file makes the loaders raise
        raise _unreadable(path, error) from error
    return model


def _unreadable(path: Path, error: Exception) -> InputError:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(path, "", f"is not a YOLO detection model that can be loaded ({why})")


def _refuse_foreign_pickle(path: Path) -> None:
    """Let through only a checkpoint that torch can read without running code from it.

    Ultralytics' own list of known classes decides. What passes holds nothing else, so that it can be loaded in
    any way. `ULTRALYTICS_SAFE_LOAD=0` lets every file through.
    """
    if os.environ.get(SAFE_LOAD, "1").lower() in ("0", "false"):
        return
    import pickle
    import zipfile

    if path.exists() and not zipfile.is_zipfile(path):
        raise _unreadable(path, ValueError("not a checkpoint archive"))
    from ultralytics.nn.tasks import torch_safe_load

    try:
        torch_safe_load(path, safe_only=True)
    except Exception as error:  # whatever a broken file makes the loaders raise
        if isinstance(error.__cause__, pickle.UnpicklingError) and "outside the supported" in str(error):
            raise InputError(
                path,
                "",
                "holds more than a YOLO model, which may run code when it is loaded",
                f"take it only from whom you trust, and then set {SAFE_LOAD}=0",
            ) from error
        raise _unreadable(path, error) from error


def _need(library: str, path: Path) -> None:
    """Say that weights need a library when it is not installed."""
    import importlib.util

    if not importlib.util.find_spec(library):
        extra = "vision" if library == "openvino" else "onnx"
        raise InputError(
            path, "", f"needs {library}, which is not installed", f'pip install "checkout-simulator[{extra}]"'
        )
