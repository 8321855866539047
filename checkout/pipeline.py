"""From a recording to receipts: every sensor's evidence, fused, put into carts and judged by the policy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from checkout.cart import receipts
from checkout.catalog import Catalog, Facing, Planogram, Product, shelf_of
from checkout.errors import InputError, nearest
from checkout.events import LeftOnFloor, Receipt, ShelfEvent, ShelfMoment, WeightStep
from checkout.fusion import UNKNOWN_SHOPPER, Explanation, Fusion, FusionSettings, Nearness, distinct
from checkout.output import new_file
from checkout.recording import Recording
from checkout.review import ReviewPolicy

if TYPE_CHECKING:
    from checkout.vision.watch import Sight
    from checkout.weight.steps import StepResult

SENSORS = ("vision", "plates")
CONFIDENCE_FILE = Path(__file__).resolve().parents[1] / "models" / "confidence.json"

FEWEST_STEPS = 3
"""Assumed: so many weight steps tell in which unit the catalogue is."""
KILOGRAMS_AT_MOST, SMALLEST_NOISE_G = 30.0, 5.0
"""Assumed: what 20 kg plates may send in kilograms; and noise, grams, of which a hundredth is no load cell's."""
UNREAD_SHARE, BESIDE_UNREAD_S = 0.5, 1.0
"""Assumed: a moment is vision's alone when its facings are unread with this probability and no step is this near."""

Progress = Callable[[str, float], None]


class FoundPlace(NamedTuple):
    """A place that was found in a plain video: its name and region (x1, y1, x2, y2), pixels."""

    facing: str
    region: tuple[float, float, float, float]


