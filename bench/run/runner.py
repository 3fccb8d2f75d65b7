"""The runner: one cell in, one record out. What every executor runs."""

from __future__ import annotations

import hashlib
import logging
import random
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.adapter import Adapter
from bench.cell import Cell, Record, Timing
from bench.contamination import contaminate
from bench.dataset import Dataset
from bench.errors import AnobenchError, ScoreError, SelectorError
from bench.features.backbone import Backbones
from bench.features.provider import FeatureProvider, FeatureUsage
from bench.images import Images
from bench.method import Method, Scores
from bench.metrics.image import auroc, image_metrics
from bench.registry import Registry
from bench.run.clock import PeakMemory, Stopwatch
from bench.selector import parse
from bench.suite import Limits
from bench.task import Task

log = logging.getLogger(__name__)


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
        self._datasets: dict[str, Dataset] = {}
        self._task: tuple[object, Task, dict[str, Any]] | None = None

    def run(self, cell: Cell) -> tuple[Record, NDArray[np.float32] | None]:
        """Run one cell; whatever goes wrong becomes a failed record.

        Returns
        -------
        record : Record
        scores : ndarray, shape (n_test,), float32, or None
            In the order of the task's test images; None when the cell failed.
        """
        created = datetime.now(UTC).isoformat(timespec="seconds")
        adapter = self.registry.methods.get(cell.method)
        attributes = adapter.attributes if adapter else {}
        about: dict[str, Any] = {
            "cell": cell,
            "setting": str(attributes.get("setting", "one-class")),
            "selection": adapter.selection(dict(cell.params)) if adapter else "last",
            "environment": self.environment,
            "created": created,
        }
        try:
            with _time_limit(self.limits.cell_seconds):
                return self._run(cell, adapter, about)
        except Exception as error:
            log.debug("%s failed", cell, exc_info=True)
            kind = "timeout" if isinstance(error, CellTimeout) else type(error).__name__
            return (
                Record(
                    status="failed",
                    error={
                        "kind": kind,
                        "reason": str(error) or kind,
                        "traceback": "" if isinstance(error, AnobenchError) else traceback.format_exc(),
                    },
                    **about,
                ),
                None,
            )
        finally:
            self.provider.usage()

    def _run(
        self, cell: Cell, adapter: Adapter | None, about: dict[str, Any]
    ) -> tuple[Record, NDArray[np.float32]]:
        started = time.perf_counter()
        memory = PeakMemory(self.device)
        if adapter is None:
            raise SelectorError(f"unknown method {cell.method!r}")
        task, drawn = self._open(cell)
        method = self._make(adapter, cell)
        self.provider.usage()
        train, test = _Shuffled(task.train, cell, "train"), _Shuffled(task.test, cell, "test")
        fit_seconds, fit_usage = self._timed(lambda: method.fit(train.images.bind(self.provider)))
        returned: list[Any] = []
        score_seconds, score_usage = self._timed(
            lambda: returned.append(method.score(test.images.bind(self.provider)))
        )
        labels = task.test_labels
        given, chosen = _choose(returned[0], labels[test.order], about["selection"])
        scores = np.empty_like(given)
        scores[test.order] = given
        timing = Timing(
            fit=fit_seconds,
            score=score_seconds,
            features=fit_usage.seconds + score_usage.seconds,
            features_cold=fit_usage.cold_seconds + score_usage.cold_seconds,
            features_from=_features_from(fit_usage, score_usage),
            wall=time.perf_counter() - started,
        )
        record = Record(
            status="ok",
            metrics=image_metrics(labels, scores),
            counts={
                "train": len(task.train),
                "train_anomalous": int(task.train_labels.sum()) if task.train_labels is not None else 0,
                "test": len(task.test),
                "test_anomalous": int(labels.sum()),
            },
            contamination=drawn,
            flags=(*chosen, *method.notes, *_flags(scores, labels)),
            timing=timing,
            memory=memory.read(),
            **about,
        )
        return record, scores

    def _timed(self, work: Any) -> tuple[float, FeatureUsage]:
        """Return the seconds of `work` without those spent getting features, and the features' usage."""
        watch = Stopwatch(self.device)
        work()
        total = watch.stop()
        usage = self.provider.usage()
        return max(0.0, total - usage.seconds), usage

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

    def _make(self, adapter: Adapter, cell: Cell) -> Method:
        params = dict(cell.params) | ({"backbone": cell.backbone} if cell.backbone else {})
        method_class = adapter.load()
        seed = derived_seed("method", cell.seed, cell.task_name, cell.contamination.rate)
        seed_everything(seed)
        method: Method = method_class(**params)
        method.device, method.seed = self.device, seed
        return method


class _Shuffled:
    """Images in an order that says nothing about their labels, and that order.

    Test folders are sorted by defect and drawn anomalies come after the normals: a method that looked at
    positions would see labels. The order depends on the task alone, so that it is the same for all methods.
    """

    def __init__(self, images: Images, cell: Cell, part: str) -> None:
        seed = derived_seed("order", part, cell.task_name)
        self.order = np.random.default_rng(seed).permutation(len(images))
        self.images = images[self.order]


def derived_seed(*names: object) -> int:
    """Return a seed in [0, 2³¹) from the names of what it should depend on."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, for methods that use them."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def deterministic() -> None:
    """Ask torch for the same bits every time: deterministic algorithms, no autotuning, no TF32."""
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
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
