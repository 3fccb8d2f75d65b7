"""Suites with made-up numbers, and one drawing of each kind, for tests of figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Record
from bench.core.plan import Entry
from bench.report.board import Board
from bench.report.figures.common import Choice, Drawing, clean
from bench.report.figures.contamination import contamination_curves
from bench.report.figures.critical import critical_differences
from bench.report.figures.examples import MapExamples
from bench.report.figures.heatmap import heat_map
from bench.report.figures.histogram import score_histogram
from bench.report.figures.losses import loss_curves
from bench.report.figures.roc import roc_curves
from bench.report.figures.scatter import pareto, reproduction
from bench.report.figures.training import training_courses
from bench.report.published.row import Published
from tests.report.report_factory import columns, make_plan, make_records, row

KINDS = (
    "contamination",
    "critical-difference",
    "heatmap",
    "histogram",
    "losses",
    "maps",
    "pareto",
    "reproduction",
    "roc",
    "training",
)
ODD = ("m[a='$x_1$ & <b>']", "m[a='ä\"中文\\\\frac']", f"m[a={'a' * 200}]", f"m[a={'a' * 200}b]", "plain")


def board_of(
    labels: Sequence[str],
    datasets: Mapping[str, Sequence[str]],
    value: Callable[[Entry], float | None] = lambda _: None,
    *,
    rates: Sequence[float] = (0.0,),
    seeds: Sequence[int] = (0, 1),
    stochastic: bool = False,
    title: str = "A toy suite",
) -> Board:
    """Return a board whose records have the AUROC that `value` gives, and seconds that grow with the row."""
    rows = [row(label, stochastic=stochastic) for label in labels]
    plan = make_plan(rows, columns(**datasets), rates=rates, seeds=seeds, title=title)
    records = make_records(plan, value)
    row_of = {entry.cell.key: entry.row for entry in plan.entries}
    for key, record in records.items():
        assert record.timing is not None
        records[key] = replace(record, timing=replace(record.timing, fit=0.1 * 2 ** row_of[key]))
    return Board(plan, records)


def scored(record: Record) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return labels and scores that depend on the record alone; methods of later rows are worse."""
    draw = np.random.default_rng(int(record.cell.key[:8], 16))
    labels = (np.arange(80) % 2).astype(np.uint8)
    apart = 2.0 / (1 + int(dict(record.cell.params)["k"]))  # type: ignore[call-overload]
    return labels, (draw.normal(size=80) + apart * labels).astype(np.float32)


def published(board: Board) -> tuple[Published, ...]:
    """Return two published numbers for each row and data set: one measured alike, one on another network."""
    return tuple(
        Published(
            source="Paper, table 1",
            label=each.label,
            variant=backbone,
            method=each.method,
            dataset=name,
            task="mean",
            tasks=len(board.datasets[name]),
            metric="auroc",
            value=80.0 + at,
            backbone=backbone,
            selection="last",
        )
        for at, each in enumerate(board.plan.rows)
        for name in board.datasets
        for backbone in ("pixels", "resnet152/imagenet")
    )


def drawing(kind: str, labels: Sequence[str] = ("first", "second[backbone=pixels]", "third")) -> Drawing:
    """Return the data of a figure of this kind."""
    few = 6 if kind == "critical-difference" else 2
    datasets = {f"data{at}": ["0", "1"] for at in range(few)}
    board = board_of(labels, datasets, _falling, rates=(0.0, 0.1), stochastic=True)
    plan = replace(board.plan, rows=tuple(replace(each, backbone="pixels") for each in board.plan.rows))
    records = {record.cell.key: record for record in board.records()}
    board = Board(plan, records)
    choice = Choice(task="data0/1")
    make: dict[str, Callable[[], Drawing]] = {
        "contamination": lambda: contamination_curves(board),
        "critical-difference": lambda: critical_differences(board),
        "heatmap": lambda: heat_map(board),
        "histogram": lambda: score_histogram(board, scored, replace(choice, methods=(labels[0],))),
        "losses": lambda: loss_curves(losing(labels, datasets)),
        "maps": lambda: examples(labels[0]),
        "pareto": lambda: pareto(board),
        "reproduction": lambda: reproduction(board, published(board)),
        "roc": lambda: roc_curves(board, scored, choice),
        "training": lambda: training_courses(trained(labels, datasets)),
    }
    return make[kind]()


def examples(label: str) -> MapExamples:
    """Return two kinds of images at three places."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 8, 12), np.bool_)
    masks[3:, 2:5, 3:7] = True
    return MapExamples(
        suite="A toy suite",
        method=clean(label),
        where="data0/1, clean",
        images=rng.integers(0, 255, (6, 8, 12, 3)).astype(np.uint8),
        masks=masks,
        maps=(rng.random(masks.shape) + masks).astype(np.float32),
        scores=np.arange(6.0),
        kinds=("good",) * 3 + ("a long kind of defect",) * 3,
        places=("best", "median", "worst") * 2,
        threshold=2.5,
        rule="the best F1 on the test set",
    )


def trained(labels: Sequence[str], datasets: Mapping[str, Sequence[str]], *, seeds: int = 2) -> Board:
    """Return a board of oracles over five states of training; scores collapse, later rows are better."""
    rows = [row(label, stochastic=True, selection="oracle") for label in labels]
    plan = make_plan(rows, columns(**datasets), seeds=range(seeds), title="A toy suite")
    records = make_records(plan)
    for entry in plan.entries:
        seed = entry.cell.seed or 0
        candidates = {
            f"step {at}": {
                "auroc": 0.7 + 0.01 * entry.row + 0.0001 * at * (3 - at / 250) + 0.002 * seed,
                "normal": 1.0 / (1 + at / 50),
                "anomalous": 2.0 / (1 + at / 40) + seed,
            }
            for at in (0, 200, 400, 600, 1000)
        }
        records[entry.cell.key] = replace(records[entry.cell.key], candidates=candidates)
    return Board(plan, records)


def losing(labels: Sequence[str], datasets: Mapping[str, Sequence[str]], *, points: int = 200) -> Board:
    """Return a board whose records have two trainings each; losses fall, and grow with the column."""
    board = board_of(labels, datasets, stochastic=True)
    entries = {entry.cell.key: entry for entry in board.plan.entries}
    records = {}
    for record in board.records():
        entry = entries[record.cell.key]
        start = 1.0 + entry.column + (entry.cell.seed or 0)
        courses = {name: [start / (1 + at) for at in range(points)] for name in ("training", "first")}
        records[record.cell.key] = replace(record, curves=courses)
    return Board(board.plan, records)


def _falling(entry: Entry) -> float:
    """Return an AUROC that falls with row and rate, and differs a little by column and seed."""
    seed = entry.cell.seed or 0
    return 0.97 - 0.04 * entry.row - 0.3 * entry.rate - 0.003 * (entry.column % 3) - 0.002 * seed
