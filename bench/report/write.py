"""Writing a suite's reports beside its archive, and what their state means for the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.files import write_atomically
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.export import export_csv
from bench.report.figures.standard import standard
from bench.report.index import index
from bench.report.leaderboard.leaderboard import leaderboard, summary_table
from bench.report.page.about import about_plan
from bench.report.page.writer import PAGE, page
from bench.report.published.row import Published


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written.

    Attributes
    ----------
    leaderboard : Path
    summary : str
        A short table for the terminal.
    state : str
        How many cells are there, failed, missing.
    exit_status : int
        0 all cells are there; 1 some failed, or an adapter could not be used; 3 some are missing.
    problems : tuple of str
        What could not be used: adapters, published numbers, records.
    """

    leaderboard: Path
    summary: str
    state: str
    exit_status: int
    problems: tuple[str, ...] = ()


def write_reports(
    plan: Plan, archive: Archive, records: Mapping[str, Record], *, published: tuple[Published, ...] = ()
) -> Outcome:
    """Write the suite's leaderboard and CSV from the plan and its records alone, then the indexes.

    They are ``<results>/<suite>.md``, ``<suite>.csv``, ``figures/<suite>-<kind>.svg``, ``README.md`` and
    ``index.html``; of the last two somebody else's stay. The page shows the figures and comes last.
    """
    board = archive.results / f"{plan.suite}.md"
    evidence = Evidence(Board(plan, records), archive)
    pictures = standard(plan, records, published=published, interval=evidence.interval)
    for picture in pictures:
        write_text(archive.results / picture.path, picture.svg)
    text = leaderboard(plan, records, published=published, evidence=evidence, pictures=pictures)
    write_text(board, text)
    write_text(board.with_suffix(".csv"), export_csv(plan, records))
    contents = index(archive, plan, records)
    if contents is not None:
        write_text(archive.results / "README.md", contents)
    html = page(archive, {plan.suite: about_plan(plan, records)})
    if html is not None:
        write_text(archive.results / PAGE, html)
    keys = {entry.cell.key for entry in plan.entries}
    failed = sum(records[key].status == "failed" for key in keys if key in records)
    missing = sum(key not in records for key in keys)
    state = f"{len(keys) - failed - missing} of {len(keys)} cells"
    state += f"; {failed} failed" if failed else ""
    state += f"; {missing} missing" if missing else ""
    status = 1 if failed or plan.problems else 3 if missing else 0
    return Outcome(board, summary_table(plan, records), state, status)


def write_text(path: Path, text: str) -> None:
    """Write a file unless it already says the same."""
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
