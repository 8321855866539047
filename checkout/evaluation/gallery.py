"""The worst errors with their pictures: what was surely wrong, and what was missed though it was easy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from checkout.contact_sheet import SheetRow, key_frames
from checkout.evaluation.events import ASSOCIATION_S
from checkout.evaluation.report import EvaluationReport
from checkout.recording import Recording

MOST_SHOWN = 24
"""Assumed: as many errors as somebody looks at."""
WHOLE_SIZE = (512, 288)
SPAN_S = 1.0
"""Assumed: how long an event is taken to last where that is not known."""
_SURE = {
    "phantom": "action_confidence",
    "wrong action": "action_confidence",
    "wrong item": "item_confidence",
    "wrong shopper": "shopper_confidence",
}
KINDS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "missed": lambda t: t["outcome"] == "missed",
    "phantom": lambda t: t["outcome"] == "phantom",
    "wrong action": lambda t: t["outcome"] == "wrong_action",
    "wrong item": lambda t: t["outcome"].isin(["wrong_product", "wrong_quantity"]),
    "wrong shopper": lambda t: t["outcome"] == "wrong_shopper",
}


@dataclass(frozen=True)
class ShownError:
    """One error of the gallery.

    Attributes:
        kind: one of `KINDS`.
        row: the judged event, as in `events.judged_table`.
        pictures: file names by tile ("before", "during", "after", "whole"); empty without cameras.
        cameras: the camera that each was taken from.
    """

    kind: str
    row: dict[str, object]
    pictures: dict[str, str]
    cameras: dict[str, str]


def worst(judged: pd.DataFrame, most: int = MOST_SHOWN) -> pd.DataFrame:
    """The errors to show, worst first within each of `KINDS`, all kinds in turn until `most` are found.

    What was said is worse the surer it was; what was missed is worse the less it was hidden and crowded. The column
    `kind` is added.
    """
    ranked, judged = [], with_wrong_actions(judged)
    for kind, holds in KINDS.items():
        rows = judged[holds(judged)].assign(kind=kind)
        if kind == "missed":
            rows = rows.sort_values(["people_near", "occlusion", "recording", "t_s"])
        else:
            rows = rows.sort_values([_SURE[kind], "recording", "t_s"], ascending=[False, True, True])
        ranked.append(rows.assign(turn=range(len(rows))))
    table = pd.concat(ranked).sort_values("turn", kind="stable").head(most)
    order = list(KINDS)
    return table.sort_values(
        ["kind", "turn"], key=lambda c: c.map(order.index) if c.name == "kind" else c
    ).drop(columns="turn")


def with_wrong_actions(judged: pd.DataFrame) -> pd.DataFrame:
    """Makes one row, of the outcome "wrong_action", of a missed event and the phantom of the other action there.

    As in `confusions.ActionMetric`, they belong together within `ASSOCIATION_S` when the place or the product is the
    same.
    """
    missed = judged[judged["outcome"] == "missed"]
    merged = judged.copy()
    said = [c for c in judged.columns if c.startswith("perceived") or c.endswith("_confidence")]
    for index, phantom in judged[judged["outcome"] == "phantom"].iterrows():
        there = (missed["facing"] == phantom["facing"]) | (missed["product"] == phantom["product"])
        apart_s = (missed["t_s"] - phantom["t_s"]).abs()
        other = missed["action"] != phantom["action"]
        same = missed[
            (missed["recording"] == phantom["recording"]) & (apart_s <= ASSOCIATION_S) & there & other
        ]
        if same.empty:
            continue
        nearest = apart_s[same.index].idxmin()
        merged.loc[nearest, said] = phantom[said]
        merged.loc[nearest, "outcome"] = "wrong_action"
        merged, missed = merged.drop(index=index), missed.drop(index=nearest)
    return merged


def take_pictures(
    report: EvaluationReport, folder: Path, progress: Callable[[str, float], None] | None = None
) -> list[ShownError]:
    """Cut the pictures of the worst errors out of the videos and write them into a folder as JPEG."""
    errors = worst(report.judged)
    shown: dict[object, ShownError] = {}
    for done, (name, rows) in enumerate(errors.groupby("recording", sort=False)):
        recording = Recording.open(report.paths[str(name)])
        sheet_rows = [_sheet_row(recording, str(i), row) for i, row in rows.iterrows()]
        if progress:
            progress(f"taking pictures of {name}", done / errors["recording"].nunique())
        taken = key_frames(recording, sheet_rows, whole_size=WHOLE_SIZE)
        for (index, row), pictures in zip(rows.iterrows(), taken, strict=True):
            files = {}
            for tile, (picture, _) in pictures.items():
                files[tile] = f"{name}-{index}-{tile}.jpg"
                picture.save(folder / files[tile], "JPEG", quality=88)
            cameras = {tile: camera for tile, (_, camera) in pictures.items()}
            shown[index] = ShownError(str(row["kind"]), {str(k): v for k, v in row.items()}, files, cameras)
    return [shown[index] for index in errors.index]


def _sheet_row(recording: Recording, number: str, row: pd.Series) -> SheetRow:
    """What to show of a judged event: its own place and time, or those of the phantom."""
    start, end = float(row["t_start_s"]), float(row["t_end_s"])
    if math.isnan(start) or math.isnan(end):
        start, end = float(row["t_s"]) - 0.5 * SPAN_S, float(row["t_s"]) + 0.5 * SPAN_S
    persons = tuple(e.person for e in recording.entries if e.shopper == row["shopper"])
    return SheetRow(
        number, str(row["action"]), "", start, end, "", "", str(row["facing"]), persons, None
    )  # fmt: skip
