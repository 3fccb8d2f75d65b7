"""A small version of the simulations behind docs/significance.md, through the reports' own functions.

Seeds are fixed. A bound is the count that a rate at the edge of the aim passes once in ten thousand tries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import binom

DOCS = Path(__file__).resolve().parents[2] / "docs"
RARE = 1e-4


@pytest.fixture(scope="module")
def docs() -> Iterator[SimpleNamespace]:
    """Return the simulations and the page, which lie beside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        import significance
        from simulation import benchmarks, counting, datasets

        yield SimpleNamespace(
            Design=benchmarks.Design, count=counting.count, sets=datasets.over_data_sets, page=significance
        )


def few(share: Any, most: float = 0.06) -> bool:
    return bool(share.of and share.times <= binom.ppf(1 - RARE, share.of, most))


def many(share: Any, least: float = 0.93) -> bool:
    return bool(share.of and share.times >= binom.ppf(RARE, share.of, least))


@pytest.mark.parametrize(
    ("methods", "tasks", "seeds", "sd", "auroc"),
    [
        (2, 10, 2, 0.05, 0.85),
        (8, 10, 2, 0.05, 0.85),
        (8, 10, 3, 0.013, 0.97),
        (2, 1, 5, 0.05, 0.85),
        (2, 1, 1, 0.0, 0.97),
    ],
)
def test_equal_methods_are_seldom_told_apart_and_intervals_hold_the_truth(
    docs: SimpleNamespace, methods: int, tasks: int, seeds: int, sd: float, auroc: float
) -> None:
    found = docs.count(docs.Design(methods, tasks, seeds, sd, auroc, 20, 60), 60)
    assert all(few(found[name]) for name in ("letters", "marks", "equivalent")), found
    assert all(many(found[name]) for name in ("mean", "difference", "task", "ranks")), found


@pytest.mark.parametrize(("tasks", "seeds"), [(10, 1), (1, 1), (1, 4), (2, 2)])
def test_too_few_seeds_claim_nothing(docs: SimpleNamespace, tasks: int, seeds: int) -> None:
    found = docs.count(docs.Design(3, tasks, seeds, 0.05, 0.85, 20, 60), 5)
    assert found["told"].times == found["letters"].of == found["mean"].of == 0
    assert found["marks"].of == found["task"].of == 0


def test_three_seeds_find_what_there_is(docs: SimpleNamespace) -> None:
    """Five points between neighbours on ten tasks, seeds that vary by five points."""
    found = docs.count(docs.Design(4, 10, 3, 0.05, 0.9, 60, 60, gap=0.05), 30)
    assert found["found"].percent > 80
    assert found["ranks"].percent > 90


def test_tasks_that_share_their_images(docs: SimpleNamespace) -> None:
    found = docs.count(docs.Design(2, 10, 2, 0.013, 0.85, 180, 20, shared=True), 60)
    assert few(found["letters"]), found
    assert all(many(found[name]) for name in ("mean", "difference")), found


@pytest.mark.parametrize(("n", "methods"), [(6, 2), (12, 8)])
def test_over_data_sets(docs: SimpleNamespace, n: int, methods: int) -> None:
    found = docs.sets(n, methods, 200)
    assert few(found["letters"]), found
    assert many(found["mean"], 0.92), found
    assert many(found["difference"]), found


def test_the_page_names_what_lies_outside_its_aim(docs: SimpleNamespace) -> None:
    from simulation.counting import Share

    names = ("letters", "marks", "equivalent", "mean", "difference", "task", "ranks")
    design = docs.Design(2, 10, 3, 0.05, 0.85, 20, 60)
    good = dict.fromkeys(names, Share(0, 0)) | {"letters": Share(20, 400), "mean": Share(380, 400)}
    assert "none is worse than its aim" in docs.page.verdict([(design, good)], [], [])
    assert "Of 1 intervals 0 are wider" in docs.page.verdict([(design, good)], [], [])
    wide = good | {"mean": Share(398, 400), "ranks": Share(400, 400)}
    assert "Of 1 intervals 1 are wider" in docs.page.verdict([(design, wide)], [], [])
    bad = good | {"letters": Share(40, 400), "mean": Share(350, 400)}
    said = docs.page.verdict([(design, bad)], [], [])
    assert "letters 10.0 ± 1.5 %" in said
    assert "mean 87.5 ± 1.7 %" in said


def test_the_committed_page_is_of_this_code(docs: SimpleNamespace) -> None:
    """Its table has a line for every design that the script simulates."""
    lines = (DOCS / "significance.csv").read_text().splitlines()
    assert len(lines) == 1 + len(docs.page.designs()) + len(docs.page.apart())
