"""A paper's table: what is chosen and marked, and the four ways to write it."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.core.errors import AnobenchError
from bench.core.plan import Entry
from bench.core.truth import Truth
from bench.report.board import Board
from bench.report.csv import table_csv
from bench.report.evidence.evidence import Evidence
from bench.report.html import table_html
from bench.report.latex import escape as latex_escape
from bench.report.latex import latex
from bench.report.markdown import table_markdown
from bench.report.paper.paper import TESTS, paper_table
from bench.report.table import Table
from tests.report.evidence.scored_factory import above, balanced, write_archive
from tests.report.report_factory import columns, failure, make_plan, make_records, row

ROWS = (
    row("bad"),
    row("good[a_b=1]"),
    row("near", stochastic=True),
    row("oe", setting="outlier-exposure"),
    row("oracle", selection="oracle"),
)
BOTH = columns(digits=["0", "1"], mvtec=["cable", "tile"])
HITS = {"bad": 20, "good": 36, "oe": 40, "oracle": 40}


def scores_of(entry: Entry, truth: Truth) -> object:
    return above(truth, HITS.get(entry.cell.method, 34 + (entry.cell.seed or 0)))


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    plan = make_plan(ROWS, BOTH, rates=(0.0, 0.1), seeds=(0, 1, 2))
    folder = tmp_path_factory.mktemp("paper")
    archive, records = write_archive(folder, plan, scores_of, lambda entry: balanced(entry, 80))
    return Evidence(Board(plan, records), archive)


def labels(held: Table) -> list[str]:
    return [each.label for each in held.rows]


def heads(held: Table) -> list[tuple[str, str]]:
    return [(column.group, column.head) for column in held.columns]


def test_data_sets_and_their_average_with_marks(evidence: Evidence) -> None:
    held = paper_table(evidence)
    assert heads(held) == [("", "digits"), ("", "mvtec"), ("", "Average")]
    assert labels(held) == ["good[a_b=1]", "near", "bad", "oracle", "oe"]
    assert [each.section for each in held.rows] == ["", "", "", "oracle selection", "outlier-exposure"]
    for at in range(3):
        marks = [(each.cells[at].mark, each.cells[at].tie) for each in held.rows]
        # Neither 100 of an oracle nor that of more supervision is the best. Three seeds leave it open.
        assert marks == [("best", False), ("second", True), ("", False), ("", False), ("", False)]
    assert held.rows[1].cells[0].value == pytest.approx(0.875)
    assert held.rows[1].cells[0].spread == pytest.approx(0.025)
    assert held.rows[0].cells[0].spread is None


def test_choosing_rows_and_columns(evidence: Evidence) -> None:
    held = paper_table(evidence, by="task", methods=("bad", "good*"), datasets=("mv*",), rates=(0.1,))
    assert labels(held) == ["bad", "good[a_b=1]"]
    assert heads(held) == [("", "cable"), ("", "tile"), ("", "Mean")]
    assert held.caption.startswith("AUROC in points on mvtec at 10")
    held = paper_table(evidence, by="task", tasks=("0", "cable"))
    assert heads(held) == [("digits", "0"), ("mvtec", "cable"), ("", "Average")]
    held = paper_table(evidence, by="average", rates=(0.0, 0.1))
    assert heads(held) == [("Average", "0\u00a0%"), ("Average", "10\u00a0%")]
    held = paper_table(evidence, rates=(0.0, 0.1), datasets=("digits",))
    assert heads(held) == [("digits", "0\u00a0%"), ("digits", "10\u00a0%")]
    assert labels(paper_table(evidence, methods=("good[a_b=1]",))) == ["good[a_b=1]"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"methods": ("godo*",)}, "no method 'godo*'"),
        ({"methods": ("nea",)}, "did you mean 'near'?"),
        ({"datasets": ("cifar",)}, "no data set 'cifar'; available: digits, mvtec"),
        ({"tasks": ("bottle",)}, "no task 'bottle'"),
        ({"rates": (0.2,)}, "no contamination rate 0.2; available: 0, 0.1"),
        ({"metric": "pro"}, "no record has the metric 'pro'"),
        ({"decimals": -1}, "-1 decimals: expected 0 to 6"),
        ({"decimals": 7}, "7 decimals: expected 0 to 6"),
    ],
)
def test_what_is_not_there(evidence: Evidence, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(AnobenchError) as caught:
        paper_table(evidence, **wrong)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_lower_is_better_for_fpr95(evidence: Evidence) -> None:
    held = paper_table(evidence, metric="fpr95")
    ranked = [each for each in held.rows if not each.section]
    best = min(ranked, key=lambda each: each.cells[0].value or 0)
    assert best.cells[0].mark == "best"
    assert "†" not in held.caption
    assert held.caption.startswith("FPR95 in points, lower is better")


def test_equal_ones_as_printed_share_a_place_and_holes_have_no_number() -> None:
    plan = make_plan((row("a"), row("b"), row("c"), row("d")), columns(digits=["0"]))
    values = {0: 0.9501, 1: 0.9499, 2: 0.9, 3: 0.99}
    records = make_records(plan, lambda entry: values[entry.row])
    last = plan.entries[-1].cell
    records[last.key] = failure(last)
    held = paper_table(Evidence(Board(plan, records)))
    assert [each.cells[0].mark for each in held.rows] == ["best", "best", "second", ""]
    assert held.rows[-1].cells[0].value is None
    text = table_markdown(held)
    assert "**95.0**" in text
    assert text.splitlines()[5].split() == ["|", "d", "|", "—", "|"]
    assert "†" not in text
    finer = paper_table(Evidence(Board(plan, records)), decimals=2)
    assert [each.cells[0].mark for each in finer.rows] == ["best", "second", "", ""]


def test_markdown(evidence: Evidence) -> None:
    lines = table_markdown(paper_table(evidence)).splitlines()
    assert lines[2].split() == ["|", "good[a_b=1]", "|", "**90.0**", "|", "**90.0**", "|", "**90.0**", "|"]
    assert lines[3].split() == [
        *["|", "near", *["|", "<u>87.5</u>†", "±", "2.5"] * 2],
        *["|", "<u>87.5</u>†", "±", "2.5", "|"],
    ]
    assert lines[6].startswith("| oe (outlier-exposure) ")
    assert lines[-1] == (
        "AUROC in points; best in bold, second underlined; † may be the best: no other is "
        "significantly better (α = 0.05; paired t test over test images and seeds on means; Holm); "
        "± standard deviation over seeds."
    )
    bare = table_markdown(paper_table(evidence, spread=False), caption="Mine")
    assert "±" not in bare
    assert bare.endswith("\n\nMine\n")


def test_transposed(evidence: Evidence) -> None:
    text = table_markdown(paper_table(evidence, by="task").turned())
    head = [cell.strip() for cell in text.splitlines()[0].split("|")[1:-1]]
    assert head == ["", "good[a_b=1]", "near", "bad", "oracle selection oracle", "outlier-exposure oe"]
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:9]] == [
        "0 (digits)", "1 (digits)", "Mean (digits)",
        "cable (mvtec)", "tile (mvtec)", "Mean (mvtec)",
        "Average",
    ]  # fmt: skip


def test_csv(evidence: Evidence) -> None:
    lines = list(csv.DictReader(io.StringIO(table_csv(paper_table(evidence, decimals=3)))))
    assert lines[1]["Method"] == "near"
    assert (lines[1]["digits"], lines[1]["digits sd"], lines[1]["digits mark"]) == (
        "87.500",
        "2.500",
        "second tie",
    )
    assert lines[4]["group"] == "outlier-exposure"
    assert lines[4]["Average mark"] == ""


def test_html_is_well_formed(evidence: Evidence) -> None:
    open_tags: list[str] = []
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            del attrs
            open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

        def handle_data(self, data: str) -> None:
            texts.append(data)

    reader = Reader()
    reader.feed(table_html(paper_table(evidence, by="task"), caption="a < b & c"))
    assert not open_tags
    assert "a < b & c" in texts
    assert texts.count("good[a_b=1]") == 1


def test_latex(evidence: Evidence) -> None:
    text = latex(paper_table(evidence), caption=r"Mine, $x$", label="tab:mine")
    assert r"\caption{Mine, $x$}" in text
    assert r"\label{tab:mine}" in text
    assert r"\begin{tabular}{lr@{}lr@{}lr@{}l}" in text
    assert r"good[a\_b=1] & \textbf{90.0} &  & " in text
    assert r"near & \underline{87.5} & $^{\dagger}$~$\pm$~2.5 & " in text
    assert text.count(r"\midrule") == 3
    assert r"\multicolumn{7}{l}{\emph{oracle selection}} \\" in text
    plain = latex(paper_table(evidence, methods=("bad", "oe")))
    assert r"\begin{tabular}{lrrr}" in plain
    grouped = latex(paper_table(evidence, by="task"))
    assert r" & \multicolumn{6}{c}{digits} & \multicolumn{6}{c}{mvtec} & \multicolumn{2}{c}{} \\" in grouped
    assert r"\cmidrule(lr){2-7}\cmidrule(lr){8-13}" in grouped


SPECIAL = "a_b & 50% #1 {x} $y$ ^z ~ \\w <v> |u| — ≈ é"


def test_special_characters() -> None:
    assert latex_escape("a_b & 50%") == r"a\_b \& 50\%"
    assert latex_escape("x\\y{z}") == r"x\textbackslash{}y\{z\}"
    # Behind the \\ of a line a bracket would be its option.
    assert latex_escape("[k=2]") == "{[}k=2]"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex at hand")
def test_latex_compiles(evidence: Evidence, tmp_path: Path) -> None:
    plan = make_plan((row(SPECIAL), row("[odd]"), row("*star")), columns(**{"d_1[a=50]": ["t% & |", "u#"]}))
    odd = Evidence(Board(plan, make_records(plan)))
    texts = [
        latex(paper_table(evidence, by="task")),
        latex(paper_table(evidence, rates=(0.0, 0.1)).turned()),
        latex(paper_table(odd, by="task"), caption="Short", label="x"),
    ]
    source = "\n".join(
        [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", *texts, r"\end{document}"]
    )
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000


def test_the_most_and_the_fewest_decimals(evidence: Evidence) -> None:
    written = [table_csv(paper_table(evidence, decimals=at, spread=False), spread=False) for at in (0, 6)]
    best = [next(csv.DictReader(io.StringIO(text))) for text in written]
    assert [line["digits"] for line in best] == ["90", "90.000000"]


def test_one_method_alone_is_not_marked(evidence: Evidence) -> None:
    (only,) = paper_table(evidence, methods=("near",)).rows
    assert [(cell.mark, cell.tie) for cell in only.cells] == [("", False)] * 3


def test_a_part_of_a_data_set_is_not_tested(evidence: Evidence) -> None:
    """What images add is known for the whole: neither it nor an average over it has ties."""
    held = paper_table(evidence, tasks=("0", "1", "cable"), by="dataset")
    assert heads(held) == [("", "digits"), ("", "mvtec"), ("", "Average")]
    # The other data set is a single task here, of which three seeds tell nothing.
    assert [(cell.tie, cell.untold) for cell in held.rows[1].cells] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert f"(α = 0.05; {TESTS['images']}, {TESTS['task']}; Holm)" in held.caption
    assert "‡ too few seeds or images to tell" in held.caption


def test_what_cannot_be_told_has_a_mark_of_its_own(tmp_path: Path) -> None:
    """A stochastic method with one seed is neither a tie nor worse."""
    plan = make_plan((row("a"), row("b"), row("s", stochastic=True)), columns(digits=["0"]), seeds=(0,))
    hits = {"a": 36, "b": 20, "s": 35}
    archive, records = write_archive(
        tmp_path,
        plan,
        lambda entry, of: above(of, hits[entry.cell.method]),
        lambda entry: balanced(entry, 80),
    )
    evidence = Evidence(Board(plan, records), archive)
    for by in ("task", "dataset", "average"):
        held = paper_table(evidence, by=by)  # type: ignore[arg-type]
        assert [(each.cells[-1].tie, each.cells[-1].untold) for each in held.rows] == [
            (False, False),
            (False, True),
            (False, False),
        ]
        assert held.caption.endswith("second underlined; ‡ too few seeds or images to tell.")
        assert "87.5" in table_markdown(held)
        assert "‡" in table_markdown(held).splitlines()[3]
        assert r"^{\ddagger}" in latex(held)
        assert "‡" in table_html(held)


def test_a_tie_is_what_no_other_is_significantly_better_than(tmp_path: Path) -> None:
    """By all pairs of the methods chosen: a choice of fewer corrects for fewer."""
    plan = make_plan((row("a"), row("b"), row("c")), columns(digits=["0", "1"]))
    archive, records = write_archive(
        tmp_path,
        plan,
        lambda entry, of: above(of, (38, 32, 31)[entry.row]),
        lambda entry: balanced(entry, 80),
    )
    evidence = Evidence(Board(plan, records), archive)
    compared = evidence.overall(0.0)
    assert compared is not None
    may = compared.possible_bests
    held = paper_table(evidence, by="average")
    assert [each.cells[0].tie for each in held.rows] == [False, *may[1:].tolist()]


def test_equal_ones_are_both_best_and_no_tie(tmp_path: Path) -> None:
    plan = make_plan((row("a"), row("b"), row("c")), columns(digits=["0", "1"]))
    archive, records = write_archive(
        tmp_path,
        plan,
        lambda entry, of: above(of, 36 - 10 * (entry.row == 2)),
        lambda entry: balanced(entry, 80),
    )
    held = paper_table(Evidence(Board(plan, records), archive))
    assert [(each.cells[0].mark, each.cells[0].tie) for each in held.rows] == [
        ("best", False),
        ("best", False),
        ("second", False),
    ]
