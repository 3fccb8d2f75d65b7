"""Bootstrap over the images of one data set whose tasks share test images.

In one-vs-rest every task is tested on the same images: what makes one image hard counts in all tasks and for
all methods. One resample of the *images* is therefore applied to all of them, as how often each image was
drawn; an AUROC under such counts costs one pass over its presorted scores. Images are drawn within strata of
the same labels in all tasks, so that every resample has as many anomalous images as the test set, in every
task.

References
----------
Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 8.
Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997 (the variance that this
estimates by resampling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import t as student

from bench.stats import Floats
from bench.stats.delong import Difference

#: How often each image was drawn, shape (images, draws); no image is drawn 65,536 times.
ImageCounts = NDArray[np.uint16]

#: ImageCounts are worked through in pieces of so many draws, which stay in the processor's cache.
PIECE = 250


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """The test set of one task as a part of the data set's images.

    Attributes
    ----------
    labels : ndarray, shape (n,)
        1 = anomalous, 0 = normal.
    images : ndarray, shape (n,), int
        Which of the data set's images each is; tasks that share an image have the same number for it.
    """

    #: pytest would take the name for a test.
    __test__ = False

    labels: NDArray[np.uint8]
    images: NDArray[np.int64]


def resample(tests: Sequence[TestSet], *, draws: int = 1000, seed: int = 0) -> ImageCounts:
    """Return how often each image of a data set is drawn, for many resamples.

    Parameters
    ----------
    tests : sequence of TestSet
        All tasks of the data set.
    draws : int
        Number of resamples.
    seed : int

    Returns
    -------
    ndarray, shape (images, draws), uint16
        Each column sums to the number of images that any task has; an image that none has is never drawn.
    """
    counts = np.zeros((1 + max(int(test.images.max()) for test in tests), draws), np.uint16)
    rng = np.random.default_rng(seed)
    for members in _strata(tests):
        n = len(members)
        for start in range(0, draws, PIECE):
            some = min(PIECE, draws - start)
            drawn = rng.integers(0, n, (some, n)) + n * np.arange(some)[:, None]
            held = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n)
            counts[members, start : start + some] = held.T
    return counts


def bootstrap_aurocs(test: TestSet, scores: ArrayLike, counts: ImageCounts) -> Floats:
    """Return the AUROC of one method on one task in every resample.

    Parameters
    ----------
    test : TestSet
    scores : array_like, shape (n,)
        Infinities are legal.
    counts : ndarray, shape (images, draws)
        Of `resample`.

    Returns
    -------
    ndarray, shape (draws,)

    Raises
    ------
    ValueError
        Shapes differ, a class is missing, or a score is NaN.
    """
    values = np.asarray(scores, np.float64)
    anomalous = np.asarray(test.labels) == 1
    if values.shape != anomalous.shape or np.isnan(values).any() or anomalous.all() or not anomalous.any():
        raise ValueError("expected scores without NaN, one for each label, of both classes")
    # The rarer class is accumulated; the other is summed between its images.
    rare = anomalous if anomalous.sum() < (~anomalous).sum() else ~anomalous
    order = np.argsort(values[rare], kind="stable")
    rare_images = test.images[rare][order]
    between = _between(values[rare][order], values[~rare], test.images[~rare], len(counts))
    share = np.empty(counts.shape[1])
    for start in range(0, len(share), PIECE):
        piece = counts[:, start : start + PIECE]
        below = np.cumsum(piece[rare_images], axis=0, dtype=np.float64)
        above = (between @ piece).astype(np.float64)
        total = above.sum(axis=0) * below[-1]
        with np.errstate(invalid="ignore"):
            share[start : start + PIECE] = np.einsum("ij,ij->j", above[1:], below) / total
    return 1 - share if rare is anomalous else share


def with_seeds(by_seed: ArrayLike, replicates: ArrayLike, *, level: float = 0.95) -> Difference:
    """Return a mean, or a difference of means, with what images and seeds leave open about it.

    Parameters
    ----------
    by_seed : array_like, shape (s,)
        The quantity for each seed; one value where nothing depends on a seed.
    replicates : array_like, shape (draws,)
        The mean over seeds in each resample of the images.
    level : float

    Returns
    -------
    Difference
        Its variance is that over resamples plus that of the mean over seeds; the interval and the p value
        (of no difference from 0) use Student's t with Satterthwaite's degrees of freedom, so that few seeds
        that differ much prove little. Seeds do not multiply the images: with more of them only their own part
        vanishes. An image's luck with one seed is in both parts, so that the interval is rather too wide than
        too narrow. Where nothing varies, as where every AUROC is 1, the interval is a point: what few images
        leave open then is for `bench.stats.interval.auroc_interval` to say.

    References
    ----------
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2,
    1946.
    """
    draws = np.asarray(replicates, np.float64)
    of_images = float(draws.var(ddof=1)) if np.ptp(draws) > 1e-13 else 0.0
    variance, freedom = plus_seeds(of_images, by_seed)
    estimate, se = float(np.asarray(by_seed, np.float64).mean()), float(np.sqrt(variance))
    if se == 0:
        return Difference(estimate, estimate, estimate, 0.0, 1.0 if abs(estimate) < 1e-13 else 0.0)
    reach = float(student.ppf((1 + level) / 2, freedom)) * se
    p = float(2 * student.sf(abs(estimate) / se, freedom))
    return Difference(estimate, estimate - reach, estimate + reach, se, p)


def plus_seeds(of_images: float, by_seed: ArrayLike) -> tuple[float, float]:
    """Return a variance over images with that of the mean over seeds, and the sum's degrees of freedom.

    Parameters
    ----------
    of_images : float
        Of the mean over seeds: by resampling, or DeLong's of placements averaged over seeds.
    by_seed : array_like, shape (s,)
        The quantity for each seed.

    Returns
    -------
    variance, freedom : float
        Satterthwaite's, as for `with_seeds`; infinite degrees where seeds do not differ.
    """
    seeds = np.asarray(by_seed, np.float64)
    of_seeds = float(seeds.var(ddof=1) / len(seeds)) if len(seeds) > 1 and np.ptp(seeds) > 1e-13 else 0.0
    variance = of_images + of_seeds
    return variance, variance**2 * (len(seeds) - 1) / of_seeds**2 if of_seeds else float("inf")


def _between(ordered: Floats, others: Floats, images: NDArray[np.int64], n_images: int) -> csr_array:
    """Return the matrix that sums counts of other images by how many of the ordered scores lie below theirs.

    An image that equals some of them is counted half with those strictly below it and half with all up to its
    own; the matrix then holds every image twice.
    """
    low, high = (np.searchsorted(ordered, others, side) for side in ("left", "right"))
    if (low == high).all():
        at, columns = low, images
    else:
        at, columns = np.concatenate([low, high]), np.concatenate([images, images])
    # Sums of counts are at most the number of all images, here taken twice.
    kind = np.uint16 if 2 * n_images < 2**16 else np.uint32
    return csr_array((np.ones(len(at), kind), (at, columns)), shape=(len(ordered) + 1, n_images))


def _strata(tests: Sequence[TestSet]) -> list[NDArray[np.int64]]:
    """Return the images in groups of the same labels in all tasks; without those that no task has."""
    n = 1 + max(int(test.images.max()) for test in tests)
    labels = np.full((n, len(tests)), 2, np.uint8)
    for at, test in enumerate(tests):
        labels[test.images, at] = test.labels
    there = np.flatnonzero((labels != 2).any(axis=1))
    _, which = np.unique(labels[there], axis=0, return_inverse=True)
    return [there[which.ravel() == each] for each in range(which.max() + 1)]
