"""The bench of the engine measures what it says, on plans that are what they are called."""

from __future__ import annotations

import pytest

from compllm.bench.engine import StallingPlanner, chain, crossed, fan_out, run_engine_bench
from compllm.core.plan import SubQuery

pytestmark = pytest.mark.anyio


def test_the_plans_are_what_they_are_called() -> None:
    assert chain(4).edges == ((1, 2), (2, 3), (3, 4))
    assert fan_out(9).edges == ()
    assert len(fan_out(9)) == 9
    assert crossed().edges == ((1, 3), (2, 4))


async def test_a_stalling_planner_ends_when_it_is_released() -> None:
    planner = StallingPlanner([SubQuery(1, "x")])
    pieces = planner.plan("?")
    assert await anext(pieces) == SubQuery(1, "x")
    planner.released.set()
    assert [piece async for piece in pieces] == []


async def test_the_figures_are_there_and_above_what_is_possible() -> None:
    figures = await run_engine_bench(repeats=1)
    assert set(figures) == {
        "chain_50_s",
        "crossed_s",
        "crossed_possible_s",
        "fan_out_1000_s",
        "freed_node_delay_s",
        "repeats",
    }
    assert figures["crossed_s"] >= figures["crossed_possible_s"]
    assert figures["freed_node_delay_s"] >= 0
    assert min(figures.values()) >= 0
    assert figures["repeats"] == 1
