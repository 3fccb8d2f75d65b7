"""Every parser of what comes from elsewhere, each with good input to spoil. No test lives here."""

from __future__ import annotations

import hashlib
import io
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.core.plan import Plan
from bench.core.selector import parse
from bench.core.truth import Truth
from bench.data.listing import csv_listing
from bench.data.rows import read_rows
from bench.report.board import Board
from bench.report.evidence.evidence import Evidence
from bench.report.export import export_csv
from bench.report.leaderboard.leaderboard import leaderboard
from bench.report.overview import read_overview
from bench.report.page.page import page
from bench.report.published.read import read_published
from bench.run.cost import Costs
from bench.run.executors.base import Finished, Job
from bench.run.executors.wire import packed, unpacked
from bench.run.progress import Snapshot
from bench.suite.adapterfile import read_adapter
from bench.suite.grid import make_plan
from bench.suite.registry import Registry
from bench.suite.suite import load_suite
from tests.factory import make_cell, make_plan_of, make_record, make_timing
from tests.fuzz.mutate import hostile, torn

ROOT = Path(__file__).resolve().parents[2]
CELLS = [make_cell(str(task), method, k=3, level="a") for task in range(2) for method in ("dn2", "random")]


@dataclass(frozen=True, slots=True)
class Parser:
    """What reads a kind of input.

    Attributes
    ----------
    read : callable
        Takes bytes and an empty folder.
    good : bytes
        What it reads without a word.
    text : str
        The same as JSON, to be spoilt as such; empty if it is none.
    weight : float
        Its share of the inputs: less where reading takes long.
    """

    read: Callable[[bytes, Path], object]
    good: bytes
    text: str = ""
    weight: float = 1.0

    def spoilt(self, chance: random.Random) -> bytes:
        if self.text and chance.random() < 0.8:
            return hostile(self.text, chance)
        return torn(self.good, chance)


def record_of(cell: Any) -> Record:
    environment = {"packages": {"torch": "2.6"}, "cpu": {"name": "a", "cores": 2}, "threads": {"torch": 1}}
    more: dict[str, Any] = {"contamination": {"rate": 0.1, "count": 3, "indices": "ab", "note": ""}}
    return make_record(
        cell,
        metrics={"auroc": 0.75, "ap": 0.5, "fpr95": 0.5},
        candidates={"epoch 1": {"auroc": 0.5, "normal": 0.1, "anomalous": 0.3}},
        counts={"train": 10, "train_anomalous": 0, "test": 20, "test_anomalous": 10},
        flags=("a remark",),
        timing=make_timing(),
        memory={"host_peak_bytes": 10**9, "device_peak_bytes": None},
        environment=environment,
        **more,
    )


def truth() -> Truth:
    labels = np.array([0, 0, 1, 1], np.uint8)
    return Truth(labels=labels, sources=("a" * 64,), which=np.zeros(4, np.uint8), rows=np.arange(4))


def text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def whole_report(content: bytes, folder: Path) -> None:
    """Read a record as part of an archive, and make all that is made of records."""
    archive, plan = Archive(folder / "results"), make_plan_of(CELLS)
    for cell in CELLS[1:]:
        written(archive.root, f"{cell.key[:2]}/{cell.key}.json", record_of(cell).to_json().encode())
    written(archive.root, f"{CELLS[0].key[:2]}/{CELLS[0].key}.json", content)
    records = archive.load_all(archive.keys())
    evidence = Evidence(Board(plan, records), archive)
    leaderboard(plan, records, evidence=evidence).encode("utf-8", "replace")
    export_csv(plan, records)
    Costs(records.values()).total(CELLS)


def whole_plan(content: bytes, folder: Path) -> None:
    """Read a plan as part of an archive, report it, and copy it into another."""
    from bench.core.merge import merge

    archive = Archive(folder / "results")
    written(archive.root, "plans/trial.json", content)
    for cell in CELLS:
        written(archive.root, f"{cell.key[:2]}/{cell.key}.json", record_of(cell).to_json().encode())
    merge([folder / "results"], folder / "into")
    plan = archive.plan("trial")
    leaderboard(plan, archive.load_all(archive.keys())).encode("utf-8", "replace")


def suite(content: bytes, folder: Path) -> object:
    return make_plan(load_suite(written(folder, "trial.toml", content)), registry())


@cache
def registry() -> Registry:
    return Registry()


