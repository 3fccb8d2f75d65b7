"""What the numbers were measured under: what contamination means here, and which data it was."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.cell import Record
from bench.report.board import Board
from bench.report.leaderboard.columns import dataset_name
from bench.report.markdown import NOTHING, blocks, percent, span, table

_RATE_OF = {
    "set": "the share of anomalies in the resulting train set",
    "normals": "the number of anomalies relative to the clean train set's size",
}
_MODE = {
    "add": "They are added to the normal images",
    "replace": "They replace normal images, so that the number of train images stays",
}
_SOURCE = {
    "holdout": "They are drawn from the anomalous images of the train split, never from the test set",
    "test": "They are drawn from the test set and removed from it: those of the highest rate, {reserve}, are "
    "removed at every rate, so that the test set is the same for the whole curve",
    "test_overlap": "They are drawn from the test set **and stay in it**: trained on and tested on",
    "jittered": "They are copies of test anomalies under light noise (ADL's protocol); the originals "
    "**stay in the test set**",
    "official": "They are those of the data set's own noisy train splits",
}
_DRAWN = {
    "uniform": "",
    "per_type": ", in turn from each defect type or class",
    "one_class": ", all from one defect type or class, chosen by the seed (clustered)",
}
_SHORTAGE = {
    "error": "Where too few anomalies exist nothing is run",
    "cap": "Where too few anomalies exist those there are were taken (see the realised rates)",
    "repeat": "Where too few anomalies exist some are drawn again",
    "skip": "Where too few anomalies exist the cell is left out",
}

_DRAW = (
    "A draw depends on the task and the seed alone: it is the same for all methods, and nested, so that the "
    "draw for a lower rate is part of that for a higher one. Methods are not told."
)


#: What must be said of a contamination: of, mode, source, draw, shortage.
Kind = tuple[str, str, str, str, str]


def contamination(board: Board) -> list[str]:
    """Return what contamination means here, the size of the train and test sets, and which data it was."""
    return blocks(_meaning(board), _data_table(board), _fingerprints(board))


def _meaning(board: Board) -> list[str]:
    """Return what contamination means, by data set where it does not mean the same for all."""
    reserves: dict[Kind, float] = {}
    of_dataset: dict[str, set[Kind]] = {}
    for entry in board.plan.entries:
        how = entry.cell.contamination
        if how.rate or how.reserve:
            kind: Kind = (how.of, how.mode, how.source, how.draw, how.shortage)
            reserves[kind] = max(reserves.get(kind, 0.0), how.rate, how.reserve)
            of_dataset.setdefault(entry.cell.dataset, set()).add(kind)
    if not reserves:
        return ["All train sets are clean: the normal images of the train split, nothing else."]
    lines = []
    for kind, reserve in sorted(reserves.items()):
        rate_of, how_mode, source_of, draw, when_short = kind
        names = [dataset_name(board, name) for name in board.datasets if kind in of_dataset.get(name, set())]
        where = _SOURCE[source_of].format(reserve=percent(reserve))
        who = f"**{', '.join(names)}**: the" if len(reserves) > 1 else "The"
        lines.append(
            f"{who} rate is {_RATE_OF[rate_of]}. {_MODE[how_mode]}. {where}{_DRAWN[draw]}. "
            f"{_SHORTAGE[when_short]}."
        )
    return blocks(*([line] for line in lines), [_DRAW])


def _data_table(board: Board) -> list[str]:
    rows = []
    for name, columns in board.datasets.items():
        for rate in board.rates:
            records = [
                record
                for _, column, _, group in board.groups(rate=rate)
                if column in columns
                for record in group.records
                if record is not None and record.counts
            ]
            if records:
                rows.append(
                    [dataset_name(board, name), percent(rate), f"{len(columns)}", *_data_row(records)]
                )
    head = ["Data set", "Rate", "Tasks", "Train images", "of them anomalous", "realised rate"]
    return table([*head, "Test images", "of them anomalous", "removed from test"], rows)


def _fingerprints(board: Board) -> list[str]:
    """Return what tells whether another copy of the data is the same."""
    found = {entry.cell.dataset: entry.cell.data_fingerprint for entry in board.plan.entries}
    words = [
        f"{dataset_name(board, name)} `{found[name][:16]}`" for name in board.datasets if found.get(name)
    ]
    return [f"Content of the data (start of its sha256): {', '.join(words)}."] if words else []


def _data_row(records: Sequence[Record]) -> list[str]:
    def counts(name: str) -> str:
        held = [record.counts[name] for record in records if name in record.counts]
        return span(held) if held else NOTHING

    def drawn(name: str) -> list[float]:
        return [record.contamination[name] for record in records if name in record.contamination]

    rates, removed = [100 * rate for rate in drawn("rate")], drawn("removed_from_test")
    return [
        counts("train"),
        counts("train_anomalous"),
        f"{span(rates, 2 if any(rates) else 0)} %" if rates else NOTHING,
        counts("test"),
        counts("test_anomalous"),
        span(removed) if removed else NOTHING,
    ]
