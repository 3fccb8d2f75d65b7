"""PatchCore: distance of patches to a coreset of all training patches (Roth et al., 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch

from bench import (
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    Patches,
    PositiveInt,
    Scores,
    Share,
    anomaly_maps,
    as_rows,
    concatenated,
    generator_for,
    greedy_coreset,
    nearest,
    pooled,
    random_projection,
)


class PatchCore(Method):
    """Distance of each patch to the nearest of a memory bank; an image's score is that of its worst patch.

    The bank is a greedy k-centre coreset of all patch embeddings of the training images (section 3.2), chosen
    among random projections of them.

    Parameters
    ----------
    layers : str
        Layers joined by ``+``, the finest grid first.
    embedding : {"pooled", "concatenated"}
        ``pooled``: neighbourhoods of 3 x 3 pooled to 1024 numbers, as in the authors' code; ``concatenated``:
        their means, all channels of all layers, as in anomalib.
    coreset : float
        Share of the patches in the bank, above 0; with 1 there is nothing to choose. ``int(coreset * n)``
        patches, at least one.
    neighbours : int
        Distances averaged a patch; clamped to the bank.
    reweight : int
        b of equation 7: an image's score is its largest patch distance times 1 - softmax over the distances
        to the b patches of the bank nearest to the matched one. 0 or 1: no weight, as in the authors' code.
    init : {"mean10", "random"}
        Where the greedy choice starts: every patch at its mean distance to 10 random patches, which are not
        in the bank, as in the authors' code (a patch is never farther than that, so it is not pure k-centre);
        or with a random patch of the bank, as in anomalib, which is within twice the optimal radius.
    projection : int
        Dimensions in which the coreset is chosen; 0: the embeddings themselves. 128 in the code; anomalib
        projects sparsely to some 300.
    distance : {"euclidean", "squared"}
        As in the paper and anomalib, or squared, as faiss returns them to the authors' code. Without
        `reweight` both rank images alike; smoothed maps differ.
    sigma : float
        Of the Gaussian that smooths maps, in pixels of the network's input.
    upsampling : {"bilinear", "nearest"}
        Of maps; ``nearest`` is anomalib's.

    Notes
    -----
    The published 99.2 % (image AUROC, MVTec AD) has ``reweight=0,distance=squared`` and WideResNet50-2 at
    256 px cropped to 224. The authors' ensembles scale scores by those of the test set, which is not offered.

    anomalib 2.7 is ``embedding=concatenated,init=random,upsampling=nearest``, but for two things: the map's
    border is smoothed as SciPy does (anomalib's does not repeat the edge; AUPRO moves by 0.001 points), and
    its sparse projection to some 300 numbers draws other banks, as another seed does. Given one bank, scores
    and maps are the same by rounding (``docs/localisation.md``).

    References
    ----------
    Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards Total Recall in Industrial Anomaly Detection",
    CVPR 2022, algorithm 1 and equations 5 to 7.
    """

    stochastic = True
    deterministic_with: ClassVar = {"coreset": 1.0}
    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "layer2+layer3",
        coreset: Share = 0.1,
        neighbours: PositiveInt = 1,
        reweight: NonNegativeInt = 9,
        init: Literal["mean10", "random"] = "mean10",
        embedding: Literal["pooled", "concatenated"] = "pooled",
        projection: NonNegativeInt = 128,
        distance: Literal["euclidean", "squared"] = "euclidean",
        sigma: NonNegativeFloat = 4.0,
        upsampling: Literal["bilinear", "nearest"] = "bilinear",
    ) -> None:
        self.patches = Patches(backbone, layers, pooled if embedding == "pooled" else concatenated)
        self.backbone, self.coreset, self.neighbours, self.reweight = backbone, coreset, neighbours, reweight
        self.init, self.projection, self.distance = init, projection, distance
        self.sigma, self.upsampling = sigma, upsampling

    def fit(self, train: Images) -> None:
        if self.coreset == 1:
            self.bank = self.patches.rows(train)
            return
        self.bank = self.patches.pick(train, self.choose(train))

    def choose(self, train: Images) -> torch.Tensor:
        """Return the numbers of the patches in the bank, (m,), in the order in which they are chosen."""
        generator, matrix = generator_for(self.seed, "coreset"), None
        if self.projection:
            matrix = random_projection(self.patches.width(train), self.projection, generator)
        rows = self.patches.rows(train, matrix)
        order = torch.randperm(len(rows), generator=generator)
        start = {"first": int(order[0])} if self.init == "random" else {"start": order[:10]}
        count = max(1, int(self.coreset * len(rows)))
        return greedy_coreset(rows, count, progress=self.progress, **start)

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, view.height, view.width), covers=view.covers)

    def _parts(self, test: Images, height: int, width: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for maps in self.patches.maps(test):
            distances, image = self.judge(maps)
            yield (
                image,
                anomaly_maps(distances, (height, width), sigma=self.sigma, interpolation=self.upsampling),
            )

    def judge(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the distances of patches, (b, h, w), and the scores of images, (b,), for embeddings."""
        b, _, h, w = maps.shape
        rows = as_rows(maps)
        found = nearest(rows, self.bank, min(self.neighbours, len(self.bank)))
        distances = found.distances if self.distance == "squared" else found.distances.sqrt()
        patches = distances.mean(1).view(b, h * w)
        worst = patches.argmax(1)
        image = patches.gather(1, worst[:, None])[:, 0]
        if self.reweight > 1:
            at = torch.arange(b, device=rows.device) * h * w + worst
            image = image * self.weights(rows[at], found.indices[at, 0])
        return patches.view(b, h, w), image

    def weights(self, patches: torch.Tensor, matched: torch.Tensor) -> torch.Tensor:
        """Return w of equation 7, (b,), for patches (b, c) and their nearest in the bank (b,)."""
        # The matched one itself is among them, or others equal to it.
        near = nearest(self.bank[matched], self.bank, min(self.reweight, len(self.bank))).indices
        if near.shape[1] < 2:
            return torch.ones(len(patches), device=patches.device)
        own = (self.bank[matched] - patches).norm(dim=1)
        every = (self.bank[near] - patches[:, None]).norm(dim=2)
        return 1 - (own - every.logsumexp(1)).exp()
