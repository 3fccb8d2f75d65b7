"""Purifiers, each against a plain implementation, and the properties that all of them owe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.neighbors import LocalOutlierFactor

from bench import FitError, Images, Method, Scores, crossing, estimated_rate, modified_z, two_gaussians
from bench.metrics.image import auroc
from bench.metrics.purification import purification_metrics
from bench.train.rate import Mixture
from tests.features_as_images import images, scores
from tests.methods.test_wrappers import CLOUDS, LABELS, TEST, around, known

Make = Callable[..., Any]
FILTERS: dict[str, dict[str, Any]] = {
    "meds": {"by": "base", "memories": 20},
    "srr": {},
    "aar": {},
}
rng = np.random.default_rng(11)


class Oracle(Method):
    """A base that knows the truth: the first feature, as scores of two clouds with room between them."""

    fits: list[list[int]]

    def fit(self, train: Images) -> None:
        self.fits.append(train.features("any")[:, 1].int().tolist())

    def score(self, test: Images) -> Scores:
        found = test.features("any").double().numpy()
        noise = np.sin(1e3 * found[:, 1]) * 0.3
        return Scores(np.exp(3 * found[:, 0] + noise))


class Dice(Method):
    """A base that knows nothing: noise, anew for each fit."""

    def fit(self, train: Images) -> None:
        pass

    def score(self, test: Images) -> Scores:
        return Scores(np.exp(np.random.default_rng(self.seed).normal(size=len(test))))


# --- the two properties ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4])
def test_a_perfect_base_keeps_nothing_anomalous(make: Make, name: str, rate: float) -> None:
    n = 400
    labels = np.zeros(n, int)
    labels[: int(rate * n)] = 1
    labels = np.random.default_rng(1).permutation(labels)
    Oracle.fits = []
    more = {"factor": 1.0} if name == "srr" else {}
    method = around(make, name, Oracle, **FILTERS[name], **more)
    method.fit(images(known(labels)))
    kept = method.purification.kept
    found = purification_metrics(labels, kept, method.purification.scores)
    assert found["filter_auroc"] == 1
    assert found["anomalies_kept"] == 0, "each keeps at most 1 - rate of all"
    assert kept.sum() > 0.3 * n
    assert sorted(Oracle.fits[-1]) == np.flatnonzero(kept).tolist(), "the last fit saw the kept images"


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_a_random_base_does_no_harm_beyond_chance(make: Make, name: str) -> None:
    """Over many seeds the kept set is as contaminated as the whole, within its hypergeometric interval."""
    n, labels = 200, np.repeat([0, 1], [160, 40])
    away = []
    for seed in range(25):
        method = around(make, name, Dice, **FILTERS[name])
        method.seed = seed
        method.fit(images(known(labels)))
        kept = method.purification.kept
        k = int(kept.sum())
        assert k > 0
        if k < n:
            variance = 0.2 * 0.8 / k * (n - k) / (n - 1)
            away.append((labels[kept].mean() - 0.2) / variance**0.5)
    assert len(away) >= 5
    assert abs(np.mean(away)) * len(away) ** 0.5 < norm.ppf(0.9995)


@pytest.mark.parametrize("name", ["meds", "srr", "aar"])
def test_purifying_helps_on_dirty_data(make: Make, name: str) -> None:
    draw = np.random.default_rng(2)
    side = np.array([5, 0, 0, 0, 0, 0])
    dirty = np.concatenate([draw.normal(size=(160, 6)), draw.normal(size=(40, 6)) + side])
    test = np.concatenate([draw.normal(size=(200, 6)), draw.normal(size=(200, 6)) + side])
    labels = np.repeat([0, 1], 200)
    bare = auroc(labels, scores(make("mahalanobis", normalise="none"), dirty, test))
    more = {"by": "base"} if name == "meds" else {"rate": 0.2} if name == "srr" else {}
    given = make(name, base="mahalanobis[normalise=none]", **more)
    assert auroc(labels, scores(given, dirty, test)) > bare


@pytest.mark.parametrize("name", ["meds", "srr", "aar", "ephad"])
def test_no_base_no_purifier(stock: Any, name: str) -> None:
    method = stock.methods[name].load()()
    method.device = torch.device("cpu")
    with pytest.raises(Exception, match="has no base"):
        method.fit(images(CLOUDS))


def test_held_out_scores_are_of_bases_that_did_not_see_the_image(make: Make) -> None:
    Oracle.fits = []
    method = around(make, "aar", Oracle)
    train = images(known(LABELS))
    found = method.held_out_scores(train, 4)
    assert found.shape == (100,)
    assert [len(rows) for rows in Oracle.fits] == [75] * 4
    seen = [set(range(100)) - set(rows) for rows in Oracle.fits]
    assert sorted(number for own in seen for number in own) == list(range(100)), "each held out once"
    Oracle.fits = []
    among = np.arange(100) < 50
    method.held_out_scores(train, 2, among=among)
    assert all(max(rows) < 50 for rows in Oracle.fits)
    dn2 = make("aar", base="dn2[k=1]")
    dn2.device = torch.device("cpu")
    assert (dn2.held_out_scores(images(CLOUDS), 2) > 0).all(), "no image finds itself"


# --- meds --------------------------------------------------------------------------------------------------


def plain_meds(features: np.ndarray, memories: list[np.ndarray]) -> np.ndarray:
    """Each memory's cosine distances in a loop, without the table that memories share."""
    away = []
    for memory in memories:
        row = []
        for x in features.astype(np.float64):
            cosines = [
                x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in features[memory].astype(np.float64)
            ]
            row.append(1 - max(cosines))
        away.append(row)
    return np.mean(away, 0)


