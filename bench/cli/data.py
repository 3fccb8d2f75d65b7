"""``anobench data``: which data sets are here, whether they are complete, and getting them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import App, BenchFolders, Json, OutFile, registry

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.suite.adapter import Adapter

app = App(help="Data sets: list them, check them, get them.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A data set, e.g. mvtec, 'folder\\[path=DIR]'.", show_default=False),
]


def _open(name: str, folders: list[Path]) -> tuple[str, str, Dataset]:
    """Return a selector's canonical form, its adapter's name, and the data set."""
    from bench.core.errors import SelectorError
    from bench.core.selector import format_selector, parse

    selector = parse(name)
    if selector.is_glob:
        raise SelectorError(f"{name!r}: expected one data set, not a pattern")
    (adapter,) = registry(folders).match("dataset", selector, "NAME")
    params = adapter.check(selector.params, "NAME")
    return format_selector(adapter.name, selector.params), adapter.name, adapter.load()(**params)


@app.command("ls")
def ls(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="Show all about this one.", show_default=False),
    ] = "",
    bench: BenchFolders = [],  # noqa: B006
    file: OutFile = None,
    json: Json = False,
) -> None:
    """List every data set: tasks, where it is or how to get it, licence. Downloads nothing."""
    from bench.cli.console import hand_json, output, table

    out = output(file)
    if name:
        title, rows, text = _card(name, bench)
        if json:
            about = {"dataset": title, "card": dict(rows), "documentation": text}
            hand_json("data ls", about, file)
            return
        shown = table(title, "what", "")
        shown.columns[1].overflow = "fold"
        for row in rows:
            shown.add_row(*row)
        out.print(shown)
        out.print(text, highlight=False, markup=False)
        out.close()
        return

    columns = ("name", "tasks", "where", "licence")
    found = [(each.name, *_row(each)) for each in registry(bench).datasets.values()]
    if json:
        hand_json("data ls", {"datasets": [dict(zip(columns, row, strict=True)) for row in found]}, file)
        return

    shown = table("data sets", *columns)
    for each in found:
        shown.add_row(*each)
    # Complete paths and addresses, to be copied from the screen.
    shown.columns[2].overflow = "fold"
    out.print(shown)
    out.close()


def _card(name: str, folders: list[Path]) -> tuple[str, list[tuple[str, str]], str]:
    """Return a data set's title, all that is known about it, and its adapter's docstring."""
    import inspect

    from bench.core.selector import parse
    from bench.data.get.card import card

    selector = parse(name)
    adapter = registry(folders).datasets.get(selector.name)
    if adapter is not None and (lacking := adapter.missing(selector.params)):
        # Its layout is what one wants to know before there is anything to name.
        kind: Any = adapter.load()
        title = f"{adapter.name}[{', '.join(f'{parameter}=...' for parameter in lacking)}]"
        rows = [("title", kind.title), ("layout", kind.layout), ("needs", ", ".join(lacking))]
    else:
        title, adapter_name, dataset = _open(name, folders)
        kind, rows = type(dataset), card(dataset, adapter_name, title)
    return title, [(what, text) for what, text in rows], inspect.getdoc(inspect.getmodule(kind)) or ""


def _row(adapter: Adapter) -> tuple[str, str, str]:
    """Return tasks, where, licence."""
    from bench.core.errors import AnobenchError
    from bench.data.copies import MissingData

    if missing := adapter.missing():
        words = ", ".join(f"{name}=..." for name in missing)
        return "", f"needs parameters: {adapter.name}[{words}]", ""
    try:
        dataset: Dataset = adapter.load()()
    except AnobenchError as error:
        return "", f"cannot be used: {error}", ""
    every = len(getattr(dataset, "categories", ()))
    try:
        place = dataset.place()
        found = len(dataset.tasks())
        where = str(place or "embedded") + (" (synthetic)" if dataset.synthetic else "")
    except MissingData:
        return f"0 of {every}" if every else "", _mend(adapter.name, dataset), dataset.licence
    except AnobenchError as error:
        return "", f"damaged: {error}", dataset.licence
    return f"{found} of {every}" if every > found else str(found), where, dataset.licence


def _mend(name: str, dataset: Dataset) -> str:
    from bench.data.get.download import download_method

    mend = f"anobench data get {name}" if download_method(dataset) else f"get it from {dataset.home}"
    return f"absent; {mend}"


@app.command("facts")
def facts(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/datasets.md.")] = False,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """List the official facts that the data sets rest on, their sources, and what they were held against."""
    from bench.cli.console import hand_json, out, table
    from bench.data.get.facts import facts_of, facts_page

    found = {name: adapter.attributes for name, adapter in registry(bench).datasets.items()}
    if json:
        facts = {
            name: [
                dict(zip(("fact", "source", "held against"), fact, strict=True)) for fact in facts_of(held)
            ]
            for name, held in found.items()
        }
        hand_json("data facts", {"datasets": facts})
        return
    if markdown:
        typer.echo(facts_page(found), nl=False)
        return
    shown = table("facts", "data set", "fact", "source", "held against")
    for name, attributes in found.items():
        for fact in facts_of(attributes):
            shown.add_row(name, *fact)
    out.print(shown)


@app.command("croissant")
def croissant(
    name: Name,
    bench: BenchFolders = [],  # noqa: B006
    out: OutFile = None,
    json: Json = False,
) -> None:
    """Print a data set as Croissant metadata (JSON-LD): licence, citation, files with checksums, tasks.

    Downloads nothing; counts need the images on this machine. With --json it stands in the object that every
    command prints.
    """
    import json as json_

    from bench.cli.console import hand_json, hand_out
    from bench.data.get.croissant import croissant as metadata

    title, _, dataset = _open(name, bench)
    found = metadata(dataset, title)
    if json:
        hand_json("data croissant", {"croissant": found}, out)
    else:
        hand_out(json_.dumps(found, indent=1, ensure_ascii=False) + "\n", out)


@app.command("check")
def check(name: Name, bench: BenchFolders = [], json: Json = False) -> None:  # noqa: B006
    """Look at every image and mask, and compare counts and fingerprints with the official ones.

    Every file is read again, whatever is kept of it from earlier runs.

    Exit status 0: nothing differs; 1: something does, one line each; 2: the data is missing.
    """
    from bench.cli.console import err, hand_json, out
    from bench.data.get.check import check as look

    title, adapter_name, dataset = _open(name, bench)
    if place := dataset.place():
        err.print(f"{title}: looking at every image in {place}")
    found = look(dataset, adapter_name)
    if json:
        about = {"dataset": title, "tasks": dataset.tasks(), "official": found.official}
        hand_json("data check", {**about, "facts": found.facts, "notes": found.notes})
        raise typer.Exit(1 if found.notes else 0)
    for line in (*found.facts, *found.notes):
        out.print(line)
    complete = "complete" if found.official else "complete as far as is known"
    verdict = (
        f"{_plural(len(found.notes), 'thing')} to note" if found.notes else f"{complete}, nothing differs"
    )
    out.print(f"{title}: {_plural(len(dataset.tasks()), 'task')}, {verdict}")
    raise typer.Exit(1 if found.notes else 0)


@app.command("get")
def get(
    name: Name,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the conditions of the data set's licence.")
    ] = False,
    bench: BenchFolders = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Download a data set if its licence allows it; else say where to get it and where to put it."""
    from bench.cli.console import hand_json, out
    from bench.data.get.download import obtain

    title, _, dataset = _open(name, bench)
    place = obtain(dataset, accept=accept_licence)
    if json:
        notes = [] if place is None else list(_open(name, bench)[-1].differences())
        hand_json("data get", {"dataset": title, "folder": place, "licence": dataset.licence, "notes": notes})
        return
    if place is None:
        out.print(f"{title}: embedded, there is nothing to get")
        return
    out.print(f"{title}: in {place} (licence: {dataset.licence})")
    fresh: Any = _open(name, bench)[-1]
    for note in fresh.differences():
        out.print(note)


def _plural(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
