"""PANDA and PANDA-OE: what their paper implies, a plain second implementation, and bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import FitError, Images, endless_rows, epoch_rows, generator_for, nearest
from bench.features.provider import FeatureProvider
from bench.metrics.image import auroc
from bench.run.standin import standin
from bench.suite.registry import Registry
from bench.train.checkpoint import Checkpoints
from tests.pictures import damaged, images, scores, stained, surfaces, tiny

Make = Callable[..., Any]
panda = sys.modules[Registry().methods["panda"].load().__module__]
panda_oe = sys.modules[Registry().methods["panda_oe"].load().__module__]

TRAIN, OUTLIERS = images(surfaces(21)), images(stained(13, seed=9))
TEST = images(np.concatenate([surfaces(8, seed=5), stained(8)]))
#: A rate at which few steps do much, where the default takes thousands.
FAST = {"backbone": "tiny", "batch": 8, "lr": 0.5, "clip": 0.1}


def fitted(method: Any, train: Images = TRAIN, *, seed: int = 0, outliers: Images | None = None) -> Any:
    method.device, method.seed = torch.device("cpu"), seed
    method.auxiliary = {} if outliers is None else {"outliers": outliers}
    method.fit(train)
    return method


class Given:
    """Stands for a network: its features are what it is given."""

    thawed: dict[str, torch.Tensor] = {}  # noqa: RUF012

    def features(self, given: torch.Tensor) -> torch.Tensor:
        return given


def moved(method: Any) -> float:
    """How far the trained weights are from where they began."""
    start = TRAIN.network("tiny").module.state_dict()
    thawed = method.net.thawed
    return float(torch.cat([(w.detach() - start[n]).flatten() for n, w in thawed.items()]).norm())


@pytest.mark.parametrize("variant", ["early", "ewc"])
@pytest.mark.parametrize("none", [{"steps": 0}, {"steps": 3, "lr": 0.0}])
def test_without_training_it_is_dn2(make: Make, variant: str, none: dict[str, Any]) -> None:
    given = scores(make("panda", **{**FAST, "variant": variant, "fisher": "identity", **none}), TRAIN, TEST)
    expected = scores(make("dn2", backbone="tiny", k=2), TRAIN, TEST)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("blocks", ["1-4", "2-4", "3-4", "4"])
def test_what_is_frozen_keeps_its_bits(make: Make, blocks: str) -> None:
    method = fitted(make("panda", **FAST, steps=2, blocks=blocks))
    before, after = TRAIN.network("tiny").module.state_dict(), method.net.module.state_dict()
    first = int(blocks[0])
    for name, tensor in before.items():
        trained = name.startswith("layer") and int(name[5]) >= first
        statistics = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        changed = not torch.equal(tensor, after[name])
        assert changed == (trained and not statistics), name
    assert not method.net.module.training


def test_compactness() -> None:
    features = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    centre = features.mean(0)
    assert float(panda.compactness(centre.expand(4, 5), centre)) == 0
    covariance = torch.cov(features.T, correction=0)
    torch.testing.assert_close(panda.compactness(features, centre), covariance.trace() / 5)


def test_the_penalty_is_zero_at_the_start_and_quadratic() -> None:
    start = {"a": torch.randn(3, 2), "b": torch.randn(4)}
    fisher = {name: torch.rand_like(tensor) for name, tensor in start.items()}
    step = {name: torch.randn_like(tensor) for name, tensor in start.items()}
    at = [
        float(panda.quadratic({n: start[n] + k * step[n] for n in start}, start, fisher)) for k in (0, 1, 2)
    ]
    assert at[0] == 0
    assert at[2] == pytest.approx(4 * at[1], rel=1e-4)
    by_hand = sum(float((fisher[n] * step[n] ** 2).sum()) for n in start)
    assert at[1] == pytest.approx(by_hand, rel=1e-4)


def test_the_penalty_of_all_weights_at_once_has_the_bits_of_one_after_the_other() -> None:
    start = {"a": torch.randn(30, 2), "b": torch.randn(41)}
    fisher = {name: torch.rand_like(tensor) for name, tensor in start.items()}
    found = []
    for penalty in (
        panda.quadratic,
        lambda w, s, f: torch.stack([(f[n] * (w[n] - s[n]).square()).sum() for n in s]).sum(),
    ):
        weights = {n: (w + 0.1).requires_grad_() for n, w in start.items()}
        value = penalty(weights, start, fisher)
        found.append([value.detach(), *torch.autograd.grad(value, list(weights.values()))])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_consolidation_holds_the_weights_back(make: Make) -> None:
    free = fitted(make("panda", **FAST, steps=12))
    held = fitted(make("panda", **FAST, steps=12, variant="ewc", fisher="identity", ewc_weight=1e4))
    assert moved(held) < 0.3 * moved(free)
    nothing = fitted(make("panda", **FAST, steps=12, variant="ewc", fisher="identity", ewc_weight=0.0))
    assert moved(nothing) == pytest.approx(moved(free))


def test_an_endless_penalty_leaves_the_network_where_it_was(make: Make) -> None:
    """Every step has the length of the cut gradient; the next one goes straight back."""
    fast = {**FAST, "momentum": 0.0, "weight_decay": 0.0, "clip": 0.02}
    free = fitted(make("panda", **fast, steps=40))
    held = fitted(make("panda", **fast, steps=40, variant="ewc", fisher="identity", ewc_weight=1e9))
    length = fast["lr"] * fast["clip"]
    assert moved(held) <= 2 * length
    assert moved(free) > 10 * length
    unadapted = scores(make("dn2", backbone="tiny", k=2), TRAIN, TEST)
    off = [np.abs(each.score(TEST).image.numpy() - unadapted).max() for each in (held, free)]
    assert off[0] < 0.2 * off[1]


def test_steps_follow_a_plain_implementation(make: Make) -> None:
    """The whole network on pixels, torch's own SGD and clipping, as the authors' loop has it."""
    params = {**FAST, "weight_decay": 0.01, "momentum": 0.5}
    method = fitted(make("panda", **params, steps=5, variant="ewc", fisher="identity", ewc_weight=3.0))
    plain = TRAIN.network("tiny")
    module, pixels = plain.module.requires_grad_(False), plain.prepare(next(TRAIN.batches(99)))
    trained = [p for n, p in module.named_parameters() if n.startswith(("layer3", "layer4"))]
    for parameter in trained:
        parameter.requires_grad_(True)
    first = [parameter.detach().clone() for parameter in trained]
    optimiser = torch.optim.SGD(trained, lr=0.5, momentum=0.5, weight_decay=0.01)

    def features(x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(module.forward_features(x), 1).flatten(1)

    centre = features(pixels).mean(0).detach()
    for step in range(5):
        optimiser.zero_grad()
        part = features(pixels[epoch_rows(len(TRAIN), 8, step, 0)])
        loss = ((part - centre).norm(dim=1).pow(2) / part.shape[1]).mean()
        loss = loss + 3.0 * sum(((a - b) ** 2).sum() / 2 for a, b in zip(trained, first, strict=True))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.1)
        optimiser.step()
    for ours, theirs in zip(method.net.thawed.values(), trained, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_training_draws_the_features_together_and_in_the_end_collapses(make: Make) -> None:
    start = TRAIN.features("tiny").var(0).sum()
    some = fitted(make("panda", **FAST, steps=10))
    assert float(some.adapted["step 10"].bank.var(0).sum()) < float(start)
    assert not some.notes
    far = fitted(make("panda", **{**FAST, "clip": 100.0, "lr": 0.05}, steps=100))
    assert any(note.startswith("collapsed") for note in far.notes)


@pytest.mark.parametrize("each", [True, False])
def test_fisher_against_gradients_of_every_image_at_once(each: bool) -> None:
    net = TRAIN.network("tiny")
    weights = net.thaw(4)
    found = panda.sampled_fisher(net, TRAIN, 2, 5, 7, each=each)
    images = net.prepare(next(TRAIN.batches(99)))
    frozen = {n: p.detach() for n, p in net.module.named_parameters() if n not in weights}
    live = {n: p.detach() for n, p in weights.items()}
    buffers = dict(net.module.named_buffers())

    def loss(parameters: Any, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(net.module, {**frozen, **parameters, **buffers}, (image[None],))
        return F.cross_entropy(logits, label[None])

    expected = {name: torch.zeros_like(weight) for name, weight in live.items()}
    for step in range(2):
        x = images[endless_rows(len(TRAIN), 5, step, 7, "fisher")]
        drawn = generator_for(7, "fisher", step)
        prediction = net.module(x).softmax(1).detach()
        if each:
            labels = torch.cat([torch.multinomial(p[None], 1, generator=drawn)[:, 0] for p in prediction])
        else:
            labels = torch.multinomial(prediction, 1, generator=drawn)[:, 0]
        gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(live, x, labels)
        for name, gradient in gradients.items():
            squared = gradient.square().mean(0) if each else gradient.mean(0).square()
            expected[name] += squared / 2
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("block", [2, 4])
def test_fisher_on_a_device_is_the_cpus_with_few_waits(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of several images at a time, with the labels that a CPU draws for them one by one."""

    def found(device: str) -> dict[str, torch.Tensor]:
        on = FeatureProvider(tiny(), device, cache=None)
        given = images(surfaces(21), on)
        net = given.network("tiny")
        net.thaw(block)
        counts.clear()
        fisher = panda.sampled_fisher(net, given, 3, 8, 7, each=True)
        return {name: value.cpu() for name, value in fisher.items()}

    with standin() as counts:
        expected = found("cpu")
        for size in (2**31, 1):  # all images of a mini-batch at once, and one by one
            monkeypatch.setattr(panda, "GRADIENT_BYTES", size)
            for name, value in found("cuda").items():
                torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-7, msg=name)
            asked = counts.totals()
            allowed = 3 + 2 + len(expected)  # one a mini-batch, two for the images, and ours above
            assert asked["waits"] + asked["to_host"] <= allowed, (counts.waits, counts.to_host)


