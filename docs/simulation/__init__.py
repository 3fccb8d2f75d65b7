"""Simulated benchmarks with a known truth: how often tests reject, how often intervals cover.

Two worlds, both with the dependence of real benchmarks: `blocks`, of data sets, and `images`, of test images.
"""

from __future__ import annotations

from collections.abc import Callable

from simulation.blocks import coverage_over_data_sets, null_of_many, null_of_two
from simulation.counting import Share
from simulation.images import coverage_on_images, coverage_on_one_task, null_on_images

#: Every simulation: a call that takes the number of repetitions, and that number.
SIMULATIONS: list[tuple[Callable[[int], list[Share]], int]] = [
    (lambda reps: null_of_two(reps, 8), 4000),
    (lambda reps: null_of_two(reps, 20), 4000),
    (lambda reps: null_of_many(reps, 4, 3), 4000),
    (lambda reps: null_of_many(reps, 5, 6), 4000),
    (lambda reps: null_of_many(reps, 12, 6), 4000),
    (lambda reps: null_on_images(reps), 1500),
    (lambda reps: coverage_on_images(reps), 1500),
    (lambda reps: coverage_over_data_sets(reps, 3), 2000),
    (lambda reps: coverage_over_data_sets(reps, 5), 1500),
    (lambda reps: coverage_over_data_sets(reps, 8), 1500),
    (lambda reps: coverage_over_data_sets(reps, 15), 1500),
    (lambda reps: coverage_over_data_sets(reps, 15, skewed=True), 1500),
    (lambda reps: coverage_on_one_task(reps, (0.9, 0.85), (500, 1000)), 3000),
    (lambda reps: coverage_on_one_task(reps, (0.95, 0.9), (100, 100)), 4000),
    (lambda reps: coverage_on_one_task(reps, (0.99, 0.97), (40, 80)), 4000),
]
