"""The grid: a suite expanded into its cells. Enumerating is apart from running."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bench.core.cell import Cell, Value
from bench.core.contamination import Contamination
from bench.core.errors import AdapterError, BackboneError, DataError, SuiteError
from bench.core.files import data_folders
from bench.core.plan import Column, Entry, Plan, Row
from bench.core.selector import format_selector
from bench.data.dataset import Dataset
from bench.features.backbone import Backbone, Backbones
from bench.suite import wrapping
from bench.suite.adapter import Adapter
from bench.suite.auxiliary import auxiliary_fingerprint
from bench.suite.registry import Registry
from bench.suite.suite import Suite, selections
from bench.suite.sweep import sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A data set with its parameters, opened, and those of its tasks that the suite asks for."""

    name: str
    adapter: Adapter
    dataset: Dataset
    fingerprint: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChosenMethod:
    """A method with its parameters, checked."""

    label: str
    adapter: Adapter
    params: dict[str, Value]
    backbone: Backbone | None
    backbone_identity: str
    #: Of the auxiliary images that its parameters name; empty without.
    auxiliary: str = ""
    #: The method inside a wrapper.
    base: wrapping.Base | None = None

    @property
    def stochastic(self) -> bool:
        return wrapping.stochastic(self.adapter, self.params, self.base)

    @property
    def problem(self) -> str:
        return self.adapter.problem or (self.base.adapter.problem if self.base else "")

    def row(self) -> Row:
        return Row(
            label=self.label,
            method=self.adapter.name,
            backbone=self.backbone.name if self.backbone else "",
            setting=wrapping.setting(self.adapter, self.base),
            selection=wrapping.selection(self.adapter, self.params, self.base),
            stochastic=self.stochastic,
            summary=self.adapter.summary,
        )


def make_plan(suite: Suite, registry: Registry) -> Plan:
    """Expand a suite into a plan.

    Data sets are opened (not decoded) to learn their tasks and fingerprints; methods are not imported.

    Raises
    ------
    SuiteError, SelectorError, BackboneError
        The suite names something that is not there, or gives a parameter of a wrong kind.
    DataError
        A data set that the suite names is missing or damaged.
    """
    backbones = Backbones(suite.file.backbones, suite.folder)
    methods = list(_methods(suite, registry, backbones))
    problems: list[str] = []
    datasets = list(_datasets(suite, registry, problems))
    if not datasets and problems:
        raise DataError("\n".join(problems))
    columns = [
        Column(dataset=d.name, task=task, synthetic=bool(d.dataset.synthetic))
        for d in datasets
        for task in d.tasks
    ]
    problems += [m.problem for m in methods if m.problem]
    notes = [f"{d.name}: {_short(note)}" for d in datasets for note in d.dataset.differences()]
    entries = tuple(_entries(suite, datasets, methods, columns, notes))
    return Plan(
        suite=suite.name,
        title=suite.title,
        description=suite.file.description,
        suite_text=suite.text,
        rates=suite.file.contamination.rates,
        seeds=suite.file.seeds,
        rows=tuple(method.row() for method in methods),
        columns=tuple(columns),
        entries=entries,
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(notes),
    )


def _short(note: str) -> str:
    """Leave out of a note where this machine keeps its data: leaderboards are read elsewhere."""
    for folder in data_folders():
        note = note.replace(f"{folder}/", "")
    return note.rstrip(".")


def _datasets(suite: Suite, registry: Registry, problems: list[str]) -> Iterator[OpenDataset]:
    """Yield each data set once, with the union of the tasks asked for."""
    opened: dict[str, OpenDataset] = {}
    for where, selector, given in selections(suite.file.datasets, "datasets", suite.source):
        wanted = str(given.pop("task", "*"))
        for adapter in registry.match("dataset", selector, where):
            if selector.is_glob and adapter.lacks(given):
                continue
            params = (
                adapter.check(given, where, ignore_unknown=selector.is_glob) if not adapter.problem else {}
            )
            name = format_selector(adapter.name, _not_default(adapter, params))
            try:
                found = opened.get(name) or _open(name, adapter, params)
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
            opened[name] = replace(found, tasks=tuple(t for t in found.dataset.tasks() if t in asked))
    yield from opened.values()


def _open(name: str, adapter: Adapter, params: dict[str, Value]) -> OpenDataset:
    try:
        dataset = adapter.load()(**params)
        return OpenDataset(name, adapter, dataset, dataset.fingerprint(), ())
    except (DataError, AdapterError):
        raise
    except Exception as error:
        log.debug("opening %s", name, exc_info=True)
        raise AdapterError(
            f"{adapter.path}: data set {name!r} cannot be opened: {type(error).__name__}: {error}"
        ) from error


def _matching_tasks(dataset: Dataset, wanted: str, where: str) -> list[str]:
    """Return the tasks that a glob (or several, joined by ``|``) means."""
    tasks = dataset.tasks()
    patterns = [pattern.strip() for pattern in wanted.split("|")]
    for pattern in patterns:
        if not fnmatch.filter(tasks, pattern):
            raise SuiteError(f"{where} has no task {pattern!r}{dataset.hint(pattern, tasks)}")
    return [task for task in tasks if any(fnmatch.fnmatchcase(task, pattern) for pattern in patterns)]


