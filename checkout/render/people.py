"""Shoppers' bodies: parts that the scene poses one by one, arms by two-link inverse kinematics.

Frames are metres; x along the gondola, y into the shelf, z up. A body faces `yaw` (0 = +y).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SIDES = ("left", "right")
SKIN = ((0.94, 0.78, 0.67), (0.86, 0.66, 0.52), (0.72, 0.50, 0.36), (0.55, 0.37, 0.26), (0.38, 0.25, 0.18))
HAIR = ((0.08, 0.06, 0.05), (0.25, 0.15, 0.08), (0.45, 0.30, 0.15), (0.75, 0.60, 0.35), (0.5, 0.5, 0.5))
AWAY = np.array([0.0, 0.0, -20.0])
HAND_LENGTH_M = 0.09
"""Assumed: from the wrist to the middle of the palm."""


@dataclass(frozen=True)
class Build:
    """How one shopper looks; lengths in metres, colours RGB 0-1."""

    stature: float
    girth: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    trousers: tuple[float, float, float]
    short_sleeves: bool
    basket: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Build:
        def colour(low: float, high: float) -> tuple[float, float, float]:
            r, g, b = rng.uniform(low, high, 3)
            return float(r), float(g), float(b)

        return cls(
            float(rng.uniform(0.93, 1.07)),
            float(rng.uniform(0.85, 1.2)),
            SKIN[int(rng.integers(len(SKIN)))],
            HAIR[int(rng.integers(len(HAIR)))],
            colour(0.08, 0.95),
            colour(0.05, 0.5),
            bool(rng.uniform() < 0.4),
            colour(0.1, 0.9),
        )

    @property
    def upper_arm_m(self) -> float:
        return 0.29 * self.stature

    @property
    def forearm_m(self) -> float:
        return 0.25 * self.stature


@dataclass
class Pose:
    """Where a shopper is at one moment.

    Attributes:
        at_m: floor position (x, y).
        yaw: direction faced, radians; 0 faces the shelf (+y).
        palm_m: middle of each palm, world metres; None lets the arm hang.
        grip: whether each hand grips.
        inward: which way each palm looks, -1 or +1 along the body's right.
    """

    at_m: tuple[float, float]
    yaw: float = 0.0
    palm_m: dict[str, np.ndarray | None] = field(default_factory=lambda: {"left": None, "right": None})
    grip: dict[str, bool] = field(default_factory=lambda: {"left": False, "right": True})


Placement = tuple[np.ndarray, np.ndarray]
"""Position [3] and rotation matrix [3, 3] of a part."""


def body_xml(name: str, build: Build) -> str:
    """The mocap bodies of one shopper, each around its own origin."""
    g, s = build.girth, build.stature
    sleeve = build.skin if build.short_sleeves else build.shirt
    parts = {
        "torso": f'<geom type="ellipsoid" size="{0.19 * g} {0.125 * g} {0.30 * s}" {_rgb(build.shirt)}/>'
        f'<geom type="capsule" fromto="{-0.16 * g} 0 {0.19 * s} {0.16 * g} 0 {0.19 * s}"'
        f' size="{0.065 * g}" {_rgb(build.shirt)}/>',
        "hips": f'<geom type="ellipsoid" size="{0.17 * g} {0.125 * g} {0.17 * s}" {_rgb(build.trousers)}/>',
        "head": f'<geom type="ellipsoid" size="0.078 0.095 0.115" {_rgb(build.skin)}/>'
        f'<geom type="capsule" fromto="0 0 -0.19 0 0 -0.08" size="0.05" {_rgb(build.skin)}/>'
        f'<geom type="ellipsoid" size="0.086 0.1 0.105" pos="0 -0.016 0.03" {_rgb(build.hair)}/>'
        f'<geom type="ellipsoid" size="0.016 0.02 0.02" pos="0 0.096 -0.01" {_rgb(build.skin)}/>',
        "basket": "".join(
            f'<geom type="box" size="{size}" pos="{at}" {_rgb(build.basket)}/>'
            for size, at in (
                ("0.15 0.1 0.006", "0 0 -0.1"),
                ("0.15 0.006 0.09", "0 0.1 0"),
                ("0.15 0.006 0.09", "0 -0.1 0"),
                ("0.006 0.1 0.09", "0.15 0 0"),
                ("0.006 0.1 0.09", "-0.15 0 0"),
            )
        ),
    }
    for side in SIDES:
        leg = build.trousers
        parts[f"leg-{side}"] = (
            f'<geom type="capsule" fromto="0 0 0 0 0 {-0.72 * s}" size="{0.075 * g}" {_rgb(leg)}/>'
        )
        parts[f"upper-{side}"] = (
            f'<geom type="capsule" fromto="0 0 0 0 0 {-build.upper_arm_m}" size="{0.05 * g}" {_rgb(build.shirt)}/>'
        )
        parts[f"fore-{side}"] = (
            f'<geom type="capsule" fromto="0 0 0 0 0 {-build.forearm_m}" size="{0.038 * g}" {_rgb(sleeve)}/>'
        )
        for grip in (False, True):
            parts[f"hand-{side}-{'grip' if grip else 'open'}"] = _hand_xml(build, side, grip)
    return "".join(
        f'<body name="{name}/{part}" mocap="true" pos="0 0 -20">{geoms}</body>'
        for part, geoms in parts.items()
    )


def _hand_xml(build: Build, side: str, grip: bool) -> str:
    """A palm, four fingers of two joints and a thumb; y along the fingers, z to the thumb, the palm looks inward."""
    flip = 1.0 if side == "right" else -1.0
    geoms = [f'<geom type="ellipsoid" size="0.016 0.048 0.042" {_rgb(build.skin)}/>']
    geoms.append(f'<geom type="capsule" fromto="0 -0.09 0 0 -0.03 0" size="0.027" {_rgb(build.skin)}/>')
    # The palm looks along -x * flip (inward); fingers fan out over z, the thumb is on top.
    curl = (0.9, 1.9) if grip else (0.12, 0.3)
    for finger in range(4):
        z = 0.03 - 0.02 * finger
        length = (0.044, 0.048, 0.045, 0.036)[finger]
        knuckle = np.array([0.0, 0.042, z])
        first = knuckle + length * np.array([-flip * np.sin(curl[0]), np.cos(curl[0]), 0.0])
        tip = first + 0.8 * length * np.array([-flip * np.sin(curl[1]), np.cos(curl[1]), 0.0])
        geoms += [_capsule(knuckle, first, 0.0095, build), _capsule(first, tip, 0.0085, build)]
    base = np.array([0.0, -0.015, 0.036])
    spread = 1.1 if grip else 0.45
    joint = base + 0.042 * np.array([-flip * np.sin(spread), 0.75, 0.5])
    tip = joint + 0.034 * np.array([-flip * np.sin(spread * 1.2), 0.85, 0.05])
    geoms += [_capsule(base, joint, 0.012, build), _capsule(joint, tip, 0.0105, build)]
    return "".join(geoms)


def _capsule(a: np.ndarray, b: np.ndarray, size: float, build: Build) -> str:
    ends = " ".join(f"{v:.4f}" for v in (*a, *b))
    return f'<geom type="capsule" fromto="{ends}" size="{size}" {_rgb(build.skin)}/>'


def _rgb(colour: tuple[float, float, float]) -> str:
    r, g, b = colour
    return f'rgba="{r:.3f} {g:.3f} {b:.3f} 1"'


def place_parts(build: Build, pose: Pose) -> dict[str, Placement]:
    """Position and rotation of every part of a shopper in a pose."""
    s, g = build.stature, build.girth
    forward = np.array([-np.sin(pose.yaw), np.cos(pose.yaw), 0.0])
    right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
    upright = np.column_stack([right, forward, [0.0, 0.0, 1.0]])
    root = np.array([*pose.at_m, 0.0])
    shoulder_height, reach = 1.38 * s, 0.97 * (build.upper_arm_m + build.forearm_m) + HAND_LENGTH_M
    shoulder0 = {
        side: root + right * sign * 0.19 * g + np.array([0, 0, shoulder_height])
        for side, sign in zip(SIDES, (-1.0, 1.0), strict=True)
    }
    lean = np.zeros(3)
    for side in SIDES:
        palm = pose.palm_m[side]
        if palm is not None:
            gap = palm - shoulder0[side]
            need = float(np.linalg.norm(gap)) - reach
            if need > 0:
                wanted = gap / np.linalg.norm(gap) * min(need, 0.6)
                lean = wanted if np.linalg.norm(wanted) > np.linalg.norm(lean) else lean
    top = root + np.array([0, 0, shoulder_height]) + lean
    hips = root + np.array([0, 0, 0.88 * s]) + lean * np.array([0.3, 0.3, 0.75])
    spine = (top - hips) / np.linalg.norm(top - hips)
    bent = _frame(right, spine)
    parts: dict[str, Placement] = {
        "torso": (0.42 * hips + 0.58 * top - 0.02 * spine, bent),
        "hips": (hips, upright),
        "head": (top + spine * 0.205 * s + forward * 0.02, upright),
    }
    for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
        parts[f"leg-{side}"] = (hips + right * sign * 0.09 * g + np.array([0, 0, -0.05]), upright)
        shoulder = shoulder0[side] + lean
        palm = pose.palm_m[side]
        if palm is None:
            palm = shoulder + right * sign * 0.06 + forward * 0.12 + np.array([0, 0, -0.52 * s])
        parts |= _arm(build, side, shoulder, palm, sign * right, forward, pose.grip[side])
    return parts


def _arm(
    build: Build,
    side: str,
    shoulder: np.ndarray,
    palm: np.ndarray,
    outward: np.ndarray,
    forward: np.ndarray,
    grip: bool,
) -> dict[str, Placement]:
    toward = palm - shoulder
    toward = toward / max(float(np.linalg.norm(toward)), 1e-6)
    # The hand levels out when it reaches forward, and hangs along the arm otherwise.
    fingers = toward + 0.8 * forward * max(0.0, float(toward @ forward))
    fingers = fingers / np.linalg.norm(fingers)
    wrist = palm - fingers * HAND_LENGTH_M
    a, b = build.upper_arm_m, build.forearm_m
    line = wrist - shoulder
    distance = float(np.clip(np.linalg.norm(line), 0.1, 0.999 * (a + b)))
    along = line / max(float(np.linalg.norm(line)), 1e-6)
    wrist = shoulder + along * distance
    cosine = (a * a + distance * distance - b * b) / (2 * a * distance)
    hint = np.array([0.0, 0.0, -1.0]) + 0.7 * outward - 0.2 * forward
    side_way = hint - along * float(hint @ along)
    side_way = side_way / max(float(np.linalg.norm(side_way)), 1e-6)
    elbow = shoulder + a * (cosine * along + np.sqrt(max(0.0, 1 - cosine * cosine)) * side_way)
    palm = wrist + fingers * HAND_LENGTH_M
    used, unused = ("grip", "open") if grip else ("open", "grip")
    return {
        f"upper-{side}": (shoulder, _down(shoulder, elbow)),
        f"fore-{side}": (elbow, _down(elbow, wrist)),
        f"hand-{side}-{used}": (palm, _hand_frame(fingers, outward, side)),
        f"hand-{side}-{unused}": (AWAY, np.eye(3)),
    }


def held_position(build: Build, palm: np.ndarray, yaw: float, side: str, radius_m: float) -> np.ndarray:
    """Centre of an upright item in a gripping hand, metres."""
    sign = -1.0 if side == "left" else 1.0
    forward = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    return np.asarray(palm + 0.045 * forward - sign * right * (0.014 + radius_m))


def _frame(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    y = np.cross(z, x)
    y = y / np.linalg.norm(y)
    return np.column_stack([np.cross(y, z), y, z])


def _hand_frame(fingers: np.ndarray, outward: np.ndarray, side: str) -> np.ndarray:
    """Columns: x to the back of the right hand (the palm of the left), y along the fingers, z to the thumb."""
    right = outward if side == "right" else -outward
    x = right - fingers * float(right @ fingers)
    x = x / max(float(np.linalg.norm(x)), 1e-6)
    return np.column_stack([x, fingers, np.cross(x, fingers)])


def _down(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A rotation whose -z runs from start to end."""
    z = (start - end) / max(float(np.linalg.norm(start - end)), 1e-6)
    x = np.cross([0.0, 1.0, 0.0], z)
    if np.linalg.norm(x) < 1e-3:
        x = np.cross([1.0, 0.0, 0.0], z)
    x = x / np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z])
