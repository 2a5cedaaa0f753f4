"""What a worker is told and what it says, as pure functions: request bodies, streamed events, errors."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from compllm.errors import ExpertError, ExpertLoadError, ExpertOutOfMemoryError, ExpertResponseError
from compllm.experts.base import ChatRequest, Chunk

_MESSAGE_CHARS = 500
_SERVER_AT_FAULT = 500
_OUT_OF_MEMORY = "memory"
_TOO_LONG = "exceed_context_size_error"

# What adapters are trained to end with. Models that do not know it as a token of its own write it as text.
_END_OF_TURN = "<|im_end|>"


def chat_body(request: ChatRequest, adapters: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON of a streamed chat request; `adapters` are those of the model, in the order they were loaded.

    `return_progress` makes the server write after every batch of the prompt; only when it writes does it notice that
    the client has left.

    Raises:
        ExpertResponseError: the JSON schema is not JSON, or the model has no such adapter.
    """
    body: dict[str, Any] = {
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": [*request.stop, *([_END_OF_TURN] if request.adapter else [])],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "lora": _scales(request.adapter, adapters),
    }
    if request.grammar is not None:
        body["grammar"] = request.grammar
    if request.json_schema is not None:
        try:
            body["json_schema"] = json.loads(request.json_schema)
        except ValueError:
            raise ExpertResponseError("the JSON schema of the request is not JSON") from None
    return body


def _scales(adapter: str | None, adapters: Sequence[str]) -> list[dict[str, float]]:
    """Return how strongly each adapter takes part: the one asked for fully, the others not at all.

    Every one is named. After an empty list llama.cpp would go on from what a slot has read under another adapter.
    """
    if adapter is not None and adapter not in adapters:
        raise ExpertResponseError(f"the model has no adapter {adapter!r}")
    return [{"id": place, "scale": float(name == adapter)} for place, name in enumerate(adapters)]


class ServerEvents:
    """A streamed reply, from bytes to chunks."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._finish_reason: str | None = None
        self._usage: Mapping[str, int] = {}
        self._line = b""

    def feed(self, piece: bytes) -> list[Chunk]:
        r"""Take what was received and return the chunks that became readable with it.

        Lines end with \n alone: answers hold what Unicode takes for the end of a line too.

        Raises:
            ExpertResponseError: the server reports an error, or a line is not of the protocol.
        """
        *lines, self._line = (self._line + piece).split(b"\n")
        chunks = [self._take(line.decode("utf-8", "replace")) for line in lines]
        return [chunk for chunk in chunks if chunk is not None]

    def last(self) -> Chunk:
        """Return the chunk that ends the reply.

        Raises:
            ExpertResponseError: the reply was cut off.
        """
        if self._finish_reason is None:
            raise ExpertResponseError(f"{self._model} broke off its answer", retryable=True)
        counts = self._usage.get("prompt_tokens"), self._usage.get("completion_tokens")
        return Chunk("", *counts, self._finish_reason)

    def _take(self, line: str) -> Chunk | None:
        """Return the text that a line brings, if it brings some."""
        kind, _, data = line.partition(":")
        data = data.strip()
        if kind not in ("data", "error") or data == "[DONE]":
            return None
        try:
            event = json.loads(data)
            error = event if kind == "error" else event.get("error")
            text = None if error else self._text(event)
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            raise ExpertResponseError(f"{self._model} sent something else than an event", retryable=True) from None
        if error:
            raise _failure(self._model, error)
        return Chunk(text) if text else None

    def _text(self, event: Mapping[str, Any]) -> str | None:
        self._usage = event.get("usage") or self._usage
        for choice in event["choices"]:
            self._finish_reason = choice["finish_reason"] or self._finish_reason
            text: str | None = choice["delta"].get("content")
            return text
        return None


def status_error(model: str, status: int, body: bytes) -> ExpertError:
    """Return the error that a refused request stands for; asking again helps where the server is at fault."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = body.decode("utf-8", "replace")
    return _failure(model, error, status)


def load_error(model: str, report: Mapping[str, Any], log_tail: str) -> ExpertError:
    """Return the error for a load that the worker reports as failed; `log_tail` says why."""
    message = f"{model} could not be loaded ({report.get('message')}): {log_tail}"
    if report.get("error") == _OUT_OF_MEMORY:
        return ExpertOutOfMemoryError(message, retryable=True)
    return ExpertLoadError(message)


def death_error(model: str, exit_code: int | None, log_tail: str) -> ExpertError:
    """Return the error for a worker that died while it loaded; the kernel kills with SIGKILL when memory runs out."""
    message = f"{model} could not be loaded: its worker {exit_reason(exit_code)} {log_tail}".rstrip()
    if exit_code == -signal.SIGKILL:
        return ExpertOutOfMemoryError(message, retryable=True)
    return ExpertLoadError(message, retryable=exit_code is not None and exit_code < 0)


def exit_reason(exit_code: int | None) -> str:
    """Say in words how a process ended: by itself with a code, or by which signal."""
    if exit_code is None:
        return "does not answer"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = str(-exit_code)
    return f"was ended by signal {name}"


def _failure(model: str, error: object, status: int | None = None) -> ExpertError:
    facts = error if isinstance(error, Mapping) else {"message": error}
    code = facts.get("code", status)
    if facts.get("type") == _TOO_LONG:
        return ExpertResponseError(
            f"{model}: the request takes {facts.get('n_prompt_tokens')} tokens, "
            f"more than the context of {facts.get('n_ctx')}"
        )
    message = str(facts.get("message", ""))[:_MESSAGE_CHARS]
    retryable = isinstance(code, int) and code >= _SERVER_AT_FAULT
    return ExpertResponseError(f"{model} failed (HTTP {code}): {message}", retryable=retryable)
