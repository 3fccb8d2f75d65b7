"""The leaderboard as text: the lines that a reader relies on, in every state that a suite can be in."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bench.core.cell import Record
from bench.core.plan import Plan
from bench.report.leaderboard.leaderboard import leaderboard, summary_table
from tests.report.report_factory import ENVIRONMENT, columns, failure, make_plan, make_records, row

DN2, FOREST, CENTRE = row("dn2[k=2]"), row("forest", stochastic=True), row("centre")
RANDOM = row("random", stochastic=True, setting="control")
DIGITS = columns(digits=["0", "1"])
BOTH = columns(digits=["0", "1"], textures=["wood", "grid"])


def page(plan: Plan, records: dict[str, Record] | None = None) -> str:
    """Return the leaderboard with plain spaces, after checking that its tables and folds are well formed."""
    text = leaderboard(plan, make_records(plan) if records is None else records).replace("\u00a0", " ")
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert text.count("<details>") == text.count("</details>")
    lines = text.splitlines()
    for above, line in pairwise(lines):
        if line.startswith("|:"):
            assert above.startswith("|")
        if above.startswith("|") and line.startswith("|"):
            pipes = [len(re.findall(r"(?<!\\)\|", each)) for each in (above, line)]
            assert pipes[0] == pipes[1], line
        if above.startswith("<summary>"):
            # GitHub reads Markdown again only after an empty line.
            assert line == ""
    return text


def section(text: str, heading: str) -> str:
    """Return the part of a page from a heading or summary to the next one."""
    start = text.index(heading)
    rest = text[start + len(heading) :]
    ends = [at for mark in ("\n## ", "<summary>", "</details>") if (at := rest.find(mark)) >= 0]
    return rest[: min(ends)] if ends else rest


def cells(text: str, first: str) -> list[str]:
    """Return the cells of the table row that begins with `first`."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_complete_suite() -> None:
    values = {0: 0.9, 1: 0.8, 2: 0.95}
    plan = make_plan((DN2, FOREST, CENTRE), BOTH, description="What this is.", seeds=(0, 1))
    text = page(plan, make_records(plan, lambda entry: values[entry.row] + 0.01 * (entry.cell.seed or 0)))
    assert text.startswith("# A toy suite\n\nWhat this is.\n\n**16 of 16 cells.**\n")
    assert "Data sets marked *synthetic* (textures) are generated" in text
    overall = section(text, "## Overall")
    assert cells(overall, "Method") == [
        "Method",
        "Average",
        "Mean rank",
        "digits",
        "textures (synthetic)",
        "Warm s",
        "Cold s",
    ]
    assert cells(overall, "centre") == [
        "centre",
        "**95.0**",
        "**1.00**",
        "**95.0**",
        "**95.0**",
        "0.750",
        "2.75",
    ]
    assert cells(overall, "forest") == [
        "forest",
        "80.5 ± 0.7",
        "3.00",
        "80.5 ± 0.7",
        "80.5 ± 0.7",
        "0.750",
        "2.75",
    ]
    # Sorted by the average, whatever the order of the suite.
    assert [line.split()[1] for line in overall.splitlines() if line.startswith("| ")][1:4] == [
        "centre",
        "dn2[k=2]",
        "forest",
    ]
    for absent in ("failed", "Missing", "Under contamination", "Not ranked", "Flags", "Problems"):
        assert absent not in text.replace("A method with failed or missing cells", "")


def test_spread_is_explained_where_there_is_one() -> None:
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0, 1))
    assert "over the methods' own seeds (seeds 0, 1)" in page(plan)
    plan = make_plan((DN2, CENTRE), DIGITS, rates=(0.0, 0.1), seeds=(0, 1))
    assert "over the draws of anomalies (seeds 0, 1)" in page(plan)
    plan = make_plan((DN2, FOREST), DIGITS, rates=(0.0, 0.1), seeds=(0, 1))
    assert "over the methods' own seeds and the draws of anomalies (seeds 0, 1)" in page(plan)
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0,))
    assert "±" not in page(plan)


