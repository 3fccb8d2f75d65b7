"""``anobench audit``: what contamination rates really are, for a suite, a preset or a published list."""

from __future__ import annotations

import json as json_
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import BenchFolders, Json, OutFile, registry
from bench.core.errors import AnobenchError

if TYPE_CHECKING:
    from bench.suite.audited import AuditTable
    from bench.suite.registry import Registry


class ListKind(StrEnum):
    """Kinds of split lists."""

    auto = "auto"
    csv = "csv"
    meds = "meds"
    fuiad = "fuiad"
    softpatch = "softpatch"
    softpatch_overlap = "softpatch-overlap"


class AuditForm(StrEnum):
    """How an audit is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


def audit(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="A suite's name or .toml file; a preset's name, with --dataset; or the files or folders of "
            "published split lists, one a rate.",
            show_default=False,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option("--dataset", "-d", help="Of a preset, or whose official test set a list means: mvtec."),
    ] = "",
    rate: Annotated[
        list[float] | None, typer.Option("--rate", help="Nominal rate, from 0 to 0.5. Repeatable.")
    ] = None,
    kind: Annotated[
        ListKind, typer.Option("--list", help="Whose list it is; csv is any table with a column of paths.")
    ] = ListKind.auto,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Compare a list's images by content: they lie here."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of a preset's draw.")] = 0,
    totals: Annotated[bool, typer.Option("--totals", help="Only the sums over categories.")] = False,
    form: Annotated[AuditForm, typer.Option("--as", help="How to print it.")] = AuditForm.text,
    bench: BenchFolders = [],  # noqa: B006
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Count what train sets hold: realised rates, test anomalies trained on, repeats, copies, types.

    No image is decoded.
    """
    from bench.cli.console import hand_json, hand_out
    from bench.report.audits import ABOUT, audit_json, audit_lines

    tables = _tables(what, dataset, rate or [], kind.value, images, seed, registry(bench))
    if json:
        hand_json("audit", {"audits": json_.loads(audit_json(tables))}, out)
        return
    if form is AuditForm.json:
        hand_out(audit_json(tables), out)
        return
    style = "pipe" if form is AuditForm.markdown else "simple"
    lines: list[str] = []
    for table in tables:
        lines += [*audit_lines(table, categories=not totals, form=style), ""]
    if form is AuditForm.markdown:
        lines += [ABOUT, ""]
    hand_out("\n".join(lines), out)


def _tables(
    what: list[str],
    dataset: str,
    rates: list[float],
    kind: str,
    images: Path | None,
    seed: int,
    known: Registry,
) -> list[AuditTable]:
    from bench.core.contamination import PRESETS
    from bench.suite.audited import audit_lists, audit_preset, audit_suite
    from bench.suite.grid import make_plan
    from bench.suite.suite import load_suite

    if wrong := [each for each in rates if not 0 <= each <= 0.5]:
        raise AnobenchError(f"--rate {wrong[0]:g}: expected a rate from 0 to 0.5, e.g. --rate 0.1")
    if what[0] in PRESETS:
        if not dataset:
            raise AnobenchError(f"{what[0]} is a preset: name a data set too, e.g. --dataset mvtec")
        return [audit_preset(each, dataset, rates or [0.1], known, seed=seed) for each in what]
    paths = [Path(each).expanduser() for each in what]
    if paths[0].suffix != ".toml" and paths[0].exists():
        return [audit_lists(paths, kind, known, dataset=dataset, rates=rates, images=images)]
    tables: list[AuditTable] = []
    for each in what:
        plan = make_plan(load_suite(known.suite_path(each)), known)
        tables += audit_suite(plan, known)
    return tables
