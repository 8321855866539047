"""One picture of a recording, for the eye: a row for each true shelf event, with key frames and plate trace.

A person who looks at the sheet can tell within seconds whether the pictures show what the truth says.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from checkout.catalog import Facing, shelf_of
from checkout.errors import InputError, nearest
from checkout.events import ShelfEvent
from checkout.recording import Act, Camera, Recording

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Progress = Callable[[str, float], None]

BEFORE_S, AFTER_S, LATE_S = 0.5, 0.5, 1.2
IN_HAND_S = (-0.1, 0.6)
"""Assumed: from when to when after a pick's end the item is in the hand, off the shelf; a put-back mirrors it."""
MOVED_PX = 8.0
"""Assumed: an item box at a hand counts as held when it lay at least so far away before the event."""
TRACE_BEFORE_S, TRACE_AFTER_S = 2.0, 3.0
SETTLED_S = (0.3, 0.8)
"""Assumed: a load is read this long before and after the hand, when it no longer rings."""
CHANGED_G = 10.0
"""Assumed: a plate whose smoothed load moves by less within the trace is not drawn."""
HAND_NEAR_S = 0.4
"""A box noted up to this long before or after a frame still says where the hand is."""
UNKNOWN_VISIBLE, NONE_VISIBLE = 0.3, 0.1
"""Assumed share of a facing that is seen: without true boxes, and with boxes but none of an item in it."""
PERSON_HIDES = 0.7
"""Assumed share of a person's box that the person fills."""
AT_FACING = 0.8
"""Assumed: a hand whose box stays farther than this many diagonals of the facing is not the one at work."""
LEAST_CROP = 0.28
"""Smallest height of a crop as a share of the frame: beyond it, enlarging shows no more."""

TILES = 5
TILE = (180, 288)
SIDE, WHOLE_HIGH = 252, 170
GAP, HEADER, TITLE = 6, 62, 46
ROW = (TILES * (TILE[0] + GAP) + SIDE + 2 * GAP, HEADER + TILE[1] + 2 * GAP)
MOST_IN_ONE_COLUMN = 4
JPEG_LIMIT = 65_500
"""Published: the height, pixels, that libjpeg writes at most (JPEG_MAX_DIMENSION)."""
COLOURS = {"pick": (20, 105, 190), "put_back": (196, 92, 0), "act": (110, 60, 150)}
ACTIONS = {"pick": "PICK", "put_back": "PUT BACK"}
INK, FAINT, PAPER, EMPTY = (25, 25, 30), (95, 95, 105), (255, 255, 255), (226, 226, 230)
FACING_COLOUR, HAND_COLOUR = (255, 230, 0), (0, 235, 235)


class Rect(NamedTuple):
    """A rectangle in a picture, pixels."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def centre(self) -> tuple[float, float]:
        return 0.5 * (self.x1 + self.x2), 0.5 * (self.y1 + self.y2)

    @property
    def area(self) -> float:
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        return (self.x1, self.y1), (self.x2, self.y1), (self.x2, self.y2), (self.x1, self.y2)

    def joined(self, other: Rect) -> Rect:
        return Rect(
            min(self.x1, other.x1), min(self.y1, other.y1), max(self.x2, other.x2), max(self.y2, other.y2)
        )

    def cut(self, width: float, height: float) -> Rect:
        """The part that lies in a picture of this size."""
        return Rect(max(self.x1, 0.0), max(self.y1, 0.0), min(self.x2, width), min(self.y2, height))


@dataclass(frozen=True)
class SheetRow:
    """What one row of the sheet is about.

    Attributes:
        number: "3" for the third true event, "A1" for the first act that is no shelf event.
        kind: the event's action, or "act".
        title, details: the header's lines.
        persons: whose hands may be in the picture.
        expected_g: change of the facing's load, grams; None where there is no facing.
    """

    number: str
    kind: str
    behaviour: str
    t_start_s: float
    t_end_s: float
    title: str
    details: str
    facing: str
    persons: tuple[str, ...]
    expected_g: float | None

    @property
    def times_s(self) -> dict[str, float]:
        """When the key frames are taken, seconds; the tile "in hand" is taken when the hand is seen best."""
        return {
            "before": max(0.0, self.t_start_s - BEFORE_S),
            "during": 0.5 * (self.t_start_s + self.t_end_s),
            "after": self.t_end_s + AFTER_S,
            "late": self.t_end_s + LATE_S,
        }

    @property
    def in_hand_s(self) -> tuple[float, float]:
        """From when to when the item may be seen in the hand: before a put-back, or after anything else."""
        early, late = IN_HAND_S
        if self.kind == "put_back":
            return max(0.0, self.t_start_s - late), max(0.0, self.t_start_s - early)
        return self.t_end_s + early, self.t_end_s + late


@dataclass(frozen=True)
class PlateTrace:
    """The loads around an event, zero at its start.

    Attributes:
        t_s: sample times [n], seconds.
        plates: grams [n] of each plate of the shelf whose load changed.
        own: the plates under the facing.
        total: grams [n], the sum over `own`.
    """

    t_s: np.ndarray
    plates: Mapping[str, np.ndarray]
    own: tuple[str, ...]
    total: np.ndarray

    def change_g(self, t_start_s: float, t_end_s: float) -> float:
        """The sum's change from before `t_start_s` to after `t_end_s`, grams; NaN without samples there."""
        early, late = SETTLED_S
        before = self.total[(self.t_s >= t_start_s - late) & (self.t_s <= t_start_s - early)]
        after = self.total[(self.t_s >= t_end_s + early) & (self.t_s <= t_end_s + late)]
        return float(np.median(after) - np.median(before)) if len(before) and len(after) else float("nan")


