"""One gondola with its products and shoppers, drawn by MuJoCo without a screen.

World: metres; x along the gondola's face, y into the shelf (the aisle is y < 0), z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from checkout.catalog import Catalog, Facing, Planogram
from checkout.recording import Camera
from checkout.render.engine import load_mujoco
from checkout.render.people import SIDES, Build, Pose, person_xml, place_parts
from checkout.render.products import DrawnProduct

PLATE_M = 0.1016
"""Published: plates are 4 inches wide (AutoCheckout competition, shared/data README)."""
PLATES_PER_SHELF = 12
LAYOUTS = ((2, 2, 2, 2, 2, 2), (3, 2, 2, 3, 2), (2, 3, 2, 2, 3), (3, 3, 2, 2, 2))
"""Plates of each facing along a shelf; published: one product usually stands on 2-3 plates (shared/data README)."""
DEPTH_M = 0.40
MOST_SLOTS = 4
"""Units that stand one behind the other on a facing."""
GAP_M = 0.014
FIRST_GAP_M = 0.018
BOARD_M = 0.012
SHELF_HEIGHTS_M = {3: (0.62, 1.02, 1.40), 4: (0.50, 0.84, 1.16, 1.46), 5: (0.34, 0.66, 0.96, 1.25, 1.52)}
"""Assumed: heights of a gondola's shelves, by their number."""
HEADROOM_M = 0.34
WIDTH_M = PLATES_PER_SHELF * PLATE_M
HAND, ITEM, PERSON = 0, 1, 2
LABELS = ("hand", "item", "person")


@dataclass(frozen=True)
class View:
    """A camera's place: where it is, what it looks at, its vertical field of view and its lens."""

    position_m: tuple[float, float, float]
    look_at_m: tuple[float, float, float]
    fovy_deg: float
    k1: float = 0.0
    k2: float = 0.0
    width: int = 640
    height: int = 360

    @property
    def folds(self) -> bool:
        """Whether the lens is too bent for this field of view: the picture's corners then show no ray at all.

        A ray at distance r from the axis appears at r (1 + k1 r^2 + k2 r^4) (Brown-Conrady); past the first
        maximum of that, pictures fold over.
        """
        corner = float(
            np.tan(np.radians(self.fovy_deg) / 2) * np.hypot(self.width, self.height) / self.height
        )
        r = np.linspace(0.0, 20.0, 20_001)
        bent = r * (1 + self.k1 * r**2 + self.k2 * r**4)
        falling = np.flatnonzero(np.diff(bent) <= 0)
        return bool(len(falling) and bent[falling[0]] < corner)

    @property
    def rotation(self) -> np.ndarray:
        """World to camera with OpenCV's axes (x right, y down, z forward)."""
        forward = np.subtract(self.look_at_m, self.position_m)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        if np.linalg.norm(right) < 1e-6:
            right = np.array([1.0, 0.0, 0.0])
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def calibration(self, camera: str, file: str, fps: float) -> Camera:
        focal = 0.5 * self.height / np.tan(np.radians(self.fovy_deg) / 2)
        matrix = np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1.0]])
        rotation = self.rotation
        return Camera(
            camera, file, fps, self.width, self.height, matrix, np.array([self.k1, self.k2, 0.0, 0.0, 0.0]),
            rotation, -rotation @ np.array(self.position_m),
        )  # fmt: skip

    @cached_property
    def _lens(self) -> tuple[np.ndarray, np.ndarray] | None:
        """For each pixel of the picture, where the ideal pinhole picture holds it."""
        if self.k1 == 0.0 and self.k2 == 0.0:
            return None
        camera = self.calibration("", "", 1.0)
        assert camera.matrix is not None
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        rays = camera.rays(np.column_stack([u.ravel(), v.ravel()])) @ self.rotation.T
        ideal = rays[:, :2] / rays[:, 2:] @ camera.matrix[:2, :2].T + camera.matrix[:2, 2] - 0.5
        shape = (self.height, self.width)
        return ideal[:, 0].reshape(shape).astype(np.float32), ideal[:, 1].reshape(shape).astype(np.float32)

    def through_lens(self, image: np.ndarray, *, smooth: bool) -> np.ndarray:
        """Bend an ideal picture as the lens does."""
        import cv2

        if self._lens is None:
            return image
        how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
        return np.asarray(cv2.remap(image, *self._lens, how, borderMode=cv2.BORDER_REPLICATE))


