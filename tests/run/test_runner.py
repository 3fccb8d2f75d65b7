"""One cell in, one record out: what the record says, and what the method cannot see."""

from __future__ import annotations

import gc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.core.cell import Cell, Record
from bench.core.contamination import Contamination
from bench.data.images import Images
from bench.features.backbone import Backbones
from bench.run.runner import Runner, derive_seed
from bench.suite.registry import Registry
from bench.suite.suite import Limits
from tests.factory import make_cell

SPY = """
from bench import Method, Scores

SEEN = []

class Spy(Method):
    stochastic = True
    def fit(self, train):
        SEEN.append(("train", train, self.seed, self.device))
        self.mean = train.features("pixels[size=8]").mean(0)
    def score(self, test):
        SEEN.append(("test", test, self.seed, self.device))
        return Scores((test.features("pixels[size=8]") - self.mean).square().sum(1))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "spy.py").write_text(SPY)
    return tmp_path


@pytest.fixture
def runner(folder: Path) -> Runner:
    return Runner(Registry([folder]), Backbones())


def cell(method: str = "spy", dataset: str = "digits", task: str = "3", seed: int = 0, **more: Any) -> Cell:
    return make_cell(task, method, dataset=dataset, seed=seed, **more)


def seen(runner: Runner) -> list[Any]:
    found: list[Any] = runner.registry.methods["spy"].load().fit.__globals__["SEEN"]
    return found


def test_the_record_tells_all(runner: Runner) -> None:
    record, scores = runner.run(cell())
    assert record.status == "ok"
    assert scores is not None
    task = runner._open(cell())[0]
    assert record.metrics["auroc"] == pytest.approx(roc_auc_score(task.test_labels, scores), abs=1e-12)
    assert record.metrics["ap"] == pytest.approx(average_precision_score(task.test_labels, scores), abs=1e-12)
    assert record.counts == {
        "train": len(task.train),
        "train_anomalous": 0,
        "test": len(task.test),
        "test_anomalous": int(task.test_labels.sum()),
    }
    assert record.timing is not None
    assert record.timing.wall >= record.timing.fit + record.timing.score
    assert record.timing.features > 0
    assert record.memory["host_peak_bytes"] is None or record.memory["host_peak_bytes"] > 2**20
    for key in ("anobench", "python", "packages", "cpu", "device", "threads", "determinism"):
        assert record.environment[key]
    assert Record.from_json(record.to_json()) == record


def test_scores_are_put_back_into_the_tasks_order(runner: Runner) -> None:
    _, scores = runner.run(cell())
    task = runner._open(cell())[0]
    train, test = (
        images.bind(runner.provider).features("pixels[size=8]") for images in (task.train, task.test)
    )
    expected = (test.double() - train.double().mean(0)).square().sum(1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_positions_say_nothing_about_labels(runner: Runner) -> None:
    where = cell(
        dataset="textures", task="wood", contamination=Contamination(rate=0.2, source="test").resolved()
    )
    runner.run(where)
    task = runner._open(where)[0]
    train, test = seen(runner)[-2:]
    for images, labels, given in (
        (train[1], task.train_labels, task.train),
        (test[1], task.test_labels, task.test),
    ):
        assert labels is not None
        order = np.array(
            [np.flatnonzero((given._rows == r) & (given._which == w))[0] for r, w in _rows(images, given)]
        )
        ranks = np.flatnonzero(labels[order] == 1)
        assert abs(ranks.mean() / len(labels) - 0.5) < 0.25, "anomalies are spread over the whole view"
        assert sorted(order) == list(range(len(labels)))


def _rows(images: Images, given: Images) -> list[tuple[int, int]]:
    names = [given._tickets.index(ticket) for ticket in images._tickets]
    return [(row, names[which]) for row, which in zip(images._rows, images._which, strict=True)]


@pytest.mark.parametrize(("dataset", "task"), [("digits", "3"), ("textures", "wood")])
def test_no_label_can_be_reached_from_what_a_method_holds(runner: Runner, dataset: str, task: str) -> None:
    where = cell(dataset=dataset, task=task, contamination=Contamination(rate=0.1, source="test").resolved())
    runner.run(where)
    opened = runner._open(where)[0]
    assert opened.train_labels is not None
    secrets = {opened.test_labels.tobytes(), opened.train_labels.tobytes()}
    kinds = {kind for kind in opened.test_types if kind != "good"}
    for _, images, *_ in seen(runner):
        for thing in _reachable(images):
            if isinstance(thing, np.ndarray):
                assert thing.astype(np.uint8).tobytes() not in secrets or thing.size < 2
            elif isinstance(thing, str | Path) and dataset == "textures":
                assert not any(f"/{kind}" in str(thing) for kind in kinds)


def _reachable(start: object) -> list[object]:
    """Return what hangs on an object, not through modules, classes and functions."""
    found: dict[int, object] = {}
    todo = [start]
    while todo:
        thing = todo.pop()
        if id(thing) in found or isinstance(
            thing, types.ModuleType | type | types.FunctionType | Runner | Registry
        ):
            continue
        found[id(thing)] = thing
        todo.extend(gc.get_referents(thing))
    return list(found.values())


def test_seeds_come_from_names(runner: Runner) -> None:
    for where in (cell(seed=0), cell(seed=0), cell(seed=1), cell(seed=0, task="4")):
        runner.run(where)
    seeds = [entry[2] for entry in seen(runner) if entry[0] == "train"]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    assert 0 <= derive_seed("a", 1, bits=31) < 2**31
    assert derive_seed("a", 1) != derive_seed("a1")


def test_global_generators_are_seeded(folder: Path) -> None:
    (folder / "methods" / "careless.py").write_text(
        "import random\nimport numpy\nimport torch\nfrom bench import Method, Scores\n"
        "class Careless(Method):\n    def fit(self, train):\n        pass\n"
        "    def score(self, test):\n"
        "        n = len(test)\n"
        "        return Scores(torch.rand(n).numpy() + numpy.random.rand(n) + random.random())\n"
    )
    again = Runner(Registry([folder]), Backbones())
    first, second = again.run(cell("careless"))[1], again.run(cell("careless"))[1]
    assert first is not None
    assert second is not None
    assert first.tobytes() == second.tobytes()


def test_features_are_computed_once(runner: Runner) -> None:
    first, _ = runner.run(cell())
    second, _ = runner.run(cell())
    assert first.timing is not None
    assert second.timing is not None
    assert first.timing.features_from == "computed"
    assert second.timing.features_from == "store"
    assert second.timing.features_cold > 0, "the cold cost stays known when the store has paid for it"


@pytest.mark.parametrize(
    ("bad", "kind", "reason"),
    [
        (cell("nothing"), "SelectorError", "unknown method"),
        (
            cell(dataset="textures", task="wood", contamination=Contamination(rate=0.5, source="test")),
            "DataError",
            "lower",
        ),
    ],
)
def test_whatever_goes_wrong_is_a_record(runner: Runner, bad: Cell, kind: str, reason: str) -> None:
    record, scores = runner.run(bad)
    assert scores is None
    assert record.status == "failed"
    assert record.error is not None
    assert record.error["kind"] == kind
    assert reason in record.error["reason"]


def test_fewer_images_than_a_method_asks_for_are_said(runner: Runner) -> None:
    few = {"dataset": "textures[train=5]", "task": "wood", "backbone": "hog"}
    for wanted, flags in ((5, ()), (6, ("k=6 is more than the task's training images (5)",))):
        record, _ = runner.run(cell("dn2", k=wanted, **few))
        assert record.status == "ok"
        assert record.flags == flags


def test_a_time_limit_does_not_outlive_its_cell(folder: Path) -> None:
    runner = Runner(Registry([folder]), Backbones(), limits=Limits(cell_seconds=30.0))
    import signal

    assert runner.run(cell())[0].status == "ok"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_oracle_chooses_on_the_test_set_and_says_so(folder: Path) -> None:
    text = (
        "from typing import Literal\nfrom bench import Method, Scores\n"
        "class Oracle(Method):\n"
        "    def __init__(self, selection: Literal['last', 'oracle'] = 'last', own: bool = False) -> None:\n"
        "        self.own = own\n"
        "    def fit(self, train):\n        self.mean = train.features('pixels[size=8]').mean(0)\n"
        "    def score(self, test):\n"
        "        far = (test.features('pixels[size=8]') - self.mean).square().sum(1)\n"
        "        if self.own:\n            return Scores(far)\n"
        "        return Scores(-far, candidates={'near': -far, 'far': far})\n"
    )
    (folder / "methods" / "oracle.py").write_text(text)
    runner = Runner(Registry([folder]), Backbones())
    own, _ = runner.run(cell("oracle", own=True, selection="last"))
    chosen, _ = runner.run(cell("oracle", own=False, selection="oracle"))
    refused, _ = runner.run(cell("oracle", own=False, selection="last"))
    assert (own.selection, chosen.selection) == ("last", "oracle")
    assert chosen.metrics == own.metrics
    assert chosen.flags == ("oracle: chose far of 2 on the test set",)
    assert chosen.candidates["far"]["auroc"] == chosen.metrics["auroc"]
    assert chosen.candidates["far"]["anomalous"] > chosen.candidates["far"]["normal"]
    assert Record.from_json(chosen.to_json()).candidates == chosen.candidates
    assert own.candidates == {}
    assert refused.error is not None
    assert refused.error["kind"] == "ScoreError"


def test_the_record_says_how_features_were_stored(folder: Path) -> None:
    exact, _ = Runner(Registry([folder]), Backbones()).run(cell())
    rounded, scores = Runner(Registry([folder]), Backbones(), storage="float16").run(cell())
    assert exact.environment["features"] == {"stored as": "float32"}
    assert rounded.environment["features"] == {"stored as": "float16"}
    assert scores is not None
    assert rounded.metrics["auroc"] == pytest.approx(exact.metrics["auroc"], abs=1e-3)
