"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.suite.registry import Registry

SuiteRun = Annotated[str, typer.Argument(metavar="SUITE", help="The name of a suite that was run.")]
OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to the screen.")]
ResultsFolder = Annotated[
    Path,
    typer.Option("--results", metavar="DIR", help="Where leaderboards and records are.", show_default=True),
]
BenchFolders = Annotated[
    list[Path],
    typer.Option(
        "--bench", metavar="DIR", help="A folder with methods/, datasets/, suites/ of your own. Repeatable."
    ),
]
DEFAULT_RESULTS = Path("results")


def registry(folders: list[Path]) -> Registry:
    """Return the registry over the folders given, the working directory and the stock folder."""
    from bench.suite.registry import Registry

    return Registry(folders, Path.cwd())
