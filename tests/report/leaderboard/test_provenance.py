"""Seconds, images per second and memory: what is averaged, what is the highest, and what is left out."""

from __future__ import annotations

from dataclasses import replace

from bench.core.cell import Record, Timing
from bench.report.board import Board
from bench.report.leaderboard.provenance import reproduce, timing
from tests.report.leaderboard.test_leaderboard import cells
from tests.report.report_factory import ENVIRONMENT, columns, failure, make_plan, make_record, row

PLAN = make_plan((row("a"),), columns(digits=["0", "1", "2"]))


def records_of(*score: float) -> dict[str, Record]:
    """Return records of 80 test images with these seconds of scoring, and ever more memory."""
    return {
        entry.cell.key: make_record(
            entry.cell,
            timing=Timing(
                fit=seconds + 1,
                score=seconds,
                features=0.0,
                features_cold=4.0,
                features_from="store",
                wall=9.0,
            ),
            memory={"host_peak_bytes": (at + 1) * 2**20, "device_peak_bytes": None},
        )
        for at, (entry, seconds) in enumerate(zip(PLAN.entries, score, strict=True))
    }


def line(records: dict[str, Record]) -> list[str]:
    return cells("\n".join(timing(Board(PLAN, records))), "a")


def test_seconds_are_means_images_a_second_a_ratio_of_sums_and_memory_the_highest() -> None:
    assert line(records_of(0.5, 1.0, 6.0)) == [
        "a", "3", "3.50", "2.50", "32", "4.00", "6.00", "10.0", "3 MiB", "—", "store 3",
    ]  # fmt: skip


def test_failed_cells_have_no_part_in_it() -> None:
    records = records_of(0.5, 1.0, 6.0)
    last = PLAN.entries[-1].cell
    lasted = records[last.key].timing
    records[last.key] = replace(failure(last), timing=lasted)
    assert line(records)[:5] == ["a", "2", "1.75", "0.750", "107"]


def test_nothing_is_divided_by_no_seconds() -> None:
    assert line(records_of(0.0, 0.0, 0.0))[3:5] == ["0", "—"]


def test_each_of_several_machines_has_a_table_below_its_name() -> None:
    records = records_of(0.5, 1.0, 6.0)
    key = PLAN.entries[-1].cell.key
    assert "**Test CPU 3000, 2 threads**" not in timing(Board(PLAN, records))
    records[key] = replace(records[key], environment=ENVIRONMENT | {"cpu": "Other"})
    text = "\n".join(timing(Board(PLAN, records)))
    first, second = text.split("**Test CPU 3000, 2 threads**")
    assert "**Other, 2 threads**" in first
    assert (cells(first, "a")[1:4], cells(second, "a")[1:4]) == (
        ["1", "7.00", "6.00"],
        ["2", "1.75", "0.750"],
    )


def test_how_to_reproduce_shows_the_suite_file_where_there_is_one() -> None:
    assert "```toml" not in reproduce(Board(PLAN, {}))
    shown = reproduce(Board(replace(PLAN, suite_text='datasets = ["digits"]\n'), {}))
    assert "```toml" in shown
    assert 'datasets = ["digits"]' in "\n".join(shown)
