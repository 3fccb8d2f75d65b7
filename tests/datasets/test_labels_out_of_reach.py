"""A method holds images; whatever it follows from them, it finds no label."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import Images, Task
from bench.core.contamination import Contamination
from bench.data.contaminate import contaminate

from .test_classification import CLASSES, as_folders, as_parquet

#: The walk does not go through code: a module's or a function's globals lead to all of Python.
CODE = (
    types.ModuleType,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
)


def reachable(*roots: object) -> list[object]:
    """Return every object that references lead to from `roots`."""
    seen: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, CODE):
            continue
        seen[id(item)] = item
        waiting += gc.get_referents(item)
        if isinstance(item, np.ndarray) and item.base is not None:
            waiting.append(item.base)
    return list(seen.values())


def tells(found: list[object], task: Task, names: set[str]) -> list[object]:
    """Return what among `found` gives labels away."""
    # A constant truth (a clean train set) tells nothing: any array of zeros equals it.
    truths = [truth for truth in (task.test_labels, task.train_labels) if truth is not None]
    labels = [either for truth in truths if 0 < truth.mean() < 1 for either in (truth, 1 - truth)]
    told: list[object] = [
        item for item in found if isinstance(item, str | Path) and any(n in str(item) for n in names)
    ]
    for item in found:
        if isinstance(item, np.ndarray | tuple | list) and len(item) in (len(task.test), len(task.train)):
            told += [item for truth in labels if np.array_equal(item, truth)]
    return told


@pytest.mark.parametrize("make", [as_folders, as_parquet])
@pytest.mark.parametrize("source", [None, "holdout", "test"])
def test_from_images_no_label_is_reached(
    adapter: Any, data: Path, make: Callable[[Path], Path], source: Any
) -> None:
    make(data)
    task = adapter("cifar10").task("cat")
    if source:
        task, _ = contaminate(task, "cifar10", Contamination(rate=0.4, source=source))
    images: list[Images] = [task.train, task.test, task.train[::2] + task.test[1:]]
    assert tells(reachable(*images), task, {*CLASSES, str(data)}) == []


def test_the_walk_does_find_what_is_there(adapter: Any, data: Path) -> None:
    """The test above would be worth nothing if it found nothing in what does hold labels and paths."""
    as_folders(data)
    task = adapter("cifar10").task("cat")
    told = tells(reachable(task), task, {"airplane"})
    assert any(isinstance(item, str) for item in told)
    assert any(isinstance(item, np.ndarray) for item in told)


def test_in_a_tree_of_class_folders_the_rows_do_not_follow_the_classes(adapter: Any, data: Path) -> None:
    as_folders(data)
    labels = adapter("cifar10").split("train").labels
    assert (np.diff(labels) < 0).any()
    assert (np.abs(np.diff(labels)) > 0).mean() > 0.5
