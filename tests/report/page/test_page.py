"""The page as a file: what it says, what it may do, and when it is written."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bench.cli import main
from bench.core.archive import Archive
from bench.core.errors import ArchiveError
from bench.report.overview import Overview, overviews, read_overview, to_json
from bench.report.page.page import LARGEST_FIGURE, embed, embedded, is_ours
from bench.report.page.page import page as page_of
from bench.report.write import write_reports
from tests.report.page.page_factory import FIGURE, HOSTILE, Tags, named, report, toy

ROOT = Path(__file__).resolve().parents[3]
#: The page of the repository's own results stays below (bytes): figures, and the tables of large suites.
BUDGET = 8_000_000


def anobench(words: list[str]) -> int:
    """Run a command and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["anobench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def rows_of(page: str, caption: str) -> list[list[str]]:
    """Return the texts of the rows of the table with this caption, spaces put right."""
    table = re.search(rf"<caption>{re.escape(caption)}</caption>(.*?)</table>", page, re.S)
    assert table, caption
    rows = re.findall(r"<tr[ >].*?</tr>", table[1], re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return [[" ".join(Tags(cell).text.split()) for cell in row] for row in cells]


def test_the_tables(tmp_path: Path) -> None:
    page = report(tmp_path, *toy())
    clean = rows_of(page, "Overall: AUROC, clean")
    heads = ["Method", "Average", "Mean rank", "digits", "textures (synthetic)"]
    assert clean[0] == [*heads, "Warm s", "Cold s", "Setting", "Selection", "Backbone"]
    assert [row[0] for row in clean[1:]] == [
        *("half_done", "dn2[k=2]", "mahalanobis[backbone=pixels]", "lof"),
        *("Not ranked: control", "random", "Not ranked: oracle selection", "peeks"),
    ]
    words = ["0.750", "2.75", "one-class", "last", "—"]
    assert clean[2] == ["dn2[k=2]", "88.0", "2.00", "89.0", "87.0", *words]
    assert clean[4] == ["lof", "78.0 ± 0.0", "4.00", "79.0 ± 0.0", "77.0 ± 0.0", *words]
    assert clean[6][1:3] == ["93.0 ± 0.0", "—"]
    assert clean[8][-3:] == ["one-class", "oracle", "—"]
    bold = set(re.findall(r"<b>(.*?)</b>", re.search(r"Overall: AUROC, clean.*?</table>", page, re.S)[0]))
    assert bold == {"97.0", "1.00", "98.0", "96.0"}, "the best are those of half_done, which ranks"
    tasks = rows_of(page, "digits by task: AUROC, clean")
    assert tasks[0] == ["Method", "Average", "Mean rank", "0", "1", "10"]
    assert tasks[2] == ["dn2[k=2]", "89.0", "2.00", "90.0", "89.0", "88.0"]


def test_what_a_page_can_be_filtered_by(tmp_path: Path) -> None:
    page = report(tmp_path, *toy())
    options = {
        name: re.findall(r'<option value="([^"]*)">', text)
        for name, text in re.findall(r'<select id="(\w+)">(.*?)</select>', page, re.S)
    }
    assert options["suite"] == ["", toy()[0].suite]
    assert options["dataset"] == ["", "digits", "textures"]
    assert options["rate"] == ["0.0", "0.1"]
    assert "auroc" in options["metric"]


def test_a_mean_over_fewer_cells_is_no_number(tmp_path: Path) -> None:
    page = report(tmp_path, *toy())
    dirty = rows_of(page, "Overall: AUROC, 10 % contamination".replace(" %", "\u00a0%"))
    assert [row[0] for row in dirty[1:5]] == ["dn2[k=2]", "mahalanobis[backbone=pixels]", "lof", "half_done"]
    assert dirty[4][1:4] == ["— 1 of 8 failed, 1 of 8 missing", "—", "— 1 of 6 failed, 1 of 6 missing"]
    assert dirty[4][5:7] == ["—", "—"], "neither are its seconds"
    tasks = rows_of(page, "digits by task: AUROC, 10\u00a0% contamination")
    assert tasks[4][3:5] == ["failed (1 of 2)", "missing (1 of 2)"]
    assert re.search(r'class="state bad"><strong>\d+ of \d+ cells; 1 failed; 1 missing</strong>', page)


def test_less_of_a_false_positive_rate_is_better(tmp_path: Path) -> None:
    page = report(tmp_path, *toy())
    table = rows_of(page, "Overall: FPR95\u00a0↓, clean")
    ranked = table[1:5]
    averages = [float(row[1].split()[0]) for row in ranked]
    assert averages == sorted(averages)
    html = re.search(r"Overall: FPR95.*?</table>", page, re.S)[0]  # type: ignore[index]
    least = averages[0]
    assert f'class="best"><b>{least:.1f}</b>' in html
    # Rank 1 is the least in each task, so that the ranks of four rows sum to ten.
    assert sum(float(row[2]) for row in ranked) == pytest.approx(10, abs=0.02)


def test_texts_stay_texts(tmp_path: Path) -> None:
    plan, records = toy()
    harmless = Tags(report(tmp_path / "a", named(plan, ("x",) * 5), records))
    page = report(tmp_path / "b", named(plan, HOSTILE), records)
    hostile = Tags(page)
    assert hostile.tags == harmless.tags
    for text in HOSTILE:
        assert " ".join(text.split()) in " ".join(hostile.text.split())
    assert page.count("<script") == 1
    assert not [name for name in hostile.values if name.startswith("on")]


def hostile(value: Any, words: Iterator[str]) -> Any:
    """Return JSON data with every text replaced, apart from what a program reads."""
    if isinstance(value, dict):
        return {
            key: held if key in ("kind", "mark", "metric", "suite") else hostile(held, words)
            for key, held in value.items()
        }
    if isinstance(value, list):
        return [hostile(held, words) for held in value]
    return next(words) if isinstance(value, str) else value


def test_texts_of_a_hostile_file_stay_texts(tmp_path: Path) -> None:
    """Whoever gives away a JSON file writes no markup, loads nothing and reads no other file."""
    tags = Tags(report(tmp_path, *toy()))
    path = tmp_path / "toy.json"
    data = hostile(json.loads(path.read_text()), itertools.cycle(HOSTILE))
    data["figures"] = ["../secret.svg", "/etc/passwd", "figures/../../secret.svg", "secret.svg"]
    (tmp_path.parent / "secret.svg").write_text("<svg><title>secret</title></svg>")
    path.write_text(json.dumps(data))
    assert anobench(["page", "--results", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    found = Tags(page)
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in tags.tags} | {"li", "ul", "strong"}
    assert not [name for name in found.values if name.startswith("on")]
    assert "src" not in found.values
    assert "secret" not in page
    assert page.count("<script") == 1
    assert " ".join(HOSTILE[0].split()) in " ".join(found.text.split())


def test_names_of_suites_stay_texts(tmp_path: Path) -> None:
    plan, records = toy("s<b>'&\"")
    tags = Tags(report(tmp_path, plan, records))
    assert unquote("./s%3Cb%3E%27%26%22.csv") in map(unquote, tags.values["href"])
    anchors = {each.removeprefix("#") for each in tags.values["href"] if each.startswith("#")}
    assert anchors <= set(tags.values["id"])
    assert len(set(tags.values["id"])) == len(tags.values["id"])


def test_the_policy_allows_this_style_and_this_script_alone(tmp_path: Path) -> None:
    page = report(tmp_path, *toy())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert " style=" not in page.partition("<body>")[2].partition("<img")[0]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_figures_are_carried_whole(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("toy-roc", "toy-more-roc", "other-roc"):
        (tmp_path / "figures" / f"{name}.svg").write_text(FIGURE)
    page = Tags(report(tmp_path, *toy()))
    assert "Figures (2)" in page.text
    assert page.values["alt"] == ['Curves of "toy" & more. AUROC against the rate.'] * 2
    carried = [value for value in page.values["src"] if value.startswith("data:")]
    assert [unquote(value).partition(",")[2] for value in carried] == [FIGURE, FIGURE]
    assert [tag for tag, _ in page.tags].count("script") == 1, "those inside figures are none of the page"
    assert "./figures/toy-roc.svg" in page.values["href"]
    names = {"toy", "toy-more"}
    assert [len(embedded(tmp_path, Overview(suite=name, title=""), names)) for name in sorted(names)] == [
        1,
        1,
    ]
    large = embed("maps", f"<svg><title>Maps</title>{'x' * LARGEST_FIGURE}</svg>", "x.svg")
    assert (large.address, large.title, large.file) == ("", "Maps", "x.svg")
    bare = embed("heat-map", "<svg/>", "x.svg")
    assert (bare.title, bare.alternative) == ("heat map", "heat map")


def test_a_clone_without_records_makes_the_same_page(tmp_path: Path) -> None:
    report(tmp_path, *toy("b"), keep=True)
    page = report(tmp_path, *toy("a", title="Another"), keep=True)
    assert page == report(tmp_path, *toy("b")), "whatever was reported last"
    shutil.rmtree(tmp_path / "records")
    before = (tmp_path / "index.html").stat().st_mtime_ns
    assert anobench(["page", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").read_text() == page
    assert (tmp_path / "index.html").stat().st_mtime_ns == before, "an equal page is not written again"
    (tmp_path / "index.html").unlink()
    assert anobench(["page", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").read_text() == page


@pytest.mark.parametrize("content", [b"<!doctype html>\n<title>mine</title>", b"\xff"])
def test_an_index_of_somebody_elses_stays(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_bytes(content)
    plan, records = toy()
    write_reports(plan, Archive(tmp_path), records)
    assert (tmp_path / "index.html").read_bytes() == content
    assert (tmp_path / "toy.csv").exists()
    assert anobench(["page", "--results", str(tmp_path)]) == 2
    assert "was not written by anobench" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_bytes() == content


def test_nothing_to_show_is_a_users_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.csv").write_text("suite,dataset\n")
    assert anobench(["page", "--results", str(tmp_path)]) == 2
    assert "holds no JSON file of anobench report" in capsys.readouterr().err
    assert not (tmp_path / "index.html").exists()


DAMAGED = {
    "torn": ('{"schema":1,', "torn.json is no overview of a suite"),
    "bytes": ("\udcff", "bytes.json is no overview of a suite"),
    "list": ("[1]", "list.json is no overview of a suite"),
    "deep": ("[" * 100_000, "deep.json is no overview of a suite"),
    "none": ('{"suite":"none"}', "none.json is no overview of a suite"),
    "old": (
        '{"schema":0,"suite":"old"}',
        "has the schema 0, this version of anobench reads 1; write it again",
    ),
    "bare": ('{"schema":1,"suite":"bare"}', "bare.json does not hold an overview of a suite"),
    "other": ('{"schema":1,"suite":"toy","title":"x"}', "is of the suite 'toy'; rename it to toy.json"),
}


def test_a_file_that_cannot_be_read_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (text, _) in DAMAGED.items():
        (tmp_path / f"{name}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with caplog.at_level(logging.WARNING):
        page = report(tmp_path, *toy())
    for _, said in DAMAGED.values():
        assert said in caplog.text
    assert Tags(page).values["data-suite"] == ["toy"]


@pytest.mark.parametrize("change", [{"row": 99}, {"row": None}, {"cells": []}])
def test_a_table_that_does_not_fit_its_suite_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    report(tmp_path, *toy())
    path = tmp_path / "toy.json"
    data = json.loads(path.read_text())
    data["tables"][0]["table"]["rows"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(ArchiveError, match=r"toy\.json .*anobench report toy"):
        read_overview(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan, records = toy()
    report(tmp_path, named(plan, (*HOSTILE[:4], "no text: \udcff")), records)
    text = (tmp_path / "toy.json").read_text()
    assert text.startswith('{"schema":1,"suite":"toy",')
    found = read_overview(tmp_path / "toy.json")
    assert to_json(found) == text
    assert found.rows[1].label == HOSTILE[1]
    assert (found.cells, found.failed, found.missing) == (80, 1, 1)


def test_the_repositorys_own_page_is_small_and_up_to_date() -> None:
    results = ROOT / "results"
    exports = {path.stem.removesuffix("-thresholds") for path in results.glob("*.csv")} - {"published"}
    assert set(overviews(results)) == exports
    for name in exports:
        # Of a large suite most of it are tables, one for each metric and rate.
        cells = overviews(results)[name].cells
        assert (results / f"{name}.json").stat().st_size < max(300_000, 250 * cells)
    text = (results / "index.html").read_text()
    assert is_ours(text)
    assert len(text.encode()) < BUDGET
    assert page_of(results, overviews(results)) == text
