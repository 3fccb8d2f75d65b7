"""The rooms of the engine and what each may import: what `test_house` holds, and CONTRIBUTING shows."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Room, what it may import, what lives there; from the top down.
ROOMS: dict[str, tuple[tuple[str, ...], str]] = {
    "cli": (
        ("run", "report", "suite", "features", "data", "core"),
        "one command, one module",
    ),
    "run": (
        ("report", "suite", "train", "features", "data", "core", "metrics"),
        "from cells to records: launch, driver, executors, runner",
    ),
    "report": (
        ("suite", "features", "core", "metrics", "stats"),
        "from records to pages: leaderboards, tables, figures, CSV, JSON",
    ),
    "suite": (
        ("train", "features", "data", "core"),
        "from a TOML file to cells: registry, resolved methods, grid",
    ),
    "train": (
        ("features", "data", "core"),
        "what methods are made of: Method, Wrapper, training, heads, losses",
    ),
    "features": (
        ("data", "core"),
        "each image through each backbone once: networks, store",
    ),
    "data": (
        ("core",),
        "what images are: sources, views, tasks, data sets, contamination",
    ),
    "core": (
        (),
        "pure data and files: cells, records, plans, archive, errors",
    ),
    "metrics": ((), "what scores are worth: pure functions"),
    "stats": ((), "which differences are real: pure functions"),
}


def modules() -> dict[str, Path]:
    """Return the engine's modules by dotted name."""
    found = {}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports() -> dict[str, set[str]]:
    """Return what each module imports of ours: anywhere in its text, for type checking too."""
    known = modules()
    arrows: dict[str, set[str]] = {}
    for name, path in known.items():
        asked: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                asked |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert not node.level, f"{name}: imports are written from the top"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    asked.add(inner if inner in known else node.module)
        arrows[name] = {each for each in asked if each in known} - {name}
    return arrows


def room_of(module: str) -> str:
    """Return the room of a module; empty for ``bench`` itself and ``bench.__main__``."""
    return module.split(".")[1].replace("__main__", "") if "." in module else ""


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return groups of modules that import each other in a loop (Tarjan's components of more than one)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(arrows.get(name, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


def drawing() -> str:
    """Return the rooms as text, from the top down, each with what it may import."""
    width = max(map(len, ROOMS))
    lines = []
    for name, (below, what) in ROOMS.items():
        lines.append(f"{name:<{width}}  {what}")
        lines.append(f"{'':<{width}}  └─> {', '.join(below) or 'nothing of ours'}")
    return "\n".join(lines)
