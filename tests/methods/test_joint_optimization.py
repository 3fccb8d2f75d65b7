"""Joint optimisation: a plain second implementation, its two losses, labels of auxiliary sets, bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import FitError, endless_rows, epoch_rows
from bench.suite.registry import Registry
from tests.pictures import fitted_with, images, judged, resumed_steps, stained, surfaces

Make = Callable[..., Any]
joint = sys.modules[Registry().methods["joint_optimization"].load().__module__]

TRAIN = images(surfaces(7))
TEST = images(np.concatenate([surfaces(3, seed=5), stained(2)]))
OTHERS = images(np.concatenate([stained(4, seed=8), 255 - surfaces(4, seed=9)]))
CLASSES = ("b", "b", "a", "b", "a", "", "a", "a")
FAST: dict[str, Any] = {"auxiliary_set": "given", "backbone": "tiny", "steps": 3, "batch": 3, "lr": 0.01}


def fitted(
    method: Any, *, train: Any = TRAIN, others: Any = OTHERS, classes: Any = CLASSES, **more: Any
) -> Any:
    auxiliary = {} if others is None else {"auxiliary_set": others}
    more = {"auxiliary": auxiliary, "auxiliary_classes": {"auxiliary_set": classes}, **more}
    return fitted_with(method, train, **more)


@pytest.mark.parametrize("scoring", ["knn", "mean"])
def test_it_follows_a_plain_implementation(make: Make, scoring: str) -> None:
    """torch's own SGD on the last blocks and a linear layer, the losses by their definitions."""
    method = fitted(make("joint_optimization", **FAST, scoring=scoring, weight=0.5))
    start = fitted(make("joint_optimization", **{**FAST, "steps": 0}))
    net = TRAIN.network("tiny")
    module = net.module.requires_grad_(False).eval()
    trained = [p for n, p in module.named_parameters() if n.startswith(("layer3", "layer4"))]
    layer = [start.layer[f"layer.{name}"].detach().clone() for name in ("weight", "bias")]
    trained += layer
    for each in trained:
        each.requires_grad_(True)
    optimiser = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4)
    normal = net.preprocess.normalise(next(TRAIN.batches(9)))
    other = net.preprocess.normalise(next(OTHERS.batches(9)))[[0, 1, 2, 3, 4, 6, 7]]  # the sixth has no class
    labels = torch.tensor([1, 1, 0, 1, 0, 0, 0])

    def features(x: torch.Tensor) -> torch.Tensor:
        return module.forward_features(x).mean((2, 3))

    for step in range(3):
        chosen = endless_rows(7, 3, step, 0, "auxiliary")
        told = features(other[chosen]) @ layer[0].T + layer[1]
        z = features(normal[epoch_rows(7, 3, step, 0)])
        compact = sum(
            ((z[i] - torch.cat([z[:i], z[i + 1 :]]).mean(0)) ** 2).mean() for i in range(len(z)) if len(z) > 1
        )
        loss = -told.log_softmax(1)[range(3), labels[chosen]].mean() + 0.5 * compact / len(z)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    bank, test = (
        features(x).detach().numpy() for x in (normal, net.preprocess.normalise(next(TEST.batches(9))))
    )
    if scoring == "mean":
        expected = ((test - bank.mean(0)) ** 2).sum(1)
    else:
        squared = ((test[:, None] - bank[None]) ** 2).sum(2)
        expected = np.sort(squared, 1)[:, :2].sum(1)
    np.testing.assert_allclose(judged(method, TEST), expected, rtol=1e-3, atol=1e-6)


def test_compactness_by_loops_and_at_its_ends() -> None:
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    by_hand = 0.0
    for i in range(5):
        others = [z[j] for j in range(5) if j != i]
        by_hand += float(((z[i] - sum(others) / 4) ** 2).sum()) / 15
    assert float(joint.compactness(z)) == pytest.approx(by_hand, rel=1e-5)
    moved = joint.compactness(z + torch.tensor([3.0, -1.0, 2.0]))
    torch.testing.assert_close(moved, joint.compactness(z), rtol=1e-4, atol=1e-5)
    assert float(joint.compactness(2 * z)) == pytest.approx(4 * by_hand, rel=1e-5)
    assert float(joint.compactness(z[:1].expand(4, -1))) == pytest.approx(0, abs=1e-12)
    alone = z[:1].clone().requires_grad_()
    assert float(joint.compactness(alone)) == 0
    joint.compactness(alone).backward()
    assert not alone.grad.any()


def test_without_steps_it_is_dn2(make: Make) -> None:
    ours = fitted(make("joint_optimization", **{**FAST, "steps": 0}))
    dn2 = make("dn2", backbone="tiny", k=2)
    dn2.device, dn2.seed = torch.device("cpu"), 0
    dn2.fit(TRAIN)
    np.testing.assert_allclose(judged(ours, TEST), judged(dn2, TEST), rtol=1e-4, atol=1e-6)
    assert "given in the place of ImageNet: 7 images of 2 classes" in ours.notes


def test_the_classes_are_learned(make: Make) -> None:
    kinds = ("stain",) * 4 + ("bright",) * 4
    method = fitted(make("joint_optimization", **{**FAST, "steps": 30, "weight": 0.0}), classes=kinds)
    logits = method.logits(method.net.features(OTHERS))
    assert logits.argmax(1).tolist() == [1] * 4 + [0] * 4


@pytest.mark.parametrize(
    ("others", "classes", "message"),
    [
        (None, (), "has no auxiliary set: name one"),
        (OTHERS, ("",) * 8, "given has 0 classes, and there must be two or more"),
        (OTHERS, ("a",) * 8, "given has 1 classes"),
    ],
)
def test_sets_that_do_not_do(make: Make, others: Any, classes: Any, message: str) -> None:
    with pytest.raises(FitError, match=message):
        fitted(make("joint_optimization", **FAST), others=others, classes=classes)


def test_one_image_and_mini_batches_of_one(make: Make) -> None:
    method = fitted(make("joint_optimization", **{**FAST, "batch": 1}), train=TRAIN[:1])
    assert np.isfinite(judged(method, TEST)).all()


def test_a_cell_stopped_inside_ends_with_the_same_bits(make: Make, tmp_path: Path) -> None:
    resumed_steps(lambda **more: fitted(make("joint_optimization", **FAST), **more), TEST, tmp_path, 2)