def test_fisher_is_told_in_the_notes(make: Make) -> None:
    quick = {**FAST, "steps": 1, "variant": "ewc", "fisher_batches": 1}
    assert "the training images" in fitted(make("panda", **quick)).notes[0]
    other = make("panda", **quick, fisher_images="imagenet")
    other.device, other.seed, other.auxiliary = torch.device("cpu"), 0, {"fisher_images": OUTLIERS}
    other.fit(TRAIN)
    assert "estimated on imagenet" in other.notes[0]
    assert "1 for every weight" in fitted(make("panda", **quick, fisher="identity")).notes[0]


def test_ses_takes_the_largest_normalised_score(make: Make) -> None:
    method = make("panda", **FAST, steps=9, variant="ses", interval=4, selection="oracle")
    given = fitted(method).score(TEST)
    assert list(given.candidates) == ["step 0", "step 4", "step 8", "step 9"]
    stacked = torch.stack(list(given.candidates.values()))
    assert torch.equal(given.image, stacked.amax(0))
    unadapted = scores(make("dn2", backbone="tiny", k=2), TRAIN, TEST)
    np.testing.assert_allclose(
        stacked[0] / stacked[0].mean(), unadapted / unadapted.mean(), rtol=1e-4, atol=1e-5
    )


def test_ses_of_one_network_ranks_as_neighbours_do(make: Make) -> None:
    one = scores(make("panda", **FAST, steps=0, variant="ses"), TRAIN, TEST)
    other = scores(make("dn2", backbone="tiny", k=2), TRAIN, TEST)
    assert np.array_equal(np.argsort(one), np.argsort(other))


