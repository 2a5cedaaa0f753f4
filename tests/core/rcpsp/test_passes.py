from compllm.core.rcpsp import RULES, Activity, Project, Schedule, justify, parallel_schedule, serial_schedule

# P; X beside everything; L needs the whole resource after P; M after L. A schedule that never lets the resource idle
# starts X at once and makes L wait for its end, so the parallel scheme cannot build the optimum, 10.
P, X, L, M = range(4)
DELAY = Project((Activity(1, (1,)), Activity(5, (1,)), Activity(4, (2,), (P,)), Activity(5, (1,), (L,))), (2,))


def test_the_parallel_scheme_starts_whatever_fits() -> None:
    assert parallel_schedule(DELAY, RULES["LFT"](DELAY)) == Schedule((0, 0, 5, 9), 14)


def test_the_serial_scheme_follows_the_priority() -> None:
    assert serial_schedule(DELAY, [0, 3, 1, 2]) == Schedule((0, 5, 1, 5), 10)
    assert serial_schedule(DELAY, [0, 1, 2, 3]) == Schedule((0, 0, 5, 9), 14)


def test_justification_moves_what_can_wait_behind_what_cannot() -> None:
    assert justify(DELAY, Schedule((0, 0, 5, 9), 14)) == Schedule((0, 5, 1, 5), 10)


def test_every_resource_counts() -> None:
    both = Project((Activity(2, (1, 0)), Activity(2, (0, 1)), Activity(2, (1, 1))), (1, 1))
    assert serial_schedule(both, [0, 1, 2]).start == parallel_schedule(both, [0, 1, 2]).start == (0, 0, 2)
    assert serial_schedule(both, [1, 1, 0]).start == parallel_schedule(both, [1, 1, 0]).start == (2, 2, 0)


def test_an_activity_fills_a_gap_that_is_long_enough() -> None:
    gap = Project(
        (Activity(2, (1,)), Activity(3, (0,)), Activity(2, (1,), (1,)), Activity(1, (1,)), Activity(2, (1,))), (1,)
    )
    assert serial_schedule(gap, [0, 1, 2, 3, 4]) == Schedule((0, 0, 3, 2, 5), 7)


def test_ties_go_to_the_latest_start_then_to_the_position() -> None:
    project = Project((Activity(1, (1,)), Activity(1, (1,)), Activity(1, (1,)), Activity(3, (0,), (2,))), (1,))
    assert parallel_schedule(project, [0, 0, 0, 0]).start == (1, 2, 0, 1)


def test_activities_without_duration_or_resources_take_no_place() -> None:
    project = Project((Activity(0), Activity(0, (), (0,)), Activity(2, (), (1,)), Activity(0, (), (2,))))
    for schedule in (serial_schedule(project, [0] * 4), parallel_schedule(project, [0] * 4)):
        assert schedule == justify(project, schedule) == Schedule((0, 0, 0, 2), 2)


def test_capacities_may_be_bytes() -> None:
    project = Project((Activity(1, (2**33, 1)), Activity(1, (2**33, 1)), Activity(1, (2**33, 2))), (2**34, 3))
    assert serial_schedule(project, [0, 1, 2]).start == parallel_schedule(project, [0, 1, 2]).start == (0, 0, 1)


def test_an_empty_project_has_an_empty_schedule() -> None:
    empty = Project(())
    assert serial_schedule(empty, []) == parallel_schedule(empty, []) == justify(empty, Schedule((), 0))
