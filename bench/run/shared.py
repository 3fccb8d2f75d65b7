"""One model for all tasks of a data set (``mvtec[unified]``): fitted once, scored task by task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.core.cell import Cell, Record
from bench.features.device import seed_everything
from bench.features.provider import FeatureUsage
from bench.run.calibrate import Arrays, calibration_scores
from bench.run.evaluation import CellRun
from bench.suite.keys import How
from bench.suite.resolve import ResolvedMethod
from bench.train.method import Method

#: Calibration scores, and remarks for the record.
Calibration = tuple[Arrays, tuple[str, ...]]


def one_model(cell: Cell) -> bool:
    """Return whether a cell's model is that of other tasks, too."""
    return cell.train_name != cell.task_name


def model_of(cell: Cell) -> tuple[object, ...]:
    """Return what cells of one model share: all but the task."""
    return (
        cell.dataset, cell.method, cell.params, cell.backbone, cell.contamination, cell.seed, cell.code,
        cell.data_fingerprint, cell.backbone_identity, cell.few_shot,
    )  # fmt: skip


@dataclass(slots=True)
class _Fitted:
    model: tuple[object, ...]
    method: Method
    seconds: float
    usage: FeatureUsage
    calibration: Calibration | None = None


class SharedFits:
    """Keeps the last model that serves several tasks; others are fitted and let go."""

    def __init__(self) -> None:
        self._held: _Fitted | None = None

    def fit(self, cell_run: CellRun, clock: Callable[[], float]) -> None:
        """Fit a cell's method, or take the one that was fitted for another task of the same model."""
        shared, model = one_model(cell_run.cell), model_of(cell_run.cell)
        if self._held is None or not shared or self._held.model != model:
            self._held = None
            started = clock()
            cell_run.method.fit(cell_run.train.images)
            seconds, usage = clock() - started, cell_run.meter.usage()
            cell_run.fitted(seconds, usage, features=usage.seconds)
            if shared:
                self._held = _Fitted(model, cell_run.method, seconds, usage)
        else:
            held, cell_run.method = self._held, self._held.method
            cell_run.fitted(held.seconds, held.usage, features=held.usage.seconds)
        if shared:
            # As if it had just been fitted, whichever task came before.
            seed_everything(cell_run.method.seed)
            cell_run.flags += ("one model for all tasks: its time to fit is that of the one training",)

    def calibrated(
        self,
        cell_run: CellRun,
        record: Record,
        make: Callable[[ResolvedMethod], Method],
        wanted: tuple[int, How] | None,
    ) -> tuple[Record, Arrays]:
        """Make the calibration scores that are wanted, once for a model; a record's times are without them.

        Parameters
        ----------
        make : callable
            Makes an unfitted method of the cell.
        wanted : tuple of (int, str), or None
            Folds, and how they are used.
        """
        resolved = cell_run.resolved
        if wanted is None or resolved is None:
            return record, {}
        held = self._held if self._held and self._held.model == model_of(cell_run.cell) else None
        if held is None or held.calibration is None:
            auxiliary = cell_run.method.auxiliary
            del cell_run.method  # its memory is needed

            def fresh(part: str) -> Method:
                method = make(resolved)
                method.auxiliary = auxiliary
                if method.checkpoints is not None:
                    method.checkpoints = method.checkpoints.part(part)
                return method

            made = calibration_scores(cell_run, fresh, folds=wanted[0], how=wanted[1])
            if held is not None:
                held.calibration = made
        else:
            made = held.calibration
        arrays, flags = made
        counts = {**record.counts, "calibration": len(arrays.get("calibration", ()))}
        return replace(record, counts=counts, flags=(*record.flags, *flags)), arrays
