"""Where vision alone loses true shelf events, cause by cause.

python -m benchmarks.vision_errors RECORDING [RECORDING ...] [--keep FOLDER]

Each true event is held against the shelf moments around it, before fusion: no hand was seen to reach, another facing
was likelier, what was a pick or put-back seemed a touch, or the other of both, or all was right. `--keep` is the folder
of `benchmarks.fusion_ablation`.
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


def cause(event: ShelfEvent, moments: Sequence[ShelfMoment], used: set[int]) -> str:
    """What became of a true event; the moment that stands for it is noted in `used`."""
    around = [i for i, m in enumerate(moments) if abs(m.t_s - event.t_s) <= AROUND_S and i not in used]
    there = [i for i in around if moments[i].facing.get(event.facing, 0.0) > LEAST_FACING]
    if not there:
        return CAUSES[1] if around else CAUSES[0]
    best = max(there, key=lambda i: moments[i].facing.get(event.facing, 0.0))
    used.add(best)
    said = max(moments[best].action, key=moments[best].action.__getitem__)
    if said == event.action:
        return CAUSES[4]
    return CAUSES[2] if said == "touch" else CAUSES[3]


def main() -> None:
    args = recordings_parser(__doc__).parse_args()
    rows = []
    for path in args.recordings:
        recording = Recording.open(path)
        moments = watched_once(recording, args.keep).sight.moments
        used: set[int] = set()
        rows += [
            (recording.id, number, event.t_s, event.facing, cause(event, moments, used))
            for number, event in enumerate(recording.truth.events, 1)
        ]
    table = pd.DataFrame(rows, columns=["recording", "event", "t_s", "facing", "cause"])
    counts = table["cause"].value_counts().reindex(CAUSES, fill_value=0)
    print(f"{len(table)} true events")
    print(counts.to_string())
    print(table[table["cause"] != "right"].round(1).to_string(index=False))


if __name__ == "__main__":
    main()
