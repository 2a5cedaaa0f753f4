from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from compllm.bench.evidence.rows import GoldStep
from compllm.bench.evidence.systems.oracle import by_gold_answers
from compllm.errors import PlanError
from tests.bench.evidence.lab import BRIDGE, ROW, bench_team

pytestmark = pytest.mark.anyio


async def test_gold_answers_are_joined_by_the_team(tmp_path: Path) -> None:
    async with bench_team(tmp_path) as team:
        reply = await by_gold_answers(team, ROW)
        bridge = await by_gold_answers(team, BRIDGE)
    assert reply.text == "70. [1]\na hormone. [2]"
    assert not reply.looked_up
    assert bridge.steps[1].question == "What does heart make?"
    assert [step.is_last for step in bridge.steps] == [False, True]
    assert team.meter.calls == 0


async def test_a_single_answer_is_the_answer(tmp_path: Path) -> None:
    row = replace(ROW, plan=(GoldStep(1, "Who?", answers=("Ann",)),))
    async with bench_team(tmp_path) as team:
        assert (await by_gold_answers(team, row)).text == "Ann"


async def test_without_gold_answers_there_is_no_oracle(tmp_path: Path) -> None:
    row = replace(ROW, plan=(GoldStep(1, "Who?"),))
    async with bench_team(tmp_path) as team:
        with pytest.raises(PlanError, match="p-1: the set gives no answers"):
            await by_gold_answers(team, row)
