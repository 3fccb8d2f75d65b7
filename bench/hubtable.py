"""Pictures from parquet files in the Hugging Face hub's layout.

The image column holds structs {bytes, path} (or plain bytes), the label column whole numbers. Labels are read
without touching the image column; encoded pictures are fetched row by row when asked for.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, did_you_mean
from bench.fingerprint import file_sha256
from bench.source import EncodedSource

#: Encoded row groups are kept in memory up to this many bytes (at least one is).
KEEP_ENCODED_BYTES = 128 * 2**20


class ParquetTable:
    """The rows of one split: several parquet files, one after the other in the order given.

    Parameters
    ----------
    name : str
        For messages and the store's listing, e.g. ``"cifar10/train"``.
    files : sequence of Path
        The shards in their order.
    image, label : str
        Names of the columns.
    """

    def __init__(self, name: str, files: Sequence[Path], *, image: str, label: str) -> None:
        self.name, self.image, self.label = name, image, label
        self.files = list(files)
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def fingerprint(self) -> str:
        """Return a sha256 (hex) over the content of the shards and the columns' names."""
        shards = [file_sha256(file) for file in self.files]
        return hashlib.sha256("/".join(["parquet", self.image, self.label, *shards]).encode()).hexdigest()

    @cached_property
    def _opened(self) -> list[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        opened = []
        for file in self.files:
            try:
                parquet = pq.ParquetFile(file)
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(
                    f"{file}: cannot be read as parquet ({error}); it may be truncated: get it again"
                ) from None
            names = parquet.schema_arrow.names
            for column in (self.image, self.label):
                if column not in names:
                    raise DataError(f"{file}: there is no column {column!r}{did_you_mean(column, names)}")
            opened.append(parquet)
        return opened

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """First row of each row group, and the number of rows at the end."""
        sizes = [
            parquet.metadata.row_group(group).num_rows
            for parquet in self._opened
            for group in range(parquet.num_row_groups)
        ]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        return [
            (file, group)
            for file, parquet in enumerate(self._opened)
            for group in range(parquet.num_row_groups)
        ]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def labels(self) -> NDArray[np.int64]:
        """Return the label of each row, shape (n,), int64.

        Raises
        ------
        DataError
            A label is missing or no whole number.
        """
        import pyarrow as pa

        found = []
        for file, parquet in zip(self.files, self._opened, strict=True):
            try:
                column = parquet.read(columns=[self.label]).column(0)
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{file}: damaged ({error}); get it again") from None
            if column.null_count or not pa.types.is_integer(column.type):
                raise DataError(
                    f"{file}: expected whole numbers in the column {self.label!r}, found {column.type} with "
                    f"{column.null_count} missing values"
                )
            found.append(column.to_numpy().astype(np.int64))
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def class_names(self) -> tuple[str, ...] | None:
        """Return the names of the labels as the hub's metadata in the first file gives them, if it does."""
        metadata = self._opened[0].schema_arrow.metadata or {}
        try:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            return tuple(str(name) for name in features[self.label]["names"])
        except (KeyError, ValueError, TypeError):
            return None

    def source(self) -> EncodedSource:
        """Return the pictures; nothing is read yet but the files' footers."""
        return EncodedSource(self.name, self.fingerprint(), len(self), self.fetch, self.where)

    def where(self, row: int) -> str:
        """Return what a message calls a row: file and row in that file."""
        file = self._groups[self._group_of(row)][0]
        first = min(start for start, (f, _) in zip(self._starts, self._groups, strict=False) if f == file)
        return f"{self.files[file]}, row {row - int(first)}"

    def _group_of(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1

    def fetch(self, row: int) -> bytes:
        """Return the encoded picture of a row.

        Raises
        ------
        DataError
            The row holds no picture, or only the name of a file elsewhere.
        """
        import pyarrow as pa

        group = self._group_of(row)
        with self._lock:
            column = self._read_group(*self._groups[group])
        cell = column[row - int(self._starts[group])]
        content = cell.get("bytes") if isinstance(cell, pa.StructScalar) else cell
        if content is None or not content.is_valid:
            raise DataError(
                f"{self.where(row)}: the column {self.image!r} holds no picture; "
                "expected its bytes, not the name of a file elsewhere"
            )
        found: bytes = content.as_py()
        return found

    def _read_group(self, file: int, group: int) -> Any:
        import pyarrow as pa

        if (file, group) in self._kept:
            self._kept.move_to_end((file, group))
            return self._kept[file, group]
        try:
            column = self._opened[file].read_row_group(group, columns=[self.image]).column(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{self.files[file]}, row group {group}: damaged ({error}); get it again"
            ) from None
        self._kept[file, group] = column
        while len(self._kept) > 1 and sum(c.nbytes for c in self._kept.values()) > KEEP_ENCODED_BYTES:
            self._kept.popitem(last=False)
        return column
