"""One row of ``published.csv``: a number that a paper or repository prints, with its source.

The columns, of which only the first five and ``label`` or ``method`` must be there:

``source``
    The document and the place in it where the number stands.
``dataset``, ``task``
    Our selector and task; ``mean`` is the unweighted mean over ``tasks`` tasks, and compares with nothing
    without their number. A data set or task without an adapter of ours keeps its usual name.
``metric``, ``value``
    ``auroc``, ``f1max``, ``pixel_auroc``, ``pixel_aupro`` … in percent, with the digits that were printed.
``label``, ``variant``
    The method as it is printed, and which variant of it.
``method``, ``params``
    Our adapter's name (or what it would be called) and the parameters that make it this variant, as between a
    selector's brackets; ``k=none|32`` allows either.
``setting``, ``selection``
    Supervision (``one-class``, ``outlier-exposure``, …), and how the shown state was chosen: ``last``,
    ``validation``, ``oracle`` (on test data), empty where the source does not say.
``backbone``, ``resolution``
    ``architecture/weights``, ``scratch`` (trained from nothing), ``pixels``; the network's input side.
``protocol``, ``contamination``
    ``one-vs-rest``, ``inspection`` (the official split, a model for each category), ``unified`` (one model
    for all), …; what was mixed into the train set (``rate=0.1,of=set,source=jittered``), empty for clean.
``runs``, ``certainty``, ``note``
    Runs averaged, taken as one where there is nothing. ``read`` in the source, ``quoted`` by another work,
    ``inferred`` by us where the source is ambiguous, ``recalled`` from memory and not checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from bench.core.contamination import AnomalySource
from bench.core.errors import PublishedError, SelectorError
from bench.core.selector import parse

REQUIRED = ("source", "dataset", "task", "metric", "value")
COLUMNS = (
    *("source", "label", "variant", "method", "params", "dataset", "task", "tasks", "metric", "value"),
    *("setting", "selection", "backbone", "resolution", "protocol", "contamination", "runs"),
    *("certainty", "note"),
)
#: Metrics that are no percentages: facts about a data set, differences of points.
FACTS = ("n_classes", "n_train_avg", "n_test", "auroc_gain")
SELECTIONS = ("", "last", "validation", "oracle")
CERTAINTIES = ("read", "quoted", "inferred", "recalled")
#: What may be said of a contamination; the rate must be.
_DRAW = {"of": ("set", "normals"), "mode": ("add", "replace"), "source": get_args(AnomalySource)}


#: Makes the error for a column's value: column, what is expected.
Fail = Callable[[str, str], PublishedError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published number; see the module for what the fields mean.

    Attributes
    ----------
    params : tuple of (str, tuple of str)
        Each parameter with the values that are allowed.
    tasks, resolution, runs : int or None
        None where the source does not say.
    value : float
        As printed: percent, or a count.
    digits : int
        Behind the point, as printed.
    contamination : tuple of (str, str)
        Empty for clean training data.
    where : str
        File and line.
    """

    source: str
    label: str
    variant: str = ""
    method: str = ""
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dataset: str
    task: str
    tasks: int | None = None
    metric: str
    value: float
    digits: int = 1
    setting: str = "one-class"
    selection: str = ""
    backbone: str = ""
    resolution: int | None = None
    protocol: str = ""
    contamination: tuple[tuple[str, str], ...] = ()
    runs: int | None = None
    certainty: str = "read"
    note: str = ""
    where: str = field(default="", compare=False)

    @property
    def printed(self) -> str:
        """Return the value with the digits that were printed."""
        return f"{self.value:.{self.digits}f}"

    @property
    def name(self) -> str:
        """Return the method as printed, with its variant."""
        return f"{self.label} ({self.variant})" if self.variant else self.label

    @property
    def identity(self) -> tuple[Any, ...]:
        """Return what may have one value only."""
        what = (self.source, self.label, self.variant, self.dataset, self.task, self.metric)
        return (*what, self.setting, self.protocol, self.contamination)


