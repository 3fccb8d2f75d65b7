"""What a page says of which differences are real, from small archives of which everything is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Entry, Plan, Row
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.leaderboard import leaderboard
from bench.stats.interval import share_interval
from bench.stats.variance import Variance
from tests.report.evidence.scored_factory import above, balanced, noisy, truth_of, write_archive
from tests.report.leaderboard.test_leaderboard import cells, section
from tests.report.report_factory import (
    ENVIRONMENT,
    columns,
    failure,
    make_plan,
    make_record,
    make_records,
    row,
)
from tests.stats.cases import by_definition, welch

GOOD, NEAR, BAD = row("good"), row("near"), row("bad")
FOREST = row("forest", stochastic=True)
BOTH = columns(digits=["0", "1"], mvtec=["cable", "tile"])
REAL = "<b>Which differences are real</b>"


def scores_of(entry: Entry, truth: Truth) -> object:
    """Return scores of the methods above: the second misses one anomaly more than the first, on one task."""
    near = 35 if entry.cell.task == "cable" else 36
    hits = {"good": 36, "near": near, "bad": 20, "forest": 30 + (entry.cell.seed or 0)}
    return above(truth, hits.get(entry.cell.method, 40))


def page(archive: Archive, plan: Plan, records: object) -> str:
    """Return the page with plain spaces, after checking that GitHub's Markdown shows its tables as tables."""
    text = leaderboard(plan, records, evidence=Evidence(Board(plan, records), archive))  # type: ignore[arg-type]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    separators = [line for line in text.splitlines() if re.fullmatch(r"\|(:?-+:?\|)+", line)]
    assert sum(token.type == "table_open" for token in tokens) == len(separators)
    assert not any(
        "|" in token.content and ":--" in token.content for token in tokens if token.type == "inline"
    )
    assert text.count("<details>") == text.count("</details>")
    return text.replace("\u00a0", " ")


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Archive, Plan, dict[str, Record]]]:
    """Return what writes an archive of these rows: 40 anomalous and 40 normal images a task."""

    def make(
        rows: tuple[Row, ...], cols: object = BOTH, **how: object
    ) -> tuple[Archive, Plan, dict[str, Record]]:
        plan = make_plan(rows, cols, **how)  # type: ignore[arg-type]
        archive, records = write_archive(tmp_path, plan, scores_of, lambda entry: balanced(entry, 80))
        return archive, plan, dict(records)

    return make


def test_groups_and_what_they_hold_for(made: Callable) -> None:
    text = page(*made((BAD, GOOD, NEAR)))
    overall = section(text, "## Overall")
    assert [cells(overall, name)[2] for name in ("good", "near", "bad")] == ["a", "a", "b"]
    assert cells(overall, "good")[1].startswith("**90.0** (")
    assert [cells(overall, name)[3] for name in ("good", "near", "bad")] == ["1–2", "1–2", "3"]
    assert cells(overall, "near")[1].startswith("≈89.4 (")
    assert cells(overall, "bad")[1].startswith("50.0 (")
    assert "(paired t test over test images, Holm for 3 pairs)" in text
    assert "In brackets: 95 % intervals over test images." in text
    assert "`≈`: no method is significantly better, so that it may be the best" in text
    assert "*Place*: the places that an average may have" in text
    assert "cannot be told**" not in text
    assert "2 independent data sets cannot show which method is better on others" in text
    assert "(with 3 methods it takes at least 7)" in text
    real = section(text, REAL)
    assert "2 independent data sets: digits, mvtec." in real
    assert cells(real, "1. good")[2:] == ["+0.6", "**+40.0**"]
    assert cells(real, "3. bad")[1:3] == ["**<0.001**", "**<0.001**"]
    assert cells(real, "Method") == [
        "Method",
        "Average",
        "95 % interval on these images",
        "Behind the best",
        "95 % interval",
        "p (Holm)",
        "Verdict",
        "Ahead on",
    ]
    assert cells(real, "bad")[-3:] == ["<0.001", "different", "0 of 2"]
    assert cells(real, "near")[-2:] == ["cannot be told", "0 of 2"]
    assert "the best average was picked by these same numbers" in real.lower()
    assert re.search(r"a difference of \d+\.\d points or more, with probability 80 %", real)
    assert "Friedman's test of all methods: not enough data sets (3 needed)." in real


