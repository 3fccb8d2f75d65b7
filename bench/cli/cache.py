"""``anobench cache``: what is in the feature store, whether it is intact, and making it smaller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.options import App, Json

app = App(help="The feature store: where it is, list, verify, prune.", no_args_is_help=True)


def _hand_json(command: str, about: dict[str, Any]) -> None:
    from bench.cli.console import hand_json

    hand_json(command, about)


def _root() -> Path:
    from bench.core.files import cache_folder
    from bench.features.shards import STORE_SCHEMA

    return cache_folder() / "features" / f"v{STORE_SCHEMA}"


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def _ago(moment: float) -> str:
    hours = (time.time() - moment) / 3600
    if hours < 1:
        return f"{hours * 60:.0f} min ago"
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} d ago"


@app.command()
def path(json: Json = False) -> None:
    """Print the folder of the feature store (ANOBENCH_CACHE sets it)."""
    if json:
        _hand_json("cache path", {"folder": _root()})
        return
    typer.echo(str(_root()))


@app.command()
def ls(json: Json = False) -> None:
    """List what is stored: source, backbone, rows, size, last use; most recently used first."""
    from tabulate import tabulate

    from bench.features import leases, upkeep

    found = sorted((upkeep.info(folder) for folder in upkeep.key_folders(_root())), key=lambda key: -key.used)
    limit = upkeep.cache_limit()
    if json:
        keys = [
            {"key": key.folder.name, **key.described, "rows": key.rows, "bytes": key.nbytes, "used": key.used}
            for key in found
        ]
        _hand_json("cache ls", {"folder": _root(), "limit": limit, "keys": keys})
        return
    if not found:
        typer.echo(f"{_root()} is empty")
        return
    table = [
        [
            key.folder.name[:12],
            key.described.get("source", "?"),
            key.described.get("backbone", "?"),
            key.described.get("what", "?"),
            key.described.get("dtype", "?"),
            key.rows,
            _size(key.nbytes),
            _ago(key.used) + (", in use" if leases.pinned(key.folder) else ""),
        ]
        for key in found
    ]
    headers = ["key", "source", "backbone", "what", "numbers", "rows", "size", "used"]
    typer.echo(tabulate(table, headers=headers, disable_numparse=True))
    shown = "no limit" if limit is None else f"limit {_size(limit)}, ANOBENCH_CACHE_LIMIT sets it"
    typer.echo(f"{_size(sum(key.nbytes for key in found))} in {_root()} ({shown})")


@app.command()
def verify(json: Json = False) -> None:
    """Compare every shard with its checksum; set damaged ones aside; exit status 1 if there are any."""
    from bench.features import upkeep

    checked, damaged = 0, []
    for folder in upkeep.key_folders(_root()):
        bad, good = upkeep.check_key(folder)
        checked += good + len(bad)
        damaged += bad
    if json:
        _hand_json("cache verify", {"checked": checked, "damaged": damaged})
        raise typer.Exit(1 if damaged else 0)
    for message in damaged:
        typer.echo(f"damaged: {message}")
    verdict = "their rows will be computed again" if damaged else "all are intact"
    typer.echo(f"{checked} shards checked, {len(damaged)} damaged; {verdict}")
    raise typer.Exit(1 if damaged else 0)


@app.command()
def prune(
    to: Annotated[
        str | None, typer.Option(help="Size to shrink to, e.g. 10GB; by default ANOBENCH_CACHE_LIMIT.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Delete all that no running process uses.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    json: Json = False,
) -> None:
    """Delete damaged shards, and the least recently used features that no running process uses."""
    from bench.features import upkeep

    limit = 0 if everything else upkeep.cache_limit() if to is None else upkeep.parse_size(to)
    root = _root()
    before = {folder: upkeep.size_of(folder) for folder in upkeep.key_folders(root)}
    scraps = 0 if dry_run else sum(upkeep.delete_scraps(folder) for folder in before)
    gone = [] if limit is None else upkeep.evict(root, limit, dry_run=dry_run)
    freed = scraps + sum(before[folder] for folder in gone)
    left = sum(before.values()) - freed
    if json:
        about = {"dry run": dry_run, "keys": [folder.name for folder in gone], "freed": freed, "left": left}
        _hand_json("cache prune", {**about, "limit": limit})
        return
    typer.echo(
        f"{'would delete' if dry_run else 'deleted'} {len(gone)} keys, {_size(freed)}; {_size(left)} left"
    )
    if limit is not None and left > limit:
        typer.echo("running processes use the rest, which is kept")
