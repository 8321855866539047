"""Trains the second look: hands cut from training frames; facings, reaches and hands on their way from acted plans."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkout.output import check_free, new_file, new_folder
from checkout.recording import Camera
from checkout.vision.detector import Detector, overlaps
from checkout.vision.hand_depth import DEPTH_SIDE, ShelfFaces, cut_face, depth_input, depth_network
from checkout.vision.reach_looks import (
    BODY_ROOM_M,
    BODY_SIDE,
    MOST_FACINGS,
    MOST_PEOPLE,
    PLACE_ROOM_M,
    PLACE_SIDE,
    Body,
    Window,
    body_network,
    chest_in,
    place_input,
    place_network,
    space_of,
    window_at,
)
from checkout.vision.second_look import (
    CHANGES,
    FACING_SIDE,
    LOG_SPREAD,
    SIDE,
    as_input,
    boxes_in,
    cut_facing,
    cut_square,
    facing_network,
    facing_views,
    hand_network,
    hand_windows,
    packed,
    placed_in,
    smooth_cut,
)

if TYPE_CHECKING:
    import torch

    from checkout.catalog import Facing
    from checkout.render.glimpses import Glimpse, Grasp, HandsSeen
    from checkout.vision.training_data import Boxed

WIDE_SIDE, WIDE_FACING_SIDE = 80, 120
"""Cut-outs of hands and of facings are kept this large, pixels, so that training can shift and scale them."""
WIDE = WIDE_SIDE / SIDE
VALIDATION_SHARE, FEWEST_FRAMES = 0.08, 8
"""Assumed: so much of the frames and plans is only scored, and at least so many frames."""
SAME_HAND_IOU = 0.2
"""Assumed: a proposed box that overlaps a true hand this much is that hand's."""
AT_ONCE = 8
"""Pictures that the detector is shown at once."""
ELSEWHERE = 3
"""Assumed: boxes of no hand for each picture, beside those that the detector wrongly proposes."""
UNCHANGED, BESIDE, BESIDE_PX = 5, 3, 120.0
"""Assumed: facings that nobody reached into, for each pair of pictures, and of those this near to one that changed."""
UNCHANGED_SHOWN = 4
"""Assumed: an epoch shows so many facings that did not change, drawn anew, for each that did."""
PICTURE_CHANNELS = 6
"""What comes after these channels of a cut-out is no picture, but drawn over it."""
BATCH, LEARNING_RATE = 128, 2e-3
"""Assumed: cut-outs a step, and AdamW's highest rate in a one-cycle schedule."""
BOX_LOSS = 6.0
"""Assumed: weight of the box's error (smooth L1 over 0.05 sides) beside the two log losses."""
WIDE_REACH_SIDE = 112
"""As `WIDE_SIDE`, of the cut-outs of reaches: the one of the body shows everything that is kept, and less of it."""
REACHES = 24
"""Assumed: reaches a step of the network of places; each is shown once for each facing."""
PLACES_EACH = 4
"""Assumed: so many facings are shown of a reach in training, the right one among them."""
REACH_SHIFT, REACH_SCALE = 0.24, 0.3
"""Assumed: how far, in sides, and how much, as a logarithm, cut-outs of reaches are shifted and scaled in all."""
WIDE_DEPTH_SIDE = 100
"""As `WIDE_SIDE`, of the cut-outs of hands whose depth is to be told."""
CENTRE_SD = 0.1
"""Assumed: how far, as a share of a hand's size, its box's middle is shifted in training."""
Progress = Callable[[str, float], None]
Network = Callable[["torch.Tensor"], "torch.Tensor"]


class Hands(NamedTuple):
    """Cut-outs of boxes taken for hands.

    Attributes:
        cuts: uint8 [n, WIDE_SIDE, WIDE_SIDE, 3], BGR.
        hand: 1 where it is a hand, float32 [n].
        holding: 1 where it holds an item, NaN where nobody knows, float32 [n].
        placed: the true box in the cut-out's middle window, see `boxes_in`, float32 [n, 4].
        proposed: the overlap of the proposed box with the true one, [n]; NaN where none was proposed.
    """

    cuts: np.ndarray
    hand: np.ndarray
    holding: np.ndarray
    placed: np.ndarray
    proposed: np.ndarray


class Pairs(NamedTuple):
    """Cut-outs of facings.

    Attributes:
        before, after: uint8 [n, WIDE_FACING_SIDE, WIDE_FACING_SIDE, 3], BGR.
        shape: where the facings are in them, likewise, see `FacingView.shape`.
        change: which of `CHANGES` it was, [n].
    """

    before: np.ndarray
    after: np.ndarray
    shape: np.ndarray
    change: np.ndarray


