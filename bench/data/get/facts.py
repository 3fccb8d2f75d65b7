"""The official facts that the data set adapters rest on, as a table made from the adapters themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = """# What is known of the data sets

Each adapter names the official facts that it rests on, where they come from, and what they were held against:
an official list or the official images, a paper, counts that others confirmed, or nothing (unconfirmed).
`anobench data ls NAME` shows those of one data set, `anobench data check NAME` compares your copy with
them. `folder` and `hub` rest on none. This page is made by `anobench data facts --markdown`.

| data set | fact | source | held against |
| --- | --- | --- | --- |
"""
UNCONFIRMED = "unconfirmed"


def facts_of(attributes: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return an adapter's facts from its class attributes: (fact, source, what it was held against)."""
    return [
        (what, source or "not known", held or UNCONFIRMED)
        for what, source, held in attributes.get("facts", ())
    ]


def facts_page(datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the Markdown page of all adapters' facts.

    Parameters
    ----------
    datasets : mapping
        Class attributes by adapter.
    """
    rows = [
        f"| {name} | {' | '.join(each.replace('|', '&#124;') for each in fact)} |"
        for name, attributes in datasets.items()
        for fact in facts_of(attributes)
    ]
    return HEAD + "\n".join(rows) + "\n"
