"""Launching a suite: the one way from a suite to its records, for the command line, Python and tests.

`bench.run.prepare` plans and looks up which records exist; `launch` runs the remaining cells through an
executor and writes the archive; `run` does both and returns the results.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.determinism import CELL_THREADS
from bench.core.errors import AnobenchError, did_you_mean
from bench.core.files import results_folder, working_directory
from bench.run.executors.choose import Options, choose_executor, pick_devices
from bench.run.failure import earlier_failures
from bench.run.prepare import Prepared, prepare
from bench.run.progress import ProgressTracker, View, quiet
from bench.suite.registry import Registry
from bench.suite.resolve import ResolvedMethod, Resolver
from bench.suite.suite import Suite
from bench.suite.sweep import GivenContamination, GivenLabels, contamination_table, few_shot_table

if TYPE_CHECKING:
    from bench.report.results import Results
    from bench.run.cost import Costs
    from bench.run.ending import EndReason
    from bench.run.setup import Setup
    from bench.run.units import Unit

log = logging.getLogger(__name__)

#: Why a run is about to end, in words.
REASONS = {
    "interrupted": "interrupted: running cells go on to their end or a checkpoint; Ctrl-C again stops them",
    "terminated": "terminated: running cells have a few seconds to finish or to write a checkpoint",
    "budget": "the budget is spent: running cells have a minute to finish or to write a checkpoint",
    "failures": "too many failures (--max-failures): running cells go on to their end",
}


def launch(
    prepared: Prepared,
    options: Options | None = None,
    *,
    view: Callable[[ProgressTracker], AbstractContextManager[View]] = quiet,
    say: Callable[[str], None] = log.info,
) -> EndReason:
    """Run what is left; add each record to ``prepared.records`` once it is written.

    Parameters
    ----------
    view : callable
        Takes the run's progress; returns a context that shows it.
    say : callable
        Shows a line to the user, such as why the run is about to end.

    Returns
    -------
    why : str
        Why it ended early: ``"interrupted"``, ``"terminated"``, ``"budget"``, ``"failures"``; else empty.

    Raises
    ------
    ArchiveError
        The results folder cannot be written.
    AnobenchError
        An option cannot be used on this machine, or weights or libraries are missing for all cells.
    """
    from bench.run.leavings import sweep_left

    prepared.archive.check_writable()
    prepared.archive.write_plan(prepared.plan)
    sweep_left(prepared.archive)
    for line in earlier_failures(prepared.records, prepared.todo):
        say(line)
    if not prepared.todo:
        return ""
    return _drive(prepared.runnable(say), options or Options(), view, say)


def _drive(
    prepared: Prepared,
    options: Options,
    view: Callable[[ProgressTracker], AbstractContextManager[View]],
    say: Callable[[str], None],
) -> EndReason:
    """Put together what a run needs, and let the driver work through it."""
    from bench.run.claims import Claims
    from bench.run.driver import Driver
    from bench.run.ending import Ending
    from bench.run.leavings import removed
    from bench.run.pixels import MapReader
    from bench.run.units import loading_seconds

    archive, todo, resolver = prepared.archive, prepared.todo, Resolver(prepared.registry)
    devices = pick_devices(options)
    costs = _costs(prepared, devices[0], resolver)
    claims = Claims(archive.root / "claims")
    maps = archive.root / "maps" / claims.name
    setup = replace(setup_of(prepared.suite, prepared.registry, options, devices), maps=str(maps))
    tracker = ProgressTracker(prepared.suite.name, [], total=len(todo), driver=claims.name, doing="starting")
    tracker.file = archive.root / "status" / f"{prepared.suite.name}-{claims.name[:8]}.json"
    tracker.update(0.0)
    with (
        contextlib.closing(tracker),
        removed(maps),
        Ending(options.budget, lambda why: say(REASONS[why])) as ending,
        view(tracker) as shown,
    ):
        on_cpu = _asks(resolver, lambda method: method.computes_on_cpu)
        chosen = choose_executor(
            options, setup, devices, costs, todo, archive.root, shown.on_progress, on_cpu
        )
        ending.at_once, tracker.slots = chosen.at_once, chosen.executor.slots()
        done, to_run = prepared.progress()
        if done:
            say(f"{done} cells are done; running {to_run}.")
        work = _work(todo, costs, setup, resolver, options, chosen.devices)
        driver = Driver(
            work,
            chosen.executor,
            archive,
            resolver,
            ending,
            claims=claims,
            known=prepared.records,
            alone=options.timing == "exclusive",
            max_failures=options.max_failures,
            tracker=tracker,
            loading=loading_seconds(work, costs),
            maps=MapReader(prepared.registry, maps, archive.results, keep=options.keep == "maps"),
        )
        try:
            with contextlib.closing(driver.run()) as records:
                for record in records:
                    prepared.records[record.cell.key] = record
                    shown.on_record(record)
        except KeyboardInterrupt:
            ending.why = ending.why or "interrupted"
        return ending.why


def setup_of(suite: Suite, registry: Registry, options: Options, devices: Sequence[str]) -> Setup:
    """Return what makes the runners of a suite."""
    from bench.run.setup import Setup
    from bench.run.timing import REPEATS

    limits = suite.file.limits
    if options.memory_limit is not None:
        limits = limits.model_copy(update={"cell_memory": options.memory_limit})
    return Setup.of(
        suite,
        registry.folders,
        limits=limits,
        device=devices[0],
        threads=options.threads or CELL_THREADS,
        path_folders=tuple(str(folder) for folder in registry.path_folders),
        repeats=REPEATS if options.timing == "exclusive" else 0,
    )


def _asks(resolver: Resolver, what: Callable[[ResolvedMethod], bool]) -> Callable[[Cell], bool]:
    """Return a question about the methods of cells; the answer is no where there is no such method."""

    def asks(cell: Cell) -> bool:
        method = resolver.find(cell)
        return method is not None and what(method)

    return asks


def _costs(prepared: Prepared, device: str, resolver: Resolver) -> Costs:
    from bench.run.cost import Costs
    from bench.run.prefetch import survey

    past = prepared.archive.load_all(prepared.archive.keys()).values()
    sizes = survey(prepared.todo, prepared.registry)
    only_reads = _asks(resolver, lambda method: method.only_reads_features)
    return Costs(past, sizes=sizes, device=device.partition(":")[0], only_reads=only_reads)


def _work(
    todo: Sequence[Cell], costs: Costs, setup: Setup, resolver: Resolver, options: Options, devices: int
) -> list[Unit]:
    from bench.run.prefetch import asks_for_features
    from bench.run.units import units

    together = options.together or (1 if setup.device == "cpu" or options.timing == "exclusive" else 32)
    return units(
        todo,
        costs,
        together=together,
        fits_together=_asks(resolver, lambda method: "fit_together" in method.adapter.offers),
        extracts=asks_for_features(resolver, setup.known_backbones()) if devices > 1 else lambda _: False,
        on_cpu=_asks(resolver, lambda method: method.computes_on_cpu),
        devices=devices,
    )


def run(
    suite: str | Path | Suite | None = None,
    *,
    results: str | Path | None = None,
    datasets: str | Sequence[str] = (),
    methods: str | Sequence[str] = (),
    name: str | None = None,
    backbone: str | None = None,
    contamination: GivenContamination | None = None,
    few_shot: GivenLabels | None = None,
    folders: Sequence[str | Path] = (),
    fresh: bool = False,
    retry_failed: bool = False,
    show: bool = True,
    **options: Any,
) -> Results:
    """Run what is left of a suite, write its leaderboard, and return its results: ``bench.run``.

    Parameters
    ----------
    suite : str, Path or Suite, optional
        A stock suite's name or the path of a TOML file. Without one, `datasets` and `methods` make a suite
        called ``adhoc``.
    results : str or Path, optional
        The results folder; by default ``results`` (in a checkout of anobench ``my-results``).
    datasets, methods : str or sequence of str
        Selectors such as ``"digits[task=3]"`` and ``"dn2[k=5]"``; with a suite they pick a part of it.
    name : str, optional
        What the leaderboard is called.
    backbone : str, optional
        For methods that name none.
    contamination : float, sequence of float or mapping, optional
        A rate, rates, or the keys of a suite's ``[contamination]``; instead of the suite's.
    few_shot : int, sequence of int or mapping, optional
        Numbers of labelled anomalies, or the keys of a suite's ``[few_shot]``; instead of the suite's.
    folders : sequence of str or Path
        Your own bench folders; the working directory is searched too.
    fresh, retry_failed : bool
        Run every cell again, or those that failed.
    show : bool
        Show progress on standard error.
    **options
        How to run it: the fields of `Options`, such as ``executor="inline"``, ``workers=2``,
        ``device="cuda"``, ``budget=600``.

    Returns
    -------
    Results

    Raises
    ------
    AnobenchError
        A mistake in the suite, the selectors, the options or the data.
    KeyboardInterrupt
        After Ctrl-C; records of finished cells stay.

    Examples
    --------
    >>> import bench
    >>> results = bench.run(datasets="digits[task=3]", methods=["dn2[backbone=hog]"], show=False)
    >>> results
    <Results of adhoc: 1 of 1 cells>
    >>> float(results.frame().query("metric == 'auroc'")["value"].iloc[0]) > 0.9
    True
    >>> list(results.scores(results.cells[0]).columns)
    ['image', 'label', 'score']
    """
    from bench.run import live

    chosen = _options(options)
    prepared = prepare(
        suite,
        Registry([Path(folder) for folder in folders], working_directory()),
        Archive(results_folder() if results is None else Path(results)),
        datasets=[datasets] if isinstance(datasets, str) else datasets,
        methods=[methods] if isinstance(methods, str) else methods,
        name=name,
        backbone=backbone,
        contamination=None if contamination is None else contamination_table(contamination),
        few_shot=None if few_shot is None else few_shot_table(few_shot),
        fresh=fresh,
        retry_failed=retry_failed,
        retime=chosen.timing == "exclusive",
        keep_maps=chosen.keep == "maps",
    )
    why = launch(prepared, chosen, view=live.view, say=live.say) if show else launch(prepared, chosen)
    found = prepared.results()
    found.write()
    if why in ("interrupted", "terminated"):
        raise KeyboardInterrupt
    return found


def _options(given: Mapping[str, Any]) -> Options:
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            raise AnobenchError(f"bench.run has no option {name!r}{did_you_mean(name, known)}")
    return Options(**given)
