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


def press(signal: pd.DataFrame, plate: str, grams: float, start_s: float, length_s: float) -> pd.DataFrame:
    """A hand's weight that comes and goes."""
    changed = signal.copy()
    u = np.clip((signal.index.to_numpy(float) - start_s) / length_s, 0.0, 1.0)
    changed[plate] += grams * np.sin(np.pi * u) ** 2
    return changed


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


@pytest.mark.parametrize("at_s", [7.5, 8.0, 8.5])
def test_a_pick_that_a_slow_slide_leads_to_is_when_the_item_was_lifted(at_s: float) -> None:
    """A tenth of the change is done long before: the load slides for two seconds, then the item goes at once."""
    signal = idle(14.0)
    slide = np.clip((signal.index.to_numpy(float) - (at_s - 2.0)) / 2.0, 0, 1)
    signal["g1.s1.p4"] -= 60.0 * slide
    (found,) = detect_steps(inject_step(signal, {"g1.s1.p4": 1.0}, -250.0, at_s)).steps
    assert found.grams == pytest.approx(-310.0, abs=10.0)
    assert found.t_s == pytest.approx(at_s, abs=0.15)
    assert found.t_start_s <= found.t_s <= found.t_end_s
    assert found.t_end_s - found.t_start_s > 0.8


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


