"""Deep SVDD from pixels and its autoencoder: a plain second implementation, properties, bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench import FitError, LeNetInputs, derive_seed, epoch_rows, lenet_autoencoder
from bench.suite.registry import Registry
from bench.train.lenet import EnlargedDeconvolution
from tests.pictures import fitted_with, images, judged, resumed_steps, scores, stained, surfaces

Make = Callable[..., Any]
svdd = sys.modules[Registry().methods["deep_svdd"].load().__module__]

PIXELS = surfaces(21, side=32)
TRAIN, TEST = images(PIXELS), images(np.concatenate([surfaces(4, seed=5, side=32), stained(4, side=32)]))
FAST: dict[str, Any] = {"network": "mnist", "batch": 8, "epochs": 3, "pretrain_epochs": 2, "lr": 1e-3}


def fitted(method: Any, **more: Any) -> Any:
    return fitted_with(method, more.pop("train", TRAIN), **more)


class PlainNet(nn.Module):
    """The network for CIFAR-10 and its autoencoder, layer by layer as in the paper's supplement."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 5, bias=False, padding=2) for a, b in ((3, 32), (32, 64), (64, 128))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, eps=1e-4, affine=False) for b in (32, 64, 128))
        self.fc = nn.Linear(2048, 128, bias=False)
        self.code = nn.BatchNorm1d(128, eps=1e-4, affine=False)
        pairs = ((8, 128), (128, 64), (64, 32), (32, 3))
        first = nn.ConvTranspose2d(*pairs[0], 5, bias=False, padding=2)
        # The last bits of enlarging are ours, too, and held against plain layers elsewhere.
        self.ups = nn.ModuleList([first, *(EnlargedDeconvolution(a, b) for a, b in pairs[1:])])
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(b, eps=1e-4, affine=False) for _, b in pairs[:3])

    def phi(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.leaky_relu(norm(conv(x))), 2)
        return self.fc(x.flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.leaky_relu(self.code(self.phi(x)).view(-1, 8, 4, 4))
        for up, norm in zip(self.ups, self.up_norms, strict=False):
            x = F.leaky_relu(norm(up(x)))
        return torch.sigmoid(self.ups[3](x))


def plain_inputs() -> torch.Tensor:
    """The images after contrast normalisation one by one and one affine map.

    Their last bits are ours: few images of one kind make BatchNorm divide by little, and Adam's first steps
    depend on signs, so that six steps turn a difference of 1e-7 into one of 1e-3.
    """
    normalised = []
    for pixels in torch.from_numpy(PIXELS).permute(0, 3, 1, 2).double() / 255:
        centred = pixels - pixels.mean()
        normalised.append(centred / centred.abs().mean())
    stacked = torch.stack(normalised)
    expected = ((stacked - stacked.min()) / (stacked.max() - stacked.min())).float()
    ours = LeNetInputs(TRAIN, "cifar10", "gcn")[np.arange(len(PIXELS))]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    return ours


def plain(objective: str, *, nu: float, warmup: int) -> tuple[PlainNet, torch.Tensor, torch.Tensor, float]:
    """Train as the authors' two loops do; return network, centre, reconstruction errors and radius."""
    # In memory as ours, for the same reason as the inputs' last bits.
    x, net = plain_inputs(), PlainNet().to(memory_format=torch.channels_last)
    with torch.no_grad():
        for mine, its in zip(net.parameters(), lenet_autoencoder("cifar10", 0).parameters(), strict=True):
            mine.copy_(its)

    def epochs(
        number: int, part: str, parameters: Any, loss: Callable[[torch.Tensor, int], torch.Tensor]
    ) -> None:
        optimiser = torch.optim.Adam(list(parameters), lr=1e-3, weight_decay=5e-7)
        for step in range(3 * number):
            milestone = {"autoencoder": 1, "svdd": 1}[part]
            optimiser.param_groups[0]["lr"] = 1e-3 if step // 3 < milestone else 1e-4
            optimiser.zero_grad()
            loss(x[epoch_rows(21, 8, step, derive_seed(0, part))], step // 3).backward()
            optimiser.step()

    epochs(
        2, "autoencoder", net.parameters(), lambda part, _: ((net(part) - part) ** 2).sum((1, 2, 3)).mean()
    )
    net.eval()
    with torch.no_grad():
        errors = ((net(x) - x) ** 2).sum((1, 2, 3))
        centre = net.phi(x).mean(0)
    centre[(centre.abs() < 0.1) & (centre < 0)] = -0.1
    centre[(centre.abs() < 0.1) & (centre > 0)] = 0.1
    net.train()
    radius = 0.0

    def loss(part: torch.Tensor, epoch: int) -> torch.Tensor:
        nonlocal radius
        distances = ((net.phi(part) - centre) ** 2).sum(1)
        excess = torch.max(torch.zeros_like(distances), distances - radius**2)
        value = distances.mean() if objective == "one-class" else radius**2 + excess.mean() / nu
        if epoch >= warmup:
            radius = float(np.quantile(distances.detach().sqrt().numpy(), 1 - nu))
        return value

    epochs(3, "svdd", [*net.convs.parameters(), *net.fc.parameters()], loss)
    net.eval()
    return net, centre, errors, radius


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_it_follows_a_plain_implementation(make: Make, objective: str) -> None:
    method = make("deep_svdd", **{**FAST, "network": "cifar10"}, objective=objective, nu=0.3, warmup=1)
    net, centre, _, _ = plain(objective, nu=0.3, warmup=1)
    expected = ((net.phi(plain_inputs()) - centre) ** 2).sum(1).detach()
    np.testing.assert_allclose(scores(method, TRAIN, TRAIN), expected, rtol=1e-4)


def test_the_autoencoder_follows_a_plain_implementation(make: Make) -> None:
    method = make("autoencoder", batch=8, epochs=2, lr=1e-3)
    np.testing.assert_allclose(
        scores(method, TRAIN, TRAIN), plain("one-class", nu=0.3, warmup=1)[2], rtol=1e-4
    )


def test_with_a_radius_of_0_and_nu_near_1_the_objectives_agree() -> None:
    squared = torch.rand(50) * 9
    soft = svdd.svdd_loss(squared, torch.zeros(()), 1 - 1e-9)
    torch.testing.assert_close(soft, svdd.svdd_loss(squared, torch.zeros(()), None))


def test_the_one_class_loss_is_the_second_moment_about_the_centre() -> None:
    phi, centre = torch.randn(40, 6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    squared = (phi - centre).square().sum(1)
    off = phi - centre
    expected = (off.T @ off / len(phi)).trace()
    torch.testing.assert_close(svdd.svdd_loss(squared, torch.zeros(()), None), expected)


def test_the_share_of_nu_lies_outside_the_radius(make: Make) -> None:
    """Proposition 4: with one mini-batch an epoch the radius is the quantile of all training images."""
    rates = {"lr": 1e-9, "pretrain_epochs": 1, "epochs": 1, "batch": 21, "warmup": 0, "network": "mnist"}
    method = fitted(make("deep_svdd", objective="soft-boundary", nu=0.25, **rates))
    # In training the distances are those of BatchNorm with the statistics of the mini-batch.
    seen: list[torch.Tensor] = []
    again = make("deep_svdd", objective="soft-boundary", nu=0.25, **rates)
    svdd_loss = svdd.svdd_loss
    try:
        svdd.svdd_loss = lambda squared, radius, nu: (
            seen.append((squared.detach(), radius)),
            svdd_loss(squared, radius, nu),
        )[1]
        fitted(again)
    finally:
        svdd.svdd_loss = svdd_loss
    squared, radius = seen[-1]
    assert float((squared > radius**2).float().mean()) == pytest.approx(0.25, abs=1 / 21)
    assert torch.equal(again.centre, method.centre)


@pytest.mark.parametrize("name", ["deep_svdd", "autoencoder"])
def test_light_and_contrast_do_not_matter(make: Make, name: str) -> None:
    """Contrast normalisation takes both away: of every other grey level, half the contrast is exact."""
    even = PIXELS[:, :28, :28] // 4 * 2
    options = {key: value for key, value in FAST.items() if name == "deep_svdd" or "pretrain" not in key}
    method = fitted(make(name, **options), train=images(even))
    plain_scores = judged(method, images(even))
    np.testing.assert_allclose(judged(method, images(even + 30)), plain_scores, rtol=1e-3)
    np.testing.assert_allclose(judged(method, images(even // 2)), plain_scores, rtol=1e-3)


def test_training_draws_normal_images_to_the_centre(make: Make) -> None:
    none = fitted(make("deep_svdd", **{**FAST, "epochs": 0}))
    some = fitted(make("deep_svdd", **{**FAST, "epochs": 30}))
    assert torch.equal(none.centre, some.centre)
    assert judged(some, TRAIN).mean() < 0.8 * judged(none, TRAIN).mean()


def test_without_pretraining_there_is_one_stage(make: Make) -> None:
    told: list[Any] = []
    fitted(make("deep_svdd", **FAST, pretrain=False), progress=lambda *what: told.append(what))
    assert len(told) == 3 * 3
    told.clear()
    fitted(make("deep_svdd", **FAST), progress=lambda *what: told.append(what))
    assert len(told) == 2 * 3 + 3 * 3


def test_another_length_than_the_papers_is_told(make: Make) -> None:
    method = make("deep_svdd", schedule="short")
    assert (method.schedule.epochs, method.first.epochs) == (15, 35)
    assert (method.schedule.milestone, method.first.milestone) == (5, 25)
    assert "3 epochs of Deep SVDD, 150 in the paper's schedule" in fitted(make("deep_svdd", **FAST)).notes
    assert not make("autoencoder").schedule.notes(make("autoencoder").published, "")


@pytest.mark.parametrize("network", ["mnist", "fashion_mnist"])
def test_the_networks_for_grey_images(make: Make, network: str) -> None:
    given = scores(make("deep_svdd", **{**FAST, "network": network}), TRAIN, TEST)
    assert np.isfinite(given).all()
    assert np.isfinite(scores(make("autoencoder", batch=8, epochs=1, network=network), TRAIN, TEST)).all()


@pytest.mark.parametrize("at", [2, 6, 8])
@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_a_cell_stopped_in_either_stage_ends_with_the_same_bits(
    make: Make, tmp_path: Path, at: int, objective: str
) -> None:
    def fit(**more: Any) -> Any:
        return fitted(make("deep_svdd", **FAST, objective=objective, warmup=1), **more)

    assert resumed_steps(fit, TEST, tmp_path, at) == 15 - at  # neither stage is trained twice


def test_a_rate_too_high_is_an_error(make: Make) -> None:
    with pytest.raises(FitError, match="became nan"):
        fitted(make("deep_svdd", **{**FAST, "lr": 1e30}))
