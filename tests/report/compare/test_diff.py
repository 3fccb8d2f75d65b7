"""What moved between two sides: tested where there are scores, said plainly where there are none."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.metrics.image import auroc
from bench.report.compare import sides
from bench.report.compare.change import Change
from bench.report.compare.diff import Diff, diff
from bench.report.compare.sides import ResultKey, is_export, read_side
from bench.report.compare.text import diff_text
from bench.report.export import export_csv
from tests.report.report_factory import columns, failure, make_plan, make_record, make_records, row

DN2, FOREST = row("dn2[k=2]"), row("forest", stochastic=True)
DIGITS = columns(digits=["0", "1"])
LABELS = np.repeat([0, 1], 60).astype(np.uint8)
Make = Callable[[Entry], np.ndarray]


def truth(name: str = "digits") -> Truth:
    return Truth(
        labels=LABELS, sources=(name,), which=np.zeros(120, np.uint8), rows=np.arange(120, dtype=np.int64)
    )


def noise(entry: Entry, salt: int = 0) -> np.ndarray:
    rng = np.random.default_rng([salt, entry.row, entry.column, entry.cell.seed or 0])
    return rng.standard_normal(120).astype(np.float32)


def good(entry: Entry) -> np.ndarray:
    return noise(entry) + 2.0 * LABELS


def archive_of(folder: Path, plan: Plan, scores: Make = good, **more: Any) -> Path:
    """Write an archive with real scores."""
    archive = Archive(folder)
    archive.write_plan(plan)
    test = more.pop("truth", truth())
    for entry in plan.entries:
        values = scores(entry)
        record = make_record(entry.cell, float(auroc(LABELS, values)), truth=test.identity if test else "")
        archive.write(replace(record, **more), values, test)
    return folder


def compared(a: Path, b: Path, **more: Any) -> Diff:
    return diff(read_side(str(a)), read_side(str(b)), **more)


def worse_on_task_0(entry: Entry) -> np.ndarray:
    return good(entry) if entry.column or entry.row else noise(entry, 1) + 0.3 * LABELS


PLAN = make_plan((DN2, FOREST), DIGITS)


def test_the_same_is_the_same(tmp_path: Path) -> None:
    a, b = archive_of(tmp_path / "a", PLAN), archive_of(tmp_path / "b", PLAN)
    found = compared(a, b)
    assert [change.state for change in found.changes] == ["same"] * 4
    assert found.exit_status == 0
    assert "4 compared (method × task × rate): 0 worse, 0 better" in diff_text(found)


def paired_test(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Return DeLong's difference and standard error, and t's p value, from every pair of images."""
    value, parts = [], []
    for scores in (before, after):
        wins = np.sign(scores[LABELS == 1][:, None] - scores[LABELS == 0][None, :]) / 2 + 0.5
        value.append(wins.mean())
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    each = [(b - a).var(ddof=1) / len(a) for a, b in zip(*parts, strict=True)]
    freedom = sum(each) ** 2 / sum(part**2 / 61 for part in each) - 2
    difference, se = value[1] - value[0], float(np.sqrt(sum(each)))
    return difference, se, float(2 * stats.t.sf(abs(difference) / se, freedom))


def by_place(found: Diff) -> dict[tuple[str, str], Change]:
    return {(each.place.method, each.place.task): each for each in found.changes}


def test_a_significant_drop_is_found_on_its_task_and_in_the_mean(tmp_path: Path) -> None:
    a, b = archive_of(tmp_path / "a", PLAN), archive_of(tmp_path / "b", PLAN, worse_on_task_0)
    found = compared(a, b)
    (moved,) = [change for change in found.changes if change.state == "moved"]
    (mean,) = [change for change in found.means if change.state == "moved"]
    entry = next(entry for entry in PLAN.entries if entry.row == 0 and entry.column == 0)
    difference, se, p = paired_test(good(entry), worse_on_task_0(entry))
    assert moved.difference == pytest.approx(difference)
    assert moved.se == pytest.approx(se)
    assert moved.p == pytest.approx(2 * p)  # half of the level goes to single tasks; no other moved
    assert (mean.tasks, mean.difference, mean.se) == (2, pytest.approx(difference / 2), pytest.approx(se / 2))
    assert mean.place.task == ""
    assert (found.verdict(moved), found.verdict(mean), found.exit_status) == ("worse", "worse", 1)
    back = compared(b, a)
    assert (back.verdict(back.changes[0]), back.exit_status) == ("better", 0)
    text = diff_text(found)
    assert "Worse: auroc" in text
    assert "mean of 2 tasks" in text
    assert "Paired t tests over test images (DeLong's variance) of methods' means over their tasks" in text


