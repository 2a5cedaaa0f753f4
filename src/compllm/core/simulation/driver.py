"""The driver of a scheduler on virtual time: runs arrive, commands are performed, what came of them is reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from compllm.core import events as ev
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate
from compllm.core.simulation.agenda import Agenda
from compllm.core.simulation.machines import Machines
from compllm.core.simulation.result import FinishedRun, RunEnd, SimulationResult
from compllm.core.simulation.truth import Luck, Truth
from compllm.core.workload import Workload, WorkNode, WorkRun
from compllm.errors import InvalidTransition, QueueFullError, SchedulerStalledError


class Brain(Protocol):
    """Whatever decides: the scheduler, or a baseline that it is held against."""

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        """Take note of events of one instant and return what is to be done now, in order."""
        ...


@dataclass(slots=True, eq=False)
class _Run:
    spec: WorkRun
    nodes: dict[int, WorkNode]
    ended: set[int] = field(default_factory=set)
    completed: int = 0
    cancelled: RunEnd | None = None


def simulate(
    workload: Workload,
    models: Iterable[Model],
    devices: Iterable[Device],
    brain: Brain,
    truth: Truth | None = None,
    seed: int = 0,
) -> SimulationResult:
    """Let a brain work through a workload on virtual time, and return everything that happened; O(log n) per event.

    `models` and `devices` are those that the brain was made with; `truth` says how they really behave.

    Raises:
        InvalidTransition: the brain commanded what cannot be done.
        SchedulerStalledError: runs are left that nothing under way could ever end.
    """
    return _Simulation(workload, tuple(models), tuple(devices), brain, truth or Truth(), seed).live()


class _Simulation:
    def __init__(
        self,
        workload: Workload,
        models: tuple[Model, ...],
        devices: tuple[Device, ...],
        brain: Brain,
        truth: Truth,
        seed: int,
    ) -> None:
        self._brain, self._truth, self._luck = brain, truth, Luck(truth, seed)
        self._models, self._devices = models, devices
        self._agenda = Agenda()
        self._machines = Machines(models, devices, truth, self._luck, self._agenda, self._dispatch)
        self._to_come = len(workload.runs)
        self._open: dict[str, _Run] = {}
        self._finished: list[FinishedRun] = []
        self._events = 0
        for run in workload.runs:
            self._agenda.at(run.at_s, partial(self._arrive, run))

    def live(self) -> SimulationResult:
        while self._to_come or self._open:
            if not self._agenda.step():
                raise SchedulerStalledError("\n".join(f"run {name} has not ended" for name in self._open))
        self._machines.close()
        return SimulationResult(
            self._models,
            self._devices,
            tuple(self._finished),
            tuple(self._machines.attempts),
            tuple(self._machines.stays),
            self._agenda.now_s,
            self._events,
        )

    # --- events ------------------------------------------------------------------------------------------------------

    def _dispatch(self, *events: ev.SchedulerEvent) -> None:
        self._events += len(events)
        for event in events:
            if isinstance(event, ev.NodeCompleted) and event.run in self._open:
                run = self._open[event.run]
                run.ended.add(event.node)
                run.completed += 1
        for command in self._brain.handle_all(events, self._agenda.now_s):
            self._perform(command)

    def _arrive(self, spec: WorkRun) -> None:
        self._to_come -= 1
        run = self._open[spec.id] = _Run(spec, {node.id: node for node in spec.nodes})
        deadline_s = None if spec.deadline_s is None else spec.at_s + spec.deadline_s
        try:
            self._dispatch(ev.RunOpened(spec.id, spec.user, spec.priority, deadline_s))
        except QueueFullError:
            run.cancelled = "refused"
            self._finish(self._open.pop(spec.id))
            return
        closed_s = max([spec.closed_s, *(node.added_s for node in spec.nodes)])
        self._tell_plan(run, closed_s)
        self._cancel_after(run, math.inf if spec.deadline_s is None else spec.deadline_s, "late")
        self._cancel_after(run, self._luck.leaves_after_s(spec.id, spec.critical_path_s), "cancelled")

    def _tell_plan(self, run: _Run, closed_s: float) -> None:
        """Report the nodes as they are added, none before its parents; a plan that is there as a whole, at once."""
        spec = run.spec
        told_s: dict[int, float] = {}
        for node in spec.nodes:
            told_s[node.id] = max([node.added_s, *(told_s[parent] for parent in node.parents)])
        told = [(told_s[node.id], self._node_added(spec, node)) for node in spec.nodes]
        if closed_s == 0:
            self._dispatch(*(event for _, event in told), ev.PlanClosed(spec.id))
            return
        for after_s, event in told:
            self._when_open(run, after_s, event)
        self._when_open(run, closed_s, ev.PlanClosed(spec.id))

    def _node_added(self, run: WorkRun, node: WorkNode) -> ev.NodeAdded:
        """Tell of a node; where resolving takes no time, who answers it is settled from the start."""
        final = not node.parents or self._truth.resolve_s == 0
        return ev.NodeAdded(run.id, node.id, "", node.parents, _assignment(node), final, duration_s=node.estimate_s)

    def _when_open(self, run: _Run, after_s: float, event: ev.NodeAdded | ev.PlanClosed) -> None:
        """Report something about the plan now or later, unless the run is cancelled by then."""
        if after_s > 0:
            self._agenda.at(run.spec.at_s + after_s, partial(self._when_open, run, 0.0, event))
        elif run.cancelled is None:
            self._dispatch(event)

    def _cancel_after(self, run: _Run, after_s: float, end: RunEnd) -> None:
        self._agenda.at(run.spec.at_s + after_s, partial(self._cancel, run, end))

    def _cancel(self, run: _Run, end: RunEnd) -> None:
        if run.spec.id in self._open and run.cancelled is None:
            run.cancelled = end
            self._dispatch(ev.RunCancelled(run.spec.id, end))

    # --- commands ----------------------------------------------------------------------------------------------------

    def _perform(self, command: ev.Command) -> None:
        match command:
            case ev.RunNode():
                self._run_node(command)
            case ev.ResolveNode():
                self._agenda.at(self._agenda.now_s + self._truth.resolve_s, partial(self._resolve, command))
            case ev.CancelNode():
                self._machines.cancel(command)
            case ev.GiveUpNode(run, node) | ev.SkipNode(run, node):
                self._open[run].ended.add(node)
            case ev.FinishRun(run):
                self._finish(self._open.pop(run))
            case ev.LoadModel():
                self._machines.load(command)
            case ev.EvictModel():
                self._machines.evict(command)
            case ev.WakeAt(at_s):
                self._agenda.at(at_s, partial(self._dispatch, ev.Woken()))

    def _run_node(self, command: ev.RunNode) -> None:
        run = self._open[command.run]
        node = run.nodes[command.node]
        if not run.ended.issuperset(node.parents):
            raise InvalidTransition(f"{command}: its parents {node.parents} have not all ended")
        self._machines.run(command, node.duration_s)

    def _resolve(self, command: ev.ResolveNode) -> None:
        run = self._open.get(command.run)
        if run is not None and run.cancelled is None:
            node = run.nodes[command.node]
            self._dispatch(ev.NodeRouted(command.run, node.id, "", _assignment(node), node.estimate_s))

    def _finish(self, run: _Run) -> None:
        spec, completed = run.spec, run.completed
        whole: RunEnd = "answered" if completed == len(run.nodes) else "gaps" if completed else "failed"
        self._finished.append(
            FinishedRun(
                spec.id,
                spec.user,
                spec.at_s,
                self._agenda.now_s,
                len(run.nodes),
                completed,
                spec.critical_path_s,
                run.cancelled or whole,
            )
        )


def _assignment(node: WorkNode) -> Assignment:
    candidates = (Candidate(node.expert, node.model),)
    return Assignment(candidates, "given", 1.0, 1.0, passed=True, reason="as the workload says")
