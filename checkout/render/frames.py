"""Training frames: moments before random gondolas, with the boxes that their masks give.

A scene (products, shoppers, colours) is built once and shows several moments; each frame has its
own light, camera and picture quality. In two scenes of three people strike random poses before random
stock; in the others, which make three fifths of the frames, they act out a recording's plan, so that
whoever walks in, turns, carries and crowds is seen as a camera sees it. Everything derives from
(seed, scene number).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from checkout.output import new_folder
from checkout.render.labels import LEAST_VISIBLE, visible_boxes
from checkout.render.people import SIDES, Build, Pose, held_position
from checkout.render.pictures import Sensor
from checkout.render.products import draw_products
from checkout.render.scene import (
    HAND,
    LABELS,
    LAYOUTS,
    SHELF_HEIGHTS_M,
    WIDTH_M,
    Scene,
    Unit,
    View,
    hand_name,
    make_planogram,
    slot_position,
    slots_of,
)
from checkout.render.specs import TRAINING_CAMERA_HEIGHTS_M, RecordingSpec

SCENES = (("posed", 12), ("acted", 36), ("posed", 12))
"""Kinds of scenes and their frames, over and over; a plan costs seconds, so more is made of it."""
ACTED_PEOPLE = (
    "s1",
    "s1 s2",
    "s1 s2",
    "s1 s2 s3",
    "s1 s2+trolley",
    "s1 s1+child s2",
    "staff s1 s2",
    "s1 s2 s3 s4",
)
MOUNTED_SHARE = 0.6
"""Assumed: share of acted frames that a camera mounted as in recordings takes; the others come from anywhere."""
TRAINING_SEED = 1_000_003
"""Keeps training scenes apart from recordings of the same seed."""


def render_training_frames(
    out: Path,
    *,
    count: int,
    seed: int,
    val_count: int = 0,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a YOLO data set of rendered frames: classes hand, item, person; returns its folder.

    Beside `images` and `labels`, `hands` says of every labelled hand whether it holds an item: its box as in
    `labels`, and 1 or 0.

    Raises:
        InputError: `out` exists.
    """
    from joblib import Parallel, delayed

    jobs = []
    for split, number in (("train", count), ("val", val_count)):
        first, kinds = 0, cycle(SCENES)
        while first < number:
            kind, frames = next(kinds)
            jobs.append((_SCENE_MAKERS[kind], split, first, min(frames, number - first)))
            first += frames
    with new_folder(out) as draft:
        for split in ("train", "val"):
            for kind in ("images", "labels", "hands"):
                (draft / kind / split).mkdir(parents=True)
        runner = Parallel(n_jobs=workers, return_as="generator_unordered")
        done = 0
        for made in runner(delayed(make)(draft, split, first, n, seed) for make, split, first, n in jobs):
            done += made
            if progress:
                progress(done, count + val_count)
        names = "\n".join(f"  {i}: {name}" for i, name in enumerate(LABELS))
        held_out = "val" if val_count else "train"
        text = f"path: {out.resolve()}\ntrain: images/train\nval: images/{held_out}\nnames:\n{names}\n"
        (draft / "data.yaml").write_text(text, encoding="utf-8")
    return out


