"""Task: one normality problem, and the masks of its test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from bench.core.truth import Truth
from bench.data.images import Images
from bench.data.origins import contents, origins
from bench.data.source import Source

NORMAL_TYPE = "good"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Task:
    """Train images, test images, and what only the runner may know about them.

    Attributes
    ----------
    name : str
        ``"bird"`` in ``cifar10/bird``.
    train : Images
        Normal images (before contamination).
    test : Images
    test_labels : ndarray, shape (n_test,), uint8
        1 = anomalous.
    test_types : tuple of str, length n_test
        Defect type or class name of each test image; ``"good"`` for a normal one of an inspection set.
    anomaly_pool : Images, optional
        Images of the *train* split that are known to be anomalous here (the other classes in one-vs-rest):
        the pool that contamination draws from by default where there is one.
    anomaly_pool_types : tuple of str
        Class name of each of these.
    masks : sequence, optional
        One boolean array (h, w) per test image, all False for a normal one; read lazily.
    sources : tuple of Source
        Keeps the pixels alive while the task is.
    train_labels : ndarray, shape (n_train,), uint8
        The truth about the train images: all 0 before contamination.
    labelled : Images, optional
        Anomalies for the methods that ask for some (`bench.data.fewshot`); in no other part of the task.
    """

    name: str
    train: Images
    test: Images
    test_labels: NDArray[np.uint8]
    test_types: tuple[str, ...]
    sources: tuple[Source, ...]
    anomaly_pool: Images | None = None
    anomaly_pool_types: tuple[str, ...] = ()
    masks: Sequence[Mask] | None = None
    train_labels: NDArray[np.uint8] | None = None
    labelled: Images | None = None

    def __post_init__(self) -> None:
        for what, have, want in (
            ("test_labels", len(self.test_labels), len(self.test)),
            ("test_types", len(self.test_types), len(self.test)),
            ("anomaly_pool_types", len(self.anomaly_pool_types), len(self.anomaly_pool or ())),
            (
                "train_labels",
                len(self.train if self.train_labels is None else self.train_labels),
                len(self.train),
            ),
            ("masks", len(self.test if self.masks is None else self.masks), len(self.test)),
        ):
            if have != want:
                raise ValueError(f"task {self.name}: {what} has {have} entries for {want} images")

    def truth(self) -> Truth:
        """Return the labels and the identity of the test images, to be kept beside their scores."""
        sources, which, rows = origins(self.test)
        types = sorted(set(self.test_types))
        numbers = {name: at for at, name in enumerate(types)}
        return Truth(
            labels=self.test_labels.astype(np.uint8),
            sources=sources,
            which=which,
            rows=rows,
            images=contents(self.test),
            types=tuple(types),
            type_of=np.array([numbers[name] for name in self.test_types], np.int32),
        )


class LazyMasks(Sequence[Mask]):
    """One boolean array (h, w) per test image, made or read on each access.

    Parameters
    ----------
    read : callable
        Row to its mask.
    rows : sequence of int
        Row of each test image; a slice or a selection shares `read`.
    """

    def __init__(self, read: Callable[[int], Mask], rows: Sequence[int]) -> None:
        self._read, self._rows = read, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Mask: ...
    @overload
    def __getitem__(self, index: slice) -> LazyMasks: ...
    def __getitem__(self, index: int | slice) -> Mask | LazyMasks:
        if isinstance(index, slice):
            return LazyMasks(self._read, self._rows[index])
        return self._read(int(self._rows[index]))

    @classmethod
    def selection(cls, masks: Sequence[Mask], positions: Sequence[int]) -> LazyMasks:
        """Return a view of some of the masks, in the order of `positions`, without reading any."""
        return cls(masks.__getitem__, positions)
