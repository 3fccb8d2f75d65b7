"""The spool: a cell's anomaly maps on their way from its worker to the driver, as float16, in a file.

A worker writes the maps part by part while its method makes them, so that a task's maps never lie in memory
together; the driver (`bench.run.pixels`) reads them image by image, with the masks, and deletes them.

::

    <results>/records/maps/<driver>/<key>.maps     one line of JSON, then the parts, each
                                                   count, exponent, exact (`_PART`), and float16 maps

**float16.** A part of float32 or float64 maps is divided by the power of two that brings its largest finite
value to 2^13, which loses nothing, and rounded to float16: nothing becomes infinite, and what is below 2^-27
of the largest loses digits. The reader brings all parts to the largest power: one constant for the task,
never one for an image. Maps that come as float16 are kept as they are.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell
from bench.core.determinism import derive_seed
from bench.core.errors import ArchiveError, ScoreError
from bench.core.files import here

#: Schema of a spool file.
SPOOL_VERSION = 1
#: The largest finite value of a part becomes less than 2 to this power.
TOP = 13
#: Maps in a part, its power of two, and whether every value is what the method gave.
_PART = struct.Struct("<QiB")
#: A header's longest line, and most pixels of a map.
_LINE, _MOST = 4096, 1 << 28


def shown_order(cell: Cell, part: str, n: int) -> NDArray[np.int64]:
    """Return which image stands at each position that methods see, of ``"train"`` or ``"test"``.

    Test folders are sorted by defect, and drawn anomalies come after the normal images: positions would give
    the labels away. The order depends on the task alone, so it is the same for all methods.
    """
    name = cell.train_name if part == "train" else cell.task_name
    return np.random.default_rng(derive_seed("order", part, name, bits=31)).permutation(n)


class MapSink(Protocol):
    """Where a worker puts maps, cell by cell."""

    def write(self, key: str, content: bytes) -> None:
        """Add to a cell's file, which the first call starts anew."""

    def end(self, key: str, *, keep: bool) -> None:
        """Give the file its name, or delete what there is of it."""


