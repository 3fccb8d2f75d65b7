"""Board: a plan and its records brought into the shape of a leaderboard. Numbers only, no text.

Seeds are averaged first, then tasks, then data sets. A mean over fewer cells than were planned is no number:
where a cell failed, is missing or has no such metric, the mean is None and the counts say why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.core.cell import Record
from bench.core.errors import AnobenchError
from bench.core.plan import Plan, Row
from bench.report.groups import CellGroup, Summary, groups_of, spread_over_seeds
from bench.report.numbers import NBSP, average_ranks, count, mean

#: How metrics are called in print, and those of which less is better.
PRINTED = {
    "auroc": "AUROC",
    "ap": "AP",
    "fpr95": "FPR95",
    "f1max": "F1max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1max",
    "aupro": "AUPRO",
    "aupro5": f"AUPRO{NBSP}5{NBSP}%",
    "aupimo": "AUPIMO",
    "pixel_auroc_per_image": "pixel AUROC per image",
    "aupro_per_image": "AUPRO per image",
    "pixel_auroc_256": "pixel AUROC at 256",
    "pixel_ap_256": "pixel AP at 256",
    "pixel_f1max_256": "pixel F1max at 256",
    "aupro_256": "AUPRO at 256",
    "aupro5_256": f"AUPRO{NBSP}5{NBSP}% at 256",
}
LOWER = ("fpr95",)


class Seconds(NamedTuple):
    """Mean seconds per cell, with the features at hand (warm) and without (cold)."""

    warm: float
    cold: float


class Board:
    """A plan with its records, by row, column and rate.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key; records of other cells are left alone.

    Attributes
    ----------
    rates : tuple of float
    datasets : dict of str to tuple of int
        The columns of each data set, in the plan's order.
    ranked : tuple of int
        Rows that rank: setting ``one-class``, not chosen on test data.
    unranked : dict of str to tuple of int
        All other rows by the name of their setting, those with more labelled anomalies later.
    """

    def __init__(self, plan: Plan, records: Mapping[str, Record]) -> None:
        self.plan = plan
        self._groups = groups_of(plan, records)
        self.rates = tuple(dict.fromkeys(plan.rates)) or (0.0,)
        self.datasets: dict[str, tuple[int, ...]] = {}
        for at, column in enumerate(plan.columns):
            self.datasets[column.dataset] = (*self.datasets.get(column.dataset, ()), at)
        self.ranked = tuple(at for at, row in enumerate(plan.rows) if ranks(row))
        self.unranked: dict[str, tuple[int, ...]] = {}
        labels = {entry.row: entry.cell.few_shot.anomalies for entry in plan.entries}
        others = set(range(len(plan.rows))) - set(self.ranked)
        for at in sorted(others, key=lambda row: (labels.get(row, 0), row)):
            name = setting_name(plan.rows[at])
            self.unranked[name] = (*self.unranked.get(name, ()), at)

    @property
    def columns(self) -> Sequence[int]:
        return range(len(self.plan.columns))

    def label(self, row: int) -> str:
        """Return what the suite calls a method, and whether others submitted its results."""
        of = self.plan.rows[row]
        return f"{of.label} ({of.mark})" if of.mark else of.label

    def dataset_name(self, name: str) -> str:
        """Return what the suite calls a data set: its name, unless it was given another."""
        return self.plan.columns[self.datasets[name][0]].title or name

    def dataset_title(self, name: str) -> str:
        """Return what the suite calls a data set, with a word on generated ones."""
        synthetic = any(self.plan.columns[column].synthetic for column in self.datasets[name])
        return f"{self.dataset_name(name)}{' (synthetic)' if synthetic else ''}"

    def task_name(self, column: int) -> str:
        """Return what a task is called: ``cifar10/bird``."""
        at = self.plan.columns[column]
        return f"{at.title or at.dataset}/{at.task}"

    def dataset_named(self, given: str) -> str:
        """Return the canonical name of a data set that is given by it or by what the suite calls it."""
        return next((name for name in self.datasets if given == self.dataset_name(name)), given)

    def the_rate(self, given: float) -> float:
        """Return the contamination rate that is meant.

        Raises
        ------
        AnobenchError
            The suite has no such rate.
        """
        for rate in self.rates:
            if abs(rate - given) < 1e-9:
                return rate
        there = ", ".join(f"{rate:g}" for rate in self.rates)
        raise AnobenchError(f"the suite has no contamination rate {given:g}; available: {there}")

    def group(self, row: int, column: int, rate: float) -> CellGroup:
        """Return the cells of one place; an empty group where none were planned."""
        return self._groups.get((row, column, rate), CellGroup((), (), ()))

    def groups(
        self, *, row: int | None = None, rate: float | None = None
    ) -> Iterable[tuple[int, int, float, CellGroup]]:
        """Yield row, column, rate and group, in the plan's order."""
        for at in range(len(self.plan.rows)) if row is None else (row,):
            for column in self.columns:
                for each in self.rates if rate is None else (rate,):
                    if (at, column, each) in self._groups:
                        yield at, column, each, self._groups[at, column, each]

    def records(self, *, row: int | None = None, rate: float | None = None) -> list[Record]:
        """Return the records that are there, each once, in the plan's order."""
        found = {
            key: record
            for *_, group in self.groups(row=row, rate=rate)
            for key, record in zip(group.keys, group.records, strict=True)
            if record is not None
        }
        return list(found.values())

    def cells(self) -> tuple[int, int, int]:
        """Return how many cells were planned, failed and are missing; a shared cell counts once."""
        state = {
            key: "missing" if record is None else record.status
            for *_, group in self.groups()
            for key, record in zip(group.keys, group.records, strict=True)
        }
        count = Counter(state.values())
        return len(state), count["failed"], count["missing"]

    def finished_datasets(self) -> list[str]:
        """Return the data sets of which no cell is missing."""
        holes = {column for _, column, _, group in self.groups() if group.missing}
        return [name for name, of in self.datasets.items() if not holes.intersection(of)]

    def summary(
        self, row: int, blocks: Sequence[Sequence[int]], rate: float, metric: str = "auroc"
    ) -> Summary:
        """Return the mean over blocks (data sets) of the means over their columns (tasks)."""
        groups = [[self.group(row, column, rate) for column in block] for block in blocks]
        flat = [group for block in groups for group in block]
        values = [[group.by_seed(metric) for group in block] for block in groups]
        average: float | None = None
        spread: float | None = None
        if flat and all(value is not None for block in values for value in block):
            held = [[value for value in block if value is not None] for block in values]
            average = mean(mean(mean(value.values()) for value in block) for block in held)
            spread = spread_over_seeds(held)
        return Summary(
            mean=average,
            sd=spread,
            cells=sum(len(group.cells) for group in flat),
            failed=sum(group.failed for group in flat),
            missing=sum(group.missing for group in flat),
        )

    def mean_ranks(
        self, columns: Sequence[int], rates: Sequence[float], metric: str = "auroc"
    ) -> dict[int, float]:
        """Return the mean rank (1 = best) of each ranked row that is complete on all columns and rates.

        Within a task the rows are ranked by their unrounded mean over seeds; equal ones share the mean of
        their ranks. Ranks are averaged over the tasks of a data set, then over data sets, as the averages
        are. Of the metrics in `LOWER` the lowest is the best.
        """
        places = [(column, rate) for column in columns for rate in rates]
        complete: dict[int, list[float]] = {}
        for row in self.ranked:
            values = [self.group(row, column, rate).mean(metric) for column, rate in places]
            held = [value for value in values if value is not None]
            if held and len(held) == len(places):
                complete[row] = held
        of = Counter(self.plan.columns[column].dataset for column, _ in places)
        totals = dict.fromkeys(complete, 0.0)
        for at, (column, _) in enumerate(places):
            weight = 1 / (len(of) * of[self.plan.columns[column].dataset])
            for row, rank in average_ranks({row: values[at] for row, values in complete.items()}).items():
                totals[row] += weight * rank
        best = len(totals) + 1
        return {row: best - rank for row, rank in totals.items()} if metric in LOWER else totals

    def averages(self, columns: Sequence[int], rates: Sequence[float]) -> dict[int, float]:
        """Return the average AUROC of each complete row that ranks: over tasks, data sets, then rates.

        It is what the tables show and the tests compare.
        """
        blocks = [held for of in self.datasets.values() if (held := [at for at in of if at in columns])]
        means = {
            row: [self.summary(row, blocks, rate).mean for rate in rates]
            for row in self.mean_ranks(columns, rates)
            if blocks
        }
        return {row: mean(value or 0.0 for value in held) for row, held in means.items()}

    def order(self, columns: Sequence[int], rates: Sequence[float]) -> list[int]:
        """Return the rows that rank: the complete ones by average AUROC, then the others in plan order."""
        ranks, auroc = self.mean_ranks(columns, rates), self.averages(columns, rates)
        first = sorted(auroc, key=lambda row: (-auroc[row], ranks[row], self.label(row)))
        return [*first, *(row for row in self.ranked if row not in auroc)]

    def seconds(self, row: int, rate: float, columns: Sequence[int] | None = None) -> Seconds | None:
        """Return the mean seconds of a row's cells at one rate, or None unless every cell has a timing."""
        groups = self.groups(row=row, rate=rate)
        every = [
            record
            for _, column, _, group in groups
            if columns is None or column in columns
            for record in group.records
        ]
        timings = [record.timing for record in every if record is not None and record.timing is not None]
        if not timings or len(timings) != len(every):
            return None
        return Seconds(mean(each.warm for each in timings), mean(each.cold for each in timings))

    def machines(self) -> dict[str, int]:
        """Return the machines that the timed cells ran on, and how many of them each."""
        timed = Counter(machine(record.environment) for record in self.records() if record.timing)
        return dict(sorted(timed.items()))


def ranks(row: Row) -> bool:
    """Return whether a row takes part in rankings."""
    return row.setting == "one-class" and row.selection != "oracle"


def setting_name(row: Row) -> str:
    """Return the name under which a row that does not rank is shown."""
    if row.selection == "oracle":
        return "oracle selection" if row.setting == "one-class" else f"{row.setting}, oracle selection"
    return row.setting


def machine(environment: Mapping[str, Any]) -> str:
    """Return what of an environment makes timings comparable: processor, GPU, threads."""
    words = [_part_name(environment.get("cpu"), "cores"), _part_name(environment.get("gpu"))]
    threads = environment.get("threads")
    if isinstance(threads, Mapping):
        threads = threads.get("torch")
    words.append(count(threads, "thread") if isinstance(threads, int) else "")
    return ", ".join(word for word in words if word) or "unknown machine"


def _part_name(part: Any, number: str = "") -> str:
    """Return the name of a processor or GPU, given as text or as a table with its name."""
    if not isinstance(part, Mapping):
        return str(part or "")
    name = str(part.get("name") or "")
    return f"{name} ({part[number]} {number})" if name and part.get(number) else name
