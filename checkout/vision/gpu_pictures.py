"""A training set that lies on the GPU and is varied there.

Ultralytics varies pictures on the processor, one by one, and a small network on a GPU waits for them. Here all
pictures lie on the GPU, and whole batches are put together there, with the same variations: a mosaic of four,
turned, scaled, shifted and mirrored, in another light. What is drawn derives from the seed; sums on a GPU do not come
in a fixed order, so two trainings of one seed differ in the last digits and then more.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

GREY = 114.0
"""As in Ultralytics: what no picture covers."""
LEAST_SIDE_PX, LEAST_LEFT = 2.0, 0.1
"""As in Ultralytics: a box that is left narrower, or with less than this share of its area, is dropped."""
READERS = 16
"""Assumed: threads that read the pictures; OpenCV lets go of Python's lock."""


COPIED_AT_ONCE = 256
"""Assumed: a copy to the GPU costs less for many pictures together."""


class Variation(NamedTuple):
    """How pictures are varied, as Ultralytics' arguments of the same names say."""

    degrees: float
    translate: float
    scale: float
    fliplr: float
    hsv_h: float
    hsv_s: float
    hsv_v: float


class _Tiles(NamedTuple):
    """Which pictures stand where on each canvas.

    Attributes:
        picture: its number, [batch, tiles].
        corner: where its upper left corner lies, (x, y), pixels, [batch, tiles, 2].
    """

    picture: torch.Tensor
    corner: torch.Tensor


