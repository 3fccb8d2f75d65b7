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
    "BaseMethod": "bench.params",
    "ClassFolders": "bench.layouts",
    "Copy": "bench.copies",
    "Crop": "bench.crops",
    "CropSource": "bench.crops",
    "DataError": "bench.errors",
    "Dataset": "bench.dataset",
    "Download": "bench.obtain",
    "EncodedSource": "bench.source",
    "FileSource": "bench.files",
    "FitError": "bench.errors",
    "Fraction": "bench.params",
    "HeadNorm": "bench.heads",
    "HeadTraining": "bench.headtraining",
    "Heads": "bench.heads",
    "Hub": "bench.copies",
    "Idx": "bench.arrays",
    "Images": "bench.images",
    "InspectionSet": "bench.inspection",
    "LazyMasks": "bench.masks",
    "Listing": "bench.listing",
    "Mat": "bench.arrays",
    "Method": "bench.method",
    "MissingData": "bench.copies",
    "NonNegativeFloat": "bench.params",
    "NonNegativeInt": "bench.params",
    "OneVsRest": "bench.dataset",
    "Parquet": "bench.layouts",
    "ParquetTable": "bench.hubtable",
    "Pictures": "bench.pictures",
    "PositiveFloat": "bench.params",
    "PositiveInt": "bench.params",
    "Purification": "bench.wrapper",
    "PythonBatches": "bench.batches",
    "Sample": "bench.listing",
    "Scores": "bench.method",
    "Share": "bench.params",
    "Source": "bench.source",
    "Split": "bench.dataset",
    "Task": "bench.task",
    "Trainable": "bench.features.trainable",
    "Training": "bench.training",
    "UnitInterval": "bench.params",
    "Wrapper": "bench.wrapper",
    "batch_slices": "bench.heads",
    "chance": "bench.training",
    "change_colours": "bench.colours",
    "class_name": "bench.hubtable",
    "code_hash": "bench.adapterfile",
    "collapse_note": "bench.heads",
    "csv_listing": "bench.listing",
    "deviation_loss": "bench.losses",
    "did_you_mean": "bench.errors",
    "empty_masks": "bench.inspection",
    "endless_rows": "bench.training",
    "epoch_rows": "bench.training",
    "file_sha256": "bench.fingerprint",
    "find_copy": "bench.copies",
    "find_root": "bench.copies",
    "focal_loss": "bench.losses",
    "held_out": "bench.files",
    "instance_weights": "bench.reweighting",
    "lacking_block": "bench.features.whole",
    "list_images": "bench.files",
    "mvtec_listing": "bench.listing",
    "nearest": "bench.features.nearest",
    "neutral_crops": "bench.crops",
    "procedural_textures": "bench.synthetic",
    "range_test_rates": "bench.rangetest",
    "read_mat": "bench.arrays",
    "read_rows": "bench.listing",
    "resize": "bench.features.preprocess",
    "resize_plainly": "bench.features.preprocess",
    "rotate_some": "bench.synthetic",
    "same_shape": "bench.heads",
    "seed_of": "bench.training",
    "shuffled": "bench.heads",
    "spread": "bench.heads",
    "standardise": "bench.features.normalise",
    "suggested_rate": "bench.rangetest",
    "take_rows": "bench.heads",
    "training_scores": "bench.wrapper",
    "two_means": "bench.reweighting",
    "unfold_batchnorm": "bench.features.whole",
    "uniform": "bench.heads",
    "with_anomalies": "bench.synthetic",
}
__all__ = [
    "AnobenchError",
    "ArraySource",
    "BaseMethod",
    "ClassFolders",
    "Copy",
    "Crop",
    "CropSource",
    "DataError",
    "Dataset",
    "Download",
    "EncodedSource",
    "FileSource",
    "FitError",
    "Fraction",
    "HeadNorm",
    "HeadTraining",
    "Heads",
    "Hub",
    "Idx",
    "Images",
    "InspectionSet",
    "LazyMasks",
    "Listing",
    "Mat",
    "Method",
    "MissingData",
    "NonNegativeFloat",
    "NonNegativeInt",
    "OneVsRest",
    "Parquet",
    "ParquetTable",
    "Pictures",
    "PositiveFloat",
    "PositiveInt",
    "Purification",
    "PythonBatches",
    "Sample",
    "Scores",
    "Share",
    "Source",
    "Split",
    "Task",
    "Trainable",
    "Training",
    "UnitInterval",
    "Wrapper",
    "batch_slices",
    "chance",
    "change_colours",
    "class_name",
    "code_hash",
    "collapse_note",
    "csv_listing",
    "deviation_loss",
    "did_you_mean",
    "empty_masks",
    "endless_rows",
    "epoch_rows",
    "file_sha256",
    "find_copy",
    "find_root",
    "focal_loss",
    "held_out",
    "instance_weights",
    "lacking_block",
    "list_images",
    "mvtec_listing",
    "nearest",
    "neutral_crops",
    "procedural_textures",
    "range_test_rates",
    "read_mat",
    "read_rows",
    "resize",
    "resize_plainly",
    "rotate_some",
    "same_shape",
    "seed_of",
    "shuffled",
    "spread",
    "standardise",
    "suggested_rate",
    "take_rows",
    "training_scores",
    "two_means",
    "unfold_batchnorm",
    "uniform",
    "with_anomalies",
    "__version__",
]

if TYPE_CHECKING:
    from bench.adapterfile import code_hash
    from bench.arrays import Idx, Mat, read_mat
    from bench.batches import PythonBatches
    from bench.colours import change_colours
    from bench.copies import Copy, Hub, MissingData, find_copy, find_root
    from bench.crops import Crop, CropSource, neutral_crops
    from bench.dataset import Dataset, OneVsRest, Split
    from bench.errors import AnobenchError, DataError, FitError, did_you_mean
    from bench.features.nearest import nearest
    from bench.features.normalise import standardise
    from bench.features.preprocess import resize, resize_plainly
    from bench.features.trainable import Trainable
    from bench.features.whole import lacking_block, unfold_batchnorm
    from bench.files import FileSource, held_out, list_images
    from bench.fingerprint import file_sha256
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
    from bench.headtraining import HeadTraining
    from bench.hubtable import ParquetTable, class_name
    from bench.images import Images
    from bench.inspection import InspectionSet, empty_masks
    from bench.layouts import ClassFolders, Parquet
    from bench.listing import Listing, Sample, csv_listing, mvtec_listing, read_rows
    from bench.losses import deviation_loss, focal_loss
    from bench.masks import LazyMasks
    from bench.method import Method, Scores
    from bench.obtain import Download
    from bench.params import (
        BaseMethod,
        Fraction,
        NonNegativeFloat,
        NonNegativeInt,
        PositiveFloat,
        PositiveInt,
        Share,
        UnitInterval,
    )
    from bench.pictures import Pictures
    from bench.rangetest import range_test_rates, suggested_rate
    from bench.reweighting import instance_weights, two_means
    from bench.source import ArraySource, EncodedSource, Source
    from bench.synthetic import procedural_textures, rotate_some, with_anomalies
    from bench.task import Task
    from bench.training import Training, chance, endless_rows, epoch_rows, seed_of
    from bench.wrapper import Purification, Wrapper, training_scores


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
