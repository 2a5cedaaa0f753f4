"""Looks into the scheduler's books from outside: a description for people, and the checks that tests make."""

from __future__ import annotations

from compllm.core.ledger import Ledger
from compllm.core.nodes import NodeGraph
from compllm.errors import InvalidTransition


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
