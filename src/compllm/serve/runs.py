"""`/v1/runs`: runs on their own, which go on whoever listens, can be followed, stopped, and explained."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Query, Response
from fastapi.sse import format_sse_event

from compllm.codec import decode, encode
from compllm.core.events import Stamped
from compllm.errors import JournalError, RoutingError, RunError
from compllm.explain import Explanation, explain
from compllm.serve.answering import Ask, admission, begin, expert_of, plan_of
from compllm.serve.callers import Caller
from compllm.serve.dry import dry_run
from compllm.serve.entry import ERRORS, Admitted, ServiceOf
from compllm.serve.errors import ApiError, refused
from compllm.serve.live import START, Position
from compllm.serve.schemas_runs import PlanView, RunBody, RunList, RunStarted, RunSummary, RunView
from compllm.serve.service import Service
from compllm.serve.stream import EventStream

router = APIRouter(prefix="/v1/runs", tags=["Runs"], responses=ERRORS)
# How long a client that cancels waits to hear that everything has stopped.
_STOPPING_S = 5.0
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The events."},
    204: {"description": "There are no more."},
}


@router.post("", status_code=202, responses={200: {"model": PlanView, "description": "What a dry run found."}})
async def start(body: RunBody, response: Response, service: ServiceOf, caller: Admitted) -> RunStarted | PlanView:
    """Begin a run, which goes on whoever listens; or, with `dry_run`, say what it would do."""
    expert = None if body.expert is None else expert_of(service, body.expert, "expert")
    plan = plan_of(body.plan, expert, "plan")
    ask = Ask(body.question, expert, plan=plan, end_user=body.user or "", priority=body.priority)
    if body.dry_run:
        response.status_code = 200
        return PlanView.of(await dry_run(service, ask, "dry_run"))
    run = begin(service, caller, ask)
    response.headers.update({"Location": f"/v1/runs/{run.id}", "compllm-run": run.id})
    return RunStarted(id=run.id)


@router.get("")
async def list_runs(
    service: ServiceOf,
    caller: Admitted,
    search: Annotated[str | None, Query(max_length=1_000, description="Part of the question or the answer.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="At most this many.")] = 20,
) -> RunList:
    """List your latest runs."""
    read = partial(service.team.journal.runs, limit, search or None, caller.name or None)
    return RunList(data=[RunSummary.of(row) for row in await anyio.to_thread.run_sync(read)])


@router.get("/{run_id}")
async def show(run_id: str, service: ServiceOf, caller: Admitted) -> RunView:
    """Explain a run: its state, its answer, and how that came about."""
    return await _view(run_id, service, caller)


@router.post("/{run_id}/cancel")
async def cancel(run_id: str, service: ServiceOf, caller: Admitted) -> RunView:
    """Stop everything that is under way for a run; one that has ended stays as it is."""
    run = service.runs.find(run_id, caller)
    if run is not None and not run.has_ended:
        run.cancel("cancelled by the caller")
        with anyio.move_on_after(_STOPPING_S):
            await run.ended()
    return await _view(run_id, service, caller)


@router.post("/{run_id}/resume", status_code=202)
async def resume(run_id: str, response: Response, service: ServiceOf, caller: Admitted) -> RunStarted:
    """Go on with a run whose server has died; what was answered is not asked again."""
    try:
        with admission(service):
            run = await service.runs.resume(run_id, caller)
    except JournalError as error:
        raise _unknown(run_id) from error
    except (RunError, RoutingError) as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error), "not_resumable", "run_id") from error
    response.headers.update({"Location": f"/v1/runs/{run.id}", "compllm-run": run.id})
    return RunStarted(id=run.id)


@router.get("/{run_id}/events", response_model=None, responses=_EVENTS)
async def events(
    run_id: str,
    service: ServiceOf,
    caller: Admitted,
    last_event_id: Annotated[str | None, Header(description="Where to go on: the `id` of the last event seen.")] = None,
) -> Response:
    """Stream what happens in a run, from its beginning or from where a listener left off, to its end.

    When there is no more to come, the answer is 204, which tells browsers not to ask again.
    """
    after = _position(last_event_id)
    run = service.runs.find(run_id, caller)
    if run is not None and not run.has_ended:
        return EventStream(_events(run.follow(after)))
    try:
        rest = [each async for each in service.runs.follow(run_id, caller, after)]
    except JournalError as error:
        raise _unknown(run_id) from error
    return EventStream(_replayed(rest)) if rest else Response(status_code=204)


async def _events(source: AsyncGenerator[tuple[Position, Stamped], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(source):
        async for position, stamped in source:
            yield _event(position, stamped)


async def _replayed(rest: list[tuple[Position, Stamped]]) -> AsyncGenerator[bytes, None]:
    for position, stamped in rest:
        yield _event(position, stamped)


def _event(position: Position, stamped: Stamped) -> bytes:
    return format_sse_event(data_str=json.dumps(encode(stamped)), event=stamped.event.kind, id=str(position))


def _position(last_event_id: str | None) -> Position:
    try:
        return Position.parse(last_event_id) if last_event_id else START
    except ValueError as error:
        message = "Last-Event-ID is the `id` of an event of this run"
        raise refused("Last-Event-ID", message, "invalid_value") from error


async def _view(run_id: str, service: Service, caller: Caller) -> RunView:
    try:
        recorded = await service.runs.recorded(run_id, caller)
    except JournalError as error:
        raise _unknown(run_id) from error
    story = await anyio.to_thread.run_sync(_story, recorded)
    status: str = story.status
    if status == "running" and service.runs.find(run_id, caller) is None:
        status = (await anyio.to_thread.run_sync(service.team.journal.run, run_id)).status
    return RunView.of(run_id, status, story)


def _story(recorded: Sequence[Stamped]) -> Explanation:
    """Explain a run from the wire form of its events: what models write need not be text that JSON can hold."""
    return explain(decode(encode(stamped)) for stamped in recorded)


def _unknown(run_id: str) -> ApiError:
    return ApiError(404, f"there is no run {run_id[:100]!r}", "run_not_found", "run_id")
