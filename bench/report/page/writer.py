"""The page of a results folder: every tidy CSV in it is a suite."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.report.board import Board
from bench.report.compare.sides import is_export, side_of_texts
from bench.report.page.about import About, about_plan, digest, remembered
from bench.report.page.guess import completed, heading
from bench.report.page.pictures import pictures
from bench.report.page.render import Link, Suite, is_ours, render
from bench.report.page.tidy import plan_and_records
from bench.suite.registry import Registry

log = logging.getLogger(__name__)

#: The page's name in a results folder.
PAGE = "index.html"


def page(archive: Archive, known: Mapping[str, About], registry: Registry | None = None) -> str | None:
    """Return the page of an archive's folder.

    A CSV that cannot be read is reported as a warning and left out.

    Parameters
    ----------
    archive : Archive
    known : mapping of str to About
        What is known of suites from their plans and records; else the page as it stands is asked.
    registry : Registry, optional
        It knows the settings of methods of which nothing else says them; the stock methods by default.

    Returns
    -------
    str or None
        HTML; None where the folder's index.html is not ours.
    """
    path = archive.results / PAGE
    old = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if old and not is_ours(old):
        return None
    texts, names = _exports(archive.results), registry or Registry()
    before = remembered(old)
    memory: dict[str, About] = {}
    suites = []
    for name, text in texts.items():
        about = _chosen(text, known.get(name), before.get(name)) or _about(archive, name)
        try:
            suites.append(_suite(archive.results, name, text, about, names, frozenset(texts)))
        except ArchiveError as error:
            log.warning("%s is without a suite: %s", path, error)
            continue
        # What was guessed is guessed again, with what is registered then.
        if about.digest:
            memory[name] = about
    beside = (("published numbers", "published.csv"), ("index of the leaderboards", "README.md"))
    return render(suites, memory, _links(archive.results, beside))


def suites_in(results: Path) -> list[str]:
    """Return the names of the suites whose tidy CSVs lie in a folder."""
    return list(_exports(results))


def abouts(archive: Archive) -> dict[str, About]:
    """Return what the plans and records of an archive say of its suites; unreadable plans are passed over."""
    return {name: about for name in archive.suites() if (about := _of_archive(archive, name)) is not None}


def _chosen(text: str, *candidates: About | None) -> About | None:
    """Return the first that belongs to this very CSV, or else the first."""
    there = [about for about in candidates if about is not None]
    return next((about for about in there if about.digest == digest(text)), there[0] if there else None)


def _about(archive: Archive, name: str) -> About:
    """Return what there is to know of a suite that the page does not know yet."""
    found = _of_archive(archive, name) if name in archive.suites() else None
    if found is not None:
        return found
    leaderboard = archive.results / f"{name}.md"
    text = leaderboard.read_text(encoding="utf-8", errors="replace") if leaderboard.is_file() else ""
    title, description = heading(text, name)
    return About(title=title, description=description)


def _of_archive(archive: Archive, name: str) -> About | None:
    try:
        plan = archive.plan(name)
    except ArchiveError as error:
        log.warning("%s", error)
        return None
    return about_plan(plan, archive.load_all(entry.cell.key for entry in plan.entries))


def _suite(
    results: Path, name: str, text: str, about: About, registry: Registry, names: frozenset[str]
) -> Suite:
    side = side_of_texts(name, [(f"{name}.csv", text)])
    about = completed(about.beside(text), side, registry)
    beside = (("leaderboard", f"{name}.md"), ("CSV", f"{name}.csv"))
    board = Board(*plan_and_records(side, about))
    return Suite(name, about, board, _links(results, beside), pictures(results, name, names))


def _exports(results: Path) -> dict[str, str]:
    """Return the text of each tidy CSV of a folder by its suite's name, sorted."""
    found = {}
    for path in sorted(results.glob("*.csv")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("%s cannot be read and is left out (%s)", path, error)
            continue
        if is_export(text):
            found[path.stem] = text
    return found


def _links(results: Path, beside: tuple[Link, ...]) -> tuple[Link, ...]:
    """Return the links to files that are there."""
    return tuple(
        (name, quote(f"./{file}", errors="surrogateescape"))
        for name, file in beside
        if (results / file).is_file()
    )
