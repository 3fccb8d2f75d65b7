"""Write docs/significance.md and its figure: what the leaderboards' tests and intervals are worth.

``python docs/significance.py`` runs every simulation of `simulation/` and writes both; ``--quick`` uses a
fiftieth of the repetitions, for a look. The figure needs matplotlib (``pip install 'anobench[test]'``).
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from simulation import SIMULATIONS, blocks, images
from simulation.counting import Share

from bench.stats.overall import LEAST

HERE = Path(__file__).resolve().parent
#: The aim for each kind, in percent: rejections of a true null, coverage.
AIMS = {"leaderboard": (0.0, 6.0), "interval": (93.0, 97.0)}
#: Ink and colours on light and on dark ground; both pairs are told apart without colour, by their markers.
INK, DARK_INK = "#1f2328", "#e6edf3"
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
GOOD, DARK_GOOD = "#0969da", "#58a6ff"
NAIVE, DARK_NAIVE = "#bc4c00", "#f0883e"

PAGE = """# What the leaderboards' tests are worth

Classes of one data set share their test images, seeds share everything but chance, and data sets differ in
which method they favour. A test that counts classes or seeds as independent finds differences that are not
there. Below, everything is simulated with that dependence and a known truth.

![{alt}](significance.svg)

*Over data sets:* each method's metric varies by {DATA_SET:g} points from data set to data set (standard
deviation), by {CLASS:g} between the {CLASSES} classes of one, and by {SEED:g} between {SEEDS} seeds.
*On images:* one data set with {CLASSES} classes of {PER_CLASS} test images, each class normal once, and
{IMAGE_SEEDS} seeds; an image that is hard for a method is so in all tasks and for all seeds. How often naive
tests are wrong depends on these numbers: the more data sets differ, the more often.

## Two or more equally good methods

How often a test finds a difference at a nominal 5 %. Aim for the tests that leaderboards use: at most 6 %.

{null}

With few data sets few outcomes exist, so that some tests reject less than 5 %: with five, no pair of methods
can ever be significant. Leaderboards then say how many data sets it would take.

The classes of one data set are nearly independent as far as other *images* of it are concerned: a test
over them goes wrong where it is taken to speak of other data sets. One seed's DeLong test speaks of two
trained models, not of two methods.

## A known difference

How often a nominal 95 % interval holds the truth. Aim: 93 to 97 %.

{intervals}

Intervals over data sets are studentised bootstrap intervals from {LEAST} data sets on and Student's t over
data sets below that. *Skewed*: data sets favour a method by an exponentially distributed amount.

## Reproduce