def _posed_scene(out: Path, split: str, first: int, count: int, seed: int) -> int:
    rng = np.random.default_rng([TRAINING_SEED, seed, int(split == "val"), first])
    shelves = int(rng.choice([3, 4, 4, 5]))
    drawn = rng.uniform(-0.04, 0.04, shelves)
    heights = [h + float(d) for h, d in zip(SHELF_HEIGHTS_M[shelves], drawn, strict=True)]
    products = draw_products(rng, int(rng.integers(18, 37)), test=False)
    planogram = make_planogram(products, heights, [LAYOUTS[int(rng.integers(len(LAYOUTS)))] for _ in heights])
    index = {p.product.product: i for i, p in enumerate(products)}
    stock = [(f, s) for f in planogram.values() for s in range(slots_of(products[index[f.product]]))]
    spare = int(rng.integers(4, 8))
    units = [Unit(index[f.product], 1.0) for f, _ in stock]
    units += [Unit(int(rng.integers(len(products))), 1.0) for _ in range(spare)]
    carries = ("basket", "basket", "trolley", "nothing")
    builds = [
        Build.draw(rng, carries=carries[int(rng.integers(4))], child=i == 2 and rng.uniform() < 0.4)
        for i in range(3)
    ]
    scene = Scene(products, planogram, units, builds, rng, heights=heights)
    for number in range(count):
        fullness = rng.uniform(0.3, 1.0)
        empty = {
            f.facing: int(rng.integers(0, 5)) if rng.uniform() > fullness else 0 for f in planogram.values()
        }
        for unit, (facing, slot) in enumerate(stock):
            at = (
                slot_position(facing, slot, products[index[facing.product]], float(rng.normal(0, 0.01)))
                if slot >= empty[facing.facing]
                else None
            )
            scene.place_unit(unit, at, float(rng.normal(0, 0.15)))
        free = list(range(len(stock), len(units)))
        for unit in free:
            scene.place_unit(unit, None)
        shoppers = int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
        poses = [_random_pose(rng, i, shoppers, heights) for i in range(shoppers)]
        for shopper in range(3):
            scene.place_shopper(shopper, poses[shopper] if shopper < shoppers else None)
        full: set[str] = set()
        for shopper, pose in enumerate(poses):
            for side in SIDES:
                palm = pose.palm_m[side]
                if palm is not None and pose.grip[side] > 0.5 and free and rng.uniform() < 0.8:
                    unit = free.pop()
                    product = products[units[unit].product]
                    full.add(hand_name(shopper, side))
                    at = held_position(builds[shopper], palm, pose.yaw, side, min(product.half_m[0], 0.07))
                    scene.place_unit(
                        unit, at - [0, 0, product.half_m[2]], pose.yaw + float(rng.normal(0, 0.3))
                    )
        light_scene(scene, rng)
        scene.update()
        _take(out, split, first + number, scene, _random_view(rng, poses), full, rng)
    scene.close()
    return count


def _acted_scene(out: Path, split: str, first: int, count: int, seed: int) -> int:
    """Random moments of a recording's plan, while somebody is there."""
    from checkout.render.recordings import make_plot, mounted_views, place_all

    rng = np.random.default_rng([TRAINING_SEED, seed, int(split == "val"), first])
    spec = RecordingSpec(
        id="acted",
        seed=int(rng.integers(2**32)),
        people=tuple(ACTED_PEOPLE[int(rng.integers(len(ACTED_PEOPLE)))].split()),
        confusing=0.4,
    )
    plot = make_plot(spec)
    people = plot.script.people
    scene = Scene(
        plot.products, plot.planogram, plot.units, [p.build for p in people], plot.looks, heights=plot.heights
    )
    for number in range(count):
        while True:
            t_s = float(rng.uniform(0, spec.duration_s))
            poses = [p for i in range(len(people)) if (p := plot.stage.pose(i, t_s)) is not None]
            if poses:
                break
        place_all(plot, scene, t_s)
        light_scene(scene, rng)
        if rng.uniform() < MOUNTED_SHARE:
            view = mounted_views(rng, test=False)[int(rng.integers(2))]
        else:
            view = _random_view(rng, poses)
        full = {hand_name(person, "right") for person in plot.script.holding(t_s)}
        _take(out, split, first + number, scene, view, full, rng)
    scene.close()
    return count


_SCENE_MAKERS = {"posed": _posed_scene, "acted": _acted_scene}


def light_scene(scene: Scene, rng: np.random.Generator) -> None:
    """A random light, of a dim shop now and then."""
    dim = float(rng.uniform(0.5, 1.0)) if rng.uniform() < 0.3 else 1.0
    direction = np.array([rng.normal(0, 0.4), rng.uniform(0.1, 0.9), -1.0])
    scene.set_light(dim * float(rng.uniform(0.2, 0.6)), dim * float(rng.uniform(0.15, 0.4)), direction)


