"""Schedule generation: one pass over a project, forwards or backwards, builds one schedule.

A backward pass is a forward pass over the project with its precedence relations turned round; it counts its periods
from the end. Passes take and return plain lists, for they are the inner loop of the search.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compllm.core.rcpsp.project import Project, Schedule

Choose = Callable[[list[int]], int]


@dataclass(frozen=True, slots=True)
class Direction:
    """One way to go through a project: what comes before and after each activity, and what follows from that.

    `order` respects precedence; `latest_start` leaves the critical path as long as it is.
    """

    before: Sequence[Sequence[int]]
    after: Sequence[Sequence[int]]
    order: Sequence[int]
    latest_start: Sequence[int]


@dataclass(frozen=True, slots=True)
class Passes:
    """A project made ready for fast passes.

    The usage of all resources in a period is one integer: each resource has a lane of bits, its topmost bit a guard. An
    idle lane starts at the guard's value less one less the capacity, so that adding a demand sets the guard exactly
    when it does not fit, and one addition and one mask answer for every resource.
    """

    durations: Sequence[int]
    demands: Sequence[int]
    guards: int
    idle: int
    forward: Direction
    backward: Direction

    @classmethod
    def of(cls, project: Project) -> Passes:
        """Pack a project."""
        guards = idle = shift = 0
        demands = [0] * len(project.activities)
        for resource, capacity in enumerate(project.capacities):
            guard = 1 << capacity.bit_length()
            guards |= guard << shift
            idle |= (guard - 1 - capacity) << shift
            for position, activity in enumerate(project.activities):
                demands[position] |= activity.demand[resource] << shift
            shift += guard.bit_length()
        predecessors = [tuple(dict.fromkeys(activity.predecessors)) for activity in project.activities]
        durations = [activity.duration for activity in project.activities]
        ends = [start + duration for start, duration in zip(project.earliest_start, durations, strict=True)]
        forward = Direction(predecessors, project.successors, project.order, project.latest_start)
        latest_start = [project.critical_path - end for end in ends]
        backward = Direction(project.successors, predecessors, project.order[::-1], latest_start)
        return cls(durations, demands, guards, idle, forward, backward)

    def serial(self, direction: Direction, activity_list: Sequence[int]) -> list[int]:
        """Start every activity as early as possible, in the order of the list; return the periods in which they end.

        The list must respect precedence. Where an activity does not fit, the search goes on behind the last period that
        lacks room: a place is tested from its end, so most periods are never looked at.
        Serial schedule generation scheme (Kelley 1963; Kolisch 1996); O(activities * makespan) at worst.
        """
        before, durations, demands, guards = direction.before, self.durations, self.demands, self.guards
        usage = [self.idle] * sum(durations)
        ends = [0] * len(durations)
        for activity in activity_list:
            start = 0
            for earlier in before[activity]:
                if ends[earlier] > start:
                    start = ends[earlier]
            duration = durations[activity]
            if demand := demands[activity]:
                period = start + duration - 1
                while period >= start:
                    if usage[period] + demand & guards:
                        start = period + 1
                        period = start + duration
                    period -= 1
                for period in range(start, start + duration):
                    usage[period] += demand
            ends[activity] = start + duration
        return ends

    def parallel(self, direction: Direction, choose: Choose) -> list[int]:
        """Go through time and start what fits, as `choose` picks it; return the periods in which activities end.

        `choose` is given those eligible activities that fit now, never none. Parallel schedule generation scheme
        (Brooks and White 1965; Kolisch 1996); O(activities^2).
        """
        demands, guards, usage, now = self.demands, self.guards, self.idle, 0
        ends = [0] * len(self.durations)
        waits_for = [len(before) for before in direction.before]
        eligible = [activity for activity, count in enumerate(waits_for) if not count]
        running: list[tuple[int, int]] = []
        while True:
            while fitting := [activity for activity in eligible if not usage + demands[activity] & guards]:
                activity = choose(fitting)
                eligible.remove(activity)
                usage += demands[activity]
                ends[activity] = now + self.durations[activity]
                heapq.heappush(running, (ends[activity], activity))
            if not running:
                return ends
            now = running[0][0]
            while running and running[0][0] == now:
                _, ended = heapq.heappop(running)
                usage -= demands[ended]
                for later in direction.after[ended]:
                    waits_for[later] -= 1
                    if not waits_for[later]:
                        eligible.append(later)

    def schedule(self, direction: Direction, ends: Sequence[int]) -> Schedule:
        """Return the schedule of a pass; the periods of a backward pass count from its end."""
        makespan = max(ends, default=0)
        if direction is self.backward:
            return Schedule(tuple(makespan - end for end in ends), makespan)
        starts = (end - duration for end, duration in zip(ends, self.durations, strict=True))
        return Schedule(tuple(starts), makespan)


def listed(direction: Direction, choose: Choose) -> list[int]:
    """Return an activity list that respects precedence, each next one as `choose` picks it from the eligible."""
    waits_for = [len(before) for before in direction.before]
    eligible = [activity for activity, count in enumerate(waits_for) if not count]
    result = []
    while eligible:
        activity = choose(eligible)
        eligible.remove(activity)
        result.append(activity)
        for later in direction.after[activity]:
            waits_for[later] -= 1
            if not waits_for[later]:
                eligible.append(later)
    return result


def turned(direction: Direction, ends: Sequence[int]) -> list[int]:
    """Return the list with which a pass in this direction justifies a schedule that a pass in the other one built.

    What ended last comes first; the result of the pass is never longer than the schedule (Valls, Ballestin and
    Quintanilla 2005).
    """
    return sorted(direction.order, key=ends.__getitem__, reverse=True)


def serial_schedule(project: Project, priority: Sequence[float]) -> Schedule:
    """Schedule the activities one by one, each as early as possible: of the eligible, the smallest priority first.

    Ties go to the latest start, then to the position. Source: see `Passes.serial`.
    """
    passes = Passes.of(project)
    order = listed(passes.forward, smallest(passes.forward, priority))
    return passes.schedule(passes.forward, passes.serial(passes.forward, order))


def parallel_schedule(project: Project, priority: Sequence[float]) -> Schedule:
    """Go through time and start what is eligible and fits: the smallest priority first.

    Ties go to the latest start, then to the position. Source: see `Passes.parallel`.
    """
    passes = Passes.of(project)
    return passes.schedule(passes.forward, passes.parallel(passes.forward, smallest(passes.forward, priority)))


def justify(project: Project, schedule: Schedule) -> Schedule:
    """Shift every activity as far right, then as far left as it goes; the result is never longer.

    Double justification (Valls, Ballestin and Quintanilla 2005, section 2); as costly as two passes.
    """
    passes = Passes.of(project)
    ends = [start + activity.duration for start, activity in zip(schedule.start, project.activities, strict=True)]
    right = passes.serial(passes.backward, turned(passes.backward, ends))
    return passes.schedule(passes.forward, passes.serial(passes.forward, turned(passes.forward, right)))


def smallest(direction: Direction, priority: Sequence[float]) -> Choose:
    """Return a choice of the smallest priority; ties go to the latest start, then to the position."""
    keys = [(*key, position) for position, key in enumerate(zip(priority, direction.latest_start, strict=True))]
    return lambda activities: min(activities, key=keys.__getitem__)
