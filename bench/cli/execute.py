"""Running what is left of a suite: chooses the executor, shows what happens, says how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from bench.cli.asked import pick_devices
from bench.cli.cluster import CLUSTERS, cluster_device, cluster_executor
from bench.cli.console import err
from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.cli.live import View
    from bench.core.archive import Archive
    from bench.core.cell import Cell
    from bench.run.cost import Costs
    from bench.run.executors.base import Executor, Progress
    from bench.run.remaining import State
    from bench.run.setup import Setup
    from bench.run.stopping import Ending, Why
    from bench.run.units import Unit
    from bench.suite.registry import Registry
    from bench.suite.suite import Suite

EXECUTORS = ("auto", "inline", "pool", *CLUSTERS)
#: Seconds that workers need before their first cell: the interpreter, torch, the adapters.
START_SECONDS = 5.0
#: Workers on one GPU by default: more would wait for each other, or for the cores.
GPU_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run, as the command line says it."""

    executor: str = "auto"
    device: str = "auto"
    workers: int | None = None
    together: int | None = None
    threads: int | None = None
    budget: float | None = None
    max_failures: int | None = None
    timing: Literal["packed", "exclusive"] = "packed"
    memory_limit: float | None = None
    address: str | None = None
    slurm: tuple[str, ...] = ()
    cpus: int | None = None


def execute(suite: Suite, found: Registry, archive: Archive, state: State, options: Options) -> Why:
    """Run what is left, updating the state's records; return why it ended early, if it did."""
    from bench.cli.live import view
    from bench.run.driver import Driver
    from bench.run.locks import Claims
    from bench.run.progress import Watch
    from bench.run.stopping import Ending
    from bench.run.units import loading_seconds

    if options.executor not in EXECUTORS:
        raise AnobenchError(f"--executor {options.executor}: expected one of {', '.join(EXECUTORS)}")
    clustered = options.executor in CLUSTERS
    devices = cluster_device(options) if clustered else pick_devices(options.device)
    setup = _setup(suite, found, options, devices)
    costs = _costs(archive, state.todo, found, devices[0])
    remote = cluster_executor(setup, options, archive.root) if clustered else None
    pooled, workers = True, remote.devices if remote else 0
    if remote is None:
        pooled, workers = _choose(options, setup, devices, costs, state.todo)
    if state.records:
        err.print(f"{len(state.records)} cells are there; running {len(state.todo)}.")
    work = _work(state.todo, costs, setup, found, options, len(devices) * workers if pooled else 1)
    claims = Claims(archive.root / "claims")
    watch = Watch(suite.name, [], total=len(state.todo), driver=claims.name)
    watch.file = archive.root / "status" / f"{suite.name}-{claims.name[:8]}.json"
    shown: View
    with Ending(options.budget, _say) as ending, view(watch) as shown:
        tell = lambda progress: shown.on_progress(progress)  # noqa: E731
        executor = (
            remote.executor if remote else _executor(setup, devices, workers, ending, tell, pooled=pooled)
        )
        watch.slots = executor.slots()
        driver = Driver(
            work,
            executor,
            archive,
            found,
            ending,
            claims=claims,
            known=state.records,
            alone=options.timing == "exclusive",
            max_failures=options.max_failures,
            watch=watch,
            loading=loading_seconds(work, costs),
        )
        try:
            with contextlib.closing(driver.run()) as records:
                for record in records:
                    state.records[record.cell.key] = record
                    shown.kept(record)
        except KeyboardInterrupt:
            ending.why = ending.why or "interrupted"
        finally:
            watch.close()
        return ending.why


def _say(why: Why) -> None:
    reasons = {
        "interrupted": "interrupted: cells in flight come to their end or their next checkpoint; "
        "Ctrl-C again stops them now",
        "terminated": "asked to end: cells in flight have some seconds to finish or to keep a checkpoint",
        "budget": "the budget is spent: cells in flight have a minute to finish or to keep a checkpoint",
        "failures": "too many failures (--max-failures): cells in flight come to their end",
    }
    err.print(reasons[why], markup=False)


