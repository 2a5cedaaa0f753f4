"""Runs that go on without a listener, and can be followed from any place."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from compllm.core import events as ev
from compllm.errors import JournalError, QueueFullError, TooManyRequestsError
from compllm.serve.callers import ANYBODY, Caller
from compllm.serve.live import START, LiveRun, Position
from compllm.serve.service import Service, open_service
from tests.serve.conftest import MakeTeam
from tests.wiring import GatedFake

pytestmark = pytest.mark.anyio
QUESTION = "What is the heart pulse, and what is insulin of glands?"
ALICE, BOB = Caller("alice"), Caller("bob")


def answer_of(events: tuple[ev.Stamped, ...]) -> str:
    last = events[-1].event
    assert isinstance(last, ev.RunCompleted), last
    return last.answer


async def places(run: LiveRun, after: Position = START) -> list[Position]:
    return [place async for place, _ in run.follow(after)]


async def test_a_run_goes_on_when_its_listener_leaves(make_team: MakeTeam) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with open_service(make_team(one=gated, two=gated)) as service:
        run = service.runs.start(QUESTION, ANYBODY)
        async with aclosing(run.follow()) as stream:
            async for _ in stream:
                break
        gated.let("What")
        assert answer_of(await run.ended()) == "WHAT IS THE HEART PULSE? [1]\nWHAT IS INSULIN OF GLANDS? [2]"


async def test_several_listeners_see_the_same_from_wherever_they_come_in(make_team: MakeTeam) -> None:
    async with open_service(make_team()) as service:
        run = service.runs.start(QUESTION, ANYBODY)
        everything = await places(run)
        assert everything == sorted(set(everything))
        for index, place in enumerate(everything):
            assert await places(run, place) == everything[index + 1 :]


async def test_a_place_means_the_same_in_memory_and_in_the_journal(make_team: MakeTeam) -> None:
    async with open_service(make_team()) as service:
        run = service.runs.start(QUESTION, ANYBODY)
        live = {place: stamped async for place, stamped in run.follow()}
        service.runs._runs.clear()
        recorded = {place: stamped async for place, stamped in service.runs.follow(run.id, ANYBODY)}
        assert recorded == {place: stamped for place, stamped in live.items() if not place.deltas}
        assert any(place.deltas for place in live)
        after = Position.parse(str(next(place for place in live if place.deltas)))
        rest = [place async for place, _ in service.runs.follow(run.id, ANYBODY, after)]
        assert rest == [place for place in recorded if place > after]


async def test_nobody_sees_the_run_of_another_key(make_team: MakeTeam) -> None:
    async with open_service(make_team()) as service:
        run = service.runs.start("What is the heart pulse?", ALICE, end_user="anna")
        await run.ended()
        assert run.user == "alice/anna"
        assert service.runs.find(run.id, ALICE) is run
        assert service.runs.find(run.id, BOB) is None
        for forgotten in (False, True):
            if forgotten:
                service.runs._runs.clear()
            assert await service.runs.recorded(run.id, ALICE)
            assert await service.runs.recorded(run.id, ANYBODY)
            with pytest.raises(JournalError):
                await service.runs.recorded(run.id, BOB)
        with pytest.raises(JournalError):
            await service.runs.recorded(run.id[:-1], ALICE)  # no prefixes: they would tell what others have


async def test_a_caller_can_lower_its_priority_but_not_raise_it(make_team: MakeTeam) -> None:
    async with open_service(make_team()) as service:
        low = service.runs.start("Where?", Caller("a", priority=3), priority=-2)
        high = service.runs.start("Where?", Caller("a", priority=3), priority=9)
        assert (low._run.priority, high._run.priority) == (1, 3)


async def test_runs_that_nobody_listens_to_count_for_who_started_them(make_team: MakeTeam) -> None:
    question, gated = "What is the heart pulse?", GatedFake("What", answers=str.upper)
    few = Caller("alice", open_runs=2)
    async with open_service(make_team(one=gated)) as service:
        first = service.runs.start(question, few)
        second = service.runs.start(question, few, end_user="anna")
        with pytest.raises(TooManyRequestsError, match="2 runs"):
            service.runs.start(question, few, end_user="bert")
        service.runs.start(question, BOB)
        second.cancel("no longer wanted")
        service.runs.start(question, few)
        with pytest.raises(TooManyRequestsError):
            service.runs.start(question, few)
        gated.let("What")
        async for _, stamped in first.follow():
            if isinstance(stamped.event, ev.RunCompleted):
                service.runs.start(question, few)  # who has got an answer may ask again at once


async def test_draining_waits_for_what_is_open_and_takes_nothing_new(make_team: MakeTeam) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with open_service(make_team(one=gated)) as service, anyio.create_task_group() as tasks:
        run = service.runs.start("What is the heart pulse?", ANYBODY)
        tasks.start_soon(service.runs.drain, 30.0)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(QueueFullError):
            service.runs.start("What is the heart pulse?", ANYBODY)
        gated.let("What")
        assert answer_of(await run.ended()) == "WHAT IS THE HEART PULSE?"


async def test_what_is_not_done_in_time_is_cancelled_and_says_why(make_team: MakeTeam) -> None:
    async with open_service(make_team(one=GatedFake("What"))) as service:
        run = service.runs.start("What is the heart pulse?", ANYBODY)
        await service.runs.drain(0.0)
        last = run.events[-1].event
        assert isinstance(last, ev.RunFailed)
        assert "the server has stopped" in last.reason


async def test_only_so_many_ended_runs_stay_in_memory(make_team: MakeTeam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compllm.serve.live._KEPT_RUNS", 2)

    async def ask(service: Service) -> LiveRun:
        run = service.runs.start("What is the heart pulse?", ANYBODY)
        await run.ended()
        return run

    async with open_service(make_team()) as service:
        runs = [await ask(service) for _ in range(5)]
        found = [service.runs.find(run.id, ANYBODY) is run for run in runs]
        assert found == [False, False, True, True, True]
        assert all([await service.runs.recorded(run.id, ANYBODY) for run in runs])


async def test_a_service_that_ends_by_an_error_with_runs_open_tells_of_that_error(make_team: MakeTeam) -> None:
    async def serve() -> None:
        async with open_service(make_team(one=GatedFake("What"))) as service:
            service.runs.start("What is the heart pulse?", ANYBODY)
            await anyio.wait_all_tasks_blocked()
            raise LookupError("the floor has gone")

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="floor"), allow_unwrapped=True, flatten_subgroups=True):
        await serve()
