"""One side of a comparison of code, and a process that times its cells (`bench.run.timeworker`)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from bench.core.errors import AnobenchError, plain_text
from bench.run.timeworker import PROTOCOL, Place

#: Characters of a dead process's last words.
_LAST_WORDS = 2000


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
        command = [sys.executable, "-P", "-m", "bench.run.timeworker"]
        self._process = subprocess.Popen(
            command,
            cwd=side.folder,
            env=side.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})
        bench = [str(each) for each in side.bench]
        about = {"protocol": PROTOCOL, "suite": side.suite, "bench": bench}
        self._send({**about, "options": dict(options), "device": device})

    def clock(self) -> str:
        """Return the name of its clock, once it is ready.

        Raises
        ------
        TimingError
            Its code cannot run the suite, or is older than this way of timing.
        """
        answer = self._answer()
        if "error" in answer:
            raise TimingError(f"{self._side.name} cannot time cells: {answer['error']}")
        return str(answer["clock"])

    def seconds(self, place: Place, times: int) -> float | str:
        """Return the seconds of so many runs of a cell, or why there are none."""
        self._send({"cell": place, "times": times})
        answer = self._answer()
        return str(answer["error"]) if "error" in answer else float(answer["seconds"])

    def _send(self, data: Mapping[str, Any]) -> None:
        stream: IO[str] = self._process.stdin  # type: ignore[assignment]
        with contextlib.suppress(OSError):  # if it died, reading its answer says so
            stream.write(json.dumps(data) + "\n")
            stream.flush()

    def _answer(self) -> dict[str, Any]:
        stream: IO[str] = self._process.stdout  # type: ignore[assignment]
        line = stream.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            status = self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()[-_LAST_WORDS:].decode(errors="replace").strip().splitlines()
            if any("No module named bench.run.timeworker" in each for each in said):
                raise TimingError(f"{self._side.name} is older than --slower with --base") from None
            raise TimingError(
                f"{self._side.name}: the process that times cells ended, status {status}"
                + (f": {plain_text(said[-1], 300)}" if said else "")
            ) from None
        return answer if isinstance(answer, dict) else {"error": "it does not answer as it should"}

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()