@dataclass(frozen=True)
class Unit:
    """One unit of a product: which drawn product it is, and its own weight."""

    product: int
    weight_g: float


def make_planogram(
    products: Sequence[DrawnProduct], heights: Sequence[float], layouts: Sequence[Sequence[int]] | None = None
) -> Planogram:
    """One product a facing, in the order given; facings that no product is left for stay away.

    A product that is too tall for a shelf's headroom goes to the next facing that has room.

    Args:
        layouts: plates of each facing, for every shelf; two plates each without it.
    """
    facings, waiting = [], list(products)
    for shelf, height in enumerate(heights, start=1):
        above = heights[shelf] if shelf < len(heights) else height + HEADROOM_M
        ceiling = above - BOARD_M - height
        first = 0
        for place, plates in enumerate(layouts[shelf - 1] if layouts else LAYOUTS[0], start=1):
            width = plates * PLATE_M
            fits = (p for p in waiting if 2 * p.half_m[2] + 0.03 < ceiling and 2 * p.half_m[0] + 0.03 < width)
            product = next(fits, None)
            if product is not None:
                waiting.remove(product)
                left = -WIDTH_M / 2 + first * PLATE_M
                facings.append(
                    Facing(
                        f"g1.s{shelf}.f{place}",
                        product.product.product,
                        tuple(f"g1.s{shelf}.p{first + i + 1}" for i in range(plates)),
                        (left, 0.0, height),
                        (left + width, DEPTH_M, above - BOARD_M),
                    )
                )
            first += plates
    return Planogram(facings)


def pitch_m(product: DrawnProduct) -> float:
    """Depth that one unit takes on a facing of its product, metres."""
    return 2 * product.half_m[1] + GAP_M


