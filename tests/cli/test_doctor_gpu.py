"""``anobench doctor --gpu`` without a GPU: what a stand-in can show, and an honest word on the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.run import gpucheck, gpuspeed
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


def test_a_check_that_lacks_something_is_skipped_with_the_reason(
    anobench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpuspeed, "free_bytes", lambda _: None)
    monkeypatch.setattr(gpucheck, "CHECKS", (("peaks", gpuspeed.peaks_against_nvml, "any"),))
    ended = anobench("doctor", "--gpu")
    assert ended.code == 0
    assert "needs NVML" in ended.out


def test_decoding_says_how_many_images_a_second_of_which_files() -> None:
    said = gpuspeed.decoding(torch.device("cpu"))
    assert re.fullmatch(r"512 x 512 by \d+ threads?: JPEG \d+/s, PNG \d+/s", said), said


@pytest.mark.parametrize("extra", [0, 2**30])
def test_a_context_that_is_larger_than_assumed_fails(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def apply(self, *_: object) -> tuple[int, int]:
            return 2**34 - 2**30 - 2**28 - extra, 2**30

    context = SimpleNamespace(Pool=lambda _: Pool())
    monkeypatch.setattr(gpuspeed.multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(gpuspeed, "free_bytes", lambda _: 2**34)
    if not extra:
        assert "256 MiB come with it" in gpuspeed.peaks_against_nvml(torch.device("cuda"))
        return
    with pytest.raises(gpuspeed.CheckFailed, match="more than the 600 MiB"):
        gpuspeed.peaks_against_nvml(torch.device("cuda"))


def test_a_file_goes_with_gpu(anobench: Invoke) -> None:
    ended = anobench("doctor", "--out", "x.json")
    assert ended.code == 2
    assert "--out: it goes with --gpu" in ended.err
