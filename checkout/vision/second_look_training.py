"""Trains the second look: hands cut from training frames, facings cut from before and after reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkout.output import check_free, new_file, new_folder
from checkout.vision.detector import Detector, overlaps
from checkout.vision.second_look import (
    CHANGES,
    SIDE,
    as_input,
    boxes_in,
    cut_region,
    cut_square,
    facing_network,
    facing_spaces,
    hand_network,
    hand_windows,
    placed_in,
)

if TYPE_CHECKING:
    import torch

    from checkout.render.glimpses import Glimpse
    from checkout.vision.training_data import Boxed

WIDE_SIDE = 80
"""Cut-outs are kept this large, pixels, so that training can shift and scale them."""
WIDE = WIDE_SIDE / SIDE
VALIDATION_SHARE, FEWEST_FRAMES = 0.08, 8
"""Assumed: so much of the frames and plans is only scored, and at least so many frames."""
SAME_HAND_IOU = 0.2
"""Assumed: a proposed box that overlaps a true hand this much is that hand's."""
ELSEWHERE = 3
"""Assumed: boxes of no hand for each picture, beside those that the detector wrongly proposes."""
UNCHANGED = 5
"""Assumed: facings that nobody reached into, for each pair of pictures."""
BATCH, LEARNING_RATE = 128, 2e-3
"""Assumed: cut-outs a step, and AdamW's highest rate in a one-cycle schedule."""
BOX_LOSS = 6.0
"""Assumed: weight of the box's error (smooth L1 over 0.05 sides) beside the two log losses."""
Progress = Callable[[str, float], None]


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
    """Cut-outs of facings before and after, uint8 [n, WIDE_SIDE, WIDE_SIDE, 3], and which of `CHANGES` it was, [n]."""

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray


def train_second_look(
    out: Path,
    *,
    frames: int = 3000,
    plans: int = 120,
    epochs: int = 14,
    seed: int = 1,
    real: Sequence[Path] = (),
    workers: int = 2,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train both networks, write their weights to `out`; returns their scores on pictures never trained on.

    What is rendered lies in `OUT.work` and is used again.

    Args:
        frames: rendered frames that hands are cut from.
        plans: acted plans whose reaches are looked at before and after.
        real: folders of real boxed hands (Pascal VOC), beside the rendered ones.

    Raises:
        InputError: `out` exists and `force` is not set, or a folder cannot be used.
    """
    import torch

    check_free(out, force=force)
    tell = progress or (lambda doing, share: None)
    work = out.with_suffix(".work")
    hands = _hands(work, frames, seed, real, workers, tell)
    pairs = _pairs(work, plans, seed, workers, tell)
    torch.manual_seed(seed)
    started = time.monotonic()
    hand_net, hand_scores = _train_hands(hands["train"], hands["val"], epochs, tell)
    facing_net, facing_scores = _train_facings(pairs["train"], pairs["val"], epochs, tell)
    scores = {**hand_scores, **facing_scores, "training_minutes": (time.monotonic() - started) / 60}
    with new_file(out, force=force) as draft:
        torch.save({"hand": _halved(hand_net), "facing": _halved(facing_net)}, draft)
    (work / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores


def _halved(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }


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
        for number, (picture, holding) in enumerate(pictures):
            rows += _cut_hands(picture, holding, detector, rng)
            tell(f"cutting hands ({split})", number / len(pictures))
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
    picture: Boxed, holding: np.ndarray, detector: Detector, rng: np.random.Generator
) -> list[Hands]:
    """Cut-outs of what the detector proposes, of true hands near their place, and of places without a hand."""
    true = picture.boxes[picture.labels == 0]
    proposed = detector.detect([picture.image])[0].of("hand").boxes_xyxy
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
    train: Hands, val: Hands, epochs: int, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    import torch
    from torch.nn import functional

    hand, holding, placed = (torch.from_numpy(x) for x in (train.hand, train.holding, train.placed))

    def loss(network: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        cuts, (shift, scale, flip) = _varied(as_input(train.cuts[rows.numpy()]))
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
    _fit(network, loss, len(train.hand), epochs, lambda share: tell("training on hands", share))
    said = _said(network, _middle(val.cuts))
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
    from joblib import Parallel, delayed

    folder = work / f"glimpses-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    todo = [n for n in range(plans) if not (folder / f"{n:04d}").is_dir()]
    runner = Parallel(n_jobs=workers, return_as="generator_unordered")
    for done, _ in enumerate(runner(delayed(_cut_plan)(folder / f"{n:04d}", seed, n) for n in todo), 1):
        tell("rendering reaches", done / len(todo))
    last = plans - max(1, int(plans * VALIDATION_SHARE))
    return {
        "train": _loaded([folder / f"{n:04d}" for n in range(last)]),
        "val": _loaded([folder / f"{n:04d}" for n in range(last, plans)]),
    }


def _cut_plan(folder: Path, seed: int, number: int) -> None:
    """Render one plan's reaches and keep the facings' cut-outs."""
    from checkout.render.glimpses import glimpses_of_plan

    rng = np.random.default_rng([seed, 12, number])
    rows = [pair for glimpse in glimpses_of_plan(seed, number) for pair in _cut_facings(glimpse, rng)]
    with new_folder(folder) as draft:
        for name, parts in zip(Pairs._fields, zip(*rows, strict=True), strict=True):
            np.save(draft / f"{name}.npy", np.stack(parts))


def _cut_facings(glimpse: Glimpse, rng: np.random.Generator) -> Iterator[Pairs]:
    """What changed, what was reached into, and some others; none that a hand is before."""
    from checkout.vision.shelf_moments import covered_by

    regions = facing_spaces(glimpse.planogram, glimpse.camera)
    free = sorted(set(regions) - covered_by(regions, glimpse.hands_xyxy))
    moved = [f for f in free if glimpse.change.get(f)]
    still = [f for f in free if f not in glimpse.change]
    reached = [f for f in still if f == glimpse.reached]
    others = [str(f) for f in rng.permutation(still)[:UNCHANGED]]
    for facing in dict.fromkeys([*moved, *reached, *others]):
        x1, y1, x2, y2 = regions[facing]
        more_x, more_y = 0.5 * (WIDE - 1) * (x2 - x1), 0.5 * (WIDE - 1) * (y2 - y1)
        wide = (x1 - more_x, y1 - more_y, x2 + more_x, y2 + more_y)
        gain = glimpse.change.get(facing, 0)
        name = "none" if not gain else "put_back" if gain > 0 else "pick"
        before, after = (cut_region(image, wide, WIDE_SIDE) for image in (glimpse.before, glimpse.after))
        yield Pairs(before, after, np.array(CHANGES.index(name)))


def _loaded(folders: Sequence[Path]) -> Pairs:
    return Pairs(*(np.concatenate([np.load(f / f"{name}.npy") for f in folders]) for name in Pairs._fields))


def _train_facings(
    train: Pairs, val: Pairs, epochs: int, tell: Progress
) -> tuple[torch.nn.Module, dict[str, float]]:
    import torch
    from torch.nn import functional

    change = torch.from_numpy(train.change).long()

    def loss(network: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        picked = rows.numpy()
        # Played backwards, a pick is a put-back.
        back = torch.rand(len(rows)) < 0.5
        turned = back.numpy()[:, None, None, None]
        before, after = train.before[picked], train.after[picked]
        both = np.concatenate([np.where(turned, after, before), np.where(turned, before, after)], axis=3)
        cuts, _ = _varied(as_input(both))
        label = change[rows]
        label = torch.where(back & (label > 0), 3 - label, label)
        return functional.cross_entropy(network(cuts), label, label_smoothing=0.02)

    network = facing_network()
    _fit(network, loss, len(train.change), epochs, lambda share: tell("training on facings", share))
    said = _said(network, _middle(np.concatenate([val.before, val.after], axis=3)))
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


# ---- both --------------------------------------------------------------------------------------


def _fit(
    network: torch.nn.Module,
    loss: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor],
    rows: int,
    epochs: int,
    tell: Callable[[float], None],
) -> None:
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    steps = max(1, rows // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps + 1)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(rows)
        for step in range(steps):
            error = loss(network, order[step * BATCH : (step + 1) * BATCH])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            schedule.step()
        tell((epoch + 1) / epochs)
    network.eval()


def _varied(wide: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Wide cut-outs shifted, scaled, mirrored and lit otherwise; [n, channels, SIDE, SIDE].

    All channels of a cut-out move alike; each picture of a pair gets a light of its own.

    Returns:
        the cut-outs; the shift [n, 2] and the scale [n] in sides of the middle window, and -1 where mirrored [n].
    """
    import torch
    from torch.nn import functional

    n, channels = wide.shape[:2]
    scale = torch.exp((torch.rand(n) - 0.5) * 0.3)
    shift = (torch.rand(n, 2) - 0.5) * 0.16
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    grid = torch.zeros(n, 2, 3)
    grid[:, 0, 0], grid[:, 1, 1] = scale * flip / WIDE, scale / WIDE
    grid[:, :, 2] = 2 * shift / WIDE
    at = functional.affine_grid(grid, [n, channels, SIDE, SIDE], align_corners=False)
    cuts = functional.grid_sample(wide, at, align_corners=False, padding_mode="border")
    gain = 1 + (torch.rand(n, 1, 1, 1) - 0.5) * 0.4
    offset = (torch.rand(n, 1, 1, 1) - 0.5) * 0.25
    tint = 1 + (torch.rand(n, channels, 1, 1) - 0.5) * (0.3 if channels == 3 else 0.06)
    return cuts * gain * tint + offset + torch.randn_like(cuts) * 0.02, (shift, scale, flip)


def _middle(wide: np.ndarray) -> np.ndarray:
    """The middle window of wide cut-outs, as it is seen when the network is used."""
    edge = (WIDE_SIDE - SIDE) // 2
    return wide[:, edge : edge + SIDE, edge : edge + SIDE]


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
