"""CVAT 1.1 XML, both kinds: "CVAT for video" (tracks) and "CVAT for images" (boxes and tags a frame).

Tracks and boxes labelled `person`, `hand` and `item` become true boxes; tracks, boxes and tags labelled
`pick` and `put_back` become true shelf events, which last from their first to their last frame.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from checkout.catalog import Catalog, Planogram
from checkout.errors import InputError, nearest
from checkout.events import Receipt, ReceiptLine, ShelfEvent
from checkout.footage import (
    LABELS,
    BoxCollector,
    Footage,
    check_frame,
    make_recording,
    number,
    parse_classes,
    parse_shoppers,
    unknown_label,
    whole_number,
)
from checkout.recording import Recording, Truth

ACTIONS = ("pick", "put_back")
ATTRIBUTES = ("shopper", "product", "quantity", "facing")
OCCLUDED_VISIBLE = 0.5
"""Assumed: share of a box that shows when CVAT says "occluded", which has no degrees."""
LONGEST_EVENT_S = 30.0
"""Assumed: a longer shelf event is a track that somebody forgot to end."""
SAME_WEIGHT_G = 10.0


class _Seen(NamedTuple):
    """A shelf event as it was drawn: `first` and `last` frame, and where it stands in the file."""

    file: Path
    where: str
    footage: Footage
    action: str
    first: int
    last: int
    attributes: Mapping[str, str]


class _Shape(NamedTuple):
    """A box of a track on one frame."""

    frame: int
    box: tuple[float, float, float, float]
    outside: bool
    occluded: bool


def import_cvat(
    annotations: Sequence[str | Path],
    videos: Sequence[str | Path],
    out: str | Path,
    *,
    camera_ids: Sequence[str] = (),
    classes: str | None = None,
    shoppers: Sequence[str] = (),
    catalog: str | Path | None = None,
    planogram: str | Path | None = None,
    plates: str | Path | None = None,
    force: bool = False,
) -> Recording:
    """Turn videos annotated in CVAT into a recording folder.

    Args:
        annotations: one XML a video, in the order of the videos; the last videos may have none.
        camera_ids: a name for each video; else cam0, cam1 ...
        classes: CVAT's labels in our words, as in "bottle=item,chair=".
        shoppers: everybody who shopped, as "ann", or with the entry scan's seconds and floor position in
            metres as "ann@0.5,-1.2,-0.9"; when given, an event that names somebody else is refused.

    Raises:
        InputError: a fault, with file, track or frame, value, and what was expected.
    """
    if not annotations or not videos or len(annotations) > len(videos):
        raise InputError(
            "--video",
            "",
            f"{len(videos)} videos for {len(annotations)} XML files, expected one video for each",
        )
    names = list(camera_ids) or [f"cam{i}" for i in range(len(videos))]
    if len(names) != len(videos) or len(set(names)) != len(names):
        raise InputError(
            "--camera-id", "", f"{names}, expected a name of its own for each of {len(videos)} videos"
        )
    if planogram is not None and catalog is None:
        raise InputError("--catalog", "", "is missing, and --planogram needs it", "give the catalogue too")
    known_products = None if catalog is None else Catalog.load(catalog)
    shelves = None if planogram is None else Planogram.load(planogram, known_products or Catalog([]))
    footage = [Footage.open(name, file) for name, file in zip(names, videos, strict=True)]
    known_shoppers, entries = parse_shoppers(shoppers)
    renamed = parse_classes(classes, (*LABELS, *ACTIONS))
    tables: list[pd.DataFrame] = []
    seen: list[_Seen] = []
    for file, shot in zip(map(Path, annotations), footage, strict=False):
        table, found = load_cvat(file, shot, renamed)
        tables.append(table)
        seen += found
    truth = _truth(seen, known_shoppers, known_products, shelves) if seen or shoppers else None
    return make_recording(
        out,
        footage,
        pd.concat(tables, ignore_index=True),
        source=f"annotated in CVAT: {', '.join(Path(a).name for a in annotations)}",
        truth=truth,
        catalog=known_products,
        planogram=shelves,
        plates=None if plates is None else Path(plates),
        entries=entries,
        force=force,
    )


def load_cvat(
    file: Path, footage: Footage, classes: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[_Seen]]:
    """True boxes (as `boxes.parquet`) and shelf events of one XML; raises `InputError` for a fault."""
    root = _root(file)
    grid = _annotated_frames(file, root, footage)
    boxes = BoxCollector(file, footage)
    seen: list[_Seen] = []
    for track in root.iter("track"):
        seen += _read_track(file, track, footage, grid, classes or {}, boxes)
    seen += _read_images(file, root, footage, grid, classes or {}, boxes)
    return boxes.table(), seen


def _root(file: Path) -> ElementTree.Element:
    if not file.is_file():
        raise InputError(file, "", "does not exist, expected an XML file that CVAT exported")
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            file, "", f"is not XML ({error})", "unzip what CVAT exported and give its annotations.xml"
        ) from None
    if root.tag != "annotations":
        raise InputError(
            file,
            f"<{root.tag}>",
            "is not what CVAT writes, expected <annotations>",
            'export the task as "CVAT for video 1.1"',
        )
    if root.find("meta/project") is not None:
        raise InputError(
            file,
            "meta/project",
            "a project holds many videos, expected one task",
            "export each task by itself",
        )
    return root


def _annotated_frames(file: Path, root: ElementTree.Element, footage: Footage) -> range:
    """The frames of the video that were in the task, after size and number were found to agree."""
    everything = range(footage.frames)
    meta = next((m for kind in ("task", "job") if (m := root.find(f"meta/{kind}")) is not None), None)
    if meta is None:
        return everything
    place = f"meta/{meta.tag}"
    size = meta.find("original_size")
    if size is None:
        size = root.find("meta/original_size")
    if size is not None:
        width, height = (
            whole_number(file, f"{place}/original_size/{key}", size.findtext(key))
            for key in ("width", "height")
        )
        footage.check_size(file, f"{place}/original_size", width, height)
    step_text = (meta.findtext("frame_filter") or "").strip()
    step = 1
    if step_text:
        match = re.fullmatch(r"step\s*=\s*(\d+)", step_text)
        if match is None or int(match[1]) < 1:
            raise InputError(file, f"{place}/frame_filter", f"{step_text!r}, expected step=N")
        step = int(match[1])
    text = meta.findtext("size")
    frames = None if text is None else whole_number(file, f"{place}/size", text)
    start_text, stop_text = meta.findtext("start_frame"), meta.findtext("stop_frame")
    start = whole_number(file, f"{place}/start_frame", start_text) if start_text else 0
    stop = whole_number(file, f"{place}/stop_frame", stop_text) if stop_text else None
    if frames is not None and step == 1 and start == 0 and meta.tag == "task":
        footage.check_frames(file, f"{place}/size", frames)
    if stop is None:
        stop = footage.frames - 1 if frames is None else start + (frames - 1) * step
    check_frame(file, f"{place}/start_frame", start, footage)
    check_frame(file, f"{place}/stop_frame", stop, footage)
    grid = range(start, stop + 1, step)
    if frames is not None and frames != len(grid):
        raise InputError(
            file,
            f"{place}/size",
            f"{frames} frames, but start_frame {start} to stop_frame {stop} by {step} are {len(grid)}",
        )
    return grid


def _read_track(
    file: Path,
    track: ElementTree.Element,
    footage: Footage,
    grid: range,
    classes: Mapping[str, str],
    boxes: BoxCollector,
) -> Iterator[_Seen]:
    number_text = track.get("id", "")
    where = f"track {number_text}" if number_text else "a track without id"
    label = _label(file, where, track.get("label", ""), classes)
    if not label:
        return
    shapes = _shapes(file, where, track, footage)
    runs = _visible_runs(shapes, grid)
    if label in LABELS:
        for shape in (s for run in runs for s in run):
            visible = OCCLUDED_VISIBLE if shape.occluded else 1.0
            boxes.add(f"{where}, frame {shape.frame}", shape.frame, label, number_text, shape.box, visible)
        return
    attributes = _track_attributes(file, where, track)
    for run in runs:
        yield _event(file, where, footage, label, run[0].frame, run[-1].frame, attributes)


def _label(file: Path, where: str, label: str, classes: Mapping[str, str]) -> str:
    """Our word for CVAT's label; empty when it is to be left out."""
    own = classes.get(label, label)
    if own and own not in (*LABELS, *ACTIONS):
        raise unknown_label(file, where, label, (*LABELS, *ACTIONS))
    if not label:
        raise InputError(file, where, "has no label")
    return own


