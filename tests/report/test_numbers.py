"""How numbers are printed, at the borders where the form changes."""

from __future__ import annotations

import math

import pytest

from bench.report import numbers
from bench.report.numbers import NBSP, NOTHING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 MiB"),
        (2**20, "1 MiB"),
        (999 * 2**20, "999 MiB"),
        (1000 * 2**20, "1.0 GiB"),
        (3 * 2**29, "1.5 GiB"),
    ],
)
def test_bytes(value: int, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0004, "<0.001"),
        (0.0005, "0.001"),
        (0.9994, "0.999"),
        (1.0, "1.00"),
        (9.99, "9.99"),
        (10.0, "10.0"),
        (99.9, "99.9"),
        (100.0, "100"),
        (12345.6, "12,346"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0009, "<0.001"), (0.001, "0.001"), (0.0994, "0.099"), (0.0995, "0.10"), (1.0, "1.00")],
)
def test_probabilities(p: float, text: str) -> None:
    assert numbers.probability(p) == text
    assert numbers.probability(math.nan) == NOTHING


def test_points_and_their_signs() -> None:
    assert numbers.points(0.9534) == "95.3"
    assert numbers.signed_points(-0.0213) == "−2.1"
    assert numbers.signed_points(0.0213) == "+2.1"
    assert numbers.signed_points(-0.0001) == "0.0"
    assert numbers.span_points(0.938, 0.967) == "93.8–96.7"
    assert numbers.span_points(-0.012, 0.003) == f"−1.2{NBSP}to{NBSP}0.3"


def test_counts_spans_and_rates() -> None:
    assert numbers.count(1, "cell") == "1 cell"
    assert numbers.count(2000, "cell") == "2,000 cells"
    assert numbers.span([5000, 5000]) == "5,000"
    assert numbers.span([391, 209]) == "209 to 391"
    assert numbers.span([1.25, 3.0], digits=1) == "1.2 to 3.0"
    assert numbers.span([9.0901, 9.0909], 2) == "9.09"
    assert numbers.percent(0.005) == f"0.5{NBSP}%"
    assert numbers.percent(0.125) == f"12.5{NBSP}%"
    assert numbers.rate_name(0.0) == "clean"
    assert numbers.rate_name(0.1) == f"10{NBSP}% contamination"


def test_the_standard_deviation_is_over_n_less_one() -> None:
    assert numbers.sd([1.0, 3.0]) == math.sqrt(2)
