"""A cell on its way through the runner, and what its record says of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell, Record, Timing, Value
from bench.core.errors import AnobenchError, ScoreError, kind_of, plain_text, said
from bench.core.truth import Truth
from bench.data.audit import identities
from bench.data.images import Images
from bench.data.task import Task
from bench.features.provider import FeatureProvider, FeatureUsage
from bench.metrics.image import auroc
from bench.metrics.purification import purification_metrics
from bench.run.failure import place_of
from bench.run.measure import CellTimeout, PeakMemory
from bench.run.spool import MapSink, shown_order, spooled
from bench.suite.resolve import ResolvedMethod
from bench.train.method import Method, Scores, returned_scores

log = logging.getLogger(__name__)

#: Parameters of methods that count training images.
COUNTS_IMAGES = ("k", "components")

#: A method's remarks: so many, each of so many characters; and the characters of a traceback.
MOST_NOTES, LONGEST_NOTE, LONGEST_TRACE = 50, 2000, 100_000

#: A record, and the scores in the order of the task's test images (None when the cell failed).
Result = tuple[Record, NDArray[np.float64] | None]


@dataclass(slots=True)
class CellRun:
    """A cell on its way through the runner."""

    cell: Cell
    #: None if the method cannot be resolved; `problem` says why.
    resolved: ResolvedMethod | None
    problem: AnobenchError | None
    header: dict[str, Any]
    memory: PeakMemory
    meter: FeatureProvider
    task: Task = field(init=False)
    truth: Truth = field(init=False)
    drawn: dict[str, Any] = field(init=False)
    method: Method = field(init=False)
    train: Shuffled = field(init=False)
    test: Shuffled = field(init=False)
    fit_usage: FeatureUsage = field(init=False)
    fit_seconds: float = 0.0
    wall: float = 0.0
    flags: tuple[str, ...] = ()

    def fitted(self, seconds: float, usage: FeatureUsage, *, features: float, together: int = 1) -> None:
        """Note the seconds that fitting took, `features` of them for getting features."""
        self.fit_seconds, self.fit_usage = max(0.0, seconds - features), usage
        self.wall += seconds
        if together > 1:
            self.flags += (f"fitted together with {together - 1} other cells: its time is a share",)

    def release(self) -> None:
        """Free what was fitted: later cells need the memory."""
        for name in ("method", "train", "test"):
            if hasattr(self, name):
                delattr(self, name)


class Shuffled:
    """Images in an order that says nothing about their labels, and that order (`shown_order`)."""

    def __init__(self, images: Images, cell: Cell, part: str) -> None:
        self.order = shown_order(cell, part, len(images))
        self.images = images[self.order]


def train_images(cell_run: CellRun) -> Images:
    """Return the images to train on: the task's, or only the clean ones for an oracle that asks for them."""
    task = cell_run.task
    if not getattr(cell_run.method, "only_clean", False) or task.train_labels is None:
        return task.train
    return task.train[task.train_labels == 0]


def purified(cell_run: CellRun) -> dict[str, float]:
    """Return how well a wrapper chose among its training images, according to their true labels."""
    purification, truth = getattr(cell_run.method, "purification", None), cell_run.task.train_labels
    # An oracle that only got the clean images had nothing to choose.
    if purification is None or truth is None or len(truth) != len(cell_run.train.order):
        return {}
    checked = purification.checked(len(cell_run.train.images))
    labels = truth[cell_run.train.order]
    return purification_metrics(labels, checked.kept, checked.scores, checked.rate)


def overlapped(cell_run: CellRun, scores: NDArray[np.float64]) -> dict[str, float]:
    """Return the AUROC without the test anomalies that were trained on, where some but not all were.

    Parameters
    ----------
    scores : ndarray, shape (n_test,)
        In the order of the task's test images.
    """
    task, source = cell_run.task, cell_run.cell.contamination.source
    if source not in ("test_overlap", "jittered") or not cell_run.cell.contamination.rate:
        return {}
    seen = np.isin(identities(task.test)[0], identities(task.train)[0]) & (task.test_labels == 1)
    labels = task.test_labels[~seen]
    if not seen.any() or not labels.any() or np.isnan(scores).any():
        return {}
    return {"auroc_unseen": auroc(labels, scores[~seen])}


def failed(cell_run: CellRun, error: BaseException) -> Result:
    own = isinstance(error, AnobenchError)
    log.debug("%s failed", cell_run.cell, exc_info=error if own else None)  # the record has the others'
    kind = "timeout" if isinstance(error, CellTimeout) else kind_of(error)
    reason = {"kind": kind, "reason": _in_words(error, kind), "traceback": _trace(error)}
    resolved = cell_run.resolved
    adapters = [each.adapter for each in (resolved, resolved and resolved.base) if each]
    if where := place_of(error, adapters, getattr(cell_run, "method", None)):
        reason["where"] = plain_text(where)
    return Record(status="failed", error=reason, **cell_run.header), None


def _in_words(error: BaseException, kind: str) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({plain_text(repr(error.code), 100)}), which ends only this cell"
    return kind if (text := said(error)) == kind_of(error) else text


def _trace(error: BaseException) -> str:
    """Return an error's traceback; empty where its message says all."""
    if isinstance(error, AnobenchError):
        return ""
    try:
        return plain_text("".join(traceback.format_exception(error)), LONGEST_TRACE)
    except BaseException:
        return "its traceback cannot be made\n" + "".join(traceback.format_tb(error.__traceback__))


