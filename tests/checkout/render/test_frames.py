"""Training frames: what they show is what their labels say; labels are legible, not mirrored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.render.frames import _random_view, render_training_frames
from checkout.render.labels import LEAST_VISIBLE, visible_boxes
from checkout.render.people import Build, Pose
from checkout.render.pictures import boxes_of
from checkout.render.products import PACKAGES, DrawnProduct, draw_products
from checkout.render.recordings import make_plot, place_all, render_recording
from checkout.render.scene import (
    HAND,
    ITEM,
    LABELS,
    PERSON,
    SHELF_HEIGHTS_M,
    Scene,
    Unit,
    View,
    make_planogram,
)
from checkout.render.specs import CameraSpec, RecordingSpec

HEIGHTS_M = SHELF_HEIGHTS_M[4]


def drawn(package: str, rng: np.random.Generator) -> DrawnProduct:
    number = next(i for i, p in enumerate(PACKAGES) if p.name == package)
    return draw_products(rng, 1, test=False, packages=[number])[0]


def test_frames_come_with_boxes_of_every_class_inside_the_picture(tmp_path: Path) -> None:
    import cv2

    data = render_training_frames(tmp_path / "data", count=6, val_count=2, seed=3, workers=1)
    labels = sorted((data / "labels" / "train").glob("*.txt"))
    assert len(labels) == 6
    assert len(list((data / "images" / "val").glob("*.jpg"))) == 2
    rows = np.array(
        [[float(v) for v in line.split()] for f in labels for line in f.read_text().splitlines() if line]
    )
    assert set(rows[:, 0]) == {0, 1, 2}
    corners = np.column_stack([rows[:, 1:3] - rows[:, 3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2])
    assert corners.min() >= -1e-5
    assert corners.max() <= 1 + 1e-5
    picture = cv2.imread(str(data / "images" / "train" / f"{labels[0].stem}.jpg"))
    assert picture.shape == (360, 640, 3)
    assert picture.std() > 10


def test_the_same_seed_gives_the_same_frames(tmp_path: Path) -> None:
    a, b = (render_training_frames(tmp_path / name, count=2, seed=4, workers=1) for name in "ab")
    for file in sorted((a / "labels" / "train").iterdir()):
        assert file.read_text() == (b / "labels" / "train" / file.name).read_text()


def test_a_label_is_seen_upright_and_unmirrored() -> None:
    """A carton whose label is red at the top left only shows red at the top left."""
    from dataclasses import replace

    rng = np.random.default_rng(0)
    carton = drawn("milk", rng)
    label = np.full_like(carton.label, 255)
    label[:128, :64] = (255, 0, 0)
    carton = replace(carton, label=label)
    scene = Scene([carton], make_planogram([carton], HEIGHTS_M), [Unit(0, 1000.0)], [], rng)
    scene.place_unit(0, np.array([0.0, 0.1, HEIGHTS_M[2]]))
    middle = HEIGHTS_M[2] + carton.half_m[2]
    scene.set_view(View((0.0, -0.6, middle), (0.0, 0.1, middle), 30.0))
    scene.update()
    picture, shown = scene.picture().astype(int), scene.instances() == 0
    scene.close()
    ys, xs = np.nonzero(shown)
    red = shown & (picture[..., 0] > picture[..., 1] + 60)
    ry, rx = np.nonzero(red)
    assert len(ry) > 50
    assert ry.mean() < ys.mean()
    assert rx.mean() < xs.mean()


def test_an_isolated_item_is_seen_where_the_camera_model_projects_it() -> None:
    """Through a bent lens, within two pixels."""
    rng = np.random.default_rng(1)
    can = drawn("seltzer", rng)
    scene = Scene([can], make_planogram([can], HEIGHTS_M), [Unit(0, 350.0)], [], rng)
    view = View((0.7, -1.5, 2.3), (0.0, 0.0, 1.0), 45.0, k1=-0.1)
    camera = view.calibration("cam0", "cam0.mp4", 12)
    scene.set_view(view)
    for at in ([-0.45, 0.1, HEIGHTS_M[3]], [0.4, 0.06, HEIGHTS_M[3]], [0.1, -0.4, 1.2]):
        scene.place_unit(0, np.array(at))
        scene.update()
        ys, xs = np.nonzero(scene.instances() == 0)
        outline, _ = camera.project(can.vertices + np.array(at))
        seen = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        want = np.array([*outline.min(axis=0), *outline.max(axis=0)])
        assert np.abs(seen - want).max() < 2.0
    scene.close()


@pytest.mark.parametrize("fovy_deg", [30.0, 46.0, 60.0, 65.0])
@pytest.mark.parametrize("k1", [-0.14, -0.05, 0.02])
def test_a_view_folds_where_the_camera_model_cannot_be_inverted_at_the_corner(
    fovy_deg: float, k1: float
) -> None:
    view = View((0.0, -1.5, 1.0), (0.0, 0.0, 1.0), fovy_deg, k1)
    camera = view.calibration("cam0", "cam0.mp4", 12)
    corner = np.array([[0.5, 0.5]])
    ray = camera.rays(corner)
    there, _ = camera.project(np.array(view.position_m) + ray)
    assert view.folds == bool(np.abs(there - corner).max() > 0.5)


def test_random_training_views_never_fold() -> None:
    rng = np.random.default_rng(3)
    views = [_random_view(rng, []) for _ in range(300)]
    assert not any(view.folds for view in views)
    assert any(view.k1 < -0.1 for view in views)


def seen(scene: Scene, view: View) -> dict[tuple[int, str], float]:
    """Visible share of everything in the picture."""
    scene.set_view(view)
    scene.update()
    return {(label, name): share for label, name, _, share in visible_boxes(scene, view)}


@pytest.mark.parametrize("package", ["seltzer", "milk", "cereal", "noodles", "cola"])
@pytest.mark.parametrize("k1", [0.0, -0.1])
def test_what_nothing_hides_is_visible_and_what_half_is_hidden_half(package: str, k1: float) -> None:
    """A sheet before the left half of a unit."""
    rng = np.random.default_rng(2)
    unit, sheet = drawn(package, rng), drawn("cereal", rng)
    scene = Scene([unit, sheet], make_planogram([unit], HEIGHTS_M), [Unit(0, 300.0), Unit(1, 400.0)], [], rng)
    view = View((0.1, -1.6, 1.2), (0.0, -0.4, 1.1), 30.0, k1)
    scene.place_unit(0, np.array([0.0, -0.4, 1.0]))
    scene.place_unit(1, None)
    alone = seen(scene, view)
    assert list(alone) == [(ITEM, "u0")]
    assert alone[ITEM, "u0"] > 0.9
    # Its right edge is on the line from the camera to the unit's middle.
    edge = 0.1 * 0.1 / 1.2
    scene.place_unit(1, np.array([edge - sheet.half_m[0], -0.5 + sheet.half_m[1], 0.98]))
    scene.place_unit(0, np.array([0.0, -0.4, 1.0]))
    tall = min(1.0, (0.98 + 2 * sheet.half_m[2] - 1.0) / (2 * unit.half_m[2]))
    half = seen(scene, view)[ITEM, "u0"]
    scene.close()
    assert half == pytest.approx(1 - tall / 2, abs=0.15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_person_and_a_hand_that_nothing_hides_are_visible(seed: int) -> None:
    rng = np.random.default_rng(seed)
    build, can = Build.draw(rng, carries="nothing"), drawn("seltzer", rng)
    scene = Scene([can], make_planogram([can], HEIGHTS_M), [Unit(0, 350.0)], [build], rng)
    pose = Pose((0.0, -0.9))
    pose.palm_m["right"] = np.array([0.3, -0.4, 1.2])
    scene.place_shopper(0, pose)
    share = seen(scene, View((1.6, -0.1, 1.5), (0.1, -0.75, 1.0), 70.0))
    scene.close()
    assert share[HAND, "p1.right"] > 0.8
    assert share[PERSON, "p1"] > 0.8


def test_a_hand_behind_a_sheet_is_less_visible() -> None:
    rng = np.random.default_rng(4)
    build, sheet = Build.draw(rng, carries="nothing"), drawn("cereal", rng)
    scene = Scene([sheet], make_planogram([sheet], HEIGHTS_M), [Unit(0, 400.0)], [build], rng)
    pose = Pose((0.0, -0.9))
    pose.palm_m["right"] = palm = np.array([0.3, -0.4, 1.2])
    scene.place_shopper(0, pose)
    view = View((0.9, -0.4, 1.2), (0.3, -0.4, 1.2), 45.0)
    scene.place_unit(0, None)
    shares = [seen(scene, view)[HAND, "p1.right"]]
    for low in (0.0, -0.24):
        scene.place_unit(0, palm + np.array([0.1, 0.0, low]), np.pi / 2)
        shares.append(seen(scene, view).get((HAND, "p1.right"), 0.0))
    scene.close()
    assert shares[0] > 0.8
    assert 0.25 < shares[1] < 0.75
    assert 0.25 < shares[2] < 0.75


@given(
    st.integers(1, 12).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(-1, 4), min_size=width, max_size=width), min_size=1, max_size=9
        )
    )
)
def test_a_box_is_the_smallest_around_its_instances_pixels(rows: list[list[int]]) -> None:
    instances = np.array(rows, np.int32)
    found = boxes_of(instances)
    assert set(found) == set(instances[instances >= 0].tolist())
    for instance, (x1, y1, x2, y2, pixels) in found.items():
        ys, xs = np.nonzero(instances == instance)
        assert (x1, y1, x2, y2) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert pixels == len(xs)


def test_the_boxes_of_a_recording_are_those_of_its_scene(tmp_path: Path) -> None:
    """One frame, posed anew from the plan."""
    camera = CameraSpec(position_m=(0.9, -0.9, 2.4), k1=-0.08)
    spec = RecordingSpec(id="posed", seed=7, duration_s=8.0, fps=2, cameras=(camera,))
    boxes = render_recording(spec, tmp_path / "posed").boxes
    plot = make_plot(spec)
    builds = [p.build for p in plot.script.people]
    scene = Scene(plot.products, plot.planogram, plot.units, builds, plot.looks, heights=plot.heights)
    view = camera.view()
    for frame in (0, 9, 15):
        place_all(plot, scene, frame / spec.fps)
        scene.set_view(view)
        wanted = {
            (LABELS[label], name): (*map(float, box), round(share, 2))
            for label, name, box, share in visible_boxes(scene, view)
            if share >= 0.5 * LEAST_VISIBLE[label]
        }
        rows = boxes[boxes["frame"] == frame]
        given_rows = rows[["label", "id", "x1", "y1", "x2", "y2", "visible"]].itertuples(index=False)
        got = {(row.label, row.id): row[2:] for row in given_rows}
        assert got.keys() == wanted.keys()
        for key, values in got.items():
            assert values == pytest.approx(wanted[key], abs=1e-6)
    assert set(boxes["label"]) == set(LABELS)
    scene.close()
