"""Identities: hand-computed cases, and TrackEval as the independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from checkout.evaluation.identities import (
    HOTA_IOUS,
    Frame,
    IdentityCounts,
    IdentityMetric,
    identity_counts,
    sequence_of,
)
from checkout.recording import Entry
from checkout.vision.tracks import HandSighting, PersonSighting

A, B = (0.0, 0.0, 10.0, 20.0), (50.0, 0.0, 60.0, 20.0)


def boxes(rows: list[tuple[int, str, str, tuple[float, ...], float]]) -> pd.DataFrame:
    columns = ["camera", "frame", "label", "id", "x1", "y1", "x2", "y2", "visible"]
    return pd.DataFrame(
        [("cam0", f, label, who, *box, seen) for f, label, who, box, seen in rows], columns=columns
    )


def people(frames: int) -> pd.DataFrame:
    """Two people who stand still, fully seen."""
    places = (("anna", A), ("ben", B))
    return boxes([(f, "person", who, box, 1.0) for f in range(frames) for who, box in places])


def counts_of(found: list[tuple[int, Any, tuple[float, ...]]], frames: int = 10) -> IdentityCounts:
    return identity_counts(sequence_of(people(frames), found, range(frames))[0])


def test_names_that_stay_score_one() -> None:
    found = [(f, who, box) for f in range(10) for who, box in (("x", A), ("y", B))]
    counts = counts_of(found)
    assert (counts.matched, counts.missed, counts.false, counts.switches) == (20, 0, 0, 0)
    assert (counts.mota, counts.idf1, counts.hota) == (1.0, 1.0, 1.0)


def test_one_exchange_of_two_people_is_two_switches() -> None:
    found = [(f, "xy"[(f >= 5) ^ i], box) for f in range(10) for i, box in enumerate((A, B))]
    counts = counts_of(found)
    assert counts.switches == 2
    assert counts.mota == pytest.approx(1 - 2 / 20)
    assert counts.idf1 == pytest.approx(2 * 10 / 40)  # each identity fits its person in half of the frames
    # Every pair of person and identity is together in 5 frames, of 15 in which either is there.
    assert counts.hota == pytest.approx(np.sqrt(5 / 15))


def test_a_person_lost_and_found_under_another_identity_is_one_switch() -> None:
    found = [(f, "y", B) for f in range(10)]
    found += [(f, "x" if f < 4 else "z", A) for f in range(10) if f not in (4, 5)]
    counts = counts_of(found)
    assert (counts.switches, counts.missed, counts.false) == (1, 2, 0)
    assert counts.id_matched == 10 + 4


def test_a_box_elsewhere_is_a_miss_and_a_false_one() -> None:
    counts = counts_of([(0, "x", (0.0, 14.0, 10.0, 34.0))], frames=1)  # overlap 60 / 340
    assert (counts.matched, counts.missed, counts.false) == (0, 2, 1)
    assert counts.mota == pytest.approx(1 - 3 / 2)


def test_a_hidden_box_is_neither_asked_for_nor_held_against_anybody() -> None:
    true = boxes([(0, "hand", "anna.left", A, 0.1), (0, "hand", "anna.right", B, 1.0)])
    counts = identity_counts(sequence_of(true, [(0, 1, A), (0, 2, B)], [0], counted_from=0.25)[0])
    assert (counts.true, counts.found, counts.matched, counts.false) == (1, 1, 1, 0)


def test_a_hand_found_in_a_frame_that_truly_shows_none_is_false() -> None:
    true = boxes([(0, "hand", "anna.left", A, 1.0)])
    counts = identity_counts(sequence_of(true, [(0, 1, A), (1, 1, A), (2, 1, A)], [0, 1])[0])
    assert (counts.true, counts.found, counts.false) == (1, 2, 1)


def random_sequence(rng: np.random.Generator) -> list[Frame]:
    frames = []
    for _ in range(40):
        true = rng.permutation(5)[: rng.integers(0, 6)]
        found = rng.permutation(6)[: rng.integers(0, 7)]
        # A thing mostly bears its own number's identity, with enough confusion to switch now and then.
        iou = rng.uniform(0.0, 0.7, (len(true), len(found)))
        iou += 0.3 * (true[:, None] == found[None, :])
        frames.append(Frame(true, found, iou))
    return frames


def by_trackeval(sequences: list[list[Frame]]) -> dict[str, Any]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    found: dict[str, Any] = {}
    for metric in (CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False}), HOTA()):
        results = {}
        for number, sequence in enumerate(sequences):
            data = {
                "num_timesteps": len(sequence),
                "num_gt_dets": sum(len(f.true) for f in sequence),
                "num_tracker_dets": sum(len(f.found) for f in sequence),
                "num_gt_ids": 5,
                "num_tracker_ids": 6,
                "gt_ids": [f.true for f in sequence],
                "tracker_ids": [f.found for f in sequence],
                "similarity_scores": [f.iou for f in sequence],
            }
            results[str(number)] = metric.eval_sequence(data)
        found |= metric.combine_sequences(results)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_trackeval_on_random_sequences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sequences = [random_sequence(rng) for _ in range(3)]
    ours = sum(map(identity_counts, sequences), IdentityCounts())
    theirs = by_trackeval(sequences)
    assert ours.switches == theirs["IDSW"] > 0
    assert (ours.matched, ours.missed, ours.false) == (theirs["CLR_TP"], theirs["CLR_FN"], theirs["CLR_FP"])
    assert ours.mota == pytest.approx(theirs["MOTA"])
    assert ours.id_matched == theirs["IDTP"]
    assert ours.idf1 == pytest.approx(theirs["IDF1"])
    assert len(HOTA_IOUS) == len(theirs["HOTA"])
    np.testing.assert_allclose(ours.hota_matched, theirs["HOTA_TP"])
    assert ours.hota == pytest.approx(np.mean(theirs["HOTA"]))


def judged(name_of: dict[str, str], accounts: tuple[str, str] = ("anna", "ben")) -> IdentityMetric:
    """Ten frames in which people are called by these names, and one hand that keeps its track."""
    truth = pd.concat(
        [people(10), boxes([(f, "hand", "anna.left", (2.0, 2.0, 6.0, 6.0), 1.0) for f in range(10)])]
    )
    detections = pd.DataFrame({"camera": "cam0", "t_s": [f / 10 for f in range(10)], "frame": range(10)})
    hands = [HandSighting("cam0", f / 10, 7, (2.0, 2.0, 6.0, 6.0), 0.9, 0.0) for f in range(10)]
    found = [
        PersonSighting("cam0", f / 10, name_of[who], box)
        for f in range(10)
        for who, box in (("anna", A), ("ben", B))
        if who in name_of
    ]
    metric = IdentityMetric()
    entries = [
        Entry(account, 0.0, (0.0, 0.0), person)
        for person, account in zip(("anna", "ben"), accounts, strict=True)
    ]
    metric.update(truth, detections, hands, found, {"cam0": 10.0}, entries)
    return metric


def test_a_name_that_is_wrong_throughout_is_no_switch_but_a_wrong_name() -> None:
    metric = judged({"anna": "ben", "ben": "anna"})
    hand, person = metric.compute()
    assert (hand.label, hand.switches, hand.idf1, hand.idf1_ci95) == ("hand", 0, 1.0, None)
    assert (person.switches, person.idf1) == (0, 1.0)
    naming = metric.naming()
    assert naming is not None
    assert (naming.person_frames, naming.named, naming.wrong_person, naming.wrong_account) == (
        20,
        1.0,
        1.0,
        1.0,
    )


def test_people_of_one_group_may_be_taken_for_each_other_without_a_wrong_account() -> None:
    naming = judged({"anna": "ben", "ben": "anna"}, accounts=("family", "family")).naming()
    assert naming is not None
    assert (naming.wrong_person, naming.wrong_account) == (1.0, 0.0)


def test_who_is_not_named_is_not_wrongly_named() -> None:
    naming = judged({"anna": "anna"}).naming()
    assert naming is not None
    assert (naming.named, naming.wrong_account) == (0.5, 0.0)


def test_boxes_whose_ids_are_no_names_say_nothing_of_naming() -> None:
    metric = IdentityMetric()
    detections = pd.DataFrame({"camera": ["cam0"], "t_s": [0.0], "frame": [0]})
    metric.update(people(1), detections, [], [PersonSighting("cam0", 0.0, "p1", A)], {"cam0": 10.0}, [])
    assert metric.naming() is None
    (person,) = metric.compute()
    assert (person.matched, person.boxes) == (1, 2)
