"""People on the floor: placed by cut-off boxes, named from entry to exit, believed where no camera looks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from checkout.recording import Camera, Entry
from checkout.render.scene import View
from checkout.vision import people
from checkout.vision.detector import CLASSES, Detections
from checkout.vision.people import ShopperTracker

ABOVE = View((0.0, -0.9, 2.7), (0.0, -0.5, 1.0), 62.0, k1=-0.06).calibration("cam0", "cam0.mp4", 10)
ASIDE = View((1.6, -1.5, 2.3), (0.0, -0.4, 1.0), 50.0).calibration("cam1", "cam1.mp4", 10)
CAMERAS = (ABOVE, ASIDE)
FRONTS = np.array([[x, 0.0] for x in (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5)])
OUTWARD = np.tile([0.0, -1.0], (len(FRONTS), 1))
At = tuple[float, float]
SIZE = np.array([640, 360])


def box_of(camera: Camera, at: At) -> list[float] | None:
    """What the picture shows of a body of 40 x 25 x 170 cm, or None."""
    x, y, z = np.meshgrid(
        np.linspace(-0.2, 0.2, 5), np.linspace(-0.125, 0.125, 3), np.linspace(0.0, 1.7, 40), indexing="ij"
    )
    points = np.column_stack([x.ravel() + at[0], y.ravel() + at[1], z.ravel()])
    pixels, depth = camera.project(points)
    seen = pixels[(depth > 0.1) & (pixels >= 0).all(axis=1) & (pixels <= SIZE).all(axis=1)]
    if len(seen) < 20:
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    return [*low, *high] if (high - low >= 40).all() else None


def found(*seen: list[float] | None) -> Detections:
    rows = np.array([box for box in seen if box is not None], np.float32).reshape(-1, 4)
    return Detections(rows, np.full(len(rows), 0.9, np.float32), np.full(len(rows), CLASSES.index("person")))


def tracker_of(*entries: Entry, pictures: Mapping[str, np.ndarray] | None = None) -> ShopperTracker:
    return ShopperTracker(entries, CAMERAS, FRONTS, OUTWARD, pictures)


def watch(tracker: ShopperTracker, t_s: float, *people: At) -> dict[str, dict[str, int]]:
    """Both cameras see people at these places."""
    return {
        c.camera: tracker.update(c.camera, t_s, found(*(box_of(c, at) for at in people))) for c in CAMERAS
    }


@pytest.mark.parametrize("at", [(0.0, -0.5), (-0.8, -0.6), (0.9, -0.7)])
def test_a_person_is_placed_by_boxes_that_the_border_may_cut(at: At) -> None:
    tracker = tracker_of(Entry("anna", 0.0, (-1.8, -1.0)))
    for frame in range(30):
        watch(tracker, frame / 10, at)
    assert tracker.places(3.0)["anna"] == pytest.approx(at, abs=0.2)
    assert tracker.spread_m("anna") < 0.4


def test_beliefs_are_probabilities_and_never_inside_the_shelf() -> None:
    tracker = tracker_of(Entry("anna", 0.0, (-1.8, -1.0)), Entry("ben", 0.5, (1.8, -1.0)))
    for frame in range(20):
        watch(tracker, frame / 10, (-0.3, -0.5))
        for name, belief in tracker._belief.items():
            assert belief.sum() == pytest.approx(1.0), name
            assert (belief >= 0).all()
            inside = (np.abs(tracker._floor.centres[:, 0]) < 0.5) & (
                np.abs(tracker._floor.centres[:, 1] - 0.2) < 0.1
            )
            assert frame == 0 or belief[inside].sum() < 1e-9


def test_shoppers_keep_their_names_while_they_walk_past_each_other() -> None:
    tracker = tracker_of(Entry("anna", 0.0, (-0.9, -0.5)), Entry("ben", 0.0, (0.9, -1.0)))
    for frame in range(45):
        x = -0.9 + 0.4 * frame / 10
        watch(tracker, frame / 10, (x, -0.5), (-x, -1.0))
    places = tracker.places(4.5)
    assert places["anna"] == pytest.approx([0.86, -0.5], abs=0.25)
    assert places["ben"] == pytest.approx([-0.86, -1.0], abs=0.3)


def test_nobody_is_known_before_the_entry_scan() -> None:
    tracker = tracker_of(Entry("anna", 5.0, (-1.8, -1.0)))
    assert tracker.places(1.0) == {}
    assert watch(tracker, 1.0, (0.0, -0.5)) == {"cam0": {}, "cam1": {}}
    assert set(tracker.places(5.0)) == {"anna"}


def test_who_is_not_seen_is_where_no_camera_looks() -> None:
    """After five seconds without a box; the cameras would have shown anybody before the shelf."""
    tracker = tracker_of(Entry("anna", 0.0, (-1.8, -1.0)))
    for frame in range(50):
        watch(tracker, frame / 10)
    before_shelf = np.abs(tracker._floor.centres - [0.0, -0.6]).max(axis=1) < 0.4
    assert tracker._belief["anna"][before_shelf].sum() < 0.05


def test_who_came_first_is_not_taken_for_who_came_next() -> None:
    """Anna has walked unseen for three seconds when she shows at the shelf; Ben has just come in."""
    tracker = tracker_of(Entry("anna", 0.0, (-2.0, -1.4)), Entry("ben", 2.6, (-2.0, -1.4)))
    for frame in range(30):
        watch(tracker, frame / 10)
    for frame in range(30, 45):
        watch(tracker, frame / 10, (0.0, -0.6))
    assert tracker.places(4.5)["anna"] == pytest.approx([0.0, -0.6], abs=0.25)
    assert np.linalg.norm(tracker.places(4.5)["ben"] - [0.0, -0.6]) > 0.6


def test_each_box_is_given_to_one_person_and_each_person_has_one_box() -> None:
    tracker = tracker_of(Entry("anna", 0.0, (-0.5, -0.6)), Entry("ben", 0.0, (0.5, -0.6)))
    for frame in range(10):
        given = watch(tracker, frame / 10, (-0.5, -0.6), (0.5, -0.6))
        assert given["cam0"] == {"anna": 0, "ben": 1}
    # Ben is hidden: his name does not go over to Anna's box.
    assert watch(tracker, 1.0, (-0.5, -0.6))["cam0"] == {"anna": 0}


RED, BLUE = (20, 20, 200), (200, 40, 20)


def dressed(*people: tuple[At, tuple[int, int, int]]) -> tuple[Detections, np.ndarray]:
    """What the camera above sees of people in clothes of a colour."""
    image = np.full((360, 640, 3), 120, np.uint8)
    seen = [box_of(ABOVE, at) for at, _ in people]
    for box, (_, colour) in zip(seen, people, strict=True):
        assert box is not None
        x1, y1, x2, y2 = (int(v) for v in box)
        image[y1:y2, x1:x2] = colour
    return found(*seen), image


def test_people_who_were_mixed_up_get_their_names_back_by_their_clothes() -> None:
    last: dict[bool, dict[str, np.ndarray]] = {}
    for with_picture in (True, False):
        tracker = tracker_of(Entry("anna", 0.0, (-0.6, -0.6)), Entry("ben", 0.0, (0.6, -0.6)))
        for frame in range(60):
            # Half way they change places while nobody looks.
            side = -0.6 if frame < 30 else 0.6
            seen, image = dressed(((side, -0.6), RED), ((-side, -0.6), BLUE))
            tracker.update("cam0", frame / 10, seen, image if with_picture else None)
        last[with_picture] = tracker.places(6.0)
    assert last[True]["anna"] == pytest.approx([0.6, -0.6], abs=0.2)
    assert last[True]["ben"] == pytest.approx([-0.6, -0.6], abs=0.2)
    assert last[False]["anna"] == pytest.approx([-0.6, -0.6], abs=0.2)


def test_people_who_were_mixed_up_have_their_names_since_it_began() -> None:
    """They change places at 3 s while nobody looks: by then it was right, from then on it is made right."""
    tracker = tracker_of(Entry("anna", 0.0, (-0.6, -0.6)), Entry("ben", 0.0, (0.6, -0.6)))
    went_by: list[tuple[float, str]] = []
    for frame in range(60):
        side = -0.6 if frame < 30 else 0.6
        seen, image = dressed(((side, -0.6), RED), ((-side, -0.6), BLUE))
        given = tracker.update("cam0", frame / 10, seen, image)
        went_by += [(frame / 10, who) for who, box in given.items() if box == 0]
    (exchange,) = tracker.exchanges
    assert {exchange.a, exchange.b} == {"anna", "ben"}
    assert exchange.t_start_s == pytest.approx(3.0, abs=0.11)
    assert "ben" in {who for _, who in went_by}
    assert {tracker.named(who, t_s) for t_s, who in went_by} == {"anna"}
    assert tracker.named("cara", 3.1) == "cara"


def test_people_dressed_alike_are_not_exchanged() -> None:
    tracker = tracker_of(Entry("anna", 0.0, (-0.6, -0.6)), Entry("ben", 0.0, (0.6, -0.6)))
    for frame in range(60):
        seen, image = dressed(((-0.6, -0.6), RED), ((0.6, -0.6), RED))
        tracker.update("cam0", frame / 10, seen, image)
    assert tracker.places(6.0)["anna"] == pytest.approx([-0.6, -0.6], abs=0.2)


def test_people_who_came_in_unseen_are_named_by_the_pictures_of_the_entry() -> None:
    """They come in on one side each and show on the other: nothing but the pictures can say so."""
    pictures = {
        "anna": np.full((200, 80, 3), RED, np.uint8),
        "ben": np.full((200, 80, 3), BLUE, np.uint8),
    }
    for shown, side in ((pictures, 0.6), ({}, -0.6)):
        tracker = tracker_of(Entry("anna", 0.0, (-0.6, -0.6)), Entry("ben", 0.0, (0.6, -0.6)), pictures=shown)
        for frame in range(30):
            seen, image = dressed(((0.6, -0.6), RED), ((-0.6, -0.6), BLUE))
            given = tracker.update("cam0", frame / 10, seen, image)
        assert given == ({"anna": 0, "ben": 1} if shown else {"anna": 1, "ben": 0})
        assert tracker.places(3.0)["anna"] == pytest.approx([side, -0.6], abs=0.2)


def test_a_picture_that_is_like_everybody_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anna's trousers have the colour of Ben's clothes, of which his own picture, in another light, shows nothing."""
    anna = np.full((200, 80, 3), RED, np.uint8)
    anna[100:] = BLUE
    pictures = {"anna": anna, "ben": np.full((200, 80, 3), (40, 160, 40), np.uint8)}
    given = {}
    for corrected, boxes in ((True, people.BIAS_BOXES), (False, np.inf)):
        monkeypatch.setattr(people, "BIAS_BOXES", boxes)
        tracker = tracker_of(
            Entry("anna", 0.0, (-0.6, -0.6)), Entry("ben", 0.0, (0.6, -0.6)), pictures=pictures
        )
        for frame in range(100):
            seen, image = dressed(((-0.6, -0.6), RED), ((0.6, -0.6), BLUE))
            tracker.update("cam0", frame / 10, seen, image)
        # Nobody is seen for so long that each may be anywhere; then one of them.
        for second in range(20, 80, 5):
            tracker.update("cam0", float(second), found(), image)
        seen, image = dressed(((0.0, -0.6), BLUE))
        given[corrected] = tracker.update("cam0", 85.0, seen, image)
    assert given == {True: {"ben": 0}, False: {"anna": 0}}
