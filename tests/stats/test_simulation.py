"""Small versions of the simulations behind docs/significance.md, with bounds that follow from the binomial.

Seeds are fixed. A bound is the count that a rate at the edge of the aim passes once in ten thousand tries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

DOCS = Path(__file__).resolve().parents[2] / "docs"
RARE = 1e-4


@pytest.fixture(scope="module")
def worlds() -> Iterator[SimpleNamespace]:
    """Return the two worlds and the page, which lie beside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        import significance
        from simulation import blocks, images

        yield SimpleNamespace(blocks=blocks, images=images, page=significance)


def check(shares: list[Any]) -> None:
    for each in shares:
        if each.kind == "leaderboard":
            assert each.times <= binom.ppf(1 - RARE, each.of, 0.06), each
        elif each.kind == "interval":
            assert binom.ppf(RARE, each.of, 0.93) <= each.times <= binom.ppf(1 - RARE, each.of, 0.97), each


def naive(shares: list[Any]) -> list[Any]:
    return [each for each in shares if each.kind == "naive"]


def test_two_equally_good_methods(worlds: SimpleNamespace) -> None:
    shares = worlds.blocks.null_of_two(400, 8)
    check(shares)
    for each in naive(shares):
        assert each.times >= binom.ppf(RARE, each.of, 0.25), each


def test_naive_tests_are_right_where_data_sets_do_not_differ(worlds: SimpleNamespace) -> None:
    """The simulation's own check: with independent classes a test over classes holds its level."""
    by_class, by_seed = naive(worlds.blocks.null_of_two(400, 8, between=0.0))
    assert by_class.times <= binom.ppf(1 - RARE, by_class.of, 0.05)
    assert by_seed.times >= binom.ppf(RARE, by_seed.of, 0.15), "seeds share their class"


@pytest.mark.parametrize(("n", "methods"), [(4, 3), (12, 5)])
def test_many_equally_good_methods(worlds: SimpleNamespace, n: int, methods: int) -> None:
    check(worlds.blocks.null_of_many(200, n, methods))


@pytest.mark.parametrize(("n", "reps"), [(3, 400), (8, 80)])
def test_intervals_over_data_sets(worlds: SimpleNamespace, n: int, reps: int) -> None:
    check(worlds.blocks.coverage_over_data_sets(reps, n, draws=250))


def test_intervals_and_tests_on_images(worlds: SimpleNamespace) -> None:
    shares = worlds.images.null_on_images(24, draws=60)
    check(shares)
    assert naive(shares)[-1].times > binom.ppf(1 - RARE, 24, 0.06), "seeds of one data set as n"
    check(worlds.images.coverage_on_images(24, draws=60))


@pytest.mark.parametrize(
    ("aurocs", "sizes"), [((0.9, 0.85), (100, 200)), ((0.99, 0.97), (40, 80)), ((0.998, 0.9), (30, 60))]
)
def test_delongs_intervals(
    worlds: SimpleNamespace, aurocs: tuple[float, float], sizes: tuple[int, int]
) -> None:
    check(worlds.images.coverage_on_one_task(400, aurocs, sizes))


def test_the_true_auroc_is_that_of_the_scores(worlds: SimpleNamespace) -> None:
    from bench.stats.delong import placements

    rng, images = np.random.default_rng(0), worlds.images
    held = []
    for _ in range(15):
        tests, scores = images.images(rng, (1.8, 1.6))
        held.append([[placements(t.labels, s[0, i]).auroc[0] for i, t in enumerate(tests)] for s in scores])
    found = np.mean(held, axis=(0, 2))
    assert found == pytest.approx([images.true_auroc(1.8), images.true_auroc(1.6)], abs=0.01)


def test_the_page_shows_every_number_and_what_misses_the_aim(worlds: SimpleNamespace) -> None:
    from simulation.counting import Share

    shares = [
        Share("good test", "leaderboard", 4, 100),
        Share("bad test", "naive", 40, 100),
        Share("good interval", "interval", 95, 100),
        Share("narrow interval", "interval", 90, 100),
    ]
    page = worlds.page.page(shares)
    assert "| good test | leaderboards | 4.0 ± 2.0 % |" in page
    assert "| bad test | nobody: naive | 40.0 ± 4.9 % |" in page
    assert "Outside the aim: narrow interval." in page
    assert "Outside the aim" not in worlds.page.page(shares[:3])
    drawn = worlds.page.svg(shares)
    assert drawn == worlds.page.svg(shares)
    for word in ("narrow interval", "<title>", "prefers-color-scheme: dark"):
        assert word in drawn


def test_the_committed_page_is_whole() -> None:
    text = (DOCS / "significance.md").read_text()
    assert "](significance.svg)" in text
    assert "Two panels" in text
    assert "prefers-color-scheme: dark" in (DOCS / "significance.svg").read_text()
    for aim in ("at most 6 %", "93 to 97 %"):
        assert aim in text
