"""``anobench merge``: archives of several machines become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="A B …", help="Results folders; they are only read.")
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="The results folder that gets all records.")
    ],
) -> None:
    """Join the records, scores, labels and plans of several results folders.

    Where two have different scores of the same cell, both places are named and neither is taken.

    Exit status: 0 all that can be read is there, 1 some cells conflict.
    """
    from bench.cli.console import err, out
    from bench.core.merge import merge as join

    merged = join(sources, into)
    for message in (*merged.skipped, *merged.notes):
        err.print(message, style="yellow", markup=False)
    for conflict in merged.conflicts:
        err.print(f"conflict: {conflict}", style="red", markup=False)
    recovered = f" ({merged.recovered} in place of failures)" if merged.recovered else ""
    out.print(
        f"{merged.copied} cells copied into {into}{recovered}, {merged.same} were there, "
        f"{len(merged.conflicts)} conflicts, {len(merged.skipped)} files skipped.",
        markup=False,
    )
    raise typer.Exit(merged.exit_status)