def published_row(fields: dict[str, str], where: str) -> Published:
    """Check the fields of one line.

    Parameters
    ----------
    fields : dict of str to str
        By column, without spaces around; columns that are not required may be left out.
    where : str
        File and line, for messages.

    Raises
    ------
    PublishedError
        A field does not hold: names the column, what was given and what is allowed.
    """

    def fail(key: str, expected: str) -> PublishedError:
        return PublishedError(f"{where}, {key}: got {fields.get(key, '')!r}, expected {expected}")

    _check_words(fields, fail)
    return Published(
        source=fields["source"],
        label=fields.get("label") or fields.get("method", ""),
        variant=fields.get("variant", ""),
        method=fields.get("method", ""),
        backbone=fields.get("backbone", ""),
        protocol=fields.get("protocol", ""),
        note=fields.get("note", ""),
        tasks=_whole(fields, "tasks", fail),
        resolution=_whole(fields, "resolution", fail),
        runs=_whole(fields, "runs", fail),
        params=_params(fields.get("params", ""), fail),
        dataset=_selector(fields["dataset"], fail),
        task=fields["task"],
        metric=fields["metric"],
        value=_value(fields, fail),
        digits=len(fields["value"].partition(".")[2]),
        setting=fields.get("setting") or "one-class",
        selection=fields.get("selection", ""),
        contamination=_contamination(fields.get("contamination", ""), fail),
        certainty=fields.get("certainty") or "read",
        where=where,
    )


def _check_words(fields: dict[str, str], fail: Fail) -> None:
    for key in REQUIRED:
        if not fields[key] and not (key == "task" and fields["metric"] in FACTS):
            raise fail(key, "a text: this column may not be empty")
    if not (fields.get("label") or fields.get("method") or fields["metric"] in FACTS):
        raise fail("label", "the method as it is printed (or its adapter's name in the column method)")
    for key, allowed in (("selection", SELECTIONS), ("certainty", ("", *CERTAINTIES))):
        if fields.get(key, "") not in allowed:
            raise fail(key, " or ".join(repr(word) for word in allowed))


def _whole(fields: dict[str, str], key: str, fail: Fail) -> int | None:
    text = fields.get(key, "")
    # Python reads no numbers of thousands of digits.
    if text and not (text.isdecimal() and len(text) < 20 and int(text) > 0):
        raise fail(key, "a whole number above 0, or nothing")
    return int(text) if text else None


def _value(fields: dict[str, str], fail: Fail) -> float:
    percent = fields["metric"] not in FACTS
    try:
        value = float(fields["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (percent and not 0 <= value <= 100):
        raise fail("value", "a number of percent from 0 to 100" if percent else "a number")
    return value


def _selector(text: str, fail: Fail) -> str:
    try:
        return str(parse(text))
    except SelectorError:
        raise fail("dataset", "a data set's selector such as cifar100 or real_iad[split=fuiad]") from None


def _pairs(text: str, key: str, fail: Fail) -> dict[str, str]:
    try:
        return dict(parse(f"x[{text}]").params) if text else {}
    except SelectorError:
        raise fail(key, "name=value, separated by commas") from None


def _params(text: str, fail: Fail) -> tuple[tuple[str, tuple[str, ...]], ...]:
    pairs = _pairs(text, "params", fail)
    return tuple((name, tuple(value.split("|"))) for name, value in sorted(pairs.items()))


def _contamination(text: str, fail: Fail) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(text, "contamination", fail)
    if not pairs:
        return ()
    for name, value in pairs.items():
        if name == "rate":
            continue
        if name not in _DRAW:
            raise fail("contamination", f"rate, {', '.join(_DRAW)} as names, not {name!r}")
        if value not in _DRAW[name]:
            raise fail("contamination", f"{name} to be {' or '.join(_DRAW[name])}")
    try:
        rate = float(pairs.get("rate", "nan"))
    except ValueError:
        rate = math.nan
    if not 0 < rate < 1:
        raise fail("contamination", "a rate between 0 and 1 (rate=0.1), or nothing for clean data")
    return tuple(sorted(pairs.items()))
