"""Claims: who of several drivers on one results folder runs a cell.

One file, ``<results>/records/claims``, into which nothing is ever written: a driver holds a lock on one byte
of it for each cell that it has, at a place that the cell's key names, and on one for itself. The system lets
go of locks however a driver ends, so that neither clocks nor process numbers decide and nothing is left
behind. Where files cannot be locked there are no claims: two drivers may run a cell twice, and their records
are whole all the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from pathlib import Path
from types import ModuleType

from bench.core.errors import ArchiveError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

log = logging.getLogger(__name__)


class Claims:
    """The claims of one driver. Locks are a process's: a process has one of these at a time.

    Parameters
    ----------
    file : Path
        ``<results>/records/claims``.

    Raises
    ------
    ArchiveError
        It cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file, self.name = file, uuid.uuid4().hex
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ArchiveError(
                f"{file} cannot be written ({error.strerror or error}); "
                "choose another folder with --results, or mend its permissions or free space"
            ) from None
        self._usable = _lock(self._handle, self.name)
        if not self._usable:
            log.warning("%s cannot be locked; run one driver at a time on this folder", file)

    def take(self, key: str) -> bool:
        """Claim a cell; return False if another driver has it. What one has already can be taken again."""
        return not self._usable or _lock(self._handle, key)

    def release(self, key: str) -> None:
        """Give a cell back, or let go of it once its record is there."""
        _unlock(self._handle, key)

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._handle)


def lives(file: Path, driver: str) -> bool:
    """Return whether a driver of this name, of another process, runs: its byte is locked."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(handle, driver)
    finally:
        os.close(handle)


def _place(key: str) -> int:
    return int(key[:15], 16)


def _lock(handle: int, key: str) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
    except OSError:
        return False
    return True


def _unlock(handle: int, key: str) -> None:
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.lockf(handle, fcntl.LOCK_UN, 1, _place(key))
