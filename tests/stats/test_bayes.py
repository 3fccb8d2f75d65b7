"""The Bayesian signed-rank test against baycomp, on the same draws and on its own."""

from __future__ import annotations

import baycomp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.stats.bayes import ROPE, posterior_weights, signed_rank_probabilities


class _SameDraws:
    """Stands for numpy's RandomState in baycomp: hands out our posterior weights."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def dirichlet(self, weights: np.ndarray, draws: int) -> np.ndarray:
        return posterior_weights(len(weights) - 1, weights[0], draws, self.seed)


def test_the_same_draws_give_the_probabilities_of_baycomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, "RandomState", _SameDraws)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        d = rng.normal(rng.choice([0, 0.004, 0.03]), rng.choice([0.003, 0.02]), int(rng.integers(1, 20)))
        if seed % 5 == 0:
            d[:3] = 0.0
        prior = float(rng.choice([0.5, 1.0]))
        reference = baycomp.SignedRankTest(
            np.zeros(len(d)), d, rope=ROPE, prior=prior, nsamples=300, random_state=seed
        )
        found = signed_rank_probabilities(d, prior=prior, draws=300, seed=seed)
        worse, equivalent, better = reference.probs()
        assert found == pytest.approx((better, equivalent, worse), abs=1e-9), seed


def test_its_own_draws_are_near() -> None:
    """20,000 draws of ours, 5,000 of baycomp's: five standard errors of the difference are below 0.04."""
    for seed in range(8):
        d = np.random.default_rng(seed).normal(0.004, 0.01, 12)
        worse, equivalent, better = baycomp.SignedRankTest(
            np.zeros(12), d, rope=ROPE, nsamples=5000, random_state=1
        ).probs()
        assert signed_rank_probabilities(d) == pytest.approx((better, equivalent, worse), abs=0.04)


def test_clear_cases() -> None:
    far, near = np.full(20, 0.05), np.full(20, 0.001)
    assert signed_rank_probabilities(far).better > 0.99
    assert signed_rank_probabilities(-far).worse > 0.99
    assert signed_rank_probabilities(near).equivalent > 0.99
    assert signed_rank_probabilities(near, rope=0.0).better > 0.99
    assert signed_rank_probabilities(far, rope=0.1).equivalent > 0.99


def test_one_data_set_says_little() -> None:
    """The weight of one difference against half a pseudo-observation: better wins where w² > 1/2, roughly."""
    assert 0.5 < signed_rank_probabilities([0.2]).better < 0.9


@pytest.mark.parametrize(
    ("differences", "options"),
    [([], {}), ([np.nan], {}), ([[0.1]], {}), ([0.1], {"rope": -0.1}), ([0.1], {"prior": 0.0})],
)
def test_bad_input_is_refused(differences: list[float], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        signed_rank_probabilities(differences, **options)


@settings(max_examples=40)
@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(-0.1, 0.1)))
def test_swapping_methods_swaps_the_probabilities(d: np.ndarray) -> None:
    one = signed_rank_probabilities(d, draws=500)
    other = signed_rank_probabilities(-d, draws=500)
    assert sum(one) == pytest.approx(1, abs=1e-12)
    assert (one.better, one.equivalent, one.worse) == pytest.approx(
        (other.worse, other.equivalent, other.better), abs=1e-12
    )
    wider = signed_rank_probabilities(d, draws=500, rope=0.02)
    assert wider.equivalent >= one.equivalent - 1e-12
