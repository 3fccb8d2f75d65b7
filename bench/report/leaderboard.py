"""The leaderboard: the report on a suite, as Markdown that reads well on GitHub as it stands.

It is made from the plan and the records alone. A short table stands on top, the rest is folded; each section
is a function from the `bench.report.board.Board` to lines, and `leaderboard` is the list of them. For the
same plan and records the text is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from bench.cell import Record
from bench.plan import Plan
from bench.report import conditions, holes, provenance, purification, tables
from bench.report.beside import published_beside_ours
from bench.report.board import Board
from bench.report.columns import order, rate_name
from bench.report.markdown import NOTHING, blocks, count, escape, folded, percent, points
from bench.report.pictures import Picture, shown
from bench.report.publishedrow import Published


def leaderboard(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    published: tuple[Published, ...] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """Return the leaderboard of a suite.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key. Cells of the plan without a record show as missing; records of other cells are left out.
    published : tuple of Published
        Those that belong to a row of the suite are shown beside its numbers.
    pictures : sequence of Picture
        Files that the page links, as `bench.report.pictures.standard` makes them.

    Returns
    -------
    str
        Markdown, with a newline at the end.
    """
    board = Board(plan, records)
    parts = [_head(board), _problems(plan), [f"- {escape(note)}." for note in plan.notes]]
    if plan.rows and plan.columns:
        beside = published_beside_ours(board, published)
        parts += [*_results(board), *_holes(board), beside, shown(pictures), *_folded(board)]
    parts.append(folded("<b>How to reproduce</b>", provenance.reproduce(board)))
    return "\n".join(blocks(*parts)) + "\n"


def summary_table(plan: Plan, records: Mapping[str, Record], *, limit: int = 10) -> str:
    """Return a short plain-text leaderboard for a terminal.

    Parameters
    ----------
    plan, records
        As for `leaderboard`.
    limit : int
        The most methods to show.

    Returns
    -------
    str
        Without a newline at the end: mean AUROC over data sets (in points) at each contamination rate, and
        the mean rank over all tasks and rates, best first.
    """
    board = Board(plan, records)
    every = list(board.datasets.values())
    ranks = board.mean_ranks(board.columns, board.rates)
    others = [row for rows in board.unranked.values() for row in rows]
    shown = [*order(board, board.columns, board.rates), *others]
    lines = []
    for row in shown[:limit]:
        means = [board.summary(row, every, rate).mean for rate in board.rates]
        averages = [NOTHING if value is None else points(value) for value in means]
        rank = f"{ranks[row]:.2f}" if row in ranks else NOTHING if row in board.ranked else "not ranked"
        lines.append([plan.rows[row].label, *averages, rank])
    heads = ["AUROC" if not rate else f"AUROC at {percent(rate)}" for rate in board.rates]
    text: str = tabulate(
        lines,
        headers=["Method", *heads, "Mean rank"],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left", *["right"] * (len(heads) + 1)] if lines else None,
    )
    more = [f"… and {count(len(shown) - limit, 'other')}"] if len(shown) > limit else []
    return "\n".join([text, *more])


def _head(board: Board) -> list[str]:
    plan = board.plan
    description = [escape(line) for line in plan.description.strip().splitlines()]
    synthetic = sorted({column.dataset for column in plan.columns if column.synthetic})
    note = []
    if synthetic:
        note = [
            f"Data sets marked *synthetic* ({escape(', '.join(synthetic))}) are generated, not photographed."
        ]
    return blocks([f"# {escape(plan.title)}"], description, [f"**{_state(board)}**"], note)


def _state(board: Board) -> str:
    cells, failed, missing = board.cells()
    if not cells:
        return "The plan has no cells."
    holes = [f"{number:,} {what}" for number, what in ((failed, "failed"), (missing, "missing")) if number]
    return (
        f"{cells - failed - missing:,} of {count(cells, 'cell')}{'; ' + ', '.join(holes) if holes else ''}."
    )


def _problems(plan: Plan) -> list[str]:
    if not plan.problems:
        return []
    return blocks(
        ["**Problems: these could not be used**"], [f"- {escape(problem)}" for problem in plan.problems]
    )


def _results(board: Board) -> list[list[str]]:
    first, *others = board.rates
    heading = f"## Overall{f': {rate_name(first)}' if others else ''}"
    contamination = (
        [] if not others else blocks(["## Under contamination"], [_BY_RATE], tables.by_rate(board))
    )
    rest = tables.at_each(others, lambda rate: tables.overall(board, rate)) if others else []
    only = f", {rate_name(others[0])}" if len(others) == 1 else " at the other rates"
    more = folded(f"<b>Overall</b>{only}", rest)
    return [[heading], tables.overall(board, first), _legend(board), contamination, more]


_BY_RATE = (
    "Mean AUROC over data sets at each contamination rate; mean rank over all tasks at all rates; "
    "drop = AUROC lost from the lowest rate to the highest, in points."
)


def _legend(board: Board) -> list[str]:
    """Return how to read the tables: one line, and the rest folded."""
    several = len(board.ranked) > 1
    short = ["Mean AUROC in points (× 100), higher is better"]
    words = ["AUROC is averaged over seeds, then over the tasks of a data set"]
    if len(board.datasets) > 1:
        words[0] += "; *Average* is the mean over data sets, each with the same weight"
    if several:
        short.append("best in bold, `=` marks equal ones at the precision shown")
        words.append(
            "*Mean rank*: within each task the complete methods are ranked by unrounded AUROC (1 = best, "
            "equal ones share the mean of their ranks); shown is the mean over "
            f"{count(len(board.columns), 'task')}. Tables are sorted by it"
        )
    words.append(
        "A method with failed or missing cells has no average and no rank, and stands below the others"
    )
    spread = _spread(board)
    if spread:
        short.append("± is a standard deviation over seeds")
        words.append(spread)
    words.append(
        "*Marginal s* and *Cold s* are mean seconds per cell: fit + score, without and with the extraction "
        "of the features used"
    )
    return blocks(
        ["; ".join(short) + "."], folded("How to read the tables", [f"- {word}." for word in words])
    )


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


def _holes(board: Board) -> list[list[str]]:
    return [holes.failed_cells(board), holes.missing_cells(board), holes.flags(board)]


def _folded(board: Board) -> list[list[str]]:
    others = tables.at_each(board.rates, lambda rate: tables.other_metrics(board, rate))
    return [
        tables.tables_by_task(board),
        folded("<b>Other metrics</b>", others),
        folded("<b>Purification of the training images</b>", purification.purification(board)),
        folded("<b>Methods</b>", provenance.methods(board)),
        folded("<b>Data and contamination</b>", conditions.contamination(board)),
        folded("<b>Timing and memory</b>", conditions.timing(board)),
        folded("<b>What ran where</b>", provenance.environments(board)),
    ]
