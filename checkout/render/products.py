"""Groceries that the renderer draws itself: shapes, labels, weights and prices.

A brand family gives a look-alike group (same shape and design, another flavour). Sizes and
weights are those of ordinary packages (a 330 ml can weighs about 350 g, a litre carton 1,040 g).
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np

from checkout.catalog import Product

LABEL_PX = 256
FLAVOURS = {
    "lemon": (0.15, 0.95, 0.95), "cherry": (0.97, 0.85, 0.75), "lime": (0.30, 0.85, 0.75), "berry": (0.78, 0.7, 0.65),
    "orange": (0.08, 0.95, 0.98), "mint": (0.45, 0.6, 0.8), "plain": (0.58, 0.15, 0.95), "cocoa": (0.06, 0.75, 0.42),
}  # fmt: skip
"""Flavour -> hue, saturation, value of its emblem."""
TRAINING_BRANDS = ("ALMO", "BRIVA", "CORDIS", "DUNEL", "ERSTO", "FJALL", "GRANO", "HOLTE", "IVERA", "JUNO")
TEST_BRANDS = ("KALVO", "LUMEN", "MERIT", "NORDA", "OPALE", "PRIMO", "QUELL", "RIVOLI", "SOLEA", "TARRO")


@dataclass(frozen=True)
class Shape:
    """A kind of package: half width and depth or radius, height (metres), and a unit's weight range (grams)."""

    kind: str
    radius_m: float
    height_m: float
    weight_g: tuple[float, float]
    price: tuple[float, float]


