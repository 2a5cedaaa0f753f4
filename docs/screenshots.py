"""Takes the pictures of docs/page.md: asks the starter team on the page and looks at it in Chromium.

`python docs/screenshots.py [CHROMIUM]` needs the extra `serve`, the bundled model and Playwright's Python package.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, async_playwright

from compllm.config import load_team, starter_path
from compllm.pipeline import Team
from compllm.serve.callers import OpenAccess
from compllm.serve.page import mount_page
from compllm.serve.service import open_service
from compllm.settings import Settings, load_settings

DOCS = Path(__file__).parent
QUESTION = "What is the population of the capital of France, and who wrote Middlemarch?"
PLAN = """\
1. [geography] What is the capital of France?
2. [geography] What is the population of #1?
3. [literature] Who wrote Middlemarch?
"""
DESK: Mapping[str, Any] = {"viewport": {"width": 1100, "height": 1320}}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "color_scheme": "dark",
    "device_scale_factor": 1.5,
}
_PATIENCE_MS = 300_000
_PORT = 8765


class Server(uvicorn.Server):
    """A server that says when it can be reached."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=_PORT, log_level="error", lifespan="off"))
        self.ready = anyio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serve(team: Team) -> AsyncIterator[str]:
    """Serve the team's page for as long as the context lasts."""
    app = FastAPI()
    async with open_service(team) as service, anyio.create_task_group() as tasks:
        mount_page(app, service, OpenAccess())
        server = Server(app)
        tasks.start_soon(server.serve)
        await server.ready.wait()
        yield f"http://127.0.0.1:{_PORT}"
        server.force_exit = server.should_exit = True


async def ask(browser: Browser, url: str, path: Path) -> str:
    """Ask, take a picture of the answered run, and return its address."""
    page = await browser.new_page(**DESK)
    page.set_default_timeout(_PATIENCE_MS)
    await page.goto(url)
    await page.get_by_label("Question").fill(QUESTION)
    await page.get_by_text("A plan of your own").click()
    await page.get_by_label("Plan, one step a line").fill(PLAN)
    await page.get_by_role("button", name="Ask").click()
    await page.locator("#head .badge", has_text="answered").wait_for()
    await page.locator("#node-2 summary").first.click()
    await page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    await page.screenshot(path=path)
    return page.url


async def look(browser: Browser, url: str, path: Path) -> None:
    """Take a picture of a run as a phone shows it."""
    page = await browser.new_page(**PHONE)
    await page.goto(url)
    await page.screenshot(path=path)


async def main(chromium: str) -> None:
    """Write docs/page.png and docs/page-phone.png."""
    with tempfile.TemporaryDirectory() as folder:
        team = Team(load_team(starter_path()), Settings(load_settings().cache_dir, Path(folder)))
        async with serve(team) as url, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            run = await ask(browser, url, DOCS / "page.png")
            await look(browser, run, DOCS / "page-phone.png")
            await browser.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium")
