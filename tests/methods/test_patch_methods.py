"""Patch methods against closed forms and plain implementations, on given maps."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.neighbors import LocalOutlierFactor
from torch.utils._python_dispatch import TorchDispatchMode

from bench import generator_for
from bench.core.errors import BackboneError
from bench.data.images import Images
from bench.data.resize import InputView
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from tests import pictures
from tests.features_as_images import images

Make = Callable[..., Any]
draw = np.random.default_rng(3)
#: Two layers, the second on half the grid; 20 images to train on and 6 to test.
TRAIN = {"a": draw.normal(size=(20, 6, 4, 6)), "b": draw.normal(size=(20, 10, 2, 3))}
TEST = {"a": draw.normal(size=(6, 6, 4, 6)) * 1.3, "b": draw.normal(size=(6, 10, 2, 3)) * 1.3}


def view(maps: dict[str, np.ndarray], features: np.ndarray | None = None) -> Images:
    n = len(next(iter(maps.values())))
    return images(np.zeros((n, 1)) if features is None else features, maps)


def fitted(make: Make, name: str, train: Images | None = None, seed: int = 0, **params: Any) -> Any:
    method = make(name, **({"layers": "a+b"} | params))
    method.device, method.seed = torch.device("cpu"), seed
    method.fit(view(TRAIN) if train is None else train)
    return method


def judged(method: Any, test: Images) -> tuple[np.ndarray, np.ndarray]:
    parts = list(method.score(test).each_part(len(test)))
    return np.concatenate([s for s, _ in parts]), np.concatenate([m for _, m in parts])


def embedded(method: Any, maps: dict[str, np.ndarray]) -> np.ndarray:
    """Return embeddings (n, places, c), float64."""
    found = torch.cat(list(method.patches.maps(view(maps))))
    return found.flatten(2).mT.double().numpy()


# --- patchcore ----------------------------------------------------------------------------------------------


def test_the_whole_bank_is_an_exhaustive_search(make: Make) -> None:
    method = fitted(make, "patchcore", coreset=1.0, reweight=0, embedding="concatenated", sigma=0)
    bank, test = embedded(method, TRAIN).reshape(-1, 16), embedded(method, TEST)
    expected = np.stack([cdist(each, bank).min(1) for each in test])
    scores, maps = judged(method, view(TEST))
    np.testing.assert_allclose(scores, expected.max(1), rtol=1e-5)
    assert maps.shape == (6, 32, 32)
    own, _ = judged(method, view(TRAIN))
    assert (own == 0).all(), "a bank of all patches knows the training images"
    squared = fitted(make, "patchcore", coreset=1.0, reweight=0, embedding="concatenated", distance="squared")
    np.testing.assert_allclose(judged(squared, view(TEST))[0], scores**2, rtol=1e-5)


def test_three_neighbours_are_averaged(make: Make) -> None:
    method = fitted(make, "patchcore", coreset=1.0, reweight=0, neighbours=3, embedding="concatenated")
    bank, test = embedded(method, TRAIN).reshape(-1, 16), embedded(method, TEST)
    expected = [np.sort(cdist(each, bank), 1)[:, :3].mean(1).max() for each in test]
    np.testing.assert_allclose(judged(method, view(TEST))[0], expected, rtol=1e-5)


def test_the_weight_of_equation_7(make: Make) -> None:
    """As anomalib computes it: the softmax over the b patches of the bank nearest to the matched one."""
    method = fitted(make, "patchcore", coreset=0.5, embedding="concatenated")
    bare = fitted(make, "patchcore", coreset=0.5, embedding="concatenated", reweight=1)
    bank, test = method.bank.double().numpy(), embedded(method, TEST)
    expected, plain = [], []
    for each in test:
        apart = cdist(each, bank)
        worst = apart.min(1).argmax()
        matched = apart[worst].argmin()
        near = cdist(bank[[matched]], bank)[0].argsort(kind="stable")[:9]
        assert near[0] == matched
        weight = 1 - softmax(apart[worst][near])[0]
        assert 0 < weight < 1
        plain.append(apart[worst].min())
        expected.append(plain[-1] * weight)
    np.testing.assert_allclose(judged(method, view(TEST))[0], expected, rtol=1e-5)
    np.testing.assert_allclose(judged(bare, view(TEST))[0], plain, rtol=1e-5)


def test_equal_distances_weigh_1_less_1_over_b(make: Make) -> None:
    method = make("patchcore", reweight=4)
    method.bank = torch.eye(4)
    weight = method.weights(torch.zeros(2, 4), torch.tensor([0, 3]))
    np.testing.assert_allclose(weight.numpy(), 0.75, rtol=1e-6)
    method.bank = torch.eye(4)[:1]
    assert method.weights(torch.zeros(1, 4), torch.tensor([0])).tolist() == [1.0], "nothing to compare with"


def test_the_published_start_is_the_mean_distance_to_ten_patches(make: Make) -> None:
    method = fitted(make, "patchcore", projection=0, embedding="concatenated", coreset=0.1)
    rows = embedded(method, TRAIN).reshape(-1, 16)
    start = torch.randperm(len(rows), generator=generator_for(0, "coreset"))[:10].numpy()
    distance, picks = cdist(rows, rows[start]).mean(1), []
    for _ in range(int(0.1 * len(rows))):
        picks.append(int(distance.argmax()))
        distance = np.minimum(distance, cdist(rows, rows[picks[-1:]])[:, 0])
    assert method.choose(view(TRAIN)).tolist() == picks
    random = fitted(make, "patchcore", init="random", projection=0, embedding="concatenated")
    assert int(random.choose(view(TRAIN))[0]) == start[0]


def test_a_bank_is_of_different_patches_and_its_radius_falls(make: Make) -> None:
    radii = []
    for share in (0.02, 0.1, 0.4):
        method = fitted(make, "patchcore", coreset=share, init="random", embedding="concatenated")
        picks = method.choose(view(TRAIN)).tolist()
        assert len(set(picks)) == len(picks) == int(share * 20 * 24)
        radii.append(cdist(embedded(method, TRAIN).reshape(-1, 16), method.bank.numpy()).min(1).max())
    assert radii[0] > radii[1] > radii[2]


def test_copies_of_the_bank_change_no_score(make: Make) -> None:
    method = fitted(make, "patchcore", embedding="concatenated", reweight=0)
    before = judged(method, view(TEST))[0]
    method.bank = method.bank.repeat(3, 1)
    assert (judged(method, view(TEST))[0] == before).all()


def test_a_bank_has_at_least_one_patch(make: Make) -> None:
    method = fitted(make, "patchcore", coreset=1e-6)
    assert method.bank.shape == (1, 1024)
    assert np.isfinite(judged(method, view(TEST))[0]).all()


def test_a_map_covers_what_the_network_saw(make: Make) -> None:
    class Cropped(type(view(TRAIN)._bound())):  # type: ignore[misc]
        def view(self, *_: Any) -> Any:
            return InputView(28, 28, (0.0625, 0.0625, 0.875, 0.875))

    method = fitted(make, "patchcore")
    provider = Cropped(np.zeros((6, 1)), TEST)
    given = method.score(view(TEST).bind(provider))
    assert given.covers == (0.0625, 0.0625, 0.875, 0.875)
    assert all(maps.shape[1:] == (28, 28) for _, maps in given.each_part(6))


@pytest.mark.parametrize("name", ["patchcore", "padim", "patch_knn", "softpatch"])
def test_an_unknown_layer_lists_those_there_are(make: Make, name: str) -> None:
    method = make(name, backbone="tiny", layers="layer2+layer9")
    method.device = torch.device("cpu")
    with pytest.raises(BackboneError, match=r"unknown layer 'layer9'.*layer4"):
        method.fit(pictures.images(pictures.surfaces(3)))


@pytest.mark.parametrize("name", ["patchcore", "padim", "patch_knn", "softpatch", "spade"])
def test_vectors_without_maps_are_no_backbone_for_patches(make: Make, name: str) -> None:
    method = make(name, backbone="hog")
    method.device = torch.device("cpu")
    train = pictures.images(pictures.surfaces(3))

    def used() -> None:
        method.fit(train)
        judged(method, train)

    with pytest.raises(BackboneError, match="hog has no feature maps"):
        used()


# --- padim --------------------------------------------------------------------------------------------------


def test_padim_in_one_pass_is_numpy_place_by_place(make: Make) -> None:
    method = fitted(make, "padim", dimensions=9, sigma=0)
    train, test = embedded(method, TRAIN), embedded(method, TEST)
    assert train.shape == (20, 24, 9)
    found = method.distances(torch.cat(list(method.patches.maps(view(TEST))))).flatten(1).numpy()
    for place in range(24):
        covariance = np.cov(train[:, place].T) + 0.01 * np.eye(9)
        away = test[:, place] - train[:, place].mean(0)
        squared = np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away)
        np.testing.assert_allclose(found[:, place], np.sqrt(squared), rtol=1e-4)
    scores, maps = judged(method, view(TEST))
    np.testing.assert_allclose(scores, maps.max((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("drawn", [[0, 3, 5, 6, 15], [6, 7], [1, 2], [15], list(range(16))])
def test_padim_copies_only_the_drawn_channels_to_the_finest_grid(make: Make, drawn: list[int]) -> None:
    method = make("padim", layers="a+b")
    maps = [torch.from_numpy(TEST[layer]) for layer in ("a", "b")]
    every = method.embed(maps)
    np.testing.assert_array_equal(every[:, 6:].numpy(), TEST["b"].repeat(2, 2).repeat(2, 3))
    method.channels = torch.tensor(drawn)
    assert torch.equal(method.embed(maps), every[:, drawn])


def test_padim_in_blocks_of_places_is_the_same(make: Make) -> None:
    whole = fitted(make, "padim", dimensions=9)
    parts = fitted(make, "padim", dimensions=9)
    name = type(parts).fit.__globals__
    before, name["SUMS_BYTES"] = name["SUMS_BYTES"], 8 * 81 * 5
    try:
        parts.fit(view(TRAIN))
    finally:
        name["SUMS_BYTES"] = before
    torch.testing.assert_close(parts.factor, whole.factor, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(parts.mean, whole.mean)


class Held(TorchDispatchMode):
    """Keeps count of the bytes of tensors that are alive, and of the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.known = 0, 0, set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found,):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.release, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.now)
        return found

    def release(self, which: int, size: int) -> None:
        self.known.discard(which)
        self.now -= size


