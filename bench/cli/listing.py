"""``anobench list``: what can be run."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import BenchFolders, registry

if TYPE_CHECKING:
    from bench.suite.adapter import Adapter


def list_(
    what: Annotated[
        Literal["all", "methods", "datasets", "suites"], typer.Argument(help="methods, datasets or suites.")
    ] = "all",
    pattern: Annotated[str, typer.Argument(help="A glob, e.g. 'k*'.")] = "*",
    bench: BenchFolders = [],  # noqa: B006
) -> None:
    """List methods, data sets and suites with their parameters; imports none of them."""
    from bench.cli.console import err, out, table
    from bench.core.errors import did_you_mean
    from bench.suite.suite import load_suite

    found = registry(bench)
    shown = 0
    for kind, adapters in (("methods", found.methods), ("datasets", found.datasets)):
        names = fnmatch.filter(adapters, pattern)
        if what in ("all", kind) and names:
            shown_table = table(kind, "name", "parameters", "what it is")
            for name in names:
                shown_table.add_row(name, _parameters(adapters[name]), _summary(adapters[name]))
            out.print(shown_table)
            shown += len(names)
    suites = fnmatch.filter(found.suites, pattern)
    if what in ("all", "suites") and suites:
        shown_table = table("suites", "name", "what it is")
        for name in suites:
            try:
                shown_table.add_row(name, load_suite(found.suites[name]).title)
            except Exception as error:
                shown_table.add_row(name, f"cannot be used: {error}")
        out.print(shown_table)
        shown += len(suites)
    for adapter in found.shadowed:
        err.print(f"{adapter.path} is hidden by an adapter of the same name in an earlier folder")
    for problem in found.problems():
        err.print(f"problem: {problem}", style="yellow")
    if not shown:
        names = [*found.methods, *found.datasets, *found.suites]
        err.print(f"nothing is called {pattern!r}{did_you_mean(pattern, names)}")
        raise typer.Exit(2)


def _parameters(adapter: Adapter) -> str:
    missing = adapter.missing()
    words = [name if name in missing else f"{name}={p.default}" for name, p in adapter.parameters.items()]
    return ", ".join(words)


def _summary(adapter: Adapter) -> str:
    if adapter.problem:
        return f"cannot be used: {adapter.problem}"
    tags = []
    if adapter.attributes.get("setting", "one-class") != "one-class":
        tags.append(str(adapter.attributes["setting"]))
    if adapter.attributes.get("selection") == "oracle":
        tags.append("oracle")
    if adapter.attributes.get("synthetic"):
        tags.append("synthetic")
    return adapter.summary + (f" ({', '.join(tags)})" if tags else "")
