"""Patch embeddings: one vector a place of an image, from the feature maps of several layers on one grid.

Images go through in chunks, and their maps come from the feature store where that has them, so that the
embeddings of a data set never lie in memory together unless a method asks for all of them.

References
----------
Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, section 3.1; Defard et al.,
"PaDiM", ICPR 2020, section III-A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional as F

from bench.core.errors import FitError
from bench.data.images import Images

#: Images whose maps are in memory at a time: the batch of a network on a CPU.
CHUNK = 16
#: Images unfolded at a time: nine copies of a map.
_UNFOLDED = 4

Maps = list[torch.Tensor]


class Patches:
    """The patch embeddings of images under one backbone.

    Parameters
    ----------
    backbone : str
    layers : str
        Names of layers joined by ``+``; the first has the finest grid.
    embed : callable
        Joins the maps of the layers, each (b, c, h, w), into one map (b, c', h', w'): `pooled`,
        `concatenated`, or a function of one's own.
    """

    def __init__(self, backbone: str, layers: str, embed: Callable[[Maps], torch.Tensor]) -> None:
        self.backbone, self.embed = backbone, embed
        self.layers = layer_names(layers)

    def maps(self, images: Images) -> Iterator[torch.Tensor]:
        """Yield the embeddings chunk by chunk, each (b, c, h, w), float32.

        Raises
        ------
        BackboneError
            A layer is unknown (the message lists the layers) or has no map.
        """
        for start in range(0, len(images), CHUNK):
            found = images[start : start + CHUNK].feature_maps(self.backbone, self.layers)
            yield self.embed([found[layer] for layer in self.layers])

    def rows(self, images: Images, project: torch.Tensor | None = None) -> torch.Tensor:
        """Return all embeddings as rows, in the order of images, then places: shape (n · h · w, c).

        Parameters
        ----------
        project : Tensor, shape (c, d), optional
            Multiply each by this matrix at once, so that only d numbers of each are kept.

        Raises
        ------
        FitError
            There are no images.
        """
        out, done = None, 0
        for maps in self.maps(images):
            rows = as_rows(maps)
            rows = rows if project is None else rows @ project.to(rows.device)
            if out is None:
                out = rows.new_empty((len(images) * maps[0, 0].numel(), rows.shape[1]))
            out[done : done + len(rows)] = rows
            done += len(rows)
        if out is None:
            raise FitError("there are no training images; expected at least one")
        return out

    def pick(self, images: Images, rows: torch.Tensor) -> torch.Tensor:
        """Return some rows of `rows(images)`, in the order given, computed anew chunk by chunk.

        Parameters
        ----------
        rows : Tensor, shape (m,), int64
            Numbers of rows, each once.
        """
        ordered, place = rows.cpu().sort()
        out, done = None, 0
        for maps in self.maps(images):
            size = len(maps) * maps[0, 0].numel()
            low, high = torch.searchsorted(ordered, torch.tensor([done, done + size])).tolist()
            if out is None:
                out = maps.new_empty((len(rows), maps.shape[1]))
            wanted = (ordered[low:high] - done).to(maps.device)
            out[place[low:high].to(maps.device)] = as_rows(maps)[wanted]
            done += size
        if out is None:
            raise FitError("there are no training images; expected at least one")
        return out

    def width(self, images: Images) -> int:
        """Return the length c of an embedding."""
        return next(iter(self.maps(images[:1]))).shape[1]


def layer_names(layers: str) -> list[str]:
    """Return the names of layers joined by ``+``.

    Raises
    ------
    FitError
        There are none, or one stands twice.
    """
    names = [name.strip() for name in layers.split("+")]
    if not all(names) or len(set(names)) < len(names):
        raise FitError(
            f"layers={layers!r}: expected different layers of the backbone joined by +, as layer2+layer3"
        )
    return names


def as_rows(maps: torch.Tensor) -> torch.Tensor:
    """Return maps (b, c, h, w) as rows (b · h · w, c), image by image.

    Examples
    --------
    >>> bench.as_rows(torch.zeros(2, 5, 3, 4)).shape
    torch.Size([24, 5])
    """
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def on_one_grid(maps: Sequence[torch.Tensor], mode: str = "bilinear") -> Maps:
    """Resize all maps to the grid of the first; ``nearest`` copies, ``bilinear`` aligns no corners.

    Examples
    --------
    >>> [tuple(maps.shape) for maps in bench.on_one_grid([torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4)])]
    [(1, 2, 8, 8), (1, 3, 8, 8)]
    """
    grid = maps[0].shape[-2:]
    align = {"align_corners": False} if mode == "bilinear" else {}
    return [m if m.shape[-2:] == grid else F.interpolate(m, grid, mode=mode, **align) for m in maps]


def concatenated(maps: Maps, neighbourhood: int = 3) -> torch.Tensor:
    """Return the means over each place's neighbourhood, all layers one after the other, as anomalib has them.

    Parameters
    ----------
    maps : list of Tensor, each (b, c, h, w)
    neighbourhood : int
        Side of the square in places, odd; beyond the border are zeros, which count.

    Examples
    --------
    >>> bench.concatenated([torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4)]).shape
    torch.Size([1, 5, 8, 8])
    """
    means = [F.avg_pool2d(m, neighbourhood, 1, neighbourhood // 2) for m in maps]
    return torch.cat(on_one_grid(means), 1)


def pooled(maps: Maps, dimensions: int = 1024, neighbourhood: int = 3) -> torch.Tensor:
    """Return embeddings of `dimensions` entries, whatever the layers' channels, as PatchCore's code has them.

    A place's neighbourhood of c channels is read as one vector of c · 9 entries, channel by channel, and its
    length is brought to `dimensions` by adaptive average pooling; the layers' vectors, one after the other,
    are then pooled to `dimensions` again.

    Parameters
    ----------
    maps : list of Tensor, each (b, c, h, w)
    dimensions, neighbourhood : int
        As in the paper 1024 and 3; beyond the border are zeros.

    Examples
    --------
    >>> bench.pooled([torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4)], dimensions=6).shape
    torch.Size([1, 6, 8, 8])
    """
    vectors = [_pooled_layer(m, dimensions, neighbourhood) for m in maps]
    # Bilinear resizing and pooling act on different axes, so that the smaller grid can be pooled first.
    joined = torch.cat(on_one_grid(vectors), 1)
    return _pool_channels(joined, dimensions)


def _pooled_layer(maps: torch.Tensor, dimensions: int, neighbourhood: int) -> torch.Tensor:
    parts = []
    for some in torch.split(maps, _UNFOLDED):
        flat = F.unfold(some, neighbourhood, padding=neighbourhood // 2)
        parts.append(_pool_channels(flat.view(len(some), -1, *maps.shape[-2:]), dimensions))
    return torch.cat(parts)


def _pool_channels(maps: torch.Tensor, dimensions: int) -> torch.Tensor:
    b, c, h, w = maps.shape
    vectors = maps.permute(0, 2, 3, 1).reshape(1, -1, c)
    shorter: torch.Tensor = F.adaptive_avg_pool1d(vectors, dimensions)
    return shorter.view(b, h, w, dimensions).permute(0, 3, 1, 2)


def random_projection(c: int, dimensions: int, generator: torch.Generator) -> torch.Tensor:
    """Return a random linear map (c, dimensions), uniform in ±1/√c, as PatchCore's code initialises it.

    Distances among embeddings keep their proportions (Johnson and Lindenstrauss), and with fewer numbers they
    are quicker to compute.

    Examples
    --------
    >>> bench.random_projection(100, 8, bench.generator_for(0, "projection")).shape
    torch.Size([100, 8])
    """
    uniform = torch.rand((c, dimensions), generator=generator) * 2 - 1
    return uniform / math.sqrt(c)
