"""Patch k-NN: distance of patches to all training patches; AnomalyDINO for tokens (Damm et al., 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch.nn import functional as F

from bench import (
    Images,
    Method,
    NonNegativeFloat,
    Patches,
    PositiveInt,
    Scores,
    Share,
    anomaly_maps,
    as_rows,
    concatenated,
    mean_of_highest,
    nearest,
)

#: A larger bank is kept in float16.
BANK_BYTES = 2**31


class PatchKNN(Method):
    """Distance of each patch to its nearest among all patches of the training images; no coreset.

    With the tokens of a DINOv2 transformer and the defaults it is AnomalyDINO on all images. Grids may be
    rectangular.

    Parameters
    ----------
    layers : str
        Layers joined by ``+``, the finest grid first. ``norm``: the last tokens of a timm transformer, as in
        the paper.
    metric : {"cosine", "euclidean"}
        1 - cosine, which the authors' code computes as half the squared distance of unit vectors; or the
        Euclidean distance.
    neighbours : int
        Distances averaged a patch; clamped to the bank.
    neighbourhood : int
        Side of the square over which embeddings are averaged, odd; 1 for tokens, 3 in PatchCore.
    highest : float
        An image's score is the mean of this share of its largest patch distances: ``int(highest * n)``, at
        least one.
    mask : bool
        Score patches of the background 0, as the paper does for some objects: where the first principal
        component of an image's own tokens is at most `mask_above`. If the centre of the image (without 20 %
        at each border) has at most 35 % foreground, the component is turned round. The foreground is dilated
        and its holes closed by squares of 3 x 3. Masked patches count in `highest`.
    mask_above : float
        10 in the authors' code, for the tokens of DINOv2.
    mask_references : bool
        Leave masked patches of training images out of the bank.
    sigma : float
        Of the Gaussian that smooths maps, in pixels of the network's input (of the original image in the
        authors' code, which also crops it at the bottom and the right to a multiple of the patches' side).

    Notes
    -----
    The principal component is computed exactly and its sign fixed; the authors' is a randomised solver's.
    Their few-shot banks have the training images in eight rotations, which is not offered.

    References
    ----------
    Damm, Laszkiewicz, Lederer, Fischer, "AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with
    DINOv2", WACV 2025, section 3.
    """

    layers_in = "layers"

    def __init__(
        self,
        backbone: str = "default",
        layers: str = "norm",
        metric: Literal["cosine", "euclidean"] = "cosine",
        neighbours: PositiveInt = 1,
        neighbourhood: Literal[1, 3, 5, 7] = 1,
        highest: Share = 0.01,
        mask: bool = False,
        mask_above: float = 10.0,
        mask_references: bool = False,
        sigma: NonNegativeFloat = 4.0,
    ) -> None:
        self.patches = Patches(backbone, layers, lambda maps: concatenated(maps, neighbourhood))
        self.backbone, self.metric, self.neighbours, self.highest = backbone, metric, neighbours, highest
        self.mask, self.mask_above, self.mask_references = mask, mask_above, mask_references
        self.sigma = sigma

    def fit(self, train: Images) -> None:
        self.notes, parts = (), []
        half = False
        for maps in self.patches.maps(train):
            if not parts:
                half = 4 * maps[0].numel() * len(train) > BANK_BYTES
            rows = as_rows(maps)
            if self.mask and self.mask_references:
                rows = rows[foreground(maps, self.mask_above).flatten()]
            parts.append(rows.half() if half else rows)
        self.bank = torch.cat(parts)
        if half:
            self.notes = (f"the bank's {len(self.bank)} patches are kept in float16, to spare memory",)

    def score(self, test: Images) -> Scores:
        view = test.view(self.backbone)
        return Scores.streamed(self._parts(test, (view.height, view.width)), covers=view.covers)

    def _parts(self, test: Images, size: tuple[int, int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for maps in self.patches.maps(test):
            distances = self.distances(maps)
            yield mean_of_highest(distances, self.highest), anomaly_maps(distances, size, sigma=self.sigma)

    def distances(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the distances of patches, (b, h, w), of embeddings (b, c, h, w)."""
        metric = "cosine" if self.metric == "cosine" else "sqeuclidean"
        found = nearest(as_rows(maps), self.bank, min(self.neighbours, len(self.bank)), metric=metric)
        each = found.distances if self.metric == "cosine" else found.distances.sqrt()
        distances = each.mean(1).view(len(maps), *maps.shape[2:])
        return distances * foreground(maps, self.mask_above) if self.mask else distances


def foreground(maps: torch.Tensor, above: float) -> torch.Tensor:
    """Return which places of embeddings (b, c, h, w) show the object, (b, h, w), bool."""
    found = torch.stack([_one_foreground(each, above) for each in maps])[:, None].float()
    dilated = F.max_pool2d(found, 3, 1, 1)
    # Closing: dilate, then erode; what lies beyond the border is no background.
    closed = -F.max_pool2d(-F.max_pool2d(dilated, 3, 1, 1), 3, 1, 1)
    return closed[:, 0] > 0.5


def _one_foreground(maps: torch.Tensor, above: float) -> torch.Tensor:
    c, h, w = maps.shape
    rows = maps.reshape(c, -1).T.double()
    rows = rows - rows.mean(0)
    direction = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
    direction = direction * direction[direction.abs().argmax()].sign()
    component = (rows @ direction).view(h, w)
    mask = component > above
    top, left = int(0.2 * h), int(0.2 * w)
    if mask[top : h - top, left : w - left].double().mean() <= 0.35:
        mask = -component > above
    return mask
