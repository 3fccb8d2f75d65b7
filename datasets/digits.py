"""Digits: the 1,797 real handwritten digits of 8 × 8 pixels that scikit-learn carries; no download.

There is no official split of this copy (it is the test file of UCI's set, written by 13 people that its
train file does not know). Ours: rows 0 to 1197, the first two thirds, are the train split, rows 1198 to 1796
the test split. The file lies in the order of collection, so that the test digits are mostly by other writers.
Ink 0..16 is scaled to grey 0..255 and repeated into RGB.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench import ArraySource, DataError, OneVsRest, Split, file_sha256

N, N_TRAIN = 1797, 1198


class Digits(OneVsRest):
    title = "Handwritten digits, 8 × 8 (UCI, scikit-learn's copy)"
    licence = "CC BY 4.0"
    citation = (
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998, doi:10.24432/C50P49"
    )
    home = "https://archive.ics.uci.edu/dataset/80"
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    expected: ClassVar = {"train": 1198, "test": 599}
    has_anomaly_pool = True
    facts = (
        (
            "1,797 images; the split into 1,198 and 599 is ours",
            "scikit-learn's copy of UCI's test file",
            "the file",
        ),
    )

    def __init__(self, protocol: Literal["one_vs_rest", "leave_one_out"] = "one_vs_rest") -> None:
        self.protocol = protocol

    @cached_property
    def _file(self) -> Path:
        # The data file is found without importing scikit-learn, which takes a second.
        spec = importlib.util.find_spec("sklearn")
        path = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else None
        if path is None or not path.is_file():
            raise DataError(
                f"digits: expected scikit-learn's data file {path or 'sklearn/datasets/data/digits.csv.gz'}, "
                "which is not there; install scikit-learn again"
            )
        return path

    def fingerprint(self) -> str:
        return self._fingerprint("all")

    def _fingerprint(self, part: str) -> str:
        return hashlib.sha256(f"digits/{part}/{N_TRAIN}/{file_sha256(self._file)}".encode()).hexdigest()

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """All rows, shape (1797, 65), uint8: 64 values of ink and the digit."""
        try:
            text = gzip.decompress(self._file.read_bytes())
            table = np.loadtxt(io.BytesIO(text), delimiter=",")
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{self._file}: damaged ({error}); install scikit-learn again") from None
        if table.shape != (N, 65):
            raise DataError(f"{self._file}: expected a table of {N} x 65, found {table.shape}")
        return table.astype(np.uint8)

    def _pixels(self, part: slice) -> NDArray[np.uint8]:
        """Scale the ink of some rows to grey and repeat it into RGB, shape (n, 8, 8, 3)."""
        ink = self._table[part, :64].reshape(-1, 8, 8).astype(np.float64)
        grey = np.rint(ink * (255 / 16)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=3)

    @cached_property
    def _splits(self) -> dict[str, Split]:
        found = {}
        for name, part in (("train", slice(0, N_TRAIN)), ("test", slice(N_TRAIN, N))):
            load = partial(self._pixels, part)
            source = ArraySource(f"digits/{name}", self._fingerprint(name), part.stop - part.start, load)
            found[name] = Split(source, self._table[part, 64].astype(np.int64))
        return found

    def split(self, name: str) -> Split:
        return self._splits[name]