def test_noise_is_no_verdict_and_holm_counts_what_moved(tmp_path: Path) -> None:
    def jittered(entry: Entry) -> np.ndarray:
        return good(entry) + 0.05 * noise(entry, 2)

    plan = make_plan((DN2, row("knn")), DIGITS)
    found = compared(archive_of(tmp_path / "a", plan), archive_of(tmp_path / "b", plan, jittered))
    moved = [change for change in found.changes if change.state == "moved"]
    assert len(moved) == 4
    assert all(change.p is not None and change.p > 0.05 for change in moved)
    assert found.exit_status == 0
    assert "Moved, but not significantly" in diff_text(found)
    alone = min(paired_test(good(entry), jittered(entry))[2] for entry in plan.entries)
    assert min(change.p or 1 for change in moved) == pytest.approx(min(1, 2 * 4 * alone))


def test_images_that_tasks_share_count_once(tmp_path: Path) -> None:
    """The same change on two tasks of the same images is as uncertain as on one; of other images, less."""
    plan = make_plan((DN2,), DIGITS)

    def scores(_: Entry) -> np.ndarray:
        return good(plan.entries[0])

    def lower(_: Entry) -> np.ndarray:
        return good(plan.entries[0]) + noise(plan.entries[0], 3)

    _, se, _ = paired_test(scores(plan.entries[0]), lower(plan.entries[0]))
    for name, of, share in (("one", lambda _: truth(), 1.0), ("two", lambda e: truth(e.cell.task), 0.5**0.5)):
        for side, make in (("a", scores), ("b", lower)):
            write_each(tmp_path / name / side, plan, make, of)
        (mean,) = compared(tmp_path / name / "a", tmp_path / name / "b").means
        assert mean.se == pytest.approx(se * share)


def write_each(folder: Path, plan: Plan, scores: Make, of: Callable[[Entry], Truth]) -> Path:
    """Write an archive where each cell has a test set of its own."""
    archive = Archive(folder)
    archive.write_plan(plan)
    for entry in plan.entries:
        test, values = of(entry), scores(entry)
        archive.write(
            make_record(entry.cell, float(auroc(LABELS, values)), truth=test.identity), values, test
        )
    return folder


FIVE = (0, 1, 2, 3, 4)


def forest(tasks: int, seeds: Sequence[int]) -> Plan:
    return make_plan((FOREST,), columns(digits=[str(at) for at in range(tasks)]), seeds=seeds)


def other_numbers(entry: Entry) -> np.ndarray:
    return noise(entry, 7) + 2.0 * LABELS


@pytest.mark.parametrize(
    ("tasks", "seeds", "needed"), [(1, 1, 5), (1, 4, 5), (2, 2, 3), (3, 1, 2), (10, 1, 2)]
)
@pytest.mark.parametrize("loss", [0.0, 1.5])
def test_with_too_few_seeds_it_cannot_be_told(
    tmp_path: Path, tasks: int, seeds: int, needed: int, loss: float
) -> None:
    plan = forest(tasks, range(seeds))
    a = archive_of(tmp_path / "a", plan)
    b = archive_of(tmp_path / "b", plan, lambda entry: other_numbers(entry) - np.float32(loss) * LABELS)
    found = compared(a, b)
    (change,) = found.methods
    assert (change.seeds, change.needed, change.p) == (seeds, needed, None)
    assert (found.verdict(change), found.exit_status) == ("untold", 0)
    text = diff_text(found)
    assert "Cannot be told: auroc" in text
    assert f"{seeds} ({needed})" in text
    assert "1 cannot be told" in text
    assert f"with {needed} seeds on both sides every method could be" in text
    assert compared(a, a).exit_status == 0
    assert "annot be told" not in diff_text(compared(a, a))


