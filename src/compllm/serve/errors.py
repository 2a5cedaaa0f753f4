"""What goes wrong, as clients of the OpenAI API expect to be told: one table from errors to statuses and JSON."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException

from compllm.errors import (
    AccessDeniedError,
    CompLLMError,
    ExpertError,
    ExpertTimeoutError,
    NoEligibleExpertError,
    PlanError,
    QueueFullError,
    RoutingError,
    SchedulingError,
    TooManyRequestsError,
)

_LOG = logging.getLogger(__name__)
# When a queue that is full is worth another try: a run takes seconds.
_QUEUE_PAUSE_S = 2
_UNSAID = "the server could not do this; its log says why"


class ErrorDetail(BaseModel):
    """What went wrong: `param` names the part of the request, `code` the kind of error for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """An error in the shape of the OpenAI API."""

    error: ErrorDetail


@dataclass(slots=True, eq=False)
class ApiError(Exception):
    """An answer that is an error."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> ErrorBody:
        """The JSON that says it."""
        kind = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        kind = "rate_limit_error" if self.status == HTTPStatus.TOO_MANY_REQUESTS else kind
        # A run's reasons come from models, whose words need not be text that JSON can hold.
        message = self.message.encode("utf-8", "replace").decode()
        return ErrorBody(error=ErrorDetail(message=message, type=kind, param=self.param, code=self.code))

    @property
    def response(self) -> JSONResponse:
        """The answer that says it."""
        return JSONResponse(self.body.model_dump(), self.status, self.headers)


def refused(param: str, message: str, code: str = "unsupported_value") -> ApiError:
    """Return the error for a part of a request that cannot be honoured."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, code, param)


def unknown_model(name: str, known: Sequence[str], param: str = "model") -> ApiError:
    """Return the error for a model that the server does not have."""
    message = f"there is no model {name[:100]!r}; there are {', '.join(known)}"
    return ApiError(HTTPStatus.NOT_FOUND, message, "model_not_found", param)


Unanswered: TypeAlias = Literal["run_failed", "run_cancelled", "run_interrupted", "deadline_passed"]
_UNANSWERED: Mapping[Unanswered, HTTPStatus] = {
    "run_failed": HTTPStatus.BAD_GATEWAY,
    "run_cancelled": HTTPStatus.CONFLICT,
    "run_interrupted": HTTPStatus.SERVICE_UNAVAILABLE,
    "deadline_passed": HTTPStatus.GATEWAY_TIMEOUT,
}


def unanswered(code: Unanswered, why: str) -> ApiError:
    """Return the error for a run without an answer.

    Clients are asked not to send the question again by themselves: the run has tried what there was to try.
    """
    return ApiError(_UNANSWERED[code], f"no answer: {why}", code, headers={"x-should-retry": "false"})


