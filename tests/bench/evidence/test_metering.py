from __future__ import annotations

import anyio
import pytest

from compllm.bench.evidence.metering import Meter, tree_bytes, watching
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
    async with watching() as watch:
        block = bytearray(64 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        await anyio.lowlevel.checkpoint()
        inside = tree_bytes()
    elapsed_s = watch.elapsed_s
    assert watch.peak_bytes >= inside > len(block)
    assert watch.elapsed_s == elapsed_s > 0
