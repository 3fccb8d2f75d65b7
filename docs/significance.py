"""Write significance.md and significance.csv: what the leaderboards' claims are worth, by simulation.

Everything goes through the functions that reports are made with (`bench.report.evidence`), on records in
memory.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from simulation.benchmarks import Design  # noqa: E402
from simulation.counting import COVERED, FALSE, Share, count  # noqa: E402
from simulation.datasets import over_data_sets  # noqa: E402
from simulation.splits import split  # noqa: E402

#: Deterministic; one seed; and two sizes of what seeds do, in points at an AUROC of 85.
MILD, HEAVY = 0.013, 0.05
SEEDS = ((1, 0.0), *((seeds, sd) for seeds in (1, 2, 3, 5) for sd in (MILD, HEAVY)))
#: Repetitions by number of methods.
REPETITIONS = {2: 240, 8: 90, 15: 60}
SMALL, LARGE = (20, 60), (150, 150)
#: No more than so many percent of false findings; coverage of a nominal 95 % interval between these.
MOST_FALSE, LEAST_COVERED, MOST_COVERED = 6.0, 93.0, 97.0
GAP = 0.02

Result = tuple[Design, dict[str, Share]]


def designs() -> list[Design]:
    """Return what users have, between equally good methods."""
    return [
        Design(methods, tasks, seeds, sd, auroc, *images)
        for methods in REPETITIONS
        for tasks in (1, 10)
        for seeds, sd in SEEDS
        for auroc in (0.7, 0.97, 0.99)
        for images in (SMALL, LARGE)
    ]


def apart() -> list[Design]:
    """Return designs with methods that differ, for places and power, and one-vs-rest on shared images."""
    seeds = ((1, 0.0), *((n, sd) for n in (2, 3, 5) for sd in (MILD, HEAVY)))
    ranked = [Design(6, 10, n, sd, 0.9, *SMALL, gap=GAP) for n, sd in seeds]
    shared = [Design(m, 10, n, sd, 0.85, 360, 40, shared=True) for m in (2, 8) for n, sd in seeds]
    return [*ranked, *shared]


def counted(design: Design, share: float) -> Result:
    # Where nothing can be told there is little to count.
    told = design.sd == 0 or (design.tasks > 1 and design.seeds > 1) or design.seeds >= 5
    reps = REPETITIONS.get(design.methods, 300) if told else 20
    return design, count(design, max(4, round(reps * share)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the repetitions")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the page and the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--split",
        nargs=2,
        metavar=("RESULTS", "SUITE"),
        help="count on real records too: a suite of one stochastic method with 16 seeds or more",
    )
    asked = parser.parse_args(arguments)
    share, started = 0.02 if asked.quick else 1.0, time.perf_counter()
    every = [*designs(), *apart()]
    found: list[Result] = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for at, result in enumerate(pool.map(counted, every, [share] * len(every)), 1):
            found.append(result)
            if at % 20 == 0 or at == len(every):
                print(f"{at}/{len(every)} designs, {time.perf_counter() - started:.0f} s", flush=True)
        sets = list(pool.map(_sets, SETS, [share] * len(SETS)))
    real = [] if asked.split is None else _real(Path(asked.split[0]), asked.split[1], share)
    minutes = (time.perf_counter() - started) / 60
    (asked.to / "significance.csv").write_text(table_csv(found))
    (asked.to / "significance.md").write_text(page(found, sets, real, minutes))
    return 0


#: Data sets, methods, mean AUROC, skewed.
SETS = (
    *((n, 2, 0.85, False) for n in (5, 6, 7, 8, 12, 20)),
    *((n, 8, 0.85, False) for n in (11, 12, 20)),
    *((n, 2, 0.97, False) for n in (6, 12)),
    (12, 2, 0.85, True),
)
#: "Methods" and seeds of each that real records are split into.
SPLITS = ((1, 2), (1, 3), (1, 5), (4, 5), (8, 2), (8, 3), (8, 5))


def _sets(of: tuple[int, int, float, bool], share: float) -> tuple[str, dict[str, Share]]:
    n, methods, auroc, skewed = of
    name = f"{n} data sets, {methods} methods, AUROC {100 * auroc:.0f}{', skewed' if skewed else ''}"
    return name, over_data_sets(n, methods, max(20, round(600 * share)), auroc=auroc, skewed=skewed)


def _real(results: Path, suite: str, share: float) -> list[tuple[str, dict[str, Share]]]:
    return [
        (
            f"{methods} × {seeds} seeds",
            split(results, suite, methods=methods, seeds=seeds, reps=round(200 * share)),
        )
        for methods, seeds in SPLITS
    ]


def table_csv(found: Sequence[Result]) -> str:
    """Return every design with what was counted, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [*FALSE, *COVERED, "found", "told", "task told"]
    fields = ("methods", "tasks", "seeds", "sd", "auroc", "anomalous", "normal", "gap", "shared")
    writer.writerow([*fields, *(f"{name}{of}" for name in names for of in ("", " of"))])
    for design, shares in found:
        counts = [number for name in names for number in (shares[name].times, shares[name].of)]
        writer.writerow([*(getattr(design, field) for field in fields), *counts])
    return text.getvalue()


