"""Pieces of Markdown: what is escaped, how numbers look, which are marked as best."""

from __future__ import annotations

import pytest

from bench.report import markdown, numbers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dn2[k=2,backbone=pixels]", "dn2[k=2,backbone=pixels]"),
        ("kmeans_distance[k=10]", "kmeans_distance[k=10]"),
        ("a|b", r"a\|b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("*bold* _it_ `code` ~no~", r"\*bold\* \_it\_ \`code\` \~no\~"),
        ("[text](link)", r"[text\](link)"),
        ("two\nlines\t and more ", "two lines and more"),
        ("back\\slash", r"back\\slash"),
        ("bytes \udcff", "bytes ?"),
    ],
)
def test_text_shows_as_it_is(text: str, shown: str) -> None:
    assert markdown.escape(text) == shown


def test_a_table_aligns_its_columns() -> None:
    assert markdown.grid(["Method", "A"], [["x", "1.0"], ["long name", "10.0"]]) == [
        "| Method    |    A |",
        "|:----------|-----:|",
        "| x         |  1.0 |",
        "| long name | 10.0 |",
    ]


def test_a_table_keeps_numbers_as_they_were_written() -> None:
    assert "| 1e5 | 0.10 |" in "\n".join(markdown.grid(["A", "B"], [["1e5", "0.10"]], left=2)).replace(
        "  ", ""
    )


def test_a_table_without_rows_is_nothing() -> None:
    assert markdown.grid(["A"], []) == []
    assert markdown.folded("x", []) == []


def test_a_fence_is_longer_than_those_inside() -> None:
    assert markdown.fenced("a\n````\nb\n", "toml") == ["`````toml", "a", "````", "b", "`````"]
    assert markdown.fenced("a", "sh") == ["```sh", "a", "```"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0001, "<0.001"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_seconds(value: float, shown: str) -> None:
    assert numbers.seconds(value) == shown


def test_numbers() -> None:
    assert numbers.points(0.95349) == "95.3"
    assert numbers.percent(0.1) == f"10{numbers.NBSP}%"
    assert numbers.percent(0.005) == f"0.5{numbers.NBSP}%"
    assert numbers.signed_points(0.0213) == "+2.1"
    assert numbers.signed_points(-0.0213) == "−2.1"
    assert numbers.signed_points(-0.0001) == "0.0"
    assert numbers.size(300 * 2**20) == "300 MiB"
    assert numbers.size(5 * 2**30) == "5.0 GiB"
    assert numbers.count(1, "cell") == "1 cell"
    assert numbers.count(2000, "cell") == "2,000 cells"
    assert numbers.span([209, 391, 5000]) == "209 to 5,000"
    assert numbers.span([9.0901, 9.0909], 2) == "9.09"


def test_a_column_is_as_wide_as_its_longest_word() -> None:
    assert markdown.narrowest(["textures (synthetic)", "**95.3**"]) == len("(synthetic)") + 3
    assert markdown.narrowest([f"95.3{numbers.NBSP}±{numbers.NBSP}0.2"]) == len("95.3 ± 0.2") + 3


def test_a_long_selector_may_be_broken() -> None:
    short, long = "dn2[k=2,backbone=pixels]", "patchcore[k=1,backbone=wide_resnet50_2.tv_in1k[size=224]]"
    assert markdown.breakable(short) == short
    broken = markdown.breakable(long)
    assert broken == "patchcore<wbr>[k=1,<wbr>backbone=wide_resnet50_2.tv_in1k<wbr>[size=224]]"
    assert markdown.narrowest([broken]) < markdown.narrowest([long])
