"""Wrappers in the runner: what the truth says of their choice, and that they never get at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.cell import Cell, Record
from bench.features.backbone import Backbones
from bench.run.runner import Runner
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import adhoc_suite
from tests.datasets.test_labels_out_of_reach import reachable, tells
from tests.datasets.trees import write_mvtec

KNOWING = '''
"""Bright: defective images of this test are brighter than all good ones, so that this base knows all."""
from bench import Method, Scores

class Bright(Method):
    def __init__(self, backbone: str = "default"):
        self.backbone = backbone
    def fit(self, train):
        self.features = train.features(self.backbone)
    def score(self, test):
        return Scores(test.features(self.backbone).mean(1))
'''
WRAPPERS = {
    "curious": ("oracle", True),
    "cheat": ("last", True),
}
WRAPPER = '''
"""A wrapper that notes how many images it got."""
from bench import BaseMethod, Wrapper

class Mine(Wrapper):
    selection = "{selection}"
    only_clean = {only_clean}
    def __init__(self, base: BaseMethod = "bright"):
        pass
    def fit(self, train):
        self.fit_final(train)
        self.notes = (f"got {{len(train)}}",)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a bench folder and, beside it, images: 24 to train on, 4 good and 26 brighter bad ones."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "bright.py").write_text(KNOWING)
    for name, (selection, only_clean) in WRAPPERS.items():
        text = WRAPPER.format(selection=selection, only_clean=only_clean)
        (tmp_path / "methods" / f"{name}.py").write_text(text)
    write_mvtec(tmp_path / "mine", train=24, good=4, hole=26)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Record]:
    registry = Registry([folder])

    def ran(method: str, *, rate: float = 0.0, seed: int = 0, runner: Runner | None = None) -> Record:
        where = runner or Runner(registry, Backbones())
        record, _ = where.run(cell_of(registry, folder, method, rate, seed))
        return record

    return ran


def cell_of(registry: Registry, folder: Path, method: str, rate: float = 0.0, seed: int = 0) -> Cell:
    suite = adhoc_suite(
        *([f"folder[path={folder / 'mine'}]"], [method]),
        backbone="pixels[size=4]",
        seeds=[seed],
        contamination={"rates": [rate], "source": "test"} if rate else [0.0],
    )
    (entry,) = make_plan(suite, registry).entries
    return entry.cell


@pytest.mark.parametrize("rate", [0.2, 0.4])
@pytest.mark.parametrize("wrapper", ["llbnad", "trim"])
def test_a_base_that_knows_lets_no_anomaly_through(
    run: Callable[..., Record], wrapper: str, rate: float
) -> None:
    for keep in (0.2, 0.5, 1 - rate):
        record = run(f"{wrapper}[base=bright,keep={keep}]", rate=rate)
        assert record.status == "ok", record.error
        assert record.counts["train_anomalous"] == int(rate / (1 - rate) * 24)
        assert record.metrics["kept_anomalous"] == 0
        assert record.metrics["filter_auroc"] == 1
        kept = int(keep * record.counts["train"])
        assert record.metrics["normals_lost"] == pytest.approx(1 - kept / 24)
    everything = run(f"{wrapper}[base=bright,keep=1.0]", rate=rate)
    assert everything.metrics["kept_anomalous"] == pytest.approx(everything.contamination["rate"])
    assert everything.metrics["normals_lost"] == 0


def test_a_clean_set_has_no_filter_to_judge(run: Callable[..., Record]) -> None:
    record = run("trim[base=bright]")
    assert record.metrics["normals_lost"] == 0.5
    assert record.metrics["kept_anomalous"] == 0
    assert "filter_auroc" not in record.metrics
    assert Record.from_json(record.to_json()) == record
    assert 0 <= run("srr[base=bright]", rate=0.2).metrics["estimated_rate"] <= 0.5
    assert "estimated_rate" not in run("srr[base=bright,rate=0.2]", rate=0.2).metrics
    assert "kept_anomalous" not in run("bright").metrics
    assert "kept_anomalous" not in run("iterative[base=bright,rounds=0]").metrics


def test_an_oracle_gets_the_clean_images_and_is_called_one(run: Callable[..., Record]) -> None:
    record = run("curious", rate=0.4)
    assert record.status == "ok", record.error
    assert record.selection == "oracle"
    assert "got 24" in record.flags
    assert record.counts["train"] == 40, "the record says what the training set was"
    assert "kept_anomalous" not in record.metrics


def test_without_the_tag_nobody_gets_them(run: Callable[..., Record]) -> None:
    record = run("cheat", rate=0.4)
    assert record.status == "failed"
    assert record.error is not None
    assert 'its class must say selection = "oracle"' in record.error["reason"]


def test_an_oracle_is_the_bare_method_on_a_clean_set(folder: Path) -> None:
    registry = Registry([folder])
    runner = Runner(registry, Backbones())
    bare = runner.run(cell_of(registry, folder, "dn2"))[1]
    oracle = runner.run(cell_of(registry, folder, "oracle_clean[base=dn2]"))[1]
    assert bare is not None
    assert oracle is not None
    assert bare.tobytes() == oracle.tobytes()


@pytest.mark.parametrize(
    "base", ["isolation_forest", "cap[epochs=1]", "sla2p[epochs=1,transforms=2]", "bright"]
)
def test_a_wrapper_that_keeps_all_is_the_bare_method_to_the_bit(folder: Path, base: str) -> None:
    registry = Registry([folder])
    runner = Runner(registry, Backbones())
    bare = runner.run(cell_of(registry, folder, base, 0.2))[1]
    for wrapper in (f"llbnad[base={base},subsets=1,keep=1.0]", f"iterative[base={base},rounds=0]"):
        # A deterministic pair has no seed in its cell, as the bare method has none.
        record, scores = runner.run(cell_of(registry, folder, wrapper, 0.2))
        assert record.status == "ok", record.error
        assert record.cell.seed == cell_of(registry, folder, base, 0.2).seed
        assert bare is not None
        assert scores is not None
        assert bare.tobytes() == scores.tobytes()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the table of a tiny network with random weights."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), file)
    sizes = {"resize": 64, "crop": 64, "mean": [0.5] * 3, "std": [0.5] * 3}
    return {"timm": "test_resnet", "file": str(file), **sizes}


@pytest.mark.parametrize(
    "wrapper", ["llbnad", "iterative", "trim", "oracle_clean", "meds", "srr", "aar", "ephad"]
)
def test_no_forward_pass_beyond_the_bare_methods(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, network: dict[str, Any], wrapper: str
) -> None:
    registry, passes = Registry([folder]), []
    for name, method in (("bare", "dn2"), ("wrapped", f"{wrapper}[base=dn2]")):
        monkeypatch.setenv("ANOBENCH_CACHE", str(cache / name))
        suite = adhoc_suite(
            *([f"folder[path={folder / 'mine'}]"], [method, "dn2", f"{wrapper}[base=mahalanobis]"]),
            backbone="tiny",
            backbones={"tiny": network},
            contamination={"rates": [0.2], "source": "test"},
        )
        runner = Runner(registry, Backbones(suite.file.backbones, suite.folder))
        entries = make_plan(suite, registry).entries
        assert runner.run(entries[0].cell)[0].status == "ok"
        passes.append(runner.provider.forward_passes)
        for entry in entries[1:]:
            assert runner.run(entry.cell)[0].status == "ok"
        # 24 normal and 6 anomalous images to train on, 24 to test: each goes through the network once.
        assert runner.provider.forward_passes == 54
    assert passes == [54, 48 if wrapper == "oracle_clean" else 54]


@pytest.mark.parametrize("wrapper", ["llbnad", "iterative", "trim", "meds", "srr", "aar", "ephad"])
def test_no_label_can_be_reached_from_a_wrapper(folder: Path, wrapper: str) -> None:
    registry = Registry([folder])
    runner = Runner(registry, Backbones())
    made: list[Any] = []
    make = runner._make
    runner._make = lambda *given: made.append(make(*given)) or made[-1]  # type: ignore[method-assign,func-returns-value]
    cell = cell_of(registry, folder, f"{wrapper}[base=dn2]", 0.4)
    assert runner.run(cell)[0].status == "ok"
    task = runner._open(cell)[0]
    (method,) = made
    # The provider knows rows and features of all sources, and reads the cell's images only.
    reached = reachable({name: value for name, value in vars(method).items() if name != "purification"})
    assert tells(reached, task, {"hole", "ground_truth"}) == []
    truth = task.train_labels
    assert truth is not None
    assert not any(isinstance(item, Runner | Registry) for item in reached)


def test_a_purification_that_makes_no_sense_fails_its_cell(folder: Path) -> None:
    text = (folder / "methods" / "curious.py").read_text().replace("only_clean = True", "")
    text = text.replace('"oracle"', '"last"').replace("import BaseMethod", "import Purification, BaseMethod")
    for name, purification, words in (
        ("short", "Purification([True])", "kept must be 24 booleans"),
        ("rows", "Purification(list(range(24)))", "kept must be 24 booleans"),
        ("none", "Purification([False] * 24)", "kept none of 24"),
        ("nans", "Purification([True] * 24, [float('nan')] * 24)", "24 of 24 scores are NaN"),
        ("few", "Purification([True] * 24, [0.0] * 3)", "expected 24 scores"),
    ):
        more = f"        self.purification = {purification}\n"
        (folder / "methods" / f"{name}.py").write_text(text + more)
        registry = Registry([folder])
        record, _ = Runner(registry, Backbones()).run(cell_of(registry, folder, name))
        assert record.status == "failed"
        assert record.error is not None
        assert words in record.error["reason"]


def test_a_method_that_is_no_wrapper_gets_no_base(folder: Path) -> None:
    (folder / "methods" / "odd.py").write_text(
        '"""Odd."""\nfrom bench import BaseMethod, Method, Scores\n\nclass Odd(Method):\n'
        '    def __init__(self, base: BaseMethod = "dn2"):\n        pass\n'
        "    def fit(self, train):\n        pass\n"
        "    def score(self, test):\n        return Scores([0.0] * len(test))\n"
    )
    registry = Registry([folder])
    record, _ = Runner(registry, Backbones()).run(cell_of(registry, folder, "odd"))
    assert record.error is not None
    assert "must derive from bench.Wrapper" in record.error["reason"]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("lof", "lof needs at least 2 training images"),
        ("plume", "PLUME needs at least 2 training images"),
        ("llbnad[base=dn2]", "1 training images cannot be cut into 3 subsets"),
    ],
)
def test_too_few_images_for_a_method_fail_its_cell_alone(
    folder: Path, run: Callable[..., Record], method: str, words: str
) -> None:
    import shutil

    shutil.rmtree(folder / "mine")
    write_mvtec(folder / "mine", train=1)
    record = run(method)
    assert record.status == "failed"
    assert record.error is not None
    assert words in record.error["reason"]
    assert run("dn2").status == "ok"


def test_scores_are_finite(run: Callable[..., Record]) -> None:
    for wrapper in ("llbnad", "iterative", "trim", "oracle_clean"):
        metrics = run(f"{wrapper}[base=dn2]", rate=0.2).metrics
        assert np.isfinite(list(metrics.values())).all()
