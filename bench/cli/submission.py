"""``anobench submit-mvtec-ad2``: a method's upload for the MVTec AD 2 server, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder, registry
from bench.core.errors import AnobenchError

_Suite = Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name or file, with mvtec_ad2.")]
_Method = Annotated[str, typer.Argument(metavar="METHOD", help="As the leaderboard names it.")]
_Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="By default <results>/mvtec-ad2-METHOD.")
]
_Seed = Annotated[int | None, typer.Option("--seed", help="The method's seed; the suite's first by default.")]
_Check = Annotated[bool, typer.Option("--check", help="Only check what lies in --out.")]
_Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1.")]


def submit_mvtec_ad2(
    suite: _Suite,
    method: _Method,
    out: _Out = None,
    seed: _Seed = None,
    check: _Check = False,
    device: _Device = "cpu",
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Fit a method on all eight objects, and write its maps of the private test images for the server.

    Needs mvtec_ad2 with its private test sets; writes FOLDER and FOLDER.tar.gz, which is what the server
    takes. Exits with 1 if the upload breaks a rule.
    """
    from bench.cli.console import err, hand_json
    from bench.cli.console import out as shown
    from bench.core.files import absolute
    from bench.run.prepare import find_suite
    from bench.run.setup import Setup
    from bench.run.submission import OBJECTS, check_submission, write_submission
    from bench.suite.grid import make_plan

    known = registry(bench)
    root = absolute(out or results / f"mvtec-ad2-{''.join(c if c.isalnum() else '-' for c in method)}")
    if check:
        problems = check_submission(root)
    else:
        found = find_suite(suite, known, [], [])
        plan = make_plan(found, known)
        rows = [at for at, row in enumerate(plan.rows) if row.label == method]
        cells = {
            entry.cell.task: entry.cell
            for entry in reversed(plan.entries)
            if entry.row in rows and entry.cell.dataset == "mvtec_ad2" and not entry.rate
            if seed is None or entry.cell.seed in (seed, None)
        }
        if set(cells) != set(OBJECTS):
            labels = ", ".join(row.label for row in plan.rows)
            raise AnobenchError(
                f"{suite}: expected cells of {method!r} on mvtec_ad2's eight objects, found "
                f"{', '.join(cells) or 'none'}; its methods are {labels}"
            )
        runner = Setup.of(found, known.folders, device=device).runner()
        said = (lambda *_: None) if json else shown.print
        problems = write_submission(runner, {name: cells[name] for name in OBJECTS}, root, said)
    if json:
        hand_json("submit-mvtec-ad2", {"folder": root, "problems": list(problems)})
        raise typer.Exit(1 if problems else 0)
    for problem in problems:
        err.print(problem, style="yellow")
    if problems:
        raise typer.Exit(1)
    shown.print(f"{root.name}: the upload keeps the server's rules" + ("" if check else f"; {root}.tar.gz"))
