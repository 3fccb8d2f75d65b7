"""Exact nearest neighbours against faiss, scikit-learn and brute force; standardising."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from bench.features import search
from bench.features.nearest import nearest, standardise
from bench.features.search import Product, Search

Metric = Literal["sqeuclidean", "cosine"]


def brute(
    queries: torch.Tensor, bank: torch.Tensor, k: int, metric: Metric
) -> tuple[torch.Tensor, torch.Tensor]:
    """All distances in float64, by differences; ties by index."""
    a, b = queries.double(), bank.double()
    if metric == "cosine":
        length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
        a, b = a / length_a.clamp(min=1e-300), b / length_b.clamp(min=1e-300)
        distances = (a[:, None] - b[None]).square().sum(2) / 2
        distances[(length_a == 0).expand_as(distances) | (length_b.T == 0).expand_as(distances)] = 1.0
    else:
        distances = (a[:, None] - b[None]).square().sum(2)
    values, indices = distances.sort(dim=1, stable=True)
    return values[:, :k], indices[:, :k]


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize(("n", "m", "d", "k"), [(37, 50, 7, 1), (200, 300, 64, 5), (64, 40, 512, 40)])
def test_equals_scikit_learn(n: int, m: int, d: int, k: int, metric: Metric) -> None:
    torch.manual_seed(0)
    queries, bank = torch.randn(n, d) + 3, torch.randn(m, d) + 3
    found = nearest(queries, bank, k, metric=metric)
    reference = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(bank.double().numpy())
    distances, indices = reference.kneighbors(queries.double().numpy())
    np.testing.assert_array_equal(found.indices.numpy(), indices)
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-5, atol=1e-9)
    assert found.distances.dtype == torch.float32


def test_equals_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    torch.manual_seed(1)
    queries, bank = torch.randn(500, 128), torch.randn(700, 128)
    index = faiss.IndexFlatL2(128)
    index.add(bank.numpy())
    distances, indices = index.search(queries.numpy(), 3)
    found = nearest(queries, bank, 3)
    np.testing.assert_array_equal(found.indices.numpy(), indices)
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-4)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_near_duplicates_far_from_the_origin_keep_their_digits(metric: Metric) -> None:
    torch.manual_seed(2)
    bank = torch.randn(100, 256) + 100
    queries = bank[:20] + 1e-4 * torch.randn(20, 256)
    found = nearest(queries, bank, 2, metric=metric)
    distances, indices = brute(queries, bank, 2, metric)
    torch.testing.assert_close(found.distances.double(), distances, rtol=1e-6, atol=0)
    assert torch.equal(found.indices, indices)
    # The usual |a|² + |b|² - 2ab in float32 has not one right digit here.
    if metric == "sqeuclidean":
        usual = queries.square().sum(1) + bank[:20].square().sum(1) - 2 * (queries * bank[:20]).sum(1)
        assert ((usual - distances[:, 0]).abs() / distances[:, 0]).median() > 0.99


@settings(max_examples=60)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 40),
    d=st.integers(1, 9),
    spread=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    levels=st.sampled_from([2, 5, 10_000]),
    metric=st.sampled_from(["sqeuclidean", "cosine"]),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_equals_brute_force_with_ties(
    n: int, m: int, d: int, spread: float, levels: int, metric: Metric, seed: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, m))
    random = np.random.default_rng(seed)
    queries = torch.from_numpy(random.integers(0, levels, (n, d)) * np.float32(spread))
    bank = torch.from_numpy(random.integers(0, levels, (m, d)) * np.float32(spread))
    found = nearest(queries.float(), bank.float(), k, metric=metric, budget_bytes=4096)
    distances, indices = brute(queries.float(), bank.float(), k, metric)
    torch.testing.assert_close(found.distances.double(), distances, rtol=1e-6, atol=1e-14)
    if metric == "sqeuclidean":  # cosines of equal directions may differ in the last bit of float64
        assert torch.equal(found.indices, indices)


def test_identical_rows_come_in_order_of_index() -> None:
    bank = torch.ones(30, 16)
    found = nearest(torch.zeros(3, 16), bank, 4)
    assert found.indices.tolist() == [[0, 1, 2, 3]] * 3
    assert found.distances.tolist() == [[16.0] * 4] * 3


@pytest.mark.parametrize("budget", [2**14, 2**28])
def test_excluded_rows_are_not_found(budget: int) -> None:
    torch.manual_seed(3)
    bank = torch.randn(80, 10)
    own = torch.arange(80)
    found = nearest(bank, bank, 3, exclude=own, budget_bytes=budget)
    _, indices = brute(bank, bank, 4, "sqeuclidean")
    assert torch.equal(found.indices, indices[:, 1:])
    several = torch.stack([own, (own + 1) % 80, torch.full((80,), -1)], 1)
    found = nearest(bank, bank, 78, exclude=several, budget_bytes=budget)
    assert not (found.indices[:, :, None] == several[:, None]).any()


def test_small_budget_gives_the_same_bits() -> None:
    torch.manual_seed(4)
    queries, bank = torch.randn(300, 40), torch.randn(900, 40)
    one, two = nearest(queries, bank, 5), nearest(queries, bank, 5, budget_bytes=2**15)
    assert torch.equal(one.distances, two.distances)
    assert torch.equal(one.indices, two.indices)


def test_a_zero_vector_in_the_bank_costs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lower bound is that of cosine distance 1, so that a nearer row is proven without it."""
    seen: list[int] = []
    within = Search._within
    monkeypatch.setattr(
        Search,
        "_within",
        lambda self, queries, *more: seen.append(len(queries)) or within(self, queries, *more),
    )
    bank = torch.tensor([[0.0, 0.0], [4.0, 9.0], [3.0, 9.0]])
    found = nearest(torch.tensor([[2.0, 0.0]]), bank, 1, metric="cosine")
    assert found.indices.tolist() == [[1]]
    assert sum(seen) == 0
    behind = nearest(torch.tensor([[2.0, 0.0]]), bank * torch.tensor([-1.0, 1.0]), 1, metric="cosine")
    assert (behind.indices.tolist(), behind.distances.tolist()) == ([[0]], [[1.0]])


