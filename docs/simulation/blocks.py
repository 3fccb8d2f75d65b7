"""A world of data sets: what is found holds for data sets like these, which are the only independent units.

The metric of each method on each task is the method's mean plus parts for the data set, the class and the
seed: all classes of a data set share its part, all seeds of a task share its and the class's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from bench.stats.across import across
from bench.stats.friedman import friedman
from bench.stats.overall import overall
from bench.stats.signedrank import pairs_needed, wilcoxon
from simulation.counting import ALPHA, Floats, Share, counted, naive_p

#: Standard deviations over data sets, classes of one data set, and seeds of one task, in points.
DATA_SET, CLASS, SEED = 2.0, 2.0, 1.0
CLASSES, SEEDS = 10, 3
PAIRED = "Difference, signed ranks"


def data_sets(
    rng: np.random.Generator,
    n: int,
    methods: int = 2,
    *,
    means: Floats | None = None,
    between: float = DATA_SET,
    skewed: bool = False,
) -> list[Floats]:
    """Return the metric of each method on n data sets, each of shape (methods, classes, seeds), in points."""
    parts = []
    for _ in range(n):
        of_set = rng.exponential(size=methods) - 1 if skewed else rng.normal(size=methods)
        of_class = CLASS * rng.normal(size=(methods, CLASSES, 1))
        of_seed = SEED * rng.normal(size=(methods, CLASSES, SEEDS))
        parts.append(between * of_set[:, None, None] + of_class + of_seed)
    return [part + (0.0 if means is None else means[:, None, None]) for part in parts]


def null_of_two(reps: int, n: int, *, between: float = DATA_SET, seed: int = 0) -> list[Share]:
    """Compare two equally good methods on n data sets: by data set, and by class and seed as naively done."""

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for _ in range(reps):
            d = np.stack([each[0] - each[1] for each in data_sets(rng, n, between=between)])
            by_set = d.mean(axis=(1, 2))
            yield {
                f"Signed ranks, {n} data sets": wilcoxon(by_set).p <= ALPHA,
                f"Sign test, {n} data sets": stats.binomtest(int((by_set > 0).sum()), n).pvalue <= ALPHA,
                f"Signed ranks, {n} × {CLASSES} classes": naive_p(d.mean(axis=2)) <= ALPHA,
                f"Signed ranks, {n} × {CLASSES} × {SEEDS} seeds": naive_p(d) <= ALPHA,
            }

    return counted(
        {
            f"Signed ranks, {n} data sets": "leaderboard",
            f"Sign test, {n} data sets": "leaderboard",
            f"Signed ranks, {n} × {CLASSES} classes": "naive",
            f"Signed ranks, {n} × {CLASSES} × {SEEDS} seeds": "naive",
        },
        events(),
    )


def null_of_many(reps: int, n: int, methods: int, *, seed: int = 0) -> list[Share]:
    """Compare many equally good methods: any pair after Holm, Friedman's test, Nemenyi's after it."""
    names = {
        f"Holm, any of {methods * (methods - 1) // 2} pairs, {n} data sets": "leaderboard",
        f"Friedman, {methods} methods, {n} data sets": "leaderboard",
        f"Friedman and Nemenyi, {methods} methods, {n} data sets": "leaderboard",
        f"Friedman, {methods} methods, {n} × {CLASSES} classes": "naive",
    }

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for _ in range(reps):
            held = np.stack(data_sets(rng, n, methods)).mean(axis=3)
            found = across(held.mean(axis=2), alpha=ALPHA)
            assert found.friedman is not None
            ranks, far = found.friedman.ranks, found.critical_difference
            happened = (
                bool(found.different.any()),
                found.friedman.p <= ALPHA,
                far is not None and bool(np.ptp(ranks) > far),
                friedman(held.transpose(0, 2, 1).reshape(-1, methods)).p <= ALPHA,
            )
            yield dict(zip(names, happened, strict=True))

    return counted(names, events())


def coverage_over_data_sets(
    reps: int, n: int, *, skewed: bool = False, draws: int = 1000, seed: int = 0
) -> list[Share]:
    """Count how often intervals over n data sets hold the truth: four methods, a point apart."""
    means, tail = np.arange(4.0), ", skewed" if skewed else ""
    names = {f"{what}, {n} data sets{tail}": "interval" for what in ("Overall mean", "Mean rank", PAIRED)}
    if n < pairs_needed(ALPHA) or skewed:
        del names[f"{PAIRED}, {n} data sets{tail}"]  # infinite, or not of the mean
    large = np.concatenate(
        data_sets(np.random.default_rng(99), 20_000, 4, means=means, skewed=skewed), axis=1
    )
    rank = float(stats.rankdata(-large.mean(axis=2), axis=0)[1].mean())

    def events() -> Iterator[dict[str, bool]]:
        rng = np.random.default_rng(seed)
        for at in range(reps):
            held = data_sets(rng, n, 4, means=means, skewed=skewed)
            by_set = np.stack(held).mean(axis=(2, 3))
            pair, all_of = wilcoxon(by_set[:, 1] - by_set[:, 0]), overall(held, draws=draws, seed=at)
            happened = (
                bool(all_of.mean.low[1] <= means[1] <= all_of.mean.high[1]),
                bool(all_of.rank.low[1] <= rank <= all_of.rank.high[1]),
                pair.low <= 1 <= pair.high,
            )
            yield dict(zip(names, happened, strict=False))

    return counted(names, events())
