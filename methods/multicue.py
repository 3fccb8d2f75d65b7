"""ADL-multicue (ours): ADL with labelled anomalies and a score of several cues (after Das and Bhuyan)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from bench import (
    DeviationLearning,
    Images,
    NonNegativeFloat,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Share,
    UnitInterval,
    endless_rows,
    explained_gradient,
    generator_for,
    mean_of_highest,
    rotate_some,
)

#: Labelled anomalies are turned by up to this angle, all of them: few images come again and again.
DEGREES = 90.0
#: The median absolute deviation of a normal distribution is its standard deviation over this.
NORMAL = 1.4826


class MultiCue(DeviationLearning):
    """Sum of standardised cues: deviation score, entropy of the predicted probability, highest mask values.

    Training is that of `adl`, but a part of the synthetic anomalies of each mini-batch makes room for
    labelled ones. Their label is never softened, and as nothing is known of their masks, they do not count in
    the loss of the segmentation.

    Parameters
    ----------
    labelled_share : float
        Share of the anomalous half of a mini-batch that is labelled anomalies, at least one image.
    cues : str
        Which cues are added, each less its median over the training images and divided by their median
        absolute deviation.
    seg_topk : float
        Share of the pixels in the mean of the mask's highest values.
    maps : {"gradient", "segmentation", "none"}
        The gradient of the score by the input, as `devnet` has it; or the mask.
    size, epochs, steps_per_epoch, batch, lr, weight_decay, clip, textures, margin, topk, alpha, lam, burn_in
        As in `adl`.

    Notes
    -----
    Of the paper only the abstract is known here: few labelled anomalies, adaptive weights of instances, a
    score of these three cues, and localisation by gradients. Ours are the share of labelled anomalies, that
    their labels stay, the standardisation, the equal weights of the cues, and every number. There are no
    published numbers that this could be held against. The entropy is the same for p and 1 - p, so that it
    tells the uncertain from the certain and no more. Labelled anomalies are those of ``[few_shot]`` in the
    suite; without any it is trained as `adl` is, and the record says so.

    References
    ----------
    Das, Bhuyan, "Multi-Cue Anomaly Detection and Localization under Data Contamination", arXiv:2601.22913,
    abstract; Das, Pang, Bhuyan, WACV 2025 (`adl`).
    """

    stochastic = True
    few_shot = True
    needs = "network"
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
        labelled_share: Share = 0.5,
        cues: Literal["dev+entropy+seg", "dev+seg", "dev+entropy", "dev", "seg"] = "dev+entropy+seg",
        seg_topk: Share = 0.01,
        maps: Literal["gradient", "segmentation", "none"] = "gradient",
        margin: PositiveFloat = 10.0,
        topk: Share = 0.1,
        alpha: float = 0.1,
        lam: PositiveFloat = 0.1,
        burn_in: UnitInterval = 0.06,
    ) -> None:
        self.backbone, self.size, self.batch, self.textures = backbone, size, batch, textures
        self.epochs, self.steps_per_epoch, self.steps = epochs, steps_per_epoch, epochs * steps_per_epoch
        self.lr, self.weight_decay, self.clip = lr, weight_decay, clip
        self.margin, self.topk, self.alpha, self.lam = margin, topk, alpha, lam
        self.burn_in = int(burn_in * self.steps)
        self.labelled_share, self.cues, self.seg_topk, self.maps = labelled_share, cues, seg_topk, maps

    def fit(self, train: Images) -> None:
        known = self.labelled is not None and len(self.labelled) > 0
        self.known = PixelRows(self.labelled, self.shrink) if known and self.labelled is not None else None
        #: Labelled anomalies in a mini-batch.
        self.share = max(1, int(self.labelled_share * self.batch)) if known else 0
        super().fit(train)
        if not known:
            self.notes += ("no labelled anomalies: trained as adl is",)
        with torch.no_grad():
            found = [self.cues_of(self.feed(pixels))[:n] for pixels, n in self.parts(self.pictures)]
        self.middle, self.spread = centre_and_spread(torch.cat(found))

    def mini_batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return images, masks and labels of a step as `adl` does; the last images are labelled anomalies."""
        pictures, masks, labels = super().mini_batch(step)
        if self.known is None:
            return pictures, masks, labels
        rows = endless_rows(len(self.known), self.share, step, self.seed, "labelled")
        drawn = generator_for(self.seed, "turn", step)
        real = rotate_some(self.known[np.asarray(rows)].float(), 1.0, DEGREES, drawn)
        nothing = torch.zeros_like(masks[: self.share])
        return torch.cat([pictures[: -self.share], real]), torch.cat([masks[: -self.share], nothing]), labels

    def loss(self, step: int) -> torch.Tensor:
        """Return the loss of a step."""
        pictures, masks, labels = self.mini_batch(step)
        return self.loss_of(self.model(self.feed(pictures)), masks, labels, step, self.share)

    def cues_of(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the chosen cues (b, c) of the network's inputs (b, 3, s, s)."""
        out = self.model(inputs)
        every = {
            "dev": lambda: out.score,
            "entropy": lambda: entropy(out.probability),
            "seg": lambda: mean_of_highest(out.mask[:, 1], self.seg_topk),
        }
        return torch.stack([every[name]() for name in self.cues.split("+")], 1)

    def of_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return scores (b,) of the network's inputs (b, 3, s, s)."""
        return ((self.cues_of(inputs) - self.middle) / self.spread).sum(1)

    def score(self, test: Images) -> Scores:
        parts = (self._part(pixels, n) for pixels, n in self.parts(PixelRows(test, self.shrink)))
        if self.maps == "none":
            return Scores(torch.cat([scores for scores, _ in parts]))
        return Scores.streamed(parts)

    def _part(self, pixels: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores (n,) of a part, and its maps (n, s, s), if they are wanted."""
        inputs = self.feed(pixels)
        if self.maps == "gradient":
            inputs = inputs.requires_grad_()
            scores = self.of_inputs(inputs)
            (gradient,) = torch.autograd.grad(scores.sum(), inputs)
            return scores.detach()[:n], explained_gradient(gradient[:n])
        with torch.no_grad():
            scores = self.of_inputs(inputs)
            return scores[:n], self.model(inputs).mask[:n, 1] if self.maps == "segmentation" else scores[:0]


def entropy(probability: torch.Tensor) -> torch.Tensor:
    """Return -p ln p - (1 - p) ln (1 - p) of probabilities (b,); 0 at 0 and at 1."""
    return torch.special.entr(probability) + torch.special.entr(1 - probability)


def centre_and_spread(cues: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return median and scaled median absolute deviation of cues (n, c), each (c,); 0 becomes 1."""
    middle = median(cues)
    spread = NORMAL * median((cues - middle).abs())
    return middle, torch.where(spread > 0, spread, torch.ones_like(spread))


def median(values: torch.Tensor) -> torch.Tensor:
    """Return the median of each column of values (n, c); between the two middle ones where n is even."""
    ordered = values.sort(0).values
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2
