"""Connecting to a Ray cluster, and what its nodes offer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.core.errors import AnobenchError
from bench.run.executors.base import Slot

#: An address that does not answer for so long is unreachable (seconds).
CONNECT_SECONDS = 5.0


def connect(ray: Any, address: str | None) -> bool:
    """Connect to a cluster; return whether this process was not connected before.

    Parameters
    ----------
    address : str or None
        ``"host:port"`` or ``"auto"`` of a running cluster; None starts one on this machine.

    Raises
    ------
    AnobenchError
        No cluster answers there.
    """
    if ray.is_initialized():
        return False
    if address not in (None, "auto"):
        _reach(str(address))
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise AnobenchError(f"--address {address}: no Ray cluster answers: {error}") from None
    return True


def slots_of(ray: Any, *, gpu: bool, cpus: int) -> Iterator[tuple[Slot, str, int]]:
    """Yield the slots of the nodes that are alive, each with its node's identity and its share of CPUs.

    A GPU's share is all that its node has of them: one process feeds it.

    Parameters
    ----------
    gpu : bool
        One slot on each GPU; else one on each `cpus` CPUs.
    """
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        resources = node["Resources"]
        able = int(resources.get("CPU", 0) // cpus)
        number = min(able, int(resources.get("GPU", 0))) if gpu else able
        # Nodes may share a host's name.
        host = f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}"
        for at in range(number):
            device = f"{host} gpu {at}" if gpu else f"{host} cpu"
            share = max(cpus, int(resources["CPU"]) // number) if gpu else cpus
            yield Slot(name=f"{host} #{at + 1}", device=device), node["NodeID"], share


def on_node(node: str) -> Any:
    """Return the strategy that puts an actor on this node only."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _reach(address: str) -> None:
    """Make sure that something listens at an address: Ray itself would try for minutes."""
    import socket

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise AnobenchError(
            f"--address {address}: expected auto, or HOST:PORT of a Ray cluster (ray start prints it)"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise AnobenchError(
            f"--address {address}: nobody answers there ({error.strerror or error}); "
            "start the cluster with ray start --head, or leave --address out for one on this machine"
        ) from None
