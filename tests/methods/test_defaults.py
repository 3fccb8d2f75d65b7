"""The defaults: what a row without parameters runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.suite.registry import Registry

STOCK = Registry().methods

#: What the papers have, or where they are silent or differ from them, their codes.
PUBLISHED: dict[str, dict[str, Any]] = {
    "panda": {
        **{"variant": "early", "blocks": "3-4", "scoring": "knn", "k": 2, "means": 10, "batch": 32},
        **{"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-5, "clip": 1e-3, "ewc_weight": 1e4},
        "fisher_batches": 100,
    },
    "panda_oe": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "batch": 32, "clip": 1e-3, "steps": 7850},
    "adl": {
        **{"size": 256, "epochs": 25, "steps_per_epoch": 20, "batch": 24, "margin": 10.0, "topk": 0.1},
        **{"alpha": 0.1, "lam": 0.1, "burn_in": 0.06, "cluster_share": 0.6, "w_scale": "code"},
        **{"lr": 2e-4, "weight_decay": 1e-5, "clip": 1.0, "normalise": "none", "anneal": False},
    },
    "plume": {
        **{"noise_weight": 5.0, "kl_weight": 1.0, "contrastive_weight": 1.0, "temperature": 0.5},
        **{"epochs": 100, "batch": 32, "lr": None, "selection": "last", "perturbation": "linear"},
        **{"noise_target": "code", "noise_reduction": "mean", "negatives": "own"},
    },
    "cap": {"epochs": 10, "decay": 0.9, "head": "L", "attention": True, "distance": "mean"},
    "deep_svdd_features": {
        **{"epochs": 150, "milestone": 50, "batch": 200, "lr": 1e-4, "weight_decay": 5e-7},
        **{"nu": 0.1, "warmup": 10},
    },
    "devnet": {
        **{"size": 448, "scales": 2, "topk": 0.1, "margin": 5.0, "epochs": 50, "steps_per_epoch": 20},
        **{"batch": 24, "lr": 2e-4, "weight_decay": 1e-5, "clip": 1.0, "degrees": 180.0},
    },
    "multicue": {
        **{"size": 256, "epochs": 25, "steps_per_epoch": 20, "batch": 24, "margin": 10.0, "topk": 0.1},
        **{"alpha": 0.1, "lam": 0.1, "burn_in": 0.06, "lr": 2e-4, "weight_decay": 1e-5, "clip": 1.0},
        **{"cues": "dev+entropy+seg", "seg_topk": 0.01, "maps": "gradient"},
    },
    "hscl": {
        **{"size": 32, "prototypes": 1, "normals": 0.05, "samples": 10, "width": 64, "schedule": "paper"},
        **{"batch": 256, "lr": 1e-3, "weight_decay": 1e-6},
    },
    "joint_optimization": {"weight": 0.1, "lr": 5e-5, "weight_decay": 5e-4, "blocks": "3-4", "k": 2},
    "deep_svdd": {
        **{"network": "cifar10", "objective": "one-class", "nu": 0.1, "warmup": 10, "normalise": "gcn"},
        **{"pretrain": True, "schedule": "paper", "batch": 200, "lr": 1e-4, "weight_decay": 5e-7},
    },
    "deep_sad": {
        **{"network": "cifar10", "eta": 1.0, "normalise": "unit", "pretrain": True, "schedule": "paper"},
        **{"batch": 128, "lr": 1e-4, "weight_decay": 5e-7, "pretrain_weight_decay": 5e-4},
    },
    "autoencoder": {"network": "cifar10", "normalise": "gcn", "schedule": "paper", "batch": 200, "lr": 1e-4},
    "kdad": {"source": "backbone", "lam": 0.01, "schedule": "paper", "batch": 64, "lr": 1e-3},
    "msc": {
        **{"blocks": "3-4", "angular": False, "k": 2, "schedule": "paper", "batch": 64, "lr": 1e-5},
        **{"weight_decay": 5e-5, "temperature": 0.25},
    },
    "mhrot": {
        **{"size": 32, "shift": 8, "depth": 16, "width": 4, "dropout": 0.3, "translations": "all"},
        **{"schedule": "paper", "batch": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
    },
    "rotnet": {"size": 32, "depth": 16, "width": 4, "dropout": 0.3, "schedule": "paper", "batch": 128},
    "sla2p": {
        **{"transforms": 256, "dimensions": 256, "epsilon": 1000.0, "accuracy": 0.6, "epochs": 1},
        **{"lr": 1e-3, "weight_decay": 5e-4},
    },
    "dn2": {"k": 2, "normalise": "none"},
    "mean_distance": {"normalise": "none"},
    "kmeans_distance": {"k": 10, "normalise": "none"},
    "lof": {"k": 20},
    "isolation_forest": {"trees": 100, "subsample": 256},
    "oc_svm": {"nu": 0.1, "gamma": "scale"},
    "llbnad": {"subsets": 3, "keep": 0.2, "aggregate": "mean", "cross": False, "normalise": "none"},
    "iterative": {"rounds": 10, "weight": "sigmoid", "temperature": 1.0, "agreement": 0.99},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters_are_the_defaults(name: str) -> None:
    defaults = {option: STOCK[name].parameters[option].default for option in PUBLISHED[name]}
    assert defaults == PUBLISHED[name]


def test_the_length_of_pandas_training_follows_its_variant(make: Callable[..., Any]) -> None:
    assert [make("panda", variant=v).steps for v in ("early", "ses", "ewc")] == [2300, 4710, 7800]
    assert make("panda", variant="ewc", steps=5).steps == 5