def scores(content: bytes, folder: Path) -> object:
    archive = Archive(folder / "results")
    record = archive.write(record_of(CELLS[0]), np.arange(4.0))
    written(archive.root, f"{CELLS[0].key[:2]}/{CELLS[0].key}.npz", content)
    return archive.scores(replace(record, scores_sha256=hashlib.sha256(content).hexdigest()))


def split(content: bytes, folder: Path) -> object:
    for name in ("a.png", "b.png", "c.png"):
        written(folder, name, b"")
    table = written(folder, "split.csv", content)
    rows = read_rows(table, ("image", "split", "label"))
    return csv_listing(folder, table, rows, image_column="image", what="fuzz")


def overview(content: bytes, folder: Path) -> object:
    name = "quickstart"
    found = read_overview(written(folder, f"{name}.json", content))
    return page(folder, {name: found})


def weights(content: bytes, folder: Path) -> object:
    from bench.features.backbone import Backbones, NetworkTable
    from bench.features.build import read_weights

    file = written(folder, "w.safetensors", content)
    table = NetworkTable(timm="test_resnet", file=str(file))
    return read_weights(Backbones({"w": table}, folder).get("w"), file)


def pack(content: bytes, folder: Path) -> None:
    """Read a pack, and merge it into an archive."""
    from bench.core.merge import merge

    merge([written(folder, "trial.anobench", content)], folder / "into")


def _pack() -> bytes:
    """Return a pack of one cell, and the truth of its test set."""
    from bench.core.pack import write_pack

    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        record = archive.write(replace(record_of(CELLS[0]), truth=truth().identity), np.arange(4.0), truth())
        write_pack(Path(folder) / "pack", archive, make_plan_of(CELLS), {record.cell.key: record})
        return (Path(folder) / "pack").read_bytes()


def zipped(arrays: dict[str, Any]) -> bytes:
    found = io.BytesIO()
    np.savez(found, **arrays)
    return found.getvalue()


def _weights() -> bytes:
    import torch
    from safetensors.torch import save

    return save({"a": torch.zeros(3)}, {"made": "here"})


def _parsers() -> dict[str, Parser]:
    record = record_of(CELLS[0])
    json_of_record, plan = record.to_json(), make_plan_of(CELLS).to_json()
    status = Snapshot(suite="trial", driver="ab", total=3, running=(("cpu", "x", 1.0, ""),)).to_json()
    jobs = {7: Job(id=7, cells=(CELLS[0],))}
    message = packed(Finished(job=7, record=record, scores=np.arange(4.0), truth=truth()))
    shown = (ROOT / "results" / "quickstart.json").read_text()
    listing = b"image,split,label,mask\na.png,train,good,\nb.png,test,crack,a.png\nc.png,test,good,\n"
    read_json: dict[str, tuple[Callable[[bytes, Path], object], str, float]] = {
        "record": (lambda content, _: Record.from_json(text(content)), json_of_record, 3.0),
        "report": (whole_report, json_of_record, 0.02),
        "plan": (lambda content, _: Plan.from_json(text(content)), plan, 2.0),
        "merge": (whole_plan, plan, 0.05),
        "status": (lambda content, _: Snapshot.from_json(text(content)), status, 2.0),
        "page": (overview, shown, 0.05),
    }
    found = {name: Parser(read, t.encode(), t, weight) for name, (read, t, weight) in read_json.items()}
    return found | {
        "suite": Parser(suite, (ROOT / "suites" / "quickstart.toml").read_bytes(), weight=0.1),
        "selector": Parser(
            lambda content, _: parse(text(content)), b"dn2[k=5,backbone=pixels[size=16]]", weight=3.0
        ),
        "scores": Parser(scores, zipped({"scores": np.arange(4.0)}), weight=0.2),
        "pack": Parser(pack, _pack(), weight=0.1),
        "truth": Parser(lambda content, _: Truth.from_bytes(content), truth().to_bytes()),
        "split": Parser(split, listing, weight=0.5),
        "published": Parser(
            lambda content, folder: read_published(written(folder, "p.csv", content)),
            b"".join((ROOT / "results" / "published.csv").read_bytes().splitlines(keepends=True)[:6]),
        ),
        "adapter": Parser(
            lambda content, folder: read_adapter("method", written(folder, "dn2.py", content)),
            (ROOT / "methods" / "dn2.py").read_bytes(),
            weight=0.5,
        ),
        "weights": Parser(weights, _weights(), weight=0.2),
        "message": Parser(lambda content, _: unpacked(content, jobs), message),
    }


PARSERS = _parsers()
