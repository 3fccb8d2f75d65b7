"""Pieces of Markdown as GitHub shows it: tables, folded sections, numbers and marks. No data of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

#: Shown where there is no number.
NOTHING = "—"
#: Stands around ± so that a browser does not break a line there.
NBSP = "\u00a0"
#: Characters that a page of GitHub holds beside one another, and what a column needs beside its text.
PAGE_WIDTH, COLUMN_GAP = 112, 3

_SPECIAL = re.compile(r"([\\`*|~]|(?<!\w)_|_(?!\w)|\](?=[(\[])|\[(?=[ xX]\]))")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, also inside a table."""
    # A file name in an error message may hold bytes that are no text.
    whole = text.encode("utf-8", "replace").decode()
    plain = " ".join(whole.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def breakable(text: str, longest: int = 32) -> str:
    """Return a long selector with places where a browser may break it, which copying leaves out."""
    return text if len(text) <= longest else re.sub(r",|(?<!^)(?=\[)", lambda found: f"{found[0]}<wbr>", text)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, words: int = 0
) -> list[str]:
    """Return a table's lines; the first `left` and last `words` columns aligned left, others right."""
    if not rows:
        return []
    align = ["left" if at < left or at >= len(header) - words else "right" for at in range(len(header))]
    text: str = tabulate(rows, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)
    return text.splitlines()


def narrowest(texts: Iterable[str]) -> int:
    """Return the width below which a browser cannot squeeze a column: its longest word, and the gap."""
    plain = (text.replace("**", "").replace("\\", "").replace("<wbr>", " ") for text in texts)
    words = (word for text in plain for word in text.split(" "))
    return max(map(len, words), default=0) + COLUMN_GAP


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Return lines that GitHub folds under a summary; nothing for no lines."""
    if not lines:
        return []
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>"]


def fenced(text: str, language: str) -> list[str]:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip().splitlines(), fence]


def blocks(*parts: Sequence[str]) -> list[str]:
    """Return the lines of all parts that have any, an empty line between."""
    lines: list[str] = []
    for part in parts:
        if part:
            lines += [*([""] if lines else []), *part]
    return lines


def points(value: float) -> str:
    """Return a share of 1 as points with one decimal, ``0.9534`` as ``95.3``."""
    return f"{100 * value:.1f}"


def signed_points(value: float) -> str:
    """Return a difference of shares as points with its sign, ``-0.0213`` as ``−2.1``."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def span_points(low: float, high: float) -> str:
    """Return an interval of shares of 1 in points: ``93.8–96.7``, with a negative end ``−1.2 to 0.3``."""
    if low < 0:
        return f"{signed_points(low).lstrip('+')}{NBSP}to{NBSP}{signed_points(high).lstrip('+')}"
    return f"{points(low)}–{points(high)}"


def probability(p: float) -> str:
    """Return a p value with two significant digits, or as less than 0.001."""
    if p != p:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def percent(rate: float) -> str:
    """Return a rate without needless digits, ``0.1`` as ``10 %`` (which a browser does not break)."""
    return f"{100 * rate:.4g}{NBSP}%"


def seconds(value: float) -> str:
    """Return seconds with about three significant digits."""
    if value < 0.0005:
        return "<0.001" if value > 0 else "0"
    if value < 1:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def size(value: int) -> str:
    """Return bytes in MiB or GiB."""
    mebibytes = value / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def count(number: int, what: str) -> str:
    """Return ``"1 cell"``, ``"2,000 cells"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span(values: Iterable[float], digits: int | None = None) -> str:
    """Return the range of at least one number, ``5,000`` or ``209 to 391``."""
    held = list(values)
    low, high = (
        f"{value:,}" if digits is None else f"{value:.{digits}f}" for value in (min(held), max(held))
    )
    return low if low == high else f"{low} to {high}"


def marked(
    texts: Sequence[str | None], rest: Sequence[str], *, lowest: bool = False, ties: Sequence[bool] = ()
) -> list[str]:
    """Set the best numbers of a column in bold; several that look the same are all bold and marked ``=``.

    Parameters
    ----------
    texts : sequence of str or None
        The numbers at the precision shown; None where there is none.
    rest : sequence of str
        What stands behind each number, or in the place of one that is None.
    lowest : bool
        The lowest is the best.
    ties : sequence of bool, optional
        Which are not significantly different from the best: they are marked ``≈`` unless they are bold.
    """
    numbers = [float(text) for text in texts if text is not None]
    if len(numbers) < 2:
        return [f"{text or ''}{tail}" for text, tail in zip(texts, rest, strict=True)]
    best = min(numbers) if lowest else max(numbers)
    tie = "=" if numbers.count(best) > 1 else ""
    return [
        tail if text is None else f"{tie}**{text}**{tail}" if float(text) == best else f"{near}{text}{tail}"
        for text, tail, near in zip(texts, rest, _near(ties, len(texts)), strict=True)
    ]


def _near(ties: Sequence[bool], n: int) -> list[str]:
    return ["≈" if tie else "" for tie in ties] if ties else [""] * n
