"""SoftPatch: PatchCore that leaves out and weighs down noisy training patches (Jiang et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch

from bench import (
    Images,
    Method,
    NonNegativeFloat,
    Patches,
    PositiveInt,
    Scores,
    Share,
    UnitInterval,
    anomaly_maps,
    as_rows,
    concatenated,
    generator_for,
    greedy_coreset,
    nearest,
    pooled,
    random_projection,
)

#: Places judged at a time, so that their distances take little memory.
PLACES_BYTES = 2**27


class SoftPatch(Method):
    """Distance to the nearest patch of a coreset, times that patch's own noisiness.

    At each place of the image, a discriminator compares the training images' patches with each other. The
    noisiest share of all patches cannot enter the bank; the others keep their noisiness as a weight.

    Parameters
    ----------
    layers, coreset, embedding, projection, sigma
        As in ``patchcore``; the discriminator judges the random projections.
    discriminator : {"lof", "nearest", "gaussian"}
        Local outlier factor, about 1 for inliers whatever the scale; or 1 plus the distance to the nearest
        other image; or 1 plus the Mahalanobis distance to all images' patches at that place.
    neighbours : int
        k of the local outlier factor: 6 in the authors' runs; clamped to one less than the training images.
    noise : float
        Share of the patches that are left out.
    weights : bool
        Whether to multiply distances by the bank's weights.
    compat : bool
        The authors' code chooses the first patch of the bank before it leaves noisy ones out, so that the
        most extreme patch, typically an outlier, is always in the bank. Here only with ``compat=true``.

    Notes
    -----
    The share of the coreset counts all patches, noisy ones included, as in the code. Scores are squared
    distances times weights, the image's score is its largest. To the mean reachability of the outlier factor
    we add a millionth of the place's mean distance, so that copies of one patch do not make it infinite.

    References
    ----------
    Jiang, Zhang, Wang, Chen, Wang, Zhang, "SoftPatch: Unsupervised Anomaly Detection with Noisy Data",
    NeurIPS 2022, sections 3.2 to 3.4.
    """

    stochastic = True
    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "layer2+layer3",
        discriminator: Literal["lof", "nearest", "gaussian"] = "lof",
        coreset: Share = 0.1,
        neighbours: PositiveInt = 6,
        noise: UnitInterval = 0.15,
        weights: bool = True,
        compat: bool = False,
        embedding: Literal["pooled", "concatenated"] = "pooled",
        projection: PositiveInt = 128,
        sigma: NonNegativeFloat = 4.0,
    ) -> None:
        self.patches = Patches(backbone, layers, pooled if embedding == "pooled" else concatenated)
        self.backbone, self.coreset, self.neighbours, self.noise = backbone, coreset, neighbours, noise
        self.discriminator, self.weighs, self.compat = discriminator, weights, compat
        self.projection, self.sigma = projection, sigma

    def fit(self, train: Images) -> None:
        generator = generator_for(self.seed, "coreset")
        matrix = random_projection(self.patches.width(train), self.projection, generator)
        rows = self.patches.rows(train, matrix)
        noisiness = self.judge(rows.view(len(train), -1, self.projection))
        limit = noisiness.flatten().kthvalue(max(1, round((1 - self.noise) * noisiness.numel()))).values
        clean = (noisiness <= limit).flatten().cpu()
        start = torch.randperm(len(rows), generator=generator)[:10]
        picks = self.choose(rows, clean, start)
        self.bank = self.patches.pick(train, picks)
        self.weight = noisiness.flatten()[picks.to(rows.device)]

    def choose(self, rows: torch.Tensor, clean: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the patches in the bank."""
        count = max(1, int(self.coreset * len(rows)))
        if not self.compat:
            count = min(count, int(clean.sum()))
            return greedy_coreset(rows, count, start=start, allowed=clean, progress=self.progress)
        first = int(greedy_coreset(rows, 1, start=start)[0])
        clean = clean.clone()
        clean[first] = True
        count = min(count, int(clean.sum()))
        return greedy_coreset(rows, count, first=first, start=start, allowed=clean, progress=self.progress)

    def judge(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the noisiness (n, places) of the patches (n, places, d) of n images."""
        n, places, d = rows.shape
        if n == 1:
            return torch.ones((1, places), device=rows.device)
        judges: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "lof": lambda some: local_outlier_factors(some, min(self.neighbours, n - 1)),
            "nearest": lambda some: 1 + _apart(some).amin(2),
            "gaussian": lambda some: 1 + _mahalanobis(some),
        }
        step = max(1, PLACES_BYTES // (8 * max(n * n, d * d, n * d)))
        parts = [
            judges[self.discriminator](rows[:, at : at + step].transpose(0, 1).double())
            for at in range(0, places, step)
        ]
        return torch.cat(parts).T.float()

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, (view.height, view.width)), covers=view.covers)

    def _parts(self, test: Images, size: tuple[int, int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for maps in self.patches.maps(test):
            found = nearest(as_rows(maps), self.bank, 1)
            each = found.distances[:, 0]
            each = each * self.weight[found.indices[:, 0]] if self.weighs else each
            scores = each.view(len(maps), *maps.shape[2:])
            yield scores.amax((1, 2)), anomaly_maps(scores, size, sigma=self.sigma)


def local_outlier_factors(rows: torch.Tensor, k: int) -> torch.Tensor:
    """Return the local outlier factor of each point among the others of its group (Breunig et al., 2000).

    Parameters
    ----------
    rows : Tensor, shape (groups, n, d), float64
    k : int
        Neighbours, below n.

    Returns
    -------
    Tensor, shape (groups, n)
    """
    apart = _apart(rows)
    near, at = apart.topk(k, dim=2, largest=False, sorted=True)
    reach = torch.maximum(near, near[:, :, -1].gather(1, at.flatten(1)).view_as(near))
    # Without it copies of one point would be infinitely dense.
    spare = 1e-6 * near.mean((1, 2)) + 1e-100
    density = 1 / (reach.mean(2) + spare[:, None])
    return density.gather(1, at.flatten(1)).view_as(near).mean(2) / density


def _apart(rows: torch.Tensor) -> torch.Tensor:
    """Return the distances (groups, n, n) within each group; a point is infinitely far from itself."""
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.diagonal_scatter(apart.new_full(apart.shape[:2], torch.inf), dim1=1, dim2=2)


def _mahalanobis(rows: torch.Tensor) -> torch.Tensor:
    """Return the distance (groups, n) of each point to its group's Gaussian; 0.01 I as in PaDiM."""
    centred = rows - rows.mean(1, keepdim=True)
    covariance = centred.mT @ centred / (rows.shape[1] - 1)
    covariance.diagonal(dim1=1, dim2=2).add_(0.01)
    solved = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred.mT, upper=False)
    return solved.square().sum(1).sqrt()
