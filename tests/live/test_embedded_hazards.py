"""What llama.cpp in a process of its own can do to us: stuck loads, slots that stay taken, orphans, deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import anyio
import platformdirs
import psutil
import pytest

from compllm.errors import ExpertError, ExpertOutOfMemoryError, ExpertTimeoutError
from compllm.experts.base import ChatRequest, Message
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.embedded.launch import Worker

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
LONG = ChatRequest((Message("user", "Write a long story about a cat, a ship and the sea."),), max_tokens=900)
SHORT = ChatRequest((Message("user", "Hello"),), max_tokens=2)
SLOW_TO_READ = ChatRequest((Message("user", "cat dog " * 450),), max_tokens=2)

PARENT = """
import sys, anyio
from pathlib import Path
from compllm.experts.embedded.backend import EmbeddedBackend

async def main():
    backend = EmbeddedBackend(cache_dir=Path(sys.argv[1]), threads=1, context_tokens=256, slots=1)
    await backend.load()
    print(backend.worker_pid, flush=True)
    await anyio.sleep_forever()

anyio.run(main)
"""


def make(**options: float) -> EmbeddedBackend:
    return EmbeddedBackend(cache_dir=CACHE_DIR, threads=2, context_tokens=1024, slots=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def loaded(anyio_backend: str) -> AsyncIterator[EmbeddedBackend]:
    """One slot, so that a request can only be answered when the one before has given it back."""
    backend = make()
    await backend.load()
    yield backend
    await backend.evict()


async def first_text(backend: EmbeddedBackend, request: ChatRequest) -> None:
    async for chunk in backend.stream(request):
        if chunk.text:
            break


async def consume(backend: EmbeddedBackend, request: ChatRequest, begun: anyio.Event | None = None) -> None:
    async for chunk in backend.stream(request):
        if begun and chunk.text:
            begun.set()


async def gone(pid: int) -> None:
    with anyio.fail_after(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def test_load_does_not_block_the_event_loop() -> None:
    pauses_s = []
    backend = make()

    async def tick() -> None:
        while True:
            before_s = monotonic()
            await anyio.sleep(0.01)
            pauses_s.append(monotonic() - before_s)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        report = await backend.load()
        group.cancel_scope.cancel()
    await backend.evict()
    assert max(pauses_s) < report.load_s / 2
    assert len(pauses_s) > 5


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.6])
async def test_load_cancelled_at_once_leaves_no_worker(delay_s: float) -> None:
    others = {child.pid for child in psutil.Process().children()}
    backend = make()
    with anyio.fail_after(10), anyio.move_on_after(delay_s):
        await backend.load()
    await backend.evict()
    assert {child.pid for child in psutil.Process().children()} <= others


async def test_load_that_takes_too_long_fails_and_leaves_no_worker() -> None:
    others = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ExpertError, match="not loaded within") as failure:
        await make(load_timeout_s=0.05).load()
    assert failure.value.retryable
    assert {child.pid for child in psutil.Process().children()} <= others


async def test_worker_killed_while_loading_counts_as_out_of_memory() -> None:
    worker = await Worker.start(slots=1)
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(ExpertOutOfMemoryError):
        await worker.load("m", {})
    await worker.end()


async def test_cancel_in_decode_frees_the_slot(loaded: EmbeddedBackend) -> None:
    begun = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(consume, loaded, LONG, begun)
        await begun.wait()
        cancelled_s = monotonic()
        group.cancel_scope.cancel()
    assert loaded._worker is not None
    assert await loaded._worker._busy_slots() == 0
    assert monotonic() - cancelled_s < 2
    await consume(loaded, SHORT)


async def test_closing_the_iterator_frees_the_slot(loaded: EmbeddedBackend) -> None:
    stream = loaded.stream(LONG)
    await anext(stream)
    await stream.aclose()
    assert loaded._worker is not None
    assert await loaded._worker._busy_slots() == 0


async def test_cancel_while_the_prompt_is_read_frees_the_slot_before_its_end(loaded: EmbeddedBackend) -> None:
    started_s = monotonic()
    await consume(loaded, SLOW_TO_READ)
    whole_s = monotonic() - started_s
    await consume(loaded, SHORT)  # takes the place of that prompt in the slot
    started_s = monotonic()
    with anyio.move_on_after(whole_s / 20):
        await consume(loaded, SLOW_TO_READ)
    assert loaded._worker is not None
    assert await loaded._worker._busy_slots() == 0
    assert monotonic() - started_s < 0.75 * whole_s


async def test_request_cancelled_while_it_waits_for_a_slot_is_gone_at_once(loaded: EmbeddedBackend) -> None:
    begun = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(consume, loaded, LONG, begun)
        await begun.wait()
        started_s = monotonic()
        with anyio.move_on_after(0.05):
            await consume(loaded, SHORT)
        assert monotonic() - started_s < 0.5
        group.cancel_scope.cancel()


async def test_evict_frees_the_memory_and_is_no_crash() -> None:
    backend = make()
    await backend.load()
    pid = backend.worker_pid
    assert pid is not None
    crashes: list[str] = []

    async def watch() -> None:
        crashes.append(await backend.crashed())

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.wait_all_tasks_blocked()
        await backend.evict()
        assert not psutil.pid_exists(pid)
        await backend.evict()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert crashes == []
    with pytest.raises(ExpertError, match="not loaded"):
        await consume(backend, SHORT)


async def test_worker_killed_from_outside_is_a_crash_that_may_be_retried() -> None:
    backend = make()
    await backend.load()
    begun = anyio.Event()
    failures: list[ExpertError] = []

    async def ask() -> None:
        with pytest.raises(ExpertError) as failure:
            await consume(backend, LONG, begun)
        failures.append(failure.value)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await begun.wait()
            os.kill(backend.worker_pid or 0, signal.SIGKILL)
            reason = await backend.crashed()
    assert "SIGKILL" in reason
    assert failures[0].retryable
    assert "SIGKILL" in str(failures[0])
    await backend.evict()
    await backend.load()
    await first_text(backend, SHORT)
    await backend.evict()


async def test_worker_that_hangs_is_silent_then_killed_and_reported() -> None:
    backend = make(timeout_s=1.0, cancel_grace_s=0.5)
    await backend.load()
    begun = anyio.Event()

    async def ask() -> None:
        with pytest.raises(ExpertTimeoutError, match=r"silent for too long \(1 s\)"):
            await consume(backend, LONG, begun)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await begun.wait()
            os.kill(backend.worker_pid or 0, signal.SIGSTOP)
            assert "did not give back a slot" in await backend.crashed()
    await backend.evict()


async def test_worker_does_not_outlive_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(CACHE_DIR)], stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220
        assert parent.stdout is not None
        pid = int(await anyio.to_thread.run_sync(parent.stdout.readline))
        assert psutil.pid_exists(pid)
        parent.kill()
        await gone(pid)


async def test_worker_dies_when_its_input_ends() -> None:
    worker = await Worker.start(slots=1)
    assert worker.process.stdin is not None
    await worker.process.stdin.aclose()
    with anyio.fail_after(10):
        await worker.process.wait()
    await worker.end()