# The first entry that an error is an instance of counts. Where the entry has words, they go out in place of the error's
# own, which stay in the log: they may name files of the server, or repeat what a remote encoder was sent.
_TABLE: tuple[tuple[type[CompLLMError], HTTPStatus, str, str], ...] = (
    (AccessDeniedError, HTTPStatus.UNAUTHORIZED, "invalid_api_key", ""),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded", ""),
    (PlanError, HTTPStatus.BAD_REQUEST, "invalid_plan", ""),
    (NoEligibleExpertError, HTTPStatus.BAD_REQUEST, "no_eligible_expert", ""),
    (RoutingError, HTTPStatus.BAD_GATEWAY, "encoder_failed", "the encoder failed; the server's log says how"),
    (QueueFullError, HTTPStatus.TOO_MANY_REQUESTS, "queue_full", ""),
    (SchedulingError, HTTPStatus.SERVICE_UNAVAILABLE, "no_capacity", ""),
    (ExpertTimeoutError, HTTPStatus.GATEWAY_TIMEOUT, "expert_timeout", ""),
    (ExpertError, HTTPStatus.BAD_GATEWAY, "expert_failed", ""),
    (CompLLMError, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", _UNSAID),
)


def api_error(error: CompLLMError) -> ApiError:
    """Return how an error is told to a client."""
    status, code, said = next((row[1], row[2], row[3]) for row in _TABLE if isinstance(error, row[0]))
    return ApiError(status, said or str(error), code, headers=_headers(error))


def _headers(error: CompLLMError) -> dict[str, str]:
    match error:
        case AccessDeniedError():
            return {"WWW-Authenticate": "Bearer"}
        case TooManyRequestsError(retry_after_s=pause_s):
            return {"Retry-After": str(max(1, math.ceil(pause_s)))}
        case QueueFullError():
            return {"Retry-After": str(_QUEUE_PAUSE_S)}
    return {}


def install_errors(app: FastAPI) -> None:
    """Have the app answer every error in the shape of the OpenAI API."""
    app.exception_handler(ApiError)(_on_api_error)
    app.exception_handler(CompLLMError)(_on_own_error)
    app.exception_handler(RequestValidationError)(_on_unusable)
    app.exception_handler(HTTPException)(_on_http)
    app.exception_handler(Exception)(_on_bug)


async def _on_api_error(_: Request, error: ApiError) -> JSONResponse:
    return error.response


async def _on_own_error(request: Request, error: CompLLMError) -> JSONResponse:
    told = api_error(error)
    if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return told.response


async def _on_unusable(request: Request, error: RequestValidationError) -> JSONResponse:
    return _unusable(_deepest(error), error.body, _fields(request)).response


def _deepest(error: RequestValidationError) -> Mapping[str, Any]:
    """Return what is wrong furthest inside: of several alternatives, the one that fits best has gone furthest."""
    problems: Sequence[Mapping[str, Any]] = error.errors()
    return max(problems, key=lambda problem: len(problem["loc"]))


def _fields(request: Request) -> Mapping[str, FieldInfo]:
    """Return the fields of the body that the route of a request takes; their descriptions say what is possible."""
    body = getattr(request.scope.get("route"), "body_field", None)
    fields: Mapping[str, FieldInfo] = getattr(body and body.field_info.annotation, "model_fields", {})
    return fields


def _unusable(first: Mapping[str, Any], body: object, fields: Mapping[str, FieldInfo]) -> ApiError:
    """Return the error for the first thing that is wrong with a request; what it holds is not repeated."""
    if isinstance(body, bytes):  # the body of a request that does not say that it is JSON is not read as such
        message = "the body has to be JSON, and to be sent with the header `Content-Type: application/json`"
        return ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_json")
    place = _place(first["loc"][1:], body, ends_outside=first["type"] == "missing")
    param = ".".join(map(str, place)) or None
    where = param or f"the {first['loc'][0]}"
    match first["type"]:
        case "json_invalid" | "json_type":
            return ApiError(HTTPStatus.BAD_REQUEST, "the body is not JSON", "invalid_json")
        case "extra_forbidden":
            return ApiError(HTTPStatus.BAD_REQUEST, f"unknown parameter: {param}", "unknown_parameter", param)
        case "missing":
            return ApiError(HTTPStatus.BAD_REQUEST, f"missing: {where}", "missing_parameter", param)
    promise = fields[str(place[0])].description if len(place) == 1 and place[0] in fields else None
    message = f"{where}: {first['msg'].lower()}" + (f" ({promise})" if promise else "")
    return ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_value", param)


def _place(location: Sequence[str | int], body: object, *, ends_outside: bool) -> list[str | int]:
    """Return where in a body something is wrong, without the names that the validator gives to alternatives."""
    place: list[str | int] = []
    for part in location:
        try:
            body, place = body[part], [*place, part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            continue
    return [*place, location[-1]] if ends_outside and location else place or list(location[:1])


async def _on_http(_: Request, error: HTTPException) -> JSONResponse:
    return ApiError(error.status_code, error.detail, headers=error.headers or {}).response


async def _on_bug(_: Request, error: Exception) -> JSONResponse:
    del error  # uvicorn logs it
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, _UNSAID, "internal_error").response
