"""The provider: each row once, from memory, the store or the network, and what is said to have been spent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.core.errors import BackboneError, DataError
from bench.data.images import Images
from bench.data.rowarray import RowArray
from bench.data.source import EncodedSource, Source
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from bench.features.rowcache import RowCache, read_images
from tests.features.conftest import random_source

ALL = np.arange(50)


@pytest.fixture
def provider(backbones: Backbones, tmp_path: Path) -> FeatureProvider:
    return FeatureProvider(backbones, cache=tmp_path / "store")


def test_each_image_goes_through_once(
    backbones: Backbones, provider: FeatureProvider, source: Source, tmp_path: Path
) -> None:
    part = provider.features(source, np.array([3, 1, 3, 40]), "tiny")
    assert provider.forward_passes == 3
    whole = provider.features(source, ALL, "tiny")
    assert provider.forward_passes == 50
    assert torch.equal(whole[[3, 1, 3, 40]], part)
    assert whole.dtype == torch.float32
    again = FeatureProvider(backbones, cache=tmp_path / "store")
    assert torch.equal(again.features(source, ALL[::-1].copy(), "tiny"), whole.flip(0))
    assert again.forward_passes == 0
    alone = FeatureProvider(backbones, cache=None)
    assert torch.equal(alone.features(source, ALL[7:9], "tiny"), whole[7:9])


def test_views_joins_and_contaminated_views_share_rows(provider: FeatureProvider, source: Source) -> None:
    other = random_source(30, seed=1, name="random/test")
    train, test = Images.of(source).bind(provider), Images.of(other).bind(provider)
    train.features("tiny")
    test.features("tiny")
    assert provider.forward_passes == 80
    mixed = (train[5:20] + test[[1, 2]] + train[:3])[::-1]
    expected = torch.cat(
        [train.features("tiny")[5:20], test.features("tiny")[[1, 2]], train.features("tiny")[:3]]
    )
    assert torch.equal(mixed.features("tiny"), expected.flip(0))
    assert provider.forward_passes == 80


def test_what_a_method_gets_is_its_own(provider: FeatureProvider, source: Source) -> None:
    first = provider.features(source, ALL, "tiny")
    kept = first.clone()
    first.zero_()
    assert torch.equal(provider.features(source, ALL, "tiny"), kept)


def test_usage_counts_distinct_rows_since_the_last_question(
    backbones: Backbones, provider: FeatureProvider, source: Source, tmp_path: Path
) -> None:
    provider.features(source, ALL[:20], "tiny")
    provider.features(source, ALL[10:30], "tiny")
    usage = provider.usage()
    assert (usage.computed_rows, usage.reused_rows) == (30, 0)
    assert 0 < usage.cold_seconds <= usage.seconds
    provider.features(source, ALL[:20], "tiny")
    warm = provider.usage()
    assert (warm.computed_rows, warm.reused_rows) == (0, 20)
    assert 0 < warm.cold_seconds < usage.cold_seconds
    assert provider.usage() == type(warm)(0.0, 0.0, 0, 0)
    again = FeatureProvider(backbones, cache=tmp_path / "store")
    again.features(source, ALL[:20], "tiny")
    stored = again.usage()
    assert (stored.computed_rows, stored.reused_rows) == (0, 20)
    assert stored.cold_seconds == pytest.approx(warm.cold_seconds, rel=0.5)


def test_a_cell_counts_its_own_usage(provider: FeatureProvider, source: Source) -> None:
    first, second = provider.metered(), provider.metered()
    first.features(source, ALL[:20], "tiny")
    second.features(source, ALL[:30], "tiny")
    assert provider.forward_passes == first.forward_passes == 30
    counted = [(each.computed_rows, each.reused_rows) for each in (first.usage(), second.usage())]
    assert counted == [(20, 0), (10, 20)]
    assert provider.usage().computed_rows == 0


def test_maps_come_from_one_pass_for_all_layers(
    backbones: Backbones, provider: FeatureProvider, source: Source, tmp_path: Path
) -> None:
    rows = np.array([4, 2, 4])
    maps = provider.feature_maps(source, rows, "tiny", ["layer1", "layer3"])
    assert provider.forward_passes == 2
    assert list(maps) == ["layer1", "layer3"]
    assert torch.equal(maps["layer1"][0], maps["layer1"][2])
    provider.feature_maps(source, np.array([2, 9]), "tiny", ["layer3"])
    assert provider.forward_passes == 3
    again = FeatureProvider(backbones, cache=tmp_path / "store")
    assert torch.equal(
        again.feature_maps(source, rows, "tiny[pool=max]", ["layer3"])["layer3"], maps["layer3"]
    )
    assert again.forward_passes == 0
    with pytest.raises(BackboneError, match="no feature maps"):
        provider.feature_maps(source, rows, "pixels", ["layer1"])
    with pytest.raises(BackboneError, match="no layers are given"):
        provider.feature_maps(source, rows, "tiny", [])


def test_no_rows_have_the_right_shape(provider: FeatureProvider, source: Source) -> None:
    empty = np.empty(0, np.int64)
    width = provider.features(source, ALL[:1], "tiny").shape[1]
    assert provider.features(source, empty, "tiny").shape == (0, width)
    assert provider.features(source, empty, "pixels[size=4]").shape == (0, 48)


def test_half_precision_storage_gives_everyone_the_same_numbers(
    backbones: Backbones, source: Source, tmp_path: Path
) -> None:
    first = FeatureProvider(backbones, cache=tmp_path, storage="float16")
    computed = first.features(source, ALL, "tiny")
    stored = FeatureProvider(backbones, cache=tmp_path, storage="float16").features(source, ALL, "tiny")
    assert torch.equal(computed, stored)
    assert computed.dtype == torch.float32
    exact = FeatureProvider(backbones, cache=tmp_path).features(source, ALL, "tiny")
    torch.testing.assert_close(computed, exact, rtol=2e-3, atol=1e-3)
    assert not torch.equal(computed, exact)


def test_handcrafted_features_use_no_network_and_pixels_no_disk(
    provider: FeatureProvider, source: Source, tmp_path: Path
) -> None:
    assert provider.features(source, ALL, "pixels[size=8]").shape == (50, 192)
    assert not list(tmp_path.rglob("*.npy"))
    provider.features(source, ALL, "hog")
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert provider.forward_passes == 0
    provider.usage()
    provider.features(source, ALL, "pixels[size=8]")
    assert provider.usage().cold_seconds > 0


def test_a_matrix_too_large_for_memory_is_read_from_the_store(
    backbones: Backbones, source: Source, tmp_path: Path
) -> None:
    small = FeatureProvider(backbones, cache=tmp_path, hot_bytes=1000)
    whole = small.features(source, ALL, "tiny")
    rows = np.array([9, 0, 9])
    assert torch.equal(small.features(source, rows, "tiny"), whole[rows])
    assert small.forward_passes == 50
    assert small._hot._kept == {}


def test_arrays_in_memory_are_bounded() -> None:
    cache = RowCache(1000)
    for name in "abc":
        array = cache.open(name, 10)
        array.put(ALL[:10], torch.ones(10, 10))
        cache.keep(name, array)
    assert list(cache._kept) == ["b", "c"]
    assert cache.open("b", 10).missing(ALL[:10]).size == 0
    assert cache.open("a", 10).missing(ALL[:10]).size == 10
    large: RowArray[torch.Tensor] = RowArray(10)
    large.put(ALL[:10], torch.ones(10, 100))
    cache.keep("large", large)
    assert list(cache._kept) == ["large"]


class Counted(Source):
    """Images of which each read is noted; those from row 30 on are larger, if so wanted."""

    name, fingerprint = "counted/train", "e" * 64

    def __init__(self, *, larger: bool = False) -> None:
        self.reads: list[list[int]] = []
        self.larger = larger

    def __len__(self) -> int:
        return 50

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        self.reads.append(rows.tolist())
        found = [np.full((4, 5 + (self.larger and row >= 30), 3), row, np.uint8) for row in rows]
        return np.stack(found) if len({one.shape for one in found}) == 1 else found


def test_images_on_a_gpu_are_read_once() -> None:
    source, cache, cpu = Counted(), RowCache(50 * 4 * 5 * 3), torch.device("cpu")
    for rows in ([3, 1, 3], [9, 1], [3, 9, 1]):
        images = read_images(source, np.array(rows), cpu, cache)
        assert isinstance(images, torch.Tensor)
        assert images[:, 0, 0, 0].tolist() == rows
        images.zero_()
    assert source.reads == [[3, 1, 3], [9]]
    too_large = RowCache(50 * 4 * 5 * 3 - 1)
    for _ in range(2):
        assert len(read_images(source, ALL[:2], cpu, too_large)) == 2
    assert source.reads[2:] == [[0, 1], [0, 1]]


def test_images_of_another_size_leave_those_on_a_gpu_alone() -> None:
    source, cache, cpu = Counted(larger=True), RowCache(10**6), torch.device("cpu")
    for rows in ([3, 1], [40, 3], [40], [1, 3]):
        images = read_images(source, np.array(rows), cpu, cache, shrink=lambda x: x[..., :5])
        assert images.shape[1:] == (3, 4, 5)
        assert [int(image.flatten()[0]) for image in images] == rows
    assert source.reads == [[3, 1], [40], [40, 3], [40]]


class Broken(EncodedSource):
    """PNG images of which one cannot be decoded."""

    def __init__(self, side: int = 16) -> None:
        import io

        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (50, side, side, 3), dtype=np.uint8)
        files = []
        for image in pixels:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            files.append(file.getvalue())
        self.files = files
        super().__init__(
            "broken/train", "b" * 64, 50, lambda row: self.files[row], lambda row: f"train/{row:03}.png"
        )


def test_an_image_that_cannot_be_decoded_is_named_and_earlier_rows_are_kept(
    backbones: Backbones, provider: FeatureProvider, tmp_path: Path
) -> None:
    source = Broken()
    whole, source.files[40] = source.files[40], source.files[40][:30]
    with pytest.raises(DataError, match=r"train/040\.png"):
        provider.features(source, ALL, "tiny")
    assert provider.forward_passes == 32
    source.files[40] = whole
    again = FeatureProvider(backbones, cache=tmp_path / "store")
    again.features(source, ALL, "tiny")
    assert again.forward_passes == 18


class Sizes(Source):
    """Images that differ in size."""

    name, fingerprint = "sizes/train", "c" * 64

    def __len__(self) -> int:
        return 20

    def read(self, rows: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        return [np.full((30 + int(row), 40, 3), int(row), np.uint8) for row in rows]


def test_images_of_different_sizes(provider: FeatureProvider) -> None:
    source = Sizes()
    rows = np.arange(20)
    vectors = provider.features(source, rows, "tiny")
    assert torch.equal(provider.features(source, rows[5:6], "tiny[pipeline=device]")[0], vectors[5])
    assert provider.pixels(source, rows, (8, 9)).shape == (20, 3, 8, 9)
    with pytest.raises(DataError, match="differ in size"):
        provider.pixels(source, rows, None)


def test_pixels_are_uint8_in_the_order_asked(provider: FeatureProvider, source: Source) -> None:
    rows = np.array([4, 4, 1])
    pixels = provider.pixels(source, rows, None)
    assert pixels.dtype == torch.uint8
    np.testing.assert_array_equal(pixels.permute(0, 2, 3, 1).numpy(), source.read(rows))
    assert provider.pixels(source, rows, (5, 6)).shape == (3, 3, 5, 6)


def test_progress_is_told(backbones: Backbones, source: Source, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    provider = FeatureProvider(backbones, cache=tmp_path, progress=lambda *said: told.append(said))
    provider.features(source, ALL, "tiny")
    assert told[0] == ("random/train · tiny", 16, 50)
    assert told[-1] == ("random/train · tiny", 50, 50)
    told.clear()
    provider.features(source, ALL, "tiny")
    assert told == []


def test_few_networks_stay_built(provider: FeatureProvider, source: Source) -> None:
    for name in ("tiny", "tiny[layer=layer1]", "tiny[layer=layer2]"):
        provider.features(source, ALL[:2], name)
    assert len(provider._extractors) == 2
    assert provider.forward_passes == 6


def test_rows_that_another_process_adds_meanwhile_are_not_computed(
    backbones: Backbones, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.features.provider.FLUSH_ROWS", 20)
    other = FeatureProvider(backbones, cache=tmp_path)

    def meanwhile(_: str, done: int, __: int) -> None:
        if done == 16:
            other.features(source, ALL[20:40], "tiny")

    provider = FeatureProvider(backbones, cache=tmp_path, progress=meanwhile)
    provider.features(source, ALL, "tiny")
    assert (provider.forward_passes, other.forward_passes) == (30, 20)


FILLER = """
import sys, numpy as np, torch
from pathlib import Path
torch.set_num_threads(1)
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from tests.features.conftest import random_source
table = NetworkTable(timm="test_resnet", file=sys.argv[1], resize=64, crop=64, mean=0.5, std=0.5)
provider = FeatureProvider(Backbones({"tiny": table}), cache=Path(sys.argv[2]))
provider.features(random_source(200), np.arange(200), "tiny")
"""


def test_two_processes_fill_one_store(weights: Path, tmp_path: Path) -> None:
    file = str(weights / "test_resnet.safetensors")
    command = [sys.executable, "-c", FILLER, file, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    table = NetworkTable(timm="test_resnet", file=file, resize=64, crop=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    mine = Backbones({"tiny": table})
    stored = FeatureProvider(mine, cache=tmp_path)
    rows = np.arange(200)
    whole = stored.features(random_source(200), rows, "tiny")
    assert stored.forward_passes == 0
    assert torch.equal(whole, FeatureProvider(mine, cache=None).features(random_source(200), rows, "tiny"))


def test_an_image_that_changes_has_another_key(provider: FeatureProvider) -> None:
    provider.features(random_source(5, seed=1), ALL[:5], "tiny")
    provider.features(random_source(5, seed=2), ALL[:5], "tiny")
    assert provider.forward_passes == 10


def test_features_that_are_no_numbers_are_refused_with_the_image(
    weights: Path, source: Source, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(weights / "test_resnet.safetensors")
    name = next(name for name in state if name.endswith("conv1.weight"))
    state[name].flatten()[0] = torch.nan
    save_file(state, tmp_path / "damaged.safetensors")
    table = NetworkTable(
        timm="test_resnet", file="damaged.safetensors", resize=64, crop=64, mean=[0.5] * 3, std=[0.5] * 3
    )
    provider = FeatureProvider(Backbones({"tiny": table}, tmp_path), cache=tmp_path / "store")
    with pytest.raises(
        BackboneError, match=r"the features of \d+ of \d+ images of random/train are NaN .*image"
    ):
        provider.features(source, ALL[:4], "tiny")
