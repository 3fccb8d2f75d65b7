from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import DataError
from bench.data.picklefree import read_pickled_dict

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 12), dtype=np.uint8)
LABELS = [3, 0, 255, 70_000]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data_batch_1"


def python2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Return what Python 2's cPickle wrote for CIFAR: protocol 2, every text and all pixels as raw bytes."""

    def text(raw: bytes) -> bytes:
        return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)

    rows, columns = pixels.shape
    dtype = b"cnumpy\ndtype\nq\x05" + text(b"u1") + b"K\x00K\x01\x87Rq\x06(K\x03" + text(b"|") + b"NNN"
    dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85" + text(b"b") + b"\x87R"
    )
    array += (
        b"(K\x01"
        + number(rows)
        + number(columns)
        + b"\x86"
        + dtype
        + b"\x89"
        + text(pixels.tobytes())
        + b"tb"
    )
    listed = b"]q\x07(" + b"".join(number(label) for label in labels) + b"e"
    names = b"](" + b"".join(text(b"leptodactylus_pentadactylus_s_%06d.png" % i) for i in range(rows)) + b"e"
    items = text(b"batch_label") + text(b"training batch 1 of 5") + text(b"labels") + listed
    return b"\x80\x02}q\x01(" + items + text(b"data") + array + text(b"filenames") + names + b"u."


@pytest.mark.parametrize("shape", [(4, 12), (4, 300)])
def test_batches_of_python_2_are_read(file: Path, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    file.write_bytes(python2_batch(pixels, LABELS))
    batch = read_pickled_dict(file)
    assert set(batch) == {"batch_label", "labels", "data", "filenames"}
    assert batch["labels"] == LABELS
    assert batch["data"].numpy().dtype == np.uint8
    assert (batch["data"].numpy() == pixels).all()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("keys", [("data", "labels"), (b"data", b"labels")])
@pytest.mark.parametrize(
    "array", [PIXELS, np.asfortranarray(PIXELS), PIXELS[:0], np.arange(5.0), np.arange(3, dtype=">i4")]
)
def test_every_protocol_of_python_3_is_read(
    file: Path, protocol: int, keys: tuple[Any, Any], array: np.ndarray
) -> None:
    file.write_bytes(pickle.dumps({keys[0]: array, keys[1]: LABELS}, protocol=protocol))
    batch = read_pickled_dict(file)
    assert batch["labels"] == LABELS
    read = batch["data"].numpy()
    assert read.shape == array.shape
    assert (read == array).all()


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("depth", ["top", "value", "key"])
def test_a_malicious_pickle_is_refused_and_not_executed(file: Path, protocol: int, depth: str) -> None:
    trap = file.with_name("sprung")
    evil = Evil(os.system, f"touch {trap}")
    content = {"top": evil, "value": {"data": [evil]}, "key": {"data": 1, ("k", evil): 2}}[depth]
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(
        DataError, match=r"data_batch_1: refused at byte \d+, opcode \w*GLOBAL \(posix.system\)"
    ):
        read_pickled_dict(file)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cbuiltins\neval\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}(U\x01bK\x01u\x86R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86R.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8\x85R.",
        b"\x80\x02ccopy_reg\n_reconstructor\n.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02U\x01xQ.",  # a persistent id
        b"(ios\nsystem\n.",  # INST
        b"\x80\x02K\x01K\x02b.",  # BUILD on a number
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02K\x01K\x02K\x03s.",
        b"\x80\x02)\x81.",
        b"\x80\x02](K\x01(K\x02u.",
    ],
)
def test_anything_but_plain_arrays_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1: (refused at byte|damaged after byte) \d+, opcode"):
        read_pickled_dict(file)


@pytest.mark.parametrize("cut", [0, 1, 5, 60, 200, -200, -60, -1])
def test_a_truncated_batch_is_named(file: Path, cut: int) -> None:
    file.write_bytes(python2_batch(PIXELS, LABELS)[:cut])
    with pytest.raises(DataError, match=r"data_batch_1: (damaged|truncated|refused)"):
        read_pickled_dict(file)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_do_anything_but_read_or_refuse(tmp_path_factory: Any, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "arbitrary"
    file.write_bytes(content)
    with pytest.raises(DataError, match="arbitrary"):
        read_pickled_dict(file)


def test_something_else_than_a_dict_is_refused(file: Path) -> None:
    file.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="expected a pickled dict, found a list"):
        read_pickled_dict(file)


def test_an_array_that_does_not_fit_its_shape_is_refused(file: Path) -> None:
    content = python2_batch(PIXELS, LABELS).replace(b"K\x04K\x0c\x86", b"K\x05K\x0c\x86")
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"shape \(5, 12\) with 48 bytes"):
        read_pickled_dict(file)["data"].numpy()


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(DataError, match="data_batch_1: cannot be read"):
        read_pickled_dict(file)
