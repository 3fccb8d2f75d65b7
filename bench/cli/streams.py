"""Standard streams as they come: closed, on a full disk, in an encoding that lacks characters."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from bench.core.errors import AnobenchError


class OutputLost(AnobenchError):
    """A standard stream cannot be written, as on a full disk."""


class _Stream:
    """A standard stream whose failures say which one it was; a reader that went away stays an `OSError`."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._blamed():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._blamed():
            self._stream.flush()

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputLost(
                f"{self._name} cannot be written ({error.strerror or error}); what was finished is kept"
            ) from None


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """Let closed streams lead nowhere, and write characters that an encoding lacks as ``\\xfc``.

    A closed stream's number would else go to the next file that is opened, and messages into that file.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            _lead_nowhere(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    named = zip(before, ("standard output", "standard error"), strict=True)
    sys.stdout, sys.stderr = (cast(TextIO, _Stream(stream, name)) for stream, name in named)
    try:
        yield
        sys.stdout.flush()
    except SystemExit:
        sys.stdout.flush()
        raise
    finally:
        sys.stdout, sys.stderr = before
        for number, stream in enumerate(before, 1):
            try:
                stream.flush()
            except OSError:
                _lead_nowhere(number)  # else Python complains once more when it ends


def _lead_nowhere(number: int) -> None:
    """Let what is written to a standard stream vanish."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def complain(text: str) -> None:
    """Write a line to standard error, if that can be."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _lead_nowhere(2)
