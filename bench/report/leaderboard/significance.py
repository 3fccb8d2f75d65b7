"""The section on significance: every pair, everyone against the best, and what the design could have seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, ENOUGH_FOR_INTERVAL, Comparison, best
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.claims import pairs_told, seeds_told
from bench.report.markdown import blocks, breakable, escape, folded, grid, table_lines
from bench.report.numbers import NBSP, NOTHING, count, points, probability, signed_points
from bench.report.table import Filled, TableCell, TableColumn, table_of
from bench.stats import Floats
from bench.stats.bayes import signed_rank_probabilities
from bench.stats.friedman import critical_difference, data_sets_needed

#: With more methods the pairs are shown over all data sets alone.
MOST_PAIRED = 16


_POINTS = TableColumn("")

_MATRIX = (
    "Above the diagonal: the difference of the averages in points, row minus column; below it: its p value, "
    "adjusted by Holm for all pairs; **bold** where p ≤ 0.05, `≡` where the two are equivalent (within "
    "± {rope} points). The columns are the rows' numbers."
)


def significance(evidence: Evidence, rate: float) -> list[str]:
    """Return what separates the methods overall at one rate; nothing for fewer than two complete methods."""
    compared = evidence.overall(rate)
    if compared is None or len(compared.rows) < 2:
        return []
    return blocks(
        _about(evidence, compared, rate),
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
            text = f"{text} ≡" if compared.equivalent[row, column] and other > place else text
            bold = compared.adjusted[row, column] <= ALPHA
            cells.append(TableCell("" if row == column else text, mark="best" if bold else ""))
        filled.append((TableColumn(f"{place + 1}", "words"), cells))
    table = table_of(labels, filled)
    rows = tuple(replace(row, place=place) for place, row in enumerate(table.rows, 1))
    return blocks([_MATRIX.format(rope=f"{100 * compared.rope:g}")], table_lines(replace(table, rows=rows)))


def within(evidence: Evidence, dataset: str, rate: float) -> list[str]:
    """Return the pairwise matrix of one data set, folded: by its test images."""
    compared = evidence.within(dataset, rate)
    if compared is None or len(compared.rows) > MOST_PAIRED:
        return []
    return folded("Every pair on this data set", matrix(evidence.board, compared))


def _about(evidence: Evidence, compared: Comparison, rate: float) -> list[str]:
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
            "- Tested: the mean difference over data sets, by the paired t test of the means over tasks and "
            "seeds (no p value below 2 / 2ⁿ, the least of an exact test of signs), with Holm's correction "
            f"for {count(pairs_told(compared), 'pair')}."
        )
        return lines
    lines.append(
        f"- **Not enough data sets** to say which method is better on data sets like these: for "
        f"{count(len(compared.rows), 'method')} (Holm) no difference is claimed with fewer than "
        f"{compared.needed}."
    )
    lines.append(
        "- Tested instead, on these very data sets: the difference of the averages, by Student's t with its "
        "variance over the test images (DeLong; an image counts once for all tasks that share it)"
        f"{_seeds(evidence, compared, rate)}, and Holm's correction for "
        f"{count(pairs_told(compared), 'pair')}."
        if compared.scope
        else f"- Nothing was tested on their images: {escape(compared.why)}."
    )
    return lines


def _seeds(evidence: Evidence, compared: Comparison, rate: float) -> str:
    """Return what was done about seeds."""
    seeds, tasks = seeds_told(evidence, compared, rate), len(evidence.board.columns)
    if seeds < 2:
        return ""
    where = "the task" if tasks == 1 else f"each of {count(tasks, 'task')}"
    return (
        f" and over seeds (estimated within {where} from {seeds} seeds: "
        f"at most {count(tasks * (seeds - 1), 'degree')} of freedom)"
    )


def _against_best(evidence: Evidence, compared: Comparison) -> list[str]:
    """Return everyone's difference from the best average, its interval, and what it amounts to."""
    board, top = evidence.board, best(compared)
    at = sorted(range(len(compared.rows)), key=lambda each: (-compared.mean[each], each))
    images = bool(np.isfinite(compared.on_images).any())
    over = compared.n >= ENOUGH_FOR_INTERVAL and bool(np.isfinite(compared.over_datasets).all())
    head = ["Method", "Average"]
    head += ["95 % interval on these images"] if images else []
    head += ["… over data sets like these"] if over else []
    head += (
        ["Behind the best", "95 % interval", "p (Holm)", "Verdict"] if compared.scope else ["Behind the best"]
    )
    head += ["Ahead on"] if compared.n > 1 else []
    head += ["P(better)", "P(equivalent)", "P(worse)"] if over else []
    rows = []
    for each in at:
        line = [breakable(board.label(compared.rows[each])), points(compared.mean[each])]
        line += [_interval_text(compared.on_images[each])] if images else []
        line += [_interval_text(compared.over_datasets[each])] if over else []
        same = each == top
        line.append(NOTHING if same else signed_points(compared.difference[each, top]))
        if compared.scope:
            interval = _interval(compared.low[each, top], compared.high[each, top])
            p = probability(compared.adjusted[each, top])
            line += [NOTHING] * 3 if same else [interval, p, verdict(compared, each, top)]
        if compared.n > 1:
            ahead = int((compared.by_block[:, each] > compared.by_block[:, top]).sum())
            line.append(NOTHING if same else f"{ahead} of {compared.n}")
        if over:
            line += _probabilities(compared, each, top)
        rows.append(line)
    return blocks(grid(head, rows), _legend(compared, bayes=over))


