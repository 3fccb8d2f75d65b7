"""The section on significance: every pair, everyone against the best, and what the design could have seen."""

from __future__ import annotations

import numpy as np

from bench.report.board import Board
from bench.report.evidence.comparison import ALPHA, ENOUGH_FOR_INTERVAL, Standing, best
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.columns import TextColumn, clipped, dataset_name, label, pieces
from bench.report.markdown import (
    NBSP,
    NOTHING,
    blocks,
    count,
    escape,
    folded,
    points,
    probability,
    signed_points,
    table,
)
from bench.stats.bayes import ROPE, signed_rank_probabilities

#: With more methods the pairs are shown over all data sets alone.
MOST_PAIRED = 16

_MATRIX = (
    "Above the diagonal: the difference of the averages in points, row minus column; below it: its p value, "
    "adjusted by Holm for all pairs; **bold** where p ≤ 0.05. The columns are the rows' numbers."
)


def significance(evidence: Evidence, rate: float) -> list[str]:
    """Return what separates the methods overall at one rate; nothing for fewer than two complete methods."""
    standing = evidence.overall(rate)
    if standing is None or len(standing.rows) < 2:
        return []
    return blocks(
        _about(evidence, standing),
        _against_best(evidence, standing),
        _across(standing),
        _sight(standing),
        matrix(evidence.board, standing),
    )


def matrix(board: Board, standing: Standing | None) -> list[str]:
    """Return the pairwise matrix with its legend; nothing where nothing was tested."""
    if standing is None or not standing.scope:
        return []
    at = sorted(range(len(standing.rows)), key=lambda each: (-standing.mean[each], each))
    labels = [f"{place}. {label(board, standing.rows[each])}" for place, each in enumerate(at, 1)]
    columns: list[TextColumn] = []
    for place, column in enumerate(at):
        texts = []
        for other, row in enumerate(at):
            text = signed_points(standing.difference[row, column])
            text = probability(standing.adjusted[row, column]) if other > place else text
            bold = standing.adjusted[row, column] <= ALPHA
            texts.append("" if row == column else f"**{text}**" if bold else text)
        columns.append((f"{place + 1}", texts))
    return blocks([_MATRIX], pieces("Method", labels, columns))


def within(evidence: Evidence, dataset: str, rate: float) -> list[str]:
    """Return the pairwise matrix of one data set, folded: by its test images."""
    standing = evidence.within(dataset, rate)
    if standing is None or len(standing.rows) > MOST_PAIRED:
        return []
    return folded("Every pair on this data set", matrix(evidence.board, standing))


def headline(evidence: Evidence, rate: float) -> tuple[list[str], list[str]]:
    """Return what stands below the first table: what intervals and groups are, and how far they reach."""
    standing = evidence.overall(rate)
    if standing is None:
        return [], []
    n = count(standing.n, "independent data set")
    claims = []
    if standing.interval_scope == "data sets":
        claims.append(
            f"In brackets: 95{NBSP}% intervals over data sets like these (hierarchical bootstrap of the {n}, "
            "their tasks and seeds)."
        )
    elif standing.interval_scope == "images":
        claims.append(f"In brackets: 95{NBSP}% intervals over test images and seeds.")
    if standing.letters:
        test = (
            f"Wilcoxon's signed-rank test over the {n}"
            if standing.scope == "data sets"
            else "paired bootstrap of the test images"
        )
        claims.append(
            "Methods that share a *Group* letter are not significantly different in their average "
            f"({test}, Holm for {count(_pairs(standing), 'pair')})."
        )
    return claims, _reach(evidence, standing) if len(standing.rows) > 1 else []


def _reach(evidence: Evidence, standing: Standing) -> list[str]:
    """Return for what the groups hold, where it is not for data sets like these."""
    n = count(standing.n, "independent data set")
    if standing.scope == "images":
        what = "Intervals and groups" if standing.interval_scope == "images" else "Groups"
        these = "this data set" if len(evidence.board.datasets) == 1 else "these data sets"
        return [
            f"**{what} hold for {these} alone: {n} cannot show which method is better on others** (with "
            f"{count(len(standing.rows), 'method')} it takes at least {standing.needed})."
        ]
    if standing.scope:
        return []
    why = f"; on their images: {escape(standing.why)}" if standing.why else ""
    return [f"No groups: {n}, and a test over data sets takes at least {standing.needed}{why}."]


def _pairs(standing: Standing) -> int:
    return len(standing.rows) * (len(standing.rows) - 1) // 2


