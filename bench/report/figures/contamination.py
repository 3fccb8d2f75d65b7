"""Data of the contamination curves: mean AUROC against the rate of anomalies among the train images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.core.errors import FigureError
from bench.report.board import Board
from bench.report.figures.common import (
    ALL,
    ONE_CLASS,
    Choice,
    Named,
    clean,
    dataset_title,
    named,
    others_note,
    shown_rows,
    the_datasets,
)
from bench.report.numbers import percent, points, rate_name

#: More data sets than this are shown by their average alone.
MOST_PANELS = 8


@dataclass(frozen=True, slots=True)
class Curve:
    """One method in one panel; all in [0, 1], one value for each rate.

    Attributes
    ----------
    method : Named
    means : tuple of float or None
        None where a cell failed, is missing or has no AUROC.
    lows, highs : tuple of float or None
        The band; None where there is no spread.
    """

    method: Named
    means: tuple[float | None, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ContaminationPanel:
    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class ContaminationCurves:
    """The figure: a panel for the average, where there are several data sets, and one for each of them."""

    kind: ClassVar[str] = "contamination"
    suite: str
    rates: tuple[float, ...]
    panels: tuple[ContaminationPanel, ...]
    note: str

    @property
    def title(self) -> str:
        return f"{self.suite}: AUROC against contamination"

    @property
    def description(self) -> str:
        first = self.panels[0]
        rates = ", ".join(percent(rate) for rate in self.rates)
        listed = [
            f"{curve.method.label} {', '.join(_printed(mean) for mean in curve.means)}"
            for curve in first.curves
            if curve.method.style is not None
        ]
        more = len(first.curves) - len(listed)
        rest = f"; and {more} others" if more else ""
        return f"Mean AUROC in points at {rates} contamination, {first.title}: {'; '.join(listed)}{rest}."


def contamination_curves(board: Board, choice: Choice = ALL) -> ContaminationCurves:
    """Return the curves of a suite.

    Raises
    ------
    FigureError
        The suite has fewer than two rates, or nothing of what was chosen.
    """
    rates = tuple(sorted(board.rates))
    if len(rates) < 2:
        raise FigureError(
            "contamination curves need two rates or more; this suite has one, "
            f"{rate_name(rates[0])} (add rates to its [contamination])"
        )
    datasets = the_datasets(board, choice)
    columns = [column for of in datasets.values() for column in of]
    methods = named(board, shown_rows(board, choice, columns, board.rates))
    blocks = {dataset_title(board, name): [of] for name, of in datasets.items()}
    if len(datasets) > 1:
        average = {"average of all data sets": list(datasets.values())}
        blocks = average | (blocks if len(datasets) <= MOST_PANELS else {})
    panels = []
    for title, of in blocks.items():
        curves = [_curve(board, method, of, rates) for method in methods]
        panels.append(ContaminationPanel(title, tuple(curves)))
    banded = any(low is not None for panel in panels for curve in panel.curves for low in curve.lows)
    note = "Band: mean ± one standard deviation over seeds." if banded else ""
    notes = [note, others_note(methods, ranked=choice.setting == ONE_CLASS)]
    return ContaminationCurves(
        suite=clean(board.plan.title),
        rates=rates,
        panels=tuple(panels),
        note=" ".join(each for each in notes if each),
    )


def _curve(board: Board, method: Named, blocks: Sequence[Sequence[int]], rates: tuple[float, ...]) -> Curve:
    """Return a method's curve with its band; what depends on no seed has a band of no width."""
    summaries = [board.summary(method.row, blocks, rate) for rate in rates]
    spread = any(each.sd is not None for each in summaries)
    bands: list[tuple[float | None, float | None]] = []
    for rate, each in zip(rates, summaries, strict=True):
        sd = 0.0 if spread and each.sd is None and _seedless(board, method.row, blocks, rate) else each.sd
        if each.mean is None or sd is None:
            bands.append((None, None))
        else:
            bands.append((each.mean - sd, each.mean + sd))
    lows, highs = zip(*bands, strict=True)
    return Curve(method, tuple(each.mean for each in summaries), lows, highs)


def _seedless(board: Board, row: int, blocks: Sequence[Sequence[int]], rate: float) -> bool:
    """Return whether the values of a row depend on no seed at all."""
    groups = [board.group(row, column, rate) for block in blocks for column in block]
    return all(set(group.by_seed("auroc") or ()) == {None} for group in groups)


def _printed(mean: float | None) -> str:
    return "none" if mean is None else points(mean)
