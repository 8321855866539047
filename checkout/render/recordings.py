"""Makes recordings: a script's pictures, plates and exact truth in one folder.

Everything derives from the seed; the truth and the plates are the same bit for bit on any number
of workers, with or without pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from checkout.errors import InputError, nearest
from checkout.events import Receipt, ReceiptLine, ShelfEvent
from checkout.output import check_free, new_folder
from checkout.recording import Camera, Entry, Recording, Truth, write_plates
from checkout.render.frames import LEAST_VISIBLE, visible_boxes
from checkout.render.people import Build
from checkout.render.pictures import Sensor
from checkout.render.plate_signal import RATE_HZ, plate_signals
from checkout.render.products import draw_products
from checkout.render.scene import LABELS, PERSON, SHELF_HEIGHTS_M, SLOTS, Scene, Unit, View, make_planogram
from checkout.render.script import Deed, Stage, hand_inside, plan

FACINGS = 24
NEAR_M = 1.0
SAME_WEIGHT_G = 10.0
BOXES_EVERY = 4
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class RecordingSpec:
    """What a recording is made from."""

    id: str
    seed: int
    shoppers: int
    duration_s: float = 40.0
    fps: int = 12
    test: bool = True


SETS: dict[str, tuple[RecordingSpec, ...]] = {
    "shipped": (
        RecordingSpec("one-shopper-a", 101, 1),
        RecordingSpec("one-shopper-b", 102, 1),
        RecordingSpec("two-shoppers-a", 201, 2),
        RecordingSpec("two-shoppers-b", 202, 2),
        RecordingSpec("two-shoppers-c", 203, 2),
        RecordingSpec("three-shoppers-a", 301, 3),
    ),
    "val": tuple(RecordingSpec(f"val-{i:02d}", 9000 + i, 1 + i % 3, test=False) for i in range(12)),
}
"""Named sets; the shipped ones use brands, looks and cameras that training never shows."""


def render_set(
    name: str,
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    video: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Render every recording of a set into a folder each; one that is complete already is kept unless `force`.

    Raises:
        InputError: the set is unknown.
    """
    from joblib import Parallel, delayed

    if name not in SETS:
        raise InputError("--set", "", f"{name!r} is not one of {', '.join(SETS)}", nearest(name, SETS))
    out.mkdir(parents=True, exist_ok=True)
    todo = [spec for spec in SETS[name] if force or not (out / spec.id).exists()]
    runner = Parallel(n_jobs=workers, return_as="generator_unordered")
    for done, _ in enumerate(
        runner(delayed(render_recording)(s, out / s.id, force=force, video=video) for s in todo), 1
    ):
        if progress:
            progress(f"rendering {name}", done / len(todo))
    return [out / spec.id for spec in SETS[name]]


