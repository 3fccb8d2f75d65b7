"""What the page shows, as data: tables of text with the numbers to sort by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head.

    Attributes
    ----------
    key : str
        Its name within the table.
    label : str
    first : str
        How a reader most likely wants it sorted, ``ascending`` or ``descending``.
    dataset : str
        Shown only with this data set; empty: always.
    words : bool
        It holds text.
    """

    key: str
    label: str
    first: str
    dataset: str = ""
    words: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """One place in a table.

    Attributes
    ----------
    text : str
    number : str
        What it is sorted by; empty where there is no number, and for words.
    spread : str
        Standard deviation over seeds, as text.
    best : bool
        The best of its column among those that rank.
    why : str
        Why there is no number.
    """

    text: str
    number: str = ""
    spread: str = ""
    best: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One method: the position of its row, and its values by column."""

    row: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Methods by columns.

    Attributes
    ----------
    key, name : str
        Within its suite, the same for all metrics and rates; for programs and for readers.
    caption : str
    heads : tuple of Head
    groups : tuple of (str, tuple of Line)
        Name and lines; the name of those that rank is empty.
    """

    key: str
    name: str
    caption: str
    heads: tuple[Head, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """All tables of one metric at one contamination rate."""

    metric: str
    rate: float
    title: str
    overall: Table
    by_task: tuple[tuple[str, Table], ...]
