"""Comparisons of made-up samples: the scope of a claim, its tests and intervals, against their references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.report.evidence.comparison import best, compare_methods, data_sets_needed
from bench.report.evidence.samples import ImageParts, Samples
from bench.stats.power import smallest_difference
from tests.stats.cases import joined, welch

PAIRS = [(0, 1), (0, 2), (1, 2)]


def samples(
    means: np.ndarray,
    *,
    spread: float | None = None,
    blocks: tuple[int, ...] | None = None,
    seeds: float = 0.0,
    told: tuple[bool, ...] | None = None,
) -> Samples:
    """Return methods (columns) on data sets (rows), each of two tasks with three seeds.

    The standard error of a mean over images is about `spread`; `seeds` is the standard deviation over seeds.
    """
    rng = np.random.default_rng(0)
    n, m = means.shape
    values = []
    for line in means:
        noise = rng.normal(0, seeds, (m, 2, 3)) if seeds else np.zeros((m, 2, 3))
        values.append(line[:, None, None] + noise - noise.mean(axis=(1, 2), keepdims=True))
    of = blocks or tuple(range(n))
    images, count = None, len(set(of))
    if spread is not None:
        images = tuple(
            ImageParts(rng.normal(0, spread / np.sqrt(60 * count), (m, 60)), np.repeat([0, 1], [40, 20]))
            for _ in range(count)
        )
    return Samples(
        tuple(range(m)),
        of,
        tuple(values),
        np.array(told if told is not None else (True,) * m),
        images,
        margin=0.05,
        why="" if images else "no scores",
    )


def of_parts(parts: list[np.ndarray]) -> tuple[float, float]:
    """Return the variance over blocks and its degrees of freedom, of parts (60,) of two strata."""
    halves = [(part[:40], part[40:]) for part in parts]
    each = [welch([len(h) * h.var(ddof=1) for h in held], [len(h) - 1.0 for h in held]) for held in halves]
    return welch([value for value, _ in each], [freedom for _, freedom in each])


def of_seeds(values: list[np.ndarray]) -> tuple[float, float]:
    """Return the variance of the mean over seeds, and its degrees of freedom."""
    tasks = [task for value in values for task in value]
    parts = [task.var(ddof=1) / len(task) / len(tasks) ** 2 for task in tasks]
    return welch(parts, [2.0] * len(tasks)) if any(parts) else (0.0, 1.0)


@pytest.mark.parametrize("seeds", [0.0, 0.01])
def test_few_data_sets_are_compared_on_their_images_and_seeds(seeds: float) -> None:
    held = samples(np.array([[0.9, 0.8, 0.899], [0.7, 0.6, 0.699]]), spread=0.01, seeds=seeds)
    found = compare_methods(held)
    assert (found.scope, found.interval_scope, found.n, found.needed) == ("images", "images", 2, 7)
    assert found.mean == pytest.approx([0.8, 0.7, 0.799])
    assert found.letters == ("a", "b", "a")
    assert found.possible_bests.tolist() == [True, False, True]
    assert found.ranks.tolist() == [[1, 2], [3, 3], [1, 2]]
    assert best(found) == 0
    assert best(found, [1, 2]) == 2
    raw, errors, freedoms = [], [], []
    for a, b in PAIRS:
        images = of_parts([each.parts[a] - each.parts[b] for each in held.images or ()])
        value, freedom = joined(images, of_seeds([value[a] - value[b] for value in held.values]))
        difference, reach = found.mean[a] - found.mean[b], stats.t.ppf(0.975, freedom) * np.sqrt(value)
        raw.append(2 * stats.t.sf(abs(difference) / np.sqrt(value), freedom))
        errors.append(np.sqrt(value))
        freedoms.append(freedom)
        assert found.difference[a, b] == pytest.approx(difference) == -found.difference[b, a]
        assert (found.low[a, b], found.high[a, b]) == pytest.approx((difference - reach, difference + reach))
        assert found.low[b, a] == pytest.approx(-found.high[a, b])
    adjusted = multipletests(raw, method="holm")[1]
    assert [found.adjusted[pair] for pair in PAIRS] == pytest.approx(list(adjusted), rel=1e-6, abs=1e-15)
    smallest = smallest_difference(
        float(np.median(errors)), freedom=float(np.median(freedoms)), alpha=0.05 / 3
    )
    assert found.smallest == pytest.approx(smallest)


def test_the_interval_on_these_images_is_symmetric_on_the_logit_scale() -> None:
    held = samples(np.array([[0.97, 0.8]]), spread=0.02, seeds=0.01)
    found = compare_methods(held)
    images = of_parts([each.parts[0] for each in held.images or ()])
    value, freedom = joined(images, of_seeds([value[0] for value in held.values]))
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(value) / (0.97 * 0.03)
    logit = np.log(0.97 / 0.03)
    expected = [1 / (1 + np.exp(-(logit + sign * reach))) for sign in (-1, 1)]
    assert found.on_images[0] == pytest.approx(expected)
    assert found.interval[0] == pytest.approx(expected)


def test_enough_data_sets_are_the_units() -> None:
    rng = np.random.default_rng(1)
    means = rng.uniform(0.6, 0.9, (9, 1)) - np.array([0.0, 0.05, 0.001]) + rng.normal(0, 0.004, (9, 3))
    held = samples(means, told=(True, False, True))
    found = compare_methods(held)
    assert (found.scope, found.interval_scope) == ("data sets", "data sets")
    assert found.told.all(), "what seeds leave open is part of the spread over data sets"
    raw = np.maximum([stats.ttest_rel(means[:, a], means[:, b]).pvalue for a, b in PAIRS], 2 / 2**9)
    expected = multipletests(raw, method="holm")[1]
    assert [found.adjusted[pair] for pair in PAIRS] == pytest.approx(list(expected))
    assert found.letters == ("a", "b", "a")
    for a, b in PAIRS:
        interval = stats.ttest_rel(means[:, a], means[:, b]).confidence_interval()
        assert (found.low[a, b], found.high[a, b]) == pytest.approx(tuple(interval))
    assert found.friedman is not None
    assert found.friedman.n == 9


def test_two_methods_need_six_data_sets() -> None:
    assert [data_sets_needed(m) for m in (1, 2, 3, 5, 10)] == [6, 6, 7, 9, 11]
    means = np.array([[0.9, 0.8]]) - np.arange(6)[:, None] / 100
    found = compare_methods(samples(means))
    assert found.scope == "data sets"
    # Six signs alike: an exact test has no smaller p value, whatever Student's t would say.
    assert found.adjusted[0, 1] == pytest.approx(2**-5)
    assert found.letters == ("a", "b")
    five = compare_methods(samples(means[:5]))
    assert (five.scope, five.needed, five.letters, five.why) == ("", 6, (), "no scores")
    assert np.isnan(five.smallest)
    assert not five.possible_bests.any()
    # Five are enough for an interval, not for a test.
    assert five.interval_scope == "data sets"
    four = compare_methods(samples(means[:4]))
    assert four.interval_scope == ""


def test_data_sets_that_share_images_are_one_block() -> None:
    means = np.array([[0.9, 0.8]]) - np.arange(6)[:, None] / 100
    found = compare_methods(samples(means, blocks=(0, 0, 0, 1, 1, 2)))
    assert (found.n, found.scope) == (3, "")
    assert found.by_block[0] == pytest.approx([0.89, 0.79])
    # Every data set has the same weight in the mean that is shown.
    assert found.mean == pytest.approx(means.mean(axis=0))


def test_equal_methods_share_everything() -> None:
    held = samples(np.array([[0.9, 0.9]]), spread=0.01)
    parts = tuple(ImageParts(each.parts[[0, 0]], each.strata) for each in held.images or ())
    found = compare_methods(replace(held, images=parts))
    assert found.scope == "images"
    assert found.adjusted[0, 1] == 1
    assert best(found) == 0
    assert found.letters == ("a", "a")
    assert (found.low[0, 1], found.high[0, 1]) == (0, 0)
    assert found.equivalent.all()


def test_seeds_that_differ_much_prove_little() -> None:
    means = np.array([[0.9, 0.8]])
    certain, unsure = (samples(means, spread=0.01, seeds=sd) for sd in (0.001, 0.15))
    assert compare_methods(certain).letters == ("a", "b")
    assert compare_methods(unsure).letters == ("a", "a")
    widths = [np.ptp(compare_methods(each).on_images[0]) for each in (certain, unsure)]
    assert widths[1] > 3 * widths[0]


def test_seeds_are_paired() -> None:
    """What both methods owe to a seed does not separate them, nor hide what does."""
    held = samples(np.array([[0.9, 0.88]]), spread=0.001, seeds=0.0)
    shared = np.random.default_rng(0).normal(0, 0.05, (1, 2, 3))
    found = compare_methods(replace(held, values=(held.values[0] + shared - shared.mean(),)))
    assert found.letters == ("a", "b")
    assert np.ptp(found.on_images[0]) > 0.04


def test_of_what_cannot_be_told_nothing_is_said() -> None:
    means = np.array([[0.9, 0.8, 0.95, 0.7]])
    held = samples(means, spread=0.01, told=(True, True, False, True))
    found = compare_methods(held)
    assert found.letters == ("a", "b", "", "c")
    assert np.isnan(found.adjusted[2, [0, 1, 3]]).all()
    assert np.isnan(found.on_images[2]).all()
    assert np.isfinite(found.on_images[[0, 1, 3]]).all()
    assert np.isnan(found.low[2, 0])
    # The best average of all does not make the best of the others one that is not.
    assert found.possible_bests.tolist() == [True, False, False, False]
    # Its own place may be any, and it may stand before or behind each of the others.
    assert found.ranks[[0, 1, 3]].tolist() == [[1, 2], [2, 3], [3, 4]]
    # Holm counts the pairs of which something is told, as if it were not there.
    kept = [0, 1, 3]
    without = compare_methods(
        replace(
            held,
            rows=(0, 1, 3),
            values=tuple(value[kept] for value in held.values),
            told=held.told[kept],
            images=tuple(ImageParts(each.parts[kept], each.strata) for each in held.images or ()),
        )
    )
    np.testing.assert_allclose(found.adjusted[np.ix_(kept, kept)], without.adjusted)
    assert found.smallest == pytest.approx(without.smallest)
    assert not found.equivalent[2, 0]


def test_nothing_at_all_can_be_told() -> None:
    found = compare_methods(samples(np.array([[0.9, 0.8]]), spread=0.01, told=(False, False)))
    assert (found.scope, found.letters, found.interval_scope) == ("images", ("", ""), "")
    assert not found.possible_bests.any()
    assert np.isnan(found.smallest)
    assert found.seeds_needed == 3


def test_perfect_methods_on_few_images_are_neither_different_nor_equivalent() -> None:
    held = samples(np.array([[1.0, 1.0, 0.0]]), spread=0.01)
    still = tuple(ImageParts(np.zeros((3, 60)), each.strata) for each in held.images or ())
    held = replace(held, images=still, least_p=0.001)
    found = compare_methods(held)
    assert found.adjusted[0, 1] == 1
    assert (found.low[0, 1], found.high[0, 1]) == (-0.05, 0.05)
    assert not found.equivalent[0, 1]
    assert found.on_images[0] == pytest.approx([0.95, 1.0])
    assert found.on_images[2] == pytest.approx([0.0, 0.05])
    assert found.adjusted[0, 2] == pytest.approx(0.003)
    # With many images the margin is small, and perfect twice is equivalent.
    assert compare_methods(replace(held, margin=0.0005)).equivalent[0, 1]


def test_no_p_value_below_what_so_few_images_allow() -> None:
    held = replace(samples(np.array([[0.9, 0.1]]), spread=0.01), least_p=0.1)
    found = compare_methods(held)
    assert found.adjusted[0, 1] == pytest.approx(0.1)
    assert found.letters == ("a", "a")


def test_equivalence_and_difference_do_not_exclude_each_other() -> None:
    """A small difference may be real: by 0.2 points for certain, and by less than 0.5."""
    found = compare_methods(samples(np.array([[0.9, 0.898, 0.88]]), spread=0.0003))
    assert found.equivalent[0, 1]
    assert found.adjusted[0, 1] < 0.05
    assert not found.equivalent[0, 2]
    assert not compare_methods(samples(np.array([[0.9, 0.898]]), spread=0.0003), rope=0.001).equivalent[0, 1]


def test_what_is_no_share_has_students_interval() -> None:
    held = replace(samples(np.array([[-0.05, 0.0]]), spread=0.01), shares=False)
    found = compare_methods(held)
    value, freedom = of_parts([each.parts[0] for each in held.images or ()])
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(value)
    assert found.on_images[0] == pytest.approx([-0.05 - reach, -0.05 + reach])


def test_one_method_has_an_interval_and_nothing_to_test() -> None:
    found = compare_methods(samples(np.array([[0.9]]), spread=0.01))
    assert (found.scope, found.letters) == ("", ())
    assert found.interval_scope == "images"
    assert found.friedman is None


def test_what_was_not_measured_alike_is_not_tested() -> None:
    held = samples(np.array([[0.9, 0.8]] * 8))
    found = compare_methods(replace(held, why="mixed", comparable=False))
    assert (found.scope, found.letters, found.friedman, found.interval_scope) == ("", (), None, "")
    assert found.why == "mixed"
