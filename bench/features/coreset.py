"""Greedy k-centre coresets of many vectors, exactly and fast.

Distances to the nearest pick only fall, so an old one is an upper bound: a row is brought up to date only
when its bound is among the largest (lazy greedy). The picks are those of the plain greedy algorithm, on any
number of threads and any processor, because no distance is rounded: vectors are put on a grid fine enough for
float32 (21 bits or so a coordinate) and coarse enough for sums of products to be exact in float64.

References
----------
Gonzalez, "Clustering to minimize the maximum intercluster distance", TCS 1985; Minoux, "Accelerated greedy
algorithms for maximizing submodular set functions", 1978. PatchCore (Roth et al., CVPR 2022), algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bench.features.search import blas_threads

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Rows among which the next are sought, and rows kept up to date at a time.
POOL, BLOCK = 16384, 2048
#: Picks a matrix product, so that its result stays in a processor's cache.
CHUNK = 1024
#: Rows converted at a time.
_PART = 2**15


def greedy_coreset(
    rows: torch.Tensor,
    count: int,
    *,
    first: int | None = None,
    start: torch.Tensor | None = None,
    allowed: torch.Tensor | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> torch.Tensor:
    """Return the rows that the greedy algorithm picks: again and again the one farthest from all picks.

    Equal distances go to the lowest index; no row is picked twice.

    Parameters
    ----------
    rows : Tensor, shape (n, d), floating
        Moved to the host, where the picks are found. They are rounded to multiples of about 2⁻²¹ of the
        largest coordinate relative to the mean.
    count : int
        Picks, from 1 to the number of allowed rows.
    first : int, optional
        The first pick. Without it and without `start` it is the row farthest from the mean.
    start : Tensor, shape (s,), integer, optional
        Rows, mostly not among the picks, whose mean distance is where each row's distance starts from: the
        start of the approximate algorithm of PatchCore's code.
    allowed : Tensor, shape (n,), bool, optional
        Rows that may be picked (after `first`).
    progress : callable, optional
        Called with ("coreset", picks, count) now and then.

    Returns
    -------
    Tensor, shape (count,), int64, on the host
        In order of picking.

    Raises
    ------
    ValueError
        Shapes do not fit, a value is not finite, or `count` is out of range.

    Examples
    --------
    >>> rows = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> bench.greedy_coreset(rows, 2, first=0).tolist()
    [0, 3]
    """
    candidates = _candidates(rows, count, first, allowed)
    grid = on_grid(rows)
    begin = None if start is None else _mean_distance(grid, start.cpu().numpy().astype(np.int64))
    everything = len(candidates) == len(grid)
    greedy = _Greedy(grid if everything else grid[candidates], count)
    if begin is not None:
        greedy.bound[:] = begin[candidates] ** 2
    elif first is None:
        greedy.bound[:] = greedy.squares
    if first is not None:
        greedy.pick(int(np.searchsorted(candidates, first)))
    with blas_threads():
        greedy.run(progress)
    return torch.from_numpy(candidates[greedy.picks])


def _candidates(rows: torch.Tensor, count: int, first: int | None, allowed: torch.Tensor | None) -> Rows:
    """Check the arguments; return the rows that may be picked, ascending."""
    if rows.ndim != 2 or not rows.is_floating_point():
        raise ValueError(f"expected rows (n, d) of a floating dtype, got {rows.dtype} {tuple(rows.shape)}")
    n = len(rows)
    if allowed is not None and (allowed.shape != (n,) or allowed.dtype != torch.bool):
        raise ValueError(f"allowed must be {n} booleans, got {allowed.dtype} {tuple(allowed.shape)}")
    if first is not None and not 0 <= first < n:
        raise ValueError(f"the first pick is row {first}, but there are {n} rows")
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("rows have values that are NaN or infinite; distances cannot be computed")
    mask = np.ones(n, np.bool_) if allowed is None else allowed.cpu().numpy().copy()
    if first is not None:
        mask[first] = True
    candidates = np.flatnonzero(mask)
    if not 1 <= count <= len(candidates):
        raise ValueError(f"count is {count}, but {len(candidates)} rows may be picked; choose fewer")
    return candidates


def on_grid(rows: torch.Tensor) -> NDArray[np.float32]:
    """Return rows (n, d) relative to their mean, as whole numbers (n, d) in float32.

    Their squared distances, and every partial sum of these, are below 2⁵³: exact in float64.
    """
    d = rows.shape[1]
    bits = min(23, (50 - math.ceil(math.log2(max(d, 2)))) // 2)
    mean = rows.mean(0, dtype=torch.float64).to(rows.dtype)
    out = np.empty(tuple(rows.shape), np.float32)
    largest = max((float((part - mean).abs().max()) for part in torch.split(rows, 2**16)), default=0.0)
    scale = (2**bits - 1) / largest if largest > 0 else 0.0
    for at in range(0, len(rows), 2**16):
        part = (rows[at : at + 2**16] - mean).double().mul_(scale).round_()
        out[at : at + 2**16] = part.cpu().numpy()
    return out


def _mean_distance(grid: NDArray[np.float32], start: Rows) -> Floats:
    """Return the mean distance (n,) of rows on the grid to some of them, the same on every machine."""
    total = np.zeros(len(grid))
    for at in range(0, len(grid), _PART):
        part = grid[at : at + _PART].astype(np.float64)
        for row in start:
            total[at : at + _PART] += np.sqrt(_squares(part - grid[row]))
    return total / len(start)


class _Greedy:
    """One search among rows on the grid, (n, d); its numbers of rows are places among the candidates.

    Attributes
    ----------
    bound : ndarray, shape (n,), float64
        Squared distance to the nearest of the picks seen; -1 once picked.
    seen : ndarray, shape (n,), int64
        Number of picks seen.
    picks : ndarray, shape (count,), int64
        Of which `done` are known.
    """

    def __init__(self, grid: NDArray[np.float32], count: int) -> None:
        n, d = grid.shape
        self.grid, self.done = grid, 0
        self.squares = np.concatenate([_squares(grid[at : at + _PART]) for at in range(0, n, _PART)])
        self.bound, self.seen = np.full(n, np.inf), np.zeros(n, np.int64)
        self.picks = np.empty(count, np.int64)
        # Picks as columns c and -|c|²/2: the product with (x, 1) is largest at the pick nearest to x.
        self.centres = np.empty((count, d + 1), np.float32)
        # What float32 can be off by in such a product (Higham, 2002, section 3.1), and in |c|²/2.
        self.slack = 2 * (d + 4) * 2.0**-24 * float(self.squares.max())

    def run(self, progress: Callable[[str, int, int], None] | None) -> None:
        """Find the picks that are still to be found."""
        while self.done < len(self.picks):
            pool, beyond = _largest(self.bound, np.arange(len(self.bound)), POOL)
            while self.done < len(self.picks) and _before(self._best(pool), beyond):
                block, rest = _largest(self.bound, pool, BLOCK)
                self.catch_up(block)
                self._pick_from(block, rest if _before(rest, beyond) else beyond)
                if progress is not None:
                    progress("coreset", self.done, len(self.picks))

    def pick(self, row: int) -> None:
        """Take a row as the next pick."""
        self.picks[self.done] = row
        self.centres[self.done, :-1] = self.grid[row]
        self.centres[self.done, -1] = -self.squares[row] / 2
        self.bound[row] = -1.0
        self.done += 1

    def catch_up(self, block: Rows) -> None:
        """Let rows see all picks."""
        block = block[np.argsort(self.seen[block], kind="stable")]
        seen, inputs = self.seen[block], np.ones((len(block), self.grid.shape[1] + 1), np.float32)
        inputs[:, :-1] = self.grid[block]
        for start in range(int(seen[0]) if len(seen) else 0, self.done, CHUNK):
            stop = min(start + CHUNK, self.done)
            some = slice(0, int(np.searchsorted(seen, stop)))
            self._see(block[some], inputs[some], start, stop)
        self.seen[block] = self.done

    def _see(self, rows: Rows, inputs: NDArray[np.float32], start: int, stop: int) -> None:
        """Lower the bounds of rows by the picks from `start` to `stop`."""
        closeness = inputs @ self.centres[start:stop].T
        every = np.arange(len(rows))
        best = closeness.argmax(1)
        highest = closeness[every, best]
        nearer = self.squares[rows] - 2 * (highest + self.slack) < self.bound[rows]
        self._lower(rows[nearer], inputs[nearer], start + best[nearer])
        # Another pick may in truth be the nearest, where the second highest is within twice the error.
        closeness[every, best] = -np.inf
        for row in np.flatnonzero(nearer & (closeness.max(1) >= highest - 2 * self.slack)):
            close = start + np.flatnonzero(closeness[row] >= highest[row] - 2 * self.slack)
            self._lower(np.repeat(rows[row], len(close)), inputs[row], close)

    def _lower(self, rows: Rows, inputs: NDArray[np.float32], picks: Rows) -> None:
        """Lower the bound of each row to its exact distance from one pick."""
        for at in range(0, len(rows), 512):
            some = slice(at, at + 512)
            own = inputs[..., :-1] if inputs.ndim == 1 else inputs[some, :-1]
            apart = np.subtract(own, self.centres[picks[some], :-1], dtype=np.float64)
            np.minimum.at(self.bound, rows[some], np.einsum("nd,nd->n", apart, apart))

    def _pick_from(self, block: Rows, beyond: tuple[float, int]) -> None:
        """Pick from an up-to-date block as long as its farthest row comes before all others."""
        inside = self.grid[block].astype(np.float64)
        squares, bound = self.squares[block], self.bound[block]
        product = np.empty(len(block))
        while self.done < len(self.picks):
            best = int(bound.argmax())
            if not _before((bound[best], int(block[best])), beyond):
                break
            self.pick(int(block[best]))
            np.matmul(inside, inside[best], out=product)
            np.minimum(bound, squares + (squares[best] - 2 * product), out=bound)
            bound[self.bound[block] < 0] = -1.0
        self.bound[block], self.seen[block] = bound, self.done

    def _best(self, rows: Rows) -> tuple[float, int]:
        at = int(self.bound[rows].argmax())
        return float(self.bound[rows[at]]), int(rows[at])


def _before(one: tuple[float, int], other: tuple[float, int]) -> bool:
    """Return whether (bound, row) is picked before another: the larger bound, then the lower row."""
    return (one[0], -one[1]) > (other[0], -other[1])


def _largest(bound: Floats, rows: Rows, wanted: int) -> tuple[Rows, tuple[float, int]]:
    """Return the rows that would be picked first by their bounds, ascending, and the first of the others."""
    if len(rows) <= wanted:
        return rows, (-2.0, -1)
    values = bound[rows]
    limit = np.partition(values, len(values) - wanted)[len(values) - wanted]
    chosen = values > limit
    ties = np.flatnonzero(values == limit)
    chosen[ties[: wanted - int(chosen.sum())]] = True
    others = np.flatnonzero(~chosen)
    first = others[int(values[others].argmax())]
    return rows[chosen], (float(values[first]), int(rows[first]))


def _squares(rows: NDArray[np.float32]) -> Floats:
    wide = rows.astype(np.float64)
    found: Floats = np.einsum("nd,nd->n", wide, wide)
    return found
