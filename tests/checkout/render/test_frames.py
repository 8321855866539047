"""Training frames: what they show is what their labels say; labels are legible, not mirrored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from checkout.render.frames import render_training_frames
from checkout.render.products import PACKAGES, DrawnProduct, draw_products
from checkout.render.scene import SHELF_HEIGHTS_M, Scene, Unit, View, make_planogram

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