def test_meds_is_the_mean_distance_to_sparse_memories(make: Make, stock: Any) -> None:
    parts = stock.methods["meds"].load().fit.__globals__
    features = rng.normal(size=(40, 5)).astype(np.float32) + 2
    drawn = parts["draws"](40, 15, 0.1, 3)
    assert [len(memory) for memory in drawn] == [4] * 15, "a tenth, whole images"
    assert max(len(set(memory.tolist())) for memory in parts["draws"](40, 15, 1.0, 3)) < 40, (
        "with replacement"
    )
    found = parts["memory_scores"](features, drawn)
    np.testing.assert_allclose(found, plain_meds(features, drawn), atol=2e-5)
    method = make("meds", base="dn2[k=1]", memories=15)
    method.device, method.seed = torch.device("cpu"), 3
    method.fit(images(features))
    np.testing.assert_allclose(method.purification.scores, found)
    middle = np.median(found)
    spread = np.median(np.abs(found - middle))
    assert method.purification.kept.tolist() == (found < middle + 3 * spread).tolist()


def test_meds_with_one_full_memory_is_the_nearest_image(stock: Any) -> None:
    parts = stock.methods["meds"].load().fit.__globals__
    features = rng.normal(size=(30, 4)).astype(np.float32)
    every = [np.arange(30)]
    assert parts["memory_scores"](features, every) == pytest.approx(np.zeros(30), abs=1e-6)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    away = 1 - unit @ unit.T
    np.fill_diagonal(away, np.inf)
    two = [np.arange(0, 30, 2), np.arange(1, 30, 2)]
    left = parts["memory_scores"](features, two, exclude_self=True)
    for i in range(30):
        other = np.arange(1 - i % 2, 30, 2)
        assert left[i] == pytest.approx(away[i, other].min(), abs=2e-5), "the memory without it alone"


def test_meds_by_bases_is_the_same_by_features(make: Make) -> None:
    features = (rng.normal(size=(50, 5)) + 3).astype(np.float32)
    found = []
    for by in ("features", "base"):
        method = make("meds", base="dn2[k=1,normalise=l2]", by=by, memories=10)
        method.device, method.seed = torch.device("cpu"), 5
        method.fit(images(features))
        found.append(method.purification.scores)
    # Squared distances of unit vectors are twice the cosine distance.
    np.testing.assert_allclose(found[1] / 2, found[0], atol=2e-5)


