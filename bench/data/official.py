"""Official fingerprints, to compare a local copy with.

There are two kinds. The MD5 of official files is read from the class of ``torchvision.datasets`` that
downloads them. A content fingerprint (`content`) covers the decoded images, labels and masks of a split,
whatever their container and order; each known one names its source.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bench.core.errors import DataError

#: The class of ``torchvision.datasets`` that publishes the MD5 of the official files, by adapter; an adapter
#: may also name it in its own `torchvision`.
CLASSES = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "fashion_mnist": "FashionMNIST",
    "mnist": "MNIST",
    "svhn": "SVHN",
}
#: Class attributes in which torchvision keeps file names and their MD5s.
PLACES = ("train_list", "test_list", "meta", "resources", "split_list", "_file_dict")
BLOCK = 2**20


class Known(NamedTuple):
    """A content fingerprint (see `content`) and where it was established."""

    fingerprint: str
    source: str


_SKLEARN = "established on the copy in scikit-learn 1.9"
_FASHION = (
    "established on a complete lossless copy with 7,000 images of each class, mean 0.2860 and deviation "
    "0.3530; the official files themselves were not at hand"
)
#: By adapter and split. Only lossless copies can have one: what a JPEG decodes to depends on the decoder.
CONTENT: Mapping[str, Mapping[str, Known]] = {
    "digits": {
        "train": Known("fc83cb52a0fdef14038e294ab2f244c0cb911633f7b9e8892b1889f27dd1eb2e", _SKLEARN),
        "test": Known("07da2d261678df293f29873a33b16f1270d25dd4ae5a99c344772b8aa09105cd", _SKLEARN),
    },
    "fashion_mnist": {
        "train": Known("06ca517e0cfd4fd55214510e7a6e10ef0135dffd5cdf93e29ddd1586c13d3c0b", _FASHION),
        "test": Known("a5830e376eeac7947ff8570633fe5a5422846e42c42a2f7719fd9da4d5495d54", _FASHION),
    },
}


def published_md5(class_name: str) -> dict[str, str]:
    """Return the MD5 (hex) that torchvision publishes for each file of a data set, by the file's name.

    Empty if torchvision has no such class, or no longer has its MD5s in `PLACES`.
    """
    cls: Any = getattr(importlib.import_module("torchvision.datasets"), class_name, None)
    found: dict[str, str] = {}
    for place in PLACES:
        entries = getattr(cls, place, ())
        if isinstance(entries, Mapping):
            entries = [(entries["filename"], entries["md5"])] if "md5" in entries else list(entries.values())
        for entry in entries:
            # The MD5 follows the file's name, whatever comes before.
            found.update({n: md5 for n, md5 in pairwise(entry) if re.fullmatch("[0-9a-f]{32}", str(md5))})
    return found


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a data set, or in one split.

    Attributes
    ----------
    notes : tuple of str
        What is wrong or unexpected, one sentence each; empty means that all is well.
    facts : tuple of str
        Fingerprints and what they were compared with, one sentence each.
    official : bool
        Everything was compared with official fingerprints and is the same.
    """

    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    official: bool = False


def compare_files(root: Path, class_name: str) -> tuple[Findings, frozenset[str]]:
    """Compare the files in `root` for which torchvision publishes an MD5.

    An MD5 of ``x.gz`` says nothing about an unpacked ``x`` (one content packs to many files), which is
    compared with the official ``x.gz`` if that is beside it, and otherwise not at all.

    Returns
    -------
    findings : Findings
    official : frozenset of str
        Names of the files whose content is the official one.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    official: list[str] = []
    notes: list[str] = []
    facts: list[str] = []
    published = published_md5(class_name)
    for name, expected in sorted(published.items()):
        if (root / name).is_file():
            found = _md5(root / name)
            if found == expected:
                official.append(name)
            else:
                notes.append(
                    f"{root / name}: its MD5 is {found}, the official file's {expected} (as torchvision "
                    "publishes it): it is another file or damaged; get it again"
                )
        unpacked = name.removesuffix(".gz")
        if unpacked != name and (root / unpacked).is_file():
            if name not in official:
                facts.append(
                    f"{root / unpacked}: not compared; only the MD5 of the official {name} is published"
                )
            elif _same(root / name, root / unpacked):
                official.append(unpacked)
            else:
                notes.append(f"{root / unpacked}: differs from what the official {name} beside it holds")
    if official:
        facts.insert(
            0, f"{root}: official files by the MD5 that torchvision publishes: {', '.join(sorted(official))}"
        )
    return Findings(tuple(notes), tuple(facts)), frozenset(official)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


def _same(packed: Path, unpacked: Path) -> bool:
    try:
        return gzip.decompress(packed.read_bytes()) == unpacked.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{packed} or {unpacked}: cannot be read ({error}); get both again") from None


def compare_content(
    title: str,
    pixels: Sequence[bytes | None],
    labels: Sequence[str],
    masks: Sequence[bytes | None],
    *,
    known: Known | None,
    from_official_files: bool,
    counts: str,
) -> Findings:
    """Compare the content of one split with the official fingerprint, or say plainly that none is known.

    Parameters
    ----------
    title : str
        What a message calls the split.
    pixels, masks : sequence of bytes or None
        Digest of each image and mask, None where it cannot be read; `masks` may be empty.
    labels : sequence of str
    known : Known, optional
    from_official_files : bool
        The split was read from files that are the official ones.
    counts : str
        How the number of images compares, for a message; may be empty.
    """
    readable = [each for each in pixels if each is not None]
    marks = [each for each in masks if each is not None] if masks else [b""] * len(readable)
    if len(readable) < len(pixels) or len(marks) < len(pixels):
        return Findings(facts=(f"{title}: no fingerprint, since not everything in it can be read",))
    found = content(zip(readable, labels, marks, strict=True))
    if known is not None and found != known.fingerprint:
        note = (
            f"{title}: images or labels differ from the official ones: its fingerprint is {found}, "
            f"expected {known.fingerprint} ({known.source})"
        )
        return Findings(notes=(note,))
    if known is not None:
        fact = f"{title}: its fingerprint is {found}, as expected ({known.source})"
    elif from_official_files:
        fact = f"{title}: official files; their fingerprint is {found}"
    else:
        fact = f"{title}: no official fingerprint is known for this copy; its fingerprint is {found}"
        fact += f"; {counts}" if counts else ""
    return Findings(facts=(fact,), official=known is not None or from_official_files)


def content(images: Iterable[tuple[bytes, str, bytes]]) -> str:
    """Return one sha256 (hex) over images in any order.

    Parameters
    ----------
    images : iterable of (bytes, str, bytes)
        Digest of the decoded pixels, label, digest of the mask (empty without masks) of each image.
    """
    entries = sorted(
        hashlib.sha256(
            b"\0".join((pixels.hex().encode(), label.encode("utf-8", "surrogateescape"), mask.hex().encode()))
        ).digest()
        for pixels, label, mask in images
    )
    return hashlib.sha256(b"".join(entries)).hexdigest()
