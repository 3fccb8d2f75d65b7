"""Writing a suite's reports beside its archive, and what their state means for the exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.files import readable, write_atomically
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.export import export_csv
from bench.report.figures.kinds import standard
from bench.report.hints import flipped
from bench.report.index import index
from bench.report.leaderboard.leaderboard import leaderboard, summary_table
from bench.report.leaderboard.thresholds import thresholds_csv
from bench.report.overview import overviews, to_json
from bench.report.page.page import PAGE, page
from bench.report.page.tables import overview
from bench.report.published.row import Published
from bench.stats.multiple import ROPE


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
    hints : tuple of str
        What may be wrong, and how to mend it.
    """

    leaderboard: Path
    summary: str
    state: str
    exit_status: int
    problems: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def write_reports(
    plan: Plan,
    archive: Archive,
    records: Mapping[str, Record],
    *,
    published: tuple[Published, ...] = (),
    rope: float = ROPE,
) -> Outcome:
    """Write the reports of a suite from its plan and records alone, then the indexes of the folder.

    They are ``<suite>.md``, ``<suite>.csv``, ``<suite>.json``, ``<suite>-thresholds.csv`` where methods have
    calibration scores, and ``figures/<suite>-<kind>.svg`` in the results folder, and its ``README.md`` and
    ``index.html`` unless these are somebody else's. Differences up to `rope` (share of 1) are none for
    practical purposes.
    """
    results = archive.results
    board = results / f"{plan.suite}.md"
    evidence = Evidence(Board(plan, records), archive, rope=rope)
    figures = standard(plan, records, published=published, blocks=evidence.blocks, archive=archive)
    for figure in figures:
        write_text(results / figure.path, figure.svg)
    write_text(board, leaderboard(plan, records, published=published, evidence=evidence, figures=figures))
    write_text(results / f"{plan.suite}.csv", export_csv(plan, records))
    if decisions := thresholds_csv(evidence.board, archive):
        write_text(results / f"{plan.suite}-thresholds.csv", decisions)
    about = overview(evidence, figures=[figure.path.name for figure in figures])
    write_text(results / f"{plan.suite}.json", to_json(about))
    # The page carries the figures, and comes last.
    found = overviews(results)
    for name, text in (("README.md", index(results, found)), (PAGE, page(results, found))):
        if text is not None:
            write_text(results / name, text)
    state = f"{about.cells - about.failed - about.missing} of {about.cells} cells"
    state += f"; {about.failed} failed" if about.failed else ""
    state += f"; {about.missing} missing" if about.missing else ""
    status = 1 if about.failed or plan.problems else 3 if about.missing else 0
    hints = flipped(evidence.board)
    if about.failed:
        hints.append("--retry-failed, added to the command that ran them, runs failed cells again")
    return Outcome(board, summary_table(plan, records), state, status, hints=tuple(hints))


def write_text(path: Path, text: str) -> None:
    """Write a file unless it already says the same."""
    content = readable(text).encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
