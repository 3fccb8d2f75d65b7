"""Normalising features by what the train features look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch


def standardise(
    train: torch.Tensor, mode: Literal["none", "standard", "l2"] = "standard"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that normalises features, fitted on the train features.

    Parameters
    ----------
    train : Tensor, shape (n, d), floating
    mode : {"none", "standard", "l2"}
        ``standard`` subtracts the mean and divides by the standard deviation (with n in the denominator);
        a constant column is divided by 1. ``l2`` scales each row to unit length; a zero row stays zero.

    Returns
    -------
    callable
        (m, d) to (m, d), same dtype; leaves its argument as it was.

    Raises
    ------
    ValueError
        Another mode, not (n, d), or no train features to fit ``standard`` on.
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
    # Rounding leaves a constant column a deviation of some 1e-17 of its value: that is no scale.
    constant = deviation <= 1e-12 * mean.abs()
    scale = torch.where(constant, 1.0, deviation).to(train.dtype)
    centre = mean.to(train.dtype)
    return lambda features: (features - centre) / scale
