"""Drawing of the critical-difference diagram."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.critical import CriticalDifference
from bench.report.figures.draw import canvas

#: Inches: between two names, between two bars, above the axis.
LINE, BAR, TOP = 0.19, 0.1, 0.62


def critical_difference(data: CriticalDifference) -> Figure:
    """Return the drawing after Demsar (JMLR 7, 2006, figure 1): the best rank is on the left."""
    count = len(data.methods)
    left = math.ceil(count / 2)
    names = canvas.text_width([method.label for method in data.methods], 8) + 0.55
    bars = _levels(data)
    depth = 0.16 + BAR * (max(bars, default=-1) + 1)
    wide = max(canvas.WIDTH, 2 * names + min(4.0, 0.6 + 0.14 * count))
    figure = canvas.new(TOP + depth + LINE * (left + 0.6), width=wide, arranged=False)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    canvas.frame(figure, note=data.words)
    width, height = figure.get_figwidth(), figure.get_figheight()
    ax.set(xlim=(0, width), ylim=(height, 0))
    canvas.bare(ax)
    start, end = names + 0.1, width - names - 0.1
    at = [start + (rank - 1) / max(count - 1, 1) * (end - start) for rank in data.ranks]
    _scale(ax, count, start, end)
    unit = (end - start) / max(count - 1, 1)
    if data.difference is not None:
        _difference(ax, data.difference, start, unit)
    for (first, last), level in zip(data.groups, bars, strict=True):
        y = TOP + 0.14 + BAR * level
        ax.plot([at[first] - 0.04, at[last] + 0.04], [y, y], color=canvas.INK, linewidth=3.2, zorder=4)
    for place, (method, rank, x) in enumerate(zip(data.methods, data.ranks, at, strict=True)):
        on_left = place < left
        row = place if on_left else count - 1 - place
        y = TOP + depth + LINE * (row + 0.7)
        edge = start - 0.1 if on_left else end + 0.1
        ax.plot([x, x, edge], [TOP, y, y], color=canvas.MUTED, linewidth=0.9)
        side: dict[str, Any] = {"ha": "right" if on_left else "left", "va": "center"}
        ax.text(edge - 0.45 if on_left else edge + 0.45, y, method.label, fontsize=8, **side)
        ax.text(
            edge - 0.05 if on_left else edge + 0.05,
            y,
            f"{rank:.2f}",
            fontsize=7.5,
            color=canvas.MUTED,
            **side,
        )
    return figure


def _levels(data: CriticalDifference) -> list[int]:
    """Return on which level each bar is drawn, so that no two touch."""
    ends: list[float] = []
    levels = []
    for first, last in data.groups:
        free = [level for level, end in enumerate(ends) if data.ranks[first] > end + 0.05]
        level = free[0] if free else len(ends)
        ends[level : level + 1] = [data.ranks[last]]
        levels.append(level)
    return levels


def _scale(ax: Axes, count: int, start: float, end: float) -> None:
    ax.plot([start, end], [TOP, TOP], color=canvas.INK, linewidth=1.0)
    step = max(1, math.ceil(count / 12))
    for rank in [*range(1, count - step // 2, step), count]:
        x = start + (rank - 1) / max(count - 1, 1) * (end - start)
        ax.plot([x, x], [TOP - 0.06, TOP], color=canvas.INK, linewidth=1.0)
        ax.text(x, TOP - 0.09, str(rank), fontsize=8, ha="center", va="bottom")
    ax.text(start - 0.15, TOP, "best", fontsize=7.5, color=canvas.MUTED, ha="right", va="center")


def _difference(ax: Axes, difference: float, start: float, unit: float) -> None:
    """Draw the critical difference to scale, above the axis."""
    y, x = TOP - 0.4, start + difference * unit
    ax.plot([start, x], [y, y], color=canvas.INK, linewidth=1.2)
    for each in (start, x):
        ax.plot([each, each], [y - 0.04, y + 0.04], color=canvas.INK, linewidth=1.2)
    ax.text(x + 0.08, y, f"critical difference {difference:.2f}", fontsize=8, ha="left", va="center")
