"""Whole cells on a stand-in GPU: what their records say, and what is kept of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.data.source import ArraySource
from bench.features.backbone import Backbones
from bench.features.device import arithmetic, cache_bytes, deterministic
from bench.features.provider import FeatureProvider
from bench.run.executors.worker import _held_device_bytes
from bench.run.measure import PeakMemory
from bench.run.runner import Runner
from bench.run.standin import standin
from bench.suite.registry import Registry
from bench.train.method import Scores
from tests.factory import make_cell, run_cells, write_method

GPU = torch.device("cuda")
WARNS = (
    "import warnings; warnings.warn('cumsum_cuda_kernel does not have a deterministic implementation, but "
    "you set torch.use_deterministic_algorithms(True, warn_only=True)')"
)


def ran(tmp_path: Path, device: str, **method: str) -> Record:
    registry = Registry(
        [write_method(tmp_path / "bench", "trial", "return Scores([0.0] * len(test))", **method)]
    )
    return run_cells([make_cell(method="trial")], Archive(tmp_path / device), registry, device=device)[0]


def test_an_operation_that_is_not_deterministic_is_in_the_record(tmp_path: Path) -> None:
    with standin():
        record = ran(tmp_path, "cuda", fit=WARNS)
        plain = run_cells([make_cell()], Archive(tmp_path / "plain"), device="cuda")[0]
    assert record.status == plain.status == "ok", record.error
    assert "may differ from run to run: no deterministic implementation of cumsum_cuda_kernel" in record.flags
    assert record.environment["determinism"]["algorithms"] is False
    assert plain.environment["determinism"]["algorithms"] is True
    assert not any("differ" in flag for flag in plain.flags)
    assert plain.environment["device"] == "cuda:0"
    assert plain.memory["device_peak_bytes"], "of the stand-in"


def test_cublas_learns_before_cuda_starts_that_it_should_be_deterministic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's choice"


def test_features_of_a_gpu_are_kept_apart_from_those_of_a_cpu(cache: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    source = ArraySource("given", "given", 6, lambda: pixels)
    rows, keys = np.arange(6), []
    for device in ("cpu", "cuda", "cpu"):
        with standin():
            provider = FeatureProvider(Backbones({}, None), device)
            found = provider.features(source, rows, "hog")
            assert found.device.type == device
        keys.append({path.parent.name for path in (cache / "features").rglob("key.json")})
    assert [len(each) for each in keys] == [1, 2, 2]
    assert provider.usage().computed_rows == 0, "the CPU's features are still there"
    assert arithmetic("float32", torch.device("cpu")) == "float32", "the key of features that users have"


@pytest.mark.parametrize(("free", "kept"), [(2**40, 2**32), (24 * 2**30, 3 * 2**29), (2**30, 2**28)])
def test_what_stays_on_a_card_depends_on_its_free_memory(free: int, kept: int) -> None:
    with standin(memory=free):
        assert cache_bytes(GPU) == kept
        provider = FeatureProvider(Backbones({}, None), "cuda", cache=None)
        assert provider._hot.limit == kept
        assert provider._pixels is not None
        assert provider._pixels.limit == kept // 2
    assert FeatureProvider(Backbones({}, None), "cpu", cache=None)._hot.limit == 2**30


def test_maps_are_copied_from_a_device_as_they_are_and_widened_on_the_host() -> None:
    with standin() as counts:
        maps = torch.rand(3, 4, 4, device="cuda")
        counts.clear()
        parts = list(Scores(torch.zeros(3, device="cuda"), maps=maps).each_part(3))
        assert not counts.kernels
        assert counts.totals()["to_host"] == 2
        np.testing.assert_array_equal(parts[0][1], maps.cpu().double().numpy())


def test_the_peak_is_what_torch_took_of_the_device() -> None:
    with standin() as _, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "max_memory_reserved", lambda *_: 700)
        patch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 400)
        assert PeakMemory(GPU).read()["device_peak_bytes"] == 700


def test_a_worker_gives_back_what_it_does_not_use_and_says_what_it_keeps() -> None:
    emptied: list[bool] = []
    with standin() as _, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
        runner = Runner(Registry(), Backbones({}, None), device="cuda")
        kept = torch.zeros(1000, device="cuda")
        assert _held_device_bytes(runner) >= kept.nbytes
    assert emptied
