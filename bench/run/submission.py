"""Uploads for the MVTec AD 2 server: a method's maps of the private test images, and a check of the layout.

::

    <root>/anomaly_images/<object>/test_private/000_regular.tiff         float16, of the image's size
    <root>/anomaly_images/<object>/test_private_mixed/000_mixed.tiff
    <root>/anomaly_images_thresholded/…                                  the same names, .png, 0 or 255

The threshold is the data set's own proposal: mean + 3 standard deviations of the pixel scores of the
validation images, which are all good. Maps are divided by one power of two for each object, taken from the
same images, and rounded to float16. The rules are those that MVTec's checker is known to test; that images
have the right size, that scores are finite, and that the thresholded images belong to the maps is tested
here alone.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Cell
from bench.core.errors import AnobenchError, DataError, ScoreError
from bench.data.folders import FileSource
from bench.data.images import Images
from bench.data.masks import image_size
from bench.data.walk import list_images
from bench.metrics.maps import WHOLE, fitted
from bench.run.runner import Runner
from bench.train.method import Method, returned_scores

#: Images of each private split, by object.
OBJECTS = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}
#: How file names end in each split.
SPLITS = {"test_private": "regular", "test_private_mixed": "mixed"}
MAPS, BINARY = "anomaly_images", "anomaly_images_thresholded"
#: The largest score of the validation images becomes less than 2 to this power: test images may have larger.
TOP = 8


def write_submission(
    runner: Runner, cells: Mapping[str, Cell], root: Path, say: Callable[[str], None]
) -> list[str]:
    """Fit a method on each object, write its maps of the private test images, and check them.

    Parameters
    ----------
    runner : Runner
    cells : mapping of str to Cell
        By object.
    root : Path
        A folder that does not exist yet.
    say : callable
        Shows a line to the user.

    Returns
    -------
    list of str
        What is wrong with the upload; empty if nothing is.

    Raises
    ------
    DataError
        Images are not there.
    ScoreError
        The method has no maps.
    AnobenchError
        `root` exists, or the method cannot be fitted.
    """
    if root.exists():
        raise AnobenchError(f"{root} exists; name another folder with --out, or remove it")
    sizes: dict[str, tuple[int, int]] = {}
    for name, cell in cells.items():
        folder = _folder(runner, cell, name)
        cell_run = runner.fitted(cell)

        def maps(of: Path, run: object = cell_run) -> Iterator[tuple[Path, NDArray[np.float32]]]:
            return _maps(run.method, run.meter, of)  # type: ignore[attr-defined]

        exponent, threshold = _calibrated(each for _, each in maps(folder / "validation" / "good"))
        for split in SPLITS:
            for file, scores in maps(folder / split):
                halves = _halves(scores, exponent)
                place = Path(name) / split / file.stem
                _write(root, place, halves, halves.astype(np.float64) > threshold)
                sizes[place.as_posix()] = (halves.shape[0], halves.shape[1])
            say(f"{name}/{split}: done")
        cell_run.release()
    problems = check_submission(root, sizes=sizes)
    if not problems:
        with tarfile.open(root.parent / f"{root.name}.tar.gz", "w:gz") as archive:
            archive.add(root, root.name)
    return problems


def _folder(runner: Runner, cell: Cell, name: str) -> Path:
    dataset = runner.registry.open_dataset(cell.dataset)
    place = dataset.at(name).root / name  # type: ignore[attr-defined]
    for needed in ("validation/good", *SPLITS):
        if not (place / needed).is_dir():
            raise DataError(f"{place / needed} is not there; get the data set again from {dataset.home}")
    return Path(place)


def _maps(method: Method, meter: object, folder: Path) -> Iterator[tuple[Path, NDArray[np.float32]]]:
    """Yield each image's file and its map, at the size of the image."""
    files = sorted(list_images(folder, folder))
    source = FileSource(f"mvtec_ad_2/{folder.name}", folder, files)  # images live as long as it does
    images = Images.of(source).bind(meter)  # type: ignore[arg-type]
    returned = returned_scores(method.score(images))
    covers, at = returned.covers or WHOLE, 0
    for _, maps in returned.each_part(len(files)):
        if maps is None:
            raise ScoreError(f"{type(method).__name__} has no anomaly maps; choose a method that has")
        for each in maps:
            width, height = image_size(folder / files[at])
            yield folder / files[at], fitted(each.astype(np.float64), (height, width), covers)
            at += 1