def checked_notes(notes: object) -> tuple[str, ...]:
    """Return a method's remarks as plain text for the record.

    Raises
    ------
    ScoreError
        They are something else than texts.
    """
    given = (notes,) if isinstance(notes, str) else notes
    if not isinstance(given, tuple | list) or not all(isinstance(each, str) for each in given):
        raise ScoreError(f"notes must be a tuple of texts, got {plain_text(repr(notes), 100)}")
    return tuple(plain_text(each, LONGEST_NOTE) for each in given[:MOST_NOTES])


def features_from(*usages: FeatureUsage) -> Any:
    computed = sum(usage.computed_rows for usage in usages)
    reused = sum(usage.reused_rows for usage in usages)
    if computed and reused:
        return "mixed"
    return "computed" if computed else "store" if reused else "none"


class ChosenScores(NamedTuple):
    """The scores of a record, shape (n,), float64; `Record.candidates`; and flags."""

    scores: NDArray[np.float64]
    candidates: Mapping[str, Mapping[str, float]] = {}
    flags: tuple[str, ...] = ()


def scored(
    cell_run: CellRun, sink: MapSink | None, clock: Callable[[], float]
) -> tuple[Scores, NDArray[np.float64], float]:
    """Score the test images; anomaly maps, if there are any, go part by part to the sink.

    Returns
    -------
    returned : Scores
    scores : ndarray, shape (n,), float64
        In the order of ``cell_run.test``.
    seconds : float
        That the method took, making the parts of its maps included, writing them not.

    Raises
    ------
    ScoreError
        Scores or maps are not what they should be, or cannot be written.
    """
    n, started = len(cell_run.truth.labels), clock()
    returned = returned_scores(cell_run.method.score(cell_run.test.images))
    seconds, scores = clock() - started, [np.empty(0)]
    with spooled(sink, cell_run.cell.key, n, returned.covers) as maps:
        for given, part in returned.each_part(n):
            scores.append(given)
            # An oracle's maps belong to none of its candidates.
            if maps is not None and part is not None and not returned.candidates:
                maps.add(part)
        if returned.parts is not None:
            seconds = clock() - started - (maps.seconds if maps else 0.0)
    return returned, np.concatenate(scores), seconds


def record_of(
    cell_run: CellRun,
    chosen: ChosenScores,
    scores: NDArray[np.float64],
    timing: Timing,
    params: Mapping[str, Value],
) -> Record:
    """Return the record of a cell that was scored, but for its metrics, which the driver computes.

    Parameters
    ----------
    scores : ndarray, shape (n_test,)
        In the order of the task's test images.
    """
    task, method = cell_run.task, cell_run.method
    return Record(
        status="ok",
        truth=cell_run.truth.identity,
        metrics=purified(cell_run) | overlapped(cell_run, scores),
        candidates=chosen.candidates,
        curves={plain_text(name, 200): [float(v) for v in each] for name, each in method.curves.items()},
        counts={
            "train": len(task.train),
            "train_anomalous": int(task.train_labels.sum()) if task.train_labels is not None else 0,
            **({"labelled": len(task.labelled)} if task.labelled is not None else {}),
        },
        contamination=cell_run.drawn,
        flags=(
            *chosen.flags,
            *cell_run.flags,
            *too_few_images(params, len(cell_run.train.images)),
            *checked_notes(method.notes),
        ),
        timing=timing,
        memory=cell_run.memory.read(),
        **cell_run.header,
    )


def not_deterministic(record: Record, operations: Sequence[str]) -> Record:
    """Return a record that says that, and why, the same cell may give other bits each time."""
    settings = {**record.environment.get("determinism", {}), "algorithms": False}
    flag = f"may differ from run to run: no deterministic implementation of {', '.join(operations)}"
    return replace(
        record,
        environment={**record.environment, "determinism": settings},
        flags=(*record.flags, plain_text(flag, LONGEST_NOTE)),
    )


def choose(
    returned: Scores, given: NDArray[np.float64], labels: NDArray[np.uint8], selection: str
) -> ChosenScores:
    """Return the scores of a record: the method's, or for an oracle the candidate that the labels favour."""
    candidates = returned.checked_candidates(len(labels))
    if not candidates:
        return ChosenScores(given)
    if selection != "oracle":
        raise ScoreError(
            'candidates are for methods whose selection is "oracle"; this one is tagged '
            f"{selection!r} and must choose without the test labels"
        )
    summaries = {name: candidate_summary(scores, labels) for name, scores in candidates.items()}
    best = max(candidates, key=lambda name: summaries[name].get("auroc", 0.0))
    flag = f"oracle: chose {best} of {len(candidates)} on the test set"
    return ChosenScores(candidates[best], summaries, (flag,))


def candidate_summary(scores: NDArray[np.float64], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return what a record says of a candidate."""
    means = {
        name: float(scores[labels == label].mean(dtype=np.float64))
        for label, name in enumerate(("normal", "anomalous"))
        if (labels == label).any()
    }
    every = {"auroc": auroc(labels, scores)} | means
    return {name: value for name, value in every.items() if np.isfinite(value)}


def too_few_images(params: Mapping[str, Value], n: int) -> tuple[str, ...]:
    """Return which parameters ask for more training images than the task has; methods use what there is."""
    return tuple(
        f"{name}={value} is more than the task's training images ({n})"
        for name, value in params.items()
        if name in COUNTS_IMAGES and isinstance(value, int) and value > n
    )
