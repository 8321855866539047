"""The training set: rendered frames and real pictures, with real products and hands pasted over some.

Rendered frames are cut to windows at their own scale or up to twice it, around a hand more often than not, so that
the network learns hands at the size at which the pipeline shows it pictures and no time is spent on empty floor.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from checkout.errors import InputError
from checkout.formats.voc import load_voc
from checkout.vision.detector import CLASSES

HAND, ITEM, PERSON = (CLASSES.index(name) for name in ("hand", "item", "person"))
UNBOXED = len(CLASSES)
"""In a training set a box of this class and the label's number says: here may be things of that label without a box."""
ARM_PART = 9
"""Mark of a cut-out's forearm, which is pasted but has no box."""
HAND_PART, ITEM_PART = HAND + 1, ITEM + 1
LEAST_PX = 5.0
LEAST_INSIDE = {HAND: 0.3, ITEM: 0.35, PERSON: 0.08}
"""Assumed: a thing that a window cuts, or a pasted one covers, to less than this share keeps no box."""
REAL_SHARE, LEAST_REPEATS = 0.2, 3
"""Assumed: real frames stand so often in an epoch that there are this many for each window of a rendered frame, and
at least so often each, so that few are not drowned; with other things pasted over each time."""
WINDOWS_PER_FRAME = 2
"""Assumed: a rendered frame is larger than a window and costs more than one."""
WHOLE_SHARE = 0.15
"""Assumed: this share of windows shows the frame whole (and so smaller)."""
ZOOM = (1.0, 2.0)
"""Assumed: windows are enlarged by a factor between these; the pipeline enlarges a 640-pixel picture by 1.2."""
FOCUS_SHARES = {HAND: 0.5, PERSON: 0.3}
"""Assumed: this share of windows is cut around a hand, or a person, if there is one; the others anywhere."""
PASTE_SHARE = 0.3
"""Assumed: this share of rendered and real pictures gets real things pasted over."""
GROUND_SHARE = 0.1
"""Assumed: for each window of a rendered frame, so many pictures of pasted things before a plain ground."""
HELD_OUT_EVERY = 5
"""Of a folder of outlined pictures every fifth is only scored, never trained on, nor are its cut-outs."""
FRAMES_PER_CUTOUT = 6
REAL_WINDOW_SHARE = 0.5
"""Assumed: this share of real pictures is cut to windows as well: the pipeline enlarges small pictures."""
SKIN_SHARE = 0.03
"""Assumed: an outlined picture with more skin outside its boxes may show a hand or a person, neither boxed there."""


