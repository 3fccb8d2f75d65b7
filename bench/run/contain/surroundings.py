"""What a cell finds in its process and must leave there: taken before it, put back after it, and named."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.run.contain import libraries, python
from bench.run.contain.held import Held, differs
from bench.run.contain.leftover import children, end_children, threads
from bench.run.contain.replaced import Replaced

#: Replaced functions are looked for after a cell that took so many times as long as looking.
WORTH = 10.0
#: At most so many replaced functions are named.
MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Changes:
    """What a cell changed.

    Attributes
    ----------
    restored : tuple of str
        What was put back, in words.
    lasting : tuple of str
        What could not be: the process should run nothing more.
    """

    restored: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Return what a record says of it."""
        found = []
        if self.restored:
            found.append(f"changed what cells of a process share, put back: {', '.join(self.restored)}")
        if self.lasting:
            found.append(f"changed its process for good: {', '.join(self.lasting)}")
        return tuple(found)


class Surroundings:
    """What the cells of a process share.

    Use: `take` before a cell, `restore` after it, in the process's main thread.
    """

    def __init__(self) -> None:
        self._held: list[Held] = [*python.held(), *libraries.held()]
        self._folder = _open_folder()
        self._streams: list[tuple[int, Any, int]] = []
        self._replaced, self._looking = Replaced(), 0.0
        self._who = self._last = ""
        self._unlooked = False
        self.take("")

    def take(self, who: str) -> None:
        """Note how everything is; `who` is about to run."""
        if self._unlooked and who != self._last:
            self._replaced.restore()
            self._unlooked = False
        self._who, self._began = who, time.perf_counter()
        self._values = [each.value() for each in self._held]
        self._modules = len(sys.modules)
        self._take_folder()
        self._take_streams()
        self._children, self._threads = children(), threads()
        if self._replaced.grown():
            self._replaced.take()

    def restore(self) -> Changes:
        """Put everything back; return what was not as it had been."""
        restored, lasting = self._restore_streams(), list[str]()
        imported = len(sys.modules) > self._modules and any(
            not name.startswith("_anobench_") for name in list(sys.modules)[self._modules :]
        )
        for each, before in zip(self._held, self._values, strict=True):
            now = each.value()
            if not differs(now, before):
                continue
            by_imports = each.by_imports if imported else ""
            if by_imports == "keep":
                continue
            if each.restore(before) or (each.read is python.read_folder and self._back()):
                restored += [] if by_imports else [each.name]
            else:
                lasting.append(each.name)
        restored += self._functions()
        left = children() - self._children
        if left:
            end_children(left)
            restored.append(f"{len(left)} process{'es' if len(left) > 1 else ''} left running")
        running = [thread for thread in threads() - self._threads if thread.is_alive()]
        if running:
            lasting.append(f"{len(running)} thread{'s' if len(running) > 1 else ''} left running")
        return Changes(tuple(restored), tuple(lasting))

    def _functions(self) -> list[str]:
        """Give functions back that were replaced, where looking is worth the time; return their names."""
        took = time.perf_counter() - self._began
        self._unlooked = self._last == self._who and took < WORTH * self._looking
        self._last = self._who
        if self._unlooked:
            return []
        started = time.perf_counter()
        names = self._replaced.restore()
        self._looking = time.perf_counter() - started
        more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
        return [*names[:MOST_NAMED], *more]

    def _take_folder(self) -> None:
        """Hold the working directory open, to come back even if its path is gone."""
        where = self._values[self._at_folder()]
        if where != getattr(self, "_folder_name", None):
            self._folder_name = where
            if self._folder is not None:
                os.close(self._folder)
            self._folder = _open_folder()

    def _at_folder(self) -> int:
        return next(at for at, each in enumerate(self._held) if each.read is python.read_folder)

    def _back(self) -> bool:
        if self._folder is None:
            return False
        with contextlib.suppress(OSError):
            os.fchdir(self._folder)
            return True
        return False

    def _take_streams(self) -> None:
        """Keep copies of the standard descriptors, made again when they lead elsewhere than before."""
        now = [_leads_to(number) for number in range(3)]
        if [to for _, to, _ in self._streams] == now:
            return
        for _, _, copy in self._streams:
            with contextlib.suppress(OSError):
                os.close(copy)
        self._streams = [(number, to, os.dup(number) if to else -1) for number, to in enumerate(now)]

    def _restore_streams(self) -> list[str]:
        changed = False
        for number, to, copy in self._streams:
            if to is not None and _leads_to(number) != to:
                changed = True
                with contextlib.suppress(OSError):
                    os.dup2(copy, number)
        return ["standard descriptors"] if changed else []


def _open_folder() -> int | None:
    try:
        return os.open(".", os.O_RDONLY)
    except OSError:
        return None


def _leads_to(number: int) -> tuple[int, int, int] | None:
    """Return what a descriptor is open on; None if it is closed."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_rdev
