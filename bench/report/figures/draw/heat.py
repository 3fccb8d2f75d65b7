"""Drawing of the heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from bench.report.figures.draw import canvas
from bench.report.figures.heatmap import HeatMap
from bench.report.numbers import points

#: Pale to dark blue, lightness falling evenly: it prints in grey, and no two hues need to be distinguished.
COLOURS = LinearSegmentedColormap.from_list(
    "anobench", ["#f4efe6", "#d5dde0", "#9fbfd2", "#5f9cc0", "#2f75a3", "#17507c", "#0a2f52"]
)
#: On cells, whose colours are the same on every page.
DARK_TEXT, LIGHT_TEXT, HOLE = "#14181d", "#fdfdfd", "#8a939c"
#: Share of the scale from which on light text has the higher contrast.
LIGHT_FROM = 0.62
#: Inches: a row; the narrowest column; a column that holds a number.
ROW, NARROWEST, READABLE = 0.23, 0.19, 0.29
#: Shades that are drawn, and cells up to which they hold numbers too.
LEVELS, MOST_NUMBERS = 100, 240
MOST_ACROSS = 40
#: Inches: no figure is narrower.
SMALLEST = 3.0


def heat_map(data: HeatMap) -> Figure:
    """Return the drawing; numbers stand in the cells where there is room, else a scale beside them.

    More than `MOST_ACROSS` columns go on below one another.
    """
    pieces = _pieces(data)
    rows, columns = len(data.methods), len(pieces[0].columns)
    left = canvas.text_width([method.label for method in data.methods], 8) + 0.15
    cell = min(0.7, max(NARROWEST, (canvas.WIDTH - left - 0.75) / columns))
    size = 7.5 if cell > 0.34 else 6.8
    if cell < READABLE or rows * len(data.columns) > MOST_NUMBERS:
        size = 0.0
    height = sum(
        ROW * rows + 0.2 + _height(piece.columns, cell, 0.82) + _height_below(piece, cell) for piece in pieces
    )
    figure = canvas.new(height + 0.15, width=max(SMALLEST, left + cell * columns + 0.75))
    axes = figure.subplots(len(pieces), 1, squeeze=False).ravel().tolist()
    norm = _norm(data)
    for ax, piece in zip(axes, pieces, strict=True):
        _cells(ax, piece, norm)
        if size:
            _numbers(ax, piece, norm, size)
        _lines(ax, piece)
        _names(ax, piece, cell, columns)
    if rows >= 4 or not size:
        tall = ROW * rows * len(pieces)
        mappable = ScalarMappable(norm, COLOURS)
        bar = figure.colorbar(mappable, ax=axes, pad=0.02, fraction=0.03, aspect=max(5, tall / 0.12))
        bar.set_label("AUROC (points)")
        bar.outline.set_visible(False)
    return figure


def _pieces(data: HeatMap) -> list[HeatMap]:
    """Return the map in pieces of about as many columns, or as it is."""
    count = len(data.columns)
    if count <= MOST_ACROSS:
        return [data]
    across = math.ceil(count / math.ceil(count / MOST_ACROSS))
    pieces = []
    for start in range(0, count, across):
        names = data.columns[start : start + across]
        values = tuple(held[start : start + across] for held in data.values)
        # Only the tasks of a single data set are so many: several are averaged.
        groups = tuple((name, 0, len(names)) for name, _, _ in data.groups)
        pieces.append(replace(data, columns=names, values=values, groups=groups))
    return pieces


def _norm(data: HeatMap) -> Normalize:
    """Return the scale: from the lowest value, in steps of five points, to 100; ten points at least."""
    held = [value for values in data.values for value in values if value is not None]
    low = 5 * math.floor(20 * min(held, default=0.5) + 1e-9)
    return Normalize(min(low, 90), 100)


def _height(names: Sequence[str], room: float, slant: float) -> float:
    """Return the inches that names need beside columns of so many inches, slanted where they must be."""
    wide = canvas.text_width(names, 8)
    return 0.2 if wide <= room - 0.04 else slant * wide + 0.2


def _height_below(data: HeatMap, cell: float) -> float:
    if not data.groups:
        return 0.0
    return 0.2 if _groups_fit(data, cell) else _height([name for name, _, _ in data.groups], 0, 0.6)


def _groups_fit(data: HeatMap, cell: float) -> bool:
    """Return whether the names of the data sets stand beside one another."""
    if len(data.groups) == 1:
        return True
    return all(
        canvas.text_width([name], 8) <= cell * (end - start) - 0.04 for name, start, end in data.groups
    )


def _cells(ax: Axes, data: HeatMap, norm: Normalize) -> None:
    """Draw the cells, those of one colour as one shape: large maps stay small files."""
    alike: dict[float | None, list[tuple[int, int]]] = {}
    for y, values in enumerate(data.values):
        for x, value in enumerate(values):
            level = None if value is None else round(LEVELS * float(norm(100 * value))) / LEVELS
            alike.setdefault(level, []).append((x, y))
    for level, places in alike.items():
        shape = Path.make_compound_path(
            *[Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True) for x, y in places]
        )
        look: dict[str, Any] = {"facecolor": canvas.PAPER, "edgecolor": HOLE, "hatch": "////"}
        if level is not None:
            look = {"facecolor": to_hex(COLOURS(level)), "clip_on": False}
        ax.add_patch(PathPatch(shape, linewidth=0, **look))


def _numbers(ax: Axes, data: HeatMap, norm: Normalize, size: float) -> None:
    for y, values in enumerate(data.values):
        for x, value in enumerate(values):
            if value is not None:
                colour = LIGHT_TEXT if norm(100 * value) > LIGHT_FROM else DARK_TEXT
                place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "color": colour}
                ax.text(x + 0.5, y + 0.52, points(value), **place)


def _lines(ax: Axes, data: HeatMap) -> None:
    """Separate cells by thin lines, data sets by thick ones."""
    rows, columns = len(data.methods), len(data.columns)
    ax.hlines(range(1, rows), 0, columns, colors=canvas.PAPER, linewidth=0.8)
    ax.vlines(range(1, columns), 0, rows, colors=canvas.PAPER, linewidth=0.8)
    edges = [start for _, start, _ in data.groups if start]
    ax.vlines(edges, 0, rows, colors=canvas.PAPER, linewidth=4)


def _names(ax: Axes, data: HeatMap, cell: float, across: int) -> None:
    rows, columns = len(data.methods), len(data.columns)
    ax.set(xlim=(0, across), ylim=(rows, 0))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_yticks([at + 0.5 for at in range(rows)], [method.label for method in data.methods])
    ax.set_xticks([at + 0.5 for at in range(columns)], list(data.columns))
    if canvas.text_width(data.columns, 8) > cell - 0.04:
        ax.set_xticklabels(list(data.columns), rotation=55, ha="left", rotation_mode="anchor")
    if not data.groups:
        return
    below = ax.secondary_xaxis("bottom")
    below.spines[:].set_visible(False)
    below.tick_params(length=0, pad=4)
    names = [name for name, _, _ in data.groups]
    below.set_xticks([(start + end) / 2 for _, start, end in data.groups], names)
    if not _groups_fit(data, cell):
        below.set_xticklabels(names, rotation=35, ha="right", rotation_mode="anchor")
