"""The lazy greedy coreset picks what the plain algorithm picks, whatever the data."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from bench.features import coreset
from bench.features.coreset import greedy_coreset, on_grid

KINDS = {
    "random": lambda r, n, d: r.normal(size=(n, d)),
    "many ties": lambda r, n, d: r.integers(0, 3, (n, d)).astype(float),
    "duplicates": lambda r, n, d: np.repeat(r.normal(size=(-(-n // 5), d)), 5, 0)[:n],
    "clusters": lambda r, n, d: r.normal(size=(n, d)) * 0.01 + 5 * r.integers(0, 4, (n, 1)),
    "far from zero": lambda r, n, d: r.normal(size=(n, d)) + 1e4,
}


def plain(rows: torch.Tensor, count: int, **how: Any) -> list[int]:
    """The algorithm as it is written down, in float64, on the same grid."""
    grid = on_grid(rows).astype(np.float64)
    allowed = np.ones(len(grid), bool) if how.get("allowed") is None else how["allowed"].numpy().copy()
    distance = (grid**2).sum(1) if how.get("first") is None else np.full(len(grid), np.inf)
    if how.get("start") is not None:
        distance = cdist(grid, grid[how["start"].numpy()]).mean(1) ** 2
    picks: list[int] = []
    for number in range(count):
        best = int(np.where(allowed, distance, -1).argmax())
        pick = how["first"] if number == 0 and how.get("first") is not None else best
        picks.append(pick)
        allowed[pick] = False
        distance = np.minimum(distance, ((grid - grid[pick]) ** 2).sum(1))
    return picks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_the_picks_are_those_of_the_plain_algorithm(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng([seed, *map(ord, kind)])
    n, d = int(draw.integers(20, 500)), int(draw.integers(1, 24))
    rows = torch.from_numpy(KINDS[kind](draw, n, d).astype(np.float32))
    # Small ones, so that every path is taken.
    block = int(draw.integers(1, 40))
    monkeypatch.setattr(coreset, "BLOCK", block)
    monkeypatch.setattr(coreset, "POOL", int(draw.integers(block, 200)))
    monkeypatch.setattr(coreset, "CHUNK", int(draw.integers(1, 50)))
    count = int(draw.integers(1, n // 2))
    for how in (
        {},
        {"first": int(draw.integers(n))},
        {"start": torch.from_numpy(draw.choice(n, 10, replace=False))},
        {"allowed": torch.from_numpy(draw.permutation(n) < max(count, n // 2))},
    ):
        assert greedy_coreset(rows, count, **how).tolist() == plain(rows, count, **how), how


def test_all_rows_are_picked_in_the_end_even_where_all_are_equal() -> None:
    assert greedy_coreset(torch.full((7, 3), 2.5), 7).tolist() == list(range(7))
    assert sorted(greedy_coreset(torch.randn(50, 2), 50, first=3).tolist()) == list(range(50))


def test_six_points_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [4.0], [9.0], [9.5], [10.0]])
    # From 0: the farthest is 10, then 4 (distance 4), then 1 and 9 (distance 1; the lower index first).
    assert greedy_coreset(points, 5, first=0).tolist() == [0, 5, 2, 1, 3]
    # Without a first one: the farthest from the mean of 5.58.
    assert greedy_coreset(points, 2).tolist() == [0, 5]
    # From the mean distance to rows 0 and 1: 9.5 for 10, then 4 (3.5), then 9 (1).
    assert greedy_coreset(points, 3, start=torch.tensor([0, 1])).tolist() == [5, 2, 3]


def test_the_first_pick_may_be_one_that_is_not_allowed() -> None:
    points, allowed = torch.arange(6.0)[:, None], torch.tensor([False, True, True, True, True, True])
    assert greedy_coreset(points, 2, first=0, allowed=allowed).tolist() == [0, 5]


def test_the_radius_falls_and_is_at_most_twice_the_best() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 2)))
    picks = greedy_coreset(rows, 12, first=0)
    radii = [float(torch.cdist(rows, rows[picks[:m]]).amin(1).max()) for m in range(1, 13)]
    assert all(a >= b for a, b in itertools.pairwise(radii))
    best = min(float(torch.cdist(rows, rows[[i, j]]).amin(1).max()) for i in range(40) for j in range(i))
    assert radii[1] <= 2 * best + 1e-9


def test_a_matrix_product_on_the_grid_is_exact() -> None:
    rows = torch.from_numpy(np.random.default_rng(1).normal(size=(200, 128)).astype(np.float32) * 50)
    grid = on_grid(rows)
    assert (grid == np.round(grid)).all()
    wide, whole = grid.astype(np.float64), grid.astype(np.int64)
    assert ((wide @ wide.T).astype(np.int64) == whole @ whole.T).all()
    scale = np.abs(grid).max() / np.abs((rows - rows.mean(0)).numpy()).max()
    np.testing.assert_allclose(grid / scale, (rows - rows.mean(0)).numpy(), atol=2e-4)


def test_threads_change_nothing_and_progress_is_told() -> None:
    rows, told = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0)), []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = greedy_coreset(rows, 300, progress=lambda *what: told.append(what))
        torch.set_num_threads(2)
        assert greedy_coreset(rows, 300).tolist() == one.tolist()
    finally:
        torch.set_num_threads(before)
    assert told[-1] == ("coreset", 300, 300)


@pytest.mark.parametrize(
    ("rows", "count", "how", "match"),
    [
        (torch.zeros(5, 2), 6, {}, "count is 6, but 5 rows may be picked"),
        (torch.zeros(5, 2), 0, {}, "count is 0"),
        (torch.zeros(5), 1, {}, r"expected rows \(n, d\)"),
        (torch.full((5, 2), torch.nan), 1, {}, "NaN or infinite"),
        (torch.zeros(5, 2), 1, {"first": 9}, "row 9, but there are 5"),
        (torch.zeros(5, 2), 3, {"allowed": torch.arange(5) < 2}, "count is 3, but 2 rows"),
        (torch.zeros(5, 2), 1, {"allowed": torch.ones(4, dtype=torch.bool)}, "must be 5 booleans"),
    ],
)
def test_what_cannot_be_is_refused(rows: torch.Tensor, count: int, how: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        greedy_coreset(rows, count, **how)
