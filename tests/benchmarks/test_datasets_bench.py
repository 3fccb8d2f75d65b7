"""What opening data sets costs: CIFAR-10's ten tasks, and a large tree of files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.suite.registry import Registry
from tests.benchmarks.test_features_bench import peak_growth
from tests.datasets.trees import picture, png, write_parquet

OPENING = """
import sys
from bench.suite.registry import Registry
adapter = Registry().datasets["cifar10"].load()
import numpy, pyarrow.parquet, bench.data.layouts, bench.data.images
before = mark()
dataset = adapter()
tasks = [dataset.task(name) for name in dataset.tasks()]
after = peak()
assert len(tasks) == 10 and sum(len(task.train) for task in tasks) == int(sys.argv[1])
print(before, after)
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", str(folder))
    return folder


def test_opening_ten_tasks(benchmark: Any, data: Path) -> None:
    """Aim: below 1 s and 200 MiB for 50,000 + 10,000 images in the hub's layout, once hashed."""
    n_train, n_test = (50_000, 10_000) if benchmark.enabled else (500, 100)
    noise = np.random.default_rng(0)
    for split, n in (("train", n_train), ("test", n_test)):
        # Never decoded; of the size that CIFAR-10's PNGs have.
        pictures = [noise.bytes(2300) for _ in range(n)]
        labels = [i % 10 for i in range(n)]
        path = data / "cifar10" / "plain_text" / f"{split}-00000-of-00001.parquet"
        write_parquet(path, pictures, labels, image="img", label="label", row_group_size=1000)
    # The hash of a file that changed just now would not be kept.
    for path in data.rglob("*.parquet"):
        os.utime(path, (1e9, 1e9))
    Registry().datasets["cifar10"].load()().fingerprint()
    grown = benchmark.pedantic(peak_growth, (OPENING, str(n_train)), rounds=1)
    print(f"\nopening ten tasks took {grown:.0f} MiB more (at most 200)")
    assert grown <= 200


def test_seconds_of_opening_ten_tasks(benchmark: Any, data: Path) -> None:
    """Aim: below 1 s."""
    n = 50_000 if benchmark.enabled else 500
    for split in ("train", "test"):
        path = data / "cifar10" / "plain_text" / f"{split}-00000-of-00001.parquet"
        write_parquet(path, [png(picture(3))] * n, [i % 10 for i in range(n)], image="img", label="label")
        os.utime(path, (1e9, 1e9))
    adapter = Registry().datasets["cifar10"].load()
    adapter().fingerprint()

    def open_all() -> None:
        dataset = adapter()
        assert [len(dataset.task(name).train) for name in dataset.tasks()] == [n // 10] * 10

    benchmark.pedantic(open_all, rounds=3)
    if benchmark.stats:
        print(f"\nopening ten tasks took {benchmark.stats.stats.median:.2f} s (aim < 1)")


def test_indexing_a_large_tree(benchmark: Any, data: Path) -> None:
    """Aim: 100,000 files below 10 s the first time, below 1 s after."""
    n = 100_000 if benchmark.enabled else 500
    content = png(picture(3))
    for part, share in (("train/good", 0.5), ("test/good", 0.25), ("test/hole", 0.25)):
        folder = data / "mine" / part
        folder.mkdir(parents=True)
        for i in range(int(n * share)):
            path = folder / f"{i:06d}.png"
            path.write_bytes(content)
            os.utime(path, (1e9, 1e9))
    adapter = Registry().datasets["folder"].load()

    def index() -> None:
        task = adapter(path=str(data / "mine")).task("mine")
        assert len(task.train) + len(task.test) == n

    started = time.perf_counter()
    index()
    first = time.perf_counter() - started
    benchmark.pedantic(index, rounds=3)
    if benchmark.stats:
        print(
            f"\n{n:,} files: {first:.1f} s the first time (aim < 10), "
            f"{benchmark.stats.stats.median:.2f} s after (aim < 1)"
        )
