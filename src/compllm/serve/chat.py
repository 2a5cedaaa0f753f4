"""`/v1/chat/completions`: a team behind the endpoint that every chat client speaks to."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.sse import format_sse_event
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel

from compllm.serve.answering import (
    Ended,
    Failed,
    Piece,
    Thought,
    Whole,
    Words,
    begin,
    leave,
    nothing,
    pieces,
    whole_while_wanted,
)
from compllm.serve.conversation import CHAT_ID, Conversation, ask_for, without_effect
from compllm.serve.cutting import Cutter, FinishReason
from compllm.serve.dry import dry_run
from compllm.serve.entry import ERRORS, Admitted, ServiceOf
from compllm.serve.history import Turn
from compllm.serve.schemas import ChatBody, SystemMessage, idle_fields, text_of
from compllm.serve.stream import DONE, EventStream

router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=ERRORS)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": ChatCompletion, "content": {"text/event-stream": {}}, "description": "The answer, or its chunks."}
}


@router.post("/chat/completions", response_model=None, responses=_ANSWERS)
async def complete(body: ChatBody, request: Request, service: ServiceOf, caller: Admitted) -> Response:
    """Answer the last message; `reasoning_content` carries the plan and the sub-answers."""
    turns = [Turn(each.role, text_of(each.content)) for each in body.messages if not isinstance(each, SystemMessage)]
    instructions = [text_of(each.content) for each in body.messages if isinstance(each, SystemMessage)]
    said = Conversation(body.model, turns, instructions, body.compllm, body.user, "messages")
    ask, headers = ask_for(service, said), without_effect(service, said, [*idle_fields(body), *_idle_options(body)])
    cutter, deadline_s = Cutter(body.stops, body.longest), service.team.file.config.limits.deadline_s
    if body.compllm.dry_run:
        dry = await dry_run(service, ask, "compllm.dry_run")
        return await _sent(request, body, dry.pieces(cutter), _Shape(f"dry-{token_hex(6)}", body.model), headers)
    run = begin(service, caller, ask)
    headers["compllm-run"] = run.id
    source = pieces(run, cutter, deadline_s, direct=ask.expert is not None and bool(body.stream))
    closed = nothing if body.store else partial(leave, run)
    return await _sent(request, body, source, _Shape(run.id, body.model), headers, closed)


def _idle_options(body: ChatBody) -> list[str]:
    """Return the options that belong to a stream, if none is asked for."""
    return ["stream_options"] if body.stream_options is not None and not body.stream else []


async def _sent(
    request: Request,
    body: ChatBody,
    source: AsyncGenerator[Piece, None],
    shape: _Shape,
    headers: Mapping[str, str],
    closed: Callable[[], None] = nothing,
) -> Response:
    """Send the pieces of an answer as they come, or as a whole."""
    if body.stream:
        counts = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(_chunks(source, shape, counts=counts), headers, closed)
    answer = shape.whole(await whole_while_wanted(request, source, closed))
    return Response(_json(answer), 200, headers, "application/json")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What all pieces of one completion share."""

    run: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: Whole) -> ChatCompletion:
        """Return an answer in one piece."""
        said = {"role": "assistant", "content": answer.text, "refusal": None, "reasoning_content": answer.reasoning}
        message = ChatCompletionMessage.model_validate(said)
        choice = Choice(index=0, message=message, finish_reason=answer.ended.finish_reason, logprobs=None)
        return ChatCompletion(
            id=f"{CHAT_ID}{self.run}",
            object="chat.completion",
            created=self.created,
            model=self.model,
            choices=[choice],
            usage=_usage(answer.ended),
        )

    def chunk(self, finish_reason: FinishReason | None = None, **delta: str) -> ChatCompletionChunk:
        """Return a piece of a streamed answer."""
        choice = ChunkChoice(index=0, delta=ChoiceDelta.model_validate(delta), finish_reason=finish_reason)
        return self._chunk([choice])

    def counted(self, ended: Ended) -> ChatCompletionChunk:
        """Return the last chunk for clients that want to know what the answer took."""
        return self._chunk([], usage=_usage(ended))

    def _chunk(self, choices: list[ChunkChoice], **more: CompletionUsage) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=f"{CHAT_ID}{self.run}",
            object="chat.completion.chunk",
            created=self.created,
            model=self.model,
            choices=choices,
            **more,
        )


async def _chunks(source: AsyncGenerator[Piece, None], shape: _Shape, *, counts: bool) -> AsyncGenerator[bytes, None]:
    async with aclosing(source):
        yield _event(shape.chunk(role="assistant", content=""))
        async for piece in source:
            match piece:
                case Thought(text):
                    yield _event(shape.chunk(reasoning_content=text))
                case Words(text):
                    yield _event(shape.chunk(content=text))
                case Failed(error):
                    yield _event(error.body)
                case Ended():
                    yield _event(shape.chunk(piece.finish_reason))
                    if counts:
                        yield _event(shape.counted(piece))
    yield DONE


def _usage(ended: Ended) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=ended.prompt_tokens,
        completion_tokens=ended.completion_tokens,
        total_tokens=ended.prompt_tokens + ended.completion_tokens,
    )


def _json(model: BaseModel) -> str:
    return model.model_dump_json(exclude_unset=True)


def _event(model: BaseModel) -> bytes:
    return format_sse_event(data_str=_json(model))
