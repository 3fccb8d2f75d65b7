"""A tidy CSV as the plan and the records that it was exported from, as far as a report needs them.

The cells made here carry the CSV's seed as the method's, whatever it was the seed of, and no code, data or
weights: their keys hold within their plan only and are never looked for in an archive.
"""

from __future__ import annotations

from bench.core.cell import Cell, Record
from bench.core.contamination import Contamination
from bench.core.errors import ArchiveError
from bench.core.plan import Entry, Plan
from bench.report.compare.sides import Place, Side
from bench.report.page.about import About


def plan_and_records(side: Side, about: About) -> tuple[Plan, dict[str, Record]]:
    """Return a plan and records with the cells of a CSV.

    Parameters
    ----------
    side : Side
        Of one CSV.
    about : About
        It names every row, task and rate of the CSV (`bench.report.page.guess.completed`).

    Raises
    ------
    ArchiveError
        A rate or a seed is no such thing.
    """
    rows: dict[tuple[str, str, str], int] = {}
    for at, named in enumerate(about.rows):
        rows.setdefault(named.identity, at)
    columns = {(column.dataset, column.task): at for at, column in enumerate(about.columns)}
    entries: list[Entry] = []
    records: dict[str, Record] = {}
    for place, seeds in side.cells.items():
        row = rows[place.method, place.params, place.backbone]
        for seed, measured in seeds.items():
            cell = _cell(place, seed, side.name)
            column = columns[place.dataset, place.task]
            entries.append(Entry(row=row, column=column, rate=cell.contamination.rate, cell=cell))
            if measured.status in ("ok", "failed"):
                of = about.rows[row].row
                records[cell.key] = Record(
                    cell=cell,
                    status="ok" if measured.status == "ok" else "failed",
                    setting=of.setting,
                    selection=of.selection,
                    metrics=measured.metrics,
                )
    plan = Plan(
        suite=side.name,
        title=about.title,
        description=about.description,
        rates=about.rates,
        rows=tuple(named.row for named in about.rows),
        columns=about.columns,
        entries=tuple(entries),
        problems=about.problems,
        notes=about.notes,
    )
    return plan, records


def rate_of(place: Place, file: str) -> float:
    """Return a place's contamination rate.

    Raises
    ------
    ArchiveError
        It has none.
    """
    try:
        return Contamination(rate=float(place.contamination)).rate
    except ValueError as error:
        raise ArchiveError(f"{file}: {place.contamination!r} is no contamination rate ({error})") from None


def _cell(place: Place, seed: str, file: str) -> Cell:
    try:
        number = int(seed) if seed else None
    except ValueError:
        raise ArchiveError(f"{file}: {seed!r} is no seed; expected a whole number, or nothing") from None
    return Cell(
        dataset=place.dataset,
        task=place.task,
        method=place.method,
        params=(("", place.params),),
        backbone=place.backbone,
        contamination=Contamination(rate=rate_of(place, file)),
        seed=number,
    )
