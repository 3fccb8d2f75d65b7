"""Published numbers: the stock file holds, and a bad file says where and what to mend."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.core.errors import PublishedError
from bench.report.numbers import mean
from bench.report.published.read import FILE, load_published, named, read_published
from bench.report.published.row import COLUMNS, FACTS, Published
from bench.report.published.text import listing
from bench.suite.registry import Registry, stock_folder

STOCK = load_published([stock_folder()])
HEADER = "source,label,dataset,task,metric,value"


def file_of(folder: Path, *lines: str, header: str = HEADER) -> Path:
    """Write a bench folder's published.csv and return the bench folder."""
    path = folder / FILE
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return folder


def groups(rows: Iterable[Published]) -> dict[tuple[object, ...], dict[str, Published]]:
    found: dict[tuple[object, ...], dict[str, Published]] = {}
    for row in rows:
        key = (row.source, row.label, row.variant, row.dataset, row.metric, row.contamination)
        found.setdefault(key, {})[row.task] = row
    return found


def test_the_stock_file_has_every_kind_of_number() -> None:
    assert len(STOCK) >= 1250
    assert {row.metric for row in STOCK} >= {"auroc", "f1max", "pixel_auroc", "pixel_aupro", "n_test"}
    assert {row.certainty for row in STOCK} == {"read", "quoted", "inferred", "recalled"}
    assert {row.selection for row in STOCK} >= {"", "last", "oracle"}
    assert {row.setting for row in STOCK} >= {"one-class", "outlier-exposure", "few-shot-anomalies"}


@pytest.mark.parametrize(
    ("method", "dataset", "source", "value"),
    [
        ("dn2", "cifar10", "PANDA paper, Table 1", "92.5"),
        ("dn2", "wbc", "PANDA paper, Table 2", "87.4"),
        ("oc_svm_oracle", "fashion_mnist", "PANDA paper, Table 1", "92.8"),
        ("panda_oe", "cifar10", "PANDA paper, Table 1", "98.9"),
        ("adl", "mvtec", "ADL paper, Table 1", "92.4"),
    ],
)
def test_numbers_as_the_papers_print_them(method: str, dataset: str, source: str, value: str) -> None:
    (row,) = [r for r in named(STOCK, method, dataset=dataset, task="mean") if r.source == source]
    assert row.printed == value


def test_variants_say_their_parameters() -> None:
    rows = {row.variant: row for row in named(STOCK, "cap", dataset="cifar10")}
    assert dict(rows["K = 4"].params)["k"] == ("4",)
    assert dict(rows[""].params)["k"] == ("none", "32")
    assert dict(rows["head L, no attention"].params)["attention"] == ("false",)
    assert rows["no adaptation"].value == 96.6


def test_printed_means_are_the_means_of_their_classes_or_say_so() -> None:
    checked = 0
    for rows in groups(STOCK).values():
        whole = rows.pop("mean", None)
        if whole is None or len(rows) != whole.tasks:
            continue
        checked += 1
        away = abs(mean(row.value for row in rows.values()) - whole.value)
        rounding = 0.5 * 10**-whole.digits + 0.5 * 10 ** -max(row.digits for row in rows.values()) + 1e-9
        assert (away <= rounding) != ("the mean of the printed classes is" in whole.note), (whole, away)
    assert checked > 50


def test_it_speaks_our_language() -> None:
    """Methods, parameters, data sets and tasks that we have are called what they are called here."""
    registry = Registry()
    for row in STOCK:
        if row.method in registry.methods:
            parameters = registry.methods[row.method].parameters
            assert set(dict(row.params)) <= set(parameters), row
            for name, values in row.params:
                for value in values:
                    registry.methods[row.method].check({name: value}, row.where)
        selector, _, _ = row.dataset.partition("[")
        assert selector in registry.datasets or selector == "imagenet30", row.dataset
        assert row.metric in FACTS or row.tasks, row
        assert row.metric in FACTS or math.isfinite(row.value)
    tasks = {row.task for row in STOCK if row.dataset == "fashion_mnist" and row.metric == "auroc"}
    assert {"t-shirt", "ankle_boot", "mean"} <= tasks


def test_a_folder_of_ones_own_adds_rows(tmp_path: Path) -> None:
    file_of(tmp_path, "Mine,Farthest,cifar10,mean,auroc,77.25")
    rows = load_published([tmp_path, stock_folder(), tmp_path])
    assert len(rows) == len(STOCK) + 1
    assert (rows[0].label, rows[0].printed, rows[0].setting, rows[0].certainty) == (
        "Farthest",
        "77.25",
        "one-class",
        "read",
    )
    assert rows[0].where.endswith("published.csv, line 2")


def test_two_values_for_one_thing_name_both_rows(tmp_path: Path) -> None:
    twice = file_of(tmp_path / "a", "Mine,A,cifar10,mean,auroc,77.2", "", "Mine,A,cifar10,mean,auroc,77.3")
    with pytest.raises(PublishedError, match=r"77\.3") as raised:
        load_published([twice])
    for word in ("line 4", "line 2", "77.2", "Mine", "cifar10/mean", "source or variant"):
        assert word in str(raised.value)
    other = file_of(tmp_path / "b", "PANDA paper,DN2,cifar10,mean,auroc,92.5")
    third = file_of(tmp_path / "c", "PANDA paper,DN2,cifar10,mean,auroc,92.6")
    with pytest.raises(PublishedError) as raised:
        load_published([other, third])
    assert str(other / FILE) in str(raised.value)
    assert str(third / FILE) in str(raised.value)


