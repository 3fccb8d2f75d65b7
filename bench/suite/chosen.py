"""The data sets that a suite names, opened, each with the tasks that it asks for."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.core.cell import Value
from bench.core.errors import AdapterError, DataError, SuiteError
from bench.core.files import data_folders
from bench.core.selector import Selector, format_selector, parse
from bench.data.dataset import Dataset
from bench.data.task import Task
from bench.data.walk import composed
from bench.suite.adapter import Adapter
from bench.suite.names import shown_name, tell_apart
from bench.suite.registry import Registry, blaming
from bench.suite.suite import Suite, selections


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """An open data set, and those of its tasks that the suite asks for."""

    name: str
    adapter: Adapter
    dataset: Dataset
    fingerprint: str
    tasks: tuple[str, ...]
    #: What the suite calls it; empty for its own name.
    title: str = ""


def dataset_titles(datasets: list[OpenDataset], suite: Suite) -> list[str]:
    """Return what tables and figures call the data sets; empty for the canonical name."""
    names = [(d.title, d.name, dict(parse(d.name).params)) for d in datasets]
    found = tell_apart(names, "datasets", suite.source)
    return [title if d.title else "" for d, title in zip(datasets, found, strict=True)]


def notes_on(dataset: Dataset) -> list[str]:
    """Return what is to be known of a data set before its numbers are believed."""
    return [_short(note) for note in _notes(dataset)]


def _notes(dataset: Dataset) -> list[str]:
    return [*dataset.differences(), *dataset.same_images(), *dataset.passed_over()]


def _short(note: str) -> str:
    """Remove this machine's data folders from a note: leaderboards are read elsewhere."""
    for folder in data_folders():
        note = note.replace(f"{folder}/", "")
    return note.rstrip(".")


def chosen_datasets(suite: Suite, registry: Registry, problems: list[str]) -> Iterator[OpenDataset]:
    """Yield each data set once, with the union of the tasks asked for."""
    opened: dict[str, OpenDataset] = {}
    for where, selector, given in selections(suite.file.datasets, "datasets", suite.source):
        wanted = str(given.pop("task", "*"))
        for adapter in registry.match("dataset", selector, where):
            if selector.is_glob and adapter.missing(given):
                continue
            own = dict(given)
            title = shown_name(own, ("name", "label"), adapter.parameters, where)
            params = adapter.check(own, where, ignore_unknown=selector.is_glob) if not adapter.problem else {}
            name = format_selector(adapter.name, _not_default(adapter, params))
            try:
                found = opened.get(name) or _open(name, adapter, registry)
            except AdapterError as error:
                problems.append(str(error))
                continue
            except DataError as error:
                if not selector.is_glob:
                    raise DataError(f"{where}: {name}: {error}") from None
                problems.append(f"{name} is left out: {error}")
                continue
            tasks = _matching_tasks(found.dataset, wanted, f"{where}: {name}")
            asked = {*found.tasks, *tasks}
            every = tuple(t for t in found.dataset.tasks() if t in asked)
            opened[name] = replace(found, tasks=every, title=title or found.title)
    yield from opened.values()


def one_task(given: str, registry: Registry) -> tuple[Task, str, str]:
    """Return the one task that a data set's selector names, its name, and a hash of its data.

    Raises
    ------
    AnobenchError
        There is no such data set or task, or there are several.
    """
    selector = parse(given)
    params: dict[str, object] = dict(selector.params)
    wanted = str(params.pop("task", "*"))
    (adapter, *_) = registry.match("dataset", Selector(selector.name), given)
    checked = adapter.check(params, given) if not adapter.problem else {}
    name = format_selector(adapter.name, _not_default(adapter, checked))
    found = _open(name, adapter, registry)
    tasks = _matching_tasks(found.dataset, wanted, given)
    if len(tasks) != 1:
        raise SuiteError(
            f"{given} has {len(tasks)} tasks ({', '.join(tasks[:5])}{', …' if len(tasks) > 5 else ''}); name "
            f"one: {adapter.name}[task={tasks[0]}]"
        )
    with blaming(adapter, name):
        task = found.dataset.own_task(tasks[0])
    return task, f"{name}/{tasks[0]}", found.fingerprint


def _open(name: str, adapter: Adapter, registry: Registry) -> OpenDataset:
    dataset = registry.open_dataset(name)
    with blaming(adapter, name):
        fingerprint = dataset.fingerprint()
        if dataset.own_images and (wrong := dataset.same_images()):
            raise DataError(f"{'; '.join(wrong)}; an image can be for one thing only: remove the others")
    return OpenDataset(name, adapter, dataset, fingerprint, ())


def _matching_tasks(dataset: Dataset, wanted: str, where: str) -> list[str]:
    """Return the tasks that match a glob, or several joined by ``|``."""
    tasks = dataset.tasks()
    patterns = [composed(pattern.strip()) for pattern in wanted.split("|")]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(composed(task), pattern) for task in tasks):
            raise SuiteError(f"{where} has no task {pattern!r}{dataset.hint(pattern, tasks)}")
    return [
        task for task in tasks if any(fnmatch.fnmatchcase(composed(task), pattern) for pattern in patterns)
    ]


def _not_default(adapter: Adapter, params: dict[str, Value]) -> dict[str, Value]:
    return {
        k: v
        for k, v in params.items()
        if adapter.parameters.get(k) is None or adapter.parameters[k].default != v
    }
