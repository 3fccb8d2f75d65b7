"""The kinds of figures: what each shows, what can be chosen of it, and which belong on a leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError, FigureError, did_you_mean
from bench.report.board import Board
from bench.report.figures.common import ALL, Choice, Drawing, Run
from bench.report.figures.contamination import contamination_curves
from bench.report.figures.critical import critical_differences
from bench.report.figures.heatmap import heat_map
from bench.report.figures.histogram import score_histogram
from bench.report.figures.pareto import pareto
from bench.report.figures.reproduction import reproduction
from bench.report.figures.roc import roc_curves
from bench.report.figures.training import training_courses
from bench.report.published.match import Interval
from bench.report.published.row import Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What figures are made from.

    Attributes
    ----------
    board : Board
    archive : Archive or None
        For scores and labels; figures without per-image scores need none.
    published : tuple of Published
    interval : callable or None
        Of a row's mean over columns at a rate; bars in the reproduction scatter.
    """

    board: Board
    archive: Archive | None = None
    published: tuple[Published, ...] = ()
    interval: Interval | None = None

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
        lambda of, choice: critical_differences(of.board, choice),
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
    "pareto": FigureKind(
        "AUROC against time, and which methods no other beats in both",
        lambda of, choice: pareto(of.board, choice),
        ("setting", "rate", "dataset", "methods", "time"),
    ),
    "reproduction": FigureKind(
        "published AUROCs against ours",
        lambda of, choice: reproduction(of.board, of.published, choice, interval=of.interval),
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
