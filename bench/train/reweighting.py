"""Weights and labels of instances by their losses and scores, for training on data of which some is wrong.

References
----------
Kumar, Amid, "Constrained Instance and Class Reweighting for Robust Learning under Label Noise",
arXiv:2111.05428.
"""

from __future__ import annotations

import torch

#: Closer than this to 1, α means the limit.
_NEAR_ONE = 1e-3


def instance_weights(losses: torch.Tensor, alpha: float, lam: float) -> torch.Tensor:
    """Return the weights that make the weighted loss least, held near uniform by an α-divergence.

    min over w of Σ w l subject to D_α(w ‖ uniform) ≤ r has a closed form once a multiplier λ takes the place
    of the radius: w ∝ [(1 - α) l + λ]₊ to the power 1 / (α - 1). That is 1 / (l + λ) for α = 0 (reverse
    Kullback-Leibler), exp(-l / λ) for α → 1 (Kullback-Leibler), and (λ - l)₊ for α = 2, which rejects what
    lies above λ. Where all would be rejected, the least loss keeps all weight.

    Parameters
    ----------
    losses : Tensor, shape (b,)
        Not negative.
    alpha : float
    lam : float
        λ > 0; the larger, the more uniform.

    Returns
    -------
    Tensor, shape (b,)
        Not negative, of sum 1.
    """
    if abs(alpha - 1) < _NEAR_ONE:
        return torch.softmax(-losses / lam, 0)
    # By logarithms, so that large losses and an α near 1 neither overflow nor vanish.
    logs = -torch.log1p(((1 - alpha) * losses / lam).clamp(min=-1)) / (1 - alpha)
    least = torch.where(losses == losses.min(), 0.0, -torch.inf).to(logs)
    return torch.softmax(torch.where(logs.max() > -torch.inf, logs, least), 0)


def two_means(scores: torch.Tensor) -> torch.Tensor:
    """Return which scores (b,) lie in the upper of the two clusters of least squared distance, as 0 and 1.

    The clusters are a cut through the sorted scores: of all cuts the one with the most variance between its
    sides. Of equal scores none lies above.
    """
    if len(scores) < 2:
        return torch.zeros_like(scores)
    ordered = scores.double().sort().values
    below = torch.arange(1, len(scores), device=scores.device)
    above, sums = len(scores) - below, ordered.cumsum(0)
    apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    # Scores that are equal are not cut.
    between = torch.where(ordered[1:] > ordered[:-1], below * above * apart.square(), 0)
    return ((scores > ordered[between.argmax()]) & (between.max() > 0)).to(scores)
