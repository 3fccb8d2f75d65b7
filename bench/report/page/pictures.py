"""The figures of a suite, carried by the page as ``data:`` addresses.

A picture inside an ``img`` element runs no script, loads nothing and shares no names with the page or with
another picture, whatever it holds; its own style for dark pages works all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote

#: Where figures lie in a results folder, as ``<suite>-<kind>.svg``.
FOLDER = "figures"
#: Characters that stand in a ``data:`` address as they are: all printable ones of ASCII but ``#`` and ``%``.
#: The fewer escapes, the shorter the page.
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("#", "").replace("%", "")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.S)
_DESC = re.compile(r"<desc[^>]*>(.*?)</desc>", re.S)


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure.

    Attributes
    ----------
    kind : str
        The file's name behind the suite's.
    title, alternative : str
        What is written below it, and what is said in its place.
    address : str
        The whole picture, as text that is not escaped for HTML.
    file : str
        Where it lies, seen from the page.
    """

    kind: str
    title: str
    alternative: str
    address: str
    file: str


def pictures(results: Path, suite: str, suites: frozenset[str]) -> tuple[Picture, ...]:
    """Return the figures of a suite, sorted by kind.

    Parameters
    ----------
    suites : frozenset of str
        All of the folder: ``a-b-roc.svg`` belongs to the suite ``a-b`` where there is one, else to ``a``.
    """
    found = []
    for path in sorted((results / FOLDER).glob("*.svg")):
        owners = [name for name in suites if path.stem.startswith(f"{name}-")]
        if max(owners, key=len, default="") == suite and path.is_file():
            kind = path.stem.removeprefix(f"{suite}-")
            text = path.read_text(encoding="utf-8", errors="replace")
            found.append(picture(kind, text, quote(f"./{FOLDER}/{path.name}", errors="surrogateescape")))
    return tuple(found)


def picture(kind: str, svg: str, file: str) -> Picture:
    """Return an SVG as a picture; its title and description become the alternative text."""
    title = _text(_TITLE, svg) or kind.replace("-", " ")
    words = _text(_DESC, svg)
    return Picture(
        kind=kind,
        title=title,
        alternative=f"{title}. {words}" if words else title,
        address=f"data:image/svg+xml,{quote(svg, safe=_PLAIN)}",
        file=file,
    )


def _text(pattern: re.Pattern[str], svg: str) -> str:
    found = pattern.search(svg)
    return " ".join(unescape(found[1]).split()) if found else ""
