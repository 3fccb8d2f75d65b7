"""Wrapper: the base of a method around another, and Purification, its choice of training images.

A wrapper trains a registered method on sub-views of its training images, looks at the scores, and trains
again. It needs no feature extraction of its own: every base uses the same images. It never sees a label; the
runner computes from its `Purification` whether it kept the right images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core.determinism import derive_seed
from bench.core.errors import AdapterError, FitError, ScoreError
from bench.data.images import Images
from bench.train.method import Method, Scores, returned_scores


@dataclass(frozen=True, slots=True, eq=False)
class Purification:
    """Which training images a wrapper kept, and by which scores.

    Attributes
    ----------
    kept : ndarray, shape (n,), bool
        In the order of the training images.
    scores : ndarray, shape (n,), optional
        The scores it filtered by, higher = more anomalous; None if it used none.
    rate : float, optional
        The contamination rate that it estimated, a share of the training images in [0, 1].

    Examples
    --------
    >>> bench.Purification(np.array([True, False]), np.array([0.1, 0.9])).checked(2).kept
    array([ True, False])
    """

    kept: NDArray[np.bool_]
    scores: NDArray[np.float32 | np.float64] | None = None
    rate: float | None = None

    def checked(self, n: int) -> Purification:
        """Return it with the shapes and types for `n` training images.

        Raises
        ------
        ScoreError
            Wrong shape or type, no image kept, a score that is NaN, or a rate that is none; says which.
        """
        kept = np.asarray(self.kept)
        if kept.dtype != np.bool_ or kept.shape != (n,):
            raise ScoreError(
                f"a purification's kept must be {n} booleans, got {kept.dtype} of shape {kept.shape}"
            )
        if n and not kept.any():
            raise ScoreError(f"a purification kept none of {n} training images")
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise ScoreError(f"a purification's rate must lie in 0 to 1, got {self.rate}")
        rate = None if self.rate is None else float(self.rate)
        return Purification(kept, None if self.scores is None else Scores(self.scores).checked(n), rate)


class Wrapper(Method):
    """A method around another: its parameter of kind ``BaseMethod`` takes any registered method's selector.

    The base's parameters and code are part of the cell's key, and its backbone is the cell's; a wrapper has
    no backbone of its own. Setting and selection are the base's unless that is plain one-class.

    A subclass calls `new_base` for each fit, and sets `final` to the one that scores test images and
    `purification` to its choice.
    """

    #: Whether the runner removes the true anomalies from the training images: the upper bound of every
    #: purification. Only with ``selection = "oracle"``, so that it never ranks.
    only_clean: ClassVar[bool] = False

    #: Makes an untrained base; set by the runner.
    make_base: Callable[[], Method] | None = None
    #: The base that scores test images; set by `fit`.
    final: Method
    #: None if there was nothing to choose.
    purification: Purification | None = None

    def new_base(self, *names: object, bare_seed: bool = False) -> Method:
        """Return an untrained base.

        Parameters
        ----------
        *names
            The purpose of the base, different for each fit of a cell; its seed is derived from them, and its
            checkpoints are filed under them.
        bare_seed : bool
            Use the seed that the bare method would have in this cell instead.

        Raises
        ------
        AdapterError
            `make_base` is not set: the wrapper was not made by the runner.
        """
        from bench.features.device import seed_everything  # needs torch, which planning must not import

        if self.make_base is None:
            raise AdapterError(f"{type(self).__name__} has no base; set make_base, as the runner does")
        seed = self.seed if bare_seed else derive_seed(self.seed, *names, bits=31)
        # As the runner does before it makes a method: some draw from global generators.
        seed_everything(seed)
        base = self.make_base()
        base.device, base.seed, base.auxiliary = self.device, seed, self.auxiliary
        base.labelled = self.labelled
        base.progress, base.first_steps = self.progress, self.first_steps
        if self.checkpoints is not None:
            base.checkpoints = self.checkpoints.part("-".join(map(str, names)))
        return base

    def fit_final(self, train: Images, *names: object) -> None:
        """Fit the base that scores test images, with the seed of the bare method.

        Parameters
        ----------
        *names
            Distinguish several such fits of one cell.

        Raises
        ------
        FitError
            The base cannot be trained; says on how many images it was tried.
        """
        self.final = self.new_base("final", *names, bare_seed=True)
        try:
            self.final.fit(train)
        except FitError as error:
            raise FitError(
                f"{error} (inside {type(self).__name__}, which trained it on {len(train)} images; if these "
                "are too few, let it keep more)"
            ) from error
        self.notes, self.curves = self.final.notes, self.final.curves

    def score(self, test: Images) -> Scores:
        return self.final.score(test)

    def held_out_scores(
        self, train: Images, folds: int, *names: object, among: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return scores of the training images, shape (n,), each by a base that was not trained on it.

        Methods that keep their training images find each of them again, at distance 0. With fewer than two
        folds, or than two images a fold, one base is trained on all and scores all.

        Parameters
        ----------
        folds : int
            The images are dealt to so many, by the seed.
        *names
            Distinguish several such rounds of one cell.
        among : ndarray, shape (n,), bool, optional
            The images to train on; all are scored.

        Raises
        ------
        FitError
            The base cannot be trained on so few.
        """
        n, used = len(train), np.ones(len(train), np.bool_) if among is None else among
        if folds < 2 or used.sum() < 2 * folds:
            base = self.new_base("held out", *names, "all")
            base.fit(train[used])
            return training_scores(base, train).astype(np.float64)
        fold_of = np.empty(n, np.int64)
        seed = derive_seed(self.seed, "folds", bits=31)
        fold_of[np.random.default_rng(seed).permutation(n)] = np.arange(n) % folds
        scores = np.empty(n)
        for fold in range(folds):
            own = fold_of == fold
            base = self.new_base("held out", *names, fold)
            base.fit(train[used & ~own] if (used & ~own).any() else train[used])
            scores[own] = training_scores(base, train[own])
        return scores

    def base_features(self, images: Images) -> NDArray[np.float32]:
        """Return the pooled features of the base's backbone, shape (n, d), on the host.

        Raises
        ------
        FitError
            The base has no backbone.
        """
        backbone = getattr(self.new_base("features"), "backbone", None)
        if not isinstance(backbone, str):
            raise FitError(f"{type(self).__name__}: its base has no backbone, and so no features to compare")
        features: NDArray[np.float32] = images.features(backbone).cpu().numpy()
        return features


def training_scores(base: Method, images: Images) -> NDArray[np.float32 | np.float64]:
    """Return a fitted base's scores of training images, shape (n,), on the host.

    They are float32, or float64 where float32 would make different scores equal.

    Raises
    ------
    ScoreError
        They are not one number an image.
    """
    returned = base.score(images)
    try:
        scores = returned_scores(returned).checked(len(images))
    except ScoreError as error:
        error.method = base
        raise
    with np.errstate(over="ignore"):
        short = scores.astype(np.float32)
    return short if len(np.unique(short)) == len(np.unique(scores)) else scores
