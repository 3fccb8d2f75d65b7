"""Drawing: a figure's data in, an image's bytes out. The one part of the reports that needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from bench.core.files import readable
from bench.report.figures.common import Drawing
from bench.report.figures.draw import (
    canvas,
    curves,
    diagram,
    distributions,
    examples,
    heat,
    scatter,
    svg,
)


def render(data: Drawing, form: canvas.ImageFormat) -> bytes:
    """Return an image of a figure: the same bytes for the same data.

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
    return readable(svg.finish(figure.decode(), title=data.title, description=data.description)).encode()


def _figure(data: Any) -> Figure:
    draw: dict[str, Callable[[Any], Figure]] = {
        "contamination": curves.contamination_curves,
        "critical-difference": diagram.critical_difference,
        "heatmap": heat.heat_map,
        "histogram": distributions.score_histogram,
        "losses": curves.loss_curves,
        "maps": examples.map_examples,
        "pareto": scatter.pareto,
        "reproduction": scatter.reproduction,
        "roc": distributions.roc_curves,
        "training": curves.training_courses,
    }
    return draw[data.kind](data)