def render_recording(
    spec: RecordingSpec,
    out: Path,
    *,
    force: bool = False,
    video: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Recording:
    """Render one recording.

    Args:
        video: without pictures, truth and plates are the same and made in seconds.

    Raises:
        InputError: `out` exists and `force` is not set.
    """
    check_free(out, force=force)
    looks, stocking, acting, weighing, filming = (np.random.default_rng([spec.seed, i]) for i in range(5))
    heights = [h + float(d) for h, d in zip(SHELF_HEIGHTS_M, looks.uniform(-0.04, 0.04, 4), strict=True)]
    products = draw_products(looks, FACINGS, test=spec.test)
    planogram = make_planogram(products, heights)
    builds = [Build.draw(looks) for _ in range(spec.shoppers)]
    units, stock = _stock(planogram, products, stocking)
    begin = {name: list(slots) for name, slots in stock.items()}
    script = plan(planogram, products, units, stock, spec.shoppers, spec.duration_s, acting)
    stage = Stage(script, planogram, products, units, builds, begin)
    scene = Scene(products, planogram, units, builds, looks, heights=heights)
    views = _views(filming)
    try:
        events = [_event(deed, script, stage, scene, views) for deed in script.deeds if deed.kind != "touch"]
        entries = tuple(
            Entry(f"s{i + 1}", max(0.0, walk[0][0]), (walk[0][1], walk[0][2]))
            for i, walk in enumerate(script.walks)
        )
        with new_folder(out, force=force) as draft:
            t_s, signals = plate_signals(script, planogram, units, begin, weighing)
            write_plates(draft / "plates.parquet", t_s, signals)
            scene.catalog.save(draft / "catalog.csv")
            planogram.save(draft / "planogram.yaml")
            shoppers = tuple(e.shopper for e in entries)
            Truth(shoppers, tuple(events), _receipts(shoppers, events)).save(draft / "truth.json")
            cameras: tuple[Camera, ...] = ()
            if video:
                cameras = tuple(
                    v.calibration(f"cam{i}", f"cam{i}.mp4", spec.fps) for i, v in enumerate(views)
                )
                boxes = _film(spec, scene, stage, views, filming, draft, progress)
                boxes.to_parquet(draft / "boxes.parquet", index=False)
            Recording(
                draft, spec.id, cameras, RATE_HZ, entries, "rendered by checkout render", LICENCE, spec.seed
            ).save_header()
    finally:
        scene.close()
    return Recording.open(out)


def _stock(
    planogram: Any, products: Sequence[Any], rng: np.random.Generator
) -> tuple[list[Unit], dict[str, list[int | None]]]:
    index = {p.product.product: i for i, p in enumerate(products)}
    units: list[Unit] = []
    stock: dict[str, list[int | None]] = {}
    for facing in planogram.values():
        product = index[facing.product]
        slots: list[int | None] = [None] * SLOTS
        for slot in range(int(rng.integers(0, 2)), SLOTS):
            sold = products[product].product
            slots[slot] = len(units)
            units.append(Unit(product, float(rng.normal(sold.weight_g, sold.weight_sd_g))))
        stock[facing.facing] = slots
    return units, stock


def _views(rng: np.random.Generator) -> list[View]:
    """An overhead and an oblique camera, mounted a little differently each time."""
    side = float(rng.choice([-1.0, 1.0]))
    lens = float(rng.uniform(-0.1, -0.03))
    return [
        View(
            (
                float(rng.uniform(-0.15, 0.15)),
                float(rng.uniform(-0.95, -0.75)),
                float(rng.uniform(2.55, 2.8)),
            ),
            (float(rng.uniform(-0.05, 0.05)), -0.22, 1.05),
            float(rng.uniform(45, 50)),
            lens,
        ),
        View(
            (
                side * float(rng.uniform(0.8, 1.25)),
                float(rng.uniform(-1.65, -1.4)),
                float(rng.uniform(2.2, 2.5)),
            ),
            (0.0, 0.0, 1.0),
            float(rng.uniform(42, 47)),
            lens,
        ),
    ]


def _event(deed: Deed, script: Any, stage: Stage, scene: Scene, views: Sequence[View]) -> ShelfEvent:
    """The true event, with the conditions that make it easy or hard."""
    start, end = hand_inside(stage, deed)
    product = scene.products[scene.units[deed.units[0]].product]
    facing = scene.planogram[deed.facing]
    shelf = [
        f.product for f in scene.planogram.on_shelf(facing.shelf) if f.product != product.product.product
    ]
    groups = {p.product.product: p.group for p in scene.products}
    at = np.array(deed.stand_m)
    near = 0
    for other in range(len(scene.builds)):
        if other != deed.shopper and script.inside(other, deed.moved_s):
            near += int(np.linalg.norm(script.at(other, deed.moved_s)[0] - at) <= NEAR_M)
    weight = product.product.weight_g
    return ShelfEvent(
        t_s=0.5 * (start + end),
        action="pick" if deed.kind == "pick" else "put_back",
        product=product.product.product,
        quantity=len(deed.units),
        shopper=f"s{deed.shopper + 1}",
        facing=deed.facing,
        t_start_s=start,
        t_end_s=end,
        conditions={
            "people_near": near,
            "look_alikes": sum(groups[p] == product.group for p in shelf),
            "same_weight": sum(abs(scene.catalog[p].weight_g - weight) <= SAME_WEIGHT_G for p in shelf),
            "occlusion": round(_occlusion(deed, start, end, stage, scene, views), 3),
            "misplaced": facing.product != product.product.product,
        },
    )


def _occlusion(
    deed: Deed, start: float, end: float, stage: Stage, scene: Scene, views: Sequence[View]
) -> float:
    """Share of sight lines to the palm and fingertips that are blocked, in the better camera, over the event."""
    instance = scene.hand_instance(deed.shopper, "right")
    hidden = np.zeros(len(views))
    times = np.linspace(start, end, 5)
    for t_s in times:
        _place(scene, stage, float(t_s))
        pose = stage.pose(deed.shopper, float(t_s))
        assert pose is not None
        palm = stage.palm(deed.shopper, float(t_s), pose)
        points = [palm + np.array([dx, dy, 0.0]) for dx, dy in ((0, 0), (0, 0.06), (0, -0.05))]
        for camera, view in enumerate(views):
            origin = np.array(view.position_m)
            hidden[camera] += np.mean([not scene.sees(origin, p, instance) for p in points])
    return float(hidden.min() / len(times))


def _place(scene: Scene, stage: Stage, t_s: float) -> None:
    for shopper in range(len(scene.builds)):
        scene.place_shopper(shopper, stage.pose(shopper, t_s))
    for unit, at in stage.unit_positions(t_s).items():
        scene.place_unit(unit, at)
    scene.update()


def _film(
    spec: RecordingSpec,
    scene: Scene,
    stage: Stage,
    views: Sequence[View],
    rng: np.random.Generator,
    out: Path,
    progress: Callable[[str, float], None] | None,
) -> pd.DataFrame:
    """Film every camera and note the true boxes of every fourth frame."""
    from checkout.vision.video import VideoWriter

    sensors = [Sensor.draw(rng, wide=False) for _ in views]
    direction = np.array([rng.normal(0, 0.3), rng.uniform(0.2, 0.7), -1.0])
    scene.set_light(float(rng.uniform(0.35, 0.55)), float(rng.uniform(0.2, 0.35)), direction)
    frames = round(spec.duration_s * spec.fps)
    rows = []
    writers = [VideoWriter(out / f"cam{i}.mp4", v.width, v.height, spec.fps) for i, v in enumerate(views)]
    try:
        for frame in range(frames):
            _place(scene, stage, frame / spec.fps)
            for camera, view in enumerate(views):
                scene.set_view(view)
                image = sensors[camera].apply(scene.picture(), rng)
                writers[camera].write(image[:, :, ::-1])
                if frame % BOXES_EVERY == 0:
                    for label, name, box, visible in visible_boxes(scene, view):
                        if visible >= 0.5 * LEAST_VISIBLE[label] or label == PERSON:
                            rows.append(
                                (f"cam{camera}", frame, LABELS[label], name, *map(float, box), visible)
                            )
            if progress:
                progress(f"rendering {spec.id}", (frame + 1) / frames)
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.close()
    return pd.DataFrame(rows, columns=["camera", "frame", "label", "id", "x1", "y1", "x2", "y2", "visible"])


def _receipts(shoppers: Sequence[str], events: Sequence[ShelfEvent]) -> tuple[Receipt, ...]:
    made = []
    for shopper in shoppers:
        units: dict[str, int] = {}
        for event in events:
            if event.shopper == shopper:
                units[event.product] = units.get(event.product, 0) + event.units
        lines = tuple(ReceiptLine(p, n, 1.0) for p, n in sorted(units.items()) if n > 0)
        made.append(Receipt(shopper, lines))
    return tuple(made)
