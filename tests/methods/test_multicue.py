"""ADL-multicue: a plain second implementation of loss and score, what follows from `adl`, bad input."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import FitError, generator_for
from bench.suite.registry import Registry
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
multicue = sys.modules[Registry().methods["multicue"].load().__module__]

TRAIN, LABELLED = images(surfaces(9, side=32)), images(stained(3, seed=4, side=32))
TEST = images(np.concatenate([surfaces(3, seed=5, side=32), stained(2, side=32)]))
FAST: dict[str, Any] = {
    **{
        "backbone": "tiny",
        "size": 32,
        "batch": 4,
        "textures": "procedural",
        "epochs": 1,
        "steps_per_epoch": 3,
    },
    "maps": "none",
}


def fitted(method: Any, labelled: Any = LABELLED, *, train: Any = TRAIN, **more: Any) -> Any:
    return fitted_with(method, train, labelled=labelled, **more)


@pytest.mark.parametrize("step", [0, 2])
def test_the_loss_is_that_of_the_definition(make: Make, step: int) -> None:
    """Sums over single images: the labels of labelled anomalies stay, their masks do not count."""
    method = fitted(make("multicue", **{**FAST, "burn_in": 0.4}))
    assert method.burn_in == 1  # so that step 2 has soft labels
    pictures, masks, labels = method.mini_batch(step)
    assert labels.tolist() == [0.0] * 4 + [1.0] * 4
    assert not masks[6:].any()
    out = method.model(method.feed(pictures))
    drawn = torch.randn(5000, generator=generator_for(0, "references", step))
    clustered = float(torch.rand((), generator=generator_for(0, "labels", step))) < 0.6
    phi, p = out.score.tolist(), out.probability.tolist()
    upper = cut(phi)
    deviations, entropies = [], []
    for i in range(8):
        d = (phi[i] - float(drawn.mean())) / float(drawn.std())
        q = p[i] if step > 1 and i < 6 else float(i >= 4)
        deviations.append((1 - q) * abs(d) + q * max(0.0, 10 - d))
        y = max(float(i >= 4), float(upper[i])) if step > 1 and clustered else float(i >= 4)
        entropies.append(-y * math.log(p[i]) - (1 - y) * math.log(1 - p[i]))
    total = 0.0
    for losses in (deviations, entropies):
        raw = [(0.9 * each + 0.1) ** (-1 / 0.9) if step > 1 else 1.0 for each in losses]
        total += sum(w / sum(raw) * each for w, each in zip(raw, losses, strict=True)) / 8
    focal = []
    for i in range(6):
        for share, wanted in ((out.mask[i, 0], 1 - masks[i, 0]), (out.mask[i, 1], masks[i, 0])):
            focal.append(wanted.clamp(1e-5, 1 - 1e-5) * share)
    right = torch.stack([focal[2 * i] + focal[2 * i + 1] for i in range(6)]) + 1e-5
    total += (-((1 - right) ** 2) * right.log()).mean().item()
    assert float(method.loss(step)) == pytest.approx(total, rel=1e-4)


def cut(values: list[float]) -> list[bool]:
    """Return which values are in the upper of the two clusters of least squared distance."""

    def within(part: list[float]) -> float:
        return sum((each - sum(part) / len(part)) ** 2 for each in part)

    ordered = sorted(values)
    best = min(range(1, len(ordered)), key=lambda at: within(ordered[:at]) + within(ordered[at:]))
    return [each >= ordered[best] for each in values]


def test_the_score_is_the_sum_of_standardised_cues(make: Make) -> None:
    method = fitted(make("multicue", **FAST))
    found = {}
    for name, pixels in (("train", TRAIN), ("test", TEST)):
        inputs = method.feed(next(pixels.batches(9)))
        inputs = torch.cat([inputs, inputs[-1:].expand(16 - len(inputs), -1, -1, -1)])  # as many as it reads
        with torch.no_grad():
            out, given = method.model(inputs), method.cues_of(inputs)[: len(pixels)].double().numpy()
        p = out.probability.double().numpy()[: len(pixels)]
        highest = np.sort(out.mask[:, 1].flatten(1).numpy(), 1)[: len(pixels), -10:].mean(1)  # 1 % of 1024
        plain = [out.score.numpy()[: len(pixels)], -p * np.log(p) - (1 - p) * np.log(1 - p), highest]
        np.testing.assert_allclose(given, np.stack(plain, 1), rtol=1e-5)
        found[name] = given
    middle = np.median(found["train"], 0)
    spread = 1.4826 * np.median(np.abs(found["train"] - middle), 0)
    expected = ((found["test"] - middle) / spread).sum(1)
    np.testing.assert_allclose(judged(method, TEST), expected, rtol=2e-3, atol=2e-3)


def test_without_labels_and_with_one_cue_images_rank_as_in_adl(make: Make) -> None:
    common = {name: FAST[name] for name in FAST if name != "maps"}
    ours, adl = fitted(make("multicue", **FAST, cues="dev"), None), make("adl", **common)
    adl.device, adl.seed = torch.device("cpu"), 0
    adl.fit(TRAIN)
    plain = judged(adl, TEST)
    expected = (plain - float(ours.middle)) / float(ours.spread)
    np.testing.assert_allclose(judged(ours, TEST), expected, rtol=1e-4, atol=1e-4)
    assert "no labelled anomalies: trained as adl is" in ours.notes


def test_entropy_and_spread_at_their_ends() -> None:
    p = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    given = multicue.entropy(p)
    assert float(given[0]) == float(given[4]) == 0
    assert float(given[2]) == pytest.approx(math.log(2))
    torch.testing.assert_close(given, given.flip(0))
    middle, spread = multicue.centre_and_spread(torch.tensor([[1.0, 4.0], [2.0, 4.0], [9.0, 4.0]]))
    assert middle.tolist() == [2.0, 4.0]
    assert spread.tolist() == pytest.approx([1.4826, 1.0])  # a constant cue adds nothing


def test_labelled_anomalies_come_equally_often(make: Make) -> None:
    method = fitted(make("multicue", **{**FAST, "epochs": 0, "batch": 6, "labelled_share": 1.0}))
    assert method.share == 6
    other = fitted(make("multicue", **{**FAST, "epochs": 0, "batch": 6, "labelled_share": 0.01}))
    assert other.share == 1  # at least one
    pictures, _, labels = other.mini_batch(0)
    assert len(pictures) == len(labels) == 12


def test_labels_help_to_find_their_kind(make: Make) -> None:
    more = {**FAST, "epochs": 10, "lr": 3e-3, "cues": "dev", "labelled_share": 1.0}
    method = fitted(make("multicue", **more))
    assert judged(method, LABELLED).min() > judged(method, TRAIN).max()


@pytest.mark.parametrize("maps", ["gradient", "segmentation"])
def test_maps_change_no_score(make: Make, maps: str) -> None:
    expected = judged(fitted(make("multicue", **FAST)), TEST)
    parts = list(fitted(make("multicue", **{**FAST, "maps": maps})).score(TEST).each_part(5))
    np.testing.assert_allclose(np.concatenate([part for part, _ in parts]), expected, rtol=1e-4, atol=1e-5)
    assert sum(len(held) for _, held in parts) == 5
    assert parts[0][1].shape[1:] == (32, 32)


def test_images_of_another_size_than_the_network_needs(make: Make) -> None:
    with pytest.raises(FitError, match="multicue: pictures of size=40 px; give a multiple of 32"):
        fitted(make("multicue", **{**FAST, "size": 40}))


def test_one_image_one_label_and_mini_batches_of_one(make: Make) -> None:
    method = fitted(make("multicue", **{**FAST, "batch": 1}), LABELLED[:1], train=TRAIN[:1])
    assert np.isfinite(judged(method, TEST)).all()


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("multicue", **FAST), **more), TEST, tmp_path, 2)
