"""ADL: deviation learning on synthetic anomalies, robust to a contaminated train set (Das et al., 2025)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Share,
    Trainable,
    Training,
    UnitInterval,
    change_colours,
    derive_seed,
    deviation_loss,
    endless_rows,
    focal_loss,
    generator_for,
    instance_weights,
    lacking_block,
    procedural_textures,
    resize,
    resize_plainly,
    rotate_some,
    two_means,
    unfold_batchnorm,
    with_anomalies,
)

#: Share of the images that are rotated, and the largest angle in degrees.
TURNED, DEGREES = 0.3, 90.0
#: Largest share of the image in the blend of a synthetic anomaly.
OPACITY = 0.8
#: Reference scores drawn from the prior for a mini-batch.
REFERENCES = 5000
#: Images a pass in scoring; the last pass is filled up, so that no score depends on the other images.
READ_BATCH = 16
#: Training images for the statistics of folded BatchNorm.
STATISTICS = 64
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ADL(Method):
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

    def fit(self, train: Images) -> None:
        self.notes = ()
        if self.size % 32:
            raise FitError(
                f"adl: pictures of size={self.size} px; give a multiple of 32, the network's stride"
            )
        self.pictures = PixelRows(train, self.shrink)
        self.patterns = self.textures_of()
        self.model = self.build(train.network(self.backbone))
        optimiser = torch.optim.Adam(self.model.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        self.model.train()
        Training(
            method=self,
            optimiser=optimiser,
            state=self.model.state_dict(),
            steps=self.steps,
            clip=self.clip,
            rate=lambda step: self.lr * 0.1 ** (step // (10 * self.steps_per_epoch)),
        ).run(self.loss)
        self.model.eval()

    def build(self, net: Trainable) -> Pyramid:
        """Put the heads on a network, after restoring what it is missing."""
        rows = np.arange(min(len(self.pictures), STATISTICS))
        parts = (self.feed(self.pictures[rows[i : i + READ_BATCH]]) for i in rows[::READ_BATCH])
        if folded := unfold_batchnorm(net.module, parts):
            self.notes += (
                f"{folded} BatchNorm layers were folded into the weights: their statistics are those of "
                f"{len(rows)} training images, their scale and shift follow from these",
            )
        last = None
        if 4 not in net.blocks:
            last = lacking_block(net, 4, derive_seed(self.seed, "block 4"))
            self.notes += (f"block 4 of {net.backbone.name} has no weights: it started from chance",)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "heads"))
            model = Pyramid(net, last, self.feed(self.pictures[rows[:1]]), self.topk)
        return model.to(self.device).to(memory_format=torch.channels_last)

    def textures_of(self) -> PixelRows | None:
        """Return the photographs for synthetic anomalies; None if their textures are procedural."""
        if "textures" in self.auxiliary:
            if self.textures != "dtd":
                self.notes += (f"surrogate textures: {self.textures} instead of DTD",)
            return PixelRows(self.auxiliary["textures"], self.shrink)
        made = "the training images" if self.textures == "train" else "procedural"
        self.notes += (f"surrogate textures: {made} instead of DTD",)
        return self.pictures if self.textures == "train" else None

    def shrink(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize images, uint8."""
        how = resize_plainly if self.resizing == "plain" else resize
        return how(pixels, (self.size, self.size))

    def feed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the network's input for pixels (b, 3, h, w) in 0..255."""
        x = pixels.to(torch.float32, memory_format=torch.channels_last) / 255
        if self.normalise == "imagenet":
            mean, std = (torch.tensor(each, device=x.device).view(3, 1, 1) for each in _IMAGENET)
            x = (x - mean) / std
        return x

    def mini_batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return images (2b, 3, s, s) in 0..255, masks (2b, 1, s, s), pseudo-labels (2b,) of a step."""
        n, b = len(self.pictures), self.batch
        drawn = generator_for(self.seed, "batch", step)
        rows = [endless_rows(n, b, step, self.seed, half) for half in ("normal", "synthetic")]
        pictures = rotate_some(self.pictures[np.concatenate(rows)], TURNED, DEGREES, drawn)
        if self.patterns is None:
            patterns = procedural_textures(b, self.size, drawn, self.device)
        else:
            patterns = self.patterns[torch.randint(len(self.patterns), (b,), generator=drawn).numpy()]
        synthetic, masks = with_anomalies(
            pictures[b:].float(), change_colours(patterns, drawn), OPACITY, drawn
        )
        labels = torch.arange(2 * b, device=self.device) >= b
        masks = torch.cat([torch.zeros_like(masks), masks])
        return torch.cat([pictures[:b].float(), synthetic]), masks, labels.float()

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss of a step: deviation, cross-entropy, segmentation."""
        pictures, masks, pseudo = self.mini_batch(step)
        out = self.model(self.feed(pictures))
        # As in the code, which never leaves a burn-in of 0 mini-batches.
        soft = 0 < self.burn_in < step
        mean, std = self.reference(step)
        certain = out.probability.detach() if soft else pseudo
        deviation = deviation_loss((out.score - mean) / std, certain, self.margin)
        clustered = torch.rand((), generator=generator_for(self.seed, "labels", step)) < self.cluster_share
        labels = torch.maximum(pseudo, two_means(out.score.detach())) if soft and clustered else pseudo
        # torch fails on NaN here (on a GPU for the rest of the process); the deviation passes it on.
        entropy = F.binary_cross_entropy(torch.nan_to_num(out.probability, 0.5), labels, reduction="none")
        weighted = [self.weights(each.detach(), step) * each for each in (deviation, entropy)]
        return weighted[0].mean() + weighted[1].mean() + focal_loss(out.mask, masks)

    def reference(self, step: int) -> tuple[float, float]:
        """Return mean and standard deviation of the reference scores of a step."""
        if self.prior == "expected":
            return 0.0, 1.0
        drawn = torch.randn(REFERENCES, generator=generator_for(self.seed, "references", step))
        return float(drawn.mean()), float(drawn.std())

    def weights(self, losses: torch.Tensor, step: int) -> torch.Tensor:
        """Return the weights of losses (b,) in the mini-batch's mean."""
        if self.reweight and step > self.burn_in:
            weights = instance_weights(losses, self.alpha, self.multiplier(step))
        else:
            weights = torch.full_like(losses, 1 / len(losses))
        return len(losses) * weights if self.w_scale == "batch" else weights

    def multiplier(self, step: int) -> float:
        """Return λ of a step."""
        if not self.anneal:
            return self.lam
        return float(np.interp(step, (self.burn_in, 3 * self.burn_in), (10 * self.lam, self.lam)))

    def score(self, test: Images) -> Scores:
        pictures = PixelRows(test, self.shrink)
        scores, maps = [], []
        with torch.no_grad():
            for start in range(0, len(pictures), READ_BATCH):
                rows = np.arange(start, min(start + READ_BATCH, len(pictures)))
                out = self.model(self.feed(pictures[np.pad(rows, (0, READ_BATCH - len(rows)), mode="edge")]))
                scores.append(out.score[: len(rows)])
                maps.append(out.mask[: len(rows), 1])
        return Scores(torch.cat(scores), torch.cat(maps))


