"""LOE: latent outlier exposure, which trains on what it takes for anomalies as such (Qiu et al., 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bench import (
    BaseMethod,
    FitError,
    Images,
    NonNegativeInt,
    Purification,
    UnitInterval,
    Wrapper,
    estimated_rate,
    training_scores,
)

if TYPE_CHECKING:
    import torch


class LOE(Wrapper):
    """The base's head, trained with a loss for normal and one for anomalous images, guessing which is which.

    In each mini-batch of b images the ``int(rate b)`` with the largest L_n - L_a are taken for anomalies, and
    the ``int((1 - rate) b)`` with the smallest for normal; one may be neither, by rounding. The loss is the
    mean of L_n of the normal ones and of the others' L_a (``hard``) or (L_n + L_a) / 2 (``soft``);
    ``refine`` leaves the others out. The first epochs are blind: L_n of all.

    Parameters
    ----------
    base : method
        One whose training a wrapper may steer (`bench.Method.steerable`): it gives L_n and L_a of each image.
        `deep_svdd_features` does: the squared distance to the centre, and one over it.
    mode : {"hard", "soft", "refine"}
    rate : float or "auto"
        The assumed contamination rate. The authors' code is given the true one; by default it is estimated
        from the training scores of a head that was trained blindly.
    warmup : int
        Blind epochs; 2 in the code.

    Notes
    -----
    The paper's base is NTL on ResNet-152 features. Its losses for other bases are recalled. Kept are, for the
    report, all but the ``int(rate n)`` images that the trained head scores highest. At a rate of 0 it is the
    base.

    References
    ----------
    Qiu, Li, Kloft, Rudolph, Mandt, "Latent Outlier Exposure for Anomaly Detection with Contaminated Data",
    ICML 2022, arXiv 2202.08088.
    """

    stochastic = True

    def __init__(
        self,
        base: BaseMethod = "deep_svdd_features",
        mode: Literal["hard", "soft", "refine"] = "hard",
        rate: UnitInterval | Literal["auto"] = "auto",
        warmup: NonNegativeInt = 2,
    ) -> None:
        self.base, self.mode, self.rate, self.warmup = base, mode, rate, warmup

    def fit(self, train: Images) -> None:
        self.final = self.new_base("final", bare_seed=True)
        if not self.final.steerable:
            raise FitError(
                f"loe: {type(self.final).__name__} has no loss for anomalous images that a wrapper could "
                "steer; wrap a method that has, such as deep_svdd_features"
            )
        rate = self._estimated(train) if self.rate == "auto" else float(self.rate)
        if rate > 0:
            self.final.mix_losses = lambda normal, anomalous, epoch: exposed(
                normal, anomalous, 0.0 if epoch < self.warmup else rate, self.mode
            )
        self.final.fit(train)
        scores = training_scores(self.final, train)
        kept = np.ones(len(train), np.bool_)
        kept[np.argsort(scores, kind="stable")[len(train) - int(rate * len(train)) :]] = False
        estimated = rate if self.rate == "auto" else None
        self.purification = Purification(kept if kept.any() else ~kept, scores, estimated)
        self.notes = self.final.notes

    def _estimated(self, train: Images) -> float:
        blind = self.new_base("blind")
        blind.fit(train)
        return estimated_rate(training_scores(blind, train))


def exposed(normal: torch.Tensor, anomalous: torch.Tensor, rate: float, mode: str) -> torch.Tensor:
    """Return the loss (h,) of losses as normal and as anomalous images, each (h, b)."""
    b = normal.shape[-1]
    # In whole numbers: int(0.9 * 10) must be 9 whatever 1 - 0.1 is in binary.
    bad, good = int(round(rate * b, 9)), int(round((1 - rate) * b, 9))
    if not bad:
        return normal.mean(-1)
    order = (normal - anomalous).detach().argsort(dim=-1, stable=True)
    kept = normal.gather(-1, order[..., :good])
    if mode == "refine":
        return kept.mean(-1) if good else normal.mean(-1) * 0
    out = order[..., b - bad :]
    taken = anomalous.gather(-1, out)
    if mode == "soft":
        taken = (taken + normal.gather(-1, out)) / 2
    return (kept.sum(-1) + taken.sum(-1)) / (good + bad)