def slots_of(product: DrawnProduct) -> int:
    """How many units of a product stand one behind the other."""
    return int(min(MOST_SLOTS, (DEPTH_M - FIRST_GAP_M) // pitch_m(product)))


def slot_position(facing: Facing, slot: int, product: DrawnProduct, offset_m: float = 0.0) -> np.ndarray:
    """Middle of the base of the unit in a slot (0 is the front one) of a facing of `product`, metres."""
    assert facing.box_min_m is not None
    assert facing.box_max_m is not None
    x = 0.5 * (facing.box_min_m[0] + facing.box_max_m[0]) + offset_m
    y = facing.box_min_m[1] + FIRST_GAP_M + product.half_m[1] + slot * pitch_m(product)
    return np.array([x, y, facing.box_min_m[2]])


class Scene:
    """A gondola, its units and some people; pose them, then take pictures.

    Args:
        products: what is sold; the planogram names them.
        units: every unit that exists in the scene.
        builds: the people's looks.
        rng: colours of the shop and its light.
    """

    def __init__(
        self,
        products: Sequence[DrawnProduct],
        planogram: Planogram,
        units: Sequence[Unit],
        builds: Sequence[Build],
        rng: np.random.Generator,
        *,
        heights: Sequence[float] = SHELF_HEIGHTS_M[4],
    ) -> None:
        mujoco = self._mujoco = load_mujoco()
        self.products, self.planogram, self.units, self.builds = products, planogram, units, builds
        self.catalog = Catalog(p.product for p in products)
        xml, assets = _xml(products, units, builds, rng, heights)
        self._model: Any = mujoco.MjModel.from_xml_string(xml, assets)
        self._data: Any = mujoco.MjData(self._model)
        self._renderer: Any = None
        self._mocap = {
            self._model.body(i).name: int(self._model.body_mocapid[i])
            for i in range(self._model.nbody)
            if self._model.body_mocapid[i] >= 0
        }
        self._parts = [
            [name.split("/", 1)[1] for name in self._mocap if name.startswith(f"s{i}/")]
            for i in range(len(builds))
        ]
        self._label, self._instance = self._geom_owners()
        self._skin_instance = self._skin_owners()
        self._areas: dict[tuple[int, bytes], float] = {}
        self.view: View | None = None

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def place_unit(
        self, unit: int, base_m: np.ndarray | None, yaw: float = 0.0, quaternion: np.ndarray | None = None
    ) -> None:
        """Stand a unit with the middle of its base at a point; None takes it out of sight."""
        index = self._mocap[f"u{unit}"]
        self._data.mocap_pos[index] = (0, 0, -20) if base_m is None else base_m
        upright = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        self._data.mocap_quat[index] = upright if quaternion is None else quaternion

    def place_shopper(self, shopper: int, pose: Pose | None) -> None:
        """Pose a person; None takes them out of the scene."""
        names = self._parts[shopper]
        rows = [self._mocap[f"s{shopper}/{name}"] for name in names]
        if pose is None:
            self._data.mocap_pos[rows] = (0.0, 0.0, -20.0)
            return
        parts = place_parts(self.builds[shopper], pose)
        parts["carrier"] = (carrier_position(self.builds[shopper], pose), _upright(pose.yaw))
        turns = np.stack([parts[name][1] for name in names])
        quaternions = Rotation.from_matrix(turns).as_quat(scalar_first=True)
        self._data.mocap_pos[rows] = np.stack([parts[name][0] for name in names])
        self._data.mocap_quat[rows] = quaternions

    def set_view(self, view: View) -> None:
        """Aim the camera."""
        rotation = view.rotation
        back_up = np.column_stack([rotation[0], -rotation[1], -rotation[2]])
        quaternion = np.zeros(4)
        self._mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(back_up).ravel())
        self._model.cam_pos[0], self._model.cam_quat[0] = view.position_m, quaternion
        self._model.cam_fovy[0] = view.fovy_deg
        self._mujoco.mj_camlight(self._model, self._data)
        self.view = view

    def set_light(self, key: float, fill: float, direction: np.ndarray) -> None:
        """Strength of the shadowing and of the even light, and where the first comes from."""
        self._model.light_diffuse[0] = key
        self._model.light_diffuse[1] = fill
        self._model.light_dir[0] = direction / np.linalg.norm(direction)

    def update(self) -> None:
        """Carry the poses into the model; call before pictures of a new moment."""
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)

    def picture(self) -> np.ndarray:
        """What the camera sees, uint8 [height, width, 3], RGB."""
        assert self.view is not None
        renderer = self._ready()
        renderer.disable_segmentation_rendering()
        renderer.update_scene(self._data, camera=0)
        return self.view.through_lens(renderer.render(), smooth=True)

    def instances(self) -> np.ndarray:
        """Which instance each pixel shows, int32 [height, width]: see `owner`; -1 for the shop."""
        assert self.view is not None
        renderer = self._ready()
        renderer.enable_segmentation_rendering()
        renderer.update_scene(self._data, camera=0)
        drawn = renderer.render()
        thing, kind = drawn[..., 0], drawn[..., 1]
        objects = self._mujoco.mjtObj
        owner = np.full(thing.shape, -1, np.int32)
        geoms, skins = kind == int(objects.mjOBJ_GEOM), kind == int(objects.mjOBJ_SKIN)
        owner[geoms] = self._instance[thing[geoms]]
        owner[skins] = self._skin_instance[thing[skins]]
        return self.view.through_lens(owner.astype(np.float32), smooth=False).astype(np.int32)

    def owner(self, instance: int) -> tuple[int, str]:
        """Label index and name of an instance: ("item", unit), ("hand", person and side), ("person", person)."""
        n = len(self.units)
        if instance < n:
            return ITEM, f"u{instance}"
        who, what = divmod(instance - n, 3)
        return (PERSON, f"p{who + 1}") if what == 2 else (HAND, hand_name(who, SIDES[what]))

    def sees(self, origin_m: np.ndarray, point_m: np.ndarray, instance: int) -> bool:
        """Whether nothing but the instance itself stands between a camera and a point."""
        ray = point_m - origin_m
        length = float(np.linalg.norm(ray))
        hit = np.zeros(1, np.int32)
        distance = self._mujoco.mj_ray(
            self._model, self._data, origin_m, ray / length, None, 1, -1, hit, np.zeros(3)
        )
        if distance < 0 or distance >= length - 0.005:
            return True
        return bool(self._instance[hit[0]] == instance)

    def outline_px(self, instance: int, view: View) -> float:
        """Pixels that an instance would fill in the picture were nothing before it."""
        n = len(self.units)
        if instance < n:
            row = self._mocap[f"u{instance}"]
            at, turn = self._data.mocap_pos[row], self._data.mocap_quat[row]
            key = (
                instance,
                np.concatenate([at, turn, view.position_m, view.look_at_m, [view.fovy_deg]]).tobytes(),
            )
            if key not in self._areas:
                corners = self.products[self.units[instance].product].vertices
                rotated = corners @ Rotation.from_quat(turn, scalar_first=True).as_matrix().T + at
                self._areas[key] = _filled([rotated], view)
            return self._areas[key]
        pieces = []
        for geom in np.flatnonzero(self._instance == instance):
            at = self._data.geom_xpos[geom]
            if at[2] < -5:
                continue
            turn = self._data.geom_xmat[geom].reshape(3, 3)
            pieces.append(
                _surface_points(self._model.geom_size[geom], int(self._model.geom_type[geom])) @ turn.T + at
            )
        return _filled(pieces, view)

    def hand_instance(self, shopper: int, side: str) -> int:
        return len(self.units) + 3 * shopper + SIDES.index(side)

    def _ready(self) -> Any:
        assert self.view is not None
        size = (self.view.height, self.view.width)
        if self._renderer is not None and (self._renderer.height, self._renderer.width) != size:
            self.close()
        if self._renderer is None:
            self._renderer = self._mujoco.Renderer(self._model, *size)
        return self._renderer

    def _geom_owners(self) -> tuple[np.ndarray, np.ndarray]:
        label = np.full(self._model.ngeom, -1)
        instance = np.full(self._model.ngeom, -1)
        n = len(self.units)
        for geom in range(self._model.ngeom):
            name = self._model.body(int(self._model.geom_bodyid[geom])).name
            if name.startswith("u"):
                label[geom], instance[geom] = ITEM, int(name[1:])
            elif name.startswith("s") and not name.endswith("/carrier"):
                who, part = name[1:].split("/", 1)
                side = part.split("/")[0]
                if side in SIDES:
                    label[geom], instance[geom] = HAND, n + 3 * int(who) + SIDES.index(side)
                else:
                    label[geom], instance[geom] = PERSON, n + 3 * int(who) + 2
        return label, instance

    def _skin_owners(self) -> np.ndarray:
        owners = np.full(max(1, self._model.nskin), -1)
        for skin in range(self._model.nskin):
            name = self._mujoco.mj_id2name(self._model, self._mujoco.mjtObj.mjOBJ_SKIN, skin)
            who, part = name[1:].split("-", 1)
            what = SIDES.index(part.removeprefix("hand-")) if part.startswith("hand-") else 2
            owners[skin] = len(self.units) + 3 * int(who) + what
        return owners


