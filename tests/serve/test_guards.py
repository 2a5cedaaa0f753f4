"""Bodies in pieces, as an ASGI server hands them over."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from compllm.serve.guards import BodyLimit

pytestmark = pytest.mark.anyio


class Echo:
    """Answers with what it reads."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        self.bodies.append(message["body"])
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def request(app: BodyLimit, pieces: Iterable[bytes], *, declared: int | None = None, left: bool = False) -> int:
    """Send a body in pieces and return the status, 0 if there is none; `left`: the client goes away at the end."""
    length = [(b"content-length", str(declared).encode())] if declared is not None else []
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages += [] if left else [{"type": "http.request", "body": b"", "more_body": False}]
    statuses = []

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app({"type": "http", "headers": length}, receive, send)
    return statuses[0] if statuses else 0


async def test_a_body_that_is_small_enough_comes_in_one_piece() -> None:
    echo = Echo()
    app = BodyLimit(echo, 10, 5)
    assert await request(app, [b"01234", b"", b"56789"]) == 200
    assert await request(app, []) == 200
    assert echo.bodies == [b"0123456789", b""]


async def test_a_larger_one_is_refused_as_soon_as_it_is_known() -> None:
    echo = Echo()
    app = BodyLimit(echo, 10, 5)
    assert await request(app, [b"01234", b"567890"]) == 413
    assert await request(app, [], declared=11) == 413
    assert await request(app, [b"x" * 1000], declared=3) == 413
    assert not echo.bodies


async def test_a_client_that_leaves_costs_nothing() -> None:
    echo = Echo()
    app = BodyLimit(echo, 10, 5)
    for _ in range(1000):
        assert await request(app, [b"0123456789"], left=True) == 0
    assert await request(app, [b"0123456789"]) == 200


async def test_bodies_that_arrive_together_have_a_bound_too() -> None:
    app, statuses = BodyLimit(Echo(), 10, 5), []

    async def one() -> None:
        statuses.append(await request(app, [b"01234", b"56789"]))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    assert set(statuses) == {200, 503}
    assert await request(app, [b"0123456789"]) == 200


async def test_one_that_does_not_arrive_in_time_is_given_up() -> None:
    app, statuses = BodyLimit(Echo(), 10, 0.01), []

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    await app({"type": "http", "headers": []}, anyio.sleep_forever, send)  # type: ignore[arg-type]
    assert statuses[0] == 408
