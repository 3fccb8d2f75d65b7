"""``anobench run``: a suite in, records and a leaderboard out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.asked import seconds_of
from bench.cli.execute import Options, execute, how_it_ended
from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Results, registry

if TYPE_CHECKING:
    from pathlib import Path

    from bench.core.archive import Archive
    from bench.core.cell import Record
    from bench.core.plan import Plan
    from bench.run.remaining import State


class Timing(StrEnum):
    """Values of ``--timing``."""

    packed = "packed"
    exclusive = "exclusive"


_Suite = Annotated[
    str | None,
    typer.Argument(metavar="[SUITE]", help="A stock suite's name or the path of a .toml file."),
]
_Dataset = Annotated[
    list[str] | None,
    typer.Option("--dataset", "-d", help="Only these data sets, e.g. 'cifar10\\[task=bird]'. Repeatable."),
]
_Method = Annotated[
    list[str] | None,
    typer.Option("--method", "-m", help="Only these methods, e.g. 'dn2\\[k=5]'. Repeatable."),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be run and how long.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Compute every cell again.")]
_RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")]
_Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1; auto takes the GPU if there is one.")
]
_Together = Annotated[
    int | None,
    typer.Option(
        "--together",
        min=1,
        help="Fit the heads of up to so many cells in the same steps, where a method offers it; "
        "by default 32 on a GPU and 1 on a CPU, where nothing is gained.",
    ),
]
_Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        help="inline: this process; pool: workers on this machine; auto: the pool where it pays; "
        "ray: a Ray cluster; slurm: a Slurm cluster.",
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes on each GPU, or on the CPU: by default its cores."),
]
_Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Threads of a cell, by default 1: another number gives other last bits."
    ),
]
_Budget = Annotated[
    str | None, typer.Option("--budget", help="End after so long, e.g. 90s, 20min, 2h; go on later.")
]
_MaxFailures = Annotated[
    int | None, typer.Option("--max-failures", min=1, help="End after so many failed cells.")
]
_TimingLane = Annotated[
    Timing,
    typer.Option(
        "--timing",
        help="exclusive: each cell alone on its device, after a warm-up, three times; "
        "also runs again those whose times were taken beside other cells.",
    ),
]
_MemoryLimit = Annotated[
    float | None,
    typer.Option("--memory-limit", metavar="GIB", help="Memory that a worker may hold (cell_memory)."),
]
_Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Of a Ray cluster that runs, or auto; else a local one."
    ),
]
_Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="For sbatch: partition=gpu, time=240 (minutes). Repeatable.",
    ),
]
_Cpus = Annotated[
    int | None, typer.Option("--cpus", min=1, help="Of each worker on a cluster: ray 1, slurm 4.")
]


def run(
    suite: _Suite = None,
    dataset: _Dataset = None,
    method: _Method = None,
    results: Results = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    dry_run: _DryRun = False,
    fresh: _Fresh = False,
    retry_failed: _RetryFailed = False,
    device: _Device = "auto",
    together: _Together = None,
    executor: _Executor = "auto",
    workers: _Workers = None,
    threads: _Threads = None,
    budget: _Budget = None,
    max_failures: _MaxFailures = None,
    timing: _TimingLane = Timing.packed,
    memory_limit: _MemoryLimit = None,
    address: _Address = None,
    slurm: _Slurm = None,
    cpus: _Cpus = None,
) -> None:
    """Run a suite: every cell that is not in the archive yet; then write its leaderboard.

    With a suite, -d and -m pick a part of it; without one they make a suite of their own, called "adhoc".
    """
    from bench.cli.selection import narrowed, the_suite
    from bench.core.archive import Archive
    from bench.run.remaining import compare
    from bench.suite.grid import make_plan

    found = registry(bench)
    wanted = the_suite(suite, found, dataset or [], method or [])
    plan = make_plan(wanted, found)
    archive = Archive(results)
    exclusive = timing is Timing.exclusive
    state = compare(plan, archive, fresh=fresh, retry_failed=retry_failed, retime=exclusive)
    if suite is not None and (dataset or method):
        state = narrowed(plan, state, dataset or [], method or [])
    if dry_run:
        _show_plan(plan, archive, state)
        return
    archive.check_writable()
    archive.write_plan(plan)
    if state.todo:
        options = Options(
            executor=executor,
            device=device,
            workers=workers,
            together=together,
            threads=threads,
            budget=seconds_of(budget),
            max_failures=max_failures,
            timing="exclusive" if exclusive else "packed",
            memory_limit=memory_limit,
            address=address,
            slurm=tuple(slurm or ()),
            cpus=cpus,
        )
        why = execute(wanted, found, archive, state, options)
        how_it_ended(why, state, len({entry.cell.key for entry in plan.entries}), archive.root)
    raise typer.Exit(finish(plan, archive, state.records, found.folders))


def _show_plan(plan: Plan, archive: Archive, state: State) -> None:
    from rich.markup import escape

    from bench.cli.console import duration, out, table
    from bench.run.cost import Costs

    keys = {entry.cell.key for entry in plan.entries}
    left = {cell.key for cell in state.todo}
    rows = table(f"{plan.title}: {len(keys)} cells", "method", "cells", "left")
    for at, row in enumerate(plan.rows):
        own = {entry.cell.key for entry in plan.entries if entry.row == at}
        rows.add_row(escape(row.label), str(len(own)), str(len(own & left)))
    out.print(rows)
    failed = sum(record.status == "failed" for record in state.records.values())
    out.print(f"{len(state.records)} of {len(keys)} cells are there ({failed} failed), {len(left)} to run.")
    if state.todo:
        past = archive.load_all(archive.keys()).values()
        seconds, unknown = Costs(past).total(state.todo)
        known = len(state.todo) - unknown
        if known:
            out.print(
                f"About {duration(seconds)} for {known} cells, from past timings, features not counted."
            )
        if unknown:
            out.print(f"{unknown} cells have no past timing.")
    for problem in plan.problems:
        out.print(f"problem: {problem}", markup=False)


def finish(plan: Plan, archive: Archive, records: Mapping[str, Record], folders: Iterable[Path]) -> int:
    """Write the leaderboard and the tidy CSV, say where they are, and return the exit status.

    Published numbers come from the bench folders; a file that cannot be used is reported and left out.
    """
    from bench.cli.console import err, out
    from bench.core.errors import PublishedError
    from bench.report.published.read import load_published
    from bench.report.write import write_reports

    problems = list(plan.problems)
    try:
        published = load_published(folders)
    except PublishedError as error:
        published = ()
        problems.append(f"the leaderboard is without published numbers: {error}")
    outcome = write_reports(plan, archive, records, published=published)
    out.print(outcome.summary, markup=False)
    for message in (*problems, *archive.unreadable):
        err.print(message, style="yellow", markup=False)
    out.print(f"\n{outcome.state}\nleaderboard: {outcome.leaderboard}", markup=False)
    return outcome.exit_status
