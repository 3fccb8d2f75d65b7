"""``anobench cache ls|verify|prune|path``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli.cache import app
from bench.core.errors import AnobenchError
from bench.features import leases as pins
from bench.features.backbone import Backbones
from bench.features.provider import FeatureProvider
from bench.features.store import KeyRows
from tests.features.conftest import random_source
from tests.features.test_store import fill, opened


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, AnobenchError):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def kept(cache: Path) -> KeyRows:
    rows = opened(cache / "features")
    fill(rows, np.arange(30))
    return rows


def test_path(cache: Path) -> None:
    assert run("path") == (0, f"{cache / 'features' / 'v1'}\n")


def test_ls_of_nothing_and_of_something(cache: Path) -> None:
    assert "is empty" in run("ls")[1]
    FeatureProvider(Backbones()).features(random_source(), np.arange(20), "hog")
    status, said = run("ls")
    assert status == 0
    line = next(line for line in said.splitlines() if "random/train" in line)
    assert line.split()[1:6] == ["random/train", "hog", "pooled", "float32", "20"]
    assert "in use" in line
    assert "limit 50.0 GB" in said
    assert str(cache) in said


@pytest.mark.usefixtures("kept")
def test_verify_sets_damaged_shards_aside(cache: Path) -> None:
    assert run("verify") == (0, "1 shards checked, 0 damaged; all are intact\n")
    values = next(cache.rglob("*.npy"))
    values.write_bytes(values.read_bytes()[:-1])
    status, said = run("verify")
    assert status == 1
    assert str(values) in said
    assert run("verify")[0] == 0


@pytest.mark.usefixtures("kept")
def test_prune_keeps_what_is_used_and_says_what_it_did(cache: Path) -> None:
    assert "running processes use the rest" in run("prune", "--all")[1]
    assert list(cache.rglob("*.npy"))
    pins.unpin_all()
    assert "would delete 1 keys" in run("prune", "--all", "--dry-run")[1]
    assert "deleted 0 keys" in run("prune", "--to", "1GB")[1]
    assert "deleted 1 keys" in run("prune", "--to", "100B")[1]
    assert not list(cache.rglob("*.npy"))
    with pytest.raises(AnobenchError, match="is not a size"):
        run("prune", "--to", "3bananas")


@pytest.mark.usefixtures("kept")
def test_prune_deletes_what_was_set_aside(cache: Path) -> None:
    manifest = next(path for path in cache.rglob("*.json") if path.name != "key.json")
    manifest.write_text("{")
    run("verify")
    assert list(cache.rglob("*.corrupt"))
    run("prune")
    assert not list(cache.rglob("*.corrupt"))


def test_the_command_does_not_import_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from bench.cli.cache import app\n"
        "assert CliRunner().invoke(app, ['ls']).exit_code == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
