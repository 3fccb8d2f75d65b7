"""The section on contamination: curves whose slope, area and breakdown are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Entry, Plan
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.evidence.comparison import compare_methods
from bench.report.evidence.evidence import Evidence
from bench.report.leaderboard.leaderboard import leaderboard
from bench.report.leaderboard.robustness import areas, curves, drops, slopes, summary_table
from bench.stats.robustness import relative_area, slope
from tests.report.evidence.scored_factory import above, balanced, noisy, write_archive
from tests.report.leaderboard.test_leaderboard import cells, section
from tests.report.report_factory import columns, failure, make_plan, make_records, row

STEADY, FRAGILE, CHANCE = row("steady"), row("fragile"), row("chance", setting="control")
RATES = (0.0, 0.1, 0.2)
BOTH = columns(digits=["0"], mvtec=["cable"])
TABLE = "## Under contamination"


def falling(entry: Entry, truth: Truth) -> object:
    """Return scores: one method stays at 90, the other loses 5 points for each 10 points of contamination."""
    return above(truth, 36 if entry.row != 1 else 36 - round(20 * entry.rate))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Archive, Plan, dict[str, Record]]:
    plan = make_plan((STEADY, FRAGILE, CHANCE), BOTH, rates=RATES, seeds=(0,))
    archive, records = write_archive(tmp_path, plan, falling, lambda entry: balanced(entry, 80))
    return archive, plan, dict(records)


def test_known_curves(made: tuple[Archive, Plan, dict[str, Record]]) -> None:
    archive, plan, records = made
    held = curves(Evidence(Board(plan, records), archive), ["digits", "mvtec"])
    assert held is not None
    assert held.rows == (0, 1)
    of_slope, of_area = compare_methods(held.samples(slopes)), compare_methods(held.samples(areas))
    assert of_slope.mean == pytest.approx([0.0, -0.05])
    assert of_area.mean == pytest.approx([1.0, 85 / 90])
    assert of_slope.letters == of_area.letters == ("a", "b")
    lost = held.samples(drops(2)).blocked.mean
    assert lost == pytest.approx([0.0, 0.1])


def test_summaries_are_linear_in_curves() -> None:
    """Slope and drop exactly; the area at the methods' own curves, with its derivative there."""
    rng = np.random.default_rng(0)
    rates, made = np.array([0.0, 0.05, 0.1, 0.3]), rng.uniform(0.6, 1, (5, 4))
    for summary, exact in (
        (slopes, lambda each: slope(rates, each)),
        (areas, lambda each: relative_area(rates, each)),
        (drops(3), lambda each: each[:, 0] - each[:, 3]),
    ):
        offset, weights = summary(rates, made)
        assert offset + (weights * made).sum(axis=1) == pytest.approx(exact(made), abs=1e-12)
        for at in range(4):
            step = np.zeros(4)
            step[at] = 1e-6
            derivative = (exact(made + step) - exact(made - step)) / 2e-6
            assert weights[:, at] == pytest.approx(derivative, abs=1e-6)


def test_the_rates_order_does_not_matter() -> None:
    rates, made = np.array([0.2, 0.0, 0.1]), np.array([[0.7, 0.9, 0.8]])
    assert slopes(rates, made)[1] @ made[0] == pytest.approx([-0.1])
    offset, weights = areas(rates, made)
    assert offset + weights @ made[0] == pytest.approx([0.8 / 0.9])
    assert drops(0)(rates, made)[1] @ made[0] == pytest.approx([0.2])


def test_methods_are_sorted_by_what_is_certain(tmp_path: Path) -> None:
    """The one with the better slope, of which less is certain, stands behind the other."""
    plan = make_plan((row("unsure"), row("sure")), columns(digits=["0"]), rates=RATES, seeds=(0,))

    def score(entry: Entry, truth: Truth) -> object:
        if entry.row == 1:
            return above(truth, 36 - round(10 * entry.rate))
        # Of other images at each rate the best and the worst: nothing lost, and nothing sure.
        return noisy(entry, truth, 1.0)

    archive, records = write_archive(tmp_path, plan, score, lambda entry: balanced(entry, 80))
    evidence = Evidence(Board(plan, records), archive)
    held = curves(evidence, ["digits"])
    assert held is not None
    found = compare_methods(held.samples(slopes))
    text = "\n".join(summary_table(evidence, ["digits"]))
    first = int(found.on_images[1, 0] > found.on_images[0, 0])
    names = ("unsure", "sure")
    assert text.index(f"| {names[first]} ") < text.index(f"| {names[1 - first]} ")
    assert first == 1
    assert found.mean[0] > found.mean[1]


