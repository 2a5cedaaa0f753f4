from __future__ import annotations

import sys

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from compllm.bench.evidence.metering import Meter, watching, workers_bytes
from compllm.core.events import ModelEvicted, ModelLoaded

pytestmark = pytest.mark.anyio


def test_loads_are_counted_until_the_next_reset() -> None:
    meter = Meter(calls=3, completion_tokens=7)
    for seconds in (0.5, 1.0):
        meter.observe(ModelLoaded("m", "cpu", 100, seconds))
    meter.observe(ModelEvicted("m", "cpu"))
    assert (meter.calls, meter.load_s) == (3, 1.5)
    meter.reset()
    assert meter == Meter()


async def test_the_clock_stops_and_the_peak_stays() -> None:
    holding = (
        "import sys; block = bytearray(64 * 2**20); block[::4096] = b'x' * 16384; print('held', flush=True); input()"
    )
    async with await anyio.open_process([sys.executable, "-c", holding]) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        async with watching() as watch:
            assert await BufferedByteReceiveStream(worker.stdout).receive_until(b"\n", 16) == b"held"
        elapsed_s = watch.elapsed_s
        await worker.stdin.aclose()
    assert watch.peak_bytes > 64 * 2**20
    assert watch.elapsed_s == elapsed_s > 0


async def test_what_this_process_holds_is_not_counted() -> None:
    before = workers_bytes()
    block = b"x" * (64 * 2**20)
    assert workers_bytes() - before < len(block)
