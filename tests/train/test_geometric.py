"""Moves and turns: the transformations, what heads should say, the network, and its training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench import FitError, GeometricTraining, Geometry, PixelRows, recognised, wide_resnet
from bench.train.geometric import WideResNet, crops_and_flips, shifted
from tests.pictures import images, surfaces
from tests.train.test_lenet import Nothing

BOTH, TURNS = Geometry((0, -3, 3)), Geometry((0,))
CPU = torch.device("cpu")


def pictures(n: int = 2, side: int = 12) -> torch.Tensor:
    return torch.from_numpy(surfaces(n, side=side)).permute(0, 3, 1, 2).contiguous()


def test_a_shift_mirrors_the_border_as_numpy_does() -> None:
    given = pictures(3)
    moved = shifted(given, torch.tensor([0, 3, -4]), torch.tensor([0, -2, 11]))
    assert torch.equal(moved[0], given[0])
    for image, result, down, right in zip(given[1:], moved[1:], (3, -4), (-2, 11), strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (11, 11), (11, 11)), mode="reflect")
        expected = padded[:, 11 - down : 23 - down, 11 - right : 23 - right]
        np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize(("geometry", "number"), [(BOTH, 36), (TURNS, 4)])
def test_no_two_transformations_have_the_same_labels_or_images(geometry: Geometry, number: int) -> None:
    one = pictures(1)
    moves = torch.arange(len(geometry.moves))
    found = geometry.transformed(one.expand(len(moves), -1, -1, -1), moves)
    labels = geometry.labels(moves)
    assert len(found) == len(labels) == number
    assert len(torch.unique(labels, dim=0)) == number
    assert len(torch.unique(found.flatten(1), dim=0)) == number
    assert torch.equal(found[0], one[0])  # neither moved nor turned
    assert labels[0].tolist() == [0] * labels.shape[1]
    assert labels.amax(0).tolist() == [size - 1 for size in geometry.heads]


def test_four_turns_are_none() -> None:
    found = TURNS.transformed(pictures(1), torch.zeros(1, dtype=torch.int64))
    assert torch.equal(torch.rot90(found[3], 1, (1, 2)), found[0])
    assert TURNS.labels(torch.zeros(2, dtype=torch.int64))[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_crops_and_flips() -> None:
    given = pictures(200, side=6)
    found = crops_and_flips(given, 1, torch.Generator().manual_seed(0))
    padded = np.pad(given.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    counts = dict.fromkeys([(d, r, f) for d in range(3) for r in range(3) for f in (0, 1)], 0)
    for image, whole in zip(found.numpy(), padded, strict=True):
        crops = {k: whole[:, k[0] : k[0] + 6, k[1] : k[1] + 6][:, :, :: -1 if k[2] else 1] for k in counts}
        (kind,) = [kind for kind, crop in crops.items() if np.array_equal(crop, image)]
        counts[kind] += 1
    assert min(counts.values()) > 0
    assert 60 < sum(n for (_, _, flip), n in counts.items() if flip) < 140


class Guess(nn.Module):
    """Gives the same outputs to every image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), 10)


