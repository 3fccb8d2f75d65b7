"""Drawing of the contamination curves, of the training courses and of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.contamination import ContaminationCurves, ContaminationPanel, Curve
from bench.report.figures.draw import canvas
from bench.report.figures.losses import LossCurves, Losses
from bench.report.figures.training import TrainingCourses, TrainingPanel
from bench.report.numbers import percent

#: So many labels of rates stand side by side in a panel.
NARROWEST = 9
#: A dotted line, whatever the method's own.
DOTTED = (0, (1.2, 1.4))


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


def _panel(ax: Axes, panel: ContaminationPanel, rates: tuple[float, ...]) -> None:
    x = [100 * rate for rate in rates]
    _grey(ax, [curve for curve in panel.curves if curve.method.style is None], x)
    for curve in panel.curves:
        if curve.method.style is not None:
            _curve(ax, curve, x)
    ax.set_title(panel.title)
    span = max(rates) - min(rates)
    ax.set_xticks(x, _labels(rates, span / NARROWEST))
    ax.set_xlim(100 * (min(rates) - 0.04 * span), 100 * (max(rates) + 0.04 * span))
    low, high = ax.get_ylim()
    # Differences below a point are not blown up to fill the panel.
    if high - low < 4:
        middle = (low + high) / 2
        ax.set_ylim(middle - 2, middle + 2)
    ax.set_ylim(top=min(ax.get_ylim()[1], 100.8))


def _labels(rates: Sequence[float], gap: float) -> list[str]:
    """Return the labels of ascending rates; none where one would run into its neighbour or the last."""
    said = [rates[0]]
    for rate in rates[1:-1]:
        if rate - said[-1] >= gap and rates[-1] - rate >= gap:
            said.append(rate)
    said.append(rates[-1])
    return [percent(rate) if rate in said else "" for rate in rates]


def _curve(ax: Axes, curve: Curve, x: list[float]) -> None:
    look = canvas.look(curve.method.style)
    ax.plot(x, _points(curve.means), **look, clip_on=False)
    lows, highs = _points(curve.lows), _points(curve.highs)
    ax.fill_between(x, lows, highs, color=look["color"], alpha=0.16, linewidth=0, zorder=2)


def _grey(ax: Axes, curves: Sequence[Curve], x: list[float]) -> None:
    """Draw curves without a style as one line with gaps: many of them stay a small file."""
    y = [value for curve in curves for value in (*_points(curve.means), math.nan)]
    ax.plot([*x, math.nan] * len(curves), y, **canvas.look(None), clip_on=False)


def _points(values: tuple[float | None, ...]) -> list[float]:
    """Return values in points, NaN (which leaves a gap) where there is none."""
    return [math.nan if value is None else 100 * value for value in values]


def training_courses(data: TrainingCourses) -> Figure:
    """Return the drawing: a column for each task, AUROC above, mean scores below."""
    across = len(data.panels)
    figure = canvas.new(4.6)
    axes = figure.subplots(2, across, squeeze=False, sharex="col")
    for at, panel in enumerate(data.panels):
        above, below = axes[0][at], axes[1][at]
        _aurocs(above, panel)
        _scores(below, panel)
        below.set_xlabel(data.unit)
        if at == 0:
            above.set_ylabel("AUROC (points)")
            below.set_ylabel("mean score")
    shown = {course.method.label: course.method.style for panel in data.panels for course in panel.courses}
    styled = {label: style for label, style in shown.items() if style is not None}
    handles: list[Artist] = [Line2D([], [], **canvas.look(style)) for style in styled.values()]
    canvas.frame(figure, handles, list(styled), data.note)
    return figure


def _aurocs(ax: Axes, panel: TrainingPanel) -> None:
    for course in panel.courses:
        look = canvas.look(course.method.style)
        values = [100 * value for value in course.aurocs]
        ax.plot(course.at, values, **look)
        # What the course is to be compared with: the start.
        ax.axhline(values[0], color=look["color"], linewidth=0.8, linestyle=DOTTED, zorder=1.8)
    ax.set_title(panel.title)
    low, high = ax.get_ylim()
    if high - low < 4:
        middle = (low + high) / 2
        ax.set_ylim(middle - 2, middle + 2)


def _scores(ax: Axes, panel: TrainingPanel) -> None:
    held: list[float] = []
    for course in panel.courses:
        look = canvas.look(course.method.style)
        normal, anomalous = _known(course.normal), _known(course.anomalous)
        ax.plot(course.at, anomalous, **look)
        ax.plot(course.at, normal, **look | {"linestyle": DOTTED, "marker": ""})
        held += [value for value in (*normal, *anomalous) if not math.isnan(value)]
    if held and min(held) > 0 and max(held) > 5 * min(held):
        ax.set_yscale("log")
        canvas.plain_logarithm(ax.yaxis, math.log10(max(held) / min(held)))


def _known(values: tuple[float | None, ...]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def loss_curves(data: LossCurves) -> Figure:
    """Return the drawing: a panel for each training, three or fewer in a row."""
    many = len(data.panels)
    across = many if many <= 3 else 2 if many == 4 else 3
    down = math.ceil(many / across)
    figure = canvas.new(2.3 * down + 0.4)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for at, (ax, panel) in enumerate(zip(axes, data.panels, strict=False)):
        _losses(ax, panel)
        if at % across == 0:
            ax.set_ylabel("mean loss")
        if at + across >= many:
            ax.set_xlabel("share of the training")
    for ax in axes[many:]:
        canvas.bare(ax)
    canvas.frame(figure, [], [], data.note)
    return figure


def _losses(ax: Axes, panel: Losses) -> None:
    plain = canvas.look(panel.method.style) | {"marker": ""}
    for course in panel.tasks if len(panel.tasks) > 1 else ():
        ax.plot(_shares(len(course)), course, **plain | {"linewidth": 0.6, "linestyle": "-", "alpha": 0.45})
    if len({len(course) for course in panel.tasks}) == 1:
        middle = [math.fsum(values) / len(values) for values in zip(*panel.tasks, strict=True)]
        ax.plot(_shares(len(middle)), middle, **plain | {"linestyle": "-"})
    part = "" if panel.part == "training" else f"\n{panel.part}"
    ax.set_title(f"{panel.method.label}{part}", fontsize=8)
    ax.set_xticks([0, 50, 100], ["0 %", "50 %", "100 %"])
    held = [value for course in panel.tasks for value in course]
    if min(held) > 0 and max(held) > 5 * min(held):
        ax.set_yscale("log")
        canvas.plain_logarithm(ax.yaxis, math.log10(max(held) / min(held)))


def _shares(points: int) -> list[float]:
    """Return where the middle of each of so many equal parts is, in percent."""
    return [100 * (at + 0.5) / points for at in range(points)]
