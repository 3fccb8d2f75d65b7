"""What a worker says is checked: nothing of it runs in the driver, and what fits no job changes nothing."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest

from bench.core.errors import ArchiveError
from bench.core.truth import Truth
from bench.run.executors.base import Extracted, Finished, Job, Progress, interrupted
from bench.run.executors.wire import Began, Message, Ready, Receiver, Sender, Warned, packed, unpacked
from tests.factory import make_cell, make_record

CELL, OTHER = make_cell("1"), make_cell("2")
JOB = Job(id=3, cells=(CELL,))
JOBS = {JOB.id: JOB}
TRUTH = Truth(
    labels=np.array([0, 1], np.uint8), sources=("a",), which=np.zeros(2, np.uint8), rows=np.arange(2)
)
FINISHED = Finished(job=3, record=make_record(CELL), scores=np.array([1e300, 1 / 3]), truth=TRUTH, log="said")


@pytest.mark.parametrize(
    "message",
    [
        Ready(device_bytes=5, environment={"device": "cpu"}),
        Began(job=3),
        Warned(logger="bench.x", level=30, text="a"),
        Progress(job=3, kind="training", what="a", done=1, total=2),
        Extracted(job=3, reason="none"),
        interrupted(JOB),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert unpacked(packed(message), JOBS) == message


def test_a_result_arrives_with_every_digit() -> None:
    found = unpacked(packed(FINISHED), JOBS)
    assert isinstance(found, Finished)
    assert found.record == FINISHED.record
    assert found.log == "said"
    assert found.scores is not None
    assert found.scores.tobytes() == np.array([1e300, 1 / 3]).tobytes()
    assert found.truth is not None
    assert found.truth.identity == TRUTH.identity


@pytest.mark.parametrize(
    "message",
    [
        replace(FINISHED, job=4),
        replace(FINISHED, record=make_record(OTHER)),
        Began(job=4),
        Extracted(job=-1),
        Progress(job=4, kind="training", what="a", done=1, total=2),
    ],
)
def test_what_fits_no_job_is_passed_over(message: Message) -> None:
    assert unpacked(packed(message), JOBS) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 24,
        pickle.dumps(FINISHED.record),
        packed(FINISHED)[:-1],
        packed(FINISHED).replace(b'"job": 3', b'"job": []'),
        packed(FINISHED).replace(b"Finished", b"Finishes"),
        packed(interrupted(JOB)).replace(b'"interrupted"', b'"node_______"'),
        packed(Began(job=3)).replace(b": 3", b":[]"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ArchiveError, match="not a worker's message"):
        unpacked(content, JOBS)


def test_messages_are_read_in_pieces_and_nobody_waits() -> None:
    reads, writes = os.pipe()
    receiver = Receiver(reads)
    assert receiver.read()
    assert receiver.take() is None
    content = packed(FINISHED)
    for piece in (content[:5], content[5:40], content[40:]):
        assert receiver.take() is None
        os.write(writes, piece)
        assert receiver.read()
    assert receiver.take() == content
    Sender(writes)(Began(job=3))
    os.close(writes)
    assert not receiver.read()
    assert unpacked(receiver.take() or b"", JOBS) == Began(job=3)
    os.close(reads)


def test_a_message_without_end_is_refused() -> None:
    reads, writes = os.pipe()
    receiver = Receiver(reads)
    os.write(writes, b"\xff" * 64)
    receiver.read()
    with pytest.raises(ArchiveError, match="not a worker's message"):
        receiver.take()
    os.close(reads)
    os.close(writes)


def test_a_forked_child_says_nothing() -> None:
    reads, writes = os.pipe()
    send = Sender(writes)
    pid = os.fork()
    if not pid:
        send(Began(job=3))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(writes)
    assert os.read(reads, 10) == b""
    os.close(reads)
