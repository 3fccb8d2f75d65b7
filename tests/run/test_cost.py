"""Costs: learned from records of the same method, else from counts; whether cells fit a device together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.cell import Cell, Record
from bench.run.cost import (
    CONTEXT_BYTES,
    SECONDS_A_CELL,
    SECONDS_AN_IMAGE,
    SECONDS_OF_TRAINING,
    WORK_BYTES,
    Costs,
    Size,
    fits,
)
from tests.factory import make_cell, make_record, make_timing

GIB = 2**30


def cell(method: str = "dn2", dataset: str = "digits", *, backbone: str = "hog", **params: Any) -> Cell:
    return make_cell("0", method, dataset=dataset, backbone=backbone, backbone_identity=backbone, **params)


def record(where: Cell, seconds: float, images: int = 100, **more: Any) -> Record:
    timing = make_timing(
        seconds * 0.75, seconds * 0.25, features=0.5, features_cold=20.0, features_from="store"
    )
    counts = {"train": images // 2, "test": images - images // 2}
    return make_record(where, counts=counts, **{"timing": timing, **more})


def test_the_nearest_past_counts() -> None:
    costs = Costs(
        [
            record(cell(k=1), 1.0),
            record(cell(k=1), 3.0),
            record(cell(k=5), 9.0),
            record(cell(dataset="large", k=1), 200.0, images=1000),
        ]
    )
    assert costs.cell(cell(k=1)).seconds == pytest.approx(2.0), "of the same parameters and data set"
    assert costs.cell(cell(k=7)).seconds == pytest.approx(13 / 3), "of the same data set"
    assert costs.cell(cell(k=7)).learned
    assert costs.total([cell(k=1), cell("lof"), cell(k=5)]) == (pytest.approx(11.0), 1)


def test_on_another_data_set_the_seconds_follow_the_images() -> None:
    past = [record(cell(k=1), 2.0, images=100)]
    sizes = {("other", "0"): Size(300, 200)}
    assert Costs(past, sizes=sizes).cell(cell(dataset="other", k=1)).seconds == pytest.approx(10.0)
    assert Costs(past).cell(cell(dataset="other", k=1)).seconds == pytest.approx(2.0), "its size is unknown"


def test_a_method_without_past_is_estimated_from_counts() -> None:
    sizes = {("digits", "0"): Size(700, 300)}
    nothing = Costs(sizes=sizes).cell(cell())
    assert (nothing.seconds, nothing.learned) == (pytest.approx(1000 * SECONDS_AN_IMAGE), False)
    others = Costs([record(cell("lof"), 5.0)], sizes=sizes).cell(cell("new"))
    assert (others.seconds, others.learned) == (pytest.approx(50.0), False), "as the methods that are known"
    assert Costs().cell(cell()).seconds == SECONDS_A_CELL


def test_failed_records_and_those_of_other_devices_say_nothing() -> None:
    failed = replace(record(cell(), 1.0), status="failed", timing=None)
    on_gpu = replace(record(cell(), 1.0), environment={"device": "cuda:1"})
    assert not Costs([failed]).cell(cell()).learned
    assert not Costs([on_gpu], device="cpu").cell(cell()).learned
    assert Costs([on_gpu], device="cuda").cell(cell()).learned
    assert Costs([on_gpu]).cell(cell()).learned


def test_extraction_and_loading_are_learned_of_the_backbone() -> None:
    costs = Costs([record(cell(), 1.0, images=100)])
    assert costs.extraction("hog", 1000) == pytest.approx(200.0)
    assert costs.loading("hog", 1000) == pytest.approx(5.0)
    assert costs.extraction("another", 1000) != pytest.approx(200.0)


def test_memory_is_the_largest_peak_of_the_nearest_past() -> None:
    past = [
        record(cell(k=1), 1.0, memory={"device_peak_bytes": 5, "host_peak_bytes": None}),
        record(cell(k=1), 1.0, memory={"device_peak_bytes": 7, "host_peak_bytes": 100}),
        record(cell(k=2), 1.0, memory={"device_peak_bytes": 9, "host_peak_bytes": 50}),
    ]
    costs = Costs(past)
    assert costs.device_bytes([cell(k=1)]) == 7
    assert costs.device_bytes([cell(k=3)]) == 9
    assert costs.device_bytes([cell(k=1), cell(k=2)]) == 9
    assert costs.device_bytes([cell("lof")]) is None
    assert costs.device_bytes([cell(k=1), cell("lof")]) is None


def test_cells_fit_while_their_peaks_do_with_a_margin() -> None:
    total = 10 * GIB
    assert fits(3 * GIB, [3 * GIB], total)
    assert not fits(4 * GIB, [4 * GIB], total), "2 × (4.8 GiB and what CUDA takes) is more than 10 GiB"
    assert fits(4 * GIB, [4 * GIB], total, margin=0.0)
    assert not fits(4 * GIB, [4 * GIB], total, margin=0.0, context=2 * GIB)
    assert fits(0, [0], 2 * CONTEXT_BYTES)


def test_what_only_reads_features_is_packed_by_a_guess_until_a_cell_has_run() -> None:
    sizes = {("digits", "0"): Size(700, 300)}
    costs = Costs(sizes=sizes, only_reads=lambda each: each.method != "adl")
    guess = costs.guessed_bytes([cell(), cell("lof")])
    assert guess == WORK_BYTES + 4 * 1000 * 8192
    assert fits(guess, [guess], 24 * GIB), "two of them need not wait for each other"
    assert costs.guessed_bytes([cell("adl")]) is None, "it trains: nobody knows what it takes"
    assert costs.guessed_bytes([cell(), cell("adl")]) is None
    assert costs.guessed_bytes([cell(dataset="unknown")]) is None
    assert Costs(sizes=sizes).guessed_bytes([cell()]) is None, "what the methods are is not known"


def test_a_training_without_past_is_not_taken_for_a_moment() -> None:
    sizes = {("digits", "0"): Size(700, 300)}
    costs = Costs([record(cell("lof"), 1.0)], sizes=sizes, only_reads=lambda each: each.method != "adl")
    assert costs.cell(cell("adl")).seconds == SECONDS_OF_TRAINING
    assert costs.cell(cell("new")).seconds == pytest.approx(10.0)
    past = [record(cell("adl"), 1.0)]
    assert Costs(past, sizes=sizes, only_reads=lambda _: False).cell(cell("adl")).seconds == 1.0


def test_what_is_not_known_runs_alone() -> None:
    assert fits(None, [], 1)
    assert fits(5, [], 1), "nothing would make more room"
    assert not fits(None, [1], 100 * GIB)
    assert not fits(1, [None], 100 * GIB)