def test_over_enough_data_sets_it_is_students_t_with_holm(tmp_path: Path) -> None:
    names = {f"set{at}": ["a"] for at in range(8)}
    plan = make_plan((GOOD, BAD), columns(**names))
    hits = {"good": 30, "bad": 20}
    archive, records = write_archive(
        tmp_path,
        plan,
        lambda entry, truth: above(truth, hits[entry.cell.method] + (entry.column if entry.row == 0 else 0)),
        lambda entry: balanced(entry, 80),
    )
    text = page(archive, plan, records)
    assert "95 % intervals over data sets like these (8 independent data sets)" in text
    assert "(paired t test over the 8 independent data sets, Holm for 1 pair)" in text
    assert "hold for" not in text
    real = section(text, REAL)
    line = cells(real, "bad")
    # All 8 differences have one sign: no p value below 2/256; surely worse.
    assert line[4] == "−33.8"
    assert line[6:] == ["0.008", "different", "0 of 8", "0.00", "0.00", "1.00"]
    assert "no p value below 2 / 2ⁿ" in real
    assert "equivalent (within ± 0.5 points)" in real
    # Without any scores the tests over data sets stand.
    bare = leaderboard(plan, records)
    assert "paired t test over the 8" in bare


def test_without_scores_and_with_few_data_sets_there_are_no_groups() -> None:
    plan = make_plan((GOOD, BAD), BOTH)
    text = leaderboard(plan, make_records(plan))
    assert "No groups: 2 independent data sets, and a test over data sets takes at least 6" in text
    assert "the scores are not at hand" in text
    assert "Group" not in section(text, "## Overall").split("\n\n")[1]


def test_tasks_have_delongs_intervals_and_ties(made: Callable) -> None:
    archive, plan, records = made((GOOD, NEAR, BAD))
    text = page(archive, plan, records)
    part = section(text, "<b>mvtec</b> by task")
    entry = next(entry for entry in plan.entries if entry.column == 2)
    scores = archive.scores(records[entry.cell.key])
    _, *parts = by_definition(balanced(entry, 80).labels, scores[None])
    value, freedom = welch([float(part[0, 0]) for part in parts], [39, 39])
    low, high = share_interval(np.array([0.9]), Variance.of([value], freedom))[0]
    assert cells(part, "good")[5] == f"**90.0** ({100 * low:.1f}–{100 * high:.1f})"
    assert cells(part, "near")[5].startswith("≈87.5 (")
    assert cells(part, "bad")[5].startswith("50.0 (")
    assert "`≈` marks what may be the best, as no method is significantly better (all pairs, Holm)" in text
    assert "Every pair on this data set" in text


def test_a_single_data_set_and_a_single_task(made: Callable) -> None:
    text = page(*made((GOOD, BAD, FOREST), columns(mvtec=["cable"])))
    overall = section(text, "## Overall")
    assert cells(overall, "Method")[:5] == ["Method", "mvtec", "± seeds", "Group", "Place"]
    assert cells(overall, "forest")[1:5] == ["?76.2", "1.8", "? (5 seeds)", "?"]
    assert cells(overall, "bad")[3:5] == ["b", "2–3"]
    assert "`?`: **cannot be told** of `forest`: 2 seeds say too little" in text
    assert "5 would do." in text
    assert "hold for this data set alone: 1 independent data set cannot show" in text
    assert "Every pair on this data set" not in text


def test_what_is_said_of_seeds_is_what_was_done(made: Callable) -> None:
    """Where nothing of which anything is told depends on a seed, no seeds were added."""
    one = columns(mvtec=["cable"])
    for rows, cols, seeds, varies in (
        ((GOOD, BAD, FOREST), BOTH, (0, 1), True),
        ((GOOD, BAD, FOREST), one, (0, 1), False),
        ((GOOD, BAD, FOREST), BOTH, (0,), False),
        ((GOOD, BAD), BOTH, (0, 1), False),
        ((GOOD, FOREST), one, tuple(range(5)), True),
    ):
        text = page(*made(rows, cols, seeds=seeds))
        head = text[: text.index("<details>")]
        assert ("over test images and seeds" in head) is varies
        assert ("and over seeds (estimated within " in text) is varies
    assert "estimated within the task from 5 seeds: at most 4 degrees of freedom" in text


