"""The client that makes the load, against a server of its own."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from compllm.bench.serving.fakes import FIELDS, FieldEncoder
from compllm.bench.serving.load import Load, Target, connected, put_load, send_one
from compllm.bench.serving.measure import _Asking
from tests.experts.misbehaving import failing, good, plain, serving

pytestmark = pytest.mark.anyio


def target(url: str) -> Target:
    host, _, port = url.removeprefix("http://").removesuffix("/v1").partition(":")
    return Target(host, int(port), "/v1/chat/completions", {"messages": []})


async def test_bodies_with_a_length_and_in_chunks_are_read_to_their_end() -> None:
    for answer, end in ((plain(200, b"{}"), b"{}"), (good("one", "two"), b"data: [DONE]")):
        with serving(answer) as server:
            async with connected(target(server.url)) as connection:
                reply = await connection.send(target(server.url).request)
        assert reply.status == 200
        assert reply.body.rstrip().endswith(end)
        assert 0 < reply.first_s <= reply.elapsed_s


async def test_every_request_is_sent_and_timed() -> None:
    with serving(plain(200, b"{}")) as server:
        load = await put_load(target(server.url), requests=10, at_once=3)
        assert len(server.seen) == 10
    figures = load.figures(ideal_s=0.001)
    assert (figures["requests"], figures["errors"]) == (10, 0)
    assert float(str(figures["added_p50_ms"])) == pytest.approx(float(str(figures["p50_ms"])) - 1, abs=1e-3)


async def test_what_goes_wrong_is_counted() -> None:
    with serving(failing(503)) as server:
        load = await put_load(target(server.url), requests=4, at_once=2)
    assert [error[:4] for error in load.errors] == ["503:"] * 4
    figures = load.figures(ideal_s=0.001)
    assert (figures["requests"], figures["errors"], figures["p50_ms"], figures["added_p50_ms"]) == (0, 4, None, None)

    async def hang_up(stream: SocketStream) -> None:
        await stream.receive()
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    broken = Load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        there = Target("127.0.0.1", port, "/", {})
        async with connected(there) as connection:
            await send_one(connection, there, broken)
        tasks.cancel_scope.cancel()
    await listener.aclose()
    assert len(broken.errors) == 1
    assert not broken.replies


async def test_whoever_waits_for_answers_hears_of_a_refusal() -> None:
    with serving(failing(503)) as server:
        asking = _Asking(target(server.url), Load(), enough=1)
        await asking.ask_until_refused()
    assert asking.has_enough.is_set()
    assert not asking.load.replies


def test_the_encoder_tells_the_fields_apart() -> None:
    vectors = FieldEncoder().encode([f"What is {name}?" for name in FIELDS])
    assert (vectors @ vectors.T).round(1).tolist() == [[float(a == b) for b in range(4)] for a in range(4)]
