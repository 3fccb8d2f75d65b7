"""Images from parquet files in the Hugging Face hub's layout.

The image column holds structs {bytes, path} (or plain bytes), the label column whole numbers or names. Labels
are read without touching the image column; encoded images are fetched row by row when asked for.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError, did_you_mean
from bench.data.folders import FileReader
from bench.data.source import EncodedSource

#: Encoded row groups are kept in memory up to this many bytes (at least one is).
KEEP_ENCODED_BYTES = 128 * 2**20


def class_name(text: str) -> str:
    """Return a label's text as a class is called: tasks' names hold neither blanks nor slashes."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


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
        self._kept: OrderedDict[tuple[int, int], _RowGroup] = OrderedDict()
        self._lock = threading.Lock()

    def fingerprint(self) -> str:
        """Return a sha256 (hex) over the content of the shards and the image column's name."""
        shards = [reader.known[file.name][1] for reader, file in zip(self._readers, self.files, strict=True)]
        return hashlib.sha256("/".join(["parquet", self.image, *shards]).encode()).hexdigest()

    @cached_property
    def _readers(self) -> list[FileReader]:
        return [FileReader(file.parent, [file.name]) for file in self.files]

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
    def _groups(self) -> list[tuple[int, int]]:
        return [
            (file, group)
            for file, parquet in enumerate(self._opened)
            for group in range(parquet.num_row_groups)
        ]

    @cached_property
    def _bounds(self) -> list[int]:
        """First row of each row group, and the number of rows at the end."""
        sizes = [self._opened[file].metadata.row_group(group).num_rows for file, group in self._groups]
        return [0, *itertools.accumulate(sizes)]

    def __len__(self) -> int:
        return self._bounds[-1]

    def labels(self, classes: Sequence[str] = ()) -> NDArray[np.int64]:
        """Return the label of each row, shape (n,), int64.

        Parameters
        ----------
        classes : sequence of str
            What class each number is, for a column that holds names.

        Raises
        ------
        DataError
            A label is missing, or no whole number and none of the classes.
        """
        found = []
        for file, column in zip(self.files, self._label_columns, strict=True):
            if _is_text(column):
                numbers = {name: i for i, name in enumerate(classes)}
                names = [class_name(text) for text in column.to_pylist()]
                if unknown := sorted(set(names) - set(numbers)):
                    hint = did_you_mean(unknown[0], classes)
                    raise DataError(f"{file}: the label {unknown[0]!r} is no class{hint}")
                found.append(np.array([numbers[name] for name in names], np.int64))
            else:
                found.append(column.to_numpy().astype(np.int64))
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @cached_property
    def _label_columns(self) -> list[Any]:
        """The label column of each shard: whole numbers or text, nothing missing."""
        import pyarrow as pa

        columns = []
        for file, parquet in zip(self.files, self._opened, strict=True):
            try:
                column = parquet.read(columns=[self.label]).column(0)
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{file}: damaged ({error}); get it again") from None
            if column.null_count or not (pa.types.is_integer(column.type) or _is_text(column)):
                raise DataError(
                    f"{file}: expected whole numbers or names in the column {self.label!r}, found "
                    f"{column.type} with {column.null_count} missing values"
                )
            columns.append(column)
        return columns

    def texts(self) -> set[str]:
        """Return the labels that a column of names holds; empty for one of numbers."""
        columns = [column for column in self._label_columns if _is_text(column)]
        return {text for column in columns for text in column.unique().to_pylist()}

    def class_names(self) -> tuple[str, ...] | None:
        """Return the names of the labels as the hub's metadata in the first file gives them, if it does."""
        metadata = self._opened[0].schema_arrow.metadata or {}
        try:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            return tuple(str(name) for name in features[self.label]["names"])
        except (KeyError, ValueError, TypeError):
            return None

    def source(self) -> EncodedSource:
        """Return the images; nothing is read yet but the files' footers."""
        return EncodedSource(self.name, self.fingerprint(), len(self), self.fetch, self.where)

    def where(self, row: int) -> str:
        """Return what a message calls a row: file and row in that file."""
        file = self._groups[self._group_of(row)][0]
        first = self._bounds[[f for f, _ in self._groups].index(file)]
        return f"{self.files[file]}, row {row - first}"

    def _group_of(self, row: int) -> int:
        return bisect.bisect_right(self._bounds, row) - 1

    def fetch(self, row: int) -> bytes:
        """Return the encoded image of a row.

        Raises
        ------
        DataError
            The row holds no image, or only the name of a file elsewhere.
        """
        group = self._group_of(row)
        with self._lock:
            images = self._read_group(*self._groups[group])
        content = images[row - self._bounds[group]]
        if content is None:
            raise DataError(
                f"{self.where(row)}: the column {self.image!r} holds no image; "
                "expected its bytes, not the name of a file elsewhere"
            )
        return content

    def _read_group(self, file: int, group: int) -> _RowGroup:
        import pyarrow as pa

        if (file, group) in self._kept:
            self._kept.move_to_end((file, group))
            return self._kept[file, group]
        try:
            column = self._opened[file].read_row_group(group, columns=[self.image]).column(0)
            read = _RowGroup(column.combine_chunks())
        except (OSError, pa.ArrowInvalid) as error:
            self._readers[file].check()
            raise DataError(
                f"{self.files[file]}, row group {group}: damaged ({error}); get it again"
            ) from None
        except TypeError as error:
            raise DataError(f"{self.files[file]}: the column {self.image!r} {error}") from None
        self._readers[file].check()
        self._kept[file, group] = read
        while len(self._kept) > 1 and sum(p.nbytes for p in self._kept.values()) > KEEP_ENCODED_BYTES:
            self._kept.popitem(last=False)
        return self._kept[file, group]


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class _RowGroup:
    """The encoded images of one row group, as slices of Arrow's buffer (Arrow's scalars are slow)."""

    def __init__(self, column: Any) -> None:
        import pyarrow as pa

        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = column.flatten()[column.type.get_field_index("bytes")]
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            raise TypeError(f"holds {column.type}; expected structs of bytes and path, or bytes")
        self._valid: NDArray[np.bool_] = np.asarray(column.is_valid())
        _, offsets, content = column.buffers()
        kind = np.int64 if pa.types.is_large_binary(column.type) else np.int32
        self._offsets = np.frombuffer(offsets, kind)[column.offset : column.offset + len(column) + 1]
        self._content = memoryview(content) if content is not None else memoryview(b"")
        self.nbytes: int = column.nbytes

    def __getitem__(self, i: int) -> bytes | None:
        return bytes(self._content[self._offsets[i] : self._offsets[i + 1]]) if self._valid[i] else None
