"""Truth: labels and images of a test set, kept beside the scores so that reports need no data.

Scores mean nothing without labels, and those of two tasks cannot be paired without knowing which of their
test images are the same. Both are kept once for each distinct test set, not in each record.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bench.core.checks import text
from bench.core.errors import ArchiveError
from bench.core.files import write_atomically

#: What reading a file of arrays raises where it is none.
NO_ARRAYS = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, EOFError, RuntimeError, MemoryError,
    RecursionError, OverflowError, SyntaxError, BadZipFile, zlib.error, struct.error,
)  # fmt: skip
#: Schema of a truth file.
TRUTH_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Truth:
    """Labels and images of one test set, in the order in which scores are kept.

    Attributes
    ----------
    labels : ndarray, shape (n,), uint8
        1 = anomalous.
    sources : tuple of str
        Fingerprints of the images' sources.
    which : ndarray, shape (n,), uint8
        Position in `sources` of each image's source.
    rows : ndarray, shape (n,), int64
        Row of each image in its source: two with the same fingerprint and row are one image.
    images : ndarray, shape (n,), uint64, or None
        The first eight bytes of a sha256 of each image's content: the same in every data set that shows it.
        None in files written before it was kept.
    types : tuple of str
        Names of the defect types or classes.
    type_of : ndarray, shape (n,), int32, or None
        Position in `types` of each image's; None in files written before it was kept.
    """

    labels: NDArray[np.uint8]
    sources: tuple[str, ...]
    which: NDArray[np.uint8]
    rows: NDArray[np.int64]
    images: NDArray[np.uint64] | None = None
    types: tuple[str, ...] = ()
    type_of: NDArray[np.int32] | None = None

    @property
    def identity(self) -> str:
        """Return the first 32 hexadecimal digits of a sha256 over all but the images' content and types."""
        digest = hashlib.sha256("/".join((str(TRUTH_VERSION), *self.sources)).encode())
        for part in (self.labels, self.which, self.rows.astype("<i8")):
            digest.update(b"\0" + part.tobytes())
        return digest.hexdigest()[:32]

    def to_bytes(self) -> bytes:
        """Return the file's bytes: always the same for the same truth."""
        packed = io.BytesIO()
        arrays: dict[str, Any] = {
            "schema": np.array(TRUTH_VERSION),
            "labels": self.labels,
            "sources": np.array(self.sources, np.str_),
            "which": self.which,
            "rows": self.rows,
        }
        if self.images is not None:
            arrays["images"] = self.images
        if self.type_of is not None:
            arrays |= {"types": np.array(self.types, np.str_), "type_of": self.type_of}
        np.savez_compressed(packed, **arrays)
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Truth:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArchiveError
            It is torn, something else, or of another schema.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                if int(arrays["schema"]) != TRUTH_VERSION:
                    raise ArchiveError(f"its schema is not version {TRUTH_VERSION}")
                found = cls(
                    labels=arrays["labels"],
                    sources=tuple(str(name) for name in arrays["sources"]),
                    which=arrays["which"],
                    rows=arrays["rows"],
                    images=arrays["images"] if "images" in arrays.files else None,
                    types=tuple(str(name) for name in arrays["types"]) if "types" in arrays.files else (),
                    type_of=arrays["type_of"] if "type_of" in arrays.files else None,
                )
                found._check()
                return found
        except NO_ARRAYS as error:
            raise ArchiveError(f"not the labels of a test set ({type(error).__name__}: {error})") from None

    def _check(self) -> None:
        """Raise ValueError unless there is a label, a source and a row for each image."""
        held: list[tuple[NDArray[Any], type[np.generic]]] = [
            (self.labels, np.uint8),
            (self.which, np.uint8),
            (self.rows, np.int64),
        ]
        held += [] if self.images is None else [(self.images, np.uint64)]
        held += [] if self.type_of is None else [(self.type_of, np.int32)]
        for values, kind in held:
            if values.dtype != kind or values.shape != (len(self.labels),):
                raise ValueError(f"{values.dtype} of shape {values.shape} for {len(self.labels)} labels")
        if (self.labels > 1).any() or (self.which >= len(self.sources)).any():
            raise ValueError("a label is neither 0 nor 1, or an image has no source")
        of = self.type_of
        if of is not None and len(of) and not 0 <= of.min() <= of.max() < len(self.types):
            raise ValueError("an image has no type")
        for name in self.types:
            text(name, "types")

    @property
    def anomalous_types(self) -> dict[str, NDArray[np.bool_]]:
        """Return which images are anomalous and of a type, by type in alphabetical order, if kept."""
        if self.type_of is None:
            return {}
        bad = self.labels == 1
        named = sorted((name, at) for at, name in enumerate(self.types))
        masks = {name: bad & (self.type_of == at) for name, at in named}
        return {name: mask for name, mask in masks.items() if mask.any()}


class Truths:
    """Truth files in one folder, each under its identity.

    Parameters
    ----------
    folder : Path
        It is made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Truth] = {}

    def read(self, name: str) -> Truth:
        """Return the truth of this identity.

        Raises
        ------
        ArchiveError
            It is not there, cannot be read, or is another one.
        """
        if name not in self._read:
            path = self.folder / f"{name}.npz"
            mend = "run the cells again with --fresh"
            try:
                truth = Truth.from_bytes(path.read_bytes())
            except OSError as error:
                raise ArchiveError(f"{path}: labels cannot be read ({error.strerror}); {mend}") from None
            except ArchiveError as error:
                raise ArchiveError(f"{path}: {error}; {mend}") from None
            if truth.identity != name:
                raise ArchiveError(f"{path}: labels are not those of the record; {mend}")
            self._read[name] = truth
        return self._read[name]

    def keep(self, truth: Truth) -> None:
        """Write a truth unless it is there and can be read; again, if only this one knows the types.

        Raises
        ------
        ArchiveError
            The folder cannot be written or the disk is full.
        """
        name = truth.identity
        try:
            known = self.read(name).type_of is not None or truth.type_of is None
        except ArchiveError:
            known = False
        if not known:
            write_atomically(self.folder / f"{name}.npz", truth.to_bytes())
            self._read[name] = truth
