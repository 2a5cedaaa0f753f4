"""Puts the page on a server: its routes, its script and its style."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from compllm.serve.callers import Access
from compllm.serve.page.ask import ask, show_ask
from compllm.serve.page.compare import show_compare
from compllm.serve.page.door import Door
from compllm.serve.page.experts import follow_experts, show_experts
from compllm.serve.page.history import show_history
from compllm.serve.page.render import FOLDER, Templates
from compllm.serve.page.run import cancel_run, follow_run, show_run
from compllm.serve.service import Service


def mount_page(app: FastAPI, service: Service, access: Access) -> None:
    """Add the web page to a server, for those whom `access` admits; it takes `/` and what is not under `/v1`."""
    door = Door(service, access, Templates())
    pages = [
        ("GET", "/", show_ask),
        ("POST", "/ask", ask),
        ("GET", "/runs", show_history),
        ("GET", "/runs/{run}", show_run),
        ("GET", "/runs/{run}/live", follow_run),
        ("POST", "/runs/{run}/cancel", cancel_run),
        ("GET", "/experts", show_experts),
        ("GET", "/experts/live", follow_experts),
        ("GET", "/compare", show_compare),
    ]
    routes = [Route(path, door.opens(page), methods=[method]) for method, path, page in pages]
    routes += [
        Route("/sign-in", door.ask_key, methods=["GET"]),
        Route("/sign-in", door.sign_in, methods=["POST"]),
        Route("/sign-out", door.sign_out, methods=["POST"]),
    ]
    app.router.routes.extend(routes)
    app.mount("/page", StaticFiles(directory=FOLDER / "static"), name="page")
