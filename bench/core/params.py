"""Kinds of adapter parameters, checked before anything runs.

An adapter annotates its parameters with these names, or with ``int``, ``float``, ``str``, ``bool``,
``Literal[...]`` and unions of them. The registry reads annotations from the source text and imports no
adapter.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
#: A share strictly between 0 and 1.
Fraction = Annotated[float, Field(gt=0, lt=1)]
#: A share from 0 to 1, both included.
UnitInterval = Annotated[float, Field(ge=0, le=1)]
#: A share above 0, at most all.
Share = Annotated[float, Field(gt=0, le=1)]
#: The selector of a method, which a `bench.Wrapper` trains; see `bench.suite.resolve`.
BaseMethod = Annotated[str, Field(min_length=1)]

#: The names that an annotation may use.
VOCABULARY = {
    "PositiveInt": PositiveInt,
    "NonNegativeInt": NonNegativeInt,
    "PositiveFloat": PositiveFloat,
    "NonNegativeFloat": NonNegativeFloat,
    "Fraction": Fraction,
    "UnitInterval": UnitInterval,
    "Share": Share,
    "BaseMethod": BaseMethod,
    "Literal": Literal,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "None": None,
}

#: Their names in messages.
_WORDS = {
    "None": "none",
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number from 0 up",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number from 0 up",
    "Fraction": "a number between 0 and 1",
    "UnitInterval": "a number from 0 to 1",
    "Share": "a number above 0, at most 1",
    "BaseMethod": "a method such as dn2[k=2]",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
}


def in_words(annotation: str) -> str:
    """Return an annotation in words: ``PositiveInt | None`` is "a whole number above 0 or none"."""
    parts: list[str] = []
    for part in annotation.split(" | "):
        if part.startswith("Literal["):
            parts += part.removeprefix("Literal[").removesuffix("]").split(", ")
        else:
            parts.append(_WORDS.get(part, part))
    *firsts, last = parts
    return f"{', '.join(firsts)} or {last}" if firsts else last
