"""What a system costs: calls and tokens of its models, seconds of loading, and memory of the process tree."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import psutil

from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport

_SAMPLE_S = 0.1


@dataclass(slots=True)
class Meter:
    """Counts since the last `reset`."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_s: float = 0.0

    def reset(self) -> None:
        """Begin again from nothing."""
        self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.load_s = 0.0


class MeteredBackend:
    """A backend that does what another does, and counts it."""

    def __init__(self, backend: Backend, meter: Meter) -> None:
        self.supports_grammar = backend.supports_grammar
        self.supports_json_schema = backend.supports_json_schema
        self._backend = backend
        self._meter = meter

    async def load(self) -> LoadReport:
        """Load, and count the seconds."""
        report = await self._backend.load()
        self._meter.load_s += report.load_s
        return report

    async def evict(self) -> None:
        """Evict."""
        await self._backend.evict()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer, and count the call and its tokens; those of a call that is broken off are not known."""
        self._meter.calls += 1
        async with aclosing(self._backend.stream(request)) as chunks:
            async for chunk in chunks:
                self._meter.prompt_tokens += chunk.prompt_tokens or 0
                self._meter.completion_tokens += chunk.completion_tokens or 0
                yield chunk

    async def crashed(self) -> str:
        """Return once the model has died by itself."""
        return await self._backend.crashed()


@dataclass(slots=True)
class Watch:
    """The clock and the memory of one question."""

    began_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None
    peak_bytes: int = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds until the end, or until now."""
        return (self.ended_s or time.monotonic()) - self.began_s


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Measure what happens inside: its seconds, and the peak of memory, sampled ten times a second."""
    watch = Watch()
    async with anyio.create_task_group() as group:
        group.start_soon(_sample, watch)
        yield watch
        watch.ended_s = time.monotonic()
        watch.peak_bytes = max(watch.peak_bytes, tree_bytes())
        group.cancel_scope.cancel()


async def _sample(watch: Watch) -> None:
    while True:
        watch.peak_bytes = max(watch.peak_bytes, tree_bytes())
        await anyio.sleep(_SAMPLE_S)


def tree_bytes() -> int:
    """Return the resident bytes of this process and all below it; shared pages count in each."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