def test_meds_thresholds(stock: Any) -> None:
    below = stock.methods["meds"].load().fit.__globals__["below"]
    values = np.array([1.0, 2, 3, 4, 5, 6, 100])
    assert below(values, 0.0).sum() == 3, "fewer than half"
    assert below(values, 3.0).tolist() == [True] * 6 + [False]
    assert below(10 * values, 3.0).tolist() == below(values, 3.0).tolist()
    assert below(np.ones(4), 3.0).all(), "equal scores say nothing"
    twins = np.concatenate([rng.normal(size=(20, 3)) + 3, [[0, 9, 0], [0, 9, 0]]]).astype(np.float32)
    parts = stock.methods["meds"].load().fit.__globals__
    drawn = parts["draws"](22, 200, 0.1, 0)
    alone = parts["memory_scores"](
        twins[:21], [memory[memory < 21] for memory in drawn if (memory < 21).any()]
    )
    assert parts["memory_scores"](twins, drawn)[20] < alone[20], "a duplicate lowers the score of both"


def test_a_base_without_a_backbone_has_no_features(make: Make) -> None:
    with pytest.raises(FitError, match="has no backbone"):
        scores(make("meds", base="random"), CLOUDS, TEST)


# --- srr ---------------------------------------------------------------------------------------------------


def test_srr_keeps_what_all_agree_on(make: Make, stock: Any) -> None:
    """One round against a loop over the parts, with distances by hand."""
    features = np.concatenate([rng.normal(size=(45, 3)), rng.normal(size=(15, 3)) + 6]).astype(np.float32)
    method = make("srr", base="dn2[k=1]", parts=3, rate=0.2, factor=1.5, rounds=1)
    method.device, method.seed = torch.device("cpu"), 4
    method.fit(images(features))
    derive = stock.methods["srr"].load().fit.__globals__["derive_seed"]
    order = np.random.default_rng(derive(4, "parts", 0, bits=31)).permutation(60)
    votes = np.ones(60, bool)
    for part in np.array_split(order, 3):
        away = ((features[:, None] - features[None, part]) ** 2).sum(-1).min(1)
        # Normal: not among the 30 % with the highest scores.
        votes &= away <= np.sort(away)[int(0.7 * 60) - 1]
    assert method.purification.kept.tolist() == votes.tolist()
    assert LABELS is not None
    (note,) = [each for each in method.notes if each.startswith("srr")]
    assert f"kept {votes.mean():.1%}" in note
    assert "34.3%" in note, "0.7 ** 3"


def test_srr_at_rate_0_is_the_base(make: Make) -> None:
    given = make("srr", base="mahalanobis", rate=0.0)
    assert scores(given, CLOUDS, TEST).tobytes() == scores(make("mahalanobis"), CLOUDS, TEST).tobytes()
    assert given.purification.kept.all()


# --- aar ---------------------------------------------------------------------------------------------------


def test_rejection_by_hand(stock: Any) -> None:
    rejection = stock.methods["aar"].load().fit.__globals__["rejection"]
    values = np.array([-2.0, -1, 0, 1, 2, 30])
    z = 0.6745 * (values - 0.5) / 1.5
    assert rejection(values, 3.5, 3.0, soft=False).tolist() == (z <= 3.5).astype(float).tolist()
    assert rejection(np.ones(8), 3.5, 3.0, soft=True).tolist() == [1.0] * 8, "MAD 0: nothing is rejected"
    draw = np.random.default_rng(0)
    two = np.concatenate([draw.normal(0, 1, 800), draw.normal(4, 1, 200)])
    weights = rejection(two, 3.5, 3.0, soft=True)
    assert set(weights.tolist()) == {0.0, 0.5, 1.0}
    assert (np.diff(weights[np.argsort(two)]) <= 0).all()
    # The densities cross at 2 + log(4) / 4 = 2.35, the fence is at 3: between them weigh one half.
    assert two[weights == 0.5].min() == pytest.approx(2.35, abs=0.25)
    assert two[weights == 0.5].max() == pytest.approx(3, abs=0.25)


