"""Writing a file so that, whatever happens, it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from bench.errors import ArchiveError


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


#: Read once: it can only be read by setting it, which several threads must not do.
_UMASK = _umask()


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that, whatever happens, it is there whole or not at all.

    Raises
    ------
    ArchiveError
        The folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
        raise ArchiveError(
            f"{path.parent} cannot be written ({error.strerror or error}); "
            "choose another folder with --results, or mend its permissions or free space"
        ) from None
