"""Write gate.csv and the tables of gate.md: what the gate finds of planted drops, and of none.

Everything goes through `bench.report.compare.gate`, on records in memory: simulated ones, and those of a
pack, of which one method after the other is made worse.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from simulation.benchmarks import Design  # noqa: E402
from simulation.counting import Share  # noqa: E402
from simulation.gate import Change, counted, of_pack  # noqa: E402

REPETITIONS = 300
#: Standard deviations over seeds, in AUROC at an AUROC of 85, and numbers of seeds.
KINDS = ((0.0, 1), *((sd, seeds) for sd in (0.013, 0.05) for seeds in (1, 2, 3, 5)))
#: Anomalous and normal test images of a task.
IMAGES = (150, 150)
CHANGES = (
    Change(0.0), Change(0.02), Change(2.0), Change(2.0, noisier=True),
    Change(0.0, redrawn=True), Change(2.0, redrawn=True),
)  # fmt: skip
NAMES = {0.0: "deterministic", 0.013: "mild", 0.05: "strong"}

Result = tuple[Design, Change, dict[int, Share]]


def designs() -> list[tuple[Design, Change]]:
    """Return two methods on five tasks of every kind, with every change that the kind can have."""
    return [
        (Design(2, 5, seeds, sd, 0.9, *IMAGES), change)
        for sd, seeds in KINDS
        for change in CHANGES
        if sd or not change.redrawn
    ]


def measured(of: tuple[Design, Change], times: int) -> Result:
    design, change = of
    # Of a single seed nothing can be told: that is seen at once.
    times = min(times, 20) if design.sd and design.seeds == 1 else times
    return design, change, counted(design, change, times)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=REPETITIONS, help="repetitions of each design")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the page and the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--pack", type=Path, help="plant drops in its methods too")
    asked = parser.parse_args(arguments)
    every = designs()
    with ProcessPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(measured, every, [asked.times] * len(every)))
    tables = {"simulated": table(found)}
    if asked.pack is not None:
        tables["pack"] = pack_table(of_pack(asked.pack, CHANGES[:4], asked.times))
    (asked.to / "gate.csv").write_text(table_csv(found))
    page = asked.to / "gate.md"
    page.write_text(filled(page.read_text(), tables))
    return 0


def table_csv(found: Sequence[Result]) -> str:
    """Return how often the gate ended with which status, for each design and change."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    about = ["seeds", "sd", "anomalous", "normal", "drop", "noisier", "redrawn", "times"]
    writer.writerow([*about, "fine", "regression", "untold"])
    for design, change, shares in found:
        about = [design.seeds, design.sd, design.anomalous, design.normal]
        what = [change.points, int(change.noisier), int(change.redrawn)]
        writer.writerow([*about, *what, shares[0].of, *(shares[status].times for status in (0, 1, 3))])
    return text.getvalue()


def table(found: Sequence[Result]) -> str:
    """Return a line for each kind: how often fine / regression / cannot be told, in percent."""
    heads = ["seeds", *map(_named, CHANGES)]
    lines = ["| " + " | ".join(heads) + " |", "|:--|" + "--:|" * len(CHANGES)]
    for sd, seeds in KINDS:
        held = {change: shares for of, change, shares in found if (of.sd, of.seeds) == (sd, seeds)}
        if not held:
            continue
        kind = f"{seeds}, {NAMES[sd]}" if sd else NAMES[sd]
        lines.append("| " + " | ".join([kind, *(_shown(held.get(change)) for change in CHANGES)]) + " |")
    return "\n".join(lines)


def pack_table(found: dict[str, dict[Change, dict[int, Share]]]) -> str:
    """Return a line for each method of a pack."""
    lines = ["| method | " + " | ".join(map(_named, CHANGES[:4])) + " |", "|:--|" + "--:|" * 4]
    for name, of in found.items():
        cells = [_shown(of.get(change)) for change in CHANGES[:4]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _named(change: Change) -> str:
    words = f"− {change.points:g}" if change.points else "same"
    return words + (", noise" if change.noisier else "") + (", redrawn" if change.redrawn else "")


def _shown(shares: dict[int, Share] | None) -> str:
    if shares is None:
        return ""
    return " / ".join(f"{shares[status].percent:.3g}" for status in (0, 1, 3))


def filled(page: str, tables: dict[str, str]) -> str:
    """Return the page with tables between their marks."""
    for name, text in tables.items():
        mark = re.escape(f"<!-- {name} -->")
        page = re.sub(
            rf"({mark}\n).*?(<!-- end -->)", lambda at, t=text: f"{at[1]}{t}\n{at[2]}", page, flags=re.S
        )
    return page


if __name__ == "__main__":
    sys.exit(main())
