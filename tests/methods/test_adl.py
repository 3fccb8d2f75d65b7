"""ADL: what its paper and specification imply, a plain second implementation, and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from bench import DataError, FitError, Images, PixelRows, generator_for
from bench.features.backbone import Backbones, NetworkTable
from bench.features.provider import FeatureProvider
from bench.suite.auxiliary import auxiliary_images
from bench.suite.registry import Registry
from bench.train.checkpoint import Checkpoints
from bench.train.pyramid import top_mean
from tests.pictures import damaged, images, scores, stained, surfaces

Make = Callable[..., Any]
TRAIN = images(surfaces(9, side=32))
TEST = images(np.concatenate([surfaces(3, seed=5, side=32), stained(2, side=32)]))
FAST = {"backbone": "tiny", "size": 32, "batch": 3, "textures": "procedural", "epochs": 0}


def fitted(method: Any, train: Images = TRAIN, *, seed: int = 0) -> Any:
    method.device, method.seed = torch.device("cpu"), seed
    method.fit(train)
    return method


def begun(make: Make, **params: Any) -> Any:
    """Return a method whose network is built but not trained, in training mode."""
    method = fitted(make("adl", **{**FAST, **params}))
    method.model.train()
    return method


def plain_network(model: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mask, score and probability by functions alone, as the specification has them."""
    p = dict(model.named_parameters())

    def norm(h: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = h.mean((0, 2, 3), keepdim=True), h.var((0, 2, 3), keepdim=True, correction=0)
        scale, shift = (p[f"{name}.{each}"].view(1, -1, 1, 1) for each in ("weight", "bias"))
        return (h - mean) / (var + 1e-5).sqrt() * scale + shift

    def twice(h: torch.Tensor) -> torch.Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def up(h: torch.Tensor, name: str) -> torch.Tensor:
        h = norm(F.conv2d(twice(h), p[f"{name}.1.weight"], padding=1), f"{name}.2")
        half = h.shape[1] // 2
        return h[:, :half] * torch.sigmoid(h[:, half:])

    def layer(h: torch.Tensor, at: int) -> torch.Tensor:
        h = F.conv2d(h, p[f"segment.{at}.weight"], p[f"segment.{at}.bias"], padding=1)
        return F.relu(norm(h, f"segment.{at + 1}"))

    net = model.backbone
    x2 = net.layer2(net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(x))))))
    x3 = net.layer3(x2)
    x4 = net.layer4(x3)
    joined = torch.cat([x2, up(x3, "middle_up"), up(up(x4, "deep_up.0"), "deep_up.1")], 1)
    h = layer(layer(joined, 0), 3)
    for at in (7, 11, 15):
        h = layer(twice(h), at)
    mask = F.conv2d(h, p["segment.18.weight"], p["segment.18.bias"], padding=1)
    deviations = F.conv2d(joined, p["scoring.weight"], p["scoring.bias"]).abs().flatten(1)
    k = max(int(0.1 * deviations.shape[1]), 1)
    score = deviations.sort(1, descending=True).values[:, :k].mean(1)
    return mask, score, torch.sigmoid(x4.mean((2, 3)) @ p["classify.weight"][0] + p["classify.bias"])


def plain_loss(method: Any, step: int) -> torch.Tensor:
    """Return the loss, sample by sample, with what the method draws."""
    batch, masks, pseudo = method.mini_batch(step)
    logits, score, probability = plain_network(method.model, batch.double() / 255)
    references = torch.randn(5000, generator=generator_for(method.seed, "references", step))
    mean, std = float(references.mean()), float(references.std())
    soft, n = step > method.burn_in, len(score)
    use_clusters = float(torch.rand((), generator=generator_for(method.seed, "labels", step))) < 0.6
    cut = best_cut(score.tolist())
    deviations, entropies = [], []
    for i in range(n):
        q = float(probability[i].detach()) if soft else float(pseudo[i])
        d = (score[i] - mean) / std
        deviations.append((1 - q) * d.abs() + q * (10 - d).clamp(min=0))
        clustered = soft and use_clusters and float(score[i].detach()) > cut
        label = 1.0 if clustered else float(pseudo[i])
        entropies.append(-label * probability[i].log() - (1 - label) * (1 - probability[i]).log())
    total = torch.zeros((), dtype=torch.float64)
    for losses in (deviations, entropies):
        values = [float(loss.detach()) for loss in losses]
        w = [plain_weight(value, method.alpha) if soft else 1.0 for value in values]
        total = total + sum(loss * each / sum(w) for loss, each in zip(losses, w, strict=True)) / n
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    right = torch.where(masks[:, 0] > 0, shares[:, 1], shares[:, 0])
    right = (1 - 1e-5) * right + 1e-5 * (1 - right) + 1e-5
    return total - ((1 - right) ** 2 * right.log()).mean()


