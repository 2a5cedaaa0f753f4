from __future__ import annotations

from pathlib import Path

import pytest

from compllm.bench.evidence.systems.react import reasoning_and_acting
from compllm.experts.fake import FakeExpert
from tests.bench.evidence.lab import INSULIN, PULSE, ROW, bench_team

pytestmark = pytest.mark.anyio


def thinking(*said: str) -> FakeExpert:
    """Return a model that thinks by a script and answers 70 when it is asked as an expert."""
    left = list(said)

    def answer(asked: str) -> str:
        return left.pop(0) if asked.startswith(("Question: What is", "Observation: ")) else "70"

    return FakeExpert(answer)


async def test_it_asks_observes_and_finishes(tmp_path: Path) -> None:
    one = thinking(
        f"Thought: first.\nAsk [heart]: {PULSE}", f"Ask [glands]: {INSULIN}", "I know.\nFinish: 70 and a hormone."
    )
    async with bench_team(tmp_path, one=one, two=FakeExpert({INSULIN: "a hormone"})) as team:
        reply = await reasoning_and_acting(team, ROW)
    assert (reply.text, reply.notes) == ("70 and a hormone.", ())
    assert [(step.expert, step.answer) for step in reply.steps] == [("heart", "70"), ("glands", "a hormone")]
    assert one.calls[-1].messages[-1].content == "Observation: a hormone"


async def test_words_without_an_action_are_the_answer(tmp_path: Path) -> None:
    async with bench_team(tmp_path, one=thinking("It is 70.")) as team:
        reply = await reasoning_and_acting(team, ROW)
    assert (reply.text, len(reply.notes)) == ("It is 70.", 1)


async def test_it_does_not_go_on_for_ever(tmp_path: Path) -> None:
    async with bench_team(tmp_path, one=thinking(*[f"Ask [heart]: {PULSE}"] * 20)) as team:
        reply = await reasoning_and_acting(team, ROW)
    assert len(reply.steps) == 8
    assert "not finished after 8 actions" in reply.notes[0]
