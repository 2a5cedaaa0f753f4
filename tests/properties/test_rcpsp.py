"""Schedules of random projects: feasible whatever builds them, and never worse for more work."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.core.rcpsp import (
    RULES,
    Activity,
    Project,
    best_schedule,
    justify,
    parallel_schedule,
    serial_schedule,
    violation,
)


@st.composite
def projects(draw: st.DrawFn, largest: int = 12) -> Project:
    """Projects of activities in any order, some without duration or demand."""
    capacities = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
    count = draw(st.integers(1, largest))
    names = draw(st.permutations(range(count)))
    activities = {}
    for place, name in enumerate(names):
        demand = tuple(draw(st.integers(0, capacity)) for capacity in capacities)
        before = draw(st.lists(st.sampled_from(names[:place]), max_size=3)) if place else []
        activities[name] = Activity(draw(st.integers(0, 8)), demand, tuple(before))
    return Project(tuple(activities[name] for name in range(count)), capacities)


def priorities(project: Project, data: st.DataObject) -> list[int]:
    count = len(project.activities)
    return data.draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))


@settings(max_examples=60, deadline=None)
@given(projects(), st.data())
def test_every_pass_is_feasible_and_justification_never_lengthens(project: Project, data: st.DataObject) -> None:
    for scheme in (serial_schedule, parallel_schedule):
        schedule = scheme(project, priorities(project, data))
        justified = justify(project, schedule)
        assert violation(project, schedule) is None
        assert violation(project, justified) is None
        assert project.lower_bound <= justified.makespan <= schedule.makespan


@settings(max_examples=60, deadline=None)
@given(projects(), st.integers(1, 120), st.integers(0, 3))
def test_the_best_is_feasible_no_worse_than_a_single_pass_and_decided_by_the_seed(
    project: Project, limit: int, seed: int
) -> None:
    found = best_schedule(project, limit, seed)
    assert violation(project, found.schedule) is None
    assert found.schedule.makespan <= parallel_schedule(project, RULES["LFT"](project)).makespan
    assert found.built <= limit
    assert found.optimal == (found.schedule.makespan == project.lower_bound)
    assert found == best_schedule(project, limit, seed)


@settings(max_examples=30, deadline=None)
@given(projects(largest=4))
def test_small_projects_are_solved_and_the_lower_bound_holds(project: Project) -> None:
    orders = itertools.permutations(range(len(project.activities)))
    optimum = min(first_fit(project, order) for order in orders if _respects_precedence(project, order))
    assert project.lower_bound <= optimum
    assert best_schedule(project, 300).schedule.makespan == optimum


def _respects_precedence(project: Project, order: Sequence[int]) -> bool:
    return all(order.index(b) < order.index(a) for a in order for b in project.activities[a].predecessors)


def first_fit(project: Project, order: Sequence[int]) -> int:
    """Return the makespan of a serial pass as plainly as it can be written; some order of it is optimal."""
    ends = [0] * len(order)
    used: Counter[tuple[int, int]] = Counter()
    for position in order:
        activity = project.activities[position]
        earliest = max((ends[before] for before in activity.predecessors), default=0)
        wants = list(enumerate(activity.demand))
        start = next(
            start
            for start in itertools.count(earliest)
            if all(
                used[period, resource] + units <= project.capacities[resource]
                for period in range(start, start + activity.duration)
                for resource, units in wants
            )
        )
        ends[position] = start + activity.duration
        used.update({(t, resource): units for t in range(start, ends[position]) for resource, units in wants})
    return max(ends)
