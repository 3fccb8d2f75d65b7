"""The page's HTML: a template, a style sheet and a script, put into one file that loads nothing.

The template escapes every text; its policy (Content-Security-Policy) allows this very style sheet and script,
pictures that the page carries, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.report.board import Board
from bench.report.leaderboard.columns import rate_name
from bench.report.markdown import count
from bench.report.page.about import About, Named, remember
from bench.report.page.parts import Variant
from bench.report.page.pictures import Picture
from bench.report.page.view import METRICS, variants

#: The second line of a page of ours, behind its document type; an index.html without it is somebody's own.
MARK = "<!-- Written by anobench; do not edit. -->"
#: Name and address.
Link = tuple[str, str]


@dataclass(frozen=True)
class Suite:
    """One suite's part of the page.

    Attributes
    ----------
    name : str
    about : About
    board : Board
    links : tuple of (str, str)
        Names and addresses of what lies beside the page.
    pictures : tuple of Picture
    """

    name: str
    about: About
    board: Board
    links: tuple[Link, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        return variants(self.board, self.about)

    @property
    def anchor(self) -> str:
        """Return a name for links: letters, digits, ``-``, ``.`` and ``_``; unlike names stay unlike."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", self.name)
        return f"suite-{plain}" if plain == self.name else f"suite-{plain}-{_sha256(self.name).hex()[:6]}"

    @property
    def selectors(self) -> tuple[str, ...]:
        """Return what can be given to ``anobench run -m`` for each row, defaults included."""
        return tuple(_selector(named) for named in self.about.rows)

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """Return the description's paragraphs; single line breaks are those of a file."""
        return tuple(
            " ".join(part.split()) for part in re.split(r"\n\s*\n", self.about.description.strip()) if part
        )

    @property
    def holes(self) -> bool:
        _, failed, missing = self.board.cells()
        return bool(failed or missing or self.about.problems)

    @property
    def state(self) -> str:
        """Return how many cells are there, ``"478 of 480 cells; 1 failed; 1 missing"``."""
        cells, failed, missing = self.board.cells()
        words = [f"{cells - failed - missing:,} of {count(cells, 'cell')}"]
        holes = ((failed, "failed"), (missing, "missing"))
        words += [f"{number:,} {what}" for number, what in holes if number]
        return "; ".join(words)


def _selector(named: Named) -> str:
    backbone = f"backbone={named.row.backbone}" if named.row.backbone else ""
    params = ",".join(filter(None, (named.params, backbone)))
    return f"{named.row.method}[{params}]" if params else named.row.method


def is_ours(page: str) -> bool:
    """Return whether a page was written here."""
    return page.startswith(f"<!doctype html>\n{MARK}\n")


def render(suites: Sequence[Suite], memory: Mapping[str, About], links: Sequence[Link] = ()) -> str:
    """Return the page, the same for the same suites, byte for byte.

    Parameters
    ----------
    suites : sequence of Suite
        In the order of the page.
    memory : mapping of str to About
        What the page is to remember.
    links : sequence of (str, str)
        Names and addresses of what else lies beside the page.
    """
    style, script = _asset("page.css"), _asset("page.js")
    shown = [variant for suite in suites for variant in suite.variants]
    text = (
        _environment()
        .get_template("page.html")
        .render(
            mark=Markup(MARK),
            style=Markup(style),
            style_hash=_source(style),
            script=Markup(script),
            script_hash=_source(script),
            suites=suites,
            links=links,
            datasets=_distinct(name for suite in suites for name in suite.board.datasets),
            metrics=[(key, label) for key, (label, _) in METRICS.items() if key in {v.metric for v in shown}],
            rates=[(str(rate), rate_name(rate)) for rate in sorted({variant.rate for variant in shown})],
            remembered=Markup(remember(memory)),
        )
    )
    # A name that was read from a damaged file may hold what is no text.
    return text.rstrip().encode("utf-8", "replace").decode() + "\n"


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "single_quoted": single_quoted}
    return environment


def breakable(label: str) -> Markup:
    """Return a method's label as HTML that may break behind ``,`` and ``=``, before ``[`` and ``_``."""
    return Markup(re.sub(r"([,=])|(?<!^)(?=[\[_])", r"\1<wbr>", str(escape(label))))


def single_quoted(text: str) -> Markup:
    """Return text as an attribute's value between single quotes, with no more escapes than that needs.

    What is full of ``<``, ``>`` and ``"``, as a picture is, becomes a quarter longer by the usual ones.
    """
    return Markup(text.replace("&", "&amp;").replace("'", "&#39;"))


def _asset(name: str) -> str:
    return (resources.files("bench.report.page") / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> Markup:
    """Return what allows a text in a policy; ``+`` and ``=`` stand in it as they are."""
    return Markup(f"sha256-{base64.b64encode(_sha256(text)).decode()}")


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
