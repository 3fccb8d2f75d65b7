"""Stacked heads against torch's own modules and optimisers, one head at a time."""

from __future__ import annotations

import pytest
import torch

from bench import (
    FitError,
    HeadNorm,
    Heads,
    batch_slices,
    collapse_note,
    same_shape,
    shuffled,
    spread,
    take_rows,
    uniform,
)


def test_each_head_learns_as_it_would_alone_at_its_own_rate() -> None:
    rates = [1e-3, 3e-2, 1e-2]
    data = torch.randn(3, 16, 5)
    starts = [{"w": torch.randn(5, 4), "b": torch.randn(4)} for _ in rates]
    heads = Heads(starts)
    optimiser = torch.optim.AdamW(heads.groups(rates), lr=1.0)
    for _ in range(20):
        heads.step((data @ heads["w"] + heads["b"][:, None]).square().mean((1, 2)), optimiser)
    heads.check("test")
    for h, (start, rate) in enumerate(zip(starts, rates, strict=True)):
        alone = {name: p.clone().requires_grad_() for name, p in start.items()}
        single = torch.optim.AdamW(alone.values(), lr=rate)
        for _ in range(20):
            single.zero_grad()
            (data[h] @ alone["w"] + alone["b"]).square().mean().backward()
            single.step()
        for name, value in heads.state(h).items():
            torch.testing.assert_close(value, alone[name].detach(), rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_no_number_is_named() -> None:
    heads = Heads([{"w": torch.ones(2)}])
    optimiser = torch.optim.SGD(heads.groups(), lr=0.1)
    heads.step(heads["w"].sum(1), optimiser)
    heads.check("fine")
    heads.step((heads["w"] * torch.inf).sum(1), optimiser)
    heads.step(torch.zeros(1) * heads["w"].sum(1), optimiser)
    with pytest.raises(FitError, match="CAP: the loss became NaN or infinite; lower the learning rate"):
        heads.check("CAP")


def test_head_norm_is_batch_normalisation() -> None:
    theirs = [torch.nn.BatchNorm1d(6, affine=False, eps=1e-4) for _ in range(2)]
    ours = HeadNorm(2, 6, eps=1e-4)
    for size in (8, 2, 5):
        batch = torch.randn(2, size, 6) * 3 + 1
        given = ours.train(batch)
        for h, norm in enumerate(theirs):
            torch.testing.assert_close(given[h], norm(batch[h]), rtol=1e-4, atol=1e-5)
    for h, norm in enumerate(theirs):
        shift, scale = ours.state(h)
        rows = torch.randn(4, 6)
        torch.testing.assert_close((rows - shift) * scale, norm.eval()(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("n", "size", "smallest", "lengths"),
    [
        (10, 4, 1, [4, 4, 2]),
        (9, 4, 1, [4, 4, 1]),
        (9, 4, 2, [4, 5]),
        (8, 4, 2, [4, 4]),
        (1, 4, 2, [1]),
        (3, 4, 2, [3]),
        (0, 4, 2, []),
    ],
)
def test_a_remainder_that_is_too_small_joins_the_batch_before(
    n: int, size: int, smallest: int, lengths: list[int]
) -> None:
    slices = batch_slices(n, size, smallest=smallest)
    assert [s.stop - s.start for s in slices] == lengths
    assert [i for s in slices for i in range(n)[s]] == list(range(n))


def test_rows_are_taken_head_by_head() -> None:
    values, rows = torch.randn(3, 7, 2), torch.randint(7, (3, 4, 5))
    expected = torch.stack([v[r] for v, r in zip(values, rows, strict=True)])
    torch.testing.assert_close(take_rows(values, rows), expected)
    numbers = torch.arange(21).view(3, 7)
    torch.testing.assert_close(
        take_rows(numbers, rows), torch.stack([v[r] for v, r in zip(numbers, rows, strict=True)])
    )
    assert torch.autograd.gradcheck(lambda v: take_rows(v, rows), values.double().requires_grad_())


def test_shuffles_and_draws_come_from_the_generators() -> None:
    made = [[torch.Generator().manual_seed(s) for s in (1, 2)] for _ in range(2)]
    first, second = (shuffled(9, generators) for generators in made)
    assert first.equal(second)
    assert not first[0].equal(first[1])
    assert first.sort(1).values.equal(torch.arange(9).expand(2, 9))
    drawn = uniform((50, 50), 0.3, made[0][0])
    assert drawn.abs().max() <= 0.3
    assert drawn.std().item() == pytest.approx(0.3 / 3**0.5, rel=0.05)


def test_same_shape_groups_in_order() -> None:
    banks = [torch.empty(3, 2), torch.empty(4, 2), torch.empty(3, 2)]
    assert list(same_shape(banks)) == [[0, 2], [1]]


def test_collapse_is_below_one_hundredth() -> None:
    points = torch.randn(100, 3)
    assert spread(points + 1e6) == pytest.approx(spread(points), rel=1e-2)
    assert spread(points * 4) == pytest.approx(4 * spread(points), rel=1e-6)
    assert collapse_note(1.0, 0.02, "x") == ()
    assert "the spread of x fell to 0.005" in collapse_note(1.0, 0.005, "x")[0]
    assert collapse_note(0.0, 0.0, "x") == ()
