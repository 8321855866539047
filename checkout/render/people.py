"""Shoppers' bodies: a skeleton that follows where the hands are to be, inside a skinned surface.

Frames are metres; x along the gondola, y into the shelf, z up. A body faces `yaw` (0 = +y). Arms
and legs follow by two-link inverse kinematics; a hand that is out of reach bends the body. Every
bone's rotation is the one that carries the rest pose (arms spread along x, facing +y) to the pose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from checkout.render.skin import Capsule, SkinMesh, make_skin, mirrored, skin_xml

SIDES = ("left", "right")
SKIN = ((0.94, 0.78, 0.67), (0.86, 0.66, 0.52), (0.72, 0.50, 0.36), (0.55, 0.37, 0.26), (0.38, 0.25, 0.18))
HAIR = ((0.08, 0.06, 0.05), (0.25, 0.15, 0.08), (0.45, 0.30, 0.15), (0.75, 0.60, 0.35), (0.5, 0.5, 0.5))
AWAY = np.array([0.0, 0.0, -20.0])
HAND_LENGTH_M = 0.09
"""Assumed: from the wrist to the middle of the palm."""
LEVELS, SHORT_M = (0.8, 0.4, 0.0), 0.04
"""Assumed: how much a hand that reaches forward levels out; less, and then the body bends on, where the arm is too
short by more than the second."""
WRIST_Y_M = -0.065
"""Where the hand ends, from the middle of its palm: a sleeve comes to here, and the rest is forearm."""
FARTHEST_LEAN_M = 0.80
"""Assumed: how far a grown shopper's shoulders follow a reach, bending and crouching."""
SHOES, TROUSERS, SHIRT, BARE = range(4)
BODY_BONES = (
    "pelvis",
    "torso",
    *(f"{part}-{side}" for part in ("upper", "fore", "thigh", "shin", "foot") for side in SIDES),
)
FINGER_LENGTH_M = (0.043, 0.048, 0.045, 0.035)
KNUCKLE_Z_M = (0.031, 0.0105, -0.0105, -0.030)
HAND_BONES = ("palm", *(f"finger{f}{j}" for f in range(4) for j in range(3)), "thumb0", "thumb1")
CHILD_STATURE = 0.64
Placement = tuple[np.ndarray, np.ndarray]
"""Position [3] and rotation matrix [3, 3] of a bone or part."""


@dataclass(frozen=True)
class Build:
    """How one person looks; `stature` and `girth` are relative to 1.75 m and ordinary, colours RGB 0-1.

    Attributes:
        carries: "basket", "trolley" or "nothing".
    """

    stature: float
    girth: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    stripe: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    sleeve: float
    basket: tuple[float, float, float]
    carries: str = "basket"

    @classmethod
    def draw(cls, rng: np.random.Generator, *, carries: str = "basket", child: bool = False) -> Build:
        def colour(low: float, high: float) -> tuple[float, float, float]:
            r, g, b = rng.uniform(low, high, 3)
            return float(r), float(g), float(b)

        stature = float(rng.uniform(0.92, 1.08))
        shirt = colour(0.08, 0.95)
        return cls(
            stature * CHILD_STATURE if child else stature,
            round(float(rng.uniform(0.85, 1.2)), 1),
            SKIN[int(rng.integers(len(SKIN)))],
            HAIR[int(rng.integers(len(HAIR)))],
            shirt,
            colour(0.08, 0.95) if rng.uniform() < 0.4 else shirt,
            colour(0.05, 0.5),
            colour(0.05, 0.6),
            float(rng.choice([0.35, 1.0, 2.0])),
            colour(0.1, 0.9),
            "nothing" if child else carries,
        )

    @property
    def upper_arm_m(self) -> float:
        return 0.29 * self.stature

    @property
    def forearm_m(self) -> float:
        return 0.25 * self.stature


