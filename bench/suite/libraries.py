"""Which libraries an adapter cannot do without, as its syntax tree shows it, and which are missing."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable

#: Functions whose imports every cell comes to.
ALWAYS = frozenset({"__init__", "fit", "score", "task", "tasks"})
#: Functions that import a library by its name.
BY_NAME = frozenset({"import_module", "optional_import"})


def imported(tree: ast.Module) -> frozenset[str]:
    """Return the libraries that a file imports wherever every cell comes to it.

    What stands under ``if`` is left out, and so is what a ``try`` can do without: one whose handlers raise
    cannot.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Import():
                found |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(level=0, module=str(module)):
                found.add(module.partition(".")[0])
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if _called(node) in BY_NAME:
                found.add(module.partition(".")[0])
            case ast.FunctionDef() if node.name not in ALWAYS:
                # Its imports may never be needed, but for those whose failure it reports itself.
                waiting += [each for each in ast.walk(node) if isinstance(each, ast.Try) and _reports(each)]
                continue
            case ast.If() | ast.Try() if not (isinstance(node, ast.Try) and _reports(node)):
                continue
        waiting += ast.iter_child_nodes(node)
    return frozenset(found)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _reports(node: ast.Try) -> bool:
    return all(any(isinstance(each, ast.Raise) for each in ast.walk(handler)) for handler in node.handlers)


def missing(names: Iterable[str]) -> list[str]:
    """Return which libraries are not installed, with how to install each."""
    return [f"{name} ({_how(name)})" for name in sorted(names) if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _how(name: str) -> str:
    """Return the command that installs a library: with the extra of ours that has it, if one has."""
    try:
        requirements = importlib.metadata.requires("anobench") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if extra and extra[1] != "test" and re.match(rf"{re.escape(name)}\b", requirement):
            return f"python -m pip install 'anobench[{extra[1]}]'"
    return f"python -m pip install {name}"
