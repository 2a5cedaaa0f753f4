"""The objects and events of the Responses API, built from the pieces of an answer."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import count
from typing import Any, Literal

from fastapi.sse import format_sse_event
from openai.types.responses import (
    Response,
    ResponseError,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseUsage,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_reasoning_item import Summary
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel

from compllm.serve.answering import Ended, Failed, Piece, Thought, Whole, Words
from compllm.serve.conversation import RESPONSE_ID
from compllm.serve.errors import ApiError
from compllm.serve.schemas_responses import ResponseBody

Status = Literal["in_progress", "completed", "incomplete", "failed"]
_REASONING, _MESSAGE = 0, 1


class ResponseShape:
    """What all forms of one response share."""

    def __init__(self, run: str, body: ResponseBody) -> None:
        self.reasoning_id, self.message_id = f"rs_{run}", f"msg_{run}"
        self._run, self._body, self._created_at = run, body, int(time.time())

    def whole(self, answer: Whole) -> Response:
        """Return a response that has ended."""
        cut = answer.ended.finish_reason == "length"
        output: list[ResponseOutputItem] = [
            self.reasoning(answer.reasoning),
            self.message(answer.text, "incomplete" if cut else "completed"),
        ]
        return self.response(
            "incomplete" if cut else "completed",
            output,
            usage=_usage(answer.ended),
            incomplete_details=IncompleteDetails(reason="max_output_tokens") if cut else None,
        )

    def failed(self, error: ApiError) -> Response:
        """Return a response without an answer."""
        return self.response("failed", [], error=ResponseError(code="server_error", message=error.body.error.message))

    def response(self, status: Status, output: list[ResponseOutputItem], **more: Any) -> Response:
        """Return the response in a state."""
        body = self._body
        fields: dict[str, Any] = {
            "error": None,
            "incomplete_details": None,
            "usage": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "previous_response_id": body.previous_response_id,
            "user": body.user,
            **more,
        }
        return Response(
            id=f"{RESPONSE_ID}{self._run}",
            created_at=self._created_at,
            model=body.model,
            object="response",
            output=output,
            parallel_tool_calls=False,
            tool_choice="auto",
            tools=[],
            status=status,
            **fields,
        )

    def reasoning(self, text: str) -> ResponseReasoningItem:
        """Return the item that says how the answer came about."""
        summary = [Summary(text=text, type="summary_text")] if text else []
        return ResponseReasoningItem(id=self.reasoning_id, summary=summary, type="reasoning")

    def message(
        self, text: str | None, status: Literal["in_progress", "completed", "incomplete"]
    ) -> ResponseOutputMessage:
        """Return the item that holds the answer."""
        content = [] if text is None else [_text(text)]
        return ResponseOutputMessage(
            id=self.message_id, content=list(content), role="assistant", status=status, type="message"
        )


async def response_events(source: AsyncGenerator[Piece, None], shape: ResponseShape) -> AsyncGenerator[bytes, None]:
    """Yield the events of a streamed response.

    The reasoning comes first, as an item of its own; what is told of the run while the answer is written is left out.
    """
    told = _Told(shape)
    for event in told.begin():
        yield event
    async with aclosing(source):
        async for piece in source:
            for event in told.tell(piece):
                yield event


class _Told:
    """How far a streamed response has come."""

    def __init__(self, shape: ResponseShape) -> None:
        self._shape = shape
        self._numbers = count()
        self._thoughts: list[str] = []
        self._words: list[str] | None = None

    def begin(self) -> Iterator[bytes]:
        started = self._shape.response("in_progress", [])
        yield self._event("response.created", response=started)
        yield self._event("response.in_progress", response=started)
        yield self._event("response.output_item.added", output_index=_REASONING, item=self._shape.reasoning(""))
        part = Summary(text="", type="summary_text")
        yield self._of_reasoning("response.reasoning_summary_part.added", part=part)

    def tell(self, piece: Piece) -> Iterator[bytes]:
        match piece:
            case Thought(text) if self._words is None:
                self._thoughts.append(text)
                yield self._of_reasoning("response.reasoning_summary_text.delta", delta=text)
            case Words(text):
                yield from self._begin_message()
                yield self._of_message("response.output_text.delta", delta=text, logprobs=[])
                self._say(text)
            case Ended():
                yield from self._begin_message()
                yield from self._end(Whole("".join(self._words or ()), "".join(self._thoughts), piece))
            case Failed(error):
                yield self._event("response.failed", response=self._shape.failed(error))

    def _say(self, text: str) -> None:
        if self._words is not None:
            self._words.append(text)

    def _begin_message(self) -> Iterator[bytes]:
        if self._words is not None:
            return
        self._words = []
        text = "".join(self._thoughts)
        yield self._of_reasoning("response.reasoning_summary_text.done", text=text)
        part = Summary(text=text, type="summary_text")
        yield self._of_reasoning("response.reasoning_summary_part.done", part=part)
        yield self._event("response.output_item.done", output_index=_REASONING, item=self._shape.reasoning(text))
        item = self._shape.message(None, "in_progress")
        yield self._event("response.output_item.added", output_index=_MESSAGE, item=item)
        yield self._of_message("response.content_part.added", part=_text(""))

    def _end(self, answer: Whole) -> Iterator[bytes]:
        yield self._of_message("response.output_text.done", text=answer.text, logprobs=[])
        yield self._of_message("response.content_part.done", part=_text(answer.text))
        response = self._shape.whole(answer)
        yield self._event("response.output_item.done", output_index=_MESSAGE, item=response.output[_MESSAGE])
        yield self._event(f"response.{response.status}", response=response)

    def _of_reasoning(self, kind: str, **fields: object) -> bytes:
        item = self._shape.reasoning_id
        return self._event(kind, item_id=item, output_index=_REASONING, summary_index=0, **fields)

    def _of_message(self, kind: str, **fields: object) -> bytes:
        item = self._shape.message_id
        return self._event(kind, item_id=item, output_index=_MESSAGE, content_index=0, **fields)

    def _event(self, kind: str, **fields: object) -> bytes:
        event = _AnyEvent.model_validate({"type": kind, "sequence_number": next(self._numbers), **fields})
        return format_sse_event(data_str=to_json(event), event=kind)


class _AnyEvent(BaseModel, extra="allow"):
    """One of the many events; their fields are those of the OpenAI client's types."""

    type: str
    sequence_number: int


def to_json(model: BaseModel) -> str:
    """Return the JSON of what was set, and nothing else; half a surrogate pair goes back as it came, escaped."""
    return json.dumps(model.model_dump(mode="json", exclude_unset=True))


def _text(text: str) -> ResponseOutputText:
    return ResponseOutputText(annotations=[], text=text, type="output_text", logprobs=[])


def _usage(ended: Ended) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=ended.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
        output_tokens=ended.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=ended.prompt_tokens + ended.completion_tokens,
    )
