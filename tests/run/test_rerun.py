"""Reruns beside submitted cells: to the bit where that can be asked for, within a tolerance elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core.cell import Record
from bench.metrics.image import auroc, image_metrics
from bench.run.rerun import LOOSEST, TOLERANCE, by_rounding, compared, platform_class, spreads, tolerance
from tests.factory import make_cell, make_record

LABELS = np.repeat([0, 1], 100).astype(np.uint8)
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=200) + LABELS
HERE: dict[str, Any] = {
    "platform": "Linux x86_64",
    "python": "3.11.7",
    "packages": {"numpy": "2.0.0", "torch": "2.6.0"},
    "cpu": {"name": "CPU", "cores": 2},
    "threads": {"torch": 1, "omp": "1"},
    "device": "cpu",
}


def record(scores: np.ndarray, seed: int | None = None, **environment: Any) -> Record:
    metrics = image_metrics(LABELS, scores)
    return make_record(make_cell(seed=seed), metrics=metrics, environment=HERE | environment)


def test_the_same_bits_are_the_same() -> None:
    found = compared(record(SCORES), SCORES, LABELS, (record(SCORES), SCORES), None)
    assert (found.rule, found.same, found.said) == ("bits", True, "")
    assert found.claimed == found.own == auroc(LABELS, SCORES)


def test_rounding_is_no_difference_and_one_changed_score_is() -> None:
    moved = SCORES * (1 + 1e-9)
    assert compared(record(moved), moved, LABELS, (record(SCORES), SCORES), None).same
    changed = SCORES.copy()
    changed[7] += 1e-3
    found = compared(record(changed), changed, LABELS, (record(SCORES), SCORES), None)
    assert (found.rule, found.same) == ("bits", False)
    assert "1 of 200 scores differ" in found.said


def test_an_order_changed_by_less_than_rounding_is_found() -> None:
    """All but equal scores on a large offset: nothing moves by a millionth, AUROC by ten points."""
    own = 1e6 + 0.01 * SCORES
    forged = own + 0.005 * LABELS
    found = compared(record(forged), forged, LABELS, (record(own), own), None)
    assert found.claimed > found.own + 0.05
    assert (found.same, "their order does" in found.said) == (False, True)


def test_infinite_scores_compare() -> None:
    own = SCORES.copy()
    own[:3] = np.inf
    assert compared(record(own), own, LABELS, (record(own), own), None).same
    assert not compared(record(SCORES), SCORES, LABELS, (record(own), own), None).same


def test_another_metric_that_the_same_scores_do_not_give() -> None:
    told = replace(record(SCORES), metrics={**record(SCORES).metrics, "aupro": 0.9})
    own = replace(record(SCORES), metrics={**record(SCORES).metrics, "aupro": 0.8})
    found = compared(told, SCORES, LABELS, (own, SCORES), None)
    assert (found.same, found.said.startswith("aupro differ")) == (False, True)


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"python": "3.12.1"}, "bits"),
        ({"cpu": {"name": "CPU", "cores": 64}}, "bits"),
        ({"cpu": {"name": "another", "cores": 2}}, "tolerance"),
        ({"platform": "Darwin arm64"}, "tolerance"),
        ({"packages": {"numpy": "2.1.0", "torch": "2.6.0"}}, "tolerance"),
        ({"device": "cuda"}, "tolerance"),
        ({"threads": None, "packages": "?"}, "tolerance"),
    ],
)
def test_the_rule_goes_by_the_platform_class(other: dict[str, Any], rule: str) -> None:
    assert (platform_class(HERE) == platform_class(HERE | other)) == (rule == "bits")
    found = compared(record(SCORES, **other), SCORES, LABELS, (record(SCORES), SCORES), None)
    assert (found.rule, found.same) == (rule, True)


def test_gpus_are_never_asked_for_bits() -> None:
    own = record(SCORES, device="cuda")
    assert compared(own, SCORES, LABELS, (own, SCORES), None).rule == "tolerance"


def test_the_tolerance_on_another_platform() -> None:
    other = {"platform": "Darwin arm64"}
    little, much = SCORES + 0.001 * RNG.normal(size=200), SCORES + 0.5 * LABELS
    assert compared(record(little, **other), little, LABELS, (record(SCORES), SCORES), None).same
    found = compared(record(much, **other), much, LABELS, (record(SCORES), SCORES), None)
    assert (found.same, "differs by more than 0.5 points" in found.said) == (False, True)
    assert tolerance(None) == TOLERANCE
    assert tolerance(0.002) == pytest.approx(0.011)
    assert tolerance(0.2) == tolerance(np.nan) == LOOSEST


def test_scores_that_are_all_but_equal_cannot_be_told_on_another_platform() -> None:
    own = 1.0 + 1e-6 * SCORES
    noisy = own + 1e-5 * RNG.normal(size=200)
    assert abs(auroc(LABELS, noisy) - auroc(LABELS, own)) > 0.05
    found = compared(record(noisy, platform="Darwin arm64"), noisy, LABELS, (record(own), own), None)
    assert (found.rule, found.same) == ("tolerance", None)
    assert "it cannot be told here: its AUROC may be 0.00 to 100.00" in found.said
    low, high = by_rounding(LABELS, SCORES)
    assert low <= auroc(LABELS, SCORES) <= high < low + 1e-3
    infinite = np.where(np.arange(200) < 3, np.inf, SCORES)
    assert by_rounding(LABELS, infinite)[1] < 1


def test_the_spread_is_over_the_seeds_of_one_place() -> None:
    held = [make_record(make_cell("0", seed=at)) for at in range(3)] + [make_record(make_cell("1", seed=0))]
    held.append(make_record(make_cell("2")))
    claims = {each.cell.key: value for each, value in zip(held, (0.7, 0.8, 0.9, 0.5, 0.6), strict=True)}
    found = spreads(held, claims)
    assert [found[each.cell.key] for each in held[:3]] == [pytest.approx(0.1)] * 3
    assert np.isnan(found[held[3].cell.key] or 0.0)
    assert found[held[4].cell.key] is None


def test_what_cannot_be_run_here_says_why() -> None:
    failed = make_record(
        make_cell(), status="failed", error={"kind": "X", "reason": "no weights", "traceback": ""}
    )
    for own, said in (((failed, None), "no weights"), (None, "it was not run")):
        found = compared(record(SCORES), SCORES, LABELS, own, None)
        assert (found.same, said in found.said) == (None, True)
