"""Reaches as mounted cameras see them: facings before and after, whose arm it is, and how deep each hand is.

A recording's plan is acted out as for training frames. Of each reach two cameras take a picture shortly before it and
one shortly after, one while the hand is at the item, or one on its way. Everything derives from (seed, number of the
plan).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.render.frames import ACTED_PEOPLE, light_scene
from checkout.render.labels import visible_boxes
from checkout.render.people import SIDES, place_parts
from checkout.render.pictures import Sensor
from checkout.render.scene import HAND, Scene, View, hand_name
from checkout.render.script import Script
from checkout.render.specs import RecordingSpec

if TYPE_CHECKING:
    from checkout.render.recordings import Plot

GLIMPSE_SEED, GRASP_SEED, WAY_SEED = 2_000_003, 3_000_017, 4_000_037
"""Keep the plans apart from those of training frames and recordings, and from each other's."""
BEFORE_S, AFTER_S = (0.0, 1.0), (0.1, 1.5)
"""Assumed: a picture is taken so long before a reach begins, or after the hand has left."""
ELSEWHERE_SHARE = 0.6
"""Assumed: pictures of hands at any time, for each that is taken within a reach."""


class Glimpse(NamedTuple):
    """One camera's pictures before and after a reach.

    Attributes:
        before, after: uint8 [height, width, 3], BGR.
        hands_xyxy: boxes of hands in either, pixels [n, 4].
        change: units that each facing gained where anything moved; 0 where some went and some came.
        reached: the facing that was reached into.
    """

    camera: Camera
    planogram: Planogram
    before: np.ndarray
    after: np.ndarray
    hands_xyxy: np.ndarray
    change: dict[str, int]
    reached: str


@dataclass(frozen=True)
class Grasp:
    """One camera's picture of a hand that is at an item.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        at_m: middle of the palm, [3], metres.
        facing: where the item stands.
        people: floor position of everybody inside, (x, y), metres, by name.
        who: whose hand it is, one of them.
    """

    camera: Camera
    planogram: Planogram
    image: np.ndarray
    at_m: np.ndarray
    facing: str
    people: Mapping[str, tuple[float, float]]
    who: str


class HandsSeen(NamedTuple):
    """One camera's picture and the hands that show in it.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        hands_xyxy: their boxes, pixels [n, 4].
        palms_m: the middles of their palms, [n, 3], metres.
    """

    camera: Camera
    planogram: Planogram
    image: np.ndarray
    hands_xyxy: np.ndarray
    palms_m: np.ndarray


@contextmanager
def _acted(
    rng: np.random.Generator, people: Sequence[str], mix: Mapping[str, float]
) -> Iterator[tuple[Plot, Scene]]:
    """A plan with one of the groups of people, and its scene."""
    from checkout.render.recordings import make_plot

    spec = RecordingSpec(
        id="glimpses",
        seed=int(rng.integers(2**32)),
        people=tuple(people[int(rng.integers(len(people)))].split()),
        confusing=0.4,
        mix=dict(mix),
    )
    plot = make_plot(spec)
    builds = [p.build for p in plot.script.people]
    scene = Scene(plot.products, plot.planogram, plot.units, builds, plot.looks, heights=plot.heights)
    try:
        yield plot, scene
    finally:
        scene.close()


def _taken(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[View, Camera, np.ndarray]]:
    """What two mounted cameras see just now, each with its own sensor; the scene then shows that view."""
    from checkout.render.recordings import mounted_views

    for number, view in enumerate(mounted_views(rng, test=False)):
        scene.set_view(view)
        picture = Sensor.draw(rng, wide=True).apply(scene.picture(), rng)[:, :, ::-1]
        image = _compressed(np.ascontiguousarray(picture), rng)
        yield view, view.calibration(f"cam{number}", "", 1.0), image


