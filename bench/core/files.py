"""Files: writing one atomically, and where results, data (``ANOBENCH_DATA``) and caches are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from bench.core.errors import AnobenchError, ArchiveError, DataError


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Read once: reading it means setting it, which several threads must not do.
_UMASK = _umask()


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # noqa: PTH101
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
