"""The runner: one cell in, one record out. What every executor runs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from bench.core.cell import Cell, Timing
from bench.core.determinism import CELL_THREADS, cores, derive_seed
from bench.core.devicefaults import is_device_lost
from bench.core.errors import AnobenchError, said
from bench.core.truth import Truth
from bench.data.task import Task
from bench.features.backbone import Backbones
from bench.features.device import deterministic, fix_threads, seed_everything, supported_device
from bench.features.provider import FeatureProvider
from bench.run.calibrate import Arrays
from bench.run.contain.containment import Contained, Containment, flags_of_changes
from bench.run.evaluation import (
    CellRun,
    Result,
    Shuffled,
    choose,
    failed,
    features_from,
    not_deterministic,
    record_of,
    scored,
    train_images,
)
from bench.run.measure import PeakMemory, time_limit
from bench.run.shared import SharedFits
from bench.run.spool import MapSink
from bench.run.verdict import evaluated, kept, record_header
from bench.suite.auxiliary import AuxiliaryImages, auxiliary_images
from bench.suite.keys import How
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, Resolver
from bench.suite.suite import Limits
from bench.train.checkpoint import Checkpoints
from bench.train.method import Method
from bench.train.together import fit_many

log = logging.getLogger(__name__)


class Runner:
    """Runs cells in this process, on one device.

    Parameters
    ----------
    registry : Registry
    backbones : Backbones
        The suite's own and the built-in ones.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    limits : Limits
    storage : {"float32", "float16"}
        Type in which features are stored.
    threads : int
        Of a cell on the CPU.
    extraction_threads : int, optional
        Of forward passes on the CPU; by default all cores.
    """

    def __init__(
        self,
        registry: Registry,
        backbones: Backbones,
        *,
        device: str = "cpu",
        limits: Limits | None = None,
        storage: Literal["float32", "float16"] = "float32",
        threads: int = CELL_THREADS,
        extraction_threads: int | None = None,
    ) -> None:

        from bench.run import environment

        deterministic()
        fix_threads(threads)
        self._threads, self._limited = threads, set[str]()
        self.registry, self._resolver, self.limits = registry, Resolver(registry), limits or Limits()
        self.device = supported_device(device)
        self.provider = FeatureProvider(
            backbones, self.device, storage=storage, threads=extraction_threads or cores()
        )
        self.environment = environment.describe(str(self.device)) | {"features": {"stored as": storage}}
        #: Called in long trainings with: what, mini-batches done, mini-batches in all.
        self.progress: Callable[[str, int, int], None] | None = None
        #: Labels and images of the test sets so far, by `Record.truth`.
        self.truths: dict[str, Truth] = {}
        #: Whether records get their metrics here; where a driver gives them it does not ask twice.
        self.evaluates = True
        #: Where anomaly maps go; without one they are checked and dropped.
        self.spool: MapSink | None = None
        #: Folds and how they are used, where calibration scores are wanted; and those that were made, by key.
        self.calibration: tuple[int, How] | None = None
        self.arrays: dict[str, Arrays] = {}
        #: Why this process can use its device no more; it should run nothing more.
        self.device_fault = ""
        self._shared = SharedFits()
        self.containment = Containment(notes_varying=self.device.type != "cpu")
        self._auxiliary: dict[object, dict[str, AuxiliaryImages]] = {}
        self._task: tuple[object, Task, dict[str, Any]] | None = None

    def run(self, cell: Cell) -> Result:
        """Run one cell; any error becomes a failed record.

        Returns
        -------
        record : Record
        scores : ndarray, shape (n_test,), float64, or None
            In the order of the task's test images; None if the cell failed.
        """
        cell_run = self._begin(cell)
        with self.containment.around(cell.method) as contained:
            try:
                with time_limit(self.limits.cell_seconds):
                    self._prepare(cell_run)
                    self._shared.fit(cell_run, self.provider.seconds)
                    result = self._finish(cell_run)
            except BaseException as error:
                result = self._failed(cell_run, error)
        return self._told(result, contained)

    def forget(self) -> None:
        """Let go of a model that serves several tasks: the next cell fits its own."""
        self._shared = SharedFits()

    def fitted(self, cell: Cell, before: Callable[[CellRun], None] | None = None) -> CellRun:
        """Return a cell whose method is fitted, for other images than its test images, `before` called first.

        Raises
        ------
        Exception
            Whatever the method or its data raise.
        """
        cell_run = self._begin(cell)
        with self.containment.around(cell.method):
            self._prepare(cell_run)
            if before is not None:
                before(cell_run)
            cell_run.method.fit(cell_run.train.images)
        return cell_run

    def run_together(self, cells: Sequence[Cell]) -> Iterator[Result]:
        """Run cells that differ only in task, contamination and seed, and fit their heads together.

        Yields
        ------
        record, scores
            As from `run`, in the order of the cells. The time to fit is a share; a flag says so.
        """
        cell_runs = [self._begin(cell) for cell in cells]
        failures: dict[int, BaseException] = {}
        with self.containment.around(cells[0].method) as fitting:
            for at, each in enumerate(cell_runs):
                try:
                    self._prepare(each)
                except BaseException as error:
                    failures[at] = self.containment.own(error)
            left = {at: each for at, each in enumerate(cell_runs) if at not in failures}
            failures |= self._fit_together(left)
        for at, each in enumerate(cell_runs):
            with self.containment.around(each.cell.method) as scoring:
                try:
                    if at in failures:
                        raise failures[at]
                    with time_limit(self.limits.cell_seconds):
                        result = self._finish(each)
                except BaseException as error:
                    result = self._failed(each, error)
            each.release()
            yield self._told(result, fitting, scoring)

    def _failed(self, cell_run: CellRun, error: BaseException) -> Result:
        """Return a failed record, and note it if the device is lost; raise an error that ends the run."""
        own = self.containment.own(error)
        self.note_fault(own)
        return failed(cell_run, own)

    def note_fault(self, error: BaseException) -> None:
        """Note it if this process has lost its device: nothing but its end helps."""
        if not self.device_fault and is_device_lost(error):
            self.device_fault, self.containment.spoilt = said(error), True

    def _told(self, result: Result, *contained: Contained) -> Result:
        """Return a result with flags that say what its cell changed, and its metrics if asked for."""
        record, scores = result
        if flags := flags_of_changes(contained):
            record = replace(record, flags=(*record.flags, *flags))
            log.warning("%s %s", record.cell, "; ".join(flags))
        if varying := list(dict.fromkeys(name for each in contained for name in each.varying)):
            record = not_deterministic(record, varying)
        record = kept(record)
        if self.evaluates:
            record = evaluated(record, scores, self.truths.get(record.truth))
        return record, scores if record.status == "ok" else None

    def _fit_together(self, ready: Mapping[int, CellRun]) -> dict[int, BaseException]:
        """Fit the methods of several cells; return what failed."""
        if not ready:
            return {}
        limit = self.limits.cell_seconds
        try:
            with time_limit(limit and limit * len(ready)):
                fits = fit_many(
                    [each.method for each in ready.values()],
                    [each.train.images for each in ready.values()],
                    at_once=len(ready),
                    clock=self.provider.seconds,
                )
        except BaseException as error:
            return dict.fromkeys(ready, self.containment.own(error))
        usages = [each.meter.usage() for each in ready.values()]
        shared = [usage.seconds for usage, fit in zip(usages, fits, strict=True) if fit.together > 1]
        for each, fit, usage in zip(ready.values(), fits, usages, strict=True):
            # The first method to ask for an image waits for its features on behalf of all.
            features = sum(shared) / len(shared) if fit.together > 1 else usage.seconds
            each.fitted(fit.seconds, usage, features=features, together=fit.together)
        return {at: fit.error for at, fit in zip(ready, fits, strict=True) if fit.error is not None}

    def _begin(self, cell: Cell) -> CellRun:
        method, problem = None, None
        try:
            method = self._resolver.of(cell)
        except Exception as error:
            problem = error if isinstance(error, AnobenchError) else AnobenchError(said(error))
        return CellRun(
            cell=cell,
            resolved=method,
            problem=problem,
            header=record_header(cell, method, self.environment),
            memory=PeakMemory(self.device),
            meter=self.provider.metered(),
        )

    def _prepare(self, cell_run: CellRun) -> None:
        """Open the cell's task and make its method."""
        started = self.provider.clock()
        if cell_run.resolved is None:
            raise cell_run.problem or AnobenchError(f"{cell_run.cell}: its method cannot be resolved")
        cell_run.task, cell_run.drawn = self._open(cell_run.cell)
        # Before any code of the method runs.
        cell_run.truth = cell_run.task.truth()
        cell_run.method = self._make(cell_run.resolved, cell_run.cell)
        cell_run.flags += self._give_auxiliary(cell_run.resolved.innermost, cell_run)
        if cell_run.resolved.asks_for_labels and cell_run.task.labelled is not None:
            cell_run.method.labelled = cell_run.task.labelled.bind(cell_run.meter)
        cell_run.train = Shuffled(train_images(cell_run).bind(cell_run.meter), cell_run.cell, "train")
        cell_run.test = Shuffled(cell_run.task.test.bind(cell_run.meter), cell_run.cell, "test")
        cell_run.wall += self.provider.clock() - started

    def _finish(self, cell_run: CellRun) -> Result:
        """Score the test images and make the record."""
        labels, started = cell_run.truth.labels, self.provider.seconds()
        returned, given, seconds = scored(cell_run, self.spool, self.provider.seconds)
        usage = cell_run.meter.usage()
        params = cell_run.resolved.innermost.params if cell_run.resolved else {}
        chosen = choose(returned, given, labels[cell_run.test.order], cell_run.header["selection"])
        scores = np.empty(len(labels), np.float64)
        scores[cell_run.test.order] = chosen.scores
        timing = Timing(
            fit=cell_run.fit_seconds,
            score=max(0.0, seconds - usage.seconds),
            features=cell_run.fit_usage.seconds + usage.seconds,
            features_cold=cell_run.fit_usage.cold_seconds + usage.cold_seconds,
            features_from=features_from(cell_run.fit_usage, usage),
            wall=max(0.0, cell_run.wall + self.provider.clock() - started),
        )
        self.truths.setdefault(cell_run.truth.identity, cell_run.truth)
        record = record_of(cell_run, chosen, scores, timing, params)
        wanted, make = self.calibration, functools.partial(self._make, cell=cell_run.cell)
        record, self.arrays[cell_run.cell.key] = self._shared.calibrated(cell_run, record, make, wanted)
        return record, scores

    def _open(self, cell: Cell) -> tuple[Task, dict[str, Any]]:
        """Open the cell's task, contaminated; the last one stays open, as cells come grouped by task."""
        wanted = (cell.dataset, cell.task, cell.contamination, cell.few_shot)
        if self._task is None or self._task[0] != wanted:
            self._task = (wanted, *self.registry.open_task(cell))
        return self._task[1], self._task[2]

    def open_task(self, cell: Cell) -> Task:
        """Open a cell's task, contaminated; an `AnobenchError` says what is missing or damaged."""
        return self._open(cell)[0]

    def _give_auxiliary(self, method: ResolvedMethod, cell_run: CellRun) -> tuple[str, ...]:
        """Give auxiliary images to a method that names some; return flags about them for the record."""
        asked = (method.adapter.name, tuple(sorted(method.params.items())))
        if asked not in self._auxiliary:
            self._auxiliary = {asked: auxiliary_images(method.adapter, method.params, self.registry)}
        found = self._auxiliary[asked]
        for parameter, auxiliary in found.items():
            auxiliary.refuse_overlap(cell_run.task, parameter)
        if found:
            cell_run.method.auxiliary = {
                name: auxiliary.images.bind(cell_run.meter) for name, auxiliary in found.items()
            }
            cell_run.method.auxiliary_classes = {name: each.classes for name, each in found.items()}
        return tuple(f"{name}: {len(each.images)} images of {each.name}" for name, each in found.items())

    def _make(self, resolved: ResolvedMethod, cell: Cell) -> Method:
        """Make an unfitted method, and limit the threads of the libraries that its adapter imports."""
        resolved.adapter.load()
        if resolved.adapter.name not in self._limited:
            self._limited.add(resolved.adapter.name)
            fix_threads(self._threads)
        seed = derive_seed("method", cell.seed, cell.train_name, cell.contamination.rate, bits=31)
        seed_everything(seed)
        method = resolved.make()
        method.device, method.seed = self.device, seed
        method.checkpoints, method.progress = Checkpoints.of_cell(cell.key), self.progress
        return method
