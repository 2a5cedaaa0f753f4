"""Processor sharing against an account of every job by itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.core.ledger import Model
from compllm.core.simulation import Attempt, Truth, simulate
from compllm.core.simulation.sharing import SharedServer
from compllm.core.workload import Workload, WorkNode, WorkRun
from tests.core.simulation.brains import Greedy

JOBS = st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 10)), min_size=1, max_size=12)
CURVES = st.lists(st.floats(0.2, 2.0), min_size=1, max_size=5).map(lambda gains: [sum(gains[:n]) for n in range(1, 6)])


def one_by_one(jobs: list[tuple[float, float]], rates: list[float]) -> dict[int, float]:
    """Return when each job ends, with what is left of each job kept apart; `rates[k - 1]` is for k jobs."""
    left, ends, now_s = dict[int, float](), dict[int, float](), 0.0
    coming = sorted((at_s, number) for number, (at_s, _) in enumerate(jobs))
    while left or coming:
        rate = rates[min(len(left), len(rates)) - 1] if left else 1.0
        end_s = now_s + min(left.values()) / rate if left else float("inf")
        step_s = min(end_s, coming[0][0] if coming else float("inf"))
        left = {number: work_s - rate * (step_s - now_s) for number, work_s in left.items()}
        now_s = step_s
        for number in [number for number, work_s in left.items() if work_s <= 1e-9]:
            ends[number] = now_s
            del left[number]
        while coming and coming[0][0] <= now_s:
            number = coming.pop(0)[1]
            left[number] = jobs[number][1]
    return ends


@settings(deadline=None)
@given(JOBS, CURVES)
def test_every_job_ends_when_its_own_account_says(jobs: list[tuple[float, float]], curve: list[float]) -> None:
    rates = [throughput / (place + 1) for place, throughput in enumerate(curve)]
    server: SharedServer[int] = SharedServer()
    ends: dict[int, float] = {}
    coming = sorted((at_s, number) for number, (at_s, _) in enumerate(jobs))
    while server or coming:
        end_s = server.next_end_s()
        if end_s is not None and (not coming or end_s <= coming[0][0]):
            now_s = end_s
            ends[server.end_next(now_s)] = now_s
        else:
            now_s, number = coming.pop(0)
            server.add(number, jobs[number][1], now_s)
        server.set_rate(rates[min(len(server), len(rates)) - 1] if server else 0.0, now_s)
    assert ends == pytest.approx(one_by_one(jobs, rates), abs=1e-6)


@settings(deadline=None)
@given(JOBS, CURVES)
def test_a_replica_does_neither_more_nor_less_work_than_its_curve_says(
    jobs: list[tuple[float, float]], curve: list[float]
) -> None:
    runs = (WorkRun(f"r{n}", at_s, (WorkNode(1, (), "far", "far", work_s),)) for n, (at_s, work_s) in enumerate(jobs))
    model = Model("far", slots=len(jobs), curve=tuple(curve))
    result = simulate(Workload(tuple(runs)), [model], [], Greedy())
    assert delivered_s(result.attempts, curve) == pytest.approx(sum(work_s for _, work_s in jobs))


def delivered_s(attempts: tuple[Attempt, ...], curve: list[float]) -> float:
    """Return the integral of the throughput over time: what all requests together have received."""
    changes = sorted([(a.started_s, 1) for a in attempts] + [(a.ended_s, -1) for a in attempts])
    total_s, in_flight, before_s = 0.0, 0, 0.0
    for at_s, change in changes:
        total_s += (curve[min(in_flight, len(curve)) - 1] if in_flight else 0.0) * (at_s - before_s)
        in_flight, before_s = in_flight + change, at_s
    return total_s


def test_a_job_that_leaves_makes_room_and_is_not_heard_of_again() -> None:
    server: SharedServer[str] = SharedServer()
    server.add("a", 2.0, 0.0)
    server.add("b", 1.0, 0.0)
    server.set_rate(0.5, 0.0)
    server.remove("b", 1.0)
    server.set_rate(1.0, 1.0)
    assert ("b" in server, len(server), server.next_end_s()) == (False, 1, 2.5)
    assert server.end_next(2.5) == "a"
    assert server.next_end_s() is None


def test_nothing_ends_while_nothing_progresses() -> None:
    server: SharedServer[str] = SharedServer()
    server.add("a", 2.0, 0.0)
    assert server.next_end_s() is None


def test_a_curve_holds_its_last_value_beyond_its_end() -> None:
    model = Model("a", curve=(1.0, 1.5))
    assert [Truth().request_rate(model, k) for k in (0, 1, 2, 3)] == [1.0, 1.0, 0.75, 0.5]
    assert Truth(curves={"a": (1.0, 2.0)}).request_rate(model, 2) == 1.0
