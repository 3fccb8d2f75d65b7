"""Writing a suite's reports beside its archive, and what their state means for the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.archive import Archive, write_atomically
from bench.cell import Record
from bench.plan import Plan
from bench.report.export import export_csv
from bench.report.index import index
from bench.report.leaderboard import leaderboard, summary_table
from bench.report.pictures import standard
from bench.report.publishedrow import Published


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
    """

    leaderboard: Path
    summary: str
    state: str
    exit_status: int


def write_reports(
    plan: Plan, archive: Archive, records: Mapping[str, Record], *, published: tuple[Published, ...] = ()
) -> Outcome:
    """Write the suite's page and CSV from the plan and its records alone, then its line in the index.

    They are ``<results>/<suite>.md``, ``<suite>.csv``, ``figures/<suite>-<kind>.svg`` and ``README.md``; a
    README of somebody else's stays.
    """
    page = archive.results / f"{plan.suite}.md"
    pictures = standard(plan, records, published=published)
    for picture in pictures:
        _write(archive.results / picture.path, picture.svg)
    _write(page, leaderboard(plan, records, published=published, pictures=pictures))
    _write(page.with_suffix(".csv"), export_csv(plan, records))
    contents = index(archive, plan, records)
    if contents is not None:
        _write(archive.results / "README.md", contents)
    keys = {entry.cell.key for entry in plan.entries}
    failed = sum(records[key].status == "failed" for key in keys if key in records)
    missing = sum(key not in records for key in keys)
    state = f"{len(keys) - failed - missing} of {len(keys)} cells"
    state += f"; {failed} failed" if failed else ""
    state += f"; {missing} missing" if missing else ""
    status = 1 if failed or plan.problems else 3 if missing else 0
    return Outcome(page, summary_table(plan, records), state, status)


def _write(path: Path, text: str) -> None:
    """Write a file unless it already says the same."""
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