@dataclass
class Pose:
    """Where a person is at one moment.

    Attributes:
        at_m: floor position (x, y).
        yaw: direction faced, radians; 0 faces the shelf (+y).
        palm_m: middle of each palm, world metres; None lets the arm hang.
        grip: how far each hand is closed, 0-1.
        gait: phase of the walk, radians.
        stride_m: half the distance between the feet in the walk; 0 stands.
    """

    at_m: tuple[float, float]
    yaw: float = 0.0
    palm_m: dict[str, np.ndarray | None] = field(default_factory=lambda: {"left": None, "right": None})
    grip: dict[str, float] = field(default_factory=lambda: {"left": 0.0, "right": 1.0})
    gait: float = 0.0
    stride_m: float = 0.0


def _body_capsules(girth: float, sleeve: float) -> list[Capsule]:
    """A 1.75 m body with its arms spread; sleeves end at `sleeve` (1 the elbow, 2 the wrist)."""
    g = girth
    found = [
        Capsule(0, (-0.085 * g, 0, 0.95), (0.085 * g, 0, 0.95), 0.105 * g, 0.105 * g, TROUSERS),
        Capsule(1, (0, 0, 1.06), (0, 0, 1.22), 0.125 * g, 0.135 * g, SHIRT),
        Capsule(1, (-0.10 * g, 0, 1.32), (0.10 * g, 0, 1.32), 0.105 * g, 0.105 * g, SHIRT),
        Capsule(1, (-0.15, 0, 1.415), (0.15, 0, 1.415), 0.062, 0.062, SHIRT),
        Capsule(1, (0, 0, 1.44), (0, 0.01, 1.56), 0.055, 0.052, BARE),
    ]
    for side, sign in enumerate((-1, 1)):
        for start, end, bone in ((0.19, 0.48, 2 + side), (0.48, 0.73, 4 + side)):
            covered = float(np.clip(sleeve - (bone - 2 - side) / 2, 0.0, 1.0))
            middle = start + (end - start) * covered
            thick = 0.052 if bone < 4 else 0.041
            thin = 0.043 if bone < 4 else 0.028
            between = thick + (thin - thick) * covered
            if covered > 0.02:
                found.append(
                    Capsule(
                        bone, (sign * start, 0, 1.42), (sign * middle, 0, 1.42), thick * g, between * g, SHIRT
                    )
                )
            if covered < 0.98:
                found.append(
                    Capsule(
                        bone, (sign * middle, 0, 1.42), (sign * end, 0, 1.42), between * g, thin * g, BARE
                    )
                )
        x = sign * 0.095
        found += [
            Capsule(6 + side, (x, 0, 0.92), (1.05 * x, 0, 0.50), 0.088 * g, 0.060 * g, TROUSERS),
            Capsule(8 + side, (1.05 * x, 0, 0.50), (1.1 * x, 0, 0.10), 0.058 * g, 0.042 * g, TROUSERS),
            Capsule(10 + side, (1.1 * x, -0.04, 0.045), (1.15 * x, 0.15, 0.035), 0.042, 0.038, SHOES),
        ]
    return found


@cache
def body_skin(girth: float, sleeve: float) -> SkinMesh:
    """The surface of a 1.75 m body."""
    return make_skin(_body_capsules(girth, sleeve), spacing_m=0.026, blend_m=0.016, flatten_y=0.88)


def hand_capsules() -> list[Capsule]:
    """A right hand's pieces: y along the fingers, z to the thumb, the palm looks along -x."""
    found = [Capsule(0, (0, -0.115, 0), (0, -0.03, 0), 0.026, 0.024)]
    for finger, (z, length) in enumerate(zip(KNUCKLE_Z_M, FINGER_LENGTH_M, strict=True)):
        found.append(Capsule(0, (0, -0.05, 0.55 * z), (0, 0.042, z), 0.0155, 0.0125))
        for joint, (start, end) in enumerate(_finger_rest(finger, length)):
            r = 0.0098 - 0.0009 * joint - (0.001 if finger == 3 else 0.0)
            found.append(Capsule(1 + 3 * finger + joint, start, end, r, r - 0.0008))
    for joint, (start, end) in enumerate(_thumb_rest()):
        found.append(Capsule(13 + joint, start, end, 0.0135 - 0.002 * joint, 0.0115 - 0.002 * joint))
    return found