@dataclass(frozen=True)
class Perceived:
    """All that was made of one recording.

    Attributes:
        detections: columns camera, frame, t_s, label, confidence, x1, y1, x2, y2 (pixels); None without cameras or
            where they were not to be kept.
        shopper_minutes: how long shoppers were watched in all.
        warnings: what was missing or doubtful, one line each.
        detector: what looked at the pictures, or "none".
        regions: where items stand in a plain video.
        left: what was left on the floor.
    """

    recording_id: str
    events: tuple[ShelfEvent, ...]
    receipts: tuple[Receipt, ...]
    steps: tuple[WeightStep, ...] = ()
    moments: tuple[ShelfMoment, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    detections: pd.DataFrame | None = None
    shopper_minutes: float = 0.0
    warnings: tuple[str, ...] = ()
    detector: str = "none"
    regions: tuple[FoundPlace, ...] = ()
    left: tuple[LeftOnFloor, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The shape that `receipts --json` prints."""
        return {
            "recording": self.recording_id,
            "events": [e.to_dict() for e in self.events],
            "left_on_floor": [row.to_dict() for row in self.left],
            "receipts": [r.to_dict() for r in self.receipts],
            "detector": self.detector,
            "warnings": list(self.warnings),
        }


Coefficients = tuple[float, float, float]


@dataclass(frozen=True)
class ConfidenceMap:
    """Makes raw probabilities calibrated: per aspect, sigmoid(a + b logit(p) + c log(number of shoppers)).

    Platt's map (1999) with one more term, because who did it is the less sure, the more people may be taken for
    each other, beyond what the model knows. The default leaves the probabilities as they are.
    """

    item: Coefficients = (0.0, 1.0, 0.0)
    action: Coefficients = (0.0, 1.0, 0.0)
    shopper: Coefficients = (0.0, 1.0, 0.0)

    @classmethod
    def load(cls, sensors: str, path: Path = CONFIDENCE_FILE) -> ConfidenceMap | None:
        """The fitted map for a set of sensors, for example "plates+vision"; None when there is none."""
        if not path.is_file():
            return None
        row = json.loads(path.read_text(encoding="utf-8"))["maps"].get(sensors)
        return cls(**{k: (float(v[0]), float(v[1]), float(v[2])) for k, v in row.items()}) if row else None

    def apply(self, event: ShelfEvent) -> ShelfEvent:
        """The event with calibrated confidences; its candidates still sum to one."""
        crowd = len(event.candidates)
        shopper = event.shopper_confidence
        if shopper > 0 and crowd > 1:
            shopper = _mapped(shopper, self.shopper, crowd)
        others = sum(p for who, p in event.candidates.items() if who != event.shopper)
        candidates = {
            who: shopper
            if who == event.shopper
            else (p / others if others else 1 / max(1, crowd - 1)) * (1 - shopper)
            for who, p in event.candidates.items()
        }
        return replace(
            event,
            item_confidence=_mapped(event.item_confidence, self.item, crowd),
            action_confidence=_mapped(event.action_confidence, self.action, crowd),
            shopper_confidence=shopper,
            candidates=candidates if crowd > 1 and shopper > 0 else event.candidates,
        )


@dataclass(frozen=True)
class Watched:
    """What the cameras of one recording showed, whichever sensors it will be fused with.

    Attributes:
        detector: what looked at the pictures.
        warnings: what was missing or doubtful, one line each.
    """

    sight: Sight
    detector: str
    warnings: tuple[str, ...]


def watch(
    recording: Recording,
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    steps: Sequence[WeightStep] = (),
    every_frame: bool = False,
    looks_hz: float | None = None,
    keep_detections: bool = True,
    keep_from: float | None = None,
    progress: Progress | None = None,
) -> Watched:
    """Let the detector look at all cameras of a recording: the costly part of `perceive`.

    Args:
        steps: of the plates; a camera that sees a plate looks when it steps.
        every_frame, looks_hz, keep_detections: as in `perceive`.
        keep_from: score from which detections are kept; None for the least that anything is made of.

    Raises:
        InputError: a video or the weights cannot be used, or `looks_hz` is not over 0.
    """
    from checkout.vision.detector import LOWEST_CONFIDENCE, Detector
    from checkout.vision.watch import watch_recording

    if looks_hz is not None and not looks_hz > 0:
        raise InputError("looks_hz", "", f"{looks_hz:g}, expected more than 0 looks a second")
    model = Detector(detector, class_map=class_map)
    blind = [f"{model.name} does not see a {k}" for k in ("hand", "item", "person") if k not in model.sees]
    sight = watch_recording(
        recording, model, progress, steps=steps, every_frame=every_frame, looks_hz=looks_hz, keep=keep_detections,
        keep_from=LOWEST_CONFIDENCE if keep_from is None else keep_from,
    )  # fmt: skip
    return Watched(sight, model.name, (*blind, *sight.warnings))


def weigh(recording: Recording, progress: Progress | None = None) -> StepResult:
    """Read the weight steps off a recording's plates."""
    from checkout.weight.steps import detect_steps

    if progress:
        progress(f"weighing {recording.id}", 0.0)
    weighed = detect_steps(recording.plates)
    check_units(recording, weighed.steps)
    return weighed


def check_units(recording: Recording, steps: Sequence[WeightStep]) -> None:
    """Raise `InputError` when catalogue and plates are not in one unit, by what the steps would weigh then."""
    weights = np.array([p.weight_g for p in recording.catalog.values()])
    folder = recording.path
    if len(steps) >= FEWEST_STEPS and weights.max() < 0.1 * np.median([abs(s.grams) for s in steps]):
        typical = float(np.median([abs(s.grams) for s in steps]))
        raise InputError(
            folder / "catalog.csv",
            "weight_g",
            f"no product weighs more than {weights.max():g} g, but plates step by {typical:.0f} g",
            "the weights look like kilograms: give grams",
        )
    if steps:
        return
    loads = recording.plates
    largest, moves = float(loads.abs().max().max()), float(loads.std().median())
    if largest < KILOGRAMS_AT_MOST and 0 < moves < 0.01 * SMALLEST_NOISE_G < weights.min():
        raise InputError(
            folder / "plates.parquet",
            "grams",
            f"no load is over {largest:.2f} and noise is {moves:.1g}, but products weigh {np.median(weights):.0f} g",
            "the loads look like kilograms: give grams",
        )


def usable_sensors(recording: Recording, sensors: Collection[str]) -> tuple[str, ...]:
    """Those of the sensors asked for that the recording has.

    Raises:
        InputError: a sensor has an unknown name, or the recording has none of them.
    """
    for name in sensors:
        if name not in SENSORS:
            raise InputError(
                "--sensors", "", f"{name!r} is not one of {', '.join(SENSORS)}", nearest(name, SENSORS)
            )
    has = {"vision": bool(recording.cameras), "plates": recording.has_plates}
    usable = tuple(name for name in SENSORS if name in sensors and has[name])
    if not usable:
        raise InputError(recording.path, "", f"has none of the sensors asked for ({', '.join(sensors)})")
    return usable


def perceive(
    recording: Recording,
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    policy: ReviewPolicy | None = None,
    sensors: Collection[str] = SENSORS,
    confidence: ConfidenceMap | None = None,
    progress: Progress | None = None,
    annotate: Path | None = None,
    force: bool = False,
    every_frame: bool = False,
    looks_hz: float | None = None,
    keep_detections: bool = True,
) -> Perceived:
    """Turn a recording into shelf events and receipts, from whichever of its sensors are asked for.

    Args:
        detector: weights; None for the shipped ones.
        class_map: the detector's classes in our words, see `Detector`.
        sensors: "vision", "plates" or both; one that the recording lacks is named in the warnings.
        confidence: calibration of the confidences; None for the shipped one.
        progress: called with what is being done and the share done, 0-1.
        annotate: where to write the annotated video.
        every_frame: let the network see every frame, whether or not anything moves.
        looks_hz: most looks a second at each camera, evenly spread; None for `attention.LOOKS_HZ`.
        keep_detections: False where memory is not to grow with the video's length.

    Raises:
        InputError: the recording is faulty, or has none of the sensors.
    """
    usable = usable_sensors(recording, sensors)
    watched = weighed = None
    if "plates" in usable:
        weighed = weigh(recording, progress)
    if "vision" in usable:
        watched = watch(
            recording, detector=detector, class_map=class_map, steps=weighed.steps if weighed else (),
            every_frame=every_frame, looks_hz=looks_hz, keep_detections=keep_detections or annotate is not None,
            progress=progress,
        )  # fmt: skip
    perceived = fuse(recording, watched, weighed, sensors=sensors, policy=policy, confidence=confidence)
    if annotate is not None:
        if watched is None:
            raise InputError(recording.path, "cameras", "there is no video to annotate")
        annotate_recording(annotate, recording, perceived, force=force, progress=progress)
    return perceived


def fuse(
    recording: Recording,
    watched: Watched | None,
    weighed: StepResult | None,
    *,
    sensors: Collection[str] = SENSORS,
    policy: ReviewPolicy | None = None,
    confidence: ConfidenceMap | None = None,
    settings: FusionSettings | None = None,
) -> Perceived:
    """Make shelf events and receipts of what was watched and weighed; the cheap part of `perceive`.

    Args:
        watched, weighed: None where the recording has no such sensor or it is not to be used.
        sensors: those that were asked for; one that is not there is named in the warnings.
    """
    warnings = [
        f"no {name} in this recording: its events rest on the other sensors alone"
        for name, sensor, lacking in (
            ("cameras", "vision", watched is None),
            ("plates", "plates", weighed is None),
        )
        if sensor in sensors and lacking
    ]
    sight = watched.sight if watched is not None else None
    moments = sight.moments if sight is not None else ()
    left = sight.left if sight is not None else ()
    steps = weighed.steps if weighed is not None else ()
    for part in (watched, weighed):
        warnings += part.warnings if part is not None else ()
    shoppers = _shoppers(recording)
    nearness, how = _nearness(recording, sight)
    if how:
        warnings.append(how)
    staff = {e.shopper for e in recording.entries if e.role == "staff"}
    people = Counter(e.shopper for e in recording.entries)
    fusion = Fusion(
        recording.catalog,
        recording.planogram,
        shoppers or [UNKNOWN_SHOPPER],
        nearness,
        settings,
        staff=staff,
        people=people,
    )
    if weighed is None:
        alone: Sequence[ShelfMoment] = moments
    else:
        alone = unweighed_moments(recording, weighed, moments)
        warnings += _unexplained(recording, weighed.steps, alone)
    used = settings or FusionSettings()
    alone = distinct(alone, used.same_act_s, used.others_act_s)
    explanations = fusion.explain(steps, moments, alone)
    sources = "+".join(n for n, part in (("plates", weighed), ("vision", watched)) if part is not None)
    mapped = confidence or ConfidenceMap.load(sources)
    if mapped is None:
        warnings.append(
            f"the confidences of {sources} were never calibrated: they are the model's own probabilities"
        )
        mapped = ConfidenceMap()
    seen_only = (
        mapped if confidence or not alone or weighed is None else ConfidenceMap.load("vision") or mapped
    )
    explanations = tuple(
        replace(x, events=tuple((mapped if x.steps else seen_only).apply(e) for e in x.events))
        for x in explanations
    )
    events = tuple(sorted((e for x in explanations for e in x.events), key=lambda e: e.t_s))
    return Perceived(
        recording.id,
        events,
        receipts(shoppers, events, policy or ReviewPolicy(), staff=staff, left=left),
        steps,
        moments,
        explanations,
        sight.detections if sight else None,
        _shopper_minutes(recording, steps, sight is not None),
        tuple(dict.fromkeys(warnings)),
        watched.detector if watched else "none",
        left=left,
    )


def unweighed_moments(
    recording: Recording, weighed: StepResult, moments: Sequence[ShelfMoment]
) -> tuple[ShelfMoment, ...]:
    """Moments at facings whose plates could not be read just then, and that no step nearby tells more of."""
    known = set(recording.plates.columns)
    missing = {f.facing for f in recording.planogram.values() if not f.plates or not set(f.plates) <= known}
    spans: dict[str, list[tuple[float, float]]] = {}
    for plate, start_s, end_s in weighed.unread:
        for facing in recording.planogram.on_plate(plate):
            spans.setdefault(facing.facing, []).append((start_s, end_s))

    def blind(facing: str, moment: ShelfMoment) -> bool:
        return facing in missing or any(
            a <= moment.t_end_s and moment.t_start_s <= b for a, b in spans.get(facing, ())
        )

    def explained(moment: ShelfMoment) -> bool:
        return any(
            moment.t_start_s - BESIDE_UNREAD_S <= step.t_s <= moment.t_end_s + BESIDE_UNREAD_S
            and any(shelf_of(f) == step.shelf and p > 0.1 for f, p in moment.facing.items())
            for step in weighed.steps
        )

    return tuple(
        m
        for m in moments
        if sum(p for f, p in m.facing.items() if blind(f, m)) > UNREAD_SHARE and not explained(m)
    )


def _unexplained(
    recording: Recording, steps: Sequence[WeightStep], alone: Sequence[ShelfMoment]
) -> list[str]:
    """What no facing or no plate accounts for, counted, one line each."""
    strange = [s for s in steps if not any(recording.planogram.on_plate(p) for p in s.plate_grams)]
    found = []
    if strange:
        plates = sorted({p for s in strange for p in s.plate_grams})
        found.append(
            f"{len(strange)} weight steps on plates that planogram.yaml does not name were left out:"
            f" {', '.join(plates[:4])}{' ...' if len(plates) > 4 else ''}"
        )
    if alone:
        found.append(
            f"{len(alone)} reaches into places whose plates could not be read: their events rest on the cameras alone"
        )
    return found


def annotate_recording(
    out: Path,
    recording: Recording,
    perceived: Perceived,
    *,
    true: Sequence[ShelfEvent] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write all cameras' videos with what was perceived and, where it is given, what truly happened."""
    videos = [(c.camera, recording.path / c.file) for c in recording.cameras]
    _annotate(out, videos, perceived, force, progress, true)


def perceive_video(
    video: Path,
    *,
    detector: str | Path | None = None,
    class_map: Mapping[str, str] | None = None,
    policy: ReviewPolicy | None = None,
    progress: Progress | None = None,
    annotate: Path | None = None,
    force: bool = False,
    every_frame: bool = False,
    keep_from: float | None = None,
) -> Perceived:
    """What the detector makes of a plain video, without planogram, catalogue or plates.

    Places are found where items stand; an item is called after its place, and one unknown
    shopper is charged. What is lacking is said in the warnings. `keep_from` is that of `watch`.

    Raises:
        InputError: the video or the weights cannot be used.
    """
    from checkout.vision.detector import LOWEST_CONFIDENCE, Detector
    from checkout.vision.video import probe
    from checkout.vision.watch import watch_video

    info = probe(video)
    model = Detector(detector, class_map=class_map)
    sight, places = watch_video(
        video, model, progress, every_frame=every_frame,
        keep_from=LOWEST_CONFIDENCE if keep_from is None else keep_from,
    )  # fmt: skip
    warnings = [
        "no planogram and no catalogue: an item is called after the place where it stood",
        "no plates: quantities are not weighed, every event counts one unit",
        f"no entry scans: every event is given to {UNKNOWN_SHOPPER!r}",
        "the confidences of a plain video were never calibrated: they are the model's own probabilities",
        *(
            f"{model.name} does not see a {kind}: events rest on what changes in the picture alone"
            for kind in ("hand", "item")
            if kind not in model.sees
        ),
    ]
    warnings += sight.warnings
    if not places:
        warnings.append(
            "no place was found where an item stands still or something changed: there is nothing to take"
        )
    catalog = Catalog(Product(f"item-of-{name}", 1.0, 1.0, 0.0) for name in places)
    planogram = Planogram(Facing(name, f"item-of-{name}", ()) for name in places)
    fusion = Fusion(catalog, planogram, [UNKNOWN_SHOPPER])
    explanations = fusion.explain([], sight.moments, sight.moments)
    events = tuple(sorted((e for x in explanations for e in x.events), key=lambda e: e.t_s))
    perceived = Perceived(
        video.name,
        events,
        receipts([UNKNOWN_SHOPPER] if events else [], events, policy or ReviewPolicy()),
        (),
        sight.moments,
        explanations,
        sight.detections,
        info.frames / info.fps / 60 if info.fps else 0.0,
        tuple(warnings),
        model.name,
        tuple(FoundPlace(name, region) for name, region in places.items()),
    )
    if annotate is not None:
        _annotate(annotate, [("cam0", video)], perceived, force, progress)
    return perceived


def _shoppers(recording: Recording) -> tuple[str, ...]:
    names = [e.shopper for e in recording.entries]
    if recording.has_positions:
        names += sorted(recording.positions["shopper"].astype(str).unique())
    return tuple(dict.fromkeys(names))


def _nearness(recording: Recording, sight: Any) -> tuple[Nearness | None, str]:
    """Who was where, from the best source there is; and what to tell the user when there is none."""
    if sight is not None and (sight.moments or sight.places):
        from checkout.vision.tracks import ReachesNearness

        return ReachesNearness(recording.planogram, sight.moments, sight.places), ""
    if recording.has_positions:
        from checkout.vision.tracks import PositionsNearness

        return PositionsNearness(recording.planogram, recording.positions), ""
    return None, "nothing says who was where: every shopper inside is equally likely"


def _shopper_minutes(recording: Recording, steps: Sequence[WeightStep], seen: bool) -> float:
    """Minutes that shoppers were inside, from their entry to the end of the recording."""
    if recording.has_plates:
        end = float(recording.plates.index[-1])
    elif seen:
        from checkout.vision.video import probe

        end = max(probe(recording.path / c.file).frames / c.fps for c in recording.cameras)
    else:
        end = max((s.t_end_s for s in steps), default=0.0)
    starts = [e.t_s for e in recording.entries if e.role == "shopper"] or [0.0]
    return sum(max(0.0, end - max(0.0, s)) for s in starts) / 60.0


def _annotate(
    out: Path,
    videos: Sequence[tuple[str, Path]],
    perceived: Perceived,
    force: bool,
    progress: Progress | None,
    true: Sequence[ShelfEvent] = (),
) -> None:
    from checkout.vision.annotate import write_annotated

    assert perceived.detections is not None
    with new_file(out, force=force) as draft:
        write_annotated(draft, videos, perceived.detections, perceived.events, true=true, progress=progress)


def _mapped(p: float, coefficients: Coefficients, shoppers: int) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    a, b, c = coefficients
    z = a + b * np.log(p / (1 - p)) + c * np.log(max(1, shoppers))
    return float(1.0 / (1.0 + np.exp(-z)))
