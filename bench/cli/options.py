"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from bench.suite.registry import Registry

SuiteRun = Annotated[
    str, typer.Argument(metavar="SUITE", help="The name of a suite that was run, or a pack of it.")
]

_Command = TypeVar("_Command", bound=Callable[..., None])
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what happens.")]


def say_more(verbose: Verbose = False) -> None:
    """Show the details of the library's log, if asked for."""
    from bench.cli.console import log_to_stderr

    if verbose:
        log_to_stderr(verbose=True)


class App(typer.Typer):
    """The command line or a part of it: ``-v`` may stand before and behind the name of each command."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.callback()(say_more)

    def command(self, name: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
        def register(function: _Command) -> _Command:
            super(App, self).command(name, **more)(_with_verbose(function))
            return function

        return register


def _with_verbose(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command's function with one more option."""

    @functools.wraps(function)
    def called(*args: Any, verbose: bool = False, **more: Any) -> None:
        say_more(verbose)
        function(*args, **more)

    hints = get_type_hints(function, include_extras=True) | {"verbose": Verbose}
    option = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False)
    parameters = [*inspect.signature(function).parameters.values(), option]
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(annotation=hints[each.name]) for each in parameters]
    )
    called.__annotations__ = hints
    return called


def _where(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """Return the results folder: the one given, or that of the working directory."""
    from bench.core.files import results_folder

    source = ctx.get_parameter_source(param.name or "")
    return results_folder() if source is not None and source.name == "DEFAULT" else value


ResultsFolder = Annotated[
    Path,
    typer.Option(
        "--results",
        metavar="DIR",
        callback=_where,
        help="Where leaderboards and records are; in a checkout of anobench my-results.",
    ),
]
BenchFolders = Annotated[
    list[Path],
    typer.Option(
        "--bench", metavar="DIR", help="A folder with methods/, datasets/, suites/ of your own. Repeatable."
    ),
]
OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write here, not to the screen.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: docs/running.md says what is in it.")]
DEFAULT_RESULTS = Path("results")


def registry(folders: list[Path]) -> Registry:
    """Return the registry over the folders given, the working directory and the stock folder."""
    from bench.core.files import working_directory
    from bench.suite.registry import Registry

    return Registry(folders, working_directory())


def suite_name(given: str) -> str:
    """Return the name under which a suite's plan is kept, from a name or a path."""
    return given.rsplit("/", 1)[-1].removesuffix(".toml")