class Boxed(NamedTuple):
    """A picture with its boxes.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        labels: int [n], and `boxes`, their corners, float [n, 4], pixels.
        unboxed: classes of which it may show things that have no box, so that where it has none teaches nothing.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    unboxed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cutout:
    """A real thing without its ground.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        parts: uint8 [height, width]; 0 ground, `HAND_PART`, `ITEM_PART` or `ARM_PART`.
    """

    image: np.ndarray
    parts: np.ndarray

    @property
    def hand_px(self) -> float:
        """Size of the hand (or, without one, of all of it), pixels."""
        mask = self.parts == HAND_PART if (self.parts == HAND_PART).any() else self.parts > 0
        return float(np.sqrt(mask.sum()))


@dataclass
class RealData:
    """What the real folders hold: `(picture, boxes)` to train on and to score, and cut-outs."""

    voc: list[Boxed]
    outlined: list[Boxed]
    held_out: list[Boxed]
    items: list[Cutout]
    hands: list[Cutout]


def build(
    out: Path,
    rendered: Path,
    real: Sequence[Path],
    *,
    imgsz: int,
    seed: int,
    workers: int = 1,
    tell: Callable[[str, float], None] = lambda doing, share: None,
) -> Path:
    """Write the YOLO data set that is trained on; returns its data.yaml.

    Args:
        rendered: `render_training_frames`' folder.
        real: folders of real pictures; what they hold is seen from their files (see `load_real`).
        imgsz: side of a window, pixels.
    """
    import cv2
    from joblib import Parallel, delayed

    tell("reading real pictures", 0.0)
    data = load_real(real)
    shutil.rmtree(out, ignore_errors=True)
    for kind in ("images", "labels"):
        for split in ("train", "val", "held-out"):
            (out / kind / split).mkdir(parents=True)

    def of_rendered(file: Path, split: str, rng: np.random.Generator) -> Boxed:
        picture = read_yolo(file, rendered / "labels" / split / f"{file.stem}.txt")
        if rng.uniform() >= WHOLE_SHARE:
            picture = window(picture, imgsz, rng)
        return pasted(picture, rng) if split == "train" else picture

    def of_real(picture: Boxed, rng: np.random.Generator) -> Boxed:
        if rng.uniform() < REAL_WINDOW_SHARE:
            picture = window(picture, imgsz, rng)
        return pasted(picture, rng)

    def pasted(picture: Boxed, rng: np.random.Generator) -> Boxed:
        return paste_some(picture, data, rng) if rng.uniform() < PASTE_SHARE else picture

    def of_ground(rng: np.random.Generator) -> Boxed:
        return paste_some(_ground(imgsz, rng), data, rng, most=6)

    def as_it_is(picture: Boxed, rng: np.random.Generator) -> Boxed:
        return picture

    def write(split: str, kind: str, number: int, made: Callable[[np.random.Generator], Boxed]) -> str:
        rng = np.random.default_rng([seed, 404, *f"{split} {kind}".encode(), number])
        picture, name = made(rng), f"{kind}-{number:05d}"
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))]
        cv2.imwrite(str(out / "images" / split / f"{name}.jpg"), picture.image, quality)
        rows = yolo_rows(picture) + (unboxed_rows(picture) if split == "train" else "")
        (out / "labels" / split / f"{name}.txt").write_text(rows, encoding="utf-8")
        return f"{split} {kind}"

    files = {split: sorted((rendered / "images" / split).glob("*.jpg")) for split in ("train", "val")}
    windows = {
        split: [file for file in own for _ in range(WINDOWS_PER_FRAME)] for split, own in files.items()
    }
    real_pictures = [*data.voc, *data.outlined]
    repeats = max(LEAST_REPEATS, round(REAL_SHARE * len(windows["train"]) / max(1, len(real_pictures))))
    ground = int(GROUND_SHARE * len(windows["train"])) if data.items or data.hands else 0
    made: dict[tuple[str, str], list[Callable[[np.random.Generator], Boxed]]] = {
        ("train", "rendered"): [partial(of_rendered, file, "train") for file in windows["train"]],
        ("val", "rendered"): [partial(of_rendered, file, "val") for file in windows["val"]],
        ("train", "ground"): [of_ground] * ground,
        ("train", "real"): [partial(of_real, picture) for picture in real_pictures * repeats],
        ("held-out", "outlined"): [partial(as_it_is, picture) for picture in data.held_out],
    }
    jobs = [(*key, number, make) for key, makers in made.items() for number, make in enumerate(makers)]
    # Threads: OpenCV and numpy let go of Python's lock, and the real pictures are shared.
    runner = Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")
    counts: Counter[str] = Counter()
    for kind in runner(delayed(write)(*job) for job in jobs):
        counts[kind] += 1
        tell("cutting windows", counts.total() / len(jobs))
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(CLASSES))
    for name, split in (("data", "val"), ("held-out", "held-out")):
        text = f"path: {out.resolve()}\ntrain: images/train\nval: images/{split}\nnames:\n{names}\n"
        (out / f"{name}.yaml").write_text(text, encoding="utf-8")
    (out / "counts.json").write_text(json.dumps(dict(sorted(counts.items())), indent=1), encoding="utf-8")
    return out / "data.yaml"


def load_real(folders: Sequence[Path]) -> RealData:
    """Read real folders: Pascal VOC (.xml), outlined pictures (`images/` and `labels/` in YOLO's segment
    format, with `cutouts/*/*.webp` where there are any), or videos of one arm before a plain ground (.mp4).

    Raises:
        InputError: a folder holds none of these.
    """
    data = RealData([], [], [], [], [])
    for folder in folders:
        if not folder.is_dir():
            raise InputError(folder, "", "is not a folder of real pictures")
        if (folder / "images").is_dir() and (folder / "labels").is_dir():
            _load_outlined(folder, data)
        elif any(folder.rglob("*.xml")):
            data.voc += voc_pictures(folder)
        elif videos := sorted(folder.glob("*.mp4")):
            for video in videos:
                data.hands += hand_cutouts(video)
        else:
            raise InputError(
                folder,
                "",
                "holds no Pascal VOC .xml, no images/ with labels/ and no .mp4",
                "name a folder of boxed or outlined pictures, or of hands before a plain ground",
            )
    return data


def voc_pictures(folder: Path) -> list[Boxed]:
    """A Pascal VOC folder's pictures; "hand" stays hand, "person" stays person, all else is an item.

    A class of which the whole folder has no box is unboxed.
    """
    found = []
    for boxed in load_voc(folder):
        labels = [CLASSES.index(name) if name in CLASSES else ITEM for name in boxed.labels]
        found.append(Boxed(_read(boxed.file), np.array(labels, int), boxed.boxes_xyxy))
    seen = {int(label) for picture in found for label in picture.labels}
    unboxed = tuple(label for label in range(len(CLASSES)) if label not in seen)
    return [picture._replace(unboxed=unboxed) for picture in found]


def _load_outlined(folder: Path, data: RealData) -> None:
    import cv2

    files = sorted(p for p in (folder / "images").iterdir() if p.suffix in (".jpg", ".jpeg", ".png"))
    kept_out = {file.stem for file in files[::HELD_OUT_EVERY]}
    for file in files:
        image = _read(file)
        height, width = image.shape[:2]
        boxes = []
        for line in (folder / "labels" / f"{file.stem}.txt").read_text(encoding="utf-8").splitlines():
            points = np.array(line.split()[1:], float).reshape(-1, 2) * (width, height)
            if len(points):
                boxes.append([*points.min(axis=0), *points.max(axis=0)])
        picture = Boxed(image, np.full(len(boxes), ITEM), np.array(boxes, float).reshape(-1, 4))
        if file.stem in kept_out:
            data.held_out.append(picture)
        else:
            data.outlined.append(picture._replace(unboxed=(HAND, PERSON) if _may_show_hand(picture) else ()))
    for file in sorted((folder / "cutouts").glob("*/*.webp")) if (folder / "cutouts").is_dir() else ():
        if file.stem.rsplit("_", 1)[0] in kept_out:
            continue
        rgba = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if rgba is not None and rgba.ndim == 3 and rgba.shape[2] == 4:
            parts = np.where(rgba[:, :, 3] > 127, ITEM_PART, 0).astype(np.uint8)
            data.items.append(Cutout(rgba[:, :, :3], parts))


def hand_cutouts(video: Path) -> list[Cutout]:
    """Hands cut from a video of one bare arm that reaches in from a side, before a ground unlike skin.

    The hand is taken to be the arm's free end, 1.3 times as long as it is thick (assumed).
    """
    import cv2

    from checkout.vision.video import read_frames

    found = []
    for number, (_, image) in enumerate(read_frames(video)):
        if number % FRAMES_PER_CUTOUT:
            continue
        mask = _skin(image)
        count, label, stats, _ = cv2.connectedComponentsWithStats(mask)
        if count < 2:
            continue
        best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        x, _, width, height, area = stats[best]
        right = x + width >= image.shape[1] - 3
        if not (right or x <= 2) or not 0.02 < area / mask.size < 0.25 or width < height:
            continue
        arm = label == best
        columns = np.flatnonzero(arm.any(axis=0))
        tip = columns.min() if right else columns.max()
        thick = arm.sum(axis=0).max()
        reach = int(min(1.3 * thick, 0.75 * width))
        hand_columns = (
            (np.arange(image.shape[1]) < tip + reach) if right else (np.arange(image.shape[1]) > tip - reach)
        )
        parts = np.where(arm, np.where(hand_columns[None, :], HAND_PART, ARM_PART), 0).astype(np.uint8)
        rows, cols = np.flatnonzero(parts.any(axis=1)), np.flatnonzero(parts.any(axis=0))
        crop = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        found.append(Cutout(image[crop], parts[crop]))
    return found


def _read(file: Path) -> np.ndarray:
    import cv2

    image = cv2.imread(str(file))
    if image is None:
        raise InputError(file, "", "is not a picture that can be read")
    return np.asarray(image)


def _skin(image: np.ndarray) -> np.ndarray:
    """Where a picture has the colour of skin, uint8 0 or 1 [height, width], specks taken out."""
    import cv2

    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    ycc = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    skin = (hsv[..., 1] > 50) & (ycc[..., 1] > 140) & (ycc[..., 1] < 180) & (ycc[..., 2] < 122)
    kernel = np.ones((5, 5), np.uint8)
    opened = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel))


def _may_show_hand(picture: Boxed) -> bool:
    """Whether enough of a picture outside its boxes has the colour of skin."""
    skin = _skin(picture.image)
    for x1, y1, x2, y2 in picture.boxes.astype(int):
        skin[y1:y2, x1:x2] = 0
    return bool(skin.mean() > SKIN_SHARE)


def read_yolo(image: Path, labels: Path) -> Boxed:
    """A picture of a YOLO data set with its boxes."""

    picture = _read(image)
    rows = np.loadtxt(labels, ndmin=2).reshape(-1, 5)
    size = np.array([picture.shape[1], picture.shape[0]], float)
    centre, half = rows[:, 1:3] * size, 0.5 * rows[:, 3:5] * size
    return Boxed(picture, rows[:, 0].astype(int), np.hstack([centre - half, centre + half]))


def window(picture: Boxed, side: int, rng: np.random.Generator) -> Boxed:
    """A window, around a hand or a person more often than not (`FOCUS_SHARES`), that fills `side` pixels when enlarged.

    It is cut at its own scale; `ZOOM` says how small it may be.
    """
    height, width = picture.image.shape[:2]
    cut = round(side / rng.uniform(*ZOOM))
    w, h = min(cut, width), min(cut, height)
    drawn = rng.uniform()
    focus = HAND if drawn < FOCUS_SHARES[HAND] else PERSON if drawn < sum(FOCUS_SHARES.values()) else -1
    around = picture.boxes[picture.labels == focus]
    if len(around):
        x1, y1, x2, y2 = around[int(rng.integers(len(around)))]
        x, y = 0.5 * (x1 + x2) + rng.uniform(-0.35, 0.35) * w, 0.5 * (y1 + y2) + rng.uniform(-0.35, 0.35) * h
    else:
        x, y = rng.uniform(0, width), rng.uniform(0, height)
    left, top = int(np.clip(x - w / 2, 0, width - w)), int(np.clip(y - h / 2, 0, height - h))
    moved = picture.boxes - [left, top, left, top]
    inside = np.clip(moved, 0, [w, h, w, h])
    share = _area(inside) / np.maximum(_area(moved), 1e-9)
    keep = share >= np.array([LEAST_INSIDE[int(c)] for c in picture.labels])
    keep &= (inside[:, 2] - inside[:, 0] >= LEAST_PX) & (inside[:, 3] - inside[:, 1] >= LEAST_PX)
    return picture._replace(
        image=picture.image[top : top + h, left : left + w], labels=picture.labels[keep], boxes=inside[keep]
    )


def paste_some(picture: Boxed, data: RealData, rng: np.random.Generator, *, most: int = 3) -> Boxed:
    """A copy of the picture with some real things over it, hands over the items that they hold."""
    image = picture.image.copy()
    labels, boxes = list(picture.labels), [np.asarray(b, float) for b in picture.boxes]
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, most + 1))):
        at = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        size = float(np.exp(rng.uniform(np.log(22), np.log(max(22, 0.4 * min(height, width))))))
        hand = bool(data.hands) and (not data.items or rng.uniform() < 0.5)
        if hand:
            cutout = data.hands[int(rng.integers(len(data.hands)))]
            size *= 0.75
            if data.items and rng.uniform() < 0.6:
                held = data.items[int(rng.integers(len(data.items)))]
                _paste(image, labels, boxes, held, at, size * rng.uniform(0.8, 1.8), rng)
            _paste(image, labels, boxes, _sleeved(cutout, rng), at, size, rng)
        elif data.items:
            _paste(image, labels, boxes, data.items[int(rng.integers(len(data.items)))], at, size, rng)
    return picture._replace(
        image=image, labels=np.array(labels, int), boxes=np.array(boxes, float).reshape(-1, 4)
    )


def _paste(
    image: np.ndarray,
    labels: list[int],
    boxes: list[np.ndarray],
    cutout: Cutout,
    at: np.ndarray,
    size: float,
    rng: np.random.Generator,
) -> None:
    """Paste in place, turned and lit at random, its hand (or all of it) at a point; covered boxes are dropped."""
    import cv2

    height, width = image.shape[:2]
    scale = size / max(cutout.hand_px, 1.0)
    turn = rng.normal(0, 0.35) if not (cutout.parts == HAND_PART).any() else rng.uniform(-np.pi, np.pi)
    focus = cutout.parts == HAND_PART if (cutout.parts == HAND_PART).any() else cutout.parts > 0
    ys, xs = np.nonzero(focus)
    if not len(xs):
        return
    mirror = -1.0 if rng.uniform() < 0.5 else 1.0
    a = scale * np.array([[mirror * np.cos(turn), -np.sin(turn)], [mirror * np.sin(turn), np.cos(turn)]])
    move = np.hstack([a, (at - a @ [xs.mean(), ys.mean()])[:, None]])
    source = cutout.image
    if scale < 0.5:
        source = cv2.GaussianBlur(source, (0, 0), 0.35 / scale)
    moved = cv2.warpAffine(source, move, (width, height), flags=cv2.INTER_LINEAR).astype(np.float32)
    parts = cv2.warpAffine(cutout.parts, move, (width, height), flags=cv2.INTER_NEAREST)
    solid = (parts > 0).astype(np.float32)
    if not solid.any():
        return
    soft = cv2.GaussianBlur(solid, (0, 0), 0.8) * solid
    gain = rng.uniform(0.55, 1.25) * rng.uniform(0.9, 1.1, 3)
    image[:] = np.clip(image * (1 - soft[..., None]) + moved * gain * soft[..., None], 0, 255).astype(
        np.uint8
    )
    for index in reversed(range(len(boxes))):
        x1, y1, x2, y2 = boxes[index].astype(int)
        under = solid[max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1]
        if under.size and under.mean() > 1 - LEAST_INSIDE[int(labels[index])]:
            del boxes[index], labels[index]
    full = abs(float(np.linalg.det(a)))
    for part, label in ((HAND_PART, HAND), (ITEM_PART, ITEM)):
        ys, xs = np.nonzero(parts == part)
        whole = float((cutout.parts == part).sum()) * full
        if not len(xs) or len(xs) < LEAST_INSIDE[label] * whole:
            continue
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)
        if min(box[2] - box[0], box[3] - box[1]) >= LEAST_PX:
            labels.append(label)
            boxes.append(box)


def _sleeved(cutout: Cutout, rng: np.random.Generator) -> Cutout:
    """The same arm, three times of four in a sleeve of some colour."""
    arm = cutout.parts == ARM_PART
    if rng.uniform() < 0.25 or not arm.any():
        return cutout
    image = cutout.image.astype(np.float32)
    light = image[arm].mean(axis=1) / max(1.0, float(image[arm].mean()))
    image[arm] = np.clip(light[:, None] * rng.uniform(15, 230, 3), 0, 255)
    return Cutout(image.astype(np.uint8), cutout.parts)


def _ground(side: int, rng: np.random.Generator) -> Boxed:
    """A plain or shaded ground, sometimes with an edge across it, with camera noise."""
    import cv2

    ramp = np.linspace(0, 1, side)[:, None] if rng.uniform() < 0.5 else np.linspace(0, 1, side)[None, :]
    first, second = rng.uniform(20, 240, 3), rng.uniform(20, 240, 3)
    image = first + (second - first) * rng.uniform(0, 0.6) * np.broadcast_to(ramp[..., None], (side, side, 3))
    if rng.uniform() < 0.5:
        edge = int(rng.uniform(0.2, 0.8) * side)
        image = image.copy()
        image[edge:] = 0.5 * image[edge:] + 0.5 * rng.uniform(20, 240, 3)
    blotch = cv2.resize(rng.normal(0, 12, (6, 6)), (side, side), interpolation=cv2.INTER_CUBIC)
    image = image + blotch[..., None] + rng.normal(0, rng.uniform(1, 8), (side, side, 1))
    return Boxed(np.clip(image, 0, 255).astype(np.uint8), np.zeros(0, int), np.zeros((0, 4)))


def yolo_rows(picture: Boxed) -> str:
    """A picture's boxes as YOLO writes them: class, centre and size as shares of the picture."""
    height, width = picture.image.shape[:2]
    lines: Iterator[str] = (
        f"{label} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
        f" {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for label, (x1, y1, x2, y2) in zip(
            picture.labels, np.clip(picture.boxes, 0, [width, height, width, height]), strict=True
        )
    )
    return "".join(lines)


def unboxed_rows(picture: Boxed) -> str:
    """A row that covers the whole picture for each class of which things may have no box (`UNBOXED`)."""
    return "".join(f"{UNBOXED + label} 0.5 0.5 1 1\n" for label in picture.unboxed)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0))
