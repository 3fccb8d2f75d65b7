"""What a dry run says of trainings that never ran: a few steps stand for all, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.core.files import cache_folder
from bench.features.backbone import Backbones
from bench.run.forecast import forecasts, tried
from bench.run.runner import Runner
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from bench.train.firststeps import FirstSteps
from tests.factory import make_cell
from tests.pictures import images, surfaces

CPU = torch.device("cpu")
SHORT = {"network": "mnist", "pretrain_epochs": 3, "epochs": 2, "batch": 8}


def test_steps_beyond_the_first_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 12.0, 14.0, 16.0])  # the first step takes ten seconds, the others two
    monkeypatch.setattr("bench.train.firststeps.time.perf_counter", lambda: next(clock))
    first = FirstSteps()
    assert list(first.steps(100, CPU)) == [0, 1, 2, 3]
    assert first.trainings == [(100, 4, 2.0)]
    assert first.seconds == 96 * 2.0


@pytest.mark.parametrize(("steps", "taken"), [(0, 0), (1, 1), (3, 3)])
def test_trainings_shorter_than_that(steps: int, taken: int) -> None:
    first = FirstSteps()
    assert len(list(first.steps(steps, CPU))) == taken
    assert first.seconds == 0


@pytest.mark.parametrize(
    ("name", "params", "steps"),
    [
        ("deep_svdd", SHORT, [9, 6]),
        ("panda", {"backbone": "tiny", "steps": 50, "batch": 4}, [50]),
        ("plume", {"backbone": "tiny", "epochs": 30, "lr": 0.01, "batch": 4}, [180]),
        ("trim", {"base": "cap[k=2]", "backbone": "tiny"}, None),
    ],
)
def test_methods_end_after_a_few_steps_and_can_score(
    name: str, params: dict[str, Any], steps: list[int] | None
) -> None:
    registry = Registry()
    method = resolve(registry.methods[name], params, registry, "a test").make()
    method.device, method.seed, method.first_steps = CPU, 0, FirstSteps()
    train = images(surfaces(24))
    method.fit(train)
    assert len(method.score(train[:3]).checked(3)) == 3
    taken = method.first_steps.trainings
    assert {each[1] for each in taken} <= {4}
    assert steps is None or [each[0] for each in taken] == steps


def test_one_cell_of_each_method_is_tried_and_leaves_nothing() -> None:
    cells = [make_cell(task, "autoencoder", seed=0, **{"network": "mnist", "epochs": 40}) for task in "37"]
    broken = make_cell("3", "autoencoder", seed=0, network="none")
    runner = Runner(Registry(), Backbones())
    good, bad = forecasts(runner, [*cells, broken])
    assert good.cells == tuple(cells)
    assert good.steps >= 40
    assert good.total == 2 * good.seconds > 0
    assert not good.problem
    assert bad.problem
    assert not (cache_folder() / "checkpoints" / cells[0].key).exists()


def test_the_seconds_are_those_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell("3", "autoencoder", seed=0, **{"network": "mnist", "epochs": 40})
    monkeypatch.setattr(FirstSteps, "seconds", property(lambda _: 1000.0))
    assert 1000 < tried(Runner(Registry(), Backbones()), cell)[0] < 1100
