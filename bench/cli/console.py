"""The edge: what the user sees. Messages and progress go to standard error, results to standard output."""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import logging
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.run.live import err
from bench.run.progress import duration

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

__all__ = ["duration", "err", "hand_json", "hand_out", "log_to_stderr", "out", "output", "table"]

#: Characters of a line in a file: tables are not folded to a screen.
FILE_WIDTH = 200

#: Of what `--json` prints.
JSON_SCHEMA = 1

out = Console(highlight=False, soft_wrap=True, markup=False)


def table(title: str, *columns: str) -> Table:
    """Return an empty table in the style of all commands."""
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


class FileConsole(Console):
    """A console that writes a file when it is closed; without one, to the screen."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._text = path, io.StringIO()
        width = {} if path is None else {"file": self._text, "width": FILE_WIDTH}
        super().__init__(highlight=False, soft_wrap=True, markup=False, **width)  # type: ignore[arg-type]

    def close(self) -> None:
        if self._path is not None:
            hand_out(self._text.getvalue(), self._path)


def output(path: Path | None) -> FileConsole:
    """Return where a command's result goes: a file, or the screen."""
    return FileConsole(path)


def hand_out(text: str, file: Path | None) -> None:
    """Print a text, or write it to a file."""
    from bench.core.files import readable, write_atomically

    if file is None:
        sys.stdout.write(text)
    else:
        write_atomically(file, readable(text).encode())


def hand_json(verb: str, about: Mapping[str, Any], file: Path | None = None) -> None:
    """Print what a command found as JSON, or write it to a file: a schema, the command, and its values.

    Numbers that JSON has no word for (infinite, none) become null.
    """
    whole = {"schema": JSON_SCHEMA, "command": verb, **about}
    hand_out(json.dumps(_plain(whole), indent=1, ensure_ascii=False, allow_nan=False) + "\n", file)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: of an object its fields, of anything else its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)


def log_to_stderr(*, verbose: bool) -> None:
    """Send the library's warnings (and, if verbose, its details) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s" if verbose else "%(message)s"))
    logger = logging.getLogger("bench")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
