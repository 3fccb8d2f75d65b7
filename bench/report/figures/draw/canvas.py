"""The look of all figures, and their bytes: fixed colours, fonts as paths, nothing that depends on the day.

Colours were searched for so that any two differ clearly to eyes with and without each kind of colour
blindness (CIEDE2000 after Machado, Oliveira and Fernandes, IEEE TVCG 15, 2009) and all have contrast on the
page; every colour goes with a marker and a line style of its own, so that none is needed. Each has a
counterpart for dark pages, which `bench.report.figures.draw.svg` puts into the figure's own style sheet.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

ImageFormat = Literal["svg", "pdf", "png"]

#: Inches: the text width of a page, and of GitHub's column at 100 pixels an inch.
WIDTH = 8.2
#: Inches of names that stand beside a square figure; longer ones stand below.
MOST_BESIDE = 3.7

PAPER, INK, MUTED, GRID, FAINT = "#ffffff", "#1f2328", "#59636e", "#e3e7eb", "#8b949e"
#: One for each method that stands out: colour, marker, line style.
SERIES: tuple[tuple[str, str, Any], ...] = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", (0, (5, 1.5))),
    ("#3e6749", "^", (0, (1.5, 1.2))),
    ("#88466d", "D", (0, (6, 1.5, 1.2, 1.5))),
    ("#4e2d0a", "v", (0, (3, 1, 1, 1, 1, 1))),
    ("#009bc0", "P", (0, (8, 2))),
    ("#181818", "X", (0, (2.5, 1.5))),
    ("#460183", "*", "-"),
)
#: The same on a dark page.
DARK = {
    PAPER: "#0d1117",
    INK: "#f0f6fc",
    MUTED: "#9aa3ad",
    GRID: "#252b33",
    FAINT: "#656d76",
    "#0072b2": "#4da6e8",
    "#d55e00": "#ff8a3d",
    "#3e6749": "#638d6d",
    "#88466d": "#9c668b",
    "#4e2d0a": "#fae7af",
    "#009bc0": "#76f5ff",
    "#181818": "#aeaeae",
    "#460183": "#3a5ce9",
}

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "anobench",
    "text.color": INK,
    # A method may be called $x$: nothing is mathematics.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's own settings of matplotlib are."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name may hold a character that the font has not; the description has it.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def new(height: float, *, width: float = WIDTH, arranged: bool = True) -> Figure:
    """Return an empty figure of so many inches, arranged so that nothing overlaps."""
    figure = Figure(figsize=(width, height), layout="constrained" if arranged else None)
    if engine := figure.get_layout_engine():
        engine.set(w_pad=0.05, h_pad=0.06, wspace=0.03, hspace=0.04)  # type: ignore[call-arg]
    return figure


def look(of: int | None) -> dict[str, Any]:
    """Return the colour, marker and line style of a method; grey without a number."""
    if of is None:
        return {"color": FAINT, "linestyle": "-", "linewidth": 0.7, "marker": "", "zorder": 1.5}
    colour, marker, line = SERIES[of % len(SERIES)]
    return {
        "color": colour,
        "marker": marker,
        "linestyle": line,
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.6,
        "markersize": 8 if marker == "*" else 6 if marker in "PX" else 5,
        "zorder": 3 + 0.01 * (len(SERIES) - of),
    }


def dot(of: int | None) -> dict[str, Any]:
    """Return the look of a method that is one point."""
    found = look(of) | {"linestyle": "", "clip_on": False}
    if of is None:
        return found | {"marker": "o", "markersize": 4.5}
    return found | {"markersize": 1.35 * found["markersize"]}


def legend_width(labels: Sequence[str]) -> float:
    """Return the inches that a legend with one name a line needs."""
    return text_width(labels, 8) + 0.62


def frame(
    figure: Figure,
    handles: Sequence[Artist] = (),
    labels: Sequence[str] = (),
    note: str = "",
    *,
    most_beside: float = 2.4,
) -> None:
    """Make room for a legend beside the axes, or below where names are long, and for small print.

    Below, the figure becomes higher: the axes keep their size.
    """
    small = textwrap.wrap(note, int(16 * figure.get_figwidth()))
    bottom = 0.15 * len(small) + (0.08 if small else 0.0)
    wide = legend_width(labels)
    right, rows, columns = 0.0, 0, 1
    if labels and wide <= most_beside and len(labels) > 2:
        right = wide
    elif labels:
        columns = max(1, min(len(labels), int(figure.get_figwidth() / wide)))
        rows = math.ceil(len(labels) / columns)
    below = 0.165 * rows + (0.08 if rows else 0.0)
    width, height = figure.get_figwidth(), figure.get_figheight() + bottom + below
    figure.set_figheight(height)
    if small:
        place: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, "va": "bottom", "linespacing": 1.25}
        figure.text(0.06 / width, 0.05 / height, "\n".join(small), **place)
    if labels:
        anchor = (1 - right / width, 1.0) if right else (0.0, bottom / height)
        # A line of the legend is long enough to show its dashes.
        figure.legend(
            handles,
            labels,
            loc="upper left" if right else "lower left",
            bbox_to_anchor=anchor,
            ncols=columns,
            handlelength=3.2,
            borderaxespad=0.25,
            borderpad=0.1,
            labelspacing=0.45,
        )
    if engine := figure.get_layout_engine():
        share = (bottom + below) / height
        engine.set(rect=(0, share, 1 - right / width, 1 - share))  # type: ignore[call-arg]


def plain_logarithm(axis: Axis, decades: float, unit: str = "") -> None:
    """Label a logarithmic axis by plain numbers: powers of ten, and 2 and 5 where there are few of these."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value) + unit))
    axis.set_minor_formatter(NullFormatter())
    if decades < 2.4:
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))


def plain(value: float) -> str:
    """Return a number without an exponent from a millionth up to a million, ``2 × 10⁹`` beyond."""
    if value == 0 or 1e-6 <= abs(value) <= 1e6:
        return f"{value:,.10f}".rstrip("0").rstrip(".")
    digits, exponent = f"{value:.2e}".split("e")
    power = f"10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    digits = f"{float(digits):g}"
    return power if digits == "1" else f"{digits} × {power}"


def text_width(texts: Sequence[str], size: float, weight: str = "normal") -> float:
    """Return the inches that the widest of some texts needs at a font size in points; 0 for none."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight=weight)
    boxes = [TextPath((0, 0), text, size=size, prop=font).get_extents() for text in texts if text]
    return max((box.x1 / 72 for box in boxes), default=0.0)


def bare(axes: Axes) -> None:
    """Take away axes, ticks and grid."""
    axes.set_axis_off()
    axes.grid(visible=False)


def encode(figure: Figure, form: ImageFormat, *, title: str, description: str) -> bytes:
    """Return the figure's bytes: the same for the same figure, on any day.

    PDF and PNG carry title and description among their metadata; for SVG `svg.finish` puts them in.
    """
    held = io.BytesIO()
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None}
        | {"Title": title, "Subject": description},
        "png": {"Software": None, "Title": title, "Description": description},
    }
    figure.savefig(held, format=form, metadata=metadata[form], dpi=200 if form == "png" else 100)
    return held.getvalue()
