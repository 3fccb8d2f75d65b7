"""Extraction as work of its own: the features that a group of cells will ask for, a part on each device.

Also what the launcher must know before anything runs: the sizes of tasks, and which cells ask for features.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.data.origins import pieces
from bench.data.source import Source
from bench.features.backbone import Backbones
from bench.features.spec import PixelsTable
from bench.run.cost import Size
from bench.suite.registry import Registry
from bench.suite.resolve import Resolver

if TYPE_CHECKING:
    from bench.run.runner import Runner

log = logging.getLogger(__name__)


def extract(runner: Runner, cells: Iterable[Cell], part: tuple[int, int]) -> None:
    """Extract a part of the features that cells ask for into the store.

    Parameters
    ----------
    cells : iterable of Cell
        Of one backbone; each distinct task and contamination once.
    part : (int, int)
        Which part of how many. Parts are disjoint runs of rows.

    Raises
    ------
    AnobenchError
        The first error of a task, its data or the backbone, after all others were extracted.
    """
    rows: dict[Source, np.ndarray] = {}
    tasks, failure, backbone = [], None, ""
    for cell in cells:
        backbone = cell.backbone
        try:
            task = runner.open_task(cell)
        except AnobenchError as error:
            failure = failure or error
            continue
        tasks.append(task)  # keeps its sources alive
        for images in (task.train, task.test):
            for source, some in pieces(images):
                rows[source] = np.union1d(rows[source], some) if source in rows else np.unique(some)
    number, parts = part
    for source, wanted in rows.items():
        mine = np.array_split(wanted, parts)[number]
        try:
            if len(mine):
                runner.provider.features(source, mine, backbone)
        except AnobenchError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def survey(cells: Sequence[Cell], registry: Registry) -> dict[tuple[str, str], Size]:
    """Return the sizes of the cells' tasks, by (data set, task); no image is decoded.

    A task that cannot be opened is left out: running its cells shows why.
    """
    found: dict[tuple[str, str], Size] = {}
    for dataset, name in dict.fromkeys((cell.dataset, cell.task) for cell in cells):
        try:
            task = registry.open_dataset(dataset).task(name)
        except Exception as error:
            log.debug("%s/%s cannot be opened: %s", dataset, name, error)
            continue
        sources = {source.fingerprint: len(source) for source in task.sources}
        found[dataset, name] = Size(len(task.train), len(task.test), sources)
    return found


def asks_for_features(resolver: Resolver, backbones: Backbones) -> Callable[[Cell], bool]:
    """Return a test of whether a cell asks for pooled features that are worth extracting beforehand.

    Methods declare it (`bench.train.method.Method.needs`); with a wrong declaration they still get what they
    ask for when they run.
    """

    @cache
    def costly(backbone: str) -> bool:
        try:
            return not isinstance(backbones.get(backbone).spec, PixelsTable)
        except AnobenchError:
            return False

    def asks(cell: Cell) -> bool:
        if not cell.backbone or not costly(cell.backbone):
            return False
        method = resolver.find(cell)
        return method is not None and method.asks_for_features

    return asks
