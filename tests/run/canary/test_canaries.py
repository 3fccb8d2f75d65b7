"""One ill-behaved method must not cost the others: their scores are those of a clean run, byte for byte."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.core.archive import Archive
from bench.core.cell import Record
from bench.run.executors.base import Executor
from bench.run.executors.inline import Inline
from bench.suite.suite import Limits
from tests.run.canary.methods import CHANGES, ENDS, FAILS, HANGS, LASTING, RETURNS, write
from tests.run.faulty import Trial, bench_folder, children

#: Methods that behave; what the others do to them would show in their scores.
GOOD = ("fault", "random", "dn2[backbone=pixels[size=4]]", "isolation_forest[backbone=pixels[size=4]]")

#: What is tried under Ray too, which takes its time.
FEW = ("dtype", "grad", "errstate", "chdir", "environ", "signals", "finder", "builtin", "images", "daemon")


def trial(folder: Path, bad: Sequence[str], limits: Limits | None = None) -> Trial:
    """Return cells of bad methods, each followed by those that behave, on two tasks."""
    return Trial(folder, [*bad, *GOOD], limits=limits)


def wrote(folder: Path, kinds: dict[str, tuple[str, str]], **more: bool) -> list[str]:
    return write(bench_folder(folder / "bench"), kinds, **more)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the scores of the methods that behave, without any other, by key."""
    alone = trial(tmp_path_factory.mktemp("clean"), [])
    list(alone.run(Inline(alone.setup.runner())))
    return good_scores(alone)


def good_scores(ran: Trial) -> dict[str, bytes]:
    records = ran.records()
    good = {key: record for key, record in records.items() if not record.cell.method.startswith("canary_")}
    assert not [(str(record.cell), record.error) for record in good.values() if record.status != "ok"]
    assert not [flag for record in good.values() for flag in record.flags if "changed" in flag]
    return {key: ran.archive.packed_scores(record) for key, record in good.items()}


def bad_records(ran: Trial) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in ran.records().values():
        if record.cell.method.startswith("canary_"):
            found.setdefault(record.cell.method.removeprefix("canary_"), []).append(record)
    return found


def interleaved(ran: Trial) -> Trial:
    """Put a good cell after each bad one, over and over."""
    good = [cell for cell in ran.cells if not cell.method.startswith("canary_")]
    bad = [cell for cell in ran.cells if cell.method.startswith("canary_")]
    ran.cells = [cell for at, each in enumerate(bad) for cell in (each, *good[at : at + 1])] + good[
        len(bad) :
    ]
    return ran


def inline(ran: Trial) -> Executor:
    return Inline(ran.setup.runner())


def pool(ran: Trial) -> Executor:
    return ran.pool(1)


@pytest.mark.parametrize("executor", [inline, pool])
def test_what_is_changed_is_put_back_and_named(
    tmp_path: Path, clean: dict[str, bytes], executor: object
) -> None:
    ran = interleaved(trial(tmp_path, wrote(tmp_path, CHANGES)))
    before = Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM)
    list(ran.run(executor(ran)))  # type: ignore[operator]
    assert (Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
    assert good_scores(ran) == clean
    for name, records in bad_records(ran).items():
        for record in records:
            if not CHANGES[name][1]:
                continue  # a machine of one core, or without a limit to lower, has nothing to change
            told = [flag for flag in record.flags if "changed" in flag]
            assert record.status == "ok", (name, record.error)
            assert told, f"{name} is not named"
            assert CHANGES[name][1] in told[0], (name, told)
    assert not children()


#: Take what writes a record away for a while, in which the record of the cell before could be written.
TAKES = {
    "sorting": ("import builtins; builtins.sorted = lambda *_, **__: []; time.sleep(0.2)", ""),
    "json": ("import json; json.dumps = lambda *_, **__: '{}'; time.sleep(0.2)", ""),
    "renaming": ("os.replace = lambda *_, **__: None; time.sleep(0.2)", ""),
}


def test_no_record_is_written_while_a_cell_has_changed_what_writes_it(
    tmp_path: Path, clean: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record = Archive.write

    def late(*given: object) -> Record:
        time.sleep(0.1)
        return write_record(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Archive, "write", late)
    ran = interleaved(trial(tmp_path, wrote(tmp_path, TAKES)))
    list(ran.run(inline(ran)))
    assert good_scores(ran) == clean
    assert {record.status for records in bad_records(ran).values() for record in records} == {"ok"}


def test_what_cannot_be_put_back_ends_its_worker(tmp_path: Path, clean: dict[str, bytes]) -> None:
    ran = interleaved(trial(tmp_path, wrote(tmp_path, LASTING)))
    list(ran.run(pool(ran)))
    assert good_scores(ran) == clean
    for name, records in bad_records(ran).items():
        for record in records:
            assert record.status == "ok"
            (told,) = [flag for flag in record.flags if "for good" in flag]
            assert LASTING[name][1] in told
    assert not children()


@pytest.mark.parametrize("executor", [inline, pool])
def test_what_ends_a_cell_ends_no_other(tmp_path: Path, clean: dict[str, bytes], executor: object) -> None:
    bad = wrote(tmp_path, FAILS) + wrote(tmp_path, RETURNS, returns=True)
    ran = interleaved(trial(tmp_path, bad))
    list(ran.run(executor(ran)))  # type: ignore[operator]
    assert good_scores(ran) == clean
    found = bad_records(ran)
    assert len(found) == len(bad)
    for name, records in found.items():
        for record in records:
            assert record.status == "failed", name
            assert record.error is not None
            assert {**FAILS, **RETURNS}[name][1] in record.error["reason"], (name, record.error)
    assert not children()


def test_what_ends_its_process_costs_its_own_cells(tmp_path: Path, clean: dict[str, bytes]) -> None:
    bad = wrote(tmp_path, ENDS) + wrote(tmp_path, HANGS)
    ran = trial(tmp_path, bad, Limits(cell_seconds=20.0, grace_seconds=1.0))
    ran.cells = [cell for cell in ran.cells if cell.task == "a" or not cell.method.startswith("canary_")]
    list(ran.run(ran.pool(2)))
    assert good_scores(ran) == clean
    found = bad_records(ran)
    assert len(found) == len(bad)
    for name, records in found.items():
        for record in records:
            assert record.status == "failed", name
            assert record.error is not None
            assert {**ENDS, **HANGS}[name][1] in record.error["reason"], (name, record.error)
    assert not children()


def test_rays_actors_keep_cells_apart_too(
    tmp_path: Path, clean: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="needs ray: pip install 'anobench[ray]'")
    from bench.run.executors.ray.executor import RayCluster

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    passing = {**{name: CHANGES[name] for name in FEW}, **LASTING}
    failing = {**FAILS, "leaves": ENDS["leaves"]}
    ran = interleaved(trial(tmp_path, wrote(tmp_path, passing) + wrote(tmp_path, failing)))
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        list(ran.run(RayCluster(ran.setup)))
    finally:
        ray.shutdown()
    assert good_scores(ran) == clean
    found = bad_records(ran)
    assert found.keys() == passing.keys() | failing.keys()
    for name, records in found.items():
        for record in records:
            assert record.status == ("ok" if name in passing else "failed"), (name, record.error)
            words = record.error["reason"] if record.error else " ".join(record.flags)
            assert {**passing, **failing}[name][1] in words or name == "leaves", (name, words)
