"""The page of a results folder: a template, a style sheet and a script in one file that loads nothing.

It is made from the suites' overviews (`bench.report.overview`) and figures alone. Every text is escaped, and
the page's policy (Content-Security-Policy) allows this very style sheet and script, figures that the page
carries, and nothing else. A figure inside an ``img`` element runs no script, loads nothing and shares no
names with the page or another figure, whatever it holds; its own style for dark pages works all the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import unescape
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from bench.report.board import PRINTED
from bench.report.html import breakable, live_table
from bench.report.leaderboard.columns import metric_head
from bench.report.numbers import NOTHING, count, rate_name
from bench.report.overview import Overview, OverviewTable, in_order
from bench.report.table import Table, TableCell, TableColumn

#: The page's name in a results folder.
PAGE = "index.html"
#: The second line of a page of ours, behind its document type; an index.html without it is somebody's own.
MARK = "<!-- Written by anobench; do not edit. -->"
#: What a reader may want to know of each method: attribute of an overview's row, head.
_WORDS = (("setting", "Setting"), ("selection", "Selection"), ("backbone", "Backbone"))
#: Name and address.
Link = tuple[str, str]
#: Where figures lie in a results folder, as ``<suite>-<kind>.svg``.
FOLDER = "figures"
#: A larger figure (bytes), which holds photographs, is not carried: a link leads to its file.
LARGEST_FIGURE = 250_000
#: Characters that stand in a ``data:`` address as they are: all printable ones of ASCII but ``#`` and ``%``.
#: The fewer escapes, the shorter the page.
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("#", "").replace("%", "")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.S)
_DESC = re.compile(r"<desc[^>]*>(.*?)</desc>", re.S)


@dataclass(frozen=True)
class SuitePart:
    """One suite's part of the page.

    Attributes
    ----------
    about : Overview
    links : tuple of (str, str)
        Names and addresses of what lies beside the page.
    figures : tuple of Embedded
    """

    about: Overview
    links: tuple[Link, ...] = ()
    figures: tuple[Embedded, ...] = ()

    @cached_property
    def variants(self) -> dict[tuple[str, float], list[tuple[OverviewTable, Markup]]]:
        """The tables, as they are and as HTML, by metric and contamination rate; the overall one first."""
        found: dict[tuple[str, float], list[tuple[OverviewTable, Markup]]] = {}
        for each in self.about.tables:
            key = f"data set {each.dataset}" if each.dataset else "overall"
            table = each.table if each.dataset else self._with_words(each.table)
            html = live_table(table, f"{self.about.suite} / {key}")
            found.setdefault((each.metric, each.rate), []).append((each, html))
        return found

    @property
    def anchor(self) -> str:
        """A name for links: letters, digits, ``-``, ``.`` and ``_``; unlike names stay unlike."""
        name = self.about.suite
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)
        return f"suite-{plain}" if plain == name else f"suite-{plain}-{_sha256(name).hex()[:6]}"

    @property
    def paragraphs(self) -> list[str]:
        """The description's paragraphs; single line breaks are those of a file."""
        parts = re.split(r"\n\s*\n", self.about.description.strip())
        return [" ".join(part.split()) for part in parts if part]

    @property
    def incomplete(self) -> bool:
        return bool(self.about.failed or self.about.missing or self.about.problems)

    @property
    def state(self) -> str:
        """How many cells are there, ``"478 of 480 cells; 1 failed; 1 missing"``."""
        cells, failed, missing = self.about.cells, self.about.failed, self.about.missing
        words = [f"{cells - failed - missing:,} of {count(cells, 'cell')}"]
        words += [
            f"{number:,} {what}" for number, what in ((failed, "failed"), (missing, "missing")) if number
        ]
        return "; ".join(words)

    def _with_words(self, table: Table) -> Table:
        """Return a table with the columns that say what each method is."""
        of = [self.about.rows[row.row or 0] for row in table.rows]
        return replace(
            table,
            columns=(*table.columns, *(TableColumn(head, "words", key=key) for key, head in _WORDS)),
            rows=tuple(
                replace(
                    row,
                    cells=(*row.cells, *(TableCell(getattr(method, key) or NOTHING) for key, _ in _WORDS)),
                )
                for row, method in zip(table.rows, of, strict=True)
            ),
        )


def page(results: Path, found: Mapping[str, Overview]) -> str | None:
    """Return the page of a results folder: the same for the same overviews and figures, byte for byte.

    Parameters
    ----------
    results : Path
        Where leaderboards, CSVs and figures lie.
    found : mapping of str to Overview
        By suite.

    Returns
    -------
    str or None
        HTML; None where the folder's index.html is not ours.
    """
    path = results / PAGE
    old = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if old and not is_ours(old):
        return None
    suites = [
        SuitePart(
            about,
            _links(results, (("leaderboard", f"{name}.md"), ("CSV", f"{name}.csv"))),
            embedded(results, about, found),
        )
        for name, about in in_order(found)
    ]
    beside = (("published numbers", "published.csv"), ("index of the leaderboards", "README.md"))
    variants = {key for suite in suites for key in suite.variants}
    metrics = {metric for metric, _ in variants}
    style, script = _asset("page.css"), _asset("page.js")
    text = _template().render(
        mark=Markup(MARK),
        style=Markup(style),
        style_hash=_source(style),
        script=Markup(script),
        script_hash=_source(script),
        suites=suites,
        links=_links(results, beside),
        datasets=list(dict.fromkeys(name for suite in suites for name in suite.about.datasets)),
        metrics=[(key, metric_head(key)) for key in PRINTED if key in metrics],
        rates=[(str(rate), rate_name(rate)) for rate in sorted({rate for _, rate in variants})],
    )
    # A name that was read from a damaged file may hold what is no text.
    return text.rstrip().encode("utf-8", "replace").decode() + "\n"


def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "single_quoted": single_quoted}
    return environment.get_template("page.html")


def is_ours(page: str) -> bool:
    """Return whether a page was written here."""
    return page.startswith(f"<!doctype html>\n{MARK}\n")


def single_quoted(text: str) -> Markup:
    """Return text as an attribute's value between single quotes, with no more escapes than that needs.

    What is full of ``<``, ``>`` and ``"``, as a figure is, becomes a quarter longer by the usual ones.
    """
    return Markup(text.replace("&", "&amp;").replace("'", "&#39;"))


def _links(results: Path, beside: tuple[Link, ...]) -> tuple[Link, ...]:
    """Return the links to files that are there."""
    return tuple(
        (name, quote(f"./{file}", errors="surrogateescape"))
        for name, file in beside
        if (results / file).is_file()
    )


def _asset(name: str) -> str:
    return (resources.files("bench.report.page") / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> Markup:
    """Return what allows a text in a policy; ``+`` and ``=`` stand in it as they are."""
    return Markup(f"sha256-{base64.b64encode(_sha256(text)).decode()}")


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Embedded:
    """One figure.

    Attributes
    ----------
    title, alternative : str
        What is written below it, and what is said in its place.
    address : str
        The figure itself, as text that is not yet escaped for HTML; empty if it is too large to be carried.
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
        address=f"data:image/svg+xml,{quote(svg, safe=_PLAIN)}" if len(svg) <= LARGEST_FIGURE else "",
        file=file,
    )


def _text(pattern: re.Pattern[str], svg: str) -> str:
    found = pattern.search(svg)
    return " ".join(unescape(found[1]).split()) if found else ""