def test_padim_holds_its_sums_and_its_factors_and_little_else(make: Make) -> None:
    maps = {"a": draw.normal(size=(4, 64, 32, 32))}
    with Held() as held:
        method = fitted(make, "padim", view(maps), layers="a", dimensions=64)
    sums, factors = 1024 * 64 * 64 * 8, method.factor.nbytes
    assert factors == sums // 2
    # A copy of the sums would make it 1.9 times as much.
    assert sums + factors < held.most < 1.5 * (sums + factors)


def test_padim_of_one_image_is_a_euclidean_distance(make: Make) -> None:
    one = {layer: maps[:1] for layer, maps in TRAIN.items()}
    method = fitted(make, "padim", view(one))
    away = embedded(method, TEST) - embedded(method, one)
    found = method.distances(torch.cat(list(method.patches.maps(view(TEST))))).flatten(1)
    np.testing.assert_allclose(found.numpy(), np.linalg.norm(away, axis=2) * 10, rtol=1e-5)


def test_padims_channels_are_drawn_by_the_seed_and_its_covariance_is_positive(make: Make) -> None:
    first, same, other = (fitted(make, "padim", dimensions=7, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.channels, same.channels)
    assert not torch.equal(first.channels, other.channels)
    assert len(set(first.channels.tolist())) == 7
    assert (first.factor.diagonal(dim1=1, dim2=2) > 0).all()
    assert len(fitted(make, "padim", dimensions=100).channels) == 16, "all there are"


def test_padim_copies_the_coarse_layer(make: Make) -> None:
    method = fitted(make, "padim", dimensions=16)
    found = embedded(method, TEST)[:, :, 6:].reshape(6, 4, 6, 10).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, TEST["b"].repeat(2, 2).repeat(2, 3), rtol=1e-6)


