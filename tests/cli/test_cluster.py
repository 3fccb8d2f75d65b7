"""``--executor ray | slurm``: what is wrong is said at once, and how to mend it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke


@pytest.mark.parametrize(
    ("module", "words", "reason"),
    [
        ("ray", ["ray"], "the executor ray needs ray, which is not installed"),
        ("submitit", ["slurm"], "the executor slurm needs submitit, which is not installed"),
    ],
)
def test_an_extra_that_is_not_installed(
    toy: Path,
    suite: Callable[..., Path],
    anobench: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    words: list[str],
    reason: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = suite('datasets = ["toy"]\nmethods = ["brightness"]\n')
    ended = anobench("run", path, "--bench", toy, "--executor", *words)
    assert ended.code == 2
    assert reason in ended.err
    assert f"pip install 'anobench[{words[0]}]'" in ended.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["slurm", "--slurm", "partition"], "--slurm partition: expected KEY=VALUE"),
        (["slurm"], "no sbatch here"),
        (["slurm", "--device", "cuda:1"], "a cluster hands out its GPUs itself"),
        (["ray", "--device", "cuda:1"], "a cluster hands out its GPUs itself"),
        (["ray", "--address", "127.0.0.1:1"], "nobody answers there"),
        (["rya"], "expected one of auto, inline, pool, ray, slurm"),
    ],
)
def test_options_that_cannot_be(
    toy: Path,
    suite: Callable[..., Path],
    anobench: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    reason: str,
) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'anobench[ray]'")
    pytest.importorskip("submitit", reason="needs submitit: pip install 'anobench[slurm]'")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    path = suite('datasets = ["toy"]\nmethods = ["brightness"]\n')
    ended = anobench("run", path, "--bench", toy, "--executor", *words)
    assert ended.code == 2
    assert reason in ended.err
    assert "Traceback" not in ended.err