def _shapes(file: Path, where: str, track: ElementTree.Element, footage: Footage) -> list[_Shape]:
    shapes: list[_Shape] = []
    for shape in track:
        if shape.tag == "attribute":
            continue
        frame = whole_number(file, f"{where}: frame", shape.get("frame"))
        place = f"{where}, frame {frame}"
        check_frame(file, place, frame, footage)
        if shapes and frame <= shapes[-1].frame:
            raise InputError(file, place, f"comes after frame {shapes[-1].frame}, expected rising frames")
        outside, occluded = (_flag(file, place, shape, key) for key in ("outside", "occluded"))
        shapes.append(_Shape(frame, _corners(file, place, shape), outside, occluded))
    if not shapes:
        raise InputError(file, where, "has no boxes", "delete the track in CVAT")
    return shapes


def _flag(file: Path, where: str, shape: ElementTree.Element, key: str) -> bool:
    text = shape.get(key, "0")
    if text not in ("0", "1"):
        raise InputError(file, f"{where}: {key}", f"{text!r}, expected 0 or 1")
    return text == "1"


def _corners(file: Path, where: str, shape: ElementTree.Element) -> tuple[float, float, float, float]:
    if shape.tag != "box":
        raise InputError(
            file,
            where,
            f"is a {shape.tag}, expected a box",
            "draw a rectangle, or leave the label out with --classes",
        )
    if number(file, f"{where}: rotation", shape.get("rotation", "0")) % 360:
        raise InputError(
            file, where, f"the box is rotated by {shape.get('rotation')} degrees", "draw it upright in CVAT"
        )
    x1, y1, x2, y2 = (number(file, f"{where}: {k}", shape.get(k)) for k in ("xtl", "ytl", "xbr", "ybr"))
    if x2 <= x1 or y2 <= y1:
        raise InputError(
            file,
            where,
            f"box ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) has no positive width and height",
            "draw it again or delete it",
        )
    return x1, y1, x2, y2


