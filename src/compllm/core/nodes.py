"""Runs and their nodes at run time: who waits for whom, and which node may go into which state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from compllm.core.events import NodeAdded, RunOpened
from compllm.core.ledger import Reading
from compllm.core.routing import Candidate
from compllm.errors import InvalidTransition

NodeKey: TypeAlias = tuple[str, int]
NodeState = Literal[
    "waiting", "resolving", "ready", "parked", "running", "cancelling", "completed", "failed", "skipped", "cancelled"
]
ENDED: frozenset[NodeState] = frozenset({"completed", "failed", "skipped", "cancelled"})

# Parked: ready, but not to be tried before a time. Cancelling: told to stop, still holding its slot.
_ALLOWED: dict[NodeState, frozenset[NodeState]] = {
    "waiting": frozenset({"resolving", "ready", "failed", "skipped", "cancelled"}),
    "resolving": frozenset({"ready", "failed", "cancelled"}),
    "ready": frozenset({"parked", "running", "failed", "cancelled"}),
    "parked": frozenset({"ready", "failed", "cancelled"}),
    "running": frozenset({"completed", "ready", "parked", "failed", "cancelling"}),
    "cancelling": frozenset({"cancelled"}),
}
_TO_START: frozenset[NodeState] = frozenset({"waiting", "resolving", "ready", "parked"})
_STORY_LENGTH = 24


@dataclass(slots=True, eq=False)
class Node:
    """One sub-query at run time.

    `tail_s` is the length of the longest remaining path that begins with this node; `planned_s`, if there is a plan of
    the whole run, the seconds from its start to the end of that plan. `expected_s` is when it may start, as far as can
    be told. `candidates` are the experts still to be tried, the present one first (`reason` says why them); `tries`
    counts attempts at the present one, `attempt` all of them. `reading` is what its replica and its device had
    counted when it started. `user`, `priority`, `opened_s` and `deadline_s` are its
    run's.
    """

    key: NodeKey
    duration_s: float
    candidates: tuple[Candidate, ...]
    final: bool
    parents: tuple[NodeKey, ...]
    reason: str = ""
    user: str = ""
    priority: int = 0
    opened_s: float = 0.0
    deadline_s: float = math.inf
    state: NodeState = "waiting"
    unfinished_parents: int = 0
    children: list[Node] = field(default_factory=list)
    tail_s: float = 0.0
    planned_s: float | None = None
    expected_s: float = 0.0
    started_s: float = 0.0
    reading: Reading = field(default_factory=Reading)
    attempt: int = 0
    tries: int = 0
    ready_order: int = 0
    moves: list[tuple[float, NodeState]] = field(default_factory=list)

    @classmethod
    def of(cls, event: NodeAdded, run: Run, duration_s: float, now_s: float) -> Node:
        """Make the node that joins a run."""
        return cls(
            (event.run, event.node),
            duration_s,
            event.assignment.candidates,
            event.final,
            tuple((event.run, parent) for parent in event.parents),
            reason=event.assignment.reason,
            user=run.user,
            priority=run.priority,
            opened_s=run.opened_s,
            deadline_s=run.deadline_s,
            expected_s=now_s,
        )

    @property
    def model(self) -> str:
        """The model of the expert that is next to be tried; empty when nobody is eligible."""
        return self.candidates[0].model if self.candidates else ""

    @property
    def urgency_s(self) -> float:
        """How urgent it is: the seconds that its run still needs from here, and the longer the earlier that began.

        Among nodes of one run it orders by longest remaining path; among runs it is the mirrored latest start time, all
        runs being given the same time (Kolisch 1996, rule LST).
        """
        return (self.tail_s if self.planned_s is None else self.planned_s) - self.opened_s

    @property
    def since_s(self) -> float:
        """Since when it is in its present state."""
        return self.moves[-1][0] if self.moves else self.opened_s

    @property
    def may_start(self) -> bool:
        """Whether it is neither under way nor ended."""
        return self.state in _TO_START

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed, skipped or cancelled."""
        return self.state in ENDED

    def move(self, state: NodeState, now_s: float) -> None:
        """Change the state.

        Raises:
            InvalidTransition: the table of transitions does not allow it; the error carries the node's story.
        """
        if state not in _ALLOWED.get(self.state, frozenset()):
            raise InvalidTransition(f"node {self.key} cannot go from {self.state} to {state}", self.story)
        self.moves.append((now_s, state))
        self.state = state

    @property
    def story(self) -> tuple[str, ...]:
        """Its latest changes of state, a line each."""
        return tuple(f"{at_s:.6f} {state}" for at_s, state in self.moves[-_STORY_LENGTH:])


