"""The `checkout` command: every sub-command parses, calls one function, and prints.

Commands of other packages (the simulator's) join through the entry-point group "checkout.commands",
so that this package never imports them by name. Heavy modules are imported where they are used:
`checkout --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from checkout import __version__
from checkout.command_line import command_line, given
from checkout.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from checkout.evaluation.detections import DetectionScore
    from checkout.evaluation.footage import FootageReport
    from checkout.evaluation.report import EvaluationReport
    from checkout.evaluation.temporal import TemporalScore
    from checkout.pipeline import Perceived
    from checkout.vision.learning_curve import LearningCurve

EXTRAS = {
    "vision": (
        "torch",
        "torchvision",
        "ultralytics",
        "cv2",
        "openvino",
        "lap",
        "av",
        "supervision",
        "faster_coco_eval",
        "matplotlib",
        "PIL",
    ),
    "render": ("mujoco",),
    "analysis": ("SALib", "optuna", "sqlalchemy"),
    "dask": ("dask", "distributed"),
}
Progress = Callable[[str, float], None]
TABLE_WIDTH = 112
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")

app = typer.Typer(
    help="From shelf video and load cells to receipts, and from receipts to human reviews per 1,000 sales.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
import_app = typer.Typer(help="Turn other people's recordings into recording folders.", no_args_is_help=True)
app.add_typer(import_app, name="import")
export_app = typer.Typer(
    help="Write a recording's true boxes, or weights, in other people's formats.", no_args_is_help=True
)
app.add_typer(export_app, name="export")

JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - prints it.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
DetectorOption = Annotated[
    str | None,
    typer.Option("--detector", metavar="WEIGHTS", help="A .pt, .onnx or OpenVINO folder; else the shipped."),
]
ClassMapOption = Annotated[
    str | None,
    typer.Option(
        "--class-map",
        metavar="NAMES",
        help='The detector\'s classes in our words: "bottle=item,0=person"; "chair=" leaves one out.',
    ),
]
EveryFrameOption = Annotated[
    bool, typer.Option("--every-frame", help="Look at every frame, not only where something happens.")
]
LooksOption = Annotated[
    float | None,
    typer.Option(
        "--looks-hz",
        min=0.5,
        max=1000,
        help="Most looks a second at each calibrated camera; 10 without it. Fewer are less work.",
    ),
]
SensorsOption = Annotated[
    str, typer.Option("--sensors", help="vision, plates, or both separated by a comma.")
]
VideoOption = Annotated[Path, typer.Option("--video", help="The video that was annotated, uncut.")]
RecordingOption = Annotated[Path, typer.Option("--out", help="Recording folder to make.")]
CameraOption = Annotated[str, typer.Option("--camera-id", help="The camera's name in the recording.")]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help='Foreign classes in our words: "bottle=item,1=person"; "chair=" leaves one out.'
    ),
]
BoxedArgument = Annotated[Path, typer.Argument(metavar="REC", help="Recording folder with boxes.parquet.")]
FolderOption = Annotated[Path, typer.Option("--out", help="Folder to make.")]
EveryOption = Annotated[int, typer.Option(min=1, help="Keep every so many-th annotated frame.")]
MinVisibleOption = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Leave out boxes that show less than this share.")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"checkout {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@import_app.command("aifi")
def import_aifi_command(
    source: Annotated[
        Path, typer.Argument(help="Folder with plate_data.json, planogram.json, products.json ...")
    ],
    out: Annotated[Path, typer.Option("--out", help="Recording folder to make.")],
    force: ForceOption = False,
) -> None:
    """The AutoCheckout competition's load cells, planogram and tracked people."""
    from checkout.formats.aifi import import_aifi

    with progress_bar() as tell:
        tell("importing", 0.0)
        recording = import_aifi(source, out, force=force)
    plates = recording.plates
    typer.echo(
        f"{out}: {plates.shape[1]} plates for {plates.index[-1]:.1f} s, {len(recording.planogram)} facings,"
        f" {len(recording.catalog)} products, {len(recording.entries)} shopper(s)"
    )


