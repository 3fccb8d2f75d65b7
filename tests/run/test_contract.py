"""``anobench try``: planted faults are named with their line, and sound methods pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from bench.core.errors import AnobenchError
from bench.run.contract import CHECKS, summary, trial
from bench.suite.adapterfile import read_adapter
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.cli.conftest import Invoke, anobench, here

__all__ = ["anobench", "here"]

SOUND = '''"""Distance to the mean."""

import random
import time

import numpy as np
import torch

from bench import Images, Method, Scores, generator_for

KEPT = []


class Planted(Method):
    """Distance to the mean of the training features."""

    def __init__(self, backbone: str = "default") -> None:
        self.backbone = backbone

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.mean = features.mean(0)

    def score(self, test: Images) -> Scores:
        features = test.features(self.backbone)
        return Scores((features - self.mean).norm(dim=1))
'''
RETURN = "        return Scores((features - self.mean).norm(dim=1))\n"
MEAN = "        self.mean = features.mean(0)\n"


def problems(folder: Path, text: str, checks: Collection[str] | None = None) -> list[tuple[str, str, str]]:
    path = folder / "planted.py"
    path.write_text(text)
    adapter = read_adapter("method", path)
    assert adapter is not None
    found, tried = trial(resolve(adapter, {}, Registry(), "a test"), checks)
    assert found or set(tried.seconds) == {"fit", "score"}
    return [(each.check, each.said, each.where) for each in found]


def test_a_sound_method_passes(tmp_path: Path) -> None:
    assert problems(tmp_path, SOUND) == []


#: What is planted: the line that replaces another, the check that finds it, what it says, and a part of the
#: line that it names.
FAULTS = {
    "a bare tensor": (RETURN, RETURN.replace("Scores(", "("), "scores", "return Scores", "return ((features"),
    "too few": (
        RETURN,
        RETURN.replace("norm(dim=1)", "norm(dim=1)[1:]"),
        "scores",
        "expected 24 scores",
        "[1:]",
    ),
    "a crash": (MEAN, "        raise KeyError('x')\n", "scores", "KeyError", "raise KeyError"),
    "nan": (
        MEAN,
        MEAN.replace("mean(0)", "mean(0) / (features.amax(0) - features.amin(0)).max()"),
        "finite",
        "equal",
        "return Scores",
    ),
    "few": (MEAN, "        self.mean = features[[2, 5]].mean(0)\n", "finite", "two", "features[[2, 5]]"),
    "flipped": (RETURN, RETURN.replace("((", "(-("), "direction", "wrong way", "return Scores(-("),
    "chance": (
        MEAN,
        "        self.mean = features.mean(0) + np.random.default_rng().random()\n",
        "determinism",
        "one seed",
        "default_rng()",
    ),
    "undeclared": (
        MEAN,
        "        noise = torch.rand(1, generator=generator_for(self.seed, 'x'))\n"
        "        self.mean = features.mean(0) + noise\n",
        "determinism",
        "stochastic = True",
        "class Planted",
    ),
    "overdeclared": (
        "    def __init__",
        "    stochastic = True\n\n    def __init__",
        "determinism",
        "no seed changes",
        "stochastic = True",
    ),
    "company": (
        RETURN,
        RETURN.replace("self.mean", "features.mean(0)"),
        "company",
        "scored with it",
        "return",
    ),
    "order": (
        RETURN,
        RETURN.replace("norm(dim=1)", "norm(dim=1) * torch.arange(1, len(features) + 1)"),
        "company",
        "order",
        "return Scores",
    ),
    "inside": (
        "import torch\n",
        "import torch\nfrom bench.data import images\n",
        "reach",
        "inside",
        "bench.data",
    ),
    "labels": (RETURN, "        test._tickets\n" + RETURN, "reach", "labels can be found", "test._tickets"),
    "threads": (
        MEAN,
        MEAN + "        torch.set_num_threads(7)\n",
        "surroundings",
        "put back",
        "set_num_threads",
    ),
    "memory": (
        MEAN,
        MEAN + "        KEPT.append(np.ones(100_000))\n",
        "memory",
        "more bytes",
        "KEPT.append",
    ),
    "remembers": (
        MEAN,
        "        self.mean = features.mean(0) + getattr(self, 'mean', 0)\n",
        "refit",
        "remembers",
        "def fit",
    ),
}


TRAINED = SOUND.replace("Images, Method, Scores, generator_for", "Images, Method, Scores, Training").replace(
    MEAN,
    """        self.mean = torch.nn.Parameter(torch.zeros(features.shape[1], device=self.device))
        self.scale = torch.nn.Parameter(torch.ones((), device=self.device))
        optimiser = torch.optim.SGD([self.mean, self.scale], lr=0.1)

        def loss(step: int) -> torch.Tensor:
            return (self.scale * features - self.mean).square().mean() + (self.scale - 1).square()

        state = {"mean": self.mean, "scale": self.scale}
        Training(method=self, optimiser=optimiser, state=state, steps=12).run(loss)
