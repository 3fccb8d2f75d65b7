"""The wheel carries the stock adapters and suites, and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the contents of a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    code = (
        "from hatchling.builders.wheel import WheelBuilder\n"
        f"print(next(WheelBuilder({str(ROOT)!r}).build(directory={str(folder)!r}, versions=['standard'])))"
    )
    built = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    with zipfile.ZipFile(built.stdout.strip()) as wheel:
        assert all(not name.startswith(("/", "..")) for name in wheel.namelist())
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_what_the_checkout_has(unpacked: Path) -> None:
    for kind, pattern in (("methods", "*.py"), ("datasets", "*.py"), ("suites", "**/*.toml")):
        here = {path.relative_to(ROOT / kind) for path in (ROOT / kind).glob(pattern)}
        there = {
            path.relative_to(unpacked / "bench/stock" / kind)
            for path in (unpacked / "bench/stock" / kind).glob(pattern)
        }
        assert here == there
        assert here
    published = Path("results/published.csv")
    assert (unpacked / "bench/stock" / published).read_bytes() == (ROOT / published).read_bytes()
    assert (unpacked / "bench" / "py.typed").exists()
    assets = Path("bench/report/page/assets")
    assert {path.name for path in (unpacked / assets).iterdir()} == {"page.html", "page.css", "page.js"}
    assert not (unpacked / "datasets").exists(), "`import datasets` is Hugging Face's"
    assert not (unpacked / "tests").exists()


def test_the_installed_package_finds_its_adapters_from_anywhere(unpacked: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "run",
            "-d",
            "digits[task=3]",
            "-m",
            "mean_distance[backbone=pixels[size=8]]",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "results" / "adhoc.md").exists()
