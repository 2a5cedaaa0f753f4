"""What came of a simulation: every attempt at a node, every stay of a model in memory, every run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from compllm.core.ledger import Device, Model

AttemptEnd = Literal["completed", "failed", "cancelled", "lost"]
StayEnd = Literal["evicted", "crashed", "failed", "kept"]
RunEnd = Literal["answered", "gaps", "failed", "late", "cancelled", "refused"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a node; "lost" says that the replica died under it."""

    run: str
    node: int
    expert: str
    model: str
    device: str
    number: int
    started_s: float
    ended_s: float
    end: AttemptEnd


@dataclass(frozen=True, slots=True)
class Stay:
    """A model's time in the memory of a device.

    `reserved_bytes` count from `asked_s`, `held_bytes` from `loaded_s` (None when the load never ended) to `left_s`.
    `busy_s` is the time with at least one request in flight. "kept": it was still there at the end.
    """

    model: str
    device: str
    reserved_bytes: int
    held_bytes: int
    asked_s: float
    loaded_s: float | None
    left_s: float
    busy_s: float
    end: StayEnd


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run's end; `completed` of its `nodes` have an answer.

    "late": cancelled because its deadline passed; "cancelled": its caller left; "refused": it was never accepted.
    """

    id: str
    user: str
    arrived_s: float
    ended_s: float
    nodes: int
    completed: int
    critical_path_s: float
    end: RunEnd

    @property
    def latency_s(self) -> float:
        """Seconds from its arrival to its end."""
        return self.ended_s - self.arrived_s


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Everything that happened, in order of its end; `events` is how many the scheduler was told of."""

    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    runs: tuple[FinishedRun, ...]
    attempts: tuple[Attempt, ...]
    stays: tuple[Stay, ...]
    ended_s: float
    events: int

    def memory(self, device: str) -> list[tuple[float, int]]:
        """Return the bytes held on a device as steps: each value holds from its time on; O(stays log stays)."""
        return memory_steps(stay for stay in self.stays if stay.device == device)


def memory_steps(stays: Iterable[Stay]) -> list[tuple[float, int]]:
    """Return the bytes that stays hold together as steps: each value holds from its time on; O(n log n)."""
    change_bytes: defaultdict[float, int] = defaultdict(int)
    for stay in stays:
        for at_s, more_bytes in _changes(stay):
            change_bytes[at_s] += more_bytes
    times_s = sorted(change_bytes)
    return list(zip(times_s, itertools.accumulate(change_bytes[at_s] for at_s in times_s), strict=True))


def _changes(stay: Stay) -> Iterator[tuple[float, int]]:
    yield stay.asked_s, stay.reserved_bytes
    if stay.loaded_s is not None:
        yield stay.loaded_s, stay.held_bytes - stay.reserved_bytes
    if stay.end != "kept":
        yield stay.left_s, -(stay.reserved_bytes if stay.loaded_s is None else stay.held_bytes)
