"""``anobench status``: how far a suite is, from any shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, Json, ResultsFolder, suite_name

if TYPE_CHECKING:
    from bench.core.archive import Archive
    from bench.run.progress import Snapshot


def status(
    suite: Annotated[
        str,
        typer.Argument(metavar="SUITE", help="A suite's name, as in the leaderboard's file, or its file."),
    ],
    results: ResultsFolder = DEFAULT_RESULTS,
    json: Json = False,
) -> None:
    """Show how many cells of a suite are done, on which data sets, and what its running drivers are doing.

    Exit status 0 if all cells are done, 1 if some failed, 3 if some are missing.
    """
    from bench.cli.console import duration, hand_json, out
    from bench.core.archive import Archive
    from bench.core.errors import ArchiveError
    from bench.report.board import Board
    from bench.run.live import drawn

    archive, name = Archive(results), suite_name(suite)
    running, gone = _drivers(archive, name)
    cells = failed = missing = 0
    unfinished: list[str] = []
    lines: list[str] = []
    try:
        plan = archive.plan(name)
        board = Board(plan, archive.load_all({entry.cell.key for entry in plan.entries}))
        cells, failed, missing = board.cells()
        lines.append(
            f"{name}: {cells - failed - missing:,} of {cells:,} cells are done, {failed:,} failed, "
            f"{missing:,} not run yet"
        )
        if missing and len(board.datasets) > 1:
            done = board.finished_datasets()
            for each in board.datasets:
                lines.append(
                    f"  {board.dataset_name(each)}: {'finished' if each in done else 'not finished'}"
                )
            unfinished = [board.dataset_name(each) for each in board.datasets if each not in done]
    except ArchiveError:
        if not running:
            raise
        missing = 1  # it is the first run, and has no plan yet
    if json:
        about = {"suite": name, "cells": cells, "failed": failed, "missing": missing, "killed runs": gone}
        hand_json("status", {**about, "unfinished datasets": unfinished, "running": running})
        raise typer.Exit(3 if missing else 1 if failed else 0)
    for line in lines:
        out.print(line)
    for snapshot in running:
        out.print(f"running for {duration(snapshot.seconds)}:", drawn(snapshot))
    if not running and missing:
        out.print("nothing is running; anobench run continues it")
    if gone:
        out.print(f"{gone} runs of it were killed; the cells that they finished are kept")
    raise typer.Exit(3 if missing else 1 if failed else 0)


def _drivers(archive: Archive, suite: str) -> tuple[list[Snapshot], int]:
    """Return the running drivers, and the number of killed ones."""
    from bench.core.errors import ArchiveError
    from bench.run.claims import lives
    from bench.run.progress import Snapshot

    running, gone = [], 0
    for path in sorted((archive.root / "status").glob("*.json")):
        try:
            snapshot = Snapshot.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ArchiveError):
            continue  # it just ended, or another version wrote it
        if snapshot.suite == suite and lives(archive.root / "claims", snapshot.driver):
            running.append(snapshot)
        elif snapshot.suite == suite:
            gone += 1
    return running, gone
