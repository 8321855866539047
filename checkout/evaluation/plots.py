"""The plots of an evaluation, as SVG that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from checkout.evaluation.calibration import Calibration
from checkout.evaluation.confusions import ProductConfusion
from checkout.evaluation.curves import EventCurve
from checkout.evaluation.detections import DetectionScore

COLOURS = ("#2f6db3", "#d9772b", "#3d9970", "#7a5bb0")
INK, SOFT, LINE = "#22252a", "#666c75", "#dcd9d3"
MOST_PRODUCTS = 16
"""Assumed: a larger matrix cannot be read; the products that are confused most are kept."""


def detection_curves(detections: Sequence[DetectionScore]) -> str:
    """Precision over recall of each class at an overlap of 0.5."""
    figure, axes = _figure(5.2, 4.0)
    for score, colour in zip(detections, COLOURS, strict=False):
        recall = np.linspace(0.0, 1.0, len(score.precision_at_recall))
        axes.plot(
            recall,
            score.precision_at_recall,
            color=colour,
            lw=2,
            label=f"{score.label}: mAP50 {score.map50:.3f}",
        )
    _precision_recall(axes)
    return _svg(figure)


def event_curves(curves: Sequence[EventCurve]) -> str:
    """Precision over recall of shelf events when only the surer ones are believed; the dot is where F1 is best."""
    figure, axes = _figure(5.2, 4.0)
    for curve, colour in zip(curves, COLOURS, strict=False):
        if not curve.points:
            continue
        recall, precision = ([getattr(p, name) for p in curve.points] for name in ("recall", "precision"))
        best = max(curve.points, key=lambda p: p.f1)
        label = f"{curve.kind}: F1 {curve.points[-1].f1:.3f}, best {best.f1:.3f} from {best.threshold:.2f} on"
        axes.plot(recall, precision, color=colour, lw=2, label=label)
        axes.plot([best.recall], [best.precision], "o", color=colour)
    _precision_recall(axes)
    return _svg(figure)


def reliability(calibration: Sequence[Calibration]) -> str:
    """Share right over confidence, one panel an aspect; bars are 95 % Wilson intervals of the bins."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * max(1, len(calibration)), 3.9), layout="constrained")
    panels = figure.subplots(1, max(1, len(calibration)), squeeze=False)[0]
    for axes, one, colour in zip(panels, calibration, COLOURS, strict=False):
        table = one.reliability
        confidence, right, count = (table[n].to_numpy(float) for n in ("confidence", "right", "count"))
        low, high = wilson(right * count, count)
        axes.plot([0, 1], [0, 1], ls="--", color=SOFT, lw=1)
        axes.vlines(confidence, low, high, color=colour, alpha=0.45, lw=2)
        axes.plot(confidence, right, "o", color=colour, ms=5)
        axes.set_title(
            f"{one.aspect}: ECE {one.ece:.3f}\n95 % {one.ece_ci95[0]:.3f}-{one.ece_ci95[1]:.3f}, {one.events} events",
            fontsize=10, color=INK,
        )  # fmt: skip
        _style(axes, "confidence", "share right")
        axes.set_aspect("equal")
    return _svg(figure)


def product_matrix(confusions: Sequence[ProductConfusion]) -> str:
    """Which products were taken for which: rows are what it was, columns what was said; only those confused."""
    count: dict[str, int] = {}
    for c in confusions:
        for name in (c.product, c.said):
            count[name] = count.get(name, 0) + c.events
    kept = sorted(sorted(count, key=lambda n: (-count[n], n))[:MOST_PRODUCTS])
    shown = [c for c in confusions if c.product in kept and c.said in kept]
    rows, columns = (sorted({getattr(c, side) for c in shown}) for side in ("product", "said"))
    matrix = np.zeros((len(rows), len(columns)))
    for c in shown:
        matrix[rows.index(c.product), columns.index(c.said)] = c.events
    figure, axes = _figure(3.2 + 0.36 * len(columns), 2.6 + 0.32 * len(rows))
    most = max(2.0, 1.6 * float(matrix.max(initial=0.0)))  # the darkest colours would hide the numbers
    axes.imshow(matrix, cmap="Oranges", vmin=0, vmax=most, aspect="auto")
    for i, j in zip(*np.nonzero(matrix), strict=True):
        axes.text(j, i, f"{matrix[i, j]:.0f}", ha="center", va="center", fontsize=9, color=INK)
    axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("what was said", color=SOFT)
    axes.set_ylabel("what it was", color=SOFT)
    axes.tick_params(length=0, colors=INK)
    for side in axes.spines.values():
        side.set_color(LINE)
    return _svg(figure)


def plate_plot(
    t_s: np.ndarray, plates: Mapping[str, np.ndarray], total: np.ndarray, events_s: Sequence[float]
) -> str:
    """Loads [n] in time of single plates and of a facing's together, grams, with the times of its events."""
    figure, axes = _figure(7.2, 2.3)
    for plate, grams in plates.items():
        axes.plot(t_s, grams, lw=0.9, color=SOFT, alpha=0.6)
        axes.annotate(plate.rsplit(".", 1)[1], (t_s[-1], grams[-1]), fontsize=7, color=SOFT)
    axes.plot(t_s, total, lw=1.8, color=COLOURS[0])
    for at in events_s:
        axes.axvline(at, color=COLOURS[1], lw=1.2, ls="--")
    _style(axes, "seconds", "grams")
    axes.set_xlim(float(t_s[0]), float(t_s[-1]))
    axes.autoscale(axis="y")
    return _svg(figure)


def wilson(right: np.ndarray, count: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of shares right / count (Wilson 1927)."""
    share = right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return middle - half, middle + half


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _precision_recall(axes: Any) -> None:
    _style(axes, "recall", "precision")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", fontsize=8.5, frameon=False, labelcolor=INK)


def _style(axes: Any, x: str, y: str) -> None:
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x, color=SOFT)
    axes.set_ylabel(y, color=SOFT)
    axes.grid(color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=9)
    for name, side in axes.spines.items():
        side.set_visible(name in ("left", "bottom"))
        side.set_color(LINE)


def _svg(figure: Any) -> str:
    """The figure as an SVG element; the same figure always gives the same text."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "checkout", "font.family": "DejaVu Sans"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
