"""The section on significance: every pair, everyone against the best, and what the design could have seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, ENOUGH_FOR_INTERVAL, Comparison, best
from bench.report.evidence.evidence import Evidence
from bench.report.markdown import blocks, breakable, escape, folded, grid, table_lines
from bench.report.numbers import NBSP, NOTHING, count, points, probability, signed_points
from bench.report.table import Filled, TableCell, TableColumn, table_of
from bench.stats.bayes import ROPE, signed_rank_probabilities

#: With more methods the pairs are shown over all data sets alone.
MOST_PAIRED = 16
_POINTS = TableColumn("")

_MATRIX = (
    "Above the diagonal: the difference of the averages in points, row minus column; below it: its p value, "
    "adjusted by Holm for all pairs; **bold** where p ≤ 0.05. The columns are the rows' numbers."
)


def significance(evidence: Evidence, rate: float) -> list[str]:
    """Return what separates the methods overall at one rate; nothing for fewer than two complete methods."""
    compared = evidence.overall(rate)
    if compared is None or len(compared.rows) < 2:
        return []
    return blocks(
        _about(evidence, compared),
        _against_best(evidence, compared),
        _across(compared),
        _sight(compared),
        matrix(evidence.board, compared),
    )


def matrix(board: Board, compared: Comparison | None) -> list[str]:
    """Return the pairwise matrix with its legend; nothing where nothing was tested."""
    if compared is None or not compared.scope:
        return []
    at = sorted(range(len(compared.rows)), key=lambda each: (-compared.mean[each], each))
    labels = [board.label(compared.rows[each]) for each in at]
    filled: list[Filled] = []
    for place, column in enumerate(at):
        cells = []
        for other, row in enumerate(at):
            text = signed_points(compared.difference[row, column])
            text = probability(compared.adjusted[row, column]) if other > place else text
            bold = compared.adjusted[row, column] <= ALPHA
            cells.append(TableCell("" if row == column else text, mark="best" if bold else ""))
        filled.append((TableColumn(f"{place + 1}", "words"), cells))
    table = table_of(labels, filled)
    rows = tuple(replace(row, place=place) for place, row in enumerate(table.rows, 1))
    return blocks([_MATRIX], table_lines(replace(table, rows=rows)))


def within(evidence: Evidence, dataset: str, rate: float) -> list[str]:
    """Return the pairwise matrix of one data set, folded: by its test images."""
    compared = evidence.within(dataset, rate)
    if compared is None or len(compared.rows) > MOST_PAIRED:
        return []
    return folded("Every pair on this data set", matrix(evidence.board, compared))


def headline(evidence: Evidence, rate: float) -> tuple[list[str], list[str]]:
    """Return what stands below the first table: what intervals and groups are, and how far they reach."""
    compared = evidence.overall(rate)
    if compared is None:
        return [], []
    n = count(compared.n, "independent data set")
    claims = []
    if compared.interval_scope == "data sets":
        claims.append(
            f"In brackets: 95{NBSP}% intervals over data sets like these (hierarchical bootstrap of the {n}, "
            "their tasks and seeds)."
        )
    elif compared.interval_scope == "images":
        claims.append(f"In brackets: 95{NBSP}% intervals over test images and seeds.")
    if compared.letters:
        test = (
            f"Wilcoxon's signed-rank test over the {n}"
            if compared.scope == "data sets"
            else "paired bootstrap of the test images"
        )
        claims.append(
            "Methods that share a *Group* letter are not significantly different in their average "
            f"({test}, Holm for {count(_pairs(compared), 'pair')})."
        )
    return claims, _reach(evidence, compared) if len(compared.rows) > 1 else []


def _reach(evidence: Evidence, compared: Comparison) -> list[str]:
    """Return for what the groups hold, where it is not for data sets like these."""
    n = count(compared.n, "independent data set")
    if compared.scope == "images":
        what = "Intervals and groups" if compared.interval_scope == "images" else "Groups"
        these = "this data set" if len(evidence.board.datasets) == 1 else "these data sets"
        return [
            f"**{what} hold for {these} alone: {n} cannot show which method is better on others** (with "
            f"{count(len(compared.rows), 'method')} it takes at least {compared.needed})."
        ]
    if compared.scope:
        return []
    why = f"; on their images: {escape(compared.why)}" if compared.why else ""
    return [f"No groups: {n}, and a test over data sets takes at least {compared.needed}{why}."]


def _pairs(compared: Comparison) -> int:
    return len(compared.rows) * (len(compared.rows) - 1) // 2


def _about(evidence: Evidence, compared: Comparison) -> list[str]:
    """Return how many independent data sets stand behind the page, and what was tested on what."""
    board = evidence.board
    names = ", ".join(escape(board.dataset_title(name)) for name in board.datasets)
    together = len(board.datasets) - compared.n
    shared = f" ({together} more share their images with one of them)" if together else ""
    lines = [
        f"- {count(compared.n, 'independent data set')}: {names}{shared}. Tasks of one data set and seeds of "
        "one method are not independent and never count as more."
    ]
    if compared.scope == "data sets":
        lines.append(
            "- Tested: means over the tasks and seeds of each data set, by Wilcoxon's signed-rank test "
            f"(exact), with Holm's correction for {count(_pairs(compared), 'pair')}."
        )
        return lines
    lines.append(
        f"- **Not enough data sets** to say which method is better on data sets like these: for "
        f"{count(len(compared.rows), 'method')} ({count(_pairs(compared), 'pair')}, Holm) no outcome of the "
        f"signed-rank test could be significant with fewer than {compared.needed}."
    )
    lines.append(
        "- Tested instead, on these very data sets: the test images of each were resampled, one resample for "
        "all its tasks and all methods (bootstrap, within images of the same labels); the variance over "
        f"seeds is added; Student's t and Holm's correction for {count(_pairs(compared), 'pair')}."
        if compared.scope
        else f"- Nothing was tested on their images: {escape(compared.why)}."
    )
    return lines


def _against_best(evidence: Evidence, compared: Comparison) -> list[str]:
    """Return everyone's difference from the best average, its interval, effect size and probabilities."""
    board, top = evidence.board, best(compared)
    at = sorted(range(len(compared.rows)), key=lambda each: (-compared.mean[each], each))
    head = ["Method", "Average"]
    head += ["95 % interval on these images"] if np.isfinite(compared.on_images).all() else []
    head += ["… over data sets like these"] if compared.n > 1 else []
    head += ["Behind the best", "95 % interval", "p (Holm)"] if compared.scope else ["Behind the best"]
    over = compared.across
    head += ["Effect size r"] if over is not None and compared.n >= ENOUGH_FOR_INTERVAL else []
    bayes = compared.n >= ENOUGH_FOR_INTERVAL
    head += ["P(better)", "P(equivalent)", "P(worse)"] if bayes else []
    rows = []
    for each in at:
        line = [breakable(board.label(compared.rows[each])), points(compared.mean[each])]
        line += (
            [_POINTS.interval_text(compared.on_images[each])] if np.isfinite(compared.on_images).all() else []
        )
        line += [_POINTS.interval_text(compared.over_datasets[each])] if compared.n > 1 else []
        same = each == top
        line.append(NOTHING if same else signed_points(compared.difference[each, top]))
        if compared.scope:
            interval = _interval(compared.low[each, top], compared.high[each, top])
            line += [NOTHING, NOTHING] if same else [interval, probability(compared.adjusted[each, top])]
        if over is not None and compared.n >= ENOUGH_FOR_INTERVAL:
            line.append(NOTHING if same else f"{over.effect[each, top]:+.2f}".replace("-", "−"))
        if bayes:
            line += _probabilities(compared, each, top)
        rows.append(line)
    return blocks(grid(head, rows), _legend(compared, bayes=bayes))