def test_a_failed_cell_leaves_a_hole_with_its_reason() -> None:
    plan = make_plan((DN2, FOREST, CENTRE), BOTH, seeds=(0, 1))
    records = make_records(plan)
    cell = next(entry.cell for entry in plan.entries if entry.row == 1 and entry.cell.task == "1")
    records[cell.key] = failure(cell, reason="3 of 80 scores are NaN\n(the first | at position 7)")
    text = page(plan, records)
    assert "**15 of 16 cells; 1 failed.**" in text
    overall = section(text, "## Overall")
    found = cells(overall, "forest")
    assert found[1:3] == ["— (1 of 8 failed)", "— (1 of 4 failed)"]
    assert re.fullmatch(r"\d\d\.\d ± \d+\.\d", found[3])
    # No mean over fewer cells: of seconds neither.
    assert found[4:] == ["—", "—"]
    # Listed apart from the complete ones.
    ranked, apart = overall.split("| Not ranked: incomplete ")
    assert "forest" not in ranked
    assert "Mean rank" not in apart.split("\n\n")[0]
    assert "**1 failed cell**" in text
    assert cells(text.split("**1 failed cell**")[1], "forest") == [
        "forest",
        f"digits/1, seed {cell.seed}",
        "ScoreError",
        r"3 of 80 scores are NaN (the first \| at position 7)",
    ]
    assert cells(section(text, "<b>digits</b> by task"), "forest")[-1] == "failed (1 of 2)"
    # What is complete is ranked as before.
    assert "—" not in cells(section(text, "<b>textures (synthetic)</b> by task"), "forest")


def test_missing_cells_are_shown_as_such() -> None:
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0, 1))
    records = make_records(plan)
    for entry in plan.entries:
        if entry.row == 1 and entry.column == 0:
            del records[entry.cell.key]
    text = page(plan, records)
    assert "**4 of 6 cells; 2 missing.**" in text
    assert cells(section(text, "## Overall"), "forest")[1] == "— (2 of 4 missing)"
    assert cells(section(text, "by task"), "forest")[2] == "missing"
    assert "**Missing cells**, not run yet or interrupted: forest (2)." in text


def test_failed_and_missing_are_both_counted() -> None:
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0, 1))
    records = make_records(plan)
    first, second = (entry.cell for entry in plan.entries if entry.row == 1 and entry.column == 0)
    records[first.key] = failure(first)
    del records[second.key]
    text = page(plan, records)
    assert "**4 of 6 cells; 1 failed, 1 missing.**" in text
    assert cells(section(text, "## Overall"), "forest")[1] == "— (1 of 4 failed, 1 of 4 missing)"


def test_ties_are_all_bold_and_marked() -> None:
    values = {0: 0.91234, 1: 0.91236, 2: 0.8}
    plan = make_plan((DN2, row("lof"), CENTRE), DIGITS)
    text = page(plan, make_records(plan, lambda entry: values[entry.row]))
    overall = section(text, "## Overall")
    # The same to one decimal; the ranks use all digits.
    assert cells(overall, "dn2[k=2]")[1:3] == ["=**91.2**", "2.00"]
    assert cells(overall, "lof")[1:3] == ["=**91.2**", "**1.00**"]
    assert cells(overall, "centre")[1:3] == ["80.0", "3.00"]


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (RANDOM, "control"),
        (row("oe_net", setting="outlier-exposure"), "outlier-exposure"),
        (row("best_epoch", selection="oracle"), "oracle selection"),
    ],
)
def test_other_settings_never_rank(other: Any, name: str) -> None:
    plan = make_plan((DN2, other, CENTRE), DIGITS, rates=(0.0, 0.1))
    text = page(plan, make_records(plan, lambda entry: 1.0 if entry.row == 1 else 0.9 - 0.1 * entry.row))
    for part in (
        section(text, "## Overall"),
        section(text, "## Under contamination"),
        section(text, "by task").split("**10 % contamination**")[0].replace("**clean**", ""),
    ):
        ranked, apart = part.split(f"| Not ranked: {name} ")
        assert other.label not in ranked
        assert "**" in ranked
        assert other.label in apart
        assert "**" not in apart
        assert "Mean rank" not in apart
    assert cells(section(text, "## Overall"), "dn2[k=2]")[1:3] == ["**90.0**", "**1.00**"]


