"""What contamination did, in sentences made from the numbers: at the top of its section, with their tables.

Who may be best at which rate; what purifying costs on clean data and brings on dirty data, each wrapper
against its own base; and how much of an AUROC comes from test anomalies that were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from bench.core.cell import Cell
from bench.core.selector import parse
from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, Comparison, best
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.robustness import curves, simultaneous_breakdowns
from bench.report.markdown import blocks, breakable, grid, table_lines
from bench.report.numbers import NBSP, count, enumerated, percent, signed_points, span_points
from bench.report.table import Filled, TableCell, TableColumn, table_of

#: So many methods are named in a sentence.
MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class WrappedPair:
    """A wrapper and its bare base: rows of the board."""

    wrapper: int
    base: int


def findings(evidence: Evidence) -> list[str]:
    """Return the sentences, then the tables they rest on; nothing for a suite with one rate."""
    board = evidence.board
    if len(board.rates) < 2:
        return []
    pairs = wrapped_pairs(board)
    said = [
        *_bests(evidence),
        *_breaks(evidence),
        *_bare_or_purified(evidence, pairs),
        *_purifying(evidence, pairs),
        *_premium_said(board),
    ]
    return blocks([f"- {each}" for each in said], _price_table(evidence, pairs), premium_table(board))


def wrapped_pairs(board: Board) -> list[WrappedPair]:
    """Return each wrapper that ranks with the row of its bare base, where the suite has it."""
    bare: dict[tuple[str, tuple[tuple[str, str], ...], str], int] = {}
    wrappers: list[tuple[int, tuple[str, tuple[tuple[str, str], ...], str]]] = []
    for row, cell in _a_cell_each(board).items():
        params = dict(cell.params)
        inner = params.get("base")
        if isinstance(inner, str):
            found = parse(inner)
            wrappers.append((row, (found.name, tuple(sorted(found.params.items())), cell.backbone)))
        else:
            words = {name: _word(value) for name, value in params.items()}
            bare[cell.method, tuple(sorted(words.items())), cell.backbone] = row
    return [WrappedPair(row, bare[inner]) for row, inner in wrappers if inner in bare and row in board.ranked]


def _a_cell_each(board: Board) -> dict[int, Cell]:
    found: dict[int, Cell] = {}
    for entry in board.plan.entries:
        found.setdefault(entry.row, entry.cell)
    return found


def _word(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _named(board: Board, rows: Sequence[int]) -> str:
    shown = [f"`{board.label(row)}`" for row in rows[:MOST_NAMED]]
    more = [count(len(rows) - MOST_NAMED, "other")] if len(rows) > MOST_NAMED else []
    return enumerated([*shown, *more])


def _bests(evidence: Evidence) -> list[str]:
    """Return who may be best at which rate: rates with the same answer share a sentence."""
    board, answers = evidence.board, dict[str, list[float]]()
    for rate in board.rates:
        compared = evidence.overall(rate)
        if compared is None or len(compared.rows) < 2 or not compared.scope:
            continue
        top = best(compared)
        may = [at for at in np.flatnonzero(compared.possible_bests & compared.told).tolist() if at != top]
        may.sort(key=lambda at: -float(compared.mean[at]))
        first, *others = [compared.rows[at] for at in [top, *may]]
        untold = int(np.sum(~compared.told))
        said = f"{_named(board, [first])} has the highest average"
        if not compared.told[top]:
            said += f"; whether it is best cannot be told before {compared.seeds_needed} seeds"
        else:
            said += f"; {_named(board, others)} may be as good" if others else ", and is best"
            said += f" (of {count(untold, 'other')} it cannot be told with so few seeds)" if untold else ""
        answers.setdefault(said, []).append(rate)
    return [f"At {enumerated([percent(each) for each in rates])}, {said}." for said, rates in answers.items()]


def _breaks(evidence: Evidence) -> list[str]:
    """Return how many methods have surely broken down by which rate."""
    held = curves(evidence, list(evidence.board.datasets))
    if held is None:
        return []
    found = simultaneous_breakdowns(held)
    certain = [each.certain for each in found if each.certain is not None]
    label = evidence.board.label
    whole = [label(row) for row, each in zip(held.rows, found, strict=True) if each.observed is None]
    first = f"the first at {percent(min(certain))}" if certain else "none with certainty"
    names = enumerated([f"`{name}`" for name in whole[:MOST_NAMED]])
    rest = f"; never more than 2 points: {names}" if whole else ""
    broken = sum(each.observed is not None for each in found)
    return [
        f"{broken} of {count(len(found), 'method')} lose more than 2 points somewhere along the curve, "
        f"{first}{rest}."
    ]


def _differences(compared: Comparison, pair: WrappedPair) -> tuple[float, float, float] | None:
    """Return by how much a wrapper is better than its base, with the interval."""
    if pair.wrapper not in compared.rows or pair.base not in compared.rows:
        return None
    at = compared.rows.index(pair.wrapper), compared.rows.index(pair.base)
    return float(compared.difference[at]), float(compared.low[at]), float(compared.high[at])


def _bare_or_purified(evidence: Evidence, pairs: Sequence[WrappedPair]) -> list[str]:
    """Return whether the best method of the dirtiest sets is a bare one, or one inside a purifier."""
    rate = max(evidence.board.rates)
    compared = evidence.overall(rate)
    if compared is None:
        return []
    means = dict(zip(compared.rows, compared.mean.tolist(), strict=True))
    bare = {pair.base for pair in pairs} & set(means)
    purified = {pair.wrapper for pair in pairs} & set(means)
    if not bare or not purified:
        return []
    pair = WrappedPair(max(purified, key=lambda row: means[row]), max(bare, key=lambda row: means[row]))
    found = _differences(compared, pair)
    if found is None:
        return []
    label, reach = evidence.board.label, " (no interval: too few seeds)"
    if not np.isnan(found[1]):
        reach = f" ({signed_points(found[1])} to {signed_points(found[2])})"
    return [
        f"At {percent(rate)}, the best inside a purifier, `{label(pair.wrapper)}`, differs from the best "
        f"without one, `{label(pair.base)}`, by {signed_points(found[0])} points{reach}; these averages "
        "chose both."
    ]


def _purifying(evidence: Evidence, pairs: Sequence[WrappedPair]) -> list[str]:
    """Return for each wrapper at how many bases it costs on clean data, and helps on dirty data."""
    board, sentences = evidence.board, []
    names = list(dict.fromkeys(board.plan.rows[pair.wrapper].method for pair in pairs))
    for name in names:
        own = [pair for pair in pairs if board.plan.rows[pair.wrapper].method == name]
        parts = [_verdict(evidence, own, rate) for rate in (min(board.rates), max(board.rates))]
        if all(parts):
            sentences.append(f"`{name}`: {parts[0]}; {parts[1]}.")
    return sentences


def _verdict(evidence: Evidence, pairs: Sequence[WrappedPair], rate: float) -> str:
    compared = evidence.overall(rate)
    held = [] if compared is None else [found for pair in pairs if (found := _differences(compared, pair))]
    if not held or compared is None:
        return ""
    better, worse = sum(low > 0 for _, low, _ in held), sum(high < 0 for _, _, high in held)
    mean = float(np.mean([difference for difference, _, _ in held]))
    of = count(len(held), "base")
    open_ = len(held) - better - worse
    words = [f"{better} better" * bool(better), f"{worse} worse" * bool(worse), f"{open_} open" * bool(open_)]
    return f"at {percent(rate)} {signed_points(mean)} points over {of} ({', '.join(filter(None, words))})"


def _price_table(evidence: Evidence, pairs: Sequence[WrappedPair]) -> list[str]:
    """Return what each wrapper adds to its base at each rate, with intervals."""
    board = evidence.board
    columns: list[Filled] = []
    for rate in board.rates:
        compared = evidence.overall(rate)
        cells = []
        for pair in pairs:
            found = None if compared is None else _differences(compared, pair)
            low, high = (found[1], found[2]) if found else (np.nan, np.nan)
            interval = None if np.isnan(low) else (low, high)
            cells.append(TableCell() if found is None else TableCell(found[0], interval=interval))
        columns.append((TableColumn(percent(rate), "difference"), cells))
    if not pairs or not any(cell.value is not None for _, cells in columns for cell in cells):
        return []
    first = percent(min(board.rates))
    about = (
        f"**Purified minus bare**, in points, each wrapper against its own base; at {first} it is the "
        f"price of purifying what is clean. In brackets 95{NBSP}% intervals of the paired difference."
    )
    return blocks([about], table_lines(table_of([board.label(pair.wrapper) for pair in pairs], columns)))


# --- the overlap premium ------------------------------------------------------------------------------------


def premiums(board: Board, row: int, rate: float) -> tuple[float, tuple[float, float] | None] | None:
    """Return a method's AUROC less that on test anomalies that were not trained on, and its interval.

    The mean over data sets of the means over tasks; the interval is Student's over the draws (seeds), None
    for one draw. None where any cell does not have both.
    """
    by_seed: dict[int | None, list[list[float]]] = {}
    for columns in board.datasets.values():
        held: dict[int | None, list[float]] = {}
        for column in columns:
            group = board.group(row, column, rate)
            every, unseen = group.by_seed("auroc"), group.by_seed("auroc_unseen")
            if every is None or unseen is None or set(every) != set(unseen):
                return None
            for seed, value in every.items():
                held.setdefault(seed, []).append(value - unseen[seed])
        for seed, values in held.items():
            by_seed.setdefault(seed, []).append(values)
    means = [float(np.mean([np.mean(each) for each in values])) for values in by_seed.values()]
    if not means:
        return None
    middle, n = float(np.mean(means)), len(means)
    if n < 2:
        return middle, None
    reach = float(student.ppf(1 - ALPHA / 2, n - 1) * np.std(means, ddof=1) / n**0.5)
    return middle, (middle - reach, middle + reach)


def premium_table(board: Board) -> list[str]:
    """Return the overlap premium of each method at each rate; nothing where no anomaly is in both sets."""
    rows, lines = range(len(board.plan.rows)), []
    rates = [rate for rate in board.rates if any(premiums(board, row, rate) for row in rows)]
    for row in rows:
        cells = []
        for rate in rates:
            found = premiums(board, row, rate)
            if found is None:
                cells.append("")
                continue
            text = signed_points(found[0])
            cells.append(text if found[1] is None else f"{text} ({span_points(*found[1])})")
        if any(cells):
            lines.append([breakable(board.label(row)), *cells])
    if not lines:
        return []
    about = (
        "**Overlap premium**, in points: the AUROC on the whole test set less that of the same scores "
        "without the test anomalies that were trained on: how much of the number is memorised (below 0: they "
        f"are missed for having been trained on). In brackets 95{NBSP}% intervals over draws."
    )
    return blocks([about], grid(["Method", *map(percent, rates)], lines))


def _premium_said(board: Board) -> list[str]:
    rate = max(board.rates)
    found = [held for row in board.ranked if (held := premiums(board, row, rate))]
    if not found:
        return []
    values = [value for value, _ in found]
    return [
        f"At {percent(rate)}, test anomalies that were trained on change AUROC by "
        f"{signed_points(min(values))} to {signed_points(max(values))} points "
        f"(overlap premium of {count(len(values), 'method')}, mean "
        f"{signed_points(float(np.mean(values)))})."
    ]
