"""`/v1/responses`: the same engine for clients that speak the newer API of OpenAI."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from compllm.serve.answering import begin, leave, nothing, pieces, whole_while_wanted
from compllm.serve.conversation import Conversation, ask_for, turns_before, without_effect
from compllm.serve.cutting import Cutter
from compllm.serve.entry import ERRORS, Admitted, ServiceOf
from compllm.serve.errors import refused
from compllm.serve.history import Turn
from compllm.serve.response_events import ResponseShape, response_events, to_json
from compllm.serve.schemas import idle_fields
from compllm.serve.schemas_responses import ResponseBody
from compllm.serve.stream import EventStream

router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=ERRORS)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
        "description": "The response, or its events.",
    }
}


@router.post("/responses", response_model=None, responses=_ANSWERS)
async def respond(body: ResponseBody, request: Request, service: ServiceOf, caller: Admitted) -> Response:
    """Answer the last message; a reasoning item carries the plan and the sub-answers."""
    if body.compllm.dry_run:
        raise refused("compllm.dry_run", "dry runs are to be had from /v1/runs and /v1/chat/completions")
    told = [each.text for each in body.turns if each.role in ("system", "developer")]
    instructions = [*filter(None, [body.instructions]), *told]
    turns = await turns_before(service, caller, body.previous_response_id)
    for each in body.turns:
        if each.role == "user" or each.role == "assistant":
            turns.append(Turn(each.role, each.text))
    said = Conversation(body.model, turns, instructions, body.compllm, body.user, "input")
    ask, headers = ask_for(service, said), without_effect(service, said, idle_fields(body))
    run = begin(service, caller, ask)
    headers["compllm-run"] = run.id
    deadline_s = service.team.file.config.limits.deadline_s
    cutter = Cutter(max_tokens=body.max_output_tokens)
    source = pieces(run, cutter, deadline_s, direct=ask.expert is not None and bool(body.stream))
    closed = partial(leave, run) if body.store is False else nothing
    shape = ResponseShape(run.id, body)
    if body.stream:
        return EventStream(response_events(source, shape), headers, closed)
    answer = await whole_while_wanted(request, source, closed)
    return Response(to_json(shape.whole(answer)), 200, headers, "application/json")