@import_app.command("cvat")
def import_cvat_command(
    annotations: Annotated[
        list[Path], typer.Argument(metavar="XML...", help='"CVAT for video 1.1" (or images), one a video.')
    ],
    video: Annotated[list[Path], typer.Option("--video", help="An annotated video, uncut; repeatable.")],
    out: RecordingOption,
    camera_id: Annotated[
        list[str] | None, typer.Option("--camera-id", help="A name for each video; else cam0, cam1 ...")
    ] = None,
    classes: ClassesOption = None,
    shopper: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[@S,X,Y]",
            help="Who shopped, with the entry scan's seconds and floor metres; repeatable. Others are refused.",
        ),
    ] = None,
    catalog: Annotated[Path | None, typer.Option(help="What is sold: catalog.csv.")] = None,
    planogram: Annotated[Path | None, typer.Option(help="Where it stands: planogram.yaml.")] = None,
    plates: Annotated[
        Path | None, typer.Option(help="Load cells on the videos' clock: plates.parquet.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Own footage whose boxes and shelf events were annotated in CVAT."""
    from checkout.formats.cvat import import_cvat

    recording = import_cvat(
        annotations, video, out, camera_ids=camera_id or (), classes=classes, shoppers=shopper or (),
        catalog=catalog, planogram=planogram, plates=plates, force=force,
    )  # fmt: skip
    truth = recording.truth if recording.has_truth else None
    events = (
        f"{len(truth.events)} shelf events of {len(truth.shoppers)} shopper(s)"
        if truth
        else "no shelf events"
    )
    typer.echo(f"{out}: {len(recording.cameras)} camera(s), {len(recording.boxes)} boxes, {events}")


@import_app.command("mot")
def import_mot_command(
    source: Annotated[Path, typer.Argument(help="gt.txt, or the folder with gt/gt.txt and seqinfo.ini.")],
    video: VideoOption,
    out: RecordingOption,
    camera_id: CameraOption = "cam0",
    classes: ClassesOption = None,
    force: ForceOption = False,
) -> None:
    """Tracked boxes in MOTChallenge's format."""
    from checkout.formats.mot import import_mot

    recording = import_mot(source, video, out, camera_id=camera_id, classes=classes, force=force)
    typer.echo(f"{out}: {len(recording.boxes)} boxes of {recording.boxes['id'].nunique()} tracks")


@import_app.command("yolo")
def import_yolo_command(
    source: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder with data.yaml and labels.")],
    video: VideoOption,
    out: RecordingOption,
    camera_id: CameraOption = "cam0",
    classes: ClassesOption = None,
    first_frame: Annotated[int, typer.Option(min=0, help="Number of the video's first frame.")] = 0,
    force: ForceOption = False,
) -> None:
    """YOLO labels, one text file a frame."""
    from checkout.formats.yolo import import_yolo

    recording = import_yolo(
        source, video, out, camera_id=camera_id, classes=classes, first_frame=first_frame, force=force
    )
    typer.echo(f"{out}: {len(recording.boxes)} boxes on {recording.boxes['frame'].nunique()} frames")


@export_app.command("yolo")
def export_yolo_command(
    recording: BoxedArgument,
    out: FolderOption,
    every: EveryOption = 1,
    min_visible: MinVisibleOption = 0.0,
    force: ForceOption = False,
) -> None:
    """Pictures, labels and data.yaml, for training with Ultralytics."""
    from checkout.formats.yolo import export_yolo
    from checkout.recording import Recording

    made = export_yolo(Recording.open(recording), out, every=every, min_visible=min_visible, force=force)
    typer.echo(f"{made / 'data.yaml'}: {sum(1 for _ in made.rglob('*.jpg'))} pictures")


@export_app.command("coco")
def export_coco_command(
    recording: BoxedArgument,
    out: FolderOption,
    every: EveryOption = 1,
    min_visible: MinVisibleOption = 0.0,
    force: ForceOption = False,
) -> None:
    """Pictures and annotations.json, with track ids."""
    from checkout.formats.coco import export_coco
    from checkout.recording import Recording

    made = export_coco(Recording.open(recording), out, every=every, min_visible=min_visible, force=force)
    typer.echo(f"{made / 'annotations.json'}: {sum(1 for _ in made.rglob('*.jpg'))} pictures")


@export_app.command("mot")
def export_mot_command(
    recording: BoxedArgument,
    out: FolderOption,
    every: EveryOption = 1,
    min_visible: MinVisibleOption = 0.0,
    force: ForceOption = False,
) -> None:
    """A MOTChallenge sequence (gt/gt.txt, seqinfo.ini) for each camera."""
    from checkout.formats.mot import export_mot
    from checkout.recording import Recording

    made = export_mot(Recording.open(recording), out, every=every, min_visible=min_visible, force=force)
    typer.echo(f"{made}: {sum(1 for _ in made.rglob('gt.txt'))} sequence(s)")


@export_app.command("weights")
def export_weights_command(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="Ultralytics detection weights, .pt.")],
    out: Annotated[Path, typer.Option("--out", help="NAME.onnx, or a folder NAME_openvino_model.")],
    form: Annotated[str, typer.Option("--format", help="onnx or openvino.")],
    force: ForceOption = False,
) -> None:
    """The detector for ONNX Runtime or OpenVINO, by Ultralytics' own export."""
    from checkout.vision.detector import export_weights

    with progress_bar() as tell:
        tell(f"exporting {weights}", 0.0)
        typer.echo(export_weights(weights, out, form, force=force))


