"""The gate: what it finds worse, fine or untold, what it does not compare, and that it fails closed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.core.plan import Entry, Plan
from bench.metrics.image import image_metrics
from bench.report.compare.gate import Compared, Gate, gate
from bench.report.compare.gatetext import gate_json, gate_junit, gate_markdown, gate_text
from bench.report.compare.sides import ResultKey, read_baseline, read_side
from bench.report.compare.speed import LOOKS, paired_speeds
from bench.stats.variance import Variance
from tests.factory import make_timing
from tests.report.report_factory import columns, failure, make_plan, make_record, row

DN2, KNN, FOREST = row("dn2[k=2]"), row("dn2[k=3]"), row("forest", stochastic=True)
TASKS = columns(digits=["0", "1"], textures=["wood"])
N = 400
LABELS = np.repeat([0, 1], N // 2).astype(np.uint8)
PLAN = make_plan((DN2, KNN), TASKS)
Make = Callable[[Entry], np.ndarray]
DOCS = Path(__file__).resolve().parents[3] / "docs"


def truth() -> Any:
    from bench.core.truth import Truth

    return Truth(
        labels=LABELS, sources=("a",), which=np.zeros(N, np.uint8), rows=np.arange(N, dtype=np.int64)
    )


def good(entry: Entry) -> np.ndarray:
    rng = np.random.default_rng([entry.column, entry.cell.seed or 0, len(entry.cell.method)])
    return rng.standard_normal(N) + 2.0 * LABELS


def nearly(entry: Entry) -> np.ndarray:
    return good(entry) + 1e-4 * np.random.default_rng(1).standard_normal(N)


def worse(entry: Entry) -> np.ndarray:
    """The first method misses some anomalies on the second task."""
    return good(entry) - (1.0 * LABELS if (entry.row, entry.column) == (0, 1) else 0.0)


def redrawn(entry: Entry) -> np.ndarray:
    """As good, with other noise."""
    return np.random.default_rng([8, entry.column, entry.row]).standard_normal(N) + 2.0 * LABELS


def noisy(entry: Entry) -> np.ndarray:
    return good(entry) + 0.3 * np.random.default_rng([7, entry.column, entry.row]).standard_normal(N)


def archive_of(folder: Path, plan: Plan = PLAN, scores: Make = good, **more: Any) -> Path:
    archive = Archive(folder)
    archive.write_plan(plan)
    for entry in plan.entries:
        values = scores(entry)
        record = replace(make_record(entry.cell, 0.5), truth=truth().identity)
        record = replace(record, metrics=image_metrics(LABELS, values), **more)
        archive.write(record, values, truth())
    return folder


@pytest.fixture
def against(tmp_path: Path) -> Callable[..., Gate]:
    """Return a function that compares another archive with one of good scores."""
    base = archive_of(tmp_path / "base")

    def check(head: Path, base: Path = base, **more: Any) -> Gate:
        return gate(read_baseline(str(base), "suite"), read_side(str(head)), **more)

    return check


def found(result: Gate, name: str) -> list[tuple[str, str]]:
    return [
        (each.change.place.dataset, each.change.place.task)
        for each in result.compared
        if each.finding == name
    ]


def test_the_same_and_nearly_the_same_are_fine(against: Callable[..., Gate], tmp_path: Path) -> None:
    same = against(archive_of(tmp_path / "head"))
    assert (same.exit_status, same.verdict) == (0, "fine")
    # Of each of two methods three tasks, the mean over both data sets, and that over the two digits.
    assert len(same.compared) == 2 * (3 + 1 + 1)
    assert {each.p for each in same.compared} == {None}
    almost = against(archive_of(tmp_path / "almost", scores=nearly))
    assert almost.exit_status == 0
    assert all(each.visible is not None and each.visible < 0.006 for each in almost.compared if each.p)
    assert "would find is of a mean 0.5 and of a task 0.5 points." in gate_text(almost)
    assert "10 the same" not in gate_text(almost)
    assert "Verdict: fine." in gate_text(almost)


def test_a_drop_on_one_task_is_found_there_and_in_the_means(
    against: Callable[..., Gate], tmp_path: Path
) -> None:
    result = against(archive_of(tmp_path / "head", scores=worse))
    assert (result.exit_status, result.verdict) == (1, "regression")
    assert found(result, "worse") == [("", ""), ("digits", ""), ("digits", "1")]
    assert found(result, "untold") == []
    alone = against(archive_of(tmp_path / "head2", scores=worse), tasks=False)
    assert found(alone, "worse") == [("", ""), ("digits", "")]
    assert [place for place in found(alone, "fine") if place[0] == "textures"] == [("textures", "wood")] * 2
    assert against(tmp_path / "base", base=tmp_path / "head").exit_status == 0, "it only got better"


def test_the_tests_are_those_of_the_textbook(against: Callable[..., Gate], tmp_path: Path) -> None:
    """One task, one method: Welch-like t from DeLong's paired variance, written out here."""
    plan = make_plan((DN2,), TASKS[:1])
    base, head = archive_of(tmp_path / "b", plan), archive_of(tmp_path / "h", plan, noisy)
    (only,) = against(head, base=base, margin=0.01, alpha=0.05).compared
    change = only.change
    before, after = (np.asarray(make(plan.entries[0])) for make in (good, noisy))

    def parts(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wins = (scores[LABELS == 1][:, None] > scores[LABELS == 0]).astype(float)
        return wins.mean(1), wins.mean(0)

    (a1, a0), (b1, b0) = parts(before), parts(after)
    variance = np.var(b1 - a1, ddof=1) / len(a1) + np.var(b0 - a0, ddof=1) / len(a0)
    assert change.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    t = change.difference / change.se
    assert only.p == pytest.approx(stats.t.cdf(t, change.freedom), rel=1e-9)
    reach = stats.t.ppf(0.95, change.freedom) * change.se
    assert only.at_most == pytest.approx(max(0.0, reach - change.difference))
    assert (only.finding == "fine") == (only.at_most < 0.01)
    seen = (stats.t.ppf(0.95, change.freedom) + stats.t.ppf(0.8, change.freedom)) * change.se
    assert only.visible == pytest.approx(max(seen, 0.01 + stats.t.ppf(0.8, change.freedom) * change.se))


def test_one_sided_p_values() -> None:
    variance = Variance.of([1.0, 1.0, 0.0, 0.0, np.nan], 5)
    p = variance.p_below([-2.0, 2.0, -1.0, 0.0, 1.0])
    assert p[:4] == pytest.approx([stats.t.cdf(-2, 5), stats.t.cdf(2, 5), 0.0, 0.5])
    assert np.isnan(p[4])
    assert variance.p_below(-9.0, least=0.2)[0] == pytest.approx(0.1)


def test_what_is_noisy_cannot_be_told(against: Callable[..., Gate], tmp_path: Path) -> None:
    result = against(archive_of(tmp_path / "head", scores=redrawn))
    assert result.exit_status == 3
    assert found(result, "untold")
    text = gate_text(result)
    assert "Cannot be told" in text
    assert "too few test images or seeds for this margin" in text
    assert "The smallest drop that 80" in text


def test_too_few_seeds_cannot_be_told(against: Callable[..., Gate], tmp_path: Path) -> None:
    plan = make_plan((FOREST,), TASKS, seeds=(0,))
    base, head = archive_of(tmp_path / "b", plan), archive_of(tmp_path / "h", plan, nearly)
    result = against(head, base=base)
    assert result.exit_status == 3
    assert {each.why for each in result.compared} == {
        "1 of the 2 seeds that it takes", "1 of the 3 seeds that it takes", "1 of the 5 seeds that it takes"
    }  # fmt: skip
    assert against(base, base=base).exit_status == 0, "bit for bit the same needs no seeds"


def test_what_vanished_failed_or_is_missing(against: Callable[..., Gate], tmp_path: Path) -> None:
    one = make_plan((DN2,), TASKS)
    result = against(archive_of(tmp_path / "one", one))
    assert result.exit_status == 1
    assert [(each.state, each.place.params) for each in result.uncompared] == [("vanished", "k=1")]
    fewer = against(archive_of(tmp_path / "fewer", make_plan((DN2, KNN), TASKS[:2])))
    assert fewer.exit_status == 3
    assert {each.state for each in fewer.uncompared} == {"missing"}
    more = against(archive_of(tmp_path / "more", make_plan((DN2, KNN, row("lof")), TASKS)))
    assert more.exit_status == 0
    assert {each.state for each in more.uncompared} == {"new"}
    assert "Not in the baseline: lof[k=2]." in gate_text(more)

    head = Archive(archive_of(tmp_path / "head"))
    cell = PLAN.entries[0].cell
    head.write(failure(cell), None)
    failed = against(head.results)
    assert failed.exit_status == 1
    assert [each.state for each in failed.uncompared] == ["failed"]
    assert "it fails now: " in gate_text(failed)
    assert against(archive_of(tmp_path / "whole"), base=head.results).exit_status == 0, "it works again"
    next(head.root.glob(f"*/{cell.key}.json")).unlink()
    missing = against(head.results)
    assert (missing.exit_status, missing.uncompared[0].why) == (3, "no result yet")


def test_fewer_seeds_are_named(against: Callable[..., Gate], tmp_path: Path) -> None:
    three, two = (make_plan((FOREST,), TASKS, seeds=range(n)) for n in (3, 2))
    result = against(archive_of(tmp_path / "h", two), base=archive_of(tmp_path / "b", three))
    assert result.exit_status == 3
    assert {each.why for each in result.uncompared} == {"1 of the baseline's 3 seeds are missing"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"data_fingerprint": "other"}, "other data"),
        ({"protocol": 7}, "another protocol version"),
        ({"code": (("method", "other"),)}, ""),
    ],
)
def test_what_does_not_compare(
    against: Callable[..., Gate], tmp_path: Path, changed: dict[str, Any], why: str
) -> None:
    entries = tuple(replace(entry, cell=replace(entry.cell, **changed)) for entry in PLAN.entries)
    result = against(archive_of(tmp_path / "head", replace(PLAN, entries=entries)))
    assert {each.why for each in result.uncompared} == ({why} if why else set())
    assert result.exit_status == (3 if why else 0)
    assert bool(result.compared) is not bool(why)