def test_one_more_seed_than_too_few_is_told(tmp_path: Path) -> None:
    for tasks, seeds in ((1, 5), (2, 3), (10, 2)):
        plan = forest(tasks, range(seeds))
        a = archive_of(tmp_path / f"{tasks}a", plan)
        b = archive_of(tmp_path / f"{tasks}b", plan, lambda entry: noise(entry, 7) + 0.2 * LABELS)
        found = compared(a, b)
        assert [found.verdict(change) for change in found.methods] == ["worse"]
        assert found.exit_status == 1


def test_scores_that_differ_are_not_the_same_though_the_metric_is(tmp_path: Path) -> None:
    def perfect(by: float) -> Make:
        return lambda entry: by * noise(entry) + np.float32(100.0) * LABELS

    plan = forest(1, (0,))
    a, b = (archive_of(tmp_path / str(by), plan, perfect(by)) for by in (1, 2))
    found = compared(a, b)
    assert found.verdict(found.changes[0]) == "untold"
    deterministic = make_plan((DN2,), columns(digits=["0"]))
    a, b = (archive_of(tmp_path / f"dn2{by}", deterministic, perfect(by)) for by in (1, 2))
    assert compared(a, b).changes[0].state == "same"


def test_seeds_are_paired_and_their_variance_is_added(tmp_path: Path) -> None:
    plan = forest(1, FIVE)

    def lower(entry: Entry) -> np.ndarray:
        return good(entry) - np.float32(0.2 * (entry.cell.seed or 0)) * LABELS

    (change,) = compared(archive_of(tmp_path / "a", plan), archive_of(tmp_path / "b", plan, lower)).changes
    fields = [(auroc(LABELS, good(e)), auroc(LABELS, lower(e))) for e in plan.entries]
    d = np.array([float(after) - float(before) for before, after in fields])
    images = parts_of(plan, good, lower)
    assert change.seeds == 5
    assert change.difference == pytest.approx(d.mean())
    assert change.se == pytest.approx(np.sqrt(images + d.var(ddof=1) / 5))


def parts_of(plan: Plan, before: Make, after: Make) -> float:
    """Return the variance over images of the difference of means over seeds, from every pair of images."""
    sums: list[np.ndarray] = []
    for axis in (1, 0):
        each = []
        for make, sign in ((before, -1), (after, 1)):
            for entry in plan.entries:
                scores = make(entry)
                wins = np.sign(scores[LABELS == 1][:, None] - scores[LABELS == 0][None, :]) / 2
                each.append(sign * wins.mean(axis=axis) / len(plan.entries))
        sums.append(np.sum(each, axis=0))
    return float(sum(part.var(ddof=1) / len(part) for part in sums))


def test_other_seeds_are_independent(tmp_path: Path) -> None:
    first, second = forest(1, FIVE), forest(1, (5, 6, 7, 8, 9))
    (change,) = compared(archive_of(tmp_path / "a", first), archive_of(tmp_path / "b", second)).changes
    values = [np.array([auroc(LABELS, good(e)) for e in plan.entries]) for plan in (first, second)]
    over_seeds = sum(each.var(ddof=1) / 5 for each in values)
    before = np.mean([good(e) for e in first.entries], axis=0)
    assert before.shape == (120,)
    assert change.se is not None
    assert change.se**2 > over_seeds
    assert change.seeds == 5
    few = compared(tmp_path / "a", archive_of(tmp_path / "c", forest(1, (8,))))
    assert [few.verdict(each) for each in few.changes] == ["untold"]


def test_seeds_with_test_sets_of_their_own(tmp_path: Path) -> None:
    plan = make_plan((FOREST,), columns(digits=["0"]), rates=(0.1,), source="test", seeds=FIVE)

    def lower(entry: Entry) -> np.ndarray:
        return noise(entry, 1) + 0.3 * LABELS

    for name, scores in (("a", good), ("b", lower)):
        write_each(tmp_path / name, plan, scores, lambda entry: truth(f"draw {entry.cell.seed}"))
    (change,) = compared(tmp_path / "a", tmp_path / "b").changes
    tests = np.array([paired_test(good(entry), lower(entry)) for entry in plan.entries])
    assert change.difference == pytest.approx(tests[:, 0].mean())
    images, seeds = (tests[:, 1] ** 2).sum() / 25, tests[:, 0].var(ddof=1) / 5
    assert change.se == pytest.approx(np.sqrt(images + seeds), rel=0.02)  # with n, not n - 1, of a class


