"""Classes such as scikit-learn's are methods as they are: from a user's file, without a wrapper class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from bench.suite.adapterfile import read_adapter
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.features_as_images import scores

PLAIN = """
class Plain:
    def __init__(self, power: float = 1.0):
        self.power = power
    def fit(self, features):
        self.mean = features.mean(0)
    def decision_function(self, features):
        return (abs(features - self.mean) ** self.power).sum(1)
"""
FOREST = """
from sklearn.ensemble import IsolationForest
class Forest(IsolationForest):
    def __init__(self, n_estimators: int = 20, random_state=None):
        super().__init__(n_estimators=n_estimators, random_state=random_state)
    def fit(self, X, y=None):
        return super().fit(X)
    def decision_function(self, X):
        return super().decision_function(X)
"""
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.normal(size=(50, 4)).astype(np.float32), RNG.normal(size=(20, 4)).astype(np.float32)


def test_a_plain_class(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "plain.py").write_text(PLAIN)
    registry = Registry([tmp_path])
    adapter = registry.methods["plain"]
    assert set(adapter.parameters) == {"backbone", "power"}
    found = resolve(adapter, {"power": 2.0, "backbone": "hog"}, registry, "a test")
    assert not found.stochastic
    method = found.make()
    assert method.backbone == "hog"  # type: ignore[attr-defined]
    given = scores(method, TRAIN, TEST)
    assert given == pytest.approx(((TEST - TRAIN.astype(float).mean(0)) ** 2).sum(1), rel=1e-5)


def test_scikit_learns_way_round_and_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "forest.py"
    path.write_text(FOREST)
    adapter = read_adapter("method", path)
    assert adapter is not None
    found = resolve(adapter, {}, Registry(), "a test")
    assert found.stochastic
    reference = IsolationForest(n_estimators=20, random_state=3).fit(TRAIN.astype(float))
    assert scores(found.make(), TRAIN, TEST, seed=3) == pytest.approx(-reference.decision_function(TEST))


@pytest.mark.parametrize(
    "text", ["x = 1", "class A:\n    def fit(self, x): pass\n", PLAIN.replace("def fit", "def learn")]
)
def test_other_files_are_no_methods(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text)
    assert read_adapter("method", tmp_path / "a.py") is None
    (tmp_path / "a.py").write_text(PLAIN)
    assert read_adapter("dataset", tmp_path / "a.py") is None
