"""Losses of networks that learn from normal images and made-up anomalies.

References
----------
Pang, Ding, Shen, van den Hengel, "Explainable Deep Few-shot Anomaly Detection with Deviation Networks",
arXiv:2108.00462; Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
"""

from __future__ import annotations

import torch


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
        Targets are kept as far from 0 and 1, and shares from 0.
    """
    wanted = torch.cat([1 - mask, mask], 1).clamp(smooth, 1 - smooth)
    right = (wanted * shares).sum(1) + smooth
    return -((1 - right).square() * right.log()).mean()
