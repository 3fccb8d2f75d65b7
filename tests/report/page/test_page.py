"""The page as a file: what it says, what it may do, and when it is written."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.cli import main
from bench.core.archive import Archive
from bench.report.export import HEADER
from bench.report.page.pictures import picture, pictures
from bench.report.page.render import is_ours
from bench.report.write import write_reports
from tests.report.page.page_factory import HOSTILE, PICTURE, Tags, named, report, toy

ROOT = Path(__file__).resolve().parents[3]
#: A page of the repository's own results stays below (bytes a suite; most of them are figures).
BUDGET = 220_000


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
    assert clean[0] == [*heads, "Marginal s", "Cold s", "Setting", "Selection", "Backbone"]
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
    assert page.count("<script") == 2
    assert not [name for name in hostile.values if name.startswith("on")]


def test_names_of_data_sets_tasks_and_suites_stay_texts(tmp_path: Path) -> None:
    tags = []
    for folder, (suite, data, task) in {
        "a": ("s", "d", "t"),
        "b": ("s<b>'&\"", HOSTILE[0], HOSTILE[1]),
    }.items():
        (tmp_path / folder).mkdir()
        quoted = [f'"{text.replace(chr(34), chr(34) * 2)}"' for text in (data, task)]
        line = f"x,{quoted[0]},{quoted[1]},lof,,pixels,0.0,,auroc,0.9,ok"
        (tmp_path / folder / f"{suite}.csv").write_text(f"{','.join(HEADER)}\n{line}\n")
        assert anobench(["page", "--results", str(tmp_path / folder)]) == 0
        tags.append(Tags((tmp_path / folder / "index.html").read_text()))
    assert tags[0].tags == tags[1].tags
    assert HOSTILE[1] in tags[1].text
    assert unquote("./s%3Cb%3E%27%26%22.csv") in map(unquote, tags[1].values["href"])
    anchors = {each.removeprefix("#") for each in tags[1].values["href"] if each.startswith("#")}
    assert anchors <= set(tags[1].values["id"])
    assert len(set(tags[1].values["id"])) == len(tags[1].values["id"])


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
        (tmp_path / "figures" / f"{name}.svg").write_text(PICTURE)
    page = Tags(report(tmp_path, *toy()))
    assert "Figures (2)" in page.text
    assert page.values["alt"] == ['Curves of "toy" & more. AUROC against the rate.'] * 2
    carried = [value for value in page.values["src"] if value.startswith("data:")]
    assert [unquote(value).partition(",")[2] for value in carried] == [PICTURE, PICTURE]
    assert [tag for tag, _ in page.tags].count("script") == 2, (
        "those inside the pictures are none of the page"
    )
    assert "./figures/toy-roc.svg" in page.values["href"]
    longest = pictures(tmp_path, "toy-more", frozenset({"toy", "toy-more"}))
    assert [each.kind for each in longest] == ["roc"]
    assert pictures(tmp_path, "toy", frozenset({"toy", "toy-more"}))[0].kind == "roc"
    assert len(pictures(tmp_path, "toy", frozenset({"toy", "toy-more"}))) == 1
    bare = picture("heat-map", "<svg/>", "x.svg")
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
    poorer = (tmp_path / "index.html").read_text()
    assert "Marginal" in Tags(page).text.partition("Overall")[2]
    assert "Marginal" not in Tags(poorer).text.partition("Overall")[2], "without page and records: no seconds"
    assert "Another" in poorer, "the title is the leaderboard's"


def test_records_say_what_a_lost_page_said(tmp_path: Path) -> None:
    page = report(tmp_path, *toy(), keep=True)
    (tmp_path / "index.html").unlink()
    assert anobench(["page", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").read_text() == page


def test_what_belongs_to_the_csv_is_believed_first(tmp_path: Path) -> None:
    """A plan whose records are elsewhere knows less than the page, which knew all of this very CSV."""
    page = report(tmp_path, *toy(), keep=True)
    for path in (tmp_path / "records").glob("??/*.json"):
        path.unlink()
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
    (tmp_path / "published.csv").write_text("source,label\n")
    assert anobench(["page", "--results", str(tmp_path)]) == 2
    assert "holds no CSV of anobench export" in capsys.readouterr().err
    assert not (tmp_path / "index.html").exists()


def test_a_damaged_csv_is_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "torn.csv").write_text(f"{','.join(HEADER)}\ntorn,a,b\n")
    (tmp_path / "rate.csv").write_text(f"{','.join(HEADER)}\nrate,a,b,lof,,,much,,auroc,0.9,ok\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with caplog.at_level(logging.WARNING):
        page = report(tmp_path, *toy())
    assert "torn.csv, line 2" in caplog.text
    assert "'much' is no contamination rate" in caplog.text
    assert "bytes.csv cannot be read" in caplog.text
    assert Tags(page).values["data-suite"] == ["toy"]


def test_the_repositorys_own_page_is_small(tmp_path: Path) -> None:
    for path in (ROOT / "results").rglob("*"):
        if path.suffix in (".csv", ".md", ".svg") and "records" not in path.parts:
            there = tmp_path / path.relative_to(ROOT / "results")
            there.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, there)
    assert anobench(["page", "--results", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    assert is_ours(page)
    exports = {path.stem for path in tmp_path.glob("*.csv")} - {"published"}
    assert len(page.encode()) < BUDGET * len(exports)
    assert set(Tags(page).values["data-suite"]) == exports
