"""What comparable systems get wrong and this one gets right; each test is named after what goes right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from compllm.bench.engine import chain, crossed
from compllm.core import events as ev
from compllm.core.plan import SubQuery
from compllm.errors import ExpertError, ExpertResponseError, PlanError
from compllm.experts.base import Backend
from compllm.experts.fake import FakeExpert
from compllm.planner.base import Planner
from compllm.planner.given import GivenPlanner
from compllm.planner.language import parse_plan
from compllm.planner.written import ModelPlanner
from tests.wiring import (
    GatedFake,
    ScriptedPlanner,
    WrittenPlans,
    answer_of,
    lab,
    notes,
    of,
    place,
    plan_of,
    questions,
    told,
)

pytestmark = pytest.mark.anyio

DIAMOND = "1. a\n2. b after #1\n3. c after #1\n4. d after #2 and #3\n"


def planning(model: Backend) -> ModelPlanner:
    @asynccontextmanager
    async def lease() -> AsyncIterator[Backend]:
        yield model

    return ModelPlanner("planner", lease, ["a"])


# --- LLMCompiler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("bad"), ExpertResponseError("bad"), ExpertError("bad", retryable=True)])
async def test_a_raising_expert_does_not_hang_the_run(error: Exception) -> None:
    fake = FakeExpert(failures=dict.fromkeys(range(1, 9), error))
    async with lab({"a": fake}) as team:
        events = await team.ask("1. x\n2. #1 y")
    last = events[-1]
    assert isinstance(last, ev.RunFailed)
    assert "bad" in last.reason


@pytest.mark.parametrize(
    "planner",
    [
        ScriptedPlanner([RuntimeError("out of order")]),
        ScriptedPlanner([ExpertError("no planner")]),
        ScriptedPlanner([]),
        ScriptedPlanner([SubQuery(1, "x"), SubQuery(1, "again")]),
        ScriptedPlanner([SubQuery(1, "x"), SubQuery(2, "y of #3")]),
        planning(WrittenPlans("Sure! I shall plan.", "No.")),
        planning(WrittenPlans("")),
        planning(WrittenPlans(ExpertError("no planner"))),
        planning(WrittenPlans(RuntimeError("out of order"))),
    ],
)
async def test_a_planner_error_ends_in_an_answer_with_a_note(planner: Planner) -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planner, "Why #1?")
    assert "Why #1?" in answer_of(events)
    assert "the question was kept whole" in notes(events)


def test_gapped_ids_are_a_clear_plan_error() -> None:
    with pytest.raises(PlanError, match=r"plan line 2: step number 3 comes where 2 should be: '3\. b'"):
        parse_plan("1. a\n3. b")


async def test_gapped_ids_of_a_model_are_repaired() -> None:
    model = WrittenPlans("1. a\n3. b", "2. b\n")
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planning(model))
    assert [event.text for event in of(ev.NodeAdded, events)] == ["a", "b"]
    assert "step number 3 comes where 2 should be" in notes(events)
    assert "2 should be" in questions(model)[1]


async def test_gapped_ids_of_a_stubborn_model_leave_the_question_whole() -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planning(WrittenPlans("1. a\n3. b")), "What?")
    assert [(event.text, event.parents) for event in of(ev.NodeAdded, events)] == [("a", ()), ("What?", (1,))]
    assert answer_of(events)


@pytest.mark.parametrize("piece_characters", [1, 7, 1_000])
async def test_a_whole_plan_in_one_chunk_loses_no_step(piece_characters: int) -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planning(WrittenPlans(DIAMOND, piece_characters=piece_characters)))
    assert [event.parents for event in of(ev.NodeAdded, events)] == [(), (1,), (1,), (2, 3)]
    assert len(of(ev.NodeCompleted, events)) == 4


async def test_a_cancelled_caller_leaves_no_running_node() -> None:
    fake = FakeExpert(hang=True)
    async with lab({"a": fake}) as team:
        before = asyncio.all_tasks()
        run = team.start("1. x\n2. y\n3. z")
        with anyio.CancelScope() as caller:
            try:
                async for event in told(run):
                    if isinstance(event, ev.NodeStarted) and event.node == 3:
                        await anyio.wait_all_tasks_blocked()
                        assert fake.open_streams == 3
                        caller.cancel()
            finally:
                run.cancel("the caller went away")
        await anyio.wait_all_tasks_blocked()
        assert fake.open_streams == 0
        assert len(fake.cancelled) == 3
        assert not team.executor.is_open(run.id)
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("answer", "text", "asked"),
    [
        ("Paris", "$100 in #1", "$100 in Paris"),
        ("Paris", r"\#1 of #1 and C#1", "#1 of Paris and C#1"),
        ("see #1 and $1, then #2", "what is #1", "what is see #1 and $1, then #2"),
        (r"\g<0> \1 {0} %s", "what is #1", r"what is \g<0> \1 {0} %s"),
    ],
)
async def test_only_references_are_substituted_and_only_once(answer: str, text: str, asked: str) -> None:
    fake = FakeExpert(lambda question: answer if question == "begin" else "end")
    async with lab({"a": fake}) as team:
        await team.ask(plan_of(SubQuery(1, "begin"), SubQuery(2, text)))
    assert questions(fake) == ["begin", asked]


async def test_an_observation_is_not_substituted_again_two_steps_on() -> None:
    fake = FakeExpert({"begin": "the answer is #2 $2", "go the answer is #2 $2": "secret", "end secret": "done"})
    async with lab({"a": fake}) as team:
        events = await team.ask("1. begin\n2. go #1\n3. end #2")
    assert [event.question for event in of(ev.NodeRouted, events)] == ["go the answer is #2 $2", "end secret"]


async def test_a_freed_step_starts_while_the_plan_is_still_being_written() -> None:
    rest = anyio.Event()
    planner = ScriptedPlanner([SubQuery(1, "begin"), SubQuery(2, "go #1"), rest, SubQuery(3, "late")])
    seen: list[ev.Event] = []
    async with lab({"a": FakeExpert()}) as team:
        async for event in told(team.start(planner)):
            seen.append(event)
            if isinstance(event, ev.NodeCompleted) and event.node == 2:
                rest.set()
    assert place(seen, ev.NodeCompleted, 1) < place(seen, ev.NodeStarted, 2) < place(seen, ev.NodeAdded, 3)
    assert len(of(ev.NodeCompleted, seen)) == 3


async def test_a_step_is_sent_off_before_the_next_plan_line() -> None:
    rest = anyio.Event()
    planner = ScriptedPlanner([SubQuery(1, "begin"), rest, SubQuery(2, "next")])
    seen: list[ev.Event] = []
    async with lab({"a": FakeExpert()}) as team:
        async for event in told(team.start(planner)):
            seen.append(event)
            if isinstance(event, ev.NodeStarted) and event.node == 1:
                rest.set()
    assert place(seen, ev.NodeStarted, 1) < place(seen, ev.NodeAdded, 2)


async def test_a_chain_of_50_runs_without_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer is set in between but the deadline, and every step starts by the completion of the one before."""
    slept: list[float] = []

    async def counted(delay: float) -> None:
        slept.append(delay)

    monkeypatch.setattr(anyio, "sleep", counted)
    async with lab({"a": FakeExpert()}, slots=1) as team:
        events = await team.ask(GivenPlanner(chain(50)))
    assert slept == []
    steps = [event for event in events if isinstance(event, ev.NodeStarted | ev.NodeCompleted)]
    assert [type(event) for event in steps] == [ev.NodeStarted, ev.NodeCompleted] * 50
    assert [event.node for event in steps] == [n for n in range(1, 51) for _ in range(2)]