class Reaches(NamedTuple):
    """Cut-outs of hands that are at an item, who stood where, and the facings around.

    Attributes:
        bodies, places: uint8 [n, WIDE_REACH_SIDE, WIDE_REACH_SIDE, 3], BGR: the arm, and closer the hand.
        body_windows, place_windows: middle x, middle y and side, pixels, of the part of it that a network is to see,
            [n, 3].
        cameras: matrix, rotation, translation and distortion of the camera, and its picture's size, [n, 28].
        people: floor places, metres, first of whose hand it is; NaN after the last, [n, MOST_PEOPLE, 2].
        facings: least and largest corner and the way out of the shelf of the facing that the hand is at and of those
            around; NaN after the last, [n, MOST_FACINGS, 8].
    """

    bodies: np.ndarray
    body_windows: np.ndarray
    places: np.ndarray
    place_windows: np.ndarray
    cameras: np.ndarray
    people: np.ndarray
    facings: np.ndarray


class Depths(NamedTuple):
    """Cut-outs of hands before a shelf's face or in the shelf.

    Attributes:
        cuts: uint8 [n, WIDE_DEPTH_SIDE, WIDE_DEPTH_SIDE, 3], BGR.
        faces: the same window of the face's picture, see `ShelfFaces`, likewise.
        inward: how far behind the face, metres, float32 [n].
    """

    cuts: np.ndarray
    faces: np.ndarray
    inward: np.ndarray


