"""Drawing of AUROC against time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.draw import canvas, placing
from bench.report.figures.pareto import Pareto, Spot

#: Seconds are shown from here on: the clock tells no less.
SHORTEST = 1e-4
#: Names of at most so many characters stand beside their points; of longer ones so many are listed below.
DIRECT_NAME, MOST_NUMBERED = 24, 16


def pareto(data: Pareto) -> Figure:
    """Return the drawing: names beside the points as far as there is room, those of the front first.

    Where names are long, numbers stand beside the points, and the names below.
    """
    figure = canvas.new(4.0)
    ax = figure.add_subplot()
    ax.set_xscale("log")
    spots = sorted(
        data.spots, key=lambda spot: (not spot.front, spot.method.style is None, -spot.auroc, spot.seconds)
    )
    places = [_place(spot) for spot in spots]
    _limits(ax, [x for x, _ in places], [y for _, y in places])
    for spot, (x, y) in zip(spots, places, strict=True):
        ax.plot([x], [y], **canvas.dot(spot.method.style))
    steps = _front(ax, data.spots)
    ax.set_xlabel(f"{data.time} seconds per cell")
    ax.set_ylabel(f"AUROC (points), {data.averaged}")
    names, handles, labels = _names(spots)
    rest = "" if len(names) == len(spots) else f"{len(spots) - len(names)} others without a name."
    words = ("Line, bold: no method is both faster and better.", rest, data.note)
    canvas.frame(figure, handles, labels, " ".join(word for word in words if word))
    figure.draw_without_rendering()
    bold = [spot.front for spot in spots]
    placing.write_names(ax, places, [*names, *[""] * (len(spots) - len(names))], bold=bold, lines=steps)
    return figure


def _place(spot: Spot) -> tuple[float, float]:
    return max(spot.seconds, SHORTEST), 100 * spot.auroc


def _names(spots: Sequence[Spot]) -> tuple[list[str], list[Artist], list[str]]:
    """Return what stands beside the points, and a legend where that is numbers."""
    names = [spot.method.label for spot in spots]
    if max(map(len, names)) <= DIRECT_NAME:
        return names, [], []
    listed = spots[:MOST_NUMBERED]
    handles: list[Artist] = [Line2D([], [], **canvas.dot(spot.method.style)) for spot in listed]
    labels = [f"{at}  {spot.method.label}" for at, spot in enumerate(listed, 1)]
    return [str(at) for at in range(1, len(listed) + 1)], handles, labels


def _front(ax: Axes, spots: Sequence[Spot]) -> list[tuple[float, float, float, float]]:
    """Draw the front as steps, what is the best AUROC for so many seconds; return its lines."""
    held = [_place(spot) for spot in spots if spot.front]
    right = ax.get_xlim()[1]
    x, y = [*(x for x, _ in held), right], [*(y for _, y in held), held[-1][1]]
    ax.step(x, y, where="post", color=canvas.MUTED, linewidth=1.0, zorder=1.8)
    level = [(x[at], y[at], x[at + 1], y[at]) for at in range(len(held))]
    return level + [(x[at + 1], y[at], x[at + 1], y[at + 1]) for at in range(len(held))]


def _limits(ax: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Leave room for names; show a factor of ten in time and four points of AUROC at least."""
    low, high = math.log10(min(x)), math.log10(max(x))
    middle, half = (low + high) / 2, max(0.62 * (high - low) + 0.12, 0.55)
    ax.set_xlim(10 ** (middle - half), 10 ** (middle + half))
    margin = max(0.08 * (max(y) - min(y)), 2 - (max(y) - min(y)) / 2, 0.5)
    ax.set_ylim(min(y) - margin, max(y) + margin)
    canvas.plain_logarithm(ax.xaxis, 2 * half, " s")
