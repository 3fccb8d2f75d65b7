"""Drawing of images with their masks' outlines and anomaly maps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bench.report.figures.common import shortened
from bench.report.figures.draw import canvas
from bench.report.figures.draw.heat import COLOURS
from bench.report.figures.examples import MapExamples

#: Colour of a mask's outline, on images and on maps.
OUTLINE = "#d55e00"
#: Inches of a title above a pair, and between rows.
TITLE = 0.42
#: Images and maps beside one another.
ACROSS = 6
#: Characters of a kind's name.
LONGEST = 18


def map_examples(data: MapExamples) -> Figure:
    """Return the drawing: a row for each kind; image and map of the best, the median and the worst."""
    k, height, width = data.maps.shape
    kinds = shortened(data.kinds, LONGEST)
    rows = -(-k // (ACROSS // 2))
    side = (canvas.WIDTH - 1.1) / ACROSS
    figure = canvas.new(rows * (side * height / width + TITLE) + 0.6)
    grid = figure.subplots(rows, ACROSS, squeeze=False)
    finite = data.maps[np.isfinite(data.maps)].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1)
    for at in range(rows * ACROSS // 2):
        image, heat = grid[at * 2 // ACROSS][at * 2 % ACROSS : at * 2 % ACROSS + 2]
        for ax in (image, heat):
            ax.set_axis_off()
        if at < k:
            image.imshow(data.images[at], interpolation="nearest")
            shown = heat.imshow(
                data.maps[at].astype(np.float64), cmap=COLOURS, norm=norm, interpolation="nearest"
            )
            _outline(image, data.masks[at])
            _outline(heat, data.masks[at])
            alarm = " ▲" if data.scores[at] > data.threshold else ""
            image.set_title(f"{kinds[at]}\n{data.places[at]}", fontsize=7)
            heat.set_title(f"{data.scores[at]:.4g}{alarm}", fontsize=7, fontweight="normal")
    bar = figure.colorbar(shown, ax=grid.ravel().tolist(), pad=0.02, fraction=0.02, aspect=30)
    bar.set_label("score of a pixel", fontsize=7)
    figure.supxlabel(f"▲ score of the image above {data.threshold:.4g}: {data.rule}", fontsize=7)
    bar.outline.set_visible(False)
    return figure


def _outline(ax: Axes, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    if mask.any() and not mask.all():
        ax.contour(mask.astype(float), levels=[0.5], colors=[OUTLINE], linewidths=0.9)
