"""Who keeps their identity: switches, MOTA, IDF1 and HOTA of followed hands and people, and wrong names.

Definitions: CLEAR MOT (Bernardin and Stiefelhagen 2008) for misses, false boxes, switches and MOTA; identity
measures (Ristani et al. 2016) for IDF1; HOTA (Luiten et al. 2021). The details follow TrackEval, with which the
tests compare. Each camera of each recording is one sequence; sums over sequences are taken before any ratio.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from checkout.evaluation.detections import COUNTED_FROM
from checkout.recording import Entry
from checkout.vision.detector import overlaps
from checkout.vision.tracks import HandSighting, PersonSighting

SAME_BOX_IOU = 0.5
"""Published: the overlap from which CLEAR MOT and IDF1 call two boxes the same (MOTChallenge)."""
HOTA_IOUS = np.arange(0.05, 0.99, 0.05)
"""Published: the overlaps over which HOTA is averaged."""
RESAMPLES = 1000


class Frame(NamedTuple):
    """One frame of a sequence: true ids [n], found ids [m] (numbers from 0) and their boxes' overlap [n, m]."""

    true: np.ndarray
    found: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class IdentityCounts:
    """What is counted in sequences; counts of several add up.

    Attributes:
        matched, missed, false: true boxes found, not found, and found boxes that are none.
        switches: how often a true thing's box bears another identity than the last time it was found.
        id_matched: frames in which things bear the one identity that fits them best over the whole sequence.
        hota_matched, hota_association: at each of `HOTA_IOUS`, matches and their summed association accuracy.
    """

    true: int = 0
    found: int = 0
    matched: int = 0
    missed: int = 0
    false: int = 0
    switches: int = 0
    id_matched: int = 0
    hota_matched: np.ndarray = field(default_factory=lambda: np.zeros(len(HOTA_IOUS)))
    hota_association: np.ndarray = field(default_factory=lambda: np.zeros(len(HOTA_IOUS)))

    def __add__(self, other: IdentityCounts) -> IdentityCounts:
        return IdentityCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def mota(self) -> float:
        """1 - (missed + false + switches) / true; below zero when there is more wrong than there is to find."""
        return 1.0 - (self.missed + self.false + self.switches) / max(1, self.true)

    @property
    def idf1(self) -> float:
        return 2.0 * self.id_matched / max(1, self.true + self.found)

    @property
    def hota(self) -> float:
        either = np.maximum(1.0, self.true + self.found - self.hota_matched)
        return float(np.mean(np.sqrt(self.hota_association / either)))


@dataclass(frozen=True)
class IdentityScore:
    """Identities of one kind of thing.

    Attributes:
        label: "hand" or "person".
        identity: what is compared with the true identity: "track" or "name".
        switches_per_minute: per minute that a thing was truly in a camera's picture.
        idf1_ci95: bootstrap over recordings; None with a single recording.
    """

    label: str
    identity: str
    boxes: int
    found: int
    matched: int
    switches: int
    switches_per_minute: float
    mota: float
    idf1: float
    idf1_ci95: tuple[float, float] | None
    hota: float


@dataclass(frozen=True)
class NamingScore:
    """How often a person is called by the wrong name; a name stands for the account that is charged.

    Attributes:
        person_frames: true person boxes that count, of all frames and cameras.
        named: share of them that got a name.
        wrong_person: share of the named that got another person's name.
        wrong_account: share of the named that got the name of somebody who pays with another account.
        wrong_account_ci95: bootstrap over recordings; None with a single recording.
    """

    person_frames: int
    named: float
    wrong_person: float
    wrong_account: float
    wrong_account_ci95: tuple[float, float] | None


