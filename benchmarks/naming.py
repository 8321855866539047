"""How well products are named from a gallery: python -m benchmarks.naming [--photos DIR] [--recordings N] [--held ID]

Rendered: six studio pictures of each product of shops that no training saw, and crops of the unoccluded items
in the shipped recordings of those shops. Real: photos in DIR/train as the gallery, those in DIR/val as queries
(GroceryStoreDataset: a folder for each product). Held: what hands carry just after true picks and just before true
put-backs of shipped recordings, cut out by its true box: the most that naming could add to fusion.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from checkout.catalog import shelf_of
from checkout.recording import Recording
from checkout.render.pictures import boxes_of
from checkout.render.products import DrawnProduct
from checkout.render.recordings import Plot, make_plot
from checkout.render.scene import Scene, Unit, View
from checkout.render.specs import SETS
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.naming import Gallery, look_of, named_by, trials_summary
from checkout.vision.shelf_moments import HoldingJudge, holding_score
from checkout.vision.video import read_frames

VIDEOS = Path(__file__).resolve().parents[1] / "videos"
STUDIO_VIEWS = ((0.0, 0.15), (0.5, 0.15), (-0.5, 0.15), (0.0, 0.7), (0.4, 1.0), (-0.4, 1.0))
"""Turn and height of the studio's cameras, radians."""
STUDIO_M = 0.75
MARGIN = 0.06
LEAST_VISIBLE = 0.95
EVERY_FRAME = 40
HELD_S = 1.2
SIZES_PX = (0, 16, 24, 36, 10_000)


class Query(NamedTuple):
    """A crop whose product is known; `among` are the products it may be beside all."""

    product: str
    crop: np.ndarray
    among: tuple[str, ...]


def studio(products: Sequence[DrawnProduct], plot: Plot) -> dict[str, list[np.ndarray]]:
    """Pictures of each product alone, seen from `STUDIO_VIEWS`, BGR."""
    units = [Unit(i, 1.0) for i in range(len(products))]
    scene = Scene(products, plot.planogram, units, [], np.random.default_rng(1), heights=plot.heights)
    scene.set_light(0.45, 0.3, np.array([0.1, 0.5, -1.0]))
    found: dict[str, list[np.ndarray]] = {p.product.product: [] for p in products}
    for unit, product in enumerate(products):
        base = np.array([0.0, -0.6, 1.2])
        scene.place_unit(unit, base)
        middle = base + np.array([0.0, 0.0, product.half_m[2]])
        for turn, rise in STUDIO_VIEWS:
            away = np.array([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), np.sin(rise)])
            at = middle + STUDIO_M * away
            x, y, z = (float(v) for v in middle)
            scene.set_view(View((float(at[0]), float(at[1]), float(at[2])), (x, y, z), 40.0))
            scene.update()
            box = boxes_of(scene.instances())[unit][:4]
            found[product.product.product].append(_crop(scene.picture()[:, :, ::-1], box))
        scene.place_unit(unit, None)
    scene.close()
    return found


