"""What is said of a suite of which only the CSV is there, and perhaps its leaderboard.

The leaderboard gives title and description. Labels name what tells a row from the others of its method.
Settings come from the adapters that are registered now; those of a method that is not are unknown, and an
unknown setting never ranks.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace

from bench.core.errors import AnobenchError
from bench.core.plan import Column, Row
from bench.core.selector import format_selector, parse
from bench.report.compare.sides import Side
from bench.report.page.about import About, Named
from bench.report.page.tidy import rate_of
from bench.suite.registry import Registry
from bench.suite.resolve import resolve

#: The setting and the selection of a method of which nothing is known.
UNKNOWN = "unknown"
#: Method, parameters and backbone, as a CSV has them.
Identity = tuple[str, str, str]

_ESCAPED = re.compile(r"\\([\\`*|~_\[\]])")
#: What the first line after a leaderboard's description begins with.
_AFTER = ("**", "#", "|", "- ", "<", "Data sets marked *synthetic*")


def heading(leaderboard: str, suite: str) -> tuple[str, str]:
    """Return title and description of a leaderboard in Markdown; the suite's name where it has no title."""
    lines = leaderboard.splitlines()
    if not lines or not lines[0].startswith("# "):
        return suite, ""
    description: list[str] = []
    for line in lines[1:]:
        if line.startswith(_AFTER):
            break
        description.append(_plain(line))
    return _plain(lines[0][2:]), "\n".join(description).strip()


def completed(about: About, side: Side, registry: Registry) -> About:
    """Return `about` with the rates, tasks and methods of a CSV that it does not name.

    Raises
    ------
    ArchiveError
        A rate is no such thing.
    """
    named = {row.identity for row in about.rows}
    identities = dict.fromkeys((place.method, place.params, place.backbone) for place in side.cells)
    new = [identity for identity in identities if identity not in named]
    tasks = {(column.dataset, column.task) for column in about.columns}
    columns = dict.fromkeys((place.dataset, place.task) for place in side.cells)
    rates = dict.fromkeys(rate_of(place, side.name) for place in side.cells)
    return replace(
        about,
        rates=tuple(dict.fromkeys((*about.rates, *rates))),
        columns=(
            *about.columns,
            *(_column(data, task, registry) for data, task in columns if (data, task) not in tasks),
        ),
        rows=(
            *about.rows,
            *(_named(identity, label, registry) for identity, label in zip(new, labels(new), strict=True)),
        ),
    )


def labels(identities: Sequence[Identity]) -> list[str]:
    """Return a selector for each, with the parameters only that tell it from the others of its method."""
    params = [_params(identity) for identity in identities]
    found = []
    for (method, text, backbone), own in zip(identities, params, strict=True):
        if own is None:
            found.append(f"{method}[{text}]" + (f", {backbone}" if backbone else ""))
            continue
        others = [
            each
            for other, each in zip(identities, params, strict=True)
            if other[0] == method and each is not None
        ]
        telling = {key: own[key] for key in own if any(each.get(key) != own[key] for each in others)}
        found.append(format_selector(method, telling))
    return found


def _params(identity: Identity) -> dict[str, str] | None:
    """Return the parameters and the backbone by name, or None where they are no selector's."""
    method, text, backbone = identity
    try:
        found = dict(parse(f"{method}[{text}]").params) | ({"backbone": backbone} if backbone else {})
        # What cannot be written again cannot be a label either.
        format_selector(method, found)
    except AnobenchError:
        return None
    return found


def _column(dataset: str, task: str, registry: Registry) -> Column:
    adapter = registry.datasets.get(dataset.partition("[")[0])
    return Column(
        dataset=dataset, task=task, synthetic=bool(adapter and adapter.attributes.get("synthetic", False))
    )


def _named(identity: Identity, label: str, registry: Registry) -> Named:
    method, text, backbone = identity
    given, chosen, seeded, summary = UNKNOWN, UNKNOWN, False, ""
    adapter = registry.methods.get(method)
    params = _params((method, text, ""))
    if adapter is not None and not adapter.problem and params is not None:
        try:
            found = resolve(adapter, params, registry, method, ignore_unknown=True)
        except AnobenchError:
            pass
        else:
            given, chosen, seeded, summary = (
                found.setting,
                found.selection,
                found.stochastic,
                adapter.summary,
            )
    row = Row(
        label=label,
        method=method,
        backbone=backbone,
        setting=given,
        selection=chosen,
        stochastic=seeded,
        summary=summary,
    )
    return Named(row=row, params=text)


def _plain(markdown: str) -> str:
    """Return the text that `bench.report.markdown.escape` made into Markdown."""
    return html.unescape(_ESCAPED.sub(r"\1", markdown))