def _visible_runs(shapes: Sequence[_Shape], grid: range) -> list[list[_Shape]]:
    """A track's boxes on every frame of the task, a list for each stretch without "outside".

    Between two boxes the corners move evenly; after the last one they stand still until the task ends,
    as in CVAT.
    """
    runs: list[list[_Shape]] = []
    ends = [*shapes[1:], None]
    for index, (now, then) in enumerate(zip(shapes, ends, strict=True)):
        if now.outside:
            continue
        if index == 0 or shapes[index - 1].outside:
            runs.append([])
        runs[-1].append(now)
        stop = then.frame if then else grid.stop
        first = now.frame + 1
        first += (grid.start - first) % grid.step
        for frame in range(first, stop, grid.step):
            share = (frame - now.frame) / (then.frame - now.frame) if then else 0.0
            end = then.box if then else now.box
            a, b, c, d = (p + share * (q - p) for p, q in zip(now.box, end, strict=True))
            runs[-1].append(_Shape(frame, (a, b, c, d), False, now.occluded))
    return runs


def _track_attributes(file: Path, where: str, track: ElementTree.Element) -> dict[str, str]:
    """The attributes of an event's track, which must not change while it lasts."""
    found = _attributes(file, where, track)
    for shape in track.iter("box"):
        if shape.get("outside") == "1":
            continue
        for name, value in _attributes(file, where, shape).items():
            if found.setdefault(name, value) != value:
                raise InputError(
                    file,
                    f"{where}, frame {shape.get('frame')}: {name}",
                    f"changes from {found[name]!r} to {value!r}",
                    "draw one track for each shelf event",
                )
    return found


def _attributes(file: Path, where: str, element: ElementTree.Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in element.findall("attribute"):
        name = attribute.get("name", "")
        if name in ATTRIBUTES:
            found[name] = (attribute.text or "").strip()
        elif hint := nearest(name, ATTRIBUTES):
            raise InputError(file, f"{where}: {name}", "unknown attribute of a shelf event", hint)
    return found


def _read_images(
    file: Path,
    root: ElementTree.Element,
    footage: Footage,
    grid: range,
    classes: Mapping[str, str],
    boxes: BoxCollector,
) -> Iterator[_Seen]:
    """Boxes, and events that are tagged (or boxed) frame by frame."""
    tagged: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}
    for image in root.iter("image"):
        frame = _image_frame(file, image)
        where = f"image {image.get('id', '')}, frame {frame}"
        check_frame(file, where, frame, footage)
        if image.get("width") is not None:
            width, height = (whole_number(file, f"{where}: {k}", image.get(k)) for k in ("width", "height"))
            footage.check_size(file, where, width, height)
        count: dict[str, int] = {}
        for element in image:
            label = _label(file, where, element.get("label", ""), classes)
            if not label:
                continue
            if label in ACTIONS:
                attributes = tuple(sorted(_attributes(file, where, element).items()))
                tagged.setdefault((label, attributes), []).append(frame)
                continue
            count[label] = count.get(label, 0) + 1
            name = f"{label}-{count[label]}"
            visible = OCCLUDED_VISIBLE if _flag(file, where, element, "occluded") else 1.0
            boxes.add(f"{where}, {name}", frame, label, name, _corners(file, where, element), visible)
    for (action, pairs), frames in tagged.items():
        for first, last in _stretches(frames, grid.step):
            yield _event(file, f"tag {action}, frame {first}", footage, action, first, last, dict(pairs))


def _image_frame(file: Path, image: ElementTree.Element) -> int:
    """A video's frames are called frame_000012, which counts from the video's start; else the id counts."""
    named = re.search(r"frame_(\d+)(\.\w+)?$", image.get("name", ""))
    return int(named[1]) if named else whole_number(file, "image: id", image.get("id"))


