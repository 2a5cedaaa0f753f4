"""What a simulation comes to in figures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compllm.core.ledger import REMOTE, Device, Model
from compllm.core.simulation.result import Attempt, FinishedRun, SimulationResult, Stay, memory_steps


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a run's arrival to its answer, over the runs that got one; not a number when none did."""

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """How much of a device was in use, as shares of the makespan: its bytes and its cores; and the most bytes held."""

    capacity_bytes: int
    peak_bytes: int
    memory_share: float
    core_share: float


@dataclass(frozen=True, slots=True)
class UserShare:
    """What one user got; `slowdown` is the mean of latency over critical path of the answered runs."""

    runs: int
    answered: int
    latency: Latency
    slowdown: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A simulation in figures.

    `throughput_per_s` counts runs with an answer over the makespan, which lasts from the first arrival to the last end.
    `loads` are those begun, `load_s` their seconds together; `swaps` are evictions. `slot_share` is the share of the
    slots of resident replicas that were in use. `fairness` is Jain's index over the users' slowdowns: 1 when all are
    the same, 1/n when one of n users waits and nobody else does (Jain, Chiu and Hawe 1984).
    """

    runs: int
    ends: Mapping[str, int]
    nodes: int
    throughput_per_s: float
    latency: Latency
    makespan_s: float
    loads: int
    load_s: float
    loaded_bytes: int
    swaps: int
    failed_loads: int
    crashes: int
    failed_attempts: int
    slot_share: float
    devices: Mapping[str, DeviceUse]
    users: Mapping[str, UserShare]
    fairness: float
    events: int


def summarise(result: SimulationResult) -> Summary:
    """Return the figures of a simulation; O(n log n) in runs, attempts and stays."""
    stays = [stay for stay in result.stays if stay.device != REMOTE]
    stay_ends = Counter(stay.end for stay in stays)
    answered = _answered(result.runs)
    makespan_s = result.ended_s - min((run.arrived_s for run in result.runs), default=result.ended_s)
    users = _users(result.runs)
    return Summary(
        runs=len(result.runs),
        ends=dict(Counter(run.end for run in result.runs)),
        nodes=sum(run.nodes for run in result.runs),
        throughput_per_s=_ratio(len(answered), makespan_s),
        latency=_latency(answered),
        makespan_s=makespan_s,
        loads=len(stays),
        load_s=sum((stay.left_s if stay.loaded_s is None else stay.loaded_s) - stay.asked_s for stay in stays),
        loaded_bytes=sum(stay.held_bytes for stay in stays),
        swaps=stay_ends["evicted"],
        failed_loads=stay_ends["failed"],
        crashes=stay_ends["crashed"],
        failed_attempts=sum(attempt.end in {"failed", "lost"} for attempt in result.attempts),
        slot_share=_slot_share(result.models, stays, result.attempts),
        devices=_device_uses(result.devices, result.models, stays, makespan_s),
        users=users,
        fairness=_jain([user.slowdown for user in users.values() if not math.isnan(user.slowdown)]),
        events=result.events,
    )


def _answered(runs: Iterable[FinishedRun]) -> list[FinishedRun]:
    return [run for run in runs if run.end in {"answered", "gaps"}]


def _latency(runs: Sequence[FinishedRun]) -> Latency:
    ordered_s = sorted(run.latency_s for run in runs)
    mean_s = _ratio(sum(ordered_s), len(ordered_s))
    return Latency(mean_s, *(quantile(ordered_s, share) for share in (0.5, 0.95, 0.99)))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _users(runs: Iterable[FinishedRun]) -> dict[str, UserShare]:
    by_user: defaultdict[str, list[FinishedRun]] = defaultdict(list)
    for run in runs:
        by_user[run.user].append(run)
    return {user: _user(by_user[user]) for user in sorted(by_user)}


def _user(runs: Sequence[FinishedRun]) -> UserShare:
    answered = _answered(runs)
    slowdowns = [run.latency_s / run.critical_path_s for run in answered if run.critical_path_s > 0]
    return UserShare(len(runs), len(answered), _latency(answered), _ratio(sum(slowdowns), len(slowdowns)))


def _jain(values: Sequence[float]) -> float:
    return _ratio(sum(values) ** 2, len(values) * sum(value**2 for value in values))


def _slot_share(models: Iterable[Model], stays: Iterable[Stay], attempts: Iterable[Attempt]) -> float:
    slots = {model.name: model.slots for model in models}
    offered_s = sum(slots[s.model] * (s.left_s - s.loaded_s) for s in stays if s.loaded_s is not None)
    return _ratio(sum(a.ended_s - a.started_s for a in attempts if a.device != REMOTE), offered_s)


def _device_uses(
    devices: Iterable[Device], models: Iterable[Model], stays: Iterable[Stay], makespan_s: float
) -> dict[str, DeviceUse]:
    threads = {model.name: model.threads for model in models}
    by_device: defaultdict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_device[stay.device].append(stay)
    return {device.name: _device_use(device, by_device[device.name], threads, makespan_s) for device in devices}


def _device_use(device: Device, stays: Sequence[Stay], threads: Mapping[str, int], makespan_s: float) -> DeviceUse:
    core_s = sum(threads[stay.model] * stay.busy_s for stay in stays)
    return DeviceUse(
        device.capacity_bytes,
        max((held_bytes for _, held_bytes in memory_steps(stays)), default=0),
        _ratio(sum(map(_byte_seconds, stays)), device.capacity_bytes * makespan_s),
        _ratio(core_s, device.cores * makespan_s),
    )


def _byte_seconds(stay: Stay) -> float:
    loaded_s = stay.left_s if stay.loaded_s is None else stay.loaded_s
    return stay.reserved_bytes * (loaded_s - stay.asked_s) + stay.held_bytes * (stay.left_s - loaded_s)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
