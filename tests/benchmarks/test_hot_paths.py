"""The engine's hot paths against saved ratios (`ratios`): ``tox -e bench`` fails where one got slower."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

from bench.core.cell import Record
from bench.core.plan import Plan
from bench.data.images import Images
from bench.features.backbone import Backbones
from bench.features.nearest import nearest
from bench.features.provider import FeatureProvider
from bench.metrics.image import image_metrics
from bench.metrics.pixel import CodeHistogram, aupro, regions_of
from bench.report.export import export_csv
from bench.run.runner import Runner
from bench.stats.delong import image_parts, variance_of_pairs
from bench.stats.placements import placements
from tests.benchmarks.ratios import FEWEST, hold, least_of, limit, save, saved, timed_in_turn
from tests.benchmarks.test_engine_bench import NULL, plan_of
from tests.factory import make_record
from tests.features.conftest import random_source
from tests.report.report_factory import columns, make_plan, make_records, row

Hold = Callable[[Callable[[], object], Callable[[], object]], None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let both a path and its reference have one thread, as cells do."""
    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(1):
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(before)


@pytest.fixture
def against(benchmark: Any, request: pytest.FixtureRequest) -> Hold:
    """Return a function that holds a path against its reference and the saved ratios."""

    def compare(path: Callable[[], object], reference: Callable[[], object]) -> None:
        ratio = timed_in_turn(benchmark, path, reference)
        if math.isnan(ratio):
            return
        name = request.node.name.removeprefix("test_")
        benchmark.extra_info |= {"ratio": round(ratio, 3), "saved": saved().get(name, [])}
        if request.config.getoption("--save-ratios", default=False):
            save(name, ratio)
        else:
            hold(name, ratio, saved().get(name, []), lambda: least_of(path, reference))

    return compare


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_metrics_of_a_task(against: Hold) -> None:
    labels, scores = rng().integers(0, 2, 100_000), rng().normal(size=100_000)
    against(lambda: image_metrics(labels, scores), lambda: np.argsort(scores))


def test_placements(against: Hold) -> None:
    labels = (np.arange(10_000) % 10 != 0).astype(np.uint8)
    scores = rng().normal(size=(10, 10_000)) + labels
    against(lambda: placements(labels, scores), lambda: np.argsort(scores, axis=1))


def test_all_pairs_of_methods(against: Hold) -> None:
    labels = (np.arange(10_000) % 10 != 0).astype(np.uint8)
    parts = image_parts(placements(labels, rng().normal(size=(30, 10_000)) + labels), labels)
    some = rng().normal(size=(30, 10_000))
    against(lambda: variance_of_pairs(parts, labels), lambda: [np.cov(some) for _ in range(10)])


def test_nearest_neighbours(against: Hold) -> None:
    torch.manual_seed(0)
    queries, bank = torch.randn(1000, 256), torch.randn(2000, 256)
    against(lambda: nearest(queries, bank, 2), lambda: (queries @ bank.T).topk(2))


def test_pixels_of_maps(against: Hold) -> None:
    maps = rng().random((40, 128, 128)).astype(np.float16)
    mask = np.zeros((128, 128), np.bool_)
    mask[30:60, 30:70] = True

    def path() -> float:
        found = CodeHistogram()
        for scores in maps:
            found += CodeHistogram.of_image(scores, regions_of(mask))
        return aupro(found)

    against(path, lambda: np.sort(maps.astype(np.float32), axis=None))


def test_reading_records(against: Hold) -> None:
    text = make_record(environment={"packages": {f"package{i}": "1.2.3" for i in range(20)}}).to_json()
    against(
        lambda: [Record.from_json(text) for _ in range(300)], lambda: [json.loads(text) for _ in range(1000)]
    )


def test_reading_a_plan(against: Hold) -> None:
    rows = [row(f"method_{at}[k={at},backbone=pixels]", stochastic=True) for at in range(10)]
    plan = make_plan(rows, columns(digits=[str(task) for task in range(10)]), seeds=range(10))
    text = plan.to_json()
    against(lambda: Plan.from_json(text), lambda: [json.loads(text) for _ in range(5)])


def test_an_export(against: Hold) -> None:
    rows = [row(f"method_{at}[k={at},backbone=pixels]", stochastic=True) for at in range(10)]
    plan = make_plan(rows, columns(digits=[str(task) for task in range(10)]), seeds=range(5))
    records = make_records(plan)
    against(lambda: export_csv(plan, records), lambda: [repr(at / 7) for at in range(50_000)])


def test_reading_the_store(against: Hold, tmp_path: Path) -> None:
    source, name = random_source(3000, 8), "hog[size=8,cell=1,block=1,orientations=9]"
    FeatureProvider(Backbones(), cache=tmp_path).features(source, np.arange(3000), name)

    def path() -> None:
        provider = FeatureProvider(Backbones(), cache=tmp_path)
        Images.of(source).bind(provider).features(name)

    values = rng().random((3000, 1764)).astype(np.float32)
    np.save(tmp_path / "plain.npy", values)
    against(path, lambda: [np.load(tmp_path / "plain.npy") for _ in range(4)])


def test_cells_of_a_method_that_does_nothing(against: Hold, tmp_path: Path) -> None:
    """What a cell costs beside its method; the reference does as much JSON as some records."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "null.py").write_text(NULL)
    levels = list(range(20))
    suite = f'datasets = ["digits"]\nmethods = [{{ name = "null", level = {levels} }}]\n'
    plan, found = plan_of(tmp_path, suite)
    runner = Runner(found, Backbones())
    cells = [entry.cell for entry in plan.entries][:20]
    text = make_record().to_json()

    def path() -> None:
        assert {runner.run(cell)[0].status for cell in cells} == {"ok"}

    against(path, lambda: [json.dumps(json.loads(text)) for _ in range(1000)])


def test_a_slower_path_fails_and_noise_does_not() -> None:
    """The rule itself, on logarithms of ratios with 2 % noise."""
    draws = rng()
    wrong = missed = 0
    for _ in range(2000):
        samples = (3 * np.exp(0.02 * draws.normal(size=7))).tolist()
        wrong += 3 * math.exp(0.02 * draws.normal()) > limit(samples)
        missed += 3 * 1.3 * math.exp(0.02 * draws.normal()) <= limit(samples)
    assert wrong <= 20
    assert missed <= 20
    samples = [1.0, 1.01, 0.99, 1.0, 1.02]
    tries = iter([1.4, 1.5])
    with pytest.raises(pytest.fail.Exception, match=r"x got slower: 1\.400 times"):
        hold("x", 1.45, samples, lambda: next(tries))
    hold("x", 1.3, samples, lambda: 1.05)
    with pytest.raises(pytest.fail.Exception, match="4 saved ratios of 5"):
        hold("x", 1.0, samples[:4], lambda: 1.0)
    with pytest.raises(pytest.skip.Exception, match="x: no ratios are saved on this processor"):
        hold("x", 1.0, [], lambda: 1.0)


def test_each_saved_path_is_there() -> None:
    here = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(saved()) <= here
    assert all(len(samples) >= FEWEST and min(samples) > 0 for samples in saved().values())
