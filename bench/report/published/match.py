"""A published number set against a row of the board: what differs, and what the difference says.

Two numbers compare only if the same thing was measured: same network and input size, same training data, test
set and tasks, same supervision, no choice on test data on either side. Whatever differs is named, and then
there is no verdict on the number. What a source does not say is a caveat, except the network and how many
tasks a mean is over: without them nothing compares. Both numbers are of the same test images; what may part
them by chance are seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.core.cell import Cell
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.report.board import Board
from bench.report.numbers import count, percent, signed_points
from bench.report.published.network import NetworkName, published_network, row_network
from bench.report.published.row import Published
from bench.report.published.seeds import over_seeds

#: Differences below this (in percent) are rounding of the float, not of the print.
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class PublishedComparison:
    """One published number and ours.

    Attributes
    ----------
    published : Published
    row : int
        Of the board.
    columns : tuple of int
        Those that the number is a mean over.
    rate : float
        Contamination.
    ours : float or None
        Share of 1; None where cells failed, are missing or were not planned.
    seeds, needed : int
        How many ours is a mean over, 0 where it depends on none; how many it takes to tell anything.
    reach : float or None
        How far apart seeds alone may put the two (95 %); None without seeds or with too few.
    differs : tuple of str
        What makes the two incomparable.
    unknown : tuple of str
        What the source leaves open, or only we know.
    """

    published: Published
    row: int
    columns: tuple[int, ...]
    rate: float
    ours: float | None
    seeds: int
    needed: int
    reach: float | None
    differs: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def difference(self) -> float | None:
        """Return ours minus theirs, as a share of 1."""
        return None if self.ours is None else self.ours - self.published.value / 100

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return where theirs may lie for all that seeds explain, in [0, 1]."""
        if self.ours is None or self.reach is None:
            return None
        return max(0.0, self.ours - self.reach), min(1.0, self.ours + self.reach)

    @property
    def verdict(self) -> str:
        """Return what the difference says, in words."""
        if self.ours is None or self.difference is None:
            return "no number of ours"
        if self.differs:
            return f"not comparable: {'; '.join(self.differs)}"
        return "; ".join([self._said(self.difference), *self.unknown])

    def _said(self, difference: float) -> str:
        if self.seeds and self.reach is None:
            seeds = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
            return f"cannot be told with {seeds} (it takes {self.needed})"
        rounding = 0.5 * 10**-self.published.digits / 100
        if abs(difference) <= (self.reach or 0.0) + rounding + _EPSILON:
            return "inside our interval" if self.seeds else "equal as printed"
        return f"off by {signed_points(difference)}" + (", more than seeds explain" if self.seeds else "")


def comparisons(board: Board, published: tuple[Published, ...]) -> Iterator[PublishedComparison]:
    """Yield what there is to compare: by the board's rows, its data sets, then in the order of `published`.

    A published number belongs to a row if it is of the same adapter with compatible parameters, on a data set
    and task of the suite, at a contamination rate of the suite, in a metric that our records have.
    """
    by_method: dict[str, list[Published]] = {}
    for theirs in published:
        if theirs.method:
            by_method.setdefault(theirs.method, []).append(theirs)
    for at, row in enumerate(board.plan.rows):
        network = row_network(board.plan, row.backbone)
        for name, columns in board.datasets.items():
            for theirs in by_method.get(row.method, ()):
                if parse(theirs.dataset).name == parse(name).name:
                    yield from _compared(board, theirs, at, columns, network)


def _compared(
    board: Board,
    theirs: Published,
    row: int,
    columns: tuple[int, ...],
    network: NetworkName,
) -> Iterator[PublishedComparison]:
    tasks = {board.plan.columns[column].task: column for column in columns}
    of = columns if theirs.task == "mean" else (tasks[theirs.task],) if theirs.task in tasks else ()
    rate = float(dict(theirs.contamination).get("rate", 0.0))
    groups = [board.group(row, column, rate) for column in of]
    cells = [cell for group in groups for cell in group.cells]
    if not cells or not compatible(theirs, cells[0]) or not _measured(board, row, theirs.metric):
        return
    ours = board.summary(row, [of], rate, theirs.metric).mean
    spread = None if ours is None else over_seeds(board, row, of, rate, theirs.metric)
    differs = [
        *_networks(theirs, network),
        *_supervision(board.plan, row, theirs),
        *_data(board.plan, theirs, of),
        *_contaminations(theirs, cells[0]),
    ]
    yield PublishedComparison(
        published=theirs,
        row=row,
        columns=of,
        rate=rate,
        ours=ours,
        seeds=spread.seeds if spread else 0,
        needed=spread.needed if spread else 0,
        reach=spread.reach(theirs.runs or 1) if spread else None,
        differs=tuple(differs),
        unknown=tuple(_unknown(theirs, network, spread.seeds if spread else 0)),
    )