def page(
    found: Sequence[Result],
    sets: Sequence[tuple[str, dict[str, Share]]],
    real: Sequence[tuple[str, dict[str, Share]]],
    minutes: float,
) -> str:
    """Return the whole page as Markdown."""
    null = [each for each in found if not each[0].gap and not each[0].shared]
    return TEXT.format(
        grid=grid_table(null),
        coverage=coverage_table(null),
        apart=other_table([each for each in found if each[0].gap or each[0].shared]),
        sets=sets_table(sets),
        real=real_table(real),
        verdict=verdict(found, sets, real),
        minutes=minutes,
        runs=sum(shares["told"].of for _, shares in found) + sum(shares["told"].of for _, shares in sets),
        mild=100 * MILD,
        heavy=100 * HEAVY,
        small=" + ".join(map(str, SMALL)),
        large=" + ".join(map(str, LARGE)),
        designs=len(null),
    )


def _over(found: Sequence[Result], name: str, chosen: Callable[[Design], bool]) -> Share:
    return sum((shares[name] for design, shares in found if chosen(design)), Share(0, 0))


def _kinds() -> list[tuple[str, Callable[[Design], bool]]]:
    kinds: list[tuple[str, Callable[[Design], bool]]] = [("deterministic", lambda design: not design.sd)]
    for seeds in (1, 2, 3, 5):
        for sd, how in ((MILD, "mild"), (HEAVY, "heavy")):
            kinds.append(
                (
                    f"{seeds} seed{'s' if seeds > 1 else ''}, {how}",
                    lambda design, n=seeds, s=sd: design.sd == s and design.seeds == n,  # type: ignore[misc]
                )
            )
    return kinds


