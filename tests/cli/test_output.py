"""Output as it comes: other encodings, closed and full streams, no home, no working directory, odd names."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.core.errors import AnobenchError
from bench.core.files import cache_folder, expanded, readable, results_folder, working_directory
from tests.cli.conftest import Invoke

PACKAGE = str(Path(bench.__file__).resolve().parent.parent)
ODD = "Prüfung β→"
COMMANDS = ("list methods", "export odd", "table odd", "status odd", "run --help", "diff results results")


def images(folder: Path | bytes, defect: str | bytes = "crack") -> None:
    """Write a few images in MVTec AD's layout; names may be bytes."""
    rng = np.random.default_rng(0)
    root, kind = os.fsencode(folder), os.fsencode(defect)
    for place in (b"train/good", b"test/good", b"test/" + kind):
        os.makedirs(root + b"/" + place)  # noqa: PTH103
        for number in range(3):
            with open(root + b"/" + place + b"/%d.png" % number, "wb") as file:  # noqa: PTH123
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")


@pytest.fixture
def odd(here: Path, anobench: Invoke) -> Path:
    """Return a folder with the results of a suite on data with an odd name."""
    images(here / ODD, "fêlure")
    ended = anobench(
        "run", "-d", f"folder[path={ODD}]", "-m", "random", "--name", "odd", "--executor", "inline"
    )
    assert ended.code == 0, ended.err
    return here