def _about(evidence: Evidence, standing: Standing) -> list[str]:
    """Return how many independent data sets stand behind the page, and what was tested on what."""
    board = evidence.board
    names = ", ".join(dataset_name(board, name) for name in board.datasets)
    together = len(board.datasets) - standing.n
    shared = f" ({together} more share their images with one of them)" if together else ""
    lines = [
        f"- {count(standing.n, 'independent data set')}: {names}{shared}. Tasks of one data set and seeds of "
        "one method are not independent and never count as more."
    ]
    if standing.scope == "data sets":
        lines.append(
            "- Tested: means over the tasks and seeds of each data set, by Wilcoxon's signed-rank test "
            f"(exact), with Holm's correction for {count(_pairs(standing), 'pair')}."
        )
        return lines
    lines.append(
        f"- **Not enough data sets** to say which method is better on data sets like these: for "
        f"{count(len(standing.rows), 'method')} ({count(_pairs(standing), 'pair')}, Holm) no outcome of the "
        f"signed-rank test could be significant with fewer than {standing.needed}."
    )
    lines.append(
        "- Tested instead, on these very data sets: the test images of each were resampled, one resample for "
        "all its tasks and all methods (bootstrap, within images of the same labels); the variance over "
        f"seeds is added; Student's t and Holm's correction for {count(_pairs(standing), 'pair')}."
        if standing.scope
        else f"- Nothing was tested on their images: {escape(standing.why)}."
    )
    return lines


def _against_best(evidence: Evidence, standing: Standing) -> list[str]:
    """Return everyone's difference from the best average, its interval, effect size and probabilities."""
    board, top = evidence.board, best(standing)
    at = sorted(range(len(standing.rows)), key=lambda each: (-standing.mean[each], each))
    head = ["Method", "Average"]
    head += ["95 % interval on these images"] if np.isfinite(standing.on_images).all() else []
    head += ["… over data sets like these"] if standing.n > 1 else []
    head += ["Behind the best", "95 % interval", "p (Holm)"] if standing.scope else ["Behind the best"]
    over = standing.across
    head += ["Effect size r"] if over is not None and standing.n >= ENOUGH_FOR_INTERVAL else []
    bayes = standing.n >= ENOUGH_FOR_INTERVAL
    head += ["P(better)", "P(equivalent)", "P(worse)"] if bayes else []
    rows = []
    for each in at:
        line = [label(board, standing.rows[each]), points(standing.mean[each])]
        line += [clipped(standing.on_images[each])] if np.isfinite(standing.on_images).all() else []
        line += [clipped(standing.over_datasets[each])] if standing.n > 1 else []
        same = each == top
        line.append(NOTHING if same else signed_points(standing.difference[each, top]))
        if standing.scope:
            interval = _interval(standing.low[each, top], standing.high[each, top])
            line += [NOTHING, NOTHING] if same else [interval, probability(standing.adjusted[each, top])]
        if over is not None and standing.n >= ENOUGH_FOR_INTERVAL:
            line.append(NOTHING if same else f"{over.effect[each, top]:+.2f}".replace("-", "−"))
        if bayes:
            line += _probabilities(standing, each, top)
        rows.append(line)
    return blocks(table(head, rows), _legend(standing, bayes=bayes))


def _legend(standing: Standing, *, bayes: bool) -> list[str]:
    words = [
        "The best average was picked by these same numbers: its lead is a little flattered",
        "the interval of a difference is that of a single comparison, without Holm's correction",
    ]
    if 1 < standing.n < ENOUGH_FOR_INTERVAL:
        words.append(
            f"the interval over data sets like these is Student's t of {standing.n}: so wide is what they "
            "leave open"
        )
    if standing.n >= ENOUGH_FOR_INTERVAL:
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


def _probabilities(standing: Standing, each: int, top: int) -> list[str]:
    if each == top or standing.across is None:
        return [NOTHING] * 3
    differences = standing.by_block[:, each] - standing.by_block[:, top]
    return [f"{value:.2f}" for value in signed_rank_probabilities(differences)]


def _across(standing: Standing) -> list[str]:
    """Return Friedman's test over data sets, where it could be significant."""
    over = standing.across
    if over is None or over.friedman is None:
        return []
    if standing.n < over.friedman_needs:
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


def _sight(standing: Standing) -> list[str]:
    if not np.isfinite(standing.smallest):
        return []
    return [
        f"**What this design could have seen:** between a typical pair a difference of "
        f"{points(standing.smallest)} points or more, with probability 80{NBSP}% (first step of Holm's "
        "correction). That a smaller one is not significant says little."
    ]


def _compared(p: float) -> str:
    text = probability(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _interval(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return "unbounded"
    return f"{signed_points(low)} to {signed_points(high)}"
