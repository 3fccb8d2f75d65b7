"""What only the engine may know of a view: the sources and rows behind it, and its decoded pixels."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Images, SealedView
from bench.data.source import Pixels, Source


def decoded_image(images: Images, position: int) -> Pixels:
    """Return the pixels of one image of a view, shape (h, w, 3), uint8; no provider is needed.

    Raises
    ------
    DataError
        The image cannot be decoded.
    """
    source, row = images._source(int(images._which[position])), images._rows[position : position + 1]
    if isinstance(source, SealedView):
        return decoded_image(source.images, int(row[0]))
    return source.read(row)[0]


def image_name(images: Images, position: int) -> str:
    """Return what a message should call one image of a view: its path, or its source and row."""
    source, row = images._source(int(images._which[position])), int(images._rows[position])
    return image_name(source.images, row) if isinstance(source, SealedView) else source.where(row)


def images_identity(images: Images) -> str:
    """Return a sha256 (hex) of which images a view shows: the fingerprints of their sources and the rows."""
    digest = hashlib.sha256()
    for position in range(len(images)):
        source, row = images._source(int(images._which[position])), int(images._rows[position])
        if isinstance(source, SealedView):
            digest.update(images_identity(source.images[[row]]).encode())
        else:
            digest.update(f"{source.fingerprint}/{row}\0".encode())
    return digest.hexdigest()


def origins(images: Images) -> tuple[tuple[str, ...], NDArray[np.uint8], NDArray[np.int64]]:
    """Return where a view's images come from; two images are the same if source and row are.

    Returns
    -------
    fingerprints : tuple of str
        Of the sources.
    which : ndarray, shape (n,), uint8
        Position in `fingerprints` of each image's source.
    rows : ndarray, shape (n,), int64
        Row of each image in its source.
    """
    names: list[str] = []
    which, rows = np.zeros(len(images), np.uint8), np.zeros(len(images), np.int64)
    for each in np.unique(images._which):
        at = np.flatnonzero(images._which == each)
        source, held = images._source(int(each)), images._rows[at]
        inner: tuple[tuple[str, ...], NDArray[np.uint8], NDArray[np.int64]]
        if isinstance(source, SealedView):
            inner = origins(source.images[held])
        else:
            inner = ((source.fingerprint,), np.zeros(len(at), np.uint8), held)
        names += [name for name in inner[0] if name not in names]
        which[at] = np.array([names.index(name) for name in inner[0]], np.uint8)[inner[1]]
        rows[at] = inner[2]
    return tuple(names), which, rows


def contents(images: Images) -> NDArray[np.uint64]:
    """Return a number for the content of each image of a view, shape (n,): see `Source.contents`."""
    found = np.zeros(len(images), np.uint64)
    for each in np.unique(images._which):
        at = np.flatnonzero(images._which == each)
        source, held = images._source(int(each)), images._rows[at]
        if isinstance(source, SealedView):
            found[at] = contents(source.images[held])
        else:
            found[at] = source.contents(held)
    return found


def pieces(images: Images) -> list[tuple[Source, NDArray[np.int64]]]:
    """Return the sources of a view's images and, for each, the rows that the view shows."""
    found: list[tuple[Source, NDArray[np.int64]]] = []
    for each in np.unique(images._which):
        source, rows = images._source(int(each)), images._rows[images._which == each]
        found += pieces(source.images[rows]) if isinstance(source, SealedView) else [(source, rows)]
    return found


def pixel_digests(images: Images) -> list[bytes]:
    """Return the sha256 of each image's size and pixels: equal for equal pixels, whatever their files.

    Raises
    ------
    DataError
        An image cannot be decoded.
    """

    def digest(position: int) -> bytes:
        pixels = decoded_image(images, position)
        return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).digest()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(digest, range(len(images)), chunksize=64))
