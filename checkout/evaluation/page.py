"""An evaluation as a folder that can be handed on: tables, plots and the worst errors with their pictures."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import distributions
from pathlib import Path

from checkout.evaluation import plots
from checkout.evaluation.gallery import ShownError, take_pictures
from checkout.evaluation.report import EvaluationReport
from checkout.output import new_folder

Progress = Callable[[str, float], None]
PACKAGES = ("checkout-simulator", "numpy", "faster-coco-eval", "ultralytics", "openvino")
STYLE = """
:root{color-scheme:light;--ground:#fbfaf8;--ink:#22252a;--soft:#666c75;--line:#dcd9d3;--panel:#fff}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.25rem;margin:2.6rem 0 .4rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p,li{max-width:48rem}.soft{color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{text-align:right;padding:.28rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}
th.l,td.l{text-align:left}
.front th{white-space:normal;vertical-align:bottom;line-height:1.25}
.wide{overflow-x:auto;background:var(--panel);border:1px solid var(--line);border-radius:6px}
.wide{margin:.8rem 0;padding:.3rem}
.wide table{width:100%}
.wide svg{max-width:100%;height:auto;display:block}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1rem;align-items:start}
.pair.uneven{grid-template-columns:minmax(22rem,1.55fr) minmax(20rem,1fr)}
@media(max-width:62rem){.pair.uneven{grid-template-columns:1fr}}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin:1.2rem 0}
.card{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem}
.card b{display:block;font-size:1.55rem;line-height:1.25}.card span{color:var(--soft);font-size:.85rem}
.error{background:var(--panel);border:1px solid var(--line);border-radius:6px;margin:.8rem 0;padding:.7rem .8rem;
display:grid;grid-template-columns:minmax(15rem,19rem) 1fr;gap:1rem}
.error dl{margin:.3rem 0 0;display:grid;grid-template-columns:auto 1fr;gap:.1rem .7rem;font-size:.88rem}
.error dt{color:var(--soft)}.error dd{margin:0}
.tag{display:inline-block;border-radius:4px;padding:0 .5rem;color:#fff;font-size:.82rem;background:#8a4b2a}
.tag.missed{background:#555b66}.tag.phantom{background:#7a5bb0}.tag.shopper{background:#b03a2e}
.shots{display:flex;gap:.5rem;flex-wrap:wrap;align-items:flex-start}
.shots figure{margin:0}.shots img{display:block;height:11.5rem;border-radius:3px}
figcaption{color:var(--soft);font-size:.76rem}
code{font-size:.9em;overflow-wrap:anywhere}
@media(max-width:50rem){.error{grid-template-columns:1fr}}
"""


def write_page(
    out: Path,
    reports: Sequence[EvaluationReport],
    *,
    command: str = "",
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a folder with `index.html`, which loads nothing from elsewhere, and the pictures it shows.

    With several reports, `index.html` compares them and each has a folder of its own, named by its sensors.

    Args:
        command: the command that makes these pages again.

    Raises:
        InputError: the folder exists and `force` is not set.
    """
    with new_folder(out, force=force) as draft:
        if len(reports) == 1:
            _write_report(draft, reports[0], command, progress)
            return
        for report in reports:
            folder = draft / "+".join(report.sensors)
            folder.mkdir()
            _write_report(folder, report, command, progress)
        (draft / "index.html").write_text(_comparison(reports), encoding="utf-8")


def _write_report(folder: Path, report: EvaluationReport, command: str, progress: Progress | None) -> None:
    pictures = folder / "pictures"
    pictures.mkdir()
    shown = take_pictures(report, pictures, progress)
    sections = [
        _head(report), _events(report), _matched(report), _conditions(report), _sight(report), _identities(report),
        _calibration(report), _receipts(report), _gallery(shown), _provenance(report, command),
    ]  # fmt: skip
    (folder / "index.html").write_text(page("Evaluation", sections), encoding="utf-8")


def page(title: str, sections: Iterable[str], style: str = "") -> str:
    """One HTML document that loads nothing from elsewhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>{escape(title)}</title><style>{STYLE}{style}</style></head>'
        f"<body><main>{''.join(sections)}</main></body></html>"
    )


def _comparison(reports: Sequence[EvaluationReport]) -> str:
    rows = []
    for report in reports:
        name = "+".join(report.sensors)
        link = f'<a href="{escape(name)}/index.html">{escape(" and ".join(report.sensors))}</a>'
        cells = (value for _, value in _headlines(report))
        rows.append(
            f'<tr><td class="l">{link}</td>' + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"
        )
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in _headlines(reports[0]))
    table = f'<div class="wide front"><table><tr><th class="l">sensors</th>{head}</tr>{"".join(rows)}</table></div>'
    text = f"{_recordings(reports[0])}, watched and weighed once; each set of sensors has its own page."
    return page("Evaluation", [f"<h1>Evaluation by sensors</h1><p>{escape(text)}</p>", table])


def _headlines(report: EvaluationReport) -> list[tuple[str, str]]:
    f1 = {e.kind: e.f1 for e in report.events if e.tolerance_s == 0.5}
    outcomes = report.judged["outcome"].value_counts()
    r, n = report.receipts, report.naming
    return [
        ("events: F1, action and product within 0.5 s", f"{f1['event']:.3f}"),
        ("the same and the shopper", f"{f1['event and shopper']:.3f}"),
        ("missed; phantoms", f"{outcomes.get('missed', 0)}; {outcomes.get('phantom', 0)}"),
        ("receipts fully right", f"{r.fully_right:.3f} of {r.receipts}"),
        ("receipts sent to review", f"{r.review_rate:.3f}"),
        ("person-frames with the wrong account", f"{n.wrong_account:.3f}" if n else "–"),
    ]


def _recordings(report: EvaluationReport) -> str:
    count = len(report.recordings)
    return f"{count} recording{'s' if count > 1 else ''}"


def _head(report: EvaluationReport) -> str:
    cards = "".join(
        f'<div class="card"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in _headlines(report)
    )
    true = int((report.judged["outcome"] != "phantom").sum())
    text = (
        f"{_recordings(report)} with {true} true shelf events and {report.shopper_minutes:.1f} "
        f"shopper-minutes. Sensors: {' and '.join(report.sensors)}. Detector: {report.detector}."
    )
    return f'<h1>What perception gets right</h1><p class="soft">{escape(text)}</p><div class="cards">{cards}</div>'


def _events(report: EvaluationReport) -> str:
    rows = [
        (
            e.kind,
            f"{e.tolerance_s:g} s",
            _share(e.precision),
            _share(e.recall),
            _share(e.f1),
            _interval(e.f1_ci95),
        )
        for e in report.events
    ]
    table = _table(("right in", "within", "precision", "recall", "F1", "95 %"), rows)
    curve = _box(plots.event_curves(report.curves)) if any(c.points for c in report.curves) else ""
    temporal = ""
    if report.temporal:
        tious = sorted({t.tiou for t in report.temporal})
        maps = [
            (kind, *(_share(t.map) for t in report.temporal if t.kind == kind))
            for kind in dict.fromkeys(t.kind for t in report.temporal)
        ]
        temporal = "<h3>Mean average precision at temporal overlap (ActivityNet)</h3>"
        temporal += _table(("class", *(f"{t:g}" for t in tious)), maps)
    return _section(
        "Shelf events",
        "An event is right when everything named is right within the time. Intervals are 95 % bootstraps over "
        "recordings. The curve leaves out the events that perception is less sure of, more and more to the left.",
        f'<div class="pair uneven">{table}{curve}</div>',
        temporal,
    )


def _matched(report: EvaluationReport) -> str:
    rows = [
        (a.aspect, str(a.right), str(a.of), _share(a.share), _interval(a.ci95)) for a in report.accuracies
    ]
    said = list(dict.fromkeys(a.said for a in report.actions))
    actions = [
        (
            true if true != "phantom" else "nothing (phantom)",
            *(
                next((str(a.events) for a in report.actions if (a.true, a.said) == (true, s)), "")
                for s in said
            ),
        )
        for true in dict.fromkeys(a.true for a in report.actions)
    ]
    products = "<p>No product was taken for another.</p>"
    if report.products:
        products = "<h3>Products taken for others</h3>" + _box(plots.product_matrix(report.products))
    return _section(
        "What was taken for what",
        "Of the events that were seen: how often the action is right where time and place are, and how often product, "
        "quantity and shopper are right where the action is.",
        f'<div class="pair">{_table(("aspect", "right", "of", "share", "95 %"), rows)}'
        f"{_table(('truly', *(f'said {s}' if s != 'missed' else s for s in said)), actions)}</div>",
        products,
    )


def _conditions(report: EvaluationReport) -> str:
    rows = [
        (
            g.condition, g.group, str(g.events), _share(g.recall), _share(g.product), _share(g.quantity),
            _share(g.shopper), _share(g.right), _interval(g.right_ci95),
        )
        for g in report.conditions
    ]  # fmt: skip
    head = ("condition", "group", "events", "seen", "product", "quantity", "shopper", "all right", "95 %")
    return _section(
        "By condition",
        "Shares of the true events of each group; product, quantity and shopper are of those that were seen. Light is "
        "the median grey level of the pictures.",
        _table(head, rows, left=2),
    )


def _sight(report: EvaluationReport) -> str:
    if not report.detections:
        return ""
    rows = [(d.label, str(d.boxes), _share(d.map50), _share(d.map50_95)) for d in report.detections]
    return _section(
        "Detections",
        "By faster-coco-eval. Boxes that hardly show are neither asked for nor held against a detection.",
        f'<div class="pair">{_table(("class", "true boxes", "mAP50", "mAP50-95"), rows)}'
        f"{_box(plots.detection_curves(report.detections))}</div>",
    )


def _identities(report: EvaluationReport) -> str:
    if not report.identities:
        return ""
    rows = [
        (
            f"{i.label} ({i.identity})", str(i.boxes), str(i.matched), str(i.switches), f"{i.switches_per_minute:.1f}",
            _share(i.mota), _share(i.idf1), _interval(i.idf1_ci95), _share(i.hota),
        )
        for i in report.identities
    ]  # fmt: skip
    names = ""
    if n := report.naming:
        interval = f" (95 % {_interval(n.wrong_account_ci95)})" if n.wrong_account_ci95 else ""
        names = (
            f"<p>{n.named:.3f} of {n.person_frames} person-frames got a name. Of these, <b>{n.wrong_account:.3f}</b>"
            f"{interval} stand for the wrong account, and {n.wrong_person:.3f} for the wrong person.</p>"
        )
    head = ("what", "boxes", "found", "switches", "a minute", "MOTA", "IDF1", "95 %", "HOTA")
    return _section(
        "Identities",
        "Hands keep a track, people the name of their entry scan. Camera by camera, boxes that overlap by half are the "
        "same; HOTA is the mean over overlaps of 0.05 to 0.95.",
        _table(head, rows),
        names,
    )


def _calibration(report: EvaluationReport) -> str:
    if not report.calibration:
        return ""
    rows = [
        (
            c.aspect,
            c.condition or "all",
            str(c.events),
            *map(_share, (c.confidence, c.right, c.ece)),
            _interval(c.ece_ci95),
            ", ".join(map(_share, c.ece_by_chance)),
            _share(c.brier),
        )
        for c in (*report.calibration, *report.calibration_by_crowd)
    ]
    return _section(
        "Confidences",
        "A confidence of 0.9 should be right nine times in ten: points on the dashed line. Bins hold equally many "
        "events; bars are 95 % intervals. By chance: the ECE, on the average and in 19 of 20 cases at "
        "most, of confidences that are exactly right, in as many events.",
        _table(
            ("aspect", "among", "events", "confidence", "right", "ECE", "95 %", "by chance", "Brier"), rows
        ),
        _box(plots.reliability(report.calibration)),
    )


def _receipts(report: EvaluationReport) -> str:
    r = report.receipts
    rows = [
        ("unit-level F1 (AutoCheckout competition)", _share(r.unit_f1)),
        ("association accuracy", _share(r.association_accuracy)),
        (f"fully right, of {r.receipts}", _share(r.fully_right)),
        ("sent to review", _share(r.review_rate)),
        ("wrong and not reviewed", _share(r.escape_rate)),
        *((name, str(value)) for name, value in report.left.measures()),
    ]
    return _section("Receipts", "", _table(("measure", "value"), rows))


def _gallery(shown: Sequence[ShownError]) -> str:
    if not shown:
        return _section("The worst errors", "There are none.")
    return _section(
        "The worst errors",
        "What perception was surest of and wrong about, and what it missed though few people were near and little hid "
        "it. Yellow: the facing; blue: the hand that truly was there. The camera is the one that sees the facing best.",
        *(_error(e) for e in shown),
    )


def _error(error: ShownError) -> str:
    row = error.row
    is_phantom, is_missed = error.kind == "phantom", error.kind == "missed"
    event = f"{row['action']}, {row['quantity']} × {row['product']}, {row['shopper']}, at {row['facing']}"
    said = (
        f"{row['perceived_action']}, {row['perceived_quantity']} × {row['perceived']}, {row['perceived_shopper']}, "
        f"at {row['perceived_facing']}, {row['perceived_t_s']:.1f} s"
    )
    facts = [
        ("where", f"{row['recording']}, {row['t_s']:.1f} s"),
        ("truly", "no such event" if is_phantom else event),
        ("said", "nothing" if is_missed else said),
    ]
    if not is_missed:
        facts.append(
            ("sure", ", ".join(f"{a} {row[f'{a}_confidence']:.2f}" for a in ("item", "action", "shopper")))
        )
    if not is_phantom:
        facts.append(("hard by", f"people near: {row['people_near']}, hidden: {float(str(row['occlusion'])):.0%}, "
                      f"look-alikes: {row['look_alikes']}"))  # fmt: skip
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    shots = "".join(
        f'<figure><img loading="lazy" src="pictures/{escape(error.pictures[tile])}" alt="{tile}">'
        f"<figcaption>{escape(tile)}, {escape(error.cameras[tile])}</figcaption></figure>"
        for tile in ("before", "during", "after", "whole")
        if tile in error.pictures
    )
    tag = {"wrong shopper": "shopper"}.get(error.kind, error.kind.split()[0])
    name = str(row["outcome"]).replace("_", " ")
    return (
        f'<div class="error"><div><span class="tag {tag}">{escape(name)}</span><dl>{listed}</dl></div>'
        f'<div class="shots">{shots}</div></div>'
    )


def provenance(hashes: Mapping[str, str], command: str, notes: Sequence[str] = ()) -> str:
    """How a page was obtained: versions, the command that makes it again, recordings with their sha256, and notes."""
    installed = {d.name.lower().replace("_", "-"): d.version for d in distributions()}
    versions = ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    recordings = ", ".join(
        f"<code>{escape(name)}</code> (sha256 <code>{digest[:12]}</code>)" for name, digest in hashes.items()
    )
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    again = f'<p class="soft">Command: <code>{escape(command)}</code></p>' if command else ""
    return _section("How this was obtained", f"{versions}, Python {platform.python_version()}.", again) + (
        f'<p class="soft">Recordings: {recordings}</p><ul class="soft">{said}</ul>'
    )


def _provenance(report: EvaluationReport, command: str) -> str:
    left_out = [f"left out: {path}: {why}" for path, why in report.failed.items()]
    return provenance(report.hashes, command, [*report.warnings, *left_out])


def _section(title: str, text: str, *content: str) -> str:
    said = f'<p class="soft">{escape(text)}</p>' if text else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(content)}</section>"


def _box(content: str) -> str:
    return f'<div class="wide">{content}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table whose first `left` columns are words."""

    def cells(tag: str, row: Sequence[str]) -> str:
        marks = (' class="l"' if i < left else "" for i in range(len(row)))
        return "".join(f"<{tag}{mark}>{escape(c)}</{tag}>" for mark, c in zip(marks, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells("th", head)}</tr>{body}</table></div>'


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _interval(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else ""
