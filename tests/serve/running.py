"""The whole server in the test's own event loop, ended by the signal that ends it in earnest."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpx
from anyio.abc import SocketStream

from compllm.config import TeamFile, load_team
from compllm.pipeline import Team
from compllm.serve.logs import JsonFormatter
from compllm.serve.metrics import Metrics
from compllm.serve.server import serve


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens, and a client of it without a key."""

    url: httpx.URL
    client: httpx.AsyncClient
    stopped: anyio.Event

    async def ask(self, question: str = "What is pulse?", key: str = "") -> httpx.Response:
        """Ask the team."""
        body = {"model": "clinic", "messages": [{"role": "user", "content": question}]}
        return await self.client.post("/v1/chat/completions", json=body, headers=bearer(key))

    async def connect(self) -> SocketStream:
        """Open a connection to write bytes of any kind to."""
        return await anyio.connect_tcp(self.url.host, self.url.port or 0)


class Log(logging.Handler):
    """Takes in the lines that a server logs, as it would write them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.text = ""
        self._changed = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{self.format(record)}\n"
        self._changed.set()
        self._changed = anyio.Event()

    def entries(self, message: str) -> list[dict[str, Any]]:
        """Return what was logged with this message."""
        return [entry for entry in map(json.loads, self.text.splitlines()) if entry["message"] == message]

    async def until(self, message: str) -> dict[str, Any]:
        """Return the entry with this message once it is there."""
        while not (found := self.entries(message)):
            await self._changed.wait()
        return found[-1]


def bearer(key: str) -> dict[str, str]:
    """Return the headers that bring a key, if there is one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


@asynccontextmanager
async def running(
    team: Team, metrics: Metrics | None = None, reread: Callable[[], TeamFile] | None = None
) -> AsyncIterator[Running]:
    """Serve a team until the context ends."""
    addresses: list[str] = []
    listening, stopped = anyio.Event(), anyio.Event()

    def announce(url: str) -> None:
        addresses.append(url)
        listening.set()

    async def run() -> None:
        path = team.file.path
        await serve(team, metrics or Metrics(), reread=reread or partial(load_team, path), announce=announce)
        stopped.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await listening.wait()
            async with httpx.AsyncClient(base_url=addresses[0], timeout=20) as client:
                yield Running(httpx.URL(addresses[0]), client, stopped)
            if not stopped.is_set():
                os.kill(os.getpid(), signal.SIGTERM)


def hang_up() -> None:
    """Send the signal that asks for a reload."""
    os.kill(os.getpid(), signal.SIGHUP)


def terminate() -> None:
    """Send the signal that asks for the end."""
    os.kill(os.getpid(), signal.SIGTERM)
