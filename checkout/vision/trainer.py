"""Ultralytics' trainer with what makes it fast: memory order, half precision where it pays, every core of a CPU, and
pictures that lie on the GPU. Where a picture may show things that have no box, that none is there is not taught."""

from __future__ import annotations

import os
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.ops import xywh2xyxy
from ultralytics.utils.tal import make_anchors

from checkout.vision.detector import CLASSES
from checkout.vision.gpu_pictures import GpuPictures, Variation
from checkout.vision.training_data import UNBOXED


class _TaughtEntropy(torch.nn.BCEWithLogitsLoss):
    """The cross entropy of each score, none where `unboxed` says so and the score should be zero."""

    def __init__(self) -> None:
        super().__init__(reduction="none")
        self.unboxed = torch.zeros(0, dtype=torch.bool)

    def forward(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return super().forward(scores, targets).masked_fill(self.unboxed & (targets == 0), 0.0)


class UnboxedLoss(v8DetectionLoss):
    """The loss of boxes and classes, but for classes that may be where they have no box.

    A batch's boxes of class `UNBOXED` + c are no things: within them, a place that no box claims for class c adds
    nothing to the loss, whatever the score of c there.
    """

    def __init__(self, model: torch.nn.Module, **options: Any) -> None:
        super().__init__(model, **options)
        self.bce: _TaughtEntropy = _TaughtEntropy()

    def get_assigned_targets_and_loss(
        self, preds: dict[str, Any], batch: dict[str, Any], **options: Any
    ) -> Any:
        labels = batch["cls"].view(-1)
        regions = labels >= UNBOXED
        self.bce.unboxed = self._where(preds, batch, regions, labels)
        things = {key: batch[key][~regions] for key in ("batch_idx", "cls", "bboxes")}
        return super().get_assigned_targets_and_loss(preds, {**batch, **things}, **options)

    def _where(
        self, preds: dict[str, Any], batch: dict[str, Any], regions: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Which places [batch, anchors, classes] lie where a class may have no box."""
        first: Any = self.stride
        anchors, strides = make_anchors(preds["feats"], self.stride, 0.5)
        height, width = preds["feats"][0].shape[2:]
        size = first[0] * torch.tensor([width, height], device=self.device)
        places = (anchors * strides).to(self.device) / size
        corners = xywh2xyxy(batch["bboxes"][regions].to(self.device))[:, None]
        inside = ((places >= corners[..., :2]) & (places <= corners[..., 2:])).all(dim=2)
        where = torch.zeros((len(preds["scores"]), self.nc, len(places)), device=self.device)
        picture, label = batch["batch_idx"][regions].long(), labels[regions].long() - UNBOXED
        where.index_put_((picture.to(self.device), label.to(self.device)), inside.float(), accumulate=True)
        return where.transpose(1, 2) > 0


class TaughtModel(DetectionModel):
    """A detection model that is taught by `UnboxedLoss`."""

    def init_criterion(self) -> Any:
        network: Any = self.model
        two_heads = getattr(network[-1], "one2one_cv2", None) is not None
        return E2ELoss(self, UnboxedLoss) if two_heads else UnboxedLoss(self)


class HalfForwardModel(TaughtModel):
    """The same with convolutions in bfloat16 while it is trained; its losses stay in single precision."""

    def _predict_once(self, x: Any, *args: Any, **options: Any) -> Any:
        if not self.training:
            return super()._predict_once(x, *args, **options)
        with torch.autocast(x.device.type if isinstance(x, torch.Tensor) else "cpu", torch.bfloat16):
            found = super()._predict_once(x, *args, **options)
        return _single_precision(found)


class FastTrainer(DetectionTrainer):
    """Keeps pictures and weights in channels-last order and uses every core; Ultralytics leaves one idle.

    Measured on 2 cores: channels-last makes a 3x3 convolution 1.6 times as fast, a training step 1.2 times;
    bfloat16, on a processor that multiplies it, another 1.5 times. On a GPU the pictures lie there (`GpuPictures`).
    """

    def get_dataloader(
        self, dataset_path: Any, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        if self.device.type != "cuda" or mode != "train":
            return super().get_dataloader(dataset_path, batch_size, rank, mode)
        variation = Variation(**{name: getattr(self.args, name) for name in Variation._fields})
        return GpuPictures(
            self.build_dataset(dataset_path, mode, batch_size),
            batch=batch_size,
            side=self.args.imgsz,
            device=self.device,
            variation=variation,
            seed=self.args.seed,
        )

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """A data set that may hold boxes of the classes `UNBOXED` + c beside those of each class c."""
        data = self.data
        extra = {UNBOXED + label: f"unboxed {name}" for label, name in enumerate(CLASSES)}
        self.data = {**data, "names": {**data["names"], **extra}, "nc": data["nc"] + len(extra)}
        try:
            return super().build_dataset(img_path, mode, batch)
        finally:
            self.data = data

    def get_class_counts(self) -> Any:
        return super().get_class_counts()[: self.data["nc"]]

    def _close_dataloader_mosaic(self) -> None:
        if isinstance(self.train_loader, GpuPictures):
            self.train_loader.mosaic = False
        else:
            super()._close_dataloader_mosaic()

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        model = super().get_model(cfg, weights, verbose)
        model.__class__ = HalfForwardModel if multiplies_bfloat16(self.device) else TaughtModel
        return model

    def setup_model(self) -> Any:
        checkpoint = super().setup_model()
        if self.device.type == "cpu":
            torch.set_num_threads(os.cpu_count() or 1)
        if isinstance(self.model, torch.nn.Module):
            self.model = self.model.to(memory_format=torch.channels_last)
        return checkpoint

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether this processor or GPU has instructions for bfloat16; others only emulate it, slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii") as facts:
            flags = facts.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def plain_model(model: Any) -> None:
    """Make Ultralytics' own model of one that was trained here, so that its file loads anywhere."""
    if isinstance(model, TaughtModel):
        object.__setattr__(model, "__class__", DetectionModel)


def _single_precision(found: Any) -> Any:
    """The same nest of tensors, each float32."""
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, dict):
        return {key: _single_precision(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_single_precision(value) for value in found)
    return found
