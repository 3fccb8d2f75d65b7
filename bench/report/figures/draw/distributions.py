"""Drawing of score histograms and ROC curves."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.draw import canvas
from bench.report.figures.histogram import ScoreHistogram
from bench.report.figures.roc import RocCurves
from bench.report.numbers import points


def score_histogram(data: ScoreHistogram) -> Figure:
    """Return the drawing: a filled and a hatched outline, which also differ without colours."""
    figure = canvas.new(2.9, width=6.4)
    ax = figure.add_subplot()
    normal, anomalous = canvas.SERIES[0][0], canvas.SERIES[1][0]
    for heights, colour, hatch, line in (
        (data.normal, normal, "", "-"),
        (data.anomalous, anomalous, "//////", (0, (5, 1.5))),
    ):
        ax.stairs(100 * heights, data.edges, fill=True, color=colour, alpha=0.18, linewidth=0)
        if hatch:
            ax.stairs(
                100 * heights,
                data.edges,
                fill=True,
                facecolor="none",
                edgecolor=colour,
                hatch=hatch,
                linewidth=0,
            )
        ax.stairs(100 * heights, data.edges, color=colour, linewidth=1.5, linestyle=line)
    ax.set_title(f"{data.method}: {data.where}")
    if data.logarithmic:
        ax.set_xscale("log")
        canvas.plain_logarithm(ax.xaxis, math.log10(data.edges[-1] / data.edges[0]))
    ax.set_xlabel(f"score{', logarithmic' if data.logarithmic else ''} (higher = more anomalous)")
    ax.set_ylabel("share of the class (%)")
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
    handles: list[Artist] = [
        Patch(facecolor=normal, alpha=0.35, edgecolor=normal),
        Patch(facecolor="none", edgecolor=anomalous, hatch="//////"),
    ]
    names = [f"{count:,} {name}" for count, name in zip(data.images, ("normal", "anomalous"), strict=True)]
    ax.legend(handles, names, loc="best")
    outside = [
        f"{count:,} scores lie {where} what is shown."
        for count, where in zip(data.outside, ("below", "above"), strict=True)
        if count
    ]
    canvas.frame(figure, note=" ".join([f"AUROC {points(data.auroc)}.", *outside]))
    return figure


def roc_curves(data: RocCurves) -> Figure:
    """Return the drawing: a square, a band around each curve."""
    labels = [f"{curve.label}  {points(curve.auroc)}" for curve in data.curves]
    beside = canvas.legend_width(labels)
    figure = canvas.new(4.3, width=4.5 + (beside if beside < canvas.MOST_BESIDE else 0))
    ax = figure.add_subplot()
    ax.plot([0, 100], [0, 100], color=canvas.FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1.2)
    x = 100 * data.fpr
    marks = max(1, len(x) // 10)
    handles: list[Artist] = []
    for at, curve in enumerate(data.curves):
        look = canvas.look(curve.style)
        # Markers of different curves stand at different places.
        start = 2 + at * marks // max(1, len(data.curves))
        ax.plot(x, 100 * curve.tpr, **look, markevery=(start, marks), clip_on=False)
        ax.fill_between(
            x, 100 * curve.low, 100 * curve.high, color=look["color"], alpha=0.13, linewidth=0, zorder=2
        )
        handles.append(Line2D([], [], **look))
    ax.set(xlim=(0, 100), ylim=(0, 100.5), aspect="equal")
    ax.set_xlabel("false positives (% of the normal images)")
    ax.set_ylabel("true positives (% of the anomalous images)")
    ax.set_title(data.where)
    ax.set_anchor("W")
    canvas.frame(figure, handles, labels, data.note, most_beside=canvas.MOST_BESIDE)
    return figure
