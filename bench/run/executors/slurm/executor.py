"""The slurm executor: jobs go to a Slurm cluster through submitit, in one array for each group of cells.

Each element of an array runs a chunk of jobs (`bench.run.executors.slurm.job`) and leaves its results in the
spool, a folder in the archive, on a path that all machines see; only the driver writes the archive. After a
preemption Slurm restarts a chunk, which continues where it was. The next driver takes over what was finished
for one that is gone. submitit pickles chunks between its own processes, in its own folder; nothing else is
ever unpickled.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.archive import Archive
from bench.core.errors import AnobenchError
from bench.core.optional import optional_import
from bench.run.claims import Claims, lives
from bench.run.executors.base import Event, Job, Slot, interrupted
from bench.run.executors.remote import environ, portable_json
from bench.run.executors.slurm.job import Chunk
from bench.run.executors.slurm.task import ArrayTask, result
from bench.run.setup import Setup

#: A chunk has work for about so long (seconds): less is not worth the wait in Slurm's queue.
CHUNK_SECONDS = 600.0
#: An array has at most so many elements; Slurm's own limit is 1001 by default.
MOST_CHUNKS = 500
#: Between two looks at the spool (seconds); Slurm itself is asked less often, by submitit.
LOOK_EVERY = {"slurm": 2.0, "local": 0.1}
#: Minutes of a Slurm job unless ``time`` says otherwise.
MINUTES = 240


class Slurm:
    """An executor (`bench.run.executors.base.Executor`): arrays of Slurm jobs.

    Parameters
    ----------
    setup : Setup
        Its `device` says whether each job asks for a GPU.
    spool : Path
        ``<results>/records/spool``.
    options : mapping of str to str
        For sbatch, as submitit names them: ``partition``, ``account``, ``qos``, ``time`` (minutes), ``mem``,
        ``array_parallelism``, …
    cpus : int
        Of each job.
    cluster : {"slurm", "local"}
        ``"local"`` runs chunks as processes of this machine, all at once: for tests.
    """

    def __init__(
        self,
        setup: Setup,
        spool: Path,
        *,
        options: Mapping[str, str] | None = None,
        cpus: int = 4,
        cluster: str = "slurm",
    ) -> None:
        self._gpu = setup.device.startswith("cuda")
        self._setup = replace(setup, device="cuda" if self._gpu else "cpu", extraction_threads=cpus)
        self._spool, self._folder = spool.resolve(), spool.resolve()
        self._options, self._cpus, self._cluster = dict(options or {}), cpus, cluster
        self._slot = Slot(name=cluster, device=cluster)
        self._pending: list[Job] = []
        self._waiting: list[Event] = []
        self._tasks: list[ArrayTask] = []
        self._left_behind: dict[str, Archive] = {}
        self._inherited: list[Path] = []
        self._claims: Claims | None = None
        self._stopping = False

    def start(self) -> None:
        if self._claims is not None:
            return
        submitit = optional_import("submitit", "slurm", "the executor slurm")
        if self._cluster == "slurm" and shutil.which("sbatch") is None:
            raise AnobenchError(
                "there is no sbatch here: --executor slurm is for a login node of a Slurm cluster; "
                "on this machine use --executor pool"
            )
        self._make_folder()
        memory = self._setup.limits.cell_memory
        self._submitit = submitit.AutoExecutor(folder=self._folder / "submitit", cluster=self._cluster)
        try:
            self._submitit.update_parameters(
                timeout_min=int(self._options.get("time", MINUTES)),
                cpus_per_task=self._cpus,
                **({"gpus_per_node": 1} if self._gpu and not asks_for_gpus(self._options) else {}),
                **({"mem_gb": memory} if memory and "mem" not in self._options else {}),
                **{f"slurm_{name}": _plain(value) for name, value in self._options.items() if name != "time"},
            )
        except (NameError, ValueError, TypeError) as error:
            raise AnobenchError(f"--slurm {self._options}: {error}") from None

    def _make_folder(self) -> None:
        """Make this run's folder in the spool, and inherit those of drivers that are gone."""
        drivers = self._spool / "drivers"
        folders = [folder for folder in self._spool.glob("?" * 32) if folder.is_dir()]
        # Asked before this process has a lock there itself: asking would release it.
        self._inherited = [folder for folder in folders if not lives(drivers, folder.name)]
        self._claims = Claims(drivers)
        self._folder = self._spool / self._claims.name
        self._folder.mkdir()
        for folder in self._inherited:
            for archive in map(Archive, folder.glob("chunk-*")):
                self._left_behind |= dict.fromkeys(archive.keys(), archive)

    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    def idle(self) -> Sequence[Slot]:
        return [] if self._stopping else [self._slot]

    def fits(self, job: Job, slot: Slot) -> bool:  # noqa: ARG002
        return True

    def submit(self, job: Job, slot: Slot) -> None:  # noqa: ARG002
        if job.part is None:
            left = tuple(cell for cell in job.cells if not self._take_over(job.id, cell.key))
            if not left:
                return
            job = replace(job, cells=left)
        self._pending.append(job)

    def _take_over(self, job: int, key: str) -> bool:
        """Return whether a chunk of a driver that is gone has run a cell; if so, take its result."""
        archive = self._left_behind.pop(key, None)
        if archive is None:
            return False
        finished = result(archive, job, key)
        if finished is None or finished.record.status != "ok":
            return False
        self._waiting.append(finished)
        return True

    def _send(self) -> None:
        """Submit what is pending: an array for each group."""
        groups: dict[tuple[object, ...], list[Job]] = defaultdict(list)
        for job in self._pending:
            groups[job.cells[0].dataset, job.cells[0].backbone, job.part is None].append(job)
        self._pending = []
        for jobs in groups.values():
            numbered = enumerate(_chunks(jobs), len(self._tasks))
            chunks = [self._chunk(some, f"chunk-{number}") for number, some in numbered]
            with self._submitit.batch():
                submitted = [self._submitit.submit(chunk) for chunk in chunks]
            for chunk, job in zip(chunks, submitted, strict=True):
                self._tasks.append(ArrayTask(job, Path(chunk.folder), chunk.jobs, self._slot))

    def _chunk(self, jobs: Sequence[Job], name: str) -> Chunk:
        return Chunk(
            setup=portable_json(self._setup),
            variables=environ(),
            jobs=tuple(jobs),
            folder=str(self._folder / name),
            stop=str(self._folder / "stop"),
        )

    def events(self, timeout: float) -> Sequence[Event]:
        self._send()
        found, self._waiting = self._waiting, []
        until = time.monotonic() + timeout
        while True:
            for task in self._tasks:
                if task.left:
                    late = LOOK_EVERY[self._cluster]
                    found += task.look(self._setup.limits, late, stopping=self._stopping)
            if found or time.monotonic() >= until:
                return found
            time.sleep(max(0.0, min(LOOK_EVERY[self._cluster], until - time.monotonic())))

    def stop(self) -> None:
        self._stopping = True
        (self._folder / "stop").write_text("")
        self._waiting += [interrupted(job) for job in self._pending]
        self._pending = []
        for task in self._tasks:
            if task.left and not task.started:  # it waits in the queue
                task.cancel()

    def kill(self) -> None:
        self.stop()
        for task in self._tasks:
            if task.left:
                task.cancel()
                self._waiting += task.lost(stopping=True)

    def close(self) -> None:
        for task in self._tasks:
            if task.left:
                task.cancel()
        until = time.monotonic() + 10.0
        while any(not task.ended for task in self._tasks) and time.monotonic() < until:
            time.sleep(LOOK_EVERY["local"])
        if self._claims is None:
            return
        in_use = {archive.results.parent for archive in self._left_behind.values()}
        for folder in (self._folder, *(each for each in self._inherited if each not in in_use)):
            shutil.rmtree(folder, ignore_errors=True)
        self._tasks, self._inherited = [], []
        self._claims.close()
        self._claims = None


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Cut jobs, in order, into chunks of about equal seconds; a job that must be fresh has its own."""
    total = sum(job.seconds or 0.0 for job in jobs)
    most = max(CHUNK_SECONDS, total / MOST_CHUNKS)
    chunk: list[Job] = []
    seconds = 0.0
    for job in jobs:
        if chunk and (job.fresh or job.part is not None or seconds + (job.seconds or 0.0) > most):
            yield chunk
            chunk, seconds = [], 0.0
        chunk.append(job)
        seconds += float("inf") if job.fresh else job.seconds or 0.0
    if chunk:
        yield chunk


def _plain(value: str) -> str | int:
    return int(value) if value.isdecimal() and len(value) < 20 else value


def asks_for_gpus(options: Mapping[str, str]) -> bool:
    """Return whether a user's options for sbatch ask for GPUs themselves: Slurm refuses two ways at once."""
    return any(name == "gres" or name.startswith(("gpus", "tres_per")) for name in options)
