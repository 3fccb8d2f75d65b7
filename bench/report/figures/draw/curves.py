"""Drawing of the contamination curves."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.contamination import ContaminationCurves, Curve, Panel
from bench.report.figures.draw import canvas
from bench.report.markdown import percent


def contamination_curves(data: ContaminationCurves) -> Figure:
    """Return the drawing: panels of about the same size, three or fewer in a row."""
    count = len(data.panels)
    across = count if count <= 3 else 2 if count == 4 else 3
    down = math.ceil(count / across)
    figure = canvas.new(2.6 * down + 0.15 if across > 1 else 3.4)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for at, (ax, panel) in enumerate(zip(axes, data.panels, strict=False)):
        _panel(ax, panel, data.rates)
        if at % across == 0:
            ax.set_ylabel("AUROC (points)")
        if at + across >= count:
            ax.set_xlabel("contamination")
    for ax in axes[count:]:
        canvas.bare(ax)
    shown = [curve.method for curve in data.panels[0].curves]
    handles: list[Artist] = [
        Line2D([], [], **canvas.look(each.style)) for each in shown if each.style is not None
    ]
    canvas.frame(figure, handles, [each.label for each in shown if each.style is not None], data.note)
    return figure


def _panel(ax: Axes, panel: Panel, rates: tuple[float, ...]) -> None:
    for curve in panel.curves:
        _curve(ax, curve, rates)
    ax.set_title(panel.title)
    ax.set_xticks([100 * rate for rate in rates], [percent(rate) for rate in rates])
    if len(rates) > 6:
        ax.tick_params(axis="x", labelrotation=45)
    span = max(rates) - min(rates)
    ax.set_xlim(100 * (min(rates) - 0.04 * span), 100 * (max(rates) + 0.04 * span))
    low, high = ax.get_ylim()
    # Differences below a point are not blown up to fill the panel.
    if high - low < 4:
        middle = (low + high) / 2
        ax.set_ylim(middle - 2, middle + 2)
    ax.set_ylim(top=min(ax.get_ylim()[1], 100.8))


def _curve(ax: Axes, curve: Curve, rates: tuple[float, ...]) -> None:
    x = [100 * rate for rate in rates]
    ax.plot(x, _points(curve.means), **canvas.look(curve.method.style), clip_on=False)
    if curve.method.style is not None:
        colour = canvas.look(curve.method.style)["color"]
        ax.fill_between(
            x, _points(curve.lows), _points(curve.highs), color=colour, alpha=0.16, linewidth=0, zorder=2
        )


def _points(values: tuple[float | None, ...]) -> list[float]:
    """Return values in points, NaN (which leaves a gap) where there is none."""
    return [math.nan if value is None else 100 * value for value in values]
