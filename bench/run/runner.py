"""The runner: one cell in, one record out. What every executor runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bench import wrapping
from bench.adapter import Adapter
from bench.cell import Cell, Record, Timing
from bench.checkpoint import Checkpoints
from bench.contamination import contaminate
from bench.dataset import Dataset
from bench.errors import AdapterError, SelectorError
from bench.extra import Extra, extra_images
from bench.features.backbone import Backbones
from bench.features.provider import FeatureProvider
from bench.features.usage import Meter
from bench.images import Images
from bench.method import Method
from bench.metrics.image import image_metrics
from bench.registry import Registry
from bench.run.begun import (
    Begun,
    Result,
    Shuffled,
    about,
    choose,
    failed,
    features_from,
    flags_of,
    purified,
    too_few_images,
)
from bench.run.clock import PeakMemory, Stopwatch, synchronised_seconds
from bench.run.timelimit import time_limit
from bench.seeds import derived_seed, seed_everything
from bench.selector import parse
from bench.suite import Limits
from bench.task import Task
from bench.threads import CELL_THREADS, cores, fix_threads
from bench.together import fit_many
from bench.truth import Truth

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
        Type in which features are kept.
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
        import torch

        from bench import environment

        deterministic()
        fix_threads(threads)
        self._threads, self._limited = threads, set[str]()
        self.registry, self.limits = registry, limits or Limits()
        self.device = torch.device(device)
        self.provider = FeatureProvider(
            backbones, self.device, storage=storage, threads=extraction_threads or cores()
        )
        self.environment = environment.describe(str(self.device)) | {"features": {"stored as": storage}}
        #: Told of long trainings: what, mini-batches done, to do.
        self.progress: Callable[[str, int, int], None] | None = None
        #: Labels and pictures of the test sets met so far, by the name that records have for them.
        self.truths: dict[str, Truth] = {}
        self._datasets: dict[str, Dataset] = {}
        self._extra: dict[object, dict[str, Extra]] = {}
        self._task: tuple[object, Task, dict[str, Any]] | None = None

    def run(self, cell: Cell) -> Result:
        """Run one cell; whatever goes wrong becomes a failed record.

        Returns
        -------
        record : Record
        scores : ndarray, shape (n_test,), float32, or None
            In the order of the task's test images; None when the cell failed.
        """
        begun = self._begin(cell)
        try:
            with time_limit(self.limits.cell_seconds):
                self._prepare(begun)
                watch = Stopwatch(self.device)
                begun.method.fit(begun.train.images)
                seconds, usage = watch.stop(), begun.meter.usage()
                begun.fitted(seconds, usage, features=usage.seconds)
                return self._finish(begun)
        except Exception as error:
            return failed(begun, error)

    def fits_together(self, cell: Cell) -> bool:
        """Return whether the cell's method can be fitted in the same steps as those of other cells."""
        adapter = self.registry.methods.get(cell.method)
        try:
            return adapter is not None and hasattr(adapter.load(), "fit_together")
        except AdapterError:
            return False  # running the cell says why

    def run_together(self, cells: Sequence[Cell]) -> Iterator[Result]:
        """Run cells that differ in task, contamination and seed alone; their heads are fitted together.

        Yields
        ------
        record, scores
            As `run` returns them, in the order of the cells. The time to fit is a share, and a flag says so.
        """
        begun = [self._begin(cell) for cell in cells]
        failures: dict[int, Exception] = {}
        for at, each in enumerate(begun):
            try:
                self._prepare(each)
            except Exception as error:
                failures[at] = error
        failures |= self._fit_together({at: each for at, each in enumerate(begun) if at not in failures})
        for at, each in enumerate(begun):
            try:
                if at in failures:
                    raise failures[at]
                with time_limit(self.limits.cell_seconds):
                    result = self._finish(each)
            except Exception as error:
                result = failed(each, error)
            each.release()
            yield result

    def _fit_together(self, ready: Mapping[int, Begun]) -> dict[int, Exception]:
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
                    clock=lambda: synchronised_seconds(self.device),
                )
        except Exception as error:
            return dict.fromkeys(ready, error)
        usages = [each.meter.usage() for each in ready.values()]
        shared = [usage.seconds for usage, fit in zip(usages, fits, strict=True) if fit.together > 1]
        for each, fit, usage in zip(ready.values(), fits, usages, strict=True):
            # The first to ask for an image waits for its features on behalf of all.
            features = sum(shared) / len(shared) if fit.together > 1 else usage.seconds
            each.fitted(fit.seconds, usage, features=features, together=fit.together)
        return {at: fit.error for at, fit in zip(ready, fits, strict=True) if fit.error is not None}

    def _begin(self, cell: Cell) -> Begun:
        adapter = self.registry.methods.get(cell.method)
        base = wrapping.safe_base_in(cell, adapter, self.registry)
        return Begun(
            adapter=adapter,
            params=dict(base.params if base else cell.params),
            about=about(cell, self.registry, self.environment),
            memory=PeakMemory(self.device),
            meter=Meter(self.provider),
        )

    def _prepare(self, begun: Begun) -> None:
        """Open the cell's task and make its method."""
        started = time.perf_counter()
        cell, adapter = begun.about["cell"], begun.adapter
        if adapter is None:
            raise SelectorError(f"unknown method {cell.method!r}")
        begun.task, begun.drawn = self._open(cell)
        begun.method = self._make(adapter, cell)
        begun.flags += self._give_extra(adapter, cell, begun)
        begun.train = Shuffled(self._train_images(begun).bind(begun.meter), cell, "train")
        begun.test = Shuffled(begun.task.test.bind(begun.meter), cell, "test")
        begun.wall += time.perf_counter() - started

    def _finish(self, begun: Begun) -> Result:
        """Score the test images and make the record."""
        task, started = begun.task, time.perf_counter()
        watch = Stopwatch(self.device)
        returned = begun.method.score(begun.test.images)
        seconds, usage = watch.stop(), begun.meter.usage()
        labels = task.test_labels
        chosen = choose(returned, labels[begun.test.order], begun.about["selection"])
        scores = np.empty_like(chosen.scores)
        scores[begun.test.order] = chosen.scores
        timing = Timing(
            fit=begun.fit_seconds,
            score=max(0.0, seconds - usage.seconds),
            features=begun.fit_usage.seconds + usage.seconds,
            features_cold=begun.fit_usage.cold_seconds + usage.cold_seconds,
            features_from=features_from(begun.fit_usage, usage),
            wall=begun.wall + time.perf_counter() - started,
        )
        truth = Truth.of(task)
        self.truths.setdefault(truth.identity, truth)
        record = Record(
            status="ok",
            truth=truth.identity,
            metrics=image_metrics(labels, scores) | purified(begun),
            candidates=chosen.candidates,
            counts={
                "train": len(task.train),
                "train_anomalous": int(task.train_labels.sum()) if task.train_labels is not None else 0,
                "test": len(task.test),
                "test_anomalous": int(labels.sum()),
            },
            contamination=begun.drawn,
            flags=(
                *chosen.flags,
                *begun.flags,
                *too_few_images(begun.params, len(begun.train.images)),
                *begun.method.notes,
                *flags_of(scores, labels),
            ),
            timing=timing,
            memory=begun.memory.read(),
            **begun.about,
        )
        return record, scores

    def _open(self, cell: Cell) -> tuple[Task, dict[str, Any]]:
        """Open the cell's task, contaminated; the last one stays open, since cells come grouped by task."""
        wanted = (cell.dataset, cell.task, cell.contamination)
        if self._task is None or self._task[0] != wanted:
            if cell.dataset not in self._datasets:
                selector = parse(cell.dataset)
                adapter = self.registry.match("dataset", selector, cell.task_name)[0]
                self._datasets[cell.dataset] = adapter.load()(
                    **adapter.check(selector.params, cell.task_name)
                )
            dataset, how = self._datasets[cell.dataset], cell.contamination
            official = how.source == "official" and how.rate
            task = dataset.noisy_task(cell.task, how.rate) if official else dataset.task(cell.task)
            self._task = (wanted, *contaminate(task, cell.dataset, how))
        return self._task[1], self._task[2]

    def open_task(self, cell: Cell) -> Task:
        """Open a cell's task, contaminated, as the cell will see it.

        Raises
        ------
        AnobenchError
            The data set or the task is not there or damaged, or the contamination cannot be drawn.
        """
        return self._open(cell)[0]

    def _train_images(self, begun: Begun) -> Images:
        """Return the images to train on: all of the task's, or the clean ones for an oracle that asks."""
        task = begun.task
        if not wrapping.only_clean(begun.method, begun.about["selection"]) or task.train_labels is None:
            return task.train
        return task.train[task.train_labels == 0]

    def _give_extra(self, adapter: Adapter, cell: Cell, begun: Begun) -> tuple[str, ...]:
        """Hand extra pictures to the method that names some; return what the record should say of them."""
        found = self._extra.get((cell.method, cell.params))
        if found is None:
            base = wrapping.base_in(cell, adapter, self.registry)
            inner, params = (base.adapter, base.params) if base else (adapter, dict(cell.params))
            found = extra_images(inner, params, self.registry)
            self._extra = {(cell.method, cell.params): found}
        for parameter, extra in found.items():
            extra.refuse_overlap(begun.task, parameter)
        if found:
            begun.method.extra = {name: extra.images.bind(begun.meter) for name, extra in found.items()}
        return tuple(f"{name}: {len(extra.images)} pictures of {extra.name}" for name, extra in found.items())

    def _load(self, adapter: Adapter) -> Any:
        """Return the adapter's class; the libraries that it brought in get their number of threads."""
        loaded = adapter.load()
        if adapter.name not in self._limited:
            self._limited.add(adapter.name)
            fix_threads(self._threads)
        return loaded

    def _make(self, adapter: Adapter, cell: Cell) -> Method:
        base = wrapping.base_in(cell, adapter, self.registry)
        takes_backbone = cell.backbone and base is None
        params = dict(cell.params) | ({"backbone": cell.backbone} if takes_backbone else {})
        method_class = self._load(adapter)
        seed = derived_seed("method", cell.seed, cell.task_name, cell.contamination.rate)
        seed_everything(seed)
        method: Method = method_class(**params)
        if base is not None:
            wrapping.give_base(method, base)
        method.device, method.seed = self.device, seed
        method.checkpoints, method.progress = Checkpoints.of_cell(cell.key), self.progress
        return method


def deterministic() -> None:
    """Ask torch for the same bits every time: deterministic algorithms, no autotuning, no TF32."""
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would also fill each new tensor with NaN: slow, and only to find reads of what was never written.
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