# --- patch_knn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_patch_knn_is_an_exhaustive_search(make: Make, metric: str) -> None:
    method = fitted(make, "patch_knn", metric=metric, highest=0.2)
    bank, test = embedded(method, TRAIN).reshape(-1, 16), embedded(method, TEST)
    apart = np.stack([cdist(each, bank, metric).min(1) for each in test])
    expected = np.sort(apart, 1)[:, -4:].mean(1)  # int(0.2 * 24)
    np.testing.assert_allclose(judged(method, view(TEST))[0], expected, rtol=1e-5)
    if metric == "cosine":
        unit = [each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (test, bank)]
        half = np.stack([cdist(each, unit[1], "sqeuclidean").min(1) / 2 for each in unit[0]])
        np.testing.assert_allclose(apart, half, rtol=1e-6)


def test_a_small_grid_has_its_maximum(make: Make) -> None:
    method = fitted(make, "patch_knn")
    bank, test = embedded(method, TRAIN).reshape(-1, 16), embedded(method, TEST)
    expected = [cdist(each, bank, "cosine").min(1).max() for each in test]
    np.testing.assert_allclose(judged(method, view(TEST))[0], expected, rtol=1e-5)


def with_an_object() -> np.ndarray:
    """Tokens (3, 5, 12, 10) of an object in the middle, far from the background along one axis."""
    maps = np.random.default_rng(0).normal(size=(3, 5, 12, 10))
    maps[:, 2, 3:9, 2:8] += 40
    return maps


