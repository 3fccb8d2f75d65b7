"""The index of the leaderboards, ``results/README.md``: a line for each page that lies beside it.

A line says what its page says. So the line of the suite that is being reported is made anew, the others are
kept as they stand; one that is not there yet is made from the archive, or, without records, from the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.errors import ArchiveError
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.leaderboard.columns import averages, dataset_name, order
from bench.report.markdown import NOTHING, blocks, escape, points

#: The first line of an index; a README without it is somebody's own and is left alone.
MARK = "<!-- Written by anobench report; do not edit. -->"
_HEAD = ("Leaderboard", "Methods", "Data sets", "Cells", "State", "Best method")
_LINE = re.compile(r"^\| \[.*\]\((?P<suite>[^()]+)\.md\) \|.*\|$")


def index(archive: Archive, plan: Plan, records: Mapping[str, Record]) -> str | None:
    """Return the index of an archive's folder after the page of `plan` was written.

    Parameters
    ----------
    archive : Archive
    plan : Plan
        Of the suite whose page was written.
    records : mapping of str to Record
        By key.

    Returns
    -------
    str or None
        Markdown, with a newline at the end; None where the folder's README is not ours.
    """
    path = archive.results / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else MARK
    if not text.startswith(MARK):
        return None
    kept = known_lines(text) | {plan.suite: index_line(plan, records)}
    pages = {page.stem: page for page in archive.results.glob("*.md") if page.name != "README.md"}
    lines = [kept.get(suite) or _from_archive(archive, page) for suite, page in sorted(pages.items())]
    return index_text(lines, published=(archive.results / "published.csv").is_file())


def index_text(lines: list[str], *, published: bool) -> str:
    """Return the index with these lines of its table."""
    about = (
        "One line for each leaderboard in this folder. A page is made from archived records alone "
        "(`anobench report SUITE`); beside it lies its tidy CSV with every cell and metric. *Best method* "
        "has the highest AUROC averaged over data sets and contamination rates; the page says which "
        "differences from it are real."
    )
    numbers = "[published.csv](published.csv) holds the numbers that papers print, each with its source."
    table = [_joined(_HEAD), f"|{'---|' * len(_HEAD)}", *lines]
    parts = ([MARK], ["# Leaderboards"], [about], table, [numbers] if published else [])
    return "\n".join(blocks(*parts)) + "\n"


def index_line(plan: Plan, records: Mapping[str, Record]) -> str:
    """Return a suite's line: title, methods, data sets, cells, state, best method."""
    board = Board(plan, records)
    cells, failed, missing = board.cells()
    holes = [f"{number:,} {what}" for number, what in ((failed, "failed"), (missing, "missing")) if number]
    holes += ["some adapters could not be used"] if plan.problems else []
    names = ", ".join(dataset_name(board, name) for name in board.datasets)
    state = ", ".join(holes) if holes else "complete" if cells else "empty"
    words = (
        _link(plan.suite, escape(plan.title)),
        f"{len(plan.rows):,}",
        names or NOTHING,
        f"{cells:,}",
        state,
    )
    return _joined((*words, _best(board)))


def known_lines(text: str) -> dict[str, str]:
    """Return the lines of an index by suite."""
    found = ((_LINE.match(line), line) for line in text.splitlines())
    return {match["suite"]: line for match, line in found if match}


def _best(board: Board) -> str:
    """Return the method with the highest average, or those that share it as printed."""
    found = {row: points(value) for row, value in averages(board, board.columns, board.rates).items()}
    if not found:
        return NOTHING
    if len(found) == 1:
        return f"{NOTHING} (one method to rank)"
    most = max(found.values(), key=float)
    first = [row for row in order(board, board.columns, board.rates) if found.get(row) == most]
    return f"{' and '.join(escape(board.plan.rows[row].label) for row in first)} ({most})"


def _from_archive(archive: Archive, page: Path) -> str:
    """Return the line of another page: from its plan and records, or as much as the page itself says."""
    if page.stem in archive.suites():
        try:
            plan = archive.plan(page.stem)
        except ArchiveError:
            pass
        else:
            return index_line(plan, archive.load_all(entry.cell.key for entry in plan.entries))
    text = page.read_text(encoding="utf-8", errors="replace")
    title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), page.stem)
    return _joined((_link(page.stem, title), *[NOTHING] * (len(_HEAD) - 1)))


def _link(suite: str, title: str) -> str:
    return f"[{title}]({suite}.md)"


def _joined(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