def _methods(suite: Suite, registry: Registry, backbones: Backbones) -> Iterator[ChosenMethod]:
    """Yield each method once: two entries that mean the same are one row."""
    seen: set[object] = set()
    for where, selector, given in selections(suite.file.methods, "methods", suite.source):
        for adapter in registry.match("method", selector, where):
            if selector.is_glob and adapter.lacks(given):
                continue
            base = None
            if adapter.problem:
                params: dict[str, Value] = {key: str(value) for key, value in given.items()}
                backbone, backbone_identity = None, ""
            else:
                params, base = _params(adapter, given, registry, where, glob=selector.is_glob)
                # A wrapper's backbone is its base's.
                asking = dict(base.params) if base else params
                backbone, backbone_identity = _backbone(suite, backbones, asking, where)
            identity = (adapter.name, tuple(sorted(params.items(), key=str)), backbone and backbone.name)
            if identity in seen:
                continue
            seen.add(identity)
            known = {**adapter.parameters, **params, **({"backbone": None} if backbone else {})}
            said = {key: value for key, value in given.items() if adapter.problem or key in known}
            label = format_selector(adapter.name, said)
            inner, given_inside = (base.adapter, base.params) if base else (adapter, params)
            auxiliary = _auxiliary(inner, given_inside, registry, where)
            yield ChosenMethod(label, adapter, params, backbone, backbone_identity, auxiliary, base)


def _auxiliary(adapter: Adapter, params: Mapping[str, object], registry: Registry, where: str) -> str:
    """Return the content's hash of the auxiliary images that a method's parameters name."""
    try:
        return "" if adapter.problem else auxiliary_fingerprint(adapter, params, registry)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _params(
    adapter: Adapter, given: Mapping[str, object], registry: Registry, where: str, *, glob: bool
) -> tuple[dict[str, Value], wrapping.Base | None]:
    """Check a method's parameters; those of a wrapper hold its base in the canonical form."""
    if not wrapping.is_wrapper(adapter):
        return adapter.check(given, where, ignore_unknown=glob), None
    own = {name: value for name, value in given.items() if name != "backbone"}
    params = adapter.check(own, where, ignore_unknown=glob)
    base = wrapping.base_of(adapter, params, registry, where, backbone=given.get("backbone"))
    assert base is not None
    return params | {base.parameter: base.selector}, base


def _backbone(
    suite: Suite, backbones: Backbones, params: dict[str, Value], where: str
) -> tuple[Backbone | None, str]:
    """Take the backbone out of the parameters and resolve it; ``default`` is the suite's."""
    if "backbone" not in params:
        return None, ""
    name = str(params.pop("backbone"))
    try:
        backbone = backbones.get(suite.file.backbone if name == "default" else name)
        rounded = "" if suite.file.feature_storage == "float32" else f" {suite.file.feature_storage}"
        return backbone, backbone.identity() + rounded
    except BackboneError as error:
        raise BackboneError(f"{where}: {error}") from None


def _not_default(adapter: Adapter, params: dict[str, Value]) -> dict[str, Value]:
    return {
        k: v
        for k, v in params.items()
        if adapter.parameters.get(k) is None or adapter.parameters[k].default != v
    }


def _entries(
    suite: Suite,
    datasets: list[OpenDataset],
    methods: list[ChosenMethod],
    columns: list[Column],
    notes: list[str],
) -> Iterator[Entry]:
    """Yield the cells in the order of running: one source and backbone after the other stays hot."""
    column_of = {(column.dataset, column.task): at for at, column in enumerate(columns)}
    by_backbone = sorted(
        enumerate(methods), key=lambda item: item[1].backbone.name if item[1].backbone else ""
    )
    refused: list[str] = []
    for opened in datasets:
        for task in opened.tasks:
            try:
                points, left_out = sweep(
                    suite.file.contamination, opened.dataset, opened.name, task, suite.file.seeds
                )
            except DataError as error:
                # All tasks that lack anomalies are named at once.
                refused.append(f"{suite.source}: contamination: {error}")
                continue
            notes += left_out
            for row, method in by_backbone:
                seen: set[Cell] = set()
                for rate, seed, contamination in points:
                    cell = _cell(opened, task, method, contamination, seed)
                    if cell not in seen:
                        seen.add(cell)
                        yield Entry(row=row, column=column_of[opened.name, task], rate=rate, cell=cell)
    if refused:
        raise DataError("\n".join(refused))


def _cell(
    opened: OpenDataset, task: str, method: ChosenMethod, contamination: Contamination, seed: int
) -> Cell:
    code = {"dataset": opened.adapter.code, "method": method.adapter.code}
    if method.base is not None:
        code["base"] = method.base.adapter.code
    return Cell(
        dataset=opened.name,
        task=task,
        method=method.adapter.name,
        params=tuple(sorted(method.params.items())),
        backbone=method.backbone.name if method.backbone else "",
        contamination=contamination,
        seed=seed if method.stochastic else None,
        code=tuple(sorted(code.items())),
        data_fingerprint=opened.fingerprint + (f"+{method.auxiliary}" if method.auxiliary else ""),
        backbone_identity=method.backbone_identity,
    )
