"""The figures of a suite, carried by the page as ``data:`` addresses.

A figure inside an ``img`` element runs no script, loads nothing and shares no names with the page or with
another figure, whatever it holds; its own style for dark pages works all the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote

from bench.report.overview import Overview

#: Where figures lie in a results folder, as ``<suite>-<kind>.svg``.
FOLDER = "figures"
#: Characters that stand in a ``data:`` address as they are: all printable ones of ASCII but ``#`` and ``%``.
#: The fewer escapes, the shorter the page.
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("#", "").replace("%", "")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.S)
_DESC = re.compile(r"<desc[^>]*>(.*?)</desc>", re.S)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One figure.

    Attributes
    ----------
    title, alternative : str
        What is written below it, and what is said in its place.
    address : str
        The figure itself, as text that is not yet escaped for HTML.
    file : str
        Where it lies, seen from the page.
    """

    title: str
    alternative: str
    address: str
    file: str


def embedded(results: Path, about: Overview, suites: Collection[str]) -> tuple[Embedded, ...]:
    """Return the figures of a suite, sorted by name: its report's, and what `anobench figure` added.

    Only files of the folder of figures are looked at: a name that an overview gives cannot lead elsewhere.

    Parameters
    ----------
    results : Path
    about : Overview
    suites : collection of str
        All of the folder: ``a-b-roc.svg`` belongs to the suite ``a-b`` where there is one, else to ``a``.
    """
    found = []
    for path in sorted((results / FOLDER).glob("*.svg")):
        owners = [name for name in suites if path.stem.startswith(f"{name}-")]
        ours = max(owners, key=len, default="") == about.suite
        if (ours or path.name in about.figures) and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            kind = path.stem.removeprefix(f"{about.suite}-")
            found.append(embed(kind, text, quote(f"./{FOLDER}/{path.name}", errors="surrogateescape")))
    return tuple(found)


def embed(kind: str, svg: str, file: str) -> Embedded:
    """Return an SVG to be carried; its title and description become the alternative text."""
    title = _text(_TITLE, svg) or kind.replace("-", " ")
    words = _text(_DESC, svg)
    return Embedded(
        title=title,
        alternative=f"{title}. {words}" if words else title,
        address=f"data:image/svg+xml,{quote(svg, safe=_PLAIN)}",
        file=file,
    )


def _text(pattern: re.Pattern[str], svg: str) -> str:
    found = pattern.search(svg)
    return " ".join(unescape(found[1]).split()) if found else ""