def test_one_draw_is_named_where_there_is_one(made: tuple[Archive, Plan, dict[str, Record]]) -> None:
    archive, plan, records = made
    said = "drawn once: other draws may give another order"
    assert said in section(
        leaderboard(plan, records, evidence=Evidence(Board(plan, records), archive)), TABLE
    )
    several = make_plan((STEADY, FRAGILE), BOTH, rates=RATES, seeds=(0, 1))
    assert said not in section(leaderboard(several, make_records(several)), TABLE)


def test_intervals_over_data_sets_are_shown_where_they_are_enough() -> None:
    names = {f"set{at}": ["a"] for at in range(6)}
    plan = make_plan((STEADY, FRAGILE), columns(**names), rates=RATES, seeds=(0,))
    records = make_records(plan, lambda entry: 0.9 - (entry.row * 0.5 + 0.01 * entry.column) * entry.rate)
    text = leaderboard(plan, records).replace("\u00a0", " ")
    part = text[text.index("Slope") - 60 : text.index("Robustness by data set")]
    assert "In brackets 95 % intervals over data sets like these" in part
    assert cells(part, "fragile")[1].startswith("−5.2 (−5.")
    assert cells(part, "fragile")[2] == "b"


def test_the_section(made: tuple[Archive, Plan, dict[str, Record]]) -> None:
    archive, plan, records = made
    text = leaderboard(plan, records, evidence=Evidence(Board(plan, records), archive)).replace("\u00a0", " ")
    part = text[text.index(TABLE) : text.index("Robustness by data set")]
    summary = part[part.index("| Method ", part.index("Slope") - 60) :]
    assert cells(part, "Method")[1:5] == ["0 %", "10 %", "20 %", "Drop to 20 %"]
    assert cells(part, "fragile")[1:5] == [
        "=**90.0**".replace("=**90.0**", "=**90.0**"),
        "85.0",
        "80.0",
        "+10.0",
    ]
    assert cells(summary, "steady") == [
        "steady",
        "0.0 (0.0 to 0.0)",
        "a",
        "100.0 % (100.0–100.0)",
        "a",
        "none",
    ]
    assert summary.index("| steady") < summary.index("| fragile"), "the most robust first"
    line = cells(summary, "fragile")
    assert line[1].startswith("−5.0 (")
    assert line[2::2] == ["b", "b"]
    assert line[3].startswith("94.4 % (")
    # 5 points of 40 images are not yet certain to be more than 2; 10 points are.
    assert line[5] == "10 % (certain at 20 %)"
    assert "chance" not in summary.split("\n\n")[0]
    assert section(text, "Robustness by data set").count("| steady") == 2


def test_without_scores_the_numbers_stand_alone() -> None:
    plan = make_plan((STEADY, FRAGILE), BOTH, rates=RATES, seeds=(0,))
    records = make_records(plan, lambda entry: 0.9 - entry.row * entry.rate / 2)
    text = leaderboard(plan, records).replace("\u00a0", " ")
    part = text[text.index("Slope") - 60 : text.index("Robustness by data set")]
    assert cells(part, "Method")[1:] == [
        "Slope per 10 points",
        "Area relative to clean",
        "Drop > 2 points at",
    ]
    assert cells(part, "fragile")[1:] == ["−5.0", "94.4 %", "10 %"]


def test_only_who_is_complete_at_every_rate_is_compared(
    made: tuple[Archive, Plan, dict[str, Record]],
) -> None:
    archive, plan, records = made
    cell = next(entry.cell for entry in plan.entries if entry.row == 1 and entry.rate == 0.1)
    failed = records | {cell.key: failure(cell)}
    held = curves(Evidence(Board(plan, failed), archive), ["digits", "mvtec"])
    assert held is not None
    assert held.rows == (0,)
    text = leaderboard(plan, failed, evidence=Evidence(Board(plan, failed), archive))
    assert "| Not ranked: incomplete" in section(text, TABLE)


def test_one_rate_has_no_section() -> None:
    plan = make_plan((STEADY, FRAGILE), BOTH)
    assert curves(Evidence(Board(plan, make_records(plan))), ["digits"]) is None
    assert TABLE not in leaderboard(plan, make_records(plan))


def test_draws_are_paired_by_seed(tmp_path: Path) -> None:
    """A method whose clean AUROC has no seeds is compared with each draw of the contaminated one."""
    plan = make_plan((STEADY,), columns(digits=["0"]), rates=(0.0, 0.1), seeds=(0, 1))

    def scores(entry: Entry, truth: Truth) -> object:
        return above(truth, 36 if not entry.rate else 32 + 4 * entry.cell.contamination.seed)

    archive, records = write_archive(tmp_path, plan, scores, lambda entry: balanced(entry, 80))
    held = curves(Evidence(Board(plan, records), archive), ["digits"])
    assert held is not None
    assert held.values[0][0, 0] == pytest.approx(np.array([[0.9, 0.8], [0.9, 0.9]]))
