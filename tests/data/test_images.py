from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import ArraySource, Images, Source


def numbered(name: str, n: int, first: int = 0) -> ArraySource:
    """Return a source whose images hold their own number."""
    pixels = np.zeros((n, 2, 2, 3), np.uint8)
    pixels[:] = (first + np.arange(n))[:, None, None, None]
    return ArraySource(name, name, n, lambda: pixels)


class Plain:
    """A provider whose features are the first pixel."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def features(self, source: Source, rows: np.ndarray, backbone: str) -> torch.Tensor:  # noqa: ARG002
        self.asked.append((source.name, len(rows)))
        return torch.from_numpy(np.asarray(source.read(rows))[:, 0, 0, :1].astype(np.float32))

    def feature_maps(self, source: Source, rows: np.ndarray, backbone: str, layers: Sequence[str]) -> dict:  # noqa: ARG002
        pixels = torch.from_numpy(np.asarray(source.read(rows)).astype(np.float32))
        return {layer: pixels[..., 0].unsqueeze(1) + 100 * int(layer) for layer in layers}

    def pixels(self, source: Source, rows: np.ndarray, size: tuple[int, int] | None) -> torch.Tensor:  # noqa: ARG002
        return torch.from_numpy(np.asarray(source.read(rows))).permute(0, 3, 1, 2)


A, B = numbered("a", 30), numbered("b", 30, 100)


def values(images: Images) -> list[int]:
    return [int(v) for v in images.features("any")[:, 0]]


@pytest.fixture
def bound() -> Images:
    return Images.of(A).bind(Plain())


pieces = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 29), max_size=8)), min_size=1, max_size=5
)


@given(pieces, st.data())
def test_joins_and_sub_views_keep_the_order(parts: list[tuple[str, list[int]]], data: st.DataObject) -> None:
    joined, expected = Images.of(A, []).bind(Plain()), []
    for name, rows in parts:
        joined = joined + Images.of(A if name == "a" else B, rows)
        expected += [row + (0 if name == "a" else 100) for row in rows]
    assert len(joined) == len(expected)
    assert values(joined) == expected
    if expected:
        picked = data.draw(st.lists(st.integers(-len(expected), len(expected) - 1), max_size=10))
        assert values(joined[picked]) == [expected[i] for i in picked]
        mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(expected), max_size=len(expected))))
        assert values(joined[mask]) == [v for v, keep in zip(expected, mask, strict=True) if keep]
    assert values(joined[1:4]) == expected[1:4]
    assert values(joined[::-2]) == expected[::-2]


def test_a_sealed_view_gives_the_same_images_and_hides_where_they_come_from() -> None:
    joined = (Images.of(A, [1, 2]) + Images.of(B, [5]))[[2, 0, 1]]
    sealed, inside = joined.sealed()
    assert values(sealed.bind(Plain())) == [105, 1, 2]
    assert values((sealed[[1, 0]] + Images.of(B, [0])).bind(Plain())) == [1, 105, 100]
    again, outside = sealed[:2].sealed()
    assert values(again.bind(Plain())) == [105, 1]
    assert sealed._which.tolist() == [0, 0, 0]
    assert sealed._rows.tolist() == [0, 1, 2]
    assert len(inside) + len(outside) == 5


def test_the_same_source_is_asked_once_however_often_it_is_joined() -> None:
    provider = Plain()
    joined = Images.of(A, [1]).bind(provider) + Images.of(B, [2]) + Images.of(A, [3, 4])
    values(joined)
    assert sorted(provider.asked) == [("a", 3), ("b", 1)]


def test_patches_come_by_layer(bound: Images) -> None:
    maps = bound[[3, 1]].feature_maps("any", ["1", "2"])
    assert list(maps) == ["1", "2"]
    assert maps["1"].shape == (2, 1, 2, 2)
    assert maps["2"][:, 0, 0, 0].tolist() == [203, 201]


def test_batches_cover_all_in_order_or_shuffled(bound: Images) -> None:
    batches = list(bound.batches(8))
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == list(range(30))
    shuffled = [torch.cat(list(bound.batches(8, shuffle=seed)))[:, 0, 0, 0].tolist() for seed in (1, 1, 2)]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert sorted(shuffled[2]) == list(range(30))
    (halved,) = bound[:2].batches(8, transform=lambda batch: batch.float() / 2)
    assert halved[:, 0, 0, 0].tolist() == [0, 0.5]


@pytest.mark.parametrize("rows", [[30], [-1], [0.5], np.ones(29, bool)])
def test_rows_that_are_not_there_are_refused(rows: object) -> None:
    with pytest.raises(IndexError):
        Images.of(A, rows)


def test_positions_that_are_none_are_refused(bound: Images) -> None:
    for wrong in ([0.5], ["a"], np.ones(3, bool), [30]):
        with pytest.raises(IndexError):
            bound[wrong]


def test_unbound_images_and_closed_tasks_say_so() -> None:
    with pytest.raises(RuntimeError, match="bind"):
        Images.of(A).features("any")
    source = numbered("gone", 3)
    images = Images.of(source).bind(Plain())
    del source
    with pytest.raises(RuntimeError, match="keep the Task alive"):
        images.features("any")


def test_images_show_nothing_but_their_number() -> None:
    assert repr(Images.of(A)) == "Images(n=30)"
    assert not hasattr(Images.of(A), "__dict__")
