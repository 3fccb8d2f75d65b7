"""The LeNets: their layers, what they are fed, and their schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench import AdamSchedule, FitError, LeNetInputs, Method, away_from_zero, squared_error
from bench.train.lenet import (
    INPUTS,
    PRETRAINING,
    EnlargedDeconvolution,
    contrast_normalised,
    lenet,
    lenet_autoencoder,
    lenet_decoder,
)
from tests.pictures import images, surfaces

#: Weights of encoder and decoder, counted by hand from the authors' layers.
WEIGHTS = {
    "cifar10": (
        3 * 32 * 25 + 32 * 64 * 25 + 64 * 128 * 25 + 2048 * 128,
        8 * 128 * 25 + 128 * 64 * 25 + 64 * 32 * 25 + 32 * 3 * 25,
    ),
    "mnist": (1 * 8 * 25 + 8 * 4 * 25 + 196 * 32, 2 * 4 * 25 + 4 * 8 * 25 + 8 * 25),
    "fashion_mnist": (
        16 * 25 + 16 * 32 * 25 + 1568 * 128 + 128 * 64,
        64 * 128 + 8 * 32 * 25 + 32 * 16 * 25 + 16 * 25,
    ),
}
KINDS = sorted(WEIGHTS)


@pytest.mark.parametrize("kind", KINDS)
def test_layers(kind: str) -> None:
    channels, side = INPUTS[kind]
    x = torch.rand(3, channels, side, side)
    encoder, decoder = lenet(kind), lenet_decoder(kind)
    code = encoder(x).detach()
    assert code.shape == (3, {"cifar10": 128, "mnist": 32, "fashion_mnist": 64}[kind])
    back = decoder(code).detach()
    assert back.shape == x.shape
    assert 0 <= float(back.min()) <= float(back.max()) <= 1
    counts = tuple(sum(p.numel() for p in net.parameters()) for net in (encoder, decoder))
    assert counts == WEIGHTS[kind]


@pytest.mark.parametrize(("size", "padding"), [((1, 1), 2), ((4, 4), 2), ((4, 4), 3), ((3, 5), 4)])
def test_deconvolving_an_enlarged_image_is_deconvolving_after_enlarging(
    size: tuple[int, int], padding: int
) -> None:
    short = EnlargedDeconvolution(3, 4, padding).double()
    plain = nn.ConvTranspose2d(3, 4, 5, padding=padding, bias=False).double()
    plain.load_state_dict(short.state_dict())
    x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found, expected = short(x), plain(nn.functional.interpolate(x, scale_factor=2))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = torch.rand_like(expected)
    gradients = (
        torch.autograd.grad((weights * out).sum(), (x, net.weight))
        for out, net in ((found, short), (expected, plain))
    )
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_could_map_all_images_to_one_point(kind: str) -> None:
    model = nn.Sequential(lenet(kind), lenet_decoder(kind))
    assert {name.rsplit(".", 1)[1] for name, _ in model.named_parameters()} == {"weight"}
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms
    assert all(not norm.affine and norm.eps == 1e-4 for norm in norms)


def test_initial_weights() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    xavier, plain = lenet_autoencoder("cifar10", 3), lenet_autoencoder("cifar10", 3, plain=True)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(xavier[0][0].weight, lenet_autoencoder("cifar10", 3)[0][0].weight)
    # Uniform in ±gain √(6 / (fan in + fan out)), and in ±1 / √fan in.
    for model, bound in ((xavier, 2**0.5 * (6 / (25 * 35)) ** 0.5), (plain, 75**-0.5)):
        largest = float(model[0][0].weight.detach().abs().max())
        assert 0.98 * bound < largest < 1.001 * bound
    assert float(plain[1][-2].weight.detach().abs().max()) == pytest.approx(
        2**0.5 * (6 / (25 * 35)) ** 0.5, rel=0.02
    )


def test_contrast_normalisation() -> None:
    pixels = torch.randint(0, 256, (5, 3, 8, 8)).float()
    given = contrast_normalised(pixels)
    torch.testing.assert_close(given.mean((1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(given.abs().mean((1, 2, 3)), torch.ones(5))
    torch.testing.assert_close(contrast_normalised(0.25 * pixels + 40), given, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_a_constant_image_becomes_0_and_a_nearly_constant_one_does_not(value: int) -> None:
    flat = torch.full((1, 3, 28, 28), float(value))
    assert not contrast_normalised(flat).any()
    flat[0, 1, 3, 4] = value - 1 if value else 1
    assert float(contrast_normalised(flat).abs().mean()) == pytest.approx(1, rel=1e-3)


def test_inputs_span_0_to_1_for_the_training_images_only() -> None:
    train = LeNetInputs(images(surfaces(9, side=40)), "cifar10", "gcn")
    fed = train[np.arange(9)]
    assert fed.shape == (9, 3, 32, 32)
    assert (float(fed.min()), float(fed.max())) == (0, 1)
    bright = surfaces(4, seed=3, side=40)
    bright[:, :2, :2] = 255
    assert float(LeNetInputs(images(bright), "cifar10", "gcn", train.bounds)[np.arange(4)].max()) > 1
    unit = LeNetInputs(images(surfaces(4, side=32)), "cifar10", "unit")[np.arange(4)]
    expected = torch.from_numpy(surfaces(4, side=32)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(unit, expected)


def test_grey_images_of_one_channel() -> None:
    pixels = np.repeat(surfaces(2, side=28)[..., :1], 3, 3)
    given = LeNetInputs(images(pixels), "mnist", "unit")[np.arange(2)]
    assert given.shape == (2, 1, 28, 28)
    torch.testing.assert_close(given[:, 0], torch.from_numpy(pixels[..., 0]) / 255)


def test_constant_training_images_are_no_obstacle() -> None:
    fed = LeNetInputs(images(np.full((3, 32, 32, 3), 9, np.uint8)), "cifar10", "gcn")[np.arange(3)]
    assert not fed.any()


def test_mapping_all_images_does_not_depend_on_their_number() -> None:
    pixels, net = surfaces(300, side=32), lenet("cifar10").eval()
    whole = LeNetInputs(images(pixels), "cifar10", "unit").mapped(net)
    some = LeNetInputs(images(pixels[:3]), "cifar10", "unit").mapped(net)
    assert whole.shape == (300, 128)
    assert torch.equal(whole[:3], some)


def test_the_error_of_an_image_is_a_sum() -> None:
    a, b = torch.zeros(2, 3, 4, 4), torch.stack([torch.full((3, 4, 4), 0.5), torch.zeros(3, 4, 4)])
    assert squared_error(a, b).tolist() == [12, 0]


def test_a_centre_kept_away_from_zero() -> None:
    centre = torch.tensor([-0.5, -0.01, 0.0, 0.03, 0.1, 2.0])
    assert away_from_zero(centre).tolist() == pytest.approx([-0.5, -0.1, 0.1, 0.1, 0.1, 2.0])


def test_schedules_keep_the_share_at_which_the_rate_falls() -> None:
    paper = PRETRAINING["cifar10"]
    assert paper.scaled("paper", None) == paper
    short = paper.scaled("short", None)
    assert (short.epochs, short.milestone) == (35, 25)
    assert paper.scaled("short", 7).epochs == 7
    assert paper.notes(paper, "it") == ()
    assert short.notes(paper, "it") == ("35 epochs of it, 350 in the paper's schedule",)
    assert paper.with_(batch=9, lr=1.0, weight_decay=None).weight_decay == paper.weight_decay


class Nothing(Method):
    """Watches a schedule."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def fit(self, train: object) -> None: ...

    def score(self, test: object) -> None: ...  # type: ignore[override]


def test_the_rate_falls_after_the_milestone_and_a_single_image_is_doubled() -> None:
    net, seen, rates = nn.Linear(1, 1, bias=False), [], []
    schedule = AdamSchedule(epochs=3, milestone=2, batch=2, lr=0.5, weight_decay=0.0)

    def loss(rows: np.ndarray, epoch: int) -> torch.Tensor:
        seen.append((epoch, len(rows)))
        rates.append(float(net.weight.detach()))
        return net.weight.sum()

    schedule.train(Nothing(), net, 3, loss)
    assert seen == [(epoch, 2) for epoch in (0, 0, 1, 1, 2, 2)]
    # Adam's steps on a constant gradient have the length of the rate.
    steps = -np.diff([*rates, float(net.weight.detach())])
    np.testing.assert_allclose(steps, [0.5] * 4 + [0.05] * 2, rtol=1e-4)
    assert not net.training


def test_no_images_are_an_error() -> None:
    schedule = AdamSchedule(epochs=1, milestone=1, batch=2, lr=0.5, weight_decay=0.0)
    with pytest.raises(FitError, match="no training images"):
        schedule.train(Nothing(), nn.Linear(1, 1), 0, lambda *_: torch.zeros(()))
