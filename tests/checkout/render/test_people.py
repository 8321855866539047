"""Bodies: skins hang on their bones, bones keep their lengths, hands close, and a child is smaller."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.render.people import (
    BODY_BONES,
    CHILD_STATURE,
    FINGER_LENGTH_M,
    HAND_BONES,
    HAND_LENGTH_M,
    SIDES,
    Build,
    Pose,
    body_skin,
    hand_scale,
    hand_skin,
    held_position,
    out_of_reach_m,
    place_parts,
)
from checkout.render.skin import SkinMesh, mirrored

builds = st.builds(
    lambda seed, child: Build.draw(np.random.default_rng(seed), child=child),
    st.integers(0, 999),
    st.booleans(),
)
places = st.tuples(st.floats(-1.2, 1.2), st.floats(-1.2, 0.4), st.floats(0.05, 1.9)).map(np.array)
poses = st.builds(
    lambda at, yaw, left, right, grip, gait, stride: Pose(
        at, yaw, {"left": left, "right": right}, {"left": 1 - grip, "right": grip}, gait, stride
    ),
    st.tuples(st.floats(-1.0, 1.0), st.floats(-1.7, -0.4)),
    st.floats(-1.2, 1.2),
    st.none() | places,
    st.none() | places,
    st.floats(0, 1),
    st.floats(0, 7),
    st.floats(0, 0.26),
)
some = settings(max_examples=60, deadline=None)


def fingertips(build: Build, pose: Pose, side: str) -> np.ndarray:
    """Where the four fingers end, [4, 3] metres."""
    parts = place_parts(build, pose)
    tips = []
    for finger, length in enumerate(FINGER_LENGTH_M):
        at, turn = parts[f"{side}/finger{finger}2"]
        tips.append(at + turn @ [0.0, 0.48 * length * hand_scale(build), 0.0])
    return np.array(tips)


def hands(build: Build) -> list[tuple[str, SkinMesh, tuple[str, ...]]]:
    return [
        ("body", body_skin(build.girth, build.sleeve), BODY_BONES),
        ("right", hand_skin(), HAND_BONES),
        ("left", mirrored(hand_skin()), HAND_BONES),
    ]


@pytest.mark.parametrize("seed", [0, 3])
def test_every_vertex_of_a_skin_hangs_wholly_on_its_bones(seed: int) -> None:
    for name, mesh, bones in hands(Build.draw(np.random.default_rng(seed))):
        assert mesh.weights.shape == (len(mesh.vertices), len(bones)), name
        assert mesh.weights.sum(axis=1) == pytest.approx(1.0)
        assert mesh.weights.min() >= 0
        assert (mesh.weights > 0).any(axis=0).all(), "a bone without skin"


@pytest.mark.parametrize("seed", [0, 3])
def test_skins_are_closed_and_look_outward(seed: int) -> None:
    """Every edge belongs to two faces that run it in opposite directions, and the volume is positive."""
    for name, mesh, _ in hands(Build.draw(np.random.default_rng(seed))):
        edges = np.vstack([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        forward = {(int(a), int(b)) for a, b in edges}
        assert len(forward) == len(edges), name
        assert forward == {(b, a) for a, b in forward}, name
        a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        litres = float((a * np.cross(b, c)).sum()) / 6 * 1000
        assert (40 < litres < 110) if name == "body" else (0.2 < litres < 0.6), name


def test_a_left_hand_is_a_right_one_in_the_mirror() -> None:
    assert np.array_equal(mirrored(mirrored(hand_skin())).vertices, hand_skin().vertices)
    assert np.array_equal(mirrored(mirrored(hand_skin())).faces, hand_skin().faces)


@some
@given(builds, places, st.sampled_from(SIDES))
def test_a_closing_hand_brings_the_fingertips_to_the_palm(build: Build, palm: np.ndarray, side: str) -> None:
    gaps = []
    for grip in (0.0, 0.25, 0.5, 0.75, 1.0):
        pose = Pose((0.0, -0.5))
        pose.palm_m[side], pose.grip[side] = palm, grip
        middle = place_parts(build, pose)[f"{side}/palm"][0]
        gaps.append(np.linalg.norm(fingertips(build, pose, side) - middle, axis=1))
    assert (np.diff(gaps, axis=0) < 0).all()
    assert (gaps[-1] < 0.8 * gaps[0]).all()


@some
@given(builds, poses)
def test_bones_keep_their_lengths_in_any_pose(build: Build, pose: Pose) -> None:
    parts = place_parts(build, pose)
    s, k = build.stature, hand_scale(build)

    def apart(one: str, two: str) -> float:
        return float(np.linalg.norm(parts[one][0] - parts[two][0]))

    for side in SIDES:
        assert apart(f"upper-{side}", f"fore-{side}") == pytest.approx(build.upper_arm_m, abs=1e-9)
        # The palm's middle is a hand's length beyond the wrist, whatever the wrist's bend.
        assert apart(f"fore-{side}", f"{side}/palm") <= build.forearm_m + HAND_LENGTH_M * k + 1e-9
        assert apart(f"fore-{side}", f"{side}/palm") >= build.forearm_m - HAND_LENGTH_M * k - 1e-9
        assert apart(f"thigh-{side}", f"shin-{side}") == pytest.approx(0.42 * s, abs=1e-9)
        assert apart(f"shin-{side}", f"foot-{side}") == pytest.approx(0.40 * s, abs=1e-9)
        for finger, length in enumerate(FINGER_LENGTH_M):
            for joint, share in ((0, 1.0), (1, 0.62)):
                bones = f"{side}/finger{finger}{joint}", f"{side}/finger{finger}{joint + 1}"
                assert apart(*bones) == pytest.approx(k * share * length, abs=1e-9)
    assert apart("upper-left", "upper-right") == pytest.approx(0.38 * s, abs=1e-9)


@some
@given(builds, poses)
def test_every_part_is_turned_and_never_bent_or_mirrored(build: Build, pose: Pose) -> None:
    parts = place_parts(build, pose)
    turns = np.stack([turn for _, turn in parts.values()])
    assert np.isfinite(np.stack([at for at, _ in parts.values()])).all()
    assert np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    assert np.linalg.det(turns) == pytest.approx(1.0, abs=1e-6)


before_the_shelf = st.builds(
    lambda at, palm: Pose(at, palm_m={"left": None, "right": palm}),
    st.tuples(st.floats(-0.6, 0.6), st.floats(-0.56, -0.44)),
    st.tuples(st.floats(-0.6, 0.6), st.floats(-0.19, 0.3), st.floats(0.35, 1.7)).map(np.array),
)


@some
@given(builds, before_the_shelf)
def test_a_palm_within_reach_is_where_the_pose_wants_it(build: Build, pose: Pose) -> None:
    palm = pose.palm_m["right"]
    assert palm is not None
    gap = np.linalg.norm(place_parts(build, pose)["right/palm"][0] - palm)
    if out_of_reach_m(build, pose) < 1e-6:
        assert gap < 0.05
    else:
        assert gap > 0


@given(places, st.floats(-3, 3), st.floats(0.0, 0.07))
def test_what_the_left_hand_holds_mirrors_what_the_right_hand_holds(
    palm: np.ndarray, yaw: float, radius: float
) -> None:
    build = Build.draw(np.random.default_rng(0))
    flip = np.array([-1.0, 1.0, 1.0])
    right = held_position(build, palm, yaw, "right", radius)
    left = held_position(build, palm * flip, -yaw, "left", radius)
    assert left == pytest.approx(right * flip)
    assert np.linalg.norm(right - palm) == pytest.approx(np.hypot(0.045, 0.016 + radius))


@given(st.integers(0, 999))
def test_a_child_is_smaller_than_any_grown_up_and_carries_nothing(seed: int) -> None:
    child = Build.draw(np.random.default_rng(seed), child=True)
    grown = Build.draw(np.random.default_rng(seed))
    assert child.stature == pytest.approx(CHILD_STATURE * grown.stature)
    assert child.stature < 0.75 < 0.9 < grown.stature
    assert child.carries == "nothing"
    assert hand_scale(child) < hand_scale(grown)
    tops = [place_parts(build, Pose((0.0, -0.5)))["head"][0][2] for build in (child, grown)]
    assert tops[0] < 0.75 * tops[1]


def test_a_body_stands_on_the_floor_and_bends_to_what_is_low() -> None:
    build = dataclasses.replace(Build.draw(np.random.default_rng(1)), stature=1.0)
    upright, low = Pose((0.0, -0.5)), Pose((0.0, -0.5))
    low.palm_m["right"] = np.array([0.1, 0.05, 0.5])
    heads = [place_parts(build, pose)["head"][0] for pose in (upright, low)]
    assert heads[0][2] == pytest.approx(1.635, abs=0.02)
    assert heads[1][2] < heads[0][2] - 0.2
    for pose in (upright, low):
        for side in SIDES:
            assert place_parts(build, pose)[f"foot-{side}"][0][2] == pytest.approx(0.085, abs=0.02)
