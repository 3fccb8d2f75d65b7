"""Ledoit and Wolf's shrunk covariance: scikit-learn's on a CPU, the same on a GPU without leaving it."""

from __future__ import annotations

import torch


def ledoit_wolf_shrinkage(centred: torch.Tensor) -> torch.Tensor:
    """Return how far to shrink the covariance of centred rows (n, d) towards a multiple of the identity.

    Parameters
    ----------
    centred : Tensor, shape (n, d), float64, of mean 0
        n and d at least 1.

    Returns
    -------
    Tensor, shape (), float64, in [0, 1], on the rows' device

    References
    ----------
    Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 2004, section 3; `spread` and `error` in the code are d times its d² and b².
    """
    if centred.device.type == "cpu":
        from sklearn.covariance import ledoit_wolf_shrinkage as by_scikit_learn

        share = by_scikit_learn(centred.numpy(), assume_centered=True)
        return torch.tensor(float(share), dtype=torch.float64)
    return _shrinkage(centred, centred.T @ centred / len(centred))


def shrunk_covariance(centred: torch.Tensor) -> torch.Tensor:
    """Return the covariance (d, d), float64, of centred rows (n, d), shrunk by `ledoit_wolf_shrinkage`.

    Examples
    --------
    >>> bench.shrunk_covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64))
    tensor([[1., 0.],
            [0., 0.]], dtype=torch.float64)
    """
    if centred.device.type == "cpu":
        from sklearn.covariance import ledoit_wolf

        return torch.from_numpy(ledoit_wolf(centred.numpy(), assume_centered=True)[0])
    covariance = centred.T @ centred / len(centred)
    share, mean = _shrinkage(centred, covariance), covariance.diagonal().mean()
    covariance = (1 - share) * covariance
    covariance.diagonal().add_(share * mean)
    return covariance


def _shrinkage(centred: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    n, d = centred.shape
    if d == 1:  # a multiple of the identity already
        return torch.zeros((), dtype=centred.dtype, device=centred.device)
    # d times the squared distance of the covariance from the multiple of the identity.
    spread = covariance.square().sum() - covariance.diagonal().sum().square() / d
    # Squared products of columns, summed over rows and pairs, are the squares of the rows' squared lengths.
    error = (centred.square().sum(1).square().sum() / n - covariance.square().sum()) / n
    error = torch.minimum(error.clamp(min=0), spread)
    return torch.where(error == 0, 0.0, error / torch.where(spread == 0, 1.0, spread))
