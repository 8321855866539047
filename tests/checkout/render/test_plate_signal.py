"""What the load cells send: noise, offsets, full scale, and cells that fail, each as the real ones do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout.render.people import Build
from checkout.render.plate_signal import FULL_SCALE_G, Faults, PlateSignals, plate_signals
from checkout.render.script import Key, Person, Script, Stage
from checkout.render.shelf_physics import ShelfMotion
from checkout.weight.noise import DISTURBED, QUIET, PlateNoise, convert, draw_plate_noise

SECONDS, RATE_HZ = 20.0, 60
PLATES = [f"g1.s{shelf}.p{plate}" for shelf in (1, 2) for plate in range(1, 13)]
FAR, NEAR = (0.0, -1.7), (0.0, -0.5)


def still(load_g: float = 500.0) -> ShelfMotion:
    """Two shelves on which nothing moves."""
    t_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    return ShelfMotion(t_s, {plate: np.full(len(t_s), load_g) for plate in PLATES})


def visited(*visits: tuple[float, float]) -> tuple[Script, Stage]:
    """People who come to the shelf at a time and go away at another."""
    build = Build.draw(np.random.default_rng(0))
    walks = [
        [(0.0, *FAR), (a - 0.5, *FAR), (a, *NEAR), (b, *NEAR), (b + 0.5, *FAR), (SECONDS, *FAR)]
        for a, b in visits
    ]
    people = tuple(Person(f"s{i + 1}", build) for i in range(len(visits)))
    script = Script(SECONDS, people, walks, [[Key(0.0, "rest")] for _ in visits], {})
    return script, Stage(script)


def sent(
    seed: int = 0,
    *,
    faults: Faults | None = None,
    motion: ShelfMotion | None = None,
    visits: tuple[tuple[float, float], ...] = (),
) -> PlateSignals:
    return plate_signals(motion or still(), *visited(*visits), np.random.default_rng(seed), faults)


def shaking_g(signals: PlateSignals, begin_s: float, end_s: float) -> float:
    """Median over the plates of the standard deviation within a second."""
    rows = (signals.t_s >= begin_s) & (signals.t_s < end_s)
    grams = np.column_stack([signals.grams[p][rows] for p in PLATES])
    seconds = grams[: len(grams) // RATE_HZ * RATE_HZ].reshape(-1, RATE_HZ, len(PLATES))
    return float(np.median(seconds.std(axis=1)))


def test_the_same_seed_gives_the_same_samples() -> None:
    one, two, other = sent(1), sent(1), sent(2)
    assert all(one.grams[p].tobytes() == two.grams[p].tobytes() for p in PLATES)
    assert not any(np.array_equal(one.grams[p], other.grams[p]) for p in PLATES)


def test_plates_are_not_zeroed() -> None:
    """With nothing on them they stand somewhere between zero and two and a half kilograms, each elsewhere."""
    means = np.array([signal.mean() for signal in sent(motion=still(0.0)).grams.values()])
    assert ((means > -30) & (means < 2530)).all()
    assert means.std() > 300
    assert len(set(np.round(means))) == len(PLATES)


def test_a_change_of_load_comes_through_as_it_is() -> None:
    motion = still()
    motion.grams[PLATES[3]][600:] += 1000.0
    calm, changed = sent(3), sent(3, motion=motion)
    difference = changed.grams[PLATES[3]] - calm.grams[PLATES[3]]
    assert np.abs(difference[:590]).max() == 0
    # Gain errors are 0.2 %.
    assert difference[610:].mean() == pytest.approx(1000, abs=8)
    others = [p for p in PLATES if p != PLATES[3]]
    assert all(np.array_equal(calm.grams[p], changed.grams[p]) for p in others)


def test_noise_grows_with_the_people_at_the_shelf() -> None:
    signals = sent(4, visits=((6.0, 19.0), (13.0, 19.0)))
    nobody, one, two = shaking_g(signals, 0, 5), shaking_g(signals, 7, 12), shaking_g(signals, 14, 19)
    assert nobody < 1.3 * QUIET.sd_median_g
    assert 1.5 * nobody < one < DISTURBED.sd_median_g * 1.3
    assert one < two


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_no_plate_sends_more_than_its_full_scale(seed: int) -> None:
    signals = sent(seed, faults=Faults(overloaded=0.5), motion=still(2500.0))
    for plate, signal in signals.grams.items():
        assert signal.max() <= FULL_SCALE_G + QUIET.step_g / 2
        if plate in signals.faulty:
            assert signal.max() >= FULL_SCALE_G - QUIET.step_g
        else:
            # A load just under the full scale is sent as the full scale.
            assert (signal >= FULL_SCALE_G - QUIET.step_g).mean() < 0.01


def test_a_plate_at_full_scale_stays_there_and_is_named() -> None:
    motion = still()
    motion.grams[PLATES[0]][600:900] = 25_000.0
    signals = sent(5, motion=motion)
    assert list(signals.faulty) == [PLATES[0]]
    ((begin, end),) = signals.faulty[PLATES[0]]
    assert begin == pytest.approx(600 / RATE_HZ, abs=1e-9)
    assert end == pytest.approx(899 / RATE_HZ, abs=1e-9)
    top = signals.grams[PLATES[0]][602:900]
    assert np.ptp(top) == 0
    assert top[0] == pytest.approx(FULL_SCALE_G, abs=QUIET.step_g)


def test_lost_samples_are_missing_and_named() -> None:
    signals = sent(6, faults=Faults(dropping=1.0))
    assert set(signals.faulty) == set(PLATES)
    for plate, signal in signals.grams.items():
        ((begin, end),) = signals.faulty[plate]
        lost = np.isnan(signal)
        assert 0.3 <= end - begin <= 2.0
        assert np.array_equal(lost, (signals.t_s >= begin) & (signals.t_s < end))


def test_a_stuck_plate_repeats_one_value_to_the_end_and_is_named() -> None:
    signals = sent(7, faults=Faults(stuck=1.0))
    assert set(signals.faulty) == set(PLATES)
    for plate, signal in signals.grams.items():
        ((begin, end),) = signals.faulty[plate]
        after = signals.t_s >= begin
        assert np.ptp(signal[after]) == 0
        assert np.ptp(signal[~after]) > 0
        assert end == signals.t_s[-1]


def test_about_as_many_plates_fail_as_asked_for() -> None:
    names = [len(sent(seed, faults=Faults(dropping=0.2, stuck=0.1)).faulty) for seed in range(12)]
    # 28 % of 288 plates, three standard deviations.
    assert np.mean(names) / len(PLATES) == pytest.approx(0.28, abs=0.08)
    assert not sent(0).faulty


@given(st.floats(0.0, 0.6), st.floats(0.05, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_converter_repeats_its_share_of_samples_and_sends_whole_steps(
    held: float, step: float, seed: int
) -> None:
    noise = PlateNoise(1.0, 0.0, 0.0, 0.0, step, held, QUIET.spectrum)
    rng = np.random.default_rng(seed)
    load = np.cumsum(rng.uniform(3 * step, 9 * step, (2000, 3)), axis=0)
    out = convert(load, rng, noise)
    assert (np.diff(out, axis=0) == 0).mean() == pytest.approx(held, abs=0.04)
    assert np.allclose(out / step, np.round(out / step), atol=1e-6)
    assert np.allclose(out[0], load[0], atol=step / 2 + 1e-9)
    assert (np.diff(out, axis=0) >= 0).all()


def test_a_plate_never_sends_a_load_that_is_yet_to_come() -> None:
    load = np.arange(1000.0)[:, None] * np.ones(4)
    out = convert(load, np.random.default_rng(8), QUIET)
    assert (out <= load + QUIET.step_g / 2 + 1e-9).all()
    fresh = np.abs(out - load) <= QUIET.step_g / 2 + 1e-9
    assert fresh.mean() == pytest.approx(1 - QUIET.held, abs=0.03)


def test_the_noise_has_the_strength_and_the_common_part_that_were_measured() -> None:
    grams = draw_plate_noise(60 * 60, 60, np.random.default_rng(9))
    seconds = grams.reshape(60, 60, 60)
    sd = np.median(seconds.std(axis=1), axis=0)
    assert np.median(sd) == pytest.approx(QUIET.sd_median_g, rel=0.3)
    assert np.log(sd).std() == pytest.approx(QUIET.sd_spread, rel=0.3)
    within = (seconds - seconds.mean(axis=1, keepdims=True)).reshape(-1, 60)
    matrix = np.corrcoef(within.T)
    assert matrix[np.triu_indices(60, 1)].mean() == pytest.approx(QUIET.common, abs=0.08)
