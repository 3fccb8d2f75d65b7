"""The section on decision thresholds from normal images: what was aimed at, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.report.board import Board
from bench.report.csv import as_text, csv_text
from bench.report.evidence.decisions import (
    RATES,
    Judged,
    Scored,
    aimed_at,
    always,
    calibrated_cells,
    decision_rows,
    judged,
    realised,
    rules_of,
)
from bench.report.evidence.evidence import Evidence
from bench.report.export import place_fields
from bench.report.leaderboard.pixelthresholds import pixel_threshold_table
from bench.report.markdown import blocks, breakable, folded, grid
from bench.report.numbers import NBSP, count, percent, points, probability
from bench.stats.falsealarms import alarm_band, combined_p, exact_interval, excess_p

_HEAD = ["False alarms", "95 % interval", "Recall", "F1", "95 % interval", "Regret", "95 % interval"]
#: The rule of the first table.
RULE = "conformal"


def thresholds(evidence: Evidence, rate: float) -> list[str]:
    """Return the tables of one contamination rate; nothing where no method has calibration scores."""
    held = _cells(evidence, rate)
    if not held:
        return []
    board, target = evidence.board, aimed_at(evidence.board.plan)
    first = [
        [breakable(board.label(row)), *_line(judged(cells, RULE, target))] for row, cells in held.items()
    ]
    every = [
        [breakable(board.label(row)) if rule == RULE else "", rule, *_line(found), *_more(found, cells)]
        for row, cells in held.items()
        for rule in (RULE, *(name for name in rules_of(cells) if name != RULE))
        for found in (judged(cells, rule, target),)
    ]
    return blocks(
        grid(["Method", *_HEAD], first),
        [_words(next(iter(held.values())), target, rate)],
        folded(
            "Every rule",
            blocks(grid(["Method", "Rule", *_HEAD, "F1 at 10 %", "F1 at 1 %", "Instead"], every), [_RULES]),
        ),
        folded("Realised against nominal", _realised(board, held)),
        folded("Pixel thresholds", pixel_threshold_table(evidence, rate)),
    )


def thresholds_csv(board: Board, archive: Archive | None) -> str:
    """Return a line for each cell and rule, with the threshold and its decisions; empty without any."""
    if archive is None:
        return ""
    entries = {entry.cell.key: entry for entry in board.plan.entries}
    lines = []
    names: tuple[str, ...] = ()
    for key, line in decision_rows(board, archive):
        names = ("suite", "dataset", "task", "method", "params", "backbone", "contamination", "seed", *line)
        values = (value if isinstance(value, str) else repr(value) for value in line.values())
        lines.append((*place_fields(board.plan, entries[key]), *values))
    return csv_text(names, (tuple(map(as_text, line)) for line in lines)) if lines else ""


def _cells(evidence: Evidence, rate: float) -> dict[int, list[Scored]]:
    """Return the cells of the rows with calibration scores, in the board's order."""
    board, archive = evidence.board, evidence.archive
    if archive is None:
        return {}
    found = {}
    others = [row for rows in board.unranked.values() for row in rows]
    for row in [*board.order(board.columns, [rate]), *others]:
        try:
            cells = calibrated_cells(board, archive, row, rate)
        except ArchiveError:
            continue
        if cells:
            found[row] = cells
    return found


def _line(found: Judged) -> list[str]:
    low, high = exact_interval(found.alarms, found.good)
    return [
        f"{points(found.alarms / found.good if found.good else 0.0)}{NBSP}%",
        _span((low, high)),
        points(found.recall),
        points(found.f1),
        _span(found.f1_interval),
        points(found.regret),
        _span(found.regret_interval),
    ]


def _more(found: Judged, cells: Sequence[Scored]) -> list[str]:
    tasks = len({cell.column for cell in cells})
    instead = f"on {found.fallbacks} of {tasks}" if found.fallbacks else ""
    return [*(points(value) for value in found.f1_at), instead]


def _span(interval: tuple[float, float]) -> str:
    return f"{points(interval[0])}{NBSP}to{NBSP}{points(interval[1])}"


def _words(cells: Sequence[Scored], target: float, rate: float) -> str:
    smallest = min(len(cell.calibration) for cell in cells)
    largest = max(len(cell.calibration) for cell in cells)
    sizes = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    images = f"training images ({percent(rate)} anomalous)" if rate else "normal training images"
    return (
        f"From scores of {sizes} {images} a task that the scoring method was not fitted on, "
        f"aimed at {percent(target)} false alarms by the conformal rule; no test image was asked. False "
        f"alarms are pooled over {count(len({cell.column for cell in cells}), 'task')} (interval: Clopper "
        "and Pearson), the rest are means over tasks (bootstrap over test images). Regret: F1 lost to the "
        "best threshold on the same test scores. Calling every image anomalous has F1 "
        f"{points(always(cells))}."
    )


_RULES = (
    "*conformal*: the ceil((n+1)(1-a))-th lowest score, a mean rate of at most a for exchangeable images; "
    "*95 % sure*: at most a with that confidence; *quantile*: interpolated, too low; *mean + 3 sd*, "
    "*median + 3 MAD* and *max* aim at no rate; *Pareto tail*: extrapolated, no guarantee; *cross-"
    "conformal*: each test image against each fold's scores by the method that saw neither, which no single "
    "threshold does, hardly more than 2a for exchangeable images and near a in practice; *oracle*: the best "
    "F1 on the test set. *Instead*: with too few scores another rule takes its place (the highest "
    "score, or conformal). *F1 at 10 %, 1 %*: if so many images were anomalous."
)


def _realised(board: Board, held: Mapping[int, Sequence[Scored]]) -> list[str]:
    """Return the pooled rates of the conformal rule at several aims, their bands, and a test of validity."""
    lines, bands = [], ""
    for row, cells in held.items():
        line = [breakable(board.label(row))]
        for rate in RATES:
            cases = realised(cells, rate)
            good = sum(case.good for case in cases)
            low, high = alarm_band(cases)
            share = sum(case.alarms for case in cases) / good if good else 0.0
            outside = "" if low <= share <= high else "!"
            line.append(f"{points(share)}{outside} ({points(low)}–{points(high)})")
        p = combined_p([excess_p(case) for case in realised(cells, aimed_at(board.plan))])
        lines.append([*line, probability(p)])
    head = ["Method", *(f"{percent(rate)}" for rate in RATES), "p"]
    bands = (
        "Pooled false alarms in % of the conformal rule at each aim, and in brackets the 95 % band that "
        "exchangeable images would keep to (beta-binomial, exact); `!` lies outside. *p*: more alarms than "
        "promised (mid-p of each task, Fisher): small where test images differ from training images. Of the "
        "first seed; tasks are taken as independent, which those of one-vs-rest are not."
    )
    return blocks(grid(head, lines), [bands])