@dataclass
class IdentityMetric:
    """Collects recordings' true boxes and what was followed, then scores all of them.

    Names are judged only where the truth's boxes bear the names of people who entered.
    """

    seed: int = 1
    _counts: dict[str, list[IdentityCounts]] = field(default_factory=lambda: {"hand": [], "person": []})
    _minutes: dict[str, float] = field(default_factory=lambda: {"hand": 0.0, "person": 0.0})
    _names: list[tuple[int, int, int, int]] = field(default_factory=list)

    def update(
        self,
        true: pd.DataFrame,
        detections: pd.DataFrame,
        hands: Sequence[HandSighting],
        people: Sequence[PersonSighting],
        fps: Mapping[str, float],
        entries: Sequence[Entry] = (),
    ) -> None:
        """Add one recording.

        Args:
            true: `Recording.boxes`.
            detections: `Perceived.detections`; says which frame a time belongs to.
            fps: frames per second of each camera that was watched.
        """
        seen = detections[["camera", "t_s", "frame"]].drop_duplicates().itertuples(index=False)
        frame_of = {(camera, t_s): int(frame) for camera, t_s, frame in seen}
        followed: dict[str, list[tuple[str, int, Hashable, Sequence[float]]]] = {
            "hand": [(h.camera, frame_of[h.camera, h.t_s], h.track, h.box_xyxy) for h in hands],
            "person": [(p.camera, frame_of[p.camera, p.t_s], p.person, p.box_xyxy) for p in people],
        }
        account = {e.person: e.shopper for e in entries}
        names = np.zeros(4, int)
        for label, rows in followed.items():
            total = IdentityCounts()
            boxes = true[(true["label"] == label) & true["camera"].isin(list(fps))]
            for camera, own in boxes.groupby("camera"):
                frames = np.unique(true["frame"][true["camera"] == camera])
                sequence, true_ids, found_ids = sequence_of(
                    own, [row[1:] for row in rows if row[0] == camera], frames.tolist(), COUNTED_FROM[label]
                )
                counts = identity_counts(sequence)
                total += counts
                apart_s = float(np.median(np.diff(frames))) / fps[str(camera)] if len(frames) > 1 else 0.0
                self._minutes[label] += counts.true * apart_s / 60.0
                if label == "person" and set(true_ids) <= set(account):
                    names += _wrong_names(sequence, true_ids, found_ids, account)
            if len(boxes):
                self._counts[label].append(total)
        if names[0]:
            self._names.append(tuple(map(int, names)))  # type: ignore[arg-type]

    def compute(self) -> list[IdentityScore]:
        """A score for hands and for people; a kind without true boxes is left out."""
        scores = []
        for label, identity in (("hand", "track"), ("person", "name")):
            if not self._counts[label]:
                continue
            total = sum(self._counts[label], IdentityCounts())
            table = np.array([(2 * c.id_matched, c.true + c.found) for c in self._counts[label]], float)
            minutes = self._minutes[label]
            scores.append(
                IdentityScore(
                    label, identity, total.true, total.found, total.matched, total.switches,
                    total.switches / minutes if minutes else 0.0,
                    total.mota, total.idf1, self._interval(table), total.hota,
                )
            )  # fmt: skip
        return scores

    def naming(self) -> NamingScore | None:
        """How often people were called by the wrong name; None where no truth says who is who."""
        if not self._names:
            return None
        table = np.array(self._names, float)
        frames, named, person, account = table.sum(axis=0)
        return NamingScore(
            int(frames),
            named / frames,
            person / max(1.0, named),
            account / max(1.0, named),
            self._interval(table[:, [3, 1]]),
        )

    def _interval(self, table: np.ndarray) -> tuple[float, float] | None:
        """Percentile bootstrap over recordings of the ratio of two columns' sums."""
        if len(table) < 2:
            return None
        draws = np.random.default_rng(self.seed).integers(len(table), size=(RESAMPLES, len(table)))
        sums = table[draws].sum(axis=1)
        low, high = np.quantile(sums[:, 0] / np.maximum(1.0, sums[:, 1]), [0.025, 0.975])
        return float(low), float(high)


def sequence_of(
    true: pd.DataFrame,
    found: Iterable[tuple[int, Hashable, Sequence[float]]],
    frames: Sequence[int],
    counted_from: float = 0.0,
) -> tuple[list[Frame], list[Hashable], list[Hashable]]:
    """One camera's frames in order, and whose the numbers of true and found identities are.

    As in MOTChallenge, a true box that shows less than `counted_from` is taken out together with the found box that
    matches it: it is neither asked for nor held against anybody.

    Args:
        true: columns frame, id, x1, y1, x2, y2 (pixels), visible (share).
        found: frame, identity and box (x1, y1, x2, y2) of each.
        frames: those whose boxes were annotated, also the ones that show nothing of this kind.
    """
    found_in: dict[int, list[tuple[Hashable, Sequence[float]]]] = {}
    for index, identity, box in found:
        found_in.setdefault(index, []).append((identity, box))
    true_numbers: dict[Hashable, int] = {}
    found_numbers: dict[Hashable, int] = {}
    sequence = []
    rows_in = {int(str(index)): rows for index, rows in true.groupby("frame")}
    for index in frames:
        rows, here = rows_in.get(index, true.iloc[:0]), found_in.get(index, [])
        boxes = np.array([box for _, box in here], float).reshape(-1, 4)
        iou = overlaps(rows[["x1", "y1", "x2", "y2"]].to_numpy(float), boxes)
        hidden = rows["visible"].to_numpy(float) < counted_from
        spare = {j for i, j in _pairs(np.where(iou >= SAME_BOX_IOU, iou, 0.0)) if hidden[i]}
        kept = [j for j in range(len(here)) if j not in spare]
        ids = [i for i, out in zip(rows["id"], hidden, strict=True) if not out]
        sequence.append(
            Frame(
                np.array([true_numbers.setdefault(i, len(true_numbers)) for i in ids], int),
                np.array([found_numbers.setdefault(here[j][0], len(found_numbers)) for j in kept], int),
                iou[~hidden][:, kept],
            )
        )
    return sequence, list(true_numbers), list(found_numbers)


