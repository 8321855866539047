"""What each sensor and each part of the fusion is worth, and which behaviours still go wrong.

python -m benchmarks.fusion_ablation RECORDING [RECORDING ...] [--keep FOLDER]

Every recording is watched once (minutes) and weighed once, then fused in each of the ways. With `--keep`, what was
watched stays in a folder and is not watched again. Fusing is timed on the processor's clock.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from checkout.cart import receipts
from checkout.evaluation.events import EventMetric, judge_events
from checkout.evaluation.receipts import ReceiptMetric
from checkout.events import LeftOnFloor
from checkout.fusion import FusionSettings
from checkout.pipeline import Perceived, Watched, fuse, watch, weigh
from checkout.recording import Recording
from checkout.review import ReviewPolicy
from checkout.weight.steps import StepResult


class Manner(NamedTuple):
    """How receipts are made.

    Attributes:
        truth: from the true shelf events, not from perceived ones: the most that perceiving them could give.
        floor: what is left on the floor leaves its cart.
    """

    sensors: tuple[str, ...] = ("vision", "plates")
    settings: FusionSettings = FusionSettings()
    truth: bool = False
    floor: bool = True


WAYS: dict[str, Manner] = {
    "vision alone": Manner(("vision",)),
    "plates alone": Manner(("plates",)),
    "both": Manner(),
    "both, misplaced and own weights forgotten": Manner(settings=FusionSettings(follow_units=False)),
    "both, greedy": Manner(settings=FusionSettings(joint=False)),
    "both, no swaps expected": Manner(settings=FusionSettings(swap=1e-6)),
    "both, two hands at one time": Manner(settings=FusionSettings(one_hand=1.0)),
    "both, no overlapping steps": Manner(settings=FusionSettings(overlap_s=0.0)),
    "both, floor not watched": Manner(floor=False),
    "true events": Manner(truth=True),
    "true events, floor not watched": Manner(truth=True, floor=False),
}
WINNER: Mapping[str, str] = {
    "swap": "0.50-0.67 (same-weight products swapped)",
    "same_facing": "0.67 (two people take one product at once)",
    "slow": "0.29-0.33 (slow or held picks)",
    "neighbours": "0.83 (very close people)",
    "misplace": "0.80 (misplaced, close weight)",
    "pick_misplaced": "0.80 (misplaced, close weight)",
}
"""Published: F1 of whole cases of the AutoCheckout competition's winner; not of single events as the other columns."""


@dataclass
class Way:
    """Scores of one way of fusing."""

    events: EventMetric = field(default_factory=EventMetric)
    receipts: ReceiptMetric = field(default_factory=ReceiptMetric)
    seconds: float = 0.0
    found: int = 0
    judged: list[tuple[str, bool, bool]] = field(default_factory=list)

    def update(
        self, recording: Recording, watched: Watched | None, weighed: StepResult | None, name: str
    ) -> None:
        """Fuse one recording in the way of this name."""
        sensors, settings, true, floor = WAYS[name]
        vision, plates, truth = "vision" in sensors, "plates" in sensors, recording.truth
        if watched is not None and not floor:
            watched = replace(watched, sight=replace(watched.sight, left=()))
        started = time.process_time()
        seen = fuse(
            recording,
            watched if vision else None,
            weighed if plates else None,
            sensors=sensors,
            settings=settings,
        )
        self.seconds += time.process_time() - started
        if true:
            seen = _from_truth(recording, seen.left)
        self.found += len(seen.events)
        self.events.update(truth.events, seen.events)
        self.receipts.update(truth.receipts, seen.receipts)
        for item in judge_events(truth.events, seen.events):
            if item.true is not None:
                behaviour = str(item.true.conditions.get("behaviour", "plain"))
                self.judged.append(
                    (behaviour, item.outcome in ("right", "wrong_shopper"), item.outcome == "right")
                )

    def row(self) -> dict[str, float]:
        f1 = {e.kind: e.f1 for e in self.events.compute() if e.tolerance_s == 0.5}
        scores = self.receipts.compute()
        return {
            "event F1": f1["event"],
            "with quantity, shopper": f1["event, quantity and shopper"],
            "unit F1": scores.unit_f1,
            "association": scores.association_accuracy or 0.0,
            "receipts right": scores.fully_right,
            "ms an event": 1000 * self.seconds / max(1, self.found),
        }


def _from_truth(recording: Recording, left: Sequence[LeftOnFloor]) -> Perceived:
    """What would be made of a recording whose shelf events were all perceived as they were."""
    truth = recording.truth
    staff = {entry.shopper for entry in recording.entries if entry.role == "staff"}
    made = receipts(truth.shoppers, truth.events, ReviewPolicy(), staff=staff, left=left)
    return Perceived(recording.id, truth.events, made, left=tuple(left))


def watched_once(recording: Recording, keep: Path | None) -> Watched:
    """What the cameras show, from the folder where it was kept."""
    file = keep / f"{recording.id}.pickle" if keep else None
    if file is not None and file.is_file():
        kept: Watched = pickle.loads(file.read_bytes())
        return kept
    found = watch(recording)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        small = replace(found, sight=replace(found.sight, detections=None))
        file.write_bytes(pickle.dumps(small))
    return found


def study(recordings: Sequence[Recording], keep: Path | None = None) -> dict[str, Way]:
    """Fuse every recording in every way."""
    ways = {name: Way() for name in WAYS}
    for recording in recordings:
        watched, weighed = watched_once(recording, keep), weigh(recording)
        _ = recording.catalog, recording.planogram, recording.truth
        for name, way in ways.items():
            way.update(recording, watched, weighed, name)
    return ways


def behaviours(way: Way) -> pd.DataFrame:
    """Share of true events of each behaviour with action, product and quantity right, and with the shopper too."""
    table = pd.DataFrame(way.judged, columns=["behaviour", "contents", "all"])
    found = table.groupby("behaviour").agg(
        events=("all", "size"), contents=("contents", "mean"), all=("all", "mean")
    )
    found["winner's case F1"] = [WINNER.get(str(name), "") for name in found.index]
    return found.sort_values("events", ascending=False)


def recordings_parser(said: str | None) -> argparse.ArgumentParser:
    """Arguments of a benchmark that watches recordings once: the recordings, and where to keep what was watched."""
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--keep", type=Path, help="folder for what was watched")
    return parser


def main() -> None:
    args = recordings_parser(__doc__).parse_args()
    ways = study([Recording.open(path) for path in args.recordings], args.keep)
    print(pd.DataFrame({name: way.row() for name, way in ways.items()}).T.round(3).to_string())
    print()
    print(behaviours(ways["both"]).round(3).to_string())


if __name__ == "__main__":
    main()
