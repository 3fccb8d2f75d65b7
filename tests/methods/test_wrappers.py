"""Wrappers by their specification: what they train on, in what order, and with which seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from bench import FitError, Images, Method, Scores, Wrapper
from bench.metrics.image import auroc
from bench.metrics.purification import purification_metrics
from tests.features_as_images import images, scores

Make = Callable[..., Any]
NAMES = ("llbnad", "iterative", "trim", "oracle_clean")

rng = np.random.default_rng(5)
#: 100 images of which the last 20 are anomalous: far from the others, in a cloud of their own.
RATE = 0.2
LABELS = np.repeat([0, 1], [80, 20])
CLOUDS = np.concatenate([rng.normal(size=(80, 6)), rng.normal(size=(20, 6)) * 0.6 + 4])
TEST = rng.normal(size=(30, 6))


class Knowing(Method):
    """A base for tests: the first feature is the truth, and the score that plus noise."""

    fits: list[list[int]]

    def fit(self, train: Images) -> None:
        self.fits.append(train.features("any")[:, 1].int().tolist())

    def score(self, test: Images) -> Scores:
        found = test.features("any")
        noise = np.random.default_rng(self.seed).normal(scale=0.01, size=len(found))
        return Scores(found[:, 0].numpy() + noise)


def known(labels: np.ndarray) -> np.ndarray:
    """Return features: the truth, and the number of each image."""
    return np.stack([labels, np.arange(len(labels))], 1)


def around(make: Make, name: str, kind: type[Method], **params: Any) -> Any:
    """Return a wrapper by name around a base class of this file, on the CPU."""
    method = make(name, **params)
    method.make_base, method.device = kind, torch.device("cpu")
    return method


def knowing(make: Make, name: str, **params: Any) -> Any:
    Knowing.fits = []
    return around(make, name, Knowing, **params)


# --- what all share -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llbnad", "trim", "iterative"])
def test_an_oracle_inside_lets_no_anomaly_through(make: Make, name: str) -> None:
    """By right provenance of indices; by that of LLBNAD's released code a fifth would be anomalous."""
    for keep in (0.2, 0.5, 0.8):
        more = {"weight": "hard"} if name == "iterative" else {}
        method = knowing(make, name, keep=keep, **more)
        mixed = np.random.default_rng(3).permutation(LABELS)
        method.fit(images(known(mixed)))
        kept = method.purification.kept
        assert mixed[kept].sum() == 0
        assert kept.sum() == int(keep * 100)
        assert sorted(Knowing.fits[-1]) == np.flatnonzero(kept).tolist(), "the last fit saw the kept images"
        found = purification_metrics(mixed, kept, method.purification.scores)
        assert found["filter_auroc"] == 1
        assert found["normals_lost"] == pytest.approx(1 - keep / 0.8)


@pytest.mark.parametrize("name", ["llbnad", "trim"])
def test_more_than_the_normals_cannot_be_kept_clean(make: Make, name: str) -> None:
    method = knowing(make, name, keep=0.9)
    method.fit(images(known(LABELS)))
    assert LABELS[method.purification.kept].sum() == 10


@pytest.mark.parametrize("base", ["dn2[k=2]", "mahalanobis", "sla2p[epochs=2,transforms=4]"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("llbnad", {"subsets": 1, "keep": 1.0}),
        ("trim", {"keep": 1.0}),
        ("iterative", {"rounds": 0}),
        ("iterative", {"weight": "hard", "keep": 1.0}),
        ("oracle_clean", {}),
    ],
)
def test_what_keeps_everything_is_the_bare_method(
    make: Make, base: str, name: str, params: dict[str, Any]
) -> None:
    inner, _, rest = base.partition("[")
    given = dict(pair.split("=") for pair in rest.rstrip("]").split(",") if pair)
    bare = make(inner, **{key: int(value) for key, value in given.items()})
    # As the runner does before it makes a method.
    torch.manual_seed(4)
    expected = scores(bare, CLOUDS, TEST, seed=4)
    assert scores(make(name, base=base, **params), CLOUDS, TEST, seed=4).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["llbnad", "trim", "iterative"])
def test_a_purified_base_is_better_on_dirty_data(make: Make, name: str) -> None:
    """Anomalies on one side pull a mean and stretch a covariance; without them the sides are told apart."""
    draw = np.random.default_rng(2)
    side = np.array([3, 0, 0, 0, 0, 0])
    dirty = np.concatenate([draw.normal(size=(80, 6)), draw.normal(size=(20, 6)) + side])
    test = np.concatenate([draw.normal(size=(200, 6)), draw.normal(size=(200, 6)) + side])
    labels = np.repeat([0, 1], 200)
    keep = {} if name == "iterative" else {"keep": 0.6}
    bare = auroc(labels, scores(make("mahalanobis", normalise="none"), dirty, test))
    base = "mahalanobis[normalise=none]"
    purified = auroc(labels, scores(make(name, base=base, **keep), dirty, test))
    best = auroc(labels, scores(make("mahalanobis", normalise="none"), dirty[:80], test))
    assert bare + 0.3 * (best - bare) < purified <= best


