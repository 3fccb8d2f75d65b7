"""The tidy CSV of a suite: one line for each cell and metric.

``method`` and ``backbone`` are names; ``params`` are the method's other parameters as they stand between a
selector's brackets (``k=5,size=16``), defaults included, so that ``f"{method}[{params}]"`` can be run. Like
every field that holds a comma they are quoted. ``seed`` is the method's; for a deterministic method it is the
seed of the contamination's draw, and empty where nothing was drawn. ``value`` has all digits, and is empty
where the cell failed, is missing, or has no such metric (only one class in the test set). Methods that choose
among their training images have further lines (`bench.metrics.purification`), and so have those with anomaly
maps (`bench.metrics.pixel`). Timings and dates are left out,
so that equal runs export equal bytes. A name that a spreadsheet would run as a formula has an apostrophe in
front (`bench.report.csv`), which our own reading takes off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.core.cell import Record
from bench.core.plan import Entry, Plan
from bench.core.selector import format_selector
from bench.metrics.image import IMAGE_METRICS
from bench.metrics.pixel import MAP_METRICS
from bench.metrics.purification import OVERLAP_METRICS, PURIFICATION_METRICS
from bench.report.csv import as_text, csv_text
from bench.report.groups import cell_seed

#: The columns of the CSV.
HEADER = (
    "suite",
    "dataset",
    "task",
    "method",
    "params",
    "backbone",
    "contamination",
    "seed",
    "metric",
    "value",
    "status",
)


def export_rows(plan: Plan, records: Mapping[str, Record]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the tidy CSV, without the header, as text.

    The order is that of the plan's rows, columns, rates and seeds, whatever order the cells ran in. A cell
    that stands in two places of the plan is exported once for each.

    Parameters
    ----------
    plan : Plan
    records : mapping of str to Record
        By key.

    Yields
    ------
    tuple of str
        One field for each name in `HEADER`; ``status`` is ``ok``, ``failed`` or ``missing``.
    """
    rates = {rate: at for at, rate in enumerate(plan.rates)}
    seeds = {seed: at for at, seed in enumerate(plan.seeds)}

    def place(entry: Entry) -> tuple[int, int, int, float, tuple[int, int]]:
        seed = cell_seed(entry.cell)
        at = (seeds.get(seed, len(seeds)), seed) if seed is not None else (-1, 0)
        return entry.row, entry.column, rates.get(entry.rate, len(rates)), entry.rate, at

    done: set[tuple[int, int, float, str]] = set()
    for entry in sorted(plan.entries, key=place):
        key = entry.cell.key
        if (entry.row, entry.column, entry.rate, key) in done:
            continue
        done.add((entry.row, entry.column, entry.rate, key))
        record = records.get(key)
        more = (*PURIFICATION_METRICS, *OVERLAP_METRICS, *MAP_METRICS)
        chosen = [name for name in more if record is not None and name in record.metrics]
        for metric in (*IMAGE_METRICS, *chosen):
            yield (
                *place_fields(plan, entry),
                metric,
                _value(record, metric),
                record.status if record else "missing",
            )


def export_csv(plan: Plan, records: Mapping[str, Record]) -> str:
    """Return the tidy CSV with its header; lines end in ``\\n``.

    Parameters
    ----------
    plan, records
        As for `export_rows`.
    """
    return csv_text(HEADER, (tuple(map(as_text, row)) for row in export_rows(plan, records)))


def place_fields(plan: Plan, entry: Entry) -> tuple[str, ...]:
    """Return the fields of a cell's lines from ``suite`` to ``seed``."""
    cell, seed = entry.cell, cell_seed(entry.cell)
    # What stands between the brackets of the selector that names the parameters.
    params = format_selector("", dict(cell.params))[1:-1]
    return (
        plan.suite,
        cell.dataset,
        cell.task,
        cell.method,
        params,
        cell.backbone,
        repr(entry.rate),
        "" if seed is None else str(seed),
    )


def _value(record: Record | None, metric: str) -> str:
    if record is None or record.status != "ok" or metric not in record.metrics:
        return ""
    return repr(float(record.metrics[metric]))
