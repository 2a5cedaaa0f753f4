"""What every part of the server shares: the open team and its runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from compllm.pipeline import Team
from compllm.serve.live import LiveRuns

# A text is encoded on all cores already; a second one fills the gaps.
_ENCODING_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Service:
    """An open team that serves many callers at once.

    `encoding` bounds the threads that compute embeddings, so that those of everything else, such as the journal's, are
    not taken by them.
    """

    team: Team
    runs: LiveRuns
    encoding: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_ENCODING_AT_ONCE))


@asynccontextmanager
async def open_service(team: Team) -> AsyncIterator[Service]:
    """Open the team and have its runs go on, whoever listens, until the service closes.

    Raises:
        JournalError: the journal cannot be opened.
    """
    async with team:
        try:
            async with anyio.create_task_group() as tasks:
                runs = LiveRuns(team, tasks)
                try:
                    yield Service(team, runs)
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            runs.close()  # those whose events nobody had begun to take in
