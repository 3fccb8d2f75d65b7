"""A journal: lines of JSON that one process adds and another reads, whatever ends the first."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Lines of JSON that one process adds and another reads.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def add(self, **line: Any) -> None:
        """Add a line; a torn one before it, of a process that was killed, is closed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines since the last call; one that is not whole yet waits, a torn one is passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line) if line else None
                if isinstance(found, dict):
                    yield found
