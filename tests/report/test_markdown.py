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
        ("bytes \udcff", "bytes \ufffd"),
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


def test_a_column_is_as_wide_as_its_longest_word() -> None:
    assert markdown.narrowest(["textures (synthetic)", "**95.3**"]) == len("(synthetic)") + 3
    assert markdown.narrowest([f"95.3{numbers.NBSP}±{numbers.NBSP}0.2"]) == len("95.3 ± 0.2") + 3


def test_a_long_selector_may_be_broken() -> None:
    short, long = "dn2[k=2,backbone=pixels]", "patchcore[k=1,backbone=wide_resnet50_2.tv_in1k[size=224]]"
    assert markdown.breakable(short) == short
    broken = markdown.breakable(long)
    assert broken == "patchcore<wbr>[k=1,<wbr>backbone=wide_resnet50_2.tv_in1k<wbr>[size=224]]"
    assert markdown.narrowest([broken]) < markdown.narrowest([long])
