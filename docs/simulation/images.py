"""A world of test images: what is found holds for the data sets at hand, on other images of theirs.

Scores of the test images of one multi-class data set, tested one-vs-rest: an image keeps what makes it easy
or hard in all tasks, for all methods or for one, and all seeds of a method share it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from bench.stats.bootstrap import TestSet, bootstrap_aurocs, resample, with_seeds
from bench.stats.delong import auroc_interval, delong_test, placements
from simulation.counting import ALPHA, Floats, Share, counted, naive_p

CLASSES = 10
# On images: strength of the anomalies and standard deviations of the parts of a score.
STRENGTH, WEAKER, PER_CLASS, IMAGE_SEEDS = 1.8, 1.6, 40, 5
SHARED, OF_METHOD, OF_TASK, OF_SEED, OF_RUN = 0.6, 0.5, 0.5, 0.35, 0.1


def true_auroc(strength: float) -> float:
    """Return the AUROC that a method has over all images and seeds."""
    one = SHARED**2 + OF_METHOD**2 + OF_TASK**2 + OF_SEED**2
    return float(stats.norm.cdf(strength / np.sqrt(2 * one + OF_RUN**2)))


def images(rng: np.random.Generator, strengths: tuple[float, float]) -> tuple[list[TestSet], Floats]:
    """Return the tasks of one data set, and scores of shape (2 methods, seeds, tasks, images)."""
    n = CLASSES * PER_CLASS
    of = np.repeat(np.arange(CLASSES), PER_CLASS)
    tests = [TestSet((of != task).astype(np.uint8), np.arange(n)) for task in range(CLASSES)]
    labels = np.stack([test.labels for test in tests])
    run = np.array(strengths)[:, None, None, None] + OF_RUN * rng.normal(size=(2, IMAGE_SEEDS, CLASSES, 1))
    scores: Floats = (
        run * labels
        + SHARED * rng.normal(size=n)
        + OF_METHOD * rng.normal(size=(2, 1, 1, n))
        + OF_TASK * rng.normal(size=(2, 1, CLASSES, n))
        + OF_SEED * rng.normal(size=(2, IMAGE_SEEDS, CLASSES, n))
    )
    return tests, scores


def on_images(reps: int, *, different: bool = False, draws: int = 300, seed: int = 0) -> list[Share]:
    """Compare two methods on one data set, or count what intervals of a difference and of a mean cover."""
    strengths = (STRENGTH, WEAKER if different else STRENGTH)
    truth = [true_auroc(each) for each in strengths]
    names = {
        "Bootstrap over images, one data set": "leaderboard",
        "DeLong, one task": "leaderboard",
        f"Signed ranks, {CLASSES} classes of one data set": "naive",
        f"Signed ranks, {CLASSES} × {IMAGE_SEEDS} seeds of one data set": "naive",
        f"t test, {IMAGE_SEEDS} seeds of one data set": "naive",
    }
    covers = {
        "Difference, bootstrap over images": "interval",
        "Mean AUROC, bootstrap over images": "interval",
    }

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for at in range(reps):
            tests, scores = images(rng, strengths)
            counts = resample(tests, draws=draws, seed=at)
            aurocs = np.array(
                [[placements(t.labels, s[:, i]).auroc for i, t in enumerate(tests)] for s in scores]
            )
            drawn = np.mean(
                [[[bootstrap_aurocs(t, s[k, i], counts) for i, t in enumerate(tests)] for k in range(len(s))]
                 for s in scores], axis=(1, 2)
            )  # fmt: skip
            d = aurocs[0] - aurocs[1]
            both = with_seeds(d.mean(axis=0), drawn[0] - drawn[1])
            if different:
                mean = with_seeds(aurocs[0].mean(axis=0), drawn[0])
                happened = (both.low <= truth[0] - truth[1] <= both.high, mean.low <= truth[0] <= mean.high)
                yield dict(zip(covers, happened, strict=True))
                continue
            happened = (
                both.p <= ALPHA,
                delong_test(tests[0].labels, scores[0, 0, 0], scores[1, 0, 0]).p <= ALPHA,
                naive_p(d.mean(axis=1)) <= ALPHA,
                naive_p(d) <= ALPHA,
                bool(stats.ttest_1samp(d.mean(axis=0), 0).pvalue <= ALPHA),
            )
            yield dict(zip(names, happened, strict=True))

    return counted(covers if different else names, events())


def coverage_on_one_task(
    reps: int, aurocs: tuple[float, float], sizes: tuple[int, int], *, seed: int = 0
) -> list[Share]:
    """Count how often DeLong's intervals hold the truth: (normal, anomalous) images, correlated scores."""
    labels = np.repeat([0, 1], sizes)
    gap = np.sqrt(2) * stats.norm.ppf(aurocs)
    setting = f"AUROC {aurocs[0]} and {aurocs[1]}, {sizes[0]} + {sizes[1]} images"
    names = {
        f"DeLong's difference, {setting}": "interval",
        f"One AUROC of {aurocs[0]}, {sizes[0]} + {sizes[1]} images": "interval",
    }

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for _ in range(reps):
            noise = np.sqrt(0.5) * (rng.normal(size=len(labels)) + rng.normal(size=(2, len(labels))))
            scores = noise + gap[:, None] * labels
            found, held = delong_test(labels, *scores), placements(labels, scores[0])
            low, high = auroc_interval(
                float(held.auroc[0]), float(held.covariance[0, 0]), anomalous=sizes[1], normal=sizes[0]
            )
            happened = (found.low <= aurocs[0] - aurocs[1] <= found.high, low <= aurocs[0] <= high)
            yield dict(zip(names, happened, strict=True))

    return counted(names, events())
