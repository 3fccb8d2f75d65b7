"""The grid: a suite expanded into its cells, without running any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.core.cell import Cell, Value
from bench.core.contamination import Contamination
from bench.core.errors import BackboneError, DataError, SuiteError
from bench.core.fewshot import UNLABELLED, FewShot
from bench.core.plan import Column, Entry, Plan, Row
from bench.core.selector import format_selector
from bench.features.backbone import Backbone, Backbones
from bench.suite.auxiliary import auxiliary_fingerprint
from bench.suite.chosen import OpenDataset, chosen_datasets, dataset_titles, notes_on
from bench.suite.names import shown_name, tell_apart
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, resolve
from bench.suite.suite import Suite, check_size, selections
from bench.suite.sweep import check_labelled, sweep


@dataclass(frozen=True, slots=True)
class ChosenMethod:
    """A method with its parameters, and what else a cell's key depends on."""

    label: str
    #: What the suite calls it; empty for its selector, which `label` is.
    title: str
    #: The parameters that the suite gives.
    said: dict[str, object]
    method: ResolvedMethod
    #: All parameters without the backbone.
    params: dict[str, Value]
    backbone: Backbone | None
    backbone_identity: str
    #: Hash of its auxiliary images; empty if there are none.
    auxiliary: str = ""
    #: Its labelled anomalies, if it asks for some; source and seed are its cells'.
    few_shot: FewShot = UNLABELLED

    def row(self, label: str) -> Row:
        selector = format_selector(self.method.adapter.name, self.said)
        return Row(
            label=label,
            method=self.method.adapter.name,
            backbone=self.backbone.name if self.backbone else "",
            setting=self.few_shot.setting or self.method.setting,
            selection=self.method.selection,
            stochastic=self.method.stochastic,
            summary=self.method.adapter.summary,
            selector="" if selector == label else selector,
        )


def make_plan(suite: Suite, registry: Registry) -> Plan:
    """Expand a suite into a plan.

    Data sets are opened for their tasks and fingerprints, without decoding images; methods are not imported.

    Raises
    ------
    SuiteError, SelectorError, BackboneError
        The suite names something that does not exist, or gives a parameter of the wrong kind.
    DataError
        A data set that the suite names is missing or damaged.
    """
    if suite.folder is not None:
        registry.add_suite(suite.folder)
    backbones = Backbones(suite.file.backbones, suite.folder)
    methods = list(_methods(suite, registry, backbones))
    if suite.file.few_shot is not None and all(not m.method.asks_for_labels for m in methods):
        able = [name for name, each in registry.methods.items() if each.attributes.get("few_shot")]
        raise SuiteError(
            f"{suite.source}: few_shot: none of the methods takes labelled anomalies; those that do: "
            f"{', '.join(able)}"
        )
    problems: list[str] = []
    datasets = list(chosen_datasets(suite, registry, problems))
    if not datasets and problems:
        raise DataError("\n".join(problems))
    columns = [
        Column(dataset=d.name, task=task, synthetic=bool(d.dataset.synthetic), title=title)
        for d, title in zip(datasets, dataset_titles(datasets, suite), strict=True)
        for task in d.tasks
    ]
    labels = tell_apart([(m.title, m.label, m.said) for m in methods], "methods", suite.source)
    problems += [m.method.problem for m in methods if m.method.problem]
    file = suite.file
    size = len(methods) * len(columns) * len(file.seeds) * len(file.contamination.rates)
    check_size(size, suite.source)
    notes = [f"{d.name}: {note}" for d in datasets for note in notes_on(d.dataset)]
    if file.few_shot is not None and 0 in file.few_shot.anomalies:
        needing = dict.fromkeys(m.method.adapter.name for m in methods if m.method.needs_labels)
        notes += [f"{name}: no row without labelled anomalies, which it needs" for name in needing]
    entries = tuple(_entries(suite, datasets, methods, columns, notes))
    return Plan(
        suite=suite.name,
        title=suite.title,
        description=suite.file.description,
        suite_text=suite.text,
        rates=suite.file.contamination.rates,
        seeds=suite.file.seeds,
        rows=tuple(method.row(label) for method, label in zip(methods, labels, strict=True)),
        columns=tuple(columns),
        entries=entries,
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(notes),
    )


