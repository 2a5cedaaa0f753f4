"""The scheduler: events in, commands out, nothing else.

It is driven by whoever performs its commands and reports what came of them: the executor on the wall clock, the
simulator and tests on a virtual one. Nodes want slots, models want bytes and cores; a load is a set-up shared by all
nodes of its model (parallel schedule generation for a variation of RCPSP; Kolisch 1996). At every event `dispatch`
starts ready nodes on resident models, then `placement` decides about loads, evictions and prefetches. Only what an
event has touched is looked at again, so that an event costs O(log n) in nodes, models and devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from compllm.core import events as ev
from compllm.core.admission import Admission
from compllm.core.deadlines import Deadlines
from compllm.core.demand import Demand
from compllm.core.dispatch import Dispatch
from compllm.core.footprints import Footprints, too_large
from compllm.core.health import Health
from compllm.core.inspection import check_books, describe
from compllm.core.learning import Estimates, company_between, virtual_tokens
from compllm.core.ledger import REMOTE, Device, Ledger, Model, Replica, place_models
from compllm.core.nodes import Node, NodeGraph
from compllm.core.outlook import OutlookPlanner
from compllm.core.placement import Placement
from compllm.core.places import Places
from compllm.core.ready import ReadyQueue
from compllm.core.rules import Rules
from compllm.core.shares import Shares
from compllm.core.waking import Waking
from compllm.errors import InvalidTransition, SchedulerStalledError


class Scheduler:
    """Decides what runs, loads and leaves memory; deterministic in its events.

    `estimates` is what was learned before; it goes on learning.

    Raises:
        ModelTooLargeError: a model can never be resident.
    """

    def __init__(
        self,
        models: Iterable[Model],
        devices: Iterable[Device],
        rules: Rules | None = None,
        estimates: Estimates | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self.models: dict[str, Model] = {}
        self.estimates = estimates or Estimates()
        self.ledger = Ledger(tuple(devices))
        self.admission = Admission(self.rules.max_runs)
        self.graph = NodeGraph()
        self.shares = Shares()
        self.queue = ReadyQueue(self.shares)
        self._places = Places(self.rules.max_overtakes)
        self._demand = Demand()
        self._placement = Placement(
            self.models, self.ledger, self.graph, self.queue, self._demand, self._places, self._may_load, self.rules
        )
        makes_way = self._placement.makes_way
        self._dispatch = Dispatch(
            self.ledger, self.graph, self.queue, self._places, self.shares, self.estimates, makes_way
        )
        self._outlook = OutlookPlanner(
            self.models, self.ledger, self.graph, self.queue, self._demand, self._placement, self.rules.plan_steps
        )
        self._health: dict[str, Health] = {}
        self.footprints = Footprints(self.models, self.ledger)
        self._deadlines = Deadlines(self.estimates)
        self._waking = Waking()
        self._in_flight = 0
        self._is_to_plan = False
        self._now_s = 0.0
        self._commands: list[ev.Command] = []
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            ev.RunOpened: self._run_opened,
            ev.ModelsExpected: self._models_expected,
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
        self.add_models(models)

    def add_models(self, models: Iterable[Model]) -> None:
        """Make models known that no node has asked for yet.

        Raises:
            ModelTooLargeError: one can never be resident beside what is known and can; nothing has changed.
        """
        models = tuple(models)
        known = [model for model in self.models.values() if self.footprints.has_room(model.name)]
        homes = place_models([*known, *models], self.ledger.devices.values())
        for model in (replace(each, devices=homes[each.name]) for each in models):
            self.models[model.name] = model
            self._health[model.name] = Health()
            self._places.add(model)
            if not model.devices:
                self.ledger.add_remote(model)

    def handle(self, event: ev.SchedulerEvent, now_s: float) -> list[ev.Command]:
        """Take note of an event and return what is to be done now, in order; see `handle_all`."""
        return self.handle_all((event,), now_s)

    def handle_all(self, events: Iterable[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        """Take note of events of one instant, then return what is to be done now, in order.

        A plan that is known as a whole is best told at once: nothing is loaded for its first node that its last one
        would have advised against.

        Raises:
            QueueFullError: no more runs are taken; nothing has changed.
            InvalidTransition: the event cannot follow what happened so far.
            SchedulerStalledError: ready nodes exist that nothing under way could ever start.
        """
        self._now_s = max(now_s, self._now_s)
        for event in events:
            self._handlers[type(event)](event)
        for node in self._waking.due(self._now_s):
            self._make_ready(node)
        if self._is_to_plan:
            self._is_to_plan = False
            self._outlook.plan(self._now_s)
        while (start := self._dispatch.next_start()) is not None:
            self._start(*start)
        self._order(self._placement.decide(self._now_s))
        if (wake_s := self._waking.order(self._placement.next_retry_s(), self._now_s)) is not None:
            self._commands.append(ev.WakeAt(wake_s))
        if len(self.queue) and not (self._in_flight or self._waking):
            raise SchedulerStalledError(describe(self.graph, self.ledger))
        commands, self._commands = self._commands, []
        return commands

    def check(self) -> None:
        """Assert what must hold between events; O(nodes + replicas), meant for tests.

        Raises:
            InvalidTransition: an invariant is broken.
        """
        check_books(self.graph, self.ledger)

    # --- runs and nodes ----------------------------------------------------------------------------------------------

    def _run_opened(self, event: ev.RunOpened) -> None:
        if event.part_of is None:
            self.admission.admit(event.run, goes_on=event.goes_on)
        self.graph.open(event, self._now_s)

    def _models_expected(self, event: ev.ModelsExpected) -> None:
        for model in event.models:
            self._order(self._placement.hint(model, self._now_s))

    def _node_added(self, event: ev.NodeAdded) -> None:
        run = self.graph.run(event.run, self._now_s)
        node = Node.of(event, run, self._duration_s(event), self._now_s)
        self._expect_models(node)
        self.graph.add(node)
        self._demand.add(node)
        for ancestor in self.graph.lengthen(node):
            if ancestor.state == "ready":
                self.queue.reorder(ancestor)
        lost = next((run.nodes[n] for n in event.parents if run.nodes[n].state in {"failed", "skipped"}), None)
        if lost is not None and self.rules.skip_descendants:
            self._skip(node, lost.key[1])
        elif not node.unfinished_parents:
            self._parents_ended(node)
        else:
            self._expect(node)

    def _duration_s(self, event: ev.NodeAdded | ev.NodeRouted) -> float:
        if event.duration_s is not None or not event.assignment.candidates:
            return event.duration_s or 0.0
        return self.estimates.duration_s(event.assignment.candidates[0].expert, event.assignment.candidates[0].model)

    def _node_routed(self, event: ev.NodeRouted) -> None:
        node = self.graph.find(event.run, event.node)
        if node is None or node.ended:
            return
        self._in_flight -= 1
        self._no_demand(node)
        node.candidates, node.duration_s = event.assignment.candidates, self._duration_s(event)
        node.reason = event.assignment.reason
        self._expect_models(node)
        self._demand.add(node)
        node.tail_s = node.duration_s + max((child.tail_s for child in node.children), default=0.0)
        self._make_ready(node)

    def _plan_closed(self, event: ev.PlanClosed) -> None:
        self.graph.run(event.run, self._now_s).closed = True
        self._is_to_plan = True
        self._finish(event.run)

    def _node_completed(self, event: ev.NodeCompleted) -> None:
        if node := self._attempted(event):
            self._health[node.model].note_success()
            self._learn(node, event)
            self._release(node)
            self._end(node, "cancelled" if node.state == "cancelling" else "completed")

    def _learn(self, node: Node, event: ev.NodeCompleted) -> None:
        """Learn from an answer how long such answers take, and in which company."""
        answer, expert = event.answer, node.candidates[0].expert
        self.shares.charge(node.user, virtual_tokens(answer) - self.estimates.tokens(expert))
        replica = self.ledger.expect(node.model)
        company = company_between(node.reading, self.ledger.read(replica, self._now_s))
        if company is not None and answer.elapsed_s > 0:
            answer = replace(answer, expert=expert, elapsed_s=answer.elapsed_s * self.ledger.speed(replica.device))
            self.estimates.learn(node.model, replica.device, answer, company, replica.model.curve)

    def _node_failed(self, event: ev.NodeFailed) -> None:
        if node := self._attempted(event):
            self._release(node)
            self._attempt_failed(node, event.reason, retryable=event.retryable)

    def _node_cancelled(self, event: ev.NodeCancelled) -> None:
        if node := self._attempted(event):
            self._release(node)
            self._end(node, "cancelled")

    def _run_cancelled(self, event: ev.RunCancelled) -> None:
        run = self.graph.run(event.run, self._now_s)
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
        if node.planned_s is None:
            node.expected_s = self._now_s
        self._demand.expect(node)
        self._queue(node)

    def _queue(self, node: Node) -> None:
        """Enter a node in state ready where it belongs: the queue, the parking place, or the next expert's."""
        if not node.candidates:
            self._give_up(node, node.reason)
            return
        health = self._health[node.model]
        if self.footprints.is_hopeless(node.model):
            self._fail_over(node, too_large(node.model, self.models[node.model].footprint_bytes), leave_model=True)
        elif health.rests_until_s <= self._now_s:
            self.queue.add(node)
            self._places.note_ready(node)
            self._touch_model(node.model)
        elif health.broken:
            self._fail_over(node, health.reason, leave_model=True)
        else:
            self._park(node, health.rests_until_s)

    def _park(self, node: Node, until_s: float) -> None:
        node.move("parked", self._now_s)
        self._waking.park(node, until_s)

    def _leave_queue(self, node: Node) -> None:
        if node.state != "ready":
            return
        self.queue.remove(node)
        replica = self.ledger.get(node.model)
        if replica is not None and replica.owed_to == node.key:
            replica.owed_to = None
        self._gave_way(node)

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
        left = tuple(c for c in node.candidates[1:] if not (leave_model and c.model == node.model))
        if not left:
            self._give_up(node, reason)
            return
        self._no_demand(node)
        node.candidates, node.tries = left, 0
        self._demand.add(node)
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
        self._no_demand(node)
        for child in self.graph.end(node):
            if state == "completed" or (state == "failed" and not self.rules.skip_descendants):
                self._parents_ended(child)
        self._finish(node.key[0])

    def _finish(self, run_id: str) -> None:
        run = self.graph.runs.get(run_id)
        if run is not None and run.finished:
            self.graph.forget(run_id)
            self.admission.note_nodes_ended(run_id)
            self._commands.append(ev.FinishRun(run_id))

    # --- replicas ----------------------------------------------------------------------------------------------------

    def _model_loaded(self, event: ev.ModelLoaded) -> None:
        replica = self.ledger.expect(event.model)
        self._in_flight -= 1
        fits = self.ledger.confirm(replica, event.footprint_bytes, self._now_s)
        self.correct(event.model, event.footprint_bytes, event.load_s * self.ledger.speed(replica.device))
        replica.model = self.models[event.model]
        if replica.owed_to is not None:
            asker = self.graph.node(*replica.owed_to)  # type: ignore[misc]
            self.shares.charge(asker.user, self.estimates.load_tokens(event.model, event.load_s))
        if not fits:
            self._order([self._placement.evict(replica, overrun=True)])
        self._touch(replica.device, event.model)

    def _model_load_failed(self, event: ev.ModelLoadFailed) -> None:
        replica = self.ledger.expect(event.model)
        self._in_flight -= 1
        self.ledger.release(replica, self._now_s)
        self._touch(replica.device, event.model)
        reason, retryable = event.reason, event.retryable
        if event.needed_bytes is not None and not self.footprints.suppose(event.model, event.needed_bytes):
            reason, retryable = too_large(event.model, event.needed_bytes), False
        self._note_failure(event.model, reason, retryable=retryable)
        self._requeue_hopeless(event.model)

    def _model_evicted(self, event: ev.ModelEvicted) -> None:
        replica = self.ledger.expect(event.model)
        self.ledger.release(replica, self._now_s)
        self._in_flight -= 1
        self._touch(replica.device, event.model)
        self._look_out_for(event.model)

    def _model_crashed(self, event: ev.ModelCrashed) -> None:
        replica = self.ledger.get(event.model)
        if replica is None or replica.state != "resident":
            return  # its eviction, or the load of its successor, is still to be answered
        holders = sorted(replica.leases)  # type: ignore[type-var]
        self._in_flight -= len(holders)
        self.ledger.release(replica, self._now_s)
        self._touch(replica.device, event.model)
        self._note_failure(event.model, event.reason, retryable=True)
        for key in holders:
            self._attempt_failed(self.graph.node(*key), event.reason, retryable=True)  # type: ignore[misc]

    def _note_failure(self, model: str, reason: str, *, retryable: bool) -> None:
        """Leave a model alone for a while, or give it up; its ready nodes wait or go to their next expert."""
        self._health[model].note_failure(self.rules.backoff, reason, self._now_s, retryable=retryable)
        self._requeue(model)

    def _requeue(self, model: str) -> None:
        for node in self.queue.drain(model):
            self._gave_way(node)
            self._queue(node)

    def correct(self, name: str, footprint_bytes: int, load_s: float) -> None:
        """Replace a model's estimates by measurements; who waits for what has no room now goes to the next expert."""
        if self.footprints.correct(name, footprint_bytes, load_s):
            self._requeue_hopeless(name)

    def _requeue_hopeless(self, grown: str) -> None:
        for each in list(self.queue.models()) if self.models[grown].pinned else [grown]:
            if self.footprints.is_hopeless(each):
                self._requeue(each)

    def _may_load(self, model: str) -> bool:
        return self._health[model].rests_until_s <= self._now_s and not self.footprints.is_hopeless(model)

    def _release(self, node: Node) -> None:
        replica = self.ledger.expect(node.model)
        self.ledger.end_lease(replica, node.key, self._now_s)
        self._in_flight -= 1
        self._touch(replica.device, node.model)

    # --- what follows from an event ----------------------------------------------------------------------------------

    def _touch(self, device: str, model: str) -> None:
        """Have a device looked at again before this event is over."""
        self._dispatch.touch(device, model)
        self._placement.touch(device)

    def _touch_model(self, model: str) -> None:
        if (replica := self.ledger.get(model)) is not None:
            self._touch(replica.device, model)
        else:
            self._placement.want(model)

    def _expect(self, node: Node) -> None:
        """Let a node that must wait be known to those who look ahead."""
        if node.candidates and self.ledger.get(node.model) is None:
            self._placement.expect(node)

    def _no_demand(self, node: Node) -> None:
        """Count a node's present model as needed once less, which may make a replica of it a victim."""
        self._demand.remove(node)
        replica = self.ledger.get(node.model)
        if replica is not None:
            self._placement.touch(replica.device)

    def _look_out_for(self, model: str) -> None:
        """Go on wanting a model that has just left memory, if any node does."""
        if self.footprints.is_hopeless(model):
            self._requeue(model)
        elif self.queue.waits_for(model):
            self._placement.want(model)
        elif (node := self._demand.next_node(model)) is not None:
            self._placement.expect(node)

    def _gave_way(self, node: Node) -> None:
        """Look again at what was kept for a node that has started, or does not want it any more."""
        if not self.models[node.model].devices:
            self._dispatch.touch(REMOTE, node.model)
        for device in self._placement.devices_kept_for(node):
            self._touch(device, node.model)

    def _start(self, node: Node, replica: Replica) -> None:
        if self._deadlines.refuses(node, self.ledger.speed(replica.device), self._now_s):
            self._leave_queue(node)
            self._give_up(node, "it can no longer be answered before the deadline")
            return
        self.queue.remove(node)
        self._gave_way(node)
        self._places.note_start(node, replica.device)
        node.move("running", self._now_s)
        node.attempt += 1
        node.tries += 1
        node.started_s = self._now_s
        self.ledger.lease(replica, node.key, self._now_s)
        node.reading = self.ledger.read(replica, self._now_s)
        self._placement.credits.note_use(node.model, replica.model.load_s, replica.bytes)
        self._in_flight += 1
        expert = node.candidates[0].expert
        self.shares.charge(node.user, self.estimates.tokens(expert))
        self._commands.append(ev.RunNode(*node.key, expert, replica.model.name, replica.device, node.attempt))

    def _order(self, commands: Iterable[ev.Command]) -> None:
        """Give commands of the placement, which someone has to report back on."""
        for command in commands:
            self._in_flight += isinstance(command, ev.LoadModel | ev.EvictModel)
            self._commands.append(command)

    def _woken(self, _event: ev.Woken) -> None:
        """Take one ordered wake as answered, even if the clock was early: it is ordered again then."""
        self._waking.answered()
        self._placement.retry(self._now_s)
