"""The leaderboard: the report on a suite, as Markdown that reads well on GitHub as it stands.

It is made from the plan, the records and their scores alone. A short table stands on top, the rest is
folded; each section is a function from a `Board`, or from its `Evidence`, to lines, and `leaderboard` is the
list of them. For the same plan and records the text is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.core.cell import Record
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.figures.kinds import LeaderboardFigure, shown
from bench.report.hints import flipped
from bench.report.leaderboard import conditions, findings, provenance, robustness, significance, tables
from bench.report.leaderboard.anomalytypes import by_type
from bench.report.leaderboard.legend import legend
from bench.report.leaderboard.localisation import pixel_tables
from bench.report.leaderboard.thresholds import thresholds
from bench.report.leaderboard.unified import unified
from bench.report.markdown import blocks, escape, folded, grid
from bench.report.numbers import NOTHING, count, percent, points, rate_name
from bench.report.published.row import Published
from bench.report.published.text import published_beside_ours

#: With more methods × tasks × rates the tables by task stop at the first rate: GitHub shows half a megabyte.
MOST_VALUES = 4000
_ELSEWHERE = "the other rates are in the CSV beside this page, and `anobench table` prints them."


_BY_RATE = (
    "Mean AUROC over data sets at each contamination rate; mean rank over all tasks at all rates; "
    "drop = AUROC lost from the lowest rate to the highest, in points."
)


def leaderboard(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    published: tuple[Published, ...] = (),
    evidence: Evidence | None = None,
    figures: Sequence[LeaderboardFigure] = (),
) -> str:
    """Return the leaderboard of a suite.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key. Cells of the plan without a record show as missing; records of other cells are left out.
    published : tuple of Published
        Those that belong to a row of the suite are shown beside its numbers.
    evidence : Evidence, optional
        Of the same plan and records, with the archive that holds their scores. Without it the page has no
        intervals from test images, and tests over data sets alone.
    figures : sequence of LeaderboardFigure
        Files that the page links, as `bench.report.figures.kinds.standard` makes them.

    Returns
    -------
    str
        Markdown, with a newline at the end.
    """
    evidence = evidence or Evidence(Board(plan, records))
    board = evidence.board
    notes = [f"- {escape(note)}." for note in plan.notes]
    notes += [f"- **{escape(hint)}**" for hint in flipped(board)]
    parts = [_head(board), _problems(plan), conditions.mixed(board), notes]
    if plan.rows and plan.columns:
        beside = published_beside_ours(board, published)
        parts += [*_finished(evidence, records), *_results(evidence), *_holes(board), beside, shown(figures)]
        parts += _folded(evidence)
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
    whole = Board(plan, records)
    part = finished_part(whole)
    board = Board(part, records) if part else whole
    every = list(board.datasets.values())
    ranks = board.mean_ranks(board.columns, board.rates)
    others = [row for rows in board.unranked.values() for row in rows]
    shown = [*board.order(board.columns, board.rates), *others]
    lines = []
    for row in shown[:limit]:
        means = [board.summary(row, every, rate).mean for rate in board.rates]
        averages = [NOTHING if value is None else points(value) for value in means]
        rank = f"{ranks[row]:.2f}" if row in ranks else NOTHING if row in board.ranked else "not ranked"
        lines.append([plan.rows[row].label, *averages, rank])
    heads = ["AUROC" if not rate else f"AUROC at {percent(rate)}" for rate in board.rates]
    head = ["Method", *heads, "Mean rank"]
    table = grid(head, lines, form="simple") or ["  ".join(head)]
    more = [f"… and {count(len(shown) - limit, 'other')}"] if len(shown) > limit else []
    return "\n".join([*([f"On {_of_all(board, whole)}:"] if part else []), *table, *more])


def finished_part(board: Board) -> Plan | None:
    """Return the plan of the data sets that are finished where others are not; None where all or none are."""
    done = board.finished_datasets()
    return board.plan.part(done) if 0 < len(done) < len(board.datasets) else None


def _of_all(part: Board, whole: Board) -> str:
    names = ", ".join(map(part.dataset_name, part.datasets))
    return f"the {len(part.datasets)} of {len(whole.datasets)} data sets that are finished: {names}"


def _finished(evidence: Evidence, records: Mapping[str, Record]) -> list[list[str]]:
    """Return the table of the data sets that are finished, while others are not."""
    plan = finished_part(evidence.board)
    if plan is None:
        return []
    part = Evidence(Board(plan, records))
    return [
        ["## Finished so far"],
        [f"On {escape(_of_all(part.board, evidence.board))}."],
        tables.at_each(part.board.rates, lambda rate: tables.overall(part, rate)),
    ]


def _head(board: Board) -> list[str]:
    plan = board.plan
    description = [escape(line) for line in plan.description.strip().splitlines()]
    synthetic = sorted({column.title or column.dataset for column in plan.columns if column.synthetic})
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


def _results(evidence: Evidence) -> list[list[str]]:
    board = evidence.board
    first, *others = board.rates
    heading = f"## Overall{f': {rate_name(first)}' if others else ''}"
    contamination = (
        []
        if not others
        else blocks(
            ["## Under contamination"],
            findings.findings(evidence),
            tables.by_rate(evidence),
            [_BY_RATE],
            robustness.robustness(evidence),
        )
    )
    rest = tables.at_each(others, lambda rate: _overall(evidence, rate)) if others else []
    only = f", {rate_name(others[0])}" if len(others) == 1 else " at the other rates"
    return [
        [heading],
        tables.overall(evidence, first),
        legend(evidence, first),
        folded("<b>Overall</b> by data set", tables.by_dataset(evidence, first)),
        _section("Unified models", evidence, unified),
        _section("By anomaly class", evidence, by_type),
        _section("Where the defects are", evidence, pixel_tables),
        _section("Thresholds from normal images", evidence, thresholds),
        contamination,
        folded(f"<b>Overall</b>{only}", rest),
    ]


def _section(title: str, evidence: Evidence, lines_at: Callable[[Evidence, float], list[str]]) -> list[str]:
    """Return what there is at each rate below a heading; nothing without any."""
    found = tables.at_each(evidence.board.rates, lambda rate: lines_at(evidence, rate))
    return blocks([f"## {title}"], found) if found else []


def _overall(evidence: Evidence, rate: float) -> list[str]:
    return blocks(tables.overall(evidence, rate), tables.by_dataset(evidence, rate))


def _holes(board: Board) -> list[list[str]]:
    return [provenance.failed_cells(board), provenance.missing_cells(board), provenance.flags(board)]


def _folded(evidence: Evidence) -> list[list[str]]:
    board = evidence.board
    real = tables.at_each(board.rates, lambda rate: significance.significance(evidence, rate))
    others = tables.at_each(board.rates, lambda rate: tables.other_metrics(evidence, rate))
    return [
        folded("<b>Which differences are real</b>: every pair, effect sizes, power", real),
        *(_tasks(evidence, name) for name in board.datasets),
        folded("<b>Other metrics</b>", others),
        folded("<b>Purification of the training images</b>", robustness.purification(board)),
        folded("<b>Methods</b>", provenance.methods(board)),
        folded("<b>Data and contamination</b>", conditions.contamination(board)),
        folded("<b>Timing and memory</b>", provenance.timing(board)),
        folded("<b>What ran where</b>", provenance.environments(board)),
    ]


def _tasks(evidence: Evidence, name: str) -> list[str]:
    """Return a data set's tables by task at each rate, and its pairs at the first, folded."""
    board = evidence.board
    every = len(board.plan.rows) * len(board.plan.columns) * len(board.rates) <= MOST_VALUES
    rates = board.rates if every else board.rates[:1]
    lines = tables.at_each(rates, lambda rate: tables.by_task(evidence, name, rate))
    note = [] if every or len(board.rates) == 1 else [f"{rate_name(rates[0])} only; {_ELSEWHERE}"]
    pairs = significance.within(evidence, name, rates[0]) if len(board.datasets) > 1 else []
    return folded(f"<b>{escape(board.dataset_title(name))}</b> by task", blocks(note, lines, pairs))