def _calibrated(maps: Iterator[NDArray[np.float32]]) -> tuple[int, float]:
    """Return the power of two to divide by, and mean + 3 standard deviations of the scaled pixel scores."""
    n, total, squares, largest = 0, 0.0, 0.0, 0.0
    for scores in maps:
        values = scores.astype(np.float64)
        n, total, squares = n + values.size, total + values.sum(), squares + np.square(values).sum()
        largest = max(largest, float(np.abs(values).max()))
    exponent = math.frexp(largest)[1] - TOP if largest else 0
    mean = total / max(1, n)
    spread = math.sqrt(max(0.0, squares - n * mean**2) / max(1, n - 1))
    return exponent, math.ldexp(mean + 3 * spread, -exponent)


def _halves(scores: NDArray[np.float32], exponent: int) -> NDArray[np.float16]:
    most = float(np.finfo(np.float16).max)
    scaled = np.ldexp(scores.astype(np.float64), -exponent)
    return np.clip(scaled, -most, most).astype(np.float16)


def _write(root: Path, place: Path, scores: NDArray[np.float16], above: NDArray[np.bool_]) -> None:
    import tifffile
    from PIL import Image

    for kind in (MAPS, BINARY):
        (root / kind / place).parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(root / MAPS / f"{place}.tiff", scores)
    Image.fromarray(above.astype(np.uint8) * 255).save(root / BINARY / f"{place}.png")


def check_submission(root: Path, *, sizes: Mapping[str, tuple[int, int]] | None = None) -> list[str]:
    """Return what is wrong with an upload, the server's rules first.

    Parameters
    ----------
    root : Path
    sizes : mapping of str to (int, int), optional
        Height and width of each image, by ``<object>/<split>/<stem>``.
    """
    if not (root / MAPS).is_dir():
        return [f"{root} has no folder {MAPS}"]
    problems = [
        f"{path.name}: nothing else may lie in {root}"
        for path in sorted(root.iterdir())
        if path.name not in (MAPS, BINARY)
    ]
    kinds = [MAPS, *([BINARY] if (root / BINARY).is_dir() else [])]
    for kind in kinds:
        problems += _wrong_names(root / kind, ".tiff" if kind == MAPS else ".png")
    if not problems:
        for place in _places():
            problems += _wrong_image(root, place, (sizes or {}).get(place), binary=BINARY in kinds)
    return problems


def _places() -> list[str]:
    return [
        f"{name}/{split}/{number:03}_{ending}"
        for name, count in OBJECTS.items()
        for split, ending in SPLITS.items()
        for number in range(count)
    ]


def _wrong_names(folder: Path, ending: str) -> list[str]:
    """Return which files are missing or too many: exactly the objects, splits and names."""
    wanted = {f"{place}{ending}" for place in _places()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    empty = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
    empty -= {parent for place in wanted for parent in (place.split("/")[0], place.rpartition("/")[0])}
    found = [(sorted(wanted - there), "missing"), (sorted((there - wanted) | empty), "too many")]
    return [f"{folder.name}: {_listed(names)} {what}" for names, what in found if names]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _wrong_image(root: Path, place: str, size: tuple[int, int] | None, *, binary: bool) -> list[str]:
    import tifffile
    from PIL import Image

    try:
        scores = tifffile.imread(root / MAPS / f"{place}.tiff")
        drawn = np.asarray(Image.open(root / BINARY / f"{place}.png")) if binary else None
    except Exception as error:
        return [f"{place}: cannot be read ({type(error).__name__}: {error})"]
    if scores.ndim != 2 or scores.dtype != np.float16:
        return [f"{place}.tiff: expected a float16 image of one channel, got {scores.dtype} {scores.shape}"]
    if not np.isfinite(scores).all():
        return [f"{place}.tiff: scores are not finite"]
    if size is not None and scores.shape != size:
        return [f"{place}.tiff: expected the image's size {size[0]} x {size[1]}, got {scores.shape}"]
    if drawn is None:
        return []
    if drawn.shape != scores.shape or not np.isin(drawn, (0, 255)).all():
        return [f"{place}.png: expected 0 and 255 in one channel of {scores.shape}, got {drawn.shape}"]
    above, below = scores[drawn == 255], scores[drawn == 0]
    if len(above) and len(below) and above.min() <= below.max():
        return [f"{place}.png: it does not come from a threshold on {place}.tiff"]
    return []
