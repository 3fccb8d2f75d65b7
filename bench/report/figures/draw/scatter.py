"""Drawing of AUROC against time, with names beside points, and of published numbers against ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from bench.report.figures.draw import canvas
from bench.report.figures.scatter import Pair, Pareto, Reproduction, Spot

#: Seconds are shown from here on: no clock measures less.
SHORTEST = 1e-4
#: Names of at most so many characters stand beside their points; of longer ones so many are listed below.
DIRECT_NAME, MOST_NUMBERED = 24, 16


#: Where a name may stand: offset from its point in points of type, and how it is aligned there.
_PLACES = (
    (6, 0, "left", "center"),
    (-6, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (5, 5, "left", "bottom"),
    (-5, 5, "right", "bottom"),
    (5, -5, "left", "top"),
    (-5, -5, "right", "top"),
)
#: Points of AUROC: the axes show no less than this, and the band around the line of equality is so wide.
LEAST, BAND = 6.0, 1.0


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
    write_names(ax, places, [*names, *[""] * (len(spots) - len(names))], bold=bold, lines=steps)
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


def write_names(
    ax: Axes,
    spots: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    bold: Sequence[bool],
    lines: Iterable[tuple[float, float, float, float]] = (),
    size: float = 8,
) -> int:
    """Write names beside points, the first ones first, each where it covers no point, name or line.

    The axes' place in the figure must be final.

    Parameters
    ----------
    ax : Axes
    spots : sequence of (float, float)
        In the axes' data.
    names : sequence of str
        One for each point; those that find no place are left out.
    bold : sequence of bool
    lines : iterable of (float, float, float, float)
        From x, y to x, y, level or upright.
    size : float
        Of the type, in points.

    Returns
    -------
    int
        How many have found a place.
    """
    scale = ax.figure.dpi / 72
    inside = ax.get_window_extent()
    points = [ax.transData.transform(spot) for spot in spots]
    taken = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in points]
    taken += [_along(ax, line, scale) for line in lines]
    written = 0
    for at, (text, (x, y)) in enumerate(zip(names, points, strict=True)):
        weight = "bold" if bold[at] else "normal"
        width = 72 * canvas.text_width([text], size, weight) * scale
        for right, up, ha, va in _PLACES:
            box = _box(x + right * scale, y + up * scale, width, 1.1 * size * scale, ha, va)
            if any(box.overlaps(other) for other in taken) or not _within(box, inside):
                continue
            place: dict[str, Any] = {"ha": ha, "va": va, "textcoords": "offset points"}
            ax.annotate(text, spots[at], xytext=(right, up), fontsize=size, fontweight=weight, **place)
            taken.append(box)
            written += 1
            break
    return written


def _along(ax: Axes, line: tuple[float, float, float, float], scale: float) -> Bbox:
    (x0, y0), (x1, y1) = ax.transData.transform([line[:2], line[2:]])
    return Bbox([[min(x0, x1) - scale, min(y0, y1) - scale], [max(x0, x1) + scale, max(y0, y1) + scale]])


def _within(box: Bbox, other: Bbox) -> bool:
    return bool(other.x0 <= box.x0 and box.x1 <= other.x1 and other.y0 <= box.y0 and box.y1 <= other.y1)


def _box(x: float, y: float, width: float, height: float, ha: str, va: str) -> Bbox:
    left = x - {"left": 0.0, "center": width / 2, "right": width}[ha]
    low = y - {"bottom": 0.0, "center": height / 2, "top": height}[va]
    return Bbox.from_bounds(left, low, width, height)


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
    low, high = _equal_limits(data)
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


def _equal_limits(data: Reproduction) -> tuple[float, float]:
    """Return the ends of both axes: all points and room around them, no less than `LEAST`, 100 at most."""
    held = [100 * value for pair in data.pairs for value in (pair.theirs, pair.ours, *(pair.interval or ()))]
    low, high = min(held), max(held)
    margin = max(0.06 * (high - low), (LEAST - (high - low)) / 2, 0.5)
    top = min(high + margin, 100.0)
    return max(0.0, min(math.floor(low - margin), top - LEAST)), top
