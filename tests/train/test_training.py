"""The training loop: the same bits after a break, clipping, rates, an end when a loss is not finite."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bench
from bench import (
    FitError,
    Images,
    Method,
    Scores,
    Training,
    endless_rows,
    epoch_rows,
    generator_for,
    range_test_rates,
    suggested_rate,
)
from bench.train.checkpoint import Checkpoints, StopRequested, ask_to_stop, go_on

STEPS = 12


class Break(Exception):
    """Stands for a killed process."""


class Toy(Method):
    """A small network with running statistics and dropout, trained on noise that depends on the step."""

    def __init__(self, optimiser: str = "adam", at: int | None = None, bad: float | None = None) -> None:
        self.device, self.seed, self.at, self.bad = torch.device("cpu"), 3, at, bad
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        parameters = self.net.parameters()
        kinds: dict[str, Callable[[], torch.optim.Optimizer]] = {
            "adam": lambda: torch.optim.Adam(parameters, lr=0.05, weight_decay=1e-3),
            "sgd": lambda: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        }
        self.optimiser = kinds[optimiser]()
        self.kept: dict[str, dict[str, torch.Tensor]] = {}

    def train(self, clip: float | None = None, **more: Any) -> Toy:
        Training(
            method=self,
            optimiser=self.optimiser,
            state=self.net.state_dict(),
            steps=STEPS,
            clip=clip,
            kept=self.kept,
            **more,
        ).run(self.loss, self.after)
        return self

    def loss(self, step: int) -> torch.Tensor:
        if step == self.at:
            if self.bad is None:
                raise Break
            return self.net[0].weight.sum() * self.bad
        x = torch.randn(6, 4, generator=generator_for(self.seed, "x", step))
        return self.net(x).square().mean()

    def after(self, done: int) -> None:
        if done % 4 == 0:
            self.kept[f"step {done}"] = {n: t.clone() for n, t in self.net.state_dict().items()}

    def bits(self) -> bytes:
        kept = [tensor for name in sorted(self.kept) for _, tensor in sorted(self.kept[name].items())]
        return b"".join(t.detach().numpy().tobytes() for t in [*self.net.state_dict().values(), *kept])

    def fit(self, train: Images) -> None:
        raise NotImplementedError

    def score(self, test: Images) -> Scores:
        raise NotImplementedError


def stored(folder: Path, every: float = 0.0) -> Checkpoints:
    return Checkpoints(folder, every)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("at", [0, 1, 5, 9, 11])
def test_a_training_that_was_broken_off_ends_with_the_same_bits(
    tmp_path: Path, optimiser: str, at: int
) -> None:
    whole = Toy(optimiser).train(rate=lambda step: 0.05 / (1 + step))
    broken = Toy(optimiser, at=at)
    broken.checkpoints = stored(tmp_path / "cell")
    with pytest.raises(Break):
        broken.train(rate=lambda step: 0.05 / (1 + step))
    again = Toy(optimiser)
    again.checkpoints = stored(tmp_path / "cell")
    again.train(rate=lambda step: 0.05 / (1 + step))
    assert again.bits() == whole.bits()
    assert again.curves == whole.curves
    assert list(again.kept) == ["step 0", "step 4", "step 8", "step 12"]
    assert any(f"resumed after {at} of 12" in note for note in again.notes) == (at > 0)
    assert not whole.notes


@pytest.mark.parametrize("points", [200, 5, 1])
def test_the_course_of_the_loss_is_kept(monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    monkeypatch.setattr("bench.train.training.CURVE_POINTS", points)
    losses: list[float] = []

    class Noted(Toy):
        def loss(self, step: int) -> torch.Tensor:
            value = super().loss(step)
            losses.append(float(value.detach()))
            return value

    curve = Noted().train().curves["training"]
    parts = [[] for _ in range(min(points, STEPS))]
    for step, loss in enumerate(losses):
        parts[step * len(parts) // STEPS].append(loss)
    np.testing.assert_allclose(curve, [np.mean(part) for part in parts], rtol=1e-6)


def test_each_part_of_a_training_has_a_curve_and_is_not_trained_again(tmp_path: Path) -> None:
    toy = Toy()
    toy.checkpoints = stored(tmp_path / "cell", every=1e9)
    toy.train(part="first").train(part="second")
    assert list(toy.curves) == ["first", "second"]
    assert {path.parent.name for path in tmp_path.rglob("state.safetensors")} == {"first", "second"}
    again = Toy(at=0)  # a step of its own would break off
    again.checkpoints = stored(tmp_path / "cell")
    again.train(part="first").train(part="second")
    assert again.curves == toy.curves
    assert again.bits() == toy.bits()


def test_checkpoints_are_written_every_so_often(tmp_path: Path) -> None:
    seconds = iter(range(1000))
    toy = Toy()
    toy.checkpoints = stored(tmp_path / "cell", every=1e9)
    toy.train(clock=lambda: float(next(seconds)))
    assert not (tmp_path / "cell").exists()
    told: list[tuple[str, int, int]] = []
    toy = Toy()
    toy.checkpoints, toy.progress = stored(tmp_path / "cell", every=6.0), lambda *say: told.append(say)
    toy.train(clock=lambda: float(next(seconds)))
    assert (tmp_path / "cell" / "state.safetensors").exists()
    assert told == [("Toy", done, STEPS) for done in range(1, STEPS + 1)]


def other(*layers: nn.Module, groups: int = 1) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    net = nn.Sequential(*layers)
    parts = np.array_split(np.arange(len(every := list(net.parameters()))), groups)
    return net, torch.optim.Adam([{"params": [every[at] for at in part]} for part in parts], lr=0.05)


#: Trainings whose checkpoint is of something else than the toy's.
OTHERS: dict[str, Callable[[], tuple[nn.Sequential, torch.optim.Optimizer]]] = {
    "layers": lambda: other(nn.Linear(4, 8), nn.Linear(8, 1)),
    "widths": lambda: other(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1)),
    "groups": lambda: other(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1), groups=2),
}
#: Of the files, of who wrote them, and of what they are a checkpoint of.
DAMAGES = ["torn", "empty", "schema", "kept", "orphan", "torch", "anobench", "steps", *OTHERS]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_used_is_left_aside(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Toy(at=9)
    first.checkpoints = stored(tmp_path)
    if damage in OTHERS:
        first.net, first.optimiser = OTHERS[damage]()
    with monkeypatch.context() as longer:
        if damage == "steps":
            longer.setattr(sys.modules[__name__], "STEPS", STEPS + 5)
        with pytest.raises(Break):
            first.train()
    state, kept = tmp_path / "state.safetensors", tmp_path / "kept-1.safetensors"
    if damage == "torn":
        state.write_bytes(state.read_bytes()[:-50])
    elif damage == "empty":
        state.write_bytes(b"")
    elif damage == "schema":
        monkeypatch.setattr("bench.train.checkpoint._SCHEMA", 99)
    elif damage == "kept":
        kept.write_bytes(kept.read_bytes()[:100])
    elif damage in ("torch", "anobench"):
        monkeypatch.setattr({"torch": torch, "anobench": bench}[damage], "__version__", "0.0")
    elif damage == "orphan":
        state.unlink()
    again = Toy()
    again.checkpoints = stored(tmp_path, every=1e9)
    assert again.train().bits() == Toy().train().bits()
    assert not again.notes
    assert not kept.exists()


def test_a_checkpoint_is_no_pickle_and_describes_itself(tmp_path: Path) -> None:
    from safetensors import safe_open

    toy = Toy()
    toy.checkpoints = stored(tmp_path)
    toy.train()
    with safe_open(tmp_path / "state.safetensors", "pt") as file:
        described = json.loads(file.metadata()["anobench"])
    assert described["schema"] == 3
    assert described["done"] == STEPS
    assert described["kept"] == ["step 0", "step 4", "step 8", "step 12"]
    toy.checkpoints.remove()
    assert not tmp_path.exists()


def test_a_disk_that_is_full_does_not_stop_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    toy = Toy()
    toy.checkpoints = stored(tmp_path / "file" / "cell")
    assert toy.train().bits() == Toy().train().bits()
    assert "no checkpoint" in caplog.text


@pytest.mark.parametrize(("bad", "word"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_loss_that_is_not_finite_ends_it_with_a_reason(bad: float, word: str) -> None:
    with pytest.raises(
        FitError, match=f"Toy: the loss or its gradient became -?{word} by mini-batch 4 of 12"
    ):
        Toy(at=3, bad=bad).train()


def test_a_gradient_that_is_not_finite_ends_it_too() -> None:
    toy = Toy("sgd")

    def loss(step: int) -> torch.Tensor:
        return (toy.net[0].weight - toy.net[0].weight.detach()).abs().sum().sqrt() + step

    with pytest.raises(FitError, match="loss or its gradient became"):
        Training(method=toy, optimiser=toy.optimiser, state={}, steps=3, clip=1.0).run(loss)


def test_clipping_makes_every_step_short() -> None:
    toy = Toy("sgd")
    before = [p.detach().clone() for p in toy.net.parameters()]
    Training(method=toy, optimiser=toy.optimiser, state={}, steps=1, clip=1e-3).run(
        lambda s: 1e6 * toy.loss(s)
    )
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, toy.net.parameters(), strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.05 * 1e-3, rel=1e-2)


def test_on_a_cpu_autocast_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Toy().train(precision="bfloat16").bits() == Toy().train().bits()
    asked: list[tuple[str, torch.dtype]] = []

    def noted(device: str, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
        asked.append((device, dtype))
        return contextlib.nullcontext()

    monkeypatch.setattr(torch, "autocast", noted)
    toy = Toy()
    toy.device = torch.device("cuda")  # as told; what it trains lies on the host
    training = Training(method=toy, optimiser=toy.optimiser, state={}, steps=1, precision="bfloat16")
    with training._autocast():
        pass
    assert asked == [("cuda", torch.bfloat16)]


def test_no_steps_leave_everything() -> None:
    toy = Toy()
    before = toy.bits()
    Training(method=toy, optimiser=toy.optimiser, state=toy.net.state_dict(), steps=0).run(toy.loss)
    assert toy.bits() == before


def test_rows_of_passes() -> None:
    rows = [epoch_rows(10, 4, step, seed=0) for step in range(6)]
    assert [len(r) for r in rows] == [4, 4, 2, 4, 4, 2]
    for start in (0, 3):
        assert sorted(np.concatenate(rows[start : start + 3])) == list(range(10))
    assert not np.array_equal(np.concatenate(rows[:3]), np.concatenate(rows[3:]))
    assert not np.array_equal(epoch_rows(10, 4, 0, seed=1), rows[0])


def test_rows_without_end() -> None:
    rows = np.concatenate([endless_rows(5, 12, step, 0, "a") for step in range(5)])
    assert len(rows) == 60
    for start in range(0, 60, 5):
        assert sorted(rows[start : start + 5]) == list(range(5))
    assert not np.array_equal(rows, np.concatenate([endless_rows(5, 12, step, 0, "b") for step in range(5)]))
    assert endless_rows(1, 3, 7, 0, "a").tolist() == [0, 0, 0]


def test_chance_depends_on_every_name() -> None:
    drawn = [
        torch.rand(3, generator=generator_for(*names)) for names in ((1, "a", 2), (1, "a", 3), (2, "a", 2))
    ]
    assert torch.equal(drawn[0], torch.rand(3, generator=generator_for(1, "a", 2)))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_stop_keeps_the_state_at_once_and_ends_the_same(tmp_path: Path) -> None:
    whole = Toy().train()
    stopped = Toy()
    stopped.checkpoints = Checkpoints(tmp_path / "cell")

    stopped.progress = lambda _, done, __: ask_to_stop() if done == 5 else None
    try:
        with pytest.raises(StopRequested):
            stopped.train()
    finally:
        go_on()
    again = Toy()
    again.checkpoints = Checkpoints(tmp_path / "cell")
    again.train()
    assert "resumed after 5 of 12 mini-batches" in again.notes[0]
    assert again.bits() == whole.bits()


def test_rates_grow_exponentially_between_their_ends() -> None:
    rates = range_test_rates(50, lowest=1e-6, highest=0.1)
    assert len(rates) == 50
    assert rates[0] == 1e-6
    assert rates[-1] == pytest.approx(0.1)
    ratios = np.diff(np.log(rates[1:]))
    np.testing.assert_allclose(ratios, ratios[0])


def test_the_steepest_descent_is_found() -> None:
    rates = range_test_rates()
    step = np.arange(100)
    losses = np.where(step < 60, 4.0, 1.0)
    assert suggested_rate(rates, losses) == rates[60]


def test_what_follows_a_divergence_is_ignored() -> None:
    rates = range_test_rates()
    losses = np.concatenate([np.linspace(4, 3.5, 50), np.full(30, 1e4), np.zeros(20)])
    found = suggested_rate(rates, losses)
    assert found is not None
    assert found <= rates[50]


def test_losses_that_are_no_numbers_are_left_out() -> None:
    rates = range_test_rates()
    losses = np.concatenate([np.full(30, 4.0), np.full(40, 2.0), np.full(30, np.nan)])
    assert suggested_rate(rates, losses) == rates[30]


def test_two_usable_losses_are_enough() -> None:
    falling = np.linspace(4, 3, 13).tolist()
    assert suggested_rate(range_test_rates(13), falling) == range_test_rates(13)[10]
    assert suggested_rate(range_test_rates(12), falling[:12]) is None, "ten and one are left out"


@pytest.mark.parametrize("losses", [[], [1.0] * 5, [np.nan] * 100, [1.0, 1e9] + [1.0] * 98])
def test_too_little_to_go_by_gives_nothing(losses: list[float]) -> None:
    assert suggested_rate(range_test_rates(), losses) is None
