"""An expert at work: its passages and instructions around a question, and the sub-answer that comes back."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import anyio.to_thread

from compllm.core.answers import Passage, SubAnswer
from compllm.core.routing import ExpertProfile
from compllm.errors import ConfigError, ExpertResponseError, RoutingError
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.experts.spans import nearest_span
from compllm.experts.thinking import spent

# The adapter that answers from passages, what it was trained with in place of instructions, and its word for "no".
READER = "reader"
_READ = "Read."
NOT_FOUND = "Not in the documents."
# The score from which the next passages are worth a second reading.
_READ_ON = 0.5
# The reasons for which a server stops a model that would have gone on.
_CUT = frozenset({"length", "content_filter"})


@dataclass(slots=True)
class _Used:
    """What all that an expert asked its model for one question took, and the seconds to the first word shown.

    `is_cut` is about the last reply.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_s: float | None = None
    is_cut: bool = False


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

        A reader that finds no answer in the best passages reads the next ones, if they are close enough. If there is
        nothing to read, or no answer in it, it has none: who comes next is asked, and without a next one the gap is
        named.

        Raises:
            ExpertError: the model failed or answered nothing, or its reader found nothing in the passages.
        """
        began_s, used = time.monotonic(), _Used()
        for passages in await self._portions(question):
            pieces: list[str] = []
            async with aclosing(self._write(question, passages, backend, used)) as written:
                async for piece in written:
                    pieces.append(piece)
                    used.first_s = used.first_s or time.monotonic() - began_s
                    yield piece
            if pieces:
                elapsed_s = time.monotonic() - began_s
                yield SubAnswer(
                    "".join(pieces).strip(),
                    self.profile.name,
                    self.profile.model,
                    passages,
                    used.prompt_tokens,
                    used.completion_tokens,
                    used.first_s or elapsed_s,
                    elapsed_s,
                    used.is_cut,
                )
                return
        raise ExpertResponseError("its documents do not say", expert=self.profile.name)

    async def _write(
        self, question: str, passages: tuple[Passage, ...], backend: Backend, used: _Used
    ) -> AsyncGenerator[str, None]:
        """Yield what the model writes, of a reader the span that it means at the end, or nothing if it finds none."""
        request = self._request(question, passages)
        reads, text, shown = request.adapter == READER, "", 0
        prompt_tokens = completion_tokens = 0
        finish_reason = None
        async with aclosing(backend.stream(request)) as chunks:
            async for chunk in chunks:
                prompt_tokens = chunk.prompt_tokens or prompt_tokens
                completion_tokens = chunk.completion_tokens or completion_tokens
                finish_reason = chunk.finish_reason or finish_reason
                text += chunk.text
                if text[shown:] and not reads:
                    yield text[shown:]
                    shown = len(text)
        used.prompt_tokens += prompt_tokens
        used.completion_tokens += completion_tokens
        used.is_cut = finish_reason in _CUT
        if not text.strip():
            raise self._nothing(finish_reason)
        if reads and text.strip() != NOT_FOUND:
            yield nearest_span(text.strip(), [passage.text for passage in passages])

    def _nothing(self, finish_reason: str | None) -> ExpertResponseError:
        """Return the error for an empty answer; whoever ran out of tokens would do so again."""
        if finish_reason == "length":
            return ExpertResponseError(f"the model {spent(self.max_tokens)}", expert=self.profile.name)
        return ExpertResponseError("the model answered nothing", expert=self.profile.name, retryable=True)

    async def _portions(self, question: str) -> list[tuple[Passage, ...]]:
        """Return what is read at once, and for a reader what is read after that; without documents, one empty portion.

        None at all if a reader's documents have nothing for the question.

        Raises:
            ExpertResponseError: the documents cannot be read or searched.
        """
        if self.retrieve is None:
            return [()]
        limit = self.passages if self.adapter != READER else 2 * self.passages
        try:
            found = await anyio.to_thread.run_sync(self.retrieve, question, limit)
        except (ConfigError, RoutingError) as error:
            raise ExpertResponseError(str(error), expert=self.profile.name) from error
        if self.adapter != READER:
            return [found]
        first, rest = found[: self.passages], found[self.passages :]
        later = tuple(passage for passage in rest if passage.score >= _READ_ON)
        return [portion for portion in (first, later) if portion]

    def _request(self, question: str, passages: tuple[Passage, ...]) -> ChatRequest:
        adapter = self.adapter if passages or self.adapter != READER else None
        instructions = _READ if adapter == READER else self.instructions
        texts = [passage.text if adapter == READER else _titled(passage) for passage in passages]
        messages = _messages(instructions, question, texts)
        return ChatRequest(messages, self.max_tokens, self.temperature, adapter=adapter)


def _titled(passage: Passage) -> str:
    """Return the text below its title: sections beside each other often differ in nothing else ("Berlin", "Paris").

    The reader goes without, as it was trained.
    """
    if not passage.title or passage.text.startswith(passage.title):
        return passage.text
    return f"{passage.title}\n{passage.text}"


def _messages(instructions: str, question: str, texts: Sequence[str]) -> tuple[Message, ...]:
    """Instructions, then what is read, the best first, then the question, where a small model heeds it most."""
    asked = "\n\n".join([*texts, f"Question: {question}"]) if texts else question
    system = (Message("system", instructions),) if instructions else ()
    return (*system, Message("user", asked))