def grasps_of_plan(seed: int, number: int) -> Iterator[Grasp]:
    """All reaches of one plan with several people, each as two cameras see it while the hand is at the item."""
    from checkout.render.recordings import place_all

    rng = np.random.default_rng([GRASP_SEED, seed, number])
    several = [people for people in ACTED_PEOPLE if " " in people]
    with _acted(rng, several, {"touch": 3, "neighbours": 3, "same_facing": 3}) as (plot, scene):
        light_scene(scene, rng)
        names = [f"p{i + 1}" for i in range(len(plot.script.people))]
        for deed in plot.script.deeds:
            t_s = float(rng.uniform(deed.marks[1] - 0.1, deed.marks[2] + 0.15))
            poses = {name: plot.stage.pose(i, t_s) for i, name in enumerate(names)}
            people = {name: pose.at_m for name, pose in poses.items() if pose is not None}
            reaching = poses[names[deed.person]]
            if reaching is None or len(people) < 2 or (palm := reaching.palm_m["right"]) is None:
                continue
            light_scene(scene, rng)
            place_all(plot, scene, t_s)
            for _, camera, image in _taken(scene, rng):
                who = names[deed.person]
                yield Grasp(camera, plot.planogram, image, np.array(palm), deed.facing, people, who)


def hands_of_plan(seed: int, number: int) -> Iterator[HandsSeen]:
    """Everybody's hands within each reach of one plan and at other times, each as two cameras see them."""
    from checkout.render.recordings import place_all

    rng = np.random.default_rng([WAY_SEED, seed, number])
    with _acted(rng, ACTED_PEOPLE, {"touch": 2}) as (plot, scene):
        builds = [p.build for p in plot.script.people]
        times = [float(rng.uniform(deed.marks[0], deed.marks[3])) for deed in plot.script.deeds]
        others = rng.uniform(0, plot.script.duration_s, round(ELSEWHERE_SHARE * len(times)))
        for t_s in [*times, *others.tolist()]:
            poses = [plot.stage.pose(i, t_s) for i in range(len(builds))]
            palms = {
                hand_name(i, side): place_parts(build, pose)[f"{side}/palm"][0]
                for i, (build, pose) in enumerate(zip(builds, poses, strict=True))
                if pose is not None
                for side in SIDES
            }
            light_scene(scene, rng)
            place_all(plot, scene, t_s)
            for view, camera, image in _taken(scene, rng):
                shown = [(box, name) for label, name, box, _ in visible_boxes(scene, view) if label == HAND]
                if shown:
                    yield HandsSeen(
                        camera,
                        plot.planogram,
                        image,
                        np.array([box for box, _ in shown], float),
                        np.array([palms[name] for _, name in shown]),
                    )


def glimpses_of_plan(seed: int, number: int) -> Iterator[Glimpse]:
    """All reaches of one plan, each as two cameras see it before and after."""
    from checkout.render.recordings import mounted_views, place_all

    rng = np.random.default_rng([GLIMPSE_SEED, seed, number])
    with _acted(rng, ACTED_PEOPLE, {"touch": 6}) as (plot, scene):
        script = plot.script
        for deed in script.deeds:
            times = deed.marks[0] - rng.uniform(*BEFORE_S), deed.marks[3] + rng.uniform(*AFTER_S)
            times = max(0.0, float(times[0])), min(script.duration_s, float(times[1]))
            views = mounted_views(rng, test=False)
            sensors = [Sensor.draw(rng, wide=True) for _ in views]
            light_scene(scene, rng)
            pictures: list[list[np.ndarray]] = [[] for _ in views]
            hands: list[list[tuple[int, int, int, int]]] = [[] for _ in views]
            for t_s in times:
                place_all(plot, scene, t_s)
                for camera, (view, sensor) in enumerate(zip(views, sensors, strict=True)):
                    scene.set_view(view)
                    picture = sensor.apply(scene.picture(), rng)[:, :, ::-1]
                    pictures[camera].append(_compressed(np.ascontiguousarray(picture), rng))
                    hands[camera] += [box for label, _, box, _ in visible_boxes(scene, view) if label == HAND]
            change = _change(script, *times)
            for camera, view in enumerate(views):
                boxes = np.array(hands[camera], float).reshape(-1, 4)
                calibrated = view.calibration(f"cam{camera}", "", 1.0)
                before, after = pictures[camera]
                yield Glimpse(calibrated, plot.planogram, before, after, boxes, change, deed.facing)


def _change(script: Script, before_s: float, after_s: float) -> dict[str, int]:
    """Units that each facing gained from one time to another, of those where any unit went or came."""
    found: dict[str, int] = {}
    for holds in script.holds.values():
        stood = [next((h for h in reversed(holds) if h.t_s <= t), holds[0]) for t in (before_s, after_s)]
        if stood[0] is not stood[1]:
            for hold, gain in zip(stood, (-1, 1), strict=True):
                if hold.where == "slot":
                    found[hold.facing] = found.get(hold.facing, 0) + gain
    return found


def _compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR))
