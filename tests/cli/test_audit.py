"""``anobench audit`` through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.suite.audited import audit_preset
from bench.suite.registry import Registry
from tests.cli.conftest import Invoke
from tests.data.test_audit import MEDS_40, write_meds

ROOT = Path(__file__).resolve().parents[2]


def test_a_published_list(anobench: Invoke, here: Path) -> None:
    write_meds(here / "train_mvtec_nr40_seed_0.csv", MEDS_40)
    ended = anobench("audit", "train_mvtec_nr40_seed_0.csv", "-d", "mvtec", "--list", "meds")
    assert ended.code == 0, ended.err
    line = next(line for line in ended.out.splitlines() if line.startswith("all"))
    for word in ("40 %", "3,629", "1,167", "24.3", "32.2", "1,167 of 1,258 (92.8 %)", "the same"):
        assert word in line
    assert "hazelnut" in ended.out


def test_a_preset_needs_no_data_where_numbers_are_known(anobench: Invoke) -> None:
    ended = anobench("audit", "softpatch", "-d", "mvtec", "--rate", "0.1", "--totals", "--as", "json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)["audits"]
    assert "official numbers" in found["title"]
    (every,) = found["overall"]
    assert (every["normals"], every["anomalies"], every["test_anomalies"]) == (3629, 358, 1258)
    assert (every["tested"], every["trained_and_tested"]) == (900, 0)


def test_a_suite(anobench: Invoke, here: Path) -> None:
    (here / "dirty.toml").write_text(
        'datasets = ["textures[task=wood|tiles,size=16]"]\nmethods = ["random", "dn2"]\nseeds = [0, 1]\n'
        'backbone = "pixels"\n[contamination]\nrates = [0.0, 0.1, 0.2]\nsource = "test_overlap"\n'
    )
    ended = anobench("audit", "dirty.toml", "--as", "markdown")
    assert ended.code == 0, ended.err
    assert "draw 0" in ended.out
    assert "draw 1" in ended.out
    assert "| **all** " in ended.out
    assert "20 of 40 (50.0 %)" in ended.out, "of wood's test anomalies at 20 % of the set: 80 / 4"
    assert not (here / "results").exists(), "nothing runs"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "softpatch"), "name a data set too"),
        (("audit", "softpatch", "-d", "mvtec", "--rate", "0.9"), "expected a rate from 0 to 0.5"),
        (("audit", "nothing"), "unknown suite 'nothing'"),
        (
            ("audit", "softpatch-overlap", "-d", "mvtec", "--rate", "0.4"),
            "mvtec/bottle: contamination of 40%",
        ),
        (("audit", "meds", "-d", "cifar10"), "cifar10"),
    ],
)
def test_what_cannot_be_audited(anobench: Invoke, words: tuple[str, ...], message: str) -> None:
    ended = anobench(*words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert message.lower() in ended.err.lower()


PROTOCOLS = {
    "SoftPatch, overlap": "softpatch-overlap",
    "SoftPatch, no overlap": "softpatch",
    "SoftPatch+": "softpatch-plus",
    "ADL": "adl",
}


def test_the_page_of_published_protocols_says_what_is_counted() -> None:
    """Every row that follows from a preset's rule and official numbers."""
    registry, found = Registry(), 0
    for line in (ROOT / "docs" / "contamination.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] not in PROTOCOLS or cells[-1] != "by its rule":
            continue
        found += 1
        dataset, rate = cells[1].lower().split()[0], float(cells[2].rstrip(" %")) / 100
        (every,) = audit_preset(PROTOCOLS[cells[0]], dataset, [rate], registry).overall
        assert [f"{100 * every.of_set:.1f}", f"{100 * every.of_normals:.1f}"] == cells[3:5], line
        share = f"{100 * (every.share_trained_on or 0):.1f}".replace("100.0", "100")
        assert cells[5].startswith(f"{share} %"), line
    assert found == 10
