"""One run from question to answer: plan, substitution, aggregation, deadline, cancellation, record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from compllm.core import events as ev
from compllm.core.answers import Passage
from compllm.core.plan import SubQuery
from compllm.core.routing import Assignment
from compllm.core.rules import Rules
from compllm.errors import AggregationError, ExpertError
from compllm.experts.base import ChatRequest, Chunk
from compllm.experts.expert import NOT_FOUND
from compllm.experts.fake import FakeExpert
from compllm.planner.base import Note
from compllm.planner.rules import RulePlanner
from tests.wiring import (
    QUICK,
    GatedFake,
    Notebook,
    ScriptedAggregator,
    ScriptedPlanner,
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


# --- plan and answer -------------------------------------------------------------------------------------------------


async def test_one_step_is_answered_as_it_is_without_an_aggregator() -> None:
    aggregator = ScriptedAggregator(["never"])
    async with lab({"a": FakeExpert({"What?": "That [as it is]."})}, aggregator=aggregator) as team:
        events = await team.ask(RulePlanner(), "What?")
    assert answer_of(events) == "That [as it is]."
    assert aggregator.seen == []
    assert not of(ev.AggregationStarted, events)


async def test_while_a_plan_is_written_the_models_that_will_probably_be_needed_are_loaded() -> None:
    written = anyio.Event()
    step = SubQuery.literal(1, "What?")
    a, b, c = FakeExpert(), FakeExpert(), FakeExpert()
    async with lab({"a": a, "b": b, "c": c}, bytes_each=1, capacity_bytes=3) as team:
        run = team.start(ScriptedPlanner([written, step]), looks_ahead=True)
        async with run.events:
            while not (a.loaded and b.loaded):
                await anyio.lowlevel.checkpoint()
            assert not c.loaded  # two are likely, the third is not
            written.set()
            events = [stamped.event async for stamped in run.events]
    assert of(ev.ModelsExpected, events) == [ev.ModelsExpected(run.id, ("a", "b"))]
    assert answer_of(events) == "What?"


async def test_the_story_of_a_run_is_told_in_order_and_once() -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask("1. x\n2. y of #1")
    of_step_2 = [event.kind for event in events if getattr(event, "node", 0) == 2]
    assert of_step_2 == ["node_added", "node_routed", "node_started", "node_delta", "node_completed"]
    assert place(events, ev.NodeCompleted, 1) < place(events, ev.NodeRouted, 2)
    assert [event.kind for event in events][-4:] == [
        "aggregation_started",
        "answer_delta",
        "answer_delta",
        "run_completed",
    ]
    assert events[0].kind == "run_started"
    assert len(of(ev.PlanClosed, events)) == 1
    assert "".join(event.text for event in of(ev.AnswerDelta, events)).strip() == answer_of(events)


async def test_times_never_go_back() -> None:
    async with lab({"a": FakeExpert()}) as team:
        run = team.start("1. x\n2. y of #1")
        async with run.events:
            stamps = [stamped.at_s async for stamped in run.events]
    assert stamps[0] >= 0
    assert all(a <= b for a, b in pairwise(stamps))


async def test_the_aggregator_sees_questions_answers_experts_and_edges() -> None:
    aggregator = ScriptedAggregator(["One ", "answer."])
    fakes = {"a": FakeExpert({"x": "an answer."}), "b": FakeExpert({"y of an answer": "another"})}
    async with lab(fakes, aggregator=aggregator) as team:
        events = await team.ask("1. [a] x\n2. [b] y of #1")
    first, second = aggregator.seen[0]
    assert (first.step, first.question, first.answer, first.expert, first.parents) == (1, "x", "an answer.", "a", ())
    assert (second.question, second.expert, second.parents) == ("y of an answer", "b", (1,))
    assert answer_of(events) == "One answer."


async def test_the_aggregator_sees_the_gaps_and_the_run_gives_their_reasons() -> None:
    aggregator = ScriptedAggregator(["One answer."])
    async with lab({"a": FakeExpert({"x": "1", "z": "3"})}, aggregator=aggregator) as team:
        events = await team.ask("1. x\n2. y\n3. z")
    assert [(part.step, part.question, part.answer, part.is_gap) for part in aggregator.seen[0]] == [
        (1, "x", "1", False),
        (2, "y", "", True),
        (3, "z", "3", False),
    ]
    assert answer_of(events).startswith("One answer.\n\nNot answered: y (")


@pytest.mark.parametrize(("tag", "answer"), [("a", "from b"), ("alone", None)])
async def test_a_reader_that_finds_nothing_hands_over_or_leaves_a_gap(tag: str, answer: str | None) -> None:
    fakes = {"a": FakeExpert(lambda asked: NOT_FOUND), "b": FakeExpert({"x": "from b"})}
    async with lab(fakes) as team:
        passage = Passage("a.md", "A", "Nothing about it.", 1.0)
        team.experts["a"] = replace(team.experts["a"], retrieve=lambda *_: (passage,), adapter="reader")
        events = await team.ask(f"1. [{tag}] x")
    if answer is not None:
        assert answer_of(events) == answer
    else:
        assert isinstance(events[-1], ev.RunFailed)
        assert "its documents do not say" in events[-1].reason
    assert len(fakes["a"].calls) == 1


async def test_tokens_of_all_steps_are_counted() -> None:
    async with lab({"a": FakeExpert({"x": "one two", "y z": "three"})}) as team:
        last = (await team.ask("1. x\n2. y z"))[-1]
    assert isinstance(last, ev.RunCompleted)
    assert (last.prompt_tokens, last.completion_tokens) == (3, 3)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        ("Paris.", "what is Paris?"),
        ("It is Paris. It is big.", "what is It is Paris. It is big.?"),
        ("Paris\n\nin France", "what is Paris in France?"),
        (" Paris ", "what is Paris?"),
        ("x" * 3000, f"what is {'x' * 2000}?"),
    ],
)
async def test_an_answer_is_quoted_on_one_line_and_bounded(answer: str, asked: str) -> None:
    fake = FakeExpert(lambda question: answer if question == "begin" else "end")
    async with lab({"a": fake}) as team:
        await team.ask("1. begin\n2. what is #1?")
    assert questions(fake)[1] == asked


async def test_a_step_that_only_follows_is_told_what_is_known() -> None:
    fake = FakeExpert(lambda question: {"capital?": "Paris.", "river?": "Seine."}.get(question, "both"))
    async with lab({"a": fake}) as team:
        await team.ask("1. capital?\n2. river?\n3. is #1 there? (after #1, #2)")
    assert questions(fake)[2] == "is Paris there?\n\nKnown so far:\n- river? Seine"


async def test_a_dependent_step_is_routed_again_by_its_final_question() -> None:
    asked: list[tuple[str, str | None]] = []

    async with lab({"a": FakeExpert({"x": "music", "y of music": "fine"})}) as team:
        inner = team.route

        async def route(question: str, tag: str | None) -> Assignment:
            asked.append((question, tag))
            return await inner(question, tag)

        team.route = route
        await team.ask("1. x\n2. [a] y of #1")
    assert asked == [("x", None), ("y of #1", "a"), ("y of music", "a")]


async def test_notes_of_the_planner_are_events() -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(ScriptedPlanner([Note("by hand"), SubQuery(1, "x")]))
    assert notes(events) == "by hand"


async def test_an_empty_answer_is_a_failure_that_is_tried_again() -> None:
    empty_once = iter(["", "at last"])
    async with lab({"a": FakeExpert(lambda _: next(empty_once))}) as team:
        events = await team.ask("1. x")
    assert of(ev.NodeFailed, events)[0].reason == "the model answered nothing"
    assert answer_of(events) == "at last"


# --- what fails ------------------------------------------------------------------------------------------------------


async def test_steps_before_a_planners_failure_stand_and_the_question_is_the_last() -> None:
    planner = ScriptedPlanner([SubQuery(1, "x"), SubQuery(2, "y"), RuntimeError("gone")])
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planner, "Both?")
    assert [(event.text, event.parents) for event in of(ev.NodeAdded, events)] == [
        ("x", ()),
        ("y", ()),
        ("Both?", (1, 2)),
    ]
    assert "RuntimeError: gone" in notes(events)
    assert planner.closed


@pytest.mark.parametrize("bad", [SubQuery(1, "twice"), SubQuery(2, "y of #3"), SubQuery(2, "y", after=frozenset({2}))])
async def test_a_step_that_does_not_fit_harms_no_other_run(bad: SubQuery) -> None:
    fake = GatedFake("held")
    async with lab({"a": fake}) as team:
        other = team.start("1. held")
        events = await team.ask(ScriptedPlanner([SubQuery(1, "x"), bad]), "What?")
        assert "planning failed: step" in notes(events)
        assert [event.text for event in of(ev.NodeAdded, events)] == ["x", "What?"]
        fake.let("held")
        assert answer_of([event async for event in told(other)]) == "held"


@pytest.mark.parametrize("error", [ExpertError("away"), AggregationError("empty"), ValueError("odd")])
@pytest.mark.parametrize("pieces", [(), ("Half an",)])
async def test_a_failing_aggregator_loses_no_answer(error: Exception, pieces: Sequence[str]) -> None:
    async with lab({"a": FakeExpert()}, aggregator=ScriptedAggregator(pieces, error)) as team:
        events = await team.ask("1. x\n2. y")
    begun = f"{pieces[0]}\n\n" if pieces else ""
    assert answer_of(events) == f"{begun}x. [1]\ny. [2]"
    assert of(ev.AnswerDelta, events)[0].text.strip()
    assert str(error) in notes(events)


async def test_an_encoder_that_raises_anything_fails_only_its_step() -> None:
    async with lab({"a": FakeExpert()}) as team:
        inner = team.route

        async def route(question: str, tag: str | None) -> Assignment:
            if "broken" in question:
                raise ValueError("no vector")
            return await inner(question, tag)

        team.route = route
        planned = await team.ask("1. x\n2. broken")
        resolved = await team.ask(plan_of(SubQuery(1, "x"), SubQuery(2, "#1 broken"), SubQuery(3, "y")))
    for events in (planned, resolved):
        assert "ValueError: no vector" in answer_of(events)
        assert "x. [1]" in answer_of(events)


async def test_a_step_that_names_an_answer_thousands_of_times_stays_bounded() -> None:
    fake = FakeExpert(lambda question: "x" * 5_000 if question == "Who?" else "fine")
    async with lab({"a": fake}) as team:
        await team.ask("1. Who?\n2. " + "#1 " * 1_000 + "?\n3. #1 or #1?")
    lengths = sorted(map(len, questions(fake)))
    assert lengths == [4, 2_000 + len(" or ") + 2_000 + len("?"), 1_000 * len("x" * 16 + " ") + len("?")]


async def test_a_route_that_only_fails_after_substitution_fails_only_its_step() -> None:
    async with lab({"a": FakeExpert({"x": "secret", "y": "y"})}) as team:
        inner = team.route

        async def route(question: str, tag: str | None) -> Assignment:
            if "secret" in question:
                raise ValueError("no vector")
            return await inner(question, tag)

        team.route = route
        events = await team.ask("1. x\n2. of #1\n3. y")
    assert "ValueError: no vector" in answer_of(events)
    assert "y. [3]" in answer_of(events)


async def test_with_on_failure_continue_the_gap_is_put_into_the_question() -> None:
    fake = FakeExpert(lambda question: question if question != "lost" else "")
    async with lab({"a": fake}, rules=Rules(skip_descendants=False, backoff=QUICK)) as team:
        events = await team.ask("1. lost\n2. go on from #1")
    assert questions(fake)[-1] == "go on from (unknown: step 1 has no answer)"
    assert "Not answered: lost" in answer_of(events)


async def test_a_journal_that_fails_does_not_cost_the_answer() -> None:
    for fails_from in (1, 4):
        async with lab({"a": FakeExpert()}, journal=Notebook(fails_from)) as team:
            events = await team.ask("1. x")
        assert answer_of(events) == "x"
        assert notes(events) == "this run is not recorded: the disk is full"


async def test_the_journal_gets_everything_that_the_reader_gets() -> None:
    journal = Notebook()
    async with lab({"a": FakeExpert()}, journal=journal) as team:
        assert await team.ask("1. x\n2. y of #1") == journal.runs["run1"]


# --- deadline and cancellation ---------------------------------------------------------------------------------------


async def test_a_run_whose_node_hangs_ends_at_the_deadline_with_what_there_is() -> None:
    fake = GatedFake("hangs")
    async with lab({"a": fake}, aggregator=ScriptedAggregator(hang=True)) as team:
        events = await team.ask("1. x\n2. hangs\n3. y\n4. of #2", deadline_s=0.2)
    last = events[-1]
    assert isinstance(last, ev.RunCompleted)
    assert last.gaps == (2, 4)
    assert last.answer.startswith("x. [1]\ny. [3]\n\nNot answered: hangs (the deadline of 0.2 s has passed)")
    assert fake.open_streams == 0


async def test_a_run_with_nothing_at_its_deadline_fails_and_says_so() -> None:
    async with lab({"a": FakeExpert(hang=True)}) as team:
        last = (await team.ask("1. x", deadline_s=0.05))[-1]
    assert isinstance(last, ev.RunFailed)
    assert last.reason == "the deadline of 0.05 s has passed"


async def test_a_planner_that_hangs_is_cut_off_and_the_question_is_asked_whole() -> None:
    planner = ScriptedPlanner([anyio.Event()])
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planner, "What?", deadline_s=1.0)
    assert answer_of(events) == "What?"
    assert planner.closed


async def test_a_planner_that_hangs_after_some_steps_loses_neither_them_nor_the_question() -> None:
    planner = ScriptedPlanner([SubQuery(1, "x"), anyio.Event()])
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask(planner, "What?", deadline_s=1.0)
    assert [(event.text, event.parents) for event in of(ev.NodeAdded, events)] == [("x", ()), ("What?", (1,))]
    assert planner.closed


async def test_an_aggregator_that_hangs_ends_at_the_deadline() -> None:
    aggregator = ScriptedAggregator(["Half"], hang=True)
    async with lab({"a": FakeExpert()}, aggregator=aggregator) as team:
        events = await team.ask("1. x\n2. y", deadline_s=0.2)
    assert answer_of(events) == "Half\n\nx. [1]\ny. [2]"
    assert "the deadline of 0.2 s has passed" in notes(events)


@pytest.mark.parametrize("when", ["at once", "while it plans", "while it runs", "while it writes"])
async def test_a_cancelled_run_ends_soon_and_says_why(when: str) -> None:
    fake = FakeExpert(hang=when == "while it runs")
    planner = ScriptedPlanner(
        [SubQuery(1, "x"), SubQuery(2, "y"), *([anyio.Event()] if when == "while it plans" else [])]
    )
    async with lab({"a": fake}, aggregator=ScriptedAggregator(hang=True)) as team:
        run = team.start(planner)
        if when != "at once":
            await anyio.wait_all_tasks_blocked()
        run.cancel("enough")
        with anyio.fail_after(5):
            events = [event async for event in told(run)]
    assert isinstance(events[-1], ev.RunFailed)
    assert events[-1].reason == "cancelled: enough"
    assert len(of(ev.RunCancelled, events)) == 1
    assert fake.open_streams == 0


@pytest.mark.parametrize("ticks", range(10))
async def test_a_run_that_ends_as_cancelled_was_told_to_be_at_any_time(ticks: int) -> None:
    async with lab({"a": FakeExpert()}) as team:
        run = team.start("1. x")
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        run.cancel("enough")
        events = [event async for event in told(run)]
    assert len(of(ev.RunCancelled, events)) == (not isinstance(events[-1], ev.RunCompleted))


async def test_a_cancelled_run_that_stops_after_its_deadline_stays_cancelled_for_the_first_reason() -> None:
    class Slow(FakeExpert):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            try:
                async with aclosing(super().stream(request)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.4)

    async with lab({"a": FakeExpert(), "b": Slow(hang=True)}) as team:
        run = team.start("1. [a] x\n2. [b] hangs", deadline_s=0.3)
        await anyio.wait_all_tasks_blocked()
        run.cancel("enough")
        run.cancel("the caller went away")
        events = [event async for event in told(run)]
    assert of(ev.RunCancelled, events) == [ev.RunCancelled(run.id, "enough")]
    assert events[-1] == ev.RunFailed(run.id, "cancelled: enough")


async def test_a_run_that_is_cancelled_before_it_has_begun_ends_and_harms_nobody() -> None:
    async with lab({"a": FakeExpert()}) as team:
        run = team.start("1. x")
        run.open()
        run.cancel("changed my mind")
        events = [event async for event in told(run)]
        assert answer_of(await team.ask("1. y")) == "y"
    assert events[-1] == ev.RunFailed(run.id, "cancelled: changed my mind")


async def test_cancelling_a_run_that_is_over_changes_nothing() -> None:
    async with lab({"a": FakeExpert()}) as team:
        run = team.start("1. x")
        events = [event async for event in told(run)]
        run.cancel("too late")
        await anyio.wait_all_tasks_blocked()
        assert answer_of(events) == "x"
        assert answer_of(await team.ask("1. y")) == "y"


async def test_a_reader_that_leaves_does_not_stop_the_record() -> None:
    journal = Notebook()
    async with lab({"a": FakeExpert()}, journal=journal) as team:
        run = team.start("1. x")
        await run.events.aclose()
        await anyio.wait_all_tasks_blocked()
        other = await team.ask("1. y")
    assert answer_of(journal.runs[run.id]) == "x"
    assert answer_of(other) == "y"
