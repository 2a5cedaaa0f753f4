"""Keeps a page up to date: its parts are sent again when they have changed, and the script puts them in place."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import anyio
from fastapi.sse import format_sse_event
from markupsafe import Markup
from starlette.responses import Response

from compllm.core.events import Stamped
from compllm.serve.live import START, LiveRun, Position
from compllm.serve.page.door import Visit
from compllm.serve.page.render import protected
from compllm.serve.stream import EventStream

# What happens within this time is drawn together.
_TOGETHER_S = 0.1


async def batches(run: LiveRun) -> AsyncIterator[tuple[Stamped, ...]]:
    """Yield what happens in a run, from its start to its end, what comes together in one piece."""
    place, taken = START, 0
    while await _has_more(run, place):
        if not run.has_ended:
            await anyio.sleep(_TOGETHER_S)
        events = run.events[taken:]
        for stamped in events:
            place = place.after(stamped)
        taken += len(events)
        yield events


async def _has_more(run: LiveRun, place: Position) -> bool:
    """Wait until something new has happened, or nothing more can."""
    async with aclosing(run.follow(place)) as stream:
        return await anext(stream, None) is not None


def follow(visit: Visit, versions: AsyncGenerator[Mapping[str, Markup], None], *, has_end: bool) -> Response:
    """Return a stream of a page's parts, each sent when it has changed; if too many are followed, say so.

    One that `has_end` says when there will be no more; from any other, a page that has lost it begins anew.
    """
    if visit.request.method == "HEAD":  # it would wait for the end of a body that it does not get
        return protected(Response(media_type=EventStream.media_type))
    if visit.streams.available_tokens < 1:
        return visit.problem(503, "Too many pages are being followed at present.")

    async def messages() -> AsyncGenerator[bytes, None]:
        shown: dict[str, Markup] = {}
        async with _place_in(visit.streams), aclosing(versions):
            async for parts in versions:
                changed = {name: html for name, html in parts.items() if shown.get(name) != html}
                if changed:
                    yield format_sse_event(event="parts", data_str=json.dumps(changed))
                shown.update(changed)
        if has_end:
            yield format_sse_event(event="end", data_str="")

    return protected(EventStream(messages()))


@asynccontextmanager
async def _place_in(streams: anyio.CapacityLimiter) -> AsyncIterator[None]:
    stream = object()  # not the task: a stream may be closed by another one
    await streams.acquire_on_behalf_of(stream)
    try:
        yield
    finally:
        streams.release_on_behalf_of(stream)
