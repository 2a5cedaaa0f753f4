"""What stands before the application: how large a request may be, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import anyio
import h11
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

# Bodies as large as any may be that memory is given to before anybody has looked at who sends them.
_BODIES = 64


class TimedHeads(H11Protocol):
    """uvicorn's protocol, which closes a connection whose request head is not there in time.

    Time counts from the connection, or from the first byte of a later request, to the end of the head: a byte now and
    then keeps nothing open (the attack called Slowloris).
    """

    head_timeout_s: float
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and wait on if they are no whole head."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head_timer is None:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Begin to wait for the rest of a head that came together with the request before it."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0] and not self.transport.is_closing():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()


def timed_heads(head_timeout_s: float) -> type[asyncio.Protocol]:
    """Return the protocol with this patience."""
    return type("TimedHeads", (TimedHeads,), {"head_timeout_s": head_timeout_s})


class BodyLimit:
    """An ASGI middleware that takes a body in whole, or refuses it when it is too large, too slow, or one too many."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._arriving_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on once its body is there."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            with anyio.fail_after(self._timeout_s):
                body = await self._read(scope, receive)
        except TimeoutError:
            await _refusal(408, f"the body has not arrived within {self._timeout_s:g} s")(scope, receive, send)
        except _TooLargeError as error:
            await self._refuse_and_read_on(str(error), receive, send)
        except _TooManyError as error:
            await _refusal(503, str(error))(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, or None if the client went away before it was there."""
        self._check(_declared_bytes(scope))
        body = bytearray()
        try:
            while (message := await receive())["type"] == "http.request":
                piece = message.get("body", b"")
                self._check(len(body) + len(piece), len(piece))
                body += piece
                self._arriving_bytes += len(piece)
                if not message.get("more_body", False):
                    return bytes(body)
            return None
        finally:
            self._arriving_bytes -= len(body)

    def _check(self, whole_bytes: int, more_bytes: int = 0) -> None:
        """Check that a body may be so large, and that there is room for another piece of it."""
        if whole_bytes > self._max_bytes:
            raise _TooLargeError(f"the body is larger than the {self._max_bytes:,} bytes that this server takes")
        if self._arriving_bytes + more_bytes > self._max_bytes * _BODIES:
            raise _TooManyError("too many bodies are arriving at once")

    async def _refuse_and_read_on(self, message: str, receive: Receive, send: Send) -> None:
        """Refuse a body, and let the rest of it come for a while: a client that still sends would not see why."""
        answer = _refusal(413, message)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        with anyio.move_on_after(self._timeout_s):
            while (await receive()).get("more_body", False):
                pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _TooLargeError(Exception):
    """A body is larger than any may be."""


class _TooManyError(Exception):
    """More bodies are arriving than there is memory for."""


def _declared_bytes(scope: Scope) -> int:
    """Return the length that the head declares; whether it is a number, the protocol has checked."""
    return int(dict(scope["headers"]).get(b"content-length", 0))


def _refusal(status: int, message: str) -> JSONResponse:
    """Return an answer in OpenAI's form that hangs up, for the rest of the body may still be coming."""
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    headers = {"connection": "close"} | ({"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {})
    return JSONResponse({"error": error}, status, headers)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what the application reads: the body, then whatever comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return pending.pop() if pending else await receive()

    return read