def _take(
    out: Path,
    split: str,
    number: int,
    scene: Scene,
    view: View,
    full: Collection[str],
    rng: np.random.Generator,
) -> None:
    """Write the scene's picture through a random sensor, and its labels; `full` are the hands that hold an item."""
    import cv2

    scene.set_view(view)
    image = Sensor.draw(rng, wide=True).apply(scene.picture(), rng)
    name = f"{split}-{number:05d}"
    cv2.imwrite(
        str(out / "images" / split / f"{name}.jpg"),
        image[:, :, ::-1],
        [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))],
    )
    rows, hands = [], []
    for label, owner, (x1, y1, x2, y2), visible in visible_boxes(scene, view):
        if visible < LEAST_VISIBLE[label]:
            continue
        box = (
            f"{(x1 + x2) / 2 / view.width:.6f} {(y1 + y2) / 2 / view.height:.6f}"
            f" {(x2 - x1) / view.width:.6f} {(y2 - y1) / view.height:.6f}"
        )
        rows.append(f"{label} {box}")
        if label == HAND:
            hands.append(f"{box} {int(owner in full)}")
    for kind, lines in (("labels", rows), ("hands", hands)):
        (out / kind / split / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _random_pose(rng: np.random.Generator, index: int, shoppers: int, heights: list[float]) -> Pose:
    """A shopper before the gondola; hands reach into shelves, carry things through the air, or hang."""
    lane = (
        (index - (shoppers - 1) / 2) * 0.62 + float(rng.normal(0, 0.08))
        if shoppers > 1
        else float(rng.uniform(-0.6, 0.6))
    )
    pose = Pose((lane, -float(rng.uniform(0.42, 0.95))), float(rng.normal(0, 0.35)))
    if rng.uniform() < 0.4:
        pose.gait, pose.stride_m = float(rng.uniform(0, 6.28)), float(rng.uniform(0.05, 0.26))
    for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
        what = rng.uniform()
        height = float(rng.choice(heights)) + float(rng.uniform(0.04, 0.22))
        x = lane + sign * 0.12 + float(rng.normal(0, 0.16))
        if what < 0.42:
            x = float(np.clip(x, -WIDTH_M / 2, WIDTH_M / 2))
            pose.palm_m[side] = np.array([x, float(rng.uniform(-0.14, 0.12)), height])
        elif what < 0.8:
            pose.palm_m[side] = np.array(
                [x, pose.at_m[1] + float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.75, 1.55))]
            )
        pose.grip[side] = float(rng.uniform(0.6, 1.0) if rng.uniform() < 0.6 else rng.uniform(0.0, 0.3))
    return pose


def _height(rng: np.random.Generator, kind: str) -> float:
    """A camera's height at which no test set mounts one, metres."""
    return float(rng.uniform(*TRAINING_CAMERA_HEIGHTS_M[kind][int(rng.integers(2))]))


def _random_view(rng: np.random.Generator, poses: list[Pose]) -> View:
    """An overhead or an oblique camera, of the whole shelf or zoomed in on a hand, or a close one."""
    kind = rng.uniform()
    lens = float(rng.uniform(-0.14, 0.02))
    palms = [p for pose in poses for p in pose.palm_m.values() if p is not None]
    focus = palms[int(rng.integers(len(palms)))] if palms else np.array([0.0, 0.0, 1.2])
    # A third of the mounted cameras are zoomed in on a hand, because hands are few and small in whole views.
    near = (float(focus[0] + rng.normal(0, 0.12)), float(focus[1] + rng.normal(0, 0.1)), float(focus[2]))
    zoomed = rng.uniform() < 0.35
    if kind < 0.4:
        at = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-1.2, -0.35)), _height(rng, "overhead"))
        to = (float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.35, 0.05)), float(rng.uniform(0.8, 1.2)))
        return _unfolded(
            at, near if zoomed else to, float(rng.uniform(18, 32) if zoomed else rng.uniform(36, 60)), lens
        )
    if kind < 0.8:
        at = (float(rng.uniform(-1.7, 1.7)), float(rng.uniform(-2.0, -0.65)), _height(rng, "oblique"))
        to = (float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.2, 0.1)), float(rng.uniform(0.85, 1.25)))
        return _unfolded(
            at, near if zoomed else to, float(rng.uniform(16, 28) if zoomed else rng.uniform(30, 52)), lens
        )
    away = np.array([rng.normal(0, 0.3), rng.uniform(-0.9, -0.25), rng.uniform(0.5, 0.95)])
    x, y, z = focus + away
    to = (
        float(focus[0] + rng.normal(0, 0.08)),
        float(focus[1] + rng.normal(0.05, 0.08)),
        float(focus[2] - 0.05),
    )
    return _unfolded((float(x), float(y), float(z)), to, float(rng.uniform(45, 65)), lens)


def _unfolded(
    at: tuple[float, float, float], to: tuple[float, float, float], fovy_deg: float, k1: float
) -> View:
    """A view whose lens bends as much as drawn, or half that, or a quarter, where the field of view cannot bear it."""
    view = View(at, to, fovy_deg, k1)
    while view.folds:
        view = replace(view, k1=0.5 * view.k1)
    return view
