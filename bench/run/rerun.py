"""Running cells of a submission again, and what their scores say of those that were submitted.

On the same platform class (system, processor, device, versions of what computes scores, threads) a cell's
scores are the same to the bit on the CPU, stochastic methods' too, which have their seeds; what differs by
rounding alone passes. On another class, and on GPUs, the AUROC must agree within a tolerance.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.metrics.image import auroc
from bench.run.executors.choose import Options
from bench.run.launch import launch
from bench.run.prepare import Prepared

if TYPE_CHECKING:
    from bench.report.submitted.expected import Expected
    from bench.suite.registry import Registry

#: On the same platform class, what is rounding: of scores, relative to their largest, and of AUROC. If many
#: scores are all but equal, less than that in each of them may mean points of AUROC.
ROUNDING, ROUNDED_AUROC = 1e-6, 0.001
#: Of AUROC on another platform class; a stochastic method's is wider, by so many standard deviations over the
#: seeds that the pack has, at most to `LOOSEST`.
TOLERANCE, DEVIATIONS, LOOSEST = 0.005, 3.0, 0.03
#: What another platform's rounding may move a score by, relative to itself.
ELSEWHERE = 1e-4
#: Of another metric on the same platform class: sums are rounded differently.
METRIC = 1e-9

Rule = Literal["bits", "tolerance"]
Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """A submitted cell beside the same cell run here.

    Attributes
    ----------
    cell : Cell
    rule : {"bits", "tolerance"}
    same : bool or None
        None where it could not be run here, or cannot be told on another platform.
    claimed, own : float
        AUROC; NaN where there is none.
    said : str
        What differs, or why it could not be run.
    fresh : bool
        Run again for this; else the receiver had it.
    """

    cell: Cell
    rule: Rule
    same: bool | None
    claimed: float
    own: float
    said: str = ""
    fresh: bool = True


def platform_class(environment: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what of an environment can change the bits of a score."""
    held = environment.get
    packages, threads, cpu = (held(name) or {} for name in ("packages", "threads", "cpu"))
    return (
        held("platform"),
        tuple(sorted(packages.items())) if isinstance(packages, Mapping) else packages,
        cpu.get("name") if isinstance(cpu, Mapping) else cpu,
        threads.get("torch") if isinstance(threads, Mapping) else threads,
        held("device"),
    )


def run_again(
    known: Expected, cells: Sequence[Cell], registry: Registry, options: Options
) -> dict[str, tuple[Record, Floats | None]]:
    """Run cells of the receiver's plan in an archive of their own, which is not kept.

    Returns
    -------
    dict of str to (Record, ndarray or None)
        By key; no scores where the cell failed.

    Raises
    ------
    AnobenchError
        Weights, libraries or data are missing for all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        prepared = Prepared(known.suite, registry, archive, known.plan, {}, tuple(cells))
        launch(prepared, options)
        found = archive.load_all(cell.key for cell in cells)
        return {
            key: (record, archive.scores(record) if record.status == "ok" else None)
            for key, record in found.items()
        }


def compared(
    record: Record,
    scores: Floats,
    labels: NDArray[np.uint8],
    own: tuple[Record, Floats | None] | None,
    spread: float | None,
    *,
    fresh: bool = True,
) -> ComparedCell:
    """Return a submitted cell beside the same cell run here.

    Parameters
    ----------
    record, scores
        As submitted.
    labels : ndarray, shape (n,), uint8
        The receiver's.
    own : (Record, ndarray or None), optional
        As run here.
    spread : float or None
        Of a stochastic method, the standard deviation of AUROC over the seeds of the pack; NaN for a single
        one.
    """
    cell, claimed = record.cell, auroc(labels, scores)
    alike = own is not None and platform_class(own[0].environment) == platform_class(record.environment)
    cpu = record.environment.get("device") == "cpu"
    rule: Rule = "bits" if alike and cpu else "tolerance"
    if own is None or own[1] is None:
        reason = (own[0].error or {}).get("reason", "") if own else "it was not run"
        return ComparedCell(cell, rule, None, claimed, np.nan, f"it cannot be run here: {reason}", fresh)
    value = auroc(labels, own[1])
    if rule == "bits":
        wrong = _bits(record, scores, *own)
        if not wrong and not abs(claimed - value) <= ROUNDED_AUROC:
            wrong = "scores differ little, but their order does"
    else:
        low, high = by_rounding(labels, own[1])
        if high - low > LOOSEST:
            said = f"its AUROC may be {100 * low:.2f} to {100 * high:.2f}, as many scores are all but equal"
            return ComparedCell(cell, rule, None, claimed, value, f"it cannot be told here: {said}", fresh)
        wide = tolerance(spread)
        inside = low - wide <= claimed <= high + wide
        wrong = "" if inside else f"AUROC differs by more than {100 * wide:.3g} points"
    said = f"{wrong}: submitted {100 * claimed:.2f}, here {100 * value:.2f}" if wrong else ""
    return ComparedCell(cell, rule, not wrong, claimed, value, said, fresh)


def by_rounding(labels: NDArray[np.uint8], scores: Floats) -> tuple[float, float]:
    """Return the lowest and the highest AUROC when each score moves by a ten-thousandth of itself."""
    size = np.where(np.isfinite(scores), np.abs(scores), 0.0) * ELSEWHERE
    towards = size * (2.0 * labels - 1)
    return auroc(labels, scores - towards), auroc(labels, scores + towards)


def tolerance(spread: float | None) -> float:
    """Return by how much AUROC may differ on another platform class."""
    if spread is None:
        return TOLERANCE
    return LOOSEST if np.isnan(spread) else float(min(LOOSEST, TOLERANCE + DEVIATIONS * spread))


def _bits(record: Record, scores: Floats, own: Record, computed: Floats | None) -> str:
    """Return what differs between scores of the same platform class; nothing if no more than by rounding."""
    assert computed is not None
    if scores.shape != computed.shape:
        return "it has another number of scores"
    finite = np.isfinite(computed)
    size = float(np.abs(computed[finite]).max(initial=0.0))
    near = np.array_equal(scores[~finite], computed[~finite]) and np.allclose(
        scores[finite], computed[finite], rtol=0.0, atol=ROUNDING * size
    )
    if not near:
        other = int((np.abs(scores - computed) > ROUNDING * size).sum()) if finite.all() else len(scores)
        return f"{other} of {len(scores)} scores differ"
    if not np.array_equal(scores, computed):
        return ""
    both = sorted(record.metrics.keys() & own.metrics.keys())
    wrong = [name for name in both if not abs(record.metrics[name] - own.metrics[name]) <= METRIC]
    return f"{', '.join(wrong)} differ" if wrong else ""


def spreads(records: Iterable[Record], claims: Mapping[str, float]) -> dict[str, float | None]:
    """Return the standard deviation over a pack's seeds, by key; None for deterministic methods."""
    groups: dict[object, list[float]] = {}
    held = [record for record in records if record.cell.key in claims]
    for record in held:
        groups.setdefault(_place(record.cell), []).append(claims[record.cell.key])

    def spread(cell: Cell) -> float | None:
        values = groups[_place(cell)]
        return None if cell.seed is None else float(np.std(values, ddof=1)) if len(values) > 1 else np.nan

    return {record.cell.key: spread(record.cell) for record in held}


def _place(cell: Cell) -> object:
    return cell.task_name, cell.method, cell.params, cell.backbone, cell.contamination.rate