class GpuPictures:
    """Batches of an Ultralytics data set, in the form in which its trainer takes them.

    Args:
        dataset: Ultralytics' `YOLODataset`; its own transforms are not used.
        batch: pictures of a batch.
        side: of the square pictures that the network gets, pixels.
        seed: everything drawn derives from it.

    Attributes:
        mosaic: whether four pictures make one.
    """

    num_workers = 0
    drop_last = False

    def __init__(
        self, dataset: Any, *, batch: int, side: int, device: torch.device, variation: Variation, seed: int
    ) -> None:
        self.dataset, self.batch_size, self.mosaic = dataset, batch, True
        self._side, self._variation = side, variation
        self._random = torch.Generator(device).manual_seed(seed)
        count = len(dataset)
        self.sampler = range(count)
        self._pictures = torch.zeros((count, 3, side, side), dtype=torch.uint8, device=device)
        self._sizes = torch.zeros((count, 2), device=device)
        with ThreadPoolExecutor(READERS) as pool:
            read = pool.map(lambda i: dataset.load_image(i)[0], range(count))
            for first in range(0, count, COPIED_AT_ONCE):
                images = list(islice(read, COPIED_AT_ONCE))
                block = np.zeros((len(images), side, side, 3), np.uint8)
                for own, image in zip(block, images, strict=True):
                    own[: image.shape[0], : image.shape[1]] = image
                there = torch.from_numpy(block).to(device).permute(0, 3, 1, 2).flip(1)
                sizes = np.array([image.shape[1::-1] for image in images], np.float32)
                self._pictures[first : first + len(images)] = there
                self._sizes[first : first + len(images)] = torch.from_numpy(sizes).to(device)
        most = max(1, *(len(label["cls"]) for label in dataset.labels))
        classes = np.full((count, most), -1.0, np.float32)
        boxes = np.zeros((count, most, 4), np.float32)
        for number, label in enumerate(dataset.labels):
            classes[number, : len(label["cls"])] = label["cls"].reshape(-1)
            x, y, w, h = label["bboxes"].reshape(-1, 4).T
            boxes[number, : len(x)] = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        self._classes = torch.from_numpy(classes).to(device)
        self._boxes = torch.from_numpy(boxes).to(device) * self._sizes.repeat(1, 2)[:, None]

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        order = torch.randperm(len(self.sampler), generator=self._random, device=self._pictures.device)
        for first in range(0, len(order), self.batch_size):
            yield self._batch(order[first : first + self.batch_size])

    def reset(self) -> None:
        """Nothing is prepared ahead."""

    def _uniform(self, *shape: int, around: float = 0.0, by: float = 1.0) -> torch.Tensor:
        drawn = torch.rand(shape, generator=self._random, device=self._pictures.device)
        return around + by * (2 * drawn - 1)

    def _batch(self, chosen: torch.Tensor) -> dict[str, Any]:
        tiles, canvas = self._mosaic(chosen) if self.mosaic else self._single(chosen)
        placed, factor = self._placement(len(chosen), canvas)
        images = self._lit(self._drawn(tiles, placed))
        classes, boxes, kept = self._boxes_of(tiles, placed, factor, canvas)
        rows, columns = kept.nonzero(as_tuple=True)
        corners = boxes[rows, columns] / self._side
        middle, size = 0.5 * (corners[:, :2] + corners[:, 2:]), corners[:, 2:] - corners[:, :2]
        return {
            "img": (images * 255).round().to(torch.uint8),
            "cls": classes[rows, columns][:, None],
            "bboxes": torch.cat([middle, size], dim=1),
            "batch_idx": rows.float(),
            "im_file": [self.dataset.im_files[i] for i in chosen.tolist()],
        }

    def _single(self, chosen: torch.Tensor) -> tuple[_Tiles, int]:
        """One picture in the middle of each canvas, and the canvas' side."""
        return _Tiles(chosen[:, None], 0.5 * (self._side - self._sizes[chosen])[:, None]), self._side

    def _mosaic(self, chosen: torch.Tensor) -> tuple[_Tiles, int]:
        """Four pictures that meet at a point of each canvas, and the canvas' side."""
        others = torch.randint(
            len(self.sampler), (len(chosen), 3), generator=self._random, device=chosen.device
        )
        index = torch.cat([chosen[:, None], others], dim=1)
        meet = self._uniform(len(chosen), 1, 2, around=self._side, by=0.5 * self._side).round()
        before = torch.tensor([[1, 1], [0, 1], [1, 0], [0, 0]], device=chosen.device)
        return _Tiles(index, meet - before * self._sizes[index]), 2 * self._side

    def _placement(self, count: int, canvas: int) -> tuple[torch.Tensor, torch.Tensor]:
        """From a canvas to the picture that the network gets, [count, 2, 3], pixels; and how much it enlarges."""
        how, side = self._variation, self._side
        angle = torch.deg2rad(self._uniform(count, by=how.degrees))
        factor = self._uniform(count, around=1.0, by=how.scale)
        shift = side * self._uniform(count, 2, around=0.5, by=how.translate)
        mirror = torch.where(self._uniform(count, around=0.5, by=0.5) < how.fliplr, -1.0, 1.0)
        cos, sin = factor * torch.cos(angle), factor * torch.sin(angle)
        turn = torch.stack([torch.stack([cos * mirror, sin * mirror], 1), torch.stack([-sin, cos], 1)], 1)
        shift[:, 0] = torch.where(mirror < 0, side - shift[:, 0], shift[:, 0])
        move = shift - (turn @ torch.full((2, 1), canvas / 2, device=turn.device))[:, :, 0]
        return torch.cat([turn, move[:, :, None]], dim=2), factor

    def _drawn(self, tiles: _Tiles, placed: torch.Tensor) -> torch.Tensor:
        """The pictures, [batch, 3, side, side], 0 to 1; grey where no tile is."""
        side, device = self._side, placed.device
        back = torch.linalg.inv(placed[:, :, :2])
        at = torch.arange(side, device=device) + 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        pixels = torch.stack([x, y], dim=2).reshape(1, -1, 2) - placed[:, None, :, 2]
        on_canvas = (pixels @ back.transpose(1, 2)).reshape(len(placed), side, side, 2)
        drawn = torch.full((len(placed), 3, side, side), GREY / 255, device=device)
        for tile in range(tiles.picture.shape[1]):
            index = tiles.picture[:, tile]
            inside = on_canvas - tiles.corner[:, tile, None, None]
            there = ((inside >= 0) & (inside < self._sizes[index][:, None, None])).all(dim=3)
            seen = functional.grid_sample(
                self._pictures[index].float() / 255,
                inside * (2 / side) - 1,
                padding_mode="border",
                align_corners=False,
            )
            drawn = torch.where(there[:, None], seen, drawn)
        return drawn

    def _lit(self, images: torch.Tensor) -> torch.Tensor:
        """The pictures in another hue, saturation and brightness."""
        how, count = self._variation, len(images)
        angle = 2 * torch.pi * self._uniform(count, by=how.hsv_h)
        cos, sin = torch.cos(angle), torch.sin(angle)
        third = (1 - cos) / 3
        root = sin / 3**0.5
        same, next_, last = cos + third, third - root, third + root
        turn = torch.stack(
            [same, next_, last, last, same, next_, next_, last, same], dim=1
        ).reshape(count, 3, 3)  # fmt: skip
        images = torch.einsum("bij,bjhw->bihw", turn, images).clamp(0, 1)
        value = images.amax(dim=1, keepdim=True)
        least = images.amin(dim=1, keepdim=True)
        saturate = self._uniform(count, 1, 1, 1, around=1.0, by=how.hsv_s)
        saturate = torch.minimum(saturate, value / (value - least).clamp(min=1e-6))
        brighten = self._uniform(count, 1, 1, 1, around=1.0, by=how.hsv_v)
        return ((value - (value - images) * saturate) * brighten).clamp(0, 1)

    def _boxes_of(
        self, tiles: _Tiles, placed: torch.Tensor, factor: torch.Tensor, canvas: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Classes [batch, n] and corners [batch, n, 4], pixels, of each picture's boxes, and which of them stay."""
        count = len(placed)
        boxes = self._boxes[tiles.picture] + tiles.corner.repeat(1, 1, 2)[:, :, None]
        boxes = boxes.reshape(count, -1, 4).clamp(0, canvas)
        classes = self._classes[tiles.picture].reshape(count, -1)
        corners = boxes[:, :, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(count, -1, 2)
        moved = corners @ placed[:, :, :2].transpose(1, 2) + placed[:, None, :, 2]
        moved = moved.reshape(count, boxes.shape[1], 4, 2)
        inside = torch.cat([moved.amin(dim=2), moved.amax(dim=2)], dim=2).clamp(0, self._side)
        size, whole = inside[:, :, 2:] - inside[:, :, :2], boxes[:, :, 2:] - boxes[:, :, :2]
        left = size.prod(dim=2) / (whole.prod(dim=2) * factor[:, None] ** 2).clamp(min=1e-6)
        kept = (classes >= 0) & (size > LEAST_SIDE_PX).all(dim=2) & (left > LEAST_LEFT)
        return classes, inside, kept
