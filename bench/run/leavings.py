"""What killed runs left behind, swept by the next: half-written files, status files, folders, processes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.core.files import sweep, sweep_temporary
from bench.run.claims import lives
from bench.run.contain.leftover import end_abandoned
from bench.run.progress import Snapshot


@contextlib.contextmanager
def removed(folder: Path) -> Iterator[None]:
    """Remove a folder after the block, and the one around it if it is empty."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def sweep_left(archive: Archive) -> None:
    """Remove what no living process owns; call it before this run has claims of its own.

    A claim is a lock, and a process that closes a file loses all its locks on it.
    """
    end_abandoned()
    sweep_temporary()
    folders = [archive.results, archive.results / "figures", archive.root]
    with contextlib.suppress(OSError), os.scandir(archive.root) as entries:
        folders += [archive.root / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for folder in folders:
        sweep(folder)
    with contextlib.suppress(OSError), os.scandir(archive.root / "maps") as entries:
        for entry in entries:
            if not re.fullmatch("[0-9a-f]{32}", entry.name) or not lives(archive.root / "claims", entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)
    for path in (archive.root / "status").glob("*.json"):
        with contextlib.suppress(OSError):
            try:
                driver = Snapshot.from_json(path.read_text(encoding="utf-8")).driver
            except (ArchiveError, UnicodeDecodeError):
                driver = ""
            if not driver or not lives(archive.root / "claims", driver):
                path.unlink(missing_ok=True)
