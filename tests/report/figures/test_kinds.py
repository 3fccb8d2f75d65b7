"""The leaderboard's figures: which there are, where they lie, what the page says of them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bench.core.archive import Archive
from bench.report.figures.kinds import LeaderboardFigure, shown, standard
from bench.report.leaderboard.leaderboard import leaderboard
from bench.report.write import write_reports
from tests.report.figures.samples import board_of, published
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROOT = Path(__file__).resolve().parents[3]


def kinds(figures: list[LeaderboardFigure]) -> list[str]:
    return [figure.kind for figure in figures]


def test_a_suite_has_the_figures_that_it_has_data_for() -> None:
    two = [row("a"), row("b")]
    small = make_plan(two, columns(x=["0"]))
    assert kinds(standard(small, make_records(small))) == ["pareto"]
    curve = make_plan(two, columns(x=["0", "1"]), rates=(0.0, 0.1))
    assert kinds(standard(curve, make_records(curve))) == ["contamination", "heatmap", "pareto"]
    several = make_plan(two, columns(**{f"x{at}": ["0"] for at in range(6)}))
    assert kinds(standard(several, make_records(several))) == ["critical-difference", "heatmap", "pareto"]


def test_a_suite_with_nothing_to_draw_has_none() -> None:
    one = make_plan([row("a")], columns(x=["0"]))
    assert standard(one, make_records(one)) == []
    two = make_plan([row("a"), row("b")], columns(x=["0"]))
    assert standard(two, {entry.cell.key: failure(entry.cell) for entry in two.entries}) == []
    assert standard(make_plan([], []), {}) == []
    assert shown([]) == []


def test_published_numbers_that_match_have_their_scatter() -> None:
    board = board_of(["a", "b"], {"x": ["0"]})
    records = {record.cell.key: record for record in board.records()}
    figures = standard(board.plan, records, published=published(board))
    assert kinds(figures) == ["pareto", "reproduction"]


def test_the_page_links_them_with_alternative_text() -> None:
    plan = make_plan([row("dn2[k=2]"), row("b_c")], columns(x=["0", "1"]), rates=(0.0, 0.1), suite="my suite")
    records = make_records(plan)
    figures = standard(plan, records)
    page = leaderboard(plan, records, figures=figures)
    links = re.findall(r"^!\[(.*)\]\((\S+)\)$", page, re.M)
    assert [target for _, target in links] == [
        f"figures/my%20suite-{kind}.svg" for kind in ("contamination", "heatmap", "pareto")
    ]
    for (alt, _), figure in zip(links, figures, strict=True):
        assert re.sub(r"\\(.)", r"\1", alt) == figure.alt.replace("\u00a0", " ")
        assert not re.search(r"(?<!\\)[\[\]]", alt)
    assert page.index("## Overall") < page.index("## Figures") < page.index("<b>Methods</b>")
    opened = page[page.index("## Figures") : page.index(links[1][0])]
    assert opened.count("<details>") == 1, "the first is open, the next is folded"
    assert "## Figures" not in leaderboard(plan, records)


def test_they_are_written_beside_the_page_and_the_same_twice(tmp_path: Path) -> None:
    plan = make_plan([row("a"), row("b")], columns(x=["0", "1"]))
    archive, records = Archive(tmp_path), make_records(plan)
    write_reports(plan, archive, records)
    held = {path: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert sorted(path.name for path in held) == ["toy-heatmap.svg", "toy-pareto.svg"]
    for target in re.findall(r"\((figures/\S+)\)", (tmp_path / "toy.md").read_text()):
        assert (tmp_path / target) in held
    before = {path: path.stat().st_mtime_ns for path in held}
    write_reports(plan, archive, dict(reversed(records.items())))
    assert {path: path.read_bytes() for path in held} == held
    assert {path: path.stat().st_mtime_ns for path in held} == before, "what is the same is not written again"


def test_figures_follow_the_records() -> None:
    plan = make_plan([row("a"), row("b")], columns(x=["0", "1"]))
    records = make_records(plan)
    before = {figure.kind: figure.svg for figure in standard(plan, records)}
    key = plan.entries[0].cell.key
    records[key] = replace(records[key], metrics={**records[key].metrics, "auroc": 0.123})
    after = {figure.kind: figure.svg for figure in standard(plan, records)}
    assert before["heatmap"] != after["heatmap"]
    assert "12.3" in after["heatmap"]


def test_neither_torch_nor_matplotlib_is_imported_in_vain() -> None:
    code = (
        "import sys\n"
        "import bench.report.figures.kinds, bench.report.write, bench.report.leaderboard.leaderboard\n"
        "from bench.report.figures.kinds import KINDS\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import bench.report.figures.draw\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
        "print(len(KINDS))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout == "10\n"
