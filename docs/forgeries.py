"""Write forgeries.csv and the tables of submissions.md: which forgeries `anobench verify` finds.

Submissions are made from a results folder of the quickstart, packed, and verified. Reruns are those that the
folder has, but for some of each kind, which are run for real.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
from gate import filled  # noqa: E402
from simulation.counting import Share  # noqa: E402
from simulation.forgeries import FORGERIES, HONEST, World, informed, verified  # noqa: E402

from bench.core.archive import Archive  # noqa: E402
from bench.run.executors.choose import Options  # noqa: E402
from bench.run.prepare import find_suite  # noqa: E402
from bench.run.rerun import run_again  # noqa: E402
from bench.suite.registry import Registry  # noqa: E402

#: Of forgeries and of honest submissions.
TIMES = 200
SHARES = (0.05, 0.1, 0.2, 0.4, 0.6)


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a kind of submission was contradicted, and how often not accepted, at a share of reruns."""

    kind: str
    forged: bool
    share: float
    contradicted: Share
    refused: Share
    real: int


def world_of(results: Path) -> World:
    registry, archive = Registry(), Archive(results)
    return World(find_suite("quickstart", registry, [], []), registry, archive, archive.plan("quickstart"))


def rows_of(world: World) -> list[int]:
    """Return the rows whose mean is above chance, so that they have something to be compared with."""
    means = {}
    for at in range(len(world.plan.rows)):
        keys = {entry.cell.key for entry in world.plan.entries if entry.row == at}
        means[at] = np.mean([world.records[key].metrics["auroc"] for key in keys])
    return [at for at, mean in means.items() if mean > 0.52]


def counted(
    world: World, kind: str, change: object, times: int, share: float, real: int, first: int
) -> Counted:
    """Verify `times` submissions of a kind, the first `real` of them with real reruns."""
    rows, ended, at, forged = rows_of(world), list[int](), first, kind not in HONEST

    def run(known: object, cells: object) -> object:
        return run_again(known, cells, world.registry, Options(executor="inline", device="cpu"))  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as folder:
        while len(ended) < times:
            rerun = run if len(ended) < real else None
            found = verified(
                world, rows[at % len(rows)], change, at, folder=Path(folder), share=share, rerun=rerun  # type: ignore[arg-type]
            )  # fmt: skip
            at += 1
            if found is not None:
                ended.append(found.exit_status)
            elif at > first + 20 * times:
                raise SystemExit(f"{kind}: too few methods whose mean can be raised so")
    n = len(ended)
    return Counted(kind, forged, share, Share(ended.count(1), n), Share(n - ended.count(0), n), min(real, n))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="of anobench run quickstart")
    parser.add_argument("--times", type=int, default=TIMES, help="forgeries, and honest submissions")
    parser.add_argument("--real", type=int, default=1, help="of each kind with real reruns")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the page and the table")
    asked = parser.parse_args(arguments)
    world, found = world_of(asked.results), list[Counted]()
    for kinds in (FORGERIES, HONEST):
        for number, (kind, change) in enumerate(kinds.items()):
            times = len(range(number, asked.times, len(kinds)))
            found.append(counted(world, kind, change, times, 0.05, asked.real, 1000 * number))
            print(found[-1], file=sys.stderr)
    for share in SHARES:
        for kind in ("some tasks, all their cells", "informed"):
            change = FORGERIES.get(kind, informed)
            found.append(counted(world, f"{kind} ", change, asked.times // 2, share, 0, 50_000))
            print(found[-1], file=sys.stderr)
    (asked.to / "forgeries.csv").write_text(table_csv(found))
    page = asked.to / "submissions.md"
    page.write_text(filled(page.read_text(), {"forgeries": table(found), "shares": shares_table(found)}))
    return 0


def table_csv(found: Sequence[Counted]) -> str:
    import io

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "forged", "share", "times", "contradicted", "not_accepted", "real_reruns"])
    for each in found:
        forged = int(each.forged)
        counts = each.contradicted.of, each.contradicted.times, each.refused.times
        writer.writerow([each.kind.strip(), forged, each.share, *counts, each.real])
    return text.getvalue()


def table(found: Sequence[Counted]) -> str:
    """Return a line for each kind at 5 %, and for all forgeries and all honest submissions."""
    lines = ["| submission | times | contradicted | not accepted |", "|:--|--:|--:|--:|"]
    once = [each for each in found if not each.kind.endswith(" ")]
    for forged, name in ((True, "all forgeries"), (False, "all honest submissions")):
        of = [each for each in once if each.forged == forged]
        lines += [_line(each.kind, each.contradicted, each.refused) for each in of]
        wrong, refused = Share(0, 0), Share(0, 0)
        for each in of:
            wrong, refused = wrong + each.contradicted, refused + each.refused
        lines.append(_line(f"**{name}**", wrong, refused))
    return "\n".join(lines)


def _line(name: str, wrong: Share, refused: Share) -> str:
    return f"| {name} | {wrong.of} | {wrong.times} | {refused.times} |"


def shares_table(found: Sequence[Counted]) -> str:
    """Return how often forgeries that hide are found, by the share of reruns."""
    of = [each for each in found if each.kind.endswith(" ")]
    lines = ["| forgery | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " |"]
    lines.append("|:--|" + "--:|" * len(SHARES))
    for kind in dict.fromkeys(each.kind for each in of):
        cells = [f"{each.contradicted.percent:.0f}" for each in of if each.kind == kind]
        lines.append(f"| {kind.strip()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
