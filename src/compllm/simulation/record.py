"""The journal's runs as a workload: timings, graphs, experts and models; no question and no answer is copied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean

from compllm.core import events as ev
from compllm.core.routing import Assignment
from compllm.core.workload import Workload, WorkNode, WorkRun
from compllm.errors import ConfigError
from compllm.journal import Journal, RunRow

# What a node is taken to last when no node of any recorded run has ended.
_DURATION_S = 1.0


@dataclass(slots=True)
class _Node:
    added: ev.NodeAdded
    added_s: float
    assignment: Assignment
    answered: ev.NodeCompleted | None = None


@dataclass(slots=True)
class _Recorded:
    row: RunRow
    nodes: dict[int, _Node] = field(default_factory=dict)
    user: str = ""
    priority: int = 0
    closed_s: float = 0.0


def record_workload(journal: Journal, last: int) -> Workload:
    """Return the latest runs of a journal, in order of their start, as a workload that starts with the first.

    A node's duration is what its expert took then, other requests on the same model included. A node without an answer
    gets the mean of its expert, or of all nodes; one that nobody could be given is left out.

    Raises:
        ConfigError: no run of the journal has a plan.
        JournalError: the journal cannot be read.
    """
    read = [_read(row, journal.events(row.id)) for row in reversed(journal.runs(last))]
    recorded = [each for each in read if any(node.assignment.candidates for node in each.nodes.values())]
    if not recorded:
        raise ConfigError(f'journal {journal.path} has no run with a plan; ask something first: compllm ask "..."')
    mean_s = _mean_durations_s(recorded)
    first = min(_started(each.row) for each in recorded)
    return Workload(tuple(_run(each, (_started(each.row) - first).total_seconds(), mean_s) for each in recorded))


def _started(row: RunRow) -> datetime:
    return datetime.fromisoformat(row.started_at)


def _read(row: RunRow, events: Iterable[ev.Stamped]) -> _Recorded:
    recorded = _Recorded(row)
    for stamped in events:
        match stamped.event:
            case ev.RunStarted(user=user, priority=priority):
                recorded.user, recorded.priority = user, priority
            case ev.NodeAdded() as added:
                recorded.nodes[added.node] = _Node(added, stamped.at_s, added.assignment)
            case ev.NodeRouted(_, node, _, assignment):
                recorded.nodes[node].assignment = assignment
            case ev.NodeCompleted(_, node) as answered:
                recorded.nodes[node].answered = answered
            case ev.PlanClosed():
                recorded.closed_s = stamped.at_s
    return recorded


def _mean_durations_s(recorded: Sequence[_Recorded]) -> dict[str, float]:
    """Return the mean duration by expert, and over all under the empty name."""
    durations_s: dict[str, list[float]] = {}
    for answer in (node.answered.answer for each in recorded for node in each.nodes.values() if node.answered):
        for expert in (answer.expert, ""):
            durations_s.setdefault(expert, []).append(answer.elapsed_s)
    return {expert: fmean(each_s) for expert, each_s in durations_s.items()}


def _run(recorded: _Recorded, at_s: float, mean_s: dict[str, float]) -> WorkRun:
    routed = {number: node for number, node in recorded.nodes.items() if node.assignment.candidates}
    nodes = tuple(_node(node, routed.keys(), mean_s) for node in routed.values())
    return WorkRun(recorded.row.id, at_s, nodes, recorded.user, recorded.priority, closed_s=recorded.closed_s)


def _node(node: _Node, known: Collection[int], mean_s: dict[str, float]) -> WorkNode:
    chosen = node.assignment.candidates[0]
    expert, model, duration_s = chosen.expert, chosen.model, mean_s.get(chosen.expert, mean_s.get("", _DURATION_S))
    if node.answered is not None:
        answer = node.answered.answer
        expert, model, duration_s = answer.expert, answer.model, answer.elapsed_s
    parents = tuple(parent for parent in node.added.parents if parent in known)
    return WorkNode(node.added.node, parents, expert, model, duration_s, added_s=node.added_s)
