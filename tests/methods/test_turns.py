"""RotNet and MHRot: their transformations and score, schedules, bad input, stopping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import FitError, PixelRows
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
TRAIN, TEST = images(surfaces(6, side=16)), images(stained(3, side=16))
FAST: dict[str, Any] = {"size": 16, "depth": 10, "width": 1, "dropout": 0.2, "epochs": 2, "batch": 12}
MHROT: dict[str, Any] = {**FAST, "shift": 3, "translations": "sampled"}
CASES = [("rotnet", FAST), ("mhrot", MHROT)]


def fitted(method: Any, **more: Any) -> Any:
    return fitted_with(method, TRAIN, **more)


@pytest.mark.parametrize(("name", "options", "least"), [("rotnet", FAST, -4), ("mhrot", MHROT, -108)])
def test_scores_by_hand(make: Make, name: str, options: dict[str, Any], least: float) -> None:
    """Each transformation by NumPy, each head by a softmax of its own."""
    method = fitted(make(name, **options))
    given = judged(method, TEST)
    shifts, sizes = ((0, -3, 3), (3, 3, 4)) if name == "mhrot" else ((0,), (4,))
    expected = np.zeros(3)
    for at, image in enumerate(stained(3, side=16)):
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="reflect")
        for d, down in enumerate(shifts):
            for r, right in enumerate(shifts):
                moved = padded[3 - down : 19 - down, 3 - right : 19 - right]
                for k in range(4):
                    x = torch.from_numpy(np.rot90(moved, k).copy()).permute(2, 0, 1)[None] / 127.5 - 1
                    with torch.no_grad():
                        parts = method.net(x).split(sizes, 1)
                    for part, label in zip(parts, (d, r, k)[-len(sizes) :], strict=True):
                        expected[at] -= float(part.softmax(1)[0, label])
    np.testing.assert_allclose(given, expected, rtol=1e-4)
    assert given.min() >= least
    assert given.max() <= 0


def test_a_network_that_only_guesses(make: Make) -> None:
    for name, options, value in (("rotnet", FAST, -1), ("mhrot", MHROT, -33)):
        method = fitted(make(name, **{**options, "epochs": 0}))
        torch.nn.init.zeros_(method.net.heads.weight)
        np.testing.assert_allclose(judged(method, TEST), value, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_epoch_has_every_translation_or_one(make: Make, name: str, options: dict[str, Any]) -> None:
    told: list[tuple[int, int]] = []
    fitted(make(name, **options), progress=lambda _, done, total: told.append((done, total)))
    assert told[-1] == (4, 4)  # 2 epochs of 6 images, 3 a mini-batch
    if name == "mhrot":
        told.clear()
        whole = make(name, **{**options, "translations": "all", "epochs": 1})
        fitted(whole, progress=lambda _, done, total: told.append((done, total)))
        assert told[-1] == (18, 18)


def test_what_is_less_than_the_papers_is_told(make: Make) -> None:
    assert make("rotnet", schedule="short").training.epochs == 10
    notes = fitted(make("mhrot", **MHROT)).notes
    assert notes == (
        "2 epochs, 100 in the paper's schedule",
        "each image with one of nine translations in an epoch",
    )


def test_bad_sizes_and_depths(make: Make) -> None:
    with pytest.raises(FitError, match="too small for shifts of 16 px"):
        fitted(make("mhrot", **{**MHROT, "shift": 16}))
    with pytest.raises(FitError, match="depth=11"):
        fitted(make("rotnet", **{**FAST, "depth": 11}))


def test_images_of_another_shape_are_made_square(make: Make) -> None:
    wide = images(np.concatenate([surfaces(3, side=16)] * 2, axis=2))
    assert PixelRows(wide, (16, 16)).shape == (3, 16, 16)
    assert judged(fitted(make("rotnet", **FAST)), wide).shape == (3,)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_cell_stopped_inside_ends_with_the_same_bits(
    make: Make, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    resumed_steps(lambda **more: fitted(make(name, **options), **more), TEST, tmp_path, 3)