@app.command("validate")
def validate_command(
    recordings: Annotated[list[Path], typer.Argument(metavar="REC...", help="Recording folders.")],
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Name every fault of recordings at once; decodes their videos to the end."""
    from checkout.validation import validate

    _writable(to_json, force=force)
    with progress_bar() as tell:
        checked = [validate(path, tell) for path in recordings]
    if not write_json({"recordings": [v.to_dict() for v in checked]}, to_json, force=force):
        for validation in checked:
            if validation.ok:
                typer.echo(f"{validation.path}: ok: {validation.summary}")
            for fault in validation.faults:
                typer.echo(" ".join(str(fault).split()))
            for note in validation.notes:
                typer.echo(f"{validation.path}: note: {note}")
    if not all(v.ok for v in checked):
        raise typer.Exit(2)


@app.command("render")
def render_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the recordings.")],
    set_name: Annotated[
        str | None, typer.Option("--set", help="train, val, test-clean or test-hard.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="YAML file that describes recordings of one's own.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this recording of the set; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 2,
    no_video: Annotated[
        bool, typer.Option("--no-video", help="Only truth and plates; seconds instead of minutes.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Render recordings from their seeds; what is finished is kept, so a killed run goes on where it was."""
    from checkout.render.recordings import render_all, render_set
    from checkout.render.specs import load_specs

    if (set_name is None) == (spec is None):
        raise InputError("render", "", "expected --set NAME or --spec FILE, and not both")
    if spec is not None and only:
        raise InputError("--only", "", "goes with --set; take the others out of the file instead")
    with progress_bar() as tell:
        if spec is not None:
            paths = render_all(
                load_specs(spec), out, workers=workers, force=force, video=not no_video, progress=tell
            )
        else:
            assert set_name is not None
            paths = render_set(
                set_name,
                out,
                workers=workers,
                force=force,
                video=not no_video,
                only=only or (),
                progress=tell,
            )
    for path in paths:
        typer.echo(str(path))


@app.command("train")
def train_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for weights, model card and working files.")],
    frames: Annotated[int, typer.Option(min=16, help="Rendered training frames.")] = 1100,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the frames.")] = 10,
    imgsz: Annotated[int, typer.Option(min=64, help="Longer side of the network's picture, pixels.")] = 416,
    seed: int = 1,
    real: Annotated[
        list[Path] | None,
        typer.Option(
            "--real",
            help="Real pictures: boxed (Pascal VOC; a class without a box in the whole folder is not learnt from it),"
            " outlined (items), or videos of a hand before a plain ground. Repeatable.",
        ),
    ] = None,
    real_test: Annotated[Path | None, typer.Option(help="Such frames that are only scored.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Ultralytics checkpoint to start from; else from scratch.")
    ] = None,
    blend: Annotated[
        float, typer.Option(help="Share of what is trained in what is written; the rest is --weights.")
    ] = 1.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
    device: Annotated[str | None, typer.Option(help="cpu, 0, ...; else what Ultralytics chooses.")] = None,
    force: ForceOption = False,
) -> None:
    """Train the detector of hands, items and people on rendered and real frames."""
    from checkout.vision.training import train

    with progress_bar() as tell:
        made = train(
            out, frames=frames, epochs=epochs, imgsz=imgsz, seed=seed, real=tuple(real or ()), real_test=real_test,
            weights=weights, blend=blend, resume=resume, workers=workers, device=device, force=force, progress=tell,
        )  # fmt: skip
    typer.echo(f"{made}, model card {made.with_suffix('.md')}")


