"""Results folders for tests of the page, and what a page's HTML holds."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Plan
from bench.report.write import write_reports
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROWS = (
    row("dn2[k=2]"),
    row("lof", stochastic=True),
    row("mahalanobis[backbone=pixels]"),
    row("half_done"),
    row("random", stochastic=True, setting="control"),
    row("peeks", selection="oracle"),
)
#: AUROC of each row; the last two, which do not rank, are the best.
VALUES = {0: 0.9, 1: 0.8, 2: 0.85, 3: 0.99, 4: 0.95, 5: 0.999}
HOSTILE = (
    "<script>window.harmed = 1</script>",
    '<img src=x onerror="window.harmed = 1">',
    "a & b &amp; 'quoted' \"twice\"",
    "</table></script><!-- ]]> {{ 7 * 7 }} {% raw %}",
    "ünï\u202ecode,\n\twith=lines",
)
FIGURE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20" role="img">
<title>Curves of "toy" &amp; more</title>
<desc>AUROC against
the rate.</desc>
<style>@media (prefers-color-scheme: dark) { rect { fill: #111 } }</style>
<script>window.harmed = 1</script><!-- '><img src=x onerror='window.harmed = 1'> -->
<rect id="a" width="40" height="20" fill="#eee"/><text y="9">100 % #1</text>
</svg>
"""


def toy(suite: str = "toy", **about: object) -> tuple[Plan, dict[str, Record]]:
    """Return a suite with holes: at a rate of 0.1 one cell of ``half_done`` failed and one is missing."""
    plan = make_plan(
        ROWS,
        columns(digits=["0", "1", "10"], textures=["wood"]),
        rates=(0.0, 0.1),
        suite=suite,
        **{"title": "A toy suite", "description": "Two lines\nof text.\n\nAnd more.", **about},  # type: ignore[arg-type]
    )
    records = make_records(plan, lambda entry: VALUES[entry.row] - entry.rate / 2 - entry.column / 100)
    cells = [entry.cell for entry in plan.entries if entry.row == 3 and entry.rate == 0.1]
    records[cells[0].key] = failure(cells[0])
    del records[cells[2].key]
    return plan, records


def named(plan: Plan, names: tuple[str, ...]) -> Plan:
    """Return a plan whose labels, title, description, problems and notes are these."""
    rows = tuple(
        replace(each, label=name, summary=name) for each, name in zip(plan.rows, names, strict=False)
    )
    return replace(
        plan,
        rows=(*rows, *plan.rows[len(rows) :]),
        title=names[0],
        description=names[1],
        problems=names[:2],
        notes=names[2:],
    )


def report(results: Path, plan: Plan, records: dict[str, Record], *, keep: bool = False) -> str:
    """Write a suite's reports, with its records if they are to be kept, and return the page."""
    archive = Archive(results)
    if keep:
        archive.write_plan(plan)
        for record in records.values():
            archive.write(record, None)
    # The suite's own figures are tested elsewhere; a page carries what lies in the folder.
    with patch("bench.report.write.standard", return_value=()):
        write_reports(plan, archive, records)
    return (results / "index.html").read_text()


class Tags(HTMLParser):
    """The elements of a page with the names of their attributes, its texts, and some attributes' values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.values: dict[str, list[str]] = {}
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag != "wbr":
            self.tags.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)
