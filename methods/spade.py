"""SPADE: the nearest training images, then their nearest patches (Cohen and Hoshen, 2020)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench import (
    Images,
    Method,
    NonNegativeFloat,
    Patches,
    PositiveInt,
    Scores,
    anomaly_maps,
    as_rows,
    nearest,
)


class SPADE(Method):
    """Mean distance of an image to its nearest training images, and of its patches to theirs.

    The map compares each place of an image with all places of the same layer in the nearest training images;
    layers are resized to the network's input and averaged.

    Parameters
    ----------
    layers : str
        Layers joined by ``+``, of which maps are made.
    neighbours : int
        K: training images, for the score and as the gallery of the map; 50 in the paper, clamped to the
        training images.
    sigma : float
        Of the Gaussian that smooths maps, in pixels of the network's input.

    Notes
    -----
    Images are compared by the backbone's pooled features. Third-party code walks through the gallery in
    blocks of 100 patches and drops the rest of layer3; here the whole gallery is searched.

    References
    ----------
    Cohen, Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid Correspondences", arXiv 2005.02357, sections
    3.1 to 3.3; equation 2.
    """

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "layer1+layer2+layer3",
        neighbours: PositiveInt = 50,
        sigma: NonNegativeFloat = 4.0,
    ) -> None:
        self.patches = Patches(backbone, layers, lambda maps: maps[0])
        self.backbone, self.neighbours, self.sigma = backbone, neighbours, sigma

    def fit(self, train: Images) -> None:
        self.train, self.bank = train, train.features(self.backbone)

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, (view.height, view.width)), covers=view.covers)

    def _parts(self, test: Images, size: tuple[int, int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        found = nearest(test.features(self.backbone), self.bank, min(self.neighbours, len(self.bank)))
        for number, rows in enumerate(found.indices.cpu()):
            maps = self.correspondence(test[[number]], self.train[rows.numpy()], size)
            yield found.distances[number : number + 1].sqrt().mean(1), maps

    def correspondence(self, image: Images, gallery: Images, size: tuple[int, int]) -> torch.Tensor:
        """Return the map (1, height, width) of one image against a gallery of training images."""
        layers = []
        for layer in self.patches.layers:
            own = image.feature_maps(self.backbone, [layer])[layer]
            bank = as_rows(gallery.feature_maps(self.backbone, [layer])[layer])
            apart = nearest(as_rows(own), bank, 1).distances[:, 0].sqrt()
            layers.append(anomaly_maps(apart.view(1, *own.shape[2:]), size, sigma=self.sigma))
        return torch.stack(layers).mean(0)
