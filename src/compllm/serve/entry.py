"""How a request comes in: what it works with, and who sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from compllm.serve.callers import Access, Caller
from compllm.serve.errors import ErrorBody
from compllm.serve.service import Service

_BEARER = HTTPBearer(auto_error=False, description="An API key of this server, where it asks for one.")
# What every route under /v1 may answer besides what it promises.
ERRORS: dict[int | str, dict[str, object]] = {
    "4XX": {"model": ErrorBody, "description": "The request cannot be honoured; `error` says what to change."},
    "5XX": {"model": ErrorBody, "description": "The server or a model behind it failed."},
}


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def admitted(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> AsyncIterator[Caller]:
    """Let the request in for as long as its answer lasts, streams included."""
    access: Access = request.app.state.access
    address = request.client.host if request.client else ""
    async with access.admit(bearer.credentials if bearer else "", address) as caller:
        yield caller


ServiceOf = Annotated[Service, Depends(_service)]
Admitted = Annotated[Caller, Depends(admitted)]
