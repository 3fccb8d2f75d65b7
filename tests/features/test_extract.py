"""Raw pixels and histograms of oriented gradients; what is read ahead, and in batches of which size."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.feature import hog

from bench.core.errors import BackboneError, DataError
from bench.data.source import Source
from bench.features import extract
from bench.features.backbone import Backbones
from bench.features.extract import Handcrafted, extract_rows
from bench.features.network import FrozenNetwork
from bench.run.standin import standin
from tests.pictures import tiny

CPU = torch.device("cpu")


def test_pixels_are_rgb_in_zero_to_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    vectors = Handcrafted(Backbones().get("pixels[size=8]"), CPU).pooled(pixels)
    assert vectors.shape == (4, 192)
    np.testing.assert_allclose(
        vectors.numpy().reshape(4, 3, 8, 8).transpose(0, 2, 3, 1), pixels / 255, rtol=1e-6
    )
    small = Handcrafted(Backbones().get("pixels[size=4]"), CPU)
    mixed = small.pooled([pixels[0], pixels[1][:5]])
    assert mixed.shape == (2, 48)
    assert torch.equal(mixed[0], small.pooled(pixels)[0])


def test_hog_is_scikit_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    vectors = Handcrafted(Backbones().get("hog[orientations=6,cell=4]"), CPU).pooled(pixels)
    expected = hog(pixels[1], orientations=6, pixels_per_cell=(4, 4), cells_per_block=(2, 2), channel_axis=-1)
    np.testing.assert_allclose(vectors[1].numpy(), expected, rtol=1e-5, atol=1e-7)


def test_there_are_no_maps() -> None:
    with pytest.raises(BackboneError, match="no feature maps"):
        Handcrafted(Backbones().get("hog"), CPU).maps(np.zeros((1, 8, 8, 3), np.uint8), ["layer1"])


class Noted(Source):
    """Images whose value is their row; it says when rows are read."""

    name, fingerprint = "noted", "noted"

    def __init__(self, n: int) -> None:
        self.n, self.reads, self.one = n, list[int](), threading.Semaphore(0)

    def __len__(self) -> int:
        return self.n

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.reads.append(len(rows))
        self.one.release()
        return np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 8, 8, 3)).copy()


@pytest.mark.parametrize(("memory", "ahead"), [(2**30, 3), (1, 1)])
def test_some_batches_are_read_ahead_as_far_as_memory_goes(
    memory: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "AHEAD_BYTES", memory)
    network = Handcrafted(Backbones().get("pixels[size=8]"), CPU)
    network.batch_size = 4
    source, rows = Noted(40), np.arange(39)
    found, seen = extract_rows(network, source, rows, [], CPU), []
    for number, batch in enumerate(found):
        seen.append(batch)
        if number == 1:  # from the first one on it is known how much they take
            for _ in range(2 + ahead):
                assert source.one.acquire(timeout=60), "the next ones are read while this one is worked on"
            assert len(source.reads) == 2 + ahead
    assert [len(batch.rows) for batch in seen] == [4] * 9 + [3]
    assert np.concatenate([batch.rows for batch in seen]).tolist() == rows.tolist()
    assert torch.equal(torch.cat([batch.values["pooled"][:, 0] for batch in seen]), torch.arange(39.0) / 255)


def test_what_cannot_be_read_ends_the_extraction() -> None:
    class Damaged(Noted):
        def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
            if 8 in rows:
                raise DataError("image 8 is damaged")
            return super().read(rows)

    network = Handcrafted(Backbones().get("pixels[size=8]"), CPU)
    network.batch_size = 4
    done = list[int]()

    def run() -> None:
        for batch in extract_rows(network, Damaged(40), np.arange(40), [], CPU):
            done.extend(batch.rows.tolist())

    with pytest.raises(DataError, match="image 8"):
        run()
    assert done == list(range(8)), "what came before is kept"
    assert not [each for each in threading.enumerate() if each.name.startswith("read")]


def test_a_call_for_64_images_runs_64_on_a_gpu() -> None:
    with standin():
        network = FrozenNetwork(tiny().get("tiny"), torch.device("cuda"))
        shapes: list[int] = []
        next(network.module.children()).register_forward_hook(
            lambda _, given, __: shapes.append(len(given[0]))
        )
        network.pooled(np.zeros((64, 64, 64, 3), np.uint8))
    assert shapes == [64]
