"""Is what a file says of the types, ranges and lengths that the rest relies on? One check on reading.

Every function raises ValueError or TypeError with what it found, else nothing: who reads a file reports it
and goes on with the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from bench.core.contamination import AnomalySource, Draw, Shortage
from bench.core.fewshot import LabelledFrom, Per

#: Longest texts: of a name, of a remark, of a suite file or a traceback.
NAME, REMARK, LONG = 2_000, 100_000, 2_000_000
#: Deepest nesting of an environment, most members of anything.
DEEPEST, MOST = 10, 10_000_000
#: Whole numbers that any reader of JSON keeps.
WHOLE = 2**53
#: Numbers that arithmetic on them does not take to infinity.
LARGEST = 1e15

_HEX = re.compile(r"[0-9a-f]*")
#: Names that reports of a results folder have for themselves.
RESERVED = frozenset({"published", "readme", "index", "figures", "records"})
_NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f:*?\"<>|]")


def text(value: Any, what: str, most: int = NAME) -> None:
    if type(value) is not str or len(value) > most:
        raise TypeError(f"its {what} is no text of at most {most} characters")


def number(value: Any, what: str, low: float = -LARGEST, high: float = LARGEST) -> None:
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"its {what} is no number from {low:g} to {high:g}")


def whole(value: Any, what: str, low: int = 0, high: int = WHOLE) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"its {what} is no whole number from {low} to {high}")


def one_of(value: Any, what: str, allowed: Sequence[Any]) -> None:
    if type(value) is not str or value not in allowed:
        raise ValueError(f"its {what} is {short(value)}; expected one of {', '.join(map(repr, allowed))}")


def digest(value: Any, what: str, digits: int) -> None:
    """Check a hash, or an empty text: it may become part of a path."""
    if type(value) is not str or len(value) not in (0, digits) or not _HEX.fullmatch(value):
        raise ValueError(f"its {what} is no hash of {digits} digits")


def members(value: Any, what: str, check: Callable[[Any, str], None], most: int = MOST) -> None:
    """Check a list, and each of its members."""
    if type(value) not in (list, tuple) or len(value) > most:
        raise TypeError(f"its {what} is no list of at most {most}")
    for each in value:
        check(each, what)


def table(value: Any, what: str, check: Callable[[Any, str], None], most: int = 10_000) -> None:
    """Check a table of texts, and each of its values."""
    if not isinstance(value, Mapping) or len(value) > most:
        raise TypeError(f"its {what} is no table of at most {most}")
    for name, each in value.items():
        if type(name) is not str or len(name) > NAME:
            text(name, f"{what}'s names")
        try:
            check(each, what)
        except (TypeError, ValueError):
            check(each, f"{what}.{name}")  # says where
            raise


def plain(value: Any, what: str, depth: int = DEEPEST) -> None:
    """Check nested tables and lists of texts and numbers."""
    kind = type(value)
    if kind is str:
        if len(value) > REMARK:
            text(value, what, REMARK)
    elif kind is int or kind is float:
        number(value, what, -1e300, 1e300)
    elif kind is dict or kind is list or kind is tuple:
        if depth <= 0:
            raise ValueError(f"its {what} is nested more than {DEEPEST} times")
        for each in value.values() if kind is dict else value:
            if each is not None and each is not True and each is not False:
                plain(each, what, depth - 1)
        if kind is dict:
            for name in value:
                if type(name) is not str or len(name) > NAME:
                    text(name, what)
    elif value is not None and kind is not bool:
        raise TypeError(f"its {what} holds {short(value)}")


def short(value: Any) -> str:
    """Return a value for a message."""
    if isinstance(value, int) and not -WHOLE <= value <= WHOLE:
        return "a whole number of very many digits"
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # numbers of very many digits inside, or endless nesting
        return f"a {type(value).__name__}"
    return shown if len(shown) < 80 else f"{shown[:77]}..."


def file_name(name: Any) -> str:
    """Return a suite's name, which becomes part of paths.

    Raises
    ------
    ValueError
        It is none, leads out of its folder, or is one that reports have for themselves.
    """
    text(name, "suite", 200)
    if not name or name != name.strip() or name.startswith((".", "-", "~")) or _NO_NAME.search(name):
        raise ValueError(
            f"{short(name)} is no name of a suite: it becomes a file's, without / or signs such as :*?"
        )
    if name.casefold() in RESERVED:
        raise ValueError(
            f"{name!r} is no name of a suite: the results folder has a file or folder of that name"
        )
    if len(name.encode()) > 200:
        raise ValueError(f"{short(name)} is longer than 200 bytes")
    return str(name)


def parameter(value: Any, what: str) -> None:
    if type(value) is str:
        text(value, what, REMARK)
    elif value is not None and type(value) is not bool:
        number(value, what, -1e300, 1e300)


def cell(found: Any) -> None:
    """Check a `bench.core.cell.Cell`."""
    for name in ("dataset", "task", "method", "backbone", "data_fingerprint", "backbone_identity"):
        text(getattr(found, name), name, REMARK)
    for name, value in found.params:
        text(name, "params")
        parameter(value, "params")
    for name, value in found.code:
        text(name, "code")
        text(value, "code")
    if found.seed is not None:
        whole(found.seed, "seed", 0, 2**63)
    whole(found.protocol, "protocol", 0, 10_000)
    contamination = found.contamination
    for name in ("rate", "reserve"):
        number(getattr(contamination, name), f"contamination.{name}", 0, 0.5)
    whole(contamination.seed, "contamination.seed", 0, 2**63)
    for name, allowed in _CHOICES.items():
        one_of(getattr(contamination, name), f"contamination.{name}", allowed)
    for name in ("anomalies", "reserve", "seed"):
        whole(getattr(found.few_shot, name), f"few_shot.{name}", 0, 2**63)
    one_of(found.few_shot.per, "few_shot.per", get_args(Per))
    text(found.few_shot.only, "few_shot.only", 1000)
    one_of(found.few_shot.source, "few_shot.source", get_args(LabelledFrom))


_CHOICES: dict[str, tuple[str, ...]] = {
    "of": ("set", "normals"),
    "mode": ("add", "replace"),
    "source": get_args(AnomalySource),
    "draw": get_args(Draw),
    "shortage": get_args(Shortage),
}


def record(found: Any) -> None:
    """Check a `bench.core.cell.Record`."""
    cell(found.cell)
    one_of(found.status, "status", ("ok", "failed"))
    text(found.setting, "setting")
    text(found.selection, "selection")
    text(found.created, "created", 64)
    table(found.metrics, "metrics", lambda value, what: number(value, what, 0, 1))
    table(found.candidates, "candidates", lambda value, what: table(value, what, _finite))
    table(found.curves, "curves", lambda value, what: members(value, what, _finite, 10_000))
    table(found.counts, "counts", whole)
    table(found.memory, "memory", lambda value, what: None if value is None else whole(value, what))
    members(found.flags, "flags", lambda value, what: text(value, what, REMARK), 1000)
    for name in ("contamination", "environment"):
        table(getattr(found, name), name, plain)
    for name in ("rate", "count"):
        if found.contamination.get(name) is not None:
            number(found.contamination[name], f"contamination.{name}", 0)
    if not isinstance(found.environment.get("packages"), Mapping | None):
        raise TypeError("its environment.packages is no table")
    digest(found.scores_sha256, "scores_sha256", 64)
    digest(found.truth, "truth", 32)
    if (found.error is None) != (found.status == "ok"):
        raise ValueError("its error is given although it did not fail, or the other way round")
    if found.error is not None:
        _error(found.error)
    if found.timing is not None:
        for name in ("fit", "score", "features", "features_cold", "wall"):
            number(getattr(found.timing, name), f"timing.{name}", 0)
        if found.timing.reference is not None:
            number(found.timing.reference, "timing.reference", 1e-9)
        one_of(found.timing.features_from, "timing.features_from", ("none", "computed", "store", "mixed"))


def _finite(value: Any, what: str) -> None:
    number(value, what, -1.8e308, 1.8e308)
    float(value)  # a whole number may be larger than any float


def _error(error: Any) -> None:
    table(error, "error", lambda value, what: text(value, what, LONG))
    for name in ("kind", "reason", "traceback"):
        if name not in error:
            raise ValueError(f"its error has no {name}")
