"""The search behind `bench.nearest`.

The matrix product gives a *lower bound* of every squared distance: the computed value less the standard error
bound of a float32 dot product. The k rows of lowest bound are candidates, with distances from float64
differences. They are the answer if the k-th distance is below the bounds of all other rows; the remaining
queries compare every row whose bound is not above it. So the answer is exact for any data.

References
----------
Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1: a dot product of length d,
summed in any order, is off by at most d u / (1 - d u) times the product of the lengths.
"""

from __future__ import annotations

import contextlib
import functools
import timeit
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.features.distances import exact, lengths

#: Multiplications for which the fastest of the libraries is worth finding out.
_LARGE = 2e9
_UNIT = 2.0**-24
#: Rows beside the k + 1 of lowest bound that are looked at before all are.
SPARE = 8
#: Bounds of which only the least is compared first, on a CPU.
_GROUP = 16

#: Number of the first row of a block of the bank, and lower bounds (queries, rows of the block), float32.
Block = tuple[int, torch.Tensor]


class Search:
    """The search in one bank, called for one chunk of queries after the other.

    Parameters
    ----------
    bank : Tensor, shape (m, d)
    k : int
    cosine : bool
        Search among unit vectors, whose squared distance is twice the cosine distance.
    budget : int
        Bytes to work with.

    Attributes
    ----------
    query_chunk : int
        Number of queries to pass at a time.
    """

    def __init__(self, bank: torch.Tensor, k: int, cosine: bool, budget: int) -> None:
        self.bank, self.k, self.budget = bank, k, budget
        m, d = bank.shape
        # The bound of the product, the same for the norms, and room for centring and the last additions.
        self.slack = 2 * (d + 16) * _UNIT
        self.lengths = lengths(bank, budget // 8) if cosine else None
        self.centre = None if cosine or not m else _worth_subtracting(bank)
        # Shares of the budget: a block of the bank 1/4, queries 1/8, bounds 1/4; the rest for differences.
        self.bank_chunk = max(k + 8, min(m, budget // 4 // (4 * d + 4)))
        self.query_chunk = max(
            16, min(4096, budget // 8 // (4 * d + 4), budget // 4 // (4 * self.bank_chunk))
        )
        self.scratch = torch.empty(0, dtype=torch.float32, device=bank.device)
        self.kept = self._block(slice(0, m)) if self.bank_chunk >= m else None

    def __call__(
        self, queries: torch.Tensor, excluded: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return exact distances, float64, and the indices, each (queries, k)."""
        own_lengths = None if self.lengths is None else lengths(queries, self.budget // 8)
        centred = self._centred(queries, own_lengths)
        own = (1 - self.slack) * _squares(centred, own_lengths)
        stream = self._bounds(centred, excluded)
        # One block can be used twice; several would take too much memory and are computed again.
        blocks = list(stream) if self.kept is not None else None
        bounds, candidates = self._lowest(blocks or stream, self.k + 1 + (0 if blocks else SPARE))
        distances, indices, reach = self._nearest_of(queries, own_lengths, candidates[:, : self.k])
        unproven = torch.nonzero(~(reach < self._beyond(bounds, own, self.k))).flatten()
        if SPARE and len(unproven) and self.k + 1 < len(self.bank):  # often a few more are enough
            if blocks:
                bounds, candidates = self._lowest([(0, blocks[0][1][unproven])], self.k + 1 + SPARE)
            else:
                bounds, candidates = bounds[unproven], candidates[unproven]
            wide = bounds.shape[1] - 1 if bounds.shape[1] < len(self.bank) else bounds.shape[1]
            part_lengths = None if own_lengths is None else own_lengths[unproven]
            found = self._nearest_of(queries[unproven], part_lengths, candidates[:, :wide])
            distances[unproven], indices[unproven], reach[unproven] = found
            proven = found[2] < self._beyond(bounds, own[unproven], wide)
            unproven = unproven[~proven]
        for part in torch.split(unproven, max(1, min(256, self.budget // 4 // (32 * len(self.bank))))):
            some = None if excluded is None else excluded[part]
            again = [(0, blocks[0][1][part])] if blocks else self._bounds(centred[part], some)
            part_lengths = None if own_lengths is None else own_lengths[part]
            limit = reach[part] - own[part]
            distances[part], indices[part] = self._within(queries[part], part_lengths, again, limit)
        return distances, indices

    def _nearest_of(
        self, queries: torch.Tensor, own_lengths: torch.Tensor | None, candidates: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the k nearest among candidates (n, c): distances, indices, the k-th squared distance."""
        candidates = candidates.sort(1).values  # so that ties are in order of index
        distances, order = self._exact(queries, own_lengths, candidates).sort(dim=1, stable=True)
        distances, order = distances[:, : self.k], order[:, : self.k]
        reach = distances[:, -1] * (1 if own_lengths is None else 2)
        return distances, candidates.gather(1, order), reach

    @staticmethod
    def _beyond(bounds: torch.Tensor, own: torch.Tensor, number: int) -> torch.Tensor:
        """Return the least squared distance, (n,), of all rows but the `number` of lowest bound."""
        if bounds.shape[1] <= number:
            return torch.full_like(own, torch.inf)
        return own + bounds[:, number].double()

    def _centred(self, rows: torch.Tensor, row_lengths: torch.Tensor | None) -> torch.Tensor:
        """Return the rows for the matrix product: relative to the bank's mean, or of unit length."""
        if row_lengths is None:
            return rows.float() if self.centre is None else (rows - self.centre).float()
        wide = torch.promote_types(rows.dtype, torch.float32)
        return (rows / row_lengths.clamp(min=1e-30).to(wide)[:, None]).float()

    def _block(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows of the bank for the matrix product, and the term that each adds to the lower bound."""
        row_lengths = None if self.lengths is None else self.lengths[rows]
        block = self._centred(self.bank[rows], row_lengths)
        add = ((1 - self.slack) * _squares(block, row_lengths)).float()
        return block, add

    def _bounds(self, centred: torch.Tensor, excluded: torch.Tensor | None) -> Iterator[Block]:
        """Yield lower bounds of the squared distances without the queries' own term, block by block."""
        for start in range(0, len(self.bank), self.bank_chunk):
            block, add = self.kept or self._block(slice(start, start + self.bank_chunk))
            bounds = self._product(centred, block)
            torch.add(add, bounds, alpha=-2, out=bounds)
            if excluded is not None:
                inside = excluded - start
                there = (inside >= 0) & (inside < len(block))
                bounds[torch.nonzero(there)[:, 0], inside[there]] = torch.inf
            yield start, bounds

    def _product(self, centred: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
        """Return the matrix product (queries, rows of the block), in memory that is reused."""
        size = len(centred) * len(block)
        if len(self.scratch) < size:
            self.scratch = torch.empty(size, dtype=torch.float32, device=centred.device)
        out: torch.Tensor = self.scratch[:size].view(len(centred), len(block))
        large = centred.device.type == "cpu" and size * centred.shape[1] > _LARGE
        multiply = fastest_product() if large else by_torch
        multiply(centred, block, out)
        return out

    def _lowest(self, blocks: Iterable[Block], wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the lowest bounds of each query in ascending order, and where they are."""
        best: list[torch.Tensor] = []
        for start, bounds in blocks:
            values, at = _lowest_of(bounds, min(wanted, bounds.shape[1]))
            at += start
            if best:
                values, at = torch.cat([best[0], values], 1), torch.cat([best[1], at], 1)
                values, order = values.topk(min(wanted, values.shape[1]), largest=False)
                at = at.gather(1, order)
            best = [values, at]
        values, order = best[0].sort(1)
        return values, best[1].gather(1, order)

    def _exact(
        self, queries: torch.Tensor, own_lengths: torch.Tensor | None, candidates: torch.Tensor
    ) -> torch.Tensor:
        both = None if own_lengths is None or self.lengths is None else (own_lengths, self.lengths)
        budget = self.budget // (4 if queries.device.type != "cpu" else 8)
        return exact(queries, self.bank, candidates, lengths_of=both, budget=budget)

    def _within(
        self,
        queries: torch.Tensor,
        own_lengths: torch.Tensor | None,
        blocks: Iterable[Block],
        limit: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the k nearest among all rows whose lower bound is not above `limit` (n,)."""
        pairs: list[Sequence[torch.Tensor]] = []
        for start, bounds in blocks:
            near = (bounds <= limit[:, None]) & ~torch.isinf(bounds)
            row, at = torch.nonzero(near, as_tuple=True)
            own = None if own_lengths is None else own_lengths[row]
            at += start
            for part in torch.split(torch.arange(len(row), device=row.device), 2**16):
                piece = None if own is None else own[part]
                found = self._exact(queries[row[part]], piece, at[part, None])[:, 0]
                pairs.append((row[part], at[part], found))
        row, at, distance = (torch.cat(column) for column in zip(*pairs, strict=True))
        # By row, then distance, then index: stable sorts, from the last key to the first.
        order = at.argsort()
        for key in (distance, row):
            order = order[key[order].argsort(stable=True)]
        starts = torch.searchsorted(row[order], torch.arange(len(queries), device=row.device))
        first = order[starts[:, None] + torch.arange(self.k, device=row.device)]
        return distance[first], at[first]


def _lowest_of(bounds: torch.Tensor, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lowest entries of each row and their places, as topk does.

    On a CPU topk costs much more than a pass over the numbers. The lowest `wanted` entries lie in the
    `wanted` groups whose least entries are lowest, so that it need only look into those.
    """
    groups = bounds.shape[1] // _GROUP
    if bounds.device.type != "cpu" or groups < 4 * wanted:
        return bounds.topk(wanted, largest=False)
    whole = bounds[:, : groups * _GROUP].view(len(bounds), _GROUP, groups)
    of = whole.amin(1).topk(wanted, largest=False).indices
    places = (of[:, :, None] + groups * torch.arange(_GROUP)).flatten(1)
    rest = torch.arange(groups * _GROUP, bounds.shape[1]).expand(len(bounds), -1)
    places = torch.cat([places, rest], 1)
    values, at = bounds.gather(1, places).topk(wanted, largest=False)
    return values, places.gather(1, at)


def _worth_subtracting(bank: torch.Tensor) -> torch.Tensor | None:
    """Return the bank's mean where most of the rows' lengths is theirs in common, else None.

    Any point may be subtracted: it only makes the bounds tighter. Of features that are merely not negative
    it would take a third, and of rows near zero it would make long ones.
    """
    mean = bank.mean(0).float()
    every = _squares(bank, None).sum()
    return mean if len(bank) * mean.double().square().sum() > 0.75 * every else None


def _squares(rows: torch.Tensor, row_lengths: torch.Tensor | None) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1).double().square()
    if row_lengths is not None:
        norms[row_lengths == 0] = 1.0  # so that a zero vector is at cosine distance 1 from all
    return norms


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


#: Writes the float32 matrix product of (n, d) and (m, d) into (n, m).
Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]


def by_torch(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Multiply by torch: MKL, or the device's library."""
    torch.mm(left, right.T, out=out)


def by_numpy(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Multiply by numpy: OpenBLAS in its wheels."""
    with blas_threads():
        np.matmul(left.numpy(), right.numpy().T, out=out.numpy())


def by_convolution(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Multiply by oneDNN, as a convolution of windows of one pixel."""
    pixels = left.view(1, len(left), 1, -1).permute(0, 3, 1, 2)
    # By name: torch's own choice takes another library where there is one thread.
    found = torch.mkldnn_convolution(pixels, right[:, :, None, None], None, (0, 0), (1, 1), (1, 1), 1)
    out.copy_(found[0, :, :, 0].T)


@functools.cache
def fastest_product() -> Product:
    """Return the fastest product on this CPU, measured once in this process.

    OpenBLAS may be told to take one processor for another (``OPENBLAS_CORETYPE``), MKL uses the widest vector
    instructions of its maker's processors only, oneDNN writes its code for what is there. Results do not
    depend on the choice.
    """
    # No random numbers: a cell's own may be the next that the process draws.
    left = torch.linspace(0, 1, 1024 * 2048).view(1024, -1)
    right = left.flip(0)
    out = torch.empty(1024, 1024)
    products = [by_torch, by_numpy]
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        products.append(by_convolution)
    taken = {}
    for multiply in products:
        call = functools.partial(multiply, left, right, out)
        call()  # the first call starts threads
        taken[multiply] = min(timeit.repeat(call, number=1, repeat=3))
    return min(products, key=taken.__getitem__)


@contextlib.contextmanager
def blas_threads() -> Iterator[None]:
    """Limit numpy's BLAS to the number of torch's threads."""
    with _blas().limit(limits=torch.get_num_threads()):
        yield
