"""Scores whose maps come in parts: checked as an array's are, read once, never in memory together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import ScoreError
from bench.train import method
from bench.train.method import Scores

MAPS = np.random.default_rng(0).random((7, 3, 5)).astype(np.float32)


def parts(maps: Any = MAPS, step: int = 3) -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(maps), step):
        part = maps[start : start + step]
        yield part.reshape(len(part), -1).max(1), part


def joined(scores: Scores, n: int) -> tuple[Any, Any]:
    given = list(scores.each_part(n))
    return np.concatenate([s for s, _ in given]), np.concatenate([m for _, m in given])


def test_parts_are_the_array() -> None:
    image, maps = joined(Scores.streamed(parts()), 7)
    np.testing.assert_array_equal(image, MAPS.max((1, 2)).astype(np.float64))
    np.testing.assert_array_equal(maps, MAPS)
    np.testing.assert_array_equal(Scores.streamed(parts()).checked(7), image)


def test_parts_may_be_tensors_of_any_real_type() -> None:
    halves = torch.from_numpy(MAPS).to(torch.bfloat16)
    scores = Scores.streamed([(halves.amax((1, 2)), halves)])
    image, maps = joined(scores, 7)
    assert maps.dtype == np.float64
    np.testing.assert_array_equal(image, maps.max((1, 2)))


def test_an_array_comes_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "PART_VALUES", 30)
    given = list(Scores(np.zeros(7), maps=MAPS).each_part(7))
    assert [len(image) for image, _ in given] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([maps for _, maps in given]), MAPS)
    assert [maps for _, maps in Scores(np.zeros(7)).each_part(7)] == [None]


def test_a_part_is_made_when_it_is_asked_for() -> None:
    made = []

    def generator() -> Iterator[tuple[Any, Any]]:
        for number in range(6):
            made.append(number)
            yield np.zeros(1), np.zeros((1, 2, 2))

    for count, _ in enumerate(Scores.streamed(generator()).each_part(6)):
        assert len(made) == count + 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([(np.zeros(2), np.zeros((2, 4, 4)))], "images in all parts together, got 2"),
        ([(np.zeros(9), np.zeros((9, 4, 4)))], "must make 7 maps"),
        ([(np.zeros(3), np.zeros((3, 4, 4))), (np.zeros(4), np.zeros((4, 4, 5)))], "of one shape"),
        ([(np.zeros(3), np.zeros((4, 4, 4)))], "expected 4 scores"),
        ([(np.zeros(7), np.full((7, 4, 4), np.nan))], "NaN"),
        ([(np.full(7, np.nan), np.zeros((7, 4, 4)))], "NaN"),
        ([np.zeros((7, 4, 4))], "must be a pair"),
        ([(np.zeros(7), np.zeros((7, 16)))], r"shape \(b, h, w\)"),
    ],
)
def test_parts_that_are_wrong_are_refused(given: Any, says: str) -> None:
    with pytest.raises(ScoreError, match=says):
        Scores.streamed(given).checked(7)


@pytest.mark.parametrize(
    "covers", [(0, 0, 1.2, 1), (0.5, 0, 0.6, 1), (0, 0, 0, 1), (0, 0, 1), "whole", (-0.1, 0, 0.5, 1)]
)
def test_what_maps_cover_is_a_part_of_the_image(covers: Any) -> None:
    with pytest.raises(ScoreError, match="covers must be"):
        list(Scores(np.zeros(7), maps=MAPS, covers=covers).each_part(7))
    assert list(Scores(np.zeros(7), maps=MAPS, covers=(0.0625, 0.0625, 0.875, 0.875)).each_part(7))
