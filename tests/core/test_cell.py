"""Cells and records: keys that never move, and files that are read back as they were written or refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.cell import Cell, Record, Timing
from bench.core.contamination import Contamination
from bench.core.errors import ArchiveError

CELL = Cell(
    dataset="textures[size=96]",
    task="wood",
    method="dn2",
    params=(("k", 2), ("metric", "l2"), ("normalise", True), ("shrink", 0.5)),
    backbone="pixels[size=16]",
    contamination=Contamination(rate=0.1, seed=1),
    seed=None,
    code=(("dataset", "aa"), ("method", "bb")),
    data_fingerprint="cc",
    backbone_identity="dd",
)
RECORD = Record(
    cell=CELL,
    status="ok",
    setting="one-class",
    selection="last",
    metrics={"auroc": 0.1 + 0.2, "ap": 1.0, "fpr95": 0.0},
    counts={"train": 110, "train_anomalous": 10, "test": 80, "test_anomalous": 40},
    contamination={"rate": 10 / 110, "count": 10, "indices": "ab", "removed_from_test": 0},
    flags=("constant scores",),
    timing=Timing(fit=0.1, score=0.2, features=0.3, features_cold=0.4, features_from="mixed", wall=1.0),
    memory={"host_peak_bytes": 1, "device_peak_bytes": None},
    environment={"python": "3.11", "git": {"commit": "abc", "dirty": True}},
    scores_sha256="0" * 64,
    created="2025-03-04T05:06:07+00:00",
)


def test_a_key_never_moves() -> None:
    """Records are found by key: whoever changes this one throws away everyone's archive.

    Raise PROTOCOL_VERSION if cells mean something else, and only then put the new key here.
    """
    assert CELL.key == "132e9e4c358116cfdc671e40e27ddd4d"


def test_a_key_depends_on_everything_in_a_cell() -> None:
    changes: list[dict[str, Any]] = [
        {"dataset": "textures"},
        {"task": "stripes"},
        {"method": "lof"},
        {"params": (("k", 3),)},
        {"params": (("k", "2"), *CELL.params[1:])},
        {"backbone": ""},
        {"contamination": Contamination(rate=0.2, seed=1)},
        {"contamination": Contamination(rate=0.1, seed=2)},
        {"seed": 0},
        {"code": (("dataset", "aa"), ("method", "bc"))},
        {"data_fingerprint": "ce"},
        {"backbone_identity": "de"},
        {"protocol": 2},
    ]
    keys = {replace(CELL, **change).key for change in changes}
    assert len(keys | {CELL.key}) == len(changes) + 1


def test_a_key_is_the_same_after_it_was_asked_for() -> None:
    fresh = replace(CELL)
    assert fresh == CELL
    assert hash(fresh) == hash(CELL)
    assert CELL.key == fresh.key
    assert fresh == CELL
    assert repr(fresh) == repr(CELL)
    assert replace(fresh, seed=3).key != fresh.key
    assert pickle.loads(pickle.dumps(fresh)) == fresh  # noqa: S301


values = st.one_of(
    st.text(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)


@given(
    st.dictionaries(st.text(), values, max_size=5),
    st.text(),
    st.floats(0, 0.5),
    st.none() | st.integers(0, 100),
)
def test_a_cell_survives_json(params: dict[str, Any], task: str, rate: float, seed: int | None) -> None:
    cell = replace(
        CELL,
        params=tuple(sorted(params.items())),
        task=task,
        contamination=Contamination(rate=rate, source="test").resolved(),
        seed=seed,
    )
    again = Cell.from_canonical(json.loads(json.dumps(cell.canonical())))
    assert again == cell
    assert again.key == cell.key


def test_a_cell_says_what_it_is() -> None:
    text = "dn2[k=2,metric=l2,normalise=true,shrink=0.5,backbone=pixels[size=16]] · textures[size=96]/wood"
    assert str(CELL) == f"{text} · 10% contaminated · draw 1"
    assert str(replace(CELL, contamination=Contamination(), seed=3)) == f"{text} · seed 3"
    assert (
        str(replace(CELL, contamination=Contamination(rate=0.005))) == f"{text} · 0.5% contaminated · draw 0"
    )


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, timing=replace(RECORD.timing, reference=0.01)),  # type: ignore[type-var]
        Record(
            cell=CELL,
            status="failed",
            setting="control",
            selection="oracle",
            error={"kind": "ValueError", "reason": "schwarze Löcher \udcff", "traceback": "…"},
        ),
    ],
)
def test_a_record_survives_its_file(record: Record) -> None:
    text = record.to_json()
    assert Record.from_json(text) == record
    assert Record.from_json(text).to_json() == text
    assert text.isascii()
    # Without what a later version added, a record is one that an earlier version reads.
    referred = record.timing is not None and record.timing.reference is not None
    assert json.loads(text)["schema"] == (5 if referred else 3)
    assert ("reference" in (json.loads(text)["timing"] or {})) == referred


def test_timing_separates_cold_from_warm() -> None:
    assert RECORD.timing is not None
    assert RECORD.timing.warm == pytest.approx(0.3)
    assert RECORD.timing.cold == pytest.approx(0.7)


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(RECORD.to_json()) | changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSONDecodeError"),
        (RECORD.to_json()[:200], "JSONDecodeError"),
        ("[" * 100_000, "not a record"),
        ("[]", "not a record"),
        ("17", "not a record"),
        ("{}", "KeyError: 'schema'"),
        (changed(schema=6), "schema is not version 5"),
        (changed(key="0" * 32), "does not belong to its cell"),
        (changed(cell={"dataset": "x"}), "KeyError"),
        (changed(status="perhaps"), "'perhaps'"),
        (changed(metrics={"auroc": float("nan")}), "NaN is no JSON"),
        (changed(metrics={"auroc": "high"}), "its metrics.auroc is no number from 0 to 1"),
        (changed(metrics=None), "its metrics is no table"),
        (changed(candidates={"epoch 1": {"auroc": 1e999}}), "JSON|Infinity"),
        (changed(candidates={"epoch 1": 0.5}), "its candidates.epoch 1 is no table"),
        (changed(curves={"training": 0.5}), "its curves.training is no list"),
        (changed(curves={"training": [0.5, "low"]}), "its curves.training is no number"),
        (changed(surprise=1), "surprise"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        Record.from_json(text)


def test_a_number_that_json_has_not_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        replace(RECORD, metrics={"auroc": float("nan")}).to_json()
