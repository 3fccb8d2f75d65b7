"""ADL: deviation learning on synthetic anomalies, robust to a contaminated train set (Das et al., 2025)."""

from __future__ import annotations

from typing import Literal

from bench import (
    DeviationLearning,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
    UnitInterval,
)


class ADL(DeviationLearning):
    """Mean of the largest deviations that a convolution finds in a feature pyramid, all of it trained.

    Half of each mini-batch are training images, considered normal although some may not be; half are training
    images with a synthetic anomaly: a texture inside a mask of Perlin noise. Three heads learn to separate
    them: a score that is near the mean of a normal prior for the former and at least `margin` standard
    deviations away for the latter; a probability; and a mask. After a burn-in the probabilities replace the
    labels, and in each mini-batch images with a large loss weigh less.

    Parameters
    ----------
    size : int
        Side in pixels to which images are resized, a multiple of 32.
    epochs, steps_per_epoch : int
        25 in the authors' README; the default of their program is 50.
    batch : int
        Training images in a mini-batch, with as many synthetic anomalies.
    lr, weight_decay, clip
        Adam; the learning rate falls to a tenth every 10 epochs.
    textures : str
        ``dtd``: the Describable Textures in the folder ``dtd/images`` of ``ANOBENCH_DATA``, or if there is
        none ``procedural`` ones; ``train``: other training images; or a folder or data set.
    margin : float
        10 in the code; 5 in DevNet for images, from which the loss is taken.
    prior : {"drawn", "expected"}
        Mean and standard deviation of 5000 new reference scores for each mini-batch, or 0 and 1.
    topk : float
        Share of the positions in the mean.
    reweight : bool
        Weigh instances; otherwise all weigh the same.
    alpha, lam : float
        Divergence and multiplier of the weights (`bench.instance_weights`).
    anneal : bool
        Lower λ from 10 `lam` to `lam` between once and three times the burn-in. The code computes this value
        but uses `lam`.
    w_scale : {"code", "batch"}
        The code takes the mean of losses whose weights already sum to 1, so that the segmentation loss
        outweighs the others by the size of the mini-batch; ``batch`` takes their sum.
    burn_in : float
        Share of the mini-batches.
    cluster_share : float
        Share of the mini-batches after the burn-in in which an image is labelled anomalous for the
        probability also if its score is in the upper of two clusters.
    normalise : {"none", "imagenet"}
        Pixels in [0, 1], as in the code, or normalised as in the network's training.
    resizing : {"plain", "antialiased"}
        ``plain`` is OpenCV's bilinear, as in the code.

    Notes
    -----
    The two clusters are optimal, which those of the code's k-means need not be. A texture's brightness
    changes along the luma only. If all weights would be 0, the smallest loss gets all the weight. A network
    whose BatchNorm was folded into its convolutions first gets statistics from training images; a missing
    last block is initialised at random. The anomaly map is from the segmentation head; the score does not use
    it.

    References
    ----------
    Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination",
    WACV 2025, and the authors' code. Synthetic anomalies: Zavrtanik et al., "DRAEM", ICCV 2021.
    """

    stochastic = True
    needs = "network"
    training_only = ("pictures", "patterns")
    auxiliary_images = {"textures": {"dtd": "dtd/images", "procedural": "", "train": ""}}  # noqa: RUF012

    def __init__(
        self,
        backbone: str = "default",
        size: PositiveInt = 256,
        epochs: NonNegativeInt = 25,
        steps_per_epoch: PositiveInt = 20,
        batch: PositiveInt = 24,
        lr: NonNegativeFloat = 2e-4,
        weight_decay: NonNegativeFloat = 1e-5,
        clip: PositiveFloat = 1.0,
        textures: str = "dtd",
        margin: PositiveFloat = 10.0,
        prior: Literal["drawn", "expected"] = "drawn",
        topk: Share = 0.1,
        reweight: bool = True,
        alpha: float = 0.1,
        lam: PositiveFloat = 0.1,
        anneal: bool = False,
        w_scale: Literal["code", "batch"] = "code",
        burn_in: UnitInterval = 0.06,
        cluster_share: UnitInterval = 0.6,
        normalise: Literal["none", "imagenet"] = "none",
        resizing: Literal["plain", "antialiased"] = "plain",
    ) -> None:
        self.backbone, self.size, self.batch, self.textures = backbone, size, batch, textures
        self.epochs, self.steps_per_epoch, self.steps = epochs, steps_per_epoch, epochs * steps_per_epoch
        self.lr, self.weight_decay, self.clip = lr, weight_decay, clip
        self.margin, self.prior, self.topk = margin, prior, topk
        self.reweight, self.alpha, self.lam, self.anneal = reweight, alpha, lam, anneal
        self.w_scale, self.cluster_share = w_scale, cluster_share
        self.burn_in = int(burn_in * self.steps)
        self.normalise, self.resizing = normalise, resizing
