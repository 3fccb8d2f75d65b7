"""Every option of every method reaches its scores: one that changes nothing is no option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.suite.adapter import Adapter
from bench.suite.registry import Registry
from tests import features_as_images, pictures

Make = Callable[..., Any]

STOCK = Registry().methods
Params = dict[str, Any]

#: Parameters by which a method is quick; other values for each option, one at a time, with what they need.
ON_FEATURES: dict[str, tuple[Params, dict[str, Any | Params]]] = {
    "cap": (
        {"epochs": 2, "k": 5, "lr": 1e-2, "batch": 16},
        {
            "kind": "sensory",
            "head": "L+ReLU",
            "attention": False,
            "adapt": False,
            "k": 3,
            "weight": 0.1,
            "distance": "sum",
            "batch": 7,
            "lr": 1e-3,
            "epochs": 1,
            "decay": 0.1,
        },
    ),
    "dn2": ({}, {"k": 1, "normalise": "l2"}),
    "ecod": ({}, {"aggregate": "image"}),
    "gmm": (
        {},
        {"components": 2, "covariance": "full", "dimensions": 3, "ridge": 0.5, "normalise": "none"},
    ),
    "isolation_forest": ({}, {"trees": 10, "subsample": 8}),
    "kde": ({}, {"bandwidth": "median", "factor": 2.0, "normalise": "none"}),
    "kmeans_distance": ({}, {"k": 3, "restarts": 30, "normalise": "l2"}),
    "lof": ({}, {"k": 3, "normalise": "none"}),
    "mahalanobis": ({}, {"normalise": "none"}),
    "mean_distance": ({}, {"normalise": "l2"}),
    "oc_svm": ({}, {"nu": 0.5, "gamma": {"gamma": "auto", "normalise": "none"}, "normalise": "none"}),
    "whitening": ({}, {"scoring": "distance", "k": 1, "shrinkage": 0.9, "normalise": "standard"}),
    "deep_svdd_features": (
        {"epochs": 8, "milestone": 4, "warmup": 2, "batch": 16, "lr": 1e-2},
        {
            "objective": "soft-boundary",
            "nu": {"objective": "soft-boundary", "nu": 0.5},
            "hidden": 5,
            "dimensions": 4,
            "warmup": {"objective": "soft-boundary", "warmup": 5},
            "epochs": 6,
            "milestone": 2,
            "batch": 9,
            "lr": 1e-3,
            "weight_decay": 1.0,
            "normalise": "l2",
        },
    ),
    "sla2p": (
        {"transforms": 6, "dimensions": 8, "epochs": 2, "accuracy": 0.99, "epsilon": 10.0},
        {
            "transforms": 5,
            "dimensions": 7,
            "epsilon": 0.0,
            "accuracy": 0.05,
            "epochs": 1,
            "lr": 1e-2,
            "weight_decay": 0.5,
        },
    ),
    "sklearn": ({}, {"estimator": "sklearn.svm:OneClassSVM", "normalise": {"normalise": "l2"}}),
    "llbnad": (
        {"base": "mahalanobis"},
        {
            "base": "dn2",
            "subsets": 2,
            "keep": 0.5,
            "aggregate": "max",
            "cross": True,
            "normalise": {"aggregate": "max", "normalise": "rank"},
        },
    ),
    "iterative": (
        {"base": "mahalanobis", "rounds": 3, "agreement": 1.0, "weight": "rank"},
        {
            "base": "dn2",
            "rounds": 1,
            "weight": "exp",
            "temperature": {"weight": "sigmoid", "temperature": 0.1},
            "keep": {"weight": "hard", "keep": 0.3},
            "agreement": 0.1,
        },
    ),
    "trim": ({"base": "mean_distance"}, {"base": "dn2", "keep": 0.3}),
    "oracle_clean": ({}, {"base": "mean_distance"}),
    "aar": (
        {"base": "mahalanobis", "cut": 1.0},
        {"base": "dn2", "warmup": 3, "rounds": 0, "cut": 2.0, "guard": 0.1, "folds": 5},
    ),
    "meds": (
        {"base": "mean_distance", "memories": 5},
        {"base": "dn2", "memories": 50, "share": 0.5, "factor": 0.5, "by": "base", "exclude_self": True},
    ),
    "srr": (
        {"base": "mahalanobis", "rate": 0.2},
        {"base": "dn2", "parts": 2, "rate": 0.05, "factor": 0.5, "rounds": 1},
    ),
    "ephad": ({}, {"base": "mean_distance", "beta": 0.1, "evidence": "test", "k": 3, "folds": 5}),
}
#: Tested where they are: PLUME's, with its formulas; those that ask for a layer's maps, or for PyOD.
ELSEWHERE = {"cap": {"layer"}, "mahalanobis": {"layers"}, "pyod": {"detector", "normalise"}}
ELSEWHERE |= {
    "anomalib": {"model", "batch", "epochs", "size"},
    "patch_knn": {"mask_references"},
    "softpatch": {"compat"},
    "loe": {"base", "mode", "rate", "warmup"},
    "hscl": {"schedule"},
}
ON_PIXELS: dict[str, tuple[Params, dict[str, Any | Params]]] = {
    "panda": (
        {
            "backbone": "tiny",
            "steps": 6,
            "lr": 0.5,
            "clip": 0.1,
            "batch": 8,
            "interval": 2,
            "fisher_batches": 3,
        },
        {
            "variant": "ses",
            "blocks": "4",
            "scoring": "mean",
            "k": 1,
            "means": {"scoring": "kmeans", "means": 3},
            "steps": 4,
            "batch": 5,
            "lr": 0.1,
            "momentum": 0.0,
            "weight_decay": 0.1,
            "clip": 0.05,
            "interval": {"variant": "ses", "interval": 4},
            "ewc_weight": {"variant": "ewc", "fisher": "identity", "ewc_weight": 1.0},
            "fisher": {"variant": "ewc", "fisher": "identity"},
            "fisher_batches": {"variant": "ewc", "fisher_batches": 2},
            "fisher_squares": {"variant": "ewc", "fisher_batches": 1, "fisher_squares": "batch"},
        },
    ),
    "panda_oe": (
        {"outliers": "given", "backbone": "tiny", "steps": 4, "lr": 0.5, "clip": 0.1, "batch": 8},
        {
            "blocks": "4",
            "steps": 3,
            "batch": 5,
            "lr": 0.1,
            "momentum": 0.0,
            "weight_decay": 0.1,
            "clip": 0.05,
        },
    ),
    "patchcore": (
        {"backbone": "tiny", "embedding": "concatenated"},
        {
            "layers": "layer2",
            "coreset": 0.01,
            "neighbours": 2,
            "reweight": 1,
            "init": {"coreset": 0.02, "init": "random"},
            "embedding": "pooled",
            "projection": {"coreset": 0.02, "projection": 2},
            "distance": "squared",
        },
    ),
    "padim": (
        {"backbone": "tiny", "dimensions": 20},
        {"layers": "layer2+layer3", "dimensions": 10, "ridge": 0.1, "sigma": 1.0},
    ),
    "patch_knn": (
        {"backbone": "tiny", "layers": "layer2+layer3", "mask_above": 0.5},
        {
            "layers": "layer2",
            "metric": "euclidean",
            "neighbours": 2,
            "neighbourhood": 3,
            "highest": 0.5,
            "mask": True,
            "mask_above": {"mask": True, "mask_above": 3.0},
        },
    ),
    "softpatch": (
        {"backbone": "tiny", "embedding": "concatenated"},
        {
            "layers": "layer2",
            "discriminator": "nearest",
            "coreset": 0.01,
            "neighbours": 2,
            "noise": 0.6,
            "weights": False,
            "embedding": "pooled",
            "projection": 2,
        },
    ),
    "spade": ({"backbone": "tiny"}, {"neighbours": 2}),
    "reverse_distillation": (
        {"backbone": "tiny", "epochs": 2, "batch": 4, "depths": "1,1,1,1"},
        {
            "layers": "layer2+layer3+layer4",
            "blocks": "bottleneck",
            "depths": "1,1,1,2",
            "epochs": 1,
            "batch": 3,
            "lr": 1e-4,
            "beta1": 0.9,
            "beta2": 0.5,
            "schedule": "cosine",
            "combine": "multiply",
            "sigma": 1.0,
        },
    ),
    "dinomaly": (
        {
            "backbone": "tiny_vit",
            "blocks": "1,2,3,4",
            "depth": 2,
            "steps": 5,
            "batch": 4,
            "warm_up": 1,
            "easy_from": 2,
        },
        {
            "blocks": "2,3",
            "depth": 4,
            "steps": 4,
            "batch": 3,
            "dropout": 0.5,
            "lr": 1e-4,
            "last_lr": 2e-3,
            "warm_up": 3,
            "easy": 0.1,
            "easy_from": 100,
            "clip": 1e-9,
            "highest": 0.5,
        },
    ),
    "adl": (
        {
            "backbone": "tiny",
            "textures": "procedural",
            "size": 32,
            "batch": 3,
            "epochs": 2,
            "steps_per_epoch": 3,
            "lr": 2e-3,
            "burn_in": 0.2,
            "cluster_share": 1.0,
        },
        {
            "size": 64,
            "epochs": 1,
            "steps_per_epoch": 2,
            "batch": 2,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "clip": 0.01,
            "textures": "train",
            "margin": 5.0,
            "prior": "expected",
            "topk": 0.5,
            "reweight": False,
            "alpha": 1.0,
            "lam": 5.0,
            "anneal": True,
            "w_scale": "batch",
            "burn_in": 0.9,
            "cluster_share": 0.0,
            "normalise": "imagenet",
            "resizing": "antialiased",
        },
    ),
    "autoencoder": (
        {"network": "mnist", "epochs": 2, "batch": 4, "lr": 1e-2},
        {
            "network": "fashion_mnist",
            "normalise": "unit",
            "schedule": {"epochs": None, "schedule": "short", "batch": 11},
            "epochs": 1,
            "batch": 3,
            "lr": 1e-3,
            "weight_decay": 0.5,
        },
    ),
    "deep_svdd": (
        {"network": "mnist", "pretrain_epochs": 1, "epochs": 3, "warmup": 1, "batch": 4, "lr": 1e-2},
        {
            "network": "fashion_mnist",
            "objective": "soft-boundary",
            "nu": {"objective": "soft-boundary", "nu": 0.5},
            "warmup": {"objective": "soft-boundary", "warmup": 3},
            "normalise": "unit",
            "pretrain": False,
            "schedule": {"epochs": None, "schedule": "short", "batch": 11},
            "epochs": 1,
            "pretrain_epochs": 2,
            "batch": 3,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "pretrain_weight_decay": 0.5,
        },
    ),
    "deep_sad": (
        {"network": "mnist", "pretrain_epochs": 1, "epochs": 3, "batch": 4, "lr": 1e-2},
        {
            "network": "fashion_mnist",
            "eta": 3.0,
            "normalise": "gcn",
            "pretrain": False,
            "schedule": {"epochs": None, "schedule": "short", "batch": 11},
            "epochs": 1,
            "pretrain_epochs": 2,
            "batch": 3,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "pretrain_weight_decay": 0.5,
        },
    ),
    "devnet": (
        {"backbone": "tiny", "size": 64, "batch": 4, "epochs": 1, "steps_per_epoch": 3, "lr": 3e-3},
        {
            "size": 96,
            "scales": 1,
            "topk": 1.0,
            "margin": 1.0,
            "epochs": 2,
            "steps_per_epoch": 2,
            "batch": 2,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "clip": 1e-3,
            "degrees": 0.0,
        },
    ),
    "rotnet": (
        {"size": 16, "depth": 10, "width": 1, "epochs": 2, "batch": 16},
        {
            "size": 24,
            "depth": 16,
            "width": 2,
            "dropout": 0.0,
            "schedule": {"epochs": None, "schedule": "short", "batch": 44},
            "epochs": 1,
            "batch": 8,
            "lr": 0.01,
            "momentum": 0.5,
            "weight_decay": 0.1,
        },
    ),
    "mhrot": (
        {
            **{"size": 16, "shift": 3, "depth": 10, "width": 1, "epochs": 2, "batch": 16},
            "translations": "sampled",
        },
        {
            "size": 24,
            "shift": 4,
            "depth": 16,
            "width": 2,
            "dropout": 0.0,
            "translations": "all",
            "schedule": {"epochs": None, "schedule": "short", "batch": 44},
            "epochs": 1,
            "batch": 8,
            "lr": 0.01,
            "momentum": 0.5,
            "weight_decay": 0.1,
        },
    ),
    "msc": (
        {"backbone": "tiny", "epochs": 2, "batch": 4, "lr": 1e-2},
        {
            "blocks": "4",
            "angular": True,
            "k": 1,
            "schedule": {"epochs": None, "schedule": "short", "batch": 11},
            "epochs": 1,
            "batch": 3,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "temperature": 1.0,
        },
    ),
    "kdad": (
        {"source": "random", "size": 32, "epochs": 2, "batch": 4},
        {
            "source": {"backbone": "tiny", "source": "backbone"},
            "size": 64,
            "lam": 1.0,
            "schedule": {"epochs": None, "schedule": "short", "batch": 11},
            "epochs": 1,
            "batch": 3,
            "lr": 1e-2,
        },
    ),
    "hscl": (
        {"size": 16, "width": 8, "batch": 8, "epochs": 2, "samples": 2, "normals": 0.3, "lr": 1e-3},
        {
            "size": 32,
            "prototypes": 3,
            "normals": 0.9,
            "samples": 5,
            "width": 4,
            "epochs": 1,
            "batch": 5,
            "lr": 1e-2,
            "weight_decay": 0.9,
        },
    ),
    "joint_optimization": (
        {"auxiliary_set": "given", "backbone": "tiny", "steps": 6, "batch": 8, "lr": 1e-2},
        {
            "weight": 1.0,
            "blocks": "1-4",
            "scoring": "mean",
            "k": 1,
            "steps": 3,
            "batch": 5,
            "lr": 1e-3,
            "momentum": 0.1,
            "weight_decay": 0.5,
        },
    ),
    "multicue": (
        {
            **{"backbone": "tiny", "textures": "procedural", "size": 32, "batch": 4, "epochs": 2},
            **{"steps_per_epoch": 3, "lr": 2e-3, "maps": "none", "burn_in": 0.2},
        },
        {
            "size": 64,
            "epochs": 1,
            "steps_per_epoch": 2,
            "batch": 3,
            "lr": 1e-3,
            "weight_decay": 0.5,
            "clip": 0.01,
            "textures": "train",
            "labelled_share": 1.0,
            "cues": "dev",
            "seg_topk": 0.5,
            "margin": 5.0,
            "topk": 0.5,
            "alpha": 1.0,
            "lam": 5.0,
            "burn_in": 0.9,
        },
    ),
}
TRIED = ON_FEATURES | ON_PIXELS
CASES = [(name, option) for name, (_, options) in TRIED.items() for option in options]
#: Their effects are seen elsewhere: which images, a choice that the runner makes, and maps.
NOT_SCORES = {
    "panda": {"fisher_images", "selection"},
    "panda_oe": {"outliers"},
    "devnet": {"maps"},
    "hscl": {"compile"},
    "joint_optimization": {"auxiliary_set"},
    "multicue": {"maps"},
    "kdad": {"maps"},
    # Of maps alone.
    "patchcore": {"sigma", "upsampling"},
    "patch_knn": {"sigma"},
    "softpatch": {"sigma"},
    "spade": {"layers", "sigma"},
}

rng = np.random.default_rng(2)
SPREADS = [1, 2, 3, 1, 5, 1, 1, 2]
TRAIN = (rng.normal(size=(60, 8)) * SPREADS + 4).astype(np.float32)
TEST = (rng.normal(size=(30, 8)) * SPREADS * 1.5 + 4).astype(np.float32)
SURFACES = pictures.images(pictures.surfaces(11, side=80))
MIXED = pictures.images(np.concatenate([pictures.surfaces(4, seed=5, side=80), pictures.stained(4, side=80)]))


def two_ways(name: str, option: str) -> tuple[Params, Params]:
    """Return parameters without and with the option's other value."""
    plain, options = TRIED[name]
    changed = options[option] if isinstance(options[option], dict) else {option: options[option]}
    needed = {key: value for key, value in changed.items() if key != option}
    return plain | needed, plain | changed


