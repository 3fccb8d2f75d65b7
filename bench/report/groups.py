"""The cells of one place on a board, one for each seed, and means over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.core.cell import Cell, Record
from bench.core.fewshot import UNLABELLED
from bench.core.plan import Plan
from bench.report.numbers import NOTHING, mean, sd


@dataclass(frozen=True, slots=True, eq=False)
class CellGroup:
    """The distinct cells of one row, column and rate: one for each seed, in the order of the seeds.

    Attributes
    ----------
    cells : tuple of Cell
    keys : tuple of str
        Of the cells.
    records : tuple of Record or None
        None where there is no record.
    """

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    records: tuple[Record | None, ...]

    @property
    def failed(self) -> int:
        return sum(record is not None and record.status == "failed" for record in self.records)

    @property
    def missing(self) -> int:
        return sum(record is None for record in self.records)

    @property
    def hole(self) -> str:
        """Return what stands in the place of a value that is not there."""
        if not self.cells:
            return NOTHING
        for number, what in ((self.failed, "failed"), (self.missing, "missing")):
            if number:
                return what if number == len(self.cells) else f"{what} ({number} of {len(self.cells)})"
        return "undefined"

    def by_seed(self, metric: str) -> dict[int | None, float] | None:
        """Return the metric for each seed, or None unless every cell has it.

        The seed is None where there is one value for all seeds: a deterministic method, and nothing drawn.
        """
        values: dict[int | None, list[float]] = {}
        for cell, record in zip(self.cells, self.records, strict=True):
            if record is None or record.status != "ok" or metric not in record.metrics:
                return None
            values.setdefault(cell_seed(cell), []).append(record.metrics[metric])
        return {seed: mean(held) for seed, held in values.items()} or None

    def mean(self, metric: str) -> float | None:
        """Return the metric's mean over seeds, or None unless every cell has it."""
        values = self.by_seed(metric)
        return None if values is None else mean(values.values())


@dataclass(frozen=True, slots=True)
class Summary:
    """A mean over cells, and what it stands on.

    Attributes
    ----------
    mean : float or None
        None unless every cell has the metric.
    sd : float or None
        Standard deviation (n - 1) of the mean over seeds; None for fewer than two, or unlike, seeds.
    cells, failed, missing : int
        How many were planned; how many of them failed, and have no record.
    """

    mean: float | None
    sd: float | None
    cells: int
    failed: int
    missing: int

    @property
    def why(self) -> str:
        """Return why there is no mean, ``"1 of 10 failed"``."""
        holes = [(self.failed, "failed"), (self.missing, "missing")]
        said = [f"{number} of {self.cells} {what}" for number, what in holes if number]
        return ", ".join(said) or ("undefined" if self.cells else "not planned")


def cell_seed(cell: Cell) -> int | None:
    """Return the method's seed; for a deterministic method that of the draw, None where nothing is drawn."""
    if cell.seed is not None:
        return cell.seed
    if cell.contamination.rate or cell.contamination.reserve:
        return cell.contamination.seed
    return cell.few_shot.seed if cell.few_shot != UNLABELLED else None


def spread_over_seeds(values: Sequence[Sequence[Mapping[int | None, float]]]) -> float | None:
    """Return the standard deviation over seeds of the mean over blocks of the means over their columns."""
    seeds = sorted({seed for block in values for value in block for seed in value if seed is not None})
    if len(seeds) < 2 or any(set(value) not in ({None}, set(seeds)) for block in values for value in block):
        return None

    def at(seed: int) -> float:
        return mean(mean(value[seed if seed in value else None] for value in block) for block in values)

    return sd([at(seed) for seed in seeds])


def groups_of(plan: Plan, records: Mapping[str, Record]) -> dict[tuple[int, int, float], CellGroup]:
    places: dict[tuple[int, int, float], dict[str, Cell]] = {}
    for entry in plan.entries:
        places.setdefault((entry.row, entry.column, entry.rate), {})[entry.cell.key] = entry.cell
    groups = {}
    for place, cells in places.items():
        # In the order of the seeds, whatever order the cells run in.
        ordered = sorted(
            cells.items(), key=lambda item: (cell_seed(item[1]) or 0, item[1].contamination.seed)
        )
        keys = tuple(key for key, _ in ordered)
        groups[place] = CellGroup(
            tuple(cell for _, cell in ordered), keys, tuple(records.get(key) for key in keys)
        )
    return groups
