"""Streams that fall silent say that they are still there, and close their source when the client has left."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from starlette.types import Message

from compllm.serve.stream import EventStream

pytestmark = pytest.mark.anyio
SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_silent_stream_says_that_it_is_still_there() -> None:
    sent: list[bytes] = []
    twice = anyio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        await twice.wait()
        yield b"data: 2\n\n"

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if sent.count(b": still there\n\n") == 2:
            twice.set()

    with anyio.fail_after(10):
        await EventStream(source(), beat_s=0.001)(SCOPE, never, send)
    assert sent[1] == b"data: 1\n\n"
    assert sent[2:4] == [b": still there\n\n"] * 2
    assert b"data: 2\n\n" in sent
    assert sent[-1] == b""


async def test_a_client_that_left_before_the_beginning_is_noticed() -> None:
    closed = []

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(10):
        await EventStream(source(), closed=lambda: closed.append("closed"))(SCOPE, receive, send)
    assert closed == ["closed"]


async def test_a_client_that_leaves_closes_the_source() -> None:
    closed, begun = anyio.Event(), anyio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            begun.set()
            yield b"data: 1\n\n"
            await anyio.sleep_forever()
        finally:
            closed.set()

    async def receive() -> Message:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    with anyio.fail_after(10):
        await EventStream(source())(SCOPE, receive, send)
    assert closed.is_set()
