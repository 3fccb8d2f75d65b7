"""Audits of suites, presets and split lists: what the train sets hold at each rate, by category."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.core.contamination import PRESETS, Contamination
from bench.core.errors import DataError, SuiteError, did_you_mean
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.data.audit import Audit, audit_task, counted_task, total, with_changes
from bench.data.contaminate import contaminate
from bench.data.copies import MissingData
from bench.data.dataset import Dataset
from bench.data.splitlists import Counts, audits_of, read_split_list, tested_images
from bench.data.task import Task
from bench.suite.registry import Registry

__all__ = ["Audit", "AuditTable", "audit_lists", "audit_preset", "audit_suite"]


class AuditTable(NamedTuple):
    """Audits of one protocol.

    Attributes
    ----------
    title : str
    nominal_of : str
        What its rates are relative to: ``"set"``, ``"normals"``, or empty if that is not known.
    categories : list of Audit
        By category and rate.
    overall : list of Audit
        The sums over categories, by rate.
    """

    title: str
    nominal_of: str
    categories: list[Audit]
    overall: list[Audit]


def audit_suite(plan: Plan, registry: Registry) -> list[AuditTable]:
    """Return an audit of each data set of a suite and each draw of anomalies (seed)."""
    wanted: dict[tuple[str, int], dict[tuple[str, float], Contamination]] = {}
    titles = {column.dataset: column.title or column.dataset for column in plan.columns}
    for entry in plan.entries:
        how = entry.cell.contamination
        held = wanted.setdefault((entry.cell.dataset, how.seed), {})
        held.setdefault((entry.cell.task, entry.rate), how)
    # Without anomalies to draw there is one clean train set, whatever the seed.
    drawn = {name for (name, _), held in wanted.items() if any(how.rate for how in held.values())}
    tables = []
    for (name, seed), held in wanted.items():
        if name in drawn and not any(how.rate for how in held.values()):
            continue
        clean = {place: how for place, how in wanted.get((name, 0), {}).items() if not how.rate}
        every = {**clean, **held}
        of = next((how.of for how in every.values() if how.rate), "set")
        title = f"{titles[name]}, draw {seed}" if name in drawn else titles[name]
        tables.append(_table(title, of, registry.open_dataset(name), name, every))
    return tables


def audit_preset(
    preset: str, dataset: str, rates: Sequence[float], registry: Registry, *, seed: int = 0
) -> AuditTable:
    """Return what a preset's rates come to on a data set: from its images, or from its official numbers.

    Raises
    ------
    SuiteError
        There is no such preset.
    DataError
        The data is not on this machine and its official numbers by category are not known, or there are too
        few anomalies for a rate.
    """
    if preset not in PRESETS:
        raise SuiteError(f"no preset {preset!r}{did_you_mean(preset, PRESETS)}")
    chosen: dict[str, Any] = dict(PRESETS[preset])
    opened: Any = registry.open_dataset(dataset)
    counts: Counts = getattr(opened, "expected", {})
    try:
        names, counted = opened.tasks(), False
        if set(counts) - {"train", "test", "all"} and len(names) < len(counts):
            names, counted = list(counts), True
    except MissingData:
        if not set(counts) - {"train", "test", "all"}:
            raise
        names, counted = list(counts), True
    hows = {
        (name, rate): Contamination(rate=rate, seed=seed, reserve=max(rates), **chosen).resolved()
        for name in names
        for rate in rates
    }
    title = f"{preset} on {opened.title or dataset}" + (" (from its official numbers)" if counted else "")
    return _table(title, chosen.get("of", "set"), opened, dataset, hows, counts if counted else {})


def _table(
    title: str,
    of: str,
    dataset: Dataset,
    name: str,
    hows: Mapping[tuple[str, float], Contamination],
    counts: Counts | None = None,
) -> AuditTable:
    by_task: dict[str, list[tuple[float, Contamination]]] = {}
    for (task, rate), how in sorted(hows.items()):
        by_task.setdefault(task, []).append((rate, how))
    made: list[Audit] = []
    for task, points in by_task.items():
        clean = _counted(task, counts) if counts else dataset.own_task(task)
        audits, tests = [], []
        # At rate 0 it does not matter where anomalies come from, and is not said.
        source = next((how.source for rate, how in points if rate), points[0][1].source)
        for rate, how in points:
            start = clean
            if how.source == "official" and how.rate:
                start = dataset.noisy_task(task, how.rate)
            try:
                dirty, _ = contaminate(start, name, how)
            except DataError as error:
                raise DataError(f"{title}: {error}") from None
            found, tested = audit_task(clean, dirty, rate, source)
            audits.append(found)
            tests.append(tested)
        made += with_changes(audits, tests)
    return AuditTable(title, of, made, _overall(made))


def _counted(task: str, counts: Counts) -> Task:
    train, good, bad = counts[task]
    return counted_task(task, {"train": train, "good": good, "bad": bad})


def audit_lists(
    paths: Iterable[Path],
    kind: str,
    registry: Registry,
    *,
    dataset: str = "",
    rates: Sequence[float] = (),
    images: Path | None = None,
) -> AuditTable:
    """Return what published lists hold, one list a rate.

    Parameters
    ----------
    dataset : str
        Whose official numbers give the test set where a list has none; may be empty.
    rates : sequence of float
        Nominal rates of the lists, where their names do not say them.

    Raises
    ------
    DataError
        A list cannot be read.
    """
    counts: Counts = {}
    if dataset:
        (adapter,) = registry.match("dataset", parse(dataset), "--dataset")
        counts = getattr(adapter.load(), "expected", {})
    held = list(paths)
    if rates and len(rates) != len(held):
        raise DataError(f"{len(held)} lists need as many rates (--rate), got {len(rates)}")
    made: dict[str, list[Audit]] = {}
    tests: dict[str, list[frozenset[Hashable] | None]] = {}
    for at, path in enumerate(held):
        found = read_split_list(path, kind, counts, images)
        rate = rates[at] if rates else found.rate
        for one in audits_of(found, rate, counts):
            made.setdefault(one.name, []).append(one)
            tests.setdefault(one.name, []).append(tested_images(found, one.name))
    every = [one for name in made for one in with_changes(made[name], tests[name])]
    return AuditTable(", ".join(path.name for path in held), "", every, _overall(every))


def _overall(audits: Sequence[Audit]) -> list[Audit]:
    rates = sorted({one.rate for one in audits}, key=lambda rate: -1.0 if rate is None else rate)
    return [total([one for one in audits if one.rate == rate]) for rate in rates]
