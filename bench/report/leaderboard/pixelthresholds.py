"""The table of pixel thresholds from normal images."""

from __future__ import annotations

from bench.metrics.pixelthreshold import PIXEL_RULES
from bench.report.evidence.decisions import aimed_at
from bench.report.evidence.evidence import Evidence
from bench.report.evidence.pixeldecisions import PixelJudged, pixel_cells, pixels_judged, rules_of
from bench.report.markdown import blocks, breakable, grid
from bench.report.numbers import NBSP, percent, points
from bench.stats.falsealarms import exact_interval

_HEAD = [
    "Method", "Rule", "False pixels", "Good images with any", "95 % interval", "with too many",
    "Region overlap", "Pixel recall", "F1", "Regret",
]  # fmt: skip


def pixel_threshold_table(evidence: Evidence, rate: float) -> list[str]:
    """Return a line for each method with maps and rule; nothing where no method has what it takes."""
    board, archive = evidence.board, evidence.archive
    if archive is None:
        return []
    target, lines = aimed_at(board.plan), []
    others = [row for rows in board.unranked.values() for row in rows]
    for row in [*board.order(board.columns, [rate]), *others]:
        cells = pixel_cells(board, archive, row, rate)
        for rule in rules_of(cells, target):
            label = breakable(board.label(row)) if rule == PIXEL_RULES[0] else ""
            lines.append([label, rule, *_line(pixels_judged(cells, rule, target))])
    if not lines:
        return []
    return blocks(grid(_HEAD, lines), [_WORDS.format(target=percent(target))])


_WORDS = (
    "A pixel raises an alarm if its score is above a threshold from maps of normal training images that the "
    "method was not fitted on. *any pixel*: the conformal rule on the highest score of each image, so that "
    "at most {target} of good images have a false pixel, in the mean and if exchangeable; *area*: the same "
    "for the score that 0.01 % of an image's pixels exceed, so that at most {target} of good images have "
    "*too many*, more than that; *1 %, 0.1 % of pixels*: so many of all pixels of the normal images are "
    "above it; *mean + 3 sd* of these pixels, as MVTec AD 2 suggests; *1.421 x 5 %*: so many times the score "
    "that 5 % of them exceed, SuperADD's rule, for scores above 0 alone. These promise nothing, as pixels of "
    "one image depend on each other. *False pixels*: of all normal pixels, at the masks' resolution; "
    "*region overlap*: the mean share of a region above it (PRO at this threshold); *regret*: F1 lost to the "
    "best threshold. Good images are counted in maps as the method made them, pooled over tasks (interval: "
    "Clopper and Pearson); the rest are means over tasks."
)


def _line(found: PixelJudged) -> list[str]:
    low, high = exact_interval(found.touched, found.good)
    return [
        f"{100 * found.false_pixels:.3f}{NBSP}%",
        _share(found.touched, found.good),
        f"{points(low)}{NBSP}to{NBSP}{points(high)}",
        _share(found.too_much, found.good),
        *(points(value) for value in (found.overlap, found.recall, found.f1, found.regret)),
    ]


def _share(of: float, good: float) -> str:
    return f"{points(of / good if good else 0.0)}{NBSP}%"
