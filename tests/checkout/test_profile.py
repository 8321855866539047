"""The profile's laws: probabilities, sampling, its own uncertainty, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from checkout.errors import InputError
from checkout.profile import (
    CELLS,
    CONFIDENCES,
    OUTCOMES,
    Cell,
    Judgements,
    PerceptionProfile,
    predicted_rates,
    rates_of,
)
from tests.conftest import PROJECT, make_profile

SOME_CELLS = [
    Cell.of(a, q, n, k) for a in ("pick", "put_back") for q in (1, 3) for n in (0, 1, 5) for k in (0, 2)
]


def test_outcome_probabilities_sum_to_one(profile: PerceptionProfile) -> None:
    drawn = profile.resample(np.random.default_rng(0))
    for cell in SOME_CELLS:
        assert sum(drawn.outcome_probabilities(cell).values()) == pytest.approx(1.0)


def test_draws_follow_the_probabilities(profile: PerceptionProfile) -> None:
    rng = np.random.default_rng(1)
    drawn = profile.expected()
    cell = Cell.of("pick", 1, 1, 0)
    shares = (
        np.bincount(drawn.draw(np.full(200_000, cell.code), rng).outcome, minlength=len(OUTCOMES)) / 200_000
    )
    for outcome, p in drawn.outcome_probabilities(cell).items():
        assert shares[OUTCOMES.index(outcome)] == pytest.approx(
            p, abs=4 * np.sqrt(p * (1 - p) / 200_000) + 1e-5
        )


def test_a_cell_and_its_number_are_the_same() -> None:
    assert [Cell.of_code(code).code for code in range(CELLS)] == list(range(CELLS))
    assert len({cell.code for cell in SOME_CELLS}) == CELLS


def test_events_of_many_conditions_are_drawn_at_once_as_one_by_one(profile: PerceptionProfile) -> None:
    """The atoms of each cell hold its own outcomes, whatever else is drawn with it."""
    drawn = profile.expected()
    codes = np.repeat([Cell.of("pick", 1, 0, 0).code, Cell.of("put_back", 2, 2, 1).code], 100_000)
    found = drawn.draw(codes, np.random.default_rng(3)).outcome
    for code in np.unique(codes):
        right = np.mean(found[codes == code] == OUTCOMES.index("right"))
        want = drawn.outcome_probabilities(Cell.of_code(int(code)))["right"]
        assert right == pytest.approx(want, abs=0.005)


def test_only_a_missed_event_has_no_confidences(profile: PerceptionProfile) -> None:
    rng = np.random.default_rng(2)
    drawn = profile.expected()
    seen = drawn.draw(np.arange(3000) % CELLS, rng)
    assert (np.isnan(seen.confidence).all(axis=1) == (seen.outcome == OUTCOMES.index("missed"))).all()
    assert not np.isnan(seen.confidence[seen.outcome != OUTCOMES.index("missed")]).any()


def test_conditions_of_the_moment_matter() -> None:
    base = make_profile(size=400)
    table = base.judged.assign(
        people_near=[1] * 200 + [2] * 200, outcome=["right"] * 200 + ["wrong_shopper"] * 200
    )
    table[["item_confidence", "action_confidence", "shopper_confidence"]] = 0.9
    crowded = PerceptionProfile("x", (), table, base.phantoms, 10.0).expected()
    alone = crowded.outcome_probabilities(Cell.of("pick", 1, 1, 1))["wrong_shopper"]
    among = crowded.outcome_probabilities(Cell.of("pick", 1, 2, 1))["wrong_shopper"]
    assert alone < 0.35
    assert among > 0.65


def test_who_is_alone_is_taken_for_nobody_else() -> None:
    confused = make_profile((0.5, 0.0, 0.0, 0.0, 0.5)).expected()
    for cell in SOME_CELLS:
        assert (confused.outcome_probabilities(cell)["wrong_shopper"] == 0) == (cell.people_near == 0)


def named(taken: str, *, minutes: float = 2.0) -> PerceptionProfile:
    """One recording of two shoppers near each other, an event every two seconds; `x` where a is taken for b."""
    base = make_profile(size=10)
    rows = [
        {"recording": "r", "t_s": 2.0 * i, "shopper": who, "perceived_shopper": "b" if wrong else "a",
         "outcome": "wrong_shopper" if wrong else "right"}
        for i, mark in enumerate(taken) for who, wrong in [("a", mark == "x")]
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(
        action="pick", quantity=1, people_near=1, look_alikes=0, same_weight=0, occlusion=0.0,
        item_confidence=0.9, action_confidence=0.9, shopper_confidence=0.9,
    )  # fmt: skip
    return PerceptionProfile("x", (), table, base.phantoms, minutes)


def test_three_events_in_a_row_for_another_are_an_exchange_and_fewer_are_not() -> None:
    found = named("..xx.xxxx..xxx").exchanges
    assert [run.tolist() for run in found.runs] == [[5, 6, 7, 8], [11, 12, 13]]
    assert found.ended == 1
    assert found.run_minutes == pytest.approx((4 * 2 + 2 * 2) / 60)
    assert found.pair_minutes == pytest.approx(2.0)
    rates = named("..xx.xxxx..xxx").expected()
    assert rates.exchanges_per_pair_minute == pytest.approx(1.0)
    assert rates.exchange_ends_per_minute == pytest.approx(5.0)


def test_events_of_an_exchange_are_no_single_errors() -> None:
    cell = Cell.of("pick", 1, 1, 0)
    alone = named("." * 60).expected().outcome_probabilities(cell)["wrong_shopper"]
    run = named("." * 60 + "x" * 20).expected().outcome_probabilities(cell)["wrong_shopper"]
    single = named("...x" * 20).expected().outcome_probabilities(cell)["wrong_shopper"]
    assert run < 2 * alone + 0.02 < single


def test_events_in_an_exchange_come_from_one_measured_run() -> None:
    drawn = named("..xx.xxxx..xxx").expected()
    rng = np.random.default_rng(0)
    assert sorted(set(drawn.draw_runs(1000, rng).tolist())) == [0, 1]
    seen = drawn.draw_in_runs(np.ones(50, int), rng)
    assert set(seen.outcome.tolist()) == {OUTCOMES.index("wrong_shopper")}


def test_a_profile_without_names_has_no_exchanges_and_says_so(profile: PerceptionProfile) -> None:
    assert profile.exchanges.runs == ()
    assert profile.resample(np.random.default_rng(0)).exchanges_per_pair_minute == 0
    assert any("does not say for whom" in line for line in profile.warnings())
    assert not any("does not say for whom" in line for line in named("...").warnings())


def test_events_that_are_alike_within_recordings_are_worth_fewer() -> None:
    alike = make_profile(size=400)
    mixed = alike.judged.assign(
        recording=[f"r{i % 20}" for i in range(400)], outcome=["right", "missed"] * 200
    )
    grouped = mixed.assign(
        recording=[f"r{i // 20}" for i in range(400)], outcome=["right"] * 200 + ["missed"] * 200
    )
    for table, low, high in ((mixed, 15, 25), (grouped, 15, 25)):
        table = table.assign(
            outcome=np.where(table["recording"].str[1:].astype(int) % 2 == 0, "right", "missed")
        )
        table.loc[
            table["outcome"] == "right", ["item_confidence", "action_confidence", "shopper_confidence"]
        ] = 0.9
        worth = PerceptionProfile("x", (), table, alike.phantoms, 10.0).effective_events
        assert low < worth < high


def test_fewer_judged_events_mean_more_uncertainty() -> None:
    spreads = []
    for size in (30, 300, 3000):
        p = make_profile((0.6, 0.1, 0.1, 0.1, 0.1), size=size)
        rng = np.random.default_rng(3)
        rates = [p.resample(rng).outcome_probabilities(Cell.of("pick", 1, 1, 0))["right"] for _ in range(200)]
        spreads.append(np.std(rates))
    assert spreads[0] > 1.5 * spreads[1] > 2.25 * spreads[2]


def test_an_error_that_was_never_seen_is_still_possible() -> None:
    flawless = make_profile((1.0, 0.0, 0.0, 0.0, 0.0), size=50)
    assert 0 < flawless.expected().outcome_probabilities(SOME_CELLS[0])["missed"] < 0.05


@pytest.mark.parametrize("with_names", [False, True])
def test_a_file_gives_back_the_same_profile(
    profile: PerceptionProfile, tmp_path: Path, with_names: bool
) -> None:
    profile = named("..xx.xxxx..xxx") if with_names else profile
    profile.save(tmp_path / "p.json")
    again = PerceptionProfile.load(tmp_path / "p.json")
    pd.testing.assert_frame_equal(again.judged, profile.judged, atol=1e-6, check_dtype=False, check_like=True)
    pd.testing.assert_frame_equal(again.phantoms, profile.phantoms, check_dtype=False)
    assert (again.detector, again.recordings, again.shopper_minutes) == (
        profile.detector,
        profile.recordings,
        profile.shopper_minutes,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "schema: 9 is not the version"),
        ({"shopper_minutes": 0}, "shopper_minutes"),
        ({"judged": []}, "holds no perceived event"),
        ({"judged": [{"outcome": "great", "item_confidence": 0.5}]}, "judged.outcome: 'great'"),
    ],
)
def test_a_faulty_file_is_named(
    profile: PerceptionProfile, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    profile.save(tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text()) | change
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        PerceptionProfile.load(tmp_path / "p.json")


def test_outcomes_are_the_ones_of_the_design() -> None:
    assert set(OUTCOMES) == {"right", "missed", "wrong_product", "wrong_quantity", "wrong_shopper"}


def sales_of(table: pd.DataFrame, size: int = 2) -> tuple[np.ndarray, np.ndarray, Judgements]:
    """Judged events as sales of some events each, within their recordings: sale, conditions, what was made of them."""
    place = table.groupby("recording").cumcount()
    length = table.groupby("recording")["recording"].transform("size")
    table = table[place < length // size * size]
    sale = pd.factorize(
        table["recording"] + "/" + (table.groupby("recording").cumcount() // size).astype(str)
    )[0]
    conditions = table[["action", "quantity", "people_near", "look_alikes"]]
    codes = np.array([Cell.of(*row).code for row in conditions.itertuples(index=False, name=None)])
    outcome = np.array([OUTCOMES.index(o) for o in table["outcome"]])
    return sale, codes, Judgements(outcome, table[list(CONFIDENCES)].to_numpy(float))


def part(profile: PerceptionProfile, names: list[str]) -> PerceptionProfile:
    """The profile of some of its recordings."""
    rows = profile.judged[profile.judged["recording"].isin(names)].reset_index(drop=True)
    ghosts = profile.phantoms[profile.phantoms["recording"].isin(names)].reset_index(drop=True)
    return PerceptionProfile(profile.detector, (), rows, ghosts, 0.5 * profile.shopper_minutes)


def holds(fitted: PerceptionProfile, others: PerceptionProfile, rng: np.random.Generator) -> np.ndarray:
    """Whether review and escape rate of the others lie in the fitted profile's 95 % interval, bool [2].

    The others are few recordings too: their rates are drawn anew over them, and the interval is one of the difference.
    """
    thresholds = (0.6, 0.6, 0.6)
    sale, codes, judged = sales_of(others.judged)
    predicted = predicted_rates(fitted, sale, codes, thresholds, rng)
    versions = [others.resample(rng) for _ in predicted]
    own = [rates_of(sale, version.draw(codes, rng), thresholds) for version in versions]
    centre = np.mean(own, axis=0)
    spread = np.array(own) - centre
    low, high = np.quantile(predicted - spread, [0.025, 0.975], axis=0)
    rates = rates_of(sale, judged, thresholds)
    return np.asarray((low <= rates) & (rates <= high))


def test_one_half_of_the_shipped_recordings_predicts_the_other() -> None:
    """Review and escape rate, at thresholds that review some of the sales, over halves drawn at random."""
    shipped = PerceptionProfile.load(PROJECT / "models" / "profile.json")
    names = sorted(shipped.judged["recording"].unique())
    rng = np.random.default_rng(5)
    held = []
    for _ in range(5):
        first, second = np.array_split(rng.permutation(names), 2)
        held.append(holds(part(shipped, list(first)), part(shipped, list(second)), rng))
    review, escape = np.mean(held, axis=0)
    assert review >= 0.8
    assert escape >= 0.8
