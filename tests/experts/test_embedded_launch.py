"""The parent's side of a worker that is slow: a scripted server stands behind a process that does nothing else."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import pytest

from compllm.experts.embedded.launch import Worker
from tests.experts.misbehaving import Connection, Server, good, plain, serving

pytestmark = pytest.mark.anyio

STAND_IN = """
import sys
sys.stdin.readline()
print('{{"address": "{address}"}}', flush=True)
sys.stdin.read()
"""


@dataclass
class Slow:
    """Answers a request only once the gate is open; its slot is busy for as long as told."""

    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    is_busy: bool = False

    def __call__(self, connection: Connection) -> None:
        if connection.path == "/slots":
            plain(200, json.dumps([{"is_processing": self.is_busy}]).encode())(connection)
            return
        self.asked.set()
        self.gate.wait(10)
        good("late")(connection)


@asynccontextmanager
async def working(slow: Slow) -> AsyncIterator[tuple[Worker, Server]]:
    with serving(slow) as server:
        program = STAND_IN.format(address=server.url.removesuffix("/v1"))
        process = await anyio.open_process([sys.executable, "-c", program], stderr=None, start_new_session=True)
        worker = Worker(process, tempfile.TemporaryFile(), slots=1)  # noqa: SIM115 - closed by `end`
        try:
            await worker.load("m", {})
            yield worker, server
        finally:
            slow.gate.set()
            await worker.end()


async def answer(worker: Worker, *, silence_s: float = 5.0, grace_s: float = 5.0) -> str:
    async with worker.answering({"stream": True}, silence_s, grace_s) as response:
        return (await response.aread()).decode()


async def test_an_answer_that_begins_after_the_grace_of_a_cancel_is_waited_for() -> None:
    slow, texts = Slow(), list[str]()
    async with working(slow) as (worker, _):

        async def ask() -> None:
            texts.append(await answer(worker, grace_s=0.01))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.to_thread.run_sync(slow.asked.wait, 5)
            await anyio.sleep(0.1)
            slow.gate.set()
    assert "late" in texts[0]


async def test_silence_before_an_answer_begins_is_bounded() -> None:
    async with working(Slow()) as (worker, _):
        with pytest.raises(httpx.TimeoutException):
            await answer(worker, silence_s=0.1)


async def test_whoever_cancels_waits_until_the_server_shows_the_request() -> None:
    slow = Slow()
    async with working(slow) as (worker, server):
        async with anyio.create_task_group() as group:
            group.start_soon(answer, worker)
            await anyio.to_thread.run_sync(slow.asked.wait, 5)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                assert [seen.path for seen in server.seen] == ["/v1/chat/completions"]
                slow.gate.set()
        assert [seen.path for seen in server.seen] == ["/v1/chat/completions", "/slots"]
        assert worker.process.returncode is None
        assert "late" in await answer(worker)


async def test_whoever_cancels_waits_no_longer_than_the_grace() -> None:
    slow = Slow(is_busy=True)
    async with working(slow) as (worker, _):
        with anyio.fail_after(4):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: answer(worker, grace_s=0.1))
                await anyio.to_thread.run_sync(slow.asked.wait, 5)
                group.cancel_scope.cancel()
            assert "did not give back a slot within 0.1 s" in await worker.epitaph()
