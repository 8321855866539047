"""Why a receipt says what it says: for each change its evidence, what it may have been, and what became of the sale.

The same account goes to the terminal (`explanation_lines`) and into one HTML file (`write_explanation`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from checkout.contact_sheet import PlateTrace, SheetRow, key_frames, plate_trace
from checkout.events import LeftOnFloor, Receipt, ShelfEvent
from checkout.fusion import Explanation, Part
from checkout.output import new_file
from checkout.pipeline import Perceived
from checkout.recording import Recording

LEADING = 4
"""Assumed: more hypotheses are not read."""
LEAST_SHOWN = 0.001
REASONS_SHOWN = 6
BARS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 48
FRAME_SIZE = (448, 252)
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ExplainedChange:
    """One change at a shelf, as it is told.

    Attributes:
        number: in time order, from 1.
        evidence: what plates and cameras said, in words.
        hypotheses: what it may have been, in words, with their probabilities.
        shoppers: who may have done it, likeliest first.
        verdicts: of each receipt that the change touches, whether and why it went to a human.
        trace: the loads around it; None without plates.
        row: what the pictures are of.
    """

    number: int
    t_s: float
    facing: str
    events: tuple[ShelfEvent, ...]
    evidence: tuple[str, ...]
    hypotheses: tuple[tuple[str, float], ...]
    shoppers: tuple[tuple[str, float], ...]
    verdicts: tuple[str, ...]
    trace: PlateTrace | None
    row: SheetRow


def explained_changes(recording: Recording, perceived: Perceived) -> list[ExplainedChange]:
    """Every change of a recording that was more than a passing touch, in time order."""
    told = [x for x in perceived.explanations if x.events or x.steps]
    told.sort(key=lambda x: x.t_s)
    names = {p.product: p.name or p.product for p in recording.catalog.values()}
    return [_explained(recording, perceived, x, i, names) for i, x in enumerate(told, start=1)]


def _explained(
    recording: Recording, perceived: Perceived, x: Explanation, number: int, names: Mapping[str, str]
) -> ExplainedChange:
    facing = _facing(recording, x)
    if x.events:
        start, end = min(e.t_start_s for e in x.events), max(e.t_end_s for e in x.events)
    elif x.steps:
        start, end = x.steps[0].t_start_s, x.steps[-1].t_end_s
    else:
        start, end = x.moments[0].t_start_s, x.moments[-1].t_end_s
    persons = tuple(e.person for e in recording.entries if x.events and e.shopper == x.events[0].shopper)
    kind = x.events[0].action if x.events else "act"
    row = SheetRow(str(number), kind, "", start, end, "", "", facing, persons, None)
    candidates = x.events[0].candidates if x.events else {}
    shoppers = sorted(candidates.items(), key=lambda item: -item[1])
    hypotheses = tuple(
        (_words(h.parts, names), h.probability)
        for h in x.hypotheses[:LEADING]
        if h.probability >= LEAST_SHOWN
    )
    return ExplainedChange(
        number, x.t_s, facing, x.events, _evidence(x), hypotheses, tuple(shoppers[:LEADING]),
        _verdicts(x.events, perceived.receipts), plate_trace(recording, row), row,
    )  # fmt: skip


def _facing(recording: Recording, x: Explanation) -> str:
    if x.events:
        return x.events[0].facing
    for h in x.hypotheses:
        if h.parts:
            return h.parts[0].facing
    if x.moments:
        return max(x.moments[0].facing, key=x.moments[0].facing.__getitem__)
    places = [f.facing for p in x.steps[0].plate_grams for f in recording.planogram.on_plate(p)]
    return places[0] if places else ""


def _words(parts: Sequence[Part], names: Mapping[str, str]) -> str:
    if not parts:
        return "nothing was taken or returned"
    said = {"pick": "picked", "put_back": "put back"}
    return " and ".join(
        f"{p.quantity} x {names.get(p.product, p.product)} {said[p.action]} at {p.facing}" for p in parts
    )


def _evidence(x: Explanation) -> tuple[str, ...]:
    lines = []
    for step in x.steps:
        plates = ", ".join(f"{p.rsplit('.', 1)[1]} {g:+.0f}" for p, g in step.plate_grams.items())
        lines.append(
            f"plates of {step.shelf} at {step.t_s:.2f} s: {step.grams:+.1f} ± {step.grams_sd:.1f} g ({plates})"
        )
    for m in x.moments:
        place = max(m.facing, key=m.facing.__getitem__)
        did = max(m.action, key=m.action.__getitem__)
        lines.append(
            f"{m.camera} {m.t_start_s:.1f}-{m.t_end_s:.1f} s: a hand at {place} ({m.facing[place]:.2f}),"
            f" {did.replace('_', ' ')} ({m.action[did]:.2f})"
        )
    return tuple(lines) or ("no sensor saw it",)


def _verdicts(events: Sequence[ShelfEvent], receipts: Sequence[Receipt]) -> tuple[str, ...]:
    """What became of the sales of those who may have done it, and what this change has to do with it."""
    lines = []
    for receipt in receipts:
        for event in events:
            about = [r for r in receipt.reasons if f"at {event.t_s:.1f} s" in r and event.product in r]
            if about:
                lines.append(f"{receipt.shopper}: to review, for {'; '.join(about)}")
            elif receipt.shopper == event.shopper:
                also = "" if receipt.decision == "charge" else " (the sale goes to review for other events)"
                lines.append(f"{receipt.shopper}: this event needs no review{also}")
    return tuple(dict.fromkeys(lines))


def sparkline(trace: PlateTrace, width: int = SPARK_WIDTH) -> str:
    """The load under the facing in time, as a line of block characters."""
    pieces = np.array_split(trace.total, min(width, len(trace.total)))
    values = np.array([np.median(piece) for piece in pieces])
    low, high = float(values.min()), float(values.max())
    level = (
        np.zeros(len(values), int)
        if high - low < 1
        else ((values - low) / (high - low) * 7).round().astype(int)
    )
    return "".join(BARS[i] for i in level) + f"  {low:+.0f} to {high:+.0f} g"


def explanation_lines(changes: Sequence[ExplainedChange], left: Sequence[LeftOnFloor] = ()) -> list[str]:
    """The account for a terminal: of each change, and of what was left on the floor."""
    lines = []
    for change in changes:
        lines.append(f"{change.number}. {change.t_s:.2f} s  {_headline(change)}")
        if change.trace is not None:
            lines.append(f"   {sparkline(change.trace)}")
        lines += [f"   {line}" for line in change.evidence]
        lines += [f"   {probability:6.3f}  {words}" for words, probability in change.hypotheses]
        if change.shoppers:
            who = ", ".join(f"{name} {p:.2f}" for name, p in change.shoppers)
            lines.append(f"   who: {who}")
        lines += [f"   {line}" for line in change.verdicts]
        lines.append("")
    return lines + [str(row) for row in left]


def _headline(change: ExplainedChange) -> str:
    if not change.events:
        return "no event"
    return "; ".join(
        f"{e.action.replace('_', ' ')} {e.quantity} x {e.product} by {e.shopper}"
        f" (item {e.item_confidence:.2f}, action {e.action_confidence:.2f}, shopper {e.shopper_confidence:.2f})"
        for e in change.events
    )


def write_explanation(
    out: Path,
    recording: Recording,
    perceived: Perceived,
    *,
    command: str = "",
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the account as one HTML file that needs nothing else, with frames and plate traces.

    Args:
        command: the command that makes this page again.
    """
    from checkout.evaluation.page import page, provenance

    changes = explained_changes(recording, perceived)
    rows = [change.row for change in changes]
    frames = (
        key_frames(recording, rows, whole_size=FRAME_SIZE, progress=progress)
        if recording.cameras
        else [{} for _ in rows]
    )
    sections = [_receipts_section(recording, perceived)]
    sections += [_section(change, pictures) for change, pictures in zip(changes, frames, strict=True)]
    if perceived.left:
        rows_left = "".join(f"<li>{escape(str(row))}</li>" for row in perceived.left)
        sections.append(f"<h2>On the floor</h2><ul>{rows_left}</ul>")
    sections.append(provenance({recording.id: recording.sha256()}, command, perceived.warnings))
    with new_file(out, force=force) as draft:
        draft.write_text(page(f"Receipts of {recording.id}", sections, EXTRA_STYLE), encoding="utf-8")


