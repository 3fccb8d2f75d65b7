"""Patch embeddings against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import FitError
from bench.core.errors import BackboneError
from bench.features import patches as module
from bench.features.patches import Patches, as_rows, concatenated, on_one_grid, pooled, random_projection
from tests.features_as_images import images
from tests.pictures import images as pictures
from tests.pictures import surfaces

draw = np.random.default_rng(0)
FINE, COARSE = draw.normal(size=(5, 3, 6, 4)), draw.normal(size=(5, 7, 3, 2))


def given() -> list[torch.Tensor]:
    return [torch.from_numpy(m.astype(np.float32)) for m in (FINE, COARSE)]


def neighbourhood(m: np.ndarray, b: int, y: int, x: int) -> np.ndarray:
    """The 3 x 3 values of each channel around a place, zeros beyond the border: (c, 9)."""
    padded = np.pad(m[b], ((0, 0), (1, 1), (1, 1)))
    return padded[:, y : y + 3, x : x + 3].reshape(len(padded), 9)


def adaptive(vector: np.ndarray, bins: int) -> np.ndarray:
    n = len(vector)
    edges = [(i * n // bins, -(-(i + 1) * n // bins)) for i in range(bins)]
    return np.array([vector[a:b].mean() for a, b in edges])


def loop_of_means(m: np.ndarray) -> np.ndarray:
    b, _, h, w = m.shape
    out = np.empty_like(m)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                out[i, :, y, x] = neighbourhood(m, i, y, x).mean(1)
    return out


def test_concatenated_equals_a_loop() -> None:
    found = concatenated(given()).numpy()
    assert found.shape == (5, 10, 6, 4)
    np.testing.assert_allclose(found[:, :3], loop_of_means(FINE), atol=1e-6)
    coarse = torch.from_numpy(loop_of_means(COARSE))
    larger = F.interpolate(coarse, (6, 4), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found[:, 3:], larger.numpy(), atol=1e-6)


def test_pooled_equals_a_loop_in_the_order_of_the_papers_code() -> None:
    """Unfold, resize the neighbourhoods' values to the fine grid, pool each layer, then both together."""
    layers = []
    for m in (FINE, COARSE):
        b, _, h, w = m.shape
        values = np.stack(
            [[[neighbourhood(m, i, y, x).ravel() for x in range(w)] for y in range(h)] for i in range(b)]
        )
        larger = F.interpolate(
            torch.from_numpy(values).permute(0, 3, 1, 2), (6, 4), mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        layers.append(np.apply_along_axis(adaptive, 3, larger.numpy(), 8))
    expected = np.apply_along_axis(adaptive, 3, np.concatenate(layers, 3), 8)
    found = pooled(given(), dimensions=8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert pooled(given()).shape == (5, 1024, 6, 4)


def test_nearest_resizing_copies() -> None:
    _, larger = on_one_grid(given(), "nearest")
    assert (larger.numpy() == COARSE.astype(np.float32).repeat(2, 2).repeat(2, 3)).all()


def test_rows_and_picks_come_in_the_order_of_images_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    view = images(np.zeros((5, 1)), {"a": FINE, "b": COARSE})
    patches = Patches("any", "a + b", concatenated)
    rows = patches.rows(view)
    assert rows.shape == (5 * 24, 10)
    torch.testing.assert_close(rows, as_rows(concatenated(given())), rtol=1e-6, atol=1e-6)
    wanted = torch.tensor([119, 0, 25, 3, 70])
    assert torch.equal(patches.pick(view, wanted), rows[wanted])
    matrix = random_projection(10, 4, torch.Generator().manual_seed(0))
    assert matrix.shape == (10, 4)
    assert float(matrix.abs().max()) <= 10**-0.5
    torch.testing.assert_close(patches.rows(view, matrix), rows @ matrix)
    assert patches.width(view) == 10


@pytest.mark.parametrize("layers", ["", "a+", "a+a"])
def test_layers_are_different_names(layers: str) -> None:
    with pytest.raises(FitError, match="different layers"):
        Patches("any", layers, concatenated)


def test_an_unknown_layer_is_named_and_the_others_listed() -> None:
    with pytest.raises(BackboneError, match=r"unknown layer 'layer9'.*layer4"):
        next(Patches("tiny", "layer9", concatenated).maps(pictures(surfaces(1))))


def test_no_image_is_an_error() -> None:
    with pytest.raises(FitError, match="no training images"):
        Patches("tiny", "layer2", concatenated).rows(pictures(surfaces(2))[:0])
