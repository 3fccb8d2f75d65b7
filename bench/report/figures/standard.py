"""The figures that belong on a leaderboard: which of them a suite has, and their section on the page.

matplotlib is imported when a figure is drawn, not before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from bench.core.cell import Record
from bench.core.errors import FigureError
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.figures.common import Drawing
from bench.report.figures.heatmap import HeatMap
from bench.report.figures.kinds import Sources, prepare
from bench.report.figures.pareto import Pareto
from bench.report.markdown import blocks, escape, folded
from bench.report.published.match import Interval
from bench.report.published.row import Published

#: Where figures lie, seen from the page.
FOLDER = PurePosixPath("figures")
#: Kinds that a page shows where the suite has what they need, the first of them openly.
STANDARD = ("contamination", "critical-difference", "heatmap", "pareto", "reproduction", "training")
_HEADINGS = {
    "contamination": "AUROC under contamination",
    "critical-difference": "Mean ranks over data sets and critical difference",
    "heatmap": "AUROC by task",
    "pareto": "AUROC against time",
    "reproduction": "Published numbers against ours",
    "training": "AUROC along training",
}


@dataclass(frozen=True, slots=True)
class LeaderboardFigure:
    """A figure as a leaderboard links it.

    Attributes
    ----------
    kind : str
    path : PurePosixPath
        Of its file, seen from the page.
    alt : str
        What it shows, in words.
    svg : str
    """

    kind: str
    path: PurePosixPath
    alt: str
    svg: str


def standard(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    published: tuple[Published, ...] = (),
    interval: Interval | None = None,
) -> list[LeaderboardFigure]:
    """Return a suite's figures: the same bytes for the same plan and records.

    Contamination curves where there are several rates, the critical difference where there are enough data
    sets, the heat map where there are several tasks, AUROC against time where several methods ran on one
    machine, published numbers against ours where any belong to the suite, the course of training where a
    method kept what it was on the way.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key.
    published : tuple of Published
    interval : callable, optional
        Of a row's mean over columns at a rate.
    """
    sources = Sources(board=Board(plan, records), published=published, interval=interval)
    drawings: list[Drawing] = []
    for kind in STANDARD:
        # What a suite has not enough of for a kind of figure, `anobench figure` says.
        with suppress(FigureError):
            drawings.append(prepare(kind, sources))
    drawings = [drawing for drawing in drawings if _says_more(drawing)]
    if not drawings:
        return []
    from bench.report.figures.draw import render

    return [
        LeaderboardFigure(
            drawing.kind,
            FOLDER / file_name(plan.suite, drawing.kind),
            drawing.description,
            render(drawing, "svg").decode(),
        )
        for drawing in drawings
    ]


def _says_more(drawing: Drawing) -> bool:
    """Return whether a figure shows more than a single number would."""
    if isinstance(drawing, HeatMap):
        return len(drawing.columns) > 1
    return not isinstance(drawing, Pareto) or len(drawing.spots) > 1


def file_name(suite: str, kind: str, ending: str = "svg") -> str:
    """Return the name of a figure's file."""
    return f"{suite}-{kind}.{ending}"


def shown(figures: Sequence[LeaderboardFigure]) -> list[str]:
    """Return the page's section on figures: the first one openly, the others folded; nothing for none."""
    if not figures:
        return []
    first, *others = figures
    rest = [folded(f"<b>{_HEADINGS[each.kind]}</b>", _image(each)) for each in others]
    return blocks(["## Figures"], [f"**{_HEADINGS[first.kind]}**"], _image(first), *rest)


def _image(figure: LeaderboardFigure) -> list[str]:
    # Brackets inside alternative text would end it, or begin a link.
    alt = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", escape(figure.alt))
    return [f"![{alt}]({quote(str(figure.path))})"]
