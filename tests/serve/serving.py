"""A real server on a loopback port, in a thread of its own so that clients of every kind can block."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
import anyio.from_thread
import httpx
import uvicorn
from anyio.abc import TaskStatus

from compllm.pipeline import Team
from compllm.serve.app import create_app
from compllm.serve.callers import Access
from compllm.serve.service import Service, open_service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs: where it is, and a way into its event loop."""

    url: str
    service: Service
    portal: anyio.from_thread.BlockingPortal

    @property
    def base_url(self) -> str:
        """What clients of the OpenAI API are given."""
        return f"{self.url}/v1"

    def client(self) -> httpx.Client:
        """Return a plain HTTP client for the server."""
        return httpx.Client(base_url=self.url, timeout=20)

    def get(self, path: str) -> httpx.Response:
        """Return what the server answers to a plain request."""
        with self.client() as client:
            return client.get(path)

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something in the event loop of the server."""
        return self.portal.call(function, *arguments)

    def wait(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Wait for something in the event loop of the server."""
        return self.portal.call(function, *arguments)


@contextmanager
def serving(team: Team, access: Access | None = None) -> Iterator[Served]:
    """Serve a team until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener, anyio.from_thread.start_blocking_portal() as portal:
        host, port = listener.getsockname()
        ended, (service, stop) = portal.start_task(_serve, team, access, listener)
        try:
            yield Served(f"http://{host}:{port}", service, portal)
        finally:
            portal.call(stop)
            ended.result(20)


async def _serve(
    team: Team,
    access: Access | None,
    listener: socket.socket,
    *,
    task_status: TaskStatus[tuple[Service, Callable[[], None]]],
) -> None:
    async with open_service(team) as service:
        config = uvicorn.Config(create_app(service, access), lifespan="off", log_config=None, ws="none")
        server = _Server(config)

        def stop() -> None:
            server.force_exit = server.should_exit = True

        server.is_up = partial(task_status.started, (service, stop))
        await server.serve([listener])


class _Server(uvicorn.Server):
    """A server that says when it is up."""

    is_up: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up()


@contextmanager
def sent(served: Served, path: str, body: object) -> Iterator[None]:
    """Send a request whose answer nobody waits for; the connection closes when the context ends."""
    url = httpx.URL(served.url)
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(head.encode() + content)
        yield
