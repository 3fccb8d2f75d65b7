"""Reads pickled arrays without unpickling: CIFAR's python batches are pickles, and a pickle is a program.

A tiny symbolic interpreter walks over `pickletools.genops`. It knows dicts, lists, tuples, numbers, texts,
bytes and numpy arrays of plain numbers; it never imports, looks up or calls anything that a file names, and
refuses every other opcode and every other global.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import DataError

#: CIFAR's largest batch (CIFAR-100's train file) has 155 MB.
LIMIT_BYTES = 1 << 30

_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE, _BYTES = "reconstruct", "ndarray", "dtype", "encode", "bytes"
_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _ENCODE,
    ("__builtin__", "bytes"): _BYTES,
}
_MARK = object()


@dataclass(slots=True)
class _Global:
    means: str


@dataclass(slots=True)
class _Bytes:
    """Bytes that Python 2 or protocol 2 wrote as text: turned into bytes only where they are needed."""

    latin1: str


@dataclass(slots=True)
class _Dtype:
    code: str
    order: str = "|"


@dataclass(slots=True)
class PickledArray:
    """An array as a pickle describes it; `numpy` builds it."""

    shape: tuple[int, ...] = ()
    dtype: _Dtype | None = None
    fortran: bool = False
    content: bytes | _Bytes = b""

    def numpy(self) -> NDArray[Any]:
        """Return the array, read-only.

        Raises
        ------
        ValueError
            Its content does not fit its shape and type.
        """
        if self.dtype is None:
            raise ValueError("an array without content")
        dtype = np.dtype(self.dtype.order + self.dtype.code)
        content = self.content.latin1.encode("latin-1") if isinstance(self.content, _Bytes) else self.content
        if len(content) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError(f"an array of shape {self.shape} with {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(self.shape, order="F" if self.fortran else "C")


def read_pickled_dict(path: Path) -> dict[str, Any]:
    """Read a file that holds one pickled dict of lists, numbers, texts and arrays.

    Keys come as ``str``, also those of Python 2. Arrays come as `PickledArray`: nothing is copied until its
    ``numpy()`` is called.

    Raises
    ------
    DataError
        The file cannot be read, is truncated, or holds anything else; the message names the file, the
        opcode and its position. Nothing that the file names is ever imported or called.
    """
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise DataError(f"{path}: larger than {LIMIT_BYTES >> 20} MiB; expected a python batch of CIFAR")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    found = _Machine().run(path, content)
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a pickled dict, found a {type(found).__name__}")
    return {
        key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in found.items()
    }


class _Refused(Exception):
    """An opcode or an operand that has no place in a file of arrays."""


def _text(value: Any) -> Any:
    return value.latin1 if isinstance(value, _Bytes) else value


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, path: Path, content: bytes) -> Any:
        name, at = "the first", 0
        try:
            for opcode, argument, position in pickletools.genops(content):
                name, at = opcode.name, position or 0
                if name == "STOP":
                    return self.stack.pop()
                _STEPS.get(name, _refuse)(self, argument)
        except _Refused as error:
            why = f" ({error})" if str(error) else ""
            raise DataError(
                f"{path}: refused at byte {at}, opcode {name}{why}: this is not a file of plain arrays, and "
                "pickles are never executed; get the data set from its official place"
            ) from None
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: damaged after byte {at}, opcode {name} ({error}); it may be truncated: get it again"
            ) from None
        raise DataError(f"{path}: truncated (a pickle without its end); fetch it again")

    def after_mark(self) -> list[Any]:
        """Pop what was pushed since the last mark, and the mark."""
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def pop(self, n: int) -> list[Any]:
        if len(self.stack) < n or any(item is _MARK for item in self.stack[-n:]):
            raise _Refused("stack underflow")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items


_Step = Callable[[_Machine, Any], None]


def _refuse(_: _Machine, argument: Any) -> None:
    raise _Refused("" if argument is None else str(argument)[:80])


def _nothing(_machine: _Machine, _argument: Any) -> None:
    """Framing, which changes nothing."""


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _push_bytes(machine: _Machine, argument: str) -> None:
    # pickletools hands the raw bytes of these opcodes over as latin-1 text.
    machine.stack.append(_Bytes(argument))


def _put(machine: _Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _append(machine: _Machine, items: list[Any]) -> None:
    if not isinstance(machine.stack[-1], list):
        raise _Refused("appends to something that is no list")
    machine.stack[-1].extend(items)


def _set(machine: _Machine, items: list[Any]) -> None:
    if not isinstance(machine.stack[-1], dict):
        raise _Refused("sets an item of something that is no dict")
    machine.stack[-1].update(zip(map(_text, items[::2]), items[1::2], strict=True))


def _new_dict(machine: _Machine, items: list[Any]) -> None:
    machine.stack.append({})
    _set(machine, items)


def _global(machine: _Machine, module: Any, name: Any) -> None:
    means = _GLOBALS.get((_text(module), _text(name)))
    if means is None:
        raise _Refused(f"{_text(module)}.{_text(name)}")
    machine.stack.append(_Global(means))


def _stack_global(machine: _Machine, _: Any) -> None:
    _global(machine, *machine.pop(2))


def _reduce(machine: _Machine, _: Any) -> None:
    what, arguments = machine.pop(2)
    means = what.means if isinstance(what, _Global) else ""
    if means == _RECONSTRUCT and len(arguments) == 3 and arguments[0] == _Global(_NDARRAY):
        machine.stack.append(PickledArray())
    elif means == _DTYPE and re.fullmatch("[uif][1248]|b1", str(code := _text(arguments[0]))):
        machine.stack.append(_Dtype(code))
    elif means == _ENCODE and len(arguments) == 2 and _text(arguments[1]) in ("latin1", "latin-1"):
        machine.stack.append(_Bytes(_text(arguments[0])))
    elif means == _BYTES and arguments == ():
        machine.stack.append(b"")
    else:
        raise _Refused(f"calls {means or type(what).__name__} with {type(arguments).__name__}")


def _build(machine: _Machine, _: Any) -> None:
    what, state = machine.pop(2)
    if isinstance(what, _Dtype) and _text(state[1]) in ("|", "<", ">", "="):
        what.order = _text(state[1])
    elif isinstance(what, PickledArray) and len(state) == 5 and isinstance(state[2], _Dtype):
        _, shape, dtype, fortran, content = state
        sound = all(isinstance(n, int) and n >= 0 for n in shape) and isinstance(content, bytes | _Bytes)
        if not sound:
            raise _Refused("an array of no plain numbers")
        what.shape, what.dtype, what.fortran, what.content = tuple(shape), dtype, bool(fortran), content
    else:
        raise _Refused(f"sets the state of a {type(what).__name__}")
    machine.stack.append(what)


_STEPS: dict[str, _Step] = {
    **dict.fromkeys(["PROTO", "FRAME"], _nothing),
    **dict.fromkeys(
        [
            *[
                "INT",
                "BININT",
                "BININT1",
                "BININT2",
                "LONG",
                "LONG1",
                "FLOAT",
                "BINFLOAT",
                "UNICODE",
                "BINUNICODE",
            ],
            *["SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"],
        ],
        _push,
    ),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _push_bytes),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], _put),
    **dict.fromkeys(
        ["GET", "BINGET", "LONG_BINGET"], lambda machine, a: machine.stack.append(machine.memo[a])
    ),
    "MEMOIZE": _memoize,
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "LIST": lambda machine, _: machine.stack.append(machine.after_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.after_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.pop(3))),
    "DICT": lambda machine, _: _new_dict(machine, machine.after_mark()),
    "APPEND": lambda machine, _: _append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.after_mark()),
    "SETITEM": lambda machine, _: _set(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: _set(machine, machine.after_mark()),
    "GLOBAL": lambda machine, argument: _global(machine, *argument.split(" ", 1)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
