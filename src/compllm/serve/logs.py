"""Logs as lines of JSON: what was asked for and how it went, never a key, a question or an answer."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LONGEST = 500
_FRAMES = 12
# The response header that names a run.
RUN_HEADER = b"compllm-run"
# What proxies log for a client that did not wait; nobody reads it.
CLIENT_LEFT = 499
_log = logging.getLogger("compllm.serve.access")


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of ASCII; whatever a client sends cannot begin another one or steer a terminal.

    The message of an exception is left out, for it may hold anything; its type and place are told. Each of `secrets`
    becomes "[redacted]".
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
        }
        fields = getattr(record, "fields", {})
        entry |= {name: self._clean(value) if isinstance(value, str) else value for name, value in fields.items()}
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = _told(record.exc_info[1])
        return json.dumps(entry)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _told(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    told: dict[str, object] = {
        "type": type(error).__qualname__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, BaseExceptionGroup):
        told["of"] = [_told(each) for each in error.exceptions]
    return told


def write_logs(stream: TextIO, secrets: Sequence[str] = ()) -> None:
    """Send what this server and its parts log to a stream; from other libraries, warnings only."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(JsonFormatter(secrets))
    logging.basicConfig(handlers=[lines], level=logging.WARNING, force=True)
    logging.getLogger("compllm").setLevel(logging.INFO)


class AccessLog:
    """An ASGI middleware that logs a line for each request when its answer has ended.

    `name_of` returns whose the request is, from its headers.
    """

    def __init__(self, app: ASGIApp, name_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._name_of = name_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, then log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status, run = time.monotonic(), 0, ""

        async def watch(message: Message) -> None:
            nonlocal status, run
            if message["type"] == "http.response.start":
                status = message["status"]
                run = dict(message.get("headers", ())).get(RUN_HEADER, b"").decode("latin-1")
            await send(message)

        try:
            await self._app(scope, receive, watch)
            status = status or CLIENT_LEFT  # nobody was there any more to be answered
        finally:
            # Without the query string, which may hold what somebody searched for.
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status or 500,
                "ms": round((time.monotonic() - began_s) * 1000, 1),
                "key": self._name_of(scope),
                "run": run,
                "address": (scope.get("client") or ("",))[0],
            }
            _log.info("request", extra={"fields": fields})
