"""Stock methods under the checks of ``anobench try``: the functions that users' methods meet.

Methods that train for many steps meet them in `test_contract` and `test_contract_pixels`, on less.
"""

from __future__ import annotations

import pytest

from bench.run.contract import CHECKS, trial
from bench.suite.registry import Registry
from bench.suite.resolve import resolve
from tests.pictures import ON_PIXELS, tiny

ON_FEATURES = (
    *("dn2", "ecod", "gmm", "isolation_forest", "kde", "kmeans_distance", "llbnad", "lof", "mahalanobis"),
    *("mean_distance", "oc_svm", "random", "trim", "whitening"),
)
ON_MAPS = ("padim", "patch_knn", "patchcore", "softpatch", "spade")
#: Watching memory makes fits ten times as long; `test_contract` of `tests/run` does it.
ASKED = CHECKS.keys() - {"memory"}


@pytest.mark.parametrize("name", [*ON_FEATURES, *ON_MAPS])
def test_try_finds_nothing(name: str, stock: Registry) -> None:
    params = {key: value for key, value in ON_PIXELS.get(name, {}).items() if key != "backbone"}
    method = resolve(stock.methods[name], params, stock, "a test")
    names = ("tiny",) if name in ON_MAPS else ("pixels[size=8]",)
    found, _ = trial(method, ASKED, backbones=tiny(), names=names)
    assert not found, "\n".join(map(str, found))
