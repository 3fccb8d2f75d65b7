"""The examples in the docstrings of what ``bench`` exports run, and say what they say."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
import bench.run.launch

#: What users of Python and writers of methods call must have examples; other names are what stock adapters
#: share, and classes that the documentation shows.
MUST = {
    *("run", "load", "evaluate", "compare", "fit", "load_method", "Verdicts", "Method", "Scores"),
    *("nearest", "standardise", "greedy_coreset", "as_rows", "concatenated", "pooled", "on_one_grid"),
    *("random_projection", "anomaly_maps", "mean_of_highest", "modified_z", "two_gaussians"),
    *("estimated_rate", "generator_for", "derive_seed", "epoch_rows", "endless_rows", "batch_slices"),
    *("range_test_rates", "suggested_rate", "resize", "resize_plainly", "held_out", "list_images"),
    *("subfolders", "file_sha256", "did_you_mean", "Purification"),
}


def public(name: str) -> Any:
    return bench.run.launch.run if name == "run" else getattr(bench, name)


def examples(name: str) -> list[doctest.DocTest]:
    """Return the examples of a public name's docstring, and of those of its functions."""
    found = doctest.DocTestFinder(recurse=True).find(public(name), name, globs={})
    return [each for each in found if each.examples]


WITH = sorted(
    name
    for name in bench.__all__
    if name != "__version__"
    and (inspect.isroutine(public(name)) or inspect.isclass(public(name)))
    and examples(name)
)


def test_what_users_call_has_examples() -> None:
    assert MUST - set(WITH) == set()


@pytest.mark.parametrize("name", WITH)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for each in examples(name):
        each.globs = {"bench": bench, "np": np, "torch": torch, "folder": tmp_path}
        said: list[str] = []
        ended = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(each, out=said.append)
        assert not ended.failed, "".join(said)
