"""The index of the leaderboards, ``results/README.md``: a line for each leaderboard that lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.report.markdown import blocks, escape
from bench.report.numbers import NOTHING, points
from bench.report.overview import Overview, in_order

#: The first line of an index; a README without it is somebody's own and is left alone.
MARK = "<!-- Written by anobench report; do not edit. -->"
_HEAD = ("Leaderboard", "Methods", "Data sets", "Cells", "State", "Best method")
_ABOUT = (
    "One line for each leaderboard in this folder, the largest first (methods × tasks × rates), those where "
    "no method is told from chance last. A page is made from archived records alone (`anobench report "
    "SUITE`); beside it lies its tidy CSV with every cell and metric. *Best method* has the highest AUROC "
    "averaged over data sets and contamination rates; the page says which differences from it are real."
)
_PUBLISHED = "[published.csv](published.csv) holds the numbers that papers print, each with its source."


def index(results: Path, found: Mapping[str, Overview]) -> str | None:
    """Return the index of a results folder.

    Parameters
    ----------
    results : Path
    found : mapping of str to Overview
        By suite; a leaderboard without one, as older versions left it, has a line that says no more.

    Returns
    -------
    str or None
        Markdown, with a newline at the end; None where the folder's README is not ours.
    """
    path = results / "README.md"
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        return None
    lying = {page.stem for page in results.glob("*.md") if page.name != "README.md"}
    pages = [suite for suite, _ in in_order(found) if suite in lying]
    pages += sorted(lying.difference(pages))
    empty = [NOTHING] * (len(_HEAD) - 1)
    lines = [
        index_line(found[suite]) if suite in found else _joined([f"[{suite}]({suite}.md)", *empty])
        for suite in pages
    ]
    table = [_joined(_HEAD), f"|{'---|' * len(_HEAD)}", *lines]
    numbers = [_PUBLISHED] if (results / "published.csv").is_file() else []
    return "\n".join(blocks([MARK], ["# Leaderboards"], [_ABOUT], table, numbers)) + "\n"


def index_line(found: Overview) -> str:
    """Return a suite's line: title, methods, data sets, cells, state, best method."""
    holes = ((found.failed, "failed"), (found.missing, "missing"))
    state = [f"{number:,} {what}" for number, what in holes if number]
    state += ["some adapters could not be used"] if found.problems else []
    return _joined(
        (
            f"[{escape(found.title)}]({found.suite}.md)",
            f"{len(found.rows):,}",
            ", ".join(map(escape, found.datasets.values())) or NOTHING,
            f"{found.cells:,}",
            ", ".join(state) or ("complete" if found.cells else "empty"),
            _best(found),
        )
    )


def _best(found: Overview) -> str:
    if found.best_auroc is None:
        return f"{NOTHING} (one method to rank)" if found.ranked else NOTHING
    if found.chance:
        return f"{NOTHING} (none is told from chance)"
    return f"{' and '.join(map(escape, found.best))} ({points(found.best_auroc)})"


def _joined(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