def test_a_stochastic_method_with_one_seed_has_no_letter(made: Callable) -> None:
    """Far behind the best, it shares no letter for want of degrees of freedom."""
    text = page(*made((GOOD, BAD, FOREST), seeds=(0,)))
    overall = section(text, "## Overall")
    assert cells(overall, "forest")[1:4] == ["?75.0", "? (2 seeds)", "?"]
    assert [cells(overall, name)[2] for name in ("good", "bad")] == ["a", "b"]
    assert (
        "`?`: **cannot be told** of `forest`: 1 seed says too little of how much seeds vary; 2 would do."
        in text
    )
    part = section(text, "<b>mvtec</b> by task")
    assert cells(part, "forest")[5] == "?75.0"
    assert cells(part, "Method")[5:] == ["cable", "tile"]


def test_many_that_cannot_be_told_are_counted(made: Callable) -> None:
    rows = tuple(row(f"m{at}", stochastic=True) for at in range(7))
    text = page(*made((GOOD, BAD, *rows), seeds=(0,)))
    assert "cannot be told** of `m0`, `m1`, `m2`, `m3` and 3 others: 1 seed" in text


def test_one_draw_of_anomalies_is_named(made: Callable) -> None:
    said = "The anomalies in the training sets were drawn once: other draws may give another order"
    for seeds, times in (((0,), True), ((0, 1), False)):
        text = page(*made((GOOD, BAD), rates=(0.0, 0.1), seeds=seeds))
        assert (said in text) is times
    assert said not in page(*made((GOOD, BAD), seeds=(0,)))


def test_equivalent_pairs_are_named(made: Callable) -> None:
    """On one data set both have the very same scores."""
    text = page(*made((GOOD, NEAR, BAD)))
    pairs = section(text, "Every pair on this data set")
    assert cells(pairs, "2. near")[1] == "1.00 ≡"
    assert "`≡` where the two are equivalent (within ± 0.5 points)" in pairs
    real = section(page(*made((GOOD, NEAR, BAD), columns(digits=["0", "1"]))), REAL)
    assert cells(real, "near")[-2:] == ["1.00", "equivalent"]


def test_friedmans_test_is_made_as_soon_as_there_are_enough_data_sets() -> None:
    plan = make_plan((GOOD, NEAR, BAD), columns(a=["0"], b=["0"], c=["0"]))
    text = leaderboard(plan, make_records(plan, lambda entry: 0.9 - 0.1 * entry.row))
    assert "Friedman's test that all methods have the same ranks over the 3 data sets" in text


def test_what_does_not_rank_has_an_interval_on_a_single_data_set_alone(made: Callable) -> None:
    """That of one data set says nothing of an average over several."""
    chance = row("chance", setting="control")
    several = section(page(*made((GOOD, BAD, chance))), "## Overall")
    assert cells(several.split("| Not ranked: control ")[1], "chance")[1] == "100.0"
    single = section(page(*made((GOOD, BAD, chance), columns(mvtec=["cable", "tile"]))), "## Overall")
    assert cells(single.split("| Not ranked: control ")[1], "chance")[1].startswith("100.0 (")


def test_the_spread_over_seeds_is_a_column_of_a_single_data_set_that_has_one(made: Callable) -> None:
    single = columns(mvtec=["cable"])
    heads = [
        cells(section(page(*made(rows, cols)), "## Overall"), "Method")
        for rows, cols in (((GOOD, FOREST), single), ((GOOD, BAD), single), ((GOOD, FOREST), BOTH))
    ]
    assert ["± seeds" in head for head in heads] == [True, False, False]


def test_a_single_task_has_the_interval_of_its_standing_where_methods_rank(made: Callable) -> None:
    archive, plan, records = made((GOOD, BAD), columns(mvtec=["cable"]))
    low, high = Evidence(Board(plan, records), archive).overall_interval(0, 0.0) or (0, 0)
    overall = section(page(archive, plan, records), "## Overall")
    assert cells(overall, "good")[1] == f"**90.0** ({100 * low:.1f}–{100 * high:.1f})"


