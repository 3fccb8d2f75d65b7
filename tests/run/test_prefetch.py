"""Extraction as work of its own: every row once, in parts, and the cells after it compute nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cell import Cell
from bench.core.contamination import Contamination
from bench.core.errors import DataError
from bench.data.origins import pieces
from bench.features.backbone import Backbones
from bench.run.prefetch import asks_for_features, extract, survey
from bench.run.runner import Runner
from bench.suite.registry import Registry
from bench.suite.resolve import Resolver
from tests.factory import make_cell


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))


def cell(task: str, rate: float = 0.0, *, backbone: str = "hog", method: str = "dn2") -> Cell:
    params = {"k": 2} if method == "dn2" else {}
    return make_cell(task, method, backbone=backbone, contamination=Contamination(rate=rate), **params)


def test_parts_cover_every_row_once_and_cells_find_them() -> None:
    cells = [cell("0"), cell("3", 0.1)]
    wanted: set[tuple[str, int]] = set()
    for each in cells:
        task = Runner(Registry(), Backbones()).open_task(each)
        for images in (task.train, task.test):
            wanted |= {(source.name, int(row)) for source, rows in pieces(images) for row in rows}
    computed = []
    for number in range(3):
        runner = Runner(Registry(), Backbones())
        extract(runner, cells, (number, 3))
        usage = runner.provider.usage()
        assert usage.reused_rows == 0
        computed.append(usage.computed_rows)
    assert sum(computed) == len(wanted)
    assert max(computed) - min(computed) <= 2, "parts of equal size, of each of two sources"
    after = Runner(Registry(), Backbones())
    for each in cells:
        record, _ = after.run(each)
        assert record.timing is not None
        assert record.timing.features_from == "store"


def test_what_can_be_opened_is_extracted_before_the_failure_is_raised() -> None:
    runner = Runner(Registry(), Backbones())
    with pytest.raises(DataError, match="eleven"):
        extract(runner, [cell("eleven"), cell("3")], (0, 1))
    assert runner.provider.usage().computed_rows > 100


def test_tasks_are_counted_and_those_that_cannot_be_opened_left_out() -> None:
    found = survey([cell("0"), cell("3"), cell("eleven"), replace(cell("0"), dataset="nowhere")], Registry())
    assert set(found) == {("digits", "0"), ("digits", "3")}
    task = Runner(Registry(), Backbones()).open_task(cell("3"))
    assert (found["digits", "3"].train, found["digits", "3"].test) == (len(task.train), len(task.test))
    assert found["digits", "0"].sources == found["digits", "3"].sources, "one train and one test split"


@pytest.mark.parametrize(
    ("method", "backbone", "asks"),
    [
        ("dn2", "hog", True),
        ("dn2", "pixels", False),
        ("random", "", False),
        ("panda", "resnet18", False),
        ("no such method", "hog", False),
        ("dn2", "no such backbone", False),
    ],
)
def test_who_asks_for_features(method: str, backbone: str, asks: bool) -> None:
    assert (
        asks_for_features(Resolver(Registry()), Backbones())(cell("0", method=method, backbone=backbone))
        is asks
    )
