"""Thresholds from normal images: the rates that theory gives, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors

from bench.metrics.threshold import RULES, Decisions, cross_ranks, decide, f1_regret, pareto_fit, threshold

RATE = 0.05


def rates(rule: str, n: int, *, draws: int = 4000, rate: float = RATE, seed: int = 0) -> np.ndarray:
    """Return the true rate of false alarms of exponential scores, given each of many calibration sets."""
    rng = np.random.default_rng(seed)
    return np.array([np.exp(-threshold(rule, rng.exponential(size=n), rate).value) for _ in range(draws)])


def test_conformal_rates_have_the_mean_and_the_law_that_theory_gives() -> None:
    found = rates("conformal", 39, draws=20_000)
    assert threshold("conformal", np.arange(39.0), RATE).rank == 38
    assert found.mean() == pytest.approx(0.05, abs=3 * found.std() / 20_000**0.5)
    assert stats.kstest(found, stats.beta(2, 38).cdf).pvalue > 1e-3


def test_the_plain_quantile_is_too_low() -> None:
    assert rates("quantile", 39).mean() > 0.06
    n, q = 39, 0.95
    # For uniform scores, whose rate is linear in the threshold.
    uniform = [1 - threshold("quantile", np.random.default_rng(i).random(n), RATE).value for i in range(4000)]
    assert np.mean(uniform) == pytest.approx(1 - (1 + (n - 1) * q) / (n + 1), abs=0.002)


def test_the_conditional_rule_exceeds_its_rate_in_one_case_of_twenty() -> None:
    assert (rates("conformal, 95 % sure", 59) > RATE).mean() <= 0.05 + 0.011
    assert threshold("conformal, 95 % sure", np.arange(59.0), RATE).rank == 59
    assert threshold("conformal, 95 % sure", np.arange(58.0), RATE).fallback == "max"
    assert (rates("conformal, 95 % sure", 200) > RATE).mean() <= 0.05 + 0.011


def test_the_highest_score_has_a_mean_rate_of_one_in_n_plus_one() -> None:
    assert rates("max", 24).mean() == pytest.approx(1 / 25, abs=0.003)


@pytest.mark.parametrize(("n", "rank"), [(19, 19), (18, 18), (99, 95), (100, 96), (1, 1)])
def test_too_few_scores_fall_back_to_the_highest(n: int, rank: int) -> None:
    found = threshold("conformal", np.arange(float(n)), RATE)
    assert (found.rank, found.n, found.fallback) == (rank, n, "" if n >= 19 else "max")


def test_ranks_of_round_numbers_are_exact() -> None:
    for n in range(1, 500):
        for a in (0.01, 0.02, 0.05, 0.1, 0.2):
            found, percent = threshold("conformal", np.arange(float(n)), a), round(100 * a)
            rank = -(-(n + 1) * (100 - percent) // 100)
            assert found.rank == min(rank, n)


@pytest.mark.parametrize("rule", RULES)
def test_constant_scores_raise_no_alarm_and_scales_change_nothing(rule: str) -> None:
    assert decide([0, 0, 1], [3.0, 3.0, 3.0], threshold(rule, np.full(30, 3.0), RATE).value).alarms == 0
    scores = np.random.default_rng(0).normal(size=300)
    plain, moved = threshold(rule, scores, RATE), threshold(rule, 8 * scores - 16, RATE)
    assert moved.value == pytest.approx(8 * plain.value - 16, rel=1e-3)


def test_simple_rules_are_what_they_say() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    assert threshold("mean + 3 sd", scores, RATE).value == pytest.approx(4 + 3 * np.std(scores, ddof=1))
    assert threshold("median + 3 MAD", scores, RATE).value == pytest.approx(3 + 3 * 1.4826 * 1)
    assert threshold("mean + 3 sd", scores[:1], RATE).value == np.inf
    for wrong in ([], [np.nan], [np.inf], [[1.0]]):
        with pytest.raises(ValueError, match="calibration scores"):
            threshold("max", wrong, RATE)
    with pytest.raises(ValueError, match="rate of false alarms"):
        threshold("max", scores, 0)


@pytest.mark.parametrize(("shape", "m"), [(0.2, 40), (-0.2, 40), (0.1, 2000), (-0.3, 2000)])
def test_a_fitted_tail_recovers_its_shape(shape: float, m: int) -> None:
    found = np.array(
        [
            pareto_fit(np.sort(stats.genpareto(shape, scale=2).rvs(m, random_state=seed)))
            for seed in range(30 if m < 50 else 5)
        ]
    )
    error = found.std(axis=0, ddof=1) / len(found) ** 0.5
    assert abs(found[:, 0].mean() - shape) < 3 * error[0] + 0.05
    assert abs(found[:, 1].mean() - 2) < 3 * error[1] + 0.1


def test_the_tail_extrapolates_beyond_the_scores() -> None:
    found = rates("Pareto tail", 400, draws=60, rate=1e-3)
    assert 3e-4 < np.median(found) < 3e-3
    assert threshold("Pareto tail", np.arange(100.0), RATE).fallback == "conformal"  # 10 in the tail
    heavy = np.random.default_rng(0).pareto(0.8, 1000)
    assert threshold("Pareto tail", heavy, RATE).fallback == "conformal"


def test_scores_of_a_memory_bank_on_itself_make_everything_an_alarm() -> None:
    rng = np.random.default_rng(0)
    train, good = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    bank = NearestNeighbors(n_neighbors=1).fit(train)
    own, others = bank.kneighbors(train)[0].ravel(), bank.kneighbors(good)[0].ravel()
    value = threshold("conformal", own, RATE).value
    assert decide(np.zeros(100), others, value).false_alarm_rate == 1


def test_planted_anomalies_make_the_rate_conservative() -> None:
    """Anomalies that score above all normals leave (a - e) / (1 - e) of the rate."""
    rng, e, a = np.random.default_rng(0), 0.1, 0.2
    found = []
    for _ in range(400):
        normal = rng.exponential(size=900)
        value = threshold("conformal", np.concatenate([normal, 100 + rng.random(100)]), a).value
        found.append(np.exp(-value))
    assert np.mean(found) == pytest.approx((a - e) / (1 - e), abs=0.01)


def test_decisions_and_regret() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=200)
    scores[labels == 1] += 1
    for value in (-np.inf, -1.0, 0.5, 5.0, np.inf):
        found = decide(labels, scores, value)
        assert found.f1 == pytest.approx(f1_score(labels, scores > value, zero_division=0))
        assert found.f1_at(labels.mean()) == pytest.approx(found.f1, abs=1e-12)
        assert f1_regret(labels, scores, value) >= 0
    best = min(scores, key=lambda value: f1_regret(labels, scores, np.nextafter(value, -np.inf)))
    assert f1_regret(labels, scores, np.nextafter(best, -np.inf)) == 0
    assert Decisions(2, 10, 5, 5).f1_at(0.01) < 0.1 < Decisions(2, 10, 5, 5).f1


def test_cross_conformal_ranks_are_p_values_by_the_fold() -> None:
    rng = np.random.default_rng(0)
    calibration, folds = np.round(rng.normal(size=37), 1), rng.integers(0, 3, 37)
    tested = np.round(rng.normal(size=(3, 50)), 1)
    found = cross_ranks(calibration, folds, tested)
    for at in range(50):
        reached = sum(c >= tested[fold, at] for c, fold in zip(calibration, folds, strict=True))
        assert 37 - found[at] == reached
        for a in (0.05, 0.1, 0.2):
            alarm = (1 + reached) / 38 <= a + 1e-12
            assert alarm == (found[at] > threshold("conformal", np.arange(37) + 0.5, a).value)
    one = np.tile(tested[0], (3, 1))  # where folds say the same it is the conformal rule
    value = threshold("conformal", calibration, 0.1).value
    assert ((cross_ranks(calibration, folds, one) > 34.5) == (tested[0] > value)).all()


def test_cross_conformal_keeps_its_rate_with_a_nearest_neighbour() -> None:
    rng, rates, folds = np.random.default_rng(1), [], np.arange(60) % 5

    def nearest(points: np.ndarray, bank: np.ndarray) -> np.ndarray:
        return np.sqrt(((points[:, None] - bank[None]) ** 2).sum(2)).min(1)

    for _ in range(150):
        train, good = rng.normal(size=(60, 4)), rng.normal(size=(200, 4))
        calibration, tested = np.empty(60), np.empty((5, 200))
        for fold in range(5):
            bank = train[folds != fold]
            calibration[folds == fold], tested[fold] = (
                nearest(train[folds == fold], bank),
                nearest(good, bank),
            )
        value = threshold("conformal", np.arange(60) + 0.5, 0.1).value
        rates.append(np.mean(cross_ranks(calibration, folds, tested) > value))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.015)
