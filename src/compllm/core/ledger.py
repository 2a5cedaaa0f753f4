"""The memory and compute ledger: what every device holds and which replicas compute right now.

A replica is `loading`, `resident` or `evicting`; in each of these its bytes count. A replica with at least one lease
computes and holds its threads. The ledger refuses what would overdraw a device, so that whoever forgets to ask first
fails at once and not by running out of memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from compllm.errors import InvalidTransition, ModelTooLargeError

ReplicaState = Literal["loading", "resident", "evicting"]
REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Device:
    """What has memory: `capacity_bytes` for replicas and `cores` to run them with.

    `speed` compares devices of one team: loads and answers take their seconds divided by it.
    """

    name: str
    capacity_bytes: int
    cores: int = 1
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """A residency unit: what is loaded and evicted as a whole.

    `devices` are where it may live, best first; none means that it is not on our devices (a hosted endpoint), so that
    it is always resident and costs no bytes. `slots` is how many requests a replica serves at once, `threads` how many
    of its device's cores it counts for while it serves any. `load_s` holds for a device of speed 1. `curve[k - 1]` is
    what k requests at a time get done, relative to one; beyond its end nothing is known and every slot counts as one.
    """

    name: str
    footprint_bytes: int = 0
    slots: int = 1
    threads: int = 1
    devices: tuple[str, ...] = ()
    pinned: bool = False
    load_s: float = 1.0
    curve: tuple[float, ...] = ()


@dataclass(slots=True)
class Replica:
    """A model on a device; `owed_to` is the node that asked for it and has not started yet.

    `slot_s` is the sum of all leases' seconds up to `counted_at_s`: of two readings, the difference over the time
    between is how many requests it served at once.
    """

    model: Model
    device: str
    bytes: int
    state: ReplicaState
    leases: set[Hashable] = field(default_factory=set)
    owed_to: Hashable | None = None
    used_at_s: float = 0.0
    slot_s: float = 0.0
    counted_at_s: float = 0.0

    def count_slots(self, now_s: float) -> float:
        """Bring `slot_s` up to date and return it."""
        self.slot_s += len(self.leases) * (now_s - self.counted_at_s)
        self.counted_at_s = now_s
        return self.slot_s

    @property
    def free_slots(self) -> int:
        """Requests that may still be sent to it."""
        return self.model.slots - len(self.leases) if self.state == "resident" else 0

    @property
    def evictable(self) -> bool:
        """Whether nobody uses it, asked for it, or pinned it."""
        idle = self.state == "resident" and not self.leases and self.owed_to is None
        return idle and not self.model.pinned and self.device != REMOTE


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been counted at a time: the leases' seconds of a replica, and the computing replicas' of its device."""

    at_s: float = 0.0
    slot_s: float = 0.0
    computing_s: float = 0.0


