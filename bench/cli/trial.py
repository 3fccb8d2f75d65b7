"""``anobench try``: the contract of a method, checked in seconds."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import BenchFolders, Json, registry


def try_(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="A method's selector, such as dn2[k=5], or its file.")
    ],
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Find what is wrong with a method before it costs anything: on small generated images, in seconds.

    Exit status: 0 nothing is wrong, 1 something is, 2 it cannot be tried.
    """
    from bench.cli.console import hand_json, out
    from bench.run.contract import CHECKS, summary, trial
    from bench.suite.resolve import resolve_given

    problems, tried = trial(resolve_given(method, registry(bench), "try"))
    wrong = {problem.check for problem in problems}
    checks = {name: summary(name) for name in CHECKS} if "scores" not in wrong else {}
    if json:
        about = {"method": method, "checks": checks, "problems": problems, "seconds": tried.seconds}
        hand_json("try", {**about, "backbone": tried.backbone})
    else:
        for name, asked in checks.items():
            if name not in wrong:
                out.print(f"ok     {asked}")
        for problem in problems:
            out.print(f"WRONG  {problem}")
        if tried.seconds:
            times = ", ".join(f"{what} {1000 * value:.0f} ms" for what, value in tried.seconds.items())
            out.print(f"{times} on {tried.backbone or 'its own input'}; 40 training and 24 test images.")
    raise typer.Exit(1 if problems else 0)
