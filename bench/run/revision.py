"""The base of a comparison, run from another revision: its code checked out, its suite, its own records.

A temporary ``git worktree`` holds the revision; the suite runs there in a process of its own, with that
checkout first on Python's path. In a checkout of anobench the base has the engine of its revision, too; in
any other repository (of one's own methods, say) both sides have the engine that runs here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bench
from bench.core.errors import AnobenchError, exit_words, plain_text
from bench.core.files import working_directory
from bench.run.timer import CodeSide
from bench.suite.registry import Registry, stock_folder

#: Whose change may change features without changing their name in the store.
_OF_FEATURES = ("bench/features", "bench/data")
#: What a git hook sets, and what would lead another call of git astray.
_GIT_SETS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
#: Lines of a failed base that are shown again.
_LAST = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision of a repository, checked out.

    Attributes
    ----------
    name : str
        As it was given.
    commit : str
    top : Path
        Of the repository.
    folder : Path
        Of the temporary checkout.
    """

    name: str
    commit: str
    top: Path
    folder: Path

    def here(self, path: Path) -> Path:
        """Return where a file or folder of the repository is in the checkout; others stay where they are."""
        resolved = path.resolve()
        return self.folder / resolved.relative_to(self.top) if resolved.is_relative_to(self.top) else resolved

    def __str__(self) -> str:
        return self.name if self.commit.startswith(self.name) else f"{self.name} ({self.commit[:10]})"


def repository_of(suite: str, registry: Registry) -> Path:
    """Return the folder whose repository has the base: the suite's, or the working directory.

    A stock suite is run with the methods of the working directory, so that it is that, if it is in a
    repository.
    """
    here, file = working_directory(), registry.suite_path(suite).resolve()
    stock = file.is_relative_to(stock_folder())
    for folder in (here, file.parent) if stock else (file.parent, here):
        with contextlib.suppress(AnobenchError):
            _git(folder, "rev-parse", "--show-toplevel")
            return folder
    return here


@contextlib.contextmanager
def checked_out(name: str, folder: Path, into: Path) -> Iterator[Revision]:
    """Check a revision out while the block lasts.

    Parameters
    ----------
    name : str
        What git takes for a commit: ``main``, ``HEAD~1``, ``v1.0``.
    folder : Path
        Inside the repository.
    into : Path
        A folder that does not exist.

    Raises
    ------
    AnobenchError
        No git, no checkout, or no such revision.
    """
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel")).resolve()
    except AnobenchError as error:
        raise AnobenchError(
            f"--base {name}: {folder} is not in a git checkout ({error}); "
            "go to one, or give a file with --against"
        ) from None
    try:
        commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except AnobenchError:
        raise AnobenchError(
            f"--base {name}: {top} has no such revision; expected a branch, a tag or a commit, e.g. main or "
            "HEAD~1 (git fetch gets those of others)"
        ) from None
    try:
        _git(top, "worktree", "add", "--detach", "--force", str(into), commit)
        yield Revision(name=name, commit=commit, top=top, folder=into)
    finally:
        # Who presses Ctrl-C twice would stop git as well, and leave an entry in the repository.
        with _on_signals(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM), contextlib.suppress(AnobenchError):
            _git(top, "worktree", "remove", "--force", "--force", str(into))


def tidied_when_terminated() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM (a cancelled job) end the block as an error does, so that its checkout is removed."""

    def end(*_: object) -> None:
        raise SystemExit(143)

    return _on_signals(end, signal.SIGTERM)


@contextlib.contextmanager
def _on_signals(handler: Any, *signals: signal.Signals) -> Iterator[None]:
    """Handle signals in this way while the block lasts; outside the main thread Python cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, its in before.items():
            signal.signal(each, its)