def test_without_labels_nothing_can_be_told(against: Callable[..., Gate], tmp_path: Path) -> None:
    result = against(archive_of(tmp_path / "head", scores=noisy, truth=""))
    assert result.exit_status == 3
    assert {each.why for each in result.compared} == {"no labels were kept with the scores"}


def test_inflated_records_do_not_pass(against: Callable[..., Gate], tmp_path: Path) -> None:
    """A record that says more than its scores give is taken at the scores' word."""
    head = Archive(archive_of(tmp_path / "head", scores=worse))
    path = next(head.root.glob(f"*/{PLAN.entries[1].cell.key}.json"))
    data = json.loads(path.read_text())
    data["metrics"]["auroc"] = 0.999
    path.write_text(json.dumps(data))
    assert against(head.results).exit_status == 1


def timed_archive(folder: Path, slow: float, machine: float, **more: Any) -> Path:
    """Write six methods on eight tasks; one is slow, and the machine, too."""
    plan = make_plan([row(f"dn2[k={k}]") for k in range(1, 7)], columns(digits=[str(k) for k in range(8)]))
    archive = Archive(archive_of(folder, plan))
    rng = np.random.default_rng(len(folder.name))
    for entry in plan.entries:
        record = archive.load(entry.cell.key)
        assert record is not None
        factor = machine * (slow if entry.row == 2 else 1.0) * math.exp(0.02 * rng.standard_normal())
        reference = None if more.get("reference", True) is None else 0.01 * machine
        timing = make_timing(fit=factor, score=factor, reference=reference)
        environment = {"cpu": {"name": more.get("cpu", "A")}}
        archive.write(
            replace(record, timing=timing, environment=environment), archive.scores(record), truth()
        )
    return archive.results