@app.command("train-second-look")
def train_second_look_command(
    out: Annotated[
        Path, typer.Option("--out", help="Weights to write, .pt; what is rendered lies beside them.")
    ],
    frames: Annotated[int, typer.Option(min=16, help="Rendered frames that hands are cut from.")] = 6000,
    plans: Annotated[
        int, typer.Option(min=2, help="Acted plans whose facings are seen before and after.")
    ] = 120,
    grasps: Annotated[
        int, typer.Option(min=2, help="Acted plans whose reaches are seen while the hand is at the item.")
    ] = 400,
    ways: Annotated[
        int, typer.Option(min=2, help="Acted plans whose hands are seen on their way into a shelf.")
    ] = 200,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the cut-outs.")] = 14,
    seed: int = 1,
    real: Annotated[
        list[Path] | None, typer.Option("--real", help="Real boxed hands (Pascal VOC); repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
    device: Annotated[str, typer.Option(help="That the networks train on: cpu, or a GPU's number.")] = "cpu",
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Train the small networks that look again: hands (full? deep?), facings (changed?), reaches (whose, where?)."""
    from checkout.vision.second_look_training import train_second_look

    _writable(to_json, force=force)
    with progress_bar() as tell:
        scores = train_second_look(
            out, frames=frames, plans=plans, grasps=grasps, ways=ways, epochs=epochs, seed=seed,
            real=tuple(real or ()), workers=workers, device=device, force=force, progress=tell,
        )  # fmt: skip
    if not write_json(scores, to_json, force=force):
        for name, score in scores.items():
            typer.echo(f"{name.replace('_', ' ')}: {score:.4g}")


@app.command("learning-curve")
def learning_curve_command(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="REC...", help="Recordings to judge each training by.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Training set: the work/data of checkout train.")],
    out: Annotated[Path, typer.Option("--out", help="Curve to write, .json; working files lie beside it.")],
    start: Annotated[
        str | None, typer.Option("--start", help="Checkpoint to start from; else from scratch.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 10,
    equal_steps: Annotated[
        bool, typer.Option("--equal-steps", help="More passes over a smaller share: all take the same steps.")
    ] = False,
    imgsz: Annotated[int | None, typer.Option(min=64, help="Pixels; else as the data was cut.")] = None,
    shares: Annotated[
        str, typer.Option("--shares", help="Of the data, separated by commas.")
    ] = "0.05,0.2,0.5,1",
    seed: int = 1,
    device: Annotated[str | None, typer.Option(help="cpu, 0, ...; else what Ultralytics chooses.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the shares that are finished.")] = False,
    force: ForceOption = False,
) -> None:
    """Train on growing shares of the data, and say what more of it would buy."""
    from checkout.vision.learning_curve import Plan, measure

    try:
        wanted = tuple(float(share) for share in _list(shares))
    except ValueError:
        raise InputError("--shares", "", f"{shares!r}, expected numbers separated by commas") from None
    plan = Plan(data, tuple(recordings), start, epochs, equal_steps, imgsz, wanted, seed, device)
    with progress_bar() as tell:
        curve = measure(out, plan, resume=resume, force=force, progress=tell)
    print_learning_curve(curve)


@app.command("gallery")
def gallery_command(
    folder: Annotated[
        Path, typer.Argument(help="A folder of pictures for each product, named by its product id.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Gallery to write, .npz.")],
    test: Annotated[
        Path | None, typer.Option("--test", help="Such a folder of other pictures to name with the gallery.")
    ] = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Make a gallery that names products, and say how well it does."""
    from checkout.vision.naming import Gallery, named_by, trials_summary

    _writable(to_json, out, force=force)
    with progress_bar() as tell:
        tell(f"looking at {folder}", 0.0)
        gallery = Gallery.from_folder(folder)
        trials = gallery.trials() if test is None else named_by(gallery, test)
    gallery.save(out, force=force)
    summary = trials_summary(gallery, trials)
    if not write_json(summary, to_json, force=force):
        how = "each left out with those taken around it" if test is None else f"in {test}"
        typer.echo(f"{out}: {len(gallery.products)} products, {len(gallery.owner)} pictures")
        if trials:
            typer.echo(f"top-1 {summary['top1']:.3f} of {summary['pictures']} pictures, {how}")
        else:
            typer.echo(
                "every product has one picture, so none can be left out to try: add more, or give --test"
            )
        for row in summary["confusions"][:8]:
            typer.echo(f"  {row['pictures']} x {row['product']} taken for {row['named']}")


@app.command("receipts")
def receipts_command(
    recording: Annotated[Path | None, typer.Argument(help="Recording folder.")] = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="A plain video instead of a recording.")
    ] = None,
    sensors: SensorsOption = "vision,plates",
    detector: DetectorOption = None,
    class_map: ClassMapOption = None,
    every_frame: EveryFrameOption = False,
    looks_hz: LooksOption = None,
    annotate: Annotated[Path | None, typer.Option(help="Write the video with what was seen.")] = None,
    item_threshold: Annotated[
        float, typer.Option(help="Item confidence under which a sale is reviewed.")
    ] = 0.9,
    action_threshold: Annotated[float, typer.Option(help="The same for the action.")] = 0.9,
    shopper_threshold: Annotated[float, typer.Option(help="The same for the shopper.")] = 0.9,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say of each change what it may have been, and why a sale is reviewed."
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="The same with frames and plots, as one HTML file."),
    ] = None,
    to_csv: Annotated[Path | None, typer.Option("--csv", help="Write the receipts as a table.")] = None,
    competition: Annotated[
        Path | None, typer.Option(help="Write the receipts as the AutoCheckout competition's answer, JSON.")
    ] = None,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Turn a recording (or a plain video) into shelf events and receipts."""
    from checkout.footage import parse_classes
    from checkout.formats.receipts import write_competition_receipts, write_receipts_csv
    from checkout.pipeline import perceive, perceive_video
    from checkout.recording import Recording
    from checkout.review import ReviewPolicy

    if (recording is None) == (video is None):
        raise InputError("receipts", "", "expected a recording folder or --video FILE, and not both")
    told = {
        "--explain": explain or None, "--report": report, "--csv": to_csv, "--competition": competition,
        "--looks-hz": looks_hz,
    }  # fmt: skip
    for option, value in told.items():
        if video is not None and value is not None:
            raise InputError(
                option, "", "needs a recording folder; a plain video has no calibration, products or plates"
            )
    _writable(to_json, annotate, report, to_csv, competition, force=force)
    _looks_fit(looks_hz, every_frame=every_frame)
    mapped = parse_classes(class_map, option="--class-map")
    policy = ReviewPolicy(item_threshold, action_threshold, shopper_threshold)
    with progress_bar() as tell:
        if video is not None:
            seen = perceive_video(
                video, detector=detector, class_map=mapped, policy=policy, progress=tell, annotate=annotate,
                force=force, every_frame=every_frame,
            )  # fmt: skip
            names = {}
        else:
            assert recording is not None
            opened = Recording.open(recording)
            seen = perceive(
                opened, detector=detector, class_map=mapped, policy=policy, sensors=_list(sensors),
                progress=tell, annotate=annotate, force=force, every_frame=every_frame, looks_hz=looks_hz,
                keep_detections=False,
            )  # fmt: skip
            names = {p.product: p.name for p in opened.catalog.values()}
            if to_csv is not None:
                write_receipts_csv(to_csv, seen.receipts, opened.catalog, force=force)
            if competition is not None:
                write_competition_receipts(competition, seen.receipts, opened.catalog, force=force)
            if report is not None:
                from checkout.explain import write_explanation

                write_explanation(report, opened, seen, command=command_line(), force=force, progress=tell)
    if not write_json(seen.to_dict(), to_json, force=force):
        if explain and recording is not None:
            from checkout.explain import explained_changes, explanation_lines

            for line in explanation_lines(explained_changes(opened, seen), seen.left):
                typer.echo(line)
        _print_receipts(seen, names)
    for what, path in (
        ("annotated video", annotate),
        ("explanation", report),
        ("receipts", to_csv or competition),
    ):
        if path is not None:
            typer.echo(f"{what}: {path}", err=True)


@app.command("evaluate")
def evaluate_command(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="REC...", help="Recording folders with truth; or a plain video.")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of a plain video: events in .json, CVAT's .xml, or MOTChallenge's gt.txt."
        ),
    ] = None,
    classes: ClassesOption = None,
    profile: Annotated[Path | None, typer.Option(help="Write the perception profile here.")] = None,
    fit_confidence: Annotated[
        Path | None,
        typer.Option(help="Fit the confidences' calibration on these recordings and add it to this file."),
    ] = None,
    sensors: Annotated[
        list[str] | None,
        typer.Option(
            "--sensors",
            help="vision, plates, or both separated by a comma; repeat it to judge several sets in one run."
            " Without it: vision,plates.",
        ),
    ] = None,
    detector: DetectorOption = None,
    class_map: ClassMapOption = None,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="DIR", help="Write tables, plots and a gallery of the worst errors here."
        ),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Write the only recording's video with what was perceived and the truth."),
    ] = None,
    every_frame: EveryFrameOption = False,
    looks_hz: LooksOption = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Recordings watched side by side, 1 GB each.")
    ] = 2,
    to_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Judge perception by the truth: detections, shelf events, receipts, calibration; and fit a profile."""
    from checkout.footage import parse_classes

    _writable(to_json, profile, report_folder, annotate, force=force)
    _looks_fit(looks_hz, every_frame=every_frame)
    mapped = parse_classes(class_map, option="--class-map")
    if truth is not None:
        if len(recordings) != 1 or not recordings[0].is_file():
            raise InputError("--truth", "", "goes with one plain video; recordings hold their own truth")
        unfit = {
            "--profile": profile, "--fit-confidence": fit_confidence, "--report": report_folder, "--annotate": annotate,
            "--sensors": sensors, "--looks-hz": looks_hz,
        }  # fmt: skip
        for option, value in unfit.items():
            if value is not None:
                raise InputError(option, "", "needs recordings, whose truth says what everybody owes")
        _evaluate_video(
            recordings[0], truth, classes, detector, mapped, to_json, every_frame=every_frame, force=force
        )
        return
    for path in recordings:
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            raise InputError(path, "", "is a plain video", "say with --truth FILE what happens in it")
    folders = [p for p in recordings if p.is_dir() or not p.exists()]
    sets = [_list(s) for s in sensors or ["vision,plates"]]
    if profile is not None and len(sets) > 1:
        raise InputError("--profile", "", "is of one set of sensors; give --sensors once")
    if annotate is not None and (len(folders) != 1 or "vision" not in sets[0]):
        raise InputError("--annotate", "", "needs one recording, and vision in the first --sensors")
    reports = _evaluate_recordings(
        folders,
        sets,
        detector,
        mapped,
        fit_confidence,
        annotate,
        report_folder,
        every_frame=every_frame,
        looks_hz=looks_hz,
        workers=workers,
        force=force,
    )
    if profile is not None:
        reports[0].profile().save(profile, force=force)
    documents = [r.to_dict() for r in reports]
    if not write_json(documents[0] if len(sets) == 1 else {"evaluations": documents}, to_json, force=force):
        for report in reports:
            print_evaluation(report)
    for folder in (report_folder, annotate):
        if folder is not None:
            typer.echo(f"written: {folder / 'index.html' if folder == report_folder else folder}", err=True)
    failed = {path: reason for report in reports for path, reason in report.failed.items()}
    for path_name, reason in failed.items():
        typer.echo(f"error: {path_name} was left out: {reason}", err=True)
    if failed:
        raise typer.Exit(1)


