"""Load on an HTTP server, from a client that costs little itself: bytes out, bytes in, on connections that stay."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import numpy as np
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from compllm.bench.figures import Figures, rounded

_HEAD_BYTES = 65_536
_LINE_BYTES = 1_024
# What requests bring; it opens nothing but a proxy that lives as long as a measurement.
KEY = f"sk-{secrets.token_urlsafe(32)}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what each of them says."""

    host: str
    port: int
    path: str
    body: dict[str, object]

    @property
    def request(self) -> bytes:
        """The whole request."""
        body = json.dumps(self.body).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and when: seconds from the request to the first byte of the body and to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    first_s: float
    elapsed_s: float


class Connection:
    """One connection of HTTP/1.1; understands bodies with a length and bodies in chunks."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._reader = BufferedByteReceiveStream(stream)

    async def send(self, request: bytes) -> Reply:
        """Send a request and return the reply.

        Raises:
            OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead: the connection broke.
        """
        began_s = time.perf_counter()
        await self._stream.send(request)
        head = (await self._reader.receive_until(b"\r\n\r\n", _HEAD_BYTES)).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        pieces = [piece async for piece in self._timed_body(headers)]
        ended_s = time.perf_counter()
        first_s = pieces[0][0] if pieces else ended_s
        body = b"".join(piece for _, piece in pieces)
        return Reply(int(head[0].split()[1]), headers, body, first_s - began_s, ended_s - began_s)

    async def _timed_body(self, headers: dict[str, str]) -> AsyncIterator[tuple[float, bytes]]:
        if "chunked" not in headers.get("transfer-encoding", ""):
            body = await self._reader.receive_exactly(int(headers.get("content-length", 0)))
            yield time.perf_counter(), body
            return
        while size := int(await self._reader.receive_until(b"\r\n", _LINE_BYTES), 16):
            piece = await self._reader.receive_exactly(size + 2)
            yield time.perf_counter(), piece[:-2]
        await self._reader.receive_exactly(2)


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Connection]:
    """Connect for as long as the context lasts."""
    async with await anyio.connect_tcp(target.host, target.port) as stream:
        yield Connection(stream)


@dataclass(slots=True)
class Load:
    """What came of many requests."""

    replies: list[Reply] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    def figures(self, ideal_s: float) -> Figures:
        """Return requests per second and latencies in milliseconds; `added` is the median beyond what work takes.

        Where nothing was answered there are no latencies.
        """
        figures: Figures = {
            "requests": len(self.replies),
            "errors": len(self.errors),
            "per_s": rounded(len(self.replies) / self.elapsed_s),
        }
        if not self.replies:
            return figures | dict.fromkeys(("p50_ms", "p99_ms", "added_p50_ms"))
        elapsed_ms = [reply.elapsed_s * 1000 for reply in self.replies]
        p50, p99 = (float(np.percentile(elapsed_ms, share)) for share in (50, 99))
        return figures | {
            "p50_ms": rounded(p50),
            "p99_ms": rounded(p99),
            "added_p50_ms": rounded(p50 - ideal_s * 1000),
        }


async def put_load(target: Target, requests: int, at_once: int) -> Load:
    """Send so many requests, so many at once, each on a connection that is used again."""
    load, left = Load(), [requests]

    async def send_some() -> None:
        async with connected(target) as connection:
            while left[0] > 0:
                left[0] -= 1
                await send_one(connection, target, load)

    began_s = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(send_some)
    load.elapsed_s = time.perf_counter() - began_s
    return load


async def send_one(connection: Connection, target: Target, load: Load) -> None:
    """Send a request and take down what came of it: a reply, or an error when it is none that one hopes for."""
    try:
        reply = await connection.send(target.request)
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead) as error:
        load.errors.append(type(error).__name__)
        return
    if reply.status == 200:
        load.replies.append(reply)
    else:
        load.errors.append(f"{reply.status}: {reply.body[:200]!r}")
