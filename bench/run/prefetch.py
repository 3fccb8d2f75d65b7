"""Extraction as work of its own: the features that a group of cells will ask for, a part on each device.

Also what planning must know before anything runs: what tasks hold, and which cells ask for features.
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
    """Bring a part of the features that cells ask for into the store.

    Parameters
    ----------
    cells : iterable of Cell
        One backbone; every distinct task with its contamination once is enough.
    part : (int, int)
        Which part of how many. Parts are runs of rows, so that none is computed twice.

    Raises
    ------
    AnobenchError
        The first that a task, its data or the backbone gave, once all others were extracted.
    """
    rows: dict[Source, np.ndarray] = {}
    alive, failure, backbone = [], None, ""
    for cell in cells:
        backbone = cell.backbone
        try:
            task = runner.open_task(cell)
        except AnobenchError as error:
            failure = failure or error
            continue
        alive.append(task)
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
    """Return what the cells' tasks hold, by (data set, task); opened, not decoded.

    A task that cannot be opened is left out: running its cells says why.
    """
    found: dict[tuple[str, str], Size] = {}
    for dataset, name in dict.fromkeys((cell.dataset, cell.task) for cell in cells):
        try:
            task = registry.open_dataset(dataset).task(name)
        except Exception as error:
            log.debug("%s/%s is not counted: %s", dataset, name, error)
            continue
        sources = {source.fingerprint: len(source) for source in task.sources}
        found[dataset, name] = Size(len(task.train), len(task.test), sources)
    return found


def asks_for_features(resolver: Resolver, backbones: Backbones) -> Callable[[Cell], bool]:
    """Return whether a cell asks for pooled features of a backbone that are worth extracting beforehand.

    Methods declare what they need (`bench.train.method.Method.needs`). One that declares it wrongly gets
    what it asks for when it runs, as without an extraction.
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
