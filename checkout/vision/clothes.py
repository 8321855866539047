"""Tells people apart by their clothes: colours of a person box, and of the picture that the entry took.

Colours are counted in the middle of a box, where the body is. The picture of the entry shows the whole
person; which parts of them a shelf camera shows, and how much of what is behind, is unknown. So a box is
explained pixel by pixel as a mixture of the person's colours, of everybody's, and of any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BINS = (12, 3, 4)
"""Assumed: bins of hue, saturation and value."""
BOX_MIDDLE = (0.15, 0.85, 0.1, 0.85)
"""Assumed: where in a person box the body is: left, right, top and bottom, as shares of its sides."""
BODY_PARTS = {
    "head": (0.15, (0.25, 0.75, 0.0, 0.12)),
    "shirt": (0.5, (0.25, 0.75, 0.2, 0.45)),
    "trousers": (0.35, (0.25, 0.75, 0.55, 0.85)),
}
"""Where the parts are in a picture of an upright person (assumed), and how much of what shelf cameras show of a person
each is: chosen among four on six crowded validation recordings."""
SMOOTHING = 0.6
"""Chosen likewise among three: how far a colour may be off between two cameras, a standard deviation in bins."""
OWN_SHARE, COMMON_SHARE = 0.6, 0.3
"""Chosen likewise among two: share of a box's pixels in the person's own colours, and in those of all who came in."""


def look_of(image: np.ndarray, box: Sequence[float] | np.ndarray) -> np.ndarray:
    """Square root of the colour histogram of a box's middle; the product of two is Bhattacharyya's coefficient."""
    return np.asarray(np.sqrt(_colours(image, box, BOX_MIDDLE)))


def palette_of(picture: np.ndarray) -> np.ndarray:
    """The colours that a person seen at the entry shows in other cameras, as shares; `picture` is cut to the body."""
    from scipy.ndimage import gaussian_filter

    box = (0, 0, picture.shape[1], picture.shape[0])
    counts = sum(share * _colours(picture, box, part) for share, part in BODY_PARTS.values())
    blurred = gaussian_filter(np.reshape(counts, BINS), SMOOTHING, mode=("wrap", "nearest", "nearest"))
    return np.asarray(blurred.ravel() / blurred.sum())


def resemblance(palettes: Sequence[np.ndarray | None], looks: Sequence[np.ndarray]) -> np.ndarray:
    """How much more a box looks like each person than like all of them on the whole, [people, boxes].

    Mean log likelihood ratio of a pixel. Who has no palette (None) may be dressed in anything.
    """
    any_colour = 1 / np.prod(BINS)
    known = np.stack([np.full(int(np.prod(BINS)), any_colour) if p is None else p for p in palettes])
    rest = 1 - OWN_SHARE - COMMON_SHARE
    log_mixtures = np.log(OWN_SHARE * known + COMMON_SHARE * known.mean(axis=0) + rest * any_colour)
    score = log_mixtures @ np.square(np.stack(looks)).T
    return np.asarray(score - score.mean(axis=0))


def _colours(
    image: np.ndarray, box: Sequence[float] | np.ndarray, part: tuple[float, float, float, float]
) -> np.ndarray:
    """Shares of the colours in a part of a box, pixels; zeros where the part is empty."""
    import cv2

    x1, y1, x2, y2 = box
    wide, high = x2 - x1, y2 - y1
    left, right = int(max(x1 + part[0] * wide, 0)), int(max(x1 + part[1] * wide, 1))
    top, bottom = int(max(y1 + part[2] * high, 0)), int(max(y1 + part[3] * high, 1))
    pixels = np.ascontiguousarray(image[top : max(bottom, top + 1), left : max(right, left + 1)])
    if not pixels.size:
        return np.zeros(int(np.prod(BINS)))
    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256])
    return np.asarray(counts.ravel() / (hsv.shape[0] * hsv.shape[1]))