def hand_name(person: int, side: str) -> str:
    """The name of a person's hand, as boxes have it."""
    return f"p{person + 1}.{side}"


_CIRCLE = np.array([[np.cos(a), np.sin(a), 0.0] for a in np.linspace(0, 2 * np.pi, 9)[:-1]])


def _surface_points(size: np.ndarray, kind: int) -> np.ndarray:
    """Points whose hull is a capsule (radius, half length along z) or an ellipsoid (half axes)."""
    mujoco = load_mujoco()
    ball = np.vstack([_CIRCLE, _CIRCLE[:, [0, 2, 1]], _CIRCLE[:, [2, 0, 1]]])
    if kind == int(mujoco.mjtGeom.mjGEOM_CAPSULE):
        along = np.array([0.0, 0.0, size[1]])
        return np.vstack([ball * size[0] + along, ball * size[0] - along])
    return np.asarray(ball * size)


def _filled(pieces: Sequence[np.ndarray], view: View) -> float:
    """Pixels of the picture inside the projected hulls of pieces [n, 3], together."""
    import cv2

    if not pieces:
        return 0.0
    camera = view.calibration("", "", 1.0)
    mask = np.zeros((view.height, view.width), np.uint8)
    pixels, depth = camera.project(np.vstack(pieces))
    ends = np.cumsum([len(p) for p in pieces])
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        if (depth[first:last] > 0.05).all():
            hull = cv2.convexHull(np.round(16 * (pixels[first:last] - 0.5)).astype(np.int32))
            cv2.fillConvexPoly(mask, hull, 1, lineType=cv2.LINE_8, shift=4)
    return float(np.count_nonzero(mask))


