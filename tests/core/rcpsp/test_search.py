import random

import pytest

from compllm.core.rcpsp import RULES, Activity, Found, Project, Schedule, best_schedule, parallel_schedule, violation
from tests.core.rcpsp.test_passes import DELAY


def crowded(seed: int, count: int = 30) -> Project:
    """Make a project whose activities compete for three resources."""
    rng = random.Random(seed)
    activities = [
        Activity(
            rng.randint(1, 10),
            tuple(rng.randint(0, 6) for _ in range(3)),
            tuple(rng.sample(range(max(0, n - 8), n), min(n, 2))),
        )
        for n in range(count)
    ]
    return Project(tuple(activities), (9, 9, 9))


def test_it_finds_what_the_parallel_scheme_cannot_build_and_knows_it_is_optimal() -> None:
    found = best_schedule(DELAY)
    assert found.schedule.makespan == 10
    assert found.optimal
    assert found.built < 100


def test_the_first_schedule_is_the_single_pass() -> None:
    project = crowded(1)
    found = best_schedule(project, limit=1)
    assert found.schedule == parallel_schedule(project, RULES["LFT"](project))
    assert found.built == 1


def test_more_schedules_are_never_worse_and_are_better_in_the_end() -> None:
    project = crowded(2)
    makespans = [best_schedule(project, limit).schedule.makespan for limit in (1, 10, 100, 1000)]
    assert makespans == sorted(makespans, reverse=True)
    assert makespans[-1] < makespans[0]


def test_a_seed_decides() -> None:
    project = crowded(3, count=60)
    found = [best_schedule(project, 60, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert all(violation(project, each.schedule) is None for each in found)


def test_it_stops_when_time_is_up() -> None:
    asked: list[bool] = []

    def out_of_time() -> bool:
        asked.append(len(asked) == 6)
        return asked[-1]

    assert best_schedule(crowded(4), out_of_time=out_of_time).built == 7


def test_a_search_needs_a_schedule() -> None:
    with pytest.raises(ValueError, match="at least one"):
        best_schedule(DELAY, limit=0)


@pytest.mark.parametrize("durations", [(), (3,), (0,), (2, 5)])
def test_little_projects_are_solved_at_once(durations: tuple[int, ...]) -> None:
    project = Project(tuple(Activity(duration, (1,)) for duration in durations), (1,))
    found = best_schedule(project)
    assert (found.built, found.optimal, found.schedule.makespan) == (1, True, sum(durations))


def test_two_activities_that_miss_the_bound_do_not_stop_the_search() -> None:
    pair = Project((Activity(3, (2,)), Activity(3, (2,))), (3,))
    assert best_schedule(pair, 200) == Found(Schedule((0, 3), 6), 200, optimal=False)
