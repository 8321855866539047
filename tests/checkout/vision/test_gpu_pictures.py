"""Pictures that lie on the GPU: varied there, boxes stay on their things. Run on the CPU, where torch does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from checkout.cli import main
from checkout.vision.gpu_pictures import GREY, GpuPictures, Variation

SIDE = 64
STILL = Variation(degrees=0.0, translate=0.0, scale=0.0, fliplr=0.0, hsv_h=0.0, hsv_s=0.0, hsv_v=0.0)


class Pictures:
    """What `GpuPictures` asks of an Ultralytics data set: dark pictures, each with one bright thing or none."""

    def __init__(
        self, boxes: list[tuple[int, int, int, int] | None], size: tuple[int, int] = (48, SIDE)
    ) -> None:
        self.images, self.labels, self.im_files = [], [], []
        height, width = size
        for number, box in enumerate(boxes):
            image = np.full((height, width, 3), 20, np.uint8)
            rows = np.zeros((0, 4), np.float32)
            if box is not None:
                x1, y1, x2, y2 = box
                image[y1:y2, x1:x2] = 250
                middle = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
                rows = np.array([[*middle, (x2 - x1) / width, (y2 - y1) / height]], np.float32)
            self.images.append(image)
            self.labels.append({"cls": np.full((len(rows), 1), number % 3, np.float32), "bboxes": rows})
            self.im_files.append(f"{number}.jpg")

    def __len__(self) -> int:
        return len(self.images)

    def load_image(self, number: int) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
        image = self.images[number]
        return image, image.shape[:2], image.shape[:2]


def loader(pictures: Pictures, variation: Variation = STILL, *, batch: int = 4, seed: int = 1) -> GpuPictures:
    return GpuPictures(
        pictures, batch=batch, side=SIDE, device=torch.device("cpu"), variation=variation, seed=seed
    )


def corners(batch: dict, picture: int) -> np.ndarray:
    rows = batch["bboxes"][batch["batch_idx"] == picture].numpy() * SIDE
    return np.hstack([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2])


def test_without_variation_a_picture_stands_in_the_middle_as_it_is() -> None:
    pictures = Pictures([(10, 8, 30, 20)])
    made = loader(pictures)
    made.mosaic = False
    (batch,) = list(made)
    shown = batch["img"][0].numpy().transpose(1, 2, 0)
    assert (shown[8:56] == pictures.images[0][:, :, ::-1]).all()
    assert (shown[:8] == GREY).all()
    assert corners(batch, 0) == pytest.approx(np.array([[10, 16, 30, 28]]))
    assert batch["cls"].tolist() == [[0.0]]


@pytest.mark.parametrize("mosaic", [True, False])
def test_boxes_stay_on_their_things(mosaic: bool) -> None:
    varied = STILL._replace(translate=0.1, scale=0.5, fliplr=0.5)
    pictures = Pictures([(10, 8, 30, 20), (30, 20, 60, 44), None, (2, 2, 22, 30)])
    made = loader(pictures, varied)
    made.mosaic = mosaic
    seen = 0
    for _ in range(10):
        (batch,) = list(made)
        for number in range(4):
            bright = (batch["img"][number] > 180).all(dim=0).numpy()
            for x1, y1, x2, y2 in corners(batch, number):
                assert 0 <= x1 < x2 <= SIDE + 1e-3
                assert 0 <= y1 < y2 <= SIDE + 1e-3
                inside = bright[round(y1) : round(y2), round(x1) : round(x2)]
                assert inside.mean() > 0.75
                seen += 1
            covered = np.zeros_like(bright)
            for x1, y1, x2, y2 in np.round(corners(batch, number)).astype(int):
                covered[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
            # What is bright beyond boxes are slivers of things that the picture's border cut.
            assert (bright & ~covered)[4:-4, 4:-4].mean() < 0.03
    assert seen >= 30


def test_turned_boxes_hold_their_things() -> None:
    made = loader(Pictures([(20, 12, 44, 36)] * 4), STILL._replace(degrees=30.0))
    made.mosaic = False
    (batch,) = list(made)
    for number in range(4):
        ys, xs = np.nonzero((batch["img"][number] > 128).all(dim=0).numpy())
        bright = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert corners(batch, number)[0] == pytest.approx(bright, abs=1.5)


def test_light_changes_the_hue_little_and_the_brightness_much() -> None:
    made = loader(Pictures([(0, 0, SIDE, 48)] * 8), STILL._replace(hsv_v=0.5), batch=8)
    made.mosaic = False
    (batch,) = list(made)
    middle = batch["img"][:, :, 32, 32].float()
    assert (middle.amax(dim=1) - middle.amin(dim=1)).max() <= 1
    assert middle.std() > 20


def test_every_picture_comes_once_a_round_and_the_seed_decides_the_rest() -> None:
    pictures = Pictures([(10, 8, 30, 20)] * 7)
    varied = STILL._replace(scale=0.5)
    made = loader(pictures, varied, batch=3)
    batches = list(made)
    assert len(made) == len(batches) == 3
    assert sorted(name for batch in batches for name in batch["im_file"]) == sorted(pictures.im_files)
    again = list(loader(pictures, varied, batch=3))
    assert all((a["img"] == b["img"]).all() for a, b in zip(batches, again, strict=True))
    other = list(loader(pictures, varied, batch=3, seed=2))
    assert not all((a["img"] == b["img"]).all() for a, b in zip(batches, other, strict=True))


@pytest.mark.parametrize(
    ("device", "said"),
    [("0,1", "expected cpu or one GPU"), ("gpu", "expected cpu or one GPU"), ("99", "torch sees")],
)
def test_a_device_that_is_none_is_said_before_anything_is_rendered(
    device: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("train", "train-second-look"):
        out = tmp_path / ("second.pt" if "second" in command else "out")
        with pytest.raises(SystemExit) as left:
            main([command, "--out", str(out), "--device", device])
        assert left.value.code == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
