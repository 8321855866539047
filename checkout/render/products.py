"""Groceries that the renderer draws itself: packages of real sizes, labels, weights and prices.

A brand's package in several flavours is a look-alike group: same shape and design, other emblem.
In about half of the groups the flavours weigh the same, and packages of one size class weigh the
same across brands, as real cans do. Pack sizes are published for the classes of the
`grocery-instances` data set (MIT, josh-rdc/grocery-detection-segmentation-webapp: `classes.csv`,
"unit of measurement per instance"); packaging weights, outer dimensions and prices are assumed.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from checkout.catalog import Product

LABEL_PX = 256
Kind = Literal["bottle", "can", "tin", "jar", "carton", "box", "bag", "cup"]
TRAINING_FLAVOURS = {
    "lemon": (0.15, 0.95, 0.95), "cherry": (0.97, 0.85, 0.75), "lime": (0.30, 0.85, 0.75), "berry": (0.78, 0.7, 0.65),
    "orange": (0.08, 0.95, 0.98), "mint": (0.45, 0.6, 0.8), "plain": (0.58, 0.15, 0.95), "cocoa": (0.06, 0.75, 0.42),
}  # fmt: skip
TEST_FLAVOURS = {
    "peach": (0.05, 0.55, 0.98), "grape": (0.83, 0.75, 0.5), "honey": (0.12, 0.85, 0.85), "herb": (0.36, 0.65, 0.5),
    "salt": (0.55, 0.45, 0.85), "chili": (0.0, 0.95, 0.85), "nut": (0.09, 0.55, 0.6), "rose": (0.92, 0.45, 0.9),
}  # fmt: skip
"""Flavour -> hue, saturation, value of its emblem."""
TRAINING_BRANDS = ("ALMO", "BRIVA", "CORDIS", "DUNEL", "ERSTO", "FJALL", "GRANO", "HOLTE", "IVERA", "JUNO",
                   "VANTO", "WELDA")  # fmt: skip
TEST_BRANDS = ("KALVO", "LUMEN", "MERIT", "NORDA", "OPALE", "PRIMO", "QUELL", "RIVOLI", "SOLEA", "TARRO",
               "ULMA", "ZENTA")  # fmt: skip
TRAINING_DESIGNS, TEST_DESIGNS = range(4), range(4, 8)
GROUP_SIZES = (2, 3)


@dataclass(frozen=True)
class Package:
    """A kind of package on the market.

    Attributes:
        half_x_m, half_y_m: half its width, and half its depth.
        weight_g: gross weight of a full package.
        price: range, dollars.
        size: what the label says it holds.
    """

    name: str
    kind: Kind
    half_x_m: float
    half_y_m: float
    height_m: float
    weight_g: float
    price: tuple[float, float]
    size: str


PACKAGES = (
    Package("soda", "bottle", 0.031, 0.031, 0.195, 346.0, (0.9, 1.6), "320 ml"),
    Package("cola", "bottle", 0.052, 0.052, 0.290, 1985.0, (1.5, 2.6), "1.9 l"),
    Package("oil", "bottle", 0.040, 0.040, 0.270, 962.0, (3.2, 5.9), "1 l"),
    Package("ketchup", "bottle", 0.034, 0.027, 0.205, 577.0, (1.9, 3.4), "530 g"),
    Package("shampoo", "bottle", 0.030, 0.020, 0.165, 206.0, (2.4, 4.9), "180 ml"),
    Package("soy-sauce", "bottle", 0.030, 0.030, 0.205, 472.0, (1.8, 3.2), "385 ml"),
    Package("hand-gel", "bottle", 0.033, 0.033, 0.190, 541.0, (2.1, 3.9), "500 ml"),
    Package("water", "bottle", 0.033, 0.033, 0.215, 526.0, (0.7, 1.4), "500 ml"),
    Package("cheese", "box", 0.050, 0.022, 0.062, 174.0, (2.2, 3.9), "165 g"),
    Package("soap", "box", 0.046, 0.019, 0.060, 113.0, (0.9, 1.9), "106 g"),
    Package("toothpaste", "box", 0.024, 0.090, 0.042, 186.0, (1.9, 3.9), "160 g"),
    Package("cereal", "box", 0.080, 0.026, 0.245, 432.0, (2.9, 4.9), "375 g"),
    Package("rice", "box", 0.055, 0.027, 0.180, 528.0, (1.8, 3.4), "500 g"),
    Package("cream", "carton", 0.031, 0.021, 0.118, 263.0, (1.1, 2.0), "250 g"),
    Package("milk", "carton", 0.036, 0.036, 0.196, 1052.0, (1.1, 2.0), "1 l"),
    Package("juice-pack", "carton", 0.025, 0.020, 0.120, 218.0, (0.5, 1.1), "200 ml"),
    Package("juice", "can", 0.026, 0.026, 0.133, 279.0, (0.9, 1.7), "240 ml"),
    Package("seltzer", "can", 0.033, 0.033, 0.116, 347.0, (0.6, 1.3), "330 ml"),
    Package("beans", "can", 0.037, 0.037, 0.110, 468.0, (0.9, 1.8), "400 g"),
    Package("condensed-milk", "tin", 0.036, 0.036, 0.058, 247.0, (1.4, 2.4), "208 g"),
    Package("corned-beef", "tin", 0.037, 0.037, 0.062, 252.0, (2.4, 3.9), "210 g"),
    Package("tuna", "tin", 0.041, 0.041, 0.040, 190.0, (1.3, 2.6), "155 g"),
    Package("sardines", "tin", 0.034, 0.034, 0.070, 191.0, (0.9, 1.8), "155 g"),
    Package("mayonnaise", "jar", 0.044, 0.044, 0.150, 783.0, (3.4, 5.9), "700 ml"),
    Package("peanut-butter", "jar", 0.038, 0.038, 0.098, 541.0, (2.9, 4.9), "340 g"),
    Package("spread", "jar", 0.032, 0.032, 0.080, 291.0, (1.9, 3.4), "170 g"),
    Package("pasta", "bag", 0.060, 0.030, 0.230, 1012.0, (1.4, 2.8), "1 kg"),
    Package("noodles", "bag", 0.060, 0.022, 0.110, 84.0, (0.4, 0.9), "80 g"),
    Package("crisps", "bag", 0.068, 0.034, 0.210, 168.0, (1.6, 3.2), "150 g"),
    Package("coffee", "bag", 0.036, 0.022, 0.120, 56.0, (0.9, 1.7), "52 g"),
    Package("chocolate", "bag", 0.045, 0.012, 0.085, 38.0, (0.8, 1.4), "36.5 g"),
    Package("yoghurt", "cup", 0.038, 0.038, 0.082, 163.0, (0.6, 1.4), "150 g"),
)


@dataclass(frozen=True)
class DrawnProduct:
    """A product with the looks that the renderer gives it.

    Attributes:
        group: name of its look-alike group.
        half_m: half extents of its bounding box (x, y, z), metres.
        label: texture, uint8 [LABEL_PX, LABEL_PX, 3], RGB.
        vertices, uv, faces: its mesh, metres, standing on z = 0.
    """

    product: Product
    group: str
    package: Package
    half_m: tuple[float, float, float]
    label: np.ndarray
    vertices: np.ndarray
    uv: np.ndarray
    faces: np.ndarray

    @property
    def round(self) -> bool:
        return (
            self.package.kind in ("can", "tin", "jar", "cup", "bottle")
            and self.half_m[0] < 1.1 * self.half_m[1]
        )


def draw_products(
    rng: np.random.Generator, count: int, *, test: bool, packages: Sequence[int] | None = None
) -> list[DrawnProduct]:
    """`count` products in look-alike groups of two or three; the last group may be cut short.

    Args:
        test: brands, designs and flavours that only test sets show; else those of training.
        packages: rows of `PACKAGES` to draw from; all without it.
    """
    brands = list(rng.permutation(TEST_BRANDS if test else TRAINING_BRANDS))
    flavours = TEST_FLAVOURS if test else TRAINING_FLAVOURS
    kinds = list(rng.permutation(len(PACKAGES) if packages is None else list(packages)))
    products: list[DrawnProduct] = []
    number = 0
    while len(products) < count:
        package = PACKAGES[kinds[number % len(kinds)]]
        # A package that comes round again gets another brand.
        brand = str(brands[(number + number // len(kinds)) % len(brands)])
        number += 1
        group = f"{brand.lower()}-{package.name}"
        scale = float(rng.uniform(0.95, 1.05))
        base = package.weight_g * float(rng.uniform(0.985, 1.015))
        same_weight = rng.uniform() < 0.5
        price = round(float(rng.uniform(*package.price)), 2)
        hue, saturation = float(rng.uniform()), float(rng.uniform(0.35, 0.9))
        design = int(rng.choice(TEST_DESIGNS if test else TRAINING_DESIGNS))
        mesh = _mesh(package, scale)
        half = np.ptp(mesh[0], axis=0) / 2
        for index, flavour in enumerate(rng.permutation(list(flavours))[: int(rng.choice(GROUP_SIZES))]):
            if len(products) == count:
                break
            weight = round(base if same_weight else base * (1.0 + 0.045 * (index - 1)), 1)
            sold = Product(
                f"{group}-{flavour}",
                weight,
                round(max(0.6, 0.004 * weight), 2),
                price,
                f"2{rng.integers(10**10):010d}",
                f"{brand.title()} {package.name.replace('-', ' ')} {flavour} {package.size}",
            )
            label = _label(brand, str(flavour), flavours[str(flavour)], package, hue, saturation, design)
            products.append(
                DrawnProduct(
                    sold, group, package, (float(half[0]), float(half[1]), float(half[2])), label, *mesh
                )
            )
    return products


def _rgb(h: float, s: float, v: float) -> tuple[int, int, int]:
    r, g, b = colorsys.hsv_to_rgb(h % 1, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))
    return int(255 * r), int(255 * g), int(255 * b)


def _label(
    brand: str,
    flavour: str,
    emblem: tuple[float, float, float],
    package: Package,
    hue: float,
    saturation: float,
    design: int,
) -> np.ndarray:
    """A label that wraps around the package; it is drawn twice so that both sides carry a front.

    It is drawn in the package's own proportions and then squeezed into the texture.
    """
    import cv2

    front_m = 2 * package.half_x_m if package.kind in ("carton", "box") else np.pi * package.half_x_m
    side = int(np.clip(LABEL_PX * front_m / package.height_m, 100, 560))
    ground, ink = _rgb(hue, saturation, 0.85), _rgb(hue + 0.5, 0.15, 0.98)
    accent = _rgb(*emblem)
    panel = np.full((LABEL_PX, side, 3), ground, np.uint8)
    _ground(panel, design, hue, saturation, ink)
    cv2.rectangle(panel, (0, 184), (side, 234), accent, -1)
    _emblem(panel, design, emblem, accent)
    letters = (255, 255, 255) if emblem[2] < 0.8 or emblem[1] > 0.7 else (30, 30, 30)
    _text(panel, brand, 40, (25, 25, 35), boxed=(245, 245, 240), width=side - 14)
    _text(panel, flavour.upper(), 209, letters, width=side - 16)
    _text(panel, package.size, 246, (25, 25, 35) if saturation < 0.6 else (250, 250, 250), width=50)
    panel = np.asarray(cv2.resize(panel, (LABEL_PX // 2, LABEL_PX), interpolation=cv2.INTER_AREA))
    label = np.hstack([panel, panel])
    if package.kind in ("can", "tin", "cup"):
        label[:12] = label[-8:] = (190, 192, 198)
    elif package.kind in ("bottle", "jar"):
        label[:12] = accent
    return np.ascontiguousarray(label)


def _ground(panel: np.ndarray, design: int, hue: float, saturation: float, ink: tuple[int, int, int]) -> None:
    """The pattern that all flavours of a group share; 0-3 are for training, 4-7 for tests."""
    import cv2

    height, side = panel.shape[:2]
    dark = _rgb(hue, saturation, 0.62)
    other = _rgb(hue + 0.09, saturation, 0.55)
    if design == 0:
        cv2.rectangle(panel, (0, 74), (side, 176), ink, -1)
    elif design == 1:
        for x in range(0, side + 90, 24):
            cv2.line(panel, (x, 0), (x - 90, height), dark, 8)
    elif design == 2:
        cv2.ellipse(panel, (side // 2, 124), (side * 2 // 5, 70), 0, 0, 360, ink, -1)
    elif design == 3:
        cv2.rectangle(panel, (0, 130), (side, height), other, -1)
    elif design == 4:
        for y in range(66, 184, 22):
            cv2.rectangle(panel, (0, y), (side, y + 9), dark, -1)
    elif design == 5:
        corners = np.array([[0, 60], [side, 110], [side, 184], [0, 184]])
        cv2.fillPoly(panel, [corners], ink)
    elif design == 6:
        for x in range(12, side, 26):
            for y in range(76, 180, 26):
                cv2.circle(panel, (x, y), 7, other, -1)
    else:
        cv2.rectangle(panel, (0, 0), (22, height), other, -1)
        cv2.rectangle(panel, (side - 22, 0), (side, height), other, -1)


def _emblem(
    panel: np.ndarray, design: int, emblem: tuple[float, float, float], accent: tuple[int, int, int]
) -> None:
    """What tells the flavours of a group apart, beside the band and the word."""
    import cv2

    middle = panel.shape[1] // 2
    if design < 4:
        cv2.circle(panel, (middle, 124), 34, accent, -1)
        cv2.circle(panel, (middle - 10, 112), 9, _rgb(emblem[0], 0.25, 1.0), -1)
        cv2.ellipse(panel, (middle + 18, 84), (18, 8), -35, 0, 360, _rgb(0.33, 0.7, 0.55), -1)
    else:
        corners = np.array([[middle, 82], [middle + 40, 128], [middle, 172], [middle - 40, 128]])
        cv2.fillPoly(panel, [corners], accent)
        cv2.polylines(panel, [corners], True, _rgb(emblem[0], 0.3, 1.0), 3)


def _text(
    panel: np.ndarray,
    text: str,
    middle_y: int,
    colour: tuple[int, int, int],
    *,
    width: int,
    boxed: tuple[int, int, int] | None = None,
) -> None:
    import cv2

    font, scale = cv2.FONT_HERSHEY_DUPLEX, 1.1
    (w, h), _ = cv2.getTextSize(text, font, scale, 2)
    scale *= min(1.0, width / w)
    (w, h), _ = cv2.getTextSize(text, font, scale, 2)
    x = panel.shape[1] // 2 - w // 2
    if boxed:
        cv2.rectangle(panel, (x - 5, middle_y - h // 2 - 9), (x + w + 5, middle_y + h // 2 + 9), boxed, -1)
    cv2.putText(panel, text, (x, middle_y + h // 2), font, scale, colour, 2, cv2.LINE_AA)


_PROFILES: dict[str, list[tuple[float, float]]] = {
    "can": [(0.86, 0.0), (1.0, 0.04), (1.0, 0.93), (0.82, 1.0)],
    "tin": [(0.96, 0.0), (1.0, 0.05), (1.0, 0.95), (0.94, 1.0)],
    "cup": [(0.78, 0.0), (0.8, 0.05), (1.0, 0.96), (1.04, 1.0)],
    "jar": [(0.95, 0.0), (1.0, 0.06), (1.0, 0.68), (0.8, 0.8), (0.86, 0.82), (0.86, 1.0)],
    "bottle": [(0.9, 0.0), (1.0, 0.04), (1.0, 0.62), (0.9, 0.72), (0.42, 0.86), (0.36, 0.9), (0.42, 0.91), (0.42, 1.0)],
    "bag": [(0.95, 0.0), (1.0, 0.12), (1.02, 0.5), (0.98, 0.85), (0.95, 1.0)],
}  # fmt: skip
"""Turned bodies as (share of the radius, share of the height)."""
_PILLOW = (0.55, 0.95, 1.0, 0.6, 0.1)
"""A bag's depth at each ring of its profile."""


