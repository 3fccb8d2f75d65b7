"""The index of the leaderboards: a line a page, the same whatever was reported last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.core.archive import Archive
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.index import MARK, index_line
from bench.report.page.tables import overview
from bench.report.write import write_reports
from tests.report.report_factory import columns, failure, make_plan, make_records, row

DN2, LOF, CONTROL = row("dn2[k=2]"), row("lof"), row("random", stochastic=True, setting="control")
DIGITS = columns(digits=["0", "1"], textures=["wood"])
VALUES = {0: 0.9, 1: 0.8, 2: 0.95}


def plan_of(suite: str = "toy", **about: object) -> Plan:
    return make_plan((DN2, LOF, CONTROL), DIGITS, suite=suite, **about)  # type: ignore[arg-type]


def line_of(plan: Plan, records: dict[str, object] | None = None) -> list[str]:
    made = make_records(plan, lambda entry: VALUES[entry.row]) if records is None else records
    return [cell.strip() for cell in index_line(overview(Evidence(Board(plan, made)))).split(" | ")]  # type: ignore[arg-type]


def test_a_complete_suite() -> None:
    assert line_of(plan_of(title="What | this is")) == [
        r"| [What \| this is](toy.md)",
        "3",
        "digits, textures (synthetic)",
        "12",
        "complete",
        "dn2[k=2] (90.0) |",
    ]


def test_holes_and_who_is_left_to_rank() -> None:
    plan = plan_of()
    records = make_records(plan, lambda entry: VALUES[entry.row])
    first, *_, last = plan.entries
    records[first.cell.key] = failure(first.cell)
    del records[last.cell.key]
    assert line_of(plan, records)[4:] == ["1 failed, 1 missing", "— (one method to rank) |"]  # type: ignore[arg-type]
    every = {key: failure(record.cell) for key, record in records.items()}
    assert line_of(plan, every)[4:] == ["11 failed, 1 missing", "— |"]  # type: ignore[arg-type]
    assert line_of(plan, {})[4:] == ["12 missing", "— |"]
    assert line_of(plan_of(problems=("x",)))[4] == "some adapters could not be used"


def test_one_method_and_ties() -> None:
    alone = make_plan((DN2,), DIGITS)
    assert line_of(alone)[-1] == "— (one method to rank) |"
    plan = make_plan((DN2, LOF), DIGITS)
    tied = make_records(plan, lambda _: 0.9)
    assert line_of(plan, tied)[-1] == "dn2[k=2] and lof (90.0) |"  # type: ignore[arg-type]


def test_nobody_is_best_among_rows_at_chance() -> None:
    plan = plan_of()
    low = make_records(plan, lambda entry: 0.5 - 0.01 * entry.row)
    assert line_of(plan, low)[-1] == "— (none is told from chance) |"  # type: ignore[arg-type]
    seeds = make_plan((row("a", stochastic=True), row("b", stochastic=True)), DIGITS, seeds=(0, 1))
    wide = make_records(seeds, lambda entry: (0.45, 0.62)[entry.cell.seed])
    assert line_of(seeds, wide)[-1] == "— (none is told from chance) |"  # type: ignore[arg-type]
    narrow = make_records(seeds, lambda entry: (0.604, 0.606)[entry.cell.seed])
    assert line_of(seeds, narrow)[-1] == "a and b (60.5) |"  # type: ignore[arg-type]


def test_what_is_largest_comes_first_and_chance_last(tmp_path: Path) -> None:
    report(tmp_path, plan_of("a"))
    large = make_plan((DN2, LOF, row("kde"), CONTROL), DIGITS, suite="z")
    report(tmp_path, large, {**VALUES, 3: 0.5})
    text = report(
        tmp_path, make_plan((DN2, LOF, row("kde"), CONTROL), DIGITS, suite="b"), dict.fromkeys(range(4), 0.4)
    )
    assert list(lines_of(text)) == ["z", "a", "b"]


def lines_of(text: str) -> dict[str, str]:
    """Return the lines of an index by suite."""
    found = ((re.match(r"^\| \[.*\]\((.+)\.md\) \|", line), line) for line in text.splitlines())
    return {match[1]: line for match, line in found if match}


def report(results: Path, plan: Plan, values: dict[int, float] = VALUES) -> str:
    archive = Archive(results)
    archive.write_plan(plan)
    records = make_records(plan, lambda entry: values[entry.row])
    for record in records.values():
        archive.write(record, None)
    write_reports(plan, archive, records)
    return (results / "README.md").read_text()


def test_the_order_of_reporting_does_not_matter(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        text = report(tmp_path / "one", plan_of(name, title=f"Suite {name}"))
    for name in ("c", "b", "a", "b"):
        again = report(tmp_path / "two", plan_of(name, title=f"Suite {name}"))
    assert text == again
    assert text.startswith(f"{MARK}\n\n# Leaderboards\n")
    assert list(lines_of(text)) == ["a", "b", "c"]
    assert "published.csv](" not in text


def test_pages_without_records_keep_their_lines(tmp_path: Path) -> None:
    """As in a clone of a repository, which has pages and their JSON but no records."""
    report(tmp_path, plan_of("a"))
    before = lines_of(report(tmp_path, plan_of("b")))
    for path in (tmp_path / "records").rglob("*.json"):
        path.unlink()
    (tmp_path / "old.md").write_text("# A page of an older version\n\ntext\n")
    (tmp_path / "published.csv").write_text("")
    after = lines_of(text := report(tmp_path, plan_of("b")))
    assert after["a"] == before["a"]
    assert after["old"] == "| [old](old.md) | — | — | — | — | — |"
    assert "[published.csv](published.csv)" in text
    (tmp_path / "a.md").unlink()
    assert list(lines_of(report(tmp_path, plan_of("b")))) == ["b", "old"]


@pytest.mark.parametrize("content", [b"# My own notes\n", b"\xff\xfe"])
def test_a_readme_of_somebody_elses_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README.md").write_bytes(content)
    archive, plan = Archive(tmp_path), plan_of()
    write_reports(plan, archive, make_records(plan))
    assert (tmp_path / "README.md").read_bytes() == content
    assert (tmp_path / "toy.md").exists()