def _looks_fit(looks_hz: float | None, *, every_frame: bool) -> None:
    if every_frame and looks_hz is not None:
        raise InputError("--looks-hz", "", f"{looks_hz:g} with --every-frame", "give one of them")


def _evaluate_recordings(
    recordings: list[Path],
    sensor_sets: list[tuple[str, ...]],
    detector: str | None,
    class_map: dict[str, str],
    fit_confidence: Path | None,
    annotate: Path | None,
    report_folder: Path | None,
    *,
    every_frame: bool,
    looks_hz: float | None,
    workers: int,
    force: bool,
) -> list[EvaluationReport]:
    from checkout.evaluation.calibration import save_confidence
    from checkout.evaluation.page import write_page
    from checkout.evaluation.report import evaluate_each
    from checkout.pipeline import ConfidenceMap

    with progress_bar() as tell:
        reports = evaluate_each(
            recordings, sensor_sets, detector=detector, class_map=class_map,
            confidence=ConfidenceMap() if fit_confidence else None, every_frame=every_frame, looks_hz=looks_hz,
            workers=workers, progress=tell, annotate=annotate, force=force,
        )  # fmt: skip
        if report_folder is not None:
            write_page(report_folder, reports, command=command_line(), force=force, progress=tell)
    if fit_confidence is not None:
        for report in reports:
            save_confidence(fit_confidence, report)
    return reports


