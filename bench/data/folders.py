"""Folders of images: listing them, and reading them as a source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.data.fingerprint import files_fingerprint
from bench.data.source import EncodedSource

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class FileSource(EncodedSource):
    """Image files under one root, a row each, in the order given.

    Parameters
    ----------
    root : Path
    files : sequence of str
        Posix paths relative to `root`.

    Raises
    ------
    DataError
        A file cannot be read or is truncated; the message names it.
    """

    def __init__(self, name: str, root: Path, files: Sequence[str]) -> None:
        files = tuple(files)
        # The order counts too: whoever keeps something by fingerprint and row must get the same image.
        in_order = hashlib.sha256(
            "\0".join([files_fingerprint(root, files), *files]).encode(errors="replace")
        )
        super().__init__(
            name,
            in_order.hexdigest(),
            len(files),
            lambda row: (root / files[row]).read_bytes(),
            lambda row: str(root / files[row]),
        )


def neutral_order(files: Iterable[str]) -> list[str]:
    """Return files in an order that tells nothing of their class or defect: by the sha256 of their names.

    A method must not be able to read labels off the place of an image in its set.
    """
    return sorted(files, key=lambda file: hashlib.sha256(file.encode(errors="replace")).digest())


def held_out(files: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Divide files, for data sets without an official split: 80 % (rounded down) to train on, the rest.

    The sha256 of ``<seed>/<file>`` decides, so that the division is the same on every platform.
    """
    ordered = sorted(
        files, key=lambda file: hashlib.sha256(f"{seed}/{file}".encode(errors="replace")).digest()
    )
    n_train = len(ordered) * 4 // 5
    return ordered[:n_train], ordered[n_train:]


def list_images(folder: Path, root: Path) -> list[str]:
    """Return the image files anywhere under a folder, sorted, as posix paths relative to `root`.

    Hidden files and folders, and files of other kinds, are passed over.
    """
    found: list[str] = []
    start = len(os.path.join(os.fspath(root), ""))  # noqa: PTH118
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = path[start:].replace(os.sep, "/")
        inside = f"{inside}/" if inside else ""
        found += [
            inside + name
            for name in names
            if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")
        ]
    return sorted(found)
