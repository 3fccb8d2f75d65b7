"""The ray executor: warm actors on the nodes of a Ray cluster, one on each GPU or on so many CPUs.

The cluster is a running one (by address) or a local one. Actors request GPUs, CPUs and, where cells have a
limit, memory as Ray's resources; nodes may come and go. Records go back to the driver, which alone writes
them. Data and feature stores are on a path that all nodes share, or each node's ``ANOBENCH_DATA`` and
``ANOBENCH_CACHE`` name its own. Short jobs go to an actor in batches, as a call costs about a millisecond.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bench.core.errors import AnobenchError
from bench.core.optional import optional_import
from bench.run.executors.base import (
    STOPPED,
    Event,
    Extracted,
    Fate,
    Finished,
    Job,
    Lost,
    Slot,
    Started,
    interrupted,
)
from bench.run.executors.ray.actor import Actor, first_line
from bench.run.executors.ray.connect import connect, on_node, slots_of
from bench.run.executors.ray.worker import MessageBoard, Worker
from bench.run.executors.remote import environ, portable_json
from bench.run.executors.wire import Ready, unpacked
from bench.run.setup import Setup

log = logging.getLogger(__name__)

#: Seconds between two looks at the cluster's nodes.
LOOK_EVERY = 2.0
#: The run fails if no node could run anything for so long (seconds).
WITHOUT_NODES = 300.0
#: A lost node gets nothing for so long: Ray itself takes a while to notice that it is gone (seconds).
SHUN_SECONDS = 60.0
#: The run fails if so many actors in a row end before they can run anything, on nodes that are alive.
FAILED_STARTS = 3


class RayCluster:
    """An executor (`bench.run.executors.base.Executor`): actors on the nodes of a Ray cluster.

    Parameters
    ----------
    setup : Setup
        Its `device` is ``"cpu"``, or ``"cuda"`` for the GPUs.
    address : str or None
        ``"host:6379"`` or ``"auto"`` of a running cluster; None starts one on this machine.
    cpus : int
        Of each actor.
    """

    def __init__(self, setup: Setup, *, address: str | None = None, cpus: int = 1) -> None:
        self._gpu = setup.device.startswith("cuda")
        self._limits = setup.limits
        self._setup = replace(setup, device="cuda" if self._gpu else "cpu")
        self._address, self._cpus = address, cpus
        self._actors: dict[str, Actor] = {}
        self._suspects: set[str] = set()
        self._shunned: dict[str, float] = {}
        self._waiting: list[Event] = []
        self._stopping = self._connected = False
        self._looked = self._last_node = 0.0
        self._failed_starts = 0

    def start(self) -> None:
        if hasattr(self, "_board"):
            return
        self._ray = ray = optional_import("ray", "ray", "the executor ray")
        self._connected = connect(ray, self._address)
        # On the driver's node, the one that cannot go away.
        here = on_node(ray.get_runtime_context().get_node_id())
        board = ray.remote(MessageBoard).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here)
        self._board = board.remote(self._setup.maps)
        self._last_node = time.monotonic()
        self._look()
        if not self._actors:
            what = "a GPU" if self._gpu else f"{self._cpus} CPUs"
            raise AnobenchError(
                f"no node of the Ray cluster has {what}; see ray status, or use another --device"
            )

    def _look(self) -> None:
        """Update the actors to the nodes that exist now."""
        self._looked = time.monotonic()
        present = {
            slot.name: self._actors.get(slot.name) or Actor(slot, node, threads)
            for slot, node, threads in slots_of(self._ray, gpu=self._gpu, cpus=self._cpus)
        }
        gone = {name: actor for name, actor in self._actors.items() if name not in present and actor.jobs}
        self._actors = present | gone
        if present:
            self._last_node = self._looked
        elif self._looked - self._last_node > WITHOUT_NODES:
            raise AnobenchError(f"the Ray cluster has had no node for {WITHOUT_NODES:.0f} s; see ray status")
        self._alive = {actor.node for actor in present.values()}

    def slots(self) -> Sequence[Slot]:
        return [actor.slot for actor in self._actors.values()]

    def idle(self) -> Sequence[Slot]:
        if self._stopping:
            return []
        now = time.monotonic()
        able = [
            actor
            for actor in self._actors.values()
            if actor.node in self._alive and now >= self._shunned.get(actor.node, 0.0) and actor.takes_more()
        ]
        return [actor.slot for actor in sorted(able, key=lambda a: (len(a.jobs), a.handle is None))]

    def fits(self, job: Job, slot: Slot) -> bool:
        actor = self._actors[slot.name]
        if (job.fresh or job.alone) and actor.jobs:
            return False
        beside = self._beside(actor)
        return not (beside and (job.alone or any(other.jobs[0].alone for other in beside)))

    def _beside(self, actor: Actor) -> list[Actor]:
        """Return the other actors with work on its device."""
        device = actor.slot.device
        return [a for a in self._actors.values() if a.slot.device == device and a.jobs and a is not actor]

    def submit(self, job: Job, slot: Slot) -> None:
        actor = self._actors[slot.name]
        if job.fresh and actor.ran:
            actor.end(self._ray)
        actor.queued.append(job)

    def _send(self) -> None:
        """Send what was submitted to the actors."""
        for actor in self._actors.values():
            if actor.queued and actor.handle is None:
                self._begin(actor)
            actor.send(self._suspects)

    def _setup_of(self, actor: Actor) -> Setup:
        return replace(self._setup, extraction_threads=self._setup.extraction_threads or actor.threads)

    def _begin(self, actor: Actor) -> None:
        memory = self._limits.cell_memory
        options: dict[str, Any] = {"memory": int(memory * 2**30)} if memory else {}
        actor.handle = (
            self._ray.remote(Worker)
            .options(
                num_cpus=self._cpus,
                num_gpus=1 if self._gpu else 0,
                max_restarts=0,
                scheduling_strategy=on_node(actor.node),
                **options,
            )
            .remote(portable_json(self._setup_of(actor)), environ(), self._board)
        )
        actor.ready, actor.ran = actor.handle.ready.remote(), False

    def events(self, timeout: float) -> Sequence[Event]:
        self._send()
        found, self._waiting = self._waiting, []
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._look()
            found += self._ray.get(self._board.read.remote())
            for actor in self._actors.values():
                if (allowed := actor.late(self._limits)) is not None:
                    found += self._lost(actor, "timeout", f"killed: it took longer than {allowed:g} s")
        refs = {ref: actor for actor in self._actors.values() for ref in actor.refs()}
        if refs:
            ready, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=0)
            if not ready and not found:
                ready, _ = self._ray.wait(list(refs), timeout=min(timeout, LOOK_EVERY))
            for ref in ready:
                found += self._understand(refs[ref], ref)
        elif not found:
            time.sleep(min(timeout, 0.05))  # nothing runs: there is only news of nodes to wait for
        for actor in self._actors.values():
            call = actor.turn()
            found += [
                Started(job=j.id, cell=j.cells[0], slot=actor.slot) for j in (call.jobs if call else ())
            ]
        self._send()
        return found

    def _understand(self, actor: Actor, ref: Any) -> Iterator[Event]:
        from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError

        try:
            answer = self._ray.get(ref)
        except ActorUnavailableError as error:
            if actor.probe is None:
                # A lost connection: Ray will know later whether the actor or its node is gone.
                actor.ready, actor.probe = None, actor.handle.ready.remote()
                return
            yield from self._lost(actor, "node", f"its node cannot be reached: {first_line(error)}")
        except OutOfMemoryError as error:
            yield from self._lost(actor, "memory", first_line(error))
        except RayActorError as error:
            node = "node has died" in str(error) or actor.node not in self._alive_now()
            what = "its node went away" if node else f"its worker died: {first_line(error)}"
            self._count_start(actor, failed=not node, what=str(error))
            yield from self._lost(actor, "node" if node else "died", what)
        except RayTaskError as error:
            if actor.ready is not None:
                raise AnobenchError(f"{actor.slot.name} cannot run anything: {error}") from None
            yield from self._lost(actor, "died", f"its worker failed: {first_line(error)}")
        else:
            if actor.probe is not None:
                yield from self._lost(actor, "node", "the connection to its worker was lost")
            elif isinstance(answer, str):
                raise AnobenchError(f"{actor.slot.name}: {answer}")
            elif isinstance(answer, Ready):
                if answer.problem:
                    raise AnobenchError(f"{actor.slot.name}: {answer.problem}")
                actor.ready, actor.environment, self._failed_starts = None, answer.environment, 0
            else:
                yield from self._answered(actor, answer)

    def _answered(self, actor: Actor, answer: Sequence[bytes]) -> Iterator[Event]:
        """Yield the events of an actor's first call; what it left out ran nowhere: the actor is replaced."""
        jobs = {job.id: job for job in actor.over().jobs}
        packed = not self._gpu and bool(self._beside(actor))
        left = {number: {cell.key for cell in job.cells} for number, job in jobs.items()}
        for content in filter(None, answer):
            event = unpacked(content, jobs)
            if isinstance(event, Finished) and event.record.cell.key in left[event.job]:
                left[event.job].discard(event.record.cell.key)
                yield replace(event, packed=packed)
            elif isinstance(event, Extracted | Lost) and left[event.job]:
                left[event.job].clear()
                yield event
        for number, keys in left.items():
            if keys:
                cells = tuple(cell for cell in jobs[number].cells if cell.key in keys)
                yield Lost(job=number, cells=cells, why="unstarted", reason="its worker was replaced")
        if b"" in answer:
            yield from actor.lost("unstarted", "its worker was replaced")[0]
            actor.end(self._ray)

    def _count_start(self, actor: Actor, *, failed: bool, what: str) -> None:
        """Fail the run when too many actors in a row end before they are ready."""
        if actor.ready is None or not failed:
            return
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            raise AnobenchError(
                f"{FAILED_STARTS} of Ray's actors in a row could not start; the last one: {what}"
            )

    def _alive_now(self) -> set[str]:
        self._look()
        return self._alive

    def _lost(self, actor: Actor, why: Fate, reason: str) -> list[Lost]:
        """End an actor, and return the jobs that it had."""
        if why == "node":
            self._shunned[actor.node] = time.monotonic() + SHUN_SECONDS
        found, suspects = actor.lost(why, reason)
        self._suspects |= suspects
        actor.end(self._ray)
        return found

    def stop(self) -> None:
        self._stopping = True
        self._board.stop.remote()
        for actor in self._actors.values():
            self._waiting += [interrupted(job) for job in actor.queued]
            actor.queued = []

    def kill(self) -> None:
        self._stopping = True
        for actor in self._actors.values():
            lost = self._lost(actor, "interrupted", STOPPED)
            self._waiting += [replace(each, why="interrupted") for each in lost]

    def close(self) -> None:
        if not hasattr(self, "_board"):
            return
        for actor in self._actors.values():
            actor.end(self._ray)
        self._ray.kill(self._board)
        del self._board
        if self._connected:
            self._ray.shutdown()
