"""What is kept of anomaly maps: all of a cell's on request, and a few images with theirs for figures.

::

    <results>/maps/<key>.npy        float16, shape (n, h, w), in the order of the test images
    <results>/maps/<key>.json       which part of each image they cover, the power of two that they were
                                    divided by, and the images' names
    <results>/examples/<key>.npz    the best, the median and the worst image of each kind

Examples show images, so they are made of generated data and of a user's own alone: others' licences may
forbid it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Record
from bench.core.files import write_file
from bench.data.dataset import Dataset
from bench.data.origins import decoded_image, image_name
from bench.data.task import Task
from bench.metrics.maps import fitted, nearest_mask
from bench.run.spool import MapFile

#: Schema of both, and the longer side of an example in pixels at most.
KEPT_VERSION, LONGEST_SIDE = 1, 160
#: So many kinds of a task are shown, the first by name; each at three places.
MOST_KINDS = 8
PLACES = ("best", "median", "worst")


def keep_maps(results: Path, record: Record, task: Task, maps: MapFile, at: Sequence[int]) -> None:
    """Write all maps of a cell.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full.
    """
    folder, key = results / "maps", record.cell.key
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{key}.npy.tmp"
    kept = np.lib.format.open_memmap(partial, "w+", np.float16, (len(at), *maps.shape))
    for row, position in enumerate(at):
        kept[row] = maps.read(position)
    kept.flush()
    del kept
    partial.replace(folder / f"{key}.npy")
    about = {
        "schema": KEPT_VERSION,
        "cell": str(record.cell),
        "covers": list(maps.covers),
        "exponent": maps.exponent,
        "images": [image_name(task.test, row) for row in range(len(at))],
    }
    write_file(folder / f"{key}.json", json.dumps(about, indent=1).encode())


def may_be_shown(dataset: Dataset) -> bool:
    """Return whether a data set's images may be published with a leaderboard: generated, or the user's."""
    return dataset.synthetic or dataset.own_images


def keep_examples(
    results: Path, record: Record, task: Task, maps: MapFile, at: Sequence[int], scores: NDArray[np.float64]
) -> None:
    """Write the best, median and worst images of each kind, with masks, maps and scores.

    The best good image has the lowest score, the best anomalous one the highest.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full.
    DataError
        An image or a mask cannot be read.
    """
    assert task.masks is not None
    rows, kinds, places = _chosen(task, scores)
    shape = _shape(decoded_image(task.test, rows[0]).shape)
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        schema=np.array(KEPT_VERSION),
        images=np.stack([_resized(decoded_image(task.test, row), shape) for row in rows]),
        masks=np.stack([nearest_mask(task.masks[row], shape) for row in rows]),
        # In the method's own numbers.
        maps=np.stack(
            [np.ldexp(fitted(maps.read(at[row]), shape, maps.covers), maps.exponent) for row in rows]
        ),
        scores=scores[rows],
        labels=task.test_labels[rows],
        kinds=np.array(kinds, np.str_),
        places=np.array(places, np.str_),
    )
    write_file(results / "examples" / f"{record.cell.key}.npz", packed.getvalue(), durable=False)


def _chosen(task: Task, scores: NDArray[np.float64]) -> tuple[list[int], list[str], list[str]]:
    """Return rows of the test images, the kind of each, and its place among its kind."""
    types = np.array(task.test_types)
    good = sorted(set(types[task.test_labels == 0].tolist()))
    bad = sorted(set(types[task.test_labels == 1].tolist()))
    rows: list[int] = []
    kinds: list[str] = []
    places: list[str] = []
    for kind in [*good, *bad][:MOST_KINDS]:
        held = np.flatnonzero(types == kind)
        ordered = held[np.argsort(scores[held], kind="stable")]
        ordered = ordered if kind in good else ordered[::-1]
        for place, row in zip(PLACES, (ordered[0], ordered[len(ordered) // 2], ordered[-1]), strict=True):
            rows.append(int(row))
            kinds.append(kind)
            places.append(place)
    return rows, kinds, places


def _shape(given: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, LONGEST_SIDE / max(given[:2]))
    return max(1, round(given[0] * scale)), max(1, round(given[1] * scale))


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    if pixels.shape[:2] == shape:
        return pixels
    resized = Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)
