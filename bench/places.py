"""Where data, weights and caches lie: ``ANOBENCH_DATA`` (one folder or several) and ``ANOBENCH_CACHE``."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import DataError


def data_folders() -> list[Path]:
    """Return the folders that ``ANOBENCH_DATA`` names, separated as in ``PATH``; empty when it is unset.

    Raises
    ------
    DataError
        One of them is not a folder.
    """
    folders = [
        Path(part).expanduser() for part in os.environ.get("ANOBENCH_DATA", "").split(os.pathsep) if part
    ]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"ANOBENCH_DATA names {folder}, which is not a folder; "
                "set it to the folder that holds your data sets, or unset it"
            )
    return [folder.resolve() for folder in folders]


def cache_folder() -> Path:
    """Return where features and file hashes are kept: ``ANOBENCH_CACHE`` or the user's cache folder."""
    given = os.environ.get("ANOBENCH_CACHE")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("anobench", appauthor=False))
