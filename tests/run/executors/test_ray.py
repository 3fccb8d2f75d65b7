"""The ray executor on Ray's own test cluster: two nodes on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core.archive import Archive
from bench.core.cell import Cell
from bench.core.errors import AnobenchError
from bench.run.claims import Claims
from bench.run.cost import Costs
from bench.run.driver import Driver
from bench.run.ending import Ending
from bench.run.executors.base import Event, Executor, Extracted, Job, Lost, Slot, Started
from bench.run.executors.inline import Inline
from bench.run.executors.ray.actor import Actor
from bench.run.executors.ray.connect import slots_of
from bench.run.executors.ray.executor import RayCluster
from bench.run.executors.remote import Remote, portable_json, take_over
from bench.run.executors.slurm.executor import Slurm
from bench.run.timing import PACKED
from bench.run.units import units
from bench.suite.grid import make_plan
from bench.suite.registry import Registry, stock_folder
from bench.suite.resolve import Resolver
from bench.suite.suite import adhoc_suite
from tests.factory import make_cell
from tests.run.driving import bench_folder, cell, drive, finished, jobs_of, lost, setup_of

ray = pytest.importorskip("ray", reason="needs ray: pip install 'anobench[ray]'")

STORE = 80 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench_folder(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANOBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False},
        )
        made.add_node(num_cpus=1, object_store_memory=STORE)
        try:
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def started(cluster: Any, folder: Path) -> Iterator[Callable[..., RayCluster]]:
    """Return a function that starts an executor with these limits; it is closed in the end."""
    made: list[RayCluster] = []

    def start(**limits: Any) -> RayCluster:
        made.append(RayCluster(setup_of(folder, **limits), address=cluster.address))
        made[-1].start()
        return made[-1]

    yield start
    for executor in made:
        executor.close()


def stock_cell(method: str, task: str) -> Cell:
    """Return a cell of a stock method on pixels, with its default parameters."""
    suite = adhoc_suite([f"digits[task={task}]"], [f"{method}[backbone=pixels]"])
    return make_plan(suite, Registry()).entries[0].cell


def timeless(archive: Archive, key: str) -> tuple[dict[str, Any], bytes]:
    """Return all of a record but what it took and when it was made, and the bytes of its scores."""
    record = archive.load(key)
    assert record is not None
    data = json.loads(record.to_json())
    for name in ("timing", "memory", "created"):
        del data[name]
    data["flags"] = [flag for flag in data["flags"] if flag != PACKED]
    if data["error"]:
        del data["error"]["traceback"]  # it says where the files of each process lie
    return data, archive.packed_scores(record) if record.scores_sha256 else b""


def test_records_come_back_until_a_stop_and_a_kill(
    folder: Path, started: Callable[..., RayCluster], tmp_path: Path
) -> None:
    executor = started()
    assert len({slot.device for slot in executor.slots()}) == 2
    cells = [cell(folder, "brightness", str(task), level=level) for task in range(5) for level in (0, 1)]
    cells.append(cell(folder, "crashes"))
    events = drive(executor, jobs_of(cells))
    events += drive(executor, [Job(id=100, cells=(cell(folder, "null", backbone="hog"),), part=(0, 1))])
    found = finished(events)
    assert set(found) == {each.key for each in cells}
    slots = {event.slot.name for event in events if isinstance(event, Started)}
    assert slots == {slot.name for slot in executor.slots()}
    failed = found[cells[-1].key]
    assert failed.record.error is not None
    assert failed.record.error["reason"] == "the planted failure"
    assert "the planted failure" in failed.log
    truths = {event.truth.identity for event in found.values() if event.truth}
    assert truths == {event.record.truth for event in found.values()} - {""}
    assert [event.reason for event in events if isinstance(event, Extracted)] == [""]
    _stop_and_kill(executor, folder, tmp_path)


def _stop_and_kill(executor: RayCluster, folder: Path, tmp_path: Path) -> None:
    """A stop lets running cells finish, a kill does not."""
    waiting = [cell(folder, "waits", path=str(tmp_path / name)) for name in ("a", "b")]
    slots = executor.idle()
    for job, slot in zip(jobs_of(waiting), slots, strict=True):
        executor.submit(job, slot)
    while not all((tmp_path / f"{name}.here").exists() for name in ("a", "b")):
        executor.events(0.1)
    executor.stop()
    assert executor.idle() == []
    (tmp_path / "a").write_text("")
    seen: list[Event] = []
    while not finished(seen):
        seen += executor.events(1.0)
    assert set(finished(seen)) == {waiting[0].key}
    executor.kill()
    assert [(event.cells, event.why) for event in lost(executor.events(1.0))] == [
        ((waiting[1],), "interrupted")
    ]


def test_the_same_records_from_inline_ray_and_slurm(
    folder: Path, started: Callable[..., RayCluster], tmp_path: Path
) -> None:
    """Byte for byte but for when they were made, and what they took."""
    pytest.importorskip("submitit", reason="needs submitit: pip install 'anobench[slurm]'")
    cells = [cell(folder, "brightness", str(task)) for task in range(3)] + [cell(folder, "crashes")]
    cells += [stock_cell(method, "3") for method in ("dn2", "mahalanobis")]
    setup = setup_of(folder)
    executors: dict[str, Callable[[], Executor]] = {
        "inline": lambda: Inline(setup.runner()),
        "ray": started,
        "slurm": lambda: Slurm(setup, tmp_path / "spool", cluster="local", cpus=1),
    }
    found = {}
    for name, executor in executors.items():
        archive = Archive(tmp_path / name)
        with Ending() as ending:
            resolver, claims = Resolver(setup.registry()), Claims(archive.root / "claims")
            driver = Driver(units(cells, Costs()), executor(), archive, resolver, ending, claims=claims)
            assert len(list(driver.run())) == len(cells)
        found[name] = {key: timeless(archive, key) for key in archive.keys()}  # noqa: SIM118
    assert set(found["inline"]) == {each.key for each in cells}
    assert found["ray"] == found["inline"]
    assert found["slurm"] == found["inline"]


def test_what_kills_or_hangs_is_found_among_many(folder: Path, started: Callable[..., RayCluster]) -> None:
    """Short cells go several in a call: none but the guilty is blamed."""
    executor = started(cell_seconds=2.0, grace_seconds=1.0)
    short = [cell(folder, "null", str(at % 10), level=at) for at in range(40)]
    kills, hangs = cell(folder, "kills"), cell(folder, "hangs")
    events = drive(executor, jobs_of([*short[:30], kills, hangs, *short[30:]]))
    assert set(finished(events)) == {each.key for each in short}
    blamed = {event.cells: event.why for event in lost(events) if event.why != "unstarted"}
    assert blamed == {(kills,): "died", (hangs,): "timeout"}


def test_a_node_that_goes_away_in_the_middle_of_a_cell(
    cluster: Any, folder: Path, started: Callable[..., RayCluster], tmp_path: Path
) -> None:
    """The last test here: the cluster has one node less."""
    executor = started()
    gate = tmp_path / "gate"
    cells = [cell(folder, "waits", path=str(gate), level=at) for at in range(2)]
    cells += [cell(folder, "brightness", str(at)) for at in range(6)]
    second = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    slots: set[str] = set()

    def remove(event: Event) -> None:
        if isinstance(event, Started) and event.cell in cells[:2]:
            slots.add(event.slot.name)
            if len(slots) == 2 and not gate.exists():
                cluster.remove_node(second, allow_graceful=False)
        if isinstance(event, Lost) and event.why == "node":
            gate.write_text("")  # not before: a process outlives its node for a moment

    events = drive(executor, jobs_of(cells), after=remove, again=("unstarted", "node"))
    assert set(finished(events)) == {each.key for each in cells}
    gone = [event for event in lost(events) if event.why == "node"]
    assert [event.cells[0].method for event in gone] == ["waits"]
    assert "node" in gone[0].reason
    left = {slot.device for slot in executor.idle()}
    assert len(left) == 1, "whatever Ray itself thinks of the node by now"


def test_which_jobs_may_stand_beside_or_behind_which(folder: Path) -> None:
    """By slots alone: no cluster is needed."""
    cluster = RayCluster(setup_of(folder))
    here, there, elsewhere = (
        Actor(Slot(name=f"{node} cpu #{number}", device=f"{node} cpu"), node)
        for node, number in (("a", 1), ("a", 2), ("b", 1))
    )
    cluster._actors = {actor.slot.name: actor for actor in (here, there, elsewhere)}
    plain = Job(id=1, cells=(make_cell(),))
    alone, fresh = replace(plain, alone=True), replace(plain, fresh=True)
    elsewhere.queued = [alone]
    assert all(cluster.fits(job, here.slot) for job in (plain, alone, fresh))
    here.queued = [plain]
    assert [cluster.fits(job, here.slot) for job in (plain, alone, fresh)] == [True, False, False]
    assert [cluster.fits(job, there.slot) for job in (plain, alone, fresh)] == [True, False, True]
    here.queued = [alone]
    assert not cluster.fits(plain, there.slot)


def test_an_actor_decodes_with_its_share_of_a_nodes_cores(folder: Path) -> None:
    """By what the cluster says alone."""
    node = {"Alive": True, "NodeID": "0123456789", "NodeManagerHostname": "a"}
    nodes = [
        node | {"Resources": {"CPU": 64.0, "GPU": 4.0}},
        node | {"Resources": {"CPU": 2.0}},
        node | {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 1.0}},
    ]
    told = SimpleNamespace(nodes=lambda: nodes)
    assert [share for *_, share in slots_of(told, gpu=True, cpus=1)] == [16] * 4
    assert [share for *_, share in slots_of(told, gpu=True, cpus=32)] == [32] * 2
    assert [share for *_, share in slots_of(told, gpu=False, cpus=2)] == [2] * 33
    cluster = RayCluster(setup_of(folder))
    assert cluster._setup_of(Actor(Slot(name="a #1", device="a"), "a", 16)).extraction_threads == 16


def test_a_node_with_other_code_is_refused(folder: Path) -> None:
    other = replace(cell(folder, "null"), code=(("dataset", "0"), ("method", "0")))
    with pytest.raises(AnobenchError, match=r"has another (method|dataset) adapter"):
        list(Remote(portable_json(setup_of(folder))).events(Job(id=0, cells=(other,))))
    gone = replace(setup_of(folder), folders=(str(folder / "nowhere"),))
    with pytest.raises(AnobenchError, match=r"has no bench folder .*nowhere; .*where all machines see it"):
        Remote(portable_json(gone))


def test_each_machine_has_its_own_stock_folder(folder: Path) -> None:
    assert str(stock_folder()) not in portable_json(setup_of(folder))
    there = Remote(portable_json(setup_of(folder))).runner.registry
    assert stock_folder() in there.folders
    assert "dn2" in there.methods


def test_variables_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", "own")
    monkeypatch.delenv("ANOBENCH_CACHE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("MKL_NUM_THREADS", "8")
    take_over(
        {
            "ANOBENCH_DATA": "theirs",
            "ANOBENCH_CACHE": "cache",
            "OMP_NUM_THREADS": "2",
            "MKL_NUM_THREADS": None,
        }
    )
    assert {name: os.environ.get(name) for name in ("ANOBENCH_DATA", "ANOBENCH_CACHE")} == {
        "ANOBENCH_DATA": "own",
        "ANOBENCH_CACHE": "cache",
    }
    assert (os.environ["OMP_NUM_THREADS"], os.environ.get("MKL_NUM_THREADS")) == ("2", None)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "nobody answers there.*ray start --head"),
        ("somewhere", "expected auto, or HOST:PORT"),
    ],
)
def test_an_address_that_is_none(
    folder: Path, address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    executor = RayCluster(setup_of(folder), address=address)
    with pytest.raises(AnobenchError, match=reason):
        executor.start()
    executor.close()