def _setup(suite: Suite, found: Registry, options: Options, devices: Sequence[str]) -> Setup:
    from bench.core.determinism import CELL_THREADS
    from bench.run.setup import Setup
    from bench.run.timing import REPEATS

    limits = suite.file.limits
    if options.memory_limit is not None:
        limits = limits.model_copy(update={"cell_memory": options.memory_limit})
    return Setup.of(
        suite,
        found.folders,
        limits=limits,
        device=devices[0],
        threads=options.threads or CELL_THREADS,
        repeats=REPEATS if options.timing == "exclusive" else 0,
    )


def _costs(archive: Archive, todo: Sequence[Cell], found: Registry, device: str) -> Costs:
    from bench.run.cost import Costs
    from bench.run.prefetch import survey

    past = archive.load_all(archive.keys()).values()
    return Costs(past, sizes=survey(todo, found), device=device.partition(":")[0])


def _choose(
    options: Options, setup: Setup, devices: Sequence[str], costs: Costs, todo: Sequence[Cell]
) -> tuple[bool, int]:
    """Return whether workers are started, and how many on each device."""
    from bench.core.determinism import cores

    most = GPU_WORKERS if devices[0] != "cpu" else cores()
    default = 1 if options.timing == "exclusive" else min(cores(), most)
    workers = min(options.workers or default, len(todo))
    if options.executor != "auto":
        return options.executor == "pool", workers
    # What this process holds cannot be limited from inside.
    if options.workers is not None or setup.limits.cell_memory is not None:
        return True, workers
    at_once = workers * len(devices)
    seconds = sum(costs.cell(cell).seconds for cell in todo)
    return seconds * (1 - 1 / max(1, at_once)) > 2 * START_SECONDS, workers


def _work(
    todo: Sequence[Cell], costs: Costs, setup: Setup, found: Registry, options: Options, workers: int
) -> list[Unit]:
    from bench.run.prefetch import asks_for_features
    from bench.run.units import units

    together = options.together or (1 if setup.device == "cpu" or options.timing == "exclusive" else 32)
    return units(
        todo,
        costs,
        together=together,
        fits_together=lambda cell: fits_together(found, cell),
        extracts=asks_for_features(found, setup.known_backbones()) if workers > 1 else lambda _: False,
        devices=workers,
    )


def fits_together(found: Registry, cell: Cell) -> bool:
    from bench.core.errors import AdapterError

    adapter = found.methods.get(cell.method)
    try:
        return adapter is not None and hasattr(adapter.load(), "fit_together")
    except AdapterError:
        return False  # running the cell says why


def _executor(
    setup: Setup,
    devices: Sequence[str],
    workers: int,
    ending: Ending,
    on_progress: Callable[[Progress], None],
    *,
    pooled: bool,
) -> Executor:
    from bench.core.determinism import cores
    from bench.run.executors.inline import Inline
    from bench.run.executors.pool import Pool

    if pooled:
        threads = max(1, cores() // (workers * len(devices)))
        return Pool(replace(setup, extraction_threads=threads), devices, workers)
    inline = Inline(setup.runner(), repeats=setup.repeats, on_progress=on_progress)
    ending.at_once = inline.kill
    return inline


def how_it_ended(why: Why, state: State, planned: int, root: Path) -> None:
    """Say what is kept of a run that ended early, and leave if the user asked for the end.

    Raises
    ------
    typer.Exit
        130 after Ctrl-C, 143 after SIGTERM.
    """
    if not why:
        return
    err.print(
        f"{'interrupted' if why in ('interrupted', 'terminated') else 'ended early'}; "
        f"{len(state.records)} of {planned} cells are kept in {root}. Run the same command again to go on.",
        markup=False,
    )
    if why in ("interrupted", "terminated"):
        raise typer.Exit(130 if why == "interrupted" else 143)