def plain_weight(loss: float, alpha: float) -> float:
    if alpha == 1:
        return math.exp(-loss / 0.1)
    return float(max((1 - alpha) * loss + 0.1, 0.0) ** (1 / (alpha - 1)))


def best_cut(values: list[float]) -> float:
    """Return the score above which lies the upper of the two best clusters."""
    ordered = sorted(values)

    def spread(part: list[float]) -> float:
        return sum((value - sum(part) / len(part)) ** 2 for value in part)

    best = min(range(1, len(ordered)), key=lambda k: spread(ordered[:k]) + spread(ordered[k:]))
    return ordered[best - 1]


@pytest.mark.parametrize(
    ("step", "alpha"), [(0, 0.1), (2, 0.1), (3, 0.1), (4, 0.1), (5, 0.1), (6, 1.0), (7, 0.0)]
)
def test_loss_and_gradients_follow_a_plain_implementation(
    make: Make, step: int, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision: BatchNorm over few images carries single precision's rounding up to 1e-2."""
    method = begun(make, alpha=alpha)
    method.burn_in = 2
    drawn = method.mini_batch(step)
    monkeypatch.setattr(method, "mini_batch", lambda _: tuple(each.double() for each in drawn))
    monkeypatch.setattr(method, "feed", lambda pixels: pixels / 255)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    method.model.double()
    given, expected = method.loss(step), plain_loss(method, step)
    assert float(given.detach()) == pytest.approx(float(expected.detach()), rel=1e-7)
    weights = [p for n, p in method.model.named_parameters() if not n.startswith("backbone.fc")]
    ours, theirs = (torch.autograd.grad(each, weights) for each in (given, expected))
    size = torch.cat([each.flatten() for each in theirs]).norm()
    off = torch.cat([(a - b).flatten() for a, b in zip(ours, theirs, strict=True)]).norm()
    assert float(off / size) < 1e-6


def test_steps_are_adams_on_a_clipped_gradient_with_falling_rate(make: Make) -> None:
    params = {**FAST, "epochs": 11, "steps_per_epoch": 1, "batch": 2, "weight_decay": 0.01}
    method, other = fitted(make("adl", **params)), begun(make, **{**params, "epochs": 0})
    other.burn_in = method.burn_in
    optimiser = torch.optim.Adam(other.model.parameters(), lr=2e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 10, 0.1)
    for step in range(11):
        optimiser.zero_grad()
        other.loss(step).backward()
        torch.nn.utils.clip_grad_norm_(other.model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    assert not method.model.training
    for name, tensor in method.model.state_dict().items():
        torch.testing.assert_close(tensor, other.model.state_dict()[name], msg=name, rtol=1e-5, atol=1e-6)


def test_all_of_the_network_is_trained(make: Make) -> None:
    method = fitted(make("adl", **{**FAST, "epochs": 1, "steps_per_epoch": 2, "batch": 2}))
    before = TRAIN.network("tiny").module.state_dict()
    for name, tensor in method.model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("fc"), name


@pytest.mark.parametrize(("side", "k"), [(3, 1), (8, 6), (32, 102)])
def test_the_score_is_a_mean_of_the_largest(side: int, k: int) -> None:
    maps = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    by_hand = [sum(sorted(map(abs, each.flatten().tolist()))[-k:]) / k for each in maps]
    torch.testing.assert_close(top_mean(maps, 0.1), torch.tensor(by_hand))
    turned = maps.flatten(2)[:, :, torch.randperm(side * side)].view_as(maps)
    torch.testing.assert_close(top_mean(turned, 0.1), top_mean(maps, 0.1))
    assert float(top_mean(torch.full((1, 1, side, side), -2.5), 0.1)) == 2.5


def test_what_the_heads_give(make: Make) -> None:
    method = begun(make, size=64)
    with torch.no_grad():
        out = method.model(method.feed(method.mini_batch(0)[0]))
    assert out.mask.shape == (6, 2, 64, 64)
    torch.testing.assert_close(out.mask.sum(1), torch.ones(6, 64, 64))
    assert out.score.shape == out.probability.shape == (6,)
    assert float(out.score.min()) >= 0
    assert 0 < float(out.probability.min()) <= float(out.probability.max()) < 1


def test_weights_are_uniform_up_to_the_end_of_the_burn_in(make: Make) -> None:
    method = make("adl", **{**FAST, "epochs": 25})
    assert method.burn_in == 30
    losses = torch.tensor([0.1, 5.0, 0.4, 2.0])
    for step in (0, 1, 30):
        assert torch.equal(method.weights(losses, step), torch.full((4,), 0.25))
    assert float(method.weights(losses, 31).std()) > 0.1
    off = make("adl", **{**FAST, "epochs": 25, "reweight": False})
    assert torch.equal(off.weights(losses, 400), torch.full((4,), 0.25))


def test_options_of_the_weights(make: Make) -> None:
    losses = torch.tensor([0.1, 5.0, 0.4, 2.0])
    plain, batch, annealed = (
        make("adl", **{**FAST, "epochs": 25, **more}) for more in ({}, {"w_scale": "batch"}, {"anneal": True})
    )
    torch.testing.assert_close(batch.weights(losses, 40), 4 * plain.weights(losses, 40))
    assert torch.equal(batch.weights(losses, 0), torch.ones(4))
    assert [plain.multiplier(step) for step in (31, 400)] == [0.1, 0.1]
    assert [annealed.multiplier(step) for step in (30, 60, 90, 400)] == pytest.approx([1, 0.55, 0.1, 0.1])


def test_the_prior_is_drawn_or_expected(make: Make) -> None:
    drawn, expected = (make("adl", **FAST, prior=prior) for prior in ("drawn", "expected"))
    assert expected.reference(3) == (0.0, 1.0)
    assert drawn.reference(3) == drawn.reference(3) != drawn.reference(4)
    assert drawn.reference(3) == pytest.approx((0, 1), abs=0.06)


def test_a_mini_batch(make: Make) -> None:
    method = begun(make, batch=8)
    batch, masks, labels = method.mini_batch(5)
    assert batch.shape == (16, 3, 32, 32)
    assert labels.tolist() == [0.0] * 8 + [1.0] * 8
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 255
    assert not masks[:8].any()
    assert masks[8:].any()
    given = next(TRAIN.batches(99)).float()
    at_home = [any(torch.equal(image, each) for each in given) for image in batch[:8]]
    assert 3 <= sum(at_home) < 8, "some are turned, the others are training images"
    outside = [
        any(torch.equal(image * (1 - mask), each * (1 - mask)) for each in given)
        for image, mask in zip(batch[8:], masks[8:], strict=True)
    ]
    assert 3 <= sum(outside) <= 8, "outside the mask an anomaly is a training image"
    assert all(torch.equal(a, b) for a, b in zip(method.mini_batch(5), (batch, masks, labels), strict=True))
    assert not torch.equal(method.mini_batch(6)[0], batch)


def test_images_are_fed_as_they_are_or_as_imagenets(make: Make) -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(make("adl", **FAST).feed(pixels), pixels / 255)
    shifted = make("adl", **FAST, normalise="imagenet").feed(pixels)
    torch.testing.assert_close(shifted[:, 2], (pixels[:, 2] / 255 - 0.406) / 0.225)


def test_resizing_with_and_without_antialiasing(make: Make) -> None:
    noise = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    plain, smooth = (make("adl", **FAST, resizing=each).shrink(noise) for each in ("plain", "antialiased"))
    # Without antialiasing the middle two of four pixels count, on each axis.
    middle = noise.float().view(1, 3, 32, 4, 32, 4)[:, :, :, 1:3, :, 1:3].mean((3, 5))
    assert float((plain.float() - middle).abs().max()) <= 0.5
    assert float(smooth.float().std()) < 0.8 * float(plain.float().std())


def test_a_break_changes_no_bit(make: Make, tmp_path: Path) -> None:
    class Break(Exception):
        pass

    def stop(_: str, done: int, total: int) -> None:
        del total
        if done == 3:
            raise Break

    params = {**FAST, "epochs": 2, "steps_per_epoch": 2, "batch": 2}
    broken, again, whole = (make("adl", **params) for _ in range(3))
    broken.checkpoints = again.checkpoints = Checkpoints(tmp_path, 0.0)
    broken.progress = stop
    with pytest.raises(Break):
        fitted(broken)
    expected, given = fitted(whole).score(TEST), fitted(again).score(TEST)
    assert torch.equal(given.image, expected.image)
    assert torch.equal(given.maps, expected.maps)
    assert any(note.startswith("resumed after") for note in again.notes)


def test_maps_and_scores(make: Make) -> None:
    method = fitted(make("adl", **{**FAST, "epochs": 1, "steps_per_epoch": 1}))
    given = method.score(TEST)
    assert given.maps.shape == (5, 32, 32)
    assert 0 <= float(given.maps.min()) <= float(given.maps.max()) <= 1
    pixels = method.feed(PixelRows(TEST, method.shrink)[np.arange(5)])
    with torch.no_grad():
        torch.testing.assert_close(given.image, method.model(pixels).score, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (1, 4), (2, 3)])
def test_hardly_any_images(make: Make, n: int, batch: int) -> None:
    params = {**FAST, "epochs": 1, "steps_per_epoch": 1, "batch": batch, "burn_in": 0.0}
    assert np.isfinite(scores(make("adl", **params), TRAIN[:n], TEST)).all()


def test_weights_that_are_no_numbers_end_it_with_a_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Images, "network", damaged)
    with pytest.raises(FitError, match="ADL: the loss or its gradient became nan by mini-batch 1 of 4"):
        fitted(make("adl", **{**FAST, "epochs": 1, "steps_per_epoch": 4}))