def _legend(compared: Comparison, *, bayes: bool) -> list[str]:
    words = [
        "The best average was picked by these same numbers: its lead is a little flattered",
        "the interval of a difference is that of a single comparison, without Holm's correction",
    ]
    if 1 < compared.n < ENOUGH_FOR_INTERVAL:
        words.append(
            f"the interval over data sets like these is Student's t of {compared.n}: so wide is what they "
            "leave open"
        )
    if compared.n >= ENOUGH_FOR_INTERVAL:
        words.append(
            "*r* is the matched-pairs rank-biserial correlation over data sets (−1: behind on all of them)"
        )
    if bayes:
        words.append(
            f"*P* are probabilities that a method is better than the best average, equivalent (within "
            f"± {100 * ROPE:g} points) or worse on data sets like these (Bayesian signed-rank test)"
        )
    else:
        words.append(
            "probabilities of being better, equivalent or worse on other data sets need "
            f"{ENOUGH_FOR_INTERVAL} of them"
        )
    return [f"{'; '.join(words)}."]


def _probabilities(compared: Comparison, each: int, top: int) -> list[str]:
    if each == top or compared.across is None:
        return [NOTHING] * 3
    differences = compared.by_block[:, each] - compared.by_block[:, top]
    return [f"{value:.2f}" for value in signed_rank_probabilities(differences)]


def _across(compared: Comparison) -> list[str]:
    """Return Friedman's test over data sets, where it could be significant."""
    over = compared.across
    if over is None or over.friedman is None:
        return []
    if compared.n < over.friedman_needs:
        return [f"Friedman's test of all methods: not enough data sets ({over.friedman_needs} needed)."]
    found = over.friedman
    text = (
        f"Friedman's test that all methods are alike over the {count(found.n, 'data set')} (Iman and "
        f"Davenport): F = {found.f:.3g}, p {_compared(found.p)}"
    )
    if over.critical_difference is not None:
        text += (
            f"; Nemenyi's critical difference of mean ranks over data sets is {over.critical_difference:.2f}"
        )
    return [f"{text}."]


def _sight(compared: Comparison) -> list[str]:
    if not np.isfinite(compared.smallest):
        return []
    return [
        f"**What this design could have seen:** between a typical pair a difference of "
        f"{points(compared.smallest)} points or more, with probability 80{NBSP}% (first step of Holm's "
        "correction). That a smaller one is not significant says little."
    ]


def _compared(p: float) -> str:
    text = probability(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _interval(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return "unbounded"
    return f"{signed_points(low)} to {signed_points(high)}"