def test_the_foreground_is_that_of_a_plain_implementation(make: Make) -> None:
    foreground = type(make("patch_knn"))._parts.__globals__["foreground"]
    maps = with_an_object()
    found = foreground(torch.from_numpy(maps.astype(np.float32)), 10.0).numpy()
    for each, mask in zip(maps, found, strict=True):
        component = PCA(1, svd_solver="full").fit_transform(each.reshape(5, -1).T)[:, 0].reshape(12, 10)
        expected = component > 10
        if expected[2:-2, 2:-2].mean() <= 0.35:
            expected = -component > 10
        square = np.ones((3, 3), bool)
        # As OpenCV closes: what lies beyond the border is no background.
        larger = binary_dilation(expected, square, iterations=2)
        expected = binary_erosion(larger, square, border_value=1)
        assert (mask == expected).all()
        assert mask[3:9, 2:8].all()
        assert not mask[0].any()


def test_the_background_scores_nothing_and_counts(make: Make) -> None:
    maps = with_an_object()
    params = {"layers": "a", "mask": True, "mask_references": True, "sigma": 0}
    method = fitted(make, "patch_knn", view({"a": maps}), **params)
    assert len(method.bank) < 3 * 120
    distances = method.distances(torch.from_numpy(-maps.astype(np.float32)))
    assert (distances[:, 0] == 0).all()
    assert (distances[:, 4:8, 3:7] > 0).all()


def test_rectangular_tokens_with_registers_come_in_their_grid(make: Make) -> None:
    folder = pictures.tiny().get("tiny").weights_file().parent
    args = {"img_size": [48, 80], "patch_size": 8, "reg_tokens": 4, "num_classes": 0}
    torch.manual_seed(0)
    module = timm.create_model("test_vit", pretrained=False, **args)
    save_file(module.state_dict(), folder / "wide_vit.safetensors")
    spec = NetworkTable(timm="test_vit", args=args, file="wide_vit.safetensors", resize=(48, 80))
    provider = FeatureProvider(Backbones({"wide": spec}, folder), cache=None)
    train = pictures.images(pictures.surfaces(4)).bind(provider)
    found = next(make("patch_knn", backbone="wide").patches.maps(train))
    assert found.shape == (4, 64, 6, 10)
    with torch.no_grad():
        inputs = provider._extractors["wide"].preprocess(
            train._source(0).read(np.arange(4)), torch.device("cpu")
        )
        tokens = module.eval().forward_features(inputs)[:, 5:]
    torch.testing.assert_close(found.flatten(2).mT, tokens, rtol=1e-4, atol=1e-5)
    method = make("patch_knn", backbone="wide")
    method.device = torch.device("cpu")
    method.fit(train)
    assert judged(method, train)[1].shape == (4, 48, 80)


# --- softpatch ----------------------------------------------------------------------------------------------


