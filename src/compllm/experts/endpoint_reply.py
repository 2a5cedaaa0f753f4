"""A reply of a server that speaks the OpenAI chat protocol, from bytes to chunks or to the right error; pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from compllm.errors import ExpertError
from compllm.experts.base import Chunk
from compllm.experts.characters import CharacterJoiner
from compllm.experts.thinking import ThoughtFilter, spent

MAX_REPLY_BYTES = 16 * 2**20  # as received; a streamed token takes some 250 bytes
_MOST_TOKENS = 2**31  # what claims more cannot count


class Reply:
    """A streamed reply, from bytes to chunks; of its server-sent events only the `data` lines matter."""

    def __init__(self, content_type: str, max_tokens: int, error: Callable[..., ExpertError]) -> None:
        self.done = False
        self._max_tokens = max_tokens
        self._error = error
        self._characters = CharacterJoiner()
        self._thoughts = ThoughtFilter()
        self._line = bytearray()
        self._received_bytes = 0
        self._wrote = False
        self._finish_reason: str | None = None
        self._usage: Mapping[str, object] = {}
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type != "text/event-stream":
            raise self._foreign(f"sent {media_type or 'untyped content'}, not events")

    @property
    def whole(self) -> bool:
        """Whether the server has said that the answer is at its end."""
        return self.done or self._finish_reason is not None

    def feed(self, piece: bytes) -> list[Chunk]:
        """Take what was received and return the text that became readable with it; linear in the bytes."""
        self._received_bytes += len(piece)
        if self._received_bytes > MAX_REPLY_BYTES:
            raise self._error(f"sent more than {MAX_REPLY_BYTES} bytes")
        self._line += piece
        if b"\n" not in piece:
            return []
        *lines, self._line = self._line.split(b"\n")
        texts = [self._read(line.removeprefix(b"data:").strip()) for line in lines if line.startswith(b"data:")]
        return [Chunk(text) for text in texts if text]

    def end(self) -> list[Chunk]:
        """Return what was left and the last chunk.

        Raises:
            ExpertError: the reply is not whole.
            ExpertResponseError: the reply is empty.
        """
        left = self.feed(b"\n")
        left.append(Chunk(self._answered(self._thoughts.feed(self._characters.end()) + self._thoughts.end())))
        if not self.whole:
            raise broken_off(self._error)
        if not self._wrote and self._finish_reason == "length":
            raise self._error(spent(self._max_tokens))
        if not self._wrote:
            raise self._error(f"gave an empty answer (finish_reason: {self._finish_reason})", retryable=True)
        return [
            *(chunk for chunk in left if chunk.text),
            Chunk("", self._tokens("prompt"), self._tokens("completion"), self._finish_reason),
        ]

    def _read(self, data: bytes | bytearray) -> str:
        """Take one event and return its text."""
        if self.done or data == b"[DONE]":
            self.done = True
            return ""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
            raise self._foreign("sent an event that is not JSON") from None
        if not isinstance(event, dict):
            raise self._foreign("sent an event that is not an object")
        if event.get("error"):
            raise self._failed(event["error"])
        if event.get("object") == "error":  # as older servers say it
            raise self._failed(event)
        self._usage = event.get("usage") or self._usage
        choices = event.get("choices") or [{}]
        try:
            return self._take(choices[0])
        except (AttributeError, KeyError, TypeError):
            raise self._foreign("sent an event of another shape") from None

    def _take(self, choice: Mapping[str, Any]) -> str:
        """Return the text of a choice; what a model thinks is not part of it, here or in `reasoning_content`."""
        text = (choice.get("delta") or {}).get("content") or ""
        reason = choice.get("finish_reason") or self._finish_reason
        if not isinstance(text, str) or not isinstance(reason, str | None):
            raise TypeError
        self._finish_reason = reason
        return self._answered(self._thoughts.feed(self._characters.feed(text)))

    def _answered(self, text: str) -> str:
        self._wrote = self._wrote or bool(text.strip())
        return text

    def _tokens(self, part: str) -> int | None:
        count = self._usage.get(f"{part}_tokens") if isinstance(self._usage, Mapping) else None
        return count if type(count) is int and 0 <= count <= _MOST_TOKENS else None

    def _foreign(self, what: str) -> ExpertError:
        return self._error(f"does not speak the OpenAI protocol: it {what}; check the URL, which often ends in /v1")

    def _failed(self, body: object) -> ExpertError:
        code = body.get("code") if isinstance(body, Mapping) else None
        retryable = passing(code) if isinstance(code, int) else True
        return self._error(f"failed in the middle of its answer: {said_in(body)}", retryable=retryable)


def broken_off(error: Callable[..., ExpertError]) -> ExpertError:
    """Return the error for a reply that ended too early; part of an answer is not an answer."""
    return error("lost the connection in the middle of its answer", ExpertError, retryable=True)


def passing(status: int) -> bool:
    """Whether a status tells of a state that passes: too early, too often, too busy, or broken for now."""
    return status in (408, 409, 425, 429) or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def said_in(body: object) -> str:
    """Return what an error's body says: a text, a `message`, a `detail`, FastAPI's list of them; of a page, nothing."""
    match body:
        case str():
            return "" if body.lstrip().startswith("<") else body.strip()
        case {"message": str(message)}:
            return message
        case {"msg": str(message), "loc": [*place]}:
            return f"{'.'.join(map(str, place))}: {message}"
        case {"detail": detail}:
            return said_in(detail)
        case [*parts]:
            return "; ".join(filter(None, map(said_in, parts)))
    return ""
