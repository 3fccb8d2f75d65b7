"""``anobench try``: the contract of a method, checked in seconds."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import BenchFolders, registry

if TYPE_CHECKING:
    from bench.suite.resolve import ResolvedMethod


def try_(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="A method's selector, such as dn2[k=5], or its file.")
    ],
    bench: BenchFolders = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find what is wrong with a method before it costs anything: on small generated images, in seconds.

    Exit status: 0 nothing is wrong, 1 something is, 2 it cannot be tried.
    """
    from bench.cli.console import out
    from bench.run.contract import CHECKS, summary, trial

    problems, tried = trial(_resolved(method, bench))
    wrong = {problem.check for problem in problems}
    checks = {name: summary(name) for name in CHECKS} if "scores" not in wrong else {}
    if json:
        found = [{"check": each.check, "said": each.said, "where": each.where} for each in problems]
        about = {"schema": 1, "method": method, "problems": found, "seconds": tried.seconds}
        typer.echo(json_.dumps(about, indent=1))
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


def _resolved(given: str, folders: list[Path]) -> ResolvedMethod:
    """Return the method that a selector or a file names."""
    from bench.core.errors import AdapterError
    from bench.core.selector import parse
    from bench.suite.adapterfile import read_adapter
    from bench.suite.resolve import resolve

    known = registry(folders)
    if given.endswith(".py"):
        path = Path(given).absolute()
        if not path.is_file():
            raise AdapterError(f"{given}: there is no such file")
        adapter = read_adapter("method", path)
        if adapter is None:
            raise AdapterError(f"{given}: no class in it derives from bench.Method or bench.Wrapper")
        return resolve(adapter, {}, known, given)
    selector = parse(given)
    (adapter,) = known.match("method", selector, "try")
    return resolve(adapter, dict(selector.params), known, "try")
