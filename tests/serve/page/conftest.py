"""A real server with the page on it, and Debian's Chromium to look at it with."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, ConsoleMessage, Page, Route, async_playwright, expect

from compllm.pipeline import Team
from compllm.serve.callers import Access, OpenAccess
from compllm.serve.page import mount_page
from compllm.serve.service import Service, open_service

_CHROMIUM = "/usr/bin/chromium"
_PATIENCE_MS = 20_000


class Server(uvicorn.Server):
    """A server that says when it can be reached, and leaves signals to the tests."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="off"))
        self.ready = anyio.Event()
        self.gone = anyio.Event()

    async def run_here(self) -> None:
        try:
            await self._serve()
        finally:
            self.gone.set()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @property
    def url(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Site:
    """A server under test."""

    url: str
    service: Service


@asynccontextmanager
async def open_site(team: Team, access: Access | None = None) -> AsyncIterator[Site]:
    """Serve a team's page on a free port."""
    app = FastAPI()
    async with open_service(team) as service, anyio.create_task_group() as tasks:
        mount_page(app, service, access or OpenAccess())
        server = Server(app)
        tasks.start_soon(server.run_here)
        await server.ready.wait()
        try:
            yield Site(server.url, service)
        finally:
            server.force_exit = server.should_exit = True
            await service.runs.drain(0.0)
            await server.gone.wait()


@dataclass
class Window:
    """A browser window that reaches nothing but the server; what it tried, and what went wrong, is noted."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def watch(self, site: Site) -> None:
        """Stop and note every request that is not to the server, and every error of the page's script and style."""
        await self.page.route(re.compile(f"^(?!{re.escape(site.url)}/)"), self._stop)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)

    async def _stop(self, route: Route) -> None:
        self.foreign.append(route.request.url)
        await route.abort()

    def _note(self, line: ConsoleMessage) -> None:
        # What was refused or stopped on purpose is the test's own matter.
        if line.type == "error" and not line.text.startswith("Failed to load resource"):
            self.errors.append(line.text)


OpenWindow = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def chromium() -> str:
    """Return where the browser is; without one there is nothing to look with."""
    if not Path(_CHROMIUM).exists():
        pytest.skip(f"{_CHROMIUM} is not installed")
    return _CHROMIUM


@pytest.fixture(scope="module")
async def browser(anyio_backend: str, chromium: str) -> AsyncIterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
def window(browser: Browser) -> OpenWindow:
    """Return a function that opens a new browser on a site; nothing foreign may be asked for, nothing may go wrong."""

    @asynccontextmanager
    async def open_window(site: Site, **options: Any) -> AsyncIterator[Page]:
        context = await browser.new_context(base_url=site.url, **options)
        context.set_default_timeout(_PATIENCE_MS)
        window = Window(await context.new_page())
        await window.watch(site)
        yield window.page
        await context.close()
        assert window.foreign == []
        assert window.errors == []

    return open_window
