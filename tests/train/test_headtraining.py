"""The training loop of heads: the same bits after a break, together as alone, an end where a loss is NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import FitError, HeadNorm, Heads, HeadTraining, batch_slices, shuffled, take_rows, uniform
from bench.train.checkpoint import Checkpoints, StopRequested, ask_to_stop, go_on
from bench.train.method import Method, Scores

N, BATCH, EPOCHS = 11, 4, 3
#: Three mini-batches an epoch.
STEPS = 9
SCHEDULES: dict[str, Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]] = {
    "epoch": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    "batch": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=STEPS),
}


class Break(Exception):
    """Stands for a killed process."""


class Toy(Method):
    """A head with running statistics and noise of its own, on a bank of its seed's."""

    def __init__(self, seed: int = 3) -> None:
        self.device, self.seed = torch.device("cpu"), seed

    def fit(self, train: Any) -> None:
        raise NotImplementedError

    def score(self, test: Any) -> Scores:
        raise NotImplementedError


def train(
    methods: list[Toy],
    by: Any = "epoch",
    *,
    kept: dict[str, dict[str, torch.Tensor]] | None = None,
    at: int | None = None,
    bad: bool = False,
) -> list[torch.Tensor]:
    """Return each head's weights, statistics and what was put by, after training."""
    banks = torch.stack([torch.randn(N, 5, generator=torch.Generator().manual_seed(m.seed)) for m in methods])
    shuffle, draw = ([torch.Generator().manual_seed(m.seed + i) for m in methods] for i in (0, 100))
    heads = Heads([{"w": uniform((5, 2), 0.5, generator)} for generator in shuffle])
    norm, kept = HeadNorm(len(methods), 5), {} if kept is None else kept
    optimiser = torch.optim.AdamW(heads.groups(), lr=0.05)
    training = HeadTraining(
        methods=methods,
        heads=heads,
        optimiser=optimiser,
        schedule=SCHEDULES[by](optimiser),
        schedule_by=by,
        n=N,
        batch=BATCH,
        epochs=EPOCHS,
        shuffle=shuffle,
        draw=draw,
        state={"mean": norm.mean, "var": norm.var},
        kept=kept,
    )
    assert training.steps == STEPS
    for done, rows in enumerate(training):
        if done == at and not bad:
            raise Break
        noise = torch.stack([torch.randn(rows.shape[1], 5, generator=g) for g in draw])
        loss = ((norm.train(take_rows(banks, rows)) + noise) @ heads["w"]).square().mean((1, 2))
        heads.step(loss * (torch.nan if bad and done == at else 1), optimiser)
        if training.ends_epoch:
            kept[f"epoch {training.epoch}"] = heads.state(0)
    return [
        torch.cat([heads["w"][h].flatten(), norm.mean[h, 0], norm.var[h, 0]]) for h in range(len(methods))
    ]


@pytest.mark.parametrize("by", ["epoch", "batch"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 6, 8])
def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path: Path, by: str, at: int) -> None:
    put_by: dict[str, dict[str, torch.Tensor]] = {}
    whole = train([Toy()], by, kept=put_by)
    stopped = Toy()
    stopped.checkpoints = Checkpoints(tmp_path / "cell")
    stopped.progress = lambda _, done, __: ask_to_stop() if done == at else None
    try:
        with pytest.raises(StopRequested):
            train([stopped], by)
    finally:
        go_on()
    again, told = Toy(), []
    again.checkpoints = Checkpoints(tmp_path / "cell")
    again.progress = lambda *what: told.append(what)
    found: dict[str, dict[str, torch.Tensor]] = {}
    assert torch.equal(train([again], by, kept=found)[0], whole[0])
    assert again.notes[0].startswith(f"resumed after {at} of {STEPS} mini-batches")
    assert told == [("Toy", done, STEPS) for done in range(at + 1, STEPS + 1)]
    assert list(found) == list(put_by)
    assert all(torch.equal(found[epoch]["w"], put_by[epoch]["w"]) for epoch in found)


