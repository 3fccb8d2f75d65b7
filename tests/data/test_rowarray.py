"""Rows that are filled as they are asked for."""

import numpy as np
import pytest
import torch

from bench.core.errors import DataError
from bench.data.rowarray import RowArray

VALUES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_rows_come_back_as_they_were_put(make: type) -> None:
    rows: RowArray = RowArray(6)
    assert (len(rows), rows.nbytes, rows.row_shape) == (6, 0, ())
    assert rows.missing(np.array([4, 1, 4])).tolist() == [1, 4]
    rows.put(np.array([4, 1]), make(VALUES[[4, 1]]))
    assert (rows.nbytes, rows.row_shape) == (24, (2, 2))
    assert rows.missing(np.arange(6)).tolist() == [0, 2, 3, 5]
    taken = rows.take(np.array([1, 4, 1]))
    assert type(taken) is type(make(VALUES))
    assert np.array_equal(taken, VALUES[[1, 4, 1]])
    taken[:] = 0
    assert np.array_equal(rows.take(np.array([4])), VALUES[[4]])


def test_rows_that_are_not_there_and_rows_of_another_shape_are_refused() -> None:
    rows: RowArray = RowArray(6)
    with pytest.raises(KeyError, match=r"\[2\]"):
        rows.take(np.array([2]))
    rows.put(np.array([0]), VALUES[:1])
    with pytest.raises(KeyError, match=r"\[2, 3\]"):
        rows.take(np.array([3, 0, 2]))
    with pytest.raises(DataError, match=r"\(2, 2\) and \(1, 2\)"):
        rows.put(np.array([1]), VALUES[1:2, :1])
