"""``bench.evaluate``: arrays in, metrics and scores out, without suites, files or records."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.core.determinism import cores, derive_seed
from bench.core.errors import AnobenchError, DataError
from bench.core.files import working_directory
from bench.core.truth import Truth
from bench.data.given import GivenRows, feature_rows, image_source, is_rows
from bench.data.images import Images
from bench.data.source import Source
from bench.data.task import Task
from bench.features.presets import DEFAULT
from bench.metrics.maps import WHOLE, fitted
from bench.metrics.pixel import CodeHistogram, pixel_metrics, regions_of
from bench.report.evaluation import Evaluation
from bench.run.spool import to_half
from bench.suite.adapter import Adapter
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, base_parameter, resolve_given
from bench.train.detector import Detector
from bench.train.method import Covers, Method, returned_scores


def evaluate(
    detector: Any,
    train: Any,
    test: Any,
    labels: ArrayLike,
    *,
    masks: Sequence[ArrayLike] | None = None,
    backbone: str | None = None,
    seeds: Sequence[int] = (0,),
    name: str = "",
) -> Evaluation:
    """Fit a detector on normal images, score test images, and say how well it tells them apart.

    Parameters
    ----------
    detector : object
        With ``fit`` and ``decision_function`` or ``score_samples`` (scikit-learn, PyOD, your own: see
        `bench.train.detector.Detector`); a method of anobench, or its selector, such as ``"dn2[k=5]"``.
    train, test : array, tensor or sequence
        Images: bytes of shape (n, h, w) or (n, h, w, 3), floats in [0, 1], a tensor (n, 3, h, w), a list of
        paths or of PIL images. Or rows of features, shape (n, d).
    labels : array_like, shape (n_test,)
        1 (or True) = anomalous.
    masks : sequence of array_like, optional
        One (h, w) for each test image, true where it is defective: for pixel metrics of methods with maps.
    backbone : str, optional
        Whose features a detector gets; by default that of the method, or ``lite0``.
    seeds : sequence of int
        A random detector is fitted once with each; a deterministic one once.
    name : str, optional

    Returns
    -------
    Evaluation

    Raises
    ------
    AnobenchError
        A mistake in what was given. Errors of the detector itself come as they are.

    Examples
    --------
    >>> import numpy as np, bench
    >>> from sklearn.ensemble import IsolationForest
    >>> rng = np.random.default_rng(0)
    >>> train, test = rng.normal(size=(100, 4)), rng.normal(size=(60, 4))
    >>> labels = np.repeat([0, 1], 30)
    >>> test[labels == 1] += 4
    >>> found = bench.evaluate(IsolationForest(), train, test, labels, seeds=range(5))
    >>> found.metrics["auroc"] > 0.9
    True
    >>> low, high = found.interval()
    >>> len(found.frame())
    300

    Images, and a method of anobench on their pixels:

    >>> good = rng.integers(0, 100, (20, 8, 8), dtype=np.uint8)
    >>> bad = rng.integers(100, 200, (10, 8, 8), dtype=np.uint8)
    >>> test, labels = [*good[10:], *bad], [0] * 10 + [1] * 10
    >>> bench.evaluate("dn2", good[:10], test, labels, backbone="pixels[size=8]").metrics["auroc"]
    1.0
    """
    method, random, called = _method(detector, backbone)
    given = _Given(train, test, labels, masks, double=isinstance(method, Detector))
    seeds = tuple(dict.fromkeys(int(seed) for seed in seeds)) if random else (0,)
    if not seeds or min(seeds) < 0:
        raise AnobenchError("seeds: expected at least one whole number from 0 on, such as seeds=range(5)")
    runs = [_run(method, given, seed) for seed in seeds]
    every = [pixels for _, _, pixels in runs]
    return Evaluation(
        name=name or called,
        truth=given.truth,
        values=np.stack([scores for scores, _, _ in runs]),
        seeds=seeds,
        random=random,
        seconds={what: float(np.mean([each[what] for _, each, _ in runs])) for what in ("fit", "score")},
        pixels={what: float(np.mean([each[what] for each in every])) for what in every[0]},
    )


def _method(detector: Any, backbone: str | None) -> tuple[Method | ResolvedMethod, bool, str]:
    """Return what makes the method, whether a seed counts, and its name."""
    if isinstance(detector, str):
        found = named(detector, backbone, f"evaluate({detector!r})")
        return found, found.stochastic, detector
    if isinstance(detector, Method):
        own: Any = copy.copy(detector)
        if backbone is not None or getattr(own, "backbone", "") == "default":
            own.backbone = backbone or DEFAULT
        return own, detector.stochastic, type(detector).__name__
    made = Detector(detector, backbone or DEFAULT)
    return made, made.random, type(detector).__name__


def named(method: str, backbone: str | None, where: str, registry: Registry | None = None) -> ResolvedMethod:
    """Return the method that a selector or a file names, with a backbone where it takes one."""

    def given(adapter: Adapter, params: dict[str, object]) -> dict[str, object]:
        takes = "backbone" in adapter.parameters or base_parameter(adapter) is not None
        # One that takes none says so, if one is given.
        return ({"backbone": backbone or DEFAULT} if takes or backbone else {}) | params

    return resolve_given(method, registry or Registry((), working_directory()), where, given)


class _Given:
    """What a user gave, checked: images that can compute, labels and masks."""

    def __init__(self, train: Any, test: Any, labels: ArrayLike, masks: Any, *, double: bool) -> None:
        if is_rows(train) != is_rows(test):
            raise DataError(
                "train and test: one is rows of features, (n, d), the other images; give the same"
            )
        self.sources: list[Source]
        if is_rows(train):
            rows = [feature_rows(each, what) for each, what in ((train, "train"), (test, "test"))]
            if rows[0].shape[1] != rows[1].shape[1]:
                raise DataError(f"train has {rows[0].shape[1]} features a row and test {rows[1].shape[1]}")
            provider = GivenRows("float64" if double else "float32")
            made = [provider.images(what, each) for what, each in zip(("train", "test"), rows, strict=True)]
            (self.train, first), (self.test, second) = made
            self.sources = [first, second]
        else:
            self.sources = [image_source(train, "train"), image_source(test, "test")]
            self.train, self.test = self._bound()
        self.labels, self.masks = _labels(labels, len(self.test)), _masks(masks, len(self.test))
        if not len(self.train):
            raise DataError("train: there is nothing to fit on")

    def _bound(self) -> tuple[Images, Images]:
        import torch

        from bench.features.backbone import Backbones
        from bench.features.provider import FeatureProvider

        provider = FeatureProvider(Backbones({}, None), torch.device("cpu"), cache=None, threads=cores())
        train, test = (Images.of(source).bind(provider) for source in self.sources)
        return train, test

    @property
    def truth(self) -> Truth:
        task = Task(
            name="given",
            train=self.train,
            test=self.test,
            test_labels=self.labels,
            test_types=("",) * len(self.labels),
            sources=tuple(self.sources),
        )
        return task.truth()


def _labels(given: ArrayLike, n: int) -> NDArray[np.uint8]:
    labels = np.asarray(given)
    if labels.shape != (n,) or labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"labels: expected {n} of 0 (normal) and 1 (anomalous), one a test image, got {labels.dtype} of "
            f"shape {labels.shape}"
        )
    if len(set(labels.tolist())) < 2:
        raise DataError("labels: expected both normal (0) and anomalous (1) test images")
    return labels.astype(np.uint8)


def _masks(given: Any, n: int) -> list[NDArray[np.bool_]] | None:
    if given is None:
        return None
    masks = [np.asarray(each) for each in given]
    if len(masks) != n or any(each.ndim != 2 for each in masks):
        raise DataError(f"masks: expected {n} of shape (h, w), one a test image, got {len(masks)}")
    return [each > 0 for each in masks]


def _run(
    made: Method | ResolvedMethod, given: _Given, seed: int
) -> tuple[NDArray[np.float64], dict[str, float], dict[str, float]]:
    """Return scores, seconds and pixel metrics of one fit."""
    from bench.features.device import deterministic, seed_everything

    deterministic()
    derived = derive_seed("method", seed, bits=31)
    seed_everything(derived)
    method = made.make() if isinstance(made, ResolvedMethod) else copy.deepcopy(made)
    method.device, method.seed = given.train.device, derived
    begun = time.perf_counter()
    method.fit(given.train)
    between = time.perf_counter()
    returned = returned_scores(method.score(given.test))
    parts = list(returned.each_part(len(given.test)))
    ended = time.perf_counter()
    scores = np.concatenate([np.empty(0), *(each for each, _ in parts)])
    seconds = {"fit": between - begun, "score": ended - between}
    return scores, seconds, _pixel_metrics(parts, returned.covers or WHOLE, given)


def _pixel_metrics(parts: Sequence[tuple[Any, Any]], covers: Covers, given: _Given) -> dict[str, float]:
    """Return what maps are worth, counted as those of a suite's cells are (`bench.run.mapmetrics`)."""
    held = [maps for _, maps in parts if maps is not None]
    if given.masks is None or sum(map(len, held)) != len(given.masks):
        return {}
    halves, _, _ = to_half(np.concatenate(held))
    found = CodeHistogram()
    for scores, mask in zip(halves, given.masks, strict=True):
        found += CodeHistogram.of_image(fitted(scores, mask.shape, covers), regions_of(mask))
    return pixel_metrics(found)
