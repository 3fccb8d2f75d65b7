"""The sentences below the first table: what intervals, groups and marks claim, and how far it reaches."""

from __future__ import annotations

from bench.report.board import Board
from bench.report.evidence.comparison import Comparison
from bench.report.evidence.evidence import Evidence
from bench.report.markdown import escape
from bench.report.numbers import NBSP, count, enumerated

#: So many methods are named of which nothing can be told.
MOST_NAMED = 4
ONE_DRAW = "**The anomalies in the training sets were drawn once: other draws may give another order**"


def headline(evidence: Evidence, rate: float) -> tuple[list[str], list[str]]:
    """Return what stands below the first table: what intervals and groups are, and how far they reach."""
    compared = evidence.overall(rate)
    if compared is None:
        return [], []
    n = count(compared.n, "independent data set")
    claims = []
    if compared.interval_scope == "data sets":
        claims.append(f"In brackets: 95{NBSP}% intervals over data sets like these ({n}).")
    elif compared.interval_scope == "images":
        claims.append(f"In brackets: 95{NBSP}% intervals over {_varies(evidence, compared, rate)}.")
    if compared.letters:
        claims.append(
            "Methods that share a *Group* letter are not significantly different in their average "
            f"({_test(evidence, compared, rate)}, Holm for {count(pairs_told(compared), 'pair')}); `≈`: no "
            "method is significantly better, so that it may be the best; *Place*: the places that an average "
            f"may have, with 95{NBSP}% confidence for all of them at once."
        )
        claims += untold(evidence, compared, rate)
    return claims, _reach(evidence, compared, rate) if len(compared.rows) > 1 else []


def untold(evidence: Evidence, compared: Comparison, rate: float) -> list[str]:
    """Return of which methods nothing can be told, and what it would take."""
    rows = [row for row, told in zip(compared.rows, compared.told, strict=True) if not told]
    if not rows:
        return []
    seeds = evidence.seeds_of(rows, rate)
    shown = [f"`{evidence.board.label(row)}`" for row in rows[:MOST_NAMED]]
    more = [count(len(rows) - MOST_NAMED, "other")] if len(rows) > MOST_NAMED else []
    return [
        f"`?`: **cannot be told** of {enumerated([*shown, *more])}: {count(len(seeds), 'seed')} "
        f"{'says' if len(seeds) == 1 else 'say'} too little of how much seeds vary; "
        f"{compared.seeds_needed} would do."
    ]


def _varies(evidence: Evidence, compared: Comparison, rate: float) -> str:
    """Return what the intervals on these images are over."""
    return "test images and seeds" if seeds_told(evidence, compared, rate) > 1 else "test images"


def seeds_told(evidence: Evidence, compared: Comparison, rate: float) -> int:
    """Return how many seeds the methods have of which something is told, at most."""
    told = [row for row, is_told in zip(compared.rows, compared.told, strict=True) if is_told]
    return len(evidence.seeds_of(told, rate))


def _test(evidence: Evidence, compared: Comparison, rate: float) -> str:
    if compared.scope == "data sets":
        return f"paired t test over the {count(compared.n, 'independent data set')}"
    return f"paired t test over {_varies(evidence, compared, rate)}"


def _reach(evidence: Evidence, compared: Comparison, rate: float) -> list[str]:
    """Return for what the groups hold, where it is not for data sets like these."""
    n = count(compared.n, "independent data set")
    drawn = [f"{ONE_DRAW}."] if one_draw(evidence.board, rate) else []
    if compared.scope == "images":
        what = "Intervals and groups" if compared.interval_scope == "images" else "Groups"
        these = "this data set" if len(evidence.board.datasets) == 1 else "these data sets"
        return [
            f"**{what} hold for {these} alone: {n} cannot show which method is better on others** (with "
            f"{count(len(compared.rows), 'method')} it takes at least {compared.needed}).",
            *drawn,
        ]
    if compared.scope:
        return drawn
    why = f"; on their images: {escape(compared.why)}" if compared.why else ""
    return [f"No groups: {n}, and a test over data sets takes at least {compared.needed}{why}.", *drawn]


def one_draw(board: Board, *rates: float) -> bool:
    """Return whether anomalies were drawn, and only once, so that what is said holds for this draw alone."""
    cells = [cell for rate in rates for *_, group in board.groups(rate=rate) for cell in group.cells]
    return {cell.contamination.seed for cell in cells if cell.contamination.rate} != set() and (
        len({cell.contamination.seed for cell in cells if cell.contamination.rate}) == 1
    )


def pairs_told(compared: Comparison) -> int:
    """Return how many pairs were tested: those of which something can be told."""
    told = int(compared.told.sum())
    return told * (told - 1) // 2