class Knows(nn.Module):
    """Knows the transformations of one image by heart."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        moves = torch.arange(9)
        self.known = BOTH.transformed(image.expand(9, -1, -1, -1), moves).float() / 127.5 - 1
        self.said = torch.cat(
            [
                nn.functional.one_hot(column, 3 if at < 2 else 4)
                for at, column in enumerate(BOTH.labels(moves).T)
            ],
            1,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        at = (x[:, None] - self.known).abs().flatten(2).sum(2).argmin(1)
        return 1e4 * self.said[at].float()


def test_what_a_guess_and_a_perfect_answer_are_worth() -> None:
    pixels = PixelRows(images(surfaces(1, side=12)), (12, 12))
    guess = recognised(Guess(), pixels, BOTH, CPU)
    torch.testing.assert_close(guess, torch.tensor([36 * (1 / 3 + 1 / 3 + 1 / 4)]))
    knows = recognised(Knows(pixels[np.arange(1)]), pixels, BOTH, CPU)
    torch.testing.assert_close(knows, torch.tensor([108.0]))


def test_the_sum_over_transformations_is_that_of_single_passes() -> None:
    torch.manual_seed(0)
    net = WideResNet(10, 1, 10, 0.0).eval()
    pixels = PixelRows(images(surfaces(3, side=12)), (12, 12))
    expected = torch.zeros(3)
    for number in range(9):
        for image in range(3):
            views = BOTH.transformed(pixels[np.array([image])], torch.tensor([number]))
            for view, labels in zip(views, BOTH.labels(torch.tensor([number])), strict=True):
                with torch.no_grad():
                    parts = net(view[None].float() / 127.5 - 1).split((3, 3, 4), 1)
                for part, label in zip(parts, labels.tolist(), strict=True):
                    expected[image] += part.softmax(1)[0, label]
    torch.testing.assert_close(recognised(net, pixels, BOTH, CPU), expected, rtol=1e-4, atol=1e-4)


def test_turning_a_test_image_permutes_what_is_asked_of_it() -> None:
    """Its four turns are the same four images, each with another label."""
    one = pictures(1)
    turned = torch.rot90(one, 1, (2, 3))
    given, other = (TURNS.transformed(each, torch.zeros(1, dtype=torch.int64)) for each in (one, turned))
    assert torch.equal(given[[1, 2, 3, 0]], other)


def test_layers_of_the_network() -> None:
    net = WideResNet(16, 4, 10, 0.3)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len([m for m in convolutions if m.kernel_size == (3, 3)]) == 1 + 2 * 6
    assert len([m for m in convolutions if m.kernel_size == (1, 1)]) == 3
    widths = [m.out_channels for m in convolutions if m.kernel_size == (3, 3)]
    assert widths == [16] + [64] * 4 + [128] * 4 + [256] * 4
    # Counted from the paper's table: WRN-16-4 has 2.7 million weights.
    assert 2.7e6 < sum(p.numel() for p in net.parameters()) < 2.8e6
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_step_is_stochastic_gradient_descent_on_the_mean_cross_entropy() -> None:
    method, pixels = Nothing(), PixelRows(images(surfaces(2, side=12)), (12, 12))
    method.seed = 0
    net, other = (wide_resnet(method, 10, 1, TURNS, 0.0) for _ in range(2))
    how = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    GeometricTraining(epochs=1, batch=8, every_move=True, pad=0, **how).train(method, net, pixels, TURNS)
    given = pixels[np.arange(2)]
    from bench import epoch_rows, generator_for
    from bench.core.determinism import derive_seed

    drawn = generator_for(0, "augment", 0)
    rows = epoch_rows(2, 2, 0, derive_seed(0, "items"))
    torch.randint(1, (2,), generator=drawn)
    flipped = crops_and_flips(given[rows], 0, drawn)
    views = torch.cat([torch.rot90(flipped, k, (2, 3)) for k in range(4)]).float() / 127.5 - 1
    optimiser = torch.optim.SGD(other.parameters(), 0.05, 0.9, weight_decay=0.01, nesterov=True)
    other.train()
    nn.functional.cross_entropy(other(views), torch.arange(4).repeat_interleave(2)).backward()
    optimiser.step()
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_errors_say_what_to_change() -> None:
    method = Nothing()
    method.seed = 0
    with pytest.raises(FitError, match="depth=12; expected 6 n"):
        wide_resnet(method, 12, 1, TURNS, 0.0)
    small = PixelRows(images(surfaces(2, side=3)), (3, 3))
    training = GeometricTraining(
        epochs=1, batch=8, lr=0.1, momentum=0.9, weight_decay=0.0, every_move=True, pad=0
    )
    with pytest.raises(FitError, match="3 px are too small for shifts of 3 px"):
        training.train(method, wide_resnet(method, 10, 1, BOTH, 0.0), small, BOTH)
