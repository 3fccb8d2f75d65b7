"""A large suite's work for simulations: recorded costs, scaled to data sets of many sizes, a heavy tail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.core.cell import Cell, Record
from bench.run.cost import Costs, Size
from bench.run.units import Unit, units
from tests.factory import make_cell, make_record, make_timing

#: Fit and score of the quickstart's cells on 725 images of digits, features at hand: means of 30 to 40
#: recorded cells each, in seconds, on two busy cores.
RECORDED = {
    "dn2": 0.22853,
    "isolation_forest": 0.17896,
    "kmeans_distance": 0.09772,
    "lof": 0.22808,
    "mahalanobis": 0.32994,
    "mean_distance": 0.06455,
    "oc_svm": 0.12484,
    "random": 0.00005,
}
RECORDED_IMAGES = 725
#: Seconds to extract and to load one image's features: a small network on a GPU, a store on a disk.
EXTRACTION, LOADING = 2e-3, 5e-4
BACKBONES = ("a", "b", "c", "d")


def sizes(datasets: int, seed: int = 0) -> dict[tuple[str, str], Size]:
    """Return tasks of data sets between 300 and 60,000 images; half share their sources, half do not."""
    rng = np.random.default_rng(seed)
    found = {}
    for at in range(datasets):
        images = int(300 * 200 ** rng.random())
        for task in range(10):
            source = f"{at}" if at % 2 else f"{at}/{task}"
            n = images // 6
            found[f"set{at}", str(task)] = Size(n, n, {source: images if at % 2 else 2 * n})
    return found


def cell(dataset: str, task: str, method: str, backbone: str, seed: int) -> Cell:
    return make_cell(task, method, dataset=dataset, backbone=backbone, backbone_identity=backbone, seed=seed)


def past(tasks: dict[tuple[str, str], Size]) -> list[Record]:
    """Return records that hold the recorded costs, one a method and backbone, on a small data set."""
    size = next(iter(tasks.values()))
    scale = size.images / RECORDED_IMAGES
    timing = {
        "features": LOADING * size.images,
        "features_cold": EXTRACTION * size.images,
        "features_from": "store",
    }
    return [
        make_record(
            cell(*next(iter(tasks)), method, backbone, 0),
            counts={"train": size.train, "test": size.test},
            timing=make_timing(seconds * scale, 0.0, **timing),
        )
        for method, seconds in RECORDED.items()
        for backbone in BACKBONES
    ]


def workload(n: int, *, devices: int, seed: int = 0, datasets: int = 20) -> tuple[list[Unit], Costs]:
    """Return `n` cells as units, planned as for a run, each with a cost of its own.

    Costs are the recorded ones times a Pareto variable of shape 1.8, as where some methods train for hours:
    the longest of 20,000 takes about as long as all of them shared by 64 devices.
    """
    tasks = sizes(datasets)
    costs = Costs(past(tasks), sizes=tasks)
    rng = np.random.default_rng(seed)
    names, methods = list(tasks), list(RECORDED)
    cells = [
        cell(*names[rng.integers(len(names))], methods[rng.integers(len(methods))], BACKBONES[at % 4], at)
        for at in range(n)
    ]
    planned = units(cells, costs, extracts=lambda _: True, devices=devices)
    heavy = 1 + rng.pareto(1.8, len(planned))
    return [
        replace(unit, seconds=unit.seconds * float(times)) if unit.runs_cells else unit
        for unit, times in zip(planned, heavy, strict=True)
    ], costs


def wrong_by(work: list[Unit], spread: float, seed: int = 1) -> dict[int, float]:
    """Return what units really take, by their identity, where estimates are wrong by a log-normal factor."""
    factors = np.random.default_rng(seed).lognormal(0.0, spread, len(work))
    return {id(unit): unit.seconds * float(f) for unit, f in zip(work, factors, strict=True)}
