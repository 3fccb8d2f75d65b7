"""User mistakes: exit status 2, one clear message, no traceback, nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Ended, Invoke


def refused(ended: Ended, here: Path, *words: str) -> None:
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert not list(here.rglob("*.json")), "nothing is written before the plan holds"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'datasets = ["toy"]\nmetods = ["constant"]',
            ["'metods'", "did you mean 'methods'", "'methods' is missing"],
        ),
        (
            'datasets = ["toy"]\nmethods = ["constnt"]',
            ["methods[0]", "unknown method 'constnt'", "'constant'"],
        ),
        (
            'datasets = ["toi"]\nmethods = ["constant"]',
            ["datasets[0]", "unknown data set 'toi'", "did you mean 'toy'"],
        ),
        ('datasets = ["toy"]\nmethods = ["constant[level=high]"]', ["level", "a whole number", "'high'"]),
        (
            'datasets = ["toy"]\nmethods = [{ name = "constant", level = "1" }]\nseeds = ["x"]',
            ["seeds[0]", "'x'"],
        ),
        (
            'datasets = ["toy"]\nmethods = [{ name = "constant", level = 1.5 }]',
            ["level", "a whole number", "1.5"],
        ),
        ('datasets = ["toy"]\nmethods = ["constant[levle=1]"]', ["'levle'", "did you mean 'level'"]),
        ('datasets = ["toy[n=0]"]\nmethods = ["constant"]', ["toy", "n", "a whole number above 0", "'0'"]),
        ('datasets = ["toy[task=c]"]\nmethods = ["constant"]', ["no task 'c'", "a, b"]),
        ('datasets = ["toy"]\nmethods = ["constant["]', ["methods[0]", "'constant['"]),
        ('datasets = ["toy"]\nmethods = ["constant"]\ncontamination = [0.7]', ["contamination", "0 to 0.5"]),
        (
            'datasets = ["toy"]\nmethods = ["constant"]\ncontamination = { rate = [0.1] }',
            ["'contamination.rate'", "rates"],
        ),
        ('datasets = ["toy"]\nmethods = ["constant"]\nseeds = [1, 1]', ["seeds"]),
        ('datasets = ["toy"]\nmethods = []', ["methods"]),
        ('datasets = ["toy"]\nmethods = "constant"', ["methods"]),
        ('datasets = ["toy"\nmethods = ["constant"]', ["not valid TOML", "line"]),
        ('datasets = ["toy"]\nmethods = ["dn2[backbone=pixls]"]', ["pixls", "pixels"]),
        (
            'datasets = ["toy"]\nmethods = ["dn2[backbone=m]"]\n'
            '[backbones.m]\ntimm = "resnet18"\nfile = "no.safetensors"',
            ["no.safetensors"],
        ),
        ('datasets = ["toy"]\nmethods = ["constant"]\n[backbones.m]\ntim = "resnet18"', ["tim"]),
    ],
)
def test_suite_mistakes(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path, text: str, words: list[str]
) -> None:
    path = suite(text)
    refused(anobench("run", path, "--bench", toy), here, str(path), *words)


def test_unknown_suite(anobench: Invoke, here: Path) -> None:
    refused(anobench("run", "quikstart"), here, "did you mean 'quickstart'")
    refused(anobench("run", "no/such.toml"), here, "no suite file no/such.toml")
    refused(anobench("run"), here, "--dataset and --method")


def test_no_bench_folder(anobench: Invoke, here: Path) -> None:
    refused(anobench("list", "--bench", here), here, str(here), "methods/, datasets/ or suites/")


def test_a_file_without_an_adapter_is_named(toy: Path, anobench: Invoke, here: Path) -> None:
    (toy / "methods" / "nothing.py").write_text("from bench import Method\n\nclass Nothing:\n    pass\n")
    refused(
        anobench("run", "-d", "toy", "-m", "nothing", "--bench", toy),
        here,
        "nothing.py",
        "derives from Method",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_cannot_be_written(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    (here / "results").mkdir(mode=0o500)
    path = suite('datasets = ["toy"]\nmethods = ["constant"]')
    refused(anobench("run", path, "--bench", toy), here, "results", "cannot be written")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that nobody may write")
def test_results_where_nobody_may_write(
    toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path
) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["constant"]')
    ended = anobench("run", path, "--bench", toy, "--results", "/proc/anobench")
    refused(ended, here, "/proc/anobench", "cannot be written", "--results")


def test_results_that_are_a_file(toy: Path, suite: Callable[..., Path], anobench: Invoke, here: Path) -> None:
    (here / "results").write_text("")
    path = suite('datasets = ["toy"]\nmethods = ["constant"]')
    refused(anobench("run", path, "--bench", toy), here, "results", "choose another folder with --results")


CIFAR = 'datasets = ["cifar10"]\nmethods = ["mean_distance[backbone=pixels]"]'


def test_a_data_folder_that_is_missing(
    suite: Callable[..., Path], anobench: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(here / "nowhere"))
    refused(anobench("run", suite(CIFAR)), here, str(here / "nowhere"), "not a folder")


def test_a_data_folder_that_is_empty(
    suite: Callable[..., Path], anobench: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "data" / "cifar10").mkdir(parents=True)
    monkeypatch.setenv("ANOBENCH_DATA", str(here / "data"))
    refused(anobench("run", suite(CIFAR)), here, str(here / "data" / "cifar10"), "parquet", "data_batch_1")


def test_a_truncated_image_is_named(
    suite: Callable[..., Path], anobench: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ):
            folder = here / "data" / "cifar10" / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    broken = here / "data" / "cifar10" / "test" / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:-200])
    monkeypatch.setenv("ANOBENCH_DATA", str(here / "data"))
    refused(anobench("run", suite(CIFAR)), here, str(broken), "truncated")


def test_a_gpu_that_is_not_there(toy: Path, anobench: Invoke) -> None:
    ended = anobench("run", "-d", "toy", "-m", "constant", "--bench", toy, "--device", "cuda:77")
    assert ended.code == 2
    assert "cuda:77" in ended.err
