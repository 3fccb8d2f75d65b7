"""``anobench published``: what papers print."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import BenchFolders, Json, OutFile, registry


def published(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="An adapter's name, a method as printed, a glob.")
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", metavar="GLOB", help="Only this data set.")
    ] = "*",
    task: Annotated[
        str, typer.Option("--task", metavar="GLOB", help="Only this task; 'mean' for means.")
    ] = "*",
    bench: BenchFolders = [],  # noqa: B006
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Print the published numbers of a method, each with its source, setting, backbone and protocol."""
    from bench.cli.console import hand_json, hand_out
    from bench.report.published.read import load_published, named
    from bench.report.published.text import listing

    rows = named(load_published(registry(bench).folders), method, dataset=dataset, task=task)
    if json:
        hand_json("published", {"numbers": rows}, out)
        return
    hand_out(f"{listing(rows)}\n\n{len(rows)} numbers; percent unless they count something\n", out)
