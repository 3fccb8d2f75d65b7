"""The README's suites and its example adapter work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.suite.suite import load_suite
from tests.cli.conftest import Invoke

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", README, re.S))
def test_the_suites_hold(text: str, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(text)
    assert load_suite(tmp_path / "suite.toml").file.methods


def test_the_example_method_runs(anobench: Invoke, here: Path) -> None:
    (adapter,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (call,) = re.findall(r"anobench run (-d textures -m 'farthest.*)", README)
    (here / "methods").mkdir()
    (here / "methods" / "farthest.py").write_text(adapter)
    words = call.replace("-d textures", "-d textures[task=wood]").replace("'", "").split()
    ended = anobench("run", *words)
    assert ended.code == 0, ended.err
    assert "farthest" in (here / "results" / "adhoc.md").read_text()


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
