"""From a board and its evidence to the overview that the page shows: tables of every metric at every rate.

Rows that do not rank stand in sections of their own and stay there, however a reader sorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bench.metrics.image import IMAGE_METRICS
from bench.metrics.pixel import MAP_METRICS, PIXEL_METRICS
from bench.report.board import LOWER, Board
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.resampled import compare_pixels
from bench.report.export import place_fields
from bench.report.leaderboard.columns import (
    group_column,
    intervals_of,
    means_column,
    metric_head,
    place_column,
    rank_columns,
    summaries,
    timing_columns,
)
from bench.report.numbers import points, rate_name
from bench.report.overview import Overview, OverviewRow, OverviewTable
from bench.report.table import Filled, Table, TableCell, TableColumn, TableRow


def overview(evidence: Evidence, *, figures: Sequence[str] = ()) -> Overview:
    """Return what is shown of a suite.

    Parameters
    ----------
    evidence : Evidence
    figures : sequence of str
        Names of its figures' files.
    """
    board, plan = evidence.board, evidence.board.plan
    params = {entry.row: place_fields(plan, entry)[4] for entry in reversed(plan.entries)}
    cells, failed, missing = board.cells()
    averages = board.averages(board.columns, board.rates)
    order = [row for row in board.order(board.columns, board.rates) if row in averages]
    # The highest, or those that share it as printed.
    best = [row for row in order if points(averages[row]) == points(averages[order[0]])] if order[1:] else []
    return Overview(
        suite=plan.suite,
        title=plan.title,
        description=plan.description,
        rows=tuple(
            OverviewRow(
                label=board.label(at),
                selector=_selector(row.method, params.get(at, ""), row.backbone),
                backbone=row.backbone,
                setting=row.setting,
                selection=row.selection,
                stochastic=row.stochastic,
                summary=row.summary,
            )
            for at, row in enumerate(plan.rows)
        ),
        columns=plan.columns,
        cells=cells,
        failed=failed,
        missing=missing,
        problems=plan.problems,
        notes=plan.notes,
        ranked=len(averages),
        best=tuple(map(board.label, best)),
        best_auroc=averages[best[0]] if best else None,
        figures=tuple(figures),
        tables=tuple(_tables(evidence)),
    )


def _selector(method: str, params: str, backbone: str) -> str:
    """Return what `anobench run -m` takes for a row, defaults included."""
    held = ",".join(filter(None, (params, f"backbone={backbone}" if backbone else "")))
    return f"{method}[{held}]" if held else method


def _tables(evidence: Evidence) -> Sequence[OverviewTable]:
    """Return the tables of every metric that was measured, at every rate with cells."""
    board = evidence.board
    measured = {name for record in board.records() for name in record.metrics} | {IMAGE_METRICS[0]}
    found = []
    for metric in (name for name in (*IMAGE_METRICS, *MAP_METRICS) if name in measured):
        for rate in (rate for rate in board.rates if any(True for _ in board.groups(rate=rate))):
            builder = _Builder(evidence, metric, rate)
            found.append(OverviewTable(metric=metric, rate=rate, table=builder.overall()))
            found += [
                OverviewTable(metric=metric, rate=rate, dataset=name, table=builder.by_task(name))
                for name in board.datasets
            ]
    return found


class _Builder:
    """The tables of one metric at one rate."""

    def __init__(self, evidence: Evidence, metric: str, rate: float) -> None:
        self.evidence, self.board, self.metric, self.rate = evidence, evidence.board, metric, rate
        self.title = f"{metric_head(metric)}, {rate_name(rate)}"

    def overall(self) -> Table:
        board, every = self.board, list(self.board.datasets.values())
        rows, sections = self._rows(every)
        compared = self.evidence.overall(self.rate) if self.metric == "auroc" else None
        filled = [self._means("Average", "average", rows, every)] if len(every) > 1 else []
        front = len(filled)
        for name, of in board.datasets.items():
            found = self._means(board.dataset_title(name), f"data set {name}", rows, [of], name)
            filled.append(self._tested(found, name, rows))
        if compared is not None:
            intervals = [self.evidence.overall_interval(row, self.rate) for row in rows]
            column, cells = filled[0]
            pairs = zip(cells, intervals, strict=True)
            filled[0] = column, [replace(cell, interval=interval) for cell, interval in pairs]
        behind = [*group_column(compared, rows), *place_column(compared, rows)]
        filled[front:front] = [*behind, *self._ranks(rows, board.columns)]
        if any(board.seconds(row, self.rate) for row in rows):
            filled += timing_columns(board, rows, self.rate)
        return _laid_out(board, f"Overall: {self.title}", rows, sections, filled)

    def _tested(self, filled: Filled, name: str, rows: Sequence[int]) -> Filled:
        """Return a column of pixel metrics on a data set with their intervals, where there are any."""
        if self.metric not in PIXEL_METRICS:
            return filled
        intervals = intervals_of(compare_pixels(self.evidence, name, self.rate).get(self.metric), rows)
        column, cells = filled
        return column, [replace(cell, interval=at) for cell, at in zip(cells, intervals, strict=True)]

    def by_task(self, dataset: str) -> Table:
        board, of = self.board, self.board.datasets[dataset]
        rows, sections = self._rows([of])
        filled = [self._means("Average", "average", rows, [of])] if len(of) > 1 else []
        filled += self._ranks(rows, of)
        for at in of:
            task, holes = board.plan.columns[at].task, [board.group(row, at, self.rate).hole for row in rows]
            filled.append(self._means(task, f"task {task}", rows, [[at]], holes=holes))
        caption = f"{board.dataset_title(dataset)} by task: {self.title}"
        return _laid_out(board, caption, rows, sections, filled)

    def _rows(self, of: Sequence[Sequence[int]]) -> tuple[list[int], dict[int, str]]:
        """Return the rows that rank, the complete ones by their average, then those of every other setting.

        Parameters
        ----------
        of : sequence of sequences of int
            The columns of each data set, which count alike.

        Returns
        -------
        rows : list of int
        sections : dict of int to str
            Of those that do not rank.
        """
        board = self.board
        ranks = board.mean_ranks([at for columns in of for at in columns], [self.rate], self.metric)

        def place(row: int) -> tuple[float, float, str]:
            mean = board.summary(row, of, self.rate, self.metric).mean or 0.0
            return mean if self.metric in LOWER else -mean, ranks[row], board.label(row)

        first = sorted(ranks, key=place)
        others = {row: f"Not ranked: {name}" for name, rows in board.unranked.items() for row in rows}
        return [*first, *(row for row in board.ranked if row not in ranks), *others], others

    def _ranks(self, rows: Sequence[int], columns: Sequence[int]) -> list[Filled]:
        if len(self.board.ranked) < 2:
            return []
        return rank_columns(self.board, rows, columns, [self.rate], metric=self.metric)

    def _means(
        self,
        head: str,
        key: str,
        rows: Sequence[int],
        of: Sequence[Sequence[int]],
        dataset: str = "",
        *,
        holes: Sequence[str] = (),
    ) -> Filled:
        column = TableColumn(head, lower=self.metric in LOWER, key=key, dataset=dataset)
        ranked = {at for at, row in enumerate(rows) if row in self.board.ranked}
        means = summaries(self.board, rows, of, self.rate, self.metric)
        return means_column(column, means, compare=ranked, holes=holes)


def _laid_out(
    board: Board, caption: str, rows: Sequence[int], sections: Mapping[int, str], filled: Sequence[Filled]
) -> Table:
    """Return the table of columns whose cells stand in the order of the rows, numbers cut short."""
    short = [[_short(column, cell) for cell in cells] for column, cells in filled]
    return Table(
        columns=tuple(column for column, _ in filled),
        rows=tuple(
            TableRow(board.label(row), tuple(cells[at] for cells in short), sections.get(row, ""), row)
            for at, row in enumerate(rows)
        ),
        caption=caption,
    )


def _short(column: TableColumn, cell: TableCell) -> TableCell:
    """Return a cell without the digits that neither are printed nor could change the order of rows."""

    def cut(value: float, shown: Callable[[float], str]) -> float:
        if column.kind == "seconds":
            return float(f"{value:.4g}")
        near = float(f"{value:.6g}")
        return near if shown(near) == shown(value) else value

    return replace(
        cell,
        value=cut(cell.value, column.text) if isinstance(cell.value, float) else cell.value,
        spread=None if cell.spread is None else cut(cell.spread, points),
        interval=None
        if cell.interval is None
        else (cut(cell.interval[0], points), cut(cell.interval[1], points)),
    )
