"""Methods that train heads: a cell stopped inside ends with the same bits, and tells of its progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.train.checkpoint import Checkpoints, StopRequested, ask_to_stop, go_on
from tests.features_as_images import images

Make = Callable[..., Any]
rng = np.random.default_rng(3)
TRAIN = images(np.abs(rng.normal(size=(41, 12))).astype(np.float32))
TEST = images(np.abs(rng.normal(size=(9, 12)) * 1.5).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "params", "steps"),
    [
        ("cap", {"epochs": 3, "batch": 16, "k": 4}, 9),
        ("plume", {"epochs": 3, "batch": 16, "selection": "oracle"}, 9),
        ("plume", {"epochs": 3, "batch": 20, "lr": 1e-3, "normalisation": "together"}, 6),
        ("deep_svdd_features", {"epochs": 3, "batch": 16, "milestone": 2}, 9),
        (
            "deep_svdd_features",
            {"objective": "soft-boundary", "warmup": 1, "hidden": 8, "epochs": 3, "batch": 16},
            9,
        ),
    ],
)
@pytest.mark.parametrize("at", [2, 5])
def test_a_cell_that_was_stopped_ends_with_the_same_bits(
    make: Make, tmp_path: Path, name: str, params: dict[str, Any], steps: int, at: int
) -> None:
    def method(progress: Callable[..., None] | None = None, *, keeps: bool = True) -> Any:
        made = make(name, **params)
        made.device, made.seed, made.progress = torch.device("cpu"), 7, progress
        made.checkpoints = Checkpoints(tmp_path / "cell") if keeps else None
        return made

    told: list[tuple[str, int, int]] = []
    whole = method(lambda *what: told.append(what), keeps=False)
    whole.fit(TRAIN)
    assert [what[1:] for what in told] == [(done, steps) for done in range(1, steps + 1)]
    try:
        with pytest.raises(StopRequested):
            method(lambda _, done, __: ask_to_stop() if done == at else None).fit(TRAIN)
    finally:
        go_on()
    again = method()
    again.fit(TRAIN)
    assert f"resumed after {at} of {steps} mini-batches" in "".join(again.notes)
    expected, given = whole.score(TEST), again.score(TEST)
    assert torch.equal(given.image, expected.image)
    assert list(given.candidates or {}) == list(expected.candidates or {})
    for candidate, values in (expected.candidates or {}).items():
        assert torch.equal(given.candidates[candidate], values)
