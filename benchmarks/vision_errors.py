"""Where vision alone loses true shelf events, cause by cause.

python -m benchmarks.vision_errors RECORDING [RECORDING ...] [--keep FOLDER]

Each true event is held against the shelf moments around it that are no other event's, before fusion: no hand was seen
to reach, another facing was likelier, what was a pick or put-back seemed a touch, or the other of both, or all was
right. `--keep` is the folder of `benchmarks.fusion_ablation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmarks.fusion_ablation import recordings_parser, watched_once
from checkout.events import ShelfEvent, ShelfMoment
from checkout.recording import Recording

AROUND_S = 0.7
LEAST_FACING = 0.15
CAUSES = ("no reach seen", "another facing", "taken for a touch", "the other action", "right")


def causes(events: Sequence[ShelfEvent], moments: Sequence[ShelfMoment]) -> list[str]:
    """What became of each true event. A moment at one event's facing is no other event's."""
    used: set[int] = set()
    found: dict[int, str] = {}
    for number, event in enumerate(events):
        there = [
            i
            for i in _around(event, moments, used)
            if moments[i].facing.get(event.facing, 0.0) > LEAST_FACING
        ]
        if there:
            best = max(there, key=lambda i: moments[i].facing.get(event.facing, 0.0))
            used.add(best)
            said = max(moments[best].action, key=moments[best].action.__getitem__)
            found[number] = CAUSES[4] if said == event.action else CAUSES[2] if said == "touch" else CAUSES[3]
    for number, event in enumerate(events):
        if number not in found:
            around = _around(event, moments, used)
            used.update(around[:1])
            found[number] = CAUSES[1] if around else CAUSES[0]
    return [found[number] for number in range(len(events))]


def _around(event: ShelfEvent, moments: Sequence[ShelfMoment], used: set[int]) -> list[int]:
    """The moments, by number, nearest first, that are close enough in time and nobody else's yet."""
    apart = {i: abs(m.t_s - event.t_s) for i, m in enumerate(moments) if i not in used}
    return sorted((i for i, d in apart.items() if d <= AROUND_S), key=apart.__getitem__)


def main() -> None:
    args = recordings_parser(__doc__).parse_args()
    rows = []
    for path in args.recordings:
        recording = Recording.open(path)
        events = recording.truth.events
        told = causes(events, watched_once(recording, args.keep).sight.moments)
        rows += [
            (recording.id, number, event.t_s, event.facing, cause)
            for number, (event, cause) in enumerate(zip(events, told, strict=True), 1)
        ]
    table = pd.DataFrame(rows, columns=["recording", "event", "t_s", "facing", "cause"])
    counts = table["cause"].value_counts().reindex(CAUSES, fill_value=0)
    print(f"{len(table)} true events")
    print(counts.to_string())
    print(table[table["cause"] != "right"].round(1).to_string(index=False))


if __name__ == "__main__":
    main()
