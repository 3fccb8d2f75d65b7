"""A toy bench folder: one small data set and methods that behave and misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli import main

DATASET = '''
"""Toy: bright squares are anomalous."""
import numpy as np
from bench import (ArraySource, Dataset, Images, PositiveInt, Task,)

class Toy(Dataset):
    synthetic = True
    def __init__(self, n: PositiveInt = 20) -> None:
        self.n = n
    def tasks(self):
        return ["a", "b"]
    def fingerprint(self):
        return f"toy-{self.n}"
    def task(self, name):
        rng = np.random.default_rng({"a": 1, "b": 2}[name])
        train = rng.integers(0, 100, (self.n, 4, 4, 3), dtype=np.uint8)
        test = rng.integers(0, 100, (20, 4, 4, 3), dtype=np.uint8)
        labels = np.repeat([0, 1], 10).astype(np.uint8)
        test[labels == 1] += rng.integers(0, 120, (10, 1, 1, 1), dtype=np.uint8)
        sources = (
            ArraySource(f"toy/{name}/train", f"{name}-train-{self.n}", self.n, lambda: train),
            ArraySource(f"toy/{name}/test", f"{name}-test-{self.n}", 20, lambda: test),
        )
        return Task(name=name, train=Images.of(sources[0]), test=Images.of(sources[1]), test_labels=labels,
                    test_types=tuple(["good"] * 10 + ["bright"] * 10), sources=sources)
'''

METHODS = {
    "brightness": "return Scores(test.features('pixels[size=4]').mean(1))",
    "makes_nan": "return Scores([float('nan')] * len(test))",
    "miscounts": "return Scores([0.0] * (len(test) - 1))",
    "constant": "return Scores([1.0] * len(test))",
    "crashes": "raise RuntimeError('the planted failure')",
    "slow": "import time; time.sleep(30)",
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Return a bench folder with the data set ``toy`` and the methods of `METHODS`."""
    folder = tmp_path / "toybench"
    for name in ("methods", "datasets", "suites"):
        (folder / name).mkdir(parents=True)
    (folder / "datasets" / "toy.py").write_text(DATASET)
    for name, body in METHODS.items():
        (folder / "methods" / f"{name}.py").write_text(
            f'"""Toy method: {name}."""\n'
            "from bench import Method, Scores\n\n"
            f"class Toy{name.title().replace('_', '')}(Method):\n"
            f"    def __init__(self, level: int = 0) -> None:\n        self.level = level\n"
            "    def fit(self, train):\n        pass\n"
            f"    def score(self, test):\n        {body}\n"
        )
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def anobench(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return a function that runs the command line in this process, from an empty working directory."""

    assert here == Path.cwd()

    def invoke(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["anobench", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return invoke


@pytest.fixture
def process(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts the command line as a process of its own."""

    def start(*words: object, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *map(str, words)],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(Path(bench.__file__).resolve().parent.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    return start


@pytest.fixture
def suite(toy: Path) -> Callable[..., Path]:
    """Return a function that writes a suite file into the toy bench folder."""

    def write(text: str, name: str = "trial") -> Path:
        path = toy / "suites" / f"{name}.toml"
        path.write_text(text)
        return path

    return write
