"""Makes recordings: a script's pictures, plates and exact truth in one folder.

Everything derives from the seed; the truth and the plates are the same bit for bit on any number
of workers, with or without pictures. Pictures are filmed in short stretches that are kept when a
run is killed, so that the next run goes on where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import checkout
from checkout.catalog import Catalog, Planogram
from checkout.errors import InputError, nearest
from checkout.events import Receipt, ReceiptLine, ShelfEvent
from checkout.output import check_free, new_folder
from checkout.recording import Act, Camera, Entry, Recording, Truth, write_plates
from checkout.render.labels import LEAST_VISIBLE, visible_boxes
from checkout.render.people import Build
from checkout.render.pictures import Sensor
from checkout.render.plate_signal import plate_signals
from checkout.render.products import PACKAGES, DrawnProduct, draw_products
from checkout.render.scene import (
    LABELS,
    LAYOUTS,
    SHELF_HEIGHTS_M,
    Scene,
    Unit,
    View,
    make_planogram,
    slots_of,
)
from checkout.render.script import Deed, Person, Script, Stage, plan
from checkout.render.shelf_physics import RATE_HZ, ShelfMotion, simulate_shelves, unit_poses
from checkout.render.specs import SETS, TEST_CAMERA_HEIGHTS_M, TRAINING_CAMERA_HEIGHTS_M, RecordingSpec

NEAR_M = 1.0
OCCLUDER_M = 0.8
SAME_WEIGHT_G = 10.0
SUPPLIES = 6
STRETCH_FRAMES = 50
BLUR_M = 0.012
"""What moves less while the shutter is open is drawn sharp."""
ENTRY_PICTURE_S, ENTRY_PICTURE_VISIBLE = 0.1, 0.5
"""Assumed: the entry takes its picture so long after the scan, of whom it sees at least so much."""
LICENCE = "CC0-1.0"
Progress = Callable[[str, float], None]


@dataclass
class Plot:
    """One recording before it is filmed: who does what with which units, and how the shelves move."""

    spec: RecordingSpec
    products: list[DrawnProduct]
    catalog: Catalog
    planogram: Planogram
    heights: tuple[float, ...]
    units: list[Unit]
    script: Script
    stage: Stage
    motion: ShelfMotion
    looks: np.random.Generator
    filming: np.random.Generator


def render_set(
    name: str,
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    video: bool = True,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Render the recordings of a named set, or those of them that `only` names; see `render_all`.

    Raises:
        InputError: the set, or a recording of it, is unknown.
    """
    if name not in SETS:
        raise InputError("--set", "", f"{name!r} is not one of {', '.join(SETS)}", nearest(name, SETS))
    ids = [spec.id for spec in SETS[name]]
    for wanted in only:
        if wanted not in ids:
            raise InputError(
                "--only", "", f"{wanted!r} is not in {name}: {', '.join(ids)}", nearest(wanted, ids)
            )
    specs = [spec for spec in SETS[name] if not only or spec.id in only]
    return render_all(specs, out, workers=workers, force=force, video=video, progress=progress)


