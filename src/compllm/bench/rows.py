"""Work on the rows of a bench, one after another or several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

Row = TypeVar("Row")
Result = TypeVar("Result")


async def for_each(
    rows: Sequence[Row],
    work: Callable[[Row], Awaitable[Result]],
    *,
    at_once: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Return what `work` makes of each row, in their order; `advance` is called after each.

    Raises:
        Exception: the first that `work` raised; what else is under way is cancelled.
    """
    results: dict[int, Result] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(place: int, row: Row) -> None:
        async with limiter:
            results[place] = await work(row)
            advance()

    try:
        async with anyio.create_task_group() as group:
            for place, row in enumerate(rows):
                group.start_soon(one, place, row)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [results[place] for place in range(len(rows))]


def evenly(count: int, limit: int | None) -> list[int]:
    """Return the places of at most `limit` of `count` rows, spread evenly over all."""
    kept = count if limit is None else min(limit, count)
    return [place * count // kept for place in range(kept)]
