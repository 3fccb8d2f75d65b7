"""Downloads data sets in parquet form from the Hugging Face hub, through Hugging Face `datasets`."""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
from pathlib import Path

from bench.core.errors import DataError
from bench.core.files import cache_folder, write_atomically

log = logging.getLogger(__name__)


def cached(repository: str, config: str | None = None) -> Path | None:
    """Return the folder of an earlier `download` that is still complete, None if there is none."""
    folder = _folder(repository, config)
    return folder if _is_complete(folder / "complete.json") else None


def _folder(repository: str, config: str | None) -> Path:
    return cache_folder() / "hub" / "--".join([*repository.split("/"), *([config] if config else [])])


def download(repository: str, config: str | None = None) -> Path:
    """Download the parquet files of a hub data set.

    Returns
    -------
    Path
        A folder under the cache, in the hub's layout (``<split>-00000-of-00001.parquet``), of links into
        Hugging Face's own cache. It is used again without a network.

    Raises
    ------
    DataError
        There is no network, no such data set, or it has no parquet files.
    """
    folder = _folder(repository, config)
    if cached(repository, config):
        return folder
    _check_network(repository)
    datasets = importlib.import_module("datasets")
    log.info("%s: downloading from the Hugging Face hub", repository)
    try:
        splits = _parquet_of(repository, config)
        manager = datasets.DownloadManager(dataset_name=repository)
        local = {split: manager.download(list(urls)) for split, urls in splits.items()}
    except DataError:
        raise
    except Exception as error:  # the hub's client raises a dozen kinds: no network, no such name, gated, …
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"the Hugging Face hub does not give {repository} ({type(error).__name__}: {reason}); "
            "check the name and the network, or put a copy into a folder of ANOBENCH_DATA"
        ) from error
    return _link(folder, {split: [Path(path) for path in paths] for split, paths in local.items()})


def _is_complete(done: Path) -> bool:
    """Return whether all files of a finished download are there (links may have lost their target)."""
    try:
        return all((done.parent / file).is_file() for file in json.loads(done.read_bytes()))
    except (OSError, ValueError, TypeError):
        return False


def _check_network(repository: str) -> None:
    """Fail at once where there is no network: the hub's client would try again for half a minute."""
    if any(os.environ.get(name) for name in ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    if Path(repository).is_dir():
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        raise DataError(
            f"the Hugging Face hub cannot be reached to get {repository}; "
            "connect to the network, or put a copy into a folder of ANOBENCH_DATA"
        ) from None


def _parquet_of(repository: str, config: str | None) -> dict[str, list[str]]:
    """Return the addresses of each split's parquet files, else of those that the hub converted."""
    datasets = importlib.import_module("datasets")
    for revision in (None, "refs/convert/parquet"):
        builder = datasets.load_dataset_builder(repository, config, revision=revision)
        files = builder.config.data_files or {}
        splits = {str(split): [str(url) for url in urls] for split, urls in files.items()}
        if splits and all(url.endswith(".parquet") for urls in splits.values() for url in urls):
            return splits
    raise DataError(
        f"the hub data set {repository} has no parquet files; expected images and labels in parquet"
    )


def _link(folder: Path, splits: dict[str, list[Path]]) -> Path:
    """Link the downloaded files under their names in the hub's layout; the list of them is written last."""
    names = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split, paths in splits.items():
            for i, path in enumerate(paths):
                name = f"{split}-{i:05d}-of-{len(paths):05d}.parquet"
                temporary = folder / f".{name}.{os.getpid()}"
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(path.resolve())
                temporary.replace(folder / name)
                names.append(name)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror or error}); set ANOBENCH_CACHE to a folder that can"
        ) from None
    write_atomically(folder / "complete.json", json.dumps(names).encode())
    return folder
