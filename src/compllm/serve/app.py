"""The HTTP surface of a team: one FastAPI application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from compllm import __version__
from compllm.serve import chat, embeddings, models, responses, runs
from compllm.serve.callers import Access, OpenAccess
from compllm.serve.entry import ServiceOf
from compllm.serve.errors import install_errors
from compllm.serve.service import Service

_ABOUT = "A team of small language models behind the OpenAI API, and its runs: how answers came about."


def create_app(service: Service, access: Access | None = None) -> FastAPI:
    """Return the application that serves an open team to those whom `access` lets in; without one, to everybody."""
    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title="Comp-LLM", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None)
    app.state.service, app.state.access = service, access or OpenAccess()
    install_errors(app)
    for part in (chat, responses, embeddings, models, runs):
        app.include_router(part.router)
    for path, probe in (("/healthz", health), ("/readyz", ready)):
        app.add_api_route(path, probe, tags=["Operation"])
        app.add_api_route(path, probe, methods=["HEAD"], include_in_schema=False)
    return app


async def health() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "ok"}


async def ready(service: ServiceOf) -> JSONResponse:
    """Say whether new questions are taken: not any more once the server is about to stop."""
    if service.runs.is_draining:
        return JSONResponse({"status": "draining"}, 503)
    return JSONResponse({"status": "ready"})