def test_one_method_alone(made: Callable) -> None:
    text = page(*made((GOOD,)))
    assert cells(section(text, "## Overall"), "good")[1].startswith("90.0 (")
    for absent in ("Group", "Which differences", "cannot show", "Mean rank"):
        assert absent not in text


def test_all_failed(made: Callable) -> None:
    archive, plan, records = made((GOOD, BAD))
    text = page(archive, plan, {key: failure(record.cell) for key, record in records.items()})
    assert "**0 of 8 cells; 8 failed.**" in text
    assert REAL not in text


@pytest.mark.parametrize(
    "other",
    [
        row("few", setting="few-shot"),
        row("oe", setting="outlier-exposure"),
        row("peeks", selection="oracle"),
        row("chance", setting="control"),
    ],
)
def test_settings_never_mix(made: Callable, other: Row) -> None:
    archive, plan, records = made((GOOD, other, BAD), rates=(0.0, 0.1))
    evidence = Evidence(Board(plan, records), archive)
    for rate in (0.0, 0.1):
        for compared in (evidence.overall(rate), evidence.within("mvtec", rate)):
            assert compared is not None
            assert compared.rows == (0, 2)
    text = page(archive, plan, records)
    assert f"{other.label} |" not in section(text, REAL).replace("  ", "")
    # What ranks is told as if the other were not there.
    keys = {entry.cell.key for entry in plan.entries if entry.row != 1}
    rows = tuple(each for each in plan.rows if each != other)
    entries = tuple(
        replace(entry, row=0 if entry.row == 0 else 1) for entry in plan.entries if entry.cell.key in keys
    )
    without = page(archive, replace(plan, rows=rows, entries=entries), records)
    assert section(without, REAL) == section(text, REAL)


def test_selection_is_a_column_where_it_differs(made: Callable) -> None:
    text = page(*made((GOOD, row("tuned", selection="validation"))))
    overall = section(text, "## Overall")
    assert "Selection" in cells(overall, "Method")
    assert "validation" in cells(overall, "tuned")
    assert "Ranked: setting `one-class`, selection as shown." in text
    assert "Selection" not in cells(section(page(*made((GOOD, BAD))), "## Overall"), "Method")


def test_the_incomplete_are_listed_apart_and_change_nothing(made: Callable) -> None:
    archive, plan, records = made((GOOD, NEAR, BAD))
    cell = next(entry.cell for entry in plan.entries if entry.row == 1)
    text = page(archive, plan, records | {cell.key: failure(cell)})
    ranked, apart = section(text, "## Overall").split("| Not ranked: incomplete ")
    assert "near" not in ranked
    assert cells("| Not ranked: incomplete " + apart, "near")[1] == "— (1 of 4 failed)"
    assert "near" not in section(text, REAL)
    # On the data set where it is whole it takes part.
    assert cells(section(text, "<b>mvtec</b> by task"), "near")[2] == "a"


