"""Model servers as they are today, with the scheduler's interface: the baselines that residency is measured against.

All of them know requests and not plans. A node is sent, first come first served, as soon as its parents have ended; a
request for a model that is not in memory blocks those behind it until the model can be loaded, and a model with
requests is never evicted. So does Ollama's scheduler (`processPending` in server/sched.go: "Block other requests until
we get this pending request running"; `refCount` guards what is in use). They differ in the order in which idle models
leave (`policies`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from compllm.core import events as ev
from compllm.core.ledger import Device, Ledger, Model, Replica, place_models
from compllm.core.nodes import NodeKey
from compllm.core.routing import Candidate


@dataclass(slots=True)
class Usage:
    """What a server knows of a model in memory.

    `loaded_at`, `used_at`: the number of requests sent by then. `uses`: requests since it was loaded, `uses_ever`:
    since the server began. `age`: the value of the last victim when it was last used.
    """

    model: Model
    bytes: int
    loaded_at: int
    used_at: int = 0
    uses: int = 0
    uses_ever: int = 0
    age: float = 0.0

    @property
    def reload_s_per_byte(self) -> float:
        """What a byte that it holds is worth."""
        return self.model.load_s / max(self.bytes, 1)


Policy: TypeAlias = Callable[[Usage, int], float]
"""From a model's usage and the number of requests sent so far to its value; the least valuable leaves first."""


@dataclass(slots=True, eq=False)
class _Request:
    """A node and what it waits for."""

    key: NodeKey
    candidate: Candidate
    final: bool
    waits_for: set[int]
    children: list[_Request] = field(default_factory=list)
    sent_at: int = 0


@dataclass(slots=True)
class _Run:
    requests: dict[int, _Request] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    closed: bool = False