def compatible(theirs: Published, cell: Cell) -> bool:
    """Return whether a cell's parameters are the variant of a published number."""
    own = {name: _plain(value) for name, value in cell.params}
    return all(own.get(name) in {_plain(value) for value in values} for name, values in theirs.params)


def _plain(value: object) -> object:
    """Return a parameter so that 2, 2.0 and "2" are the same, and so are True and "true"."""
    text = "none" if value is None else str(value).lower()
    try:
        return float(text)
    except ValueError:
        return text


def _measured(board: Board, row: int, metric: str) -> bool:
    return metric == "auroc" or any(metric in record.metrics for record in board.records(row=row))


def _networks(theirs: Published, ours: NetworkName) -> Iterator[str]:
    if not theirs.backbone:
        yield f"their backbone is not stated, ours is {ours}"
        return
    other = published_network(theirs.backbone, theirs.resolution)
    both_tagged = other.weights and ours.weights and other.weights != ours.weights
    if other.architecture != ours.architecture or both_tagged:
        yield f"their backbone is {other}, ours {ours}"
    if ours.layer:
        yield f"ours is read at {ours.layer}"
    if other.resolution and ours.resolution and other.resolution != ours.resolution:
        yield f"their input is {other.resolution} px, ours {ours.resolution} px"


def _supervision(plan: Plan, row: int, theirs: Published) -> Iterator[str]:
    ours = plan.rows[row]
    if theirs.setting != ours.setting:
        yield f"their setting is {theirs.setting}, ours {ours.setting}"
    if theirs.selection and theirs.selection != ours.selection:
        yield f"their selection is {theirs.selection}, ours {ours.selection}"
    said = set(ours.said) - {name for name, _ in theirs.params} - {"backbone"}
    if said:
        yield f"our row sets {', '.join(f'{name}={ours.said[name]}' for name in sorted(said))}"


def _data(plan: Plan, theirs: Published, of: tuple[int, ...]) -> Iterator[str]:
    name = plan.columns[of[0]].dataset
    known = {column.task for column in plan.columns if column.dataset == name}
    if theirs.dataset != name:
        yield f"their data set is {theirs.dataset}, ours {name}"
    if theirs.protocol in ("unified", "many-normal"):
        yield "theirs is one model for all categories"
    if theirs.task == "mean" and theirs.tasks is None:
        yield f"the number of tasks of their mean is not stated, ours is over {len(of)}"
    elif theirs.task == "mean" and theirs.tasks != len(of):
        yield f"their mean is over {count(theirs.tasks or 0, 'task')}, ours over {len(of)}"
    tasks = {plan.columns[column].task for column in of}
    if any(_speaks_of(note, name, tasks, known) for note in plan.notes):
        yield "our copy of the data is not the official set (see the notes at the top)"


def _speaks_of(note: str, dataset: str, tasks: set[str], known: set[str]) -> bool:
    """Return whether a note on the data at hand concerns these tasks: names one of them, or none at all."""
    start = f"{dataset}: "
    if not note.startswith(start):
        return False
    head = note.removeprefix(start).partition(": ")[0]
    task = head.partition("/")[2]
    if task in known:
        return task in tasks
    # Categories that are not there concern none that is.
    return " lacks " not in head or len(tasks) > 1


def _contaminations(theirs: Published, cell: Cell) -> Iterator[str]:
    how, drawn = dict(theirs.contamination), cell.contamination
    if not how:
        if drawn.reserve:
            yield f"our test set lacks the anomalies kept for {percent(drawn.reserve)} contamination"
        return
    for key, default in (("of", ""), ("mode", "add"), ("source", "")):
        given, own = how.get(key, default), str(getattr(drawn, key))
        if drawn.source == "official" and key != "source":
            continue
        if not given:
            yield f"what their rate means ({key}) is not stated"
        elif given != own:
            yield f"their contamination has {key}={given}, ours {key}={own}"


def _unknown(theirs: Published, ours: NetworkName, seeds: int) -> Iterator[str]:
    other = published_network(theirs.backbone, theirs.resolution)
    if not theirs.selection:
        yield "their selection is not stated"
    if theirs.backbone and ours.architecture not in ("pixels", "scratch", "hog"):
        if not other.weights:
            yield "their weights are not stated"
        elif not ours.weights:
            yield "our weights have no name"
    if not other.resolution:
        yield "their input size is not stated"
    elif not ours.resolution:
        yield "our input size is the network's own"
    if theirs.runs and theirs.runs > 1 and not seeds:
        yield f"theirs is a mean of {theirs.runs} runs, ours of 1"
    if theirs.certainty in ("inferred", "recalled"):
        yield "their number is " + ("our reading" if theirs.certainty == "inferred" else "from memory")