Outline = tuple[tuple[tuple[float, float], ...], tuple[int, int, int]]
"""Corners, pixels of the frame, and colour."""


@dataclass(frozen=True)
class Shot:
    """One picture to take from a video: which tile, when, and which part of the frame (None: the whole).

    Attributes:
        whole_size: width and height, pixels, that a picture of the whole frame is fitted into; None for the sheet's.
    """

    row: int
    tile: str
    camera: Camera
    t_s: float
    around: Rect | None
    outlines: tuple[Outline, ...] = ()
    whole_size: tuple[int, int] | None = None


def contact_sheet(
    recording: Recording,
    events: Sequence[int] | None = None,
    *,
    behaviour: str | None = None,
    progress: Progress | None = None,
) -> Image:
    """Draw the sheet: a row for each true shelf event, and for each act that is no shelf event.

    A row has the frames before, during and after the event, one with the item in the hand and a later one,
    each cut out from the camera that sees it best, the whole frame with the facing outlined, and the loads
    of the facing's plates.

    Args:
        events: numbers of the true events to show, from 1; acts are then left out. None shows all.
        behaviour: show only events whose conditions name this behaviour, and acts of this kind.

    Returns:
        The sheet, RGB, at most 2,400 pixels wide.

    Raises:
        InputError: the recording has no truth, or neither cameras nor plates; a number or behaviour is
            unknown; a video cannot be read.

    >>> from checkout.recording import Recording
    >>> contact_sheet(Recording.open("videos/clean-01"), [1]).width
    1194
    """
    rows = sheet_rows(recording, events, behaviour=behaviour)
    if not recording.cameras:
        recording.require("plates")
    shots = [shot for index, row in enumerate(rows) for shot in _plan_shots(recording, index, row)]
    pictures = _take(recording, shots, progress)
    if progress:
        progress("drawing", 0.9)
    return _assemble(recording, rows, shots, pictures)