class Ledger:
    """Keeps the books of all devices; every change either holds the limits or raises."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self.devices: Mapping[str, Device] = {device.name: device for device in devices}
        self._replicas: dict[str, Replica] = {}
        self._on: dict[str, dict[str, Replica]] = {name: {} for name in (*self.devices, REMOTE)}
        self._held_bytes: dict[str, int] = dict.fromkeys(self._on, 0)
        self._busy_cores: dict[str, int] = dict.fromkeys(self._on, 0)
        self._computing: dict[str, int] = dict.fromkeys(self._on, 0)
        self._computing_s: dict[str, tuple[float, float]] = dict.fromkeys(self._on, (0.0, 0.0))

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas.values())

    def get(self, model: str) -> Replica | None:
        """Return the replica of a model in whatever state, or None."""
        return self._replicas.get(model)

    def expect(self, model: str) -> Replica:
        """Return the replica of a model in whatever state.

        Raises:
            InvalidTransition: it has none.
        """
        replica = self._replicas.get(model)
        if replica is None:
            raise InvalidTransition(f"{model} has no replica")
        return replica

    def on(self, device: str) -> Iterable[Replica]:
        """Return all replicas on a device."""
        return self._on[device].values()

    def speed(self, device: str) -> float:
        """Return what seconds are divided by on a device; 1 on the remote one."""
        return self.devices[device].speed if device != REMOTE else 1.0

    def free_bytes(self, device: str) -> int:
        """Capacity less everything that is loading, resident or evicting."""
        return self.devices[device].capacity_bytes - self._held_bytes[device]

    def free_cores(self, device: str) -> int:
        """Cores that no computing replica holds."""
        return self.devices[device].cores - self._busy_cores[device]

    def can_compute(self, replica: Replica) -> bool:
        """Whether one more request on the replica keeps the device within its cores."""
        if replica.device == REMOTE or replica.leases:
            return True
        return replica.model.threads <= self.free_cores(replica.device)

    def read(self, replica: Replica, now_s: float) -> Reading:
        """Return what was counted of a replica and its device."""
        return Reading(now_s, replica.count_slots(now_s), self._count_computing(replica.device, now_s))

    def _count_computing(self, device: str, now_s: float) -> float:
        """Return the sum of the seconds in which replicas of the device computed, each counted for itself."""
        sum_s, at_s = self._computing_s[device]
        sum_s += self._computing[device] * (now_s - at_s)
        self._computing_s[device] = (sum_s, now_s)
        return sum_s

    def add_remote(self, model: Model) -> None:
        """Enter a model that is always there and holds nothing of ours."""
        self._enter(Replica(model, REMOTE, 0, "resident"))

    def reserve(self, model: Model, device: str, owed_to: Hashable | None, now_s: float = 0.0) -> Replica:
        """Set bytes aside for a load that is about to begin; a prefetch is owed to nobody.

        Raises:
            InvalidTransition: the bytes are not free or the model is there already.
        """
        if model.footprint_bytes > self.free_bytes(device):
            free = self.free_bytes(device)
            raise InvalidTransition(f"{model.name} needs {model.footprint_bytes} of {free} bytes free on {device}")
        replica = Replica(model, device, model.footprint_bytes, "loading", owed_to=owed_to, used_at_s=now_s)
        self._enter(replica)
        self._held_bytes[device] += replica.bytes
        return replica

    def confirm(self, replica: Replica, measured_bytes: int, now_s: float) -> bool:
        """Make a loading replica resident; False when it holds more than fits (it must be evicted at once)."""
        self._expect(replica, "loading")
        replica.used_at_s = now_s
        replica.state = "resident"
        if measured_bytes - replica.bytes > self.free_bytes(replica.device):
            return False
        self._held_bytes[replica.device] += measured_bytes - replica.bytes
        replica.bytes = measured_bytes
        return True

    def begin_eviction(self, replica: Replica, *, overrun: bool = False) -> None:
        """Take a replica out of service; its bytes count until `release`.

        `overrun`: it holds more than fits, so it must go whoever asked for it.

        Raises:
            InvalidTransition: it is leased, owed to a node, or pinned.
        """
        self._expect(replica, "resident")
        if overrun:
            replica.owed_to = None
        elif not replica.evictable:
            raise InvalidTransition(f"{replica.model.name} is evicted while it is leased, owed or pinned")
        replica.state = "evicting"

    def release(self, replica: Replica, now_s: float) -> None:
        """Forget a replica whose memory is free again, with whatever leases it had."""
        if replica.leases:
            self._stop_computing(replica, now_s)
        self._held_bytes[replica.device] -= replica.bytes
        del self._replicas[replica.model.name], self._on[replica.device][replica.model.name]

    def lease(self, replica: Replica, holder: Hashable, now_s: float) -> None:
        """Give a slot of the replica to a node; the first lease takes the cores.

        Raises:
            InvalidTransition: no slot or not enough cores are free.
        """
        if replica.free_slots < 1 or not self.can_compute(replica):
            raise InvalidTransition(f"{replica.model.name} has no free slot or core for {holder}")
        if not replica.leases:
            self._count_computing(replica.device, now_s)
            self._busy_cores[replica.device] += replica.model.threads
            self._computing[replica.device] += 1
        replica.count_slots(now_s)
        replica.leases.add(holder)
        if replica.owed_to == holder:
            replica.owed_to = None

    def end_lease(self, replica: Replica, holder: Hashable, now_s: float) -> None:
        """Take a slot back; the last lease frees the cores."""
        replica.count_slots(now_s)
        replica.leases.remove(holder)
        replica.used_at_s = now_s
        if not replica.leases:
            self._stop_computing(replica, now_s)

    def check(self) -> None:
        """Assert that the books agree with the replicas and that no device is overdrawn; O(replicas)."""
        for name, device in self.devices.items():
            held = sum(replica.bytes for replica in self.on(name))
            busy = sum(replica.model.threads for replica in self.on(name) if replica.leases)
            if not (held == self._held_bytes[name] <= device.capacity_bytes):
                raise InvalidTransition(f"{name} holds {held} bytes of {device.capacity_bytes}")
            if not (busy == self._busy_cores[name] <= device.cores):
                raise InvalidTransition(f"{name} computes with {busy} threads on {device.cores} cores")
        for replica in self:
            if len(replica.leases) > (replica.model.slots if replica.state == "resident" else 0):
                raise InvalidTransition(f"{replica.model.name} ({replica.state}) serves {len(replica.leases)} requests")

    def _stop_computing(self, replica: Replica, now_s: float) -> None:
        self._count_computing(replica.device, now_s)
        self._busy_cores[replica.device] -= replica.model.threads
        self._computing[replica.device] -= 1

    def _enter(self, replica: Replica) -> None:
        if replica.model.name in self._replicas:
            raise InvalidTransition(f"{replica.model.name} is loaded twice")
        self._replicas[replica.model.name] = replica
        self._on[replica.device][replica.model.name] = replica

    def _expect(self, replica: Replica, state: ReplicaState) -> None:
        if replica.state != state:
            raise InvalidTransition(f"{replica.model.name} is {replica.state}, not {state}")


def place_models(models: Iterable[Model], devices: Iterable[Device]) -> dict[str, tuple[str, ...]]:
    """Return on which devices each model may live, so that every model can be resident at some time.

    Pinned models get one home each (largest first, on their first device with room); every other model must fit beside
    the pins of at least one of its devices.

    Raises:
        ModelTooLargeError: a model fits no device of its own, or the pins leave no room for it.
    """
    capacity = {device.name: device.capacity_bytes for device in devices}
    cores = {device.name: device.cores for device in devices}
    room = dict(capacity)
    placed: dict[str, tuple[str, ...]] = {}
    for model in sorted(models, key=lambda m: (not m.pinned, -m.footprint_bytes, m.name)):
        if not model.devices:
            placed[model.name] = ()
            continue
        fitting = tuple(
            name for name in model.devices if model.footprint_bytes <= room[name] and model.threads <= cores[name]
        )
        if not fitting:
            raise _too_large(model, capacity, room)
        placed[model.name] = fitting[:1] if model.pinned else fitting
        if model.pinned:
            room[fitting[0]] -= model.footprint_bytes
    return placed


def _too_large(model: Model, capacity: Mapping[str, int], room: Mapping[str, int]) -> ModelTooLargeError:
    largest = max(model.devices, key=lambda name: capacity[name])
    pinned = capacity[largest] - room[largest]
    beside = f", of which pinned models hold {_mib(pinned)}" if pinned else ""
    return ModelTooLargeError(
        f"model {model.name!r} needs {_mib(model.footprint_bytes)} and {model.threads} threads, but device {largest!r} "
        f"has {_mib(capacity[largest])}{beside}; raise the device's capacity, unpin a model, or give the model fewer "
        "slots or a shorter context",
        need_bytes=model.footprint_bytes,
        capacity_bytes=capacity[largest],
    )


def _mib(count_bytes: int) -> str:
    return f"{count_bytes / 2**20:,.0f} MiB"
