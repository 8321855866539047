"""The learning curve: what perception gets wrong after training on a part of the data, and what more would buy.

`measure` trains the detector on growing shares of one training set with the recipe of `training.train`, perceives the
same recordings with each, and counts errors. A power law error = a x pictures^-b (Hestness et al. 2017, Deep Learning
Scaling is Predictable) is fitted to the counts. `LearningCurve` holds the points and the fits as one JSON file.

A floor under the law (+ c) is left out: three parameters cannot be told apart with four points. So the law is too
hopeful far beyond the largest training set, where errors that no detector mends come to rule.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from checkout.catalog import check_schema
from checkout.errors import InputError, nearest
from checkout.evaluation.events import hits, judge_events
from checkout.output import check_free, new_file

if TYPE_CHECKING:
    from checkout.pipeline import Perceived
    from checkout.recording import Recording

CURVE_SCHEMA = 1
SHARES = (0.05, 0.2, 0.5, 1.0)
TOLERANCE_S = 0.5
SENSOR_SETS = {"vision": ("vision",), "plates+vision": ("vision", "plates")}
ERRORS = ("event", "product", "low_confidence")
"""What is counted: 1 - F1 of events with action and product right within `TOLERANCE_S`; wrong products among the
perceived events that stand for a true one; perceived events with a confidence under its review threshold."""
RESAMPLES = 200
DATA_FACTS = {"frames", "imgsz", "seed", "real"}
"""What `checkout train` notes of its training set, and compares before it makes one."""

Count = tuple[int, int]
"""How many were wrong, and of how many."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class PowerLaw:
    """error = a x pictures^-b.

    Attributes:
        b_ci95: 95 % interval of b, and `covariance` [2, 2] of (log a, b): a bootstrap over the recordings, the same
            ones at every point; the chance in training itself is not in it. None with a single recording.
        least_pictures, most_pictures: between which the points lie.
    """

    a: float
    b: float
    b_ci95: tuple[float, float] | None
    covariance: tuple[tuple[float, float], tuple[float, float]] | None
    least_pictures: int
    most_pictures: int

    def error(self, pictures: float) -> float:
        """The error expected after training on so many pictures, 0 to 1."""
        return min(1.0, self.a * pictures**-self.b)


@dataclass(frozen=True)
class CurvePoint:
    """One training.

    Attributes:
        share: of the training set, 0 to 1.
        pictures: training pictures; `by_kind` says how many were rendered, real, and pasted before a ground.
        boxes: how many each class had.
        steps: of the optimiser.
        detections: mAP50 of each class on the recordings' frames.
        counts: sensors -> error (`ERRORS`) -> recording -> (wrong, of how many).
    """

    share: float
    pictures: int
    by_kind: Mapping[str, int]
    boxes: Mapping[str, int]
    epochs: int
    steps: int
    train_s: float
    detections: Mapping[str, float]
    counts: Mapping[str, Mapping[str, Mapping[str, Count]]]

    def error(self, sensors: str, name: str) -> float:
        """Share that was wrong over all recordings; NaN where there was nothing to be wrong about."""
        wrong, of = np.sum(list(self.counts[sensors][name].values()), axis=0)
        return float(wrong / of) if of else math.nan


