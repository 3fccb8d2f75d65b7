"""``anobench merge``: archives of several machines become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json


def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="A B …", help="Results folders or packs; they are only read.")
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="The results folder that gets all records.")
    ],
    json: Json = False,
) -> None:
    """Join the records, scores, labels and plans of several results folders and packs.

    Where two of them have different scores for a cell, both are named and neither is copied.

    Exit status: 0 all readable records are there, 1 some cells conflict.
    """
    from bench.cli.console import err, hand_json, out
    from bench.core.merge import merge as join
    from bench.report.verify import check

    merged = join(sources, into, check=check)
    if json:
        about = {"into": into, "copied": merged.copied, "same": merged.same, "recovered": merged.recovered}
        notes = {"skipped": merged.skipped, "notes": merged.notes}
        hand_json("merge", {**about, "conflicts": list(map(str, merged.conflicts)), **notes})
        raise typer.Exit(merged.exit_status)
    for message in (*merged.skipped, *merged.notes):
        err.print(message, style="yellow")
    for conflict in merged.conflicts:
        err.print(f"conflict: {conflict}", style="red")
    recovered = f" ({merged.recovered} in place of failures)" if merged.recovered else ""
    out.print(
        f"{merged.copied} cells copied into {into}{recovered}, {merged.same} were there, "
        f"{len(merged.conflicts)} conflicts, {len(merged.skipped)} files skipped."
    )
    raise typer.Exit(merged.exit_status)
