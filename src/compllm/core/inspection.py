"""Looks into the scheduler's books from outside: a description for people, and the checks that tests make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from compllm.core.ledger import Ledger, ReplicaState
from compllm.core.nodes import NodeGraph
from compllm.errors import InvalidTransition


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """What a device holds and computes at an instant."""

    name: str
    capacity_bytes: int
    free_bytes: int
    cores: int
    free_cores: int


@dataclass(frozen=True, slots=True)
class ReplicaSnapshot:
    """A replica at an instant; `device` is "remote" for an endpoint, `leases` are the requests it serves."""

    model: str
    device: str
    state: ReplicaState
    footprint_bytes: int
    slots: int
    leases: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the scheduler knows at an instant: devices, replicas, the nodes of open runs by state, and those runs."""

    devices: tuple[DeviceSnapshot, ...]
    replicas: tuple[ReplicaSnapshot, ...]
    nodes: dict[str, int]
    open_runs: int


def take_snapshot(graph: NodeGraph, ledger: Ledger, open_runs: int) -> Snapshot:
    """Return what is where now; O(nodes + replicas)."""
    return Snapshot(
        tuple(
            DeviceSnapshot(
                each.name, each.capacity_bytes, ledger.free_bytes(each.name), each.cores, ledger.free_cores(each.name)
            )
            for each in ledger.devices.values()
        ),
        tuple(ReplicaSnapshot(r.model.name, r.device, r.state, r.bytes, r.model.slots, len(r.leases)) for r in ledger),
        dict(Counter(node.state for node in graph if not node.ended)),
        open_runs,
    )


def describe(graph: NodeGraph, ledger: Ledger) -> str:
    """Return every unfinished node and every replica, a line each."""
    nodes = [f"node {n.key} {n.state} on {n.model}" for n in graph if not n.ended]
    replicas = [
        f"{r.model.name} {r.state} on {r.device}: {r.bytes} bytes, {len(r.leases)} leases, owed to {r.owed_to}"
        for r in ledger
    ]
    return "\n".join(nodes + replicas)


def check_books(graph: NodeGraph, ledger: Ledger) -> None:
    """Assert what must hold between events; O(nodes + replicas).

    Raises:
        InvalidTransition: an invariant is broken.
    """
    ledger.check()
    for node in graph:
        if node.state in {"running", "cancelling"}:
            replica = ledger.get(node.model)
            if replica is None or node.key not in replica.leases or node.unfinished_parents:
                raise InvalidTransition(f"node {node.key} runs without a lease or before its parents", node.story)
    for run in graph.runs.values():
        if run.open_nodes != sum(not node.ended for node in run.nodes.values()):
            raise InvalidTransition(f"run {run.id} counts {run.open_nodes} open nodes")