@given(
    grams=st.floats(20, 180),
    length_s=st.floats(0.4, 3.0),
    plate=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_a_press_that_returns_is_no_step(grams: float, length_s: float, plate: int, seed: int) -> None:
    assert detect_steps(press(idle(12.0, seed), f"g1.s1.p{plate}", grams, 5.0, length_s)).steps == ()


@given(share=st.floats(0.0, 0.15), length_s=st.floats(0.2, 2.5), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_pick_has_the_weight_of_the_item_whatever_the_press_before_it(
    share: float, length_s: float, seed: int
) -> None:
    signal = idle(14.0, seed)
    t_s = signal.index.to_numpy(float)
    held = np.clip((t_s - (7.0 - length_s)) / 0.15, 0, 1) * np.clip((7.0 - t_s) / 0.1, 0, 1)
    for plate in ("g1.s1.p4", "g1.s1.p5"):
        signal[plate] += 200.0 * share * held
    found = detect_steps(inject_step(signal, {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -400.0, 7.05, ramp_s=0.1))
    assert [s.grams for s in found.steps] == [pytest.approx(-400.0, abs=6.0)]
    assert found.steps[0].t_s == pytest.approx(7.05, abs=0.15)


@pytest.mark.parametrize("overshoot", [0.1, 0.3, 0.8])
def test_a_put_back_that_lands_hard_has_the_weight_of_the_item(overshoot: float) -> None:
    signal = idle(12.0)
    t_s = signal.index.to_numpy(float)
    ring = np.where(t_s > 6.05, np.exp(-(t_s - 6.05) / 0.1) * np.cos(53 * (t_s - 6.05)), 0.0)
    signal["g1.s1.p4"] += 400.0 * overshoot * ring
    found = detect_steps(inject_step(signal, {"g1.s1.p4": 1.0}, 400.0, 6.0, ramp_s=0.1)).steps
    assert [s.grams for s in found] == [pytest.approx(400.0, abs=4.0)]


@given(offset=st.floats(-900, 9000), drift=st.floats(-2.0, 2.0), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_constant_or_a_drift_changes_nothing(offset: float, drift: float, seed: int) -> None:
    plain = inject_step(idle(20.0, seed), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -350.0, 9.0)
    moved = plain + offset + drift * plain.index.to_numpy(float)[:, None]
    want, got = detect_steps(plain).steps, detect_steps(moved).steps
    assert len(want) == len(got) == 1
    # Two plates drift for the second between the middles of the windows that are compared.
    assert got[0].grams == pytest.approx(want[0].grams, abs=1.0 + 4 * abs(drift))
    assert got[0].t_s == pytest.approx(want[0].t_s, abs=0.02)


@given(seed=st.integers(0, 1000), grams=st.floats(60, 1500))
@settings(max_examples=20, deadline=None)
def test_reversing_the_signal_reverses_the_grams(seed: int, grams: float) -> None:
    signal = inject_step(idle(12.0, seed), {"g1.s1.p4": 0.3, "g1.s1.p5": 0.7}, grams, 6.0)
    up, down = detect_steps(signal).steps, detect_steps(2000.0 - signal).steps
    assert [s.grams for s in down] == pytest.approx([-s.grams for s in up])
    assert [s.t_s for s in down] == pytest.approx([s.t_s for s in up])


@given(
    first=st.integers(1, 4),
    second=st.integers(7, 11),
    apart_s=st.floats(0, 0.5),
    signs=st.tuples(st.sampled_from([-1, 1]), st.sampled_from([-1, 1])),
)
@settings(max_examples=25, deadline=None)
def test_steps_at_once_on_disjoint_plates_are_two(
    first: int, second: int, apart_s: float, signs: tuple[int, int]
) -> None:
    def span(plate: int) -> dict[str, float]:
        return {f"g1.s1.p{plate}": 0.5, f"g1.s1.p{plate + 1}": 0.5}

    signal = inject_step(idle(12.0), span(first), signs[0] * 300.0, 6.0)
    found = detect_steps(inject_step(signal, span(second), signs[1] * 520.0, 6.0 + apart_s)).steps
    assert {frozenset(s.plate_grams) for s in found} >= {frozenset(span(first)), frozenset(span(second))}
    assert sorted(abs(s.grams) for s in found) == pytest.approx([300.0, 520.0], abs=6.0)


@given(
    start=st.floats(1, 9), length_s=st.floats(0.02, 2.0), plate=st.integers(1, 12), seed=st.integers(0, 1000)
)
@settings(max_examples=25, deadline=None)
def test_missing_samples_do_not_invent_steps(start: float, length_s: float, plate: int, seed: int) -> None:
    signal = idle(12.0, seed)
    lost = (signal.index >= start) & (signal.index < start + length_s)
    signal.loc[lost, f"g1.s1.p{plate}"] = np.nan
    assert detect_steps(signal).steps == ()


def test_a_step_while_one_of_its_plates_is_silent_keeps_its_weight() -> None:
    signal = inject_step(idle(12.0), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -400.0, 6.0)
    signal.loc[(signal.index > 5.5) & (signal.index < 6.7), "g1.s1.p5"] = np.nan
    found = detect_steps(signal)
    assert [s.grams for s in found.steps] == [pytest.approx(-400.0, abs=6.0)]
    assert any("p5 lost" in w for w in found.warnings)


def test_a_shelf_whose_samples_all_stop_for_a_second_keeps_its_step() -> None:
    signal = inject_step(idle(12.0), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -400.0, 6.0)
    found = detect_steps(signal[(signal.index < 5.6) | (signal.index > 6.6)])
    assert [s.grams for s in found.steps] == [pytest.approx(-400.0, abs=6.0)]
    assert any("gaps" in w for w in found.warnings)


def test_a_step_beside_a_stuck_plate_is_found_and_less_sure() -> None:
    signal = inject_step(idle(20.0), {"g1.s1.p4": 1.0}, -300.0, 12.0)
    signal.loc[signal.index > 8.0, "g1.s1.p5"] = 1000.0
    found = detect_steps(signal)
    assert [s.grams for s in found.steps] == [pytest.approx(-300.0, abs=6.0)]
    assert found.steps[0].grams_sd > 50
    assert any("p5" in w and "stuck" in w for w in found.warnings)


def test_a_lean_on_the_plate_beside_does_not_bias_a_pick() -> None:
    signal = inject_step(idle(14.0), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -300.0, 7.0)
    for plate in ("g1.s1.p6", "g1.s1.p3"):
        signal = press(signal, plate, 150.0, 6.4, 1.3)
    assert [s.grams for s in detect_steps(signal).steps] == [pytest.approx(-300.0, abs=6.0)]


def test_an_item_that_slides_to_the_next_plate_is_no_step() -> None:
    signal = inject_step(idle(14.0), {"g1.s1.p4": -1.0, "g1.s1.p5": 1.0}, 130.0, 7.0, ramp_s=3.0)
    assert detect_steps(signal).steps == ()


def test_the_standard_error_is_honest() -> None:
    """Errors of many steps, in their own standard errors, scatter by about one."""
    errors = []
    for seed in range(40):
        for at in (4.0, 10.0, 16.0):
            signal = inject_step(idle(20.0, seed), {"g1.s1.p4": 0.5, "g1.s1.p5": 0.5}, -300.0, at)
            errors += [(s.grams + 300.0) / s.grams_sd for s in detect_steps(signal).steps]
    assert len(errors) == 120
    assert 0.5 < np.std(errors) < 1.3


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


def test_a_long_stream_is_held_for_some_seconds_only() -> None:
    """Three minutes in chunks of a second, with a step in each: samples and memory of steps do not grow."""
    detector = ShelfStepDetector("g1.s1", PLATES, 60.0)
    signal, found, held = idle(60.0, seed=9).to_numpy(), 0, []
    for second in range(180):
        chunk = signal[second % 60 * 60 : (second % 60 + 1) * 60].copy()
        chunk[:, 5] += 300.0 * (second // 20 % 2)
        found += len(detector.update(second + np.arange(60) / 60.0, chunk))
        held.append((len(detector._t), len(detector._found)))
    assert max(samples for samples, _ in held) <= 18 * 60
    assert max(known for _, known in held) <= 3
    assert found >= 7
