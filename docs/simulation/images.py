"""A world of test images: what is found holds for the data sets at hand, on other images of theirs.

Scores of the test images of one multi-class data set, tested one-vs-rest: an image keeps what makes it easy
or hard in all tasks, for all methods or for one, and all seeds of a method share it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from bench.stats.bootstrap import TestSet, bootstrap_aurocs, plus_seeds, resample, with_seeds
from bench.stats.delong import Difference, Placements, auroc_interval, delong_pairs, placements
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


def _measured(tests: list[TestSet], scores: Floats, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Return AUROCs (2 methods, tasks, seeds), and means over tasks and seeds of each resample (2, draws)."""
    counts = resample(tests, draws=draws, seed=seed)
    aurocs = [[placements(test.labels, of[:, i]).auroc for i, test in enumerate(tests)] for of in scores]
    drawn = [
        np.mean([bootstrap_aurocs(tests[i], one[i], counts) for one in of for i in range(CLASSES)], axis=0)
        for of in scores
    ]
    return np.array(aurocs), np.array(drawn)


def _one_task(test: TestSet, scores: Floats) -> Difference:
    """Return the difference of two methods on one task, by DeLong of averaged placements and the seeds."""
    held = [placements(test.labels, of[:, 0]) for of in scores]
    mean = Placements(
        np.stack([each.anomalous.mean(axis=0) for each in held]),
        np.stack([each.normal.mean(axis=0) for each in held]),
    )
    pairs = delong_pairs(mean)
    variance, freedom = plus_seeds(float(pairs.se[0, 1]) ** 2, held[0].auroc - held[1].auroc)
    estimate, se = float(pairs.difference[0, 1]), float(np.sqrt(variance))
    reach = se * float(stats.t.ppf(1 - ALPHA / 2, freedom))
    p = float(2 * stats.t.sf(abs(estimate) / se, freedom))
    return Difference(estimate, estimate - reach, estimate + reach, se, p)


def null_on_images(reps: int, *, draws: int = 300, seed: int = 0) -> list[Share]:
    """Compare two equally good methods on one data set: by image, and by class and seed as naively done."""
    names = {
        "Bootstrap over images, one data set": "leaderboard",
        "DeLong and seeds, one task": "leaderboard",
        "DeLong of one seed, one task": "naive",
        f"Signed ranks, {CLASSES} classes of one data set": "naive",
        f"Signed ranks, {CLASSES} × {IMAGE_SEEDS} seeds of one data set": "naive",
        f"t test, {IMAGE_SEEDS} seeds of one data set": "naive",
    }

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for at in range(reps):
            tests, scores = images(rng, (STRENGTH, STRENGTH))
            aurocs, drawn = _measured(tests, scores, draws, at)
            d = aurocs[0] - aurocs[1]
            p_values = (
                with_seeds(d.mean(axis=0), drawn[0] - drawn[1]).p,
                _one_task(tests[0], scores).p,
                delong_pairs(placements(tests[0].labels, scores[:, 0, 0])).p[0, 1],
                naive_p(d.mean(axis=1)),
                naive_p(d),
                float(stats.ttest_1samp(d.mean(axis=0), 0).pvalue),
            )
            yield {name: p <= ALPHA for name, p in zip(names, p_values, strict=True)}

    return counted(names, events())


def coverage_on_images(reps: int, *, draws: int = 300, seed: int = 0) -> list[Share]:
    """Count how often intervals on one data set hold the truth: of a difference, and of one mean AUROC."""
    true, weaker = true_auroc(STRENGTH), true_auroc(WEAKER)
    names = {
        "Difference, bootstrap over images": "interval",
        "Mean AUROC, bootstrap over images": "interval",
        "Difference on one task, DeLong and seeds": "interval",
    }

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for at in range(reps):
            tests, scores = images(rng, (STRENGTH, WEAKER))
            aurocs, drawn = _measured(tests, scores, draws, at)
            both = with_seeds((aurocs[0] - aurocs[1]).mean(axis=0), drawn[0] - drawn[1])
            mean, task = with_seeds(aurocs[0].mean(axis=0), drawn[0]), _one_task(tests[0], scores)
            truths = (true - weaker, true, true - weaker)
            yield {
                name: found.low <= truth <= found.high
                for name, found, truth in zip(names, (both, mean, task), truths, strict=True)
            }

    return counted(names, events())


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
            pairs, held = delong_pairs(placements(labels, scores)), placements(labels, scores[0])
            low, high = auroc_interval(
                float(held.auroc[0]), float(held.covariance[0, 0]), anomalous=sizes[1], normal=sizes[0]
            )
            happened = (
                pairs.low[0, 1] <= aurocs[0] - aurocs[1] <= pairs.high[0, 1],
                low <= aurocs[0] <= high,
            )
            yield dict(zip(names, happened, strict=True))

    return counted(names, events())
