"""What a worker says to its executor, as bytes: JSON and numbers, nothing that runs when it is read.

A worker is a process in which methods ran, so its driver unpickles nothing of it, and checks what it reads.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError, plain_text
from bench.core.scorefile import BESIDE
from bench.core.truth import Truth
from bench.run.executors.base import Event, Extracted, Finished, Job, Lost, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The worker can run jobs, or never will.

    Attributes
    ----------
    device_bytes : int
        Free memory of its GPU at the start; 0 on a CPU.
    environment : dict
        `Record.environment` of the cells that it will run.
    problem : str
        Why it will run nothing.
    """

    device_bytes: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The job has started."""

    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMemory:
    """The device's memory that the worker keeps between jobs (features, networks), in bytes."""

    device_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning of the library, for the driver's log."""

    logger: str
    level: int
    text: str


#: What a worker process sends: events for the driver, and what only its executor reads.
Message = Ready | Began | KeptMemory | Warned | Progress | Finished | Extracted | Lost

#: Reads in one go, of a megabyte at most.
READS = 64
#: A longer message is none.
MOST_BYTES = 1 << 32
#: The parts of a message: JSON, scores, a truth, further arrays one after the other; each with its length
#: before it.
_PARTS = struct.Struct("<QQQQ")
_PLAIN: dict[str, type[Any]] = {
    each.__name__: each for each in (Ready, Began, KeptMemory, Warned, Progress, Extracted)
}


def packed(message: Message | Event) -> bytes:
    """Return a message as bytes."""
    scores = truth = more = b""
    data: dict[str, Any] = {"message": type(message).__name__}
    if isinstance(message, Finished):
        data |= {"job": message.job, "log": message.log, "record": message.record.to_json(indent=None)}
        scores = b"" if message.scores is None else np.asarray(message.scores, "<f8").tobytes()
        truth = b"" if message.truth is None else message.truth.to_bytes()
        data["arrays"] = {name: len(values) for name, values in message.arrays.items()}
        more = b"".join(np.asarray(values, "<f8").tobytes() for values in message.arrays.values())
    elif isinstance(message, Lost):
        data |= {"job": message.job, "cells": [cell.key for cell in message.cells]}
        data |= {"why": message.why, "reason": message.reason, "log": message.log}
    else:
        data |= asdict(message)
    text = json.dumps(data).encode()
    parts = (text, scores, truth, more)
    return b"".join((_PARTS.pack(*map(len, parts)), *parts))


def unpacked(content: bytes, jobs: Mapping[int, Job]) -> Message | None:
    """Read what `packed` wrote; None for what belongs to no job, or to none of its cells.

    Parameters
    ----------
    jobs : mapping of int to Job
        Those that the worker has, by their ids.

    Raises
    ------
    ArchiveError
        It is no message.
    """
    try:
        lengths = _PARTS.unpack_from(content)
        if sum(lengths) + _PARTS.size != len(content):
            raise ValueError("its parts are of another length")
        ends = np.cumsum([_PARTS.size, *lengths]).tolist()
        text, scores, truth, more = (content[start:end] for start, end in pairwise(ends))
        data = json.loads(text)
        kind = data.pop("message")
        if kind in _PLAIN:
            return _plain(kind, data, jobs)
        job = jobs.get(_whole(data["job"]))
        if job is None:
            return None
        return _finished(job, data, scores, truth, more) if kind == "Finished" else _lost(job, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ArchiveError(f"not a worker's message ({type(error).__name__}: {error})") from None


class Sender:
    """Sends a worker's messages; a child that it forked sends nothing, and ends.

    Parameters
    ----------
    handle : int
        The descriptor of a pipe.
    """

    def __init__(self, handle: int) -> None:
        self._handle, self._pid = handle, os.getpid()

    def __call__(self, message: Message) -> None:
        """Send a message.

        Raises
        ------
        OSError
            The pipe is closed.
        """
        if os.getpid() != self._pid:
            os._exit(1)
        left = memoryview(packed(message))
        while left:
            left = left[os.write(self._handle, left) :]


class Receiver:
    """Receives a worker's messages, without ever waiting for one.

    Parameters
    ----------
    handle : int
        The descriptor of a pipe.
    """

    def __init__(self, handle: int) -> None:
        self._handle, self._buffer = handle, bytearray()
        os.set_blocking(handle, False)

    def read(self) -> bool:
        """Take in what has come; return False once nothing more will."""
        for _ in range(READS):
            try:
                chunk = os.read(self._handle, 1 << 20)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not chunk:
                return False
            self._buffer += chunk
        return True

    def take(self) -> bytes | None:
        """Return the bytes of the next message; None before it is whole.

        Raises
        ------
        ArchiveError
            What came is no message.
        """
        if len(self._buffer) < _PARTS.size:
            return None
        length = _PARTS.size + sum(_PARTS.unpack_from(self._buffer))
        if length > MOST_BYTES:
            raise ArchiveError(f"not a worker's message (of {length} bytes)")
        if len(self._buffer) < length:
            return None
        content = bytes(self._buffer[:length])
        del self._buffer[:length]
        return content


def _plain(kind: str, data: dict[str, Any], jobs: Mapping[int, Job]) -> Message | None:
    message: Message = _PLAIN[kind](**data)
    for name, value in data.items():
        annotation = _PLAIN[kind].__annotations__[name]
        if annotation in _TYPES and type(value) is not _TYPES[annotation]:
            raise TypeError(f"{name} is {value!r}")
    if isinstance(message, Progress) and message.kind not in ("features", "training"):
        raise ValueError(message.kind)
    named = getattr(message, "job", None)
    return None if named is not None and named not in jobs else message


_TYPES: dict[str, type[Any]] = {"int": int, "str": str, "Mapping[str, Any]": dict}


def _finished(job: Job, data: Mapping[str, Any], scores: bytes, truth: bytes, more: bytes) -> Finished | None:
    record = Record.from_json(data["record"])
    if record.cell.key not in {cell.key for cell in job.cells}:
        return None
    return Finished(
        job=job.id,
        record=record,
        scores=np.frombuffer(scores, "<f8").astype(np.float64) if record.status == "ok" else None,
        truth=Truth.from_bytes(truth) if truth else None,
        log=plain_text(data["log"], 1 << 17),
        arrays=_arrays(data["arrays"], more) if record.status == "ok" else {},
    )


def _arrays(lengths: Mapping[str, Any], content: bytes) -> dict[str, NDArray[np.float64]]:
    """Read the further arrays of a result.

    Raises
    ------
    ValueError, TypeError
        They are none that a result may have.
    """
    values, found, start = np.frombuffer(content, "<f8").astype(np.float64), {}, 0
    for name, length in lengths.items():
        end = start + _whole(length)
        if name not in BESIDE or length < 0 or end > len(values):
            raise ValueError(f"{name!r} of {length!r} values is no array of a result")
        found[name], start = values[start:end], end
    return found


def _lost(job: Job, data: Mapping[str, Any]) -> Lost:
    keys = set(data["cells"])
    cells: tuple[Cell, ...] = tuple(cell for cell in job.cells if cell.key in keys)
    if data["why"] not in ("interrupted", "device"):
        raise ValueError(f"a worker cannot lose cells for {data['why']!r}")
    return Lost(
        job=job.id,
        cells=cells,
        why=data["why"],
        reason=plain_text(data["reason"], 1000),
        log=plain_text(data["log"], 1 << 17),
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a job is {value!r}")
    return value