def test_mixtures_and_their_crossing() -> None:
    draw = np.random.default_rng(1)
    found = two_gaussians(np.concatenate([draw.normal(10, 2, 4000), draw.normal(20, 1, 1000)]))
    assert found is not None
    assert found.weight == pytest.approx(0.2, abs=0.02)
    assert found.means == pytest.approx((10, 20), abs=0.2)
    assert found.deviations == pytest.approx((2, 1), abs=0.1)
    at = crossing(Mixture(0.3, (0.0, 3.0), (1.0, 0.7)))
    assert at is not None
    assert 0.7 * norm.pdf(at, 0, 1) == pytest.approx(0.3 * norm.pdf(at, 3, 0.7), rel=1e-6)
    same = crossing(Mixture(0.5, (0.0, 2.0), (1.0, 1.0)))
    assert same == pytest.approx(1.0), "equal spreads, equal weights: half way"
    assert two_gaussians(np.ones(50)) is None
    assert two_gaussians(np.arange(5)) is None


# --- the rate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.4])
def test_the_estimated_rate_of_two_separate_clouds(rate: float) -> None:
    errors = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        bad = int(rate * 1000)
        logs = np.concatenate([draw.normal(0, 0.3, 1000 - bad), draw.normal(2.0, 0.3, bad)])
        errors.append(estimated_rate(np.exp(logs)) - rate)
        assert estimated_rate(7 * np.exp(logs)) == pytest.approx(estimated_rate(np.exp(logs)), abs=1e-6)
    assert np.abs(errors).max() < (0.15 if rate == 0 else 0.03)


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 30, [np.inf] * 4, [-np.inf, 0, 1, np.inf]])
def test_an_estimate_is_always_a_share(values: list[float]) -> None:
    assert 0 <= estimated_rate(np.array(values)) <= 0.5


def test_modified_z_scores() -> None:
    values = np.array([1.0, 2, 3, 4, 100])
    np.testing.assert_allclose(modified_z(values), 0.6745 * (values - 3) / 1)
    assert modified_z(np.array([1.0, 1, 1, 5])).tolist() == [0, 0, 0, 0]


# --- ephad -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["train", "test"])
def test_ephad_adds_evidence_to_the_score(make: Make, evidence: str) -> None:
    train, test = rng.normal(size=(60, 4)).astype(np.float32), rng.normal(size=(30, 4)).astype(np.float32) * 2
    method = make("ephad", base="mean_distance", beta=2.0, evidence=evidence, k=7, folds=1)
    given = scores(method, train, test)
    own, bare = scores(make("mean_distance"), train, train), scores(make("mean_distance"), train, test)
    fitted = LocalOutlierFactor(n_neighbors=7, novelty=True).fit(train)
    among = fitted if evidence == "train" else None
    odd = (
        -fitted.score_samples(test)
        if among is not None
        else -LocalOutlierFactor(n_neighbors=7).fit(test).negative_outlier_factor_
    )

    def robust(values: np.ndarray, of: np.ndarray) -> np.ndarray:
        middle = np.median(of)
        return np.asarray((values - middle) / (1.4826 * np.median(np.abs(of - middle))))

    expected = robust(bare, own) + robust(odd, -fitted.negative_outlier_factor_) / 2
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
    assert any("transductive" in note for note in method.notes) == (evidence == "test")


def test_ephad_with_a_high_temperature_is_the_base(make: Make) -> None:
    given = scores(make("ephad", base="mahalanobis", beta=1e12), CLOUDS, TEST)
    bare = scores(make("mahalanobis"), CLOUDS, TEST)
    assert np.argsort(given).tolist() == np.argsort(bare).tolist()
    assert make("ephad").purification is None, "it filters nothing"


