"""Distances of queries to a few candidates each, from float64 differences: near-duplicates do not cancel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

_TINY = torch.finfo(torch.float64).tiny
#: Bytes of differences at a time that stay in a processor's cache.
_CACHED = 2**20
_OF_NUMPY = (torch.float16, torch.float32, torch.float64)


def exact(
    queries: torch.Tensor,
    bank: torch.Tensor,
    candidates: torch.Tensor,
    *,
    lengths_of: tuple[torch.Tensor, torch.Tensor] | None,
    budget: int,
) -> torch.Tensor:
    """Return the distances, (n, c), float64, of each query (n, d) to its candidates (n, c), rows of the bank.

    Parameters
    ----------
    lengths_of : (Tensor, Tensor) or None
        Lengths of the queries (n,) and of the bank's rows (m,), float64: for 1 - cosine, where a zero vector
        is at 1 from all. None: squared Euclidean distances.
    budget : int
        Bytes of differences at a time.
    """
    n, c = candidates.shape
    out = torch.empty((n, c), dtype=torch.float64, device=queries.device)
    by_numpy = queries.device.type == "cpu" and {queries.dtype, bank.dtype} <= set(_OF_NUMPY)
    step = max(1, (min(_CACHED, budget) if by_numpy else budget) // (8 * c * max(1, queries.shape[1])))

    def fill(start: int) -> None:
        part = slice(start, start + step)
        rows, mine = candidates[part], queries[part]
        if lengths_of is None:
            out[part] = (
                _by_numpy(mine, bank, rows) if by_numpy else _squared(bank[rows].double(), mine[:, None])
            )
            return
        own, others = lengths_of[0][part][:, None], lengths_of[1][rows]
        apart = bank[rows].double().div_(others.clamp(min=_TINY)[:, :, None])
        cosine = _squared(apart, mine[:, None].double() / own.clamp(min=_TINY)[:, :, None]) / 2
        out[part] = torch.where((own == 0) | (others == 0), 1.0, cosine)

    starts, threads = range(0, n, step), torch.get_num_threads()
    if by_numpy and lengths_of is None and threads > 1 and len(starts) > 2 * threads:
        # Whole pieces in threads: torch's own would meet at a barrier in each of its short operations.
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, starts))
    else:
        for start in starts:
            fill(start)
    return out


def _by_numpy(queries: torch.Tensor, bank: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    apart = np.subtract(bank.numpy()[rows.numpy()], queries.numpy()[:, None], dtype=np.float64)
    return torch.from_numpy(np.einsum("ncd,ncd->nc", apart, apart))


def _squared(apart: torch.Tensor, less: torch.Tensor) -> torch.Tensor:
    apart.sub_(less)
    out: torch.Tensor = torch.linalg.vecdot(apart, apart)
    return out


def lengths(rows: torch.Tensor, budget: int) -> torch.Tensor:
    """Return the Euclidean lengths of the rows, (n,), float64, with at most `budget` bytes at a time."""
    out = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    step = max(1, budget // (8 * max(1, rows.shape[1])))
    for start in range(0, len(rows), step):
        out[start : start + step] = rows[start : start + step].double().norm(dim=1)
    return out