def _finger_rest(
    finger: int, length: float
) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    z, y = KNUCKLE_Z_M[finger], 0.045
    joints = [y, y + length, y + 1.62 * length, y + 2.1 * length]
    return [((0, joints[j], z), (0, joints[j + 1], z)) for j in range(3)]


def _thumb_rest() -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    return [
        ((-0.006, -0.028, 0.026), (-0.016, 0.010, 0.053)),
        ((-0.016, 0.010, 0.053), (-0.020, 0.042, 0.064)),
    ]


@cache
def hand_skin() -> SkinMesh:
    """The surface of a right hand."""
    return make_skin(hand_capsules(), spacing_m=0.0056, blend_m=0.0034)


@cache
def hand_and_wrist() -> tuple[SkinMesh, SkinMesh]:
    """A right hand's surface, and that of the wrist behind it, which belongs to the arm and not to the hand."""
    whole = hand_skin()
    is_hand = whole.vertices[whole.faces].mean(axis=1)[:, 1] > WRIST_Y_M
    hand, wrist = (_only_faces(whole, faces) for faces in (is_hand, ~is_hand))
    return hand, wrist


def _only_faces(mesh: SkinMesh, faces: np.ndarray) -> SkinMesh:
    """The part of a surface that some of its faces make."""
    kept, numbers = np.unique(mesh.faces[faces], return_inverse=True)
    return SkinMesh(mesh.vertices[kept], numbers.reshape(-1, 3), mesh.weights[kept], mesh.paint[kept])


def person_xml(name: str, build: Build) -> tuple[str, str, str, dict[str, np.ndarray]]:
    """One person for MuJoCo: assets, bodies, skins, and textures by file name (RGB)."""
    origins = _rest_origins(build)
    bodies = _bone_bodies(name, BODY_BONES, origins, _body_capsules(build.girth, build.sleeve), build.stature)
    for side in SIDES:
        rest = _hand_origins(side, hand_scale(build))
        flip = 1.0 if side == "right" else -1.0
        wrist, *others = hand_capsules()
        shown = [wrist._replace(start=(0.0, WRIST_Y_M + 0.024, 0.0)), *others]
        bodies += _bone_bodies(f"{name}/{side}", HAND_BONES, rest, shown, hand_scale(build), flip)
    k = build.stature**0.5 if build.stature > 0.8 else 0.86
    head = (
        f'<geom type="ellipsoid" size="{0.076 * k:.4f} {0.094 * k:.4f} {0.115 * k:.4f}" {_rgb(build.skin)}/>'
        f'<geom type="ellipsoid" size="{0.085 * k:.4f} {0.1 * k:.4f} {0.105 * k:.4f}" pos="0 -0.016 0.03"'
        f" {_rgb(build.hair)}/>"
        f'<geom type="ellipsoid" size="0.015 0.02 0.02" pos="0 {0.094 * k:.4f} -0.012" {_rgb(build.skin)}/>'
    )
    bodies.append(f'<body name="{name}/head" mocap="true" pos="0 0 -20">{head}</body>')
    if build.carries != "nothing":
        bodies.append(f'<body name="{name}/carrier" mocap="true" pos="0 0 -20">{_carrier_xml(build)}</body>')
    textures = {f"{name}-cloth.png": _cloth(build), f"{name}-skin.png": _plain(build.skin)}
    assets = "".join(
        f'<texture name="{name}-{what}" type="2d" file="{name}-{what}.png"/>'
        f'<material name="{name}-{what}" texture="{name}-{what}" specular="0.1" shininess="0.2"/>'
        for what in ("cloth", "skin")
    )
    unscaled = body_skin(build.girth, build.sleeve)
    body = unscaled._replace(vertices=unscaled.vertices * build.stature)
    u = (body.paint + 0.5) / 4
    texcoord = np.column_stack([u, (4.0 * unscaled.vertices[:, 2]) % 1.0])
    skins = skin_xml(
        f"{name}-body", f"{name}-cloth", body, [(f"{name}/{b}", origins[b]) for b in BODY_BONES], texcoord
    )
    for side in SIDES:
        rest = _hand_origins(side, hand_scale(build))
        bones = [(f"{name}/{side}/{b}", rest[b]) for b in HAND_BONES]
        for part, mesh in zip(("hand", "wrist"), hand_and_wrist(), strict=True):
            mesh = mesh if side == "right" else mirrored(mesh)
            mesh = mesh._replace(vertices=mesh.vertices * hand_scale(build))
            plain = np.full((len(mesh.vertices), 2), 0.5)
            skins += skin_xml(f"{name}-{part}-{side}", f"{name}-skin", mesh, bones, plain)
    return assets, "".join(bodies), skins, textures


