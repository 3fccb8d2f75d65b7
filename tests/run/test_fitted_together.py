"""Cells whose heads are fitted in the same steps: records as alone, shares of the time, failures apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.features.backbone import Backbones
from bench.run.runner import Runner
from bench.run.units import grouped
from bench.suite.registry import Registry
from bench.train.together import fit_many
from tests.factory import make_cell, run_cells
from tests.features_as_images import images

TEAM = """
from bench import FitError, Method, Scores

class Team(Method):
    stochastic = True
    def __init__(self, broken: str = ""):
        self.broken = broken
    def fit(self, train):
        self.fit_together([self], [train])
    @classmethod
    def fit_together(cls, methods, trains):
        for method, train in zip(methods, trains, strict=True):
            method.mean = train.features("pixels[size=8]").mean(0)
            if method.broken and abs(float(method.mean.sum()) - float(method.broken)) < 1:
                raise FitError("this one does not converge")
    def score(self, test):
        return Scores((test.features("pixels[size=8]") - self.mean).square().sum(1))
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "team.py").write_text(TEAM)
    return Registry([tmp_path])


@pytest.fixture
def runner(registry: Registry) -> Runner:
    return Runner(registry, Backbones())


def cell(task: str, seed: int, method: str = "team", **params: Any) -> Cell:
    return make_cell(task, method, seed=seed, **params)


CELLS = [cell(task, seed) for task in "038" for seed in (0, 1)]


def test_records_are_those_of_cells_run_alone(registry: Registry, runner: Runner) -> None:
    alone = Runner(registry, Backbones())
    together = list(runner.run_together(CELLS))
    assert [record.cell for record, _ in together] == CELLS
    for where, (record, scores) in zip(CELLS, together, strict=True):
        expected, expected_scores = alone.run(where)
        assert record.status == "ok"
        assert record.metrics == expected.metrics
        assert record.counts == expected.counts
        np.testing.assert_array_equal(scores, expected_scores)
        assert record.flags == ("fitted together with 5 other cells: its time is a share",)
        assert expected.flags == ()


def test_the_time_is_a_share_and_features_are_counted_for_each(runner: Runner) -> None:
    timings = [record.timing for record, _ in runner.run_together(CELLS)]
    assert len({timing.fit for timing in timings if timing}) == 1
    for timing in timings:
        assert timing is not None
        assert timing.features_cold > 0, "also of cells whose images another cell asked for first"
        assert timing.wall >= timing.fit + timing.score


def test_only_the_cell_that_cannot_be_fitted_fails(runner: Runner) -> None:
    runner.run(cell("3", 0))
    task = runner._open(cell("3", 0))[0]
    total = float(task.train.bind(runner.provider).features("pixels[size=8]").mean(0).sum())
    cells = [cell(task, 0, broken=str(total)) for task in "038"]
    records = [record for record, _ in runner.run_together(cells)]
    assert [record.status for record in records] == ["ok", "failed", "ok"]
    assert records[1].error is not None
    assert records[1].error["reason"] == "this one does not converge"
    assert records[0].flags == (), "they were fitted one by one in the end"


def test_a_cell_that_cannot_be_opened_does_not_stop_the_peers(runner: Runner) -> None:
    records = [record for record, _ in runner.run_together([CELLS[0], cell("eleven", 0), CELLS[1]])]
    assert [record.status for record in records] == ["ok", "failed", "ok"]
    assert [record.status for record, _ in runner.run_together([cell("eleven", 0)])] == ["failed"]


def test_cells_are_grouped_by_what_they_share() -> None:
    others = [cell("0", 0, "dn2"), cell("3", 0, "dn2")]
    mixed = [CELLS[0], others[0], CELLS[1], CELLS[2], others[1], *CELLS[3:], cell("0", 0, k=2)]
    offers: Callable[[Cell], bool] = lambda each: each.method == "team"  # noqa: E731
    groups = list(grouped(mixed, offers, most=4))
    assert groups == [CELLS[:4], others[:1], others[1:], CELLS[4:], [cell("0", 0, k=2)]]
    assert sorted(str(each) for group in groups for each in group) == sorted(map(str, mixed))
    assert list(grouped(mixed, offers, most=1)) == [[each] for each in mixed], "in the plan's order"


def test_what_offers_it_is_read_from_the_source(registry: Registry) -> None:
    offering = {name for name, adapter in registry.methods.items() if "fit_together" in adapter.offers}
    assert offering == {"team", "cap", "plume", "deep_svdd_features"}


def test_a_run_fits_so_many_together_and_writes_every_record(registry: Registry, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "results")
    records = run_cells(CELLS, archive, registry, together=4)
    assert [record.cell for record in records] == CELLS
    assert len(archive.load_all([each.key for each in CELLS])) == len(CELLS)
    shares = [record.flags[0].split()[3] for record in records]
    assert shares == ["3"] * 4 + ["1"] * 2


class Hungry:
    """Trains at most two at once."""

    calls: ClassVar[list[int]] = []

    @classmethod
    def fit_together(cls, methods: list[Any], trains: list[Any]) -> None:  # noqa: ARG003
        cls.calls.append(len(methods))
        if len(methods) > 2:
            raise torch.OutOfMemoryError("the device is full")

    def fit(self, train: Any) -> None:  # noqa: ARG002
        raise AssertionError("it need not be fitted alone")


def test_a_full_device_gets_half_as_many() -> None:
    Hungry.calls.clear()
    methods: list[Any] = [Hungry() for _ in range(8)]
    fits = fit_many(methods, [images(np.ones((2, 2)))] * 8)
    assert Hungry.calls == [8, 4, 2, 2, 4, 2, 2]
    assert [(fit.together, fit.error) for fit in fits] == [(2, None)] * 8


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path / "cache"))
