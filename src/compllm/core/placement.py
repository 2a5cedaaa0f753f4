"""What is loaded, evicted and prefetched: residency that looks ahead into the open plans."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from compllm.core import events as ev
from compllm.core.demand import Demand
from compllm.core.ledger import REMOTE, Ledger, Model, Replica
from compllm.core.nodes import Node, NodeGraph
from compllm.core.places import Place, Places
from compllm.core.policy import Credits, Victim, choose_victims, priority
from compllm.core.ready import ReadyQueue
from compllm.core.rules import Rules

# Of a place, so many waiting models and devices are looked at after an event: more would cost more than they bring.
_WIDTH = 8


@dataclass(slots=True, eq=False)
class _Waiting:
    """What a place's absent models are wanted for: by ready nodes (urgent first), by later ones (soonest first)."""

    wanted: list[tuple[int, float, int, str]] = field(default_factory=list)
    upcoming: list[tuple[float, str]] = field(default_factory=list)
    roomiest: list[tuple[int, str]] = field(default_factory=list)
    idle: dict[str, None] = field(default_factory=dict)


class Placement:
    """Decides about residency; keeps the ledger's books of what it orders.

    `models` is the scheduler's own, corrected estimates included; `may_load` says whether a model is not resting after
    a failure, and small enough. `rules.hysteresis` times its reload seconds is how long an idle replica is spared that
    another node is about to need; `rules.patience` times its cost is what the waits for a swap must add up to, with
    other work left.
    """

    def __init__(
        self,
        models: dict[str, Model],
        ledger: Ledger,
        graph: NodeGraph,
        queue: ReadyQueue,
        demand: Demand,
        places: Places,
        may_load: Callable[[str], bool],
        rules: Rules,
    ) -> None:
        self._models = models
        self._ledger = ledger
        self._graph = graph
        self._queue = queue
        self._demand = demand
        self._places = places
        self._may_load = may_load
        self._rules = rules
        self._claims: dict[str, str] = {}  # device -> the model that room is being made for
        self._claimed: dict[str, str] = {}  # the other way round
        self._waiting: dict[Place, _Waiting] = {}
        self._affected: dict[Place, dict[str, None]] = {}
        self._now_s = 0.0
        self._commands: list[ev.Command] = []
        self._put_off: list[tuple[float, int, Place]] = []
        self._due_s: dict[Place, float] = {}
        self._puts_off = 0
        self.credits = Credits()

    # --- what has changed --------------------------------------------------------------------------------------------

    def touch(self, device: str) -> None:
        """Note that bytes, cores or replicas of a device have changed."""
        if device not in self._ledger.devices:
            return
        free_bytes = self._ledger.free_bytes(device)
        for place in self._places.on(device, ""):
            self._affected.setdefault(place, {})[device] = None
            if len(place.devices) > _WIDTH:
                heapq.heappush(self._of(place).roomiest, (-free_bytes, device))

    def want(self, model: str) -> None:
        """Note that a ready node waits for an absent model, or waits more urgently."""
        place = self._places.of(model)
        self._affected.setdefault(place, {})
        heapq.heappush(self._of(place).wanted, self._rank(model))

    def expect(self, node: Node) -> None:
        """Note that a node which cannot start yet will need its model."""
        place = self._places.of(node.model)
        self._affected.setdefault(place, {})
        heapq.heappush(self._of(place).upcoming, (node.expected_s, node.model))

    # --- decisions ---------------------------------------------------------------------------------------------------

    def decide(self, now_s: float) -> list[ev.Command]:
        """Load what ready nodes ask for, most urgent first, as far as bytes allow or can be freed; then prefetch."""
        self._now_s = now_s
        affected, self._affected = self._affected, {}
        for place, touched in affected.items():
            self._note_idle(place, touched)
            if not self._place_wanted(place, touched):
                self._prefetch(place, touched)
        commands, self._commands = self._commands, []
        return commands

    def retry(self, now_s: float) -> None:
        """Look again at what was put off until now."""
        while self.next_retry_s() <= now_s:
            place = heapq.heappop(self._put_off)[2]
            del self._due_s[place]
            self._affected.setdefault(place, {})

    def next_retry_s(self) -> float:
        """Return when something that was put off is to be looked at again; infinity for never."""
        heap = self._put_off
        while heap and self._due_s.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def hint(self, model: str, now_s: float) -> list[ev.Command]:
        """Load a model that will probably be needed and may be, if there are bytes that nobody waits for."""
        self._now_s = now_s
        place = self._places.of(model)
        is_due = self._ledger.get(model) is None and self._may_load(model)
        if is_due and not self._next_wanted(self._of(place)):
            self._load_into_free_bytes(self._models[model], self._unclaimed(place, {}), None)
        commands, self._commands = self._commands, []
        return commands

    def evict(self, replica: Replica, *, overrun: bool = False) -> ev.Command:
        """Take a replica out of service and return the command that does it."""
        self._ledger.begin_eviction(replica, overrun=overrun)
        self.credits.note_eviction(replica.model.name)
        return ev.EvictModel(replica.model.name, replica.device)

    def makes_way(self, replica: Replica) -> bool:
        """Whether a replica should take no more nodes, so that it can leave for one that a higher priority waits for.

        O(1) while nothing waits for an absent model at a higher priority, else O(replicas on the device).
        """
        places = self._places.on(replica.device, "") if replica.device != REMOTE else ()
        return any(self._makes_way_at(place, replica) for place in places)

    def devices_kept_for(self, node: Node) -> Iterable[str]:
        """Return the devices that others had to leave to a node: all of its place if it starved, or what it claims."""
        place = self._places.of(node.model)
        if self._is_local(place) and place.has_starved(node):
            return place.devices
        return (self._claimed[node.model],) if node.model in self._claimed else ()

    def first(self, model: str, device: str) -> Node:
        """Return the model's node whose turn it is on a device: its oldest while any node starves there."""
        starves = self._places.starving(device, model) is not None
        return self._queue.oldest(model) if starves else self._queue.urgent(model)

    def _makes_way_at(self, place: Place, replica: Replica) -> bool:
        device, model = replica.device, self._next_wanted(self._of(place))
        if model is None or self._claimed.get(model, device) != device:
            return False
        node = self._queue.urgent(model)
        if self._is_taken(device, node) or not self._yields(replica, node):
            return False
        could_leave_bytes = sum(other.bytes for other in self._ledger.on(device) if self._yields(other, node))
        if not 0 < self._missing_bytes(device, self._models[model]) <= could_leave_bytes:
            return False
        self._affected.setdefault(place, {})[device] = None
        return True

    def _yields(self, replica: Replica, node: Node) -> bool:
        """Whether a replica could be evicted for a node as soon as it is idle, though others of lower priority wait."""
        is_free = replica.state == "resident" and replica.owed_to is None and not replica.model.pinned
        return is_free and self._outranks(node, replica)

    def _outranks(self, node: Node, replica: Replica) -> bool:
        """Whether whoever uses a replica, asked for it or waits for it has a lower priority."""
        keys = [*replica.leases, *([] if replica.owed_to is None else [replica.owed_to])]
        if any(self._graph.node(*key).priority >= node.priority for key in keys):  # type: ignore[misc]
            return False
        name = replica.model.name
        return not self._queue.waits_for(name) or self._queue.urgent(name).priority < node.priority

    def _put_off_until(self, until_s: float, model: str) -> None:
        """Have the model's place looked at again at a time; the earliest of several is enough."""
        place = self._places.of(model)
        if until_s < self._due_s.get(place, math.inf):
            self._puts_off += 1
            self._due_s[place] = until_s
            heapq.heappush(self._put_off, (until_s, self._puts_off, place))

    def _place_wanted(self, place: Place, touched: dict[str, None]) -> bool:
        """Place the most urgent absent models; return whether any still waits."""
        waiting = self._of(place)
        devices = self._devices(place, touched)
        starving = self._places.starving_at(place)
        tried = [starving.model] if starving is not None and self._ledger.get(starving.model) is None else []
        while len(tried) < _WIDTH and (model := self._next_wanted(waiting)) is not None:
            heapq.heappop(waiting.wanted)
            if model not in tried:
                tried.append(model)
        for model in tried:
            self._place(self._models[model], devices)
        left = [model for model in tried if self._ledger.get(model) is None]
        for model in left:
            heapq.heappush(waiting.wanted, self._rank(model))
        return bool(left)

    def _place(self, model: Model, devices: Sequence[str]) -> None:
        """Load a model for a node or make room for it; one that starves may take what others claim or wait for."""
        node = self.first(model.name, devices[0])
        starving = self._places.has_starved(node)
        open_devices = [d for d in devices if self._is_open(d, node, starving=starving)]
        if self._claimed.get(model.name) in open_devices:
            open_devices = [self._claimed[model.name]]
        if not open_devices or self._load_into_free_bytes(model, open_devices, node):
            return
        found = [(d, self._victims(d, model, node, starving=starving)) for d in open_devices]
        possible = [(self._cost_s(victims), n) for n, (_, victims) in enumerate(found) if victims is not None]
        if possible:
            device, victims = found[min(possible)[1]]
            if victims and not starving and not self._is_due(model, device, victims, node):
                return
            self._claim(device, model.name)
            self._commands += [self.evict(replica) for replica in victims or ()]

    def _load_into_free_bytes(self, model: Model, devices: Sequence[str], node: Node | None) -> bool:
        fitting = [d for d in devices if model.footprint_bytes <= self._ledger.free_bytes(d)]
        if not fitting:
            return False
        device = min(fitting, key=lambda d: self._crowding(d, model))
        self._give_claim_up(model.name)
        self._ledger.reserve(model, device, node.key if node is not None else None, self._now_s)
        self._commands.append(ev.LoadModel(model.name, device, model.footprint_bytes))
        return True

    def _crowding(self, device: str, model: Model) -> tuple[bool, float]:
        """Order devices: first those with cores for one more busy model, then the fastest; their order settles ties."""
        busy = sum(
            r.model.threads for r in self._ledger.on(device) if r.state == "loading" or self._demand.of(r.model.name)
        )
        each = self._ledger.devices[device]
        return busy + model.threads > each.cores, -each.speed

    def _claim(self, device: str, model: str) -> None:
        self._give_claim_up(self._claims.get(device, model))
        self._claims[device], self._claimed[model] = model, device

    def _give_claim_up(self, model: str) -> None:
        if model in self._claimed:
            del self._claims[self._claimed.pop(model)]

    def _is_open(self, device: str, node: Node, *, starving: bool) -> bool:
        """Whether a node's model may take bytes of a device: not claimed by another, nor kept for one that starves."""
        model = node.model
        if not starving and self._is_taken(device, node):
            return False
        blocker = self._places.starving(device, model)
        return blocker is None or blocker.model == model or blocker.ready_order > self._queue.oldest(model).ready_order

    def _is_taken(self, device: str, node: Node) -> bool:
        """Whether a device is claimed for others of no lower priority; a claim that holds no longer is given up."""
        claimant = self._claims.get(device, node.model)
        if claimant == node.model:
            return False
        still_waits = self._queue.waits_for(claimant) and self._ledger.get(claimant) is None
        if still_waits and self._queue.urgent(claimant).priority >= node.priority:
            return True
        self._give_claim_up(claimant)
        return False

    def _victims(self, device: str, model: Model, node: Node, *, starving: bool) -> Sequence[Replica] | None:
        """Return what has to go: nothing if enough is going already, None if there is no way."""
        need_bytes = self._missing_bytes(device, model)
        if need_bytes <= 0:
            return ()
        return choose_victims(self._candidates(device, node, starving=starving), need_bytes) or None

    def _missing_bytes(self, device: str, model: Model) -> int:
        """Return what a model lacks on a device once everything has left that is leaving."""
        leaving_bytes = sum(r.bytes for r in self._ledger.on(device) if r.state == "evicting")
        return model.footprint_bytes - self._ledger.free_bytes(device) - leaving_bytes

    def _candidates(self, device: str, node: Node, *, starving: bool) -> Iterator[Victim]:
        for replica in self._ledger.on(device):
            name = replica.model.name
            if not replica.evictable or not (
                starving or self._outranks(node, replica) or not self._queue.waits_for(name)
            ):
                continue
            following, reload_s = self._demand.next_node(name), self._reload_s(name, device)
            if following is not None and not starving and self._is_spared(replica, following, node, reload_s):
                continue
            idle_s = math.inf if following is None else following.expected_s - self._now_s
            yield Victim(replica, idle_s, reload_s, self.credits.of(name))

    def _is_spared(self, replica: Replica, following: Node, node: Node, reload_s: float) -> bool:
        """Whether an idle replica stays for who is about to need it, unless for somebody of a higher priority."""
        if following.priority < node.priority:
            return False
        return following.state == "resolving" or self._is_worth_waiting(node, following, replica, reload_s)

    def _is_worth_waiting(self, node: Node, following: Node, replica: Replica, reload_s: float) -> bool:
        """Whether a node should let another, about to need an idle replica, go first; asks to be woken if so."""
        patience_s = self._rules.hysteresis * reload_s
        until_s = replica.used_at_s + patience_s
        if until_s <= self._now_s or not self._is_imminent(following):
            return False
        if node.planned_s is not None and following.planned_s is not None:
            soon = following.planned_s > node.planned_s
        else:
            soon = following.expected_s - self._now_s < patience_s
        if soon:
            self._put_off_until(until_s, node.model)
        return soon

    def _is_imminent(self, node: Node) -> bool:
        """Whether a node waits only for what is running now."""
        run = self._graph.runs[node.key[0]]
        parents = (run.nodes[parent] for _, parent in node.parents)
        return all(parent.ended or parent.state in {"running", "resolving"} for parent in parents)

    def _is_due(self, model: Model, device: str, victims: Sequence[Replica], node: Node) -> bool:
        """Whether a swap is worth its loads by now; asks to be woken if not.

        While the device has other work, not of a lower priority, and several runs are open, nodes wait for an absent
        model until their waits add up to what the swap costs, so that more of them share it (rent or buy: Karlin et al.
        1988).
        """
        at_work = (r for r in self._ledger.on(device) if r.leases or r.state == "loading")
        others = (r for r in at_work if not (r.leases or r.owed_to) or not self._outranks(node, r))
        if len(self._graph.runs) < 2 or not any(others):
            return True
        cost_s = self._reload_s(model.name, device) + self._cost_s(victims)
        until_s = self._queue.waited_until_s(model.name, self._rules.patience * cost_s)
        if until_s <= self._now_s:
            return True
        self._put_off_until(until_s, model.name)
        return False

    def _cost_s(self, victims: Sequence[Replica] | None) -> float:
        """Return the reload seconds that an eviction will bring about, as far as the open plans tell."""
        return sum(self._reload_s(r.model.name, r.device) for r in victims or () if self._demand.of(r.model.name))

    def _reload_s(self, model: str, device: str) -> float:
        return self._models[model].load_s / self._ledger.speed(device)

    def _prefetch(self, place: Place, touched: dict[str, None]) -> None:
        """Load what later nodes will need into bytes that are free and nobody's, the soonest first."""
        if not self._is_local(place):
            return
        waiting = self._of(place)
        devices = self._unclaimed(place, touched)
        passed: list[tuple[float, str]] = []
        while devices and len(passed) < _WIDTH and (entry := self._next_upcoming(waiting)) is not None:
            heapq.heappop(waiting.upcoming)
            if not self._load_into_free_bytes(self._models[entry[1]], devices, None):
                passed.append(entry)
        for entry in passed:
            heapq.heappush(waiting.upcoming, entry)

    # --- what to look at ---------------------------------------------------------------------------------------------

    def _is_local(self, place: Place) -> bool:
        return place.devices[0] in self._ledger.devices

    def _of(self, place: Place) -> _Waiting:
        if place not in self._waiting:
            self._waiting[place] = _Waiting(roomiest=[(-self._ledger.free_bytes(d), d) for d in self._big(place)])
            heapq.heapify(self._waiting[place].roomiest)
        return self._waiting[place]

    def _big(self, place: Place) -> Iterable[str]:
        return place.devices if len(place.devices) > _WIDTH and self._is_local(place) else ()

    def _devices(self, place: Place, touched: Iterable[str]) -> list[str]:
        """Return the devices to look at: all of a few; of many those that changed, some idle ones, the roomiest."""
        if len(place.devices) <= _WIDTH:
            return list(place.devices)
        waiting = self._of(place)
        some = dict.fromkeys(list(touched)[:_WIDTH])
        some.update(dict.fromkeys(list(waiting.idle)[: _WIDTH // 2]))
        while waiting.roomiest:
            negative_free, device = waiting.roomiest[0]
            free_bytes = self._ledger.free_bytes(device)
            if free_bytes == -negative_free:
                some[device] = None
                break
            heapq.heapreplace(waiting.roomiest, (-free_bytes, device))
        return list(some)

    def _unclaimed(self, place: Place, touched: Iterable[str]) -> list[str]:
        return [device for device in self._devices(place, touched) if device not in self._claims]

    def _note_idle(self, place: Place, touched: Iterable[str]) -> None:
        if len(place.devices) <= _WIDTH:
            return
        idle = self._of(place).idle
        for device in touched:
            idle.pop(device, None)
            if any(r.evictable and not self._queue.waits_for(r.model.name) for r in self._ledger.on(device)):
                idle[device] = None

    def _rank(self, model: str) -> tuple[int, float, int, str]:
        node = self._queue.urgent(model)
        urgency_s = priority(node.urgency_s, self._models[model].load_s)
        return -node.priority, -urgency_s, node.ready_order, model

    def _next_wanted(self, waiting: _Waiting) -> str | None:
        """Return the absent model that the most urgent ready node waits for."""
        heap = waiting.wanted
        while heap:
            model = heap[0][3]
            if self._ledger.get(model) is not None or not self._queue.waits_for(model):
                heapq.heappop(heap)
            elif (rank := self._rank(model)) != heap[0]:
                heapq.heapreplace(heap, rank)
            else:
                return model
        return None

    def _next_upcoming(self, waiting: _Waiting) -> tuple[float, str] | None:
        """Return the absent model that a waiting node is expected to need first."""
        heap = waiting.upcoming
        while heap:
            expected_s, model = heap[0]
            absent = self._ledger.get(model) is None and self._may_load(model)
            if absent and self._demand.next_use_s(model) == expected_s:
                return heap[0]
            heapq.heappop(heap)
        return None