def identity_counts(sequence: Sequence[Frame]) -> IdentityCounts:
    """All that is counted in one sequence."""
    true = sum(len(frame.true) for frame in sequence)
    found = sum(len(frame.found) for frame in sequence)
    if not true or not found:
        return IdentityCounts(true=true, found=found, missed=true, false=found)
    size = (
        1 + max(int(f.true.max()) for f in sequence if len(f.true)),
        1 + max(int(f.found.max()) for f in sequence if len(f.found)),
    )
    matched, switches = _clear(sequence, size[0])
    hota_matched, association = _hota(sequence, size)
    return IdentityCounts(
        true, found, matched, true - matched, found - matched, switches, _id_matched(sequence, size),
        hota_matched, association,
    )  # fmt: skip


def _clear(sequence: Sequence[Frame], things: int) -> tuple[int, int]:
    """Matches and switches: what was matched in the frame before stays so where it can; then most overlap."""
    last_ever, last_frame = np.full(things, -1), np.full(things, -1)
    matched = switches = 0
    for frame in sequence:
        if not len(frame.true) or not len(frame.found):
            continue
        same = frame.found[None, :] == last_frame[frame.true][:, None]
        pairs = _pairs(np.where(frame.iou >= SAME_BOX_IOU, 1000.0 * same + frame.iou, 0.0))
        last_frame[:] = -1
        for i, j in pairs:
            thing, identity = frame.true[i], frame.found[j]
            switches += int(last_ever[thing] not in (-1, identity))
            last_ever[thing] = last_frame[thing] = identity
        matched += len(pairs)
    return matched, switches


def _id_matched(sequence: Sequence[Frame], size: tuple[int, int]) -> int:
    """Matches when each true thing is given one identity for the whole sequence, the most that can be had."""
    from scipy.optimize import linear_sum_assignment

    together = np.zeros(size)
    for frame in sequence:
        i, j = np.nonzero(frame.iou >= SAME_BOX_IOU)
        together[frame.true[i], frame.found[j]] += 1
    rows, columns = linear_sum_assignment(-together)
    return int(together[rows, columns].sum())


def _hota(sequence: Sequence[Frame], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Matches and summed association accuracy at each of `HOTA_IOUS`."""
    from scipy.optimize import linear_sum_assignment

    likely, true_count, found_count = np.zeros(size), np.zeros((size[0], 1)), np.zeros((1, size[1]))
    for true, found, iou in sequence:
        either = iou.sum(axis=0)[None, :] + iou.sum(axis=1)[:, None] - iou
        likely[np.ix_(true, found)] += np.divide(iou, either, out=np.zeros_like(iou), where=either > 1e-12)
        true_count[true, 0] += 1
        found_count[0, found] += 1
    alignment = likely / (true_count + found_count - likely)
    pairs = np.zeros((len(HOTA_IOUS), *size))
    for true, found, iou in sequence:
        rows, columns = linear_sum_assignment(-alignment[np.ix_(true, found)] * iou)
        for level, least in enumerate(HOTA_IOUS):
            enough = iou[rows, columns] >= least - np.finfo(float).eps
            pairs[level, true[rows[enough]], found[columns[enough]]] += 1
    accuracy = pairs / np.maximum(1.0, true_count + found_count - pairs)
    return pairs.sum(axis=(1, 2)), (pairs * accuracy).sum(axis=(1, 2))


def _wrong_names(
    sequence: Sequence[Frame],
    true_ids: Sequence[Hashable],
    found_ids: Sequence[Hashable],
    account: Mapping[str, str],
) -> np.ndarray:
    """Person-frames, those that got a name, with the wrong person's, with the wrong account's; int [4]."""
    counts = np.zeros(4, int)
    for frame in sequence:
        counts[0] += len(frame.true)
        for i, j in _pairs(np.where(frame.iou >= SAME_BOX_IOU, frame.iou, 0.0)):
            person, name = str(true_ids[frame.true[i]]), str(found_ids[frame.found[j]])
            counts[1:] += (1, person != name, account[person] != account[name])
    return counts


def _pairs(score: np.ndarray) -> list[tuple[int, int]]:
    """The assignment of rows to columns with the largest summed score; pairs that score zero are left out."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-score)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if score[i, j] > 0]
