"""anobench: the benchmark harness and leaderboard for image anomaly detection.

What an adapter needs is here; each name is loaded when first used, so that ``import bench`` stays quick and
listing adapters never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "AnobenchError": "bench.errors",
    "ArraySource": "bench.source",
    "DataError": "bench.errors",
    "Dataset": "bench.dataset",
    "EncodedSource": "bench.source",
    "FitError": "bench.errors",
    "Fraction": "bench.params",
    "HeadNorm": "bench.heads",
    "Heads": "bench.heads",
    "Images": "bench.images",
    "Method": "bench.method",
    "NonNegativeFloat": "bench.params",
    "NonNegativeInt": "bench.params",
    "OneVsRest": "bench.dataset",
    "PositiveFloat": "bench.params",
    "PositiveInt": "bench.params",
    "Scores": "bench.method",
    "Source": "bench.source",
    "Split": "bench.dataset",
    "Task": "bench.task",
    "UnitInterval": "bench.params",
    "batch_slices": "bench.heads",
    "collapse_note": "bench.heads",
    "nearest": "bench.features.nearest",
    "range_test_rates": "bench.rangetest",
    "same_shape": "bench.heads",
    "shuffled": "bench.heads",
    "spread": "bench.heads",
    "standardise": "bench.features.normalise",
    "suggested_rate": "bench.rangetest",
    "take_rows": "bench.heads",
    "uniform": "bench.heads",
}
__all__ = [
    "AnobenchError",
    "ArraySource",
    "DataError",
    "Dataset",
    "EncodedSource",
    "FitError",
    "Fraction",
    "HeadNorm",
    "Heads",
    "Images",
    "Method",
    "NonNegativeFloat",
    "NonNegativeInt",
    "OneVsRest",
    "PositiveFloat",
    "PositiveInt",
    "Scores",
    "Source",
    "Split",
    "Task",
    "UnitInterval",
    "batch_slices",
    "collapse_note",
    "nearest",
    "range_test_rates",
    "same_shape",
    "shuffled",
    "spread",
    "standardise",
    "suggested_rate",
    "take_rows",
    "uniform",
    "__version__",
]

if TYPE_CHECKING:
    from bench.dataset import Dataset, OneVsRest, Split
    from bench.errors import AnobenchError, DataError, FitError
    from bench.features.nearest import nearest
    from bench.features.normalise import standardise
    from bench.heads import (
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
    from bench.images import Images
    from bench.method import Method, Scores
    from bench.params import (
        Fraction,
        NonNegativeFloat,
        NonNegativeInt,
        PositiveFloat,
        PositiveInt,
        UnitInterval,
    )
    from bench.rangetest import range_test_rates, suggested_rate
    from bench.source import ArraySource, EncodedSource, Source
    from bench.task import Task


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