@dataclass(slots=True, eq=False)
class Run:
    """One query's nodes; `open_nodes` counts those that have not ended.

    `priority` goes before everything else, larger first; `deadline_s` is when nobody wants the answer any more.
    """

    id: str
    user: str = ""
    priority: int = 0
    opened_s: float = 0.0
    deadline_s: float = math.inf
    nodes: dict[int, Node] = field(default_factory=dict)
    closed: bool = False
    cancelled: bool = False
    open_nodes: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more can happen in it."""
        return self.open_nodes == 0 and (self.closed or self.cancelled)


class NodeGraph:
    """All runs with nodes to come or under way; `open_nodes` counts their nodes that have not ended."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.open_nodes = 0

    def __iter__(self) -> Iterator[Node]:
        return (node for run in self.runs.values() for node in run.nodes.values())

    def open(self, event: RunOpened, now_s: float) -> None:
        """Open a run on its terms."""
        run = self.run(event.run, now_s)
        run.user, run.priority = event.user, event.priority
        run.deadline_s = event.deadline_s if event.deadline_s is not None else math.inf

    def run(self, run_id: str, now_s: float) -> Run:
        """Return an open run, begun now if it is new."""
        if run_id not in self.runs:
            self.runs[run_id] = Run(run_id, opened_s=now_s)
        return self.runs[run_id]

    def node(self, run_id: str, node_id: int) -> Node:
        """Return a node of an open run.

        Raises:
            InvalidTransition: there is no such node.
        """
        run = self.runs.get(run_id)
        if run is None or node_id not in run.nodes:
            raise InvalidTransition(f"node {node_id} of run {run_id} is not known")
        return run.nodes[node_id]

    def find(self, run_id: str, node_id: int) -> Node | None:
        """Return a node, or None when its run is over and forgotten.

        Raises:
            InvalidTransition: the run is open and has no such node.
        """
        return self.node(run_id, node_id) if run_id in self.runs else None

    def add(self, node: Node) -> Run:
        """Enter a node of an open run whose parents are known.

        Raises:
            InvalidTransition: the run is closed or cancelled, the node exists, or a parent does not.
        """
        run = self.runs[node.key[0]]
        over = run.closed or run.cancelled
        if over or node.key[1] in run.nodes:
            raise InvalidTransition(f"node {node.key} is added {'to a run that is over' if over else 'twice'}")
        for run_id, parent_id in node.parents:
            parent = self.node(run_id, parent_id)
            parent.children.append(node)
            if not parent.ended:
                node.unfinished_parents += 1
                node.expected_s = max(node.expected_s, parent.expected_s + parent.duration_s)
        run.nodes[node.key[1]] = node
        run.open_nodes += 1
        self.open_nodes += 1
        node.tail_s = node.duration_s
        return run

    def lengthen(self, node: Node) -> Iterator[Node]:
        """Carry a node's tail to its ancestors and yield those that grew; O(ancestors that grow)."""
        nodes = self.runs[node.key[0]].nodes
        grown = [node]
        while grown:
            child = grown.pop()
            for _, parent_id in child.parents:
                parent = nodes[parent_id]
                tail_s = parent.duration_s + child.tail_s
                if tail_s > parent.tail_s:
                    parent.tail_s = tail_s
                    grown.append(parent)
                    yield parent

    def end(self, node: Node) -> Iterator[Node]:
        """Count a node as ended and yield the children that wait for nothing else now."""
        self.runs[node.key[0]].open_nodes -= 1
        self.open_nodes -= 1
        for child in node.children:
            child.unfinished_parents -= 1
            if child.unfinished_parents == 0 and child.state == "waiting":
                yield child

    def forget(self, run_id: str) -> None:
        """Drop a finished run."""
        del self.runs[run_id]
