"""What an adapter needs, and running suites from Python: each name is loaded when first used."""

import collections.abc
import pathlib
import typing

from .core.determinism import derive_seed as derive_seed
from .core.errors import (
    AnobenchError as AnobenchError,
)
from .core.errors import (
    DataError as DataError,
)
from .core.errors import (
    FitError as FitError,
)
from .core.errors import (
    did_you_mean as did_you_mean,
)
from .core.params import (
    BaseMethod as BaseMethod,
)
from .core.params import (
    Fraction as Fraction,
)
from .core.params import (
    NonNegativeFloat as NonNegativeFloat,
)
from .core.params import (
    NonNegativeInt as NonNegativeInt,
)
from .core.params import (
    PositiveFloat as PositiveFloat,
)
from .core.params import (
    PositiveInt as PositiveInt,
)
from .core.params import (
    Share as Share,
)
from .core.params import (
    UnitInterval as UnitInterval,
)
from .data.arrays import Idx as Idx
from .data.arrays import Mat as Mat
from .data.arrays import read_mat as read_mat
from .data.cifar import PythonBatches as PythonBatches
from .data.copies import (
    Copy as Copy,
)
from .data.copies import (
    Hub as Hub,
)
from .data.copies import (
    MissingData as MissingData,
)
from .data.copies import (
    find_copy as find_copy,
)
from .data.copies import (
    find_root as find_root,
)
from .data.dataset import Dataset as Dataset
from .data.dataset import Download as Download
from .data.dataset import OneVsRest as OneVsRest
from .data.dataset import Split as Split
from .data.fingerprint import file_sha256 as file_sha256
from .data.folders import Crop as Crop
from .data.folders import CropSource as CropSource
from .data.folders import FileSource as FileSource
from .data.folders import held_out as held_out
from .data.folders import neutral_crops as neutral_crops
from .data.images import Images as Images
from .data.inspection import InspectionSet as InspectionSet
from .data.layouts import ClassFolders as ClassFolders
from .data.layouts import Parquet as Parquet
from .data.listing import (
    Listing as Listing,
)
from .data.listing import (
    Sample as Sample,
)
from .data.listing import (
    csv_listing as csv_listing,
)
from .data.listing import (
    mvtec_listing as mvtec_listing,
)
from .data.masks import empty_masks as empty_masks
from .data.parquet import ParquetTable as ParquetTable
from .data.parquet import class_name as class_name
from .data.pixelrows import PixelRows as PixelRows
from .data.pixelrows import filled_parts as filled_parts
from .data.resize import resize as resize
from .data.resize import resize_plainly as resize_plainly
from .data.rows import read_rows as read_rows
from .data.source import ArraySource as ArraySource
from .data.source import EncodedSource as EncodedSource
from .data.source import Source as Source
from .data.task import LazyMasks as LazyMasks
from .data.task import Task as Task
from .data.transfer import rows_of as rows_of
from .data.transfer import sent as sent
from .data.walk import list_images as list_images
from .data.walk import on_disk as on_disk
from .data.walk import subfolders as subfolders
from .features.coreset import greedy_coreset as greedy_coreset
from .features.covariance import ledoit_wolf_shrinkage as ledoit_wolf_shrinkage
from .features.covariance import shrunk_covariance as shrunk_covariance
from .features.nearest import nearest as nearest
from .features.nearest import standardise as standardise
from .features.patches import Patches as Patches
from .features.patches import as_rows as as_rows
from .features.patches import concatenated as concatenated
from .features.patches import on_one_grid as on_one_grid
from .features.patches import pooled as pooled
from .features.patches import random_projection as random_projection
from .features.restore import folding_note as folding_note
from .features.restore import restored as restored
from .features.trainable import Trainable as Trainable
from .report.evaluation import Evaluation as Evaluation
from .report.evaluation import compare as compare
from .report.results import Results as Results
from .report.results import load as load
from .run.evaluate import evaluate as evaluate
from .run.fitted import FittedMethod as FittedMethod
from .run.fitted import Verdicts as Verdicts
from .run.fitted import fit as fit
from .run.savedmethod import load_method as load_method
from .suite.adapterfile import code_hash as code_hash
from .suite.suite import Suite as Suite
from .train.anomalymaps import anomaly_maps as anomaly_maps
from .train.anomalymaps import explained_gradient as explained_gradient
from .train.anomalymaps import mean_of_highest as mean_of_highest
from .train.colours import change_colours as change_colours
from .train.deviationlearning import DeviationLearning as DeviationLearning
from .train.geometric import GEOMETRIC_EPOCHS as GEOMETRIC_EPOCHS
from .train.geometric import GeometricMethod as GeometricMethod
from .train.geometric import GeometricTraining as GeometricTraining
from .train.geometric import Geometry as Geometry
from .train.geometric import as_input as as_input
from .train.geometric import recognised as recognised
from .train.geometric import wide_resnet as wide_resnet
from .train.heads import (
    HeadNorm as HeadNorm,
)
from .train.heads import (
    Heads as Heads,
)
from .train.heads import (
    batch_slices as batch_slices,
)
from .train.heads import (
    collapse_note as collapse_note,
)
from .train.heads import (
    same_shape as same_shape,
)
from .train.heads import (
    shuffled as shuffled,
)
from .train.heads import (
    spread as spread,
)
from .train.heads import (
    take_rows as take_rows,
)
from .train.heads import (
    uniform as uniform,
)
from .train.headtraining import HeadTraining as HeadTraining
from .train.lenet import PRETRAINING as PRETRAINING
from .train.lenet import AdamSchedule as AdamSchedule
from .train.lenet import LeNetInputs as LeNetInputs
from .train.lenet import away_from_zero as away_from_zero
from .train.lenet import lenet_autoencoder as lenet_autoencoder
from .train.lenet import squared_error as squared_error
from .train.lenet import trained_autoencoder as trained_autoencoder
from .train.losses import deviation_loss as deviation_loss
from .train.losses import focal_loss as focal_loss
from .train.losses import instance_weights as instance_weights
from .train.losses import nt_xent as nt_xent
from .train.losses import two_means as two_means
from .train.method import Method as Method
from .train.method import Scores as Scores
from .train.rate import crossing as crossing
from .train.rate import estimated_rate as estimated_rate
from .train.rate import modified_z as modified_z
from .train.rate import two_gaussians as two_gaussians
from .train.stableadamw import StableAdamW as StableAdamW
from .train.synthetic import (
    procedural_textures as procedural_textures,
)
from .train.synthetic import (
    rotate_some as rotate_some,
)
from .train.synthetic import (
    with_anomalies as with_anomalies,
)
from .train.training import (
    Training as Training,
)
from .train.training import (
    endless_rows as endless_rows,
)
from .train.training import (
    epoch_rows as epoch_rows,
)
from .train.training import (
    generator_for as generator_for,
)
from .train.training import range_test_rates as range_test_rates
from .train.training import suggested_rate as suggested_rate
from .train.training import (
    train_with_adam as train_with_adam,
)
from .train.views import random_views as random_views
from .train.wrapper import (
    Purification as Purification,
)
from .train.wrapper import (
    Wrapper as Wrapper,
)
from .train.wrapper import (
    training_scores as training_scores,
)

__version__: str

def run(
    suite: str | pathlib.Path | Suite | None = None,
    *,
    results: str | pathlib.Path = "results",
    datasets: str | collections.abc.Sequence[str] = (),
    methods: str | collections.abc.Sequence[str] = (),
    contamination: float
    | collections.abc.Sequence[float]
    | collections.abc.Mapping[str, typing.Any]
    | None = None,
    few_shot: int | collections.abc.Sequence[int] | collections.abc.Mapping[str, typing.Any] | None = None,
    folders: collections.abc.Sequence[str | pathlib.Path] = (),
    fresh: bool = False,
    retry_failed: bool = False,
    show: bool = True,
    **options: typing.Any,
) -> Results: ...
