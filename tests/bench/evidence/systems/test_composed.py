from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from compllm.bench.evidence.systems.composed import (
    ChainPlanner,
    as_it_is,
    by_documents,
    by_gold_plan,
    by_gold_route,
    chained,
    one_by_one,
    whole,
)
from compllm.bench.evidence.team import undeterred
from compllm.core.answers import Passage
from compllm.core.plan import SubQuery
from compllm.errors import ExpertResponseError, PlanError
from compllm.experts.fake import FakeExpert
from compllm.planner.rules import RulePlanner
from tests.bench.evidence.lab import BRIDGE, INSULIN, PULSE, ROW, bench_team
from tests.wiring import questions

pytestmark = pytest.mark.anyio


async def test_the_team_answers_as_it_does_for_a_user(tmp_path: Path) -> None:
    async with bench_team(tmp_path, one=FakeExpert(str.upper)) as team:
        reply = await as_it_is(team, ROW)
    assert reply.text == f"{PULSE.upper()} [1]\n{INSULIN} [2]"
    assert [(step.expert, step.question, step.is_last) for step in reply.steps] == [
        ("heart", PULSE, True),
        ("glands", INSULIN, True),
    ]
    assert reply.ttft_s is not None
    assert (team.meter.calls, team.meter.completion_tokens) == (2, 10)


async def test_a_whole_question_goes_to_one_expert(tmp_path: Path) -> None:
    async with bench_team(tmp_path) as team:
        reply = await whole(team, ROW)
    assert [step.question for step in reply.steps] == [ROW.question]


async def test_a_chain_tells_each_step_what_was_found(tmp_path: Path) -> None:
    two = FakeExpert()
    async with bench_team(tmp_path, one=FakeExpert({PULSE: "70"}), two=two) as team:
        reply = await chained(team, ROW)
    assert questions(two) == [f"{INSULIN}\n\nKnown so far:\n- {PULSE} 70"]
    assert [step.is_last for step in reply.steps] == [False, True]


async def test_a_chain_goes_on_after_a_step_that_found_nothing(tmp_path: Path) -> None:
    two = FakeExpert()
    async with bench_team(tmp_path, undeterred, one=FakeExpert({}), two=two) as team:
        reply = await chained(team, ROW)
    assert [bool(step.answer) for step in reply.steps] == [False, True]
    assert questions(two) == [f"{INSULIN}\n\nKnown so far:\n- {PULSE} (unknown: step 1 has no answer)"]


async def test_a_chain_tells_a_step_of_all_before_it() -> None:
    async with aclosing(ChainPlanner(RulePlanner()).plan("What is one? What is two? What is three?")) as pieces:
        steps = [piece async for piece in pieces if isinstance(piece, SubQuery)]
    assert [set(step.after) for step in steps] == [set(), {1}, {1, 2}]


async def test_one_by_one_never_overlaps_where_the_team_does(tmp_path: Path) -> None:
    row = ROW.__class__("x", "P", "What is the heart? What is the pulse? What is heart pulse?", (("a",),))
    together, apart = FakeExpert(first_token_s=0.03), FakeExpert(first_token_s=0.03)
    async with bench_team(tmp_path, one=together) as team:
        composed = await as_it_is(team, row)
    async with bench_team(tmp_path, one=apart) as team:
        sequential = await one_by_one(team, row)
    assert together.max_open_streams > apart.max_open_streams == 1
    assert sequential.text == composed.text


async def test_one_by_one_goes_on_after_a_failure(tmp_path: Path) -> None:
    one = FakeExpert({INSULIN: "x"})
    async with bench_team(tmp_path, one=one, two=FakeExpert({INSULIN: "a hormone"})) as team:
        reply = await one_by_one(team, ROW)
    assert "a hormone" in reply.text
    assert [step.answer for step in reply.steps] == ["", "a hormone"]
    assert any("no answer is scripted" in note for note in reply.notes)


async def test_the_gold_plan_is_routed_by_the_team(tmp_path: Path) -> None:
    answers = {"Which organ has a pulse?": "the heart", "What does the heart make?": "warmth"}
    async with bench_team(tmp_path, one=FakeExpert(answers), two=FakeExpert(answers)) as team:
        reply = await by_gold_plan(team, BRIDGE)
    assert [(step.question, step.answer) for step in reply.steps] == list(answers.items())


async def test_the_gold_expert_answers_alone(tmp_path: Path) -> None:
    refusing = FakeExpert(failures={n: ExpertResponseError("no") for n in range(1, 9)})
    async with bench_team(tmp_path, one=FakeExpert(str.upper), two=refusing) as team:
        reply = await by_gold_route(team, ROW)
    assert [(step.expert, step.answer) for step in reply.steps] == [("heart", PULSE.upper()), ("glands", "")]


def reading(passages: tuple[Passage, ...], question: str, limit: int) -> tuple[Passage, ...]:
    return passages[:limit]


async def test_documents_may_route(tmp_path: Path) -> None:
    """The pulse stands in the documents of the glands' expert."""
    async with bench_team(tmp_path) as team:
        for name, score in (("heart", 0.3), ("glands", 0.8)):
            passages = (Passage("file", "title", "The pulse is 70.", score),)
            team._experts[name] = replace(team.experts[name], retrieve=partial(reading, passages))
        read = await by_documents(team, ROW)
    async with bench_team(tmp_path) as team:
        unread = await by_documents(team, ROW)
    assert [step.expert for step in read.steps] == ["glands", "glands"]
    assert [step.expert for step in unread.steps] == ["heart", "glands"]


async def test_without_a_gold_plan_there_is_no_oracle(tmp_path: Path) -> None:
    async with bench_team(tmp_path) as team:
        with pytest.raises(PlanError):
            await by_gold_plan(team, ROW.__class__("x", "P", "Who?", (("a",),)))


async def test_a_run_without_any_answer_says_why(tmp_path: Path) -> None:
    async with bench_team(tmp_path, one=FakeExpert({}), two=FakeExpert({})) as team:
        reply = await as_it_is(team, ROW)
    assert reply.text == ""
    assert any("no answer is scripted" in note for note in reply.notes)