@pytest.mark.parametrize("size", [1, 16, 48])
def test_images_that_the_network_cannot_take(make: Make, size: int) -> None:
    with pytest.raises(FitError, match=f"size={size} px; give a multiple of 32"):
        fitted(make("adl", **{**FAST, "size": size}))


def test_textures_are_named_and_surrogates_noted(make: Make) -> None:
    assert fitted(make("adl", **FAST)).notes == ("surrogate textures: procedural instead of DTD",)
    own = fitted(make("adl", **{**FAST, "textures": "train"}))
    assert own.notes == ("surrogate textures: the training images instead of DTD",)
    assert own.patterns is own.pictures
    for name, notes in (("dtd", ()), ("other", ("surrogate textures: other instead of DTD",))):
        method = make("adl", **{**FAST, "textures": name})
        method.auxiliary = {"textures": images(np.full((3, 40, 40, 3), 255, np.uint8))}
        fitted(method)
        assert method.notes == notes
        assert method.patterns is not None
        assert len(method.patterns) == 3
        assert np.isfinite(float(method.loss(0).detach()))


def test_textures_that_are_not_there(
    stock: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = stock.methods["adl"]
    with pytest.raises(DataError, match="adl, parameter textures: '/nowhere' is neither a data set nor"):
        auxiliary_images(adapter, {"textures": "/nowhere"}, stock)
    for word in ("dtd", "procedural", "train"):
        assert not auxiliary_images(adapter, {"textures": word}, stock)
    from PIL import Image

    (tmp_path / "dtd/images/banded").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "dtd/images/banded/banded_0002.jpg")
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path))
    assert len(auxiliary_images(adapter, {"textures": "dtd"}, stock)["textures"].images) == 1


def test_a_network_without_its_last_block(make: Make, tmp_path: Path) -> None:
    args = {"features_only": True, "out_indices": (1, 2, 3)}
    module = timm.create_model("test_resnet", pretrained=False, **args)
    for norm in (each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        torch.nn.init.ones_(norm.weight)
        torch.nn.init.constant_(norm.bias, 0.1)
    save_file(module.state_dict(), tmp_path / "cut.safetensors")
    spec = NetworkTable(timm="test_resnet", args=args, file="cut.safetensors", resize=32, mean=0, std=1)
    bound = TRAIN.bind(FeatureProvider(Backbones({"cut": spec}, tmp_path), cache=None))
    params = {**FAST, "backbone": "cut", "epochs": 1, "steps_per_epoch": 1}
    method, other = (fitted(make("adl", **params), bound, seed=seed) for seed in (0, 1))
    assert any(note == "block 4 of cut has no weights: it started from chance" for note in method.notes)
    assert any("BatchNorm layers were folded" in note for note in method.notes)
    weights = [next(each.model.last.parameters()) for each in (method, other)]
    assert not torch.equal(*weights)
    assert np.isfinite(method.score(TEST).checked(5)).all()
