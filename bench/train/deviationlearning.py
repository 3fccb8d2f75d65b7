"""Deviation learning: scores near a normal prior for normal images, far from it for synthetic anomalies.

What `adl` and `multicue` share: mini-batches, losses, training of a `Pyramid`.

References
----------
Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination", WACV
2025, and the authors' code. Synthetic anomalies: Zavrtanik et al., "DRAEM", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import numpy as np
import torch
from torch.nn import functional as F

from bench.core.determinism import derive_seed
from bench.core.errors import FitError
from bench.data.images import Images
from bench.data.pixelrows import PixelRows, filled_parts
from bench.data.resize import resize, resize_plainly
from bench.features.restore import restored
from bench.features.trainable import Trainable
from bench.train.colours import change_colours
from bench.train.losses import deviation_loss, focal_loss, instance_weights, two_means
from bench.train.method import Method, Scores
from bench.train.pyramid import Pyramid, PyramidOutput
from bench.train.synthetic import procedural_textures, rotate_some, with_anomalies
from bench.train.training import endless_rows, generator_for, train_with_adam

#: Share of the images that are rotated, and the largest angle in degrees.
TURNED, DEGREES = 0.3, 90.0
#: Largest share of the image in the blend of a synthetic anomaly.
OPACITY = 0.8
#: Reference scores drawn from the prior for a mini-batch.
REFERENCES = 5000
#: Images a pass in scoring; the last pass is filled up, so that no score depends on the other images.
READ_BATCH = 16
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class DeviationLearning(Method):
    """A method that trains a `Pyramid` by deviation learning; see `adl` for what its attributes mean."""

    training_only = ("pictures", "patterns", "known")
    backbone: str
    size: int
    batch: int
    textures: str
    steps: int
    steps_per_epoch: int
    burn_in: int
    lr: float
    weight_decay: float
    clip: float
    margin: float
    topk: float
    alpha: float
    lam: float
    prior: Literal["drawn", "expected"] = "drawn"
    reweight: bool = True
    anneal: bool = False
    w_scale: Literal["code", "batch"] = "code"
    cluster_share: float = 0.6
    normalise: Literal["none", "imagenet"] = "none"
    resizing: Literal["plain", "antialiased"] = "plain"

    def fit(self, train: Images) -> None:
        self.notes = ()
        if self.size % 32:
            raise FitError(
                f"{type(self).__name__.lower()}: pictures of size={self.size} px; give a multiple of 32, "
                "the network's stride"
            )
        self.pictures = PixelRows(train, self.shrink)
        self.patterns = self.textures_of()
        self.model = self.build(cast("Trainable", train.network(self.backbone)))
        train_with_adam(
            self,
            self.model,
            self.loss,
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
            lr=self.lr,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )

    def build(self, net: Trainable) -> Pyramid:
        """Put the heads on a network, after restoring what it is missing."""
        last, notes = restored(net, self.pictures, self.feed, derive_seed(self.seed, "block 4"))
        self.notes += notes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "heads"))
            model = Pyramid(net, last, self.feed(self.pictures[np.arange(1)]), self.topk)
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
        """Return the loss of a step."""
        pictures, masks, pseudo = self.mini_batch(step)
        return self.loss_of(self.model(self.feed(pictures)), masks, pseudo, step)

    def loss_of(
        self, out: PyramidOutput, masks: torch.Tensor, pseudo: torch.Tensor, step: int, labelled: int = 0
    ) -> torch.Tensor:
        """Return the loss of a step: deviation, cross-entropy, segmentation.

        Parameters
        ----------
        out : PyramidOutput
            Of the network for n images.
        masks : Tensor, shape (n, 1, s, s)
        pseudo : Tensor, shape (n,)
            Labels, 1 = anomalous.
        step : int
        labelled : int
            The last so many are real anomalies: their label stays, and of their masks nothing is known.
        """
        known = len(pseudo) - labelled
        # As in the code, which never leaves a burn-in of 0 mini-batches.
        soft = 0 < self.burn_in < step
        mean, std = self.reference(step)
        certain = torch.cat([out.probability.detach()[:known], pseudo[known:]]) if soft else pseudo
        deviation = deviation_loss((out.score - mean) / std, certain, self.margin)
        clustered = torch.rand((), generator=generator_for(self.seed, "labels", step)) < self.cluster_share
        labels = torch.maximum(pseudo, two_means(out.score.detach())) if soft and clustered else pseudo
        # torch fails on NaN here (on a GPU for the rest of the process); the deviation passes it on.
        entropy = F.binary_cross_entropy(torch.nan_to_num(out.probability, 0.5), labels, reduction="none")
        weighted = [self.weights(each.detach(), step) * each for each in (deviation, entropy)]
        return weighted[0].mean() + weighted[1].mean() + focal_loss(out.mask[:known], masks[:known])

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
            for pixels, n in self.parts(pictures):
                out = self.model(self.feed(pixels))
                scores.append(out.score[:n])
                maps.append(out.mask[:n, 1])
        return Scores(torch.cat(scores), torch.cat(maps))

    @staticmethod
    def parts(pictures: PixelRows) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield the images in parts of one size, the last filled up, and how many of a part count."""
        for rows, count in filled_parts(len(pictures), READ_BATCH):
            yield pictures[rows], count