def _stretches(frames: Sequence[int], step: int) -> Iterator[tuple[int, int]]:
    """First and last frame of each stretch of consecutive frames."""
    ordered = sorted(set(frames))
    first = ordered[0]
    for now, then in zip(ordered, [*ordered[1:], None], strict=True):
        if then is None or then - now > step:
            yield first, now
            first = then if then is not None else now


def _event(
    file: Path,
    where: str,
    footage: Footage,
    action: str,
    first: int,
    last: int,
    attributes: Mapping[str, str],
) -> _Seen:
    length = float(footage.times_s[last] - footage.times_s[first])
    if length > LONGEST_EVENT_S:
        raise InputError(
            file,
            where,
            f"{action} lasts {length:.1f} s (frames {first} to {last}), expected at most {LONGEST_EVENT_S:g} s",
            "switch the track to outside on the frame after the event",
        )
    return _Seen(file, where, footage, action, first, last, attributes)


def _truth(
    seen: Sequence[_Seen], shoppers: Sequence[str], catalog: Catalog | None, planogram: Planogram | None
) -> Truth:
    events = [(_shelf_event(one, shoppers, catalog, planogram), one) for one in seen]
    events.sort(key=lambda pair: pair[0].t_s)
    for i, (event, one) in enumerate(events):
        for other, two in events[i + 1 :]:
            same = (event.shopper, event.action, event.product, event.facing) == (
                other.shopper, other.action, other.product, other.facing,
            )  # fmt: skip
            if same and other.t_start_s <= event.t_end_s and event.t_start_s <= other.t_end_s:
                raise InputError(
                    two.file,
                    two.where,
                    f"is the same event as {one.where} of {one.file} at {event.t_start_s:.2f} s",
                    "annotate each event once, in the camera that sees it best",
                )
    everyone = tuple(dict.fromkeys([*shoppers, *sorted({e.shopper for e, _ in events})]))
    ordered = tuple(e for e, _ in events)
    return Truth(everyone, ordered, _receipts(everyone, ordered))


def _receipts(shoppers: Sequence[str], events: Sequence[ShelfEvent]) -> tuple[Receipt, ...]:
    """What each shopper took and did not put back."""
    made = []
    for shopper in shoppers:
        units: dict[str, int] = {}
        for event in events:
            if event.shopper == shopper:
                units[event.product] = units.get(event.product, 0) + event.units
        made.append(
            Receipt(shopper, tuple(ReceiptLine(p, n, 1.0) for p, n in sorted(units.items()) if n > 0))
        )
    return tuple(made)


def _shelf_event(
    seen: _Seen, shoppers: Sequence[str], catalog: Catalog | None, planogram: Planogram | None
) -> ShelfEvent:
    file, where = seen.file, seen.where
    shopper, facing = seen.attributes.get("shopper", ""), seen.attributes.get("facing", "")
    product, quantity_text = seen.attributes.get("product", ""), seen.attributes.get("quantity") or "1"
    if not shopper:
        raise InputError(file, f"{where}: shopper", "is empty, expected who did it", "fill it in in CVAT")
    if shoppers and shopper not in shoppers:
        raise InputError(
            file,
            f"{where}: shopper",
            f"{shopper!r} is not one of {', '.join(shoppers)}",
            nearest(shopper, shoppers),
        )
    conditions: dict[str, object] = {}
    if planogram is not None and facing:
        if facing not in planogram:
            hint = nearest(facing, planogram)
            raise InputError(file, f"{where}: facing", f"{facing!r} is not in the planogram", hint)
        product = product or planogram[facing].product
    if not product:
        raise InputError(file, f"{where}: product", "is empty, expected what was moved", "fill it in in CVAT")
    if catalog is not None and product not in catalog:
        hint = nearest(product, catalog) or "add it to the catalogue"
        raise InputError(file, f"{where}: product", f"{product!r} is not in the catalogue", hint)
    if catalog is not None and planogram is not None and facing:
        conditions["misplaced"] = planogram[facing].product != product
        others = {f.product for f in planogram.on_shelf(planogram[facing].shelf)} - {product}
        weight = catalog[product].weight_g
        conditions["same_weight"] = sum(abs(catalog[p].weight_g - weight) <= SAME_WEIGHT_G for p in others)
    quantity = whole_number(file, f"{where}: quantity", quantity_text)
    if quantity < 1:
        raise InputError(file, f"{where}: quantity", f"{quantity}, expected at least 1")
    times = seen.footage.times_s
    start, end = float(times[seen.first]), float(times[seen.last])
    return ShelfEvent(
        0.5 * (start + end),
        "pick" if seen.action == "pick" else "put_back",
        product,
        quantity,
        shopper,
        facing,
        start,
        end,
        conditions=conditions,
    )


__all__ = ["import_cvat", "load_cvat"]
