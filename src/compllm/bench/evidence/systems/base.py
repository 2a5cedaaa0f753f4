"""The port of the harness: a system answers the questions of a set, by whatever means."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.config import Settings, TeamFile


class System(Protocol):
    """Answers questions, one at a time."""

    @property
    def meter(self) -> Meter:
        """What its models have done since the last reset."""
        ...

    async def answer(self, row: EvidenceRow) -> Reply:
        """Answer the question of a row; only oracles look at the rest of it.

        Raises:
            CompLLMError: there is no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server, a model there and its key."""

    base_url: str
    model: str
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What every system is made from: a team, where things are kept, and an endpoint for those that need one."""

    file: TeamFile
    settings: Settings
    endpoint: Endpoint | None = None


Opened: TypeAlias = AbstractAsyncContextManager[System]
Factory: TypeAlias = Callable[[Setting], Opened]