def test_a_killed_training_loses_what_came_after_its_last_checkpoint(tmp_path: Path) -> None:
    whole = train([Toy()])
    killed = Toy()
    killed.checkpoints = Checkpoints(tmp_path / "cell", every=0)
    with pytest.raises(Break):
        train([killed], at=5)
    again = Toy()
    again.checkpoints = Checkpoints(tmp_path / "cell")
    assert torch.equal(train([again])[0], whole[0])
    assert "resumed after 5 of 9" in again.notes[0]


def test_heads_together_learn_as_alone_and_keep_nothing(tmp_path: Path) -> None:
    alone = [train([Toy(seed)])[0] for seed in (3, 4)]
    both = [Toy(3), Toy(4)]
    for method in both:
        method.checkpoints = Checkpoints(tmp_path / "cell", every=0)
    for ours, theirs in zip(train(both), alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "cell").exists()


def test_a_loss_that_is_no_number_ends_it_and_is_not_kept(tmp_path: Path) -> None:
    toy = Toy()
    toy.checkpoints = Checkpoints(tmp_path / "cell", every=0)
    with pytest.raises(FitError, match="Toy: the loss became NaN or infinite; lower the learning rate"):
        train([toy], at=4, bad=True)
    again = Toy()
    again.checkpoints = toy.checkpoints
    train([again])
    assert "resumed after 4 of 9" in again.notes[0]


def test_every_epoch_takes_each_row_once_in_another_order() -> None:
    toy, generator = Toy(), torch.Generator().manual_seed(0)
    heads = Heads([{"w": torch.ones(1)}])
    training = HeadTraining(
        methods=[toy],
        heads=heads,
        optimiser=torch.optim.SGD(heads.groups(), lr=0.0),
        n=9,
        batch=4,
        smallest=2,
        epochs=2,
        shuffle=[generator],
    )
    rows = [(training.epoch, training.ends_epoch, given.clone()) for given in training]
    expected = torch.Generator().manual_seed(0)
    for epoch in (0, 1):
        order = shuffled(9, [expected])
        parts = [order[:, part] for part in batch_slices(9, 4, smallest=2)]
        given = [(ends, found) for at, ends, found in rows if at == epoch]
        assert [ends for ends, _ in given] == [False, True]
        assert all(torch.equal(a, b) for (_, a), b in zip(given, parts, strict=True))


def by_hand(seeds: list[int]) -> list[list[float]]:
    """Return each head's loss at each step of `train`."""
    losses: list[torch.Tensor] = []
    step = Heads.step

    def watched(heads: Heads, loss: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
        losses.append(loss.detach())
        step(heads, loss, optimiser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Heads, "step", watched)
        train([Toy(seed) for seed in seeds])
    found: list[list[float]] = torch.stack(losses, 1).double().tolist()
    return found


def test_each_head_gets_the_course_of_its_own_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [Toy(3), Toy(4)]
    train(methods)
    for method, expected in zip(methods, by_hand([3, 4]), strict=True):
        assert method.curves["training"] == pytest.approx(expected)
    monkeypatch.setattr("bench.train.headtraining.CURVE_POINTS", 4)
    train(methods)  # nine steps in four parts: 3, 2, 2, 2
    for method, expected in zip(methods, by_hand([3, 4]), strict=True):
        cut = [expected[:3], expected[3:5], expected[5:7], expected[7:]]
        assert method.curves["training"] == pytest.approx([sum(part) / len(part) for part in cut])


def test_the_course_goes_on_after_a_break(tmp_path: Path) -> None:
    whole, stopped, again = Toy(), Toy(), Toy()
    train([whole])
    stopped.checkpoints = Checkpoints(tmp_path / "cell")
    stopped.progress = lambda _, done, __: ask_to_stop() if done == 5 else None
    try:
        with pytest.raises(StopRequested):
            train([stopped])
    finally:
        go_on()
    again.checkpoints = Checkpoints(tmp_path / "cell")
    train([again])
    assert again.curves == whole.curves