@dataclass(frozen=True)
class LearningCurve:
    """Points, and the laws fitted to them.

    Attributes:
        laws: sensors -> error -> law; None where too few points have a count or nothing was ever wrong.
        facts: how it was made: seeds, versions, sizes, recordings' hashes.
    """

    points: tuple[CurvePoint, ...]
    laws: Mapping[str, Mapping[str, PowerLaw | None]]
    facts: Mapping[str, Any]

    @classmethod
    def fitted(
        cls, points: Sequence[CurvePoint], facts: Mapping[str, Any], *, seed: int = 1
    ) -> LearningCurve:
        """Fit the laws to points."""
        ordered = tuple(sorted(points, key=lambda p: p.pictures))
        laws = {s: {name: _law(ordered, s, name, seed) for name in ERRORS} for s in SENSOR_SETS}
        return cls(ordered, laws, dict(facts))

    def predict(self, pictures: float, error: str = "event", sensors: str = "plates+vision") -> float:
        """The error, 0 to 1, after training on so many pictures.

        Raises:
            InputError: the error or the sensors are not known, no law could be fitted, or there are no pictures.
        """
        if sensors not in self.laws:
            raise InputError("learning curve", "sensors", f"{sensors!r}", nearest(sensors, self.laws))
        if error not in self.laws[sensors]:
            raise InputError("learning curve", "error", f"{error!r}", nearest(error, self.laws[sensors]))
        if not pictures > 0:
            raise InputError("learning curve", "pictures", f"{pictures!r}, expected a positive number")
        law = self.laws[sensors][error]
        if law is None:
            raise InputError("learning curve", f"{sensors}: {error}", "no law could be fitted to its points")
        return law.error(pictures)

    @classmethod
    def load(cls, path: str | Path) -> LearningCurve:
        """Read a learning curve; raises `InputError` when the file is none or has another schema."""
        path = Path(path)
        if not path.is_file():
            raise InputError(path, "", "does not exist", "make one with: checkout learning-curve")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(path, "", f"is not JSON ({error})") from None
        if not isinstance(document, dict):
            raise InputError(path, "", "is not a learning curve")
        check_schema(path, document, CURVE_SCHEMA)
        try:
            return cls(
                tuple(_point(row) for row in document["points"]),
                {s: {name: _law_of(document["laws"][s][name]) for name in ERRORS} for s in document["laws"]},
                dict(document["facts"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(path, "", f"a field is missing or malformed ({error!r})") from None
        except InputError as error:
            raise InputError(path, error.field, error.problem, error.remedy) from None

    def save(self, path: str | Path, *, force: bool = False) -> None:
        document = {"schema": CURVE_SCHEMA, **asdict(self)}
        with new_file(path, force=force) as draft:
            draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Plan:
    """How a curve is measured.

    Attributes:
        data: a finished training set, `work/data` of `checkout train`.
        start: Ultralytics checkpoint that every share starts from; None: from scratch.
        epochs: passes over the pictures. Every share gets as many, so that the steps of the optimiser grow with the
            data, as they do for somebody who trains with the same command on more footage.
        equal_steps: give small shares more passes instead, so that every share takes the steps of the whole set:
            then a small share is short of data only, and not of training too.
        imgsz: pixels; None: as the training set was cut.
        seed: of the choice of pictures and of the training.
    """

    data: Path
    recordings: tuple[Path, ...]
    start: str | None = None
    epochs: int = 10
    equal_steps: bool = False
    imgsz: int | None = None
    shares: tuple[float, ...] = SHARES
    seed: int = 1
    device: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.shares)) < 2 or any(not 0 < share <= 1 for share in self.shares):
            raise InputError(
                "--shares", "", f"{self.shares}, expected two or more different shares from 0 to 1"
            )
        if not self.recordings:
            raise InputError("learning curve", "recordings", "names none, expected some with truth")

    def epochs_of(self, share: float) -> int:
        return round(self.epochs / share) if self.equal_steps else self.epochs


def measure(
    out: Path, plan: Plan, *, resume: bool = False, force: bool = False, progress: Progress | None = None
) -> LearningCurve:
    """Train on each share, perceive the recordings with each, fit, and write the curve to `out`.

    Weights and points lie in a folder beside `out` (its name and "-work"), where `resume` finds what is done.

    Raises:
        InputError: the data or a recording cannot be used, or what is to be resumed was made with another plan.
    """
    from checkout.recording import Recording

    check_free(out, force=force or resume)
    tell = progress or (lambda doing, share: None)
    recordings = [Recording.open(path) for path in plan.recordings]
    for recording in recordings:
        _ = recording.truth
    work = out.with_name(f"{out.stem}-work")
    facts = open_work(work, plan, recordings, resume=resume)
    subsets = nested_subsets(plan.data, plan.shares, plan.seed)
    points = []
    for number, share in enumerate(sorted(subsets)):

        def told(doing: str, part: float, number: int = number, share: float = share) -> None:
            tell(f"{share:.0%} of the data: {doing}", (number + part) / len(subsets))

        folder = work / f"share-{share:g}"
        stored = folder / "point.json"
        if not stored.is_file():
            weights, seconds = _trained(folder, subsets[share], plan, share, told)
            point = _described(folder, share, plan.epochs_of(share), seconds, plan.device)
            _write(stored, asdict(_evaluated(point, weights, recordings, told)))
        points.append(_point(json.loads(stored.read_text(encoding="utf-8"))))
    curve = LearningCurve.fitted(points, facts, seed=plan.seed)
    curve.save(out, force=force or resume)
    return curve


def nested_subsets(data: Path, shares: Sequence[float], seed: int) -> dict[float, list[str]]:
    """Names (without suffix) of the training pictures of each share, a smaller share's within every larger one's.

    Kinds of pictures (rendered, real, pasted before a ground: the names' first word) keep their proportions, and the
    windows cut from one rendered frame stay together. A real picture that stands several times in the set counts
    each time, so that a small share holds more of the different real pictures than its share.

    Raises:
        InputError: the folder is no training set.
    """
    facts = data_facts(data)
    names = sorted(file.stem for file in (data / "images" / "train").glob("*.jpg"))
    if not names:
        raise InputError(
            data / "images" / "train", "", "holds no pictures", "name the work/data of a training"
        )
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.split("-")[0], []).append(name)
    chosen: dict[float, list[str]] = {share: [] for share in shares}
    for kind, own in sorted(kinds.items()):
        together = max(1, len(own) // facts["frames"]) if kind == "rendered" else 1
        groups = [own[i : i + together] for i in range(0, len(own), together)]
        order = np.random.default_rng([seed, *kind.encode()]).permutation(len(groups))
        for share in shares:
            count = max(1, round(share * len(groups)))
            chosen[share] += [name for index in order[:count] for name in groups[index]]
    return {share: sorted(found) for share, found in chosen.items()}


def data_facts(data: Path) -> dict[str, Any]:
    """What is noted of a training set; raises `InputError` when the folder is none that this version made."""
    stamp = data / "facts.json"
    if not stamp.is_file():
        raise InputError(stamp, "", "does not exist", "name the work/data of a finished checkout train")
    facts = json.loads(stamp.read_text(encoding="utf-8"))
    if set(facts) != DATA_FACTS:
        raise InputError(stamp, "", f"holds {', '.join(facts)}, expected {', '.join(sorted(DATA_FACTS))}")
    return dict(facts)


def counted(recording: Recording, seen: Perceived) -> dict[str, Count]:
    """How many of a recording's events were wrong in each way of `ERRORS`, and of how many."""
    from checkout.review import ReviewPolicy

    true, policy = recording.truth.events, ReviewPolicy()
    judged = judge_events(true, seen.events)
    matched = [j for j in judged if j.true is not None and j.perceived is not None]
    wrong = sum(j.true.product != j.perceived.product for j in matched if j.true and j.perceived)
    both = len(true) + len(seen.events)
    return {
        "event": (both - 2 * hits(true, seen.events, TOLERANCE_S, "event"), both),
        "product": (wrong, len(matched)),
        "low_confidence": (sum(bool(policy.doubts(e)) for e in seen.events), len(seen.events)),
    }


def fit_power_law(pictures: Sequence[float], counts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """log a and b of error = a x pictures^-b under which counts (wrong, of how many) are likeliest (binomial).

    Raises:
        ValueError: fewer than two training sizes have a count, or nothing was wrong at any.
    """
    from scipy.optimize import minimize

    rows = [(n, wrong, of) for n, (wrong, of) in zip(pictures, counts, strict=True) if of > 0]
    if len({n for n, _, _ in rows}) < 2 or sum(wrong for _, wrong, _ in rows) <= 0:
        raise ValueError("a law needs two training sizes, and errors")
    n, wrong, of = np.array(rows, float).T
    middle = float(np.log(n).mean())
    logs = np.log(n) - middle

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = np.minimum(at[0] - at[1] * logs, -1e-6)
        right = -np.expm1(log_p)
        slope = (wrong - (of - wrong) * np.exp(log_p) / right) / of.sum()
        value = -(wrong * log_p + (of - wrong) * np.log(right)).sum() / of.sum()
        return float(value), -np.array([slope.sum(), -(slope * logs).sum()])

    slope, level = np.polyfit(logs, np.log((wrong + 0.5) / (of + 1)), 1)
    best = minimize(loss, [level, -slope], jac=True, method="BFGS", options={"gtol": 1e-7}).x
    return float(best[0] + best[1] * middle), float(best[1])


def _law(points: Sequence[CurvePoint], sensors: str, name: str, seed: int) -> PowerLaw | None:
    """The law of one error, with a bootstrap over the recordings; None where none can be fitted."""
    names = sorted({recording for point in points for recording in point.counts[sensors][name]})
    table = np.array([[point.counts[sensors][name].get(r, (0, 0)) for r in names] for point in points], float)
    pictures = [point.pictures for point in points]
    try:
        log_a, b = fit_power_law(pictures, [tuple(row) for row in table.sum(axis=1)])
    except ValueError:
        return None
    known = [n for n, of in zip(pictures, table[:, :, 1].sum(axis=1), strict=True) if of]
    interval = covariance = None
    rng = np.random.default_rng([seed, 7])
    draws = []
    for _ in range(RESAMPLES if len(names) > 1 else 0):
        drawn = table[:, rng.integers(len(names), size=len(names))].sum(axis=1)
        try:
            draws.append(fit_power_law(pictures, [tuple(row) for row in drawn]))
        except ValueError:  # a draw without an error has no law
            continue
    if len(draws) > 1:
        low, high = np.quantile([d[1] for d in draws], [0.025, 0.975])
        interval = (float(low), float(high))
        (aa, ab), (_, bb) = np.cov(np.array(draws).T)
        covariance = ((float(aa), float(ab)), (float(ab), float(bb)))
    return PowerLaw(math.exp(log_a), b, interval, covariance, min(known), max(known))


def open_work(work: Path, plan: Plan, recordings: Sequence[Recording], *, resume: bool) -> dict[str, Any]:
    """Start a working folder, or go on with one that was started for the same; returns how the curve is made.

    Raises:
        InputError: there is nothing to resume, or it was started with another plan or other versions.
    """
    data = data_facts(plan.data)
    facts = {
        "tolerance_s": TOLERANCE_S,
        "start": Path(plan.start).name if plan.start else "from scratch",
        "epochs": plan.epochs,
        "steps": "equal for every share" if plan.equal_steps else "proportional to the pictures",
        "imgsz": plan.imgsz or data["imgsz"],
        "shares": sorted(plan.shares),
        "seed": plan.seed,
        "data": data,
        "versions": {name: version(name) for name in ("checkout-simulator", "ultralytics", "torch")},
        "recordings": {recording.id: recording.sha256() for recording in recordings},
    }
    stamp = work / "facts.json"
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        _write(stamp, facts)
        return facts
    if not stamp.is_file():
        raise InputError(stamp, "", "does not exist, so there is nothing to resume", "run without --resume")
    before = json.loads(stamp.read_text(encoding="utf-8"))
    for key, value in facts.items():
        if before.get(key) != value:
            raise InputError(stamp, key, f"was {before.get(key)!r} and is {value!r}", "run without --resume")
    return facts


def _trained(
    folder: Path, names: Sequence[str], plan: Plan, share: float, tell: Progress
) -> tuple[Path, float]:
    """The weights trained on some pictures (their OpenVINO form), and the seconds that took; kept when stopped."""
    from checkout.vision.detector import SHIPPED_NAME
    from checkout.vision.training import train

    weights, stamp = folder / f"{SHIPPED_NAME}_openvino_model", folder / "trained.json"
    if not stamp.is_file():
        before = (folder / "work" / "run" / "weights" / "last.pt").is_file()
        resume = before and not (folder / f"{SHIPPED_NAME}.pt").is_file()
        facts = data_facts(plan.data)
        imgsz = plan.imgsz or facts["imgsz"]
        if not resume:
            _lay_out(plan.data, folder / "work" / "data", names, facts | {"imgsz": imgsz, "seed": plan.seed})
        started = time.monotonic()
        train(
            folder, frames=facts["frames"], epochs=plan.epochs_of(share), imgsz=imgsz, seed=plan.seed,
            real=[Path(name) for name in facts["real"]], weights=plan.start, resume=resume, device=plan.device,
            force=True, progress=tell,
        )  # fmt: skip
        _write(stamp, {"seconds": time.monotonic() - started})
    return weights, float(json.loads(stamp.read_text(encoding="utf-8"))["seconds"])


def _lay_out(data: Path, out: Path, names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """A training set of some of another's pictures, by links; `facts` make `train` take it as it is."""
    from checkout.vision.detector import CLASSES

    shutil.rmtree(out, ignore_errors=True)
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        for split in ("train", "held-out"):
            (out / kind / split).mkdir(parents=True)
        for name in names:
            (out / kind / "train" / f"{name}.{suffix}").symlink_to(
                (data / kind / "train" / f"{name}.{suffix}").resolve()
            )
        (out / kind / "val").symlink_to((data / kind / "val").resolve())
    classes = "\n".join(f"  {i}: {name}" for i, name in enumerate(CLASSES))
    (out / "data.yaml").write_text(
        f"path: {out.resolve()}\ntrain: images/train\nval: images/val\nnames:\n{classes}\n", encoding="utf-8"
    )
    kinds = Counter(name.split("-")[0] for name in names)
    _write(out / "counts.json", {f"train {kind}": count for kind, count in sorted(kinds.items())})
    _write(out / "facts.json", facts)


def _described(folder: Path, share: float, epochs: int, seconds: float, device: str | None) -> CurvePoint:
    """The point of a training, before anything is perceived with it."""
    from checkout.vision.detector import CLASSES
    from checkout.vision.training import BATCH, kind_of

    labels = sorted((folder / "work" / "data" / "labels" / "train").glob("*.txt"))
    kinds = Counter(file.stem.split("-")[0] for file in labels)
    boxes = Counter(
        CLASSES[int(line.split()[0])] for f in labels for line in f.read_text(encoding="utf-8").splitlines()
    )
    steps = epochs * math.ceil(len(labels) / BATCH[kind_of(device)])
    return CurvePoint(
        share, len(labels), dict(sorted(kinds.items())), dict(boxes), epochs, steps, round(seconds, 1), {}, {}
    )


def _evaluated(
    point: CurvePoint, weights: Path, recordings: Sequence[Recording], tell: Progress
) -> CurvePoint:
    """The point with what its weights get wrong in the recordings, with each set of sensors."""
    from checkout.evaluation.detections import SCORED_FROM, DetectionMetric
    from checkout.pipeline import fuse, watch, weigh

    detections = DetectionMetric()
    counts: dict[str, dict[str, dict[str, Count]]] = {s: {e: {} for e in ERRORS} for s in SENSOR_SETS}
    for recording in recordings:
        # Watched once, without the plates, so that vision alone is not told by them where to look.
        watched = watch(recording, detector=weights, keep_from=SCORED_FROM, progress=tell)
        weighed = weigh(recording, tell) if recording.has_plates else None
        for sensors, asked in SENSOR_SETS.items():
            seen = fuse(recording, watched, weighed if "plates" in asked else None, sensors=asked)
            for error, count in counted(recording, seen).items():
                counts[sensors][error][recording.id] = count
        if seen.detections is not None and (recording.path / "boxes.parquet").is_file():
            detections.update(recording.id, recording.boxes, seen.detections)
    scores = {score.label: score.map50 for score in detections.compute()}
    return replace(point, detections=scores, counts=counts)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    with new_file(path, force=True) as draft:
        draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _point(row: Mapping[str, Any]) -> CurvePoint:
    """A point as it was stored; raises `InputError` for a count that cannot be."""
    counts: dict[str, dict[str, dict[str, Count]]] = {}
    for sensors, errors in row["counts"].items():
        counts[sensors] = {
            name: {r: (int(c[0]), int(c[1])) for r, c in errors[name].items()} for name in ERRORS
        }
        for name, own in counts[sensors].items():
            for recording, (wrong, of) in own.items():
                if not 0 <= wrong <= of:
                    raise InputError(
                        "learning curve", f"counts.{sensors}.{name}.{recording}", f"{wrong} wrong of {of}"
                    )
    point = CurvePoint(**{**row, "counts": counts})
    if not (0 < point.share <= 1 and point.pictures > 0):
        raise InputError("learning curve", "points", f"{point.pictures} pictures, share {point.share}")
    return point


def _law_of(row: Mapping[str, Any] | None) -> PowerLaw | None:
    """A law as it was stored; raises `InputError` when it is none."""
    if row is None:
        return None
    interval, covariance = row["b_ci95"], row["covariance"]
    law = PowerLaw(
        float(row["a"]), float(row["b"]),
        None if interval is None else (float(interval[0]), float(interval[1])),
        None if covariance is None else tuple(tuple(map(float, line)) for line in covariance),  # type: ignore[arg-type]
        int(row["least_pictures"]), int(row["most_pictures"]),
    )  # fmt: skip
    if not (law.a > 0 and math.isfinite(law.a) and math.isfinite(law.b)):
        raise InputError("learning curve", "laws", f"a {law.a!r} and b {law.b!r}, expected a positive a")
    return law
