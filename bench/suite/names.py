"""What a suite calls its data sets and methods in tables and figures; no part of any key."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from bench.core.errors import SuiteError
from bench.core.selector import format_selector


def shown_name(given: dict[str, Any], keys: Sequence[str], known: Container[str], where: str) -> str:
    """Remove what tables and figures call an entry from its parameters, and return it; empty for none.

    Parameters
    ----------
    keys : sequence of str
        How it may be written: ``label``; for data sets ``name``, too.
    known : container of str
        The adapter's own parameters, which come first.

    Raises
    ------
    SuiteError
        It is no text.
    """
    found = ""
    for key in keys:
        if key in given and key not in known:
            value = given.pop(key)
            plain = "".join(each if each.isprintable() else " " for each in str(value))
            found = " ".join(plain.split())
            if not isinstance(value, str) or not found:
                raise SuiteError(f'{where}: {key}: expected a text such as {key} = "My tiles", got {value!r}')
    return found


def tell_apart(names: Sequence[tuple[str, str, Mapping[str, object]]], key: str, source: str) -> list[str]:
    """Return how the entries of a suite are called: distinct names.

    Parameters
    ----------
    names : sequence of (str, str, mapping)
        The given name, empty for none; the entry's own; its parameters, of which those that differ stand in
        brackets where a grid shares a name.

    Raises
    ------
    SuiteError
        Two entries would be called the same.
    """
    found: list[str] = []
    for given, own, params in names:
        if not given:
            found.append(own)
            continue
        alike = [other for name, _, other in names if name == given]
        differing = {
            name: value for name, value in params.items() if any(other.get(name) != value for other in alike)
        }
        found.append(format_selector(given, differing))
    for (given, _, _), name in zip(names, found, strict=True):
        if given and found.count(name) > 1:
            raise SuiteError(f"{source}: {key}: two are called {name!r}; give each its own name")
    return found
