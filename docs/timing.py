"""Write the table of gate.md on speed: what `paired_speeds` finds in real timing samples, drawn again.

``timing.csv`` has ratios of head over base, one for each start of both sides (`bench.run.interleaved`): of
methods that were the same, and of copies that burn 5 % more of the processor to fit and to score.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from gate import filled  # noqa: E402

from bench.report.compare.sides import ResultKey  # noqa: E402
from bench.report.compare.speed import LOOKS, Finding, paired_speeds  # noqa: E402

#: Methods of a suite, and how often one is drawn.
METHODS, TIMES, ALPHA = (1, 11), 400, 0.01
#: What is planted in the first method, and the ratio that is asked about.
ASKED = ((1.0, 1.02), (1.05, 1.02), (1.0, 1.2))


def residuals() -> np.ndarray:
    """Return the logarithms of all samples, less what was planted, shape (n,)."""
    with (HERE / "timing.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    return np.array([math.log(float(each["ratio"]) / float(each["planted"])) for each in lines])


def once(logs: np.ndarray, slower: float) -> list[Finding]:
    """Return what is found of methods, looking again as long as it cannot be told; logs of shape (m, n)."""
    places = [ResultKey("", "", "", f"{at:03d}", "", "", "0.0") for at in range(len(logs))]
    held: dict[ResultKey, list[float]] = {}
    found: dict[ResultKey, Finding] = {}
    for look in LOOKS:
        for place, own in zip(places, logs, strict=True):
            if found.get(place, "untold") == "untold":
                held[place] = own[:look].tolist()
        for speed in paired_speeds(held, slower=slower, alpha=ALPHA):
            if found.get(speed.place, "untold") == "untold":
                found[speed.place] = speed.finding
    return [found[place] for place in places]


def table() -> str:
    """Return a line for each number of methods and what was planted, in percent."""
    pool, rng = residuals(), np.random.default_rng(0)
    lines = [
        "| methods | planted | `--slower` | found | passed | cannot be told | any false alarm |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for methods in METHODS:
        for planted, slower in ASKED:
            # Which side is which is a matter of chance where both are the same.
            shape = (TIMES, methods, LOOKS[-1])
            logs = rng.choice(pool, shape) * rng.choice([-1.0, 1.0], shape)
            logs[:, 0] += math.log(planted)
            found = [once(each, slower) for each in logs]
            of_first = [each[0] for each in found]
            others = [each[1:] if planted > 1 else each for each in found]
            wrong = sum("worse" in each for each in others)
            shares = [100 * of_first.count(what) / TIMES for what in ("worse", "fine", "untold")]
            numbers = " | ".join(f"{each:.3g}" for each in (*shares, 100 * wrong / TIMES))
            lines.append(f"| {methods} | {100 * (planted - 1):.0f} % | {slower} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    page = HERE / "gate.md"
    page.write_text(filled(page.read_text(), {"timing": table()}))