@pytest.fixture(scope="module")
def scored(make: Make) -> Callable[[str, Params], Any]:
    """Return a function that fits a method and scores the test images, once for the same parameters."""
    known: dict[str, Any] = {}

    def ran(name: str, params: Params) -> Any:
        key = f"{name}{sorted(params.items())}"
        if key not in known:
            method = make(name, **params)
            known[key] = (
                pictures.scores(method, SURFACES, MIXED)
                if name in ON_PIXELS
                else features_as_images.scores(method, TRAIN, TEST)
            )
        return known[key]

    return ran


@pytest.mark.parametrize(("name", "option"), CASES)
def test_an_option_has_an_effect(scored: Callable[[str, Params], Any], name: str, option: str) -> None:
    one, other = (scored(name, params) for params in two_ways(name, option))
    assert np.isfinite(other).all()
    assert not np.allclose(one, other, rtol=1e-6)


def options_of(adapter: Adapter) -> set[str]:
    return set(adapter.parameters) - {"backbone", "options"}


def test_no_option_is_left_out() -> None:
    for name, adapter in STOCK.items():
        if name == "plume":
            continue
        seen = set(TRIED[name][1]) if name in TRIED else set()
        seen |= ELSEWHERE.get(name, set()) | NOT_SCORES.get(name, set())
        assert options_of(adapter) == seen, name
