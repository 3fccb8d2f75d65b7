"""A pytest plug-in: ``pytest --anobench methods`` tries every method in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("anobench")
    group.addoption("--anobench", metavar="DIR", action="append", default=[], help="Try the methods in it.")


def pytest_configure(config: pytest.Config) -> None:
    """Collect these folders: instead of the default, or beside what else is named."""
    folders: list[str] = config.getoption("--anobench")
    if not folders:
        return
    for folder in folders:
        if not Path(folder).is_dir():
            raise pytest.UsageError(f"--anobench {folder}: there is no such folder")
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    known = {Path(each.partition("::")[0]).absolute() for each in named}
    config.args = [*named, *(folder for folder in folders if Path(folder).absolute() not in known)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MethodFile | None:
    folders = [Path(each).absolute() for each in parent.config.getoption("--anobench")]
    if file_path.suffix != ".py" or file_path.name.startswith("_") or file_path.parent not in folders:
        return None
    found: MethodFile = MethodFile.from_parent(parent, path=file_path)
    return found


class MethodFile(pytest.File):
    """An adapter's file; other files in the folder have nothing to try."""

    def collect(self) -> Iterator[TrialItem]:
        from bench.suite.adapterfile import read_adapter

        adapter = read_adapter("method", self.path)
        if adapter is not None:
            yield TrialItem.from_parent(self, name=adapter.name, adapter=adapter)


class TrialItem(pytest.Item):
    """The trial of one method."""

    def __init__(self, *, adapter: Any, **more: Any) -> None:
        super().__init__(**more)
        self.adapter = adapter

    def runtest(self) -> None:
        from bench.core.files import working_directory
        from bench.run.contract import trial
        from bench.suite.registry import Registry
        from bench.suite.resolve import resolve

        known = Registry([self.path.parent.parent], working_directory())
        problems, _ = trial(resolve(self.adapter, {}, known, str(self.path)))
        assert not problems, "\n".join(map(str, problems))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        del style
        return str(excinfo.value)
