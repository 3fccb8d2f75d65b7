"""Rows of one array in memory, filled as they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", bound="NDArray[Any] | torch.Tensor")


class RowArray(Generic[Array]):
    """An array of `n` rows, numpy or torch (on any device), of which some are filled.

    The first `put` allocates it, and settles the shape of a row, the dtype and the device.
    """

    def __init__(self, n: int) -> None:
        self._values: Any = None
        self._filled = np.zeros(n, np.bool_)

    def __len__(self) -> int:
        return len(self._filled)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row; empty before the first `put`."""
        return () if self._values is None else tuple(self._values.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array; 0 before the first `put`."""
        return 0 if self._values is None else int(self._values.nbytes)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of `rows` are not filled, in ascending order and each once."""
        return np.unique(rows[~self._filled[rows]])

    def put(self, rows: NDArray[np.int64], values: Array) -> None:
        """Fill rows with values, shape (len(rows), ...).

        Raises
        ------
        DataError
            Their shape differs from that of the first rows.
        """
        if self._values is None:
            shape = (len(self), *values.shape[1:])
            if isinstance(values, np.ndarray):
                self._values = np.empty(shape, values.dtype)
            else:
                self._values = values.new_empty(shape)
        if tuple(values.shape[1:]) != self.row_shape:
            shapes = f"{self.row_shape} and {tuple(values.shape[1:])}"
            raise DataError(f"images of shapes {shapes} differ in size; give one size to bring them to")
        self._values[self._index(rows)] = values
        self._filled[rows] = True

    def take(self, rows: NDArray[np.int64]) -> Array:
        """Return filled rows, copied, shape (len(rows), ...).

        Raises
        ------
        KeyError
            A row is not filled.
        """
        if not self._filled[rows].all():
            raise KeyError(f"rows {self.missing(rows)[:5].tolist()} are not filled; put them first")
        at = self._index(rows)
        # Several times faster than indexing a tensor.
        values: Array = self._values[at] if at is rows else self._values.index_select(0, at)
        return values

    def release(self) -> Array:
        """Return the array itself, all rows of which are filled; it must not be used from here again."""
        values: Array = self._values
        return values

    def _index(self, rows: NDArray[np.int64]) -> Any:
        if isinstance(self._values, np.ndarray):
            return rows
        import torch

        from bench.data.transfer import sent

        return sent(self._values.device, torch.from_numpy(np.ascontiguousarray(rows)))[0]