class Output(NamedTuple):
    """For b images: mask (b, 2, s, s), the shares of normal and anomalous; score (b,); probability (b,)."""

    mask: torch.Tensor
    score: torch.Tensor
    probability: torch.Tensor


class Pyramid(nn.Module):
    """A network whose maps at strides 8, 16 and 32 are joined at stride 8, with three heads on them.

    Parameters
    ----------
    net : Trainable
        Its module becomes part of this one, all of it trainable.
    last : nn.Module, optional
        Computes the maps at stride 32 if the network does not.
    picture : Tensor, shape (1, 3, s, s)
        A sample input, to find the number of channels.
    topk : float
    """

    def __init__(self, net: Trainable, last: nn.Module | None, picture: torch.Tensor, topk: float) -> None:
        super().__init__()
        self.net, self.backbone, self.last, self.topk = net, net.module.requires_grad_(True), last, topk
        if last is not None:
            last.eval()  # the sample must not change its statistics
        with torch.no_grad():
            wide, middle, deep = (maps.shape[1] for maps in self.maps(picture))
        self.middle_up = up_block(middle)
        self.deep_up = nn.Sequential(up_block(deep), up_block(deep))
        joined = wide + middle + deep
        self.scoring = nn.Conv2d(joined, 1, 1)
        self.classify = nn.Linear(deep, 1)
        ups = [part for _ in range(3) for part in (nn.Upsample(scale_factor=2), *convolution(64, 64))]
        self.segment = nn.Sequential(
            *convolution(joined, 64), *convolution(64, 64), *ups, nn.Conv2d(64, 2, 3, padding=1)
        )

    def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        found = self.net.maps(x, [2, 3] if self.last is not None else [2, 3, 4])
        return found[2], found[3], found[4] if self.last is None else self.last(found[3])

    def forward(self, x: torch.Tensor) -> Output:
        wide, middle, deep = self.maps(x)
        joined = torch.cat([wide, self.middle_up(middle), self.deep_up(deep)], 1)
        return Output(
            mask=self.segment(joined).softmax(1),
            score=top_mean(self.scoring(joined), self.topk),
            probability=self.classify(deep.mean((2, 3)))[:, 0].sigmoid(),
        )


def up_block(channels: int) -> nn.Sequential:
    """Double the side: nearest, then a convolution to twice the channels, half of which gate the others."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.GLU(1),
    )


def convolution(given: int, made: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(inplace=True)


def top_mean(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Return the mean (b,) of the largest absolute values of maps (b, 1, h, w): a share, but at least one."""
    flat = maps.flatten(1).abs()
    return flat.topk(max(int(share * flat.shape[1]), 1), dim=1).values.mean(1)