def test_the_same_row_twice_is_one(tmp_path: Path) -> None:
    line = "Mine,A,cifar10,mean,auroc,77.2"
    assert len(load_published([file_of(tmp_path, line, line)])) == 1


@pytest.mark.parametrize(
    ("header", "line", "words"),
    [
        (HEADER + ",colour", "S,A,cifar10,mean,auroc,1,red", ["line 1", "'colour'", "available"]),
        ("source,label,dataset,task,metric", "S,A,cifar10,mean,auroc", ["'value' is missing"]),
        (HEADER + ",value", "S,A,cifar10,mean,auroc,1,1", ["'value' is there twice"]),
        (HEADER, "S,A,cifar10,mean,auroc", ["line 2", "as many fields", "6"]),
        (HEADER, "S,A,cifar10,mean,auroc,0.9,7", ["line 2", "double quotes"]),
        (HEADER, "S,A,cifar10,mean,auroc,about 9", ["line 2, value", "'about 9'", "0 to 100"]),
        (HEADER, "S,A,cifar10,mean,auroc,nan", ["value", "0 to 100"]),
        (HEADER, "S,A,cifar10,mean,auroc,101", ["value", "0 to 100"]),
        (HEADER, ",A,cifar10,mean,auroc,1", ["source", "may not be empty"]),
        (HEADER, "S,,cifar10,mean,auroc,1", ["label", "as it is printed"]),
        (HEADER, "S,A,cifar10[,mean,auroc,1", ["dataset", "'cifar10['", "selector"]),
        (HEADER + ",selection", "S,A,cifar10,mean,auroc,1,best", ["selection", "'best'", "'oracle'"]),
        (HEADER + ",certainty", "S,A,cifar10,mean,auroc,1,sure", ["certainty", "'recalled'"]),
        (HEADER + ",tasks", "S,A,cifar10,mean,auroc,1,ten", ["tasks", "'ten'", "whole number above 0"]),
        (HEADER + ",runs", f"S,A,cifar10,mean,auroc,1,{'9' * 5000}", ["runs", "whole number above 0"]),
        (HEADER + ",params", "S,A,cifar10,mean,auroc,1,k", ["params", "name=value"]),
        (HEADER + ",contamination", "S,A,cifar10,mean,auroc,1,rate=2", ["contamination", "rate=0.1"]),
        (
            HEADER + ",contamination",
            'S,A,cifar10,mean,auroc,1,"rate=0.1,of=all"',
            ["of to be set or normals"],
        ),
        (HEADER + ",contamination", 'S,A,cifar10,mean,auroc,1,"rate=0.1,by=me"', ["not 'by'"]),
        (HEADER, 'S,"A"B,cifar10,mean,auroc,1', ["line 2", "not CSV", "quotes"]),
        ("", "", ["'source' is missing"]),
    ],
)
def test_a_bad_file_says_where_and_what(tmp_path: Path, header: str, line: str, words: list[str]) -> None:
    path = file_of(tmp_path, line, header=header) / FILE
    with pytest.raises(PublishedError) as raised:
        read_published(path)
    for word in (str(path), *words):
        assert word in str(raised.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_bytes(b"\xff\xfe\x00source")
    with pytest.raises(PublishedError, match="UTF-8"):
        read_published(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "dm2"}, ["'dm2'", "did you mean 'dn2'"]),
        ({"method": "dn2", "dataset": "cifar"}, ["data set 'cifar'", "did you mean 'cifar10"]),
        ({"method": "dn2", "dataset": "mvtec", "task": "bottl"}, ["task 'bottl'", "mean"]),
    ],
)
def test_an_unknown_name_gets_the_nearest(given: dict[str, str], words: list[str]) -> None:
    with pytest.raises(PublishedError) as raised:
        named(STOCK, **given)
    for word in words:
        assert word in str(raised.value)


def test_names_as_printed_and_globs() -> None:
    assert {row.label for row in named(STOCK, "Deep S*")} == {"Deep SVDD", "Deep SAD"}
    assert {row.dataset for row in named(STOCK, "padim", dataset="real_iad")} == {"real_iad[split=fuiad]"}
    assert named(STOCK, "patchcore", task="screw")


def test_the_listing_names_source_doubt_and_note() -> None:
    text = listing(named(STOCK, "mahalanobis"))
    assert text.startswith("Rippel et al. 2020\n")
    line = next(line for line in text.splitlines() if "efficientnet_b4" in line)
    assert re.search(r"mahalanobis\[normalise=none\] +mvtec +mean of 15 +auroc +95\.8 ", line)
    assert "from memory, not checked" in line
    assert "  note: " in text
    assert "printed with ± 1.2" in text
    contaminated = listing(named(STOCK, "adl"))
    assert "10 % contamination (of=set, source=jittered)" in contaminated


def test_columns_are_documented() -> None:
    import bench.report.published.row as module

    assert module.__doc__ is not None
    for name in COLUMNS:
        assert f"``{name}``" in module.__doc__
