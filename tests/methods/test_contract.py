"""What every registered method owes the harness, on generated features."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import FitError
from bench.metrics.image import auroc
from bench.suite.registry import Registry
from tests.features_as_images import scores
from tests.pictures import ON_PIXELS

ALL = sorted(name for name, adapter in Registry().methods.items() if not adapter.problem)
#: Methods that train on pixels meet their contract in `test_contract_pixels`.
NAMES = [name for name in ALL if name not in ON_PIXELS]
DETECTORS = [name for name in NAMES if Registry().methods[name].attributes.get("setting") != "control"]

#: Parameters for this small bank, where a method's defaults are made for thousands of images.
SMALL: dict[str, dict[str, Any]] = {
    "cap": {"weight": 20.0, "epochs": 60, "lr": 0.03},
    # With a sampling perturbator, 12 dimensions give anything from 0.1 to 0.97, by the seed.
    "sla2p": {"transforms": 16, "dimensions": 16, "epochs": 20, "accuracy": 0.9, "epsilon": 10.0},
    # On a clean bank it rejects nothing, whatever the seed.
    "aar": {"cut": 1.0},
    "plume": {"perturbator": "deterministic", "epochs": 20, "lr": 0.01},
}
#: Methods whose made-up anomalies leave a constant column, which their classifier then goes by alone.
SHORTCUT = {"plume"}
#: Methods that cut their images into subsets, and say so when there are too few.
DEMANDING = {"llbnad"}
#: Methods that need a package of an optional extra.
OPTIONAL = {"anomalib": "anomalib", "pyod": "pyod"}

rng = np.random.default_rng(0)
# Features of a network lie around a common direction: methods that compare angles need one.
COMMON = 6 * np.eye(12)[0]
TRAIN = rng.normal(size=(120, 12)) + COMMON
TEST = np.concatenate([rng.normal(size=(60, 12)), rng.normal(size=(40, 12)) * 2 + 2]) + COMMON
LABELS = np.repeat([0, 1], [60, 40])


@pytest.fixture
def make(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes a method by name, with parameters for the bank of this suite."""

    def small(name: str) -> Any:
        if name in OPTIONAL:
            pytest.importorskip(OPTIONAL[name], reason=f"{name} needs an optional extra")
        return make(name, **SMALL.get(name, {}))

    return small


@pytest.mark.parametrize("name", NAMES)
def test_one_finite_score_an_image(name: str, make: Callable[..., Any]) -> None:
    given = scores(make(name), TRAIN, TEST)
    assert given.shape == (100,)
    assert np.isfinite(given).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_higher_is_more_anomalous(name: str, make: Callable[..., Any]) -> None:
    assert auroc(LABELS, scores(make(name), TRAIN, TEST)) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name: str, make: Callable[..., Any]) -> None:
    first, second = (scores(make(name), TRAIN, TEST, seed=3) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_stochastic_means_that_the_seed_matters(name: str, make: Callable[..., Any], stock: Registry) -> None:
    first, second = (scores(make(name), TRAIN, TEST, seed=seed) for seed in (1, 2))
    assert (first.tobytes() != second.tobytes()) == bool(stock.methods[name].attributes.get("stochastic"))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_score_does_not_depend_on_the_company(name: str, make: Callable[..., Any]) -> None:
    together = scores(make(name), TRAIN, TEST)
    alone = np.concatenate([scores(make(name), TRAIN, TEST[i : i + 1]) for i in (0, 7, 99)])
    np.testing.assert_allclose(alone, together[[0, 7, 99]], rtol=1e-5)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("n", [2, 3])
def test_very_few_training_images(name: str, make: Callable[..., Any], n: int) -> None:
    if name in DEMANDING:
        with pytest.raises(FitError, match=f"{n} training images"):
            scores(make(name), TRAIN[:n], TEST)
    else:
        assert np.isfinite(scores(make(name), TRAIN[:n], TEST)).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_constant_columns_are_no_obstacle(name: str, make: Callable[..., Any]) -> None:
    padded = [np.concatenate([x, np.full((len(x), 3), 7.0)], 1) for x in (TRAIN, TEST)]
    given = scores(make(name), *padded)
    assert np.isfinite(given).all()
    if name not in SHORTCUT:
        assert auroc(LABELS, given) > 0.9


@pytest.mark.parametrize("name", ALL)
def test_an_adapter_imports_only_bench_and_libraries(name: str, stock: Registry) -> None:
    tree = ast.parse(stock.methods[name].path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
            assert node.module == "bench", "adapters use what bench exports, not its inside"
        assert not (isinstance(node, ast.ImportFrom) and node.level), "an adapter file is self-contained"


@pytest.mark.parametrize("name", ALL)
def test_every_method_has_a_summary_and_a_reference_test(name: str, stock: Registry) -> None:
    assert stock.methods[name].summary
    tested = "".join(
        path.read_text()
        for path in Path(__file__).parent.glob("test_*.py")
        if path.name != Path(__file__).name
    )
    assert f'"{name}"' in tested, (
        f"{name} needs a test against a closed form or an independent implementation"
    )