def test_ses_does_not_see_the_scale_of_features(make: Make) -> None:
    method = fitted(make("panda", **FAST, steps=0, variant="ses"))
    bank = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    test = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))

    method.net = Given()
    found = []
    for scale in (1.0, 30.0):
        adapted = method._read_out(scale * bank, {})
        found.append(adapted.score(scale * test) / adapted.typical)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n", [2, 9, 40])
def test_the_typical_score_is_that_of_a_tenth_by_the_rest(make: Make, n: int) -> None:
    method = fitted(make("panda", **FAST, steps=0, variant="ses"), seed=5)
    bank = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    order = np.random.default_rng(5).permutation(n)
    tenth = max(1, n // 10)
    squared = (bank[order[:tenth], None] - bank[order[tenth:]]).square().sum(2)
    expected = float(squared.sort(1).values[:, :2].sum(1).mean())

    method.net = Given()
    assert method._read_out(bank, {}).typical == pytest.approx(expected, rel=1e-4)


def test_means_between_neighbours_and_the_centre(make: Make) -> None:
    quick = {**FAST, "steps": 2}
    as_many = scores(make("panda", **quick, scoring="kmeans", means=21), TRAIN, TEST)
    np.testing.assert_allclose(
        as_many, scores(make("panda", **quick, scoring="knn", k=1), TRAIN, TEST), rtol=1e-4, atol=1e-4
    )
    one = scores(make("panda", **quick, scoring="kmeans", means=1), TRAIN, TEST)
    np.testing.assert_allclose(one, scores(make("panda", **quick, scoring="mean"), TRAIN, TEST), rtol=1e-4)


def test_scores_are_distances_in_the_adapted_features(make: Make) -> None:
    method = fitted(make("panda", **FAST, steps=6))
    bank, test = method.net.features(TRAIN), method.net.features(TEST)
    expected = (test[:, None] - bank).square().sum(2).sort(1).values[:, :2].sum(1)
    torch.testing.assert_close(method.score(TEST).image, expected, rtol=1e-3, atol=1e-5)
    assert torch.equal(nearest(test, bank, 2).distances.sum(1), method.score(TEST).image)


def test_candidates_are_for_the_oracle_alone(make: Make) -> None:
    assert fitted(make("panda", **FAST, steps=3, interval=1)).score(TEST).candidates is None
    told = fitted(make("panda", **FAST, steps=3, interval=1, selection="oracle")).score(TEST)
    assert list(told.candidates) == [f"step {n}" for n in range(4)]
    plain = fitted(make("panda", **FAST, steps=3)).score(TEST)
    assert torch.equal(told.image, plain.image)


@pytest.mark.parametrize("name", ["panda", "panda_oe"])
def test_a_break_changes_no_bit(make: Make, name: str, tmp_path: Path) -> None:
    class Break(Exception):
        pass

    more = {"variant": "ses", "interval": 2} if name == "panda" else {"outliers": "x"}
    broken, again, whole = (make(name, **FAST, steps=6, **more) for _ in range(3))

    def stop(_: str, done: int, total: int) -> None:
        del total
        if done == 5:
            raise Break

    broken.checkpoints = again.checkpoints = Checkpoints(tmp_path, 0.0)
    broken.progress = stop
    with pytest.raises(Break):
        fitted(broken, outliers=OUTLIERS)
    expected = fitted(whole, outliers=OUTLIERS).score(TEST).image
    assert torch.equal(fitted(again, outliers=OUTLIERS).score(TEST).image, expected)
    assert again.notes


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("variant", ["early", "ses"])
def test_hardly_any_images(make: Make, variant: str, n: int) -> None:
    method = make("panda", **FAST, steps=2, variant=variant, interval=1)
    assert np.isfinite(scores(method, TRAIN[:n], TEST)).all()


def test_weights_that_are_no_numbers_end_it_with_a_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Images, "network", damaged)
    with pytest.raises(FitError, match=r"PANDA: the loss .* nan by mini-batch 1 of 2.*damaged images or"):
        fitted(make("panda", **FAST, steps=2))