def _bone_bodies(
    name: str,
    bones: Sequence[str],
    origins: Mapping[str, np.ndarray],
    capsules: Sequence[Capsule],
    scale: float,
    flip: float = 1.0,
) -> list[str]:
    """A body a bone, with its capsules in group 3: rays meet them, pictures do not show them."""
    geoms: dict[str, str] = dict.fromkeys(bones, "")
    for c in capsules:
        bone = bones[c.bone]
        ends = np.array([c.start, c.end]) * [flip, 1, 1] * scale - origins[bone]
        numbers = " ".join(f"{v:.4f}" for v in ends.ravel())
        radius = 0.5 * scale * (c.start_radius + c.end_radius)
        geoms[bone] += f'<geom type="capsule" fromto="{numbers}" size="{radius:.4f}" group="3"/>'
    return [f'<body name="{name}/{b}" mocap="true" pos="0 0 -20">{g}</body>' for b, g in geoms.items()]


def hand_scale(build: Build) -> float:
    """Size of a hand over that of a 1.75 m body's; a child's is not quite as small as its body."""
    return float(build.stature**0.8)


def place_parts(build: Build, pose: Pose) -> dict[str, Placement]:
    """Position and rotation of every bone and part, named as in `person_xml`."""
    s = build.stature
    forward = np.array([-np.sin(pose.yaw), np.cos(pose.yaw), 0.0])
    right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    bob = 0.012 * abs(np.sin(pose.gait)) if pose.stride_m else 0.0
    root = np.array([*pose.at_m, bob])
    lean = _lean(build, pose, _shoulders(build, pose))
    hips, top, spine, bent = _trunk(root, s, right, lean)
    # A bent body turns its shoulders, which may take them away from a palm.
    for side, sign in _signed():
        palm = pose.palm_m[side]
        if palm is not None:
            gap = palm - top - sign * 0.19 * s * bent[:, 0]
            away = float(np.linalg.norm(gap))
            short = away - build.upper_arm_m - build.forearm_m - HAND_LENGTH_M * hand_scale(build)
            if short > SHORT_M and out_of_reach_m(build, pose) == 0:
                lean = lean + gap / away * short
                hips, top, spine, bent = _trunk(root, s, right, lean)
    upright = np.column_stack([right, forward, up])
    parts: dict[str, Placement] = {
        "pelvis": (hips + 0.02 * s * up, upright),
        "torso": (hips + 0.13 * s * spine, bent),
        "head": (top + spine * 0.215 * s + forward * 0.025 * s, upright),
    }
    for side, sign in _signed():
        parts |= _leg(build, pose, side, sign, hips, right, forward)
        shoulder = top + sign * 0.19 * s * bent[:, 0]
        palm = pose.palm_m[side]
        if palm is None:
            swing = sign * 0.12 * np.sin(pose.gait) if pose.stride_m else 0.0
            palm = shoulder + sign * 0.05 * right + (0.10 + swing) * forward - 0.56 * s * up
        parts |= _arm(build, side, sign, shoulder, palm, sign * right, forward, pose.grip[side])
    return parts