def test_two_rates() -> None:
    plan = make_plan((DN2, CENTRE, RANDOM), DIGITS, rates=(0.0, 0.1))
    text = page(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row - entry.rate))
    assert "## Overall: clean\n" in text
    assert "<summary><b>Overall</b>, 10 % contamination</summary>" in text
    swept = section(text, "## Under contamination")
    assert cells(swept, "Method") == ["Method", "0 %", "10 %", "Drop to 10 %", "Mean rank"]
    assert cells(swept, "dn2[k=2]") == ["dn2[k=2]", "**90.0**", "**80.0** ± 0.0", "+10.0", "**1.00**"]
    assert cells(swept, "random") == ["random", "70.0 ± 0.0", "60.0 ± 0.0", "+10.0"]
    by_task = section(text, "<b>digits</b> by task")
    assert by_task.index("**clean**") < by_task.index("**10 % contamination**")


def test_there_is_no_drop_to_or_from_a_hole() -> None:
    plan = make_plan((DN2, CENTRE, row("lof")), DIGITS, rates=(0.0, 0.1), seeds=(0,))
    records = make_records(plan, lambda entry: 0.9 - entry.rate)
    for at, rate in ((1, 0.0), (2, 0.1)):
        cell = next(entry.cell for entry in plan.entries if (entry.row, entry.rate) == (at, rate))
        records[cell.key] = failure(cell)
    swept = section(page(plan, records), "## Under contamination")
    assert cells(swept, "centre")[1:] == ["— (1 of 2 failed)", "80.0", "—"]
    assert cells(swept, "lof")[1:] == ["90.0", "— (1 of 2 failed)", "—"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"source": "holdout"},
            "drawn from the anomalous images of the train split, never from the test set",
        ),
        ({"source": "test"}, "those of the highest rate, 20 %, are removed at every rate"),
        ({"source": "test_overlap"}, "**and stay in it**"),
        ({"source": "holdout", "shortage": "cap"}, "those there are were taken"),
    ],
)
def test_contamination_says_what_it_means(how: dict[str, Any], said: str) -> None:
    text = page(make_plan((DN2, CENTRE), DIGITS, rates=(0.0, 0.2), **how))
    part = section(text, "<b>Data and contamination</b>")
    assert said in part
    assert "share of anomalies in the resulting train set" in part
    row_at = next(line for line in part.splitlines() if "20 %" in line and line.startswith("|"))
    assert [cell.strip() for cell in row_at.split("|")[1:-1]] == [
        "digits", "20 %", "2", "120", "20", "16.67 %", "80", "40", "0",
    ]  # fmt: skip


def test_contamination_is_explained_by_data_set_where_it_differs() -> None:
    drawn = make_plan((DN2,), BOTH, rates=(0.0, 0.2), source="test")
    held = make_plan((DN2,), BOTH, rates=(0.0, 0.2))
    entries = [entry for entry in drawn.entries if entry.cell.dataset == "textures"]
    entries += [entry for entry in held.entries if entry.cell.dataset == "digits"]
    part = section(page(replace(drawn, entries=tuple(entries))), "<b>Data and contamination</b>")
    assert "**digits**: the rate is" in part
    assert "**textures (synthetic)**: the rate is" in part


def test_a_clean_suite_says_so() -> None:
    text = page(make_plan((DN2, CENTRE), DIGITS))
    assert "All train sets are clean" in section(text, "<b>Data and contamination</b>")


def test_one_method_has_nobody_to_be_compared_with() -> None:
    text = page(make_plan((DN2,), DIGITS))
    assert "**" not in section(text, "## Overall").split("\n\n")[1]
    assert "Mean rank" not in text
    assert "bold" not in text


def test_all_failed() -> None:
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0, 1))
    text = page(plan, {entry.cell.key: failure(entry.cell) for entry in plan.entries})
    assert "**0 of 6 cells; 6 failed.**" in text
    assert cells(section(text, "## Overall"), "dn2[k=2]")[1] == "— (2 of 2 failed)"
    assert "| Not ranked: incomplete " in section(text, "## Overall")
    assert "**6 failed cells**" in text
    assert "6 records, made 2025-03-04 (UTC)." in text


def test_nothing_was_run_yet() -> None:
    plan = make_plan((DN2, FOREST), DIGITS, seeds=(0, 1))
    text = page(plan, {})
    assert "**0 of 6 cells; 6 missing.**" in text
    assert "What ran where" not in text