@contextlib.contextmanager
def base_results(
    name: str,
    suite: str,
    registry: Registry,
    *,
    folders: Sequence[Path],
    options: Mapping[str, Any],
    device: str,
    keep: Path | None,
    say: Callable[[str], None],
    show: Callable[[str], object],
) -> Iterator[tuple[Path, CodeSide, CodeSide]]:
    """Run a suite at another revision; what it wrote is there while the block lasts.

    Parameters
    ----------
    name : str
        The revision.
    suite : str
        A name or a file.
    registry : Registry
        Which finds the suite here.
    folders : sequence of Path
        Bench folders that were given.
    options : mapping
        `bench.suite.suite.given_options` of the head.
    device : str
    keep : Path, optional
        Where the results of the base stay.
    say, show : callable
        Show a line of ours to the user, and what the base says.

    Yields
    ------
    results : Path
        The base's results folder.
    base, head : CodeSide
        To time them.

    Raises
    ------
    AnobenchError
        As `checked_out`; or the base cannot run the suite.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise AnobenchError(f"--keep-base {keep}: it is there already, and not an empty folder")
    with tidied_when_terminated(), TemporaryDirectory(prefix="anobench-base-") as made:
        room = Path(made).resolve()
        with checked_out(name, repository_of(suite, registry), room / "code") as revision:
            base, head = _sides(revision, suite, folders, room)
            results = room / "results" if keep is None else keep.resolve()
            say(f"running {base.suite if base.suite == suite else Path(suite).stem} at {revision}")
            if base.cache is not None:
                say("the code that makes features differs: the base gets features of its own")
            _run(revision, base, [*_words(options), "--results", str(results), "--device", device], show)
            yield results, base, head


def _sides(revision: Revision, suite: str, folders: Sequence[Path], room: Path) -> tuple[CodeSide, CodeSide]:
    """Return the code of both sides."""
    here, engine = working_directory(), Path(bench.__file__).resolve().parents[1]
    own = engine.is_relative_to(revision.top)
    path = (revision.here(engine),) if own else (revision.folder, engine)
    if own and not (path[0] / "bench" / "__main__.py").is_file():
        raise AnobenchError(f"--base {revision.name}: this revision has no anobench (bench/__main__.py)")
    file = Path(suite)
    is_file = file.suffix == ".toml" and file.is_file()
    if is_file and not revision.here(file).is_file():
        raise AnobenchError(f"--base {revision.name}: this revision has no {suite}; commit it first")
    started = revision.here(here)
    base = CodeSide(
        name=str(revision),
        folder=started if started.is_dir() else revision.folder,
        path=path,
        suite=str(revision.here(file)) if is_file else suite,
        bench=tuple(revision.here(each) for each in folders),
        cache=room / "cache" if own and _differs(revision) else None,
    )
    head = CodeSide(
        name="the working tree",
        folder=here,
        path=(engine,),
        suite=str(file.resolve()) if is_file else suite,
        bench=tuple(each.resolve() for each in folders),
    )
    return base, head


def _differs(revision: Revision) -> bool:
    """Return whether the code that makes features is another one at the revision."""
    try:
        _git(revision.top, "diff", "--quiet", revision.commit, "--", *_OF_FEATURES)
    except AnobenchError:
        return True
    return False


def _words(options: Mapping[str, Any]) -> list[str]:
    """Return what was given for the head, as options of ``anobench run``."""
    words = ["--backbone", options["backbone"]] if "backbone" in options else []
    if "contamination" in options:
        table = dict(options["contamination"])
        rates = table.pop("rates", [0.0])
        parts = [repr(each) for each in rates] + [f"{key}={value}" for key, value in table.items()]
        words += ["--contamination", ",".join(parts)]
    return words


def _run(revision: Revision, base: CodeSide, words: Sequence[str], show: Callable[[str], object]) -> None:
    """Run the base's suite; what it says is shown as it comes."""
    given = [word for folder in base.bench for word in ("--bench", str(folder))]
    command = [sys.executable, "-P", "-m", "bench", "run", base.suite, *given, *words]
    last: deque[str] = deque(maxlen=_LAST)
    with subprocess.Popen(
        command,
        cwd=base.folder,
        env=base.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stderr or ():
                shown = plain_text(line.rstrip("\n"))
                last.append(shown)
                show(shown)
        except BaseException:
            process.terminate()
            raise
    # 0: all cells are there; 1: some of them failed.
    if process.returncode in (130, 143):
        raise KeyboardInterrupt
    results = Path(words[list(words).index("--results") + 1])
    if process.returncode not in (0, 1) or not any((results / "records" / "plans").glob("*.json")):
        said = "\n".join(f"  {line}" for line in last if line.strip())
        ended = exit_words(process.returncode)
        raise AnobenchError(f"--base {revision.name}: its code cannot run this suite (it {ended}):\n{said}")


def given_options(text: str) -> dict[str, Any]:
    """Return backbone and contamination that a run was given instead of its suite's.

    Parameters
    ----------
    text : str
        `bench.core.plan.Plan.suite_text`: `Suite.with_` writes them above the suite's own text.
    """
    found: dict[str, Any] = {}
    for line in text.splitlines():
        option, _, value = line.partition(" ")[2].partition(" ")
        if not line.startswith("# --") or option not in ("--backbone", "--contamination"):
            break
        name = option.removeprefix("--")
        with contextlib.suppress(tomllib.TOMLDecodeError):
            given = value if name == "backbone" else tomllib.loads(f"value = {value}")["value"]
            found.setdefault(name, given)
    return found


def _git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it says, without a newline at its end."""
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_SETS}
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *words]
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        raise AnobenchError(f"git cannot be run ({error.strerror})") from None
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["nothing"]
        raise AnobenchError(f"git says: {said[-1].removeprefix('fatal: ')}")
    return ended.stdout.rstrip("\n")
