"""The kinds of figures: what each shows, what can be chosen of it, and which belong on a leaderboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from urllib.parse import quote

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError, FigureError, did_you_mean
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.figures.common import ALL, Choice, Drawing, Run
from bench.report.figures.contamination import contamination_curves
from bench.report.figures.critical import critical_differences
from bench.report.figures.examples import has_examples, map_examples
from bench.report.figures.heatmap import HeatMap, heat_map
from bench.report.figures.histogram import score_histogram
from bench.report.figures.losses import loss_curves
from bench.report.figures.roc import roc_curves
from bench.report.figures.scatter import Pareto, pareto, reproduction
from bench.report.figures.training import training_courses
from bench.report.markdown import blocks, escape, folded
from bench.report.published.row import Published

#: Where figures lie, seen from the page.
FOLDER = PurePosixPath("figures")
#: Kinds that a page shows where the suite has what they need, the first of them openly.
STANDARD = ("contamination", "critical-difference", "heatmap", "pareto", "reproduction", "training", "losses")
#: Tasks whose maps a page shows.
MOST_EXAMPLES = 10
_HEADINGS = {
    "contamination": "AUROC under contamination",
    "critical-difference": "Mean ranks over data sets and critical difference",
    "heatmap": "AUROC by task",
    "losses": "Loss along training",
    "maps": "Anomaly maps",
    "pareto": "AUROC against time",
    "reproduction": "Published numbers against ours",
    "training": "AUROC along training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What figures are made from.

    Attributes
    ----------
    board : Board
    archive : Archive or None
        For scores and labels; figures without per-image scores need none.
    published : tuple of Published
    blocks : dict of str to int, or None
        The independent data set that each data set belongs to.
    """

    board: Board
    archive: Archive | None = None
    published: tuple[Published, ...] = ()
    blocks: Mapping[str, int] | None = None

    def scored(self, record: Record) -> Run:
        """Return labels and scores of a record's test images.

        Raises
        ------
        ArchiveError
            They cannot be read, or no archive is at hand.
        """
        if self.archive is None:
            raise ArchiveError("the scores are not at hand")
        return self.archive.truth(record).labels, self.archive.scores(record)


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A kind of figure.

    Attributes
    ----------
    about : str
        What it shows, a few words.
    prepare : callable
        Makes its data.
    choices : tuple of str
        Which of the fields of `Choice` it takes.
    """

    about: str
    prepare: Callable[[Sources, Choice], Drawing]
    choices: tuple[str, ...]


KINDS: dict[str, FigureKind] = {
    "contamination": FigureKind(
        "AUROC against the contamination rate, with bands",
        lambda of, choice: contamination_curves(of.board, choice),
        ("setting", "dataset", "methods"),
    ),
    "critical-difference": FigureKind(
        "mean ranks over data sets, and which methods do not differ significantly",
        lambda of, choice: critical_differences(of.board, choice, of=of.blocks),
        ("setting", "rate", "methods"),
    ),
    "heatmap": FigureKind(
        "AUROC of every method on every task",
        lambda of, choice: heat_map(of.board, choice),
        ("setting", "rate", "dataset", "methods"),
    ),
    "histogram": FigureKind(
        "one method's scores of normal and anomalous test images",
        lambda of, choice: score_histogram(of.board, of.scored, choice),
        ("setting", "rate", "task", "methods", "seed"),
    ),
    "losses": FigureKind(
        "the mean loss of each training from its beginning to its end",
        lambda of, choice: loss_curves(of.board, choice),
        ("setting", "rate", "dataset", "methods"),
    ),
    "maps": FigureKind(
        "one method's maps of the best, the median and the worst images of each kind of one task",
        lambda of, choice: map_examples(of.board, of.archive, choice),
        ("setting", "rate", "task", "methods", "seed"),
    ),
    "pareto": FigureKind(
        "AUROC against time, and which methods no other beats in both",
        lambda of, choice: pareto(of.board, choice),
        ("setting", "rate", "dataset", "methods", "time"),
    ),
    "reproduction": FigureKind(
        "published AUROCs against ours",
        lambda of, choice: reproduction(of.board, of.published, choice),
        ("dataset", "methods"),
    ),
    "roc": FigureKind(
        "ROC curves on one task, with bands",
        lambda of, choice: roc_curves(of.board, of.scored, choice),
        ("setting", "rate", "task", "methods", "seed"),
    ),
    "training": FigureKind(
        "AUROC and mean scores along training, of methods that kept what they were on the way",
        lambda of, choice: training_courses(of.board, choice),
        ("setting", "rate", "task", "methods"),
    ),
}


def prepare(kind: str, sources: Sources, choice: Choice = ALL) -> Drawing:
    """Return the data of a figure.

    Raises
    ------
    FigureError
        There is no such kind, it does not take what was chosen, or it cannot be drawn from what is there.
    ArchiveError
        Scores or labels cannot be read.
    """
    if kind not in KINDS:
        raise FigureError(f"no kind of figure {kind!r}{did_you_mean(kind, KINDS)}")
    taken = KINDS[kind].choices
    for field in chosen(choice):
        if field not in taken:
            raise FigureError(f"{kind} takes no {option(field)}; it takes {', '.join(map(option, taken))}")
    return KINDS[kind].prepare(sources, choice)


def chosen(choice: Choice) -> dict[str, object]:
    """Return what was chosen, by field, in the order of the fields."""
    values = {field.name: getattr(choice, field.name) for field in fields(Choice)}
    return {name: value for name, value in values.items() if value != getattr(ALL, name)}


def option(field: str) -> str:
    """Return the option of the command line that fills a field."""
    return "--method" if field == "methods" else f"--{field}"


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
    of : str
        The task, where there is a figure for each.
    """

    kind: str
    path: PurePosixPath
    alt: str
    svg: str
    of: str = ""


