"""Drawing of the training courses."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.draw import canvas
from bench.report.figures.training import TrainingCourses, TrainingPanel

#: A dotted line, whatever the method's own.
DOTTED = (0, (1.2, 1.4))


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
