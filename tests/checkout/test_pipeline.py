"""From a recording to receipts with whichever sensors there are, and the plain video."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from checkout.errors import InputError
from checkout.pipeline import ConfidenceMap, perceive, perceive_video
from checkout.recording import Recording
from checkout.render.recordings import render_recording
from checkout.render.specs import RecordingSpec
from checkout.review import ReviewPolicy


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """One shopper for twelve seconds, filmed."""
    spec = RecordingSpec(id="filmed", seed=77, people=("s1",), duration_s=12.0)
    return render_recording(spec, tmp_path_factory.mktemp("filmed") / "rec")


def test_both_sensors_give_the_true_receipt(filmed: Recording, tmp_path: Path) -> None:
    from checkout.vision.video import probe

    seen = perceive(filmed, annotate=tmp_path / "seen.mp4")
    assert {r.shopper: r.quantities for r in seen.receipts} == {
        r.shopper: r.quantities for r in filmed.truth.receipts
    }
    assert seen.detections is not None
    assert {"hand", "item", "person"} == set(seen.detections["label"])
    assert probe(tmp_path / "seen.mp4").width == 1280
    assert seen.shopper_minutes == pytest.approx((12 - filmed.entries[0].t_s) / 60, abs=0.01)


def test_vision_alone_never_crashes_and_says_what_it_lacks(filmed: Recording) -> None:
    seen = perceive(filmed, sensors=["vision"])
    assert seen.steps == ()
    assert {r.shopper for r in seen.receipts} == {"s1"}
    assert all(0 <= e.lowest_confidence <= 1 for e in seen.events)


def test_a_recording_without_cameras_says_so(weighed: Recording) -> None:
    seen = perceive(weighed)
    assert any("no cameras" in w for w in seen.warnings)
    assert any("nothing says who was where" in w for w in seen.warnings)
    assert all(e.shopper_confidence < 0.9 for e in seen.events if e.action == "pick")


def test_a_stricter_policy_only_adds_reviews(weighed: Recording) -> None:
    def reviewed(threshold: float) -> set[str]:
        policy = ReviewPolicy(threshold, threshold, threshold)
        return {r.shopper for r in perceive(weighed, policy=policy).receipts if r.decision == "review"}

    assert reviewed(0.0) <= reviewed(0.5) <= reviewed(0.99)
    assert reviewed(0.0) == set()
    assert reviewed(0.99) == {"s1", "s2"}


def test_the_confidence_map_is_applied(weighed: Recording) -> None:
    plain = perceive(weighed, confidence=ConfidenceMap())
    modest = perceive(weighed, confidence=ConfidenceMap(item=(0.0, 0.5, 0.0)))
    for a, b in zip(plain.events, modest.events, strict=True):
        assert (a.product, a.t_s) == (b.product, b.t_s)
        assert b.item_confidence <= a.item_confidence
        assert b.shopper_confidence == pytest.approx(a.shopper_confidence)


def test_a_lost_camera_is_named(filmed: Recording) -> None:
    blind = dataclasses.replace(filmed.cameras[1], matrix=None)
    seen = perceive(dataclasses.replace(filmed, cameras=(filmed.cameras[0], blind)))
    assert any("camera cam1 is not calibrated" in w for w in seen.warnings)


def test_a_video_without_anything_gives_no_event(tmp_path: Path) -> None:
    from checkout.vision.video import VideoWriter

    with VideoWriter(tmp_path / "grey.mp4", 320, 240, 10) as writer:
        for _ in range(10):
            writer.write(np.full((240, 320, 3), 128, np.uint8))
    seen = perceive_video(tmp_path / "grey.mp4")
    assert seen.events == ()
    assert seen.receipts == ()
    assert any("no place was found" in w for w in seen.warnings)


@pytest.mark.realdata
def test_a_real_video_is_watched_and_annotated(real_data: Path, tmp_path: Path) -> None:
    from checkout.vision.video import probe

    source = real_data / "real-video" / "bottle-detection.mp4"
    seen = perceive_video(source, annotate=tmp_path / "seen.mp4")
    assert probe(tmp_path / "seen.mp4").frames == probe(source).frames
    assert seen.detections is not None
    assert len(seen.detections) > 0
    assert any("no planogram" in w for w in seen.warnings)


def test_nothing_is_asked_of_a_recording_that_has_nothing(weighed: Recording) -> None:
    with pytest.raises(InputError, match="none of the sensors asked for"):
        perceive(weighed, sensors=["vision"])
