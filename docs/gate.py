"""Write gate.csv and the tables of gate.md: what the gate finds of planted drops, and of none.

Everything goes through `bench.report.compare.gate`, on records in memory: simulated ones of two designs, and
those of a pack, of which one method after the other is made worse. What is not asked for (``--only``) keeps
its table and its counts.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
import time
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
#: By name: tasks, the AUROC, anomalous and normal test images of a task, and whether tasks share them.
DESIGNS = {"simulated": (5, 0.9, 150, 150, False), "cifar10": (10, 0.9, 9000, 1000, True)}
CHANGES = (
    Change(0.0), Change(0.02), Change(2.0), Change(2.0, noisier=True),
    Change(0.0, redrawn=True), Change(2.0, redrawn=True),
)  # fmt: skip
#: Exit statuses: fine, a regression, cannot be told.
STATUSES = (0, 1, 3)
#: Repetitions at a time of the design that takes hours.
CHUNK = 10
NAMES = {0.0: "deterministic", 0.013: "mild", 0.05: "strong"}

Result = tuple[Design, Change, dict[int, Share]]


def designs(name: str) -> list[tuple[Design, Change]]:
    """Return two methods of every kind, with every change that the kind can have."""
    tasks, auroc, anomalous, normal, shared = DESIGNS[name]
    return [
        (Design(2, tasks, seeds, sd, auroc, anomalous, normal, shared=shared), change)
        for sd, seeds in KINDS
        for change in CHANGES
        if sd or not change.redrawn
    ]


def measured(of: tuple[Design, Change], times: int) -> Result:
    design, change = of
    # Of a single seed nothing can be told: that is seen at once.
    times = min(times, 20) if design.sd and design.seeds == 1 else times
    return design, change, counted(design, change, times)


def added(lines: Sequence[Sequence[str]], times: int, minutes: float) -> list[Result]:
    """Return the counts of ten thousand shared images, with as many repetitions more as there is time for.

    Always next is the one with the fewest; noise and other random numbers have a third as many.
    """
    ended = time.monotonic() + 60 * minutes
    held = {tuple(line[1:8]): list(map(int, line[9:12])) for line in lines}
    every = {tuple(_about(design, change)): (design, change) for design, change in designs("cifar10")}
    counts = {about: held.get(about, [0, 0, 0]) for about in every}

    def share(about: tuple[str, ...]) -> float:
        design, change = every[about]
        goal = 20 if design.sd and design.seeds == 1 else times
        done = sum(counts[about])
        return 1e9 if done >= goal else done / goal * (3 if change.noisier or change.redrawn else 1)

    while time.monotonic() < ended and share(about := min(every, key=share)) < 1e9:
        found = counted(*every[about], CHUNK, seed=1 + sum(counts[about]))
        counts[about] = [
            was + found[status].times for was, status in zip(counts[about], STATUSES, strict=True)
        ]
    return [
        (*every[about], {s: Share(n, sum(of)) for s, n in zip(STATUSES, of, strict=True)})
        for about, of in counts.items()
        if sum(of)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=REPETITIONS, help="repetitions of each design")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the page and the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--pack", type=Path, help="plant drops in its methods too")
    parser.add_argument("--minutes", type=float, default=1e9, help="of the design that takes hours")
    parser.add_argument("--only", choices=list(DESIGNS), help="one design alone")
    asked = parser.parse_args(arguments)
    counts, page = asked.to / "gate.csv", asked.to / "gate.md"
    lines = {} if not counts.exists() else _read(counts)
    tables = {}
    for name in [asked.only] if asked.only else DESIGNS:
        if name == "cifar10":
            found = added(lines.get(name, []), asked.times, asked.minutes)
        else:
            every = designs(name)
            with ProcessPoolExecutor(asked.jobs) as pool:
                found = list(pool.map(measured, every, [asked.times] * len(every)))
        tables[name], lines[name] = table(found), counted_lines(name, found)
    if asked.pack is not None:
        tables["pack"] = pack_table(of_pack(asked.pack, CHANGES[:4], asked.times))
    counts.write_text(table_csv([line for name in DESIGNS for line in lines.get(name, ())]))
    page.write_text(filled(page.read_text(), tables))
    return 0


def _read(path: Path) -> dict[str, list[list[str]]]:
    """Return the lines of a table of counts by design."""
    lines: dict[str, list[list[str]]] = {}
    for line in list(csv.reader(io.StringIO(path.read_text())))[1:]:
        lines.setdefault(line[0], []).append(line)
    return lines


def counted_lines(name: str, found: Sequence[Result]) -> list[list[str]]:
    """Return how often the gate ended with which status, for each kind and change of a design."""
    return [
        [name, *_about(design, change), *map(str, (shares[0].of, *(shares[at].times for at in STATUSES)))]
        for design, change, shares in found
    ]


def _about(design: Design, change: Change) -> list[str]:
    about = (design.seeds, design.sd, design.anomalous, design.normal)
    return [*map(str, about), str(change.points), str(int(change.noisier)), str(int(change.redrawn))]


def table_csv(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of counts as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    about = ["design", "seeds", "sd", "anomalous", "normal", "drop", "noisier", "redrawn", "times"]
    writer.writerow([*about, "fine", "regression", "untold"])
    writer.writerows(lines)
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
    if shares is None or not shares[0].of:
        return ""
    return " / ".join(f"{shares[status].percent:.3g}" for status in STATUSES)


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
