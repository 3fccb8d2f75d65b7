"""Sources: the pixels of one physical split of one data set, by row. A source knows no label.

Every image leaves a source as ``uint8`` RGB, by one rule (`to_rgb`), whatever its file contains.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.core.determinism import cores
from bench.core.errors import DataError
from bench.data.rowarray import RowArray
from bench.data.whole import truncated

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

#: Threads that decode and resize images in this process; None is one a core.
_threads: int | None = None


def decoding_threads() -> int:
    """Return how many threads decode and resize images in this process."""
    return _threads or cores()


def set_decoding_threads(number: int | None) -> None:
    """Have images decoded and resized by so many threads, where several processes share the cores."""
    global _threads
    _threads = number


#: Decoded pixels of a source are kept in memory up to this many bytes (all of CIFAR-10 is 184 MB).
KEEP_DECODED_BYTES = 512 * 2**20
_DECODE = 1024


def to_rgb(image: Image.Image) -> Pixels:
    """Convert an image to RGB, the one rule for all data sets.

    Grey is repeated into three channels; 16-bit grey is divided by 257 (0..65535 to 0..255, rounded);
    of 16-bit colour Pillow keeps the high byte of each channel when it decodes (at most 1 less than that);
    32-bit float or integer grey is refused; a palette is looked up; an alpha channel is dropped without
    compositing, as ``PIL.Image.convert("RGB")`` does and as the papers' loaders do. An orientation noted in a
    photograph's metadata is not applied, as in these loaders.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8

    Raises
    ------
    DataError
        The image has a mode without a defined range (``F``, or ``I`` beyond 16 bit).
    """
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        if grey.size and (grey.min() < 0 or grey.max() > 65535):
            raise DataError("a 32-bit image whose values leave 0..65535; save it with 8 or 16 bits")
        grey8 = ((grey + 128) // 257).astype(np.uint8)
        return np.repeat(grey8[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise DataError("an image of floating-point numbers has no fixed range; save it with 8 or 16 bits")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # which would copy it


def decode(content: bytes, where: str) -> Pixels:
    """Decode one encoded image (PNG, JPEG, BMP, …); of several pages or frames the first.

    Raises
    ------
    DataError
        The image is truncated, damaged, too large or not an image; the message names `where`.
    """
    try:
        with open_image(content, where) as image:
            return to_rgb(image)
    except DataError as error:
        raise DataError(str(error) if where in str(error) else f"{where}: {error}") from None


# Large, whole images are wanted here; those too large to be read are told when they are opened. Once and for
# all, as what a cell changes of a process is taken back after it, and flagged.
warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit", category=RuntimeWarning)


@contextlib.contextmanager
def open_image(content: bytes, where: str) -> Iterator[Image.Image]:
    """Open and load an encoded image.

    Raises
    ------
    DataError
        As for `decode`.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: {_too_large(error)}") from None
    except Exception as error:  # a damaged file can make a decoder fail in any way
        raise DataError(f"{where}: {_undecodable(content, error)}") from None
    with image:
        yield image


def _too_large(error: Exception) -> str:
    pixels, limit = (int(number) / 1e6 for number in re.findall(r"\d+", str(error))[:2])
    return (
        f"this image is too large to be read: {pixels:,.0f} megapixels, the limit is {limit:,.0f}; "
        "scale it down, or cut it into tiles"
    )


def _undecodable(content: bytes, error: Exception) -> str:
    """Return what to say of an image that cannot be decoded; "truncated" only of one that is."""
    if why := truncated(content):
        return f"this image cannot be decoded: this {why}; fetch or export it again"
    reason = re.sub(r"<_io\.BytesIO[^>]*>", "it", str(error)) or type(error).__name__
    reason = reason.replace("image file is truncated", "its data end too early")
    return (
        f"this image cannot be decoded ({reason}); it is damaged, or of a kind that Pillow does not read: "
        "fetch it again, or save it as PNG"
    )


