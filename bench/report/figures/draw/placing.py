"""Names beside points, placed one after the other where nothing is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from bench.report.figures.draw import canvas

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