SHAPES = (
    Shape("can", 0.033, 0.115, (345.0, 362.0), (0.8, 1.6)),
    Shape("bottle", 0.034, 0.225, (515.0, 545.0), (1.1, 2.4)),
    Shape("carton", 0.036, 0.195, (1020.0, 1055.0), (1.2, 2.9)),
    Shape("jar", 0.040, 0.105, (560.0, 780.0), (2.0, 4.5)),
    Shape("bag", 0.062, 0.190, (155.0, 190.0), (1.5, 3.5)),
    Shape("box", 0.045, 0.170, (270.0, 520.0), (1.9, 4.9)),
    Shape("cup", 0.039, 0.085, (160.0, 185.0), (0.6, 1.4)),
    Shape("tin", 0.042, 0.060, (200.0, 235.0), (1.3, 3.2)),
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
    shape: Shape
    half_m: tuple[float, float, float]
    label: np.ndarray
    vertices: np.ndarray
    uv: np.ndarray
    faces: np.ndarray


def draw_products(rng: np.random.Generator, count: int, *, test: bool) -> list[DrawnProduct]:
    """`count` products in look-alike groups of two or three; two groups share a weight."""
    brands = list(rng.permutation(TEST_BRANDS if test else TRAINING_BRANDS))
    products: list[DrawnProduct] = []
    shapes = list(rng.permutation(len(SHAPES)))
    same_weight = None
    while len(products) < count:
        number = len({p.group for p in products})
        shape = SHAPES[shapes[number % len(shapes)]]
        brand = str(brands[number % len(brands)])
        group = f"{brand.lower()}-{shape.kind}"
        base = float(rng.uniform(*shape.weight_g))
        price = round(float(rng.uniform(*shape.price)), 2)
        hue, saturation = float(rng.uniform()), float(rng.uniform(0.35, 0.9))
        design = int(rng.integers(4))
        scale = float(rng.uniform(0.93, 1.07))
        for flavour in rng.permutation(list(FLAVOURS))[: int(rng.integers(2, 4))]:
            if len(products) == count:
                break
            # Every second product of a group weighs the same as its sister, the others do not.
            weight = (
                same_weight if same_weight and rng.uniform() < 0.5 else base + float(rng.uniform(-14, 14))
            )
            same_weight = weight if abs(weight - base) < 20 else None
            mesh = _mesh(shape, scale)
            half = np.ptp(mesh[0], axis=0) / 2
            name = f"{brand.title()} {flavour} {shape.kind}"
            code = f"2{rng.integers(10**10):010d}"
            products.append(
                DrawnProduct(
                    Product(
                        f"{group}-{flavour}",
                        round(weight, 1),
                        round(max(0.8, 0.004 * weight), 2),
                        price,
                        code,
                        name,
                    ),
                    group,
                    shape,
                    (float(half[0]), float(half[1]), float(half[2])),
                    _label(brand, str(flavour), shape.kind, hue, saturation, design),
                    *mesh,
                )
            )
        same_weight = None
    return products


def _label(brand: str, flavour: str, kind: str, hue: float, saturation: float, design: int) -> np.ndarray:
    """A label that wraps around the package; it is drawn twice so that both sides carry a front."""
    import cv2

    def rgb(h: float, s: float, v: float) -> tuple[int, int, int]:
        r, g, b = colorsys.hsv_to_rgb(h % 1, s, v)
        return int(255 * r), int(255 * g), int(255 * b)

    side = LABEL_PX // 2
    ground, ink = rgb(hue, saturation, 0.85), rgb(hue + 0.5, 0.15, 0.98)
    accent = rgb(*FLAVOURS[flavour])
    panel = np.full((LABEL_PX, side, 3), ground, np.uint8)
    if design == 0:
        cv2.rectangle(panel, (0, 96), (side, 176), ink, -1)
    elif design == 1:
        for x in range(0, side, 24):
            cv2.line(panel, (x, 0), (x - 60, LABEL_PX), rgb(hue, saturation, 0.68), 8)
    elif design == 2:
        cv2.ellipse(panel, (side // 2, 140), (54, 84), 0, 0, 360, ink, -1)
    else:
        cv2.rectangle(panel, (0, 150), (side, LABEL_PX), rgb(hue + 0.08, saturation, 0.55), -1)
    cv2.rectangle(panel, (0, 206), (side, 232), accent, -1)
    cv2.circle(panel, (side // 2, 158), 30, accent, -1)
    cv2.circle(panel, (side // 2 - 9, 148), 9, rgb(FLAVOURS[flavour][0], 0.25, 1.0), -1)
    cv2.ellipse(panel, (side // 2 + 16, 124), (16, 7), -35, 0, 360, rgb(0.33, 0.7, 0.55), -1)
    dark = (25, 25, 35)
    scale = 0.75 * 5 / max(5, len(brand))
    (w, h), _ = cv2.getTextSize(brand, cv2.FONT_HERSHEY_DUPLEX, scale, 2)
    cv2.rectangle(
        panel, (side // 2 - w // 2 - 5, 62), (side // 2 + w // 2 + 5, 72 + h + 8), (245, 245, 240), -1
    )
    cv2.putText(
        panel, brand, (side // 2 - w // 2, 70 + h), cv2.FONT_HERSHEY_DUPLEX, scale, dark, 2, cv2.LINE_AA
    )
    (w, h), _ = cv2.getTextSize(flavour.upper(), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    at = (side // 2 - w // 2, 219 + h // 2)
    cv2.putText(panel, flavour.upper(), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    label = np.hstack([panel, panel])
    if kind in ("can", "tin", "cup"):
        label[:14] = label[-10:] = (190, 192, 198)
    elif kind in ("bottle", "jar"):
        label[:34] = accent
    return np.ascontiguousarray(label)


def _mesh(shape: Shape, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r, h = shape.radius_m * scale, shape.height_m * scale
    if shape.kind in ("carton", "box"):
        depth = 0.9 if shape.kind == "carton" else 0.55
        return _box(r, r * depth, h)
    profiles = {
        "can": [(0.86, 0.0), (1.0, 0.04), (1.0, 0.93), (0.82, 1.0)],
        "tin": [(0.96, 0.0), (1.0, 0.05), (1.0, 0.95), (0.94, 1.0)],
        "cup": [(0.78, 0.0), (0.8, 0.05), (1.0, 0.96), (1.04, 1.0)],
        "jar": [(0.95, 0.0), (1.0, 0.06), (1.0, 0.68), (0.8, 0.8), (0.86, 0.82), (0.86, 1.0)],
        "bottle": [
            (0.9, 0.0),
            (1.0, 0.04),
            (1.0, 0.55),
            (0.9, 0.66),
            (0.42, 0.82),
            (0.36, 0.88),
            (0.42, 0.9),
            (0.42, 1.0),
        ],
        "bag": [(0.95, 0.0), (1.0, 0.12), (1.02, 0.5), (0.98, 0.85), (0.95, 1.0)],
    }
    flatten = [0.35, 0.5, 0.55, 0.35, 0.06] if shape.kind == "bag" else None
    return _lathe([(r * a, h * b) for a, b in profiles[shape.kind]], flatten)


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
    profile: list[tuple[float, float]], flatten: list[float] | None, sides: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A turned body with closed ends; `flatten` squeezes each ring in depth (bags). The label's seam is at the back."""
    rings: list[Any] = []
    top = profile[-1][1]
    angle = np.linspace(0, 2 * np.pi, sides + 1)  # the seam vertex stands twice, with u = 0 and u = 1
    for index, (radius, z) in enumerate(profile):
        squeeze = flatten[index] if flatten else 1.0
        # u grows to the right as seen from outside; the middle of the first panel (u = 0.25) faces -y.
        theta = -np.pi + angle
        ring = np.column_stack(
            [radius * np.cos(theta), radius * squeeze * np.sin(theta), np.full(sides + 1, z)]
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