@pytest.mark.parametrize("name", NAMES)
def test_maps_candidates_and_notes_of_the_base_come_through(make: Make, name: str) -> None:
    class Talking(Method):
        def fit(self, train: Images) -> None:
            self.notes = (f"fitted on {len(train)}",)

        def score(self, test: Images) -> Scores:
            n = len(test)
            return Scores(np.arange(n), maps=np.zeros((n, 2, 2)), candidates={"epoch 1": np.ones(n)})

    method = around(make, name, Talking)
    method.fit(images(CLOUDS))
    given = method.score(images(TEST))
    assert given.maps.shape == (30, 2, 2)
    assert set(given.candidates) == {"epoch 1"}
    (note,) = method.notes
    assert note.startswith("fitted on ")


def test_bases_get_device_extras_progress_and_a_place_for_checkpoints(make: Make, tmp_path: Any) -> None:
    from bench.train.checkpoint import Checkpoints

    made: list[Method] = []

    class Counted(Knowing):
        def __init__(self) -> None:
            made.append(self)

    method = knowing(make, "llbnad", subsets=2)
    method.make_base = Counted
    method.seed, method.checkpoints = 7, Checkpoints(tmp_path)
    method.auxiliary, method.progress = {"outliers": images(TEST)}, print
    method.fit(images(known(LABELS)))
    assert {base.device for base in made} == {torch.device("cpu")}
    assert len({base.seed for base in made}) == 3
    assert made[-1].seed == 7, "the one that scores has the bare method's seed"
    assert {base.checkpoints.folder.name for base in made} == {"subset-0", "subset-1", "final"}
    assert all(base.auxiliary is method.auxiliary and base.progress is print for base in made)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_base_it_says_so(stock: Any, name: str) -> None:
    method = stock.methods[name].load()()
    method.device = torch.device("cpu")
    with pytest.raises(Exception, match="has no base"):
        method.fit(images(CLOUDS))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrapper_extracts_nothing_of_its_own(make: Make, name: str) -> None:
    asked: set[int] = set()

    class Greedy(Method):
        def fit(self, train: Images) -> None:
            asked.update(train.features("any")[:, 1].int().tolist())

        def score(self, test: Images) -> Scores:
            return Scores(test.features("any")[:, 0])

    around(make, name, Greedy).fit(images(known(LABELS)))
    assert asked <= set(range(100))
    assert isinstance(make(name), Wrapper)


# --- llbnad -------------------------------------------------------------------------------------------------


def plain_llbnad(
    features: np.ndarray, base: Callable[..., Any], blocks: list[np.ndarray], keep: float
) -> np.ndarray:
    """The algorithm in plain numpy: returns the kept numbers, given the blocks and a scorer."""
    table = np.empty((len(blocks), len(features)))
    for j, block in enumerate(blocks):
        table[j] = base(features[block], features)
    return np.sort(np.argsort(table.mean(0), kind="stable")[: int(keep * len(features))])