# --- LangGraph -------------------------------------------------------------------------------------------------------


async def test_a_crossed_graph_does_not_run_in_supersteps() -> None:
    fake = GatedFake("B")
    seen: list[ev.Event] = []
    async with lab({"a": fake}) as team:
        async for event in told(team.start(GivenPlanner(crossed()))):
            seen.append(event)
            if isinstance(event, ev.NodeCompleted) and event.node == 3:
                fake.let("B")
    assert place(seen, ev.NodeCompleted, 1) < place(seen, ev.NodeStarted, 3) < place(seen, ev.NodeCompleted, 3)
    assert place(seen, ev.NodeCompleted, 3) < place(seen, ev.NodeCompleted, 2) < place(seen, ev.NodeStarted, 4)


async def test_one_raising_node_does_not_cancel_its_siblings() -> None:
    fake = GatedFake("slow", answers={"slow one": "slowly", "other": "quickly"})
    seen: list[ev.Event] = []
    async with lab({"a": fake}) as team:
        async for event in told(team.start("1. slow one\n2. raises\n3. other")):
            seen.append(event)
            if isinstance(event, ev.NodeGivenUp):
                assert event.node == 2
                fake.let("slow")
    assert {event.node for event in of(ev.NodeCompleted, seen)} == {1, 3}
    assert not of(ev.NodeCancelled, seen)
    assert "slowly. [1]\nquickly. [3]" in answer_of(seen)


async def test_descendants_of_a_failure_are_skipped_and_the_answer_names_the_gap() -> None:
    fake = FakeExpert({"good": "fine"})
    async with lab({"a": fake}) as team:
        events = await team.ask("1. raises\n2. go on from #1\n3. and from #2\n4. good")
    assert [(event.node, event.because) for event in of(ev.NodeSkipped, events)] == [(2, 1), (3, 2)]
    last = events[-1]
    assert isinstance(last, ev.RunCompleted)
    assert last.gaps == (1, 2, 3)
    assert "fine. [4]" in last.answer
    assert "Not answered: raises (no answer is scripted for 'raises')" in last.answer
    assert "Not answered: and from #2 (it needs step 2, which has no answer)" in last.answer
    assert questions(fake) == ["raises", "good"]
