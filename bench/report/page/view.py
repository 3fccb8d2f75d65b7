"""A suite as the page shows it: tables of text with the numbers to sort by. No HTML, no files.

Rows that do not rank stand in groups of their own and stay there, however a reader sorts.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.image import IMAGE_METRICS
from bench.report.board import Board, Summary
from bench.report.leaderboard.columns import hole, rate_name, why_none
from bench.report.markdown import NBSP, NOTHING, points, seconds
from bench.report.page.about import About
from bench.report.page.parts import Head, Line, Table, Value, Variant

#: How a metric is written, and whether less of it is better.
METRICS = {"auroc": ("AUROC", False), "ap": ("AP", False), "fpr95": (f"FPR95{NBSP}↓", True)}


def variants(board: Board, about: About) -> tuple[Variant, ...]:
    """Return the tables of every metric that was measured, at every rate with cells; AUROC first."""
    held = {name for record in board.records() for name in record.metrics}
    found = []
    for metric in IMAGE_METRICS:
        if metric != IMAGE_METRICS[0] and metric not in held:
            continue
        for rate in board.rates:
            if any(True for _ in board.groups(rate=rate)):
                found.append(_Tables(board, about, metric, rate).variant())
    return tuple(found)


def dataset_label(board: Board, name: str) -> str:
    """Return a data set's name, with a word on generated ones."""
    synthetic = any(board.plan.columns[column].synthetic for column in board.datasets[name])
    return f"{name} (synthetic)" if synthetic else name