def two_nearest(bank: np.ndarray, queries: np.ndarray) -> np.ndarray:
    squared = ((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(-1)
    return np.sort(squared, 1)[:, :2].sum(1)


@settings(max_examples=15)
@given(st.integers(3, 60), st.integers(1, 3), st.sampled_from([0.34, 0.5, 1.0]), st.integers(0, 3))
def test_llbnad_keeps_what_a_plain_implementation_keeps(
    make: Make, stock: Any, n: int, subsets: int, keep: float, seed: int
) -> None:
    cut = stock.methods["llbnad"].load().fit.__globals__["blocks"]
    features = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    parts = cut(n, subsets, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n)), "a partition"
    assert [len(part) for part in parts[:-1]] == [n // subsets] * (subsets - 1)
    if min(len(part) for part in parts) < 2:
        return  # the plain one looks for two neighbours
    method = make("llbnad", base="dn2[k=2]", subsets=subsets, keep=keep)
    method.device, method.seed = torch.device("cpu"), seed
    method.fit(images(features))
    expected = plain_llbnad(features, two_nearest, parts, keep)
    assert np.flatnonzero(method.purification.kept).tolist() == expected.tolist()
    assert method.purification.kept.sum() == int(n * keep)


def test_llbnads_subsets_see_their_own_block_only(make: Make) -> None:
    method = knowing(make, "llbnad", subsets=4, keep=0.3)
    method.fit(images(known(LABELS)))
    *firsts, last = Knowing.fits
    assert sorted(np.concatenate(firsts).tolist()) == list(range(100))
    assert [len(block) for block in firsts] == [25] * 4
    assert len(last) == 30


def test_llbnad_draws_by_its_seed(make: Make) -> None:
    def kept(seed: int) -> list[int]:
        method = make("llbnad")
        method.device, method.seed = torch.device("cpu"), seed
        method.fit(images(CLOUDS))
        return np.flatnonzero(method.purification.kept).tolist()

    assert kept(1) == kept(1)
    assert kept(1) != kept(2)


class Table(Method):
    """A base for tests: scores by the order in which bases are made, from a table."""

    rows: list[np.ndarray]
    made = 0

    def __init__(self) -> None:
        self.row = self.rows[Table.made % len(self.rows)]
        Table.made += 1

    def fit(self, train: Images) -> None:
        pass

    def score(self, test: Images) -> Scores:
        return Scores(self.row[test.features("any")[:, 1].int().numpy()])


def aggregated(make: Make, rows: np.ndarray, **params: Any) -> np.ndarray:
    Table.rows, Table.made = list(rows), 0
    method = around(make, "llbnad", Table, subsets=len(rows), **params)
    method.fit(images(known(np.zeros(rows.shape[1]))))
    return np.asarray(method.purification.scores)


def test_llbnads_aggregations(make: Make) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 30)).astype(np.float32)
    mean, largest = aggregated(make, rows), aggregated(make, rows, aggregate="max")
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(largest, rows.max(0), rtol=1e-6)
    assert (largest >= mean).all()
    np.testing.assert_allclose(aggregated(make, rows[::-1]), mean, rtol=1e-5)
    by_variance = aggregated(make, rows, aggregate="max_var")
    np.testing.assert_allclose(by_variance, rows.max(0) * rows.var(0), rtol=1e-4)
    ranks = aggregated(make, rows * [[1], [100], [1e-4]], normalise="rank")
    np.testing.assert_allclose(ranks, np.mean([rankdata(row) / 30 for row in rows], 0), rtol=1e-5)
    shifted = aggregated(make, rows * [[1], [100], [1e-4]] + 5, normalise="zscore")
    plain = np.mean([(row - row.mean()) / row.std() for row in rows], 0)
    np.testing.assert_allclose(shifted, plain, rtol=1e-3, atol=1e-3)


def test_scaling_all_scores_changes_nothing(make: Make) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 30))
    order = [np.argsort(aggregated(make, factor * rows)).tolist() for factor in (1, 8.0)]
    assert order[0] == order[1]


def test_cross_leaves_out_the_score_of_an_images_own_subset(make: Make, stock: Any) -> None:
    cut = stock.methods["llbnad"].load().fit.__globals__["blocks"]
    rows = np.random.default_rng(0).normal(size=(3, 30)).astype(np.float32)
    own = np.zeros((3, 30), bool)
    for j, block in enumerate(cut(30, 3, 0)):
        own[j, block] = True
    assert own.sum(0).tolist() == [1] * 30, "exactly K - 1 scores are left"
    expected = [rows[~own[:, i], i].mean() for i in range(30)]
    np.testing.assert_allclose(aggregated(make, rows, cross=True), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "n", "match"),
    [
        ({"subsets": 8}, 5, "5 training images cannot be cut into 8 subsets"),
        ({"keep": 0.05}, 10, r"keep=0\.05 of 10 training images is none"),
        ({"subsets": 1, "cross": True}, 10, "needs at least 2 subsets, got 1"),
        ({"subsets": 2, "cross": True, "aggregate": "max_var"}, 10, "needs at least 3 subsets, got 2"),
        ({"subsets": 1, "aggregate": "max_var"}, 10, "needs at least 2 subsets, got 1"),
        ({"base": "plume", "subsets": 8}, 10, r"at least 2 training.*of 8 subsets of 10.*lower subsets"),
        ({"base": "plume", "keep": 0.1}, 10, "PLUME needs at least 2 training images"),
    ],
)
def test_llbnad_refuses_what_cannot_be(make: Make, params: dict[str, Any], n: int, match: str) -> None:
    with pytest.raises(FitError, match=match):
        scores(make("llbnad", **params), CLOUDS[:n], TEST)


# --- trim ---------------------------------------------------------------------------------------------------


def test_trim_keeps_the_lowest_scores_of_a_first_pass(make: Make) -> None:
    method = make("trim", base="mean_distance", keep=0.3)
    method.device = torch.device("cpu")
    method.fit(images(CLOUDS))
    bare = scores(make("mean_distance"), CLOUDS, CLOUDS)
    assert set(np.flatnonzero(method.purification.kept)) == set(np.argsort(bare)[:30])
    np.testing.assert_allclose(method.purification.scores, bare, rtol=1e-6)