def _methods(suite: Suite, registry: Registry, backbones: Backbones) -> Iterator[ChosenMethod]:
    """Yield each method once: entries with the same meaning are one row."""
    seen: set[object] = set()
    for where, selector, given in selections(suite.file.methods, "methods", suite.source):
        for adapter in registry.match("method", selector, where):
            if selector.is_glob and adapter.missing(given):
                continue
            own = dict(given)
            title = shown_name(own, ("label",), adapter.parameters, where)
            method = resolve(adapter, own, registry, where, ignore_unknown=selector.is_glob)
            few_shot = suite.file.few_shot
            if method.needs_labels and (few_shot is None or not any(few_shot.anomalies)):
                if selector.is_glob:
                    continue
                raise SuiteError(
                    f"{where}: {method.innermost.adapter.name} needs labelled anomalies; add [few_shot] with "
                    "anomalies = 10 to the suite, or --few-shot 10"
                )
            params = dict(method.params)
            backbone, backbone_identity = None, ""
            if not adapter.problem:
                asking = dict(method.innermost.params)  # a wrapper's backbone is its base's
                if method.innermost.adapter.uses_backbone(asking):
                    backbone, backbone_identity = _backbone(suite, backbones, asking, where)
                params.pop("backbone", None)
            identity = (adapter.name, tuple(sorted(params.items(), key=str)), backbone and backbone.name)
            if identity in seen:
                continue
            seen.add(identity)
            known = {**adapter.parameters, **params, **({"backbone": None} if backbone else {})}
            said = {key: value for key, value in own.items() if adapter.problem or key in known}
            label = format_selector(adapter.name, said)
            auxiliary = _auxiliary(method.innermost, registry, where)
            chosen = ChosenMethod(label, title, said, method, params, backbone, backbone_identity, auxiliary)
            if few_shot is None or not method.asks_for_labels:
                yield chosen
                continue
            for few in few_shot.rows():
                if method.needs_labels and not few.anomalies:
                    continue
                called = f"{title} + {few.words}" if title else ""
                yield replace(chosen, few_shot=few, label=f"{label} + {few.words}", title=called)


def _auxiliary(method: ResolvedMethod, registry: Registry, where: str) -> str:
    """Return the hash of a method's auxiliary images."""
    try:
        return "" if method.problem else auxiliary_fingerprint(method.adapter, method.params, registry)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _backbone(
    suite: Suite, backbones: Backbones, params: dict[str, Value], where: str
) -> tuple[Backbone | None, str]:
    """Remove the backbone from the parameters and resolve it; ``default`` is the suite's."""
    if "backbone" not in params:
        return None, ""
    name = str(params.pop("backbone"))
    try:
        backbone = backbones.get(suite.file.backbone if name == "default" else name)
        rounded = "" if suite.file.feature_storage == "float32" else f" {suite.file.feature_storage}"
        return backbone, backbone.identity() + rounded
    except BackboneError as error:
        raise BackboneError(f"{where}: {error}") from None


def _entries(
    suite: Suite,
    datasets: list[OpenDataset],
    methods: list[ChosenMethod],
    columns: list[Column],
    notes: list[str],
) -> Iterator[Entry]:
    """Yield the cells in the order of running: one source and backbone after the other."""
    column_of = {(column.dataset, column.task): at for at, column in enumerate(columns)}
    by_backbone = sorted(
        enumerate(methods), key=lambda item: item[1].backbone.name if item[1].backbone else ""
    )
    refused: list[str] = []
    few_shot = suite.file.few_shot
    for opened in datasets:
        for task in opened.tasks:
            try:
                points, left_out = sweep(
                    suite.file.contamination, opened.dataset, opened.name, task, suite.file.seeds
                )
            except DataError as error:
                # One message names all tasks with too few anomalies.
                refused.append(f"{suite.source}: contamination: {error}")
                continue
            if few_shot is not None and any(method.few_shot != UNLABELLED for method in methods):
                try:
                    check_labelled(few_shot, opened.dataset, opened.name, task, suite.file.seeds)
                except DataError as error:
                    refused.append(f"{suite.source}: few_shot: {error}")
                    continue
            notes += left_out
            for row, method in by_backbone:
                seen: set[Cell] = set()
                for rate, seed, contamination in points:
                    cell = _cell(opened, task, method, contamination, seed)
                    if few_shot is not None and method.few_shot != UNLABELLED:
                        pool = opened.dataset.has_anomaly_pool
                        few = few_shot.of_cell(method.few_shot, has_pool=pool, seed=seed)
                        cell = replace(cell, few_shot=few)
                    if cell not in seen:
                        seen.add(cell)
                        yield Entry(row=row, column=column_of[opened.name, task], rate=rate, cell=cell)
    if refused:
        raise DataError("\n".join(refused))


def _cell(
    opened: OpenDataset, task: str, method: ChosenMethod, contamination: Contamination, seed: int
) -> Cell:
    adapter, base = method.method.adapter, method.method.base
    code = {"dataset": opened.adapter.code, "method": adapter.code}
    if base is not None:
        code["base"] = base.adapter.code
    return Cell(
        dataset=opened.name,
        task=task,
        method=adapter.name,
        params=tuple(sorted(method.params.items())),
        backbone=method.backbone.name if method.backbone else "",
        contamination=contamination,
        seed=seed if method.method.stochastic else None,
        code=tuple(sorted(code.items())),
        data_fingerprint=opened.fingerprint + (f"+{method.auxiliary}" if method.auxiliary else ""),
        backbone_identity=method.backbone_identity,
    )