EXTRA_STYLE = """
.change{background:var(--panel);border:1px solid var(--line);border-radius:6px;margin:1rem 0;padding:.8rem 1rem}
.change h3{margin:0 0 .4rem}.change ul{margin:.2rem 0;padding-left:1.1rem;font-size:.9rem}
.change td.bar{width:10rem;text-align:left}.bar i{display:block;height:.6rem;background:#2f6db3;border-radius:2px}
.review{color:#b03a2e}.charge{color:#3d7a4e}
"""


def _receipts_section(recording: Recording, perceived: Perceived) -> str:
    names = {p.product: p.name or p.product for p in recording.catalog.values()}
    blocks = []
    for receipt in perceived.receipts:
        lines = (
            "".join(
                f'<tr><td class="l">{escape(names.get(x.product, x.product))}</td><td>{x.quantity}</td>'
                f"<td>{x.confidence:.3f}</td></tr>"
                for x in receipt.lines
            )
            or '<tr><td class="l">nothing</td><td></td><td></td></tr>'
        )
        shown = [*receipt.reasons[:REASONS_SHOWN]]
        if len(receipt.reasons) > REASONS_SHOWN:
            shown.append(f"and {len(receipt.reasons) - REASONS_SHOWN} more")
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in shown)
        head = f'{escape(receipt.shopper)}: <span class="{receipt.decision}">{receipt.decision}</span>'
        blocks.append(
            f"<h3>{head}, all of it right with {receipt.confidence:.2f}</h3><div class='wide'><table>"
            f"<tr><th class='l'>product</th><th>units</th><th>probability</th></tr>{lines}</table></div>"
            f"<ul>{reasons}</ul>"
        )
    notes = "".join(f"<li>{escape(w)}</li>" for w in perceived.warnings)
    return (
        f"<h1>Receipts of {escape(recording.id)}</h1><p class='soft'>{len(perceived.events)} shelf events; detector"
        f" {escape(perceived.detector)}.</p>{''.join(blocks)}<ul class='soft'>{notes}</ul><h2>Why</h2>"
    )


