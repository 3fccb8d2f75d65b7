"""Exact nearest neighbours, and standardising features.

Candidate neighbours come from one float32 matrix product a chunk; their distances are then computed from
float64 differences, so that near-duplicates suffer no cancellation (see `bench.features.search`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch

from bench.features.search import Search

#: Squares of larger values overflow float32.
_LARGEST = 1e15


class Neighbours(NamedTuple):
    """The result of `nearest`.

    Attributes
    ----------
    distances : Tensor, shape (n, k), float64 for float64 queries, else float32
        Ascending.
    indices : Tensor, shape (n, k), int64
        Rows of the bank; equal distances in ascending order of index.
    """

    distances: torch.Tensor
    indices: torch.Tensor


def nearest(
    queries: torch.Tensor,
    bank: torch.Tensor,
    k: int,
    *,
    metric: Literal["sqeuclidean", "cosine"] = "sqeuclidean",
    exclude: torch.Tensor | None = None,
    budget_bytes: int = 256 * 2**20,
) -> Neighbours:
    """Return the k nearest rows of `bank` for each query.

    Parameters
    ----------
    queries : Tensor, shape (n, d), floating
    bank : Tensor, shape (m, d), floating, on the same device
    k : int
        From 1 to m, less the excluded rows.
    metric : {"sqeuclidean", "cosine"}
        Squared Euclidean distance, or 1 - cosine in [0, 2]; a zero vector is at cosine distance 1 from all.
    exclude : Tensor, shape (n,) or (n, e), integer, optional
        Rows of the bank to exclude for each query, such as the query itself; -1 for none.
    budget_bytes : int
        Memory to work with, besides the result.

    Raises
    ------
    ValueError
        Shapes, devices or `k` do not fit, or a value is NaN, infinite or too large to be squared.

    Examples
    --------
    >>> bank = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> bench.nearest(torch.tensor([[0.0, 2.0]]), bank, k=2).distances
    tensor([[ 4., 13.]])
    """
    excluded = _checked(queries, bank, k, metric, exclude)
    dtype = torch.float64 if queries.dtype == torch.float64 else torch.float32
    n = len(queries)
    distances = torch.empty((n, k), dtype=dtype, device=queries.device)
    indices = torch.empty((n, k), dtype=torch.int64, device=queries.device)
    with torch.no_grad(), _highest_precision():
        search = Search(bank, k, metric == "cosine", budget_bytes)
        for start in range(0, n, search.query_chunk):
            rows = slice(start, start + search.query_chunk)
            found = search(queries[rows], None if excluded is None else excluded[rows])
            distances[rows], indices[rows] = found[0].to(dtype), found[1]
    return Neighbours(distances, indices)


def standardise(
    train: torch.Tensor, mode: Literal["none", "standard", "l2"] = "standard"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that normalises features, fitted on the training features.

    Parameters
    ----------
    train : Tensor, shape (n, d), floating
    mode : {"none", "standard", "l2"}
        ``standard`` subtracts the mean and divides by the standard deviation (with n in the denominator);
        a constant column is divided by 1. ``l2`` scales each row to unit length; a zero row stays zero.

    Returns
    -------
    callable
        (m, d) to (m, d), same dtype; does not change its argument.

    Raises
    ------
    ValueError
        Unknown mode, not (n, d), or no training features for ``standard``.

    Examples
    --------
    >>> scaled = bench.standardise(torch.tensor([[0.0], [2.0]]))
    >>> scaled(torch.tensor([[3.0]]))
    tensor([[2.]])
    """
    if mode == "none":
        return lambda features: features
    if mode == "l2":
        return lambda features: torch.nn.functional.normalize(features, dim=1)
    if mode != "standard":
        raise ValueError(f"mode must be 'none', 'standard' or 'l2', got {mode!r}")
    if train.ndim != 2 or not len(train):
        raise ValueError(f"expected train features of shape (n, d) with n > 0, got {tuple(train.shape)}")
    mean = train.mean(0, dtype=torch.float64)
    variance = torch.zeros_like(mean)
    for part in torch.split(train, 4096):  # in float64, without a float64 copy of everything
        variance += (part.double() - mean).square_().sum(0)
    deviation = (variance / len(train)).sqrt()
    # By rounding, a constant column has a deviation of some 1e-17 of its value, which is not a scale.
    constant = deviation <= 1e-12 * mean.abs()
    scale = torch.where(constant, 1.0, deviation).to(train.dtype)
    centre = mean.to(train.dtype)
    return lambda features: (features - centre) / scale


def _checked(
    queries: torch.Tensor, bank: torch.Tensor, k: int, metric: str, exclude: torch.Tensor | None
) -> torch.Tensor | None:
    """Check the arguments; return the excluded rows as (n, e), int64, on the device."""
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ValueError(
            f"expected queries (n, d) and a bank (m, d), got {tuple(queries.shape)} and {tuple(bank.shape)}"
        )
    if queries.device != bank.device:
        raise ValueError(f"queries are on {queries.device}, the bank on {bank.device}; move one of them")
    if metric not in ("sqeuclidean", "cosine"):
        raise ValueError(f"metric must be 'sqeuclidean' or 'cosine', got {metric!r}")
    _check_values("queries", queries)
    _check_values("bank", bank)
    left = len(bank)
    if exclude is not None:
        exclude = _check_excluded(exclude, len(queries), bank)
        left -= _most_excluded(exclude)
    if not 1 <= k <= left:
        less = f", of which up to {len(bank) - left} are excluded" if left < len(bank) else ""
        raise ValueError(f"k is {k}, but the bank has {len(bank)} rows{less}; choose fewer neighbours")
    return exclude


def _check_values(name: str, values: torch.Tensor) -> None:
    if not values.is_floating_point():
        raise ValueError(f"expected {name} of a floating dtype, got {values.dtype}")
    if not values.numel():
        return
    low, high = (float(end) for end in torch.aminmax(values))
    if not max(-low, high) < _LARGEST:  # NaN is not below either
        raise ValueError(
            f"the {name} have values that are NaN, infinite or beyond {_LARGEST:g} (from {low:g} to "
            f"{high:g}), so that distances cannot be computed; correct or scale the features"
        )


def _check_excluded(exclude: torch.Tensor, n: int, bank: torch.Tensor) -> torch.Tensor:
    integers = exclude.dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    if exclude.ndim not in (1, 2) or len(exclude) != n or not integers:
        raise ValueError(
            f"exclude must be integers of shape ({n},) or ({n}, e), "
            f"got {exclude.dtype} {tuple(exclude.shape)}"
        )
    exclude = exclude.to(bank.device, torch.int64).reshape(n, -1)
    if exclude.numel() and int(exclude.max()) >= len(bank):
        raise ValueError(f"exclude names row {int(exclude.max())} of a bank of {len(bank)} rows")
    return exclude


def _most_excluded(exclude: torch.Tensor) -> int:
    """Return the largest number of different rows that one query excludes."""
    if not exclude.numel():
        return 0
    ordered = exclude.sort(1).values
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return int((new & (ordered >= 0)).sum(1).max())


@contextlib.contextmanager
def _highest_precision() -> Iterator[None]:
    """No TF32 or bfloat16 in matrix products: the error bound is that of float32."""
    before = torch.get_float32_matmul_precision()
    # oneDNN's convolutions, which may make the product, have a precision of their own since torch 2.9.
    convolutions: Any = getattr(torch.backends.mkldnn, "conv", None)
    own = getattr(convolutions, "fp32_precision", None)
    torch.set_float32_matmul_precision("highest")
    if own is not None:
        convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        if own is not None:
            convolutions.fp32_precision = own
