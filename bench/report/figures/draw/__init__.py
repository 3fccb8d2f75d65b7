"""Drawing: data of a figure in, a figure's bytes out. The one part of the reports that needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from bench.report.figures.common import Drawing
from bench.report.figures.draw import (
    canvas,
    courses,
    curves,
    diagram,
    distributions,
    heat,
    reproduction,
    scatter,
    svg,
)


def render(data: Drawing, form: canvas.ImageFormat) -> bytes:
    """Return a figure's figure: the same bytes for the same data.

    Parameters
    ----------
    data : Drawing
        What one of the functions of `bench.report.figures` prepared.
    form : {"svg", "pdf", "png"}
    """
    with canvas.style():
        figure = canvas.encode(_figure(data), form, title=data.title, description=data.description)
    if form != "svg":
        return figure
    return svg.finish(figure.decode(), title=data.title, description=data.description).encode()


def _figure(data: Any) -> Figure:
    draw: dict[str, Callable[[Any], Figure]] = {
        "contamination": curves.contamination_curves,
        "critical-difference": diagram.critical_difference,
        "heatmap": heat.heat_map,
        "histogram": distributions.score_histogram,
        "pareto": scatter.pareto,
        "reproduction": reproduction.reproduction,
        "roc": distributions.roc_curves,
        "training": courses.training_courses,
    }
    return draw[data.kind](data)
