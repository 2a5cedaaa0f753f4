"""Plans that a model writes: streamed, constrained where the backend can, repaired once, and else one step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from compllm.core.plan import SubQuery
from compllm.errors import ExpertError, ExpertLoadError
from compllm.experts.base import Backend, Message
from compllm.planner.base import Note
from compllm.planner.language import grammar
from compllm.planner.schema import SCHEMA
from compllm.planner.written import ModelPlanner
from tests.wiring import WrittenPlans, questions

pytestmark = pytest.mark.anyio

GOOD = "1. [a] x\n2. y of #1\n"


class Leases:
    """Lends a model and counts how often and whether it came back."""

    def __init__(self, model: Backend, error: ExpertError | None = None) -> None:
        self.model, self.error = model, error
        self.taken = self.open = 0

    @property
    def lease(self) -> Callable[[], AbstractAsyncContextManager[Backend]]:
        @asynccontextmanager
        async def lend() -> AsyncIterator[Backend]:
            self.taken += 1
            if self.error is not None:
                raise self.error
            self.open += 1
            try:
                yield self.model
            finally:
                self.open -= 1

        return lend


async def plan(
    model: WrittenPlans, question: str = "What?", max_steps: int = 6, adapter: str | None = None
) -> tuple[list[SubQuery], list[str]]:
    leases = Leases(model)
    planner = ModelPlanner("m", leases.lease, ["a", "b"], max_steps=max_steps, adapter=adapter)
    pieces = [piece async for piece in planner.plan(question)]
    assert leases.open == 0
    assert model.open_streams == 0
    steps = [piece for piece in pieces if isinstance(piece, SubQuery)]
    assert [step.id for step in steps] == list(range(1, len(steps) + 1))
    return steps, [piece.text for piece in pieces if isinstance(piece, Note)]


async def test_what_only_announces_questions_is_not_planned() -> None:
    model = WrittenPlans("1. [a] x\n2. [b] y\n")
    await plan(model, "For a quiz I need two answers. Who wrote Emma? When was Rome founded?", adapter="planner")
    assert questions(model) == ["Who wrote Emma? When was Rome founded?"]


@pytest.mark.parametrize("piece_characters", [1, 5, 999])
async def test_a_plan_is_read_in_any_pieces(piece_characters: int) -> None:
    steps, notes = await plan(WrittenPlans(GOOD, piece_characters=piece_characters))
    assert [(step.tag, step.text) for step in steps] == [("a", "x"), (None, "y of #1")]
    assert notes == []


async def test_a_step_comes_while_the_model_is_still_writing() -> None:
    model = WrittenPlans(GOOD, piece_characters=1)
    written = ModelPlanner("m", Leases(model).lease, []).plan("What?")
    assert await anext(written) == SubQuery(1, "x", "a")
    assert model.open_streams == 1
    await written.aclose()
    assert model.open_streams == 0


async def test_the_grammar_goes_where_it_is_understood() -> None:
    model = WrittenPlans(GOOD)
    await plan(model, max_steps=6)
    assert model.calls[0].grammar == grammar(6)
    assert model.calls[0].json_schema is None
    assert model.calls[0].messages[-1].content == "What?"
    assert "Fields: a, b." in model.calls[0].messages[0].content


async def test_without_a_grammar_a_schema_is_asked_for_and_read() -> None:
    model = WrittenPlans(json.dumps({"steps": [{"field": "a", "question": "x", "after": []}]}), piece_characters=3)
    model.supports_grammar = False
    steps, notes = await plan(model)
    assert (model.calls[0].grammar, model.calls[0].json_schema) == (None, SCHEMA)
    assert "Answer with JSON" in model.calls[0].messages[0].content
    assert steps == [SubQuery(1, "x", "a")]
    assert notes == []


async def test_with_neither_the_plain_language_is_read() -> None:
    model = WrittenPlans(GOOD)
    model.supports_grammar = model.supports_json_schema = False
    steps, _ = await plan(model)
    assert (model.calls[0].grammar, model.calls[0].json_schema) == (None, None)
    assert len(steps) == 2


async def test_a_repair_continues_behind_the_steps_that_stand() -> None:
    model = WrittenPlans("1. x\n2. y\n9. z", "3. z of #2\n")
    steps, notes = await plan(model)
    assert [step.text for step in steps] == ["x", "y", "z of #2"]
    assert len(notes) == 1
    assert "step number 9 comes where 3 should be" in notes[0]
    assert "These steps stand:\n1. x\n2. y\n" in questions(model)[1]
    assert model.calls[1].grammar is None


async def test_a_repair_of_json_after_steps_asks_for_lines() -> None:
    bad = json.dumps(
        {"steps": [{"field": "", "question": "x", "after": []}, {"field": "", "question": "", "after": []}]}
    )
    model = WrittenPlans(bad, "2. y\n")
    model.supports_grammar = False
    steps, _ = await plan(model)
    assert [step.text for step in steps] == ["x", "y"]
    assert model.calls[1].json_schema is None


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        (["I think"], "not a step"),
        ([""], "the plan has no steps"),
        (["1. about #1"], "is not an earlier step"),
        (["{}"], "not a step"),
        ([ExpertError("busy", retryable=True)], "the planner failed: busy"),
    ],
)
async def test_what_cannot_be_repaired_is_one_step(replies: list[str | Exception], reason: str) -> None:
    steps, notes = await plan(WrittenPlans(*replies), "Why #1?")
    assert [(step.display, step.parents) for step in steps] == [("Why #1?", ())]
    assert reason in notes[0]
    assert notes[-1] == "the question was kept whole"


async def test_what_cannot_be_repaired_is_split_by_the_rules() -> None:
    steps, notes = await plan(WrittenPlans("hm"), "Who wrote Hamlet, and what is compound interest?")
    assert [(step.text, step.parents) for step in steps] == [
        ("Who wrote Hamlet?", ()),
        ("What is compound interest?", ()),
    ]
    assert notes[-1] == "the rules made the plan instead"


async def test_a_step_that_repeats_another_ends_the_plan() -> None:
    steps, notes = await plan(WrittenPlans("1. [a] x\n2. [a] y\n3. [b] X?\n4. [a] z\n"))
    assert [(step.text, step.parents) for step in steps] == [("x", ()), ("y", ()), ("What?", (1, 2))]
    assert notes == ["the model's plan repeated itself or found no end, and was ended there"]


async def test_the_question_follows_what_nobody_used_yet() -> None:
    model = WrittenPlans("1. [a] x\n2. [a] y of #1\n3. [b] X?\n")
    steps, _ = await plan(model, "Would it be #2?")
    assert [(step.display, step.parents) for step in steps][2:] == [("Would it be #2?", (2,))]


async def test_it_does_not_where_several_things_are_asked() -> None:
    steps, _ = await plan(WrittenPlans("1. [a] x\n2. [a] y\n3. [b] X?\n"), "Who is x? And what is y?")
    assert [step.text for step in steps] == ["x", "y"]


async def test_a_step_that_is_the_question_is_the_last() -> None:
    model = WrittenPlans("1. [a] what is  C#1?\n2. [a] y\n", piece_characters=1)
    steps, notes = await plan(model, "What is C#1?")
    assert [step.display for step in steps] == ["what is  C#1?"]
    assert notes == []


async def test_an_adapter_gets_the_bare_question_and_writes_a_tag_on_each_step() -> None:
    model = WrittenPlans("1. [a] x\n2. [b] y of #1", piece_characters=3)
    steps, notes = await plan(model, "Who?", adapter="planner")
    (request,) = model.calls
    assert request.adapter == "planner"
    assert request.messages == (Message("system", "Plan."), Message("user", "Who?"))
    assert request.grammar == grammar(6, tagged=True)
    assert [(step.tag, step.parents) for step in steps] == [("a", ()), ("b", (1,))]
    assert notes == []


async def test_an_adapter_is_asked_once_only() -> None:
    model = WrittenPlans("1. [a] x\n2. [b] wh", finish_reason="length")
    steps, notes = await plan(model, "Why?", adapter="planner")
    assert [step.text for step in steps] == ["x", "Why?"]
    assert "found no end" in notes[0]
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("question", "steps"),
    [("Why?", ["Why?"]), ("What is DNA? And who wrote Hamlet?", ["What is DNA?", "Who wrote Hamlet?"])],
)
async def test_an_adapter_that_ends_no_step_loses_no_question(question: str, steps: list[str]) -> None:
    made, notes = await plan(WrittenPlans("1. [a] wh wh wh", finish_reason="length"), question, adapter="planner")
    assert [step.text for step in made] == steps
    assert "cut off after" in notes[0]


@pytest.mark.parametrize(
    ("question", "steps"),
    [
        ("What is DNA? And who wrote Hamlet?", ["What is DNA?", "Who wrote Hamlet?"]),
        ("What is DNA? And what is it for?", ["What is DNA? And what is it for?"]),
        ("What is DNA, and who wrote Hamlet?", ["What is DNA, and who wrote Hamlet?"]),  # the model may know better
    ],
)
async def test_questions_side_by_side_are_not_kept_whole(question: str, steps: list[str]) -> None:
    made, notes = await plan(WrittenPlans(f"1. [science] {question}\n"), question, adapter="planner")
    assert [step.text for step in made] == steps
    assert len(notes) == (len(steps) > 1)


@pytest.mark.parametrize("written", ["1. What is DNA? Who wrote Hamlet? Where is Rome?\n", "hm\n"])
@pytest.mark.parametrize(("max_steps", "expected"), [(3, 3), (2, 1)])
async def test_rules_that_stand_in_for_the_model_keep_to_the_longest_plan(
    written: str, max_steps: int, expected: int
) -> None:
    steps, _ = await plan(WrittenPlans(written), "What is DNA? Who wrote Hamlet? Where is Rome?", max_steps)
    assert len(steps) == expected


async def test_questions_side_by_side_in_a_step_become_steps_of_their_own() -> None:
    written = "1. [a] Who was born in Rome? What is DNA?\n2. [b] When did #1 live? Why did #1 die?\n"
    steps, notes = await plan(WrittenPlans(written), "Well?", adapter="planner")
    assert [(step.id, step.display, step.tag, step.parents) for step in steps] == [
        (1, "Who was born in Rome?", None, ()),
        (2, "When did #1 live? Why did #1 die?", "b", (1,)),
        (3, "What is DNA?", None, ()),
    ]
    assert notes == []


async def test_questions_side_by_side_stay_in_their_step_if_the_plan_would_grow_too_long() -> None:
    steps, notes = await plan(WrittenPlans("1. What is DNA? Where is Rome?\n"), "Well?", max_steps=1)
    assert [step.text for step in steps] == ["What is DNA? Where is Rome?"]
    assert notes == []


async def test_a_question_that_later_steps_leave_no_room_for_is_named() -> None:
    written = "1. What is DNA? Where is Rome?\n2. Who wrote Hamlet?\n"
    steps, notes = await plan(WrittenPlans(written), "Well?", max_steps=2)
    assert [step.text for step in steps] == ["What is DNA?", "Who wrote Hamlet?"]
    assert notes == ["a plan may have 2 steps, and none was left for: Where is Rome?"]


async def test_steps_that_stand_come_before_the_whole_question() -> None:
    steps, _ = await plan(WrittenPlans("1. x\nhm\n", "hm"), "Why?")
    assert [(step.text, step.parents) for step in steps] == [("x", ()), ("Why?", (1,))]


async def test_more_steps_than_allowed_end_in_the_whole_question() -> None:
    text = "".join(f"{n}. x{n}\n" for n in range(1, 9))
    steps, notes = await plan(WrittenPlans(text), "Why?", max_steps=3)
    assert [step.text for step in steps] == ["x1", "x2", "x3", "Why?"]
    assert "more than the allowed 3 steps" in notes[0]


async def test_a_plan_that_was_cut_off_gives_no_half_step() -> None:
    steps, notes = await plan(WrittenPlans("1. x\n2. What is the popu", finish_reason="length"), "Why?")
    assert [step.text for step in steps] == ["x", "Why?"]
    assert "cut off after 1024 tokens" in notes[0]


async def test_a_model_that_does_not_load_is_a_note() -> None:
    planner = ModelPlanner("m", Leases(WrittenPlans(GOOD), ExpertLoadError("no file")).lease, [])
    pieces = [piece async for piece in planner.plan("Why?")]
    assert pieces == [
        Note("the planner failed: no file"),
        Note("the question was kept whole"),
        SubQuery(1, "Why?"),
    ]
    assert planner.name == "model m"
