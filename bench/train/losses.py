"""Losses of networks that learn from normal images and synthetic anomalies, and weights against wrong labels.

References
----------
Pang, Ding, Shen, van den Hengel, "Explainable Deep Few-shot Anomaly Detection with Deviation Networks",
arXiv:2108.00462; Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017; Kumar, Amid, "Constrained
Instance and Class Reweighting for Robust Learning under Label Noise", arXiv:2111.05428.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

#: Closer than this to 1, α means the limit.
_NEAR_ONE = 1e-3


def deviation_loss(deviation: torch.Tensor, anomalous: torch.Tensor, margin: float) -> torch.Tensor:
    """Return (1 - q) |d| + q max(0, a - d), shape (b,).

    Parameters
    ----------
    deviation : Tensor, shape (b,)
        Scores in standard deviations from the mean of normal ones.
    anomalous : Tensor, shape (b,)
        Labels or probabilities q.
    margin : float
        a.
    """
    return (1 - anomalous) * deviation.abs() + anomalous * (margin - deviation).clamp(min=0)


def focal_loss(shares: torch.Tensor, mask: torch.Tensor, smooth: float = 1e-5) -> torch.Tensor:
    """Return the mean focal loss over all pixels, γ = 2, with smoothed targets.

    Parameters
    ----------
    shares : Tensor, shape (b, 2, h, w)
        Of normal and anomalous; they add up to 1.
    mask : Tensor, shape (b, 1, h, w)
        1 where anomalous, else 0.
    smooth : float
        Least distance of targets from 0 and 1, and of shares from 0.
    """
    wanted = torch.cat([1 - mask, mask], 1).clamp(smooth, 1 - smooth)
    right = (wanted * shares).sum(1) + smooth
    return -((1 - right).square() * right.log()).mean()


def instance_weights(losses: torch.Tensor, alpha: float, lam: float) -> torch.Tensor:
    """Return the weights that minimise the weighted loss, kept near uniform by an α-divergence.

    min over w of Σ w l subject to D_α(w ‖ uniform) ≤ r has a closed form once a multiplier λ takes the place
    of the radius: w ∝ [(1 - α) l + λ]₊ to the power 1 / (α - 1). That is 1 / (l + λ) for α = 0 (reverse
    Kullback-Leibler), exp(-l / λ) for α → 1 (Kullback-Leibler), and (λ - l)₊ for α = 2, which rejects
    losses above λ. Where all would be rejected, the smallest loss keeps all weight.

    Parameters
    ----------
    losses : Tensor, shape (b,)
        Non-negative.
    alpha : float
    lam : float
        λ > 0; the larger, the more uniform.

    Returns
    -------
    Tensor, shape (b,)
        Non-negative, with sum 1.
    """
    if abs(alpha - 1) < _NEAR_ONE:
        return torch.softmax(-losses / lam, 0)
    # In logarithms, so that large losses and an α near 1 neither overflow nor vanish.
    logs = -torch.log1p(((1 - alpha) * losses / lam).clamp(min=-1)) / (1 - alpha)
    least = torch.where(losses == losses.min(), 0.0, -torch.inf).to(logs)
    return torch.softmax(torch.where(logs.max() > -torch.inf, logs, least), 0)


def two_means(scores: torch.Tensor) -> torch.Tensor:
    """Return which scores (b,) are in the upper of the two clusters of least squared distance, as 0 and 1.

    The clusters are a cut through the sorted scores, the one with the most variance between its sides. If all
    scores are equal, none is in the upper one.
    """
    if len(scores) < 2:
        return torch.zeros_like(scores)
    ordered = scores.double().sort().values
    below = torch.arange(1, len(scores), device=scores.device)
    above, sums = len(scores) - below, ordered.cumsum(0)
    apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    # Equal scores are not separated.
    between = torch.where(ordered[1:] > ordered[:-1], below * above * apart.square(), 0)
    cut = ordered.gather(0, between.argmax(0, keepdim=True))  # an index would have to come to the host
    return ((scores > cut) & (between.max() > 0)).to(scores)


def nt_xent(directions: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the contrastive loss of 2 b views by their directions, (2 b, d), of length 1.

    Row i and row i + b are views of one image. Each is told from all others but itself by the cosine.

    References
    ----------
    Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020, equation 1.
    """
    alike = directions @ directions.T / temperature
    n = len(alike)
    own = alike.masked_fill(torch.eye(n, dtype=torch.bool, device=alike.device), -torch.inf)
    other = torch.arange(n, device=alike.device).roll(n // 2)
    return F.cross_entropy(own, other)