def grid_table(found: Sequence[Result]) -> str:
    """Return false findings by what seeds do (rows) and by tasks and methods (columns)."""
    columns = [(tasks, methods) for tasks in (1, 10) for methods in REPETITIONS]
    heads = [f"{methods} methods, {tasks} task{'s' if tasks > 1 else ''}" for tasks, methods in columns]
    lines = [f"| letters / `≈` | {' | '.join(heads)} |", f"| :-- |{' --: |' * len(heads)}"]
    for name, kind in _kinds():
        cells = []
        for tasks, methods in columns:
            of = [
                each
                for each in found
                if kind(each[0]) and (each[0].tasks, each[0].methods) == (tasks, methods)
            ]
            pair = [str(_over(of, what, lambda _: True)) for what in ("letters", "marks")]
            cells.append(" / ".join(pair))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def coverage_table(found: Sequence[Result]) -> str:
    """Return how often intervals hold the truth, by AUROC and test images."""
    lines = ["| AUROC, images of a task | average | difference | one task |", "| :-- | --: | --: | --: |"]
    for auroc in (0.7, 0.97, 0.99):
        for images in (SMALL, LARGE):
            of = [
                each
                for each in found
                if each[0].auroc == auroc and (each[0].anomalous, each[0].normal) == images
            ]
            cells = [str(_over(of, what, lambda _: True)) for what in ("mean", "difference", "task")]
            lines.append(f"| {100 * auroc:.0f}, {images[0]} + {images[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def other_table(found: Sequence[Result]) -> str:
    heads = ("methods", "letters", "`≈`", "average", "difference", "places", "found")
    lines = [f"| seeds | {' | '.join(heads)} |", f"| :-- | :-- |{' --: |' * (len(heads) - 1)}"]
    for design, shares in found:
        seeds = (
            "deterministic"
            if not design.sd
            else f"{design.seeds} seeds, {'mild' if design.sd == MILD else 'heavy'}"
        )
        what = (
            f"{design.methods}, {100 * design.gap:g} points apart"
            if design.gap
            else f"{design.methods} equal, shared images"
        )
        cells = [str(shares[name]) for name in ("letters", "marks", "mean", "difference", "ranks", "found")]
        lines.append(f"| {seeds} | {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sets_table(found: Sequence[tuple[str, dict[str, Share]]]) -> str:
    lines = ["| | letters | average | difference |", "| :-- | --: | --: | --: |"]
    for name, shares in found:
        lines.append(
            f"| {name} | {' | '.join(str(shares[of]) for of in ('letters', 'mean', 'difference'))} |"
        )
    return "\n".join(lines)


def real_table(found: Sequence[tuple[str, dict[str, Share]]]) -> str:
    if not found:
        return "Not counted in this run."
    heads = ("letters", "marks", "diff")
    lines = ["| split into | letters | `≈`, by task | `diff` |", "| :-- | --: | --: | --: |"]
    lines += [f"| {name} | {' | '.join(str(shares[of]) for of in heads)} |" for name, shares in found]
    return "\n".join(lines)


def verdict(
    found: Sequence[Result],
    sets: Sequence[tuple[str, dict[str, Share]]],
    real: Sequence[tuple[str, dict[str, Share]]],
) -> str:
    """Return what lies outside the aims by more than chance (two standard errors)."""
    every = [(_name(design), shares) for design, shares in found] + [*sets, *real]
    counts = [
        (f"{name}: {what} {shares[what]} %", what, shares[what])
        for name, shares in every
        for what in (*FALSE, "diff", *COVERED)
        if what in shares and shares[what].of
    ]
    wrong = [said for said, what, share in counts if _lies_outside(what, share)]
    # All places at once may hold more often than they must.
    one = [share for _, what, share in counts if what in COVERED and what != "ranks"]
    wide = sum(share.percent - 2 * share.error > MOST_COVERED for share in one)
    wider = (
        f"Of {len(one)} intervals {wide} are wider than they need be: they hold the truth in more than "
        f"{MOST_COVERED:g} %, by more than two standard errors."
    )
    if not wrong:
        return f"Of {len(counts)} counts none is worse than its aim by more than two standard errors. {wider}"
    return (
        f"Of {len(counts)} counts these are worse than their aims by more than two standard errors:\n\n"
        + "\n".join(f"- {each}" for each in wrong)
        + f"\n\n{wider}"
    )


def _lies_outside(what: str, share: Share) -> bool:
    if what in COVERED:
        return share.percent + 2 * share.error < LEAST_COVERED
    return share.percent - 2 * share.error > MOST_FALSE


def _name(design: Design) -> str:
    seeds = f"{design.seeds} seeds of sd {100 * design.sd:g}" if design.sd else "deterministic"
    return (
        f"{design.methods} methods, {design.tasks} tasks, {seeds}, AUROC {100 * design.auroc:g}, "
        f"{design.anomalous} + {design.normal} images{', shared' if design.shared else ''}"
    )


TEXT = """# What the leaderboards' claims are worth

A leaderboard says three things of a difference: two methods share no *Group* letter, a method lacks `≈`
(another is significantly better, so that it cannot be the best), or nothing can be told. Below, benchmarks
with a known truth go through the functions that write the leaderboards, and what these claim is counted.

## What is tested

- **On the data sets at hand** (their test images and the methods' seeds vary): the difference of two
  averages divided by its standard error, by Student's t. Its variance is the sum of DeLong's over the test
  images, where an image counts once for all tasks that share it, and of that over seeds, estimated *within*
  each task, since the seeds of a cell are drawn for its task alone: T (S − 1) degrees of freedom for T
  tasks and S seeds, or fewer where seeds differ much on few of the tasks. Images and seeds are joined more
  cautiously than by Satterthwaite's formula, which promises too much far out in the tail. All pairs, Holm.
- **On one task** likewise; a method's variance over seeds is drawn from the task's own towards those of its
  other tasks, as far as they agree (Smyth's moderated variances, on the logit scale).
- **Over data sets**, where there are so many that the signs of their differences alone could be
  significant: the paired t test of the means of independent data sets, all pairs, Holm. Data sets that show
  the same images are one.
- **Cannot be told** (`?`): a method with a single seed; fewer than 3 degrees of freedom over seeds; one
  task with fewer than 5 seeds (five tasks or more help each other from two seeds on); one test image of a
  class.
- Intervals of averages and AUROCs are on the logit scale; a perfect AUROC gets Newcombe's interval. Over 5
  to 7 data sets they are Student's t on the logit scale, over 8 or more studentised bootstrap intervals.
- *Place* and `≈` follow from the same pairs, so that with 95 % confidence all of them hold at once.
- *Equivalent*: two one-sided t tests against ± 0.5 points (`anobench report --rope`), all pairs, Holm.

## Equally good methods

How often, in percent ± one standard error, any two of the methods share no letter, and any lacks `≈` on a
task. Aim: at most 6 %. Seeds make an AUROC of 85 vary by {mild:g} points (mild) or {heavy:g} (heavy); each
number is over AUROCs of 70, 97 and 99 and over {small} and {large} test images. `?`: nothing was claimed.

{grid}

## Intervals

How often nominal 95 % intervals hold the truth, over all methods and seeds above where they are shown. Aim:
at least 93 %; above 97 % they are wider than they need be, as for differences near 100.

{coverage}

## Methods that differ, and images that are shared

*Places*: those of all methods hold the true ones at once (aim: at least 95 %). *Found*: of the pairs that
differ. *Shared images*: ten classes of one data set, each normal once, on the same 400 images.

{apart}

## Over data sets

Methods differ by 2 points (standard deviation) from data set to data set, by 2 between the 10 classes of
one, and by 1 between 3 seeds. *Skewed*: data sets favour a method by an exponentially distributed amount.

{sets}

## Real records

One method's records on real tasks (isolation forest on pixels, 48 seeds; digits and textures of the
quickstart), its seeds split at random into "methods" that cannot differ. *`diff`*: how often `anobench diff`
ends with status 1 between two such suites, the same methods with other random numbers.

{real}

## Verdict

{verdict}

`python docs/significance.py --split RESULTS SUITE` simulated {runs:,} benchmarks of {designs} designs and
more in {minutes:.0f} minutes on two cores and wrote this page and [every count](significance.csv).
"""

if __name__ == "__main__":
    sys.exit(main())