""",
)
TRAINED = TRAINED.replace("(features - self.mean)", "(self.scale * features - self.mean)")
#: The same of a method that trains.
OF_TRAINING = {
    "forgets": (
        'state = {"mean": self.mean, "scale": self.scale}',
        'state = {"mean": self.mean}',
        "resume",
        "Training(state=...)",
        "Training(method=self",
    ),
    "counts its steps": (
        "            return (self.scale",
        "            self.done = getattr(self, 'done', 0) + 1\n            return self.done * (self.scale",
        "resume",
        "other scores",
        "Training(method=self",
    ),
    "wrong side": (
        "torch.zeros(features.shape[1], device=self.device)",
        "torch.zeros(features.shape[1])",
        "device",
        "on a GPU: ",
        "(self.scale * features",
    ),
    "numpy": (
        "        optimiser =",
        "        self.spread = float(np.std(features.numpy()))\n        optimiser =",
        "device",
        "on a GPU: TypeError",
        "features.numpy()",
    ),
    "waits": (
        "            return (self.scale",
        "            self.last = self.mean.sum().item()\n            return (self.scale",
        "device",
        "makes a GPU wait 1 times",
        ".item()",
    ),
    "waits in a condition": (
        "            return (self.scale",
        "            if self.mean.sum() > 1e9:\n                pass\n            return (self.scale",
        "device",
        "makes a GPU wait 1 times",
        "if self.mean.sum() > 1e9:",
    ),
    "draws there": (
        "torch.zeros(features.shape[1], device=self.device)",
        "100 * torch.rand(features.shape[1], device=self.device, "
        "generator=torch.Generator(self.device).manual_seed(self.seed))",
        "device",
        "draw on the host",
        "torch.Generator(self.device)",
    ),
}


def test_a_sound_method_that_trains_passes(tmp_path: Path) -> None:
    assert problems(tmp_path, TRAINED, {"resume", "device"}) == []


@pytest.mark.parametrize("fault", OF_TRAINING)
def test_a_fault_of_training_is_named_with_its_line(fault: str, tmp_path: Path) -> None:
    line, planted, check, said, where = OF_TRAINING[fault]
    assert line in TRAINED
    found = problems(tmp_path, TRAINED.replace(line, planted), {check})
    assert [each[0] for each in found] == [check]
    assert said in found[0][1], found
    assert where in found[0][2], found


ASKING = SOUND.replace(
    MEAN,
    """        assert self.labelled is not None
        others, classes = self.auxiliary["surface"], self.auxiliary_classes["surface"]
        assert len(others) == len(classes) and set(classes) == {"noise", "negative"}
        both = [each.features(self.backbone).mean(0) for each in (self.labelled, others)]
        self.mean = features.mean(0) - 0.01 * sum(both)
""",
).replace(
    'def __init__(self, backbone: str = "default") -> None:',
    """few_shot = True
    auxiliary_images = {"surface": {"own": ""}}

    def __init__(self, surface: str = "nowhere", backbone: str = "default") -> None:
        self.surface = surface""",
)


def test_labelled_anomalies_and_auxiliary_images_are_given(tmp_path: Path) -> None:
    """On the CPU and on the stand-in; no folder of that name is looked for."""
    assert problems(tmp_path, ASKING, CHECKS.keys() - {"memory"}) == []
    words = ASKING.replace('= "nowhere"', '= "own"')
    (found,) = problems(tmp_path, words, {"finite"})  # a word for which there are no images
    assert found[:2] == ("scores", "KeyError: 'surface'")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_line(fault: str, tmp_path: Path) -> None:
    line, planted, check, said, where = FAULTS[fault]
    assert line in SOUND
    found = [each for each in problems(tmp_path, SOUND.replace(line, planted), {check}) if each[0] == check]
    assert found
    assert any(said in each[1] for each in found), found
    assert any(where in each[2] and str(tmp_path / "planted.py") in each[2] for each in found), found


@pytest.mark.parametrize("name", ["dn2", "mean_distance", "isolation_forest"])
def test_stock_methods_pass(name: str) -> None:
    from bench.core.selector import parse

    registry, selector = Registry(), parse(name)
    (adapter,) = registry.match("method", selector, "a test")
    found, _ = trial(resolve(adapter, dict(selector.params), registry, "a test"))
    assert not found


def test_every_check_says_what_it_asks() -> None:
    assert all(summary(name).endswith(".") for name in CHECKS)


def test_what_cannot_be_tried(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("from bench import Method\nclass A(Method:\n")
    adapter = read_adapter("method", tmp_path / "planted.py")
    assert adapter is not None
    with pytest.raises(AnobenchError, match=r"planted\.py"):
        trial(resolve(adapter, {}, Registry(), "a test"))


def test_the_command_and_the_plug_in(anobench: Invoke, here: Path) -> None:
    (here / "methods").mkdir()
    (here / "methods" / "planted.py").write_text(SOUND)
    for given in ("planted", "methods/planted.py"):
        ended = anobench("try", given)
        assert ended.code == 0, ended.out + ended.err
        assert ended.out.count("ok  ") == len(CHECKS)
    (here / "methods" / "flipped.py").write_text(SOUND.replace(RETURN, FAULTS["flipped"][1]))
    ended = anobench("try", "flipped", "--json")
    assert ended.code == 1
    (only,) = json.loads(ended.out)["problems"]
    assert only["check"] == "direction"
    assert anobench("try", "nothing").code == 2
    assert anobench("try", "nothing.py").code == 2
    (here / "other.py").write_text("x = 1\n")
    assert anobench("try", "other.py").code == 2
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "bench.run.plugin"]
    words += ["--anobench", "methods", "methods"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=here, env=environment)
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    alone = [*words[:-1], "--anobench", "nowhere"]
    ran_alone = subprocess.run(
        words[:-1], capture_output=True, text=True, check=False, cwd=here, env=environment
    )
    assert "1 failed, 1 passed" in ran_alone.stdout, "the option alone says what is collected"
    nowhere = subprocess.run(alone, capture_output=True, text=True, check=False, cwd=here, env=environment)
    assert "--anobench nowhere: there is no such folder" in nowhere.stderr
    assert "its scores point the wrong way" in ran.stdout