def test_draws_of_a_deterministic_method_are_a_condition(tmp_path: Path) -> None:
    plan = make_plan((DN2,), columns(digits=["0"]), rates=(0.1,), seeds=(0,))
    a = archive_of(tmp_path / "a", plan)
    b = archive_of(tmp_path / "b", plan, lambda entry: noise(entry, 1) + 0.3 * LABELS)
    found = compared(a, b)
    assert (found.changes[0].seeds, found.verdict(found.changes[0])) == (0, "worse")


def test_a_collapse_on_one_of_many_tasks_is_found(tmp_path: Path) -> None:
    plan = make_plan((DN2,), columns(digits=[str(at) for at in range(30)]))

    def collapsed(entry: Entry) -> np.ndarray:
        return good(entry) + noise(entry, 3) if entry.column else noise(entry, 1)

    def jittered(entry: Entry) -> np.ndarray:
        return good(entry) + 0.5 * noise(entry, 3) if entry.column else noise(entry, 1) + 0.5 * LABELS

    for after in (collapsed, jittered):
        found = compared(
            archive_of(tmp_path / f"{after.__name__}a", plan, good),
            archive_of(tmp_path / f"{after.__name__}b", plan, after),
        )
        assert found.verdict(by_place(found)["dn2", "0"]) == "worse"
        assert found.exit_status == 1


def test_data_sets_weigh_alike_in_the_mean(tmp_path: Path) -> None:
    plan = make_plan((DN2,), columns(digits=["0", "1", "2"], textures=["a"]))
    values = {"digits": 0.9, "textures": 0.7}
    for name, by in (("a", 0.0), ("b", 0.1)):
        records = make_records(
            plan, lambda e, by=by: values[e.cell.dataset] - by * (e.cell.dataset == "textures")
        )
        (tmp_path / f"{name}.csv").write_text(export_csv(plan, records))
    (mean,) = compared(tmp_path / "a.csv", tmp_path / "b.csv").means
    assert (mean.before, mean.after) == (pytest.approx(0.8), pytest.approx(0.75))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"truth": None}, "no labels were kept"),
        ({"truth": truth("another test set")}, "the test sets differ"),
    ],
)
def test_what_cannot_be_tested_says_why(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    a = archive_of(tmp_path / "a", PLAN)
    b = archive_of(tmp_path / "b", PLAN, worse_on_task_0, **more)
    found = compared(a, b)
    (moved,) = [change for change in found.changes if change.state == "moved"]
    assert why in moved.why
    assert moved.p is None
    assert found.exit_status == 1  # it dropped by far more than the tolerance: a gate fails closed
    assert "count as a difference" in diff_text(found)
    assert compared(a, b, tolerance=1.0).exit_status == 0


def test_damaged_scores_are_no_crash(tmp_path: Path) -> None:
    a, b = archive_of(tmp_path / "a", PLAN), archive_of(tmp_path / "b", PLAN, worse_on_task_0)
    for path in (b / "records").glob("??/*.npz"):
        path.write_bytes(b"torn")
    (moved,) = [change for change in compared(a, b).changes if change.state == "moved"]
    assert "checksum" in moved.why


@pytest.mark.parametrize(("signs", "worse"), [((1,) * 6, True), ((1, -1) * 3, False)])
def test_without_any_variance_a_difference_is_as_certain_as_so_many_images_allow(
    tmp_path: Path, signs: tuple[int, ...], worse: bool
) -> None:
    """Seeds that go from all right to all wrong, or one each way, so that their mean stays."""
    plan = forest(1, range(6))

    def turned(by: int) -> Make:
        return lambda entry: np.float32(by * signs[entry.cell.seed or 0]) * LABELS

    a, b = archive_of(tmp_path / "a", plan, turned(1)), archive_of(tmp_path / "b", plan, turned(-1))
    found = compared(a, b)
    (change,) = found.changes
    assert change.state == "moved"
    assert change.p == (pytest.approx(2 / math.comb(120, 60)) if worse else 1.0)
    assert found.exit_status == worse


def test_no_more_is_claimed_than_so_few_images_allow(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], 3).astype(np.uint8)
    test = Truth(
        labels=labels, sources=("few",), which=np.zeros(6, np.uint8), rows=np.arange(6, dtype=np.int64)
    )
    plan = make_plan((DN2,), columns(digits=["0"]))
    for name, sign in (("a", 1), ("b", -1)):
        archive, values = Archive(tmp_path / name), np.float32(sign) * labels
        archive.write_plan(plan)
        for entry in plan.entries:
            record = make_record(entry.cell, float(sign > 0), truth=test.identity)
            archive.write(record, values, test)
    found = compared(tmp_path / "a", tmp_path / "b")
    assert found.changes[0].p == pytest.approx(0.1)
    assert found.exit_status == 0


