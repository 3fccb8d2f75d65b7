"""What cells take that have no past timing: a few steps of each training are taken, and a few images scored.

One cell of each method and data set stands for the others: their trainings have about as many steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.core.cell import Cell
from bench.core.errors import AnobenchError, said
from bench.run.evaluation import CellRun
from bench.run.runner import Runner
from bench.train.firststeps import FirstSteps
from bench.train.method import returned_scores

#: Test images that are scored.
SCORED = 64


@dataclass(frozen=True, slots=True)
class Forecast:
    """What some cells will take.

    Attributes
    ----------
    cells : tuple of Cell
        The first of them was tried.
    seconds : float
        Of each.
    steps : int
        Of its trainings.
    problem : str
        Why there is no number, if it could not be tried.
    """

    cells: tuple[Cell, ...]
    seconds: float = 0.0
    steps: int = 0
    problem: str = ""

    @property
    def total(self) -> float:
        """Return the seconds of all of them, one after the other."""
        return self.seconds * len(self.cells)


def forecasts(runner: Runner, cells: Sequence[Cell]) -> Iterator[Forecast]:
    """Yield what cells will take, one forecast for each method and data set, as soon as it is known."""
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        alike = (cell.method, cell.params, cell.backbone, cell.dataset, cell.few_shot.anomalies)
        groups.setdefault(alike, []).append(cell)
    for held in groups.values():
        try:
            seconds, steps = tried(runner, held[0])
            yield Forecast(tuple(held), seconds, steps)
        except Exception as error:  # a method may fail in any way
            reason = str(error) if isinstance(error, AnobenchError) else said(error)
            yield Forecast(tuple(held), problem=f"{held[0]}: {reason}")


def tried(runner: Runner, cell: Cell) -> tuple[float, int]:
    """Return the seconds that a cell will take with its features at hand, and the steps of its trainings."""
    first, began = FirstSteps(), time.perf_counter()

    def before(cell_run: CellRun) -> None:
        nonlocal began
        # Its own checkpoints are none of a trial's business.
        cell_run.method.first_steps, cell_run.method.checkpoints = first, None
        began = runner.provider.seconds()

    cell_run = runner.fitted(cell, before)
    fitted = runner.provider.seconds() - began - cell_run.meter.usage().seconds
    images = cell_run.test.images
    part = images[:SCORED]
    began = runner.provider.seconds()
    for _ in returned_scores(cell_run.method.score(part)).each_part(len(part)):
        pass
    scored = (runner.provider.seconds() - began) * len(images) / max(1, len(part))
    return max(0.0, fitted) + first.seconds + scored, sum(steps for steps, _, _ in first.trainings)
