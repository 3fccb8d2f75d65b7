"""Verification of forged and honest submissions: each kind of `docs/simulation/forgeries.py`, and by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.archive import Archive
from bench.core.errors import AnobenchError
from bench.report.submitted.suspicion import stands_out, weights
from bench.run.executors.choose import Options
from bench.run.launch import launch
from bench.run.prepare import prepare
from bench.run.rerun import run_again
from bench.run.verification import Verification, adopt, joined, verify_pack
from bench.run.verificationtext import verification_json, verification_text
from bench.suite.registry import Registry
from bench.suite.suite import Suite, adhoc_suite
from tests.factory import make_cell, make_plan_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))
from simulation import forgeries  # noqa: E402
from simulation.forgeries import FORGERIES, HONEST, Submitted, World  # noqa: E402

SUITE: Suite = adhoc_suite(
    ["digits"],
    [
        f"{name}[backbone={backbone}]"
        for name in ("mean_distance", "dn2")
        for backbone in ("pixels[size=4]", "hog")
    ],
    name="trial",
    contamination={"rates": [0.0, 0.1]},
    seeds=[0, 1],
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a suite that was run: four methods, thirty cells each."""
    archive = Archive(tmp_path_factory.mktemp("world"))
    prepared = prepare(SUITE, Registry(), archive)
    launch(prepared, Options(executor="inline", device="cpu"))
    return World(SUITE, Registry(), archive, prepared.plan)


def verified(world: World, change: Callable[..., Any], folder: Path, **more: Any) -> Verification:
    """Verify a submission of the first method, or of the first whose mean can be raised so."""
    rows = [int(more.pop("row"))] if "row" in more else range(4)
    options = {"folder": folder, "share": 1.0} | more
    every = (forgeries.verified(world, row, change, 1, **options) for row in rows)
    return next(found for found in every if found is not None)


@pytest.mark.parametrize("kind", FORGERIES)
def test_every_kind_of_forgery_is_found_where_all_is_run_again(
    world: World, kind: str, tmp_path: Path
) -> None:
    found = verified(world, FORGERIES[kind], tmp_path)
    wanted = 3 if kind.startswith("another preprocessing") else 1
    assert found.exit_status == wanted, verification_text(found)
    by = {each.kind for each in found.findings}
    assert {
        "labels swapped": "labels",
        "metrics edited": "metrics",
        "another preprocessing, which the keys say": "protocol",
    }.get(kind, "scores") in by


@pytest.mark.parametrize("kind", HONEST)
def test_no_honest_submission_is_accused(world: World, kind: str, tmp_path: Path) -> None:
    for row in range(4):
        found = verified(world, HONEST[kind], tmp_path, row=row)
        assert found.exit_status == 0, verification_text(found)
        assert {each.rule for each in found.comparisons} == {
            "tolerance" if kind == "another platform" else "bits"
        }


def test_labels_metrics_and_protocol_need_no_rerun(world: World, tmp_path: Path) -> None:
    def never(known: object, cells: Any) -> Any:
        del known
        return {cell.key: (world.records[cell.key], world.scores[cell.key]) for cell in cells[:1]}

    for kind in ("labels swapped", "metrics edited", "another preprocessing, which the keys say"):
        found = verified(world, FORGERIES[kind], tmp_path, share=0.01, rerun=never)
        assert found.exit_status == (3 if kind.startswith("another") else 1)


def test_a_real_rerun_finds_a_forgery_and_passes_the_truth(world: World, tmp_path: Path) -> None:
    def rerun(known: Any, cells: Any) -> Any:
        return run_again(known, cells, Registry(), Options(executor="inline", device="cpu"))

    honest = verified(world, HONEST["as it is"], tmp_path, share=0.05, rerun=rerun)
    assert (honest.exit_status, len(honest.comparisons)) == (0, 2)
    forged = verified(world, FORGERIES["all cells, a little"], tmp_path, share=0.05, rerun=rerun)
    assert forged.exit_status == 1
    assert [each.same for each in forged.comparisons] == [False, False]
    assert "CONTRADICTED" in verification_text(forged)


def test_what_a_cell_says_was_drawn_is_held_against_the_data(world: World, tmp_path: Path) -> None:
    def other_draw(sent: Submitted, rng: np.random.Generator) -> bool:
        del rng
        for key, record in sent.records.items():
            if record.contamination.get("count"):
                drawn = {**record.contamination, "indices": "0" * 16}
                sent.records[key] = replace(record, contamination=drawn)
        sent.settle(metrics=False)
        return True

    found = verified(world, other_draw, tmp_path)
    assert {each.kind for each in found.findings} == {"draw"}
    assert "what it says was drawn of the anomalies is not what is drawn (indices)" in verification_text(
        found
    )


