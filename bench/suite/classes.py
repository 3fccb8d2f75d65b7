"""Which class of an adapter's file is meant, as its syntax tree shows it."""

from __future__ import annotations

import ast


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def derived(tree: ast.Module, bases: frozenset[str]) -> dict[str, ast.ClassDef]:
    """Return the classes that derive from one of the bases, through others of the file too, by name."""
    called = {
        alias.asname: alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    found: dict[str, ast.ClassDef] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = {called.get(last_name(base), last_name(base)) for base in node.bases}
            if names & (bases | found.keys()):
                found[node.name] = node
    return found


def chosen(classes: dict[str, ast.ClassDef], stem: str) -> ast.ClassDef:
    """Return the class that is meant: the only one, or the one named like the file.

    Raises
    ------
    ValueError
        There are several, and none has the file's name.
    """

    def plain(name: str) -> str:
        return name.replace("_", "").lower()

    for names in (
        list(classes),
        [name for name in classes if plain(name) == plain(stem)],
        [name for name in classes if not name.startswith("_")],
    ):
        if len(names) == 1:
            return classes[names[0]]
    expected = "".join(part.capitalize() for part in stem.split("_"))
    raise ValueError(
        f"line {max(node.lineno for node in classes.values())}: {len(classes)} classes could be meant "
        f"({', '.join(classes)}); name one like the file ({expected}), or give each a file of its own"
    )


def lineage_of(cls: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return a class and those of the file that it derives from, nearest first."""
    found = [cls]
    for each in found:
        found += [
            classes[last_name(base)]
            for base in each.bases
            if last_name(base) in classes and classes[last_name(base)] not in found
        ]
    return found
