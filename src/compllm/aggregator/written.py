"""An aggregator that has a chat model write the answer, and may check every sentence against the sub-answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace

from compllm.aggregator.base import Part, answered, cite
from compllm.aggregator.grounding import cites, is_kept, says_more, sentences, sources, without_repeats
from compllm.errors import AggregationError
from compllm.experts.base import Backend, ChatRequest, Message

_MAX_TOKENS = 512
# What an adapter is trained to join with.
_JOIN = "Join."
_NO_ANSWER = "(no answer)"
_INSTRUCTIONS = "You combine facts into one answer. Keep every fact. Do not add anything."


class ModelAggregator:
    """Asks a model to join the sub-answers; `lease` brings the model.

    With `checked`, a sentence that mixes sub-answers up or brings something from outside is left out, what the model
    forgot is added word for word, and each sentence cites its source. That is for models too small to be trusted with
    a merge; it costs the streaming within a sentence. An `adapter` is trained to join and to cite: it also sees which
    answers led to which, and the gaps.
    """

    def __init__(
        self,
        model: str,
        lease: Callable[[], AbstractAsyncContextManager[Backend]],
        *,
        checked: bool,
        adapter: str | None = None,
    ) -> None:
        how = [f"model {model}", f"adapter {adapter}" if adapter else "", "every sentence checked" if checked else ""]
        self.name = ", ".join(filter(None, how))
        self._lease = lease
        self._checked = checked
        self._adapter = adapter

    async def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield the answer as it is written (checked: sentence by sentence)."""
        draft = self._draft(self._request(question, parts))
        async with aclosing(self._check(draft, question, answered(parts)) if self._checked else draft) as pieces:
            async for piece in pieces:
                yield piece

    def _request(self, question: str, parts: tuple[Part, ...]) -> ChatRequest:
        if self._adapter:
            return _trained_request(question, parts, self._adapter)
        return _request(question, answered(parts), checked=self._checked)

    async def _draft(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        written = False
        async with (
            self._lease() as backend,
            aclosing(backend.stream(request)) as chunks,
        ):
            async for chunk in chunks:
                if chunk.text:
                    written = written or bool(chunk.text.strip())
                    yield chunk.text
        if not written:
            raise AggregationError("the aggregator's model wrote nothing")

    async def _check(
        self, draft: AsyncGenerator[str, None], question: str, parts: tuple[Part, ...]
    ) -> AsyncGenerator[str, None]:
        """Pass on the sentences that stand, each once its sources are kept whole; then what no sentence has kept."""
        said = ""
        held: list[tuple[str, tuple[int, ...]]] = []
        kept: set[int] = set()
        told: dict[int, list[str]] = {part.step: [] for part in parts}
        async with aclosing(_by_sentence(draft)) as found:
            async for sentence in found:
                steps = sources(sentence, question, parts) if says_more(sentence, said) else ()
                if not steps:
                    continue
                said = f"{said} {sentence}"
                held.append((sentence, steps))
                for step in steps:
                    told[step].append(sentence)
                whole = kept | {part.step for part in parts if is_kept(part, told[part.step], question)}
                for text, steps in [entry for entry in held if whole.issuperset(entry[1])]:
                    held.remove((text, steps))
                    citations = "" if cites(text) else " " + "".join(f"[{step}]" for step in steps)
                    yield f"{' ' if kept else ''}{text}{citations}"
                    kept.update(steps)
        for part in parts:
            if part.step not in kept:
                yield f"{' ' if kept else ''}{cite(replace(part, answer=without_repeats(part.answer)))}"
                kept.add(part.step)


async def _by_sentence(draft: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Yield whole sentences; an unfinished one at the end (the model ran out of tokens) is dropped."""
    text = ""
    async with aclosing(draft) as pieces:
        async for piece in pieces:
            text += piece
            *whole, text = sentences(text + "\0") or [""]
            text = text.removesuffix("\0")
            for sentence in whole:
                yield sentence
    if text.strip().endswith((".", "!", "?")):
        yield text.strip()


def _request(question: str, parts: tuple[Part, ...], *, checked: bool) -> ChatRequest:
    facts = "\n".join(f"[{part.step}] {'' if checked else part.question + ' '}{part.answer}" for part in parts)
    asked = f"{facts}\n\nCombine these facts into one paragraph that answers: {question}"
    instructions = _INSTRUCTIONS if checked else f"{_INSTRUCTIONS} Cite the facts you use by their numbers, like [1]."
    length = sum(len(part.answer) for part in parts)
    return ChatRequest(
        (Message("system", instructions), Message("user", asked)),
        max_tokens=min(_MAX_TOKENS, 32 + length // 3) if checked else _MAX_TOKENS,
    )


def _trained_request(question: str, parts: tuple[Part, ...], adapter: str) -> ChatRequest:
    lines = [f"{_label(part)} {part.question} -> {part.answer or _NO_ANSWER}" for part in parts]
    turns = (Message("system", _JOIN), Message("user", "\n".join([question, *lines])))
    length = sum(len(part.question) + len(part.answer) for part in parts)
    return ChatRequest(turns, min(_MAX_TOKENS, 32 + length // 3 + 8 * len(parts)), adapter=adapter)


def _label(part: Part) -> str:
    after = f" after {', '.join(map(str, part.parents))}" if part.parents else ""
    return f"[{part.step}{after}]"
