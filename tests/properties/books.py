"""Books about the scheduler's invariants that are not its own.

They follow from events, commands and the team alone, never from the scheduler's own state. `Broken.invariant`
numbers what was broken:

1. bytes per device, 2. nodes (order, one end each, something under way), 3. evictions, 4. teams that cannot work,
5. bounded overtaking, 6. same events, same commands, 7. cores and slots.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from compllm.core import events as ev
from compllm.core.ledger import Device, Model, place_models
from compllm.core.routing import Assignment, Candidate
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import ModelTooLargeError, SchedulerStalledError

Key = tuple[str, int]
SchedulerFactory = Callable[[Iterable[Model], Iterable[Device], Rules], Scheduler]


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: int, message: str) -> None:
        super().__init__(f"invariant {invariant}: {message}")
        self.invariant = invariant


@dataclass(frozen=True)
class Team:
    """What a world is made of; `trouble` is the share of outcomes that go wrong, `hot` that of nodes for one model."""

    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    rules: Rules
    trouble: float = 0.3
    hot: float = 0.3


@dataclass
class NodeBook:
    """What the world knows of a node; `ready_at` is the number of the event that made it ready."""

    parents: tuple[Key, ...]
    assignment: Assignment
    final: bool
    duration_s: float | None
    state: str = "waiting"
    attempt: int = 0
    ready_at: int = 0
    overtaken: int = 0
    calm: bool = True
    end: str | None = None

    @property
    def models(self) -> list[str]:
        """The models that may serve it."""
        return [candidate.model for candidate in self.assignment.candidates]


@dataclass
class ReplicaBook:
    """What the world knows of a replica; `askers` were ready for it when it was loaded, none if it was a prefetch."""

    device: str
    bytes: int
    askers: frozenset[Key]
    state: str = "loading"
    leases: set[Key] = field(default_factory=set)
    served: bool = False


@dataclass
class RunBook:
    """What the world knows of a run."""

    size: int = 0
    closed: bool = False
    cancelled: bool = False
    finished: bool = False


class Books:
    """Stands between a driver and the scheduler, which it distrusts: whatever is sent is noted and checked."""

    def __init__(self, team: Team, make: SchedulerFactory = Scheduler, *, self_check: bool = True) -> None:
        self.team = team
        self.models = {model.name: model for model in team.models}
        self.homes = place_models_or_none(team)
        self.scheduler = make(team.models, team.devices, team.rules)
        if not can_work(team):
            raise Broken(4, "a team was accepted in which a model can never be resident")
        self.self_check = self_check
        self.now_s = 0.0
        self.story: list[tuple[Sequence[ev.SchedulerEvent], float, list[ev.Command]]] = []
        self.nodes: dict[Key, NodeBook] = {}
        self.runs: dict[str, RunBook] = {}
        self.replicas: dict[str, ReplicaBook] = {
            model.name: ReplicaBook("remote", 0, frozenset(), "resident") for model in team.models if not model.devices
        }
        self.sure_bytes = {model.name: model.footprint_bytes for model in team.models}
        self.supposed_bytes = dict(self.sure_bytes)
        self.troubled: set[str] = set()
        self.wakes: list[float] = []
        self.stale: list[ev.SchedulerEvent] = []
        self.overrun: str | None = None
        self.expected: set[str] = set()  # of the events of this instant

    # --- events in, commands out -------------------------------------------------------------------------------------

    def send(self, event: ev.SchedulerEvent, after_s: float = 0.0) -> list[ev.Command]:
        """Tell the scheduler of an event; see `send_all`."""
        return self.send_all((event,), after_s)

    def send_all(self, events: Sequence[ev.SchedulerEvent], after_s: float = 0.0) -> list[ev.Command]:
        """Tell the scheduler of events of one instant, note what follows, and check everything."""
        self.now_s += after_s
        try:
            commands = self.scheduler.handle_all(events, self.now_s)
        except SchedulerStalledError as error:
            raise Broken(2, f"unfinished work and nothing under way\n{error}") from error
        self.story.append((events, self.now_s, commands))
        self.expected.clear()
        for event in events:
            getattr(self, f"_saw_{event.kind}")(event)
        for command in commands:
            getattr(self, f"_told_{type(command).__name__}")(command)
            self._check_devices()
        self._check_after()
        if self.self_check:
            self.scheduler.check()
        return commands

    def check_determinism(self, make: SchedulerFactory = Scheduler) -> None:
        """Replay all events into a new scheduler and compare its commands."""
        twin = make(self.team.models, self.team.devices, self.team.rules)
        for number, (events, now_s, commands) in enumerate(self.story):
            if twin.handle_all(events, now_s) != commands:
                raise Broken(6, f"event {number} ({events}) led to other commands in a replay")

    # --- the books: events -------------------------------------------------------------------------------------------

    def _saw_run_opened(self, event: ev.RunOpened) -> None:
        self.runs[event.run] = RunBook()

    def _saw_models_expected(self, event: ev.ModelsExpected) -> None:
        self.expected |= set(event.models)

    def _saw_node_added(self, event: ev.NodeAdded) -> None:
        run = self.runs.setdefault(event.run, RunBook())
        run.size += 1
        parents = tuple((event.run, parent) for parent in event.parents)
        book = NodeBook(parents, event.assignment, event.final, event.duration_s)
        self.nodes[event.run, event.node] = book
        self._note_ready(book)

    def _saw_node_routed(self, event: ev.NodeRouted) -> None:
        book = self.nodes[event.run, event.node]
        if book.state == "resolving":
            book.assignment, book.state, book.ready_at = event.assignment, "ready", len(self.story)

    def _saw_plan_closed(self, event: ev.PlanClosed) -> None:
        self.runs.setdefault(event.run, RunBook()).closed = True

    def _saw_node_completed(self, event: ev.NodeCompleted) -> None:
        self._saw_end((event.run, event.node), event.attempt, "completed")

    def _saw_node_cancelled(self, event: ev.NodeCancelled) -> None:
        self._saw_end((event.run, event.node), event.attempt, "cancelled")

    def _saw_node_failed(self, event: ev.NodeFailed) -> None:
        book = self.nodes[event.run, event.node]
        if self._stops((event.run, event.node), event.attempt):
            self._lost_attempt((event.run, event.node), book)

    def _saw_run_cancelled(self, event: ev.RunCancelled) -> None:
        self.runs.setdefault(event.run, RunBook()).cancelled = True
        for key, book in self.nodes.items():
            if key[0] == event.run and book.end is None:
                if book.state == "running":
                    book.state = "to cancel"
                elif book.state not in {"to cancel", "cancelling"}:
                    self._end(key, "cancelled")

    def _saw_model_loaded(self, event: ev.ModelLoaded) -> None:
        replica = self.replicas[event.model]
        replica.state = "resident"
        if (
            event.footprint_bytes > self.sure_bytes[event.model]
        ):  # it, or what a pin leaves no room, may be hopeless now
            self.troubled |= set(self.models) if self.models[event.model].pinned else {event.model}
        self.sure_bytes[event.model] = self.supposed_bytes[event.model] = event.footprint_bytes
        if event.footprint_bytes - replica.bytes > self.free_bytes(replica.device):
            self.overrun = event.model
        else:
            replica.bytes = event.footprint_bytes

    def _saw_model_load_failed(self, event: ev.ModelLoadFailed) -> None:
        replica = self.replicas.pop(event.model)
        self.troubled.add(event.model)
        self.supposed_bytes[event.model] = max(replica.bytes, event.needed_bytes or 0)

    def _saw_model_evicted(self, event: ev.ModelEvicted) -> None:
        del self.replicas[event.model]

    def _saw_model_crashed(self, event: ev.ModelCrashed) -> None:
        if event.model not in self.replicas or self.replicas[event.model].state != "resident":
            return
        self.troubled.add(event.model)
        for key in self.replicas.pop(event.model).leases:
            self._lost_attempt(key, self.nodes[key])

    def _saw_woken(self, event: ev.Woken) -> None:
        """Nothing to note: whoever sent it took it off the list."""

    def _saw_end(self, key: Key, attempt: int, end: str) -> None:
        cancelling = self.nodes[key].state == "cancelling"
        if self._stops(key, attempt):
            self._end(key, "cancelled" if cancelling else end)

    def _stops(self, key: Key, attempt: int) -> bool:
        """Note that an attempt is over; False when it had been over before."""
        book = self.nodes[key]
        if book.state not in {"running", "cancelling"} or book.attempt != attempt:
            return False
        next(replica for replica in self.replicas.values() if key in replica.leases).leases.remove(key)
        return True

    def _lost_attempt(self, key: Key, book: NodeBook) -> None:
        if book.state == "cancelling":
            self._end(key, "cancelled")
        else:
            book.state, book.calm = "ready", False

    def _end(self, key: Key, end: str) -> None:
        book = self.nodes[key]
        if book.end is not None:
            raise Broken(2, f"node {key} ended twice: {book.end}, then {end}")
        book.end, book.state = end, "ended"
        for child in self.nodes.values():
            if key in child.parents:
                self._note_ready(child)

    def _note_ready(self, book: NodeBook) -> None:
        if book.final and book.state == "waiting" and self._parents_ended(book):
            book.state, book.ready_at = "ready", len(self.story)

    def _parents_ended(self, book: NodeBook) -> bool:
        good = {"completed"} if self.team.rules.skip_descendants else {"completed", "failed"}
        return all(self.nodes[parent].end in good for parent in book.parents)

    # --- the books: commands -----------------------------------------------------------------------------------------

    def _told_ResolveNode(self, command: ev.ResolveNode) -> None:
        book = self.nodes[command.run, command.node]
        if book.state != "waiting" or book.final or not self._parents_ended(book):
            raise Broken(2, f"{command} for {book}")
        book.state = "resolving"

    def _told_RunNode(self, command: ev.RunNode) -> None:
        key = (command.run, command.node)
        book, replica = self.nodes[key], self.replicas.get(command.model)
        if book.state != "ready" or not self._parents_ended(book) or command.attempt != book.attempt + 1:
            raise Broken(2, f"{command} for {book}")
        if Candidate(command.expert, command.model) not in book.assignment.candidates:
            raise Broken(2, f"{command} goes to an expert it was not assigned to")
        if replica is None or replica.state != "resident" or replica.device != command.device:
            raise Broken(3, f"{command} on {replica}")
        self._count_overtakes(book, command)
        book.state, book.attempt = "running", command.attempt
        replica.leases.add(key)
        replica.served = True
        if len(replica.leases) > self.models[command.model].slots:
            raise Broken(7, f"{command.model} serves {len(replica.leases)} requests")

    def _told_CancelNode(self, command: ev.CancelNode) -> None:
        book = self.nodes[command.run, command.node]
        if book.state != "to cancel":
            raise Broken(2, f"{command} for {book}")
        book.state = "cancelling"

    def _told_GiveUpNode(self, command: ev.GiveUpNode) -> None:
        key = (command.run, command.node)
        if self.nodes[key].state != "ready":
            raise Broken(2, f"{command} for {self.nodes[key]}")
        self._end(key, "failed")

    def _told_SkipNode(self, command: ev.SkipNode) -> None:
        key, because = (command.run, command.node), (command.run, command.because)
        allowed = self.team.rules.skip_descendants and because in self.nodes[key].parents
        if not allowed or self.nodes[key].state != "waiting" or self.nodes[because].end not in {"failed", "skipped"}:
            raise Broken(2, f"{command} for {self.nodes[key]}")
        self._end(key, "skipped")

    def _told_FinishRun(self, command: ev.FinishRun) -> None:
        run = self.runs[command.run]
        if run.finished or not (run.closed or run.cancelled) or self.open_nodes(command.run):
            raise Broken(2, f"{command} for {run}")
        run.finished = True

    def _told_LoadModel(self, command: ev.LoadModel) -> None:
        wanted = [k for k, book in self.nodes.items() if book.end is None and command.model in book.models]
        ready = [k for k in wanted if self.nodes[k].state == "ready"]
        is_asked_for = any(self.nodes[k].calm and self.nodes[k].models[0] == command.model for k in ready)
        askers = frozenset(ready if is_asked_for and command.model not in self.troubled else ())
        if command.model in self.replicas or not (wanted or command.model in self.expected):
            raise Broken(3, f"{command}, wanted by {len(wanted)} nodes")
        if command.reserved_bytes not in (self.sure_bytes[command.model], self.supposed_bytes[command.model]):
            raise Broken(1, f"{command} is no footprint that was known")
        self.replicas[command.model] = ReplicaBook(command.device, command.reserved_bytes, askers)

    def _told_EvictModel(self, command: ev.EvictModel) -> None:
        replica = self.replicas.get(command.model)
        if replica is None or replica.state != "resident" or replica.device != command.device or replica.leases:
            raise Broken(3, f"{command} of {replica}")
        if self.overrun == command.model:
            self.overrun = None
        elif self.models[command.model].pinned or self.is_owed(command.model):
            raise Broken(3, f"{command} of {replica}, which is pinned or owed")
        replica.state = "evicting"

    def _told_WakeAt(self, command: ev.WakeAt) -> None:
        if command.at_s < self.now_s:
            raise Broken(2, f"{command} is in the past")
        self.wakes.append(command.at_s)

    # --- the invariants ----------------------------------------------------------------------------------------------

    def free_bytes(self, device: str) -> int:
        """Return what no replica holds on a device."""
        held = sum(replica.bytes for replica in self.replicas.values() if replica.device == device)
        return next(d.capacity_bytes for d in self.team.devices if d.name == device) - held

    def is_owed(self, model: str) -> bool:
        """Whether a replica has not yet served anyone although everyone who asked for it is still there."""
        replica = self.replicas[model]
        return (
            bool(replica.askers)
            and not replica.served
            and all(self.nodes[key].state == "ready" for key in replica.askers)
        )

    def in_state(self, *states: str) -> list[Key]:
        """Return the nodes in some states."""
        return [key for key, book in self.nodes.items() if book.state in states]

    def open_nodes(self, run: str) -> list[Key]:
        """Return the nodes of a run that have not ended."""
        return [key for key, book in self.nodes.items() if key[0] == run and book.end is None]

    def _check_devices(self) -> None:
        for device in self.team.devices:
            if self.free_bytes(device.name) < 0:
                raise Broken(1, f"{device.name} is overdrawn by {-self.free_bytes(device.name)} bytes")
            computing = [m for m, r in self.replicas.items() if r.device == device.name and r.leases]
            if sum(self.models[model].threads for model in computing) > device.cores:
                raise Broken(7, f"{computing} compute on the {device.cores} cores of {device.name}")

    def _check_after(self) -> None:
        if self.overrun is not None:
            raise Broken(1, f"{self.overrun} holds more than fits and was not evicted")
        for key, book in self.nodes.items():
            if book.state == "to cancel":
                raise Broken(2, f"node {key} was not told to stop")
            if book.state == "waiting" and self._parents_ended(book) and not self.runs[key[0]].cancelled:
                raise Broken(2, f"node {key} waits for nothing")
        for name, run in self.runs.items():
            if (run.closed or run.cancelled) and not run.finished and not self.open_nodes(name):
                raise Broken(2, f"run {name} was not finished")
        if any(book.end is None for book in self.nodes.values()) and not self.is_busy():
            raise Broken(2, "unfinished work and nothing under way")

    def is_busy(self) -> bool:
        """Whether anything is under way."""
        active = any(book.state in {"running", "cancelling", "resolving"} for book in self.nodes.values())
        return active or bool(self.wakes) or any(r.state in {"loading", "evicting"} for r in self.replicas.values())

    def _count_overtakes(self, started: NodeBook, command: ev.RunNode) -> None:
        """Count the start against an older node that wants the same place, for as long as it is the oldest there."""
        most_devices = max((len(homes) for homes in self.homes.values()), default=1)
        bound = self.team.rules.max_overtakes * max(1, most_devices) + len(self.models)
        ready = [(key, book) for key, book in self.nodes.items() if book.state == "ready"]
        for key, book in ready:
            if not book.calm or self.troubled.intersection(book.models):
                continue
            model = book.models[0]
            if any(k != key and b.ready_at <= book.ready_at and self._may_share(model, b) for k, b in ready):
                book.overtaken = 0
            elif model == command.model or command.device in self.homes[model]:
                book.overtaken += book.ready_at < started.ready_at
            if book.overtaken > bound:
                raise Broken(5, f"node {key} was overtaken {book.overtaken} times; {bound} is the bound")

    def _may_share(self, model: str, book: NodeBook) -> bool:
        """Whether a node may want the place of a model."""
        return any(model == other or self.homes[model] == self.homes[other] != () for other in book.models)


def place_models_or_none(team: Team) -> dict[str, tuple[str, ...]]:
    """Return where models may live; empty for a team that must be refused."""
    try:
        return place_models(team.models, team.devices)
    except ModelTooLargeError:
        return {}


def can_work(team: Team) -> bool:
    """Whether pins can be placed so that every other model fits beside them somewhere; by trying everything."""
    pins = [model for model in team.models if model.pinned and model.devices]
    others = [model for model in team.models if not model.pinned and model.devices]
    cores = {device.name: device.cores for device in team.devices}
    for homes in itertools.product(*(pin.devices for pin in pins)):
        room = {device.name: device.capacity_bytes for device in team.devices}
        for pin, home in zip(pins, homes, strict=True):
            room[home] -= pin.footprint_bytes if pin.threads <= cores[home] else 10**9
        fits = all(any(m.footprint_bytes <= room[d] and m.threads <= cores[d] for d in m.devices) for m in others)
        if fits and min(room.values()) >= 0:
            return True
    return False