`python docs/significance.py` simulated {runs:,} benchmarks with fixed seeds and wrote this page and the
figure; ± is one standard error. {verdict}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the repetitions")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the page and the figure")
    asked = parser.parse_args()
    shares = []
    for at, (simulate, reps) in enumerate(SIMULATIONS, 1):
        shares += simulate(max(20, reps // 50) if asked.quick else reps)
        print(f"{at}/{len(SIMULATIONS)}", flush=True)
    (asked.to / "significance.svg").write_text(svg(shares))
    (asked.to / "significance.md").write_text(page(shares))
    return int(any(outside(each) for each in shares))


def outside(share: Share) -> bool:
    """Return whether a percentage is outside the aim for its kind."""
    low, high = AIMS.get(share.kind, (0.0, 100.0))
    return not low <= share.percent <= high


def page(shares: list[Share]) -> str:
    """Return the whole page as Markdown."""
    null = [each for each in shares if each.kind != "interval"]
    intervals = [each for each in shares if each.kind == "interval"]
    missed = [each.what for each in shares if outside(each)]
    return PAGE.format(
        DATA_SET=blocks.DATA_SET,
        CLASS=blocks.CLASS,
        SEED=blocks.SEED,
        CLASSES=blocks.CLASSES,
        SEEDS=blocks.SEEDS,
        PER_CLASS=images.PER_CLASS,
        IMAGE_SEEDS=images.IMAGE_SEEDS,
        LEAST=LEAST,
        alt=alternative(null, intervals),
        null=table(sorted(null, key=lambda each: each.kind), "rejects"),
        intervals=table(intervals, "covers"),
        runs=sum(reps for _, reps in SIMULATIONS),
        verdict=f"Outside the aim: {'; '.join(missed)}." if missed else "All are within the aim.",
    )


def table(shares: list[Share], verb: str) -> str:
    rows = [f"| {'test' if verb == 'rejects' else 'interval'} | used by | {verb} |", "| :-- | :-- | --: |"]
    for each in shares:
        used = "nobody: naive" if each.kind == "naive" else "leaderboards"
        rows.append(f"| {each.what} | {used} | {each.percent:.1f} ± {each.error:.1f} % |")
    return "\n".join(rows)


def alternative(null: list[Share], intervals: list[Share]) -> str:
    """Return the figure in words."""
    used, naive = ([e.percent for e in null if e.kind == kind] for kind in ("leaderboard", "naive"))
    held = [each.percent for each in intervals]
    return (
        f"Two panels. Left: between equally good methods the leaderboards' tests find a difference in "
        f"{min(used):.0f} to {max(used):.0f} % of simulations, naive tests over classes or seeds in "
        f"{min(naive):.0f} to {max(naive):.0f} %. Right: 95 % intervals hold the truth in {min(held):.0f} to "
        f"{max(held):.0f} %."
    )


def svg(shares: list[Share]) -> str:
    """Return the figure: rejections on the left, coverage on the right; on light and on dark ground."""
    null = sorted((each for each in shares if each.kind != "interval"), key=lambda e: e.kind, reverse=True)
    intervals = [each for each in shares if each.kind == "interval"][::-1]
    held = {
        "svg.fonttype": "none",
        "svg.hashsalt": "anobench",
        "font.family": "sans-serif",
        "font.size": 9,
        **dict.fromkeys(INKED, INK),
    }
    with mpl.rc_context(held):
        figure = Figure(figsize=(11, 0.2 * max(len(null), len(intervals)) + 1.2), layout="constrained")
        figure.patch.set_visible(False)
        left, right = figure.subplots(1, 2)
        panel(left, null, "Rejects a true null (nominal 5 %)", AIMS["leaderboard"])
        panel(right, intervals, "Covers the truth (nominal 95 %)", AIMS["interval"])
        left.set_xlim(-1, None)
        left.legend(loc="upper right", frameon=False)
        right.set_xlim(88, 100)
        text = written(figure, title=alternative(null, intervals))
    return for_dark_ground(text)


def panel(axes: Axes, rows: list[Share], title: str, aim: tuple[float, float]) -> None:
    """Draw a row for each share, with two standard errors, and a band for the aim."""
    for kinds, style in (
        (("naive",), {"fmt": "s", "color": NAIVE, "markerfacecolor": "none", "label": "naive"}),
        (("leaderboard", "interval"), {"fmt": "o", "color": GOOD, "label": "leaderboards'"}),
    ):
        held = [(at, each) for at, each in enumerate(rows) if each.kind in kinds]
        if held:
            places, shares = zip(*held, strict=True)
            errors = [2 * each.error for each in shares]
            axes.errorbar(
                [each.percent for each in shares], places, xerr=errors, ls="none", markersize=5, **style
            )
    axes.axvspan(*aim, color=GOOD, alpha=0.15, lw=0, label="aim")
    axes.set_yticks(range(len(rows)), [each.what for each in rows], fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("% of simulations")
    axes.spines[["top", "right"]].set_visible(False)
    axes.patch.set_visible(False)


def written(figure: Figure, *, title: str) -> str:
    """Return a figure as SVG without a date, so that the same numbers give the same file."""
    held = io.StringIO()
    figure.savefig(held, format="svg", metadata={"Title": title, "Creator": "significance.py", "Date": None})
    return held.getvalue()


def for_dark_ground(text: str) -> str:
    """Return an SVG that takes lighter inks where the reader's page is dark."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in ((INK, DARK_INK), (GOOD, DARK_GOOD), (NAIVE, DARK_NAIVE))
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda found: found[1] + style, text, count=1)


if __name__ == "__main__":
    sys.exit(main())
