"""What the numbers were measured under: contamination, data, and what keeps numbers from being compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.core.cell import Record
from bench.report.board import Board
from bench.report.evidence.blocks import different_protocols
from bench.report.markdown import blocks, escape, grid
from bench.report.numbers import NOTHING, count, percent, span

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
    "transductive": "**The images trained on are those tested on**: all normal images of both splits, and "
    "anomalies of both",
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
    "redraw": "Where too few anomalies exist they are drawn with replacement",
    "move": "Where too few anomalies exist the further ones are copies, rotated by up to 3° and shifted by "
    "up to 3 %",
    "skip": "Where too few anomalies exist the cell is left out",
}

_DRAW = (
    "A draw depends on the task and the seed alone: it is the same for all methods, and nested, so that the "
    "draw for a lower rate is part of that for a higher one. Methods are not told."
)


#: What must be said of a contamination: of, mode, source, draw, shortage.
_Kind = tuple[str, str, str, str, str]


def contamination(board: Board) -> list[str]:
    """Return what contamination means here, the size of the train and test sets, and which data it was."""
    return blocks(_meaning(board), _data_table(board), _fingerprints(board))


def _meaning(board: Board) -> list[str]:
    """Return what contamination means, by data set where it does not mean the same for all."""
    reserves: dict[_Kind, float] = {}
    of_dataset: dict[str, set[_Kind]] = {}
    for entry in board.plan.entries:
        how = entry.cell.contamination
        if how.rate or how.reserve or how.source == "transductive":
            kind: _Kind = (how.of, how.mode, how.source, how.draw, how.shortage)
            reserves[kind] = max(reserves.get(kind, 0.0), how.rate, how.reserve)
            of_dataset.setdefault(entry.cell.dataset, set()).add(kind)
    if not reserves:
        return ["All train sets are clean: the normal images of the train split, nothing else."]
    lines = []
    for kind, reserve in sorted(reserves.items()):
        rate_of, how_mode, source_of, draw, when_short = kind
        names = [
            escape(board.dataset_title(name))
            for name in board.datasets
            if kind in of_dataset.get(name, set())
        ]
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
                    [escape(board.dataset_title(name)), percent(rate), f"{len(columns)}", *_data_row(records)]
                )
    head = ["Data set", "Rate", "Tasks", "Train images", "of them anomalous", "realised rate"]
    return grid([*head, "Test images", "of them anomalous", "removed from test"], rows)


def _fingerprints(board: Board) -> list[str]:
    """Return what tells whether another copy of the data is the same."""
    found = {entry.cell.dataset: entry.cell.data_fingerprint for entry in board.plan.entries}
    words = [
        f"{escape(board.dataset_title(name))} `{found[name][:16]}`"
        for name in board.datasets
        if found.get(name)
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


def mixed(board: Board) -> list[str]:
    """Return one line for each way in which cells of one page were not measured alike."""
    lines = [*_protocols(board), *_data(board), *_features(board)]
    held = board.machines()
    if len(held) > 1:
        listed = "; ".join(f"{escape(name)}: {count(number, 'cell')}" for name, number in held.items())
        lines.append(f"**Mixed hardware** ({listed}): timings are not compared.")
    lines += _versions(board)
    return blocks(["**Not all cells were measured alike**"], [f"- {line}" for line in lines]) if lines else []


def _protocols(board: Board) -> Iterable[str]:
    for name, what in different_protocols(board).items():
        yield (
            f"**Mixed protocols** on {escape(board.dataset_title(name))}: its cells differ in {what}; "
            "their numbers stand side by side, but no difference is tested."
        )


def _data(board: Board) -> Iterable[str]:
    """Yield where the methods of a task had unlike numbers of images."""
    for name, columns in board.datasets.items():
        unlike = [
            board.plan.columns[column].task
            for column in columns
            if any(len(_sizes(board, column, rate)) > 1 for rate in board.rates)
        ]
        if unlike:
            yield (
                f"**Different test sets** on {escape(board.dataset_title(name))} "
                f"({escape(', '.join(unlike[:3]))}{' …' if len(unlike) > 3 else ''}): methods were tested on "
                "unlike numbers of images."
            )


def _sizes(board: Board, column: int, rate: float) -> set[frozenset[object]]:
    groups = (board.group(row, column, rate) for row in range(len(board.plan.rows)))
    held = [[record for record in group.records if record and record.counts] for group in groups]
    return {
        frozenset((each.counts.get("test"), each.counts.get("test_anomalous")) for each in records)
        for records in held
        if records and all(record.status == "ok" for record in records)
    }


def _features(board: Board) -> Iterable[str]:
    stored = _distinct(board.records(), lambda record: record.environment.get("features"))
    if len(stored) > 1:
        yield "**Mixed precision** of the features that were kept; see *What ran where*."


def _versions(board: Board) -> Iterable[str]:
    records = board.records()
    for what, of in (
        ("anobench", lambda record: record.environment.get("anobench")),
        ("torch", _torch),
    ):
        if len(_distinct(records, of)) > 1:
            yield f"Different versions of {what}; see *What ran where*."


def _torch(record: Record) -> object:
    environment = record.environment
    return environment.get("torch") or (environment.get("packages") or {}).get("torch")


def _distinct(records: Iterable[Record], of: Callable[[Record], object]) -> set[str]:
    return {repr(of(record)) for record in records}
