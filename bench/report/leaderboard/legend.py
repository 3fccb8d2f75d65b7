"""How to read the tables: a few lines below the first, and the rest folded."""

from __future__ import annotations

from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.claims import headline
from bench.report.markdown import blocks, folded
from bench.report.numbers import count
from bench.stats.seeds import TASKS_THAT_HELP


def legend(evidence: Evidence, rate: float) -> list[str]:
    """Return how to read the tables: a few lines, and the rest folded."""
    several = len(evidence.board.ranked) > 1
    short = ["Mean AUROC in points (× 100), higher is better"]
    short += ["best in bold, `=` marks equal ones at the precision shown"] if several else []
    short += ["± is a standard deviation over seeds"] if _spread(evidence.board) else []
    claims, reach = headline(evidence, rate)
    return blocks(
        [" ".join(["; ".join(short) + ".", *claims])],
        [" ".join([*reach, *_supervision(evidence.board)])],
        folded("How to read the tables", [f"- {word}." for word in _reading(evidence)]),
    )


def _reading(evidence: Evidence) -> list[str]:
    board = evidence.board
    words = ["AUROC is averaged over seeds, then over the tasks of a data set"]
    if len(board.datasets) > 1:
        words[0] += "; *Average* is the mean over data sets, each with the same weight"
    if len(board.ranked) > 1:
        words.append(
            "Tables are sorted by the average. *Mean rank*: within each task the complete methods are ranked "
            "by unrounded AUROC (1 = best, equal ones share the mean of their ranks); shown is the mean over "
            f"{count(len(board.columns), 'task')}"
        )
        words[-1] += ", each data set with the same weight" if len(board.datasets) > 1 else ""
    if len(board.ranked) > 1 and evidence.images:
        words.append(
            "By task, brackets are 95 % intervals on the logit scale: DeLong's variance over test images"
            f"{_by_task_seeds(evidence)}; `≈` marks what may be the best, as no method is significantly "
            "better (all pairs, Holm), and `?` what cannot be told: too few seeds, or one image of a class"
        )
    words.append(
        "A method with failed or missing cells has no average and no rank, and stands in a table of its own; "
        "so does every setting but one-class"
    )
    if spread := _spread(board):
        words.append(spread)
    words.append(
        "*Warm s* and *Cold s* are mean seconds per cell: fit + score, without and with the extraction "
        "of the features used"
    )
    return words


def _by_task_seeds(evidence: Evidence) -> str:
    """Return what the intervals by task have of seeds."""
    board = evidence.board
    seeds = max(len(evidence.seeds_of(board.ranked, rate)) for rate in board.rates)
    if seeds < 2:
        return ""
    if max(map(len, board.datasets.values())) < TASKS_THAT_HELP:
        return " and the variance over the task's seeds"
    return (
        " and the variance over seeds (the task's own, drawn towards those of the method's other tasks on "
        f"the data set where these are {TASKS_THAT_HELP} or more)"
    )


def _supervision(board: Board) -> list[str]:
    """Return setting and selection of what ranks; the selection is a column where it differs."""
    rules = {board.plan.rows[row].selection for row in board.ranked}
    if not rules:
        return []
    rule = f"selection `{rules.pop()}`" if len(rules) == 1 else "selection as shown"
    return [f"Ranked: setting `one-class`, {rule}."]


def _spread(board: Board) -> str:
    """Return what ± is, if there is any: over the methods' seeds, the contamination's draws, or both."""
    plan, groups = board.plan, [group for *_, group in board.groups() if group.mean("auroc") is not None]
    methods = any(len({cell.seed for cell in group.cells}) > 1 for group in groups)
    draws = any(len({cell.contamination.seed for cell in group.cells}) > 1 for group in groups)
    if not methods and not draws:
        return ""
    sources = (("the methods' own seeds", methods), ("the draws of anomalies", draws))
    over = [source for source, there in sources if there]
    seeds = ", ".join(str(seed) for seed in plan.seeds)
    return (
        f"± is the standard deviation (n − 1) over {' and '.join(over)} (seeds {seeds}) of the mean shown; "
        "it is no interval of confidence. What does not depend on a seed has none"
    )