def test_an_empty_plan() -> None:
    text = page(Plan(suite="empty", title="Nothing", problems=("datasets/x.py:3: broken | file",)))
    assert "**The plan has no cells.**" in text
    assert "- datasets/x.py:3: broken \\| file" in text
    assert "anobench run empty" in text


def test_records_of_other_cells_are_left_out() -> None:
    plan = make_plan((DN2, CENTRE), DIGITS)
    records = make_records(make_plan((DN2, CENTRE, FOREST), BOTH))
    assert page(plan, records) == page(plan, make_records(plan))


def test_the_same_input_gives_the_same_bytes() -> None:
    plan = make_plan((DN2, FOREST, RANDOM), BOTH, rates=(0.0, 0.1))
    records = make_records(plan)
    turned = replace(plan, entries=plan.entries[::-1])
    assert page(turned, dict(reversed(records.items()))) == page(plan, records)


def test_when_it_ran_shows_in_times_and_dates_alone() -> None:
    plan = make_plan((DN2, FOREST), BOTH)
    records = make_records(plan)
    later = {key: replace(record, created="2031-12-31T00:00:00+00:00") for key, record in records.items()}
    assert page(plan, later).replace("2031-12-31", "2025-03-04") == page(plan, records)


def test_many_failures_are_folded_and_those_of_one_reason_share_a_line() -> None:
    plan = make_plan((DN2, FOREST), columns(digits=[str(at) for at in range(30)]), seeds=(0,))
    records = make_records(plan)
    for at, entry in enumerate(entry for entry in plan.entries if entry.row == 0):
        records[entry.cell.key] = failure(entry.cell, reason=f"reason {at}")
    for entry in (entry for entry in plan.entries if entry.row == 1):
        records[entry.cell.key] = failure(entry.cell, kind="timeout", reason="x" * 1000)
    text = page(plan, records)
    part = section(text, "<b>60 failed cells</b>, with the reasons")
    assert cells(part, "forest")[1] == "digits/0, seed 0; digits/1, seed 0; and 28 others"
    assert len(cells(part, "forest")[3]) < 300
    assert "reason 29" in part


def test_flags_are_counted() -> None:
    plan = make_plan((DN2, RANDOM), DIGITS)
    records = {
        key: replace(record, flags=("constant scores",)) if record.setting == "control" else record
        for key, record in make_records(plan).items()
    }
    assert cells(section(page(plan, records), "**Flags**"), "random") == ["random", "constant scores", "4"]


def test_labels_with_pipes_keep_the_table_whole() -> None:
    text = page(make_plan((row("dn2[mode=a|b]"), CENTRE), DIGITS))
    assert r"dn2[mode=a\|b]" in text


def test_wide_tables_are_cut_into_readable_pieces() -> None:
    plan = make_plan((DN2, FOREST), columns(mvtec=[f"category_{at}" for at in range(15)]), seeds=(0, 1))
    part = section(page(plan), "<b>mvtec</b> by task")
    headers = [line for line in part.splitlines() if line.startswith("| Method")]
    assert len(headers) > 1
    assert [f"category_{at}" for at in range(15)] == re.findall(r"category_\d+", " ".join(headers))
    assert max(len(line) for line in part.splitlines()) < 160


def test_many_data_sets_have_a_table_of_their_own() -> None:
    plan = make_plan((DN2, CENTRE), columns(**{f"data_set_{at}": ["0"] for at in range(8)}))
    text = page(plan)
    assert cells(section(text, "## Overall"), "Method") == [
        "Method", "Average", "Group", "Place", "Mean rank", "Warm s", "Cold s",
    ]  # fmt: skip
    apart = section(text, "<b>Overall</b> by data set")
    assert re.findall(r"data_set_\d", apart) == [f"data_set_{at}" for at in range(8)]
    assert "<b>Overall</b> by data set" not in page(make_plan((DN2, CENTRE), BOTH))


def test_a_large_suite_shows_its_tasks_at_the_first_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan((DN2, CENTRE), DIGITS, rates=(0.0, 0.1))
    assert section(page(plan), "<b>digits</b> by task").count("| dn2[k=2]") == 2
    monkeypatch.setattr("bench.report.leaderboard.leaderboard.MOST_VALUES", 7)
    part = section(page(plan), "<b>digits</b> by task")
    assert part.count("| dn2[k=2]") == 1
    assert "clean only; the other rates are in the CSV beside this page" in part


