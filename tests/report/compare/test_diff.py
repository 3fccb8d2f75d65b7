"""What moved between two sides: tested where there are scores, said plainly where there are none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import ArchiveError
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.metrics.image import auroc
from bench.report.compare.diff import Change, Diff, diff
from bench.report.compare.sides import ResultKey, is_export, read_side
from bench.report.compare.text import diff_text
from bench.report.export import export_csv
from tests.report.report_factory import columns, failure, make_plan, make_record, make_records, row
from tests.stats.cases import delong_test

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


def test_a_significant_drop_is_delongs(tmp_path: Path) -> None:
    a, b = archive_of(tmp_path / "a", PLAN), archive_of(tmp_path / "b", PLAN, worse_on_task_0)
    found = compared(a, b)
    (moved,) = [change for change in found.changes if change.state == "moved"]
    entry = next(entry for entry in PLAN.entries if entry.row == 0 and entry.column == 0)
    expected = delong_test(LABELS, worse_on_task_0(entry), good(entry))
    assert moved.difference == pytest.approx(expected.estimate)
    assert moved.se == pytest.approx(expected.se)
    assert moved.p == pytest.approx(expected.p)  # the only one that moved: nothing to adjust
    assert (found.verdict(moved), found.exit_status) == ("worse", 1)
    back = compared(b, a)
    assert (back.verdict(back.changes[0]), back.exit_status) == ("better", 0)
    text = diff_text(found)
    assert "Worse: auroc" in text
    assert "DeLong's paired test on each task, Holm-adjusted, at 5" in text


def test_noise_is_no_verdict_and_holm_counts_what_moved(tmp_path: Path) -> None:
    def jittered(entry: Entry) -> np.ndarray:
        return good(entry) + 0.05 * noise(entry, 2)

    found = compared(archive_of(tmp_path / "a", PLAN), archive_of(tmp_path / "b", PLAN, jittered))
    moved = [change for change in found.changes if change.state == "moved"]
    assert len(moved) == 4
    assert all(change.p is not None and change.p > 0.05 for change in moved)
    assert found.exit_status == 0
    assert "Moved, but not significantly" in diff_text(found)
    # A drop that is significant by itself is not where it is one of many.
    alone = min(change.p or 1 for change in moved)
    assert alone >= delong_p(PLAN.entries, jittered) * 4 - 1e-9 or alone == 1.0


def delong_p(entries: tuple[Entry, ...], after: Make) -> float:
    return min(delong_test(LABELS, after(e), good(e)).p for e in entries if e.row == 0)


def test_seeds_are_averaged_and_never_count_as_n(tmp_path: Path) -> None:
    """The same change in three seeds is as uncertain as in one."""
    many = make_plan((FOREST,), columns(digits=["0"]), seeds=(0, 1, 2))
    one = make_plan((FOREST,), columns(digits=["0"]), seeds=(0,))

    def alike(_: Entry) -> np.ndarray:
        return good(many.entries[0])

    def lower(_: Entry) -> np.ndarray:
        return good(many.entries[0]) + noise(many.entries[0], 3)

    changes = [
        compared(
            archive_of(tmp_path / name / "a", plan, alike), archive_of(tmp_path / name / "b", plan, lower)
        ).changes[0]
        for name, plan in (("many", many), ("one", one))
    ]
    assert changes[0].se == pytest.approx(changes[1].se)
    assert changes[0].p == pytest.approx(changes[1].p)


def test_seeds_with_test_sets_of_their_own(tmp_path: Path) -> None:
    plan = make_plan((FOREST,), columns(digits=["0"]), rates=(0.1,), source="test")
    for name, scores in (("a", good), ("b", lambda entry: noise(entry, 1) + 0.3 * LABELS)):
        archive = Archive(tmp_path / name)
        archive.write_plan(plan)
        for entry in plan.entries:
            test, values = truth(f"draw {entry.cell.seed}"), scores(entry)
            record = make_record(entry.cell, float(auroc(LABELS, values)), truth=test.identity)
            archive.write(record, values, test)
    (change,) = compared(tmp_path / "a", tmp_path / "b").changes
    tests = [delong_test(LABELS, noise(entry, 1) + 0.3 * LABELS, good(entry)) for entry in plan.entries]
    assert change.se == pytest.approx(np.mean([test.se for test in tests]))
    assert change.difference == pytest.approx(np.mean([test.estimate for test in tests]))


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


@pytest.mark.parametrize(("signs", "p"), [((1, 1), 0.0), ((1, -1), 1.0)])
def test_without_any_variance_a_difference_is_certain(
    tmp_path: Path, signs: tuple[int, int], p: float
) -> None:
    """Seeds that go from all right to all wrong, or one each way, so that their mean stays."""
    plan = make_plan((FOREST,), columns(digits=["0"]))

    def turned(by: int) -> Make:
        return lambda entry: np.float32(by * signs[entry.cell.seed or 0]) * LABELS

    a, b = archive_of(tmp_path / "a", plan, turned(1)), archive_of(tmp_path / "b", plan, turned(-1))
    found = compared(a, b)
    (change,) = found.changes
    assert (change.state, change.se, change.p) == ("moved", 0.0, p)
    assert found.exit_status == (p == 0)


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
    assert "Not tested (no scores: at least one side is a CSV: 4)" in diff_text(found)
    assert compared(a, write_csv(tmp_path / "c.csv", PLAN, 0.897)).exit_status == 0
    assert compared(b, a).exit_status == 0
    assert "mean difference" in diff_text(found)


def test_other_metrics_are_not_tested_and_fpr95_is_better_when_lower(tmp_path: Path) -> None:
    a = archive_of(tmp_path / "a", PLAN, metrics={"auroc": 0.9, "fpr95": 0.3})
    b = archive_of(tmp_path / "b", PLAN, metrics={"auroc": 0.9, "fpr95": 0.2})
    assert compared(a, b, metric="fpr95").exit_status == 0
    found = compared(b, a, metric="fpr95")
    assert (found.exit_status, found.changes[0].why) == (1, "there is no test of fpr95")


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


def test_nothing_in_common_and_all_failed(tmp_path: Path) -> None:
    a = write_csv(tmp_path / "a.csv", PLAN)
    found = compared(a, write_csv(tmp_path / "b.csv", make_plan((row("lof"),), DIGITS)))
    assert found.exit_status == 3
    assert (len(found.only_before), len(found.only_after)) == (4, 2)
    assert {place.method for place in found.only_after} == {"lof"}
    text = diff_text(found)
    assert "Only before: dn2[k=0] (2 tasks), forest[k=1] (2 tasks)" in text
    assert "Nothing to compare" in text
    assert "Only before: dn2[k=0] (2 tasks), and 1 other method" in diff_text(found, limit=1)
    assert "other method" not in text
    failed = {entry.cell.key: failure(entry.cell) for entry in PLAN.entries}
    (tmp_path / "f.csv").write_text(export_csv(PLAN, failed))
    assert compared(tmp_path / "f.csv", tmp_path / "f.csv").exit_status == 3
    assert compared(a, tmp_path / "f.csv").exit_status == 1


def test_long_lists_are_cut_and_said_to_be(tmp_path: Path) -> None:
    plan = make_plan((DN2,), columns(digits=[str(at) for at in range(30)]))
    a, b = write_csv(tmp_path / "a.csv", plan), write_csv(tmp_path / "b.csv", plan, 0.5)
    assert "… and 10 others" in diff_text(compared(a, b))
    assert "others" not in diff_text(compared(a, b), limit=30)


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
