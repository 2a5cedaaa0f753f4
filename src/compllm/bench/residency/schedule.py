"""A schedule of one plan, wherever it comes from, and an independent check of it against the rules of residency.

The check looks at every moment in which something begins and knows nothing of how the schedule was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compllm.bench.residency.instances import Instance
from compllm.core.simulation import SimulationResult

_SLACK_S = 1e-9


@dataclass(frozen=True, slots=True)
class Stay:
    """A replica from the start of its load until it leaves memory."""

    model: str
    device: str
    load_began_s: float
    loaded_s: float
    evicted_s: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A node's time and place."""

    node: int
    device: str
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and where every node runs, and what is in memory meanwhile."""

    placed: tuple[Placed, ...]
    stays: tuple[Stay, ...]

    @property
    def makespan_s(self) -> float:
        """When the last node ends."""
        return max(node.ended_s for node in self.placed)


def simulated_schedule(result: SimulationResult) -> Schedule:
    """Return what a simulation of one run did."""
    placed = (Placed(each.node, each.device, each.started_s, each.ended_s) for each in result.attempts)
    stays = (
        Stay(
            each.model, each.device, each.asked_s, each.left_s if each.loaded_s is None else each.loaded_s, each.left_s
        )
        for each in result.stays
    )
    return Schedule(tuple(placed), tuple(stays))


def violations(instance: Instance, schedule: Schedule) -> list[str]:
    """Return what a schedule breaks, a sentence each; nothing when it is valid. O(changes x (nodes + stays)).

    A span holds its beginning and not its end, so that what ends makes room for what begins in the same moment.
    """
    return [
        *_wrong_lengths(instance, schedule),
        *_wrong_stays(instance, schedule),
        *_homeless(instance, schedule),
        *(fault for now_s in _moments(schedule) for fault in _overdrawn(instance, schedule, now_s)),
    ]


def _wrong_lengths(instance: Instance, schedule: Schedule) -> Iterator[str]:
    times = {node.node: node for node in schedule.placed}
    if sorted(times) != sorted(node.id for node in instance.run.nodes) or len(times) != len(schedule.placed):
        yield "not every node runs exactly once"
        return
    speed = {device.name: device.speed for device in instance.devices}
    for node in instance.run.nodes:
        mine = times[node.id]
        if abs(mine.ended_s - mine.began_s - node.duration_s / speed[mine.device]) > _SLACK_S:
            yield f"node {node.id} runs for {mine.ended_s - mine.began_s} s"
        if any(times[parent].ended_s > mine.began_s + _SLACK_S for parent in node.parents):
            yield f"node {node.id} begins before a parent ends"


def _wrong_stays(instance: Instance, schedule: Schedule) -> Iterator[str]:
    models = {model.name: model for model in instance.models}
    speed = {device.name: device.speed for device in instance.devices}
    for stay in schedule.stays:
        if stay.loaded_s - stay.load_began_s < models[stay.model].load_s / speed[stay.device] - _SLACK_S:
            yield f"{stay.model} loads in {stay.loaded_s - stay.load_began_s} s"
        if stay.device not in models[stay.model].devices:
            yield f"{stay.model} may not live on {stay.device}"
        if any(other is not stay and other.model == stay.model and _overlap(stay, other) for other in schedule.stays):
            yield f"{stay.model} has two replicas at once"


def _homeless(instance: Instance, schedule: Schedule) -> Iterator[str]:
    model = {node.id: node.model for node in instance.run.nodes}
    for node in schedule.placed:
        homes = (stay for stay in schedule.stays if stay.model == model[node.node] and stay.device == node.device)
        if not any(h.loaded_s <= node.began_s + _SLACK_S and node.ended_s <= h.evicted_s + _SLACK_S for h in homes):
            yield f"node {node.node} runs without its model"


def _overdrawn(instance: Instance, schedule: Schedule, now_s: float) -> Iterator[str]:
    models = {model.name: model for model in instance.models}
    model_of = {node.id: node.model for node in instance.run.nodes}
    running = [(model_of[n.node], n.device) for n in schedule.placed if _covers(n.began_s, n.ended_s, now_s)]
    for name, model in models.items():
        count = sum(served == name for served, _ in running)
        if count > model.slots:
            yield f"{name} serves {count} nodes at {now_s} s"
    for device in instance.devices:
        here = [s for s in schedule.stays if s.device == device.name and _covers(s.load_began_s, s.evicted_s, now_s)]
        held_bytes = sum(models[stay.model].footprint_bytes for stay in here)
        if held_bytes > device.capacity_bytes:
            yield f"{device.name} holds {held_bytes} bytes at {now_s} s"
        cores = sum(models[name].threads for name, place in set(running) if place == device.name)
        if cores > device.cores:
            yield f"{device.name} computes with {cores} threads at {now_s} s"


def _moments(schedule: Schedule) -> list[float]:
    return sorted({node.began_s for node in schedule.placed} | {stay.load_began_s for stay in schedule.stays})


def _covers(began_s: float, ended_s: float, now_s: float) -> bool:
    return began_s <= now_s + _SLACK_S and now_s + _SLACK_S < ended_s


def _overlap(one: Stay, other: Stay) -> bool:
    return one.load_began_s < other.evicted_s - _SLACK_S and other.load_began_s < one.evicted_s - _SLACK_S