def render_all(
    specs: Sequence[RecordingSpec],
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    video: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Render recordings into a folder each; one that is complete already is kept unless `force`."""
    from joblib import Parallel, delayed

    out.mkdir(parents=True, exist_ok=True)
    todo = [spec for spec in specs if force or not (out / spec.id).exists()]
    runner = Parallel(n_jobs=workers, return_as="generator_unordered")
    jobs = runner(delayed(render_recording)(s, out / s.id, force=force, video=video) for s in todo)
    for done, _ in enumerate(jobs, 1):
        if progress:
            progress("rendering", done / len(todo))
    return [out / spec.id for spec in specs]


def render_recording(
    spec: RecordingSpec,
    out: Path,
    *,
    force: bool = False,
    video: bool = True,
    progress: Progress | None = None,
) -> Recording:
    """Render one recording.

    Args:
        video: without pictures, truth and plates are the same and made in seconds.

    Raises:
        InputError: `out` exists and `force` is not set, or it cannot be written.
    """
    check_free(out, force=force)
    plot = make_plot(spec)
    try:
        return _write(plot, out, force, video, progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
            raise
        raise InputError(
            out,
            "",
            f"cannot be written ({error.strerror})",
            "make room and run it again: finished parts are kept",
        ) from None


def make_plot(spec: RecordingSpec) -> Plot:
    """Draw the shop, plan what happens and move the shelves."""
    looks, stocking, acting, filming, pushing = (np.random.default_rng([spec.seed, i]) for i in range(5))
    number = spec.shelves or int(looks.choice([3, 4, 4, 5]))
    heights = tuple(
        h + float(d) for h, d in zip(SHELF_HEIGHTS_M[number], looks.uniform(-0.03, 0.03, number), strict=True)
    )
    products = draw_products(looks, spec.products, test=spec.test, packages=_packages(spec))
    layouts = [LAYOUTS[int(looks.integers(len(LAYOUTS)))] for _ in heights]
    planogram = make_planogram(products, heights, layouts)
    people = _people(spec, looks)
    units, stock = _stock(planogram, products, stocking)
    supplies = {}
    for index, person in enumerate(people):
        if person.role == "staff":
            supplies[index] = _supplies(planogram, products, units, stock, stocking)
    script = plan(
        planogram, products, units, stock, people, spec.duration_s, acting,
        confusing=spec.confusing, mix=spec.mix, supplies=supplies,
    )  # fmt: skip
    stage = Stage(script)
    leaning = 0.15 if spec.confusing else 0.0
    motion = simulate_shelves(script, stage, planogram, products, units, pushing, leaning=leaning)
    catalog = Catalog(p.product for p in products)
    return Plot(spec, products, catalog, planogram, heights, units, script, stage, motion, looks, filming)


def _write(plot: Plot, out: Path, force: bool, video: bool, progress: Progress | None) -> Recording:
    spec, script = plot.spec, plot.script
    scene = Scene(
        plot.products,
        plot.planogram,
        plot.units,
        [p.build for p in script.people],
        plot.looks,
        heights=plot.heights,
    )
    views = [c.view() for c in spec.cameras] or mounted_views(plot.filming, spec.test)
    signals = plate_signals(
        plot.motion, script, plot.stage, np.random.default_rng([spec.seed, 5]), spec.plates.faults()
    )
    try:
        truth = make_truth(plot, scene, views, signals.faulty)
        with new_folder(out, force=force) as draft:
            write_plates(draft / "plates.parquet", signals.t_s, signals.grams)
            plot.catalog.save(draft / "catalog.csv")
            plot.planogram.save(draft / "planogram.yaml")
            truth.save(draft / "truth.json")
            cameras: tuple[Camera, ...] = ()
            entries = entries_of(script)
            if video:
                cameras = tuple(
                    v.calibration(f"cam{i}", f"cam{i}.mp4", spec.fps) for i, v in enumerate(views)
                )
                sensors = _light(plot, scene, views)
                entries = take_entry_pictures(plot, scene, entries, draft)
                _film(plot, scene, views, sensors, out, draft, progress)
            source = f"rendered by checkout render {checkout.__version__}"
            header = Recording(draft, spec.id, cameras, RATE_HZ, entries, source, LICENCE, spec.seed)
            header.save_header()
            shutil.rmtree(_workshop(out), ignore_errors=True)
    finally:
        scene.close()
    return Recording.open(out)


def _packages(spec: RecordingSpec) -> list[int]:
    return [i for i, p in enumerate(PACKAGES) if not spec.packages or p.name in spec.packages]


def _people(spec: RecordingSpec, rng: np.random.Generator) -> list[Person]:
    people, staff = [], 0
    for name in spec.people:
        if name == "staff":
            staff += 1
            people.append(Person(f"staff{staff}", Build.draw(rng), "staff"))
            continue
        account, _, extra = name.partition("+")
        build = Build.draw(rng, carries="trolley" if extra == "trolley" else "basket", child=extra == "child")
        people.append(Person(account, build, child=extra == "child"))
    # A parent comes before the child, whom the plan lets follow.
    return sorted(people, key=lambda p: p.child)


def _stock(
    planogram: Planogram, products: Sequence[DrawnProduct], rng: np.random.Generator
) -> tuple[list[Unit], dict[str, list[int | None]]]:
    index = {p.product.product: i for i, p in enumerate(products)}
    units: list[Unit] = []
    stock: dict[str, list[int | None]] = {}
    for facing in planogram.values():
        product = index[facing.product]
        slots: list[int | None] = [None] * slots_of(products[product])
        for slot in range(int(rng.integers(0, 2)) if len(slots) > 1 else 0, len(slots)):
            slots[slot] = len(units)
            units.append(_unit(product, products, rng))
        stock[facing.facing] = slots
    return units, stock


def _unit(product: int, products: Sequence[DrawnProduct], rng: np.random.Generator) -> Unit:
    sold = products[product].product
    return Unit(product, float(rng.normal(sold.weight_g, sold.weight_sd_g)))


def _supplies(
    planogram: Planogram,
    products: Sequence[DrawnProduct],
    units: list[Unit],
    stock: dict[str, list[int | None]],
    rng: np.random.Generator,
) -> list[int]:
    """Units that staff bring for facings with room; made anew and added to `units`."""
    index = {p.product.product: i for i, p in enumerate(products)}
    room = [name for name, slots in stock.items() if slots[0] is None]
    found = []
    for name in rng.permutation(room)[:SUPPLIES]:
        found.append(len(units))
        units.append(_unit(index[planogram[str(name)].product], products, rng))
    return found


def mounted_views(rng: np.random.Generator, test: bool) -> list[View]:
    """An overhead and an oblique camera, mounted a little differently each time."""
    found = []
    side = float(rng.choice([-1.0, 1.0]))
    for kind in ("overhead", "oblique"):
        if test:
            low, high = TEST_CAMERA_HEIGHTS_M[kind]
        else:
            low, high = TRAINING_CAMERA_HEIGHTS_M[kind][int(rng.integers(2))]
        z = float(rng.uniform(low, high))
        lens = float(rng.uniform(-0.14, -0.02)), float(rng.uniform(-0.01, 0.02))
        if kind == "overhead":
            # Above the gap between people and shelf, so that heads do not hide hands.
            at = (float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.62, -0.44)), z)
            to = (float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.16, -0.08)), 1.05)
            found.append(View(at, to, float(rng.uniform(40, 46)), *lens))
        else:
            at = (side * float(rng.uniform(1.15, 1.5)), float(rng.uniform(-1.05, -0.75)), z)
            to = (0.0, float(rng.uniform(-0.1, 0.0)), float(rng.uniform(0.92, 1.0)))
            found.append(View(at, to, float(rng.uniform(39, 45)), *lens))
    return found


def entries_of(script: Script) -> tuple[Entry, ...]:
    """The entry scan of everybody in a plan."""
    return tuple(
        Entry(p.account, max(0.0, walk[0][0]), (walk[0][1], walk[0][2]), f"p{i + 1}", p.role)
        for i, (p, walk) in enumerate(zip(script.people, script.walks, strict=True))
    )


def make_truth(
    plot: Plot, scene: Scene, views: Sequence[View], faulty: dict[str, list[tuple[float, float]]]
) -> Truth:
    """The shelf events with their conditions, the other acts, and what everybody owes in the end."""
    script = plot.script
    events = tuple(
        _event(deed, plot, scene, views, faulty)
        for deed in sorted(script.deeds, key=lambda d: d.moved_s)
        if deed.kind != "touch"
    )
    acts = tuple(
        Act(
            h.kind, h.start_s, h.end_s, f"p{h.person + 1}", _product(plot, h.units[0]), len(h.units), h.facing,
            f"p{h.to + 1}" if h.to >= 0 else "",
        )
        for h in script.happenings
    )  # fmt: skip
    accounts = tuple(dict.fromkeys(p.account for p in script.people if p.role == "shopper"))
    return Truth(accounts, events, _receipts(plot, accounts), acts)


def _receipts(plot: Plot, accounts: Sequence[str]) -> tuple[Receipt, ...]:
    """Every unit that a shopper carries, also hidden, at the end is owed."""
    owed: dict[str, dict[str, int]] = {account: {} for account in accounts}
    for unit, holds in plot.script.holds.items():
        last = holds[-1]
        if last.where in ("hand", "carrier", "gone") and last.person >= 0:
            account = plot.script.people[last.person].account
            if account in owed:
                name = _product(plot, unit)
                owed[account][name] = owed[account].get(name, 0) + 1
    return tuple(
        Receipt(account, tuple(ReceiptLine(p, n, 1.0) for p, n in sorted(lines.items())))
        for account, lines in owed.items()
    )


def _product(plot: Plot, unit: int) -> str:
    return plot.products[plot.units[unit].product].product.product


def _event(
    deed: Deed,
    plot: Plot,
    scene: Scene,
    views: Sequence[View],
    faulty: dict[str, list[tuple[float, float]]],
) -> ShelfEvent:
    """The true event, with the conditions that make it easy or hard."""
    script, stage = plot.script, plot.stage
    start, end = stage.hand_inside(deed)
    product = plot.products[plot.units[deed.units[0]].product]
    facing = plot.planogram[deed.facing]
    beside = [
        f.product for f in plot.planogram.on_shelf(facing.shelf) if f.product != product.product.product
    ]
    groups = {p.product.product: p.group for p in plot.products}
    weight = product.product.weight_g
    person = script.people[deed.person]
    at = stage.at(deed.person, deed.moved_s)
    near, occluder = 0, ""
    for other, who in enumerate(script.people):
        if other == deed.person or not script.inside(other, deed.moved_s):
            continue
        distance = float(np.linalg.norm(stage.at(other, deed.moved_s) - at))
        near += distance <= NEAR_M
        if distance <= OCCLUDER_M and (who.child or who.build.carries == "trolley"):
            occluder = "child" if who.child else "trolley"
    if person.build.carries == "trolley" and person.role == "shopper":
        occluder = occluder or "trolley"
    broken = any(
        a < end + 1.0 and b > start - 1.0 for plate in facing.plates for a, b in faulty.get(plate, [])
    )
    return ShelfEvent(
        t_s=0.5 * (start + end),
        action="pick" if deed.kind == "pick" else "put_back",
        product=product.product.product,
        quantity=len(deed.units),
        shopper=person.account,
        facing=deed.facing,
        t_start_s=start,
        t_end_s=end,
        conditions={
            "behaviour": deed.behaviour,
            "person": f"p{deed.person + 1}",
            "people_near": int(near),
            "look_alikes": sum(groups[p] == product.group for p in beside),
            "same_weight": sum(abs(plot.catalog[p].weight_g - weight) <= SAME_WEIGHT_G for p in beside),
            "occlusion": round(_occlusion(deed, start, end, plot, scene, views), 3),
            "occluder": occluder,
            "misplaced": facing.product != product.product.product,
            "plate_fault": broken,
        },
    )


def _occlusion(
    deed: Deed, start: float, end: float, plot: Plot, scene: Scene, views: Sequence[View]
) -> float:
    """Share of sight lines to the palm and fingertips that are blocked, in the better camera, over the event."""
    instance = scene.hand_instance(deed.person, "right")
    hidden = np.zeros(len(views))
    times = np.linspace(start, end, 5)
    for t_s in times:
        place_all(plot, scene, float(t_s))
        pose = plot.stage.pose(deed.person, float(t_s))
        assert pose is not None
        palm = pose.palm_m["right"]
        assert palm is not None
        points = [palm + np.array([dx, dy, 0.0]) for dx, dy in ((0, 0), (0, 0.06), (0, -0.05))]
        for camera, view in enumerate(views):
            origin = np.array(view.position_m)
            hidden[camera] += np.mean([not scene.sees(origin, p, instance) for p in points])
    return float(hidden.min() / len(times))


def place_all(plot: Plot, scene: Scene, t_s: float) -> None:
    """Put everybody and every unit where the plan has them at a time, seconds."""
    for person in range(len(plot.script.people)):
        scene.place_shopper(person, plot.stage.pose(person, t_s))
    for unit, pose in unit_poses(
        plot.script, plot.stage, plot.motion, plot.products, plot.units, t_s
    ).items():
        if pose is None:
            scene.place_unit(unit, None)
        else:
            scene.place_unit(unit, pose[0], quaternion=pose[1])
    scene.update()


def _workshop(out: Path) -> Path:
    """Where finished stretches of a recording wait for the rest."""
    return out.parent / f".{out.name}.stretches"


def _light(plot: Plot, scene: Scene, views: Sequence[View]) -> list[Sensor]:
    """Light the shop; returns the sensor of each camera."""
    spec, rng = plot.spec, plot.filming
    sensors = [Sensor.draw(rng, wide=False, light=spec.light) for _ in views]
    direction = np.array([rng.normal(0, 0.3), rng.uniform(0.2, 0.7), -1.0])
    scene.set_light(
        float(rng.uniform(0.35, 0.55)) * spec.light, float(rng.uniform(0.2, 0.35)) * spec.light, direction
    )
    return sensors


def take_entry_pictures(
    plot: Plot, scene: Scene, entries: Sequence[Entry], folder: Path
) -> tuple[Entry, ...]:
    """Photograph everybody just after their entry scan, from aside; returns the entries with their pictures.

    The camera of the entry has a sensor of its own. Who is hidden there gets no picture.
    """
    import cv2

    found = []
    for number, entry in enumerate(entries):
        rng = np.random.default_rng([plot.spec.seed, 7, number])
        sensor = Sensor.draw(rng, wide=False, light=plot.spec.light)
        t_s = entry.t_s + ENTRY_PICTURE_S
        pose = plot.stage.pose(number, t_s)
        name = ""
        if pose is not None:
            x, y = pose.at_m
            place_all(plot, scene, t_s)
            # A little ahead, and on the side where nobody walks between.
            ahead = -0.3 if x > 0 else 0.3
            view = View((x + ahead, y - 1.5, 1.9), (x, y, 0.92), 60.0)
            scene.set_view(view)
            boxes = [
                box
                for label, who, box, visible in visible_boxes(scene, view)
                if (LABELS[label], who) == ("person", entry.person) and visible >= ENTRY_PICTURE_VISIBLE
            ]
            if boxes:
                x1, y1, x2, y2 = map(int, boxes[0])
                name = f"entry-{entry.person}.jpg"
                picture = sensor.apply(scene.picture(), rng)[y1:y2, x1:x2, ::-1]
                encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
                (folder / name).write_bytes(encoded.tobytes())
        found.append(replace(entry, picture=name))
    return tuple(found)


def _film(
    plot: Plot, scene: Scene, views: Sequence[View], sensors: Sequence[Sensor], out: Path, draft: Path,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Film every camera and note the true boxes of every frame, stretch by stretch."""
    from checkout.vision.video import join_videos

    spec = plot.spec
    workshop = _workshop(out)
    stamp = hashlib.sha256(f"{checkout.__version__} {spec!r} {views!r} {sensors!r}".encode())
    stamp.update((draft / "truth.json").read_bytes())
    note = workshop / "draft"
    if note.is_file() and (killed := note.read_text()).startswith(f".{out.name}."):
        shutil.rmtree(out.parent / Path(killed).name, ignore_errors=True)
    if workshop.exists() and (
        not (workshop / "stamp").is_file() or (workshop / "stamp").read_text() != stamp.hexdigest()
    ):
        shutil.rmtree(workshop)
    workshop.mkdir(exist_ok=True)
    (workshop / "stamp").write_text(stamp.hexdigest())
    note.write_text(draft.name)
    frames = round(spec.duration_s * spec.fps)
    stretches = [range(a, min(a + STRETCH_FRAMES, frames)) for a in range(0, frames, STRETCH_FRAMES)]
    for number, stretch in enumerate(stretches):
        done = workshop / f"{number:04d}"
        if not done.exists():
            with new_folder(done) as part:
                _film_stretch(plot, scene, views, sensors, stretch, part)
        if progress:
            progress(f"rendering {spec.id}", (number + 1) / len(stretches))
    parts = [workshop / f"{n:04d}" for n in range(len(stretches))]
    for camera in range(len(views)):
        join_videos([p / f"cam{camera}.mp4" for p in parts], draft / f"cam{camera}.mp4", spec.fps)
    boxes = pd.concat([pd.read_parquet(p / "boxes.parquet") for p in parts], ignore_index=True)
    boxes = boxes.sort_values(["camera", "label", "id", "frame"], ignore_index=True)
    boxes.to_parquet(draft / "boxes.parquet", index=False, compression="zstd")


def _film_stretch(
    plot: Plot, scene: Scene, views: Sequence[View], sensors: Sequence[Sensor], stretch: range, out: Path
) -> None:
    from checkout.vision.video import VideoWriter

    spec = plot.spec
    rows: list[tuple[Any, ...]] = []
    writers = [
        VideoWriter(out / f"cam{i}.mp4", v.width, v.height, spec.fps, crf=s.crf)
        for i, (v, s) in enumerate(zip(views, sensors, strict=True))
    ]
    try:
        for frame in stretch:
            t_s = frame / spec.fps
            moving = _speed(plot, t_s)
            place_all(plot, scene, t_s)
            pictures = []
            for camera, view in enumerate(views):
                scene.set_view(view)
                pictures.append(scene.picture())
                for label, name, box, visible in visible_boxes(scene, view):
                    if visible >= 0.5 * LEAST_VISIBLE[label]:
                        rows.append(
                            (f"cam{camera}", frame, LABELS[label], name, *map(float, box), round(visible, 2))
                        )
            blurred = [i for i, s in enumerate(sensors) if s.shutter_s * moving > BLUR_M]
            for camera in blurred:
                place_all(plot, scene, t_s + sensors[camera].shutter_s)
                scene.set_view(views[camera])
                pictures[camera] = np.asarray(
                    (pictures[camera].astype(np.uint16) + scene.picture()) // 2, np.uint8
                )
            for camera, picture in enumerate(pictures):
                noise = np.random.default_rng([spec.seed, 6, camera, frame])
                writers[camera].write(sensors[camera].apply(picture, noise)[:, :, ::-1])
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.close()
    columns = ["camera", "frame", "label", "id", "x1", "y1", "x2", "y2", "visible"]
    table = pd.DataFrame(rows, columns=columns)
    floats = dict.fromkeys(columns[4:], "float32")
    table.astype(floats | {"frame": "int32"}).to_parquet(out / "boxes.parquet", index=False)


def _speed(plot: Plot, t_s: float) -> float:
    """Speed of the fastest hand, metres per second."""
    fastest = 0.0
    for person in range(len(plot.script.people)):
        before, after = plot.stage.pose(person, t_s), plot.stage.pose(person, t_s + 0.02)
        if before is None or after is None:
            continue
        a, b = before.palm_m["right"], after.palm_m["right"]
        if a is not None and b is not None:
            fastest = max(fastest, float(np.linalg.norm(b - a)) / 0.02)
        else:
            fastest = max(fastest, float(np.linalg.norm(np.subtract(after.at_m, before.at_m))) / 0.02)
    return fastest
