"""Files: writing one atomically, and where results, data (``ANOBENCH_DATA``) and caches are."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

from bench.core.errors import AnobenchError, ArchiveError, DataError


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Seconds.
DAY = 86400.0
#: Read once: reading it means setting it, which several threads must not do.
UMASK = _umask()


def here() -> str:
    """Return a name for this process among those of all machines that may share a folder."""
    return f"{_machine()}-{os.getpid()}"


@functools.cache
def _machine() -> str:
    """Return a name for this machine since it started, and for its container."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            found = Path(path)
            parts.append(str(found.readlink()) if found.is_symlink() else found.read_text())
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]


def temporary_prefix() -> str:
    """Return how temporary folders of this process begin."""
    return f"anobench-{here()}-"


def _gone(name: str) -> bool:
    """Return whether a temporary file's or folder's process ran on this machine and is gone."""
    found = re.search(rf"(?:^anobench-|\.){_machine()}-(\d+)[.-]", name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def sweep(folder: Path) -> int:
    """Delete what killed processes of this machine left half-written in a folder; return how many.

    Of what other machines left only what nobody can still be writing: a day old.
    """
    number = 0
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.startswith(".") and entry.name.endswith(".tmp")]
    except OSError:
        return 0
    for entry in found:
        with contextlib.suppress(OSError):
            if _gone(entry.name) or time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY:
                os.unlink(entry.path)  # noqa: PTH108
                number += 1
    return number


def sweep_temporary() -> None:
    """Delete the temporary folders of killed runs on this machine."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if (
                entry.name.startswith("anobench-")
                and _gone(entry.name)
                and entry.is_dir(follow_symlinks=False)
            ):
                shutil.rmtree(entry.path, ignore_errors=True)


def absolute(path: Path) -> Path:
    """Return where a path leads now; a relative one as it is where the working directory is gone."""
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100
    except OSError:
        return path


def is_file(path: Path) -> bool:
    """Return whether there is such a file; there is none of a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that, whatever happens, it is complete or does not exist.

    With `durable`, it is on the disk when this returns.

    Raises
    ------
    ArchiveError
        The folder cannot be written or the disk is full.
    """
    try:
        write_file(path, content, durable=durable)
    except OSError as error:
        raise ArchiveError(
            f"{path.parent} cannot be written ({error.strerror or error}); "
            "choose another folder with --results, or mend its permissions or free space"
        ) from None


def write_file(path: Path, *parts: bytes | memoryview, durable: bool = True) -> None:
    """Write a file completely or not at all, as `write_atomically`, for callers that handle failure.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{here()}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~UMASK)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def readable(text: str) -> str:
    """Return text that can be written in UTF-8: bytes of a file's name that are no text show as ``\ufffd``.

    Where the system's encoding is not UTF-8, a name that is becomes what it should be.
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        # Only the halves of a broken pair cannot be bytes of a name.
        lone = {
            ord(each): "\ufffd" for each in text if "\ud800" <= each < "\udc80" or "\udcff" < each <= "\udfff"
        }
        return text.translate(lone).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def working_directory() -> Path:
    """Return the working directory.

    Raises
    ------
    AnobenchError
        It was deleted or unmounted.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise AnobenchError(
            f"the working directory cannot be used ({error.strerror or error}): it was deleted or unmounted; "
            "change to a folder that exists"
        ) from None


def results_folder() -> Path:
    """Return the results folder where none is named: ``results`` in the working directory.

    In a checkout of anobench ``results`` holds the leaderboards that are kept in git, so there it is
    ``my-results``, which git ignores.
    """
    try:
        about = Path("pyproject.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        about = ""
    inside = 'name = "anobench"' in about and Path("bench", "__init__.py").is_file()
    return Path("my-results" if inside else "results")


def expanded(path: str | Path) -> Path:
    """Return a path with its ``~`` expanded.

    Raises
    ------
    AnobenchError
        There is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AnobenchError(
            f"{path}: there is no such home folder (HOME is not set, and the user has no entry in passwd); "
            "write the path in full, or set HOME"
        ) from None


def data_folders() -> list[Path]:
    """Return the folders that ``ANOBENCH_DATA`` names, separated as in ``PATH``; empty when it is unset.

    Raises
    ------
    DataError
        One of them is not a folder.
    """
    folders = [expanded(part) for part in os.environ.get("ANOBENCH_DATA", "").split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"ANOBENCH_DATA names {folder}, which is not a folder; "
                "set it to the folder that holds your data sets, or unset it"
            )
    return [folder.resolve() for folder in folders]


def cache_folder() -> Path:
    """Return the folder of features and file hashes: ``ANOBENCH_CACHE`` or the user's cache folder.

    Raises
    ------
    AnobenchError
        The user has no home folder, and ``ANOBENCH_CACHE`` is not set.
    """
    given = os.environ.get("ANOBENCH_CACHE")
    if given:
        return expanded(given)
    import platformdirs

    try:
        found = Path(platformdirs.user_cache_dir("anobench", appauthor=False))
    except RuntimeError:
        found = Path("~")
    if not found.is_absolute():  # a "~" that nobody could expand
        raise AnobenchError(
            "there is no folder for the cache (HOME is not set, and the user has no entry in passwd); "
            "set ANOBENCH_CACHE to a folder that can be written"
        )
    return found