def test_what_is_at_the_level_or_the_tolerance_is_no_change() -> None:
    place = ResultKey("", "d", "t", "m", "", "", "0.0")
    found = Diff(
        metric="auroc",
        lower_is_better=False,
        alpha=0.05,
        tolerance=0.25,
        changes=(),
        only_before=(),
        only_after=(),
    )
    moved = Change(place=place, state="moved", before=0.75, after=0.5)
    assert found.verdict(moved) == ""
    assert replace(found, tolerance=0.24).verdict(moved) == "worse"
    assert found.verdict(replace(moved, p=0.05)) == ""
    assert found.verdict(replace(moved, p=0.04)) == "worse"
    given = replace(found, tolerance=0.3)
    assert given.verdict(replace(moved, p=0.04)) == "worse"
    assert given.verdict(replace(moved, p=0.04, why="no scores")) == ""


def test_only_seeds_and_metrics_that_both_sides_have_are_compared(tmp_path: Path) -> None:
    three, two = (
        make_plan((FOREST,), columns(digits=["0"]), seeds=seeds) for seeds in ((0, 1, 2), (1, 2, 3))
    )
    values = {0: 0.1, 1: 0.8, 2: 0.9, 3: 0.2}
    for name, plan in (("a", three), ("b", two)):
        records = make_records(plan, lambda entry: values[entry.cell.seed or 0])
        (tmp_path / f"{name}.csv").write_text(export_csv(plan, records))
    (change,) = compared(tmp_path / "a.csv", tmp_path / "b.csv").changes
    assert (change.state, change.before, change.after) == ("same", pytest.approx(0.85), pytest.approx(0.85))
    records = {key: replace(each, metrics={"ap": 0.5}) for key, each in records.items()}
    (tmp_path / "c.csv").write_text(export_csv(two, records))
    found = compared(tmp_path / "a.csv", tmp_path / "c.csv")
    assert ([each.state for each in found.changes], found.exit_status) == (["holes"], 3)


def test_one_seed_that_moved_is_enough(tmp_path: Path) -> None:
    plan = make_plan((FOREST,), columns(digits=["0"]))
    for name, second in (("a", 0.9), ("b", 0.7)):
        records = make_records(plan, lambda entry, second=second: second if entry.cell.seed else 0.9)
        (tmp_path / f"{name}.csv").write_text(export_csv(plan, records))
    (change,) = compared(tmp_path / "a.csv", tmp_path / "b.csv").changes
    assert change.state == "moved"
    assert change.difference == pytest.approx(-0.1)


def changed_code(plan: Plan) -> Plan:
    def other(entry: Entry) -> Entry:
        data = entry.cell.canonical() | {"code": {"method": "new"}, "data_fingerprint": "other"}
        return replace(entry, cell=Cell.from_canonical(data))

    return replace(plan, entries=tuple(other(entry) for entry in plan.entries))


def test_it_names_what_changed_in_the_keys(tmp_path: Path) -> None:
    a = archive_of(tmp_path / "a", PLAN)
    found = compared(a, archive_of(tmp_path / "b", changed_code(PLAN), worse_on_task_0))
    assert {change.changed for change in found.changes} == {("method's code", "data")}
    assert "method's code, data" in diff_text(found)


