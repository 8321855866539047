"""What a real camera does to an ideal picture: exposure, colour, blur, motion blur, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sensor:
    """A camera's picture quality.

    Attributes:
        exposure: factor on the light.
        gains: of red, green and blue.
        blur_px: standard deviation of the lens's blur.
        noise: standard deviation, grey levels.
        shutter_s: how long one picture is exposed.
        crf: H.264's constant rate factor; more is worse.
    """

    exposure: float = 1.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_px: float = 0.0
    noise: float = 1.5
    shutter_s: float = 0.0
    crf: int = 26

    @classmethod
    def draw(cls, rng: np.random.Generator, *, wide: bool, light: float = 1.0) -> Sensor:
        """A sensor for a recording, or, when `wide`, for one training frame out of a wide range.

        A dim shop (`light` under 1) costs noise and a longer shutter.
        """
        spread = 1.0 if wide else 0.5
        red, blue = rng.normal(1.0, 0.07 * spread, 2)
        return cls(
            float(np.exp(rng.normal(0.0, 0.28 * spread))) * light**0.5,
            (float(red), 1.0, float(blue)),
            float(max(0.0, rng.normal(0.3, 0.6 * spread))),
            float(rng.uniform(0.5, 6.0 if wide else 3.0) / light),
            float(min(0.022, rng.uniform(0.002, 0.014) / light**2)),
            int(rng.integers(24, 31)),
        )

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One picture through the sensor, uint8 [height, width, 3]."""
        import cv2

        if self.blur_px > 0.35:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), self.blur_px))
        light = image.astype(np.float32) * (self.exposure * np.array(self.gains, np.float32))
        light = (
            255.0 * (1 - np.exp(-light / 175.0)) / (1 - np.exp(-255.0 / 175.0))
            if self.exposure > 1.25
            else light
        )
        light += rng.standard_normal(image.shape, np.float32) * np.float32(self.noise)
        return np.clip(light, 0, 255).astype(np.uint8)


def boxes_of(instances: np.ndarray) -> dict[int, tuple[int, int, int, int, int]]:
    """Each instance's box (x1, y1, x2, y2, pixels; the far edges are exclusive) and its number of pixels."""
    shown = instances >= 0
    if not shown.any():
        return {}
    ys, xs = np.nonzero(shown)
    ids = instances[ys, xs]
    order = np.argsort(ids, kind="stable")
    ids, xs, ys = ids[order], xs[order], ys[order]
    names, starts, counts = np.unique(ids, return_index=True, return_counts=True)
    x1, y1 = np.minimum.reduceat(xs, starts), np.minimum.reduceat(ys, starts)
    x2, y2 = np.maximum.reduceat(xs, starts) + 1, np.maximum.reduceat(ys, starts) + 1
    return {
        int(n): (int(a), int(b), int(c), int(d), int(k))
        for n, a, b, c, d, k in zip(names, x1, y1, x2, y2, counts, strict=True)
    }
