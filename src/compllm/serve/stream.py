"""Server-sent events over a connection that may fall silent or go away."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import anyio
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

# Proxies and clients give up on connections that say nothing for a minute or so.
BEAT_S = 15.0
DONE = format_sse_event(data_str="[DONE]")
_BEAT = format_sse_event(comment="still there")


class EventStream(StreamingResponse):
    """Sends events as they come, and a comment now and then meanwhile.

    When the client leaves, and at the end, it closes their source and calls `closed`: also if it never came to begin.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        headers: Mapping[str, str] | None = None,
        closed: Callable[[], None] = lambda: None,
        *,
        beat_s: float = BEAT_S,
    ) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})
        self._events = events
        self._closed = closed
        self._beat_s = beat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closed()

    async def stream_response(self, send: Send) -> None:
        """Send everything until the source ends."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events), anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_alive, send)
            async for event in self._events:
                await _send(send, event)
            tasks.cancel_scope.cancel()
        await _send(send, b"", more=False)

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await anyio.sleep(self._beat_s)
            await _send(send, _BEAT)


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
