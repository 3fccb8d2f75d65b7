"""``anobench doctor --gpu`` without a GPU: what a stand-in can show, and an honest word on the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.run import gpucheck
from tests.cli.conftest import Invoke


def test_without_a_gpu_it_says_so_and_shows_what_a_stand_in_can(
    anobench: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "gpu.json"
    ended = anobench("doctor", "--gpu", "-o", str(file))
    assert ended.code == 0, ended.out
    assert "no GPU that torch can use" in ended.out
    found = {each["name"]: each for each in json.loads(file.read_text())["checks"]}
    assert found.keys() == {title for title, _, _ in gpucheck.CHECKS}
    for title, _, where in gpucheck.CHECKS:
        assert found[title]["outcome"] == ("skip" if where == "gpu" else "pass"), found[title]


def test_a_check_that_fails_is_shown_and_is_the_exit_status(
    anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(device: torch.device) -> str:
        raise gpucheck.CheckFailed(f"{device} is broken")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpucheck, "CHECKS", (("a check", broken, "any"),))
    ended = anobench("doctor", "--gpu")
    assert ended.code == 1
    assert "cuda:0 is broken" in ended.out


def test_a_file_goes_with_gpu(anobench: Invoke) -> None:
    ended = anobench("doctor", "--out", "x.json")
    assert ended.code == 2
    assert "--out: it goes with --gpu" in ended.err