class SpoolFolder:
    """A `MapSink` that is a folder.

    Parameters
    ----------
    folder : Path
        It is made with the first file. Where that fails or the disk is full, the cell fails and says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, int] = {}

    def path(self, key: str) -> Path:
        """Return where a cell's maps are, if it has any."""
        return self.folder / f"{key}.maps"

    def _partial(self, key: str) -> Path:
        return self.folder / f".{key}.{here()}.maps.tmp"

    def write(self, key: str, content: bytes) -> None:
        try:
            if key not in self._open:
                self.folder.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                self._open[key] = os.open(self._partial(key), flags, 0o666)
            left = memoryview(content)
            while left:
                left = left[os.write(self._open[key], left) :]
        except OSError as error:
            raise ScoreError(
                f"anomaly maps cannot be written to {self.folder} ({error.strerror or error}); "
                "free space, or choose another folder with --results"
            ) from None

    def end(self, key: str, *, keep: bool) -> None:
        handle = self._open.pop(key, None)
        if handle is not None:
            os.close(handle)
        if not keep or handle is None:
            # Of an earlier attempt at this cell, too.
            for path in (self._partial(key), self.path(key)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            return
        try:
            self._partial(key).replace(self.path(key))
        except OSError as error:
            raise ScoreError(f"{self.path(key)} cannot be written ({error.strerror or error})") from None


class MapWriter:
    """Writes one cell's maps into a sink.

    Parameters
    ----------
    sink : MapSink
    key : str
    n : int
        Images.
    covers : tuple of float, optional
        As `bench.train.method.Scores.covers`.
    """

    def __init__(self, sink: MapSink, key: str, n: int, covers: tuple[float, ...] | None) -> None:
        self._sink, self._key, self._n = sink, key, n
        self._covers = (0.0, 0.0, 1.0, 1.0) if covers is None else tuple(float(each) for each in covers)
        self._begun = False
        #: Spent here, which is no time of the method's.
        self.seconds = 0.0

    def add(self, maps: NDArray[Any]) -> None:
        """Add the maps (b, h, w) of the next images, any real type, without NaN."""
        started = time.perf_counter()
        if not self._begun:
            self._begun = True
            self._sink.end(self._key, keep=False)  # what an attempt left whose worker died
            height, width = maps.shape[1:]
            header = {"schema": SPOOL_VERSION, "n": self._n, "shape": [height, width], "covers": self._covers}
            self._sink.write(self._key, json.dumps(header).encode() + b"\n")
        halves, exponent, exact = to_half(maps)
        content = _PART.pack(len(maps), exponent, exact) + np.ascontiguousarray(halves, "<f2").tobytes()
        self._sink.write(self._key, content)
        self.seconds += time.perf_counter() - started

    def end(self, *, keep: bool) -> None:
        """Finish the file, or delete it."""
        self._sink.end(self._key, keep=keep and self._begun)


@contextlib.contextmanager
def spooled(
    sink: MapSink | None, key: str, n: int, covers: tuple[float, ...] | None
) -> Iterator[MapWriter | None]:
    """Give a writer for one cell's maps: complete after the block, or nothing is there if it fails."""
    if sink is None:
        yield None
        return
    writer, good = MapWriter(sink, key, n, covers), False
    try:
        yield writer
        good = True
    finally:
        writer.end(keep=good)


def to_half(maps: NDArray[Any]) -> tuple[NDArray[np.float16], int, bool]:
    """Return maps as float16, the power of two they were divided by, and whether that lost nothing."""
    if maps.dtype == np.float16:
        return maps, 0, True
    values = maps if maps.dtype in (np.float32, np.float64) else maps.astype(np.float64)
    finite = np.isfinite(values)
    largest = float(np.abs(values, where=finite, out=np.zeros_like(values)).max(initial=0.0))
    exponent = math.frexp(largest)[1] - TOP if largest else 0
    with np.errstate(all="ignore"):
        scaled = np.ldexp(values, -exponent)
        halves = scaled.astype(np.float16)
        exact = bool((halves.astype(scaled.dtype) == scaled).all())
    return halves, exponent, exact


class _Frame(NamedTuple):
    first: int
    maps: int
    offset: int
    exponent: int


class MapFile:
    """The maps of one cell, as a worker wrote them; nothing of it is trusted.

    Parameters
    ----------
    path : Path
    n : int
        Images that the maps must be of.

    Attributes
    ----------
    shape : tuple of int
        Of each map.
    covers : tuple of float
    exact : bool
        Whether the values are those of the method, up to the power of two.
    exponent : int
        Values times 2 to this power are the method's.

    Raises
    ------
    ScoreError
        It holds no maps of `n` images.
    ArchiveError
        It cannot be read.
    """

    def __init__(self, path: Path, n: int) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read ({error.strerror or error}); run again") from None
        try:
            self._read_header(n)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            self.close()
            raise ScoreError(f"its anomaly maps cannot be read ({type(error).__name__}: {error})") from None

    def _read_header(self, n: int) -> None:
        size = os.fstat(self._file.fileno()).st_size
        header = json.loads(self._file.readline(_LINE))
        if header["schema"] != SPOOL_VERSION or header["n"] != n:
            raise ValueError(f"expected maps of {n} images, got {header['n']!r}")
        height, width = header["shape"]
        if type(height) is not int or type(width) is not int or not 0 < height * width <= _MOST or height < 1:
            raise ValueError(f"maps of shape {height!r} x {width!r}")
        self.shape = (height, width)
        self.covers = tuple(float(each) for each in header["covers"])
        if len(self.covers) != 4 or not all(0 <= each <= 1 for each in self.covers):
            raise ValueError(f"maps cover {self.covers}")
        self._frames: list[_Frame] = []
        self.exact, first, offset = True, 0, self._file.tell()
        while offset < size:
            self._file.seek(offset)
            count, exponent, exact = _PART.unpack(self._file.read(_PART.size))
            offset += _PART.size
            self._frames.append(_Frame(first, count, offset, exponent))
            self.exact = self.exact and exact == 1
            first, offset = first + count, offset + 2 * count * height * width
        if first != n or offset != size:
            raise ValueError(f"it holds {first} maps in {size} bytes, expected {n}")
        self.exponent = max((each.exponent for each in self._frames), default=0)
        if len({each.exponent for each in self._frames}) > 1:
            self.exact = False  # what is brought to a larger power may lose digits

    def read(self, position: int) -> NDArray[np.float16]:
        """Return the map of the image at a position, shape `shape`, all divided by the same power of two.

        Raises
        ------
        ScoreError
            It has NaN.
        ArchiveError
            It cannot be read.
        """
        frame = next(each for each in self._frames if each.first <= position < each.first + each.maps)
        pixels = self.shape[0] * self.shape[1]
        try:
            self._file.seek(frame.offset + 2 * pixels * (position - frame.first))
            content = self._file.read(2 * pixels)
        except OSError as error:
            raise ArchiveError(f"{self._path} cannot be read ({error.strerror or error})") from None
        values = np.frombuffer(content, "<f2").astype(np.float16).reshape(self.shape)
        if np.isnan(values).any():
            raise ScoreError("anomaly maps are NaN somewhere")
        if frame.exponent != self.exponent:
            values = np.ldexp(values.astype(np.float32), frame.exponent - self.exponent).astype(np.float16)
        return values

    def close(self) -> None:
        self._file.close()
