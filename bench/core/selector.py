"""Selectors: ``dn2[k=5,backbone=pixels[size=16]]``, ``cifar10[task=bird]``, ``*_distance``.

A selector is a name (or a glob) and parameters in brackets; a value may itself be a selector. A value in
brackets is a grid: `expand` makes one selector of each of its values. Quotes make any text a plain value.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.core.errors import SelectorError

#: Parameters that may stand alone, for true: ``mvtec[unified]``.
FLAGS = ("unified",)
#: A longer selector, or one with more brackets, is refused before it is taken apart.
LONGEST, DEEPEST = 20_000, 50
_NAME = re.compile(r"[A-Za-z0-9_*?.:/!\-]+")


@dataclass(frozen=True, slots=True)
class Selector:
    """A name or glob, and the text of each parameter in the order written."""

    name: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_glob(self) -> bool:
        return "*" in self.name or "?" in self.name

    def __str__(self) -> str:
        return format_selector(self.name, self.params)


def format_selector(name: str, params: Mapping[str, object]) -> str:
    """Write a selector; the inverse of `parse`."""
    if not params:
        return name
    return f"{name}[{','.join(f'{key}={_text(value)}' for key, value in params.items())}]"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    text = str(value)
    if not isinstance(value, str) or (text and text.strip() == text and not re.search(r"[\"',=\[\]]", text)):
        return text
    if text and _is_nested(text):
        return text
    quote = "'" if '"' in text else '"'
    if quote in text:
        raise SelectorError(f"{text!r} contains both kinds of quotes and cannot be written in a selector")
    return quote + text + quote


def _is_nested(text: str) -> bool:
    try:
        return str(parse(text)) == text
    except SelectorError:
        return False


def parse(text: str) -> Selector:
    """Parse one selector.

    Raises
    ------
    SelectorError
        Unbalanced brackets, an empty name, a parameter without ``=`` or given twice; the message shows the
        text and the expected form.
    """
    if len(text) > LONGEST or text.count("[") > DEEPEST:
        raise SelectorError(
            f"{text[:60]!r}... is too long or nested too deeply; a selector has at most {LONGEST:,} "
            f"characters and {DEEPEST} brackets"
        )
    stripped = text.strip()
    head, bracket, rest = stripped.partition("[")
    head = head.strip()
    if not _NAME.fullmatch(head):
        raise SelectorError(
            f"{text!r} is not a selector: expected a name such as dn2 or dn2[k=5,backbone=pixels]"
        )
    if not bracket:
        return Selector(head)
    if not rest.endswith("]"):
        raise SelectorError(
            f"{text!r} has an opening bracket without a closing one; expected NAME[key=value,...]"
        )
    params: dict[str, str] = {}
    for part in _split(rest[:-1], text):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and key in FLAGS:
            equals, value = "=", "true"
        if not equals or not key.isidentifier() or not value:
            raise SelectorError(
                f"{text!r}: {part!r} is not a parameter; expected key=value, separated by commas"
            )
        if key in params:
            raise SelectorError(f"{text!r}: the parameter {key!r} is given twice")
        if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1:
            value = value[1:-1]
        params[key] = value
    return Selector(head, params)


def expand(text: str) -> list[str]:
    """Return the selectors that one with grids stands for, as ``dn2[k=[1,2]]`` for two; else itself.

    A grid may also stand inside a nested selector: ``trim[base=dn2[k=[1,2]]]``.

    Raises
    ------
    SelectorError
        Unbalanced brackets, or a grid without a value.
    """
    head, bracket, rest = text.strip().partition("[")
    if not bracket or not rest.endswith("]"):
        return [text]
    axes: list[list[str]] = []
    for part in _split(rest[:-1], text):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier():
            return [text]  # no selector: parsing it says what is wrong, where one is expected
        axes.append([f"{key}={each}" for each in _points(value, text)])
    return [f"{head}[{','.join(point)}]" for point in itertools.product(*axes)]


def _points(value: str, text: str) -> list[str]:
    """Return the values of a grid, or of a nested selector with one; of any other value itself."""
    if not value.startswith("[") or not value.endswith("]"):
        return expand(value) if value[:1] not in ("'", '"') else [value]
    inside = [each.strip() for each in _split(value[1:-1], text)]
    if not inside or not all(inside):
        raise SelectorError(f"{text!r}: {value!r} is a grid without a value; expected values, e.g. [1,3]")
    return [point for each in inside for point in _points(each, text)]


def _split(inside: str, text: str) -> Iterator[str]:
    """Split at the commas outside nested brackets and quotes."""
    depth, quote, start = 0, "", 0
    for at, char in enumerate(inside):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth < 0:
                break
        elif char == "," and depth == 0:
            yield inside[start:at]
            start = at + 1
    if depth or quote:
        raise SelectorError(f"{text!r}: brackets or quotes are not balanced; expected NAME[key=value,...]")
    if inside[start:].strip() or start:
        yield inside[start:]
