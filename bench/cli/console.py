"""The edge: what the user sees. Messages and progress go to standard error, results to standard output."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

#: Without a terminal, a line at most so often (seconds).
PLAIN_INTERVAL = 10.0


def table(title: str, *columns: str) -> Table:
    """Return an empty table in the one style of all commands."""
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def hand_out(text: str, file: Path | None) -> None:
    """Print a text as it is, or write it to a file."""
    from bench.core.files import write_atomically

    if file is None:
        sys.stdout.write(text)
    else:
        write_atomically(file, text.encode())


def duration(seconds: float) -> str:
    """Return ``"42 s"``, ``"3 min"`` or ``"2 h 5 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def log_to_stderr(*, verbose: bool) -> None:
    """Send the library's warnings (and, if verbose, its details) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s" if verbose else "%(message)s"))
    logger = logging.getLogger("bench")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
