"""From a conversation with a model to a question for a team."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compllm.core.events import RunCompleted, RunStarted
from compllm.errors import JournalError
from compllm.serve.answering import Ask, expert_of, plan_of, sound
from compllm.serve.callers import Caller
from compllm.serve.errors import refused
from compllm.serve.history import Turn, standalone
from compllm.serve.schemas import Extras
from compllm.serve.service import Service

# How the ids of runs go out in the two APIs.
CHAT_ID, RESPONSE_ID = "chatcmpl-", "resp_"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a client sends, whichever API it speaks; `param` is the field that holds the turns."""

    model: str
    turns: Sequence[Turn]
    instructions: Sequence[str]
    extras: Extras
    end_user: str | None
    param: str


def ask_for(service: Service, said: Conversation) -> Ask:
    """Return what a conversation asks for.

    The last question is made to stand alone. One expert that gets it gets the instructions too; a team's experts have
    their own.

    Raises:
        ApiError: the model is unknown, the plan is unusable, or there is nothing to answer.
    """
    expert = expert_of(service, said.model)
    if not said.turns or said.turns[-1].role != "user":
        raise refused(said.param, "the last message has to be the user's: there is nothing to answer", "invalid_value")
    question = sound(standalone(said.turns))
    instructions = "\n\n".join(filter(None, said.instructions)) if expert is not None else ""
    plan = plan_of(said.extras.plan, expert, "compllm.plan")
    return Ask(question, expert, instructions, plan, said.end_user or "", said.extras.priority)


def without_effect(service: Service, said: Conversation, fields: Sequence[str]) -> dict[str, str]:
    """Return the header that says which parts of a request change nothing, if any do."""
    is_team = said.model == service.team.file.config.name
    names = [*fields, *(["instructions"] if said.instructions and is_team else [])]
    return {"compllm-without-effect": ", ".join(names)} if names else {}


async def turns_before(service: Service, caller: Caller, response_id: str | None) -> list[Turn]:
    """Return what was asked and answered in an earlier response.

    Raises:
        ApiError: there is no such response.
    """
    if response_id is None:
        return []
    try:
        events = await service.runs.recorded(response_id.removeprefix(RESPONSE_ID), caller)
    except JournalError as error:
        message = f"there is no response {response_id[:100]!r}"
        raise refused("previous_response_id", message, "previous_response_not_found") from error
    turns: list[Turn] = []
    for stamped in events:
        match stamped.event:
            case RunStarted(question=question):
                turns = [Turn("user", question)]
            case RunCompleted(answer=answer):
                turns.append(Turn("assistant", answer))
    return turns
