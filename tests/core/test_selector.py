"""Selectors: what they mean, that writing and reading are inverse, and what a mistake says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import SelectorError
from bench.core.selector import Selector, format_selector, parse

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
values = st.from_regex(r"[a-z0-9_.*\-]{1,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dn2", Selector("dn2")),
        ("dn2[]", Selector("dn2")),
        ("dn2[k=5]", Selector("dn2", {"k": "5"})),
        (" dn2[ k = 5 , backbone = pixels ] ", Selector("dn2", {"k": "5", "backbone": "pixels"})),
        (
            "llbnad[base=dn2[k=5,backbone=pixels[size=16]],keep=0.2]",
            Selector("llbnad", {"base": "dn2[k=5,backbone=pixels[size=16]]", "keep": "0.2"}),
        ),
        ("*_distance", Selector("*_distance")),
        ("hub[name='a, b=c']", Selector("hub", {"name": "a, b=c"})),
        (
            "dn2[backbone=torchvision:wide_resnet50_2/IMAGENET1K_V1]",
            Selector("dn2", {"backbone": "torchvision:wide_resnet50_2/IMAGENET1K_V1"}),
        ),
    ],
)
def test_parse(text: str, expected: Selector) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[k=1]",
        "dn2[",
        "dn2]",
        "dn2[k]",
        "dn2[k=]",
        "dn2[k=1",
        "dn2[k=1]]",
        "dn2[k=[1]",
        "dn2[k=1,k=2]",
        "a b",
    ],
)
def test_a_mistake_shows_the_text(text: str) -> None:
    with pytest.raises(SelectorError, match=r"expected|given twice") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


nested = st.recursive(
    st.builds(Selector, names, st.dictionaries(names, values, max_size=3)),
    lambda inner: st.builds(Selector, names, st.dictionaries(names, inner.map(str), max_size=2)),
    max_leaves=4,
)


@given(nested)
def test_writing_and_reading_are_inverse(selector: Selector) -> None:
    assert parse(str(selector)) == selector


@given(names, st.dictionaries(names, st.text(alphabet="ab ,='[]", max_size=6), max_size=3))
def test_awkward_text_survives(name: str, params: dict[str, str]) -> None:
    assert parse(format_selector(name, params)) == Selector(name, params)


def test_text_with_both_kinds_of_quotes_is_refused() -> None:
    with pytest.raises(SelectorError, match="both kinds of quotes"):
        format_selector("hub", {"name": "a'b\""})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("5", "5"),
        ("0.2", "0.2"),
        ("a/b c", "a/b c"),
        (1e-05, "1e-05"),
        ("a[k=1]", "a[k=1]"),
        ("", '""'),
        (" a", '" a"'),
        ("a, b", '"a, b"'),
    ],
)
def test_only_text_that_needs_quotes_is_quoted(value: object, written: str) -> None:
    assert format_selector("m", {"v": value}) == f"m[v={written}]"