# --- loe ---------------------------------------------------------------------------------------------------


def plain_loe(normal: np.ndarray, anomalous: np.ndarray, rate: float, mode: str) -> float:
    """The loss of a mini-batch in a loop."""
    b = len(normal)
    order = sorted(range(b), key=lambda i: normal[i] - anomalous[i])
    good, bad = order[: int(round(b * (1 - rate), 9))], order[b - int(round(b * rate, 9)) :]
    losses = [normal[i] for i in good]
    if mode == "hard":
        losses += [anomalous[i] for i in bad]
    if mode == "soft":
        losses += [0.5 * normal[i] + 0.5 * anomalous[i] for i in bad]
    return float(np.mean(losses))


@pytest.mark.parametrize("mode", ["hard", "soft", "refine"])
@pytest.mark.parametrize("rate", [0.1, 0.25, 0.33, 0.5])
def test_loe_losses(stock: Any, mode: str, rate: float) -> None:
    exposed = stock.methods["loe"].load().fit.__globals__["exposed"]
    normal, anomalous = torch.rand(2, 3, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = exposed(normal, anomalous, rate, mode)
    for h in range(3):
        assert float(found[h]) == pytest.approx(
            plain_loe(normal[h].numpy(), anomalous[h].numpy(), rate, mode)
        )
    assert torch.equal(exposed(normal, anomalous, 0.0, mode), normal.mean(-1)), "blind"


def test_loe_at_rate_0_is_the_base(make: Make) -> None:
    small = {"epochs": 4, "batch": 20}
    bare = scores(make("deep_svdd_features", **small), CLOUDS, TEST, seed=3)
    given = make("loe", base="deep_svdd_features[epochs=4,batch=20]", rate=0.0)
    assert scores(given, CLOUDS, TEST, seed=3).tobytes() == bare.tobytes()
    assert given.purification.kept.all()
    blind = make("loe", base="deep_svdd_features[epochs=4,batch=20]", rate=0.2, warmup=9)
    assert scores(blind, CLOUDS, TEST, seed=3).tobytes() == bare.tobytes(), "warm-up to the end"


def test_loe_finds_the_anomalies_and_pushes_them_away(make: Make) -> None:
    """Normal images lie in one direction from the origin, the anomalies in another."""
    axes, draw = 4 * np.eye(6), np.random.default_rng(3)
    dirty = np.concatenate([axes[0] + draw.normal(size=(80, 6)), axes[1] + draw.normal(size=(20, 6))])
    settings = {"epochs": 60, "batch": 100, "lr": 0.003, "dimensions": 16}

    def apart(values: np.ndarray) -> float:
        return float(np.median(values[80:]) / np.median(values[:80]))

    bare = apart(scores(make("deep_svdd_features", **settings), dirty, dirty, seed=1))
    base = f"deep_svdd_features[{','.join(f'{name}={value}' for name, value in settings.items())}]"
    for mode in ("hard", "soft", "refine"):
        given = make("loe", base=base, rate=0.2, mode=mode)
        assert apart(scores(given, dirty, dirty, seed=1)) > bare
        kept = given.purification.kept
        assert kept.sum() == 80
        assert kept[80:].mean() < 0.2
    guessed = make("loe", base=base)
    scores(guessed, dirty, dirty, seed=1)
    assert 0 <= guessed.purification.rate <= 0.5


def test_loe_refuses_what_it_cannot_steer(make: Make) -> None:
    with pytest.raises(FitError, match="DN2 has no loss for anomalous images"):
        scores(make("loe", base="dn2"), CLOUDS, TEST)
    with pytest.raises(FitError, match="soft boundary has no loss"):
        scores(make("loe", base="deep_svdd_features[objective=soft-boundary]", rate=0.1), CLOUDS, TEST)