def _evaluate_video(
    video: Path,
    truth: Path,
    classes: str | None,
    detector: str | None,
    class_map: dict[str, str],
    to_json: str | None,
    *,
    every_frame: bool,
    force: bool,
) -> None:
    from checkout.evaluation.footage import evaluate_video, read_truth

    known = read_truth(truth, video, classes=classes)
    with progress_bar() as tell:
        report = evaluate_video(
            video, known, detector=detector, class_map=class_map, every_frame=every_frame, progress=tell
        )
    if not write_json(report.to_dict(), to_json, force=force):
        print_footage(report)


@app.command("show")
def show_command(
    recording: Annotated[Path, typer.Argument(help="Recording folder with truth.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Picture to write, .png or .jpg; else RECORDING-ID.jpg here.")
    ] = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="NUMBERS", help="Only these events, such as 1,4-6.")
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option("--behaviour", help="Only events of this behaviour, and acts of this kind.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Draw one picture of a recording: key frames and plates of every true shelf event."""
    from checkout.contact_sheet import parse_numbers, save_sheet
    from checkout.recording import Recording

    opened = Recording.open(recording)
    target = out or Path(f"{opened.id}.jpg")
    numbers = parse_numbers(events) if events is not None else None
    with progress_bar() as tell:
        sheet = save_sheet(opened, target, numbers, behaviour=behaviour, force=force, progress=tell)
    typer.echo(f"{target}: {sheet.width} x {sheet.height} pixels")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error that is there only while it is needed; nothing is drawn where no terminal is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def tell(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        yield tell


def write_json(document: dict[str, Any], target: str | None, *, force: bool = False) -> bool:
    """Write JSON to a file or, for "-", to standard output; says whether standard output is taken by it."""
    from checkout.output import new_file

    if target is None:
        return False
    text = json.dumps(document, indent=1, allow_nan=False, default=float) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return True
    with new_file(target, force=force) as draft:
        draft.write_text(text, encoding="utf-8")
    return False


def _writable(*targets: str | Path | None, force: bool) -> None:
    """Refuse before the work is done, not after."""
    from checkout.output import check_free

    for target in targets:
        if target is not None and str(target) != "-":
            check_free(Path(target), force=force)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _print_receipts(seen: Perceived, names: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    events = Table(title=f"{seen.recording_id}: shelf events", title_justify="left")
    for name in ("time", "action", "units", "product", "shopper", "item", "action sure", "shopper sure"):
        events.add_column(name, justify="left" if name in ("action", "product", "shopper") else "right")
    for e in seen.events:
        events.add_row(
            f"{e.t_s:.1f} s", e.action, str(e.quantity), names.get(e.product) or e.product, e.shopper,
            f"{e.item_confidence:.2f}", f"{e.action_confidence:.2f}", f"{e.shopper_confidence:.2f}",
        )  # fmt: skip
    bills = Table(title="receipts", title_justify="left")
    for name in ("shopper", "units", "product", "confidence", "decision"):
        bills.add_column(name, justify="right" if name in ("units", "confidence") else "left")
    for r in seen.receipts:
        decision = r.decision if not r.reasons else f"{r.decision}: {r.reasons[0]}"
        if len(r.reasons) > 1:
            decision += f" (and {len(r.reasons) - 1} more)"
        if not r.lines:
            bills.add_row(r.shopper, "", "nothing", "", decision)
        for index, line in enumerate(r.lines):
            name = names.get(line.product) or line.product
            bills.add_row(
                r.shopper if index == 0 else "", str(line.quantity), f"{name} [{line.product}]" if names else name,
                f"{line.confidence:.2f}", decision if index == 0 else "",
            )  # fmt: skip
    console.print(events, markup=False) if seen.events else console.print(
        f"{seen.recording_id}: no shelf event"
    )
    console.print(bills)
    for row in seen.left:
        console.print(str(row), markup=False, soft_wrap=True)
    for warning in seen.warnings:
        console.print(f"note: {warning}", markup=False, soft_wrap=True)


def print_evaluation(report: EvaluationReport) -> None:
    """The report as tables on the terminal, or for a file as wide as the widest needs."""
    from rich.console import Console
    from rich.table import Table

    from checkout.review import Reviewer

    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH)
    r = report.receipts
    console.print(
        f"{len(report.recordings)} recordings, {len(report.judged)} judged events,"
        f" {report.shopper_minutes:.1f} shopper-minutes; detector {report.detector}, sensors {'+'.join(report.sensors)}"
    )
    _print_detections(console, report.detections)
    table = Table(title="shelf events (95 % interval: bootstrap over recordings)", title_justify="left")
    for name in ("right in", "within", "precision", "recall", "F1", "F1 95 %"):
        table.add_column(name, justify="left" if name == "right in" else "right")
    for e in report.events:
        interval = f"{e.f1_ci95[0]:.3f}-{e.f1_ci95[1]:.3f}" if e.f1_ci95 else ""
        table.add_row(
            e.kind, f"{e.tolerance_s:g} s", f"{e.precision:.3f}", f"{e.recall:.3f}", f"{e.f1:.3f}", interval
        )
    console.print(table)
    _print_temporal(console, report.temporal)
    table = Table(title="true shelf events by condition (shares; right: all of them)", title_justify="left")
    for name in ("condition", "group", "events", "seen", "product", "quantity", "shopper", "right", "95 %"):
        table.add_column(name, justify="left" if name in ("condition", "group") else "right")
    for g in report.conditions:
        shares = ["" if v is None else f"{v:.3f}" for v in (g.product, g.quantity, g.shopper)]
        interval = f"{g.right_ci95[0]:.3f}-{g.right_ci95[1]:.3f}" if g.right_ci95 else ""
        table.add_row(
            g.condition, g.group, str(g.events), f"{g.recall:.3f}", *shares, f"{g.right:.3f}", interval
        )
    console.print(table)
    table = Table(title="receipts", title_justify="left")
    for name in ("measure", "value"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    association = "none billed" if r.association_accuracy is None else f"{r.association_accuracy:.3f}"
    for name, value in (
        ("unit-level F1 (competition)", f"{r.unit_f1:.3f}"),
        ("association accuracy", association),
        ("fully right receipts", f"{r.fully_right:.3f} of {r.receipts}"),
        ("sent to review", f"{r.review_rate:.3f}"),
        ("wrong and not reviewed", f"{r.escape_rate:.3f}"),
        (
            f"wrong after review by a human who is right in {Reviewer().accuracy:.0%}",
            f"{r.wrong_after_review:.3f}",
        ),
        ("the human's seconds a receipt", f"{r.review_s:.0f}"),
        ("wrong and not reviewed, reviewing the least sure 5 %", f"{r.escape_rate_at_5_percent:.3f}"),
        *((name, str(value)) for name, value in report.left.measures()),
    ):
        table.add_row(name, value)
    console.print(table)
    _print_matched(console, report)
    _print_identities(console, report)
    table = Table(title="calibration of the confidences", title_justify="left")
    for name in ("aspect", "among", "events", "confidence", "right", "ECE", "95 %", "by chance", "Brier"):
        table.add_column(name, justify="left" if name in ("aspect", "among") else "right")
    for c in (*report.calibration, *report.calibration_by_crowd):
        table.add_row(
            c.aspect, c.condition or "all", str(c.events), f"{c.confidence:.3f}", f"{c.right:.3f}", f"{c.ece:.3f}",
            f"{c.ece_ci95[0]:.3f}-{c.ece_ci95[1]:.3f}", f"{c.ece_by_chance[0]:.3f}, {c.ece_by_chance[1]:.3f}",
            f"{c.brier:.3f}",
        )  # fmt: skip
    console.print(table)
    outcomes = ", ".join(f"{count} {name}" for name, count in report.judged["outcome"].value_counts().items())
    console.print(f"outcomes: {outcomes}")
    for warning in report.warnings:
        console.print(f"note: {warning}", markup=False, soft_wrap=True)


def _print_matched(console: Console, report: EvaluationReport) -> None:
    from rich.table import Table

    table = Table(title="what is right of the events that were seen", title_justify="left")
    for name in ("aspect", "right", "of", "share", "95 %"):
        table.add_column(name, justify="left" if name == "aspect" else "right")
    for a in report.accuracies:
        share = "" if a.share is None else f"{a.share:.3f}"
        interval = f"{a.ci95[0]:.3f}-{a.ci95[1]:.3f}" if a.ci95 else ""
        table.add_row(a.aspect, str(a.right), str(a.of), share, interval)
    console.print(table)
    table = Table(title="actions: what was said of what truly happened", title_justify="left")
    said = list(dict.fromkeys(a.said for a in report.actions))
    for name in ("truly", *said):
        table.add_column(name, justify="left" if name == "truly" else "right")
    for true in dict.fromkeys(a.true for a in report.actions):
        row = {a.said: str(a.events) for a in report.actions if a.true == true}
        table.add_row(
            true if true != "phantom" else "nothing (phantom)", *(row.get(name, "") for name in said)
        )
    console.print(table)
    for p in report.products[:8]:
        console.print(f"  {p.events} x {p.product} taken for {p.said}", markup=False)


def _print_identities(console: Console, report: EvaluationReport) -> None:
    from rich.table import Table

    if not report.identities:
        return
    table = Table(
        title="identities, camera by camera (overlap 0.5; HOTA over 0.05-0.95)", title_justify="left"
    )
    for name in ("what", "boxes", "found", "switches", "a minute", "MOTA", "IDF1", "IDF1 95 %", "HOTA"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for i in report.identities:
        interval = f"{i.idf1_ci95[0]:.3f}-{i.idf1_ci95[1]:.3f}" if i.idf1_ci95 else ""
        table.add_row(
            f"{i.label} ({i.identity})", str(i.boxes), str(i.matched), str(i.switches), f"{i.switches_per_minute:.1f}",
            f"{i.mota:.3f}", f"{i.idf1:.3f}", interval, f"{i.hota:.3f}",
        )  # fmt: skip
    console.print(table)
    if n := report.naming:
        interval = (
            f" ({n.wrong_account_ci95[0]:.3f}-{n.wrong_account_ci95[1]:.3f})" if n.wrong_account_ci95 else ""
        )
        console.print(
            f"names: {n.named:.3f} of {n.person_frames} person-frames got one; of these {n.wrong_account:.3f}{interval}"
            f" stand for the wrong account, {n.wrong_person:.3f} for the wrong person",
            soft_wrap=True,
        )


def _print_detections(console: Console, detections: Sequence[DetectionScore]) -> None:
    from rich.table import Table

    if not detections:
        return
    table = Table(title="detections (faster-coco-eval)", title_justify="left")
    for name in ("class", "boxes", "mAP50", "mAP50-95"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for d in detections:
        table.add_row(d.label, str(d.boxes), f"{d.map50:.3f}", f"{d.map50_95:.3f}")
    console.print(table)


def _print_temporal(console: Console, temporal: Sequence[TemporalScore]) -> None:
    from rich.table import Table

    if not temporal:
        return
    table = Table(
        title="shelf events: mAP at temporal intersection over union (ActivityNet)", title_justify="left"
    )
    tious = sorted({t.tiou for t in temporal})
    table.add_column("class")
    for tiou in tious:
        table.add_column(f"{tiou:g}", justify="right")
    table.add_column("mean", justify="right")
    for kind in dict.fromkeys(t.kind for t in temporal):
        maps = [t.map for t in temporal if t.kind == kind]
        table.add_row(kind, *(f"{m:.3f}" for m in maps), f"{sum(maps) / len(maps):.3f}")
    console.print(table)


def print_learning_curve(curve: LearningCurve) -> None:
    """Errors after each training, and the laws, as tables on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for sensors, laws in curve.laws.items():
        table = Table(title=f"share that is wrong, sensors {sensors}", title_justify="left")
        for name in (
            "pictures",
            "steps",
            *(f"{e}s" if e != "low_confidence" else "low confidence" for e in laws),
        ):
            table.add_column(name, justify="right")
        for point in curve.points:
            errors = (f"{point.error(sensors, name):.3f}" for name in laws)
            table.add_row(str(point.pictures), str(point.steps), *errors)
        powers = []
        for law in laws.values():
            interval = f" ({law.b_ci95[0]:.2f} to {law.b_ci95[1]:.2f})" if law and law.b_ci95 else ""
            powers.append(f"{law.a:.3g} n^-{law.b:.2f}{interval}" if law else "no law")
        table.add_row("n", "", *powers)
        console.print(table)


def print_footage(report: FootageReport) -> None:
    """The scores of a plain video as tables on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"{report.video}: {len(report.true)} true events, {len(report.perceived)} perceived;"
        f" detector {report.detector}"
    )
    _print_detections(console, report.detections)
    if report.events:
        table = Table(title="shelf events", title_justify="left")
        for name in ("right in", "within", "right", "true", "perceived", "precision", "recall", "F1"):
            table.add_column(name, justify="left" if name == "right in" else "right")
        for e in report.events:
            table.add_row(
                e.kind, f"{e.tolerance_s:g} s", str(e.right), str(e.true), str(e.perceived),
                f"{e.precision:.3f}", f"{e.recall:.3f}", f"{e.f1:.3f}",
            )  # fmt: skip
        console.print(table)
    _print_temporal(console, report.temporal)
    for title, events in (("true", report.true), ("perceived", report.perceived)):
        if events:
            rows = ", ".join(f"{e.t_s:.1f} s {e.action} {e.facing}".strip() for e in events)
            console.print(f"{title}: {rows}", markup=False, soft_wrap=True)
    for warning in report.warnings:
        console.print(f"note: {warning}", markup=False, soft_wrap=True)


@cache
def _add_plug_ins() -> None:
    for entry in sorted(entry_points(group="checkout.commands"), key=lambda e: e.name):
        for command in entry.load().registered_commands:
            app.registered_commands.append(command)


def main(words: Sequence[str] | None = None) -> None:
    """Console entry: one line on standard error; exit code 2 for faults of the input, 1 for those of the disk.

    Args:
        words: what follows `checkout`; without them, what the process was started with.
    """
    _add_plug_ins()
    words = sys.argv[1:] if words is None else words
    try:
        with given(words):
            app(list(words))
    except InputError as error:
        sys.exit(_fail(str(error)))
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
        if extra is None:
            raise
        sys.exit(_fail(f'{name} is not installed; run: pip install "checkout-simulator[{extra}]"'))
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(_fail(f"{where}{os.strerror(error.errno)}; nothing half-written is left", code=1))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


__all__ = ["app", "main", "print_evaluation", "progress_bar", "write_json"]

if __name__ == "__main__":
    main()
