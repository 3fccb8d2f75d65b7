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

    from bench.archive import Archive
    from bench.cell import Cell, Record
    from bench.plan import Plan
    from bench.registry import Registry
    from bench.run.execute import State
    from bench.suite import Suite


class Timing(StrEnum):
    """Values of ``--timing``."""

    packed = "packed"
    exclusive = "exclusive"


def run(
    suite: Annotated[
        str | None,
        typer.Argument(metavar="[SUITE]", help="A stock suite's name or the path of a .toml file."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset", "-d", help="Only these data sets, e.g. 'cifar10\\[task=bird]'. Repeatable."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Only these methods, e.g. 'dn2\\[k=5]'. Repeatable."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run and how long.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute every cell again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda, cuda:1; auto takes the GPU if there is one.")
    ] = "auto",
    together: Annotated[
        int | None,
        typer.Option(
            "--together",
            min=1,
            help="Fit the heads of up to so many cells in the same steps, where a method offers it; "
            "by default 32 on a GPU and 1 on a CPU, where nothing is gained.",
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            help="inline: this process; pool: workers on this machine; auto: the pool where it pays; "
            "ray: a Ray cluster; slurm: a Slurm cluster.",
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on each GPU, or on the CPU: by default its cores."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, help="Threads of a cell, by default 1: another number gives other last bits."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="End after so long, e.g. 90s, 20min, 2h; go on later.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=1, help="End after so many failed cells.")
    ] = None,
    timing: Annotated[
        Timing,
        typer.Option(
            "--timing",
            help="exclusive: each cell alone on its device, after a warm-up, three times; "
            "also runs again those whose times were taken beside other cells.",
        ),
    ] = Timing.packed,
    memory_limit: Annotated[
        float | None,
        typer.Option("--memory-limit", metavar="GIB", help="Memory that a worker may hold (cell_memory)."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="HOST:PORT", help="Of a Ray cluster that runs, or auto; else a local one."
        ),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm",
            metavar="KEY=VALUE",
            help="For sbatch: partition=gpu, time=240 (minutes). Repeatable.",
        ),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="Of each worker on a cluster: ray 1, slurm 4.")
    ] = None,
) -> None:
    """Run a suite: every cell that is not in the archive yet; then write its leaderboard.

    With a suite, -d and -m pick a part of it; without one they make a suite of their own, called "adhoc".
    """
    from bench.archive import Archive
    from bench.grid import make_plan
    from bench.run.execute import compare

    found = registry(bench)
    the_suite = _suite(suite, found, dataset or [], method or [])
    plan = make_plan(the_suite, found)
    archive = Archive(results)
    exclusive = timing is Timing.exclusive
    state = compare(plan, archive, fresh=fresh, retry_failed=retry_failed, retime=exclusive)
    if suite is not None and (dataset or method):
        state = _narrow(plan, state, dataset or [], method or [])
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
        why = execute(the_suite, found, archive, state, options)
        how_it_ended(why, state, len({entry.cell.key for entry in plan.entries}), archive.root)
    raise typer.Exit(finish(plan, archive, state.records, found.folders))


def _suite(name: str | None, found: Registry, datasets: list[str], methods: list[str]) -> Suite:
    from bench.errors import SuiteError
    from bench.suite import adhoc_suite, load_suite

    if name is not None:
        return load_suite(found.suite_path(name))
    if not (datasets and methods):
        raise SuiteError(
            "give a suite (anobench list suites shows them), or both --dataset and --method, "
            "e.g. anobench run -d digits -m 'dn2[backbone=pixels]'"
        )
    return adhoc_suite(datasets, methods)


def _narrow(plan: Plan, state: State, datasets: list[str], methods: list[str]) -> State:
    """Keep the cells that the selectors mean: names are globs, parameters must be equal as text."""
    import fnmatch
    from dataclasses import replace

    from bench.errors import SelectorError
    from bench.selector import Selector, parse

    def means(selector: Selector, name: str, params: dict[str, str]) -> bool:
        return fnmatch.fnmatchcase(name, selector.name) and all(
            fnmatch.fnmatchcase(params.get(key, ""), value) for key, value in selector.params.items()
        )

    def of_dataset(selector: Selector, cell: Cell) -> bool:
        known = parse(cell.dataset)
        return means(selector, known.name, {**known.params, "task": cell.task})

    def of_method(selector: Selector, cell: Cell) -> bool:
        params = {
            key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in cell.params
        }
        return means(selector, cell.method, {**params, "backbone": cell.backbone})

    chosen = [entry.cell for entry in plan.entries]
    for texts, test, option in ((datasets, of_dataset, "--dataset"), (methods, of_method, "--method")):
        selectors = [parse(text) for text in texts]
        if selectors:
            chosen = [cell for cell in chosen if any(test(selector, cell) for selector in selectors)]
            if not chosen:
                raise SelectorError(f"{option} {' '.join(texts)}: no cell of this suite is meant")
    keys = {cell.key for cell in chosen}
    return replace(state, todo=tuple(cell for cell in state.todo if cell.key in keys))


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
    from bench.errors import PublishedError
    from bench.report.published import load_published
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
