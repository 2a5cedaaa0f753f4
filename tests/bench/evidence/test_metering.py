from __future__ import annotations

import anyio
import pytest

from compllm.bench.evidence.metering import Meter, MeteredBackend, tree_bytes, watching
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.experts.fake import FakeExpert

pytestmark = pytest.mark.anyio

REQUEST = ChatRequest((Message("user", "one two three"),))


async def test_calls_tokens_and_loads_are_counted() -> None:
    fake, meter = FakeExpert(str.upper, load_s=0.001), Meter()
    backend: Backend = MeteredBackend(fake, meter)
    await backend.load()
    assert [chunk.text async for chunk in backend.stream(REQUEST)] == ["ONE TWO THREE", ""]
    assert (meter.calls, meter.prompt_tokens, meter.completion_tokens, meter.load_s) == (1, 3, 3, 0.001)
    await backend.evict()
    assert not fake.loaded
    meter.reset()
    assert meter == Meter()


async def test_a_crash_is_passed_on() -> None:
    fake = FakeExpert()
    await fake.load()
    fake.crash("gone")
    assert await MeteredBackend(fake, Meter()).crashed() == "gone"


async def test_closing_a_stream_closes_the_one_behind_it() -> None:
    fake = FakeExpert(token_s=0.001)
    stream = MeteredBackend(fake, Meter()).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert (fake.open_streams, fake.cancelled) == (0, [REQUEST])


async def test_the_clock_stops_and_the_peak_stays() -> None:
    async with watching() as watch:
        block = bytearray(64 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        await anyio.lowlevel.checkpoint()
        inside = tree_bytes()
    elapsed_s = watch.elapsed_s
    assert watch.peak_bytes >= inside > len(block)
    assert watch.elapsed_s == elapsed_s > 0
