"""PaDiM: a Gaussian of patch embeddings at each place of the image (Defard et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    Patches,
    PositiveFloat,
    PositiveInt,
    Scores,
    anomaly_maps,
    generator_for,
    on_one_grid,
)

#: Bytes of float64 sums at a time; places beyond that take another pass over the images.
SUMS_BYTES = 2**29
#: Places whose rows are in float64, or whose matrices are decomposed or solved, at a time.
_PART = 256


class PaDiM(Method):
    """Mahalanobis distance of each patch to the Gaussian of the training patches at its place.

    The covariance at a place is that of N images, divided by N - 1, plus a multiple of the identity, without
    which fewer images than dimensions have none.

    Parameters
    ----------
    layers : str
        Layers joined by ``+``, the finest grid first; the others are brought to it by copying values.
    dimensions : int
        Channels kept, drawn by the seed: 100 of ResNet-18's 448 in the paper, 550 of WideResNet50-2's 1792.
        All of them if there are fewer.
    ridge : float
        Multiple of the identity; 0.01 in the paper. anomalib adds a further 1e-5.
    sigma : float
        Of the Gaussian that smooths maps, in pixels of the network's input; an image's score is the maximum
        of its smoothed map.

    Notes
    -----
    The model takes places · dimensions² numbers: 164 MB for ResNet-18 at 256 px, 3.8 GB for WideResNet50-2
    with 550 dimensions at 224 px. The paper's third-party implementations scale maps by the minimum and the
    maximum of the test set, which leaks; not here. Their channels come from other generators.

    References
    ----------
    Defard, Setkov, Loesch, Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection
    and Localization", ICPR 2020 workshops, section III; equations 1 and 2.
    """

    stochastic = True
    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "layer1+layer2+layer3",
        dimensions: PositiveInt = 100,
        ridge: PositiveFloat = 0.01,
        sigma: NonNegativeFloat = 4.0,
    ) -> None:
        self.patches = Patches(backbone, layers, self.embed)
        self.backbone, self.dimensions, self.ridge, self.sigma = backbone, dimensions, ridge, sigma
        self.channels: torch.Tensor | None = None

    def embed(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Join the drawn channels of all layers, on the finest grid by copying values.

        They are drawn before they are copied: ResNet-18's 448 channels on that grid take four times as much.
        """
        if self.channels is not None:
            drawn, start = [], 0
            for each in maps:
                own = self.channels[(self.channels >= start) & (self.channels < start + each.shape[1])]
                drawn.append(each[:, (own - start).to(each.device)])
                start += each.shape[1]
            # The first one's grid counts even if none of its channels is drawn.
            maps = [drawn[0], *(each for each in drawn[1:] if each.shape[1])]
        return torch.cat(on_one_grid(maps, "nearest"), 1)

    def fit(self, train: Images) -> None:
        if not len(train):
            raise FitError("padim: there are no training images; expected at least one")
        self.channels = None
        c = self.patches.width(train)
        drawn = torch.randperm(c, generator=generator_for(self.seed, "channels"))[: self.dimensions]
        self.channels = drawn.sort().values
        first = next(self.patches.maps(train[:1]))
        d, places = first.shape[1], first[0, 0].numel()
        self.mean = torch.empty((places, d), dtype=torch.float64, device=first.device)
        self.factor = torch.empty((places, d, d), dtype=torch.float32, device=first.device)
        step = max(1, SUMS_BYTES // (8 * d * d))
        for start in range(0, places, step):
            self._estimate(train, slice(start, min(start + step, places)), first)

    def _estimate(self, train: Images, places: slice, first: torch.Tensor) -> None:
        """Set the mean and the Cholesky factor of the covariance at some places, in one pass."""
        n, d = len(train), first.shape[1]
        shift = by_place(first, places)[:, 0]  # sums of differences lose no digits
        total = torch.zeros_like(shift)
        squares = torch.zeros((len(shift), d, d), dtype=torch.float64, device=first.device)
        for maps in self.patches.maps(train):
            for at in range(0, len(shift), _PART):
                some = slice(at, min(at + _PART, len(shift)))
                rows = by_place(maps, slice(places.start + some.start, places.start + some.stop))
                rows.sub_(shift[some, None])
                total[some] += rows.sum(1)
                squares[some].baddbmm_(rows.mT, rows)
        mean = total / n
        covariance = squares.baddbmm_(mean[:, :, None], mean[:, None], alpha=-n).div_(max(1, n - 1))
        covariance.diagonal(dim1=1, dim2=2).add_(self.ridge)
        self.mean[places] = mean + shift
        for at in range(0, len(mean), _PART):
            factor = torch.linalg.cholesky(covariance[at : at + _PART]).float()
            self.factor[places.start + at : places.start + at + len(factor)] = factor

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, (view.height, view.width)), covers=view.covers)

    def _parts(self, test: Images, size: tuple[int, int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for maps in self.patches.maps(test):
            smooth = anomaly_maps(self.distances(maps), size, sigma=self.sigma)
            yield smooth.amax((1, 2)), smooth

    def distances(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the Mahalanobis distance at each place, (b, h, w), of embeddings (b, c, h, w)."""
        parts = []
        for at in range(0, len(self.factor), _PART):  # its copies take as much as the factors
            some = slice(at, at + _PART)
            away = (by_place(maps, some) - self.mean[some, None]).float()
            solved = torch.linalg.solve_triangular(self.factor[some], away.mT, upper=False)
            parts.append(solved.square().sum(1).sqrt())
        return torch.cat(parts).T.reshape(len(maps), *maps.shape[2:])


def by_place(maps: torch.Tensor, places: slice) -> torch.Tensor:
    """Return embeddings (b, c, h, w) at some places as (places, b, c), float64."""
    return maps.flatten(2)[:, :, places].permute(2, 0, 1).to(torch.float64, copy=True)
