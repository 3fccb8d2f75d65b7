"""``anobench verify``: is a submission what running it gives? A random part of it is run again."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, Json, ResultsFolder
from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.core.pack import PackedArchive
    from bench.suite.registry import Registry

_SEED = "What the draw is made of besides the pack; by default 16 random bytes. Give it to redo a draw."


def verify(
    pack: Annotated[Path, typer.Argument(metavar="PACK", help="Made by anobench submit.")],
    share: Annotated[
        str, typer.Option("--share", metavar="PERCENT", help="Of the cells: so many are run again.")
    ] = "5%",
    seed_from: Annotated[
        str | None, typer.Option("--seed-from", metavar="NONCE", help=_SEED, show_default=False)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="SUITE", help="Yours: its name or file; by default the pack's."),
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the methods' files that the pack holds.")
    ] = False,
    show_code: Annotated[
        bool, typer.Option("--show-code", help="Print the methods' files that the pack holds, and end.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge it into the results folder if nothing contradicts it.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1.")] = "auto",
    results: ResultsFolder = DEFAULT_RESULTS,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Check a submission against your own suite and data, and run a random share of its cells again.

    The cells are drawn once the pack is known, from its sha256 and a nonce of yours: nobody could know before
    which they are, and anybody can draw them again.

    Exit status: 0 nothing contradicts it; 1 something does; 2 usage, or it cannot be run here; 3 it cannot be
    told.
    """
    from bench.cli.console import err, hand_json, out
    from bench.cli.options import registry
    from bench.core.archive import Archive
    from bench.core.pack import PackedArchive, is_pack
    from bench.run.executors.choose import Options
    from bench.run.prepare import find_suite
    from bench.run.rerun import run_again
    from bench.run.verification import adopt, verify_pack
    from bench.run.verificationtext import verification_json, verification_text

    part = _share(share)
    if not is_pack(pack):
        if not pack.exists():
            raise AnobenchError(f"{pack}: there is no such file; expected one made by anobench submit")
        raise AnobenchError(f"{pack} is no pack; expected a file made by anobench submit")
    received = PackedArchive(pack)
    if show_code:
        _show(received)
        return
    known = registry(bench)
    with _code(received, known, allowed=allow_code) as files:
        for line in files:
            err.print(line, style="yellow")
        options = Options(device=device)
        verification = verify_pack(
            received,
            find_suite(suite or received.suites()[0], known, [], []),
            known,
            Archive(results),
            lambda expected, cells: run_again(expected, cells, known, options),
            share=part,
            nonce=secrets.token_hex(16) if seed_from is None else seed_from,
        )
    if json:
        hand_json("verify", verification_json(verification))
    else:
        out.print(verification_text(verification))
    if merge and not verification.exit_status:
        copied, there = adopt(verification, results)
        err.print(
            f"{copied} cells copied into {results}, {there} were there. anobench report "
            f"{verification.known.plan.suite} writes its pages. anobench run takes a method off them again "
            "that is not in the suite's file."
        )
    raise typer.Exit(verification.exit_status)


def _share(given: str) -> float:
    """Parse ``"5%"`` or ``"0.05"``."""
    text = given.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise AnobenchError(f"--share {given}: expected a share of the cells, such as 5% or 0.05")
    return share


def _show(pack: PackedArchive) -> None:
    for name, text in pack.methods().items():
        typer.echo(f"# methods/{name}.py, sha256 {hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    if not pack.methods():
        typer.echo("the pack holds no methods' files")


@contextlib.contextmanager
def _code(pack: PackedArchive, known: Registry, *, allowed: bool) -> Iterator[list[str]]:
    """Put the methods that the pack holds into a bench folder, if that is allowed; yield what to say of them.

    A method that is here already is the receiver's own, whatever the pack holds.
    """
    files = {name: text for name, text in pack.methods().items() if name not in known.methods}
    if not files or not allowed:
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "methods").mkdir()
        lines = []
        for name, text in files.items():
            (Path(folder) / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            lines.append(f"running methods/{name}.py of the pack, sha256 {digest}")
        known.folders.append(Path(folder))
        known.__dict__.pop("methods", None)
        yield lines