def test_mixed_hardware_is_flagged_and_timing_not_compared(made: Callable) -> None:
    archive, plan, records = made((GOOD, BAD))
    key = plan.entries[0].cell.key
    other = ENVIRONMENT | {"gpu": {"name": "H100"}}
    text = page(archive, plan, records | {key: replace(records[key], environment=other)})
    assert (
        "- **Mixed hardware** (Test CPU 3000, 2 threads: 7 cells; Test CPU 3000, H100, 2 threads: 1 cell)"
        in text
    )
    assert "Warm s" not in section(text, "## Overall").split("<details>")[0]
    timing = section(text, "<b>Timing and memory</b>")
    assert timing.count("| Method") == 2
    assert "Warm s" in section(page(archive, plan, records), "## Overall")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"protocol": 0}, "protocol version"), ({"data_fingerprint": "other"}, "copy of the data")],
)
def test_mixed_protocols_are_flagged_and_nothing_is_tested(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    plan = make_plan((GOOD, BAD), BOTH)
    entries = tuple(
        replace(entry, cell=replace(entry.cell, **change)) if entry.row and entry.column < 2 else entry  # type: ignore[arg-type]
        for entry in plan.entries
    )
    plan = replace(plan, entries=entries)
    archive, records = write_archive(tmp_path, plan, scores_of, lambda entry: balanced(entry, 80))
    text = page(archive, plan, records)
    assert (
        f"- **Mixed protocols** on digits: its cells differ in {said}; their numbers stand side by side"
        in text
    )
    assert "Group" not in cells(section(text, "## Overall"), "Method")
    assert f"digits: its cells differ in {said}" in section(text, REAL)
    # The other data set is compared as ever.
    assert cells(section(text, "<b>mvtec</b> by task"), "bad")[2] == "b"


def test_versions_and_test_sets_that_differ_are_named(made: Callable) -> None:
    archive, plan, records = made((GOOD, BAD))
    first = plan.entries[0].cell.key
    record = records[first]
    other = replace(
        record, environment=ENVIRONMENT | {"torch": "2.6.0"}, counts={**record.counts, "test": 79}
    )
    text = page(archive, plan, records | {first: other})
    assert "- Different versions of torch; see *What ran where*." in text
    assert "- **Different test sets** on digits (0): methods were tested on unlike numbers of images." in text
    assert "Not all cells were measured alike" not in page(archive, plan, records)


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    plan = make_plan((GOOD, FOREST, row("chance", setting="control")), BOTH, rates=(0.0, 0.1, 0.2))
    archive, records = write_archive(
        tmp_path, plan, lambda entry, truth: noisy(entry, truth, 1.0), lambda entry: balanced(entry, 40)
    )
    text = leaderboard(plan, records, evidence=Evidence(Board(plan, records), archive))
    turned = replace(plan, entries=plan.entries[::-1])
    back = dict(reversed(list(records.items())))
    again = leaderboard(turned, back, evidence=Evidence(Board(turned, back), Archive(tmp_path)))
    assert again == text


def test_old_records_without_labels(tmp_path: Path) -> None:
    plan = make_plan((GOOD, BAD), columns(mvtec=["cable"]))
    archive = Archive(tmp_path)
    text = page(archive, plan, {entry.cell.key: make_record(entry.cell) for entry in plan.entries})
    assert "no labels were kept" in text
    assert "Group" not in cells(section(text, "## Overall"), "Method")


def test_published_numbers_get_the_interval(made: Callable) -> None:
    archive, plan, records = made((GOOD, BAD))
    evidence = Evidence(Board(plan, records), archive)
    low, high = evidence.interval(0, (2, 3), 0.0) or (0, 0)
    assert 0.8 < low < 0.9 < high < 1
    assert evidence.interval(0, (2,), 0.0) == evidence.task_interval(0, 2, 0.0)
    # Nor has what is not there.
    assert Evidence(Board(plan, records)).interval(0, (2, 3), 0.0) is None


def test_tasks_that_share_images_are_told_apart_from_those_that_do_not(tmp_path: Path) -> None:
    """The mean of one-vs-rest tasks has the variance of their common images."""
    plan = make_plan((GOOD,), columns(cifar=[str(at) for at in range(5)]))

    def hard(_: Entry, truth: Truth) -> object:
        base = noisy(plan.entries[0], truth, 0.0)  # the same images are hard in every task
        return base + truth.labels

    def shared(entry: Entry) -> Truth:
        return truth_of([at >= 40 or at % 5 != entry.column for at in range(200)])

    archive, records = write_archive(tmp_path, plan, hard, shared)
    evidence = Evidence(Board(plan, records), archive)
    low, high = evidence.interval(0, tuple(range(5)), 0.0) or (0, 0)
    single = [evidence.task_interval(0, column, 0.0) or (0, 0) for column in range(5)]
    narrowest = min(upper - lower for lower, upper in single)
    assert high - low > narrowest / 5**0.5


def test_with_many_methods_the_pairs_are_shown_overall_alone(
    made: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, plan, records = made((GOOD, NEAR, BAD))
    assert page(archive, plan, records).count("Every pair on this data set") == 2
    monkeypatch.setattr("bench.report.leaderboard.significance.MOST_PAIRED", 3)
    assert page(archive, plan, records).count("Every pair on this data set") == 2
    monkeypatch.setattr("bench.report.leaderboard.significance.MOST_PAIRED", 2)
    text = page(archive, plan, records)
    assert "Every pair on this data set" not in text
    assert "1. good" in section(text, REAL)
