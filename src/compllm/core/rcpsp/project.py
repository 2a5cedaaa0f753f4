"""Projects: activities that take time and shares of resources, and schedules of them (single-mode RCPSP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from compllm.errors import SchedulingError


@dataclass(frozen=True, slots=True)
class Activity:
    """Work of whole periods that holds `demand` units of each resource while it lasts, without interruption.

    `predecessors` are positions in the project of the activities that must end before it starts.
    """

    duration: int
    demand: tuple[int, ...] = ()
    predecessors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """Activities and what there is of every renewable resource in each period.

    `order` holds the positions with predecessors first; `successors`, `earliest_start`, `latest_start` and
    `critical_path` follow from the precedence relations alone (`latest_start` for a project that ends with its critical
    path). A caller with seconds rounds them up to periods; what a schedule costs grows with the sum of the durations.

    Raises:
        SchedulingError: no schedule can exist: a negative number, an unknown predecessor, a demand above the capacity
            or of another number of resources, or a cycle.
    """

    activities: tuple[Activity, ...]
    capacities: tuple[int, ...] = ()
    order: tuple[int, ...] = field(init=False, repr=False, compare=False)
    successors: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    earliest_start: tuple[int, ...] = field(init=False, repr=False, compare=False)
    latest_start: tuple[int, ...] = field(init=False, repr=False, compare=False)
    critical_path: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for position, activity in enumerate(self.activities):
            _expect_possible(position, activity, len(self.activities), self.capacities)
        successors: list[list[int]] = [[] for _ in self.activities]
        for position, activity in enumerate(self.activities):
            for predecessor in dict.fromkeys(activity.predecessors):
                successors[predecessor].append(position)
        order = _topological_order(self.activities, successors)
        heads = _longest_before(order, self.activities, [a.predecessors for a in self.activities])
        tails = _longest_before(order[::-1], self.activities, successors)
        path = max((h + a.duration for h, a in zip(heads, self.activities, strict=True)), default=0)
        latest = tuple(path - tail - a.duration for tail, a in zip(tails, self.activities, strict=True))
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "successors", tuple(map(tuple, successors)))
        object.__setattr__(self, "earliest_start", tuple(heads))
        object.__setattr__(self, "latest_start", latest)
        object.__setattr__(self, "critical_path", path)

    @property
    def lower_bound(self) -> int:
        """Periods that no schedule goes below: the critical path, and each resource's work over its capacity."""
        loads = (
            -(-sum(a.duration * a.demand[resource] for a in self.activities) // capacity)
            for resource, capacity in enumerate(self.capacities)
            if capacity
        )
        return max([self.critical_path, *loads])


@dataclass(frozen=True, slots=True)
class Schedule:
    """The period in which each activity of a project starts, by position, and the one in which the last has ended."""

    start: tuple[int, ...]
    makespan: int


def violation(project: Project, schedule: Schedule) -> str | None:
    """Say what makes a schedule infeasible, or return None; O(relations + sum of durations * resources)."""
    usage: dict[tuple[int, int], int] = {}
    for position, (start, activity) in enumerate(zip(schedule.start, project.activities, strict=True)):
        if start < 0 or start + activity.duration > schedule.makespan:
            return f"activity {position} lies outside the schedule"
        for before in activity.predecessors:
            if schedule.start[before] + project.activities[before].duration > start:
                return f"activity {position} starts before activity {before} ends"
        for resource, units in enumerate(activity.demand):
            for period in range(start, start + activity.duration):
                usage[resource, period] = usage.get((resource, period), 0) + units
    for (resource, period), units in usage.items():
        if units > project.capacities[resource]:
            return f"resource {resource} is used {units} times in period {period}, of {project.capacities[resource]}"
    return None


def _expect_possible(position: int, activity: Activity, count: int, capacities: Sequence[int]) -> None:
    if activity.duration < 0 or min((*activity.demand, *capacities), default=0) < 0:
        raise SchedulingError(f"activity {position}: durations, demands and capacities must not be negative")
    if len(activity.demand) != len(capacities):
        raise SchedulingError(f"activity {position} names {len(activity.demand)} of {len(capacities)} resources")
    for resource, (units, capacity) in enumerate(zip(activity.demand, capacities, strict=True)):
        if units > capacity:
            raise SchedulingError(f"activity {position} needs {units} of resource {resource}, there are {capacity}")
    unknown = [p for p in activity.predecessors if not 0 <= p < count]
    if unknown:
        raise SchedulingError(f"activity {position} comes after activity {unknown[0]}, which is not in the project")


def _topological_order(activities: Sequence[Activity], successors: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Kahn's algorithm (Kahn 1962), first come first served; O(activities + relations)."""
    missing = [len(set(activity.predecessors)) for activity in activities]
    order = [position for position, count in enumerate(missing) if not count]
    for position in order:
        for after in successors[position]:
            missing[after] -= 1
            if not missing[after]:
                order.append(after)
    if len(order) < len(activities):
        stuck = next(position for position, count in enumerate(missing) if count)
        raise SchedulingError(f"activity {stuck} lies on or behind a cycle of predecessors")
    return tuple(order)


def _longest_before(order: Sequence[int], activities: Sequence[Activity], before: Sequence[Sequence[int]]) -> list[int]:
    """Return the length of the longest chain that must have ended before each activity; O(activities + relations)."""
    length = [0] * len(activities)
    for position in order:
        length[position] = max((length[b] + activities[b].duration for b in before[position]), default=0)
    return length
