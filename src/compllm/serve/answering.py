"""From a request to the pieces of its answer, whatever shape they go out in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import anyio
from fastapi import Request

from compllm.core.events import AnswerDelta, Event, RunCancelled, RunCompleted, RunFailed, Stamped
from compllm.core.plan import Plan
from compllm.errors import PlanError, QueueFullError
from compllm.planner.language import parse_plan
from compllm.serve.callers import Caller
from compllm.serve.cutting import Cutter, FinishReason
from compllm.serve.errors import ApiError, refused, unknown_model
from compllm.serve.live import LiveRun
from compllm.serve.reasoning import reasoning
from compllm.serve.service import Service

# What proxies log for a client that did not wait; nobody reads it.
_CLIENT_LEFT = 499


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a team, or of one expert of it."""

    question: str
    expert: str | None = None
    plan: Plan | None = None
    end_user: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Thought:
    """A line on how the answer comes about."""

    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the answer; the tokens are those of every call to a model."""

    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer."""

    error: ApiError


Piece: TypeAlias = Thought | Words | Ended | Failed


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer, its reasoning, and its end."""

    text: str
    reasoning: str
    ended: Ended


def expert_of(service: Service, model: str, param: str = "model") -> str | None:
    """Return the expert that a model's name stands for, or None for the team.

    Raises:
        ApiError: it is neither the team nor an expert.
    """
    team = service.team
    if model == team.file.config.name:
        return None
    if model not in team.experts:
        raise unknown_model(model, [team.file.config.name, *team.experts], param)
    return model


def plan_of(text: str | None, expert: str | None, param: str) -> Plan | None:
    """Return the plan that a client has written, if any.

    Raises:
        ApiError: it breaks the plan language, or it is meant for one expert.
    """
    if text is None:
        return None
    if expert is not None:
        raise refused(param, "a single expert gets the question as it is: name the team to have a plan followed")
    try:
        return parse_plan(text)
    except PlanError as error:
        raise refused(param, str(error), "invalid_plan") from error


def begin(service: Service, caller: Caller, ask: Ask) -> LiveRun:
    """Start a run.

    Raises:
        ApiError: the server is about to stop.
        PlanError: the question is empty or too long.
        QueueFullError: as many runs are open as the team allows.
    """
    try:
        return service.runs.start(
            ask.question, caller, plan=ask.plan, expert=ask.expert, end_user=ask.end_user, priority=ask.priority
        )
    except QueueFullError as error:
        if not service.runs.is_draining:
            raise
        status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
        raise ApiError(status, str(error), "draining", headers=headers) from error


async def pieces(
    run: LiveRun, cutter: Cutter, deadline_s: float, *, stays: bool = False
) -> AsyncGenerator[Piece, None]:
    """Yield the reasoning and the answer of a run as they come; the last piece is its end or its failure.

    Unless the run `stays`, whoever stops reading cancels it.
    """
    try:
        async with aclosing(run.follow()) as stream:
            async for _, stamped in stream:
                for piece in _told(stamped.event, cutter):
                    yield piece
        if not isinstance(run.events[-1].event, RunCompleted):
            yield Failed(failure(run.events, deadline_s))
    finally:
        if not stays and not run.has_ended:
            run.cancel("the client went away")


def _told(event: Event, cutter: Cutter) -> Iterator[Piece]:
    match event:
        case AnswerDelta(text=text):
            if passed := cutter.feed(_sound(text)):
                yield Words(passed)
        case RunCompleted():
            if rest := cutter.rest():
                yield Words(rest)
            yield Ended(cutter.finish_reason, event.prompt_tokens, event.completion_tokens)
        case _:
            if line := reasoning(event):
                yield Thought(_sound(line))


async def whole(source: AsyncGenerator[Piece, None]) -> Whole | ApiError:
    """Wait for the whole answer, or the reason why there is none."""
    words, thoughts = [], []
    ended = Ended()
    async with aclosing(source):
        async for piece in source:
            match piece:
                case Words(text):
                    words.append(text)
                case Thought(text):
                    thoughts.append(text)
                case Ended():
                    ended = piece
                case Failed(error):
                    return error
    return Whole("".join(words).strip(), "".join(thoughts), ended)


async def whole_while_wanted(request: Request, source: AsyncGenerator[Piece, None]) -> Whole:
    """Wait for the whole answer until the client leaves.

    Raises:
        ApiError: there is no answer, or nobody to get it.
    """
    answer: Whole | ApiError = ApiError(_CLIENT_LEFT, "the client went away")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_when_left, request, tasks.cancel_scope)
        answer = await whole(source)
        tasks.cancel_scope.cancel()
    if isinstance(answer, ApiError):
        raise answer
    return answer


async def _stop_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def failure(events: tuple[Stamped, ...], deadline_s: float) -> ApiError:
    """Return how the end of a run without an answer is told.

    Clients are asked not to send the question again by themselves: the run has tried what there was to try.
    """
    last = events[-1] if events else None
    headers = {"x-should-retry": "false"}
    if last is None or not isinstance(last.event, RunFailed):
        return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "the run was interrupted", "run_interrupted", headers=headers)
    message = f"no answer: {last.event.reason}"
    if last.at_s >= deadline_s:
        return ApiError(HTTPStatus.GATEWAY_TIMEOUT, message, "deadline_passed", headers=headers)
    if any(isinstance(stamped.event, RunCancelled) for stamped in events):
        return ApiError(HTTPStatus.CONFLICT, message, "run_cancelled", headers=headers)
    return ApiError(HTTPStatus.BAD_GATEWAY, message, "run_failed", headers=headers)


def _sound(text: str) -> str:
    """Return a model's words without what no encoder takes: half a surrogate pair becomes "?"."""
    return text.encode("utf-8", "replace").decode()
