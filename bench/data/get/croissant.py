"""A data set as Croissant metadata: what it is, its files with their checksums, and what its tasks hold.

Croissant 1.0 is JSON-LD on schema.org's vocabulary (MLCommons, https://docs.mlcommons.org/croissant/docs/
croissant-spec.html). What an adapter does not know is left out: nothing is made up to please a validator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bench.core.errors import DataError
from bench.data.copies import MissingData
from bench.data.dataset import Dataset, Download
from bench.data.images import Images
from bench.data.origins import image_name
from bench.data.task import Task

#: The version of the standard that the text keeps to.
CONFORMS = "http://mlcommons.org/croissant/1.0"
#: What the standard asks to be in every file: its terms and those of schema.org.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        term: f"cr:{term}"
        for term in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
            "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
            "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip

#: MIME types by the ending of a file.
MIME = {
    ".zip": "application/zip", ".tar": "application/x-tar", ".gz": "application/gzip",
    ".tgz": "application/gzip", ".xz": "application/x-xz", ".png": "image/png", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".webp": "image/webp",
}  # fmt: skip
#: With more files than this none of them is named.
MOST_FILES = 20_000

#: Where known licences stand; of others the adapter's words are given.
LICENCES = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC BY-NC-SA 4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "MIT": "https://opensource.org/license/mit",
}


def croissant(dataset: Dataset, name: str) -> dict[str, Any]:
    """Return a data set's Croissant metadata.

    Parameters
    ----------
    dataset : Dataset
        Where its images are on this machine, tasks have counts, and a user's own images are named, each with
        its sha256.
    name : str
        What it is called: its selector.

    Returns
    -------
    dict
        JSON-LD.

    Raises
    ------
    DataError
        Its images are here and damaged.
    """
    tasks = list(_tasks(dataset))
    files = list(_own_files(dataset, tasks))
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": name,
        "description": _description(dataset),
        "url": dataset.home,
        "license": LICENCES.get(dataset.licence, dataset.licence),
        "citeAs": dataset.citation,
        "distribution": [*_archive(dataset), *(each["object"] for each in files)],
        "recordSet": [*_record_sets(tasks), *_image_records(files)],
    }
    if tasks:
        found["identifier"] = f"anobench:{dataset.fingerprint()}"
    return {key: value for key, value in found.items() if value not in ("", [])}


def _tasks(dataset: Dataset) -> Iterator[Task]:
    """Yield the tasks, if the images are here."""
    try:
        names = dataset.tasks()
        for each in names:
            yield dataset.task(each)
    except MissingData:
        return


def _description(dataset: Dataset) -> str:
    facts = [f"{what} ({source})" for what, source, _ in dataset.facts]
    made = ["Generated, not photographed."] if dataset.synthetic else []
    return " ".join([f"{dataset.title}.", *made, *(f"{fact[0].upper()}{fact[1:]}." for fact in facts)])


def _archive(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the official archive, and the images in it."""
    held = dataset.download
    if not isinstance(held, Download):
        return
    file = PurePosixPath(held.url.partition("?")[0]).name
    yield {
        "@type": "cr:FileObject",
        "@id": "archive",
        "name": file,
        "description": f"The official archive; anobench unpacks it into {held.folder}/.",
        "contentUrl": held.url,
        "contentSize": f"{held.gigabytes:g} GB",
        "encodingFormat": MIME.get(PurePosixPath(file).suffix.lower(), "application/octet-stream"),
        "sha256": held.sha256,
    }
    yield {
        "@type": "cr:FileSet",
        "@id": "image-files",
        "name": "image-files",
        "description": f"Images and masks as they lie in the archive: {dataset.layout}",
        "containedIn": {"@id": "archive"},
        "encodingFormat": ["image/png", "image/jpeg"],
        "includes": ["**/*.png", "**/*.jpg", "**/*.JPG", "**/*.jpeg"],
    }


def _record_sets(tasks: list[Task]) -> Iterator[dict[str, Any]]:
    """Yield the tasks with the numbers of their images."""
    if not tasks:
        return
    columns = {
        "task": ("sc:Text", "What the detector is fitted and judged on."),
        "train": ("sc:Integer", "Normal training images."),
        "test_normal": ("sc:Integer", "Normal test images."),
        "test_anomalous": ("sc:Integer", "Anomalous test images."),
        "masks": ("sc:Boolean", "Whether it is known where the anomaly is."),
    }
    yield {
        "@type": "cr:RecordSet",
        "@id": "tasks",
        "name": "tasks",
        "description": "The tasks that anobench makes of the set, and the numbers of their images.",
        "key": {"@id": "tasks/task"},
        "field": [_field("tasks", column, *of) for column, of in columns.items()],
        "data": [
            {
                "tasks/task": task.name,
                "tasks/train": len(task.train),
                "tasks/test_normal": int((task.test_labels == 0).sum()),
                "tasks/test_anomalous": int((task.test_labels == 1).sum()),
                "tasks/masks": task.masks is not None,
            }
            for task in tasks
        ],
    }


def _field(record_set: str, name: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
    }


def _own_files(dataset: Dataset, tasks: list[Task]) -> Iterator[dict[str, Any]]:
    """Yield each file of a user's own images with what it is for; paths start at the data's folder."""
    root = dataset.place() if dataset.own_images and tasks else None
    if root is None or sum(len(task.train) + len(task.test) for task in tasks) > MOST_FILES:
        return
    folder = root if root.is_dir() else root.parent
    seen: set[str] = set()
    for task in tasks:
        test = zip(_paths(task.test), task.test_types, strict=True)
        every = [
            *((path, "train", "good") for path in _paths(task.train)),
            *((p, "test", of) for p, of in test),
        ]
        for path, split, kind in every:
            file = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
            if file in seen:
                continue
            seen.add(file)
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
            yield {
                "object": {
                    "@type": "cr:FileObject",
                    "@id": f"file/{file}",
                    "name": file,
                    "contentUrl": file,
                    "contentSize": f"{len(content)} B",
                    "encodingFormat": MIME.get(path.suffix.lower(), "application/octet-stream"),
                    "sha256": hashlib.sha256(content).hexdigest(),
                },
                "record": {"file": file, "task": task.name, "split": split, "label": kind},
            }


def _paths(images: Images) -> Iterator[Path]:
    for position in range(len(images)):
        yield Path(image_name(images, position))


def _image_records(files: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what each file of a user's own images is for."""
    if not files:
        return
    columns = {
        "file": "The name of its file object.",
        "task": "The task that it belongs to.",
        "split": "train or test.",
        "label": "good, or the kind of its anomaly.",
    }
    yield {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "What each image is for.",
        "key": {"@id": "images/file"},
        "field": [_field("images", column, "sc:Text", of) for column, of in columns.items()],
        "data": [{f"images/{name}": value for name, value in each["record"].items()} for each in files],
    }