def test_a_processor_is_named_first() -> None:
    plan = make_plan((DN2, CENTRE), DIGITS)
    other = ENVIRONMENT | {"cpu": {"cores": 2, "name": "AMD"}}
    records = {key: replace(record, environment=other) for key, record in make_records(plan).items()}
    assert "- cpu: name AMD, cores 2\n" in page(plan, records)


def test_environment_is_listed() -> None:
    part = section(page(make_plan((DN2, CENTRE), DIGITS)), "<b>What ran where</b>")
    assert "4 records, made 2025-03-04 (UTC)." in part
    assert "- packages: numpy 2.0.0, scipy 1.14.0\n" in part
    assert "- git: commit abc1234, dirty no\n" in part
    assert "- cpu: Test CPU 3000\n" in part


def test_different_machines_are_told_apart_and_their_timings_not_compared() -> None:
    plan = make_plan((DN2, CENTRE), DIGITS)
    records = make_records(plan)
    key = plan.entries[0].cell.key
    other = ENVIRONMENT | {"cpu": {"name": "Other CPU", "cores": 64}, "gpu": {"name": "H100"}}
    records[key] = replace(records[key], environment=other, created="2025-03-09T00:00:00+00:00")
    text = page(plan, records)
    where = section(text, "<b>What ran where</b>")
    assert "4 records, made 2025-03-04 to 2025-03-09 (UTC)." in where
    assert "2 environments" in where
    assert "- python: 3.11.9\n" in where
    assert "| 2025-03-09" in where
    timing = section(text, "<b>Timing and memory</b>")
    assert "2 different machines (Other CPU (64 cores), H100, 2 threads: 1 cell; " in timing
    assert "their timings do not compare" in timing


def test_timing_shows_what_a_cold_user_pays() -> None:
    part = section(page(make_plan((DN2, CENTRE), DIGITS)), "<b>Timing and memory</b>")
    assert cells(part, "dn2[k=2]") == [
        "dn2[k=2]", "2", "0.250", "0.500", "160", "2.00", "0.750", "2.75", "300 MiB", "—", "store 2",
    ]  # fmt: skip
    assert "different machines" not in part


def test_other_metrics_stand_beside() -> None:
    part = section(page(make_plan((DN2, CENTRE), DIGITS)), "<b>Other metrics</b>")
    assert cells(part, "Method") == ["Method", "digits: AP", "digits: FPR95 ↓", "digits: F1max"]


def test_how_to_reproduce() -> None:
    plan = make_plan((DN2, CENTRE), DIGITS, suite_text='title = "```"\n', suite="my-suite")
    part = section(page(plan), "<b>How to reproduce</b>")
    assert "```sh\nanobench run my-suite\n```" in part
    assert '````toml\ntitle = "```"\n````' in part


def test_methods_say_what_they_are() -> None:
    rows = (replace(DN2, summary="k nearest | neighbours"), FOREST, row("best", selection="oracle"), RANDOM)
    part = section(page(make_plan(rows, DIGITS)), "<b>Methods</b>")
    assert "- **dn2[k=2]**: k nearest \\| neighbours (deterministic)\n" in part
    assert "- **forest** (stochastic)\n" in part
    assert "- **best** (deterministic, selection oracle)\n" in part
    assert "- **random** (stochastic, setting control)\n" in part


def test_summary_for_the_terminal() -> None:
    plan = make_plan((DN2, CENTRE, RANDOM), BOTH, rates=(0.0, 0.1))
    text = summary_table(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row - entry.rate))
    assert text.splitlines()[0].split("  ")[0] == "Method"
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["dn2[k=2]", "centre", "random"]
    assert text.splitlines()[2].split() == ["dn2[k=2]", "90.0", "80.0", "1.00"]
    assert text.splitlines()[4].endswith("not ranked")
    short = summary_table(plan, {}, limit=1)
    assert short.splitlines()[-1] == "… and 2 others"
    assert summary_table(Plan(suite="x", title="x"), {}).startswith("Method")