def _mesh(package: Package, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, height = package.half_x_m * scale, package.half_y_m * scale, package.height_m * scale
    if package.kind in ("carton", "box"):
        return _box(x, y, height)
    squeeze = np.array(_PILLOW if package.kind == "bag" else [1.0] * len(_PROFILES[package.kind])) * y / x
    return _lathe([(x * a, height * b) for a, b in _PROFILES[package.kind]], squeeze)


def _box(half_x: float, half_y: float, height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A carton: front and back carry a label panel each, the sides a strip of it, top and bottom its ground."""
    x, y, z = half_x, half_y, height
    quads: list[tuple[list[tuple[float, float, float]], tuple[float, float, float, float]]] = [
        ([(-x, -y, 0), (x, -y, 0), (x, -y, z), (-x, -y, z)], (0.0, 0.5, 0.0, 1.0)),
        ([(x, y, 0), (-x, y, 0), (-x, y, z), (x, y, z)], (0.5, 1.0, 0.0, 1.0)),
        ([(x, -y, 0), (x, y, 0), (x, y, z), (x, -y, z)], (0.02, 0.12, 0.0, 1.0)),
        ([(-x, y, 0), (-x, -y, 0), (-x, -y, z), (-x, y, z)], (0.38, 0.48, 0.0, 1.0)),
        ([(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)], (0.02, 0.1, 0.9, 0.98)),
        ([(-x, y, 0), (x, y, 0), (x, -y, 0), (-x, -y, 0)], (0.02, 0.1, 0.9, 0.98)),
    ]
    vertices: list[Any] = []
    uv: list[Any] = []
    faces: list[Any] = []
    for corners, (u0, u1, v0, v1) in quads:
        base = len(vertices)
        vertices += corners
        uv += [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
        faces += [(base, base + 1, base + 2), (base, base + 2, base + 3)]
    return np.array(vertices, float), np.array(uv, float), np.array(faces, int)


def _lathe(
    profile: Sequence[tuple[float, float]], squeeze: Sequence[float] | np.ndarray, sides: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A turned body with closed ends, each ring squeezed in depth. The label's seam is at the back.

    v is 1 at the top, so that a label's first row is its upper edge.
    """
    rings: list[Any] = []
    top = profile[-1][1]
    angle = np.linspace(0, 2 * np.pi, sides + 1)  # the seam vertex stands twice, with u = 0 and u = 1
    for index, (radius, z) in enumerate(profile):
        # u grows to the right as seen from outside; the middle of the first panel (u = 0.25) faces -y.
        theta = -np.pi + angle
        ring = np.column_stack(
            [radius * np.cos(theta), radius * squeeze[index] * np.sin(theta), np.full(sides + 1, z)]
        )
        rings.append((ring, np.column_stack([angle / (2 * np.pi), np.full(sides + 1, z / top)])))
    vertices = np.vstack([r for r, _ in rings])
    uv = np.vstack([t for _, t in rings])
    faces = []
    n = sides + 1
    for ring_index in range(len(profile) - 1):
        for side in range(sides):
            a, b = ring_index * n + side, ring_index * n + side + 1
            faces += [(a, b, b + n), (a, b + n, a + n)]
    for ring_index, z, flip in ((0, 0.0, True), (len(profile) - 1, top, False)):
        centre = len(vertices)
        vertices = np.vstack([vertices, [[0, 0, z]]])
        uv = np.vstack([uv, [[0.01, 0.99]]])
        for side in range(sides):
            a, b = ring_index * n + side, ring_index * n + side + 1
            faces.append((centre, b, a) if flip else (centre, a, b))
    return vertices, uv, np.array(faces, int)
