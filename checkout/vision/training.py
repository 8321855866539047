"""Trains the detector: rendered frames, real boxed frames beside them, weights and a model card out."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checkout.errors import InputError
from checkout.output import check_free
from checkout.vision import training_data
from checkout.vision.detector import CLASSES, SHIPPED_NAME, load_model

ARCHITECTURE = "yolo26n.yaml"
VALIDATION_SHARE = 0.06
MOST_VALIDATION = 150
"""Rendered frames that a training is scored on after each epoch, at most."""
BATCH = {"cpu": 16, "gpu": 192}
"""Pictures a step. Ultralytics would gather gradients up to 64 pictures: too few steps for a short training."""
LEARNING_RATE = {"cpu": 0.0015, "gpu": 0.0037}
"""Of AdamW at the start, from scratch."""
FROM_WEIGHTS = 0.3
"""Assumed: a training that starts from weights has so much of that rate, so as to keep what they know."""
CLASS_BALANCE = 0.5
"""Power of the inverse class frequency in the loss: there are fifteen items for every hand."""


def train(
    out: Path,
    *,
    frames: int = 1500,
    epochs: int = 12,
    imgsz: int = 416,
    seed: int = 1,
    real: Sequence[Path] = (),
    real_test: Path | None = None,
    weights: str | None = None,
    blend: float = 1.0,
    resume: bool = False,
    workers: int = 2,
    device: str | None = None,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Train a detector of hands, items and people; returns the weights file.

    Args:
        out: folder for the weights, their OpenVINO form, the model card, and `work/` with the frames
            and the state that `resume` goes on from.
        frames: rendered training frames.
        imgsz: longer side of the network's picture, pixels.
        real: folders of real pictures, see `training_data.load_real`.
        real_test: such a folder that is only scored, never trained on.
        weights: an Ultralytics checkpoint to start from; None starts from scratch.
        blend: share of what was trained in the weights that are written, the rest being `weights` (Wortsman et al.
            2022, "Robust fine-tuning of zero-shot models": a mean of both often keeps what each knows).
        progress: called with what is being done and the share done, 0-1.

    Raises:
        InputError: a folder cannot be used, `out` holds weights already and `force` is not set, `weights` are none
            that can be trained, or a blend is asked for that is no share, without weights to start from, or with
            weights of other classes.
    """
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    _check_start(weights, blend)
    tell = progress or (lambda doing, share: None)
    kind = kind_of(device)
    target = out / f"{SHIPPED_NAME}.pt"
    check_free(target, force=force or resume)
    work = out / "work"
    last = work / "run" / "weights" / "last.pt"
    if resume and not last.is_file():
        raise InputError(last, "", "does not exist, so there is nothing to resume", "train without --resume")
    if not resume:
        shutil.rmtree(work / "run", ignore_errors=True)
        _data_set(work, frames, imgsz, seed, real, workers, tell)
        (work / "start.json").write_text(json.dumps({"weights": weights, "blend": blend}))
    elif (work / "start.json").is_file():
        begun = json.loads((work / "start.json").read_text())
        weights, blend = begun["weights"], begun["blend"]

    from ultralytics import YOLO

    from checkout.vision.trainer import FastTrainer

    started = time.monotonic()
    model = YOLO(str(last) if resume else (weights or ARCHITECTURE), task="detect")

    def epoch_done(trainer: Any) -> None:
        tell("training", (trainer.epoch + 1) / trainer.epochs)

    model.add_callback("on_fit_epoch_end", epoch_done)
    if resume:
        model.train(trainer=FastTrainer, resume=True)
    else:
        model.train(
            trainer=FastTrainer,
            data=str(work / "data" / "data.yaml"),
            epochs=epochs,
            imgsz=imgsz,
            batch=BATCH[kind],
            nbs=BATCH[kind],
            cls_pw=CLASS_BALANCE,
            seed=seed,
            device=device,
            workers=0,
            cache="ram" if kind == "cpu" else False,
            pretrained=weights is not None,
            project=str(work.resolve()),
            name="run",
            exist_ok=True,
            amp=False,
            deterministic=kind == "cpu",
            optimizer="AdamW",
            lr0=LEARNING_RATE[kind] * (FROM_WEIGHTS if weights else 1.0),
            warmup_epochs=0.5,
            cos_lr=True,
            close_mosaic=max(1, epochs // 4),
            hsv_h=0.03,
            hsv_s=0.6,
            hsv_v=0.5,
            degrees=5.0,
            scale=0.5,
            fliplr=0.5,
            verbose=False,
            plots=False,
        )
    seconds = time.monotonic() - started
    best = work / "run" / "weights" / "best.pt"
    shutil.copy(best, target)
    forget_places(target)
    if blend < 1:
        blend_weights(target, str(weights), blend)
    tell("exporting", 0.0)
    exported = export_openvino(target, imgsz)
    scores = {
        "rendered frames of other seeds (validation)": _score(target, work / "data" / "data.yaml", imgsz)
    }
    if any((work / "data" / "images" / "held-out").iterdir()):
        scores["outlined real pictures, the fifth held out"] = _score(
            target, work / "data" / "held-out.yaml", imgsz
        )
    if real_test is not None:
        scores[f"real frames `{real_test.name}` (never trained on)"] = _score(
            target, _real_test_set(work / "real-test", real_test), imgsz
        )
    curves = work / "run" / "results.csv"
    if curves.is_file():
        shutil.copy(curves, out / f"{SHIPPED_NAME}.curves.csv")
    _write_card(out / f"{SHIPPED_NAME}.md", work, seconds, scores, exported, blend)
    return target


def torch_device(device: str | None) -> str:
    """What torch calls a device, "cpu" or "cuda:0"; without one, what Ultralytics would choose.

    Raises:
        InputError: several are named, there is none of that name, or torch cannot use it.
    """
    import torch

    if device is None:
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    number = "0" if device == "cuda" else device.removeprefix("cuda:")
    if not number.isdigit():
        raise InputError(
            "--device", "", f"{device!r}, expected cpu or one GPU's number", "name one, for example 0"
        )
    if int(number) >= torch.cuda.device_count():
        problem = f"{device!r}, but torch sees {torch.cuda.device_count()} GPUs"
        raise InputError("--device", "", problem, "leave it out to train on what there is")
    return f"cuda:{number}"


def kind_of(device: str | None) -> str:
    """Whether training on a device is on a "gpu" or on a "cpu", see `torch_device`."""
    return "cpu" if torch_device(device) == "cpu" else "gpu"


def forget_places(weights: Path) -> None:
    """Take out of a checkpoint what only the machine that trained it needs: paths, git state, its own model class."""
    import torch

    from checkout.vision.trainer import plain_model

    checkpoint = torch.load(weights, map_location="cpu", weights_only=False)
    checkpoint.pop("git", None)
    for part in ("model", "ema"):
        plain_model(checkpoint.get(part))
    if hasattr(checkpoint.get("model"), "pt_path"):
        checkpoint["model"].pt_path = weights.name
    for holder in (checkpoint.get("train_args"), getattr(checkpoint.get("model"), "args", None)):
        if isinstance(holder, dict):
            holder.update({k: Path(v).name for k, v in holder.items() if isinstance(v, str) and os.sep in v})
    torch.save(checkpoint, weights)


def _check_start(weights: str | None, blend: float) -> None:
    """Refuse weights that cannot be trained, and a blend that could not be made, before anything is rendered."""
    if not 0 < blend <= 1:
        raise InputError("--blend", "", f"{blend:g}, expected a share over 0 and up to 1")
    if weights is None:
        if blend < 1:
            problem = f"{blend:g} without weights to start from"
            raise InputError("--blend", "", problem, "name them with --weights")
        return
    if Path(weights).suffix != ".pt":
        raise InputError(weights, "", "is not a checkpoint that can be trained, expected .pt")
    names = load_model(Path(weights)).names
    if blend < 1 and names != dict(enumerate(CLASSES)):
        problem = f"{len(names)} classes, a blend needs exactly {', '.join(CLASSES)}"
        raise InputError(weights, "names", problem, "train from them without --blend")


def blend_weights(target: Path, start: str, share: float) -> None:
    """Make each number of a checkpoint the mean of its own, by `share`, and that of the weights it started from."""
    import torch
    from ultralytics import YOLO

    checkpoint = torch.load(target, map_location="cpu", weights_only=False)
    model = checkpoint.get("ema") or checkpoint["model"]
    kind = next(model.parameters()).dtype
    before: dict[str, torch.Tensor] = YOLO(start).model.float().state_dict()  # type: ignore[union-attr]
    mean = {
        key: (share * value + (1 - share) * before[key] if value.is_floating_point() else value)
        for key, value in model.float().state_dict().items()
    }
    model.load_state_dict(mean)
    model.to(kind)
    torch.save(checkpoint, target)


def export_openvino(weights: Path, imgsz: int) -> Path:
    """The weights' OpenVINO form in half precision, beside them; returns its folder."""
    from ultralytics import YOLO

    return Path(
        YOLO(str(weights)).export(format="openvino", half=True, dynamic=True, imgsz=imgsz, verbose=False)
    )


def _data_set(
    work: Path,
    frames: int,
    imgsz: int,
    seed: int,
    real: Sequence[Path],
    workers: int,
    tell: Callable[[str, float], None],
) -> None:
    from checkout.render.frames import render_training_frames

    facts = {"frames": frames, "imgsz": imgsz, "seed": seed, "real": [p.name for p in real]}
    stamp = work / "data" / "facts.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == facts:
        return
    rendered = work / f"frames-{frames}-{seed}"
    if not rendered.is_dir():
        render_training_frames(
            rendered,
            count=frames,
            val_count=min(MOST_VALIDATION, max(8, int(frames * VALIDATION_SHARE))),
            seed=seed,
            workers=workers,
            progress=lambda done, of: tell("rendering training frames", done / of),
        )
    training_data.build(work / "data", rendered, real, imgsz=imgsz, seed=seed, workers=workers, tell=tell)
    stamp.write_text(json.dumps(facts))


def _real_test_set(out: Path, folder: Path) -> Path:
    import cv2

    shutil.rmtree(out, ignore_errors=True)
    for kind in ("images", "labels"):
        (out / kind / "val").mkdir(parents=True)
    for number, picture in enumerate(training_data.voc_pictures(folder)):
        cv2.imwrite(str(out / "images" / "val" / f"{number:05d}.png"), picture.image)
        (out / "labels" / "val" / f"{number:05d}.txt").write_text(training_data.yolo_rows(picture))
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(CLASSES))
    data = out / "data.yaml"
    data.write_text(f"path: {out.resolve()}\ntrain: images/val\nval: images/val\nnames:\n{names}\n")
    return data


