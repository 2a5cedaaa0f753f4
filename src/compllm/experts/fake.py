"""A backend without a model: for tests, dry runs, and for measuring what the engine itself costs."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from math import inf
from typing import TypeAlias

import anyio
import anyio.lowlevel

from compllm.errors import ExpertLoadError, ExpertResponseError
from compllm.experts.base import ChatRequest, Chunk, LoadReport

Answers: TypeAlias = Mapping[str, str] | Callable[[str], str]


class FakeExpert:
    """Answers the last user message from `answers` (a mapping or a function; by default it echoes) and records its use.

    Without delays a call costs one checkpoint and sends the text in one piece; with `token_s` it sends word by word.
    `failures` and `load_failures` hold what call or load number n (from 1) raises. Every option may be changed
    between calls, and every record may be read at any time.

    Args:
        answers: question -> text; a question that a mapping lacks fails with `ExpertResponseError`.
        first_token_s: delay before the first piece.
        token_s: delay before every further word.
        load_s: how long a load takes.
        footprint_bytes: what a load reports.
        failures: what the n-th `stream` raises instead of answering.
        load_failures: what the n-th `load` raises.
        hang: never answer; only cancellation, closing or a crash ends a stream.
        finish_reason: why a stream that was not broken off ended, as the last chunk says.
    """

    supports_grammar = True
    supports_json_schema = True

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        first_token_s: float = 0.0,
        token_s: float = 0.0,
        load_s: float = 0.0,
        footprint_bytes: int = 0,
        failures: Mapping[int, Exception] | None = None,
        load_failures: Mapping[int, Exception] | None = None,
        hang: bool = False,
        finish_reason: str = "stop",
    ) -> None:
        self.answers = answers if answers is not None else str
        self.first_token_s = first_token_s
        self.token_s = token_s
        self.load_s = load_s
        self.footprint_bytes = footprint_bytes
        self.failures = failures or {}
        self.load_failures = load_failures or {}
        self.hang = hang
        self.finish_reason = finish_reason
        self.calls: list[ChatRequest] = []
        self.cancelled: list[ChatRequest] = []
        self.open_streams = self.max_open_streams = self.loads = self.evictions = 0
        self.loaded = False
        self._died = anyio.Event()
        self._reason = ""

    async def load(self) -> LoadReport:
        """Become loaded after `load_s`, or raise the failure scripted for this load."""
        self.loads += 1
        await anyio.sleep(self.load_s)
        if failure := self.load_failures.get(self.loads):
            raise failure
        self._died = anyio.Event()
        self.loaded = True
        return LoadReport(self.footprint_bytes, self.load_s)

    async def evict(self) -> None:
        """Become unloaded; counts only when it was loaded."""
        self.evictions += self.loaded
        self.loaded = False
        await anyio.lowlevel.checkpoint()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer, or raise the failure scripted for this call."""
        self.calls.append(request)
        number = len(self.calls)
        self.open_streams += 1
        self.max_open_streams = max(self.max_open_streams, self.open_streams)
        complete = False
        try:
            await self._wait(inf if self.hang else self.first_token_s)
            if failure := self.failures.get(number):
                raise failure
            text = self._answer(request)
            first, *others = (self.token_s and re.findall(r"\s*\S+\s*", text)) or [text]
            yield Chunk(first)
            for word in others:
                await self._wait(self.token_s)
                yield Chunk(word)
            complete = True
            prompt_tokens = sum(len(message.content.split()) for message in request.messages)
            yield Chunk("", prompt_tokens, len(text.split()), self.finish_reason)
        except (GeneratorExit, anyio.get_cancelled_exc_class()):
            if not complete:
                self.cancelled.append(request)
            raise
        finally:
            self.open_streams -= 1

    async def crashed(self) -> str:
        """Return the reason once `crash` was called on the loaded model."""
        await self._died.wait()
        return self._reason

    def crash(self, reason: str) -> None:
        """Die: open streams fail at their next delay, and `crashed` returns `reason`."""
        self._reason = reason
        self.loaded = False
        self._died.set()

    def _answer(self, request: ChatRequest) -> str:
        question = next((turn.content for turn in reversed(request.messages) if turn.role == "user"), "")
        if callable(self.answers):
            return self.answers(question)
        if question not in self.answers:
            raise ExpertResponseError(f"no answer is scripted for {question!r}")
        return self.answers[question]

    async def _wait(self, seconds: float) -> None:
        """Let the time pass; a crash before or meanwhile is an error."""
        if seconds:
            with anyio.move_on_after(seconds):
                await self._died.wait()
        else:
            await anyio.lowlevel.checkpoint()
        if self._died.is_set():
            raise ExpertLoadError(f"the model died: {self._reason}", retryable=True)