def shell(command: str, folder: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line of a shell in which ``anobench`` is ours."""
    ours = f'anobench() {{ {shlex.quote(sys.executable)} -m bench "$@"; }}\n{command}'
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "COLUMNS": "200", **more}
    return subprocess.run(
        ["bash", "-c", ours], cwd=folder, env=environment, capture_output=True, check=False, timeout=300
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict", "latin-1", "shift_jis"])
def test_an_encoding_that_lacks_characters_is_no_traceback(odd: Path, encoding: str) -> None:
    command = "; ".join(f"anobench {each}; echo $? >&2" for each in COMMANDS)
    ended = shell(command, odd, PYTHONIOENCODING=encoding)
    assert b"Error" not in ended.stderr, ended.stderr
    assert ended.stderr.split() == [b"0"] * len(COMMANDS)
    shown = ended.stdout.decode(encoding.partition(":")[0])
    assert ODD in shown or "\\u03b2" in shown or "\\xfc" in shown
    # What is written is UTF-8 whatever the screen is.
    assert ODD in (odd / "results" / "odd.md").read_text(encoding="utf-8")
    assert ODD in (odd / "results" / "odd.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_mistake(odd: Path, closed: str) -> None:
    for command in ("list methods", "export odd", "table odd -f html"):
        ended = shell(f"anobench {command} {closed}; code=$?; exit $code", odd)
        assert (ended.returncode, ended.stderr) == (0, b""), command
    shell(f"anobench export odd --out out.csv {closed}", odd)
    assert (odd / "out.csv").read_bytes() == (odd / "results" / "odd.csv").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["list methods", "export odd", "cache path", "--help"])
def test_a_full_disk_is_one_message(odd: Path, command: str, unbuffered: str) -> None:
    ended = shell(f"anobench {command} > /dev/full", odd, PYTHONUNBUFFERED=unbuffered)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"error: standard output cannot be written (No space left on device)")
    assert ended.stderr.count(b"\n") == 1
    assert (
        shell(f"anobench {command} > /dev/full 2> /dev/full", odd, PYTHONUNBUFFERED=unbuffered).returncode
        == 2
    )


@pytest.mark.parametrize("command", ["list methods", "export odd", "table odd -f html", "cache path"])
def test_a_reader_that_goes_away_ends_it_silently(odd: Path, command: str) -> None:
    assert shell(f"anobench {command} | true", odd).stderr == b""


def test_a_deleted_working_directory_is_said(here: Path) -> None:
    gone = here / "gone"
    gone.mkdir()
    for command in ("list", "run quickstart", "doctor"):
        ended = shell(f"mkdir -p ../gone; cd ../gone; rmdir ../gone; anobench {command}", gone)
        gone.mkdir(exist_ok=True)
        assert ended.returncode == 2
        assert b"the working directory cannot be used" in ended.stderr
        assert b"Traceback" not in ended.stderr


def test_the_working_directory_in_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    assert working_directory() == here
    monkeypatch.setattr(Path, "cwd", gone)
    for call in (
        working_directory,
        lambda: bench.run(datasets="digits", methods="random"),
        lambda: bench.load("r", "s"),
    ):
        with pytest.raises(AnobenchError, match="it was deleted or unmounted"):
            call()


def test_without_a_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pwd

    def unknown(_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "ANOBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(AnobenchError, match="set ANOBENCH_CACHE"):
        cache_folder()
    for given in ("~", "~/data", "~nobody-of-that-name/data"):
        with pytest.raises(AnobenchError, match="write the path in full, or set HOME"):
            expanded(given)
    assert expanded(tmp_path) == tmp_path
    monkeypatch.setenv("ANOBENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("folder", [b"Pr\xfcfung", b"caf\xe9 \xe0", b"\xff\xfe"])
def test_names_that_are_no_text_go_all_the_way(here: Path, anobench: Invoke, folder: bytes) -> None:
    try:
        images(os.fsencode(here) + b"/" + folder, b"fl\xe4che")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    data = f"folder[path={os.fsdecode(folder)}]"
    for words in (
        (
            "run",
            "-d",
            data,
            "-m",
            "random",
            "-m",
            "kde",
            "-b",
            "pixels",
            "--name",
            "odd",
            "--executor",
            "inline",
        ),
        ("export", "odd"),
        ("table", "odd", "-f", "html"),
        ("figure", "odd", "heatmap"),
        ("data", "check", data),
        ("status", "odd"),
        ("page",),
    ):
        ended = anobench(*words)
        assert ended.code == 0, ended.err
        assert "Error" not in ended.err
    for written in (here / "results").glob("odd.*"):
        assert "\ufffd" in written.read_text(encoding="utf-8") or written.suffix == ".json"
    page = (here / "results" / "odd.md").read_text(encoding="utf-8")
    assert "intervals over test images" in page, "its images can be resampled"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü", "plain ü"),
        ("\udcfc", "\ufffd"),
        ("\udcc3\udcbc", "ü"),
        ("β\udcff", "β\ufffd"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_readable_text(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_runs_in_a_checkout_leave_it_clean(
    here: Path, monkeypatch: pytest.MonkeyPatch, anobench: Invoke
) -> None:
    assert results_folder() == Path("results")
    root = Path(PACKAGE)
    clone = here / "clone"
    for name in ("bench", "suites", "results"):
        (clone / name).mkdir(parents=True)
    for name in ("pyproject.toml", ".gitignore", "bench/__init__.py"):
        shutil.copy(root / name, clone / name)
    (clone / "results" / "README.md").write_text("committed\n")
    monkeypatch.chdir(clone)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    assert results_folder() == Path("my-results")
    for words in (
        ("run", "-d", "digits[task=3]", "-m", "random", "--executor", "inline"),
        ("report", "adhoc"),
        ("figure", "adhoc", "heatmap", "--setting", "control"),
        ("page",),
    ):
        ended = anobench(*words)
        assert ended.code == 0, ended.err
        assert "my-results" in ended.out
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    assert status.stdout == ""
    assert anobench("report", "adhoc", "--results", "results").code == 2, "what is named is taken"
    again = bench.run(datasets="digits[task=3]", methods="random", show=False)
    assert Path(again.archive.results) == clone / "my-results"


def test_verbose_may_stand_anywhere(toy: Path, suite: Callable[..., Path], anobench: Invoke) -> None:
    path = suite('datasets = ["toy"]\nmethods = ["crashes"]\n')
    for words in (("-v", "run"), ("run", "-v"), ("run", "--verbose")):
        ended = anobench(*words, path, "--bench", toy, "--executor", "inline", "--fresh")
        assert "Traceback" in ended.err, words
        assert "RuntimeError: the planted failure" in ended.err
    assert "Traceback" not in anobench("run", path, "--bench", toy, "--executor", "inline", "--fresh").err
    for words in (("data", "-v", "ls", "digits"), ("data", "ls", "digits", "-v"), ("cache", "ls", "-v")):
        assert anobench(*words).code == 0
