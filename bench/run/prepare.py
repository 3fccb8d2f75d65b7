"""Preparing a run: the suite that is meant, its plan, which of its records exist, and what is left to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, SelectorError, SuiteError, did_you_mean
from bench.core.plan import Plan, of_dataset, of_method
from bench.core.selector import Selector, expand, parse
from bench.features.backbone import Backbones
from bench.run.timing import PACKED
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import Suite, adhoc_suite, load_suite

if TYPE_CHECKING:
    from bench.report.results import Results


@dataclass(frozen=True, slots=True)
class Prepared:
    """A suite, its plan, and which of its records exist."""

    suite: Suite
    registry: Registry
    archive: Archive
    plan: Plan
    #: The records that exist, by key; `launch` adds to them.
    records: dict[str, Record]
    todo: tuple[Cell, ...]

    def progress(self) -> tuple[int, str]:
        """Return how many cells are done, and in words how many are to run."""
        again = sum(cell.key in self.records for cell in self.todo)
        words = f" ({again} of them again)" if again else ""
        return len(self.records) - again, f"{len(self.todo)}{words}"

    def missing(self) -> dict[str, str]:
        """Return why cells that are left cannot be run on this machine, by their key."""
        from bench.run.ready import what_is_missing

        backbones = Backbones(self.suite.file.backbones, self.suite.folder)
        return what_is_missing(self.todo, self.registry, backbones)

    def runnable(self, say: Callable[[str], None]) -> Prepared:
        """Return the same without the cells that cannot be run on this machine, and say why those cannot.

        Raises
        ------
        AnobenchError
            None of them can.
        """
        missing = self.missing()
        reasons = dict.fromkeys(missing.values())
        left = tuple(cell for cell in self.todo if cell.key not in missing)
        if missing and not left:
            raise AnobenchError("\n".join(reasons))
        for reason in reasons:
            count = sum(each == reason for each in missing.values())
            say(f"{count} cells are left out: {reason}")
        return replace(self, todo=left)

    def results(self) -> Results:
        """Return the results so far."""
        from bench.report.results import Results

        return Results(self.plan, self.archive, self.records, self.registry)


def find_suite(
    suite: str | Path | Suite | None,
    registry: Registry,
    datasets: Sequence[str],
    methods: Sequence[str],
    *,
    name: str | None = None,
    backbone: str | None = None,
    contamination: Mapping[str, Any] | None = None,
    few_shot: Mapping[str, Any] | None = None,
) -> Suite:
    """Return the suite of a name or path, or one made of selectors.

    Parameters
    ----------
    name : str, optional
        What its leaderboard is called, instead of the file's stem or ``adhoc``.
    backbone : str, optional
        For methods that name none, instead of the suite's.
    contamination, few_shot : mapping, optional
        The keys of a suite's table, instead of the suite's.

    Raises
    ------
    SuiteError
        Neither a suite nor selectors are given, the file is not a suite, or the name cannot be a file's.
    """
    if name is not None:
        _check_name(name, registry)
    if suite is not None:
        found = suite if isinstance(suite, Suite) else load_suite(registry.suite_path(str(suite)))
        return found.with_(name=name, backbone=backbone, contamination=contamination, few_shot=few_shot)
    if not (datasets and methods):
        raise SuiteError(
            "give a suite (anobench list suites shows them), or both --dataset and --method, "
            "e.g. anobench run -d digits -m 'dn2[backbone=pixels]'"
        )
    more: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
    tables = {"contamination": contamination, "few_shot": few_shot}
    more |= {key: table for key, table in tables.items() if table is not None}
    return adhoc_suite(list(datasets), list(methods), name=name or "adhoc", **more)


def _check_name(name: str, registry: Registry) -> None:
    """Refuse a name that cannot be a file's, or that belongs to something else in a results folder."""
    if not re.fullmatch(r"\w[\w.+-]{0,99}", name) or name.endswith((".toml", ".md")):
        raise SuiteError(
            f"--name {name}: expected letters, digits, '.', '_', '+' and '-', without a folder or an ending, "
            "e.g. --name tiles-2"
        )
    if name.lower() in ("readme", "index", "published") or name in registry.suites:
        what = "there is a suite of that name" if name in registry.suites else "a file there has that name"
        raise SuiteError(f"--name {name}: {what}; choose another")


