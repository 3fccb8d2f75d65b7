"""A CSV says the same numbers as the plan and the records that it was exported from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import ArchiveError
from bench.core.plan import Plan
from bench.report.board import Board
from bench.report.compare.sides import Side, side_of_texts
from bench.report.export import HEADER, export_csv
from bench.report.markdown import escape
from bench.report.page.about import About, about_plan, remember, remembered
from bench.report.page.guess import UNKNOWN, completed, heading, labels
from bench.report.page.tidy import plan_and_records
from bench.suite.registry import Registry
from tests.report.page.page_factory import HOSTILE, named, toy

ROOT = Path(__file__).resolve().parents[3]


def side_of(*lines: str) -> Side:
    return side_of_texts("toy", [("toy.csv", "\n".join([",".join(HEADER), *lines]) + "\n")])


def again(plan: Plan, records: dict[str, object], about: About) -> Board:
    """Return the board of the CSV."""
    side = side_of_texts("toy", [("toy.csv", export_csv(plan, records))])  # type: ignore[arg-type]
    return Board(*plan_and_records(side, completed(about, side, Registry())))


@pytest.mark.parametrize("metric", ["auroc", "ap", "fpr95"])
@pytest.mark.parametrize("remembers", [True, False])
def test_the_numbers_are_those_of_the_records(metric: str, remembers: bool) -> None:
    plan, records = toy()
    ours, theirs = Board(plan, records), again(plan, records, about_plan(plan, records))  # type: ignore[arg-type]
    if not remembers:
        theirs = again(plan, records, About(title=""))  # type: ignore[arg-type]
    assert theirs.cells() == ours.cells() == (len({e.cell.key for e in plan.entries}), 1, 1)
    assert theirs.rates == ours.rates
    assert theirs.datasets == ours.datasets
    every = list(ours.datasets.values())
    compared = 0
    for row in range(len(plan.rows)):
        for rate in ours.rates:
            for blocks in (every, *([block] for block in every), *([[column]] for column in ours.columns)):
                assert theirs.summary(row, blocks, rate, metric) == ours.summary(row, blocks, rate, metric)
                compared += ours.summary(row, blocks, rate, metric).sd is not None
    assert compared > 20
    if remembers:
        assert theirs.ranked == ours.ranked == (0, 1, 2, 3)
        assert theirs.unranked == ours.unranked
        ranks = [board.mean_ranks(board.columns, board.rates, metric) for board in (ours, theirs)]
        assert ranks[0] == ranks[1]
        assert len(ranks[0]) == 3


def test_what_a_csv_does_not_say_goes_into_a_page_and_comes_back() -> None:
    plan, records = toy()
    about = about_plan(named(plan, HOSTILE), records)
    assert [seconds[0] for seconds in about.rows[0].seconds] == [0.0, 0.1]
    assert about.rows[0].seconds[0] == (0.0, 0.75, 2.75)
    assert [seconds[0] for seconds in about.rows[3].seconds] == [0.0], "a mean over fewer cells is no number"
    text = remember({"<toy>": about})
    assert not set("<>&") & set(text)
    page = f'<p>x</p><script type="application/json" id="about">{text}</script>'
    assert remembered(page) == {"<toy>": about}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema":1}', '{"schema":0,"suites":{}}', "{", "null"])
def test_a_damaged_memory_is_none(text: str) -> None:
    assert remembered(f'<script type="application/json" id="about">{text}</script>') == {}
    assert remembered(text) == {}


def test_seconds_hold_only_beside_their_csv() -> None:
    plan, records = toy()
    about = about_plan(plan, records)
    text = export_csv(plan, records)
    assert about.beside(text) is about
    other = about.beside(text.replace("failed", "missing"))
    assert not any(each.seconds for each in other.rows)
    assert [each.row for each in other.rows] == [each.row for each in about.rows]


def test_labels_name_what_tells_rows_apart() -> None:
    assert labels(
        [
            ("dn2", "k=2", "mnv2"),
            ("dn2", "k=2", "pixels[size=16]"),
            ("dn2", "k=5", "mnv2"),
            ("lof", "k=20", "mnv2"),
            ("odd", "it's \"", ""),
        ]
    ) == [
        "dn2[k=2,backbone=mnv2]",
        "dn2[k=2,backbone=pixels[size=16]]",
        "dn2[k=5,backbone=mnv2]",
        "lof",
        "odd[it's \"]",
    ]


def test_settings_come_from_the_adapters_and_unknown_ones_do_not_rank() -> None:
    side = side_of(
        "toy,textures,wood,lof,n_neighbors=20,pixels,0.0,,auroc,0.9,ok",
        "toy,textures,wood,random,,,0.0,0,auroc,0.5,ok",
        "toy,textures,wood,random,,,0.0,1,auroc,0.5,ok",
        "toy,textures,wood,oc_svm_oracle,,pixels,0.0,,auroc,0.9,ok",
        "toy,textures,wood,nobody_knows,k=1,pixels,0.0,,auroc,0.99,ok",
    )
    about = completed(About(title="x"), side, Registry())
    found = {each.row.method: (each.row.setting, each.row.selection) for each in about.rows}
    assert found["random"] == ("control", "last")
    assert found["lof"] == ("one-class", "last")
    assert found["oc_svm_oracle"][1] == "oracle"
    assert found["nobody_knows"] == (UNKNOWN, UNKNOWN)
    assert about.columns[0].synthetic
    board = Board(*plan_and_records(side, about))
    assert [about.rows[row].row.method for row in board.ranked] == ["lof"]
    assert set(board.unranked) == {"control", "oracle selection", UNKNOWN}


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.text(st.characters(codec="utf-8"), max_size=60))
def test_title_and_description_are_read_back_from_a_leaderboard(title: str, line: str) -> None:
    escaped = escape(line)
    assert heading(f"# {escape(title)}\n\nText. {escaped}\n\n**1 of 1 cell.**\n", "toy") == (
        " ".join(title.split()),
        f"Text. {' '.join(line.split())}".strip(),
    )


def test_a_leaderboard_without_title() -> None:
    assert heading("", "toy") == heading("no heading\n", "toy") == ("toy", "")


@pytest.mark.parametrize(
    ("rate", "seed", "said"),
    [("0.9", "", "rate"), ("nan", "", "rate"), ("much", "", "rate"), ("0.0", "first", "no seed")],
)
def test_a_line_of_no_cell_is_an_error_that_names_it(rate: str, seed: str, said: str) -> None:
    side = side_of(f"toy,a,b,lof,,,{rate},{seed},auroc,0.9,ok")
    with pytest.raises(ArchiveError, match=f"toy: .*{said}"):
        plan_and_records(side, completed(About(title="x"), side, Registry()))


def test_the_repositorys_own_exports_can_be_shown() -> None:
    for path in sorted((ROOT / "results").glob("*.csv")):
        if path.name == "published.csv":
            continue
        side = side_of_texts(path.stem, [(path.name, path.read_text())])
        about = completed(About(title=path.stem), side, Registry())
        assert not [each.row.label for each in about.rows if each.row.setting == UNKNOWN], path
        assert Board(*plan_and_records(side, about)).ranked
