"""The scheduler: events in, commands out, nothing else.

It is driven by whoever performs its commands and reports what came of them: the executor on the wall clock, tests on a
virtual one. Nodes want slots, models want bytes and cores; a load is a set-up shared by all nodes of its model
(parallel schedule generation for a variation of RCPSP; Kolisch 1996). At every event the most urgent ready nodes of
resident models start, then loads and evictions are decided.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compllm.core import events as ev
from compllm.core.health import Backoff, Health
from compllm.core.ledger import Device, Ledger, Model, Replica, place_models
from compllm.core.nodes import Node, NodeGraph, NodeKey
from compllm.core.policy import Victim, choose_victims, priority
from compllm.core.ready import ReadyQueue
from compllm.errors import InvalidTransition, SchedulerStalledError


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers that the scheduler goes by.

    `max_overtakes`: how often younger nodes may start before an older one that wants the same device or model.
    `max_tries`: attempts at one expert before the next. `skip_descendants`: whether nodes that need a failed one are
    skipped; else they run with the gap named.
    """

    max_overtakes: int = 32
    max_tries: int = 2
    skip_descendants: bool = True
    backoff: Backoff = field(default_factory=Backoff)


class Scheduler:
    """Decides what runs, loads and leaves memory; deterministic in its events.

    Raises:
        ModelTooLargeError: a model can never be resident.
    """

    def __init__(self, models: Iterable[Model], devices: Iterable[Device], rules: Rules | None = None) -> None:
        models, devices = tuple(models), tuple(devices)
        homes = place_models(models, devices)
        self.rules = rules or Rules()
        self.models: dict[str, Model] = {m.name: replace(m, devices=homes[m.name]) for m in models}
        self.ledger = Ledger(devices)
        self.graph = NodeGraph()
        self.queue = ReadyQueue()
        self._health: dict[str, Health] = {name: Health() for name in self.models}
        self._demand: Counter[str] = Counter()
        self._claims: dict[str, str] = {}
        self._parked: list[tuple[float, NodeKey, Node]] = []
        self._in_flight = 0
        self._has_grown = False
        self._may_starve = self.rules.max_overtakes < 1
        self._now_s = 0.0
        self._commands: list[ev.Command] = []
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            ev.NodeAdded: self._node_added,
            ev.NodeRouted: self._node_routed,
            ev.PlanClosed: self._plan_closed,
            ev.NodeCompleted: self._node_completed,
            ev.NodeFailed: self._node_failed,
            ev.NodeCancelled: self._node_cancelled,
            ev.RunCancelled: self._run_cancelled,
            ev.ModelLoaded: self._model_loaded,
            ev.ModelLoadFailed: self._model_load_failed,
            ev.ModelEvicted: self._model_evicted,
            ev.ModelCrashed: self._model_crashed,
            ev.Woken: self._woken,
        }
        for model in self.models.values():
            if not model.devices:
                self.ledger.add_remote(model)

    def handle(self, event: ev.SchedulerEvent, now_s: float) -> list[ev.Command]:
        """Take note of an event and return what is to be done now, in order.

        Raises:
            InvalidTransition: the event cannot follow what happened so far.
            SchedulerStalledError: ready nodes exist that nothing under way could ever start.
        """
        self._now_s = max(now_s, self._now_s)
        self._handlers[type(event)](event)
        self._unpark()
        if len(self.queue):
            self._give_up_models()
            self._start_nodes()
            self._place_loads()
        if len(self.queue) and not (self._in_flight or self._parked):
            raise SchedulerStalledError(self.snapshot())
        commands, self._commands = self._commands, []
        return commands

    def snapshot(self) -> str:
        """Describe every unfinished node and every replica, a line each."""
        nodes = [f"node {n.key} {n.state} on {n.model}" for n in self.graph if not n.ended]
        replicas = [
            f"{r.model.name} {r.state} on {r.device}: {r.bytes} bytes, {len(r.leases)} leases, owed to {r.owed_to}"
            for r in self.ledger
        ]
        return "\n".join(nodes + replicas)

    def check(self) -> None:
        """Assert what must hold between events; O(nodes + replicas), meant for tests.

        Raises:
            InvalidTransition: an invariant is broken.
        """
        self.ledger.check()
        for node in self.graph:
            if node.state in {"running", "cancelling"}:
                replica = self.ledger.get(node.model)
                if replica is None or node.key not in replica.leases or node.unfinished_parents:
                    raise InvalidTransition(f"node {node.key} runs without a lease or before its parents", node.story)
            if node.overtaken > self.rules.max_overtakes + len(self.models):
                raise InvalidTransition(f"node {node.key} was overtaken {node.overtaken} times", node.story)
        for run in self.graph.runs.values():
            if run.open_nodes != sum(not node.ended for node in run.nodes.values()):
                raise InvalidTransition(f"run {run.id} counts {run.open_nodes} open nodes")

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _node_added(self, event: ev.NodeAdded) -> None:
        key = (event.run, event.node)
        parents = tuple((event.run, parent) for parent in event.parents)
        assignment = event.assignment
        node = Node(key, event.duration_s, assignment.candidates, event.final, parents, reason=assignment.reason)
        self._expect_models(node)
        run = self.graph.add(node)
        self._demand[node.model] += 1
        for ancestor in self.graph.lengthen(node):
            if ancestor.state == "ready":
                self.queue.reorder(ancestor)
        lost = next((p for p in parents if run.nodes[p[1]].state in {"failed", "skipped"}), None)
        if lost is not None and self.rules.skip_descendants:
            self._skip(node, lost[1])
        elif not node.unfinished_parents:
            self._parents_ended(node)

    def _node_routed(self, event: ev.NodeRouted) -> None:
        node = self.graph.find(event.run, event.node)
        if node is None or node.ended:
            return
        self._in_flight -= 1
        self._demand[node.model] -= 1
        node.candidates, node.duration_s = event.assignment.candidates, event.duration_s
        node.reason = event.assignment.reason
        self._expect_models(node)
        self._demand[node.model] += 1
        node.tail_s = event.duration_s + max((child.tail_s for child in node.children), default=0.0)
        self._make_ready(node)

    def _plan_closed(self, event: ev.PlanClosed) -> None:
        self.graph.run(event.run).closed = True
        self._finish(event.run)

    def _node_completed(self, event: ev.NodeCompleted) -> None:
        if node := self._attempted(event):
            self._health[node.model].note_success()
            self._release(node)
            self._end(node, "cancelled" if node.state == "cancelling" else "completed")

    def _node_failed(self, event: ev.NodeFailed) -> None:
        if node := self._attempted(event):
            self._release(node)
            self._attempt_failed(node, event.reason, retryable=event.retryable)

    def _node_cancelled(self, event: ev.NodeCancelled) -> None:
        if node := self._attempted(event):
            self._release(node)
            self._end(node, "cancelled")

    def _run_cancelled(self, event: ev.RunCancelled) -> None:
        run = self.graph.run(event.run)
        run.cancelled = True
        for node in list(run.nodes.values()):
            if node.state == "running":
                node.move("cancelling", self._now_s)
                self._commands.append(ev.CancelNode(*node.key))
            elif not node.ended and node.state != "cancelling":
                self._in_flight -= node.state == "resolving"
                self._leave_queue(node)
                self._end(node, "cancelled")
        self._finish(event.run)

    def _attempted(self, event: ev.NodeCompleted | ev.NodeFailed | ev.NodeCancelled) -> Node | None:
        """Return the node whose present attempt has ended; None for news of an attempt or run that is over."""
        node = self.graph.find(event.run, event.node)
        under_way = node is not None and node.state in {"running", "cancelling"} and node.attempt == event.attempt
        return node if under_way else None

    def _expect_models(self, node: Node) -> None:
        unknown = [c.model for c in node.candidates if c.model not in self.models]
        if unknown:
            raise InvalidTransition(f"node {node.key} is assigned to unknown models {unknown}")

    def _parents_ended(self, node: Node) -> None:
        if node.final:
            self._make_ready(node)
            return
        node.move("resolving", self._now_s)
        self._in_flight += 1
        self._commands.append(ev.ResolveNode(*node.key))

    def _make_ready(self, node: Node) -> None:
        node.move("ready", self._now_s)
        self._queue(node)

    def _queue(self, node: Node) -> None:
        """Enter a node in state ready where it belongs: the queue, the parking place, or the next expert's."""
        if not node.candidates:
            self._give_up(node, node.reason)
            return
        node.overtaken = min(node.overtaken, self.rules.max_overtakes)
        health = self._health[node.model]
        if health.rests_until_s <= self._now_s:
            self.queue.add(node)
        elif health.broken:
            self._fail_over(node, health.reason, leave_model=True)
        else:
            self._park(node, health.rests_until_s)

    def _park(self, node: Node, until_s: float) -> None:
        node.move("parked", self._now_s)
        heapq.heappush(self._parked, (until_s, node.key, node))
        self._commands.append(ev.WakeAt(until_s))

    def _unpark(self) -> None:
        while self._parked and (self._parked[0][0] <= self._now_s or self._parked[0][2].state != "parked"):
            node = heapq.heappop(self._parked)[2]
            if node.state == "parked":
                self._make_ready(node)

    def _leave_queue(self, node: Node) -> None:
        if node.state != "ready":
            return
        self.queue.remove(node)
        replica = self.ledger.get(node.model)
        if replica is not None and replica.owed_to == node.key:
            replica.owed_to = None

    def _attempt_failed(self, node: Node, reason: str, *, retryable: bool) -> None:
        if node.state == "cancelling":
            self._end(node, "cancelled")
            return
        node.move("ready", self._now_s)
        if retryable and node.tries < self.rules.max_tries:
            self._park(node, self._now_s + self.rules.backoff.pause_s(node.tries))
        else:
            self._fail_over(node, reason, leave_model=False)

    def _fail_over(self, node: Node, reason: str, *, leave_model: bool) -> None:
        """Give a node in state ready, not queued, to its next expert, or give it up."""
        left = node.candidates[1:]
        if leave_model:
            left = tuple(c for c in left if c.model != node.model)
        if not left:
            self._give_up(node, reason)
            return
        self._demand[node.model] -= 1
        node.candidates, node.tries = left, 0
        self._demand[node.model] += 1
        self._queue(node)

    def _give_up(self, node: Node, reason: str) -> None:
        self._commands.append(ev.GiveUpNode(*node.key, reason))
        if self.rules.skip_descendants:
            for child in node.children:
                self._skip(child, node.key[1])
        self._end(node, "failed")

    def _skip(self, node: Node, because: int) -> None:
        stack = [(node, because)]
        while stack:
            node, because = stack.pop()
            if node.state == "waiting":
                self._commands.append(ev.SkipNode(*node.key, because))
                self._end(node, "skipped")
                stack += [(child, node.key[1]) for child in reversed(node.children)]

    def _end(self, node: Node, state: Any) -> None:
        node.move(state, self._now_s)
        self._demand[node.model] -= 1
        for child in self.graph.end(node):
            if state == "completed" or (state == "failed" and not self.rules.skip_descendants):
                self._parents_ended(child)
        self._finish(node.key[0])

    def _finish(self, run_id: str) -> None:
        run = self.graph.runs.get(run_id)
        if run is not None and run.finished:
            self.graph.forget(run_id)
            self._commands.append(ev.FinishRun(run_id))

    # --- replicas ----------------------------------------------------------------------------------------------------

    def _model_loaded(self, event: ev.ModelLoaded) -> None:
        replica = self._expect_replica(event.model)
        self._in_flight -= 1
        fits = self.ledger.confirm(replica, event.footprint_bytes, self._now_s)
        self._correct(event.model, event.footprint_bytes, event.load_s)
        replica.model = self.models[event.model]
        if not fits:
            self.ledger.begin_eviction(replica, overrun=True)
            self._evicting(replica)

    def _model_load_failed(self, event: ev.ModelLoadFailed) -> None:
        replica = self._expect_replica(event.model)
        self._in_flight -= 1
        self.ledger.release(replica)
        if event.needed_bytes is not None:
            needed_bytes = max(event.needed_bytes, self.models[event.model].footprint_bytes)
            self._correct(event.model, needed_bytes, replica.model.load_s)
            self._give_up_models()
        self._note_failure(event.model, event.reason, retryable=event.retryable)

    def _model_evicted(self, event: ev.ModelEvicted) -> None:
        self.ledger.release(self._expect_replica(event.model))
        self._in_flight -= 1

    def _model_crashed(self, event: ev.ModelCrashed) -> None:
        replica = self.ledger.get(event.model)
        if replica is None or replica.state != "resident":
            return  # its eviction, or the load of its successor, is still to be answered
        holders = sorted(replica.leases)  # type: ignore[type-var]
        self._in_flight -= len(holders)
        self.ledger.release(replica)
        self._note_failure(event.model, event.reason, retryable=True)
        for key in holders:
            self._attempt_failed(self.graph.node(*key), event.reason, retryable=True)  # type: ignore[misc]

    def _expect_replica(self, model: str) -> Replica:
        replica = self.ledger.get(model)
        if replica is None:
            raise InvalidTransition(f"{model} has no replica")
        return replica

    def _note_failure(self, model: str, reason: str, *, retryable: bool) -> None:
        """Leave a model alone for a while, or give it up; its ready nodes wait or go to their next expert."""
        self._health[model].note_failure(self.rules.backoff, reason, self._now_s, retryable=retryable)
        self._requeue(model)

    def _requeue(self, model: str) -> None:
        for node in self.queue.drain(model):
            self._queue(node)

    def _correct(self, name: str, footprint_bytes: int, load_s: float) -> None:
        """Replace a model's estimates by measurements."""
        self._has_grown = self._has_grown or footprint_bytes > self.models[name].footprint_bytes
        self.models[name] = replace(self.models[name], footprint_bytes=footprint_bytes, load_s=load_s)

    def _give_up_models(self) -> None:
        """Give up for good what turned out too large to be loaded again; its nodes go to their next expert."""
        while self._has_grown and (name := next(filter(self._is_hopeless, self.queue.models()), None)):
            need_bytes = self.models[name].footprint_bytes
            self._health[name].give_up(f"{name} turned out to need {need_bytes} bytes, more than there is room for")
            self._requeue(name)

    def _is_hopeless(self, name: str) -> bool:
        model = self.models[name]
        absent = self.ledger.get(name) is None
        return absent and all(model.footprint_bytes > self._room_bytes(device, model) for device in model.devices)

    def _room_bytes(self, device: str, model: Model) -> int:
        """Return what a model could have on a device when only pinned models are beside it."""
        pinned = (m for m in self.models.values() if m.pinned and m is not model and device in m.devices)
        kept_bytes = sum(m.footprint_bytes for m in pinned if not self._health[m.name].given_up)
        return self.ledger.devices[device].capacity_bytes - kept_bytes

    def _release(self, node: Node) -> None:
        self.ledger.end_lease(self._expect_replica(node.model), node.key, self._now_s)
        self._in_flight -= 1

    # --- decisions ---------------------------------------------------------------------------------------------------

    def _start_nodes(self) -> None:
        """Start ready nodes while slots and cores last: first where a batch is running, then the most urgent."""
        while len(self.queue):
            starving = self._starving()
            startable = [
                (not replica.leases, -priority(node.tail_s, 0.0), node.ready_order, node, replica)
                for replica in map(self.ledger.get, self.queue.models())
                if replica is not None and replica.free_slots and self.ledger.can_compute(replica)
                for node in [self._next_node(replica, starving)]
                if node is not None
            ]
            if not startable:
                return
            *_, node, replica = min(startable, key=lambda choice: choice[:3])
            self._start(node, replica)

    def _starving(self) -> list[Node]:
        """Return the nodes that were overtaken as often as allowed, oldest first."""
        if not self._may_starve:
            return []
        oldest = (self.queue.oldest(model) for model in self.queue.models())
        starving = [node for node in oldest if node.overtaken >= self.rules.max_overtakes]
        return sorted(starving, key=lambda node: node.ready_order)

    def _next_node(self, replica: Replica, starving: list[Node]) -> Node | None:
        """Return the node that the replica should serve next, unless an older starving one wants its place."""
        if replica.owed_to is not None:
            return self.graph.node(*replica.owed_to)  # type: ignore[misc]
        node = self._first(replica.model.name, starving)
        older = (s for s in starving if s.ready_order < node.ready_order)
        return None if any(self._contend(s, replica) for s in older) else node

    def _first(self, model: str, starving: list[Node]) -> Node:
        """Return the model's most urgent ready node, or its oldest while any node starves."""
        return self.queue.oldest(model) if starving else self.queue.urgent(model)

    def _contend(self, node: Node, replica: Replica) -> bool:
        """Whether a ready node waits for something that the replica holds."""
        return node.model == replica.model.name or replica.device in self.models[node.model].devices

    def _start(self, node: Node, replica: Replica) -> None:
        for model in self.queue.models():
            oldest = self.queue.oldest(model)
            if oldest.ready_order < node.ready_order and self._contend(oldest, replica):
                oldest.overtaken += 1
                self._may_starve = self._may_starve or oldest.overtaken >= self.rules.max_overtakes
        self.queue.remove(node)
        node.move("running", self._now_s)
        node.attempt += 1
        node.tries += 1
        self.ledger.lease(replica, node.key)
        self._in_flight += 1
        expert = node.candidates[0].expert
        self._commands.append(ev.RunNode(*node.key, expert, replica.model.name, replica.device, node.attempt))

    def _place_loads(self) -> None:
        """Load what ready nodes ask for, most urgent first, as far as bytes allow or can be freed."""
        self._claims = {device: model for device, model in self._claims.items() if self.queue.waits_for(model)}
        absent = [model for model in self.queue.models() if self.ledger.get(model) is None]
        if not absent:
            return
        starving = self._starving()
        for model in sorted(absent, key=lambda name: self._load_order(name, starving)):
            older = [s for s in starving if s.model != model and s.ready_order < self.queue.oldest(model).ready_order]
            taken = {device for s in older for device in self.models[s.model].devices}
            self._place(self.models[model], taken, self._first(model, starving))

    def _load_order(self, model: str, starving: list[Node]) -> tuple[int, float, int]:
        rank = next((i for i, node in enumerate(starving) if node.model == model), len(starving))
        node = self.queue.urgent(model)
        return rank, -priority(node.tail_s, self.models[model].load_s), node.ready_order

    def _place(self, model: Model, taken: set[str], node: Node) -> None:
        """Load a model for a node or make room for it; one that starves may take what others claim or wait for."""
        starving = node.overtaken >= self.rules.max_overtakes
        mine = (d for d in model.devices if starving or self._claims.get(d, model.name) == model.name)
        open_devices = sorted((d for d in mine if d not in taken), key=lambda d: self._claims.get(d) != model.name)
        for device in open_devices:
            if model.footprint_bytes <= self.ledger.free_bytes(device):
                self._load(model, device, node)
                return
        for device in open_devices:
            need_bytes = model.footprint_bytes - self.ledger.free_bytes(device)
            need_bytes -= sum(r.bytes for r in self.ledger.on(device) if r.state == "evicting")
            victims = choose_victims(self._candidates(device, may_take_wanted=starving), need_bytes)
            for replica in victims:
                self._evict(replica)
            if victims or need_bytes <= 0:
                self._claims[device] = model.name
                return

    def _candidates(self, device: str, *, may_take_wanted: bool) -> Iterable[Victim]:
        for replica in self.ledger.on(device):
            name = replica.model.name
            if replica.evictable and (may_take_wanted or not self.queue.waits_for(name)):
                yield Victim(replica, self._demand[name])

    def _load(self, model: Model, device: str, node: Node) -> None:
        self._claims = {d: m for d, m in self._claims.items() if m != model.name}
        self.ledger.reserve(model, device, owed_to=node.key)
        self._in_flight += 1
        self._commands.append(ev.LoadModel(model.name, device))

    def _evict(self, replica: Replica) -> None:
        self.ledger.begin_eviction(replica)
        self._evicting(replica)

    def _evicting(self, replica: Replica) -> None:
        self._in_flight += 1
        self._commands.append(ev.EvictModel(replica.model.name, replica.device))

    def _woken(self, _event: ev.Woken) -> None:
        """Ask again when the clock was early; else the time itself is the news."""
        if self._parked and self._parked[0][0] > self._now_s:
            self._commands.append(ev.WakeAt(self._parked[0][0]))
