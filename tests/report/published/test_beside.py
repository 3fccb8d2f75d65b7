"""Published numbers beside ours: what belongs to a row, what differs, and no verdict where anything does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.core.cell import Cell
from bench.core.plan import Column, Entry, Plan, Row
from bench.report.board import Board
from bench.report.figures.scatter import reproduction
from bench.report.leaderboard.leaderboard import leaderboard
from bench.report.published.match import PublishedComparison, comparisons, compatible
from bench.report.published.network import NetworkName, row_network
from bench.report.published.row import Published
from bench.report.published.text import published_beside_ours
from tests.report.report_factory import columns, failure, make_plan, make_records

MNV2 = """
[backbones.mnv2]
timm = "mobilenetv2_100"
file = "weights/m.safetensors"
resize = 256
crop = 224
mean = 0.5
std = 0.5
"""
TOY = columns(cifar10=["airplane", "bird"])
DN2 = Published(
    source="The paper, Table 1",
    label="DN2",
    method="dn2",
    params=(("k", ("2",)),),
    dataset="cifar10",
    task="mean",
    tasks=2,
    metric="auroc",
    value=92.5,
    selection="last",
    backbone="resnet152/IMAGENET1K_V1",
    resolution=224,
    protocol="one-vs-rest",
)


def dn2(backbone: str = "panda", label: str = "dn2[k=2]", **more: Any) -> Row:
    about = {"setting": "one-class", "selection": "last", "stochastic": False} | more
    return Row(label=label, method="dn2", backbone=backbone, **about)


def plan_of(*rows: Row, k: object = 2, cols: tuple[Column, ...] = TOY, **about: Any) -> Plan:
    """Return a plan of methods with the parameter k."""
    plan = make_plan(rows or (dn2(),), cols, suite_text=MNV2, **about)
    return replace(plan, entries=tuple(_with(entry, (("k", k),)) for entry in plan.entries))


def _with(entry: Entry, params: tuple[tuple[str, Any], ...]) -> Entry:
    return replace(entry, cell=Cell.from_canonical(entry.cell.canonical() | {"params": dict(params)}))


def compared(
    plan: Plan, *published: Published, ours: float | Callable[[Entry], float] = 0.925
) -> list[PublishedComparison]:
    value = ours if callable(ours) else lambda _: ours
    board = Board(plan, make_records(plan, value))
    return list(comparisons(board, published or (DN2,)))


def verdict(plan: Plan, *published: Published, ours: float | Callable[[Entry], float] = 0.925) -> str:
    (found,) = compared(plan, *published, ours=ours)
    return found.verdict.replace("\u00a0", " ")


@pytest.mark.parametrize(
    "label", ["Ours (k = 2)", "dn2[k=2,metric=cosine] + 1 labelled", 'it\'s "ours"', "[k=2"]
)
def test_of_a_label_that_is_no_selector_no_parameter_is_known(label: str) -> None:
    assert verdict(plan_of(dn2(label=label))) == "equal as printed"


def tasks(n: int) -> tuple[Column, ...]:
    return columns(cifar10=["bird", *(f"class {at}" for at in range(1, n))])


def random_plan(n: int, seeds: int) -> Plan:
    return plan_of(dn2(stochastic=True), cols=tasks(n), seeds=range(seeds))


def spread(centre: float, by: float = 0.01) -> Callable[[Entry], float]:
    """Return values that lie 0, by, 2 by … above and below, each seed of each task its own."""
    return lambda e: centre + by * ((e.cell.seed or 0) - 2) * (-1) ** e.column


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (0.925, "equal as printed"),
        (0.9254, "equal as printed"),  # 92.5 stands for 92.45 to 92.55
        (0.9246, "equal as printed"),
        (0.9256, "off by +0.1"),
        (0.9244, "off by −0.1"),
        (0.93, "off by +0.5"),
    ],
)
def test_without_seeds_numbers_are_equal_as_printed_or_not(ours: float, said: str) -> None:
    assert verdict(plan_of(), ours=ours) == said
    assert compared(plan_of(), ours=ours)[0].interval is None


@pytest.mark.parametrize(("runs", "of"), [(None, 1), (1, 1), (5, 5), (10, 10)])
def test_the_interval_is_students_over_the_seeds_of_both(runs: int | None, of: int) -> None:
    plan, theirs = random_plan(1, 5), replace(DN2, tasks=1, runs=runs)
    (found,) = compared(plan, theirs, ours=spread(0.9))
    values = np.array([0.88, 0.89, 0.9, 0.91, 0.92])
    reach = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 / 5 + 1 / of)
    assert (found.seeds, found.reach) == (5, pytest.approx(reach))
    assert found.interval == (pytest.approx(0.9 - reach), pytest.approx(min(1.0, 0.9 + reach)))
    for value, said in (
        (0.9 + reach, "inside our interval"),
        (0.9 - reach, "inside our interval"),
        (0.9 + reach + 0.001, f"off by −{100 * reach + 0.1:.1f}, more than seeds explain"),
    ):
        assert verdict(plan, replace(theirs, value=100 * value, digits=9), ours=spread(0.9)) == said


def test_the_variance_over_seeds_is_that_within_tasks() -> None:
    """Seeds that differ on each task, and by chance not at all in the mean, still vary."""
    plan = random_plan(2, 5)
    (found,) = compared(plan, ours=spread(0.9))
    values = np.array([0.88, 0.89, 0.9, 0.91, 0.92])
    se = values.std(ddof=1) * np.sqrt((1 / 5 + 1) / 2)
    assert found.reach == pytest.approx(stats.t.ppf(0.975, 2 * 4) * se)
    assert found.verdict.startswith("off by") is ((found.reach or 0) + 0.0005 < 0.025)


@pytest.mark.parametrize(
    ("n", "seeds", "said"),
    [
        (1, 1, "cannot be told with one seed (it takes 5)"),
        (1, 4, "cannot be told with 4 seeds (it takes 5)"),
        (2, 2, "cannot be told with 2 seeds (it takes 3)"),
        (10, 1, "cannot be told with one seed (it takes 2)"),
        (10, 2, "inside our interval"),
        (2, 3, "inside our interval"),
        (1, 5, "inside our interval"),
    ],
)
@pytest.mark.parametrize("metric", ["auroc", "ap"])
def test_with_too_few_seeds_nothing_can_be_told(n: int, seeds: int, said: str, metric: str) -> None:
    plan = random_plan(n, seeds)
    values = {"auroc": spread(0.925), "ap": spread(0.925)}[metric]
    records = {
        entry.cell.key: replace(record, metrics={metric: values(entry)})
        for entry, record in zip(plan.entries, make_records(plan).values(), strict=True)
    }
    (found,) = comparisons(Board(plan, records), (replace(DN2, tasks=n, metric=metric),))
    assert found.verdict == said
    # A difference of any size, as long as it may be chance.
    (found,) = comparisons(Board(plan, records), (replace(DN2, tasks=n, metric=metric, value=20.0),))
    assert found.verdict.startswith("cannot be told") is said.startswith("cannot be told")


def test_on_a_single_task_the_methods_other_tasks_help() -> None:
    bird = replace(DN2, task="bird", tasks=1)
    assert "cannot be told with 3 seeds (it takes 5)" in verdict(random_plan(2, 3), bird, ours=spread(0.9))
    alone = compared(random_plan(1, 5), bird, ours=spread(0.9))[0]
    among = compared(random_plan(10, 5), bird, ours=spread(0.9))[0]
    assert 0 < (among.reach or 0) < (alone.reach or 0)
    assert not verdict(random_plan(10, 2), bird, ours=spread(0.9)).startswith("cannot")


def test_another_draw_of_the_contamination_is_another_seed() -> None:
    how = (("of", "set"), ("rate", "0.1"), ("source", "test"))
    theirs = replace(DN2, contamination=how)
    one = plan_of(rates=(0.0, 0.1), source="test", seeds=(0,))
    assert verdict(one, theirs) == "cannot be told with one seed (it takes 3)"
    three = plan_of(rates=(0.0, 0.1), source="test", seeds=(0, 1, 2))
    assert verdict(three, theirs, ours=lambda e: 0.92 + 0.01 * (e.cell.contamination.seed - 1)) == (
        "inside our interval"
    )


@pytest.mark.parametrize(
    ("n", "stated"), [(1, 15), (15, 1), (2, 15), (15, 2), (1, None), (2, None), (15, None)]
)
def test_a_mean_compares_only_over_as_many_tasks(n: int, stated: int | None) -> None:
    """A mean over fifteen categories, or over who knows how many, is no number of one category."""
    said = verdict(plan_of(cols=tasks(n)), replace(DN2, tasks=stated))
    assert said.startswith("not comparable: ")
    assert f"over {n}" in said
    assert ("not stated" if stated is None else f"over {stated} task") in said
    if stated is not None:
        assert verdict(plan_of(cols=tasks(stated)), replace(DN2, tasks=stated)) == "equal as printed"


@pytest.mark.parametrize("protocol", ["unified", "many-normal"])
@pytest.mark.parametrize("task", ["mean", "bird"])
@pytest.mark.parametrize("n", [1, 2])
def test_one_model_for_all_categories_is_another_thing(protocol: str, task: str, n: int) -> None:
    theirs = replace(DN2, protocol=protocol, task=task, tasks=n if task == "mean" else 1)
    assert "theirs is one model for all categories" in verdict(plan_of(cols=tasks(n)), theirs)


@pytest.mark.parametrize(
    ("theirs", "row", "why"),
    [
        ({}, dn2("mnv2"), "their backbone is resnet152/IMAGENET1K_V1, ours mobilenetv2_100"),
        ({}, dn2("resnet152.tv2_in1k[crop=224,resize=256]"), "ours resnet152/IMAGENET1K_V2"),
        ({"backbone": ""}, dn2(), "their backbone is not stated, ours is resnet152/IMAGENET1K_V1"),
        ({"backbone": "scratch"}, dn2(), "their backbone is scratch"),
        ({"resolution": 256}, dn2(), "their input is 256 px, ours 224 px"),
        ({}, dn2("panda[layer=layer3]"), "ours is read at layer3"),
        ({"backbone": "pixels", "resolution": 32}, dn2("pixels[size=16]"), "32 px, ours 16 px"),
        ({"selection": "oracle"}, dn2(), "their selection is oracle, ours last"),
        ({}, dn2(selection="oracle"), "their selection is last, ours oracle"),
        ({"setting": "outlier-exposure"}, dn2(), "their setting is outlier-exposure, ours one-class"),
        ({"tasks": 10}, dn2(), "their mean is over 10 tasks, ours over 2"),
        ({"dataset": "cifar10[labels=fine]"}, dn2(), "their data set is cifar10[labels=fine]"),
        ({"protocol": "unified"}, dn2(), "one model for all categories"),
        ({}, dn2(label="dn2[k=2,metric=cosine]"), "our row sets metric=cosine"),
        ({}, dn2(label="Ours (k = 2)", selector="dn2[k=2,metric=cosine]"), "our row sets metric=cosine"),
        ({}, dn2(label="dn2[k=2] + 1 labelled", selector="dn2[k=2,l=1]"), "our row sets l=1"),
    ],
)
def test_whatever_differs_is_named_and_there_is_no_verdict(
    theirs: dict[str, Any], row: Row, why: str
) -> None:
    said = verdict(plan_of(row), replace(DN2, **theirs))
    assert said.startswith("not comparable: ")
    assert why in said


@pytest.mark.parametrize(
    ("theirs", "row", "caveat"),
    [
        ({"selection": ""}, dn2(), "their selection is not stated"),
        ({"resolution": None}, dn2(), "their input size is not stated"),
        ({"backbone": "resnet152"}, dn2(), "their weights are not stated"),
        ({"backbone": "mobilenetv2_100/tv"}, dn2("mnv2"), "our weights have no name"),
        ({"runs": 10}, dn2(), "theirs is a mean of 10 runs, ours of 1"),
        ({"certainty": "recalled"}, dn2(), "their number is from memory"),
        ({"certainty": "inferred"}, dn2(), "their number is our reading"),
    ],
)
def test_what_is_not_known_is_a_caveat(theirs: dict[str, Any], row: Row, caveat: str) -> None:
    said = verdict(plan_of(row), replace(DN2, **theirs))
    assert said == f"equal as printed; {caveat}"


@pytest.mark.parametrize(
    "other",
    [
        {"method": "panda"},
        {"params": (("k", ("5",)),)},
        {"params": (("unheard_of", ("1",)),)},
        {"dataset": "mvtec"},
        {"task": "cat"},
        {"metric": "pixel_auroc"},
        {"contamination": (("rate", "0.1"),)},
        {"method": "", "label": "dn2"},
    ],
)
def test_what_does_not_belong_to_a_row_is_left_out(other: dict[str, Any]) -> None:
    assert compared(plan_of(), replace(DN2, **other)) == []


def test_parameters_that_mean_the_same() -> None:
    cell = plan_of(k=2.0).entries[0].cell
    assert compatible(DN2, cell)
    assert compatible(replace(DN2, params=(("k", ("none", "2")),)), plan_of(k=None).entries[0].cell)
    assert compatible(replace(DN2, params=(("k", ("true",)),)), plan_of(k=True).entries[0].cell)
    assert not compatible(DN2, plan_of(k=3).entries[0].cell)


def test_contamination_must_mean_the_same() -> None:
    plan = plan_of(rates=(0.0, 0.1), source="test")
    how = (("of", "set"), ("rate", "0.1"), ("source", "test"))
    assert verdict(plan, replace(DN2, contamination=how)).startswith("cannot be told")
    assert "of=normals, ours of=set" in verdict(
        plan, replace(DN2, contamination=(("of", "normals"), *how[1:]))
    )
    assert "(of) is not stated" in verdict(plan, replace(DN2, contamination=how[1:]))
    # At rate 0 the anomalies of the highest rate have left the test set.
    assert "our test set lacks the anomalies kept for 10 % contamination" in verdict(plan)


@pytest.mark.parametrize(
    ("note", "task", "concerned"),
    [
        ("cifar10: cifar10: the train split has 500 images, officially 50,000 (a slice?)", "bird", True),
        ("cifar10: cifar10/bird: bird has 3 images, officially 5", "bird", True),
        ("cifar10: cifar10/bird: bird has 3 images, officially 5", "airplane", False),
        ("cifar10: cifar10/bird: bird has 3 images, officially 5", "mean", True),
        ("cifar10: cifar10 lacks 8 of 10: cat, …", "bird", False),
        ("digits: cifar10: the train split has 500 images", "mean", False),
    ],
)
def test_a_copy_that_is_not_the_official_set(note: str, task: str, concerned: bool) -> None:
    theirs = replace(DN2, task=task, tasks=2 if task == "mean" else 1)
    assert ("not the official set" in verdict(plan_of(notes=(note,)), theirs)) == concerned


def test_the_section_keeps_classes_folded_and_joins_equal_sources() -> None:
    plan = plan_of(dn2("mnv2"))
    quoted = replace(DN2, source="Another paper", certainty="quoted")
    bird = replace(DN2, task="bird", tasks=1, value=85.5)
    board = Board(plan, make_records(plan, lambda _: 0.745))
    lines = published_beside_ours(board, (DN2, quoted, bird))
    text = "\n".join(lines).replace("\u00a0", " ")
    top, below = text.split("<details>")
    (line,) = [line for line in top.splitlines() if line.startswith("| dn2")]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == [
        r"dn2[k=2]",
        "cifar10",
        "92.5",
        "74.5",
        "−18.0",
        "not comparable: their backbone is resnet152/IMAGENET1K_V1, ours mobilenetv2_100",
        "The paper, Table 1: DN2; Another paper: DN2, quoted there",
    ]
    assert "<b>1 published number of single tasks</b>" in below
    assert "| cifar10/bird |" in below


def test_the_section_shows_the_interval_of_a_difference() -> None:
    plan = random_plan(1, 5)
    board = Board(plan, make_records(plan, spread(0.9)))
    text = "\n".join(published_beside_ours(board, (replace(DN2, tasks=1),))).replace("\u00a0", " ")
    (found,) = comparisons(board, (replace(DN2, tasks=1),))
    low, high = -2.5 - 100 * (found.reach or 0), -2.5 + 100 * (found.reach or 0)
    assert f"| −2.5 (−{-low:.1f} to +{high:.1f}) | inside our interval |" in text
    assert "|   90.0 |" in text


def test_the_figure_has_bars_where_seeds_tell_something_of_a_comparable_number() -> None:
    plan = random_plan(1, 5)
    board = Board(plan, make_records(plan, spread(0.9)))
    theirs = replace(DN2, tasks=1)
    (found,) = comparisons(board, (theirs,))
    (pair,) = reproduction(board, (theirs,)).pairs
    assert pair.interval == found.interval is not None
    (pair,) = reproduction(board, (replace(theirs, tasks=15),)).pairs
    assert (pair.interval, pair.comparable) == (None, False)


def test_a_hole_of_ours_says_so() -> None:
    plan = plan_of()
    records = make_records(plan)
    records[plan.entries[0].cell.key] = failure(plan.entries[0].cell)
    (found,) = comparisons(Board(plan, records), (DN2,))
    assert (found.ours, found.difference, found.verdict) == (None, None, "no number of ours")
    assert "— (1 of 2 failed)" in "\n".join(published_beside_ours(Board(plan, records), (DN2,)))


def test_on_the_leaderboard() -> None:
    plan = plan_of()
    records = make_records(plan)
    text = leaderboard(plan, records, published=(DN2,))
    assert text.count("## Published numbers beside ours") == 1
    assert text.index("## Overall") < text.index("## Published") < text.index("by task")
    assert leaderboard(plan, records, published=(DN2,)) == text
    for none in ((), (replace(DN2, method="no_adapter"),)):
        assert "Published" not in leaderboard(plan, records, published=none)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("", NetworkName("scratch")),
        ("mnv2", NetworkName("mobilenetv2_100", "", 224)),
        ("panda", NetworkName("resnet152", "IMAGENET1K_V1", 224)),
        ("panda[layer=layer3]", NetworkName("resnet152", "IMAGENET1K_V1", 224, "layer3")),
        ("plume-convnext", NetworkName("convnext_base", "IMAGENET1K_V1", 224)),
        ("resnet152.tv_in1k", NetworkName("resnet152", "IMAGENET1K_V1")),
        ("torchvision:resnet18/IMAGENET1K_V1", NetworkName("resnet18", "IMAGENET1K_V1")),
        ("pixels[size=16]", NetworkName("pixels", resolution=16)),
        ("hog", NetworkName("hog", resolution=32)),
        ("of_another_suite[crop=64]", NetworkName("of_another_suite")),
        ("br[ok", NetworkName("br[ok")),
    ],
)
def test_a_rows_network(name: str, network: NetworkName) -> None:
    assert row_network(Plan(suite="s", title="s", suite_text=MNV2), name) == network
    assert row_network(Plan(suite="s", title="s", suite_text="no TOML ["), "panda").resolution == 224