def _section(change: ExplainedChange, pictures: Mapping[str, tuple[object, str]]) -> str:
    rows = "".join(
        f'<tr><td class="l">{escape(words)}</td><td>{p:.3f}</td><td class="bar"><i style="width:{100 * p:.0f}%"></i>'
        f"</td></tr>"
        for words, p in change.hypotheses
    )
    who = ", ".join(f"{escape(name)} {p:.2f}" for name, p in change.shoppers)
    evidence = "".join(f"<li>{escape(line)}</li>" for line in change.evidence)
    verdicts = "".join(f"<li>{escape(line)}</li>" for line in change.verdicts)
    shots = "".join(
        f'<figure><img alt="{tile}" src="data:image/jpeg;base64,{_jpeg(picture)}"><figcaption>{escape(tile)},'
        f" {escape(camera)}</figcaption></figure>"
        for tile, (picture, camera) in pictures.items()
    )
    plot = f'<div class="wide">{_plot(change)}</div>' if change.trace is not None else ""
    return (
        f'<div class="change"><h3>{change.number}. {change.t_s:.2f} s: {escape(_headline(change))}</h3>'
        f'<div class="shots">{shots}</div>{plot}<ul>{evidence}</ul>'
        f'<div class="wide"><table><tr><th class="l">what it may have been</th><th>probability</th><th></th></tr>{rows}'
        f"</table></div><p>{'Who: ' + who if who else ''}</p><ul>{verdicts}</ul></div>"
    )


def _jpeg(picture: object) -> str:
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=82)  # type: ignore[attr-defined]
    return base64.b64encode(out.getvalue()).decode("ascii")


def _plot(change: ExplainedChange) -> str:
    from checkout.evaluation.plots import plate_plot

    assert change.trace is not None
    steps = [e.t_s for e in change.events]
    return plate_plot(change.trace.t_s, change.trace.plates, change.trace.total, steps)
