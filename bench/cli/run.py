"""``anobench run``: a suite in, records and a leaderboard out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder, registry, suite_name
from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.report.results import Results
    from bench.run.ending import EndReason
    from bench.run.executors.choose import Options
    from bench.run.prepare import Prepared

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
_Name = Annotated[
    str | None,
    typer.Option("--name", help="What the leaderboard is called; by default the suite's name, or adhoc."),
]
_Backbone = Annotated[
    str | None,
    typer.Option("--backbone", "-b", help="For methods that name none, e.g. hog, 'pixels\\[size=16]'."),
]
_Contamination = Annotated[
    list[str] | None,
    typer.Option(
        "--contamination",
        metavar="RATES",
        help="Rates, and how: 0,0.1,20%, source=test, draw=one_class, preset=softpatch, …; instead of the "
        "suite's. Repeatable.",
    ),
]
_FewShot = Annotated[
    list[str] | None,
    typer.Option(
        "--few-shot",
        metavar="NUMBERS",
        help="Labelled anomalies for the methods that ask: 0,5,10, per=class, from=test, only=cat|dog, "
        "seed=0; instead of the suite's. Repeatable.",
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and for how long.")]
_Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="With --dry-run: take a few steps of each training that has no past timing, for an estimate.",
    ),
]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Compute every cell again.")]
_RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")]
_Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1; auto uses all GPUs, if there are any.")
]
_Together = Annotated[
    int | None,
    typer.Option(
        "--together",
        min=1,
        help="Fit the heads of up to so many cells in the same steps, if the method offers it; "
        "by default 32 on a GPU and 1 on a CPU, where it saves nothing.",
    ),
]
_Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        help="inline: this process; pool: workers on this machine; auto: the pool; "
        "ray: a Ray cluster; slurm: a Slurm cluster.",
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes on each GPU, or on the CPU (default: its cores)."),
]
_Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Threads of a cell, by default 1: others change the last bits of scores.",
    ),
]
_Budget = Annotated[
    str | None, typer.Option("--budget", help="End after so long, e.g. 90s, 20min, 2h; continue later.")
]
_MaxFailures = Annotated[
    int | None, typer.Option("--max-failures", min=1, help="End after so many failed cells.")
]
_Timing = Annotated[
    Literal["packed", "exclusive"],
    typer.Option(
        "--timing",
        help="exclusive: each cell alone on its device, three times after a warm-up; "
        "runs cells again that were timed beside others.",
    ),
]
_MemoryLimit = Annotated[
    float | None,
    typer.Option("--memory-limit", metavar="GIB", help="Memory of a worker (cell_memory)."),
]
_Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Of a running Ray cluster, or auto; by default a local one."
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


_Keep = Annotated[
    Literal["maps"] | None,
    typer.Option("--keep", help="maps: keep all anomaly maps, in <results>/maps, as float16 .npy files."),
]


def run(
    suite: _Suite = None,
    dataset: _Dataset = None,
    method: _Method = None,
    name: _Name = None,
    backbone: _Backbone = None,
    contamination: _Contamination = None,
    few_shot: _FewShot = None,
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    dry_run: _DryRun = False,
    measure: _Measure = False,
    fresh: _Fresh = False,
    retry_failed: _RetryFailed = False,
    device: _Device = "auto",
    together: _Together = None,
    executor: _Executor = "auto",
    workers: _Workers = None,
    threads: _Threads = None,
    budget: _Budget = None,
    max_failures: _MaxFailures = None,
    timing: _Timing = "packed",
    memory_limit: _MemoryLimit = None,
    address: _Address = None,
    slurm: _Slurm = None,
    cpus: _Cpus = None,
    keep: _Keep = None,
    json: Json = False,
) -> None:
    """Run a suite: every cell that is not in the archive yet; then write its leaderboard.

    With a suite, -d and -m pick a part of it; without one they make a suite of their own
    (--name).
    """
    from bench.core.archive import Archive
    from bench.run import live
    from bench.run.executors.choose import Options
    from bench.run.launch import launch
    from bench.run.prepare import prepare
    from bench.run.progress import announced
    from bench.suite.sweep import contamination_table, few_shot_table

    options = Options(
        executor=executor,
        device=device,
        workers=workers,
        together=together,
        threads=threads,
        budget=seconds_of(budget),
        max_failures=max_failures,
        timing=timing,
        memory_limit=memory_limit,
        address=address,
        slurm=tuple(slurm or ()),
        cpus=cpus,
        keep=keep or "",
    )
    if measure and not dry_run:
        raise AnobenchError("--measure belongs to --dry-run: it only estimates what a run will take")
    archive, called = Archive(results), name or (suite_name(suite) if suite else "adhoc")
    with contextlib.nullcontext() if dry_run else announced(archive.root, called):
        prepared = prepare(
            suite,
            registry(bench),
            archive,
            datasets=dataset or [],
            methods=method or [],
            name=name,
            backbone=backbone,
            contamination=contamination_table(contamination) if contamination else None,
            few_shot=few_shot_table(few_shot) if few_shot else None,
            fresh=fresh,
            retry_failed=retry_failed,
            retime=timing == "exclusive",
            keep_maps=keep == "maps",
        )
    if dry_run:
        _show_plan(prepared, json=json)
        if measure:
            _show_forecast(prepared, options)
        return
    why = launch(prepared, options, view=live.view, say=live.say)
    _report_end(why, prepared)
    raise typer.Exit(finish(prepared.results(), json="run" if json else "", why=why))


def seconds_of(text: str | None) -> float | None:
    """Parse ``"90s"``, ``"20min"``, ``"2h"``, ``"1.5d"``.

    Raises
    ------
    AnobenchError
        The text is something else.
    """
    if text is None:
        return None
    units = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number = text.strip().rstrip("smindh ")
    unit = text.strip()[len(number) :].strip()
    try:
        seconds = float(number) * units[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds <= 1e8:
        raise AnobenchError(
            f"--budget {text}: expected a number with a unit, e.g. 90s, 20min, 2h or 1d, at most 1000d"
        )
    return seconds


def _report_end(why: EndReason, prepared: Prepared) -> None:
    """Say how many cells a run that ended early has; exit with 130 after Ctrl-C, 143 after SIGTERM."""
    from bench.cli.console import err

    if not why:
        return
    planned = len({entry.cell.key for entry in prepared.plan.entries})
    err.print(
        f"{'interrupted' if why in ('interrupted', 'terminated') else 'ended early'}; "
        f"{len(prepared.records)} of {planned} cells are kept in {prepared.archive.root}. "
        "Run the same command again to continue."
    )
    if why in ("interrupted", "terminated"):
        raise typer.Exit(130 if why == "interrupted" else 143)


def _show_plan(prepared: Prepared, *, json: bool = False) -> None:
    from bench.cli.console import duration, hand_json, out, table
    from bench.run.cost import Costs

    plan, archive, records, todo = prepared.plan, prepared.archive, prepared.records, prepared.todo
    keys = {entry.cell.key for entry in plan.entries}
    left = {cell.key for cell in todo}
    problems = (*plan.problems, *dict.fromkeys(prepared.missing().values()))
    if json:
        methods = {
            row.label: {
                "cells": len(own := {entry.cell.key for entry in plan.entries if entry.row == at}),
                "left": len(own & left),
            }
            for at, row in enumerate(plan.rows)
        }
        about = {"suite": plan.suite, "dry run": True, "cells": len(keys), "left": len(left)}
        hand_json("run", {**about, "methods": methods, "problems": problems})
        return
    rows = table(f"{plan.title}: {len(keys)} cells", "method", "cells", "left")
    for at, row in enumerate(plan.rows):
        own = {entry.cell.key for entry in plan.entries if entry.row == at}
        rows.add_row(row.label, str(len(own)), str(len(own & left)))
    out.print(rows)
    failed = sum(record.status == "failed" for key, record in records.items() if key not in left)
    done, to_run = prepared.progress()
    out.print(f"{done} of {len(keys)} cells are done ({failed} failed), {to_run} to run.")
    if todo:
        past = archive.load_all(archive.keys()).values()
        seconds, unknown = Costs(past).total(todo)
        known = len(todo) - unknown
        if known:
            out.print(
                f"About {duration(seconds)} for {known} cells, from past timings, not counting features."
            )
        if unknown:
            out.print(f"{unknown} cells have no past timing.")
    for problem in problems:
        out.print(f"problem: {problem}")


def _show_forecast(prepared: Prepared, options: Options) -> None:
    """Say what the cells without past timing will take, by a few steps of each training."""
    from bench.cli.console import duration, err, out, table
    from bench.run.cost import Costs
    from bench.run.executors.choose import pick_devices
    from bench.run.forecast import forecasts
    from bench.run.launch import setup_of

    archive, devices = prepared.archive, pick_devices(options)
    costs = Costs(archive.load_all(archive.keys()).values())
    cells = [cell for cell in prepared.todo if not costs.cell(cell).learned]
    if not cells:
        return
    labels = {entry.cell.key: prepared.plan.rows[entry.row].label for entry in prepared.plan.entries}
    runner = setup_of(prepared.suite, prepared.registry, options, devices).runner()
    rows = table(f"By a few steps on {devices[0]}", "method", "cells", "steps", "a cell", "together")
    found = []
    for each in forecasts(runner, cells):
        found.append(each)
        name = f"{labels[each.cells[0].key]} · {each.cells[0].dataset}"
        shown = ("?", "?") if each.problem else (duration(each.seconds), duration(each.total))
        err.print(f"{name}: {shown[0]} a cell")  # each takes a while
        rows.add_row(name, str(len(each.cells)), f"{each.steps:,}", *shown)
    out.print(rows)
    for problem in dict.fromkeys(each.problem for each in found if each.problem):
        out.print(f"problem: {problem}")
    known = [each for each in found if not each.problem]
    total = duration(sum(each.total for each in known))
    out.print(f"About {total} for {sum(len(each.cells) for each in known)} cells one after the other.")


def finish(results: Results, *, rope: float = 0.005, json: str = "", why: str = "") -> int:
    """Write the leaderboard and the tidy CSV, say where they are, and return the exit status.

    With `json`, the command's name, it is said as JSON; `why` is why a run ended early.
    """
    from bench.cli.console import err, hand_json, out
    from bench.core.files import working_directory

    outcome = results.write(rope=rope)
    if json:
        cells = len(results.cells)
        failed = sum(record.status == "failed" for record in results.records.values())
        about = {"suite": results.plan.suite, "ended early": why, "cells": cells, "failed": failed}
        about |= {"missing": cells - len(results.records), "state": outcome.state}
        about |= {"leaderboard": outcome.leaderboard, "exit_status": outcome.exit_status}
        hand_json(json, {**about, "problems": outcome.problems, "hints": outcome.hints})
        return outcome.exit_status
    out.print(outcome.summary)
    for message in outcome.problems:
        err.print(message, style="yellow")
    for hint in outcome.hints:
        err.print(f"hint: {hint}", style="yellow")
    written = outcome.leaderboard
    with contextlib.suppress(AnobenchError, ValueError):  # it lies elsewhere, or there is no "here" any more
        written = written.relative_to(working_directory())
    out.print(f"\n{outcome.state}\nleaderboard: {written}")
    return outcome.exit_status