class _Tables:
    """The tables of one metric at one rate."""

    def __init__(self, board: Board, about: About, metric: str, rate: float) -> None:
        self.board, self.about, self.metric, self.rate = board, about, metric, rate
        self.name, self.lower = METRICS[metric]
        self.every = list(board.datasets.values())

    def variant(self) -> Variant:
        board = self.board
        title = f"{self.name}, {rate_name(self.rate)}"
        tasks = [(name, self._tasks(name, title)) for name in board.datasets]
        return Variant(self.metric, self.rate, title, self._overall(title), tuple(tasks))

    def _overall(self, title: str) -> Table:
        board = self.board
        columns: list[tuple[Head, list[Value]]] = []
        shown = self._rows(self.every)
        rows = [row for _, group in shown for row in group]
        if len(board.datasets) > 1:
            columns.append((self._head("average", "Average"), self._means(rows, self.every)))
        columns += self._rank(rows, board.columns)
        for name, of in board.datasets.items():
            head = self._head(f"data set {name}", dataset_label(board, name), name)
            columns.append((head, self._means(rows, [of])))
        columns += [*self._seconds(rows), *self._words(rows)]
        return Table("overall", "Overall", f"Overall: {title}", *_laid_out(shown, columns))

    def _tasks(self, dataset: str, title: str) -> Table:
        board, of = self.board, self.board.datasets[dataset]
        shown = self._rows([of])
        rows = [row for _, group in shown for row in group]
        columns: list[tuple[Head, list[Value]]] = []
        if len(of) > 1:
            columns.append((self._head("average", "Average"), self._means(rows, [of])))
        columns += self._rank(rows, of)
        for column in of:
            task = board.plan.columns[column].task
            holes = [hole(board.group(row, column, self.rate)) for row in rows]
            columns.append((self._head(f"task {task}", task), self._means(rows, [[column]], holes)))
        name = f"{dataset_label(board, dataset)} by task"
        return Table(f"data set {dataset}", name, f"{name}: {title}", *_laid_out(shown, columns))

    def _head(self, key: str, label: str, dataset: str = "") -> Head:
        return Head(key, label, "ascending" if self.lower else "descending", dataset)

    def _rows(self, of: Sequence[Sequence[int]]) -> list[tuple[str, list[int]]]:
        """Return the rows that rank, the complete ones by their average, then those of every other setting.

        Parameters
        ----------
        of : sequence of sequences of int
            The columns of each data set, which count alike.
        """
        board, ranks = self.board, self._ranks([column for columns in of for column in columns])

        def place(row: int) -> tuple[float, float, str]:
            mean = board.summary(row, of, self.rate, self.metric).mean or 0.0
            return mean if self.lower else -mean, ranks[row], board.plan.rows[row].label

        first = sorted(ranks, key=place)
        ranked = [*first, *(row for row in board.ranked if row not in ranks)]
        others = [(f"Not ranked: {name}", list(rows)) for name, rows in board.unranked.items()]
        return [*([("", ranked)] if ranked else []), *others]

    def _ranks(self, columns: Sequence[int]) -> dict[int, float]:
        found = self.board.mean_ranks(columns, [self.rate], self.metric)
        # The board ranks the highest first.
        return {row: len(found) + 1 - rank for row, rank in found.items()} if self.lower else found

    def _rank(self, rows: Sequence[int], columns: Sequence[int]) -> list[tuple[Head, list[Value]]]:
        if len(self.board.ranked) < 2:
            return []
        found = self._ranks(columns)
        least = f"{min(found.values()):.2f}" if len(found) > 1 else ""
        values = []
        for row in rows:
            text = f"{found[row]:.2f}" if row in found else NOTHING
            values.append(Value(text, _number(found.get(row)), best=text == least))
        return [(Head("rank", "Mean rank", "ascending"), values)]

    def _means(
        self, rows: Sequence[int], of: Sequence[Sequence[int]], holes: Sequence[str] = ()
    ) -> list[Value]:
        board = self.board
        means = {row: board.summary(row, of, self.rate, self.metric) for row in rows}
        shown = [points(means[row].mean or 0.0) for row in board.ranked if means[row].mean is not None]
        best = ""
        if len(shown) > 1:
            best = min(shown, key=float) if self.lower else max(shown, key=float)
        return [
            _value(means[row], best if row in board.ranked else "", holes[at] if holes else None)
            for at, row in enumerate(rows)
        ]

    def _seconds(self, rows: Sequence[int]) -> list[tuple[Head, list[Value]]]:
        held = {
            row: (warm, cold)
            for row in rows
            for rate, warm, cold in self.about.rows[row].seconds
            if rate == self.rate
        }
        if not held:
            return []
        found = []
        for at, (key, label) in enumerate((("marginal", f"Marginal{NBSP}s"), ("cold", f"Cold{NBSP}s"))):
            values = [
                Value(seconds(held[row][at]), _number(held[row][at])) if row in held else Value(NOTHING)
                for row in rows
            ]
            found.append((Head(key, label, "ascending"), values))
        return found

    def _words(self, rows: Sequence[int]) -> list[tuple[Head, list[Value]]]:
        plan = self.board.plan
        return [
            (
                Head(key, label, "ascending", words=True),
                [Value(getattr(plan.rows[row], key) or NOTHING) for row in rows],
            )
            for key, label in (("setting", "Setting"), ("selection", "Selection"), ("backbone", "Backbone"))
        ]


def _laid_out(
    shown: Sequence[tuple[str, list[int]]], columns: Sequence[tuple[Head, list[Value]]]
) -> tuple[tuple[Head, ...], tuple[tuple[str, tuple[Line, ...]], ...]]:
    """Return heads and groups of columns whose values stand in the order of the rows shown."""
    groups, at = [], 0
    for name, rows in shown:
        lines = [Line(row, tuple(values[at + n] for _, values in columns)) for n, row in enumerate(rows)]
        groups.append((name, tuple(lines)))
        at += len(rows)
    return tuple(head for head, _ in columns), tuple(groups)


def _value(summary: Summary, best: str, instead: str | None) -> Value:
    if summary.mean is None:
        why = why_none(summary).strip(" ()") if instead is None else ""
        return Value(instead or NOTHING, why=why or instead or "")
    text = points(summary.mean)
    spread = "" if summary.sd is None else points(summary.sd)
    return Value(text, _number(summary.mean), spread, text == best)


def _number(value: float | None) -> str:
    """Return a number to sort by, with as many digits as can matter."""
    return "" if value is None else f"{value:.6g}"
