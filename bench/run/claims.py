"""Claims: who of several drivers on one results folder runs a cell.

::

    <results>/records/claims/<driver>.driver    locked for as long as the driver lives
                             <cell's key>       holds the driver's name; gone once the record is there

Before a cell starts its claim is made, a file that only one can create, and the archive is looked at again. A
claim counts while its driver's lock is held: the system lets go of that however the driver ends, so that
neither clocks nor process numbers decide. Where files cannot be locked there are no claims, and two drivers
may run a cell twice; their records are whole all the same.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from bench.errors import ArchiveError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

#: What a file system says that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

log = logging.getLogger(__name__)


class Claims:
    """The claims of one driver.

    Parameters
    ----------
    folder : Path
        ``<results>/records/claims``.

    Raises
    ------
    ArchiveError
        The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.name = folder, uuid.uuid4().hex
        self._own = folder / f"{self.name}.driver"
        self._held: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone():  # until it is locked, another driver would take it for left behind
                self._lock = os.open(self._own, os.O_RDWR | os.O_CREAT, 0o666)
                os.write(self._lock, self.name.encode())
                self.usable = try_lock(self._lock)
        except OSError as error:
            raise _unwritable(folder, error) from None
        if not self.usable:
            log.warning("%s: files cannot be locked there; run one driver at a time", folder)

    def take(self, key: str) -> bool:
        """Claim a cell; return False if another driver that lives has it.

        Raises
        ------
        ArchiveError
            The folder cannot be written.
        """
        if not self.usable or key in self._held or self._create(key) or self._take_over(key):
            self._held.add(key)
            return True
        return False

    def _create(self, key: str) -> bool:
        try:
            # Linked under its name with its content, so that nobody sees a claim without an owner.
            os.link(self._own, self._folder / key)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise _unwritable(self._folder, error) from None
            log.warning("%s: there are no hard links there; run one driver at a time", self._folder)
            self.usable = False
        return True

    def _take_over(self, key: str) -> bool:
        """Take the claim of a driver that is gone; one driver at a time looks after that."""
        with self._alone():
            owner = self._owner(key)
            if owner == self.name:
                return True
            if owner is not None and lives(self._folder, owner):
                return False
            (self._folder / key).unlink(missing_ok=True)
            return self._create(key)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # no locks there: `usable` will say so
                    fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _owner(self, key: str) -> str | None:
        try:
            return (self._folder / key).read_text()
        except FileNotFoundError:
            return None

    def release(self, key: str) -> None:
        """Give a cell back, or let go of it once its record is there."""
        if key in self._held:
            self._held.discard(key)
            if self.usable:
                with contextlib.suppress(OSError):
                    (self._folder / key).unlink()

    def close(self) -> None:
        """Let go of everything; drop what drivers that are gone left behind."""
        for key in list(self._held):
            self.release(key)
        with contextlib.suppress(OSError):
            if self.usable:
                self._tidy()
        os.close(self._lock)
        with contextlib.suppress(OSError):
            self._own.unlink()

    def _tidy(self) -> None:
        with self._alone():
            for path in self._folder.iterdir():
                gone = (
                    path.suffix == ".driver" and path.stem != self.name and not lives(self._folder, path.stem)
                )
                orphan = not path.suffix and path.name != ".lock" and not self._alive_owner(path)
                if gone or orphan:
                    path.unlink(missing_ok=True)

    def _alive_owner(self, path: Path) -> bool:
        owner = self._owner(path.name)
        return owner is not None and lives(self._folder, owner)


def lives(folder: Path, driver: str) -> bool:
    """Return whether a driver of this name runs, wherever: its lock is held."""
    try:
        handle = os.open(folder / f"{driver}.driver", os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(handle)
    finally:
        os.close(handle)


def _unwritable(folder: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{folder} cannot be written ({error.strerror or error}); "
        "choose another folder with --results, or mend its permissions or free space"
    )


def try_lock(handle: int) -> bool:
    """Lock a file if nobody has; False also where files cannot be locked."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