class Source(ABC):
    """One physical split of one data set: pixels by row number.

    Attributes
    ----------
    name : str
        For messages and the store's listing, e.g. ``"cifar10/train"``.
    fingerprint : str
        sha256 (hex) of the content; the same on every machine that has the same data.
    """

    name: str
    fingerprint: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        """Return the images of `rows`: an array (b, h, w, 3) where all have one size, else a list.

        Raises
        ------
        DataError
            An image cannot be decoded; the message names it.
        """

    def where(self, row: int) -> str:
        """Return what a message should call the image of a row."""
        return f"{self.name}, row {row}"

    def contents(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return a number for the content of each image, the same wherever the source is shown."""
        start = int.from_bytes(hashlib.sha256(self.fingerprint.encode()).digest()[:8], "big")
        # Odd factor: different rows have different numbers.
        return np.uint64(start) + rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


class ArraySource(Source):
    """Images of one size, made or loaded all at once on first use.

    Parameters
    ----------
    load : callable
        Returns all pixels, shape (n, h, w, 3), uint8.
    """

    def __init__(self, name: str, fingerprint: str, n: int, load: Callable[[], Pixels]) -> None:
        self.name, self.fingerprint, self._n, self._load = name, fingerprint, n, load
        self._pixels: Pixels | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n

    def read(self, rows: NDArray[np.int64]) -> Pixels:
        with self._lock:
            if self._pixels is None:
                pixels = self._load()
                if pixels.dtype != np.uint8 or pixels.shape[:1] + pixels.shape[3:] != (self._n, 3):
                    raise DataError(
                        f"{self.name}: expected uint8 pixels of shape ({self._n}, h, w, 3), "
                        f"got {pixels.dtype} {pixels.shape}"
                    )
                self._pixels = pixels
        return self._pixels[rows]


class EncodedSource(Source):
    """Encoded images (files, or rows of a parquet table), decoded on demand by several threads.

    Small images of one size are kept decoded, so that no image is decoded twice; others are decoded again
    each time.

    Parameters
    ----------
    fetch : callable
        Row number to the encoded bytes.
    where : callable
        Row number to what a message should call that image (a path, or file and row).
    """

    def __init__(
        self, name: str, fingerprint: str, n: int, fetch: Callable[[int], bytes], where: Callable[[int], str]
    ) -> None:
        self.name, self.fingerprint, self._n = name, fingerprint, n
        self._fetch, self._where = fetch, where
        #: None once the images turn out to be too large or to differ in size.
        self._kept: RowArray[Pixels] | None = RowArray(n)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n

    def where(self, row: int) -> str:
        return self._where(row)

    def _decode(self, row: int) -> Pixels:
        try:
            content = self._fetch(row)
        except OSError as error:
            raise DataError(f"{self._where(row)}: cannot be read ({error.strerror or error})") from None
        return decode(content, self._where(row))

    def _decode_many(self, rows: Sequence[int]) -> list[Pixels]:
        threads = min(decoding_threads(), len(rows))
        if len(rows) < 4 or threads < 2:
            return [self._decode(row) for row in rows]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._decode, rows))

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        with self._lock:
            if self._kept is not None and len(rows) and self._fill(self._kept, rows):
                return self._kept.take(rows)
        decoded = self._decode_many([int(row) for row in rows])
        if len({pixels.shape for pixels in decoded}) == 1:
            return np.stack(decoded)
        return decoded

    def _fill(self, kept: RowArray[Pixels], rows: NDArray[np.int64]) -> bool:
        """Decode the missing rows; return False, and keep nothing from now on, if they cannot be kept."""
        missing = kept.missing(rows)
        while len(missing):
            step = _DECODE if kept.nbytes else 1  # one image tells whether all fit
            part, missing = missing[:step], missing[step:]
            decoded = self._decode_many([int(row) for row in part])
            shape = kept.row_shape or decoded[0].shape
            too_large = decoded[0].nbytes * self._n > KEEP_DECODED_BYTES
            if too_large or any(pixels.shape != shape for pixels in decoded):
                self._kept = None
                return False
            kept.put(part, np.stack(decoded))
        return True
