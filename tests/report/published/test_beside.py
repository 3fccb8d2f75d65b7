"""Published numbers beside ours: what belongs to a row, what differs, and no verdict where anything does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.cell import Cell
from bench.core.plan import Column, Entry, Plan, Row
from bench.report.board import Board
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
    plan: Plan, *published: Published, ours: float = 0.925, **more: Any
) -> list[PublishedComparison]:
    board = Board(plan, make_records(plan, lambda _: ours))
    return list(comparisons(board, published or (DN2,), **more))


def verdict(plan: Plan, *published: Published, **more: Any) -> str:
    (found,) = compared(plan, *published, **more)
    return found.verdict.replace("\u00a0", " ")


def test_the_same_protocol_and_a_number_inside_the_interval() -> None:
    (found,) = compared(plan_of(), interval=lambda *_: (0.92, 0.931), ours=0.927)
    assert found.verdict == "reproduced within the interval"
    assert found.difference == pytest.approx(0.002)
    assert not found.differs


@pytest.mark.parametrize(
    ("ours", "interval", "said"),
    [
        (0.940, (0.93, 0.95), "off by +1.5"),
        (0.90, (0.89, 0.9244), "off by −2.5"),
        (0.90, (0.89, 0.9245), "reproduced within the interval"),  # 92.5 stands for 92.45 and above
        (0.93, (0.9255, 0.94), "reproduced within the interval"),  # and for 92.55 and below
        (0.93, (0.9256, 0.94), "off by +0.5"),
        (0.9254, None, "equal as printed"),
        (0.93, None, "off by +0.5 (ours has no interval)"),
    ],
)
def test_the_verdict(ours: float, interval: tuple[float, float] | None, said: str) -> None:
    assert verdict(plan_of(), ours=ours, interval=lambda *_: interval) == said


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
    ],
)
def test_whatever_differs_is_named_and_there_is_no_verdict(
    theirs: dict[str, Any], row: Row, why: str
) -> None:
    said = verdict(plan_of(row), replace(DN2, **theirs), interval=lambda *_: (0.0, 1.0))
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
    said = verdict(plan_of(row), replace(DN2, **theirs), interval=lambda *_: (0.9, 0.95))
    assert said == f"reproduced within the interval; {caveat}"


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
    assert verdict(plan, replace(DN2, contamination=how), interval=lambda *_: (0.9, 0.95)).startswith(
        "reprod"
    )
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
    lines = published_beside_ours(board, (DN2, quoted, bird), lambda *_: (0.74, 0.75))
    text = "\n".join(lines).replace("\u00a0", " ")
    top, below = text.split("<details>")
    (line,) = [line for line in top.splitlines() if line.startswith("| dn2")]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == [
        r"dn2[k=2]",
        "cifar10",
        "92.5",
        "74.5 (74.0 to 75.0)",
        "−18.0",
        "not comparable: their backbone is resnet152/IMAGENET1K_V1, ours mobilenetv2_100",
        "The paper, Table 1: DN2; Another paper: DN2, quoted there",
    ]
    assert "<b>1 published number of single tasks</b>" in below
    assert "| cifar10/bird |" in below


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