def prepare(
    suite: str | Path | Suite | None,
    registry: Registry,
    archive: Archive,
    *,
    datasets: Sequence[str] = (),
    methods: Sequence[str] = (),
    name: str | None = None,
    backbone: str | None = None,
    contamination: Mapping[str, Any] | None = None,
    few_shot: Mapping[str, Any] | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    retime: bool = False,
    keep_maps: bool = False,
) -> Prepared:
    """Plan a suite and look up which records exist.

    Parameters
    ----------
    suite : str, Path, Suite or None
        A stock suite's name, a file, or None for one made of the selectors.
    datasets, methods : sequence of str
        Selectors that pick a part of the suite.
    name, backbone, contamination, few_shot : optional
        See `find_suite`.
    fresh, retry_failed, retime, keep_maps : bool
        See `compare`.

    Raises
    ------
    SuiteError, SelectorError, BackboneError, DataError
        As in `bench.suite.grid.make_plan`.
    """
    found = find_suite(
        suite,
        registry,
        datasets,
        methods,
        name=name,
        backbone=backbone,
        contamination=contamination,
        few_shot=few_shot,
    )
    plan = make_plan(found, registry)
    records, todo = compare(
        plan,
        archive,
        fresh=fresh,
        retry_failed=retry_failed,
        retime=retime,
        calibrate=found.file.thresholds is not None,
        keep_maps=keep_maps,
    )
    if suite is not None and (datasets or methods):
        todo = narrow(plan, todo, datasets, methods)
    return Prepared(found, registry, archive, plan, records, todo)


def compare(
    plan: Plan,
    archive: Archive,
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    retime: bool = False,
    calibrate: bool = False,
    keep_maps: bool = False,
) -> tuple[dict[str, Record], tuple[Cell, ...]]:
    """Return the records of a plan that exist, by key, and the cells that are left.

    Parameters
    ----------
    fresh : bool
        Run every cell again.
    retry_failed : bool
        Run failed cells again; otherwise a failure is a result.
    retime : bool
        Run cells again that were timed beside other cells.
    calibrate : bool
        Run cells again that were not asked for calibration scores.
    keep_maps : bool
        Run cells again that have anomaly maps which were not kept.
    """
    cells = {entry.cell.key: entry.cell for entry in plan.entries}
    records = archive.load_all(cells)
    if fresh:
        return records, tuple(cells.values())
    again = {
        key
        for key, record in records.items()
        if (retry_failed and record.status == "failed")
        or (retime and PACKED in record.flags)
        or (calibrate and record.status == "ok" and "calibration" not in record.counts)
        or (
            keep_maps
            and "regions" in record.counts
            and not (archive.results / "maps" / f"{key}.npy").exists()
        )
    }
    return records, tuple(cell for key, cell in cells.items() if key not in records or key in again)


def narrow(
    plan: Plan, todo: Iterable[Cell], datasets: Iterable[str], methods: Iterable[str]
) -> tuple[Cell, ...]:
    """Narrow what is left to the cells that selectors match; names and values are patterns.

    Raises
    ------
    SelectorError
        They match no cell of the suite.
    """
    chosen = [entry.cell for entry in plan.entries]
    for texts, test, option in ((datasets, of_dataset, "--dataset"), (methods, of_method, "--method")):
        selectors = [parse(each) for text in texts for each in expand(text)]
        if selectors:
            chosen = [cell for cell in chosen if any(test(selector, cell) for selector in selectors)]
            if not chosen:
                raise SelectorError(_no_cell(option, list(texts), selectors, plan))
    keys = {cell.key for cell in chosen}
    return tuple(cell for cell in todo if cell.key in keys)


def _no_cell(option: str, texts: Sequence[str], selectors: Sequence[Selector], plan: Plan) -> str:
    """Return that selectors match nothing, what there is, and how to run what the suite does not have."""
    cells = [entry.cell for entry in plan.entries]
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    of_methods = option == "--method"
    names = {cell.method for cell in cells} if of_methods else {parse(each).name for each in datasets}
    unknown = [each.name for each in selectors if each.name not in names]
    said = f"{option} {' '.join(texts)} matches no cell of this suite"
    if not unknown:
        return f"{said}: it has {', '.join(sorted(names))}, with other parameters (anobench run --dry-run)"
    said += did_you_mean(unknown[0], names)
    if not of_methods:
        return said
    words = shlex.join([word for name in datasets[:3] for word in ("-d", name)])
    return f"{said}; a method of your own runs on the same data by: anobench run {words} -m {unknown[0]}"
