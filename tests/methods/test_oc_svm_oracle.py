"""The one-class SVM's grid against scikit-learn, machine by machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.svm import OneClassSVM

from bench.suite.registry import Registry
from tests.features_as_images import images

rng = np.random.default_rng(3)
TRAIN = rng.random(size=(50, 5)).astype(np.float32)
TEST = (rng.random(size=(20, 5)) * 1.5).astype(np.float32)


def test_every_machine_of_the_grid_is_scikit_learns(make: Callable[..., Any]) -> None:
    method = make("oc_svm_oracle")
    method.device, method.seed = torch.device("cpu"), 0
    method.fit(images(TRAIN))
    given = method.score(images(TEST))
    assert len(given.candidates) == 90
    for nu in (0.1, 0.5, 0.9):
        for power in (-7, 0, 2):
            model = OneClassSVM(nu=nu, gamma=2.0**power).fit(TRAIN.astype(np.float64))
            expected = -model.decision_function(TEST.astype(np.float64))
            np.testing.assert_allclose(
                given.candidates[f"nu={nu},gamma=2^{power}"], expected, rtol=1e-3, atol=1e-4
            )
    np.testing.assert_array_equal(given.image, given.candidates["nu=0.1,gamma=2^-7"])


def test_it_says_that_the_choice_is_made_on_test_data() -> None:
    assert Registry().methods["oc_svm_oracle"].attributes["selection"] == "oracle"