def standard(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    published: tuple[Published, ...] = (),
    blocks: Mapping[str, int] | None = None,
    archive: Archive | None = None,
) -> list[LeaderboardFigure]:
    """Return a suite's figures: the same bytes for the same plan and records.

    Contamination curves where there are several rates, the critical difference where there are enough data
    sets, the heat map where there are several tasks, AUROC against time where several methods ran on one
    machine, published numbers against ours where any belong to the suite, the course of training where a
    method kept what it was on the way, and losses where records have them.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key.
    published : tuple of Published
    blocks : dict of str to int, optional
        The independent data set that each data set belongs to.
    archive : Archive, optional
        With examples of anomaly maps there is a figure of the best method's for each task.
    """
    board = Board(plan, records)
    sources = Sources(board=board, published=published, blocks=blocks, archive=archive)
    drawings: list[Drawing] = []
    for kind in STANDARD:
        # What a suite has not enough of for a kind of figure, `anobench figure` says.
        with suppress(FigureError):
            drawings.append(prepare(kind, sources))
    drawn = [(drawing, "", drawing.kind) for drawing in drawings if _says_more(drawing)]
    drawn += [(drawing, task, f"maps-{at + 1}") for at, (task, drawing) in enumerate(_examples(sources))]
    if not drawn:
        return []
    from bench.report.figures.draw import render

    return [
        LeaderboardFigure(
            drawing.kind,
            FOLDER / file_name(plan.suite, name),
            drawing.description,
            render(drawing, "svg").decode(),
            task,
        )
        for drawing, task, name in drawn
    ]


def _examples(sources: Sources) -> Iterator[tuple[str, Drawing]]:
    """Yield tasks, and the maps of the best method that has examples there."""
    board, shown = sources.board, 0
    for column in board.columns:
        for row in board.order([column], board.rates[:1]):
            if shown == MOST_EXAMPLES or not has_examples(board, sources.archive, row, column):
                continue
            choice = Choice(task=board.task_name(column), methods=(board.label(row),))
            with suppress(FigureError, ArchiveError):
                yield board.task_name(column), prepare("maps", sources, choice)
                shown += 1
                break


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
    rest = [folded(f"<b>{_heading(each)}</b>", _image(each)) for each in others]
    return blocks(["## Figures"], [f"**{_heading(first)}**"], _image(first), *rest)


def _heading(figure: LeaderboardFigure) -> str:
    return f"{_HEADINGS[figure.kind]}: {escape(figure.of)}" if figure.of else _HEADINGS[figure.kind]


def _image(figure: LeaderboardFigure) -> list[str]:
    # Brackets inside alternative text would end it, or begin a link.
    alt = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", escape(figure.alt))
    return [f"![{alt}]({quote(str(figure.path))})"]
