"""Images as a user has them in Python: arrays, tensors, paths, PIL images; or rows of features."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError
from bench.data.folders import FileSource
from bench.data.images import Images, Resizing
from bench.data.source import ArraySource, Pixels, Source, to_rgb

if TYPE_CHECKING:
    import torch

EXPECTED = (
    "expected images: bytes of shape (n, h, w) or (n, h, w, 3), floats in [0, 1], a tensor (n, 3, h, w), a "
    "list of paths or of PIL images; or rows of features, shape (n, d)"
)


class PixelSource(Source):
    """Images in memory, of any sizes."""

    def __init__(self, name: str, images: Sequence[Pixels]) -> None:
        digest = hashlib.sha256()
        for pixels in images:
            digest.update(repr(pixels.shape).encode() + pixels.tobytes())
        self.name, self.fingerprint, self._images = name, digest.hexdigest(), images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        found = [self._images[int(row)] for row in rows]
        return np.stack(found) if len({each.shape for each in found}) == 1 else found


class GivenRows:
    """What stands in for a network where a user gives features: rows, whatever the backbone.

    Parameters
    ----------
    dtype : str
        Name of torch's type in which methods get them.
    """

    def __init__(self, dtype: str = "float32") -> None:
        import torch

        self.device = torch.device("cpu")
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._rows: dict[Source, torch.Tensor] = {}

    def images(self, name: str, rows: NDArray[Any]) -> tuple[Images, Source]:
        """Return images that have these features, and the source that keeps them alive."""
        import torch

        n = len(rows)
        source = ArraySource(name, hashlib.sha256(rows.tobytes()).hexdigest(), n, lambda: _no_pixels(n))
        self._rows[source] = torch.from_numpy(np.ascontiguousarray(rows)).to(self._dtype)
        return Images.of(source).bind(self), source

    def features(self, source: Source, rows: NDArray[np.int64], backbone: str) -> torch.Tensor:
        import torch

        del backbone
        return self._rows[source][torch.from_numpy(rows)]

    def feature_maps(self, source: Source, rows: Any, backbone: str, layers: Any) -> NoReturn:
        del source, rows, layers
        _refuse(f"maps of {backbone}")

    def pixels(self, source: Source, rows: Any, size: Resizing | None) -> NoReturn:
        del source, rows, size
        _refuse("pixels")

    def network(self, backbone: str) -> NoReturn:
        _refuse(f"the network {backbone}")

    def view(self, source: Source, row: int, backbone: str) -> NoReturn:
        del source, row
        _refuse(f"the input of {backbone}")


def _refuse(what: str) -> NoReturn:
    raise DataError(f"the method asks for {what}, but rows of features were given; give images")


def _no_pixels(n: int) -> Pixels:
    return np.zeros((n, 1, 1, 3), np.uint8)


def is_rows(given: Any) -> bool:
    """Return whether these are rows of features: two dimensions."""
    return getattr(given, "ndim", 0) == 2


def feature_rows(given: Any, what: str) -> NDArray[np.float64]:
    """Return rows of features as float64, shape (n, d).

    Raises
    ------
    DataError
        They are no finite real numbers.
    """
    rows = np.asarray(given.detach().cpu().numpy() if hasattr(given, "detach") else given)
    if rows.dtype.kind not in "biuf" or not np.isfinite(rows).all():
        raise DataError(f"{what}: expected finite real numbers as features, got {rows.dtype} with others")
    return rows.astype(np.float64)


def image_source(given: Any, what: str) -> Source:
    """Return a source of what a user calls images.

    Parameters
    ----------
    given : array, tensor or sequence
        See `EXPECTED`.
    what : str
        For messages: ``"train"``, ``"test"``.

    Raises
    ------
    DataError
        It is something else, there is nothing in it, or a file cannot be read.
    """
    if isinstance(given, (str, os.PathLike)):
        raise DataError(f"{what}: one path; {EXPECTED}")
    if hasattr(given, "detach"):
        given = np.asarray(given.detach().cpu().numpy())
    if isinstance(given, np.ndarray) and given.dtype != object:
        return PixelSource(what, list(_pixels(given, what)))
    try:
        items = list(given)
    except TypeError:
        raise DataError(f"{what}: {type(given).__name__}; {EXPECTED}") from None
    if items and all(isinstance(each, (str, os.PathLike)) for each in items):
        paths = [Path(os.path.abspath(each)) for each in items]  # noqa: PTH100
        root = Path(os.path.commonpath([path.parent for path in paths]))
        return FileSource(what, root, [path.relative_to(root).as_posix() for path in paths])
    if items and all(hasattr(each, "convert") for each in items):
        return PixelSource(what, [to_rgb(each) for each in items])
    if items and all(isinstance(each, np.ndarray) for each in items):
        return PixelSource(what, [_pixels(each[None], what)[0] for each in items])
    kinds = ", ".join(sorted({type(each).__name__ for each in items})) or "nothing"
    raise DataError(f"{what}: {kinds}; {EXPECTED}")


def _pixels(given: NDArray[Any], what: str) -> Pixels:
    """Return images as bytes (n, h, w, 3)."""
    held = given
    if held.ndim == 4 and held.shape[-1] not in (1, 3) and held.shape[1] in (1, 3):
        held = held.transpose(0, 2, 3, 1)
    if held.ndim == 3:
        held = held[..., None]
    if held.ndim != 4 or held.shape[-1] not in (1, 3) or not held.size:
        raise DataError(f"{what}: an array of shape {given.shape}; {EXPECTED}")
    if held.dtype.kind == "f":
        if not (held >= 0).all() or not (held <= 1).all():
            raise DataError(f"{what}: floats outside of [0, 1]; {EXPECTED}")
        held = np.rint(held * 255).astype(np.uint8)
    if held.dtype != np.uint8:
        raise DataError(f"{what}: an array of {held.dtype}; {EXPECTED}")
    return np.ascontiguousarray(np.broadcast_to(held, (*held.shape[:3], 3)))