def write_csv(path: Path, plan: Plan, value: float | None = 0.9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(export_csv(plan, make_records(plan, lambda _: value)))
    return path


def test_csvs_have_plain_differences_and_say_so(tmp_path: Path) -> None:
    a, b = write_csv(tmp_path / "a.csv", PLAN), write_csv(tmp_path / "b.csv", PLAN, 0.89)
    found = compared(a, b)
    assert found.exit_status == 1
    assert "Not tested over images (no scores: at least one side is a CSV: 4)" in diff_text(found)
    assert compared(a, write_csv(tmp_path / "c.csv", PLAN, 0.897)).exit_status == 0
    assert compared(b, a).exit_status == 0
    assert "mean of 2 tasks" in diff_text(found)


def csv_of(path: Path, plan: Plan, value: Callable[[Entry], float]) -> Path:
    path.write_text(export_csv(plan, make_records(plan, value)))
    return path


def spread(by: float, sign: int = 1) -> Callable[[Entry], float]:
    return lambda e: 0.9 - by + sign * 0.02 * ((e.cell.seed or 0) - 1)


def test_of_csvs_seeds_alone_are_tested(tmp_path: Path) -> None:
    plan = make_plan((FOREST,), columns(digits=["0", "1"]), seeds=(0, 1, 2))
    a = csv_of(tmp_path / "a.csv", plan, spread(0.0))
    paired = compared(a, csv_of(tmp_path / "b.csv", plan, spread(0.03)))
    assert paired.exit_status == 1  # every seed lost the same
    crossed = compared(a, csv_of(tmp_path / "c.csv", plan, spread(0.03, sign=-1)))
    assert crossed.exit_status == 0  # no more than seeds explain
    d = np.array([-0.03 - 0.04 * (seed - 1) for seed in range(3)])
    single = crossed.changes[0]
    assert single.p == pytest.approx(min(1.0, 4 * stats.ttest_1samp(d, 0).pvalue))
    (mean,) = crossed.means
    assert mean.se == pytest.approx(np.sqrt(d.var(ddof=1) / 3 / 2))


def test_of_csvs_a_single_seed_tells_nothing_unless_the_method_is_deterministic(tmp_path: Path) -> None:
    plan = make_plan((FOREST,), columns(digits=["0", "1"]), seeds=(0,))
    found = compared(*(csv_of(tmp_path / f"{by}.csv", plan, spread(by)) for by in (0.0, 0.3)))
    assert [found.verdict(each) for each in found.methods] == ["untold"]
    assert (found.methods[0].needed, found.exit_status) == (2, 0)
    # The seed of a draw is no seed of the method: on clean data it has none.
    plan = make_plan((DN2,), columns(digits=["0"]), seeds=(0,), rates=(0.0, 0.1))
    found = compared(*(csv_of(tmp_path / f"dn2{by}.csv", plan, spread(by)) for by in (0.0, 0.3)))
    assert [found.verdict(each) for each in found.methods] == ["worse"] * 2


def test_other_metrics_are_not_tested_and_fpr95_is_better_when_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The numbers are made up: not those of the scores.
    monkeypatch.setattr(sides, "load_verified", lambda archive, keys: archive.load_all(keys))
    a = archive_of(tmp_path / "a", PLAN, metrics={"auroc": 0.9, "fpr95": 0.3})
    b = archive_of(tmp_path / "b", PLAN, metrics={"auroc": 0.9, "fpr95": 0.2})
    assert compared(a, b, metric="fpr95").exit_status == 0
    found = compared(b, a, metric="fpr95")
    assert (found.exit_status, found.changes[0].why) == (1, "there is no test of fpr95 over images")


def test_an_archive_against_a_csv_of_another_suites_name(tmp_path: Path) -> None:
    other = replace(PLAN, suite="renamed")
    a = archive_of(tmp_path / "a", PLAN)
    records = Archive(a).load_all(entry.cell.key for entry in PLAN.entries)
    (tmp_path / "b.csv").write_text(export_csv(other, records))
    assert compared(a, tmp_path / "b.csv").exit_status == 0
    assert len(compared(a, tmp_path / "b.csv").changes) == 4


def test_failing_now_is_worse_and_mended_is_better(tmp_path: Path) -> None:
    a = archive_of(tmp_path / "a", PLAN)
    b = archive_of(tmp_path / "b", PLAN)
    archive, cell = Archive(b), PLAN.entries[0].cell
    archive.write(failure(cell), None)
    found = compared(a, b)
    assert [change.state for change in found.changes].count("failed") == 1
    assert found.exit_status == 1
    assert "failed" in diff_text(found)
    assert compared(b, a).exit_status == 0


def test_failing_on_other_seeds_is_worse_too(tmp_path: Path) -> None:
    for seeds in ((0, 1), (1, 2), (2, 3)):
        plan = forest(1, seeds)
        records = {entry.cell.key: failure(entry.cell) for entry in plan.entries if entry.cell.seed}
        (tmp_path / f"{seeds}.csv").write_text(export_csv(plan, records))
        a = csv_of(tmp_path / "a.csv", forest(1, (0, 1)), lambda _: 0.9)
        found = compared(a, tmp_path / f"{seeds}.csv")
        assert ([each.state for each in found.changes], found.exit_status) == (["failed"], 1)
        assert found.only_before == ()
        assert compared(tmp_path / f"{seeds}.csv", a).exit_status == 0


def test_nothing_in_common_and_all_failed(tmp_path: Path) -> None:
    a = write_csv(tmp_path / "a.csv", PLAN)
    found = compared(a, write_csv(tmp_path / "b.csv", make_plan((row("lof"),), DIGITS)))
    assert found.exit_status == 3
    assert (len(found.only_before), len(found.only_after)) == (4, 2)
    assert {place.method for place in found.only_after} == {"lof"}
    assert {place.method for place in found.only_before} == {"dn2", "forest"}
    text = diff_text(found)
    assert "Only before: dn2[k=0] (2 tasks), forest[k=1] (2 tasks)" in text
    assert "Nothing to compare" in text
    assert "Only before: dn2[k=0] (2 tasks), and 1 other method" in diff_text(found, limit=1)
    assert "other method" not in text
    failed = {entry.cell.key: failure(entry.cell) for entry in PLAN.entries}
    (tmp_path / "f.csv").write_text(export_csv(PLAN, failed))
    assert compared(tmp_path / "f.csv", tmp_path / "f.csv").exit_status == 3
    assert compared(a, tmp_path / "f.csv").exit_status == 1


def without(plan: Plan, row: int, column: int | None = None) -> Plan:
    """Return the plan without a method, or without its cells on one task."""
    kept = [e for e in plan.entries if e.row != row or column not in (None, e.column)]
    return replace(plan, entries=tuple(kept))


@pytest.mark.parametrize("column", [None, 0])
@pytest.mark.parametrize("planned", [True, False])
def test_a_method_or_a_task_of_it_that_vanished_is_a_finding(
    tmp_path: Path, planned: bool, column: int | None
) -> None:
    a = archive_of(tmp_path / "a", PLAN)
    b = archive_of(tmp_path / "b", without(PLAN, 0, column))
    if planned:  # and never run
        Archive(b).write_plan(PLAN)
    found = compared(a, b)
    gone = [place.task for place in found.only_before]
    assert gone == (["0", "1"] if column is None else ["0"])
    assert found.exit_status == 1
    named = "2 tasks" if column is None else "digits/0"
    assert f"Only before: dn2[k=0] ({named})" in diff_text(found)
    assert "counts as worse" in diff_text(found)
    assert compared(b, a).exit_status == 0
    assert "Only after: dn2[k=0]" in diff_text(compared(b, a))


def test_a_rate_or_a_metric_that_vanished_is_a_finding(tmp_path: Path) -> None:
    two, one = (make_plan((DN2,), DIGITS, rates=rates) for rates in ((0.0, 0.1), (0.0,)))
    a, b = write_csv(tmp_path / "a.csv", two), write_csv(tmp_path / "b.csv", one)
    assert compared(a, b).exit_status == 1
    assert {place.contamination for place in compared(a, b).only_before} == {"0.1"}
    records = make_records(two, lambda _: 0.9)
    key = two.entries[0].cell.key
    records[key] = replace(records[key], metrics={"ap": 0.5})
    (tmp_path / "c.csv").write_text(export_csv(two, records))
    assert compared(a, tmp_path / "c.csv").exit_status == 1


def test_what_never_finished_cannot_vanish(tmp_path: Path) -> None:
    a = archive_of(tmp_path / "a", without(PLAN, 0))
    Archive(a).write_plan(PLAN)
    assert compared(a, archive_of(tmp_path / "b", without(PLAN, 0))).exit_status == 0
    failed = Archive(tmp_path / "a")
    failed.write(failure(PLAN.entries[0].cell), None)
    assert compared(a, tmp_path / "b").exit_status == 0


def test_long_lists_are_cut_and_said_to_be(tmp_path: Path) -> None:
    plan = make_plan((DN2,), columns(digits=[str(at) for at in range(30)]))
    a, b = write_csv(tmp_path / "a.csv", plan), write_csv(tmp_path / "b.csv", plan, 0.5)
    assert "… and 11 others" in diff_text(compared(a, b))
    assert "others" not in diff_text(compared(a, b), limit=31)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", ["no CSV of anobench export", "suite,dataset"]),
        ("", ["no CSV of anobench export"]),
        (export_csv(PLAN, {}).splitlines()[0] + "\ntoo,short\n", ["line 2", "write the file again"]),
        (
            export_csv(PLAN, {}).splitlines()[0] + "\ns,d,t,m,,b,0.0,,auroc,high,ok\n",
            ["line 2", "write the file again"],
        ),
        (export_csv(PLAN, {}).splitlines()[0] + "\n", ["holds no results"]),
    ],
)
def test_a_file_that_is_no_export(tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(ArchiveError) as raised:
        read_side(str(tmp_path / "x.csv"))
    for word in words:
        assert word in str(raised.value)


def git(*words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *words],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git repository whose two commits hold results/toy.csv with 0.9 and with 0.8."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-q", ".")
    for value in (0.9, 0.8):
        write_csv(tmp_path / "results" / "toy.csv", PLAN, value)
        (tmp_path / "results" / "published.csv").write_text("source,label\n")
        (tmp_path / "results" / "figure.png").write_bytes(b"\x89PNG\xff")
        git("add", "-A")
        git("commit", "-q", "-m", f"{value}")
    return tmp_path


