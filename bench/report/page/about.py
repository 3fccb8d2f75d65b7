"""What a tidy CSV does not say of its suite: titles, labels, settings and seconds.

It is taken from the plan and the records while they are there, and kept inside the page as JSON. So the page
can be made again where the records are not, as in a clone of the repository, and stays the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.core.cell import Record
from bench.core.plan import Column, Plan, Row
from bench.report.board import Board
from bench.report.export import export_csv, place_fields
from bench.report.leaderboard.columns import mean_seconds

#: Schema of what a page remembers; a page of another one is read as one that remembers nothing.
ABOUT_VERSION = 1
_BLOCK = re.compile(r'<script type="application/json" id="about">(.*?)</script>', re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One row of a suite: how it is named, what it is, how long its cells took.

    Attributes
    ----------
    row : Row
    params : str
        As in the CSV; with the row's method and backbone they say which lines are the row's.
    seconds : tuple of (float, float, float)
        Contamination rate, mean marginal and mean cold seconds of a cell; only where every cell has them.
    """

    row: Row
    params: str = ""
    seconds: tuple[tuple[float, float, float], ...] = ()

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.row.method, self.params, self.row.backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a CSV does not say of its suite, in the plan's order.

    Attributes
    ----------
    digest : str
        Of the CSV that belongs to it; the seconds are only valid beside that very CSV.
    """

    title: str
    description: str = ""
    rates: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[Named, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""

    def beside(self, text: str) -> About:
        """Return what of it holds beside a CSV: all but the seconds where it is not that of `digest`."""
        if self.digest == digest(text):
            return self
        return replace(self, rows=tuple(replace(named, seconds=()) for named in self.rows))


def digest(text: str) -> str:
    """Return what tells one CSV from another: the first 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def about_plan(plan: Plan, records: Mapping[str, Record]) -> About:
    """Return what the CSV of a plan and its records does not say."""
    board = Board(plan, records)
    params: dict[int, str] = {}
    for entry in plan.entries:
        if entry.row not in params:
            params[entry.row] = place_fields(plan, entry)[4]
    return About(
        title=plan.title,
        description=plan.description,
        rates=tuple(dict.fromkeys(plan.rates)),
        columns=plan.columns,
        rows=tuple(
            Named(row=row, params=params.get(at, ""), seconds=_seconds(board, at))
            for at, row in enumerate(plan.rows)
        ),
        problems=plan.problems,
        notes=plan.notes,
        digest=digest(export_csv(plan, records)),
    )


def _seconds(board: Board, row: int) -> tuple[tuple[float, float, float], ...]:
    found = []
    for rate in board.rates:
        marginal = mean_seconds(board, row, rate, lambda timing: timing.marginal)
        cold = mean_seconds(board, row, rate, lambda timing: timing.cold)
        if marginal is not None and cold is not None:
            # Four digits are more than a clock is good for; all of them would only make the page longer.
            found.append((rate, float(f"{marginal:.4g}"), float(f"{cold:.4g}")))
    return tuple(found)


def remember(suites: Mapping[str, About]) -> str:
    """Return JSON that may stand inside a script element of HTML."""
    held = {"schema": ABOUT_VERSION, "suites": {name: asdict(about) for name, about in suites.items()}}
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def remembered(page: str) -> dict[str, About]:
    """Return what a page remembers of its suites; nothing where it is no such page."""
    block = _BLOCK.search(page)
    try:
        held = json.loads(block[1]) if block else {}
        if held.get("schema") != ABOUT_VERSION:
            return {}
        return {str(name): _about(data) for name, data in held["suites"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _about(data: Mapping[str, Any]) -> About:
    return About(
        title=str(data["title"]),
        description=str(data["description"]),
        rates=tuple(map(float, data["rates"])),
        columns=tuple(Column(**column) for column in data["columns"]),
        rows=tuple(
            Named(
                row=Row(**named["row"]),
                params=str(named["params"]),
                seconds=tuple(
                    (float(rate), float(marginal), float(cold)) for rate, marginal, cold in named["seconds"]
                ),
            )
            for named in data["rows"]
        ),
        problems=tuple(map(str, data["problems"])),
        notes=tuple(map(str, data["notes"])),
        digest=str(data["digest"]),
    )