def train_second_look(
    out: Path,
    *,
    frames: int = 3000,
    plans: int = 120,
    grasps: int = 400,
    ways: int = 200,
    epochs: int = 14,
    seed: int = 1,
    real: Sequence[Path] = (),
    workers: int = 2,
    device: str = "cpu",
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train the networks, write their weights to `out`; returns their scores on pictures never trained on.

    What is rendered lies in `OUT.work` and is used again.

    Args:
        frames: rendered frames that hands are cut from.
        plans: acted plans whose reaches are looked at before and after.
        grasps: acted plans whose reaches are looked at while the hand is at the item.
        ways: acted plans whose hands are looked at on their way.
        real: folders of real boxed hands (Pascal VOC), beside the rendered ones.
        device: that the networks train on, "cpu" or a GPU's number; what they see is cut and drawn by the processor all
            the same.

    Raises:
        InputError: `out` exists and `force` is not set, or a folder cannot be used.
    """
    import torch

    from checkout.vision.training import torch_device

    check_free(out, force=force)
    device = torch_device(device)
    tell = progress or (lambda doing, share: None)
    work = out.with_suffix(".work")
    hands = _hands(work, frames, seed, real, workers, tell)
    pairs = _pairs(work, plans, seed, workers, tell)
    reaches = _reaches(work, grasps, seed, workers, tell)
    depths = _depths(work, ways, seed, workers, tell)
    started = time.monotonic()
    scores: dict[str, float] = {}
    networks = {}
    trainings: dict[str, Callable[[], tuple[torch.nn.Module, dict[str, float]]]] = {
        "hand": lambda: _train_hands(hands["train"], hands["val"], epochs, seed, device, tell),
        "facing": lambda: _train_facings(pairs["train"], pairs["val"], epochs, seed, device, tell),
        "body": lambda: _train_bodies(reaches["train"], reaches["val"], epochs, seed, device, tell),
        "place": lambda: _train_places(reaches["train"], reaches["val"], epochs, seed, device, tell),
        "depth": lambda: _train_depths(depths["train"], depths["val"], epochs, seed, device, tell),
    }
    for name, training in trainings.items():
        torch.manual_seed(seed)
        networks[name], said = training()
        scores.update(said)
    scores["training_minutes"] = (time.monotonic() - started) / 60
    with new_file(out, force=force) as draft:
        torch.save({name: packed(network.state_dict()) for name, network in networks.items()}, draft)
    (work / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores


# ---- hands -------------------------------------------------------------------------------------


def _hands(
    work: Path, frames: int, seed: int, real: Sequence[Path], workers: int, tell: Progress
) -> dict[str, Hands]:
    from checkout.render.frames import render_training_frames
    from checkout.vision.training_data import load_real

    boxed = load_real(real).voc
    rendered = work / f"frames-{frames}-{seed}"
    if not rendered.is_dir():
        render_training_frames(
            rendered,
            count=frames,
            val_count=max(FEWEST_FRAMES, int(frames * VALIDATION_SHARE)),
            seed=seed,
            workers=workers,
            progress=lambda done, of: tell("rendering frames", done / of),
        )
    detector, rng = Detector(), np.random.default_rng([seed, 11])
    found = {}
    for split in ("train", "val"):
        pictures = list(_framed(rendered, split))
        if split == "train":
            pictures += [(p, np.full(int((p.labels == 0).sum()), np.nan)) for p in boxed]
        rows: list[Hands] = []
        for first in range(0, len(pictures), AT_ONCE):
            some = pictures[first : first + AT_ONCE]
            proposed = detector.detect([picture.image for picture, _ in some])
            for (picture, holding), boxes in zip(some, proposed, strict=True):
                rows += _cut_hands(picture, holding, boxes.of("hand").boxes_xyxy, rng)
            tell(f"cutting hands ({split})", first / len(pictures))
        found[split] = Hands(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
    return found


def _framed(rendered: Path, split: str) -> Iterator[tuple[Boxed, np.ndarray]]:
    """Each frame's picture with its hands' boxes, and whether each hand holds an item."""
    from checkout.vision.training_data import HAND, Boxed, read_yolo

    for file in sorted((rendered / "images" / split).glob("*.jpg")):
        lines = (rendered / "hands" / split / f"{file.stem}.txt").read_text(encoding="utf-8").split()
        full = np.array(lines, float).reshape(-1, 5)[:, 4]
        picture = read_yolo(file, rendered / "labels" / split / f"{file.stem}.txt")
        hands = picture.labels == HAND
        yield Boxed(picture.image, picture.labels[hands], picture.boxes[hands]), full


def _cut_hands(
    picture: Boxed, holding: np.ndarray, proposed: np.ndarray, rng: np.random.Generator
) -> list[Hands]:
    """Cut-outs of what the detector proposes, of true hands near their place, and of places without a hand."""
    true = picture.boxes[picture.labels == 0]
    boxes = [proposed, _jittered(true, rng)]
    if len(true):
        at = _jittered(true[rng.integers(len(true), size=ELSEWHERE)], rng)
        boxes.append(at + np.tile(rng.normal(0, 1.2, (ELSEWHERE, 2)) * (at[:, 2:] - at[:, :2]), 2))
    boxes_xyxy = np.concatenate(boxes)
    if not len(boxes_xyxy):
        return []
    overlap = overlaps(boxes_xyxy, true) if len(true) else np.zeros((len(boxes_xyxy), 1))
    best, hit = overlap.argmax(axis=1), overlap.max(axis=1) >= SAME_HAND_IOU
    windows = hand_windows(boxes_xyxy)
    wide = np.column_stack([windows[:, :2], windows[:, 2] * WIDE])
    cuts = np.stack([cut_square(picture.image, window, WIDE_SIDE) for window in wide])
    there = true[best] if len(true) else boxes_xyxy
    said = np.where(hit, holding[best] if len(true) else 0.0, 0.0)
    iou = np.full(len(boxes_xyxy), np.nan)
    iou[: len(proposed)] = overlap.max(axis=1)[: len(proposed)]
    return [
        Hands(
            cuts,
            hit.astype(np.float32),
            said.astype(np.float32),
            placed_in(windows, there).astype(np.float32),
            iou,
        )
    ]


def _jittered(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = boxes[:, 2:] - boxes[:, :2]
    middle = 0.5 * (boxes[:, :2] + boxes[:, 2:]) + rng.normal(0, 0.15, size.shape) * size
    half = 0.5 * size * np.exp(rng.normal(0, 0.2, size.shape))
    return np.concatenate([middle - half, middle + half], axis=1)


def _train_hands(
    train: Hands, val: Hands, epochs: int, seed: int, device: str, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    import torch
    from torch.nn import functional

    hand, holding, placed = (
        torch.from_numpy(x).to(device) for x in (train.hand, train.holding, train.placed)
    )

    rng = np.random.default_rng([seed, 14])

    def loss(network: Network, rows: torch.Tensor) -> torch.Tensor:
        moved = _moved(train.cuts[rows.numpy()], SIDE, rng)
        cuts = _relit(as_input(moved.cuts, device), tint=0.3)
        shift, scale, flip = (torch.from_numpy(x).float().to(device) for x in moved[1:])
        rows = rows.to(device)
        target = placed[rows].clone()
        target[:, :2] = (target[:, :2] - shift) / scale[:, None]
        target[:, 0] *= flip
        target[:, 2:] -= scale.log()[:, None]
        said = network(cuts)
        real = hand[rows] > 0
        known = real & ~torch.isnan(holding[rows])
        total = functional.binary_cross_entropy_with_logits(said[:, 0], hand[rows])
        total = total + functional.binary_cross_entropy_with_logits(said[known, 1], holding[rows][known])
        return total + BOX_LOSS * functional.smooth_l1_loss(said[real, 2:], target[real], beta=0.05)

    network = hand_network()
    every = torch.arange(len(train.hand))
    _fit(network, loss, lambda: every, epochs, device, partial(tell, "training on hands"))
    said = _said(network, _middle(val.cuts, SIDE))
    proposed = ~np.isnan(val.proposed)
    real = proposed & (val.hand > 0)
    unit = np.tile([0.0, 0.0, 1.0], (len(val.hand), 1))
    better = np.diag(overlaps(boxes_in(unit, said[:, 2:])[real], boxes_in(unit, val.placed)[real]))
    return network, {
        "hand_cuts": len(train.hand),
        "hand_auc": _auc(said[proposed, 0], val.hand[proposed]),
        "holding_auc": _auc(said[real, 1], val.holding[real]),
        "iou_proposed": float(val.proposed[real].mean()),
        "iou_second_look": float(better.mean()),
        "iou_half_proposed": float((val.proposed[real] >= 0.5).mean()),
        "iou_half_second_look": float((better >= 0.5).mean()),
    }


# ---- facings -----------------------------------------------------------------------------------


def _pairs(work: Path, plans: int, seed: int, workers: int, tell: Progress) -> dict[str, Pairs]:
    parts = _of_plans(
        work / f"glimpses-{seed}", _facings_of_plan, plans, seed, workers, "rendering reaches", tell
    )
    return {split: Pairs(**columns) for split, columns in parts.items()}


def _facings_of_plan(seed: int, number: int) -> Iterator[Pairs]:
    from checkout.render.glimpses import glimpses_of_plan

    rng = np.random.default_rng([seed, 12, number])
    for glimpse in glimpses_of_plan(seed, number):
        yield from _cut_facings(glimpse, rng)


def _cut_facings(glimpse: Glimpse, rng: np.random.Generator) -> Iterator[Pairs]:
    """What changed, what was reached into, and some others; none that a hand is before."""
    from checkout.vision.shelf_moments import around, covered_by

    views = facing_views(glimpse.planogram, glimpse.camera)
    free = sorted(set(views) - covered_by({f: around(v) for f, v in views.items()}, glimpse.hands_xyxy))
    moved = [f for f in free if glimpse.change.get(f)]
    still = [f for f in free if f not in glimpse.change]
    reached = [f for f in still if f == glimpse.reached]
    others = [str(f) for f in rng.permutation(still)[:UNCHANGED]]
    middles = np.array([views[f].window[:2] for f in glimpse.change if f in views]).reshape(-1, 2)
    near = [f for f in still if (np.abs(views[f].window[:2] - middles).sum(axis=1) < BESIDE_PX).any()]
    beside = [str(f) for f in rng.permutation(near)[:BESIDE]]
    wider = WIDE_FACING_SIDE / FACING_SIDE
    for facing in dict.fromkeys([*moved, *reached, *beside, *others]):
        view = views[facing]
        gain = glimpse.change.get(facing, 0)
        name = "none" if not gain else "put_back" if gain > 0 else "pick"
        before, after = (
            cut_facing(image, view, WIDE_FACING_SIDE, wider=wider)
            for image in (glimpse.before, glimpse.after)
        )
        shape = view.shape(WIDE_FACING_SIDE, wider)
        yield Pairs(before, after, shape, np.array(CHANGES.index(name)))


def _train_facings(
    train: Pairs, val: Pairs, epochs: int, seed: int, device: str, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    import torch
    from torch.nn import functional

    change, rng = torch.from_numpy(train.change).long(), np.random.default_rng([seed, 15])
    changed, unchanged = (
        torch.from_numpy(np.flatnonzero(part)) for part in (train.change > 0, train.change == 0)
    )

    def epoch_rows() -> torch.Tensor:
        shown = torch.randperm(len(unchanged))[: UNCHANGED_SHOWN * max(1, len(changed))]
        return torch.cat([changed, unchanged[shown]])

    def loss(network: Network, rows: torch.Tensor) -> torch.Tensor:
        picked = rows.numpy()
        # Played backwards, a pick is a put-back.
        back = torch.rand(len(rows)) < 0.5
        turned = back.numpy()[:, None, None, None]
        before, after = train.before[picked], train.after[picked]
        both = np.where(turned, after, before), np.where(turned, before, after)
        moved = _moved(np.concatenate([*both, train.shape[picked]], axis=3), FACING_SIDE, rng)
        cuts = _relit(as_input(moved.cuts, device), tint=0.06)
        label = change[rows]
        label = torch.where(back & (label > 0), 3 - label, label)
        return functional.cross_entropy(network(cuts), label.to(device), label_smoothing=0.02)

    network = facing_network()
    _fit(network, loss, epoch_rows, epochs, device, partial(tell, "training on facings"))
    said = _said(network, _middle(np.concatenate([val.before, val.after, val.shape], axis=3), FACING_SIDE))
    said = np.exp(said - said.max(axis=1, keepdims=True))
    said /= said.sum(axis=1, keepdims=True)
    moved = val.change > 0
    return network, {
        "facing_pairs": len(train.change),
        "facings_changed": int((train.change > 0).sum()),
        "change_auc": _auc(1 - said[:, 0], moved.astype(float)),
        "change_right": float((said.argmax(axis=1) == val.change).mean()),
        "direction_right": float((said[moved, 1:].argmax(axis=1) + 1 == val.change[moved]).mean()),
    }


# ---- reaches -----------------------------------------------------------------------------------


def _reaches(work: Path, plans: int, seed: int, workers: int, tell: Progress) -> dict[str, Reaches]:
    parts = _of_plans(
        work / f"grasps-{seed}", _grasps_of_plan, plans, seed, workers, "rendering grasps", tell
    )
    return {split: Reaches(**columns) for split, columns in parts.items()}


def _grasps_of_plan(seed: int, number: int) -> Iterator[Reaches]:
    from checkout.render.glimpses import grasps_of_plan

    for grasp in grasps_of_plan(seed, number):
        if (cut := _cut_grasp(grasp)) is not None:
            yield cut


def _cut_grasp(grasp: Grasp) -> Reaches | None:
    """The reach of one picture; None where the hand is not in it."""
    windows = [window_at(grasp.camera, grasp.at_m, room_m) for room_m in (BODY_ROOM_M, PLACE_ROOM_M)]
    if windows[0] is None or windows[1] is None:
        return None
    cuts = [
        smooth_cut(grasp.image, (w.x, w.y, w.side * WIDE_REACH_SIDE / side), WIDE_REACH_SIDE)
        for w, side in zip(windows, (BODY_SIDE, PLACE_SIDE), strict=True)
        if w is not None
    ]
    people = np.full((MOST_PEOPLE, 2), np.nan)
    for row, name in enumerate([grasp.who, *(p for p in grasp.people if p != grasp.who)][:MOST_PEOPLE]):
        people[row] = grasp.people[name]
    facings = np.full((MOST_FACINGS, 8), np.nan)
    around = sorted(grasp.planogram.values(), key=lambda f: (f.facing != grasp.facing, _apart(f, grasp.at_m)))
    for row, facing in enumerate(around[:MOST_FACINGS]):
        facings[row] = [*(facing.box_min_m or ()), *(facing.box_max_m or ()), *facing.front]
    return Reaches(
        cuts[0],
        np.array(windows[0]),
        cuts[1],
        np.array(windows[1]),
        _camera_row(grasp.camera),
        people,
        facings,
    )


def _depths(work: Path, plans: int, seed: int, workers: int, tell: Progress) -> dict[str, Depths]:
    parts = _of_plans(work / f"hands-{seed}", _hands_of_plan, plans, seed, workers, "rendering hands", tell)
    return {split: Depths(**columns) for split, columns in parts.items()}


def _hands_of_plan(seed: int, number: int) -> Iterator[Depths]:
    from checkout.render.glimpses import hands_of_plan

    rng = np.random.default_rng([seed, 17, number])
    for seen in hands_of_plan(seed, number):
        yield from _cut_depths(seen, rng)


def _cut_depths(seen: HandsSeen, rng: np.random.Generator) -> Iterator[Depths]:
    """The hands of one picture behind which a shelf is."""
    faces = ShelfFaces(seen.camera, seen.planogram)
    low, high = seen.hands_xyxy[:, :2], seen.hands_xyxy[:, 2:]
    centres = 0.5 * (low + high) + rng.normal(0, CENTRE_SD, low.shape) * (high - low)
    for face, palm in zip(faces.behind(centres), seen.palms_m, strict=True):
        if face is None:
            continue
        wide = face.window._replace(side=face.window.side * WIDE_DEPTH_SIDE / DEPTH_SIDE)
        yield Depths(
            smooth_cut(seen.image, wide, WIDE_DEPTH_SIDE),
            cut_face(faces.picture, wide, WIDE_DEPTH_SIDE),
            np.float32(face.inward(palm)),  # type: ignore[arg-type]
        )


def _apart(facing: Facing, at_m: np.ndarray) -> float:
    """How far a facing's box is from a place, metres."""
    low, high = np.array(facing.box_min_m), np.array(facing.box_max_m)
    return float(np.linalg.norm(np.maximum(np.maximum(low - at_m, at_m - high), 0.0)))


def _camera_row(camera: Camera) -> np.ndarray:
    """A camera's calibration and its picture's size as numbers, [28]."""
    assert camera.matrix is not None
    parts = camera.matrix, camera.rotation, camera.translation_m, camera.distortion
    return np.concatenate([*(np.ravel(part) for part in parts), [camera.width, camera.height]])


def _camera_of(row: np.ndarray) -> Camera:
    """The inverse of `_camera_row`."""
    size = int(row[26]), int(row[27])
    return Camera("", "", 1.0, *size, row[:9].reshape(3, 3), row[21:26], row[9:18].reshape(3, 3), row[18:21])


def _place_shown(reaches: Reaches, row: int, rng: np.random.Generator | None) -> np.ndarray:
    """What the network of places sees of one reach, the right facing first: float32 [facings, channels, side, side].

    With a generator, only some facings, and the picture varied.
    """
    facings = reaches.facings[row][~np.isnan(reaches.facings[row, :, 0])]
    if rng is not None:
        others = 1 + rng.permutation(len(facings) - 1)[: PLACES_EACH - 1]
        facings = facings[[0, *others]]
    cut, window = _part(reaches.places[row], reaches.place_windows[row], rng)
    camera = _camera_of(reaches.cameras[row])
    seen = place_input(cut, window, [space_of(camera, f[:6].reshape(2, 3), f[6:]) for f in facings])
    return _lit(seen, rng)


def _part(wide: np.ndarray, window: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, Window]:
    """The part of a wide cut-out that a network sees, and its window; with a generator shifted and scaled."""
    x, y, side = window.tolist()
    scale, shift = 1.0, np.zeros(2)
    if rng is not None:
        scale = float(np.exp(rng.uniform(-0.5, 0.5) * REACH_SCALE))
        shift = rng.uniform(-0.5, 0.5, 2) * REACH_SHIFT
    at = 0.5 * WIDE_REACH_SIDE + shift * PLACE_SIDE
    cut = cut_square(wide, (at[0], at[1], scale * PLACE_SIDE), PLACE_SIDE)
    return cut, Window(x + shift[0] * side, y + shift[1] * side, scale * side)


def _lit(seen: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """What a network sees, with a generator mirrored or not, in another light and with noise."""
    if rng is None:
        return seen
    if rng.uniform() < 0.5:
        seen = np.ascontiguousarray(seen[..., ::-1])
    colours = seen[:1, :3] * (1 + rng.uniform(-0.15, 0.15, (1, 3, 1, 1))) + rng.uniform(-0.12, 0.12)
    seen[:, :3] = colours + rng.normal(0, 0.02, colours.shape)
    return seen


def _train_places(
    train: Reaches, val: Reaches, epochs: int, seed: int, device: str, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    import torch
    from torch.nn import functional

    rng = np.random.default_rng([seed, 13])

    def loss(network: Network, rows: torch.Tensor) -> torch.Tensor:
        shown = [_place_shown(train, row, rng) for row in rows.tolist()]
        counts = [len(candidates) for candidates in shown]
        said = network(torch.from_numpy(np.concatenate(shown)).to(device))[:, 0]
        first = torch.zeros(len(rows), dtype=torch.long, device=device)
        return functional.cross_entropy(_by_reach(said, counts), first)

    network = place_network()
    every = torch.arange(len(train.cameras))
    _fit(network, loss, lambda: every, epochs, device, partial(tell, "training on places"), batch=REACHES)
    right, logs = [], []
    with torch.inference_mode():
        for row in range(len(val.cameras)):
            said = network(torch.from_numpy(_place_shown(val, row, None)))[:, 0].log_softmax(0)
            right.append(int(said.argmax()) == 0)
            logs.append(float(said[0]))
    return network, {
        "places": len(train.cameras),
        "places_right": float(np.mean(right)),
        "places_log_loss": float(-np.mean(logs)),
    }


def _train_bodies(
    train: Reaches, val: Reaches, epochs: int, seed: int, device: str, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    """Train the network that sees where the body is whose hand is in the middle: a Laplace density over the picture."""
    import torch

    rng = np.random.default_rng([seed, 16])
    chests = _chests(train)[:, 0]
    known = torch.from_numpy(np.flatnonzero(np.isfinite(chests[:, 0])))

    def loss(network: Network, rows: torch.Tensor) -> torch.Tensor:
        moved = _moved(train.bodies[rows.numpy()], BODY_SIDE, rng)
        target = (chests[rows.numpy()] - moved.shift) / moved.scale[:, None]
        target[:, 0] *= moved.flip
        said = network(_relit(as_input(moved.cuts, device), tint=0.2))
        apart = (
            (said[:, :2] - torch.from_numpy(target).float().to(device)).square().sum(dim=1).add(1e-6).sqrt()
        )
        spread = said[:, 2].clamp(*LOG_SPREAD)
        return (apart * (-spread).exp() + 2 * spread).mean()

    network = body_network()
    _fit(network, loss, lambda: known, epochs, device, partial(tell, "training on bodies"))
    said, there = _said(network, _middle(val.bodies, BODY_SIDE)), _chests(val)
    rows = np.flatnonzero(np.isfinite(there[:, :2, 0]).all(axis=1))
    words = []
    for row in rows:
        body = Body(said[row, :2], float(np.exp(np.clip(said[row, 2], *LOG_SPREAD))))
        words.append(body.likelihood(there[row][~np.isnan(val.people[row, :, 0])]))
    return network, {
        "bodies": len(known),
        "bodies_apart": float(np.median(np.linalg.norm(said[rows, :2] - there[rows, 0], axis=1))),
        "bodies_right": float(np.mean([word.argmax() == 0 for word in words])),
        "bodies_log_loss": float(-np.mean([word[0] for word in words])),
    }


def _chests(reaches: Reaches) -> np.ndarray:
    """Where all chests appear in the windows, see `chest_in`; NaN where nobody is, [n, MOST_PEOPLE, 2]."""
    found = np.full(reaches.people.shape, np.nan)
    for row, people in enumerate(reaches.people):
        window, camera = Window(*reaches.body_windows[row]), _camera_of(reaches.cameras[row])
        for number in np.flatnonzero(~np.isnan(people[:, 0])):
            found[row, number] = chest_in(window, camera, people[number])
    return found


def _train_depths(
    train: Depths, val: Depths, epochs: int, seed: int, device: str, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    """Train the network that sees how far in a hand is: a Laplace density."""
    import torch

    rng = np.random.default_rng([seed, 18])
    inward = torch.from_numpy(train.inward).to(device)

    def loss(network: Network, rows: torch.Tensor) -> torch.Tensor:
        picked = rows.numpy()
        both = np.concatenate([train.cuts[picked], train.faces[picked]], axis=3)
        cuts = _moved(both, DEPTH_SIDE, rng, shift=0.02).cuts
        seen = torch.from_numpy(depth_input(cuts[..., :3], cuts[..., 3:])).to(device)
        _relit(seen[:, :3], tint=0.2)
        said = network(seen)
        spread = said[:, 1].clamp(*LOG_SPREAD)
        apart = (said[:, 0] - inward[rows.to(device)]).abs()
        return (apart * (-spread).exp() + spread).mean()

    network = depth_network()
    every = torch.arange(len(train.inward))
    _fit(network, loss, lambda: every, epochs, device, partial(tell, "training on depths"))
    seen = depth_input(_middle(val.cuts, DEPTH_SIDE), _middle(val.faces, DEPTH_SIDE))
    with torch.inference_mode():
        said = np.concatenate(
            [network(torch.from_numpy(seen[i : i + 512])).numpy() for i in range(0, len(seen), 512)]
        )
    apart = np.abs(said[:, 0] - val.inward)
    return network, {
        "depths": len(train.inward),
        "depths_apart_m": float(np.median(apart)),
        "depths_log_loss": float(np.mean(apart * np.exp(-said[:, 1]) + said[:, 1] + np.log(2))),
        "depths_inside_auc": _auc(said[:, 0], (val.inward > 0).astype(float)),
    }


def _by_reach(said: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Log weights of the candidates of each reach, [reaches, most candidates], from all of them in a row."""
    import torch

    padded = torch.full((len(counts), max(counts)), -1e4, device=said.device)
    for row, part in enumerate(said.split(list(counts))):
        padded[row, : len(part)] = part
    return padded


# ---- all ---------------------------------------------------------------------------------------


def _of_plans(
    folder: Path,
    rows_of: Callable[[int, int], Iterator[NamedTuple]],
    plans: int,
    seed: int,
    workers: int,
    doing: str,
    tell: Progress,
) -> dict[str, dict[str, np.ndarray]]:
    """What is cut out of acted plans, column by column; plans that lie in the folder already are read from it."""
    from joblib import Parallel, delayed

    folder.mkdir(parents=True, exist_ok=True)
    todo = [n for n in range(plans) if not (folder / f"{n:04d}").is_dir()]
    runner = Parallel(n_jobs=workers, return_as="generator_unordered")
    jobs = runner(delayed(_keep_plan)(folder / f"{n:04d}", rows_of, seed, n) for n in todo)
    for done, _ in enumerate(jobs, 1):
        tell(doing, done / len(todo))
    last = plans - max(1, int(plans * VALIDATION_SHARE))
    return {"train": _loaded(folder, range(last)), "val": _loaded(folder, range(last, plans))}


def _keep_plan(
    folder: Path, rows_of: Callable[[int, int], Iterator[NamedTuple]], seed: int, number: int
) -> None:
    """Render one plan and keep what is cut out of it, one file a column; none where nothing was seen."""
    rows = list(rows_of(seed, number))
    with new_folder(folder) as draft:
        for column in rows[0]._fields if rows else ():
            np.save(draft / f"{column}.npy", np.stack([getattr(row, column) for row in rows]))


def _loaded(folder: Path, plans: range) -> dict[str, np.ndarray]:
    files = [file for n in plans for file in (folder / f"{n:04d}").glob("*.npy")]
    columns = {file.stem for file in files}
    return {c: np.concatenate([np.load(file) for file in files if file.stem == c]) for c in columns}


def _fit(
    network: torch.nn.Module,
    loss: Callable[[Network, torch.Tensor], torch.Tensor],
    epoch_rows: Callable[[], torch.Tensor],
    epochs: int,
    device: str,
    tell: Callable[[float], None],
    batch: int = BATCH,
) -> None:
    """Train a network on a device, in bfloat16 where that multiplies it; afterwards it is on the processor again.

    Args:
        loss: of the network on some rows.
        epoch_rows: the rows of one epoch, always as many.
    """
    import torch

    from checkout.vision.trainer import multiplies_bfloat16

    network.to(device)
    half = multiplies_bfloat16(torch.device(device))

    def asked(seen: torch.Tensor) -> torch.Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            said = network(seen)
        return said.float()

    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    steps = max(1, len(epoch_rows()) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps + 1)
    network.train()
    for epoch in range(epochs):
        rows = epoch_rows()
        order = rows[torch.randperm(len(rows))]
        for step in range(steps):
            error = loss(asked, order[step * batch : (step + 1) * batch])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            schedule.step()
        tell((epoch + 1) / epochs)
    network.cpu().eval()


class Moved(NamedTuple):
    """Cut-outs moved at random.

    Attributes:
        cuts: uint8 [n, side, side, channels].
        shift: in sides of the middle window, [n, 2].
        scale: of the window, [n].
        flip: -1 where mirrored, else 1, [n].
    """

    cuts: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    flip: np.ndarray


def _moved(wide: np.ndarray, side: int, rng: np.random.Generator, shift: float = 0.08) -> Moved:
    """Cut-outs, uint8 [n, wider, wider, 3 k], shifted by so many sides, scaled and mirrored.

    All channels of one move alike.
    """
    import cv2

    n, middle = len(wide), 0.5 * wide.shape[1]
    shifts, scale = rng.uniform(-shift, shift, (n, 2)), np.exp(rng.uniform(-0.15, 0.15, n))
    flip = np.where(rng.uniform(size=n) < 0.5, -1.0, 1.0)
    cuts = np.empty((n, side, side, wide.shape[3]), np.uint8)
    for row in range(n):
        across, down = flip[row] / scale[row], 1 / scale[row]
        x, y = middle + shifts[row] * side
        matrix = np.array([[across, 0, 0.5 * side - across * x], [0, down, 0.5 * side - down * y]])
        for first in range(0, wide.shape[3], 3):
            cuts[row, :, :, first : first + 3] = cv2.warpAffine(
                wide[row, :, :, first : first + 3], matrix, (side, side), borderMode=cv2.BORDER_REPLICATE
            )
    return Moved(cuts, shifts, scale, flip)


def _relit(seen: torch.Tensor, tint: float) -> torch.Tensor:
    """Cut-outs [n, channels, side, side] lit otherwise, each channel by up to half of `tint` more, and with noise."""
    import torch

    pictures = seen[:, :PICTURE_CHANNELS]

    def random(*shape: int) -> torch.Tensor:
        return torch.rand((len(seen), *shape), device=seen.device) - 0.5

    gain = (1 + random(1, 1, 1) * 0.4) * (1 + random(pictures.shape[1], 1, 1) * tint)
    noise = torch.randn_like(pictures) * 0.02
    seen[:, :PICTURE_CHANNELS] = pictures * gain + random(1, 1, 1) * 0.25 + noise
    return seen


def _middle(wide: np.ndarray, side: int) -> np.ndarray:
    """The middle window of wide cut-outs, as it is seen when the network is used."""
    edge = (wide.shape[1] - side) // 2
    return wide[:, edge : edge + side, edge : edge + side]


def _said(network: Any, cuts: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        parts = [network(as_input(cuts[i : i + 512])).numpy() for i in range(0, len(cuts), 512)]
    return np.concatenate(parts).astype(float)


def _auc(score: np.ndarray, true: np.ndarray) -> float:
    """Share of pairs, one true and one not, in which the true one has the higher score; NaN without both."""
    from scipy.stats import rankdata

    ones = float(true.sum())
    zeros = len(true) - ones
    if not ones or not zeros:
        return float("nan")
    return float((rankdata(score)[true > 0].sum() - ones * (ones + 1) / 2) / (ones * zeros))