def verdict(compared: Comparison, first: int, second: int) -> str:
    """Return what is known of a difference: ``equivalent``, ``different`` or ``cannot be told``."""
    if compared.equivalent[first, second]:
        return "equivalent"
    return "different" if compared.adjusted[first, second] <= ALPHA else "cannot be told"


def _legend(compared: Comparison, *, bayes: bool) -> list[str]:
    rope = f"{100 * compared.rope:g} points"
    words = []
    if compared.scope:
        words += [
            "the best average was picked by these same numbers: its lead is a little flattered, and `≈` "
            "above marks all that may be the best",
            "the interval of a difference is that of a single comparison, without Holm's correction",
            f"*Verdict*: *equivalent* where the difference is less than ± {rope} (two one-sided tests, "
            "Holm), *different* where p ≤ 0.05",
        ]
    if bayes:
        words.append(
            f"*P* are probabilities that a method is better than the best average, equivalent (within "
            f"± {rope}) or worse on data sets like these (Bayesian signed-rank test)"
        )
    else:
        words.append(
            "intervals over data sets like these, and probabilities of being better, equivalent or worse on "
            f"others, need {ENOUGH_FOR_INTERVAL} of them"
        )
    text = "; ".join(words)
    return [f"{text[0].upper()}{text[1:]}."]


def _probabilities(compared: Comparison, each: int, top: int) -> list[str]:
    if each == top:
        return [NOTHING] * 3
    differences = compared.by_block[:, each] - compared.by_block[:, top]
    return [f"{value:.2f}" for value in signed_rank_probabilities(differences, rope=compared.rope)]


def _across(compared: Comparison) -> list[str]:
    """Return Friedman's test over data sets, where it could be significant."""
    found = compared.friedman
    if found is None:
        return []
    needed = data_sets_needed(found.k)
    if compared.n < needed:
        return [f"Friedman's test of all methods: not enough data sets ({needed} needed)."]
    text = (
        f"Friedman's test that all methods have the same ranks over the {count(found.n, 'data set')} (Iman "
        f"and Davenport): F = {found.f:.3g}, p {_compared(found.p)}"
    )
    if found.p <= ALPHA:
        critical = critical_difference(found.n, found.k, alpha=ALPHA)
        text += f"; Nemenyi's critical difference of mean ranks over data sets is {critical:.2f}"
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


def _interval_text(interval: Floats) -> str:
    return (
        NOTHING if np.isnan(interval[0]) else _POINTS.interval_text((float(interval[0]), float(interval[1])))
    )


def _interval(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return NOTHING
    return f"{signed_points(low)} to {signed_points(high)}"
