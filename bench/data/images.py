"""Images: the only handle on images that a method ever gets, a view of sources without labels.

A method asks its `Images` for what it needs (features, feature_maps, batches of pixels, a sub-view, a join);
the harness decides where that comes from. Views of many tasks share one source, so that what was computed
for one is there for all.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.core.errors import DataError
from bench.data.source import Pixels, Source

if TYPE_CHECKING:
    import torch

    from bench.data.resize import InputView


#: Height and width in pixels, or a function that resizes images (b, 3, h, w).
Resizing = tuple[int, int] | Callable[["torch.Tensor"], "torch.Tensor"]
#: Reads rows of a source into one tensor a layer.
Read = Callable[[Source, NDArray[np.int64]], "dict[str, torch.Tensor]"]

# Images hold tickets, not sources: a source of files knows paths such as ``test/scratch/003.png``, from which
# a method could read a label.
_OPEN: weakref.WeakValueDictionary[int, Source] = weakref.WeakValueDictionary()
_TICKETS: weakref.WeakKeyDictionary[Source, int] = weakref.WeakKeyDictionary()
_NEXT = itertools.count()


def _ticket(source: Source) -> int:
    if source not in _TICKETS:
        _TICKETS[source] = next(_NEXT)
        _OPEN[_TICKETS[source]] = source
    return _TICKETS[source]


class TrainableNetwork(Protocol):
    """A backbone's own network with its weights, to be trained: `bench.Trainable`."""

    module: torch.nn.Module

    def thaw(self, first: int) -> dict[str, torch.nn.Parameter]: ...

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor: ...

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor: ...


class Provider(Protocol):
    """What turns rows of a source into tensors; the runner binds one to the images of a cell."""

    device: torch.device

    def features(self, source: Source, rows: NDArray[np.int64], backbone: str) -> torch.Tensor: ...

    def feature_maps(
        self, source: Source, rows: NDArray[np.int64], backbone: str, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]: ...

    def pixels(self, source: Source, rows: NDArray[np.int64], size: Resizing | None) -> torch.Tensor: ...

    def network(self, backbone: str) -> TrainableNetwork: ...

    def view(self, source: Source, row: int, backbone: str) -> InputView: ...


