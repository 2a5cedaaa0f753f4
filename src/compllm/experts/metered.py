"""Counts what calls to models cost, whoever makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport


@dataclass(slots=True)
class Usage:
    """Calls made and tokens counted so far; a call that is broken off counts without its tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Metered:
    """A backend that adds what its streams cost to a `usage` that others may share."""

    def __init__(self, backend: Backend, usage: Usage) -> None:
        self._backend = backend
        self._usage = usage
        self.supports_grammar = backend.supports_grammar
        self.supports_json_schema = backend.supports_json_schema

    async def load(self) -> LoadReport:
        """Load the backend."""
        return await self._backend.load()

    async def evict(self) -> None:
        """Evict the backend."""
        await self._backend.evict()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the backend's reply and count it.

        Raises:
            ExpertError: as the backend does.
        """
        self._usage.calls += 1
        async with aclosing(self._backend.stream(request)) as chunks:
            async for chunk in chunks:
                self._usage.prompt_tokens += chunk.prompt_tokens or 0
                self._usage.completion_tokens += chunk.completion_tokens or 0
                yield chunk

    async def crashed(self) -> str:
        """Wait for the backend to die."""
        return await self._backend.crashed()