def test_without_noise_and_weights_it_is_patchcore(make: Make) -> None:
    soft = fitted(make, "softpatch", noise=0.0, weights=False)
    core = fitted(make, "patchcore", reweight=0, distance="squared")
    assert torch.equal(soft.bank, core.bank)
    for mine, theirs in zip(judged(soft, view(TEST)), judged(core, view(TEST)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_outlier_factor_is_scikit_learns(make: Make) -> None:
    factors = type(make("softpatch")).judge.__globals__["local_outlier_factors"]
    points = np.random.default_rng(0).normal(size=(5, 30, 4))
    points[:, 0] += 6
    found = factors(torch.from_numpy(points), 6).numpy()
    for group, mine in zip(points, found, strict=True):
        model = LocalOutlierFactor(6, metric="l2").fit(group)
        np.testing.assert_allclose(mine, -model.negative_outlier_factor_, rtol=1e-5)
    assert (found.argmax(1) == 0).all()
    np.testing.assert_allclose(factors(torch.from_numpy(points * 1000), 6).numpy(), found, rtol=1e-9)
    same = factors(torch.zeros(1, 9, 3, dtype=torch.float64), 6)
    np.testing.assert_allclose(same.numpy(), 1, rtol=1e-9)


def dirty() -> dict[str, np.ndarray]:
    """Training maps in which image 5 has one patch that is like no other."""
    found = {layer: maps.copy() for layer, maps in TRAIN.items()}
    found["a"][5, :, 1, 1] += 60
    return found


@pytest.mark.parametrize("discriminator", ["lof", "nearest", "gaussian"])
def test_a_planted_outlier_is_left_out(make: Make, discriminator: str) -> None:
    params = {"discriminator": discriminator, "embedding": "concatenated", "coreset": 0.5}
    method = fitted(make, "softpatch", view(dirty()), **params)
    # It is in the means of the nine places around it.
    around = [5 * 24 + 6 * y + x for y in (0, 1, 2) for x in (0, 1, 2)]
    planted = method.patches.rows(view(dirty()))[around]

    def among(bank: torch.Tensor) -> int:
        return sum(bool((bank == each).all(1).any()) for each in planted)

    assert among(method.bank) == 0
    assert among(fitted(make, "softpatch", view(dirty()), noise=0.0, **params).bank) > 0
    compat = fitted(make, "softpatch", view(dirty()), compat=True, **params)
    assert among(compat.bank[:1]) == among(compat.bank) == 1, "the authors' first pick is the most extreme"
    assert (method.weight > 0).all()
    assert len(method.weight) == len(method.bank) == 240


def test_a_score_is_the_squared_distance_times_the_neighbours_weight(make: Make) -> None:
    method = fitted(make, "softpatch", sigma=0, coreset=0.3)
    test, bank = embedded(method, TEST), method.bank.double().numpy()
    weights, expected = method.weight.double().numpy(), []
    for each in test:
        squared = cdist(each, bank, "sqeuclidean")
        expected.append((squared.min(1) * weights[squared.argmin(1)]).max())
    np.testing.assert_allclose(judged(method, view(TEST))[0], expected, rtol=1e-4)


def test_the_other_discriminators_by_hand(make: Make) -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 3, 4)))
    near = fitted(make, "softpatch", discriminator="nearest").judge(rows).numpy()
    gauss = fitted(make, "softpatch", discriminator="gaussian").judge(rows).numpy()
    for place in range(3):
        points = rows[:, place].numpy()
        apart = cdist(points, points)
        np.fill_diagonal(apart, np.inf)
        np.testing.assert_allclose(near[:, place], 1 + apart.min(1), rtol=1e-5)
        inverse = np.linalg.inv(np.cov(points.T) + 0.01 * np.eye(4))
        away = points - points.mean(0)
        np.testing.assert_allclose(
            gauss[:, place], 1 + np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away)), rtol=1e-5
        )


def test_softpatch_with_fewer_images_than_neighbours(make: Make) -> None:
    for n in (1, 2, 3):
        few = view({layer: maps[:n] for layer, maps in TRAIN.items()})
        assert np.isfinite(judged(fitted(make, "softpatch", few), view(TEST))[0]).all()


# --- spade --------------------------------------------------------------------------------------------------


def test_spade_by_a_plain_implementation(make: Make) -> None:
    features, queries = draw.normal(size=(20, 5)), draw.normal(size=(6, 5))
    method = fitted(make, "spade", view(TRAIN, features), neighbours=3, sigma=0)
    scores, maps = judged(method, view(TEST, queries))
    apart = cdist(queries, features)
    np.testing.assert_allclose(scores, np.sort(apart, 1)[:, :3].mean(1), rtol=1e-5)
    for i in range(6):
        gallery, layers = np.argsort(apart[i])[:3], []
        for layer in ("a", "b"):
            bank = TRAIN[layer][gallery].transpose(0, 2, 3, 1).reshape(-1, TRAIN[layer].shape[1])
            own = TEST[layer][i].transpose(1, 2, 0)
            near = cdist(own.reshape(-1, own.shape[2]), bank).min(1).reshape(1, *own.shape[:2])
            larger = torch.nn.functional.interpolate(
                torch.from_numpy(near)[None], (32, 32), mode="bilinear", align_corners=False
            )
            layers.append(larger[0, 0].numpy())
        np.testing.assert_allclose(maps[i], np.mean(layers, 0), rtol=1e-4)


def test_spade_with_all_images_searches_everything(make: Make) -> None:
    features, queries = draw.normal(size=(20, 5)), draw.normal(size=(6, 5))
    many, all_ = (fitted(make, "spade", view(TRAIN, features), neighbours=k) for k in (50, 20))
    for mine, theirs in zip(
        judged(many, view(TEST, queries)), judged(all_, view(TEST, queries)), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    bank = TRAIN["b"].transpose(0, 2, 3, 1).reshape(-1, 10)
    assert len(bank) == 120, "not cut to a multiple of 100"
