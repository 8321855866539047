"""Facings before and after reaches: pairs of pictures of what a unit's going or coming looks like, and what does not.

A recording's plan is acted out as for training frames; of each reach a mounted camera takes a picture shortly
before it and one shortly after. Everything derives from (seed, number of the plan).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from checkout.catalog import Planogram
from checkout.recording import Camera
from checkout.render.frames import ACTED_PEOPLE, light_scene
from checkout.render.labels import visible_boxes
from checkout.render.pictures import Sensor
from checkout.render.scene import HAND, Scene
from checkout.render.script import Script
from checkout.render.specs import RecordingSpec

GLIMPSE_SEED = 2_000_003
"""Keeps the plans apart from those of training frames and recordings."""
BEFORE_S, AFTER_S = (0.0, 1.0), (0.1, 1.5)
"""Assumed: a picture is taken so long before a reach begins, or after the hand has left."""


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


def glimpses_of_plan(seed: int, number: int) -> Iterator[Glimpse]:
    """All reaches of one plan, each as two cameras see it."""
    from checkout.render.recordings import make_plot, mounted_views, place_all

    rng = np.random.default_rng([GLIMPSE_SEED, seed, number])
    spec = RecordingSpec(
        id="glimpses",
        seed=int(rng.integers(2**32)),
        people=tuple(ACTED_PEOPLE[int(rng.integers(len(ACTED_PEOPLE)))].split()),
        confusing=0.4,
        mix={"touch": 6},
    )
    plot = make_plot(spec)
    script = plot.script
    builds = [p.build for p in script.people]
    scene = Scene(plot.products, plot.planogram, plot.units, builds, plot.looks, heights=plot.heights)
    try:
        for deed in script.deeds:
            times = deed.marks[0] - rng.uniform(*BEFORE_S), deed.marks[3] + rng.uniform(*AFTER_S)
            times = max(0.0, float(times[0])), min(spec.duration_s, float(times[1]))
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
    finally:
        scene.close()


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
