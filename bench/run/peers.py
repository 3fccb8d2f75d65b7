"""Other drivers on the same results folder: which cells they have, and what they have done meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.run.locks import Claims

#: Between two looks at cells that other drivers run (seconds).
LOOK_EVERY = 1.0


class PeerRuns:
    """Keeps a run from doing what others do.

    Parameters
    ----------
    archive : Archive
    claims : Claims, optional
        Without them there are no others.
    known : mapping of str to Record
        Records that were there before, by key: only another one means that another driver ran the cell.
    """

    def __init__(self, archive: Archive, claims: Claims | None, known: Mapping[str, Record]) -> None:
        self._archive, self._claims, self._known = archive, claims, dict(known)
        #: Cells that others have, by key.
        self.waiting: dict[str, Cell] = {}
        self._looked = time.monotonic()

    def claimed(self, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """Return those of the cells that nobody else runs or has run; the others are waited for."""
        if self._claims is None:
            return cells
        mine = []
        for cell in cells:
            if self._claims.take(cell.key) and self._came(cell.key) is None:
                mine.append(cell)
            else:
                self._claims.release(cell.key)
                self.waiting[cell.key] = cell
        return tuple(mine)

    def _came(self, key: str) -> Record | None:
        """Return the cell's record if another driver has written one since this run began."""
        if not self._archive.has(key):
            return None
        record = self._archive.load(key)
        return None if record is None or record == self._known.get(key) else record

    def poll(self) -> tuple[list[Record], list[Cell]]:
        """Return what others have done, and what they left undone, which is now claimed."""
        done: list[Record] = []
        left: list[Cell] = []
        now = time.monotonic()
        if self._claims is None or not self.waiting or now - self._looked < LOOK_EVERY:
            return done, left
        self._looked = now
        for key, cell in list(self.waiting.items()):
            record = self._came(key)
            if record is None and self._claims.take(key):
                # Asked again: it may have been written just before its claim went.
                record = self._came(key)
                if record is None:
                    left.append(cell)
                    del self.waiting[key]
                    continue
                self._claims.release(key)
            if record is not None:
                done.append(record)
                del self.waiting[key]
        return done, left

    def release(self, key: str) -> None:
        """Let go of a cell: its record is there, or this run will not make it."""
        if self._claims is not None:
            self._claims.release(key)

    def close(self) -> None:
        if self._claims is not None:
            self._claims.close()
