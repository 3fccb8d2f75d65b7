"""What was found of a submission, as text and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from bench.core.plan import Plan
from bench.report.markdown import grid
from bench.report.numbers import count
from bench.report.submitted.contradictions import UNTOLD
from bench.report.submitted.draw import RISE, Chance
from bench.run.rerun import LOOSEST, TOLERANCE, ComparedCell
from bench.run.verification import Verification

#: Findings that are shown of one kind.
MOST_SHOWN = 10

_VERDICTS = {
    0: "VERIFIED: nothing contradicts it.",
    1: "CONTRADICTED: this is not what running the suite gives.",
    3: "CANNOT BE TOLD: nothing contradicts it, but not all of it could be checked.",
}
_RULES = {
    "bits": "the same platform class: scores to the bit, but for rounding",
    "tolerance": f"another platform class, or a GPU: AUROC within {100 * TOLERANCE:g} points (stochastic "
    f"methods: and three standard deviations over seeds, at most {100 * LOOSEST:g})",
}


def verification_text(found: Verification) -> str:
    """Return what a person reads: what was checked, drawn and found, what that is worth, and the verdict."""
    draw, pack = found.draw, found.pack
    plan, files = found.known.plan, pack.methods()
    lines = [
        f"{pack.path}: {count(len(found.received.records), 'cell')} of {_methods(plan)} on {plan.suite}",
        f"sha256 {pack.sha256}",
        "checked without running: checksums, protocol and data of each cell, labels, anomalies, metrics",
        *(f"it holds methods/{name}.py (--show-code prints it)" for name in files),
        "",
        f"nonce  {draw.nonce}",
        f"seed   {draw.seed}, the sha256 of the pack's sha256, a colon and the nonce",
        f"drawn  {len(draw.keys)} of {count(draw.cells, 'cell')}: {len(draw.by_weight)} by what stands out, "
        f"{len(draw.uniform)} as likely as each other"
        + (
            f"; {draw.cells - len(draw.weights)} more were run here before"
            if draw.cells > len(draw.weights)
            else ""
        ),
        "",
        *_compared(found.comparisons),
        *_findings(found),
        *_worth(found),
        _VERDICTS[found.exit_status],
        "Seconds and memory are the sender's; nothing here checks them.",
    ]
    return "\n".join(lines)


def _methods(plan: Plan) -> str:
    return ", ".join(row.label for row in plan.rows)


def _compared(comparisons: list[ComparedCell]) -> list[str]:
    rows = [
        [
            str(each.cell),
            "run again" if each.fresh else "run here before",
            _points(each.claimed),
            _points(each.own),
            "—" if each.same is None else "same" if each.same else "DIFFERS",
        ]
        for each in comparisons
    ]
    rules = [f"Compared on {_RULES[rule]}." for rule in dict.fromkeys(each.rule for each in comparisons)]
    return (
        [*grid(["Cell", "", "Submitted", "Here", ""], rows, left=2, form="simple"), *rules, ""]
        if rows
        else []
    )


def _points(value: float) -> str:
    return "—" if math.isnan(value) else f"{100 * value:.2f}"


def _findings(found: Verification) -> list[str]:
    lines, every = [], found.findings
    for kind, number in Counter(each.kind for each in every).items():
        of = [each for each in every if each.kind == kind]
        mark = "contradicts" if of[0].accuses else "cannot tell" if kind in UNTOLD else "note"
        lines += [f"{mark}: {each}" for each in of[:MOST_SHOWN]]
        if number > MOST_SHOWN:
            lines.append(f"{mark}: … and {count(number - MOST_SHOWN, 'cell')} more ({kind})")
    return [*lines, ""] if lines else []


def _worth(found: Verification) -> list[str]:
    if not found.chances:
        return []
    cells = found.draw.cells
    rows = [_chance_line(each, cells) for each in found.chances]
    return [
        f"What {count(len(found.draw.keys), 'rerun')} would have found of a mean inflated by {100 * RISE:g} "
        f"point ({100 * RISE * cells:g} points in all over {count(cells, 'cell')}):",
        *grid(
            ["No cell raised by more than", "Cells altered at least", "Found", "95 % take"],
            rows,
            form="simple",
        ),
        "Found: with at least this probability (hypergeometric), whichever cells were altered; it counts the "
        "cells that were as likely as each other alone, as a forger may know what stands out. No cell is "
        "thought to be raised from below 50.",
        "",
    ]


def _chance_line(each: Chance, cells: int) -> list[str]:
    most = f"{100 * each.most:g} points"
    if not each.altered:
        return [most, "impossible", "—", "—"]
    needed = f"{each.needed} reruns (--share {math.ceil(100 * each.needed / cells)}%)"
    return [most, f"{each.altered}", f"{100 * each.found:.3g} %", needed]


def verification_json(found: Verification) -> dict[str, Any]:
    """Return the same as JSON data."""
    draw = found.draw
    return {
        "schema": 1,
        "pack": str(found.pack.path),
        "sha256": found.pack.sha256,
        "suite": found.known.plan.suite,
        "methods": [row.label for row in found.known.plan.rows],
        "nonce": draw.nonce,
        "seed": draw.seed,
        "drawn": {"by_weight": list(draw.by_weight), "uniform": list(draw.uniform)},
        "weights": dict(draw.weights),
        "comparisons": [
            {
                "key": each.cell.key,
                "cell": str(each.cell),
                "rule": each.rule,
                "same": each.same,
                "claimed": each.claimed,
                "own": None if math.isnan(each.own) else each.own,
                "rerun": each.fresh,
            }
            for each in found.comparisons
        ],
        "findings": [
            {
                "kind": each.kind,
                "accuses": each.accuses,
                "said": each.said,
                "key": each.cell.key if each.cell else None,
            }
            for each in found.findings
        ],
        "rise": RISE,
        "chances": [
            {
                "most": each.most,
                "altered": each.altered,
                "found": each.found,
                "needed": each.needed,
            }
            for each in found.chances
        ],
        "exit_status": found.exit_status,
    }