def _score(weights: Path, data: Path, imgsz: int) -> dict[str, dict[str, float]]:
    """mAP50 and mAP50-95 of each class that occurs in the set, by Ultralytics' own validation."""
    from ultralytics import YOLO

    result = YOLO(str(weights)).val(data=str(data), imgsz=imgsz, workers=0, plots=False, verbose=False)
    return {
        CLASSES[int(c)]: {
            "mAP50": float(result.box.ap50[i]),
            "mAP50-95": float(result.box.ap[i]),
            "boxes": int(result.nt_per_class[int(c)]),
        }
        for i, c in enumerate(result.box.ap_class_index)
    }


def _write_card(
    path: Path,
    work: Path,
    seconds: float,
    scores: dict[str, dict[str, dict[str, float]]],
    exported: Path,
    blend: float,
) -> None:
    import yaml

    facts = json.loads((work / "data" / "facts.json").read_text())
    args = yaml.safe_load((work / "run" / "args.yaml").read_text())
    start = Path(args["model"]).name if args.get("pretrained") else f"{ARCHITECTURE} from scratch"
    if blend < 1:
        start += f"; the weights are {blend:g} of what was trained and {1 - blend:g} of these"
    real = ", ".join(f"`{name}`" for name in facts["real"]) or "none"
    held = json.loads((work / "data" / "counts.json").read_text())
    counts = ", ".join(f"{number} {kind}" for kind, number in held.items())
    lines = [
        f"# {SHIPPED_NAME}",
        "Finds hands, items (any product) and people at a shelf. It does not name products.",
        "",
        "| | |",
        "|---|---|",
        f"| start | {start} |",
        f"| data | {facts['frames']} rendered frames, seed {facts['seed']}; real: {real} |",
        f"| pictures | {counts} |",
        f"| training | {args['epochs']} epochs at {args['imgsz']} px, batch {args['batch']}, seed {args['seed']} |",
        f"| time of the last run | {seconds / 60:.0f} minutes on {platform.machine()}, {os.cpu_count()} cores |",
        f"| versions | ultralytics {version('ultralytics')}, torch {version('torch')} |",
        f"| files | `{SHIPPED_NAME}.pt`, `{exported.name}/` (half precision), `{SHIPPED_NAME}.curves.csv` |",
        "| licence | AGPL-3.0-or-later |",
        "",
        "## Scores",
        "Measured by `checkout train` when it ended, with Ultralytics' validation.",
        "",
        "| set | class | boxes | mAP50 | mAP50-95 |",
        "|---|---|---|---|---|",
    ]
    for name, classes in scores.items():
        for label, score in classes.items():
            lines.append(
                f"| {name} | {label} | {score['boxes']:.0f} | {score['mAP50']:.3f} | {score['mAP50-95']:.3f} |"
            )
    lines += [
        "",
        "## Limits",
        "Most of what it saw is rendered. Real people, cameras, gloves, trolleys and crowds were shown to it only as",
        "far as the real folders above hold them; a class that these do not box was learnt from rendered frames alone.",
    ]
    path.write_text("\n".join(lines) + "\n")
