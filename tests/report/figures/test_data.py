"""What figures show, against closed forms; and what cannot be shown is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from bench.core.errors import AnobenchError, FigureError
from bench.core.plan import Entry
from bench.report.board import Board
from bench.report.figures.common import Choice, distinct, named
from bench.report.figures.contamination import contamination_curves
from bench.report.figures.critical import critical_differences, datasets_needed, groups_within
from bench.report.figures.heatmap import heat_map
from bench.report.figures.histogram import histogram_edges, score_histogram
from bench.report.figures.kinds import KINDS, Sources, prepare
from bench.report.figures.losses import MOST_POINTS, MOST_TRAININGS, loss_curves
from bench.report.figures.roc import resample, roc_band, roc_curves, roc_steps
from bench.report.figures.scatter import front, pareto, reproduction
from bench.report.figures.training import training_courses
from bench.stats.friedman import critical_difference, least_p
from tests.report.figures.samples import KINDS as EVERY
from tests.report.figures.samples import board_of, drawing, losing, published, scored, trained
from tests.report.report_factory import columns, failure, make_plan, make_records, row

SIX = {f"data{at}": ["0", "1"] for at in range(6)}


def test_names_differ_and_are_short() -> None:
    names = distinct(["a" * 100 + "x", "a" * 100 + "x", "b\n\tc", "a" * 100 + "x"], 20)
    assert len(set(names)) == 4
    assert max(map(len, names)) <= 20
    assert names[2] == "b c"


def test_long_names_lose_what_the_variants_share() -> None:
    most = "epochs=10,selection=oracle,noise=0.5"
    names = [
        f"m[{most},backbone=a[size=9]]",
        f"m[{most},backbone=b,k=5]",
        f"m[{most}]",
        f"other[{most}]",
        "m n",
    ]
    assert distinct(names, 40) == [
        "m[…,backbone=a[size=9]]",
        "m[…,backbone=b,k=5]",
        "m[epochs=10,selection=oracle,noise=0.5]",
        "other[epochs=10,selection=…le,noise=0.5]",
        "m n",
    ]
    assert distinct(names[:2], 60) == names[:2], "no longer than may be: left whole"
    assert distinct(["m[a=1,b=2]", "m[a=2,b=1]"], 9) == ["m[a=1…=2]", "m[a=2…=1]"], "nothing is shared"


def test_a_method_looks_the_same_in_all_figures() -> None:
    board = board_of([f"m{at:02}" for at in range(12)], SIX, lambda entry: 0.9 - 0.01 * entry.row)
    every = {each.row: each.style for each in named(board, range(12))}
    assert [every[row] for row in range(8)] == list(range(8))
    assert {every[row] for row in range(8, 12)} == {None}
    some = {each.row: each.style for each in named(board, [11, 5, 3])}
    assert (some[5], some[3]) == (5, 3)
    assert some[11] not in (None, 5, 3), "a style that is free is given to whoever has none"


def test_contamination_curves_have_means_and_bands_over_seeds() -> None:
    def value(entry: Entry) -> float:
        return 0.9 - entry.rate + (0.01 if entry.cell.contamination.seed else -0.01) * bool(entry.rate)

    data = contamination_curves(board_of(["a"], {"x": ["0", "1"], "y": ["0"]}, value, rates=(0.1, 0.0)))
    assert data.rates == (0.0, 0.1)
    assert [panel.title for panel in data.panels] == ["average of all data sets", "x", "y"]
    for panel in data.panels:
        (curve,) = panel.curves
        assert curve.means == pytest.approx((0.9, 0.8))
        sd = 0.01 * np.sqrt(2)
        assert curve.lows == pytest.approx((0.9, 0.8 - sd)), "no seed, no spread: a band of no width"
        assert curve.highs == pytest.approx((0.9, 0.8 + sd))
    assert "a 90.0, 80.0" in data.description
    assert "standard deviation" in data.note


def test_the_words_of_curves_count_the_methods_that_they_do_not_name() -> None:
    few = contamination_curves(board_of(["a"], {"x": ["0"]}, rates=(0.0, 0.1)))
    assert "others" not in few.description
    many = contamination_curves(board_of([f"m{at}" for at in range(11)], {"x": ["0"]}, rates=(0.0, 0.1)))
    assert many.description.endswith("; and 3 others.")


def test_one_seed_has_no_band() -> None:
    data = contamination_curves(board_of(["a"], {"x": ["0"]}, rates=(0.0, 0.1), seeds=(0,), stochastic=True))
    assert data.panels[0].curves[0].lows == (None, None)
    assert data.note == ""


def test_a_failed_cell_is_a_gap() -> None:
    plan = make_plan([row("a"), row("b")], columns(x=["0", "1"]), rates=(0.0, 0.1))
    records = make_records(plan)
    bad = next(entry for entry in plan.entries if entry.row == 1 and entry.rate == 0.1)
    records[bad.cell.key] = failure(bad.cell)
    board = Board(plan, records)
    curve = contamination_curves(board).panels[0].curves[1]
    assert curve.means[0] is not None
    assert curve.means[1] is None
    assert "none" in contamination_curves(board).description
    rows = heat_map(board, Choice(rate=0.1))
    assert (rows.values[1][0] is None) or (rows.values[1][1] is None)
    assert any("failed" in hole for hole in rows.holes[1])
    left = pareto(board, Choice(rate=0.1))
    assert [spot.method.label for spot in left.spots] == ["a"]
    assert "Left out: 1" in left.note


def test_critical_difference_of_methods_that_never_change_places() -> None:
    board = board_of(list("abcd"), SIX, lambda entry: 0.9 - 0.05 * entry.row)
    data = critical_differences(board)
    assert data.ranks == (1.0, 2.0, 3.0, 4.0)
    assert data.datasets == 6
    assert data.difference == critical_difference(6, 4) == pytest.approx(2.569 * np.sqrt(20 / 36), abs=1e-3)
    assert data.groups == ((0, 1), (1, 2), (2, 3)), "1.91: neighbours are tied, those two apart are not"
    assert "the methods differ" in data.words


def test_no_difference_among_methods_is_one_group() -> None:
    board = board_of(list("abc"), SIX, lambda entry: 0.8 + 0.01 * ((entry.row + entry.column // 2) % 3))
    data = critical_differences(board)
    assert data.difference is None
    assert data.ranks == (2.0, 2.0, 2.0)
    assert data.groups == ((0, 2),)
    assert "no difference" in data.words


def test_variants_of_one_data_set_are_one_block() -> None:
    variants = {f"data{at}[size={size}]": ["0"] for at in range(5) for size in (32, 64)}
    data = critical_differences(board_of(list("abcd"), variants, lambda entry: 0.9 - 0.05 * entry.row))
    assert data.datasets == 5


@pytest.mark.parametrize("k", range(2, 20))
def test_so_many_data_sets_are_needed_and_no_fewer(k: int) -> None:
    n = datasets_needed(k)
    assert critical_difference(n, k) < k - 1
    assert least_p(n, k) <= 0.05
    assert n == 2 or critical_difference(n - 1, k) >= k - 1 or least_p(n - 1, k) > 0.05


def test_a_looser_test_needs_fewer_data_sets() -> None:
    assert datasets_needed(3, alpha=0.2) == 2 < datasets_needed(3)


def test_too_few_data_sets_are_said_with_how_many_it_takes() -> None:
    with pytest.raises(FigureError, match=r"not enough data sets.* over 2 .*it takes 6 data sets"):
        critical_differences(board_of(["a", "b"], {"x": ["0"], "y": ["0"]}))


def test_groups_are_the_largest_runs() -> None:
    assert groups_within([1, 1.5, 3, 3.2, 6], 2.1) == [(0, 2), (1, 3)]
    assert groups_within([1, 5], 2) == []
    assert groups_within([2, 2, 2], 0.5) == [(0, 2)]


def test_many_tasks_are_averaged_by_data_set() -> None:
    many = {"x": [str(at) for at in range(30)], "y": [str(at) for at in range(20)]}
    board = board_of(["a"], many, lambda entry: 0.9 if entry.column < 30 else 0.7)
    data = heat_map(board)
    assert data.columns == ("x", "y")
    assert data.values[0] == pytest.approx((0.9, 0.7))
    assert len(heat_map(board, Choice(dataset="x")).columns) == 30


def test_front_is_whom_nobody_beats_in_both() -> None:
    spots = [(1, 0.5), (2, 0.9), (2, 0.8), (3, 0.9), (0.5, 0.1), (1, 0.5)]
    assert front(spots) == [True, True, False, False, True, True]


def test_pareto_has_mean_seconds_and_names_the_front() -> None:
    board = board_of(["fast", "slow", "worse"], {"x": ["0"]}, lambda entry: (0.8, 0.9, 0.7)[entry.row])
    data = pareto(board)
    expected = [("fast", True), ("slow", True), ("worse", False)]
    assert [(spot.method.label, spot.front) for spot in data.spots] == expected
    assert [spot.seconds for spot in data.spots] == pytest.approx([0.6, 0.7, 0.9])
    assert [spot.seconds for spot in pareto(board, Choice(time="cold")).spots] == pytest.approx(
        [2.6, 2.7, 2.9]
    )
    assert "worse" not in data.description


def test_timings_of_two_machines_are_not_compared() -> None:
    board = board_of(["a", "b"], {"x": ["0"]})
    first, *others = board.records()
    moved = replace(first, environment={**first.environment, "cpu": "Another CPU"})
    with pytest.raises(FigureError, match="2 different machines"):
        pareto(Board(board.plan, {each.cell.key: each for each in (moved, *others)}))


def test_reproduction_tells_what_was_measured_alike() -> None:
    data = drawing("reproduction")
    assert len(data.pairs) == 3 * 2 * 2  # type: ignore[attr-defined]
    alike = [pair for pair in data.pairs if pair.comparable]  # type: ignore[attr-defined]
    assert len(alike) == 3 * 2
    assert {pair.theirs for pair in alike} == {0.8, 0.81, 0.82}
    assert "6 measured alike" in data.description
    assert "Filled: 6 measured alike. Hollow: 6 do not compare" in data.note
    only = replace(data, pairs=tuple(alike))  # type: ignore[type-var]
    assert "Hollow" not in only.note
    assert "Filled" not in replace(data, pairs=tuple(set(data.pairs) - set(alike))).note  # type: ignore


def test_reproduction_points_are_said_once() -> None:
    board = board_of(["a"], {"x": ["0"]}, lambda _: 0.9)
    rows = published(board)
    twice = (*rows, *(replace(each, source="Another paper") for each in rows))
    data = reproduction(board, twice)
    assert len(data.pairs) == 2 - 1, "both do not compare, as our network has no name; they say the same"
    assert data.pairs[0].interval is None
    assert data.pairs[0].difference == pytest.approx(0.1)
    with pytest.raises(FigureError, match="no published AUROC"):
        reproduction(board, ())
    with pytest.raises(FigureError, match=r"no method 'b' in this suite; available: a"):
        reproduction(board, twice, Choice(methods=("b",)))


def test_roc_curves_are_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    grid = np.linspace(0, 1, 101)
    for _ in range(50):
        labels = (draw.random(60) < draw.uniform(0.2, 0.8)).astype(np.uint8)
        labels[:2] = 0, 1
        scores = np.round(draw.normal(size=60) + labels, draw.integers(0, 3)).astype(np.float32)
        false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
        last = np.append(false[1:] != false[:-1], True)
        expected = np.interp(grid, false[last], true[last])
        assert roc_steps(labels, scores, grid)[0] == pytest.approx(expected, abs=1e-12)


def test_counts_weigh_images() -> None:
    labels = np.array([0, 0, 1, 1], np.uint8)
    scores = np.array([1, 3, 2, 4], np.float32)
    counts = np.array([[1, 2], [1, 0], [1, 1], [1, 1]], np.uint16)
    found = roc_steps(labels, scores, np.array([0.0, 0.5, 1.0]), counts)
    assert found.tolist() == [[0.5, 1.0, 1.0], [1.0, 1.0, 1.0]]


def test_roc_bands_hold_the_curve_and_shrink_with_images() -> None:
    draw = np.random.default_rng(0)

    def width(n: int) -> float:
        labels = np.repeat([0, 1], n).astype(np.uint8)
        scores = (draw.normal(size=2 * n) + labels).astype(np.float32)
        tpr, low, high = roc_band([(labels, scores)], np.linspace(0, 1, 51))
        assert (low <= tpr + 0.05).all()
        assert (tpr - 0.05 <= high).all()
        return float((high - low).mean())

    assert 3 < width(50) / width(5000) < 30, "ten, by the square root of the number of images"


def test_perfect_separation_has_a_band_of_no_width() -> None:
    labels = np.array([0] * 5 + [1] * 5, np.uint8)
    tpr, low, high = roc_band([(labels, labels.astype(np.float32))], np.linspace(0, 1, 5))
    assert tpr.tolist() == low.tolist() == high.tolist() == [1.0] * 5


def test_roc_shows_the_best_five_unless_others_are_chosen() -> None:
    board = board_of([f"m{at}" for at in range(9)], {"x": ["0"]}, lambda entry: 0.9 - 0.01 * entry.row)
    data = roc_curves(board, scored)
    assert [curve.label for curve in data.curves] == [f"m{at}" for at in range(5)]
    assert "4 methods not shown" in data.note
    one = roc_curves(board, scored, Choice(methods=("m7", "m8")))
    assert [curve.label for curve in one.curves] == ["m7", "m8"]


def test_histogram_holds_every_image_and_tells_the_class_shares() -> None:
    board = board_of(["a", "b"], {"x": ["0"]}, stochastic=True)
    data = score_histogram(board, scored, Choice(methods=("b",), seed=1))
    assert data.images == (40, 40)
    assert data.normal.sum() == pytest.approx(1)
    assert data.anomalous.sum() == pytest.approx(1)
    assert data.outside == (0, 0)
    labels, scores = scored(board.group(1, 0, 0.0).records[1])  # type: ignore[arg-type]
    assert data.auroc == pytest.approx(roc_auc_score(labels, scores))
    with pytest.raises(FigureError, match=r"choose it with --method; available: [ab], [ab]"):
        score_histogram(board, scored)
    with pytest.raises(FigureError, match="--seed 7: this cell has the seeds 0, 1"):
        score_histogram(board, scored, Choice(methods=("b",), seed=7))


@pytest.mark.parametrize(
    "values",
    [[1.0], [2.0, 2.0], list(range(100)), [0.0] * 50 + [1.0], np.geomspace(1, 1e12, 200), [-1e300, 1e300]],
)
def test_bins_rise_and_hold_what_is_finite(values: list[float]) -> None:
    held = np.array(values, np.float64)
    edges, logarithmic = histogram_edges(held)
    assert (np.diff(edges) > 0).all()
    assert np.isfinite(edges).all()
    assert edges[0] <= held.min()
    assert held.max() <= edges[-1]
    assert logarithmic == (len(held) == 200)


def test_bins_are_as_wide_as_freedman_and_diaconis_say() -> None:
    edges, _ = histogram_edges(np.linspace(0, 1, 1000))
    assert len(edges) - 1 == np.ceil(1 / (2 * 0.5 / 1000 ** (1 / 3)))


def test_infinite_scores_are_counted_outside() -> None:
    board = board_of(["a"], {"x": ["0"]})

    def endless(record):  # type: ignore[no-untyped-def]
        labels, scores = scored(record)
        scores[:2] = -np.inf, np.inf
        return labels, scores

    assert score_histogram(board, endless).outside == (1, 1)


def test_every_kind_has_a_title_and_words() -> None:
    assert set(KINDS) == set(EVERY)
    for kind in EVERY:
        data = drawing(kind)
        assert data.kind == kind
        assert "A toy suite" in data.title
        assert len(data.description) > 40
        assert "nan" not in data.description


def test_mistakes_say_what_is_allowed() -> None:
    sources = Sources(board=board_of(["a", "b"], {"x": ["0", "1"]}))
    for kind, choice, words in (
        ("hetmap", Choice(), "did you mean 'heatmap'"),
        ("heatmap", Choice(dataset="z"), "no data set 'z'"),
        ("heatmap", Choice(rate=0.5), "no contamination rate 0.5; available: 0"),
        ("heatmap", Choice(methods=("aa",)), "no method 'aa'"),
        ("heatmap", Choice(setting="few-shot"), "no method of this suite has the setting 'few-shot'"),
        (
            "heatmap",
            Choice(seed=1),
            "heatmap takes no --seed; it takes --setting, --rate, --dataset, --method",
        ),
        ("roc", Choice(), "choose it with --task; available: x/0, x/1"),
        ("roc", Choice(task="x/7"), "no task 'x/7'"),
        ("contamination", Choice(), "need two rates or more"),
    ):
        with pytest.raises(AnobenchError) as caught:
            prepare(kind, sources, choice)
        assert words in str(caught.value)


def test_nothing_but_failures_is_said() -> None:
    plan = make_plan([row("a"), row("b")], columns(x=["0"]))
    records = {entry.cell.key: failure(entry.cell) for entry in plan.entries}
    sources = Sources(board=Board(plan, records))
    with pytest.raises(FigureError, match="no method has all of its cells"):
        prepare("pareto", sources)
    with pytest.raises(FigureError, match="no method has scores on x/0"):
        prepare("roc", sources)
    with pytest.raises(FigureError, match="a has no scores on x/0, clean: failed"):
        prepare("roc", sources, Choice(methods=("a",)))
    with pytest.raises(FigureError, match="without failed or missing cells; 0 of 2"):
        prepare("critical-difference", sources)
    assert set(heat_map(sources.board).values) == {(None,)}


def test_an_empty_plan_is_said() -> None:
    board = Board(make_plan([], []), {})
    for kind in KINDS:
        with pytest.raises(FigureError):
            prepare(kind, Sources(board=board))


def test_a_training_course_is_in_order_and_the_mean_over_seeds() -> None:
    data = training_courses(trained(["a", "b"], {"x": ["0", "1"]}))
    assert data.unit == "mini-batches"
    assert [panel.title for panel in data.panels] == ["x/0", "x/1"]
    course = next(course for course in data.panels[0].courses if course.method.label == "a")
    assert course.at == (0, 200, 400, 600, 1000), "by number, not by letter"
    assert course.aurocs[0] == pytest.approx(0.701)
    assert course.aurocs[2] == pytest.approx(0.757)
    assert course.anomalous[0] == pytest.approx(2.5)
    assert course.normal[-1] == pytest.approx(1 / 21)
    assert "a 70.1 after 0, at best 75.7 after 400, at last 60.1 after 1,000" in data.description
    assert "Mean over 2 seeds" in data.note
    assert "seeds" not in training_courses(trained(["a"], {"x": ["0"]}, seeds=1)).note


def test_a_training_course_needs_records_that_hold_states() -> None:
    with pytest.raises(FigureError, match="selection=oracle"):
        training_courses(board_of(["a"], {"x": ["0"]}))
    board = trained(["a"], {"x": ["0"]})
    old = {record.cell.key: replace(record, candidates={}) for record in board.records()}
    with pytest.raises(FigureError, match="no record of this suite holds"):
        training_courses(Board(board.plan, old))
    parameters = {
        key: replace(record, candidates={"nu=0.1, gamma=2": {"auroc": 0.5}}) for key, record in old.items()
    }
    with pytest.raises(FigureError, match="no record of this suite holds"):
        training_courses(Board(board.plan, parameters))


def test_only_some_tasks_have_their_training_course_drawn() -> None:
    board = trained(["a"], {"x": [str(at) for at in range(6)]})
    data = training_courses(board)
    assert len(data.panels) == 4
    assert "2 other tasks not shown" in data.note
    (panel,) = training_courses(board, Choice(task="x/5")).panels
    assert panel.title == "x/5"


def test_resamples_keep_each_class() -> None:
    labels = np.array([0, 1, 1, 0, 1, 1, 1, 0], np.uint8)
    counts = resample(labels, draws=4000)
    assert counts.shape == (8, 4000)
    for label, n in ((0, 3), (1, 5)):
        held = counts[labels == label]
        assert (held.sum(axis=0) == n).all()
        # Binomial with 1 / n: its mean, variance and share of nothing; five standard errors.
        assert held.mean(axis=1) == pytest.approx(np.ones(n), abs=0.08)
        assert held.var(axis=1) == pytest.approx(np.full(n, 1 - 1 / n), rel=0.2)
        assert (held == 0).mean() == pytest.approx((1 - 1 / n) ** n, abs=0.03)
    assert (counts == resample(labels, draws=4000)).all()
    assert (counts != resample(labels, draws=4000, seed=1)).any()


def test_data_sets_that_share_images_are_one_block_of_the_diagram() -> None:
    """By what the evidence says; without it variants of one adapter are."""
    names = {f"data{at}": ["0"] for at in range(6)} | {"data5[size=64]": ["0"], "mirror": ["0"]}
    plan = make_plan(tuple(row(f"m{at}") for at in range(3)), columns(**names))
    board = Board(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row))
    assert critical_differences(board).datasets == 7
    of = {name: at for at, name in enumerate(names)} | {"mirror": 0}
    assert critical_differences(board, of=of).datasets == 7
    assert critical_differences(board, of=of | {"data5[size=64]": 5}).datasets == 6


def test_losses_are_means_over_seeds_of_equal_parts_by_task() -> None:
    data = loss_curves(losing(["a", "b"], {"x": ["0", "1"]}, points=4))
    assert [panel.title for panel in data.panels] == ["a", "a: first", "b", "b: first"]
    first, second = data.panels[0].tasks
    assert first == pytest.approx([1.5 / (1 + at) for at in range(4)])  # seeds 0 and 1: starts 1 and 2
    assert second == pytest.approx([2.5 / (1 + at) for at in range(4)])
    assert "a: from 2 to 0.5." in data.description
    assert "Mean over 2 seeds" in data.note
    many = loss_curves(losing([f"m{at}" for at in range(6)], {"x": ["0"]}))
    assert len(many.panels) == MOST_TRAININGS
    assert "3 other trainings not shown" in many.note
    assert {len(course) for panel in many.panels for course in panel.tasks} == {MOST_POINTS}
    by_four = [sum(1.5 / (1 + at) for at in range(4 * part, 4 * part + 4)) / 4 for part in range(MOST_POINTS)]
    assert many.panels[0].tasks[0] == pytest.approx(by_four)


def test_losses_need_records_that_hold_some() -> None:
    with pytest.raises(FigureError, match="no record of this suite holds the course of a loss"):
        loss_curves(board_of(["a"], {"x": ["0"]}))
