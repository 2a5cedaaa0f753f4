import re

import pytest

from compllm.core.rcpsp import Activity, Project, Schedule, violation
from compllm.errors import SchedulingError

# Two activities that share one resource, and one that follows the first.
PROJECT = Project((Activity(2, (1,)), Activity(3, (2,)), Activity(1, (2,), (0,))), (2,))


def test_what_follows_from_precedence() -> None:
    project = Project((Activity(1, (), (2,)), Activity(4), Activity(2)))
    assert project.order == (1, 2, 0)
    assert project.successors == ((), (), (0,))
    assert project.earliest_start == (2, 0, 0)
    assert project.latest_start == (3, 0, 1)
    assert project.critical_path == project.lower_bound == 4


def test_a_resource_with_more_work_than_the_critical_path_sets_the_bound() -> None:
    assert (PROJECT.critical_path, PROJECT.lower_bound) == (3, 5)
    assert Project(()).lower_bound == 0


def test_a_predecessor_named_twice_counts_once() -> None:
    assert Project((Activity(1), Activity(1, (), (0, 0)))).order == (0, 1)


@pytest.mark.parametrize(
    ("activities", "capacities", "said"),
    [
        ([Activity(-1)], (), "activity 0: durations, demands and capacities must not be negative"),
        ([Activity(1, (-1,))], (1,), "must not be negative"),
        ([Activity(1, (1,))], (-1,), "must not be negative"),
        ([Activity(1, (1,))], (1, 1), "activity 0 names 1 of 2 resources"),
        ([Activity(1, (0,)), Activity(1, (3,))], (2,), "activity 1 needs 3 of resource 0, there are 2"),
        ([Activity(1, (), (1,))], (), "activity 0 comes after activity 1, which is not in the project"),
        ([Activity(1, (), (0,))], (), "activity 0 lies on or behind a cycle"),
        ([Activity(1), Activity(1, (), (2,)), Activity(1, (), (1,))], (), "activity 1 lies on or behind a cycle"),
    ],
)
def test_what_no_schedule_can_do_is_refused(activities: list[Activity], capacities: tuple[int, ...], said: str) -> None:
    with pytest.raises(SchedulingError, match=re.escape(said)):
        Project(tuple(activities), capacities)


@pytest.mark.parametrize(
    ("starts", "makespan", "said"),
    [
        ((0, 3, 2), 6, None),
        ((0, 3, 1), 6, "activity 2 starts before activity 0 ends"),
        ((0, 1, 4), 6, "resource 0 is used 3 times in period 1, of 2"),
        ((0, 3, 2), 5, "activity 1 lies outside the schedule"),
        ((-1, 3, 2), 6, "activity 0 lies outside the schedule"),
    ],
)
def test_a_violation_is_named(starts: tuple[int, ...], makespan: int, said: str | None) -> None:
    assert violation(PROJECT, Schedule(starts, makespan)) == said
