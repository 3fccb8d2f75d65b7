"""One side of a comparison of code, and a process that times its cells (`bench.run.timeworker`)."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from bench.core.errors import AnobenchError, exit_words, plain_text, said
from bench.run.timeworker import PROTOCOL, Place

#: Bytes and lines of a dead process's last words; what a crash of the interpreter says begins with `_CRASH`.
_LAST_BYTES, _LAST_LINES, _CRASH = 16_000, 6, "Fatal Python error"
#: Seconds for a process that answers no more to end, and after which one that does not answer is looked at.
_EXIT_SECONDS, _LOOK_SECONDS = 10.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSide:
    """The code of one side.

    Attributes
    ----------
    name : str
        For messages.
    folder : Path
        Where it runs.
    path : tuple of Path
        What goes first on Python's path.
    suite : str
        A name, or a file.
    bench : tuple of Path
        Bench folders.
    """

    name: str
    folder: Path
    path: tuple[Path, ...]
    suite: str
    bench: tuple[Path, ...] = ()
    #: Of features, if it must not share them.
    cache: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes."""
        more = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        path = [*map(str, self.path), *(str(Path(each).resolve()) for each in more)]
        cache = {} if self.cache is None else {"ANOBENCH_CACHE": str(self.cache)}
        return {**os.environ, **cache, "PYTHONPATH": os.pathsep.join(path)}


class TimingError(AnobenchError):
    """A side cannot time its cells."""


class Timer:
    """A process that times the cells of one side (`bench.run.timeworker`)."""

    def __init__(self, side: CodeSide, options: Mapping[str, Any], device: str, core: int | None) -> None:
        self._side, self._errors = side, TemporaryFile()  # noqa: SIM115
        self._doing = "it got ready"
        # A crash of the interpreter (a segmentation fault, say) then writes where it was.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "bench.run.timeworker"]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=side.folder,
                env=side.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._errors.close()
            raise TimingError(
                f"{side.name}: no process to time cells can be started: {said(error)}"
            ) from None
        if core is not None:
            self._bind(core)
        bench = [str(each) for each in side.bench]
        about = {"protocol": PROTOCOL, "suite": side.suite, "bench": bench}
        self._send({**about, "options": dict(options), "device": device})

    def _bind(self, core: int) -> None:
        try:
            os.sched_setaffinity(self._process.pid, {core})
        except OSError as error:
            if self._process.poll() is None:  # if it died, reading its answer says so
                self.close()
                raise TimingError(
                    f"{self._side.name}: its process cannot be bound to core {core}: {said(error)}"
                ) from None

    def clock(self) -> str:
        """Return the name of its clock, once it is ready.

        Raises
        ------
        TimingError
            Its code cannot run the suite, or is older than this way of timing; or its process died.
        """
        answer = self._answer()
        if "error" in answer or "clock" not in answer:
            why = answer.get("error", f"it answers {json.dumps(answer)}")
            raise TimingError(f"{self._side.name} cannot time cells: {why}")
        return str(answer["clock"])

    def seconds(self, place: Place, times: int) -> float | str:
        """Return the seconds of so many runs of a cell, or why there are none.

        Raises
        ------
        TimingError
            Its process died.
        """
        self._doing = f"it timed {'/'.join(place[:2])} of {place[2]}"
        self._send({"cell": place, "times": times})
        answer = self._answer()
        seconds = answer.get("seconds")
        if isinstance(seconds, float | int):
            return float(seconds)
        return str(answer.get("error", f"it answers {json.dumps(answer)}"))

    def _send(self, data: Mapping[str, Any]) -> None:
        stream: IO[str] = self._process.stdin  # type: ignore[assignment]
        with contextlib.suppress(OSError):  # if it died, reading its answer says so
            stream.write(json.dumps(data) + "\n")
            stream.flush()

    def _answer(self) -> dict[str, Any]:
        stream: IO[str] = self._process.stdout  # type: ignore[assignment]
        # A child that it forked holds the pipe open after its death.
        with selectors.DefaultSelector() as looking:  # select itself knows no descriptors above 1,023
            looking.register(stream, selectors.EVENT_READ)
            while not looking.select(_LOOK_SECONDS):
                if self._process.poll() is not None and not looking.select(0):
                    raise TimingError(self._death())
        line = stream.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        if line.endswith("\n"):  # it lives, and would wait for us
            raise TimingError(
                f"{self._side.name}: the process that times cells says {plain_text(line.strip(), 200)!r}, "
                "which is no answer"
            )
        raise TimingError(self._death())

    def _death(self) -> str:
        """Return how the process ended: its status or signal, when, and what it last wrote."""
        try:
            status = self._process.wait(_EXIT_SECONDS)
            how = exit_words(status)
        except subprocess.TimeoutExpired:
            status, how = 0, "answers no more, though it runs"
        words = self._last_words()
        if any("No module named bench.run.timeworker" in each for each in words):
            return f"{self._side.name} is older than --slower with --base"
        if status == -signal.SIGKILL:
            how += ", as a system does that runs out of memory"
        last = plain_text(" | ".join(words), 1000) if words else "nothing"
        return (
            f"{self._side.name}: the process that times cells {how} while {self._doing}; "
            f"the end of its standard error: {last}"
        )

    def _last_words(self) -> list[str]:
        """Return the last lines of its standard error; of a crash of the interpreter the first."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _LAST_BYTES))
        text = self._errors.read().decode(errors="replace")
        lines = [each.strip() for each in text.splitlines() if each.strip()]
        crashes = [at for at, line in enumerate(lines) if line.startswith(_CRASH)]
        return lines[crashes[-1] :][:_LAST_LINES] if crashes else lines[-_LAST_LINES:]

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()