class Images:
    """A view of `n` images: which source, which row.

    Made by data set adapters with `Images.of`; methods take sub-views (``images[rows]``) and joins
    (``a + b``), which cost nothing and share every computed feature.
    """

    __slots__ = ("_provider", "_rows", "_tickets", "_which")

    def __init__(
        self,
        tickets: tuple[int, ...],
        which: NDArray[np.uint8],
        rows: NDArray[np.int64],
        provider: Provider | None = None,
    ) -> None:
        self._tickets, self._which, self._rows, self._provider = tickets, which, rows, provider

    @classmethod
    def of(cls, source: Source, rows: ArrayLike | None = None) -> Images:
        """View the given rows of one source (all of them by default)."""
        picked = np.arange(len(source)) if rows is None else np.asarray(rows)
        if picked.dtype == np.bool_:
            if len(picked) != len(source):
                raise IndexError(
                    f"expected a mask of length {len(source)} for {source.name}, got {len(picked)}"
                )
            picked = np.flatnonzero(picked)
        if picked.size and picked.dtype.kind not in "iu":
            raise IndexError(f"expected row numbers or a boolean mask, got {picked.dtype} values")
        picked = picked.astype(np.int64)
        if picked.size and (picked.min() < 0 or picked.max() >= len(source)):
            raise IndexError(f"rows of {source.name} run from 0 to {len(source) - 1}")
        return cls((_ticket(source),), np.zeros(len(picked), np.uint8), picked)

    def bind(self, provider: Provider) -> Images:
        """Return the same view, able to compute (on the provider's device)."""
        return Images(self._tickets, self._which, self._rows, provider)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Images(n={len(self)})"

    def __getitem__(self, rows: slice | ArrayLike) -> Images:
        """Return a sub-view: a slice, integer positions, or a boolean mask of length n."""
        if not isinstance(rows, slice):
            rows = np.atleast_1d(np.asarray(rows))
            if rows.size == 0:
                rows = rows.astype(np.int64)
            if rows.dtype.kind not in "iub":
                raise IndexError(f"expected a slice, integers or a boolean mask, got {rows.dtype} values")
        return Images(self._tickets, self._which[rows], self._rows[rows], self._provider)

    def __add__(self, other: Images) -> Images:
        tickets = list(self._tickets)
        for ticket in other._tickets:
            if ticket not in tickets:
                tickets.append(ticket)
        renumbered = np.array([tickets.index(ticket) for ticket in other._tickets], np.uint8)
        return Images(
            tuple(tickets),
            np.concatenate([self._which, renumbered[other._which]]),
            np.concatenate([self._rows, other._rows]),
            self._provider or other._provider,
        )

    def distinct(self) -> Images:
        """Return the same view with each row of each source once, in order of first appearance."""
        pairs = np.stack([self._which.astype(np.int64), self._rows], 1)
        first = np.sort(np.unique(pairs, axis=0, return_index=True)[1])
        return self[first]

    def sealed(self) -> tuple[Images, Source]:
        """Return the same images as a view that hides where each comes from, and the source behind it.

        The rows of a contaminated train set would give its anomalies away: they come from the test set, say.
        The sealed view knows positions only; the task must keep the returned source, which knows the rest.
        """
        inside = SealedView(self)
        return Images((_ticket(inside),), np.zeros(len(self), np.uint8), np.arange(len(self))), inside

    @property
    def device(self) -> torch.device:
        """The device on which features, feature_maps and batches arrive."""
        return self._bound().device

    def features(self, backbone: str) -> torch.Tensor:
        """Return pooled feature vectors, shape (n, d), float32, on the device, from the feature store.

        Raises
        ------
        BackboneError
            The backbone is unknown, or its weights are missing or not what they should be.
        DataError
            An image cannot be decoded.
        """
        provider = self._bound()
        return self._gather(lambda source, rows: {"": provider.features(source, rows, backbone)})[""]

    def feature_maps(self, backbone: str, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the feature maps of the named layers, each of shape (n, c, h, w), float32, on the device.

        Raises
        ------
        BackboneError
            As for `features`; also an unknown layer (the message lists the layers), or a backbone
            without maps (``pixels``, ``hog``).
        """
        provider = self._bound()
        return self._gather(lambda source, rows: provider.feature_maps(source, rows, backbone, layers))

    def batches(
        self,
        batch_size: int,
        *,
        size: Resizing | None = None,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        shuffle: int | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield pixels in batches of shape (b, 3, h, w), uint8, on the device.

        Parameters
        ----------
        batch_size : int
            Images per batch; the last batch may be smaller.
        size : (int, int) or callable, optional
            Height and width in pixels to resize to (bilinear, antialiased), or a function that brings
            images (b, 3, h, w), uint8, to one size. Needed where the images differ in size.
        transform : callable, optional
            Applied to each batch on the device.
        shuffle : int, optional
            Seed of the order; without it the order is the view's.
        """
        provider = self._bound()
        order = (
            np.arange(len(self)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(self))
        )
        for start in range(0, len(self), batch_size):
            part = self[order[start : start + batch_size]]
            batch = part._gather(lambda source, rows: {"": provider.pixels(source, rows, size)})[""]
            yield batch if transform is None else transform(batch)

    def network(self, backbone: str) -> TrainableNetwork:
        """Return the backbone's network with its weights, a copy of one's own, to be trained on the device.

        Raises
        ------
        BackboneError
            The backbone is unknown, is no network, or its weights are missing or not what they should be.
        """
        return self._bound().network(backbone)

    def view(self, backbone: str) -> InputView:
        """Return the size of a backbone's input, and which part of an image it shows.

        It is that of the first image. Others differ only where images of several proportions are resized by
        their shorter side.

        Raises
        ------
        BackboneError
            As for `features`.
        DataError
            There is no image, or it cannot be decoded.
        """
        provider = self._bound()
        if not len(self):
            raise DataError("there are no images; expected at least one")
        source, row = self._source(int(self._which[0])), int(self._rows[0])
        while isinstance(source, SealedView):
            inner = source.images
            source, row = inner._source(int(inner._which[row])), int(inner._rows[row])
        return provider.view(source, row, backbone)

    def _bound(self) -> Provider:
        if self._provider is None:
            raise RuntimeError("these images are not bound to a feature provider: call .bind(provider) first")
        return self._provider

    def _gather(self, read: Read) -> dict[str, torch.Tensor]:
        """Read rows source by source, all layers at once, and put them back into the view's order."""
        import torch

        used = np.unique(self._which)
        if len(used) <= 1:
            return _read_from(self._source(int(used[0]) if len(used) else 0), self._rows, read)
        out: dict[str, torch.Tensor] = {}
        for which in used:
            at = np.flatnonzero(self._which == which)
            for layer, part in _read_from(self._source(int(which)), self._rows[at], read).items():
                if layer not in out:
                    out[layer] = part.new_empty((len(self), *part.shape[1:]))
                out[layer][torch.from_numpy(at).to(part.device)] = part
        return out

    def _source(self, which: int) -> Source:
        source = _OPEN.get(self._tickets[which])
        if source is None:
            raise RuntimeError("the task that these images came from has been closed: keep the Task alive")
        return source


class SealedView(Source):
    """A view under another name: see `Images.sealed`. Providers never meet it."""

    def __init__(self, images: Images) -> None:
        self.name, self.fingerprint, self.images = "sealed", "", images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        raise NotImplementedError("a sealed view is read through its sources")


def _read_from(source: Source, rows: NDArray[np.int64], read: Read) -> dict[str, torch.Tensor]:
    return source.images[rows]._gather(read) if isinstance(source, SealedView) else read(source, rows)
