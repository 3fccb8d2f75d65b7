from __future__ import annotations

import copyreg
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
from bench.data import cifar
from bench.data.cifar import read_batch

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
    batch = read_batch(file)
    assert set(batch) == {"batch_label", "labels", "data", "filenames"}
    assert batch["labels"] == LABELS
    assert batch["data"].dtype == np.uint8
    assert (batch["data"] == pixels).all()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("keys", [("data", "labels"), (b"data", b"labels")])
@pytest.mark.parametrize(
    "array",
    [PIXELS, np.asfortranarray(PIXELS), PIXELS[:0], PIXELS.reshape(2, 2, 3, 4), np.array(7, np.uint8)],
)
def test_every_protocol_of_python_3_is_read(
    file: Path, protocol: int, keys: tuple[Any, Any], array: np.ndarray
) -> None:
    file.write_bytes(pickle.dumps({keys[0]: array, keys[1]: LABELS}, protocol=protocol))
    batch = read_batch(file)
    assert batch["labels"] == LABELS
    assert batch["data"].dtype == np.uint8
    assert batch["data"].shape == array.shape
    assert (batch["data"] == array).all()


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
    with pytest.raises(DataError, match=r"data_batch_1: .*it names posix\.system, which is refused"):
        read_batch(file)
    assert not trap.exists()


def array_of(shape: bytes, *, dtype: bytes = b"U\x02u1", content: bytes = b"U\x04abcd") -> bytes:
    """Return a pickle, without its end, of an array with this state."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    described = b"cnumpy\ndtype\n" + dtype + b"K\x00K\x01\x87R(K\x03U\x01|NNNK\x00K\x00K\x00tb"
    return b"\x80\x02" + made + b"(K\x01" + shape + described + b"\x89" + content + b"tb"


def in_dict(value: bytes) -> bytes:
    return b"\x80\x02}U\x04data" + value.removeprefix(b"\x80\x02") + b"s."


EVAL = b"X\x01\x00\x00\x001\x85"
HOSTILE = {
    "eval": b"cbuiltins\neval\n" + EVAL + b"R",
    "eval of Python 2": b"c__builtin__\neval\n" + EVAL + b"R",
    "a chain of getattr": b"cbuiltins\ngetattr\ncnumpy\nndarray\nU\x09__class__\x86R",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93",
    "another name of numpy": b"cnumpy\nload\n",
    "a dotted module": b"cnumpy.core.multiarray._reconstruct\n__globals__\n",
    "copyreg": b"ccopy_reg\n_reconstructor\n",
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(cos\nsystem\no",
    "a persistent id": b"U\x01xQ",
    "a persistent id in text": b"Px\n",
    "an extension": b"\x82\x01",
    "a buffer outside": b"\x97",
    "objects": array_of(b"K\x01\x85", dtype=b"U\x02O8"),
    "objects in an array of bytes": array_of(b"K\x01\x85", content=b"]N\x61"),
    "records": array_of(b"K\x01\x85", dtype=b"U\x03V99"),
    "too large a shape": array_of(b"J\xff\xff\xff\x7f\x85"),
    "a shape of other things": array_of(b"U\x01u"),
    "no dtype": b"cnumpy\nndarray\n)R(K\x01K\x04\x85K\x05\x89U\x04abcdtb",
    "too short a state": b"cnumpy\nndarray\n)R}b",
    "attributes as a state": b"cnumpy\nndarray\n)RN}U\x05shapeK\x01s\x86b",
    "the state of an allowed class": b"cnumpy\nndarray\nN}U\x0c__setstate__K\x01s\x86b",
    "the state of allowed bytes": b"c_codecs\nencode\nN}X\x07\x00\x00\x00__new__K\x01s\x86b",
    "an array without a state": b"cnumpy\nndarray\n)R",
    "another codec": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86R",
    "bytes of a number": b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R",
    "a call of what is no name": b"K\x01)R",
    "an object of what is no class": b"K\x01)\x81",
    "a state of a number": b"K\x01K\x02b",
    "an item of a number": b"K\x01K\x02a",
    "a large index": b"Nr\xff\xff\xff\xff",
    "a large index in text": b"Np99999999999\n",
    "claimed bytes": b"\x8e" + struct.pack("<Q", 1 << 45) + b"abc",
    "claimed text": b"\x8d" + struct.pack("<Q", 1 << 62) + b"abc",
    "a claimed frame": b"\x95" + struct.pack("<Q", 1 << 62) + b"N",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_but_plain_arrays_is_refused(file: Path, what: str) -> None:
    before = {name: dict(vars(cls)) for name, cls in cifar._ALLOWED.items()}
    for content in (in_dict(HOSTILE[what]), b"\x80\x02" + HOSTILE[what] + b"."):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"data_batch_1: cannot be read as a python batch of CIFAR"):
            read_batch(file)
    assert {name: dict(vars(cls)) for name, cls in cifar._ALLOWED.items()} == before


def test_the_hostile_arrays_differ_from_a_good_one_alone(file: Path) -> None:
    file.write_bytes(in_dict(array_of(b"K\x02K\x02\x86")))
    assert read_batch(file)["data"].tolist() == [[97, 98], [99, 100]]


def test_what_another_pickle_has_left_in_the_cache_of_extensions_is_refused(file: Path) -> None:
    copyreg.add_extension("builtins", "eval", 240)
    try:
        assert pickle.loads(pickle.dumps(eval, 2)) is eval  # noqa: S301 our own: fills the cache
        file.write_bytes(in_dict(b"\x82\xf0" + EVAL + b"R"))
        with pytest.raises(DataError, match="EXT1 240"):
            read_batch(file)
    finally:
        copyreg.remove_extension("builtins", "eval", 240)


@pytest.mark.parametrize("cut", [0, 1, 5, 60, 200, -200, -60, -1])
def test_a_truncated_batch_is_named(file: Path, cut: int) -> None:
    file.write_bytes(python2_batch(PIXELS, LABELS)[:cut])
    with pytest.raises(DataError, match=r"data_batch_1: .*truncated"):
        read_batch(file)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_do_anything_but_read_or_refuse(tmp_path_factory: Any, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "arbitrary"
    file.write_bytes(content)
    with pytest.raises(DataError, match="arbitrary"):
        read_batch(file)


def test_something_else_than_a_dict_is_refused(file: Path) -> None:
    file.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="expected a dict, found a list"):
        read_batch(file)


def test_an_array_that_does_not_fit_its_shape_is_refused(file: Path) -> None:
    content = python2_batch(PIXELS, LABELS).replace(b"K\x04K\x0c\x86", b"K\x05K\x0c\x86")
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1: .*size 48 into shape \(5, ?12\)"):
        read_batch(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(DataError, match="data_batch_1: cannot be read"):
        read_batch(file)