def _crop(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    x1, y1, x2, y2 = box
    more = MARGIN * max(x2 - x1, y2 - y1)
    left, top = max(0, int(x1 - more)), max(0, int(y1 - more))
    return np.ascontiguousarray(image[top : int(np.ceil(y2 + more)), left : int(np.ceil(x2 + more))])


def queries(recording: Recording, plot: Plot) -> list[Query]:
    """Crops of items that are seen whole, of every `EVERY_FRAME`-th frame of all cameras."""
    boxes = recording.boxes
    boxes = boxes[(boxes["label"] == "item") & (boxes["visible"] >= LEAST_VISIBLE)]
    homes = {f.product: f for f in plot.planogram.values()}
    found = []
    for camera in recording.cameras:
        mine = boxes[(boxes["camera"] == camera.camera) & (boxes["frame"] % EVERY_FRAME == 0)]
        frames = dict(iter(mine.groupby("frame")))
        for index, (_, image) in enumerate(read_frames(recording.path / camera.file)):
            here = frames.get(index, boxes.iloc[:0])
            corners = here[["x1", "y1", "x2", "y2"]].to_numpy(float)
            for name, box in zip(here["id"].astype(str), corners.tolist(), strict=True):
                product = plot.products[plot.units[int(name[1:])].product].product.product
                among: tuple[str, ...] = ()
                if product in homes:
                    shelf = [f.product for f in plot.planogram.on_shelf(homes[product].shelf)]
                    place = shelf.index(product)
                    among = tuple(shelf[max(0, place - 2) : place + 3])
                found.append(Query(product, _crop(image, box), among))
    return found


def rendered(count: int) -> None:
    """Print how rendered products are named, by their size in the picture."""
    rows: list[tuple[float, bool, bool]] = []
    for spec in SETS["test-clean"][:count]:
        plot = make_plot(spec)
        sold = {f.product for f in plot.planogram.values()}
        products = [p for p in plot.products if p.product.product in sold]
        gallery = Gallery({p: [look_of(i) for i in own] for p, own in studio(products, plot).items()})
        for query in queries(Recording.open(VIDEOS / spec.id), plot):
            if not query.among:
                continue
            every = gallery.name(query.crop)
            near = {p: every[p] for p in query.among}
            rows.append(
                (
                    min(query.crop.shape[:2]),
                    max(every, key=every.__getitem__) == query.product,
                    max(near, key=near.__getitem__) == query.product,
                )
            )
        print(
            f"{spec.id}: {len(products)} products, {len(rows)} crops so far, weights {gallery.weights}",
            flush=True,
        )
    table = np.array(rows, float)
    print("shorter side of the crop   crops   top-1 of all   top-1 of the facing and its neighbours")
    for low, high in pairwise(SIZES_PX):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(part):
            name = f"{low}-{high} px" if high < 1000 else f"{low} px and more"
            print(f"{name:26s}{len(part):6d}{part[:, 1].mean():13.3f}{part[:, 2].mean():15.3f}")
    print(f"{'all':26s}{len(table):6d}{table[:, 1].mean():13.3f}{table[:, 2].mean():15.3f}")


def held(recording: Recording, plot: Plot) -> list[list[Query]]:
    """For each true event that a camera sees the item of in a hand: its crops, of all cameras."""
    product_of = {f"u{i}": plot.products[u.product].product.product for i, u in enumerate(plot.units)}
    found: list[list[Query]] = [[] for _ in recording.truth.events]
    for camera in recording.cameras:
        judge = HoldingJudge()
        boxes = recording.boxes[recording.boxes["camera"] == camera.camera]
        frames = dict(iter(boxes.groupby("frame")))
        for index, (t_s, image) in enumerate(read_frames(recording.path / camera.file)):
            here = frames.get(index, boxes.iloc[:0])
            items, hands = here[here["label"] == "item"], here[here["label"] == "hand"]
            seen = _detections(items)
            moving = judge.update(t_s, seen)
            for number, event in enumerate(recording.truth.events):
                since_s = t_s - event.t_s if event.action == "pick" else event.t_s - t_s
                if not 0 <= since_s <= HELD_S:
                    continue
                for name, box, moves in zip(items["id"], seen.boxes_xyxy, moving, strict=True):
                    alone = Detections(box[None], np.ones(1), np.full(1, CLASSES.index("item")))
                    if product_of[name] == event.product and any(
                        holding_score(hand, alone, np.array([moves])) > 0
                        for hand in _detections(hands).boxes_xyxy
                    ):
                        shelf = [f.product for f in plot.planogram.on_shelf(shelf_of(event.facing))]
                        found[number].append(Query(event.product, _crop(image, box), tuple(shelf)))
    return [crops for crops in found if crops]


def _detections(rows: pd.DataFrame) -> Detections:
    label = np.array([CLASSES.index(name) for name in rows["label"]], int)
    return Detections(rows[["x1", "y1", "x2", "y2"]].to_numpy(float), np.ones(len(rows)), label)


def in_hands(ids: Sequence[str]) -> None:
    """Print how items in hands are named, crop by crop by size, and event by event from all its crops."""
    specs = {spec.id: spec for name in ("test-clean", "test-hard") for spec in SETS[name]}
    crops: list[tuple[float, bool, bool]] = []
    events: list[tuple[bool, bool]] = []
    for name in ids:
        plot = make_plot(specs[name])
        sold = {f.product for f in plot.planogram.values()}
        products = [p for p in plot.products if p.product.product in sold]
        gallery = Gallery({p: [look_of(i) for i in own] for p, own in studio(products, plot).items()})
        for queries in held(Recording.open(VIDEOS / name), plot):
            logs = np.zeros(len(gallery.products))
            for query in queries:
                shares = gallery.name(query.crop)
                crops.append((min(query.crop.shape[:2]), *_right(shares, query)))
                logs += np.log(np.array(list(shares.values())) + 1e-6) / len(queries)
            events.append(_right(dict(zip(gallery.products, logs, strict=True)), queries[0]))
    print("held in hands: shorter side of the crop   crops   top-1 of all   top-1 of its shelf")
    table = np.array(crops, float)
    for low, high in pairwise(SIZES_PX):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(part):
            size = f"{low}-{high} px" if high < 1000 else f"{low} px and more"
            print(f"{size:41s}{len(part):6d}{part[:, 1].mean():13.3f}{part[:, 2].mean():15.3f}")
    every, shelf = np.mean(events, axis=0)
    print(f"{'events, all crops together':41s}{len(events):6d}{every:13.3f}{shelf:15.3f}")
    print(f"median crop {np.median(table[:, 0]):.0f} px")


def _right(score: Mapping[str, float], query: Query) -> tuple[bool, bool]:
    """Whether the best of all products, and the best of those it may be, is the one it is."""
    near = {p: score[p] for p in query.among if p in score}
    return max(score, key=score.__getitem__) == query.product, (
        max(near, key=near.__getitem__) == query.product if near else False
    )


def photos(folder: Path) -> None:
    """Print how products in real photos are named, and which are taken for which."""
    started = time.perf_counter()
    gallery = Gallery.from_folder(folder / "train")
    built = time.perf_counter() - started
    started = time.perf_counter()
    trials = named_by(gallery, folder / "val")
    each = (time.perf_counter() - started) / len(trials)
    summary = trials_summary(gallery, trials)
    print(
        f"photos: {len(gallery.products)} products, {len(gallery.owner)} gallery pictures (built in {built:.0f} s)"
    )
    print(
        f"  top-1 {summary['top1']:.3f} of {len(trials)} photos, mean confidence {summary['mean_confidence']:.3f}"
    )
    print(f"  {1000 * each:.0f} ms a photo; weights {gallery.weights}")
    for row in summary["confusions"][:8]:
        print(f"  {row['pictures']} x {row['product']} taken for {row['named']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder with train/ and val/")
    parser.add_argument(
        "--recordings", type=int, default=3, help="shipped recordings whose products are named"
    )
    parser.add_argument(
        "--held", nargs="*", default=[], metavar="ID", help="shipped recordings, such as clean-03"
    )
    options = parser.parse_args()
    if options.recordings:
        rendered(options.recordings)
    if options.held:
        in_hands(options.held)
    if options.photos:
        photos(options.photos)


if __name__ == "__main__":
    main()