def test_trim_of_almost_nothing_is_refused(make: Make) -> None:
    with pytest.raises(FitError, match=r"trim: keep=0\.01 of 40 training images is none"):
        scores(make("trim", keep=0.01), CLOUDS[:40], TEST)


# --- iterative ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(stock: Any) -> dict[str, Any]:
    """Return the functions of ``methods/iterative.py``."""
    return dict(stock.methods["iterative"].load().fit.__globals__)


finite = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40)


@given(finite, st.sampled_from(["sigmoid", "exp", "rank", "hard"]), st.sampled_from([0.1, 1.0, 5.0]))
def test_weights_lie_in_0_to_1_and_do_not_rise_with_the_score(
    parts: dict[str, Any], values: list[float], how: str, temperature: float
) -> None:
    given_scores = np.array(values, np.float32)
    weights = parts["weigh"](given_scores, how, temperature=temperature, keep=0.5)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights.max() > 0
    order = np.argsort(given_scores, kind="stable")
    assert (np.diff(weights[order]) <= 1e-12).all()
    for score in set(values):
        assert np.ptp(weights[given_scores == np.float32(score)]) == 0


@pytest.mark.parametrize("how", ["sigmoid", "exp", "rank", "hard"])
@pytest.mark.parametrize("values", [[3.0] * 8, [np.inf] * 5, [-np.inf, -np.inf]])
def test_equal_scores_weigh_the_same(parts: dict[str, Any], how: str, values: list[float]) -> None:
    weights = parts["weigh"](np.array(values, np.float32), how, temperature=1.0, keep=0.5)
    assert np.ptp(weights) == 0
    assert weights[0] > 0


def test_weights_by_hand(parts: dict[str, Any]) -> None:
    weigh = parts["weigh"]
    values = np.array([0, 1, 2, 3, np.inf], np.float32)  # median 2, MAD 1; infinity counts as 3
    u = (np.array([0, 1, 2, 3, 3]) - 2) / 1.4826
    np.testing.assert_allclose(parts["standardised"](values), u)
    np.testing.assert_allclose(weigh(values, "sigmoid", temperature=2.0, keep=1), 1 / (1 + np.exp(u / 2)))
    np.testing.assert_allclose(weigh(values, "exp", temperature=1.0, keep=1), np.exp(u[0] - u))
    np.testing.assert_allclose(weigh(values, "rank", temperature=1.0, keep=1), [0.9, 0.7, 0.5, 0.2, 0.2])
    assert weigh(values, "hard", temperature=1.0, keep=0.6).tolist() == [1, 1, 1, 0, 0]


def test_constant_weights_reproduce_the_base(make: Make) -> None:
    constant = np.repeat(CLOUDS[:1], 20, 0)
    method = make("iterative", base="mean_distance")
    assert scores(method, constant, TEST).tobytes() == scores(make("mean_distance"), constant, TEST).tobytes()
    assert method.purification.kept.all()


def test_outliers_lose_weight_over_the_rounds(make: Make, parts: dict[str, Any]) -> None:
    """For a Gaussian: once the anomalies pull less, they lie farther out."""
    method = make("iterative", base="mahalanobis", agreement=1.0)
    method.device = torch.device("cpu")
    seen: list[float] = []
    judge = parts["training_scores"]

    def noted(base: Method, train: Images) -> Any:
        found = judge(base, train)
        weights = parts["weigh"](found, "sigmoid", temperature=1.0, keep=0.5)
        seen.append(float(weights[LABELS == 1].mean() / weights.mean()))
        return found

    type(method).fit.__globals__["training_scores"] = noted
    try:
        method.fit(images(CLOUDS))
    finally:
        type(method).fit.__globals__["training_scores"] = judge
    assert 1 <= method.done <= 10
    assert len(seen) >= 2
    assert seen[1] < seen[0]


def test_iterating_ends(make: Make) -> None:
    for weight in ("sigmoid", "exp", "rank", "hard"):
        method = make("iterative", base="mean_distance", weight=weight, rounds=50)
        assert np.isfinite(scores(method, CLOUDS, TEST)).all()
        assert 1 <= method.done < 50
    stopped = make("iterative", base="mean_distance", rounds=1)
    scores(stopped, CLOUDS, TEST)
    assert stopped.done == 1


def test_separation_and_agreement(parts: dict[str, Any]) -> None:
    values = np.array([0, 1, 2, 9], np.float32)
    u = parts["standardised"](values)
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    assert parts["separation"](values, weights) == pytest.approx(u.mean() - u[:3].mean())
    assert parts["separation"](values, np.ones(4)) == pytest.approx(0)
    assert parts["agreement"](values, values * 2) == pytest.approx(1)
    assert parts["agreement"](values, -values) == pytest.approx(-1)
    assert parts["agreement"](values, np.zeros(4, np.float32)) == 1