def _trunk(
    root: np.ndarray, stature: float, right: np.ndarray, lean: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hips, middle of the shoulders, direction of the spine and frame of a body that leans, metres."""
    up = np.array([0.0, 0.0, 1.0])
    hips = root + 0.93 * stature * up + lean * [0.25, 0.25, 0.72]
    top = root + 1.42 * stature * up + lean
    spine = (top - hips) / np.linalg.norm(top - hips)
    return hips, top, spine, _frame(right, spine)


def out_of_reach_m(build: Build, pose: Pose) -> float:
    """How far the palms of a pose lie beyond what a bent body reaches, metres; 0 for a pose that it can take."""
    shoulders = _shoulders(build, pose)
    lean = _lean(build, pose, shoulders)
    reach = 0.985 * (build.upper_arm_m + build.forearm_m) + HAND_LENGTH_M * hand_scale(build)
    short = 0.0
    for side in SIDES:
        palm = pose.palm_m[side]
        if palm is not None:
            short = max(short, float(np.linalg.norm(palm - shoulders[side] - lean)) - reach)
    return short


def held_position(build: Build, palm: np.ndarray, yaw: float, side: str, radius_m: float) -> np.ndarray:
    """Centre of an upright item in a gripping hand, metres."""
    sign = -1.0 if side == "left" else 1.0
    forward = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    return np.asarray(palm + 0.045 * forward - sign * right * (0.016 + radius_m))


def _signed() -> tuple[tuple[str, float], tuple[str, float]]:
    return ("left", -1.0), ("right", 1.0)


def _shoulders(build: Build, pose: Pose) -> dict[str, np.ndarray]:
    """Where the shoulders of an upright body are, [3] metres each."""
    right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
    middle = np.array([*pose.at_m, 1.42 * build.stature])
    return {side: middle + sign * 0.19 * build.stature * right for side, sign in _signed()}


def _lean(build: Build, pose: Pose, shoulders: Mapping[str, np.ndarray]) -> np.ndarray:
    """How far the shoulders move so that both palms come within reach, [3] metres."""
    reach = 0.97 * (build.upper_arm_m + build.forearm_m) + HAND_LENGTH_M * hand_scale(build)
    lean = np.zeros(3)
    for _ in range(2):
        for side, _sign in _signed():
            palm = pose.palm_m[side]
            if palm is None:
                continue
            gap = palm - shoulders[side] - lean
            need = float(np.linalg.norm(gap)) - reach
            if need > 0:
                lean = lean + gap / np.linalg.norm(gap) * need
    length = float(np.linalg.norm(lean))
    farthest = FARTHEST_LEAN_M * build.stature
    return lean if length <= farthest else lean * farthest / length


def _leg(
    build: Build, pose: Pose, side: str, sign: float, hips: np.ndarray, right: np.ndarray, forward: np.ndarray
) -> dict[str, Placement]:
    s = build.stature
    phase = pose.gait + (0.0 if sign > 0 else np.pi)
    step = pose.stride_m * np.sin(phase)
    lift = 0.07 * s * max(0.0, np.cos(phase)) if pose.stride_m else 0.0
    hip = hips + sign * 0.095 * s * right - 0.01 * s * np.array([0, 0, 1.0])
    ankle = np.array([*pose.at_m, 0.085 * s + lift]) + sign * 0.105 * s * right + step * forward
    knee, ankle = _two_links(hip, ankle, 0.42 * s, 0.40 * s, forward + 0.1 * sign * right)
    rest_x = sign * 0.095
    down = np.array([0.05 * rest_x, 0, -0.42])
    return {
        f"thigh-{side}": (hip, _carry(down, knee - hip, right)),
        f"shin-{side}": (knee, _carry(np.array([0.05 * rest_x, 0, -0.40]), ankle - knee, right)),
        f"foot-{side}": (ankle, np.column_stack([right, forward, [0.0, 0.0, 1.0]])),
    }


def _arm(
    build: Build,
    side: str,
    sign: float,
    shoulder: np.ndarray,
    palm: np.ndarray,
    outward: np.ndarray,
    forward: np.ndarray,
    grip: float,
) -> dict[str, Placement]:
    k = hand_scale(build)
    toward = palm - shoulder
    toward = toward / max(float(np.linalg.norm(toward)), 1e-6)
    # The hand levels out when it reaches forward, and hangs along the arm otherwise.
    for level in LEVELS:
        fingers = toward + level * forward * max(0.0, float(toward @ forward))
        fingers = fingers / np.linalg.norm(fingers)
        wrist = palm - fingers * HAND_LENGTH_M * k
        if np.linalg.norm(wrist - shoulder) <= build.upper_arm_m + build.forearm_m + SHORT_M:
            break
    hint = np.array([0.0, 0.0, -1.0]) + 0.7 * outward - 0.2 * forward
    elbow, wrist = _two_links(shoulder, wrist, build.upper_arm_m, build.forearm_m, hint)
    palm = wrist + fingers * HAND_LENGTH_M * k
    rest = np.array([sign, 0.0, 0.0])
    turn = _hand_frame(fingers, outward, side)
    found: dict[str, Placement] = {
        f"upper-{side}": (shoulder, _carry(rest, elbow - shoulder, forward, np.array([0.0, 1.0, 0.0]))),
        f"fore-{side}": (elbow, _carry(rest, wrist - elbow, forward, np.array([0.0, 1.0, 0.0]))),
    }
    for bone, (at, local) in _fingers(side, grip).items():
        found[f"{side}/{bone}"] = (palm + turn @ (k * at), turn @ local)
    return found


def _fingers(side: str, grip: float) -> dict[str, Placement]:
    """The hand's bones about the middle of the palm, for a hand closed by `grip` (0-1)."""
    flip = 1.0 if side == "right" else -1.0
    found: dict[str, Placement] = {"palm": (np.zeros(3), np.eye(3))}
    for finger, length in enumerate(FINGER_LENGTH_M):
        at = np.array([0.0, 0.045, KNUCKLE_Z_M[finger]])
        angle = 0.0
        for joint, bend in enumerate((0.10 + 0.72 * grip, 0.14 + 0.78 * grip, 0.08 + 0.42 * grip)):
            angle += bend
            turn = _about_z(flip * angle)
            found[f"finger{finger}{joint}"] = (at, turn)
            at = at + turn @ np.array([0.0, length * (1.0, 0.62, 0.48)[joint], 0.0])
    at = np.array(_thumb_rest()[0][0]) * [flip, 1, 1]
    angle = 0.0
    for joint, (start, end) in enumerate(_thumb_rest()):
        angle += (0.1 + 0.75 * grip) if joint == 0 else (0.1 + 0.35 * grip)
        turn = _about_z(flip * angle)
        found[f"thumb{joint}"] = (at, turn)
        at = at + turn @ ((np.array(end) - np.array(start)) * [flip, 1, 1])
    return found


@cache
def _hand_origins(side: str, scale: float) -> dict[str, np.ndarray]:
    flip = np.array([1.0 if side == "right" else -1.0, 1.0, 1.0])
    rest = {"palm": np.zeros(3)}
    for finger, length in enumerate(FINGER_LENGTH_M):
        for joint, (start, _) in enumerate(_finger_rest(finger, length)):
            rest[f"finger{finger}{joint}"] = scale * np.array(start) * flip
    for joint, (start, _) in enumerate(_thumb_rest()):
        rest[f"thumb{joint}"] = scale * np.array(start) * flip
    return rest


@cache
def _rest_origins(build: Build) -> dict[str, np.ndarray]:
    s = build.stature
    found = {"pelvis": np.array([0, 0, 0.95 * s]), "torso": np.array([0, 0, 1.06 * s])}
    for side, sign in _signed():
        found |= {
            f"upper-{side}": np.array([sign * 0.19, 0, 1.42]) * s,
            f"fore-{side}": np.array([sign * 0.48, 0, 1.42]) * s,
            f"thigh-{side}": np.array([sign * 0.095, 0, 0.92]) * s,
            f"shin-{side}": np.array([sign * 0.1, 0, 0.50]) * s,
            f"foot-{side}": np.array([sign * 0.105, 0, 0.085]) * s,
        }
    return found


def _two_links(
    start: np.ndarray, end: np.ndarray, a: float, b: float, hint: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The joint between two links, and the end that they can reach."""
    line = end - start
    distance = float(np.clip(np.linalg.norm(line), abs(a - b) + 0.02, 0.999 * (a + b)))
    along = line / max(float(np.linalg.norm(line)), 1e-6)
    cosine = (a * a + distance * distance - b * b) / (2 * a * distance)
    aside = hint - along * float(hint @ along)
    aside = aside / max(float(np.linalg.norm(aside)), 1e-6)
    joint = start + a * (cosine * along + np.sqrt(max(0.0, 1 - cosine * cosine)) * aside)
    return joint, start + along * distance


def _carry(
    rest: np.ndarray, now: np.ndarray, hint: np.ndarray, rest_hint: np.ndarray | None = None
) -> np.ndarray:
    """The rotation that turns direction `rest` to `now` and `rest_hint` (x without one) as near as can be to `hint`."""
    before = _basis(rest, np.array([1.0, 0.0, 0.0]) if rest_hint is None else rest_hint)
    return np.asarray(_basis(now, hint) @ before.T)


def _basis(axis: np.ndarray, hint: np.ndarray) -> np.ndarray:
    a = axis / max(float(np.linalg.norm(axis)), 1e-9)
    h = hint - a * float(hint @ a)
    if np.linalg.norm(h) < 1e-3:
        h = np.cross(a, [0.31, 0.53, 0.79])
    h = h / np.linalg.norm(h)
    return np.column_stack([a, h, np.cross(a, h)])


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


def _about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _carrier_xml(build: Build) -> str:
    """A basket, or a trolley that stands on the floor, about the middle of its hold."""
    colour = _rgb(build.basket)
    walls: tuple[tuple[str, str], ...]
    if build.carries == "basket":
        walls = (
            ("0.15 0.1 0.006", "0 0 -0.1"), ("0.15 0.006 0.09", "0 0.1 0"), ("0.15 0.006 0.09", "0 -0.1 0"),
            ("0.006 0.1 0.09", "0.15 0 0"), ("0.006 0.1 0.09", "-0.15 0 0"),
        )  # fmt: skip
        return "".join(f'<geom type="box" size="{size}" pos="{at}" {colour}/>' for size, at in walls)
    walls = (
        ("0.22 0.32 0.008", "0 0 -0.13"), ("0.22 0.008 0.13", "0 0.32 0"), ("0.22 0.008 0.13", "0 -0.32 0"),
        ("0.008 0.32 0.13", "0.22 0 0"), ("0.008 0.32 0.13", "-0.22 0 0"), ("0.18 0.26 0.01", "0 0.02 -0.52"),
        ("0.012 0.012 0.28", "0.19 -0.27 -0.4"), ("0.012 0.012 0.28", "-0.19 -0.27 -0.4"),
        ("0.2 0.012 0.012", "0 -0.36 0.2"),
    )  # fmt: skip
    return "".join(f'<geom type="box" size="{size}" pos="{at}" {colour}/>' for size, at in walls)


def _cloth(build: Build) -> np.ndarray:
    """Shoes, trousers, shirt (plain or striped) and skin side by side; v runs up the body."""
    picture = np.zeros((32, 64, 3), np.uint8)
    for index, colour in enumerate((build.shoes, build.trousers, build.shirt, build.skin)):
        picture[:, 16 * index : 16 * index + 16] = np.round(255 * np.array(colour))
    picture[::4, 32:48] = picture[1::4, 32:48] = np.round(255 * np.array(build.stripe))
    return picture


def _plain(colour: tuple[float, float, float]) -> np.ndarray:
    return np.full((8, 8, 3), np.round(255 * np.array(colour)), np.uint8)


def _rgb(colour: tuple[float, float, float]) -> str:
    return f'rgba="{colour[0]:.3f} {colour[1]:.3f} {colour[2]:.3f} 1"'
