"""What a system costs: calls and tokens of its models, seconds of loading, and memory of the models' processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import psutil

from compllm.core.events import Event, ModelLoaded
from compllm.experts.metered import Usage

_SAMPLE_S = 0.1


@dataclass(slots=True)
class Meter(Usage):
    """Calls, tokens, and seconds of loading since the last `reset`; an observer of a team for the latter."""

    load_s: float = 0.0

    def observe(self, event: Event) -> None:
        """Take note of a load."""
        if isinstance(event, ModelLoaded):
            self.load_s += event.load_s

    def reset(self) -> None:
        """Begin again from nothing."""
        self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.load_s = 0.0


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
    """Measure what happens inside: its seconds, and the peak of memory, sampled ten times a second.

    Raises:
        Exception: what was raised inside, as it is.
    """
    watch = Watch()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_sample, watch)
            yield watch
            watch.ended_s = time.monotonic()
            watch.peak_bytes = max(watch.peak_bytes, workers_bytes())
            group.cancel_scope.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _sample(watch: Watch) -> None:
    while True:
        watch.peak_bytes = max(watch.peak_bytes, workers_bytes())
        await anyio.sleep(_SAMPLE_S)


def workers_bytes() -> int:
    """Return the resident bytes of all processes below this one; shared pages count in each.

    This process is left out: it grows from system to system, whichever is measured.
    """
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
