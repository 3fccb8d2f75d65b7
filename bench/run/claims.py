"""Claims: which of several drivers on one results folder runs a cell, and what the other drivers have done.

Nothing is ever written into ``<results>/records/claims``: a driver locks one byte of it for each cell that it
runs, at an offset given by the cell's key, and one for itself. The system releases locks however a driver
ends, so neither clocks nor process numbers matter and nothing is left behind. Where files cannot be locked
there are no claims: two drivers may run the same cell, and both records are still intact.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

log = logging.getLogger(__name__)

#: Between two looks at cells that other drivers run (seconds).
LOOK_EVERY = 1.0


class Claims:
    """The claims of one driver. Locks belong to the process: use one instance at a time in a process.

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
        """Claim a cell, perhaps again; return False if another driver has it."""
        return not self._usable or _lock(self._handle, key)

    def release(self, key: str) -> None:
        """Release a cell: its record is written, or another driver may run it."""
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _offset(key))

    def close(self) -> None:
        """Release everything."""
        os.close(self._handle)


def lives(file: Path, driver: str) -> bool:
    """Return whether another process runs the driver of this name, whose byte is then locked."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(handle, driver)
    finally:
        os.close(handle)


def _offset(key: str) -> int:
    return int(key[:15], 16)


def _lock(handle: int, key: str) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
    except OSError:
        return False
    return True


class PeerRuns:
    """Keeps a run from repeating the work of other drivers.

    Parameters
    ----------
    archive : Archive
    claims : Claims
    known : mapping of str to Record
        Records from before the run, by key: a different one means that another driver ran the cell.
    """

    def __init__(self, archive: Archive, claims: Claims, known: Mapping[str, Record]) -> None:
        self._archive, self._claims, self._known = archive, claims, dict(known)
        #: Cells that other drivers run, by key.
        self.waiting: dict[str, Cell] = {}
        self._looked = time.monotonic()

    def claimed(self, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """Return the cells that no other driver runs or has run; wait for the rest."""
        mine = []
        for cell in cells:
            if self._claims.take(cell.key) and self._arrived(cell.key) is None:
                mine.append(cell)
            else:
                self._claims.release(cell.key)
                self.waiting[cell.key] = cell
        return tuple(mine)

    def _arrived(self, key: str) -> Record | None:
        """Return the cell's record if another driver has written one since this run started."""
        record = self._archive.load(key) if self._archive.has(key) else None
        return None if record == self._known.get(key) else record

    def poll(self) -> tuple[list[Record], list[Cell]]:
        """Return the records of other drivers, and the cells that they gave up, which are now claimed."""
        done: list[Record] = []
        left: list[Cell] = []
        now = time.monotonic()
        if not self.waiting or now - self._looked < LOOK_EVERY:
            return done, left
        self._looked = now
        for key, cell in list(self.waiting.items()):
            record = self._arrived(key)
            if record is None:
                if not self._claims.take(key):
                    continue
                # Look again: the record may have been written just before the claim was released.
                record = self._arrived(key)
                if record is None:
                    left.append(cell)
                else:
                    self._claims.release(key)
            if record is not None:
                done.append(record)
            del self.waiting[key]
        return done, left

    def release(self, key: str) -> None:
        """Release a cell: its record is written, or this run will not write one."""
        self._claims.release(key)

    def close(self) -> None:
        self._claims.close()
