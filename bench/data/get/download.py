"""Obtains data sets: from the Hugging Face hub, through torchvision, or as an official archive with a sha256.

A data set is downloaded only where its licence lets anyone download it; where the licence sets conditions
(non-commercial use, say) the user must have accepted them. For all others the error says where to get the
data, which layout it must have, and how many images are expected.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib
import logging
import os
import shutil
import urllib.request
from pathlib import Path
from typing import IO, Any

from bench.core.errors import DataError
from bench.core.files import data_folders
from bench.data.copies import MissingData, find_copy
from bench.data.dataset import Dataset, Download, OneVsRest
from bench.data.get.unpack import UnpackLimits, unpack

log = logging.getLogger(__name__)

BLOCK = 2**20
TIMEOUT = 60.0


def download_method(dataset: Dataset) -> str:
    """Return how a data set can be obtained: ``"hub"``, ``"torchvision"``, ``"archive"``, or ``""``."""
    if isinstance(dataset, OneVsRest) and dataset.hub is not None:
        return "hub"
    return "torchvision" if dataset.torchvision else "archive" if dataset.download else ""


def obtain(dataset: Dataset, *, accept: bool = False) -> Path | None:
    """Return the folder of a data set, downloading it first if need be.

    Parameters
    ----------
    accept : bool
        The user has accepted the licence's conditions.

    Returns
    -------
    Path or None
        None for embedded data.

    Raises
    ------
    DataError
        The data may not be downloaded, its conditions are not accepted, ``ANOBENCH_DATA`` names no folder to
        put it into, the download fails, or what comes is not the official archive.
    """
    try:
        return dataset.place()
    except MissingData as error:
        missing = error
    how = download_method(dataset)
    if not how:
        raise MissingData(instructions(dataset)) from missing
    if sets_conditions(dataset) and not accept:
        size = f"about {dataset.download.gigabytes:g} GB, " if dataset.download else ""
        raise DataError(
            f"{dataset.title} ({size}{dataset.home}) has the licence {dataset.licence}, which sets "
            "conditions. If you accept them, say --accept-licence"
        )
    if how == "hub":
        assert isinstance(dataset, OneVsRest)
        return find_copy(dataset.folder, dataset.layouts, dataset.hub).root
    if how == "torchvision":
        _through_torchvision(dataset, _target_folder(dataset))
        return type(dataset)().place()
    assert dataset.download is not None
    return _archive(dataset.download, _target_folder(dataset))


def sets_conditions(dataset: Dataset) -> bool:
    """Return whether a user must accept the licence's conditions before the data is downloaded."""
    how = download_method(dataset)
    if how == "hub":
        assert isinstance(dataset, OneVsRest)
        return dataset.hub is not None and dataset.hub.conditions
    return how == "archive" and dataset.download is not None and dataset.download.conditions


def instructions(dataset: Dataset) -> str:
    """Return where to get a data set, its layout, and how many images are expected."""
    counts = expected_counts(dataset)
    return (
        f"{dataset.title} (licence: {dataset.licence}) is not downloaded by anobench. Get it from "
        f"{dataset.home} and lay it under a folder of ANOBENCH_DATA as {dataset.layout}"
        + (f"; expected: {counts}" if counts else "")
    )


def expected_counts(dataset: Dataset) -> str:
    """Return the official number of images as text; empty if it is not known."""
    expected = dataset.expected
    by_task = [each for each in expected.values() if not isinstance(each, int)]
    if by_task:
        train, good, bad = (sum(column) for column in zip(*by_task, strict=True))
        return f"{train:,} train, {good:,} good and {bad:,} anomalous test images"
    return ", ".join(f"{n:,} {name} {dataset.counted}" for name, n in expected.items())


def _target_folder(dataset: Dataset) -> Path:
    folders = data_folders()
    if not folders:
        raise DataError(
            f"there is no folder to put {dataset.title} into; "
            "set ANOBENCH_DATA to the folder that is to hold your data sets"
        )
    return folders[0]


def _through_torchvision(dataset: Dataset, folder: Path) -> None:
    module: Any = importlib.import_module("torchvision.datasets")
    try:
        getattr(module, dataset.torchvision)(folder, download=True)
    except Exception as error:  # urllib's, the integrity check's, the disk's
        raise DataError(
            f"torchvision does not give {dataset.title} ({type(error).__name__}: {error}); "
            f"{instructions(dataset)}"
        ) from error


def _archive(download: Download, folder: Path) -> Path:
    target = folder / download.folder
    if target.exists():
        raise DataError(f"{target} exists already but holds no usable copy; move it away")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(
            f"{folder} cannot be written; set ANOBENCH_DATA so that a folder that can comes first"
        )
    need = int(download.gigabytes * 1e9 * 3)
    if (free := shutil.disk_usage(folder).free) < need:
        raise DataError(
            f"{folder} has {free / 1e9:.1f} GB free, expected {need / 1e9:.1f} GB: room for the archive and "
            "what it holds"
        )
    part = folder / f".{download.folder}.{os.getpid()}.download"
    try:
        fetch(download, part)
        log.info("unpacking into %s", target)
        return unpack(part, target, limits=UnpackLimits(total_bytes=max(need * 4, 10**8)))
    finally:
        part.unlink(missing_ok=True)


def fetch(download: Download, part: Path) -> None:
    """Download an archive to a file and compare it with its sha256.

    Raises
    ------
    DataError
        The download fails, is far larger than expected, or has another sha256.
    """
    log.info("downloading %s (about %g GB)", download.url, download.gigabytes)
    digest, size, most = hashlib.sha256(), 0, download.gigabytes * 2e9
    try:
        with _open(download.url) as source, part.open("wb") as file:
            while block := source.read(BLOCK):
                size += len(block)
                if size > most:
                    raise DataError(f"{download.url}: more than {most / 1e9:g} GB; this is not the archive")
                digest.update(block)
                file.write(block)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{download.url} does not give the archive ({error}); try again later, or get it by hand"
        ) from None
    if digest.hexdigest() != download.sha256:
        raise DataError(
            f"{download.url}: expected sha256 {download.sha256}, found {digest.hexdigest()} in {size:,} "
            "bytes; this is not the official archive, or it is damaged: nothing was unpacked"
        )


def _open(url: str) -> IO[bytes]:
    if not url.startswith("https://"):
        raise DataError(f"{url}: expected an https address")
    request = urllib.request.Request(url, headers={"User-Agent": "anobench"})
    opened: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT)
    return opened
