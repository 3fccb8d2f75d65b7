"""Kinds of parameters in the words of a message."""

from __future__ import annotations

import pytest

from bench.core.params import in_words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("int", "a whole number"),
        ("PositiveInt | None", "a whole number above 0 or none"),
        ("Share | None", "a number above 0, at most 1 or none"),
        ("Literal['last', 'oracle']", "'last' or 'oracle'"),
        ("Literal['3-4', '4', '2-4']", "'3-4', '4' or '2-4'"),
        ("Literal[8, 16] | None", "8, 16 or none"),
        ("Unheard", "Unheard"),
    ],
)
def test_a_kind_in_words(annotation: str, words: str) -> None:
    assert in_words(annotation) == words