def test_missing_cells_and_unreadable_scores_cannot_be_told(world: World, tmp_path: Path) -> None:
    def shorter(sent: Submitted, rng: np.random.Generator) -> bool:
        del rng
        sent.settle(metrics=False)
        del sent.records[sent.keys[0]]
        return True

    found = verified(world, shorter, tmp_path)
    assert (found.exit_status, [each.kind for each in found.findings]) == (3, ["missing"])


def test_other_numbers_of_scores(world: World, tmp_path: Path) -> None:
    def cut(sent: Submitted, rng: np.random.Generator) -> bool:
        del rng
        sent.settle(metrics=False)
        first = sent.keys[0]
        sent.scores[first] = sent.scores[first][:-1]
        sent.records[first] = replace(sent.records[first])
        import hashlib

        from bench.core.scorefile import pack_scores

        digest = hashlib.sha256(pack_scores(sent.scores[first], {})).hexdigest()
        sent.records[first] = replace(sent.records[first], scores_sha256=digest)
        return True

    found = verified(world, cut, tmp_path)
    assert found.exit_status == 1
    assert "598 scores for the 599 test images" in str(found.findings[0])


def test_what_the_receiver_has_is_not_drawn(world: World, tmp_path: Path) -> None:
    sent = Submitted.of(world, 0)
    sent.settle(metrics=False)
    pack = sent.pack(tmp_path / "sent.anobench")
    found = verify_pack(pack, SUITE, Registry(), world.archive, world.oracle, share=0.5, nonce="n")
    assert found.draw.keys == ()
    assert len(found.comparisons) == 30
    assert not any(each.fresh for each in found.comparisons)
    assert found.exit_status == 0


def test_a_draw_is_that_of_pack_and_nonce(world: World, tmp_path: Path) -> None:
    one, two = (verified(world, HONEST["as it is"], tmp_path, share=0.2) for _ in range(2))
    assert (one.draw.keys, one.pack.sha256) == (two.draw.keys, two.pack.sha256)
    told = verification_json(one)
    assert told["drawn"]["by_weight"] + told["drawn"]["uniform"] == list(one.draw.keys)
    assert len(told["drawn"]["by_weight"]) == len(told["drawn"]["uniform"]) == 3
    assert len({one.known.cells[key].task for key in one.draw.by_weight}) == 3
    assert told["exit_status"] == 0


def test_only_what_was_verified_is_merged(world: World, tmp_path: Path) -> None:
    forged = verified(world, FORGERIES["all cells, a little"], tmp_path)
    with pytest.raises(AnobenchError, match="is not merged"):
        adopt(forged, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_joined_plans_have_each_row_once() -> None:
    ours = make_plan_of([make_cell("0", "a"), make_cell("1", "a")])
    more = make_plan_of([make_cell("0", "a"), make_cell("1", "b"), make_cell("7", "b")])
    found = joined(ours, more)
    assert [row.method for row in found.rows] == ["a", "b"]
    assert [(e.row, e.column, e.cell.task) for e in found.entries] == [(0, 0, "0"), (0, 1, "1"), (1, 1, "1")]


def test_what_stands_out() -> None:
    """One cell against its own method's, one task against other methods'; the shares of suspicion follow."""
    cells = [make_cell(str(task), seed=seed) for task in range(8) for seed in (0, 1, 2)]
    rng = np.random.default_rng(0)
    base = np.repeat(rng.uniform(0.6, 0.8, 8), 3)
    claims = base + 0.002 * rng.normal(size=24)
    others = [
        {f"digits/{task}": float(base[3 * task] + shift) for task in range(8)} for shift in (-0.1, 0.02)
    ]
    own, across = stands_out(cells, claims, others)
    assert np.abs(own).max() < 4
    assert np.abs(across).max() < 3
    one = claims.copy()
    one[4] += 0.1
    assert stands_out(cells, one, others)[0].argmax() == 4
    whole = claims.copy()
    whole[6:9] += 0.1
    own, across = stands_out(cells, whole, others)
    assert np.abs(own).max() < 4
    assert set(np.flatnonzero(across > 6).tolist()) == {6, 7, 8}
    held = weights(cells, whole, others, [False] * 23 + [True])
    assert held.argmax() == 23
    assert held.min() >= 1
    assert (weights(cells, claims, [], [False] * 24) >= 1).all()