@pytest.mark.parametrize("name", ["panda", "panda_oe"])
def test_a_batch_of_one(make: Make, name: str) -> None:
    more = {"outliers": "x"} if name == "panda_oe" else {}
    method = make(name, **{**FAST, "batch": 1}, steps=2, **more)
    assert np.isfinite(scores(method, TRAIN, TEST)).all()


def test_a_last_batch_of_one(make: Make) -> None:
    assert np.isfinite(scores(make("panda", **{**FAST, "batch": 20}, steps=2), TRAIN, TEST)).all()


def test_exposure_is_the_cross_entropy_of_the_sigmoid() -> None:
    a, b = torch.randn(5), torch.randn(7)
    labels = torch.cat([torch.zeros(5), torch.ones(7)])
    expected = torch.nn.BCELoss()(torch.sigmoid(torch.cat([a, b])), labels)
    torch.testing.assert_close(panda_oe.exposure(a, b), expected)
    # Exchanging the labels turns the logit round.
    torch.testing.assert_close(panda_oe.exposure(-b, -a), panda_oe.exposure(a, b))


def test_steps_of_exposure_follow_a_plain_implementation(make: Make) -> None:
    params = {**FAST, "weight_decay": 0.01, "momentum": 0.5}
    method = fitted(make("panda_oe", outliers="x", **params, steps=5), outliers=OUTLIERS)
    plain = TRAIN.network("tiny")
    module = plain.module.requires_grad_(False)
    normal, outlying = (plain.prepare(next(each.batches(99))) for each in (TRAIN, OUTLIERS))
    layers = [p for n, p in module.named_parameters() if n.startswith(("layer3", "layer4"))]
    width, drawn = len(method.head["head.weight"]), generator_for(0, "classifier")
    linear = torch.nn.Linear(width, 1)
    with torch.no_grad():
        linear.weight.copy_((2 * torch.rand(width, generator=drawn) - 1) / width**0.5)
        linear.bias.copy_((2 * torch.rand((), generator=drawn) - 1) / width**0.5)
    trained = [*layers, linear.weight, linear.bias]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimiser = torch.optim.SGD(trained, lr=0.5, momentum=0.5, weight_decay=0.01)
    for step in range(5):
        rows = epoch_rows(len(TRAIN), 8, step, 0), endless_rows(len(OUTLIERS), 8, step, 0, "outliers")
        inputs = torch.cat([normal[rows[0]], outlying[rows[1]]])
        features = F.adaptive_avg_pool2d(module.forward_features(inputs), 1).flatten(1)
        labels = torch.cat([torch.zeros(len(rows[0])), torch.ones(8)])
        optimiser.zero_grad()
        F.binary_cross_entropy(torch.sigmoid(linear(features)[:, 0]), labels).backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.1)
        optimiser.step()
    for ours, theirs in zip(method.net.thawed.values(), layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.head["head.weight"], linear.weight[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.head["head.bias"], linear.bias[0], rtol=1e-4, atol=1e-5)


def test_exposure_separates_what_is_like_the_outliers(make: Make) -> None:
    test, labels = TEST[:8] + OUTLIERS, np.repeat([0, 1], [8, 13])
    method = fitted(make("panda_oe", outliers="x", **FAST, steps=30), outliers=OUTLIERS)
    assert auroc(labels, method.score(test).checked(21)) == 1
    turned = fitted(make("panda_oe", outliers="x", **FAST, steps=30), OUTLIERS, outliers=TRAIN)
    assert auroc(labels, turned.score(test).checked(21)) == 0
    before = TRAIN.network("tiny").module.state_dict()
    for name, tensor in method.net.module.state_dict().items():
        if not name.startswith(("layer3", "layer4")) or "running" in name:
            assert torch.equal(before[name], tensor)


def test_exposure_needs_outliers(make: Make, stock: Registry) -> None:
    with pytest.raises(FitError, match="no outliers: name some"):
        fitted(make("panda_oe", outliers="x", **FAST, steps=1))
    assert stock.methods["panda_oe"].attributes["setting"] == "outlier_exposure"
    assert stock.methods["panda"].attributes.get("setting", "one-class") == "one-class"


def test_a_network_without_classifier_says_what_to_take(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make("panda", **FAST, steps=1, variant="ewc")
    net = TRAIN.network("tiny")
    monkeypatch.setattr(net.module, "num_classes", 0)
    monkeypatch.setattr(Images, "network", lambda *_: net)
    with pytest.raises(FitError, match="take fisher=identity"):
        fitted(method)