class Servers:
    """One server per model, and a router in front of them; takes events and gives commands as the scheduler does.

    It is meant for healthy experts: a failure, a crash or a cancellation ends the measurement.

    Args:
        models: what may be loaded.
        devices: where.
        policy: the value of an idle model.
        most_models: how many may be in memory at a time, besides what the bytes allow.

    Raises:
        ModelTooLargeError: a model can never be resident.
    """

    def __init__(
        self, models: Iterable[Model], devices: Iterable[Device], policy: Policy, most_models: int | None = None
    ) -> None:
        models, devices = tuple(models), tuple(devices)
        homes = place_models(models, devices)
        self.models: dict[str, Model] = {m.name: replace(m, devices=homes[m.name]) for m in models}
        self.ledger = Ledger(devices)
        self.sent: list[str] = []
        self._policy = policy
        self.most_models = len(models) if most_models is None else most_models
        self._runs: dict[str, _Run] = {}
        self._pending: deque[_Request] = deque()
        self._queues: dict[str, deque[_Request]] = {name: deque() for name in self.models}
        self._usage: dict[str, Usage] = {}
        self._uses_ever: dict[str, int] = dict.fromkeys(self.models, 0)
        self._age = 0.0
        self._commands: list[ev.Command] = []

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        """Take note of events and return what is to be done now, in order.

        Raises:
            NotImplementedError: something failed or was cancelled.
        """
        for event in events:
            self._take(event, now_s)
        self._send()
        self._start(now_s)
        commands, self._commands = self._commands, []
        return commands

    def _take(self, event: ev.SchedulerEvent, now_s: float) -> None:
        match event:
            case ev.NodeAdded():
                self._node_added(event)
            case ev.NodeRouted(run, node):
                request = self._runs[run].requests[node]
                request.candidate = event.assignment.candidates[0]
                self._pending.append(request)
            case ev.PlanClosed(run):
                self._runs.setdefault(run, _Run()).closed = True
                self._finish(run)
            case ev.NodeCompleted(run, node):
                self._node_completed(self._runs[run].requests[node], now_s)
            case ev.ModelLoaded() | ev.ModelEvicted():
                self._replica_changed(event, now_s)
            case ev.NodeFailed() | ev.NodeCancelled() | ev.RunCancelled() | ev.ModelLoadFailed() | ev.ModelCrashed():
                raise NotImplementedError(event)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _node_added(self, event: ev.NodeAdded) -> None:
        run = self._runs.setdefault(event.run, _Run())
        candidate = event.assignment.candidates[0]
        request = _Request((event.run, event.node), candidate, event.final, set(event.parents) - run.ended)
        run.requests[event.node] = request
        for parent in request.waits_for:
            run.requests[parent].children.append(request)
        if not request.waits_for:
            self._parents_ended(request)

    def _parents_ended(self, request: _Request) -> None:
        if request.final:
            self._pending.append(request)
        else:
            self._commands.append(ev.ResolveNode(*request.key))

    def _node_completed(self, request: _Request, now_s: float) -> None:
        model = request.candidate.model
        replica = self.ledger.get(model)
        assert replica is not None  # noqa: S101 - it holds the lease
        self.ledger.end_lease(replica, request.key, now_s)
        if model in self._usage:
            self._usage[model].used_at = len(self.sent)
        run, node = request.key
        self._runs[run].ended.add(node)
        for child in request.children:
            child.waits_for.remove(node)
            if not child.waits_for:
                self._parents_ended(child)
        self._finish(run)

    def _finish(self, name: str) -> None:
        run = self._runs[name]
        if run.closed and len(run.ended) == len(run.requests):
            del self._runs[name]
            self._commands.append(ev.FinishRun(name))

    # --- replicas ----------------------------------------------------------------------------------------------------

    def _replica_changed(self, event: ev.ModelLoaded | ev.ModelEvicted, now_s: float) -> None:
        replica = self.ledger.get(event.model)
        assert replica is not None  # noqa: S101 - it was loading or evicting
        if isinstance(event, ev.ModelEvicted):
            self.ledger.release(replica, now_s)
        elif not self.ledger.confirm(replica, event.footprint_bytes, now_s):
            raise NotImplementedError(event)

    def _send(self) -> None:
        """Send pending requests to their servers, first come first served, until one has to wait for room."""
        while self._pending and self._is_placed(self._pending[0].candidate.model):
            request = self._pending.popleft()
            name = request.candidate.model
            request.sent_at = len(self.sent)
            self._queues[name].append(request)
            self.sent.append(name)
            self._uses_ever[name] += 1
            if name in self._usage:
                self._note_use(self._usage[name])

    def _note_use(self, usage: Usage) -> None:
        usage.used_at = len(self.sent)
        usage.uses += 1
        usage.uses_ever = self._uses_ever[usage.model.name]
        usage.age = self._age

    def _is_placed(self, name: str) -> bool:
        """Whether the model is in memory or on its way there; if not, begin to make room for it or to load it."""
        model, replica = self.models[name], self.ledger.get(name)
        if replica is not None:
            return replica.state != "evicting"
        if not model.devices:
            self.ledger.add_remote(model)
            return True
        for device in model.devices:
            if self._has_room(model, device):
                self.ledger.reserve(model, device, owed_to=None)
                self._usage[name] = Usage(model, model.footprint_bytes, len(self.sent))
                self._commands.append(ev.LoadModel(name, device, model.footprint_bytes))
                return True
        if not any(replica.state == "evicting" for replica in self.ledger):
            self._make_room(model)
        return False

    def _has_room(self, model: Model, device: str) -> bool:
        return len(self._usage) < self.most_models and model.footprint_bytes <= self.ledger.free_bytes(device)

    def _make_room(self, model: Model) -> None:
        """Evict idle models of the first device where they suffice, the least valuable first."""
        for device in model.devices:
            need_bytes = model.footprint_bytes - self.ledger.free_bytes(device)
            need_places = len(self._usage) + 1 - self.most_models
            victims: list[Replica] = []
            for replica in sorted(self._idle(device), key=self._value):
                if need_bytes <= 0 and need_places <= 0:
                    break
                victims.append(replica)
                need_bytes -= replica.bytes
                need_places -= 1
            if need_bytes <= 0 and need_places <= 0:
                for replica in victims:
                    self._evict(replica)
                return

    def _idle(self, device: str) -> list[Replica]:
        return [r for r in self.ledger.on(device) if r.evictable and not self._queues[r.model.name]]

    def _value(self, replica: Replica) -> tuple[float, str]:
        name = replica.model.name
        return self._policy(self._usage[name], len(self.sent)), name

    def _evict(self, replica: Replica) -> None:
        self._age = self._value(replica)[0]
        del self._usage[replica.model.name]
        self.ledger.begin_eviction(replica)
        self._commands.append(ev.EvictModel(replica.model.name, replica.device))

    def _start(self, now_s: float) -> None:
        """Start what the servers have slots and cores for, in the order in which it was sent."""
        while startable := [
            (queue[0].sent_at, replica)
            for name, queue in self._queues.items()
            if queue and (replica := self.ledger.get(name)) and replica.free_slots and self.ledger.can_compute(replica)
        ]:
            _, replica = min(startable, key=lambda choice: choice[0])
            request = self._queues[replica.model.name].popleft()
            self.ledger.lease(replica, request.key, now_s)
            expert, model = request.candidate.expert, request.candidate.model
            self._commands.append(ev.RunNode(*request.key, expert, model, replica.device, attempt=1))
