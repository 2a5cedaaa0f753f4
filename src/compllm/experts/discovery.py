"""Which model servers already run on this machine."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from types import MappingProxyType
from typing import Any, Literal, cast

import anyio
from anyio.abc import ByteStream

Kind = Literal["ollama", "llama.cpp", "vllm", "lm-studio", "openai"]

PORTS: Mapping[int, Kind] = MappingProxyType({11434: "ollama", 8080: "llama.cpp", 8000: "vllm", 1234: "lm-studio"})
_HOST = "127.0.0.1"
_MAX_BYTES = 2**20
# Servers on ports that others use too say who they are.
_OWNERS: Mapping[str, Kind] = MappingProxyType({"llamacpp": "llama.cpp", "vllm": "vllm"})


@dataclass(frozen=True, slots=True)
class FoundEndpoint:
    """Something that listens where a model server would; `problem` says why it cannot be used, if so.

    `kind` is `openai` for a server that speaks the protocol and does not say which it is.
    """

    base_url: str
    kind: Kind
    models: tuple[str, ...] = ()
    problem: str | None = None


async def discover(ports: Mapping[int, Kind] = PORTS, *, timeout_s: float = 0.5) -> list[FoundEndpoint]:
    """Ask every port of this machine for its models at once; ordered as `ports`, without those where nothing listens.

    Takes about `timeout_s` at most, sends no key and uses no proxy.
    """
    found: dict[int, FoundEndpoint] = {}

    async def look(port: int, kind: Kind) -> None:
        received = await _received(port, timeout_s)
        if received is not None:
            found[port] = _endpoint(f"http://{_HOST}:{port}/v1", kind, received)

    async with anyio.create_task_group() as group:
        for port, kind in ports.items():
            group.start_soon(look, port, kind)
    return [found[port] for port in ports if port in found]


async def _received(port: int, timeout_s: float) -> bytes | None:
    """Return what the port answers until it closes, falls silent or the time is over; None if nothing listens."""
    received = bytearray()
    connected = False
    with anyio.move_on_after(timeout_s):
        try:
            async with await anyio.connect_tcp(_HOST, port) as stream:
                connected = True
                await _exchange(stream, f"{_HOST}:{port}", received)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
            pass
    return bytes(received) if connected else None


async def _exchange(stream: ByteStream, host: str, received: bytearray) -> None:
    await stream.send(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
    while len(received) < _MAX_BYTES:
        received += await stream.receive()


def _endpoint(base_url: str, kind: Kind, received: bytes) -> FoundEndpoint:
    if not received:
        return FoundEndpoint(base_url, kind, problem="it does not answer in time")
    try:
        status, body = _parsed(received)
    except (HTTPException, OSError, ValueError):
        return FoundEndpoint(base_url, kind, problem="it does not speak HTTP, or its answer is not whole")
    if status != HTTPStatus.OK:
        return FoundEndpoint(base_url, kind, problem=_refusal(status))
    return _listed(base_url, kind, body)


def _parsed(received: bytes) -> tuple[int, bytes]:
    """Return status and body; the standard library's parser reads from anything that looks like a socket."""

    class Received:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(received)

    response = HTTPResponse(cast("socket.socket", Received()))
    response.begin()
    return response.status, response.read()


def _listed(base_url: str, kind: Kind, body: bytes) -> FoundEndpoint:
    try:
        entries: Any = json.loads(body)["data"] or ()
        models = tuple(sorted(str(entry["id"]) for entry in entries))
        owners = {entry.get("owned_by") for entry in entries}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return FoundEndpoint(base_url, kind, problem="it answers, but not with a list of models")
    if not models:
        return FoundEndpoint(base_url, kind, problem="it runs, but has no model yet")
    return FoundEndpoint(base_url, _kind(kind, owners), models)


def _kind(expected: Kind, owners: set[object]) -> Kind:
    named = [kind for owner, kind in _OWNERS.items() if owner in owners]
    if named:
        return named[0]
    return "openai" if expected in _OWNERS.values() else expected


def _refusal(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"it wants a key (HTTP {status})"
    return f"it has no list of models (HTTP {status})"
