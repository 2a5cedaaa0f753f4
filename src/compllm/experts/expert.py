"""An expert at work: its passages and instructions around a question, and the sub-answer that comes back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import anyio.to_thread

from compllm.core.answers import Passage, SubAnswer
from compllm.core.routing import ExpertProfile
from compllm.errors import ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Message

# The adapter that answers from passages, what it was trained with in place of instructions, and its word for "no".
READER = "reader"
_READ = "Read."
NOT_FOUND = "Not in the documents."


@dataclass(frozen=True, slots=True)
class Expert:
    """A specification of who answers: a profile to route by, instructions, documents, and bounds on the answer.

    `retrieve` returns the passages of its documents for a question and a limit; it may block. `adapter` is one of the
    model's; the one named `reader` takes no part in an expert without documents: the base model answers as instructed.
    """

    profile: ExpertProfile
    instructions: str = ""
    retrieve: Callable[[str, int], tuple[Passage, ...]] | None = None
    passages: int = 2
    max_tokens: int = 96
    temperature: float = 0.0
    adapter: str | None = None

    async def answer(self, question: str, backend: Backend) -> AsyncGenerator[str | SubAnswer, None]:
        """Yield the answer as it is written, and the whole sub-answer at the end.

        A reader that finds nothing to read, or no answer in it, has none: who comes next is asked, and without a next
        one the gap is named.

        Raises:
            ExpertError: the model failed or answered nothing, or its reader found nothing in the passages.
        """
        passages: tuple[Passage, ...] = ()
        if self.retrieve is not None:
            passages = await anyio.to_thread.run_sync(self.retrieve, question, self.passages)
            if self.adapter == READER and not passages:
                raise self._silent()
        request = self._request(question, passages)
        began_s, first_s = time.monotonic(), None
        pieces: list[str] = []
        prompt_tokens = completion_tokens = 0
        async with aclosing(backend.stream(request)) as chunks:
            async for chunk in chunks:
                prompt_tokens = chunk.prompt_tokens or prompt_tokens
                completion_tokens = chunk.completion_tokens or completion_tokens
                if chunk.text:
                    first_s = first_s or time.monotonic()
                    pieces.append(chunk.text)
                    yield chunk.text
        text = "".join(pieces).strip()
        if not text:
            raise ExpertResponseError("the model answered nothing", expert=self.profile.name, retryable=True)
        if request.adapter == READER and text == NOT_FOUND:
            raise self._silent()
        ended_s = time.monotonic()
        yield SubAnswer(
            text,
            self.profile.name,
            self.profile.model,
            passages,
            prompt_tokens,
            completion_tokens,
            (first_s or ended_s) - began_s,
            ended_s - began_s,
        )

    def _silent(self) -> ExpertResponseError:
        return ExpertResponseError("its documents do not say", expert=self.profile.name)

    def _request(self, question: str, passages: tuple[Passage, ...]) -> ChatRequest:
        adapter = self.adapter if passages or self.adapter != READER else None
        instructions = _READ if adapter == READER else self.instructions
        messages = _messages(instructions, question, passages)
        return ChatRequest(messages, self.max_tokens, self.temperature, adapter=adapter)


def _messages(instructions: str, question: str, passages: tuple[Passage, ...]) -> tuple[Message, ...]:
    """Instructions, then the passages best first, then the question last, where a small model heeds it most."""
    asked = question
    if passages:
        asked = "\n\n".join([*(passage.text for passage in passages), f"Question: {question}"])
    system = (Message("system", instructions),) if instructions else ()
    return (*system, Message("user", asked))
