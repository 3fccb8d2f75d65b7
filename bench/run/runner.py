"""The runner: one cell in, one record out. What every executor runs."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import wrapping
from bench.adapter import Adapter
from bench.cell import Cell, Record, Timing, Value
from bench.checkpoint import Checkpoints
from bench.contamination import contaminate
from bench.dataset import Dataset
from bench.errors import AdapterError, AnobenchError, ScoreError, SelectorError
from bench.extra import Extra, extra_images
from bench.features.backbone import Backbones
from bench.features.provider import FeatureProvider
from bench.features.usage import FeatureUsage, Meter
from bench.images import Images
from bench.method import Method, Scores
from bench.metrics.image import auroc, image_metrics
from bench.metrics.purification import purification_metrics
from bench.registry import Registry
from bench.run.clock import PeakMemory, Stopwatch, synchronised_seconds
from bench.seeds import derived_seed, seed_everything
from bench.selector import parse
from bench.suite import Limits
from bench.task import Task
from bench.together import fit_many
from bench.truth import Truth

log = logging.getLogger(__name__)

#: Parameters of methods that count training images.
COUNTS_IMAGES = ("k", "components")

#: A record, and the scores in the order of the task's test images (None when the cell failed).
Result = tuple[Record, NDArray[np.float32] | None]


class CellTimeout(Exception):
    """A cell took longer than the suite allows."""


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
    """

    def __init__(
        self,
        registry: Registry,
        backbones: Backbones,
        *,
        device: str = "cpu",
        limits: Limits | None = None,
        storage: Literal["float32", "float16"] = "float32",
    ) -> None:
        import torch

        from bench import environment

        deterministic()
        self.registry, self.limits = registry, limits or Limits()
        self.device = torch.device(device)
        self.provider = FeatureProvider(backbones, self.device, storage=storage)
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
            with _time_limit(self.limits.cell_seconds):
                self._prepare(begun)
                watch = Stopwatch(self.device)
                begun.method.fit(begun.train.images)
                seconds, usage = watch.stop(), begun.meter.usage()
                begun.fitted(seconds, usage, features=usage.seconds)
                return self._finish(begun)
        except Exception as error:
            return _failed(begun, error)

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
                with _time_limit(self.limits.cell_seconds):
                    result = self._finish(each)
            except Exception as error:
                result = _failed(each, error)
            each.release()
            yield result

    def _fit_together(self, ready: Mapping[int, _Begun]) -> dict[int, Exception]:
        """Fit the methods of several cells; return what failed."""
        if not ready:
            return {}
        limit = self.limits.cell_seconds
        try:
            with _time_limit(limit and limit * len(ready)):
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

    def _begin(self, cell: Cell) -> _Begun:
        adapter = self.registry.methods.get(cell.method)
        base = wrapping.safe_base_in(cell, adapter, self.registry)
        return _Begun(
            adapter=adapter,
            params=dict(base.params if base else cell.params),
            about={
                "cell": cell,
                "setting": wrapping.setting(adapter, base) if adapter else "one-class",
                "selection": wrapping.selection(adapter, dict(cell.params), base) if adapter else "last",
                "environment": self.environment,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            memory=PeakMemory(self.device),
            meter=Meter(self.provider),
        )

    def _prepare(self, begun: _Begun) -> None:
        """Open the cell's task and make its method."""
        started = time.perf_counter()
        cell, adapter = begun.about["cell"], begun.adapter
        if adapter is None:
            raise SelectorError(f"unknown method {cell.method!r}")
        begun.task, begun.drawn = self._open(cell)
        begun.method = self._make(adapter, cell)
        begun.flags += self._give_extra(adapter, cell, begun)
        begun.train = _Shuffled(self._train_images(begun).bind(begun.meter), cell, "train")
        begun.test = _Shuffled(begun.task.test.bind(begun.meter), cell, "test")
        begun.wall += time.perf_counter() - started

    def _finish(self, begun: _Begun) -> Result:
        """Score the test images and make the record."""
        task, started = begun.task, time.perf_counter()
        watch = Stopwatch(self.device)
        returned = begun.method.score(begun.test.images)
        seconds, usage = watch.stop(), begun.meter.usage()
        labels = task.test_labels
        given, chosen = _choose(returned, labels[begun.test.order], begun.about["selection"])
        scores = np.empty_like(given)
        scores[begun.test.order] = given
        timing = Timing(
            fit=begun.fit_seconds,
            score=max(0.0, seconds - usage.seconds),
            features=begun.fit_usage.seconds + usage.seconds,
            features_cold=begun.fit_usage.cold_seconds + usage.cold_seconds,
            features_from=_features_from(begun.fit_usage, usage),
            wall=begun.wall + time.perf_counter() - started,
        )
        truth = Truth.of(task)
        self.truths.setdefault(truth.identity, truth)
        record = Record(
            status="ok",
            truth=truth.identity,
            metrics=image_metrics(labels, scores) | _purified(begun),
            counts={
                "train": len(task.train),
                "train_anomalous": int(task.train_labels.sum()) if task.train_labels is not None else 0,
                "test": len(task.test),
                "test_anomalous": int(labels.sum()),
            },
            contamination=begun.drawn,
            flags=(
                *chosen,
                *begun.flags,
                *_too_few_images(begun.params, len(begun.train.images)),
                *begun.method.notes,
                *_flags(scores, labels),
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

    def _train_images(self, begun: _Begun) -> Images:
        """Return the images to train on: all of the task's, or the clean ones for an oracle that asks."""
        task = begun.task
        if not wrapping.only_clean(begun.method, begun.about["selection"]) or task.train_labels is None:
            return task.train
        return task.train[task.train_labels == 0]

    def _give_extra(self, adapter: Adapter, cell: Cell, begun: _Begun) -> tuple[str, ...]:
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

    def _make(self, adapter: Adapter, cell: Cell) -> Method:
        base = wrapping.base_in(cell, adapter, self.registry)
        takes_backbone = cell.backbone and base is None
        params = dict(cell.params) | ({"backbone": cell.backbone} if takes_backbone else {})
        method_class = adapter.load()
        seed = derived_seed("method", cell.seed, cell.task_name, cell.contamination.rate)
        seed_everything(seed)
        method: Method = method_class(**params)
        if base is not None:
            wrapping.give_base(method, base)
        method.device, method.seed = self.device, seed
        method.checkpoints, method.progress = Checkpoints.of_cell(cell.key), self.progress
        return method


@dataclass(slots=True)
class _Begun:
    """A cell on its way."""

    adapter: Adapter | None
    #: Of the method, or of the one inside a wrapper.
    params: dict[str, Value]
    about: dict[str, Any]
    memory: PeakMemory
    meter: Meter
    task: Task = field(init=False)
    drawn: dict[str, Any] = field(init=False)
    method: Method = field(init=False)
    train: _Shuffled = field(init=False)
    test: _Shuffled = field(init=False)
    fit_usage: FeatureUsage = field(init=False)
    fit_seconds: float = 0.0
    wall: float = 0.0
    flags: tuple[str, ...] = ()

    def fitted(self, seconds: float, usage: FeatureUsage, *, features: float, together: int = 1) -> None:
        """Note what fitting took, `features` of it for getting features."""
        self.fit_seconds, self.fit_usage = max(0.0, seconds - features), usage
        self.wall += seconds
        if together > 1:
            self.flags += (f"fitted together with {together - 1} other cells: its time is a share",)

    def release(self) -> None:
        """Let go of what was fitted: the cells after this one need the memory."""
        for name in ("method", "train", "test"):
            if hasattr(self, name):
                delattr(self, name)


def _purified(begun: _Begun) -> dict[str, float]:
    """Return how well a wrapper chose among its training images, which the truth is needed for."""
    purification, truth = getattr(begun.method, "purification", None), begun.task.train_labels
    # An oracle that got the clean images alone had nothing to choose.
    if purification is None or truth is None or len(truth) != len(begun.train.order):
        return {}
    checked = purification.checked(len(begun.train.images))
    return purification_metrics(truth[begun.train.order], checked.kept, checked.scores)


def _failed(begun: _Begun, error: Exception) -> Result:
    log.debug("%s failed", begun.about["cell"], exc_info=error)
    kind = "timeout" if isinstance(error, CellTimeout) else type(error).__name__
    trace = "" if isinstance(error, AnobenchError) else "".join(traceback.format_exception(error))
    reason = {"kind": kind, "reason": str(error) or kind, "traceback": trace}
    return Record(status="failed", error=reason, **begun.about), None


class _Shuffled:
    """Images in an order that says nothing about their labels, and that order.

    Test folders are sorted by defect and drawn anomalies come after the normals: a method that looked at
    positions would see labels. The order depends on the task alone, so that it is the same for all methods.
    """

    def __init__(self, images: Images, cell: Cell, part: str) -> None:
        seed = derived_seed("order", part, cell.task_name)
        self.order = np.random.default_rng(seed).permutation(len(images))
        self.images = images[self.order]


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


def _features_from(*usages: FeatureUsage) -> Any:
    computed = sum(usage.computed_rows for usage in usages)
    reused = sum(usage.reused_rows for usage in usages)
    if computed and reused:
        return "mixed"
    return "computed" if computed else "store" if reused else "none"


def _choose(
    returned: Scores, labels: NDArray[np.uint8], selection: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the scores to keep: the method's own, or for an oracle the candidate that the labels favour."""
    given = returned.checked(len(labels))
    candidates = returned.checked_candidates(len(labels))
    if not candidates:
        return given, ()
    if selection != "oracle":
        raise ScoreError(
            'candidates are for methods whose selection is "oracle"; this one is tagged '
            f"{selection!r} and must choose without the test labels"
        )
    best = max(candidates, key=lambda name: auroc(labels, candidates[name]))
    return candidates[best], (f"oracle: chose {best} of {len(candidates)} on the test set",)


def _too_few_images(params: Mapping[str, Value], n: int) -> tuple[str, ...]:
    """Return which parameters ask for more training images than the task has; methods take what there is."""
    return tuple(
        f"{name}={value} is more than the task's training images ({n})"
        for name, value in params.items()
        if name in COUNTS_IMAGES and isinstance(value, int) and value > n
    )


def _flags(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[str, ...]:
    flags = []
    if len(scores) and (scores == scores[0]).all():
        flags.append("constant scores")
    if len(np.unique(labels)) < 2:
        flags.append("one class only in the test set: AUROC undefined")
    if np.isinf(scores).any():
        flags.append("infinite scores")
    return tuple(flags)


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `CellTimeout` after so many seconds; soft: a call inside C code ends first."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not usable:
        yield
        return

    def interrupt(*_: object) -> None:
        raise CellTimeout(f"took longer than the suite's limit of {seconds:g} s (limits.cell_seconds)")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