def test_float64_and_half() -> None:
    torch.manual_seed(5)
    queries, bank = torch.randn(20, 8, dtype=torch.float64), torch.randn(30, 8, dtype=torch.float64)
    found = nearest(queries, bank, 3)
    assert found.distances.dtype == torch.float64
    torch.testing.assert_close(found.distances, brute(queries, bank, 3, "sqeuclidean")[0], rtol=1e-14, atol=0)
    half = nearest(queries.half(), bank.half(), 3)
    assert torch.equal(half.indices, brute(queries.half(), bank.half(), 3, "sqeuclidean")[1])


def test_no_queries() -> None:
    found = nearest(torch.empty(0, 4), torch.randn(5, 4), 2)
    assert found.distances.shape == found.indices.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 6}, "k is 6, .* 5 rows"),
        ({"k": 0}, "k is 0"),
        ({"k": 5, "exclude": torch.zeros(3, dtype=torch.int64)}, "up to 1 are excluded"),
        ({"queries": torch.zeros(3, 3)}, r"\(3, 3\) and \(5, 4\)"),
        ({"queries": torch.full((3, 4), torch.nan)}, "queries have values that are NaN"),
        ({"bank": torch.full((5, 4), torch.inf)}, "bank have values"),
        ({"bank": torch.zeros((5, 4), dtype=torch.int64)}, "floating dtype"),
        ({"metric": "l1"}, "metric must be"),
        ({"exclude": torch.zeros(2, dtype=torch.int64)}, "exclude must be integers"),
        ({"exclude": torch.full((3,), 9)}, "row 9 of a bank of 5"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], said: str) -> None:
    given_ = {"queries": torch.zeros(3, 4), "bank": torch.zeros(5, 4), "k": 2} | change
    with pytest.raises(ValueError, match=said):
        nearest(**given_)  # type: ignore[arg-type]


def test_standard_equals_scikit_learn_and_leaves_constant_columns() -> None:
    torch.manual_seed(0)
    train, test = torch.randn(50, 6) * 3 + 1e3, torch.randn(20, 6)
    train[:, 2] = 0.1
    applied = standardise(train, "standard")(test)
    reference = StandardScaler().fit(train.double().numpy()).transform(test.double().numpy())
    torch.testing.assert_close(applied, torch.from_numpy(reference).float(), rtol=1e-3, atol=1e-3)
    assert applied.dtype == torch.float32
    torch.testing.assert_close(applied[:, 2], test[:, 2] - 0.1)


def test_l2_equals_scikit_learn_and_keeps_zero_rows() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(standardise(rows, "l2")(rows), torch.from_numpy(normalize(rows.numpy())))


def test_none_changes_nothing() -> None:
    rows = torch.randn(3, 2)
    assert standardise(rows, "none")(rows) is rows


def test_standardising_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="mode must be"):
        standardise(torch.zeros(2, 2), "minmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n > 0"):
        standardise(torch.zeros(0, 2), "standard")


@pytest.mark.parametrize("multiply", [search.by_torch, search.by_numpy, search.by_convolution])
def test_results_do_not_depend_on_the_library_that_multiplies(
    multiply: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    if multiply is search.by_convolution and not torch.backends.mkldnn.is_available():
        pytest.skip("torch is built without oneDNN here")
    generator = torch.Generator().manual_seed(7)
    queries, bank = torch.randn(70, 96, generator=generator), torch.randn(130, 96, generator=generator)
    out = torch.empty(70, 130)
    multiply(queries, bank, out)
    torch.testing.assert_close(out.double(), queries.double() @ bank.double().T, rtol=0, atol=1e-4)

    expected = nearest(queries, bank, 4)
    monkeypatch.setattr(search, "_LARGE", 0)
    monkeypatch.setattr(search, "fastest_product", lambda: multiply)
    assert all(
        torch.equal(one, other) for one, other in zip(nearest(queries, bank, 4), expected, strict=True)
    )


def test_finding_the_fastest_library_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    assert search.fastest_product.__wrapped__() in (search.by_torch, search.by_numpy, search.by_convolution)
    assert torch.equal(torch.get_rng_state(), before)