@pytest.mark.parametrize("before", ["HEAD~1", "HEAD~1:results", "HEAD~1:results/", "HEAD~1:results/toy.csv"])
@pytest.mark.parametrize("after", ["HEAD", "results", "results/toy.csv"])
@pytest.mark.usefixtures("repository")
def test_commits(before: str, after: str) -> None:
    found = diff(read_side(before), read_side(after))
    assert [change.difference for change in found.changes] == pytest.approx([-0.1] * 4)
    assert [change.difference for change in found.means] == pytest.approx([-0.1] * 2)
    assert found.exit_status == 1


def test_a_commits_uppermost_folder(repository: Path) -> None:
    write_csv(repository / "toy.csv", PLAN, 0.7)
    git("add", "-A")
    git("commit", "-q", "-m", "uppermost")
    (change, *_) = diff(read_side("HEAD:"), read_side("HEAD:results")).changes
    assert (change.before, change.after) == pytest.approx((0.7, 0.8))


@pytest.mark.parametrize("given", ["HEAD~9:results", "nothing", "HEAD:nowhere", "-x", "--output=y:z", ""])
def test_what_is_nowhere(repository: Path, given: str) -> None:
    with pytest.raises(ArchiveError, match="expected a results folder"):
        read_side(given)
    assert sorted(path.name for path in repository.iterdir()) == [".git", "results"]


def test_one_suite_of_several(tmp_path: Path) -> None:
    for suite in ("one", "two"):
        archive_of(tmp_path, replace(PLAN, suite=suite))
    assert read_side(str(tmp_path)).suites == {"one", "two"}
    assert len(compared(tmp_path, tmp_path).changes) == 8
    assert read_side(str(tmp_path), "two").suites == {"two"}
    with pytest.raises(ArchiveError, match="did you mean 'two'"):
        read_side(str(tmp_path), "twoo")
    place = ResultKey("one", "d", "t", "m", "", "", "0.0")
    assert place.suite == "one"


def test_records_are_what_is_compared_not_their_environment(tmp_path: Path) -> None:
    a = archive_of(tmp_path / "a", PLAN)
    b = archive_of(tmp_path / "b", PLAN, environment={"cpu": "another"}, created="2026-01-01T00:00:00+00:00")
    assert compared(a, b).exit_status == 0
    assert isinstance(Archive(a).load(PLAN.entries[0].cell.key), Record)


def test_an_export_with_the_line_ends_of_windows_is_one() -> None:
    text = export_csv(PLAN, {})
    assert is_export(text)
    assert is_export(text.replace("\n", "\r\n"))
    assert not is_export("source,label\n")