def _upright(yaw: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def carrier_position(build: Build, pose: Pose) -> np.ndarray:
    """Middle of a person's basket (at the left, over the hip), or of a trolley's hold (at the left, behind), metres."""
    forward = np.array([-np.sin(pose.yaw), np.cos(pose.yaw), 0.0])
    right = np.array([np.cos(pose.yaw), np.sin(pose.yaw), 0.0])
    s = build.stature
    if build.carries == "trolley":
        return np.array([*pose.at_m, 0.70]) - 0.52 * right - 0.16 * forward
    return np.array([*pose.at_m, 0.82 * s]) - 0.36 * s * right + 0.06 * s * forward


def _xml(
    products: Sequence[DrawnProduct],
    units: Sequence[Unit],
    builds: Sequence[Build],
    rng: np.random.Generator,
    heights: Sequence[float],
) -> tuple[str, dict[str, bytes]]:
    import cv2

    assets: dict[str, bytes] = {}
    asset: list[str] = []
    world: list[str] = []
    skins: list[str] = []
    for index, product in enumerate(products):
        assets[f"label{index}.png"] = cv2.imencode(".png", product.label[:, :, ::-1])[1].tobytes()
        asset.append(f'<texture name="t{index}" type="2d" file="label{index}.png"/>')
        shine = 0.5 if product.package.kind in ("can", "bottle", "tin", "jar") else 0.15
        asset.append(f'<material name="m{index}" texture="t{index}" specular="{shine}" shininess="0.4"/>')
        asset.append(
            f'<mesh name="mesh{index}" inertia="shell" vertex="{_flat(product.vertices)}"'
            f' texcoord="{_flat(product.uv * [1, -1] + [0, 1])}" face="{" ".join(map(str, product.faces.ravel()))}"/>'
        )
    floor = np.clip(rng.uniform(0.35, 0.8) + rng.normal(0, 0.06, 3), 0, 1)
    wall = np.clip(rng.uniform(0.35, 0.9) + rng.normal(0, 0.08, 3), 0, 1)
    metal = rng.uniform(0.45, 0.95)
    panel = np.clip(metal + rng.uniform(-0.25, 0.1, 3), 0.1, 1.0)
    tile = " ".join(f"{v:.3f}" for v in floor)
    joint = " ".join(f"{v * 0.85:.3f}" for v in floor)
    asset.append(
        f'<texture name="floor" type="2d" builtin="checker" rgb1="{tile}" rgb2="{joint}" width="128" height="128"/>'
        '<material name="floor" texture="floor" texrepeat="8 8" specular="0.1"/>'
    )
    world.append('<geom type="plane" size="5 5 .1" material="floor"/>')
    world.append(f'<geom type="box" size="5 0.02 1.6" pos="0 0.9 1.6" {_rgba(wall)}/>')
    half = WIDTH_M / 2
    world.append(f'<geom type="box" size="{half} 0.01 0.95" pos="0 {DEPTH_M + 0.015} 0.95" {_rgba(panel)}/>')
    for x in (-half - 0.012, half + 0.012):
        world.append(
            f'<geom type="box" size="0.012 {DEPTH_M / 2} 0.95" pos="{x} {DEPTH_M / 2} 0.95"'
            f" {_rgba(np.full(3, metal))}/>"
        )
    plinth = heights[0] - BOARD_M
    world.append(
        f'<geom type="box" size="{half} {DEPTH_M / 2 - 0.02} {plinth / 2}" pos="0 {DEPTH_M / 2 + 0.02} {plinth / 2}"'
        f" {_rgba(panel * 0.7)}/>"
    )
    rail = rng.uniform(0.6, 1.0, 3)
    for height in heights:
        world.append(
            f'<geom type="box" size="{half} {DEPTH_M / 2} {BOARD_M / 2}" pos="0 {DEPTH_M / 2} {height - BOARD_M / 2}"'
            f" {_rgba(np.full(3, metal))}/>"
        )
        world.append(
            f'<geom type="box" size="{half} 0.003 0.018" pos="0 -0.003 {height - 0.018}" {_rgba(rail)}/>'
        )
        for place in range(PLATES_PER_SHELF // 2):
            x = -half + (place + 0.5) * 2 * PLATE_M
            world.append(
                f'<geom type="box" size="0.03 0.002 0.013" pos="{x} -0.007 {height - 0.018}" rgba="1 1 .95 1"/>'
            )
    for index, unit in enumerate(units):
        world.append(
            f'<body name="u{index}" mocap="true" pos="0 0 -20"><geom type="mesh" mesh="mesh{unit.product}"'
            f' material="m{unit.product}"/></body>'
        )
    for index, build in enumerate(builds):
        own, bodies, skin, textures = person_xml(f"s{index}", build)
        asset.append(own)
        world.append(bodies)
        skins.append(skin)
        assets |= {name: cv2.imencode(".png", t[:, :, ::-1])[1].tobytes() for name, t in textures.items()}
    xml = f"""<mujoco><compiler autolimits="true"/>
    <visual><global offwidth="640" offheight="360"/><quality shadowsize="1024" offsamples="2"/>
    <headlight ambient=".34 .34 .34" diffuse=".12 .12 .12" specular="0 0 0"/>
    <map znear="0.03" zfar="20" shadowclip="1.1"/></visual>
    <statistic extent="2.4" center="0 -0.4 0.9"/>
    <default><geom contype="0" conaffinity="0" group="0"/></default>
    <asset><texture type="skybox" builtin="flat" rgb1=".75 .78 .8" width="16" height="16"/>{"".join(asset)}</asset>
    <worldbody><light pos="0 -1.5 3.4" dir="0 0.4 -1" directional="true" diffuse=".5 .5 .5" specular=".3 .3 .3"/>
    <light pos="0 -2 3" dir="0 0.6 -0.5" directional="true" castshadow="false" diffuse=".3 .3 .3" specular="0 0 0"/>
    <camera name="view" mode="fixed" pos="0 -2 2"/>{"".join(world)}</worldbody>
    <deformable>{"".join(skins)}</deformable></mujoco>"""
    return xml, assets


def _flat(values: np.ndarray) -> str:
    return " ".join(f"{v:.5f}" for v in np.ravel(values))


def _rgba(colour: np.ndarray) -> str:
    r, g, b = np.clip(colour, 0, 1)
    return f'rgba="{r:.3f} {g:.3f} {b:.3f} 1"'
