"""HSCL: loss and score by plain loops, what its specification implies, bad input, stopping."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import FitError, generator_for, nt_xent, random_views
from bench.suite.registry import Registry
from tests.pictures import fitted_with, images, judged, lit, resumed_steps, stained, surfaces

Make = Callable[..., Any]
hscl = sys.modules[Registry().methods["hscl"].load().__module__]

TRAIN, LABELLED = images(lit(surfaces(10, side=16))), images(lit(stained(3, seed=4, side=16)))
TEST = images(lit(np.concatenate([surfaces(3, seed=5, side=16), stained(2, side=16)])))
FAST: dict[str, Any] = {"size": 16, "width": 4, "batch": 8, "epochs": 2, "samples": 2, "normals": 0.3}


def fitted(method: Any, labelled: Any = LABELLED, *, train: Any = TRAIN, **more: Any) -> Any:
    return fitted_with(method, train, labelled=labelled, **more)


def directions(n: int, d: int = 5, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_nt_xent_by_loops_and_of_equal_embeddings() -> None:
    z = directions(6)
    total = 0.0
    for i in range(6):
        others = [math.exp(float(z[i] @ z[j]) / 0.5) for j in range(6) if j != i]
        total -= math.log(math.exp(float(z[i] @ z[(i + 3) % 6]) / 0.5) / sum(others)) / 6
    assert float(nt_xent(z, 0.5)) == pytest.approx(total, rel=1e-5)
    same = torch.ones(8, 3) / math.sqrt(3)
    assert float(nt_xent(same, 0.5)) == pytest.approx(math.log(7), rel=1e-5)  # log(2 B - 1)


@pytest.mark.parametrize("prototypes", [1, 3])
def test_the_hierarchical_terms_by_loops(prototypes: int) -> None:
    z, known = directions(9), torch.tensor([0.0, 1, -1, 0, 0, 1, -1, 0, 0])
    v = torch.randn(5, prototypes, generator=torch.Generator().manual_seed(9))
    first, second = hscl.hierarchical(z, known, v, torch.Generator().manual_seed(3))
    units = v / v.norm(dim=0)
    rest, bad = [0, 1, 3, 4, 5, 7, 8], [2, 6]
    nearest = {i: max(float(z[i] @ units[:, k]) for k in range(prototypes)) for i in rest}
    confidence = {i: 1.0 if known[i] > 0 else (nearest[i] + 1) / 2 for i in rest}
    assert all(0 <= each <= 1 for each in confidence.values())
    drawn_to = sum((confidence[i] * (nearest[i] - 1)) ** 2 for i in rest) / 7
    apart = sum((float(z[i] @ units[:, k]) + 1) ** 2 for i in bad for k in range(prototypes))
    assert float(first) == pytest.approx(drawn_to + apart / (2 * prototypes), rel=1e-5)
    generator, mixes = torch.Generator().manual_seed(3), []
    weights = {i: c if c > 0.4 else 0.0 for i, c in confidence.items()}
    for whose in (weights, weights, dict.fromkeys(bad, 1.0)):
        places, shares = torch.rand(2, 9, 2, generator=generator)
        ends = np.cumsum(list(whose.values()))
        mix = []
        for row in range(9):
            chosen = [list(whose)[int((ends <= float(p) * ends[-1]).sum())] for p in places[row]]
            assert all(whose[i] > 0 for i in chosen)  # no unsure image is mixed
            s = shares[row] / shares[row].sum()
            mix.append(F.normalize(s[0] * z[chosen[0]] + s[1] * z[chosen[1]], dim=0))
        mixes.append(mix)
    total = 0.0
    for a, p, n in zip(*mixes, strict=True):
        good, poor = math.exp(2 * float(a @ p)), math.exp(2 * float(a @ n))
        total -= math.log(good / (good + poor)) / 9
    assert float(second) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("known", [[0.0, 0, 1, 0], [0.0, -1, 0, 0], [0.0, 0, 0, 0]])
def test_without_both_labels_there_are_no_hierarchical_terms(known: list[float]) -> None:
    drawn = torch.Generator().manual_seed(0)
    assert hscl.hierarchical(directions(4), torch.tensor(known), torch.ones(5, 1), drawn) is None


def test_embeddings_move_by_the_mixes_alone() -> None:
    z, v = directions(6).requires_grad_(), torch.ones(5, 1, requires_grad=True)
    first, second = hscl.hierarchical(
        z, torch.tensor([1.0, 0, 0, -1, -1, 0]), v, torch.Generator().manual_seed(0)
    )
    moved = torch.autograd.grad(first, [z, v], allow_unused=True)
    assert moved[0] is None  # prototypes go to samples, not samples to prototypes
    assert moved[1].abs().sum() > 0
    assert torch.autograd.grad(second, z)[0].abs().sum() > 0


def test_the_rate_rises_and_falls() -> None:
    """As GradualWarmupScheduler (tenfold over 10 epochs) before CosineAnnealingLR has it."""
    assert hscl.rise_and_fall(0.0, 250, 1e-3) == 1
    assert hscl.rise_and_fall(5.0, 250, 1e-3) == pytest.approx(5.5)
    assert hscl.rise_and_fall(10.0, 250, 1e-3) == pytest.approx(10)
    parameter = torch.nn.Parameter(torch.zeros(1))
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([parameter], 1e-2), 250, 1e-6)
    for epoch in range(1, 240):
        cosine.optimizer.step()
        cosine.step()
        assert 1e-3 * hscl.rise_and_fall(10.0 + epoch, 250, 1e-3) == pytest.approx(cosine.get_last_lr()[0])
    assert hscl.rise_and_fall(1.0, 25, 1e-3) == pytest.approx(10)


def test_a_step_is_the_sum_of_its_losses(make: Make) -> None:
    method = fitted(make("hscl", **{**FAST, "epochs": 0, "batch": 13}))
    pixels = hscl.PixelRows(TRAIN + LABELLED, (16, 16))
    kinds = method.kinds(10, 13)
    assert sorted(kinds.tolist()) == [-1.0] * 3 + [0.0] * 7 + [1.0] * 3
    method.net.train()
    rows = hscl.epoch_rows(13, 13, 0, 0)
    drawn = generator_for(0, "views", 0)
    flips = torch.rand(26, generator=drawn) < 0.5
    copies = [
        p.flip(2) if flip else p for p, flip in zip(pixels[rows].repeat(2, 1, 1, 1), flips, strict=True)
    ]
    turned = [
        torch.rot90(copies[half * 13 + i], k, (1, 2)) for half in (0, 1) for k in range(4) for i in range(13)
    ]
    views = random_views(torch.stack(turned), drawn, area=(0.08, 1.0), flips=False, blurs=False)
    embedded, turns = method.net(views / 127.5 - 1)
    z = F.normalize(embedded, dim=1)
    labels = torch.tensor([k for _ in (0, 1) for k in range(4) for _ in range(13)])
    expected = nt_xent(z, 0.5) + F.cross_entropy(turns, labels)
    known = kinds[torch.from_numpy(rows)].repeat(8)
    terms = hscl.hierarchical(z, known, method.net.prototypes, generator_for(0, "mix", 0))
    torch.testing.assert_close(method.loss(0, pixels, kinds), expected + sum(terms))


def test_the_score_by_loops(make: Make) -> None:
    method = fitted(make("hscl", **FAST))

    def parts(given: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        similar, right, lengths = (np.zeros((len(given), 4)) for _ in range(3))
        for i, image in enumerate(next(given.batches(16, size=(16, 16)))):
            for k in range(4):
                z, logits = torch.zeros(128), torch.zeros(4)
                for sample in range(2):
                    drawn = generator_for(0, "sample", sample)
                    one = image.flip(2) if float(torch.rand((), generator=drawn)) < 0.5 else image
                    one = torch.rot90(one, k, (1, 2))[None]
                    view = random_views(one, drawn, area=(0.54, 0.54), flips=False, blurs=False)
                    with torch.no_grad():
                        found = method.net(view / 127.5 - 1)
                    z, logits = z + found[0][0] / 2, logits + found[1][0] / 2
                similar[i, k] = float((z @ method.net.prototypes.detach()).max())
                right[i, k], lengths[i, k] = float(logits[k]), float(z.norm())
        return similar, right, lengths

    _, right, lengths = parts(TRAIN)
    similar, own, _ = parts(TEST)
    expected = -(similar / lengths.mean(0) + own / right.mean(0)).mean(1)
    np.testing.assert_allclose(judged(method, TEST), expected, rtol=1e-3, atol=1e-4)


def test_without_labels_it_says_what_is_left(make: Make) -> None:
    method = fitted(make("hscl", **FAST), None)
    assert any("without the hierarchical terms" in note for note in method.notes)
    assert "2 epochs, 250 in the paper's schedule" in method.notes
    assert any(note.startswith("3 of the 10 training images count as") for note in method.notes)


def test_images_below_the_minimum(make: Make) -> None:
    with pytest.raises(FitError, match="size=7 px; the network needs 8 px"):
        fitted(make("hscl", **{**FAST, "size": 7}))


def test_one_image_one_label_and_mini_batches_of_one(make: Make) -> None:
    method = fitted(make("hscl", **{**FAST, "batch": 1}), LABELLED[:1], train=TRAIN[:1])
    assert np.isfinite(judged(method, TEST)).all()


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("hscl", **FAST), **more), TEST, tmp_path, 3)


def test_compiled_it_learns_the_same(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiler's tracing, but not its kernels, which would take minutes to make."""
    plain, calls = judged(fitted(make("hscl", **FAST)), TEST), []
    compiler = torch.compile

    def traced(module: torch.nn.Module) -> Any:
        calls.append(module)
        return compiler(module, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    np.testing.assert_allclose(judged(fitted(make("hscl", **FAST, compile=True)), TEST), plain, rtol=1e-4)
    assert len(calls) == 1
