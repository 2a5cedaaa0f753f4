"""A real server on a loopback port, in a thread of its own so that clients of every kind can block."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.from_thread
import httpx
import uvicorn

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

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something in the event loop of the server."""
        return self.portal.call(function, *arguments)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextmanager
def serving(team: Team, access: Access | None = None) -> Iterator[Served]:
    """Serve a team until the context ends."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_service(team)) as service,
    ):
        config = uvicorn.Config(create_app(service, access), lifespan="off", log_level="error", ws="none")
        server = _Server(config)
        running = portal.start_task_soon(server.serve, [listener])
        assert server.is_up.wait(10), running.result(0)
        host, port = listener.getsockname()
        try:
            yield Served(f"http://{host}:{port}", service, portal)
        finally:
            server.force_exit = server.should_exit = True
            running.result(10)