def test_speed_beside_the_reference_workload(against: Callable[..., Gate], tmp_path: Path) -> None:
    """The second run's machine was twice as slow; one method is slower than that."""
    base = timed_archive(tmp_path / "base1", 1.0, 1.0)
    slow = against(timed_archive(tmp_path / "head12", 1.5, 2.0), base=base, slower=1.2)
    assert slow.exit_status == 1
    assert [(each.place.params, each.finding) for each in slow.speed if each.finding != "fine"] == [
        ("k=2", "worse")
    ]
    assert slow.speed[2].low < 1.5 < slow.speed[2].high
    assert "Slower, or not told" in gate_text(slow)
    assert "Speed of 6 methods compared: 1 slower, 5 fine, 0 cannot be told." in gate_text(slow)
    assert against(timed_archive(tmp_path / "head123", 1.0, 2.0), base=base, slower=1.2).exit_status == 0
    few = against(tmp_path / "base", slower=1.2)
    assert few.exit_status == 3
    assert all("no reference workload" in each.why for each in few.speed)


@pytest.mark.parametrize(
    ("more", "says"),
    [({"reference": None}, "no reference workload"), ({"cpu": "B"}, "two kinds of machines")],
)
def test_seconds_that_do_not_compare(
    against: Callable[..., Gate], tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    base = timed_archive(tmp_path / "base1", 1.0, 1.0)
    found = against(timed_archive(tmp_path / "head", 1.0, 1.0, **more), base=base, slower=1.2)
    assert (found.exit_status, {each.finding for each in found.speed}) == (3, {"untold"})
    assert all(each.why.startswith("not compared: ") and says in each.why for each in found.speed)
    assert found.compared
    assert all(each.finding == "fine" for each in found.compared)


def test_paired_speeds() -> None:
    """Of real blocks' size: 5 % is found from four blocks on, nothing where there is none, by Student's t."""
    rng = np.random.default_rng(0)
    places = [ResultKey("", "", "", f"m{at}", "", "", "0.0") for at in range(3)]
    logs = dict(zip(places, 0.005 * rng.standard_normal((3, 4)) + [[0.05], [0.0], [-0.3]], strict=True))
    slow, same, faster = paired_speeds(logs, slower=1.02, alpha=0.05)
    assert [each.finding for each in (slow, same, faster)] == ["worse", "fine", "fine"]
    held = logs[places[0]]
    reach = stats.t.ppf(1 - 0.05 / len(LOOKS), 3) * stats.sem(held)
    assert slow.low == pytest.approx(math.exp(held.mean() - reach))
    assert slow.high == pytest.approx(math.exp(held.mean() + reach))
    (wide,) = paired_speeds({places[0]: [0.4, -0.3, 0.3, -0.2]}, slower=1.02, alpha=0.01)
    assert (wide.finding, "vary too much" in wide.why) == ("untold", True)


def test_the_reports(against: Callable[..., Gate], tmp_path: Path) -> None:
    head = Archive(archive_of(tmp_path / "head", make_plan((DN2, row("lof")), TASKS), worse))
    result = against(head.results)
    data = json.loads(gate_json(result))
    assert (data["schema"], data["exit_status"], data["verdict"]) == (1, 1, "regression")
    assert [each["state"] for each in data["not_compared"]] == ["vanished", "new", "new", "new"]
    assert data["compared"][0]["tasks"] == 3
    assert data["compared"][0]["finding"] == "worse"
    suite = ElementTree.fromstring(gate_junit(result))
    assert suite.tag == "testsuite"
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", "")) == 4
    assert len(suite.findall("testcase")) == int(suite.get("tests", "")) == 5 + 4
    assert suite.get("errors") == "0"
    shown = gate_markdown(result)
    assert shown.startswith("### Regression: ")
    assert "| dn2[k=0]" in shown
    assert "… and 2 others" in gate_markdown(result, limit=1)
    nothing = replace(result, compared=(), uncompared=())
    assert (nothing.exit_status, "Nothing was compared." in gate_text(nothing)) == (3, True)


def test_a_baseline_of_another_suite(tmp_path: Path) -> None:
    base = archive_of(tmp_path / "two")
    assert read_baseline(str(base), "another name").cells
    archive_of(base, make_plan((DN2,), TASKS, suite="second"))
    with pytest.raises(ArchiveError, match="holds no results of 'third'"):
        read_baseline(str(base), "third")
    with pytest.raises(ArchiveError, match="expected a results folder"):
        read_baseline(str(tmp_path / "nowhere"), "x")


@pytest.fixture(scope="module")
def docs() -> Iterator[SimpleNamespace]:
    """Return the simulation, which lies beside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        from simulation import benchmarks, gate

        yield SimpleNamespace(Design=benchmarks.Design, Change=gate.Change, counted=gate.counted)


@pytest.mark.parametrize(("seeds", "sd"), [(1, 0.0), (2, 0.013), (3, 0.05)])
def test_planted_drops(docs: SimpleNamespace, seeds: int, sd: float) -> None:
    """A small version of docs/gate.md: two points are found, 0.02 and nothing never are."""
    design = docs.Design(3, 6, seeds, sd, 0.9, 100, 100)
    assert docs.counted(design, docs.Change(2.0), 12)[1].times == 12
    for points in (0.0, 0.02):
        assert docs.counted(design, docs.Change(points), 12)[0].times == 12


def test_planted_drops_that_cannot_be_told(docs: SimpleNamespace) -> None:
    """A single seed; and other random numbers: nothing is found, and nothing passes."""
    one = docs.counted(docs.Design(2, 6, 1, 0.05, 0.9, 60, 60), docs.Change(2.0), 10)
    assert one[3].times == 10
    design = docs.Design(2, 6, 3, 0.05, 0.9, 60, 60)
    redrawn = docs.counted(design, docs.Change(0.0, redrawn=True), 20)
    assert (redrawn[1].times, redrawn[0].times + redrawn[3].times) == (0, 20)
    assert docs.counted(design, docs.Change(2.0, redrawn=True), 20)[0].times == 0


def test_a_finding_has_what_the_report_needs(against: Callable[..., Gate], tmp_path: Path) -> None:
    for each in against(archive_of(tmp_path / "head", scores=noisy)).compared:
        assert isinstance(each, Compared)
        assert (each.p is None) == (each.change.se is None)
        assert (each.finding == "untold") == bool(each.why)
