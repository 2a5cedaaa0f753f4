"""The simulated devices: they hold replicas, load and evict them, and serve requests at rates that follow the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.ledger import REMOTE, Device, Model
from compllm.core.simulation.agenda import Agenda
from compllm.core.simulation.result import Attempt, AttemptEnd, Stay, StayEnd
from compllm.core.simulation.sharing import SharedServer
from compllm.core.simulation.truth import Luck, Outcome, Truth
from compllm.errors import InvalidTransition

# As the executor does: running out of memory tells that the footprint was too small, not by how much.
_OOM_GROWTH = 1.25
_TTFT_SHARE = 0.1

NodeKey: TypeAlias = tuple[str, int]


@dataclass(slots=True, eq=False)
class _Request:
    command: ev.RunNode
    outcome: Outcome
    replica: _Replica
    started_s: float


@dataclass(slots=True, eq=False)
class _Replica:
    model: Model
    place: _Place
    number: int
    outcome: Outcome
    reserved_bytes: int
    held_bytes: int
    asked_s: float
    loaded_s: float | None = None
    evicting: bool = False
    requests: SharedServer[_Request] = field(default_factory=SharedServer)
    busy_s: float = 0.0
    busy_since_s: float = 0.0

    @property
    def serves(self) -> bool:
        return self.loaded_s is not None and not self.evicting


@dataclass(slots=True, eq=False)
class _Place:
    """A device: the bytes held there, the replicas that are loading, and those that compute."""

    name: str
    capacity_bytes: int
    speed: float = 1.0
    held_bytes: int = 0
    loading: SharedServer[_Replica] = field(default_factory=SharedServer)
    computing: dict[_Replica, None] = field(default_factory=dict)


class Machines:
    """Performs the commands that concern models and running nodes, and reports what came of them.

    What no machine could do (more bytes than there are, a request to a replica that is not there or has no free slot,
    the eviction of one that serves) raises `InvalidTransition`: whoever commanded it has a bug. Cores are not checked:
    how replicas that compute at the same time slow each other down is part of the truth.
    """

    def __init__(
        self,
        models: Iterable[Model],
        devices: Iterable[Device],
        truth: Truth,
        luck: Luck,
        agenda: Agenda,
        report: Callable[[ev.SchedulerEvent], None],
    ) -> None:
        self.attempts: list[Attempt] = []
        self.stays: list[Stay] = []
        self._models = {model.name: model for model in models}
        self._places = {device.name: _Place(device.name, device.capacity_bytes, device.speed) for device in devices}
        self._truth, self._luck, self._agenda, self._report = truth, luck, agenda, report
        self._loads: Counter[str] = Counter()
        self._running: dict[NodeKey, _Request] = {}
        remote = _Place(REMOTE, 0)
        self._replicas = {
            model.name: _Replica(model, remote, 0, Outcome(0.0), 0, 0, 0.0, loaded_s=0.0)
            for model in self._models.values()
            if not model.devices
        }

    # --- replicas ----------------------------------------------------------------------------------------------------

    def load(self, command: ev.LoadModel) -> None:
        """Begin a load; its bytes count from now on."""
        model, place = self._models[command.model], self._places[command.device]
        reserved_bytes = command.reserved_bytes
        if model.name in self._replicas or reserved_bytes > place.capacity_bytes - place.held_bytes:
            raise InvalidTransition(f"{command}: it is there already, or its {reserved_bytes} bytes are not free")
        self._loads[model.name] += 1
        number, now_s = self._loads[model.name], self._agenda.now_s
        outcome = self._luck.load(model, number)
        replica = _Replica(model, place, number, outcome, reserved_bytes, reserved_bytes, now_s)
        self._replicas[model.name] = replica
        place.held_bytes += reserved_bytes
        place.loading.add(replica, outcome.work_s, now_s)
        self._pace_loads(place)

    def _pace_loads(self, place: _Place) -> None:
        place.loading.set_rate(place.speed * self._truth.load_rate(len(place.loading)), self._agenda.now_s)
        self._agenda.follow(place.loading, self._end_load)

    def _end_load(self, replica: _Replica) -> None:
        place, real_bytes = replica.place, self._luck.footprint_bytes(replica.model)
        self._pace_loads(place)
        if replica.outcome.failed:
            self._fail_load(replica, "the load failed", retryable=replica.outcome.retryable)
        elif place.held_bytes + real_bytes - replica.reserved_bytes > place.capacity_bytes:
            needed_bytes = int(replica.reserved_bytes * _OOM_GROWTH)
            self._fail_load(replica, "out of memory", retryable=True, needed_bytes=needed_bytes)
        else:
            self._settle(replica, real_bytes)

    def _fail_load(self, replica: _Replica, reason: str, *, retryable: bool, needed_bytes: int | None = None) -> None:
        self._leave(replica, "failed")
        name, device = replica.model.name, replica.place.name
        self._report(ev.ModelLoadFailed(name, device, reason, retryable, needed_bytes))

    def _settle(self, replica: _Replica, real_bytes: int) -> None:
        now_s, name = self._agenda.now_s, replica.model.name
        replica.place.held_bytes += real_bytes - replica.held_bytes
        replica.held_bytes = real_bytes
        replica.loaded_s = now_s
        self._agenda.at(now_s + self._luck.life_s(name, replica.number), partial(self._crash, replica))
        self._report(ev.ModelLoaded(name, replica.place.name, real_bytes, now_s - replica.asked_s))

    def evict(self, command: ev.EvictModel) -> None:
        """Begin an eviction; its bytes count until its end."""
        replica = self._replicas.get(command.model)
        if replica is None or not replica.serves or replica.requests:
            raise InvalidTransition(f"{command}: it is not resident, or serves requests")
        replica.evicting = True
        self._agenda.at(self._agenda.now_s + self._truth.evict_s, partial(self._end_eviction, replica))

    def _end_eviction(self, replica: _Replica) -> None:
        self._leave(replica, "evicted")
        self._report(ev.ModelEvicted(replica.model.name, replica.place.name))

    def _crash(self, replica: _Replica) -> None:
        if self._replicas.get(replica.model.name) is not replica or replica.evicting:
            return
        for request in [each for each in self._running.values() if each.replica is replica]:
            self._stop(request, "lost")
        self._leave(replica, "crashed")
        self._report(ev.ModelCrashed(replica.model.name, replica.place.name, "the worker died"))

    def _leave(self, replica: _Replica, end: StayEnd) -> None:
        del self._replicas[replica.model.name]
        replica.place.held_bytes -= replica.held_bytes
        self.stays.append(self._stay(replica, end))

    def _stay(self, replica: _Replica, end: StayEnd) -> Stay:
        return Stay(
            replica.model.name,
            replica.place.name,
            replica.reserved_bytes,
            replica.held_bytes,
            replica.asked_s,
            replica.loaded_s,
            self._agenda.now_s,
            replica.busy_s,
            end,
        )

    def close(self) -> None:
        """Note the replicas that are still there."""
        for replica in self._replicas.values():
            self._note_busy(replica)
            self.stays.append(self._stay(replica, "kept"))

    # --- requests ----------------------------------------------------------------------------------------------------

    def run(self, command: ev.RunNode, duration_s: float) -> None:
        """Begin an attempt at a node that takes `duration_s` alone on a device of speed 1."""
        replica = self._replicas.get(command.model)
        if replica is None or not replica.serves or replica.place.name != command.device:
            raise InvalidTransition(f"{command}: the model is not resident there")
        if len(replica.requests) >= replica.model.slots:
            raise InvalidTransition(f"{command}: all {replica.model.slots} slots are taken")
        now_s = self._agenda.now_s
        outcome = self._luck.attempt(command.run, command.node, command.attempt, duration_s)
        request = self._running[command.run, command.node] = _Request(command, outcome, replica, now_s)
        replica.requests.add(request, outcome.work_s, now_s)
        if len(replica.requests) == 1:
            replica.busy_since_s = now_s
            replica.place.computing[replica] = None
            self._pace_others(replica)
        self._pace(replica)

    def cancel(self, command: ev.CancelNode) -> None:
        """Stop an attempt at once."""
        request = self._running[command.run, command.node]
        self._stop(request, "cancelled")
        news = ev.NodeCancelled(command.run, command.node, request.command.attempt)
        self._agenda.at(self._agenda.now_s, partial(self._report, news))

    def _stop(self, request: _Request, end: AttemptEnd) -> None:
        request.replica.requests.remove(request, self._agenda.now_s)
        self._ended(request, end)

    def _end_request(self, request: _Request) -> None:
        command, outcome = request.command, request.outcome
        self._ended(request, "failed" if outcome.failed else "completed")
        if outcome.failed:
            reason, retryable = "the expert failed", outcome.retryable
            self._report(ev.NodeFailed(command.run, command.node, reason, retryable, command.attempt))
        else:
            self._report(ev.NodeCompleted(command.run, command.node, self._answer(request), command.attempt))

    def _answer(self, request: _Request) -> SubAnswer:
        elapsed_s = self._agenda.now_s - request.started_s
        tokens = max(1, round(request.outcome.work_s * self._truth.tokens_per_s))
        return SubAnswer(
            "",
            request.command.expert,
            request.command.model,
            prompt_tokens=tokens,
            completion_tokens=tokens,
            ttft_s=elapsed_s * _TTFT_SHARE,
            elapsed_s=elapsed_s,
        )

    def _ended(self, request: _Request, end: AttemptEnd) -> None:
        command, replica, now_s = request.command, request.replica, self._agenda.now_s
        del self._running[command.run, command.node]
        self.attempts.append(
            Attempt(
                command.run,
                command.node,
                command.expert,
                command.model,
                command.device,
                command.attempt,
                request.started_s,
                now_s,
                end,
            )
        )
        if not replica.requests:
            replica.busy_s += now_s - replica.busy_since_s
            del replica.place.computing[replica]
            self._pace_others(replica)
        self._pace(replica)

    def _note_busy(self, replica: _Replica) -> None:
        if replica.requests:
            replica.busy_s += self._agenda.now_s - replica.busy_since_s

    def _pace_others(self, replica: _Replica) -> None:
        """Let the other replicas feel that this one has begun or ended computing; O(computing log requests)."""
        if replica.place.name in self._truth.co_run:
            for other in replica.place.computing:
                if other is not replica:
                    self._pace(other)

    def _pace(self, replica: _Replica) -> None:
        place = replica.place
        rate = place.speed * self._truth.request_rate(replica.model, len(replica.requests))
        rate *= self._truth.replica_rate(place.name, len(place.computing))
        replica.requests.set_rate(rate, self._agenda.now_s)
        self._agenda.follow(replica.requests, self._end_request)
