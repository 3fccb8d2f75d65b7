"""What a killed run leaves is swept by the next one; what belongs to the living stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

import bench
from bench.core.archive import Archive
from bench.core.files import here, sweep, temporary_prefix
from bench.run.claims import Claims
from bench.run.contain.leftover import MARK, adopt_orphans, children, end_abandoned, end_marked, new_mark
from bench.run.leavings import sweep_left
from bench.run.progress import Snapshot


def gone() -> str:
    """Return the name of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return here().replace(f"-{os.getpid()}", f"-{ended.pid}")


def test_half_written_files_of_the_dead_go_and_others_stay(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    names = {
        f".x.json.{gone()}.abc.tmp": True,
        f".x.json.{here()}.abc.tmp": False,
        ".x.json.elsewhere-12.abc.tmp": False,
        "x.tmp": False,
        ".hidden": False,
    }
    folders = [tmp_path, tmp_path / "figures", archive.root, archive.root / "ab", archive.root / "plans"]
    for folder in folders:
        folder.mkdir(exist_ok=True, parents=True)
        for name in names:
            (folder / name).touch()
    old = tmp_path / ".y.json.elsewhere-12.abc.tmp"
    old.touch()
    os.utime(old, (0, 0))
    sweep_left(archive)
    for folder in folders:
        assert {name: not (folder / name).exists() for name in names} == names
    assert not old.exists()
    assert sweep(tmp_path / "nowhere") == 0


def test_status_files_of_dead_drivers_go(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    folder = archive.root / "status"
    folder.mkdir(parents=True)
    (folder / "dead.json").write_text(Snapshot(suite="a", driver="ab" * 16).to_json())
    (folder / "odd.json").write_text("{")
    code = (
        "import sys; from pathlib import Path; from bench.run.claims import Claims;"
        "print(Claims(Path(sys.argv[1])).name, flush=True); input()"
    )
    living = subprocess.Popen(
        [sys.executable, "-c", code, str(archive.root / "claims")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert living.stdout is not None
    name = living.stdout.readline().strip()
    (folder / "living.json").write_text(Snapshot(suite="a", driver=name).to_json())
    sweep_left(archive)
    assert [path.name for path in folder.iterdir()] == ["living.json"]
    living.communicate("\n")
    sweep_left(archive)
    assert not list(folder.iterdir())
    Claims(archive.root / "claims").close()


def test_a_run_with_nothing_left_to_do_sweeps_too(tmp_path: Path) -> None:
    def run() -> None:
        bench.run(
            datasets="digits[task=3]", methods="random", results=tmp_path, executor="inline", show=False
        )

    run()
    left = tmp_path / "records" / "status" / "adhoc-0.json"
    left.parent.mkdir(exist_ok=True)
    left.write_text("torn")
    run()
    assert not left.exists()


def test_temporary_folders_of_dead_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = f"anobench-{gone()}-x"
    for name in (dead, f"{temporary_prefix()}x", "anobench-mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").touch()
    sweep_left(Archive(tmp_path / "results"))
    left = {path.name for path in tmp_path.iterdir()}
    assert {f"{temporary_prefix()}x", "anobench-mine"} <= left
    assert dead not in left


def sleeper(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: mark}, start_new_session=True)


def test_processes_that_a_method_left_end_with_its_run() -> None:
    ours, other = new_mark(), new_mark()
    first, second = sleeper(ours), sleeper(other)
    assert end_marked(ours) == 1
    assert first.wait() == -9
    assert second.poll() is None
    assert end_marked(other) == 1
    second.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_of_a_run_that_is_gone_are_ended_by_the_next() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned, kept = sleeper(f"{ended.pid}-123-abc"), sleeper(new_mark())
    assert end_abandoned() >= 1
    assert abandoned.wait() == -9
    assert kept.poll() is None
    kept.kill()
    kept.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
def test_a_daemon_becomes_a_child() -> None:
    before = children()
    adopt_orphans()
    try:
        code = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"
        subprocess.run([sys.executable, "-c", code], check=True, env={})
        (daemon,) = children() - before
        psutil.Process(daemon).kill()
        os.waitpid(daemon, 0)
    finally:
        adopt_orphans(adopt=False)
