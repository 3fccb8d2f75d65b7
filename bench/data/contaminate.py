"""Contaminating a task: which anomalies are drawn, in an order that is the same everywhere.

Draws go by the order of sha256 hashes of (seed, data set, task, position in the pool), so that they are the
same on every platform, nested over rates (the draw for 5 % is the beginning of the draw for 10 %), shared by
all methods and independent of the method's own seed.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.contamination import Contamination
from bench.core.errors import DataError
from bench.data.images import Images
from bench.data.origins import decoded_image, images_identity
from bench.data.source import Pixels, Source
from bench.data.task import LazyMasks, Task

#: Side, noise and JPEG quality of jittered copies: see `jitter`.
SIDE, NOISE_SD, JPEG_QUALITY = 256, 2.0, 95


def contaminate(task: Task, dataset: str, how: Contamination) -> tuple[Task, dict[str, Any]]:
    """Return the contaminated task and what was drawn.

    Parameters
    ----------
    task : Task
        A clean task; with ``source="official"`` the data set's noisy one, which knows its train labels.
    dataset : str
        Canonical name of its data set, for the draw's seed.

    Returns
    -------
    task : Task
        With `train_labels` (1 = anomalous), known to the runner alone.
    drawn : dict
        ``count``; ``rate``, the realised share of the resulting train set; ``indices``, a hash of the drawn
        positions in the pool (of an official noisy split: of the anomalies' positions in it), empty if there
        are none; ``removed_from_test``, how many images left the test set.

    Raises
    ------
    DataError
        The pool has too few anomalies and ``shortage="error"``, or there is no such pool.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return _as_it_is(task)
    pool, names = pool_of(task, how.source), (how.seed, dataset, task.name)
    order, wanted, reserved = _order_and_counts(pool, task, dataset, how)
    chosen = pool.positions[order[:wanted]]
    drawn, keep = pool.images[chosen], task.sources
    if how.source == "jittered" and wanted:
        drawn, copies = jittered(drawn, "jitter", *names)
        keep = (*keep, copies)
    kept = np.arange(len(task.train))
    if how.mode == "replace" and wanted:
        kept = np.sort(hash_order(len(task.train), "replaced", *names)[wanted:])
    # Shuffled and sealed, so that no method can tell the anomalies by their position or origin.
    mixed = hash_order(len(kept) + wanted, "mixed", *names)
    train, inside = (task.train[kept] + drawn)[mixed].sealed()
    labels = np.concatenate([np.zeros(len(kept), np.uint8), np.ones(wanted, np.uint8)])[mixed]
    contaminated = replace(task, train=train, sources=(*keep, inside), train_labels=labels)
    removed = pool.positions[order[:reserved]] if how.source == "test" else pool.positions[:0]
    return _without(contaminated, removed), {
        "count": wanted,
        "rate": wanted / (len(kept) + wanted),
        "indices": _hash(chosen),
        "removed_from_test": len(removed),
    }


def _order_and_counts(
    pool: AnomalyPool, task: Task, dataset: str, how: Contamination
) -> tuple[NDArray[np.int64], int, int]:
    """Return the order of drawing, how many are drawn, and how many are reserved for the highest rate."""
    check_supply(task, dataset, how)
    order = drawing_order(pool, how.draw, (how.seed, dataset, task.name))
    wanted, reserved = how.count(len(task.train)), how.count(len(task.train), max(how.rate, how.reserve))
    available = drawable(pool, task, dataset, how)
    if how.shortage == "repeat" and wanted > available:
        return np.tile(order, -(-wanted // available)), wanted, reserved
    return order, min(wanted, available), min(reserved, available)


def check_supply(task: Task, dataset: str, how: Contamination) -> None:
    """Check that a clean task has enough anomalies for this contamination, or may do with fewer.

    Raises
    ------
    DataError
        It has not; the message gives how many are needed, how many there are, and the highest rate possible.
    """
    if how.source == "official" or (not how.rate and not how.reserve):
        return
    rate = max(how.rate, how.reserve)
    wanted, pool = how.count(len(task.train), rate), pool_of(task, how.source)
    available = drawable(pool, task, dataset, how)
    again = how.shortage == "repeat" and how.source != "test" and available > 0
    if wanted <= available or how.shortage == "cap" or again:
        return
    most = available / max(1, len(task.train) + available * (how.of == "set" and how.mode == "add"))
    raise DataError(
        f"{dataset}/{task.name}: contamination of {100 * rate:.4g}% ({how.of}) needs {wanted} anomalies for "
        f"{len(task.train)} train images, but {how.source} has {available}; lower the rate (at most "
        f'{int(1000 * min(most, 0.5)) / 10:g} % can be had), or set shortage = "cap" or "skip"'
    )


def shortfall(task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies are missing for this contamination of a clean task; 0 if there are enough."""
    if how.source == "official" or not how.rate:
        return 0
    available = drawable(pool_of(task, how.source), task, dataset, how)
    return max(0, how.count(len(task.train)) - available)


def _as_it_is(task: Task) -> tuple[Task, dict[str, Any]]:
    labels = np.zeros(len(task.train), np.uint8) if task.train_labels is None else task.train_labels
    count = int(labels.sum())
    drawn = {
        "count": count,
        "rate": count / max(1, len(labels)),
        "indices": _hash(np.flatnonzero(labels)),
        "removed_from_test": 0,
    }
    return replace(task, train_labels=labels), drawn


def _hash(positions: NDArray[np.int64]) -> str:
    """Return 16 hex digits that tell one set of positions from another; nothing for none."""
    if not len(positions):
        return ""
    return hashlib.sha256(np.sort(positions).astype("<i8").tobytes()).hexdigest()[:16]


def _without(task: Task, removed: NDArray[np.int64]) -> Task:
    if not len(removed):
        return task
    stays = np.setdiff1d(np.arange(len(task.test)), removed)
    return replace(
        task,
        test=task.test[stays],
        test_labels=task.test_labels[stays],
        test_types=tuple(task.test_types[i] for i in stays),
        masks=None if task.masks is None else LazyMasks.selection(task.masks, [int(i) for i in stays]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyPool:
    """Images to draw from, the positions of the anomalies among them, and the type of each anomaly."""

    images: Images
    positions: NDArray[np.int64]
    types: tuple[str, ...]


def hash_order(n: int, *names: object) -> NDArray[np.int64]:
    """Return a permutation of ``range(n)``, shape (n,), that depends on `names` only, on every platform."""
    prefix = "/".join(str(name) for name in names).encode("utf-8", "surrogateescape")
    digests = [hashlib.sha256(b"%s/%d" % (prefix, i)).digest()[:8] for i in range(n)]
    return np.argsort(np.frombuffer(b"".join(digests), ">u8"), kind="stable").astype(np.int64)


def pool_of(task: Task, source: str) -> AnomalyPool:
    """Return the anomalies that a clean task can be contaminated with.

    Parameters
    ----------
    source : str
        ``"holdout"``, or any other that takes test anomalies.

    Raises
    ------
    DataError
        The source is ``"holdout"`` and the data set has no such pool.
    """
    if source == "holdout":
        if task.anomaly_pool is None:
            raise DataError(
                f"{task.name}: this data set has no labelled train anomalies to contaminate with; "
                'set source = "test" (no overlap), "test_overlap" or "jittered"'
            )
        return AnomalyPool(task.anomaly_pool, np.arange(len(task.anomaly_pool)), task.anomaly_pool_types)
    positions = np.flatnonzero(task.test_labels == 1)
    return AnomalyPool(task.test, positions, tuple(task.test_types[i] for i in positions))


def drawing_order(pool: AnomalyPool, draw: str, names: tuple[object, ...]) -> NDArray[np.int64]:
    """Return the order in which anomalies are drawn: indices into the pool's positions.

    Parameters
    ----------
    draw : {"uniform", "per_type", "one_class"}
        ``one_class`` leaves out all types but one, chosen by `names`.
    """
    order = hash_order(len(pool.positions), "contamination", *names)
    if draw == "uniform" or not len(order):
        return order
    turns = _turns(pool, names)
    of_kind = {kind: [i for i in order if pool.types[i] == kind] for kind in turns}
    if draw == "one_class":
        return np.array(of_kind[turns[0]], np.int64)
    dealt = [i for row in zip_longest(*of_kind.values()) for i in row if i is not None]
    return np.array(dealt, np.int64)


def _turns(pool: AnomalyPool, names: tuple[object, ...]) -> list[str]:
    """Return the pool's types in the order in which they are dealt from."""
    kinds = sorted(set(pool.types))
    return [kinds[i] for i in hash_order(len(kinds), "types", *names)]


def drawable(pool: AnomalyPool, task: Task, dataset: str, how: Contamination) -> int:
    """Return how many anomalies may be drawn; where they leave the test set, it keeps at least one."""
    n = len(pool.positions)
    if how.draw == "one_class" and n:
        n = pool.types.count(_turns(pool, (how.seed, dataset, task.name))[0])
    return max(n - (how.source == "test" and n == len(pool.positions)), 0)


class _Jittered(Source):
    """Copies of the images of a view, made when they are read."""

    def __init__(self, images: Images, names: tuple[object, ...]) -> None:
        self._images, self._names = images, names
        described = ["jitter 1", *map(str, names), images_identity(images)]
        self.name = "jittered copies"
        self.fingerprint = hashlib.sha256("\0".join(described).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: NDArray[np.int64]) -> Pixels | list[Pixels]:
        made = [self._copy(int(row)) for row in rows]
        return np.stack(made) if len({one.shape for one in made}) == 1 else made

    def _copy(self, row: int) -> Pixels:
        digest = hashlib.sha256(
            "/".join(map(str, (*self._names, row))).encode("utf-8", "surrogateescape")
        ).digest()
        noise = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return jitter(decoded_image(self._images, row), noise)


def jittered(images: Images, *names: object) -> tuple[Images, Source]:
    """Return jittered copies of a view's images, and their source, which the task must keep.

    The noise depends on `names` and the position alone.
    """
    source = _Jittered(images, names)
    return Images.of(source), source


def jitter(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return an image under light noise, as ADL contaminates its train sets.

    It is resized to 256 x 256 where it is larger, gets Gaussian noise of standard deviation 2 (in 0..255), is
    stretched so that its own least and greatest value become 0 and 255, cut to uint8, and saved as JPEG.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8

    Returns
    -------
    ndarray, shape (256, 256, 3) or that of smaller `pixels`, uint8

    References
    ----------
    Das, Pang, Bhuyan, "Adaptive Deviation Learning for Visual Anomaly Detection with Data Contamination",
    WACV 2025; as in the authors' code (OpenCV: bilinear resize without antialiasing, JPEG quality 95). There
    one global generator draws all noise; here each copy has its own, seeded by the draw and the position.
    """
    import torch
    from PIL import Image

    from bench.data.resize import resize_plainly

    if min(pixels.shape[:2]) > SIDE:
        channels = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        pixels = resize_plainly(channels, (SIDE, SIDE))[0].permute(1, 2, 0).numpy()
    noisy = pixels + generator.normal(0.0, NOISE_SD, pixels.shape)
    low, high = noisy.min(), noisy.max()
    stretched = ((noisy - low) * 255.0 / max(high - low, np.finfo(np.float64).tiny)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(stretched).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    with Image.open(file) as saved:
        return np.asarray(saved.convert("RGB"))
