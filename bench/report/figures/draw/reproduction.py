"""Drawing of published numbers against ours."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.draw import canvas
from bench.report.figures.reproduction import Pair, Reproduction

#: Points of AUROC: the axes show no less than this, and the band around the line of equality is so wide.
LEAST, BAND = 6.0, 1.0


def reproduction(data: Reproduction) -> Figure:
    """Return the drawing: a square with equal axes; filled points were measured alike, hollow ones not."""
    styled = [method for method in data.methods if method.style is not None]
    grey = len(data.methods) - len(styled)
    labels = [method.label for method in styled] + ([f"{grey} other methods"] if grey else [])
    handles: list[Artist] = [Line2D([], [], **_look(method.style, filled=True)) for method in styled]
    handles += [Line2D([], [], **_look(None, filled=True))] if grey else []
    beside = canvas.legend_width(labels)
    figure = canvas.new(4.6, width=4.8 + (beside if beside < canvas.MOST_BESIDE else 0))
    ax = figure.add_subplot()
    low, high = _limits(data)
    ax.fill_between(
        [low, high], [low - BAND, high - BAND], [low + BAND, high + BAND], color=canvas.GRID, linewidth=0
    )
    ax.plot([low, high], [low, high], color=canvas.MUTED, linewidth=1.0, zorder=1.2)
    # Those that compare lie on top.
    for pair in sorted(data.pairs, key=lambda pair: pair.comparable):
        _point(ax, pair)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set_yticks([tick for tick in ax.get_xticks() if low <= tick <= high])
    ax.set_xticks(ax.get_yticks())
    ax.set_xlabel("published AUROC (points)")
    ax.set_ylabel("our AUROC (points)")
    ax.set_anchor("W")
    canvas.frame(figure, handles, labels, data.note, most_beside=canvas.MOST_BESIDE)
    return figure


def _point(ax: Axes, pair: Pair) -> None:
    x, y = 100 * pair.theirs, 100 * pair.ours
    look = _look(pair.method.style, filled=pair.comparable)
    if pair.interval:
        low, high = pair.interval
        ax.plot([x, x], [100 * low, 100 * high], color=look["color"], linewidth=1.0, zorder=look["zorder"])
    ax.plot([x], [y], **look)


def _look(style: int | None, *, filled: bool) -> dict[str, Any]:
    look = canvas.dot(style)
    if not filled:
        look |= {"markerfacecolor": canvas.PAPER, "markeredgecolor": look["color"], "markeredgewidth": 1.1}
    return look


def _limits(data: Reproduction) -> tuple[float, float]:
    """Return the ends of both axes: all points and room around them, no less than `LEAST`, 100 at most."""
    held = [100 * value for pair in data.pairs for value in (pair.theirs, pair.ours, *(pair.interval or ()))]
    low, high = min(held), max(held)
    margin = max(0.06 * (high - low), (LEAST - (high - low)) / 2, 0.5)
    top = min(high + margin, 100.0)
    return max(0.0, min(math.floor(low - margin), top - LEAST)), top
