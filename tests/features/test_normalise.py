"""Normalising features."""

from __future__ import annotations

import pytest
import torch
from sklearn.preprocessing import StandardScaler, normalize

from bench.features.normalise import standardise


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


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="mode must be"):
        standardise(torch.zeros(2, 2), "minmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n > 0"):
        standardise(torch.zeros(0, 2), "standard")
