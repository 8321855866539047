"""The step detector's laws, on noise like the real store's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.recording import Recording
from checkout.weight.injection import inject_step
from checkout.weight.noise import draw_plate_noise
from checkout.weight.steps import ShelfStepDetector, detect_steps

PLATES = [f"g1.s1.p{i + 1}" for i in range(12)]


def idle(seconds: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = round(seconds * 60)
    signal = 1000.0 + draw_plate_noise(n, 12, rng)
    return pd.DataFrame(signal, index=pd.Index(np.arange(n) / 60.0, name="t_s"), columns=PLATES)


def test_idle_noise_gives_no_step() -> None:
    """Ten minutes of twelve plates."""
    assert detect_steps(idle(600.0, seed=5)).steps == ()


@pytest.mark.parametrize("grams", [-30.0, 30.0, -350.0, 1040.0])
def test_a_step_is_found_once_with_its_size_place_and_time(grams: float) -> None:
    found = detect_steps(inject_step(idle(12.0), {"g1.s1.p4": 0.4, "g1.s1.p5": 0.6}, grams, 6.0)).steps
    assert len(found) == 1
    assert found[0].grams == pytest.approx(grams, abs=max(4.0, 0.01 * abs(grams)))
    assert found[0].t_s == pytest.approx(6.0, abs=0.2)
    biggest = max(found[0].plate_grams, key=lambda p: abs(found[0].plate_grams[p]))
    assert biggest == "g1.s1.p5"


@given(
    grams=st.floats(60, 1500),
    sign=st.sampled_from([-1, 1]),
    at=st.floats(3, 9),
    share=st.floats(0.2, 0.8),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_pick_and_put_back_are_mirror_images(
    grams: float, sign: int, at: float, share: float, seed: int
) -> None:
    plates = {"g1.s1.p7": share, "g1.s1.p8": 1 - share}
    found = detect_steps(inject_step(idle(12.0, seed), plates, sign * grams, at)).steps
    assert len(found) == 1
    assert np.sign(found[0].grams) == sign
    assert found[0].grams == pytest.approx(sign * grams, abs=6.0 + 0.02 * grams)


def test_two_steps_on_the_same_plates_a_second_apart_are_two() -> None:
    plates = {"g1.s1.p2": 0.5, "g1.s1.p3": 0.5}
    signal = inject_step(inject_step(idle(12.0), plates, -350.0, 5.0), plates, -350.0, 6.0)
    found = detect_steps(signal).steps
    assert [round(s.grams, -1) for s in found] == [-350.0, -350.0]


def test_two_places_of_one_shelf_at_once_are_two_steps() -> None:
    signal = inject_step(idle(12.0), {"g1.s1.p2": 0.5, "g1.s1.p3": 0.5}, -350.0, 6.0)
    signal = inject_step(signal, {"g1.s1.p8": 0.5, "g1.s1.p9": 0.5}, -520.0, 6.05)
    assert sorted(round(s.grams, -1) for s in detect_steps(signal).steps) == [-520.0, -350.0]


def test_a_short_lean_is_not_a_step() -> None:
    plates = {"g1.s1.p5": 1.0}
    signal = inject_step(inject_step(idle(12.0), plates, 40.0, 5.0), plates, -40.0, 5.6)
    assert detect_steps(signal).steps == ()


@given(cuts=st.lists(st.integers(1, 900), max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_way_the_stream_is_cut_does_not_matter(cuts: list[int]) -> None:
    signal = inject_step(idle(15.0), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -350.0, 7.0)
    t_s, grams = signal.index.to_numpy(float), signal.to_numpy(float)
    whole = ShelfStepDetector("g1.s1", PLATES, 60.0)
    want = whole.update(t_s, grams) + whole.flush()
    pieces = ShelfStepDetector("g1.s1", PLATES, 60.0)
    got = []
    for rows in np.split(np.arange(len(t_s)), sorted(set(cuts))):
        got += pieces.update(t_s[rows], grams[rows])
    got += pieces.flush()
    assert got == want


def test_memory_is_bounded_on_an_endless_stream() -> None:
    detector = ShelfStepDetector("g1.s1", PLATES, 60.0)
    signal = idle(60.0)
    sizes = set()
    for minute in range(5):
        detector.update(signal.index.to_numpy(float) + 60 * minute, signal.to_numpy(float))
        sizes.add(len(detector._t))
    assert max(sizes) < 60 * 18


def test_the_steps_of_a_rendered_recording_sum_to_the_net_change(weighed: Recording) -> None:
    steps = detect_steps(weighed.plates).steps
    assert len(steps) == len(weighed.truth.events)
    for shelf in {s.shelf for s in steps}:
        columns = [p for p in weighed.plates if p.startswith(shelf)]
        first, last = weighed.plates[columns].iloc[:30].mean(), weighed.plates[columns].iloc[-30:].mean()
        assert sum(s.grams for s in steps if s.shelf == shelf) == pytest.approx(
            float((last - first).sum()), abs=30.0
        )


def test_doubtful_plates_are_named() -> None:
    signal = idle(6.0)
    signal["g1.s1.p3"] = np.nan
    signal.iloc[100:, 6] = 20_500.0
    warnings = " ".join(detect_steps(signal).warnings)
    assert "g1.s1.p3 is silent" in warnings
    assert "g1.s1.p7 reaches its 20 kg limit" in warnings
