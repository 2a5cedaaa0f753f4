"""Rows are worked on in order, as many at once as asked for."""

from __future__ import annotations

from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.bench.rows import evenly, for_each

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("at_once", [1, 3])
async def test_results_come_in_the_order_of_the_rows(at_once: int) -> None:
    running, most, seen = 0, 0, []

    async def work(row: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(7 - row):
            await anyio.lowlevel.checkpoint()
        running -= 1
        return row * row

    assert await for_each(range(7), work, at_once=at_once, advance=lambda: seen.append(1)) == [n * n for n in range(7)]
    assert most == at_once
    assert len(seen) == 7


async def test_the_first_failure_ends_it() -> None:
    async def work(row: int) -> int:
        if row == 1:
            raise KeyError(row)
        await anyio.sleep_forever()
        return row

    with pytest.raises(KeyError):
        await for_each(range(3), work, at_once=3)


@given(st.integers(1, 50), st.integers(1, 60))
def test_rows_are_taken_evenly(count: int, limit: int) -> None:
    places = evenly(count, limit)
    assert len(places) == min(count, limit)
    assert places[0] == 0
    assert all(1 <= b - a <= -(-count // limit) for a, b in pairwise(places))
    assert evenly(count, None) == list(range(count))