def save_sheet(
    recording: Recording,
    out: Path,
    events: Sequence[int] | None = None,
    *,
    behaviour: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Image:
    """Draw the sheet and write it as PNG or JPEG, by the suffix of `out`; returns it.

    Raises:
        InputError: also when `out` exists and `force` is not set, or its suffix is of neither format.
    """
    from checkout.output import check_free, new_file

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if out.suffix.lower() not in formats:
        raise InputError("--out", "", f"{str(out)!r} ends with none of {', '.join(formats)}")
    check_free(out, force=force)
    sheet = contact_sheet(recording, events, behaviour=behaviour, progress=progress)
    if formats[out.suffix.lower()] == "JPEG" and sheet.height > JPEG_LIMIT:
        raise InputError(
            "--out", "", f"the sheet is {sheet.height} pixels high, too much for JPEG", "write a PNG"
        )
    with new_file(out, force=force) as draft:
        sheet.save(draft, formats[out.suffix.lower()], quality=90)
    return sheet


def key_frames(
    recording: Recording,
    rows: Sequence[SheetRow],
    *,
    whole_size: tuple[int, int],
    progress: Progress | None = None,
) -> list[dict[str, tuple[Image, str]]]:
    """For each row, its pictures "before", "during" and "after", and "whole", each with its camera's name.

    Each is taken from the camera that sees the facing best. Empty without cameras.

    Args:
        whole_size: width and height, pixels, that the whole frame is fitted into.
    """
    shots = [
        replace(shot, whole_size=whole_size if shot.tile == "whole" else None)
        for index, row in enumerate(rows)
        for shot in _plan_shots(recording, index, row)
        if shot.tile in ("before", "during", "after", "whole")
    ]
    found: list[dict[str, tuple[Image, str]]] = [{} for _ in rows]
    cameras = {(shot.row, shot.tile): shot.camera.camera for shot in shots}
    for (index, tile), picture in _take(recording, shots, progress).items():
        found[index][tile] = (picture, cameras[index, tile])
    return found


def parse_numbers(text: str) -> tuple[int, ...]:
    """The event numbers in a list of numbers and ranges; raises `InputError` for anything else.

    >>> parse_numbers("1,4-6")
    (1, 4, 5, 6)
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if match is None:
            raise InputError("--events", "", f"{part!r} is neither a number nor a range such as 4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError("--events", "", f"{part.strip()!r} runs backwards")
        numbers.extend(range(first, last + 1))
    return tuple(dict.fromkeys(numbers))


def sheet_rows(
    recording: Recording, events: Sequence[int] | None = None, *, behaviour: str | None = None
) -> list[SheetRow]:
    """The chosen rows in time order; raises `InputError` for what is unknown, or when no row is left."""
    truth = recording.truth
    file = recording.path / "truth.json"
    rows = {str(i): _event_row(recording, i, e) for i, e in enumerate(truth.events, 1)}
    chosen = list(rows.values())
    if events is None:
        chosen += [_act_row(recording, i, a) for i, a in enumerate(truth.acts, 1)]
    else:
        for number in events:
            if str(number) not in rows:
                raise InputError(
                    file, "events", f"has no event {number}, its events are 1 to {len(truth.events)}"
                )
        chosen = [rows[str(number)] for number in dict.fromkeys(events)]
    if behaviour is not None:
        known = sorted({r.behaviour for r in rows.values() if r.behaviour} | {a.kind for a in truth.acts})
        if behaviour not in known:
            shown = f"known are {', '.join(known)}" if known else "its events name none"
            raise InputError(
                file, "behaviour", f"{behaviour!r} does not occur; {shown}", nearest(behaviour, known)
            )
        chosen = [r for r in chosen if r.behaviour == behaviour]
    if not chosen:
        raise InputError(file, "events", "none to show")
    return sorted(chosen, key=lambda r: 0.5 * (r.t_start_s + r.t_end_s))


def plate_trace(recording: Recording, row: SheetRow) -> PlateTrace | None:
    """The loads of the facing's shelf from 2 s before the event to 3 s after it; None where there are none."""
    facing = recording.planogram.get(row.facing)
    if facing is None or not recording.has_plates:
        return None
    names = [str(p) for p in recording.plates.columns if shelf_of(str(p)) == facing.shelf]
    table = recording.plates[names].loc[row.t_start_s - TRACE_BEFORE_S : row.t_end_s + TRACE_AFTER_S]
    table = table.dropna(how="all").dropna(axis=1, how="all").interpolate(limit_direction="both")
    if len(table) < 2:
        return None
    t_s = table.index.to_numpy(float)
    grams = table - table[t_s <= t_s[0] + 0.25].median()
    smooth = grams.rolling(9, center=True, min_periods=1).median()
    changed = smooth.columns[(smooth.max() - smooth.min()) >= CHANGED_G]
    own = tuple(p for p in facing.plates if p in grams) or tuple(map(str, changed))
    plates = {str(p): grams[p].to_numpy(float) for p in grams.columns if p in changed}
    return PlateTrace(t_s, plates, own, grams[list(own)].sum(axis=1).to_numpy(float))


def _event_row(recording: Recording, number: int, event: ShelfEvent) -> SheetRow:
    conditions = dict(event.conditions)
    behaviour = str(conditions.pop("behaviour", "") or "")
    product = recording.catalog.get(event.product)
    name = product.name or event.product if product else f"{event.product} (not in the catalogue)"
    details = [_facing_name(recording, event.facing)]
    if behaviour:
        details.append(f"behaviour {_words(behaviour)}")
    details += [
        _condition(key, value)
        for key, value in conditions.items()
        if value not in ("", None) and value is not False
    ]
    person = str(conditions.get("person", ""))
    return SheetRow(
        str(number), event.action, behaviour, event.t_start_s, event.t_end_s,
        f"{event.shopper}  {ACTIONS[event.action]}  {event.quantity} × {name}", "  ·  ".join(details),
        event.facing, (person,) if person else _persons(recording, event.shopper),
        -event.units * product.weight_g if product else None,
    )  # fmt: skip


def _act_row(recording: Recording, number: int, act: Act) -> SheetRow:
    product = recording.catalog.get(act.product)
    name = product.name or act.product if product else act.product
    to = f" to {act.to}" if act.to else ""
    what = f"{act.quantity} × {name}" if act.kind != "touch" else name
    details = ["no shelf event"] + ([_facing_name(recording, act.facing)] if act.facing else [])
    return SheetRow(
        f"A{number}", "act", act.kind, act.t_start_s, act.t_end_s,
        f"{act.person}  {_words(act.kind).upper()}  {what}{to}", "  ·  ".join(details), act.facing,
        (act.person, act.to) if act.to else (act.person,), 0.0 if act.facing else None,
    )  # fmt: skip


def _persons(recording: Recording, shopper: str) -> tuple[str, ...]:
    """The persons on an account; the account's own name where no entry tells."""
    return tuple(e.person for e in recording.entries if e.shopper == shopper) or (shopper,)


def _facing_name(recording: Recording, facing: str) -> str:
    if facing not in recording.planogram:
        return f"facing {facing or 'unknown'}"
    product = recording.catalog[recording.planogram[facing].product]
    return f"facing {facing}: {product.name or product.product}"


def _condition(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return _words(key)
    return f"{_words(key)} {value:.2g}" if isinstance(value, float) else f"{_words(key)} {value}"


def _words(name: str) -> str:
    return name.replace("_", " ")


class _Sight:
    """Where the facing and the hands of one row are in each camera's picture."""

    def __init__(self, recording: Recording, row: SheetRow) -> None:
        self.facing = recording.planogram.get(row.facing)
        boxes = _boxes(recording)
        self._boxes = {c.camera: boxes[boxes["camera"] == c.camera] for c in recording.cameras}
        self._persons = row.persons
        self._at_rest_s = row.times_s["after" if row.kind == "put_back" else "before"]
        self.hand = self._nearest_hand(recording.cameras, row)

    def facing_rect(self, camera: Camera) -> Rect | None:
        """Bounds of the facing's space in the picture; None where the camera does not see it."""
        if self.facing is None or not camera.calibrated:
            return None
        corners = _corners(self.facing)
        if corners is None:
            return None
        pixels, depth = camera.project(corners)
        if (depth <= 0.05).any():
            return None
        rect = Rect(*pixels.min(axis=0), *pixels.max(axis=0)).cut(camera.width, camera.height)
        return rect if rect.area > 0 else None

    def front(self, camera: Camera) -> tuple[tuple[float, float], ...]:
        """The four corners of the facing's side to the aisle, pixels; empty where it is not seen."""
        if self.facing is None or self.facing_rect(camera) is None:
            return ()
        corners = _corners(self.facing)
        assert corners is not None
        axis = int(np.argmax(np.abs(self.facing.front)))
        limit = corners[:, axis].max() if self.facing.front[axis] > 0 else corners[:, axis].min()
        side = corners[corners[:, axis] == limit]
        pixels, _ = camera.project(side[[0, 1, 3, 2]])
        return tuple((float(x), float(y)) for x, y in pixels)

    def seen_facing(self, camera: Camera, t_s: float) -> float:
        """Pixels of the facing that are seen: its area times the mean visible share of the items in it.

        A facing behind a person's box counts for less: other items in its outline may be seen past it.
        """
        rect = self.facing_rect(camera)
        if rect is None:
            return 0.0
        noted = _noted(self._boxes[camera.camera], camera, t_s, 0.2)
        people = noted[noted["label"] == "person"]
        wide = people["x2"].clip(upper=rect.x2) - people["x1"].clip(lower=rect.x1)
        high = people["y2"].clip(upper=rect.y2) - people["y1"].clip(lower=rect.y1)
        hidden = float((wide.clip(lower=0) * high.clip(lower=0)).max()) / rect.area if len(people) else 0.0
        clear = rect.area * (1.0 - PERSON_HIDES * hidden)
        items = noted[noted["label"] == "item"]
        x, y = 0.5 * (items["x1"] + items["x2"]), 0.5 * (items["y1"] + items["y2"])
        inside = items[(x > rect.x1) & (x < rect.x2) & (y > rect.y1) & (y < rect.y2)]
        if len(inside):
            return clear * float(inside["visible"].mean())
        return clear * (UNKNOWN_VISIBLE if self._boxes[camera.camera].empty else NONE_VISIBLE)

    def hand_rect(self, camera: Camera, t_s: float) -> tuple[Rect, float] | None:
        """The hand's box and visible share, interpolated between the noted frames; None where unseen."""
        rows = self._boxes[camera.camera]
        return _box_at(rows[rows["id"] == self.hand], camera, t_s) if self.hand else None

    def any_hand_rect(self, camera: Camera, t_s: float) -> tuple[Rect, float] | None:
        """The same for the hand at work or, where nobody knows which, the person's better seen one."""
        if self.hand:
            return self.hand_rect(camera, t_s)
        rows = self._boxes[camera.camera]
        rows = rows[(rows["label"] == "hand") & rows["id"].map(self._is_theirs)]
        found = [_box_at(own, camera, t_s) for _, own in rows.groupby("id")]
        return max((f for f in found if f), key=lambda f: f[0].area * f[1], default=None)

    def holding(self, camera: Camera, t_s: float) -> tuple[Rect, float] | None:
        """The hand with the items that moved and are at it, and how many of their pixels are seen.

        Exact where `t_s` is the time of a frame whose boxes were noted.
        """
        hand = self.any_hand_rect(camera, t_s)
        if hand is None:
            return None
        held, seen = hand[0], hand[0].area * hand[1]
        reach = 0.25 * max(held.x2 - held.x1, held.y2 - held.y1)
        items = self._boxes[camera.camera]
        items = items[items["label"] == "item"]
        rest = _noted(items, camera, self._at_rest_s, 0.2).drop_duplicates("id").set_index("id")
        now = _noted(items, camera, t_s, 0.5 / camera.fps)
        now = now[
            (now["x1"] < hand[0].x2 + reach) & (now["x2"] > hand[0].x1 - reach)
            & (now["y1"] < hand[0].y2 + reach) & (now["y2"] > hand[0].y1 - reach)
        ]  # fmt: skip
        for item in now.to_dict("records"):
            if item["id"] in rest.index:
                was = rest.loc[item["id"]]
                if np.hypot(item["x1"] - was["x1"], item["y2"] - was["y2"]) < MOVED_PX:
                    continue
            rect = Rect(item["x1"], item["y1"], item["x2"], item["y2"])
            held, seen = held.joined(rect), seen + 2.0 * rect.area * item["visible"]
        return held, seen

    def noted_times_s(self, camera: Camera, begin_s: float, end_s: float) -> list[float]:
        """Times of the frames within a span whose boxes were noted; its middle where there are none."""
        times = self._boxes[camera.camera]["frame"].unique() / camera.fps
        inside = sorted(float(t) for t in times if begin_s <= t <= end_s)
        return inside or [0.5 * (begin_s + end_s)]

    def _is_theirs(self, hand: str) -> bool:
        return str(hand).rsplit(".", 1)[0] in self._persons

    def person_rect(self, camera: Camera, t_s: float) -> Rect | None:
        """Bounds of the person whose hand it is, or of the first one seen of those who may be it."""
        rows = self._boxes[camera.camera]
        persons = (self.hand.rsplit(".", 1)[0],) if self.hand else self._persons
        found = (_box_at(rows[rows["id"] == person], camera, t_s) for person in persons)
        return next((box for box, _ in filter(None, found)), None)

    def _nearest_hand(self, cameras: Iterable[Camera], row: SheetRow) -> str:
        """The hand that comes to the facing while the event lasts; empty where none is seen to."""
        middle, half = 0.5 * (row.t_start_s + row.t_end_s), 0.5 * (row.t_end_s - row.t_start_s)
        distances: dict[str, list[float]] = defaultdict(list)
        for camera in cameras:
            rect = self.facing_rect(camera)
            if rect is None:
                continue
            rows = _noted(self._boxes[camera.camera], camera, middle, half + 0.2)
            rows = rows[(rows["label"] == "hand") & rows["id"].map(self._is_theirs)]
            diagonal = float(np.hypot(rect.x2 - rect.x1, rect.y2 - rect.y1))
            across = 0.5 * (rows["x1"] + rows["x2"]) - rect.centre[0]
            down = 0.5 * (rows["y1"] + rows["y2"]) - rect.centre[1]
            away = ((across**2 + down**2) ** 0.5).groupby(rows["id"]).min()
            for hand, nearest_px in away.items():
                distances[str(hand)].append(float(nearest_px) / diagonal)
        mean = {hand: float(np.mean(d)) for hand, d in distances.items()}
        hand = min(mean, key=lambda h: mean[h], default="")
        return hand if hand and mean[hand] <= AT_FACING else ""


@cache
def _no_boxes() -> pd.DataFrame:
    columns = {"camera": str, "frame": int, "label": str, "id": str}
    columns |= dict.fromkeys(("x1", "y1", "x2", "y2", "visible"), float)
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _boxes(recording: Recording) -> pd.DataFrame:
    return recording.boxes if (recording.path / "boxes.parquet").is_file() else _no_boxes()


def _corners(facing: Facing) -> np.ndarray | None:
    """The eight corners of a facing's space, float64 [8, 3], metres."""
    if facing.box_min_m is None or facing.box_max_m is None:
        return None
    return np.array(list(itertools.product(*zip(facing.box_min_m, facing.box_max_m, strict=True))))


def _noted(boxes: pd.DataFrame, camera: Camera, t_s: float, within_s: float) -> pd.DataFrame:
    return boxes[(boxes["frame"] / camera.fps - t_s).abs() <= within_s]


def _box_at(rows: pd.DataFrame, camera: Camera, t_s: float) -> tuple[Rect, float] | None:
    """One thing's box and visible share at a time, from the frames in which it was noted."""
    rows = _noted(rows, camera, t_s, HAND_NEAR_S).sort_values("frame")
    if rows.empty:
        return None
    times = rows["frame"].to_numpy(float) / camera.fps
    if t_s < times[0] - 0.5 * HAND_NEAR_S or t_s > times[-1] + 0.5 * HAND_NEAR_S:
        return None
    x1, y1, x2, y2, seen = (
        float(np.interp(t_s, times, rows[column])) for column in ("x1", "y1", "x2", "y2", "visible")
    )
    return Rect(x1, y1, x2, y2), seen


def _plan_shots(recording: Recording, index: int, row: SheetRow) -> list[Shot]:
    """Which frames and cut-outs the row needs, in time order and the whole view last."""
    if not recording.cameras:
        return []
    sight = _Sight(recording, row)
    all_cameras, times = recording.cameras, row.times_s
    middle = times["during"]
    located = [c for c in all_cameras if sight.facing_rect(c)]
    shelf = work = None
    if located:
        shelf = _best(located, lambda c: sum(sight.seen_facing(c, times[k]) for k in ("before", "after")))
        work = _best(located, lambda c: sight.seen_facing(c, middle) * (0.1 + _share(sight, c, middle)))
    in_hand, in_hand_s = max(
        ((c, t) for c in all_cameras for t in sight.noted_times_s(c, *row.in_hand_s)),
        key=lambda choice: _seen_holding(sight, *choice),
    )
    choices: dict[str, tuple[Camera | None, float]] = {
        "before": (shelf, times["before"]),
        "during": (work, middle),
        "after": (shelf, times["after"]),
        "late": (None, times["late"]),
        "in hand": (in_hand, in_hand_s),
    }
    shots = []
    for tile, (chosen, t_s) in sorted(choices.items(), key=lambda choice: choice[1][1]):
        camera = chosen or _best(all_cameras, lambda c, t=t_s: _seen_hand(sight, c, t))  # type: ignore[misc]
        outlines = _outlines(sight, camera) if tile in ("before", "during", "after") else ()
        shots.append(Shot(index, tile, camera, t_s, _around(sight, camera, tile, t_s), outlines))
    camera = next(s.camera for s in shots if s.tile == "during")
    outlines = _outlines(sight, camera)
    if hand := sight.any_hand_rect(camera, middle):
        outlines += ((hand[0].corners, HAND_COLOUR),)
    return [*shots, Shot(index, "whole", camera, middle, None, outlines)]


def _outlines(sight: _Sight, camera: Camera) -> tuple[Outline, ...]:
    front = sight.front(camera)
    return ((front, FACING_COLOUR),) if front else ()


def _best(cameras: Sequence[Camera], score: Callable[[Camera], float]) -> Camera:
    return max(cameras, key=score)


def _share(sight: _Sight, camera: Camera, t_s: float) -> float:
    found = sight.hand_rect(camera, t_s)
    return found[1] if found else 0.0


def _seen_hand(sight: _Sight, camera: Camera, t_s: float) -> float:
    found = sight.any_hand_rect(camera, t_s)
    return found[0].area * found[1] if found else 0.0


def _seen_holding(sight: _Sight, camera: Camera, t_s: float) -> float:
    found = sight.holding(camera, t_s)
    return found[1] if found else 0.0


def _around(sight: _Sight, camera: Camera, tile: str, t_s: float) -> Rect | None:
    """What a tile must show: the facing, the facing with the hand, or later the hand with what it holds."""
    facing = sight.facing_rect(camera)
    if tile == "in hand":
        found = sight.holding(camera, t_s)
    else:
        found = (
            sight.hand_rect(camera, t_s) if tile == "during" and facing else sight.any_hand_rect(camera, t_s)
        )
    hand = found[0] if found else None
    if tile in ("in hand", "late") or facing is None:
        if hand is None:
            return sight.person_rect(camera, t_s) or facing
        reach = (1.4 if tile == "late" else 0.5) * max(hand.x2 - hand.x1, hand.y2 - hand.y1)
        return Rect(hand.x1 - reach, hand.y1 - reach, hand.x2 + reach, hand.y2 + reach)
    if tile == "during" and hand is not None:
        joined = facing.joined(hand)
        return joined if joined.area < 6 * facing.area else facing
    return facing


def _take(
    recording: Recording, shots: Sequence[Shot], progress: Progress | None
) -> dict[tuple[int, str], Image]:
    """Read each video once and cut out every shot from the frame nearest to its time."""
    pictures: dict[tuple[int, str], Image] = {}
    for camera in recording.cameras:
        waiting = sorted((s for s in shots if s.camera == camera), key=lambda s: s.t_s, reverse=True)
        last: tuple[float, np.ndarray] | None = None
        for t_s, image in recording.frames(camera.camera) if waiting else ():
            while waiting and waiting[-1].t_s <= t_s:
                shot = waiting.pop()
                earlier = last is not None and shot.t_s - last[0] < t_s - shot.t_s
                frame = last[1] if earlier and last is not None else image
                pictures[shot.row, shot.tile] = _cut_out(frame, shot)
            if not waiting:
                break
            last = (t_s, image)
            if progress:
                progress(f"reading {camera.file}", 0.9 * len(pictures) / len(shots))
        for shot in waiting:
            assert last is not None
            pictures[shot.row, shot.tile] = _cut_out(last[1], shot)
    return pictures


def _cut_out(image: np.ndarray, shot: Shot) -> Image:
    """The shot's part of a BGR frame, enlarged to its place on the sheet."""
    from PIL import Image as pil
    from PIL import ImageDraw

    picture = pil.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    if shot.around is None:
        part = Rect(0, 0, picture.width, picture.height)
        wide, high = shot.whole_size or ((SIDE, WHOLE_HIGH) if shot.tile == "whole" else TILE)
        scale = min(wide / picture.width, high / picture.height)
        size = (round(picture.width * scale), round(picture.height * scale))
    else:
        part = _framed(shot.around, picture.width, picture.height)
        scale, size = TILE[1] / (part.y2 - part.y1), TILE
    picture = picture.resize(size, pil.Resampling.BICUBIC, box=part)
    draw = ImageDraw.Draw(picture)
    for corners, colour in shot.outlines:
        points = [((x - part.x1) * scale, (y - part.y1) * scale) for x, y in corners]
        draw.line([*points, points[0]], fill=colour, width=2 if shot.tile == "whole" else 1)
    return picture


def _framed(around: Rect, width: int, height: int) -> Rect:
    """The part of a picture with a tile's proportions that shows `around` with a margin."""
    aspect = TILE[0] / TILE[1]
    high = max(1.25 * (around.y2 - around.y1), 1.35 * (around.x2 - around.x1) / aspect, LEAST_CROP * height)
    high = min(high, height, width / aspect)
    wide = high * aspect
    x, y = around.centre
    left = min(max(x - 0.5 * wide, 0.0), width - wide)
    top = min(max(y - 0.5 * high, 0.0), height - high)
    return Rect(left, top, left + wide, top + high)


@cache
def _font(size: int, bold: bool = False) -> Any:
    """DejaVu Sans as matplotlib brings it."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def _assemble(
    recording: Recording,
    rows: Sequence[SheetRow],
    shots: Sequence[Shot],
    pictures: Mapping[tuple[int, str], Image],
) -> Image:
    from PIL import Image as pil
    from PIL import ImageDraw

    columns = 1 if len(rows) <= MOST_IN_ONE_COLUMN else 2
    deep = -(-len(rows) // columns)
    sheet = pil.new("RGB", (columns * ROW[0] + (columns - 1) * 2 * GAP, TITLE + deep * (ROW[1] + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, recording, rows)
    for index, row in enumerate(rows):
        left = (index // deep) * (ROW[0] + 2 * GAP)
        top = TITLE + (index % deep) * (ROW[1] + GAP)
        taken = [(shot, pictures[index, shot.tile]) for shot in shots if shot.row == index]
        sheet.paste(_draw_row(recording, row, taken), (left, top))
    return sheet


def _title(draw: ImageDraw, recording: Recording, rows: Sequence[SheetRow]) -> None:
    events = sum(row.kind != "act" for row in rows)
    draw.text((GAP, 8), recording.id, INK, _font(24, True))
    left = GAP + draw.textlength(recording.id, _font(24, True)) + 20
    text = f"{events} of {len(recording.truth.events)} shelf events, {len(rows) - events} other acts"
    text += f"  ·  {len(recording.cameras)} cameras  ·  shoppers {', '.join(recording.truth.shoppers)}"
    draw.text((left, 16), text, FAINT, _font(14))


def _draw_row(recording: Recording, row: SheetRow, taken: Sequence[tuple[Shot, Image]]) -> Image:
    from PIL import Image as pil
    from PIL import ImageDraw

    picture = pil.new("RGB", ROW, PAPER)
    draw = ImageDraw.Draw(picture)
    colour = COLOURS[row.kind]
    _draw_header(draw, row, colour)
    tiles = [(shot, image) for shot, image in taken if shot.tile != "whole"]
    for index, (shot, image) in enumerate(tiles):
        left = GAP + index * (TILE[0] + GAP)
        draw.rectangle((left, HEADER, left + TILE[0] - 1, HEADER + TILE[1] - 1), EMPTY)
        offset = ((TILE[0] - image.width) // 2, (TILE[1] - image.height) // 2)
        picture.paste(image, (left + offset[0], HEADER + offset[1]))
        _caption(draw, left, HEADER, f"{shot.tile} {shot.t_s:.1f} s", shot.camera.camera)
    if not tiles:
        draw.text((GAP + 8, HEADER + 30), "no camera", FAINT, _font(13))
    left, top = ROW[0] - SIDE - GAP, GAP
    for image in (image for shot, image in taken if shot.tile == "whole"):
        picture.paste(image, (left, top))
        top += image.height + GAP
    _draw_trace(recording, row, picture, (left, top, ROW[0] - GAP, HEADER + TILE[1]))
    draw.rectangle((0, 0, 3, HEADER + TILE[1]), colour)
    draw.line((0, ROW[1] - 2, ROW[0], ROW[1] - 2), EMPTY, 2)
    return picture


def _draw_header(draw: ImageDraw, row: SheetRow, colour: tuple[int, int, int]) -> None:
    width = TILES * (TILE[0] + GAP) - 2 * GAP
    time = f"#{row.number}   {row.t_start_s:.2f}–{row.t_end_s:.2f} s   "
    draw.text((12, 1), _fitted(draw, time + row.title, _font(20, True), width), colour, _font(20, True))
    lines = _wrapped(draw, row.details.split("  ·  "), _font(13), width)
    for index, line in enumerate(lines[:2]):
        draw.text((12, 27 + 17 * index), _fitted(draw, line, _font(13), width), FAINT, _font(13))


def _caption(draw: ImageDraw, left: int, top: int, text: str, camera: str) -> None:
    for words, height in ((text, 0), (camera, TILE[1] - 16)):
        font = _font(13, True) if height == 0 else _font(10)
        wide = draw.textlength(words, font)
        draw.rectangle((left, top + height, left + wide + 8, top + height + font.size + 6), (0, 0, 0))
        draw.text((left + 4, top + height + 2), words, PAPER, font)


def _fitted(draw: ImageDraw, text: str, font: Any, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than that."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(draw: ImageDraw, parts: Sequence[str], font: Any, width: float) -> list[str]:
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}  ·  {part}"
        if draw.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _draw_trace(
    recording: Recording, row: SheetRow, picture: Image, place: tuple[int, int, int, int]
) -> None:
    """Draw the plates' loads into `place` (left, top, right, bottom), or say why there are none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image as pil
    from PIL import ImageDraw

    left, top, right, bottom = place
    trace = plate_trace(recording, row)
    if trace is None:
        why = "no plates" if not recording.has_plates else "no shelf: no plates to show"
        ImageDraw.Draw(picture).text((left, top + 4), why, FAINT, _font(13))
        return
    figure = Figure(((right - left) / 100, (bottom - top) / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.16, 0.13, 0.82, 0.74))
    axes.axvspan(row.t_start_s, row.t_end_s, color="#ffe08a", lw=0)
    for plate, grams in trace.plates.items():
        own = plate in trace.own
        axes.plot(trace.t_s, grams, color="#5b8db8" if own else "#c4c4c4", lw=0.8)
    axes.plot(trace.t_s, trace.total, color="black", lw=1.6)
    title = ""
    if row.expected_g is not None:
        axes.axhline(row.expected_g, color="#d62728", ls="--", lw=1.1)
        title = f"expected {row.expected_g:+.0f} g"
    change = trace.change_g(row.t_start_s, row.t_end_s)
    title += f"  weighed {change:+.0f} g" if np.isfinite(change) else ""
    axes.set_title(title.strip(), fontsize=7.5, pad=3)
    axes.set_xlim(trace.t_s[0], trace.t_s[-1])
    own_names = " + ".join(plate.rsplit(".", 1)[1] for plate in trace.own)
    axes.text(0.02, 0.48, own_names, fontsize=7, transform=axes.transAxes)
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.draw()
    picture.paste(pil.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), (left, top))
