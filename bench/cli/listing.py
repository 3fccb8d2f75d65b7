"""``anobench list``: what can be run."""

from __future__ import annotations

import ast
import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import BenchFolders, Json, OutFile, registry
from bench.core.params import in_words
from bench.suite.adapter import REQUIRED

if TYPE_CHECKING:
    from bench.suite.adapter import Adapter
    from bench.suite.registry import Registry


def list_(
    what: Annotated[
        Literal["all", "methods", "datasets", "suites"], typer.Argument(help="methods, datasets or suites.")
    ] = "all",
    pattern: Annotated[
        str, typer.Argument(help="A name, shown with its documentation, or a glob: 'k*'.")
    ] = "*",
    bench: BenchFolders = [],  # noqa: B006
    file: OutFile = None,
    json: Json = False,
) -> None:
    """List methods, data sets and suites with their parameters; imports none of them.

    A single name is shown in full: what it is, and what its parameters mean.
    """
    from bench.cli.console import err, output, table
    from bench.core.errors import did_you_mean
    from bench.suite.suite import load_suite

    found = registry(bench)
    if json:
        _print_json(found, what, pattern, file)
        return
    shown, out = 0, output(file)
    for kind, adapters in (("methods", found.methods), ("datasets", found.datasets)):
        names = fnmatch.filter(adapters, pattern)
        if what in ("all", kind) and names:
            shown_table = table(kind, "name", "parameters", "what it is")
            for name in names:
                shown_table.add_row(name, _parameters(adapters[name]), _summary(adapters[name]))
            out.print(shown_table)
            if names == [pattern]:
                out.print(_documentation(adapters[pattern]), highlight=False)
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
    out.close()
    for adapter in found.shadowed:
        err.print(f"{adapter.path} is hidden by an adapter of the same name in an earlier folder")
    for problem in found.problems():
        err.print(f"problem: {problem}", style="yellow")
    if not shown:
        names = [*found.methods, *found.datasets, *found.suites]
        err.print(f"nothing is called {pattern!r}{did_you_mean(pattern, names)}")
        raise typer.Exit(2)


def _print_json(found: Registry, what: str, pattern: str, file: Path | None) -> None:
    """Print what matches, each with its parameters and where it is; exit with 2 if nothing does."""
    from bench.cli.console import hand_json

    about: dict[str, list[dict[str, object]]] = {}
    for kind, adapters in (("methods", found.methods), ("datasets", found.datasets)):
        if what in ("all", kind):
            about[kind] = [_described(adapters[name]) for name in fnmatch.filter(adapters, pattern)]
    if what in ("all", "suites"):
        names = fnmatch.filter(found.suites, pattern)
        about["suites"] = [{"name": name, "file": str(found.suites[name])} for name in names]
    hand_json("list", {**about, "problems": found.problems()}, file)
    if not any(about.values()):
        raise typer.Exit(2)


def _described(adapter: Adapter) -> dict[str, object]:
    parameters = {
        name: {"kind": in_words(p.annotation), "required": p.default is REQUIRED}
        | ({} if p.default is REQUIRED else {"default": p.default})
        for name, p in adapter.parameters.items()
    }
    about = {"name": adapter.name, "summary": adapter.summary, "file": str(adapter.path)}
    return {
        **about,
        "parameters": parameters,
        "declares": dict(adapter.attributes),
        "problem": adapter.problem,
    }


def _documentation(adapter: Adapter) -> str:
    """Return the docstrings of an adapter's file, of its class and of its ``__init__``, from its text."""
    try:
        tree = ast.parse(adapter.path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return adapter.problem
    cls = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == adapter.class_name), None)
    init = next((n for n in cls.body if getattr(n, "name", "") == "__init__"), None) if cls else None
    nodes = [
        node for node in (tree, cls, init) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    texts = [text for node in nodes if (text := ast.get_docstring(node))]
    kinds = [
        f"{name}: {in_words(p.annotation)}"
        + ("" if p.default is REQUIRED else f"; by default {_value(p.default)}")
        for name, p in adapter.parameters.items()
    ]
    allowed = ["Allowed values", "--------------", *kinds] if kinds else []
    return "\n\n".join([*texts, "\n".join(allowed), f"{adapter.path}"]) + "\n"


def _value(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value) or "empty"


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
